"""Meta-gradients of encoders against autograd of torch's, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import algorithms, base, estimators, heads, losses, models, tree
from metaflax.models.pretrained._places import Columns
from tests.models.families import networks

torch = pytest.importorskip("torch")

NUM_STEPS, RATE, WAY = 2, 0.1, 3
TARGETS = np.arange(4) % WAY
WIDTH = networks.SIZES["hidden_size"]
KERNEL = 0.3 * np.random.default_rng(7).normal(size=(WIDTH, WAY))
MAML = functools.partial(algorithms.maml, estimator=estimators.mixed_mode)
# XLM-RoBERTa and CamemBERT are RoBERTas; the slow ones differ from others least.
SLOW = ("roberta", "distilbert", "electra", "albert")
FAMILIES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in networks.FIRST
    if name not in ("xlm-roberta", "camembert")
]


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    """Keeps torch from rounding scales, rotations and softmax to float32."""
    models_ = pytest.importorskip("transformers").models
    deberta = models_.deberta_v2.modeling_deberta_v2
    modernbert = models_.modernbert.modeling_modernbert
    softmax = torch.nn.functional.softmax

    def angles(self, x, position_ids, layer_type):
        d = x.shape[-1] // self.config.num_attention_heads
        base = self.config.rope_parameters[layer_type]["rope_theta"]
        inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=x.dtype) / d)
        turned = torch.cat([position_ids[..., None] * inverse] * 2, dim=-1)
        return turned.cos(), turned.sin()

    def rotated(q, k, cos, sin, unsqueeze_dim=1):
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        return tuple(x * cos + modernbert.rotate_half(x) * sin for x in (q, k))

    monkeypatch.setattr(
        deberta,
        "scaled_size_sqrt",
        lambda query, factor: torch.tensor(
            float(query.shape[-1] * factor), dtype=query.dtype
        ).sqrt(),
    )
    monkeypatch.setattr(modernbert.ModernBertRotaryEmbedding, "forward", angles)
    monkeypatch.setattr(modernbert, "apply_rotary_pos_emb", rotated)
    monkeypatch.setattr(
        torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim=dim)
    )


def texts(config, seed):
    return networks.random_tokens(config, (7, 3, 5, 6), seed=seed)


def torch_meta_gradient(model, config, *, second_order):
    """MAML by hand: gradients of the support loss, a step, the query loss."""
    params = dict(model.named_parameters())
    # Of poolers that nobody reads.
    params = {name: p for name, p in params.items() if not name.startswith("pooler")}
    params["kernel"] = torch.tensor(KERNEL, requires_grad=True)

    def loss(params, tokens):
        of_model = {name: p for name, p in params.items() if name != "kernel"}
        states = torch.func.functional_call(
            model, of_model, (), networks.inputs(tokens)
        )
        logits = states.last_hidden_state[:, 0] @ params["kernel"]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(TARGETS))

    fast = params
    for _ in range(NUM_STEPS):
        grads = torch.autograd.grad(
            loss(fast, texts(config, 0)),
            list(fast.values()),
            create_graph=second_order,
        )
        fast = {n: p - RATE * g for (n, p), g in zip(fast.items(), grads, strict=True)}
    value = loss(fast, texts(config, 1))
    grads = torch.autograd.grad(value, list(params.values()))
    return value.item(), dict(zip(params, (g.numpy() for g in grads), strict=True))


def our_meta_gradient(pretrained, factory):
    config = pretrained.config
    encoder = models.encoder(config, pooling="first", dtype=jnp.float64)
    params = {k: v for k, v in pretrained.params.items() if k != "pooler"}
    algorithm = factory(
        encoder.apply,
        losses.softmax_cross_entropy,
        lambda key: params,
        optax.sgd(RATE),
        head=heads.linear(WIDTH, WAY),
        adapts=["*", "!head/bias"],
        num_steps=NUM_STEPS,
    )
    params = {"encoder": params, "head": {"kernel": KERNEL, "bias": np.zeros(WAY)}}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
    batches = [base.Batch(texts(config, i), TARGETS, np.ones(4)) for i in (0, 1)]
    fn = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
    (value, _), grads = fn(params, base.Task(*batches))
    return float(value), jax.device_get(grads)


def as_torchs(family, config, grads):
    """Gradients by torch's names, in its layouts."""
    paths = tree.paths(grads["encoder"])
    leaves = dict(zip(paths, jax.tree.leaves(grads["encoder"]), strict=True))
    named = {"kernel": grads["head"]["kernel"]}
    for name, target in family.write.args[0].places(config).items():
        if isinstance(target, Columns):
            leaf = np.concatenate([leaves[path] for path in target.paths], axis=-1)
        else:
            leaf = leaves[target.path]
        named[name] = leaf.T if target.transposed else leaf
    return named


@pytest.mark.parametrize(
    ("factory", "second_order"),
    [
        (MAML, True),
        pytest.param(algorithms.fomaml, False, marks=pytest.mark.slow),
    ],
    ids=["maml in mixed mode", "fomaml"],
)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_meta_gradient_is_that_of_torch(name, factory, second_order, tmp_path):
    config = networks.make_config(name, networks.FIRST[name])
    model = networks.torch_model(config)
    model.save_pretrained(tmp_path)
    value, expected = torch_meta_gradient(
        model.double(), config, second_order=second_order
    )
    with jax.enable_x64(True):
        pretrained = models.load(tmp_path)
        found_value, found = our_meta_gradient(pretrained, factory)
    np.testing.assert_allclose(found_value, value, rtol=1e-9)
    found = as_torchs(pretrained.family, config, found)
    assert found.keys() == expected.keys()
    largest = max(np.max(np.abs(grad)) for grad in expected.values())
    for name, grad in expected.items():
        np.testing.assert_allclose(
            found[name], grad, rtol=0, atol=1e-9 * largest, err_msg=name
        )


@pytest.mark.slow
def test_the_exact_meta_gradient_in_reverse_mode_is_that_of_torch(tmp_path):
    test_the_meta_gradient_is_that_of_torch("bert", algorithms.maml, True, tmp_path)
