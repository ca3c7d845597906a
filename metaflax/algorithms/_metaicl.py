"""Learning in context: a model conditioned on the support set, without inner steps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metaflax import _checks, base, tree
from metaflax.algorithms._compose import ignoring_padding
from metaflax.algorithms._spec import AlgorithmParts, AlgorithmSpec, Build


def metaicl(
    apply_fn: base.ApplyFn | base.InContext,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
) -> base.MetaAlgorithm:
    r"""Learns to learn in context (MetaICL), from the support set in the model's input.

    There is no gradient step. `adapt` encodes the support set :math:`S` once, which for
    a language model gives the keys and values of its tokens; all queries of the task
    share the result. `predict` conditions on it, and the outer loop descends

    .. math::

      -\log p_\theta(y \mid x, S)

    over the queries (x, y) of many tasks, through both.

    Args:
      apply_fn: model that conditions on a support set: a `base.InContext`, or a
        `base.StagedApply` that has one, such as `model.in_context(512)` of a decoder.
      loss_fn: `loss_fn(outputs, targets, weights)`, of the query set.
      init_fn: function that returns the model's initial parameters.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": {}}`, the parameters of the model
      under the name that they have below a head. `adapted["context"]` is the encoded
      support set.

    Raises:
      ValueError: if the model conditions on no support set.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> from metaflax.algorithms import metaicl
      >>> import jax
      >>> from metaflax import losses
      >>> mean = base.InContext(
      ...     read=lambda w, support, key: w * jnp.mean(support.targets),
      ...     apply=lambda w, context, x, key: context + 0 * x,
      ... )
      >>> squared = lambda out, y, weights: jnp.mean(weights * (out - y) ** 2)
      >>> algorithm = metaicl(mean, squared, lambda key: jnp.ones(()))
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = base.Batch(jnp.zeros(2), jnp.array([1.0, 3.0]), jnp.ones(2))
      >>> adapted, _ = algorithm.adapt(params, support)
      >>> print(algorithm.predict(params, adapted, jnp.zeros(1)))
      [2.]

    References:
      Min et al., `MetaICL: Learning to Learn In Context
      <https://arxiv.org/abs/2110.15943>`_, 2022.
    """
    model = _in_context(apply_fn)

    def init(key):
        return {"encoder": init_fn(key), "head": {}}

    def adapt(params: Any, support, key=None):
        nothing, _ = tree.partition(params["encoder"], tree.nothing)
        context = model.read(params["encoder"], support, key)
        return {"encoder": nothing, "context": context}, base.InnerInfo(jnp.zeros(0))

    def predict(params: Any, adapted: Any, inputs, key=None):
        return model.apply(params["encoder"], adapted["context"], inputs, key)

    def loss(params, task, key=None, step=None):
        del step
        support_key, query_key = base.split_key(key)
        adapted, info = adapt(params, task.support, support_key)
        outputs = predict(params, adapted, task.query.inputs, query_key)
        result = loss_fn(outputs, task.query.targets, task.query.weights)
        value, aux = _checks.with_aux(result)
        return value, base.MetaInfo(info.losses, value, aux)

    return ignoring_padding(base.MetaAlgorithm(init, adapt, predict, loss))


def in_context(
    apply_fn: base.ApplyFn | base.InContext,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
) -> base.MetaAlgorithm:
    """Baseline that learns in context without meta-training.

    Args:
      apply_fn: as for `metaicl`.
      loss_fn: `loss_fn(outputs, targets, weights)`, of the query set.
      init_fn: function that returns the model's parameters.

    Returns:
      A `MetaAlgorithm` as `metaicl`, whose loss has no gradient.

    Raises:
      ValueError: as `metaicl`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> from metaflax import base
      >>> mean = base.InContext(
      ...     read=lambda w, support, key: w * jnp.mean(support.targets),
      ...     apply=lambda w, context, x, key: context + 0 * x,
      ... )
      >>> squared = lambda out, y, weights: jnp.mean(weights * (out - y) ** 2)
      >>> algorithm = metaflax.in_context(mean, squared, lambda key: jnp.ones(()))
      >>> params = algorithm.init(jax.random.key(0))
      >>> batch = base.Batch(jnp.zeros(2), jnp.array([1.0, 3.0]), jnp.ones(2))
      >>> gradient = jax.jit(jax.grad(algorithm.loss, has_aux=True))
      >>> grads, info = gradient(params, base.Task(batch, batch))
      >>> print(info.query_loss, grads["encoder"])
      1.0 0.0

    References:
      Brown et al., `Language Models are Few-Shot Learners
      <https://arxiv.org/abs/2005.14165>`_, 2020.
    """
    algorithm = metaicl(apply_fn, loss_fn, init_fn)

    def loss(params, task, key=None, step=None):
        return jax.lax.stop_gradient(algorithm.loss(params, task, key, step))

    return algorithm._replace(loss=loss)


def _in_context(apply_fn: Any) -> base.InContext:
    """Returns the functions by which a model conditions on a support set.

    Raises:
      ValueError: if it does not.
    """
    if isinstance(apply_fn, base.InContext):
        return apply_fn
    model = getattr(apply_fn, "in_context", None)
    if model is None:
        raise ValueError(
            "the model conditions on no support set; metaicl and in_context take a"
            " decoder, such as a GPT-2 or a Llama, with positions beside its longest"
            " text to read a support set at (lower max_length and max_target_length),"
            " and no micro_batch_size."
        )
    return model


def _conditioned(factory: Callable[..., base.MetaAlgorithm]) -> Build:
    def build(parts: AlgorithmParts) -> base.MetaAlgorithm:
        return factory(parts.encode_fn, parts.loss_fn, parts.init_fn)

    return build


METAICL = AlgorithmSpec(_conditioned(metaicl), has_inner_steps=False, in_context=True)
IN_CONTEXT = METAICL._replace(build=_conditioned(in_context), is_baseline=True)
