"""A metaflax meta-gradient of a stored workload, timed beside other programs.

Usage: python experiments/benchmark/run.py WORKLOAD.npz --algorithm maml --num-steps 1

The file holds weights under Hugging Face's names (`w/NAME`) and a batch of tasks
(`s/ids` [T, S, L], `s/mask`, `s/labels` [T, S], the same under `q/`). With `--serve`
the program prints a line of JSON when it is ready, takes a step for every line `step`
on its input, and prints what that took.
"""

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import floor
import methods
import serving
import workload

import metaflax
from metaflax import models, profiling


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", type=Path)
    parser.add_argument("--algorithm", choices=methods.NAMES, default="fomaml")
    parser.add_argument(
        "--num-steps", type=int, default=1, help="number of inner steps"
    )
    parser.add_argument("--num-tasks", type=int, help="use only the first tasks")
    parser.add_argument(
        "--estimator", choices=list(methods.ESTIMATORS), default="reverse"
    )
    parser.add_argument("--pooling", choices=("first", "mean"), default="first")
    parser.add_argument("--task-loop", default="auto")
    parser.add_argument("--no-pack", action="store_true", help="compute on padding too")
    parser.add_argument(
        "--every-row", action="store_true", help="work on the whole word embedding"
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--save", type=Path, help="where to write the meta-gradient")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    if not args.workload.is_file():
        print(f"benchmark: there is no file {args.workload}.", file=sys.stderr)
        return 2

    jax.config.update("jax_enable_x64", args.dtype == "float64")
    work = workload.load(args.workload, num_tasks=args.num_tasks, pack=not args.no_pack)
    fn, params = meta_gradient(work, args)
    flops = floor.needed_flops(
        args.algorithm,
        work.config,
        work.tasks,
        args.num_steps,
        reads_all=args.pooling == "mean",
    )
    compiled, info = compile_it(fn, params, work.tasks)

    def step():
        return jax.block_until_ready(compiled(params, work.tasks))

    info |= {"algorithm": args.algorithm, "estimator": args.estimator, "flops": flops}
    info |= first_step(step, args.save)
    if args.serve:
        serving.serve(step, info)
        return 0
    before = floor.matrix_rate()
    results = [serving.timed(step) for _ in range(args.repeats)]
    rate = (before + floor.matrix_rate()) / 2
    info["seconds"] = statistics.median(x["dt"] for x in results)
    info["gflops_of_a_product"] = round(rate / 1e9, 1)
    info["floor_seconds"] = flops / rate
    info["share_of_floor"] = round(flops / rate / info["seconds"], 3)
    info["rss_mb"] = results[-1]["rss_mb"]
    print(json.dumps(info))
    return 0


def meta_gradient(work: workload.Workload, args: argparse.Namespace) -> Any:
    """Returns the jitted meta-gradient of an algorithm, and its parameters."""
    encoder = models.encoder(work.config, pooling=args.pooling, dtype=args.dtype)
    algorithm = methods.build(
        args.algorithm,
        encoder,
        len(work.head["bias"]),
        num_steps=args.num_steps,
        estimator=args.estimator,
    )
    if not args.every_row:
        algorithm = metaflax.compact_rows(algorithm, models.word_table())
    task_loop = int(args.task_loop) if args.task_loop.isdigit() else args.task_loop
    fn = jax.jit(metaflax.value_and_grad(algorithm, task_loop=task_loop))
    params = methods.params_of(algorithm, work.encoder, work.head)
    return fn, jax.tree.map(lambda x: x.astype(args.dtype), params)


def compile_it(fn: Any, *args: Any) -> tuple[Any, dict[str, float]]:
    """Compiles a function; returns it with the time taken and memory needed."""
    start = time.perf_counter()
    lowered = fn.lower(*args)
    lower = time.perf_counter() - start
    compiled = lowered.compile()
    compile_s = time.perf_counter() - start - lower
    profiling.hand_back()
    return compiled, {
        "temp_mb": compiled.memory_analysis().temp_size_in_bytes / 2**20,
        "lower_s": round(lower, 2),
        "compile_s": round(compile_s, 2),
    }


def first_step(step: Any, path: Path | None) -> dict[str, float]:
    """Returns loss and norm of the meta-gradient, and saves it if a path is given."""
    (loss, _), grads = step()
    if path:
        workload.save(path, float(loss), grads)
    # One leaf at a time on the host: all squares at once need as much memory again.
    squares = (float(np.vdot(x, x)) for x in map(np.asarray, jax.tree.leaves(grads)))
    return {"loss": float(loss), "gnorm": math.sqrt(sum(squares))}


if __name__ == "__main__":
    sys.exit(main())
