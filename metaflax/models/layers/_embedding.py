"""Embeddings of words at places of their own."""

import flax.linen as nn
import jax

from metaflax.models.families.bert import _network as _bert
from metaflax.models.layers import _packing


class Embedding(_bert._Part):
    """Tables by name, and the sum that all decoders begin with."""

    def table(self, name: str, num_rows: int) -> jax.Array:
        """A table `[num_rows, D]`; called from compact methods only."""
        if not self.is_initializing():
            # Whatever number of rows it has: an algorithm may hold only those in use.
            return self.get_variable("params", name)
        init = nn.initializers.normal(self.config.initializer_range)
        return self.param(name, init, (num_rows, self.config.hidden_size))

    def words_at(
        self, ids: jax.Array, positions: jax.Array, rows: _packing.Rows
    ) -> jax.Array:
        """The sum of word and position embeddings, `[R, D]`."""
        word = self.table("word", self.config.vocab_size)
        position = self.table("position", self.config.max_position_embeddings)
        # Indexing both, for the positions of a text need not begin at its first slot.
        return word[rows.pack(ids)] + position[rows.pack(positions)]
