"""The family of ALBERT encoders."""

from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.albert._config import AlbertConfig
from metaflax.models.families.albert._network import NETWORK
from metaflax.models.families.albert._weight_names import FILES, WORD_HEAD

ALBERT = encoder_family(AlbertConfig, NETWORK, FILES, WORD_HEAD)
