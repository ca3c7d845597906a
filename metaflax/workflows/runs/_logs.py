"""Logging of libraries."""

import logging
import os


def quiet_logs() -> None:
    """Silences libraries that log the errors that they raise, Orbax above all.

    And the advice of `transformers` to install torch, of which nothing here makes use.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
