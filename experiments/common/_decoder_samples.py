"""What a decoder generated in test episodes, good and bad."""

from collections.abc import Mapping, Sequence
from typing import Any

from metaflax import evaluation, metrics
from metaflax.workflows.runs._evaluator import Evaluator

Record = dict[str, Any]


def sample_records(
    evaluator: Evaluator, scores: Mapping[str, evaluation.Scores]
) -> list[Record]:
    """Lists what methods generated for each query.

    Args:
      evaluator: of the test episodes.
      scores: by method, of the first episodes.

    Returns:
      Records of domain, text, target and the generated text by method; none where
      nothing was generated.
    """
    examples, records = evaluator.source.examples, []
    if examples.targets is None or any(s.answers is None for s in scores.values()):
        return records
    number = min(len(each.answers or ()) for each in scores.values())
    for place, episode in enumerate(evaluator.episodes[:number]):
        for query, row in enumerate(episode.query):
            records.append(
                {
                    "domain": (examples.domain_names or ("all",))[episode.domain or 0],
                    "text": examples.texts[row],
                    "target": examples.targets[row],
                    "generated": {
                        method: (each.answers or ())[place][query]["generated"]
                        for method, each in scores.items()
                    },
                }
            )
    return records


def good_and_bad(
    records: Sequence[Record], method: str, number: int = 20
) -> tuple[list[Record], list[Record]]:
    """Selects the samples of highest and lowest chrF.

    Args:
      records: of `sample_records`.
      method: whose texts are rated.
      number: of samples, half of them good.

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
