"""Tests for decoders and encoder-decoders: padding, stages, derivatives.

Outputs are compared with torch in `pretrained/test_language_models.py`.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest

from metaflax import base, models, tree
from metaflax.models.families.t5._network import t5
from metaflax.tree._paths import is_empty
from tests.models.examples import packed
from tests.models.families.decoders import LLAMAS
from tests.models.speakers import (
    GPT,
    SEQ2SEQ,
    T5,
    padded_left,
    pairs,
    random_params,
    texts,
)

WIDE = dataclasses.replace(
    SEQ2SEQ, encoder=dataclasses.replace(SEQ2SEQ.encoder, hidden_size=15)
)
# Derivatives are compiled more often than run, and one layer has every part.
ONE_GPT = dataclasses.replace(GPT, n_layer=1)
ONE_SEQ2SEQ = dataclasses.replace(
    SEQ2SEQ,
    encoder=dataclasses.replace(SEQ2SEQ.encoder, num_hidden_layers=1),
    decoder=dataclasses.replace(SEQ2SEQ.decoder, num_hidden_layers=1),
)
ONE_T5 = dataclasses.replace(
    T5, num_layers=1, feed_forward_proj="silu", tie_word_embeddings=True
)
UNTIED = dataclasses.replace(GPT, tie_word_embeddings=False)


def gpt_case(config=GPT, **kwargs):
    return models.gpt(config, **kwargs), texts(config.vocab_size)


def seq2seq_case(config=SEQ2SEQ, **kwargs):
    return models.seq2seq(config, **kwargs), pairs(config)


def llama_case(name="qwen2 with windows", num_layers=2, **kwargs):
    config = dataclasses.replace(LLAMAS[name], num_hidden_layers=num_layers)
    return models.llama(config, **kwargs), texts(config.vocab_size)


def t5_case(config=T5, **kwargs):
    return t5(config, **kwargs), pairs(config)


CASES = {
    "gpt": gpt_case,
    "llama": llama_case,
    "one-layer llama": functools.partial(llama_case, "qwen3", 1),
    "untied llama": functools.partial(llama_case, "mistral"),
    "one-layer gpt": functools.partial(gpt_case, ONE_GPT),
    "one-layer seq2seq": functools.partial(seq2seq_case, ONE_SEQ2SEQ),
    "untied gpt": functools.partial(gpt_case, UNTIED),
    "seq2seq": seq2seq_case,
    "bridged seq2seq": functools.partial(seq2seq_case, WIDE),
    "t5": t5_case,
    "one-layer t5": functools.partial(t5_case, ONE_T5),
}


def targets(inputs):
    return inputs.target if isinstance(inputs, models.Pair) else inputs


def both_packed(inputs):
    if isinstance(inputs, models.Pair):
        return models.Pair(*(packed(tokens) for tokens in inputs))
    return packed(inputs)


def where_real(logits, inputs):
    return jnp.where(targets(inputs).mask[:, :, None] > 0, logits, 0)


def loss(apply, params, inputs):
    """The mean loss of each next token."""
    tokens = targets(inputs)
    logits = apply(params, inputs, None)[:, :-1]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens.ids[:, 1:])
    real = tokens.mask[:, 1:]
    return jnp.sum(losses * real) / jnp.sum(real)


def slow(case):
    """A case that takes half a minute to compile."""
    return pytest.param(case, marks=pytest.mark.slow)


@pytest.mark.parametrize("case", ["gpt", "llama", slow("bridged seq2seq"), "t5"])
def test_packing_does_not_change_logits(case):
    model, inputs = CASES[case]()
    params, apply = random_params(model), jax.jit(model.apply)
    np.testing.assert_allclose(
        where_real(apply(params, both_packed(inputs), None), inputs),
        where_real(apply(params, inputs, None), inputs),
        atol=1e-5,
    )


def test_padding_on_either_side_changes_no_logits_of_a_gpt():
    model, tokens = gpt_case()
    apply = jax.jit(functools.partial(model.apply, random_params(model)))
    expected = apply(tokens)
    left = apply(padded_left(tokens))
    wider = apply(
        tokens._replace(
            ids=jnp.pad(tokens.ids, ((0, 0), (2, 1)), constant_values=5),
            mask=jnp.pad(tokens.mask, ((0, 0), (2, 1))),
        )
    )
    for i, n in enumerate(np.sum(tokens.mask, axis=1)):
        np.testing.assert_allclose(left[i, -n:], expected[i, :n], atol=1e-5)
        np.testing.assert_allclose(wider[i, 2 : 2 + n], expected[i, :n], atol=1e-5)


@pytest.mark.parametrize("case", [slow("seq2seq"), "t5"])
def test_padding_changes_no_logits_of_an_encoder_decoder(case):
    model, pair = CASES[case]()
    apply = jax.jit(functools.partial(model.apply, random_params(model)))
    wider = models.Pair(
        *(
            jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (0, 2))), tokens)
            for tokens in pair
        )
    )
    ours = apply(wider)[:, : pair.target.ids.shape[1]]
    np.testing.assert_allclose(
        where_real(ours, pair), where_real(apply(pair), pair), atol=1e-5
    )


@pytest.mark.parametrize("case", ["gpt", "seq2seq", "t5"])
def test_no_token_sees_a_later_one(case):
    model, inputs = CASES[case]()
    params = random_params(model)
    apply = jax.jit(lambda inputs: model.apply(params, inputs, None))
    tokens = targets(inputs)
    changed = tokens._replace(ids=tokens.ids.at[:, 3:].set(7))
    other = inputs._replace(target=changed) if tokens is not inputs else changed
    before, after = apply(inputs), apply(other)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert not np.allclose(before[0, 3], after[0, 3])


@pytest.mark.parametrize("case", ["gpt", slow("bridged seq2seq"), slow("t5")])
def test_stages_one_after_the_other_give_what_all_do_with_the_same_dropout(case):
    model, inputs = CASES[case]()
    params, key = random_params(model), jax.random.key(1)
    assert isinstance(model.apply, base.StagedApply)
    num = len(model.apply.reads)

    @functools.partial(jax.jit, static_argnums=0)
    def in_parts(cut):
        states = model.apply.run(params, inputs, None, key, 0, cut)
        return model.apply.run(params, inputs, states, key, cut, num)

    at_once = jax.jit(model.apply)(params, inputs, key)
    assert not np.allclose(at_once, jax.jit(model.apply)(params, inputs, None))
    # After the embeddings, an encoder, a decoder's embeddings, and the last layer.
    for cut in {1, num // 2, num // 2 + 1, num - 1}:
        np.testing.assert_allclose(in_parts(cut), at_once, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_stage_needs_no_parameter_but_those_it_reads(case):
    model, inputs = CASES[case]()
    params = random_params(model)
    states = None
    for i, reads in enumerate(model.apply.reads):
        own = tree.select(params, reads)
        assert not is_empty(own)
        states = jax.eval_shape(
            lambda own, states, i=i: model.apply.run(
                own, inputs, states, None, i, i + 1
            ),
            own,
            states,
        )
    filters = list(map(tree.where, model.apply.reads))
    assert all(any(read(path) for read in filters) for path in tree.paths(params))


@pytest.mark.parametrize(
    "case", ["untied llama", slow("gpt"), slow("seq2seq"), slow("t5")]
)
def test_loops_and_rematerialisation_change_no_gradient(case):
    model, inputs = CASES[case]()
    params = random_params(model)
    grads = [
        jax.jit(jax.grad(functools.partial(loss, m.apply)))(params, inputs)
        for m in (
            model,
            CASES[case](layer_loop="scan")[0],
            CASES[case](remat="dots")[0],
            CASES[case](layer_loop="unroll", remat="layers")[0],
        )
    ]
    for other in grads[1:]:
        chex.assert_trees_all_close(other, grads[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        slow("one-layer gpt"),
        "one-layer llama",
        slow("one-layer seq2seq"),
        slow("one-layer t5"),
    ],
)
def test_first_and_second_derivatives_match_differences_in_float64(case):
    shapes = random_params(CASES[case]()[0])
    with jax.enable_x64(True):
        model, inputs = CASES[case](dtype=jnp.float64)
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), shapes)
        fn = jax.jit(lambda params: loss(model.apply, params, inputs))
        jax.test_util.check_grads(fn, (params,), order=2, modes=["rev"], rtol=1e-4)


@pytest.mark.parametrize(
    "case", ["one-layer gpt", slow("one-layer seq2seq"), slow("one-layer t5")]
)
def test_meta_gradients_of_many_tasks_equal_a_loop(case):
    model, inputs = CASES[case]()
    both = [random_params(model, seed=seed) for seed in (1, 2)]

    def after_a_step(params):
        descent = jax.grad(functools.partial(loss, model.apply))(params, inputs)
        moved = jax.tree.map(lambda p, g: p - 0.1 * g, params, descent)
        return loss(model.apply, moved, inputs)

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *both)
    batched = jax.jit(jax.vmap(jax.grad(after_a_step)))(stacked)
    one = jax.jit(jax.grad(after_a_step))
    looped = jax.tree.map(lambda *x: jnp.stack(x), *map(one, both))
    chex.assert_trees_all_close(batched, looped, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "case",
    [
        "one-layer gpt",
        "one-layer llama",
        slow("one-layer seq2seq"),
        slow("one-layer t5"),
    ],
)
def test_a_text_of_padding_only_is_finite_and_does_not_touch_the_others(case):
    model, inputs = CASES[case]()
    params, apply = random_params(model), jax.jit(model.apply)
    expected = apply(params, inputs, None)
    tokens = targets(inputs)
    blank = tokens._replace(mask=tokens.mask.at[2].set(0))
    empty = inputs._replace(target=blank) if tokens is not inputs else blank
    logits = apply(params, empty, None)
    others = jnp.array([0, 1, 3])
    chex.assert_tree_all_finite(logits)
    np.testing.assert_allclose(logits[others], expected[others], atol=1e-6)
    gradient = jax.jit(jax.grad(functools.partial(loss, model.apply)))
    chex.assert_tree_all_finite(gradient(params, empty))


@pytest.mark.parametrize(
    "case",
    [
        "llama",
        "t5",
        *(pytest.param(c, marks=pytest.mark.slow) for c in ("gpt", "seq2seq")),
    ],
)
def test_half_precision_stays_close_and_logits_are_wide(case):
    model, inputs = CASES[case]()
    params = model.init(jax.random.key(0))
    half = CASES[case](dtype=jnp.bfloat16)[0]
    logits = jax.jit(half.apply)(params, inputs, None)
    assert logits.dtype == jnp.float32
    expected = jax.jit(model.apply)(params, inputs, None)
    largest = max(1, np.abs(expected).max())  # Those of a new T5 are not small.
    np.testing.assert_allclose(
        where_real(logits, inputs), where_real(expected, inputs), atol=0.05 * largest
    )


def test_low_rank_factors_and_adapters_are_applied_where_they_are_found():
    model, tokens = gpt_case()
    params, apply = random_params(model), jax.jit(model.apply)
    expected = apply(params, tokens, None)
    grown = models.with_lora(params, jax.random.key(0), rank=2)
    grown = models.with_adapters(grown, jax.random.key(1), size=3)
    np.testing.assert_allclose(apply(grown, tokens, None), expected, atol=1e-5)

    def noise(x):  # Not a constant, which norms would remove.
        return jax.random.normal(jax.random.key(2), x.shape)

    for added in ("lora", "adapter"):
        moved = jax.tree_util.tree_map_with_path(
            lambda path, x, name=added: (
                x + noise(x) if name in tree.path_name(path) else x
            ),
            grown,
        )
        assert not np.allclose(apply(moved, tokens, None), expected, atol=1e-2)


def test_additions_to_the_residual_start_smaller_in_deeper_gpts():
    params = models.gpt(
        dataclasses.replace(GPT, n_embd=48, n_layer=8, initializer_range=0.1)
    ).init(jax.random.key(0))
    layer = params["layer_3"]
    np.testing.assert_allclose(layer["mlp"]["up"]["kernel"].std(), 0.1, rtol=0.1)
    for part, name in (("attention", "output"), ("mlp", "down")):
        spread = layer[part][name]["kernel"].std()
        np.testing.assert_allclose(spread, 0.1 / 4, rtol=0.1)  # sqrt(2 * 8)


@pytest.mark.parametrize(
    ("make", "config"), [(models.gpt, GPT), (models.seq2seq, SEQ2SEQ), (t5, T5)]
)
@pytest.mark.parametrize("name", ["layer_loop", "remat"])
def test_unknown_ways_to_run_layers_are_refused(make, config, name):
    with pytest.raises(ValueError, match=f"unknown {name}='some'; there is"):
        make(config, **{name: "some"})


def test_residual_updates_of_a_new_t5_are_as_large_as_the_states():
    config = dataclasses.replace(T5, d_model=64, d_kv=16, d_ff=256, num_heads=4)
    params = t5(config).init(jax.random.key(0))
    for name, fan_in, extra in (
        ("attention/query", 64, 16),  # As scores are not scaled.
        ("attention/output", 64, 1),
        ("mlp/down", 256, 1),
    ):
        part, dense = name.split("/")
        kernel = params["decoder"]["layer_1"][part][dense]["kernel"]
        np.testing.assert_allclose(kernel.std(), (fan_in * extra) ** -0.5, rtol=0.1)
    np.testing.assert_allclose(params["embeddings"]["word"].std(), 1, rtol=0.1)


def test_texts_longer_than_the_model_are_refused():
    model, tokens = gpt_case(dataclasses.replace(GPT, n_positions=6))
    with pytest.raises(ValueError, match="7 tokens .* longer than .* n_positions=6"):
        jax.eval_shape(model.apply, model.init(jax.random.key(0)), tokens, None)
    model, pair = seq2seq_case()
    long = pair._replace(target=texts(29, (17,) * 4, length=17))
    with pytest.raises(ValueError, match="max_position_embeddings=16"):
        jax.eval_shape(model.apply, random_params(model), long, None)
