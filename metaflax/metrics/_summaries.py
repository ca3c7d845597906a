"""ROUGE, as rouge-score computes it."""

from collections.abc import Sequence

import numpy as np

from metaflax.metrics import _texts

_NAMES = ("rouge1", "rouge2", "rougeL")


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Computes ROUGE of texts with one reference each: means over texts, 0 to 100.

    Each is an F-measure, 2 P R / (P + R): of words, of pairs of words that follow one
    another, and of the longest sequence of words that both texts have in this order.
    Words are runs of the letters a to z and of digits, without case, and stemmed by
    Porter's rules, as in results reported for summaries. Texts of other scripts have no
    such words and score 0.

    Args:
      predictions: generated texts; an empty string scores 0.
      references: the reference of each.

    Returns:
      `{"rouge1": ..., "rouge2": ..., "rougeL": ...}`.

    Raises:
      ValueError: if there are no texts, or the two differ in their number, or
        rouge-score is not installed.

    Examples:
      >>> from metaflax.metrics import rouge
      >>> scores = rouge(["a cat sits there"], ["there sits a cat"])
      >>> print({name: round(score, 1) for name, score in scores.items()})
      {'rouge1': 100.0, 'rouge2': 33.3, 'rougeL': 50.0}

    References:
      Lin, `ROUGE: A Package for Automatic Evaluation of Summaries
      <https://aclanthology.org/W04-1013>`_, 2004.
    """
    with _texts.the_extra():
        from rouge_score import rouge_scorer

    predictions, references = _texts.paired(predictions, references)
    scorer = rouge_scorer.RougeScorer(_NAMES, use_stemmer=True)
    each = [scorer.score(t, s) for s, t in zip(predictions, references, strict=True)]
    return {
        name: 100 * float(np.mean([scores[name].fmeasure for scores in each]))
        for name in _NAMES
    }
