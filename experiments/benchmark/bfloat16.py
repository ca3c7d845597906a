"""Speed and differences of predictions in bfloat16 on a CPU.

Usage: METAFLAX_DATA=DIR python experiments/benchmark/bfloat16.py

Prints the rates of matrix products of MiniLM's sizes by type, and adapts MiniLM to 27
intents of clinc150, 8 texts each, and compares its predictions for 60 others of each.
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import workflows
from metaflax.cli import main as metaflax

# Tokens of a batch, input features and output features of a layer.
SIZES = (1024, 384, 384), (1024, 384, 1536), (1024, 1536, 384)
# Data types of the factors and of the product.
TYPES = ("float32", "float32"), ("bfloat16", "bfloat16"), ("bfloat16", "float32")
NUM_CLASSES, SHOT, NUM_QUERIES, REPEATS = 27, 8, 60, 20


def main() -> int:
    file = Path(os.environ.get("METAFLAX_DATA", "")) / "clinc150" / "examples.jsonl"
    if not file.is_file():
        print(
            "benchmark: METAFLAX_DATA names the folder of data sets.", file=sys.stderr
        )
        return 2
    for size, (factors, product) in itertools.product(SIZES, TYPES):
        rate = product_rate(size, factors, product)
        print(f"{size}, {factors} into {product}: {rate:.0f} GFLOP/s")
    print(compared(*draw(file)))
    return 0


def product_rate(size: tuple[int, int, int], factors: Any, product: Any) -> float:
    """Returns the rate of a product `[M, K] @ [K, N]`, in GFLOP/s."""
    M, K, N = size
    x, y = jnp.ones((M, K), factors), jnp.ones((K, N), factors)
    multiply = jax.jit(lambda x, y: jnp.matmul(x, y, preferred_element_type=product))
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        jax.block_until_ready(multiply(x, y))
        seconds.append(time.perf_counter() - begun)
    return 2 * M * K * N / statistics.median(seconds) / 1e9


def draw(file: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Returns the first texts of each class to learn from, and others to predict."""
    texts: dict[str, list[str]] = {}
    with file.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            texts.setdefault(row["label"], []).append(row["text"])
    names = sorted(texts)[:: len(texts) // NUM_CLASSES][:NUM_CLASSES]
    rows = {n: [{"text": text, "label": n} for text in texts[n]] for n in names}
    support = [row for name in names for row in rows[name][:SHOT]]
    queries = [row for name in names for row in rows[name][SHOT : SHOT + NUM_QUERIES]]
    return support, queries


def compared(support: list[dict[str, str]], queries: list[dict[str, str]]) -> str:
    """Adapts, predicts in both types, and reports how the predictions differ."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "support.jsonl", Path(folder) / "model"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in support))
        options = ("--head", "prototypes", "--support", str(file), "--out", str(out))
        status = metaflax(["adapt", *options])
        if status:
            raise SystemExit(status)
        texts, gold = ([row[key] for row in queries] for key in ("text", "label"))
        labels, probabilities = [], []
        for dtype in ("float32", "bfloat16"):
            answers = workflows.Predictor(out, dtype=dtype)(texts)
            labels.append(np.array([a["label"] for a in answers]))
            probabilities.append([[*a["probabilities"].values()] for a in answers])
    right = " and ".join(
        f"{np.mean(predicted == np.array(gold)):.2%}" for predicted in labels
    )
    gap = np.max(np.abs(np.subtract(*probabilities)))
    return (
        f"{right} right in float32 and bfloat16; {np.sum(np.not_equal(*labels))} of"
        f" {len(texts)} labels differ, probabilities by at most {gap:.4f}"
    )


if __name__ == "__main__":
    sys.exit(main())
