"""Metric learning: learned features with an output layer in closed form."""

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._compose import compose
from metaflax.algorithms._spec import AlgorithmSpec, in_closed_form


def protonet(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns features that are classified by class means (prototypical networks).

    Nothing adapts but the head, in closed form: a query belongs to class n with
    probability softmax over :math:`-\tau |f(x) - c_n|^2`, :math:`c_n` the mean of
    the support features of n. The meta-gradient is a plain gradient through both.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      head: `heads.prototypes`, or any other that is fitted in closed form.
      estimator: estimator of the meta-gradient; there are no inner steps to
        pass through, so only a baseline has another.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Examples:
      >>> from metaflax import base
      >>> from metaflax.algorithms import protonet
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import heads, losses
      >>> algorithm = protonet(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     head=heads.prototypes(2),
      ... )
      >>> x = jnp.array([[0.0], [1.0]])
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = base.Batch(x, jnp.array([0, 1]), jnp.ones(2))
      >>> adapted, _ = algorithm.adapt(params, support)
      >>> outputs = algorithm.predict(params, adapted, jnp.array([[0.2], [0.9]]))
      >>> print(outputs.logits.argmax(-1))
      [0 1]

    References:
      Snell et al., `Prototypical Networks for Few-shot Learning
      <https://arxiv.org/abs/1703.05175>`_, 2017.
    """
    return _closed_form(encode_fn, loss_fn, init_fn, head, estimator)


def matching(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns features that are classified by attention over the support set.

    A query belongs to class n with probability :math:`\sum_{i: y_i = n} a(f, f_i)`,
    where the attention :math:`a` is a softmax over the cosines to all support
    examples. The paper's full-context embeddings are left out.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      head: `heads.matching`.
      estimator: see `protonet`.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.matching(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     head=heads.matching(2),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> support = metaflax.Batch(x, jnp.arange(2), jnp.ones(2))
      >>> adapted, _ = jax.jit(algorithm.adapt)(params, support)
      >>> outputs = jax.jit(algorithm.predict)(params, adapted, 5 * x[::-1])
      >>> print(outputs.logits.argmax(-1))
      [1 0]

    References:
      Vinyals et al., `Matching Networks for One Shot Learning
      <https://arxiv.org/abs/1606.04080>`_, 2016.
    """
    return _closed_form(encode_fn, loss_fn, init_fn, head, estimator)


def relation(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns features and a network that scores their similarity (relation networks).

    A query's score for class n is :math:`r_\psi([c_n, f(x)])`, with :math:`c_n` the
    mean of the support features of n; :math:`\psi` is learned by the outer loop.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`; the paper takes squared errors,
        cross entropy is what later work prefers.
      init_fn: function that returns the encoder's initial parameters.
      head: `heads.relation`.
      estimator: see `protonet`.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.relation(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     head=heads.relation(2, 2, num_hidden=4),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> batch = metaflax.Batch(x, jnp.arange(2), jnp.ones(2))
      >>> gradient = jax.jit(jax.grad(algorithm.loss, has_aux=True))
      >>> grads, _ = gradient(params, metaflax.Task(batch, batch))
      >>> print(sorted(grads["head"]))
      ['class_kernel', 'hidden_bias', 'score_bias', 'score_kernel', 'unit_kernel']

    References:
      Sung et al., `Learning to Compare: Relation Network for Few-Shot Learning
      <https://arxiv.org/abs/1711.06025>`_, 2018.
    """
    return _closed_form(encode_fn, loss_fn, init_fn, head, estimator)


def ridge(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns features that are classified by ridge regression (R2D2).

    The output layer solves :math:`\min_W |X W - Y|^2 + \lambda |W|^2` for support
    features X and one-hot targets Y; the meta-gradient passes through the solution.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      head: `heads.ridge`, or `heads.logistic_regression`, which the paper calls
        LR-D2.
      estimator: see `protonet`.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.ridge(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     head=heads.ridge(2),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> support = metaflax.Batch(x, jnp.arange(2), jnp.ones(2))
      >>> adapted, _ = jax.jit(algorithm.adapt)(params, support)
      >>> outputs = jax.jit(algorithm.predict)(params, adapted, 5 * x[::-1])
      >>> print(outputs.logits.argmax(-1))
      [1 0]

    References:
      Bertinetto et al., `Meta-learning with differentiable closed-form solvers
      <https://arxiv.org/abs/1805.08136>`_, 2019.
    """
    return _closed_form(encode_fn, loss_fn, init_fn, head, estimator)


def _closed_form(encode_fn, loss_fn, init_fn, head, estimator) -> base.MetaAlgorithm:
    return compose(
        encode_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=tree.nothing,
        inner_optimizer=optax.identity(),
        num_steps=0,
        estimator=estimator,
    )


PROTONET = AlgorithmSpec(
    in_closed_form(protonet), default_head="prototypes", has_inner_steps=False
)
MATCHING = AlgorithmSpec(
    in_closed_form(matching), default_head="matching", has_inner_steps=False
)
RELATION = AlgorithmSpec(
    in_closed_form(relation), default_head="relation", has_inner_steps=False
)
RIDGE = AlgorithmSpec(
    in_closed_form(ridge), default_head="ridge", has_inner_steps=False
)
