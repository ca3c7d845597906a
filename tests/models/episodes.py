"""Meta-learning on small networks, shared by tests of models."""

import jax
import jax.numpy as jnp
import optax

import metaflax
from metaflax import base, heads, losses, models
from tests.models.examples import CONFIG, packed, random_params, random_tokens

TEXTS, WAY = 4, 2
UPPER = ("encoder/layer_1", "head")


def algorithm(
    estimator, adapts=UPPER, *, staged=True, config=CONFIG, num_steps=2, **kwargs
):
    """MAML with a linear head, on an encoder with or without stages."""
    encoder = models.encoder(config, **kwargs)
    return metaflax.maml(
        encoder.apply if staged else lambda *args: encoder.apply(*args),
        losses.softmax_cross_entropy,
        encoder.init,
        optax.sgd(0.1),
        head=heads.linear(encoder.num_features, WAY),
        adapts=adapts,
        num_steps=num_steps,
        estimator=estimator,
    )


def meta_params(config=CONFIG, dtype=jnp.float32):
    params = {
        "encoder": random_params(config, pooler=False),
        "head": heads.linear(config.hidden_size, WAY).init(jax.random.key(0)),
    }
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), params)


def task(seed=0, dtype=jnp.float32, pack=packed):
    def part(seed):
        tokens = pack(random_tokens(seed=seed))
        return base.Batch(tokens, jnp.arange(TEXTS) % WAY, jnp.ones(TEXTS, dtype))

    return base.Task(part(2 * seed), part(2 * seed + 1))


def value_and_grad(algorithm, **kwargs):
    """The loss of two tasks, without dropout, and its meta-gradient."""
    fn = jax.jit(metaflax.value_and_grad(algorithm, **kwargs))

    def call(params, tasks):
        (loss, _), grads = fn(params, tasks, None)
        return loss, grads

    return call


def two_tasks(**kwargs):
    each = [task(seed, **kwargs) for seed in (0, 1)]
    return jax.tree.map(lambda *x: jnp.stack(x), *each)
