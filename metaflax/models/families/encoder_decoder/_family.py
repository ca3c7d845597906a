"""The family of encoder-decoders of two BERTs."""

from collections.abc import Sequence
from typing import Any

import jax

from metaflax.models.adaptation._adapters import with_adapters
from metaflax.models.adaptation._lora import with_lora
from metaflax.models.adaptation._prefix import with_prefix
from metaflax.models.families._contract import NewModel, Sizes, TextBounds
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._named_weights import named_weights
from metaflax.models.families.bert._family import bert_config
from metaflax.models.families.encoder_decoder import _weight_names
from metaflax.models.families.encoder_decoder._config import Seq2SeqConfig
from metaflax.models.families.encoder_decoder._network import seq2seq
from metaflax.models.pretrained._train_tokenizer import BEGIN, END, PAD, SPECIAL


def _new_config(sizes: Sizes) -> Seq2SeqConfig:
    network = bert_config(sizes)
    begin, end, pad = map(SPECIAL.index, (BEGIN, END, PAD))
    return Seq2SeqConfig(
        network,
        network,
        decoder_start_token_id=begin,
        eos_token_id=end,
        pad_token_id=pad,
    )


def _text_bounds(config: Seq2SeqConfig, tokenizer: Any) -> TextBounds:
    ends = (config.eos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id)
    end = next((token for token in ends if token is not None), None)
    return TextBounds(
        begin=config.decoder_start_token_id,
        end=end,
        separate=True,
        max_input=config.encoder.max_position_embeddings,
        # One position is that of the token that begins a text.
        max_target=config.decoder.max_position_embeddings - 1,
    )


def _add(params: Any, key: Any, networks: Sequence[str], add: Any, **sizes: int) -> Any:
    """Adds leaves to some of the two networks, each from a key of its own."""
    added = {
        name: add(params[name], jax.random.fold_in(key, number), **sizes)
        for number, name in enumerate(networks)
    }
    return {**params, **added}


def _lora(params: Any, key: Any, size: int) -> Any:
    return _add(params, key, ("encoder", "decoder"), with_lora, rank=size)


def _adapters(params: Any, key: Any, size: int) -> Any:
    return _add(params, key, ("encoder", "decoder"), with_adapters, size=size)


def _prefix(params: Any, key: Any, size: int) -> Any:
    return _add(params, key, ("decoder",), with_prefix, size=size)


_READ, _WRITE = named_weights(
    _weight_names.targets,
    _weight_names.rename,
    lambda name: name,
    "EncoderDecoderModel",
    _weight_names.unread,
)

ENCODER_DECODER = ModelFamily(
    model_type="encoder-decoder",
    config_class=Seq2SeqConfig,
    language_model=seq2seq,
    max_positions=lambda config: config.encoder.max_position_embeddings,
    vocab_size=lambda config: min(config.encoder.vocab_size, config.decoder.vocab_size),
    text_bounds=_text_bounds,
    read=_READ,
    write=_WRITE,
    additions={"lora_rank": _lora, "adapter_size": _adapters, "prefix_size": _prefix},
    new=NewModel(_new_config, "seq2seq"),
    default_task="summarization",
)
