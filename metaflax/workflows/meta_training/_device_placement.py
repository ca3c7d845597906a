"""Which devices a run takes."""

from rich.console import Console

from metaflax import training


def placement_for(
    num_tasks: int, param_shards: int | None, console: Console
) -> training.Placement:
    """All devices for the tasks of a step, or one.

    Args:
      num_tasks: of a step; where steps differ, what divides the tasks of each.
      param_shards: how many devices share a copy of the parameters; None for one
        device alone.
      console: is told of several.

    Raises:
      ValueError: if the devices cannot share the tasks, or the parameters.
    """
    if param_shards is None:
        return training.OneDevice()
    placement = training.spread_over(num_tasks, param_shards)
    if placement.mesh is not None:
        console.print(
            f"{placement.mesh.size} devices share the tasks of a step, and groups of"
            f" {param_shards} the parameters.",
            soft_wrap=True,
        )
    return placement
