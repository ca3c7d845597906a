"""Likeness of two sentences, a number from 0 to 5; a source of sentences is a task.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python -m metaflax train --config experiments/likeness/config.py \
        --run-dir runs/likeness/run

Expected: see README.md. With baselines: `python experiments/likeness/run.py`.
"""

import os
from pathlib import Path

from metaflax.config import (
    AlgorithmConfig,
    Config,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    ModelConfig,
    TrainingConfig,
)

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "stsb"

config = Config(
    model=ModelConfig(pair_encoding="two_towers"),
    data=DataConfig(
        path=str(DATA / "*.jsonl"),
        task="regression",
        label="score",
        domain="source",
        split_by="domain",
        split_names={
            "train": ("MSRvid", "headlines", "MSRpar", "deft-news"),
            "valid": ("images", "deft-forum"),
            "test": ("answers-forums", "answer-answer", "track5.en-en"),
        },
        max_length=96,
    ),
    episodes=EpisodeConfig(shot=16, queries=32),
    algorithm=AlgorithmConfig(name="ridge"),
    training=TrainingConfig(
        steps=80,
        tasks_per_step=1,
        learning_rate=1e-4,
        head_learning_rate=1e-2,
        schedule="cosine",
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=20,
        valid_episodes=100,
        patience=None,
        interpolate=(1.0, 0.75, 0.5),
    ),
    evaluation=EvaluationConfig(test_episodes=200, batch_episodes=50),
)
