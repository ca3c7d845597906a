"""Tests for meta_curvature and kronecker against explicit matrices."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax.inner_optimizers import kronecker, meta_curvature
from tests.inner_optimizers import problems

KEY = jax.random.key(0)
FAST = problems.fast_like()


def leaves_with_hyper(optimizer):
    """Each gradient, its learned numbers and its update."""
    hyper = problems.off_start(optimizer.init(KEY, FAST))
    made = optimizer.make(hyper)
    updates, _ = made.update(FAST, made.init(FAST))

    def at(tree, *path):
        return functools.reduce(lambda node, key: node[key], path, tree)

    return {
        path: tuple(at(tree, *path) for tree in (FAST, hyper, updates))
        for path in [("mix", "kernel"), ("out", "kernel"), ("out", "bias"), ("gain",)]
    }


CURVED = leaves_with_hyper(meta_curvature(0.1))
FACTORED = leaves_with_hyper(kronecker(2, 0.1))


def test_a_kernel_is_multiplied_from_both_sides():
    grad, hyper, update = CURVED["out", "kernel"]
    m_0, m_1 = np.asarray(hyper["axis_0"]), np.asarray(hyper["axis_1"])
    expected = -np.asarray(hyper["rate"]) * (m_0 @ np.asarray(grad) @ m_1.T)
    np.testing.assert_allclose(update, expected, rtol=1e-5)


def test_a_tensor_is_multiplied_along_each_axis():
    grad, hyper, update = CURVED["mix", "kernel"]
    matrices = [np.asarray(hyper[f"axis_{axis}"]) for axis in range(3)]
    expected = -np.asarray(hyper["rate"]) * np.einsum(
        "xa,yb,zc,abc->xyz", *matrices, np.asarray(grad)
    )
    np.testing.assert_allclose(update, expected, rtol=1e-5)


@pytest.mark.parametrize("found", [CURVED, FACTORED], ids=["curved", "factored"])
@pytest.mark.parametrize("path", [("out", "bias"), ("gain",)])
def test_vectors_and_scalars_are_multiplied_elementwise(found, path):
    grad, hyper, update = found[path]
    assert set(hyper) == {"rate", "scale"}
    chex.assert_equal_shape([grad, hyper["scale"]])
    np.testing.assert_allclose(
        update, -hyper["rate"] * hyper["scale"] * grad, rtol=1e-6
    )


@pytest.mark.parametrize("path", [("out", "kernel"), ("mix", "kernel")])
def test_low_rank_factors_are_one_dense_kronecker_product(path):
    grad, hyper, update = FACTORED[path]
    factors = [
        np.eye(size) + np.asarray(factor["a"]) @ np.asarray(factor["b"]).T
        for size, factor in zip(
            grad.shape, (hyper[f"axis_{i}"] for i in range(grad.ndim)), strict=True
        )
    ]
    dense = functools.reduce(np.kron, factors)
    expected = -np.asarray(hyper["rate"]) * (dense @ np.ravel(grad))
    np.testing.assert_allclose(np.ravel(update), expected, rtol=1e-5)


def test_matrices_begin_as_the_identity():
    hyper = meta_curvature(0.1).init(KEY, FAST)["out"]["kernel"]
    expected = {"rate": jnp.array(0.1), "axis_0": jnp.eye(3), "axis_1": jnp.eye(2)}
    chex.assert_trees_all_equal(hyper, expected)


def test_one_factor_begins_at_zero_and_the_other_does_not():
    hyper = kronecker(2).init(KEY, jax.ShapeDtypeStruct((400, 3), jnp.float32))
    factor = hyper["axis_0"]
    chex.assert_trees_all_equal(factor["b"], jnp.zeros((400, 2)))
    lengths = np.linalg.norm(factor["a"], axis=0)
    np.testing.assert_allclose(lengths, 1.0, atol=0.15)


def test_factors_are_drawn_independently():
    fast = {"first": jnp.ones((4, 4)), "second": jnp.ones((4, 4))}
    hyper = kronecker(1).init(KEY, fast)
    draws = [hyper[name][f"axis_{i}"]["a"] for name in fast for i in (0, 1)]
    assert len({np.asarray(a).tobytes() for a in draws}) == 4


def test_a_short_axis_takes_no_more_rank_than_it_has():
    hyper = kronecker(8).init(KEY, jnp.ones((20, 2)))
    shapes = jax.tree.map(jnp.shape, (hyper["axis_0"]["a"], hyper["axis_1"]["a"]))
    assert shapes == ((20, 8), (2, 2))


def test_a_wide_kernel_learns_few_numbers():
    hyper = jax.eval_shape(
        lambda: kronecker(4).init(KEY, jax.ShapeDtypeStruct((3072, 768), jnp.float32))
    )
    sizes = sum(x.size for x in jax.tree.leaves(hyper))
    assert sizes == 1 + 2 * 4 * (3072 + 768)


@pytest.mark.parametrize("rank", [0, -2])
def test_a_rank_is_positive(rank):
    with pytest.raises(ValueError, match=f"got {rank}; for rates alone"):
        kronecker(rank)
