"""SMLMT: meta-training on tasks of masked words from the raw text of Wikipedia.

Command, from all-MiniLM-L6-v2:

    METAFLAX_DATA=DIR python -m metaflax train --config experiments/smlmt/config.py \
        --run-dir runs/smlmt

Comparison with other pretrainings at equal compute, on unseen tasks:
`python experiments/smlmt/run.py`.

Expected: see README.md.
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

DATA = Path(os.environ.get("METAFLAX_DATA", "data"))
TEXT = str(DATA / "unlabelled_sentences" / "sentences.jsonl")

config = Config(
    data=DataConfig(task="smlmt", path=TEXT, max_length=64, word_bands=(12, 40, 200)),
    episodes=EpisodeConfig(
        way=5, shot=5, queries=5, train_way=(2, 10), train_shot=(1, 5), train_queries=4
    ),
    training=TrainingConfig(
        steps=1000,
        tasks_per_step=2,
        learning_rate=1e-4,
        eval_every=250,
        valid_episodes=200,
        patience=None,
    ),
    evaluation=EvaluationConfig(test_episodes=600, batch_episodes=50),
)
