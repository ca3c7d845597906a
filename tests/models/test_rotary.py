"""Tests for rotary positions: parity with Hugging Face, relative distances."""

import jax.numpy as jnp
import numpy as np
import pytest

from metaflax.models.layers import _rotary
from metaflax.models.layers._rotary import RotaryConfig

LONG = "original_max_position_embeddings"
SCALINGS = {
    "default": {},
    "linear": {"factor": 4.0},
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        LONG: 64,
    },
    "yarn": {"factor": 4.0, LONG: 64},
    "yarn by parts": {
        "rope_type": "yarn",
        "factor": 3.0,
        LONG: 100,
        "beta_fast": 8.0,
        "beta_slow": 2.0,
        "mscale": 0.7,
        "mscale_all_dim": 0.4,
        "truncate": False,
    },
    "yarn with a factor": {
        "rope_type": "yarn",
        "factor": 3.0,
        LONG: 100,
        "attention_factor": 0.8,
    },
}


def scaling(name):
    return {"rope_type": name, **SCALINGS[name]}


@pytest.mark.parametrize("name", SCALINGS)
@pytest.mark.parametrize("num_features", [6, 64])
def test_frequencies_are_hugging_faces(name, num_features):
    transformers = pytest.importorskip("transformers")
    rope = pytest.importorskip("transformers.modeling_rope_utils")
    pytest.importorskip("torch")
    fields = {"rope_theta": 500.0, **scaling(name)}
    theirs = transformers.LlamaConfig(
        hidden_size=2 * num_features,
        num_attention_heads=2,
        max_position_embeddings=400,
        rope_parameters=fields,
    )
    ours = RotaryConfig.from_dict({"rope_parameters": fields}, max_positions=400)
    found, factor = ours.frequencies(num_features)
    if fields["rope_type"] == "default":
        expected = 500.0 ** -(np.arange(0, num_features, 2) / num_features)
        expected_factor = 1.0
    else:
        compute = rope.ROPE_INIT_FUNCTIONS[fields["rope_type"]]
        expected, expected_factor = compute(theirs)
    np.testing.assert_allclose(found, np.asarray(expected), rtol=2e-6)
    assert factor == pytest.approx(expected_factor, rel=1e-6)


@pytest.mark.parametrize("name", SCALINGS)
def test_configurations_come_back_and_former_names_are_read(name):
    fields = {"rope_theta": 500.0, **scaling(name)}
    ours = RotaryConfig.from_dict({"rope_parameters": fields}, max_positions=400)
    assert RotaryConfig.from_dict(ours.to_dict(), max_positions=400) == ours
    fields["type"] = fields.pop("rope_type")
    former = {"rope_theta": fields.pop("rope_theta"), "rope_scaling": fields}
    assert RotaryConfig.from_dict(former, max_positions=400) == ours


def test_scores_depend_on_the_distance_of_positions_alone():
    rng = np.random.default_rng(0)
    query, key = (
        jnp.asarray(np.tile(rng.normal(size=(2, 1, 8)), (1, 3, 1)), jnp.float32)
        for _ in range(2)
    )

    def score(at, other):
        places = (jnp.asarray([p]) for p in (at, other))
        turned = [
            _rotary.rotate(x, RotaryConfig().angles(p, 8, jnp.float32))
            for x, p in zip((query, key), places, strict=True)
        ]
        return np.sum(np.asarray(turned[0] * turned[1]), axis=-1)

    near, far = score([0, 3, 5], [2, 2, 9]), score([40, 43, 45], [42, 42, 49])
    np.testing.assert_allclose(near, far, atol=1e-4)
    assert not np.allclose(near[:, 0], near[:, 1], atol=1e-2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"rope_type": "dynamic", "factor": 2.0},
            "rope_type='dynamic'; it has default",
        ),
        ({"type": "longrope"}, "rope_type='longrope'"),
        ({"rope_type": ["linear"]}, "no rotary scaling"),
        ({"rope_type": "linear"}, "factor of 'linear' positions must be a positive"),
        ({"rope_type": "linear", "factor": -1.0}, "positive number, got -1.0"),
        ({"rope_type": "linear", "factor": 2.0, "beta": 1}, "no field 'beta'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
        ({"rope_theta": 0}, "rope_theta must be a positive number"),
        (
            {**scaling("llama3"), "high_freq_factor": 0.5},
            "high_freq_factor must be above low_freq_factor",
        ),
        ("linear", "rope_parameters must be an object"),
    ],
)
def test_what_is_not_built_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        RotaryConfig.from_dict({"rope_parameters": fields}, max_positions=400)
