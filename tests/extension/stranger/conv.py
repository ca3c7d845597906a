"""A family of tiny convolutional encoders outside of the package."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp

from metaflax import models


@dataclasses.dataclass(frozen=True)
class ConvConfig:
    """Sizes of a convolution over embeddings of characters."""

    vocab_size: int = 128
    width: int = 16
    max_length: int = 64

    @classmethod
    def from_dict(cls, config):
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: config[name] for name in names if name in config})

    def to_dict(self):
        return dataclasses.asdict(self)


def conv_encoder(config, *, pooling="mean", standardize=False, **how):
    """Builds the encoder; `how` is about layers, of which it has one."""
    del how
    D = config.width

    def init(key):
        word, kernel = jax.random.split(key)
        return {
            "word": jax.random.normal(word, (config.vocab_size, D)),
            "kernel": jax.random.normal(kernel, (3, D, D)) * (3 * D) ** -0.5,
        }

    def apply(params, tokens, key=None):
        del key
        x = params["word"][jnp.asarray(tokens.ids)]
        x = x * jnp.asarray(tokens.mask)[:, :, None]
        x = jax.lax.conv_general_dilated(
            x, params["kernel"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )
        x = jnp.tanh(x)
        return models.pool(x, tokens, pooling, standardize=standardize)

    return models.Encoder(init, apply, D)


class Characters:
    """A tokenizer of characters."""

    pad_token_id, mask_token_id, mask_token = 0, None, None
    truncation_side, model_max_length, padding_side = "right", 10**9, "right"

    def __init__(self, vocab_size):
        self.vocab_size = vocab_size

    def __len__(self):
        return self.vocab_size

    def __call__(self, texts, *, max_length=None, truncation=False, **options):
        del options
        limit = max_length if truncation else None
        ids = [[1 + ord(c) % (self.vocab_size - 1) for c in t][:limit] for t in texts]
        return {"input_ids": ids}


def load_tokenizer(directory):
    """Loads the tokenizer of a directory."""
    content = json.loads((Path(directory) / "characters.json").read_text())
    return Characters(content["vocab_size"])


CONV = models.ModelFamily(
    model_type="tiny-conv",
    config_class=ConvConfig,
    encoder=conv_encoder,
    max_positions=lambda config: config.max_length,
    tokenizer=load_tokenizer,
    tokenizer_files=("characters.json",),
    import_path="stranger.conv:CONV",
)


def write_model(directory, scratch):
    """Writes a model with random weights."""
    config = ConvConfig()
    (Path(scratch) / "characters.json").write_text(
        json.dumps({"vocab_size": config.vocab_size})
    )
    params = conv_encoder(config).init(jax.random.key(0))
    CONV.save(directory, config, params, tokenizer_from=scratch)
