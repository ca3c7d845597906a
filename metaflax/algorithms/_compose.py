"""Composition of algorithms from head, adapted parameters, optimizer and estimator."""

import inspect
from collections.abc import Callable
from typing import Any

import chex
import jax
import optax

from metaflax import _checks, _optimizers, base, inner, tree
from metaflax.algorithms._encoding_once import encoding_once
from metaflax.algorithms._learners import Learner, bare, headed, within_model
from metaflax.base._algorithm import InnerLoop
from metaflax.base._estimator import moves_params


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
    query_loss_fn: base.LossFn | None = None,
    batch_of_step: Callable[[base.Batch, jax.Array], base.Batch] | None = None,
) -> base.MetaAlgorithm:
    """Composes an algorithm; every named algorithm is such a composition.

    Args:
      apply_fn: the model, or with a head the encoder: inputs `[U, ...]` to
        features `[U, D]`. The first stages of a `base.StagedApply` run once per task
        if none of their parameters adapt. Support and query are encoded apart
        unless it promises that examples are independent.
      loss_fn: `loss_fn(outputs, targets, weights)`, a scalar or `(value, aux)` (see
        `base.LossFn`), of support and query alike.
      init_fn: `params = init_fn(key)` of the model or encoder.
      head: head that initialises the output layer; None if the model contains one.
      adapts: parameters that the inner steps change, as paths (`tree.where`) into the
        model's parameters, or with a head into `{"encoder": ..., "head": ...}`, where
        `head` is the output of `head.fit`.
      inner_optimizer: optimizer of the inner loop; its state is initialised per task.
        It is given the arguments `value`, `grad` and `value_fn` of the support loss,
        should it take them. The hyperparameters of one of `inner_optimizers` are
        meta-learned.
      num_steps: number of inner steps K, 0 for none.
      estimator: estimator of the meta-gradient.
      resets: adapted parameters that start at zero for every task and are not learned.
      proximal: weight of a proximal term that keeps adapted parameters near their
        start.
      query_weights: `query_weights(step)`, `[K]`, weights of the query loss after each
        inner step; None for the last step alone.
      query_loss_fn: loss of the query set; None for `loss_fn`.
      batch_of_step: examples of inner step k out of the support set, such as
        `minibatches(4)`; None for all of them at every step.

    Returns:
      A `MetaAlgorithm` for one task with support leaves `[S, ...]` and query
      leaves `[Q, ...]`. Its parameters are those of `init_fn`, or with a head
      `{"encoder": ..., "head": ...}`; a learned inner optimizer adds `"inner"`, and
      puts a model without a head under `"model"`.

    Raises:
      ValueError: if the head, the estimator or the inner optimizer is not one, the
        estimator does not support the other choices, or a learned inner optimizer
        cannot know the shapes of adapted parameters.

    Examples:
      >>> import jax, optax
      >>> from metaflax import base
      >>> from metaflax.algorithms import compose
      >>> import jax.numpy as jnp
      >>> from metaflax import estimators, heads, losses
      >>> algorithm = compose(
      ...     lambda scale, x, key: scale * x,
      ...     losses.softmax_cross_entropy,
      ...     lambda key: jnp.ones(()),
      ...     head=heads.zeros(1, 2),
      ...     adapts="head",
      ...     inner_optimizer=optax.sgd(1.0),
      ...     num_steps=1,
      ...     estimator=estimators.reverse,
      ... )
      >>> x, classes = jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])
      >>> params = algorithm.init(jax.random.key(0))
      >>> adapted, _ = algorithm.adapt(params, base.Batch(x, classes, jnp.ones(2)))
      >>> print(algorithm.predict(params, adapted, x).logits.argmax(axis=-1))
      [0 1]

    References:
      No paper: each named algorithm that it composes has its own.
    """

    def on(learner: Learner) -> base.MetaAlgorithm:
        return assemble(
            learner,
            loss_fn,
            query_loss_fn or loss_fn,
            inner_optimizer=inner_optimizer,
            num_steps=num_steps,
            estimator=estimator,
            proximal=proximal,
            query_weights=query_weights,
            batch_of_step=batch_of_step,
        )

    if head is None:
        learner = bare(apply_fn, init_fn, adapts, resets)
        is_learned = isinstance(inner_optimizer, base.InnerOptimizer)
        return ignoring_padding(on(within_model(learner) if is_learned else learner))
    _check_head(head)
    _check_template(head, adapts, inner_optimizer)

    def on_encoder(encode_fn: base.ApplyFn) -> base.MetaAlgorithm:
        return on(headed(encode_fn, init_fn, head, adapts, resets))

    if moves_params(estimator):
        return ignoring_padding(on_encoder(apply_fn))
    return ignoring_padding(encoding_once(apply_fn, adapts, on_encoder))


def ignoring_padding(algorithm: base.MetaAlgorithm) -> base.MetaAlgorithm:
    """Wraps an algorithm so that non-finite numbers in padding have no effect."""

    def adapt(params, support, key=None):
        return algorithm.adapt(params, _checks.finite_padding(support), key)

    def loss(params, task, key=None, step=None):
        task = base.Task(*map(_checks.finite_padding, task))
        return algorithm.loss(params, task, key, step)

    def resume(params, adapted, support, key=None):
        assert algorithm.resume is not None  # Else this is not offered.
        support = _checks.finite_padding(support)
        return algorithm.resume(params, adapted, support, key)

    return algorithm._replace(
        adapt=adapt, loss=loss, resume=resume if algorithm.resume else None
    )


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
    batch_of_step: Callable[[base.Batch, jax.Array], base.Batch] | None = None,
) -> base.MetaAlgorithm:
    """Assembles an algorithm from a learner, its inner problem and an estimator.

    See `compose`; here support and query may have different losses.
    """

    def support_loss(fast, fixed, support, key):
        outputs = learner.forward(fast, fixed, support.inputs, key)
        result = support_loss_fn(outputs, support.targets, support.weights)
        return _checks.with_aux(result)[0]

    check_estimator(estimator)
    init, optimizer = _with_hyperparameters(learner, inner_optimizer)
    problem = base.InnerProblem(
        start=learner.begin,
        loss=support_loss,
        optimizer=optimizer,
        num_steps=num_steps,
        finish=learner.finish,
        proximal=proximal,
        query_weights=query_weights,
        batch_of_step=batch_of_step,
    )

    def adapted_by(problem, params, support, key):
        chex.assert_equal_shape_prefix(
            jax.tree.leaves((support.targets, support.weights)),
            1,
            custom_message="leaves of `support` differ in their number of examples S",
        )
        solution = inner.solve(problem, params, support, key)
        return problem.finish(solution.fast, solution.fixed), solution.info

    def adapt(params, support, key=None):
        return adapted_by(problem, params, support, key)

    def resume(params, adapted, support, key=None):
        def start(params, support, key):
            del key
            return learner.resume(params, adapted, support)

        return adapted_by(problem._replace(start=start), params, support, key)

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
        inner=InnerLoop(inner_optimizer, num_steps, learner.adapts),
        resume=resume if num_steps else None,
    )


def _with_hyperparameters(
    learner: Learner,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
) -> tuple[base.InitFn, Any]:
    """Returns initial parameters and the optimizer in the form of `InnerProblem`."""
    if not isinstance(inner_optimizer, base.InnerOptimizer):
        return learner.init, _optimizers.as_transformation(inner_optimizer)

    def init(key):
        params: Any = learner.init(key)
        hyper_key = jax.random.fold_in(key, 1)
        hyper = inner_optimizer.init(hyper_key, learner.template(params))
        return {**params, "inner": hyper}

    return init, lambda params: inner_optimizer.make(params["inner"])


def _check_head(head: Any) -> None:
    if not isinstance(head, base.Head):
        name = getattr(head, "__name__", None) or repr(head)
        raise ValueError(
            f"the head is {name}, a {type(head).__name__}; give a base.Head, such as"
            " metaflax.heads.prototypes(5)."
        )


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


def check_estimator(estimator: Any) -> None:
    """Refuses anything but an estimator, such as a function that makes one."""
    if callable(estimator):
        try:
            parameters = list(inspect.signature(estimator).parameters.values())[:2]
        except (TypeError, ValueError):  # A builtin; calling it will tell.
            return
        required = inspect.Parameter.empty
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
        variadic = inspect.Parameter.VAR_POSITIONAL
        if any(p.kind is variadic for p in parameters) or (
            len(parameters) == 2
            and all(p.default is required and p.kind not in kinds for p in parameters)
        ):
            return
    name = getattr(estimator, "__name__", None) or repr(estimator)
    raise ValueError(
        f"the estimator is {name}, which is not called as estimator(problem,"
        " query_loss); give one of metaflax.estimators, such as reverse, and call"
        " those that make one: implicit(), truncated(2)."
    )


def check_num_steps(name: str, num_steps: int) -> None:
    """Raises ValueError if `num_steps` is not positive, naming the algorithm."""
    if num_steps < 1:
        raise ValueError(
            f"{name} takes at least one inner step, got num_steps={num_steps}. To"
            " score the initialisation itself, use protonet or apply the model."
        )
