"""The commands as functions of a config or of paths.

Each name loads its module when it is first used, so that `import metaflax.workflows`
costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metaflax.workflows.data_preparation._augment import augment as augment
    from metaflax.workflows.data_preparation._cluster import cluster as cluster
    from metaflax.workflows.data_preparation._new_model import (
        language_model_from_encoder as language_model_from_encoder,
    )
    from metaflax.workflows.data_preparation._new_model import (
        new_language_model as new_language_model,
    )
    from metaflax.workflows.data_preparation._new_model import (
        texts_of_file as texts_of_file,
    )
    from metaflax.workflows.data_preparation._variants import Replacing as Replacing
    from metaflax.workflows.inference._adapt import adapt as adapt
    from metaflax.workflows.inference._explain import Explainer as Explainer
    from metaflax.workflows.inference._export import export as export
    from metaflax.workflows.inference._fairness import fairness as fairness
    from metaflax.workflows.inference._finetune import finetune as finetune
    from metaflax.workflows.inference._generate import Generator as Generator
    from metaflax.workflows.inference._load import load as load
    from metaflax.workflows.inference._predict import predict as predict
    from metaflax.workflows.inference._predictor import Predictor as Predictor
    from metaflax.workflows.inference._suggest import suggest as suggest
    from metaflax.workflows.inference._triples import TripleFinder as TripleFinder
    from metaflax.workflows.meta_testing._compare_runs import (
        compare_runs as compare_runs,
    )
    from metaflax.workflows.meta_testing._evaluate import evaluate as evaluate
    from metaflax.workflows.meta_testing._report import report as report
    from metaflax.workflows.meta_training._mixture import mix as mix
    from metaflax.workflows.meta_training._pretrain import pretrain as pretrain
    from metaflax.workflows.meta_training._quickstart import quickstart as quickstart
    from metaflax.workflows.meta_training._quickstart import (
        quickstart_config as quickstart_config,
    )
    from metaflax.workflows.meta_training._replay import replay as replay
    from metaflax.workflows.meta_training._search import search as search
    from metaflax.workflows.meta_training._train import meta_train as meta_train
    from metaflax.workflows.meta_training._train import train as train
    from metaflax.workflows.runs._compilation_cache import (
        cache_compilations as cache_compilations,
    )
    from metaflax.workflows.runs._evaluator import Evaluator as Evaluator
    from metaflax.workflows.runs._load_model import load_model as load_model
    from metaflax.workflows.runs._load_model import locate_model as locate_model
    from metaflax.workflows.runs._process import prepare_process as prepare_process
    from metaflax.workflows.runs._run import Run as Run
    from metaflax.workflows.runs._run import load_run as load_run
    from metaflax.workflows.runs._run import reload_run as reload_run
    from metaflax.workflows.runs._run_directory import RunDirectory as RunDirectory
    from metaflax.workflows.watching._watch import watch as watch

# The module of each name.
_MODULE_OF = {
    "Evaluator": "runs._evaluator",
    "Explainer": "inference._explain",
    "Generator": "inference._generate",
    "Predictor": "inference._predictor",
    "Replacing": "data_preparation._variants",
    "Run": "runs._run",
    "RunDirectory": "runs._run_directory",
    "TripleFinder": "inference._triples",
    "adapt": "inference._adapt",
    "augment": "data_preparation._augment",
    "cache_compilations": "runs._compilation_cache",
    "cluster": "data_preparation._cluster",
    "compare_runs": "meta_testing._compare_runs",
    "evaluate": "meta_testing._evaluate",
    "export": "inference._export",
    "fairness": "inference._fairness",
    "finetune": "inference._finetune",
    "language_model_from_encoder": "data_preparation._new_model",
    "load": "inference._load",
    "load_model": "runs._load_model",
    "load_run": "runs._run",
    "locate_model": "runs._load_model",
    "meta_train": "meta_training._train",
    "mix": "meta_training._mixture",
    "new_language_model": "data_preparation._new_model",
    "predict": "inference._predict",
    "prepare_process": "runs._process",
    "pretrain": "meta_training._pretrain",
    "quickstart": "meta_training._quickstart",
    "quickstart_config": "meta_training._quickstart",
    "reload_run": "runs._run",
    "replay": "meta_training._replay",
    "report": "meta_testing._report",
    "search": "meta_training._search",
    "suggest": "inference._suggest",
    "texts_of_file": "data_preparation._new_model",
    "train": "meta_training._train",
    "watch": "watching._watch",
}

__all__ = [
    "Evaluator",
    "Explainer",
    "Generator",
    "Predictor",
    "Replacing",
    "Run",
    "RunDirectory",
    "TripleFinder",
    "adapt",
    "augment",
    "cache_compilations",
    "cluster",
    "compare_runs",
    "evaluate",
    "export",
    "fairness",
    "finetune",
    "language_model_from_encoder",
    "load",
    "load_model",
    "load_run",
    "locate_model",
    "meta_train",
    "mix",
    "new_language_model",
    "predict",
    "prepare_process",
    "pretrain",
    "quickstart",
    "quickstart_config",
    "reload_run",
    "replay",
    "report",
    "search",
    "suggest",
    "texts_of_file",
    "train",
    "watch",
]


def __getattr__(name: str):
    """Loads the module of a name when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'metaflax.workflows' has no attribute {name!r}")
    module = importlib.import_module(f"metaflax.workflows.{_MODULE_OF[name]}")
    return globals().setdefault(name, getattr(module, name))


def __dir__():
    """Lists the public names, whether they are loaded or not."""
    return __all__
