"""What libraries log beside the sentences that a command says."""

import logging


def quiet_logs() -> None:
    """Silences libraries that log what they raise, page after page, Orbax above all."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
