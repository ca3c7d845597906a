"""Prepares beginnings of reviews with continuations, by product kind and sentiment.

    METAFLAX_DATA=DIR python experiments/controllable/prepare.py [--runs DIR]

The first words of a review are the input and seldom reveal its sentiment; the words
that follow are the target. A kind of product with a sentiment is a domain.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common

# Numbers of words of an input and of a target, and maximum tokens of both.
NUM_WORDS, NUM_NEXT, MOST_TOKENS = 3, 14, 26


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/controllable"))
    runs = parser.parse_args().runs
    print(f"{prepare(common.data_folder(), runs)} beginnings: {runs}")


def prepare(folder: Path, runs: Path) -> int:
    """Writes the pairs; returns how many."""
    rows = list(beginnings(folder / "amazon_sentiment" / "examples.jsonl"))
    pairs = common.short_pairs(rows, MOST_TOKENS)
    return common.write_jsonl(runs / "pairs.jsonl", pairs, ascii=False)


def beginnings(path: Path) -> Iterator[dict[str, str]]:
    """Yields beginning and continuation of each review that is long enough."""
    for row in common.read_jsonl(path):
        words = row["text"].split()
        if len(words) >= NUM_WORDS + NUM_NEXT:
            yield {
                "text": " ".join(words[:NUM_WORDS]),
                "target": " ".join(words[NUM_WORDS : NUM_WORDS + NUM_NEXT]),
                "domain": f"{row['domain']}/{row['label']}",
            }


if __name__ == "__main__":
    main()
