"""The family of DeBERTa encoders of versions 2 and 3."""

from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.deberta._config import DebertaV2Config
from metaflax.models.families.deberta._network import NETWORK
from metaflax.models.families.deberta._weight_names import FILES, WORD_HEAD

DEBERTA = encoder_family(DebertaV2Config, NETWORK, FILES, WORD_HEAD)
