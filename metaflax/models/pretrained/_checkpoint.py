"""A loaded checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import chex

from metaflax.models.pretrained._tokenizer import check_num_ids


class Pretrained(NamedTuple):
    """A checkpoint, every tensor of which is accounted for.

    Attributes:
      config: configuration of the network, an instance of the family's `config_class`.
      params: its parameters, float32; with `pooler` if the checkpoint has one.
      directory: directory of the files, including those of the tokenizer.
      family: the `ModelFamily`.
      head: `{"kernel": [D, N], "bias": [N]}` of a checkpoint with an output layer that
        `save` or Hugging Face's sequence classifier wrote, None otherwise.
      labels: the N class names of that head, None where there is none.
      ignored: names of tensors that were left out: buffers, tied weights, and heads of
        other tasks.
      problem_type: Hugging Face's name for the kind of targets of that head.
      purpose: what `save` was given as `purpose`, and what it records itself: pooling
        and standardisation of the features that the head takes.

    Examples:
      >>> import pathlib, tempfile
      >>> import jax, numpy as np
      >>> from metaflax import models
      >>> config = models.BertConfig(
      ...     vocab_size=50,
      ...     hidden_size=8,
      ...     num_hidden_layers=1,
      ...     num_attention_heads=2,
      ...     intermediate_size=16,
      ... )
      >>> params = jax.jit(models.encoder(config).init)(jax.random.key(0))
      >>> head = {"kernel": np.ones((8, 2)), "bias": np.zeros(2)}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "tiny"
      ...     _ = path.with_name("vocab.txt").write_text("[UNK]")
      ...     models.save(
      ...         path,
      ...         config,
      ...         params,
      ...         tokenizer_from=folder,
      ...         head=head,
      ...         labels=("dog", "cat"),
      ...         pooling="first",
      ...         head_apart=True,
      ...     )
      ...     pretrained = models.load(path)
      >>> pretrained.labels, pretrained.pooling, pretrained.head["kernel"].shape
      (('dog', 'cat'), 'first', (8, 2))
    """

    config: Any
    params: Any
    directory: Path
    family: Any
    head: Mapping[str, chex.Array] | None = None
    labels: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    problem_type: str | None = None
    purpose: Mapping[str, Any] = MappingProxyType({})

    def tokenizer(self) -> Any:
        """Loads the tokenizer, called as those of Hugging Face are.

        Raises:
          ValueError: if the files make no tokenizer, or it has more token ids than the
            embedding table has rows.
        """
        loaded = self.family.tokenizer(self.directory)
        num_rows = self.family.vocab_size(self.config)
        if num_rows is not None:
            check_num_ids(loaded, num_rows, self.directory)
        return loaded

    @property
    def pooling(self) -> Any:
        """The pooling of the features that the head takes."""
        return self.purpose.get("pooling", "pooler")

    @property
    def standardize(self) -> bool:
        """Whether the head takes standardised features."""
        return self.purpose.get("standardize", False)

    @property
    def pair_encoding(self) -> Any:
        """The encoding of the head's pairs of texts."""
        return self.purpose.get("pair_encoding", "one_sequence")

    @property
    def capitals(self) -> bool:
        """Whether the head takes capitals of words beside their states."""
        return self.purpose.get("capitals", False)

    @property
    def is_folded(self) -> bool:
        """Whether the weights include the pooling of the head.

        A layer was added and others scaled so that Hugging Face's class computes the
        pooling; another head has no use for such states.
        """
        return "folded" in self.purpose

    @property
    def max_length(self) -> int | None:
        """The most tokens of a text that the model was adapted for, if recorded.

        Raises:
          ValueError: if it is no length.
        """
        length = self.purpose.get("max_length")
        if length is not None and (not isinstance(length, int) or length < 1):
            raise ValueError(
                f"{self.directory / 'config.json'}: max_length={length!r:.60} is no"
                " length"
            )
        return length

    @property
    def task(self) -> str | None:
        """The name of the task type that the model was adapted to."""
        return self.purpose.get("task")
