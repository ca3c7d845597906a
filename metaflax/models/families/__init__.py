"""Model families, a folder each: configuration, network, weight names."""

from metaflax.models.families._family import (
    Contents,
    Files,
    MaskedLMFamily,
    ModelFamily,
    NewModel,
    Sizes,
    TextBounds,
)
from metaflax.models.families._registry import (
    FAMILIES,
    family_of,
    load,
    load_masked_lm,
    named_family,
    save,
    save_masked_lm,
)

__all__ = [
    "FAMILIES",
    "Contents",
    "Files",
    "MaskedLMFamily",
    "ModelFamily",
    "NewModel",
    "Sizes",
    "TextBounds",
    "family_of",
    "load",
    "load_masked_lm",
    "named_family",
    "save",
    "save_masked_lm",
]
