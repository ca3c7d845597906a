"""Film genres from titles alone: several labels a text, genres never seen before.

Command (about two minutes on 2 cores):

    METAFLAX_DATA=DIR python -m metaflax train --config experiments/genres/config.py \
        --run-dir runs/genres

Expected: see README.md. A title says little about a genre, so do not expect much.
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

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "movielens_small"

config = Config(
    data=DataConfig(
        path=str(DATA / "items.jsonl"),
        task="multilabel_classification",
        label="genres",
        unlabelled="drop",
        split_names={
            "train": (
                *("Comedy", "Crime", "Documentary", "Drama", "Film-Noir", "Horror"),
                *("Mystery", "Romance", "Thriller"),
            ),
            "valid": ("Animation", "Children", "Musical"),
            "test": ("Action", "Adventure", "Sci-Fi", "War", "Western"),
        },
        max_length=32,
    ),
    episodes=EpisodeConfig(way=3, shot=10, queries=10),
    # Rare labels count as much as common ones.
    algorithm=AlgorithmConfig(class_weights="balanced"),
    training=TrainingConfig(
        steps=60,
        tasks_per_step=2,
        learning_rate=5e-5,
        schedule="cosine",
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=20,
        valid_episodes=200,
        patience=None,
        interpolate=(1.0, 0.75, 0.5, 0.25),
    ),
    evaluation=EvaluationConfig(test_episodes=600, batch_episodes=50),
)
