"""A metaflax meta-gradient of a stored workload, timed beside other programs.

Usage: python experiments/benchmark/run.py WORKLOAD.npz --algorithm maml --num-steps 1

The file holds weights under Hugging Face's names (`w/NAME`) and a batch of tasks
(`s/ids` [T, S, L], `s/mask`, `s/labels` [T, S], the same under `q/`). With `--serve`
the program prints a line of JSON when it is ready, takes a step for every line `step`
on its input, and prints what that took.
"""

import argparse
import functools
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import save_file

import metaflax
from metaflax import base, estimators, heads, losses, models

# Features a head, by width: all-MiniLM-L6-v2's and the tiny setting's.
NUM_HEADS = {384: 12, 128: 2}
INNER_RATE, HEAD_RATE = 0.01, 0.1


class Workload(NamedTuple):
    """What a file holds.

    Attributes:
      config: of the network.
      encoder: its weights.
      head: `{"kernel", "bias"}`.
      tasks: leaves `[T, S, ...]` and `[T, Q, ...]`.
    """

    config: models.BertConfig
    encoder: Any
    head: Any
    tasks: base.Task


def load(path: Path, *, pack: bool = True) -> Workload:
    """Reads a workload, packing the tokens of each task to one budget."""
    held = np.load(path)
    weights = {n.removeprefix("w/"): held[n] for n in held.files if n.startswith("w/")}
    kernel, bias = weights.pop("head.weight").T, weights.pop("head.bias")
    parts = [
        base.Batch(
            tokens(held[f"{part}/ids"], held[f"{part}/mask"], pack=pack),
            held[f"{part}/labels"],
            np.ones(held[f"{part}/labels"].shape, np.float32),
        )
        for part in "sq"
    ]
    config, encoder = pretrained(weights)
    return Workload(
        config, encoder, {"kernel": kernel, "bias": bias}, base.Task(*parts)
    )


def pretrained(weights: dict[str, np.ndarray]) -> tuple[models.BertConfig, Any]:
    """The network that weights under Hugging Face's names belong to."""
    rows, width = weights["embeddings.word_embeddings.weight"].shape
    layers = 1 + max(
        int(n.split(".")[2]) for n in weights if n.startswith("encoder.layer.")
    )
    described = {
        "model_type": "bert",
        "vocab_size": rows,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": NUM_HEADS[width],
        "intermediate_size": len(weights["encoder.layer.0.intermediate.dense.bias"]),
        "max_position_embeddings": len(
            weights["embeddings.position_embeddings.weight"]
        ),
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(described))
        save_file(
            {k: np.ascontiguousarray(v) for k, v in weights.items()},
            Path(folder) / "model.safetensors",
        )
        found = models.pretrained.load(folder)
    return found.config, found.params


def tokens(ids: np.ndarray, mask: np.ndarray, *, pack: bool) -> models.Tokens:
    """Texts `[T, n, L]`, each task's real tokens in as many rows as the fullest has."""
    if not pack:
        return models.Tokens(ids, None, mask)
    flat = mask.reshape(len(mask), -1)
    packed = np.full((len(mask), int(flat.sum(1).max())), flat.shape[1], np.int32)
    for row, real in zip(packed, flat, strict=True):
        places = np.flatnonzero(real)
        row[: len(places)] = places
    return models.Tokens(ids, None, mask, packed)


ESTIMATORS = {
    "reverse": estimators.reverse,
    "mixed_mode": estimators.mixed_mode,
    "mixed_mode_remat": functools.partial(estimators.mixed_mode, remat_every=1),
}


def build(name: str, work: Workload, num_steps: int, estimator: str) -> Any:
    """The algorithm, reading the first token as the workload's peers do."""
    encoder = models.encoder(work.config, pooling="first")
    num_classes = len(work.head["bias"])
    width = work.config.hidden_size
    common = (
        encoder.apply,
        losses.softmax_cross_entropy,
        lambda key: work.encoder,
    )
    linear = heads.linear(width, num_classes)
    if name == "protonet":
        head = heads.prototypes(num_classes, temperature=width**-0.5)
        return metaflax.protonet(*common, head=head)
    kwargs = {"head": linear, "num_steps": num_steps}
    if name == "fomaml":
        return metaflax.fomaml(*common, optax.sgd(INNER_RATE), **kwargs)
    kwargs["estimator"] = ESTIMATORS[estimator]
    if name == "anil":
        return metaflax.anil(*common, optax.sgd(HEAD_RATE), **kwargs)
    return metaflax.maml(*common, optax.sgd(INNER_RATE), **kwargs)


def with_head(params: Any, work: Workload) -> Any:
    """The parameters with the workload's head, where the algorithm learns one."""
    if "kernel" not in params["head"]:
        return params
    return {**params, "head": jax.tree.map(jnp.asarray, work.head)}


# Ours to Hugging Face's, part by part of a path.
NAMES = {
    "embeddings/word": "embeddings.word_embeddings.weight",
    "embeddings/position": "embeddings.position_embeddings.weight",
    "embeddings/token_type": "embeddings.token_type_embeddings.weight",
    "embeddings/norm": "embeddings.LayerNorm",
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/output": "attention.output.dense",
    "attention/norm": "attention.output.LayerNorm",
    "mlp/up": "intermediate.dense",
    "mlp/down": "output.dense",
    "mlp/norm": "output.LayerNorm",
}
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def hugging_face_name(path: str) -> str:
    """For instance `encoder.layer.0.attention.self.query.weight`."""
    if path in NAMES:
        return NAMES[path]
    module, _, leaf = path.rpartition("/")
    if module.startswith("layer_"):
        layer, _, module = module.partition("/")
        prefix = f"encoder.layer.{layer.removeprefix('layer_')}."
        return f"{prefix}{NAMES[module]}.{LEAVES[leaf]}"
    return f"{NAMES[module]}.{LEAVES[leaf]}"


def save(path: Path, loss: float, grads: Any) -> None:
    """Writes a meta-gradient under Hugging Face's names and in its layout."""
    named = {
        hugging_face_name(path): np.asarray(leaf).T
        if path.endswith("kernel")
        else np.asarray(leaf)
        for path, leaf in zip(
            metaflax.tree.paths(grads["encoder"]),
            jax.tree.leaves(grads["encoder"]),
            strict=True,
        )
    }
    if "kernel" in grads["head"]:
        named["head.weight"] = np.asarray(grads["head"]["kernel"]).T
        named["head.bias"] = np.asarray(grads["head"]["bias"])
    np.savez(path, loss=loss, **named)


def busy_seconds() -> float:
    """CPU-seconds that the whole machine has spent."""
    spent = [int(x) for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return (sum(spent) - spent[3] - spent[4]) / os.sysconf("SC_CLK_TCK")


def timed(step) -> dict[str, float]:
    """Wall time of a step, its own CPU-seconds and those of all other programs."""
    busy, cpu, wall = busy_seconds(), time.process_time(), time.perf_counter()
    step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    other = max(0.0, busy_seconds() - busy - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"dt": wall, "cpu": cpu, "other": other, "rss_mb": round(peak, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", type=Path)
    names = ("fomaml", "maml", "anil", "protonet")
    parser.add_argument("--algorithm", choices=names, default="fomaml")
    parser.add_argument("--num-steps", type=int, default=1)
    parser.add_argument("--num-tasks", type=int, help="only the first of them")
    parser.add_argument("--estimator", choices=list(ESTIMATORS), default="reverse")
    parser.add_argument("--tasks-by", default="auto")
    parser.add_argument("--no-pack", action="store_true", help="work on padding too")
    parser.add_argument("--save", type=Path, help="where to write the meta-gradient")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    if not args.workload.is_file():
        print(f"benchmark: there is no file {args.workload}.", file=sys.stderr)
        return 2

    work = load(args.workload, pack=not args.no_pack)
    algorithm = build(args.algorithm, work, args.num_steps, args.estimator)
    params = with_head(algorithm.init(jax.random.key(0)), work)
    tasks = jax.tree.map(lambda x: jnp.asarray(x[: args.num_tasks]), work.tasks)
    tasks_by = int(args.tasks_by) if args.tasks_by.isdigit() else args.tasks_by
    fn = jax.jit(metaflax.value_and_grad(algorithm, tasks_by=tasks_by))

    start = time.perf_counter()
    lowered = fn.lower(params, tasks, None)
    lower = time.perf_counter() - start
    compiled = lowered.compile()
    compile_s = time.perf_counter() - start - lower

    def step():
        return jax.block_until_ready(compiled(params, tasks, None))

    (loss, _), grads = step()
    info: dict[str, Any] = {
        "algorithm": args.algorithm,
        "estimator": args.estimator,
        "loss": float(loss),
        "gnorm": float(optax.tree.norm(grads)),
        "temp_mb": compiled.memory_analysis().temp_size_in_bytes / 2**20,
        "lower_s": round(lower, 2),
        "compile_s": round(compile_s, 2),
    }
    if args.save:
        save(args.save, float(loss), grads)
    if args.serve:
        print(json.dumps({"ready": 1, **info}), flush=True)
        for line in sys.stdin:
            if line.strip() != "step":
                break
            print(json.dumps(timed(step)), flush=True)
        return 0
    found = [timed(step) for _ in range(args.repeats)]
    info["seconds"] = float(np.median([x["dt"] for x in found]))
    info["rss_mb"] = found[-1]["rss_mb"]
    print(json.dumps(info))
    return 0


if __name__ == "__main__":
    sys.exit(main())
