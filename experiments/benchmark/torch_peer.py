"""The meta-gradients of the benchmark in torch, written on `torch.func`.

The network is a BERT of plain functions on a dict of weights, the fastest of the peers
that the CPU's tables compare.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import torch
    from torch.nn import functional
except ImportError:
    torch = functional = None


def missing(platform: str) -> str | None:
    """Explains why torch cannot be measured on a platform; None if it can."""
    if torch is None:
        return (
            "torch is not installed; `pip install torch` (on a GPU the build of its"
            " CUDA version, see https://pytorch.org/get-started)"
        )
    if platform == "gpu" and not torch.cuda.is_available():
        return (
            f"torch {torch.__version__} finds no CUDA device; install a build for the"
            " driver's CUDA version, see https://pytorch.org/get-started"
        )
    return None


def device() -> Any:
    """The first CUDA device, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def card() -> str:
    """Name of the device according to torch."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def tensors(tree: dict[str, np.ndarray]) -> dict[str, Any]:
    """Copies arrays to the device."""
    return {k: torch.tensor(np.asarray(x), device=device()) for k, x in tree.items()}


def features(
    params: dict[str, Any], ids: Any, mask: Any, num_heads: int, fused: bool
) -> Any:
    """Computes the means of the last states over real tokens, `[B, D]`."""
    D = params["embeddings.word_embeddings.weight"].shape[1]
    (B, L), d = ids.shape, D // num_heads

    def norm(x, name):
        return functional.layer_norm(
            x, (D,), params[f"{name}.weight"], params[f"{name}.bias"], 1e-12
        )

    def linear(x, name):
        return functional.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])

    def heads(x):
        return x.view(B, L, num_heads, d).transpose(1, 2)

    x = functional.embedding(ids, params["embeddings.word_embeddings.weight"])
    x = x + params["embeddings.position_embeddings.weight"][:L]
    x = x + params["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    seen = mask.bool()[:, None, None, :]
    number = 0
    while f"encoder.layer.{number}.output.dense.weight" in params:
        layer = f"encoder.layer.{number}"
        names = (f"{layer}.attention.self.{n}" for n in ("query", "key", "value"))
        query, key, value = (heads(linear(x, name)) for name in names)
        if fused:
            mixed = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=seen
            )
        else:  # It can be differentiated twice.
            scores = query @ key.transpose(-1, -2) * d**-0.5
            scores = scores.float().masked_fill(~seen, -1e9)
            mixed = torch.softmax(scores, -1).to(value.dtype) @ value
        mixed = mixed.transpose(1, 2).reshape(B, L, D)
        mixed = linear(mixed, f"{layer}.attention.output.dense")
        x = norm(x + mixed, f"{layer}.attention.output.LayerNorm")
        wide = functional.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(x + linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        number += 1
    counts = mask[..., None].to(x.dtype)
    return (x * counts).sum(1) / counts.sum(1)


def meta_gradient(
    params: dict[str, Any],
    tasks: dict[str, Any],
    *,
    num_heads: int,
    num_steps: int,
    rate: float,
    exact: bool,
    at_once: bool,
    half: bool,
    compiled: bool,
) -> Callable[[], tuple[Any, dict[str, Any]]]:
    """Returns a function that computes mean query loss and meta-gradient.

    Args:
      params: weights under Hugging Face's names, and `head.weight`, `head.bias`.
      tasks: `ids`, `mask` `[T, S, L]` and `labels` `[T, S]` under `s/` and `q/`.
      num_heads: number of attention heads.
      num_steps: number of inner steps.
      rate: learning rate of inner steps.
      exact: whether inner steps are differentiated (MAML), or not (FOMAML).
      at_once: whether tasks are mapped by `vmap`, or one after the other.
      half: whether products are of bfloat16, by `torch.autocast`.
      compiled: whether `torch.compile` compiles the gradient of a task.
    """
    kind = device().type
    torch.set_float32_matmul_precision("high")  # TF32, as jax uses by default.

    def loss(params, ids, mask, labels):
        context = (
            torch.autocast(kind, torch.bfloat16) if half else contextlib.nullcontext()
        )
        with context:
            x = features(params, ids, mask, num_heads, fused=not exact and not at_once)
            logits = functional.linear(x, params["head.weight"], params["head.bias"])
        return functional.cross_entropy(logits.float(), labels)

    def adapted(params, *support):
        for _ in range(num_steps):
            grads = torch.func.grad(loss)(params, *support)
            params = {name: x - rate * grads[name] for name, x in params.items()}
        return params

    def exact_loss(params, support, query):
        return loss(adapted(params, *support), *query)

    def gradient(params, support, query):
        """Computes the meta-gradient and the loss of one task."""
        if exact:
            grad = torch.func.grad_and_value(exact_loss)
            return grad(params, support, query)
        grad = torch.func.grad_and_value(loss)
        return grad(adapted(params, *support), *query)

    of_task = torch.compile(gradient) if compiled else gradient
    parts = ("ids", "mask", "labels")
    support, query = ([tasks[f"{side}/{n}"] for n in parts] for side in "sq")
    num_tasks = len(support[0])

    def all_at_once():
        in_dims = (None, 0, 0)
        grads, values = torch.func.vmap(of_task, in_dims)(params, support, query)
        return values.mean(), {name: x.mean(0) for name, x in grads.items()}

    def one_by_one():
        total, mean = 0.0, None
        for t in range(num_tasks):
            grads, value = of_task(
                params, [x[t] for x in support], [x[t] for x in query]
            )
            total = total + value / num_tasks
            grads = {name: x / num_tasks for name, x in grads.items()}
            if mean is None:
                mean = grads
            else:
                mean = {name: x + grads[name] for name, x in mean.items()}
        return total, mean

    def step():
        result = all_at_once() if at_once else one_by_one()
        if kind == "cuda":
            torch.cuda.synchronize()
        return result

    return step


def gradient_norm(grads: dict[str, Any]) -> float:
    """The norm of all gradients together."""
    squares = (float((x.double() ** 2).sum()) for x in grads.values())
    return float(np.sqrt(functools.reduce(float.__add__, squares)))


def start_of_memory() -> None:
    """Resets the peak of memory that `peak_mib` returns."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_mib() -> float | None:
    """Peak memory of tensors since `start_of_memory`, in MiB; None on a CPU."""
    if not torch.cuda.is_available():
        return None
    return torch.cuda.max_memory_allocated() / 2**20
