"""Trials of a search, shared by the processes that work on one directory."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from metaflax import config as config_lib
from metaflax._files import write_text
from metaflax.config._files import to_json

# Files of a search's directory; run directories of trials are in `trials`.
CONFIG, JOURNAL, LOCK = "search_config.json", "trials.journal", "search.lock"
# User attributes of optuna's trials: number in the search, and reason of a failure.
SLOT, REASON = "slot", "reason"


class PrunedError(Exception):
    """Raised for a trial that validates worse than the median at the same step."""


class Trials:
    """Trials of one directory, each of which one process runs at a time.

    A trial whose process has ended is run again by the next process that claims a
    trial. A process holds a file lock on its trial, which the operating system releases
    however the process ends.

    Args:
      folder: folder of the search; created if absent.
      config: config of the search.

    Raises:
      ValueError: if optuna is not installed, or the folder holds another search or
        other files.
    """

    def __init__(self, folder: Path, config: config_lib.SearchConfig):
        self._optuna = _optuna()
        self._config = config
        self.folder = folder
        self._begin()
        backend = self._optuna.storages.journal.JournalFileBackend(
            str(folder / JOURNAL), lock_obj=FileLock(folder / f"{JOURNAL}.lock")
        )
        with self.lock():  # Otherwise two processes could create the study.
            _truncate(folder / JOURNAL)
            self._study = self._optuna.create_study(
                storage=self._optuna.storages.JournalStorage(backend),
                study_name="search",
                direction="maximize",
                load_if_exists=True,
                # Validation before the first step does not predict the final score.
                pruner=self._optuna.pruners.MedianPruner(
                    n_startup_trials=config.prune_after, n_warmup_steps=1
                ),
            )

    def lock(self) -> FileLock:
        """Returns the lock for claiming trials and writing results."""
        return FileLock(self.folder / LOCK)

    def claim(self) -> "Claim | None":
        """Claims a trial; None if all are done or claimed by other processes.

        Its settings depend on the seed, its number, and the results so far.
        """
        with self.lock():
            self._queue_abandoned()
            waiting = self._in_state("WAITING")
            if not waiting:
                slots = {trial.user_attrs[SLOT] for trial in self._all()}
                if len(slots) >= self._config.trials:
                    return None
                self._study.enqueue_trial({}, user_attrs={SLOT: len(slots)})
                waiting = self._in_state("WAITING")
            slot = waiting[0].user_attrs[SLOT]
            lock = self._lock_of(slot)
            lock.acquire()
            # One seed per trial: otherwise each process would draw the same values.
            sequence = np.random.SeedSequence([self._config.seed, slot])
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=int(sequence.generate_state(1)[0])
            )
            trial = self._study.ask()
            settings = {
                name: domain.draw(trial, name)
                for name, domain in self._config.space.items()
            }
            reported = self._reported(slot)
            for step, score in reported.items():
                trial.report(score, step)
        return Claim(self, slot, trial, settings, lock, frozenset(reported))

    def end(self, trial: Any, state: str, score: float | None = None) -> None:
        """Stores how a trial ended."""
        self._study.tell(trial, score, state=self._optuna.trial.TrialState[state])

    def records(self) -> list[dict[str, Any]]:
        """Returns the result of each trial so far, by its number."""
        latest = {trial.user_attrs[SLOT]: trial for trial in self._all()}
        records = []
        for slot, trial in sorted(latest.items()):
            validations = trial.intermediate_values
            best = max(validations.values(), default=None)
            records.append(
                {
                    "number": slot,
                    "state": STATES[trial.state.name],
                    "score": best if trial.value is None else trial.value,
                    "settings": self._settings(trial.params),
                    "validations": {str(k): v for k, v in validations.items()},
                    "reason": trial.user_attrs.get(REASON),
                }
            )
        return records

    def _begin(self) -> None:
        if not _may_hold(self.folder):
            raise ValueError(
                f"{self.folder} exists and holds no search; name a new one."
            )
        (self.folder / "trials").mkdir(parents=True, exist_ok=True)
        path, content = self.folder / CONFIG, search_identity(self._config)
        with self.lock():
            if not path.exists():
                write_text(path, content)
            elif path.read_text(encoding="utf-8") != content:
                raise ValueError(
                    f"{self.folder} holds a search of another config; name another"
                    " --run-dir, or give the same base, space and seed to resume it."
                )

    def _queue_abandoned(self) -> None:
        """Queues interrupted trials again, with the same settings."""
        queued = {trial.user_attrs[SLOT] for trial in self._in_state("WAITING")}
        for trial in self._in_state("RUNNING"):
            slot = trial.user_attrs[SLOT]
            try:
                with self._lock_of(slot).acquire(blocking=False):
                    pass
            except Timeout:  # Its process is still alive.
                continue
            if slot not in queued:
                self._study.enqueue_trial(trial.params, user_attrs={SLOT: slot})
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def _reported(self, slot: int) -> dict[int, float]:
        """Returns the validations of a trial before it was interrupted."""
        validations: dict[int, float] = {}
        for trial in self._in_state("FAIL"):
            if trial.user_attrs[SLOT] == slot:
                validations |= trial.intermediate_values
        return validations

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values as in the config; optuna stores choices as JSON strings."""
        return {
            name: json.loads(value)
            if isinstance(self._config.space[name], config_lib.Choice)
            else value
            for name, value in params.items()
        }

    def _all(self) -> list[Any]:
        return self._study.get_trials(deepcopy=False)

    def _in_state(self, state: str) -> list[Any]:
        states = (self._optuna.trial.TrialState[state],)
        return self._study.get_trials(deepcopy=False, states=states)

    def _lock_of(self, slot: int) -> FileLock:
        return FileLock(self.folder / "trials" / f"{slot:03}.lock")


class Claim(NamedTuple):
    """Trial that this process runs.

    Attributes:
      trials: all trials of the search.
      number: number of the trial, from 0.
      trial: the trial of optuna.
      settings: values by dotted name.
      lock: held until the trial is released.
      reported: steps whose validation was reported before an interruption.
    """

    trials: Trials
    number: int
    trial: Any
    settings: dict[str, Any]
    lock: FileLock
    reported: frozenset[int]

    @property
    def folder(self) -> Path:
        """Run directory of the trial."""
        return self.trials.folder / "trials" / f"{self.number:03}"

    def report(self, step: int, score: float) -> None:
        """Reports a validation score.

        Raises:
          PrunedError: if the trial should end.
        """
        if step in self.reported:
            return
        self.trial.report(score, step)
        if self.trial.should_prune():
            raise PrunedError(step)

    def complete(self, score: float) -> None:
        """Stores the score of a trial that finished."""
        self.trials.end(self.trial, "COMPLETE", score)

    def prune(self) -> None:
        """Stores that the trial was pruned."""
        self.trials.end(self.trial, "PRUNED")

    def fail(self, reason: str) -> None:
        """Stores why the trial failed; its settings are not tried again."""
        self.trial.set_user_attr(REASON, reason)
        self.trials.end(self.trial, "FAIL")


# Names of optuna's states in results.
STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "unfinished",
    "WAITING": "unfinished",
}


def search_identity(config: config_lib.SearchConfig) -> str:
    """Returns, as JSON, what identifies a search: all but the number of trials."""
    return json.dumps(
        {
            "base": json.loads(to_json(config.base)),
            "space": {
                name: {"kind": type(domain).__name__, **dataclasses.asdict(domain)}
                for name, domain in config.space.items()
            },
            "seed": config.seed,
            "prune_after": config.prune_after,
        },
        indent=2,
    )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ValueError(
            "a search needs the extra: pip install 'metaflax[search]'."
        ) from error
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def _may_hold(folder: Path) -> bool:
    """Returns whether a folder holds a search, or one may be created there."""
    if (folder / LOCK).exists() or not folder.exists():
        return True
    # Another process may be creating the search.
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {"trials"}


def _truncate(journal: Path) -> None:
    """Removes a last line that was not completely written."""
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
