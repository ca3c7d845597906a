"""Answers to questions of topics that are nothing like what was meta-trained on."""

from pathlib import Path

import prepare
import ranking
import replies
import retrieval
import words
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data

# A topic has as many questions and answers at least as meta-training sees at once.
LEAST = 40
ALL = "all"


def questions(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    by_bm25: words.Bm25,
    least: int = LEAST,
) -> None:
    """The right answer among all of its topic, by the model of one-turn replies."""
    file = runs / "questions.jsonl"
    count = prepare.prepare_questions(folder, file, least)
    console.print(f"{count} questions of topics with at least {least}")
    test = retrieval.by_domain(data.read(file, domain="domain"))
    config = replies.of_exchanges(config, runs / "exchanges1.jsonl", folder)
    ranked = ranking.compared(config, runs / "replies1", test, by_bm25)
    ranked.write(runs / "questions.json")


def question_table(runs: Path) -> str:
    """Markdown: all topics together, and each by itself."""
    ranked = ranking.Ranked.read(runs / "questions.json")
    topics = {topic: ranked.of(topic) for topic in sorted(set(ranked.domains))}
    return ranking.rank_table("topic", {ALL: ranked, **topics})
