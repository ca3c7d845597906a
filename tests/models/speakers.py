"""Small language models and batches, shared by the tests of generation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import models, tree
from metaflax.models.families.t5._config import T5Config
from tests.models.examples import CONFIG, random_tokens

GPT = models.GPTConfig(
    vocab_size=23,
    n_positions=20,
    n_embd=12,
    n_layer=2,
    n_head=3,
    n_inner=20,
    bos_token_id=None,
    eos_token_id=2,
)
DECODER = dataclasses.replace(
    CONFIG, vocab_size=29, num_attention_heads=2, max_position_embeddings=16
)
SEQ2SEQ = models.Seq2SeqConfig(
    CONFIG, DECODER, decoder_start_token_id=1, eos_token_id=2, pad_token_id=0
)
T5 = T5Config(
    vocab_size=23,
    d_model=12,
    d_kv=5,
    d_ff=20,
    num_layers=2,
    num_heads=3,
    relative_attention_num_buckets=6,
    relative_attention_max_distance=10,
    feed_forward_proj="gated-gelu",
    tie_word_embeddings=False,
    eos_token_id=2,
)


def random_params(model, *, seed=0, scale=0.3):
    """Random parameters, including biases and norms."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        start = float(tree.path_name(path).endswith("norm/scale"))
        return jnp.asarray(start + scale * rng.normal(size=leaf.shape), jnp.float32)

    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, shapes)


def varied_params(model, *, seed=0):
    """Random parameters of a model that generates varied words, and ends some texts."""

    def varied(path, x):
        name = tree.path_name(path)
        if name.endswith(("embeddings/position", "relative/bias")):
            return 6 * x  # Otherwise it repeats one word.
        return x.at[2].add(1) if name.endswith("head/bias") else x

    return jax.tree_util.tree_map_with_path(varied, random_params(model, seed=seed))


def texts(vocab_size, lengths=(7, 3, 1, 5), *, length=7, seed=0):
    """Texts of these lengths, padded on the right, of one segment."""
    config = dataclasses.replace(CONFIG, vocab_size=vocab_size)
    return random_tokens(config, lengths, length=length, types=False, seed=seed)


def padded_left(tokens):
    """The same texts, padded on the left."""
    shift = np.asarray(tokens.ids.shape[1] - tokens.mask.sum(axis=1))
    moved = [
        np.stack([np.roll(row, n) for row, n in zip(np.asarray(x), shift, strict=True)])
        for x in (tokens.ids, tokens.mask)
    ]
    return models.Tokens(jnp.asarray(moved[0]), None, jnp.asarray(moved[1]))


def pairs(config=SEQ2SEQ, *, seed=0):
    """Sources, and targets that begin with the configured token."""
    if isinstance(config, T5Config):
        source, num_words = texts(config.vocab_size, seed=seed), config.vocab_size
    else:
        source = random_tokens(config.encoder, seed=seed)
        num_words = config.decoder.vocab_size
    target = texts(num_words, (4, 6, 2, 1), length=6, seed=seed + 1)
    ids = target.ids.at[:, 0].set(config.decoder_start_token_id)
    return models.Pair(source, target._replace(ids=ids))
