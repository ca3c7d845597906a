"""Reply retrieval in unseen domains, after one turn or several."""

import dataclasses
from pathlib import Path

import prepare
import ranking
import retrieval
import words
from methods import OURS, percent
from rich.console import Console

from metaflax import config as config_lib
from metaflax import evaluation, workflows

TURNS = (1, 3)
MOST_TOKENS = 64  # Maximum numbers of tokens of turns, and of a reply.


def replies(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    turns: int,
) -> words.Bm25:
    """Meta-trains once; ranks all replies of unseen domains by four methods.

    Returns:
      The setting of BM25, selected on validation domains.
    """
    file = runs / f"exchanges{turns}.jsonl"
    prepare.prepare(folder, file, turns)
    config = of_exchanges(config, file, folder)
    run_dir = runs / f"replies{turns}"
    workflows.train(config, run_dir, console)
    splits = workflows.load_run(config).splits
    by_bm25 = words.select_bm25(retrieval.by_domain(splits.valid))
    console.print(f"{turns} turns: BM25 with k1 {by_bm25.k1:g} and b {by_bm25.b:g}")
    test = retrieval.by_domain(splits.test)
    ranked = ranking.compared(config, {OURS: run_dir}, test, by_bm25)
    ranked.write(runs / f"replies{turns}.json")
    return by_bm25


def of_exchanges(
    config: config_lib.Config, file: Path, folder: Path
) -> config_lib.Config:
    """The config of meta-training on exchanges: a reply is one support text."""
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            path=str(file),
            domain="domain",
            split_by="domain",
            split_file=str(folder / "sgd_dialogue" / "splits.json"),
            fold=None,
            max_length=MOST_TOKENS,
        ),
        episodes=config_lib.EpisodeConfig(
            way=config.episodes.train_way or 40, shot=1, queries=1
        ),
        training=dataclasses.replace(
            config.training, steps=2 * config.training.steps // 3
        ),
    )


def reply_table(runs: Path) -> str:
    """Formats recall at 1 and MRR, and the gain of more turns, as Markdown."""
    results = {
        turns: ranking.Ranked.read(runs / f"replies{turns}.json") for turns in TURNS
    }
    lines = [ranking.rank_table("turns", {str(n): x for n, x in results.items()})]
    first, last = (results[turns].scores()[OURS] for turns in (TURNS[0], TURNS[-1]))
    for metric in first:
        gain = evaluation.paired_interval(first[metric], last[metric])
        lines.append(
            f"\n{OURS}, {metric}, {TURNS[-1]} turns less 1: {percent(gain, '+')}"
        )
    return "\n".join(lines)
