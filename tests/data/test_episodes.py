"""Tests for episodes: reproducible, uniformly sampled, without leaks."""

import collections
import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from metaflax import data
from metaflax.data.samplers._multilabel import MultiLabelSampler


def letters(names="abcdef", per_class=12, name="letters"):
    texts = tuple(f"{name}{n}" for name in names for n in range(per_class))
    return data.Examples(name, texts, tuple((text[0],) for text in texts))


def by_domain():
    """Domain x has classes a to d, domain y has c to f."""
    texts = tuple(
        f"{d}{c}{n}"
        for d in ("xabcd", "ycdef")
        for c in d[1:]
        for n in range(6)
        for d in (d[0],)
    )
    return data.Examples(
        "domains",
        texts,
        tuple((text[1],) for text in texts),
        domains=tuple(text[0] for text in texts),
    )


def multi(seed=0, num=200, names="abcdef"):
    rng = np.random.default_rng(seed)
    labels = [rng.choice(list(names), rng.integers(1, 4), False) for _ in range(num)]
    return data.Examples(
        "multi",
        tuple(f"text {n}" for n in range(num)),
        tuple(tuple(map(str, row)) for row in labels),
    )


SAMPLERS = {
    "single": data.EpisodeSampler(letters(), (2, 5), (1, 3), (1, 4)),
    "domains": data.EpisodeSampler(by_domain(), (2, 4), 2, 3),
    "multi": MultiLabelSampler(multi(), (2, 4), (1, 3), 2),
}


def as_plain(episode):
    return [
        value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in dataclasses.asdict(episode).items()
        if name != "names"  # Not drawn.
    ]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_an_episode_depends_on_seed_and_index_alone(kind):
    sampler = SAMPLERS[kind]
    forwards = [as_plain(e) for e in data.fixed_list(sampler, 3, 10)]
    again = dataclasses.replace(sampler)
    backwards = [as_plain(again.episode(3, index)) for index in reversed(range(10))]
    assert forwards == backwards[::-1]
    assert forwards[0] != forwards[1]
    assert forwards[0] != as_plain(sampler.episode(4, 0))


def test_episodes_are_the_same_on_every_machine():
    """Detects a change of NumPy's random streams, which would change episodes."""
    episode = SAMPLERS["single"].episode(2024, 7)
    assert as_plain(episode) == GOLDEN_EPISODE
    hashed = data.protocol_hash(data.fixed_list(SAMPLERS["multi"], 0, 3))
    assert hashed.startswith(GOLDEN_HASH)


GOLDEN_EPISODE = [
    (5, 4, 0, 3),
    None,
    [62, 48, 3, 38],
    [0, 1, 2, 3],
    [70, 63, 61, 60, 55, 51, 54, 57, 6, 4, 9, 11, 44, 42, 40, 43],
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3],
]
GOLDEN_HASH = "290eeab2fb934e8e"


@hypothesis.given(
    kind=st.sampled_from(sorted(SAMPLERS)),
    seed=st.integers(0, 2**64 - 1),
    index=st.integers(0, 2**64 - 1),
)
@hypothesis.settings(max_examples=150, deadline=None)
def test_an_episode_keeps_its_promises(kind, seed, index):
    sampler = SAMPLERS[kind]
    examples, sizes = sampler.examples, sampler.sizes
    episode = sampler.episode(seed, index)
    way = len(episode.classes)

    assert 2 <= way <= sizes.num_classes
    assert len(set(episode.classes)) == way
    assert len(episode.support) <= sizes.num_support
    assert len(episode.query) <= sizes.num_queries
    both = [*episode.support.tolist(), *episode.query.tolist()]
    assert len(set(both)) == len(both)
    if episode.domain is not None:
        domain = examples.domain_names[episode.domain]
        assert {examples.domains[n] for n in both} == {domain}

    names = [examples.label_names[c] for c in episode.classes]
    for numbers, targets in (
        (episode.support, episode.support_targets),
        (episode.query, episode.query_targets),
    ):
        assert numbers.dtype == np.int32
        for number, target in zip(numbers, targets, strict=True):
            labels = examples.labels[number]
            if kind == "multi":
                assert target.tolist() == [float(name in labels) for name in names]
            else:
                assert labels == (names[target],)


def test_every_class_has_its_shots_and_queries():
    sampler = data.EpisodeSampler(letters(), 3, 2, 4)
    episode = sampler.episode(0, 0)
    assert episode.support_targets.tolist() == [0, 0, 1, 1, 2, 2]
    assert episode.query_targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert sampler.sizes == (3, 6, 12)


def test_every_label_is_carried_by_enough_examples():
    sampler = MultiLabelSampler(multi(), 3, 2, 4)
    for episode in data.fixed_list(sampler, 0, 50):
        assert episode.support_targets.sum(axis=0).min() >= 2
        assert episode.query_targets.sum(axis=0).min() >= 4
        assert episode.support_targets.dtype == np.float32


def test_labels_that_always_occur_together_still_make_episodes():
    texts = tuple(f"t{n}" for n in range(4))
    examples = data.Examples("twins", texts, (("a", "b"),) * 4)
    episode = MultiLabelSampler(examples, 2, 2, 2).episode(0, 0)
    assert episode.support_targets.tolist() == [[1, 1], [1, 1]]
    assert episode.query_targets.tolist() == [[1, 1], [1, 1]]


def chi_square(counts, num_cells):
    counts = np.array([*counts.values()] + [0] * (num_cells - len(counts)))
    expected = counts.sum() / num_cells
    return ((counts - expected) ** 2 / expected).sum()


def test_domains_classes_ways_and_places_are_uniform():
    """Bounds are far above the 99.9 % quantiles of 1, 3, 2 and 5 degrees of freedom."""
    episodes = data.fixed_list(SAMPLERS["domains"], 0, 2000)
    assert chi_square(collections.Counter(e.domain for e in episodes), 2) < 15
    in_x = [c for e in episodes if e.domain == 0 for c in e.classes]
    assert chi_square(collections.Counter(in_x), 4) < 21
    assert chi_square(collections.Counter(len(e.classes) for e in episodes), 3) < 18
    # Local class 0 is any class: its number tells nothing.
    singles = data.fixed_list(SAMPLERS["single"], 1, 2000)
    assert chi_square(collections.Counter(e.classes[0] for e in singles), 6) < 26


def test_examples_of_a_class_are_uniform():
    sampler = data.EpisodeSampler(letters("ab"), 2, 1, 2)
    drawn = [n for e in data.fixed_list(sampler, 0, 2000) for n in e.support.tolist()]
    assert chi_square(collections.Counter(drawn), 24) < 55


def test_a_text_given_twice_is_drawn_once():
    examples = data.Examples(
        "twice", ("same", "same", "other", "x", "y"), (("a",),) * 3 + (("b",),) * 2
    )
    sampler = data.EpisodeSampler(examples, 2, 1, 1)
    drawn = {n for e in data.fixed_list(sampler, 0, 50) for n in (*e.support, *e.query)}
    assert drawn == {0, 2, 3, 4}


def test_all_classes_with_too_few_texts_are_named_with_advice():
    scarce = letters("ab", 3)
    examples = data.Examples("few", (*scarce.texts, "c0"), (*scarce.labels, ("c",)))
    for sampler in (data.EpisodeSampler, MultiLabelSampler):
        with pytest.raises(
            ValueError, match=r"takes 1 \+ 4 .* 'a' \(3\), 'b' \(3\), 'c' \(1\)\. Add"
        ):
            sampler(examples, 2, 1, (2, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"way": 7}, r"6 classes cannot make an episode of 7"),
        ({"way": 1}, r"way is 1; give a number of 2 or more"),
        ({"shot": 0}, r"shot is 0; give a number of 1 or more"),
        ({"queries": (3, 2)}, r"queries is \(3, 2\)"),
    ],
)
def test_episodes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.EpisodeSampler(letters(), **{"way": 2, "shot": 1, "queries": 1, **options})


def test_a_domain_with_too_few_classes_is_named():
    with pytest.raises(ValueError, match="4 classes of domain 'x', 4 classes of dom"):
        data.EpisodeSampler(by_domain(), 5, 1, 1)


def test_several_labels_need_the_other_sampler():
    with pytest.raises(ValueError, match="MultiLabelSampler"):
        data.EpisodeSampler(multi(), 2, 1, 1)


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ValueError, match="does not exist"):
        SAMPLERS["single"].episode(-1, 0)


def test_the_protocol_hash_tells_lists_apart():
    episodes = data.fixed_list(SAMPLERS["single"], 0, 5)
    hashed = data.protocol_hash(episodes)
    assert hashed == data.protocol_hash(data.fixed_list(SAMPLERS["single"], 0, 5))
    swapped = dataclasses.replace(
        episodes[0],
        support=episodes[0].query,
        query=episodes[0].support,
        support_targets=episodes[0].query_targets,
        query_targets=episodes[0].support_targets,
    )
    others = [episodes[:4], episodes[::-1], (swapped, *episodes[1:])]
    assert len({hashed, *map(data.protocol_hash, others)}) == 4
