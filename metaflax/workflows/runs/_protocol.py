"""Records of what scores and adapted models were made with, beside labels."""

from collections.abc import Mapping
from typing import Any

from metaflax import config as config_lib
from metaflax._wording import counted
from metaflax.config._factories import build_head, build_task
from metaflax.data.sources._sources import read_texts

INDUCTIVE, TRANSDUCTIVE, SEMI_SUPERVISED = (
    "inductive",
    "transductive",
    "semi-supervised",
)


def takes_unlabelled(config: config_lib.Config) -> bool:
    """Whether the head of a config learns from texts without labels, too.

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
    """Returns what predictions of episodes are made with, beside the support set.

    `setting` is `transductive` where the head learns from all queries of the episode,
    without their labels, and else `inductive`. `label_names` says whether the model
    takes the names of labels as input, in a template or as support examples,
    `further_training_texts` names the file, such as one of clusters, that meta-training
    used beside the labelled texts.
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
      used: the record; one of an earlier version has fewer entries.
      brief: whether what is usual goes without saying, so that the description of
        inductive predictions without anything else is empty.

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
    """Returns what a model was adapted to, beside labelled texts.

    Predictions of the texts without labels themselves are transductive.

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


def check_unlabelled(takes: bool, given: bool, head: str | None) -> None:
    """Refuses texts without labels where a head takes none, and their absence.

    Args:
      takes: whether the head learns from texts without labels.
      given: whether there are any.
      head: name of the head; None for the default one.

    Raises:
      ValueError: if they do not fit each other.
    """
    named = "this head" if head is None else f"the head {head!r}"
    if given and not takes:
        raise ValueError(
            f"{named} does not learn from texts without labels; take"
            " soft_k_means or label_propagation, or leave these texts out."
        )
    if takes and not given:
        raise ValueError(
            f"{named} learns from texts without labels beside the labelled"
            " ones; give such texts, or take prototypes."
        )


def read_unlabelled(source: Any, config: config_lib.Config) -> list[Any]:
    """Reads texts without labels from a file, in the form of the task type.

    Raises:
      ValueError: if it cannot be read, or holds none.
    """
    form, columns = build_task(config).form, config.data
    texts = list(
        read_texts(
            source, form=form, column=columns.text, column_pair=columns.text_pair
        )
    )
    if not texts:
        raise ValueError(f"{source}: holds no text; give texts without labels.")
    return texts
