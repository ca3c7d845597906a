"""Commonsense questions of unseen sources, by SmolLM2's likelihood of the choices.

Usage: METAFLAX_DATA=DIR python experiments/commonsense/smollm2.py [--runs DIR]
           [--publish]

A source is a domain. Pairs of questions that share their choices with opposite answers
are in one source, and so on one side of the split.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.

from experiments import common
from metaflax import config as config_lib
from metaflax import workflows
from metaflax.models import pretrained

SPLITS = {
    "train": ("arc_easy", "codah", "csqa", "ecare", "socialiqa"),
    "valid": ("piqa",),
    "test": ("comve", "copa", "wsc"),
}
# Maximum number of tokens of a question with its longest choice.
MOST_TOKENS = 27


def prepared(runs: Path) -> config_lib.Config:
    """Writes the data and returns the config."""
    path = runs / "questions.jsonl"
    common.write_jsonl(path, questions(common.data_folder()), ascii=False)
    return common.decoder_config(
        path,
        "multiple_choice",
        SPLITS,
        max_length=36,
        template="multiple_choice",
        episodes=config_lib.EpisodeConfig(shot=4, queries=4),
    )


def questions(folder: Path) -> list[dict[str, object]]:
    """Selects short questions of all sources; a source is a domain."""
    tokenizer = pretrained.tokenizer(workflows.locate_model("smollm2"))
    kept = []
    for source in (name for names in SPLITS.values() for name in names):
        for row in common.read_jsonl(folder / "commonsense" / f"{source}.jsonl"):
            longest = max(row["choices"], key=len)
            tokens = tokenizer(f"{row['text']} {longest}")["input_ids"]
            if len(tokens) <= MOST_TOKENS:
                names = ("text", "choices", "label")
                kept.append({**{n: row[n] for n in names}, "domain": source})
    return kept


if __name__ == "__main__":
    sys.exit(common.run_comparison(__file__, __doc__, prepared, **common.METAICL_ALONE))
