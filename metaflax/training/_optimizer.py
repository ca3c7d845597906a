"""Outer optimizer and its learning-rate schedules."""

import inspect
from collections.abc import Callable
from typing import Any, Literal

import jax
import optax

from metaflax import _optimizers, tree


def schedule(
    shape: Literal["constant", "linear", "cosine"],
    learning_rate: float,
    num_steps: int,
    warmup_steps: int,
) -> optax.Schedule:
    """Creates a schedule with linear warmup from 0, then constant or decaying to 0.

    Args:
      shape: name of the shape after the warmup.
      learning_rate: peak learning rate.
      num_steps: total number of outer steps.
      warmup_steps: number of steps in which the rate rises from 0 to its peak.

    Returns:
      The learning rate as a function of the step.

    Raises:
      ValueError: for an unknown shape (the message lists the known ones), a rate that
        is not positive and finite, or more warmup steps than steps.

    Examples:
      >>> from metaflax import training
      >>> rate = training.schedule("linear", 1.0, num_steps=8, warmup_steps=4)
      >>> [float(rate(step)) for step in (0, 2, 4, 6, 8)]
      [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    _optimizers.check_rates(learning_rate=learning_rate)
    if not 0 <= warmup_steps <= num_steps:
        raise ValueError(
            f"warmup_steps is {warmup_steps}; give 0 to num_steps={num_steps}."
        )
    rest = max(1, num_steps - warmup_steps)
    decays = {
        "constant": lambda: optax.constant_schedule(learning_rate),
        "linear": lambda: optax.linear_schedule(learning_rate, 0.0, rest),
        "cosine": lambda: optax.cosine_decay_schedule(learning_rate, rest),
    }
    if shape not in decays:
        raise ValueError(f"unknown schedule {shape!r}; known: {', '.join(decays)}.")
    decay = decays[shape]()
    if not warmup_steps:
        return decay
    warmup = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.join_schedules([warmup, decay], [warmup_steps])


def outer_optimizer(
    name: str = "adamw",
    learning_rate: float | optax.Schedule = 2e-5,
    *,
    head_learning_rate: float | optax.Schedule | None = None,
    inner_learning_rate: float | optax.Schedule | None = None,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
) -> optax.GradientTransformation:
    """Creates an optax optimizer with weight decay of matrices and gradient clipping.

    Args:
      name: name of an optax optimizer, such as `adamw`, `sgd`, `lion`, or an import
        path such as `optax.contrib:muon`.
      learning_rate: a number or a schedule.
      head_learning_rate: learning rate of parameters under `head`; None for
        `learning_rate`.
      inner_learning_rate: learning rate of parameters under `inner`, the learned
        parameters of an inner optimizer; None for `learning_rate`.
      weight_decay: weight decay, for optimizers that support it. Biases, norms and
        scalars are excluded, as in BERT's pretraining, and so are parameters under
        `inner`, since a learned rate or a matrix initialised as the identity should not
        shrink.
      clip_norm: maximum global norm of the gradient; None for no clipping.

    Returns:
      An optax gradient transformation.

    Raises:
      ValueError: if there is no such optimizer, or a rate or the norm is not positive
        and finite.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import training
      >>> params = {"encoder": jnp.ones((1, 1)), "head": jnp.ones(1)}
      >>> optimizer = training.outer_optimizer(
      ...     "sgd", 0.1, head_learning_rate=1.0, clip_norm=None
      ... )
      >>> grads = jax.tree.map(jnp.ones_like, params)
      >>> updates, _ = optimizer.update(grads, optimizer.init(params), params)
      >>> print(updates["encoder"], updates["head"])
      [[-0.1]] [-1.]
    """
    _optimizers.check_rates(
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        inner_learning_rate=inner_learning_rate,
    )
    _optimizers.check_clip_norm(clip_norm)
    factory = _optimizers.by_name(name)
    accepted = inspect.signature(factory).parameters
    masks = {"mask", "weight_decay_mask"} & set(accepted)

    def build(rate: float | optax.Schedule, decay: float) -> Any:
        kwargs: dict[str, Any] = {
            "learning_rate": rate,
            **dict.fromkeys(masks, _decays),
        }
        if "weight_decay" in accepted:
            kwargs["weight_decay"] = decay
        return factory(**kwargs)

    main = build(learning_rate, weight_decay)
    parts = {}
    if head_learning_rate is not None:
        parts["head"] = build(head_learning_rate, weight_decay)
    if inner_learning_rate is not None:
        parts["inner"] = build(inner_learning_rate, 0.0)
    elif "weight_decay" in accepted and not masks:  # It would decay all parameters.
        parts["inner"] = build(learning_rate, 0.0)
    if parts:
        main = optax.partition({**parts, "rest": main}, _labels(*parts))
    if clip_norm is None:
        return main
    return optax.chain(optax.clip_by_global_norm(clip_norm), main)


def _decays(params: optax.Params):
    """Returns a mask: true for matrices, except those of an inner optimizer."""
    in_inner = tree.where("inner")
    return jax.tree_util.tree_map_with_path(
        lambda path, x: x.ndim > 1 and not in_inner(tree.path_name(path)), params
    )


def _labels(*parts: str) -> Callable[[optax.Params], Any]:
    """Returns a function that labels parameters by their part, or `rest`."""

    def label(path, _):
        top = tree.path_name(path).partition("/")[0]
        return top if top in parts else "rest"

    return lambda params: jax.tree_util.tree_map_with_path(label, params)
