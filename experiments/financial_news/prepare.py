"""Prepares sentiment of several kinds of text, and of financial news, as one file.

    METAFLAX_DATA=DIR python experiments/financial_news/prepare.py \
        [--out runs/financial_news/sentences.jsonl]

Each sentence has a label and a domain. Tweets, film reviews, editorials and product
reviews are the scored texts of `data.scored_texts`, `neutral` where their mean score
lies within 0.5 of 0. Financial news are shared out, label by label, among the domains
`news-valid` and `news-test`.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np

from experiments import common
from metaflax import data

VALID_SHARE = 0.4
NEUTRAL_WITHIN = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/financial_news/sentences.jsonl")
    )
    out = parser.parse_args().out
    count = prepare(common.data_folder(), out)
    print(f"{count} sentences: {out}")


def prepare(folder: Path, out: Path) -> int:
    """Writes the sentences; returns how many."""
    return common.write_jsonl(out, [*scored(), *news(folder)])


def scored() -> Iterator[dict[str, str]]:
    """Yields tweets, films, editorials and products in three classes of scores."""
    every, clear = data.scored_texts(0.0), data.scored_texts(NEUTRAL_WITHIN)
    label_of = dict(zip(clear.ids or (), clear.labels, strict=True))
    columns = (every.texts, every.ids or (), every.domains or ())
    for text, name, domain in zip(*columns, strict=True):
        [label] = label_of.get(name, ("neutral",))
        yield {"text": str(text), "label": label, "domain": domain}


def news(folder: Path) -> Iterator[dict[str, str]]:
    """Yields financial news in two parts with the same shares of labels.

    A sentence that occurs twice is kept once, and not at all where its labels differ.
    """
    read = data.read(folder / "financial_phrasebank" / "examples.jsonl")
    labels: dict[str, set[str]] = {}
    for text, [label] in zip(read.texts, read.labels, strict=True):
        labels.setdefault(str(text), set()).add(label)
    rng = np.random.default_rng(0)
    for name in read.label_names:
        texts = [text for text, results in labels.items() if results == {name}]
        num_valid = round(VALID_SHARE * len(texts))
        for place, number in enumerate(rng.permutation(len(texts))):
            part = "news-valid" if place < num_valid else "news-test"
            yield {"text": texts[number], "label": name, "domain": part}


if __name__ == "__main__":
    main()
