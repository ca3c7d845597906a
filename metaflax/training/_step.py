"""One outer step: a batch of tasks in, better meta-parameters out."""

import jax
import optax

from metaflax import base, meta_gradient, tree
from metaflax.training._state import TrainState


def make_step(
    algorithm: base.MetaAlgorithm,
    optimizer: optax.GradientTransformation,
    *,
    tasks_by: meta_gradient.TasksBy = "auto",
    trains: tree.Where = tree.everything,
    dropout: bool = True,
):
    """The jitted outer step, pure, its state donated.

    Args:
      algorithm: whose meta-gradient is descended.
      optimizer: the outer optimizer.
      tasks_by: see `metaflax.value_and_grad`.
      trains: which parameters the outer loop changes, as paths.
      dropout: whether tasks get keys; without, the networks are deterministic.

    Returns:
      `state, metrics = step(state, tasks)`, where metrics are `loss` and
      `grad_norm`, and `query_losses` `[T]`, one a task.
    """
    loss_and_grad = meta_gradient.value_and_grad(
        algorithm, tasks_by=tasks_by, trains=trains
    )

    def step(state: TrainState, tasks: base.Task):
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        key = jax.random.fold_in(state.key, state.step)
        keys = jax.random.split(key, num_tasks) if dropout else None
        (loss, info), grads = loss_and_grad(state.params, tasks, keys, state.step)
        chosen, rest = tree.partition(state.params, trains)
        with jax.named_scope("outer_optimizer"):
            updates, opt_state = optimizer.update(grads, state.opt_state, chosen)
            params = tree.merge(optax.apply_updates(chosen, updates), rest)
        metrics = {
            "loss": loss,
            "grad_norm": optax.tree.norm(grads),
            "query_losses": info.query_loss,
        }
        return TrainState(state.step + 1, params, opt_state, state.key), metrics

    return jax.jit(step, donate_argnums=0)
