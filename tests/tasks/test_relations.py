"""Tests for relations of marked entities, and for none of the above."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax import base, data, heads, losses, tasks
from metaflax.tasks._mentions import Mention
from tests.tasks import words

TOKENIZER = words.tokenizer("abcdefgh")
FEWREL = {
    "tokens": ["a", "b", "c", "d", "e"],
    "head": {"name": "d e", "spans": [[3, 5], [0, 1]]},
    "tail": {"name": "b", "spans": [[1, 2]]},
}


def read(row):
    return tasks.MENTION.read(tasks.Fields(row, "r.jsonl:4"))


def tokenized(mentions, max_length=64):
    return data.tokenize(
        TOKENIZER,
        mentions,
        max_length=max_length,
        form=tasks.MENTION,
        on_long="truncate",
    )


def test_the_first_range_of_words_is_an_entity():
    mention = read(FEWREL)
    assert mention == Mention("a b c d e", head=(6, 9), tail=(2, 3))


def test_ranges_of_characters_are_read_where_there_are_no_tokens():
    row = {"text": "a bc d", "head": [2, 4], "tail": {"spans": [[5, 6]]}}
    assert read(row) == Mention("a bc d", (2, 4), (5, 6))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mentions_in_any_text_are_written_as_they_were_read(drawn):
    alphabet = st.characters(exclude_categories=["Cs"])
    text = drawn.draw(st.text(alphabet, min_size=1))
    ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))

    def has_a_word(span):
        return span[0] < span[1] and text[slice(*span)].strip()

    if not text.strip():
        return
    spans = [tuple(sorted(drawn.draw(ends))) for _ in range(2)]
    row = {"text": text, "head": list(spans[0]), "tail": list(spans[1])}
    if not all(map(has_a_word, spans)):
        with pytest.raises(ValueError, match=r"r\.jsonl:4: '(head|tail)'"):
            read(row)
        return
    mention = read(row)
    assert tasks.MENTION.row(mention) == row
    assert read(tasks.MENTION.row(mention)) == mention


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_entities_lie_between_their_markers(drawn):
    letters = drawn.draw(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=9))
    ends = st.lists(
        st.integers(0, len(letters)), min_size=2, max_size=2, unique=True
    ).map(sorted)
    head, tail = drawn.draw(ends), drawn.draw(ends)
    row = {"tokens": letters, "head": {"spans": [head]}, "tail": {"spans": [tail]}}
    tokens = tokenized([read(row)])
    found = TOKENIZER.convert_ids_to_tokens(tokens[0].tolist())
    plain = [token for token in found if token not in words.MARKERS]
    assert plain == ["[CLS]", *letters, "[SEP]"]
    for (start, end), opening, closing, mark in (
        (head, *words.MARKERS[:2], tokens.marks[0, 0]),
        (tail, *words.MARKERS[2:], tokens.marks[0, 1]),
    ):
        assert found[mark] == opening
        between = found[mark + 1 : found.index(closing)]
        assert [t for t in between if t not in words.MARKERS] == letters[start:end]
    assert tokens.num_lost == 0


def test_an_entity_lost_to_truncation_is_counted():
    mention = read(FEWREL)  # The head comes last.
    whole = tokenized([mention])
    expected = "[CLS] a [unused3] b [unused4] c [unused1] d e [unused2] [SEP]"
    assert words.as_text(TOKENIZER, whole[0]) == expected
    kept, lost = tokenized([mention], 8), tokenized([mention, mention], 7)
    assert words.as_text(TOKENIZER, kept[0]).endswith("c [unused1] [SEP]")
    assert (kept.num_truncated, kept.num_lost) == (1, 0)
    assert words.as_text(TOKENIZER, lost[0]).endswith("[unused4] c [SEP]")
    assert (lost.num_truncated, lost.num_lost) == (2, 2)
    assert lost.marks.tolist() == [[0, 2]] * 2  # The first token is the fallback.


def test_names_stand_behind_a_text_and_take_a_quarter_of_a_row():
    form, mention = tasks.MENTION.encoded_as("phrase"), read(FEWREL)
    text = "[CLS] a [unused3] b [unused4] c [unused1] d e [unused2] [SEP]"
    names = "[CLS] d e [SEP] [CLS] b [SEP]"
    for max_length, expected, marks in (
        (64, f"{text} {names}", [0, 11, 15, 6, 9, 2, 4]),
        (16, f"{text.replace(' e [unused2]', '')} {names}", [0, 9, 13, 6, 8, 2, 4]),
        (14, f"{text[:41]} [SEP] [CLS] d [SEP] [CLS] b [SEP]", [0, 8, 11, 6, 7, 2, 4]),
        (13, f"{text[:31]} [SEP] [CLS] d [SEP] [CLS] b [SEP]", None),
    ):
        how = {"max_length": max_length, "form": form, "on_long": "truncate"}
        tokens = data.tokenize(TOKENIZER, [mention], **how)
        assert words.as_text(TOKENIZER, tokens[0]) == expected
        assert len(tokens[0]) <= max_length
        assert tokens.num_truncated == (max_length < 64)
        assert tokens.num_lost == (marks is None)
        if marks is not None:
            assert tokens.marks[0].tolist() == marks


def test_the_name_of_a_relation_stands_between_entities_without_words():
    name = "[CLS] [unused1] [unused2] a b [unused3] [unused4] [SEP]"
    for encoding, more in (("one_sequence", ""), ("phrase", " [CLS] [SEP]" * 2)):
        form = tasks.MENTION.encoded_as(encoding)
        named = form.of_name("a b")
        tokens = data.tokenize(TOKENIZER, [named], max_length=64, form=form)
        assert words.as_text(TOKENIZER, tokens[0]) == name + more
        assert tokens.marks[0].tolist()[-4:] == (
            [1, 5] if encoding == "one_sequence" else [1, 2, 5, 6]
        )


def test_an_entity_without_words_comes_after_the_end_of_another():
    mention = Mention("a b", head=(0, 1), tail=(1, 1))
    expected = "[CLS] [unused1] a [unused2] [unused3] [unused4] b [SEP]"
    assert words.as_text(TOKENIZER, tokenized([mention])[0]) == expected


def test_marks_are_kept_on_disk(tmp_path):
    options = {"max_length": 8, "form": tasks.MENTION, "on_long": "truncate"}
    mentions = [read(FEWREL)] * 2
    first = data.tokenize(TOKENIZER, mentions, cache_dir=tmp_path, **options)
    again = data.tokenize(TOKENIZER, mentions, cache_dir=tmp_path, **options)
    assert again.marks.tolist() == first.marks.tolist()
    assert again.num_lost == first.num_lost


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": {"spans": [[3, 6]]}}, r"'head' is the range \[3, 6\], outside"),
        ({"tail": {"spans": [[2, 2]]}}, r"'tail' is the range \[2, 2\], outside"),
        ({"tail": {"spans": [[-1, 2]]}}, r"'tail' is the range \[-1, 2\], outside"),
        ({"head": {"spans": []}}, "'head' holds .* where a range"),
        ({"head": {"spans": [["0", 1]]}}, "'head' holds .* where a range"),
        ({"head": "d e"}, "'head' holds 'd e' where a range"),
        ({"tokens": "a b c"}, "'tokens' is to be a list of words"),
        ({"tokens": ["a", " ", "c", "d", "e"]}, "'tail' .* holds no word"),
        ({"tokens": ["a", "\ud800", "c", "d", "e"]}, "half of a surrogate pair"),
    ],
)
def test_what_is_no_mention_is_named_with_its_place(changes, message):
    with pytest.raises(ValueError, match=rf"r\.jsonl:4: .*{message}"):
        read({**FEWREL, **changes})


def test_a_tokenizer_without_markers_is_refused():
    plain = words.tokenizer("abcde", markers=())
    with pytest.raises(ValueError, match=r"no \[unused1\], \[unused2\]"):
        tasks.MENTION.encode(plain, [read(FEWREL)], None)


def test_none_is_the_last_answer_in_loss_metrics_and_decoding():
    task = tasks.relations(none=True)
    logits = jnp.array([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0], [0.0, 4.0, 5.0]])
    outputs = base.ClassOutputs(logits, jnp.ones(3, bool))
    targets, ones = jnp.array([0, -1, 1]), jnp.ones(3)
    expected = losses.softmax_cross_entropy(outputs, jnp.array([0, 2, 1]), ones)
    np.testing.assert_allclose(task.loss(outputs, targets, ones), expected)
    scores = {n: float(f(outputs, targets, ones)) for n, f in task.metrics.items()}
    assert scores == pytest.approx(
        {"accuracy": 2 / 3, "none_precision": 1 / 2, "none_recall": 1}
    )
    answers = task.decode(outputs, ["x", "y", *task.others])
    assert [answer["label"] for answer in answers] == ["x", *task.others, *task.others]


def test_heads_are_completed_with_none_only_where_it_is_asked_for():
    features, targets = jnp.eye(2), jnp.array([0, 1])
    for none, width in ((True, 3), (False, 2)):
        head = tasks.relations(none=none).complete(heads.prototypes(2))
        state = head.fit(head.init(None), features, targets, jnp.ones(2))
        assert head.apply(state, features).logits.shape == (2, width)
