"""Meta-train, then meta-test before and after on the same episodes."""

import contextlib
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, reporting, tasks, training
from metaflax.workflows._episodes import Episodes, load_splits, make_episodes
from metaflax.workflows._evaluator import Evaluator
from metaflax.workflows._model import Model, load_model
from metaflax.workflows._run_directory import RunDirectory


class Run(NamedTuple):
    """Everything a config names, loaded and checked, nothing compiled yet.

    Attributes:
      config: the config.
      model: encoder, weights, tokenizer.
      task: the task type.
      splits: examples of disjoint classes or domains.
      train: episodes of meta-training.
      valid: episodes of validation.
      test: episodes of meta-test.
    """

    config: config_lib.Config
    model: Model
    task: tasks.TaskType
    splits: data.Splits
    train: Episodes
    valid: Episodes
    test: Episodes

    def evaluator(self, episodes: Episodes, seed: int, num: int) -> Evaluator:
        """Scores `num` episodes of a seed."""
        return Evaluator(
            self.config.algorithm,
            self.model,
            self.task,
            episodes,
            seed=seed,
            num_episodes=num,
            batch_episodes=self.config.evaluation.batch_episodes,
        )

    def test_evaluator(self) -> Evaluator:
        """Scores the test episodes that the config names."""
        wanted = self.config.evaluation
        return self.evaluator(self.test, wanted.test_seed, wanted.test_episodes)


def load_run(config: config_lib.Config) -> Run:
    """Loads model and data, and checks that all of the config can be done.

    Raises:
      ValueError: with the first thing that cannot.
    """
    task = config_lib.build_task(config)
    config_lib.named("algorithm", config_lib.ALGORITHMS, config.algorithm.algorithm)
    splits = load_splits(config.data)
    model = load_model(config.model)

    def episodes(examples, sizes):
        return make_episodes(examples, sizes, config, model)

    return Run(
        config,
        model,
        task,
        splits,
        train=episodes(splits.train, config.episodes.training()),
        valid=episodes(splits.valid, config.episodes),
        test=episodes(splits.test, config.episodes),
    )


def initial_params(run: Run) -> Any:
    """The meta-parameters before the first step: pretrained, and a new head."""
    algorithm = training_algorithm(run)
    return algorithm.init(jax.random.key(run.config.training.seed))


def training_algorithm(run: Run):
    """The algorithm as meta-training runs it.

    Its head has room for the widest episode of all three splits, so that a learned
    output layer can be evaluated wherever it is trained.
    """
    return config_lib.build_algorithm(
        run.config.algorithm,
        run.model.encoder,
        run.model.init,
        run.task,
        num_classes(run),
    )


def num_classes(run: Run) -> int:
    """N, the most classes of any episode."""
    return max(e.sizes.num_classes for e in (run.train, run.valid, run.test))


def train(
    config: config_lib.Config,
    run_dir: str | Path,
    console: Console,
) -> dict[str, Any]:
    """Meta-trains, with validation and early stopping, then meta-tests.

    Started again on the same directory it goes on from the latest checkpoint.

    Args:
      config: what to do.
      run_dir: gets config, versions, log, checkpoints, results and a plot.
      console: where progress and tables go.

    Returns:
      The content of `results.json`.

    Raises:
      ValueError: for anything wrong with config or data, before the directory is
        touched; `training.DivergedError` for a loss that is not finite.
    """
    if config.algorithm.algorithm in config_lib.BASELINES:
        raise ValueError(
            f"{config.algorithm.algorithm} is a baseline without a meta-gradient; name"
            " it with `evaluate --baselines`, or train another algorithm."
        )
    run = load_run(config)
    report_data(run, console)
    directory = RunDirectory(run_dir)
    directory.begin(config)
    started = time.perf_counter()
    params = initial_params(run)
    fitted, chosen = _fit(run, params, directory, console)
    console.print(
        f"best validation {next(iter(run.task.metrics))} {chosen.score:.4f} at step"
        f" {fitted.stopping.best_step} of {fitted.steps}"
        + (f", {chosen.share:g} of the way" if chosen.share != 1 else "")
        + (", stopped early." if fitted.stopped_early else ".")
    )
    selected = {
        "best_step": fitted.stopping.best_step,
        "share": chosen.share,
        "valid_score": chosen.score,
    }
    directory.write_json("selected.json", selected)
    evaluator = run.test_evaluator()
    scores = {"before": evaluator(params), "after": evaluator(chosen.params)}
    results = {
        **selected,
        "steps": fitted.steps,
        "seconds": round(time.perf_counter() - started, 1),
        **compare(evaluator, scores, console, title=describe(config)),
    }
    directory.write_json("results.json", results)
    _plot(run, directory, results)
    console.print(f"Everything of this run is in {directory.path}.")
    return results


def _fit(
    run: Run, params: Any, directory: RunDirectory, console: Console
) -> tuple[training.FitResult, training.Interpolated]:
    chosen = run.config.training
    warmup = int(chosen.warmup * chosen.steps)

    def rate(peak: float) -> Any:
        return training.schedule(chosen.schedule, peak, chosen.steps, warmup)

    optimizer = training.outer_optimizer(
        chosen.optimizer,
        rate(chosen.learning_rate),
        head_learning_rate=(
            None
            if chosen.head_learning_rate is None
            else rate(chosen.head_learning_rate)
        ),
        weight_decay=chosen.weight_decay,
        clip_norm=chosen.clip_norm,
    )
    state = training.create(
        params,
        optimizer,
        jax.random.key(chosen.seed, impl="rbg"),
        trains=list(chosen.trains),
    )
    step = training.make_step(
        training_algorithm(run),
        optimizer,
        tasks_by=chosen.tasks_by,
        trains=list(chosen.trains),
        dropout=chosen.dropout,
    )
    # Validation draws from a seed of its own; its classes are others anyway.
    validator = run.evaluator(run.valid, chosen.seed + 1, chosen.valid_episodes)
    with contextlib.ExitStack() as stack:
        checkpoints = training.Checkpoints(directory.checkpoints)
        stack.callback(checkpoints.close)
        resumed = checkpoints.latest_step() or 0
        if resumed:
            console.print(f"resuming from step {resumed}")
        sinks: list[training.Sink] = [
            training.JsonlLog(directory.log, resume_after=resumed),
            reporting.ProgressSink(
                console, chosen.steps, chosen.tasks_per_step, resumed
            ),
        ]
        if chosen.tensorboard:
            sinks.append(training.TensorBoardLog(directory.path / "tensorboard"))
        for sink in sinks:
            stack.callback(sink.close)

        def tasks_from(start: int):
            return stack.enter_context(
                contextlib.closing(
                    data.prefetch(
                        run.train.stream(chosen.seed, start, chosen.tasks_per_step)
                    )
                )
            )

        score = next(iter(run.task.metrics))
        fitted = training.fit(
            step,
            state,
            tasks_from,
            validator.mean,
            checkpoints,
            score=score,
            num_steps=chosen.steps,
            eval_every=chosen.eval_every,
            patience=chosen.patience,
            sinks=sinks,
        )

    def validate(between: Any) -> float:
        if between is fitted.params and fitted.stopping.best is not None:
            return fitted.stopping.best  # The end was validated on these episodes.
        return validator.mean(between)[score]

    return fitted, training.best_interpolation(
        params, fitted.params, chosen.interpolate, validate
    )


def compare(
    evaluator: Evaluator,
    scores: dict[str, evaluation.Scores],
    console: Console,
    *,
    title: str,
) -> dict[str, Any]:
    """Tables and numbers of methods on one list of episodes.

    Args:
      evaluator: that made the scores.
      scores: by method; each is compared with the first, and the last is reported in
        full.
      console: gets the tables.
      title: above them.

    Returns:
      Protocol, intervals, paired differences from the first and the report.
    """
    metrics = tuple(next(iter(scores.values())).metrics)
    columns = {
        method: {m: evaluation.mean_interval(s.metrics[m]) for m in metrics}
        for method, s in scores.items()
    }
    first, *others = scores
    paired = {
        method: {
            m: evaluation.paired_interval(
                scores[first].metrics[m], scores[method].metrics[m]
            )
            for m in metrics
        }
        for method in others
    }
    shown = dict(columns)
    if len(others) == 1:
        shown["difference"] = paired[others[0]]
    console.print(reporting.comparison_table(title, shown, metrics))
    report = evaluator.report(list(scores.values())[-1])
    if len(report) <= 40:
        console.print(reporting.report_table(report))
    return {
        "episodes": len(evaluator.episodes),
        "protocol": data.protocol_hash(evaluator.episodes),
        "intervals": _plain(columns),
        f"paired_difference_from_{first}": _plain(paired),
        "report": report,
    }


def _plain(intervals: dict[str, dict[str, evaluation.Interval]]) -> Any:
    return {
        method: {m: i._asdict() for m, i in by_metric.items()}
        for method, by_metric in intervals.items()
    }


def describe(config: config_lib.Config) -> str:
    """What was asked, in a line."""
    sizes = config.episodes
    return (
        f"{config.algorithm.algorithm}, {sizes.way}-way {sizes.shot}-shot,"
        f" {config.evaluation.test_episodes} test episodes"
    )


def report_data(run: Run, console: Console) -> None:
    """Says what was read, and what was left out."""
    by = run.config.data.split_by
    for name in ("train", "valid", "test"):
        examples = getattr(run.splits, name)
        groups = examples.label_names if by == "label" else examples.domain_names
        shown = ", ".join(groups) if len(groups) < 8 else f"{len(groups)} classes"
        cut = getattr(run, name).tokenized.num_truncated
        note = (
            f", {cut} truncated to {run.config.data.max_length} tokens" if cut else ""
        )
        console.print(f"meta-{name}: {len(examples)} texts of {shown}{note}")
    if dropped := run.splits.train.num_unlabelled:
        console.print(f"without a label, and left out: {dropped} texts")
    if run.splits.num_unused:
        console.print(f"in none of the splits: {run.splits.num_unused} texts")


def _plot(run: Run, directory: RunDirectory, results: dict[str, Any]) -> None:
    metric = next(iter(run.task.metrics))
    intervals = results["intervals"]
    with contextlib.suppress(ValueError):  # Without matplotlib there is no plot.
        reporting.plot_run(
            directory.path / "result.png",
            directory.log,
            metric,
            evaluation.Interval(**intervals["before"][metric]),
            evaluation.Interval(**intervals["after"][metric]),
            title=describe(run.config),
        )
