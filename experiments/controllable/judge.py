"""Evaluation of generated reviews by a sentiment classifier and by perplexity."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression

import metaflax
from metaflax import data, losses, metrics, models, workflows

Records = Sequence[dict[str, Any]]
REFERENCE = "reference"
# Number of training texts of each sentiment for the classifier.
NUM_TEXTS = 1500


def judged(records: Records) -> dict[str, dict[str, float]]:
    """Evaluates generated texts, by method.

    Args:
      records: with a domain `PRODUCTS/SENTIMENT`, the beginning of a review and what
        each method generated after it.

    Returns:
      By method, and for the references: the share of texts (percent) whose sentiment is
      that of the domain according to the classifier, their perplexity under the plain
      SmolLM2, and distinct-1 and distinct-2 of all of them together.
    """
    texts = {REFERENCE: [record["target"] for record in records]}
    for method in records[0]["generated"]:
        texts[method] = [record["generated"][method] for record in records]
    expected = np.array([r["domain"].endswith("/positive") for r in records])
    classify, perplexity = sentiment_classifier(), plain_perplexity()
    beginnings = [record["text"] for record in records]
    return {
        method: {
            "attribute (%)": 100 * float(np.mean(classify(of_method) == expected)),
            "perplexity": perplexity(beginnings, of_method),
            "distinct-1 (%)": 100 * metrics.distinct(of_method, 1),
            "distinct-2 (%)": 100 * metrics.distinct(of_method, 2),
        }
        for method, of_method in texts.items()
    }


def sentiment_classifier() -> Any:
    """Trains a sentiment classifier on human-scored texts other than Amazon reviews.

    Returns:
      `positive = classify(texts)`, booleans `[U]`: logistic regression on features of
      MiniLM.
    """
    scored = data.scored_texts()
    products = scored.domain_names.index("products")
    labels = np.array([names[0] for names in scored.labels])
    rng, rows = np.random.default_rng(0), []
    for label in np.unique(labels):
        fitting = np.flatnonzero(
            (labels == label) & (np.asarray(scored.domains) != products)
        )
        rows += rng.choice(fitting, min(NUM_TEXTS, len(fitting)), False).tolist()
    encoder = metaflax.FewShotClassifier("minilm", max_length=32, batch_size=64)
    features = encoder.transform([scored.texts[row] for row in rows])
    classifier = LogisticRegression(max_iter=1000).fit(features, labels[rows])

    def classify(texts: Sequence[str]) -> np.ndarray:
        return classifier.predict(encoder.transform(texts)) == "positive"

    return classify


def plain_perplexity() -> Any:
    """Returns `perplexity(beginnings, texts)` under SmolLM2 as it is."""
    pretrained = models.load(workflows.locate_model("smollm2"))
    model = pretrained.family.language_model(pretrained.config)
    tokenizer, length = pretrained.tokenizer(), 48

    @jax.jit
    def cross_entropy(params, ids, mask, targets):
        logits = model.apply(params, models.Tokens(ids, None, mask), None)
        weights = jnp.ones(len(ids))
        return losses.language_cross_entropy(logits, targets, weights)

    def perplexity(beginnings: Sequence[str], texts: Sequence[str]) -> float:
        ids = np.zeros((len(texts), length), np.int32)
        mask, targets = np.zeros_like(ids), np.full_like(ids, -1)
        for row, (beginning, text) in enumerate(zip(beginnings, texts, strict=True)):
            before = tokenizer(beginning)["input_ids"]
            tokens = (before + tokenizer(f" {text}")["input_ids"])[:length]
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
            places = range(len(before) - 1, len(tokens) - 1)
            targets[row, list(places)] = tokens[len(before) :]
        loss = cross_entropy(pretrained.params, ids, mask, targets)
        return float(np.exp(loss))

    return perplexity
