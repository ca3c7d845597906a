"""Zero-shot predictions of the model, without the support set."""

import optax

from metaflax import algorithms, base, estimators, tree


def _build(parts: algorithms.AlgorithmParts) -> base.MetaAlgorithm:
    return algorithms.compose(
        parts.encode_fn,
        parts.loss_fn,
        parts.init_fn,
        head=parts.head,
        adapts=tree.nothing,
        inner_optimizer=optax.sgd(1.0),
        num_steps=0,
        estimator=estimators.constant,
    )


ZERO_SHOT = algorithms.AlgorithmSpec(_build, has_inner_steps=False, is_baseline=True)
"""Baseline that predicts without adapting; `AlgorithmConfig.name` takes its import
path."""

NAME = f"{__name__}:ZERO_SHOT"
"""The import path."""
