"""Tests for features that tell which words begin with a capital."""

import jax
import numpy as np

from metaflax import data, models, tasks
from metaflax.models.layers._capitals import CAPITAL_WEIGHT
from metaflax.tasks._capitals import SENTENCE_WITH_CAPITALS
from metaflax.tasks._sentences import SENTENCE, Sentence
from metaflax.tasks._words import word_spans
from tests.tasks import words

TOKENIZER = words.bert("abcdefgh")
TEXTS = ("Ab cd, EF a", "cab", "aB C Àb 4")
# Whether each word begins with a capital, at its first token; `[CLS]` comes before.
EXPECTED = ([0, 1, 0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0])
CONFIG = models.BertConfig(
    vocab_size=len(TOKENIZER),
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
)
BELOW = models.encoder(CONFIG, pooling="tokens", standardize=True)
PARAMS = jax.jit(BELOW.init)(jax.random.key(0))
ENCODER = SENTENCE_WITH_CAPITALS.encoder(BELOW)


def collated(form, texts=TEXTS):
    sentences = [Sentence(text, word_spans(text)) for text in texts]
    tokenized = data.tokenize(TOKENIZER, sentences, max_length=16, form=form)
    rows = range(len(texts))
    return data.collate_texts(tokenized, rows, len(texts) + 1, data.Buckets((16,)))


def test_features_are_states_and_the_capitals_that_the_tokenizer_loses():
    tokens = collated(SENTENCE_WITH_CAPITALS)
    assert (tokens.ids == collated(SENTENCE).ids).all()
    features = np.asarray(jax.jit(ENCODER.apply)(PARAMS, tokens))
    states = BELOW.apply(PARAMS, collated(SENTENCE))
    assert features.shape[-1] == ENCODER.num_features == BELOW.num_features + 1
    np.testing.assert_allclose(features[..., :-1], states, atol=1e-6)
    expected = np.zeros(features.shape[:-1], np.float32)
    for row, capitals in zip(expected, EXPECTED, strict=False):
        row[: len(capitals)] = CAPITAL_WEIGHT * np.array(capitals)
    np.testing.assert_array_equal(features[..., -1], expected)


def test_stages_run_one_by_one():
    tokens, states = collated(SENTENCE_WITH_CAPITALS), None
    for stage in range(len(ENCODER.apply.reads)):
        states = ENCODER.apply.run(PARAMS, tokens, states, None, stage, stage + 1)
    np.testing.assert_allclose(states, ENCODER.apply(PARAMS, tokens), atol=1e-6)


def test_batches_without_a_capital_have_the_shapes_of_others():
    one, other = (
        jax.tree.map(np.shape, collated(SENTENCE_WITH_CAPITALS, texts))
        for texts in (("ab",), ("Ab",))
    )
    assert one == other


def test_entities_have_capitals_on_request_alone():
    assert tasks.entities().form is SENTENCE
    assert tasks.entities(capitals=True).form is SENTENCE_WITH_CAPITALS
