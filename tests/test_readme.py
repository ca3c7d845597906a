"""Tests that the README is short, its examples work, and its numbers are measured."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

README = Path(__file__).parent.parent / "README.md"
SECTION = re.DOTALL | re.MULTILINE

pytestmark = pytest.mark.skipif(
    not README.is_file(), reason="the README is not beside the tests"
)


def example(heading):
    """The code of the only Python example of a section."""
    (section,) = re.findall(rf"^## {heading}$.*?(?=^## )", README.read_text(), SECTION)
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


def test_the_example_learns_a_start_that_adapts_to_a_new_slope():
    made: dict = {}
    exec(example("The functional API in ten lines"), made)
    # One example at x = 1: three steps of 0.1 leave (1 - 0.2)^3 of the way to 2.5.
    expected = 2.5 + 0.8**3 * (made["params"] - 2.5)
    assert jnp.allclose(made["adapted"], expected, atol=1e-5)
    assert 1.5 < made["params"] < 2.5  # About the mean of the slopes.
    assert made["loss"] < 0.5


def test_the_estimator_learns_and_saves(minilm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(example("A scikit-learn estimator in ten lines"), made)
    assert made["accuracy"] > 0.5
    assert made["predicted"].tolist() == ["delivery", "refund"]
    assert (tmp_path / "my_classifier" / "config.json").is_file()


def test_it_fits_on_two_screens():
    assert len(README.read_text().splitlines()) <= 120


def test_links_lead_to_files():
    for url in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / url).exists(), url


def test_every_number_of_its_table_is_on_the_page_of_the_experiment():
    experiment, rows = None, 0
    for line in README.read_text().splitlines():
        if not line.startswith("|") or "±" not in line:
            continue
        if link := re.search(r"\((experiments/\w+)/\)", line):
            experiment = link[1]
        assert experiment, "the first row names its experiment"
        page = (README.parent / experiment / "README.md").read_text()
        for value in re.findall(r"\d+\.\d+ ± \d+\.\d+", line):
            assert value in page, f"{value} is not in {experiment}/README.md"
        rows += 1
    assert rows >= 5
