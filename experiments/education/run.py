"""Meta-trains on students' answers, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/education/run.py [--runs DIR]
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
from rich.console import Console
from sklearn.metrics import f1_score

from experiments import common
from metaflax import config as config_lib
from metaflax import evaluation, workflows


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines by the F1 of SemEval-2013."""
    results = common.compare_classifiers(
        config,
        runs,
        console,
        tuned={"adapts": (common.LAST_TWO_OF_SIX,)},
        more_scores=f1_at_real_shares,
    )
    for score in ("accuracy", "weighted F1", "macro F1"):
        console.print(common.classifier_table(results, score), markup=False)


def f1_at_real_shares(
    evaluator: workflows.Evaluator, scores: evaluation.Scores
) -> dict[str, np.ndarray]:
    """Computes the weighted and macro F1 of each episode, `[E]`.

    Queries have equally many answers of each label. They are weighted so that each
    label has its share of all answers of the module, as in a test set of SemEval.
    """
    examples = evaluator.source.examples
    answers = {name: Counter() for name in examples.domain_names}
    for labels, domain in zip(examples.labels, examples.domains or (), strict=True):
        answers[domain][labels[0]] += 1
    weighted, macro = [], []
    predictions = evaluator.class_predictions(scores)
    for episode, each in zip(evaluator.episodes, predictions, strict=True):
        assert episode.domain is not None
        module = examples.domain_names[episode.domain]
        weights = share_weights(each.true, answers[module])
        for average, values in (("weighted", weighted), ("macro", macro)):
            values.append(
                f1_score(
                    each.true,
                    each.predicted,
                    average=average,
                    sample_weight=weights,
                    zero_division=0,
                )
            )
    return {"weighted F1": np.array(weighted), "macro F1": np.array(macro)}


def share_weights(labels: Sequence[str], answers: Counter[str]) -> list[float]:
    """Computes weights that give each label its share of all answers.

    Examples:
      >>> share_weights(["a", "b", "b"], Counter(a=3, b=1))
      [3.0, 0.5, 0.5]
    """
    number = Counter(labels)
    return [answers[label] / number[label] for label in labels]


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
