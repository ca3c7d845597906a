"""Tests for beam search against exhaustive search; see also test_generate_parity."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from tests.models.speakers import GPT, random_params, varied_params

V, T, END = 4, 3, 2
MODEL = models.gpt(dataclasses.replace(GPT, vocab_size=V, n_layer=1))
PARAMS = random_params(MODEL, scale=0.5)
IDS = jnp.array([[1, 3], [0, 0], [3, 1]])
PROMPTS = models.Tokens(IDS, None, jnp.ones_like(IDS))


def every_text(end):
    """All texts of T words, without words after the end token."""
    for text in itertools.product(range(V), repeat=T):
        length = text.index(end) + 1 if end in text else T
        if not any(text[length:]):  # Zeros are padding.
            yield text, length


@pytest.mark.parametrize(
    ("penalty", "end"),
    [
        *((1.0, END), (0.0, None), (-1.0, END)),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(2.5, END), (0.0, END), (-1.0, None), (1.0, None), (2.5, None)]
        ),
    ],
)
def test_with_room_for_every_text_the_best_is_found(end, penalty):
    generate = models.beam_search(
        MODEL,
        max_new=T,
        num_beams=V**T,
        end=end,
        length_penalty=penalty,
        early_stopping="never",
    )
    ids, mask, scores = generate(PARAMS, PROMPTS)

    found, lengths = map(jnp.array, zip(*every_text(end), strict=True))
    apply = jax.jit(jax.vmap(lambda text: whole_log_probs(text)))
    real = jnp.arange(T)[None] < lengths[:, None]
    log_probs = jnp.sum(apply(found) * real[:, None], axis=2)  # [texts, B]
    ranked = log_probs / lengths[:, None] ** penalty
    best = jnp.argmax(ranked, axis=0)
    np.testing.assert_array_equal(ids, found[best])
    np.testing.assert_array_equal(mask, real[best])
    np.testing.assert_allclose(scores, jnp.max(ranked, axis=0), rtol=1e-5)


def whole_log_probs(text):
    """The log-probability of each word of a text after each prompt, `[B, T]`."""
    after = jnp.concatenate(
        [PROMPTS.ids, jnp.broadcast_to(text, (len(IDS), T))], axis=1
    )
    logits = MODEL.apply(PARAMS, models.Tokens(after, None, jnp.ones_like(after)), None)
    log_probs = jax.nn.log_softmax(logits[:, IDS.shape[1] - 1 : -1])
    return jnp.take_along_axis(log_probs, after[:, IDS.shape[1] :, None], axis=2)[
        ..., 0
    ]


def test_one_beam_is_greedy_search():
    greedy = models.greedy(MODEL, max_new=T)(PARAMS, PROMPTS)
    beam = models.beam_search(MODEL, max_new=T, num_beams=1)(PARAMS, PROMPTS)
    np.testing.assert_array_equal(beam.ids, greedy.ids)
    np.testing.assert_allclose(T * beam.scores, greedy.scores, rtol=1e-5)


def test_more_beams_find_better_texts_somewhere():
    params = varied_params(models.gpt(GPT), seed=4)
    ids = jax.random.randint(jax.random.key(0), (12, 3), 0, GPT.vocab_size)
    prompts = models.Tokens(ids, None, jnp.ones_like(ids))
    one, many = (
        models.beam_search(models.gpt(GPT), max_new=6, num_beams=n)(params, prompts)
        for n in (1, 6)
    )
    assert np.any(np.asarray(many.scores) > np.asarray(one.scores) + 1e-3)
