"""Pairs of texts: meta-train on likeness and answerability, test on entailment.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/pairs/prepare.py
    METAFLAX_DATA=DIR python -m metaflax train --config experiments/pairs/config.py \
        --run-dir runs/pairs/run

Expected: see README.md. Training, baselines and LEOPARD's published training sets:
`python experiments/pairs/run.py`.
"""

from metaflax.config import (
    AlgorithmConfig,
    Config,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    ModelConfig,
    TrainingConfig,
)

config = Config(
    # The relation of two texts is best represented by separate vectors of each.
    model=ModelConfig(pair_encoding="two_towers"),
    data=DataConfig(
        path="runs/pairs/pairs.jsonl",  # Written by prepare.py.
        task="pair_classification",
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("stsb/MSRvid", "stsb/headlines", "stsb/images"),
                *("stsb/deft-news", "stsb/answer-answer", "stsb/track5.en-en"),
                *("subjqa/electronics", "subjqa/grocery", "subjqa/restaurants"),
            ),
            "valid": (
                *("stsb/MSRpar", "stsb/deft-forum"),
                "subjqa/books",
            ),
            "test": ("scitail",),
        },
        max_length=80,
    ),
    episodes=EpisodeConfig(way=2, shot=4, queries=8),
    algorithm=AlgorithmConfig(name="protonet"),
    training=TrainingConfig(
        steps=80,
        tasks_per_step=2,
        learning_rate=1e-4,
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
