"""Output layers: how each begins from a support set, and what it says."""

from metaflax.heads._linear import linear as linear
from metaflax.heads._prototypes import label_prototypes as label_prototypes
from metaflax.heads._prototypes import prototypes as prototypes

__all__ = ["label_prototypes", "linear", "prototypes"]
