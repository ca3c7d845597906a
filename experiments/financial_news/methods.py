"""Few-shot classifiers compared on the same support draws."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import draws
import numpy as np
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation

OURS = "meta-trained"
TUNED = "fine-tuned"
BOTH = "meta-trained, fine-tuned"
# Heads on the frozen encoder, with their names in tables.
NAMES = {"prototypes": "class means", "logistic_regression": "logistic regression"}
percent = functools.partial(common.percent, digits=1)
ACCURACY, MACRO_F1 = "accuracy", "macro F1"

# Scores by metric, and results by method and metric.
Scored: TypeAlias = dict[str, list[float]]
Results: TypeAlias = dict[str, dict[str, np.ndarray]]


class Sizes(NamedTuple):
    """Sizes of the measurement.

    Attributes:
      shots: numbers of labelled sentences per class.
      test: number of support draws of each shot on which methods are compared.
      test_tuned: number of the first of these on which fine-tuning is compared, which
        takes far longer than all other methods together.
      queries: number of queries of each support draw.
      valid: number of validation draws to select settings of frozen encoders.
      valid_tuned: number of validation draws to select settings of fine-tuning.
      quiet_days: number of days, for each support draw, of validation sentences to set
        a threshold, and of test sentences to count false alarms.
      surges: number of simulated surges for each support draw and size of surge.
    """

    shots: tuple[int, ...] = (8, 16)
    test: int = 50
    test_tuned: int = 40
    queries: int = 100
    valid: int = 50
    valid_tuned: int = 4
    quiet_days: int = 10_000
    surges: int = 10


class News(NamedTuple):
    """Financial sentences with their sentiment.

    Attributes:
      valid: sentences to select settings on.
      test: sentences of the reported results.
    """

    valid: data.Examples
    test: data.Examples

    @classmethod
    def of(cls, file: Path) -> "News":
        """Reads the file that `prepare` writes."""
        examples = data.read(file, domain="domain")
        return cls(
            *(
                examples.select(
                    n for n, d in enumerate(examples.domains or ()) if d == domain
                )
                for domain in ("news-valid", "news-test")
            )
        )


def frozen(config: config_lib.Config, head: str) -> list[common.Setting]:
    """Settings of a head on the frozen encoder, with several strengths if any."""
    strengths = (1.0, 0.1, 0.01) if head == "logistic_regression" else (1.0,)
    return common.frozen_settings(
        config, pooling=("mean",), head=(head,), strength=strengths
    )


def fine_tuned(config: config_lib.Config, model: str) -> list[common.Setting]:
    """Settings of fine-tuning a model from class means, with three learning rates."""
    return common.fine_tuned_settings(
        config, model=(model,), inner_learning_rate=(5e-5, 1e-4, 3e-4)
    )


class Picked(NamedTuple):
    """A baseline's setting, and its accuracy on validation sentences."""

    setting: common.Setting
    score: float


def pick(
    config: config_lib.Config,
    kept: Path,
    valid: data.Examples,
    settings: Sequence[common.Setting],
    sizes: Sizes,
    console: Console,
) -> dict[int, Picked]:
    """Selects the best setting for each shot on draws of validation sentences."""
    num = sizes.valid_tuned if is_tuned(settings[0]) else sizes.valid
    episodes = draws_of(valid, sizes, num)

    def tried() -> list[list[float]]:
        return [
            [float(collected.metrics[ACCURACY].mean()) for collected in scores.values()]
            for scores in (scored(config, episodes, setting) for setting in settings)
        ]

    by_shot = zip(*remembered(kept, tried), strict=True)
    picked = {}
    for shot, scores in zip(sizes.shots, by_shot, strict=True):
        best = int(np.argmax(scores))
        model, algorithm = settings[best]
        console.print(
            f"{shot} shots: {algorithm.name}, head {algorithm.head}, pooling"
            f" {model.pooling}, strength {algorithm.strength:g}, rate"
            f" {algorithm.inner_learning_rate:g}, {algorithm.num_steps} steps:"
            f" setting {best + 1} of {[round(s, 4) for s in scores]}",
            soft_wrap=True,
        )
        picked[shot] = Picked(settings[best], scores[best])
    return picked


def remembered(path: Path, make: Callable[[], Any]) -> Any:
    """Reads a cached result, or computes and stores it, so that a script resumes."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make()) + "\n", "utf-8")
    return json.loads(path.read_text("utf-8"))


def draws_of(
    examples: data.Examples, sizes: Sizes, num: int
) -> dict[int, data.FixedEpisodes]:
    """Samples `num` support draws of each shot."""
    return {
        shot: draws.support_draws(examples, shot, num, sizes.queries)
        for shot in sizes.shots
    }


def scored(
    config: config_lib.Config,
    episodes: Mapping[int, data.FixedEpisodes],
    setting: common.Setting,
) -> dict[int, evaluation.Scores]:
    """Scores a setting on the draws of all shots."""
    model, algorithm = setting
    baseline = dataclasses.replace(config, model=model, algorithm=algorithm)
    if not is_tuned(setting):
        score = functools.partial(common.score_pretrained, baseline)
        return together(score, episodes)
    # One draw at a time, so that validation and test share a compilation.
    evaluated = dataclasses.replace(config.evaluation, batch_episodes=1)
    baseline = dataclasses.replace(baseline, evaluation=evaluated)
    return {
        shot: common.score_pretrained(baseline, given)
        for shot, given in episodes.items()
    }


def together(
    score: Callable[[data.FixedEpisodes], evaluation.Scores],
    episodes: Mapping[int, data.FixedEpisodes],
) -> dict[int, evaluation.Scores]:
    """Scores several lists of episodes as one, so that a text is encoded once."""
    lists = [given.episodes for given in episodes.values()]
    examples = next(iter(episodes.values())).examples
    every = score(data.FixedEpisodes(examples, tuple(itertools.chain(*lists))))
    ends = np.cumsum([len(part) for part in lists])
    collected = {}
    for shot, part, end in zip(episodes, lists, ends, strict=True):
        place = slice(end - len(part), end)
        metrics = {name: x[place] for name, x in every.metrics.items()}
        collected[shot] = evaluation.Scores(metrics, every.logits[place])
    return collected


def is_tuned(setting: common.Setting) -> bool:
    """Whether a setting fine-tunes the encoder on the support set."""
    return setting.algorithm.name == "fine_tuning"


def compared(
    config: config_lib.Config,
    run_dir: Path,
    kept: Path,
    test: data.Examples,
    baselines: Mapping[str, Mapping[int, Picked]],
    sizes: Sizes,
) -> dict[int, Results]:
    """Scores every method on the same support draws, by shot.

    Fine-tuning is scored on the first draws only.
    """
    every = draws_of(test, sizes, sizes.test)
    first = draws_of(test, sizes, sizes.test_tuned)

    def of_baseline(name: str) -> dict[int, Scored]:
        shots_of: dict[common.Setting, list[int]] = {}
        for shot, picked in baselines[name].items():
            shots_of.setdefault(picked.setting, []).append(shot)
        collected = {}
        for setting, shots in shots_of.items():
            given = first if is_tuned(setting) else every
            episodes = {shot: given[shot] for shot in shots}
            collected |= judged(episodes, scored(config, episodes, setting))
        return collected

    def of_run() -> dict[int, Scored]:
        score = functools.partial(common.score_episodes, run_dir)
        return judged(every, together(score, every))

    results: dict[int, Results] = {shot: {} for shot in sizes.shots}
    for name in (*baselines, OURS):
        make = of_run if name == OURS else functools.partial(of_baseline, name)
        collected = remembered(kept / f"{name}.json", make)
        for shot in sizes.shots:
            by_metric = collected[str(shot)]  # JSON knows no numbers for names.
            results[shot][name] = {
                metric: np.array(x) for metric, x in by_metric.items()
            }
    return results


def judged(
    episodes: Mapping[int, data.FixedEpisodes], scores: Mapping[int, evaluation.Scores]
) -> dict[int, Scored]:
    """Computes accuracy and macro F1 of each draw."""
    return {
        shot: {
            ACCURACY: collected.metrics[ACCURACY].tolist(),
            MACRO_F1: macro_f1(episodes[shot], collected.logits).tolist(),
        }
        for shot, collected in scores.items()
    }


def macro_f1(episodes: data.FixedEpisodes, logits: np.ndarray) -> np.ndarray:
    """Computes the macro F1 of each episode, `[E]`."""
    from sklearn import metrics

    return np.array(
        [
            metrics.f1_score(
                episode.query_targets,
                outputs[: len(episode.query)].argmax(axis=-1),
                labels=episode.classes,
                average="macro",
                zero_division=0,
            )
            for episode, outputs in zip(episodes.episodes, logits, strict=True)
        ]
    )


def table(results: Mapping[int, Results]) -> str:
    """Formats means in percent, and the meta-trained model's gains, as Markdown.

    Gains are paired, on the draws on which a method was scored.
    """
    scores = ["accuracy", "macro F1", "meta-trained less it", "of macro F1"]
    rows = []
    for shot, methods in results.items():
        for name, by_metric in methods.items():
            cells = [percent(evaluation.mean_interval(x)) for x in by_metric.values()]
            for metric, values in by_metric.items():
                ours = methods[OURS][metric][: len(values)]
                gain = evaluation.paired_interval(values, ours)
                cells.append("" if name == OURS else percent(gain, "+"))
            rows.append([shot, name, *cells])
    return common.markdown_table(["shots", "method", *scores], rows)


def gain_table(results: Mapping[int, Results], one: str, other: str) -> str:
    """Formats the paired gain of one method over another as Markdown."""
    rows = []
    for shot, methods in results.items():
        gains = (
            evaluation.paired_interval(methods[other][metric], methods[one][metric])
            for metric in methods[one]
        )
        rows.append([f"{shot} shots", *(percent(gain, "+") for gain in gains)])
    return common.markdown_table([f"{one} less {other}", "accuracy", "macro F1"], rows)


def write(path: Path, results: Mapping[int, Results]) -> None:
    """Writes means and intervals as JSON."""
    plain = {
        str(shot): {
            name: {
                m: evaluation.mean_interval(x)._asdict() for m, x in by_metric.items()
            }
            for name, by_metric in methods.items()
        }
        for shot, methods in results.items()
    }
    common.write_json(path, plain)
