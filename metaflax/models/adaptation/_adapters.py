"""Bottleneck adapters inside the layers."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import tree
from metaflax.models.layers import _extra_parameters as _extras


def with_adapters(
    params: optax.Params,
    key: chex.PRNGKey,
    *,
    size: int = 16,
    where: tree.Where = "*",
) -> dict[str, Any]:
    r"""Adds bottleneck adapters to the layers of a network.

    What a layer's attention or feed-forward part adds to its residual, :math:`h`,
    becomes

    .. math::

      h + f(h D + d)\, U + u

    after its dropout, where the part finds `adapter/down` with kernel D `[D, C]` and
    `adapter/up` with U `[C, D]`; f is the network's activation. U and the biases
    start at zero, so the function is unchanged at first.

    An inner loop may adapt them, `"*/adapter"`. Learned by the outer loop only, while
    the rest adapts, they are warp layers: they shape the gradients of the others.

    Args:
      params: parameters of a network, as `encoder(...).init` or `models.load` return
        them.
      key: draws D, normal with standard deviation 1 / sqrt(in).
      size: C, features of the bottleneck.
      where: the parts, by paths such as `layer_0/attention` and `layer_0/mlp`;
        `"layer_0"` chooses both.

    Returns:
      A new tree; the added leaves have the dtype of the part's kernels.

    Raises:
      ValueError: if `size` is not positive, if `where` chooses no part or one that has
        an adapter, or if these are not the parameters of one network.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import with_adapters
      >>> from metaflax.models import BertConfig, encoder
      >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...                     num_hidden_layers=1, intermediate_size=16)
      >>> params = encoder(config).init(jax.random.key(0))
      >>> grown = with_adapters(params, jax.random.key(1), size=4, where="*/mlp")
      >>> print(jax.tree.map(jnp.shape, grown["layer_0"]["mlp"]["adapter"]["down"]))
      {'bias': (4,), 'kernel': (8, 4)}

    References:
      Houlsby et al., `Parameter-Efficient Transfer Learning for NLP
      <https://arxiv.org/abs/1902.00751>`_, 2019; Flennerhag et al., `Meta-Learning
      with Warped Gradient Descent <https://arxiv.org/abs/1909.00025>`_, 2019.
    """
    _extras.check_size("size", size)
    flat = _extras.flatten_network(params)
    outputs = _outputs(flat)
    parts = _extras.choose(list(outputs), where, flat, _extras.ADAPTER)
    keys = jax.random.split(key, len(parts))
    for part, part_key in zip(parts, keys, strict=True):
        D, dtype = outputs[part].shape[1], outputs[part].dtype
        adapter = f"{part}/{_extras.ADAPTER}"
        noise = jax.random.normal(part_key, (D, size), dtype)
        flat[f"{adapter}/down/kernel"] = noise * D**-0.5
        flat[f"{adapter}/down/bias"] = jnp.zeros(size, dtype)
        flat[f"{adapter}/up/kernel"] = jnp.zeros((size, D), dtype)
        flat[f"{adapter}/up/bias"] = jnp.zeros(D, dtype)
    return _extras.unflatten(flat)


def _outputs(flat: dict[str, Any]) -> dict[str, Any]:
    """Returns the last kernels of the blocks that add to a residual, by path."""
    outputs = {}
    for path, leaf in flat.items():
        block, _, name = path.removesuffix("/kernel").rpartition("/")
        in_layer = block.count("/") == 1 and block.startswith("layer_")
        if in_layer and name in ("output", "down"):
            outputs[block] = leaf
    return outputs
