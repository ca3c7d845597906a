"""Listwise ranking losses."""

import chex
import jax
import jax.numpy as jnp


def lambda_rank(
    outputs: jax.Array, gains: jax.Array, weights: jax.Array, *, k: int = 10
) -> jax.Array:
    r"""Computes pairwise logistic losses weighted by the change in NDCG@k of a swap.

    .. math::

      L = \sum_{g_i > g_j} |\Delta_{ij}| \log(1 + e^{s_j - s_i}), \qquad
      \Delta_{ij} = \frac{(g_i - g_j)(d_i - d_j)}{\max \mathrm{DCG@}k},

    where candidate i has score :math:`s_i`, gain :math:`g_i`, and at its place p in the
    order of scores the discount :math:`d_i = 1 / \log_2(1 + p)`, 0 beyond place k. The
    change :math:`\Delta` is that at the current scores, and is not differentiated.

    Args:
      outputs: s, scores `[C]`.
      gains: g, 0 or more, `[C]`: the relevance of each candidate, as in
        `metrics.ndcg_at`.
      weights: `[C]`; 0 marks padding, and all others count alike.
      k: number of top places that count.

    Returns:
      A scalar; 0 where all gains are equal.

    Raises:
      AssertionError: if shapes differ.
      ValueError: if `k` is not positive.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import lambda_rank
      >>> scores, gains = jnp.array([1.0, 1.0, 9.0]), jnp.array([3.0, 0.0, 0.0])
      >>> loss = lambda_rank(scores, gains, jnp.array([1.0, 1.0, 0.0]), k=1)
      >>> print(f"{loss:.4f}")  # log(2): the exchange costs all of NDCG@1.
      0.6931

    References:
      Burges, From RankNet to LambdaRank to LambdaMART: An Overview, Microsoft Research
      MSR-TR-2010-82, 2010. As a loss: Wang et al., `The LambdaLoss Framework for
      Ranking Metric Optimization <https://doi.org/10.1145/3269206.3271784>`_, 2018.
    """
    chex.assert_equal_shape(
        [outputs, gains, weights], custom_message="scores, gains and weights are [C]"
    )
    chex.assert_rank(outputs, 1, custom_message="scores are [C]")
    if k < 1:
        raise ValueError(f"at least one place counts, got k={k}.")
    dtype = outputs.dtype
    counts = weights > 0
    gains = jnp.where(counts, gains, 0).astype(dtype)
    places = jnp.argsort(jnp.argsort(jnp.where(counts, -outputs, jnp.inf)))
    by_place = 1 / jnp.log2(jnp.arange(2, len(outputs) + 2).astype(dtype))
    by_place = jnp.where(jnp.arange(len(outputs)) < k, by_place, 0)
    discounts = by_place[places]
    best = jnp.sum(jnp.sort(gains, descending=True) * by_place)
    exchange = jnp.abs(_differences(gains) * _differences(discounts))  # [C, C]
    exchange = exchange / jnp.where(best > 0, best, 1)
    pairs = (_differences(gains) > 0) & counts[:, None] & counts[None, :]
    outputs = jnp.where(counts, outputs, 0)  # Padding may hold anything.
    each = exchange * jax.nn.softplus(-_differences(outputs))
    return jnp.sum(jnp.where(pairs, each, 0))


def _differences(values: jax.Array) -> jax.Array:
    """Computes pairwise differences `values[i] - values[j]`, `[C, C]`."""
    return values[:, None] - values[None, :]
