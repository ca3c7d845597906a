"""Baselines, and the format of results."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from experiments import common
from metaflax import config as config_lib
from metaflax import data

OURS = "meta-trained"


def frozen(config: config_lib.Config, head: str) -> list[common.Setting | None]:
    """Settings of a head on the frozen encoder, with several strengths if any."""
    strengths = (10.0, 1.0, 0.1, 0.01) if head == "logistic_regression" else (1.0,)
    return [
        *common.frozen_settings(
            config, pooling=("mean",), head=(head,), strength=strengths
        )
    ]


def answers(
    config: config_lib.Config,
    run_dir: Path,
    episodes: data.FixedEpisodes,
    setting: common.Setting | None,
) -> np.ndarray:
    """Computes logits of a baseline, or of the run, `[E, Q, N]`."""
    if setting is None:
        return common.score_episodes(run_dir, episodes).logits
    model, algorithm = setting
    baseline = dataclasses.replace(config, model=model, algorithm=algorithm)
    return common.score_pretrained(baseline, episodes).logits


percent = functools.partial(common.percent, digits=1)
