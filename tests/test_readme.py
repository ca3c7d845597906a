"""The README's example does what it says."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

README = Path(__file__).parent.parent / "README.md"
SECTION = re.DOTALL | re.MULTILINE


def example(heading):
    """The code of the only Python example of a section."""
    if not README.is_file():
        pytest.skip("the README is not beside the tests")
    (section,) = re.findall(rf"^## {heading}$.*?(?=^## )", README.read_text(), SECTION)
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


def test_the_example_learns_a_start_that_adapts_to_a_new_slope():
    made: dict = {}
    exec(example("The functional API in ten lines"), made)
    # One example at x = 1: three steps of 0.1 leave (1 - 0.2)^3 of the way to 2.5.
    expected = 2.5 + 0.8**3 * (made["params"] - 2.5)
    assert jnp.allclose(made["adapted"], expected, atol=1e-5)
    assert 1.5 < made["params"] < 2.5  # The middle of the slopes, about.
    assert made["loss"] < 0.5


def test_the_estimator_learns_and_saves(minilm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(example("A scikit-learn estimator in ten lines"), made)
    assert made["accuracy"] > 0.5
    assert made["predicted"].tolist() == ["delivery", "refund"]
    assert (tmp_path / "my_model" / "config.json").is_file()
