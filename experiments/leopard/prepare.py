"""Writes what the mixture learns from, and refuses texts that LEOPARD tests on.

    METAFLAX_DATA=DIR python experiments/leopard/prepare.py [--out runs/leopard/data]

`levels.jsonl`: scored sentences in four levels, from very negative to very positive.
`products.jsonl`: reviews of products. `entailment.jsonl`: premise and hypothesis.
`answers.jsonl`: a student's answer beside that of a teacher. `types.jsonl`: a sentence
and an entity in it. Every row has its domain.
"""

import argparse
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common
from metaflax.data.sources import _embedded

# Lowest score of each level; people scored from -4 to 4.
LEVELS = {
    "very negative": -4.0,
    "negative": -2.0,
    "positive": 0.5,
    "very positive": 2.0,
}
NEUTRAL = 0.5
# Texts of fewer words are equal by chance.
FEWEST_WORDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/leopard/data"))
    args = parser.parse_args()
    for name, count in prepare(common.data_folder(), args.out).items():
        print(f"{count} rows: {args.out / name}.jsonl")


def prepare(folder: Path, out: Path) -> dict[str, int]:
    """Writes a file for each member; returns the number of its rows.

    Raises:
      ValueError: if a text to train on is one of LEOPARD's.
    """
    sources = {
        "levels": levels(),
        "products": common.read_jsonl(folder / "amazon_sentiment/examples.jsonl"),
        "entailment": entailment(folder / "nli"),
        "answers": common.read_jsonl(folder / "education/examples.jsonl"),
        "types": types(folder / "ner_extra"),
    }
    tested = words_of_tests(folder / "leopard")
    counts = {}
    for name, rows in sources.items():
        kept = [*rows]
        refuse_leaks(name, kept, tested)
        counts[name] = common.write_jsonl(out / f"{name}.jsonl", kept)
    return counts


def levels() -> Iterator[dict[str, Any]]:
    """Scored sentences, without those near the middle."""
    for domain, number, score, text in _embedded.scored_rows():
        if abs(score) > NEUTRAL:
            level = max((low, name) for name, low in LEVELS.items() if score >= low)[1]
            yield {
                "id": f"{domain}/{number}",
                "text": text,
                "label": level,
                "domain": domain,
            }


def entailment(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.jsonl")):
        yield from common.read_jsonl(file)


def types(folder: Path) -> Iterator[dict[str, Any]]:
    """The entities of tagged sentences, each beside its sentence."""
    for file in sorted(folder.glob("*.jsonl")):
        for row in common.read_jsonl(file):
            words, tags = row["tokens"], row["tags"]
            for start, tag in enumerate(tags):
                if not tag.startswith("B-"):
                    continue
                inside = itertools.takewhile(
                    lambda tag, kind=tag[2:]: tag == f"I-{kind}", tags[start + 1 :]
                )
                end = start + 1 + len([*inside])
                yield {
                    "id": f"{row['id']}/{start}",
                    "text": " ".join(words),
                    "text_pair": " ".join(words[start:end]),
                    "label": tag[2:],
                    "domain": row["domain"],
                }


def words_of_tests(folder: Path) -> set[str]:
    """The words of each text in all files of LEOPARD."""
    rows = (row for file in folder.glob("*/*.jsonl") for row in common.read_jsonl(file))
    return {*texts_of(rows)}


def texts_of(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Each text of rows as its words in lower case, without the shortest ones."""
    for row in rows:
        for column in ("text", "text_pair"):
            words = re.findall(r"\w+", row.get(column, "").lower())
            if len(words) >= FEWEST_WORDS:
                yield " ".join(words)


def refuse_leaks(name: str, rows: list[dict[str, Any]], tested: set[str]) -> None:
    """Raises ValueError if rows hold a text that is tested on."""
    leaks = tested.intersection(texts_of(rows))
    if leaks:
        raise ValueError(
            f"{len(leaks)} texts of {name} are LEOPARD's, such as {min(leaks)!r:.80};"
            " leave them out."
        )


if __name__ == "__main__":
    main()
