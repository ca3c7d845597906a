"""A small encoder and episodes without text, shared by the algorithms' tests."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaflax import algorithms, base, heads, losses

D_IN, D, N = 3, 4, 5


def encode(params, inputs, key):
    """A tanh layer, with dropout of one half where there is a key."""
    features = jnp.tanh(inputs @ params["kernel"] + params["bias"][None, :])
    if key is None:
        return features
    keep = jax.random.bernoulli(key, 0.5, features.shape)
    return jnp.where(keep, 2 * features, jnp.zeros((), features.dtype))


def init(key):
    return {"kernel": jax.random.normal(key, (D_IN, D)), "bias": jnp.zeros(D)}


GRADIENT_BASED = ("maml", "fomaml", "reptile", "anil", "proto_maml", "fine_tuning")
CLOSED_FORM = ("protonet", "frozen")


def make(name, **kwargs):
    """Any exported algorithm on the small encoder."""
    factory = getattr(algorithms, name)
    prototypical = name in ("proto_maml", *CLOSED_FORM)
    kwargs.setdefault(
        "head", heads.prototypes(N) if prototypical else heads.linear(D, N)
    )
    common = (encode, losses.softmax_cross_entropy, init)
    if name in CLOSED_FORM:
        return factory(*common, **kwargs)
    kwargs.setdefault("num_steps", 2)
    return factory(*common, kwargs.pop("inner_optimizer", optax.sgd(0.3)), **kwargs)


def batch(rng, targets, size):
    """Examples of given targets, padded to `size`."""
    count = len(targets)
    inputs = rng.normal(size=(size, D_IN)).astype(np.float32)
    padded = np.zeros(size, np.int32)
    padded[:count] = targets
    weights = (np.arange(size) < count).astype(np.float32)
    return base.Batch(jnp.asarray(inputs), jnp.asarray(padded), jnp.asarray(weights))


def task(seed=0, way=3, shot=2, queries=2, padding=0):
    """An episode; `padding` adds that many rows of weight 0 to each part."""
    rng = np.random.default_rng(seed)
    classes = np.arange(way)
    return base.Task(
        batch(rng, classes.repeat(shot), way * shot + padding),
        batch(rng, classes.repeat(queries), way * queries + padding),
    )
