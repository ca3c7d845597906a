"""`python -m metaflax`."""

from metaflax.cli._main import script

script()
