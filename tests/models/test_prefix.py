"""Tests for prefix tuning: learned keys and values before all texts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models, tree
from tests import marks
from tests.models.speakers import GPT, SEQ2SEQ, pairs, random_params, texts

KEY = jax.random.key(0)


def of_gpt():
    model = models.gpt(GPT)
    params = models.with_prefix(random_params(model), KEY, size=3)
    return model, params, texts(GPT.vocab_size), texts(GPT.vocab_size)


def of_seq2seq():
    model = models.seq2seq(SEQ2SEQ)
    params = random_params(model)
    grown = {**params, "decoder": models.with_prefix(params["decoder"], KEY, size=3)}
    both = pairs()
    return model, grown, both, both.source


# Slow tests use one kind of model; the others have the prefix in the same layer.
some = pytest.mark.parametrize("make", marks.quick([of_gpt, of_seq2seq], [of_gpt]))
every = pytest.mark.parametrize("make", [of_gpt, of_seq2seq])


def loud(params):
    """The same parameters with large prefixes."""
    return jax.tree_util.tree_map_with_path(
        lambda path, x: 30 * x if "/prefix/" in tree.path_name(path) else x, params
    )


@every
def test_only_what_says_texts_has_a_prefix(make):
    _, params, _, _ = make()
    paths = tree.paths(tree.select(params, "*/prefix"))
    assert {path.split("/prefix/")[1] for path in paths} == {"keys", "values"}
    assert all("cross_attention" not in path for path in paths)
    assert not any(path.startswith("encoder/") for path in paths)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(tree.select(params, "*/prefix"))
            } == {3}  # fmt: skip


@some
def test_a_prefix_changes_what_is_said_and_has_a_gradient(make):
    model, params, inputs, _ = make()
    apply = jax.jit(model.apply)
    changed = np.abs(apply(params, inputs) - apply(loud(params), inputs))
    assert changed.max() > 1e-3
    prefix, rest = tree.partition(loud(params), "*/prefix")

    def total(prefix):
        logits = model.apply(tree.merge(prefix, rest), inputs)
        return jnp.sum(jax.nn.log_softmax(logits)[..., 3])

    for leaf in jax.tree.leaves(jax.jit(jax.grad(total))(prefix)):
        assert np.abs(leaf).max() > 1e-6


@some
def test_words_one_after_the_other_are_those_at_once(make):
    model, params, _, prompts = make()
    params = loud(params)
    generated = models.greedy(model, max_new=3)(params, prompts)
    if isinstance(model.prompt_tokens(prompts), tuple) and make is of_gpt:
        # The words of the first text, read again at once.
        length = int(prompts.mask[0].sum())
        ids = jnp.concatenate([prompts.ids[0, :length], generated.ids[0]])[None]
        whole = models.Tokens(ids, None, jnp.ones_like(ids))
        logits = jax.jit(model.apply)(params, whole)[0, length - 1 : -1]
    else:
        start = jnp.full((1, 1), SEQ2SEQ.decoder_start_token_id)
        ids = jnp.concatenate([start, generated.ids[:1]], axis=1)[:, :-1]
        target = models.Tokens(ids, None, jnp.ones_like(ids))
        first = jax.tree.map(lambda x: x[:1], prompts._replace(packed=None))
        logits = jax.jit(model.apply)(params, models.Pair(first, target))[0]
    np.testing.assert_array_equal(jnp.argmax(logits, -1), generated.ids[0])


@pytest.mark.parametrize("kind", ["gpt", "seq2seq"])
def test_it_is_saved_beside_what_hugging_face_knows(kind, tmp_path):
    make = {"gpt": of_gpt, "seq2seq": of_seq2seq}[kind]
    _, params, _, _ = make()
    words = tmp_path / "words"
    words.mkdir()
    (words / "tokenizer.json").write_text("{}")
    config = {"gpt": GPT, "seq2seq": SEQ2SEQ}[kind]
    purpose = {"task": "x"}
    models.save(tmp_path / "out", config, params, tokenizer_from=words, purpose=purpose)
    loaded = models.load(tmp_path / "out")
    assert loaded.purpose == {"task": "x"}
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


def test_a_prefix_is_added_once():
    _, params, _, _ = of_gpt()
    with pytest.raises(ValueError, match="hold prefix already"):
        models.with_prefix(params, KEY)
