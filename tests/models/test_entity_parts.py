"""Tests of the features of two entities in a text, and by themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import data, models, tasks
from metaflax.models.layers._entity_parts import entities_in_text
from tests.tasks import words

TOKENIZER = words.tokenizer("abcdefgh")
FORM = tasks.MENTION.encoded_as("phrase")
CONFIG = models.BertConfig(
    vocab_size=len(TOKENIZER),
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
)
PARAMS = jax.jit(models.encoder(CONFIG).init)(jax.random.key(0))
MENTIONS = [
    tasks.Mention("a b c d e f", head=(2, 5), tail=(8, 9)),
    tasks.Mention("c d e", head=(2, 5), tail=(0, 1)),  # Side by side, the tail first.
]


def tokens_of(mentions, max_length=32):
    how = {"max_length": max_length, "form": FORM, "on_long": "truncate"}
    tokenized = data.tokenize(TOKENIZER, mentions, **how)
    rows = [tokenized[number] for number in range(len(mentions))]
    ids = np.zeros((len(rows), max(map(len, rows)) + 3), np.int32)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = row, 1
    return models.Tokens(ids, None, mask, marks=tokenized.marks)


def features_of(tokens, params=PARAMS):
    encoder = FORM.encoder(models.encoder(CONFIG, standardize=True))
    features = jax.jit(encoder.apply)(params, tokens)
    assert features.shape == (len(tokens.ids), encoder.num_features)
    return features


def states_of(text):
    """The states of all tokens of a text by itself, and the tokens."""
    ids = TOKENIZER(text.split(), is_split_into_words=True)["input_ids"]
    tokens = models.Tokens(np.array([ids]), None, np.ones((1, len(ids)), np.int32))
    states = jax.jit(models.encoder(CONFIG, pooling="tokens").apply)(PARAMS, tokens)[0]
    return np.asarray(states), TOKENIZER.convert_ids_to_tokens(ids)


def unit(block):
    block = block - block.mean()
    length = np.linalg.norm(block)
    return block / length if length else block


def expected(text, head, tail, between):
    """The eight means of a text that is written with its markers."""
    states, found = states_of(text)
    places = [found.index(marker) for marker in words.MARKERS]
    inside = [range(start + 1, end) for start, end in (places[:2], places[2:])]
    chosen = [range(len(found)), between, [places[0]], [places[2]], *inside]
    blocks = [states[[*c]].mean(axis=0) if len(c) else np.zeros(8) for c in chosen]
    blocks += [states_of(name)[0].mean(axis=0) for name in (head, tail)]
    return np.concatenate([*map(unit, blocks)]) / np.sqrt(8)


def test_features_are_means_of_each_sequence_by_itself():
    marked = "a [unused1] b c [unused2] d [unused3] e [unused4] f"
    first = expected(marked, "b c", "e", between=[6])
    marked = "[unused3] c [unused4] [unused1] d e [unused2]"
    second = expected(marked, "d e", "c", between=[])
    features = features_of(tokens_of(MENTIONS))
    np.testing.assert_allclose(features, np.stack([first, second]), atol=1e-5)
    lengths = np.linalg.norm(features, axis=1)
    np.testing.assert_allclose(lengths, np.sqrt([1, 7 / 8]), rtol=1e-5)


def test_packed_rows_have_the_same_features():
    tokens = tokens_of(MENTIONS)
    real = np.flatnonzero(tokens.mask)
    packed = np.full(len(real) + 5, tokens.mask.size, np.int32)
    packed[: len(real)] = real
    np.testing.assert_allclose(
        features_of(tokens._replace(packed=packed)), features_of(tokens), atol=1e-6
    )


def test_gradients_are_finite_where_a_mean_is_over_no_token():
    lost = tokens_of([MENTIONS[0]], max_length=13)
    assert lost.marks[0, 3:].tolist() == [2, 5, 0, 0]  # The tail was cut off.
    for tokens in (lost, tokens_of(MENTIONS)):
        gradient = jax.jit(jax.grad(lambda p, t: jnp.sum(features_of(t, p) ** 3)))(
            PARAMS, tokens
        )
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
        assert any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def test_another_pooling_is_refused():
    encoder = entities_in_text(models.encoder(CONFIG, pooling="first"))
    with pytest.raises(ValueError, match="take pooling mean"):
        encoder.apply(PARAMS, tokens_of(MENTIONS))
