"""Tests for registries of known names and import paths."""

import sys

import pytest

from metaflax import _registry

TABLE = {"one": 1, "two": 2}


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "metaflax_extension.py").write_text(
        "three = 3\nclass Numbers:\n    four = 4\n"
    )
    (tmp_path / "metaflax_broken.py").write_text("raise OSError('first\\nsecond')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "metaflax_extension"
    sys.modules.pop("metaflax_extension", None)


def test_known_names_and_import_paths_are_resolved(module):
    assert _registry.resolve("number", TABLE, "two") == 2
    assert _registry.resolve("number", TABLE, f"{module}:three") == 3
    assert _registry.resolve("number", TABLE, f"{module}:Numbers.four") == 4


def test_a_known_name_comes_before_an_import_path():
    assert _registry.resolve("number", {"os:path": 5}, "os:path") == 5


def test_an_unknown_name_lists_the_known_ones_and_the_form_of_an_import_path():
    expected = "unknown number 'ten'; known: one, two, or an import path such as"
    with pytest.raises(ValueError, match=expected):
        _registry.resolve("number", TABLE, "ten")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_package:x", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("metaflax_extension:five", "AttributeError: .* no attribute 'five'"),
        ("metaflax_extension:", "AttributeError"),
        (":five", "ValueError"),
        ("metaflax_broken:x", "OSError: first"),
    ],
)
def test_a_failing_import_is_one_sentence(path, reason, module):
    with pytest.raises(ValueError, match=f"cannot be imported: {reason}") as error:
        _registry.resolve("number", TABLE, path)
    assert "\n" not in str(error.value)
    assert repr(path) in str(error.value)
