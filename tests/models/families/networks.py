"""Tiny networks of every family of encoders, and networks in torch of any family."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.families._registry import FAMILIES

SIZES = {
    "vocab_size": 31,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 24,
    "pad_token_id": 1,
}
DISTANCES = {
    "relative_attention": True,
    "pos_att_type": ("p2c", "c2p"),
    "norm_rel_ebd": "layer_norm",
    "position_buckets": 4,
    "max_relative_positions": 12,
}
# Fields of configurations other than sizes, by family; the simplest comes first.
CASES = {
    "bert": [{}],
    "roberta": [
        {"type_vocab_size": 1},
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "pad_token_id": 3},
    ],
    "xlm-roberta": [{"num_attention_heads": 4}],
    "camembert": [{"hidden_act": "relu"}],
    "distilbert": [{}, {"hidden_act": "relu", "num_attention_heads": 1}],
    "mpnet": [
        {},
        {"num_attention_heads": 4, "max_position_embeddings": 160},
    ],
    "electra": [{"embedding_size": 8}, {"embedding_size": 16, "hidden_act": "relu"}],
    "albert": [
        {"embedding_size": 8},
        {
            "embedding_size": 16,
            "num_hidden_layers": 3,
            "num_hidden_groups": 2,
            "inner_group_num": 2,
        },
    ],
    "modernbert": [
        {"local_attention": 4},
        {
            "num_hidden_layers": 3,
            "layer_types": ("sliding_attention", "full_attention", "sliding_attention"),
            "local_attention": 6,
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "hidden_act": "silu",
        },
    ],
    "deberta-v2": [
        {
            **DISTANCES,
            "embedding_size": 16,
            "position_biased_input": False,
            "share_att_key": True,
        },
        {
            **DISTANCES,
            "pos_att_type": ("c2p",),
            "position_buckets": -1,
            "embedding_size": 8,
            "type_vocab_size": 2,
            "conv_kernel_size": 3,
            "conv_groups": 2,
        },
        {**DISTANCES, "pos_att_type": ("p2c",), "embedding_size": 16},
        {"embedding_size": 16, "conv_kernel_size": 5, "conv_act": "gelu"},
    ],
}
FIRST = {name: cases[0] for name, cases in CASES.items()}
ALL = [(name, case) for name, cases in CASES.items() for case in cases]
IDS = [f"{name}-{i}" for name, cases in CASES.items() for i in range(len(cases))]


def make_config(name, fields, **more):
    return FAMILIES[name].config_class(**{**SIZES, **fields, **more})


def torch_model(config, kind="AutoModel", seed=0, **kwargs):
    """A network of transformers with random parameters."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoConfig.for_model(**config.to_dict(), **kwargs)
    theirs._attn_implementation = "eager"
    return randomized(getattr(transformers, kind).from_config(theirs), seed)


def randomized(model, seed=0):
    """Sets all parameters of torch's network to random numbers, norms around one."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.3 * noise + (parameter == 1))
    return model.eval()


def random_tokens(config, lengths=(7, 3, 5), *, length=7, left=(), seed=0):
    """Texts of these lengths; those with indices in `left` are padded on the left."""
    rng = np.random.default_rng(seed)
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int32)
    for number in left:
        mask[number] = mask[number, ::-1]
    pad = getattr(config, "pad_token_id", None) or 0
    ids = rng.integers(pad + 1, config.vocab_size, mask.shape, np.int32)
    ids = np.where(mask, ids, pad)
    return models.Tokens(jnp.asarray(ids), None, jnp.asarray(mask))


def random_params(config, *, seed=0):
    """Random values for all parameters."""
    shapes = jax.eval_shape(models.encoder(config).init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(
            0.3 * rng.normal(size=leaf.shape) + (path[-1].key == "scale"), jnp.float32
        ),
        shapes,
    )


@functools.partial(
    jax.jit, static_argnums=0, static_argnames=("pooling", "standardize")
)
def features(config, params, tokens, **kwargs):
    return models.encoder(config, **kwargs).apply(params, tokens, None)


def inputs(tokens):
    """The same texts as arguments of torch's networks."""
    torch = pytest.importorskip("torch")
    return {
        "input_ids": torch.tensor(np.array(tokens.ids)),
        "attention_mask": torch.tensor(np.array(tokens.mask)),
    }


def assert_close(ours, theirs, tolerance=1e-4):
    scale = np.max(np.abs(theirs))
    np.testing.assert_allclose(
        np.asarray(ours) / scale, np.asarray(theirs) / scale, rtol=0, atol=tolerance
    )
