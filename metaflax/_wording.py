"""Wording of messages."""

__all__ = ("counted", "page", "see")

# Where the pages of the documentation are.
DOCS = "docs"


def counted(number: int, one: str, several: str | None = None) -> str:
    """Formats a count with its noun, and with a verb that agrees if there is one.

    Args:
      number: the count.
      one: what follows the number 1.
      several: what follows all other numbers; by default `one` with an s.

    Examples:
      >>> counted(1, "text"), counted(0, "text"), counted(1, "class", "classes")
      ('1 text', '0 texts', '1 class')
      >>> counted(1, "text repeats", "texts repeat")
      '1 text repeats'
    """
    return f"{number} {one if number == 1 else several or one + 's'}"


def page(name: str) -> str:
    """Names a page of the documentation, for messages.

    Examples:
      >>> page("howto/resume")
      'docs/howto/resume.md'
    """
    return f"{DOCS}/{name}.md"


def see(name: str) -> str:
    """Ends a message with the page of the documentation that says more.

    Examples:
      >>> "Lower the learning rate." + see("howto/diverged")
      'Lower the learning rate. See docs/howto/diverged.md.'
    """
    return f" See {page(name)}."
