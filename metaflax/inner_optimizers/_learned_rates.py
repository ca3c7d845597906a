"""Learned learning rates per tensor, layer, parameter or inner step."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from metaflax import _optimizers, base, tree
from metaflax.inner_optimizers._wide import wide_dtype

Per: TypeAlias = Literal["tensor", "layer", "parameter"] | Callable[[str], str]

KeyPath: TypeAlias = tuple[Any, ...]
"""The keys to a leaf, as `jax.tree_util` gives them."""

KNOWN = ("tensor", "layer", "parameter")


class _Steps(NamedTuple):
    """Number of inner steps so far."""

    taken: jax.Array


def learned_rates(
    rate: float = 0.01,
    *,
    per: Per = "tensor",
    num_steps: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> base.InnerOptimizer:
    r"""Learns learning rates per tensor, layer or parameter, and per inner step.

    With :math:`u_k` the update of `optimizer` at step k, part g of the adapted
    parameters takes the step

    .. math:: \phi_{k+1}^g = \phi_k^g - \alpha_{g,k} \odot u_k^g.

    Rates are stored as they are and may become negative, as in Meta-SGD's paper: a
    part that should not follow its gradient on a few examples can go against it.

    Args:
      rate: initial value of all rates. (Meta-SGD's paper draws them at random.)
      per: granularity of the rates. `"tensor"`: each array. `"layer"`: the arrays of
        one module, such as a kernel and its bias, whose paths differ in the last part
        only (in states of NNX, in the last before `value`). `"parameter"`: each number,
        which is Meta-SGD. Or a function from paths such as
        `encoder/layer_0/mlp/up/kernel` to the name of a group, say of a whole
        transformer layer.
      num_steps: K for K rates, one per step; later steps take the last. None for the
        same rate at every step.
      optimizer: an optax transformation that applies no rate, so `optax.trace(0.9)`
        and not `optax.sgd`; Adam is `optax.scale_by_adam(eps_root=1e-8)`, as its root
        of 0 would have no derivative. None leaves the gradient as it is.

    Returns:
      An `InnerOptimizer`. For `"tensor"` and `"parameter"` its hyperparameters are a
      tree like the adapted parameters, otherwise a dict from the name of a layer or
      group to its rate; the layer of arrays without a module is called `(top)`. Each
      rate is a scalar or `[K]`; with `"parameter"` it has the shape of its array.

    Raises:
      ValueError: for an unknown `per`, for `num_steps` that is not positive, for
        rates of each parameter at each step, or for an optimizer without a finite
        derivative where a gradient is 0.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.inner_optimizers import learned_rates
      >>> fast = {"up": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
      >>> inner_optimizer = learned_rates(0.1, per="layer", num_steps=2)
      >>> hyper = inner_optimizer.init(jax.random.key(0), fast)
      >>> print(hyper)
      {'up': Array([0.1, 0.1], dtype=float32)}
      >>> optimizer = inner_optimizer.make(hyper)
      >>> updates, state = optimizer.update(fast, optimizer.init(fast))
      >>> print(updates["up"]["bias"])
      [-0.1 -0.1 -0.1]

    References:
      Li et al., `Meta-SGD: Learning to Learn Quickly for Few-Shot Learning
      <https://arxiv.org/abs/1707.09835>`_, 2017.

      Antoniou et al., `How to Train Your MAML <https://arxiv.org/abs/1810.09502>`_,
      2019: learned rates of each layer at each step.
    """
    _check(per, num_steps)
    if optimizer is not None:
        _optimizers.check_derivative("learned_rates", optimizer)
    group_of = _layer_of if per == "layer" else _by_name(per) if callable(per) else None
    steps = () if num_steps is None else (num_steps,)

    def init(key, fast):
        del key  # All begin alike.
        if group_of is not None:
            groups = _grouped(fast, group_of)
            return {
                name: jnp.full(steps, rate, wide_dtype(leaves))
                for name, leaves in groups.items()
            }
        return jax.tree.map(
            lambda leaf: jnp.full(
                leaf.shape if per == "parameter" else steps, rate, wide_dtype(leaf)
            ),
            fast,
        )

    def make(hyper):
        rates = _times_rates(lambda like: _spread(hyper, group_of, like), num_steps)
        return rates if optimizer is None else optax.chain(optimizer, rates)

    return base.InnerOptimizer(init, make)


def _check(per: Per, num_steps: int | None) -> None:
    if not callable(per) and per not in KNOWN:
        raise ValueError(
            f"no rates per {per!r}; known: {', '.join(KNOWN)}, or a function from a"
            " path to the name of its group."
        )
    if num_steps is None:
        return
    if num_steps < 1:
        raise ValueError(
            f"num_steps is 1 or more, got {num_steps}; None has one rate hold at every"
            " step."
        )
    if per == "parameter":
        raise ValueError(
            f"num_steps={num_steps} and per='parameter' would multiply the model's"
            " size by the number of steps; take per='tensor', or num_steps=None."
        )


def _layer_of(path: KeyPath) -> str:
    """Returns the path of the module that holds an array."""
    *module, last = path
    # A state of NNX ends in the attribute that holds the array of a variable.
    if module and last == jax.tree_util.GetAttrKey("value"):
        module = module[:-1]
    return tree.path_name(tuple(module)) or "(top)"


def _by_name(group_of: Callable[[str], str]) -> Callable[[KeyPath], str]:
    return lambda path: group_of(tree.path_name(path))


def _grouped(fast: Any, group_of: Callable[[KeyPath], str]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(fast):
        groups.setdefault(group_of(path), []).append(leaf)
    return groups


def _spread(
    rates: Any, group_of: Callable[[KeyPath], str] | None, like: Any
) -> optax.Params:
    """Returns a tree with the rate of each array in its place."""
    if group_of is None:
        return rates
    return jax.tree_util.tree_map_with_path(lambda path, _: rates[group_of(path)], like)


def _times_rates(
    rates_for: Callable[[Any], optax.Params], num_steps: int | None
) -> optax.GradientTransformation:
    """Multiplies updates by minus the rates of the current step."""

    def init(params):
        del params
        return _Steps(jnp.zeros((), jnp.int32))

    def update(updates, state, params=None):
        del params

        def scaled(update, rate):
            if num_steps is not None:
                rate = rate[jnp.minimum(state.taken, num_steps - 1)]
            return (-rate * update).astype(update.dtype)

        updates = jax.tree.map(scaled, updates, rates_for(updates))
        return updates, _Steps(state.taken + 1)

    return optax.GradientTransformation(init, update)
