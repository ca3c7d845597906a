"""Tests for episodes of questions, and for data without valid episodes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax import data
from metaflax.tasks._questions import Answer, Question


def examples(domains=("x", "y"), contexts=12, each=2, answered=0.3, seed=0):
    """Questions, `each` per context, of which a share has an answer."""
    rng = np.random.default_rng(seed)
    texts, targets, of = [], [], []
    for domain in domains:
        for context in range(contexts):
            for question in range(each):
                texts.append(Question(f"{question}?", f"{domain} {context}"))
                first = not context and not question
                found = first or rng.random() < answered
                targets.append((Answer(domain, 0, 1),) * found)
                of.append(domain)
    labels = ((),) * len(texts)
    return data.Examples(
        "q.jsonl", tuple(texts), labels, tuple(of), targets=tuple(targets)
    )


EXAMPLES = examples()


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
@settings(max_examples=100, deadline=None)
def test_an_episode_is_of_one_domain_and_no_query_shares_a_context(seed, index):
    sampler = data.QuestionSampler(EXAMPLES, shot=(1, 4), queries=(2, 6))
    episode = sampler.episode(seed, index)
    again = sampler.episode(seed, index)
    assert episode.support.tolist() == again.support.tolist()
    assert episode.query.tolist() == again.query.tolist()
    assert 1 <= len(episode.support) <= 4
    assert 2 <= len(episode.query) <= 6
    drawn = [*episode.support, *episode.query]
    assert len(set(drawn)) == len(drawn)
    assert {EXAMPLES.domains[n] for n in drawn} == {
        EXAMPLES.domain_names[episode.domain]
    }
    contexts = [
        {EXAMPLES.texts[n].context for n in part}
        for part in (episode.support, episode.query)
    ]
    assert not contexts[0] & contexts[1]
    for part, targets in (
        (episode.support, episode.support_targets),
        (episode.query, episode.query_targets),
    ):
        assert targets.tolist() == [bool(EXAMPLES.targets[n]) for n in part]
    assert episode.support_targets.any()
    assert sampler.sizes == (1, 4, 6)


def test_unanswerable_questions_come_as_often_as_the_data_has_them():
    many = examples(contexts=40, answered=0.7)
    sampler = data.QuestionSampler(many, shot=8, queries=8)
    episodes = [sampler.episode(0, n) for n in range(200)]
    share = np.mean([bool(target) for target in many.targets])
    for part in ("support_targets", "query_targets"):
        found = np.mean([getattr(episode, part) for episode in episodes])
        np.testing.assert_allclose(found, share, atol=0.03)


def test_the_one_answer_of_a_domain_is_always_learned():
    lone = examples(domains=("x",), answered=0)
    sampler = data.QuestionSampler(lone, shot=2, queries=3)
    assert all(0 in sampler.episode(0, n).support for n in range(20))


def test_a_question_that_occurs_twice_is_drawn_once():
    texts = (*(Question("a", c) for c in "xyz"), Question("a", "x"))
    targets = ((Answer("x", 0, 1),),) * 4
    twice = data.Examples("q", texts, ((),) * 4, targets=targets)
    episode = data.QuestionSampler(twice, shot=1, queries=2).episode(0, 0)
    assert sorted([*episode.support, *episode.query]) == [0, 1, 2]
    assert episode.domain is None


@pytest.mark.parametrize(
    ("made", "shot", "queries", "message"),
    [
        (examples(contexts=3, each=5), 2, 6, "2 for the support set may leave 5 about"),
        (examples(contexts=1, each=5), 1, 1, "5 questions about 1 contexts"),
        (examples(contexts=2, each=1), 5, 1, "an episode takes 1"),
        (EXAMPLES, 0, 1, "shot is 0"),
        (EXAMPLES, 1, 0, "queries is 0"),
    ],
)
def test_too_few_questions_are_named_with_their_domain(made, shot, queries, message):
    with pytest.raises(ValueError, match=message):
        data.QuestionSampler(made, shot=shot, queries=queries)


def test_a_domain_without_any_answer_is_named():
    texts = tuple(Question("a", c) for c in "xyz")
    none = data.Examples("q.jsonl", texts, ((),) * 3, targets=((),) * 3)
    with pytest.raises(ValueError, match=r"q\.jsonl: domain 'all' has no question wit"):
        data.QuestionSampler(none, shot=1, queries=1)


def test_what_holds_no_questions_is_refused():
    numbers = data.Examples("n", ("a", "b"), ((),) * 2, targets=(1.0, 2.0))
    with pytest.raises(ValueError, match="n: holds no questions with answers"):
        data.QuestionSampler(numbers, shot=1, queries=1)
