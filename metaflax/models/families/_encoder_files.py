"""Weight files of encoders, with the head of a classifier or without.

A text classifier stores our pooler's dense layer as its own first one; a token
classifier has the head alone.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metaflax.models.families import _fold, _tensor_names
from metaflax.models.families._contract import Contents, Files, ReadFn, WriteFn
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers import _pooling
from metaflax.models.pretrained import _directory, _files, _places
from metaflax.models.pretrained._places import Target

# TensorFlow's names of leaves, in files of 2019.
_OLD = {"gamma": "weight", "beta": "bias"}


def _dense_pooler(config: Any, module: str) -> dict[str, Target]:
    D = config.hidden_size
    return _tensor_names.dense(module, "pooler", D, D)


class EncoderFiles(NamedTuple):
    """Names of a family's tensors in Hugging Face's files.

    Attributes:
      architecture: beginning of the names of the family's classes, such as "Bert".
      prefix: prefix of the encoder's tensors in files of classifiers, such as "bert.".
      places: `places(config)`, where the tensors of the encoder go, by their names
        without the prefix, without the pooler.
      pooler: module of the encoder's pooler, None for a family without one.
      hidden: module of the first dense layer of a classifier of texts, with the prefix
        if it has it.
      output: module of its last dense layer.
      ignored: beginnings of further tensor names, which are left out.
      pooler_places: `pooler_places(config, module)`, where the tensors of the pooler
        go, or those of `hidden` in its place.
      fold: `classifier = fold(config, params, head, pooling=, standardize=)`, the same
        logits as the family's classifiers compute them; None where those cannot.
    """

    architecture: str
    prefix: str
    places: Callable[[Any], dict[str, Target]]
    pooler: str | None
    hidden: str
    output: str = "classifier"
    ignored: tuple[str, ...] = ()
    pooler_places: Callable[[Any, str], dict[str, Target]] = _dense_pooler
    fold: _fold.FoldFn = _fold.fold

    def functions(self) -> tuple[ReadFn, WriteFn]:
        """Returns `read` and `write` of a `ModelFamily`."""
        return functools.partial(_read, self), functools.partial(_write, self)

    def clean(self, name: str) -> str:
        """Returns the name of a tensor without prefix and in today's spelling."""
        stem, _, last = name.removeprefix(self.prefix).rpartition(".")
        return f"{stem}.{_OLD.get(last, last)}" if stem else last

    def head_places(self, config: Any, output: str, num: int) -> dict[str, Target]:
        """Returns the places of a head of `num` classes."""
        return _tensor_names.dense(output, "head", config.hidden_size, num)


def _read(
    files: EncoderFiles, directory: Path, content: Mapping[str, Any], config: Any
) -> Contents:
    """Reads weights, and the head of a classifier."""
    path = directory / "config.json"
    classifies = _classifies(files, directory, content)
    tensors = _files.stored_tensors(directory)
    places, module = files.places(config), files.pooler
    labels = _directory.labels_of(content, path) if classifies else None
    if classifies == "texts":
        module = files.hidden.removeprefix(files.prefix)
    elif module and not any(
        files.clean(name).startswith(f"{module}.") for name in tensors
    ):
        module = None
    if module is not None:
        places |= files.pooler_places(config, module)
    if labels is not None:
        output = files.output if classifies == "texts" else "classifier"
        places |= files.head_places(config, output, len(labels))

    def rename(name: str) -> str | None:
        name = files.clean(name)
        if name in places or not name.startswith(left_out_names(files)):
            return name
        return None

    params, ignored = _places.tree_of(tensors, places, rename, directory)
    head = params.pop("head", None)
    left_out = tuple(sorted(map(files.clean, ignored)))
    return Contents(params, left_out, head, labels)


def left_out_names(files: EncoderFiles) -> tuple[str, ...]:
    """Returns beginnings of names of tensors that files may hold, unread."""
    modules = files.pooler, files.hidden.removeprefix(files.prefix), files.output
    return (
        "embeddings.position_ids",
        "embeddings.token_type_ids",
        "qa_outputs.",  # Question answering.
        "classifier.",
        *(f"{module}." for module in modules if module),
        *files.ignored,
    )


def _classifies(
    files: EncoderFiles, directory: Path, content: Mapping[str, Any]
) -> str | None:
    """Returns what a checkpoint classifies, "texts" or "tokens"; None for neither."""
    path = directory / "config.json"
    names = content.get("architectures") or []
    if not isinstance(names, list):
        raise ValueError(f"{path}: architectures={names!r:.60} is no list")
    if f"{files.architecture}ForSequenceClassification" in names:
        return "texts"
    # The head of a checkpoint that was saved elsewhere is for an unknown task.
    ours = _files.ours(content, path).get("pooling") == "tokens"
    apart = (directory / _files.HEAD).exists()
    if ours and not apart and f"{files.architecture}ForTokenClassification" in names:
        return "tokens"
    return None


def _write(
    files: EncoderFiles,
    config: Any,
    params: Any,
    head: Mapping[str, Any] | None,
    pooling: str,
    standardize: bool,
) -> Files:
    """Lays out weights, with the head folded in if Hugging Face's class can have it."""
    _check_plain(files, params)
    model = f"{files.architecture}Model"
    if head is None:
        return Files(config, _tensors(files, config, params), None, model)
    _check_head(config, head, pooling)
    folded = None
    if pooling != "entities":  # Which keep more of a text than one vector.
        how = {"pooling": pooling, "standardize": standardize}
        folded = files.fold(config, params, head, **how)
    if folded is None:
        return Files(config, _tensors(files, config, params), head, model)
    of = "Token" if pooling == "tokens" else "Sequence"
    tensors = _tensors(files, *folded[:3], of_tokens=pooling == "tokens")
    architecture = f"{files.architecture}For{of}Classification"
    if not folded.readable:
        return Files(folded.config, tensors, head, architecture)
    recorded = "tokens" if pooling == "tokens" else None
    return Files(folded.config, tensors, None, architecture, recorded)


def _check_plain(files: EncoderFiles, params: Any) -> None:
    """Refuses leaves that were added to the network's.

    Raises:
      ValueError: naming them, and what to do.
    """
    paths = sorted(_extras.flatten(params))
    lora = [p for p in paths if _extras.part_of(p, _extras.LORA)]
    others = [
        path
        for path in paths
        if any(_extras.part_of(path, n) for n in (_extras.ADAPTER, _extras.CONTEXT))
    ]
    ways_out = [
        *(["fold low-rank factors in with models.merge_lora(params)"] if lora else []),
        *(["save before with_adapters and with_context"] if others else []),
    ]
    if ways_out:
        raise ValueError(
            f"Hugging Face's {files.architecture}Model has no place for"
            f" {' or '.join(_extras.listed(p) for p in (lora, others) if p)};"
            f" {', and '.join(ways_out)}"
        )


def _check_head(config: Any, head: Mapping[str, Any], pooling: str) -> None:
    shapes = {name: np.shape(leaf) for name, leaf in head.items()}
    num_labels = (shapes.get("bias") or (0,))[0]
    width = _pooling.num_features(pooling, config.hidden_size)
    expected = {"kernel": (width, num_labels), "bias": (num_labels,)}
    if shapes != expected or not num_labels:
        raise ValueError(
            f"a head has a kernel [{width}, N] and a bias [N], got {shapes}"
        )


def _tensors(
    files: EncoderFiles,
    config: Any,
    params: Any,
    head: Mapping[str, Any] | None = None,
    *,
    of_tokens: bool = False,
) -> dict[str, np.ndarray]:
    """Returns tensors under Hugging Face's names, all of them accounted for."""
    prefix = "" if head is None else files.prefix
    places = {prefix + name: place for name, place in files.places(config).items()}
    tree = dict(params)
    if "pooler" in tree:
        module = files.pooler if head is None else files.hidden
        if module is None:
            raise ValueError(
                f"Hugging Face's {files.architecture}Model has no place for a pooler;"
                ' save it with the head on pooling="pooler", or leave pooler out of the'
                " parameters"
            )
        places |= files.pooler_places(config, module)
    if head is not None:
        tree["head"] = head
        output = "classifier" if of_tokens else files.output
        num = np.shape(head["bias"])[0]
        places |= files.head_places(config, output, num)
    return _places.tensors_of(tree, places)
