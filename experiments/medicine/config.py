"""Medical texts: meta-train on abstracts and five sites, test on two other sources.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python -m metaflax train --config experiments/medicine/config.py \
        --run-dir runs/medicine/run

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
    TrainingConfig,
)

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "medical"

config = Config(
    data=DataConfig(
        path=str(DATA / "*.jsonl"),
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("abstracts", "nih_cancergov", "nih_gard", "nih_ghr"),
                *("nih_nhlbi", "nih_ninds"),
            ),
            "valid": ("nih_cdc", "nih_niddk"),
            "test": ("nih_seniorhealth", "symptoms"),
        },
        max_length=64,
    ),
    episodes=EpisodeConfig(
        way=5, shot=2, queries=4, train_way=4, train_shot=1, train_queries=8
    ),
    algorithm=AlgorithmConfig(name="protonet"),
    training=TrainingConfig(
        steps=160,
        tasks_per_step=1,
        learning_rate=1e-4,
        schedule="cosine",
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=40,
        valid_episodes=100,
        patience=None,
        interpolate=(1.0, 0.75, 0.5, 0.25),
    ),
    evaluation=EvaluationConfig(test_episodes=100, batch_episodes=20),
)
