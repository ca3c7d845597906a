"""The command line: wiring only. `python -m metaflax --help` says what there is."""

import dataclasses
import functools
import operator
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from rich.console import Console

from metaflax import config as config_lib
from metaflax import files
from metaflax.cli._options import (
    COMMANDS,
    OF_EVALUATION,
    Adapt,
    Augment,
    Cluster,
    Command,
    Compare,
    Evaluate,
    Export,
    Fairness,
    Finetune,
    Machines,
    Mix,
    New,
    Predict,
    Pretrain,
    Quickstart,
    Replay,
    Report,
    Search,
    Train,
)

# Names of settings are unique, so that `--way` needs no group before it.
Flat = tyro.conf.OmitArgPrefixes


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

    workflows.quiet_logs()
    workflows.cache_compilations()
    match command:
        case Quickstart():
            config = _quickstart_config(command)
            workflows.train(config, command.run_dir, console, profile=command.profile)
        case New():
            _new(command, console)
        case Train():
            workflows.train(
                command.settings,
                command.run_dir,
                _joined(command.machines, console),
                profile=command.profile,
                param_shards=command.machines.shared_by,
            )
        case Mix():
            config = config_lib.load_file(command.config, config_lib.MixtureConfig)
            workflows.mix(
                config,
                command.run_dir,
                _joined(command.machines, console),
                param_shards=command.machines.shared_by,
            )
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
        case Export():
            made = workflows.export(command.run, command.out)
            console.print(f"the model of the run: {made}", markup=False, soft_wrap=True)
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
            workflows.pretrain(
                command.settings,
                command.run_dir,
                _joined(command.machines, console),
                param_shards=command.machines.shared_by,
            )
        case Augment():
            _augment(command, console)
        case Cluster():
            _cluster(command, console)
        case Search():
            _search(command, console)
        case Fairness():
            _fairness(command, console)
        case Report():
            workflows.report(command.run, console, name=command.name)
        case Compare():
            workflows.compare_runs(
                command.runs, console, name=command.name, out=command.out
            )


def _joined(machines: Machines, console: Console) -> Console:
    """Meets the other processes, if any; of them the first alone speaks."""
    from metaflax import training

    if machines.distributed or machines.coordinator is not None:
        training.initialize_distributed(
            machines.coordinator,
            machines.num_processes,
            machines.process_id,
            heartbeat_seconds=machines.heartbeat,
        )
    return console if training.is_coordinator() else Console(quiet=True)


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


def _cluster(command: Cluster, console: Console) -> None:
    from metaflax import workflows

    workflows.cluster(
        command.texts,
        command.out,
        console,
        number=command.clusters,
        run_dir=command.run,
        model=command.model,
        column=command.column,
        seed=command.seed,
    )


def _search(command: Search, console: Console) -> None:
    from metaflax import workflows

    config = config_lib.load_file(command.config, config_lib.SearchConfig)
    if command.trials is not None:
        config = dataclasses.replace(config, trials=command.trials)
    workflows.search(config, command.run_dir, console)


def _fairness(command: Fairness, console: Console) -> None:
    from metaflax import data, workflows

    workflows.fairness_report(
        workflows.Predictor(command.model),
        list(data.read_texts(command.templates, column=command.column)),
        command.out,
        console,
        swaps=data.read_swaps(command.swaps) if command.swaps else data.SWAPS,
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
        out_of_scope=command.out_of_scope,
        shots=command.shots,
        inner_steps=command.inner_steps,
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
        notes = Console(stderr=True, highlight=False, soft_wrap=True)
        if predictor.num_lost:
            notes.print(_lost(predictor))
        if note := getattr(predictor, "note", ""):
            notes.print(note, markup=False)

    if command.out == "-":
        answer(sys.stdout)
        return
    with files.atomic_write(command.out) as file:
        answer(file)


def _predictor(command: Predict) -> Any:
    from metaflax import models, workflows

    size = command.batch_size
    if command.explain:
        return workflows.Explainer(
            command.model,
            size,
            num_nearest=command.nearest,
            num_steps=command.explain_steps,
        )
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
