"""Explanations of a classifier: word attributions and the nearest support texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import data, evaluation, models, target_kinds, tree
from metaflax.evaluation._attributions import integrated_gradients
from metaflax.models.families._registry import family_of
from metaflax.tasks._words import word_spans
from metaflax.workflows.inference._given_inputs import inputs_of
from metaflax.workflows.inference._predict import predict_all
from metaflax.workflows.inference._predictor import Predictor
from metaflax.workflows.inference._selection import unit_vectors
from metaflax.workflows.inference._support_file import (
    missing_support_note,
    read_support,
)

# Forms of single texts; that of regression allows pairs too.
FORMS = ("text", "text or pair")


class Explainer:
    """Classifier whose predictions carry word attributions and nearest support texts.

    Words are explained by integrated gradients of the predicted probability (or of the
    number, in regression) with respect to word embeddings, from a baseline of padding
    tokens between the special tokens. A word's attribution is the sum over its tokens.

    Args:
      directory: output of `adapt`, or a sequence classifier of Hugging Face.
      batch_size: as for `Predictor`.
      num_nearest: number of support texts shown with each prediction.
      num_steps: number of gradients along the path from the baseline.
      reject: as for `Predictor`.

    Attributes:
      predictor: the classifier that is explained.
      form: the form of its input texts.
      batch_size: number of texts of a batch.

    Raises:
      ValueError: if the directory holds no sequence classifier of single texts, or a
        number is not positive.

    Examples:
      >>> import json, pathlib, tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "config.json"
      ...     _ = path.write_text(json.dumps({"model_type": "gpt2"}))
      ...     workflows.Explainer(folder)
      Traceback (most recent call last):
        ...
      ValueError: ... holds a generative model, and only classifiers ...

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
        reject: float | None = None,
    ):
        if family_of(directory).generative:
            raise ValueError(
                f"{directory} holds a generative model, and only classifiers are"
                " explained; predict without explanations."
            )
        self.predictor = predictor = Predictor(directory, batch_size, reject=reject)
        if predictor.form.name not in FORMS or _probabilities(predictor) is None:
            raise ValueError(
                f"{directory} holds no classifier of single texts, and only these are"
                " explained; predict without explanations."
            )
        for name, number in (("num_nearest", num_nearest), ("num_steps", num_steps)):
            if number < 1:
                raise ValueError(f"{name} is {number}; give 1 or more.")
        self.form, self.batch_size = predictor.form, batch_size
        self._num_nearest = num_nearest
        self._attribute = _attribution(predictor, num_steps)
        self._buckets = data.Buckets(predictor.batches.coarse_lengths)
        self._support = read_support(predictor.pretrained.directory, predictor.form)
        self._support_vectors = self._unit_vectors([row.text for row in self._support])

    def notes(self) -> list[str]:
        """Returns sentences about truncated texts and about missing support texts."""
        notes = self.predictor.notes()
        if not self._support:
            directory = self.predictor.pretrained.directory
            consequence = "no nearest support texts are shown"
            notes.append(missing_support_note(directory, consequence))
        return notes

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns explained predictions for any number of texts or rows, in order.

        To what `Predictor` returns each adds `explained`, the class whose probability
        is explained; `words`, each with its `attribution`; `baseline`, the probability
        of the baseline; `completeness_error`, how far the attributions miss the
        difference of the two; and `nearest`, support texts with their `similarity`, the
        cosine of feature vectors.

        Raises:
          ValueError: for a pair of texts.
        """
        texts = inputs_of(self.form, texts)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(
                "a pair of texts cannot be explained; give single texts, or predict"
                " without explanations."
            )
        predictions = self.predictor(texts)
        tokenized = self.predictor.tokenize(texts)
        nearest = self._nearest(tokenized, len(texts))
        return [
            prediction | self._words(text, tokenized, row) | near
            for row, (text, prediction, near) in enumerate(
                zip(texts, predictions, nearest, strict=True)
            )
        ]

    def _words(
        self, text: str, tokenized: data.TokenizedTexts, row: int
    ) -> dict[str, Any]:
        """Computes the attribution of each word."""
        predictor = self.predictor
        spans, special = _token_spans(predictor.tokenizer, text, len(tokenized[row]))
        tokens = data.collate_texts(tokenized, [row], 1, self._buckets, pack=False)
        replaced = np.zeros(np.shape(tokens.ids)[1], bool)  # [L]
        replaced[: len(special)] = ~special
        target, baseline, attributions = self._attribute(
            predictor.params, tokens, replaced
        )
        by_token = np.asarray(attributions.values, np.float64)
        words = word_spans(text)
        ends = np.array([end for _, end in words])
        sums = np.zeros(len(words))
        for (start, _), value in zip(spans, by_token[: len(spans)], strict=True):
            word = int(np.searchsorted(ends, start, side="right"))
            if word < len(words):  # Special tokens have attribution 0.
                sums[word] += value
        return {
            "explained": predictor.names[int(target)],
            "words": [
                {"word": text[start:end], "attribution": round(float(value), 6)}
                for (start, end), value in zip(words, sums, strict=True)
            ],
            "baseline": round(float(baseline), 6),
            "completeness_error": round(float(attributions.error), 6),
        }

    def _nearest(
        self, tokenized: data.TokenizedTexts, count: int
    ) -> list[dict[str, Any]]:
        """Finds the support texts nearest to each text."""
        if not self._support:
            return [{}] * count
        vectors = unit_vectors(self.predictor.features(tokenized))
        similar = vectors @ self._support_vectors.T  # [B, S]
        order = np.argsort(-similar, axis=1, kind="stable")[:, : self._num_nearest]
        return [
            {
                "nearest": [
                    {**self._support[i].columns, "similarity": round(float(row[i]), 4)}
                    for i in best
                ]
            }
            for row, best in zip(similar, order.tolist(), strict=True)
        ]

    def _unit_vectors(self, texts: list[Any]) -> np.ndarray:
        """Computes feature vectors of unit length, `[S, D]`."""
        if not texts:
            return np.zeros((0, self.predictor.encoder.num_features))
        tokenized = self.predictor.tokenize(texts)
        return unit_vectors(self.predictor.features(tokenized))


def _probabilities(predictor: Predictor):
    return target_kinds.of(predictor.task).probabilities


def _attribution(predictor: Predictor, num_steps: int):
    """Returns a jitted function from one text to the attributions of its tokens.

    The text's token embeddings replace the network's embedding table, so that the
    gradient is taken with respect to them.
    """
    score, path = _probabilities(predictor), "embeddings/word"
    assert score is not None

    @jax.jit
    def attribute(params: Any, tokens: models.Tokens, replaced: jax.Array):
        encoder_params, head = params
        word = tree.leaf(encoder_params, path)  # [V, D]
        length = jnp.shape(tokens.ids)[1]
        indices = tokens._replace(ids=jnp.arange(length)[None])

        def scores(table: jax.Array) -> jax.Array:  # [L, D] to [N].
            changed = tree.update(encoder_params, path, lambda _: table)
            features = predictor.encoder.apply(changed, indices, None)
            logits = (features @ head["kernel"])[0] + head["bias"]
            return score(logits / predictor.temperature)

        inputs = word[jnp.asarray(tokens.ids)[0]]  # [L, D]
        padding = word[predictor.tokenizer.pad_token_id or 0]
        baseline = jnp.where(replaced[:, None], padding[None], inputs)
        target = jnp.argmax(scores(inputs))
        attributions = integrated_gradients(
            lambda table: scores(table)[target], inputs, baseline, num_steps=num_steps
        )
        by_token = attributions._replace(values=jnp.sum(attributions.values, axis=1))
        return target, scores(baseline)[target], by_token

    return attribute


def _token_spans(
    tokenizer: Any, text: str, length: int
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Returns the character span of each token `[L]`, and which tokens are special."""
    encoded = tokenizer(
        text,
        truncation=True,
        max_length=length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    return encoded["offset_mapping"], np.array(encoded["special_tokens_mask"], bool)


class Deletion(NamedTuple):
    """Drops in probability when words are deleted, with 95 % intervals.

    Attributes:
      attributed: the drop when the words of largest attribution are deleted.
      random: the drop when as many random words are deleted.
      difference: `attributed - random`; where `difference.low > 0` the attributions
        find the words that matter.
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
    """Checks attributions by deleting the words with the largest ones.

    Args:
      explainer: an explained classifier.
      texts: input texts; those with a single word are left out.
      share: share of the words that are deleted, at least one word.
      seed: seed for drawing the random words.

    Returns:
      The drops of the probability that was predicted at first.

    Raises:
      ValueError: if no text has two words.

    References:
      DeYoung et al., `ERASER: A Benchmark to Evaluate Rationalized NLP Models
      <https://arxiv.org/abs/1911.03429>`_, 2020, whose comprehensiveness this is,
      beside a baseline of random words.
    """
    rng = np.random.default_rng(seed)
    kept = [text for text in texts if len(word_spans(text)) > 1]
    if not kept:
        raise ValueError("no text has two words, of which one could be deleted.")
    predictions = predict_all(explainer, kept)
    shortened: list[str] = []
    for text, prediction in zip(kept, predictions, strict=True):
        values = np.array([word["attribution"] for word in prediction["words"]])
        count = min(max(1, round(share * len(values))), len(values) - 1)
        largest = np.argsort(-values, kind="stable")[:count]
        random = rng.choice(len(values), count, replace=False)
        shortened += [_without(text, largest), _without(text, random)]
    after = predict_all(explainer.predictor, shortened)
    drops = np.array(
        [
            before["probabilities"][before["explained"]]
            - after[2 * i + j]["probabilities"][before["explained"]]
            for i, before in enumerate(predictions)
            for j in range(2)
        ]
    ).reshape(-1, 2)
    attributed, random = drops.T
    return Deletion(
        evaluation.mean_interval(attributed),
        evaluation.mean_interval(random),
        evaluation.paired_interval(random, attributed),
    )


def _without(text: str, words: np.ndarray) -> str:
    """Deletes words of a text by their indices."""
    spans = word_spans(text)
    deleted = set(words.tolist())
    return " ".join(text[a:b] for i, (a, b) in enumerate(spans) if i not in deleted)
