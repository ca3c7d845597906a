"""Meta-trains a recommender on users, and meta-tests on other users; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/recommendation/run.py [--runs DIR]
"""

import json
import sys
import time
from pathlib import Path

import choose
import films as films_lib
import scores
import tables
import users as users_lib
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Chooses on validation users, scores test users, writes results and a picture."""
    began = time.perf_counter()
    texts, users = users_lib.read(Path(config.data.data).parent)
    embeddings, kinds = films_lib.embedded(texts, config), films_lib.kinds(texts)
    console.print(f"{len(texts)} films read in {time.perf_counter() - began:.0f} s")
    chosen, picked = choose.all_methods(embeddings, kinds, users, config, console)
    popularity = users_lib.ratings_of(users["train"], len(texts)).popularity(1.0)
    found = scores.results(chosen, users["test"], popularity.counts == 0)
    runs.mkdir(parents=True, exist_ok=True)
    record = {"picked on validation users": picked, **found}
    (runs / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    tables.plot(runs / "result.png", found)
    console.print(tables.tables(found), markup=False)
    example = tables.explained(chosen[scores.BOTH], users["test"][0], texts)
    console.print(example, markup=False)
    console.print(f"{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
