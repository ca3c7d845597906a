"""Two dense layers, for heads that have a small network of their own."""

import jax
import jax.numpy as jnp


def dense_init(key, num_inputs, num_outputs):
    """A kernel of Lecun's normal and a bias of zero."""
    kernel = jax.nn.initializers.lecun_normal()(key, (num_inputs, num_outputs))
    return {"kernel": kernel, "bias": jnp.zeros(num_outputs)}


def dense(params, x):
    """`x @ kernel + bias` for `x` `[U, D]`."""
    return x @ params["kernel"] + params["bias"][None, :]


def cast(params, dtype):
    """The parameters in the type of the features they meet."""
    return jax.tree.map(lambda x: x.astype(dtype), params)
