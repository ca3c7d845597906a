"""Outer step: an update of the meta-parameters from a batch of tasks."""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from metaflax import _meta_gradient, base, tree
from metaflax.training._mesh import constrain
from metaflax.training._over_devices import over_devices
from metaflax.training._state import TrainState


def make_step(
    algorithm: base.MetaAlgorithm,
    optimizer: optax.GradientTransformation,
    *,
    task_loop: _meta_gradient.TaskLoop = "auto",
    trains: tree.Where = tree.everything,
    dropout: bool = True,
    skips: bool = False,
    mesh: Mesh | None = None,
):
    """Creates the jitted outer step, a pure function that donates its state.

    Args:
      algorithm: algorithm whose meta-gradient is descended.
      optimizer: the outer optimizer.
      task_loop: see `metaflax.value_and_grad`.
      trains: paths of the parameters that the outer loop trains.
      dropout: whether tasks get keys; without keys networks are deterministic.
      skips: whether a step with a non-finite loss or gradient leaves parameters and
        optimizer unchanged; it still counts as a step.
      mesh: mesh from `make_mesh`, if several devices train together: state and tasks
        are sharded as by `OverDevices`, and `task_loop` is the number of tasks that
        each device computes at once.

    Returns:
      `state, metrics = step(state, tasks)`. Metrics are `loss`, `grad_norm` and, per
      task, `query_losses` `[T]` and `inner_diverged` `[T]`, whether the inner steps
      increased the support loss.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import training
      >>> algorithm = metaflax.maml(
      ...     lambda w, x, key: w * x,
      ...     lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: jnp.zeros(()),
      ...     optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> optimizer = optax.sgd(0.5)
      >>> step = training.make_step(algorithm, optimizer)
      >>> ones = jnp.ones((4, 1))  # Four tasks of one example.
      >>> batch = metaflax.Batch(ones, 2 * ones, ones)
      >>> key = jax.random.key(0)
      >>> state = training.create(algorithm.init(key), optimizer, key)
      >>> state, metrics = step(state, metaflax.Task(batch, batch))
      >>> print(state.params, metrics["loss"], metrics["query_losses"])
      0.5 1.0 [1. 1. 1. 1.]
    """
    loss_and_grad = _meta_gradient.value_and_grad(
        algorithm, task_loop=task_loop, trains=trains
    )
    if mesh is not None:
        loss_and_grad = over_devices(loss_and_grad, mesh, task_loop)

    def step(state: TrainState, tasks: base.Task):
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        key = jax.random.fold_in(state.key, state.step)
        keys = jax.random.split(key, num_tasks) if dropout else None
        (loss, info), grads = loss_and_grad(state.params, tasks, keys, state.step)
        trained, frozen = tree.partition(state.params, trains)
        norm = optax.tree.norm(grads)

        def updated(trained, opt_state):
            updates, opt_state = optimizer.update(grads, opt_state, trained)
            return optax.apply_updates(trained, updates), opt_state

        with jax.named_scope("outer_optimizer"):
            if skips:
                finite = jnp.isfinite(loss) & jnp.isfinite(norm)
                trained, opt_state = jax.lax.cond(
                    finite, updated, lambda *same: same, trained, state.opt_state
                )
            else:
                trained, opt_state = updated(trained, state.opt_state)
        metrics = {
            "loss": loss,
            "grad_norm": norm,
            "query_losses": info.query_loss,
            "inner_diverged": info.diverged,
        }
        params = tree.merge(trained, frozen)
        after = TrainState(state.step + 1, params, opt_state, state.key)
        return (after, metrics) if mesh is None else _constrained(after, metrics, mesh)

    return jax.jit(step, donate_argnums=0)


def _constrained(state: TrainState, metrics: dict[str, jax.Array], mesh: Mesh):
    """Keeps the state sharded as it was, and replicates the metrics."""
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return constrain(state, mesh), jax.lax.with_sharding_constraint(metrics, replicated)
