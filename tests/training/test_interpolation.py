"""Tests for interpolation with the pretrained weights."""

import chex
import jax.numpy as jnp
import pytest

from metaflax.training._interpolation import best_interpolation, interpolate

START, END = {"w": jnp.array([0.0, 8.0])}, {"w": jnp.array([4.0, 0.0])}


def test_a_share_is_how_far_along_the_line():
    chex.assert_trees_all_equal(
        interpolate(START, END, 0.25), {"w": jnp.array([1.0, 6.0])}
    )


@pytest.mark.parametrize(("target", "share"), [(1.0, 0.25), (1.9, 0.5), (9.0, 1.0)])
def test_the_share_that_validates_best_is_picked(target, share):
    best = best_interpolation(
        START, END, (0.25, 0.5, 1.0), lambda p: -abs(float(p["w"][0]) - target)
    )
    assert best.share == share
    assert best.score == -abs(4 * share - target)
    chex.assert_trees_all_equal(best.params, interpolate(START, END, share))


def test_of_equals_the_first_is_kept():
    best = best_interpolation(START, END, (0.5, 0.25, 1.0), lambda p: 0.7)
    assert best.share == 0.5


def test_the_whole_way_is_the_end_itself():
    best = best_interpolation(START, END, (1.0,), lambda p: 0.0)
    assert best.params is END


@pytest.mark.parametrize("shares", [(), (0.0, 1.0), (0.5, 1.5), (-0.5,)])
def test_shares_that_are_none_or_outside_are_refused(shares):
    with pytest.raises(ValueError, match="above 0 and up to 1, got"):
        best_interpolation(START, END, shares, lambda p: 0.0)
