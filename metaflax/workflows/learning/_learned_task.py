"""What a task's examples made of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.tree._paths import is_empty
from metaflax.workflows.learning._head_choice import HeadChoice

# Logit of a class without examples.
ABSENT = float(np.finfo(np.float32).min) / 2


class LearnedTask(NamedTuple):
    """What a task's examples made of a model.

    Attributes:
      names: class names, or the name of the numeric target.
      head: output layer, a `kernel` `[D, N]` and a `bias` `[N]`.
      encoder: adapted leaves of the encoder; empty if none was adapted.
      uses_label_names: whether names of classes were support examples.
      choice: choice of the head, if it was chosen.
    """

    names: tuple[str, ...]
    head: Mapping[str, np.ndarray]
    encoder: Any = None
    uses_label_names: bool = False
    choice: HeadChoice | None = None

    @property
    def shares_encoder(self) -> bool:
        """True if the task uses the learner's encoder unchanged."""
        return is_empty(self.encoder)


def output_layer(
    head: Mapping[str, Any], names: Sequence[str], task: tasks.TaskType
) -> dict[str, np.ndarray]:
    """Returns the output layer of a task's classes, without padding.

    Args:
      head: adapted head, with a `mask` `[N]` of classes that have examples, if any.
      names: class names of the task.
      task: task type.
    """
    room, num_classes = len(head["bias"]), len(task.classes(names))
    kept = [*range(num_classes), *range(room - len(task.others), room)]
    kernel, bias = np.asarray(head["kernel"]), np.asarray(head["bias"])
    if "mask" in head:
        bias = np.where(np.asarray(head["mask"]), bias, np.float32(ABSENT))
    return {"kernel": kernel[:, kept], "bias": bias[kept]}
