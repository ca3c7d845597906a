"""Task types whose answers are texts that a language model says."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metaflax import losses, metrics
from metaflax.tasks._base import TaskType, Truth
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import TEXT, Form
from metaflax.tasks._text_level import TextLevel
from metaflax.tasks._turns import TURNS

Judge = Callable[[Sequence[str], Sequence[str]], dict[str, float]]


def translation(*, label_smoothing: float = 0.0) -> TaskType:
    """A text in another language: a pair of languages is a domain.

    Model selection follows the likelihood of true texts, as that of all task types that
    generate does, since it can be told without generating.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` whose targets are the next words `[S, L]`, -1 where none is asked,
      and whose outputs are logits `[S, L, V]`. Texts that are generated are judged by
      chrF and BLEU.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).

    Examples:
      >>> row = Fields({"text": "I sleep.", "target": "Ich schlafe."}, "a.jsonl:1")
      >>> task = translation()
      >>> task.form.read(row), task.truth(row).target
      ('I sleep.', 'Ich schlafe.')
    """

    def judge(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
        return {"chrf": metrics.chrf(said, true), "bleu": metrics.bleu(said, true)}

    return _of_pairs(TEXT, ("chrf", "bleu"), judge, label_smoothing)


def summarization(*, label_smoothing: float = 0.0) -> TaskType:
    """A short text that says what a long one does: a topic or genre is a domain.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` as `translation`; summaries are judged by ROUGE.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).
    """
    names = ("rouge1", "rouge2", "rougeL")
    return _of_pairs(TEXT, names, metrics.rouge, label_smoothing)


def dialogue(*, label_smoothing: float = 0.0) -> TaskType:
    """The next turn of a dialogue: what it is about is a domain.

    What is read is one turn or a list of them, the oldest first. Where they are too
    long for a model it reads the latest part.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` as `translation`; turns are judged by BLEU, and by how many of their
      words, and pairs of words, differ (`metrics.distinct`). Retrieval is scored
      too: how often the true turn is the likeliest, or among two, of those of all
      queries.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).

    Examples:
      >>> row = Fields({"text": ["Hi.", "What can I do?"], "target": "Book a table."},
      ...              "a.jsonl:1")
      >>> dialogue().form.read(row)
      ('Hi.', 'What can I do?')
    """

    def judge(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
        return {
            "bleu": metrics.bleu(said, true),
            "distinct1": metrics.distinct(said, 1),
            "distinct2": metrics.distinct(said, 2),
        }

    names = ("bleu", "distinct1", "distinct2")
    return _of_pairs(TURNS, names, judge, label_smoothing, recalls=(1, 2))


def language_modelling(*, label_smoothing: float = 0.0) -> TaskType:
    """How texts go on, from their first word: an article or a source is a domain.

    Nothing is read before; a text to answer is the beginning of what is said.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` as `translation`, scored by likelihood and perplexity alone.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).

    Examples:
      >>> task = language_modelling()
      >>> task.texts.pair("It rains.", "It rains."), task.texts.prompt("It")
      ((None, 'It rains.'), (None, 'It'))
    """
    return _generating(
        form=TEXT,
        truth=lambda fields: Truth(target=fields.text("text")),
        texts=TextLevel(
            reads=None,
            pair=lambda text, target: (None, target),
            prompt=lambda text: (None, text),
            judged=(),
            judge=lambda said, true: {},
            rows=lambda target: {},
        ),
        label_smoothing=label_smoothing,
    )


def log_likelihood(logits: jax.Array, targets: jax.Array, weights: jax.Array):
    """The mean log-probability of the tokens that are to be said."""
    return -losses.language_cross_entropy(logits, targets, weights)


def perplexity(logits: jax.Array, targets: jax.Array, weights: jax.Array):
    """That of the tokens that are to be said, of all texts together."""
    return jnp.exp(losses.language_cross_entropy(logits, targets, weights))


def decode_texts(
    outputs: Sequence[tuple[str, float]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """What was generated, and how likely the model holds it to be.

    Examples:
      >>> decode_texts([("Ich schlafe.", -1.25)], [])
      [{'generated': 'Ich schlafe.', 'score': -1.25}]
    """
    del names
    return [
        {"generated": text, "score": round(float(score), 6)} for text, score in outputs
    ]


def _of_pairs(
    form: Form,
    judged: tuple[str, ...],
    judge: Judge,
    label_smoothing: float,
    recalls: tuple[int, ...] = (),
) -> TaskType:
    """A text is read, and its target is to be said."""
    return _generating(
        form=form,
        truth=lambda fields: Truth(target=fields.text("target")),
        texts=TextLevel(
            reads=form,
            pair=lambda text, target: (text, target),
            prompt=lambda text: (text, ""),
            judged=judged,
            judge=judge,
            rows=lambda target: {"target": target},
            recalls=recalls,
        ),
        label_smoothing=label_smoothing,
    )


def _generating(
    form: Form,
    truth: Callable[[Fields], Truth],
    texts: TextLevel,
    label_smoothing: float,
) -> TaskType:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is in [0, 1), got {label_smoothing}.")
    return TaskType(
        kind="texts",
        loss=functools.partial(
            losses.language_cross_entropy, label_smoothing=label_smoothing
        ),
        metrics={"log_likelihood": log_likelihood, "perplexity": perplexity},
        decode=decode_texts,
        form=form,
        truth=truth,
        texts=texts,
    )
