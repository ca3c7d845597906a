"""Tests for the sampling of members of a mixture."""

import collections

import pytest

from metaflax.data.samplers._mixture import Mixture, temperature_weights

ALWAYS = (0.0, 1.0)


def mixture(weights, num_steps=4000, **spans):
    spans = {name: spans.get(name, ALWAYS) for name in weights}
    return Mixture(weights, spans, num_steps)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1.0, (0.9, 0.1)), (2.0, (0.75, 0.25)), (1e9, (0.5, 0.5))],
)
def test_a_temperature_draws_small_sets_more_often(temperature, expected):
    weights = temperature_weights({"large": 900, "small": 100}, temperature)
    assert tuple(weights.values()) == pytest.approx(expected)


def test_sizes_beyond_all_floats_have_weights():
    weights = temperature_weights({"a": 10**9, "b": 10**9}, 0.01)
    assert weights == {"a": 0.5, "b": 0.5}


def test_members_are_drawn_as_often_as_their_weights_say():
    drawn = mixture({"a": 6.0, "b": 3.0, "never": 0.0, "c": 1.0})
    counts = collections.Counter(drawn.member(0, step) for step in range(4000))
    assert set(counts) == {"a", "b", "c"}
    for name, share in drawn.probabilities(0).items():
        # Four standard deviations of a binomial count.
        width = 4 * (4000 * share * (1 - share)) ** 0.5
        assert abs(counts[name] - 4000 * share) <= width


def test_a_draw_depends_on_seed_and_step_alone():
    drawn = mixture({"a": 1.0, "b": 1.0}, 100)
    forth = [drawn.member(7, step) for step in range(100)]
    back = [drawn.member(7, step) for step in reversed(range(100))]
    assert forth == back[::-1]
    assert forth != [drawn.member(8, step) for step in range(100)]


def test_members_take_part_within_their_span_alone():
    drawn = mixture({"a": 1.0, "b": 1.0, "c": 1.0}, 100, a=(0.0, 0.5), b=(0.25, 1.0),
                    c=(0.75, 1.0))  # fmt: skip
    steps = {name: set() for name in "abc"}
    for seed in range(20):
        for step in range(100):
            steps[drawn.member(seed, step)].add(step)
    assert {n: (min(s), max(s)) for n, s in steps.items()} == {
        "a": (0, 49),
        "b": (25, 99),
        "c": (75, 99),
    }
    assert drawn.probabilities(30) == {"a": 0.5, "b": 0.5, "c": 0.0}
    expected = [drawn.probabilities(step) for step in range(100)]
    for name, share in drawn.shares().items():
        assert share == pytest.approx(sum(each[name] for each in expected) / 100)


@pytest.mark.parametrize(
    ("weights", "spans", "message"),
    [
        ({"a": -1.0}, {}, "the weight of 'a' is -1.0"),
        ({"a": float("nan")}, {}, "the weight of 'a' is nan"),
        ({"a": float("inf")}, {}, "the weight of 'a' is inf"),
        ({"a": 0.0, "b": 0.0}, {}, "the weights of 'a', 'b' sum to 0"),
        ({"a": 1.0}, {"a": (0.5, 0.5)}, "'a' takes part from 0.5 to 0.5"),
        ({"a": 1.0}, {"a": (-0.1, 0.5)}, "'a' takes part from -0.1 to 0.5"),
        ({"a": 1.0}, {"a": (0.1, 1.0)}, "no member takes part after 0 of the run"),
        (
            {"a": 1.0, "b": 1.0, "c": 0.0},
            {"a": (0.0, 0.4), "b": (0.5, 1.0)},
            "no member takes part after 0.4 of the run",
        ),
    ],
)
def test_what_leaves_a_step_to_nobody_is_refused(weights, spans, message):
    with pytest.raises(ValueError, match=message):
        mixture(weights, **spans)


@pytest.mark.parametrize(
    ("sizes", "temperature", "message"),
    [({"a": 0}, 1.0, "'a' has 0 examples"), ({"a": 1}, 0.0, "temperature is 0.0")],
)
def test_sizes_and_temperatures_that_give_no_weights_are_refused(
    sizes, temperature, message
):
    with pytest.raises(ValueError, match=message):
        temperature_weights(sizes, temperature)


def test_there_is_no_step_after_the_last():
    with pytest.raises(ValueError, match="no step 10 of 10"):
        mixture({"a": 1.0}, 10).member(0, 10)
