"""Tests for pages: balanced tags, no external resources, escaped data."""

import base64
import re
import xml.etree.ElementTree

import pytest

from metaflax.evaluation import Interval
from metaflax.evaluation._bootstrap import Estimate
from metaflax.reporting import _figures, _html
from tests.reporting.pages import check_alone

BAD = "<script>alert(1)</script> & \"quoted\" 'too'"


def test_whatever_comes_from_data_is_text():
    parts = [
        _html.paragraph(BAD),
        _html.html_table([BAD, "x"], [[BAD, 1]], BAD),
        _html.pairs_table({BAD: BAD}),
        _html.matrix_table([BAD, "b"], [[1, 2], [0, 3]], BAD),
        _html.picture(b"<svg/>", BAD),
        _html.folded(BAD, _html.paragraph(BAD)),
    ]
    made = _html.page(BAD, BAD, [_html.section(BAD, *parts)])
    assert "<script" not in made
    page = check_alone(made)
    # The title occurs twice, all else once, and as columns and rows of the matrix.
    assert page.text.count(BAD) == 2 + 1 + 1 + 1 + 3 + 2 + 3 + 2


def test_a_dollar_sign_in_data_is_no_part_of_the_template():
    assert "costs $title" in _html.page("x", "costs $title", [])


def test_a_matrix_is_darker_where_more_of_a_row_is():
    made = _html.matrix_table(["a", "b"], [[3, 1], [0, 0]], "")
    shades = re.findall(r"rgba\(31,119,180,([\d.]+)\)", made)
    assert shades == ["0.75", "0.25", "0.00", "0.00"]
    assert made.count("·") == 2  # For each zero a dot.


def decoded(picture):
    """The SVG inside a picture, checked to be well-formed."""
    [coded] = re.findall(r"base64,([^\"]+)", picture)
    svg = base64.b64decode(coded)
    return xml.etree.ElementTree.fromstring(svg)


def drawings():
    points = {1: Interval(0.6, 0.1), 5: Interval(0.8, 0.05)}
    bins = [(0.4, Estimate(0.3, 0.2, 0.4)), (0.9, Estimate(0.8, 0.8 + 1e-9, 0.9))]
    methods, curves = {BAD: points[1], "$b": points[5]}, {BAD: bins, "b": bins[:1]}
    return {
        "methods": lambda: _figures.methods_figure(methods, BAD),
        "curve": lambda: _figures.curve_figure(points, "shot", "accuracy"),
        "reliability": lambda: _figures.reliability_figure(curves),
    }


@pytest.mark.parametrize("name", ["methods", "curve", "reliability"])
def test_drawings_are_the_same_each_time_and_well_formed(name):
    pytest.importorskip("matplotlib")
    draw = drawings()[name]
    assert draw() == draw()
    root = decoded(_html.picture(draw(), name))
    assert root.tag.endswith("svg")
    assert not [node for node in root.iter() if node.tag.endswith("script")]


def test_there_are_plots_where_matplotlib_is(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not _figures.has_plots()
