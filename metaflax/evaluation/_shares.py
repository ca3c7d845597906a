"""Binomial proportion intervals (Wilson) over episodes."""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from metaflax.evaluation._bootstrap import Estimate


def share_interval(
    hits: ArrayLike, chances: ArrayLike, confidence: float = 0.95
) -> Estimate:
    r"""Computes a share of units grouped in episodes, with Wilson's interval.

    Units of one episode are correlated, so that an episode counts as one unit: shares
    of episodes are between 0 and 1, and their variance is at most that of coin flips.
    The interval is conservative, and is not a single point if all shares are 0 or all
    are 1, unlike a bootstrap interval. If episodes differ in chances c, they count as
    :math:`(\sum c)^2 / \sum c^2` equal ones.

    Args:
      hits: `[E]`, number of hits of each episode.
      chances: `[E]`, number of chances of each episode, which may be 0.
      confidence: approximate probability that such an interval covers the true share.

    Returns:
      An `Estimate`: the sum of hits over the sum of chances; 0 with an interval from 0
      to 1 without chances.

    Examples:
      >>> share, low, high = share_interval([2, 2, 2, 2], [2, 2, 2, 2])
      >>> print(f"{share:.2f} [{low:.2f}, {high:.2f}]")
      1.00 [0.51, 1.00]

    References:
      Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
      1927; Kish, Survey Sampling, 1965, of the number of equal ones.
    """
    hits, chances = np.asarray(hits, np.float64), np.asarray(chances, np.float64)
    if not (total := float(chances.sum())):
        return Estimate(0.0, 0.0, 1.0)
    share = float(hits.sum() / total)
    number = total**2 / float(np.sum(chances**2))
    z = float(scipy.stats.norm.ppf((1 + confidence) / 2))
    centre = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    spread = np.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    half = z / (1 + z**2 / number) * float(spread)
    # Removes rounding errors of the ends 0 and 1.
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(share, min(low, share), max(high, share))
