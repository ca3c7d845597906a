"""Names of BERT's tensors: Hugging Face's and ours.

Hugging Face's kernels are `[out, in]`; ours, as everywhere in Flax, `[in, out]`.
"""

from metaflax.models.families.bert._config import BertConfig
from metaflax.models.pretrained._account import Place

_DENSE = (("weight", "kernel"), ("bias", "bias"))
_NORM = (("weight", "scale"), ("bias", "bias"))

# (theirs, ours), and what each holds.
_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "embeddings/word",
    "embeddings.position_embeddings.weight": "embeddings/position",
    "embeddings.token_type_embeddings.weight": "embeddings/token_type",
}
_OUTSIDE = {
    ("embeddings.LayerNorm", "embeddings/norm"): _NORM,
}
_LAYER = {
    ("attention.self.query", "attention/query"): _DENSE,
    ("attention.self.key", "attention/key"): _DENSE,
    ("attention.self.value", "attention/value"): _DENSE,
    ("attention.output.dense", "attention/output"): _DENSE,
    ("attention.output.LayerNorm", "attention/norm"): _NORM,
    ("intermediate.dense", "mlp/up"): _DENSE,
    ("output.dense", "mlp/down"): _DENSE,
    ("output.LayerNorm", "mlp/norm"): _NORM,
}
_POOLER = {
    ("pooler.dense", "pooler"): _DENSE,
}

# What a checkpoint may hold beside the encoder: buffers, and heads of other tasks.
IGNORED = (
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "cls.",  # Masked words and next sentence.
    "qa_outputs.",  # Question answering.
)
CLASSIFIER = "classifier."

# TensorFlow's names, in files of 2019.
_OLD = {"gamma": "weight", "beta": "bias"}


def clean(name: str) -> str:
    """Returns the name of a tensor without prefix and in today's spelling.

    Examples:
      >>> clean("bert.embeddings.LayerNorm.gamma")
      'embeddings.LayerNorm.weight'
    """
    stem, _, last = name.removeprefix("bert.").rpartition(".")
    return f"{stem}.{_OLD.get(last, last)}" if stem else last


def places(config: BertConfig, *, pooler: bool) -> dict[str, Place]:
    """Returns the places of all tensors of a BERT of this size, by name in a file.

    Args:
      config: the sizes.
      pooler: whether it has one.

    Returns:
      From Hugging Face's name without the prefix `bert.` to its `Place`.
    """
    D = config.hidden_size
    pairs = {**_OUTSIDE, **(_POOLER if pooler else {})}
    for i in range(config.num_hidden_layers):
        pairs |= {
            (f"encoder.layer.{i}.{theirs}", f"layer_{i}/{ours}"): leaves
            for (theirs, ours), leaves in _LAYER.items()
        }
    widths = {
        "up": (config.intermediate_size, D),
        "down": (D, config.intermediate_size),
    }
    places_ = _embeddings(config)
    for (theirs, ours), leaves in pairs.items():
        out_in = widths.get(ours.rpartition("/")[2], (D, D))
        for their_leaf, our_leaf in leaves:
            matrix = our_leaf == "kernel"
            shape = out_in if matrix else out_in[:1]
            places_[f"{theirs}.{their_leaf}"] = Place(
                f"{ours}/{our_leaf}", shape, matrix
            )
    return places_


def _embeddings(config: BertConfig) -> dict[str, Place]:
    rows = config.vocab_size, config.max_position_embeddings, config.type_vocab_size
    return {
        theirs: Place(ours, (num_rows, config.hidden_size))
        for (theirs, ours), num_rows in zip(_EMBEDDINGS.items(), rows, strict=True)
    }


def head_places(config: BertConfig, num_labels: int) -> dict[str, Place]:
    """Returns the places of the tensors of a sequence classification head."""
    shape = num_labels, config.hidden_size
    return {
        f"{CLASSIFIER}weight": Place("head/kernel", shape, transposed=True),
        f"{CLASSIFIER}bias": Place("head/bias", shape[:1]),
    }
