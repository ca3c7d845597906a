"""Tests for the output "none of the classes"."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads

FEATURES, TARGETS, ONES = jnp.eye(3)[:2], jnp.array([0, 1]), jnp.ones(2)
QUERIES = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def outputs(head, params):
    return head.apply(head.fit(params, FEATURES, TARGETS, ONES), QUERIES)


@pytest.mark.parametrize(
    "own", [heads.prototypes(2), heads.ridge(2), heads.linear(3, 2), heads.zeros(3, 2)]
)
def test_the_other_logits_stay_and_none_has_its_own(own):
    head = heads.with_none(own, logit=0.25)
    params = head.init(jax.random.key(0))
    alone = outputs(own, {k: v for k, v in params.items() if k != "none"})
    both = outputs(head, params)
    chex.assert_trees_all_close(both.logits[:, :2], alone.logits)
    np.testing.assert_allclose(both.logits[:, 2], 0.25)
    assert both.mask.tolist() == [*alone.mask.tolist(), True]
    assert head.serves == own.serves


def test_a_unit_far_from_every_class_is_of_none():
    head = heads.with_none(heads.prototypes(2), logit=0.0)
    found = outputs(head, head.init(jax.random.key(0))).logits
    assert found.argmax(-1).tolist() == [0, 2]  # 1, -1, 0 and -1, -1, 0.


def test_its_logit_is_learned():
    head = heads.with_none(heads.prototypes(2))

    def total(params):
        return outputs(head, params).logits[:, 2].sum()

    grad = jax.grad(total)(head.init(jax.random.key(0)))
    assert (grad["none"], grad["log_temperature"]) == (2, 0)


def test_the_template_is_what_fit_gives_in_shapes_and_types():
    head = heads.with_none(heads.prototypes(2, num_features=3))
    params = head.init(jax.random.key(0))
    state = jax.eval_shape(head.fit, params, FEATURES, TARGETS, ONES)
    chex.assert_trees_all_equal_shapes_and_dtypes(head.template(params), state)
    assert heads.with_none(heads.prototypes(2)).template is None


def test_a_head_that_is_no_linear_layer_is_refused():
    head = heads.with_none(heads.matching(2))
    with pytest.raises(ValueError, match="none is a column of a linear layer"):
        outputs(head, head.init(jax.random.key(0)))
