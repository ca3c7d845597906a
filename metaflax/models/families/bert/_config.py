"""What describes a BERT, in the words of Hugging Face."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

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
"""What `hidden_act` may be, as Hugging Face defines each."""

MOST_LAYERS = 10_000

# Fields of a Hugging Face configuration that change the network, and the values that
# ours can serve.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The sizes and rates of a BERT encoder; names and defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      num_hidden_layers: layers.
      num_attention_heads: heads of a layer; they divide `hidden_size`.
      intermediate_size: width of the feed-forward part.
      hidden_act: its activation, a key of `ACTIVATIONS`.
      hidden_dropout_prob: dropout of embeddings and of what layers add.
      attention_probs_dropout_prob: dropout of attention probabilities.
      max_position_embeddings: the longest text in tokens.
      type_vocab_size: segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances.
      pad_token_id: the id that fills texts up.
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
    pad_token_id: int = 0

    def __post_init__(self):
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(
                f"the network has no activation hidden_act={self.hidden_act!r}; it"
                f" has {', '.join(ACTIVATIONS)}"
            )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.startswith(("num_", "vocab", "type_", "max_")) or (
                field.name.endswith("_size")
            ):
                if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                    raise ValueError(
                        f"{field.name} must be a positive integer, got {value!r}"
                    )
            elif field.name.endswith("_prob") and not 0 <= value < 1:
                raise ValueError(f"{field.name} must lie in [0, 1), got {value!r}")
        check_num_layers("num_hidden_layers", self.num_hidden_layers)
        if not self.layer_norm_eps >= 0:
            raise ValueError(
                f"layer_norm_eps must not be negative, got {self.layer_norm_eps!r}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"num_attention_heads={self.num_attention_heads} does not divide"
                f" hidden_size={self.hidden_size}"
            )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "BertConfig":
        """Reads a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are passed
            over, absent ones have Hugging Face's defaults.

        Returns:
          The `BertConfig`.

        Raises:
          ValueError: if the configuration asks for what the network does not do.

        Examples:
          >>> config = BertConfig.from_dict({"model_type": "bert", "hidden_size": 384})
          >>> config.hidden_size, config.num_hidden_layers
          (384, 12)
        """
        for name, supported in _SUPPORTED.items():
            if config.get(name, supported[0]) not in supported:
                raise ValueError(
                    f"the network cannot do {name}={config[name]!r}; it supports"
                    f" {name}={', '.join(map(repr, supported))} only"
                )
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: config[name] for name in names if name in config})

    def to_dict(self) -> dict[str, Any]:
        """The Hugging Face configuration of this network."""
        kind = {name: supported[0] for name, supported in _SUPPORTED.items()}
        return {**kind, **dataclasses.asdict(self)}


def check_num_layers(name: str, number: int) -> None:
    """Refuses more layers than any network has, before each is given a name.

    Raises:
      ValueError: naming the field and its value.
    """
    if number > MOST_LAYERS:
        raise ValueError(f"{name} may be {MOST_LAYERS} at most, got {number}")
