"""The family of T5 encoder-decoders."""

from collections.abc import Sequence
from typing import Any

import jax

from metaflax.models.adaptation._adapters import with_adapters
from metaflax.models.adaptation._context import with_context
from metaflax.models.adaptation._lora import with_lora
from metaflax.models.adaptation._prefix import with_prefix
from metaflax.models.families._contract import NewModel, Sizes, TextBounds
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._named_weights import named_weights
from metaflax.models.families.t5 import _weight_names
from metaflax.models.families.t5._config import T5Config
from metaflax.models.families.t5._network import t5
from metaflax.models.pretrained._train_tokenizer import BEGIN, END, PAD, SPECIAL


def _new_config(sizes: Sizes) -> T5Config:
    return T5Config(
        vocab_size=sizes.vocab_size,
        d_model=sizes.width,
        d_kv=sizes.width // sizes.heads,
        d_ff=sizes.mlp_width or 4 * sizes.width,
        num_layers=sizes.layers,
        num_heads=sizes.heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=sizes.dropout,
        decoder_start_token_id=SPECIAL.index(BEGIN),
        eos_token_id=SPECIAL.index(END),
        pad_token_id=SPECIAL.index(PAD),
    )


def _text_bounds(config: T5Config, tokenizer: Any) -> TextBounds:
    end = config.eos_token_id
    return TextBounds(
        begin=config.decoder_start_token_id,
        end=tokenizer.eos_token_id if end is None else end,
        separate=True,
        max_input=config.longest_text,
        max_target=config.longest_text,
    )


def _add(params: Any, key: Any, networks: Sequence[str], add: Any, **sizes: int) -> Any:
    """Adds leaves to some of the two networks, each from a key of its own."""
    for number, name in enumerate(networks):
        network = {"embeddings": params["embeddings"], **params[name]}
        grown = add(network, jax.random.fold_in(key, number), **sizes)
        params = {**params, "embeddings": grown.pop("embeddings"), name: grown}
    return params


def _lora(params: Any, key: Any, size: int) -> Any:
    return _add(params, key, ("encoder", "decoder"), with_lora, rank=size)


def _adapters(params: Any, key: Any, size: int) -> Any:
    return _add(params, key, ("encoder", "decoder"), with_adapters, size=size)


def _prefix(params: Any, key: Any, size: int) -> Any:
    return _add(params, key, ("decoder",), with_prefix, size=size)


def _context(params: Any, key: Any, size: int) -> Any:
    # Of the word embedding that both networks share.
    return _add(params, key, ("encoder",), with_context, size=size)


_READ, _WRITE = named_weights(
    _weight_names.targets,
    _weight_names.rename,
    lambda name: name,
    "T5ForConditionalGeneration",
    resolve=_weight_names.resolve,
)

T5 = ModelFamily(
    model_type="t5",
    config_class=T5Config,
    language_model=t5,
    max_positions=lambda config: config.longest_text,
    text_bounds=_text_bounds,
    read=_READ,
    write=_WRITE,
    additions={
        "lora_rank": _lora,
        "adapter_size": _adapters,
        "context_size": _context,
        "prefix_size": _prefix,
    },
    new=NewModel(_new_config, "seq2seq"),
    default_task="summarization",
)
