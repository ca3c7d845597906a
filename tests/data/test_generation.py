"""Tests for episodes of text generation."""

from collections import Counter

import numpy as np
import pytest

from metaflax import data
from metaflax.data.samplers._generation import GenerationSampler


def dialogues(*, per_domain=6, turns=2, domains=("a", "b", "c")):
    """Dialogues with `turns` answers each, `per_domain` in each domain."""
    texts, targets, of = [], [], []
    for domain in domains:
        for number in range(per_domain):
            for turn in range(turns):
                first = f"{domain}{number}"
                texts.append((first, *map(str, range(turn))))
                targets.append(f"answer {turn} to {first}")
                of.append(domain)
    return data.Examples("made up", tuple(texts), ((),) * len(texts),
                         domains=tuple(of), targets=tuple(targets))  # fmt: skip


def test_an_episode_is_of_one_domain_and_shares_no_dialogue():
    examples = dialogues()
    sampler = GenerationSampler(examples, shot=3, queries=4)
    for index in range(30):
        episode = sampler.episode(0, index)
        rows = np.concatenate([episode.support, episode.query])
        assert len(set(rows.tolist())) == 7
        domain = examples.domain_names[episode.domain]
        assert {examples.domains[row] for row in rows} == {domain}
        starts = [
            {examples.texts[row][0] for row in part}
            for part in (episode.support, episode.query)
        ]
        assert not starts[0] & starts[1]


def test_domains_take_turns_in_an_order_of_each_round():
    sampler = GenerationSampler(dialogues(), shot=1, queries=1)
    drawn = [sampler.episode(5, index).domain for index in range(30)]
    rounds = [tuple(drawn[i : i + 3]) for i in range(0, 30, 3)]
    assert all(sorted(order) == [0, 1, 2] for order in rounds)
    assert len(set(rounds)) > 1
    assert set(Counter(drawn).values()) == {10}


def test_episodes_have_no_state():
    one, two = (GenerationSampler(dialogues(), (1, 3), (2, 4)) for _ in range(2))
    episodes = [data.fixed_list(sampler, 3, 20) for sampler in (one, two)]
    assert data.protocol_hash(episodes[0]) == data.protocol_hash(episodes[1])
    assert {len(e.support) for e in episodes[0]} == {1, 2, 3}
    assert one.sizes == (1, 3, 4)


def test_a_text_that_occurs_twice_is_drawn_once():
    examples = data.Examples("twins", ("x", "x", "y"), ((),) * 3, targets=tuple("abc"))
    episode = GenerationSampler(examples, shot=1, queries=1).episode(0, 0)
    assert {*episode.support, *episode.query} == {0, 2}
    assert episode.domain is None


def test_too_few_that_share_nothing_are_refused():
    with pytest.raises(
        ValueError, match=r"'a' has 4 different texts; 2 .* may leave 0"
    ):
        GenerationSampler(dialogues(per_domain=2), shot=2, queries=1)


def test_examples_without_texts_to_say_are_refused():
    numbers = data.Examples("numbers", tuple("ab"), ((),) * 2, targets=(1.0, 2.0))
    with pytest.raises(ValueError, match="holds no target texts; read it with"):
        GenerationSampler(numbers, shot=1, queries=1)
