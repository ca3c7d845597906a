"""Recipes: mixtures that make a model to start from, of data in a folder."""

from metaflax.recipes._general import general as general
from metaflax.recipes._table import build as build

__all__ = ["build", "general"]
