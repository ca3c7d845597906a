r"""Any pooling and a linear head, as Hugging Face's sequence classifier has them.

That class always computes `classifier(tanh(pooler(h_first)))`. So that its logits
equal ours, other poolings are folded into weights:

- tanh is the identity where its argument is tiny: a pooler that shrinks by a power of
  two, and a classifier that grows by as much, hand the first token through.
- An extra layer averages. Queries and keys of zero make attention uniform over the real
  tokens. The last norm before it is scaled down and the attention's output up again, so
  that what the residual adds of the first token vanishes. A feed-forward part of zeros
  adds nothing.
- Layer norm is linear where the variance is far below its epsilon: it divides by the
  root of epsilon, whatever comes. So it does no harm. For it
  must not move the mean either, logits travel in pairs of opposite sign.

Scales are powers of two, hence exact, and far from the ends of float32.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from metaflax.models.families.bert._config import BertConfig

# Those that fold; others read more of a text than one vector.
POOLINGS = ("mean", "first", "pooler")
# The argument of tanh shrinks by this; its relative error is the square's third.
_TANH_SHRINK = 2.0**-24
# Layer norm counts as linear for inputs this many roots of epsilon, and smaller.
_LINEAR = 1e-5
# What is left of a residual that should not be there.
_NEGLIGIBLE = 1e-10
# Below this epsilon, the room between the scales and float32's smallest gets narrow.
_SMALLEST_EPS = 1e-16


class Classifier(NamedTuple):
    """A network with pooler, and the head `{"kernel", "bias"}` on top of it."""

    config: BertConfig
    params: Any
    head: dict[str, np.ndarray]


def fold(
    config: BertConfig, params: Any, head: Any, *, pooling: str, standardize: bool
) -> Classifier:
    """Folds a pooling into the weights of a sequence classifier with a pooler.

    Args:
      config: the network.
      params: its parameters, with a pooler if `pooling` is "pooler".
      head: `{"kernel": [D, N], "bias": [N]}` on the pooled features.
      pooling: "mean", "first" or "pooler", as `encoder` has it.
      standardize: whether features are standardised, as `encoder` has it.

    Returns:
      A `Classifier`, of one more layer for "mean" and for standardised features.

    Raises:
      ValueError: if the class cannot express it: standardised features of the
        pooler; the plain mean with more than D / 2 classes, or without epsilon.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"unknown pooling={pooling!r}; there is {', '.join(POOLINGS)}")
    kernel = np.asarray(head["kernel"], np.float64)
    bias = np.asarray(head["bias"], np.float32)
    if pooling == "pooler":
        if standardize:
            raise ValueError(
                "Hugging Face's sequence classifier has no norm behind its pooler, so"
                ' that pooling="pooler" with standardize=True cannot be saved as one;'
                ' take pooling="first" or "mean", or standardize=False'
            )
        if "pooler" not in params:
            raise ValueError('pooling="pooler", but the parameters hold no pooler')
        return Classifier(config, params, {"kernel": kernel, "bias": bias})

    if standardize:
        config, params, kernel = _standardized(config, params, kernel, pooling)
    elif pooling == "mean":
        config, params, kernel = _mean(config, params, kernel)
    D = config.hidden_size
    pooler = {"kernel": _TANH_SHRINK * np.eye(D), "bias": np.zeros(D)}
    params = {**params, "pooler": pooler}
    return Classifier(config, params, {"kernel": kernel / _TANH_SHRINK, "bias": bias})


def _standardized(
    config: BertConfig, params: Any, kernel: np.ndarray, pooling: str
) -> tuple[BertConfig, Any, np.ndarray]:
    """An extra layer whose first norm standardises and whose second is linear."""
    D, layer = config.hidden_size, _blank_layer(config)
    if pooling == "mean":
        # The first token alone is the residual as it is.
        small = 2.0**-40
        params = _scale_last_norm(config, params, small)
        layer["attention"]["value"]["kernel"] = np.eye(D)
        layer["attention"]["output"]["kernel"] = np.eye(D) / small
    gain = 1.0
    if config.layer_norm_eps >= _SMALLEST_EPS:  # Else the second norm changes nothing.
        root = _root_eps(config)
        shrink = _power_of_two(_LINEAR * root)
        layer["attention"]["norm"]["scale"] *= shrink
        gain = shrink / root
    return *_append(config, params, layer), kernel / (math.sqrt(D) * gain)


def _mean(
    config: BertConfig, params: Any, kernel: np.ndarray
) -> tuple[BertConfig, Any, np.ndarray]:
    """An extra layer that averages logits and whose norms are linear."""
    (D, N), root = kernel.shape, _root_eps(config)
    if 2 * N > D:
        raise ValueError(
            "Hugging Face's sequence classifier can carry the mean of tokens for at"
            f" most hidden_size / 2 = {D // 2} classes, got {N}; use standardize=True"
            ' or pooling="first"'
        )
    if config.layer_norm_eps < _SMALLEST_EPS:
        raise ValueError(
            "Hugging Face's sequence classifier can carry the mean of tokens only with"
            f" a layer_norm_eps of {_SMALLEST_EPS} or more, got"
            f' {config.layer_norm_eps}; use standardize=True or pooling="first"'
        )
    # Normalised vectors are no longer than the root of D, which bounds hidden states
    # and logits alike.
    norm = _last_norm(config, params)
    scale, shift = (np.asarray(norm[leaf], np.float64) for leaf in ("scale", "bias"))
    states = np.max(np.abs(scale) * math.sqrt(D) + np.abs(shift))
    logits = np.linalg.norm(kernel * scale[:, None], axis=0) * math.sqrt(D)
    logits = np.max(logits + np.abs(shift @ kernel))

    unit = _power_of_two(1 / logits) if logits > 0 else 1.0  # Logits become 1 at most.
    shrink = _power_of_two(_LINEAR * root)
    small = _power_of_two(_NEGLIGIBLE * shrink / states)

    layer, pairs = _blank_layer(config), np.zeros((N, D))
    pairs[np.arange(N), 2 * np.arange(N)] = 1
    pairs[np.arange(N), 2 * np.arange(N) + 1] = -1
    layer["attention"]["value"]["kernel"][:, :N] = kernel * unit
    layer["attention"]["output"]["kernel"][:N] = pairs * (shrink / small)
    layer["attention"]["norm"]["scale"] *= _power_of_two(root)
    gain = unit * shrink * _power_of_two(root) / root**2  # Both norms divide.
    params = _scale_last_norm(config, params, small)
    return *_append(config, params, layer), pairs.T / (2 * gain)


def _root_eps(config: BertConfig) -> float:
    return math.sqrt(np.float32(config.layer_norm_eps))


def _power_of_two(bound: float) -> float:
    """The largest power of two that is not above `bound`."""
    return 2.0 ** math.floor(math.log2(bound))


def _blank_layer(config: BertConfig) -> dict[str, Any]:
    """A layer of zeros, whose norms have scale one."""
    D, width = config.hidden_size, config.intermediate_size

    def dense(rows: int, columns: int) -> dict[str, np.ndarray]:
        return {"kernel": np.zeros((rows, columns)), "bias": np.zeros(columns)}

    def norm() -> dict[str, np.ndarray]:
        return {"scale": np.ones(D), "bias": np.zeros(D)}

    attention = {name: dense(D, D) for name in ("query", "key", "value", "output")}
    mlp = {"up": dense(D, width), "down": dense(width, D), "norm": norm()}
    return {"attention": {**attention, "norm": norm()}, "mlp": mlp}


def _append(config: BertConfig, params: Any, layer: Any) -> tuple[BertConfig, Any]:
    num_layers = config.num_hidden_layers
    params = {**params, f"layer_{num_layers}": layer}
    return dataclasses.replace(config, num_hidden_layers=num_layers + 1), params


def _last_norm(config: BertConfig, params: Any) -> Any:
    return params[f"layer_{config.num_hidden_layers - 1}"]["mlp"]["norm"]


def _scale_last_norm(config: BertConfig, params: Any, scale: float) -> Any:
    """Multiplies the last hidden states by `scale`."""
    name = f"layer_{config.num_hidden_layers - 1}"
    norm = {
        leaf: np.asarray(value, np.float64) * scale
        for leaf, value in _last_norm(config, params).items()
    }
    mlp = {**params[name]["mlp"], "norm": norm}
    return {**params, name: {**params[name], "mlp": mlp}}
