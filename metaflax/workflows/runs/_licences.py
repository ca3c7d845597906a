"""Licences that models and data sets state in the README.md beside their files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaflax.config import Config
from metaflax.workflows.runs._run_files import local_paths

# File of a run directory with the licences of what it was trained on.
FILE = "licences.json"
README = "README.md"
# Largest number of quoted characters of a licence.
MOST = 300
_LINE = re.compile(r"^[^\w\n]*licen[cs]e[^\w\n]*:[^\w\n]*(\w.*)$", re.I | re.M)


def stated_licence(path: str | Path) -> str | None:
    """Quotes the licence in the README.md of a folder, or beside a file.

    It is the field `license` of a model or dataset card, or else the first line that
    begins with "Licence:".

    Args:
      path: a local file, pattern or folder; the result is None for anything else.

    Examples:
      >>> folder = getfixture("tmp_path")
      >>> _ = (folder / "README.md").write_text("- **Licence:** CC BY 3.0 (theirs)")
      >>> stated_licence(folder / "texts.jsonl")
      'CC BY 3.0 (theirs)'
    """
    from huggingface_hub import metadata_load  # It is slow to import.

    path = Path(path).expanduser()
    readme = (path if path.is_dir() else path.parent) / README
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return None
    try:
        fields = metadata_load(readme)
    except Exception:  # The reader raises various errors for malformed headers.
        fields = None
    licence = (fields or {}).get("license")
    if licence is None:
        match = _LINE.search(text)
        licence = match[1] if match else None
    if isinstance(licence, list):
        licence = ", ".join(map(str, licence))
    return None if licence is None else str(licence).strip()[:MOST]


def licences_of(config: Config, model: Path) -> dict[str, str]:
    """Returns the stated licences, by the setting that names the licensed item.

    Args:
      config: config of a run.
      model: directory of its pretrained model.
    """
    paths = {"model": str(model)}
    for setting, path in local_paths(config).items():
        if setting in ("path", "more_train"):
            paths[setting] = path
    stated = {setting: stated_licence(path) for setting, path in paths.items()}
    return {setting: text for setting, text in stated.items() if text is not None}


def described(licences: Mapping[str, Any], setting: str) -> str:
    """Returns a clause about one of the licences."""
    if setting not in licences:
        return "licence not stated"
    return f'licence "{licences[setting]}", as its README.md states'
