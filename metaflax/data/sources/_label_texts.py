"""Texts that describe classes: their names as words, or descriptions of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from metaflax.data.sources._examples import listing

# Settings that are no path of a file of descriptions.
AS_WRITTEN, NO_NAMES = "as_written", "none"
# Where names of classes come from: a setting, a file, or descriptions by class.
NameSource: TypeAlias = str | Path | Mapping[str, str | None]


class LabelTexts(NamedTuple):
    """Texts of the names of classes, which join the support examples of their class.

    Attributes:
      texts: an input for each class, in their order; None for a class whose name says
        nothing.
      weight: weight of each beside that of a support example, which is 1.

    Examples:
      >>> LabelTexts.of(("card_lost", "topUp"), "as_written", weight=0.5)
      LabelTexts(texts=('card lost', 'top up'), weight=0.5)
      >>> LabelTexts.of(("card_lost", "topUp"), None, weight=0.5)
    """

    texts: tuple[Any, ...]
    weight: float

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        source: NameSource | None,
        weight: float,
        as_input: Callable[[str], Any] = lambda text: text,
    ) -> "LabelTexts | None":
        """Makes the texts of classes; None if names are not used.

        Args:
          names: names of the classes.
          source: `as_written`, a JSON file of descriptions by class, or a mapping of
            them; None or `none` if names are not used.
          weight: see above.
          as_input: makes an input of a text, `Form.of_name`.

        Raises:
          ValueError: as `label_texts`.
        """
        if source is None or source == NO_NAMES:
            return None
        texts = [
            None if text is None else as_input(text)
            for text in label_texts(names, source)
        ]
        return cls(tuple(texts), weight) if any(t is not None for t in texts) else None

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The texts of the classes that have one."""
        return tuple(text for text in self.texts if text is not None)

    @property
    def classes(self) -> tuple[int, ...]:
        """The numbers of the classes that have a text."""
        return tuple(n for n, text in enumerate(self.texts) if text is not None)


def label_texts(names: Sequence[str], source: NameSource) -> list[str | None]:
    """Returns a text for each class, from its name or a description of it.

    Args:
      names: names of the classes.
      source: `as_written`, for the names as words; a JSON file, or a mapping, of a
        description of each class, or null for a class whose name says nothing.

    Returns:
      A text or None for each name.

    Raises:
      ValueError: if a file cannot be read, or a class has no description.

    Examples:
      >>> label_texts(["card_declined"], "as_written")
      ['card declined']
      >>> label_texts(["B01", "B02"], {"B01": "the card was lost", "B02": None})
      ['the card was lost', None]
      >>> label_texts(["B03"], {"B01": "the card was lost"})
      Traceback (most recent call last):
        ...
      ValueError: label_names: there is no description of the class 'B03'; add it, ...
    """
    if source == AS_WRITTEN:
        return [in_words(name) for name in names]
    where = "label_names" if isinstance(source, Mapping) else str(source)
    described = source if isinstance(source, Mapping) else _read(Path(source))
    if missing := [name for name in names if name not in described]:
        several = len(missing) > 1
        raise ValueError(
            f"{where}: there is no description of the class{'es' * several}"
            f" {listing(missing, most=5)}; add {'them' if several else 'it'}, with null"
            f" where a name says nothing, or set label_names to {AS_WRITTEN!r}."
        )
    texts = [described[name] for name in names]
    for name, text in zip(names, texts, strict=True):
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise ValueError(
                f"{where}: the description of the class {name!r} is {text!r:.60}; give"
                " a text, or null where the name says nothing."
            )
    return texts


def in_words(name: str) -> str:
    """Writes a name as words: without underscores, hyphens and camel case.

    Examples:
      >>> [in_words(name) for name in ("card_declined", "re-open", "topUpFee", "PIN")]
      ['card declined', 're open', 'top up fee', 'PIN']
      >>> in_words("resetPINCode"), in_words("--")
      ('reset PIN code', '--')
    """
    parts = [""]
    for before, letter, after in zip(" " + name, name, name[1:] + " ", strict=False):
        begins = before.islower() or before.isdigit()
        begins |= before.isupper() and after.islower()
        if letter.isupper() and begins:
            parts.append("")
        parts[-1] += letter
    cased = [
        part if part.isupper() and len(part) > 1 else part[:1].lower() + part[1:]
        for part in parts[1:]
    ]
    words = " ".join([parts[0], *cased]).replace("_", " ").replace("-", " ").split()
    return " ".join(words) or name


def _read(path: Path) -> Mapping[str, Any]:
    """Reads descriptions by class from a JSON file."""
    advice = f"give a JSON object of a description by class, or {AS_WRITTEN!r}"
    try:
        content = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"label_names is {str(path)!r}: {reason}; {advice}.") from None
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON ({error}); {advice}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}; {advice}.")
    return content
