"""Every named algorithm at the same training compute, on the same episodes.

Usage: METAFLAX_DATA=DIR python experiments/algorithms/run.py [--runs DIR] [--only NAME]

A finished method is not run again, so that the command may be interrupted. See
README.md for what comes out.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import points

import metaflax
from metaflax import data, evaluation, losses, metrics, models, profiling, training


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all methods share."""

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
    """The texts of a fold, and the model that reads them.

    Attributes:
      encoder: texts to features.
      weights: pretrained.
      splits: of the classes.
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
    pretrained = models.pretrained.load(model)
    tokenizer = models.pretrained.tokenizer(pretrained.directory)
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
    """The algorithm of a row."""
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
        chosen = [drawn.episode(settings.seed, step * size + i) for i in range(size)]
        if name == "multi_task":
            chosen = [numbered_globally(episode) for episode in chosen]
        return collate(world, "train", drawn, chosen)

    loss_and_grad = metaflax.value_and_grad(
        algorithm, tasks_by="scan", trains=points.TRAINS
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
        algorithm, optimizer, trains=points.TRAINS, tasks_by="scan", dropout=False
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
    """The accuracy of each of a fixed list of episodes."""
    drawn = sampler(world, split, shot)
    listed = data.fixed_list(drawn, seed=1, num=num)
    score = evaluation.scorer(
        algorithm, losses.softmax_cross_entropy, {"accuracy": metrics.accuracy}
    )
    chunks = (listed[i : i + 10] for i in range(0, num, 10))
    batches = (collate(world, split, drawn, chunk) for chunk in chunks)
    start = time.perf_counter()
    scores = evaluation.evaluate(score, params, data.prefetch(batches))
    seconds = time.perf_counter() - start
    accuracy = scores.metrics["accuracy"].tolist()
    return {
        "accuracy": accuracy,
        "seconds": seconds,
        "protocol": data.protocol_hash(listed),
    }


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
    """The inner rate at which first-order MAML does best on validation classes."""
    means = {}
    for rate in (0.01, 0.03, 0.1):
        short = dataclasses.replace(settings, inner_rate=rate, flops=settings.flops / 4)
        algorithm = build("fomaml", world, rate)
        params = algorithm.init(jax.random.key(settings.seed))
        params, _ = train("fomaml", algorithm, params, world, short)
        found = [test(algorithm, params, world, "valid", shot, 40) for shot in (1, 5)]
        means[rate] = float(np.mean([f["accuracy"] for f in found]))
        print(f"inner rate {rate}: {100 * means[rate]:.1f} % on validation classes")
    return max(means, key=means.__getitem__)


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: accuracy of each method, and its difference to frozen prototypes."""
    lines = [
        "| method | outer steps | seconds a step | 1 shot | against frozen | 5 shots |"
        " against frozen |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    reference = next(r for r in records if r["name"] == "frozen")
    for record in records:
        spent = record.get("training", {})
        cells = [str(spent.get("steps", "-"))]
        cells.append(f"{spent['seconds_per_step']:.2f}" if spent else "-")
        for shot in ("shot1", "shot5"):
            scores = np.array(record[shot]["accuracy"])
            cells.append(said(evaluation.mean_interval(scores)))
            before = np.array(reference[shot]["accuracy"])
            gain = evaluation.paired_interval(before, scores)
            cells.append("-" if record is reference else said(gain, "+"))
        lines.append(f"| {record['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def said(interval: evaluation.Interval, sign: str = "") -> str:
    return f"{100 * interval.mean:{sign}.1f} ± {100 * interval.half_width:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/algorithms"))
    parser.add_argument("--only", nargs="+", choices=list(points.POINTS))
    parser.add_argument("--pick", action="store_true", help="pick the inner rate")
    args = parser.parse_args()
    folder = os.environ.get("METAFLAX_DATA")
    if not folder:
        print("algorithms: METAFLAX_DATA names no folder; set it to that of clinc150.")
        return 2
    settings = Settings()
    args.runs.mkdir(parents=True, exist_ok=True)
    world = load_world(Path(folder), data.fetch_minilm())
    if args.pick:
        print(f"picked: {pick_rate(world, settings)}")
        return 0
    for name in args.only or points.POINTS:
        path = args.runs / f"{name.replace(', ', '_').replace(' ', '_')}.json"
        if not path.exists():
            start = time.perf_counter()
            record = run_point(name, world, settings)
            whole = path.with_suffix(".part")
            whole.write_text(json.dumps(record))
            whole.rename(path)
            print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    names = list(points.POINTS)
    records = [json.loads(p.read_text()) for p in args.runs.glob("*.json")]
    records.sort(key=lambda record: names.index(record["name"]))
    print(table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
