"""Bodies of requests and responses, from which the OpenAPI document is made."""

from typing import Annotated, Any

import pydantic

from metaflax.workflows.inference._selection import Strategy
from metaflax.workflows.learning._cross_validation import MOST_PARTS

MOST_NAME, MOST_LABEL = 200, 200

Label = Annotated[str, pydantic.Field(min_length=1, max_length=MOST_LABEL)]


class Message(pydantic.BaseModel):
    """Base of bodies, which forbids unknown fields."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class Example(Message):
    """A text and its label."""

    text: str = pydantic.Field(min_length=1, description="The text.")
    label: Label = pydantic.Field(description="Class of the text.")


class NewTask(Message):
    """Examples that teach a new task."""

    name: str = pydantic.Field(
        "",
        max_length=MOST_NAME,
        pattern=r"^[^\x00]*$",  # PostgreSQL cannot store it.
        description="Display name of the task.",
    )
    examples: list[Example] = pydantic.Field(
        min_length=2, description="Labelled texts of at least two classes."
    )


class MoreExamples(Message):
    """Further examples for an existing task."""

    examples: list[Example] = pydantic.Field(
        min_length=1, description="Labelled texts."
    )


class Texts(Message):
    """Texts to predict."""

    texts: list[Annotated[str, pydantic.Field(min_length=1)]] = pydantic.Field(
        min_length=1, description="The texts."
    )
    explain: bool = pydantic.Field(
        False, description="Whether to add the nearest examples of each text."
    )
    words: bool = pydantic.Field(
        False, description="Whether to add how much each word of a text counts."
    )
    reject: float | None = pydantic.Field(
        None,
        gt=0,
        lt=1,
        description="False-rejection rate: least confident texts get the label null.",
    )


class Pool(Message):
    """Unlabelled texts to select from, for labelling."""

    texts: list[Annotated[str, pydantic.Field(min_length=1)]] = pydantic.Field(
        min_length=1, description="The texts."
    )
    number: int = pydantic.Field(
        20, ge=1, le=1000, description="Maximum number of texts to suggest."
    )
    strategy: Strategy = pydantic.Field(
        "mix", description="Selection strategy, as of `metaflax suggest`."
    )


class Held(Message):
    """Held-out examples to evaluate a task on."""

    examples: list[Example] | None = pydantic.Field(
        None, description="Held-out labelled texts (default: cross-validation)."
    )


class Task(Message):
    """A task."""

    id: str = pydantic.Field(description="Name of the task in paths.")
    name: str = pydantic.Field(description="Display name of the task.")
    version: int = pydantic.Field(description="1, plus one with each change.")
    created: float = pydantic.Field(
        description="Time of creation, in seconds since 1970 (UTC)."
    )
    updated: float = pydantic.Field(
        description="Time of the last change, in seconds since 1970 (UTC)."
    )
    classes: dict[str, int] = pydantic.Field(description="Number of examples by class.")


class TaskWithExamples(Task):
    """A task and its examples."""

    examples: list[Example] = pydantic.Field(description="Labelled texts.")


class Tasks(Message):
    """All tasks of a tenant."""

    tasks: list[Task] = pydantic.Field(description="Tasks, the oldest first.")


class Truncation(Message):
    """Numbers of tokens of a truncated text."""

    tokens_read: int = pydantic.Field(description="Tokens that were read.")
    tokens_total: int = pydantic.Field(description="Tokens of the whole text.")


class Nearest(Example):
    """One of the nearest examples of a text."""

    similarity: float = pydantic.Field(description="Cosine of the features.")


class Word(Message):
    """A word of a text, and its effect on the prediction."""

    word: str = pydantic.Field(description="The word.")
    effect: float = pydantic.Field(
        description="Decrease of the probability of the class without the word."
    )


class Prediction(Message):
    """The prediction of a text."""

    label: str | None = pydantic.Field(
        description="The most probable class; null if the text was rejected."
    )
    probabilities: dict[str, float] = pydantic.Field(
        description="Probability by class, calibrated if the model is that of a run."
    )
    raw_score: float | None = pydantic.Field(
        None, description="Probability of the class before calibration."
    )
    best_label: str | None = pydantic.Field(
        None, description="The most probable class, with `reject`."
    )
    confidence: float | None = pydantic.Field(
        None, description="Confidence that is compared with the threshold of `reject`."
    )
    truncated: Truncation | None = pydantic.Field(
        description="Set if the text was too long and its end was not read."
    )
    nearest: list[Nearest] | None = pydantic.Field(
        None, description="Nearest examples, with `explain`."
    )
    words: list[Word] | None = pydantic.Field(
        None, description="Words in order, with `words`; none of a single word."
    )


class Predictions(Message):
    """Predictions, in the order of the texts."""

    version: int = pydantic.Field(description="Version of the task.")
    predictions: list[Prediction] = pydantic.Field(
        description="Predictions in the order of the texts."
    )


class Suggestion(Message):
    """A text to label."""

    text: str = pydantic.Field(description="The text.")
    predicted: str = pydantic.Field(description="The most probable class.")
    probabilities: dict[str, float] = pydantic.Field(
        description="Probability by class."
    )
    score: float = pydantic.Field(description="Priority of the text, 0 to 1.")


class Suggestions(Message):
    """Texts to label next, best first, without the examples of the task."""

    version: int = pydantic.Field(description="Version of the task.")
    suggestions: list[Suggestion] = pydantic.Field(
        description="Suggested texts, in the order of selection."
    )


class Wrong(Example):
    """An example that was predicted wrongly."""

    predicted: str = pydantic.Field(description="The predicted class.")


class Evaluation(Message):
    """Scores of the predictions of a task."""

    method: str = pydantic.Field(
        description=f"leave_one_out; cross_validation in {MOST_PARTS} parts, of tasks"
        " of more examples; or held_out."
    )
    examples: int = pydantic.Field(description="Number of predictions.")
    accuracy: float = pydantic.Field(description="Share of correct predictions.")
    interval: list[float] = pydantic.Field(
        description="95 % interval of the accuracy (Wilson)."
    )
    classes: dict[str, dict[str, float]] = pydantic.Field(
        description="Precision, recall, F1 and number of examples by class."
    )
    wrong: list[Wrong] = pydantic.Field(description="Wrong predictions.")


class Status(Message):
    """State of the service."""

    status: str = pydantic.Field(description="ok, or what is missing.")


class ErrorBody(Message):
    """Description of an error."""

    code: str = pydantic.Field(description="Short name, for programs.")
    message: str = pydantic.Field(description="One sentence, for people.")
    details: Any = pydantic.Field(
        None, description="Fields of the request body that are invalid."
    )


class Error(Message):
    """Body of an error response."""

    error: ErrorBody = pydantic.Field(description="Description of the error.")
