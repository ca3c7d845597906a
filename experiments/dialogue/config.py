"""Dialogue responses: meta-train on some domains, adapt to others from eight examples.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/dialogue/prepare.py
    python -m metaflax train --config experiments/dialogue/config.py \
        --run-dir runs/dialogue/run

Expected: see README.md. With the training before it, and baselines:
`METAFLAX_DATA=DIR python experiments/dialogue/run.py`.
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
    model=ModelConfig(name="runs/dialogue/model"),  # Written by prepare.py.
    data=DataConfig(
        path="runs/dialogue/answers.jsonl",  # Written by prepare.py.
        task="dialogue",
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("sgd/Hotels", "sgd/Media", "sgd/Movies", "sgd/RentalCars"),
                *("sgd/Services", "chatterbot/trivia", "chatterbot/coding"),
                *("chatterbot/emotion", "chatterbot/movies", "chatterbot/sports"),
            ),
            "valid": ("sgd/Payment", "sgd/Travel", "chatterbot/literature"),
            "test": (
                *("sgd/RideSharing", "sgd/Trains"),
                *("chatterbot/ai", "chatterbot/psychology"),
            ),
        },
        max_length=72,
        max_target_length=40,
    ),
    episodes=EpisodeConfig(shot=8, queries=8),
    algorithm=AlgorithmConfig(
        name="fomaml",
        inner_optimizer="adam",
        inner_learning_rate=3e-4,
        learned_rates="tensor",
        num_steps=5,
        label_smoothing=0.1,
    ),
    training=TrainingConfig(
        steps=250,
        tasks_per_step=2,
        learning_rate=2e-4,
        hyper_learning_rate=3e-5,
        schedule="cosine",
        eval_every=50,
        valid_episodes=30,
        patience=None,
    ),
    # Each test domain has fifty support sets.
    evaluation=EvaluationConfig(test_episodes=200, batch_episodes=10),
)
