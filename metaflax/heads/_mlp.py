"""Dense layers of heads that contain a small network."""

import jax
import jax.numpy as jnp


def dense_init(key, num_inputs, num_outputs):
    """Initialises a kernel by LeCun normal and a bias by zeros."""
    kernel = jax.nn.initializers.lecun_normal()(key, (num_inputs, num_outputs))
    return {"kernel": kernel, "bias": jnp.zeros(num_outputs)}


def dense(params, x):
    """Computes `x @ kernel + bias` for `x` `[U, D]`."""
    return x @ params["kernel"] + params["bias"][None, :]


def cast(params, dtype):
    """Casts parameters to the type of the features."""
    return jax.tree.map(lambda x: x.astype(dtype), params)
