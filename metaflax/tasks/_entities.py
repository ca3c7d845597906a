"""Named entity recognition."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import scipy

from metaflax import heads, losses, metrics
from metaflax.metrics._entities import entity_counts, entity_counts_by_type
from metaflax.tasks._base import TaskType
from metaflax.tasks._capitals import SENTENCE_WITH_CAPITALS
from metaflax.tasks._classification import classification
from metaflax.tasks._entity_spans import (
    Entity,
    Run,
    entities_of_runs,
    runs_of_entities,
)
from metaflax.tasks._sentences import (
    SENTENCE,
    Sentence,
    entity_rows,
    read_entities,
)
from metaflax.tasks._span_typing import type_spans
from metaflax.tasks._tagging import BIO, IO, Tagging
from metaflax.tasks._token_level import TokenLevel, TokenOutputs
from metaflax.tasks._viterbi import AbstractTransitions, spread, viterbi
from metaflax.tasks._words import words_of_tokens

OUTSIDE = "O"
TAGGINGS = {"io": IO, "bio": BIO}
TYPINGS = ("words", "spans")


def entities(
    *,
    tagging: Literal["io", "bio"] = "io",
    transitions: AbstractTransitions | None = None,
    typing: Literal["words", "spans"] = "words",
    threshold: float = 0.0,
    capitals: bool = False,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Named entity recognition: spans of a task's types in each text.

    A word is classified at its first token, into the classes of a tagging scheme or
    into none; of all sequences of classes that the scheme allows, the most probable one
    is predicted.

    Args:
      tagging: `io`, a class a type, or `bio`, two: the first word of an entity, and
        those inside.
      transitions: how often entities begin, go on and end, which the most probable
        sequence then takes into account; for `io`.
      typing: `words`, where each word has a type, or `spans`, where words in entities
        of any type are found first and all neighbouring ones then have one type; for
        `io` without transitions.
      threshold: log-odds of being in an entity that a word must exceed, for `spans`;
        below 0 where recall is worth more than precision.
      capitals: whether features of a word say that it begins with a capital beside
        its state, since tokenizers of uncased models lose capitals.
      label_smoothing: as for `classification`.
      class_weights: as for `classification`.

    Returns:
      A `TaskType` whose targets are classes of tokens `[U, L]`, -1 for tokens that
      begin no word, and whose last class is that of words in no entity.

    Raises:
      ValueError: for an unknown scheme, transitions or typing that it does not support,
        and as `classification`.

    Examples:
      >>> from metaflax.tasks import entities
      >>> from metaflax.tasks import Fields
      >>> row = Fields({"tokens": ["In", "São", "Paulo"],
      ...               "label": ["O", "B-city", "I-city"]}, "a.jsonl:1")
      >>> entities().gold_label(row).target
      (Entity(start=3, end=12, type='city'),)

    References:
      Yang and Katiyar, `Simple and Effective Few-Shot Named Entity Recognition with
      Structured Nearest Neighbor Learning <https://arxiv.org/abs/2010.02405>`_, 2020;
      Ding et al., `Few-NERD <https://arxiv.org/abs/2105.07464>`_, 2021.
    """
    if tagging not in TAGGINGS:
        raise ValueError(
            f"unknown tagging {tagging!r}; there is {' and '.join(TAGGINGS)}."
        )
    if transitions is not None and tagging != "io":
        raise ValueError(
            f"transitions are those of tagging 'io', and this is {tagging!r}; leave"
            " them out."
        )
    _check_typing(typing, threshold, tagging, transitions)
    scheme = TAGGINGS[tagging]
    width = len(scheme.tags(("any",)))  # Classes a type.
    by_word = classification(
        label_smoothing=label_smoothing, class_weights=class_weights
    )
    return TaskType(
        kind="tags",
        loss=losses.per_token(by_word.loss),
        metrics={},
        decode=functools.partial(
            decode_entities,
            transitions=transitions,
            typing=typing,
            threshold=threshold,
        ),
        form=SENTENCE_WITH_CAPITALS if capitals else SENTENCE,
        gold_label=read_entities,
        others=(OUTSIDE,),
        none_of_the_above=True,
        complete=heads.per_token,
        classes=scheme.tags,
        head_size=lambda way: width * way + 1,
        tokens=TokenLevel(
            serves="classes",
            scores=("f1", "precision", "recall"),
            place=functools.partial(place_entities, scheme),
            local=functools.partial(local_classes, width),
            score=score_entities,
            report=report_entities,
            restrict=lambda target, names: tuple(e for e in target if e.type in names),
            rows=entity_rows,
            lost=lambda target, spans, codes: num_cut(target, spans),
        ),
    )


def _check_typing(
    typing: str,
    threshold: float,
    tagging: str,
    transitions: AbstractTransitions | None,
) -> None:
    if typing not in TYPINGS:
        raise ValueError(
            f"unknown typing {typing!r}; there is {' and '.join(TYPINGS)}."
        )
    if typing == "spans" and (tagging != "io" or transitions is not None):
        raise ValueError(
            "entities typed as spans take tagging 'io' and no transitions; leave these"
            " out, or type words."
        )
    if typing != "spans" and threshold != 0:
        raise ValueError(
            f"the threshold of entities is {threshold}, and words are typed one by one;"
            " type spans, or leave the threshold out."
        )


def place_entities(
    scheme: Tagging,
    sentence: Sentence,
    target: Sequence[Entity],
    spans: np.ndarray,
    names: Sequence[str],
) -> np.ndarray:
    """Encodes entities as the class of each word at its first token, int32 `[L]`."""
    words, first = words_of_tokens(sentence.words, spans)
    runs = runs_of_entities(target, words, names)
    codes = np.full(len(spans), -1, np.int32)
    codes[first] = scheme.encode(runs, len(words), len(names))
    return codes


def num_cut(target: Sequence[Entity], rows: Sequence[np.ndarray]) -> int:
    """Counts entities that reach beyond the tokens of every row of these spans."""
    ends = [spans[:, 1].max(initial=0) for spans in rows]
    return sum(entity.end > max(ends) for entity in target)


def local_classes(
    width: int, codes: np.ndarray, classes: Sequence[int], room: int
) -> np.ndarray:
    """Renumbers classes for an episode's types, `width` each; others become `O`."""
    types, parts = np.divmod(codes, width)
    number_of = np.full(max([*classes, types.max(initial=0)]) + 1, -1)
    number_of[list(classes)] = np.arange(len(classes))
    numbers = number_of[types]  # The class of no entity comes after all types.
    renumbered = np.where(numbers >= 0, numbers * width + parts, width * room)
    return np.where(codes >= 0, renumbered, -1).astype(codes.dtype)


def decode_entities(
    outputs: TokenOutputs,
    names: Sequence[str],
    *,
    transitions: AbstractTransitions | None = None,
    typing: Literal["words", "spans"] = "words",
    threshold: float = 0.0,
) -> list[dict[str, Any]]:
    """Decodes the entities of each text, with their characters and scores.

    Args:
      outputs: logits of tokens; each text is one row.
      names: names of its classes, as a scheme has them, then that of no entity.
      transitions: as for `entities`.
      typing: as for `entities`.
      threshold: as for `entities`.

    Returns:
      For each text `{"entities": [...]}`, each with `start`, `end`, `type`, `text` and
      `score`, the mean probability of its words' being of its type.
    """
    scheme, types = _scheme_of(names[:-1])
    width = len(names[:-1]) // max(len(types), 1)
    placed = [
        words_of_tokens(sentence.words, spans)
        for sentence, spans in zip(outputs.texts, outputs.spans, strict=True)
    ]
    lengths = np.array([len(words) for words, _ in placed])
    scores = np.zeros((len(placed), max(lengths, default=0), len(names)))
    for row, logits, (_, first) in zip(scores, outputs.logits, placed, strict=True):
        row[: len(first)] = scipy.special.log_softmax(logits[first], axis=-1)
    if typing == "spans":
        best = type_spans(scores, lengths, threshold=threshold)
    else:
        best = viterbi(scores, lengths, *_allowed(scheme, len(types), transitions))
    answers = []
    for sentence, (words, _), classes, row in zip(
        outputs.texts, placed, best, scores, strict=True
    ):
        runs = scheme.decode(classes[: len(words)], len(types))
        predicted = entities_of_runs(runs, words, types)
        answers.append(
            {
                "entities": [
                    {
                        **entity._asdict(),
                        "text": sentence.text[entity.start : entity.end],
                        "score": round(_score(row, run, width), 6),
                    }
                    for entity, run in zip(predicted, runs, strict=True)
                ]
            }
        )
    return answers


def _scheme_of(tags: Sequence[str]) -> tuple[Tagging, list[str]]:
    """Returns the scheme of these classes, and their types."""
    types = [tag.removeprefix("B-") for tag in tags[::2]]
    if list(BIO.tags(types)) == list(tags):
        return BIO, types
    return IO, list(tags)


def _allowed(
    scheme: Tagging, num_types: int, transitions: AbstractTransitions | None
) -> tuple[np.ndarray, np.ndarray]:
    if transitions is not None:
        return spread(transitions, num_types)
    with np.errstate(divide="ignore"):
        start, allowed = scheme.transitions(num_types)
        return np.log(start), np.log(allowed)


def _score(scores: np.ndarray, run: Run, width: int) -> float:
    of_type = slice(width * run.type, width * (run.type + 1))
    return float(np.exp(scores[run.start : run.end, of_type]).sum(axis=-1).mean())


def score_entities(
    predictions: Sequence[Mapping[str, Any]], targets: Sequence[Sequence[Entity]]
) -> dict[str, float]:
    """Computes precision, recall and F1 of an episode's entities."""
    return metrics.entity_scores(_predicted(predictions), targets)


def report_entities(
    predictions: Sequence[Mapping[str, Any]], targets: Sequence[Sequence[Entity]]
) -> dict[str, dict[str, float]]:
    """Computes the scores for each type and for all types, over all episodes."""
    by_type = entity_counts_by_type(_predicted(predictions), targets)
    counts = {str(name): counted for name, counted in sorted(by_type.items())}
    counts["all"] = entity_counts(_predicted(predictions), targets)
    return {
        name: {**counted.scores(), "support": counted.true}
        for name, counted in counts.items()
    }


def _predicted(predictions: Sequence[Mapping[str, Any]]) -> list[list[Entity]]:
    return [
        [Entity(e["start"], e["end"], e["type"]) for e in answer["entities"]]
        for answer in predictions
    ]
