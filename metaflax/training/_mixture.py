"""Parameters of several algorithms over one encoder, and each algorithm on them.

They are `{"encoder": ..., "head": {NAME: ...}, "inner": {NAME: ...}}`: the encoder is
everybody's, all else a member's own, under its name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import chex
import jax
import optax

from metaflax import base, tree
from metaflax.training._parts import in_parts

ENCODER = "encoder"


def shared_params(members: Mapping[str, Any]) -> Any:
    """The parameters of a mixture, from those of its members.

    Args:
      members: by name, `{"encoder": ..., "head": ...}` and what else there is; the
        encoders are the same one.

    Returns:
      Their encoder, and all else by member.

    Examples:
      >>> own = {"encoder": 1, "head": 2}
      >>> shared_params({"words": own, "intents": {**own, "inner": 3}})
      {'encoder': 1, 'head': {'words': 2, 'intents': 2}, 'inner': {'intents': 3}}
    """
    shared: dict[str, Any] = {}
    for name, params in members.items():
        for group, own in params.items():
            if group == ENCODER:
                shared[group] = own
            else:
                shared.setdefault(group, {})[name] = own
    return shared


def member_params(params: Any, name: str) -> Any:
    """The parameters of one member, from those of the mixture.

    Examples:
      >>> shared = {"encoder": 1, "head": {"a": 2, "b": 3}, "inner": {"b": 4}}
      >>> member_params(shared, "a")
      {'encoder': 1, 'head': 2}
    """
    return {
        group: part if group == ENCODER else part[name]
        for group, part in params.items()
        if group == ENCODER or name in part
    }


def member_paths(name: str, trains: tree.Where = tree.everything) -> tree.PathFilter:
    """The paths that a member's steps change: the encoder's and its own.

    Args:
      name: of the member.
      trains: what the run changes, of all parameters of the mixture.

    Returns:
      A predicate on paths.

    Examples:
      >>> changed = member_paths("words", ["*", "!inner"])
      >>> [changed(p) for p in ("encoder/norm", "head/words/bias", "inner/words/rate")]
      [True, True, False]
      >>> changed("head/intents/bias")
      False
    """
    wanted, own = tree.where(trains), _own(name)
    return lambda path: wanted(path) and (path.startswith(f"{ENCODER}/") or own(path))


def _own(name: str) -> tree.PathFilter:
    """The paths of what is a member's alone."""

    def is_own(path: str) -> bool:
        group, *rest = path.split("/")
        return group != ENCODER and rest[:1] == [name]

    return is_own


def mixture_optimizer(
    optimizer: optax.GradientTransformation,
    members: Sequence[str],
    active: str,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """The optimizer of a mixture's parameters, in the steps of one member.

    Args:
      optimizer: of the encoder, and of each member's own.
      members: all of them.
      active: whose steps; of the other members neither parameters nor moments change,
        see `in_parts`.
      clip_norm: the largest norm of a gradient, of encoder and member together; None
        for no clipping.

    Returns:
      An optax gradient transformation, whose state is the same for all members.
    """
    own = {f"own_{name}": _own(name) for name in members}
    parts = in_parts(optimizer, {ENCODER: ENCODER, **own}, [ENCODER, f"own_{active}"])
    if clip_norm is None:
        return parts
    return optax.chain(optax.clip_by_global_norm(clip_norm), parts)


def for_member(
    algorithm: base.MetaAlgorithm, name: str, loss_weight: float = 1.0
) -> base.MetaAlgorithm:
    """A member's algorithm on the parameters of the mixture.

    Args:
      algorithm: on parameters of its own.
      name: of the member.
      loss_weight: factor of its loss.

    Returns:
      The algorithm, of which the outer loop uses the loss: its gradient is 0 for what
      is other members' own. `init` still gives the member's own parameters.
    """

    def weighted(loss: base.MetaLossFn) -> base.MetaLossFn:
        def weighted_loss(
            params: Any,
            task: base.Task,
            key: chex.PRNGKey | None = None,
            step: jax.Array | int | None = None,
        ):
            value, info = loss(member_params(params, name), task, key, step)
            return loss_weight * value, info

        return weighted_loss

    def adapt(params, support, key=None):
        return algorithm.adapt(member_params(params, name), support, key)

    def predict(params, adapted, inputs, key=None):
        return algorithm.predict(member_params(params, name), adapted, inputs, key)

    of_mixture = algorithm._replace(
        adapt=adapt, predict=predict, loss=weighted(algorithm.loss)
    )
    few = algorithm.few_rows
    if few is None:
        return of_mixture

    def read(params, task):
        return few.read(member_params(params, name), task)

    return of_mixture._replace(
        few_rows=few._replace(read=read, loss=weighted(few.loss))
    )
