"""Pairs of three data sets as one file of labelled pairs, each with its domain.

    METAFLAX_DATA=DIR python experiments/pairs/prepare.py [--out runs/pairs/pairs.jsonl]

STS Benchmark: two sentences, `same` where people scored their likeness 4 or more,
`different` where 3 or less; a source is a domain. SubjQA: a question and a review,
`answerable` or not; a domain of reviews is one. SciTail: premise and hypothesis of
LEOPARD's evaluation file, `entails` or `neutral`; one domain.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common

SAME, DIFFERENT = 4.0, 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pairs/pairs.jsonl"))
    out = parser.parse_args().out
    count = prepare(common.data_folder(), out)
    print(f"{count} pairs: {out}")


def prepare(data: Path, out: Path) -> int:
    """Writes the pairs; returns how many."""
    pairs = [*likeness(data / "stsb"), *answers(data / "subjqa"), *scitail(data)]
    return common.write_jsonl(out, pairs)


def likeness(folder: Path) -> Iterator[dict[str, str]]:
    for part in ("train", "valid", "test"):
        for row in common.read_jsonl(folder / f"{part}.jsonl"):
            if DIFFERENT < row["score"] < SAME:
                continue
            label = "same" if row["score"] >= SAME else "different"
            domain = f"stsb/{row['source']}"
            yield pair(row["text"], row["text_pair"], label, domain)


def answers(folder: Path) -> Iterator[dict[str, str]]:
    for row in common.read_jsonl(folder / "examples.jsonl"):
        label = "answerable" if row["answers"] else "unanswerable"
        domain = f"subjqa/{row['domain']}"
        yield pair(row["question"], row["context"], label, domain)


def scitail(data: Path) -> Iterator[dict[str, str]]:
    for row in common.read_jsonl(data / "leopard" / "scitail" / "eval.jsonl"):
        yield pair(row["text"], row["text_pair"], row["label"], "scitail")


def pair(first: str, second: str, label: str, domain: str) -> dict[str, str]:
    return {"text": first, "text_pair": second, "label": label, "domain": domain}


if __name__ == "__main__":
    main()
