"""The mean loss and the meta-gradient of a batch of tasks."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import chex
import jax
import jax.numpy as jnp

from metaflax import _checks, base, tree
from metaflax.base._algorithm import FewRows
from metaflax.tree._paths import take_rows

__all__ = [
    "TaskLoop",
    "all_at_once",
    "chunk_size",
    "value_and_grad",
]

TaskLoop: TypeAlias = Literal["auto", "scan", "vmap"] | int


def value_and_grad(
    algorithm: base.MetaAlgorithm,
    *,
    task_loop: TaskLoop = "auto",
    trains: tree.Where = tree.everything,
):
    """Builds the pure function of a batch of tasks that returns loss and meta-gradient.

    Args:
      algorithm: algorithm whose `loss` is differentiated.
      task_loop: `scan` takes one task after another and holds one task's memory;
        `vmap` takes all at once; a number c takes c at once, chunk after chunk.
        `auto` is `scan` on CPU, where batched products with weights of their own
        per task cost time and memory, and `vmap` elsewhere.
      trains: paths of the parameters that get a gradient (see `tree.where`); the
        others cost neither derivative nor memory.

    Returns:
      `(loss, info), grads = fn(params, tasks, keys, step)`, where leaves of `tasks`
      are `[T, S, ...]` and `[T, Q, ...]`, `keys` is `[T]` or None (deterministic),
      `step` the outer step for what changes with it, None for the end of training,
      `loss` is the mean over tasks, leaves of `info` are `[T, ...]`, and `grads`
      is the gradient of the mean: None where `trains` chooses nothing, and for
      integers. So the optimizer gets the trained part of `tree.partition`, as in the
      second example.

    Raises:
      ValueError: for an unknown `task_loop`; from the function, if it does not divide
        T, if leaves of tasks or keys have no axis of T tasks, or a pattern of
        `trains` matches no parameter.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base, value_and_grad
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

      A part is trained, beside what is fixed and integers.

      >>> params = {"scale": jnp.ones(()), "shift": jnp.zeros(()), "num": jnp.array(3)}
      >>> algorithm = metaflax.maml(
      ...     apply_fn=lambda p, x, key: p["scale"] * x + p["shift"],
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: params,
      ...     inner_optimizer=optax.sgd(0.1),
      ... )
      >>> optimizer = optax.adam(0.1)
      >>> trained, rest = metaflax.tree.partition(params, "scale")
      >>> state = optimizer.init(trained)
      >>> fn = value_and_grad(algorithm, trains="scale")
      >>> _, grads = fn(params, tasks, None)
      >>> updates, state = optimizer.update(grads, state, trained)
      >>> trained = optax.apply_updates(trained, updates)
      >>> params = metaflax.tree.merge(trained, rest)
      >>> print(params["scale"].round(4), params["shift"], params["num"])
      1.1 0.0 3
    """
    if task_loop not in ("auto", "scan", "vmap") and not (
        isinstance(task_loop, int) and task_loop > 0
    ):
        raise ValueError(
            f"task_loop is 'auto', 'scan', 'vmap' or a chunk size, got {task_loop!r}."
        )

    few_rows = algorithm.few_rows or _every_row(algorithm)

    def batched(
        params: Any,
        tasks: base.Task,
        keys: chex.PRNGKey | None = None,
        step: jax.Array | int | None = None,
    ):
        num_tasks = _num_tasks(tasks, keys)
        chunk = chunk_size(task_loop, num_tasks)
        num_chunks = num_tasks // chunk
        _checks.check_patterns("trains", trains, params)
        trained, rest = tree.partition(params, trains)
        _checks.check_real("is trained", trained)
        table, shared = tree.partition(trained, lambda path: path == few_rows.path)

        def rows_of(part, rows):
            return take_rows(part, few_rows.path, rows)

        def chunk_loss(shared, few, rows, tasks, keys):
            def one(few, rows, task, key):
                params = tree.merge(shared, few, rows_of(rest, rows))
                return few_rows.loss(params, task, key, step)

            losses, info = _each(one, chunk)(few, rows, tasks, keys)
            return jnp.mean(losses) / num_chunks, info

        loss_and_grad = jax.value_and_grad(chunk_loss, argnums=(0, 1), has_aux=True)

        def read(task):
            rows, task = few_rows.read(params, task)
            return rows, rows_of(table, rows), task

        def of_chunk(tasks, keys):
            """Loss, gradients of what is shared and of rows `[c, U, ...]`, info."""
            rows, few, tasks = _each(read, chunk)(tasks)
            (loss, info), (grads, of_few) = loss_and_grad(
                shared, few, rows, tasks, keys
            )
            return loss, grads, (rows, of_few), info

        zeros = jax.tree.map(jnp.zeros_like, table)
        if num_chunks == 1:
            loss, grads, of_rows, info = of_chunk(tasks, keys)
            return (loss, info), tree.merge(grads, _add_rows(zeros, *of_rows))

        def add(total, chunk_of_tasks):
            loss, grads, of_rows, info = of_chunk(*chunk_of_tasks)
            *dense, of_table = total
            dense = jax.tree.map(jnp.add, tuple(dense), (loss, grads))
            return (*dense, _add_rows(of_table, *of_rows)), info

        chunks = jax.tree.map(
            lambda x: x.reshape(num_chunks, chunk, *x.shape[1:]), (tasks, keys)
        )
        shapes = jax.eval_shape(of_chunk, *jax.tree.map(lambda x: x[0], chunks))
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes[:2])
        (loss, *grads), info = jax.lax.scan(add, (*nothing, zeros), chunks)
        info = jax.tree.map(lambda x: x.reshape(num_tasks, *x.shape[2:]), info)
        return (loss, info), tree.merge(*grads)

    return batched


def _num_tasks(tasks: base.Task, keys: chex.PRNGKey | None) -> int:
    """Returns T, the size of the first axis of all leaves."""
    for name, part in zip(base.Task._fields, tasks, strict=True):
        weights: Any = getattr(part, "weights", None)
        shape = () if weights is None else jnp.shape(weights)
        if weights is not None and len(shape) < 2:
            raise ValueError(
                f"weights of the {name} set are {list(shape)}, without an axis of"
                " tasks; weights of T tasks are [T, U], of one task"
                " jax.tree.map(lambda x: x[None], task)."
            )
    sizes = {jnp.shape(x)[:1] for x in jax.tree.leaves(tasks)}
    if len(sizes) != 1 or () in sizes:
        numbers = ", ".join(str(size[0]) if size else "none" for size in sorted(sizes))
        raise ValueError(
            f"leaves of tasks differ in their number of tasks T: {numbers}; stack tasks"
            " of one shape along a first axis."
        )
    [(num_tasks,)] = sizes
    if keys is not None and jnp.shape(keys)[:1] != (num_tasks,):
        raise ValueError(
            f"keys are {list(jnp.shape(keys))} for {num_tasks} tasks; give one to each:"
            f" jax.random.split(key, {num_tasks})."
        )
    return num_tasks


def _every_row(algorithm: base.MetaAlgorithm) -> FewRows:
    """Wraps an algorithm without a row table, so that both kinds have one interface."""
    return FewRows(None, lambda params, task: (None, task), algorithm.loss)


def _each(fn: Callable[..., Any], chunk: int) -> Callable[..., Any]:
    """Maps `fn` over a leading axis of length `chunk`.

    A single task gets no batch axis, so that products stay plain matrix products.
    """
    if chunk > 1:
        return jax.vmap(fn)

    def one(*args):
        result = fn(*jax.tree.map(lambda x: x[0], args))
        return jax.tree.map(lambda x: x[None], result)

    return one


def _add_rows(table: Any, rows: Any, of_rows: Any) -> Any:
    """Adds gradients `[c, U, ...]` of rows `[c, U]` to those of the whole table."""
    return jax.tree.map(
        lambda whole, few: whole.at[rows.reshape(-1)].add(
            few.reshape(-1, *few.shape[2:]), mode="drop"
        ),
        table,
        of_rows,
    )


def chunk_size(task_loop: TaskLoop, num_tasks: int) -> int:
    """Returns the number of tasks per chunk, for a batch of a given size.

    Raises:
      ValueError: if it does not divide the batch.
    """
    if all_at_once(task_loop):
        return num_tasks
    chunk = 1 if isinstance(task_loop, str) else task_loop
    if num_tasks % chunk:
        raise ValueError(
            f"task_loop={chunk} does not divide the batch of {num_tasks} tasks; take"
            " a divisor, 'scan' or 'vmap'."
        )
    return chunk


def all_at_once(task_loop: TaskLoop) -> bool:
    """Returns whether all tasks are vmapped at once, whatever their number."""
    if task_loop == "auto":
        return jax.default_backend() != "cpu"
    return task_loop == "vmap"
