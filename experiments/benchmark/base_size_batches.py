"""Weights and batches of the programs of the base-size benchmark."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

WAY, SHOT, LENGTH = 5, 5, 32
RATE = 0.01  # Learning rate of inner steps.
RANK = 8
# Texts of a support or query set, with LoRA and in context.
TEXTS, CONTEXT_TEXTS = 5, 8


class Work(NamedTuple):
    """Weights and a batch of tasks.

    Attributes:
      kind: `classes`, `lora`, `metaicl` or `prompts`.
      directory: directory of the model; None for a BERT-base with random weights.
      ids: token ids `[T, S, L]` by side, `support` and `query`.
      mask: mask of the ids, ones before zeros.
      labels: `[T, S]` classes of each side; empty for language models.
    """

    kind: str
    directory: Path | None
    ids: dict[str, np.ndarray]
    mask: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def texts(num_tasks: int, number: int, length: int) -> tuple[dict, dict]:
    """Ids and masks of random texts of `length / 2` to `length` tokens, by side."""
    draw, ids, mask = np.random.default_rng(0), {}, {}
    for side in ("support", "query"):
        shape = num_tasks, number, length
        lengths = draw.integers(length // 2, length + 1, shape[:2])
        mask[side] = (np.arange(length) < lengths[..., None]).astype(np.int32)
        ids[side] = draw.integers(1000, 20000, shape).astype(np.int32) * mask[side]
    return ids, mask


def classes(directory: Callable[[], Path | None], num_tasks: int) -> Work:
    """Five classes of five support and five query texts."""
    ids, mask = texts(num_tasks, WAY * SHOT, LENGTH)
    labels = np.tile(np.repeat(np.arange(WAY), SHOT), (num_tasks, 1)).astype(np.int32)
    ids = {side: np.where(mask[side] == 1, x, 1) for side, x in ids.items()}
    return Work("classes", directory(), ids, mask, {"support": labels, "query": labels})


def continued(kind: str, number: int, num_tasks: int) -> Work:
    """Texts for next-token prediction, one token longer than the model's input."""
    ids, mask = texts(num_tasks, number, LENGTH + 1)
    return Work(kind, _model("smollm2"), ids, mask, {})


def linear_head(width: int) -> dict[str, np.ndarray]:
    """Initial output layer of both programs, `[D, N]`."""
    kernel = np.random.default_rng(1).normal(size=(width, WAY)) * width**-0.5
    return {"kernel": kernel.astype(np.float32), "bias": np.zeros(WAY, np.float32)}


def factors(rows: int, columns: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Low-rank factors of a module, neither zero, so that both have gradients."""
    draw = np.random.default_rng(number)
    down, up = draw.normal(size=(rows, RANK)), draw.normal(size=(RANK, columns))
    return (down * rows**-0.5).astype(np.float32), (0.01 * up).astype(np.float32)


def bert_weights() -> dict[str, np.ndarray]:
    """Random weights of BERT-base under Hugging Face's names."""
    draw, width, wide = np.random.default_rng(2), 768, 3072

    def normal(*shape: int) -> np.ndarray:
        return (0.02 * draw.normal(size=shape)).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": normal(30522, width),
        "embeddings.position_embeddings.weight": normal(512, width),
        "embeddings.token_type_embeddings.weight": normal(2, width),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(12):
        prefix = f"encoder.layer.{layer}"
        for name, rows, columns in (
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", wide, width),
            ("output.dense", width, wide),
        ):
            weights[f"{prefix}.{name}.weight"] = normal(rows, columns)
            weights[f"{prefix}.{name}.bias"] = normal(rows)
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
    for norm in norms:
        weights[f"{norm}.weight"] = np.ones(width, np.float32)
        weights[f"{norm}.bias"] = np.zeros(width, np.float32)
    return weights


def _model(name: str) -> Path:
    from metaflax import workflows

    return Path(workflows.locate_model(name))


WORKS = {
    "mpnet": functools.partial(classes, lambda: _model("mpnet")),
    "bert": functools.partial(classes, lambda: None),
    "lora": functools.partial(continued, "lora", TEXTS),
    "metaicl": functools.partial(continued, "metaicl", CONTEXT_TEXTS),
    "prompts": functools.partial(continued, "prompts", CONTEXT_TEXTS),
}
