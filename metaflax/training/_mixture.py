"""Mixtures: several algorithms that share an encoder.

The parameters of a mixture are `{"encoder": ..., "head": {NAME: ...}, "inner": {NAME:
...}}`: all members share the encoder, and each has private parameters under its name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import chex
import jax
import optax

from metaflax import base, tree
from metaflax.training._partitioned_optimizer import in_parts
from metaflax.tree._selection import PathFilter

ENCODER = "encoder"


def shared_params(members: Mapping[str, Any]) -> Any:
    """Combines the parameters of members into those of a mixture.

    Args:
      members: parameters by member, `{"encoder": ..., "head": ...}` and further groups;
        all encoders are the same.

    Returns:
      The encoder, and all other groups by member.

    Examples:
      >>> params = {"encoder": 1, "head": 2}
      >>> shared_params({"words": params, "intents": {**params, "inner": 3}})
      {'encoder': 1, 'head': {'words': 2, 'intents': 2}, 'inner': {'intents': 3}}
    """
    shared: dict[str, Any] = {}
    for name, params in members.items():
        for group, part in params.items():
            if group == ENCODER:
                shared[group] = part
            else:
                shared.setdefault(group, {})[name] = part
    return shared


def member_params(params: Any, name: str) -> Any:
    """Returns the parameters of one member of a mixture.

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


def member_paths(name: str, trains: tree.Where = tree.everything) -> PathFilter:
    """Returns which parameters a member's steps train: encoder and private ones.

    Args:
      name: name of the member.
      trains: paths of all trained parameters of the mixture.

    Returns:
      A predicate on paths.

    Examples:
      >>> changed = member_paths("words", ["*", "!inner"])
      >>> [changed(p) for p in ("encoder/norm", "head/words/bias", "inner/words/rate")]
      [True, True, False]
      >>> changed("head/intents/bias")
      False
    """
    trainable, private = tree.where(trains), _private(name)
    return lambda path: (
        trainable(path) and (path.startswith(f"{ENCODER}/") or private(path))
    )


def _private(name: str) -> PathFilter:
    """Returns a predicate for paths of a member's private parameters."""

    def is_private(path: str) -> bool:
        group, *rest = path.split("/")
        return group != ENCODER and rest[:1] == [name]

    return is_private


def mixture_optimizer(
    optimizer: optax.GradientTransformation,
    members: Sequence[str],
    active: str,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Creates the optimizer of a mixture for the steps of one member.

    Args:
      optimizer: optimizer for the encoder and for each member's private parameters.
      members: names of all members.
      active: name of the trained member; neither parameters nor moments of other
        members change, see `in_parts`.
      clip_norm: maximum global norm of the gradient of encoder and private parameters;
        None for no clipping.

    Returns:
      An optax gradient transformation; its state has the same structure whichever
      member is active.
    """
    # These names are part of checkpoints.
    private = {f"own_{name}": _private(name) for name in members}
    active_parts = [ENCODER, f"own_{active}"]
    parts = in_parts(optimizer, {ENCODER: ENCODER, **private}, active_parts)
    if clip_norm is None:
        return parts
    return optax.chain(optax.clip_by_global_norm(clip_norm), parts)


def for_member(
    algorithm: base.MetaAlgorithm, name: str, loss_weight: float = 1.0
) -> base.MetaAlgorithm:
    """Converts a member's algorithm to one on the parameters of the mixture.

    Args:
      algorithm: algorithm on the member's parameters.
      name: name of the member.
      loss_weight: factor of its loss.

    Returns:
      The algorithm; the gradient of its loss is 0 for other members' private
      parameters. `init` still returns the member's parameters.
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

    def resume(params, adapted, support, key=None):
        assert algorithm.resume is not None  # Else there is no `resume`.
        return algorithm.resume(member_params(params, name), adapted, support, key)

    of_mixture = algorithm._replace(
        adapt=adapt,
        predict=predict,
        loss=weighted(algorithm.loss),
        resume=resume if algorithm.resume else None,
    )
    few = algorithm.few_rows
    if few is None:
        return of_mixture

    def read(params, task):
        return few.read(member_params(params, name), task)

    return of_mixture._replace(
        few_rows=few._replace(read=read, loss=weighted(few.loss))
    )
