"""Methods that a pretrained decoder is compared with, and their settings."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.common import _zero_shot
from metaflax import config as config_lib

ZERO_SHOT, IN_CONTEXT, FINE_TUNED = "zero-shot", "in context", "fine-tuned"
JOINT = "joint, fine-tuned"
META = "fomaml", "metaicl"
BASELINES = JOINT, FINE_TUNED, IN_CONTEXT, ZERO_SHOT
# Folders of the runs that methods start from; the others start from the plain model.
TRAINED = {JOINT: "joint", "fomaml": "fomaml", "metaicl": "metaicl"}

# Settings of `compare_decoders` without `fomaml` and the rate 0.03, which lost on the
# validation tasks of both code and dialogue and take a third of the time.
METAICL_ALONE = {"meta": ("metaicl",), "rates": (3e-3, 1e-2)}

# Algorithms of the methods with inner steps, whose rate is selected.
_WITH_STEPS = {"fomaml": "fomaml", FINE_TUNED: "fine_tuning", JOINT: "joint"}

# The last ten of SmolLM2's thirty layers: those before run once per episode.
LAST_LAYERS = "encoder/layer_2?"
FACTORS = f"{LAST_LAYERS}/*/lora"


class Candidate(NamedTuple):
    """A method with one setting.

    Attributes:
      method: its name.
      algorithm: its settings.
    """

    method: str
    algorithm: config_lib.AlgorithmConfig


def decoder_config(
    path: Path,
    task: str,
    split_names: Mapping[str, Sequence[str]],
    *,
    max_length: int,
    max_target_length: int = 24,
    template: str | None = None,
    steps: int = 60,
    learning_rate: float = 2e-4,
    inner_learning_rate: float = 1e-2,
    episodes: config_lib.EpisodeConfig | None = None,
    evaluation: config_lib.EvaluationConfig | None = None,
) -> config_lib.Config:
    """Builds the config of a comparison from SmolLM2-135M-Instruct.

    The outer loop trains the last ten layers, the inner loop their LoRA factors of
    rank 8, by three steps of Adam.

    Args:
      path: JSONL of texts with a field `domain`.
      task: the task type.
      split_names: the domains of each split.
      max_length: tokens of an input.
      max_target_length: tokens of a target.
      template: how an example is written; None for none.
      steps: outer steps, of one episode each.
      learning_rate: learning rate of the outer optimizer.
      inner_learning_rate: learning rate of the inner steps of `fomaml`.
      episodes: sizes of episodes (default: four support examples and two queries).
      evaluation: number and seed of test episodes (default: 100 episodes).

    Returns:
      The config of `fomaml`, for `compare_decoders`.

    Examples:
      >>> splits = {"train": ("a", "b"), "valid": ("c",), "test": ("d",)}
      >>> path = Path("pairs.jsonl")
      >>> settings = decoder_config(path, "translation", splits, max_length=30)
      >>> settings.model.name, settings.model.lora_rank, settings.algorithm.num_steps
      ('smollm2', 8, 3)
    """
    return config_lib.Config(
        model=config_lib.ModelConfig("smollm2", lora_rank=8, layer_loop="unroll"),
        data=config_lib.DataConfig(
            path=str(path),
            task=task,
            domain="domain",
            split_by="domain",
            split_names={split: tuple(names) for split, names in split_names.items()},
            max_length=max_length,
            max_target_length=max_target_length,
            **({} if template is None else {"template": template}),
        ),
        episodes=episodes or config_lib.EpisodeConfig(shot=4, queries=2),
        algorithm=config_lib.AlgorithmConfig(
            name="fomaml",
            adapts=(FACTORS,),
            inner_optimizer="adam",
            inner_learning_rate=inner_learning_rate,
            num_steps=3,
        ),
        training=config_lib.TrainingConfig(
            steps=steps,
            tasks_per_step=1,
            learning_rate=learning_rate,
            trains=(LAST_LAYERS,),
            eval_every=steps,
            valid_episodes=4,
            patience=None,
        ),
        evaluation=evaluation
        or config_lib.EvaluationConfig(test_episodes=100, batch_episodes=1),
    )


def candidates(
    algorithm: config_lib.AlgorithmConfig,
    rates: Sequence[float],
    meta: Sequence[str] = META,
) -> list[Candidate]:
    """Lists the settings of all methods that validation selects from.

    Args:
      algorithm: the settings of `fomaml`.
      rates: learning rates of inner steps and of fine-tuning.
      meta: the meta-learned methods, of `META`.

    Examples:
      >>> from metaflax import config
      >>> each = candidates(config.AlgorithmConfig("fomaml"), (1e-3, 1e-2))
      >>> [c.algorithm.inner_learning_rate for c in each if c.method == "fine-tuned"]
      [0.001, 0.01]
    """

    def of(method: str, name: str, **settings: float) -> Candidate:
        return Candidate(method, dataclasses.replace(algorithm, name=name, **settings))

    tuned = [
        of(method, name, inner_learning_rate=rate)
        for method, name in _WITH_STEPS.items()
        for rate in rates
    ]
    listed = [
        of("metaicl", "metaicl"),
        *tuned,
        of(IN_CONTEXT, "in_context"),
        of(ZERO_SHOT, _zero_shot.NAME),
    ]
    return [each for each in listed if each.method in (*meta, *BASELINES)]
