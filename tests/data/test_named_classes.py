"""Tests of names of classes as support examples of episodes."""

import json

import chex
import jax
import numpy as np
import pytest

from metaflax import data, heads
from metaflax.data.batching._features import collate_features
from metaflax.data.samplers._named_classes import WithLabelNames, with_names
from metaflax.data.samplers._variants import Variants, WithVariants
from metaflax.data.sources._label_texts import LabelTexts, in_words, label_texts

SHOTS, CLASSES = 3, "abcde"
TEXTS = tuple(f"{n} {c}" for c in CLASSES for n in range(8))
LETTERS = data.Examples("letters", TEXTS, tuple((t[-1],) for t in TEXTS))
SAMPLER = data.EpisodeSampler(LETTERS, way=3, shot=SHOTS, queries=2)
WEIGHT = 1.5
NAMES = LabelTexts(tuple(f"the {c}" for c in CLASSES), WEIGHT)
NAMED = WithLabelNames(SAMPLER, NAMES, len(TEXTS))
FEATURES = np.random.default_rng(0).normal(size=(len(TEXTS) + len(CLASSES), 6))
every_head = pytest.mark.parametrize(
    "make",
    [
        heads.prototypes,
        heads.centred_prototypes,
        heads.ridge,
        heads.logistic_regression,
        heads.centred_logistic_regression,
        heads.gaussian,
    ],
)


def support_of(episode, sizes=NAMED.sizes):
    features = FEATURES.astype(np.float32)
    task = collate_features([episode], features, **sizes._asdict())
    return jax.tree.map(lambda leaf: leaf[0], task.support)


def fitted(make, support):
    head = make(3, num_features=FEATURES.shape[1])
    return head.fit(head.init(jax.random.key(0)), *support)


def test_class_means_are_those_of_texts_and_weighted_names_in_float64():
    for index in range(5):
        episode = NAMED.episode(0, index)
        state = fitted(heads.prototypes, support_of(episode))
        for local, number in enumerate(episode.classes):
            rows = episode.support[episode.support_targets == local]
            name = FEATURES[len(TEXTS) + number]
            mean = (FEATURES[rows].sum(0) + WEIGHT * name) / (SHOTS + WEIGHT)
            np.testing.assert_allclose(state["kernel"][:, local], 2 * mean, rtol=1e-5)
            np.testing.assert_allclose(state["bias"][local], -(mean @ mean), rtol=1e-5)


@every_head
def test_a_name_of_weight_two_is_the_name_given_twice(make):
    episode = NAMED.episode(0, 3)
    rows, targets, _ = episode.fitted
    names = episode.names
    twice = support_of(
        data.Episode(
            episode.classes,
            None,
            np.concatenate([rows, names.rows]),
            np.concatenate([targets, names.targets]),
            episode.query,
            episode.query_targets,
        ),
        NAMED.sizes._replace(num_support=len(rows) + len(names.rows)),
    )
    weighted = WithLabelNames(SAMPLER, NAMES._replace(weight=2.0), len(TEXTS))
    chex.assert_trees_all_close(
        fitted(make, support_of(weighted.episode(0, 3))), fitted(make, twice), atol=2e-4
    )


@every_head
def test_outputs_follow_a_permutation_of_the_classes(make):
    episode = NAMED.episode(0, 4)
    order = np.array([2, 0, 1])
    permuted = data.Episode(
        tuple(episode.classes[n] for n in order),
        None,
        episode.support,
        np.argsort(order)[episode.support_targets],
        episode.query,
        episode.query_targets,
    )
    permuted = with_names(permuted, NAMES, len(TEXTS))
    one, two = (fitted(make, support_of(e)) for e in (episode, permuted))
    np.testing.assert_allclose(two["kernel"], one["kernel"][:, order], atol=2e-4)


def test_a_balanced_head_counts_each_class_alike_with_its_name():
    # Class 0 has three texts and a name of weight 1.5, class 1 one text and its name.
    targets = np.array([0, 0, 0, 1, 0, 1])
    weights = np.array([1, 1, 1, 1, WEIGHT, WEIGHT], np.float32)
    factors = heads._balanced.class_balance(targets, weights, 2)
    totals = [np.sum((weights * factors)[targets == n]) for n in (0, 1)]
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-6)


def test_names_change_no_draw_and_no_hash_and_their_absence_no_array():
    plain = data.fixed_list(SAMPLER, 0, 5)
    named = data.fixed_list(NAMED, 0, 5)
    assert data.protocol_hash(plain) == data.protocol_hash(named)
    ids = np.arange(3 * len(FEATURES), dtype=np.int32)
    tokens = data.TokenizedTexts(ids, np.arange(0, len(ids) + 1, 3))
    without = data.collate(plain, tokens, **SAMPLER.sizes._asdict())
    with_names_ = data.collate(named, tokens, **NAMED.sizes._asdict())
    chex.assert_trees_all_equal(without.query, with_names_.query)
    size = SAMPLER.sizes.num_support
    for leaf in ("targets", "weights"):
        first, second = (getattr(t.support, leaf) for t in (without, with_names_))
        np.testing.assert_array_equal(first, second[:, :size])
    assert set(with_names_.support.weights[:, size:].ravel()) == {WEIGHT}
    rows = with_names_.support.inputs.ids[:, size:, 0] // 3 - len(TEXTS)
    np.testing.assert_array_equal(rows, [e.classes for e in plain])


def test_variants_replace_texts_and_no_names():
    variants = Variants.of(
        data.Examples(
            "v", TEXTS, LETTERS.labels, variants=tuple((f"{t}!",) for t in TEXTS)
        )
    )
    names = WithLabelNames(SAMPLER, NAMES, len(variants.texts))
    episode = WithVariants(names, variants, 1.0).episode(0, 1)
    assert min(episode.support) >= len(TEXTS)
    assert episode.names.rows.tolist() == [
        len(variants.texts) + n for n in episode.classes
    ]


def test_classes_without_a_text_have_no_name():
    names = LabelTexts(("the a", None, "the c", None, None), 1.0)
    sampler = WithLabelNames(SAMPLER, names, len(TEXTS))
    for index in range(8):
        episode = sampler.episode(0, index)
        drawn = [episode.classes[n] for n in episode.names.targets]
        assert set(drawn) == set(episode.classes) & {0, 2}
        assert [{0: 0, 2: 1}[n] for n in drawn] == [
            row - len(TEXTS) for row in episode.names.rows
        ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card_declined", "card declined"),
        ("order-status", "order status"),
        ("orderStatus", "order status"),
        ("OrderStatus", "Order status"),
        ("resetPINCode", "reset PIN code"),
        ("größeÄndern", "größe ändern"),
        ("PIN", "PIN"),
        ("a", "a"),
        ("_", "_"),
        ("what is love?", "what is love?"),
    ],
)
def test_a_name_is_written_as_words(name, words):
    assert in_words(name) == words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": "the a"}', "no description of the class 'b'; add it"),
        ("{}", "no description of the classes 'a', 'b'; add them"),
        ('{"a": "the a", "b": 3}', "description of the class 'b' is 3; give a text"),
        ('{"a": "the a", "b": " "}', "description of the class 'b' is ' '; give a"),
        ("[1]", "holds a list; give a JSON object"),
        ("{", "is no JSON"),
        (None, "No such file or directory; give a JSON object"),
    ],
)
def test_descriptions_that_cannot_be_used_are_refused(content, message, tmp_path):
    path = tmp_path / "names.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        label_texts(["a", "b"], str(path))


def test_descriptions_are_read_from_a_file_and_null_is_no_name(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"b": None, "a": "the a", "c": "of no use"}))
    assert label_texts(["a", "b"], path) == ["the a", None]
    names = LabelTexts.of(["a", "b"], path, 2.0)
    assert (names.inputs, names.classes) == (("the a",), (0,))
    assert LabelTexts.of(["a"], "none", 1.0) is None
    assert LabelTexts.of(["a"], {"a": None}, 1.0) is None  # Nothing to learn from.
