"""Recommendation from a handful of ratings; a user is a task.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/recommendation/run.py

Its settings are below; `python -m metaflax train` does not support ratings of users.
Expected: see README.md.
"""

import os
from pathlib import Path

from metaflax.config import (
    AlgorithmConfig,
    Config,
    DataConfig,
    EpisodeConfig,
    TrainingConfig,
)

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "movielens_small"

config = Config(
    data=DataConfig(path=str(DATA / "users.jsonl"), task="regression", max_length=48),
    # At most 20 support ratings, and in meta-training 128 query ratings.
    episodes=EpisodeConfig(shot=(5, 20), queries=128),
    algorithm=AlgorithmConfig(name="ridge"),
    training=TrainingConfig(
        steps=500,
        tasks_per_step=16,
        task_loop="vmap",
        schedule="cosine",
        warmup=0.0,
        clip_norm=None,
        dropout=False,
    ),
)
