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
      config: configuration of the network, if the tensors imply another than that of
        config.json; else None.

    Examples:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from metaflax.models import families
      >>> def read(directory, content, config):
      ...     with np.load(directory / "weights.npz") as tensors:
      ...         params = {"word": tensors["embedding"]}
      ...         left = tuple(name for name in tensors if name != "embedding")
      ...     return families.Contents(params, ignored=left)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder)
      ...     np.savez(path / "weights.npz", embedding=np.ones((50, 8)), places=0)
      ...     contents = read(path, {}, None)
      >>> contents.params["word"].shape, contents.ignored
      ((50, 8), ('places',))
    """

    params: Any
    ignored: tuple[str, ...] = ()
    head: Mapping[str, Any] | None = None
    labels: tuple[str, ...] | None = None
    config: Any = None


class Files(NamedTuple):
    """Config and tensors of a model to write.

    Attributes:
      config: configuration of the network as written.
      tensors: tensors of the weight file, by name.
      head: output layer that the weight file does not hold, None for none.
      architecture: Hugging Face's name of the class that reads it, None for none.
      pooling: pooling of the features that the head in the weight file takes, if it is
        not "pooler".

    Examples:
      >>> import numpy as np
      >>> import jax
      >>> from metaflax import models
      >>> family = models.families.FAMILIES["bert"]
      >>> config = models.BertConfig(50, 8, num_attention_heads=2)
      >>> shapes = jax.eval_shape(models.encoder(config).init, jax.random.key(0))
      >>> params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
      >>> files = family.write(config, params, None, "pooler", False)
      >>> files.architecture, files.tensors["embeddings.word_embeddings.weight"].shape
      ('BertModel', (50, 8))
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

    Examples:
      >>> from metaflax import models
      >>> family = models.families.FAMILIES["gpt2"]
      >>> config = models.GPTConfig(50, n_positions=16, bos_token_id=1, eos_token_id=2)
      >>> bounds = family.text_bounds(config, None)
      >>> bounds.end, bounds.separate, bounds.max_input
      (2, False, 16)
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
      vocab_size: vocabulary size of its tokenizer.
      width: features of a token.
      layers: number of layers.
      heads: attention heads of a layer.
      positions: maximum length of a text in tokens.
      dropout: rate of all dropout.
      mlp_width: width of feed-forward blocks; None for four times `width`.

    Examples:
      >>> from metaflax.models import families
      >>> sizes = families.Sizes(50, width=8, layers=1, heads=2, positions=16)
      >>> config = families.FAMILIES["bert"].new.config(sizes)
      >>> config.hidden_size, config.intermediate_size, config.max_position_embeddings
      (8, 32, 16)
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

    Examples:
      >>> from metaflax.models import families
      >>> sizes = families.Sizes(50, width=8, layers=1, heads=2, positions=16)
      >>> new = families.FAMILIES["gpt2"].new
      >>> new.tokenizer, new.config(sizes).n_embd
      ('gpt', 8)
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

    Examples:
      >>> import jax
      >>> from metaflax import models
      >>> family = models.families.FAMILIES["bert"]
      >>> config = models.BertConfig(50, 8, num_attention_heads=2)
      >>> head = family.masked_lm.init_head(config, jax.random.key(0))
      >>> sorted(head)
      ['bias', 'dense', 'norm']
    """

    network: Callable[..., Any]
    init_head: Callable[..., Any]
    read: ReadFn
    write: WriteFn
