"""Meta-gradients on an accelerator, beside `torch.func` and `torch.compile`.

Usage: python experiments/benchmark/accelerator.py [--setting base] [--minutes 9]
    [--rounds 10] [--programs metaflax torch] [--out runs/benchmark/accelerator]

Needs this package with a build of jax for the device (`pip install 'jax[cuda12]'`) and,
for the peers, torch; neither data nor downloads. Weights are random, so that times are
those of any weights. Programs take their steps in turn. Writes accelerator.json and
accelerator.md, which hold what could be measured, and why the rest could not.
"""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.
# By default jax reserves most of a GPU's memory, and leaves none to torch.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import floor
import fused
import torch_peer
from accelerator_programs import (
    Program,
    Row,
    Setting,
    Work,
    make_work,
    step,
    torch_step,
)

# No further program is compiled after this share of the time.
PREPARING = 0.75

SETTINGS = {
    "base": Setting(),
    "mini": Setting(layers=6, width=384, product=4096),
    "tiny": Setting(2, 32, 2, 100, tasks=2, way=2, shot=2, length=8, product=128),
}

# Gradients are compared with those of the method's first program. The most important
# pairs come first, as the time may be over before the last: XLA compiles a program for
# 30 to 90 seconds, while torch's programs need no compilation.
ROWS = (
    Row("metaflax", "fomaml", "vmap"),
    Row("torch", "fomaml", "vmap"),
    Row("torch", "fomaml", "loop"),
    Row("metaflax", "maml", "vmap"),
    Row("torch", "maml", "vmap"),
    Row("metaflax", "fomaml", "vmap", "bfloat16"),
    Row("torch", "fomaml", "vmap", "bfloat16"),
    Row("torch", "fomaml", "loop", "bfloat16"),
    Row("metaflax", "protonet", "vmap"),
    Row("metaflax", "fomaml", "scan"),
    Row("metaflax", "protonet", "vmap", "bfloat16"),
    Row("torch", "maml", "vmap", "bfloat16"),
    Row("torch", "maml", "loop"),
    Row("metaflax", "maml", "vmap", "bfloat16"),
    Row("metaflax", "maml", "scan"),
    Row("metaflax", "fomaml", "vmap", variant="packed"),
    Row("torch", "fomaml", "loop", "bfloat16", "torch.compile"),
    Row("metaflax", "fomaml", "vmap", "bfloat16", "fused"),
    Row("metaflax", "protonet", "vmap", "bfloat16", "fused"),
    Row("metaflax", "maml", "vmap", variant="mixed_mode"),
    Row("metaflax", "fomaml", "scan", "bfloat16", "fused"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    on_cpu = jax.default_backend() == "cpu"
    default = "tiny" if on_cpu else "base"
    parser.add_argument("--setting", choices=SETTINGS, default=default)
    parser.add_argument("--minutes", type=float, default=9.0, help="total time limit")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each program")
    programs = ("metaflax", "torch")
    parser.add_argument("--programs", nargs="+", choices=programs, default=programs)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark/accelerator"))
    args = parser.parse_args()
    rows = [row for row in ROWS if row.program in args.programs]
    results = measure(SETTINGS[args.setting], rows, args.rounds, 60 * args.minutes)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "accelerator.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "accelerator.md").write_text(page(results))
    print(page(results))
    return 0


def measure(
    setting: Setting, rows: Sequence[Row], rounds: int, seconds: float
) -> dict[str, Any]:
    """Prepares programs, lets them take steps in turn, and returns what was measured.

    Args:
      setting: network and tasks.
      rows: programs, first to last; those for which there is no time have a note.
      rounds: maximum number of steps of each program.
      seconds: total time limit.
    """
    start = time.perf_counter()
    work = make_work(setting)
    refusal = torch_peer.missing(jax.default_backend())
    rates = {name: product_rate(setting.product, name) for name in DTYPES}
    records, prepared, references = [], {}, {}
    for number, row in enumerate(rows):
        records.append({**row._asdict(), "note": None})
        if time.perf_counter() - start > PREPARING * seconds:
            records[-1]["note"] = "not measured: the time (--minutes) was over"
        elif row.program == "torch" and refusal:
            records[-1]["note"] = f"not measured: {refusal}"
        else:
            say(f"prepares {' '.join(filter(None, row))}")
            try:
                program = (torch_step if row.program == "torch" else step)(work, row)
                records[-1] |= first(program, row, references)
                prepared[number] = program
            except Exception as error:  # The device lacks a kernel or memory.
                lines = str(error).strip().splitlines() or [type(error).__name__]
                records[-1]["note"] = f"failed: {lines[0]:.160}"
    times = in_turn(prepared, rounds, start + seconds)
    for number, dts in times.items():
        records[number] |= speed(work, rows[number], dts, rates)
    return {
        **machine(),
        "setting": dataclasses.asdict(setting),
        "tokens": work.num_tokens,
        "product_tflops": {name: rate / 1e12 for name, rate in rates.items()},
        "seconds": time.perf_counter() - start,
        "rows": records,
    }


def say(line: str) -> None:
    """Prints a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


DTYPES = ("float32", "bfloat16")


def product_rate(size: int, dtype: str) -> float:
    """Measures the operations a second of a large matrix product, taken as the peak.

    The product of float32 has the precision that jax uses by default, TF32 on recent
    NVIDIA GPUs.
    """
    return floor.matrix_rate(size, dtype=dtype)


def first(
    program: Program, row: Row, references: dict[str, dict[str, np.ndarray]]
) -> dict[str, Any]:
    """Takes the first step; returns loss, gradient error and memory.

    The error is relative to the gradient of the method's first program.
    """
    loss, grads = program.named(program.step())
    expected = references.setdefault(row.method, grads)
    gaps = sum(float(np.sum((grads[k] - x) ** 2)) for k, x in expected.items())
    norm = sum(float(np.sum(x**2)) for x in expected.values())
    return {
        "loss": loss,
        "gradient_error": (gaps / norm) ** 0.5,
        "prepared_seconds": program.prepared,
        "mib": program.mib,
    }


def in_turn(
    programs: dict[int, Program], rounds: int, deadline: float
) -> dict[int, list[float]]:
    """Measures seconds of each program's steps; programs alternate in each round."""
    times: dict[int, list[float]] = {number: [] for number in programs}
    for done in range(rounds):
        for number, program in programs.items():
            if done and time.perf_counter() > deadline:
                return times
            start = time.perf_counter()
            program.step()
            times[number].append(time.perf_counter() - start)
    return times


def speed(
    work: Work, row: Row, dts: Sequence[float], rates: dict[str, float]
) -> dict[str, Any]:
    """Computes the rates of a program from the times of its steps."""
    seconds = statistics.median(dts)
    flops = floor.needed_flops(
        row.method,
        work.config,
        work.tasks(pack=False),
        work.setting.steps,
        reads_all=True,
    )
    return {
        "steps": len(dts),
        "seconds": seconds,
        "tokens_a_second": work.num_tokens / seconds,
        "tflops": flops / seconds / 1e12,
        "share_of_product": flops / seconds / rates[row.dtype],
    }


def machine() -> dict[str, Any]:
    """Describes device and versions, with a hint where a GPU goes unused."""
    device = jax.devices()[0]
    hints = []
    if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
        hints.append(
            "there is an NVIDIA driver, and jax runs on the CPU; `pip install -U"
            " 'jax[cuda12]'` (or cuda13, as the driver allows)"
        )
    has_torch = torch_peer.torch is not None
    return {
        "device": device.device_kind,
        "backend": jax.default_backend(),
        "torch_device": torch_peer.card() if has_torch else None,
        "fused_attention": fused.implementation(),
        "jax": jax.__version__,
        "torch": torch_peer.torch.__version__ if has_torch else None,
        "hints": hints,
    }


def page(results: dict[str, Any]) -> str:
    """Formats the results as Markdown."""
    setting = results["setting"]
    rates = ", ".join(f"{x:.4g} ({n})" for n, x in results["product_tflops"].items())
    lines = [
        f"{results['device']} ({results['backend']}), jax {results['jax']}, torch"
        f" {results['torch'] or 'absent'}; {setting['layers']} layers of"
        f" {setting['width']}, {setting['tasks']} tasks of {setting['way']} classes,"
        f" {setting['shot']} support and query texts each, {results['tokens']} tokens,"
        f" {setting['steps']} inner steps. A product of {setting['product']} x"
        f" {setting['product']} runs at {rates} TFLOP/s. Fused attention:"
        f" {results['fused_attention']}.",
        *results["hints"],
        "",
        "| program | ms | tokens/s | TFLOP/s | share of a product | MiB |"
        " gradient error | prepared, s |",
        "| --- " * 8 + "|",
    ]
    lines += [line(record) for record in results["rows"]]
    return "\n".join(lines) + "\n"


def line(record: dict[str, Any]) -> str:
    """Formats a row of the table."""
    parts = (record[name] for name in Row._fields)
    cells = [" ".join(filter(None, parts))]
    if "seconds" in record:
        memory = "" if record["mib"] is None else f"{record['mib']:.0f}"
        cells += [
            f"{1000 * record['seconds']:.1f}",
            f"{record['tokens_a_second']:,.0f}",
            f"{record['tflops']:.3g}",
            f"{100 * record['share_of_product']:.0f} %",
            memory,
            f"{record['gradient_error']:.1e}",
            f"{record['prepared_seconds']:.0f}",
        ]
    else:
        cells += [record["note"], *[""] * 6]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
