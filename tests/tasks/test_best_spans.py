"""Tests for decoding answers from logits, against exhaustive search."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax.tasks._best_spans import decode_answers
from metaflax.tasks._questions import Question
from metaflax.tasks._token_level import TokenOutputs
from metaflax.tasks._windows import encode_questions
from tests.tasks.test_windows import TOKENIZER

CONTEXT = "a b c d e f"


def reading(texts, max_length=None, seed=0, scale=2.0):
    encoded = encode_questions(TOKENIZER, texts, max_length)
    spans = [np.array(row, np.int32) for row in encoded["spans"]]
    rng = np.random.default_rng(seed)
    # Padding after a row has the largest logits, which must be ignored.
    logits = np.full((len(spans), max(map(len, spans)) + 2, 2), 99.0)
    for row, own in zip(logits, spans, strict=True):
        row[: len(own)] = rng.normal(scale=scale, size=(len(own), 2))
    return TokenOutputs(texts, encoded["owners"], spans, logits.astype(np.float32))


def every_passage(read, owner, longest):
    """The largest logit of each passage of a text and of none, by brute force."""
    found, null = {}, []
    for own, spans, logits in zip(read.owners, read.spans, read.logits, strict=True):
        if own != owner:
            continue
        null.append(logits[0].sum())
        for i, j in itertools.product(range(len(spans)), repeat=2):
            if i <= j < i + longest and spans[i, 0] >= 0 and spans[j, 0] >= 0:
                place = (int(spans[i, 0]), int(spans[j, 1]))
                logit = float(logits[i, 0]) + float(logits[j, 1])
                found[place] = max(found.get(place, -np.inf), logit)
    return found, min(null)


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.none() | st.integers(7, 12),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_the_answer_is_the_best_of_all_passages(
    sizes, max_length, n_best, longest, seed
):
    contexts = [" ".join("abcdefghijkl"[:size]) for size in sizes]
    texts = [Question(f"q{n}", context) for n, context in enumerate(contexts)]
    read = reading(texts, max_length, seed)
    answers = decode_answers(read, n_best=n_best, max_answer_length=longest)
    assert len(answers) == len(texts)
    for owner, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        passages, null = every_passage(read, owner, longest)
        order = sorted(passages, key=passages.__getitem__, reverse=True)[:n_best]
        told = answer["n_best"]
        assert [(passage["start"], passage["end"]) for passage in told] == order
        assert all(
            passage["answer"] == text.context[passage["start"] : passage["end"]]
            for passage in told
        )
        odds = np.exp([null, *(passages[place] for place in order)])
        scores = [answer["null_score"], *(passage["score"] for passage in told)]
        np.testing.assert_allclose(scores, odds / odds.sum(), atol=1e-5)
        np.testing.assert_allclose(
            answer["null_odds"], null - passages[order[0]], atol=1e-5
        )
        if null > passages[order[0]]:
            assert answer["answer"] == ""
            assert answer["start"] is answer["end"] is None
            assert answer["score"] == answer["null_score"]
        else:
            first = {name: answer[name] for name in told[0]}
            assert first == told[0]


def logits_of(**places):
    """A row of logits of "[CLS] q [SEP] a b c d e f [SEP]", by token."""
    found = np.zeros((1, 10, 2), np.float32)
    for name, pair in places.items():
        found[0, "Cqsabcdefz".index(name)] = pair
    return found


def answered(logits, **options):
    [answer] = decode_answers(
        reading([Question("q", CONTEXT)])._replace(logits=logits), **options
    )
    return answer


def test_a_passage_never_ends_before_it_begins():
    answer = answered(logits_of(d=(5, 0), b=(0, 5), e=(0, 1)))
    assert answer["answer"] == "d e"


def test_what_is_no_context_is_never_answered():
    answer = answered(logits_of(q=(9, 9), s=(9, 9), z=(9, 9), c=(1, 1)))
    assert answer["answer"] == "c"


def test_a_passage_has_no_more_tokens_than_allowed():
    logits = logits_of(a=(5, 0), e=(0, 5), b=(0, 1))
    assert answered(logits)["answer"] == "a b c d e"
    assert answered(logits, max_answer_length=5)["answer"] == "a b c d e"
    assert answered(logits, max_answer_length=4)["answer"] in ("a b", "b c d e")


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.0, ""), (1.9, ""), (2.0, "c"), (np.inf, "c")]
)
def test_the_threshold_is_how_much_more_none_must_have(threshold, expected):
    answer = answered(logits_of(C=(2, 2), c=(1, 1)), null_threshold=threshold)
    assert answer["null_odds"] == 2.0
    assert answer["answer"] == expected


def test_the_least_of_none_over_windows_counts_and_the_most_of_a_passage():
    read = reading([Question("q", CONTEXT)], 8)  # a b c d, c d e f
    logits = np.zeros_like(read.logits)
    logits[0, 0], logits[1, 0] = 3, 1
    logits[0, 5], logits[1, 3] = 1, 2  # The c of each.
    [answer] = decode_answers(read._replace(logits=logits))
    assert (answer["answer"], answer["null_odds"]) == ("c", 2.0 - 4.0)
    assert [p["answer"] for p in answer["n_best"]].count("c") == 1


def test_a_context_without_tokens_has_no_answer():
    [answer] = decode_answers(reading([Question("q", "\u200d")]))
    assert answer["answer"] == ""
    assert answer["n_best"] == []
    assert answer["null_odds"] is None
    assert answer["null_score"] == answer["score"] == 1.0


def test_scores_are_finite_however_far_logits_are_apart():
    answer = answered(1e4 * logits_of(C=(-1, -1), c=(1, 1)))
    assert (answer["score"], answer["null_score"]) == (1.0, 0.0)
