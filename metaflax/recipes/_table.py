"""Registry of named recipes."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from metaflax import config as config_lib
from metaflax._registry import resolve
from metaflax.recipes._general import general

Recipe: TypeAlias = Callable[[Path], config_lib.MixtureConfig]
"""`config = recipe(folder)`, of the data in a folder."""

RECIPES: dict[str, Recipe] = {"general": general}


def build(name: str, folder: str | Path) -> config_lib.MixtureConfig:
    """Composes the mixture of a named recipe from the data in a folder.

    Args:
      name: a name such as `general`, or an import path `package.module:attribute` of a
        function of a folder.
      folder: the data, in the form that the recipe asks for.

    Returns:
      The config, for `workflows.mix`.

    Raises:
      ValueError: for an unknown recipe, or a folder without its data.

    Examples:
      >>> from metaflax import recipes
      >>> recipes.build("generl", "texts")
      Traceback (most recent call last):
        ...
      ValueError: unknown recipe 'generl'; known: general, or an import path such as ...
      >>> recipes.build("general", "nowhere")
      Traceback (most recent call last):
        ...
      ValueError: nowhere has no data of the recipe 'general': none of products/...
    """
    return resolve("recipe", RECIPES, name)(Path(folder).expanduser())
