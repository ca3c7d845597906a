"""Predicts the texts of a JSONL or Parquet file in several processes of one machine.

python experiments/launch/predict_datasets.py my_model texts.jsonl labels.jsonl 4
"""

import functools
import os
import sys
from pathlib import Path
from typing import Any

import datasets


@functools.cache
def predictor(model: str, rank: int, num_processes: int) -> Any:
    """Loads the model, once in each process, on its share of the processor's cores."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[rank::num_processes] or cores)
    import metaflax  # Imported here, not before the processes are forked.

    return metaflax.load(model)


def label(
    batch: dict[str, list[Any]], rank: int | None, model: str, num_processes: int
) -> dict[str, list[Any]]:
    rows = predictor(model, rank or 0, num_processes)(batch["text"])
    return {
        "predicted": [row["label"] for row in rows],
        "probability": [max(row["probabilities"].values()) for row in rows],
    }


def main(model: str, texts: str, out: str, num_processes: str) -> None:
    kind = "parquet" if texts.endswith(".parquet") else "json"
    rows = datasets.load_dataset(kind, data_files=texts, split="train")
    rows = rows.map(
        label,
        batched=True,
        with_rank=True,
        num_proc=int(num_processes) if num_processes != "1" else None,
        fn_kwargs={
            "model": str(Path(model).absolute()),
            "num_processes": int(num_processes),
        },
    )
    rows.to_json(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
