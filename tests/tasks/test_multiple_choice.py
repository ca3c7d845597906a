"""Tests for multiple choice: encoding and predictions."""

import numpy as np
import pytest

from metaflax import base, data, tasks
from metaflax.tasks._multiple_choice import ChoiceQuestion
from tests.tasks import words

TOKENIZER = words.tokenizer("abcdefgh")
TWO = ChoiceQuestion("a b", ("c", "d e"))
THREE = ChoiceQuestion("f", ("g", "h", "a b c"))


def tokenized(questions, encoding, max_length=16, on_long="error"):
    form = tasks.multiple_choice().form.encoded_as(encoding)
    return data.tokenize(
        TOKENIZER, questions, max_length=max_length, form=form, on_long=on_long
    )


def test_each_choice_is_read_with_the_text():
    tokens = tokenized([TWO, THREE], "one_sequence")
    first = "[CLS] a b [SEP] c [SEP] [CLS] a b [SEP] d e [SEP]"
    assert words.as_text(TOKENIZER, tokens[0]) == first
    assert tokens.parts.tolist() == [[6, 7, 0], [5, 5, 7]]
    assert tokens.types[:13].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    assert tokens.widths.tolist() == [7, 7]


def test_two_towers_read_the_text_once_and_each_choice_apart():
    tokens = tokenized([TWO, THREE], "two_towers")
    first = "[CLS] a b [SEP] [CLS] c [SEP] [CLS] d e [SEP]"
    assert words.as_text(TOKENIZER, tokens[0]) == first
    assert tokens.parts.tolist() == [[4, 3, 4, 0], [3, 3, 3, 5]]
    assert tokens.types is None


@pytest.mark.parametrize("encoding", ["one_sequence", "two_towers"])
def test_each_sequence_is_cut_to_the_limit_and_its_question_counted(encoding):
    long = ChoiceQuestion("a b c d", ("e f g h", "a"))
    tokens = tokenized([long, TWO], encoding, 5, "truncate")
    assert tokens.widths.max() == 5
    assert tokens.num_truncated == (2 if encoding == "one_sequence" else 1)
    with pytest.raises(ValueError, match="and the limit is 5 for each sequence"):
        tokenized([long], encoding, 5)


def test_rows_of_a_batch_lie_on_a_grid_of_sequences():
    tokens = tokenized([TWO, THREE], "two_towers")
    batch = data.collate_texts(tokens, [1, 0], 3, data.Buckets((6,), budget_multiple=8))
    assert batch.ids.shape == (3, 4 * 6)
    assert batch.marks.tolist() == [[0, 6, 12, 18]] * 3
    lengths = batch.mask.reshape(3, 4, 6).sum(axis=-1)
    assert lengths.tolist() == [[3, 3, 3, 5], [4, 3, 4, 0], [0, 0, 0, 0]]
    real = batch.packed[batch.packed < batch.ids.size]
    np.testing.assert_array_equal(real, np.flatnonzero(batch.mask))
    cells = batch.ids.reshape(3, 4, 6)
    assert words.as_text(TOKENIZER, cells[1, 2][:4]) == "[CLS] d e [SEP]"


def test_tokens_from_the_cache_are_the_same(tmp_path):
    form = tasks.multiple_choice().form

    def read():
        return data.tokenize(
            TOKENIZER, [TWO, THREE], max_length=9, form=form, cache_dir=tmp_path
        )

    np.testing.assert_array_equal(read().parts, read().parts)
    assert len(list(tmp_path.iterdir())) == 1


def test_predictions_name_the_choice_and_leave_out_absent_ones():
    task = tasks.multiple_choice()
    floor = np.finfo(np.float32).min / 2
    logits = np.array([[0.0, np.log(3.0), floor], [1.0, 1.0, 1.0]], np.float32)
    outputs = base.ClassOutputs(logits, np.ones(3, bool))
    rows = zip([TWO, THREE], task.decode(outputs, []), strict=True)
    first, second = [task.describe(*row) for row in rows]
    assert first == {"label": 1, "choice": "d e", "probabilities": [0.25, 0.75]}
    assert second["label"] == 0
    assert sum(second["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_other_pair_encodings_are_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="'both'.*as one_sequence or two_towers"):
        tasks.multiple_choice().form.encoded_as("both")
