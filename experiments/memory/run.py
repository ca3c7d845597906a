"""Memory of a meta-gradient by number of inner steps; see README.md.

Usage: python experiments/memory/run.py [--steps 1 5 10 20] [--rounds 0] [--out DIR]
"""

import argparse
import dataclasses
import functools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import metaflax
from metaflax import base, estimators, heads, losses, models

HERE = Path(__file__).parent
MIB = 2**20

REVERSE, MIXED = "`reverse`", "`mixed_mode`"
EACH, SOME = ", `remat_every=1`", ", `remat_every` about √K"
ESTIMATORS: dict[str, Callable[[int], base.Estimator]] = {
    REVERSE: lambda num_steps: estimators.reverse,
    REVERSE + EACH: lambda num_steps: functools.partial(
        estimators.reverse, remat_every=1
    ),
    MIXED: lambda num_steps: estimators.mixed_mode,
    MIXED + EACH: lambda num_steps: functools.partial(
        estimators.mixed_mode, remat_every=1
    ),
    MIXED + SOME: lambda num_steps: functools.partial(
        estimators.mixed_mode, remat_every=round(math.sqrt(num_steps))
    ),
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """Task and model of the meta-gradient.

    Attributes:
      texts: number of texts of the support set, and of the query set.
      length: number of tokens of a text.
      classes: number of classes.
      vocabulary: rows of the word embedding, which adapts too.
      layers: number of layers of the network.
      width: features of a token; the feed-forward part is four times as wide.
      heads: number of attention heads.
      steps: numbers of inner steps.
      rounds: number of timed runs of each program; 0 to compile only.
    """

    texts: int = 25
    length: int = 128
    classes: int = 5
    vocabulary: int = 2000
    layers: int = 4
    width: int = 128
    heads: int = 4
    steps: tuple[int, ...] = (1, 5, 10, 20)
    rounds: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for field in dataclasses.fields(Setting):
        many = field.name == "steps"
        parser.add_argument(
            f"--{field.name}",
            type=int,
            nargs="+" if many else None,
            default=field.default,
            help="default: %(default)s",
        )
    parser.add_argument("--out", type=Path, default=HERE, help="default: %(default)s")
    args = vars(parser.parse_args())
    out = args.pop("out")
    setting = Setting(**{**args, "steps": tuple(sorted(args["steps"]))})

    adapts, rows = measure(setting, say=print)
    out.mkdir(parents=True, exist_ok=True)
    results = {"setting": dataclasses.asdict(setting), "adapts": adapts, "rows": rows}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    plot(out / "memory.png", adapts, rows)
    print(f"what adapts: {adapts / MIB:.2f} MiB\n\n{tables(rows)}")
    return 0


def measure(
    setting: Setting,
    names: Sequence[str] = tuple(ESTIMATORS),
    say: Callable[[str], object] = lambda line: None,
    compiler_options: dict | None = None,
) -> tuple[int, list[dict]]:
    """Returns bytes of adapted weights, and a row per estimator and number of steps.

    A row has `estimator`, `num_steps` and `bytes` (XLA's temporary memory); if there
    are rounds also `error` (of the gradient, relative to that of the first estimator)
    and `seconds` (a median).
    """
    rows = []
    params = algorithm(setting, estimators.reverse, 1).init(jax.random.key(0))
    batches = [texts(setting, seed) for seed in (0, 1)]
    tasks = jax.tree.map(lambda x: x[None], base.Task(*batches))  # One task.
    for num_steps in setting.steps:
        compiled = {}
        for name in names:
            learner = algorithm(setting, ESTIMATORS[name](num_steps), num_steps)
            fn = jax.jit(metaflax.value_and_grad(learner, task_loop="scan"))
            compiled[name] = fn.lower(params, tasks).compile(compiler_options)
            say(f"{num_steps:3} steps  {temporary(compiled[name]) / MIB:7.1f}  {name}")
        gradients, seconds = {}, {name: [] for name in compiled}
        for _ in range(setting.rounds):  # Alternating: a busy machine slows all.
            for name, run in compiled.items():
                start = time.perf_counter()
                gradients[name] = jax.block_until_ready(run(params, tasks))[1]
                seconds[name].append(time.perf_counter() - start)
        for name, run in compiled.items():
            row = {"estimator": name, "num_steps": num_steps, "bytes": temporary(run)}
            if setting.rounds:
                row["error"] = relative_error(gradients[name], gradients[names[0]])
                row["seconds"] = statistics.median(seconds[name])
            rows.append(row)
    return tree_bytes(params), rows  # All weights adapt.


def algorithm(
    setting: Setting, estimator: base.Estimator, num_steps: int
) -> base.MetaAlgorithm:
    """Builds MAML of a random BERT with a linear head; all weights adapt."""
    config = models.BertConfig(
        vocab_size=setting.vocabulary,
        hidden_size=setting.width,
        num_hidden_layers=setting.layers,
        num_attention_heads=setting.heads,
        intermediate_size=4 * setting.width,
        max_position_embeddings=setting.length,
    )
    encoder = models.encoder(config, remat="layers")
    return metaflax.maml(
        encoder.apply,
        losses.softmax_cross_entropy,
        encoder.init,
        optax.sgd(0.05),
        head=heads.linear(setting.width, setting.classes),
        num_steps=num_steps,
        estimator=estimator,
    )


def texts(setting: Setting, seed: int) -> base.Batch:
    """Samples random texts of full length; a token identifies the class."""
    rng = np.random.default_rng(seed)
    shape = setting.texts, setting.length
    ids = rng.integers(setting.classes, setting.vocabulary, shape, np.int32)
    targets = np.arange(setting.texts, dtype=np.int32) % setting.classes
    ids[:, : setting.length // 4] = targets[:, None]
    tokens = models.Tokens(ids, None, np.ones(shape, np.int32))
    return base.Batch(tokens, targets, np.ones(setting.texts, np.float32))


def temporary(compiled) -> int:
    return compiled.memory_analysis().temp_size_in_bytes


def tree_bytes(tree) -> int:
    return sum(x.nbytes for x in jax.tree.leaves(tree))


def relative_error(collected, expected) -> float:
    gap = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), collected, expected)
    return float(optax.tree.norm(gap) / optax.tree.norm(expected))


def tables(rows: list[dict]) -> str:
    """Formats memory, and time with the error if known, as Markdown tables over K."""
    steps = sorted({row["num_steps"] for row in rows})
    cells = {(row["estimator"], row["num_steps"]): row for row in rows}
    head = " | ".join(f"K = {k}" for k in steps)
    memory = [f"| MiB | {head} |", "| --- |" + " ---: |" * len(steps)]
    taken = [
        f"| seconds | {head} | largest error |",
        "| --- |" + " ---: |" * (len(steps) + 1),
    ]
    for name in dict.fromkeys(row["estimator"] for row in rows):
        mine = [cells[name, k] for k in steps]
        sizes = " | ".join(f"{row['bytes'] / MIB:.0f}" for row in mine)
        memory.append(f"| {name} | {sizes} |")
        if "seconds" not in mine[0]:
            continue
        times = " | ".join(f"{row['seconds']:.1f}" for row in mine)
        error = max(row["error"] for row in mine)
        taken.append(f"| {name} | {times} | {error:.0e} |")
    return "\n".join([*memory, "", *taken] if len(taken) > 2 else memory)


def plot(path: Path, adapts: int, rows: list[dict]) -> None:
    """Plots memory against inner steps, one line per estimator."""
    steps = sorted({row["num_steps"] for row in rows})
    picture = Figure(figsize=(7, 4.2), layout="constrained")
    axes = picture.subplots()
    styles = {
        REVERSE: ("tab:red", "o"),
        REVERSE + EACH: ("tab:orange", "s"),
        MIXED: ("tab:purple", "o"),
        MIXED + EACH: ("tab:blue", "D"),
        MIXED + SOME: ("tab:green", "v"),
    }
    for name, (color, marker) in styles.items():
        sizes = {
            r["num_steps"]: r["bytes"] / MIB for r in rows if r["estimator"] == name
        }
        if not sizes:
            continue
        # Two lines coincide where rematerialisation saves nothing; a ring shows both.
        ring = {"mfc": "none", "ms": 11, "lw": 4, "alpha": 0.6} if name == MIXED else {}
        style = {"color": color, "marker": marker, "ms": 6, **ring}
        axes.plot(
            steps, [sizes[k] for k in steps], label=name.replace("`", ""), **style
        )
    copies = [k * adapts / MIB for k in steps]
    axes.plot(steps, copies, "--", color="0.5", label="K copies of what adapts")
    axes.set(xscale="log", yscale="log", xlabel="inner steps K")
    axes.set_ylabel("temporary memory (MiB)")
    axes.set_xticks(steps, [str(k) for k in steps])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    picture.legend(loc="outside right upper", frameon=False, fontsize=9)
    picture.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
