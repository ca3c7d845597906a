"""Output layers that a network generates from the examples of each class."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._mlp import cast, dense, dense_init


def leopard(num_features: int, num_classes: int, *, num_hidden: int = 256) -> base.Head:
    r"""Linear output layer generated from the support examples of each class.

    .. math::

      (w_n, b_n) = \frac{1}{|C_n|} \sum_{i \in C_n} g_\psi(f(x_i)), \qquad
      p(\cdot | x) = \mathrm{softmax}(W h_\phi(f(x)) + b),

    where g and h have two layers each, with tanh between. The generator
    :math:`\psi` belongs to the outer loop alone; :math:`\phi`, W and b are in the
    state, where inner steps adapt them.

    Nothing learned depends on N, so that way may vary. The last layer of each is
    linear here, so that the generated weights are unbounded.

    Args:
      num_features: D.
      num_classes: N, the largest way.
      num_hidden: the width of both networks and of the generated rows.

    Returns:
      A `Head` for one class a unit (`classes`).

    Raises:
      ValueError: if `num_hidden` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.heads import leopard
      >>> head = leopard(3, 2, num_hidden=4)
      >>> params = head.init(jax.random.key(0))
      >>> state = head.fit(params, jnp.eye(3), jnp.array([0, 0, 1]), jnp.ones(3))
      >>> print(sorted(state), state["kernel"].shape)
      ['bias', 'embed', 'kernel', 'mask'] (4, 2)

    References:
      Bansal et al., `Learning to Few-Shot Learn Across Diverse Natural Language
      Classification Tasks <https://arxiv.org/abs/1911.03863>`_, 2020, section 3.1.
    """
    if num_hidden < 1:
        raise ValueError(f"num_hidden is 1 or more, got {num_hidden}.")

    def init(key):
        embed_key, generate_key = jax.random.split(key)
        return {
            "embed": _mlp_init(embed_key, num_features, num_hidden, num_hidden),
            "generate": _mlp_init(
                generate_key, num_features, num_hidden, num_hidden + 1
            ),
        }

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        params = cast(head_params, features.dtype)
        members = membership(targets, weights, num_classes)
        rows = class_mean(_mlp(params["generate"], features), members)  # [N, H + 1]
        return {
            "embed": params["embed"],
            "kernel": rows[:, :-1].T,
            "bias": rows[:, -1],
            "mask": jnp.any(members > 0, axis=0),
        }

    def apply(state, features):
        embedded = _mlp(state["embed"], features)  # [U, H]
        return base.masked_outputs(dense(state, embedded), state["mask"])

    def template(head_params):
        dtype = head_params["embed"]["hidden"]["kernel"].dtype
        return {
            "embed": head_params["embed"],
            "kernel": jnp.zeros((num_hidden, num_classes), dtype),
            "bias": jnp.zeros(num_classes, dtype),
            "mask": jnp.zeros(num_classes, bool),
        }

    return base.Head(init, fit, apply, frozenset({"classes"}), template)


def _mlp_init(key, num_inputs, num_hidden, num_outputs):
    hidden_key, output_key = jax.random.split(key)
    return {
        "hidden": dense_init(hidden_key, num_inputs, num_hidden),
        "output": dense_init(output_key, num_hidden, num_outputs),
    }


def _mlp(params, x):
    return dense(params["output"], jnp.tanh(dense(params["hidden"], x)))
