"""Task types: what outputs mean, how they are scored, how they become answers."""

from metaflax.tasks._base import TaskType as TaskType
from metaflax.tasks._classification import classification as classification
from metaflax.tasks._classification import (
    multilabel_classification as multilabel_classification,
)

__all__ = ["TaskType", "classification", "multilabel_classification"]
