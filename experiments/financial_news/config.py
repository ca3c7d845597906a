"""Sentiment of financial news: meta-train on tweets, films, editorials and products.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/financial_news/prepare.py
    METAFLAX_DATA=DIR python -m metaflax train \
        --config experiments/financial_news/config.py --run-dir runs/financial_news/run

Expected: see README.md. With baselines, topics and stream monitoring:
`python experiments/financial_news/run.py`.
"""

from metaflax.config import (
    AlgorithmConfig,
    Config,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    TrainingConfig,
)

config = Config(
    data=DataConfig(
        path="runs/financial_news/sentences.jsonl",  # Written by prepare.py.
        domain="domain",
        split_by="domain",
        split_names={
            "train": ("tweets", "films", "editorials", "products"),
            "valid": ("news-valid",),
            "test": ("news-test",),
        },
        max_length=48,
    ),
    episodes=EpisodeConfig(
        way=3, shot=8, queries=10, train_way=3, train_shot=8, train_queries=8
    ),
    algorithm=AlgorithmConfig(name="protonet"),
    training=TrainingConfig(
        steps=40,
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
    evaluation=EvaluationConfig(test_episodes=100, batch_episodes=50),
)
