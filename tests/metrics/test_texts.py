"""Tests for scores of generated texts, by hand and against reimplementations."""

import builtins
import math
from collections import Counter

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from sklearn import metrics as sklearn

from metaflax import metrics

PAIRED = (metrics.bleu, metrics.chrf, metrics.rouge)
of_pairs = pytest.mark.parametrize("metric", PAIRED)

# Few words, so that many are shared; white space and signs that tokenizers split.
TEXT = st.lists(st.sampled_from(["a", "cat", "Cats", "sat,", "on", "mat."]), max_size=7)
TEXT = TEXT.map(" ".join) | st.sampled_from(["", " ", "ü", "...", "\n\t", "1,000"])
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6)
several = settings(max_examples=150, deadline=None)


def grams(units, n):
    return Counter(tuple(units[i : i + n]) for i in range(len(units) - n + 1))


def shared_counts(pairs, n):
    """Counts of n-grams over all pairs: shared, predicted and reference ones."""
    counted = [(grams(s, n), grams(t, n)) for s, t in pairs]
    return (
        sum((s & t).total() for s, t in counted),
        sum(s.total() for s, _ in counted),
        sum(t.total() for _, t in counted),
    )


def bleu_by_hand(pairs):
    precisions, halves = [], 1
    for n in range(1, 5):
        shared, said, _ = shared_counts(pairs, n)
        if said == 0 or (n == 1 and shared == 0):
            return 0.0
        halves *= 1 if shared else 2  # NIST's smoothing.
        precisions.append(shared / said if shared else 1 / (halves * said))
    c, r = (sum(len(texts[i]) for texts in pairs) for i in (0, 1))
    penalty = min(1, math.exp(1 - r / c))
    return 100 * penalty * math.exp(sum(map(math.log, precisions)) / 4)


def chrf_by_hand(pairs):
    rates = []
    for n in range(1, 7):
        # Texts whose reference has no n-gram do not count.
        known = [pair for pair in pairs if grams(pair[1], n)]
        shared, said, true = shared_counts(known, n)
        if said and true:
            rates.append((shared / said, shared / true))
    if not any(p for p, _ in rates):
        return 0.0
    p, r = np.mean(rates, axis=0)
    return 100 * 5 * p * r / (4 * p + r)


@given(PAIRS)
@several
def test_bleu_is_what_its_definition_says_of_words(pairs):
    # Words without signs, which 13a splits at white space only.
    plain = [[t.replace(",", "").replace(".", "") for t in pair] for pair in pairs]
    found = metrics.bleu(*map(list, zip(*plain, strict=True)))
    words = [[t.split() for t in pair] for pair in plain]
    assert found == pytest.approx(bleu_by_hand(words), abs=1e-9)


@given(PAIRS)
@several
def test_chrf_is_what_its_definition_says_of_characters(pairs):
    found = metrics.chrf(*map(list, zip(*pairs, strict=True)))
    letters = [["".join(t.split()) for t in pair] for pair in pairs]
    assert found == pytest.approx(chrf_by_hand(letters), abs=1e-9)


@given(PAIRS)
@several
def test_scores_are_those_of_the_libraries(pairs):
    said, true = map(list, zip(*pairs, strict=True))
    bleu = sacrebleu.BLEU().corpus_score(said, [true]).score
    chrf = sacrebleu.CHRF().corpus_score(said, [true]).score
    assert (metrics.bleu(said, true), metrics.chrf(said, true)) == (bleu, chrf)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    found = metrics.rouge(said, true)
    assert set(found) == {"rouge1", "rouge2", "rougeL"}
    for name, score in found.items():
        each = [scorer.score(t, s)[name].fmeasure for s, t in pairs]
        assert score == pytest.approx(100 * sum(each) / len(each), abs=1e-9)


@given(PAIRS)
@several
def test_scores_lie_between_0_and_100(pairs):
    said, true = map(list, zip(*pairs, strict=True))
    scores = [metrics.bleu(said, true), metrics.chrf(said, true)]
    for score in (*scores, *metrics.rouge(said, true).values()):
        assert 0 <= score <= 100 + 1e-9


def test_a_text_said_right_scores_100_and_none_said_0():
    true = ["a cat sat on the mat", "it slept there all day"]
    for said, expected in ((true, 100), (["", ""], 0)):
        assert metrics.bleu(said, true) == pytest.approx(expected)
        assert metrics.chrf(said, true) == pytest.approx(expected)
        for score in metrics.rouge(said, true).values():
            assert score == pytest.approx(expected)


def test_rouge_by_hand():
    found = metrics.rouge(["cats sat", ""], ["the cat sat down", "a dog"])
    # Stemmed, of two and four words: both words, one pair, both in this order.
    assert found["rouge1"] == pytest.approx(100 * (2 / 3) / 2)
    assert found["rouge2"] == pytest.approx(100 * (2 * 1 / (1 + 3)) / 2)
    assert found["rougeL"] == pytest.approx(100 * (2 / 3) / 2)


@of_pairs
def test_different_counts_are_refused(metric):
    with pytest.raises(ValueError, match="2 predictions and 1 references"):
        metric(["a", "b"], ["a"])


@of_pairs
def test_no_texts_are_refused(metric):
    with pytest.raises(ValueError, match="no texts to score"):
        metric([], [])


@of_pairs
def test_one_string_is_refused_rather_than_read_by_letter(metric):
    with pytest.raises(ValueError, match="got one string, 'a cat'; give a list"):
        metric("a cat", "a dog")


@of_pairs
def test_without_the_library_the_extra_is_named(metric, monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith(("sacrebleu", "rouge_score")):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'metaflax\[generation\]'"):
        metric(["a"], ["a"])


@given(st.lists(TEXT, min_size=1, max_size=6), st.integers(1, 4))
@several
def test_distinct_counts_each_n_gram_once(said, n):
    counted = sum((grams(text.split(), n) for text in said), Counter())
    expected = len(counted) / counted.total() if counted else 0
    assert metrics.distinct(said, n) == expected
    again = metrics.distinct([*said, *said], n)
    assert again == pytest.approx(expected / 2)  # Nothing new was said.


def test_no_n_gram_reaches_into_the_next_text():
    assert metrics.distinct(["a", "b", "a"], 2) == 0
    assert metrics.distinct(["a b", "a b"], 2) == 0.5


def test_distinct_refuses_no_texts_and_empty_n_grams():
    with pytest.raises(ValueError, match="no texts to score"):
        metrics.distinct([], 1)
    with pytest.raises(ValueError, match="one word at least, got n=0"):
        metrics.distinct(["a"], 0)


@given(st.integers(0, 2**32 - 1), st.integers(3, 8), st.integers(1, 9))
@several
def test_recall_is_that_of_sklearn_where_no_two_scores_are_equal(seed, num, k):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(num), (5, 1)), axis=1)
    targets = rng.integers(0, num, 5)
    found = metrics.recall_at(scores, targets, k)
    if k >= num:  # sklearn warns that this is always 1.
        assert found == 1
        return
    expected = sklearn.top_k_accuracy_score(targets, scores, k=k, labels=range(num))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("score", [0.0, np.nan, -np.inf, np.inf])
def test_candidates_that_score_alike_come_before_the_right_one(score):
    scores = np.full((4, 3), score)
    assert metrics.recall_at(scores, [0, 1, 2, 0], 2) == 0
    assert metrics.recall_at(scores, [0, 1, 2, 0], 3) == 1


@pytest.mark.parametrize(
    ("scores", "targets", "k", "message"),
    [
        (np.ones((0, 3)), np.ones(0, int), 1, "one query at least"),
        (np.ones(3), [0, 0, 0], 1, r"got \[3\] and \[3\]"),
        (np.ones((2, 3)), [0], 1, r"got \[2, 3\] and \[1\]"),
        (np.ones((2, 3)), [0, 3], 1, "numbered 0 to 2, got numbers from 0 to 3"),
        (np.ones((2, 3)), [-1, 0], 1, "numbers from -1 to 0"),
        (np.ones((2, 3)), [0, 0], 0, "got k=0"),
    ],
)
def test_recall_refuses_what_makes_no_sense(scores, targets, k, message):
    with pytest.raises(ValueError, match=message):
        metrics.recall_at(scores, targets, k)


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 1), st.integers(0, 3)), min_size=1, max_size=9
    ).filter(lambda drawn: any(count for _, count in drawn))
)
@several
def test_perplexity_is_the_inverse_of_the_geometric_mean(drawn):
    p, counts = map(np.array, zip(*drawn, strict=True))
    repeated = np.repeat(p, counts)
    expected = 1 / np.prod(repeated ** (1 / len(repeated)))
    assert metrics.perplexity(np.log(p), counts) == pytest.approx(expected)
    assert metrics.perplexity(np.log(repeated)) == pytest.approx(expected)


def test_perplexity_at_the_edges():
    assert metrics.perplexity(-math.log(8)) == pytest.approx(8)  # Of a mean loss.
    assert metrics.perplexity([0.0, -np.inf], [1, 0]) == 1  # Padding does not count.
    assert metrics.perplexity([0.0, -np.inf]) == math.inf
    assert metrics.perplexity([-1e6]) == math.inf
    for found, weights in (([], None), ([-1.0], [0]), ([-1.0, -2.0], [1])):
        with pytest.raises(ValueError, match="of one token at least"):
            metrics.perplexity(found, weights)
