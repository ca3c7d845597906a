"""Low-rank factors beside dense kernels."""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import tree
from metaflax.models.layers import _extra_parameters as _extras


def with_lora(
    params: optax.Params,
    key: chex.PRNGKey,
    *,
    rank: int = 8,
    where: tree.Where = ("*/attention/query", "*/attention/value"),
    scale: float = 1.0,
) -> dict[str, Any]:
    r"""Adds low-rank factors A and B to dense modules of a network.

    A module that computes :math:`x W + b` computes :math:`x W + (x A) B + b` where it
    finds `lora/down`, A `[in, r]`, and `lora/up`, B `[r, out]`. B starts at zero, so
    the function is unchanged at first. An algorithm that adapts `"*/lora"` holds r
    (in + out) numbers per task and module: the product A B is never formed.

    Args:
      params: parameters of a network, as `encoder(...).init` or `models.load` return
        them.
      key: draws A.
      rank: r.
      where: the modules, by paths such as `layer_0/attention/query`, `layer_0/mlp/up`
        or `pooler`. Adapters and context get no factors.
      scale: alpha / r of the paper. It is folded into A, whose entries are normal with
        standard deviation scale / sqrt(in), and is no part of the network. A step of
        gradient descent on B moves the function as it does with a separate scale; one
        on A is shorter by the square of it.

    Returns:
      A new tree; the added leaves have the dtype of their kernel.

    Raises:
      ValueError: if `rank` or `scale` is not positive, if `where` chooses no module or
        one that has factors, or if these are not the parameters of one network.

    Examples:
      >>> import jax
      >>> from metaflax import tree
      >>> from metaflax.models import with_lora
      >>> from metaflax.models import BertConfig, encoder
      >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...                     num_hidden_layers=1, intermediate_size=16)
      >>> params = encoder(config).init(jax.random.key(0))
      >>> grown = with_lora(params, jax.random.key(1), rank=2, where="*/query")
      >>> adapting, shared = tree.partition(grown, "*/lora")
      >>> print(*tree.paths(adapting))
      layer_0/attention/query/lora/down layer_0/attention/query/lora/up

    References:
      Hu et al., `LoRA: Low-Rank Adaptation of Large Language Models
      <https://arxiv.org/abs/2106.09685>`_, 2021.
    """
    _extras.check_size("rank", rank)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(
            f"scale must be positive and finite, got {scale!r}; it multiplies A, and"
            " without A neither factor has a gradient"
        )
    flat = _extras.flatten_network(params)
    modules = _extras.choose(_dense(flat), where, flat, _extras.LORA)
    keys = jax.random.split(key, len(modules))
    for module, module_key in zip(modules, keys, strict=True):
        kernel = flat[f"{module}/kernel"]
        rows, columns = kernel.shape
        noise = jax.random.normal(module_key, (rows, rank), kernel.dtype)
        flat[f"{module}/{_extras.LORA}/down"] = noise * (scale * rows**-0.5)
        flat[f"{module}/{_extras.LORA}/up"] = jnp.zeros((rank, columns), kernel.dtype)
    return _extras.unflatten(flat)


def merge_lora(params: optax.Params) -> dict[str, Any]:
    """Folds low-rank factors into their kernels, and drops them.

    The network computes the same function, up to rounding, and without other additions
    `models.save` can write it.

    Args:
      params: parameters of a network, with factors or without.

    Returns:
      A new tree, in which W + A B is the kernel wherever W, A and B were.

    Raises:
      ValueError: if factors lack their kernel, as in a selection of leaves.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.models import merge_lora
      >>> lora = {"down": jnp.ones((2, 1)), "up": jnp.array([[0.0, 3.0]])}
      >>> merged = merge_lora({"query": {"kernel": jnp.eye(2), "lora": lora}})
      >>> print(merged["query"]["kernel"].tolist(), *merged["query"])
      [[1.0, 3.0], [0.0, 4.0]] kernel

    References:
      Hu et al., `LoRA: Low-Rank Adaptation of Large Language Models
      <https://arxiv.org/abs/2106.09685>`_, 2022, section 4.1.
    """
    flat = _extras.flatten(params)
    merged = {p: x for p, x in flat.items() if not _extras.part_of(p, _extras.LORA)}
    ends = f"/{_extras.LORA}/down", f"/{_extras.LORA}/up"
    for module in (p.removesuffix(ends[0]) for p in flat if p.endswith(ends[0])):
        kernel = merged.get(f"{module}/kernel")
        down, up = (flat.get(module + end) for end in ends)
        if kernel is None or down is None or up is None:
            raise ValueError(
                f"{module} lacks its kernel or a factor; put a selection together with"
                " the rest, as tree.merge does, before merge_lora"
            )
        product = jnp.matmul(down, up, precision="highest")
        merged[f"{module}/kernel"] = kernel + product
    return _extras.unflatten(merged)


def _dense(flat: dict[str, Any]) -> list[str]:
    """Returns the paths of the dense modules of a network."""
    return [
        path.removesuffix("/kernel")
        for path, leaf in flat.items()
        if path.startswith(("layer_", "pooler/"))
        and path.endswith("/kernel")
        and leaf.ndim == 2  # Not those of convolutions.
        and not _extras.part_of(path, _extras.ADAPTER)
    ]
