"""Classes to meta-train on, made of texts whose labels nobody may see.

The published models of this protocol read all texts of the data set without labels
before they are meta-trained. So does this: the texts of validation and test classes,
labels cut off and order drawn anew, are clustered by the encoder that was meta-trained
on the labelled classes; clusters are classes of meta-training beside the labelled ones.
"""

import json
from pathlib import Path

import numpy as np
from rich.console import Console

from metaflax import workflows

NUM_CLUSTERS = 100


def write(
    examples: Path,
    split: dict[str, list[str]],
    run_dir: Path,
    out: Path,
    console: Console,
) -> None:
    """Writes `examples.jsonl` and `folds.json` with clusters among training classes.

    Args:
      examples: the data set.
      split: class names of `train`, `valid` and `test`.
      run_dir: meta-trained on the labelled classes of `train`.
      out: directory to write.
      console: where a summary goes.
    """
    if (out / "folds.json").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in examples.read_text().splitlines()]
    unlabelled = [r["text"] for r in rows if r["label"] not in set(split["train"])]
    order = np.random.default_rng(0).permutation(len(unlabelled))
    texts, clustered = out / "texts.txt", out / "clustered.jsonl"
    texts.write_text("".join(f"{unlabelled[i]}\n" for i in order))
    clustered.unlink(missing_ok=True)
    workflows.cluster(texts, clustered, console, number=NUM_CLUSTERS, run_dir=run_dir)
    made = [json.loads(line) for line in clustered.read_text().splitlines()]
    lines = [json.dumps({k: r[k] for k in ("text", "label")}) for r in rows + made]
    (out / "examples.jsonl").write_text("\n".join(lines) + "\n")
    names = sorted({row["label"] for row in made})
    whole = {**split, "train": [*split["train"], *names]}
    (out / "folds.json").write_text(json.dumps(whole))
