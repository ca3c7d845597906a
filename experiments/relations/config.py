"""Few-shot relations of FewRel: meta-train on 16 relations, test on 10 others.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python -m metaflax train \
        --config experiments/relations/config.py --run-dir runs/relations/run

Expected: see README.md. With baselines, and queries of none of the relations:
`python experiments/relations/run.py`.
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

DATA = Path(os.environ.get("METAFLAX_DATA", "data")) / "fewrel"

config = Config(
    # Means over both entities, the words between them and the text, and entity names.
    model=ModelConfig(pooling="mean", pair_encoding="phrase"),
    data=DataConfig(
        path=str(DATA / "*.jsonl"),
        task="relations",
        split_file=str(DATA / "splits.json"),
        max_length=112,  # 96 plus two entity names, with a median of 4 tokens.
    ),
    episodes=EpisodeConfig(
        way=5, shot=1, queries=5, train_way=12, train_shot=1, train_queries=2
    ),
    algorithm=AlgorithmConfig(name="protonet"),
    training=TrainingConfig(
        steps=80,
        tasks_per_step=1,
        learning_rate=1e-4,
        schedule="cosine",
        dropout=False,
        eval_every=40,
        valid_episodes=600,
        patience=None,
        interpolate=(1.0, 0.75, 0.5),
    ),
    evaluation=EvaluationConfig(test_episodes=600, batch_episodes=50),
)
