"""Model cards of written models: their data, scores and limits."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaflax import config as config_lib
from metaflax import data
from metaflax._wording import counted
from metaflax.workflows.learning._head_choice import HeadChoice
from metaflax.workflows.runs import _licences as _licence_files
from metaflax.workflows.runs._calibration import Calibration
from metaflax.workflows.runs._licences import described, stated_licence
from metaflax.workflows.runs._paired_comparison import describe_sizes
from metaflax.workflows.runs._protocol import described_use, used_record

CARD = "README.md"
# Largest number of classes that are listed by name.
MOST_CLASSES = 60
# Pipelines of the Hugging Face hub, by task type.
PIPELINES = {
    "classification": "text-classification",
    "multilabel_classification": "text-classification",
    "pair_classification": "text-classification",
    "relations": "text-classification",
    "regression": "text-classification",
    "entities": "token-classification",
    "question_answering": "question-answering",
    "summarization": "summarization",
    "translation": "translation",
}
LICENCES = "Licences of the pretrained model and of each data set apply to this one."
UNKNOWN = (
    "Where a licence is not stated, no README.md beside the files has it: find it out"
    " before you publish the model. "
)
_USE_SECTION = re.compile(r"## Use\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
USE = """```python
import metaflax

predictor = metaflax.load("{name}")
predictor(["a text"])
```

It is in Hugging Face's format too.
"""
USE_SENTENCES = """```python
from sentence_transformers import SentenceTransformer

embeddings = SentenceTransformer("{name}").encode(["a text"])
```

They are the features that output layers of metaflax take. `metaflax train --model`
starts from it too.
"""
USE_STABLEHLO = """```python
import jax.export, numpy as np, pathlib, safetensors.numpy, transformers

code = pathlib.Path("model.stablehlo").read_bytes()
graph = jax.export.deserialize(bytearray(code))
weights = safetensors.numpy.load_file("weights.safetensors")
tokenizer = transformers.AutoTokenizer.from_pretrained(".")
options = dict(padding=True, truncation=True, max_length={max_length})
inputs = tokenizer(["a text"], return_tensors="np", **options)
outputs = graph.call(weights, *(inputs[n].astype(np.int32) for n in {inputs}))
```
"""
USE_ONNX = """```python
import numpy as np, onnxruntime, transformers

session = onnxruntime.InferenceSession("model.onnx")
tokenizer = transformers.AutoTokenizer.from_pretrained(".")
options = dict(padding=True, truncation=True, max_length={max_length})
inputs = tokenizer(["a text"], return_tensors="np", **options)
outputs = session.run(None, {{n: inputs[n].astype(np.int64) for n in {inputs}}})
```
"""


def adapted_card(
    target: Path,
    config: config_lib.Config,
    names: Sequence[str],
    examples: data.Examples,
    *,
    model: Path | None = None,
    run_dir: Path | None = None,
    calibration: Calibration | None = None,
    max_length: int | None = None,
    used: Mapping[str, Any] | None = None,
    choice: HeadChoice | None = None,
) -> str:
    """Writes the card of a model that was adapted to a task.

    Args:
      target: directory of the model.
      config: config of algorithm, model and texts.
      names: class names.
      examples: the support set.
      model: directory of the pretrained model; for a run, its record names the model.
      run_dir: the meta-trained run; None for a pretrained model.
      calibration: calibration of the run, if it has one.
      max_length: largest number of tokens of a text.
      used: record of inputs other than labelled texts (default: none).
      choice: choice of the head, if it was chosen.
    """
    counts = Counter(label for labels in examples.labels for label in set(labels))
    texts = counted(len(examples), "text")
    classes = [
        f"- `{name}`: {counted(counts[name], 'example')}" for name in sorted(counts)
    ]
    if len(classes) > MOST_CLASSES:
        hidden = len(classes) - MOST_CLASSES
        classes = [*classes[:MOST_CLASSES], f"- and {hidden} more"]
    how = f"`{config.algorithm.name}`" + (
        " without meta-training" if run_dir is None else " from a meta-trained model"
    )
    source = Path(examples.name).name
    licences = _licences(run_dir, model, examples.name)
    sections = {
        "Use": USE.format(name=target.name),
        "Task": f"`{config.data.task}`, adapted by {how} from the {texts} of"
        f" `{source}`{described_use(used or used_record(0))}."
        f"{_output_layer(config, choice)}\n\n" + "\n".join(classes),
        "Data": _data(config, source, run_dir, licences),
        "Scores": _scores(config, run_dir),
        "Calibration": _calibration(calibration, run_dir),
        "Limits": _limits(len(examples), max_length, run_dir),
    }
    return _card(target.name, config, sections)


def _output_layer(config: config_lib.Config, choice: HeadChoice | None) -> str:
    """Describes the head, and how it was chosen."""
    if choice is not None:
        return f" Output layer: {choice}."
    head = config.algorithm.head
    return "" if head is None else f" Output layer: head {head}."


def exported_card(name: str, source: Path, use: str, difference: float) -> str:
    """Writes the card of a graph: the card of its model, with another usage section.

    Args:
      name: name of the directory.
      source: directory of the model.
      use: usage section.
      difference: largest difference of its outputs from those of metaflax; NaN if not
        measured.
    """
    compared = (
        "It was not compared with metaflax, since onnxruntime is not installed."
        if difference != difference
        else "Its outputs differ from those of metaflax by at most"
        f" {max(difference, 1e-9):.1e} on the texts that it was compared on."
    )
    section = f"## Use\n\nA graph of encoder and output layer. {compared}\n\n{use}"
    path = source / CARD
    before = path.read_text(encoding="utf-8") if path.is_file() else f"# {name}\n"
    before = before.replace(f"\n# {source.name}\n", f"\n# {name}\n", 1)
    with_use, replaced = _USE_SECTION.subn(lambda _: section + "\n", before, count=1)
    return with_use if replaced else f"{before.rstrip()}\n\n{section}"


def encoder_card(
    name: str, config: config_lib.Config, run_dir: Path, *, sentences: bool = False
) -> str:
    """Writes the card of the model of a run, without adaptation.

    Args:
      name: name of the directory.
      config: config of the run.
      run_dir: directory of the run.
      sentences: whether the model is in the format of sentence-transformers.
    """
    use = (
        "Start `metaflax train --model`, `metaflax finetune` or a program of Hugging"
        " Face's from it; it has no output layer."
    )
    sections = {
        "Use": USE_SENTENCES.format(name=name) if sentences else use,
        "Task": f"`{config.data.task}`, meta-trained by `{config.algorithm.name}`.",
        "Data": _data(config, None, run_dir, _licences(run_dir)),
        "Scores": _scores(config, run_dir),
        "Limits": "Scores are of tasks from the data above; on other data they differ.",
    }
    library = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
    }
    return _card(name, config, sections, **library if sentences else {})


def _card(
    name: str, config: config_lib.Config, sections: Mapping[str, str], **more: str
) -> str:
    """Writes a card with a header, in which `more` are fields that differ."""
    from huggingface_hub import ModelCard, ModelCardData  # Slow to import.

    tags = ["metaflax", "few-shot", config.algorithm.name]
    fields: dict[str, Any] = {"library_name": "metaflax", "tags": tags}
    if config.data.task in PIPELINES:
        fields["pipeline_tag"] = PIPELINES[config.data.task]
    if not _is_local(config.model.name) and "/" in config.model.name:
        fields["base_model"] = config.model.name
    fields |= more
    body = "\n\n".join(
        f"## {title}\n\n{text.strip()}" for title, text in sections.items() if text
    )
    header = ModelCardData(**fields).to_yaml()
    content = f"---\n{header}\n---\n\n# {name}\n\n{body}\n"
    return str(ModelCard(content, ignore_metadata_errors=False))


def _licences(
    run_dir: Path | None, model: Path | None = None, support: str | None = None
) -> dict[str, str]:
    """Returns the licences of model, data and support set, by what they cover."""
    if run_dir is not None:
        licences = _read(run_dir / _licence_files.FILE) or {}
    elif model is not None and (licence := stated_licence(model)):
        licences = {"model": licence}
    else:
        licences = {}
    if support is not None and Path(support).exists():
        licence = stated_licence(support)
        licences |= {"support": licence} if licence else {}
    return licences


def _data(
    config: config_lib.Config,
    support: str | None,
    run_dir: Path | None,
    licences: Mapping[str, str],
) -> str:
    """Lists model and data with their licences, and the sizes of episodes."""
    sources = {"model": ("pretrained model", config.model.name)}
    if run_dir is not None:
        sources["path"] = ("meta-training", config.data.path)
        if config.data.more_train:
            sources["more_train"] = (
                "additional meta-training",
                config.data.more_train,
            )
    if support is not None:
        sources["support"] = ("support set", support)
    rows = [
        f"- {what}: `{_short(name)}`, {described(licences, setting)}"
        for setting, (what, name) in sources.items()
    ]
    if run_dir is not None:
        rows += _splits(run_dir)
        training, sizes = config.training, config.episodes.training()
        rows.append(
            f"- meta-training episodes: {training.steps} steps of"
            f" {training.tasks_per_step} ({describe_sizes(config, sizes)})"
        )
    unknown = "" if sources.keys() <= licences.keys() else UNKNOWN
    return "\n".join([*rows, "", unknown + LICENCES])


def _splits(run_dir: Path) -> list[str]:
    return [
        f"- {split} split: {counted(content.get('texts', 0), 'text')},"
        f" {counted(len(content.get('classes', ())), 'class', 'classes')}, SHA-256"
        f" `{str(content.get('digest', ''))[:16]}...`"
        for split, content in (_read(run_dir / "data.json") or {}).items()
    ]


def _scores(config: config_lib.Config, run_dir: Path | None) -> str:
    """Makes a table of the test scores of a run."""
    if run_dir is None:
        return (
            "None was measured. `metaflax.FewShotClassifier` with scikit-learn's"
            " `cross_val_score`, or held-out texts, tell how good it is."
        )
    results = _read(run_dir / "results.json")
    if not results or "intervals" not in results:
        return "The run has no test scores; `metaflax evaluate` makes them."
    intervals = results["intervals"]
    metrics = [name for name in next(iter(intervals.values())) if name != "loss"]
    rows = [
        f"| | {' | '.join(metrics)} |",
        f"| --- |{' --- |' * len(metrics)}",
    ]
    for method, values in intervals.items():
        cells = [f"{values[m]['mean']:.3f} ± {_width(values[m]):.3f}" for m in metrics]
        rows.append(f"| {method} meta-training | {' | '.join(cells)} |")
    sizes = describe_sizes(config)
    return (
        f"Of {results['episodes']} test episodes ({sizes}) of classes or domains that"
        " meta-training did not have, with 95 % intervals. They are of such tasks in"
        " general, and not of the task that this model was adapted to.\n\n"
        + "\n".join(rows)
    )


def _calibration(calibration: Calibration | None, run_dir: Path | None) -> str:
    if calibration is None:
        return "Probabilities are not calibrated." + (
            " Only a meta-trained run has data to calibrate on." if not run_dir else ""
        )
    return (
        f"Temperature {calibration.temperature:.3g}, fitted on"
        f" {calibration.queries} queries of {calibration.episodes} episodes of"
        " meta-validation, with thresholds of rejection (`metaflax predict --reject`)."
    )


def _limits(num_texts: int, max_length: int | None, run_dir: Path | None) -> str:
    rows = [
        f"- It learned from {counted(num_texts, 'text')}: what these do not show, it"
        " does not know.",
        "- A text of none of the classes gets one of them all the same"
        + (" unless texts are rejected." if run_dir else "."),
    ]
    if max_length:
        rows.append(
            f"- Texts are truncated to {max_length} tokens, as predictions tell."
        )
    return "\n".join(rows)


def _short(name: str) -> str:
    """Returns the name of a model or data set without its parent folders."""
    return Path(name).expanduser().name if _is_local(name) else name


def _is_local(name: str) -> bool:
    path = Path(name).expanduser()
    return path.is_absolute() or name.startswith((".", "~")) or path.exists()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _width(interval: Mapping[str, Any]) -> float:
    """Returns the half-width of an interval; JSON has null for an infinite one."""
    width = interval["half_width"]
    return float("inf") if width is None else float(width)
