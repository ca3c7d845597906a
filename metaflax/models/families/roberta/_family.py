"""The families of RoBERTa, XLM-RoBERTa and CamemBERT encoders."""

from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.roberta._config import (
    CamembertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)
from metaflax.models.families.roberta._network import NETWORK
from metaflax.models.families.roberta._weight_names import WORD_HEAD, files

ROBERTA = encoder_family(RobertaConfig, NETWORK, files("Roberta"), WORD_HEAD)
XLM_ROBERTA = encoder_family(XLMRobertaConfig, NETWORK, files("XLMRoberta"), WORD_HEAD)
CAMEMBERT = encoder_family(CamembertConfig, NETWORK, files("Camembert"), WORD_HEAD)
