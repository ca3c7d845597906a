"""The named algorithms that this experiment compares, on MiniLM.

Inner loops take three steps and change the two upper layers and the head; whatever a
paper fixes besides is as in the algorithm's docstring.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from metaflax import algorithms, base, heads, losses, models, tree

NUM_STEPS = 3
UPPER = ("encoder/layer_4", "encoder/layer_5")
ADAPTS = (*UPPER, "head")
# What the outer loop trains: the upper half of the encoder, and all other weights.
TRAINS = ("*", "!encoder/*", "encoder/layer_3", *UPPER)
ADDED = ("encoder/*/adapter", "encoder/embeddings/context")


class Parts(NamedTuple):
    """Parts of an algorithm.

    Attributes:
      encode_fn: texts to centred features of unit length `[U, D]`.
      init_fn: returns the pretrained encoder's weights.
      num_features: number of features D.
      num_classes: number of classes N of an episode.
      num_train_classes: number of classes of meta-training.
      inner_rate: learning rate of inner steps.
    """

    encode_fn: base.ApplyFn
    init_fn: base.InitFn
    num_features: int
    num_classes: int
    num_train_classes: int
    inner_rate: float


def loss_fn(outputs, targets, weights):
    return losses.softmax_cross_entropy(outputs, targets, weights)


def metric(factory: Callable[..., base.MetaAlgorithm], head: Callable[[Parts], Any]):
    """Builds an algorithm without inner steps."""
    return lambda p: factory(p.encode_fn, loss_fn, p.init_fn, head=head(p))


def gradient(factory: Callable[..., base.MetaAlgorithm], **kwargs: Any):
    """Builds an algorithm with inner steps by SGD, on features of unit variance."""
    kwargs = {"adapts": ADAPTS, "num_steps": NUM_STEPS, **kwargs}

    def make(p: Parts) -> base.MetaAlgorithm:
        arguments = {k: v(p) if k == "head" else v for k, v in kwargs.items()}
        arguments.setdefault("head", linear(p))
        sgd = optax.sgd(p.inner_rate)
        return factory(of_unit_variance(p), loss_fn, p.init_fn, sgd, **arguments)

    return make


def meta_sgd(p: Parts) -> base.MetaAlgorithm:
    """Meta-SGD: a learned rate for each parameter; all start at the same value."""
    return algorithms.meta_sgd(
        of_unit_variance(p),
        loss_fn,
        p.init_fn,
        learning_rate=p.inner_rate,
        head=linear(p),
        adapts=ADAPTS,
        num_steps=NUM_STEPS,
    )


def linear(p: Parts) -> base.Head:
    return heads.linear(p.num_features, p.num_classes)


def zeros(p: Parts) -> base.Head:
    return heads.zeros(p.num_features, p.num_classes)


def of_unit_variance(p: Parts) -> base.ApplyFn:
    scale = p.num_features**0.5

    def run(params, inputs, states, key, first, last):
        del states, first, last
        return scale * p.encode_fn(params, inputs, key)

    return base.StagedApply((tree.everything,), run, examples_independent=True)


def with_init(make, change: Callable[[Any, Any], Any]):
    """Builds an algorithm on an encoder to which `change` adds parameters."""

    def init_of(init_fn: base.InitFn) -> base.InitFn:
        return lambda key: change(init_fn(key), key)

    return lambda p: make(p._replace(init_fn=init_of(p.init_fn)))


def anil(p: Parts) -> base.MetaAlgorithm:
    return algorithms.anil(
        of_unit_variance(p),
        loss_fn,
        p.init_fn,
        optax.sgd(p.inner_rate),
        head=linear(p),
        num_steps=NUM_STEPS,
    )


def proto_maml(p: Parts) -> base.MetaAlgorithm:
    """Proto-MAML on features of unit length, so that it starts as `protonet` does."""
    return algorithms.proto_maml(
        p.encode_fn,
        loss_fn,
        p.init_fn,
        optax.sgd(p.inner_rate),
        head=heads.prototypes(p.num_classes, temperature=10.0),
        adapts=ADAPTS,
        num_steps=NUM_STEPS,
    )


def maml_plus_plus(p: Parts) -> base.MetaAlgorithm:
    """MAML++: multi-step loss until outer step 10, first-order gradients until 5."""
    return algorithms.maml_plus_plus(
        of_unit_variance(p),
        loss_fn,
        p.init_fn,
        head=linear(p),
        learning_rate=p.inner_rate,
        adapts=ADAPTS,
        num_steps=NUM_STEPS,
        multi_step_until=10,
        first_order_until=5,
    )


def multi_task(p: Parts) -> base.MetaAlgorithm:
    return algorithms.multi_task(
        of_unit_variance(p),
        loss_fn,
        p.init_fn,
        optax.sgd(p.inner_rate),
        head=zeros(p),
        num_features=p.num_features,
        num_train_classes=p.num_train_classes,
        adapts=ADAPTS,
        num_steps=10,
    )


def leopard(p: Parts) -> base.MetaAlgorithm:
    """LEOPARD on features of unit length: its new networks diverge on longer ones."""
    return algorithms.leopard(
        p.encode_fn,
        loss_fn,
        p.init_fn,
        learning_rate=p.inner_rate,
        head=heads.leopard(p.num_features, p.num_classes),
        adapts=ADAPTS,
        num_steps=NUM_STEPS,
    )


def prototypes(p: Parts) -> base.Head:
    return heads.prototypes(p.num_classes, temperature=10.0)


def logistic_regression(p: Parts) -> base.Head:
    return heads.logistic_regression(p.num_classes, strength=0.1)


def cavia(p: Parts) -> base.MetaAlgorithm:
    return algorithms.cavia(
        of_unit_variance(p),
        loss_fn,
        p.init_fn,
        optax.sgd(10 * p.inner_rate),
        head=linear(p),
        context="encoder/embeddings/context/vector",
        num_steps=NUM_STEPS,
    )


def warpgrad(p: Parts) -> base.MetaAlgorithm:
    return gradient(algorithms.warpgrad, warps="*/adapter")(p)


# Algorithms from parts, by name. All others are compared with the first.
POINTS: dict[str, Callable[[Parts], base.MetaAlgorithm]] = {
    "frozen": metric(algorithms.frozen, prototypes),
    "frozen, logistic regression": metric(algorithms.frozen, logistic_regression),
    "fine_tuning": gradient(algorithms.fine_tuning, head=zeros, num_steps=10),
    "contrastive_fine_tuning": gradient(
        algorithms.contrastive_fine_tuning, head=logistic_regression, adapts=UPPER
    ),
    "multi_task": multi_task,
    "protonet": metric(algorithms.protonet, prototypes),
    "matching": metric(algorithms.matching, lambda p: heads.matching(p.num_classes)),
    "relation": metric(
        algorithms.relation,
        lambda p: heads.relation(p.num_features, p.num_classes, num_hidden=128),
    ),
    "ridge": metric(algorithms.ridge, lambda p: heads.ridge(p.num_classes, scale=10.0)),
    "anil": anil,
    "boil": gradient(algorithms.boil, adapts=UPPER),
    "maml": gradient(algorithms.maml),
    "fomaml": gradient(algorithms.fomaml),
    "maml, zero head": gradient(algorithms.maml, head=zeros),
    "fomaml, zero head": gradient(algorithms.fomaml, head=zeros),
    "reptile": gradient(algorithms.reptile),
    "meta_sgd": meta_sgd,
    "maml_plus_plus": maml_plus_plus,
    "meta_curvature": lambda p: algorithms.meta_curvature(
        of_unit_variance(p),
        loss_fn,
        p.init_fn,
        learning_rate=p.inner_rate,
        rank=8,
        head=linear(p),
        adapts=ADAPTS,
        num_steps=NUM_STEPS,
    ),
    "warpgrad": with_init(warpgrad, models.with_adapters),
    "cavia": with_init(cavia, models.with_context),
    "imaml": gradient(algorithms.imaml, proximal=5.0, num_steps=16),
    "proto_maml": proto_maml,
    "leopard": leopard,
}

UNTRAINED = (
    "frozen",
    "frozen, logistic regression",
    "fine_tuning",
    "contrastive_fine_tuning",
)
