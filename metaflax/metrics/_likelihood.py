"""Perplexity of language models."""

import numpy as np
from numpy.typing import ArrayLike


def perplexity(log_probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    r"""The perplexity of tokens, :math:`\exp(-\sum_u w_u \log p_u / \sum_u w_u)`.

    All tokens of all texts count alike, so give those of a whole set of texts at once:
    a mean of perplexities is another, larger number.

    Args:
      log_probabilities: natural logarithms of the probability of each token given those
        before it, of any shape. For a mean loss in nats, use `perplexity(-loss)`.
      weights: weights of the same shape; 0 marks padding. None counts all tokens.

    Returns:
      1 or more; infinite if a token has probability 0.

    Raises:
      ValueError: if no token counts or the shapes differ.

    Examples:
      >>> import numpy as np
      >>> from metaflax.metrics import perplexity
      >>> print(f"{perplexity(np.log([0.5, 0.125])):.4f}")
      4.0000
    """
    values = np.asarray(log_probabilities, np.float64)
    counts = np.ones_like(values) if weights is None else np.asarray(weights, float)
    if values.shape != counts.shape or not counts.sum() > 0:
        raise ValueError(
            "perplexity is of one token at least, each with a weight, got"
            f" {list(values.shape)} tokens and {list(counts.shape)} weights of"
            f" {counts.sum():g} in all."
        )
    kept = counts > 0
    with np.errstate(over="ignore"):  # A perplexity beyond float64 is infinite.
        return float(np.exp(-np.average(values[kept], weights=counts[kept])))
