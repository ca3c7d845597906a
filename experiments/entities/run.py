"""Meta-trains on entities, twice, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/entities/run.py [--runs DIR]
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import decoding
import numpy as np
import prepare
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import tasks, workflows


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Runs training on slots to test on WNUT, and training within WNUT's types."""
    file = runs / "all.jsonl"
    prepare.prepare(common.data_folder(), file)
    config = common.on_data(config, file)
    entities(config, runs / "slots", console)
    entities(within(config), runs / "within", console)
    detections(config, runs, console)
    capitals(config, runs, console)


def detections(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Compares entity detection with the class means that `entities` trained."""
    file = runs / "extra.jsonl"
    prepare.prepare(common.data_folder(), file, extra=True)
    trainings = {
        "slots": detecting(config),
        "within": detecting(within(config)),
        "extra": detecting(extended(common.on_data(config, file))),
    }
    means = {
        name: decoding.score_decodings(runs / name, console)
        for name in ("slots", "within")
    }
    for name, training in trainings.items():
        run_dir = runs / f"{name}-detected"
        workflows.train(training, run_dir, console)
        results = decoding.score_decodings(run_dir, console)
        for shot in (5, 1):
            other = means.get(name, means["slots"])
            decoding.print_difference(results, other, console, shot)


def capitals(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Compares the trainings above with and without capitalisation as a feature."""
    means = {"slots": config, "within": within(config)}
    detected = {f"{name}-detected": detecting(each) for name, each in means.items()}
    for name, training in {**means, **detected}.items():
        run_dir = runs / f"{name}-capitals"
        workflows.train(with_capitals(training), run_dir, console)
        results = decoding.score_decodings(run_dir, console)
        without = workflows.RunDirectory(runs / name).read_json("decoding.json")
        for shot in (5, 1):
            decoding.print_difference(results, without, console, shot)


def with_capitals(config: config_lib.Config) -> config_lib.Config:
    """Config with a feature for words that begin with a capital."""
    model = dataclasses.replace(config.model, capitals=True)
    return dataclasses.replace(config, model=model)


def detecting(config: config_lib.Config) -> config_lib.Config:
    """Config with a head that detects words in entities and types them."""
    algorithm = dataclasses.replace(config.algorithm, head="detected_prototypes")
    training = dataclasses.replace(config.training, head_learning_rate=1e-2)
    return dataclasses.replace(config, algorithm=algorithm, training=training)


def extended(config: config_lib.Config) -> config_lib.Config:
    """Config of slots, with named entities of other sources in meta-training.

    Wikipedia's entities are for validation, since the test is on named entities.
    """
    more = ("anem", "bc5cdr", "bionlp13cg", "btc", "fin", "gum", "re3d")
    domains = config.data.split_names or {}
    names = {
        **domains,
        "train": (*domains["train"], *more),
        "valid": ("wikigold",),
    }
    data = dataclasses.replace(config.data, split_names=names)
    training = dataclasses.replace(config.training, steps=200, eval_every=100)
    return dataclasses.replace(config, data=data, training=training)


def within(config: config_lib.Config) -> config_lib.Config:
    """Config of WNUT alone, whose six types are split into three pairs."""
    types = {
        "train": ("person", "location"),
        "valid": ("group", "corporation"),
        "test": ("product", "creative-work"),
    }
    data = dataclasses.replace(
        config.data, domain=None, split_by="label", split_names=types
    )
    episodes = dataclasses.replace(config.episodes, way=2, train_way=2)
    return dataclasses.replace(config, data=data, episodes=episodes)


def entities(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    *,
    shots: Sequence[int] = (5, 1),
    num_valid: int = 50,
) -> None:
    """Meta-trains once; meta-tests with five entities per type and with one.

    Fine-tuning, which takes longer than all the rest, is compared with five only.
    """
    workflows.train(config, run_dir, console)
    baselines = {
        "prototypes": frozen(config, "prototypes"),
        "nearest": frozen(config, "nearest"),
        "StructShot": frozen(config, "nearest", counted(config)),
        "fine-tuned": fine_tuned(config),
    }
    for shot in shots:
        common.against_baselines(
            run_dir,
            baselines,
            console,
            name=f"shot{shot}",
            valid_episodes={
                **dict.fromkeys(baselines, num_valid),
                "fine-tuned": num_valid // 5,
            },
            episodes=dataclasses.replace(config.episodes, shot=shot),
        )
        baselines.pop("fine-tuned", None)


def frozen(
    config: config_lib.Config, head: str, transitions: Sequence[float] = ()
) -> list[common.Setting]:
    """Settings of a head on frozen features, with temperatures for StructShot."""
    return common.frozen_settings(
        config,
        pooling=("tokens",),
        standardize=(True, False) if head == "nearest" else (True,),
        head=(head,),
        temperature=(1.0, 10.0, 100.0) if transitions else (10.0,),
        transitions=(tuple(transitions),),
    )


def fine_tuned(config: config_lib.Config) -> list[common.Setting]:
    """Settings of fine-tuning from class means of tokens, with two learning rates."""
    return common.fine_tuned_settings(config)


def counted(config: config_lib.Config) -> tuple[float, ...]:
    """Estimates abstract tag transitions from the sentences of meta-training."""
    train = workflows.load_run(config).splits.train
    names = train.label_names
    sequences = [
        tasks.IO.encode(
            tasks.runs_of_entities(target, sentence.words, names),
            len(sentence.words),
            len(names),
        )
        for sentence, target in zip(train.texts, train.targets or (), strict=True)
    ]
    results = tasks.abstract_transitions(sequences, len(names))
    return tuple(np.concatenate(results).round(6).tolist())


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
