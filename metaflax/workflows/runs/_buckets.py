"""Shapes of batches that are compiled a few times only."""

import numpy as np

from metaflax import data


def coarsest_buckets(*tokenized: data.TokenizedTexts) -> data.Buckets:
    """Builds buckets of about one shape, for adaptation that compiles slowly."""
    longest = {int(np.max(texts.widths)) for texts in tokenized}
    return data.Buckets(tuple(sorted(longest)), budget_ratio=1.5)


def coarse_buckets(*tokenized: data.TokenizedTexts) -> data.Buckets:
    """Builds coarse buckets, since each shape of a step takes seconds to compile."""
    return coarse_up_to(max(int(np.max(texts.widths)) for texts in tokenized))


def coarse_up_to(longest: int) -> data.Buckets:
    """Builds coarse buckets for texts of up to `longest` tokens."""
    lengths = [n for n in (32, 64, 128, 256) if n < longest]
    return data.Buckets((*lengths, longest), budget_ratio=1.5)
