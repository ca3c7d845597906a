"""The table of target kinds."""

from metaflax import tasks
from metaflax.target_kinds._base import TargetKind
from metaflax.target_kinds._choices import CHOICES
from metaflax.target_kinds._classes import CLASSES, LABELS
from metaflax.target_kinds._numbers import NUMBERS
from metaflax.target_kinds._texts import TEXTS
from metaflax.target_kinds._token_level import SPANS, TAGS

TARGET_KINDS: dict[str, TargetKind] = {
    kind.name: kind for kind in (CLASSES, LABELS, CHOICES, NUMBERS, TAGS, SPANS, TEXTS)
}


def of(task: tasks.TaskType) -> TargetKind:
    """Returns the kind of a task type's targets, its own or the one that it names.

    Args:
      task: the task type.

    Returns:
      Its target kind.

    Raises:
      ValueError: if it names an unknown kind, or its own kind lacks a part.

    Examples:
      >>> from metaflax import tasks
      >>> from metaflax.target_kinds import of
      >>> of(tasks.regression()).problem_type
      'regression'
    """
    if task.target_kind is not None:
        return _checked(task, task.target_kind)
    if task.kind not in TARGET_KINDS:
        raise ValueError(
            f"unknown target kind {task.kind!r}; known: {', '.join(TARGET_KINDS)}. A"
            " task type may bring its own in `target_kind`."
        )
    return TARGET_KINDS[task.kind]


def _checked(task: tasks.TaskType, kind: TargetKind) -> TargetKind:
    """Refuses a user's kind that lacks what targets of whole texts need."""
    if task.tokens is None and task.texts is None:
        absent = {"to_arrays": kind.to_arrays, "report": kind.report}
        if missing := [name for name, part in absent.items() if part is None]:
            raise ValueError(
                f"the target kind {kind.name!r} of whole texts has no"
                f" {' and no '.join(missing)}; define them."
            )
    return kind
