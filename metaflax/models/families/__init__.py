"""Model families, a folder each: configuration, network, weight names."""

from metaflax.models.families._contract import (
    Contents,
    Files,
    MaskedLMFamily,
    NewModel,
    Sizes,
    TextBounds,
)
from metaflax.models.families._registry import FAMILIES

__all__ = [
    "FAMILIES",
    "Contents",
    "Files",
    "MaskedLMFamily",
    "NewModel",
    "Sizes",
    "TextBounds",
]
