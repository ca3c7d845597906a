"""Task types: what a model reads, what its outputs mean, how they become answers."""

from metaflax.tasks._base import TaskType as TaskType
from metaflax.tasks._base import Truth as Truth
from metaflax.tasks._classification import classification as classification
from metaflax.tasks._classification import (
    multilabel_classification as multilabel_classification,
)
from metaflax.tasks._fields import Fields as Fields
from metaflax.tasks._forms import TEXT as TEXT
from metaflax.tasks._forms import Form as Form
from metaflax.tasks._pair_classification import PAIR as PAIR
from metaflax.tasks._pair_classification import Pair as Pair
from metaflax.tasks._pair_classification import (
    pair_classification as pair_classification,
)
from metaflax.tasks._questions import Answer as Answer
from metaflax.tasks._questions import Question as Question
from metaflax.tasks._regression import TEXT_OR_PAIR as TEXT_OR_PAIR
from metaflax.tasks._regression import regression as regression
from metaflax.tasks._relations import MENTION as MENTION
from metaflax.tasks._relations import Mention as Mention
from metaflax.tasks._relations import relations as relations
from metaflax.tasks._token_level import Reading as Reading
from metaflax.tasks._token_level import TokenLevel as TokenLevel

__all__ = [
    "MENTION",
    "PAIR",
    "TEXT",
    "TEXT_OR_PAIR",
    "Answer",
    "Fields",
    "Form",
    "Mention",
    "Pair",
    "Question",
    "Reading",
    "TaskType",
    "TokenLevel",
    "Truth",
    "classification",
    "multilabel_classification",
    "pair_classification",
    "regression",
    "relations",
]
