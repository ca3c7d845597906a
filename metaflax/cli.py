"""The command line: wiring only. `python -m metaflax --help` says what there is."""

import dataclasses
import functools
import logging
import operator
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from metaflax import config as config_lib

# Names of settings are unique, so that `--way` needs no group before it.
Flat = tyro.conf.OmitArgPrefixes
# Given or not; a setting that is true or false takes its value, to be overridden.
Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclasses.dataclass(frozen=True)
class Quickstart:
    """Meta-train on tweets and films, test on product reviews; five minutes, no hub."""

    run_dir: Path = Path("runs/quickstart")
    """Where the run is kept; the same command again resumes it."""
    steps: int | None = None
    """Outer steps, fewer for a quick look."""
    test_episodes: int | None = None
    """Test episodes."""
    profile: Flag = False
    """Say first where the time of one training step goes."""


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-train on your labelled text, then meta-test before and after."""

    settings: tyro.conf.FlagConversionOff[config_lib.Config] = dataclasses.field(
        default_factory=config_lib.Config
    )
    config: Path | None = None
    """Python file with a `config`, such as those under experiments/; the other options
    override it."""
    run_dir: Path = Path("runs/run")
    """Where the run is kept; the same command again resumes it."""
    profile: Flag = False
    """Say first where the time of one training step goes."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Meta-test a run: other shots, more episodes, baselines on the same ones."""

    run: tyro.conf.Positional[Path]
    """Run directory of `train` or `quickstart`."""
    name: str = "evaluation"
    """Of the files written into the run directory."""
    way: int | None = None
    """Classes an episode, where it differs from the run's."""
    shot: int | None = None
    """Support examples a class, likewise."""
    queries: int | None = None
    """Query examples a class, likewise."""
    test_episodes: int | None = None
    """How many, likewise."""
    test_seed: int | None = None
    """Draws them, likewise."""
    baselines: tuple[str, ...] = ()
    """frozen, fine_tuning: scored on the same episodes."""
    inner_optimizer: str | None = None
    """With which fine_tuning adapts, where it differs from the run's."""
    inner_learning_rate: float | None = None
    """Its rate, likewise."""
    num_steps: int | None = None
    """Its steps, likewise."""
    export: tuple[int, ...] = ()
    """Numbers of episodes to write as support.jsonl and query.jsonl."""


@dataclasses.dataclass(frozen=True)
class Adapt:
    """Learn a new task from a few labelled texts; writes a Hugging Face directory."""

    support: Path
    """JSONL, CSV or Parquet file of labelled texts."""
    out: Path
    """Directory to write."""
    run: Path | None = None
    """Meta-trained run directory; without it a pretrained model adapts as it is."""
    model: str = "minilm"
    """Directory or hub name of a BERT, where there is no run."""
    algorithm: str = "frozen"
    """How it adapts, where there is no run."""


@dataclasses.dataclass(frozen=True)
class Predict:
    """Label texts with an adapted directory, from a file or standard input."""

    model: Path
    """What `adapt` wrote, or any BERT sequence classifier of Hugging Face."""
    relations: Path | None = None
    """Another, for relations: entities that the model finds become triples by it."""
    texts: str = "-"
    """A file with a text a line, JSONL, CSV or Parquet; - for standard input."""
    out: str = "-"
    """File to write; - for standard output."""
    format: Literal["jsonl", "csv"] = "jsonl"
    """Of the answers."""
    column: str = "text"
    """Column of texts, where the file has columns."""
    column_pair: str = "text_pair"
    """Column of second texts, likewise."""
    input_format: Literal["lines", "jsonl", "csv", "tsv"] | None = None
    """Of the texts, where the file's name does not say."""
    batch_size: int = 32
    """Texts answered together at most."""


@dataclasses.dataclass(frozen=True)
class Finetune:
    """Fine-tune on your own labelled set, from the meta-trained and the plain model."""

    run: Path
    """Meta-trained run directory."""
    train: Path
    """Labelled texts to fine-tune on."""
    test: Path
    """Labelled texts to score on."""
    out: Path | None = None
    """Where to write the fine-tuned meta-trained model."""
    epochs: int = 10
    """Passes over the training texts."""
    batch_size: int = 16
    """Texts a step."""
    learning_rate: float = 5e-5
    """Of the encoder."""
    head_learning_rate: float = 1e-3
    """Of the new output layer."""
    seed: int = 0
    """Draws the order of texts and dropout."""


@dataclasses.dataclass(frozen=True)
class Pretrain:
    """Pretrain a BERT on raw text, by words masked in it; `train` takes the result."""

    settings: tyro.conf.FlagConversionOff[config_lib.PretrainConfig] = (
        dataclasses.field(default_factory=config_lib.PretrainConfig)
    )
    run_dir: Path = Path("runs/pretrain")
    """Where the run is kept, its model in the folder `model`; the same command again
    resumes it."""


COMMANDS = (Quickstart, Train, Evaluate, Adapt, Predict, Finetune, Pretrain)
Command = Quickstart | Train | Evaluate | Adapt | Predict | Finetune | Pretrain


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      args: of the command line; by default the process's own.

    Returns:
      0, or 2 after one sentence on standard error about what was wrong. 130 after an
      interruption: what was saved can be resumed. 141 when nobody reads on, as after
      `| head`.
    """
    args = list(sys.argv[1:] if args is None else args)
    try:
        try:
            return _main(args)
        finally:
            sys.stdout.flush()  # Here, where a closed pipe can still be dealt with.
    except BrokenPipeError:
        # Else Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _main(args: list[str]) -> int:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        command = parse(args)
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax is talkative.
        run(command, Console(highlight=False))
    except ValueError as error:
        errors.print(f"metaflax: {error}", markup=False)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        errors.print(f"metaflax: {what}{error.strerror or error}.", markup=False)
        return 2
    except KeyboardInterrupt:
        errors.print("metaflax: interrupted; the same command resumes a run.")
        return 130
    return 0


def parse(args: list[str]) -> Command:
    """The command that the arguments name, config files read."""
    train = Train()
    if args[:1] == ["train"] and (path := _option(args, "--config")):
        train = Train(settings=config_lib.load_file(path))
    given: dict[type, Command] = {Quickstart: Quickstart(), Train: train}
    commands = [
        Annotated[
            command,
            tyro.conf.subcommand(
                command.__name__.lower(),
                default=given.get(command, tyro.MISSING_NONPROP),
            ),
        ]
        for command in COMMANDS
    ]
    return tyro.cli(
        functools.reduce(operator.or_, commands),  # pyright: ignore
        args=args,
        prog="metaflax",
        description=(
            "Meta-learning for language models: learn new text tasks from a few"
            " examples."
        ),
        config=(Flat,),
    )


def _option(args: list[str], name: str) -> str | None:
    for here, following in zip(args, [*args[1:], None], strict=True):
        if here == name:
            return following
        if here.startswith(f"{name}="):
            return here.removeprefix(f"{name}=")
    return None


def run(command: Command, console: Console) -> None:
    """Does what a command says."""
    from metaflax import workflows

    workflows.cache_compilations()
    match command:
        case Quickstart():
            config = _quickstart_config(command)
            workflows.train(config, command.run_dir, console, profile=command.profile)
        case Train():
            workflows.train(
                command.settings, command.run_dir, console, profile=command.profile
            )
        case Evaluate():
            _evaluate(command, console)
        case Adapt():
            workflows.adapt(
                command.support,
                command.out,
                console,
                run_dir=command.run,
                config=workflows.without_run(command.model, command.algorithm),
            )
        case Predict():
            _predict(command)
        case Finetune():
            workflows.finetune(
                command.run,
                command.train,
                command.test,
                console,
                out=command.out,
                epochs=command.epochs,
                batch_size=command.batch_size,
                learning_rate=command.learning_rate,
                head_learning_rate=command.head_learning_rate,
                seed=command.seed,
            )
        case Pretrain():
            workflows.pretrain(command.settings, command.run_dir, console)


def _quickstart_config(command: Quickstart) -> config_lib.Config:
    from metaflax import workflows

    config = workflows.quickstart_config()
    training, evaluation = config.training, config.evaluation
    if command.steps is not None:
        training = dataclasses.replace(training, steps=command.steps)
    if command.test_episodes is not None:
        evaluation = dataclasses.replace(
            evaluation, test_episodes=command.test_episodes
        )
    return dataclasses.replace(config, training=training, evaluation=evaluation)


def _evaluate(command: Evaluate, console: Console) -> None:
    from metaflax import workflows
    from metaflax.workflows import RunDirectory

    config = RunDirectory(command.run).config()

    def changed(settings, names):
        given = {n: getattr(command, n) for n in names}
        return dataclasses.replace(
            settings, **{n: v for n, v in given.items() if v is not None}
        )

    workflows.evaluate(
        command.run,
        console,
        name=command.name,
        episodes=changed(config.episodes, ("way", "shot", "queries")),
        wanted=changed(config.evaluation, ("test_episodes", "test_seed")),
        baselines=command.baselines,
        inner=dataclasses.replace(
            changed(
                config.algorithm,
                ("inner_optimizer", "inner_learning_rate", "num_steps"),
            ),
            eval_num_steps=None,
        ),
        export=command.export,
    )


def _predict(command: Predict) -> None:
    from metaflax import data, workflows

    predictor = (
        workflows.Predictor(command.model, command.batch_size)
        if command.relations is None
        else workflows.TripleFinder(
            command.model, command.relations, batch_size=command.batch_size
        )
    )
    texts = data.read_texts(
        sys.stdin if command.texts == "-" else command.texts,
        form=predictor.form,
        column=command.column,
        column_pair=command.column_pair,
        format=command.input_format,
    )

    def answer(out):
        workflows.predict(predictor, texts, out, format=command.format)
        if predictor.num_lost:
            notes = Console(stderr=True, highlight=False, soft_wrap=True)
            notes.print(f"an entity was cut off {predictor.num_lost} texts, too long.")

    if command.out == "-":
        answer(sys.stdout)
        return
    # Beside the target, then renamed: nothing half-written is left.
    scratch = Path(f"{command.out}.tmp")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            answer(file)
        scratch.replace(command.out)
    finally:
        scratch.unlink(missing_ok=True)
