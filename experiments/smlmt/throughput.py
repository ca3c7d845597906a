"""Throughput of SMLMT episodes compared with the training step.

Usage: python experiments/smlmt/throughput.py [--bytes 1e9] [--folder DIR] [STAGE ...]

Stages are `make` (a synthetic text), `index`, `stream` (episodes a second, resident
memory), `readers` (the stream of one and of four processes) and `step` (episodes a
second of the training step); all of them unless some are named. Each runs in a separate
process, so that its memory is measured separately. See README.md.
"""

import argparse
import concurrent.futures
import itertools
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STAGES = ("make", "index", "stream", "readers", "step")
MIB = 2**20
WAY, SHOT, QUERIES, LENGTH, TASKS = 5, 5, 5, 128, 4
# Bands of words in 1,000 to a million sentences; most words of a large text are rarer.
BANDS = (1000, 10_000, 100_000, 1_000_000)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help="stages to run (default: all)"
    )
    parser.add_argument(
        "--bytes", type=float, default=1e9, help="size of the synthetic text"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder to keep (default: temporary)"
    )
    parser.add_argument(
        "--seconds", type=float, default=20, help="duration of each measurement"
    )
    args = parser.parse_args()
    if unknown := set(args.stages) - set(STAGES):
        parser.error(f"unknown stages {unknown}; there are {', '.join(STAGES)}")
    if args.folder and len(args.stages) == 1:
        results = run_stage(args.stages[0], args.folder, int(args.bytes), args.seconds)
        print(json.dumps(results))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        for stage in args.stages or STAGES:
            options = ["--folder", folder, "--bytes", args.bytes]
            options += ["--seconds", args.seconds]
            command = [sys.executable, __file__, stage, *map(str, options)]
            outputs = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True
            )
            print(stage, outputs.stdout.strip(), flush=True)
    return 0


def run_stage(stage: str, folder: Path, size: int, seconds: float) -> dict[str, Any]:
    """Runs one stage; returns its measurements with the peak of resident memory."""
    stages: dict[str, Callable[[], dict[str, Any]]] = {
        "make": lambda: make(folder / "raw.txt", size),
        "index": lambda: index(folder),
        "stream": lambda: stream(folder, seconds),
        "readers": lambda: readers(folder),
        "step": lambda: step(folder, seconds),
    }
    results = stages[stage]()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**results, "most_resident_mib": round(most)}


def make(path: Path, size: int, seed: int = 0) -> dict[str, Any]:
    """Writes sentences of 8 to 30 words; word frequencies follow Zipf's law."""
    vocabulary = words()
    share = 1 / np.arange(1, len(vocabulary) + 1)
    reach = np.cumsum(share / share.sum())
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("w") as file:
        while written < size:
            drawn = np.searchsorted(reach, rng.random(200_000))
            places = np.cumsum(rng.integers(8, 31, 12_000))
            lines = np.split(vocabulary[drawn], places[places < len(drawn)])
            text = "\n".join(map(" ".join, lines)) + "\n"
            written += file.write(text)
    return {"bytes": path.stat().st_size, "words": len(vocabulary)}


def words() -> np.ndarray:
    """Returns the whole words in the vocabulary of all-MiniLM-L6-v2, in order."""
    from metaflax import data

    lines = (data.fetch_minilm() / "vocab.txt").read_text().splitlines()
    return np.array([w for w in lines if w.isascii() and w.isalpha() and len(w) > 1],
                    object)  # fmt: skip


def index(folder: Path) -> dict[str, Any]:
    """Indexes the text, or opens its index."""
    index, seconds = timed(lambda: indexed(folder))
    _, again = timed(lambda: indexed(folder))
    bytes_of_index = sum(p.stat().st_size for p in (folder / "index").rglob("*.*"))
    return {
        "texts": len(index),
        "words": len(index.words),
        "seconds": round(seconds, 1),
        "seconds_again": round(again, 1),
        "bytes_of_index": bytes_of_index,
    }


def indexed(folder: Path):
    from metaflax import data

    return data.index_texts(folder / "raw.txt", cache_dir=folder / "index")


def sampler_of(folder: Path):
    from metaflax import data

    index = indexed(folder)
    bands = data.frequency_bands(index, BANDS)
    groups = tuple(band for band in bands if len(band) >= WAY)
    return data.MaskedWordSampler(
        index, groups, "[MASK]", WAY, SHOT, QUERIES, most_around=LENGTH
    )


def collator(sampler):
    """Builds a function that collates episodes to a batch, as `train` does."""
    from metaflax import data, models, tasks

    tokenizer = models.pretrained.tokenizer(data.fetch_minilm())
    buckets = data.Buckets((32, 64, LENGTH), budget_ratio=1.5)

    def tokenize(texts):
        return data.tokenize(
            tokenizer,
            texts,
            max_length=LENGTH,
            form=tasks.MASKED_TEXT,
            on_long="truncate",
        )

    def collate(episodes):
        sizes = sampler.sizes._asdict()
        return data.collate_lazy(episodes, sampler, tokenize, buckets=buckets, **sizes)

    return collate


def stream(folder: Path, seconds: float) -> dict[str, Any]:
    """Measures the rate of batches: sampled, read, masked, tokenized and padded."""
    sampler = sampler_of(folder)
    collate = collator(sampler)
    before = resident()
    count, most, start = 0, 0.0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        collate([sampler.episode(0, count + i) for i in range(TASKS)])
        count += TASKS
        most = max(most, resident())
    return {
        "episodes_per_second": round(count / (time.perf_counter() - start), 1),
        "episodes": count,
        "resident_mib_before": round(before),
        "resident_mib": round(most),
        "torch_is_loaded": "torch" in sys.modules,
    }


def readers(folder: Path, num: int = 200) -> dict[str, Any]:
    """Checks that four processes yield the same stream as one."""
    one = drawn(folder, 0, 1, num)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        parts = [pool.submit(drawn, folder, n, 4, num // 4) for n in range(4)]
        four = sorted(itertools.chain(*(part.result() for part in parts)))
    return {"episodes": num, "same": four == one}


def drawn(folder: Path, reader: int, num_readers: int, num: int):
    """Returns number and hash of the episodes of a reader."""
    from metaflax import data

    sampler = sampler_of(folder)
    results = data.share_out(lambda n: sampler.episode(0, n), reader, num_readers)
    return [(n, data.protocol_hash([e])) for n, e in itertools.islice(results, num)]


def step(folder: Path, seconds: float) -> dict[str, Any]:
    """Measures the rate of steps of all-MiniLM-L6-v2, after compilation."""
    import jax
    import optax

    from metaflax import algorithms, data, heads, losses, models, training

    sampler = sampler_of(folder)
    collate = collator(sampler)
    loaded = models.load(data.fetch_minilm())
    encoder = models.encoder(loaded.config, pooling="mean", standardize=True)
    params = {k: v for k, v in loaded.params.items() if k != "pooler"}
    parts = encoder.apply, losses.softmax_cross_entropy, lambda key: params
    named = {
        "protonet": algorithms.protonet(*parts, head=heads.prototypes(WAY)),
        "fomaml": algorithms.fomaml(
            *parts, optax.sgd(0.05), head=heads.linear(encoder.num_features, WAY)
        ),
    }
    batch = jax.device_put(collate([sampler.episode(0, n) for n in range(TASKS)]))
    results = {}
    for name, algorithm in named.items():
        compact = algorithms.compact_rows(algorithm, models.word_table())
        optimizer = training.outer_optimizer("adamw", 2e-5)
        start = compact.init(jax.random.key(0))
        state = training.create(start, optimizer, jax.random.key(1, impl="rbg"))
        run = training.make_step(compact, optimizer)
        state, _ = jax.block_until_ready(run(state, batch))
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            state, _ = jax.block_until_ready(run(state, batch))
            count += TASKS
        rate = count / (time.perf_counter() - began)
        results[f"{name}_episodes_per_second"] = round(rate, 2)
    return results


def resident() -> float:
    """Memory of this process, shared pages included, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(), time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
