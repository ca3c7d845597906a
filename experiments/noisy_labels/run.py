"""Meta-learned example weights for digits with 40 % wrong labels; see README.md.

Usage: python experiments/noisy_labels/run.py [--seeds 10] [--outer-steps 40]
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import datasets

from metaflax import base, estimators, evaluation, inner

HERE = Path(__file__).parent
NUM_TRAIN, NUM_CLEAN, NUM_VALID, NUM_HIDDEN, NUM_STEPS = 800, 50, 300, 64, 60
RATE, CLIP = 0.02, 1.0  # Selected on validation digits, see `pick`.
OPTIMIZER = optax.sgd(0.1, momentum=0.9)
ESTIMATORS = {
    "reverse": estimators.reverse,
    "mixed_mode": estimators.mixed_mode,
    "truncated, last 10": estimators.truncated(10),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--outer-steps", type=int, default=40)
    parser.add_argument(
        "--flipped", type=float, default=0.4, help="share of wrong labels"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="results.json, the plot")
    parser.add_argument("--pick", action="store_true", help="compare outer rates")
    args = parser.parse_args()
    if args.pick:
        pick(args.outer_steps, args.flipped)
        return 0
    args.out.mkdir(parents=True, exist_ok=True)

    learner = weighting(estimators.mixed_mode)
    meta_train = trainer(learner, args.outer_steps)
    accuracies, draws = {}, []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        world = draw_world(seed, args.flipped)
        weigher, _ = meta_train(world.task, jax.random.key(seed))
        draws.append((weigher, world))
        for name, accuracy in compare(learner, weigher, world, seed).items():
            accuracies.setdefault(name, []).append(round(accuracy, 4))
    print(table(accuracies))
    costs = estimator_costs(draws[0][0], draws[0][1].task)
    for name, cost in costs.items():
        print(name, cost)
    settings = {k: v for k, v in vars(args).items() if k != "out"}
    record = {"settings": settings, "accuracies": accuracies}
    text = json.dumps({**record, "estimators": costs}, indent=1)
    (args.out / "results.json").write_text(text + "\n")
    plot(args.out / "result.png", learner, *draws[0])
    return 0


# Data.


class World(NamedTuple):
    """One random sample of the data.

    Attributes:
      task: some labels of `support` are wrong, `query` is clean.
      flipped: `[S]`, which labels of the support set are wrong.
      valid: other digits, to select settings.
      test: digits of the test, the same in every draw.
    """

    task: base.Task
    flipped: np.ndarray
    valid: base.Batch
    test: base.Batch


def draw_world(seed: int, share: float) -> World:
    """Samples digits in four parts; some labels of the first are wrong.

    The test digits are the same in every draw, so that no setting is selected on them.
    """
    images, digits = datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    num_drawn = NUM_TRAIN + NUM_CLEAN + NUM_VALID
    order = np.random.default_rng(0).permutation(len(images))
    order[:num_drawn] = rng.permutation(order[:num_drawn])
    images, digits = images[order] / 16, digits[order]
    flipped = (rng.random(len(images)) < share) & (np.arange(len(images)) < NUM_TRAIN)
    wrong = (digits + rng.integers(1, 10, len(digits))) % 10
    labels = np.where(flipped, wrong, digits)
    ends = np.cumsum([0, NUM_TRAIN, NUM_CLEAN, NUM_VALID]).tolist()
    noisy, clean, valid, test = (
        base.Batch(
            jnp.asarray(images[a:b], jnp.float32),
            jnp.asarray(labels[a:b]),
            jnp.ones(b - a),
        )
        for a, b in itertools.pairwise([*ends, len(images)])
    )
    return World(base.Task(noisy, clean), flipped[:NUM_TRAIN], valid, test)


# The classifier that the inner loop trains, and the network that weighs examples.


def init_mlp(key, sizes) -> list[tuple[jax.Array, jax.Array]]:
    keys = jax.random.split(key, len(sizes) - 1)
    draw = jax.nn.initializers.lecun_normal()
    return [
        (draw(k, (D, H)), jnp.zeros(H))
        for k, D, H in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def init_weigher(key) -> list[tuple[jax.Array, jax.Array]]:
    """Initialises the weighting network to give all examples the same weight.

    Otherwise it may give weight to the easiest examples alone, and not recover.
    """
    hidden, (kernel, bias) = init_mlp(key, (1, 16, 1))
    return [hidden, (jnp.zeros_like(kernel), bias)]


def apply_mlp(params, x):
    (up, up_bias), (down, down_bias) = params
    return jax.nn.relu(x @ up + up_bias[None, :]) @ down + down_bias[None, :]


def cross_entropies(classifier, batch: base.Batch) -> jax.Array:
    logits = apply_mlp(classifier, batch.inputs)
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)


def weight_of(weigher, losses: jax.Array) -> jax.Array:
    """Computes the weights of examples from their losses `[U]`, from 0 to 1."""
    return jax.nn.sigmoid(apply_mlp(weigher, losses[:, None])[:, 0])


def weighting(estimator: base.Estimator) -> base.MetaAlgorithm:
    """Meta-Weight-Net: trains a classifier with meta-learned example weights."""

    def start(weigher, support, key):
        del support
        return init_mlp(key, (64, NUM_HIDDEN, 10)), weigher

    def support_loss(classifier, weigher, support, key):
        del key
        each = cross_entropies(classifier, support)
        # As in the paper, inner steps do not differentiate the weights.
        weights = weight_of(weigher, jax.lax.stop_gradient(each)) * support.weights
        return jnp.sum(weights * each) / jnp.sum(weights)

    def query_loss(weigher, classifier, query, key):
        del weigher, key
        return jnp.mean(cross_entropies(classifier, query))

    problem = base.InnerProblem(start, support_loss, OPTIMIZER, NUM_STEPS)

    def adapt(weigher, support, key=None):
        solution = inner.solve(problem, weigher, support, key)
        return solution.fast, solution.info

    def predict(weigher, classifier, inputs, key=None):
        del weigher, key
        return apply_mlp(classifier, inputs)

    return base.MetaAlgorithm(
        init=init_weigher,
        adapt=adapt,
        predict=predict,
        loss=estimator(problem, query_loss),
    )


# Training and testing.


def trainer(
    learner: base.MetaAlgorithm,
    num_outer: int,
    rate: float = RATE,
    clip: float = CLIP,
):
    """Returns `weigher, clean_losses = fn(task, key)`; each step trains anew."""
    # Sixty steps with momentum occasionally produce a very large gradient.
    optimizer = optax.chain(optax.clip_by_global_norm(clip), optax.adam(rate))

    @jax.jit
    def meta_train(task, key):
        def outer_step(carry, step_key):
            weigher, state = carry
            (loss, _), grads = jax.value_and_grad(learner.loss, has_aux=True)(
                weigher, task, step_key
            )
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(weigher, updates), state), loss

        init_key, steps_key = jax.random.split(key)
        weigher = learner.init(init_key)
        keys = jax.random.split(steps_key, num_outer)
        carry, losses = jax.lax.scan(
            outer_step, (weigher, optimizer.init(weigher)), keys
        )
        return carry[0], losses

    return meta_train


def pick(num_outer: int, share: float) -> None:
    """Prints validation accuracy by outer rate and clipping, on other draws."""
    learner = weighting(estimators.mixed_mode)
    adapt = jax.jit(learner.adapt)
    worlds = {seed: draw_world(seed, share) for seed in range(100, 110)}
    for rate, clip in itertools.product((0.02, 0.05), (0.3, 1.0)):
        meta_train, collected = trainer(learner, num_outer, rate, clip), []
        for seed, world in worlds.items():
            weigher, _ = meta_train(world.task, jax.random.key(seed))
            classifier, _ = adapt(weigher, world.task.support, jax.random.key(seed))
            collected.append(correct(classifier, world.valid))
        print(f"rate {rate}, clip {clip}: {100 * np.mean(collected):.1f}", collected)


def correct(classifier, batch: base.Batch) -> float:
    outputs = jnp.argmax(apply_mlp(classifier, batch.inputs), axis=-1)
    return float(jnp.mean(outputs == batch.targets))


def compare(learner, weigher, world: World, seed: int) -> dict[str, float]:
    """Computes the test accuracy of training on different examples and weights."""
    noisy, clean = world.task
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), noisy, clean)
    right = noisy._replace(weights=jnp.asarray(~world.flipped, jnp.float32))
    uniform = jax.tree.map(jnp.zeros_like, weigher)  # Every weight is one half.
    sets = {
        "noisy examples, weights learned": (weigher, noisy),
        "noisy examples, uniform weights": (uniform, noisy),
        "noisy and clean, uniform weights": (uniform, both),
        "clean examples alone": (uniform, clean),
        "the right labels of the noisy set alone": (uniform, right),
    }
    adapt = jax.jit(learner.adapt)

    def accuracy(weigher, examples):
        classifier, _ = adapt(weigher, examples, jax.random.key(1000 + seed))
        return correct(classifier, world.test)

    return {name: accuracy(*examples) for name, examples in sets.items()}


def estimator_costs(weigher, task) -> dict[str, dict[str, float]]:
    """Measures time and memory of meta-gradients, and cosines with the exact one."""
    costs, exact = {}, None
    for name, estimator in ESTIMATORS.items():
        gradient = jax.jit(jax.grad(weighting(estimator).loss, has_aux=True))
        compiled = gradient.lower(weigher, task, jax.random.key(7)).compile()
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            grads, _ = jax.block_until_ready(compiled(weigher, task, jax.random.key(7)))
            seconds.append(time.perf_counter() - began)
        flat, _ = jax.flatten_util.ravel_pytree(grads)
        exact = flat if exact is None else exact
        cosine = flat @ exact / (jnp.linalg.norm(flat) * jnp.linalg.norm(exact))
        costs[name] = {
            "seconds": round(min(seconds), 3),
            "mebibytes": round(
                compiled.memory_analysis().temp_size_in_bytes / 2**20, 1
            ),
            "cosine": round(float(cosine), 4),
        }
    return costs


# Results.


def table(accuracies: dict[str, list[float]]) -> str:
    """Formats accuracies in percent, and paired differences from the first row."""
    lines = ["| trained on | accuracy | learned minus it |", "| --- | --- | --- |"]
    learned = np.array(next(iter(accuracies.values())))
    for name, values in accuracies.items():
        mean = evaluation.mean_interval(100 * np.array(values))
        gain = evaluation.paired_interval(100 * np.array(values), 100 * learned)
        outputs = f"{gain.mean:+.1f} ± {gain.half_width:.1f}" if gain.half_width else ""
        lines.append(
            f"| {name} | {mean.mean:.1f} ± {mean.half_width:.1f} | {outputs} |"
        )
    return "\n".join(lines)


def plot(path: Path, learner, weigher, world: World) -> None:
    """Plots the learned weight against loss, and weights of right and wrong labels."""
    from matplotlib import figure

    classifier, _ = jax.jit(learner.adapt)(
        weigher, world.task.support, jax.random.key(1000)
    )
    losses = np.asarray(cross_entropies(classifier, world.task.support))
    picture = figure.Figure(figsize=(8, 3.2), layout="constrained")
    curve, histogram = picture.subplots(1, 2)
    grid = jnp.linspace(0.0, losses.max(), 200)
    curve.plot(grid, weight_of(weigher, grid), color="k")
    curve.set(xlabel="loss of an example", ylabel="its learned weight")
    weights = np.asarray(weight_of(weigher, jnp.asarray(losses)))
    parts = {"right label": ~world.flipped, "wrong label": world.flipped}
    histogram.hist(
        [weights[part] for part in parts.values()],
        bins=20,
        label=list(parts),
        color=["tab:blue", "tab:red"],
    )
    histogram.set(xlabel="weight after training", ylabel="examples")
    histogram.legend()
    picture.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
