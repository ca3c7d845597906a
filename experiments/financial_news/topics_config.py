"""Topics of financial news: meta-train on words masked in sentences without labels.

Command (see README.md for what it takes), after `run.py`, which writes the sentences:

    METAFLAX_DATA=DIR python experiments/financial_news/run.py
    python -m metaflax train --config experiments/financial_news/topics_config.py \
        --run-dir runs/financial_news/topics

Expected: see README.md.
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
        path="runs/financial_news/topics.jsonl",  # Written by run.py.
        domain="domain",
        split_by="domain",
        split_names={
            "train": ("words",),
            "valid": ("topics-valid",),
            "test": ("topics-test",),
        },
        max_length=48,
    ),
    episodes=EpisodeConfig(
        way=8, shot=8, queries=5, train_way=8, train_shot=5, train_queries=3
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
        interpolate=(1.0, 0.75, 0.5, 0.25),
    ),
    evaluation=EvaluationConfig(test_episodes=50, batch_episodes=50),
)
