"""The trials of a search, shared by all processes that work on one directory."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from metaflax import config as config_lib
from metaflax.files import write_text

# Files of a search's directory; trials have folders of their own in `trials`.
CONFIG, JOURNAL, LOCK = "search_config.json", "trials.journal", "search.lock"
# What optuna keeps of a trial: which of the search's it is, and why it gave no score.
SLOT, REASON = "slot", "reason"


class PrunedError(Exception):
    """A trial validates worse than most did at the same step."""


class Trials:
    """The trials of one directory, each of which one process works on at a time.

    What a process was working on when it ended is taken up again, by whichever process
    looks for work next. A process holds a lock on its trial's file, which the operating
    system takes from it when it ends, in whatever way.

    Args:
      folder: of the search; made where it is missing.
      config: of the search.

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
        with self.lock():  # Else two processes could both find no study.
            _mend(folder / JOURNAL)
            self._study = self._optuna.create_study(
                storage=self._optuna.storages.JournalStorage(backend),
                study_name="search",
                direction="maximize",
                load_if_exists=True,
                # No validation before the first step says what training will do.
                pruner=self._optuna.pruners.MedianPruner(
                    n_startup_trials=config.prune_after, n_warmup_steps=1
                ),
            )

    def lock(self) -> FileLock:
        """Held by one process at a time, while it looks for work or writes results."""
        return FileLock(self.folder / LOCK)

    def claim(self) -> "Claim | None":
        """A trial to work on; None when all are done, or others are at work on them.

        Which values it has depends on the seed, its number, and the results so far.
        """
        with self.lock():
            self._queue_abandoned()
            waiting = self._in_state("WAITING")
            if not waiting:
                known = {trial.user_attrs[SLOT] for trial in self._all()}
                if len(known) >= self._config.trials:
                    return None
                self._study.enqueue_trial({}, user_attrs={SLOT: len(known)})
                waiting = self._in_state("WAITING")
            slot = waiting[0].user_attrs[SLOT]
            lock = self._lock_of(slot)
            lock.acquire()
            # Of its own for every trial: another process would draw the same again.
            draws = np.random.SeedSequence([self._config.seed, slot])
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=int(draws.generate_state(1)[0])
            )
            trial = self._study.ask()
            settings = {
                name: tried.draw(trial, name)
                for name, tried in self._config.space.items()
            }
            reported = self._reported(slot)
            for step, score in reported.items():
                trial.report(score, step)
        return Claim(self, slot, trial, settings, lock, frozenset(reported))

    def end(self, trial: Any, state: str, score: float | None = None) -> None:
        """Says how a trial ended."""
        self._study.tell(trial, score, state=self._optuna.trial.TrialState[state])

    def records(self) -> list[dict[str, Any]]:
        """What is known of each trial, by its number."""
        latest = {trial.user_attrs[SLOT]: trial for trial in self._all()}
        found = []
        for slot, trial in sorted(latest.items()):
            validations = trial.intermediate_values
            best = max(validations.values(), default=None)
            found.append(
                {
                    "number": slot,
                    "state": STATES[trial.state.name],
                    "score": best if trial.value is None else trial.value,
                    "settings": self._settings(trial.params),
                    "validations": {str(k): v for k, v in validations.items()},
                    "reason": trial.user_attrs.get(REASON),
                }
            )
        return found

    def _begin(self) -> None:
        if not _may_hold(self.folder):
            raise ValueError(
                f"{self.folder} exists and holds no search; name a new one."
            )
        (self.folder / "trials").mkdir(parents=True, exist_ok=True)
        path, content = self.folder / CONFIG, described(self._config)
        with self.lock():
            if not path.exists():
                write_text(path, content)
            elif path.read_text(encoding="utf-8") != content:
                raise ValueError(
                    f"{self.folder} holds a search of another config; name another"
                    " --run-dir, or the same base, space and seed to go on with it."
                )

    def _queue_abandoned(self) -> None:
        """Puts trials in the queue again whose process has ended, with their values."""
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
        """The validations of a trial before it was taken up again."""
        found: dict[int, float] = {}
        for trial in self._in_state("FAIL"):
            if trial.user_attrs[SLOT] == slot:
                found |= trial.intermediate_values
        return found

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Values as the config has them; optuna keeps the choices as texts."""
        return {
            name: json.loads(value)
            if isinstance(self._config.space[name], config_lib.Choice)
            else value
            for name, value in params.items()
        }

    def _all(self) -> list[Any]:
        return self._study.get_trials(deepcopy=False)

    def _in_state(self, state: str) -> list[Any]:
        wanted = (self._optuna.trial.TrialState[state],)
        return self._study.get_trials(deepcopy=False, states=wanted)

    def _lock_of(self, slot: int) -> FileLock:
        return FileLock(self.folder / "trials" / f"{slot:03}.lock")


class Claim(NamedTuple):
    """A trial that this process works on.

    Attributes:
      trials: of the search.
      number: of the trial, from 0.
      trial: optuna's.
      settings: by their dotted names.
      lock: is held until the trial is let go of.
      reported: steps whose validation is known from before an interruption.
    """

    trials: Trials
    number: int
    trial: Any
    settings: dict[str, Any]
    lock: FileLock
    reported: frozenset[int]

    @property
    def folder(self) -> Path:
        """The trial's run directory."""
        return self.trials.folder / "trials" / f"{self.number:03}"

    def report(self, step: int, score: float) -> None:
        """Takes a validation.

        Raises:
          PrunedError: if the trial is to be ended.
        """
        if step in self.reported:
            return
        self.trial.report(score, step)
        if self.trial.should_prune():
            raise PrunedError(step)

    def complete(self, score: float) -> None:
        """The trial came to its end."""
        self.trials.end(self.trial, "COMPLETE", score)

    def prune(self) -> None:
        """The trial is not worth its end."""
        self.trials.end(self.trial, "PRUNED")

    def fail(self, reason: str) -> None:
        """The trial's settings make no run, and would make none the next time."""
        self.trial.set_user_attr(REASON, reason)
        self.trials.end(self.trial, "FAIL")


# How optuna's states read.
STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "unfinished",
    "WAITING": "unfinished",
}


def described(config: config_lib.SearchConfig) -> str:
    """What makes two searches the same: all but how many trials there are."""
    return json.dumps(
        {
            "base": json.loads(config_lib.to_json(config.base)),
            "space": {
                name: {"kind": type(tried).__name__, **dataclasses.asdict(tried)}
                for name, tried in config.space.items()
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
    """Whether a folder holds a search, or one may begin there."""
    if (folder / LOCK).exists() or not folder.exists():
        return True
    # Another process may be about to begin.
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {"trials"}


def _mend(journal: Path) -> None:
    """Takes off a last line that was not written to its end."""
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
