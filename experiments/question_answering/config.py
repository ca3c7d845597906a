"""Answers in a context: meta-train on reviews and encyclopedia, test on other reviews.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/question_answering/prepare.py
    METAFLAX_DATA=DIR python -m metaflax train \
        --config experiments/question_answering/config.py \
        --run-dir runs/question_answering/run

Expected: see README.md. With baselines, and questions in German and Spanish:
`python experiments/question_answering/run.py`.
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
    model=ModelConfig(pooling="tokens", standardize=False),
    data=DataConfig(
        path="runs/question_answering/questions.jsonl",  # Written by prepare.py.
        task="question_answering",
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("subjqa/electronics", "subjqa/grocery"),
                *("xquad/en/0", "xquad/en/1"),
            ),
            "valid": ("subjqa/books",),
            "test": ("subjqa/restaurants",),
        },
        max_length=224,
    ),
    episodes=EpisodeConfig(shot=8, queries=8),
    algorithm=AlgorithmConfig(name="anil", inner_learning_rate=0.01, num_steps=5),
    training=TrainingConfig(
        steps=100,
        tasks_per_step=2,
        learning_rate=1e-4,
        head_learning_rate=1e-3,
        schedule="cosine",
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=25,
        valid_episodes=50,
        patience=None,
    ),
    evaluation=EvaluationConfig(test_episodes=200, batch_episodes=10),
)
