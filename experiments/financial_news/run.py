"""Sentiment and topics of news from few sentences, and a stream watched; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/financial_news/run.py [--runs DIR]
"""

import dataclasses
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import draws
import numpy as np
import prepare
import topics
import watch
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, workflows
from metaflax.workflows import Setting

OURS = "meta-trained"
SHOTS = (8, 16)
SURGES = (2.0, 3.0)
SURGE_FROM = 30  # Quiet days before a surge.
NEWS_A_DAY = 20.0
# Half of the rate that is asked for, as the past is a sample too.
FALSE_ALARMS_A_DAY = 0.005

Results: TypeAlias = dict[str, dict[str, np.ndarray]]


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
      test: support draws of each shot that methods are compared on.
      queries: sentences that each of them is judged on.
      valid: support draws of validation sentences that a setting is judged on, where
        the encoder stays as it is.
      valid_tuned: the same of fine-tuning, which takes far longer.
      quiet_days: of validation sentences for a threshold, and of test sentences for
        false alarms, by support draw.
      surges: planted for each support draw and size of surge.
    """

    test: int = 50
    queries: int = 100
    valid: int = 50
    valid_tuned: int = 4
    quiet_days: int = 10_000
    surges: int = 10


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Training, and the three parts of the page."""
    financial_news(
        config, Path(os.environ.get("METAFLAX_DATA", "data")), runs, console, Sizes()
    )


def financial_news(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    sizes: Sizes,
) -> None:
    """One training, then sentiment, topics and the stream."""
    file = runs / "sentences.jsonl"
    prepare.prepare(folder, file)
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, data=str(file))
    )
    workflows.train(config, runs / "run", console)
    news = News.of(file)
    console.print("\nSentiment")
    chosen = sentiment(config, runs, news, console, sizes)
    console.print("\nTopics")
    topics_of_news(config, runs, news, console, sizes)
    console.print("\nThe stream")
    stream(config, runs, news, chosen, console, sizes)


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


# Sentiment and topics.


def frozen(config: config_lib.Config, head: str) -> list[Setting]:
    """A head below the pretrained encoder, of several strengths where it has one."""
    strengths = (10.0, 1.0, 0.1, 0.01) if head == "logistic_regression" else (1.0,)
    return workflows.frozen_settings(
        config, pooling=("mean",), head=(head,), strength=strengths
    )


def fine_tuned(config: config_lib.Config) -> list[Setting]:
    """From class means, with steps of three sizes."""
    return workflows.fine_tuned_settings(config, inner_learning_rate=(1e-4, 3e-4, 1e-3))


def sentiment(
    config: config_lib.Config,
    runs: Path,
    news: News,
    console: Console,
    sizes: Sizes,
) -> Setting:
    """Compares methods at each shot; returns the best frozen setting of the last."""
    best, results = frozen(config, "prototypes")[0], {}
    for shot in SHOTS:
        methods = {
            "class means": frozen(config, "prototypes"),
            "logistic regression": frozen(config, "logistic_regression"),
            "fine-tuned": fine_tuned(config),
        }
        picked = {
            name: pick(
                config,
                runs / "scores" / f"sentiment{shot} {name}, choice.json",
                news.valid,
                shot,
                settings,
                sizes,
                console,
            )
            for name, settings in methods.items()
        }
        results[shot] = compared(
            config, runs, "sentiment", news.test, shot, picked, sizes
        )
        heads = [name for name in picked if name != "fine-tuned"]
        best = picked[max(heads, key=lambda name: picked[name].score)].setting
    console.print(table(results), markup=False)
    write(runs / "sentiment.json", results)
    return best


def topics_of_news(
    config: config_lib.Config,
    runs: Path,
    news: News,
    console: Console,
    sizes: Sizes,
) -> None:
    """The same with topics for labels, without fine-tuning."""
    valid, test = topics.by_terms(news.valid), topics.by_terms(news.test)
    console.print(
        f"{len(test)} of {len(news.test)} test sentences, {len(valid)} of"
        f" {len(news.valid)} to choose by, of {len(test.label_names)} topics"
    )
    results = {}
    for shot in SHOTS:
        methods = {
            "class means": frozen(config, "prototypes"),
            "logistic regression": frozen(config, "logistic_regression"),
        }
        picked = {
            name: pick(
                config,
                runs / "scores" / f"topics{shot} {name}, choice.json",
                valid,
                shot,
                settings,
                sizes,
                console,
            )
            for name, settings in methods.items()
        }
        results[shot] = compared(config, runs, "topics", test, shot, picked, sizes)
    console.print(table(results), markup=False)
    write(runs / "topics.json", results)


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
    tuned = settings[0].algorithm.algorithm == "fine_tuning"
    num = sizes.valid_tuned if tuned else sizes.valid
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
    baseline = dataclasses.replace(config, model=model, algorithm=algorithm)
    return workflows.score_pretrained(baseline, episodes)


ACCURACY, MACRO_F1 = "accuracy", "macro F1"


def compared(
    config: config_lib.Config,
    runs: Path,
    kept: str,
    test: data.Examples,
    shot: int,
    baselines: Mapping[str, Picked],
    sizes: Sizes,
) -> Results:
    """Accuracy and macro F1 of every method on the same support draws, `[E]` each."""
    episodes = draws.support_draws(test, shot, sizes.test, sizes.queries)

    def measured(name: str) -> dict[str, list[float]]:
        found = (
            workflows.score_episodes(runs / "run", episodes)
            if name == OURS
            else scored(config, episodes, baselines[name].setting)
        )
        return {
            ACCURACY: found.metrics[ACCURACY].tolist(),
            MACRO_F1: macro_f1(episodes, found.logits).tolist(),
        }

    results: Results = {}
    for name in (*baselines, OURS):
        path = runs / "scores" / f"{kept}{shot} {name}.json"
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
    """Markdown: means in percent, and how far the meta-trained model is from each."""
    lines = [
        "| shots | method | accuracy | macro F1 | meta-trained less it | of macro F1 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for shot, methods in results.items():
        for name, own in methods.items():
            cells = [said(evaluation.mean_interval(x)) for x in own.values()]
            for metric, values in own.items():
                gain = evaluation.paired_interval(values, methods[OURS][metric])
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


# The stream.


class Watched(NamedTuple):
    """What the stream is made of, and who says how negative it is.

    Attributes:
      negative: bool `[U]`, the truth of all sentences, validation ones first.
      past: numbers of those that thresholds are set on.
      future: for each support draw the numbers of those that occur later.
      scores: for each method and support draw how negative each sentence is, `[E, U]`.
    """

    negative: np.ndarray
    past: np.ndarray
    future: tuple[np.ndarray, ...]
    scores: dict[str, np.ndarray]


def stream(
    config: config_lib.Config,
    runs: Path,
    news: News,
    baseline: Setting,
    console: Console,
    sizes: Sizes,
) -> None:
    """Plants surges, and measures when they are noticed and what else is."""
    watched = watch_news(config, runs / "run", news, baseline, sizes)
    found = {draw: on_draw(watched, draw, sizes) for draw in range(len(watched.future))}
    console.print(stream_table(found), markup=False)
    plot(runs / "stream.png", watched)
    console.print(f"The picture is {runs / 'stream.png'}.", soft_wrap=True)


def watch_news(
    config: config_lib.Config,
    run_dir: Path,
    news: News,
    baseline: Setting,
    sizes: Sizes,
) -> Watched:
    """Scores every sentence by classifiers adapted to support draws of test ones."""
    both = dataclasses.replace(
        news.test,
        texts=news.valid.texts + news.test.texts,
        labels=news.valid.labels + news.test.labels,
        domains=None,
    )
    num_past = len(news.valid)
    every = np.arange(len(both), dtype=np.int32)
    names = both.label_names
    targets = np.array([names.index(label) for [label] in both.labels], np.int32)
    own = draws.support_draws(news.test, SHOTS[-1], sizes.test, 0).episodes
    episodes = data.GivenEpisodes(
        both,
        tuple(
            dataclasses.replace(
                episode,
                support=episode.support + num_past,
                query=every,
                query_targets=targets,
            )
            for episode in own
        ),
    )
    negative = targets == names.index("negative")
    scores = {"true labels": np.tile(negative.astype(float), (len(own), 1))}
    by_method = {
        OURS: workflows.score_episodes(run_dir, episodes),
        "frozen": scored(config, episodes, baseline),
    }
    for name, found in by_method.items():
        scores[name] = probability(found.logits, names.index("negative"))
    return Watched(
        negative,
        every[:num_past],
        tuple(np.setdiff1d(every[num_past:], e.support) for e in episodes.episodes),
        scores,
    )


def probability(logits: np.ndarray, number: int) -> np.ndarray:
    """The probability of one class."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers[..., number] / powers.sum(axis=-1)


Found: TypeAlias = dict[str, dict[str, float]]


def on_draw(watched: Watched, draw: int, sizes: Sizes) -> Found:
    """By method the false alarms in 100 days, and the delay and misses by surge."""
    rng = np.random.default_rng((7, draw))
    future = watched.future[draw]
    num_streams = max(1, sizes.quiet_days // 500)
    quiet = {"num_streams": num_streams, "num_days": 500, "news_a_day": NEWS_A_DAY}
    past_days = watch.draw_days(watched.negative, watched.past, rng, **quiet)
    later_days = watch.draw_days(watched.negative, future, rng, **quiet)
    surges = {
        surge: surging(watched, future, rng, surge, sizes.surges) for surge in SURGES
    }
    found: Found = {}
    for name, by_draw in watched.scores.items():
        scores = by_draw[draw]
        chart = watch.fit_chart(scores, watched.past, past_days, FALSE_ALARMS_A_DAY)
        _, alarms = chart.run(later_days, scores)
        found[name] = {"false alarms in 100 days": 100 * float(alarms.mean())}
        for surge, days in surges.items():
            _, alarms = chart.run(days, scores)
            delay = watch.delays(alarms, SURGE_FROM)
            found[name][f"delay at {surge:g} times"] = float(delay.mean())
            missed = float((delay > SURGE_FROM).mean())
            found[name][f"missed at {surge:g} times"] = missed
    return found


def surging(watched, pool, rng, surge: float, num_streams: int) -> watch.Days:
    """Streams that are quiet first, and then surge for as long."""
    return watch.draw_days(
        watched.negative,
        pool,
        rng,
        num_streams=num_streams,
        num_days=2 * SURGE_FROM,
        news_a_day=NEWS_A_DAY,
        surge_from=SURGE_FROM,
        surge=surge,
    )


def stream_table(found: Mapping[int, Found]) -> str:
    """Markdown: means over support draws."""
    first = next(iter(found.values()))
    columns = list(next(iter(first.values())))
    lines = [
        "| | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    by_method = {
        name: {c: np.array([f[name][c] for f in found.values()]) for c in columns}
        for name in first
    }
    for name, own in by_method.items():
        cells = [stated(evaluation.mean_interval(own[c])) for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, own in by_method.items():
        if name == OURS:
            continue
        cells = [
            stated(evaluation.paired_interval(own[c], by_method[OURS][c]), "+")
            for c in columns
        ]
        lines.append(f"| {OURS} less {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def stated(interval: evaluation.Interval, sign: str = "") -> str:
    """A mean and its interval, as they are."""
    return f"{interval.mean:{sign}.2f} ± {interval.half_width:.2f}"


def plot(path: Path, watched: Watched) -> None:
    """A stream with a surge, and what charts make of it after the first draw."""
    from matplotlib import figure

    rng = np.random.default_rng(11)
    quiet = {"num_streams": 20, "num_days": 500, "news_a_day": NEWS_A_DAY}
    past_days = watch.draw_days(watched.negative, watched.past, rng, **quiet)
    days = surging(watched, watched.future[0], rng, SURGES[0], 1)
    picture = figure.Figure(figsize=(8, 6), layout="constrained")
    news, *charts = picture.subplots(3, 1, sharex=True)
    numbers = np.arange(2 * SURGE_FROM) + 1
    bad = days.sums(watched.negative.astype(float))[0]
    news.bar(numbers, days.counts[0], color="lightgrey", label="all news")
    news.bar(numbers, bad, color="tab:red", label="negative news")
    news.set_ylabel("sentences")
    for axis, name in zip(charts, (OURS, "frozen"), strict=True):
        scores = watched.scores[name][0]
        chart = watch.fit_chart(scores, watched.past, past_days, FALSE_ALARMS_A_DAY)
        statistic, alarms = (x[0] for x in chart.run(days, scores))
        axis.plot(numbers, statistic, color="k", label="statistic")
        axis.axhline(chart.threshold, color="tab:blue", ls="--", label="threshold")
        axis.plot(
            numbers[alarms],
            statistic[alarms],
            "o",
            color="tab:red",
            label="alarm",
        )
        axis.set_ylabel(name)
    charts[-1].set_xlabel("day")
    for axis in (news, *charts):
        axis.axvspan(
            SURGE_FROM + 0.5, 2 * SURGE_FROM + 0.5, color="tab:orange", alpha=0.15
        )
        axis.legend(loc="upper left", fontsize=8)
    news.set_title(
        f"Negative news {SURGES[0]:g} times as common from day {SURGE_FROM + 1}"
    )
    picture.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
