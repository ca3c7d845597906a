"""Meta-trains on entities, twice, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/entities/run.py [--runs DIR]
    [--model minilm] [--dtype float32] [--parts baselines decodings detection capitals]
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import decoding
import numpy as np
import prepare
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import tasks, workflows


def options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this experiment."""
    common.encoder_options(parser)
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        help="parts to run (default: all)",
    )


def experiment(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    model: str | None = None,
    dtype: str | None = None,
    parts: Sequence[str] = (),
) -> None:
    """Runs training on slots to test on WNUT, and training within WNUT's types."""
    file = runs / "all.jsonl"
    prepare.prepare(common.data_folder(), file)
    config = common.on_model(common.on_data(config, file), model, dtype)
    for part in parts or PARTS:
        PARTS[part](config, runs, console)


def baselines(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Compares both trainings with baselines."""
    for name, training in trainings(config).items():
        entities(training, runs / name, console)


def decodings(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Selects the decoding of both trainings."""
    for name, training in trainings(config).items():
        decoded(training, runs / name, console)


def detections(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Compares entity detection with class means."""
    file = runs / "extra.jsonl"
    prepare.prepare(common.data_folder(), file, extra=True)
    means = {
        name: decoded(training, runs / name, console)
        for name, training in trainings(config).items()
    }
    extra = extended(common.on_data(config, file))
    for name, training in {**trainings(config), "extra": extra}.items():
        results = decoded(detecting(training), runs / f"{name}-detected", console)
        for shot in (5, 1):
            other = means.get(name, means["slots"])
            decoding.print_difference(results, other, console, shot)


def capitals(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Compares the trainings above with and without capitalisation as a feature."""
    means = trainings(config)
    detected = {f"{name}-detected": detecting(each) for name, each in means.items()}
    for name, training in {**means, **detected}.items():
        without = decoded(training, runs / name, console)
        run_dir = runs / f"{name}-capitals"
        results = decoded(with_capitals(training), run_dir, console)
        for shot in (5, 1):
            decoding.print_difference(results, without, console, shot)


PARTS = {
    "baselines": baselines,
    "decodings": decodings,
    "detection": detections,
    "capitals": capitals,
}


def trainings(config: config_lib.Config) -> dict[str, config_lib.Config]:
    """Configs of both transfers, by name of the run."""
    return {"slots": config, "within": within(config)}


def decoded(
    config: config_lib.Config, run_dir: Path, console: Console
) -> dict[str, Any]:
    """Trains a run and selects its decoding, as far as this has not been done."""
    workflows.train(config, run_dir, console)
    if (run_dir / decoding.RESULTS).exists():
        return workflows.RunDirectory(run_dir).read_json(decoding.RESULTS)
    return decoding.score_decodings(run_dir, console)


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
    sys.exit(common.run_script(__file__, __doc__, experiment, options=options))
