"""Translation from English: meta-train on 19 languages, learn four others from pairs.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/translation/prepare.py
    python -m metaflax train --config experiments/translation/config.py \
        --run-dir runs/translation/run

Expected: see README.md. With the training before it, and baselines:
`METAFLAX_DATA=DIR python experiments/translation/run.py`.
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

TRAIN = ("lit", "nld", "nob", "por", "spa", "srp", "tur", "vie", "lvs")

config = Config(
    model=ModelConfig(name="runs/translation/model"),  # Written by prepare.py.
    data=DataConfig(
        path="runs/translation/pairs.jsonl",  # Written by prepare.py.
        task="translation",
        domain="domain",
        split_by="domain",
        split_names={
            "train": tuple(f"eng-{language}" for language in TRAIN),
            "valid": ("eng-cat", "eng-fin", "eng-ind", "eng-slk"),
            "test": ("eng-dan", "eng-ron", "eng-swe", "eng-ukr"),
        },
        max_length=32,
        max_target_length=32,
    ),
    episodes=EpisodeConfig(shot=16, queries=16),
    algorithm=AlgorithmConfig(
        name="fomaml",
        inner_optimizer="adam",
        inner_learning_rate=5e-4,
        learned_rates="tensor",
        num_steps=10,
        label_smoothing=0.1,
    ),
    training=TrainingConfig(
        steps=200,
        tasks_per_step=2,
        learning_rate=1e-4,
        hyper_learning_rate=5e-5,
        schedule="cosine",
        eval_every=50,
        valid_episodes=40,
        patience=None,
    ),
    # Each test language has fifty support sets.
    evaluation=EvaluationConfig(test_episodes=200, batch_episodes=10),
)
