"""The algorithms of the benchmark, as their peers in torch compute them."""

import functools
from typing import Any

import jax
import optax

import metaflax
from metaflax import base, estimators, heads, losses, models

INNER_RATE, HEAD_RATE = 0.01, 0.1

NAMES = ("fomaml", "maml", "anil", "protonet")
ESTIMATORS = {
    "reverse": estimators.reverse,
    "mixed_mode": functools.partial(estimators.mixed_mode, remat_every=1),
}


def build(
    name: str,
    encoder: models.Encoder,
    num_classes: int,
    *,
    num_steps: int = 1,
    estimator: str = "reverse",
) -> base.MetaAlgorithm:
    """Builds an algorithm with a linear head, or prototypes."""
    common = (encoder.apply, losses.softmax_cross_entropy, encoder.init)
    kwargs: dict[str, Any] = {
        "head": heads.linear(encoder.num_features, num_classes),
        "num_steps": num_steps,
    }
    exact = {**kwargs, "estimator": ESTIMATORS[estimator]}
    made = {
        "fomaml": lambda: metaflax.fomaml(*common, optax.sgd(INNER_RATE), **kwargs),
        "maml": lambda: metaflax.maml(*common, optax.sgd(INNER_RATE), **exact),
        "anil": lambda: metaflax.anil(*common, optax.sgd(HEAD_RATE), **exact),
        "protonet": lambda: metaflax.protonet(
            *common,
            head=heads.prototypes(num_classes, temperature=encoder.num_features**-0.5),
        ),
    }
    return made[name]()


def params_of(algorithm: base.MetaAlgorithm, encoder: Any, head: Any) -> Any:
    """Returns the parameters, with the given head if the algorithm learns one."""
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0))["head"]
    if "kernel" in shapes:
        return {"encoder": encoder, "head": head}
    init = jax.jit(lambda key: algorithm.init(key)["head"])
    return {"encoder": encoder, "head": init(jax.random.key(0))}
