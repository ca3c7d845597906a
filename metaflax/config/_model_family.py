"""The family of the model that a config names, without its weights."""

from metaflax.config._model_settings import ModelConfig
from metaflax.data.sources._pip_models import PIP_MODELS
from metaflax.models.families import FAMILIES
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._registry import family_of

# Of the models that GGUF files are converted to.
GGUF_TYPE = "llama"


def model_family(config: ModelConfig) -> ModelFamily:
    """Returns the family of a model; downloads nothing of those that pip fetches.

    Raises:
      ValueError: if there is no such model.
    """
    if (known := PIP_MODELS.get(config.name)) is not None:
        return FAMILIES[known.model_type]
    if config.name.endswith(".gguf"):
        return FAMILIES[GGUF_TYPE]
    return family_of(config.name, config.family)
