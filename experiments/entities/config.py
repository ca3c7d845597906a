"""Few-shot entities: meta-train on slots of dialogues, test on WNUT's posts and types.

Command (see README.md for what it takes):

    METAFLAX_DATA=DIR python experiments/entities/prepare.py
    METAFLAX_DATA=DIR python -m metaflax train --config experiments/entities/config.py \
        --run-dir runs/entities/slots

Expected: see README.md. With baselines, and types of WNUT alone:
`python experiments/entities/run.py`.
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
    model=ModelConfig(pooling="tokens"),
    data=DataConfig(
        path="runs/entities/all.jsonl",  # Written by prepare.py.
        task="entities",
        domain="domain",
        split_by="domain",
        split_names={
            "train": ("Buses_1", "Homes_1", "RentalCars_1"),
            "valid": ("Events_1",),
            "test": ("wnut-test",),
        },
        max_length=96,
    ),
    episodes=EpisodeConfig(
        way=4, shot=5, queries=5, train_way=2, train_shot=1, train_queries=5
    ),
    algorithm=AlgorithmConfig(name="protonet"),
    training=TrainingConfig(
        steps=100,
        tasks_per_step=2,
        learning_rate=1e-4,
        schedule="cosine",
        dropout=False,
        eval_every=25,
        valid_episodes=50,
        patience=None,
        interpolate=(1.0, 0.75, 0.5),
    ),
    evaluation=EvaluationConfig(test_episodes=200, batch_episodes=10),
)
