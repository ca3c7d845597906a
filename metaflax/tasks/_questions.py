"""Questions, their contexts and their answers: reading and writing."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metaflax.tasks._fields import Fields


class Question(NamedTuple):
    """Question and the context that may contain its answer.

    Attributes:
      question: one question.
      context: the text that is searched for its answer.

    Examples:
      >>> from metaflax import tasks
      >>> row = {"question": "Who wrote?", "context": "Ada wrote."}
      >>> tasks.question_answering().form.read(tasks.Fields(row, "a.jsonl:1"))
      Question(question='Who wrote?', context='Ada wrote.')
    """

    question: str
    context: str


class Answer(NamedTuple):
    """A passage that answers a question.

    Attributes:
      text: the passage, `context[start:end]`.
      start: position of its first character in the context.
      end: position after its last character.
    """

    text: str
    start: int
    end: int


def read_question(fields: Fields) -> Question:
    """Reads a question and its context, neither of them empty."""
    return Question(fields.text("question"), fields.text("context"))


def question_row(text: Question) -> dict[str, Any]:
    """Writes a question as the columns that `read_question` reads."""
    return text._asdict()


def read_answers(fields: Fields) -> tuple[Answer, ...]:
    """Reads all gold answers; an unanswerable question has none.

    The column is a list of objects with `start` (or SQuAD's `answer_start`) and one of
    `end` and `text` or both, in characters of the context, `end` not included; or
    SQuAD's object of the two lists `text` and `answer_start`.

    Raises:
      ValueError: if it is neither, or an answer is no passage of the context.

    Examples:
      >>> row = {"question": "Who?", "context": "Ada wrote it.",
      ...        "answers": [{"text": "Ada", "start": 0}]}
      >>> read_answers(Fields(row, "a.jsonl:1"))
      (Answer(text='Ada', start=0, end=3),)
    """
    held = fields.value("answers")
    match held:
        case {"text": list(texts), "answer_start": list(starts)}:
            if len(texts) != len(starts):
                raise fields.refused(
                    "answers",
                    f"has {len(texts)} texts and {len(starts)} places; give one of"
                    " each an answer.",
                )
            pairs = zip(texts, starts, strict=True)
            answers = [{"text": text, "start": start} for text, start in pairs]
        case list():
            answers = held
        case _:
            raise fields.refused(
                "answers",
                f"holds {held!r:.60} where a list of answers is expected, empty if"
                " there is none.",
            )
    context = fields.text("context")
    return tuple(_answer(fields, answer, context) for answer in answers)


def answers_row(answers: Sequence[Answer]) -> dict[str, Any]:
    """Writes answers as the column that `read_answers` reads."""
    return {"answers": [answer._asdict() for answer in answers]}


def _answer(fields: Fields, held: Any, context: str) -> Answer:
    """Reads one answer, and checks it against its context."""
    start, end, text = _parts(fields, held)
    if end is None:
        end = start + len(text or "")
    if not 0 <= start <= end <= len(context):
        raise fields.refused(
            "answers",
            f"has the range [{start}, {end}], outside of a context of {len(context)}"
            " characters; ranges count from 0 and their end is not included.",
        )
    passage = context[start:end]
    if text is not None and text != passage:
        raise fields.refused(
            "answers",
            f"has an answer that is not in its context: {text!r:.60} where characters"
            f" {start} to {end} are {passage!r:.60}.",
        )
    if not passage.strip():
        raise fields.refused(
            "answers",
            f"has the range [{start}, {end}], which holds no word; a question without"
            " an answer has an empty list.",
        )
    return Answer(passage, start, end)


def _parts(fields: Fields, held: Any) -> tuple[int, int | None, str | None]:
    """Reads start, end and text of an answer; one of the last two may be missing."""
    if isinstance(held, Mapping):
        start = held.get("start", held.get("answer_start"))
        end, text = held.get("end"), held.get("text")
        whole = (
            _is_whole(start)
            and (_is_whole(end) or end is None)
            and (isinstance(text, str) or text is None)
            and (end, text) != (None, None)
        )
        if whole:
            return start, end, text
    raise fields.refused(
        "answers",
        f"holds {held!r:.60} where an answer is expected: an object with `start`, a"
        " whole number, and `end` or `text`.",
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
