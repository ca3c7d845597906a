"""Model families: a kind of network with its configuration, weights and tokenizer."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaflax.models.families._contract import (
    AddFn,
    Contents,
    Files,
    MaskedLMFamily,
    NewModel,
    ReadFn,
    Setting,
    TextBounds,
    WriteFn,
)
from metaflax.models.generation._language_model import LanguageModel
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers._pooling import Encoder, Pooling
from metaflax.models.pretrained import (
    _account,
    _directory,
    _files,
    _places,
    _prefix_file,
    _tokenizer,
)
from metaflax.models.pretrained._checkpoint import Pretrained
from metaflax.models.pretrained._directory import ProblemType
from metaflax.models.pretrained._gguf import GGUFFormat


def _max_position_embeddings(config: Any) -> int:
    return config.max_position_embeddings


def _vocab_size(config: Any) -> int | None:
    return getattr(config, "vocab_size", None)


@dataclasses.dataclass(frozen=True)
class ModelFamily:
    """A family of encoders, or of generative models.

    `models.families.FAMILIES` holds those of the package by their `model_type`. One of
    another package is named by its import path, `package.module:attribute`, wherever a
    setting takes a family; no other registration is needed.

    Attributes:
      model_type: field of that name in `config.json`.
      config_class: class of configurations, with a class method `from_dict(mapping)`
        and a method `to_dict()`, from and to the content of `config.json`.
      encoder: `encoder(config, *, pooling, standardize, dtype, layer_loop, remat)`,
        makes an `Encoder`; None for a family of generative models.
      language_model: `language_model(config, *, dtype, layer_loop, remat)`, makes a
        `LanguageModel`; None for a family of encoders.
      max_positions: `max_positions(config)`, most tokens of a text of an encoder.
      vocab_size: `vocab_size(config)`, rows of the embedding table, which the tokenizer
        may not exceed; None where it is unknown.
      text_bounds: `text_bounds(config, tokenizer)`, `TextBounds` of a generative model.
      read: reads weight files; None for leaves stored by their slash-joined paths.
      write: lays out weight files; None for leaves stored by their slash-joined paths.
      additions: functions `params = add(params, key, size)` that add leaves for
        adaptation, by the setting that gives their size.
      word_embedding: path of the word embedding, of which a task may learn only the
        rows that it uses; None for none.
      masked_lm: masked language models of the family, None for none.
      new: how models with random weights are made, None for none.
      tokenizer: `tokenizer(directory)`, which is called as those of Hugging Face are.
      tokenizer_files: names of its files, copied to what is saved.
      default_task: task type of a model that names none.
      gguf: layout of its networks in GGUF files, None if unsupported.
      aliases: further values of `model_type` that the family covers.
      import_path: `package.module:attribute` of a family outside of the package, saved
        with its models so that they load again. Set where a name is resolved.

    Examples:
      >>> from metaflax import models
      >>> family = models.families.FAMILIES["roberta"]
      >>> family.additions.keys() >= {"lora_rank"}, family.word_embedding
      (True, 'embeddings/word')
      >>> models.ModelFamily("mine", dict)
      Traceback (most recent call last):
        ...
      ValueError: the model family 'mine' must have either an encoder or a ...
    """

    model_type: str
    config_class: Any
    encoder: Callable[..., Encoder] | None = None
    language_model: Callable[..., LanguageModel] | None = None
    max_positions: Callable[[Any], int] = _max_position_embeddings
    vocab_size: Callable[[Any], int | None] = _vocab_size
    text_bounds: Callable[[Any, Any], TextBounds] | None = None
    read: ReadFn | None = None
    write: WriteFn | None = None
    additions: Mapping[Setting, AddFn] = dataclasses.field(default_factory=dict)
    word_embedding: str | None = None
    masked_lm: MaskedLMFamily | None = None
    new: NewModel | None = None
    tokenizer: Callable[[Path], Any] = _tokenizer.tokenizer
    tokenizer_files: tuple[str, ...] = _files.TOKENIZER_FILES
    default_task: str = "classification"
    gguf: GGUFFormat | None = None
    aliases: tuple[str, ...] = ()
    import_path: str | None = None

    def __post_init__(self):
        if (self.encoder is None) == (self.language_model is None):
            raise ValueError(
                f"the model family {self.model_type!r} must have either an encoder or a"
                " language_model"
            )
        if self.generative and self.text_bounds is None:
            raise ValueError(
                f"the generative model family {self.model_type!r} has no text_bounds"
            )

    @property
    def generative(self) -> bool:
        """Whether models of the family generate texts."""
        return self.language_model is not None

    def parse(self, content: Mapping[str, Any], path: Path) -> Any:
        """Parses the content of a `config.json`.

        Raises:
          ValueError: with the path, if the network does not support it.
        """
        try:
            return self.config_class.from_dict(content)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    def load(self, path_or_name: str | Path) -> Pretrained:
        """Loads a checkpoint from a directory, or by its name on the Hugging Face hub.

        Weights are safetensors, or else files of torch (`pytorch_model.bin`), in one
        file or in shards; nothing in them is executed. Half precision becomes float32.

        Args:
          path_or_name: a local directory, or a name on the Hugging Face hub.

        Returns:
          The `Pretrained` model.

        Raises:
          ValueError: if the files are not available or are damaged, if the network does
            not support the configuration, or if tensors are missing, unexpected or of
            another shape; the message names them.
        """
        return self._load(path_or_name, self.read or self._read_by_path)

    def load_masked_lm(self, path_or_name: str | Path) -> Pretrained:
        """Loads an encoder with the output layer of masked language modelling.

        Args:
          path_or_name: a local directory, or a name on the Hugging Face hub.

        Returns:
          The model, whose parameters are `{"encoder": ..., "head": ...}`, without
          `head` where the checkpoint has none.

        Raises:
          ValueError: as `load`, for an output layer that is not tied to the embeddings,
            and if the family has no masked language models.
        """
        return self._load(path_or_name, self.require_masked_lm().read)

    def require_masked_lm(self) -> MaskedLMFamily:
        """Returns `masked_lm`.

        Raises:
          ValueError: if the family has none.
        """
        if self.masked_lm is None:
            raise ValueError(
                f"models of type {self.model_type!r} have no masked language model;"
                " `metaflax models` lists those that have."
            )
        return self.masked_lm

    def _load(self, path_or_name: str | Path, read: ReadFn) -> Pretrained:
        directory = _files.find(path_or_name)
        path = directory / "config.json"
        content = _files.read_json(path)
        config, purpose = self.parse(content, path), _files.ours(content, path)
        params, ignored, head, labels, settled = read(directory, content, config)
        if "pooling" in purpose and head is None:
            stored = _files.read_file(directory / _files.HEAD)
            head = {name: jnp.asarray(tensor) for name, tensor in stored.items()}
            labels = _directory.labels_of(content, path)
        return Pretrained(
            config if settled is None else settled,
            _prefix_file.restored(params, directory),
            directory,
            self,
            head,
            labels,
            ignored,
            content.get("problem_type"),
            purpose,
        )

    def save(
        self,
        directory: str | Path,
        config: Any,
        params: Any,
        *,
        tokenizer_from: str | Path,
        head: Mapping[str, Any] | None = None,
        labels: Sequence[str] | None = None,
        pooling: Pooling = "pooler",
        standardize: bool = False,
        head_apart: bool = False,
        problem_type: ProblemType = "single_label_classification",
        purpose: Mapping[str, Any] | None = None,
        notes: Mapping[str, str] | None = None,
        tensors: Mapping[str, Mapping[str, np.ndarray]] = MappingProxyType({}),
    ) -> None:
        """Writes a directory that `load` reads, and transformers where it has a class.

        The directory appears whole or not at all. Low-rank factors go through
        `merge_lora` first; adapters and context vectors have no place in the format.
        Prefixes have none in Hugging Face's, and go to a file of their own.

        An encoder with a linear head is a `BertForSequenceClassification` (of its own
        family) whose logits are those of the head on the pooled features, or with
        pooling "tokens" a `BertForTokenClassification`. The former knows only the
        pooler, so other poolings are folded into its weights, where the mean and
        standardised features cost one more layer. Loaded back, the network with the
        loaded pooling and head gives the same logits. Folded weights are for use, not
        for more training: their scales span many orders of magnitude. The head has a
        file of its own with `head_apart`, with the pooling "entities", in generative
        families, and where the family's class cannot express it: the mean in MPNet, the
        mean and standardised features in ALBERT.

        Args:
          directory: directory to write, which must not exist or be empty.
          config: configuration of the network.
          params: its parameters.
          tokenizer_from: the directory whose tokenizer files are copied.
          head: `{"kernel": [D, N], "bias": [N]}`; None for none, to which `labels`,
            `pooling`, `standardize` and `problem_type` do not apply.
          labels: the N class names; None for LABEL_0, LABEL_1, ...
          pooling: pooling of the features that the head takes.
          standardize: whether it takes standardised features.
          head_apart: whether the head goes to a file of its own, since it takes more
            than the pooled features of one sequence.
          problem_type: Hugging Face's name for the kind of targets.
          purpose: what the model is for, kept as it is in `Pretrained.purpose`.
          notes: texts of other files, by their names.
          tensors: tensors of other safetensors files, by the files' names.

        Raises:
          ValueError: if the directory holds anything, there are no tokenizer files,
            parameters do not fit the configuration, or the format cannot express the
            model.
        """
        target, copied = self._target(directory, tokenizer_from)
        fields = {}
        if head is not None:
            fields = _directory.class_fields(labels, head, problem_type)
        plain, prefix = _prefix_file.split(params)
        write = self.write or self._write_by_path
        if head_apart:
            files = write(config, plain, None, pooling, standardize)
            files = files._replace(head=head)
        else:
            files = write(config, plain, head, pooling, standardize)
        ours = dict(purpose or {})
        if files.head is not None:
            ours |= {"pooling": pooling, "standardize": standardize}
        elif files.pooling is not None:
            ours |= {"pooling": files.pooling, "standardize": False}
        elif head is not None and (pooling == "mean" or standardize):
            ours |= {"folded": {"pooling": pooling, "standardize": standardize}}
        self._save(target, files, copied, fields, ours, prefix, notes, tensors)

    def save_masked_lm(
        self,
        directory: str | Path,
        config: Any,
        params: Any,
        *,
        tokenizer_from: str | Path,
    ) -> None:
        """Writes a directory that `load_masked_lm` reads, and transformers if it can.

        `load` reads the encoder. The directory appears whole or not at all.

        Args:
          directory: directory to write, which must not exist or be empty.
          config: configuration of the network.
          params: `{"encoder": ..., "head": ...}`; low-rank factors go through
            `merge_lora` first.
          tokenizer_from: the directory whose tokenizer files are copied.

        Raises:
          ValueError: if the directory holds anything, there are no tokenizer files,
            parameters do not fit the configuration, or the family has no masked
            language models.
        """
        write = self.require_masked_lm().write
        target, copied = self._target(directory, tokenizer_from)
        files = write(config, params, None, "tokens", False)
        self._save(target, files, copied)

    def _target(
        self, directory: str | Path, tokenizer_from: str | Path
    ) -> tuple[Path, list[Path]]:
        """Returns the directory to write, and the files to copy into it."""
        target = _directory.unused(directory)
        copied = _directory.existing(tokenizer_from, self.tokenizer_files)
        settings = copied[0].parent / _files.GENERATION
        if self.generative and settings.exists():
            copied.append(settings)
        return target, copied

    def _save(
        self,
        target: Path,
        files: Files,
        tokenizer_files: Sequence[Path],
        fields: Mapping[str, Any] = MappingProxyType({}),
        ours: Mapping[str, Any] = MappingProxyType({}),
        prefix: Mapping[str, np.ndarray] = MappingProxyType({}),
        notes: Mapping[str, str] | None = None,
        more_tensors: Mapping[str, Mapping[str, np.ndarray]] = MappingProxyType({}),
    ) -> None:
        ours = dict(ours)
        content = {
            "dtype": "float32",
            **fields,
            "model_type": self.model_type,
            **files.config.to_dict(),
        }
        if files.architecture is not None:
            content["architectures"] = [files.architecture]
        if self.import_path is not None:
            ours |= {"family": self.import_path}
        if ours:
            content[_files.OURS] = ours
        tensors = {**more_tensors, _files.WEIGHTS: files.tensors}
        if prefix:
            tensors[_files.PREFIX] = prefix
        if files.head is not None:
            tensors[_files.HEAD] = _directory.contiguous(files.head)
        _directory.write(target, content, tensors, tokenizer_files, notes)

    def add_parameters(self, params: Any, sizes: Mapping[Any, int]) -> Any:
        """Adds the leaves for adaptation that settings ask for, always the same ones.

        Args:
          params: parameters of a checkpoint.
          sizes: sizes by setting, 0 for none.

        Raises:
          ValueError: for a setting that the family does not support.
        """
        for name, size in sizes.items():
            if size and name not in self.additions:
                supported = ", ".join(self.additions) or "none of these settings"
                raise ValueError(
                    f"{name} is {size}, and models of type {self.model_type!r} do not"
                    f" support it; they support {supported}."
                )
        for name, add in self.additions.items():
            if size := sizes.get(name):
                params = add(params, jax.random.key(0), size)
        return params

    def _read_by_path(
        self, directory: Path, content: Mapping[str, Any], config: Any
    ) -> Contents:
        del content
        params, _ = _places.read(directory, self._places(config), lambda name: name)
        return Contents(params)

    def _write_by_path(
        self,
        config: Any,
        params: Any,
        head: Mapping[str, Any] | None,
        pooling: str,
        standardize: bool,
    ) -> Files:
        del pooling, standardize
        return Files(config, _places.tensors_of(params, self._places(config)), head)

    def _places(self, config: Any) -> dict[str, _places.Target]:
        """Places of the leaves that the network has, by their slash-joined paths."""
        network = self.encoder or self.language_model
        assert network is not None
        shapes = jax.eval_shape(network(config).init, jax.random.key(0))
        return {
            path: _account.Place(path, leaf.shape)
            for path, leaf in _extras.flatten(shapes).items()
        }
