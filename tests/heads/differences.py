"""Comparison of gradients through a fitted head with float64 central differences."""

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import losses


def assert_gradients_equal_differences(head, features, targets, weights, queries):
    """Checks gradients with respect to support features and head parameters."""

    @jax.jit
    def loss(features, params):
        state = head.fit(params, features, targets, weights)
        outputs = head.apply(state, queries)
        return losses.softmax_cross_entropy(
            outputs, jnp.arange(len(queries)) % 2, jnp.ones(len(queries))
        )

    params = jax.tree.map(lambda x: x.astype(float), head.init(jax.random.key(0)))
    args = (features, params)
    leaves, structure = jax.tree.flatten(args)
    grads = jax.tree.leaves(jax.jit(jax.grad(loss, (0, 1)))(*args))
    for index, (leaf, grad) in enumerate(zip(leaves, grads, strict=True)):
        for position in np.ndindex(leaf.shape):

            def loss_at(step, index=index, position=position):
                moved = [np.array(x) for x in leaves]
                moved[index][position] += step
                return float(loss(*jax.tree.unflatten(structure, moved)))

            # Of fourth order, so that rounding and truncation errors are both small.
            near = (loss_at(1e-3) - loss_at(-1e-3)) / 2e-3
            far = (loss_at(2e-3) - loss_at(-2e-3)) / 4e-3
            difference = (4 * near - far) / 3
            np.testing.assert_allclose(grad[position], difference, rtol=1e-6, atol=1e-9)
