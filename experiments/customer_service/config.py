"""Few-shot intents of a new customer: meta-train on intents of other customers.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python -m metaflax train \
        --config experiments/customer_service/config.py \
        --run-dir runs/customer_service/intents

Expected: see README.md. With questions out of scope, replies and latency:
`python experiments/customer_service/run.py`.
"""

import os
from pathlib import Path

from metaflax.config import (
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
        max_length=48,
    ),
    # A customer has twenty intents; meta-training as in experiments/intents.
    episodes=EpisodeConfig(
        way=20, shot=5, queries=10, train_way=40, train_shot=1, train_queries=2
    ),
    training=TrainingConfig(
        steps=60,
        tasks_per_step=1,
        learning_rate=1e-4,
        schedule="cosine",
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=20,
        valid_episodes=100,
        patience=None,
        interpolate=(1.0, 0.85, 0.7, 0.5),
    ),
    evaluation=EvaluationConfig(test_episodes=100, batch_episodes=50),
)
