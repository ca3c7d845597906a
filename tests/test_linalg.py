"""Tests for symmetric systems, against dense solves and by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from metaflax import linalg

rng = np.random.default_rng(0)
ROOT = rng.normal(size=(5, 5))
MATRIX = np.asarray(ROOT @ ROOT.T + 0.5 * np.eye(5), np.float32)
B = rng.normal(size=5).astype(np.float32)


def solve(matrix, b, **kwargs):
    kwargs = {"max_steps": 50} | kwargs
    return linalg.conjugate_gradient(lambda x: matrix @ x, b, **kwargs)


def test_conjugate_gradients_solve_in_as_many_steps_as_there_are_eigenvalues():
    solution = solve(np.diag([1.0, 1.0, 4.0]).astype(np.float32), jnp.ones(3))
    chex.assert_trees_all_close(solution.x, jnp.array([1, 1, 0.25]), rtol=1e-6)
    assert solution.num_steps == 2
    assert solution.residual < 1e-6


def test_damping_is_added_to_the_diagonal():
    solution = solve(MATRIX, B, damping=0.3)
    expected = np.linalg.solve(MATRIX + 0.3 * np.eye(5), B)
    chex.assert_trees_all_close(solution.x, np.float32(expected), rtol=1e-4)


def test_right_hand_sides_are_trees_and_keep_their_types():
    b = {"w": jnp.ones((2, 2), jnp.bfloat16), "b": (jnp.ones(3),)}
    double = lambda tree: jax.tree.map(lambda x: 2 * x, tree)  # noqa: E731
    expected = jax.tree.map(lambda x: x / 2, b)
    exact = linalg.conjugate_gradient(double, b, max_steps=5)
    chex.assert_trees_all_close(exact.x, expected)
    chex.assert_trees_all_equal_dtypes(exact.x, b)
    series = linalg.neumann_series(double, b, step_size=0.5, num_steps=1)
    chex.assert_trees_all_close(series.x, expected)
    chex.assert_trees_all_equal_dtypes(series.x, b)


def test_the_residual_says_what_too_few_steps_leave():
    solution = solve(MATRIX, B, max_steps=2)
    left = np.linalg.norm(B - MATRIX @ np.asarray(solution.x)) / np.linalg.norm(B)
    np.testing.assert_allclose(solution.residual, left, rtol=1e-4)
    assert solution.num_steps == 2
    assert left > 1e-3


def test_the_tolerance_ends_the_iteration():
    solution = solve(MATRIX, B, tolerance=0.3)
    assert solution.residual <= 0.3
    assert solution.num_steps < solve(MATRIX, B).num_steps


def test_nothing_to_solve_takes_no_step():
    solution = solve(MATRIX, jnp.zeros(5))
    assert (solution.num_steps, solution.residual) == (0, 0)
    assert np.all(np.asarray(solution.x) == 0)


def test_a_matrix_that_curves_downwards_ends_the_iteration_with_what_there_is():
    solution = solve(np.diag([1.0, -1.0]).astype(np.float32), jnp.array([1.0, 2.0]))
    chex.assert_tree_all_finite(solution)
    assert np.all(np.asarray(solution.x) == 0)


def test_systems_under_vmap_and_jit_equal_a_loop():
    b = jnp.stack([B, 0 * B, 3 * B[::-1]])
    batched = jax.jit(jax.vmap(lambda b: solve(MATRIX, b)))(b)
    each = jax.tree.map(lambda *xs: jnp.stack(xs), *[solve(MATRIX, x) for x in b])
    chex.assert_trees_all_close(batched, each, rtol=1e-4, atol=1e-5)


def test_solutions_have_the_exact_derivatives_twice():
    with jax.enable_x64(True):

        def value(root, b):
            matrix = root @ root.T + jnp.eye(5)
            return jnp.sum(jnp.sin(solve(matrix, b, tolerance=1e-13).x))

        args = (ROOT, np.asarray(B, float))
        check_grads(jax.jit(value), args, order=1, rtol=1e-4, atol=1e-5)
        gradient = jax.jit(jax.grad(value, (0, 1)))
        check_grads(gradient, args, order=1, rtol=1e-4, atol=1e-5)


def test_gradients_are_finite_at_an_exact_solution():
    def value(b):
        solution = solve(jnp.eye(5), b)
        return jnp.sum(solution.x) + solution.residual

    chex.assert_trees_all_close(jax.grad(value)(jnp.asarray(B)), jnp.ones(5))


@pytest.mark.parametrize("num_steps", [0, 1, 4])
def test_a_neumann_series_is_gradient_descent_from_zero(num_steps):
    x = np.zeros(5)
    for _ in range(num_steps + 1):
        x = x - 0.1 * (MATRIX @ x - B)
    solution = linalg.neumann_series(
        lambda x: MATRIX @ x, B, step_size=0.1, num_steps=num_steps
    )
    chex.assert_trees_all_close(solution.x, np.float32(x), rtol=1e-4, atol=1e-6)
    left = np.linalg.norm(B - MATRIX @ x) / np.linalg.norm(B)
    np.testing.assert_allclose(solution.residual, left, rtol=1e-4)
    assert solution.num_steps == num_steps


def test_negative_numbers_of_steps_are_refused():
    with pytest.raises(ValueError, match="max_steps is 0 or more, got -1"):
        solve(MATRIX, B, max_steps=-1)
    with pytest.raises(ValueError, match="num_steps is 0 or more, got -2"):
        linalg.neumann_series(lambda x: x, B, step_size=1.0, num_steps=-2)


def test_a_strength_that_rounding_would_lose_is_raised_before_it_makes_a_nan():
    ones = np.ones((4, 2), np.float32)
    kernel = linalg.ridge(1e4 * ones, ones, ones[:, 0], 1e-3)
    chex.assert_trees_all_close(ones @ kernel * 1e4, jnp.asarray(ones), rtol=1e-4)


def problem(num_units, num_features):
    features = rng.normal(size=(num_units, num_features)).astype(np.float32)
    targets = rng.normal(size=(num_units, 2)).astype(np.float32)
    weights = rng.uniform(0.5, 2, num_units).astype(np.float32)
    return features, targets, weights


@pytest.mark.parametrize("shape", [(3, 6), (6, 3), (4, 4)])
def test_ridge_solves_the_normal_equations_in_either_form(shape):
    x, y, w = problem(*shape)
    expected = np.linalg.solve(
        x.T @ np.diag(w) @ x + 0.7 * np.eye(shape[1]), x.T @ np.diag(w) @ y
    )
    chex.assert_trees_all_close(
        linalg.ridge(x, y, w, 0.7), np.float32(expected), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(3, 6), (6, 3)])
def test_units_without_weight_drop_out_of_ridge(shape):
    x, y, w = problem(*shape)
    padded = linalg.ridge(
        np.concatenate([x, 9 * x[:1]]), np.concatenate([y, y[:1]]), np.append(w, 0), 0.7
    )
    chex.assert_trees_all_close(padded, linalg.ridge(x, y, w, 0.7), rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 6), (6, 3)])
def test_ridge_has_exact_derivatives_also_where_units_have_no_weight(shape):
    with jax.enable_x64(True):
        x, y, w = (np.asarray(a, float) for a in problem(*shape))
        check_grads(jax.jit(linalg.ridge), (x, y, w, 0.7), order=1, rtol=1e-5)
        w[0] = 0
        total = lambda *args: jnp.sum(linalg.ridge(*args))  # noqa: E731
        gradient = jax.jit(jax.grad(total, (0, 2)))
        chex.assert_tree_all_finite(gradient(x, y, w, 0.7))
