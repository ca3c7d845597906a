r"""Folding of poolings and a linear head into ModernBERT's classifiers.

These compute `classifier(norm(act(dense(pooled))))`, pooled from the first token or the
mean; or of each token.

- Standardised features are what the norm gives. The activation is the identity where
  its argument is large: a bias before it lifts features there, and the norm takes it
  off again.
- Plain features travel as logits, in pairs of opposite sign, for f(x) - f(-x) = x. The
  norm is linear where the variance is far below its epsilon.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from metaflax.models.families import _fold
from metaflax.models.families.modernbert._config import ModernBertConfig

# From here on the activations are the identity, to more than float32's precision.
_IDENTITY = 16.0


def fold(
    config: ModernBertConfig,
    params: Any,
    head: Mapping[str, Any],
    /,
    *,
    pooling: str,
    standardize: bool,
) -> _fold.Classifier | None:
    """Folds a pooling into the weights of a classifier of texts, or of tokens.

    Args:
      config: the network.
      params: its parameters, with a pooler if `pooling` is "pooler".
      head: `{"kernel": [D, N], "bias": [N]}` on the pooled features.
      pooling: "mean", "first", "pooler" or "tokens", as `encoder` has it.
      standardize: whether features are standardised, as `encoder` has it.

    Returns:
      A `Classifier`; None where its activation is another than the usual ones.

    Raises:
      ValueError: if the class cannot express it: standardised features of the pooler;
        plain ones with more than D / 2 classes, or without epsilon.
    """
    _fold.check_pooling(params, pooling, standardize)
    kernel = np.asarray(head["kernel"], np.float64)
    bias = np.asarray(head["bias"], np.float32)
    if pooling == "pooler":
        return _fold.Classifier(config, params, {"kernel": kernel, "bias": bias})
    if config.classifier_activation == "tanh":
        return None
    dense, scale, kernel = (
        _standardized(config, params, kernel)
        if standardize
        else _plain(config, params, kernel)
    )
    config = dataclasses.replace(
        config,
        classifier_pooling="mean" if pooling == "mean" else "cls",
        classifier_bias=True,
    )
    norm = {"scale": scale}
    if config.norm_bias:
        norm["bias"] = np.zeros(len(scale))
    pooler = {"dense": dense, "norm": norm}
    return _fold.Classifier(
        config,
        {**params, "pooler": pooler},
        {"kernel": kernel, "bias": bias},
        # Our pooler is none of tokens.
        readable=pooling != "tokens",
    )


def _standardized(
    config: ModernBertConfig, params: Any, kernel: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Returns the first dense layer, the norm's scale, and the last layer's kernel."""
    D = config.hidden_size
    lift = max(2 * _bound(params, D), _IDENTITY)
    dense = {"kernel": np.eye(D), "bias": np.full(D, lift)}
    return dense, np.ones(D), kernel / math.sqrt(D)


def _plain(
    config: ModernBertConfig, params: Any, kernel: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Returns the first dense layer, the norm's scale, and the last layer's kernel."""
    D = config.hidden_size
    largest = np.max(np.linalg.norm(kernel, axis=0)) * math.sqrt(D) * _bound(params, D)
    root = _fold.root_of_epsilon(config)
    if not root:
        raise ValueError(
            "Hugging Face's classifier can carry plain features only with a norm_eps"
            " above 0; use standardize=True"
        )
    shrink = _fold.power_of_two(_fold.LINEAR * root / max(largest, 1e-30))
    dense, last = _fold.handed_through(kernel * shrink, config.classifier_activation)
    return dense, np.ones(D), last * (root / shrink)


def _bound(params: Any, num_features: int) -> float:
    """Returns a bound of the absolute value of any feature of a token."""
    norm = params["norm"]
    shift = np.abs(np.asarray(norm.get("bias", 0.0), np.float64))
    scale = np.abs(np.asarray(norm["scale"], np.float64))
    return float(np.max(scale * math.sqrt(num_features) + shift))
