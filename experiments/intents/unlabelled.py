"""Pseudo-classes for meta-training: k-means clusters of texts without labels.

The published models of this protocol use all texts of the data set, without labels,
before meta-training. Accordingly, the texts of validation and test classes, without
labels and shuffled, are clustered by the encoder that was meta-trained on the labelled
classes; clusters are further classes of meta-training.
"""

import json
from pathlib import Path

import numpy as np
from rich.console import Console

from metaflax import workflows


def write(
    examples: Path,
    train: list[str],
    number: int,
    run_dir: Path,
    out: Path,
    console: Console,
) -> None:
    """Writes texts of the classes not in training, labelled with their clusters.

    Args:
      examples: the data set.
      train: names of the training classes.
      number: number of clusters.
      run_dir: a run that was meta-trained on these classes.
      out: file to write.
      console: where a summary goes.
    """
    if out.exists():
        return
    rows = [json.loads(line) for line in examples.read_text().splitlines()]
    unlabelled = [row["text"] for row in rows if row["label"] not in set(train)]
    order = np.random.default_rng(0).permutation(len(unlabelled))
    texts = out.with_name("texts.jsonl")
    lines = (json.dumps({"text": unlabelled[i]}) for i in order)
    texts.write_text("\n".join(lines) + "\n")
    workflows.cluster(texts, out, console, number=number, run_dir=run_dir)
