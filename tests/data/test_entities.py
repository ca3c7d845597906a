"""Tests for N-way K~2K-shot episodes of entities."""

import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax import data
from metaflax.data.samplers import _entities
from metaflax.data.samplers._entities import EntitySampler
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.tasks._entity_spans import Entity

LETTERS = "abcdef"


def sentences(texts, domains=None, name="letters"):
    """Each letter is an entity of its own type; other characters are in none."""
    targets = tuple(
        tuple(Entity(n, n + 1, c) for n, c in enumerate(text) if c in LETTERS)
        for text in texts
    )
    labels = tuple(tuple(sorted({e.type for e in found})) for found in targets)
    return data.Examples(name, tuple(texts), labels, domains, targets=targets)


def random_texts(num=300, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 4, num)
    return [f"{''.join(rng.choice([*LETTERS], k))} {n}" for n, k in enumerate(sizes)]


TEXTS = random_texts()
HALVES = tuple("xy"[n % 2] for n in range(len(TEXTS)))
SAMPLERS = {
    "fixed": EntitySampler(sentences(TEXTS), 3, 2, 3),
    "ranges": EntitySampler(sentences(TEXTS), (1, 4), (1, 3), (1, 4), 0.25),
    "domains": EntitySampler(sentences(TEXTS, HALVES), (2, 4), 1, 2, 0.5),
}


def counts(sampler, episode, numbers):
    """Counts entities of each type, and sentences without entities."""
    found = [sampler.examples.targets[n] for n in numbers]
    types = [e.type for entities in found for e in entities]
    return collections.Counter(types), sum(not entities for entities in found)


@pytest.mark.parametrize("kind", sorted(SAMPLERS))
@given(seed=st.integers(0, 2**64 - 1), index=st.integers(0, 2**64 - 1))
@settings(max_examples=80, deadline=None)
def test_an_episode_keeps_its_promises(kind, seed, index):
    sampler = SAMPLERS[kind]
    examples, sizes = sampler.examples, sampler.sizes
    episode = sampler.episode(seed, index)
    names = {examples.label_names[c] for c in episode.classes}
    (way_low, way), (shot_low, shot), (queries_low, queries) = sampler._ranges
    assert way_low <= len(names) == len(episode.classes) <= way == sizes.num_classes

    of_support = episode.support, episode.support_targets, shot_low, 2 * shot
    of_queries = episode.query, episode.query_targets, queries_low, 2 * queries
    for (numbers, targets, low, high), most in (
        (of_support, sizes.num_support),
        (of_queries, sizes.num_queries),
    ):
        assert 0 < len(numbers) <= most
        assert targets.tolist() == [0] * len(numbers)
        assert (numbers.dtype, targets.dtype) == (np.int32, np.int32)
        found, num_empty = counts(sampler, episode, numbers)
        assert set(found) == names
        assert low <= min(found.values())
        assert max(found.values()) <= high
        # Each sentence was needed when it was added: without the last, some type
        # lacks entities.
        full = len(numbers) - num_empty
        less, _ = counts(sampler, episode, numbers[: full - 1])
        assert min(less[name] for name in names) < high / 2
    assert counts(sampler, episode, episode.support)[1] == 0
    both = [examples.texts[n] for n in (*episode.support, *episode.query)]
    assert len(set(both)) == len(both)
    if kind == "domains":
        domain = examples.domain_names[episode.domain]
        assert {HALVES[n] for n in (*episode.support, *episode.query)} == {domain}
    else:
        assert episode.domain is None


def test_queries_have_their_share_of_sentences_without_entities():
    for index in range(50):
        sampler = SAMPLERS["domains"]
        episode = sampler.episode(0, index)
        _, num_empty = counts(sampler, episode, episode.query)
        assert num_empty == len(episode.query) / 2
        # They come last.
        empty = [not sampler.examples.labels[n] for n in episode.query]
        assert empty == sorted(empty)


def test_where_no_sentence_is_without_entities_none_is_added():
    full = sentences([text for text in TEXTS if text[0] in LETTERS])
    with_rate = EntitySampler(full, 2, 1, 1, empty_rate=0.9)
    assert with_rate.sizes == EpisodeSizes(2, 2, 2)
    assert all(full.labels[n] for n in with_rate.episode(0, 0).query)


def test_an_episode_depends_on_seed_and_index_alone():
    sampler = SAMPLERS["ranges"]
    again = dataclasses.replace(sampler)
    forwards = data.fixed_list(sampler, 3, 10)
    backwards = [again.episode(3, index) for index in reversed(range(10))]
    assert data.protocol_hash(forwards) == data.protocol_hash(backwards[::-1])
    others = {
        data.protocol_hash([e]) for e in (*forwards, *data.fixed_list(sampler, 4, 10))
    }
    assert len(others) == 20


def test_episodes_are_the_same_on_every_machine():
    """Detects a change of NumPy's random streams, which would change episodes."""
    hashed = data.protocol_hash(data.fixed_list(SAMPLERS["ranges"], 2024, 5))
    assert hashed.startswith("2644ef081b2ca0b0")


def test_sentences_are_taken_as_a_plain_walk_takes_them():
    """Compares with the paper's greedy rule, sentence by sentence in the same order."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        table = rng.poisson(0.3, (4, 300)).astype(np.int16)  # [N, E]
        wanted, order = int(rng.integers(1, 9)), rng.permutation(300)
        have, taken = np.zeros(4, int), []
        for sentence in order:
            more = table[:, sentence]
            if (have >= wanted).all():
                break
            if more[have < wanted].any() and (have + more <= 2 * wanted).all():
                have, taken = have + more, [*taken, sentence]
        assert _entities._greedy(table, order, wanted).tolist() == taken


def test_sentences_of_a_type_are_uniform():
    texts = [f"{c}{n}" for c in "ab" for n in range(12)]
    sampler = EntitySampler(sentences(texts), 2, 1, 2)
    drawn = [n for e in data.fixed_list(sampler, 0, 2000) for n in e.support.tolist()]
    found = np.bincount(drawn, minlength=24)
    expected = len(drawn) / 24
    # Far above the 99.9 % quantile of 23 degrees of freedom.
    assert ((found - expected) ** 2 / expected).sum() < 55


def test_types_are_in_random_order():
    episodes = data.fixed_list(SAMPLERS["fixed"], 0, 1200)
    found = np.bincount([e.classes[0] for e in episodes], minlength=6)
    assert ((found - 200) ** 2 / 200).sum() < 26


def test_a_text_given_twice_is_drawn_once():
    texts = ["a", "a", "aa", "a 1", "b", "b 1", "x", "x"]
    sampler = EntitySampler(sentences(texts), 2, 1, 1, empty_rate=0.5)
    drawn = {n for e in data.fixed_list(sampler, 0, 50) for n in (*e.support, *e.query)}
    assert drawn == {0, 2, 3, 4, 5, 6}


def test_types_that_never_stand_alone_are_named():
    # "a" and "b" have entities enough, but never without the other, and "c".
    twins = sentences([f"abc {n}" for n in range(6)] + ["c 7", "c 8"])
    sampler = EntitySampler(twins, 2, 1, 1)
    said = r"found no episode of 1 \+ 1 entities a type for '[abc]', '[abc]': too many"
    with pytest.raises(ValueError, match=said):
        sampler.episode(0, 0)
    assert EntitySampler(twins, 3, 1, 1).episode(0, 0).support.size


def test_an_unlucky_order_is_tried_anew():
    # A support set with both "ab" leaves no queries for "b"; with one it is valid.
    texts = ["ab 0", "ab 1", "a 2", "a 3", "a 4", "a 5"]
    sampler = EntitySampler(sentences(texts), 2, 1, 1)
    for episode in data.fixed_list(sampler, 0, 50):
        for numbers in (episode.support, episode.query):
            found, _ = counts(sampler, episode, numbers)
            assert found["b"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"way": 7}, "letters: 6 types cannot make an episode of 7; lower way"),
        ({"way": 0}, "way is 0; give a number of 1 or more"),
        ({"shot": 0}, "shot is 0; give a number of 1 or more"),
        ({"queries": (3, 2)}, r"queries is \(3, 2\)"),
        ({"empty_rate": 1.0}, "share of queries without entities is 1.0; give 0 to"),
    ],
)
def test_episodes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EntitySampler(
            sentences(TEXTS), **{"way": 2, "shot": 1, "queries": 1, **options}
        )


def test_types_with_too_few_entities_are_named_with_their_domain():
    texts = ["a", "aa", "b", "b", "bbbbb", "a 1", "a 2", "b 1", "b 2"]
    found = sentences(texts, tuple("xxxxxyyyy"))
    with pytest.raises(
        ValueError, match=r"1 \+ 2 entities.*: 'b' of domain 'x' \(1\), 'a' of .*'y'"
    ):
        EntitySampler(found, 2, 1, 2)
    with pytest.raises(ValueError, match="2 types of domain 'x', 2 types of domain"):
        EntitySampler(found, 3, 1, 1)


def test_examples_without_entities_are_refused():
    plain = data.Examples("x", ("a", "b"), (("c",), ("d",)))
    with pytest.raises(ValueError, match="x: holds no entities"):
        EntitySampler(plain, 1, 1, 1)
    with pytest.raises(ValueError, match="no types cannot make an episode"):
        EntitySampler(data.Examples("x", (), (), targets=()), 1, 1, 1)


def test_labels_that_are_not_the_types_are_refused():
    entities = (Entity(0, 1, "a"),)
    for labels in ((), ("b",), ("a", "b")):
        wrong = data.Examples("x", ("a",), (labels,), targets=(entities,))
        with pytest.raises(ValueError, match=r"labels of text 0 are .* of 'a'; labels"):
            EntitySampler(wrong, 1, 1, 1)
