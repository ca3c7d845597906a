"""Meta-testing: adapt, score, and say how sure the score is."""

from metaflax.evaluation._attributions import Attributions as Attributions
from metaflax.evaluation._attributions import (
    integrated_gradients as integrated_gradients,
)
from metaflax.evaluation._generated import Asked as Asked
from metaflax.evaluation._generated import Said as Said
from metaflax.evaluation._generated import generating_scorer as generating_scorer
from metaflax.evaluation._intervals import Interval as Interval
from metaflax.evaluation._intervals import mean_interval as mean_interval
from metaflax.evaluation._intervals import paired_interval as paired_interval
from metaflax.evaluation._report import classification_report as classification_report
from metaflax.evaluation._report import label_report as label_report
from metaflax.evaluation._report import number_report as number_report
from metaflax.evaluation._score import Scores as Scores
from metaflax.evaluation._score import evaluate as evaluate
from metaflax.evaluation._score import scorer as scorer

__all__ = [
    "Asked",
    "Attributions",
    "Interval",
    "Said",
    "Scores",
    "classification_report",
    "evaluate",
    "generating_scorer",
    "integrated_gradients",
    "label_report",
    "mean_interval",
    "number_report",
    "paired_interval",
    "scorer",
]
