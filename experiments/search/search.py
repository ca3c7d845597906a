"""Hyperparameter search of first-order MAML on intents, by validation classes.

    METAFLAX_DATA=DIR python -m metaflax search --config experiments/search/search.py \
        --run-dir runs/search

See README.md for what comes out.
"""

import os
from pathlib import Path

from metaflax.config import (
    AlgorithmConfig,
    Choice,
    Config,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Integers,
    LogUniform,
    SearchConfig,
    TrainingConfig,
)

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "clinc150"

config = SearchConfig(
    base=Config(
        data=DataConfig(
            path=str(DATA / "examples.jsonl"),
            split_file=str(DATA / "folds.json"),
            fold="01",
            max_length=48,
        ),
        episodes=EpisodeConfig(way=5, shot=1, queries=5, train_shot=(1, 5)),
        algorithm=AlgorithmConfig("fomaml"),
        training=TrainingConfig(
            steps=12,
            tasks_per_step=2,
            schedule="cosine",
            trains=("*", "!encoder/embeddings"),
            dropout=False,
            eval_every=6,
            valid_episodes=60,
        ),
        evaluation=EvaluationConfig(test_episodes=200, batch_episodes=20),
    ),
    space={
        "algorithm.head": Choice(("linear", "zeros", "prototypes")),
        "algorithm.adapts": Choice((("head",), ("encoder/layer_5", "head"))),
        "algorithm.inner_learning_rate": LogUniform(1e-3, 1.0),
        "algorithm.num_steps": Integers(1, 5),
        "training.learning_rate": LogUniform(1e-5, 3e-4),
        "training.weight_decay": LogUniform(1e-3, 0.3),
    },
    trials=12,
)
