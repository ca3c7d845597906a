"""Arguments of an adaptation, checked before a model is loaded."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metaflax import config as config_lib
from metaflax import data, target_kinds, tasks
from metaflax.config._check import check_label_names
from metaflax.config._factories import resolve_algorithm
from metaflax.config._given import with_given
from metaflax.workflows.learning._choosable_heads import (
    AUTO,
    check_choosable,
    chooses_head_by_default,
)
from metaflax.workflows.learning._support_sets import first_seen
from metaflax.workflows.runs._episodes import columns as run_columns
from metaflax.workflows.runs._episodes import read_examples
from metaflax.workflows.runs._pair_encoding import with_pair_encoding
from metaflax.workflows.runs._protocol import check_unlabelled, takes_unlabelled
from metaflax.workflows.runs._run_directory import RunDirectory
from metaflax.workflows.runs._trained import (
    Trained,
    fitted,
    load_trained,
    load_untrained,
)

# Settings of a support file other than columns; only the separator defaults to the
# run's.
_SUPPORT_SETTINGS = ("label_separator", "split", "encoding")


class Request(NamedTuple):
    """Checked arguments of an adaptation.

    Attributes:
      support_file: labelled texts.
      run_dir: a meta-trained run; None for a pretrained model.
      config: config of the run or the model, with the settings of label names.
      source: settings for reading the support file.
      chooses_head: whether a head is chosen on the support set.
      keeps_context: whether the keys and values of a context are kept.
    """

    support_file: str | Path
    run_dir: Path | None
    config: config_lib.Config
    source: config_lib.DataConfig
    chooses_head: bool
    keeps_context: bool

    @property
    def task(self) -> tasks.TaskType:
        """The task type."""
        return config_lib.build_task(self.config)

    def read_support(self) -> data.Examples:
        """Reads the support set.

        Raises:
          ValueError: if the file is invalid.
        """
        source = self.source
        return read_examples(self.support_file, source, self.task, split=source.split)

    def names_of(self, examples: data.Examples) -> list[str]:
        """Lists the classes of a support set, or the name of its numeric target.

        Raises:
          ValueError: if there is only one class.
        """
        names = first_seen(examples) or [self.source.label]
        if len(names) < 2 and target_kinds.of(self.task).single_label:
            raise ValueError(
                f"{self.support_file}: all texts have the label {names[0]!r}; add"
                " texts of another label, since a task needs at least two classes."
            )
        return names

    def load(self, num_classes: int) -> Trained:
        """Loads the model, with the config of the request.

        Args:
          num_classes: number of classes of the head, for a model without a run.

        Raises:
          ValueError: if the model or the run cannot be used.
        """
        if self.run_dir is None:
            return fitted(load_untrained(self.config, num_classes))
        return load_trained(self.run_dir)._replace(config=self.config)


def request(
    support_file: str | Path,
    run_dir: str | Path | None,
    config: config_lib.Config | None,
    columns: Mapping[str, str | None],
    *,
    keep_context: bool,
    choose_head: bool | None,
    has_unlabelled: bool,
    label_names: str | None,
    label_name_weight: float | None,
) -> Request:
    """Checks the arguments of `adapt`; see there.

    Raises:
      ValueError: for incompatible arguments.
    """
    if run_dir is not None and config is not None:
        raise ValueError("a run has a config of its own; leave run_dir or config out.")
    if run_dir is not None:
        config = RunDirectory(run_dir).config()
    else:
        config = config or config_lib.Config()
        config = _with_pair_encoding(config, support_file, columns)
    if keep_context and not resolve_algorithm(config.algorithm.name).in_context:
        raise ValueError(
            f"{config.algorithm.name} reads no context whose keys and values could be"
            " kept; leave keep_context out, or take metaicl or in_context."
        )
    config = _with_names(config, label_names, label_name_weight)
    task = config_lib.build_task(config)
    check_label_names(config.data, task)
    if choose_head:
        check_choosable(config.algorithm, task)
    if choose_head is None:
        is_open = run_dir is None and not has_unlabelled
        choose_head = is_open and chooses_head_by_default(config.algorithm, task)
    takes = not choose_head and takes_unlabelled(config)
    check_unlabelled(takes, has_unlabelled, _head_name(config, choose_head))
    return Request(
        support_file,
        None if run_dir is None else Path(run_dir).expanduser(),
        config,
        _with_columns(config.data, columns),
        choose_head,
        keep_context,
    )


def _with_pair_encoding(
    config: config_lib.Config, support_file: str | Path, columns: Mapping[str, Any]
) -> config_lib.Config:
    """Sets the pair encoding that suits the model and the support set."""
    source = _with_columns(config.data, columns)

    def inputs(task: tasks.TaskType) -> Sequence[Any]:
        return read_examples(support_file, source, task, split=source.split).texts

    return with_pair_encoding(config, inputs)


def _with_columns(
    config: config_lib.DataConfig, columns: Mapping[str, str | None]
) -> config_lib.DataConfig:
    """Replaces the columns that are not None.

    Raises:
      ValueError: for an unknown name of a column.
    """
    known = (*run_columns(config), "unlabelled", *_SUPPORT_SETTINGS)
    if unknown := [name for name in columns if name not in known]:
        raise ValueError(
            f"{unknown[0]!r} is no setting of the columns of a support file; known:"
            f" {', '.join(known)}."
        )
    config = dataclasses.replace(config, split=None, encoding=None)
    return with_given(config, **columns)


def _with_names(
    config: config_lib.Config, source: str | None, weight: float | None
) -> config_lib.Config:
    """Replaces the settings of label names that are not None."""
    data = with_given(config.data, label_names=source, label_name_weight=weight)
    return dataclasses.replace(config, data=data)


def _head_name(config: config_lib.Config, choose_head: bool) -> str:
    """Returns the name of the requested head."""
    default = resolve_algorithm(config.algorithm.name).default_head
    return AUTO if choose_head else config.algorithm.head or default
