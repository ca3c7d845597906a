"""Networks of encoders: embeddings, a stack of layers, pooling.

Families differ in the parts; how they run is the same for all.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers import _packing, _pooling, _stack
from metaflax.models.layers._encoder_blocks import (
    Pooler,
    PostNormLayer,
    Shared,
    TokenEmbeddings,
    padding_bias,
)
from metaflax.models.layers._pooling import Encoder, Pooling
from metaflax.models.layers._tokens import Tokens


def numbered_layers(config: Any, dtype: Any) -> list[tuple[str, nn.Module]]:
    """Returns layers that normalise behind each block, all alike."""
    layer = PostNormLayer(config, dtype)
    return [(layer_name(i), layer) for i in range(config.num_hidden_layers)]


def layer_name(number: int) -> str:
    """Returns the name of the parameters of a layer."""
    return f"layer_{number}"


@dataclasses.dataclass(frozen=True)
class EncoderNetwork:
    """The parts of an encoder, in which families differ.

    Each is a function of the family's configuration and the dtype of computation, and
    makes Flax modules. The parameter tree has `embeddings`, a part for each name of
    `layers`, `relative` and `norm` where there are such modules, and `pooler`.

    Attributes:
      embeddings: called as `x = embeddings(tokens, rows, key)`, `[R, D]`.
      layers: names and modules of the layers, first to last, called as
        `x = layer(x, rows, shared, only_first, key)`. A name may occur more than once,
        and layers that are alike share the module.
      relative: called as `shared = relative(tokens)`, the inputs of all layers; None
        for those that hide padding and need no parameters.
      norm: called as `x = norm(x)` on the states of the last layer; None for none.
      pooler: called as `features = pooler(x)`, on what `pools` selects.
      pools: `pools(config)`, the pooling of the states that the pooler takes.
    """

    embeddings: Callable[[Any, Any], nn.Module] = TokenEmbeddings
    layers: Callable[[Any, Any], Sequence[tuple[str, nn.Module]]] = numbered_layers
    relative: Callable[[Any, Any], nn.Module] | None = None
    norm: Callable[[Any, Any], nn.Module] | None = None
    pooler: Callable[[Any, Any], nn.Module] = Pooler
    pools: Callable[[Any], Pooling] = lambda config: "first"

    def stages(self, config: Any) -> tuple[Any, ...]:
        """Returns the parameters of each stage below the pooling."""
        relative = [] if self.relative is None else ["relative"]
        names = [name for name, _ in self.layers(config, jnp.float32)]
        layers: list[Any] = [(name, *relative) if relative else name for name in names]
        if self.norm is not None:
            layers[-1] = (names[-1], *relative, "norm")
        return "embeddings", *layers

    def shared(self, config: Any, params: Any, tokens: Tokens, dtype: Any) -> Shared:
        """Computes the inputs of all layers."""
        if self.relative is None:
            return Shared(padding_bias(tokens, dtype))
        variables = {"params": params.get("relative", {})}  # It may need none.
        return cast(Shared, self.relative(config, dtype).apply(variables, tokens))

    @jax.named_scope("encoder")  # Profiles find it by this name.
    def run_stages(
        self,
        config: Any,
        params: Any,
        tokens: Tokens,
        states: jax.Array | None,
        key: chex.PRNGKey | None,
        first: int,
        last: int,
        *,
        only_first: bool = False,
        dtype: Any = jnp.float32,
        layer_loop: _stack.LayerLoop = "auto",
        remat: _stack.Remat = "none",
    ) -> jax.Array:
        """Runs some of the `stages`, at least one.

        Args:
          config: sizes and rates.
          params: the parameter tree; unused leaves are ignored.
          tokens: `[B, L]` texts.
          states: `[B, L, D]`, output of the stage before `first`; None if there is
            none.
          key: for dropout; None for none.
          first: index of the first stage to run.
          last: one more than the index of the last.
          only_first: whether the last layer is computed at first tokens only.
          dtype: dtype of computation.
          layer_loop: whether layers are unrolled or scanned, see `encoder`.
          remat: which activations are kept for the backward pass, see `encoder`.

        Returns:
          Hidden states `[B, L, D]`, zero or meaningless at padding; or `[B, D]` of the
          last layer with `only_first`.

        Raises:
          ValueError: if texts are longer than the model's positions.
        """
        check_length(config, tokens)
        rows = _packing.rows_of(tokens)
        modules = self.layers(config, dtype)
        first_key, *keys = base.split_key(key, 1 + len(modules))
        if states is None:
            embeddings = self.embeddings(config, dtype)
            variables = {"params": params["embeddings"]}
            with jax.named_scope("embeddings"):
                x = embeddings.apply(variables, tokens, rows, first_key)
            x = cast(jax.Array, x)
        else:
            x = rows.pack(states)
        numbers = range(max(first - 1, 0), last - 1)
        if not numbers:
            return rows.unpack(x)

        shared = self.shared(config, params, tokens, dtype)
        shortened = len(modules) - 1 if only_first else None
        run: dict[tuple[int, bool], _stack.LayerFn] = {}
        for i in numbers:  # One function for all layers that are alike.
            module, short = modules[i][1], i == shortened
            run.setdefault(
                (id(module), short),
                functools.partial(_run_layer, module, rows, shared, short),
            )
        layers = [
            (run[id(modules[i][1]), i == shortened], (params[modules[i][0]], keys[i]))
            for i in numbers
        ]
        x = _stack.run_layers(x, layers, layer_loop=layer_loop, remat=remat)
        if last > len(modules) and self.norm is not None:
            norm = self.norm(config, dtype)
            x = cast(jax.Array, norm.apply({"params": {"norm": params["norm"]}}, x))
        return x if only_first and last > len(modules) else rows.unpack(x)

    def pooled(self, config: Any, params: Any, x: jax.Array, dtype: Any) -> jax.Array:
        """Applies the pretrained pooler to `[B, D]`.

        Raises:
          ValueError: if the parameters hold none.
        """
        if "pooler" not in params:
            raise ValueError(
                "the parameters hold no pooler: this checkpoint came without one; use"
                ' pooling="mean" or "first"'
            )
        variables = {"params": {"pooler": params["pooler"]}}
        return cast(jax.Array, self.pooler(config, dtype).apply(variables, x))

    def init(
        self, config: Any, key: chex.PRNGKey, *, pooler: bool = False
    ) -> dict[str, Any]:
        """Initialises parameters, with those of a pooler on request."""
        one = jnp.zeros((1, 1), jnp.int32)
        tokens = Tokens(one, None, jnp.ones_like(one))
        rows = _packing.rows_of(tokens)
        x = jnp.zeros((1, config.hidden_size))
        embeddings_key, pooler_key, layers_key = jax.random.split(key, 3)

        draw = self.embeddings(config, jnp.float32).init
        drawn: dict[str, Any] = {
            "embeddings": draw(embeddings_key, tokens, rows, None)["params"]
        }
        modules = self.layers(config, jnp.float32)
        if self.relative is not None:
            relative_key = jax.random.fold_in(layers_key, len(modules))
            relative = self.relative(config, jnp.float32).init(relative_key, tokens)
            drawn |= {"relative": relative["params"]} if "params" in relative else {}
        shared = self.shared(config, drawn, tokens, jnp.float32)
        draws: dict[int, Any] = {}
        for i, (name, module) in enumerate(modules):
            if name in drawn:
                continue
            draw = draws.setdefault(
                id(module),
                jax.jit(
                    lambda key, module=module: module.init(
                        key, x, rows, shared, False, None
                    )
                ),
            )
            drawn[name] = draw(jax.random.fold_in(layers_key, i))["params"]
        if self.norm is not None:
            drawn |= self.norm(config, jnp.float32).init(key, x)["params"]
        if pooler:
            drawn |= self.pooler(config, jnp.float32).init(pooler_key, x)["params"]
        return drawn


def encoder(
    network: EncoderNetwork,
    config: Any,
    *,
    pooling: Pooling = "mean",
    standardize: bool = False,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> Encoder:
    """Builds an encoder whose hidden states are pooled; see `models.encoder`."""
    _check("pooling", pooling, Pooling)
    _check("layer_loop", layer_loop, _stack.LayerLoop)
    _check("remat", remat, _stack.Remat)
    reads = *network.stages(config), "pooler"
    top = len(reads) - 1
    selects = network.pools(config) if pooling == "pooler" else pooling
    run_below = functools.partial(
        network.run_stages,
        config,
        only_first=selects == "first",
        dtype=dtype,
        layer_loop=layer_loop,
        remat=remat,
    )

    def init(key: chex.PRNGKey) -> Any:
        return network.init(config, key, pooler=pooling == "pooler")

    def pool(params: Any, tokens: Tokens, x: jax.Array) -> jax.Array:
        if pooling == "pooler":
            if selects != "first":
                x = _pooling.pool(x, tokens, selects)
            x = network.pooled(config, params, x, dtype)
        return _pooling.pool(
            x, tokens, pooling, standardize=standardize, eps=config.layer_norm_eps
        )

    def run(params, tokens, states, key, first, last):
        if first < top:
            states = run_below(params, tokens, states, key, first, min(last, top))
        return pool(params, tokens, states) if last > top else states

    num_features = _pooling.num_features(pooling, config.hidden_size)
    staged = base.StagedApply(reads, run, examples_independent=True)
    return Encoder(init, staged, num_features)


def check_length(config: Any, tokens: Tokens) -> None:
    """Refuses, while tracing, texts that have no position embedding."""
    length = jnp.shape(tokens.ids)[-1]
    if length > config.longest_text:
        raise ValueError(
            f"texts of {length} tokens are longer than the {config.longest_text} of a"
            f" model with max_position_embeddings={config.max_position_embeddings};"
            " truncate them when tokenising"
        )


def _run_layer(
    layer: nn.Module,
    rows: _packing.Rows,
    shared: Shared,
    only_first: bool,
    x: jax.Array,
    variables: tuple[Any, chex.PRNGKey | None],
) -> jax.Array:
    params, key = variables
    return cast(
        jax.Array, layer.apply({"params": params}, x, rows, shared, only_first, key)
    )


def _check(name: str, choice: str, known: Any) -> None:
    if choice not in get_args(known):
        raise ValueError(
            f"unknown {name}={choice!r}; there is {', '.join(get_args(known))}"
        )
