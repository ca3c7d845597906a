"""Translation by SmolLM2, which adapts to a language from four sentences.

Usage: METAFLAX_DATA=DIR python experiments/translation/smollm2.py [--runs DIR]
           [--publish]

SmolLM2 was pretrained mostly on English, and can hardly translate into any language.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.

from experiments import common
from metaflax import config as config_lib

# Maximum number of tokens of a sentence with its translation.
MOST_TOKENS = 26


def prepared(runs: Path) -> config_lib.Config:
    """Writes the data and returns the config."""
    folder, path = common.data_folder() / "tatoeba_mt", runs / "pairs.jsonl"
    rows = [
        {"text": row["src"], "target": row["tgt"], "domain": row["pair"]}
        for row in common.read_jsonl(folder / "pairs.jsonl")
    ]
    common.write_jsonl(path, common.short_pairs(rows, MOST_TOKENS), ascii=False)
    splits = json.loads((folder / "splits.json").read_text("utf-8"))
    return common.decoder_config(
        path,
        "translation",
        splits,
        max_length=28,
        template="translation",
    )


if __name__ == "__main__":
    sys.exit(common.run_comparison(__file__, __doc__, prepared, **common.METAICL_ALONE))
