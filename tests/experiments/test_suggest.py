"""Active learning in miniature, and its page."""

import json

import numpy as np
import pytest

import metaflax
from metaflax import data
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.beside_tests


@pytest.fixture(scope="module")
def script():
    return scripts.load("suggest")


@pytest.fixture(scope="module")
def made(script, tmp_path_factory):
    """A classifier, and texts of three topics of different number."""
    folder = tmp_path_factory.mktemp("suggest")
    with worlds.apart(folder):
        classifier = metaflax.FewShotClassifier(
            worlds.save_bert(folder / "tiny"), head="prototypes"
        )
        rows = [*worlds.records(worlds.TOPICS[:2], 10), *worlds.records(["topic02"], 8)]
        texts = tuple(row["text"] for row in rows)
        labels = tuple((row["label"],) for row in rows)
        examples = data.Examples("texts", texts, labels)
        yield classifier, script.encode(classifier, examples)


def test_all_strategies_begin_alike_and_label_other_texts(script, made, monkeypatch):
    monkeypatch.setattr(script, "ROUNDS", 2)
    monkeypatch.setattr(script, "BATCH", 2)
    classifier, texts = made
    fitted, fit = [], classifier.fit

    def noted(support, labels):
        fitted.append(list(support))
        return fit(support, labels)

    monkeypatch.setattr(classifier, "fit", noted)
    curves = script.compare(classifier, texts, start=0)
    assert tuple(curves) == script.STRATEGIES
    assert len({curve[0] for curve in curves.values()}) == 1
    order = np.random.default_rng(0).permutation(len(texts.labels))
    test, pool = (set(texts.texts[part]) for part in np.array_split(order, 2))
    for number, support in enumerate(fitted):
        assert len(support) == 3 + 2 * (number % 3)
        assert set(support) <= pool
        assert fitted[number - number % 3] == support[:3]
    for name, curve in curves.items():
        assert len(curve) == 3, name
        assert all(0 <= accuracy <= 1 for accuracy in curve)
    assert script.compare(classifier, texts, start=0) == curves
    assert test


def test_the_difference_from_random_is_paired_by_start(script):
    curves = {
        "random": [[0.5, 0.5, 0.7], [0.1, 0.1, 0.3]],
        "mix": [[0.5, 0.6, 0.8], [0.1, 0.2, 0.4]],
    }
    result = script.record(curves, 3)
    assert result["labels"][:2] == [3, 3 + script.BATCH]
    assert result["starts"] == 2
    rows = result["strategies"]
    assert rows["mix"]["accuracy"] == pytest.approx([0.3, 0.4, 0.6])
    over = rows["mix"]["over random"]
    assert over["mean"] == pytest.approx(0.1)
    assert over["half_width"] == pytest.approx(0, abs=1e-9)
    assert script.beaten({"a": result, "b": result}, "mix") == 2
    assert script.beaten({"a": result}, "random") == 0


def test_the_page_says_what_was_measured(script):
    folder = scripts.EXPERIMENTS / "suggest"
    results = json.loads((folder / "results.json").read_text())
    page = (folder / "README.md").read_text()
    tables = [script.table(results[head]) for head in script.HEADS]
    for table in (*tables, script.summary(results)):
        assert table.strip() in page
    assert all(r["starts"] >= 20 for rows in results.values() for r in rows.values())
