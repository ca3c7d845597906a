"""Small networks and batches, shared by the tests of models."""

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import models, tree

CONFIG = models.BertConfig(
    vocab_size=23,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=9,
    type_vocab_size=2,
)
LENGTHS = (7, 3, 1, 5)


def random_params(config, *, pooler=True, seed=0, scale=0.3):
    """Random parameters, including biases and norms."""
    pooling = "pooler" if pooler else "mean"
    init = models.encoder(config, pooling=pooling).init
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        start = float(tree.path_name(path).endswith("norm/scale"))
        return jnp.asarray(start + scale * rng.normal(size=leaf.shape), jnp.float32)

    shapes = jax.eval_shape(init, jax.random.key(0))  # Compiling init takes longer.
    return jax.tree_util.tree_map_with_path(draw, shapes)


def random_tokens(config=CONFIG, lengths=LENGTHS, *, length=7, types=True, seed=0):
    """Texts of these lengths, padded."""
    rng = np.random.default_rng(seed)
    shape = len(lengths), length
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int32)
    ids = rng.integers(1, config.vocab_size, shape, np.int32) * mask
    segments = rng.integers(0, config.type_vocab_size, shape, np.int32) * mask
    tokens = models.Tokens(ids, segments if types else None, mask)
    return jax.tree.map(jnp.asarray, tokens)


def packed(tokens, budget=20):
    """The same texts, with room for `budget` real tokens."""
    real = np.flatnonzero(tokens.mask)
    rows = np.full(budget, tokens.mask.size, np.int32)
    rows[: len(real)] = real
    return tokens._replace(packed=jnp.asarray(rows))


def hidden_states(config, params, tokens, **kwargs):
    """The last hidden state `[B, L, D]` of every token."""
    encoder = models.encoder(config, pooling="tokens", **kwargs)
    return encoder.apply(params, tokens, None)
