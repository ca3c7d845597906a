"""Writes dialogue slots and entities of posts to one file, with domains.

    METAFLAX_DATA=DIR python experiments/entities/prepare.py [--out FILE]

DSTC8's single-domain turns (`span_extraction`): a service is a domain, the slots of its
users' turns are entities. WNUT 2017: posts with entities of six types, domain `wnut`;
those of the official test file `wnut-test`.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/entities/all.jsonl"))
    out = parser.parse_args().out
    count = prepare(common.data_folder(), out)
    print(f"{count} sentences: {out}")


def prepare(data: Path, out: Path) -> int:
    """Writes the sentences; returns how many."""
    sentences = [*slots(data / "span_extraction"), *posts(data / "wnut17")]
    return common.write_jsonl(out, sentences)


def slots(folder: Path) -> Iterator[dict[str, Any]]:
    for row in common.read_jsonl(folder / "dstc8.jsonl"):
        yield {"text": row["text"], "label": row["spans"], "domain": row["domain"]}


def posts(folder: Path) -> Iterator[dict[str, Any]]:
    for part in ("train", "valid", "test"):
        domain = "wnut-test" if part == "test" else "wnut"
        for row in common.read_jsonl(folder / f"{part}.jsonl"):
            yield {"tokens": row["tokens"], "label": row["tags"], "domain": domain}


if __name__ == "__main__":
    main()
