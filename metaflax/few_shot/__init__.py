"""Tasks learned from a few examples in memory: scikit-learn estimators."""

from metaflax.few_shot._classifier import FewShotClassifier
from metaflax.few_shot._learner import LearnedTask, Learner
from metaflax.few_shot._regressor import FewShotRegressor
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.few_shot._tagger import FewShotTagger

__all__ = [
    "FewShotClassifier",
    "FewShotRegressor",
    "FewShotTagger",
    "LearnedTask",
    "Learner",
    "LearnerSettings",
    "load_learner",
]
