"""Output layers of masked language models, and weight files that hold them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from metaflax.models.families import _tensor_names
from metaflax.models.families._contract import Contents, Files
from metaflax.models.families._encoder_files import EncoderFiles, left_out_names
from metaflax.models.layers._config import EncoderConfig
from metaflax.models.layers._modules import TiedWordHead
from metaflax.models.pretrained import _files, _places
from metaflax.models.pretrained._account import Place


class WordHead(NamedTuple):
    """The output layer of a family, and names of its tensors in Hugging Face's files.

    Attributes:
      dense: module of the dense layer.
      norm: module of the norm.
      bias: tensor of the bias of all words.
      decoder: module of the product with the word embeddings, whose tied weights are
        left out.
      module: `module = module(config, dtype)`, the layer.
    """

    dense: str
    norm: str
    bias: str
    decoder: str
    module: Callable[[Any, Any], TiedWordHead] = TiedWordHead

    def init(self, files: EncoderFiles, config: EncoderConfig, key: chex.PRNGKey):
        """Draws the parameters of a layer on top of an encoder."""
        words = files.places(config).values()
        shape = next(w.shape for w in words if getattr(w, "path", "") == _WORD)
        state, word = jnp.zeros((1, config.hidden_size)), jnp.zeros(shape)
        return self.module(config, jnp.float32).init(key, state, word)["params"]

    def places(
        self, files: EncoderFiles, config: EncoderConfig
    ) -> dict[str, _places.Target]:
        """Returns where the tensors of the layer go, by name."""
        key = jax.random.key(0)
        leaves = jax.eval_shape(lambda key: self.init(files, config, key), key)
        num_in, num_out = leaves["dense"]["kernel"].shape
        has_bias = {part: "bias" in leaves[part] for part in ("dense", "norm")}
        dense = _tensor_names.dense(
            self.dense, "head/dense", num_in, num_out, use_bias=has_bias["dense"]
        )
        norm = _tensor_names.norm(
            self.norm, "head/norm", num_out, use_bias=has_bias["norm"]
        )
        return {**dense, **norm, self.bias: Place("head/bias", leaves["bias"].shape)}


_WORD = "embeddings/word"


def read(
    files: EncoderFiles,
    head: WordHead,
    directory: Path,
    content: Mapping[str, Any],
    config: EncoderConfig,
) -> Contents:
    """Reads an encoder, and the output layer of its pretraining if there is one."""
    if not content.get("tie_word_embeddings", True):
        raise ValueError(
            f"{directory / 'config.json'}: the network ties its output layer to the"
            " word embeddings, and tie_word_embeddings is false."
        )
    targets, of_head = _encoder_places(files, config), head.places(files, config)
    # A classifier's first layer may have the names of the dense layer.
    telling = {name for name in of_head if not name.startswith(f"{files.hidden}.")}
    if not telling.isdisjoint(map(files.clean, _files.stored_tensors(directory))):
        targets |= of_head
    ignored = (*left_out_names(files), f"{head.decoder}.")

    def rename(name: str) -> str | None:
        name = files.clean(name)
        return name if name in targets or not name.startswith(ignored) else None

    return Contents(*_places.read(directory, targets, rename))


def write(
    files: EncoderFiles, head: WordHead, config: EncoderConfig, params: Any, *_: Any
) -> Files:
    """Lays out a masked language model."""
    of_head = head.places(files, config)
    tensors = _places.tensors_of(params, _encoder_places(files, config) | of_head)
    tensors = {
        name if name in of_head else files.prefix + name: tensor
        for name, tensor in tensors.items()
    }
    return Files(config, tensors, None, f"{files.architecture}ForMaskedLM")


def _encoder_places(
    files: EncoderFiles, config: EncoderConfig
) -> dict[str, _places.Target]:
    return {
        name: _places.below("encoder", place)
        for name, place in files.places(config).items()
    }
