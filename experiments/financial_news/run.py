"""Few-shot sentiment and topics of news, and stream monitoring; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/financial_news/run.py [--runs DIR]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import methods
import prepare
import sentiment
import stream
import topics
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import workflows


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Runs both trainings, and prints the three parts of the README."""
    financial_news(
        config,
        config_lib.load_file(Path(__file__).with_name("topics_config.py")),
        common.data_folder(),
        runs,
        console,
        methods.Sizes(),
    )


def financial_news(
    config: config_lib.Config,
    topics_config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    sizes: methods.Sizes,
) -> None:
    """Runs sentiment, topics and stream monitoring, with the trainings they need."""
    file = runs / "sentences.jsonl"
    prepare.prepare(folder, file)
    config = common.on_data(config, file)
    workflows.train(config, runs / "run", console)
    news = methods.News.of(file)
    console.print("\nSentiment")
    selected = sentiment.sentiment(config, runs, news, console, sizes)
    console.print("\nTopics")
    topics.topics(topics_config, runs, news, console, sizes)
    console.print("\nThe stream")
    stream.stream(config, runs, news, selected, console, sizes)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
