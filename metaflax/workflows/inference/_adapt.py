"""Adaptation to a new task from a file of labelled texts."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, target_kinds, tasks
from metaflax._files import check_absent
from metaflax._wording import counted
from metaflax.config._check import check_label_names
from metaflax.config._factories import build_algorithm, build_head, resolve_algorithm
from metaflax.models.pretrained._files import HEAD
from metaflax.workflows.inference._head_choice import (
    AUTO,
    HeadChoice,
    NamedFeatures,
    check_choosable,
    chosen_by_default,
)
from metaflax.workflows.inference._head_choice import choose_head as choose_head_by
from metaflax.workflows.inference._kept_context import left_out_notes, support_lines
from metaflax.workflows.inference._model_card import CARD, adapted_card
from metaflax.workflows.inference._saved_model import (
    save_adapted,
    save_generative,
    shown_support,
)
from metaflax.workflows.inference._support_sets import first_seen, support_set
from metaflax.workflows.inference._unlabelled import adapt_with_unlabelled
from metaflax.workflows.runs._calibration import read_calibration, why_uncalibrated
from metaflax.workflows.runs._console import console_or_quiet, report_notes
from metaflax.workflows.runs._embedder import embedder
from metaflax.workflows.runs._episodes import columns as run_columns
from metaflax.workflows.runs._episodes import (
    names_of_classes,
    read_examples,
)
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._pair_encoding import with_pair_encoding
from metaflax.workflows.runs._protocol import (
    check_unlabelled,
    described_use,
    read_unlabelled,
    takes_unlabelled,
    used_record,
)
from metaflax.workflows.runs._run import (
    Trained,
    fitted,
    load_trained,
    load_untrained,
)
from metaflax.workflows.runs._run_directory import RunDirectory

# How a support file is read, beside its columns; of the run's own, only the separator.
_SUPPORT_SETTINGS = ("label_separator", "split", "encoding")


def adapt(
    support_file: str | Path,
    out: str | Path,
    console: Console | None = None,
    *,
    run_dir: str | Path | None = None,
    config: config_lib.Config | None = None,
    keep_context: bool = False,
    choose_head: bool | None = None,
    unlabelled_texts: str | Path | None = None,
    label_names: str | None = None,
    label_name_weight: float | None = None,
    **columns: str | None,
) -> Path:
    r"""Adapts a model to a new task from a file of labelled texts.

    Args:
      support_file: labelled texts, as for `data.read`.
      out: directory to write, in Hugging Face's format.
      console: where a summary goes; None for nowhere.
      run_dir: a meta-trained run; None for the pretrained model of `config`.
      config: model, algorithm and task type without a run.
      keep_context: whether a model adapted in context (metaicl) keeps the keys and
        values of its support set beside the texts, so that they are not encoded again
        when it is loaded.
      choose_head: whether to choose among heads by cross-validation on the support set,
        see `HeadChoice`; the choice is printed on standard error. None for a choice
        where `config` names no head of classes of single texts below frozen weights.
      unlabelled_texts: file of texts without labels, as for `data.read_texts`, for
        heads that learn from such texts, soft_k_means and label_propagation.
      label_names: names of classes as further support examples, see
        `config.DataConfig`, or `none` (default: those of the run or config).
      label_name_weight: weight of such a name beside a support example (default: that
        of the run or config).
      **columns: columns of the file by their setting in `config.DataConfig`, such as
        `text` and `label`, and `unlabelled`, `label_separator`, `split` and `encoding`
        (default: those of the run or config; no split and encoding).

    Returns:
      The directory.

    Raises:
      ValueError: for a file that cannot be used, or with more classes than a learned
        output layer has, for both a run and a config, for a context to keep where
        there is none, for texts without labels where the head takes none, or for a
        class without a description.

    Examples:
      >>> import pathlib, tempfile
      >>> import metaflax
      >>> from metaflax import config, workflows
      >>> sizes = {"vocab_size": 40, "width": 8, "layers": 1, "heads": 2}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     support = pathlib.Path(folder) / "pets.csv"
      ...     tiny = support.with_name("tiny")
      ...     texts = ["it barks", "it purrs"]
      ...     _ = workflows.new_language_model(tiny, texts, family="bert", **sizes)
      ...     _ = support.write_text("text,label\nit barks,dog\nit purrs,cat\n")
      ...     settings = config.Config(
      ...         model=config.ModelConfig(name=str(tiny)),
      ...         data=config.DataConfig(max_length=8),
      ...         algorithm=config.AlgorithmConfig(name="frozen"),
      ...     )
      ...     pets = workflows.adapt(support, tiny.with_name("pets"), config=settings)
      ...     print([row["label"] for row in metaflax.load(pets)(texts)])
      ['dog', 'cat']
    """
    console = console_or_quiet(console)
    target = Path(out).expanduser()
    check_absent(target)
    if run_dir is not None and config is not None:
        raise ValueError("a run has a config of its own; leave run_dir or config out.")
    if run_dir is not None:
        config = RunDirectory(run_dir).config()
    else:
        config = _with_pair_encoding(
            config or config_lib.Config(), support_file, columns
        )
    if keep_context and not resolve_algorithm(config.algorithm.name).in_context:
        raise ValueError(
            f"{config.algorithm.name} reads no context whose keys and values could be"
            " kept; leave keep_context out, or take metaicl or in_context."
        )
    trained_with = config
    config = _with_names(config, label_names, label_name_weight)
    task = config_lib.build_task(config)
    check_label_names(config.data, task)
    if choose_head:
        check_choosable(config.algorithm, task)
    if choose_head is None:
        is_open = run_dir is None and unlabelled_texts is None
        choose_head = is_open and chosen_by_default(config.algorithm, task)
    takes = not choose_head and takes_unlabelled(config)
    check_unlabelled(
        takes, unlabelled_texts is not None, _head_name(config, choose_head)
    )
    source = _with_columns(config.data, columns)
    examples = read_examples(support_file, source, task, split=source.split)
    report_notes(examples.notes, console)
    names = first_seen(examples) or [source.label]
    if len(names) < 2 and target_kinds.of(task).single_label:
        raise ValueError(
            f"{support_file}: all texts have the label {names[0]!r}; add"
            " texts of another label, since a task needs at least two classes."
        )
    trained = (
        fitted(load_untrained(config, len(names)))
        if run_dir is None
        else load_trained(run_dir)
    )
    trained = trained._replace(
        config=_with_names(trained.config, label_names, label_name_weight)
    )
    choice = None
    if choose_head:
        choice = _head_choice(trained, examples, names, task)
        print(choice, file=sys.stderr)
        trained = _with_choice(trained, choice, task, len(names))
    calibration, reason = None, None
    if run_dir is not None:
        calibration = read_calibration(RunDirectory(run_dir))
        other_head = None if choice is None or choice.is_default else choice.name
        reason = why_uncalibrated(
            trained_with,
            uses_label_names=config.data.uses_label_names,
            other_head=other_head,
        )
    if reason is not None:
        calibration = None
    room = _room(trained, len(names), support_file)
    model, params, config = trained.model, trained.params, trained.config
    algorithm = build_algorithm(
        config.algorithm,
        model.encoder,
        model.init,
        task,
        room,
        num_steps=config.algorithm.eval_num_steps,
    )
    _check_linear(config, model, task, room)
    support, cut = support_set(model, examples, names, config, task, room)
    named = names_of_classes(names, config.data, task)
    used = used_record(0, named is not None)
    if unlabelled_texts is None:
        adapted, _ = jax.jit(algorithm.adapt)(params, support)
    else:
        unlabelled = read_unlabelled(unlabelled_texts, config)
        used = used_record(len(unlabelled), named is not None)
        labelled = (*examples.texts, *(named.inputs if named else ()))
        adapted = adapt_with_unlabelled(
            model, params, config, task, support, labelled, unlabelled, room
        )
    card = adapted_card(
        target,
        config,
        names,
        examples,
        model=model.pretrained.directory,
        run_dir=None if run_dir is None else Path(run_dir).expanduser(),
        calibration=calibration,
        max_length=config.data.max_length,
        used=used,
    )
    if model.family.generative:
        save_generative(
            target,
            model,
            params,
            adapted,
            config,
            notes={CARD: card},
            names=names,
            support=support_lines(examples, task),
            keep_context=keep_context,
        )
        what = config.data.task
        if "context" in adapted:
            report_notes(left_out_notes(adapted["context"]), console)
    else:
        save_adapted(
            target,
            model,
            params,
            adapted,
            names,
            config,
            task,
            notes={CARD: card, **shown_support(examples)},
            calibration=calibration,
            choice=choice,
            used=used,
        )
        what = target_kinds.of(task).describe_adapted(len(names))
    texts = counted(len(examples), "text") + described_use(used)
    console.print(f"adapted to {what} from {texts}{cut}: {target}", soft_wrap=True)
    if config.model.extends_features:
        which = "texts that are encoded apart"
        if config.model.capitals:
            which = "words that say which begin with a capital"
        console.print(
            f"its output layer, in {HEAD}, takes features of {which}, as no class of"
            " Hugging Face does; metaflax loads all of it, and AutoModel the encoder",
            soft_wrap=True,
        )
    if calibration is not None:
        console.print(
            f"calibrated at temperature {calibration.temperature:.3g}, fitted on"
            f" {calibration.queries} {calibration.episodes} queries of meta-validation",
            soft_wrap=True,
        )
    elif reason is not None:
        console.print(f"not calibrated: {reason}", soft_wrap=True)
    elif run_dir is not None and _is_calibrated(task):
        console.print(
            f"not calibrated, since the run is of an earlier version: `metaflax"
            f" evaluate {run_dir}` fits a temperature; then adapt again",
            soft_wrap=True,
        )
    return target


def _with_pair_encoding(
    config: config_lib.Config, support_file: str | Path, columns: Mapping[str, Any]
) -> config_lib.Config:
    """Names the pair encoding that follows from the model and the support set."""
    source = _with_columns(config.data, columns)

    def inputs(task: tasks.TaskType) -> Sequence[Any]:
        return read_examples(support_file, source, task, split=source.split).texts

    return with_pair_encoding(config, inputs)


def _with_columns(
    config: config_lib.DataConfig, columns: Mapping[str, str | None]
) -> config_lib.DataConfig:
    """Replaces the columns that are given.

    Raises:
      ValueError: for a name that is no setting of columns.
    """
    known = (*run_columns(config), "unlabelled", *_SUPPORT_SETTINGS)
    if unknown := [name for name in columns if name not in known]:
        raise ValueError(
            f"{unknown[0]!r} is no setting of the columns of a support file; known:"
            f" {', '.join(known)}."
        )
    given = {name: value for name, value in columns.items() if value is not None}
    config = dataclasses.replace(config, split=None, encoding=None)
    return dataclasses.replace(config, **given)  # pyright: ignore


def _with_names(
    config: config_lib.Config, source: str | None, weight: float | None
) -> config_lib.Config:
    """Replaces what the config says of names of classes, where that is given."""
    names = {"label_names": source, "label_name_weight": weight}
    given: Any = {name: value for name, value in names.items() if value is not None}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **given))


def _head_choice(
    trained: Trained, examples: data.Examples, names: list[str], task: tasks.TaskType
) -> HeadChoice:
    """Chooses a head by the features of the support set."""
    named = names_of_classes(names, trained.config.data, task)
    inputs = (*examples.texts, *(named.inputs if named else ()))
    tokenized = trained.model.tokenize(inputs, trained.config.data, task.form)
    features = embedder(trained.model)(
        trained.params["encoder"], tokenized, np.arange(len(inputs))
    )
    texts, of_names = np.split(features, [len(examples)])
    to_arrays = target_kinds.of(task).to_arrays
    assert to_arrays is not None  # `check_choosable` refuses others.
    targets = to_arrays(examples, names, len(names))
    return choose_head_by(
        texts,
        targets,
        trained.config.algorithm,
        task,
        trained.params.get("head"),
        None if named is None else NamedFeatures.of(of_names, named),
    )


def _with_choice(
    trained: Trained, choice: HeadChoice, task: tasks.TaskType, num_classes: int
) -> Trained:
    """Returns the same encoder with a new head of the kind that was chosen."""
    if choice.is_default:
        return trained
    settings = choice.applied(trained.config.algorithm)
    encoder = trained.model.encoder
    algorithm = build_algorithm(
        settings, encoder, trained.model.init, task, num_classes
    )
    fresh: Any = algorithm.init(jax.random.key(0))
    return trained._replace(
        config=dataclasses.replace(trained.config, algorithm=settings),
        params={**fresh, "encoder": trained.params["encoder"]},
        num_classes=num_classes,
    )


def _head_name(config: config_lib.Config, choose_head: bool) -> str:
    """Returns the name of the head that is asked for."""
    default = resolve_algorithm(config.algorithm.name).default_head
    return AUTO if choose_head else config.algorithm.head or default


def _is_calibrated(task: tasks.TaskType) -> bool:
    return target_kinds.of(task).single_label and task.tokens is None


def _check_linear(
    config: config_lib.Config, model: LoadedModel, task: tasks.TaskType, room: int
) -> None:
    settings, num_features = config.algorithm, model.encoder.num_features
    head = build_head(settings, num_features, task, room)
    if not task.is_generative and not head.is_linear:
        raise ValueError(
            f"the head of {settings.name} is no linear layer, which a classifier in"
            " Hugging Face's format has; take an algorithm or --head with one, such as"
            " prototypes, ridge or logistic_regression."
        )


def _room(trained: Trained, num_names: int, support_file: str | Path) -> int:
    """Returns the number N of classes of the head, fixed by a learned output layer."""
    config = trained.config
    algorithm = build_algorithm(
        config.algorithm,
        trained.model.encoder,
        trained.model.init,
        config_lib.build_task(config),
        num_names,
    )
    needed = jax.eval_shape(algorithm.init, jax.random.key(0))
    if jax.tree.map(jnp.shape, needed) == jax.tree.map(jnp.shape, trained.params):
        return num_names  # Nothing that was learned depends on their number.
    if num_names > trained.num_classes:
        raise ValueError(
            f"{support_file} has {num_names} classes, and this run's output layer was"
            f" meta-trained for {trained.num_classes}; use protonet or proto_maml,"
            " whose heads take any number, or train with a larger way."
        )
    return trained.num_classes
