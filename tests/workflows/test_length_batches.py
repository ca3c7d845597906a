"""Tests for batches by length: all texts, few shapes, order of outputs."""

import functools
import itertools
import threading
import time

import jax
import numpy as np
import pytest

from metaflax import data, models, workflows
from metaflax.workflows.inference import _predict
from metaflax.workflows.runs._length_batches import LengthBatches, encoded
from tests.models.examples import random_params
from tests.workflows import worlds

BATCHES = [
    LengthBatches.up_to(longest, num_tokens)
    for longest, num_tokens in itertools.product((1, 8, 48, 512), (64, 2048))
]


def drawn_lengths(seed, longest):
    """Lengths of one of several mixes: even, mostly short, all equal, one outlier."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 400))
    mixes = [
        rng.integers(1, longest + 1, size),
        np.minimum(rng.geometric(0.1, size), longest),
        np.full(size, rng.integers(1, longest + 1)),
        np.where(np.arange(size) == size // 2, longest, 1),
    ]
    return mixes[seed % len(mixes)]


@pytest.mark.parametrize("batches", BATCHES)
def test_every_text_is_in_one_batch_that_holds_it_of_a_known_shape(batches):
    shapes = batches.shapes()
    assert len(shapes) <= 28
    for seed in range(12):
        lengths = drawn_lengths(seed, batches.lengths[-1])
        planned = list(batches.plan(lengths))
        rows = np.concatenate([rows for rows, _ in planned])
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(lengths)))
        for rows, shape in planned:
            assert shape in shapes
            assert shape.holds(lengths[rows])


@pytest.mark.parametrize("low", [8, 12, 100, 300])
def test_batches_of_many_texts_are_mostly_tokens(low):
    """One long text among short ones does not pad their batches."""
    lengths = np.random.default_rng(0).integers(low, 2 * low, 4000).clip(max=512)
    lengths[7] = 512
    planned = list(LengthBatches.up_to(512, 2048).plan(lengths))
    assert lengths.sum() > 0.8 * sum(shape.num_tokens for _, shape in planned)
    attended = sum(s.num_rows * s.length**2 for _, s in planned)
    assert attended < 4 * np.sum(lengths**2) + 64 * 512**2


def test_a_single_short_text_takes_a_small_batch():
    [(_, shape)] = LengthBatches.up_to(512, 2048).plan(np.array([9]))
    assert shape.num_tokens <= 32


def test_texts_beyond_the_longest_batch_are_refused():
    with pytest.raises(ValueError, match="a text of 49 tokens.*48"):
        list(LengthBatches.up_to(48, 64).plan(np.array([3, 49])))


@pytest.fixture(scope="module")
def encoder():
    config = models.BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=48,
    )
    apply = jax.jit(models.encoder(config).apply)
    return functools.partial(apply, random_params(config, seed=0)), apply


def texts_of(lengths, rng):
    flat = rng.integers(5, 50, lengths.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return data.TokenizedTexts(flat, offsets)


def test_any_order_and_mix_of_lengths_gives_the_features_of_each_text_alone(encoder):
    apply, jitted = encoder
    rng, batches = np.random.default_rng(0), LengthBatches.up_to(48, 128)
    texts = texts_of(rng.integers(1, 49, 60), rng)
    whole = data.Buckets((48,))
    alone = [
        apply(data.collate_texts(texts, [row], 1, whole, pack=False))[0]
        for row in range(len(texts))
    ]
    compiled = jitted._cache_size()
    for size in (60, 17, 1):
        rows = rng.permutation(60)[:size]
        seen = np.zeros(60, int)
        for part, features in encoded(apply, texts, rows, batches):
            np.testing.assert_allclose(
                features, np.stack([alone[row] for row in part]), atol=1e-5
            )
            seen[part] += 1
        np.testing.assert_array_equal(seen, np.isin(np.arange(60), rows))
    assert jitted._cache_size() - compiled <= len(batches.shapes())


def test_a_batch_is_dispatched_before_the_one_before_it_is_fetched():
    events = []

    class Output:
        def __init__(self, number):
            self.number = number

        def __array__(self, dtype=None, copy=None):
            events.append(("fetched", self.number))
            return np.zeros((500, 1))

    def apply(tokens):
        number = sum(kind == "dispatched" for kind, _ in events)
        events.append(("dispatched", number))
        return Output(number)

    rng = np.random.default_rng(0)
    texts = texts_of(np.full(40, 16), rng)
    for _ in encoded(apply, texts, np.arange(40), LengthBatches.up_to(16, 128)):
        pass
    last = max(number for _, number in events)
    assert last >= 3
    for number in range(last):
        assert events.index(("dispatched", number + 1)) < events.index(
            ("fetched", number)
        )


@pytest.fixture(scope="module")
def classifier(tiny_bert, tmp_path_factory):
    """A random classifier of two classes."""
    loaded, rng = models.load(tiny_bert), np.random.default_rng(0)
    head = {"kernel": rng.normal(size=(32, 2)), "bias": np.zeros(2)}
    head = {name: leaf.astype(np.float32) for name, leaf in head.items()}
    directory = tmp_path_factory.mktemp("classifier") / "model"
    models.save(
        directory,
        loaded.config,
        loaded.params,
        tokenizer_from=tiny_bert,
        head=head,
        labels=["a", "b"],
        pooling="mean",
    )
    return directory


def probabilities(rows):
    return np.array([list(row["probabilities"].values()) for row in rows])


def test_predictions_are_in_order_and_do_not_depend_on_the_other_texts(classifier):
    rng = np.random.default_rng(0)
    texts = [
        " ".join(rng.choice([*worlds.FILLER, *worlds.TOPICS], n))
        for n in rng.integers(1, 70, 40)  # Some are truncated.
    ]
    one, many = (workflows.Predictor(classifier, size) for size in (1, 8))
    expected = probabilities([one([text])[0] for text in texts])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(texts))
        shuffled = [texts[i] for i in order]
        rows = _predict.predict_all(many, shuffled)
        assert [row["text"] for row in rows] == shuffled
        np.testing.assert_allclose(probabilities(rows), expected[order], atol=1e-5)


def test_the_next_window_is_tokenized_while_this_one_is_computed(classifier):
    predictor = workflows.Predictor(classifier, 8)
    ahead, tokenize = threading.Event(), predictor.tokenize
    threads = []

    def watched(texts):
        threads.append(threading.current_thread())
        if texts == ["second"]:
            ahead.set()
        return tokenize(texts)

    predictor.tokenize = watched
    outputs = predictor.in_windows([["first"], ["second"]])
    [first] = next(outputs)  # The second has not been asked for.
    assert ahead.wait(30)
    assert [row["text"] for rows in ([first], *outputs) for row in rows] == [
        "first",
        "second",
    ]
    assert threading.current_thread() not in threads


def test_a_stalled_stream_gives_what_has_arrived():
    more = threading.Event()

    def stream():
        yield "first"
        more.wait(30)
        yield "second"

    batches = _predict.batches_on_arrival(stream(), 100)
    assert next(batches) == ["first"]
    more.set()
    assert list(batches) == [["second"]]


def test_a_slow_stream_does_not_wait_for_a_whole_batch(monkeypatch):
    monkeypatch.setattr(_predict, "STALL_SECONDS", 10)
    monkeypatch.setattr(_predict, "MAX_WAIT_SECONDS", 0.05)
    done = threading.Event()

    def stream():
        while not done.is_set():
            yield "text"
            time.sleep(0.01)

    batch = next(_predict.batches_on_arrival(stream(), 10_000))
    done.set()
    assert 1 <= len(batch) < 1000


def test_windows_of_many_texts_are_read_from_a_file_at_once():
    batches = list(_predict.batches_on_arrival(iter(range(5000)), 1024))
    assert [n for batch in batches for n in batch] == list(range(5000))
    assert len(batches) <= 20


def test_shapes_are_those_that_the_plan_can_take():
    """Every shape is used for some texts, so that none is compiled in vain."""
    batches = LengthBatches.up_to(128, 2048)
    taken = {
        shape
        for count in (1, 3, 12, 40, 400)
        for length in (*batches.lengths, 5, 20)
        for _, shape in batches.plan(np.full(count, length))
    }
    assert taken == set(batches.shapes())
