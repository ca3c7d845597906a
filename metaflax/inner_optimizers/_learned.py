"""Optimizers of optax with learned hyperparameters."""

import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metaflax import base
from metaflax.inner_optimizers._wide import wide_dtype


def learned(
    factory: Callable[..., optax.GradientTransformation], **hyperparameters: float
) -> base.InnerOptimizer:
    r"""Learns the hyperparameters of an optimizer of optax.

    All adapted parameters share them: with `optax.sgd`, `learning_rate` and `momentum`
    this learns :math:`\alpha` and :math:`\mu` of

    .. math::

      m_{k+1} = \mu m_k + \nabla L(\phi_k), \qquad
      \phi_{k+1} = \phi_k - \alpha m_{k+1}.

    They are stored without a transformation, so nothing but the meta-gradient keeps a
    rate above 0 or a decay below 1; the outer optimizer may take small steps in them,
    apart from the rest (`training.outer_optimizer`). Not all of optax can be
    differentiated: the sign in `optax.lion` hides its decays, and the first steps of
    `optax.radam` give NaN, learned or not.

    Args:
      factory: makes the optimizer, such as `optax.sgd`. Arguments that are not learned
        are bound to it: `functools.partial(optax.adam, eps_root=1e-8)`.
      **hyperparameters: the keyword arguments that are learned, with their initial
        values.

    Returns:
      An `InnerOptimizer`, whose hyperparameters are a dict from name to scalar. The
      optimizer's state is of their type, float32 or wider.

    Raises:
      ValueError: if nothing is learned, or a learned argument is not a number or not
        one that the factory takes; if the factory has an `eps_root` that is not
        positive, since the root in Adam has no derivative at 0, or if it is to be
        learned.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax.inner_optimizers import learned
      >>> inner_optimizer = learned(optax.sgd, learning_rate=0.5, momentum=0.9)
      >>> fast = jnp.ones(2)
      >>> hyper = inner_optimizer.init(jax.random.key(0), fast)
      >>> print(*hyper)
      learning_rate momentum
      >>> optimizer = inner_optimizer.make(hyper)
      >>> updates, state = optimizer.update(fast, optimizer.init(fast))
      >>> print(updates)
      [-0.5 -0.5]

    References:
      Maclaurin et al., `Gradient-based Hyperparameter Optimization through Reversible
      Learning <https://arxiv.org/abs/1502.03492>`_, 2015, for rates and momenta.
    """
    _check(factory, hyperparameters)

    def init(key, fast):
        del key
        dtype = wide_dtype(fast)
        return {name: jnp.asarray(x, dtype) for name, x in hyperparameters.items()}

    def make(hyper):
        return _in_type_of(hyper, factory(**hyper))

    return base.InnerOptimizer(init, make)


def _check(factory: Callable[..., Any], hyperparameters: Mapping[str, Any]) -> None:
    name = getattr(factory, "__name__", None) or repr(factory)
    if not hyperparameters:
        raise ValueError(
            f"nothing of {name} is learned; name a number, such as learning_rate=0.1,"
            " or take the optimizer itself."
        )
    for key, value in hyperparameters.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError(
                f"{key}={value!r} is no number to learn; bind it to the factory:"
                f" functools.partial({name}, {key}=...)."
            )
    signature = inspect.signature(factory)
    try:
        signature.bind(**hyperparameters)
    except TypeError as error:
        raise ValueError(
            f"{name} cannot be called so: {error}; it takes"
            f" {', '.join(signature.parameters)}."
        ) from error
    eps_root = signature.parameters.get("eps_root")
    if eps_root is None:
        return
    if "eps_root" in hyperparameters or not eps_root.default > 0:
        raise ValueError(
            f"{name} takes the root of a number that is 0 where a gradient is, and has"
            " no derivative there; fix a positive one to be added:"
            " functools.partial(optax.adam, eps_root=1e-8)."
        )


def _in_type_of(
    hyper: Any, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Runs an optimizer in the type of its hyperparameters; updates keep their type.

    A gradient in bfloat16 times a learned number is float32, so that the optimizer's
    state would otherwise change its type from one step to the next.
    """
    dtype = wide_dtype(hyper)

    def cast(values: Any) -> Any:
        return jax.tree.map(lambda x: x.astype(dtype), values)

    def init(params):
        return optimizer.init(cast(params))

    def update(updates, state, params=None):
        wide, state = optimizer.update(cast(updates), state, cast(params))
        return jax.tree.map(lambda w, u: w.astype(u.dtype), wide, updates), state

    return optax.GradientTransformation(init, update)
