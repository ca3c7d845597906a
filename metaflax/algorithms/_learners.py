"""Learners, the interface of models to the inner loop: bare or with a head."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax

from metaflax import _checks, base, tree
from metaflax.tree._selection import PathFilter, zero


class Learner(NamedTuple):
    """Functions that select, apply and finish the adapted parameters of a model.

    Attributes:
      init: `params = init(key)`.
      begin: `fast, fixed = begin(params, support, key)`, see `base.InnerProblem`.
      resume: `fast, fixed = resume(params, adapted, support)`, the same from an
        adapted state.
      forward: `outputs = forward(fast, fixed, inputs, key)`, on the support set.
      finish: `adapted = finish(fast, fixed)`.
      predict: `outputs = predict(params, adapted, inputs, key)`.
      template: `fast = template(params)`, in shapes and types, without a support
        set.
      adapts: whether inner steps change the parameter at a path.
    """

    init: base.InitFn
    begin: Callable[[Any, base.Batch, chex.PRNGKey | None], tuple[Any, Any]]
    resume: Callable[[Any, Any, base.Batch], tuple[Any, Any]]
    forward: Callable[[Any, Any, Any, chex.PRNGKey | None], Any]
    finish: Callable[[Any, Any], Any]
    predict: Callable[[Any, Any, Any, chex.PRNGKey | None], Any]
    template: Callable[[Any], Any]
    adapts: PathFilter


def bare(
    apply_fn: base.ApplyFn,
    init_fn: base.InitFn,
    adapts: tree.Where,
    resets: tree.Where = tree.nothing,
) -> Learner:
    """Builds the learner of a model that contains its output layer."""

    def begin(params, support, key):
        del support, key
        _checks.check_patterns("adapts", adapts, params)
        _checks.check_patterns("resets", resets, params)
        fast, fixed = tree.partition(params, adapts)
        return zero(fast, resets), fixed

    return Learner(
        init=init_fn,
        begin=begin,
        resume=lambda params, adapted, support: tree.partition(
            tree.merge(adapted, params), adapts
        ),
        forward=lambda fast, fixed, inputs, key: apply_fn(
            tree.merge(fast, fixed), inputs, key
        ),
        finish=lambda fast, fixed: fast,
        predict=lambda params, adapted, inputs, key: apply_fn(
            tree.merge(adapted, params), inputs, key
        ),
        template=lambda params: tree.select(params, adapts),
        adapts=tree.where(adapts),
    )


def within_model(learner: Learner) -> Learner:
    """Moves the parameters of a learner to `{"model": params, ...}`."""
    return learner._replace(
        init=lambda key: {"model": learner.init(key)},
        begin=lambda params, support, key: learner.begin(params["model"], support, key),
        resume=lambda params, adapted, support: learner.resume(
            params["model"], adapted, support
        ),
        predict=lambda params, adapted, inputs, key: learner.predict(
            params["model"], adapted, inputs, key
        ),
        template=lambda params: learner.template(params["model"]),
        adapts=lambda path: learner.adapts(path.removeprefix("model/")),
    )


def headed(
    encode_fn: base.ApplyFn,
    init_fn: base.InitFn,
    head: base.Head,
    adapts: tree.Where,
    resets: tree.Where = tree.nothing,
) -> Learner:
    """Builds the learner of an encoder and head on `{"encoder": ..., "head": ...}`."""

    def init(key):
        encoder_key, head_key = jax.random.split(key)
        return {"encoder": init_fn(encoder_key), "head": head.init(head_key)}

    def begin(params, support, key):
        features = encode_fn(params["encoder"], support.inputs, key)
        fitted = head.fit(params["head"], features, support.targets, support.weights)
        state = {"encoder": params["encoder"], "head": fitted}
        _checks.check_patterns("adapts", adapts, state)
        _checks.check_patterns("resets", resets, state)
        fast, fixed = tree.partition(state, adapts)
        return zero(fast, resets), fixed

    def resume(params, adapted, support):
        del support
        encoder = tree.merge(adapted["encoder"], params["encoder"])
        return tree.partition({"encoder": encoder, "head": adapted["head"]}, adapts)

    def forward(fast, fixed, inputs, key):
        state = tree.merge(fast, fixed)
        return head.apply(state["head"], encode_fn(state["encoder"], inputs, key))

    def finish(fast, fixed):
        fitted = tree.merge(fast["head"], fixed["head"])
        return {"encoder": fast["encoder"], "head": fitted}

    def predict(params, adapted, inputs, key):
        encoder = tree.merge(adapted["encoder"], params["encoder"])
        return head.apply(adapted["head"], encode_fn(encoder, inputs, key))

    def template(params):
        fitted = head.template(params["head"]) if head.template else {}
        return tree.select({"encoder": params["encoder"], "head": fitted}, adapts)

    return Learner(
        init,
        begin,
        resume,
        forward,
        finish,
        predict,
        template,
        tree.where(adapts),
    )


def refitted(
    encode_fn: base.ApplyFn,
    init_fn: base.InitFn,
    head: base.Head,
    adapts: tree.Where,
) -> Learner:
    """Builds a learner that adapts an encoder on its features, then fits a head."""
    shared = headed(encode_fn, init_fn, head, adapts)

    def begin(params, support, key):
        del key
        _checks.check_patterns("adapts", adapts, params)
        fast, fixed = tree.partition({"encoder": params["encoder"]}, adapts)
        return fast, {**fixed, "head": params["head"], "support": support}

    def resume(params, adapted, support):
        encoder = tree.merge(adapted["encoder"], params["encoder"])
        return begin({**params, "encoder": encoder}, support, None)

    def encoded(fast, fixed, inputs, key=None):
        encoder = tree.merge(fast["encoder"], fixed["encoder"])
        return encode_fn(encoder, inputs, key)

    def finish(fast, fixed):
        support = fixed["support"]
        features = encoded(fast, fixed, support.inputs)
        fitted = head.fit(fixed["head"], features, support.targets, support.weights)
        return {"encoder": fast["encoder"], "head": fitted}

    def template(params):
        return tree.select({"encoder": params["encoder"]}, adapts)

    return shared._replace(
        begin=begin, resume=resume, forward=encoded, finish=finish, template=template
    )
