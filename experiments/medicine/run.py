"""Meta-trains on medical texts, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/medicine/run.py [--runs DIR]
"""

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from rich.console import Console

from experiments import common
from metaflax import config as config_lib

# About half of the test episodes are of symptoms.
FROZEN_EPISODES = 200


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines over both sources and for each."""
    tuned = {"adapts": (common.LAST_TWO_OF_SIX,)}
    results = common.compare_classifiers(config, runs, console, tuned=tuned)
    print_tables(results, console)
    results = common.compare_frozen(config, runs, console, FROZEN_EPISODES)
    print_tables(results, console)


def print_tables(results: dict[str, Any], console: Console) -> None:
    """Prints the accuracy over both sources and for each."""
    console.print(common.classifier_table(results), markup=False)
    for source, of_source in results.get("by_domain", {}).items():
        console.print(source)
        console.print(common.classifier_table(of_source), markup=False)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
