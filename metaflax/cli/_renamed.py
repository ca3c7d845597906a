"""Former names of options, accepted for one release."""

from collections.abc import Callable, Sequence

# New names by former names. No former name is an option of another command.
RENAMED = {
    "--tasks-by": "--task-loop",
    "--layers-by": "--layer-loop",
    "--most-skipped": "--max-skipped-steps",
    "--shots": "--curve-shots",
    "--inner-steps": "--curve-inner-steps",
    "--export": "--export-episodes",
    "--max-new": "--max-new-tokens",
    "--width": "--hidden-size",
    "--layers": "--num-layers",
    "--heads": "--num-heads",
    "--positions": "--max-positions",
}


def with_new_names(args: Sequence[str], warn: Callable[[str], None]) -> list[str]:
    """Replaces former names of options.

    Args:
      args: arguments of the command line.
      warn: called with a sentence for each replaced name.

    Returns:
      The arguments with the new names.
    """
    renamed: list[str] = []
    for arg in args:
        if renamed[-1:] == ["--tensorboard"]:
            warn("--tensorboard is now --log-sinks; the next release drops it.")
            renamed[-1:] = ["--log-sinks", "tensorboard"] if arg == "True" else []
            continue
        name, equals, value = arg.partition("=")
        new = RENAMED.get(name.replace("_", "-"))
        if new is not None:
            warn(f"{name} is now {new}; the next release drops the former name.")
            arg = f"{new}{equals}{value}"
        renamed.append(arg)
    return renamed
