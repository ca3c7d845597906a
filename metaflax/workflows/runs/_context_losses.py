"""Support examples that do not fit the context of a model, counted before training."""

import numpy as np

from metaflax import config as config_lib
from metaflax import data
from metaflax.config._factories import resolve_algorithm
from metaflax.workflows.runs._episodes import Episodes
from metaflax.workflows.runs._loaded_model import LoadedModel

# Number of episodes of each split that are checked.
NUM_EPISODES = 100


def context_notes(
    config: config_lib.Config, model: LoadedModel, splits: dict[str, Episodes]
) -> list[str]:
    """Describes support examples that exceed the context, for in-context algorithms.

    Args:
      config: config of the run.
      model: model of the run.
      splits: episodes by the name of their split.

    Returns:
      A sentence for each split with support examples that are left out.

    Raises:
      ValueError: if any are left out and `on_long` is `error`.
    """
    size = model.context_size(config.data)
    if size is None or not resolve_algorithm(config.algorithm.name).in_context:
        return []
    notes = []
    for name, episodes in splits.items():
        left_out, total = _left_out(episodes, size)
        if left_out:
            notes.append(
                f"meta-{name}: {left_out} of {total} support examples of the first"
                f" {NUM_EPISODES} episodes do not fit a context of {size} tokens and"
                " are left out whole; lower shot, max_length or max_target_length."
            )
    if notes and config.data.on_long == "error":
        raise ValueError(f"{notes[0].removesuffix('.')}, or set on_long to 'truncate'.")
    return notes


def _left_out(episodes: Episodes, size: int) -> tuple[int, int]:
    """Counts the support examples that are left out, and all support examples."""
    lengths, left_out, total = episodes.texts.example_lengths(), 0, 0
    for episode in data.fixed_list(episodes.sampler, 0, NUM_EPISODES):
        ends = np.cumsum(lengths[episode.support])
        left_out, total = left_out + int(np.sum(ends > size)), total + len(ends)
    return left_out, total
