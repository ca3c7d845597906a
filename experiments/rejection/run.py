"""Rejection of texts that belong to no class, and calibration; see README.md.

For each data set and fold, temperature, score and thresholds are fitted on episodes of
meta-validation classes, as `train` fits them for `adapt` and `predict --reject`. Then
they are applied to episodes of test classes: to queries of their classes, to queries of
other test classes, and to CLINC150's queries out of scope.
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, workflows
from metaflax.data.samplers._other_classes import QueriesOfOtherClasses
from metaflax.workflows.meta_testing._out_of_scope import detector
from metaflax.workflows.runs._calibration import Calibration, calibrate

RATES = (0.01, 0.05, 0.1)
MAX_LENGTH = 256  # Maximum number of tokens of medical texts.
SEEDS = range(5)  # Seeds of the splits of data sets without published folds.


class Fold(NamedTuple):
    """Calibration of one fold, and logits of its test episodes.

    Attributes:
      calibration: calibration fitted on meta-validation.
      inside: logits `[Q, N]` of the queries of each test episode.
      targets: classes `[Q]` of these queries.
      outside: for each kind of text without a class, logits `[Q, N]` by episode.
    """

    calibration: Calibration
    inside: list[np.ndarray]
    targets: list[np.ndarray]
    outside: dict[str, list[np.ndarray]]


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Measures all data sets and writes `results.json`."""
    results = {}
    for name, make in DATA_SETS.items():
        folds = []
        for number, (run, others) in enumerate(make(config)):
            folds.append(measure(run, others))
            console.print(f"{name}, fold {number + 1}", markup=False)
        results[name] = record(folds)
        common.write_json(runs / "results.json", results)
    console.print(tables(results), markup=False, soft_wrap=True)


def clinc(config: config_lib.Config) -> Iterator[tuple[workflows.Run, Path | None]]:
    """Yields the five published folds, with the queries out of scope."""
    folder = common.data_folder() / "clinc150"
    for fold in ("01", "02", "03", "04", "05"):
        fields = {"split_file": str(folder / "folds.json"), "fold": fold}
        fold_config = common.on_data(config, folder / "examples.jsonl", **fields)
        yield workflows.load_run(fold_config), folder / "oos.jsonl"


def medical(file: str, num_valid: int, num_test: int) -> Any:
    """Builds five random splits of the classes of a file of `medical`."""

    def folds(config: config_lib.Config) -> Iterator[tuple[workflows.Run, Path | None]]:
        path = common.data_folder() / "medical" / file
        names = data.read(path).label_names
        for seed in SEEDS:
            order = np.random.default_rng(seed).permutation(names).tolist()
            split = {
                "valid": tuple(order[:num_valid]),
                "test": tuple(order[num_valid : num_valid + num_test]),
                "train": tuple(order[num_valid + num_test :]),
            }
            yield workflows.load_run(on_split(config, path, split)), None

    return folds


def on_split(config: config_lib.Config, path: Path, split: Any) -> config_lib.Config:
    """Config on a file and split, with the smallest episodes of meta-training."""
    sizes = dataclasses.replace(config.episodes, train_way=2)
    config = dataclasses.replace(config, episodes=sizes)
    fields = {"split_names": split, "split_file": None, "fold": None}
    return common.on_data(config, path, **fields, max_length=MAX_LENGTH)


DATA_SETS = {
    "clinc150": clinc,
    "medical symptoms": medical("symptoms.jsonl", 11, 11),
    "medical answers": medical("nih_answers.jsonl", 6, 6),
}


def measure(run: workflows.Run, out_of_scope: Path | None) -> Fold:
    """Fits on meta-validation and computes the logits of test episodes."""
    params = run.initial_params()
    settings, tests = run.config.training, run.config.evaluation
    validator = run.evaluator(run.valid, settings.seed + 1, settings.valid_episodes)
    calibration = calibrate(run, validator, params)
    if calibration is None:
        raise ValueError("texts have several labels; take data of one label per text.")
    tester = run.test_evaluator()
    inside, targets = tester.query_logits(tester(params))
    sampler = QueriesOfOtherClasses(run.test.sampler, run.test.examples)
    others = run.evaluator(
        run.test._replace(sampler=sampler), tests.test_seed, tests.test_episodes
    )
    outside = {"classes held out": others.query_logits(others(params))[0]}
    if out_of_scope is not None:
        both = detector(run, out_of_scope)
        # The first half are queries in scope, the second texts out of scope.
        logits = both.query_logits(both(params))[0]
        outside["out of scope"] = [np.split(rows, 2)[1] for rows in logits]
    return Fold(calibration, inside, targets, outside)


def record(folds: list[Fold]) -> dict[str, Any]:
    """Computes rejection rates by threshold and calibration errors, with intervals."""
    return {
        "folds": [fold.calibration._asdict() for fold in folds],
        "accuracy": interval([accuracies(fold) for fold in folds]),
        "rejection": {
            f"{rate:g}": {
                "false rejections": interval(
                    [below(fold, fold.inside, rate) for fold in folds]
                ),
                **{
                    kind: interval(
                        [below(fold, fold.outside[kind], rate) for fold in folds]
                    )
                    for kind in folds[0].outside
                },
            }
            for rate in RATES
        },
        "calibration error": {
            name: error(folds, calibrated=calibrated)
            for name, calibrated in (("raw", False), ("at temperature", True))
        },
    }


def below(fold: Fold, logits: list[np.ndarray], rate: float) -> np.ndarray:
    """Computes the share of rejected texts of each episode, `[E]`."""
    threshold = fold.calibration.threshold(rate)
    confidence = fold.calibration.confidence
    return np.array([np.mean(confidence(rows) < threshold) for rows in logits])


def accuracies(fold: Fold) -> np.ndarray:
    """Computes the accuracy of each episode without rejection, `[E]`."""
    pairs = zip(fold.inside, fold.targets, strict=True)
    return np.array([np.mean(rows.argmax(-1) == true) for rows, true in pairs])


def error(folds: list[Fold], *, calibrated: bool) -> dict[str, float]:
    """Computes the expected calibration error over the queries of all folds."""
    logits, targets = [], []
    for fold in folds:
        divisor = fold.calibration.temperature if calibrated else 1.0
        logits += [np.asarray(rows, np.float64) / divisor for rows in fold.inside]
        targets += fold.targets
    return evaluation.calibration(logits, targets).error._asdict()


def interval(folds: list[np.ndarray]) -> dict[str, float]:
    """Computes the mean over folds, with a 95 % interval over folds and episodes."""
    return evaluation.nested_interval(folds)._asdict()


def tables(results: dict[str, Any]) -> str:
    """Formats the results as Markdown tables."""
    kinds = ("false rejections", "classes held out", "out of scope")
    rejection = [
        [name, f"{100 * float(rate):g} %", *(percent(row.get(kind)) for kind in kinds)]
        for name, result in results.items()
        for rate, row in result["rejection"].items()
    ]
    calibration = []
    for name, result in results.items():
        errors = map(estimate, result["calibration error"].values())
        fitted = [fold["temperature"] for fold in result["folds"]]
        spread = f"{min(fitted):.2f} to {max(fitted):.2f}"
        calibration.append([name, percent(result["accuracy"]), *errors, spread])
    titles = ("data", "stated rate", *(f"rejected: {kind}" for kind in kinds))
    return "\n\n".join(
        [
            common.markdown_table(titles, rejection),
            common.markdown_table(
                ("data", "accuracy", "raw ECE", "at temperature", "temperatures"),
                calibration,
            ),
        ]
    )


def percent(row: dict[str, float] | None) -> str:
    """Formats a mean and its interval in percent; empty where nothing was measured."""
    return "" if row is None else common.percent(evaluation.Interval(**row), digits=1)


def estimate(row: dict[str, float]) -> str:
    """Formats an estimate and its bootstrap interval, in percent."""
    value, low, high = (100 * row[name] for name in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
