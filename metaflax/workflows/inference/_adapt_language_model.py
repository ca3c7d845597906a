"""Adapting a language model to a support set."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from metaflax import base, data, models, tasks, tree
from metaflax import config as config_lib
from metaflax.workflows.runs._episodes import coarse_buckets, losses_of_cutting_pairs
from metaflax.workflows.runs._language_model import Speaker, within
from metaflax.workflows.runs._run import Trained, load_trained, load_untrained


def trained_speaker(run_dir: str | Path | None, config: config_lib.Config) -> Trained:
    """The best of a run, or without one the pretrained model of a config."""
    if run_dir is not None:
        return load_trained(run_dir)
    trained = load_untrained(config, 1)
    assert isinstance(trained.model, Speaker)
    texts = within(trained.model, config.data)
    return trained._replace(config=dataclasses.replace(config, data=texts))


def adapt_speaker(
    examples: data.Examples,
    target: Path,
    console: Console,
    trained: Trained,
    task: tasks.TaskType,
) -> Path:
    """Learns from texts and what is to be said of them.

    Args:
      examples: the support set.
      target: the directory to write.
      console: where to say what was done.
      trained: the language model and its meta-parameters.
      task: a task type that generates.

    Returns:
      The directory.
    """
    model, config = trained.model, trained.config
    assert isinstance(model, Speaker)
    assert task.texts is not None
    pairs = model.tokenize_pairs(
        examples.texts, examples.targets or (), config.data, task.texts
    )
    algorithm = config_lib.build_algorithm(
        config.algorithm,
        model.encoder,
        model.init,
        task,
        1,
        num_steps=config.algorithm.eval_num_steps,
    )
    adapted: Any = jax.jit(algorithm.adapt)(trained.params, support_of(pairs))[0]
    params = tree.merge(adapted["encoder"], trained.params["encoder"])
    save_speaker(target, model, params, config)
    cut = losses_of_cutting_pairs(pairs)
    console.print(
        f"adapted to {config.data.task} from {len(examples)} texts{cut}: {target}",
        soft_wrap=True,
    )
    return target


def support_of(pairs: data.TokenizedPairs) -> base.Batch:
    """All pairs as one support set."""
    rows = np.arange(len(pairs.inputs), dtype=np.int32)
    none = np.zeros(len(rows), np.int32)
    episode = data.Episode((), None, rows, none, rows[:0], none[:0])
    task = data.collate_pairs(
        [episode],
        pairs,
        buckets=coarse_buckets(pairs.prompts, pairs.inputs),
        num_classes=1,
        num_support=len(rows),
        num_queries=0,
    )
    return jax.tree.map(lambda x: x[0], task.support)


def save_speaker(
    target: Path, model: Speaker, params: Any, config: config_lib.Config
) -> None:
    """Writes a language model that knows what it is for."""
    params = jax.tree.map(np.asarray, models.merge_lora(params))
    own = model.pretrained.config
    is_gpt = isinstance(own, models.GPTConfig)
    save: Any = models.pretrained.save_gpt if is_gpt else models.pretrained.save_seq2seq
    save(
        target,
        own,
        params,
        tokenizer_from=model.pretrained.directory,
        purpose={
            "task": config.data.task,
            "max_length": config.data.max_length,
            "max_target_length": config.data.max_target_length,
        },
    )
