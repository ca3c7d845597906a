"""Decoding of entities whose words are detected apart and typed together."""

import numpy as np
import scipy


def type_spans(
    scores: np.ndarray, lengths: np.ndarray, *, threshold: float = 0.0
) -> np.ndarray:
    r"""Finds spans of words in entities of any type, and one type for each span.

    A word is in an entity where the probabilities of all types together exceed that
    of none. Neighbouring ones are a span, whose type n has the largest mean of
    :math:`\log p(n \mid \text{in an entity})` over its words. So an entity is never
    divided because its words look like different types.

    Args:
      scores: `[B, W, N + 1]`, logarithms of the probabilities of N types and, last, of
        no entity for each word of B texts.
      lengths: words of each text `[B]`; scores beyond are not looked at.
      threshold: log-odds of being in an entity that a word must exceed.

    Returns:
      Classes int32 `[B, W]`, N for words in no entity and beyond the length of a text.

    Examples:
      >>> scores = np.log([[[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]]])
      >>> print(type_spans(scores, np.array([3])))
      [[0 0 2]]

    References:
      Ma et al., `Decomposed Meta-Learning for Few-Shot Named Entity Recognition
      <https://arxiv.org/abs/2204.05751>`_, 2022; Wang et al., `SpanProto
      <https://arxiv.org/abs/2210.09049>`_, 2022: first spans, then their types.
    """
    num_types = scores.shape[-1] - 1
    classes = np.full(scores.shape[:2], num_types, np.int32)
    if not num_types:
        return classes
    entity = scipy.special.logsumexp(scores[..., :-1], axis=-1)  # [B, W]
    within = np.arange(scores.shape[1]) < np.asarray(lengths)[:, None]
    in_entity = within & (entity - scores[..., -1] > threshold)
    given_entity = scores[..., :-1] - entity[..., None]
    for row, words, log_types in zip(classes, in_entity, given_entity, strict=True):
        edges = np.flatnonzero(np.diff(words, prepend=False, append=False))
        for start, end in edges.reshape(-1, 2):
            row[start:end] = log_types[start:end].mean(axis=0).argmax()
    return classes
