"""Grades of students' answers: meta-train on seven modules, test on two others.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python -m metaflax train --config experiments/education/config.py

and `experiments/education/run.py` for baselines too.

Expected: see README.md.
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

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "education"

config = Config(
    data=DataConfig(
        path=str(DATA / "examples.jsonl"),
        task="pair_classification",
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("beetle_FaultFinding", "beetle_SwitchesBulbsParallel"),
                *("scients_EM", "scients_LF", "scients_LP", "scients_MX"),
                "scients_SE",
            ),
            "valid": ("scients_PS", "scients_VB"),
            "test": ("beetle_SwitchesBulbsSeries", "scients_ME"),
        },
        max_length=48,
    ),
    model=ModelConfig(pair_encoding="two_towers"),
    episodes=EpisodeConfig(way=3, shot=4, queries=10, train_shot=4, train_queries=4),
    algorithm=AlgorithmConfig(name="protonet"),
    training=TrainingConfig(
        steps=80,
        tasks_per_step=1,
        learning_rate=1e-4,
        schedule="cosine",
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=40,
        valid_episodes=100,
        patience=None,
        interpolate=(1.0, 0.75, 0.5),
    ),
    evaluation=EvaluationConfig(test_episodes=100, batch_episodes=20),
)
