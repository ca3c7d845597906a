"""Loading an experiment's script, with the files beside it."""

import importlib.util
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

beside_tests = pytest.mark.skipif(
    not EXPERIMENTS.exists(), reason="experiments are not beside tests"
)
# Marks of every test of a script.
marks = [beside_tests, pytest.mark.thorough]


def load(name: str, script: str = "run"):
    """Loads the module `experiments/NAME/SCRIPT.py` with its folder on the path."""
    folder = EXPERIMENTS / name
    siblings = {path.stem for path in folder.glob("*.py")}
    for sibling in siblings:
        sys.modules.pop(sibling, None)
    spec = importlib.util.spec_from_file_location(
        f"{name}_{script}", folder / f"{script}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module
