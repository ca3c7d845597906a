"""Logging of libraries."""

import logging


def quiet_logs() -> None:
    """Silences libraries that log the errors that they raise, Orbax above all."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
