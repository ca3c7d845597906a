"""The README's example does what it says."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_example_learns_a_start_that_adapts_to_a_new_slope():
    if not README.is_file():
        pytest.skip("the README is not beside the tests")
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    made: dict = {}
    exec(code, made)
    # One example at x = 1: three steps of 0.1 leave (1 - 0.2)^3 of the way to 2.5.
    expected = 2.5 + 0.8**3 * (made["params"] - 2.5)
    assert jnp.allclose(made["adapted"], expected, atol=1e-5)
    assert 1.5 < made["params"] < 2.5  # The middle of the slopes, about.
    assert made["loss"] < 0.5
