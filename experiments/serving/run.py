"""Tenants that adapt, patch and predict at random over HTTP; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/serving/run.py [--minutes M] [--tenants N]
    [--peer NAME=PROGRAM ...] [--out DIR]

`metaflax serve` runs as a process. Every answer is compared with a direct prediction.
The same requests go to a thin service around sentence-transformers (peer.py), in each
Python that is named and has that library.
"""

import argparse
import collections
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
from reference import Reference
from server import Server, metaflax_command, running
from tenants import Tenant, Texts, Timing, all_at_once

from experiments import common
from metaflax import workflows

HEAD = "logistic_regression"  # The same head as the peer's.
MEMORY_SECONDS = 5.0


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument(
        "--tenants", type=int, default=50, help="number of simultaneous tenants"
    )
    parser.add_argument(
        "--minutes", type=float, default=30, help="minutes with all tenants"
    )
    parser.add_argument(
        "--other-minutes",
        type=float,
        default=3,
        help="minutes with one tenant, and with the peer",
    )
    parser.add_argument("--per-class", type=int, default=20, help="texts per class")
    parser.add_argument("--data", type=Path, help="folder of examples.jsonl")
    parser.add_argument(
        "--peer",
        action="append",
        metavar="NAME=PROGRAM",
        help="name and Python interpreter of a peer; may be repeated",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/serving"))
    options = parser.parse_args(args)
    data = options.data or common.data_folder() / "clinc150"
    if not (data / "examples.jsonl").is_file():
        print("serving: METAFLAX_DATA names no folder of data sets.", file=sys.stderr)
        return 2
    workflows.prepare_process()
    rows = common.read_jsonl(data / "examples.jsonl")
    texts = Texts.of(rows, options.per_class)
    results = {**ours(options, texts), **peers(options, texts)}
    common.write_json(options.out / "results.json", results)
    print(table(results))
    wrong = sum(r.get("wrong", 0) + len(r["problems"]) for r in results.values())
    return int(wrong > 0)


def ours(options: argparse.Namespace, texts: Texts) -> dict[str, dict[str, Any]]:
    """Drives the service, with all tenants and with one at a time."""
    tokens = {f"tenant{i}": secrets.token_hex(16) for i in range(options.tenants)}
    names, file = list(tokens.values()), options.out / "tokens.json"
    common.write_json(file, tokens)
    reference = Reference(texts, options.model, HEAD)
    results = {}
    for name, number, minutes in (
        ("one tenant", 1, options.other_minutes),
        ("all tenants", options.tenants, options.minutes),
    ):
        store = options.out / "stores" / secrets.token_hex(4)
        command = metaflax_command(options.model, store, file, "--head", HEAD)
        with running(command, options.out / "service.log") as server:
            record, tenants = driven(server, texts, names[:number], minutes)
        answers = [p for tenant in tenants for p in tenant.predictions]
        wrong, difference = reference.wrong(answers)
        record |= {"wrong": wrong, "largest difference": difference}
        results[f"metaflax serve, {name}"] = record
    return results


def peers(options: argparse.Namespace, texts: Texts) -> dict[str, dict[str, Any]]:
    """Drives the service around sentence-transformers, in each Python that has it."""
    model = str(workflows.locate_model(options.model))
    names, results = ["anyone"] * options.tenants, {}
    for peer in options.peer or [f"sentence-transformers={sys.executable}"]:
        name, _, python = peer.partition("=")
        check = [python, "-c", "import sentence_transformers"]
        if subprocess.run(check, stderr=subprocess.DEVNULL).returncode:
            print(f"serving: {python} has no sentence-transformers; {name} is skipped.")
            continue
        script = str(Path(__file__).with_name("peer.py"))
        command = [python, script, "--model", model]
        with running(command, options.out / "peer.log") as server:
            record, _ = driven(server, texts, names, options.other_minutes)
        results[f"{name}, all tenants"] = record
    return results


def driven(
    server: Server, texts: Texts, tokens: Sequence[str], minutes: float
) -> tuple[dict[str, Any], list[Tenant]]:
    """Lets tenants send requests for some minutes, and summarises them."""
    tenants = [
        Tenant(texts, np.random.default_rng(number), [server.client(token)])
        for number, token in enumerate(tokens)
    ]
    begun = time.monotonic()
    end = begun + 60 * minutes
    done = all_at_once(tenants, lambda: time.monotonic() > end)
    memory = []
    while not done.wait(MEMORY_SECONDS):
        memory.append((time.monotonic() - begun, server.memory()))
    seconds = time.monotonic() - begun
    return summary(tenants, memory, seconds), tenants


def summary(
    tenants: Sequence[Tenant], memory: Sequence[tuple[float, float]], seconds: float
) -> dict[str, Any]:
    """Reports rates, quantiles and memory."""
    every = [timing for tenant in tenants for timing in tenant.timings]
    timings = [timing for timing in every if timing.status < 300]
    texts = sum(len(p.queries) for tenant in tenants for p in tenant.predictions)
    return {
        "tenants": len(tenants),
        "seconds": round(seconds, 1),
        "answers": len(timings),
        "answers a second": len(timings) / seconds,
        "texts": texts,
        "texts a second": texts / seconds,
        "statuses": collections.Counter(timing.status for timing in every),
        "milliseconds": {
            kind: quantiles(timings, kind) for kind in ("predict", "adapt", "patch")
        },
        "memory": memory_growth(memory),
        "problems": [p for tenant in tenants for p in tenant.problems],
    }


def quantiles(timings: Sequence[Timing], kind: str) -> dict[str, float]:
    """Returns p50 and p99 of the milliseconds of a kind of request."""
    values = [1000 * t.seconds for t in timings if t.kind == kind]
    if not values:
        return {}
    return {f"p{q}": float(np.percentile(values, q)) for q in (50, 99)}


def memory_growth(memory: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Returns the MiB after a third and at the end, and the growth a minute."""
    later = [(t, m) for t, m in memory if t >= memory[-1][0] / 3] if memory else []
    if len(later) < 2:
        return {}
    times, sizes = np.array(later).T
    slope = np.polyfit(times / 60, sizes, 1)[0]
    return {
        "MiB after a third": float(sizes[0]),
        "MiB at the end": float(sizes[-1]),
        "MiB a minute": float(slope),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Formats results as Markdown."""
    header = ["service", "answers a second", "predict: p50, p99 (ms)"]
    header += ["adapt: p50, p99 (ms)", "MiB", "MiB a minute", "wrong"]
    rows = []
    for name, record in results.items():
        times = [
            ", ".join(f"{v:,.0f}" for v in record["milliseconds"][kind].values())
            for kind in ("predict", "adapt")
        ]
        memory = record["memory"]
        grown = [f"{memory.get('MiB at the end', 0):,.0f}"]
        grown += [f"{memory.get('MiB a minute', 0):.1f}"]
        rate, wrong = f"{record['answers a second']:.1f}", record.get("wrong", "")
        rows.append([name, rate, *times, *grown, f"{wrong}"])
    return common.markdown_table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
