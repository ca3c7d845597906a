"""Ranks of the gold reply among all replies of a domain, by method."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import retrieval
import words
from methods import OURS, answers, frozen, percent

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation


class Ranked(NamedTuple):
    """Ranks of the gold reply for every context.

    Attributes:
      groups: dialogue of each context, the unit of intervals.
      domains: domain of each context.
      ranks: ranks by method; 1 is the first.
    """

    groups: list[str]
    domains: list[str]
    ranks: dict[str, list[int]]

    def write(self, path: Path) -> None:
        """Writes the ranks as JSON."""
        common.write_json(path, self._asdict())

    @classmethod
    def read(cls, path: Path) -> "Ranked":
        """Reads a file that `write` wrote."""
        return cls(**json.loads(path.read_text("utf-8")))

    def scores(self) -> dict[str, dict[str, np.ndarray]]:
        """Computes recall at 1 and MRR of each dialogue, by method."""
        inverse = {name: 1 / np.array(ranks) for name, ranks in self.ranks.items()}
        return {
            name: {
                "recall@1": by_group(results == 1, self.groups),
                "MRR": by_group(results, self.groups),
            }
            for name, results in inverse.items()
        }

    @classmethod
    def joined(cls, parts: "Sequence[Ranked]") -> "Ranked":
        """Joins the ranks of several domains by the same methods."""
        return cls(
            [group for part in parts for group in part.groups],
            [domain for part in parts for domain in part.domains],
            {n: [r for part in parts for r in part.ranks[n]] for n in parts[0].ranks},
        )

    def of(self, domain: str) -> "Ranked":
        """Selects the ranks of one domain."""
        kept = [n for n, name in enumerate(self.domains) if name == domain]
        return Ranked(
            [self.groups[n] for n in kept],
            [domain] * len(kept),
            {name: [results[n] for n in kept] for name, results in self.ranks.items()},
        )


def compared(
    config: config_lib.Config,
    runs: Mapping[str, Path],
    test: data.FixedEpisodes,
    by_bm25: words.Bm25,
) -> Ranked:
    """Ranks replies by lexical methods, the pretrained encoder and runs."""
    [setting] = frozen(config, "prototypes")
    logits = {
        "TF-IDF": words.tf_idf(test),
        "BM25": words.bm25(test, by_bm25),
        "frozen": answers(config, runs[OURS], test, setting),
        **{name: answers(config, run, test, None) for name, run in runs.items()},
    }
    ranks = {
        name: retrieval.ranks_of(test, results) for name, results in logits.items()
    }
    queries = [row for episode in test.episodes for row in episode.query]
    labels, domains = test.examples.labels, test.examples.domains or ()
    return Ranked(
        [labels[row][0].rpartition(":")[0] for row in queries],
        [str(domains[row]) for row in queries],
        {name: results.tolist() for name, results in ranks.items()},
    )


def by_group(values: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Computes the mean of each group, in the order of group names."""
    _, number = np.unique(np.array(groups), return_inverse=True)
    return np.bincount(number, values) / np.bincount(number)


def rank_table(first: str, results: Mapping[str, Ranked]) -> str:
    """Formats means over dialogues, and the meta-trained model's gains, as Markdown.

    Args:
      first: title of the first column.
      results: results by the value of the first column.
    """
    header = [first, "method", "recall@1", "MRR", "meta-trained less it", "of MRR"]
    rows = []
    for title, ranked in results.items():
        scores = ranked.scores()
        for name, by_metric in scores.items():
            cells = [percent(evaluation.mean_interval(x)) for x in by_metric.values()]
            for metric, values in by_metric.items():
                gain = evaluation.paired_interval(values, scores[OURS][metric])
                cells.append("" if name == OURS else percent(gain, "+"))
            rows.append([title, name, *cells])
    return common.markdown_table(header, rows)
