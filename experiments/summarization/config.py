"""Summaries: meta-train on some topics and genres, learn others from four texts.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/summarization/prepare.py
    python -m metaflax train --config experiments/summarization/config.py \
        --run-dir runs/summarization/run

Expected: see README.md. With the training before it, and baselines:
`METAFLAX_DATA=DIR python experiments/summarization/run.py`.
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

# The decoder without word embeddings.
DECODER = ("encoder/decoder", "!encoder/decoder/embeddings")

config = Config(
    model=ModelConfig(name="runs/summarization/model"),  # Written by prepare.py.
    data=DataConfig(
        path="runs/summarization/texts.jsonl",  # Written by prepare.py.
        task="summarization",
        domain="domain",
        split_by="domain",
        # No paper, dialogue or review is in two splits, whatever its target.
        split_names={
            "train": (
                *(f"scitldr/{topic}" for topic in (0, 1, 2, 4, 7)),
                *("dialogsum/0", "dialogsum/1"),
                *("reviews/electronics", "reviews/restaurants"),
            ),
            "valid": ("scitldr/5", "dialogsum/2", "articles/3"),
            "test": (
                *("scitldr/3", "scitldr/6"),
                *("dialogsum/3", "reviews/books"),
            ),
        },
        max_length=128,
        max_target_length=32,
    ),
    episodes=EpisodeConfig(shot=4, queries=4),
    algorithm=AlgorithmConfig(
        name="fomaml",
        adapts=DECODER,
        inner_optimizer="adam",
        inner_learning_rate=5e-4,
        learned_rates="tensor",
        num_steps=5,
        label_smoothing=0.1,
    ),
    training=TrainingConfig(
        steps=150,
        tasks_per_step=2,
        learning_rate=3e-4,
        hyper_learning_rate=5e-5,
        schedule="cosine",
        trains=("encoder/decoder",),
        eval_every=50,
        valid_episodes=18,
        patience=None,
    ),
    # Each test topic has fifty support sets.
    evaluation=EvaluationConfig(
        test_episodes=200, batch_episodes=10, repetition_penalty=1.3
    ),
)
