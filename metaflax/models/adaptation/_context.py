"""A context vector that conditions the whole network on the task."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax.models.layers import _extra_parameters as _extras


def with_context(
    params: optax.Params, key: chex.PRNGKey, *, size: int = 32
) -> dict[str, Any]:
    r"""Adds a context vector to the embeddings of a network.

    The sum of embeddings of every token becomes :math:`e + c K`, where the network
    finds `embeddings/context/vector`, c `[C]`, and `embeddings/context/kernel`, K
    `[C, E]`. An inner loop that adapts `"embeddings/context/vector"` holds C numbers
    per task, whose meaning the outer loop learns in all the rest. c starts at zero, so
    the function is unchanged at first.

    It is added before the norm of the embeddings, as one embedding more: however far a
    task moves c, the layers receive tokens of the size they were trained on. Decoders
    have no such norm; there nothing limits how far c moves the tokens.

    Args:
      params: parameters of one network, as `encoder(...).init` or `models.load` return
        them.
      key: draws K, normal with standard deviation 1 / sqrt(C): the expectation of K^T K
        is the identity, so a step on c moves tokens as far as one on a free shift
        would. K must not start at zero, where c would have no gradient.
      size: C.

    Returns:
      A new tree; the added leaves have the dtype of the embeddings.

    Raises:
      ValueError: if `size` is not positive, if there is a context already, or if these
        are not the parameters of one network.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import with_context
      >>> from metaflax.models import BertConfig, encoder
      >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...                     num_hidden_layers=1, intermediate_size=16)
      >>> params = encoder(config).init(jax.random.key(0))
      >>> grown = with_context(params, jax.random.key(1), size=3)
      >>> print(jax.tree.map(jnp.shape, grown["embeddings"]["context"]))
      {'kernel': (3, 8), 'vector': (3,)}

    References:
      Zintgraf et al., `Fast Context Adaptation via Meta-Learning
      <https://arxiv.org/abs/1810.03642>`_, 2019.
    """
    _extras.check_size("size", size)
    flat = _extras.flatten_network(params)
    (module,) = _extras.choose(["embeddings"], "embeddings", flat, _extras.CONTEXT)
    context, word = f"{module}/{_extras.CONTEXT}", flat["embeddings/word"]
    D, dtype = word.shape[1], word.dtype
    noise = jax.random.normal(key, (size, D), dtype)
    flat[f"{context}/kernel"] = noise * size**-0.5
    flat[f"{context}/vector"] = jnp.zeros(size, dtype)
    return _extras.unflatten(flat)
