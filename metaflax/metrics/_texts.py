"""What all metrics of texts ask of the texts, and of the libraries that score them."""

import contextlib
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def the_extra() -> Iterator[None]:
    """Names the extra where a library that scores texts is missing."""
    try:
        yield
    except ImportError as error:
        raise ValueError(
            "scores of generated texts need the extra: pip install"
            " 'metaflax[generation]'."
        ) from error


def listed(said: Sequence[str]) -> list[str]:
    """The texts, some at least."""
    if isinstance(said, str):
        raise ValueError(
            f"a metric takes several texts and got one string, {said[:40]!r}; give a"
            " list, [text] for a single one."
        )
    if not len(said):
        raise ValueError("there are no texts to score; give one at least.")
    return list(said)


def paired(said: Sequence[str], true: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts said and the true ones, as many of each."""
    said, true = listed(said), listed(true)
    if len(said) != len(true):
        raise ValueError(
            f"{len(said)} texts were said, and there are {len(true)} true ones; give"
            " one true text for each that was said."
        )
    return said, true
