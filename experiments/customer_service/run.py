"""A customer's intents, what is out of scope, replies, and latency; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/customer_service/run.py [--runs DIR]
"""

import os
import sys
from pathlib import Path

import intents
import latency
import replies
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Trainings, and the four parts of the page."""
    folder = Path(os.environ.get("METAFLAX_DATA", "data"))
    intents.intents(config, folder, runs, console, intents.Sizes())
    latency.latency(config, runs, console)
    for turns in replies.TURNS:
        replies.replies(config, folder, runs, console, turns)
    console.print(replies.reply_table(runs), markup=False)


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
