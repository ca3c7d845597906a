"""Short code by SmolLM2, which learns a command or library from four pairs.

Usage: METAFLAX_DATA=DIR python experiments/code/smollm2.py [--runs DIR] [--publish]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.

from experiments import common
from experiments.code import expressions, prepare
from metaflax import config as config_lib

VALID = [
    *("bash_chown", "bash_mv", "bash_screen", "bash_sort"),
    *("python_dict", "python_sort"),
]
TEST = [
    *("bash_chmod", "bash_df", "bash_find", "bash_mkdir", "bash_mount", "bash_yum"),
    *("python_datetime", "python_numpy", "python_web", "regex_kb13"),
]


def prepared(runs: Path) -> config_lib.Config:
    """Writes the data and returns the config."""
    prepare.prepare(common.data_folder(), runs)
    path = runs / "pairs.jsonl"
    return common.decoder_config(
        path,
        "experiments.code.task:code_generation",
        common.rest_for_training(path, VALID, TEST),
        max_length=30,
        template="experiments.code.task:TEMPLATE",
    )


if __name__ == "__main__":
    sys.exit(
        common.run_comparison(
            __file__, __doc__, prepared, extra=expressions.equivalence
        )
    )
