"""Folds of a data set, and how the sizes of their test episodes are described."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaflax import config as config_lib
from metaflax.config._names import check_file_name

# Name of the only fold of a split file without folds.
ONLY = "split"
# Way and queries of the published scores.
PUBLISHED = (5, 5)


def read_folds(
    config: config_lib.Config, names: list[str] | None
) -> dict[str, config_lib.Config]:
    """Reads which folds the split file of a config has.

    Entries of the file that are no objects, such as a note of its source, are ignored.
    A file of `train`, `valid` and `test` alone is one fold.

    Args:
      config: config with a split file.
      names: names of the folds to read; None for all.

    Returns:
      The config of each fold.

    Raises:
      ValueError: if there is no split file, it holds no folds, or no such fold.
    """
    assert config.data.split_file is not None  # config.py sets one.
    content = _read_object(Path(config.data.split_file))
    folds: dict[str, str | None]
    if {"train", "valid", "test"} <= set(content):
        folds = {ONLY: None}
    else:
        folds = {name: name for name, it in content.items() if isinstance(it, dict)}
    if not folds:
        raise ValueError(f"{config.data.split_file} holds no folds; see README.md.")
    if unknown := [name for name in names or () if name not in folds]:
        raise ValueError(f"there is no fold {unknown[0]}, of {', '.join(folds)}.")
    selected = [*(names or folds)]
    for name in selected:
        check_file_name(name)  # A fold has a folder of its name.
    return {name: _on_fold(config, folds[name]) for name in selected}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError:
        raise ValueError(
            f"there is no {path}; set METAFLAX_DATA to what holds clinc150, or give"
            " --data."
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); see README.md.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object of folds; see README.md.")
    return content


def _on_fold(config: config_lib.Config, fold: str | None) -> config_lib.Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, fold=fold))


def are_alike(sizes: Mapping[str, config_lib.EpisodeConfig]) -> bool:
    """Returns whether the test episodes of all folds have the same sizes."""
    return len({(each.way, each.queries) for each in sizes.values()}) == 1


def described(sizes: Mapping[str, config_lib.EpisodeConfig]) -> str:
    """Describes the sizes of test episodes by fold.

    Examples:
      >>> five = config_lib.EpisodeConfig(way=5, queries=5)
      >>> four = config_lib.EpisodeConfig(way=4, queries=5)
      >>> print(described({"01": five, "02": five}))
      Test episodes: 5-way, 5 queries a class.
      >>> print(described({"01": four, "02": five}))
      Test episodes of fold 01: 4-way, 5 queries a class (published: 5-way, 5 queries).
      Test episodes of fold 02: 5-way, 5 queries a class.
      These differ, so there is no mean over all folds.
    """
    if are_alike(sizes):
        return _line("Test episodes", next(iter(sizes.values())))
    lines = [_line(f"Test episodes of fold {name}", it) for name, it in sizes.items()]
    return "\n".join([*lines, "These differ, so there is no mean over all folds."])


def _line(what: str, sizes: config_lib.EpisodeConfig) -> str:
    way, queries = PUBLISHED
    published = f" (published: {way}-way, {queries} queries)"
    shown = "" if (sizes.way, sizes.queries) == PUBLISHED else published
    return f"{what}: {sizes.way}-way, {sizes.queries} queries a class{shown}."
