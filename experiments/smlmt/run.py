"""Compares MLM, SMLMT and supervised pretraining; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/smlmt/run.py [--runs DIR]
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import few_shot
import mixture
import report
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import workflows

SUPERVISED = ("intents", "relations", "likeness", "sentiment")
# Members of the mixture for each pretraining.
KINDS = {
    "MLM": ("masked",),
    "SMLMT": ("words",),
    "supervised": SUPERVISED,
    "hybrid": ("words", *SUPERVISED),
}
NONE, FINAL = "none", "hybrid"
# Member of all runs for validation, on classes that no run is trained on.
YARDSTICK = "intents"
# Number of validations of a run, after the initial one.
POINTS = 8


class Start(NamedTuple):
    """An initial model and the compute of its pretrainings.

    Attributes:
      flops: floating-point operations of the matrix products of a training.
      trains: paths of the trained parameters.
      rates: learning rates by pretraining.
    """

    flops: float
    trains: tuple[str, ...]
    rates: Mapping[str, float]


STARTS = {
    "minilm": Start(4e13, ("*", "!encoder/embeddings"), dict.fromkeys(KINDS, 5e-5)),
    # An encoder of random weights collapsed with tasks at the learning rate of MLM.
    "small": Start(1e13, ("*",), dict.fromkeys(KINDS, 2e-4) | {"MLM": 1e-3}),
}
# Sizes of the small model, whose tokenizer is trained on the raw text.
SMALL = {"vocab_size": 8000, "width": 128, "layers": 4, "heads": 4, "positions": 128}
# Fine-tuning of the whole model.
WHOLE = config_lib.AlgorithmConfig(
    name="fine_tuning",
    head="prototypes",
    adapts=("*", "!encoder/embeddings"),
    inner_optimizer="adam",
    inner_learning_rate=1e-4,
    num_steps=5,
)


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Scores ten models with a head on frozen features, and one by fine-tuning."""
    del config  # The config of SMLMT alone.
    folder = common.data_folder()
    judges = list(few_shot.judges(folder))
    for name, start in STARTS.items():
        models = pretrained(mixture.config, name, start, runs, console)
        collected = few_shot.scored(models, judges, runs / name)
        console.print(report.table(collected))
        trained = [runs / name / kind for kind in KINDS]
        report.picture(runs / f"{name}.png", trained, start.flops, YARDSTICK)
        if name == "minilm":
            whole(models, folder, runs, console)


def whole(models: dict[str, str], folder: Path, runs: Path, console: Console) -> None:
    """Scores the last model and its initial model by fine-tuning all weights."""
    judges = few_shot.judges(folder, num_episodes=100, num_queries=100, num_sets=4)
    ends = {kind: models[kind] for kind in (NONE, FINAL)}
    collected = few_shot.scored(ends, list(judges), runs / "whole", WHOLE)
    console.print(report.table(collected))


def pretrained(
    config: config_lib.MixtureConfig,
    name: str,
    start: Start,
    runs: Path,
    console: Console,
) -> dict[str, str]:
    """Pretrains from one start; returns five models by pretraining."""
    models = {NONE: "minilm" if name == "minilm" else str(small(config, runs))}
    for kind, members in KINDS.items():
        run_dir = runs / name / kind
        models[kind] = str(run_dir / "model")
        if (run_dir / "results.json").exists():
            continue
        console.print(f"{name}, {kind}")
        mixed = of_members(config, models[NONE], members)
        loop = {"trains": start.trains, "learning_rate": start.rates[kind]}
        workflows.mix(
            sized(with_training(mixed, **loop), start.flops), run_dir, console
        )
    return models


def small(config: config_lib.MixtureConfig, runs: Path) -> Path:
    """Creates a BERT whose tokenizer is trained on the raw text."""
    target = runs / "small-model"
    if not target.exists():
        raw = config.members["masked"]
        assert isinstance(raw, config_lib.TextMember)
        texts = workflows.texts_of_file(raw.text.text, (raw.text.column,))
        workflows.new_language_model(target, texts, family="bert", **SMALL)
    return target


def of_members(
    config: config_lib.MixtureConfig, model: str, names: Iterable[str]
) -> config_lib.MixtureConfig:
    """Returns the mixture of some members; SMLMT is half of it if it is a member.

    Intents are always validated, so that all mixtures can be compared.
    """
    weights = {YARDSTICK: 0.0} | {
        name: 1 / len(SUPERVISED) if name in SUPERVISED else 1.0 for name in names
    }
    members = {
        name: dataclasses.replace(
            config.members[name], share=config_lib.ShareConfig(weight=weight)
        )
        for name, weight in weights.items()
    }
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, name=model),
        members=members,
    )


def with_training(
    config: config_lib.MixtureConfig, **fields: Any
) -> config_lib.MixtureConfig:
    """Returns the mixture with other training settings."""
    training = dataclasses.replace(config.training, **fields)
    return dataclasses.replace(config, training=training)


def sized(config: config_lib.MixtureConfig, flops: float) -> config_lib.MixtureConfig:
    """Returns the mixture with the number of steps that takes the given compute."""
    of_step = common.step_flops(config)
    shares = {name: member.share.weight or 0 for name, member in config.members.items()}
    mean = sum(shares[n] * of_step[n] for n in shares) / sum(shares.values())
    steps = max(1, int(flops / mean))
    return with_training(config, steps=steps, eval_every=max(1, steps // POINTS))


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
