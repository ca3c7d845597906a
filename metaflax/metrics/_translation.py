"""Corpus BLEU and chrF, as sacrebleu computes them."""

from collections.abc import Sequence

from metaflax.metrics import _texts


def bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    r"""Computes corpus BLEU of texts with one reference each, 0 to 100.

    The geometric mean of the precisions :math:`p_n` of n-grams of one to four words,
    counted over all texts together, times a penalty for texts that are shorter, c
    words in all, than their references, r:

    .. math::

      \min(1, e^{1 - r / c}) \, (p_1 p_2 p_3 p_4)^{1/4}.

    As by default in sacrebleu, case matters, words are those of mteval's 13a, and a
    precision of 0 is smoothed unless no word is right. Texts with fewer than four words
    in each have no n-grams of that length, which makes 0.

    Args:
      predictions: generated texts; may be empty strings.
      references: the reference of each.

    Returns:
      The score of the whole set, not a mean over texts.

    Raises:
      ValueError: if there are no texts, or the two differ in their number, or sacrebleu
        is not installed.

    Examples:
      >>> from metaflax.metrics import bleu
      >>> print(f"{bleu(['a cat sat on the mat'], ['the cat sat on the mat']):.1f}")
      76.0

    References:
      Papineni et al., `BLEU: a Method for Automatic Evaluation of Machine Translation
      <https://aclanthology.org/P02-1040>`_, 2002; Post, `A Call for Clarity in
      Reporting BLEU Scores <https://arxiv.org/abs/1804.08771>`_, 2018.
    """
    with _texts.the_extra():
        import sacrebleu

    predictions, references = _texts.paired(predictions, references)
    return float(sacrebleu.corpus_bleu(predictions, [references]).score)


def chrf(predictions: Sequence[str], references: Sequence[str]) -> float:
    r"""Computes corpus chrF of texts with one reference each, 0 to 100.

    The F-measure of n-grams of one to six characters, white space left out, in which
    recall weighs twice as much as precision; both are means over n of what is counted
    over all texts together:

    .. math::

      \frac{(1 + 2^2) P R}{2^2 P + R}.

    Args:
      predictions: generated texts; may be empty strings.
      references: the reference of each.

    Returns:
      The score of the whole set, not a mean over texts.

    Raises:
      ValueError: as `bleu`.

    Examples:
      >>> from metaflax.metrics import chrf
      >>> print(f"{chrf(['a cat sat on the mat'], ['the cat sat on the mat']):.1f}")
      81.3

    References:
      Popovic, `chrF: character n-gram F-score for automatic MT evaluation
      <https://aclanthology.org/W15-3049>`_, 2015.
    """
    with _texts.the_extra():
        import sacrebleu

    predictions, references = _texts.paired(predictions, references)
    return float(sacrebleu.corpus_chrf(predictions, [references]).score)
