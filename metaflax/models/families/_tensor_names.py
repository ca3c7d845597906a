"""Places of tensors by their names in Hugging Face's files.

Their dense kernels are `[out, in]`; ours, as everywhere in Flax, `[in, out]`.
"""

from collections.abc import Mapping

from metaflax.models.layers._config import TransformerConfig
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._places import Target

# Names of a layer's dense modules and norms in BERT and its near relatives, and ours.
_BERT_DENSE = {
    "attention.self.query": "attention/query",
    "attention.self.key": "attention/key",
    "attention.self.value": "attention/value",
    "attention.output.dense": "attention/output",
    "intermediate.dense": "mlp/up",
    "output.dense": "mlp/down",
}
_BERT_NORMS = {
    "attention.output.LayerNorm": "attention/norm",
    "output.LayerNorm": "mlp/norm",
}


def dense(
    theirs: str, ours: str, num_in: int, num_out: int, *, use_bias: bool = True
) -> dict[str, Target]:
    """Returns the places of a dense module."""
    places: dict[str, Target] = {
        f"{theirs}.weight": Place(f"{ours}/kernel", (num_out, num_in), transposed=True)
    }
    if use_bias:
        places[f"{theirs}.bias"] = Place(f"{ours}/bias", (num_out,))
    return places


def norm(
    theirs: str, ours: str, size: int, *, use_bias: bool = True
) -> dict[str, Target]:
    """Returns the places of a layer norm."""
    places: dict[str, Target] = {f"{theirs}.weight": Place(f"{ours}/scale", (size,))}
    if use_bias:
        places[f"{theirs}.bias"] = Place(f"{ours}/bias", (size,))
    return places


def post_norm_layer(
    config: TransformerConfig,
    theirs: str,
    ours: str,
    dense_names: Mapping[str, str] = _BERT_DENSE,
    norm_names: Mapping[str, str] = _BERT_NORMS,
) -> dict[str, Target]:
    """Returns the places of a layer with norms behind its blocks.

    Args:
      config: the sizes.
      theirs: name of the layer in a file.
      ours: name of its parameters.
      dense_names: from their names of its dense modules to ours.
      norm_names: from their names of its norms to ours.
    """
    D, width = config.hidden_size, config.intermediate_size
    sizes = {"mlp/up": (D, width), "mlp/down": (width, D)}
    places: dict[str, Target] = {}
    for name, path in dense_names.items():
        in_out = sizes.get(path, (D, D))
        places |= dense(f"{theirs}.{name}", f"{ours}/{path}", *in_out)
    for name, path in norm_names.items():
        places |= norm(f"{theirs}.{name}", f"{ours}/{path}", D)
    return places


def bert_layers(config: TransformerConfig) -> dict[str, Target]:
    """Returns the places of all layers of BERT and its near relatives."""
    places: dict[str, Target] = {}
    for i in range(config.num_hidden_layers):
        places |= post_norm_layer(config, f"encoder.layer.{i}", f"layer_{i}")
    return places


def bert_embeddings(
    config: TransformerConfig, width: int, *, segments: bool = True
) -> dict[str, Target]:
    """Returns the places of word, position and segment embeddings and their norm.

    Args:
      config: the sizes.
      width: features of an embedding.
      segments: whether there are segment embeddings.
    """
    rows = {
        "word": config.vocab_size,
        "position": config.max_position_embeddings,
        **({"token_type": config.type_vocab_size} if segments else {}),
    }
    places: dict[str, Target] = {
        f"embeddings.{name}_embeddings.weight": Place(f"embeddings/{name}", (n, width))
        for name, n in rows.items()
    }
    return places | norm("embeddings.LayerNorm", "embeddings/norm", width)
