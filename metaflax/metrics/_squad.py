"""SQuAD's exact match and token F1 of an answer, computed on the host."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized_answer(text: str) -> str:
    """Normalises an answer: no case, ASCII punctuation, articles or extra spaces.

    Articles are those of English, whatever the language, as in SQuAD's own script.

    Examples:
      >>> normalized_answer("The  Panthers' (defense)")
      'panthers defense'
    """
    plain = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(prediction: str, true: Sequence[str]) -> float:
    """Computes exact match after normalisation, 1 or 0.

    Args:
      prediction: the answer; empty where none is predicted.
      true: all gold answers; empty where the question has none.

    Returns:
      1.0 if a gold answer is the same up to case, punctuation, articles and spaces.

    Examples:
      >>> from metaflax.metrics import exact_match
      >>> exact_match("the cat", ["Cat.", "a black cat"]), exact_match("", [])
      (1.0, 1.0)

    References:
      Rajpurkar et al., `SQuAD: 100,000+ Questions for Machine Comprehension of Text
      <https://arxiv.org/abs/1606.05250>`_, 2016; `Know What You Don't Know:
      Unanswerable Questions for SQuAD <https://arxiv.org/abs/1806.03822>`_, 2018.
    """
    plain = normalized_answer(prediction)
    return float(any(plain == answer for answer in _normalized(true)))


def token_f1(prediction: str, true: Sequence[str]) -> float:
    """Computes the token F1 of an answer against the best gold answer, 0 to 1.

    This is the F1 of the bags of words, the best over the gold answers. If either side
    has no words, it is 1 if neither has any, else 0.

    Args:
      prediction: the answer; empty where none is predicted.
      true: all gold answers; empty where the question has none.

    Returns:
      2 P R / (P + R) of the words.

    Examples:
      >>> from metaflax.metrics import token_f1
      >>> token_f1("black cat", ["a black, sleepy cat"])
      0.8

    References:
      As of `exact_match`.
    """
    words = Counter(normalized_answer(prediction).split())
    return max(_f1(words, Counter(answer.split())) for answer in _normalized(true))


def _normalized(true: Sequence[str]) -> list[str]:
    """Normalises gold answers; one empty answer if none has a word, as in SQuAD 2.0."""
    return [plain for plain in map(normalized_answer, true) if plain] or [""]


def _f1(prediction: Counter[str], true: Counter[str]) -> float:
    if not prediction or not true:
        return float(prediction == true)
    # 2 P R / (P + R), with the number shared taken out of P and R.
    return 2 * (prediction & true).total() / (prediction.total() + true.total())
