"""Adaptation to a new task from a file of labelled texts."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, target_kinds, tasks
from metaflax._files import check_absent
from metaflax.config._factories import build_algorithm, build_head
from metaflax.config._unused import unused_notes
from metaflax.workflows.inference import _request
from metaflax.workflows.inference._adapted_task import AdaptedTask
from metaflax.workflows.inference._unlabelled import adapt_with_unlabelled
from metaflax.workflows.learning._head_choice import (
    HeadChoice,
    NamedFeatures,
)
from metaflax.workflows.learning._head_choice import choose_head as choose_head_by
from metaflax.workflows.learning._support_sets import support_set
from metaflax.workflows.runs._console import console_or_quiet, report_notes
from metaflax.workflows.runs._embedder import embedder
from metaflax.workflows.runs._episodes import names_of_classes
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._protocol import read_unlabelled, used_record
from metaflax.workflows.runs._run import Trained


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
      unlabelled_texts: file of texts without labels, as for `data.read_texts`, with the
        columns and encoding of the support file, for heads that learn from such texts,
        soft_k_means and label_propagation.
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
    request = _request.request(
        support_file,
        run_dir,
        config,
        columns,
        keep_context=keep_context,
        choose_head=choose_head,
        has_unlabelled=unlabelled_texts is not None,
        label_names=label_names,
        label_name_weight=label_name_weight,
    )
    task, examples = request.task, request.read_support()
    report_notes(examples.notes, console)
    names = request.names_of(examples)
    trained, choice = request.load(len(names)), None
    if run_dir is None:
        model = trained.model
        notes = unused_notes(request.config, model.encoder, model.init)
        report_notes(notes, console)
    if request.chooses_head:
        choice = _head_choice(trained, examples, names, task)
        print(choice, file=sys.stderr)
        trained = _with_choice(trained, choice, task, len(names))
    room = _room(trained, len(names), support_file)
    _check_linear(trained.config, trained.model, task, room)
    unlabelled = None
    if unlabelled_texts is not None:
        unlabelled = read_unlabelled(unlabelled_texts, task, request.source)
    learned = _learned(trained, task, examples, names, room, unlabelled)
    result = AdaptedTask(
        trained,
        request.run_dir,
        task,
        examples,
        names,
        learned.adapted,
        learned.used,
        choice,
    )
    result.save(target, keep_context=keep_context)
    result.report(target, learned.truncated, console)
    return target


class _Learned(NamedTuple):
    """Result of adaptation: parameters, record of inputs, description of truncation."""

    adapted: Any
    used: dict[str, Any]
    truncated: str


def _learned(
    trained: Trained,
    task: tasks.TaskType,
    examples: data.Examples,
    names: list[str],
    room: int,
    unlabelled: Any,
) -> _Learned:
    """Adapts to the support set, and to texts without labels if there are any."""
    config, model, params, _ = trained
    support, truncated = support_set(model, examples, names, config, task, room)
    named = names_of_classes(names, config.data, task)
    if unlabelled is None:
        algorithm = build_algorithm(
            config.algorithm,
            model.encoder,
            model.init,
            task,
            room,
            num_steps=config.algorithm.eval_num_steps,
        )
        adapted, _ = jax.jit(algorithm.adapt)(params, support)
        return _Learned(adapted, used_record(0, named is not None), truncated)
    labelled = (*examples.texts, *(named.inputs if named else ()))
    adapted = adapt_with_unlabelled(
        model, params, config, task, support, labelled, unlabelled, room
    )
    used = used_record(len(unlabelled), named is not None)
    return _Learned(adapted, used, truncated)


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
    """Returns the same encoder with a new head, that of the choice."""
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
        return num_names  # No learned parameter depends on the number of classes.
    if num_names > trained.num_classes:
        raise ValueError(
            f"{support_file} has {num_names} classes, and this run's output layer was"
            f" meta-trained for {trained.num_classes}; use protonet or proto_maml,"
            " whose heads take any number, or train with a larger way."
        )
    return trained.num_classes
