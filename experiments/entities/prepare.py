"""Slots of dialogues and entities of posts as one file, each sentence with its domain.

    METAFLAX_DATA=DIR python experiments/entities/prepare.py [--out FILE]

DSTC8's single-domain turns (`span_extraction`): a service is a domain, the slots of its
users' turns are entities. WNUT 2017: posts with entities of six types, domain `wnut`;
those of the official test file `wnut-test`.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/entities/all.jsonl"))
    out = parser.parse_args().out
    count = prepare(Path(os.environ.get("METAFLAX_DATA", "data")), out)
    print(f"{count} sentences: {out}")


def prepare(data: Path, out: Path) -> int:
    """Writes the sentences; returns how many."""
    sentences = [*slots(data / "span_extraction"), *posts(data / "wnut17")]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in sentences), "utf-8")
    return len(sentences)


def slots(folder: Path) -> Iterator[dict[str, Any]]:
    for row in rows(folder / "dstc8.jsonl"):
        yield {"text": row["text"], "label": row["spans"], "domain": row["domain"]}


def posts(folder: Path) -> Iterator[dict[str, Any]]:
    for part in ("train", "valid", "test"):
        domain = "wnut-test" if part == "test" else "wnut"
        for row in rows(folder / f"{part}.jsonl"):
            yield {"tokens": row["tokens"], "label": row["tags"], "domain": domain}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    main()
