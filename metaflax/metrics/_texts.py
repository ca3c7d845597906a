"""Input checks shared by the metrics of generated texts."""

import contextlib
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def the_extra() -> Iterator[None]:
    """Turns a missing scoring library into an error that names the extra."""
    try:
        yield
    except ImportError as error:
        raise ValueError(
            "scores of generated texts need the extra: pip install"
            " 'metaflax[generation]'."
        ) from error


def listed(predictions: Sequence[str]) -> list[str]:
    """Checks and lists texts; there must be at least one."""
    if isinstance(predictions, str):
        raise ValueError(
            f"a metric takes several texts and got one string, {predictions[:40]!r};"
            " give a list, [text] for a single one."
        )
    if not len(predictions):
        raise ValueError("there are no texts to score; give one at least.")
    return list(predictions)


def paired(
    predictions: Sequence[str], references: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Checks and lists predictions and references, equally many."""
    predictions, references = listed(predictions), listed(references)
    if len(predictions) != len(references):
        raise ValueError(
            f"there are {len(predictions)} predictions and {len(references)}"
            " references; give one reference for each prediction."
        )
    return predictions, references
