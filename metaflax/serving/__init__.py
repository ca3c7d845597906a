"""HTTP service in which each tenant teaches tasks with a few examples."""

from metaflax.serving._limits import Limits
from metaflax.serving._server import ServerSettings, create_app, serve

__all__ = ["Limits", "ServerSettings", "create_app", "serve"]
