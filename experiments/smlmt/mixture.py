"""Mixture of six members, from raw text and supervised, for one encoder.

Command, from all-MiniLM-L6-v2:

    METAFLAX_DATA=DIR python -m metaflax mix --config experiments/smlmt/mixture.py \
        --run-dir runs/mixture

Expected: README.md has what its members bring, in pretrainings at equal compute
(run.py); all six in one run, as here, have been trained for a few steps only.
"""

import os
from pathlib import Path

from metaflax.config import (
    AlgorithmConfig,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    MixtureConfig,
    RawTextConfig,
    ShareConfig,
    TaskMember,
    TextMember,
    TrainingConfig,
)

DATA = Path(os.environ.get("METAFLAX_DATA", "data"))
RAW = str(DATA / "unlabelled_sentences" / "sentences.jsonl")

# SMLMT: which of a few words was masked?
words = TaskMember(
    data=DataConfig(task="smlmt", path=RAW, max_length=64, word_bands=(12, 40, 200)),
    episodes=EpisodeConfig(
        way=5, shot=1, queries=5, train_way=(2, 8), train_shot=(1, 3), train_queries=2
    ),
    algorithm=AlgorithmConfig(name="protonet"),
)

# MLM: which of all words was masked? It ends at half of the run, as pretraining does.
masked = TextMember(
    text=RawTextConfig(text=RAW, length=64),
    rows_per_step=16,
    share=ShareConfig(loss_weight=0.2, ends=0.5),
)

# Intent classification.
intents = TaskMember(
    data=DataConfig(
        path=str(DATA / "clinc150" / "examples.jsonl"),
        split_file=str(DATA / "clinc150" / "folds.json"),
        fold="01",
        max_length=48,
    ),
    episodes=EpisodeConfig(way=5, shot=1, queries=5, train_way=20, train_queries=2),
    algorithm=AlgorithmConfig(name="protonet"),
    valid_episodes=300,
)

# Relation classification.
relations = TaskMember(
    data=DataConfig(
        path=str(DATA / "fewrel" / "*.jsonl"),
        task="relations",
        split_file=str(DATA / "fewrel" / "splits.json"),
        max_length=96,
    ),
    episodes=EpisodeConfig(way=5, shot=1, queries=5, train_way=8, train_queries=2),
    algorithm=AlgorithmConfig(name="protonet"),
    pooling="entities",
)

# Semantic similarity of two sentences.
likeness = TaskMember(
    data=DataConfig(
        path=str(DATA / "stsb" / "*.jsonl"),
        task="regression",
        label="score",
        domain="source",
        split_by="domain",
        split_names={
            "train": ("MSRvid", "headlines", "MSRpar", "deft-news"),
            "valid": ("images", "deft-forum"),
            "test": ("answers-forums", "answer-answer", "track5.en-en"),
        },
        max_length=96,
    ),
    episodes=EpisodeConfig(shot=16, queries=32),
    algorithm=AlgorithmConfig(name="ridge"),
)

# Sentiment of tweets and films.
sentiment = TaskMember(
    data=DataConfig(
        path="scored-texts",
        split_by="domain",
        split_names={
            "train": ("tweets", "films"),
            "valid": ("editorials",),
            "test": ("products",),
        },
        max_length=64,
    ),
    episodes=EpisodeConfig(way=2, shot=5, queries=10, train_queries=5),
    algorithm=AlgorithmConfig(name="protonet"),
)

config = MixtureConfig(
    members={
        "words": words,
        "masked": masked,
        "intents": intents,
        "relations": relations,
        "likeness": likeness,
        "sentiment": sentiment,
    },
    # Small data sets are sampled more often than in proportion to their size.
    temperature=2.0,
    training=TrainingConfig(
        steps=1000,
        tasks_per_step=1,
        learning_rate=1e-4,
        head_learning_rate=1e-3,
        trains=("*", "!encoder/embeddings"),
        eval_every=250,
        valid_episodes=40,
        patience=None,
    ),
    evaluation=EvaluationConfig(test_episodes=100, batch_episodes=20),
)
