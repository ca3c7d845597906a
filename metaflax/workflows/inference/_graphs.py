"""Export of adapted classifiers and taggers as graphs for other runtimes."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jax import export as jax_export

from metaflax import models, target_kinds, tree
from metaflax._files import atomic_folder, check_absent, json_text
from metaflax.interop._onnx import save_onnx, to_onnx
from metaflax.workflows.inference._model_card import (
    CARD,
    USE_ONNX,
    USE_STABLEHLO,
    exported_card,
)
from metaflax.workflows.inference._predictor import Predictor
from metaflax.workflows.inference._support_file import read_support

GraphFormat: TypeAlias = Literal["stablehlo", "onnx"]
ONNX, STABLEHLO, WEIGHTS = "model.onnx", "model.stablehlo", "weights.safetensors"
METADATA = "metadata.json"
PLATFORMS = ("cpu", "cuda", "tpu")
# Largest difference between the graph's probabilities and metaflax's.
TOLERANCE = 1e-4
# Support texts that both are compared on, and default texts if there are none.
MOST_CHECKED = 32
STAND_INS = ("a text", "another text, which has a few more words than that one")


class _Traced(NamedTuple):
    """Classifier as a function of arrays.

    Attributes:
      run: `outputs = run(params, *inputs)`, outputs by name.
      params: `{"encoder": ..., "head": ...}`.
      inputs: names of the inputs, as the tokenizer names them.
      shape: shape of each input, with symbolic numbers of texts and tokens.
    """

    run: Callable[..., dict[str, jax.Array]]
    params: Any
    inputs: tuple[str, ...]
    shape: tuple[Any, Any]


def export_graph(directory: str | Path, out: str | Path, format: GraphFormat) -> float:
    """Writes a classifier or tagger as a graph that needs no metaflax.

    Inputs are what the tokenizer returns, of any number of texts of any length up to
    the longest that the model takes. Outputs are `logits`, and for a classifier of
    texts the calibrated `probabilities`. Tokenizer files, `config.json` and
    `metadata.json` (class names, temperature, longest text) are beside the graph.

    Args:
      directory: output of `adapt`.
      out: the directory to write.
      format: `stablehlo` for `jax.export.deserialize`, with the weights as safetensors
        beside it, or `onnx`.

    Returns:
      The largest difference of the graph's outputs from metaflax's on texts of the
      support set, of probabilities if it has them; NaN if onnxruntime is not installed.

    Raises:
      ValueError: if the directory holds no such model, an extra is not installed, or
        the difference is more than 1e-4.
    """
    target = Path(out).expanduser()
    check_absent(target)
    predictor = Predictor(directory)
    traced, metadata = _traced(predictor), _metadata(predictor)
    source = predictor.pretrained.directory
    copied = ["config.json", *predictor.pretrained.family.tokenizer_files]
    with atomic_folder(target) as folder:
        write = _write_onnx if format == "onnx" else _write_stablehlo
        write(folder, traced, metadata)
        (folder / METADATA).write_text(json_text(metadata, indent=2) + "\n", "utf-8")
        for name in copied:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        run = _onnx_runner if format == "onnx" else _stablehlo_runner
        difference = _difference(predictor, traced, run(folder))
        use = USE_ONNX if format == "onnx" else USE_STABLEHLO
        use = use.format(inputs=traced.inputs, max_length=predictor.max_length)
        card = exported_card(target.name, source, use, difference)
        (folder / CARD).write_text(card, "utf-8")
        return difference


def _traced(predictor: Predictor) -> _Traced:
    pretrained, tokenizer = predictor.pretrained, predictor.tokenizer
    if predictor.form.num_marks:
        raise ValueError(
            f"{pretrained.directory} reads inputs of the form {predictor.form.name!r},"
            " of several sequences or with marked places, and graphs take one plain"
            " sequence; use `metaflax.load`."
        )
    if pretrained.capitals:
        raise ValueError(
            f"{pretrained.directory} reads which words begin with a capital, and graphs"
            " take what the tokenizer makes of them; use `metaflax.load`, or adapt"
            " without capitals."
        )
    kind = target_kinds.of(predictor.task)
    scores = None if predictor.task.tokens is not None else kind.probabilities
    encoder = pretrained.family.encoder(
        pretrained.config,
        pooling=pretrained.pooling,
        standardize=pretrained.standardize,
        layer_loop="unroll",  # ONNX would need a subgraph for a loop.
    )
    known = ("input_ids", "attention_mask", "token_type_ids")
    inputs = tuple(name for name in known if name in tokenizer.model_input_names)
    if "attention_mask" not in inputs:
        inputs = ("input_ids", "attention_mask", *inputs[1:])

    def run(params: Any, *values: jax.Array) -> dict[str, jax.Array]:
        by_name = dict(zip(inputs, values, strict=True))
        tokens = models.Tokens(
            by_name["input_ids"],
            by_name.get("token_type_ids"),
            by_name["attention_mask"],
        )
        features = encoder.apply(params["encoder"], tokens, None)
        head = params["head"]
        logits = jnp.matmul(features, head["kernel"])
        logits = logits + head["bias"].reshape(*[1] * (logits.ndim - 1), -1)
        outputs = {"logits": logits}
        if scores is not None:
            temperature = jnp.asarray(predictor.temperature, logits.dtype)
            outputs["probabilities"] = scores(logits / temperature)
        return outputs

    longest = predictor.max_length
    num_texts, num_tokens = jax_export.symbolic_shape(
        "texts, tokens", constraints=[f"tokens <= {longest}"]
    )
    params = {"encoder": predictor.params[0], "head": predictor.params[1]}
    return _Traced(
        run, jax.tree.map(np.asarray, params), inputs, (num_texts, num_tokens)
    )


def _metadata(predictor: Predictor) -> dict[str, Any]:
    return {
        "labels": predictor.names,
        "task": predictor.pretrained.task or "classification",
        "temperature": predictor.temperature,
        "max_length": predictor.max_length,
    }


def _write_onnx(folder: Path, traced: _Traced, metadata: Mapping[str, Any]) -> None:
    shape = jax.ShapeDtypeStruct(traced.shape, np.dtype(np.int32))

    def function(params: Any, **values: Any) -> Mapping[str, Any]:
        return traced.run(params, *(values[name] for name in traced.inputs))

    model = to_onnx(
        function,
        traced.params,
        dict.fromkeys(traced.inputs, shape),
        metadata={
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in metadata.items()
        },
    )
    save_onnx(model, folder / ONNX)


def _write_stablehlo(
    folder: Path, traced: _Traced, metadata: Mapping[str, Any]
) -> None:
    del metadata  # It is written to a file of its own.
    flat = {
        tree.path_name(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(traced.params)
    }
    treedef = jax.tree.structure(traced.params)
    names = list(flat)

    def function(weights: Mapping[str, Any], *inputs: Any) -> Mapping[str, Any]:
        params = jax.tree.unflatten(treedef, [weights[name] for name in names])
        return traced.run(params, *inputs)

    shape = jax.ShapeDtypeStruct(traced.shape, np.dtype(np.int32))
    export = jax_export.export(jax.jit(function), platforms=PLATFORMS)
    exported = export(flat, *[shape] * len(traced.inputs))
    (folder / STABLEHLO).write_bytes(exported.serialize())
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(leaf) for name, leaf in flat.items()},
        folder / WEIGHTS,
    )
    # safetensors makes files that only their owner may read.
    shutil.copymode(folder / STABLEHLO, folder / WEIGHTS)


def _onnx_runner(folder: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(
        str(folder / ONNX), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        feed = {name: value.astype(np.int64) for name, value in inputs.items()}
        outputs = map(np.asarray, session.run(names, feed))
        return dict(zip(names, outputs, strict=True))

    return run


def _stablehlo_runner(folder: Path) -> Any:
    exported = jax_export.deserialize(bytearray((folder / STABLEHLO).read_bytes()))
    weights = safetensors.numpy.load_file(folder / WEIGHTS)

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return jax.tree.map(np.asarray, exported.call(weights, *inputs.values()))

    return run


def _difference(predictor: Predictor, traced: _Traced, run: Any) -> float:
    """Compares a graph with the predictor.

    Raises:
      ValueError: if their outputs differ.
    """
    if run is None:
        return float("nan")
    rows = read_support(predictor.pretrained.directory, predictor.form)
    support = [row.text for row in rows if isinstance(row.text, str)]
    texts = (support or list(STAND_INS))[:MOST_CHECKED]
    encoded = predictor.tokenizer(
        texts,
        padding=True,
        truncation=True,
        max_length=predictor.max_length,
        return_attention_mask=True,
        return_tensors="np",
        verbose=False,
    )
    inputs = {name: encoded[name].astype(np.int32) for name in traced.inputs}
    theirs = run(inputs)
    name = "probabilities" if "probabilities" in theirs else "logits"
    ours = jax.jit(traced.run)(traced.params, *inputs.values())[name]
    difference = float(np.max(np.abs(theirs[name] - np.asarray(ours))))
    scale = max(1.0, float(np.max(np.abs(ours))))
    if not difference <= TOLERANCE * scale:
        raise ValueError(
            f"the exported graph of {predictor.pretrained.directory} computes other"
            f" {name}, by {difference:.2g}; nothing was written. Use `metaflax.load`."
        )
    return difference
