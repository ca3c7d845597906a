"""What the commands do, as functions of a config."""

from metaflax.workflows._adapt import adapt as adapt
from metaflax.workflows._adapt import without_run as without_run
from metaflax.workflows._against_joint import against_joint as against_joint
from metaflax.workflows._against_joint import compare_with_joint as compare_with_joint
from metaflax.workflows._against_joint import on_domains as on_domains
from metaflax.workflows._augment import augment as augment
from metaflax.workflows._baselines import against_baselines as against_baselines
from metaflax.workflows._beside import compare_runs as compare_runs
from metaflax.workflows._cluster import cluster as cluster
from metaflax.workflows._compilations import (
    cache_compilations as cache_compilations,
)
from metaflax.workflows._evaluate import evaluate as evaluate
from metaflax.workflows._explain import Deletion as Deletion
from metaflax.workflows._explain import Explainer as Explainer
from metaflax.workflows._explain import check_by_deletion as check_by_deletion
from metaflax.workflows._export import export as export
from metaflax.workflows._fairness import fairness as fairness
from metaflax.workflows._fairness import fairness_report as fairness_report
from metaflax.workflows._finetune import finetune as finetune
from metaflax.workflows._flops import step_flops as step_flops
from metaflax.workflows._generate import Generator as Generator
from metaflax.workflows._logs import quiet_logs as quiet_logs
from metaflax.workflows._mixture import mix as mix
from metaflax.workflows._new import (
    language_model_from_encoder as language_model_from_encoder,
)
from metaflax.workflows._new import new_language_model as new_language_model
from metaflax.workflows._new import texts_of_file as texts_of_file
from metaflax.workflows._predict import Predictor as Predictor
from metaflax.workflows._predict import predict as predict
from metaflax.workflows._pretrain import pretrain as pretrain
from metaflax.workflows._quickstart import quickstart as quickstart
from metaflax.workflows._quickstart import quickstart_config as quickstart_config
from metaflax.workflows._replay import replay as replay
from metaflax.workflows._report import report as report
from metaflax.workflows._run import load_run as load_run
from metaflax.workflows._run_directory import RunDirectory as RunDirectory
from metaflax.workflows._score_given import score_episodes as score_episodes
from metaflax.workflows._score_given import score_pretrained as score_pretrained
from metaflax.workflows._script import run_script as run_script
from metaflax.workflows._search import search as search
from metaflax.workflows._settings import Setting as Setting
from metaflax.workflows._settings import fine_tuned_settings as fine_tuned_settings
from metaflax.workflows._settings import frozen_settings as frozen_settings
from metaflax.workflows._train import meta_train as meta_train
from metaflax.workflows._train import train as train
from metaflax.workflows._triples import TripleFinder as TripleFinder
from metaflax.workflows._variants import Replacing as Replacing

__all__ = [
    "Deletion",
    "Explainer",
    "Generator",
    "Predictor",
    "Replacing",
    "RunDirectory",
    "Setting",
    "TripleFinder",
    "adapt",
    "against_baselines",
    "against_joint",
    "augment",
    "cache_compilations",
    "check_by_deletion",
    "cluster",
    "compare_runs",
    "compare_with_joint",
    "evaluate",
    "export",
    "fairness",
    "fairness_report",
    "fine_tuned_settings",
    "finetune",
    "frozen_settings",
    "language_model_from_encoder",
    "load_run",
    "meta_train",
    "mix",
    "new_language_model",
    "on_domains",
    "predict",
    "pretrain",
    "quickstart",
    "quickstart_config",
    "quiet_logs",
    "replay",
    "report",
    "run_script",
    "score_episodes",
    "score_pretrained",
    "search",
    "step_flops",
    "texts_of_file",
    "train",
    "without_run",
]
