"""One algorithm from four choices: head, what adapts, inner optimizer, estimator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import optax

from metaflax import base, inner, tree
from metaflax.algorithms._encoding_once import encoding_once, given_features


class Learner(NamedTuple):
    """A model as the inner loop sees it.

    Attributes:
      init: `params = init(key)`.
      begin: `fast, fixed = begin(params, support, key)`, see `base.InnerProblem`.
      forward: `outputs = forward(fast, fixed, inputs, key)`, on the support set.
      finish: `adapted = finish(fast, fixed)`.
      predict: `outputs = predict(params, adapted, inputs, key)`.
    """

    init: base.InitFn
    begin: Callable[[Any, base.Batch, chex.PRNGKey | None], tuple[Any, Any]]
    forward: Callable[[Any, Any, Any, chex.PRNGKey | None], Any]
    finish: Callable[[Any, Any], Any]
    predict: Callable[[Any, Any, Any, chex.PRNGKey | None], Any]


def bare(apply_fn: base.ApplyFn, init_fn: base.InitFn, adapts: tree.Where) -> Learner:
    """Any model on any tree of parameters, its output layer among them."""
    return Learner(
        init=init_fn,
        begin=lambda params, support, key: tree.partition(params, adapts),
        forward=lambda fast, fixed, inputs, key: apply_fn(
            tree.merge(fast, fixed), inputs, key
        ),
        finish=lambda fast, fixed: fast,
        predict=lambda params, adapted, inputs, key: apply_fn(
            tree.merge(adapted, params), inputs, key
        ),
    )


def headed(
    encode_fn: base.ApplyFn,
    init_fn: base.InitFn,
    head: base.Head,
    adapts: tree.Where,
) -> Learner:
    """An encoder below a head; parameters are `{"encoder": ..., "head": ...}`."""

    def init(key):
        encoder_key, head_key = jax.random.split(key)
        return {"encoder": init_fn(encoder_key), "head": head.init(head_key)}

    def begin(params, support, key):
        features = encode_fn(params["encoder"], support.inputs, key)
        fitted = head.fit(params["head"], features, support.targets, support.weights)
        return tree.partition({"encoder": params["encoder"], "head": fitted}, adapts)

    def forward(fast, fixed, inputs, key):
        state = tree.merge(fast, fixed)
        return head.apply(state["head"], encode_fn(state["encoder"], inputs, key))

    def finish(fast, fixed):
        fitted = tree.merge(fast["head"], fixed["head"])
        return {"encoder": fast["encoder"], "head": fitted}

    def predict(params, adapted, inputs, key):
        encoder = tree.merge(adapted["encoder"], params["encoder"])
        return head.apply(adapted["head"], encode_fn(encoder, inputs, key))

    return Learner(init, begin, forward, finish, predict)


def compose(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head | None,
    adapts: tree.Where,
    inner_optimizer: optax.GradientTransformation,
    num_steps: int,
    estimator: base.Estimator,
) -> base.MetaAlgorithm:
    """The algorithm that four choices make; every named one is such a point.

    Args:
      apply_fn: the model, or with a head the encoder: inputs `[U, ...]` to
        features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`, of support and query alike.
      init_fn: `params = init_fn(key)` of the model or encoder.
      head: how the output layer begins; None where the model has its own.
      adapts: what inner steps change, as paths (`tree.where`) into the model's
        parameters, or with a head into `{"encoder": ..., "head": ...}`, where
        `head` is what `head.fit` gave.
      inner_optimizer: takes the inner steps; its state starts afresh per task.
      num_steps: inner steps K, 0 for none.
      estimator: how the query loss is differentiated.

    Returns:
      A `MetaAlgorithm` for one task with support leaves `[S, ...]` and query
      leaves `[Q, ...]`.
    """

    def on(learner: Learner) -> base.MetaAlgorithm:
        return _solved(learner, loss_fn, inner_optimizer, num_steps, estimator)

    if head is None:
        return on(bare(apply_fn, init_fn, adapts))
    return encoding_once(
        apply_fn,
        adapts,
        on_inputs=on(headed(apply_fn, init_fn, head, adapts)),
        on_features=on(headed(given_features, init_fn, head, adapts)),
    )


def _solved(
    learner: Learner,
    loss_fn: base.LossFn,
    inner_optimizer: optax.GradientTransformation,
    num_steps: int,
    estimator: base.Estimator,
) -> base.MetaAlgorithm:
    """A learner, its inner problem and an estimator, put together."""

    def support_loss(fast, fixed, support, key):
        outputs = learner.forward(fast, fixed, support.inputs, key)
        return loss_fn(outputs, support.targets, support.weights)

    problem = base.InnerProblem(
        start=learner.begin,
        loss=support_loss,
        optimizer=lambda params: inner_optimizer,
        num_steps=num_steps,
        finish=learner.finish,
    )

    def adapt(params, support, key=None):
        chex.assert_equal_shape_prefix(
            jax.tree.leaves((support.targets, support.weights)),
            1,
            custom_message="leaves of `support` differ in their number of examples S",
        )
        solution = inner.solve(problem, params, support, key)
        return problem.finish(solution.fast, solution.fixed), solution.info

    def predict(params, adapted, inputs, key=None):
        return learner.predict(params, adapted, inputs, key)

    def query_loss(params, adapted, query, key):
        outputs = predict(params, adapted, query.inputs, key)
        return loss_fn(outputs, query.targets, query.weights)

    return base.MetaAlgorithm(
        learner.init, adapt, predict, estimator(problem, query_loss)
    )


def check_num_steps(name: str, num_steps: int) -> None:
    """Refuses an inner loop without steps, naming the algorithm that needs them."""
    if num_steps < 1:
        raise ValueError(
            f"{name} takes at least one inner step, got num_steps={num_steps}. To"
            " score the initialisation itself, use protonet or apply the model."
        )
