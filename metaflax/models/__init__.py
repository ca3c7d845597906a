"""Language models: networks, pretrained weights, and parameters for adaptation."""

from metaflax.models import families, pretrained
from metaflax.models.adaptation._adapters import with_adapters
from metaflax.models.adaptation._context import with_context
from metaflax.models.adaptation._lora import merge_lora, with_lora
from metaflax.models.adaptation._prefix import with_prefix
from metaflax.models.families._convert_gguf import convert_gguf
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._registry import encoder, load, save
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.encoder_decoder._config import Seq2SeqConfig
from metaflax.models.families.encoder_decoder._network import seq2seq
from metaflax.models.families.gpt2._config import GPTConfig
from metaflax.models.families.gpt2._network import gpt
from metaflax.models.families.llama._config import LlamaConfig
from metaflax.models.families.llama._network import llama
from metaflax.models.generation._beam_search import beam_search
from metaflax.models.generation._generate import greedy, sampling
from metaflax.models.generation._language_model import LanguageModel, Pair
from metaflax.models.layers._pooling import Encoder, Pooling, pool
from metaflax.models.layers._tokens import Tokens, word_table

__all__ = [
    "BertConfig",
    "Encoder",
    "GPTConfig",
    "LanguageModel",
    "LlamaConfig",
    "ModelFamily",
    "Pair",
    "Pooling",
    "Seq2SeqConfig",
    "Tokens",
    "beam_search",
    "convert_gguf",
    "encoder",
    "families",
    "gpt",
    "greedy",
    "llama",
    "load",
    "merge_lora",
    "pool",
    "pretrained",
    "sampling",
    "save",
    "seq2seq",
    "with_adapters",
    "with_context",
    "with_lora",
    "with_prefix",
    "word_table",
]
