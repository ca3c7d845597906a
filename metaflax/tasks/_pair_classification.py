"""Classification of pairs of texts."""

from typing import Literal

from metaflax.tasks._base import TaskType
from metaflax.tasks._classification import classification
from metaflax.tasks._pairs import PAIR


def pair_classification(
    *,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Classification of pairs of texts, such as entailment and paraphrase.

    Args:
      label_smoothing: as for `classification`.
      class_weights: as for `classification`.

    Returns:
      A `TaskType` as `classification`, whose inputs are encoded in two segments; see
      `Form.pair_encodings` for others.

    Raises:
      ValueError: as `classification`.

    Examples:
      >>> from metaflax.tasks import pair_classification
      >>> from metaflax import tasks
      >>> row = {"text": "It rains.", "text_pair": "It is wet."}
      >>> pair_classification().form.read(tasks.Fields(row, "a.jsonl:1"))
      Pair(first='It rains.', second='It is wet.')
    """
    by_class = classification(
        label_smoothing=label_smoothing, class_weights=class_weights
    )
    return by_class._replace(form=PAIR, variants=False, on_disk=False)
