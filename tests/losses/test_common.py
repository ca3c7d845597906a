"""Test suite for all losses and metrics of units: shapes, padding, labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import base, losses, metrics
from metaflax.metrics._classification import last_precision, last_recall

U, N, L, V = 4, 3, 5, 6
rng = np.random.default_rng(0)
ALL = jnp.ones(N, bool)
COUNTS = np.array([1.0, 0.5, 1.0, 0.0], np.float32)  # The last is padding.
CODES = np.array(
    [[0, 1, 0, 2, -1], [3, 0, 0, -1, -1], [0, 0, 3, 0, 0], [3, 0, 0, 0, 0]]
)


def of_classes(fn):
    """Wraps a function of outputs as a function of plain logits."""
    return lambda logits, *rest: fn(base.ClassOutputs(logits, ALL), *rest)


def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)


CLASSES, LABELS = np.array([0, 2, 1, 1]), np.array([[1, 0, 1]] * U)
TOKENS = np.array([[0, 2, 1, -1, -1]] * U)
SMOOTH = {"label_smoothing": 0.1}
LOSSES = {
    "softmax_cross_entropy": (
        of_classes(losses.softmax_cross_entropy),
        normal(U, N),
        CLASSES,
    ),
    "smoothed softmax": (
        of_classes(functools.partial(losses.softmax_cross_entropy, **SMOOTH)),
        normal(U, N),
        CLASSES,
    ),
    "sigmoid_cross_entropy": (
        of_classes(losses.sigmoid_cross_entropy),
        normal(U, N),
        LABELS,
    ),
    "per_token": (
        of_classes(losses.per_token(losses.softmax_cross_entropy)),
        normal(U, L, N),
        TOKENS,
    ),
    "language_cross_entropy": (
        losses.language_cross_entropy,
        normal(U, L, V),
        TOKENS,
    ),
    "smoothed language": (
        functools.partial(losses.language_cross_entropy, **SMOOTH),
        normal(U, L, V),
        TOKENS,
    ),
    "span_cross_entropy": (losses.span_cross_entropy, normal(U, L, 2), CODES),
    "squared_error": (losses.squared_error, normal(U), normal(U)),
    "cosine_pairs": (losses.cosine_pairs, normal(U, N), CLASSES),
    "lambda_rank": (losses.lambda_rank, normal(U), np.arange(U)),
}
METRICS = {
    "accuracy": (of_classes(metrics.accuracy), normal(U, N), CLASSES),
    "last_precision": (
        of_classes(last_precision),
        normal(U, N),
        CLASSES,
    ),
    "last_recall": (of_classes(last_recall), normal(U, N), CLASSES),
    "micro_f1": (of_classes(metrics.micro_f1), normal(U, N), LABELS),
    "pearson": (metrics.pearson, normal(U), normal(U)),
    "spearman": (metrics.spearman, normal(U), normal(U)),
}
BOTH = {**LOSSES, **METRICS}
every_loss = pytest.mark.parametrize("name", LOSSES)
# Losses whose targets are indices in a range.
RANGES = ["softmax_cross_entropy", "smoothed softmax", "per_token"]
RANGES += ["language_cross_entropy", "smoothed language", "span_cross_entropy"]


@every_loss
def test_every_loss_is_a_scalar_with_a_finite_derivative(name):
    fn, outputs, targets = LOSSES[name]
    value, grads = jax.value_and_grad(fn)(jnp.asarray(outputs), targets, COUNTS)
    assert value.shape == ()
    assert np.all(np.isfinite(grads))
    assert np.any(np.asarray(grads) != 0)


@pytest.mark.parametrize("argument", ["outputs", "targets", "weights"])
@pytest.mark.parametrize("change", ["an axis more", "one row", "a row more"])
@pytest.mark.parametrize("name", BOTH)
def test_nothing_is_broadcast(name, argument, change):
    fn, *arguments = BOTH[name]
    names = ("outputs", "targets", "weights")
    arguments = dict(zip(names, [*arguments, COUNTS], strict=True))
    value = arguments[argument]
    arguments[argument] = {
        "an axis more": value[:, None],
        "one row": value[:1],
        "a row more": np.concatenate([value, value[:1]]),
    }[change]
    with (
        jax.numpy_rank_promotion("allow"),  # As in users' programs.
        pytest.raises(AssertionError, match=r"(are|:) \[\w"),
    ):
        fn(*arguments.values())


@every_loss
@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e30])
def test_what_a_row_of_weight_0_holds_never_spreads(name, filler):
    fn, outputs, targets = LOSSES[name]
    filled = outputs.copy()
    filled[-1] = filler
    numbers = targets.copy()
    numbers[-1] = filler if targets.dtype == np.float32 else 77
    expected = jax.value_and_grad(fn)(jnp.asarray(outputs), targets, COUNTS)
    found = jax.value_and_grad(fn)(jnp.asarray(filled), numbers, COUNTS)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("transform", [jax.jit, lambda fn: fn])
@pytest.mark.parametrize("label", [-7, 6, 99])
@pytest.mark.parametrize("name", RANGES)
def test_a_label_out_of_range_makes_value_and_derivative_nan_where_it_counts(
    name, label, transform
):
    fn, outputs, targets = LOSSES[name]
    if label < 0 and targets is TOKENS:
        pytest.skip("a negative number marks a token without a target")
    for row, is_lost in [(0, True), (U - 1, False)]:
        numbers = targets.copy()
        numbers[row, ...] = label
        both = transform(jax.value_and_grad(fn))
        value, grads = both(jnp.asarray(outputs), numbers, COUNTS)
        assert np.isnan(value) == is_lost
        if name != "span_cross_entropy":  # It may have no token to blame.
            assert np.any(np.isnan(grads)) == is_lost


@pytest.mark.parametrize(
    "fn",
    [
        losses.softmax_cross_entropy,
        losses.sigmoid_cross_entropy,
        losses.per_token(losses.softmax_cross_entropy),
        metrics.accuracy,
        metrics.micro_f1,
        last_recall,
    ],
)
def test_plain_logits_are_refused_with_the_way_to_wrap_them(fn):
    with pytest.raises(ValueError, match=r"a ndarray, .* base\.ClassOutputs\(logits"):
        fn(normal(U, N), CLASSES, COUNTS)
