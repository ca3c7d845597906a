"""Prepares descriptions with short code; a command or a library is a domain.

    METAFLAX_DATA=DIR python experiments/code/prepare.py [--runs runs/code]

Keeps the pairs of `code_generation` that have few tokens and a single line of code.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common

# Tokens of a description with its code, at most.
MOST_TOKENS = 26


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/code"))
    runs = parser.parse_args().runs
    print(f"{prepare(common.data_folder(), runs)} pairs: {runs}")


def prepare(folder: Path, runs: Path) -> int:
    """Writes the pairs; returns how many."""
    files = sorted((folder / "code_generation").glob("*.jsonl"))
    rows = [row for path in files for row in common.read_jsonl(path)]
    pairs = common.short_pairs(rows, MOST_TOKENS)
    return common.write_jsonl(runs / "pairs.jsonl", pairs, ascii=False)


if __name__ == "__main__":
    main()
