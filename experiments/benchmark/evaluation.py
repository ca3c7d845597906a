"""Time of scoring published training sets where the whole model adapts.

Usage: METAFLAX_DATA=DIR python experiments/benchmark/evaluation.py [TASK ...]
    [--sets 4] [--queries 100] [--save SCORES.npz]

A task is a folder of `DIR/leopard`. all-MiniLM-L6-v2 adapts by five steps of Adam, its
embeddings apart, to the first training sets of each shot, and predicts the queries.
Prints a line of JSON a task. The programs that compilation leaves on disk are used, as
by a command, unless JAX_ENABLE_COMPILATION_CACHE is 0.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import jax
import numpy as np

from experiments import common
from experiments.smlmt import few_shot
from metaflax import config as config_lib
from metaflax import data, workflows

WHOLE = config_lib.AlgorithmConfig(
    name="fine_tuning",
    head="prototypes",
    adapts=("*", "!encoder/embeddings"),
    inner_optimizer="adam",
    inner_learning_rate=1e-4,
    num_steps=5,
)
# Seconds of each compilation; those of single operations are shorter.
COMPILATIONS: list[float] = []
LEAST_SECONDS = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help="folders of leopard (default: all)")
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument("--sets", type=int, default=4, help="training sets per shot")
    parser.add_argument(
        "--queries", type=int, default=100, help="queries per training set"
    )
    parser.add_argument("--save", type=Path, help="file for all scores")
    args = parser.parse_args()
    workflows.prepare_process()
    saved: dict[str, np.ndarray] = {}
    try:
        for source in folders(common.data_folder() / "leopard", args.tasks):
            record, metrics = measured(source, args.model, args.sets, args.queries)
            print(json.dumps(record), flush=True)
            saved |= {f"{source.name}/{name}": x for name, x in metrics.items()}
    except (ValueError, FileNotFoundError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    if args.save:
        np.savez(args.save, **saved)
    return 0


def folders(leopard: Path, names: Sequence[str]) -> list[Path]:
    """Lists the folders of the named tasks, or of all.

    Raises:
      ValueError: if there is none.
    """
    known = {file.parent.name: file.parent for file in leopard.glob("*/eval.jsonl")}
    if not known or not known.keys() >= {*names}:
        raise ValueError(
            f"{leopard} has the tasks {', '.join(sorted(known)) or 'none'}; name some"
            " of them, and the folder of data sets in METAFLAX_DATA."
        )
    return [known[name] for name in names or sorted(known)]


def measured(
    source: Path, model: str, num_sets: int, num_queries: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns a record of time and compilations, and scores by training set."""
    kind = few_shot.kind_of(source / "train_episodes.jsonl")
    given, shots = data.published_sets(
        source, task=few_shot.task_of(kind), num_queries=num_queries
    )
    kept = [n for n, shot in enumerate(shots) if shots[:n].count(shot) < num_sets]
    given = given._replace(episodes=tuple(given.episodes[n] for n in kept))
    config = config_lib.Config(
        model=config_lib.ModelConfig(name=model),
        data=config_lib.DataConfig(task=kind, max_length=128),
        algorithm=WHOLE,
    )
    wall, cpu, before = time.perf_counter(), time.process_time(), len(COMPILATIONS)
    metrics = common.score_pretrained(config, given).metrics
    compilations = COMPILATIONS[before:]
    record = {
        "task": source.name,
        "sets": len(given.episodes),
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "compiled": len(compilations),
        "compile_seconds": round(sum(compilations), 1),
        **{name: float(np.mean(values)) for name, values in metrics.items()},
    }
    return record, metrics


def note_compilation(event: str, seconds: float, **_: Any) -> None:
    """Notes how long a program took to compile, or to be read from disk."""
    if event.endswith("backend_compile_duration") and seconds > LEAST_SECONDS:
        COMPILATIONS.append(seconds)


if __name__ == "__main__":
    jax.monitoring.register_event_duration_secs_listener(note_compilation)
    sys.exit(main())
