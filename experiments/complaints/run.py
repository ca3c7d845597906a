"""Monitors streams of product reviews for complaints; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/complaints/run.py [--out DIR] [--draws N]

A classifier learns from a few reviews of a product. The charts of `metaflax watch` are
fitted to usual reviews, without their labels, and then monitor later ones: quiet
streams, and streams in which complaints double or triple.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np

import metaflax
from experiments import common
from metaflax import evaluation
from metaflax.workflows.watching import _control_chart

COMPLAINT = "negative"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the experiment.

    Attributes:
      draws: number of support sets of each product.
      shot: number of support reviews of each class.
      usual: share of complaints on quiet days.
      surges: factors by which that share grows in a surge.
      pasts: numbers of usual reviews that charts are fitted to.
      group: number of reviews in a group, the unit of a chart.
      false_alarms: rate of false alarms per group that the charts are fitted to.
      streams: number of quiet streams, and of surges of each size.
      groups: number of groups of a quiet stream; a surge has a tenth.
    """

    draws: int = 10
    shot: int = 16
    usual: float = 0.15
    surges: tuple[float, ...] = (2.0, 3.0)
    pasts: tuple[int, ...] = (100, 200, 400, 800)
    group: int = 20
    false_alarms: float = 0.005
    streams: int = 20
    groups: int = 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/complaints"))
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument("--draws", type=int, default=Sizes().draws)
    args = parser.parse_args()
    folder = Path(os.environ.get("METAFLAX_DATA", "")) / "amazon_sentiment"
    if not folder.is_dir():
        print(
            "complaints: METAFLAX_DATA names no folder of data sets.", file=sys.stderr
        )
        return 2
    rows = common.read_jsonl(folder / "examples.jsonl")
    sizes = dataclasses.replace(Sizes(), draws=args.draws)
    results = {
        product: [
            watched(reviews, args.model, np.random.default_rng((number, draw)), sizes)
            for draw in range(sizes.draws)
        ]
        for number, (product, reviews) in enumerate(products(rows).items())
    }
    common.write_json(args.out / "results.json", results)
    print(table(results))
    return 0


def products(rows: Sequence[dict], least: int = 300) -> dict[str, list[dict]]:
    """Groups reviews by product, keeping products with enough of each class."""
    by_product: dict[str, list[dict]] = {}
    for row in rows:
        by_product.setdefault(row["domain"], []).append(row)

    def is_large(reviews: list[dict]) -> bool:
        complaints = sum(row["label"] == COMPLAINT for row in reviews)
        return min(complaints, len(reviews) - complaints) >= least

    return {
        name: by_product[name]
        for name in sorted(by_product)
        if is_large(by_product[name])
    }


def watched(
    reviews: Sequence[dict], model: str, rng: np.random.Generator, sizes: Sizes
) -> dict[str, dict[str, float]]:
    """Measures the charts of one support set, by kind and size of the past.

    "like it": past and stream are sampled from the same reviews. "apart": the past is
    sampled from one half of the reviews and the stream from the other.
    """
    is_complaint = np.array([row["label"] == COMPLAINT for row in reviews])
    by_class = [rng.permutation(np.flatnonzero(is_complaint == c)) for c in (0, 1)]
    support = np.concatenate([numbers[: sizes.shot] for numbers in by_class])
    classifier = metaflax.FewShotClassifier(model, head="prototypes").fit(
        [reviews[i]["text"] for i in support], [reviews[i]["label"] for i in support]
    )
    column = list(classifier.classes_).index(COMPLAINT)
    texts = [row["text"] for row in reviews]
    shares = classifier.predict_proba(texts)[:, column]
    rest = [shares[numbers[sizes.shot :]] for numbers in by_class]
    halves = [(each[: len(each) // 2], each[len(each) // 2 :]) for each in rest]
    results = {}
    for kind, past, later in (
        ("like it", rest, rest),
        ("apart", *zip(*halves, strict=True)),
    ):
        streams = {
            surge: drawn(
                later,
                sizes.usual * surge,
                (
                    sizes.streams,
                    sizes.groups if surge == 1 else sizes.groups // 10,
                    sizes.group,
                ),
                rng,
            )
            for surge in (1.0, *sizes.surges)
        }
        for number in sizes.pasts:
            values = drawn(past, sizes.usual, (number,), rng)
            chart = _control_chart.fit(values, sizes.group, sizes.false_alarms)
            results[f"{kind} | {number}"] = measured(chart, streams)
    return results


def measured(
    chart: _control_chart.Chart, streams: dict[float, np.ndarray]
) -> dict[str, float]:
    """Returns false alarms of the quiet stream, delays and misses of the others."""
    results = {"false alarms in 100 groups": 100 * alarms(chart, streams[1.0]).mean()}
    for surge, stream in streams.items():
        if surge == 1:
            continue
        given = alarms(chart, stream)
        # A missed surge counts as one that is detected after its end.
        first = np.where(
            given.any(axis=1), given.argmax(axis=1) + 1, given.shape[1] + 1
        )
        results[f"delay at {surge:g} times"] = first.mean()
        results[f"missed at {surge:g} times"] = 1 - given.any(axis=1).mean()
    return {name: float(value) for name, value in results.items()}


def drawn(
    shares: Sequence[np.ndarray],
    rate: float,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Samples reviews with replacement, complaints at a given rate.

    Args:
      shares: probabilities of being a complaint, of other reviews and of complaints.
      rate: share of complaints.
      shape: shape of the result.
      rng: random generator.
    """
    others, complaints = (rng.choice(values, shape) for values in shares)
    return np.where(rng.random(shape) < rate, complaints, others)


def alarms(chart: _control_chart.Chart, stream: np.ndarray) -> np.ndarray:
    """Returns for each group of streams `[R, G, size]` whether it gives an alarm."""
    size = stream.shape[-1]
    excess = (stream.mean(axis=-1) - chart.level) / (chart.deviation / size**0.5)
    return _control_chart.cusum(excess, chart.threshold)[1]


def table(results: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """Formats means over products and draws, with their intervals."""
    each = [draw for draws in results.values() for draw in draws]
    columns = list(next(iter(each[0].values())))
    rows = []
    for past in each[0]:
        cells = []
        for column in columns:
            values = np.array([draw[past][column] for draw in each])
            interval = evaluation.mean_interval(values)
            cells.append(f"{interval.mean:.2f} ± {interval.half_width:.2f}")
        rows.append([*past.split(" | "), *cells])
    return common.markdown_table(["stream", "usual reviews", *columns], rows)


if __name__ == "__main__":
    sys.exit(main())
