"""Texts a second of `Predictor`, beside sentence-transformers and onnxruntime.

Usage: METAFLAX_DATA=DIR python experiments/benchmark/predict.py metaflax

Both classify the same texts with the same encoder and a random output layer.
`questions` are those of clinc150, of about 13 tokens; `reviews` are the longest quarter
of the reviews of amazon_sentiment. With `--serve` the program predicts all texts for
every line `step` on its input and prints how long that took.
"""

import argparse
import itertools
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
    parser.add_argument(
        "--number", type=int, default=2000, help="maximum number of texts"
    )
    parser.add_argument("--model", type=Path, help="(default: all-MiniLM-L6-v2)")
    parser.add_argument(
        "--package", type=Path, help="checkout of metaflax (default: the installed)"
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
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
    make = PROGRAMS[args.program]
    predict = make(args.model or _minilm(), args.batch_size, args.dtype)
    first = predict(texts)
    info = {
        "program": args.program,
        "texts": len(texts),
        # What interleave.py prints of each program; equal if predictions are.
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


def by_metaflax(model: Path, batch_size: int, dtype: Any) -> Callable[[list[str]], Any]:
    """Returns a function from texts to probabilities, by `Predictor`."""
    from metaflax import workflows

    with tempfile.TemporaryDirectory() as folder:
        directory = _classifier(model, Path(folder))
        # Earlier versions have no such option.
        options = {} if dtype == "float32" else {"dtype": dtype}
        predictor = workflows.Predictor(directory, batch_size, **options)

    def probabilities(texts: list[str]) -> np.ndarray:
        size = predictor.window
        windows = (texts[first : first + size] for first in range(0, len(texts), size))
        rows = itertools.chain.from_iterable(predictor.in_windows(windows))
        return np.array([list(row["probabilities"].values()) for row in rows])

    return probabilities


def by_onnxruntime(
    model: Path, batch_size: int, dtype: str
) -> Callable[[list[str]], Any]:
    """Returns a function from texts to probabilities, by the exported graph.

    Texts are sorted by length, and a batch is padded to its longest.
    """
    if dtype != "float32":
        raise SystemExit("benchmark: the exported graph is of float32.")
    import onnxruntime
    import transformers

    from metaflax import workflows

    folder = tempfile.TemporaryDirectory()
    graph = Path(folder.name) / "graph"
    workflows.export(_classifier(model, Path(folder.name)), graph, "onnx")
    session = onnxruntime.InferenceSession(str(graph / "model.onnx"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(graph)
    inputs = [x.name for x in session.get_inputs()]
    outputs = [x.name for x in session.get_outputs()]
    number = outputs.index("probabilities")
    folder.cleanup()

    def probabilities(texts: list[str]) -> np.ndarray:
        ids = tokenizer(texts, truncation=True)["input_ids"]
        order = np.argsort([-len(row) for row in ids], kind="stable")
        probabilities = np.zeros((len(texts), NUM_CLASSES), np.float32)
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            padded = tokenizer.pad({"input_ids": [ids[i] for i in part]})
            batch = {n: np.asarray(padded.get(n, 0), np.int64) for n in inputs}
            if "token_type_ids" in batch:
                batch["token_type_ids"] = np.zeros_like(batch["input_ids"])
            probabilities[part] = session.run(outputs, batch)[number]
        return probabilities

    return probabilities


def _classifier(model: Path, folder: Path) -> Path:
    """The encoder with a random output layer, as `adapt` would write it."""
    from metaflax import models

    loaded = models.load(model)
    models.save(
        folder / "classifier",
        loaded.config,
        loaded.params,
        tokenizer_from=model,
        head=_head(loaded.config.hidden_size),
        pooling="mean",
    )
    return folder / "classifier"


def by_sentence_transformers(
    model: Path, batch_size: int, dtype: str
) -> Callable[[list[str]], Any]:
    """Returns a function from texts to probabilities, by sentence-transformers."""
    import sentence_transformers
    import torch

    from metaflax import models

    encoder = sentence_transformers.SentenceTransformer(str(model), device="cpu")
    encoder = sentence_transformers.SentenceTransformer(modules=list(encoder)[:2])
    encoder = encoder.to(dtype=getattr(torch, dtype))
    # The length that metaflax uses; without modules the directory does not define one.
    encoder.max_seq_length = models.load(model).tokenizer().model_max_length
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
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _minilm() -> Path:
    from metaflax import data

    return data.fetch_minilm()


TEXTS = {"questions": questions, "reviews": reviews}
PROGRAMS = {
    "metaflax": by_metaflax,
    "onnxruntime": by_onnxruntime,
    "sentence_transformers": by_sentence_transformers,
}

if __name__ == "__main__":
    sys.exit(main())
