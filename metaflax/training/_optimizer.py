"""The outer optimizer, from a few numbers."""

import inspect
from typing import Any, Literal

import jax
import optax

from metaflax import tree


def schedule(
    shape: Literal["constant", "linear", "cosine"],
    learning_rate: float,
    num_steps: int,
    warmup_steps: int,
) -> optax.Schedule:
    """A rate that rises from 0 over `warmup_steps`, then stays or falls to 0.

    Raises:
      ValueError: for an unknown shape, with the known ones.
    """
    rest = max(1, num_steps - warmup_steps)
    falls = {
        "constant": lambda: optax.constant_schedule(learning_rate),
        "linear": lambda: optax.linear_schedule(learning_rate, 0.0, rest),
        "cosine": lambda: optax.cosine_decay_schedule(learning_rate, rest),
    }
    if shape not in falls:
        raise ValueError(f"unknown schedule {shape!r}; known: {', '.join(falls)}.")
    fall = falls[shape]()
    if not warmup_steps:
        return fall
    rise = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.join_schedules([rise, fall], [warmup_steps])


def outer_optimizer(
    name: str = "adamw",
    learning_rate: float | optax.Schedule = 2e-5,
    *,
    head_learning_rate: float | optax.Schedule | None = None,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
) -> optax.GradientTransformation:
    """Any optax optimizer, with decay of matrices only and clipped gradients.

    Args:
      name: of a function in optax, such as `adamw`, `sgd`, `lion`.
      learning_rate: a number or a schedule.
      head_learning_rate: of parameters under `head`; None for the same.
      weight_decay: for optimizers that take one; biases, norms and scalars are
        left out, as BERT's pretraining does.
      clip_norm: the largest global norm of a gradient; None for no clipping.

    Returns:
      An optax gradient transformation.

    Raises:
      ValueError: if optax has no such optimizer.
    """
    factory: Any = getattr(optax, name, None)
    takes = inspect.signature(factory).parameters if callable(factory) else {}
    if factory is None or "learning_rate" not in takes:
        raise ValueError(
            f"optax has no optimizer {name!r}; take adamw, adam, sgd, lion, adafactor"
            " or another of its names."
        )

    def build(rate: float | optax.Schedule) -> Any:
        kwargs: dict[str, Any] = {"learning_rate": rate}
        if "weight_decay" in takes:
            kwargs["weight_decay"] = weight_decay
        for mask in {"mask", "weight_decay_mask"} & set(takes):
            kwargs[mask] = _is_matrix
        return factory(**kwargs)

    main = build(learning_rate)
    if head_learning_rate is not None:
        main = optax.partition(
            {"head": build(head_learning_rate), "rest": main}, _head_or_rest
        )
    if clip_norm is None:
        return main
    return optax.chain(optax.clip_by_global_norm(clip_norm), main)


def _is_matrix(params: optax.Params):
    return jax.tree.map(lambda x: x.ndim > 1, params)


def _head_or_rest(params: optax.Params):
    in_head = tree.where("head")
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "head" if in_head(tree.path_name(path)) else "rest", params
    )
