"""The family of GPT-2 decoders."""

from typing import Any

from metaflax.models.families._additions import ADDITIONS
from metaflax.models.families._contract import NewModel, Sizes, TextBounds
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._named_weights import named_weights
from metaflax.models.families.gpt2 import _weight_names
from metaflax.models.families.gpt2._config import GPTConfig
from metaflax.models.families.gpt2._network import gpt
from metaflax.models.pretrained._train_tokenizer import BEGIN, END, SPECIAL


def _new_config(sizes: Sizes) -> GPTConfig:
    return GPTConfig(
        vocab_size=sizes.vocab_size,
        n_positions=sizes.positions,
        n_embd=sizes.width,
        n_layer=sizes.layers,
        n_head=sizes.heads,
        n_inner=sizes.mlp_width,
        resid_pdrop=sizes.dropout,
        embd_pdrop=sizes.dropout,
        attn_pdrop=sizes.dropout,
        bos_token_id=SPECIAL.index(BEGIN),
        eos_token_id=SPECIAL.index(END),
    )


def _text_bounds(config: GPTConfig, tokenizer: Any) -> TextBounds:
    del tokenizer
    end = config.eos_token_id
    begin = end if config.bos_token_id is None else config.bos_token_id
    return TextBounds(begin, end, False, config.n_positions, config.n_positions)


_READ, _WRITE = named_weights(
    _weight_names.targets,
    _weight_names.rename,
    _weight_names.file_name,
    "GPT2LMHeadModel",
)

GPT2 = ModelFamily(
    model_type="gpt2",
    config_class=GPTConfig,
    language_model=gpt,
    max_positions=lambda config: config.n_positions,
    text_bounds=_text_bounds,
    read=_READ,
    write=_WRITE,
    additions=ADDITIONS,
    new=NewModel(_new_config, "gpt"),
    default_task="language_modelling",
)
