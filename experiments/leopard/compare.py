"""Accuracy from the recipe's encoder beside the frozen one and peers; see README.md.

    METAFLAX_DATA=DIR python experiments/leopard/compare.py --model RUN/model \
        [--start minilm] [--shots 1 2 5 8] [--draws 20] [--sets sentiment]

Tasks are those of `experiments/heads`: the same classes, support texts and queries for
all methods. sentence-transformers, with logistic regression, and SetFit (arXiv
2209.11055) are compared where they are installed. Scores that `--out` holds are not
measured again; those of another model or start are refused.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
from sklearn.linear_model import LogisticRegression

from experiments import common
from experiments.heads import run as heads
from experiments.heads.draws import Draw, draw
from metaflax import evaluation, workflows

SHOTS = (1, 2, 5, 8)
MOST_CLASSES = 27
# Output layers of both encoders, with their settings.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "prototypes": ("prototypes", {}),
    "auto": ("auto", {}),
    "auto with names": ("auto", {"label_names": "as_written"}),
}
# Pairs of methods whose difference is a gain.
GAINS = (
    ("recipe, prototypes", "frozen, prototypes"),
    ("recipe, auto", "frozen, auto"),
    ("recipe, auto", "sentence-transformers"),
    ("frozen, auto", "sentence-transformers"),
    ("recipe, auto with names", "recipe, auto"),
    ("recipe, auto with names", "sentence-transformers"),
    ("frozen, auto", "SetFit"),
    ("recipe, auto", "SetFit"),
    ("recipe, auto with names", "SetFit"),
)
# Number of pairs of each kind that SetFit makes from a text, as in its paper.
SETFIT_ITERATIONS = 20

Predict: TypeAlias = Callable[[Draw], np.ndarray]
"""`labels = predict(task)` of the queries."""
Scores: TypeAlias = dict[str, dict[str, list[float]]]
"""Accuracy and seconds on each draw, by method."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="directory of the encoder")
    parser.add_argument("--start", default="minilm", help="its initial model")
    parser.add_argument("--shots", nargs="+", type=int, default=SHOTS)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--sets", nargs="+", help="names of data sets (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/leopard/compare.json"))
    args = parser.parse_args()
    return common.run_command(__file__, "compare", lambda console: compare(args))


def compare(args: argparse.Namespace) -> None:
    """Scores all methods on the same draws, and prints tables."""
    models = {"model": args.model, "start": args.start}
    inputs = {name: common.model_digest(model) for name, model in models.items()}
    known = common.read_record(args.out, inputs) if args.out.exists() else {}
    compared = methods(args.model, args.start)
    for name, texts in selected(args.sets).items():
        for shot in args.shots:
            scores = known.setdefault(f"{name}, {shot}", {})
            for seed in range(args.draws):
                task = draw(texts, shot, seed, MOST_CLASSES)
                measure(task, seed, compared, scores)
                common.write_record(args.out, inputs, known)
    print(table(known))


def selected(names: list[str] | None) -> dict[str, dict[str, list[str]]]:
    """Returns the texts by class of the named data sets, or of all."""
    sets = dict(heads.data_sets(common.data_folder()))
    if unknown := set(names or ()) - set(sets):
        known = ", ".join(sets)
        raise ValueError(f"no data are called {', '.join(unknown)}; there are {known}.")
    return {name: sets[name] for name in names or sets}


def methods(model: str, start: str) -> dict[str, Predict]:
    """Returns all methods that learn from features, by name."""
    predictors: dict[str, Predict] = {
        f"{encoder}, {how}": lambda task, n=name, h=head, s=settings: (
            heads.predicted_by_head(n, h, s, task)[0]
        )
        for encoder, name in (("frozen", start), ("recipe", model))
        for how, (head, settings) in WAYS.items()
    }
    if importlib.util.find_spec("sentence_transformers"):
        predictors["sentence-transformers"] = sentence_transformers(start)
    if importlib.util.find_spec("setfit"):
        predictors["SetFit"] = setfit(start)
    return predictors


def sentence_transformers(model: str) -> Predict:
    """Logistic regression of scikit-learn on embeddings of sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(workflows.locate_model(model)), device="cpu")
    known: dict[str, np.ndarray] = {}

    def features(texts: list[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            vectors = encoder.encode(new, normalize_embeddings=True)
            known.update(zip(new, vectors, strict=True))
        return np.stack([known[text] for text in texts])

    def predict(task: Draw) -> np.ndarray:
        classifier = LogisticRegression(max_iter=1000)
        classifier.fit(features(task.support), task.labels)
        return classifier.predict(features(task.queries))

    return predict


def setfit(model: str) -> Predict:
    """SetFit with its defaults, and the number of pairs per text of its paper."""
    import setfit
    from datasets import Dataset

    def predict(task: Draw) -> np.ndarray:
        learned = setfit.SetFitModel.from_pretrained(
            str(workflows.locate_model(model)), device="cpu"
        )
        support = Dataset.from_dict({"text": task.support, "label": task.labels})
        with tempfile.TemporaryDirectory() as folder:
            settings = setfit.TrainingArguments(
                folder, num_iterations=SETFIT_ITERATIONS, report_to="none"
            )
            setfit.Trainer(learned, settings, support).train()
        return np.array(learned.predict(task.queries))

    return predict


def measure(
    task: Draw, seed: int, compared: dict[str, Predict], scores: dict[str, Any]
) -> None:
    """Scores the methods on draw `seed`, unless their scores are known."""
    for name, predict in compared.items():
        record = scores.setdefault(name, {"accuracy": [], "seconds": []})
        if seed < len(record["accuracy"]):
            continue
        begun = time.perf_counter()
        correct = predict(task) == np.array(task.targets)
        record["seconds"].append(round(time.perf_counter() - begun, 2))
        record["accuracy"].append(round(float(np.mean(correct)), 6))


def table(results: dict[str, Scores]) -> str:
    """Formats mean accuracy (%) of each method, and gains between methods."""
    names = [*dict.fromkeys(name for scores in results.values() for name in scores)]
    means, gains = [], []
    for task, scores in results.items():
        cells = [
            f"{100 * np.mean(scores[name]['accuracy']):.1f}" if name in scores else ""
            for name in names
        ]
        means.append([*task.split(", "), *cells])
        gains.append([*task.split(", "), *(gain(scores, b, o) for o, b in GAINS)])
    of = ["data", "texts a class"]
    less = [f"{other} less {base}" for other, base in GAINS]
    tables = ([*of, *names], means), ([*of, *less], gains)
    return "\n\n".join(common.markdown_table(*table) for table in tables)


def gain(scores: Scores, base: str, other: str) -> str:
    """Formats the difference in accuracy of two methods, paired by common draws."""
    if base not in scores or other not in scores:
        return ""
    before, after = (scores[name]["accuracy"] for name in (base, other))
    shared = min(len(before), len(after))
    if shared == 1:
        return f"{100 * (after[0] - before[0]):+.1f} (one draw)"
    pairs = np.array(before[:shared]), np.array(after[:shared])
    return common.percent(evaluation.paired_interval(*pairs), "+", 1)


if __name__ == "__main__":
    sys.exit(main())
