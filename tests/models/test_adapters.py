"""Tests for adapters: positions and outputs."""

import dataclasses
import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models, tree
from metaflax.models.layers import _modules
from tests.models.examples import CONFIG, hidden_states, random_params, random_tokens

PARAMS, KEY = random_params(CONFIG), jax.random.key(1)


def parts_with_adapters(params):
    paths = tree.paths(tree.select(params, "*/adapter"))
    return sorted({path.rpartition("/adapter/")[0] for path in paths})


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("*", [f"layer_{i}/{part}" for i in (0, 1) for part in ("attention", "mlp")]),
        ("*/mlp", ["layer_0/mlp", "layer_1/mlp"]),
        ("layer_1", ["layer_1/attention", "layer_1/mlp"]),
    ],
)
def test_where_chooses_parts_of_layers(where, expected):
    params = models.with_adapters(PARAMS, KEY, size=4, where=where)
    assert parts_with_adapters(params) == expected
    adapter = params["layer_1"]["mlp"]["adapter"]
    assert jax.tree.map(jnp.shape, adapter) == {
        "down": {"kernel": (12, 4), "bias": (4,)},
        "up": {"kernel": (4, 12), "bias": (12,)},
    }


def test_only_the_first_kernel_starts_away_from_zero():
    params = models.with_adapters(PARAMS, KEY, size=400)
    adapter = params["layer_0"]["mlp"]["adapter"]
    kernel = adapter["down"].pop("kernel")
    assert np.std(kernel) == pytest.approx(12**-0.5, rel=0.05)
    assert not any(map(np.any, jax.tree.leaves(adapter)))
    other = params["layer_0"]["attention"]["adapter"]["down"]["kernel"]
    assert not np.allclose(kernel, other)  # Each draws its own.


def norm_in_numpy(x, part, eps):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    return x * part["norm"]["scale"] + part["norm"]["bias"]


def layer_in_numpy(params, x, eps):
    """A layer on texts of one token, where attention returns the value of the token."""

    def dense(name, x, part):
        return x @ part[name]["kernel"] + part[name]["bias"]

    def gelu(x):
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))

    def adapter(x, part):
        return x + dense("up", gelu(dense("down", x, part)), part)

    attention, mlp = params["attention"], params["mlp"]
    mixed = dense("output", dense("value", x, attention), attention)
    x = norm_in_numpy(x + adapter(mixed, attention["adapter"]), attention, eps)
    down = dense("down", gelu(dense("up", x, mlp)), mlp)
    return norm_in_numpy(x + adapter(down, mlp["adapter"]), mlp, eps)


def test_adapters_sit_before_both_residuals_and_follow_their_formula():
    one = dataclasses.replace(CONFIG, num_hidden_layers=1)
    rng = np.random.default_rng(0)
    params = models.with_adapters(random_params(one, pooler=False), KEY, size=3)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype), params
    )
    tokens = random_tokens(one, (1, 1, 1), length=1)
    states = jax.jit(functools.partial(hidden_states, one))(params, tokens)

    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    table, ids, types = wide["embeddings"], tokens.ids[:, 0], tokens.types[:, 0]
    x = table["word"][ids] + table["position"][:1] + table["token_type"][types]
    x = norm_in_numpy(x, table, one.layer_norm_eps)
    expected = layer_in_numpy(wide["layer_0"], x, one.layer_norm_eps)
    np.testing.assert_allclose(states[:, 0], expected, rtol=0, atol=1e-5)


def test_dropout_comes_before_the_adapter():
    params = models.with_adapters(PARAMS, KEY)["layer_0"]["mlp"]
    # Dropout removes all of the part's output; the adapter's output is not dropped.
    params["down"] = jax.tree.map(jnp.zeros_like, params["down"])
    params["adapter"]["up"]["bias"] = jnp.arange(12.0)
    x, part = jnp.ones((5, 12)), _modules.PostNormMlp(CONFIG, jnp.float32)
    noisy, calm = (
        part.apply({"params": params}, x, key) for key in (jax.random.key(2), None)
    )
    chex.assert_trees_all_close(noisy, calm, rtol=1e-6)


def test_a_choice_of_no_part_is_refused():
    message = "'layer_7' chooses no module for adapter; there is layer_0/attention, lay"
    with pytest.raises(ValueError, match=message):
        models.with_adapters(PARAMS, KEY, where="layer_7")
