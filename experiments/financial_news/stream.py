"""Streams of news, and control charts that detect surges of negative news."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import draws
import methods
import numpy as np
import watch
from rich.console import Console
from scipy import special

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation

SURGES = (2.0, 3.0)
SURGE_FROM = 30  # Quiet days before a surge.
NEWS_A_DAY = 20.0
# Half of the intended rate, since the past is a sample too.
FALSE_ALARMS_A_DAY = 0.005


class Watched(NamedTuple):
    """Sentences of the streams, and their scores by each method.

    Attributes:
      negative: bool `[U]`, gold labels of all sentences, validation sentences first.
      past: indices of the sentences to set thresholds on.
      future: for each support draw the indices of the sentences that occur later.
      scores: by method, scores of negative sentiment by support draw, `[E, U]`.
    """

    negative: np.ndarray
    past: np.ndarray
    future: tuple[np.ndarray, ...]
    scores: dict[str, np.ndarray]


def stream(
    config: config_lib.Config,
    runs: Path,
    news: methods.News,
    baseline: common.Setting,
    console: Console,
    sizes: methods.Sizes,
) -> None:
    """Simulates surges; measures detection delays, misses and false alarms."""
    watched = watch_news(config, runs / "run", news, baseline, sizes)
    results = {
        draw: on_draw(watched, draw, sizes) for draw in range(len(watched.future))
    }
    console.print(stream_table(results), markup=False, soft_wrap=True)
    plot(runs / "stream.png", watched)
    console.print(f"The picture is {runs / 'stream.png'}.", soft_wrap=True)


def watch_news(
    config: config_lib.Config,
    run_dir: Path,
    news: methods.News,
    baseline: common.Setting,
    sizes: methods.Sizes,
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
    support_draws = draws.support_draws(
        news.test, sizes.shots[-1], sizes.test, 0
    ).episodes
    episodes = data.FixedEpisodes(
        both,
        tuple(
            dataclasses.replace(
                episode,
                support=episode.support + num_past,
                query=every,
                query_targets=targets,
            )
            for episode in support_draws
        ),
    )
    negative = targets == names.index("negative")
    scores = {"true labels": np.tile(negative.astype(float), (len(support_draws), 1))}
    by_method = {
        methods.OURS: common.score_episodes(run_dir, episodes),
        "frozen": methods.scored(config, {0: episodes}, baseline)[0],
    }
    for name, results in by_method.items():
        scores[name] = special.softmax(results.logits, axis=-1)[
            ..., names.index("negative")
        ]
    return Watched(
        negative,
        every[:num_past],
        tuple(np.setdiff1d(every[num_past:], e.support) for e in episodes.episodes),
        scores,
    )


Measures: TypeAlias = dict[str, dict[str, float]]


def on_draw(watched: Watched, draw: int, sizes: methods.Sizes) -> Measures:
    """Measures false alarms in 100 days, delays and misses of each method."""
    rng = np.random.default_rng((7, draw))
    future = watched.future[draw]
    num_streams = max(1, sizes.quiet_days // 500)
    quiet = {"num_streams": num_streams, "num_days": 500, "news_a_day": NEWS_A_DAY}
    past_days = watch.draw_days(watched.negative, watched.past, rng, **quiet)
    later_days = watch.draw_days(watched.negative, future, rng, **quiet)
    surges = {
        surge: surging(watched, future, rng, surge, sizes.surges) for surge in SURGES
    }
    results: Measures = {}
    for name, by_draw in watched.scores.items():
        scores = by_draw[draw]
        chart = watch.fit_chart(scores, watched.past, past_days, FALSE_ALARMS_A_DAY)
        _, alarms = chart.run(later_days, scores)
        results[name] = {"false alarms in 100 days": 100 * float(alarms.mean())}
        for surge, days in surges.items():
            _, alarms = chart.run(days, scores)
            delay = watch.delays(alarms, SURGE_FROM)
            results[name][f"delay at {surge:g} times"] = float(delay.mean())
            missed = float((delay > SURGE_FROM).mean())
            results[name][f"missed at {surge:g} times"] = missed
    return results


def surging(watched, pool, rng, surge: float, num_streams: int) -> watch.Days:
    """Simulates streams with quiet days followed by as many days of a surge."""
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


def stream_table(results: Mapping[int, Measures]) -> str:
    """Formats means over support draws as Markdown."""
    first = next(iter(results.values()))
    columns = list(next(iter(first.values())))
    lines = [
        "| | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    by_method = {
        name: {c: np.array([f[name][c] for f in results.values()]) for c in columns}
        for name in first
    }
    for name, by_column in by_method.items():
        cells = [stated(evaluation.mean_interval(by_column[c])) for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, by_column in by_method.items():
        if name == methods.OURS:
            continue
        cells = [
            stated(
                evaluation.paired_interval(by_column[c], by_method[methods.OURS][c]),
                "+",
            )
            for c in columns
        ]
        lines.append(f"| {methods.OURS} less {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def stated(interval: evaluation.Interval, sign: str = "") -> str:
    """Formats a mean and its interval."""
    return f"{interval.mean:{sign}.2f} ± {interval.half_width:.2f}"


def plot(path: Path, watched: Watched) -> None:
    """Plots a stream with a surge, and the charts of the first support draw."""
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
    for axis, name in zip(charts, (methods.OURS, "frozen"), strict=True):
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
