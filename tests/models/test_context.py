"""Tests for the context vector."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from tests.models import examples
from tests.models.examples import CONFIG, packed, random_params, random_tokens

PARAMS, KEY = random_params(CONFIG), jax.random.key(1)
hidden_states = jax.jit(functools.partial(examples.hidden_states, CONFIG))


def with_embeddings(params, **changes):
    return {**params, "embeddings": {**params["embeddings"], **changes}}


@pytest.mark.parametrize("pack", [packed, lambda tokens: tokens])
@pytest.mark.parametrize("types", [True, False])
def test_the_context_shifts_the_embeddings_of_all_tokens_alike(pack, types):
    tokens = pack(random_tokens(types=types))
    context = models.with_context(PARAMS, KEY, size=4)["embeddings"]["context"]
    context["vector"] = jnp.array([0.5, -1.0, 2.0, 0.1])
    shift = np.asarray(context["vector"]) @ np.asarray(context["kernel"])
    # Every token has a segment, so that adding to all segments equals the context.
    token_type = PARAMS["embeddings"]["token_type"] + shift[None]
    chex.assert_trees_all_close(
        hidden_states(with_embeddings(PARAMS, context=context), tokens),
        hidden_states(with_embeddings(PARAMS, token_type=token_type), tokens),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_vector_starts_at_zero_and_its_kernel_near_an_isometry():
    context = models.with_context(PARAMS, KEY, size=4000)["embeddings"]["context"]
    chex.assert_trees_all_equal(context["vector"], jnp.zeros(4000))
    product = context["kernel"].T @ context["kernel"]
    np.testing.assert_allclose(product, np.eye(12), atol=0.1)


def test_at_zero_the_vector_has_a_gradient_and_the_kernel_none():
    params = models.with_context(PARAMS, KEY, size=4)
    apply, tokens = models.encoder(CONFIG).apply, random_tokens()

    def total(context):
        embedded = with_embeddings(params, context=context)
        return jnp.sum(jnp.sin(apply(embedded, tokens, None)))

    gradient = jax.jit(jax.grad(total))(params["embeddings"]["context"])
    assert np.all(np.abs(gradient["vector"]) > 1e-4)
    assert not np.any(gradient["kernel"])
