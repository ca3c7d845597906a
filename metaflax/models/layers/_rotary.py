"""Rotary position embeddings, with the scalings of long contexts.

Letters of shapes: B texts, H heads, l tokens of a text, d features of a head.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax.models.layers import _modules
from metaflax.models.layers._config import is_number

# Fields of a scaling beside its base, by its name in Hugging Face's configurations:
# those that it must have, and those that it may.
_LONG = "original_max_position_embeddings"
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "linear": (("factor",), ()),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", _LONG), ()),
    "yarn": (
        ("factor", _LONG),
        (
            "attention_factor",
            "beta_fast",
            "beta_slow",
            "mscale",
            "mscale_all_dim",
            "truncate",
        ),
    ),
}


class Angles(NamedTuple):
    """Cosines and sines of the tokens of a batch, each `[B, l, d / 2]`."""

    cos: jax.Array
    sin: jax.Array


@dataclasses.dataclass(frozen=True)
class RotaryConfig:
    """Frequencies of rotary positions; names as in Hugging Face's configurations.

    Attributes:
      rope_theta: base of the wavelengths.
      rope_type: scaling to long contexts, a key of `KINDS`.
      factor: how much longer contexts are than in pretraining.
      original_max_position_embeddings: longest text of pretraining.
      low_freq_factor: "llama3": wavelengths longer than the longest text of pretraining
        divided by this are scaled by the whole factor.
      high_freq_factor: "llama3": wavelengths shorter than that length divided by this
        are not scaled.
      attention_factor: "yarn": multiplies cosines and sines; None to derive it.
      beta_fast: "yarn": rotations in pretraining above which nothing is scaled.
      beta_slow: "yarn": rotations below which scaling is full.
      mscale: "yarn": part of the derived `attention_factor`.
      mscale_all_dim: "yarn": the other part.
      truncate: "yarn": whether the bounds are rounded to whole features.

    References:
      Su et al., `RoFormer: Enhanced Transformer with Rotary Position Embedding
      <https://arxiv.org/abs/2104.09864>`_, 2021; Peng et al., `YaRN: Efficient Context
      Window Extension of Large Language Models <https://arxiv.org/abs/2309.00071>`_,
      2023.
    """

    rope_theta: float = 10000.0
    rope_type: str = "default"
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True

    def __post_init__(self):
        if self.rope_type not in KINDS:
            raise ValueError(
                f"the network has no rotary scaling rope_type={self.rope_type!r}; it"
                f" has {', '.join(KINDS)}"
            )
        _check_positive("rope_theta", self.rope_theta)
        required, optional = KINDS[self.rope_type]
        for name in required:
            _check_positive(f"{name} of {self.rope_type!r} positions", self[name])
        for name in optional:
            if name != "truncate" and self[name] is not None:
                _check_positive(f"{name} of {self.rope_type!r} positions", self[name])
        low, high = self.low_freq_factor, self.high_freq_factor
        if low is not None and high is not None and low >= high:
            raise ValueError(
                f"high_freq_factor must be above low_freq_factor, got {high} and {low}"
            )

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    @classmethod
    def from_dict(
        cls, config: Mapping[str, Any], *, max_positions: int, theta: float = 10000.0
    ) -> "RotaryConfig":
        """Parses the rotary positions of a Hugging Face configuration.

        Args:
          config: the whole configuration, with `rope_parameters`, or `rope_theta` and
            `rope_scaling`, or none of them.
          max_positions: longest text in tokens.
          theta: the base if it names none.

        Raises:
          ValueError: for an unknown scaling, or wrong fields of one.

        Examples:
          >>> scaling = {"type": "linear", "factor": 2.0}
          >>> RotaryConfig.from_dict({"rope_scaling": scaling}, max_positions=8).factor
          2.0
        """
        fields = dict(_mapping(config, "rope_scaling"))
        fields |= _mapping(config, "rope_parameters")
        # The former name of a field; files may hold both.
        former = fields.pop("type", "default")
        kind = fields.pop("rope_type", former)
        base = config.get("rope_theta")
        base = fields.pop("rope_theta", theta if base is None else base)
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(
                f"the network has no rotary scaling rope_type={kind!r:.40}; it has"
                f" {', '.join(KINDS)}"
            )
        rotated = fields.pop("partial_rotary_factor", None)
        rotated = config.get("partial_rotary_factor") if rotated is None else rotated
        if rotated not in (None, 1):
            raise ValueError(
                f"the network cannot do partial_rotary_factor={rotated!r:.40}; it"
                " rotates all features"
            )
        required, optional = KINDS[kind]
        if unknown := sorted(fields.keys() - {*required, *optional, _LONG}):
            raise ValueError(
                f"rotary positions of type {kind!r} have no field {unknown[0]!r:.40}"
            )
        if _LONG in required and fields.get(_LONG) is None:
            fields[_LONG] = max_positions
        if kind == "yarn" and fields.get("factor") is None:
            fields["factor"] = max_positions / fields[_LONG]
        used = {name: fields[name] for name in (*required, *optional) if name in fields}
        if used.get("truncate") is None:
            used.pop("truncate", None)
        return cls(rope_theta=base, rope_type=kind, **used)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields of a Hugging Face configuration."""
        fields: dict[str, Any] = {"rope_theta": self.rope_theta, "rope_scaling": None}
        if self.rope_type != "default":
            names = (name for names in KINDS[self.rope_type] for name in names)
            scaling = {name: self[name] for name in names if self[name] is not None}
            fields["rope_scaling"] = {"rope_type": self.rope_type, **scaling}
        return fields

    def frequencies(self, num_features: int) -> tuple[np.ndarray, float]:
        """Returns radians a position `[d / 2]`, and the factor of cosines and sines."""
        exponents = np.arange(0, num_features, 2) / num_features
        plain = 1.0 / self.rope_theta**exponents
        scale = {"linear": self._linear, "llama3": self._llama3, "yarn": self._yarn}
        if self.rope_type not in scale:
            return plain, 1.0
        return scale[self.rope_type](plain, num_features)

    def angles(self, positions: jax.Array, num_features: int, dtype: Any) -> Angles:
        """Computes the angles of tokens.

        Args:
          positions: `[B, l]` of the tokens.
          num_features: d.
          dtype: dtype of computation; angles are at least float32.

        Returns:
          `Angles`, for `rotate`.
        """
        wide = _modules.wide_dtype(dtype)
        frequencies, factor = self.frequencies(num_features)
        turned = positions.astype(wide)[:, :, None] * jnp.asarray(
            frequencies[None, None], wide
        )
        factor = jnp.asarray(factor, wide)
        return Angles(jnp.cos(turned) * factor, jnp.sin(turned) * factor)

    def _linear(self, plain: np.ndarray, num_features: int) -> tuple[np.ndarray, float]:
        del num_features
        return plain / self["factor"], 1.0

    def _llama3(self, plain: np.ndarray, num_features: int) -> tuple[np.ndarray, float]:
        """Scales long wavelengths, and those between by parts."""
        del num_features
        low, high = self["low_freq_factor"], self["high_freq_factor"]
        turns = self[_LONG] * plain / (2 * math.pi)  # In the longest text.
        kept = np.clip((turns - low) / (high - low), 0, 1)
        return plain * (kept + (1 - kept) / self["factor"]), 1.0

    def _yarn(self, plain: np.ndarray, num_features: int) -> tuple[np.ndarray, float]:
        """Scales features that turn seldom, and those between by parts."""
        factor, half = self["factor"], num_features // 2

        def feature(turns: float) -> float:
            """The feature, a fraction, that turns so often in the longest text."""
            ratio = math.log(self[_LONG] / (turns * 2 * math.pi))
            return num_features * ratio / (2 * math.log(self.rope_theta))

        first, last = feature(self.beta_fast or 32), feature(self.beta_slow or 1)
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, num_features - 1)
        width = last - first or 0.001
        scaled = np.clip((np.arange(half) - first) / width, 0, 1)
        return plain * (1 - scaled + scaled / factor), self._attention_factor()

    def _attention_factor(self) -> float:
        if self.attention_factor is not None:
            return self.attention_factor

        def stretched(weight: float) -> float:
            return 0.1 * weight * math.log(max(self["factor"], 1)) + 1

        if self.mscale and self.mscale_all_dim:
            return stretched(self.mscale) / stretched(self.mscale_all_dim)
        return stretched(1)


def rotate(x: jax.Array, angles: Angles) -> jax.Array:
    """Rotates queries or keys by the positions of their tokens.

    Feature i is paired with feature i + d / 2, as in Hugging Face's networks.

    Args:
      x: `[B * H, l, d]`.
      angles: angles of the tokens.

    Returns:
      `[B * H, l, d]`, of the dtype of `x`.
    """
    num, length, num_features = x.shape
    texts = angles.cos.shape[0]
    wide = x.astype(angles.cos.dtype).reshape(texts, -1, length, num_features)
    first, second = jnp.split(wide, 2, axis=-1)
    cos, sin = (part[:, None] for part in angles)  # [B, 1, l, d / 2]
    turned = [first * cos - second * sin, second * cos + first * sin]
    turned = jnp.concatenate(turned, axis=-1)
    return turned.reshape(num, length, num_features).astype(x.dtype)


def _mapping(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object, got {value!r:.40}")
    return value


def _check_positive(name: str, value: Any) -> None:
    if not is_number(value) or value <= 0:
        raise ValueError(f"{name} must be a positive number, got {value!r:.40}")
