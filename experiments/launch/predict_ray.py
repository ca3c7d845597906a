"""Predicts the texts of JSONL files on the machines of a Ray cluster.

    python experiments/launch/predict_ray.py my_model texts.jsonl labels 8

Files and model are paths that all machines see, or URLs such as s3://... for the files.
Without a cluster Ray starts on this machine. There are at most so many workers, each of
which takes one core and, if there are any, one GPU.
"""

import sys
from typing import Any

import numpy as np
import ray


class Labeller:
    """A model, loaded once in each worker."""

    def __init__(self, model: str):
        import metaflax

        self.predictor = metaflax.load(model)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Adds the label of each text, and its probability."""
        rows = self.predictor([str(text) for text in batch["text"]])
        probabilities = [max(row["probabilities"].values()) for row in rows]
        return {
            **batch,
            "predicted": np.array([row["label"] for row in rows]),
            "probability": np.array(probabilities),
        }


def main(model: str, texts: str, out: str, num_workers: str) -> None:
    ray.init(ignore_reinit_error=True)
    rows = ray.data.read_json(texts).map_batches(
        Labeller,
        fn_constructor_args=(model,),
        batch_size=1000,
        # One at first: reading the files needs a core too.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=int(num_workers)),
        num_gpus=int("GPU" in ray.cluster_resources()),
    )
    rows.write_json(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
