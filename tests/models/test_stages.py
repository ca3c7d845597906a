"""Tests for running the lower stages of an encoder once per task."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import base, estimators, losses, models, tree
from metaflax.tree._paths import is_empty
from tests.models.episodes import (
    WAY,
    algorithm,
    meta_params,
    task,
    two_tasks,
    value_and_grad,
)
from tests.models.examples import CONFIG, packed, random_params, random_tokens

pytestmark = pytest.mark.thorough

PARAMS = random_params(CONFIG)
NUM_STAGES = CONFIG.num_hidden_layers + 2  # The embeddings and the pooling.
ESTIMATORS = {
    "reverse": estimators.reverse,
    "mixed_mode": estimators.mixed_mode,
    "first_order": estimators.first_order,
    "reptile": estimators.displacement,
}


def as_they_are(tokens):
    return tokens


@pytest.mark.parametrize(
    ("pooling", "pack"),
    [
        ("mean", packed),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                *(("first", packed), ("pooler", packed)),
                *(("mean", as_they_are), ("first", as_they_are)),
                ("pooler", as_they_are),
            ]
        ),
    ],
)
def test_stages_one_after_the_other_give_what_all_do_with_the_same_dropout(
    pooling, pack
):
    model = models.encoder(CONFIG, pooling=pooling, standardize=True).apply
    assert isinstance(model, base.StagedApply)
    assert len(model.reads) == NUM_STAGES
    tokens, key = pack(random_tokens()), jax.random.key(1)

    @functools.partial(jax.jit, static_argnums=0)
    def at_once_and_in_parts(cut, params):
        below = model.run(params, tokens, None, key, 0, cut)
        parts = model.run(params, tokens, below, key, cut, NUM_STAGES)
        return model(params, tokens, key), parts

    for cut in range(1, NUM_STAGES):
        at_once, in_parts = at_once_and_in_parts(cut, PARAMS)
        np.testing.assert_allclose(in_parts, at_once, rtol=0, atol=1e-6)


def test_a_stage_needs_no_parameter_but_those_it_reads():
    params = models.with_lora(PARAMS, jax.random.key(0), rank=2)
    params = models.with_adapters(params, jax.random.key(1), size=3)
    params = models.with_context(params, jax.random.key(2), size=2)
    model = models.encoder(CONFIG, pooling="pooler").apply
    assert isinstance(model, base.StagedApply)
    states = None
    for i, reads in enumerate(model.reads):
        own = tree.select(params, reads)
        assert not is_empty(own)
        states = jax.eval_shape(
            lambda own, states, i=i: model.run(
                own, random_tokens(), states, None, i, i + 1
            ),
            own,
            states,
        )
    read = [p for p in tree.paths(params) if any(tree.where(r)(p) for r in model.reads)]
    assert read == tree.paths(params)


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param("reverse", marks=pytest.mark.slow),
        pytest.param("reptile", marks=pytest.mark.slow),
        pytest.param("mixed_mode", marks=pytest.mark.slow),
        pytest.param("first_order", marks=pytest.mark.slow),
    ],
)
def test_running_lower_layers_ahead_changes_no_meta_gradient(estimator):
    with jax.enable_x64(True):
        params, tasks = meta_params(dtype=jnp.float64), two_tasks(dtype=jnp.float64)
        ahead, within = (
            value_and_grad(
                algorithm(ESTIMATORS[estimator], staged=staged, dtype=jnp.float64)
            )(params, tasks)
            for staged in (True, False)
        )
        chex.assert_trees_all_close(ahead, within, rtol=1e-9, atol=1e-12)
        lower = optax.tree.norm(ahead[1]["encoder"]["layer_0"])
        assert (lower > 0) == (estimator != "reptile")


@pytest.mark.parametrize(
    ("adapts", "pooling"),
    [
        pytest.param("encoder/layer_1", "first", marks=pytest.mark.slow),
        pytest.param("encoder/layer_1", "pooler", marks=pytest.mark.slow),
        pytest.param("encoder/pooler", "pooler", marks=pytest.mark.slow),
        ("head", "first"),
    ],
)
def test_a_cut_at_any_height_changes_no_meta_gradient(pooling, adapts):
    params = meta_params() | {"encoder": PARAMS}
    ahead, within = (
        value_and_grad(
            algorithm(estimators.reverse, adapts, staged=staged, pooling=pooling),
            task_loop="vmap",
        )(params, two_tasks(pack=lambda tokens: tokens))
        for staged in (True, False)
    )
    chex.assert_trees_all_close(ahead, within, rtol=1e-4, atol=1e-5)


def test_what_is_adapted_ahead_predicts_as_what_is_adapted_within():
    params, (support, query) = meta_params(), task()

    def answers(learner):
        adapted, info = learner.adapt(params, support)
        logits = learner.predict(params, adapted, query.inputs).logits
        value, _ = learner.loss(params, base.Task(support, query))
        return adapted, info, logits, value

    ahead, within = (
        jax.jit(
            lambda staged=staged: answers(algorithm(estimators.reverse, staged=staged))
        )()
        for staged in (True, False)
    )
    chex.assert_trees_all_close(ahead, within, rtol=1e-4, atol=1e-5)
    *_, logits, value = ahead
    outputs = base.ClassOutputs(logits, jnp.ones(WAY, bool))
    judged = losses.softmax_cross_entropy(outputs, query.targets, query.weights)
    np.testing.assert_allclose(value, judged, rtol=1e-5)


def flops(algorithm, config, **kwargs):
    params = jax.eval_shape(lambda: meta_params(config))
    fn = jax.jit(metaflax.value_and_grad(algorithm, **kwargs))
    tasks = jax.tree.map(lambda x: x[None], task(pack=lambda tokens: tokens))
    return fn.lower(params, tasks, None).compile().cost_analysis()["flops"]


@pytest.mark.slow
def test_lower_layers_cost_the_same_whatever_the_number_of_inner_steps():
    wide = dataclasses.replace(CONFIG, hidden_size=48, intermediate_size=192)

    def of_a_step(num_layers):
        """Cost of an additional inner step, if the last layer and the head adapt."""
        config = dataclasses.replace(wide, num_hidden_layers=num_layers)
        adapts = (f"encoder/layer_{num_layers - 1}", "head")
        one, two = (
            flops(
                algorithm(estimators.reverse, adapts, config=config, num_steps=steps),
                config,
            )
            for steps in (1, 2)
        )
        return two - one

    assert of_a_step(4) == pytest.approx(of_a_step(1), rel=0.01)


@pytest.mark.slow
def test_lower_layers_that_nothing_trains_have_no_backward_pass():
    wide = dataclasses.replace(CONFIG, hidden_size=48, intermediate_size=192)

    def count(num_layers, trains):
        config = dataclasses.replace(wide, num_hidden_layers=num_layers)
        top = f"encoder/layer_{num_layers - 1}"
        learner = algorithm(estimators.reverse, (top, "head"), config=config)
        trains = "*" if trains == "all" else (top, "head")
        return flops(learner, config, trains=trains)

    both, forward = (count(4, trains) - count(1, trains) for trains in ("all", "upper"))
    # A backward pass is two products for each one of the forward pass.
    assert forward < 0.4 * both
