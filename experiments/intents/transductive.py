"""Transductive accuracy: class means refined by the queries of an episode.

Queries are given to the output layer `soft_k_means` without their labels, so that each
prediction depends on all queries of the episode: a *transductive* score.
"""

import dataclasses
from pathlib import Path

import numpy as np

from experiments import common
from metaflax import config as config_lib
from metaflax import workflows

HEAD = "soft_k_means"


def write(config: config_lib.Config, run_dir: Path, out: Path) -> None:
    """Writes the accuracy of each test episode, by the best checkpoint of a run.

    Args:
      config: config of the run, with the sizes of its test episodes.
      run_dir: a finished run.
      out: file to write, unless it exists.
    """
    if out.exists():
        return
    start = workflows.load_run(config).initial_params()
    trained = workflows.RunDirectory(run_dir).best_params(start)
    algorithm = dataclasses.replace(config.algorithm, name="frozen", head=HEAD)
    run = workflows.load_run(dataclasses.replace(config, algorithm=algorithm))
    params = {**run.initial_params(), "encoder": trained["encoder"]}
    evaluator = run.test_evaluator()
    before, after = (
        np.asarray(evaluator(each).metrics["accuracy"], float).tolist()
        for each in (run.initial_params(), params)
    )
    common.write_json(out, {"before": before, "after": after})
