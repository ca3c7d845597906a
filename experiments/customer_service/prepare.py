"""Converts dialogues to exchanges: a customer's turns and the reply.

    METAFLAX_DATA=DIR python experiments/customer_service/prepare.py \
        [--turns 1] [--out runs/customer_service/exchanges1.jsonl]

An exchange is a class of two texts: the reply is its support text, and the preceding
turns are the query for which the reply is retrieved. Questions with answers are
exchanges too.
"""

import argparse
import collections
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common

# Dialogue, domain, context and reply.
Exchange: TypeAlias = tuple[str, str, str, str]
SMALL = "small topics"  # The domain of all questions from small topics.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    out = args.out or Path(f"runs/customer_service/exchanges{args.turns}.jsonl")
    folder = common.data_folder()
    print(f"{prepare(folder, out, args.turns)} exchanges: {out}")


def prepare(folder: Path, out: Path, turns: int) -> int:
    """Writes the exchanges of Schema-Guided Dialogue; returns how many."""
    return write(exchanges(dialogues(folder / "sgd_dialogue"), turns), out)


def prepare_questions(folder: Path, out: Path, least: int) -> int:
    """Writes questions of the ChatterBot corpus and their answers; returns how many."""
    return write(questions(dialogues(folder / "chatterbot_corpus"), least), out)


def dialogues(folder: Path) -> list[dict[str, Any]]:
    """Reads the dialogues of a data set."""
    return common.read_jsonl(folder / "dialogues.jsonl")


def write(results: Iterable[Exchange], out: Path) -> int:
    """Writes two rows per exchange, context first; returns the number of exchanges."""
    results = list(results)
    rows = [
        {"text": text, "label": f"{dialogue}:{number}", "domain": domain}
        for number, (dialogue, domain, *texts) in enumerate(results)
        for text in texts
    ]
    common.write_jsonl(out, rows)
    return len(results)


def exchanges(dialogues: Iterable[dict[str, Any]], turns: int) -> Iterator[Exchange]:
    """Yields every reply of a domain once, with the preceding turns.

    The context is the last turns before the reply, the latest first, so that truncation
    drops the oldest.
    """
    seen = set()
    for dialogue in dialogues:
        domain, outputs = dialogue["domain"], []
        for turn in dialogue["turns"]:
            text = turn["text"]
            context = " ".join(reversed(outputs[-turns:]))
            fresh = (domain, text) not in seen and context != text
            if turn["speaker"] == "system" and outputs and fresh:
                seen.add((domain, text))
                yield dialogue["id"], domain, context, text
            outputs.append(text)


def questions(dialogues: Iterable[dict[str, Any]], least: int) -> Iterator[Exchange]:
    """Yields first turns with replies; topics of fewer than `least` are merged.

    Each question and each reply of a topic occurs once, in its first exchange.
    """
    by_topic = collections.defaultdict(list)
    for dialogue in dialogues:
        topic = dialogue["domain"]
        texts = (turn["text"] for turn in dialogue["turns"][:2])
        by_topic[topic].append((dialogue["id"], topic, *texts))
    every = [list(once(results)) for results in by_topic.values()]
    for results in every:
        if len(results) >= least:
            yield from results
    small = (row for results in every if len(results) < least for row in results)
    for dialogue, _, question, answer in once(small):
        yield dialogue, SMALL, question, answer


def once(results: Iterable[Exchange]) -> Iterator[Exchange]:
    """Drops exchanges whose question or answer occurred before."""
    past_questions, past_answers = set(), set()
    for exchange in results:
        question, answer = (text.lower() for text in exchange[2:])
        if question not in past_questions and answer not in past_answers:
            yield exchange
            past_questions.add(question)
            past_answers.add(answer)


if __name__ == "__main__":
    main()
