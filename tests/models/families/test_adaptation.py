"""Packing, loops, rematerialisation and leaves for adaptation, in all encoders."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models, tree
from metaflax.models.families._registry import FAMILIES
from tests import marks
from tests.models.examples import packed
from tests.models.families import networks

SIZES = {"lora_rank": 2, "adapter_size": 3, "context_size": 4, "prefix_size": 2}
ADDED = ["*/lora", "*/adapter", "*/context", "*/prefix"]
# XLM-RoBERTa and CamemBERT are RoBERTas.
NAMES = [name for name in networks.FIRST if name not in ("xlm-roberta", "camembert")]


def grown(name, config):
    params = FAMILIES[name].add_parameters(networks.random_params(config), SIZES)
    rng = np.random.default_rng(1)
    chosen, rest = tree.partition(params, ADDED)
    chosen = jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), chosen
    )
    return tree.merge(chosen, rest)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("layer_loop", "remat"))
def loss_and_gradient(config, params, tokens, **how):
    apply = models.encoder(config, pooling="first", **how).apply
    fn = lambda params: jnp.mean(jnp.sin(apply(params, tokens, None)))  # noqa: E731
    return jax.value_and_grad(fn)(params)


@pytest.mark.parametrize(
    "name", marks.quick(NAMES, ["albert", "deberta-v2", "modernbert"])
)
@pytest.mark.thorough
def test_packing_loops_and_rematerialisation_change_no_gradient(name):
    config = networks.make_config(name, networks.FIRST[name], num_hidden_layers=3)
    params, tokens = grown(name, config), networks.random_tokens(config)
    value, gradient = loss_and_gradient(config, params, tokens)
    again, other = loss_and_gradient(
        config, params, packed(tokens), layer_loop="scan", remat="layers"
    )
    np.testing.assert_allclose(value, again, rtol=1e-4)
    largest = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(gradient))
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-4 * largest)
    jax.tree.map(close, other, gradient)
    for path, leaf in zip(tree.paths(gradient), jax.tree.leaves(gradient), strict=True):
        assert np.any(leaf), path  # All added parameters have an effect.


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_computes_near_float32(name):
    config = networks.make_config(name, networks.FIRST[name])
    params, tokens = networks.random_params(config), networks.random_tokens(config)
    low, high = (
        models.encoder(config, standardize=True, dtype=dtype).apply(
            params, tokens, None
        )
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    assert low.dtype == jnp.float32
    assert 0 < np.max(np.abs(low - high)) < 0.1
