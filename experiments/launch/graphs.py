"""Compares the graphs of an adapted model with metaflax: answers, size, texts a second.

    python experiments/launch/graphs.py my_model texts.jsonl more.jsonl --number 1000

Each format is exported into a temporary folder and run on the same texts, in batches of
32 of like length; the second pass over all of them is timed.
"""

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers

import metaflax
from metaflax import workflows
from metaflax.workflows.inference import _graphs

BATCH, MULTIPLE = 32, 32
RUNNERS = {"onnx": _graphs._onnx_runner, "stablehlo": _graphs._stablehlo_runner}


def compare(model: Path, texts: Sequence[str], folder: Path) -> dict[str, Any]:
    """Measures metaflax and both graphs.

    Args:
      model: output of `metaflax adapt`.
      texts: texts to predict.
      folder: where the graphs go.

    Returns:
      For "metaflax" and each format megabytes and texts a second, and for the graphs
      the largest difference of a probability.
    """
    predictor = metaflax.load(model)

    def ours(texts: Sequence[str]) -> np.ndarray:
        rows = predictor(list(texts))
        return np.array([list(row["probabilities"].values()) for row in rows])

    expected, speed = timed(ours, texts)
    results = {"metaflax": {"megabytes": megabytes(model), "speed": speed}}
    for format, runner in RUNNERS.items():
        target = workflows.export(model, folder / format, format)
        tokenizer = transformers.AutoTokenizer.from_pretrained(target)
        metadata = json.loads((target / _graphs.METADATA).read_text())
        run = functools.partial(
            predicted, runner(target), tokenizer, metadata["max_length"]
        )
        probabilities, speed = timed(run, texts)
        results[format] = {
            "megabytes": megabytes(target),
            "speed": speed,
            "difference": float(np.max(np.abs(probabilities - expected))),
        }
    return results


def predicted(
    run: Any, tokenizer: Any, max_length: int, texts: Sequence[str]
) -> np.ndarray:
    """Predicts in batches of like length, padded to few different ones."""
    encoded = [
        tokenizer(text, truncation=True, max_length=max_length) for text in texts
    ]
    order = np.argsort([len(row["input_ids"]) for row in encoded], kind="stable")
    parts = []
    for start in range(0, len(order), BATCH):
        rows = [encoded[i] for i in order[start : start + BATCH]]
        longest = max(len(row["input_ids"]) for row in rows)
        length = min(-(-longest // MULTIPLE) * MULTIPLE, max_length)
        inputs = tokenizer.pad(
            {name: [row[name] for row in rows] for name in rows[0]},
            padding="max_length",
            max_length=length,
            return_tensors="np",
        )
        names = ("input_ids", "attention_mask", "token_type_ids")
        arrays = {n: inputs[n].astype(np.int32) for n in names if n in inputs}
        parts.append(run(arrays)["probabilities"])
    probabilities = np.concatenate(parts)
    return probabilities[np.argsort(order)]


def timed(
    run: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]
) -> tuple[np.ndarray, float]:
    """Returns the results and texts a second of the second pass."""
    run(texts)  # Shapes are compiled.
    start = time.perf_counter()
    results = run(texts)
    return results, len(texts) / (time.perf_counter() - start)


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*")) / 1e6


def read(files: Sequence[Path], number: int) -> list[str]:
    """Reads as many texts of each file, evenly spread over it."""
    texts: list[str] = []
    for file in files:
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line)["text"] for line in lines]
        share = number // len(files)
        texts += [rows[i] for i in np.linspace(0, len(rows) - 1, share).astype(int)]
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--number", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = compare(args.model, read(args.texts, args.number), Path(folder))
    print("| | megabytes | texts a second | largest difference |")
    print("| --- | --- | --- | --- |")
    for name, row in results.items():
        difference = f"{row['difference']:.1e}" if "difference" in row else ""
        print(
            f"| {name} | {row['megabytes']:.0f} | {row['speed']:.0f} | {difference} |"
        )


if __name__ == "__main__":
    main()
