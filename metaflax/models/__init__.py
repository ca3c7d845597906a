"""Language models: networks, pretrained weights, and leaves that make them adapt."""

from metaflax.models import pretrained
from metaflax.models._adapters import with_adapters
from metaflax.models._beam import beam_search
from metaflax.models._bert_config import BertConfig
from metaflax.models._context import with_context
from metaflax.models._encoder import Encoder, Pooling, encoder, hidden_states
from metaflax.models._generate import Generated, GenerateFn, greedy, sampling
from metaflax.models._gpt import gpt
from metaflax.models._gpt_config import GPTConfig
from metaflax.models._language_model import Cache, LanguageModel, Pair
from metaflax.models._lora import merge_lora, with_lora
from metaflax.models._masked_lm import MaskedLM, init_head, masked_lm
from metaflax.models._prefix import with_prefix
from metaflax.models._seq2seq import seq2seq
from metaflax.models._seq2seq_config import Seq2SeqConfig
from metaflax.models._stack import LayersBy, Remat
from metaflax.models._tokens import Tokens, word_table

__all__ = [
    "BertConfig",
    "Cache",
    "Encoder",
    "GPTConfig",
    "GenerateFn",
    "Generated",
    "LanguageModel",
    "LayersBy",
    "MaskedLM",
    "Pair",
    "Pooling",
    "Remat",
    "Seq2SeqConfig",
    "Tokens",
    "beam_search",
    "encoder",
    "gpt",
    "greedy",
    "hidden_states",
    "init_head",
    "masked_lm",
    "merge_lora",
    "pretrained",
    "sampling",
    "seq2seq",
    "with_adapters",
    "with_context",
    "with_lora",
    "with_prefix",
    "word_table",
]
