"""Writes dialogue slots and entities of posts to one file, with domains.

    METAFLAX_DATA=DIR python experiments/entities/prepare.py [--out FILE] [--extra]

DSTC8's single-domain turns (`span_extraction`): a service is a domain, the slots of its
users' turns are entities. WNUT 2017: posts with entities of six types, domain `wnut`;
those of the official test file `wnut-test`. With `--extra` also sentences of nine
sources of named entities (`ner_extra`), in eight domains.
"""

import argparse
import collections
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common

# A source with a single type is joined with another that has this type.
SAME_DOMAIN = {"ncbi_disease": "bc5cdr"}
MAX_WORDS = 30
# Minimum number of sentences, for each type of a domain, with one or two entities of
# that type and none of another, so that every pair of types makes an episode.
LEAST_SENTENCES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/entities/all.jsonl"))
    parser.add_argument("--extra", action="store_true")
    args = parser.parse_args()
    count = prepare(common.data_folder(), args.out, extra=args.extra)
    print(f"{count} sentences: {args.out}")


def prepare(data: Path, out: Path, *, extra: bool = False) -> int:
    """Writes the sentences; returns how many."""
    sentences = [*slots(data / "span_extraction"), *posts(data / "wnut17")]
    if extra:
        sentences += named(data / "ner_extra")
    return common.write_jsonl(out, sentences)


def slots(folder: Path) -> Iterator[dict[str, Any]]:
    for row in common.read_jsonl(folder / "dstc8.jsonl"):
        yield {"text": row["text"], "label": row["spans"], "domain": row["domain"]}


def posts(folder: Path) -> Iterator[dict[str, Any]]:
    for part in ("train", "valid", "test"):
        domain = "wnut-test" if part == "test" else "wnut"
        for row in common.read_jsonl(folder / f"{part}.jsonl"):
            yield {"tokens": row["tokens"], "label": row["tags"], "domain": domain}


def named(folder: Path) -> list[dict[str, Any]]:
    """Selects short sentences whose types are all frequent enough in their domain."""
    sentences = [
        {
            "tokens": row["tokens"],
            "label": row["tags"],
            "domain": SAME_DOMAIN.get(file.stem, file.stem),
        }
        for file in sorted(folder.glob("*.jsonl"))
        for row in common.read_jsonl(file)
        if len(row["tokens"]) <= MAX_WORDS
    ]
    alone = collections.Counter(
        (sentence["domain"], types[0])
        for sentence in sentences
        if (types := entity_types(sentence["label"]))
        and len(set(types)) == 1
        and len(types) <= 2
    )
    return [
        sentence
        for sentence in sentences
        if all(
            alone[sentence["domain"], name] >= LEAST_SENTENCES
            for name in entity_types(sentence["label"])
        )
    ]


def entity_types(tags: list[str]) -> list[str]:
    """Lists the type of each entity of BIO tags."""
    return [tag[2:] for tag in tags if tag.startswith("B-")]


if __name__ == "__main__":
    main()
