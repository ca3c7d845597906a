"""Buckets of batch shapes, coarse or close."""

import numpy as np

from metaflax import data


def close_buckets(*tokenized: data.TokenizedTexts) -> data.Buckets:
    """Builds buckets with little padding, for callers that compile few shapes."""
    lengths = data.Buckets.up_to(max(int(np.max(x.widths)) for x in tokenized)).lengths
    return data.Buckets(lengths, budget_ratio=1.125)


def coarse_buckets(*tokenized: data.TokenizedTexts) -> data.Buckets:
    """Builds coarse buckets, since each shape of a step takes seconds to compile."""
    return coarse_up_to(max(int(np.max(texts.widths)) for texts in tokenized))


def coarse_up_to(longest: int) -> data.Buckets:
    """Builds coarse buckets for texts of up to `longest` tokens."""
    lengths = [n for n in (32, 64, 128, 256) if n < longest]
    return data.Buckets((*lengths, longest), budget_ratio=1.5)
