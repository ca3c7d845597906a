"""Tasks learned from a few examples in memory: scikit-learn estimators."""

from metaflax.few_shot._classifier import FewShotClassifier
from metaflax.few_shot._examples import examples_of, texts_of
from metaflax.few_shot._learner import LearnedTask, Learner
from metaflax.few_shot._regressor import FewShotRegressor
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.few_shot._tagger import FewShotTagger
from metaflax.few_shot._text_encoder import Encoded, TextEncoder

__all__ = [
    "Encoded",
    "FewShotClassifier",
    "FewShotRegressor",
    "FewShotTagger",
    "LearnedTask",
    "Learner",
    "LearnerSettings",
    "TextEncoder",
    "examples_of",
    "load_learner",
    "texts_of",
]
