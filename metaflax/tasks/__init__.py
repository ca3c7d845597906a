"""Task types: inputs, targets, losses, metrics and decoding of predictions."""

from metaflax.tasks._base import TaskType as TaskType
from metaflax.tasks._classification import classification as classification
from metaflax.tasks._classification import (
    multilabel_classification as multilabel_classification,
)
from metaflax.tasks._entities import entities as entities
from metaflax.tasks._entity_spans import runs_of_entities as runs_of_entities
from metaflax.tasks._fields import Fields as Fields
from metaflax.tasks._forms import TEXT as TEXT
from metaflax.tasks._forms import Form as Form
from metaflax.tasks._generation import dialogue as dialogue
from metaflax.tasks._generation import language_modelling as language_modelling
from metaflax.tasks._generation import summarization as summarization
from metaflax.tasks._generation import translation as translation
from metaflax.tasks._masked_words import MASKED_TEXT as MASKED_TEXT
from metaflax.tasks._mentions import MENTION as MENTION
from metaflax.tasks._mentions import Mention as Mention
from metaflax.tasks._multiple_choice import multiple_choice as multiple_choice
from metaflax.tasks._pair_classification import (
    pair_classification as pair_classification,
)
from metaflax.tasks._pairs import PAIR as PAIR
from metaflax.tasks._pairs import Pair as Pair
from metaflax.tasks._question_answering import (
    question_answering as question_answering,
)
from metaflax.tasks._questions import Question as Question
from metaflax.tasks._regression import regression as regression
from metaflax.tasks._relations import relations as relations
from metaflax.tasks._sentences import Sentence as Sentence
from metaflax.tasks._tagging import BIO as BIO
from metaflax.tasks._tagging import IO as IO
from metaflax.tasks._templates import Template as Template
from metaflax.tasks._templates import read_template as read_template
from metaflax.tasks._text_level import TextLevel as TextLevel
from metaflax.tasks._token_level import TokenLevel as TokenLevel
from metaflax.tasks._turns import TURNS as TURNS
from metaflax.tasks._viterbi import abstract_transitions as abstract_transitions

__all__ = [
    "BIO",
    "IO",
    "MASKED_TEXT",
    "MENTION",
    "PAIR",
    "TEXT",
    "TURNS",
    "Fields",
    "Form",
    "Mention",
    "Pair",
    "Question",
    "Sentence",
    "TaskType",
    "Template",
    "TextLevel",
    "TokenLevel",
    "abstract_transitions",
    "classification",
    "dialogue",
    "entities",
    "language_modelling",
    "multilabel_classification",
    "multiple_choice",
    "pair_classification",
    "question_answering",
    "read_template",
    "regression",
    "relations",
    "runs_of_entities",
    "summarization",
    "translation",
]
