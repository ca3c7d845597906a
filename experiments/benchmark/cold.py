"""Seconds of the commands `adapt` and `predict` from their start, beside a script.

Usage: METAFLAX_DATA=DIR python experiments/benchmark/cold.py
    [--rounds 5] [--peer-python PYTHON]

`adapt` learns 27 intents of clinc150 from 8 texts each, and `predict` labels 60 others
of each. The script is cold_peer.py: sentence-transformers and scikit-learn. Each
command is a process; a round runs the four in turn, every other round in reverse.
The round before the first starts with no compiled programs on disk and is printed
apart.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common
from metaflax import data

NUM_CLASSES, SHOT, NUM_QUERIES = 27, 8, 60
WORKS = ("adapt", "predict")
PROGRAMS = ("metaflax", "script")
Times = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", help="directory (default: all-MiniLM-L6-v2)")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter of the script"
    )
    args = parser.parse_args()
    file = common.data_folder() / "clinc150" / "examples.jsonl"
    if not file.is_file():
        print(
            "benchmark: METAFLAX_DATA names the folder of data sets.", file=sys.stderr
        )
        return 2
    model = args.model or str(data.fetch_minilm())
    with tempfile.TemporaryDirectory() as folder:
        support, queries = draw(file)
        common.write_jsonl(Path(folder) / "support.jsonl", support)
        texts = [{"text": row["text"]} for row in queries]
        common.write_jsonl(Path(folder) / "texts.jsonl", texts)
        commands = command_lines(Path(folder), model, args.peer_python)
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        try:
            first = measure(commands, 1, environment)
            times = measure(commands, args.rounds, environment)
        except subprocess.CalledProcessError as error:
            print(f"benchmark: {error}\n{error.stderr}", file=sys.stderr)
            return 2
        labels = [row["label"] for row in queries]
        right = {name: share_right(Path(folder) / name, labels) for name in PROGRAMS}
    print(report(first, times))
    print(" ".join(f"{name}: {share:.1%} right." for name, share in right.items()))
    return 0


def draw(file: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Returns the first texts of each class to learn from, and others to predict."""
    texts: dict[str, list[str]] = {}
    for row in common.read_jsonl(file):
        texts.setdefault(row["label"], []).append(row["text"])
    names = sorted(texts)[:: max(1, len(texts) // NUM_CLASSES)][:NUM_CLASSES]
    rows = {n: [{"text": text, "label": n} for text in texts[n]] for n in names}
    support = [row for name in names for row in rows[name][:SHOT]]
    queries = [row for name in names for row in rows[name][SHOT : SHOT + NUM_QUERIES]]
    return support, queries


def command_lines(folder: Path, model: str, peer: str) -> dict[str, list[str]]:
    """Command lines to adapt and to predict, by program; they write into a folder."""
    support, texts, adapted = (
        str(folder / name) for name in ("support.jsonl", "texts.jsonl", "adapted")
    )
    metaflax = [sys.executable, "-m", "metaflax"]
    script = [peer, str(Path(__file__).with_name("cold_peer.py"))]
    weights = str(folder / "weights.npz")
    options = ["--model", model, "--support", support, "--out", adapted]
    answers = {name: str(folder / name) for name in PROGRAMS}
    return {
        "adapt metaflax": [*metaflax, "adapt", "--head", "prototypes", *options],
        "adapt script": [*script, "fit", model, support, weights],
        "predict metaflax": [
            *metaflax,
            *("predict", "--model", adapted, "--texts", texts),
            *("--out", answers["metaflax"]),
        ],
        "predict script": [
            *script,
            *("predict", model, weights, texts, answers["script"]),
        ],
    }


def measure(
    commands: dict[str, list[str]], rounds: int, environment: dict[str, str]
) -> Times:
    """Measures the wall seconds of each command in each round.

    Raises:
      CalledProcessError: if a command fails.
    """
    times: Times = {name: [] for name in commands}
    names = list(commands)
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            if name == "adapt metaflax":  # The command refuses to write over a model.
                shutil.rmtree(commands[name][-1], ignore_errors=True)
            begun = time.perf_counter()
            subprocess.run(
                commands[name],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            times[name].append(time.perf_counter() - begun)
    return times


def report(first: Times, times: Times) -> str:
    """Formats a table of medians, each with its range."""
    header = (
        "work",
        *(f"{name}, s" for name in PROGRAMS),
        "script / metaflax",
        "metaflax less script, s",
        "metaflax compiling, s",
    )
    rows = []
    for work in WORKS:
        ours, theirs = (times[f"{work} {name}"] for name in PROGRAMS)
        medians = statistics.median(ours), statistics.median(theirs)
        rows.append(
            (
                work,
                *(spread(seconds) for seconds in (ours, theirs)),
                f"{medians[1] / medians[0]:.2f}",
                f"{medians[0] - medians[1]:+.2f}",
                f"{first[f'{work} metaflax'][0]:.2f}",
            )
        )
    return common.markdown_table(header, rows)


def spread(seconds: Sequence[float]) -> str:
    """Formats the median, and the range in brackets."""
    median = statistics.median(seconds)
    return f"{median:.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def share_right(answers: Path, labels: Sequence[str]) -> float:
    """Computes the accuracy of the predictions in a file."""
    rows = common.read_jsonl(answers)
    right = [row["label"] == label for row, label in zip(rows, labels, strict=True)]
    return statistics.mean(right)


if __name__ == "__main__":
    sys.exit(main())
