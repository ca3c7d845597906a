"""Overhead of the training loop over bare outer steps.

Usage: METAFLAX_DATA=DIR python experiments/benchmark/overhead.py [--steps 100]

Both take the same outer steps of ProtoNet on all-MiniLM-L6-v2 and clinc150. The loop is
what `train` runs: all texts are tokenised, episodes drawn, collated and sent to the
device on a thread, metrics logged, and checkpoints written before the first and after
every 50th step. (Validation is left out, since its extent is a setting.) Bare steps
are the same ones on batches that are on the device. Rounds of the two alternate.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import jax

sys.path.insert(0, str(Path(__file__).parent))

import methods

import metaflax
from experiments import common
from metaflax import base, data, models, training

WAY, SHOT, QUERIES, TASKS, MAX_LENGTH = 5, 5, 5, 4, 48
SAVE_EVERY = 50


class World(NamedTuple):
    """Texts, model and step.

    Attributes:
      examples: labelled texts.
      tokenizer: tokenizer of the model.
      step: the jitted outer step.
      state: creates the state before the first step.
    """

    examples: data.Examples
    tokenizer: Any
    step: Any
    state: Any


def load(folder: Path) -> World:
    """Loads the training classes of a fold, and an outer step of ProtoNet."""
    splits = data.split_by_file(
        data.read(folder / "examples.jsonl"), folder / "folds.json", "01"
    )
    pretrained = models.load(data.fetch_minilm())
    encoder = models.encoder(pretrained.config)
    algorithm = metaflax.compact_rows(
        methods.build("protonet", encoder, WAY), models.word_table()
    )
    optimizer = training.outer_optimizer("adamw", 2e-5)
    params = methods.params_of(algorithm, pretrained.params, None)
    return World(
        splits.train,
        pretrained.tokenizer(),
        training.make_step(algorithm, optimizer, dropout=False),
        lambda: training.create(params, optimizer, jax.random.key(0)),
    )


def batches(world: World, start: int = 0) -> Iterator[base.Task]:
    """Yields batches from the given step on; texts are tokenised first."""
    tokenized = data.tokenize(
        world.tokenizer, world.examples.texts, max_length=MAX_LENGTH, on_long="truncate"
    )
    sampler = data.EpisodeSampler(world.examples, WAY, SHOT, QUERIES)
    # One shape, so that nothing is compiled during the measurement.
    buckets = data.Buckets((MAX_LENGTH,), budget_ratio=2.0, budget_multiple=512)
    while True:
        first = start * TASKS
        episodes = [sampler.episode(0, first + i) for i in range(TASKS)]
        yield data.collate(
            episodes, tokenized, buckets=buckets, **sampler.sizes._asdict()
        )
        start += 1


def loop_seconds(world: World, steps: int) -> float:
    """Measures a run of `training.fit`, from texts to the last checkpoint."""
    state = world.state()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        checkpoints = training.Checkpoints(Path(folder) / "checkpoints")
        log = training.JsonlLog(Path(folder) / "log.jsonl")
        training.fit(
            world.step,
            state,
            lambda step: data.prefetch(batches(world, step)),
            lambda params: {"score": 0.0},
            checkpoints,
            score="score",
            num_steps=steps,
            eval_every=SAVE_EVERY,
            sinks=[log],
        )
        log.close()
        checkpoints.close()
        return time.perf_counter() - start


def bare_seconds(world: World, ready: list[base.Task]) -> float:
    """Measures the same steps on batches that are already on the device."""
    state = world.state()
    start = time.perf_counter()
    for tasks in ready:
        state, _ = world.step(state, tasks)
    jax.block_until_ready(state)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help="steps of each round")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    folder = common.data_folder() / "clinc150"
    if not folder.is_dir():
        print(
            f"overhead: there is no {folder}; METAFLAX_DATA names the folder of data"
            " sets.",
            file=sys.stderr,
        )
        return 2
    world = load(folder)
    stream = batches(world)
    ready = [jax.device_put(next(stream)) for _ in range(args.steps)]
    shapes = {tuple(x.shape for x in jax.tree.leaves(tasks)) for tasks in ready}
    assert len(shapes) == 1, f"batches of {len(shapes)} shapes would compile in between"
    bare_seconds(world, ready[:2])  # Compiles.
    rounds = [
        (loop_seconds(world, args.steps), bare_seconds(world, ready))
        for _ in range(args.rounds)
    ]
    loop, bare = (statistics.median(each) for each in zip(*rounds, strict=True))
    results = {
        "steps": args.steps,
        "loop_seconds": round(loop, 2),
        "bare_seconds": round(bare, 2),
        "overhead_percent": round(100 * (loop / bare - 1), 2),
    }
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
