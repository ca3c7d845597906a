"""What answers are compared with, and how results are written."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from metaflax import config as config_lib
from metaflax import data, evaluation, workflows
from metaflax.workflows import Setting

OURS = "meta-trained"


def frozen(config: config_lib.Config, head: str) -> list[Setting | None]:
    """A head below the pretrained encoder, of several strengths where it has one."""
    strengths = (10.0, 1.0, 0.1, 0.01) if head == "logistic_regression" else (1.0,)
    return [
        *workflows.frozen_settings(
            config, pooling=("mean",), head=(head,), strength=strengths
        )
    ]


def answers(
    config: config_lib.Config,
    run_dir: Path,
    episodes: data.GivenEpisodes,
    setting: Setting | None,
) -> np.ndarray:
    """Logits of a baseline, or of the run, `[E, Q, N]`."""
    if setting is None:
        return workflows.score_episodes(run_dir, episodes).logits
    model, algorithm = setting
    baseline = dataclasses.replace(config, model=model, algorithm=algorithm)
    return workflows.score_pretrained(baseline, episodes).logits


def said(interval: evaluation.Interval, sign: str = "") -> str:
    """A mean and its interval, in percent."""
    return f"{100 * interval.mean:{sign}.1f} ± {100 * interval.half_width:.1f}"


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
