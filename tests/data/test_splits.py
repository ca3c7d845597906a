"""Tests for splits that share no class or no domain."""

import json

import hypothesis
import hypothesis.strategies as st
import pytest

from metaflax import data
from metaflax.data.sources._splits import check_disjoint, split_by_seed


def letters(names="abcdef", per_class=3):
    texts = tuple(f"{name}{n}" for name in names for n in range(per_class))
    return data.Examples("letters", texts, tuple((text[0],) for text in texts))


def write(folder, content):
    path = folder / "splits.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_says_which_class_goes_where(tmp_path):
    content = {"train": ["a", "b"], "valid": ["c"], "test": ["d"], "note": [1]}
    splits = data.split_by_file(letters(), write(tmp_path, content))
    assert splits.train.label_names == ("a", "b")
    assert splits.test.texts == ("d0", "d1", "d2")
    assert (splits.unused, splits.num_unused) == (("e", "f"), 6)
    check_disjoint(splits)


def test_a_fold_is_chosen_by_name(tmp_path):
    folds = {"01": {"train": ["a"], "valid": ["b"], "test": ["c"]}}
    path = write(tmp_path, folds)
    assert data.split_by_file(letters(), path, fold="01").test.label_names == ("c",)
    with pytest.raises(ValueError, match="holds the folds '01'; choose one"):
        data.split_by_file(letters(), path)
    with pytest.raises(ValueError, match="no fold '02'; the folds are '01'"):
        data.split_by_file(letters(), path, fold="02")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ([], "not a JSON object"),
        ({"train": ["a"], "test": ["b"]}, "'valid' is not a list of names"),
        ({"train": ["a"], "valid": "b", "test": ["c"]}, "'valid' is not a list"),
        (
            {"train": ["a", "b"], "valid": ["c"], "test": ["b"]},
            "train and test share the labels 'b'",
        ),
        (
            {"train": ["a"], "valid": ["zebra"], "test": ["b"]},
            "valid names 'zebra', which no example of letters has",
        ),
        ({"train": ["a"], "valid": [], "test": ["b"]}, "valid of letters has no ex"),
    ],
)
def test_what_is_wrong_with_a_split_file_is_said(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        data.split_by_file(letters(), write(tmp_path, content))


def test_a_missing_split_file_and_unknown_by_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        data.split_by_file(letters(), tmp_path / "none.json")
    with pytest.raises(ValueError, match="by 'label' or by 'domain'"):
        split_by_seed(letters(), 0, by="color")
    with pytest.raises(ValueError, match="has no domains to split by"):
        split_by_seed(letters(), 0, by="domain")


def test_a_text_goes_to_a_split_only_with_all_its_labels(tmp_path):
    texts = ("ab", "a", "b", "c", "d", "bc")
    examples = data.Examples("multi", texts, tuple(tuple(text) for text in texts))
    content = {"train": ["a", "b"], "valid": ["c"], "test": ["d"]}
    splits = data.split_by_file(examples, write(tmp_path, content))
    assert splits.train.texts == ("ab", "a", "b")
    assert splits.valid.texts == ("c",)
    assert (splits.unused, splits.num_unused) == ((), 1)


def test_domains_are_kept_apart_while_they_share_labels(tmp_path):
    examples = data.Examples(
        "by domain", tuple("uvwx"), (("yes",),) * 4, domains=("p", "q", "r", "q")
    )
    content = {"train": ["q"], "valid": ["p"], "test": ["r"]}
    splits = data.split_by_file(examples, write(tmp_path, content), by="domain")
    assert splits.train.texts == ("v", "x")
    check_disjoint(splits, by="domain")
    with pytest.raises(ValueError, match="train and valid share the labels 'yes'"):
        check_disjoint(splits)


def test_a_seed_gives_the_same_split_again_and_another_seed_another():
    first, again = (split_by_seed(letters(), 0) for _ in range(2))
    assert first == again
    assert any(split_by_seed(letters(), s).test != first.test for s in (1, 2, 3))


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.0, 0.5, -0.5)])
def test_fractions_that_make_no_sense_are_refused(fractions):
    with pytest.raises(ValueError, match="three above 0 that add up to 1"):
        split_by_seed(letters(), 0, fractions)


def test_too_few_classes_and_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="2 labels cannot make three splits"):
        split_by_seed(letters("ab"), 0)
    with pytest.raises(ValueError, match="seed is -1"):
        split_by_seed(letters(), -1)


@hypothesis.given(
    names=st.sets(st.characters(codec="ascii", categories=["L"]), min_size=3),
    seed=st.integers(0, 2**64 - 1),
    weights=st.tuples(*[st.integers(1, 20)] * 3),
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_every_class_is_in_one_split_of_nearly_its_share(names, seed, weights):
    fractions = tuple(weight / sum(weights) for weight in weights)
    examples = letters("".join(sorted(names)), per_class=1)
    splits = split_by_seed(examples, seed, fractions)
    parts = [splits.train, splits.valid, splits.test]
    assert sorted(n for part in parts for n in part.label_names) == sorted(names)
    for part, fraction in zip(parts, fractions, strict=True):
        assert len(part) >= 1
        assert abs(len(part) - fraction * len(names)) < 2


def test_clinc150_folds_have_fifty_classes_a_split(shared_data):
    folder = shared_data / "clinc150"
    examples = data.read(folder / "examples.jsonl")
    splits = data.split_by_file(examples, folder / "folds.json", fold="03")
    sizes = [len(p.label_names) for p in (splits.train, splits.valid, splits.test)]
    assert sizes == [50, 50, 50]
    assert splits.num_unused == 0
