"""Tests for generation token by token: greedy search and sampling.

Both are compared with torch in `test_generate_parity.py`.
"""

import dataclasses
import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.families.t5._network import t5
from metaflax.models.generation import _sampling
from tests import marks
from tests.models.examples import random_tokens
from tests.models.speakers import (
    GPT,
    SEQ2SEQ,
    T5,
    padded_left,
    texts,
    varied_params,
)

T, END = 8, 2
IN_BEAMS = functools.partial(models.beam_search, num_beams=3)
GPT_MODEL, SEQ2SEQ_MODEL = models.gpt(GPT), models.seq2seq(SEQ2SEQ)
T5_MODEL = t5(T5)
CASES = {
    "gpt": (GPT_MODEL, varied_params(GPT_MODEL), texts(GPT.vocab_size)),
    "seq2seq": (
        SEQ2SEQ_MODEL,
        varied_params(SEQ2SEQ_MODEL),
        random_tokens(SEQ2SEQ.encoder),
    ),
    "t5": (T5_MODEL, varied_params(T5_MODEL), texts(T5.vocab_size)),
}


def whole(case, ids, mask):
    """Inputs of `apply` for prompts with continuations, and the start of these."""
    model, _, prompts = CASES[case]
    if case == "gpt":
        ids = jnp.concatenate([prompts.ids, ids], axis=1)
        mask = jnp.concatenate([prompts.mask, mask], axis=1)
        return models.Tokens(ids, None, mask), prompts.ids.shape[1]
    first, _ = model.prompt_tokens(prompts)
    ids = jnp.concatenate([first, ids], axis=1)
    mask = jnp.concatenate([jnp.ones_like(first), mask], axis=1)
    return models.Pair(prompts, models.Tokens(ids, None, mask)), 1


def logits_at_once(case, ids):
    """The logits `[B, T, V]` that each of `ids` is chosen from."""
    model, params, prompts = CASES[case]
    inputs, begin = whole(case, ids, jnp.ones_like(ids))
    logits = model.apply(params, inputs, None)
    first = begin - 1
    if case == "gpt":  # A right-padded prompt ends at its last real token.
        last = jnp.sum(prompts.mask, axis=1) - 1
        start = jnp.take_along_axis(logits, last[:, None, None], axis=1)
    else:
        start = logits[:, first : first + 1]
    return jnp.concatenate([start, logits[:, begin:-1]], axis=1)


@functools.cache
def compiled_at_once(case):
    return jax.jit(functools.partial(logits_at_once, case))


@functools.cache
def greedy_texts(case, **ends):
    model, params, prompts = CASES[case]
    return models.greedy(model, max_new=T, **ends)(params, prompts)


@pytest.mark.parametrize("case", CASES)
def test_greedy_search_with_a_cache_is_that_without(case):
    generated, at_once = greedy_texts(case), compiled_at_once(case)
    ids = np.zeros_like(generated.ids)
    for step in range(T):
        ids[:, step] = np.argmax(np.asarray(at_once(ids))[:, step], axis=-1)
    np.testing.assert_array_equal(generated.ids, ids)
    assert len(np.unique(ids)) > 4
    log_probs = jax.nn.log_softmax(at_once(ids))
    each = np.take_along_axis(np.asarray(log_probs), ids[:, :, None], axis=2)
    np.testing.assert_allclose(
        generated.scores, np.sum(each, axis=(1, 2)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("case", CASES)
def test_logits_with_a_cache_are_those_without(case):
    model, params, prompts = CASES[case]
    ids = texts(GPT.vocab_size, (T,) * 4, length=T, seed=3).ids

    def with_cache(ids):
        logits, cache = model.begin(params, prompts, T)

        def extend(cache, step):
            visible = jnp.broadcast_to(jnp.arange(T) <= step, (4, 1, T))
            now = jax.lax.dynamic_slice_in_dim(ids, step, 1, axis=1)
            logits, cache = model.extend(params, cache, now, visible, step)
            return cache, logits[:, 0]

        _, later = jax.lax.scan(extend, cache, jnp.arange(T - 1))
        return jnp.concatenate([logits[None], later]).swapaxes(0, 1)

    np.testing.assert_allclose(
        jax.jit(with_cache)(ids), compiled_at_once(case)(ids), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("case", "make"),
    [
        ("gpt", models.greedy),
        ("seq2seq", IN_BEAMS),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                *(("gpt", IN_BEAMS), ("seq2seq", models.greedy)),
                *(("t5", models.greedy), ("t5", IN_BEAMS)),
            ]
        ),
    ],
)
def test_padding_and_order_of_prompts_change_nothing(case, make):
    model, params, prompts = CASES[case]
    generate = make(model, max_new=T, end=END)
    expected = generate(params, prompts)
    order = jnp.array([2, 0, 3, 1])
    others = [jax.tree.map(lambda x: x[order], prompts)]
    others.append(jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (0, 2))), prompts))
    if case == "gpt":
        others.append(padded_left(prompts))
    for other, places in zip(others, (order, slice(None), slice(None)), strict=False):
        found = generate(params, other)
        np.testing.assert_array_equal(found.ids, expected.ids[places])
        np.testing.assert_array_equal(found.mask, expected.mask[places])
        np.testing.assert_allclose(found.scores, expected.scores[places], atol=1e-5)


@pytest.mark.parametrize("case", marks.quick(CASES, ["gpt", "t5"]))
def test_texts_stop_at_their_end(case):
    model, params, prompts = CASES[case]
    endless = np.asarray(greedy_texts(case).ids)
    end = endless[0, 3]
    pad = (end + 1) % model.vocab_size
    generate = models.greedy(model, max_new=T, end=int(end), pad=int(pad))
    ids, mask, _ = generate(params, prompts)
    for before, after, real in zip(endless, ids, mask, strict=True):
        length = (*np.flatnonzero(before == end), T - 1)[0] + 1
        np.testing.assert_array_equal(after[:length], before[:length])
        assert np.all(np.asarray(after)[length:] == pad)
        np.testing.assert_array_equal(real, np.arange(T) < length)


MAKERS = {
    "greedy": models.greedy,
    "sampling": functools.partial(models.sampling, top_k=5),
    "beam search": functools.partial(models.beam_search, num_beams=3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_any_of_several_ends_stops_a_text(name):
    model, params, prompts = CASES["gpt"]
    key = jax.random.key(0)
    endless = np.asarray(MAKERS[name](model, max_new=T)(params, prompts, key).ids)

    def first_of(ends):
        return [next((w for w in text if w in ends), None) for text in endless.tolist()]

    pairs = itertools.combinations(np.unique(endless).tolist(), 2)
    ends = next(pair for pair in pairs if {*first_of(pair)} >= {*pair})
    ids, mask, _ = MAKERS[name](model, max_new=T, end=ends)(params, prompts, key)
    lengths = np.asarray(mask).sum(axis=1)
    last = np.take_along_axis(np.asarray(ids), lengths[:, None] - 1, axis=1)[:, 0]
    for text, length in zip(np.asarray(ids), lengths, strict=True):
        assert not np.isin(text[: length - 1], ends).any()
        assert length == T or text[length - 1] in ends
    if name != "beam search":  # Others choose the same words up to an end.
        expected = first_of(ends)
        assert [w if w in ends else None for w in last.tolist()] == expected


@pytest.mark.parametrize("name", MAKERS)
def test_generation_of_many_tasks_equals_a_loop(name):
    model, _, prompts = CASES["gpt"]
    generate = MAKERS[name](model, max_new=5, end=END)
    several = [varied_params(model, seed=seed) for seed in (1, 2)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *several)
    key = jax.random.key(0)
    batched = jax.vmap(lambda params: generate(params, prompts, key))(stacked)
    looped = [generate(params, prompts, key) for params in several]
    looped = jax.tree.map(lambda *x: jnp.stack(x), *looped)
    chex.assert_trees_all_equal(batched[:2], looped[:2])
    np.testing.assert_allclose(batched.scores, looped.scores, atol=1e-4)


@pytest.mark.parametrize("name", MAKERS)
def test_prompts_of_one_shape_are_compiled_once(name):
    model, params, prompts = CASES["gpt"]
    calls = []

    def begin(*arguments):
        calls.append(arguments)
        return model.begin(*arguments)

    generate = MAKERS[name](model._replace(begin=begin), max_new=3)
    for seed in (0, 1):
        ids = texts(GPT.vocab_size, seed=seed).ids
        generate(params, prompts._replace(ids=ids), jax.random.key(seed))
    assert len(calls) == 1


@pytest.mark.parametrize("size", [1, 2, 23])
def test_the_most_likely_word_is_the_first_of_the_largest(size):
    rng = np.random.default_rng(size)
    # Few values, so that many are equal, and of both signs of zero and infinity.
    values = np.array([-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf], np.float32)
    logits = rng.choice(values, (200, size))
    found = jax.jit(_sampling.most_likely)(logits)
    np.testing.assert_array_equal(found, np.argmax(logits, axis=1))
    assert _sampling.most_likely(jnp.full((1, size), jnp.nan))[0] < size


def test_sampling_is_a_function_of_its_key_and_of_each_text_alone():
    model, params, prompts = CASES["gpt"]
    generate = models.sampling(model, max_new=T)
    first, again, other = (
        generate(params, prompts, jax.random.key(seed)).ids for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    fewer = jax.tree.map(lambda x: x[:2], prompts)
    np.testing.assert_array_equal(
        generate(params, fewer, jax.random.key(0)).ids, first[:2]
    )


@pytest.mark.parametrize("case", marks.quick(CASES, ["gpt"]))
def test_sampling_with_a_cache_is_that_without(case):
    model, params, prompts = CASES[case]
    key, setting = jax.random.key(4), {"temperature": 0.8, "top_k": 9, "top_p": 0.9}
    generated = models.sampling(model, max_new=T, **setting)(params, prompts, key)

    @jax.jit
    def draw(ids, step):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            jax.random.fold_in(key, step), jnp.arange(len(ids))
        )
        logits = logits_at_once(case, ids)[:, step]
        return _sampling.draw(logits, keys, **setting)

    ids = np.zeros_like(generated.ids)
    for step in range(T):
        ids[:, step] = draw(ids, step)
    np.testing.assert_array_equal(generated.ids, ids)


@pytest.mark.parametrize(
    "likely", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-4}]
)
def test_sampling_only_the_likeliest_word_is_greedy_search(likely):
    model, params, prompts = CASES["gpt"]
    ids, mask, scores = greedy_texts("gpt", end=END)
    drawn = models.sampling(model, max_new=T, end=END, **likely)(
        params, prompts, jax.random.key(0)
    )
    np.testing.assert_array_equal(drawn.ids, ids)
    np.testing.assert_array_equal(drawn.mask, mask)
    np.testing.assert_allclose(drawn.scores, scores, atol=1e-5)


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 3},
        {"top_p": 0.6},
        {"temperature": 2.0, "top_k": 5, "top_p": 0.7},
        {"top_k": 99},
    ],
)
def test_words_are_drawn_as_often_as_hugging_faces_distribution_says(setting):
    torch = pytest.importorskip("torch")
    process = pytest.importorskip("transformers.generation.logits_process")
    logits = 2 * np.random.default_rng(0).normal(size=8).astype(np.float32)
    setting = {"temperature": 1.0, "top_k": None, "top_p": 1.0, **setting}
    scores = torch.tensor(logits[None]) / setting["temperature"]
    if setting["top_k"] is not None:
        scores = process.TopKLogitsWarper(setting["top_k"])(None, scores)
    scores = process.TopPLogitsWarper(setting["top_p"])(None, scores)
    expected = torch.softmax(scores, dim=-1)[0].numpy()

    num = 20_000
    keys = jax.random.split(jax.random.key(0), num)
    draw = functools.partial(_sampling.draw, **setting)
    drawn = jax.jit(draw)(jnp.broadcast_to(jnp.asarray(logits), (num, 8)), keys)
    found = np.bincount(drawn, minlength=8) / num
    np.testing.assert_array_equal(found == 0, expected < 1e-9)
    np.testing.assert_allclose(found, expected, atol=5 * 0.5 / np.sqrt(num))


def test_words_that_have_occurred_are_penalized():
    logits = jnp.array([[2.0, -2.0, 3.0, -1.0]])
    seen = jnp.array([[True, True, False, False]])
    np.testing.assert_array_equal(
        _sampling.penalized(logits, seen, 2.0), [[1.0, -4.0, 3.0, -1.0]]
    )


@pytest.mark.parametrize("name", ["greedy", "beam search"])
@pytest.mark.parametrize("case", marks.quick(CASES, ["gpt"]))
def test_a_large_repetition_penalty_forbids_repetition(name, case):
    model, params, prompts = CASES[case]
    generate = MAKERS[name](model, max_new=T, repetition_penalty=1e6)
    ids, *_ = generate(params, prompts, jax.random.key(0))
    said, mask = model.prompt_tokens(prompts)
    for row, before, real in zip(ids, said, mask, strict=True):
        words = [*np.asarray(before)[np.asarray(real) > 0], *np.asarray(row)]
        new = words[-T:]
        assert len(set(new)) == T
        assert not set(new) & set(words[:-T])


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (models.greedy, {"max_new": 0}, "max_new must be a positive integer, got 0"),
        (models.greedy, {"end": 23}, "end must be an id below .*=23, got 23"),
        (models.greedy, {"pad": -1}, "pad must be an id below"),
        (models.greedy, {"repetition_penalty": 0.0}, "repetition_penalty must be posi"),
        (models.sampling, {"temperature": 0.0}, "temperature must be positive, got 0"),
        (models.sampling, {"temperature": float("nan")}, "temperature must be positi"),
        (models.sampling, {"top_k": 0}, "top_k must be a positive integer or None"),
        (models.sampling, {"top_p": 0.0}, r"top_p must lie in \(0, 1\], got 0.0"),
        (models.sampling, {"top_p": 1.5}, r"top_p must lie in \(0, 1\], got 1.5"),
        (models.beam_search, {"num_beams": 0}, "num_beams must be a positive integer"),
        (models.beam_search, {"early_stopping": "now"}, "early_stopping must be True"),
    ],
)
def test_settings_without_sense_are_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(GPT_MODEL, **{"max_new": T, **arguments})


def test_sampling_without_a_key_is_refused():
    model, params, prompts = CASES["gpt"]
    with pytest.raises(ValueError, match=r"draws from a key; call generate\(params"):
        models.sampling(model, max_new=T)(params, prompts)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("case", "max_new", "message"),
    [
        ("gpt", 14, "prompts of 7 tokens and 14 new ones are longer than .*=20"),
        ("seq2seq", 16, "decoder's max_position_embeddings=16; shorten"),
    ],
)
def test_texts_longer_than_the_model_are_refused(name, case, max_new, message):
    model, params, prompts = CASES[case]
    with pytest.raises(ValueError, match=message):
        MAKERS[name](model, max_new=max_new)(params, prompts, jax.random.key(0))


def test_sources_longer_than_the_encoder_are_refused():
    model, params, _ = CASES["seq2seq"]
    prompts = texts(SEQ2SEQ.encoder.vocab_size, (10,), length=10)
    with pytest.raises(ValueError, match="10 tokens .* max_position_embeddings=9"):
        models.greedy(model, max_new=T)(params, prompts)


def test_memory_grows_by_the_cache_alone():
    """A copy of all keys at every token would double it, and the time of long texts."""
    config = dataclasses.replace(GPT, n_positions=512, n_embd=48, n_layer=1)
    model = models.gpt(config)
    params = jax.eval_shape(model.init, jax.random.key(0))
    prompts = texts(config.vocab_size)

    def temporary_bytes(max_new):
        generate = models.greedy(model, max_new=max_new, pad=0)
        compiled = jax.jit(generate).lower(params, prompts).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    grown = temporary_bytes(384) - temporary_bytes(128)
    cache = 2 * 256 * 4 * 48 * 4  # Keys and values of 256 slots of 4 texts.
    assert 0.95 < grown / cache < 1.1
