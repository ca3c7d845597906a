"""Methods that learn labels from few sentences, compared on the same draws."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import draws
import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, workflows
from metaflax.workflows import Setting

OURS = "meta-trained"
ACCURACY, MACRO_F1 = "accuracy", "macro F1"

Results: TypeAlias = dict[str, dict[str, np.ndarray]]


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
      shots: labelled sentences of a class.
      test: support draws of each shot that methods are compared on.
      test_tuned: the first of these, which fine-tuning is measured on: it takes far
        longer than all others together.
      queries: sentences that each of them is judged on.
      valid: support draws of validation sentences that a setting is judged on, where
        the encoder stays as it is.
      valid_tuned: the same of fine-tuning.
      quiet_days: of validation sentences for a threshold, and of test sentences for
        false alarms, by support draw.
      surges: planted for each support draw and size of surge.
    """

    shots: tuple[int, ...] = (8, 16)
    test: int = 50
    test_tuned: int = 20
    queries: int = 100
    valid: int = 50
    valid_tuned: int = 3
    quiet_days: int = 10_000
    surges: int = 10


class News(NamedTuple):
    """Financial sentences with their sentiment.

    Attributes:
      valid: what choices are made on.
      test: what is reported.
    """

    valid: data.Examples
    test: data.Examples

    @classmethod
    def of(cls, file: Path) -> "News":
        """Those of the file that `prepare` writes."""
        examples = data.read(file, domain="domain")
        return cls(
            *(
                examples.select(
                    n for n, d in enumerate(examples.domains or ()) if d == domain
                )
                for domain in ("news-valid", "news-test")
            )
        )


def frozen(config: config_lib.Config, head: str) -> list[Setting]:
    """A head below the pretrained encoder, of several strengths where it has one."""
    strengths = (10.0, 1.0, 0.1, 0.01) if head == "logistic_regression" else (1.0,)
    return workflows.frozen_settings(
        config, pooling=("mean",), head=(head,), strength=strengths
    )


def fine_tuned(config: config_lib.Config) -> list[Setting]:
    """From class means, with steps of three sizes."""
    return workflows.fine_tuned_settings(config, inner_learning_rate=(1e-4, 3e-4, 1e-3))


class Picked(NamedTuple):
    """A baseline's setting, and its accuracy on validation sentences."""

    setting: Setting
    score: float


def pick(
    config: config_lib.Config,
    kept: Path,
    valid: data.Examples,
    shot: int,
    settings: Sequence[Setting],
    sizes: Sizes,
    console: Console,
) -> Picked:
    """The setting that is best on support draws of validation sentences."""
    num = sizes.valid_tuned if is_tuned(settings[0]) else sizes.valid
    episodes = draws.support_draws(valid, shot, num, sizes.queries)

    def tried() -> list[float]:
        return [
            float(np.mean(scored(config, episodes, setting).metrics[ACCURACY]))
            for setting in settings
        ]

    scores = remembered(kept, tried)
    best = int(np.argmax(scores))
    model, algorithm = settings[best]
    console.print(
        f"{shot} shots: {algorithm.algorithm}, head {algorithm.head}, pooling"
        f" {model.pooling}, strength {algorithm.strength:g}, rate"
        f" {algorithm.inner_learning_rate:g}, {algorithm.num_steps} steps:"
        f" setting {best + 1} of {[round(s, 4) for s in scores]}"
    )
    return Picked(settings[best], scores[best])


def pick_all(
    config: config_lib.Config,
    kept: Path,
    valid: data.Examples,
    shot: int,
    choices: Mapping[str, Sequence[Setting]],
    sizes: Sizes,
    console: Console,
) -> dict[str, Picked]:
    """The best setting of each method."""
    return {
        name: pick(
            config,
            kept.with_name(f"{kept.name}{shot} {name}, choice.json"),
            valid,
            shot,
            settings,
            sizes,
            console,
        )
        for name, settings in choices.items()
    }


def remembered(path: Path, make: Callable[[], Any]) -> Any:
    """What was made before and is kept there, so that an ended script goes on."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make()) + "\n", "utf-8")
    return json.loads(path.read_text("utf-8"))


def scored(
    config: config_lib.Config, episodes: data.GivenEpisodes, setting: Setting
) -> evaluation.Scores:
    """What a baseline makes of episodes, from pretrained weights."""
    model, algorithm = setting
    evaluated = config.evaluation
    if is_tuned(setting):
        # One draw at a time, so that choice and test share a compilation.
        evaluated = dataclasses.replace(evaluated, batch_episodes=1)
    baseline = dataclasses.replace(
        config, model=model, algorithm=algorithm, evaluation=evaluated
    )
    return workflows.score_pretrained(baseline, episodes)


def is_tuned(setting: Setting) -> bool:
    """Whether the encoder changes with the support set."""
    return setting.algorithm.algorithm == "fine_tuning"


def compared(
    config: config_lib.Config,
    run_dir: Path,
    kept: Path,
    test: data.Examples,
    shot: int,
    baselines: Mapping[str, Picked],
    sizes: Sizes,
) -> Results:
    """Accuracy and macro F1 of every method on the same support draws, `[E]` each.

    Of fine-tuning `[test_tuned]`, on the first of them.
    """
    every = draws.support_draws(test, shot, sizes.test, sizes.queries)

    def measured(name: str) -> dict[str, list[float]]:
        episodes = every
        if name == OURS:
            found = workflows.score_episodes(run_dir, episodes)
        else:
            setting = baselines[name].setting
            if is_tuned(setting):
                first = every.episodes[: sizes.test_tuned]
                episodes = data.GivenEpisodes(every.examples, first)
            found = scored(config, episodes, setting)
        return {
            ACCURACY: found.metrics[ACCURACY].tolist(),
            MACRO_F1: macro_f1(episodes, found.logits).tolist(),
        }

    results: Results = {}
    for name in (*baselines, OURS):
        path = kept.with_name(f"{kept.name}{shot} {name}.json")
        found = remembered(path, functools.partial(measured, name))
        results[name] = {metric: np.array(x) for metric, x in found.items()}
    return results


def macro_f1(episodes: data.GivenEpisodes, logits: np.ndarray) -> np.ndarray:
    """The mean of the F1 of all labels, by episode, `[E]`."""
    from sklearn import metrics

    return np.array(
        [
            metrics.f1_score(
                episode.query_targets,
                said[: len(episode.query)].argmax(axis=-1),
                labels=episode.classes,
                average="macro",
                zero_division=0,
            )
            for episode, said in zip(episodes.episodes, logits, strict=True)
        ]
    )


def table(results: Mapping[int, Results]) -> str:
    """Markdown: means in percent, and how far the meta-trained model is from each.

    Differences are paired, on the draws that a method was measured on.
    """
    lines = [
        "| shots | method | accuracy | macro F1 | meta-trained less it | of macro F1 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for shot, methods in results.items():
        for name, own in methods.items():
            cells = [said(evaluation.mean_interval(x)) for x in own.values()]
            for metric, values in own.items():
                ours = methods[OURS][metric][: len(values)]
                gain = evaluation.paired_interval(values, ours)
                cells.append("" if name == OURS else said(gain, "+"))
            lines.append(f"| {shot} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def said(interval: evaluation.Interval, sign: str = "", factor: float = 100.0) -> str:
    """A mean and its interval."""
    mean, half = factor * interval.mean, factor * interval.half_width
    return f"{mean:{sign}.1f} ± {half:.1f}"


def write(path: Path, results: Mapping[int, Results]) -> None:
    """Means and intervals as JSON."""
    plain = {
        str(shot): {
            name: {m: evaluation.mean_interval(x)._asdict() for m, x in own.items()}
            for name, own in methods.items()
        }
        for shot, methods in results.items()
    }
    path.write_text(json.dumps(plain, indent=1) + "\n", "utf-8")
