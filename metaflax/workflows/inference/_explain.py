"""Why a classifier answers so: the nearest support texts, and what each word adds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import data, evaluation, models, tasks, tree
from metaflax.workflows.inference._adapt import SUPPORT
from metaflax.workflows.inference._predict import Predictor

# From the logit of an answer to what is explained: its probability, or the number.
SCORES = {
    "classes": lambda logits: jax.nn.softmax(logits),
    "labels": lambda logits: jax.nn.sigmoid(logits),
    "numbers": lambda logits: logits,
}
# Forms of single texts; regression reads pairs too.
FORMS = ("text", "text or pair")


class Explainer:
    """A classifier that says with each answer why it gave it.

    Words are explained by integrated gradients of the answer's probability (or of the
    number, in regression) with respect to word embeddings, from a text of as many
    padding tokens, special tokens left as they are. A word has the sum over its tokens.

    Args:
      directory: what `adapt` wrote, or any BERT sequence classifier of Hugging Face.
      batch_size: texts in one call.
      num_nearest: support texts shown with each answer.
      num_steps: gradients on the way from the baseline.

    Attributes:
      form: of the texts that it reads.
      note: what cannot be shown, and why; empty for nothing.

    Raises:
      ValueError: if the directory holds no sequence classifier of single texts, or a
        number is not positive.

    References:
      Sundararajan et al., `Axiomatic Attribution for Deep Networks
      <https://arxiv.org/abs/1703.01365>`_, 2017.
    """

    def __init__(
        self,
        directory: str | Path,
        batch_size: int = 32,
        *,
        num_nearest: int = 3,
        num_steps: int = 64,
    ):
        if models.pretrained.is_language_model(directory):
            raise ValueError(
                f"{directory} generates texts; explanations are of classifiers."
            )
        self._predictor = predictor = Predictor(directory, batch_size)
        if predictor.form.name not in FORMS or predictor.task.kind not in SCORES:
            raise ValueError(
                f"{directory} is no classifier of single texts, of which explanations"
                " are."
            )
        for name, number in (("nearest", num_nearest), ("explain_steps", num_steps)):
            if number < 1:
                raise ValueError(f"{name} is {number}; give 1 or more.")
        self.form, self.batch_size = predictor.form, batch_size
        self._num_nearest = num_nearest
        self._attribute = _attribution(predictor, num_steps)
        self._vectors = jax.jit(predictor.encoder.apply)
        self._support = _support_of(predictor.pretrained.directory)
        self.note = ""
        if not self._support:
            self.note = (
                f"{directory} has no {SUPPORT}, so that no nearest support texts can be"
                " shown; adapt again to have it."
            )
        self._of_support = self._directions([row["text"] for row in self._support])

    @property
    def num_lost(self) -> int:
        """As of `Predictor`."""
        return self._predictor.num_lost

    def __call__(self, texts: list[str]) -> list[dict[str, Any]]:
        """Answers for at most `batch_size` texts, in order.

        Each is that of `Predictor` and `explained`, the class whose probability it is
        about; `words`, each with its `attribution`; `baseline`, the probability of a
        text of padding; `completeness_error`, by how much the attributions miss the
        difference; and `nearest`, support texts with their `similarity`, the cosine
        of what the output layer reads.

        Raises:
          ValueError: for a pair of texts.
        """
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("explanations are of single texts, and this is a pair.")
        answers = self._predictor(texts)
        tokenized = self._predictor.tokenize(texts)
        nearest = self._nearest(tokenized, len(texts))
        return [
            answer | self._words(text, tokenized, row) | near
            for row, (text, answer, near) in enumerate(
                zip(texts, answers, nearest, strict=True)
            )
        ]

    def _words(
        self, text: str, tokenized: data.TokenizedTexts, row: int
    ) -> dict[str, Any]:
        """What each word adds to the answer."""
        predictor = self._predictor
        spans, special = _places(predictor.tokenizer, text, len(tokenized[row]))
        tokens = data.collate_texts(tokenized, [row], 1, predictor.buckets, pack=False)
        replaced = np.zeros(np.shape(tokens.ids)[1], bool)  # [L]
        replaced[: len(special)] = ~special
        target, baseline, found = self._attribute(predictor.params, tokens, replaced)
        by_token = np.asarray(found.values, np.float64)
        words = tasks.word_spans(text)
        ends = np.array([end for _, end in words])
        sums = np.zeros(len(words))
        for (start, _), value in zip(spans, by_token[: len(spans)], strict=True):
            word = int(np.searchsorted(ends, start, side="right"))
            if word < len(words):  # Special tokens add nothing, wherever they lie.
                sums[word] += value
        return {
            "explained": predictor.names[int(target)],
            "words": [
                {"word": text[start:end], "attribution": round(float(value), 6)}
                for (start, end), value in zip(words, sums, strict=True)
            ],
            "baseline": round(float(baseline), 6),
            "completeness_error": round(float(found.error), 6),
        }

    def _nearest(
        self, tokenized: data.TokenizedTexts, count: int
    ) -> list[dict[str, Any]]:
        """The support texts nearest to each text."""
        if not self._support:
            return [{}] * count
        similar = self._encoded(tokenized) @ self._of_support.T  # [B, S]
        order = np.argsort(-similar, axis=1, kind="stable")[:, : self._num_nearest]
        return [
            {
                "nearest": [
                    {**self._support[i], "similarity": round(float(row[i]), 4)}
                    for i in best
                ]
            }
            for row, best in zip(similar, order.tolist(), strict=True)
        ]

    def _directions(self, texts: list[str]) -> np.ndarray:
        """What the output layer reads of texts, of unit length `[S, D]`."""
        if not texts:
            return np.zeros((0, self._predictor.encoder.num_features))
        return self._encoded(self._predictor.tokenize(texts))

    def _encoded(self, tokenized: data.TokenizedTexts) -> np.ndarray:
        predictor, size, found = self._predictor, self.batch_size, []
        for first in range(0, len(tokenized), size):
            rows = np.arange(first, min(first + size, len(tokenized)))
            tokens = data.collate_texts(tokenized, rows, size, predictor.buckets)
            vectors = self._vectors(predictor.params[0], tokens)[: len(rows)]
            found.append(np.asarray(vectors, np.float64))  # Folded ones are tiny.
        vectors = np.concatenate(found)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _attribution(predictor: Predictor, num_steps: int):
    """A jitted function from one text to the attributions of its tokens.

    The text's own tokens are the rows of a small table in the place of the network's
    word embedding, so that embeddings are what is differentiated.
    """
    score, path = SCORES[predictor.task.kind], "embeddings/word"

    @jax.jit
    def attribute(params: Any, tokens: models.Tokens, replaced: jax.Array):
        encoder_params, head = params
        word = tree.leaf(encoder_params, path)  # [V, D]
        length = jnp.shape(tokens.ids)[1]
        own = tokens._replace(ids=jnp.arange(length)[None])

        def scores(table: jax.Array) -> jax.Array:  # [L, D] to [N].
            changed = tree.update(encoder_params, path, lambda _: table)
            features = predictor.encoder.apply(changed, own, None)
            return score((features @ head["kernel"])[0] + head["bias"])

        inputs = word[jnp.asarray(tokens.ids)[0]]  # [L, D]
        padding = word[predictor.tokenizer.pad_token_id or 0]
        baseline = jnp.where(replaced[:, None], padding[None], inputs)
        target = jnp.argmax(scores(inputs))
        found = evaluation.integrated_gradients(
            lambda table: scores(table)[target], inputs, baseline, num_steps=num_steps
        )
        by_token = found._replace(values=jnp.sum(found.values, axis=1))
        return target, scores(baseline)[target], by_token

    return attribute


def _places(
    tokenizer: Any, text: str, length: int
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Characters of each token of a text `[L]`, and which tokens are special."""
    encoded = tokenizer(
        text,
        truncation=True,
        max_length=length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    return encoded["offset_mapping"], np.array(encoded["special_tokens_mask"], bool)


def _support_of(directory: Path) -> list[dict[str, Any]]:
    """The support texts that `adapt` left in a directory, none in an older one."""
    path = directory / SUPPORT
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    for row in rows:
        said = row["label"]
        row["label"] = said[0] if isinstance(said, list) and len(said) == 1 else said
    return rows


class Deletion(NamedTuple):
    """How far probabilities fall when words are deleted, with 95 % intervals.

    Attributes:
      attributed: when the words go to which most is attributed.
      random: when as many words go that are drawn.
      difference: how much more the former; `low > 0` says that attributions find the
        words that matter.
    """

    attributed: evaluation.Interval
    random: evaluation.Interval
    difference: evaluation.Interval


def check_by_deletion(
    explainer: Explainer,
    texts: Sequence[str],
    *,
    share: float = 0.2,
    seed: int = 0,
) -> Deletion:
    """Checks attributions by deleting words and answering again.

    Args:
      explainer: of a task of classes.
      texts: of more than one word each; others are left out.
      share: of the words that go, at least one.
      seed: draws the words that are deleted for comparison.

    Returns:
      How far the probability of the first answer falls.

    Raises:
      ValueError: if no text has two words.

    References:
      DeYoung et al., `ERASER: A Benchmark to Evaluate Rationalized NLP Models
      <https://arxiv.org/abs/1911.03429>`_, 2020, whose comprehensiveness this is,
      beside a baseline of drawn words.
    """
    rng = np.random.default_rng(seed)
    kept = [text for text in texts if len(tasks.word_spans(text)) > 1]
    if not kept:
        raise ValueError("no text has two words, of which one could be deleted.")
    answers = _all(explainer, kept)
    without: list[str] = []
    for text, answer in zip(kept, answers, strict=True):
        values = np.array([word["attribution"] for word in answer["words"]])
        count = min(max(1, round(share * len(values))), len(values) - 1)
        most = np.argsort(-values, kind="stable")[:count]
        drawn = rng.choice(len(values), count, replace=False)
        without += [_without(text, most), _without(text, drawn)]
    again = _all(explainer._predictor, without)
    falls = np.array(
        [
            answer["probabilities"][answer["explained"]]
            - after["probabilities"][answer["explained"]]
            for answer, pair in zip(answers, _pairs(again), strict=True)
            for after in pair
        ]
    ).reshape(-1, 2)
    attributed, random = falls.T
    return Deletion(
        evaluation.mean_interval(attributed),
        evaluation.mean_interval(random),
        evaluation.paired_interval(random, attributed),
    )


def _all(predictor: Any, texts: list[str]) -> list[dict[str, Any]]:
    size = predictor.batch_size
    return [
        answer
        for first in range(0, len(texts), size)
        for answer in predictor(texts[first : first + size])
    ]


def _pairs(answers: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(answers[::2], answers[1::2], strict=True))


def _without(text: str, words: np.ndarray) -> str:
    """The text without some of its words, by their numbers."""
    spans = tasks.word_spans(text)
    gone = set(words.tolist())
    left = [text[a:b] for number, (a, b) in enumerate(spans) if number not in gone]
    return " ".join(left)
