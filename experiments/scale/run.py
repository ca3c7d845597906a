"""Time and memory of training from labelled texts on disk.

Usage: python experiments/scale/run.py [--rows 1e7] [--classes 200000] [--format jsonl]
           [--folder DIR] [--seconds 20] [STAGE ...]

Stages are `make` (synthetic labelled texts), `index`, `open` (the index is reopened,
and episodes are sampled), `batches` (as a training step needs them), `step` (rate of
training steps of all-MiniLM-L6-v2), `readers` (the same episodes by one, two and four
processes) and `train` (a short run); all of them unless some are named. Each runs in a
separate process, so that its memory is measured separately. A table of all is printed
at the end. See README.md.
"""

import argparse
import concurrent.futures
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import most_resident, repeated, resident, timed
from synthetic import FORMATS, MIB, Source, files, make

WAY, SHOT, QUERIES, LENGTH, TASKS = 5, 5, 5, 128, 4


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help="stages to run (default: all)"
    )
    parser.add_argument("--rows", type=float, default=1e7, help="labelled texts")
    parser.add_argument("--classes", type=float, default=2e5, help="number of labels")
    parser.add_argument("--format", choices=FORMATS, default="jsonl")
    parser.add_argument(
        "--folder", type=Path, help="folder to keep (default: temporary)"
    )
    parser.add_argument(
        "--seconds", type=float, default=20, help="duration of each measurement"
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.stages) - set(STAGES):
        parser.error(f"unknown stages {unknown}; there are {', '.join(STAGES)}")
    if args.one:
        source = Source(args.folder, int(args.rows), int(args.classes), args.format)
        print(json.dumps(run_stage(args.stages[0], source, args.seconds)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        collected = {}
        for stage in args.stages or STAGES:
            options = ["--folder", args.folder or scratch, "--rows", args.rows]
            options += ["--classes", args.classes, "--format", args.format]
            options += ["--seconds", args.seconds, "--one"]
            command = [sys.executable, __file__, stage, *map(str, options)]
            outputs = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True
            )
            collected[stage] = json.loads(outputs.stdout.splitlines()[-1])
            print(stage, collected[stage], flush=True)
    print(table(collected))
    return 0


def run_stage(stage: str, source: Source, seconds: float) -> dict[str, Any]:
    """Runs one stage; returns its measurements with the peak of resident memory."""
    collected = STAGES[stage](source, seconds)
    return {**collected, "most_resident_mib": round(most_resident())}


def table(collected: dict[str, dict[str, Any]]) -> str:
    """Formats the measurements as Markdown, one per row."""
    lines = [
        f"| {stage} | {name.replace('_', ' ')} | {shown(value)} |"
        for stage, numbers in collected.items()
        for name, value in numbers.items()
    ]
    return "\n".join(["| | | |", "| --- | --- | ---: |", *lines])


def shown(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:,}"


def index(source: Source, seconds: float) -> dict[str, Any]:
    """Indexes the labels."""
    del seconds
    index, taken = timed(lambda: indexed(source))
    kept = files(source.cache)
    return {
        "texts": len(index),
        "labels": len(index.labels),
        "seconds": round(taken, 1),
        "mib_on_disk": round(sum(file.stat().st_size for file in kept) / MIB),
    }


def open_again(source: Source, seconds: float) -> dict[str, Any]:
    """Reopens the index, samples episodes and reads their texts."""
    _, imports = timed(lambda: __import__("metaflax.data"))
    forget(source)
    _, cold = timed(lambda: indexed(source))
    index, warm = timed(lambda: indexed(source))
    sampler, splitting = timed(lambda: sampler_of(index))
    before = resident()
    forget(source)

    def read(number: int) -> None:
        episode = sampler.episode(0, number)
        for row in (*episode.support.tolist(), *episode.query.tolist()):
            sampler.text(row, 0)

    count, taken = repeated(read, seconds)
    return {
        "seconds_to_import": round(imports, 1),
        "seconds_to_open_from_disk": round(cold, 2),
        "seconds_to_open_from_memory": round(warm, 2),
        "seconds_to_split_labels": round(splitting, 2),
        "episodes": count,
        "episodes_per_second": round(count / taken, 1),
        "resident_mib_before_episodes": round(before),
        "resident_mib_after": round(resident()),
    }


def batches(source: Source, seconds: float) -> dict[str, Any]:
    """Measures the rate of batches: sampled, read, tokenized and padded."""
    sampler = sampler_of(indexed(source))
    collate = collator(sampler)

    def batch(number: int) -> None:
        collate([sampler.episode(0, number * TASKS + i) for i in range(TASKS)])

    count, taken = repeated(batch, seconds)
    rate = count * TASKS / taken
    return {"episodes": count * TASKS, "episodes_per_second": round(rate, 1)}


def step(source: Source, seconds: float) -> dict[str, Any]:
    """Measures the rate of protonet's steps on one batch, after compilation."""
    import jax

    from metaflax import algorithms, data, heads, losses, models, training

    sampler = sampler_of(indexed(source))
    episodes = [sampler.episode(0, number) for number in range(TASKS)]
    batch = jax.device_put(collator(sampler)(episodes))
    loaded = models.load(data.fetch_minilm())
    encoder = models.encoder(loaded.config, pooling="mean", standardize=True)
    params = {k: v for k, v in loaded.params.items() if k != "pooler"}
    algorithm = algorithms.compact_rows(
        algorithms.protonet(
            encoder.apply,
            losses.softmax_cross_entropy,
            lambda key: params,
            head=heads.prototypes(WAY),
        ),
        models.word_table(),
    )
    optimizer = training.outer_optimizer("adamw", 2e-5)
    start = algorithm.init(jax.random.key(0))
    state = training.create(start, optimizer, jax.random.key(1, impl="rbg"))
    run = training.make_step(algorithm, optimizer)
    state, _ = jax.block_until_ready(run(state, batch))

    def once(number: int) -> None:
        nonlocal state
        state, _ = jax.block_until_ready(run(state, batch))

    count, taken = repeated(once, seconds)
    return {
        "seconds_a_step": round(taken / count, 2),
        "episodes_per_second": round(count * TASKS / taken, 2),
    }


def readers(source: Source, seconds: float, num: int = 200) -> dict[str, Any]:
    """Checks that two and four processes yield the same episodes as one."""
    del seconds
    one = drawn(source, 0, 1, num)
    context = multiprocessing.get_context("spawn")
    same = True
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        for among in (2, 4):
            parts = [
                pool.submit(drawn, source, n, among, num // among) for n in range(among)
            ]
            together = itertools.chain(*(part.result() for part in parts))
            same = same and sorted(together) == one
    return {"episodes": num, "the_same": same}


def drawn(
    source: Source, reader: int, num_readers: int, num: int
) -> list[tuple[int, str]]:
    """Returns number and hash of the episodes of a reader."""
    from metaflax import data

    sampler = sampler_of(indexed(source))
    collected = data.share_out(lambda n: sampler.episode(0, n), reader, num_readers)
    return [(n, data.protocol_hash([e])) for n, e in itertools.islice(collected, num)]


def train(source: Source, seconds: float) -> dict[str, Any]:
    """Runs `metaflax train --on-disk True` briefly, with protonet on MiniLM."""
    del seconds
    from rich.console import Console

    from metaflax import config as config_lib
    from metaflax import data, workflows

    minilm = str(data.fetch_minilm())
    os.environ["METAFLAX_CACHE"] = str(source.cache.parent)
    config = config_lib.Config(
        model=config_lib.ModelConfig(minilm),
        data=config_lib.DataConfig(str(source.path), on_disk=True),
        episodes=config_lib.EpisodeConfig(WAY, SHOT, QUERIES),
        training=config_lib.TrainingConfig(
            steps=20, tasks_per_step=TASKS, eval_every=10, valid_episodes=20
        ),
        evaluation=config_lib.EvaluationConfig(test_episodes=20),
    )
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = Path(scratch) / "run"
        results, taken = timed(lambda: workflows.train(config, run_dir, console))
    return {"steps": results["steps"], "seconds": round(taken, 1)}


STAGES: dict[str, Callable[[Source, float], dict[str, Any]]] = {
    "make": make,
    "index": index,
    "open": open_again,
    "batches": batches,
    "step": step,
    "readers": readers,
    "train": train,
}


def indexed(source: Source):
    from metaflax import data

    return data.index_labels(source.path, cache_dir=source.cache)


def collator(sampler):
    """Builds a function that collates episodes to a batch, as `train` does."""
    from metaflax import data, models

    tokenizer = models.pretrained.tokenizer(data.fetch_minilm())
    buckets = data.Buckets((32, 64, LENGTH), budget_ratio=1.5)

    def tokenize(texts: list[str]) -> data.TokenizedTexts:
        return data.tokenize(tokenizer, texts, max_length=LENGTH, on_long="truncate")

    def collate(episodes):
        sizes = sampler.sizes._asdict()
        return data.collate_lazy(episodes, sampler, tokenize, buckets=buckets, **sizes)

    return collate


def sampler_of(index):
    """Builds a sampler of the labels of meta-training, half of all."""
    from metaflax import data

    names = list(index.labels.names)
    numbers = {name: number for number, name in enumerate(names)}
    selected = data.names_by_seed(names, seed=0)["train"]
    group = np.array([numbers[name] for name in selected])
    return data.LabelledTextSampler(index, (group,), WAY, SHOT, QUERIES)


def forget(source: Source) -> None:
    """Evicts source and index from the operating system's file cache."""
    for path in (*files(source.path), *files(source.cache)):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    sys.exit(main())
