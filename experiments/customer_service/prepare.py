"""Dialogues as exchanges: what a customer said, and the reply that it got.

    METAFLAX_DATA=DIR python experiments/customer_service/prepare.py \
        [--turns 1] [--out runs/customer_service/exchanges1.jsonl]

An exchange is a class of two texts, so that the class of a reply, as one support text,
is to be found for what was said before it.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    out = args.out or Path(f"runs/customer_service/exchanges{args.turns}.jsonl")
    folder = Path(os.environ.get("METAFLAX_DATA", "data"))
    print(f"{prepare(folder, out, args.turns)} exchanges: {out}")


def prepare(folder: Path, out: Path, turns: int) -> int:
    """Writes two rows an exchange, what was said first; returns how many exchanges."""
    lines = (folder / "sgd_dialogue" / "dialogues.jsonl").read_text("utf-8")
    found = list(exchanges(map(json.loads, lines.splitlines()), turns))
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"text": text, "label": f"{dialogue}:{number}", "domain": domain}
        for number, (dialogue, domain, *texts) in enumerate(found)
        for text in texts
    ]
    out.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return len(found)


def exchanges(
    dialogues: Iterator[dict[str, Any]], turns: int
) -> Iterator[tuple[str, str, str, str]]:
    """Dialogue, domain, what was said, and the reply, of every reply of a domain once.

    What was said are the last turns before the reply, the latest first, so that a text
    that is too long loses the oldest of them.
    """
    seen = set()
    for dialogue in dialogues:
        domain, said = dialogue["domain"], []
        for turn in dialogue["turns"]:
            text = turn["text"]
            context = " ".join(reversed(said[-turns:]))
            fresh = (domain, text) not in seen and context != text
            if turn["speaker"] == "system" and said and fresh:
                seen.add((domain, text))
                yield dialogue["id"], domain, context, text
            said.append(text)


if __name__ == "__main__":
    main()
