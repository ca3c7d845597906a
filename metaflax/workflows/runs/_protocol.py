"""Records of the information that scores and adapted models used beside labels."""

from collections.abc import Mapping
from typing import Any

from metaflax import config as config_lib
from metaflax import tasks
from metaflax._wording import counted
from metaflax.config._factories import build_head, build_task
from metaflax.data.sources._decoding import Reading
from metaflax.data.sources._input_texts import read_input_rows
from metaflax.tasks._fields import OPTIONS

INDUCTIVE, TRANSDUCTIVE, SEMI_SUPERVISED = (
    "inductive",
    "transductive",
    "semi-supervised",
)


def takes_unlabelled(config: config_lib.Config) -> bool:
    """Returns whether the head of a config also learns from texts without labels.

    Examples:
      >>> from metaflax import config
      >>> algorithm = config.AlgorithmConfig("frozen", head="soft_k_means")
      >>> takes_unlabelled(config.Config(algorithm=algorithm))
      True
    """
    task = build_task(config)
    if task.is_generative:
        return False
    return build_head(config.algorithm, 1, task, 2).takes_unlabelled


def episode_protocol(config: config_lib.Config) -> dict[str, Any]:
    """Returns the record of the inputs of predictions other than the support set.

    `setting` is `transductive` if the head learns from all queries of the episode,
    without their labels, and `inductive` otherwise. `label_names` tells whether the
    model takes the names of labels as input, in a template or as support examples.
    `further_training_texts` names the file of further meta-training texts, such as
    clusters.
    """
    setting = TRANSDUCTIVE if takes_unlabelled(config) else INDUCTIVE
    return {
        "setting": setting,
        "label_names": build_task(config).template is not None
        or config.data.uses_label_names,
        "further_training_texts": config.data.more_train,
    }


def described_protocol(used: Mapping[str, Any], *, brief: bool = False) -> str:
    """Describes a record of `episode_protocol`.

    Args:
      used: the record; records of earlier versions have fewer entries.
      brief: whether to omit the usual case, so that the description of inductive
        predictions without further inputs is empty.

    Examples:
      >>> described_protocol({"setting": "transductive", "label_names": True})
      'transductive, with names of classes'
      >>> described_protocol({"setting": "inductive"})
      'inductive'
      >>> described_protocol({"setting": "inductive"}, brief=True)
      ''
    """
    parts = [used["setting"]] if used["setting"] != INDUCTIVE or not brief else []
    if used.get("label_names"):
        parts.append("with names of classes")
    if used.get("further_training_texts"):
        parts.append("with further training texts")
    return ", ".join(parts)


def used_record(num_unlabelled: int, label_names: bool = False) -> dict[str, Any]:
    """Returns the record of the inputs of adaptation other than labelled texts.

    Predictions of the unlabelled texts themselves are transductive.

    Examples:
      >>> used_record(40)["setting"], used_record(0, label_names=True)
      ('semi-supervised', {'setting': 'inductive', 'texts_without_labels': 0, ...})
    """
    return {
        "setting": SEMI_SUPERVISED if num_unlabelled else INDUCTIVE,
        "texts_without_labels": num_unlabelled,
        "label_names": label_names,
    }


def described_use(used: Mapping[str, Any]) -> str:
    """Describes a record of `used_record` as the end of a phrase, empty if inductive.

    Examples:
      >>> described_use(used_record(40))
      ' and 40 texts without labels (semi-supervised; transductive for these texts)'
      >>> described_use(used_record(0, label_names=True))
      ' and the names of the classes'
    """
    named = " and the names of the classes" if used.get("label_names") else ""
    if not used["texts_without_labels"]:
        return named
    texts = counted(used["texts_without_labels"], "text")
    return (
        f"{named} and {texts} without labels (semi-supervised; transductive for these"
        " texts)"
    )


def check_unlabelled(takes: bool, has_unlabelled: bool, head: str | None) -> None:
    """Checks that there are texts without labels if and only if the head takes them.

    Args:
      takes: whether the head learns from texts without labels.
      has_unlabelled: whether there are texts without labels.
      head: name of the head; None for the default one.

    Raises:
      ValueError: if the two differ.
    """
    named = "this head" if head is None else f"the head {head!r}"
    if has_unlabelled and not takes:
        raise ValueError(
            f"{named} does not learn from texts without labels; take"
            " soft_k_means or label_propagation, or leave these texts out."
        )
    if takes and not has_unlabelled:
        raise ValueError(
            f"{named} learns from texts without labels beside the labelled"
            " ones; give such texts, or take prototypes."
        )


def read_unlabelled(
    source: Any, task: tasks.TaskType, settings: config_lib.DataConfig
) -> list[Any]:
    """Reads texts without labels from a file, in the form of the task type.

    Args:
      source: the file.
      task: the task type.
      settings: columns and encoding, those of the labelled texts.

    Raises:
      ValueError: if the file cannot be read, or holds no text.
    """
    rows = read_input_rows(
        source,
        form=task.form,
        column=settings.text,
        column_pair=settings.text_pair,
        reading=Reading(settings.encoding),
        options=OPTIONS,
    )
    texts = [row.text for row in rows]
    if not texts:
        raise ValueError(f"{source}: holds no text; give texts without labels.")
    return texts
