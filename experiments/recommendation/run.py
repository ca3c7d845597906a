"""Meta-trains a recommender on users, and meta-tests on other users; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/recommendation/run.py [--runs DIR]
"""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import choose
import films as films_lib
import numpy as np
import scores
import tables
import users as users_lib
from rich.console import Console

from experiments import common
from metaflax import config as config_lib


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Tests each fold of users; writes results and a plot."""
    began = time.perf_counter()
    texts, users = users_lib.read(Path(config.data.path).parent)
    films = films_lib.embedded(texts, config), films_lib.kinds(texts)
    console.print(f"{len(texts)} films read in {time.perf_counter() - began:.0f} s")
    runs.mkdir(parents=True, exist_ok=True)
    records, settings = [], dataclasses.asdict(config)
    for number, fold in enumerate(users_lib.folds(users), start=1):
        path = runs / f"fold_{number}.json"
        if not path.exists():
            console.print(f"\nfold {number}:")
            record = fold_record(texts, films, fold, config, console)
            common.write_json(path, {"settings": settings, **record})
        records.append(json.loads(path.read_text("utf-8")))
        if records[-1]["settings"] != json.loads(json.dumps(settings)):
            raise ValueError(f"{path} has other settings; name another --runs.")
    by_user = [scores.changed(record["scores"], np.array) for record in records]
    collected = {
        "all folds": scores.results(by_user),
        "fold 1": scores.results(by_user[:1]),
    }
    picked = [record["picked on validation users"] for record in records]
    common.write_json(
        runs / "results.json", {"picked on validation users": picked, **collected}
    )
    tables.plot(runs / "result.png", collected["all folds"])
    for which, results in collected.items():
        console.print(f"\n{which}{tables.tables(results)}", markup=False)
    console.print(f"{time.perf_counter() - began:.0f} s in all")


def fold_record(
    texts: list[str],
    films: tuple[np.ndarray, np.ndarray],
    users: dict[str, list[users_lib.User]],
    config: config_lib.Config,
    console: Console,
) -> dict[str, Any]:
    """Selects settings on validation users, and scores test users."""
    selected, picked = choose.all_methods(*films, users, config, console)
    popularity = users_lib.ratings_of(users["train"], len(texts)).popularity(1.0)
    by_user = scores.by_user(selected, users["test"], popularity.counts == 0)
    example = tables.explained(selected[scores.BOTH], users["test"][0], texts)
    console.print(example, markup=False)
    return {
        "picked on validation users": picked,
        "scores": scores.changed(by_user, np.ndarray.tolist),
    }


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
