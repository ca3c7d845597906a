"""Answer retrieval for a topic, after meta-training on the other topics."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import prepare
import ranking
import replies
import retrieval
import words
from methods import OURS
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, workflows

# Minimum number of questions of a topic, so that an episode can be sampled from it.
LEAST = 40
ALL = "all"
SERVICE = "meta-trained on service"


def questions(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    by_bm25: words.Bm25,
    least: int = LEAST,
) -> None:
    """Ranks the answers of each topic after meta-training on the others."""
    file = runs / "questions.jsonl"
    count = prepare.prepare_questions(folder, file, least)
    examples = data.read(file, domain="domain")
    topics = [name for name in examples.domain_names if name != prepare.SMALL]
    console.print(f"{count} questions; topics with at least {least}: {len(topics)}")
    config = replies.of_exchanges(config, file, folder)
    parts = []
    for topic in topics:
        topic_config = without(config, topics, topic)
        run_dir = runs / "questions" / topic
        workflows.train(topic_config, run_dir, console)
        rows = [n for n, name in enumerate(examples.domains or ()) if name == topic]
        test = retrieval.by_domain(examples.select(rows))
        seen = {SERVICE: runs / "replies1", OURS: run_dir}
        parts.append(ranking.compared(topic_config, seen, test, by_bm25))
    ranking.Ranked.joined(parts).write(runs / "questions.json")


def without(
    config: config_lib.Config, topics: Sequence[str], topic: str
) -> config_lib.Config:
    """Config of a short training from pretrained weights, on all topics but one.

    The small topics together are the validation domain, which selects the checkpoint.
    """
    others = tuple(name for name in topics if name != topic)
    steps = math.ceil(config.training.steps / 2)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            split_file=None,
            split_names={"train": others, "valid": (prepare.SMALL,), "test": (topic,)},
        ),
        training=dataclasses.replace(
            config.training,
            steps=steps,
            eval_every=math.ceil(steps / 2),
            learning_rate=config.training.learning_rate / 2,
            interpolate=(1.0, 0.75, 0.5, 0.25),
        ),
    )


def question_table(runs: Path) -> str:
    """Formats the results over all topics and for each topic as Markdown."""
    ranked = ranking.Ranked.read(runs / "questions.json")
    topics = {topic: ranked.of(topic) for topic in sorted(set(ranked.domains))}
    return ranking.rank_table("topic", {ALL: ranked, **topics})
