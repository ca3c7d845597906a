"""The family of MPNet encoders."""

from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.mpnet._config import MPNetConfig
from metaflax.models.families.mpnet._network import NETWORK
from metaflax.models.families.mpnet._weight_names import FILES, WORD_HEAD

MPNET = encoder_family(MPNetConfig, NETWORK, FILES, WORD_HEAD)
