"""Task types of generated texts with custom scores."""

from collections.abc import Callable, Sequence

from metaflax import config as config_lib
from metaflax import tasks


def generation_task(
    config: config_lib.Config,
    names: Sequence[str],
    score: Callable[[Sequence[str], Sequence[str]], dict[str, float]],
) -> tasks.TaskType:
    """Builds a task type like `tasks.translation` with custom scores of its texts.

    Args:
      config: config of the run.
      names: names of the scores.
      score: `scores = score(generated, references)`, by name.
    """
    task = tasks.translation(label_smoothing=config.algorithm.label_smoothing)
    assert task.texts is not None
    level = task.texts._replace(generation_scores=tuple(names), score=score)
    return task._replace(texts=level)
