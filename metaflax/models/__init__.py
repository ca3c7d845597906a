"""Language models: networks, pretrained weights, and parameters for adaptation."""

from metaflax.models import families, pretrained
from metaflax.models.adaptation._adapters import with_adapters
from metaflax.models.adaptation._context import with_context
from metaflax.models.adaptation._lora import merge_lora, with_lora
from metaflax.models.adaptation._prefix import with_prefix
from metaflax.models.families import (
    ModelFamily,
    family_of,
    load,
    load_masked_lm,
    save,
    save_masked_lm,
)
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._encoder import encoder, hidden_states
from metaflax.models.families.bert._masked_lm import MaskedLM, init_head, masked_lm
from metaflax.models.families.encoder_decoder._config import Seq2SeqConfig
from metaflax.models.families.encoder_decoder._network import seq2seq
from metaflax.models.families.gpt2._config import GPTConfig
from metaflax.models.families.gpt2._network import gpt
from metaflax.models.generation._beam_search import beam_search
from metaflax.models.generation._generate import Generated, GenerateFn, greedy, sampling
from metaflax.models.generation._language_model import Cache, LanguageModel, Pair
from metaflax.models.layers._pooling import Encoder, Pooling, pool
from metaflax.models.layers._stack import LayerLoop, Remat
from metaflax.models.layers._tokens import Tokens, word_table

__all__ = [
    "BertConfig",
    "Cache",
    "Encoder",
    "GPTConfig",
    "GenerateFn",
    "Generated",
    "LanguageModel",
    "LayerLoop",
    "MaskedLM",
    "ModelFamily",
    "Pair",
    "Pooling",
    "Remat",
    "Seq2SeqConfig",
    "Tokens",
    "beam_search",
    "encoder",
    "families",
    "family_of",
    "gpt",
    "greedy",
    "hidden_states",
    "init_head",
    "load",
    "load_masked_lm",
    "masked_lm",
    "merge_lora",
    "pool",
    "pretrained",
    "sampling",
    "save",
    "save_masked_lm",
    "seq2seq",
    "with_adapters",
    "with_context",
    "with_lora",
    "with_prefix",
    "word_table",
]
