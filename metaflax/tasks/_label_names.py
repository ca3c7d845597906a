"""Names of labels: one for each value, whatever the format of a file."""

import math
import re
import unicodedata
from collections.abc import Iterable

# Numbers such as 3.0, which spreadsheets and pandas write for 3.
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")


def label_name(value: str | bool | int | float) -> str:
    """Returns the name of a label, the same for a value in whatever format.

    Truth values are `true` and `false`, numbers without a fraction are integers, and
    white space around a name is dropped. All other names stay as they are.

    Examples:
      >>> [label_name(x) for x in (1, 1.0, "1.0", True, "TRUE", " pos ", 0.5, "007")]
      ['1', '1', '1', 'true', 'true', 'pos', '0.5', '007']
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    name = str(value).strip()
    if name.lower() in ("true", "false"):
        return name.lower()
    if (whole := _WHOLE.fullmatch(name)) is not None:
        name = whole[1]
    return "0" if name == "-0" else name


def similar_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups names that differ only in case, white space or Unicode form.

    Numbers that are equal are such names too.

    Args:
      names: different names.

    Returns:
      Groups of two names or more, each sorted.

    Examples:
      >>> similar_names(["pos", "Pos", "neg", "0.50", "0.5"])
      [('0.5', '0.50'), ('Pos', 'pos')]
    """
    groups: dict[str | float, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(_key(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _key(name: str) -> str | float:
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    # Twice, since folding may leave a form that is not normalised.
    folded = unicodedata.normalize("NFKC", name).casefold()
    folded = unicodedata.normalize("NFKC", folded)
    return "".join(
        c for c in folded if not c.isspace() and unicodedata.category(c) != "Cf"
    )
