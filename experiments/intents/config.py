"""Few-shot intents of CLINC150: meta-train on 50 classes, test on 50 others.

Command, one fold (about four minutes on 2 cores):

    METAFLAX_DATA=DIR python -m metaflax train --config experiments/intents/config.py \
        --fold 01 --run-dir runs/intents-01

Expected on fold 01, 5-way 1-shot: see README.md. All folds, at 1 and 5 shots:
`python experiments/intents/run.py`.
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
    episodes=EpisodeConfig(
        way=5,
        shot=1,
        queries=5,
        # Texts of an episode with many classes give more training signal than those
        # of a 5-way episode; training with one support text a class serves five too.
        train_way=40,
        train_shot=1,
        train_queries=2,
    ),
    training=TrainingConfig(
        steps=80,
        tasks_per_step=1,
        learning_rate=1e-4,
        schedule="cosine",
        # The word embeddings of words that meta-training never sees stay comparable.
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=20,
        valid_episodes=600,
        patience=None,
        # Selected on the validation classes of each fold.
        interpolate=(1.0, 0.85, 0.7, 0.5),
    ),
    evaluation=EvaluationConfig(test_episodes=600, batch_episodes=50),
)
