"""Sentences of an article: meta-train on articles, learn others from eight sentences.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/language_modelling/prepare.py
    python -m metaflax train --config experiments/language_modelling/config.py \
        --run-dir runs/language_modelling/run

Expected: see README.md. With the training before it, and baselines:
`METAFLAX_DATA=DIR python experiments/language_modelling/run.py`.
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
    model=ModelConfig(name="runs/language_modelling/model"),  # Written by prepare.py.
    data=DataConfig(
        path="runs/language_modelling/sentences.jsonl",  # Written by prepare.py.
        task="language_modelling",
        domain="domain",
        split_by="domain",
        split_file="runs/language_modelling/splits.json",
        max_length=16,
        max_target_length=48,
    ),
    episodes=EpisodeConfig(shot=8, queries=8),
    algorithm=AlgorithmConfig(
        name="fomaml",
        inner_optimizer="adam",
        inner_learning_rate=2e-4,
        learned_rates="tensor",
        num_steps=10,
    ),
    training=TrainingConfig(
        steps=200,
        tasks_per_step=2,
        learning_rate=1e-4,
        hyper_learning_rate=2e-5,
        schedule="cosine",
        eval_every=50,
        valid_episodes=50,
        patience=None,
    ),
    # Each test article has fifty support sets.
    evaluation=EvaluationConfig(test_episodes=400, batch_episodes=20),
)
