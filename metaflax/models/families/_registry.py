"""The registry of model families, and loading through it."""

import dataclasses
from pathlib import Path
from typing import Any

from metaflax import _registry
from metaflax.models.families._family import ModelFamily
from metaflax.models.families.bert._family import BERT
from metaflax.models.families.encoder_decoder._family import ENCODER_DECODER
from metaflax.models.families.gpt2._family import GPT2
from metaflax.models.families.llama._family import LLAMA
from metaflax.models.pretrained import _files
from metaflax.models.pretrained._checkpoint import Pretrained

FAMILIES: dict[str, ModelFamily] = {
    name: family
    for family in (BERT, GPT2, LLAMA, ENCODER_DECODER)
    for name in (family.model_type, *family.aliases)
}
"""Model families by each `model_type` of their configurations."""


def named_family(name: str) -> ModelFamily:
    """Returns the family of a `model_type`, or of an import path.

    Args:
      name: a key of `FAMILIES`, or `package.module:attribute`.

    Raises:
      ValueError: if there is no such family.

    Examples:
      >>> named_family("bert").generative
      False
    """
    family = _registry.resolve("model family", FAMILIES, name)
    if not isinstance(family, ModelFamily):
        raise ValueError(f"{name} is no ModelFamily but a {type(family).__name__}.")
    if ":" in name:
        family = dataclasses.replace(family, import_path=name)
    return family


def family_of(path_or_name: str | Path, name: str | None = None) -> ModelFamily:
    """Returns the family of a checkpoint.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.
      name: of the family, see `named_family`; None for what `config.json` names: an
        import path that `save` wrote there, or else its `model_type`.

    Raises:
      ValueError: if the files cannot be had, or there is no such family.
    """
    return _located(path_or_name, name)[1]


def _located(path_or_name: str | Path, name: str | None) -> tuple[Path, ModelFamily]:
    """Returns the directory of a checkpoint, and its family."""
    directory = _files.find(path_or_name)
    if name is not None:
        return directory, named_family(name)
    path = directory / "config.json"
    content = _files.read_json(path)
    import_path = _files.ours(content, path).get("family")
    if import_path is None:
        kind = str(content.get("model_type", BERT.model_type))
    else:
        kind = _trusted(import_path, path, Path(path_or_name).expanduser().is_dir())
    try:
        return directory, named_family(kind)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _trusted(import_path: Any, path: Path, is_local: bool) -> str:
    """Returns an import path that a configuration names, if it may be imported.

    Models of the hub, and code in the directory of a model, are not trusted.

    Raises:
      ValueError: with the path of the configuration.
    """
    package = str(import_path).partition(":")[0].partition(".")[0]
    if ":" not in str(import_path) or not package.isidentifier():
        raise ValueError(
            f"{path}: the family {import_path!r:.60} is no import path such as"
            " package.module:attribute."
        )
    beside = (path.parent / package, path.parent / f"{package}.py")
    if not is_local or any(file.exists() for file in beside):
        raise ValueError(
            f"{path}: names the family {import_path}, which is code that came with the"
            " model or with its name on the hub; if you trust it, give it as the"
            " model's family."
        )
    return str(import_path)


def load(path_or_name: str | Path, family: str | None = None) -> Pretrained:
    """Loads a checkpoint from a directory, or by its name on the Hugging Face hub.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.
      family: a `model_type` or an import path `package.module:attribute`; None for what
        the checkpoint names itself.

    Returns:
      The `Pretrained` model, whose `family` makes its network.

    Raises:
      ValueError: as `family_of` and `ModelFamily.load`.
    """
    directory, model_family = _located(path_or_name, family)
    return model_family.load(directory)


def load_masked_lm(path_or_name: str | Path, family: str | None = None) -> Pretrained:
    """Loads an encoder with the output layer of masked language modelling.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.
      family: as `load` takes it.

    Returns:
      The `Pretrained` model, whose parameters are `{"encoder": ..., "head": ...}`,
      without `head` where the checkpoint has none.

    Raises:
      ValueError: as `family_of` and `ModelFamily.load_masked_lm`.
    """
    directory, model_family = _located(path_or_name, family)
    return model_family.load_masked_lm(directory)


def save(directory: str | Path, config: Any, params: Any, **kwargs: Any) -> None:
    """Writes a directory that `load` reads, as `ModelFamily.save` does.

    Args:
      directory: which must not exist yet, or be empty.
      config: of the network, of a class that a family of the package has.
      params: its parameters.
      **kwargs: as `ModelFamily.save` takes.

    Raises:
      ValueError: as `ModelFamily.save`.
    """
    _family_of_config(config).save(directory, config, params, **kwargs)


def save_masked_lm(
    directory: str | Path, config: Any, params: Any, *, tokenizer_from: str | Path
) -> None:
    """Writes a directory that `load_masked_lm` reads, as `ModelFamily.save_masked_lm`.

    Args:
      directory: which must not exist yet, or be empty.
      config: of the network, of a class that a family of the package has.
      params: `{"encoder": ..., "head": ...}`.
      tokenizer_from: the directory whose tokenizer files are copied.

    Raises:
      ValueError: as `ModelFamily.save_masked_lm`.
    """
    _family_of_config(config).save_masked_lm(
        directory, config, params, tokenizer_from=tokenizer_from
    )


def _family_of_config(config: Any) -> ModelFamily:
    families = {family.config_class: family for family in FAMILIES.values()}
    if type(config) not in families:
        raise ValueError(
            f"no family has configurations of class {type(config).__name__}; call the"
            " methods of its ModelFamily."
        )
    return families[type(config)]
