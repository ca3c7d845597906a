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


def write(
    examples: Path,
    train: list[str],
    number: int,
    run_dir: Path,
    out: Path,
    console: Console,
) -> None:
    """Writes texts of classes that are not of training, with clusters for labels.

    Args:
      examples: the data set.
      train: names of the training classes.
      number: number of clusters.
      run_dir: meta-trained on these.
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
