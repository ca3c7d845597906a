"""Sentences of an article by SmolLM2, which adapts to the article from four of them.

Usage: METAFLAX_DATA=DIR python experiments/language_modelling/smollm2.py [--runs DIR]
           [--publish]

Half of the articles are for meta-test; the others, and topics of sentences of any
article, are for meta-training.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.

from experiments import common
from experiments.language_modelling import prepare
from metaflax import config as config_lib

# Maximum number of tokens of a sentence, and minimum number of sentences of an article.
MOST_TOKENS, LEAST = 29, 12
NUM_VALID, NUM_TEST = 8, 20


def prepared(runs: Path) -> config_lib.Config:
    """Writes the data and returns the config."""
    path = runs / "sentences.jsonl"
    source = common.data_folder() / "unlabelled_sentences" / "sentences.jsonl"
    rows = [
        {"text": "", "target": row["text"].strip(), "domain": row["domain"]}
        for row in prepare.sentences(source)
    ]
    kept = common.short_pairs(rows, MOST_TOKENS, least=LEAST)
    domains = sorted({row["domain"] for row in kept})
    articles = [name for name in domains if not name.startswith("topic ")]
    test, rest = articles[::2][:NUM_TEST], articles[1::2]
    common.write_jsonl(
        path,
        [{"text": row["target"], "domain": row["domain"]} for row in kept],
        ascii=False,
    )
    return common.decoder_config(
        path,
        "language_modelling",
        common.rest_for_training(path, rest[:NUM_VALID], test),
        max_length=8,
        max_target_length=32,
    )


if __name__ == "__main__":
    sys.exit(common.run_comparison(__file__, __doc__, prepared, **common.METAICL_ALONE))
