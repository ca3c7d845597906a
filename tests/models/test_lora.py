"""Tests for low-rank factors: positions, sizes, and merging into kernels."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models, tree
from tests.models.examples import CONFIG, packed, random_params, random_tokens

PARAMS, TOKENS, KEY = random_params(CONFIG), random_tokens(), jax.random.key(1)
# All dense layers except adapters, whose kernels are trained themselves.
MODULES = [
    *(
        f"layer_{i}/{name}"
        for i in range(2)
        for name in (
            *(f"attention/{part}" for part in ("key", "output", "query", "value")),
            *("mlp/down", "mlp/up"),
        )
    ),
    "pooler",
]


def modules_with_factors(params):
    paths = tree.paths(tree.select(params, "*/lora"))
    return sorted({path.rpartition("/lora/")[0] for path in paths})


def moved(params, seed=0):
    """Redraws the factors, so that none is zero."""
    rng = np.random.default_rng(seed)
    factors, rest = tree.partition(params, "*/lora")
    factors = jax.tree.map(
        lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), leaf.dtype), factors
    )
    return tree.merge(factors, rest)


@functools.partial(jax.jit, static_argnums=0)
def features(pooling, params, tokens=TOKENS):
    return models.encoder(CONFIG, pooling=pooling).apply(params, tokens, None)


def test_queries_and_values_get_factors_unless_told_otherwise():
    expected = [m for m in MODULES if m.endswith(("query", "value"))]
    assert modules_with_factors(models.with_lora(PARAMS, KEY)) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("*", MODULES),
        ("layer_1", [m for m in MODULES if m.startswith("layer_1")]),
        ("pooler", ["pooler"]),
        (["*/mlp", "!layer_0"], ["layer_1/mlp/down", "layer_1/mlp/up"]),
        (lambda path: path.endswith("key"), [m for m in MODULES if m.endswith("key")]),
    ],
)
def test_where_chooses_modules_by_path(where, expected):
    params = models.with_adapters(models.with_context(PARAMS, KEY), KEY)
    assert modules_with_factors(models.with_lora(params, KEY, where=where)) == expected


def test_factors_have_the_sizes_of_their_kernel_and_start_as_the_paper_says():
    params = models.with_lora(PARAMS, KEY, rank=400, where="*/mlp", scale=2.0)
    lora = params["layer_0"]["mlp"]["up"]["lora"]
    chex.assert_shape(lora["down"], (12, 400))
    chex.assert_shape(lora["up"], (400, 20))
    assert not np.any(lora["up"])
    assert np.std(lora["down"]) == pytest.approx(2 / np.sqrt(12), rel=0.05)
    other = params["layer_1"]["mlp"]["up"]["lora"]
    assert not np.allclose(lora["down"], other["down"])  # Each draws its own.


def test_factors_can_be_added_in_several_calls_of_different_rank():
    params = models.with_lora(PARAMS, KEY, rank=2, where="layer_0/mlp/up")
    params = models.with_lora(params, KEY, rank=3, where="layer_1/mlp/up")
    chex.assert_shape(params["layer_0"]["mlp"]["up"]["lora"]["down"], (12, 2))
    chex.assert_shape(params["layer_1"]["mlp"]["up"]["lora"]["down"], (12, 3))


@pytest.mark.parametrize(
    "pooling", ["mean", pytest.param("first", marks=pytest.mark.slow), "pooler"]
)
@pytest.mark.parametrize(
    "pack", [packed, pytest.param(lambda tokens: tokens, marks=pytest.mark.slow)]
)
def test_factors_equal_dense_layers_with_merged_kernels(pooling, pack):
    grown = moved(models.with_lora(PARAMS, KEY, rank=2, where="*"))
    merged = models.merge_lora(grown)
    chex.assert_trees_all_equal_shapes_and_dtypes(merged, PARAMS)
    module, bare = grown["layer_0"]["mlp"]["up"], merged["layer_0"]["mlp"]["up"]
    product = np.asarray(module["lora"]["down"]) @ np.asarray(module["lora"]["up"])
    np.testing.assert_allclose(bare["kernel"], module["kernel"] + product, rtol=1e-5)
    chex.assert_trees_all_close(
        features(pooling, grown, pack(TOKENS)),
        features(pooling, merged, pack(TOKENS)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_merging_keeps_what_is_not_low_rank_and_works_below_any_node():
    grown = models.with_adapters(models.with_context(PARAMS, KEY), KEY)
    nested = {"encoder": models.with_lora(grown, KEY), "head": {"bias": jnp.ones(3)}}
    before = tree.paths(nested)
    merged = models.merge_lora(nested)
    assert tree.paths(nested) == before
    chex.assert_trees_all_equal(merged, {"encoder": grown, "head": nested["head"]})
    chex.assert_trees_all_equal(models.merge_lora(merged), merged)


def test_merging_a_selection_is_refused():
    selected, rest = tree.partition(models.with_lora(PARAMS, KEY), "*/lora")
    for part in (selected, rest):
        with pytest.raises(ValueError, match="attention/query lacks.*tree.merge"):
            models.merge_lora(part)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"where": ["*/attention/queries", "layers"]},
            r"where=\['\*/attention/queries', 'layers'\] chooses no module for lora;"
            " there is layer_0/attention/key, .* and 9 more",
        ),
        ({"where": "embeddings"}, "where='embeddings' chooses no module"),
        ({"scale": 0.0}, "scale must be positive and finite, got 0.0"),
        ({"scale": float("inf")}, "scale must be positive and finite, got inf"),
    ],
)
def test_choices_without_effect_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.with_lora(PARAMS, KEY, **arguments)
