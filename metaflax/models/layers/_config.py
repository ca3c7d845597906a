"""Sizes and rates that the blocks of all transformers take."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from metaflax.models.layers import _smooth


def _gelu_tanh(x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x, approximate=True)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": _smooth.gelu,
    "gelu_python": _smooth.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}
"""Activation functions by their names in Hugging Face's configurations."""

MAX_LAYERS, MAX_SIZE = 10_000, 2**31 - 1


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Sizes and rates of a transformer, by the names that Hugging Face gives BERT's.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      num_hidden_layers: number of layers.
      num_attention_heads: attention heads of a layer.
      intermediate_size: width of the feed-forward block.
      hidden_act: activation of that block, a key of `ACTIVATIONS`.
      hidden_dropout_prob: dropout rate of embeddings and of residual updates.
      attention_probs_dropout_prob: dropout rate of attention probabilities.
      max_position_embeddings: longest text in tokens.
      type_vocab_size: number of segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    # Sizes that a subclass checks.
    unchecked: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        check_activation("hidden_act", self.hidden_act)
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in self.unchecked:
                continue
            if name.startswith(("num_", "vocab", "type_", "max_")) or (
                name.endswith("_size")
            ):
                check_integer(name, value)
            elif name.endswith("_prob"):
                check_rate(name, value)
        check_num_layers("num_hidden_layers", self.num_hidden_layers)
        for name in ("layer_norm_eps", "initializer_range"):
            check_not_negative(name, getattr(self, name))


@dataclasses.dataclass(frozen=True)
class EncoderConfig(TransformerConfig):
    """Sizes and rates of an encoder, from and to a Hugging Face configuration.

    Attributes:
      model_type: the family's name.
      supported: fields that change the network, and the values that it can serve, the
        default first.
      renamed: names of fields in the file, where those differ from ours; None for
        fields that are the same in all networks of the family.
      pad_token_id: id of padding.
    """

    model_type: ClassVar[str]
    supported: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    renamed: ClassVar[Mapping[str, str | None]] = {}

    pad_token_id: int = 0

    def __post_init__(self):
        super().__post_init__()
        check_heads(self.hidden_size, self.num_attention_heads)

    @property
    def longest_text(self) -> int:
        """Most tokens of a text."""
        return self.max_position_embeddings

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are ignored,
            absent ones have Hugging Face's defaults.

        Returns:
          The configuration.

        Raises:
          ValueError: if the network does not support the configuration.
        """
        check_supported(config, {"model_type": (cls.model_type,), **cls.supported})
        names = {
            f.name: cls.renamed.get(f.name, f.name) for f in dataclasses.fields(cls)
        }
        return cls(
            **{
                ours: config[name]
                for ours, name in names.items()
                if name is not None and name in config
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        fixed = {name: values[0] for name, values in self.supported.items()}
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        names = {name: self.renamed.get(name, name) for name in values}
        fields = {
            name: values[ours] for ours, name in names.items() if name is not None
        }
        return {"model_type": self.model_type, **fixed, **fields}

    def check_positions(self, first: int) -> None:
        """Refuses a position embedding without a row for any token.

        Raises:
          ValueError: if there are no more rows than the `first` ones without a token.
        """
        if self.max_position_embeddings <= first:
            raise ValueError(
                f"max_position_embeddings must be above {first}, for the rows before"
                f" belong to no token; got {self.max_position_embeddings}"
            )


def check_activation(name: str, value: Any) -> None:
    """Checks that a value is a key of `ACTIVATIONS`.

    Raises:
      ValueError: naming the field, its value, and the activations.
    """
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise ValueError(
            f"the network has no activation {name}={value!r:.40}; it has"
            f" {', '.join(ACTIVATIONS)}"
        )


def check_integer(name: str, value: Any, *, at_least: int = 1) -> None:
    """Checks that a value is an integer, not below a bound or above any array size.

    Raises:
      ValueError: naming the field and its value.
    """
    if not is_integer(value, at_least=at_least):
        kind = "a positive integer"
        if at_least != 1:
            kind = f"an integer of at least {at_least}"
        raise ValueError(f"{name} must be {kind}, got {value!r:.40}")
    if value > MAX_SIZE:
        raise ValueError(f"{name} may be {MAX_SIZE} at most, got {value!r:.40}")


def check_rate(name: str, value: Any) -> None:
    """Checks that a value is a dropout rate.

    Raises:
      ValueError: naming the field and its value.
    """
    if not is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value!r:.40}")


def check_not_negative(name: str, value: Any) -> None:
    """Checks that a value is a finite number, and not below zero.

    Raises:
      ValueError: naming the field and its value.
    """
    if not is_number(value):
        raise ValueError(f"{name} must be a finite number, got {value!r:.40}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value!r:.40}")


def check_heads(hidden_size: int, num_heads: int) -> None:
    """Checks that heads divide the features of a token.

    Raises:
      ValueError: naming both numbers.
    """
    if hidden_size % num_heads:
        raise ValueError(
            f"num_attention_heads={num_heads} does not divide hidden_size={hidden_size}"
        )


def check_num_layers(name: str, number: Any) -> None:
    """Refuses more layers than any network has, before each is given a name.

    Raises:
      ValueError: naming the field and its value.
    """
    check_integer(name, number)
    if number > MAX_LAYERS:
        raise ValueError(f"{name} may be {MAX_LAYERS} at most, got {number!r:.40}")


def check_supported(
    config: Mapping[str, Any], supported: Mapping[str, tuple[Any, ...]]
) -> None:
    """Refuses a Hugging Face configuration with a value that is not supported.

    Raises:
      ValueError: naming the field, its value, and what is supported.
    """
    for name, values in supported.items():
        if config.get(name, values[0]) not in values:
            raise ValueError(
                f"the network cannot do {name}={config[name]!r}; it supports"
                f" {name}={', '.join(map(repr, values))} only"
            )


def check_token_id(name: str, value: Any, vocab_size: int) -> None:
    """Checks that a value is None or a row of the word embedding.

    Raises:
      ValueError: naming the field, its value, and the size of the vocabulary.
    """
    if value is None:
        return
    if not is_integer(value, at_least=0) or value >= vocab_size:
        raise ValueError(
            f"{name} must be None or one id below vocab_size={vocab_size}, got"
            f" {value!r:.40}"
        )


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite real number, no bool."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # An integer that no float holds.
        return False


def is_integer(value: Any, *, at_least: int) -> bool:
    """Returns whether a value is an integer, no bool, and not below a bound."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least
