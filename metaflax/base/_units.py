"""Labelled units of tasks, and outputs of heads for them."""

import enum
from typing import Any, NamedTuple, TypeAlias

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray


class Batch(NamedTuple):
    """Labelled examples; leaves share their leading axis `[U, ...]`.

    Attributes:
      inputs: the model's inputs, any pytree.
      targets: the gold outputs, for instance class numbers `[U]`.
      weights: `[U]`, how much each example counts; 0 marks padding.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base, losses
      >>> batch = base.Batch(jnp.array([1.0, 5.0]), jnp.ones(2), jnp.array([1, 0]))
      >>> print(losses.squared_error(*batch))  # The second example is padding.
      0.0
    """

    inputs: Any
    targets: Any
    weights: Array


class Task(NamedTuple):
    """One episode: adapt to `support` `[S, ...]`, evaluate on `query` `[Q, ...]`.

    Examples:
      >>> import jax.numpy as jnp, optax
      >>> import metaflax
      >>> algorithm = metaflax.maml(
      ...     lambda w, x, key: w * x,
      ...     lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: jnp.zeros(()),
      ...     optax.sgd(0.25),
      ... )
      >>> support = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> query = metaflax.Batch(jnp.full(3, 2.0), jnp.full(3, 4.0), jnp.ones(3))
      >>> value, info = algorithm.loss(jnp.zeros(()), metaflax.Task(support, query))
      >>> print(f"{value:.4f}", info.losses)
      0.0156 [4.       1.       0.25     0.0625   0.015625]
    """

    support: Batch
    query: Batch


class ClassOutputs(NamedTuple):
    """The outputs of a head for classification.

    Attributes:
      logits: `[U, N]`; those of absent classes are very negative, so that an
        absent class never wins and softmax gives it no mass.
      mask: `[N]`, true where the class occurs in the support set.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base, metrics
      >>> logits = jnp.array([[2.0, 1.0, -1e9], [0.0, 3.0, -1e9]])
      >>> outputs = base.ClassOutputs(logits, jnp.array([True, True, False]))
      >>> print(metrics.accuracy(outputs, jnp.array([0, 0]), jnp.ones(2)))
      0.5
    """

    logits: Array
    mask: Array


class SpanCode(enum.IntEnum):
    """The role of a token in the answer span of its row.

    START and END are bits, so that the answer of one token is both. A row without an
    answer has the code BOTH at its first token, [CLS].

    Attributes:
      OUTSIDE: not a candidate: padding, the question, separators.
      INSIDE: a candidate that neither starts nor ends the gold answer.
      START: the first token of the gold answer.
      END: the last token of the gold answer.
      BOTH: the gold answer is this token alone.
    """

    OUTSIDE = -1
    INSIDE = 0
    START = 1
    END = 2
    BOTH = 3


def concatenate(first: Any, second: Any) -> Any:
    """Concatenates two sets of inputs, leaves `[U, ...]`, along their first axis.

    Inputs whose leaves are not all of that form have a method `concatenate`.
    """
    if hasattr(first, "concatenate"):
        return first.concatenate(second)
    return jax.tree.map(lambda *xs: jnp.concatenate(xs), first, second)


def masked_outputs(logits: jax.Array, mask: jax.Array) -> ClassOutputs:
    """Puts classes that are masked out below any real logit.

    Args:
      logits: `[U, N]`.
      mask: `[N]` bool, True for the classes of the task.

    Returns:
      The logits, a finite floor where `mask` is False, with the mask.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.base import masked_outputs
      >>> logits = jnp.array([[1.0, 5.0, 2.0]])
      >>> outputs = masked_outputs(logits, jnp.array([True, False, True]))
      >>> print(jnp.argmax(outputs.logits, axis=-1))
      [2]
    """
    # Finite, so that 0 * (-inf) never makes a NaN in a loss or its derivative.
    floor = jnp.asarray(jnp.finfo(logits.dtype).min / 2, logits.dtype)
    return ClassOutputs(jnp.where(mask[None, :], logits, floor), mask)


def choice_outputs(scores: jax.Array, present: jax.Array) -> ClassOutputs:
    """Puts choices that a unit lacks below any real score.

    Args:
      scores: `[U, N]`.
      present: `[U, N]` bool, True for the choices of each unit.

    Returns:
      The scores, a finite floor where `present` is False; the mask is that of choices
      that any unit has.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.base._units import choice_outputs
      >>> present = jnp.array([[True, True, False], [True, True, True]])
      >>> scores = jnp.array([[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]])
      >>> outputs = choice_outputs(scores, present)
      >>> print(jnp.argmax(outputs.logits, axis=-1), outputs.mask)
      [1 2] [ True  True  True]
    """
    floor = jnp.asarray(jnp.finfo(scores.dtype).min / 2, scores.dtype)
    return ClassOutputs(jnp.where(present, scores, floor), present.any(axis=0))


def token_units(targets: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Flattens the tokens of texts to units; those whose target is -1 do not count.

    Args:
      targets: class numbers `[S, L]`; -1 where a token is no unit (padding, special
        tokens, later pieces of a word).
      weights: weights of texts `[S]`; each token has the weight of its text.

    Returns:
      Targets `[S * L]`, 0 in place of -1, and weights `[S * L]`, 0 there.

    Raises:
      AssertionError: if targets or weights have other axes.

    Examples:
      >>> targets = jnp.array([[2, 1], [0, -1]])
      >>> print(*token_units(targets, jnp.array([1.0, 0.5])))
      [2 1 0 0] [1.  1.  0.5 0. ]
    """
    chex.assert_rank(
        [targets, weights],
        [2, 1],
        custom_message="targets of tokens are [S, L], weights of texts [S]",
    )
    chex.assert_equal_shape_prefix(
        [targets, weights],
        1,
        custom_message="targets of tokens are [S, L], weights of texts [S]",
    )
    units = targets >= 0
    counts = jnp.where(units, jnp.asarray(weights)[:, None], 0)
    return jnp.where(units, targets, 0).ravel(), counts.ravel()
