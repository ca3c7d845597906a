"""Scores on given episodes, such as published training sets."""

from pathlib import Path

from experiments.common._baseline_grids import Setting
from experiments.common._baselines import with_setting
from metaflax import config as config_lib
from metaflax import data, evaluation, workflows
from metaflax.workflows.runs._episodes import episodes_of
from metaflax.workflows.runs._run import evaluator_of
from metaflax.workflows.runs._trained import fitted, load_untrained


def score_episodes(
    run_dir: str | Path,
    given: data.FixedEpisodes,
    setting: Setting | None = None,
) -> evaluation.Scores:
    """Scores a run, or a baseline, on given episodes.

    Args:
      run_dir: where `train` left the run.
      given: the episodes, such as published training sets.
      setting: a baseline's setting; None for the run's best parameters.

    Returns:
      The scores of all its episodes, in order.

    Raises:
      ValueError: if there is no finished run, or a text is too long for its model.
    """
    directory = workflows.RunDirectory(run_dir)
    run = workflows.reload_run(directory)
    params = None if setting else directory.best_params(run.initial_params())
    run = run if setting is None else with_setting(run, setting)
    parts = run.config, run.task, run.model
    episodes = episodes_of(given.examples, given, *parts)
    evaluator = run.evaluator(episodes, 0, len(given.episodes))
    return evaluator(run.initial_params() if params is None else params)


def score_pretrained(
    config: config_lib.Config, given: data.FixedEpisodes
) -> evaluation.Scores:
    """Scores adaptation from pretrained weights on given episodes.

    With a frozen encoder each text is encoded once, however many episodes contain it.

    Args:
      config: model, task type and algorithm; its data are not read.
      given: as for `score_episodes`.

    Returns:
      The scores of all its episodes, in order.

    Raises:
      ValueError: if the model cannot be had, or a text is too long for it.
    """
    config_lib.check(config)
    task = config_lib.build_task(config)
    start = fitted(load_untrained(config, given.sizes.num_classes))
    config = start.config
    episodes = episodes_of(given.examples, given, config, task, start.model)
    num = len(given.episodes)
    return evaluator_of(config, start.model, task, episodes, 0, num)(start.params)
