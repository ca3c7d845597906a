"""Tests for the package as a whole: light imports, documentation, layers."""

import ast
import importlib
import pkgutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import metaflax

ROOT = Path(metaflax.__file__).parent
HEAVY = ("transformers", "datasets", "torch", "matplotlib", "sklearn", "flax", "orbax")
MODULES = [
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "metaflax.")
    if not any(part.startswith("_") for part in module.name.split("."))
]

MAX_PUBLIC_NAMES = 370

# From the lowest layer up. A module imports from its own layer and those below.
LAYERS = (
    (
        "_version",
        "base",
        "_files",
        "tree",
        "inner",
        "linalg",
        "_checks",
        "_meta_gradient",
        "_optimizers",
        "_program",
        "_registry",
        "_wording",
    ),
    ("interop",),
    ("losses", "metrics", "heads", "inner_optimizers", "estimators", "models"),
    ("algorithms", "tasks"),
    ("data", "evaluation"),
    ("target_kinds",),
    ("training", "reporting", "testing", "profiling"),
    ("config",),
    ("recipes",),
    ("workflows",),
    ("few_shot",),
    ("serving",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
STRANGERS = [("algorithms", "tasks"), ("tasks", "algorithms"), ("algorithms", "models")]


def test_importing_metaflax_loads_nothing_heavy():
    code = f"import sys, metaflax; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("module", ["metaflax", *MODULES])
def test_every_public_name_exists_and_is_documented(module):
    module = importlib.import_module(module)
    assert module.__doc__
    names = module.__all__
    assert len(names) == len(set(names))  # The linter checks their order.
    for name in names:
        value = getattr(module, name)
        if typing.get_origin(value) is not None:
            continue  # An alias such as Literal["mean", "first"] has no place for one.
        doc = getattr(value, "func", value).__doc__  # Of a partial's function.
        # A tuple without a docstring is given one such as "Batch(inputs, targets)".
        assert doc, f"{name} has no docstring"
        assert not doc.startswith(f"{name}("), f"{name} has no docstring"


def test_what_is_loaded_when_asked_for_is_a_module_of_the_package():
    for name in metaflax._LAZY:
        assert getattr(metaflax, name).__name__ == f"metaflax.{name}"
    with pytest.raises(AttributeError, match="no attribute 'dta'"):
        metaflax.dta  # noqa: B018


def test_workflows_load_when_asked_for():
    code = (
        "import sys, metaflax; w = metaflax.workflows; metaflax.workflows.__all__\n"
        f"print(*sorted(set({HEAVY}) & set(sys.modules)))\n"
        "assert metaflax.load is w.load"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
    assert set(metaflax.workflows._MODULE_OF) == set(metaflax.workflows.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        metaflax.workflows.trian  # noqa: B018


def test_public_names_stay_few():
    """Internal names are imported from their private files."""
    names = {
        name
        for module in ["metaflax", *MODULES]
        for name in importlib.import_module(module).__all__
    }
    assert len(names) <= MAX_PUBLIC_NAMES


@pytest.mark.parametrize("module", ["metaflax", *MODULES])
def test_every_public_module_lists_its_names(module):
    """Subpackages that group private files have an empty `__all__`."""
    module = importlib.import_module(module)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    }
    assert public <= set(module.__all__)


def top_level(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_names(source):
    """The modules directly below `metaflax` that a source imports from."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name their package in full"
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in dotted:
            first, *rest = name.split(".")
            if first == "metaflax" and rest:
                yield rest[0]


SOURCES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)
SOURCES += sorted(path for path in ROOT.glob("*.py") if path.name != "__init__.py")
EDGES = {
    (top_level(path), name)
    for path in SOURCES
    for name in imported_names(path.read_text())
    if top_level(path) != name
}


# Subpackages from the lowest layer up: a file imports from its own one and those
# below.
ROOMS = {
    "data": ("sources", "samplers", "batching", "on_disk", "raw_text"),
    "models": ("layers", "generation", "adaptation", "pretrained", "families"),
    "workflows": (
        "runs",
        "meta_training",
        "meta_testing",
        "learning",
        "inference",
        "data_preparation",
        "watching",
    ),
}


def room_edges(package):
    """Pairs of subpackages such that a file of the first imports from the second."""
    folder, prefix = ROOT / package, f"metaflax.{package}."
    for path in folder.rglob("*.py"):
        room, *rest = path.relative_to(folder).parts
        if not rest:
            continue  # The table of contents of the package.
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.startswith(prefix):
                    yield room, name.removeprefix(prefix).split(".")[0]


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_of_a_package_import_downwards_only(package):
    rooms = ROOMS[package]
    folders = {p.parent.name for p in (ROOT / package).glob("*/__init__.py")}
    assert folders == set(rooms)
    level = {room: number for number, room in enumerate(rooms)}
    edges = set(room_edges(package))
    assert {(a, b) for a, b in edges if level[b] > level[a]} == set()


def test_every_module_has_a_layer():
    assert {top_level(path) for path in SOURCES} == set(LEVEL)


def test_imports_point_down_only():
    upwards = {(a, b) for a, b in EDGES if LEVEL[b] > LEVEL[a]}
    assert not upwards
    mutual = {(a, b) for a, b in EDGES if (b, a) in EDGES}
    assert not mutual


def test_algorithms_know_neither_task_types_nor_models():
    assert not EDGES & set(STRANGERS)


def test_imports_are_found_in_every_form():
    source = (
        "import metaflax.data\n"
        "from metaflax import base, tree as t\n"
        "from metaflax.models.families.bert._network import Bert\n"
        "def f():\n    from metaflax.cli import main\n"
    )
    assert sorted(imported_names(source)) == ["base", "cli", "data", "models", "tree"]
