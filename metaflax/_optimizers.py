"""Optimizers of optax: lookup by name, and requirements of the inner loop."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaflax import _registry

__all__ = [
    "as_transformation",
    "by_name",
    "check_clip_norm",
    "check_derivative",
    "check_rates",
    "name_of",
]

Factory = Callable[..., optax.GradientTransformation]


def by_name(name: str) -> Factory:
    """Looks up the factory of an optimizer that has a learning rate.

    Args:
      name: name of an optimizer in optax, such as `adamw`, or an import path
        `package.module:attribute`, such as `optax.contrib:muon`.

    Returns:
      A function of `learning_rate` and further keyword arguments.

    Raises:
      ValueError: if there is no such optimizer, or it needs more than a learning rate
        and gradients.

    Examples:
      >>> optimizer = by_name("sgd")(learning_rate=0.5)
      >>> updates, _ = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
      >>> print(updates)
      [-0.5 -0.5]
    """
    if ":" in name:
        factory: Any = _registry.resolve("optimizer", {}, name)
    else:
        factory = getattr(optax, name, None)
    if not _takes_learning_rate(factory):
        place = "there is" if ":" in name else "optax has"
        raise ValueError(
            f"{place} no optimizer {name!r}; take adamw, adam, sgd, lion, adafactor or"
            " another optimizer of optax with a learning_rate, or an import path such"
            " as optax.contrib:muon."
        )
    try:
        jax.eval_shape(_steps_of(factory(learning_rate=0.1), {}), _TREE, _TREE)
    except Exception as error:  # Code of other packages may raise any type.
        raise ValueError(
            f"the optimizer {name!r} needs more than a learning rate and gradients"
            f" ({_first_line(error)}); take adamw, adam, sgd, lion or adafactor."
        ) from error
    return factory


def _takes_learning_rate(factory: Any) -> bool:
    if not callable(factory) or isinstance(factory, type):
        return False
    try:
        return "learning_rate" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # Builtins have no signature.
        return False


def as_transformation(optimizer: Any) -> optax.GradientTransformation:
    """Returns an inner optimizer as an optax transformation.

    Args:
      optimizer: an optax transformation or `optax.MultiSteps`.

    Raises:
      ValueError: if it is neither.
    """
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    if isinstance(optimizer, optax.GradientTransformation):
        return optimizer
    name = getattr(optimizer, "__name__", None) or repr(optimizer)
    raise ValueError(
        f"the inner optimizer is {name}, a {type(optimizer).__name__}; give an optax"
        " optimizer such as optax.sgd(0.1), or one of metaflax.inner_optimizers."
    )


def check_rates(**rates: Any) -> None:
    """Refuses rates that are not positive and finite; schedules and None pass.

    Raises:
      ValueError: with the name and the number.
    """
    for name, rate in rates.items():
        if rate is None or callable(rate):
            continue
        if not 0 < rate < math.inf:
            raise ValueError(f"{name} is {rate}; give a finite number above 0.")


def check_clip_norm(clip_norm: float | None) -> None:
    """Raises ValueError if a norm to clip by is not positive; None passes."""
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(
            f"clip_norm is {clip_norm}; give a number above 0, or None for no clipping."
        )


def name_of(optimizer: optax.GradientTransformation) -> str:
    """Returns the name of the function that made an optimizer, as far as it is known.

    Examples:
      >>> name_of(optax.scale_by_adam())
      'scale_by_adam'
    """
    name = getattr(optimizer.update, "__qualname__", "")
    return name.partition(".<locals>")[0] or repr(optimizer)


def check_derivative(user: str, optimizer: Any, *, of_gradients: bool = True) -> None:
    """Refuses an optimizer that has no finite derivative where a gradient is 0.

    It is tried on a small tree where some entries of the gradient are 0, as in the rows
    of an embedding table that a task does not use. An optimizer for other trees only,
    such as one with a label per parameter, is not tried.

    Args:
      user: what differentiates through it, for the message.
      optimizer: an optax transformation.
      of_gradients: whether gradients are differentiated too, not parameters alone.

    Raises:
      ValueError: if the derivative is not finite, or there is none in reverse mode.
    """
    _check_derivative_once(user, optimizer, of_gradients)


# Algorithms are built anew while they are traced, with the same optimizer.
@functools.lru_cache(maxsize=64)
def _check_derivative_once(user: str, optimizer: Any, of_gradients: bool) -> None:
    taking_extra = optax.with_extra_args_support(as_transformation(optimizer))
    steps = _steps_of(taking_extra, _value_and_grad_of)
    try:
        jax.eval_shape(steps, _TREE, _TREE)
    except _OF_OTHER_TREES:  # The inner solve reports any other fault.
        return
    with jax.ensure_compile_time_eval():
        grads = jax.tree.map(lambda x: jnp.zeros_like(x).at[0].set(1), _TREE)
        try:
            if of_gradients:
                _, pull = jax.vjp(steps, grads, _TREE)
            else:
                _, pull = jax.vjp(lambda fast: steps(grads, fast), _TREE)
            slopes = pull(_TREE)
        except _NOT_DIFFERENTIABLE as error:
            raise ValueError(
                f"{user} differentiates the inner optimizer"
                f" {name_of(optimizer)}, which has no derivative in reverse mode"
                f" ({_first_line(error)}); take another optimizer such as optax.sgd, or"
                " the estimator displacement."
            ) from error
        finite = all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(slopes))
    if not finite:
        raise ValueError(
            f"{user} differentiates the inner optimizer, whose derivative is not finite"
            " where an entry of a gradient is 0, as the root in Adam has none there;"
            " give it a positive eps_root, as in optax.adam(0.01, eps_root=1e-8), or"
            " take another optimizer, or the estimator first_order."
        )


# What optimizers raise for parameters of another structure: a missing field, key,
# argument or leaf, or a failed check.
_OF_OTHER_TREES = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
# What JAX raises for an operation without a derivative in reverse mode: a while loop or
# a callback, a function with a rule for forward mode only, a primitive without any.
_NOT_DIFFERENTIABLE = (ValueError, TypeError, NotImplementedError)

# Arrays of NumPy, since importing a module must not start a device.
_TREE = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}


def _value_and_grad_of(grads: Any) -> dict[str, Any]:
    """Returns extra arguments as the inner loop gives them."""
    value = optax.tree.norm(grads, squared=True)
    return {
        "value": value,
        "grad": grads,
        "value_fn": lambda fast: optax.tree.norm(fast, squared=True),
    }


def _steps_of(optimizer: Any, extra: Any) -> Callable[[Any, Any], Any]:
    """Returns a function that takes two steps of an optimizer along one gradient."""

    def steps(grads, fast):
        state = optimizer.init(fast)
        for _ in range(2):
            extra_args: Any = extra(grads) if callable(extra) else extra
            updates, state = optimizer.update(grads, state, fast, **extra_args)
            fast = optax.apply_updates(fast, updates)
        return fast

    return steps


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
