"""Growth of time and memory of a meta-gradient with the size of its task.

Usage: python experiments/benchmark/scaling.py [--rounds 5] [--out DIR]

One axis at a time, from one setting: tasks, inner steps, tokens of a text, layers of
the network, and classes. Writes scaling.json and scaling.png.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent))

import methods
import run
import serving

import metaflax
from metaflax import base, models

HERE = Path(__file__).parent
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Setting:
    """A task and a model.

    Attributes:
      tasks: number of tasks of a batch.
      steps: number of inner steps.
      length: tokens of a text, all real.
      layers: number of layers of the network.
      way: classes, with five support and five query texts each.
    """

    tasks: int = 2
    steps: int = 2
    length: int = 16
    layers: int = 2
    way: int = 4


SHOT, WIDTH, NUM_HEADS, VOCABULARY = 5, 128, 2, 4000
AXES = {
    "tasks": (1, 2, 4, 8),
    "steps": (1, 2, 4, 8),
    "length": (8, 16, 32, 64),
    "layers": (1, 2, 4, 8),
    "way": (2, 4, 8, 16),
}
LINES = {
    "fomaml": ("fomaml", "reverse"),
    "maml, reverse": ("maml", "reverse"),
    "maml, mixed_mode": ("maml", "mixed_mode"),
    "protonet": ("protonet", "reverse"),
}


def texts(setting: Setting, seed: int) -> base.Batch:
    """The support or query sets of all tasks, leaves `[T, S, ...]`."""
    size = setting.way * SHOT
    shape = (setting.tasks, size, setting.length)
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, shape).astype(np.int32)
    targets = np.tile(np.arange(size, dtype=np.int32) % setting.way, (setting.tasks, 1))
    weights = np.ones(targets.shape, np.float32)
    return base.Batch(models.Tokens(ids, None, np.ones_like(ids)), targets, weights)


def compiled(setting: Setting, name: str, estimator: str) -> tuple[Any, Any]:
    """Returns a compiled meta-gradient, and its arguments."""
    config = models.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=setting.layers,
        num_attention_heads=NUM_HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=max(AXES["length"]),
    )
    algorithm = methods.build(
        name,
        models.encoder(config),
        setting.way,
        num_steps=setting.steps,
        estimator=estimator,
    )
    algorithm = metaflax.compact_rows(algorithm, models.word_table())
    tasks = jax.tree.map(jnp.asarray, base.Task(*[texts(setting, i) for i in (0, 1)]))
    params = jax.jit(algorithm.init)(jax.random.key(0))
    fn, _ = run.compile_it(jax.jit(metaflax.value_and_grad(algorithm)), params, tasks)
    return fn, (params, tasks)


def measured(setting: Setting, name: str, estimator: str, rounds: int) -> dict:
    """Measures seconds (median) and bytes of temporary memory."""
    fn, arguments = compiled(setting, name, estimator)

    def step():
        return jax.block_until_ready(fn(*arguments))

    step()
    seconds = [serving.timed(step)["dt"] for _ in range(rounds)]
    return {
        "seconds": statistics.median(seconds),
        "bytes": fn.memory_analysis().temp_size_in_bytes,
    }


def slope(xs: list[float], ys: list[float]) -> float:
    """Exponent of the growth of y with x, between the last two points."""
    return float(np.log(ys[-1] / ys[-2]) / np.log(xs[-1] / xs[-2]))


def measure(rounds: int, axes: dict[str, tuple[int, ...]] = AXES) -> list[dict]:
    """Measures each point of each axis; returns a row for each."""
    rows = []
    for axis, values in axes.items():
        for line, (name, estimator) in LINES.items():
            if name == "protonet" and axis == "steps":
                continue  # It has no inner steps.
            for value in values:
                setting = dataclasses.replace(Setting(), **{axis: value})
                results = measured(setting, name, estimator, rounds)
                rows.append({"axis": axis, "line": line, "value": value, **results})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def curves(rows: list[dict], axis: str, quantity: str) -> dict[str, Any]:
    """Returns, by line of the plot, the values and the measurements at them."""
    results: dict[str, Any] = {}
    for row in rows:
        if row["axis"] == axis:
            xs, ys = results.setdefault(row["line"], ([], []))
            xs.append(row["value"])
            ys.append(row[quantity])
    return results


def plot(path: Path, rows: list[dict]) -> None:
    """Plots time above memory, one column per axis, on logarithmic scales."""
    axes = list(dict.fromkeys(row["axis"] for row in rows))
    figure = Figure(figsize=(3.2 * len(axes), 6.4), layout="constrained")
    grid = figure.subplots(2, len(axes), squeeze=False, sharey="row")
    for column, axis in enumerate(axes):
        for row, (quantity, unit, scale) in enumerate(
            (("seconds", "seconds", 1), ("bytes", "MiB", MIB))
        ):
            panel = grid[row][column]
            for line, (xs, ys) in curves(rows, axis, quantity).items():
                panel.plot(
                    xs,
                    np.array(ys) / scale,
                    marker="o",
                    label=f"{line}: {slope(xs, ys):.2f}",
                )
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            panel.set_xticks(xs, [str(x) for x in xs])
            panel.legend(title="slope at the end", fontsize=7, title_fontsize=7)
            panel.grid(alpha=0.3)
            if column == 0:
                panel.set_ylabel(unit)
        grid[0][column].set_title(axis)
    figure.savefig(path, dpi=110)


def table(rows: list[dict]) -> str:
    """Formats the slopes of time and memory as Markdown."""
    lines = list(dict.fromkeys(row["line"] for row in rows))
    table_lines = ["| | " + " | ".join(lines) + " |", "| --- " * (len(lines) + 1) + "|"]
    for axis in dict.fromkeys(row["axis"] for row in rows):
        time, memory = (curves(rows, axis, name) for name in ("seconds", "bytes"))
        cells = [
            f"{slope(*time[line]):.2f}, {slope(*memory[line]):.2f}"
            if line in time
            else ""
            for line in lines
        ]
        table_lines.append(f"| {axis} | " + " | ".join(cells) + " |")
    return "\n".join(table_lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="steps timed at a point")
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    rows = measure(args.rounds)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "scaling.json").write_text(json.dumps(rows, indent=1) + "\n")
    plot(args.out / "scaling.png", rows)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
