"""Sinusoids from 5 and 10 points: MAML, Meta-SGD and others; see README.md.

Usage: python experiments/sinusoid/run.py [--steps 70000] [--frequency 0.8 1.2]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import metaflax
from metaflax import algorithms, estimators, evaluation, losses

HERE = Path(__file__).parent
INNER_RATE, OUTER_RATE, TASKS_PER_STEP = 0.01, 1e-3, 25
SHOTS, NUM_STEPS = (5, 10), (1, 2, 5, 10)
NUM_CONTEXT = 5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=70_000, help="outer steps")
    parser.add_argument("--tasks", type=int, default=600, help="test tasks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument(
        "--frequency", nargs=2, type=float, default=(1.0, 1.0), help="lowest, highest"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="results.json, the plot")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    errors, learned = {}, {}
    for shot in SHOTS:
        for name in args.methods:
            began = time.perf_counter()
            learned[name] = meta_train(
                METHODS[name](1), args.steps, shot, args.frequency, seed=args.seed
            )
            tasks = draw_tasks(TEST_KEY, args.tasks, shot, 100, args.frequency)
            for num_steps in NUM_STEPS:
                errors[name, shot, num_steps] = test_errors(
                    adapter(name, num_steps), learned[name], tasks
                )
            print(f"{name}, {shot} points: {time.perf_counter() - began:.0f} s")
    print(table(errors))
    record = {"settings": {"steps": args.steps, "frequency": list(args.frequency)}}
    record["errors"] = [
        {"method": m, "shot": s, "inner_steps": k, **mean_and_width(e)}
        for (m, s, k), e in errors.items()
    ]
    record["maml_minus"] = [
        {"method": m, "shot": s, **mean_and_width(errors["maml", s, 1] - e)}
        for (m, s, k), e in errors.items()
        if k == 1 and m != "maml" and "maml" in args.methods
    ]
    (args.out / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    plot(args.out / "result.png", errors, learned, args.frequency)
    return 0


# The model: three layers in a dict, and the loss.


def init_mlp(key: jax.Array, num_inputs: int = 1) -> dict[str, Any]:
    sizes = [num_inputs, 40, 40, 1]
    keys = jax.random.split(key, len(sizes) - 1)
    draw = jax.nn.initializers.truncated_normal(0.01)  # As in MAML's code.
    return {
        f"layer_{i}": {"kernel": draw(k, (D, H)), "bias": jnp.zeros(H)}
        for i, (k, D, H) in enumerate(zip(keys, sizes[:-1], sizes[1:], strict=True))
    }


def apply_mlp(params, x, key=None):
    for name in ("layer_0", "layer_1"):
        x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"][None, :])
    return x @ params["layer_2"]["kernel"] + params["layer_2"]["bias"][None, :]


def init_with_context(key):
    return {
        "mlp": init_mlp(key, 1 + NUM_CONTEXT),
        "context": jnp.zeros((1, NUM_CONTEXT)),
    }


def apply_with_context(params, x, key=None):
    context = jnp.repeat(params["context"], len(x), axis=0)  # [U, C]
    return apply_mlp(params["mlp"], jnp.concatenate([x, context], axis=1))


def squared_error(outputs, targets, weights):
    return losses.weighted_mean(jnp.mean((outputs - targets) ** 2, axis=-1), weights)


# The methods, each a function of the number of inner steps.


def maml(num_steps: int, estimator: Any = estimators.reverse):
    return metaflax.maml(
        apply_mlp,
        squared_error,
        init_mlp,
        optax.sgd(INNER_RATE),
        num_steps=num_steps,
        estimator=estimator,
    )


def fomaml(num_steps: int):
    return maml(num_steps, estimators.first_order)


def meta_sgd(num_steps: int):
    return algorithms.meta_sgd(
        apply_mlp,
        squared_error,
        init_mlp,
        learning_rate=INNER_RATE,
        num_steps=num_steps,
    )


def cavia(num_steps: int):
    return algorithms.cavia(
        apply_with_context,
        squared_error,
        init_with_context,
        optax.sgd(1.0),
        context="context",
        num_steps=num_steps,
    )


def pretraining(num_steps: int):
    """Joint regression on all tasks, without adaptation."""
    del num_steps
    return algorithms.compose(
        apply_mlp,
        squared_error,
        init_mlp,
        head=None,
        adapts="*",
        inner_optimizer=optax.identity(),
        num_steps=0,
        estimator=estimators.reverse,
    )


METHODS: dict[str, Callable[[int], metaflax.MetaAlgorithm]] = {
    "pretraining": pretraining,
    "fomaml": fomaml,
    "maml": maml,
    "cavia": cavia,
    "meta_sgd": meta_sgd,
}


def adapter(name: str, num_steps: int) -> metaflax.MetaAlgorithm:
    """Returns the algorithm at test time; for `pretraining` fine-tuning as in MAML."""
    return (maml if name == "pretraining" else METHODS[name])(num_steps)


# Tasks, training and testing.

TEST_KEY = jax.random.key(1_000_003)


def draw_tasks(key, T: int, S: int, Q: int, frequency=(1.0, 1.0)) -> metaflax.Task:
    """Samples T sines with amplitude in [0.1, 5], phase in [0, pi], x in [-5, 5]."""
    keys = jax.random.split(key, 4)
    amplitude = jax.random.uniform(keys[0], (T, 1, 1), minval=0.1, maxval=5.0)
    phase = jax.random.uniform(keys[1], (T, 1, 1), maxval=jnp.pi)
    x = jax.random.uniform(keys[2], (T, S + Q, 1), minval=-5.0, maxval=5.0)
    low, high = frequency
    omega = jax.random.uniform(keys[3], (T, 1, 1), minval=low, maxval=high)
    batch = metaflax.Batch(
        x, amplitude * jnp.sin(omega * x - phase), jnp.ones((T, S + Q))
    )
    return metaflax.Task(
        support=jax.tree.map(lambda v: v[:, :S], batch),
        query=jax.tree.map(lambda v: v[:, S:], batch),
    )


def meta_train(algorithm, num_outer: int, shot: int, frequency=(1.0, 1.0), seed=0):
    """Meta-trains by Adam on new tasks at every step, in one compiled scan."""
    optimizer = optax.adam(OUTER_RATE)
    meta_gradient = metaflax.value_and_grad(algorithm, task_loop="vmap")
    init_key, tasks_key = jax.random.split(jax.random.key(seed))

    def outer_step(carry, key):
        params, state = carry
        tasks = draw_tasks(key, TASKS_PER_STEP, shot, 10, frequency)
        _, grads = meta_gradient(params, tasks, None)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train(params):
        keys = jax.random.split(tasks_key, num_outer)
        carry, _ = jax.lax.scan(outer_step, (params, optimizer.init(params)), keys)
        return carry[0]

    return train(algorithm.init(init_key))


def test_errors(algorithm, params, tasks: metaflax.Task) -> np.ndarray:
    """Computes the query error of each task after adaptation, `[T]`."""

    def one(task):
        adapted, _ = algorithm.adapt(params, task.support)
        outputs = algorithm.predict(params, adapted, task.query.inputs)
        return squared_error(outputs, task.query.targets, task.query.weights)

    return np.asarray(jax.jit(jax.vmap(one))(tasks))


# Results.


def mean_and_width(error: np.ndarray) -> dict[str, float | None]:
    if not np.all(np.isfinite(error)):
        return {"mean": None, "half_width": None}  # Adaptation diverged.
    interval = evaluation.mean_interval(error)
    return {k: round(v, 4) for k, v in interval._asdict().items()}


def interval_text(error: np.ndarray, sign: str = "") -> str:
    if not np.all(np.isfinite(error)):
        return "diverges"
    interval = evaluation.mean_interval(error)
    return f"{interval.mean:{sign}.2f} ± {interval.half_width:.2f}"


def table(errors) -> str:
    """Formats errors after 1 and 10 steps, and MAML's error minus each, as Markdown."""
    lines = [
        "| method | points | 1 step | 10 steps | MAML's error minus it, 1 step |",
        "| --- | --- | --- | --- | --- |",
    ]
    for method, shot in dict.fromkeys((m, s) for m, s, _ in errors):
        cells = [interval_text(errors[method, shot, k]) for k in (1, 10)]
        saved = ""
        if method != "maml" and ("maml", shot, 1) in errors:
            # Paired: on the same tasks.
            saved = interval_text(
                errors["maml", shot, 1] - errors[method, shot, 1], "+"
            )
        lines.append(f"| {method} | {shot} | {' | '.join(cells)} | {saved} |")
    return "\n".join(lines)


def plot(path: Path, errors, learned, frequency) -> None:
    """Plots one task before and after adaptation, and errors against inner steps."""
    from matplotlib import figure

    shown = [name for name in ("maml", "meta_sgd") if name in learned]
    picture = figure.Figure(figsize=(4 * len(shown) + 4, 3.4), layout="constrained")
    *sines, curve = picture.subplots(1, len(shown) + 1)
    shot = SHOTS[-1]
    tasks = draw_tasks(TEST_KEY, 8, shot, 200, frequency)
    largest = jnp.argmax(jnp.max(tasks.query.targets, axis=(1, 2)))
    task = jax.tree.map(lambda v: v[largest], tasks)
    order = jnp.argsort(task.query.inputs[:, 0])
    x, y = task.query.inputs[order], task.query.targets[order]
    for axes, name in zip(sines, shown, strict=True):
        axes.plot(x, y, color="0.6", lw=3, label="task")
        axes.plot(task.support.inputs, task.support.targets, "k.", ms=9)
        params = learned[name]
        before = apply_mlp(params["model"] if name == "meta_sgd" else params, x)
        axes.plot(x, before, ":", color="tab:gray", label="before")
        for num_steps, style in ((1, "--"), (10, "-")):
            algorithm = adapter(name, num_steps)
            adapted, _ = jax.jit(algorithm.adapt)(params, task.support)
            after = algorithm.predict(params, adapted, x)
            axes.plot(x, after, style, color="tab:blue", label=f"step {num_steps}")
        axes.set(title=f"{name}, {shot} points", xlabel="x", ylim=(-6, 9))
        axes.legend(fontsize=7, loc="upper center", ncols=4)
    for name in learned:
        means = [errors[name, shot, k].mean() for k in NUM_STEPS]
        curve.plot(NUM_STEPS, means, "o-", ms=3, label=name)
    curve.set(
        title=f"{shot} points", xlabel="inner steps", yscale="log", ylim=(0.02, 9)
    )
    curve.set_ylabel("squared error, test tasks")
    curve.legend(fontsize=7)
    picture.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
