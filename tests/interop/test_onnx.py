"""Tests that exported ONNX models compute the same outputs as their functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from metaflax import models
from metaflax.interop._onnx import to_onnx
from tests.models.families import networks

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

# Covers every operation; aliases of a family have the same network.
CASES = [
    (name, case)
    for name, cases in networks.CASES.items()
    for case in cases[:1]
    if name not in ("xlm-roberta", "camembert")
]
CASES += [("deberta-v2", networks.CASES["deberta-v2"][1])]


def session_of(function, params, inputs):
    model = to_onnx(function, params, inputs, metadata={"key": "value"})
    return onnxruntime.InferenceSession(model.SerializeToString())


def symbolic(dtype=np.int32, longest=20):
    sizes = export.symbolic_shape("b, l", constraints=[f"l <= {longest}"])
    return jax.ShapeDtypeStruct(sizes, np.dtype(dtype))


@pytest.mark.parametrize(("name", "case"), CASES)
@pytest.mark.thorough
def test_networks_of_every_family_for_any_number_of_texts_and_tokens(name, case):
    config = networks.make_config(name, case)
    encoder = models.encoder(config, pooling="mean", standardize=True)

    def features(params, input_ids, attention_mask):
        tokens = models.Tokens(input_ids, None, attention_mask)
        return {"features": encoder.apply(params, tokens, None)}

    params = networks.random_params(config)
    inputs = dict.fromkeys(("input_ids", "attention_mask"), symbolic())
    session = session_of(features, params, inputs)
    for lengths in ((7, 3, 5), (1,)):
        tokens = networks.random_tokens(config, lengths, length=max(lengths))
        given = {"input_ids": tokens.ids, "attention_mask": tokens.mask}
        given = {name: np.asarray(x, np.int64) for name, x in given.items()}
        [theirs] = session.run(None, given)
        ours = encoder.apply(params, tokens, None)
        np.testing.assert_allclose(theirs, ours, atol=2e-6)


FUNCTIONS = {
    "products": lambda x: jnp.einsum("bld,ble->bde", x[:, :, None], x[:, :, None]),
    "sums of two axes": lambda x: jnp.sum(x) + jnp.zeros(2),
    "rows": lambda x: jnp.arange(24.0).reshape(6, 4)[x.astype(int) % 6],
    "sizes": lambda x: x * x.shape[1] + jnp.arange(x.shape[1])[None],
    "choices": lambda x: jnp.where(x > 0, jnp.clip(x, 0, 1), jnp.abs(x) ** 3),
    "orders": lambda x: jnp.concatenate([x[:, ::-1], jnp.cumsum(x, axis=1)], axis=1),
    "halves": lambda x: jnp.split(jnp.pad(x, ((0, 0), (1, 1)))[:, :2], 2, axis=1)[1],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations_of_arrays_of_symbolic_sizes(name):
    def function(params, x):
        return {"y": FUNCTIONS[name](x.astype(jnp.float32) + params["shift"])}

    params = {"shift": np.float32(0.5)}
    session = session_of(function, params, {"x": symbolic()})
    for shape in ((2, 5), (3, 1)):
        x = np.random.default_rng(0).integers(-3, 4, shape)
        [theirs] = session.run(None, {"x": x})
        ours = function(params, jnp.asarray(x, jnp.int32))["y"]
        assert theirs.shape == ours.shape
        np.testing.assert_allclose(theirs, ours, rtol=1e-6)


def test_weights_keep_their_names_and_metadata_are_kept():
    def function(params, x):
        return {"y": x.astype(jnp.float32) @ params["layer"]["kernel"]}

    params = {"layer": {"kernel": np.ones((3, 2), np.float32)}}
    shape = jax.ShapeDtypeStruct((*export.symbolic_shape("b"), 3), np.dtype(np.int32))
    model = to_onnx(function, params, {"x": shape}, metadata={"labels": "[]"})
    assert "layer/kernel" in {tensor.name for tensor in model.graph.initializer}
    assert {p.key: p.value for p in model.metadata_props} == {"labels": "[]"}


def test_operations_without_a_rule_are_named():
    def function(params, x):
        return {"y": jnp.sort(x, axis=1)}

    with pytest.raises(ValueError, match="no rule for jax's operation sort"):
        to_onnx(function, {}, {"x": symbolic()}, metadata={})
