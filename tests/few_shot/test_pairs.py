"""Tests of the classifier and the regressor on pairs of texts."""

import pickle

import numpy as np
import pytest
from sklearn import base as sklearn_base
from sklearn.model_selection import GridSearchCV

import metaflax
from metaflax import tasks, workflows
from metaflax.workflows.inference._pretrained_config import without_run
from tests.workflows import worlds

ROWS = worlds.records(worlds.TOPICS[:2], count=8)
SAME = [
    (a["text"], b["text"], "same" if a["label"] == b["label"] else "other")
    for a, b in zip(ROWS, ROWS[3:] + ROWS[:3], strict=True)
]
PAIRS = [(first, second) for first, second, _ in SAME]
LABELS = [label for *_, label in SAME]
encodings = pytest.mark.parametrize(
    "encoding", ["one_sequence", "two_towers", "both", "phrase"]
)


@encodings
def test_it_predicts_as_adapt_does_and_as_it_is_saved(encoding, tiny_bert, tmp_path):
    pairs = PAIRS
    if encoding == "phrase":  # The second text is a word of the first.
        pairs = [(first, first.split()[0]) for first, _ in PAIRS]
    rows = [
        {"text": first, "text_pair": second, "label": label}
        for (first, second), label in zip(pairs, LABELS, strict=True)
    ]
    support = worlds.write_jsonl(tmp_path / "pairs.jsonl", rows)
    config = without_run(
        str(tiny_bert), "frozen", "pair_classification", pair_encoding=encoding
    )
    workflows.adapt(support, tmp_path / "adapted", config=config)
    predictor = metaflax.load(tmp_path / "adapted")
    classifier = metaflax.FewShotClassifier(tiny_bert, pair_encoding=encoding)
    shares = classifier.fit(pairs, LABELS).predict_proba(pairs)
    records = predictor([predictor.task.form.read(_fields(row)) for row in rows])
    expected = [[r["probabilities"][c] for c in classifier.classes_] for r in records]
    np.testing.assert_allclose(shares, expected, atol=1e-4)
    classifier.save(tmp_path / "saved")
    again = metaflax.FewShotClassifier.load(tmp_path / "saved")
    assert again.get_params()["pair_encoding"] == encoding
    np.testing.assert_allclose(again.predict_proba(pairs), shares, atol=1e-4)
    more = again.partial_fit(pairs[:1], LABELS[:1])
    assert len(more.support_texts_) == len(pairs) + 1
    restored = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(restored.predict_proba(pairs), shares)


@encodings
def test_a_regressor_of_pairs_predicts_as_adapt_does(encoding, tiny_bert, tmp_path):
    pairs = [(first, first.split()[0]) for first, _ in PAIRS]  # A phrase of the first.
    scores = np.linspace(0, 5, len(pairs))
    columns = [{"text": first, "text_pair": second} for first, second in pairs]
    rows = [{**row, "label": y} for row, y in zip(columns, scores, strict=True)]
    support = worlds.write_jsonl(tmp_path / "pairs.jsonl", rows)
    config = without_run(
        str(tiny_bert), "frozen", "regression", pair_encoding=encoding, strength=0.01
    )
    workflows.adapt(support, tmp_path / "adapted", config=config)
    expected = [row["label"] for row in metaflax.load(tmp_path / "adapted")(columns)]
    settings = {"pair_encoding": encoding, "strength": 0.01}
    regressor = metaflax.FewShotRegressor(tiny_bert, **settings).fit(pairs, scores)
    np.testing.assert_allclose(regressor.predict(pairs), expected, atol=1e-3)
    regressor.save(tmp_path / "saved")
    loaded = metaflax.FewShotRegressor.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.predict(pairs), expected, atol=1e-3)
    more = loaded.partial_fit(pairs[:1], scores[:1])
    assert len(more.support_texts_) == len(pairs) + 1
    with pytest.raises(ValueError, match="with a pair_encoding give two texts a row"):
        regressor.fit([first for first, _ in pairs], scores)


def _fields(row):
    return tasks.Fields(row, "a")


def test_encodings_differ_and_are_searched_over(tiny_bert):
    shares = {
        encoding: metaflax.FewShotClassifier(tiny_bert, pair_encoding=encoding)
        .fit(PAIRS, LABELS)
        .predict_proba(PAIRS)
        for encoding in ("one_sequence", "two_towers", "both")
    }
    assert np.max(np.abs(shares["two_towers"] - shares["one_sequence"])) > 1e-3
    assert np.max(np.abs(shares["two_towers"] - shares["both"])) > 1e-4
    estimator = metaflax.FewShotClassifier(tiny_bert, pair_encoding="two_towers")
    assert sklearn_base.clone(estimator).get_params() == estimator.get_params()
    grid = {"pair_encoding": ["one_sequence", "two_towers"]}
    search = GridSearchCV(estimator, grid, cv=2, error_score="raise")
    assert len(search.fit(PAIRS, LABELS).predict(PAIRS)) == len(PAIRS)


def test_arrays_and_data_frames_of_two_columns_are_pairs(tiny_bert):
    pandas = pytest.importorskip("pandas")
    classifier = metaflax.FewShotClassifier(tiny_bert, pair_encoding="two_towers")
    expected = classifier.fit(PAIRS, LABELS).predict_proba(PAIRS)
    frame = pandas.DataFrame(PAIRS, columns=["first", "second"])
    for given in (np.array(PAIRS), frame, [list(pair) for pair in PAIRS]):
        shares = classifier.fit(given, np.array(LABELS)).predict_proba(given)
        np.testing.assert_allclose(shares, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("encoding", "given", "message"),
    [
        ("two_towers", ["a", "b"], r"X\[0\] is 'a'; with a pair_encoding give two"),
        ("two_towers", [("a", "b", "c")], r"X\[0\] is \('a', 'b', 'c'\)"),
        ("two_towers", "ab", "is no sequence; give a list of pairs"),
        (None, PAIRS[:2], "for pairs of texts a pair_encoding, such as two_towers"),
        ("three", PAIRS[:2], "pair_encoding"),
    ],
)
def test_what_is_no_pair_is_refused(encoding, given, message, tiny_bert):
    classifier = metaflax.FewShotClassifier(tiny_bert, pair_encoding=encoding)
    with pytest.raises(ValueError, match=message):
        classifier.fit(given, LABELS[: len(given)])
