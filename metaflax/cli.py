"""The command line: wiring only. `python -m metaflax --help` says what there is."""

import dataclasses
import functools
import logging
import operator
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

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
class New:
    """Make a language model to meta-train from the beginning, and its tokenizer."""

    out: Path
    """Directory to write, in Hugging Face's format; `train --model` takes it."""
    texts: Path | None = None
    """File that the tokenizer learns from: texts of meta-training alone."""
    columns: tuple[str, ...] = ("text", "target")
    """Its columns of texts, where it has columns."""
    family: Literal["gpt", "seq2seq", "bert"] = "seq2seq"
    """One network that goes on with texts; one that reads and one that says; or one
    that reads alone."""
    encoder: str | None = None
    """Directory or hub name of a BERT to read with, or minilm; its tokenizer and sizes
    then are the model's, and `texts` is not read."""
    vocab_size: int = 4000
    """Words of the tokenizer."""
    width: int = 128
    """Features of a token."""
    layers: int = 2
    """Of each network, or of the one that says."""
    heads: int = 4
    """Attention heads of a layer."""
    positions: int = 256
    """The longest text in tokens."""
    seed: int = 0
    """Draws the weights."""


# Settings of meta-testing that `evaluate` may change.
OF_EVALUATION = ("test_episodes", "test_seed", "num_beams", "repetition_penalty")


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
    num_beams: int | None = None
    """Texts pursued side by side to generate one, likewise."""
    repetition_penalty: float | None = None
    """Above 1, makes words less likely that a text has said before, likewise."""
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
    """Directory or hub name of a pretrained model, where there is no run."""
    algorithm: str = "frozen"
    """How it adapts, where there is no run; what generates takes fine_tuning."""
    task: str = "classification"
    """Task type, where there is no run."""


@dataclasses.dataclass(frozen=True)
class Predict:
    """Label texts with an adapted directory, from a file or standard input."""

    model: Path
    """What `adapt` wrote, or any BERT sequence classifier, GPT-2 or encoder-decoder of
    Hugging Face."""
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
    num_beams: int = 1
    """Texts pursued side by side to generate one; 1 for the likeliest word always."""
    repetition_penalty: float = 1.0
    """Above 1, makes words less likely that a generated text has said before."""
    max_new: int | None = None
    """Most tokens of a text that is generated, where it differs from training's."""


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


@dataclasses.dataclass(frozen=True)
class Augment:
    """Give labelled texts variants, words of them replaced by a pretrained BERT."""

    data: str
    """JSONL, CSV, TSV or Parquet file or pattern of files, saved data set, hub name."""
    model: str
    """Directory or hub name of a BERT that says masked words; `pretrain` makes one."""
    out: Path
    """JSONL file to write: all rows and columns, and a column variants, which `train
    --variants variants` reads in meta-training alone."""
    text: str = "text"
    """Column of texts."""
    split: str | None = None
    """Which split of a hub data set or saved data set to read."""
    variants: int = 4
    """How many of each text."""
    share: float = 0.15
    """Share of a text's words that each replaces, at least one."""
    temperature: float = 1.0
    """Of what is drawn: below 1 likelier words, above 1 rarer ones."""
    top_k: int = 20
    """From how many words each is drawn, the likeliest ones but the word itself."""
    max_length: int = 128
    """Most tokens of a text that are read; words beyond stay as they are."""
    seed: int = 0
    """Draws which words, and what stands in their places."""


@dataclasses.dataclass(frozen=True)
class Mix:
    """Meta-train one encoder on many kinds of tasks, and on masked words, at once."""

    config: Path
    """Python file with a `config = metaflax.config.MixtureConfig(...)`, such as
    experiments/smlmt/mixture.py."""
    run_dir: Path = Path("runs/mixture")
    """Where the run is kept, its encoder in the folder `model`, and each member in
    `members/NAME`, which `evaluate` and `adapt --run` take; the same command again
    resumes it."""


@dataclasses.dataclass(frozen=True)
class Replay:
    """Take one step of a run again, episode by episode, to see where numbers end."""

    run: tyro.conf.Positional[Path]
    """Run directory of `train`; nothing in it is changed."""
    step: int | None = None
    """Which step, counted from 1; the one that ended the run unless given."""


Command = (
    Quickstart
    | New
    | Pretrain
    | Augment
    | Train
    | Mix
    | Evaluate
    | Adapt
    | Predict
    | Finetune
    | Replay
)
COMMANDS = get_args(Command)


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      args: of the command line; by default the process's own.

    Returns:
      0, or 2 after one sentence on standard error about what was wrong. 130 after an
      interruption: what was saved can be resumed; 143 after SIGTERM, when the last step
      is saved. 141 when nobody reads on, as after `| head`.
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
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax is talkative,
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of damage above all.
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
    except KeyboardInterrupt as error:
        said = str(error) or "interrupted; the same command resumes a run."
        errors.print(f"metaflax: {said}", markup=False)
        return getattr(error, "status", 130)
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
        case New():
            _new(command, console)
        case Train():
            workflows.train(
                command.settings, command.run_dir, console, profile=command.profile
            )
        case Mix():
            config = config_lib.load_file(command.config, config_lib.MixtureConfig)
            workflows.mix(config, command.run_dir, console)
        case Evaluate():
            _evaluate(command, console)
        case Adapt():
            workflows.adapt(
                command.support,
                command.out,
                console,
                run_dir=command.run,
                config=workflows.without_run(
                    command.model, command.algorithm, command.task
                ),
            )
        case Predict():
            _predict(command)
        case Replay():
            workflows.replay(command.run, console, step=command.step)
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
        case Augment():
            _augment(command, console)


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


def _new(command: New, console: Console) -> None:
    from metaflax import workflows

    if command.encoder is not None:
        made = workflows.language_model_from_encoder(
            command.out, command.encoder, layers=command.layers, seed=command.seed
        )
    elif command.texts is None:
        raise ValueError(
            "a new model learns its words from texts; give --texts FILE, or --encoder"
            " for a BERT that has them."
        )
    else:
        made = workflows.new_language_model(
            command.out,
            workflows.texts_of_file(command.texts, command.columns),
            family=command.family,
            vocab_size=command.vocab_size,
            width=command.width,
            layers=command.layers,
            heads=command.heads,
            positions=command.positions,
            seed=command.seed,
        )
    console.print(f"a new language model: {made}", markup=False, soft_wrap=True)


def _augment(command: Augment, console: Console) -> None:
    from metaflax import workflows

    workflows.augment(
        command.data,
        command.model,
        command.out,
        console,
        text=command.text,
        split=command.split,
        replacing=workflows.Replacing(
            variants=command.variants,
            share=command.share,
            temperature=command.temperature,
            top_k=command.top_k,
            max_length=command.max_length,
            seed=command.seed,
        ),
    )


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
        wanted=changed(config.evaluation, OF_EVALUATION),
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

    predictor = _predictor(command)
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
            notes.print(_lost(predictor))

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


def _predictor(command: Predict) -> Any:
    from metaflax import models, workflows

    size = command.batch_size
    if command.relations is not None:
        return workflows.TripleFinder(command.model, command.relations, batch_size=size)
    if models.pretrained.is_language_model(command.model):
        return workflows.Generator(
            command.model,
            size,
            num_beams=command.num_beams,
            repetition_penalty=command.repetition_penalty,
            max_new=command.max_new,
        )
    return workflows.Predictor(command.model, size)


def _lost(predictor: Any) -> str:
    from metaflax import workflows

    number = predictor.num_lost
    if isinstance(predictor, workflows.Generator):
        return f"{number} texts were too long to be read whole, and were cut."
    return f"an entity was cut off {number} texts, too long."
