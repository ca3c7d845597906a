"""Flax Linen modules that the networks of all families are built from.

Letters of shapes: B texts, P places of a text, R rows (tokens of a batch that are
worked on), D features, V words. A kernel is `[in, out]`. Leaves that `with_lora`,
`with_adapters` and `with_context` add to a parameter tree are applied wherever they
occur.
"""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers import _norms, _packing, _products, _smooth, _stack
from metaflax.models.layers._config import ACTIVATIONS, TransformerConfig


def wide_dtype(dtype: Any) -> Any:
    """Returns the dtype of norms and softmax: float32, or wider."""
    return jnp.promote_types(dtype, jnp.float32)


def widened(x: jax.Array) -> jax.Array:
    """Casts an array to at least float32."""
    return x.astype(wide_dtype(x.dtype))


class Dense(nn.Module):
    """A dense layer, with low-rank factors where the parameter tree has them.

    Attributes:
      features: number of outputs.
      dtype: dtype of products.
      kernel_init: draws the kernel; the bias starts at zero.
      use_bias: whether there is a bias.
    """

    features: int
    dtype: Any
    kernel_init: nn.initializers.Initializer
    use_bias: bool = True

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:  # [R, in]
        shape = inputs.shape[-1], self.features
        kernel = self.param("kernel", self.kernel_init, shape)
        y = self.product(inputs, kernel)
        if self.has_variable("params", _extras.LORA):
            lora = self.get_variable("params", _extras.LORA)
            # Never W + A B, which would be a kernel of its own for every task.
            y = y + self.product(self.product(inputs, lora["down"]), lora["up"])
        y = _stack.named_product(y)
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, shape[1:])
        # A product adds up in float32 whatever its type. The gradient of a bias, a sum
        # over rows, has the type of this addition: in bfloat16 it would stop growing
        # at 256 times its summands.
        wide = wide_dtype(self.dtype)
        return (y.astype(wide) + bias.astype(wide)[None]).astype(self.dtype)

    def product(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        kernel = jnp.asarray(kernel, self.dtype)
        return _products.matmul(x.astype(self.dtype), kernel)


class Norm(nn.Module):
    """Layer normalisation over the features, as `flax.linen.LayerNorm` names it.

    Attributes:
      epsilon: added to variances.
      use_bias: whether there is a bias beside the scale.
    """

    epsilon: float
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        x = _smooth.normalize(x, self.epsilon) * jnp.asarray(scale, x.dtype)[None]
        if not self.use_bias:
            return x
        bias = self.param("bias", nn.initializers.zeros, shape)
        return x + jnp.asarray(bias, x.dtype)[None]


class Block(nn.Module):
    """Base of the blocks of a transformer.

    Attributes:
      config: sizes and rates.
      dtype: dtype of computation; parameters are float32, norms and softmax at least
        so.
    """

    config: TransformerConfig
    dtype: Any

    def dense(self, name: str, features: int, *, use_bias: bool = True) -> Dense:
        return Dense(
            features,
            dtype=self.dtype,
            kernel_init=nn.initializers.normal(self.config.initializer_range),
            use_bias=use_bias,
            name=name,
        )

    def norm(self, x: jax.Array, *, use_bias: bool = True) -> jax.Array:
        norm = Norm(self.config.layer_norm_eps, use_bias, name="norm")
        return norm(widened(x)).astype(self.dtype)

    def rms_norm(self, x: jax.Array, name: str = "norm") -> jax.Array:
        norm = _norms.RMSNorm(self.config.layer_norm_eps, name=name)
        return norm(widened(x)).astype(self.dtype)

    def dropout(
        self, x: jax.Array, key: chex.PRNGKey | None, rate: float | None = None
    ) -> jax.Array:
        rate = self.config.hidden_dropout_prob if rate is None else rate
        return nn.Dropout(rate, deterministic=key is None)(x, rng=key)

    def adapted(self, x: jax.Array) -> jax.Array:
        if not self.has_variable("params", _extras.ADAPTER):
            return x
        return Adapter(self.config, self.dtype, name=_extras.ADAPTER)(x)


class Adapter(Block):
    """Bottleneck adapter with a residual connection."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = self.get_variable("params", "down")["kernel"].shape[1]
        hidden = ACTIVATIONS[self.config.hidden_act](self.dense("down", size)(x))
        return x + self.dense("up", x.shape[-1])(hidden)


class Embedding(Block):
    """Base of the embeddings of a network: tables by name.

    Attributes:
      width: features E of a row; None for those of a token.
    """

    width: int | None = None

    def table(self, name: str, num_rows: int) -> jax.Array:
        """Returns a table `[num_rows, E]`; called from compact methods only."""
        if not self.is_initializing():
            # Any number of rows is accepted: an algorithm may hold only those in use.
            return self.get_variable("params", name)
        init = nn.initializers.normal(self.config.initializer_range)
        return self.param(name, init, (num_rows, self.width or self.config.hidden_size))

    def words_at(
        self, ids: jax.Array, positions: jax.Array, rows: _packing.Rows
    ) -> jax.Array:
        """Returns the sum of word and position embeddings, `[R, D]`."""
        word = self.table("word", self.config.vocab_size)
        position = self.table("position", self.config.max_position_embeddings)
        # Indexing both, for the positions of a text need not begin at its first slot.
        return word[rows.pack(ids)] + position[rows.pack(positions)]

    def with_context(self, x: jax.Array) -> jax.Array:
        """Adds the context vector that `with_context` put in the tree, if it did."""
        if not self.has_variable("params", _extras.CONTEXT):
            return x
        context = self.get_variable("params", _extras.CONTEXT)
        vector, kernel = context["vector"][None], context["kernel"]
        return x + jnp.matmul(vector, kernel, precision="highest")  # [1, D]


class PostNormMlp(Block):
    """Feed-forward block of a layer; residual, then norm."""

    @nn.compact
    def __call__(self, x: jax.Array, key: chex.PRNGKey | None) -> jax.Array:
        up = self.dense("up", self.config.intermediate_size)(x)
        hidden = ACTIVATIONS[self.config.hidden_act](up)
        down = self.dense("down", self.config.hidden_size)(hidden)
        return self.norm(x + self.adapted(self.dropout(down, key)))


class GatedMlp(Block):
    """Feed-forward block whose hidden units are gated; RMS norm before, and residual.

    Attributes:
      use_bias: whether its dense layers have biases.

    References:
      Shazeer, `GLU Variants Improve Transformer <https://arxiv.org/abs/2002.05202>`_,
      2020.
    """

    use_bias: bool

    @nn.compact
    def __call__(self, x: jax.Array, key: chex.PRNGKey | None) -> jax.Array:
        config, use_bias = self.config, self.use_bias
        hidden_key, output_key = base.split_key(key)
        normed = self.rms_norm(x)
        gate, up = (
            self.dense(name, config.intermediate_size, use_bias=use_bias)(normed)
            for name in ("gate", "up")
        )
        hidden = self.dropout(ACTIVATIONS[config.hidden_act](gate) * up, hidden_key)
        down = self.dense("down", config.hidden_size, use_bias=use_bias)(hidden)
        return x + self.adapted(self.dropout(down, output_key))


class TiedWordHead(Block):
    """Output layer from states to logits, tied to the word embedding `[V, E]`.

    Attributes:
      activation: behind the dense layer; None for the configuration's `hidden_act`.
      dense_bias: whether the dense layer has a bias.
      norm_bias: whether the norm has one.
    """

    activation: str | None = None
    dense_bias: bool = True
    norm_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, word: jax.Array) -> jax.Array:
        dense = self.dense("dense", word.shape[1], use_bias=self.dense_bias)
        hidden = ACTIVATIONS[self.activation or self.config.hidden_act](dense(x))
        x = self.norm(hidden, use_bias=self.norm_bias)
        bias = self.param("bias", nn.initializers.zeros, (word.shape[0],))
        logits = widened(_products.matmul(x, jnp.asarray(word, self.dtype).T))
        return logits + bias.astype(logits.dtype)[None]
