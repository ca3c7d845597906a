"""One mean loss and one accumulated meta-gradient over a batch of tasks."""

from typing import Any, Literal, TypeAlias

import chex
import jax
import jax.numpy as jnp

from metaflax import base, tree

TasksBy: TypeAlias = Literal["auto", "scan", "vmap"] | int


def value_and_grad(
    algorithm: base.MetaAlgorithm,
    *,
    tasks_by: TasksBy = "auto",
    trains: tree.Where = tree.everything,
):
    """The meta-gradient of a batch of tasks, as a pure function to be jitted.

    Args:
      algorithm: whose `loss` is differentiated.
      tasks_by: `scan` takes one task after another and holds one task's memory;
        `vmap` takes all at once; a number c takes c at once, chunk after chunk.
        `auto` is `scan` on CPU, where batched products with weights of their own
        per task cost time and memory, and `vmap` elsewhere.
      trains: which parameters get a gradient, as paths (see `tree.where`); the
        others cost neither derivative nor memory.

    Returns:
      `(loss, info), grads = fn(params, tasks, keys, step)`, where leaves of `tasks`
      are `[T, S, ...]` and `[T, Q, ...]`, `keys` is `[T]` or None (deterministic),
      `step` the outer step for what changes with it, None for the end of training,
      `loss` is the mean over tasks, leaves of `info` are `[T, ...]`, and `grads`
      is the gradient of the mean: None where `trains` chooses nothing.

    Raises:
      ValueError: for an unknown `tasks_by`, or if it does not divide T.

    Examples:
      >>> import metaflax, optax
      >>> algorithm = metaflax.maml(
      ...     apply_fn=lambda w, x, key: w * x,
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: jnp.zeros(()),
      ...     inner_optimizer=optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> batch = base.Batch(jnp.ones((2, 3)), 2 * jnp.ones((2, 3)), jnp.ones((2, 3)))
      >>> tasks = base.Task(support=batch, query=batch)
      >>> (loss, _), grad = value_and_grad(algorithm)(jnp.zeros(()), tasks, None)
      >>> print(loss, grad)
      1.0 -1.0
    """
    if tasks_by not in ("auto", "scan", "vmap") and not (
        isinstance(tasks_by, int) and tasks_by > 0
    ):
        raise ValueError(
            f"tasks_by is 'auto', 'scan', 'vmap' or a chunk size, got {tasks_by!r}."
        )

    def batched(
        params: Any,
        tasks: base.Task,
        keys: chex.PRNGKey | None = None,
        step: jax.Array | int | None = None,
    ):
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        chunk = _chunk_size(tasks_by, num_tasks)
        chosen, rest = tree.partition(params, trains)

        def chunk_loss(chosen, tasks, keys):
            def one(task, key):
                return algorithm.loss(tree.merge(chosen, rest), task, key, step)

            if chunk == 1:  # No batch axis: products stay plain matrix products.
                first = jax.tree.map(lambda x: x[0], (tasks, keys))
                loss, info = one(*first)
                return loss, jax.tree.map(lambda x: x[None], info)
            losses, info = jax.vmap(one)(tasks, keys)
            return jnp.mean(losses), info

        loss_and_grad = jax.value_and_grad(chunk_loss, has_aux=True)
        if chunk == num_tasks:
            return loss_and_grad(chosen, tasks, keys)

        def add(total, chunk_of_tasks):
            value, grads = loss_and_grad(chosen, *chunk_of_tasks)
            loss, info = value
            return jax.tree.map(jnp.add, total, (loss, grads)), info

        num_chunks = num_tasks // chunk
        chunks = jax.tree.map(
            lambda x: x.reshape(num_chunks, chunk, *x.shape[1:]), (tasks, keys)
        )
        loss_shape = jax.eval_shape(
            loss_and_grad, chosen, *jax.tree.map(lambda x: x[0], chunks)
        )[0][0]
        zeros = (
            jnp.zeros(loss_shape.shape, loss_shape.dtype),
            jax.tree.map(jnp.zeros_like, chosen),
        )
        total, info = jax.lax.scan(add, zeros, chunks)
        loss, grads = jax.tree.map(lambda x: x / num_chunks, total)
        info = jax.tree.map(lambda x: x.reshape(num_tasks, *x.shape[2:]), info)
        return (loss, info), grads

    return batched


def _chunk_size(tasks_by: TasksBy, num_tasks: int) -> int:
    if tasks_by == "auto":
        tasks_by = "scan" if jax.default_backend() == "cpu" else "vmap"
    named = {"scan": 1, "vmap": num_tasks}
    chunk = named[tasks_by] if isinstance(tasks_by, str) else tasks_by
    if num_tasks % chunk:
        raise ValueError(
            f"tasks_by={chunk} does not divide the batch of {num_tasks} tasks; take"
            " a divisor, 'scan' or 'vmap'."
        )
    return chunk
