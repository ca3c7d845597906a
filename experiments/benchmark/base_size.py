"""Meta-gradients of networks of base size, beside torch and peft.

Usage: python experiments/benchmark/base_size.py metaflax mpnet

`mpnet` is FOMAML on all weights of all-mpnet-base-v2, `bert` the same on a BERT-base
with random weights, `lora` FOMAML on low-rank factors in SmolLM2-135M-Instruct, and
`metaicl` learning in context with all its weights, the support set encoded once a
task; `prompts` is the same, the support set encoded anew with each query. Texts are
random tokens. With `--serve` the program takes a step for every line `step` on its
input. `--save` writes the meta-gradient for gradients.py, of `--dtype float64` as the
reference.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.
sys.path.insert(0, str(Path(__file__).parent))

import base_size_batches as batches
import numpy as np
import serving

PROGRAMS = ("metaflax", "torch")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("work", choices=list(batches.WORKS))
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1, help="inner steps of FOMAML")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--save", type=Path, help="where to write the meta-gradient")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    work = batches.WORKS[args.work](args.tasks)
    try:
        step, named, info = program(args.program)(work, args.steps, args.dtype)
    except ValueError as error:
        print(f"base_size: {error}", file=sys.stderr)
        return 2
    loss, grads = step()
    leaves = named(grads)
    squares = sum(float(np.vdot(x, x)) for x in leaves.values())
    info |= {"loss": float(loss), "gnorm": squares**0.5}
    if args.save:
        np.savez(args.save, loss=float(loss), **leaves)
    del grads, leaves
    if args.save:
        print(json.dumps(info))
        return 0
    if args.serve:
        serving.serve(step, info)
        return 0
    results = [serving.timed(step) for _ in range(args.repeats)]
    seconds = sorted(result["dt"] for result in results)[len(results) // 2]
    print(json.dumps({**info, "seconds": seconds, "rss_mb": results[-1]["rss_mb"]}))
    return 0


def program(name: str) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Returns the function that prepares a program; imports only its library."""
    if name == "torch":
        import base_size_torch as module
    else:
        import base_size_metaflax as module
    return module.prepare


if __name__ == "__main__":
    sys.exit(main())
