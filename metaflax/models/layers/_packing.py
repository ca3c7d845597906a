"""Tokens as rows `[R, D]`, with or without the padding.

Dense layers and norms see one row per token; attention sees `[B, L, D]`. Plain
indexing goes from one to the other: its derivative scatters rows that never meet,
which costs within a few percent of what a primitive with a gather as its transpose
does, and it works under every transformation. `jax.custom_derivatives.linear_call`
has no batching rule, and `custom_vjp` no second derivative.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metaflax.models.layers._tokens import Tokens


class Rows(NamedTuple):
    """Layout of R rows packed into `[B, L]` tokens.

    Attributes:
      shape: (B, L).
      source: `[R]`, the flat position of each row, B * L for a row of no token; None
        where R = B * L, in order.
      target: `[B * L]`, the row of each position, R for padding; None where
        R = B * L, in order.
    """

    shape: tuple[int, int]
    source: jax.Array | None
    target: jax.Array | None

    def pack(self, x: jax.Array) -> jax.Array:
        """Converts `[B, L, ...]` to rows `[R, ...]`, zero for a row of no token."""
        x = x.reshape(-1, *x.shape[2:])
        return x if self.source is None else _take(x, self.source)

    def unpack(self, x: jax.Array) -> jax.Array:
        """Converts rows `[R, D]` to `[B, L, D]`, zero at padding that has no row."""
        x = x if self.target is None else _take(x, self.target)
        return x.reshape(*self.shape, -1)

    def first(self, x: jax.Array) -> jax.Array:
        """Returns the rows of first tokens, `[R, D]` to `[B, D]`."""
        if self.target is None:
            return self.unpack(x)[:, 0]
        return _take(x, self.target[:: self.shape[1]])


def rows_of(tokens: Tokens) -> Rows:
    """Returns the layout of the tokens of a batch: packed if `tokens.packed` is set."""
    B, L = jnp.shape(tokens.ids)
    if tokens.packed is None:
        return Rows((B, L), None, None)
    source = jnp.asarray(tokens.packed)
    real = jnp.asarray(tokens.mask).astype(bool).reshape(-1)
    order = jnp.cumsum(real.astype(jnp.int32)) - 1
    return Rows((B, L), source, jnp.where(real, order, source.shape[0]))


def _take(x: jax.Array, rows: jax.Array) -> jax.Array:
    """Takes rows of `x`, zero where an index is beyond the last."""
    return x.at[rows].get(mode="fill", fill_value=0)
