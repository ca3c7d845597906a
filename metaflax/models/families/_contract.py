"""Types of the fields of a model family."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

AddFn: TypeAlias = Callable[[Any, Any, int], Any]
Setting: TypeAlias = Literal["lora_rank", "adapter_size", "context_size", "prefix_size"]


class Contents(NamedTuple):
    """Contents of the weight files of a checkpoint.

    Attributes:
      params: the parameters.
      ignored: names of tensors that were left out.
      head: output layer `{"kernel": [D, N], "bias": [N]}`, None for none.
      labels: its N class names.
      config: of the network, where the tensors show another than config.json has; None
        for that one.
    """

    params: Any
    ignored: tuple[str, ...] = ()
    head: Mapping[str, Any] | None = None
    labels: tuple[str, ...] | None = None
    config: Any = None


class Files(NamedTuple):
    """Config and tensors of a model to write.

    Attributes:
      config: of the network as written.
      tensors: of the weight file, by name.
      head: output layer that the weight file does not hold, None for none.
      architecture: Hugging Face's name of the class that reads it, None for none.
      pooling: of the features that the head in the weight file takes, where it is
        another than "pooler".
    """

    config: Any
    tensors: Mapping[str, np.ndarray]
    head: Mapping[str, Any] | None = None
    architecture: str | None = None
    pooling: str | None = None


class ReadFn(Protocol):
    """Reads weights: `contents = read(directory, content, config)`.

    `content` is that of config.json, and `config` is parsed from it by `config_class`.
    """

    def __call__(
        self, directory: Path, content: Mapping[str, Any], config: Any, /
    ) -> Contents: ...


class WriteFn(Protocol):
    """Lays out weights: `files = write(config, params, head, pooling, standardize)`."""

    def __call__(
        self,
        config: Any,
        params: Any,
        head: Mapping[str, Any] | None,
        pooling: str,
        standardize: bool,
        /,
    ) -> Files: ...


class TextBounds(NamedTuple):
    """Begin and end tokens of a generative model's texts, and their maximum lengths.

    Attributes:
      begin: id of the token before a generated text, None for none.
      end: id of the token that ends it, None for none.
      separate: whether a separate encoder takes the input.
      max_input: maximum number of input tokens.
      max_target: maximum number of generated tokens; where inputs are not `separate`,
        both together have at most `max_input`.
      further_ends: ids beside `end` at which generation stops.
    """

    begin: int | None
    end: int | None
    separate: bool
    max_input: int
    max_target: int
    further_ends: tuple[int, ...] = ()


class Sizes(NamedTuple):
    """Sizes of a new network.

    Attributes:
      vocab_size: of its tokenizer.
      width: features of a token.
      layers: number of layers.
      heads: attention heads of a layer.
      positions: maximum length of a text in tokens.
      dropout: rate of all dropout.
      mlp_width: width of feed-forward blocks; None for four times `width`.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    positions: int
    dropout: float = 0.1
    mlp_width: int | None = None


class NewModel(NamedTuple):
    """Configuration and tokenizer of models with random weights.

    Attributes:
      config: `config = config(sizes)`, of a network of the `Sizes`.
      tokenizer: kind of tokenizer that `train_tokenizer` learns for it.
    """

    config: Callable[[Sizes], Any]
    tokenizer: Literal["gpt", "seq2seq", "bert"]


class MaskedLMFamily(NamedTuple):
    """Masked language models of a family of encoders.

    Attributes:
      network: `model = network(config, *, dtype, layer_loop, remat)`, a `MaskedLM`.
      init_head: `head = init_head(config, key)`, a new output layer.
      read: as `ModelFamily.read`, of parameters `{"encoder": ..., "head": ...}`,
        without `head` where the checkpoint has none.
      write: as `ModelFamily.write`, of such parameters.
    """

    network: Callable[..., Any]
    init_head: Callable[..., Any]
    read: ReadFn
    write: WriteFn
