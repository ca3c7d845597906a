"""Embeddings, layers and pooler that families of encoders share.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features, E features of an embedding, H heads.
"""

from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers import _attention, _modules, _packing
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers._attention import Source
from metaflax.models.layers._config import ACTIVATIONS
from metaflax.models.layers._tokens import Tokens


class Shared(NamedTuple):
    """Inputs of a layer that are the same for all layers.

    Attributes:
      bias: `[B or 1, H or 1, L or 1, L]`, added to the scores of attention.
      positions: relative positions of tokens, as layers of the family take them.
    """

    bias: jax.Array
    positions: Any = None


class TokenEmbeddings(_modules.Embedding):
    """Normalised sum of word, position and segment embeddings.

    Attributes:
      first_position: row of the position embedding of the first real token, after which
        real tokens are counted; None to count all slots of a text, from row 0.
      has_segments: whether there are segment embeddings.
    """

    first_position: int | None = None
    has_segments: bool = True

    @nn.compact
    def __call__(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
        return self.embedded(tokens, rows, key)

    def embedded(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
        """Returns the embeddings of tokens, `[R, E]`; from compact methods only."""
        x = self.word(tokens, rows) + self.position(tokens, rows)
        if self.has_segments:
            x = x + self.segment(tokens, rows)
        return self.dropout(self.norm(self.in_context(x)), key)

    def word(self, tokens: Tokens, rows: _packing.Rows) -> jax.Array:
        """Returns the word embeddings, `[R, E]`."""
        return self.table("word", self.config.vocab_size)[
            rows.pack(jnp.asarray(tokens.ids))
        ]

    def position(self, tokens: Tokens, rows: _packing.Rows) -> jax.Array:
        """Returns the position embeddings, `[R, E]`."""
        (B, L), num_rows = rows.shape, self.config.max_position_embeddings
        table = self.table("position", num_rows)
        if self.first_position is None:
            # Positions and segments occur many times. Broadcasting and a product have
            # fast transposes; indexing would add up gradients one token after the
            # other.
            places = jnp.broadcast_to(table[None, :L], (B, L, table.shape[1]))
            return rows.pack(places)
        # Numbers of the mask, not of ids: an algorithm may have renumbered those.
        numbers = _attention.positions(jnp.asarray(tokens.mask)) + self.first_position
        return table[rows.pack(numbers)]

    def segment(self, tokens: Tokens, rows: _packing.Rows) -> jax.Array:
        """Returns the segment embeddings, `[R, E]` or `[1, E]`."""
        table = self.table("token_type", self.config.type_vocab_size)
        if tokens.types is None:
            return table[:1]
        segments = jax.nn.one_hot(
            rows.pack(jnp.asarray(tokens.types)), table.shape[0], dtype=table.dtype
        )
        return jnp.matmul(segments, table, precision="highest")

    def in_context(self, x: jax.Array) -> jax.Array:
        """Adds the context vector, where the parameter tree has one."""
        if not self.has_variable("params", _extras.CONTEXT):
            return x
        context = self.get_variable("params", _extras.CONTEXT)
        vector, kernel = context["vector"][None], context["kernel"]
        return x + jnp.matmul(vector, kernel, precision="highest")  # [1, E]


class ProjectedEmbeddings(TokenEmbeddings):
    """Embeddings of another width than the states, to which a dense layer takes them.

    Attributes:
      always: whether the dense layer is there where both widths are the same.
    """

    always: bool = False

    @nn.compact
    def __call__(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
        x, D = self.embedded(tokens, rows, key), self.config.hidden_size
        if x.shape[1] == D and not self.always:
            return x
        return self.dense("projection", D)(x)


class SelfAttention(_attention.Attention):
    """Self-attention over the real tokens of a text; residual, then norm."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        queries, tokens = sources(x, rows, only_first)
        bias = of_queries(shared.bias, only_first)
        added, _ = self.attend(queries, tokens, bias, key)
        return self.norm(queries.x + added)


class PostNormLayer(_modules.Block):
    """Attention block, then feed-forward block, each with its norm behind it.

    Attributes:
      attention: class of the attention block.
    """

    attention: type[_attention.Attention] = SelfAttention

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        return self.blocks(x, rows, shared, only_first, key)

    def blocks(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        """Applies both blocks; called from compact methods only."""
        parts = self.config, self.dtype
        attention_key, mlp_key = base.split_key(key)
        attention: Any = self.attention(*parts, name="attention")
        x = attention(x, rows, shared, only_first, attention_key)
        return _modules.PostNormMlp(*parts, name="mlp")(x, mlp_key)


class Pooler(_modules.Block):
    """Dense layer with an activation, on the first token of a text.

    Attributes:
      activation: key of `ACTIVATIONS`.
    """

    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dense = self.dense("pooler", self.config.hidden_size)
        return ACTIVATIONS[self.activation](dense(x))


def sources(
    x: jax.Array, rows: _packing.Rows, only_first: bool
) -> tuple[Source, Source]:
    """Returns the tokens that attend, all or the first of each text, and all tokens."""
    tokens = Source(x, rows)
    if not only_first:
        return tokens, tokens
    one = _packing.Rows((rows.shape[0], 1), None, None)
    return Source(rows.first(x), one), tokens


def of_queries(x: jax.Array, only_first: bool) -> jax.Array:
    """Returns `[..., L or 1, L]` for all query tokens, or for the first alone."""
    return x[..., :1, :] if only_first else x


def padding_bias(tokens: Tokens, dtype: Any) -> jax.Array:
    """Computes the bias of scores that hides padding, `[B, 1, 1, L]`."""
    padding = 1 - jnp.asarray(tokens.mask).astype(_modules.wide_dtype(dtype))
    return _attention.MASKED * padding[:, None, None, :]
