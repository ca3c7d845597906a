"""Tests for episodes that replace some texts by variants."""

import itertools

import numpy as np
import pytest

from metaflax import data
from metaflax.data.samplers._multilabel import MultiLabelSampler
from metaflax.data.samplers._variants import Variants, WithVariants

NUM_VARIANTS = 3


def letters(num_texts=8, classes="abcd"):
    texts = tuple(f"{c}{n}" for c in classes for n in range(num_texts))
    return data.Examples(
        "letters",
        texts,
        tuple((text[0],) for text in texts),
        variants=tuple(
            tuple(f"{text}/{k}" for k in range(NUM_VARIANTS)) for text in texts
        ),
    )


def sampler_of(examples, rate=0.5):
    variants = Variants.of(examples)
    sampler = data.EpisodeSampler(examples, (2, 4), (1, 3), 2)
    return WithVariants(sampler, variants, rate)


def read(sampler, episode):
    texts = sampler.variants.texts
    return [[texts[n] for n in part] for part in (episode.support, episode.query)]


def test_the_same_texts_meet_whatever_the_rate():
    examples = letters()
    plain = sampler_of(examples).sampler
    for rate, index in itertools.product((0.0, 0.3, 1.0), range(20)):
        varied = sampler_of(examples, rate)
        expected, found = plain.episode(3, index), varied.episode(3, index)
        assert found.classes == expected.classes
        np.testing.assert_array_equal(found.support_targets, expected.support_targets)
        np.testing.assert_array_equal(found.query_targets, expected.query_targets)
        own = [[text.split("/")[0] for text in part] for part in read(varied, found)]
        assert own == read(varied, expected)
        assert varied.sizes == plain.sizes


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_that_share_of_texts_is_read_as_one_of_their_variants_all_alike(rate):
    sampler = sampler_of(letters(), rate)
    texts = [
        text
        for index in range(300)
        for part in read(sampler, sampler.episode(0, index))
        for text in part
    ]
    varied = [text for text in texts if "/" in text]
    assert len(varied) / len(texts) == pytest.approx(rate, abs=0.03)
    for k in range(NUM_VARIANTS if rate else 0):
        share = sum(text.endswith(f"/{k}") for text in varied) / len(varied)
        assert share == pytest.approx(1 / NUM_VARIANTS, abs=0.06)


def test_nothing_that_a_query_may_read_is_in_the_support():
    """Even if texts share variants, or variants equal other texts."""
    examples = letters()
    clash = {"a0": ("a1", "same", "a0"), "a1": ("same", "b0"), "a2": ("a0", "own")}
    variants = tuple(clash.get(text, ("same",)) for text in examples.texts)
    examples = data.Examples(
        "clash", examples.texts, examples.labels, variants=variants
    )
    sampler = sampler_of(examples, 1.0)
    found = sampler.variants
    assert found.texts[len(examples) :] == ("same", "own")
    assert found.counts[:3].tolist() == [1, 0, 1]
    assert not found.counts[3:].any()
    for index in range(100):
        support, query = read(sampler, sampler.episode(0, index))
        assert len({*support, *query}) == len(support) + len(query)


def test_a_text_that_occurs_twice_reads_the_variants_of_either():
    examples = data.Examples(
        "twice", ("x", "x"), (("a",), ("b",)), variants=(("y",), ("y", "z"))
    )
    found = Variants.of(examples)
    assert found.texts == ("x", "x", "y", "y", "z")
    assert found.counts.tolist() == [1, 2]


def test_several_readers_make_the_list_of_one():
    sampler = sampler_of(letters())

    def hashes(num_readers, start=0):
        items = [
            itertools.islice(
                data.share_out(
                    lambda n: data.protocol_hash([sampler.episode(5, n)]),
                    reader,
                    num_readers,
                    start,
                ),
                12 // num_readers,
            )
            for reader in range(num_readers)
        ]
        return sorted(itertools.chain(*items))

    assert hashes(1) == hashes(3)
    assert hashes(1)[4:] == hashes(2, start=4)[:8]


def test_examples_without_variants_are_read_as_they_are():
    plain = data.Examples("x", ("a", "b"), (("l",), ("m",)))
    assert Variants.of(plain).texts == ("a", "b")
    assert letters().select([1, 0]).variants == (
        ("a1/0", "a1/1", "a1/2"),
        ("a0/0", "a0/1", "a0/2"),
    )


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(ValueError, match="give 0 to 1"):
        sampler_of(letters(), rate)


def test_texts_of_several_labels_have_variants_too():
    plain = letters()
    labels = tuple(("a", "b") if n % 2 else ("c",) for n in range(len(plain)))
    examples = data.Examples("m", plain.texts, labels, variants=plain.variants)
    sampler = WithVariants(
        MultiLabelSampler(examples, 2, 2, 2), Variants.of(examples), 1.0
    )
    episode = sampler.episode(0, 0)
    assert all("/" in text for part in read(sampler, episode) for text in part)
