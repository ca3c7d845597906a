"""Pseudo-classes for meta-training: k-means clusters of texts without labels.

The published models of this protocol use all texts of the data set, without labels,
before meta-training. Accordingly, the texts of validation and test classes, without
labels and shuffled, are clustered by the encoder that was meta-trained on the labelled
classes; clusters are further classes of meta-training.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments import common
from metaflax import workflows


def write(
    texts: Sequence[str], number: int, run_dir: Path, out: Path, console: Console
) -> None:
    """Writes texts labelled with their clusters.

    Args:
      texts: texts of the classes not in training.
      number: number of clusters.
      run_dir: a run that was meta-trained on the classes in training.
      out: file to write.
      console: where a summary goes.
    """
    if out.exists():
        return
    order = np.random.default_rng(0).permutation(len(texts))
    file = out.with_name("texts.jsonl")
    common.write_jsonl(file, ({"text": texts[i]} for i in order))
    workflows.cluster(file, out, console, number=number, run_dir=run_dir)
