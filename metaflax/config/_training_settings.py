"""The outer loop of a run."""

import dataclasses
from typing import Literal

from metaflax.config._renamed import accepts_former_names


@accepts_former_names("training")
@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The outer loop.

    Examples:
      >>> from metaflax import config
      >>> training = config.TrainingConfig(trains=("*", "!encoder/embeddings"))
      >>> data = config.DataConfig(path="pets.csv")
      >>> config.check(config.Config(data=data, training=training))
      >>> longer = config.TrainingConfig(warmup=2)
      >>> config.check(config.Config(data=data, training=longer))
      Traceback (most recent call last):
        ...
      ValueError: warmup is 2; give a share of the steps from 0 to 1.
    """

    steps: int = 500
    """Maximum number of outer steps, the updates of meta-training."""
    tasks_per_step: int = 4
    """Episodes (tasks) per outer step."""
    task_loop: Literal["auto", "scan", "vmap"] | int = "auto"
    """Loop over the tasks of a step: one after another (scan), all at once (vmap), or
    this many at once; auto chooses by device and memory."""
    optimizer: str = "adamw"
    """Outer optimizer: a name in optax, such as adamw, or an import path such as
    `optax.contrib:muon`."""
    learning_rate: float = 2e-5
    """Peak learning rate of the outer optimizer."""
    head_learning_rate: float | None = None
    """Peak outer learning rate of parameters under `head`; by default as
    `learning_rate`."""
    hyper_learning_rate: float | None = None
    """Peak outer learning rate of what an inner optimizer learns, such as its rates; by
    default as `learning_rate`."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Decay of the learning rate after warm-up."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises from 0 to its peak."""
    weight_decay: float = 0.01
    """Weight decay of matrices in the outer optimizer."""
    clip_norm: float | None = 1.0
    """Maximum global norm of the meta-gradient; None does not clip."""
    trains: tuple[str, ...] = ("*",)
    """Patterns of the parameter paths that the outer loop trains; `!` excludes a
    pattern."""
    dropout: bool = True
    """Whether dropout is on in training."""
    eval_every: int = 50
    """Outer steps between validations, each of which saves a checkpoint."""
    valid_episodes: int = 200
    """Episodes per validation, always the same ones."""
    patience: int | None = 5
    """Validations without improvement before early stopping; None never stops early."""
    max_skipped_steps: int = 0
    """Steps in a row with a non-finite loss or gradient that are skipped before the run
    ends; 0 ends it at the first."""
    interpolate: tuple[float, ...] = (1.0,)
    """Candidate shares of the way from pretrained to trained weights; validation
    selects one."""
    seed: int = 0
    """Seed of episodes, new parameters and dropout."""
    log_sinks: tuple[str, ...] = ()
    """Where metrics are logged beside `log.jsonl`: tensorboard, wandb, mlflow, trackio
    (each an extra), or an import path `package.module:attribute`."""
    select_by: str | None = None
    """Metric on validation episodes that selects parameters, more is better: one of the
    task type's scores, or the import path of a function `metric(outputs, targets,
    weights)`; by default the task type's first score."""
