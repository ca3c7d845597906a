"""One encoder for LEOPARD's tasks, from labelled and raw text of other domains.

Command, from all-MiniLM-L6-v2:

    METAFLAX_DATA=DIR python experiments/leopard/prepare.py
    METAFLAX_DATA=DIR python -m metaflax mix --config experiments/leopard/mixture.py \
        --run-dir runs/leopard/mixture
    python experiments/leopard/run.py DIR/leopard/* --model runs/leopard/mixture/model

Expected: see README.md.
"""

import os
from pathlib import Path

from metaflax.config import (
    AlgorithmConfig,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    MixtureConfig,
    ShareConfig,
    TaskMember,
    TrainingConfig,
)

DATA = Path(os.environ.get("METAFLAX_DATA", "data"))
PREPARED = Path("runs/leopard/data")
PROTOTYPES = AlgorithmConfig(name="protonet")

# Is a product good or bad?
products = TaskMember(
    data=DataConfig(
        path=str(PREPARED / "products.jsonl"),
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("apparel", "automotive", "baby", "beauty", "camera_photo"),
                *("cell_phones_service", "computer_video_games", "gourmet_food"),
                *("grocery", "health_personal_care", "jewelry_watches", "music"),
                *("office_products", "outdoor_living", "software", "sports_outdoors"),
            ),
            "valid": ("magazines",),
            "test": ("toys_games",),
        },
    ),
    episodes=EpisodeConfig(
        way=2, shot=8, queries=8, train_shot=(2, 6), train_queries=5
    ),
    algorithm=PROTOTYPES,
    share=ShareConfig(weight=2),
)

# How good or bad is it?
levels = TaskMember(
    data=DataConfig(
        path=str(PREPARED / "levels.jsonl"),
        domain="domain",
        split_by="domain",
        split_names={
            "train": ("tweets", "films"),
            "valid": ("editorials",),
            "test": ("products",),
        },
        max_length=64,
    ),
    episodes=EpisodeConfig(
        way=3, shot=8, queries=8, train_way=(2, 4), train_shot=(2, 8), train_queries=6
    ),
    algorithm=PROTOTYPES,
    share=ShareConfig(weight=2),
)

# Does the first text say the second?
entailment = TaskMember(
    data=DataConfig(
        path=str(PREPARED / "entailment.jsonl"),
        task="pair_classification",
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("anli_r1", "anli_r2", "anli_r3", "breaking_nli", "conjnli_auto"),
                *("conjnli_dev", "dnc_negation", "med_crowd_down", "med_crowd_up"),
                *("med_paper", "mnli_facetoface", "mnli_fiction", "mnli_government"),
                *("mnli_letters", "mnli_oup", "mnli_slate", "mnli_verbatim", "sick"),
            ),
            "valid": ("mnli_nineeleven", "rte"),
            "test": ("mnli_telephone", "mnli_travel"),
        },
    ),
    episodes=EpisodeConfig(way=2, shot=8, queries=8, train_shot=(4, 8)),
    algorithm=PROTOTYPES,
    pair_encoding="two_towers",
    share=ShareConfig(weight=2),
)

# Is a student's answer that of the teacher?
answers = TaskMember(
    data=DataConfig(
        path=str(PREPARED / "answers.jsonl"),
        task="pair_classification",
        domain="domain",
        split_by="domain",
        split_names={
            "train": (
                *("beetle_FaultFinding", "beetle_SwitchesBulbsParallel"),
                *("scients_LF", "scients_LP", "scients_ME", "scients_MX"),
                *("scients_PS", "scients_VB"),
            ),
            "valid": ("beetle_SwitchesBulbsSeries",),
            "test": ("scients_SE",),
        },
    ),
    episodes=EpisodeConfig(way=2, shot=8, queries=4, train_shot=(2, 6)),
    algorithm=PROTOTYPES,
    pair_encoding="two_towers",
    share=ShareConfig(weight=1),
)

# What is a part of a sentence called?
types = TaskMember(
    data=DataConfig(
        path=str(PREPARED / "types.jsonl"),
        task="pair_classification",
        domain="domain",
        split_by="domain",
        split_names={
            "train": ("anem", "bionlp13cg", "gum", "re3d"),
            "valid": ("wikigold",),
            "test": ("fin",),
        },
        max_length=96,
        rare_classes="drop",
    ),
    episodes=EpisodeConfig(
        way=3, shot=8, queries=8, train_way=(3, 6), train_shot=(2, 5), train_queries=4
    ),
    algorithm=PROTOTYPES,
    pair_encoding="phrase",
    share=ShareConfig(weight=1),
)

# How much do two sentences say the same?
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
    pair_encoding="two_towers",
    share=ShareConfig(weight=1),
)

# What does somebody want?
intents = TaskMember(
    data=DataConfig(
        path=str(DATA / "clinc150" / "examples.jsonl"),
        split_file=str(DATA / "clinc150" / "folds.json"),
        fold="01",
        max_length=48,
    ),
    episodes=EpisodeConfig(way=5, shot=1, queries=5, train_way=20, train_queries=2),
    algorithm=PROTOTYPES,
    share=ShareConfig(weight=1),
)

# Which of a few words was masked?
words = TaskMember(
    data=DataConfig(
        task="smlmt",
        path=str(DATA / "unlabelled_sentences" / "sentences.jsonl"),
        max_length=64,
        word_bands=(12, 40, 200),
    ),
    episodes=EpisodeConfig(
        way=5, shot=1, queries=5, train_way=(2, 8), train_shot=(1, 3), train_queries=2
    ),
    algorithm=PROTOTYPES,
    share=ShareConfig(weight=2),
)

config = MixtureConfig(
    members={
        "products": products,
        "levels": levels,
        "entailment": entailment,
        "answers": answers,
        "types": types,
        "likeness": likeness,
        "intents": intents,
        "words": words,
    },
    training=TrainingConfig(
        steps=200,
        tasks_per_step=1,
        learning_rate=1e-4,
        head_learning_rate=1e-3,
        trains=("*", "!encoder/embeddings"),
        dropout=False,
        eval_every=100,
        valid_episodes=25,
        patience=None,
    ),
    evaluation=EvaluationConfig(test_episodes=100, batch_episodes=20),
)
