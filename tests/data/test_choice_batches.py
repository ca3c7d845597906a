"""Tests that errors name the part of a text that exceeds the template's room."""

import pytest

from metaflax import tasks
from metaflax.data.batching._choice_batches import write_choices
from metaflax.tasks._multiple_choice import ChoiceQuestion
from tests.tasks import words

TOKENIZER = words.tokenizer("abcdefgh")


def written(texts, **how):
    template = tasks.Template(prompt="{text} h", target=" {label}")
    task = tasks.multiple_choice().written(template)
    questions = [ChoiceQuestion(text, ("a", "b")) for text in texts]
    sizes = {"max_length": 4, "max_target_length": 4, "end": 0}
    return write_choices(TOKENIZER, questions, task, (), **sizes, **how)


def test_a_text_that_is_too_long_is_the_one_that_is_shown():
    with pytest.raises(ValueError, match=r"example 1 has 5 tokens .* 3: 'b c d e f'"):
        written(["a", "b c d e f"], on_long="error")


def test_truncated_texts_are_counted():
    assert written(["a", "b c d e f", "b c d"]).num_truncated == 1
