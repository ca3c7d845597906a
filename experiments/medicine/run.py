"""Meta-trains on medical texts, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/medicine/run.py [--runs DIR]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from rich.console import Console

from experiments import common
from metaflax import config as config_lib


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Training and baselines, over both sources and for each."""
    results = common.compare_classifiers(config, runs, console)
    console.print(common.classifier_table(results), markup=False)
    for source, of_source in results.get("by_domain", {}).items():
        console.print(source)
        console.print(common.classifier_table(of_source), markup=False)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
