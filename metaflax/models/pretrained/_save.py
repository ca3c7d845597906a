"""Parameter trees into directories that Hugging Face reads."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from flax import traverse_util

from metaflax.files import atomic_folder, check_absent
from metaflax.models.families.bert import _weight_names as _bert_names
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._encoder import NUM_ENTITIES, Pooling
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.pretrained import _account, _files, _fold

ProblemType: TypeAlias = Literal[
    "single_label_classification", "multi_label_classification", "regression"
]


# Poolings that leave more of a text than one vector, which no weights make of it.
UNFOLDED = ("entities", "tokens")


def save(
    directory: str | Path,
    config: BertConfig,
    params: Any,
    *,
    tokenizer_from: str | Path,
    head: Mapping[str, Any] | None = None,
    labels: Sequence[str] | None = None,
    pooling: Pooling = "pooler",
    standardize: bool = False,
    problem_type: ProblemType = "single_label_classification",
    task: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes a directory that transformers, and `load`, read.

    With a linear head it is a `BertForSequenceClassification` whose logits are those of
    the head on the pooled features, whatever the pooling. That class knows only the
    pooler, so other poolings are folded into its weights, where the mean and
    standardised features cost one more layer. Loaded back, the network with
    `pooling="pooler"` and the loaded head gives the same logits. Folded weights are for
    use, not for more training: their scales span many orders of magnitude.

    What that class cannot read, two states of a text (`pooling="entities"`) or those
    of all tokens ("tokens"), is a `BertModel` with the head in a file of its own, which
    `load` alone understands.

    The directory appears whole or not at all.

    Args:
      directory: which must not exist yet, or be empty.
      config: the network.
      params: its parameters; low-rank factors go through `merge_lora` first, adapters
        and context vectors have no place in Hugging Face's class.
      tokenizer_from: the directory whose tokenizer files are copied.
      head: `{"kernel": [D, N], "bias": [N]}`; None for a bare `BertModel`, to which
        the arguments below do not apply.
      labels: the N class names; None for LABEL_0, LABEL_1, ...
      pooling: what the head reads.
      standardize: whether it reads standardised features.
      problem_type: whether one class or several are right, or a number is said.
      task: what the model is for, kept as it is for whoever loads it.
      notes: texts of other files, by their names.

    Raises:
      ValueError: if the directory holds anything, there are no tokenizer files, tensors
        do not fit the configuration, or Hugging Face's class cannot express the model.
    """
    target = Path(directory).expanduser()
    check_absent(target)
    tokenizer_files = _tokenizer_files(Path(tokenizer_from).expanduser())
    _check_plain(params)

    content: dict[str, Any] = {"architectures": ["BertModel"], "dtype": "float32"}
    ours: dict[str, Any] = {} if task is None else {"task": task}
    files: dict[str, dict[str, np.ndarray]] = {}
    if head is not None:
        _check_head(config, head, pooling)
        content |= _class_fields(labels, np.shape(head["bias"])[0], problem_type)
        if pooling in UNFOLDED:
            content["architectures"] = ["BertModel"]
            ours |= {"pooling": pooling, "standardize": standardize}
            files[_files.HEAD] = _contiguous(head)
            head = None
        else:
            config, params, head = _fold.fold(
                config, params, head, pooling=pooling, standardize=standardize
            )
    content |= config.to_dict() | ({_files.OURS: ours} if ours else {})
    files[_files.WEIGHTS] = _tensors(config, params, head)
    _write(target, content, files, tokenizer_files, notes)


def _check_plain(params: Any) -> None:
    """Refuses leaves that were added to BERT's own."""
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
            "Hugging Face's BertModel has no place for"
            f" {' or '.join(_extras.listed(p) for p in (lora, others) if p)};"
            f" {', and '.join(ways_out)}"
        )


def _check_head(config: BertConfig, head: Mapping[str, Any], pooling: str) -> None:
    shapes = {name: np.shape(leaf) for name, leaf in head.items()}
    num_labels = (shapes.get("bias") or (0,))[0]
    width = config.hidden_size * (NUM_ENTITIES if pooling == "entities" else 1)
    expected = {"kernel": (width, num_labels), "bias": (num_labels,)}
    if shapes != expected or not num_labels:
        raise ValueError(
            f"a head has a kernel [{width}, N] and a bias [N], got {shapes}"
        )


def _contiguous(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Float32, and in order: anything else would be written scrambled."""
    return {
        name: np.ascontiguousarray(np.asarray(tensor).astype(np.float32))
        for name, tensor in tensors.items()
    }


def _class_fields(
    labels: Sequence[str] | None, num_labels: int, problem_type: str
) -> dict[str, Any]:
    """What a configuration says about classes."""
    if problem_type not in get_args(ProblemType):
        raise ValueError(
            f"unknown problem_type={problem_type!r}; there is"
            f" {' and '.join(get_args(ProblemType))}"
        )
    names = [f"LABEL_{i}" for i in range(num_labels)] if labels is None else labels
    if len(set(names)) != num_labels or len(names) != num_labels:
        raise ValueError(
            f"the head has {num_labels} classes, which want as many different labels,"
            f" got {list(names)}"
        )
    return {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": problem_type,
    }


def _tokenizer_files(directory: Path) -> list[Path]:
    found = [directory / name for name in _files.TOKENIZER_FILES]
    found = [path for path in found if path.is_file()]
    if not found:
        raise ValueError(f"{directory} holds no tokenizer files")
    return found


def _tensors(
    config: BertConfig, params: Any, head: Mapping[str, Any] | None
) -> dict[str, np.ndarray]:
    """Tensors under Hugging Face's names, all of them accounted for."""
    places = _bert_names.places(config, pooler="pooler" in params)
    prefix = "" if head is None else "bert."
    places = {prefix + name: place for name, place in places.items()}
    tree = dict(params)
    if head is not None:
        tree["head"] = head
        places |= _bert_names.head_places(config, np.shape(head["bias"])[0])

    names = {place.path: name for name, place in places.items()}
    turned = {place.path for place in places.values() if place.transposed}
    tensors = {}
    for path, leaf in traverse_util.flatten_dict(tree, sep="/").items():
        array = np.asarray(leaf)
        tensors[names.get(path, path)] = array.T if path in turned else array
    tensors = _contiguous(tensors)
    _account.check(places, tensors, "the parameter tree")
    return tensors


def _write(
    target: Path,
    content: Mapping[str, Any],
    files: Mapping[str, dict[str, np.ndarray]],
    tokenizer_files: Sequence[Path],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes the files of a model directory."""
    import safetensors.numpy

    try:
        with atomic_folder(target) as folder:
            text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
            (folder / "config.json").write_text(text + "\n", encoding="utf-8")
            for name, tensors in files.items():
                path = folder / name
                safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
            for name, note in (notes or {}).items():
                (folder / name).write_text(note, encoding="utf-8")
            for path in tokenizer_files:
                shutil.copyfile(path, folder / path.name)
    except FileExistsError as error:  # Written by another process in the meantime.
        raise ValueError(f"{target} exists already; name a new directory.") from error
