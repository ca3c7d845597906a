"""Configuration of a GPT-2, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from metaflax.models.layers._config import (
    TransformerConfig,
    check_activation,
    check_integer,
    check_not_negative,
    check_num_layers,
    check_rate,
    check_supported,
    check_token_id,
)

# Fields of a Hugging Face configuration that change the network, and the values that
# ours can serve. `reorder_and_upcast_attn` is none: it changes rounding alone.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "add_cross_attention": (False,),
}


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    """Sizes and rates of a GPT-2; names and defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      n_positions: longest text in tokens, with those generated.
      n_embd: features D of a token.
      n_layer: number of layers.
      n_head: attention heads of a layer; they divide `n_embd`.
      n_inner: width of the feed-forward block; None for four times `n_embd`.
      activation_function: activation of that block, such as `gelu_new`.
      resid_pdrop: dropout rate of residual updates.
      embd_pdrop: dropout rate of embeddings.
      attn_pdrop: dropout rate of attention probabilities.
      layer_norm_epsilon: added to variances.
      initializer_range: standard deviation of fresh weights.
      scale_attn_weights: whether scores are divided by the root of a head's features.
      scale_attn_by_inverse_layer_idx: whether those of layer i are divided by i + 1.
      tie_word_embeddings: whether the output layer is tied to the word embedding.
      bos_token_id: id of the first token of a text, None for none.
      eos_token_id: id of its last token, None for none.

    Examples:
      >>> import jax
      >>> from metaflax import models, tree
      >>> config = models.GPTConfig(
      ...     vocab_size=50,
      ...     n_positions=16,
      ...     n_embd=8,
      ...     n_layer=1,
      ...     n_head=2,
      ...     bos_token_id=1,
      ...     eos_token_id=2,
      ... )
      >>> params = jax.eval_shape(models.gpt(config).init, jax.random.key(0))
      >>> sum(leaf.size for leaf in jax.tree.leaves(params))
      1416
      >>> models.GPTConfig(n_embd=8, n_head=3)
      Traceback (most recent call last):
        ...
      ValueError: n_head=3 does not divide n_embd=8
    """

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | None = 50256

    def __post_init__(self):
        check_activation("activation_function", self.activation_function)
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if name.startswith("n_") or name == "vocab_size":
                if value is not None or name != "n_inner":
                    check_integer(name, value)
            elif name.endswith("_pdrop"):
                check_rate(name, value)
            elif name.endswith("_token_id"):
                check_token_id(name, value, self.vocab_size)
        check_num_layers("n_layer", self.n_layer)
        for name in ("layer_norm_epsilon", "initializer_range"):
            check_not_negative(name, getattr(self, name))
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_head={self.n_head} does not divide n_embd={self.n_embd}"
            )

    @property
    def blocks(self) -> TransformerConfig:
        """The same sizes and rates by the names that the blocks of a network take."""
        return TransformerConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.n_embd,
            num_hidden_layers=self.n_layer,
            num_attention_heads=self.n_head,
            intermediate_size=self.n_inner or 4 * self.n_embd,
            hidden_act=self.activation_function,
            hidden_dropout_prob=self.resid_pdrop,
            attention_probs_dropout_prob=self.attn_pdrop,
            max_position_embeddings=self.n_positions,
            initializer_range=self.initializer_range,
            layer_norm_eps=self.layer_norm_epsilon,
        )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "GPTConfig":
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are
            ignored, absent ones have Hugging Face's defaults.

        Returns:
          The `GPTConfig`.

        Raises:
          ValueError: if the network does not support the configuration.

        Examples:
          >>> config = GPTConfig.from_dict({"model_type": "gpt2", "n_embd": 384})
          >>> config.n_embd, config.n_layer
          (384, 12)
        """
        check_supported(config, _SUPPORTED)
        names = [field.name for field in dataclasses.fields(cls)]
        known = {name: config[name] for name in names if name in config}
        size = known.get("vocab_size", cls.vocab_size)
        check_integer("vocab_size", size)
        for name in ("bos_token_id", "eos_token_id"):
            # The usual ids in a small vocabulary, which lacks them: there are none.
            usual = getattr(cls, name)
            if known.get(name, usual) == usual >= size:
                known[name] = None
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        kind = {name: supported[0] for name, supported in _SUPPORTED.items()}
        return {**kind, **dataclasses.asdict(self)}
