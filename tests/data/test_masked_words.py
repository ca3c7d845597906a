"""Tests for episodes of indexed text: masked words and labels, from any reader."""

import concurrent.futures
import itertools
import json
import multiprocessing
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from metaflax import data, tasks
from metaflax.data.on_disk import _text_index
from metaflax.data.raw_text._word_groups import embedding_clusters
from tests.workflows import worlds

WORDS = [f"word{n}" for n in range(12)]


def write(folder, lines, name="raw.txt"):
    path = folder / name
    path.write_text("\n".join(lines))
    return data.index_texts(path, cache_dir=folder / "cache")


def random_lines(num=600, seed=0):
    """Sentences of several words each, some of which occur twice in the file."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(num):
        chosen = rng.choice(WORDS, rng.integers(1, 4))
        filler = [f"filler{n}" for n in rng.integers(0, 500, 5)]
        lines.append(" ".join(rng.permutation([*chosen, *filler])).capitalize())
    return [*lines, *lines[:100]]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write(tmp_path_factory.mktemp("streams"), random_lines())


def numbers(index, words=WORDS):
    names = list(index.words.names)
    return np.array([names.index(word) for word in words])


def sampler_of(index, way=(2, 4), shot=(1, 3), queries=(1, 5), **kwargs):
    known = numbers(index)
    groups = known[:6], known[6:]
    return data.MaskedWordSampler(index, groups, "[MASK]", way, shot, queries, **kwargs)


@hypothesis.given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
@hypothesis.settings(max_examples=100, deadline=None)
def test_a_masked_word_episode_keeps_its_promises(index, seed, number):
    sampler = sampler_of(index)
    episode, again = sampler.episode(seed, number), sampler.episode(seed, number)
    assert data.protocol_hash([episode]) == data.protocol_hash([again])
    way = len(episode.classes)
    words = [index.words.names[n] for n in episode.classes]
    assert sampler.sizes == (4, 12, 20)
    assert 2 <= way <= 4
    assert len(set(words)) == way
    groups = [set(group.tolist()) for group in sampler.groups]
    assert any(set(episode.classes) <= group for group in groups)
    for targets, least, most in (
        (episode.support_targets, 1, 3),
        (episode.query_targets, 1, 5),
    ):
        shots = np.bincount(targets, minlength=way)
        assert len(set(shots.tolist())) == 1
        assert least <= shots[0] <= most
    rows = [*episode.support.tolist(), *episode.query.tolist()]
    texts = [index.text(row) for row in rows]
    assert len(set(texts)) == len(texts)
    targets = [*episode.support_targets.tolist(), *episode.query_targets.tolist()]
    for row, text, target in zip(rows, texts, targets, strict=True):
        assert set(_text_index.words_in(text)) & set(words) == {words[target]}
        shown = sampler.text(row, episode.classes[target])
        assert shown.count("[MASK]") == _text_index.words_in(text).count(words[target])
        assert words[target] not in _text_index.words_in(shown)


def test_groups_words_ways_and_sentences_are_drawn_uniformly(index):
    """Bounds are far above the 99.9 % quantiles of 11 and 2 degrees of freedom."""
    episodes = data.fixed_list(sampler_of(index), 0, 2000)
    classes = np.concatenate([e.classes for e in episodes])
    for found in (np.unique(classes, return_counts=True)[1],
                  np.bincount([len(e.classes) for e in episodes])[2:]):  # fmt: skip
        expected = found.sum() / len(found)
        assert ((found - expected) ** 2 / expected).sum() < 45
    rows = np.concatenate([np.r_[e.support, e.query] for e in episodes])
    assert len(np.unique(rows)) > 0.9 * len(index)


def test_masking_is_of_whole_words_in_any_case_and_script():
    masked = data.masked
    assert masked("Cat's cats: CAT, concat", "cat", "_") == "_'s cats: _, concat"
    assert masked("Élan et élan", "élan", "_") == "_ et _"
    assert masked("nothing here", "cat", "_") == "nothing here"
    long = " ".join(f"w{n}" for n in range(100))
    assert masked(long, "w50", "_", 2) == "w48 w49 _ w51 w52"
    assert masked(long, "w0", "_", 1) == "_ w1"
    assert masked(long, "w99", "_", 1) == "w98 _"
    assert masked("a, b, a c d.", "a", "_", 2) == "_, b, _"


def test_labels_of_the_same_source_make_supervised_episodes(tmp_path):
    rows = [{"text": f"{pet} {n}", "label": pet} for pet in "abc" for n in range(6)]
    path = worlds.write_jsonl(tmp_path / "pets.jsonl", [*rows, rows[0]])
    index = data.index_texts(path, label="label", cache_dir=tmp_path / "cache")
    sampler = data.LabelledTextSampler(index, (np.arange(3),), (2, 3), 2, (1, 4))
    for episode in data.fixed_list(sampler, 0, 50):
        drawn = [*episode.support, *episode.query]
        targets = [*episode.support_targets, *episode.query_targets]
        texts = [sampler.text(row, 0) for row in drawn]
        assert len(set(texts)) == len(texts)
        for text, target in zip(texts, targets, strict=True):
            assert text[0] == index.labels.names[episode.classes[target]]
    assert sampler.sizes == (3, 6, 12)
    with pytest.raises(ValueError, match="indexed without labels"):
        data.LabelledTextSampler(write(tmp_path, ["a", "a"]), (np.arange(1),), 2, 1, 1)


def drawn_by(sent, reader, num_readers, num):
    """Episodes that a reader in a separate process draws."""
    episodes = data.share_out(
        lambda number: pickle.loads(sent).episode(3, number), reader, num_readers
    )
    found = itertools.islice(episodes, num)
    return [(number, data.protocol_hash([episode])) for number, episode in found]


def test_four_readers_make_the_stream_of_one(index):
    sent = pickle.dumps(sampler_of(index))
    with concurrent.futures.ProcessPoolExecutor(
        2, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        parts = [pool.submit(drawn_by, sent, reader, 4, 5) for reader in range(4)]
        four = sorted(itertools.chain(*(part.result() for part in parts)))
    assert four == drawn_by(sent, 0, 1, 20)
    assert len(set(four)) == 20
    with pytest.raises(ValueError, match="no reader 4 among 4"):
        data.share_out(str, 4, 4)


def test_a_batch_holds_the_texts_of_its_episodes(index, tmp_path):
    vocabulary = (*worlds.SPECIAL, *WORDS, *(f"filler{n}" for n in range(500)))
    worlds.save_tokenizer(tmp_path / "tokenizer", vocabulary)
    from metaflax import models

    tokenizer = models.pretrained.tokenizer(tmp_path / "tokenizer")
    sampler = sampler_of(index)
    episodes = data.fixed_list(sampler, 0, 3)
    batch = data.collate_lazy(
        episodes,
        sampler,
        lambda texts: data.tokenize(tokenizer, texts, max_length=48),
        **sampler.sizes._asdict(),
    )
    for number, episode in enumerate(episodes):
        for part, rows, targets in (
            (batch.support, episode.support, episode.support_targets),
            (batch.query, episode.query, episode.query_targets),
        ):
            assert part.weights[number].sum() == len(rows)
            assert part.targets[number, : len(rows)].tolist() == targets.tolist()
            for place, (row, target) in enumerate(zip(rows, targets, strict=True)):
                real = part.inputs.mask[number, place].astype(bool)
                read = tokenizer.decode(part.inputs.ids[number, place][real])
                shown = sampler.text(row, episode.classes[target])
                assert read == f"[CLS] {shown} [SEP]".replace("Word", "word").replace(
                    "Filler", "filler"
                )


def test_a_mask_survives_however_long_its_text_is(tmp_path):
    worlds.save_tokenizer(tmp_path / "tokenizer", (*worlds.SPECIAL, "a", "b"))
    from metaflax import models

    tokenizer = models.pretrained.tokenizer(tmp_path / "tokenizer")
    texts = ["a " * n + "[MASK]" + " b" * (100 - n) for n in (0, 3, 50, 97, 100)]
    read = data.tokenize(
        tokenizer,
        [*texts, "a " * 60],
        max_length=9,
        form=tasks.MASKED_TEXT,
        on_long="truncate",
    )
    decoded = [tokenizer.decode(row) for row in read]
    assert decoded == [
        "[CLS] [MASK] b b b b b b [SEP]",
        "[CLS] a a a [MASK] b b b [SEP]",
        "[CLS] a a a [MASK] b b b [SEP]",
        "[CLS] a a a [MASK] b b b [SEP]",
        "[CLS] a a a a a a [MASK] [SEP]",
        "[CLS] a a a a a a a [SEP]",
    ]
    assert read.num_truncated == 6


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"way": 7}, "2 groups, of which the smallest has 6 classes, cannot make"),
        ({"way": 1}, "way is 1"),
        ({"shot": 0}, "shot is 0"),
        ({"queries": 500}, "an episode takes 503 texts of a class, and 12 of 12"),
    ],
)
def test_text_too_small_for_the_tasks_is_refused(index, sizes, message):
    with pytest.raises(ValueError, match=message):
        sampler_of(index, **sizes)


def test_no_group_at_all_is_refused(index):
    with pytest.raises(ValueError, match="0 groups"):
        data.MaskedWordSampler(index, (), "_", 2, 1, 1)


def test_texts_that_are_all_the_same_make_no_episode(tmp_path):
    same = write(tmp_path, ["one word"] * 9 + ["two words"] * 9)
    known = numbers(same, ("one", "two"))
    sampler = data.MaskedWordSampler(same, (known,), "_", 2, 1, 1)
    with pytest.raises(ValueError, match="100 draws found no episode of 2 different"):
        sampler.episode(0, 0)


def test_bands_hold_words_of_like_frequency(index):
    counts = index.words.counts
    bands = data.frequency_bands(index, (2, 10, 100, 1000))
    for band, (least, most) in zip(
        bands, ((2, 10), (10, 100), (100, 1000)), strict=True
    ):
        assert counts[band].min() >= least
        assert counts[band].max() < most
    assert sum(map(len, bands)) == len(counts)
    [few] = data.frequency_bands(index, (2, 1000), numbers(index)[:3])
    assert few.tolist() == numbers(index)[:3].tolist()
    for edges in ((5,), (5, 5), (9, 3)):
        with pytest.raises(ValueError, match="two or more rising"):
            data.frequency_bands(index, edges)


def test_clusters_hold_words_that_lie_together():
    rng = np.random.default_rng(0)
    centres = np.eye(4)[rng.integers(0, 4, 200)]
    vectors = centres * rng.uniform(1, 5, (200, 1)) + 0.1 * rng.normal(size=(200, 4))
    words = np.arange(1000, 1200)
    clusters = embedding_clusters(vectors, words, 4)
    assert sorted(np.concatenate(clusters).tolist()) == words.tolist()
    for cluster in clusters:
        assert len({centres[n - 1000].argmax() for n in cluster}) == 1
    again = embedding_clusters(vectors, words, 4)
    assert json.dumps([c.tolist() for c in again]) == json.dumps(
        [c.tolist() for c in clusters]
    )
    with pytest.raises(ValueError, match="200 words do not make 201 clusters"):
        embedding_clusters(vectors, words, 201)
