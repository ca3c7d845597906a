"""Meta-gradients of a BERT against autograd of Hugging Face's, in torch, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import algorithms, base, estimators, heads, losses, models, tree
from tests.models.examples import CONFIG, random_tokens
from tests.models.pretrained.test_parity import torch_model

torch = pytest.importorskip("torch")

NUM_STEPS, RATE, WAY = 2, 0.1, 3
TARGETS = np.arange(4) % WAY
KERNEL = 0.3 * np.random.default_rng(7).normal(size=(CONFIG.hidden_size, WAY))


def texts(seed):
    return random_tokens(CONFIG, (7, 3, 5, 6), types=False, seed=seed)


def torch_meta_gradient(model, *, second_order):
    """MAML by hand: gradients of the support loss, a step, the query loss."""
    model = model.double()
    params = {f"bert.{n}": p for n, p in model.named_parameters()}
    params["kernel"] = torch.tensor(KERNEL, requires_grad=True)

    def loss(params, tokens):
        of_model = {n[5:]: p for n, p in params.items() if n.startswith("bert.")}
        inputs = {
            "input_ids": torch.tensor(np.array(tokens.ids)),
            "attention_mask": torch.tensor(np.array(tokens.mask)),
        }
        states = torch.func.functional_call(model, of_model, (), inputs)
        logits = states.last_hidden_state[:, 0] @ params["kernel"]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(TARGETS))

    fast = params
    for _ in range(NUM_STEPS):
        grads = torch.autograd.grad(
            loss(fast, texts(0)), list(fast.values()), create_graph=second_order
        )
        fast = {n: p - RATE * g for (n, p), g in zip(fast.items(), grads, strict=True)}
    value = loss(fast, texts(1))
    grads = torch.autograd.grad(value, list(params.values()))
    return value.item(), dict(zip(params, (g.numpy() for g in grads), strict=True))


def our_meta_gradient(directory, factory, **kwargs):
    with jax.enable_x64(True):
        pretrained = models.load(directory)
        encoder = models.encoder(pretrained.config, pooling="first", dtype=jnp.float64)
        algorithm = factory(
            encoder.apply,
            losses.softmax_cross_entropy,
            lambda key: pretrained.params,
            optax.sgd(RATE),
            head=heads.linear(CONFIG.hidden_size, WAY),
            adapts=["*", "!head/bias"],
            num_steps=NUM_STEPS,
            **kwargs,
        )
        params = {
            "encoder": pretrained.params,
            "head": {"kernel": KERNEL, "bias": np.zeros(WAY)},
        }
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
        batches = [base.Batch(texts(i), TARGETS, np.ones(4)) for i in (0, 1)]
        fn = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
        (value, _), grads = fn(params, base.Task(*batches))
        return float(value), jax.device_get(grads)


@pytest.mark.parametrize(
    ("factory", "kwargs", "second_order"),
    [
        pytest.param(algorithms.maml, {}, True, marks=pytest.mark.slow),
        (algorithms.maml, {"estimator": estimators.mixed_mode}, True),
        pytest.param(algorithms.fomaml, {}, False, marks=pytest.mark.slow),
    ],
    ids=["maml", "maml in mixed mode", "fomaml"],
)
def test_the_meta_gradient_is_that_of_torch(factory, kwargs, second_order, tmp_path):
    model = torch_model(CONFIG, pooler=False)
    model.save_pretrained(tmp_path)
    value, expected = torch_meta_gradient(model, second_order=second_order)
    found_value, found = our_meta_gradient(tmp_path, factory, **kwargs)
    np.testing.assert_allclose(found_value, value, rtol=1e-9)
    np.testing.assert_allclose(found["head"]["kernel"], expected["kernel"], rtol=1e-7)
    pairs = {
        "embeddings/word": "embeddings.word_embeddings.weight",
        "layer_0/attention/query/kernel": "encoder.layer.0.attention.self.query.weight",
        "layer_1/mlp/down/kernel": "encoder.layer.1.output.dense.weight",
        "layer_1/mlp/norm/scale": "encoder.layer.1.output.LayerNorm.weight",
    }
    leaves = dict(
        zip(
            tree.paths(found["encoder"]),
            jax.tree.leaves(found["encoder"]),
            strict=True,
        )
    )
    for ours, theirs in pairs.items():
        want = expected[f"bert.{theirs}"]
        want = want.T if ours.endswith("kernel") else want
        scale = np.abs(want).max()
        np.testing.assert_allclose(leaves[ours], want, atol=1e-8 * scale, err_msg=ours)
    learned = {"encoder": found["encoder"], "kernel": found["head"]["kernel"]}
    np.testing.assert_allclose(norm(learned), norm(expected), rtol=1e-9)


def norm(values):
    return np.sqrt(sum(np.sum(np.square(x)) for x in jax.tree.leaves(values)))
