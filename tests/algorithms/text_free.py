"""A small encoder and episodes without text, shared by the algorithms' tests."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaflax import algorithms, base, heads, losses

D_IN, D, N = 3, 4, 5


def encode(params, inputs, key):
    """A tanh layer, with dropout of one half if there is a key."""
    features = jnp.tanh(inputs @ params["kernel"] + params["bias"][None, :])
    if key is None:
        return features
    keep = jax.random.bernoulli(key, 0.5, features.shape)
    return jnp.where(keep, 2 * features, jnp.zeros((), features.dtype))


def read_examples(params, support, key):
    """Features of the support set, and one-hot targets, zero for padding."""
    features = encode(params, support.inputs, key)
    one_hot = jax.nn.one_hot(support.targets, N, dtype=features.dtype)
    return features, one_hot * support.weights[:, None]


def attend(params, context, inputs, key):
    """Classifies by attention over the features of a support set."""
    features, one_hot = context
    scores = encode(params, inputs, key) @ features.T
    is_real = one_hot.sum(axis=1) > 0
    shares = jax.nn.softmax(jnp.where(is_real[None], scores, -1e9)) @ one_hot
    logits = jnp.log(shares + jnp.asarray(1e-6, shares.dtype))
    return base.masked_outputs(logits, one_hot.sum(axis=0) > 0)


class Attentive:
    """The encoder, with attention over a support set in place of a head."""

    in_context = base.InContext(read_examples, attend)

    def __call__(self, params, inputs, key=None):
        return encode(params, inputs, key)


def init(key):
    return {"kernel": jax.random.normal(key, (D_IN, D)), "bias": jnp.zeros(D)}


SGD = optax.sgd(0.3)
LINEAR, PROTOTYPES = heads.linear(D, N), heads.prototypes(N)

# Arguments of each exported algorithm besides encoder, loss and initial parameters.
ROWS = {
    "anil": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 2},
    "boil": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 2},
    "cavia": {
        "inner_optimizer": optax.sgd(1.0),
        "head": LINEAR,
        "num_steps": 2,
        "context": "encoder/bias",
    },
    "contrastive_fine_tuning": {
        "inner_optimizer": SGD,
        "head": heads.logistic_regression(N),
        "num_steps": 2,
    },
    "fine_tuning": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 2},
    "fomaml": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 2},
    "frozen": {"head": PROTOTYPES},
    "imaml": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 8},
    "in_context": {},
    "joint": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 2},
    "leopard": {"head": heads.leopard(D, N, num_hidden=4), "num_steps": 2},
    "maml": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 2},
    "maml_plus_plus": {
        "head": LINEAR,
        "num_steps": 2,
        "learning_rate": 0.3,
        "multi_step_until": 10,
        "first_order_until": 3,
    },
    "matching": {"head": heads.matching(N)},
    "meta_curvature": {"head": LINEAR, "num_steps": 2, "learning_rate": 0.3},
    "meta_sgd": {"head": LINEAR, "num_steps": 2, "learning_rate": 0.3},
    "metaicl": {},
    "multi_task": {
        "inner_optimizer": SGD,
        "head": LINEAR,
        "num_steps": 2,
        "num_features": D,
        "num_train_classes": N,
    },
    "proto_maml": {"inner_optimizer": SGD, "head": PROTOTYPES, "num_steps": 2},
    "protonet": {"head": PROTOTYPES},
    "relation": {"head": heads.relation(D, N, num_hidden=4)},
    "reptile": {"inner_optimizer": SGD, "head": LINEAR, "num_steps": 2},
    "ridge": {"head": heads.ridge(N)},
    "warpgrad": {
        "inner_optimizer": SGD,
        "head": LINEAR,
        "num_steps": 2,
        "warps": "encoder/bias",
    },
}
# One algorithm per kind of adaptation and differentiation.
CORE = ("anil", "imaml", "maml", "protonet", "reptile", "ridge")


def make(name, **changes):
    """Builds an exported algorithm on the small encoder."""
    factory = getattr(algorithms, name)
    arguments = {**ROWS[name], **changes}
    model = Attentive() if name in ("in_context", "metaicl") else encode
    return factory(model, losses.softmax_cross_entropy, init, **arguments)


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
