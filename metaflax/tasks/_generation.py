"""Task types whose predictions are generated texts."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metaflax import losses, metrics
from metaflax.tasks._base import GoldLabel, TaskType
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import TEXT, Form
from metaflax.tasks._text_level import TextLevel
from metaflax.tasks._turns import TURNS

ScoreFn = Callable[[Sequence[str], Sequence[str]], dict[str, float]]


def translation(*, label_smoothing: float = 0.0) -> TaskType:
    """Translation into another language; a domain is a pair of languages.

    Model selection follows the likelihood of references, as for all task types that
    generate, since it is computed without generating.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` whose targets are the next words `[S, L]`, -1 where there is
      no target, and whose outputs are logits `[S, L, V]`. Generated texts are scored by
      chrF and BLEU.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).

    Examples:
      >>> from metaflax.tasks import Fields, translation
      >>> row = Fields({"text": "I sleep.", "target": "Ich schlafe."}, "a.jsonl:1")
      >>> task = translation()
      >>> task.form.read(row), task.gold_label(row).target
      ('I sleep.', 'Ich schlafe.')
    """

    def score(generated: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {
            "chrf": metrics.chrf(generated, references),
            "bleu": metrics.bleu(generated, references),
        }

    return _of_pairs(TEXT, ("chrf", "bleu"), score, label_smoothing)


def summarization(*, label_smoothing: float = 0.0) -> TaskType:
    """Summarization of long texts; a domain is a topic or genre.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` as `translation`; summaries are scored by ROUGE.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).

    Examples:
      >>> from metaflax import tasks
      >>> scores = tasks.summarization().texts.score(["a cat sat"], ["the cat sat"])
      >>> {name: round(score, 2) for name, score in scores.items()}
      {'rouge1': 66.67, 'rouge2': 50.0, 'rougeL': 66.67}
    """
    names = ("rouge1", "rouge2", "rougeL")
    return _of_pairs(TEXT, names, metrics.rouge, label_smoothing)


def dialogue(*, label_smoothing: float = 0.0) -> TaskType:
    """Prediction of the next turn of a dialogue; a domain is a topic.

    The input is one turn or a list of them, the oldest first. Inputs that are too long
    for a model are cut at their beginning.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` as `translation`; turns are scored by BLEU and by distinct-1 and
      distinct-2 (`metrics.distinct`). Retrieval is scored too: recall@1 and recall@2 of
      the reference among those of all queries of an episode.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).

    Examples:
      >>> from metaflax.tasks import Fields, dialogue
      >>> row = Fields({"text": ["Hi.", "What can I do?"], "target": "Book a table."},
      ...              "a.jsonl:1")
      >>> dialogue().form.read(row)
      ('Hi.', 'What can I do?')
    """

    def score(generated: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {
            "bleu": metrics.bleu(generated, references),
            "distinct1": metrics.distinct(generated, 1),
            "distinct2": metrics.distinct(generated, 2),
        }

    names = ("bleu", "distinct1", "distinct2")
    return _of_pairs(TURNS, names, score, label_smoothing, recalls=(1, 2))


def language_modelling(*, label_smoothing: float = 0.0) -> TaskType:
    """Causal language modelling; a domain is an article or a source.

    There is no source text: an input to predict from is the beginning of the text that
    is generated.

    Args:
      label_smoothing: the share of a target spread over all words.

    Returns:
      A `TaskType` as `translation`, scored by likelihood and perplexity alone.

    Raises:
      ValueError: if `label_smoothing` is not in [0, 1).

    Examples:
      >>> from metaflax.tasks import language_modelling
      >>> task = language_modelling()
      >>> task.texts.pair("It rains.", "It rains."), task.texts.prompt("It")
      ((None, 'It rains.'), (None, 'It'))
    """
    return _generating(
        form=TEXT,
        gold_label=lambda fields: GoldLabel(target=fields.text("text")),
        texts=TextLevel(
            source_form=None,
            pair=lambda text, target: (None, target),
            prompt=lambda text: (None, text),
            generation_scores=(),
            score=lambda generated, references: {},
            rows=lambda target: {},
        ),
        label_smoothing=label_smoothing,
    )


def log_likelihood(logits: jax.Array, targets: jax.Array, weights: jax.Array):
    """Computes the mean log-probability of target tokens."""
    return -losses.language_cross_entropy(logits, targets, weights)


def perplexity(logits: jax.Array, targets: jax.Array, weights: jax.Array):
    """Computes the perplexity of target tokens, over all texts together."""
    return jnp.exp(losses.language_cross_entropy(logits, targets, weights))


def decode_texts(
    outputs: Sequence[tuple[str, float]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns each generated text with its log-likelihood under the model.

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
    score_names: tuple[str, ...],
    score: ScoreFn,
    label_smoothing: float,
    recalls: tuple[int, ...] = (),
) -> TaskType:
    """Task type whose rows are a source and a target text."""
    return _generating(
        form=form,
        gold_label=lambda fields: GoldLabel(target=fields.text("target")),
        texts=TextLevel(
            source_form=form,
            pair=lambda text, target: (text, target),
            prompt=lambda text: (text, ""),
            generation_scores=score_names,
            score=score,
            rows=lambda target: {"target": target},
            recalls=recalls,
        ),
        label_smoothing=label_smoothing,
    )


def _generating(
    form: Form,
    gold_label: Callable[[Fields], GoldLabel],
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
        gold_label=gold_label,
        texts=texts,
    )
