"""What the commands do, as functions of a config."""

from metaflax.workflows._adapt import adapt as adapt
from metaflax.workflows._adapt import without_run as without_run
from metaflax.workflows._baselines import against_baselines as against_baselines
from metaflax.workflows._baselines import score_episodes as score_episodes
from metaflax.workflows._compilations import (
    cache_compilations as cache_compilations,
)
from metaflax.workflows._evaluate import evaluate as evaluate
from metaflax.workflows._finetune import finetune as finetune
from metaflax.workflows._predict import Predictor as Predictor
from metaflax.workflows._predict import predict as predict
from metaflax.workflows._pretrain import pretrain as pretrain
from metaflax.workflows._quickstart import quickstart as quickstart
from metaflax.workflows._quickstart import quickstart_config as quickstart_config
from metaflax.workflows._run import load_run as load_run
from metaflax.workflows._run_directory import RunDirectory as RunDirectory
from metaflax.workflows._script import run_script as run_script
from metaflax.workflows._settings import Setting as Setting
from metaflax.workflows._settings import fine_tuned_settings as fine_tuned_settings
from metaflax.workflows._settings import frozen_settings as frozen_settings
from metaflax.workflows._train import train as train
from metaflax.workflows._triples import TripleFinder as TripleFinder

__all__ = [
    "Predictor",
    "RunDirectory",
    "Setting",
    "TripleFinder",
    "adapt",
    "against_baselines",
    "cache_compilations",
    "evaluate",
    "fine_tuned_settings",
    "finetune",
    "frozen_settings",
    "load_run",
    "predict",
    "pretrain",
    "quickstart",
    "quickstart_config",
    "run_script",
    "score_episodes",
    "train",
    "without_run",
]
