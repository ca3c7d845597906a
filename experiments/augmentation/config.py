"""Few labelled intents of CLINC150, with and without variants by a masked model.

Command, without variants and on all labelled texts of the classes:

    METAFLAX_DATA=DIR python -m metaflax train \
        --config experiments/augmentation/config.py --run-dir runs/augmentation-plain

Three and ten labelled texts a class, with variants beside without:
`python experiments/augmentation/run.py`, about 20 minutes on one core.

Expected accuracy (%) at one shot: 95.8 without variants and 95.3 with them on
three texts, 96.5 and 96.3 on ten; see README.md.
"""

import os
from pathlib import Path

from metaflax.config import (
    Config,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    LoopConfig,
    NetworkConfig,
    PretrainConfig,
    RawTextConfig,
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
    # As in experiments/intents: wide episodes, one support text a class.
    episodes=EpisodeConfig(
        way=5, shot=1, queries=5, train_way=40, train_shot=1, train_queries=2
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
    ),
    evaluation=EvaluationConfig(test_episodes=600, batch_episodes=50),
)

# The model that replaces words: all-MiniLM-L6-v2 with a new output layer.
pretraining = PretrainConfig(
    network=NetworkConfig(model="minilm"),
    text=RawTextConfig(length=64),
    training=LoopConfig(
        steps=240,
        rows_per_step=16,
        learning_rate=1e-3,
        eval_every=80,
        valid_rows=64,
    ),
)
