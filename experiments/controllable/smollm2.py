"""Reviews of a given sentiment by SmolLM2, which learns it from four examples.

Usage: METAFLAX_DATA=DIR python experiments/controllable/smollm2.py [--runs DIR]
           [--publish]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.

from experiments import common
from experiments.controllable import judge, prepare
from metaflax import config as config_lib

SENTIMENTS = "negative", "positive"
VALID = "baby", "software"
TEST = "grocery", "magazines", "music", "outdoor_living", "toys_games"


def prepared(runs: Path) -> config_lib.Config:
    """Writes the data and returns the config."""
    prepare.prepare(common.data_folder(), runs)
    path = runs / "pairs.jsonl"
    valid, test = (
        [f"{name}/{sentiment}" for name in names for sentiment in SENTIMENTS]
        for names in (VALID, TEST)
    )
    return common.decoder_config(
        path,
        "experiments.controllable.task:controllable_generation",
        common.rest_for_training(path, valid, test),
        max_length=16,
        template="experiments.controllable.task:TEMPLATE",
    )


if __name__ == "__main__":
    sys.exit(
        common.run_comparison(
            __file__, __doc__, prepared, extra=judge.judged, **common.METAICL_ALONE
        )
    )
