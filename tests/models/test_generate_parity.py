"""Tests for generation against torch's `generate`, with the same random weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.families.t5._network import t5
from tests import marks
from tests.models.examples import random_tokens
from tests.models.speakers import (
    GPT,
    SEQ2SEQ,
    T5,
    padded_left,
    texts,
    varied_params,
)

pytestmark = pytest.mark.thorough

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


T, END, PAD = 9, 2, 0
SEEDS = range(3)
BEAMS = [
    {"num_beams": 2},
    {"num_beams": 3, "length_penalty": 0.0},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 5, "length_penalty": -1.0},
    {"num_beams": 3, "length_penalty": 0.6, "early_stopping": "never"},
    {"num_beams": 3, "repetition_penalty": 1.5},
]


@pytest.fixture(scope="module")
def gpts(tmp_path_factory):
    """A GPT-2 and its parameters for each seed, and torch's."""
    return saved(tmp_path_factory, models.gpt(GPT), GPT, models.save)


@pytest.fixture(scope="module")
def seq2seqs(tmp_path_factory):
    """An encoder-decoder and its parameters for each seed, and torch's."""
    model = models.seq2seq(SEQ2SEQ)
    return saved(tmp_path_factory, model, SEQ2SEQ, models.save)


@pytest.fixture(scope="module")
def t5s(tmp_path_factory):
    """A T5 and its parameters for each seed, and torch's."""
    return saved(tmp_path_factory, t5(T5), T5, models.save)


def saved(tmp_path_factory, model, config, save):
    words = tmp_path_factory.mktemp("words")
    (words / "tokenizer.json").write_text("{}")
    found = []
    for seed in SEEDS:
        params = varied_params(model, seed=seed)
        directory = tmp_path_factory.mktemp("saved") / "model"
        save(directory, config, params, tokenizer_from=words)
        kind = (
            transformers.AutoModelForCausalLM
            if config is GPT
            else transformers.AutoModelForSeq2SeqLM
        )
        found.append((params, kind.from_pretrained(directory).eval()))
    return model, found


def torch_generates(model, inputs, prompt, **setting):
    """New ids of each text, up to its end."""
    inputs = {k: torch.tensor(np.array(v)).long() for k, v in inputs.items()}
    with torch.no_grad():
        rows = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=T,
            eos_token_id=END,
            pad_token_id=PAD,
            **setting,
        )
    rows = rows[:, prompt:].tolist()
    return [row[: row.index(END) + 1] if END in row else row for row in rows]


def assert_same_texts(generate, params, prompts, expected):
    ids, mask, _ = generate(params, prompts)
    lengths = np.sum(mask, axis=1)
    ours = [row[:n].tolist() for row, n in zip(np.asarray(ids), lengths, strict=True)]
    assert ours == expected
    return lengths


def gpt_cases(gpts, *, padded, make, **setting):
    """Compares texts of all seeds; returns their lengths."""
    model, found = gpts
    generate = make(model, max_new=T, end=END, pad=PAD, **setting)
    lengths = []
    for seed, (params, theirs) in zip(SEEDS, found, strict=True):
        prompts = texts(GPT.vocab_size, (7, 3, 1, 5) if padded else (7,) * 4, seed=seed)
        left = padded_left(prompts)  # As in torch.
        inputs = {"input_ids": left.ids, "attention_mask": left.mask}
        expected = torch_generates(theirs, inputs, left.ids.shape[1], **setting)
        lengths.append(assert_same_texts(generate, params, prompts, expected))
    return np.concatenate(lengths)


def bert_sources(seed):
    return random_tokens(SEQ2SEQ.encoder, seed=seed)


def t5_sources(seed):
    """Sources and targets are longer than the distances of most buckets."""
    return texts(T5.vocab_size, (13, 3, 1, 12), length=13, seed=seed)


def seq2seq_cases(seq2seqs, *, make, sources=bert_sources, **setting):
    """Compares texts of all seeds; returns their lengths."""
    model, found = seq2seqs
    generate = make(model, max_new=T, end=END, pad=PAD, **setting)
    lengths = []
    for seed, (params, theirs) in zip(SEEDS, found, strict=True):
        prompts = sources(seed)
        inputs = {"input_ids": prompts.ids, "attention_mask": prompts.mask}
        if prompts.types is not None:
            inputs["token_type_ids"] = prompts.types
        expected = torch_generates(theirs, inputs, 1, **setting)
        lengths.append(assert_same_texts(generate, params, prompts, expected))
    return np.concatenate(lengths)


def some_end(lengths):
    """Returns whether texts of several lengths were compared."""
    return len(np.unique(lengths)) > 1


def test_greedy_texts_of_gpts_are_torchs(gpts):
    assert some_end(gpt_cases(gpts, padded=True, make=models.greedy))


def test_greedy_texts_of_encoder_decoders_are_torchs(seq2seqs):
    assert some_end(seq2seq_cases(seq2seqs, make=models.greedy))


@pytest.mark.parametrize("setting", marks.quick([None, *BEAMS], [None, BEAMS[4]]))
def test_texts_of_t5s_are_torchs(t5s, setting):
    make = models.greedy if setting is None else models.beam_search
    cases = seq2seq_cases(t5s, make=make, sources=t5_sources, **(setting or {}))
    assert some_end(cases)


@pytest.mark.parametrize("setting", marks.quick(BEAMS, BEAMS[3:]))
def test_the_best_texts_of_gpts_are_torchs(gpts, setting):
    # Torch penalises words of padding, too.
    padded = "repetition_penalty" not in setting
    make = models.beam_search
    assert some_end(gpt_cases(gpts, padded=padded, make=make, **setting))


@pytest.mark.parametrize(
    "setting",
    marks.quick(BEAMS, BEAMS[4:]),
)
def test_the_best_texts_of_encoder_decoders_are_torchs(seq2seqs, setting):
    make = models.beam_search
    assert some_end(seq2seq_cases(seq2seqs, make=make, **setting))


def test_penalized_greedy_texts_are_torchs(gpts, seq2seqs):
    setting = {"make": models.greedy, "repetition_penalty": 1.3}
    gpt_cases(gpts, padded=False, **setting)
    seq2seq_cases(seq2seqs, **setting)


def test_scores_of_the_best_texts_are_torchs(gpts):
    model, [(params, theirs), *_] = gpts
    prompts = texts(GPT.vocab_size, (7,) * 4)
    setting = {"num_beams": 3, "length_penalty": 0.7}
    generate = models.beam_search(model, max_new=T, end=END, pad=PAD, **setting)
    with torch.no_grad():
        expected = theirs.generate(
            torch.tensor(np.array(prompts.ids)).long(),
            attention_mask=torch.tensor(np.array(prompts.mask)).long(),
            do_sample=False,
            max_new_tokens=T,
            eos_token_id=END,
            pad_token_id=PAD,
            return_dict_in_generate=True,
            output_scores=True,
            **setting,
        ).sequences_scores
    scores = generate(params, prompts).scores
    assert jnp.all(scores < 0)
    np.testing.assert_allclose(scores, expected.numpy(), rtol=1e-4)
