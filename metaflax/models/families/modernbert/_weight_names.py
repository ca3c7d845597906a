"""Names of ModernBERT's tensors: Hugging Face's and ours."""

from typing import Any

from metaflax.models.families import _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.modernbert import _fold
from metaflax.models.families.modernbert._config import ModernBertConfig
from metaflax.models.layers._modules import TiedWordHead
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._places import Columns, Target


def places(config: ModernBertConfig) -> dict[str, Target]:
    """Returns where all tensors of a ModernBERT go, without the pooler."""
    shape = config.vocab_size, config.hidden_size
    name = "embeddings.tok_embeddings.weight"
    places_: dict[str, Target] = {
        name: Place("embeddings/word", shape),
        **_norm(config, "embeddings.norm", "embeddings/norm"),
        **_norm(config, "final_norm", "norm"),
    }
    for i in range(config.num_hidden_layers):
        places_ |= _layer(config, i)
    return places_


def _layer(config: ModernBertConfig, number: int) -> dict[str, Target]:
    theirs, ours = f"layers.{number}", f"layer_{number}"
    D, width = config.hidden_size, config.intermediate_size
    attention_bias, mlp_bias = config.attention_bias, config.mlp_bias
    places_ = {
        **_together(
            f"{theirs}.attn.Wqkv",
            [f"{ours}/attention/{name}" for name in ("query", "key", "value")],
            (D, D),
            use_bias=attention_bias,
        ),
        **_tensor_names.dense(
            f"{theirs}.attn.Wo",
            f"{ours}/attention/output",
            D,
            D,
            use_bias=attention_bias,
        ),
        **_norm(config, f"{theirs}.mlp_norm", f"{ours}/mlp/norm"),
        **_together(
            f"{theirs}.mlp.Wi",
            [f"{ours}/mlp/{name}" for name in ("gate", "up")],
            (D, width),
            use_bias=mlp_bias,
        ),
        **_tensor_names.dense(
            f"{theirs}.mlp.Wo", f"{ours}/mlp/down", width, D, use_bias=mlp_bias
        ),
    }
    if number:
        places_ |= _norm(config, f"{theirs}.attn_norm", f"{ours}/attention/norm")
    return places_


def _norm(config: ModernBertConfig, theirs: str, ours: str) -> dict[str, Target]:
    size, use_bias = config.hidden_size, config.norm_bias
    return _tensor_names.norm(theirs, ours, size, use_bias=use_bias)


def _together(
    theirs: str, ours: list[str], in_out: tuple[int, int], *, use_bias: bool
) -> dict[str, Target]:
    """Returns the places of dense modules that are one in a file."""
    num_in, num_out = in_out[0], in_out[1] * len(ours)
    kernels = tuple(f"{path}/kernel" for path in ours)
    places_: dict[str, Target] = {
        f"{theirs}.weight": Columns(kernels, (num_out, num_in), transposed=True)
    }
    if use_bias:
        biases = tuple(f"{path}/bias" for path in ours)
        places_[f"{theirs}.bias"] = Columns(biases, (num_out,))
    return places_


def _pooler_places(config: ModernBertConfig, module: str) -> dict[str, Target]:
    D, use_bias = config.hidden_size, config.classifier_bias
    dense = _tensor_names.dense(
        f"{module}.dense", "pooler/dense", D, D, use_bias=use_bias
    )
    return dense | _norm(config, f"{module}.norm", "pooler/norm")


FILES = EncoderFiles(
    architecture="ModernBert",
    prefix="model.",
    places=places,
    pooler=None,
    hidden="head",
    ignored=("decoder.",),  # Masked words.
    pooler_places=_pooler_places,
    fold=_fold.fold,
)


def _word_head(config: ModernBertConfig, dtype: Any) -> TiedWordHead:
    return TiedWordHead(
        config,
        dtype,
        activation=config.classifier_activation,
        dense_bias=config.classifier_bias,
        norm_bias=config.norm_bias,
    )


WORD_HEAD = WordHead(
    dense="head.dense",
    norm="head.norm",
    bias="decoder.bias",
    decoder="decoder",
    module=_word_head,
)
