"""Writes dialogue contexts with next turns, and a new model with a tokenizer.

    METAFLAX_DATA=DIR python experiments/dialogue/prepare.py [--runs runs/dialogue]

Schema-Guided Dialogue: each turn of the system is a target, and the turns before it
are the input; its domains are named as `sgd/Banks`. ChatterBot corpus: the same of
short exchanges; a topic is a domain, named as `chatterbot/ai`. The model is a GPT with
random weights; its tokenizer is trained without the validation and test domains.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common
from metaflax import config as config_lib
from metaflax import workflows

# Sizes of the new model.
SIZES = {"vocab_size": 4000, "width": 128, "layers": 3, "heads": 4, "positions": 112}
# Maximum number of turns of an input.
MOST_TURNS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/dialogue"))
    runs = parser.parse_args().runs
    config = config_lib.load_file(Path(__file__).with_name("config.py"))
    data = common.data_folder()
    print(f"{prepare(data, runs, held_out(config))} answers and a model: {runs}")


def held_out(config: config_lib.Config) -> Sequence[str]:
    """The domains of validation and test."""
    splits = config.data.split_names or {}
    return (*splits["valid"], *splits["test"])


def prepare(data: Path, runs: Path, held_out: Sequence[str]) -> int:
    """Writes the answers, and the model unless there is one; returns how many."""
    answers = [
        *exchanges(data / "sgd_dialogue" / "dialogues.jsonl", "sgd"),
        *exchanges(data / "chatterbot_corpus" / "dialogues.jsonl", "chatterbot"),
    ]
    common.write_jsonl(runs / "answers.jsonl", answers, ascii=False)
    if not (runs / "model").exists():
        texts = [
            text
            for answer in answers
            if answer["domain"] not in held_out
            for text in (answer["text"][-1], answer["target"])
        ]
        workflows.new_language_model(runs / "model", texts, family="gpt", **SIZES)
    return len(answers)


def exchanges(path: Path, source: str) -> Iterator[dict[str, Any]]:
    """Yields each turn of the system, with the turns before it."""
    for dialogue in common.read_jsonl(path):
        turns = [turn["text"].strip() for turn in dialogue["turns"]]
        for number, turn in enumerate(dialogue["turns"]):
            before = [text for text in turns[:number] if text]
            if turn["speaker"] == "system" and before and turns[number]:
                yield {
                    # The first turn identifies a dialogue.
                    "text": [before[0], *before[1:][-MOST_TURNS + 1 :]],
                    "target": turns[number],
                    "domain": f"{source}/{dialogue['domain']}",
                }


if __name__ == "__main__":
    main()
