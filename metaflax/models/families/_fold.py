r"""Folding of poolings and a linear head into Hugging Face's sequence classifier.

That class always computes `classifier(tanh(pooler(h_first)))`. So that its logits
equal ours, other poolings are folded into weights:

- tanh is the identity where its argument is tiny: a pooler that shrinks by a power of
  two, and a classifier that grows by as much, hand the first token through.
- An extra layer averages. Queries and keys of zero make attention uniform over the real
  tokens. The last norm before it is scaled down and the attention's output up again, so
  that what the residual adds of the first token vanishes. A feed-forward part of zeros
  adds nothing.
- The activations of other families' classifiers are f with f(x) - f(-x) = x: each
  logit goes through in a pair of opposite sign.
- Layer norm is linear where the variance is far below its epsilon: it divides by the
  root of epsilon, whatever comes. So it does no harm. For it
  must not move the mean either, logits travel in pairs of opposite sign.

Scales are powers of two, hence exact, and far from the ends of float32.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np

from metaflax.models.layers._config import TransformerConfig

# Those that fold.
POOLINGS = ("mean", "first", "pooler", "tokens")
# The argument of tanh shrinks by this; its relative error is the square's third.
_TANH_SHRINK = 2.0**-24
# Layer norm counts as linear for inputs this many roots of epsilon, and smaller.
LINEAR = 1e-5
# What is left of a residual that should not be there.
_NEGLIGIBLE = 1e-10
# Below this epsilon, the room between the scales and float32's smallest gets narrow.
_SMALLEST_EPS = 1e-16


class Classifier(NamedTuple):
    """A network with its pooler, and the head `{"kernel", "bias"}` on top of it.

    Attributes:
      config: configuration of the network.
      params: its parameters; of a classifier of texts with the pooler, which has the
        place of the classifier's first dense layer.
      head: its last dense layer.
      readable: whether `head` on our own pooling gives the logits too.
    """

    config: Any
    params: Any
    head: dict[str, np.ndarray]
    readable: bool = True


class FoldFn(Protocol):
    """Folds a pooling into weights; None where the class cannot express it."""

    def __call__(
        self,
        config: Any,
        params: Any,
        head: Mapping[str, Any],
        /,
        *,
        pooling: str,
        standardize: bool,
    ) -> Classifier | None: ...


def fold(
    config: Any,
    params: Any,
    head: Mapping[str, Any],
    /,
    *,
    pooling: str,
    standardize: bool,
    activation: str = "tanh",
    extra_layer: Literal["any", "normalizes", "none"] = "any",
) -> Classifier | None:
    """Folds a pooling into the weights of a classifier of texts, or of tokens.

    Args:
      config: the network, whose layers normalise behind each block.
      params: its parameters, with a pooler if `pooling` is "pooler".
      head: `{"kernel": [D, N], "bias": [N]}` on the pooled features.
      pooling: "mean", "first", "pooler" or "tokens", as `encoder` has it.
      standardize: whether features are standardised, as `encoder` has it.
      activation: activation of the classifier's first dense layer.
      extra_layer: what one more layer can do in the family: "any" thing; "normalizes"
        where attention is never uniform; "none" where layers share their weights.

    Returns:
      A `Classifier`, of one more layer for "mean" and for standardised features; None
      where there can be no such layer.

    Raises:
      ValueError: if the class cannot express it: standardised features of the
        pooler; the plain mean, or another activation than tanh, with more than D / 2
        classes; the plain mean without epsilon.
    """
    check_pooling(params, pooling, standardize)
    kernel = np.asarray(head["kernel"], np.float64)
    bias = np.asarray(head["bias"], np.float32)
    if pooling == "pooler":
        return Classifier(config, params, {"kernel": kernel, "bias": bias})
    needed = "any" if pooling == "mean" else "normalizes" if standardize else "none"
    if needed != "none" and extra_layer not in ("any", needed):
        return None
    if standardize:
        config, params, kernel = _standardized(config, params, kernel, pooling)
    elif pooling == "mean":
        config, params, kernel = _mean(config, params, kernel)
    if pooling == "tokens":
        plain = {name: part for name, part in params.items() if name != "pooler"}
        return Classifier(config, plain, {"kernel": kernel, "bias": bias})
    pooler, kernel = handed_through(kernel, activation)
    params = {**params, "pooler": pooler}
    return Classifier(config, params, {"kernel": kernel, "bias": bias})


def check_pooling(params: Any, pooling: str, standardize: bool) -> None:
    """Refuses poolings that no classifier of Hugging Face can have.

    Raises:
      ValueError: for an unknown one, a pooler that is not there, or standardised
        features of one.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"unknown pooling={pooling!r}; there is {', '.join(POOLINGS)}")
    if pooling == "pooler" and standardize:
        raise ValueError(
            "Hugging Face's sequence classifier has no norm behind its pooler, so"
            ' that pooling="pooler" with standardize=True cannot be saved as one;'
            ' take pooling="first" or "mean", or standardize=False'
        )
    if pooling == "pooler" and "pooler" not in params:
        raise ValueError('pooling="pooler", but the parameters hold no pooler')


def handed_through(
    kernel: np.ndarray, activation: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns two dense layers, around an activation, that compute a single one.

    Args:
      kernel: kernel of the single layer, `[D, N]`.
      activation: key of `ACTIVATIONS`.

    Returns:
      The first layer, `[D, D]`, and the kernel of the second, `[D, N]`.

    Raises:
      ValueError: if there are more than D / 2 classes, unless the activation is tanh.
    """
    D, N = kernel.shape
    if activation == "tanh":
        first = {"kernel": _TANH_SHRINK * np.eye(D), "bias": np.zeros(D)}
        return first, kernel / _TANH_SHRINK
    if 2 * N > D:
        raise ValueError(
            f"Hugging Face's sequence classifier, with {activation} before its last"
            f" layer, can carry at most hidden_size / 2 = {D // 2} classes, got {N};"
            ' take pooling="pooler"'
        )
    pairs = _pairs(N, D)
    return {"kernel": kernel @ pairs, "bias": np.zeros(D)}, pairs.T


def _pairs(num: int, size: int) -> np.ndarray:
    """Returns `[num, size]`, which copies each feature with both signs."""
    pairs = np.zeros((num, size))
    pairs[np.arange(num), 2 * np.arange(num)] = 1
    pairs[np.arange(num), 2 * np.arange(num) + 1] = -1
    return pairs


def _standardized(
    config: Any, params: Any, kernel: np.ndarray, pooling: str
) -> tuple[Any, Any, np.ndarray]:
    """Adds a layer whose first norm standardises and whose second is linear."""
    D, layer = config.hidden_size, _blank_layer(config, params)
    if pooling == "mean":
        # The first token alone is the residual as it is.
        small = 2.0**-40
        params = _scale_last_norm(config, params, small)
        layer["attention"]["value"]["kernel"] = np.eye(D)
        layer["attention"]["output"]["kernel"] = np.eye(D) / small
    gain = 1.0
    if config.layer_norm_eps >= _SMALLEST_EPS:  # Else the second norm changes nothing.
        root = root_of_epsilon(config)
        shrink = power_of_two(LINEAR * root)
        layer["attention"]["norm"]["scale"] *= shrink
        gain = shrink / root
    return *_append(config, params, layer), kernel / (math.sqrt(D) * gain)


def _mean(config: Any, params: Any, kernel: np.ndarray) -> tuple[Any, Any, np.ndarray]:
    """Adds a layer that averages logits and whose norms are linear."""
    (D, N), root = kernel.shape, root_of_epsilon(config)
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

    unit = power_of_two(1 / logits) if logits > 0 else 1.0  # Logits become 1 at most.
    shrink = power_of_two(LINEAR * root)
    small = power_of_two(_NEGLIGIBLE * shrink / states)

    layer, pairs = _blank_layer(config, params), _pairs(N, D)
    layer["attention"]["value"]["kernel"][:, :N] = kernel * unit
    layer["attention"]["output"]["kernel"][:N] = pairs * (shrink / small)
    layer["attention"]["norm"]["scale"] *= power_of_two(root)
    gain = unit * shrink * power_of_two(root) / root**2  # Both norms divide.
    params = _scale_last_norm(config, params, small)
    return *_append(config, params, layer), pairs.T / (2 * gain)


def root_of_epsilon(config: Any) -> float:
    return math.sqrt(np.float32(config.layer_norm_eps))


def power_of_two(bound: float) -> float:
    """Returns the largest power of two that is not above `bound`."""
    return 2.0 ** math.floor(math.log2(bound))


def _blank_layer(config: TransformerConfig, params: Any) -> dict[str, Any]:
    """Returns a layer of zeros as the last one, whose norms have scale one."""
    last = params[f"layer_{config.num_hidden_layers - 1}"]
    parts = {name: last[name] for name in ("attention", "mlp")}
    layer = jax.tree.map(lambda leaf: np.zeros(np.shape(leaf)), parts)
    for part in layer.values():
        part["norm"]["scale"] += 1
    return layer


def _append(config: Any, params: Any, layer: Any) -> tuple[Any, Any]:
    num_layers = config.num_hidden_layers
    params = {**params, f"layer_{num_layers}": layer}
    return dataclasses.replace(config, num_hidden_layers=num_layers + 1), params


def _last_norm(config: Any, params: Any) -> Any:
    return params[f"layer_{config.num_hidden_layers - 1}"]["mlp"]["norm"]


def _scale_last_norm(config: Any, params: Any, scale: float) -> Any:
    """Multiplies the last hidden states by `scale`."""
    name = f"layer_{config.num_hidden_layers - 1}"
    norm = {
        leaf: np.asarray(value, np.float64) * scale
        for leaf, value in _last_norm(config, params).items()
    }
    mlp = {**params[name]["mlp"], "norm": norm}
    return {**params, name: {**params[name], "mlp": mlp}}
