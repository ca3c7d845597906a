"""The family of ELECTRA encoders."""

from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.electra._config import ElectraConfig
from metaflax.models.families.electra._network import NETWORK
from metaflax.models.families.electra._weight_names import FILES, WORD_HEAD

ELECTRA = encoder_family(ElectraConfig, NETWORK, FILES, WORD_HEAD)
