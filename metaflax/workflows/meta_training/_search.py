"""Search for the settings that validate best, without using meta-test."""

import dataclasses
import json
import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax._files import json_text, write_text
from metaflax.config._files import to_json
from metaflax.config._python import to_python
from metaflax.config._search import check_search, with_settings
from metaflax.reporting._search import plot_search, search_table, short
from metaflax.workflows.meta_training._train import meta_train
from metaflax.workflows.meta_training._trials import (
    Claim,
    PrunedError,
    Trials,
    search_identity,
)
from metaflax.workflows.runs import _data_record as data_record
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._run import load_run
from metaflax.workflows.runs._run_directory import RunDirectory
from metaflax.workflows.runs._run_files import PRETRAINED


def search(
    config: config_lib.SearchConfig, run_dir: str | Path, console: Console | None = None
) -> dict[str, Any]:
    """Searches for settings, each trial being a meta-training without meta-test.

    A tree-structured Parzen estimator draws the settings, and trials that validate
    worse than the median at a step are pruned there. Started again on the same
    directory the search resumes, and interrupted trials resume from their latest
    checkpoints; several processes may work on one directory at a time. A trial that
    raises an error, such as one for lack of memory, counts as failed. Errors of files
    and of missing packages end the search. No episode of the test classes is drawn.

    Args:
      config: of the search.
      run_dir: directory for `search.json`, `search.png`, the best settings as `best.py`
        and `best.json`, for `train --config`, and a run directory per trial, whose
        checkpoints are deleted when the trial ends.
      console: where a line per trial and a table are printed; None to print nothing.

    Returns:
      The content of `search.json`.

    Raises:
      ValueError: if optuna is not installed, for an invalid config, for a directory of
        another search, or if no trial was completed.

    Examples:
      >>> import tempfile
      >>> from metaflax import config, workflows
      >>> base = config.Config(data=config.DataConfig(path="pets.csv"))
      >>> space = {"training.learning_rates": config.LogUniform(1e-5, 1e-3)}
      >>> workflows.search(config.SearchConfig(base, space), "runs/search")
      Traceback (most recent call last):
        ...
      ValueError: there is no setting 'training.learning_rates'; similar ones are ...

    References:
      Bergstra et al., `Algorithms for Hyper-Parameter Optimization
      <https://papers.nips.cc/paper/4443>`_, 2011.
    """
    console = console_or_quiet(console)
    check_search(config)
    trials = Trials(Path(run_dir).expanduser().absolute(), config)
    run = load_run(config.base)  # Invalid data would fail every trial.
    with trials.lock():
        source = data_record.source_of(config.base.data)
        data_record.keep_record(trials.folder, run.record(), source)
    metric = run.task.scores[0]
    while (claim := trials.claim()) is not None:
        try:
            _run_trial(claim, config.base, metric, console)
        finally:
            claim.lock.release()
        jax.clear_caches()  # The next trial compiles programs of its own.
    return _write_results(trials, config, metric, console)


def _run_trial(
    claim: Claim, base: config_lib.Config, metric: str, console: Console
) -> None:
    """Trains with the settings of a trial, and prints and stores its result."""
    name = f"trial {claim.number}, {_summary(claim.settings)}"
    try:
        score = _score(claim, base, metric)
    except PrunedError as error:
        claim.prune()
        outcome = f"pruned at step {error}, below the median"
    except (OSError, ImportError):  # Such as a full disk: not due to the settings.
        raise
    except Exception as error:
        reason = _reason(error)
        claim.fail(reason)
        outcome = f"failed: {reason}"
    else:
        claim.complete(score)
        outcome = f"validation {metric} {score:.4f}"
    for folder in (RunDirectory(claim.folder).checkpoints, claim.folder / PRETRAINED):
        shutil.rmtree(folder, ignore_errors=True)
    console.print(f"{name}: {outcome}", markup=False, soft_wrap=True)


def _reason(error: Exception) -> str:
    """Returns the message of an expected error, and type and first line of others."""
    if isinstance(error, ValueError):
        return str(error)
    return traceback.format_exception_only(error)[0].partition("\n")[0]


def _score(claim: Claim, base: config_lib.Config, metric: str) -> float:
    """Returns the best validation score of a trial."""
    directory = RunDirectory(claim.folder)
    if directory.finished:  # The process ended before it stored the result.
        return directory.selected()["valid_score"]
    selected = meta_train(
        with_settings(base, claim.settings),
        claim.folder,
        progress=lambda resumed: _ReportSink(claim, f"valid_{metric}"),
    )
    return selected["valid_score"]


@dataclasses.dataclass(frozen=True)
class _ReportSink:
    """Sink that reports validations to the search."""

    claim: Claim
    score: str

    def write(self, record: Mapping[str, Any]) -> None:
        if self.score in record:
            self.claim.report(record["step"], record[self.score])

    def close(self) -> None:
        pass


def _write_results(
    trials: Trials, config: config_lib.SearchConfig, metric: str, console: Console
) -> dict[str, Any]:
    """Writes and prints the results of all trials so far."""
    with trials.lock():
        records = trials.records()
        complete = [record for record in records if record["state"] == "complete"]
        if not complete:
            raise ValueError(_no_score(records))
        best = max(complete, key=lambda record: record["score"])  # The first in a tie.
        results = {
            "metric": metric,
            "best": best,
            "trials": records,
            **json.loads(search_identity(config)),
        }
        best_config = with_settings(config.base, _tuples(best["settings"]))
        for name, text in (
            ("search.json", json_text(results, indent=2) + "\n"),
            ("best.json", to_json(best_config)),
            ("best.py", to_python(best_config)),
        ):
            write_text(trials.folder / name, text)
        try:
            plot_search(
                trials.folder / "search.png", records, metric, _log_scaled(config)
            )
        except Exception as error:  # The results are complete without it.
            console.print(f"No plot was made: {error}", markup=False)
    console.print(search_table(records, metric))
    if unfinished := sum(record["state"] == "unfinished" for record in records):
        console.print(f"Trials still running in other processes: {unfinished}")
    path = trials.folder / "best.py"
    console.print(
        f"Train with the best settings by `metaflax train --config {path}`.",
        soft_wrap=True,
    )
    return results


def _no_score(records: list[dict[str, Any]]) -> str:
    for record in records:
        if record["reason"]:
            return (
                f"no trial was completed; trial {record['number']} failed:"
                f" {record['reason']}"
            )
    return "no trial was completed yet; other processes are running them."


def _log_scaled(config: config_lib.SearchConfig) -> set[str]:
    """Returns the settings that are drawn on a logarithmic scale."""
    return {
        name
        for name, domain in config.space.items()
        if isinstance(domain, config_lib.LogUniform)
    }


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the lists of JSON with tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
    }


def _summary(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.rpartition('.')[2]} {short(value)}" for name, value in settings.items()
    )
