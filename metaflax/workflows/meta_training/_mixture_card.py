"""Model card of a mixture's encoder: data, licences and scores."""

from collections.abc import Mapping
from typing import Any

from metaflax import config as config_lib
from metaflax.config._mixture import run_of
from metaflax.workflows.runs._licences import described, stated_licence

CARD = "README.md"
USE = """```
metaflax adapt --support my_task.csv --model {name} --out my_model
```

It is an encoder in Hugging Face's format without output layer, for every `--model`.
"""
LICENCES = (
    "Licences of the pretrained model and of all data apply to this model. Where one is"
    " not stated, no README.md beside the files has it: find it out before you publish"
    " the model."
)
MODEL = "model"


def mixture_card(
    name: str,
    config: config_lib.MixtureConfig,
    licence: str | None,
    results: Mapping[str, Any],
) -> str:
    """Writes the card of the encoder of a mixture.

    Args:
      name: name of the directory.
      config: config of the mixture.
      licence: licence that the pretrained model states.
      results: content of `results.json`.
    """
    from huggingface_hub import ModelCard, ModelCardData  # Slow to import.

    sections = {
        "Use": USE.format(name=name),
        "Data": _data(config, licence, results["steps_of"]),
        "Scores": _scores(results["members"]),
        "Limits": "Scores are of tasks from the data above; on other data they differ.",
    }
    body = "\n\n".join(f"## {title}\n\n{s.strip()}" for title, s in sections.items())
    header = ModelCardData(
        library_name="metaflax",
        pipeline_tag="feature-extraction",
        tags=["metaflax", "few-shot", "mixture"],
    ).to_yaml()
    content = f"---\n{header}\n---\n\n# {name}\n\n{body}\n"
    return str(ModelCard(content, ignore_metadata_errors=False))


def _data(
    config: config_lib.MixtureConfig, licence: str | None, steps: Mapping[str, int]
) -> str:
    """Lists the pretrained model and each member's data with their licences."""
    licences = {MODEL: licence} if licence else {}
    rows = [f"- pretrained model: `{config.model.name}`, {described(licences, MODEL)}"]
    for name, member in config.members.items():
        if isinstance(member, config_lib.TaskMember):
            path, kind = member.data.path, run_of(config, name).data.task
        else:
            path, kind = member.text.text, "masked language modelling"
        stated = stated_licence(path)
        licences = {name: stated} if stated else {}
        rows.append(
            f"- {name} (`{kind}`, {steps[name]} steps): `{path}`,"
            f" {described(licences, name)}"
        )
    return "\n".join([*rows, "", LICENCES])


def _scores(members: Mapping[str, Mapping[str, Any]]) -> str:
    """Makes a table of the members' first metrics before and after training."""
    rows = ["| member | metric | before | after | difference |", f"|{' --- |' * 5}"]
    for name, results in members.items():
        before, after = (results["intervals"][when] for when in ("before", "after"))
        gain = results["paired_difference_from_before"]["after"]
        metric = next(iter(after))
        cells = [_interval(before[metric]), _interval(after[metric])]
        cells.append(_interval(gain[metric], "+"))
        rows.append(f"| {name} | {metric} | {' | '.join(cells)} |")
    return (
        "On test episodes of domains or classes that meta-training did not have, with"
        " 95 % intervals, before and after on the same ones.\n\n" + "\n".join(rows)
    )


def _interval(value: Mapping[str, float | None], sign: str = "") -> str:
    width = value["half_width"]  # JSON has null for an infinite one.
    return f"{value['mean']:{sign}.3f} ± {float('inf') if width is None else width:.3f}"
