"""Comparison features of two texts, in NumPy."""

import numpy as np


def compared(u: np.ndarray, v: np.ndarray, weight: float = 2.0) -> np.ndarray:
    """Returns the features of pairs, `[..., 2 D]`, of unit vectors `[..., D]`.

    Distances of products count their sum, the similarity, as one more feature of this
    weight: `|x|^2 + weight^2 (1^T x)^2 = |A x|^2` where `A^2 = I + weight^2 1 1^T`.
    """
    size = u.shape[-1]
    values, vectors = np.linalg.eigh(np.eye(size) + weight**2 * np.ones((size, size)))
    root = (vectors * np.sqrt(values)) @ vectors.T
    return np.concatenate([(u * v) @ root, np.abs(u - v)], axis=-1)
