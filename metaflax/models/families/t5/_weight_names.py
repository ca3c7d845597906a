"""Names of the tensors of a T5: Hugging Face's and ours."""

import dataclasses

import numpy as np

from metaflax.models.families._named_weights import Stored
from metaflax.models.families.t5._config import T5Config
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._files import StoredTensor
from metaflax.models.pretrained._places import Target

WORD, HEAD = "shared.weight", "lm_head.weight"
ALIASES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
"""Further names of the word embedding."""

# Held by old checkpoints; no network has ever used it.
UNREAD = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def rename(config: T5Config, name: str) -> str | None:
    """Returns the name of a tensor; None for one that is left out."""
    del config
    return None if name == UNREAD else name


def resolve(config: T5Config, tensors: Stored) -> tuple[T5Config, Stored]:
    """Returns the configuration of these tensors, and them without duplicate names.

    Files may name the word embedding several times, or by another of its names alone.
    A file may hold a separate output layer although the configuration ties it, since
    transformers 5 writes no other configuration.

    Raises:
      ValueError: if two tables would have to be the same one.
    """
    kept, names = dict(tensors), [n for n in (WORD, *ALIASES) if n in tensors]
    if config.tie_word_embeddings and HEAD in tensors:
        if all(_are_equal(tensors[HEAD], tensors[name]) for name in names):
            names.append(HEAD)
        else:
            config = dataclasses.replace(
                config,
                tie_word_embeddings=False,
                scale_decoder_outputs=config.is_scaled,
            )
    tables = {name: kept.pop(name) for name in names}
    for name, table in tables.items():
        if not _are_equal(table, tables[names[0]]):
            raise ValueError(
                f"{name} differs from {names[0]}, and a T5 has one word embedding for"
                " encoder and decoder"
            )
    return config, kept | ({WORD: tables[names[0]]} if names else {})


def _are_equal(one: StoredTensor, other: StoredTensor) -> bool:
    if one is other:
        return True
    return one.shape == other.shape and np.array_equal(one.read(), other.read())


def targets(config: T5Config) -> dict[str, Target]:
    """Returns where every tensor of a network of this size goes, by name in a file."""
    words = config.vocab_size, config.d_model
    places: dict[str, Target] = {WORD: Place("embeddings/word", words)}
    if not config.tie_word_embeddings:
        places[HEAD] = Place("head/kernel", words, transposed=True)
    table = config.relative_attention_num_buckets, config.num_heads
    attentions = ["attention", "cross_attention"]
    for network, num, blocks in (
        ("encoder", config.num_layers, attentions[:1]),
        ("decoder", config.num_decoder, attentions),
    ):
        norm = Place(f"{network}/norm/scale", (config.d_model,))
        places[f"{network}.final_layer_norm.weight"] = norm
        bias = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        places[f"{network}.{bias}"] = Place(f"{network}/relative/bias", table)
        for i in range(num):
            theirs, ours = f"{network}.block.{i}.layer", f"{network}/layer_{i}"
            for number, name in enumerate([*blocks, "mlp"]):
                part = _mlp(config) if name == "mlp" else _attention(config, name)
                part["layer_norm"] = Place("norm/scale", (config.d_model,))
                for end, place in part.items():
                    path = f"{ours}/{name}/{place.path}"
                    moved = place._replace(path=path)
                    places[f"{theirs}.{number}.{end}.weight"] = moved
    return places


def _attention(config: T5Config, name: str) -> dict[str, Place]:
    D, wide = config.d_model, config.num_heads * config.d_kv
    kind = "SelfAttention" if name == "attention" else "EncDecAttention"
    shapes = {
        "q": ("query", (wide, D)),
        "k": ("key", (wide, D)),
        "v": ("value", (wide, D)),
        "o": ("output", (D, wide)),
    }
    return {
        f"{kind}.{theirs}": Place(f"{ours}/kernel", shape, transposed=True)
        for theirs, (ours, shape) in shapes.items()
    }


def _mlp(config: T5Config) -> dict[str, Place]:
    D, wide = config.d_model, config.d_ff
    ups = {"wi_0": "gate", "wi_1": "up"} if config.is_gated else {"wi": "up"}
    shapes = {theirs: (ours, (wide, D)) for theirs, ours in ups.items()}
    shapes["wo"] = ("down", (D, wide))
    return {
        f"DenseReluDense.{theirs}": Place(f"{ours}/kernel", shape, transposed=True)
        for theirs, (ours, shape) in shapes.items()
    }
