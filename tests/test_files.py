"""Tests for atomic writes, and for digests of files and folders."""

import hashlib

import pytest

from metaflax import files


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(("mode", "content"), [("w", "é\n"), ("wb", b"\xff\n")])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, mode, content):
    path = tmp_path / "new" / "scores"
    encoded = content.encode() if mode == "w" else content
    with files.atomic_write(path, mode) as file:
        file.write(content)
        assert not path.exists()
    assert path.read_bytes() == encoded

    def fail():
        with files.atomic_write(path, mode) as file:
            file.write(content[:1])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == encoded
    assert names(tmp_path) == ["new", "new/scores"]


def test_a_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    files.write_json(tmp_path / "ours", {"a": 1})
    usual, ours = ((tmp_path / name).stat().st_mode for name in ("usual", "ours"))
    assert ours == usual
    assert (tmp_path / "ours").read_text() == '{\n  "a": 1\n}\n'


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "model"

    def fail():
        with files.atomic_folder(target) as folder:
            (folder / "part").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == ["new"]
    with files.atomic_folder(target) as folder:
        (folder / "part").mkdir()
        assert not target.exists()
    assert names(tmp_path) == ["new", "new/model", "new/model/part"]
    with pytest.raises(FileExistsError), files.atomic_folder(target) as folder:
        (folder / "other").mkdir()
    assert names(target) == ["part"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file: cannot be written .*another folder"):
        files.write_text(tmp_path / "file" / "x", "")
    with (
        pytest.raises(ValueError, match="cannot be written"),
        files.atomic_folder(tmp_path / "file" / "x"),
    ):
        pass


def test_digests_are_those_stored_by_earlier_releases(tmp_path):
    (tmp_path / "b").mkdir()
    for name, content in {"b/c": b"1", "b.x": b"2", "sha256": b"3"}.items():
        (tmp_path / name).write_bytes(content)
    digests = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in {"b/c": b"1", "b.x": b"2"}.items()
    }
    assert files.file_digests(tmp_path, {"sha256"}) == digests
    assert list(digests) == list(files.file_digests(tmp_path, {"sha256"}))
    lines = "".join(f"{name} {digest}\n" for name, digest in digests.items())
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert files.folder_digest(tmp_path, {"sha256"}) == expected
