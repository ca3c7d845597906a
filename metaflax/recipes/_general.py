"""A sentence encoder for few-shot tasks of many kinds."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaflax import config as config_lib
from metaflax.config import AlgorithmConfig, EpisodeConfig, ShareConfig, TaskMember

EXAMPLES = "examples.jsonl"
SPLITS = "splits.json"

PROTOTYPES = AlgorithmConfig(name="protonet")
PAIRS = {"task": "pair_classification"}
BY_DOMAIN = {"domain": "domain", "split_by": "domain"}

# Kinds of members; a kind is used if its folder exists.
KINDS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    # Is a product good or bad?
    "products": (
        BY_DOMAIN,
        {
            "episodes": EpisodeConfig(
                way=2, shot=8, queries=8, train_shot=(2, 6), train_queries=5
            ),
            "share": ShareConfig(weight=2),
        },
    ),
    # How good or bad is it?
    "levels": (
        {**BY_DOMAIN, "max_length": 64},
        {
            "episodes": EpisodeConfig(
                **{"way": 3, "shot": 8, "queries": 8},
                **{"train_way": (2, 4), "train_shot": (2, 8), "train_queries": 6},
            ),
            "share": ShareConfig(weight=2),
        },
    ),
    # Does the first text entail the second?
    "entailment": (
        {**PAIRS, **BY_DOMAIN},
        {
            "episodes": EpisodeConfig(way=2, shot=8, queries=8, train_shot=(4, 8)),
            "pair_encoding": "two_towers",
            "share": ShareConfig(weight=2),
        },
    ),
    # Is a student's answer that of the teacher?
    "answers": (
        {**PAIRS, **BY_DOMAIN},
        {
            "episodes": EpisodeConfig(way=2, shot=8, queries=4, train_shot=(2, 6)),
            "pair_encoding": "two_towers",
        },
    ),
    # What is a part of a sentence called?
    "types": (
        {**PAIRS, **BY_DOMAIN, "max_length": 96, "rare_classes": "drop"},
        {
            "episodes": EpisodeConfig(
                **{"way": 3, "shot": 8, "queries": 8},
                **{"train_way": (3, 6), "train_shot": (2, 5), "train_queries": 4},
            ),
            "pair_encoding": "phrase",
        },
    ),
    # How much do two sentences say the same?
    "likeness": (
        {**BY_DOMAIN, "task": "regression", "label": "score", "max_length": 96},
        {
            "episodes": EpisodeConfig(shot=16, queries=32),
            "algorithm": AlgorithmConfig(name="ridge"),
            "pair_encoding": "two_towers",
        },
    ),
    # What does somebody want?
    "intents": (
        {"max_length": 48},
        {
            "episodes": EpisodeConfig(
                way=5, shot=1, queries=5, train_way=20, train_queries=2
            )
        },
    ),
    # Which of a few words was masked?
    "words": (
        {"task": "smlmt", "max_length": 64, "word_bands": (12, 40, 200)},
        {
            "episodes": EpisodeConfig(
                **{"way": 5, "shot": 1, "queries": 5},
                **{"train_way": (2, 8), "train_shot": (1, 3), "train_queries": 2},
            ),
            "share": ShareConfig(weight=2),
        },
    ),
}


def general(folder: str | Path) -> config_lib.MixtureConfig:
    """Composes a mixture that makes an encoder for tasks of many kinds.

    Members are opinions on products, levels of sentiment, entailment, students'
    answers, types of entities, likeness of sentences, intents and masked words: those
    of which the folder has data.

    Args:
      folder: a folder `NAME/examples.jsonl` for each member, of the form that its task
        type reads, with the domains (intents: classes) to meta-train on, to validate
        and to test on in `NAME/splits.json` (words: raw text, which needs none).
        `experiments/leopard/prepare.py` writes one.

    Returns:
      The config, for `workflows.mix`.

    Raises:
      ValueError: if no member has data.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import recipes
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for name in ("levels", "intents"):
      ...         (pathlib.Path(folder) / name).mkdir()
      ...         _ = (pathlib.Path(folder) / name / "examples.jsonl").write_text("")
      ...     mixture = recipes.general(folder)
      >>> {name: member.share.weight for name, member in mixture.members.items()}
      {'levels': 2, 'intents': 1}
      >>> mixture.members["levels"].episodes.training().way
      (2, 4)

    References:
      Bansal et al., `Self-Supervised Meta-Learning for Few-Shot Natural Language
      Classification Tasks <https://arxiv.org/abs/2009.08445>`_, 2020, who mix labelled
      tasks and masked words.
    """
    folder = Path(folder)
    members = {
        name: _member(folder / name, data, settings)
        for name, (data, settings) in KINDS.items()
        if (folder / name / EXAMPLES).is_file()
    }
    if not members:
        files = ", ".join(f"{name}/{EXAMPLES}" for name in KINDS)
        raise ValueError(
            f"{folder} has no data of the recipe 'general': none of {files}; see"
            " experiments/leopard/prepare.py, which writes such a folder."
        )
    return config_lib.MixtureConfig(
        members=members,
        training=config_lib.TrainingConfig(
            steps=600,
            tasks_per_step=1,
            learning_rate=1e-4,
            head_learning_rate=1e-3,
            # Words that meta-training never sees stay comparable.
            trains=("*", "!encoder/embeddings"),
            dropout=False,
            eval_every=100,
            valid_episodes=25,
            patience=None,
        ),
        evaluation=config_lib.EvaluationConfig(test_episodes=100, batch_episodes=20),
    )


def _member(
    folder: Path, data: Mapping[str, Any], settings: Mapping[str, Any]
) -> TaskMember:
    """Returns the member of a folder with examples and splits."""
    source = config_lib.DataConfig(path=str(folder / EXAMPLES), **data)
    if (folder / SPLITS).is_file():
        source = dataclasses.replace(source, split_file=str(folder / SPLITS))
    usual = {"algorithm": PROTOTYPES, "share": ShareConfig(weight=1)}
    return TaskMember(data=source, **{**usual, **settings})
