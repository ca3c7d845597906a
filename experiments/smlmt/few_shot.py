"""Few-shot accuracy on tasks unseen in pretraining."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from experiments import common
from metaflax import config as config_lib
from metaflax import data, tasks

INTENTS, SHOTS = "clinc150", (1, 5)


class Judge(NamedTuple):
    """Test episodes of a data set, with task type and head.

    Attributes:
      name: name of the data set.
      kind: name of the task type.
      head: head that is fitted to features of a support set.
      episodes: fixed test episodes.
      shots: number of texts per class of each episode.
    """

    name: str
    kind: str
    head: str
    episodes: data.FixedEpisodes
    shots: tuple[int, ...]


def judges(
    folder: Path,
    *,
    num_episodes: int = 600,
    num_queries: int | None = None,
    num_sets: int | None = None,
) -> Iterator[Judge]:
    """Yields LEOPARD's training sets, and episodes of CLINC150's test classes.

    Args:
      folder: folder of data sets; each subfolder of its `leopard` is a task.
      num_episodes: number of episodes of CLINC150 at each shot.
      num_queries: number of LEOPARD's queries, sampled once; None for all.
      num_sets: number of LEOPARD's training sets at each shot; None for all.
    """
    for training_sets in sorted((folder / "leopard").glob("*/train_episodes.jsonl")):
        source = training_sets.parent
        kind = kind_of(training_sets)
        given, shots = data.published_sets(
            source, task=task_of(kind), num_queries=num_queries
        )
        most = len(shots) if num_sets is None else num_sets
        kept = [n for n, shot in enumerate(shots) if shots[:n].count(shot) < most]
        episodes = given._replace(episodes=tuple(given.episodes[n] for n in kept))
        shots = tuple(shots[n] for n in kept)
        yield Judge(source.name, kind, "logistic_regression", episodes, shots)
    examples = data.read(folder / INTENTS / "examples.jsonl")
    splits = data.split_by_file(examples, folder / INTENTS / "folds.json", "01")
    for shot in SHOTS:
        sampler = data.EpisodeSampler(splits.test, 5, shot, 5)
        drawn = data.fixed_list(sampler, 1, num_episodes)
        episodes = data.FixedEpisodes(splits.test, drawn)
        shots = (shot,) * num_episodes
        yield Judge(INTENTS, "classification", "prototypes", episodes, shots)


def kind_of(rows: Path) -> str:
    """Returns the name of the task type of a file of labelled texts or pairs."""
    with rows.open(encoding="utf-8") as file:
        pairs = "text_pair" in json.loads(next(file))
    return "pair_classification" if pairs else "classification"


def task_of(kind: str) -> tasks.TaskType:
    """Builds the task type of a name."""
    of_kind = config_lib.Config(data=config_lib.DataConfig(task=kind))
    return config_lib.build_task(of_kind)


Scores: TypeAlias = dict[str, np.ndarray]


def scored(
    models: Mapping[str, str],
    judges: Sequence[Judge],
    folder: Path,
    algorithm: config_lib.AlgorithmConfig | None = None,
) -> dict[str, Scores]:
    """Scores several models; returns accuracies `[E]` by model, and by task and shots.

    Args:
      models: encoders by name, as `ModelConfig` names them.
      judges: test episodes of all data sets.
      folder: folder of scores; existing ones are not computed again.
      algorithm: how a model adapts; by default a head is fitted to frozen features, for
        which each text is encoded once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for name, model in models.items():
        file = folder / f"{name}.json"
        if not file.exists():
            every: Scores = {}
            for judge in judges:
                every |= accuracies(judge, model, algorithm)
            file.write_text(json.dumps({t: x.tolist() for t, x in every.items()}))
        kept = json.loads(file.read_text())
        results[name] = {task: np.array(x) for task, x in kept.items()}
    return results


def accuracies(
    judge: Judge, model: str, algorithm: config_lib.AlgorithmConfig | None
) -> Scores:
    """Computes the accuracy on each episode, by task and shots."""
    frozen = config_lib.AlgorithmConfig(name="frozen", head=judge.head)
    config = config_lib.Config(
        model=config_lib.ModelConfig(name=model),
        data=config_lib.DataConfig(task=judge.kind, max_length=128),
        algorithm=algorithm or frozen,
    )
    scores = common.score_pretrained(config, judge.episodes)
    accuracy, shots = scores.metrics["accuracy"], np.array(judge.shots)
    return {
        f"{judge.name}, {shot}": accuracy[shots == shot]
        for shot in sorted(set(judge.shots))
    }
