"""The family of Llama decoders."""

from typing import Any

from metaflax.models.families._additions import ADDITIONS
from metaflax.models.families._contract import NewModel, Sizes, TextBounds
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._named_weights import named_weights
from metaflax.models.families.llama import _weight_names
from metaflax.models.families.llama._config import MODEL_TYPES, LlamaConfig
from metaflax.models.families.llama._gguf import LLAMA_GGUF
from metaflax.models.families.llama._network import llama
from metaflax.models.pretrained._train_tokenizer import BEGIN, END, PAD, SPECIAL


def _new_config(sizes: Sizes) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.width,
        intermediate_size=sizes.mlp_width or 4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.positions,
        attention_dropout=sizes.dropout,
        tie_word_embeddings=True,
        bos_token_id=SPECIAL.index(BEGIN),
        eos_token_id=SPECIAL.index(END),
        pad_token_id=SPECIAL.index(PAD),
    )


def _text_bounds(config: LlamaConfig, tokenizer: Any) -> TextBounds:
    end = tokenizer.eos_token_id if config.end is None else config.end
    begin = end if config.bos_token_id is None else config.bos_token_id
    longest = config.max_position_embeddings
    return TextBounds(begin, end, False, longest, longest, config.further_ends)


_READ, _WRITE = named_weights(
    _weight_names.targets,
    _weight_names.rename,
    _weight_names.file_name,
    _weight_names.architecture,
)

LLAMA = ModelFamily(
    model_type="llama",
    aliases=MODEL_TYPES[1:],
    config_class=LlamaConfig,
    language_model=llama,
    text_bounds=_text_bounds,
    read=_READ,
    write=_WRITE,
    additions=ADDITIONS,
    gguf=LLAMA_GGUF,
    new=NewModel(_new_config, "gpt"),
    default_task="language_modelling",
)
