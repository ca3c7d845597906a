"""Tests that generation stops at every end token that a model's files name."""

import json

import numpy as np
import pytest

from metaflax import models, workflows
from metaflax.config import DataConfig, ModelConfig
from metaflax.models.generation._decoding import DecodingConfig
from metaflax.models.pretrained import _files
from metaflax.workflows.runs._load_model import load_generative

SHORT = DataConfig(max_length=8, max_target_length=6)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A small Llama with one end token."""
    return workflows.new_language_model(
        tmp_path_factory.mktemp("models") / "llama",
        ["a word, and another one"] * 4,
        family="llama",
        vocab_size=262,
        width=8,
        heads=2,
        layers=1,
        positions=16,
        dropout=0.0,
    )


def generated(loaded):
    prompts = models.Tokens(np.array([[70, 80, 90]]), None, np.ones((1, 3), np.int32))
    generate = loaded.generator(loaded.text_layout(SHORT), DecodingConfig())
    ids, mask, _ = generate(loaded.pretrained.params, prompts)
    return [int(i) for i in ids[0][: int(mask.sum())]], loaded.text(ids[0], mask[0])


@pytest.mark.parametrize("name", ["config.json", _files.GENERATION])
def test_every_end_that_files_name_stops_a_text(name, plain, tmp_path):
    loaded = load_generative(ModelConfig(name=str(plain)))
    first, text = generated(loaded)
    assert len(first) > 1
    assert text
    ends = [loaded.pretrained.config.end, first[0]]

    directory = tmp_path / "several"
    loaded.save(directory, loaded.pretrained.params)
    path = directory / name
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, "eos_token_id": ends}))
    for place in (directory, tmp_path / "again"):
        stopping = load_generative(ModelConfig(name=str(place)))
        assert stopping.further_ends == (first[0],)
        assert generated(stopping) == (first[:1], "")
        if place == directory:
            stopping.save(tmp_path / "again", stopping.pretrained.params)


@pytest.mark.parametrize("ends", ["</s>", [3, None], -1, True, {}])
def test_an_end_that_is_no_id_is_named(ends, tmp_path):
    (tmp_path / _files.GENERATION).write_text(json.dumps({"eos_token_id": ends}))
    with pytest.raises(ValueError, match=r"generation_config.json: eos_token_id="):
        _files.generation_ends(tmp_path)
