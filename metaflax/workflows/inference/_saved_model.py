"""Files of adapted models, in Hugging Face's format."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaflax import config as config_lib
from metaflax import models, target_kinds, tasks, tree
from metaflax.config._factories import template_for
from metaflax.config._types import misfits
from metaflax.workflows.inference._kept_context import CONTEXT, context_tensors
from metaflax.workflows.inference._support_file import SUPPORT
from metaflax.workflows.learning._head_choice import HeadChoice
from metaflax.workflows.runs._calibration import Calibration
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._protocol import used_record

# Settings of the algorithm that decode logits.
DECODING = ("transitions", "entity_typing", "entity_threshold", "null_threshold")


def save_adapted(
    target: Path,
    model: LoadedModel,
    params: Any,
    adapted: Any,
    names: list[str],
    config: config_lib.Config,
    task: tasks.TaskType,
    *,
    notes: Mapping[str, str] | None = None,
    calibration: Calibration | None = None,
    choice: HeadChoice | None = None,
    used: Mapping[str, Any] | None = None,
) -> None:
    """Writes an adapted model as a Hugging Face sequence classifier.

    `notes` are texts of further files, by their names; `used` is the record of inputs
    other than labelled texts.

    Raises:
      ValueError: if its encoder has parts that the format cannot express.
    """
    head = jax.tree.map(np.asarray, adapted["head"])
    # The classes of the task come first, then padding.
    room, classes = len(head["bias"]), task.classes(names)
    kept = [*range(len(classes)), *range(room - len(task.others), room)]
    model.save(
        target,
        tree.merge(adapted["encoder"], params["encoder"]),
        head={"kernel": head["kernel"][:, kept], "bias": head["bias"][kept]},
        labels=[*classes, *task.others],
        pooling=model.pooling,
        standardize=model.standardize,
        head_apart=config.model.extends_features,
        problem_type=target_kinds.of(task).problem_type,
        purpose={
            **_purpose(model, config, calibration, choice),
            "used": dict(used or used_record(0)),
        },
        notes=notes,
    )


def _purpose(
    model: LoadedModel,
    config: config_lib.Config,
    calibration: Calibration | None,
    choice: HeadChoice | None,
) -> dict[str, Any]:
    """Returns the record of a saved classifier: task type, decoding, calibration."""
    longest = model.fitted(config.data).max_length
    purpose: dict[str, Any] = {"task": config.data.task, "max_length": longest}
    if config.model.encodes_apart:
        purpose |= {"pair_encoding": config.model.pair_encoding}
    if config.model.capitals:
        purpose |= {"capitals": True}
    if decoding := _decoding(config.algorithm):
        purpose |= {"decoding": decoding}
    if choice is not None:
        purpose |= {"chosen_head": choice.record()}
    if calibration is None:
        return purpose
    return purpose | {"calibration": calibration._asdict()}


def _decoding(config: config_lib.AlgorithmConfig) -> dict[str, Any]:
    """Returns the settings for decoding logits, if the task type has any."""
    usual = config_lib.AlgorithmConfig()
    values = {name: getattr(config, name) for name in DECODING}
    return {name: x for name, x in values.items() if x != getattr(usual, name)}


def saved_decoding(
    pretrained: models.pretrained.Pretrained,
) -> config_lib.AlgorithmConfig:
    """Returns a config with the settings for decoding logits of a saved model.

    Raises:
      ValueError: if the saved settings are invalid.
    """
    saved = pretrained.purpose.get("decoding", {})
    if isinstance(saved, Mapping) and set(saved) <= set(DECODING):
        values: dict[str, Any] = {
            name: tuple(x) if isinstance(x, list) else x for name, x in saved.items()
        }
        config = config_lib.AlgorithmConfig(**values)
        if not misfits(config):
            return config
    raise ValueError(
        f"{pretrained.directory / 'config.json'}: decoding={saved!r:.60} is none of a"
        " saved model; adapt it again."
    )


def save_generative(
    target: Path,
    model: LoadedModel,
    params: Any,
    adapted: Any,
    config: config_lib.Config,
    *,
    notes: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
    support: str = "",
    keep_context: bool = False,
) -> None:
    """Writes an adapted generative model; `notes` are further files.

    One adapted in context keeps its support set, and if `keep_context` its keys and
    values.
    """
    merged = tree.merge(adapted["encoder"], params["encoder"])
    purpose, files, tensors = generative_purpose(config), dict(notes or {}), {}
    if config_lib.build_task(config).template is not None:
        purpose |= {"labels": list(names), "calibrate": config.algorithm.calibrate}
    if "context" in adapted:
        purpose["in_context"] = True
        files[SUPPORT] = support
        if keep_context:
            tensors[CONTEXT] = context_tensors(adapted["context"])
    model.save(target, merged, purpose=purpose, notes=files, tensors=tensors)


def generative_purpose(config: config_lib.Config) -> dict[str, Any]:
    """Returns the record of a saved generative model: task type and text lengths."""
    names = ("task", "max_length", "max_target_length")
    purpose = {name: getattr(config.data, name) for name in names}
    if (template := template_for(config)) is not None:
        purpose["template"] = template.record()
    return purpose
