"""Tests of further examples for meta-training only."""

import pytest

from metaflax import data
from metaflax.data.sources._more_training import with_more_training


def examples(names, **columns):
    """Two texts of each class."""
    texts = tuple(f"{name}{n}" for name in names for n in range(2))
    labels = tuple((text[0],) for text in texts)
    return data.Examples(names, texts, labels, **columns)


def splits(names=("abc", "de", "fg"), **columns):
    return data.Splits(*(examples(part, **columns) for part in names))


def test_they_come_after_those_of_training_and_nothing_else_changes():
    before = splits()
    after = with_more_training(before, examples("xy"))
    assert after.train.texts == before.train.texts + examples("xy").texts
    assert after.train.label_names == tuple("abcxy")
    assert (after.valid, after.test) == (before.valid, before.test)


def test_classes_of_training_may_have_more_texts():
    after = with_more_training(splits(), examples("a"))
    assert after.train.labels.count(("a",)) == 4


@pytest.mark.parametrize(("leaked", "where"), [("xd", "valid"), ("xg", "test")])
def test_a_class_that_is_held_out_is_refused(leaked, where):
    with pytest.raises(ValueError, match=f"'{leaked[1]}', which are of meta-{where}"):
        with_more_training(splits(), examples(leaked))


def test_splits_by_domain_refuse_a_domain_and_not_a_class():
    def of(domain, names="ab"):
        return examples(names, domains=(domain,) * 4)

    three = data.Splits(of("sea"), of("land"), of("air"))
    joined = with_more_training(three, of("fire"), by="domain").train
    assert joined.domain_names == ("fire", "sea")
    with pytest.raises(ValueError, match="domains 'land'"):
        with_more_training(three, of("land"), by="domain")
    with pytest.raises(ValueError, match="only one of them has domains"):
        with_more_training(three, examples("ab"), by="domain")


def test_variants_that_are_missing_are_none_and_ids_are_left_out():
    some = {"variants": (("v",), ()), "ids": ("1", "2")}
    before = splits("ade", **some)
    train = with_more_training(before, examples("xy")).train
    assert train.variants == (("v",), (), (), (), (), ())
    assert train.ids is None
