"""Cross-entropies that mask padding and absent classes."""

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import _checks, base
from metaflax.losses._weighted import nan_unless, weighted_mean, zero_padding


def softmax_cross_entropy(
    outputs: base.ClassOutputs,
    targets: jax.Array,
    weights: jax.Array,
    *,
    label_smoothing: float = 0.0,
    class_weights: jax.Array | None = None,
) -> jax.Array:
    """Computes the softmax cross-entropy of padded classes, or choices of each row.

    Args:
      outputs: logits `[U, N]` and the class mask `[N]`. Where rows differ in their
        choices, the logits of absent ones are out of reach, so that they get no
        probability; label smoothing does not apply to such rows.
      targets: class numbers `[U]`, from 0 to N - 1, or numbers of choices.
      weights: `[U]`; 0 marks padding.
      label_smoothing: the share of a target spread evenly over present classes.
      class_weights: `[N]`, how much examples of each class count; the mean divides
        by their sum, as torch does.

    Returns:
      The weighted mean over units, in nats; NaN, as is its derivative, where the
      target of a unit that counts is no class number.

    Raises:
      AssertionError: if the axes are others.
      ValueError: if the outputs are no `ClassOutputs`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> from metaflax.losses import softmax_cross_entropy
      >>> outputs = base.ClassOutputs(jnp.zeros((1, 4)), jnp.ones(4, bool))
      >>> loss = softmax_cross_entropy(outputs, jnp.array([2]), jnp.ones(1))
      >>> print(f"{loss:.4f}")  # log(4)
      1.3863

    References:
      Label smoothing: Szegedy et al., `Rethinking the Inception Architecture for
      Computer Vision <https://arxiv.org/abs/1512.00567>`_, 2016, section 7.
    """
    _checks.check_class_outputs(outputs)
    chex.assert_rank([targets, weights], 1, custom_message="targets and weights: [U]")
    chex.assert_equal_shape_prefix(
        [outputs.logits, targets, weights],
        1,
        custom_message="logits are [U, N], targets and weights [U]",
    )
    logits = zero_padding(outputs.logits, weights)
    num_classes = logits.shape[-1]
    # The nearest class stands in for a number that is none: where no label is set, XLA
    # makes a derivative 0 that is to be NaN.
    nearest = jnp.clip(targets, 0, num_classes - 1)
    labels = jax.nn.one_hot(nearest, num_classes, dtype=logits.dtype)
    if label_smoothing:
        present = outputs.mask.astype(labels.dtype)
        even = present / jnp.maximum(jnp.sum(present), 1)
        labels = (1 - label_smoothing) * labels + label_smoothing * even[None, :]
    if class_weights is not None:
        weights = weights.astype(labels.dtype) * class_weights[nearest]
    each = optax.softmax_cross_entropy(logits, labels)
    valid = (targets >= 0) & (targets < num_classes)
    return weighted_mean(nan_unless(valid, each), weights)


def sigmoid_cross_entropy(
    outputs: base.ClassOutputs,
    targets: jax.Array,
    weights: jax.Array,
    *,
    label_smoothing: float = 0.0,
    class_weights: jax.Array | None = None,
) -> jax.Array:
    """Computes the mean binary cross-entropy of labels, any number per unit.

    Args:
      outputs: logits `[U, N]` and the mask `[N]`; absent labels are left out.
      targets: 0 or 1, `[U, N]`; a binary task has N = 1.
      weights: `[U]`; 0 marks padding.
      label_smoothing: moves targets this share of the way to one half.
      class_weights: `[N]`, how much each label counts.

    Returns:
      The weighted mean over units of the mean over labels, in nats.

    Raises:
      AssertionError: if the axes are others.
      ValueError: if the outputs are no `ClassOutputs`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> from metaflax.losses import sigmoid_cross_entropy
      >>> outputs = base.ClassOutputs(jnp.zeros((1, 2)), jnp.ones(2, bool))
      >>> loss = sigmoid_cross_entropy(outputs, jnp.array([[0, 1]]), jnp.ones(1))
      >>> print(f"{loss:.4f}")  # log(2)
      0.6931
    """
    _checks.check_class_outputs(outputs)
    chex.assert_equal_shape(
        [outputs.logits, targets], custom_message="multi-label targets are [U, N]"
    )
    chex.assert_equal_shape_prefix(
        [targets, weights], 1, custom_message="logits are [U, N], weights [U]"
    )
    chex.assert_rank(weights, 1, custom_message="weights are [U]")
    mask = outputs.mask[None, :]
    logits = jnp.where(mask, zero_padding(outputs.logits, weights), 0)
    targets = targets.astype(logits.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    each = optax.sigmoid_binary_cross_entropy(logits, targets)  # [U, N]
    counts = mask.astype(logits.dtype)
    if class_weights is not None:
        counts = counts * class_weights[None, :]
    total = jnp.sum(counts, axis=-1)
    per_unit = jnp.sum(each * counts, axis=-1) / jnp.where(total > 0, total, 1)
    return weighted_mean(per_unit, weights)


def balanced_class_weights(
    targets: jax.Array, weights: jax.Array, num_classes: int
) -> jax.Array:
    """Computes class weights that balance classes: U / (N_present x count).

    Args:
      targets: `[U]` class numbers.
      weights: `[U]`, 0 for padding.
      num_classes: N.

    Returns:
      `[N]` weights.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import balanced_class_weights
      >>> print(balanced_class_weights(jnp.array([0, 0, 0, 1]), jnp.ones(4), 2))
      [0.6666667 2.       ]
    """
    one_hot = jax.nn.one_hot(targets, num_classes, dtype=weights.dtype)
    counts = jnp.sum(one_hot * weights[:, None], axis=0)
    present = jnp.sum((counts > 0).astype(weights.dtype))
    balanced = jnp.sum(counts) / (present * jnp.where(counts > 0, counts, 1))
    return jnp.where(counts > 0, balanced, 0)


def balanced_label_weights(targets: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes label weights, inverse to the label's frequency, with mean 1.

    Args:
      targets: `[U, N]`, 1 where a unit has the label.
      weights: `[U]`, 0 for padding.

    Returns:
      `[N]` weights.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import balanced_label_weights
      >>> targets = jnp.array([[1, 1], [1, 0], [1, 0]])
      >>> print(balanced_label_weights(targets, jnp.ones(3)))
      [0.5 1.5]
    """
    counts = jnp.sum(targets.astype(weights.dtype) * weights[:, None], axis=0)
    present = (counts > 0).astype(weights.dtype)
    inverse = present / jnp.where(counts > 0, counts, 1)
    total = jnp.sum(inverse)
    return inverse * jnp.sum(present) / jnp.where(total > 0, total, 1)
