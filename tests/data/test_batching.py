"""Tests for batches: real tokens, padding, and number of shapes."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from metaflax import data
from metaflax.data.samplers._episodes import EpisodeSizes

PAD = 9


def tokenized(lengths, types=None):
    """Tokenized texts; text i repeats the token i + 10."""
    flat = np.concatenate([np.full(n, i + 10, np.int32) for i, n in enumerate(lengths)])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return data.TokenizedTexts(flat, offsets, types, PAD)


def letters(names="abcd", per_class=8):
    texts = tuple(f"{name}{n}" for name in names for n in range(per_class))
    return data.Examples("letters", texts, tuple((text[0],) for text in texts))


def episode(classes=(0, 1), support=(0, 1), query=(2,), multi=False):
    def targets(numbers):
        local = np.arange(len(numbers), dtype=np.int32) % len(classes)
        return np.eye(len(classes), dtype=np.float32)[local] if multi else local

    return data.Episode(
        classes,
        None,
        np.array(support, np.int32),
        targets(support),
        np.array(query, np.int32),
        targets(query),
    )


SIZES = EpisodeSizes(num_classes=3, num_support=3, num_queries=2)


def collate(episodes, tokens, **options):
    return data.collate(episodes, tokens, **{**SIZES._asdict(), **options})


def test_a_batch_by_hand():
    buckets = data.Buckets(lengths=(2, 4), budget_multiple=3)
    task = collate([episode()], tokenized([1, 3, 2]), buckets=buckets)
    support, query = task.support, task.query
    np.testing.assert_array_equal(
        support.inputs.ids[0],
        [[10, PAD, PAD, PAD], [11, 11, 11, PAD], [PAD] * 4],
    )
    np.testing.assert_array_equal(
        support.inputs.mask[0], [[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(support.inputs.packed, [[0, 4, 5, 6, 12, 12]])
    np.testing.assert_array_equal(support.targets, [[0, 1, 0]])
    np.testing.assert_array_equal(support.weights, [[1, 1, 0]])
    np.testing.assert_array_equal(query.inputs.ids[0], [[12, 12, PAD, PAD], [PAD] * 4])
    np.testing.assert_array_equal(query.inputs.packed, [[0, 1, 8]])
    np.testing.assert_array_equal(query.weights, [[1, 0]])
    dtypes = [leaf.dtype.name for leaf in jax.tree.leaves(support)]
    assert dtypes == ["int32", "int32", "int32", "int32", "float32"]
    assert support.inputs.types is None


def test_several_labels_become_rows_of_zeros_and_ones():
    task = collate([episode(multi=True)], tokenized([1, 1, 1]))
    np.testing.assert_array_equal(
        task.support.targets, [[[1, 0, 0], [0, 1, 0], [0, 0, 0]]]
    )
    assert task.query.targets.shape == (1, 2, 3)
    assert task.query.targets.dtype == np.float32


def test_segments_follow_their_tokens():
    types = np.array([0, 0, 1, 1, 0, 1], np.int8)
    task = collate([episode()], tokenized([1, 3, 2], types))
    assert task.support.inputs.types[0, 1, :5].tolist() == [0, 1, 1, 0, 0]
    assert task.support.inputs.types.dtype == np.int32


def test_packing_can_be_left_out():
    assert (
        collate([episode()], tokenized([1] * 3), pack=False).query.inputs.packed is None
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (episode(classes=(0, 1, 2, 3)), "4 classes and the batch has room for 3"),
        (episode(support=(0, 1, 2, 0)), "4 support examples do not fit"),
        (episode(query=(0, 1, 2)), "3 queries do not fit into a batch of 2"),
        (episode(support=(3,)), "a text of 600 tokens is longer than the last bucket"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        collate([given], tokenized([1, 1, 1, 600]))


@hypothesis.given(
    lengths=st.lists(st.integers(1, 40), min_size=32, max_size=32),
    num_tasks=st.integers(1, 4),
    seed=st.integers(0, 1000),
    pack=st.booleans(),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_every_real_token_is_there_once_and_padding_is_marked(
    lengths, num_tasks, seed, pack
):
    sampler = data.EpisodeSampler(letters(), (2, 4), (1, 3), (1, 4))
    tokens = tokenized(lengths)
    episodes = data.fixed_list(sampler, seed, num_tasks)
    task = data.collate(episodes, tokens, **sampler.sizes._asdict(), pack=pack)
    assert task.support.inputs.ids.shape[2] == task.query.inputs.ids.shape[2]
    for part in ("support", "query"):
        batch = getattr(task, part)
        ids, mask = batch.inputs.ids, batch.inputs.mask
        for t, drawn in enumerate(episodes):
            numbers = getattr(drawn, part)
            size = len(numbers)
            for row, number in enumerate(numbers):
                assert (
                    ids[t, row][mask[t, row] == 1].tolist() == tokens[number].tolist()
                )
            assert (ids[t][mask[t] == 0] == PAD).all()
            assert not mask[t, size:].any()
            assert batch.weights[t].tolist() == [1] * size + [0] * (len(ids[t]) - size)
            targets = getattr(drawn, f"{part}_targets")
            assert batch.targets[t, :size].tolist() == targets.tolist()
            if pack:
                packed = batch.inputs.packed[t]
                real = packed[packed < mask[t].size]
                assert real.tolist() == np.flatnonzero(mask[t]).tolist()
                assert (packed[len(real) :] == mask[t].size).all()


@hypothesis.given(st.integers(1, 512), st.integers(1, 100_000))
@hypothesis.settings(max_examples=200, deadline=None)
def test_buckets_hold_what_they_are_asked_to_without_much_waste(length, num_tokens):
    buckets = data.Buckets()
    assert length <= buckets.length(length) <= max(16, 1.5 * length)
    budget = buckets.budget(num_tokens)
    assert num_tokens <= budget <= max(64, 1.25 * num_tokens + 64)
    assert budget % 64 == 0
    assert buckets.budget(budget) == budget


@hypothesis.given(st.integers(0, 2**32))
@hypothesis.settings(max_examples=20, deadline=None)
def test_the_number_of_shapes_is_bounded(seed):
    rng = np.random.default_rng(seed)
    sampler = data.EpisodeSampler(letters(), (2, 4), (1, 3), (1, 4))
    buckets = data.Buckets.up_to(128)
    # Worst case: texts of all lengths in different episodes.
    shapes = set()
    for index in range(50):
        tokens = tokenized(rng.integers(1, rng.integers(2, 129), size=32))
        task = data.collate(
            [sampler.episode(seed, index)],
            tokens,
            **sampler.sizes._asdict(),
            buckets=buckets,
        )
        shapes.add(tuple(leaf.shape for leaf in jax.tree.leaves(task)))

    def budgets(size, length):
        return len(
            {min(buckets.budget(n), size * length) for n in range(1, size * length + 1)}
        )

    bound = sum(budgets(12, n) * budgets(16, n) for n in buckets.lengths)
    assert len(shapes) <= bound
    assert len({shape[0][2] for shape in shapes}) <= len(buckets.lengths)


def test_way_and_shot_leave_the_shapes_alone():
    sampler = data.EpisodeSampler(letters(), (2, 4), (1, 3), (1, 4))
    tokens = tokenized([12] * 32)
    shapes = {
        tuple(
            leaf.shape
            for leaf in jax.tree.leaves(
                data.collate([e], tokens, **sampler.sizes._asdict(), pack=False)
            )
        )
        for e in data.fixed_list(sampler, 0, 50)
    }
    assert len(shapes) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": ()}, "give rising numbers"),
        ({"lengths": (8, 8)}, "give rising numbers"),
        ({"budget_ratio": 1.0}, "budget_ratio=1.0"),
        ({"budget_multiple": 0}, "budget_multiple=0"),
    ],
)
def test_buckets_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.Buckets(**options)


def test_buckets_end_where_the_model_does():
    assert data.Buckets.up_to(10).lengths == (10,)
    assert data.Buckets.up_to(128).lengths[-2:] == (96, 128)


@hypothesis.given(
    lengths=st.lists(st.integers(1, 40), min_size=12, max_size=12),
    cut=st.integers(0, 4),
)
def test_shares_put_together_are_the_batch(lengths, cut):
    """Even if the texts of one share would fit a smaller shape."""
    tokens = tokenized(lengths)
    episodes = [
        episode(support=(3 * n, 3 * n + 1), query=(3 * n + 2,)) for n in range(4)
    ]
    whole = collate(episodes, tokens)
    shares = [range(cut), range(cut, 4)]
    parts = [collate(episodes, tokens, share=share) for share in shares if share]
    together = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    jax.tree.map(np.testing.assert_array_equal, together, whole)


def test_texts_to_predict_fill_a_batch():
    tokens = data.collate_texts(tokenized([1, 3, 2]), [2, 0], batch_size=4)
    assert tokens.ids.shape == (4, 16)
    assert tokens.ids[:2, :2].tolist() == [[12, 12], [10, PAD]]
    assert tokens.mask.sum(axis=1).tolist() == [2, 1, 0, 0]
    assert tokens.packed.tolist()[:4] == [0, 1, 16, 64]
    with pytest.raises(ValueError, match="3 texts do not fit into a batch of 2"):
        data.collate_texts(tokenized([1, 3, 2]), [0, 1, 2], batch_size=2)


@pytest.mark.parametrize(
    "buckets", [data.Buckets((8, 24), 1.5), data.Buckets((16,), 1.25, 8)]
)
def test_the_number_of_shapes_is_that_of_all_batches_there_can_be(buckets):
    def budgets(num, length):
        whole = num * length
        return {min(buckets.budget(n), whole) for n in range(1, whole + 1)}

    expected = sum(
        len(budgets(6, length)) * len(budgets(9, length)) for length in buckets.lengths
    )
    assert buckets.num_shapes(6, 9) == expected
    assert buckets.num_shapes(6, 9, most_windows=2) > expected
