"""The right reply among all of an unseen domain, after one turn or several."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import prepare
from methods import OURS, answers, frozen, said, write_json
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, workflows

TURNS = (1, 3)
MOST_TOKENS = 64  # Of turns, and of a reply.


def replies(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    turns: int,
) -> None:
    """One training; the right reply among all of an unseen domain, by three methods."""
    file = runs / f"exchanges{turns}.jsonl"
    prepare.prepare(folder, file, turns)
    config = of_exchanges(config, file, folder)
    run_dir = runs / f"replies{turns}"
    workflows.train(config, run_dir, console)
    examples = workflows.load_run(config).splits.test
    episodes = retrieval(examples)
    [setting] = frozen(config, "prototypes")
    logits = {
        "TF-IDF": by_words(episodes),
        "frozen": answers(config, run_dir, episodes, setting),
        OURS: answers(config, run_dir, episodes, None),
    }
    ranks = {name: ranks_of(episodes, found) for name, found in logits.items()}
    dialogues = [
        examples.labels[row][0].rpartition(":")[0]
        for episode in episodes.episodes
        for row in episode.query
    ]
    write_json(
        runs / f"replies{turns}.json",
        {
            "dialogues": dialogues,
            "ranks": {name: found.tolist() for name, found in ranks.items()},
        },
    )


def of_exchanges(
    config: config_lib.Config, file: Path, folder: Path
) -> config_lib.Config:
    """The config of meta-training on exchanges: a reply is one support text."""
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            data=str(file),
            domain="domain",
            split_by="domain",
            split_file=str(folder / "sgd_dialogue" / "splits.json"),
            fold=None,
            max_length=MOST_TOKENS,
        ),
        episodes=config_lib.EpisodeConfig(
            way=config.episodes.train_way or 40, shot=1, queries=1
        ),
        training=dataclasses.replace(
            config.training, steps=2 * config.training.steps // 3
        ),
    )


def retrieval(examples: data.Examples) -> data.GivenEpisodes:
    """For each domain all replies to choose from, and what was said before each."""
    domains = np.array(examples.domains)
    names = {name: n for n, name in enumerate(examples.label_names)}

    def of_domain(number: int) -> data.Episode:
        rows = np.flatnonzero(domains == examples.domain_names[number])
        said, replied = rows[::2].astype(np.int32), rows[1::2].astype(np.int32)
        local = np.arange(len(said), dtype=np.int32)
        return data.Episode(
            classes=tuple(names[examples.labels[row][0]] for row in said),
            domain=number,
            support=replied,
            support_targets=local,
            query=said,
            query_targets=local,
        )

    numbers = range(len(examples.domain_names))
    return data.GivenEpisodes(examples, tuple(map(of_domain, numbers)))


def by_words(episodes: data.GivenEpisodes) -> list[np.ndarray]:
    """Cosines of weighed frequencies of words, `[Q, N]` of each episode."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = episodes.examples.texts
    found = []
    for episode in episodes.episodes:
        weigh = TfidfVectorizer(sublinear_tf=True)
        replied = weigh.fit_transform([texts[row] for row in episode.support])
        said = weigh.transform([texts[row] for row in episode.query])
        found.append((said @ replied.T).toarray())
    return found


def ranks_of(
    episodes: data.GivenEpisodes, logits: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """The rank of the right reply of every query, 1 for the first, `[U]`.

    Of replies that score alike the right one is ranked last.
    """
    ranks = []
    for episode, own in zip(episodes.episodes, logits, strict=True):
        scores = own[: len(episode.query), : len(episode.classes)]
        right = scores[np.arange(len(scores)), episode.query_targets]
        ranks.append((scores >= right[:, None]).sum(axis=1))
    return np.concatenate(ranks)


def reply_table(runs: Path) -> str:
    """Markdown: recall at 1 and reciprocal ranks, means over dialogues."""
    scores = {}
    for turns in TURNS:
        found = json.loads((runs / f"replies{turns}.json").read_text("utf-8"))
        for name, ranks in found["ranks"].items():
            by_rank = 1 / np.array(ranks)
            scores[turns, name] = {
                "recall@1": by_dialogue(by_rank == 1, found["dialogues"]),
                "MRR": by_dialogue(by_rank, found["dialogues"]),
            }
    lines = [
        "| turns | method | recall@1 | MRR | meta-trained less it | of MRR |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (turns, name), own in scores.items():
        cells = [said(evaluation.mean_interval(x)) for x in own.values()]
        for metric, values in own.items():
            gain = evaluation.paired_interval(values, scores[turns, OURS][metric])
            cells.append("" if name == OURS else said(gain, "+"))
        lines.append(f"| {turns} | {name} | " + " | ".join(cells) + " |")
    first, last = (scores[turns, OURS] for turns in (TURNS[0], TURNS[-1]))
    for metric in first:
        gain = evaluation.paired_interval(first[metric], last[metric])
        lines.append(f"\n{OURS}, {metric}, {TURNS[-1]} turns less 1: {said(gain, '+')}")
    return "\n".join(lines)


def by_dialogue(values: np.ndarray, dialogues: Sequence[str]) -> np.ndarray:
    """Means of each dialogue, in the order of their names."""
    _, number = np.unique(np.array(dialogues), return_inverse=True)
    return np.bincount(number, values) / np.bincount(number)
