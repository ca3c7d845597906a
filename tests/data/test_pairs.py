"""Tests for batches of sources and targets of generative language models."""

import numpy as np
import pytest

from metaflax import data, tasks
from metaflax.data.batching import _seq2seq_batches, _seq2seq_tokens
from metaflax.models.pretrained._train_tokenizer import train_tokenizer

BEGIN, END = 1, 2
TEXTS = ("a b", "c d e f g h")
TARGETS = ("x y", "z x y z")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    return {
        family: train_tokenizer(
            [*TEXTS, *TARGETS], folder / family, vocab_size=259, family=family
        )
        for family in ("gpt", "seq2seq")
    }


def layout(family, *, read=14, said=8):
    return _seq2seq_tokens.PairLayout(BEGIN, END, family == "seq2seq", read, said)


def tokenized(tokenizers, family, *, level=None, on_long="error", **sizes):
    return _seq2seq_tokens.tokenize_pairs(
        tokenizers[family],
        TEXTS,
        TARGETS,
        level=(level or tasks.translation()).texts,
        layout=layout(family, **sizes),
        on_long=on_long,
    )


def words(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


def test_one_network_reads_both_and_is_asked_for_the_target_alone(tokenizers):
    tokenizer, pairs = tokenizers["gpt"], tokenized(tokenizers, "gpt")
    for row, (text, target) in enumerate(zip(TEXTS, TARGETS, strict=True)):
        prompt = [*words(tokenizer, text), BEGIN]
        whole = [*prompt, *words(tokenizer, target), END]
        assert pairs.prompts[row].tolist() == prompt
        assert pairs.inputs[row].tolist() == whole[:-1]
        first, last = pairs.inputs.offsets[row : row + 2]
        nothing = [-1] * (len(prompt) - 1)
        assert pairs.codes.flat[first:last].tolist() == nothing + whole[len(prompt) :]


def test_two_networks_get_them_apart(tokenizers):
    tokenizer, pairs = tokenizers["seq2seq"], tokenized(tokenizers, "seq2seq")
    for row, (text, target) in enumerate(zip(TEXTS, TARGETS, strict=True)):
        said = [*words(tokenizer, target), END]
        assert pairs.prompts[row].tolist() == [BEGIN, *words(tokenizer, text), END]
        assert pairs.inputs[row].tolist() == [BEGIN, *said[:-1]]
        first, last = pairs.inputs.offsets[row : row + 2]
        assert pairs.codes.flat[first:last].tolist() == said


@pytest.mark.parametrize("family", ["gpt", "seq2seq"])
def test_a_task_of_arrays_holds_what_the_rows_hold(tokenizers, family):
    pairs = tokenized(tokenizers, family)
    rows, none = np.arange(2, dtype=np.int32), np.zeros(1, np.int32)
    episode = data.Episode((), None, rows[:1], none, rows[1:], none)
    task = _seq2seq_batches.collate_pairs(
        [episode],
        pairs,
        buckets=data.Buckets((24,)),
        num_classes=1,
        num_support=2,
        num_queries=1,
    )
    assert task.support.weights.tolist() == [[1, 0]]
    inputs = task.query.inputs
    said = inputs.target if family == "seq2seq" else inputs
    if family == "seq2seq":
        read = inputs.source
        assert read.ids[0, 0][read.mask[0, 0] > 0].tolist() == pairs.prompts[1].tolist()
    assert said.ids.shape == task.query.targets.shape == (1, 1, 24)
    assert said.ids[0, 0][said.mask[0, 0] > 0].tolist() == pairs.inputs[1].tolist()
    first, last = pairs.inputs.offsets[1:3]
    assert task.query.targets[0, 0, : last - first].tolist() == (
        pairs.codes.flat[first:last].tolist()
    )
    assert set(task.query.targets[0, 0, last - first :].tolist()) == {-1}


def test_what_is_too_long_is_refused_or_cut_and_counted(tokenizers):
    with pytest.raises(ValueError, match="has 11 tokens and the limit is 5"):
        tokenized(tokenizers, "gpt", read=6)
    pairs = tokenized(tokenizers, "gpt", read=6, said=4, on_long="truncate")
    assert pairs.prompts.num_truncated == pairs.inputs.num_truncated == 1
    assert len(pairs.prompts[1]) == 6
    # A target that was cut has no end.
    assert pairs.codes.flat[-1] != END
    assert pairs.codes.flat[len(pairs.inputs[0]) - 1] == END


def test_of_a_dialogue_the_latest_turns_are_kept(tokenizers):
    tokenizer, level = tokenizers["gpt"], tasks.dialogue().texts
    prompts = _seq2seq_tokens.tokenize_prompts(
        tokenizer, [("a b c d", "e f")], level=level, layout=layout("gpt", read=5)
    )
    assert tokenizer.decode(prompts[0][:-1]) == "\ne f"
    assert prompts[0][-1] == BEGIN
    assert prompts.num_truncated == 1
    assert tokenizer.truncation_side == "right"


def test_what_is_begun_goes_on_behind_the_beginning(tokenizers):
    tokenizer, level = tokenizers["gpt"], tasks.language_modelling().texts
    prompts = _seq2seq_tokens.tokenize_prompts(
        tokenizer, ["a b"], level=level, layout=layout("gpt")
    )
    assert prompts[0].tolist() == [BEGIN, *words(tokenizer, "a b")]
    pairs = tokenized(tokenizers, "gpt", level=tasks.language_modelling())
    assert pairs.inputs[0].tolist() == [BEGIN, *words(tokenizer, "x y")]
    assert -1 not in pairs.codes.flat


def test_two_networks_cannot_go_on_with_a_text(tokenizers):
    level = tasks.language_modelling()
    with pytest.raises(ValueError, match="take a decoder"):
        tokenized(tokenizers, "seq2seq", level=level)


@pytest.mark.parametrize("family", ["gpt", "seq2seq"])
def test_candidates_are_the_texts_of_all_queries_after_each(tokenizers, family):
    pairs = tokenized(tokenizers, family)
    none = np.zeros(0, np.int32)
    episodes = [
        data.Episode((), None, none, none, np.array(rows, np.int32), none)
        for rows in ([0, 1], [1])
    ]
    batch = _seq2seq_batches.collate_candidates(episodes, pairs, 2, data.Buckets((24,)))
    assert batch.targets.shape == (2, 2, 2, 24)
    for query in (0, 1):
        for candidate in (0, 1):
            asked = batch.targets[0, query, candidate]
            first, last = pairs.inputs.offsets[candidate : candidate + 2]
            said = [code for code in pairs.codes.flat[first:last].tolist() if code >= 0]
            assert asked[asked >= 0].tolist() == said
            inputs = batch.inputs
            read = inputs.source if family == "seq2seq" else inputs
            ids = read.ids[0, query, candidate].tolist()
            prompt = pairs.prompts[query].tolist()
            assert ids[: len(prompt)] == prompt
    # The second episode has one query: beyond it nothing is asked.
    assert (batch.targets[1, 0, 0] >= 0).any()
    assert not (batch.targets[1, :, 1] >= 0).any()
