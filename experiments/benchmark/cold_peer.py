"""Script of a user without metaflax, to compare with `adapt` and `predict`.

Usage: python experiments/benchmark/cold_peer.py fit MODEL SUPPORT.jsonl OUT.npz
    python experiments/benchmark/cold_peer.py predict MODEL OUT.npz TEXTS.jsonl ANSWERS

sentence-transformers encodes, scikit-learn fits a logistic regression.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
from sklearn import linear_model


def main() -> None:
    work, model, *paths = sys.argv[1:]
    encoder = sentence_transformers.SentenceTransformer(model, device="cpu")
    {"fit": fit, "predict": predict}[work](encoder, *map(Path, paths))


def fit(encoder: sentence_transformers.SentenceTransformer, support: Path, out: Path):
    """Fits to labelled texts, and writes the weights."""
    rows = read(support)
    features = encoder.encode([row["text"] for row in rows], show_progress_bar=False)
    classifier = linear_model.LogisticRegression()
    classifier.fit(features, [row["label"] for row in rows])
    np.savez(
        out,
        labels=classifier.classes_,
        kernel=classifier.coef_.T,
        bias=classifier.intercept_,
    )


def predict(
    encoder: sentence_transformers.SentenceTransformer,
    weights: Path,
    texts: Path,
    out: Path,
):
    """Writes the label of each text and the probabilities of all."""
    fitted = np.load(weights)
    features = encoder.encode(
        [row["text"] for row in read(texts)], show_progress_bar=False
    )
    logits = features @ fitted["kernel"] + fitted["bias"]
    products = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = products / products.sum(axis=1, keepdims=True)
    labels = fitted["labels"].tolist()
    with out.open("w", encoding="utf-8") as file:
        for row in probabilities.tolist():
            best = labels[int(np.argmax(row))]
            named = dict(zip(labels, row, strict=True))
            print(json.dumps({"label": best, "probabilities": named}), file=file)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
