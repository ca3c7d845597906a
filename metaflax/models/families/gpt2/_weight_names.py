"""Names of GPT-2's tensors: Hugging Face's and ours.

Hugging Face's kernels of this network are `[in, out]`, as ours are; queries, keys and
values are the columns of one.
"""

import re

from metaflax.models.families.gpt2._config import GPTConfig
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._places import Columns, Target

_NORM = (("weight", "scale"), ("bias", "bias"))
_DENSE = (("weight", "kernel"), ("bias", "bias"))

_LAYER = {
    ("ln_1", "attention/norm"): _NORM,
    ("attn.c_proj", "attention/output"): _DENSE,
    ("ln_2", "mlp/norm"): _NORM,
    ("mlp.c_fc", "mlp/up"): _DENSE,
    ("mlp.c_proj", "mlp/down"): _DENSE,
}
_HEAD = "lm_head.weight"
# Tensors of a checkpoint that are ignored: masks, and heads of other tasks.
_IGNORED = re.compile(
    r"h\.\d+\.attn\.(bias|masked_bias)|score\.weight|multiple_choice_head\..*"
)


def rename(config: GPTConfig, name: str) -> str | None:
    """Returns the name of a tensor without prefix; None for one that is left out.

    Examples:
      >>> rename(GPTConfig(), "transformer.wte.weight")
      'wte.weight'
      >>> rename(GPTConfig(), "h.0.attn.bias") is None  # A mask.
      True
    """
    name = name.removeprefix("transformer.")
    tied = config.tie_word_embeddings and name == _HEAD
    return None if tied or _IGNORED.fullmatch(name) else name


def file_name(name: str) -> str:
    """Returns the name in a file, from that without prefix."""
    return name if name == _HEAD else f"transformer.{name}"


def targets(config: GPTConfig) -> dict[str, Target]:
    """Returns where every tensor of a GPT-2 of this size goes, by name."""
    D = config.n_embd
    wide = config.blocks.intermediate_size
    shapes = {"up": (D, wide), "down": (wide, D)}
    places: dict[str, Target] = {
        "wte.weight": Place("embeddings/word", (config.vocab_size, D)),
        "wpe.weight": Place("embeddings/position", (config.n_positions, D)),
    }
    if not config.tie_word_embeddings:
        places[_HEAD] = Place("head/kernel", (config.vocab_size, D), transposed=True)
    pairs = {("ln_f", "norm"): _NORM}
    for i in range(config.n_layer):
        pairs |= {
            (f"h.{i}.{theirs}", f"layer_{i}/{ours}"): leaves
            for (theirs, ours), leaves in _LAYER.items()
        }
        for their_leaf, our_leaf in _DENSE:
            paths = tuple(
                f"layer_{i}/attention/{name}/{our_leaf}"
                for name in ("query", "key", "value")
            )
            shape = (D, 3 * D) if our_leaf == "kernel" else (3 * D,)
            places[f"h.{i}.attn.c_attn.{their_leaf}"] = Columns(paths, shape)
    for (theirs, ours), leaves in pairs.items():
        in_out = shapes.get(ours.rpartition("/")[2], (D, D))
        for their_leaf, our_leaf in leaves:
            shape = in_out if our_leaf == "kernel" else in_out[1:]
            places[f"{theirs}.{their_leaf}"] = Place(f"{ours}/{our_leaf}", shape)
    return places
