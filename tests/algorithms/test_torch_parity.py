"""Meta-gradients of every family against autograd of Hugging Face's networks."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import algorithms, base, estimators, heads, losses, models
from metaflax.models.families._registry import FAMILIES
from tests.models.families import encoder_decoders, networks
from tests.models.families.decoders import LLAMAS
from tests.models.speakers import GPT, SEQ2SEQ, T5, pairs

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NUM_STEPS, NUM_TASKS, RATE, WAY = 2, 2, 0.1, 3
WIDTH = networks.SIZES["hidden_size"]
KERNEL = 0.3 * np.random.default_rng(7).normal(size=(WIDTH, WAY))
IGNORED = -1  # Target of an ignored token.
MIXED = functools.partial(algorithms.maml, estimator=estimators.mixed_mode)
cross_entropy = torch.nn.functional.cross_entropy


@dataclasses.dataclass(frozen=True)
class Kind:
    """Kind of network with its inputs and losses, here and in torch.

    Attributes:
      torch_model: `model = torch_model(config)`, Hugging Face's, with random weights.
      adapted: `apply, head, loss_fn, params = adapted(family, config)` in metaflax;
        `params` are those of the head.
      texts: `texts(config, seed=seed)`, inputs of a batch of four.
      inputs: `inputs(texts)`, the same texts as arguments of torch's network.
      targets: `targets(texts)`, targets of the texts.
      loss: `loss(call, kernel, targets)` in torch, where `call()` returns the outputs
        of the network.
    """

    torch_model: Callable[..., Any]
    adapted: Callable[[Any, Any], tuple[Any, Any, Any, Any]]
    texts: Callable[..., Any]
    inputs: Callable[[Any], Any]
    targets: Callable[[Any], np.ndarray]
    loss: Callable[[Any, Any, Any], Any]


def _classifier(family, config):
    encoder = family.encoder(
        config, pooling="first", standardize=False, dtype=jnp.float64
    )
    head = {"kernel": KERNEL, "bias": np.zeros(WAY)}
    linear = heads.linear(WIDTH, WAY)
    return encoder.apply, linear, losses.softmax_cross_entropy, head


def _language_model(family, config):
    apply = family.language_model(config, dtype=jnp.float64).apply
    return apply, heads.identity(), losses.language_cross_entropy, {}


def _next_tokens(tokens):
    ids, mask = np.asarray(tokens.ids), np.asarray(tokens.mask)
    after = np.where(mask[:, 1:], ids[:, 1:], IGNORED)
    return np.pad(after, ((0, 0), (0, 1)), constant_values=IGNORED)


# Padding is shorter than a window; otherwise torch has rows without any key to attend.
_texts = functools.partial(networks.random_tokens, lengths=(7, 5, 6, 5))


def _next_token_loss(call, kernel, targets):
    logits, targets = call().logits.flatten(0, 1), targets.flatten().long()
    return cross_entropy(logits, targets, ignore_index=IGNORED)


ENCODER = Kind(
    networks.torch_model,
    _classifier,
    _texts,
    networks.inputs,
    lambda tokens: np.arange(len(tokens.ids)) % WAY,
    lambda call, kernel, targets: cross_entropy(
        call().last_hidden_state[:, 0] @ kernel, targets
    ),
)
DECODER = Kind(
    functools.partial(networks.torch_model, kind="AutoModelForCausalLM"),
    _language_model,
    _texts,
    networks.inputs,
    _next_tokens,
    _next_token_loss,
)
ENCODER_DECODER = Kind(
    encoder_decoders.torch_model,
    _language_model,
    pairs,
    encoder_decoders.inputs,
    lambda pair: _next_tokens(pair.target),
    _next_token_loss,
)
# Two layers if they share parameters or differ in attention.
TWO_LAYERS = {"albert", "modernbert"}
TABLE = {
    name: (
        ENCODER,
        networks.make_config(
            name, fields, num_hidden_layers=2 if name in TWO_LAYERS else 1
        ),
    )
    for name, fields in networks.FIRST.items()
} | {
    name: (DECODER, config)
    for name, config in {
        "gpt2": dataclasses.replace(GPT, n_layer=1),
        **{
            name: dataclasses.replace(c, num_hidden_layers=1)
            for name, c in LLAMAS.items()
            if name in FAMILIES
        },
    }.items()
    if name in FAMILIES
}
TABLE |= {
    "encoder-decoder": (
        ENCODER_DECODER,
        dataclasses.replace(
            SEQ2SEQ,
            encoder=dataclasses.replace(SEQ2SEQ.encoder, num_hidden_layers=1),
            decoder=dataclasses.replace(SEQ2SEQ.decoder, num_hidden_layers=1),
        ),
    ),
    "t5": (
        ENCODER_DECODER,
        dataclasses.replace(T5, num_layers=1, tie_word_embeddings=True),
    ),
}
FACTORIES = {
    "maml in mixed mode": (MIXED, True),
    "fomaml": (algorithms.fomaml, False),
    "maml in reverse mode": (algorithms.maml, True),
}
QUICK = [("mpnet", "maml in mixed mode"), ("llama", "maml in mixed mode")]
CASES = [(name, how) for name in TABLE for how in FACTORIES if "reverse" not in how]
CASES += [("bert", "maml in reverse mode"), ("llama", "maml in reverse mode")]


def _angles(module, x, position_ids, layer_type=None):
    """Rotary positions in float64."""
    config = module.config
    rope = config.rope_parameters
    theta = (rope[layer_type] if layer_type else rope)["rope_theta"]
    d = getattr(config, "head_dim", None)
    d = d or config.hidden_size // config.num_attention_heads
    frequencies = theta ** -(torch.arange(0, d, 2, dtype=x.dtype) / d)
    turned = torch.cat([position_ids[..., None] * frequencies] * 2, dim=-1)
    return turned.cos(), turned.sin()


def _rms_norm(module, x):
    """A norm in float64."""
    mean = x.pow(2).mean(-1, keepdim=True)
    return module.weight * x * torch.rsqrt(mean + module.variance_epsilon)


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    """Keeps torch from rounding softmax, scales and rotations to float32."""
    deberta = transformers.models.deberta_v2.modeling_deberta_v2
    modernbert = transformers.models.modernbert.modeling_modernbert
    softmax = torch.nn.functional.softmax

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
    monkeypatch.setattr(modernbert, "apply_rotary_pos_emb", rotated)
    monkeypatch.setattr(
        torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim=dim)
    )


# Modules that torch computes in float32 whatever the weights, by suffix of the class.
IN_FLOAT32 = {
    "RotaryEmbedding": _angles,
    "RMSNorm": _rms_norm,
    "T5LayerNorm": _rms_norm,
}


def _in_float64(model):
    for module in model.modules():
        for name, forward in IN_FLOAT32.items():
            if type(module).__name__.endswith(name):
                module.forward = functools.partial(forward, module)
    return model.double()


def batch(kind, config, seed):
    texts = kind.texts(config, seed=seed)
    return base.Batch(texts, kind.targets(texts), np.ones(4))


def is_read(name):
    """Returns whether a parameter is not of a pooler, whose output is not used."""
    return "pooler" not in name.split(".")


def torch_meta_gradient(kind, model, config, *, second_order):
    """MAML by hand: gradients of the support loss, a step, the query loss."""
    params = {name: p for name, p in model.named_parameters() if is_read(name)}
    if kind is ENCODER:
        params["kernel"] = torch.tensor(KERNEL, requires_grad=True)

    def loss(params, seed):
        texts, targets, _ = batch(kind, config, seed)
        of_model = {name: p for name, p in params.items() if name != "kernel"}
        call = functools.partial(
            torch.func.functional_call, model, of_model, (), kind.inputs(texts)
        )
        return kind.loss(call, params.get("kernel"), torch.tensor(targets))

    total = 0
    for task in range(NUM_TASKS):
        fast = params
        for _ in range(NUM_STEPS):
            support_loss = loss(fast, 2 * task)
            grads = torch.autograd.grad(
                support_loss, list(fast.values()), create_graph=second_order
            )
            steps = zip(fast.items(), grads, strict=True)
            fast = {name: p - RATE * g for (name, p), g in steps}
        total = total + loss(fast, 2 * task + 1) / NUM_TASKS
    grads = torch.autograd.grad(total, list(params.values()))
    return total.item(), dict(zip(params, (g.numpy() for g in grads), strict=True))


def our_meta_gradient(kind, pretrained, factory):
    """The mean loss of all tasks, and its gradients by torch's names."""
    config, family = pretrained.config, pretrained.family
    apply, head, loss_fn, head_params = kind.adapted(family, config)
    encoder = {k: v for k, v in pretrained.params.items() if k != "pooler"}
    algorithm = factory(
        apply,
        loss_fn,
        lambda key: encoder,
        optax.sgd(RATE),
        head=head,
        adapts=["*", "!head/bias"] if head_params else "*",
        num_steps=NUM_STEPS,
    )
    params = {"encoder": encoder, "head": head_params}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
    tasks = [
        base.Task(*(batch(kind, config, 2 * number + i) for i in (0, 1)))
        for number in range(NUM_TASKS)
    ]
    tasks = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks)
    fn = jax.jit(metaflax.value_and_grad(algorithm, task_loop="scan"))
    (value, _), grads = fn(params, tasks, None)
    grads = jax.device_get(grads)
    named = _as_files(family, config, grads["encoder"])
    if kind is ENCODER:
        named["kernel"] = grads["head"]["kernel"]
    return float(value), named


def _as_files(family, config, grads):
    """Gradients by names of weight files, as two float32 parts for precision."""
    high = jax.tree.map(np.float32, grads)
    low = jax.tree.map(lambda x, y: np.float32(x - y), grads, high)
    high, low = (
        family.write(config, part, None, "tokens", False).tensors
        for part in (high, low)
    )
    return {name: np.float64(high[name]) + low[name] for name in high if is_read(name)}


@pytest.mark.parametrize(
    ("name", "how"),
    [
        pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow])
        for case in CASES
    ],
)
@pytest.mark.thorough
def test_meta_gradients_are_those_of_torch(name, how, tmp_path):
    (kind, config), (factory, second_order) = TABLE[name], FACTORIES[how]
    model = kind.torch_model(config)
    model.save_pretrained(tmp_path)
    value, expected = torch_meta_gradient(
        kind, _in_float64(model), config, second_order=second_order
    )
    with jax.enable_x64(True):
        pretrained = models.load(tmp_path)
        assert pretrained.config.to_dict() == config.to_dict()
        our_value, grads = our_meta_gradient(kind, pretrained, factory)
    np.testing.assert_allclose(our_value, value, rtol=1e-9)
    assert grads.keys() == expected.keys()
    largest = max(np.max(np.abs(grad)) for grad in expected.values())
    for key, grad in expected.items():
        np.testing.assert_allclose(
            grads[key], grad, rtol=0, atol=1e-9 * largest, err_msg=key
        )


def test_every_family_has_its_case():
    assert set(TABLE) == set(FAMILIES)
