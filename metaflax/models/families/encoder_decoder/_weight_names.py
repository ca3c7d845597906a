"""Names of the tensors of an encoder-decoder: Hugging Face's and ours."""

from metaflax.models.families.bert import _weight_names as _bert_names
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.encoder_decoder._config import Seq2SeqConfig
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._places import Target, below

_BRIDGE = "enc_to_dec_proj"
_POOLER = "encoder.pooler."
_PREDICTIONS = "decoder.cls.predictions"
# Buffers, tied weights, and an unused pooler.
_IGNORED = (
    "encoder.embeddings.position_ids",
    "decoder.bert.embeddings.position_ids",
    f"{_PREDICTIONS}.decoder.",
    _POOLER,
)


def rename(config: Seq2SeqConfig, name: str) -> str | None:
    """Returns the name of a tensor; None for one that is left out."""
    del config
    return None if name.startswith(_IGNORED) else name


def targets(config: Seq2SeqConfig) -> dict[str, Target]:
    """Returns where every tensor of networks of this size goes, by name in a file."""
    encoder = _bert_names.places(config.encoder)
    decoder = _bert_names.places(config.decoder)
    decoder |= _crossing(decoder)
    places: dict[str, Target] = {
        **{f"encoder.{name}": below("encoder", p) for name, p in encoder.items()},
        **{f"decoder.bert.{name}": below("decoder", p) for name, p in decoder.items()},
        **_head(config.decoder),
    }
    E, D = config.encoder.hidden_size, config.decoder.hidden_size
    if E != D:
        places[f"{_BRIDGE}.weight"] = Place("bridge/kernel", (D, E), transposed=True)
        places[f"{_BRIDGE}.bias"] = Place("bridge/bias", (D,))
    return places


def unread(config: Seq2SeqConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of tensors that Hugging Face's class has and never reads."""
    E = config.encoder.hidden_size
    return {f"{_POOLER}dense.weight": (E, E), f"{_POOLER}dense.bias": (E,)}


def _crossing(decoder: dict[str, Target]) -> dict[str, Target]:
    """Returns the places of cross-attention, from those of self-attention."""
    return {
        name.replace(".attention.", ".crossattention."): place._replace(
            path=place.path.replace("/attention/", "/cross_attention/")
        )
        for name, place in decoder.items()
        if ".attention." in name and isinstance(place, Place)
    }


def _head(config: BertConfig) -> dict[str, Place]:
    D, path = config.hidden_size, "decoder/head"
    transform = f"{_PREDICTIONS}.transform"
    return {
        f"{_PREDICTIONS}.bias": Place(f"{path}/bias", (config.vocab_size,)),
        f"{transform}.dense.weight": Place(f"{path}/dense/kernel", (D, D), True),
        f"{transform}.dense.bias": Place(f"{path}/dense/bias", (D,)),
        f"{transform}.LayerNorm.weight": Place(f"{path}/norm/scale", (D,)),
        f"{transform}.LayerNorm.bias": Place(f"{path}/norm/bias", (D,)),
    }
