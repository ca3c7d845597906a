"""SQuAD's scores of an answer, on the host: strings in, numbers out."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized_answer(text: str) -> str:
    """What of an answer is compared: no case, ASCII punctuation, articles or gaps.

    Articles are those of English, whatever the language, as in SQuAD's own script.

    Examples:
      >>> normalized_answer("The  Panthers' (defense)")
      'panthers defense'
    """
    plain = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(said: str, true: Sequence[str]) -> float:
    """Whether an answer is one of those that are right, 1 or 0.

    Args:
      said: the answer; empty where the question is said to have none.
      true: all answers that are right; none where the question has none.

    Returns:
      1.0 where some of them is the same but for case, punctuation, articles and gaps.

    Examples:
      >>> exact_match("the cat", ["Cat.", "a black cat"]), exact_match("", [])
      (1.0, 1.0)

    References:
      Rajpurkar et al., `SQuAD: 100,000+ Questions for Machine Comprehension of Text
      <https://arxiv.org/abs/1606.05250>`_, 2016; `Know What You Don't Know:
      Unanswerable Questions for SQuAD <https://arxiv.org/abs/1806.03822>`_, 2018.
    """
    plain = normalized_answer(said)
    return float(any(plain == answer for answer in _normalized(true)))


def token_f1(said: str, true: Sequence[str]) -> float:
    """How much of an answer's words and of the right one's are shared, 0 to 1.

    The F1 of words as a bag, the best over the answers that are right. Where either
    side has no words, 1 if neither has.

    Args:
      said: the answer; empty where the question is said to have none.
      true: all answers that are right; none where the question has none.

    Returns:
      2 P R / (P + R) of the words.

    Examples:
      >>> token_f1("black cat", ["a black, sleepy cat"])
      0.8

    References:
      As of `exact_match`.
    """
    words = Counter(normalized_answer(said).split())
    return max(_f1(words, Counter(answer.split())) for answer in _normalized(true))


def _normalized(true: Sequence[str]) -> list[str]:
    """The right answers, as SQuAD 2.0 has it: an empty one if none has a word."""
    return [plain for plain in map(normalized_answer, true) if plain] or [""]


def _f1(said: Counter[str], true: Counter[str]) -> float:
    if not said or not true:
        return float(said == true)
    # 2 P R / (P + R), with the number shared taken out of P and R.
    return 2 * (said & true).total() / (said.total() + true.total())
