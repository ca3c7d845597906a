"""Next turns by SmolLM2, which adapts to a service from four examples.

Usage: METAFLAX_DATA=DIR python experiments/dialogue/smollm2.py [--runs DIR] [--publish]

Schema-Guided Dialogue: a short turn of the system is the target of the two turns before
it, so that contexts are short too.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.

from experiments import common
from experiments.dialogue import prepare
from metaflax import config as config_lib

# Maximum number of turns before a target, and of tokens of input and target.
MOST_TURNS, MOST_TOKENS = 2, 22


def prepared(runs: Path) -> config_lib.Config:
    """Writes the data and returns the config."""
    folder, path = common.data_folder() / "sgd_dialogue", runs / "answers.jsonl"
    rows = [
        {**row, "text": row["text"][-MOST_TURNS:]}
        for row in prepare.exchanges(folder / "dialogues.jsonl", "sgd")
    ]
    common.write_jsonl(path, common.short_pairs(rows, MOST_TOKENS), ascii=False)
    splits = json.loads((folder / "splits.json").read_text("utf-8"))
    return common.decoder_config(
        path,
        "dialogue",
        {
            split: tuple(f"sgd/{name}" for name in names)
            for split, names in splits.items()
        },
        max_length=32,
        template="dialogue",
        episodes=config_lib.EpisodeConfig(shot=4, queries=3),
    )


if __name__ == "__main__":
    sys.exit(common.run_comparison(__file__, __doc__, prepared))
