"""A stored workload: weights under Hugging Face's names and a batch of tasks."""

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from metaflax import base, models, tree

# Heads of attention, by width: all-MiniLM-L6-v2's, the tiny setting's, BERT-base's.
NUM_HEADS = {384: 12, 128: 2, 768: 12}


class Workload(NamedTuple):
    """The content of a file: a network and a batch of tasks.

    Attributes:
      config: config of the network.
      encoder: weights of the network.
      head: `{"kernel", "bias"}`.
      tasks: leaves `[T, S, ...]` and `[T, Q, ...]`.
    """

    config: models.BertConfig
    encoder: Any
    head: Any
    tasks: base.Task


def load(path: Path, *, num_tasks: int | None = None, pack: bool = True) -> Workload:
    """Reads a workload, packing the tokens of each task to one budget."""
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    parts = [
        base.Batch(
            tokens(
                arrays.pop(f"{part}/ids")[:num_tasks],
                arrays.pop(f"{part}/mask")[:num_tasks],
                pack=pack,
            ),
            labels := arrays.pop(f"{part}/labels")[:num_tasks],
            np.ones(labels.shape, np.float32),
        )
        for part in "sq"
    ]
    weights = {name.removeprefix("w/"): array for name, array in arrays.items()}
    arrays.clear()
    head = {"kernel": weights.pop("head.weight").T, "bias": weights.pop("head.bias")}
    config, encoder = pretrained(weights)
    on_device = jax.tree.map(jnp.asarray, (encoder, head, base.Task(*parts)))
    return Workload(config, *on_device)


def pretrained(weights: dict[str, np.ndarray]) -> tuple[models.BertConfig, Any]:
    """The network that weights under Hugging Face's names belong to."""
    rows, width = weights["embeddings.word_embeddings.weight"].shape
    layers = 1 + max(
        int(n.split(".")[2]) for n in weights if n.startswith("encoder.layer.")
    )
    described = {
        "model_type": "bert",
        "vocab_size": rows,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": NUM_HEADS[width],
        "intermediate_size": len(weights["encoder.layer.0.intermediate.dense.bias"]),
        "max_position_embeddings": len(
            weights["embeddings.position_embeddings.weight"]
        ),
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(described))
        save_file(
            {k: np.ascontiguousarray(v) for k, v in weights.items()},
            Path(folder) / "model.safetensors",
        )
        weights.clear()  # The weights are copied when they are loaded.
        loaded = models.load(folder)
    return loaded.config, loaded.params


def tokens(ids: np.ndarray, mask: np.ndarray, *, pack: bool) -> models.Tokens:
    """Texts `[T, n, L]`, each task's real tokens in as many rows as the fullest has."""
    flat = mask.reshape(len(mask), -1)
    most = int(flat.sum(1).max())
    if not pack or most == flat.shape[1]:
        return models.Tokens(ids, None, mask)
    packed = np.full((len(mask), most), flat.shape[1], np.int32)
    for row, real in zip(packed, flat, strict=True):
        places = np.flatnonzero(real)
        row[: len(places)] = places
    return models.Tokens(ids, None, mask, packed)


# From metaflax's names to Hugging Face's, for each part of a path.
NAMES = {
    "embeddings/word": "embeddings.word_embeddings.weight",
    "embeddings/position": "embeddings.position_embeddings.weight",
    "embeddings/token_type": "embeddings.token_type_embeddings.weight",
    "embeddings/norm": "embeddings.LayerNorm",
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/output": "attention.output.dense",
    "attention/norm": "attention.output.LayerNorm",
    "mlp/up": "intermediate.dense",
    "mlp/down": "output.dense",
    "mlp/norm": "output.LayerNorm",
}
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def hugging_face_name(path: str) -> str:
    """Name such as `encoder.layer.0.attention.self.query.weight`."""
    if path in NAMES:
        return NAMES[path]
    module, _, leaf = path.rpartition("/")
    if module.startswith("layer_"):
        layer, _, module = module.partition("/")
        prefix = f"encoder.layer.{layer.removeprefix('layer_')}."
        return f"{prefix}{NAMES[module]}.{LEAVES[leaf]}"
    return f"{NAMES[module]}.{LEAVES[leaf]}"


def named_leaves(encoder: Any) -> dict[str, np.ndarray]:
    """The encoder's leaves under Hugging Face's names and in its layout."""
    leaves = zip(tree.paths(encoder), jax.tree.leaves(encoder), strict=True)
    return {
        hugging_face_name(path): np.asarray(leaf).T
        if path.endswith("kernel")
        else np.asarray(leaf)
        for path, leaf in leaves
    }


def save(path: Path, loss: float, grads: Any) -> None:
    """Writes a meta-gradient under Hugging Face's names and in its layout."""
    named = named_leaves(grads["encoder"])
    if "kernel" in grads["head"]:
        named["head.weight"] = np.asarray(grads["head"]["kernel"]).T
        named["head.bias"] = np.asarray(grads["head"]["bias"])
    np.savez(path, loss=loss, **named)
