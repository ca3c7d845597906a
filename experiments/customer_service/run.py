"""Few-shot intents, out-of-scope detection, replies and latency; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/customer_service/run.py [--runs DIR]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import intents
import latency
import picture
import questions
import replies
from rich.console import Console

from experiments import common
from metaflax import config as config_lib


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Runs all trainings, prints the five parts of the README, and plots."""
    folder = common.data_folder()
    intents.intents(config, folder, runs, console, intents.Sizes())
    latency.latency(config, runs, console)
    selected = {
        turns: replies.replies(config, folder, runs, console, turns)
        for turns in replies.TURNS
    }
    console.print(replies.reply_table(runs), markup=False, soft_wrap=True)
    questions.questions(config, folder, runs, console, selected[1])
    console.print(questions.question_table(runs), markup=False, soft_wrap=True)
    console.print(f"The picture is {picture.plot(runs)}.", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
