"""Configs for adapting a pretrained model without a run."""

import dataclasses
from typing import Any

from metaflax import _registry, target_kinds
from metaflax import config as config_lib
from metaflax.config._factories import TASKS, resolve_algorithm
from metaflax.config._given import given
from metaflax.models.pretrained._sentence_transformers import sentence_embedding
from metaflax.workflows.runs._load_model import locate_model
from metaflax.workflows.runs._pair_encoding import with_pair_encoding

# Centred class means: the component that all pairs share hides how the two texts of a
# pair are related.
HEAD_OF_TOWERS = "centred_prototypes"


def without_run(
    model: str = "minilm",
    algorithm: str | None = None,
    task: str = "classification",
    **settings: Any,
) -> config_lib.Config:
    """Makes the config for adapting a pretrained model without a run.

    Args:
      model: directory or hub name of the model.
      algorithm: adaptation, such as frozen or fine_tuning (default: frozen, and
        fine_tuning for targets that no head on a frozen encoder can be fitted to).
      task: task type.
      **settings: further settings of the model, the data, the episodes or the
        algorithm, such as `pooling`, `tagging` or `head`; None for the default. The
        default of `max_length` is that of a sentence-transformers folder. The default
        head for classes of pairs in two towers, on a frozen encoder, is
        `centred_prototypes`.

    Raises:
      ValueError: for an unknown task type or setting, or incompatible settings.
    """
    config = config_lib.Config()
    _registry.resolve("task", TASKS, task)
    overrides = given(**settings)
    sections: dict[str, dict[str, Any]] = {
        "model": {"name": model},
        "data": {"task": task},
        "episodes": {},
        "algorithm": {"name": algorithm or "frozen"},
    }
    for section, values in sections.items():
        fields = {field.name for field in dataclasses.fields(getattr(config, section))}
        for name in (fields & set(overrides)) - {"name", "path"}:
            values[name] = overrides.pop(name)
    if overrides:
        raise ValueError(
            f"there is no setting {next(iter(overrides))!r} of a model, its data or its"
            " adaptation; see `metaflax adapt --help`."
        )
    config = dataclasses.replace(
        config,
        **{
            section: dataclasses.replace(getattr(config, section), **values)
            for section, values in sections.items()
        },
    )
    if algorithm is None:
        config = _with_inner_steps(config)
    config_lib.check(config)
    _refuse_unlearned_head(config)
    config = _with_head_of_towers(with_pair_encoding(config))
    if "max_length" in sections["data"] or config_lib.build_task(config).texts:
        return config
    embedding = sentence_embedding(locate_model(model))
    if embedding is None or embedding.max_length is None:
        return config
    data = dataclasses.replace(config.data, max_length=embedding.max_length)
    return dataclasses.replace(config, data=data)


def _with_inner_steps(config: config_lib.Config) -> config_lib.Config:
    """Returns the config with fine-tuning if no head can be fitted to the targets."""
    if target_kinds.of(config_lib.build_task(config)).closed_form:
        return config
    algorithm = dataclasses.replace(config.algorithm, name="fine_tuning")
    return dataclasses.replace(config, algorithm=algorithm)


def _refuse_unlearned_head(config: config_lib.Config) -> None:
    """Raises ValueError for a new output layer that adaptation would not fit."""
    task, name = config_lib.build_task(config), config.algorithm.name
    fits = target_kinds.of(task).closed_form or task.is_generative
    if not fits and not resolve_algorithm(name).has_inner_steps:
        raise ValueError(
            f"{name} has no inner steps, and {config.data.task} no head that is fitted"
            " without them; take fine_tuning, or a meta-trained run."
        )


def _with_head_of_towers(config: config_lib.Config) -> config_lib.Config:
    """Returns the config with the default head for pairs in two towers."""
    algorithm, kind = config.algorithm, config_lib.build_task(config).kind
    is_default = algorithm.head is None and algorithm.name == "frozen"
    towers = config.model.pair_encoding == "two_towers" and kind == "classes"
    if not (is_default and towers):
        return config
    algorithm = dataclasses.replace(algorithm, head=HEAD_OF_TOWERS)
    return dataclasses.replace(config, algorithm=algorithm)
