"""Small inner problems for tests of all inner optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaflax import base, inner


def fast_like(dtype=jnp.float32):
    """Arrays of every rank, and a leaf that does not adapt."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), dtype)

    return {
        "mix": {"kernel": draw(2, 3, 2)},
        "frozen": {"kernel": None},
        "out": {"kernel": draw(3, 2), "bias": draw(2)},
        "gain": draw(),
    }


def loss_fn(fast, fixed, support, key):
    """Loss that is not quadratic: a rate's effect depends on earlier steps."""
    del fixed, key
    hidden = jnp.tanh(jnp.einsum("sab,acb->sc", support.inputs, fast["mix"]["kernel"]))
    outputs = hidden @ fast["out"]["kernel"] + fast["out"]["bias"][None, :]
    errors = fast["gain"] * outputs - support.targets
    return jnp.mean(jnp.square(errors))


def support_like(dtype=jnp.float32, seed=1):
    rng = np.random.default_rng(seed)
    inputs, targets = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 2))
    return base.Batch(jnp.asarray(inputs, dtype), jnp.asarray(targets, dtype), None)


def solve(make, hyper, fast, support, num_steps=3, loss=loss_fn):
    """The result of inner steps, with the optimizer constructed inside."""
    problem = base.InnerProblem(
        start=lambda params, support, key: (params["start"], None),
        loss=loss,
        optimizer=lambda params: make(params["inner"]),
        num_steps=num_steps,
    )
    params = {"start": fast, "inner": hyper}
    return jax.jit(lambda *args: inner.solve(problem, *args).fast)(params, support)


def solve_plain(optimizer, fast, support, num_steps=3):
    return solve(lambda hyper: optimizer, None, fast, support, num_steps)


def off_start(hyper, seed=2):
    """Typical learned hyperparameters, none of them 0 or 1."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: x + jnp.asarray(0.02 * rng.normal(size=x.shape), x.dtype), hyper
    )


def half_square(fast, fixed, support, key):
    """The quadratic whose gradient is its argument."""
    del fixed, support, key
    return 0.5 * optax.tree.norm(fast, squared=True)
