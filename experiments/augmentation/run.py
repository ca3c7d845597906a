"""Meta-trains on few labelled texts with and without augmentation; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/augmentation/run.py [--runs DIR]
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import config as settings
import numpy as np
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, workflows

SEEDS = (0, 1)
SHOTS = (1, 5)
# Texts of a class: labelled ones to meta-train on, and to validate or test on.
LABELLED, HELD_OUT = (3, 10), 40
REPLACING = workflows.Replacing(variants=4, share=0.25, max_length=48)
# Training sets by name: the column of variants that meta-training uses, or none.
SIDES = {"without variants": None, "with variants": "variants"}

Rows = list[dict[str, Any]]


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Runs all seeds and prints a table."""
    folder = common.data_folder() / "clinc150"
    table = compared(
        config, settings.pretraining, folder, LABELLED, SEEDS, runs, console
    )
    console.print(table)


def compared(
    config: config_lib.Config,
    pretraining: config_lib.PretrainConfig,
    folder: Path,
    counts: Sequence[int],
    seeds: Sequence[int],
    runs: Path,
    console: Console,
) -> str:
    """Returns a Markdown table: accuracy by shot without and with variants.

    Args:
      config: config of meta-training.
      pretraining: settings of MLM pretraining of the model that replaces words.
      folder: folder of the data set.
      counts: numbers of labelled texts per class.
      seeds: seeds, each for one sample of the labelled texts.
      runs: gets a folder for each model.
      console: where progress goes.
    """
    rows = by_split(folder, config.data.fold)
    model = masked_model(pretraining, rows["train"], runs, console)
    for count in counts:
        for seed in seeds:
            within = runs / f"data-{count}-{seed}"
            file = labelled(rows, count, seed, model, within, console)
            for name, column in SIDES.items():
                run_dir = run_of(runs, name, count, seed)
                trained(config, file, column, seed, run_dir, console)
    return table(runs, counts, seeds)


def by_split(folder: Path, fold: str) -> dict[str, Rows]:
    """Groups rows by split: training, validation and test classes."""
    names = json.loads((folder / "folds.json").read_text("utf-8"))[fold]
    rows = [row for _, row in data.read_rows(folder / "examples.jsonl")]
    return {
        split: [row for row in rows if row["label"] in set(names[split])]
        for split in ("train", "valid", "test")
    }


def masked_model(
    pretraining: config_lib.PretrainConfig, rows: Rows, runs: Path, console: Console
) -> Path:
    """Continues MLM pretraining on all unlabelled texts of the training classes."""
    file = runs / "texts.jsonl"
    common.write_jsonl(file, ({"text": row["text"]} for row in rows), ascii=False)
    text = dataclasses.replace(pretraining.text, text=str(file))
    workflows.pretrain(
        dataclasses.replace(pretraining, text=text), runs / "masked-words", console
    )
    return runs / "masked-words" / "model"


def labelled(
    rows: dict[str, Rows],
    count: int,
    seed: int,
    model: Path,
    folder: Path,
    console: Console,
) -> Path:
    """Writes few augmented texts of each training class, and held-out texts."""
    few, augmented = folder / "few.jsonl", folder / "augmented.jsonl"
    drawn = some_of_each(rows["train"], count, np.random.default_rng(seed))
    common.write_jsonl(few, drawn, ascii=False)
    if not augmented.exists():  # It exists where an interrupted run is resumed.
        replacing = REPLACING._replace(seed=seed)
        workflows.augment(few, model, augmented, console, replacing=replacing)
    others = [*first_of_each(rows["valid"]), *first_of_each(rows["test"])]
    with_variants = [row for _, row in data.read_rows(augmented)]
    file = folder / "data.jsonl"
    plain = [{**row, "variants": []} for row in others]
    common.write_jsonl(file, [*with_variants, *plain], ascii=False)
    return file


def some_of_each(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Samples rows of each label."""
    return first_of_each([rows[n] for n in rng.permutation(len(rows))], count)


def first_of_each(rows: Rows, count: int = HELD_OUT) -> Rows:
    """Selects the first rows of each label."""
    results: dict[str, Rows] = {}
    for row in rows:
        results.setdefault(row["label"], []).append(row)
    return [row for group in results.values() for row in group[:count]]


def trained(
    config: config_lib.Config,
    file: Path,
    column: str | None,
    seed: int,
    run_dir: Path,
    console: Console,
) -> None:
    """Meta-trains with or without variants, and meta-tests at both shots."""
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, path=str(file), variants=column),
        training=dataclasses.replace(config.training, seed=seed),
    )
    workflows.train(config, run_dir, console)
    for shot in SHOTS:
        episodes = dataclasses.replace(config.episodes, shot=shot)
        workflows.evaluate(run_dir, console, name=f"shot{shot}", episodes=episodes)


def table(runs: Path, counts: Sequence[int], seeds: Sequence[int]) -> str:
    """Formats mean accuracies over seeds, with intervals over episodes."""
    columns = [(count, shot) for count in counts for shot in SHOTS]
    heads = [f"{count} labelled texts, {shot} shots" for count, shot in columns]
    cells: dict[str, list[str]] = {
        name: [] for name in ("frozen", *SIDES, "difference")
    }
    for count, shot in columns:
        results = {
            name: accuracies(runs, name, count, seeds, shot) for name in SIDES
        }  # [2, episodes] each.
        (frozen, plain), (_, varied) = results.values()
        sides = zip(("frozen", *SIDES), (frozen, plain, varied), strict=True)
        for name, by_episode in sides:
            cells[name].append(common.percent(evaluation.mean_interval(by_episode)))
        difference = evaluation.paired_interval(plain, varied)
        cells["difference"].append(common.percent(difference, "+"))
    rows = ([name, *row] for name, row in cells.items())
    return common.markdown_table(["accuracy (%)", *heads], rows)


def accuracies(
    runs: Path, name: str, count: int, seeds: Sequence[int], shot: int
) -> np.ndarray:
    """Averages over seeds the accuracy of each episode, frozen and meta-trained.

    The result is `[2, episodes]`.
    """
    folders = [run_of(runs, name, count, seed) for seed in seeds]
    results = []
    for folder in folders:
        records = common.read_jsonl(folder / f"shot{shot}.episodes.jsonl")
        results.append(
            [[r[moment]["accuracy"] for r in records] for moment in ("before", "after")]
        )
    return np.mean(results, axis=0)


def run_of(runs: Path, name: str, count: int, seed: int) -> Path:
    return runs / f"{name.replace(' ', '-')}-{count}-{seed}"


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
