"""Tests for the package as a whole."""

import subprocess
import sys

from metaflax import data


def test_every_public_name_is_there_and_documented():
    for name in data.__all__:
        assert getattr(data, name).__doc__
    assert len(data.__all__) == len(set(data.__all__))  # The linter checks their order.


def test_importing_it_leaves_heavy_libraries_alone():
    code = (
        "import sys, metaflax.data;"
        "print({'transformers', 'datasets', 'torch', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
