"""Settings of pretraining by masked language modelling."""

import dataclasses
import math
from typing import Literal

from metaflax import _optimizers
from metaflax.config._renamed import accepts_former_names
from metaflax.config._training_settings import TrainingConfig


@accepts_former_names("network")
@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """The encoder to pretrain, from pretrained or new weights.

    Examples:
      >>> from metaflax import config
      >>> network = config.NetworkConfig(fresh=True, num_layers=2, hidden_size=128)
      >>> network.hidden_size // network.num_heads
      32
    """

    model: str = "minilm"
    """Directory or Hugging Face hub name of an encoder; `minilm` is all-MiniLM-L6-v2,
    fetched by pip."""
    fresh: bool = False
    """Whether to initialise new weights, of the sizes in this group; the tokenizer is
    that of `model`."""
    num_layers: int = 4
    """Number of layers, with new weights."""
    hidden_size: int = 256
    """Features per token, with new weights."""
    num_heads: int = 4
    """Attention heads per layer, with new weights."""
    intermediate_size: int = 1024
    """Width of the feed-forward layers, with new weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters are float32."""
    layer_loop: Literal["auto", "scan", "unroll"] = "auto"
    """Whether layers run in one `scan`, which compiles faster, or unrolled; auto scans
    from 36 layers on."""
    remat: Literal["none", "dots", "layers"] = "none"
    """Activations recomputed in the backward pass to save memory: none, all but matrix
    products (dots), or whole layers."""


@dataclasses.dataclass(frozen=True)
class RawTextConfig:
    """Raw text and its masking.

    Examples:
      >>> from metaflax import config
      >>> text = config.RawTextConfig(text="notes.txt", length=64)
      >>> text.mask_rate * text.length
      9.6
    """

    text: str = ""
    """File with one text per line, preferably a sentence, or JSONL."""
    column: str = "text"
    """Column of the text, if the file has columns."""
    length: int = 128
    """Tokens per row; rows are packed with consecutive texts."""
    mask_rate: float = 0.15
    """Share of tokens to predict, selected as whole words."""
    held_out: float = 0.05
    """Share of the texts, at the end of the file, held out for validation."""


@accepts_former_names("training")
@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Settings of the training loop.

    Examples:
      >>> from metaflax import config
      >>> loop = config.LoopConfig(steps=10_000, warmup=0.05, rows_per_step=64)
      >>> f"{loop.warmup * loop.steps:.0f} steps of warm-up, {loop.schedule} decay"
      '500 steps of warm-up, linear decay'
    """

    steps: int = 10000
    """Maximum number of training steps."""
    rows_per_step: int = 32
    """Rows of tokens per training step."""
    rows_at_once: int | None = None
    """Rows per forward and backward pass, to save memory (default: all of a step)."""
    optimizer: str = "adamw"
    """Optimizer: a name in optax, such as adamw, or an import path such as
    `optax.contrib:muon`."""
    learning_rate: float = 1e-4
    """Peak learning rate of the optimizer."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Decay of the learning rate after warm-up."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises from 0 to its peak."""
    weight_decay: float = 0.01
    """Weight decay of matrices in the optimizer."""
    clip_norm: float | None = 1.0
    """Maximum global norm of the gradient; None does not clip."""
    dropout: bool = True
    """Whether dropout is on in training."""
    eval_every: int = 500
    """Training steps between validations, each of which saves a checkpoint."""
    valid_rows: int = 256
    """Maximum number of held-out rows per validation, always the same ones."""
    patience: int | None = None
    """Validations without improvement before early stopping; None never stops early."""
    max_skipped_steps: int = 0
    """Steps in a row with a non-finite loss or gradient that are skipped before the run
    ends; 0 ends it at the first."""
    seed: int = 0
    """Seed of rows, masking, new weights and dropout."""


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """Config of a pretraining run.

    Examples:
      >>> from metaflax import config
      >>> pretraining = config.PretrainConfig(
      ...     network=config.NetworkConfig(fresh=True, num_layers=2),
      ...     text=config.RawTextConfig(text="notes.txt", length=64),
      ...     training=config.LoopConfig(steps=1000),
      ... )
      >>> tokens = pretraining.training.rows_per_step * pretraining.text.length
      >>> tokens * pretraining.training.steps
      2048000
    """

    network: NetworkConfig = NetworkConfig()
    text: RawTextConfig = RawTextConfig()
    training: LoopConfig = LoopConfig()


def check_outer_optimizer(training: LoopConfig | TrainingConfig) -> None:
    """Raises ValueError if an optimizer or a number of its settings is invalid."""
    _optimizers.by_name(training.optimizer)
    _optimizers.check_rates(learning_rate=training.learning_rate)
    _optimizers.check_clip_norm(training.clip_norm)
    if not 0 <= training.warmup <= 1:
        raise ValueError(
            f"warmup is {training.warmup}; give a share of the steps from 0 to 1."
        )
    if not 0 <= training.weight_decay < math.inf:
        raise ValueError(
            f"weight_decay is {training.weight_decay}; give a finite number, 0 or more."
        )


def check_pretraining(config: PretrainConfig) -> None:
    """Raises ValueError if a setting of pretraining is invalid.

    Raises:
      ValueError: with the setting and its allowed values.
    """
    network, text, training = config.network, config.text, config.training
    counts = {
        "num_layers": network.num_layers,
        "num_heads": network.num_heads,
        "intermediate_size": network.intermediate_size,
        "steps": training.steps,
        "rows_per_step": training.rows_per_step,
        "eval_every": training.eval_every,
        "valid_rows": training.valid_rows,
    }
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}; give 1 or more.")
    if network.hidden_size < 1 or network.hidden_size % network.num_heads:
        raise ValueError(
            f"hidden_size is {network.hidden_size}; give a multiple of num_heads="
            f"{network.num_heads}."
        )
    check_outer_optimizer(training)
    if training.max_skipped_steps < 0:
        raise ValueError(
            f"max_skipped_steps is {training.max_skipped_steps}; give 0 or more."
        )
    for name, share in (("mask_rate", text.mask_rate), ("held_out", text.held_out)):
        if not 0 < share < 1:
            raise ValueError(f"{name} is {share}; give a share between 0 and 1.")
    at_once = training.rows_at_once
    if at_once is not None and (at_once < 1 or training.rows_per_step % at_once):
        raise ValueError(
            f"rows_at_once is {at_once}; give a divisor of rows_per_step="
            f"{training.rows_per_step}."
        )
