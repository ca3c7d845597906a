"""Single evaluation per task of the encoder stages that do not adapt."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from metaflax import base, tree
from metaflax.base._units import concatenate


class Begun(NamedTuple):
    """Inputs and their outputs of the first stages of an encoder.

    Attributes:
      inputs: inputs of the encoder.
      states: outputs of these stages, leaves `[U, ...]`.
    """

    inputs: Any
    states: Any


def encoding_once(
    encode_fn: base.ApplyFn,
    adapts: tree.Where,
    on: Callable[[base.ApplyFn], base.MetaAlgorithm],
) -> base.MetaAlgorithm:
    """Builds an algorithm that runs stages without adapted parameters once per task.

    The leading stages of the encoder without adapted parameters run on support and
    query, together if the encoder promises `examples_independent` and one after the
    other if not, and inner steps start from their outputs. Under `vmap` over tasks
    their matrix products are merged, since all tasks share these weights. With a key,
    their dropout is sampled once per task, and that of later stages at each step.

    Args:
      encode_fn: the encoder. One that is no `base.StagedApply` is a single stage.
      adapts: paths that inner steps change, in `{"encoder": ..., "head": ...}`.
      on: builds the algorithm on an encoder, with parameters of that form.

    Returns:
      The algorithm, with parameters and inputs of `on(encode_fn)`.
    """
    on_inputs, staged = on(encode_fn), _staged(encode_fn)

    def ahead(params, batches, key):
        """Returns algorithm, parameters, batches and key after the first stages."""
        num = _num_fixed(staged, params["encoder"], adapts)
        if not num:
            return on_inputs, params, batches, key
        ahead_key, key = base.split_key(key)
        batches = _begun(staged, num, params["encoder"], batches, ahead_key)
        params = {**params, "encoder": _read_above(staged, num, params["encoder"])}
        return on(_from_stage(staged, num)), params, batches, key

    def adapt(params, support, key=None):
        algorithm, params, [support], key = ahead(params, [support], key)
        return algorithm.adapt(params, support, key)

    def loss(params, task, key=None, step=None):
        algorithm, params, parts, key = ahead(params, list(task), key)
        return algorithm.loss(params, base.Task(*parts), key, step)

    def resume(params, adapted, support, key=None):
        algorithm, params, [support], key = ahead(params, [support], key)
        assert algorithm.resume is not None  # Else this is not offered.
        return algorithm.resume(params, adapted, support, key)

    return on_inputs._replace(
        adapt=adapt, loss=loss, resume=resume if on_inputs.resume else None
    )


def _staged(encode_fn: base.ApplyFn) -> base.StagedApply:
    """Returns the stages of an encoder; a single one if it defines none."""
    if isinstance(encode_fn, base.StagedApply):
        return encode_fn

    def run(params, inputs, states, key, first, last):
        del states, first, last
        return encode_fn(params, inputs, key)

    return base.StagedApply((tree.everything,), run)


def _num_fixed(staged: base.StagedApply, encoder: Any, adapts: tree.Where) -> int:
    """Counts the leading stages without adapted parameters."""
    adapting = tree.paths(tree.select({"encoder": encoder}, adapts)["encoder"])

    def is_fixed(reads: tree.Where) -> bool:
        return not any(map(tree.where(reads), adapting))

    return len(list(itertools.takewhile(is_fixed, staged.reads)))


def _begun(
    staged: base.StagedApply,
    num: int,
    encoder: Any,
    batches: Sequence[base.Batch],
    key: Any,
) -> list[base.Batch]:
    """Runs the first stages once on each example."""
    if not staged.examples_independent:
        keys = _keys_like_adapt(key, len(batches))
        return [
            batch._replace(
                inputs=Begun(
                    batch.inputs, staged.run(encoder, batch.inputs, None, k, 0, num)
                )
            )
            for batch, k in zip(batches, keys, strict=True)
        ]
    inputs = batches[0].inputs
    for batch in batches[1:]:
        inputs = concatenate(inputs, batch.inputs)
    states = staged.run(encoder, inputs, None, key, 0, num)

    begun, first = [], 0
    for batch in batches:
        last = first + batch.weights.shape[0]
        rows = jax.tree.map(lambda x, part=slice(first, last): x[part], states)
        begun.append(batch._replace(inputs=Begun(batch.inputs, rows)))
        first = last
    return begun


def _keys_like_adapt(key: Any, num: int) -> list[Any]:
    """Returns keys of batches, the first of which is that of a batch alone."""
    if key is None:
        return [None] * num
    return [key, *(jax.random.fold_in(key, i) for i in range(1, num))]


def _read_above(staged: base.StagedApply, num: int, encoder: Any) -> Any:
    """Removes the encoder's parameters that only the first stages use.

    An inner problem that held them would carry derivatives of zero for them.
    """
    below, above = (
        [tree.where(reads) for reads in part]
        for part in (staged.reads[:num], staged.reads[num:])
    )

    def is_done(path: str) -> bool:
        return any(r(path) for r in below) and not any(r(path) for r in above)

    return tree.partition(encoder, is_done)[1]


def _from_stage(staged: base.StagedApply, first: int) -> base.ApplyFn:
    """Returns the encoder that continues from the outputs of the first stages."""
    last = len(staged.reads)

    def encode(params, begun, key):
        if first == last:
            return begun.states
        return staged.run(params, begun.inputs, begun.states, key, first, last)

    return encode
