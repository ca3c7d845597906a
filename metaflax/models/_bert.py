"""BERT as Flax Linen modules, made for being differentiated twice.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features, H heads, d features of a head.

The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/mlp/norm/scale`, `pooler/kernel`; a kernel is `[in, out]`. Leaves that
`with_lora`, `with_adapters` and `with_context` add are applied where they are found.
"""

import functools
import itertools
from typing import Any, Literal, TypeAlias, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models import _extras, _packing, _smooth
from metaflax.models._bert_config import ACTIVATIONS, BertConfig
from metaflax.models._tokens import Tokens

Reads: TypeAlias = Literal["all", "first", "pooler"]

# Far below any score, yet finite: a text of padding only attends to all of it evenly.
_MASKED = -1e9


def _wide(dtype: Any) -> Any:
    """The type of norms and softmax: float32, or wider."""
    return jnp.promote_types(dtype, jnp.float32)


class Dense(nn.Dense):
    """A dense layer, and its low-rank factors if it has any."""

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        y = super().__call__(inputs)
        if not self.has_variable("params", _extras.LORA):
            return y
        lora = self.get_variable("params", _extras.LORA)
        down, up = (jnp.asarray(lora[name], self.dtype) for name in ("down", "up"))
        # Never W + A B, which would be a kernel of its own for every task.
        return y + jnp.matmul(jnp.matmul(inputs.astype(self.dtype), down), up)


class Norm(nn.Module):
    """Layer normalisation over the features, as `flax.linen.LayerNorm` names it."""

    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        scale, bias = (jnp.asarray(p, x.dtype)[None] for p in (scale, bias))
        return _smooth.normalize(x, self.epsilon) * scale + bias


class _Part(nn.Module):
    """A piece of the network: what all of them know, and what they build from.

    Attributes:
      config: sizes and rates.
      dtype: of computation; parameters are float32, norms and softmax at least so.
    """

    config: BertConfig
    dtype: Any

    def dense(self, name: str, features: int) -> Dense:
        return Dense(
            features,
            dtype=self.dtype,
            kernel_init=nn.initializers.normal(self.config.initializer_range),
            name=name,
        )

    def norm(self, x: jax.Array) -> jax.Array:
        return Norm(self.config.layer_norm_eps, name="norm")(
            x.astype(_wide(self.dtype))
        ).astype(self.dtype)

    def dropout(
        self, x: jax.Array, key: chex.PRNGKey | None, rate: float | None = None
    ) -> jax.Array:
        rate = self.config.hidden_dropout_prob if rate is None else rate
        return nn.Dropout(rate, deterministic=key is None)(x, rng=key)

    def adapted(self, x: jax.Array) -> jax.Array:
        if not self.has_variable("params", _extras.ADAPTER):
            return x
        return Adapter(self.config, self.dtype, name=_extras.ADAPTER)(x)


class Adapter(_Part):
    """A bottleneck with a residual of its own."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = self.get_variable("params", "down")["kernel"].shape[1]
        hidden = ACTIVATIONS[self.config.hidden_act](self.dense("down", size)(x))
        return x + self.dense("up", x.shape[-1])(hidden)


class Embeddings(_Part):
    """The sum of word, position and segment embeddings, normalised."""

    def table(self, name: str, num_rows: int) -> jax.Array:
        if not self.is_initializing():
            # Whatever number of rows it has: an algorithm may hold only those in use.
            return self.get_variable("params", name)
        init = nn.initializers.normal(self.config.initializer_range)
        return self.param(name, init, (num_rows, self.config.hidden_size))

    @nn.compact
    def __call__(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
        config, (B, L) = self.config, rows.shape
        word = self.table("word", config.vocab_size)
        position = self.table("position", config.max_position_embeddings)
        token_type = self.table("token_type", config.type_vocab_size)

        # Positions and segments occur many times. Broadcasting and a product have fast
        # transposes; indexing would add up gradients one token after the other.
        places = jnp.broadcast_to(position[None, :L], (B, L, position.shape[1]))
        x = word[rows.pack(jnp.asarray(tokens.ids))] + rows.pack(places)  # [R, D]
        if tokens.types is None:
            x = x + token_type[:1]
        else:
            chosen = jax.nn.one_hot(
                rows.pack(jnp.asarray(tokens.types)),
                token_type.shape[0],
                dtype=token_type.dtype,
            )
            x = x + jnp.matmul(chosen, token_type, precision="highest")
        if self.has_variable("params", _extras.CONTEXT):
            context = self.get_variable("params", _extras.CONTEXT)
            vector, kernel = context["vector"][None], context["kernel"]
            x = x + jnp.matmul(vector, kernel, precision="highest")  # [1, D]
        return self.dropout(self.norm(x), key)


class Attention(_Part):
    """Every token looks at the real tokens of its text; residual and norm."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        config, (B, L) = self.config, rows.shape
        D, H = config.hidden_size, config.num_attention_heads
        d = D // H

        def heads(x: jax.Array) -> jax.Array:  # [B, l, D]
            x = x.reshape(B, -1, H, d).transpose(0, 2, 1, 3)
            return x.reshape(B * H, -1, d)

        asking = rows.first(x) if only_first else x
        query = self.dense("query", D)(asking) * jnp.asarray(d**-0.5, self.dtype)
        query = query[:, None] if only_first else rows.unpack(query)  # [B, l, D]
        keys = rows.unpack(self.dense("key", D)(x))  # [B, L, D]
        value = rows.unpack(self.dense("value", D)(x))  # [B, L, D]

        scores = jnp.matmul(heads(query), heads(keys).swapaxes(1, 2))  # [B * H, l, L]
        scores = scores.reshape(B, H, -1, L).astype(bias.dtype) + bias
        weights = jax.nn.softmax(scores).astype(self.dtype)
        weights_key, output_key = base.split_key(key)
        rate = config.attention_probs_dropout_prob
        weights = self.dropout(weights, weights_key, rate)

        mixed = jnp.matmul(weights.reshape(B * H, -1, L), heads(value))  # [B * H, l, d]
        mixed = mixed.reshape(B, H, -1, d).transpose(0, 2, 1, 3).reshape(B, -1, D)
        mixed = mixed[:, 0] if only_first else rows.pack(mixed)  # [R, D]
        mixed = self.dropout(self.dense("output", D)(mixed), output_key)
        return self.norm(asking + self.adapted(mixed))


class Mlp(_Part):
    """The feed-forward part of a layer; residual and norm."""

    @nn.compact
    def __call__(self, x: jax.Array, key: chex.PRNGKey | None) -> jax.Array:
        up = self.dense("up", self.config.intermediate_size)(x)
        hidden = ACTIVATIONS[self.config.hidden_act](up)
        down = self.dense("down", self.config.hidden_size)(hidden)
        return self.norm(x + self.adapted(self.dropout(down, key)))


class Layer(_Part):
    """Attention, then the feed-forward part."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        parts = self.config, self.dtype
        attention_key, mlp_key = base.split_key(key)
        x = Attention(*parts, name="attention")(
            x, rows, bias, only_first, attention_key
        )
        return Mlp(*parts, name="mlp")(x, mlp_key)


class Bert(_Part):
    """The encoder; `reads` says what of its last layer is wanted, and computed.

    Attributes:
      remat_layers: whether a backward pass runs each layer again, from its inputs.
    """

    remat_layers: bool = False

    @nn.compact
    def __call__(
        self,
        tokens: Tokens,
        reads: Reads = "all",
        key: chex.PRNGKey | None = None,
    ) -> jax.Array:
        check_length(self.config, tokens)
        parts = self.config, self.dtype
        rows = _packing.rows_of(tokens)
        padding = 1 - jnp.asarray(tokens.mask).astype(_wide(self.dtype))
        bias = _MASKED * padding[:, None, None, :]  # [B, 1, 1, L]

        num_layers = self.config.num_hidden_layers
        first_key, *keys = base.split_key(key, 1 + num_layers)
        x = Embeddings(*parts, name="embeddings")(tokens, rows, first_key)
        # What reads the first token only needs no other from the last layer.
        only_first = [False] * (num_layers - 1) + [reads != "all"]
        if self.remat_layers and not self.is_initializing():
            x = self.layers_again(x, rows, bias, only_first, keys)
        else:
            for i, rest in enumerate(zip(only_first, keys, strict=True)):
                x = Layer(*parts, name=f"layer_{i}")(x, rows, bias, *rest)
        if reads == "all":
            x = rows.unpack(x)  # [B, L, D]
        if reads == "pooler":
            x = jnp.tanh(self.dense("pooler", self.config.hidden_size)(x))
        return x.astype(_wide(self.dtype))

    def layers_again(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        only_first: list[bool],
        keys: list[chex.PRNGKey | None],
    ) -> jax.Array:
        """The layers, each of which a backward pass runs again.

        Layers of the same shape that follow each other become one scan. In a loop of
        its own the second run cannot be merged with the first; elsewhere that takes
        barriers, and on CPU XLA removes these early.
        """
        layer = Layer(self.config, self.dtype, parent=None)
        params = [self.get_variable("params", f"layer_{i}") for i in range(len(keys))]

        def alike(i: int) -> Any:
            return only_first[i], _shapes(params[i])

        for (last, _), numbers in itertools.groupby(range(len(keys)), alike):
            each = [(params[i], keys[i]) for i in numbers]

            def run(
                x: jax.Array, own: Any, last: bool = last
            ) -> tuple[jax.Array, None]:
                variables, key = {"params": own[0]}, own[1]
                return cast(
                    jax.Array, layer.apply(variables, x, rows, bias, last, key)
                ), None

            if len(each) == 1:
                x, _ = jax.checkpoint(run)(x, each[0])
            else:
                stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
                # Nothing to merge with: the two runs are in different loops.
                x, _ = jax.lax.scan(jax.checkpoint(run, prevent_cse=False), x, stacked)
        return x


def _shapes(params: Any) -> Any:
    """What must agree for parameters to be stacked; comparable."""
    leaves, treedef = jax.tree.flatten(params)
    return treedef, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


def check_length(config: BertConfig, tokens: Tokens) -> None:
    """Refuses, while tracing, texts that have no position embedding."""
    length = jnp.shape(tokens.ids)[-1]
    if length > config.max_position_embeddings:
        raise ValueError(
            f"texts of {length} tokens are longer than the model's"
            f" max_position_embeddings={config.max_position_embeddings}; truncate"
            " them when tokenising"
        )


def init_bert(
    config: BertConfig, key: chex.PRNGKey, *, reads: Reads = "all"
) -> dict[str, Any]:
    """Draws fresh parameters, with a pooler where `reads` is "pooler"."""
    one = jnp.zeros((1, 1), jnp.int32)
    network = Bert(config, jnp.float32)
    init = functools.partial(network.init, reads=reads)
    return jax.jit(init)(key, Tokens(one, None, jnp.ones_like(one)))["params"]


def apply_bert(
    config: BertConfig,
    params: Any,
    tokens: Tokens,
    key: chex.PRNGKey | None = None,
    *,
    reads: Reads = "all",
    dtype: Any = jnp.float32,
    remat_layers: bool = False,
) -> jax.Array:
    """Runs the encoder.

    Args:
      config: sizes and rates.
      params: the parameter tree; leaves that nothing reads are passed over.
      tokens: `[B, L]` texts.
      key: for dropout; None for none.
      reads: "all" tokens `[B, L, D]`, zero or meaningless at padding; the "first" of
        each text `[B, D]`, for which the last layer skips the others; or what the
        "pooler" makes of the first.
      dtype: of computation.
      remat_layers: whether a backward pass runs each layer again, from its inputs.

    Returns:
      The hidden states that `reads` names, at least float32.

    Raises:
      ValueError: if texts are longer than the model's positions, or `reads` is
        "pooler" and the parameters hold none.
    """
    if reads == "pooler" and "pooler" not in params:
        raise ValueError(
            "the parameters hold no pooler: this checkpoint came without one; use"
            ' pooling="mean" or "first"'
        )
    network = Bert(config, dtype, remat_layers=remat_layers)
    states = network.apply({"params": params}, tokens, reads, key)
    return cast(jax.Array, states)
