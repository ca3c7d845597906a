"""Names of DeBERTa's tensors: Hugging Face's and ours."""

from collections.abc import Mapping
from typing import Any

from metaflax.models.families import _fold, _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.deberta._config import DebertaV2Config
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._places import Target

_DENSE = {
    "attention.self.query_proj": "attention/query",
    "attention.self.key_proj": "attention/key",
    "attention.self.value_proj": "attention/value",
    "attention.output.dense": "attention/output",
    "intermediate.dense": "mlp/up",
    "output.dense": "mlp/down",
}
_POSITIONS = {
    "c2p": {"attention.self.pos_key_proj": "attention/position_key"},
    "p2c": {"attention.self.pos_query_proj": "attention/position_query"},
}


def places(config: DebertaV2Config) -> dict[str, Target]:
    """Returns where all tensors of a DeBERTa go, without the pooler."""
    dense = dict(_DENSE)
    for term in () if config.share_att_key else config.terms:
        dense |= _POSITIONS[term]
    places_ = {**_embeddings(config), **_relative(config), **_convolution(config)}
    for i in range(config.num_hidden_layers):
        places_ |= _tensor_names.post_norm_layer(
            config, f"encoder.layer.{i}", f"layer_{i}", dense
        )
    return places_


def _embeddings(config: DebertaV2Config) -> dict[str, Target]:
    width, D = config.embedding_width, config.hidden_size
    rows = {"word": config.vocab_size}
    if config.position_biased_input:
        rows["position"] = config.max_position_embeddings
    if config.type_vocab_size:
        rows["token_type"] = config.type_vocab_size
    places_: dict[str, Target] = {
        f"embeddings.{name}_embeddings.weight": Place(f"embeddings/{name}", (n, width))
        for name, n in rows.items()
    }
    if width != D:
        places_ |= _tensor_names.dense(
            "embeddings.embed_proj", "embeddings/projection", width, D, use_bias=False
        )
    return places_ | _tensor_names.norm("embeddings.LayerNorm", "embeddings/norm", D)


def _relative(config: DebertaV2Config) -> dict[str, Target]:
    if not config.relative_attention:
        return {}
    D = config.hidden_size
    shape = 2 * config.span, D
    places_: dict[str, Target] = {
        "encoder.rel_embeddings.weight": Place("relative/embedding", shape)
    }
    if config.norm_rel_ebd == "layer_norm":
        places_ |= _tensor_names.norm("encoder.LayerNorm", "relative/norm", D)
    return places_


def _convolution(config: DebertaV2Config) -> dict[str, Target]:
    if not config.conv_kernel_size:
        return {}
    D, ours = config.hidden_size, "layer_0/conv"
    shape = D, D // config.conv_groups, config.conv_kernel_size
    return {
        "encoder.conv.conv.weight": Place(f"{ours}/kernel", shape, transposed=True),
        "encoder.conv.conv.bias": Place(f"{ours}/bias", (D,)),
        **_tensor_names.norm("encoder.conv.LayerNorm", f"{ours}/norm", D),
    }


def _folded(
    config: DebertaV2Config,
    params: Any,
    head: Mapping[str, Any],
    /,
    *,
    pooling: str,
    standardize: bool,
) -> _fold.Classifier | None:
    # The norm of its only layer is that of a convolution, which does not fold.
    only = config.conv_kernel_size and config.num_hidden_layers == 1
    return _fold.fold(
        config,
        params,
        head,
        pooling=pooling,
        standardize=standardize,
        activation=config.pooler_hidden_act,
        extra_layer="normalizes" if only else "any",
    )


FILES = EncoderFiles(
    architecture="DebertaV2",
    prefix="deberta.",
    places=places,
    pooler=None,
    hidden="pooler.dense",
    ignored=(
        # Masked and replaced words.
        "cls.",
        "lm_predictions.",
        "mask_predictions.",
        # Of networks that do not read them.
        "embeddings.position_embeddings.",
        "encoder.LayerNorm.",
    ),
    fold=_folded,
)

WORD_HEAD = WordHead(
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
    decoder="cls.predictions.decoder",
)
