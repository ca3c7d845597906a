"""Tests that choices that share a row score as separate texts do."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import algorithms, base, losses, models, testing
from metaflax.models.generation._choices import Choices
from tests.models.families.decoders import DECODERS
from tests.models.speakers import random_params

PROMPTS = ([4, 5, 6], [7, 8])
ANSWERS = (([9, 2], [10, 11, 2]), ([12, 2], [13, 14, 2], [3, 2]))
DEMOS = ([5, 6, 9, 2], [7, 15, 2])
L, N = 12, 3


@functools.cache  # So that a network is compiled once.
def decoder(name, **kwargs):
    make: Any
    make, config = DECODERS[name]
    model = make(config, **kwargs)
    return model, random_params(model)


def rows(prompts, answers, *, order=None, free=None):
    """Texts with choices, all of whose tokens have equal weight."""
    shape = len(prompts), L
    ids, branches = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    weights, present = np.zeros(shape, np.float32), np.zeros((len(prompts), N), bool)
    lengths = []
    for row, (prompt, choices) in enumerate(zip(prompts, answers, strict=True)):
        choices = [choices[n] for n in order or range(len(choices)) if n < len(choices)]
        tokens, numbers, counts = list(prompt), [0] * len(prompt), [0.0] * len(prompt)
        for number, choice in enumerate(choices, 1):
            tokens += choice
            numbers += [number] * len(choice)
            counts += [1 / len(choice)] * len(choice)
        n = len(tokens)
        ids[row, :n], branches[row, :n], weights[row, :n] = tokens, numbers, counts
        present[row, : len(choices)] = True
        lengths.append(n)
    mask = (np.arange(L) < np.array(lengths)[:, None]).astype(np.int32)
    return Choices(models.Tokens(ids, None, mask), branches, weights, present, free)


def by_hand(model, params, before, prompts, answers):
    """The mean log-probability of each answer, in one text with its context."""
    texts = [
        (before + prompt, answer)
        for prompt, choices in zip(prompts, answers, strict=True)
        for answer in choices
    ]
    ids = np.zeros((len(texts), 20), np.int32)
    for row, (start, answer) in zip(ids, texts, strict=True):
        row[: len(start) + len(answer)] = start + answer
    tokens = models.Tokens(ids, None, np.ones_like(ids))
    logs = jax.nn.log_softmax(jax.jit(model.apply)(params, tokens, None))
    scores = iter(
        np.mean([logs[n, len(start) + i - 1, t] for i, t in enumerate(answer)])
        for n, (start, answer) in enumerate(texts)
    )
    return [[float(next(scores)) for _ in choices] for choices in answers]


def support():
    """Demonstrations, each with its gold choice."""
    made = rows([demo[:-2] for demo in DEMOS], [[demo[-2:]] for demo in DEMOS])
    return base.Batch(made, jnp.zeros(2, jnp.int32), jnp.ones(2))


def algorithm_of(model, params, make=algorithms.metaicl):
    apply = model.in_context(8)
    return make(apply, losses.softmax_cross_entropy, lambda key: params)


@pytest.mark.parametrize("name", ["gpt2", "mistral"])
def test_choices_in_one_row_score_as_whole_texts_do(name):
    model, params = decoder(name)
    algorithm = algorithm_of(model, params)
    start = algorithm.init(jax.random.key(0))

    @jax.jit
    def outputs(support, inputs):
        adapted, _ = algorithm.adapt(start, support)
        return algorithm.predict(start, adapted, inputs)

    before = [token for demo in DEMOS for token in demo]
    expected = by_hand(model, params, before, PROMPTS, ANSWERS)
    found = np.asarray(outputs(support(), rows(PROMPTS, ANSWERS)).logits)
    for row, scores in zip(found, expected, strict=True):
        np.testing.assert_allclose(row[: len(scores)], scores, atol=1e-5)
    assert found[0, 2] < -1e9  # There is no third choice.
    swapped = outputs(support(), rows(PROMPTS, ANSWERS, order=[1, 0, 2])).logits
    np.testing.assert_allclose(swapped, found[:, [1, 0, 2]], rtol=1e-5)
    alone = jax.jit(model.apply)(params, rows(PROMPTS, ANSWERS), None).logits
    of_prompt = by_hand(model, params, [], PROMPTS, ANSWERS)
    for row, scores in zip(np.asarray(alone), of_prompt, strict=True):
        np.testing.assert_allclose(row[: len(scores)], scores, atol=1e-5)


def test_choices_of_two_lengths_put_together_keep_their_scores():
    model, params = decoder("gpt2")
    whole = rows(PROMPTS, ANSWERS)
    longest = 9  # Of L places.
    tokens = models.Tokens(
        whole.tokens.ids[:, :longest], None, whole.tokens.mask[:, :longest]
    )
    short = whole._replace(
        tokens=tokens,
        branches=whole.branches[:, :longest],
        weights=whole.weights[:, :longest],
    )
    apply = jax.jit(model.apply)
    expected = apply(params, whole, None).logits
    for both in (short.concatenate(whole), whole.concatenate(short)):
        found = apply(params, both, None).logits
        np.testing.assert_allclose(found, np.tile(expected, (2, 1)), rtol=1e-5)


def test_calibration_divides_by_the_mean_probabilities_without_content():
    model, params = decoder("gpt2")
    blanks = ([3], [17, 3])
    free = [rows([blank] * 2, ANSWERS) for blank in blanks]
    free = jax.tree.map(lambda *x: np.stack(x, axis=1), *free)
    found = jax.jit(model.apply)(params, rows(PROMPTS, ANSWERS, free=free), None)
    plain = by_hand(model, params, [], PROMPTS, ANSWERS)
    of_blanks = [by_hand(model, params, [], [b] * 2, ANSWERS) for b in blanks]
    for row, scores, *others in zip(found.logits, plain, *of_blanks, strict=True):
        priors = np.mean([jax.nn.softmax(np.array(x)) for x in others], axis=0)
        expected = np.exp(scores) / priors
        shares = np.asarray(jax.nn.softmax(row))[: len(scores)]
        np.testing.assert_allclose(shares, expected / expected.sum(), rtol=1e-4)


def test_the_meta_gradient_of_choices_equals_float64_differences():
    model, params = decoder("qwen3", dtype=jnp.float64)
    query = base.Batch(rows(PROMPTS, ANSWERS), jnp.array([1, 2]), jnp.ones(2))
    testing.check_meta_gradient(
        algorithm_of(model, params), base.Task(support(), query), num_directions=1
    )
