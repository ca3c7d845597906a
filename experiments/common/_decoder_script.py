"""Comparisons of a pretrained decoder as commands, and their pages."""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.common._decoder_comparison import compare_decoders
from experiments.common._decoder_tables import published, samples_page
from experiments.common._files import read_jsonl, write_json, write_text
from metaflax import config as config_lib
from metaflax import workflows

RESULTS, SAMPLES = "smollm2.json", "samples.md"
# Within the folder of runs.
GENERATED = "generated.json"
Records = Sequence[dict[str, Any]]


def run_comparison(
    script: str | Path,
    doc: str | None,
    prepared: Callable[[Path], config_lib.Config],
    *,
    extra: Callable[[Records], dict[str, dict[str, float]]] | None = None,
    args: Sequence[str] | None = None,
    **settings: Any,
) -> int:
    """Runs a comparison of `compare_decoders` from data to tables.

    The option `--runs DIR` names the folder of data and runs (default:
    `runs/NAME-smollm2` for a script in the folder NAME); a finished comparison in it is
    read and not made again. `--publish` writes `smollm2.json`, `samples.md` and the
    table of the README beside the script.

    Args:
      script: the script's `__file__`.
      doc: the script's `__doc__`, shown by `--help`.
      prepared: `config = prepared(runs)` writes the data and returns the config.
      extra: further scores, by method and name, from the records of generated texts.
      args: command-line arguments; None for `sys.argv`.
      **settings: of `compare_decoders`.

    Returns:
      The exit status: 0, 2 after a `ValueError`, 130 after an interruption.
    """
    folder = Path(script).resolve().parent
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path("runs", f"{folder.name}-smollm2")
    parser.add_argument("--runs", type=Path, default=default)
    parser.add_argument(
        "--publish", action="store_true", help="write results beside the script"
    )
    options = parser.parse_args(args)
    console = Console(highlight=False)
    workflows.prepare_process()
    try:
        results, records = _compared(prepared, options.runs, console, settings)
    except ValueError as error:
        console.print(f"{folder.name}: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print(f"{folder.name}: interrupted; the same command resumes.")
        return 130
    if extra is not None:
        results["further"] = extra(records)
    console.print(published("", results))
    if options.publish:
        publish(folder, results, records)
    return 0


def _compared(
    prepared: Callable[[Path], config_lib.Config],
    runs: Path,
    console: Console,
    settings: Mapping[str, Any],
) -> tuple[dict[str, Any], Records]:
    """Compares, or reads what an earlier call left in the folder."""
    if not (runs / RESULTS).is_file():
        started = time.process_time()
        results = compare_decoders(prepared(runs), runs, console, **settings)
        write_json(runs / GENERATED, results.pop("samples"))
        results["seconds"]["all"] = round(time.process_time() - started)
        write_json(runs / RESULTS, results)
    return tuple(
        json.loads((runs / name).read_text("utf-8")) for name in (RESULTS, GENERATED)
    )


def publish(folder: Path, results: dict[str, Any], records: Records) -> None:
    """Writes results and samples beside a script, and the table into its README."""
    write_json(folder / RESULTS, results)
    if records:
        page = samples_page(folder.name, records, results["meta"])
        write_text(folder / SAMPLES, page)
    readme = folder / "README.md"
    text = readme.read_text("utf-8") if readme.exists() else ""
    write_text(readme, published(text, results))


def rest_for_training(
    path: Path, valid: Sequence[str], test: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Splits the domains of a file: those of validation and test, and all others.

    Args:
      path: JSONL with a field `domain`.
      valid: domains of validation.
      test: domains of test.

    Returns:
      The domains by split, for `DataConfig.split_names`.
    """
    domains = dict.fromkeys(row["domain"] for row in read_jsonl(path))
    train = tuple(sorted(set(domains) - {*valid, *test}))
    return {"train": train, "valid": tuple(valid), "test": tuple(test)}
