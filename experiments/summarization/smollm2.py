"""Titles and dialogue topics by SmolLM2, which adapts to a topic from four examples.

Usage: METAFLAX_DATA=DIR python experiments/summarization/smollm2.py [--runs DIR]
           [--publish]

The inputs are short, since a core encodes some hundred tokens a second: the summary of
a paper, whose title is the target (`papers/N`), and the summary of a dialogue, whose
topic is the target (`dialogues/N`). Topics N are clusters of the words of papers and
dialogues.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.

from experiments import common
from metaflax import config as config_lib
from metaflax import data

NUM_PAPERS, NUM_DIALOGUES = 10, 8
VALID = "papers/6", "dialogues/5"
TEST = "papers/2", "papers/3", "dialogues/2", "dialogues/3"
# Maximum number of tokens of an input with its target.
MOST_TOKENS = 34


def prepared(runs: Path) -> config_lib.Config:
    """Writes the data and returns the config."""
    folder, path = common.data_folder(), runs / "texts.jsonl"
    rows = [*papers(folder), *dialogues(folder)]
    common.write_jsonl(path, common.short_pairs(rows, MOST_TOKENS), ascii=False)
    return common.decoder_config(
        path,
        "summarization",
        common.rest_for_training(path, VALID, TEST),
        max_length=40,
        template="summarization",
    )


def papers(folder: Path) -> Iterator[dict[str, str]]:
    """Reads the summaries of papers with their titles."""
    rows = common.read_jsonl(folder / "scitldr" / "examples.jsonl")
    rows = [row for row in rows if row["title"].strip()]
    numbers = data.topics([row["source"] for row in rows], NUM_PAPERS)
    for row, number in zip(rows, numbers, strict=True):
        yield example(row["targets"][0], row["title"], f"papers/{number}")


def dialogues(folder: Path) -> Iterator[dict[str, str]]:
    """Reads the summaries of dialogues with their topics."""
    rows = common.read_jsonl(folder / "dialogsum" / "examples.jsonl")
    numbers = data.topics([row["source"] for row in rows], NUM_DIALOGUES)
    for row, number in zip(rows, numbers, strict=True):
        yield example(row["targets"][0], row["topics"][0], f"dialogues/{number}")


def example(text: str, target: str, domain: str) -> dict[str, str]:
    return {"text": text.strip(), "target": target.strip(), "domain": domain}


if __name__ == "__main__":
    sys.exit(common.run_comparison(__file__, __doc__, prepared, **common.METAICL_ALONE))
