"""Tests of algorithms on language models, for all adapted parts and estimators."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import algorithms, base, estimators, heads, losses, models
from metaflax.tree._paths import is_empty
from tests.models import speakers


def of_gpt():
    model = models.gpt(speakers.GPT)
    params = models.with_prefix(speakers.random_params(model), jax.random.key(0))
    inputs = [speakers.texts(model.vocab_size, seed=seed) for seed in (0, 1)]
    return model, params, inputs, [tokens.ids for tokens in inputs]


def of_seq2seq():
    model = models.seq2seq(speakers.SEQ2SEQ)
    params = speakers.random_params(model)
    said = models.with_lora(params["decoder"], jax.random.key(0), rank=2)
    pairs = [speakers.pairs(seed=seed) for seed in (0, 2)]
    inputs = [pair._replace(source=pair.source._replace(packed=None)) for pair in pairs]
    return model, {**params, "decoder": said}, inputs, [p.target.ids for p in inputs]


def problem(make):
    """A model, its parameters and a task; half of the words are targets."""
    model, params, inputs, ids = make()
    sides = []
    for own, words in zip(inputs, ids, strict=True):
        asked = np.arange(words.shape[1])[None] % 2 == 0
        targets = jnp.where(jnp.asarray(asked), words, -1)
        sides.append(base.Batch(own, targets, jnp.ones(len(words))))
    return model, params, base.Task(*sides)


def gradient(make, estimator, adapts):
    model, params, task = problem(make)
    algorithm = algorithms.maml(
        model.apply,
        functools.partial(losses.language_cross_entropy, label_smoothing=0.1),
        lambda key: params,
        optax.sgd(0.1),
        head=heads.identity(),
        adapts=adapts,
        num_steps=2,
        estimator=estimator,
    )
    start = algorithm.init(jax.random.key(0))
    return jax.jit(jax.grad(lambda p: algorithm.loss(p, task)[0]))(start)


@pytest.mark.parametrize(
    ("make", "adapts"),
    [
        pytest.param(of_gpt, "encoder", marks=pytest.mark.slow),
        pytest.param(of_gpt, "*/prefix", marks=pytest.mark.slow),
        pytest.param(
            of_seq2seq,
            ("encoder/decoder/head", "*/decoder/layer_1/*/lora"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_forward_over_reverse_is_reverse_over_reverse(make, adapts):
    one = gradient(make, estimators.reverse, adapts)
    other = gradient(make, estimators.mixed_mode, adapts)
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_what_is_read_runs_once_where_only_what_says_adapts():
    model, params, task = problem(of_seq2seq)
    loss = losses.language_cross_entropy
    algorithm = algorithms.fomaml(
        model.apply,
        loss,
        lambda key: params,
        optax.sgd(0.1),
        head=heads.identity(),
        adapts="encoder/decoder",
        num_steps=2,
    )
    start = algorithm.init(jax.random.key(0))
    adapted, info = jax.jit(algorithm.adapt)(start, task.support)
    assert is_empty(adapted["encoder"]["encoder"])
    # The same by hand.
    own, losses_by_hand = params, []
    for _ in range(2):
        value, grads = jax.value_and_grad(
            lambda decoder: loss(
                model.apply({**params, "decoder": decoder}, task.support.inputs),
                task.support.targets,
                task.support.weights,
            )
        )(own["decoder"])
        losses_by_hand.append(value)
        stepped = jax.tree.map(lambda p, g: p - 0.1 * g, own["decoder"], grads)
        own = {**own, "decoder": stepped}
    np.testing.assert_allclose(info.losses, losses_by_hand, rtol=1e-4)
