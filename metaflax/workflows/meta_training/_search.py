"""Search for the settings that validate best; meta-test stays unseen."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax import reporting
from metaflax.files import write_text
from metaflax.workflows.meta_training._train import meta_train
from metaflax.workflows.meta_training._trials import (
    Claim,
    PrunedError,
    Trials,
    described,
)
from metaflax.workflows.runs._run import load_run
from metaflax.workflows.runs._run_directory import RunDirectory


def search(
    config: config_lib.SearchConfig, run_dir: str | Path, console: Console
) -> dict[str, Any]:
    """Tries settings out, each by an ordinary meta-training without its meta-test.

    A tree-structured Parzen estimator draws the settings, and what validates worse
    than the median at a step is ended there. Started again on the same directory it
    goes on; several processes may work on one directory at a time. What was interrupted
    goes on from its latest checkpoint. No episode of the test classes is drawn.

    Args:
      config: what to try.
      run_dir: gets a run directory a trial, without checkpoints of what has ended;
        `search.json`, `search.png`, and the best as `best.py` and `best.json`, which
        `train --config` takes.
      console: where a line a trial and a table go.

    Returns:
      The content of `search.json`.

    Raises:
      ValueError: if optuna is not installed, for anything wrong with the config, for a
        directory of another search, or if no settings made a run.

    References:
      Bergstra et al., `Algorithms for Hyper-Parameter Optimization
      <https://papers.nips.cc/paper/4443>`_, 2011.
    """
    config_lib.check_search(config)
    trials = Trials(Path(run_dir).expanduser().absolute(), config)
    run = load_run(config.base)  # What is wrong with the data is so in every trial.
    metric = run.task.scores[0]
    while (claim := trials.claim()) is not None:
        try:
            _try(claim, config.base, metric, console)
        finally:
            claim.lock.release()
        jax.clear_caches()  # The next trial compiles programs of its own.
    return _written(trials, config, metric, console)


def _try(claim: Claim, base: config_lib.Config, metric: str, console: Console) -> None:
    """Trains with a trial's settings, and says how it ended."""
    name = f"trial {claim.number}, {_shown(claim.settings)}"
    try:
        score = _trained(claim, base, metric)
    except PrunedError as error:
        claim.prune()
        said = f"ended at step {error}, below the median"
    except ValueError as error:
        claim.fail(str(error))
        said = f"no run: {error}"
    else:
        claim.complete(score)
        said = f"validation {metric} {score:.4f}"
    shutil.rmtree(RunDirectory(claim.folder).checkpoints, ignore_errors=True)
    console.print(f"{name}: {said}", markup=False, soft_wrap=True)


def _trained(claim: Claim, base: config_lib.Config, metric: str) -> float:
    """The best validation score of a trial."""
    directory = RunDirectory(claim.folder)
    if directory.finished:  # And then the process ended before it could say so.
        return directory.selected()["valid_score"]
    selected = meta_train(
        config_lib.with_settings(base, claim.settings),
        claim.folder,
        Console(quiet=True),
        progress=lambda resumed: _Watch(claim, f"valid_{metric}"),
    )
    return selected["valid_score"]


@dataclasses.dataclass(frozen=True)
class _Watch:
    """Reports validations to the search."""

    claim: Claim
    score: str

    def write(self, record: Mapping[str, Any]) -> None:
        if self.score in record:
            self.claim.report(record["step"], record[self.score])

    def close(self) -> None:
        pass


def _written(
    trials: Trials, config: config_lib.SearchConfig, metric: str, console: Console
) -> dict[str, Any]:
    """Writes and shows what is known by now."""
    with trials.lock():
        records = trials.records()
        complete = [record for record in records if record["state"] == "complete"]
        if not complete:
            raise ValueError(_no_score(records))
        best = max(complete, key=lambda record: record["score"])  # Of equals the first.
        found = {
            "metric": metric,
            "best": best,
            "trials": records,
            **json.loads(described(config)),
        }
        chosen = config_lib.with_settings(config.base, _tuples(best["settings"]))
        for name, text in (
            ("search.json", json.dumps(found, indent=2) + "\n"),
            ("best.json", config_lib.to_json(chosen)),
            ("best.py", config_lib.to_python(chosen)),
        ):
            write_text(trials.folder / name, text)
        try:
            reporting.plot_search(
                trials.folder / "search.png", records, metric, _on_logs(config)
            )
        except ValueError as error:  # Without matplotlib the search is still whole.
            console.print(f"no plot was made: {error}", markup=False)
    console.print(reporting.search_table(records, metric))
    if unfinished := sum(record["state"] == "unfinished" for record in records):
        console.print(f"unfinished, in other processes: {unfinished}")
    path = trials.folder / "best.py"
    console.print(f"train the best by `metaflax train --config {path}`", soft_wrap=True)
    return found


def _no_score(records: list[dict[str, Any]]) -> str:
    for record in records:
        if record["reason"]:
            return f"no settings made a run; of trial {record['number']}:" + (
                f" {record['reason']}"
            )
    return "no trial has come to its end yet; other processes are at work on them."


def _on_logs(config: config_lib.SearchConfig) -> set[str]:
    """The settings that are drawn on a scale of factors."""
    return {
        name
        for name, tried in config.space.items()
        if isinstance(tried, config_lib.LogUniform)
    }


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
    }


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.rpartition('.')[2]} {reporting.short(value)}"
        for name, value in settings.items()
    )
