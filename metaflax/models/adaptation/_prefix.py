"""Prefix tuning: learned keys and values before all texts."""

from typing import Any

import chex
import jax
import optax

from metaflax.models.layers import _extra_parameters as _extras

# Standard deviation of new prefixes, as of other new weights.
_SPREAD = 0.02


def with_prefix(
    params: optax.Params, key: chex.PRNGKey, *, size: int = 8
) -> dict[str, Any]:
    r"""Adds keys and values that all tokens see to each layer of a network.

    The attention of a layer over keys :math:`K` and values :math:`V` becomes that over
    :math:`[P_K; K]` and :math:`[P_V; V]` where it finds `attention/prefix/keys` and
    `attention/prefix/values`, P_K and P_V `[P, D]`: as if P more words stood before
    every text, of which each layer has its own states. An algorithm that adapts
    `"*/prefix"` holds 2 P D numbers per task and layer; fewer where queries share keys
    and values. They have no positions.

    Args:
      params: parameters of an encoder, a `gpt`, or the `decoder` of a `seq2seq`.
      key: draws keys and values, normal with standard deviation 0.02. They are further
        tokens to attend to, and change the model's outputs a little from the start.
      size: P.

    Returns:
      A new tree; the added leaves have the dtype of the layers' kernels.

    Raises:
      ValueError: if `size` is not positive, if there are prefixes already, or if these
        are not the parameters of one network.

    Examples:
      >>> import jax
      >>> from metaflax.models import with_prefix
      >>> from metaflax import models, tree
      >>> config = models.GPTConfig(vocab_size=9, n_embd=8, n_head=2, n_layer=1,
      ...                           bos_token_id=None, eos_token_id=None)
      >>> params = models.gpt(config).init(jax.random.key(0))
      >>> grown = with_prefix(params, jax.random.key(1), size=3)
      >>> print(*tree.paths(tree.select(grown, "*/prefix")))
      layer_0/attention/prefix/keys layer_0/attention/prefix/values

    References:
      Li and Liang, `Prefix-Tuning: Optimizing Continuous Prompts for Generation
      <https://arxiv.org/abs/2101.00190>`_, 2021; here without its reparameterization.
    """
    _extras.check_size("size", size)
    flat = _extras.flatten_network(params)
    end = "/attention/key/kernel"
    layers = [path.removesuffix("/key/kernel") for path in flat if path.endswith(end)]
    modules = _extras.choose(layers, "*", flat, _extras.PREFIX)
    keys = jax.random.split(key, len(modules))
    for module, module_key in zip(modules, keys, strict=True):
        kernel = flat[f"{module}/key/kernel"]
        shape = (2, size, kernel.shape[1])
        drawn = _SPREAD * jax.random.normal(module_key, shape, kernel.dtype)
        flat[f"{module}/{_extras.PREFIX}/keys"] = drawn[0]
        flat[f"{module}/{_extras.PREFIX}/values"] = drawn[1]
    return _extras.unflatten(flat)
