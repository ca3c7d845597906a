"""Tests of batches shared by many requests."""

import threading

import numpy as np
import pytest

from metaflax.serving._batcher import EncoderQueue
from metaflax.serving._errors import ApiError
from metaflax.workflows.learning._text_encoder import Encoded


class Lengths:
    """An encoder whose feature is the length of a text, and that waits for a signal."""

    def __init__(self):
        self.batches, self.begun = [], threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def num_tokens(self, texts):
        return np.ones(len(texts), int)

    def num_together(self, lengths):
        return min(4, len(lengths))

    def encode(self, texts, adapted=None):
        self.begun.release()
        assert self.go_on.acquire(timeout=30)
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad text")
        sizes = np.array([[len(text) + (adapted or 0)] for text in texts], np.float32)
        return Encoded(sizes, np.ones((len(texts), 2), int))


@pytest.fixture
def encoder():
    return Lengths()


@pytest.fixture
def queue(encoder):
    """A queue whose encoder is busy with the text `first`."""
    queue = EncoderQueue(encoder, max_waiting=8)
    queue.submit(["first"], seconds=30)
    assert encoder.begun.acquire(timeout=30)
    yield queue
    for _ in range(50):
        encoder.go_on.release()
    queue.close()


def finish(encoder, *futures):
    for _ in range(20):
        encoder.go_on.release()
    return [future.result(30).features.ravel().tolist() for future in futures]


def test_requests_share_batches_and_get_their_own_features(encoder, queue):
    parts = [["a", "bb"], ["ccc"], ["dddd", "eeeee", "ffffff"]]
    futures = [queue.submit(texts, seconds=30) for texts in parts]
    assert finish(encoder, *futures) == [[1, 2], [3], [4, 5, 6]]
    assert encoder.batches == [
        ["first"], ["a", "bb", "ccc", "dddd"], ["eeeee", "ffffff"],
    ]  # fmt: skip


def test_predictions_and_the_background_take_turns(encoder, queue):
    slow = queue.submit(["s"] * 8, seconds=30, background=True)
    fast = queue.submit(["f"] * 8, seconds=30)
    finish(encoder, slow, fast)
    kinds = ["".join(batch) for batch in encoder.batches[1:]]
    assert kinds == ["ssss", "ffff", "ssss", "ffff"]


def test_the_background_is_served_under_constant_predictions(encoder):
    queue = EncoderQueue(encoder, max_waiting=10_000)
    try:
        fast = [queue.submit(["f"] * 4, seconds=30) for _ in range(12)]
        slow = queue.submit(["s"] * 4, seconds=30, background=True)
        finish(encoder, slow, *fast)
        kinds = ["".join(batch) for batch in encoder.batches]
        assert kinds.index("ssss") <= 3
    finally:
        queue.close()


def test_texts_of_another_encoder_are_encoded_apart(encoder, queue):
    plain, own = ["a", "bb"], queue.submit(["a"], seconds=30, key=1, adapted=100)
    futures = [own, queue.submit(plain, seconds=30)]
    assert finish(encoder, *futures) == [[101], [1, 2]]


def test_a_full_queue_refuses_and_takes_again_when_it_is_not(encoder, queue):
    futures = [queue.submit(["a"] * 4, seconds=30) for _ in range(2)]
    with pytest.raises(ApiError, match="waiting") as caught:
        queue.submit(["b"], seconds=30)
    assert caught.value.status == 429
    assert int(caught.value.headers["Retry-After"]) > 0
    finish(encoder, *futures)
    assert queue.waiting == 0
    assert finish(encoder, queue.submit(["ccc"] * 8, seconds=30)) == [[3] * 8]


def test_what_is_late_fails_and_makes_room(encoder, queue):
    late = queue.submit(["a"] * 8, seconds=0)
    encoder.go_on.release()
    with pytest.raises(ApiError, match="took too long"):
        late.result(30)
    assert queue.waiting == 0


def test_only_the_request_with_a_bad_text_fails(encoder, queue):
    good, bad, other = (
        queue.submit([text], seconds=30) for text in ("good", "bad", "other")
    )
    assert finish(encoder, good, other) == [[4], [5]]
    with pytest.raises(ValueError, match="bad text"):
        bad.result(30)


def test_a_bad_text_fails_the_rest_of_its_request(encoder, queue):
    bad = queue.submit(["bad"] + ["a"] * 6, seconds=30)
    good = queue.submit(["good"], seconds=30)
    assert finish(encoder, good) == [[4]]
    with pytest.raises(ValueError, match="bad text"):
        bad.result(30)
    assert queue.waiting == 0


def test_closing_fails_what_waits(encoder, queue):
    waiting = queue.submit(["a"], seconds=30)
    thread = threading.Thread(target=queue.close)
    thread.start()
    while not queue._closed:
        pass
    encoder.go_on.release()
    thread.join()
    with pytest.raises(ApiError, match="ends"):
        waiting.result(30)
    with pytest.raises(ApiError, match="ends"):
        queue.submit(["a"], seconds=30)
