"""Pseudo-labels of unlabelled texts by k-means."""

import json
from pathlib import Path

import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import tasks
from metaflax._files import atomic_write
from metaflax.data.raw_text import _clusters
from metaflax.data.sources._input_texts import read_texts
from metaflax.workflows.data_preparation._jsonl_output import check_new
from metaflax.workflows.inference._pretrained_config import without_run
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._embedder import embedder
from metaflax.workflows.runs._trained import fitted, load_trained, load_untrained


def cluster(
    source: str | Path,
    out: str | Path,
    console: Console | None = None,
    *,
    number: int,
    run_dir: str | Path | None = None,
    model: str = "minilm",
    column: str = "text",
    seed: int = 0,
) -> int:
    """Writes texts with pseudo-labels for meta-training.

    The pseudo-labels are k-means clusters of feature vectors, either of the encoder of
    a run, which was meta-trained on classes of other data, or of a pretrained encoder.
    Existing labels of the texts are ignored. The same arguments write the same file,
    which is written whole or not at all.

    Args:
      source: texts, as a file, a folder or a data set of the hub.
      out: the JSONL file of `text` and `label` to write, which must not exist.
      console: where a summary goes; None for nowhere.
      number: number of clusters.
      run_dir: a finished run on single texts; None to take `model`.
      model: directory or hub name of a pretrained encoder.
      column: column of texts, for a source with columns.
      seed: seed for the initial centres of k-means.

    Returns:
      The number of texts.

    Raises:
      ValueError: for an invalid source, run or model, or fewer texts than clusters,
        before anything is written.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     out = pathlib.Path(folder) / "clusters.jsonl"
      ...     _ = out.write_text("")
      ...     workflows.cluster("pets.csv", out, number=20)
      Traceback (most recent call last):
        ...
      ValueError: .../clusters.jsonl exists already; name a new file.

    References:
      Hsu et al., `Unsupervised Learning via Meta-Learning
      <https://arxiv.org/abs/1810.02334>`_, 2019 (CACTUs). Departure: the encoder may be
      one that was meta-trained on labels.
    """
    console = console_or_quiet(console)
    target = Path(out).expanduser()
    check_new(target)
    trained = (
        load_trained(run_dir)
        if run_dir
        else fitted(load_untrained(without_run(model, "frozen"), num_classes=2))
    )
    task = config_lib.build_task(trained.config)
    encoder = trained.model
    if encoder.family.generative or task.tokens or task.form != tasks.TEXT:
        raise ValueError(
            f"{run_dir or model} does not encode single texts as vectors; name a run"
            " of classification, or a pretrained encoder."
        )
    texts = list(read_texts(source, column=column))
    tokenized = encoder.tokenize(texts, trained.config.data, task.form)
    features = embedder(encoder)(
        trained.params["encoder"], tokenized, np.arange(len(texts))
    )
    try:
        clusters = _clusters.clusters(features, number, seed)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    width = len(str(number - 1))
    with atomic_write(target) as file:
        for text, label in zip(texts, clusters, strict=True):
            row = {"text": text, "label": f"cluster {label:0{width}}"}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    sizes = np.bincount(clusters)
    console.print(
        f"{len(texts)} texts in {number} clusters of {sizes.min()} to {sizes.max()}:"
        f" {target}",
        markup=False,
        soft_wrap=True,
    )
    return len(texts)
