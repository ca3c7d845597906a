"""Every block of the guide runs, checks itself, and is short."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "experiments" / "guide" / "README.md"

pytestmark = [
    pytest.mark.skipif(not GUIDE.is_file(), reason="experiments are not beside tests"),
    pytest.mark.thorough,
]


def blocks():
    return re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_the_guide_runs_from_top_to_bottom():
    made: dict = {}
    for code in blocks():
        exec(code, made)
    assert {"mahalanobis", "damped", "soft_k_means"} <= set(made)


def test_every_block_of_the_guide_has_less_than_forty_lines():
    assert len(blocks()) == 7
    assert all(len(code.splitlines()) < 40 for code in blocks())
