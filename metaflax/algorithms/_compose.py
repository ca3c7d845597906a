"""Composition of algorithms from head, adapted parameters, optimizer and estimator."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import optax

from metaflax import base, inner, tree
from metaflax.algorithms._encoding_once import encoding_once
from metaflax.algorithms._learners import Learner, bare, headed, within_model


def compose(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head | None,
    adapts: tree.Where,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    num_steps: int,
    estimator: base.Estimator,
    resets: tree.Where = tree.nothing,
    proximal: float = 0.0,
    query_weights: Callable[[jax.Array], jax.Array] | None = None,
) -> base.MetaAlgorithm:
    """Composes an algorithm; every named algorithm is such a composition.

    Args:
      apply_fn: the model, or with a head the encoder: inputs `[U, ...]` to
        features `[U, D]`. The first stages of a `base.StagedApply` run once per task
        if none of their parameters adapt.
      loss_fn: `loss_fn(outputs, targets, weights)`, of support and query alike.
      init_fn: `params = init_fn(key)` of the model or encoder.
      head: head that initialises the output layer; None if the model contains one.
      adapts: parameters that the inner steps change, as paths (`tree.where`) into the
        model's parameters, or with a head into `{"encoder": ..., "head": ...}`, where
        `head` is the output of `head.fit`.
      inner_optimizer: optimizer of the inner loop; its state is initialised per task.
        The hyperparameters of one of `inner_optimizers` are meta-learned.
      num_steps: number of inner steps K, 0 for none.
      estimator: estimator of the meta-gradient.
      resets: adapted parameters that start at zero for every task and are not learned.
      proximal: weight of a proximal term that keeps adapted parameters near their
        start.
      query_weights: `query_weights(step)`, `[K]`, weights of the query loss after each
        inner step; None for the last step alone.

    Returns:
      A `MetaAlgorithm` for one task with support leaves `[S, ...]` and query
      leaves `[Q, ...]`. Its parameters are those of `init_fn`, or with a head
      `{"encoder": ..., "head": ...}`; a learned inner optimizer adds `"inner"`, and
      puts a model without a head under `"model"`.

    Raises:
      ValueError: if the estimator does not support the other choices, or a learned
        inner optimizer cannot know the shapes of adapted parameters.
    """

    def on(learner: Learner) -> base.MetaAlgorithm:
        return assemble(
            learner,
            loss_fn,
            loss_fn,
            inner_optimizer=inner_optimizer,
            num_steps=num_steps,
            estimator=estimator,
            proximal=proximal,
            query_weights=query_weights,
        )

    if head is None:
        learner = bare(apply_fn, init_fn, adapts, resets)
        is_learned = isinstance(inner_optimizer, base.InnerOptimizer)
        return on(within_model(learner) if is_learned else learner)
    _check_template(head, adapts, inner_optimizer)

    def on_encoder(encode_fn: base.ApplyFn) -> base.MetaAlgorithm:
        return on(headed(encode_fn, init_fn, head, adapts, resets))

    if base.moves_params(estimator):
        return on_encoder(apply_fn)
    return encoding_once(apply_fn, adapts, on_encoder)


def assemble(
    learner: Learner,
    support_loss_fn: base.LossFn,
    query_loss_fn: base.LossFn,
    *,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    num_steps: int,
    estimator: base.Estimator,
    proximal: float = 0.0,
    query_weights: Callable[[jax.Array], jax.Array] | None = None,
) -> base.MetaAlgorithm:
    """Assembles an algorithm from a learner, its inner problem and an estimator.

    See `compose`; here support and query may have different losses.
    """

    def support_loss(fast, fixed, support, key):
        outputs = learner.forward(fast, fixed, support.inputs, key)
        return support_loss_fn(outputs, support.targets, support.weights)

    init, optimizer = _with_hyperparameters(learner, inner_optimizer)
    problem = base.InnerProblem(
        start=learner.begin,
        loss=support_loss,
        optimizer=optimizer,
        num_steps=num_steps,
        finish=learner.finish,
        proximal=proximal,
        query_weights=query_weights,
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
        return query_loss_fn(outputs, query.targets, query.weights)

    return base.MetaAlgorithm(
        init,
        adapt,
        predict,
        estimator(problem, query_loss),
        inner=base.InnerLoop(inner_optimizer, num_steps, learner.adapts),
    )


def _with_hyperparameters(
    learner: Learner,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
) -> tuple[base.InitFn, Any]:
    """Returns initial parameters and the optimizer in the form of `InnerProblem`."""
    if not isinstance(inner_optimizer, base.InnerOptimizer):
        return learner.init, inner_optimizer

    def init(key):
        params: Any = learner.init(key)
        hyper_key = jax.random.fold_in(key, 1)
        hyper = inner_optimizer.init(hyper_key, learner.template(params))
        return {**params, "inner": hyper}

    return init, lambda params: inner_optimizer.make(params["inner"])


def _check_template(
    head: base.Head, adapts: tree.Where, inner_optimizer: object
) -> None:
    is_learned = isinstance(inner_optimizer, base.InnerOptimizer)
    if is_learned and head.template is None and tree.where(adapts)("head/kernel"):
        raise ValueError(
            "the inner optimizer learns numbers for the leaves of a head that cannot"
            " tell its shapes; give the head num_features, or leave it out of what"
            ' adapts with "!head".'
        )


def check_num_steps(name: str, num_steps: int) -> None:
    """Raises ValueError if `num_steps` is not positive, naming the algorithm."""
    if num_steps < 1:
        raise ValueError(
            f"{name} takes at least one inner step, got num_steps={num_steps}. To"
            " score the initialisation itself, use protonet or apply the model."
        )
