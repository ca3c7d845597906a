"""Good and bad samples of the texts that decoders generated in test episodes."""

from collections.abc import Mapping, Sequence
from typing import Any

from metaflax import metrics, workflows

Record = dict[str, Any]


def sample_records(
    evaluator: workflows.Evaluator, texts: Mapping[str, Sequence[Sequence[str]]]
) -> list[Record]:
    """Lists the texts that methods generated for each query.

    Args:
      evaluator: evaluator of the test episodes.
      texts: generated texts of the first episodes, by method and episode.

    Returns:
      Records of domain, text, target and the generated text by method; none where
      nothing was generated.
    """
    examples, records = evaluator.source.examples, []
    number = min(len(of_method) for of_method in texts.values())
    for place, episode in enumerate(evaluator.episodes[:number]):
        for query, row in enumerate(episode.query):
            records.append(
                {
                    "domain": (examples.domain_names or ("all",))[episode.domain or 0],
                    "text": examples.texts[row],
                    "target": (examples.targets or ())[row],
                    "generated": {m: rows[place][query] for m, rows in texts.items()},
                }
            )
    return records


def good_and_bad(
    records: Sequence[Record], method: str, number: int = 20
) -> tuple[list[Record], list[Record]]:
    """Selects the samples of highest and lowest chrF.

    Args:
      records: records of `sample_records`.
      method: method by whose texts samples are selected.
      number: number of samples, half of them good.

    Examples:
      >>> records = [
      ...     {"target": "ls -l", "generated": {"a": text}}
      ...     for text in ("ls -l", "ls -a", "pwd")
      ... ]
      >>> good, bad = good_and_bad(records, "a", 2)
      >>> good[0]["generated"], bad[0]["generated"]
      ({'a': 'ls -l'}, {'a': 'pwd'})
    """

    def rated(record: Record) -> float:
        return metrics.chrf([record["generated"][method]], [record["target"]])

    ranked = sorted(records, key=rated, reverse=True)
    half = min(number, len(ranked)) // 2
    return ranked[:half], ranked[len(ranked) - half :]
