"""Rejection of texts out of scope: frozen all-MiniLM-L6-v2 with class means.

Command (CLINC150 takes a few minutes on 2 idle cores):

    METAFLAX_DATA=DIR python experiments/rejection/run.py --runs runs/rejection

Expected: see README.md. `run.py` sets data and split. `python -m metaflax predict
--reject 0.05` applies such thresholds to a model adapted from a run.
"""

import os
from pathlib import Path

from metaflax.config import (
    AlgorithmConfig,
    Config,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    TrainingConfig,
)

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "clinc150"

config = Config(
    data=DataConfig(
        path=str(DATA / "examples.jsonl"),
        split_file=str(DATA / "folds.json"),
        fold="01",
        max_length=64,
    ),
    algorithm=AlgorithmConfig(name="frozen"),
    episodes=EpisodeConfig(way=5, shot=5, queries=5),
    training=TrainingConfig(valid_episodes=200),
    evaluation=EvaluationConfig(test_episodes=200, batch_episodes=50),
)
