"""Inner loops on the rows of an embedding table that a task uses."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaflax import base, tree
from metaflax.base._algorithm import FewRows
from metaflax.base._model import RowTable
from metaflax.tree._paths import nested, take_rows


class FewRowsAdapted(NamedTuple):
    """Adapted parameters on the rows that a support set uses.

    Attributes:
      rows: `[U]`, row numbers, ascending, padded with numbers beyond the last row.
      adapted: state of the wrapped algorithm, with these rows in place of the table if
        it adapts.
    """

    rows: jax.Array
    adapted: Any


def compact_rows(algorithm: base.MetaAlgorithm, table: RowTable) -> base.MetaAlgorithm:
    """Wraps an algorithm to adapt only the rows of a table that a task uses.

    A task of some hundred words reads few of an embedding's tens of thousands of
    rows. The others have no gradient and never move, so that leaving them out of the
    inner loop changes no number beyond rounding, and saves a copy of the table and a
    dense gradient of it in every inner step. `metaflax.value_and_grad` adds the
    gradients of these rows to that of the whole table, task by task.

    Args:
      algorithm: any algorithm on parameters that hold the table. If it is not made by
        `compose`, its inner steps are not checked: they must treat rows alike, and
        leave a row without gradient unchanged.
      table: the table, and how inputs index it; `models.word_table` is BERT's.

    Returns:
      The algorithm, on the same parameters. Its `adapt` returns a `FewRowsAdapted`.

    Raises:
      ValueError: if it would change the result, see `why_not_compact`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base
      >>> import metaflax
      >>> from metaflax.algorithms import compact_rows
      >>> from metaflax.base._model import RowTable
      >>> words = metaflax.maml(
      ...     apply_fn=lambda params, ids, key: params["words"][ids],
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: {"words": jnp.zeros(30_000)},
      ...     inner_optimizer=optax.sgd(1.0),
      ... )
      >>> table = RowTable("words", lambda ids: ids, lambda ids, new: new)
      >>> support = base.Batch(jnp.array([7, 9]), jnp.ones(2), jnp.ones(2))
      >>> algorithm = compact_rows(words, table)
      >>> params = algorithm.init(jax.random.key(0))
      >>> few, _ = algorithm.adapt(params, support)
      >>> print(few.rows, few.adapted["words"].shape)
      [7 9] (2,)
      >>> print(algorithm.predict(params, few, jnp.array([9, 11])))
      [1. 0.]

    References:
      No paper: an exact rearrangement of the inner loop.
    """
    if reason := why_not_compact(algorithm, table):
        raise ValueError(
            f"compact_rows on {table.path} would change the answer: {reason}; leave it"
            " out, or keep the table out of what adapts."
        )

    def read(params, task):
        support, query = task
        rows, (first, second) = _read(table, params, [support.inputs, query.inputs])
        return rows, base.Task(
            support._replace(inputs=first), query._replace(inputs=second)
        )

    def loss(params, task, key=None, step=None):
        rows, task = read(params, task)
        return algorithm.loss(take_rows(params, table.path, rows), task, key, step)

    def adapt(params, support, key=None):
        rows, (inputs,) = _read(table, params, [support.inputs])
        few = take_rows(params, table.path, rows)
        adapted, info = algorithm.adapt(few, support._replace(inputs=inputs), key)
        return FewRowsAdapted(rows, adapted), info

    def predict(params, adapted, inputs, key=None):
        rows, (inputs,) = _read(table, params, [inputs])
        few = take_rows(params, table.path, rows)
        adapted = _adapted_rows(few, adapted, table, rows)
        return algorithm.predict(few, adapted, inputs, key)

    return algorithm._replace(
        adapt=adapt,
        predict=predict,
        loss=loss,
        few_rows=FewRows(table.path, read, algorithm.loss),
        resume=None,  # Another support set uses other rows.
    )


def why_not_compact(algorithm: base.MetaAlgorithm, table: RowTable) -> str | None:
    """Explains why leaving out unused rows would change the result.

    Rows must be updated independently: `compact_rows` does not support an inner
    optimizer that divides by the norm of the whole table, that moves a row without
    gradient (weight decay, noise), or that learns a number for each row. This is tested
    by two steps on a small table, and again on some of its rows.

    Args:
      algorithm: algorithm to wrap.
      table: table of rows.

    Returns:
      The reason, or None if the result is the same.
    """
    inner = algorithm.inner
    if inner is None or not inner.num_steps or not inner.adapts(table.path):
        return None
    optimizer = inner.optimizer
    if isinstance(optimizer, base.InnerOptimizer):
        hyper, of_few = (_hyperparameters(optimizer, table, n) for n in (WHOLE, FEW))
        if not _same_shapes(hyper, of_few):
            return "its inner optimizer learns numbers for each row"
        optimizer = optimizer.make(hyper)
    try:
        whole, few = (_two_steps(optimizer, table, n) for n in (WHOLE, FEW))
    except (ValueError, TypeError, KeyError) as error:
        return f"its inner optimizer does not take a table alone ({error})"
    if not np.array_equal(whole[FEW:], _numbered(WHOLE)[FEW:]):
        return "its inner optimizer moves rows that have no gradient"
    if not np.allclose(whole[:FEW], few, rtol=1e-5):
        return "its inner optimizer looks at the whole table to move one row"
    return None


# Rows of the table that an inner optimizer is tried on, and of those with a gradient.
WHOLE, FEW = 5, 2


def _numbered(num_rows: int) -> np.ndarray:
    return 1 + np.arange(num_rows * 3, dtype=np.float32).reshape(num_rows, 3)


def _two_steps(optimizer: Any, table: RowTable, num_rows: int) -> np.ndarray:
    """Takes two steps on a table of rows, of which the first `FEW` have a gradient."""
    start = jnp.asarray(_numbered(num_rows))
    has_gradient = jnp.arange(num_rows)[:, None] < FEW
    fast = nested(table.path, start)
    grads = nested(table.path, jnp.where(has_gradient, 1 / start, 0))
    state = optimizer.init(fast)
    for _ in range(2):
        updates, state = optimizer.update(grads, state, fast)
        fast = optax.apply_updates(fast, updates)
    return np.asarray(tree.leaf(fast, table.path))


def _hyperparameters(
    optimizer: base.InnerOptimizer, table: RowTable, num_rows: int
) -> Any:
    fast = nested(table.path, jnp.asarray(_numbered(num_rows)))
    return optimizer.init(jax.random.key(0), fast)


def _same_shapes(first: Any, second: Any) -> bool:
    shapes = [[jnp.shape(x) for x in jax.tree.leaves(t)] for t in (first, second)]
    return shapes[0] == shapes[1]


def _read(
    table: RowTable, params: Any, inputs: list[Any]
) -> tuple[jax.Array, list[Any]]:
    """Returns the rows `[U]` that inputs use, and the inputs with indices into them."""
    num_rows = tree.leaf(params, table.path).shape[0]
    each = [jnp.asarray(table.numbers(part)) for part in inputs]
    flat = jnp.concatenate([numbers.reshape(-1) for numbers in each])
    rows, places = jnp.unique(
        flat,
        size=min(flat.size, num_rows),
        fill_value=num_rows,
        return_inverse=True,
    )
    ends = np.cumsum([numbers.size for numbers in each])[:-1].tolist()
    return rows, [
        table.renumbered(part, places.reshape(numbers.shape).astype(numbers.dtype))
        for part, numbers, places in zip(
            inputs, each, jnp.split(places.reshape(-1), ends), strict=True
        )
    ]


def _adapted_rows(
    few: Any, compact: FewRowsAdapted, table: RowTable, rows: jax.Array
) -> Any:
    """Returns adapted parameters on other rows; rows not adapted are as in `few`."""
    path = next(
        (p for p in tree.paths(compact.adapted) if table.path.endswith(p)), None
    )
    if path is None:  # The table did not adapt.
        return compact.adapted
    start = tree.leaf(few, table.path)
    places = jnp.searchsorted(compact.rows, rows)
    is_known = compact.rows.at[places].get(mode="clip") == rows

    def known(moved):
        wide = is_known.reshape(-1, *[1] * (moved.ndim - 1))
        return jnp.where(wide, moved.at[places].get(mode="clip"), start)

    return tree.update(compact.adapted, path, known)
