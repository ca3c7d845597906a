"""Texts a second of `Predictor`, beside sentence-transformers.

Usage: METAFLAX_DATA=DIR python experiments/benchmark/predict.py metaflax

Both classify the same texts with the same encoder and a random output layer.
`questions` are those of clinc150, of about 13 tokens; `reviews` are the longest quarter
of the reviews of amazon_sentiment. With `--serve` the program predicts all texts for
every line `step` on its input and prints how long that took.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import serving

NUM_CLASSES = 27


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=list(PROGRAMS))
    parser.add_argument("--texts", choices=list(TEXTS), default="questions")
    parser.add_argument("--number", type=int, default=2000, help="of texts, at most")
    parser.add_argument("--model", type=Path, help="(default: all-MiniLM-L6-v2)")
    parser.add_argument(
        "--package", type=Path, help="checkout of metaflax (default: the installed)"
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    folder = Path(os.environ.get("METAFLAX_DATA", ""))
    if not (folder / "clinc150").is_dir():
        print(
            "benchmark: METAFLAX_DATA names the folder of data sets.", file=sys.stderr
        )
        return 2
    if args.package:
        sys.path.insert(0, str(args.package))
    texts = TEXTS[args.texts](folder)[: args.number]
    predict = PROGRAMS[args.program](args.model or _minilm(), args.batch_size)
    first = predict(texts)
    info = {
        "program": args.program,
        "texts": len(texts),
        # What interleave.py shows of each program; equal where predictions are.
        "loss": float(-np.log(first.max(axis=1)).mean()),
        "gnorm": float(np.linalg.norm(first)),
    }
    if args.serve:
        serving.serve(lambda: predict(texts), info)
        return 0
    results = [serving.timed(lambda: predict(texts)) for _ in range(args.repeats)]
    rates = sorted(len(texts) / result["dt"] for result in results)
    print(json.dumps({**info, "texts_a_second": rates[len(rates) // 2]}))
    return 0


def questions(folder: Path) -> list[str]:
    """Questions to an assistant, in the order of the file."""
    return [row["text"] for row in _rows(folder / "clinc150" / "examples.jsonl")]


def reviews(folder: Path) -> list[str]:
    """The longest quarter of the reviews, in the order of the file."""
    rows = [row["text"] for row in _rows(folder / "amazon_sentiment/examples.jsonl")]
    least = sorted(map(len, rows))[-len(rows) // 4]
    return [text for text in rows if len(text) >= least]


def by_metaflax(model: Path, batch_size: int) -> Callable[[list[str]], Any]:
    """Returns a function from texts to probabilities, by `Predictor`."""
    from metaflax import models, workflows
    from metaflax.workflows.inference._predict import predict_all

    loaded = models.load(model)
    folder = tempfile.TemporaryDirectory()
    models.save(
        Path(folder.name) / "classifier",
        loaded.config,
        loaded.params,
        tokenizer_from=model,
        head=_head(loaded.config.hidden_size),
        pooling="mean",
    )
    predictor = workflows.Predictor(Path(folder.name) / "classifier", batch_size)
    folder.cleanup()

    def probabilities(texts: list[str]) -> np.ndarray:
        rows = predict_all(predictor, texts)
        return np.array([list(row["probabilities"].values()) for row in rows])

    return probabilities


def by_sentence_transformers(
    model: Path, batch_size: int
) -> Callable[[list[str]], Any]:
    """Returns a function from texts to probabilities, by sentence-transformers."""
    import sentence_transformers

    encoder = sentence_transformers.SentenceTransformer(str(model), device="cpu")
    encoder = sentence_transformers.SentenceTransformer(modules=list(encoder)[:2])
    encoder.max_seq_length = encoder.tokenizer.model_max_length  # As metaflax has it.
    head = _head(encoder.get_sentence_embedding_dimension())

    def probabilities(texts: list[str]) -> np.ndarray:
        features = encoder.encode(texts, batch_size=batch_size, show_progress_bar=False)
        products = np.exp(features @ head["kernel"])
        return products / products.sum(axis=1, keepdims=True)

    return probabilities


def _head(width: int) -> dict[str, np.ndarray]:
    kernel = np.random.default_rng(0).normal(size=(width, NUM_CLASSES))
    return {
        "kernel": kernel.astype(np.float32),
        "bias": np.zeros(NUM_CLASSES, np.float32),
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _minilm() -> Path:
    from metaflax import data

    return data.fetch_minilm()


TEXTS = {"questions": questions, "reviews": reviews}
PROGRAMS = {
    "metaflax": by_metaflax,
    "sentence_transformers": by_sentence_transformers,
}

if __name__ == "__main__":
    sys.exit(main())
