"""One suite over every head that `metaflax.heads` exports."""

import functools

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import base, heads, losses

U, D, N, Q = 7, 3, 5, 4
HEADS = {
    "balanced": heads.balanced(heads.logistic_regression(N, num_features=D), N),
    "centred_logistic_regression": heads.centred_logistic_regression(N, num_features=D),
    "centred_prototypes": heads.centred_prototypes(N, num_features=D),
    "cosine_prototypes": heads.cosine_prototypes(N, num_features=D),
    "detected": heads.detected(heads.prototypes(N, num_features=D), D, N),
    "gaussian": heads.gaussian(N, num_features=D),
    "label_propagation": heads.label_propagation(N, num_features=D),
    "label_prototypes": heads.label_prototypes(N, num_features=D),
    "leopard": heads.leopard(D, N, num_hidden=6),
    "linear": heads.linear(D, N),
    "logistic_regression": heads.logistic_regression(N, num_features=D),
    "matching": heads.matching(N),
    "nearest": heads.nearest(N),
    "prototypes": heads.prototypes(N, num_features=D),
    "relation": heads.relation(D, N, num_hidden=6),
    "ridge": heads.ridge(N, num_features=D),
    "soft_k_means": heads.soft_k_means(N, num_features=D),
    "zeros": heads.zeros(D, N),
}
every = pytest.mark.parametrize("name", sorted(HEADS))
# The initial state of these heads does not depend on the features.
FIXED = {"linear", "zeros"}
# The state of these heads is the support set.
REMEMBERING = {"matching", "nearest"}
fitting = pytest.mark.parametrize("name", sorted(set(HEADS) - FIXED))

rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(U, D)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 0, 1, 3, 2])
WEIGHTS = np.array([1, 1, 1, 1, 1, 0, 1], np.float32)  # Class 3 is padding only.
QUERIES = rng.normal(size=(Q, D)).astype(np.float32)
LOOSE = {"rtol": 1e-4, "atol": 1e-5}


def params_of(name):
    return HEADS[name].init(jax.random.key(1))


def targets_for(name, targets):
    """Class numbers, or one-hot labels if a head does not support classes."""
    serves_labels = HEADS[name].serves == {"labels"}
    return jax.nn.one_hot(targets, N) if serves_labels else targets


def eager_answers(name, params, features, targets, weights, queries):
    """The state and the outputs, without jit."""
    head = HEADS[name]
    state = head.fit(params, features, targets_for(name, targets), weights)
    return state, head.apply(state, queries)


@functools.cache
def compiled(name):
    return jax.jit(functools.partial(eager_answers, name))


def answers(name, *arguments):
    return compiled(name)(*arguments)[1]


def logits(name, features=FEATURES, targets=TARGETS, weights=WEIGHTS):
    outputs = answers(name, params_of(name), features, targets, weights, QUERIES)
    return np.asarray(outputs.logits)


def loss(name, params, features, queries, weights, asked):
    _, outputs = eager_answers(name, params, features, TARGETS, weights, queries)
    return losses.softmax_cross_entropy(outputs, *asked)


@functools.cache
def value_and_gradient_of(name):
    """Loss and gradients of parameters, support features and queries, compiled once."""
    return jax.jit(jax.value_and_grad(functools.partial(loss, name), (0, 1, 2)))


def gradient(name, params, features, queries):
    asked = np.arange(Q) % 3, np.ones(Q)
    return value_and_gradient_of(name)(params, features, queries, WEIGHTS, asked)[1]


def cast(tree, dtype):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


# These predict numbers, spans, choices or words, or extend another head; they have
# their own tests.
ELSEWHERE = {
    "HEADS",
    "HeadBuilder",
    "HeadSettings",
    "identity",
    "linear_choice",
    "linear_regression",
    "per_token",
    "ridge_choice",
    "ridge_regression",
    "span",
    "with_none",
}


def test_the_suite_makes_every_exported_head_of_classes():
    assert set(HEADS) == set(heads.__all__) - ELSEWHERE


@every
def test_padding_changes_nothing_whatever_it_holds(name):
    counts = WEIGHTS > 0
    alone = logits(name, FEATURES[counts], TARGETS[counts], WEIGHTS[counts])
    chex.assert_trees_all_close(logits(name), alone, rtol=1e-5, atol=1e-5)
    other = np.where(counts[:, None], FEATURES, 100)
    filled = logits(name, other, np.where(counts, TARGETS, 0))
    chex.assert_trees_all_close(filled, alone, rtol=1e-5, atol=1e-5)


@every
@pytest.mark.parametrize("filler", [np.nan, np.inf])
def test_a_row_of_weight_0_never_spreads_into_state_or_gradient(name, filler):
    counts = WEIGHTS > 0
    other = np.where(counts[:, None], FEATURES, filler).astype(np.float32)
    state, _ = compiled(name)(params_of(name), other, TARGETS, WEIGHTS, QUERIES)
    chex.assert_tree_all_finite(state)
    np.testing.assert_array_equal(logits(name, other), logits(name))
    of_parameters, of_features, of_queries = gradient(
        name, params_of(name), other, QUERIES
    )
    chex.assert_tree_all_finite((of_parameters, of_features, of_queries))
    assert np.all(np.asarray(of_features)[~counts] == 0)


@every
def test_a_symbolic_number_of_examples_is_exported(name):
    U, Q = jax.export.symbolic_shape("U, Q")
    of = jax.ShapeDtypeStruct
    shapes = of((U, D), "float32"), of((U,), "int32"), of((U,), "float32")
    params = params_of(name)
    exported = jax.export.export(compiled(name), platforms=["cpu"])(
        params, *shapes, of((Q, D), "float32")
    )
    _, outputs = exported.call(
        params, FEATURES, TARGETS.astype(np.int32), WEIGHTS, QUERIES
    )
    assert isinstance(outputs, base.ClassOutputs)
    np.testing.assert_allclose(outputs.logits, logits(name), **LOOSE)


@every
def test_x64_keeps_one_type(name):
    with jax.enable_x64(True):
        params = params_of(name)
        floats = jax.tree.leaves(params)
        assert all(x.dtype == jnp.float64 for x in floats)
        features = FEATURES.astype(np.float64)
        wide = jax.jit(functools.partial(eager_answers, name))
        targets = jnp.asarray(TARGETS)
        _, outputs = wide(params, features, targets, WEIGHTS, features)
        assert outputs.logits.dtype == jnp.float64


def test_the_nearest_of_no_support_examples_is_refused():
    with pytest.raises(ValueError, match="nearest of S support examples and got S=0"):
        logits("nearest", FEATURES[:0], TARGETS[:0], WEIGHTS[:0])


@pytest.mark.parametrize("name", sorted(set(HEADS) - {"nearest"}))
def test_a_support_set_of_nothing_has_finite_answers_of_no_class(name):
    outputs = answers(
        name, params_of(name), FEATURES[:0], TARGETS[:0], WEIGHTS[:0], QUERIES
    )
    assert not np.any(outputs.mask)
    chex.assert_tree_all_finite(outputs.logits)


@every
def test_the_order_of_examples_changes_nothing(name):
    shuffled = logits(name, FEATURES[::-1], TARGETS[::-1], WEIGHTS[::-1])
    chex.assert_trees_all_close(shuffled, logits(name), **LOOSE)


@pytest.mark.parametrize("name", sorted(set(HEADS) - {"linear", "detected"}))
def test_renaming_classes_permutes_the_answers(name):
    rename = np.array([2, 4, 0, 1, 3])
    renamed = logits(name, targets=rename[TARGETS])
    chex.assert_trees_all_close(renamed[:, rename], logits(name), **LOOSE)


@every
def test_absent_classes_never_win(name):
    outputs = answers(name, params_of(name), FEATURES, TARGETS, WEIGHTS, QUERIES)
    assert outputs.mask.tolist() == [True, True, True, False, False]
    assert np.all(np.asarray(jax.nn.softmax(outputs.logits))[:, 3:] == 0)
    chex.assert_tree_all_finite(outputs.logits)


@every
def test_types_are_kept_in_half_precision(name):
    params = cast(params_of(name), jnp.bfloat16)
    support, queries, weights = cast((FEATURES, QUERIES, WEIGHTS), jnp.bfloat16)
    state, outputs = compiled(name)(params, support, TARGETS, weights, queries)
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    assert {x.dtype for x in floats} == {jnp.dtype(jnp.bfloat16)}
    assert outputs.logits.dtype == jnp.bfloat16
    half = np.asarray(outputs.logits, np.float32)
    chex.assert_trees_all_close(half[:, :3], logits(name)[:, :3], rtol=0.1, atol=0.15)
    chex.assert_tree_all_finite(gradient(name, params, support, queries))


@fitting
def test_the_type_of_the_features_decides_where_parameters_are_wider(name):
    support, queries, weights = cast((FEATURES, QUERIES, WEIGHTS), jnp.bfloat16)
    outputs = answers(name, params_of(name), support, TARGETS, weights, queries)
    assert outputs.logits.dtype == jnp.bfloat16


@every
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-30, 1e4])
def test_gradients_are_finite_where_features_are_alike_or_extreme(name, value):
    features = np.full((U, D), value, np.float32)
    queries = np.full((Q, D), value, np.float32)
    grads = gradient(name, params_of(name), features, queries)
    chex.assert_tree_all_finite(grads)


@every
def test_a_support_set_of_padding_only_gives_finite_answers(name):
    asked = np.zeros(Q, int), np.zeros(Q)
    both = value_and_gradient_of(name)(
        params_of(name), FEATURES, QUERIES, 0 * WEIGHTS, asked
    )
    chex.assert_tree_all_finite(both)


@every
def test_vmap_equals_a_loop_and_one_trace_serves_any_way_and_shot(name):
    targets = np.stack([TARGETS, np.zeros(U, int), TARGETS % 2, np.arange(U) % N])
    weights = np.stack([WEIGHTS, WEIGHTS[::-1], np.ones(U), np.ones(U)])
    weights = weights.astype(np.float32)
    params = params_of(name)

    def answers_to(targets, weights):
        return eager_answers(name, params, FEATURES, targets, weights, QUERIES)[1]

    one = jax.jit(chex.assert_max_traces(answers_to, n=1))
    each = [one(*task) for task in zip(targets, weights, strict=True)]
    batched = jax.jit(jax.vmap(answers_to))(targets, weights)
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *each)
    chex.assert_trees_all_close(batched, stacked, **LOOSE)
    eager = answers_to(targets[0], weights[0])
    chex.assert_trees_all_close(each[0], eager, **LOOSE)


@every
def test_the_template_is_what_fit_gives_in_shapes_and_types(name):
    head, params = HEADS[name], params_of(name)
    if name in REMEMBERING:
        assert head.template is None
        return
    targets = jnp.asarray(targets_for(name, TARGETS))
    fitted = jax.eval_shape(head.fit, params, FEATURES, targets, WEIGHTS)
    chex.assert_trees_all_equal_shapes_and_dtypes(head.template(params), fitted)
    half = jax.eval_shape(head.template, cast(params, jnp.bfloat16))
    chex.assert_trees_all_equal_shapes(half, fitted)


@pytest.mark.parametrize(
    "factory",
    [
        heads.centred_logistic_regression,
        heads.centred_prototypes,
        heads.cosine_prototypes,
        heads.gaussian,
        heads.label_propagation,
        heads.label_prototypes,
        heads.logistic_regression,
        heads.prototypes,
        heads.ridge,
        heads.soft_k_means,
    ],
)
def test_a_head_that_is_not_told_the_number_of_features_has_no_template(factory):
    assert factory(N).template is None


@fitting
def test_the_gradient_reaches_support_features_and_parameters(name):
    params = params_of(name)
    of_params, of_features, _ = gradient(name, params, FEATURES, QUERIES)
    sizes = np.abs(of_features).sum(-1)
    some = np.any if name == "nearest" else np.all  # The nearest of each class alone.
    assert some(sizes[WEIGHTS > 0] > 0)
    assert np.all(sizes[WEIGHTS == 0] == 0)
    assert any(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(of_params))


@every
def test_another_number_of_labels_is_refused_with_both(name):
    head = HEADS[name]
    with pytest.raises(ValueError, match="head has 5 classes, targets have 6"):
        head.fit(params_of(name), FEATURES, np.zeros((U, N + 1), int), WEIGHTS)


def test_kinds_of_targets_are_told_apart():
    both = {name for name in HEADS if HEADS[name].serves == {"classes", "labels"}}
    assert both == FIXED
    assert HEADS["label_prototypes"].serves == {"labels"}
    assert HEADS["detected"].serves == {"tags"}
    classes = {name for name in HEADS if HEADS[name].serves == {"classes"}}
    assert classes == set(HEADS) - both - {"label_prototypes", "detected"}
