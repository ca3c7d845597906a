"""Meta-testing: adaptation to episodes, scores of their queries, intervals."""

from metaflax.evaluation._bootstrap import bootstrap_interval as bootstrap_interval
from metaflax.evaluation._bootstrap import median_interval as median_interval
from metaflax.evaluation._bootstrap import paired_bootstrap as paired_bootstrap
from metaflax.evaluation._calibration import calibration as calibration
from metaflax.evaluation._intervals import Interval as Interval
from metaflax.evaluation._intervals import mean_interval as mean_interval
from metaflax.evaluation._intervals import nested_interval as nested_interval
from metaflax.evaluation._intervals import paired_interval as paired_interval
from metaflax.evaluation._intervals import stratified_interval as stratified_interval
from metaflax.evaluation._score import Scores as Scores
from metaflax.evaluation._score import evaluate as evaluate
from metaflax.evaluation._score import scorer as scorer

__all__ = [
    "Interval",
    "Scores",
    "bootstrap_interval",
    "calibration",
    "evaluate",
    "mean_interval",
    "median_interval",
    "nested_interval",
    "paired_bootstrap",
    "paired_interval",
    "scorer",
    "stratified_interval",
]
