"""The family of DistilBERT encoders."""

from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.distilbert._config import DistilBertConfig
from metaflax.models.families.distilbert._network import NETWORK
from metaflax.models.families.distilbert._weight_names import FILES, WORD_HEAD

DISTILBERT = encoder_family(DistilBertConfig, NETWORK, FILES, WORD_HEAD)
