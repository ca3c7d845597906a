"""Tests of the scikit-learn estimators."""

import dataclasses
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from sklearn import base as sklearn_base
from sklearn import exceptions as sklearn_exceptions
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

import metaflax
from metaflax import config, models, workflows
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.workflows.inference._pretrained_config import without_run
from tests.workflows import worlds

RECORDS = worlds.records(worlds.TOPICS[:3], count=4)
TEXTS, LABELS = ([row[name] for row in RECORDS] for name in ("text", "label"))
QUERIES = [row["text"] for row in worlds.records(worlds.TOPICS[:3], count=2, seed=1)]
WORDS = [text.split() for text in TEXTS]
TAGS = [["B-topic" if w.startswith("topic") else "O" for w in words] for words in WORDS]


@pytest.fixture(scope="module")
def classifier(tiny_bert):
    return metaflax.FewShotClassifier(tiny_bert).fit(TEXTS, LABELS)


def test_it_predicts_as_an_adapted_directory_of_the_same_examples(
    classifier, tiny_bert, tmp_path
):
    support = worlds.write_jsonl(tmp_path / "support.jsonl", RECORDS)
    settings = without_run(str(tiny_bert), "frozen")
    workflows.adapt(support, tmp_path / "adapted", config=settings)
    records = metaflax.load(tmp_path / "adapted")(QUERIES)
    expected = [[r["probabilities"][c] for c in classifier.classes_] for r in records]
    assert classifier.classes_.tolist() == sorted(worlds.TOPICS[:3])
    np.testing.assert_allclose(classifier.predict_proba(QUERIES), expected, atol=1e-4)
    assert classifier.predict(QUERIES).tolist() == [r["label"] for r in records]
    best = classifier.classes_[classifier.predict_proba(QUERIES).argmax(axis=-1)]
    assert best.tolist() == classifier.predict(QUERIES).tolist()


def test_scikit_learn_clones_it_and_searches_over_it(tiny_bert):
    estimator = metaflax.FewShotClassifier(tiny_bert, strength=0.5)
    copy = sklearn_base.clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert not hasattr(copy, "classes_")
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    chain = Pipeline([("lower", lower), ("classify", estimator)])
    heads = {"classify__head": ["prototypes", "ridge"]}
    search = GridSearchCV(chain, heads, cv=2, error_score="raise").fit(TEXTS, LABELS)
    scores = cross_val_score(
        estimator.set_params(**{"head": search.best_params_["classify__head"]}),
        TEXTS, LABELS, cv=2, error_score="raise",
    )  # fmt: skip
    assert search.best_score_ == pytest.approx(scores.mean())
    assert search.predict(QUERIES).shape == (len(QUERIES),)


def test_what_is_pickled_predicts_the_same_and_only_with_the_same_weights(
    tmp_path, tiny_bert
):
    model = worlds.save_bert(tmp_path / "model", seed=1)
    fitted = metaflax.FewShotClassifier(model).fit(TEXTS, LABELS)
    content = pickle.dumps(fitted)
    assert len(content) < 100_000  # The weights of the encoder stay where they are.
    expected = fitted.predict_proba(QUERIES)
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict_proba(QUERIES), expected)
    model.rename(tmp_path / "away")
    worlds.save_bert(tmp_path / "other", seed=2).rename(model)
    for method in (again.predict, again.transform):
        with pytest.raises(ValueError, match="has changed since"):
            method(QUERIES)
    with pytest.raises(ValueError, match="has changed since"):
        again.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_older_weights_in_the_same_place_are_other_weights(tmp_path):
    model = worlds.save_bert(tmp_path / "model", seed=1)
    older = worlds.save_bert(tmp_path / "older", seed=2) / "model.safetensors"
    os.utime(older, (1, 1))
    fitted = metaflax.FewShotClassifier(model).fit(TEXTS, LABELS)
    shutil.copy2(older, model)
    with pytest.raises(ValueError, match="has changed since"):
        fitted.predict(QUERIES)
    fitted.fit(TEXTS, LABELS).save(tmp_path / "saved")
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    expected = fitted.predict_proba(QUERIES)
    np.testing.assert_allclose(loaded.predict_proba(QUERIES), expected, atol=1e-4)


@pytest.mark.parametrize("labels", [[2, 0, 1], [True, False], ["b", "a"], [0.5, 1.5]])
def test_labels_keep_their_type_and_order(labels, tiny_bert, tmp_path):
    y = [labels[number % len(labels)] for number in range(len(TEXTS))]
    fitted = metaflax.FewShotClassifier(tiny_bert).fit(np.array(TEXTS), np.array(y))
    fitted.save(tmp_path / "saved")
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    for estimator in (fitted, loaded):
        assert estimator.classes_.tolist() == sorted(set(labels))
        assert estimator.predict(TEXTS).dtype == np.array(y).dtype


def test_partial_fit_is_a_fit_of_all_examples(classifier, tiny_bert):
    half = metaflax.FewShotClassifier(tiny_bert).partial_fit(TEXTS[:8], LABELS[:8])
    assert half.classes_.tolist() == sorted(set(LABELS[:8]))
    both = half.partial_fit(TEXTS[8:], LABELS[8:])
    expected = classifier.predict_proba(QUERIES)
    np.testing.assert_allclose(both.predict_proba(QUERIES), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"\['new'\] are not in classes"):
        both.partial_fit(["filler00"], ["new"], classes=both.classes_)


def test_what_is_saved_stands_alone_and_goes_on_learning(tmp_path):
    model = worlds.save_bert(tmp_path / "model", seed=3)
    fitted = metaflax.FewShotClassifier(model).fit(TEXTS, LABELS)
    fitted.save(tmp_path / "saved")
    more = fitted.partial_fit(QUERIES[:1], LABELS[:1]).predict_proba(QUERIES)
    model.rename(tmp_path / "away")
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    records = metaflax.load(tmp_path / "saved")(QUERIES)
    assert loaded.predict(QUERIES).tolist() == [r["label"] for r in records]
    with pytest.raises(ValueError, match="no directory"):
        loaded.partial_fit(QUERIES[:1], LABELS[:1])
    (tmp_path / "away").rename(model)
    loaded.partial_fit(QUERIES[:1], LABELS[:1])
    np.testing.assert_allclose(loaded.predict_proba(QUERIES), more, atol=1e-6)
    with pytest.raises(ValueError, match="FewShotClassifier; load it with"):
        metaflax.FewShotTagger.load(tmp_path / "saved")


@pytest.mark.parametrize("length", [6, None])
def test_a_loaded_estimator_truncates_texts_at_the_same_length(
    length, tiny_bert, tmp_path
):
    settings = {"head": "prototypes", "max_length": length}
    fitted = metaflax.FewShotClassifier(tiny_bert, **settings).fit(TEXTS, LABELS)
    fitted.save(tmp_path / "saved")
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    long = [" ".join(2 * QUERIES), " ".join(2 * QUERIES[::-1])]
    expected = fitted.predict_proba(long)
    np.testing.assert_allclose(loaded.predict_proba(long), expected, atol=1e-4)
    [record, _] = metaflax.load(tmp_path / "saved")(long)
    assert record["truncated"]["tokens_read"] == (length or worlds.POSITIONS)


def test_small_probabilities_are_not_rounded_to_zero(tiny_bert, tmp_path):
    settings = {"head": "prototypes", "temperature": 300.0}
    fitted = metaflax.FewShotClassifier(tiny_bert, **settings).fit(TEXTS, LABELS)
    fitted.save(tmp_path / "saved")
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    for shares in (fitted.predict_proba(TEXTS), loaded.predict_proba(TEXTS)):
        assert 0 < shares.min() < 1e-7
        np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-6)
        assert np.isfinite(log_loss(LABELS, shares))
    assert fitted.predict_proba([]).shape == loaded.predict_proba([]).shape == (0, 3)


def test_another_estimator_in_the_same_place_is_another(tiny_bert, tmp_path):
    place, loaded = tmp_path / "saved", []
    for labels in (LABELS, [f"new {label}" for label in LABELS]):
        shutil.rmtree(place, ignore_errors=True)
        fitted = metaflax.FewShotClassifier(tiny_bert).fit(TEXTS, labels)
        fitted.save(place)
        loaded.append(metaflax.FewShotClassifier.load(place))
        expected = fitted.predict(QUERIES).tolist()
        assert loaded[-1].predict(QUERIES).tolist() == expected
    with pytest.raises(ValueError, match="has changed since this estimator was loaded"):
        loaded[0].predict(QUERIES)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("one text", ["a"], "no sequence"),
        (TEXTS, LABELS[:-1], "12 texts and 11 targets"),
        (TEXTS, ["same"] * 12, "at least two"),
        (["a", ""], ["x", "y"], r"X, y\[1\]: 'text' is an empty text"),
        (["a", "b"], ["x", None], "'y' is missing"),
        (["a", "b"], ["x", "x "], "have the same name"),
        ([["a"], ["b"]], ["x", "y"], "a text is expected"),
        ([], [], "no example"),
    ],
)
def test_unusable_examples_are_refused_and_change_nothing(
    texts, labels, message, classifier
):
    expected = classifier.predict_proba(QUERIES)
    with pytest.raises(ValueError, match=message):
        classifier.fit(texts, labels)
    np.testing.assert_array_equal(classifier.predict_proba(QUERIES), expected)


def test_inner_steps_that_adapt_the_encoder_predict_as_adapt_does(tiny_bert, tmp_path):
    settings = {"algorithm": "fine_tuning", "num_steps": 2, "inner_learning_rate": 0.1}
    fitted = metaflax.FewShotClassifier(tiny_bert, **settings).fit(TEXTS, LABELS)
    assert not fitted.learned_.shares_encoder
    fitted.save(tmp_path / "saved")
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    expected = fitted.predict_proba(QUERIES)
    np.testing.assert_allclose(loaded.predict_proba(QUERIES), expected, atol=1e-4)
    frozen = metaflax.FewShotClassifier(tiny_bert).fit(TEXTS, LABELS)
    assert not np.allclose(frozen.predict_proba(QUERIES), expected, atol=1e-3)


def test_a_regressor_fits_numbers(tiny_bert, tmp_path):
    y = np.linspace(-1, 2, len(TEXTS))
    fitted = metaflax.FewShotRegressor(tiny_bert, strength=1e-3).fit(TEXTS, y)
    assert fitted.score(TEXTS, y) > 0.9
    fitted.save(tmp_path / "saved")
    loaded = metaflax.FewShotRegressor.load(tmp_path / "saved")
    np.testing.assert_allclose(
        loaded.predict(QUERIES), fitted.predict(QUERIES), atol=1e-3
    )
    with pytest.raises(ValueError, match="a number is expected"):
        fitted.fit(TEXTS, ["high"] * len(TEXTS))


@pytest.mark.parametrize("head", [None, "detected_prototypes"])
def test_a_tagger_answers_in_the_form_of_the_texts(head, tiny_bert, tmp_path):
    fitted = metaflax.FewShotTagger(tiny_bert, head=head).fit(WORDS, TAGS)
    tags = fitted.predict(WORDS)
    assert [len(row) for row in tags] == [len(words) for words in WORDS]
    assert {tag for row in tags for tag in row} <= {"O", "B-topic", "I-topic"}
    [entities] = fitted.predict(TEXTS[:1])
    assert ["B-topic" in row for row in tags[:1]] == [bool(entities)]
    assert fitted.score(WORDS, TAGS) == pytest.approx(fitted.score(TEXTS, gold(TAGS)))
    fitted.save(tmp_path / "saved")
    loaded = metaflax.FewShotTagger.load(tmp_path / "saved")
    assert loaded.predict(WORDS) == tags
    loaded.set_params(model=tmp_path / "absent")  # Scores need the directory alone.
    assert loaded.score(WORDS, TAGS) == pytest.approx(fitted.score(WORDS, TAGS))


def test_a_tagger_types_spans_as_adapt_does(tiny_bert, tmp_path):
    spans = {"entity_typing": "spans", "entity_threshold": 0.5}
    fitted = metaflax.FewShotTagger(tiny_bert, **spans).fit(TEXTS, gold(TAGS))
    rows = [
        {"text": text, "label": entities}
        for text, entities in zip(TEXTS, gold(TAGS), strict=True)
    ]
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    settings = without_run(str(tiny_bert), "frozen", "entities")
    algorithm = dataclasses.replace(settings.algorithm, **spans)
    settings = dataclasses.replace(settings, algorithm=algorithm)
    workflows.adapt(support, tmp_path / "adapted", config=settings)
    expected = [r["entities"] for r in metaflax.load(tmp_path / "adapted")(QUERIES)]
    assert places(fitted.predict(QUERIES)) == places(expected)
    assert any(expected)
    never = metaflax.FewShotTagger(
        tiny_bert, entity_typing="spans", entity_threshold=1e6
    )
    assert not any(never.fit(TEXTS, gold(TAGS)).predict(QUERIES))


def test_an_estimator_that_was_not_fitted_says_so(tiny_bert):
    for method in ("predict", "predict_proba"):
        with pytest.raises(sklearn_exceptions.NotFittedError):
            getattr(metaflax.FewShotClassifier(tiny_bert), method)(QUERIES)


def test_features_are_those_of_the_encoder_and_serve_other_estimators(
    classifier, tiny_bert, tmp_path
):
    features = metaflax.FewShotClassifier(tiny_bert).transform(QUERIES)  # Not fitted.
    model = workflows.load_model(config.ModelConfig(str(tiny_bert)))
    tokens = model.tokenizer(QUERIES, padding=True, return_tensors="np")
    batch = models.Tokens(tokens["input_ids"], None, tokens["attention_mask"])
    expected = model.encoder.apply(model.pretrained.params, batch)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    np.testing.assert_array_equal(classifier.transform(QUERIES), features)
    chain = make_pipeline(metaflax.FewShotClassifier(tiny_bert), LogisticRegression())
    alone = LogisticRegression().fit(classifier.transform(TEXTS), LABELS)
    np.testing.assert_allclose(
        chain.fit(TEXTS, LABELS).predict_proba(QUERIES),
        alone.predict_proba(features),
        atol=1e-6,
    )
    classifier.save(tmp_path / "saved")
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    with pytest.raises(ValueError, match="has its predictions only; fit it"):
        loaded.transform(QUERIES)


def test_features_of_an_adapted_encoder_need_fit(tiny_bert):
    settings = {"algorithm": "fine_tuning", "num_steps": 2, "inner_learning_rate": 0.1}
    adapting = metaflax.FewShotClassifier(tiny_bert, **settings)
    with pytest.raises(sklearn_exceptions.NotFittedError):
        adapting.transform(QUERIES)
    frozen = metaflax.FewShotClassifier(tiny_bert).transform(QUERIES)
    features = adapting.fit(TEXTS, LABELS).transform(QUERIES)
    assert features.shape == frozen.shape
    assert np.max(np.abs(features - frozen)) > 1e-3


def places(entities):
    """Places and types of the entities of texts."""
    return [[(e["start"], e["end"], e["type"]) for e in row] for row in entities]


def gold(tags):
    """Entities of the tags of TEXTS, by characters."""
    rows = []
    for words, row in zip(WORDS, tags, strict=True):
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])]).tolist()
        rows.append(
            [
                {"start": start, "end": start + len(word), "type": "topic"}
                for start, word, tag in zip(starts, words, row, strict=True)
                if tag != "O"
            ]
        )
    return rows


def test_settings_that_are_no_settings_are_refused(tiny_bert, tmp_path):
    (tmp_path / "estimator.json").write_text(json.dumps({"params": {}}))
    with pytest.raises(ValueError, match="holds no saved estimator"):
        metaflax.FewShotClassifier.load(tmp_path)
    for name, value, message in [
        ("head", "nonsense", "unknown head 'nonsense'"),
        ("head", 3, "head is 3, which is no str"),
        ("temperature", "a", "temperature is 'a', which is no float"),
        ("adapts", "head", "adapts is 'head', which is no tuple"),
        ("algorithm", "matching", "no linear layer"),
        ("batch_size", 0, "give 1 or more"),
        ("max_length", 0, "max_length is 0; give 1 or more"),
        ("model", tmp_path / "absent", "no directory"),
    ]:
        estimator = metaflax.FewShotClassifier(tiny_bert).set_params(**{name: value})
        with pytest.raises(ValueError, match=message):
            estimator.fit(TEXTS, LABELS)


ESTIMATORS = (
    metaflax.FewShotClassifier, metaflax.FewShotRegressor, metaflax.FewShotTagger
)  # fmt: skip


def test_every_parameter_is_a_setting_of_the_model_or_used_by_fit_alone():
    settings = {field.name for field in dataclasses.fields(LearnerSettings)} - {"task"}
    of_model = [
        set(estimator().get_params()) - set(estimator._fit_parameters)
        for estimator in ESTIMATORS
    ]
    assert all(names <= settings for names in of_model)
    assert set.union(*of_model) == settings


class WithAnother(metaflax.FewShotTagger):
    def __init__(self, model="minilm", dropout=0.5):
        super().__init__(model)
        self.dropout = dropout


def test_a_parameter_that_nothing_takes_is_refused(tiny_bert):
    tagger = sklearn_base.clone(WithAnother(tiny_bert, dropout=0.1))
    with pytest.raises(TypeError, match="WithAnother has the parameter 'dropout'"):
        tagger.fit(WORDS, TAGS)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"task": "entities", "capitals": True, "entity_typing": "spans"},
        {"task": "pair_classification", "pair_encoding": "two_towers"},
        {
            "task": "pair_classification",
            "pair_encoding": "two_towers",
            "algorithm": "fine_tuning",
            "num_steps": 3,
            "max_length": 12,
        },
    ],
)
def test_settings_are_those_of_the_command_line(settings, tiny_bert):
    model = str(tiny_bert)
    learner = load_learner(LearnerSettings(model=model, **settings))
    expected = without_run(model, **settings)
    assert learner.config.algorithm == expected.algorithm
    assert learner.config.model == expected.model
    length = min(expected.data.max_length, worlds.POSITIONS)
    assert learner.encoder.max_length == length
    assert learner.config.data == dataclasses.replace(expected.data, max_length=length)


def test_a_head_that_nothing_fits_is_refused(tiny_bert):
    settings = LearnerSettings(
        model=str(tiny_bert), task="question_answering", algorithm="frozen"
    )
    with pytest.raises(ValueError, match="frozen has no inner steps"):
        load_learner(settings)
