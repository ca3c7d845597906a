"""Rejection of texts out of scope: frozen all-MiniLM-L6-v2 with class means.

Command (CLINC150 takes a few minutes on 2 idle cores):

    METAFLAX_DATA=DIR python experiments/rejection/run.py --runs runs/rejection

Expected: see README.md. `run.py` sets the data and the split.
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
    data=DataConfig(max_length=64),
    algorithm=AlgorithmConfig(name="frozen"),
    episodes=EpisodeConfig(way=5, shot=5, queries=5),
    training=TrainingConfig(valid_episodes=200),
    evaluation=EvaluationConfig(test_episodes=200, batch_episodes=50),
)
