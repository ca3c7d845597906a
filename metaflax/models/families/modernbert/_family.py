"""The family of ModernBERT encoders."""

from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.modernbert._config import ModernBertConfig
from metaflax.models.families.modernbert._network import NETWORK
from metaflax.models.families.modernbert._weight_names import FILES, WORD_HEAD

MODERNBERT = encoder_family(ModernBertConfig, NETWORK, FILES, WORD_HEAD)
