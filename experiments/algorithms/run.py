"""Comparison of all named algorithms at equal training compute, on the same episodes.

Usage: METAFLAX_DATA=DIR python experiments/algorithms/run.py [--runs DIR] [--only NAME]
    [--folds FOLD...] [--episodes NUMBER]

A finished method is not run again, so that the command may be interrupted. See
README.md for what comes out.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import jax
import numpy as np
import points

import metaflax
from experiments import common
from metaflax import data, evaluation, losses, metrics, models, profiling, training

REFERENCE = "frozen"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings shared by all methods."""

    flops: float = 4e12
    """Training compute of each: matrix products of all outer steps."""
    tasks_per_step: int = 4
    """Episodes an outer step."""
    learning_rate: float = 1e-4
    """Outer rate of the encoder, with a cosine schedule."""
    head_learning_rate: float = 1e-2
    """The same of heads, and of what inner optimizers learn."""
    inner_rate: float = 0.03
    """Rate of inner steps, picked by `--pick` on validation classes."""
    test_episodes: int = 100
    """Test episodes, the same for all."""
    seed: int = 0
    """Draws training episodes and new parameters."""


class World(NamedTuple):
    """The texts of a fold, and the model that encodes them.

    Attributes:
      encoder: texts to features.
      weights: pretrained weights of the encoder.
      splits: splits of the classes.
      tokenized: the texts of each split.
    """

    encoder: models.Encoder
    weights: Any
    splits: data.Splits
    tokenized: dict[str, data.TokenizedTexts]


def load_world(folder: Path, model: Path, fold: str = "01") -> World:
    """Reads CLINC150 and the encoder."""
    examples = data.read(str(folder / "clinc150" / "examples.jsonl"))
    splits = data.split_by_file(examples, folder / "clinc150" / "folds.json", fold)
    pretrained = models.load(model)
    tokenizer = pretrained.tokenizer()
    encoder = models.encoder(pretrained.config, pooling="mean", standardize=True)
    tokenized = {
        name: data.tokenize(
            tokenizer,
            getattr(splits, name).texts,
            max_length=48,
            on_long="truncate",
            cache_dir=data.cache_folder() / "tokens",
        )
        for name in ("train", "valid", "test")
    }
    weights = {k: v for k, v in pretrained.params.items() if k != "pooler"}
    return World(encoder, weights, splits, tokenized)


def sampler(world: World, split: str, shot: Any) -> data.EpisodeSampler:
    """5-way episodes with 5 queries a class."""
    return data.EpisodeSampler(getattr(world.splits, split), 5, shot, 5)


def collate(world: World, split: str, drawn: data.EpisodeSampler, episodes) -> Any:
    """Episodes as arrays, all of one shape."""
    return data.collate(
        episodes,
        world.tokenized[split],
        buckets=data.Buckets((48,), budget_ratio=2.0),
        **drawn.sizes._asdict(),
    )


def build(name: str, world: World, inner_rate: float) -> Any:
    """Builds the algorithm of a row of the table."""
    parts = points.Parts(
        encode_fn=world.encoder.apply,
        init_fn=lambda key: world.weights,
        num_features=world.encoder.num_features,
        num_classes=5,
        num_train_classes=len(world.splits.train.label_names),
        inner_rate=inner_rate,
    )
    return points.POINTS[name](parts)


def numbered_globally(episode: data.Episode) -> data.Episode:
    """Targets as numbers among all training classes, for one joint classifier."""
    classes = np.array(episode.classes, np.int32)
    return dataclasses.replace(
        episode,
        support_targets=classes[episode.support_targets],
        query_targets=classes[episode.query_targets],
    )


def train(name: str, algorithm: Any, params: Any, world: World, settings: Settings):
    """Meta-trains until the compute is spent; returns parameters and a record."""
    drawn = sampler(world, "train", (1, 5))
    size = settings.tasks_per_step

    def batch(step):
        selected = [drawn.episode(settings.seed, step * size + i) for i in range(size)]
        if name == "multi_task":
            selected = [numbered_globally(episode) for episode in selected]
        return collate(world, "train", drawn, selected)

    loss_and_grad = metaflax.value_and_grad(
        algorithm, task_loop="scan", trains=points.TRAINS
    )
    cost = profiling.matmul_flops(
        lambda p, t: loss_and_grad(p, t, None, 0), params, batch(0)
    )
    steps = max(1, int(settings.flops // cost))
    rate = training.schedule("cosine", settings.learning_rate, steps, steps // 10)
    fast = training.schedule("cosine", settings.head_learning_rate, steps, steps // 10)
    optimizer = training.outer_optimizer(
        "adamw", rate, head_learning_rate=fast, inner_learning_rate=fast
    )
    key = jax.random.key(settings.seed)
    state = training.create(params, optimizer, key, trains=points.TRAINS)
    step = training.make_step(
        algorithm, optimizer, trains=points.TRAINS, task_loop="scan", dropout=False
    )
    times, history = [], []
    for tasks in data.prefetch(map(batch, range(steps))):
        start = time.perf_counter()
        state, seen = step(state, tasks)
        history.append(float(seen["loss"]))
        times.append(time.perf_counter() - start)
    record = {
        "steps": steps,
        "flops_per_step": cost,
        "seconds": sum(times),
        "seconds_per_step": float(np.median(times)),
        "losses": history,
    }
    return state.params, record


def test(algorithm: Any, params: Any, world: World, split: str, shot: int, num: int):
    """Computes the accuracy on each of a fixed list of episodes."""
    drawn = sampler(world, split, shot)
    listed = data.fixed_list(drawn, seed=1, num=num)
    score = evaluation.scorer(
        algorithm, losses.softmax_cross_entropy, {"accuracy": metrics.accuracy}
    )

    def batches(episodes):
        chunks = (episodes[i : i + 10] for i in range(0, len(episodes), 10))
        return (collate(world, split, drawn, chunk) for chunk in chunks)

    evaluation.evaluate(score, params, batches(listed[:10]))  # Compiles.
    start = time.perf_counter()
    scores = evaluation.evaluate(score, params, data.prefetch(batches(listed)))
    seconds = time.perf_counter() - start
    accuracy = scores.metrics["accuracy"].tolist()
    return {
        "accuracy": accuracy,
        "seconds": seconds,
        "protocol": data.protocol_hash(listed),
    }


def run_fold(
    fold: str, names: Sequence[str], folder: Path, settings: Settings, runs: Path
) -> list[dict[str, Any]]:
    """Reads or computes the record of each method on a fold."""
    files = [name.replace(",", "").replace(" ", "_") for name in names]
    paths = [runs / fold / f"{file}.json" for file in files]
    missing = [pair for pair in zip(names, paths, strict=True) if not pair[1].exists()]
    if missing:
        world = load_world(folder, data.fetch_minilm(), fold)
        (runs / fold).mkdir(parents=True, exist_ok=True)
    for name, path in missing:
        start = time.perf_counter()
        record = run_point(name, world, settings)
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps(record))
        whole.rename(path)
        print(f"{fold}, {name}: {time.perf_counter() - start:.0f} s", flush=True)
    records = [json.loads(path.read_text()) for path in paths]
    for path, record in zip(paths, records, strict=True):
        if record["settings"] != dataclasses.asdict(settings):
            raise ValueError(f"{path} has other settings; name another --runs.")
    return records


def run_point(name: str, world: World, settings: Settings) -> dict[str, Any]:
    """Trains one method, unless it is a baseline, and tests it at both shots."""
    algorithm = build(name, world, settings.inner_rate)
    params = algorithm.init(jax.random.key(settings.seed))
    record: dict[str, Any] = {"name": name, "settings": dataclasses.asdict(settings)}
    if name not in points.UNTRAINED:
        params, record["training"] = train(name, algorithm, params, world, settings)
    for shot in (1, 5):
        record[f"shot{shot}"] = test(
            algorithm, params, world, "test", shot, settings.test_episodes
        )
    return record


def pick_rate(world: World, settings: Settings) -> float:
    """Selects the inner rate of first-order MAML by validation accuracy."""
    means = {}
    for rate in (0.01, 0.03, 0.1):
        short = dataclasses.replace(settings, inner_rate=rate, flops=settings.flops / 4)
        algorithm = build("fomaml", world, rate)
        params = algorithm.init(jax.random.key(settings.seed))
        params, _ = train("fomaml", algorithm, params, world, short)
        results = [test(algorithm, params, world, "valid", shot, 40) for shot in (1, 5)]
        means[rate] = float(np.mean([f["accuracy"] for f in results]))
        print(f"inner rate {rate}: {100 * means[rate]:.1f} % on validation classes")
    return max(means, key=means.__getitem__)


def pooled(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record of a method over folds: all episodes, and what a step took."""
    first = records[0]
    whole = {"name": first["name"]}
    for shot in ("shot1", "shot5"):
        scores = [accuracy for r in records for accuracy in r[shot]["accuracy"]]
        whole[shot] = {
            "accuracy": scores,
            "seconds": sum(r[shot]["seconds"] for r in records),
        }
    if "training" in first:
        spent = {
            name: float(np.mean([r["training"][name] for r in records]))
            for name in ("steps", "seconds_per_step")
        }
        whole["training"] = {**spent, "steps": round(spent["steps"])}
    return whole


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: accuracy of each method, its difference to frozen prototypes, its cost.

    The last column is the time to adapt to an episode of five shots and answer it.
    """
    shots = ("1 shot", "against frozen", "5 shots", "against frozen")
    header = ("method", "outer steps", "seconds a step", *shots, "ms an episode")
    rows = []
    reference = next(r for r in records if r["name"] == REFERENCE)
    for record in records:
        spent = record.get("training", {})
        cells = [str(spent.get("steps", "-"))]
        cells.append(f"{spent['seconds_per_step']:.2f}" if spent else "-")
        for shot in ("shot1", "shot5"):
            scores = np.array(record[shot]["accuracy"])
            cells.append(common.percent(evaluation.mean_interval(scores), digits=1))
            before = np.array(reference[shot]["accuracy"])
            gain = evaluation.paired_interval(before, scores)
            cells.append(
                "-" if record is reference else common.percent(gain, "+", digits=1)
            )
        timed = record["shot5"]
        cells.append(f"{1e3 * timed['seconds'] / len(timed['accuracy']):.0f}")
        rows.append([record["name"], *cells])
    return common.markdown_table(header, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/algorithms"))
    parser.add_argument("--only", nargs="+", choices=list(points.POINTS))
    parser.add_argument("--folds", nargs="+", default=["01"])
    parser.add_argument("--episodes", type=int, help="test episodes of a fold")
    parser.add_argument("--pick", action="store_true", help="select the inner rate")
    args = parser.parse_args()
    folder = os.environ.get("METAFLAX_DATA")
    if not folder:
        print("algorithms: METAFLAX_DATA names no folder; set it to that of clinc150.")
        return 2
    settings = Settings()
    if args.episodes:
        settings = dataclasses.replace(settings, test_episodes=args.episodes)
    if args.pick:
        world = load_world(Path(folder), data.fetch_minilm(), args.folds[0])
        print(f"picked: {pick_rate(world, settings)}")
        return 0
    # The first is what others are compared with.
    names = list(dict.fromkeys([REFERENCE, *(args.only or points.POINTS)]))
    try:
        folds = {
            fold: run_fold(fold, names, Path(folder), settings, args.runs)
            for fold in args.folds
        }
    except ValueError as error:
        print(f"algorithms: {error}")
        return 2
    for fold, records in folds.items():
        print(f"Fold {fold}:\n{table(records)}\n")
    if len(folds) > 1:
        over_folds = [pooled(r) for r in zip(*folds.values(), strict=True)]
        print(f"All folds:\n{table(over_folds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
