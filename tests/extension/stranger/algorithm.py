"""An algorithm: first-order MAML whose inner steps adapt only biases."""

from metaflax import algorithms, estimators


def build(parts):
    """Composes the algorithm; the head adapts too."""
    return algorithms.compose(
        parts.encode_fn,
        parts.loss_fn,
        parts.init_fn,
        head=parts.head,
        adapts=["head", "*/bias"],
        inner_optimizer=parts.inner_optimizer,
        num_steps=parts.num_steps,
        estimator=estimators.first_order,
    )


BIAS_MAML = algorithms.AlgorithmSpec(build, default_head="stranger.head:shrunken")
