"""Writes sentence pairs, and a new model with a tokenizer trained on them.

    METAFLAX_DATA=DIR python experiments/translation/prepare.py \
        [--runs runs/translation]

Tatoeba: English sentences with translations; a pair of languages is a domain. The model
is an encoder-decoder with random weights; its tokenizer is trained on the pairs of
meta-training alone.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common
from metaflax import workflows

# Sizes of the new model.
SIZES = {"vocab_size": 4000, "width": 128, "layers": 2, "heads": 4, "positions": 64}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/translation"))
    runs = parser.parse_args().runs
    count = prepare(common.data_folder(), runs)
    print(f"{count} pairs and a model: {runs}")


def prepare(data: Path, runs: Path) -> int:
    """Writes the pairs, and the model unless there is one; returns how many pairs."""
    folder = data / "tatoeba_mt"
    pairs = [
        {"text": row["src"], "target": row["tgt"], "domain": row["pair"]}
        for row in common.read_jsonl(folder / "pairs.jsonl")
    ]
    common.write_jsonl(runs / "pairs.jsonl", pairs, ascii=False)
    if not (runs / "model").exists():
        train = json.loads((folder / "splits.json").read_text("utf-8"))["train"]
        texts = [
            text
            for pair in pairs
            if pair["domain"] in train
            for text in (pair["text"], pair["target"])
        ]
        workflows.new_language_model(runs / "model", texts, **SIZES)
    return len(pairs)


if __name__ == "__main__":
    main()
