"""Gradient accumulation over micro-batches, for tasks that exceed memory."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metaflax import base


def micro_batched(apply_fn: base.ApplyFn, size: int) -> base.ApplyFn:
    """Wraps a model to store the activations of one micro-batch at a time.

    Examples of a task, support and query alike, pass one micro-batch after another.
    Activations of a micro-batch are recomputed in the backward pass, where gradients
    with respect to parameters add up, so that the memory of activations is that of one
    micro-batch, whatever the estimator.

    Outputs of all examples are concatenated before heads and losses. So nothing depends
    on the size but rounding: neither means over examples or over tokens, nor weights of
    classes, nor heads that are fitted to the whole support set. Outputs themselves are
    stored: for a language model, the logits of all tokens.

    Args:
      apply_fn: a model or encoder that treats examples one by one; of a
        `base.StagedApply` each run of stages is micro-batched.
      size: largest number of examples of a micro-batch. Sizes are as even as possible,
        and micro-batches are padded with examples whose outputs are dropped.

    Returns:
      An `ApplyFn`, a `base.StagedApply` if `apply_fn` is one. Given a key, every
      micro-batch has a separate key for dropout. Inputs with leaves across examples
      need a method `unpacked`: for `models.Tokens` the model then computes padding too,
      since no packing is known for parts of a batch. Outputs without an axis of
      examples, such as a class mask, are taken from all examples at once, which saves
      nothing where they depend on any.

    Raises:
      ValueError: if `size` is not positive, and when called if leaves of the inputs
        differ in their number of examples, or outputs have another number of rows.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> from metaflax.algorithms import micro_batched
      >>> import metaflax, optax
      >>> from metaflax import losses
      >>> algorithm = metaflax.maml(
      ...     apply_fn=micro_batched(lambda w, x, key: jnp.tanh(w * x), 2),
      ...     loss_fn=losses.squared_error,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     inner_optimizer=optax.sgd(0.1),
      ... )
      >>> support = base.Batch(jnp.ones(5), jnp.zeros(5), jnp.ones(5))
      >>> adapted, _ = algorithm.adapt(jnp.ones(()), support)
      >>> print(f"{adapted:.4f}")
      0.6462

    References:
      Chen et al., `Training Deep Nets with Sublinear Memory Cost
      <https://arxiv.org/abs/1604.06174>`_, 2016, for computing activations
      again; here those of a micro-batch instead of a layer.
    """
    if size < 1:
        raise ValueError(f"a micro-batch has one example at least, got size={size}.")
    if not isinstance(apply_fn, base.StagedApply):

        def apply(params, inputs, key=None):
            def on(inputs, key):
                return apply_fn(params, inputs, key)

            return _accumulating(on, inputs, key, size)

        return apply

    staged = apply_fn

    def run(params, inputs, states, key, first, last):
        def on(both, key):
            inputs, states = both
            return staged.run(params, inputs, states, key, first, last)

        return _accumulating(on, (inputs, states), key, size)

    return dataclasses.replace(staged, run=run)


def _accumulating(
    fn: Callable[[Any, Any], Any], inputs: Any, key: Any, size: int
) -> Any:
    """Evaluates `fn(inputs, key)` on at most `size` examples at a time."""
    each = without_packing(inputs)
    U = _num_examples(each)
    if size >= U:
        return fn(inputs, key)
    num = -(-U // size)
    part = -(-U // num)
    # Padded with existing examples, since zeros may have no finite derivative.
    filled = jax.tree.map(lambda x: jnp.concatenate([x, x[: num * part - U]]), each)
    parts = jax.tree.map(lambda x: x.reshape(num, part, *x.shape[1:]), filled)
    keys = None if key is None else jax.random.split(key, num)

    whole, treedef = jax.tree.flatten(jax.eval_shape(fn, each, key))
    first = jax.tree.map(lambda x: x[0], (parts, keys))
    of_part = jax.tree.leaves(jax.eval_shape(fn, *first))
    has_rows = [_has_rows(w, p, U, part) for w, p in zip(whole, of_part, strict=True)]

    def rows_of(part):
        leaves = jax.tree.leaves(fn(*part))
        return [x for x, has in zip(leaves, has_rows, strict=True) if has]

    # In a separate loop nothing merges the second run with the first. A derivative
    # uses up one mark to run again, and a meta-gradient is the second one.
    again = functools.partial(jax.checkpoint, prevent_cse=False)
    rows = iter(jax.lax.map(again(again(rows_of)), (parts, keys)))
    shared = [None] * len(whole) if all(has_rows) else jax.tree.leaves(fn(each, key))
    leaves = [
        next(rows).reshape(num * part, *w.shape[1:])[:U] if has else x
        for w, x, has in zip(whole, shared, has_rows, strict=True)
    ]
    return jax.tree.unflatten(treedef, leaves)


def without_packing(inputs: Any) -> Any:
    """Replaces leaves that are packed across examples by their unpacked form."""

    def is_packed(x: Any) -> bool:
        return hasattr(x, "unpacked")

    return jax.tree.map(
        lambda x: x.unpacked() if is_packed(x) else x, inputs, is_leaf=is_packed
    )


def _num_examples(inputs: Any) -> int:
    shapes = {jnp.shape(x) for x in jax.tree.leaves(inputs)}
    numbers = {shape[:1] for shape in shapes}
    if len(numbers) != 1 or () in numbers:
        raise ValueError(
            "micro-batches are taken of inputs whose leaves are [U, ...] for U"
            f" examples, got shapes {', '.join(map(str, sorted(shapes)))}."
        )
    return numbers.pop()[0]


def _has_rows(whole: Any, of_part: Any, U: int, part: int) -> bool:
    """Returns whether an output has an axis of examples."""
    if whole.shape == of_part.shape:
        return False
    if of_part.shape == (part, *whole.shape[1:]) and whole.shape[0] == U:
        return True
    raise ValueError(
        "micro-batches are taken of models whose outputs are [U, ...] for U examples,"
        f" got {list(whole.shape)} for {U} and {list(of_part.shape)} for {part}."
    )
