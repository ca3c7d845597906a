"""Fuzzing of checkpoints: their weights, their configuration and their tokenizer."""

import json
import shutil
import struct

import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors.numpy

from metaflax import models
from metaflax.models import pretrained
from metaflax.models.families._registry import load_masked_lm
from metaflax.models.families.t5._network import t5
from metaflax.models.pretrained import _files
from metaflax.models.pretrained._torch_files import read_torch_file
from tests.fuzz.damage import (
    SIZES,
    as_json,
    changed,
    files_like,
    inputs,
    read_or_refused,
    refusal,
)
from tests.models import speakers
from tests.models.pretrained.test_load import tensors, write

TENSORS = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.arange(3, dtype=np.int64),
    "c": np.float16([0.5, 1.5]),
}
HEADER = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "I64", "shape": [2], "data_offsets": [24, 40]},
}


def small(tensors):
    """Checks that tensors are no larger than a file of a few kB can hold."""
    for tensor in (tensors or {}).values():
        assert isinstance(tensor, np.ndarray)
        assert tensor.nbytes < 2**16


@SIZES
def test_damaged_safetensors_are_read_or_refused(thousands, tmp_path):
    path = tmp_path / "model.safetensors"
    content = safetensors.numpy.save(TENSORS, metadata={"format": "pt"})

    @inputs(200, thousands, damage=files_like(content))
    def check(damage):
        path.write_bytes(damage)
        small(read_or_refused(_files.read_file, path))


@SIZES
def test_odd_headers_of_safetensors_are_read_or_refused(thousands, tmp_path):
    path = tmp_path / "model.safetensors"
    odd = st.sampled_from(["BF16", "F8_E4M3", "F8_E5M2", "F4", "C64", "F64", "U8"])

    @inputs(200, thousands, header=changed(HEADER), dtype=odd)
    def check(header, dtype):
        text = as_json(header).replace("F32", dtype).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(40))
        small(read_or_refused(_files.read_file, path))


@SIZES
def test_damaged_files_of_torch_are_read_or_refused(thousands, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(2, 3), "b": torch.arange(4)}, path)
    content = path.read_bytes()

    @inputs(150, thousands, damage=files_like(content))
    def check(damage):
        path.write_bytes(damage)
        small(read_or_refused(read_torch_file, path))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Directories with a small model of each family, by name."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("bert", "words"):
        (folder / name).mkdir()
    write(folder / "bert", tensors())
    vocabulary = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"])
    (folder / "words" / "vocab.txt").write_text(vocabulary)
    (folder / "words" / "config.json").write_text('{"model_type": "bert"}')
    gpt = speakers.random_params(models.gpt(speakers.GPT))
    pair = speakers.random_params(models.seq2seq(speakers.SEQ2SEQ))
    source = {"tokenizer_from": folder / "words"}
    models.save(folder / "gpt", speakers.GPT, gpt, **source)
    models.save(folder / "seq2seq", speakers.SEQ2SEQ, pair, **source)
    params = speakers.random_params(t5(speakers.T5))
    models.save(folder / "t5", speakers.T5, params, **source)
    return folder


LOADERS = {
    "bert": models.load,
    "masked words": load_masked_lm,
    "gpt": models.load,
    "seq2seq": models.load,
    "t5": models.load,
}


@SIZES
@pytest.mark.parametrize("name", list(LOADERS))
def test_odd_configurations_of_checkpoints_are_read_or_refused(
    name, checkpoints, thousands, tmp_path
):
    source = checkpoints / (name if name in ("gpt", "seq2seq", "t5") else "bert")
    folder = shutil.copytree(source, tmp_path / "model")
    path = folder / "config.json"
    good = json.loads(path.read_text())
    good |= {"problem_type": None, "metaflax": {"task": "classification"}}
    assert refusal(LOADERS[name], folder)[1] is None

    @inputs(20, thousands, content=changed(good))
    def check(content):
        path.write_text(as_json(content))
        # For tensors that do not fit, the message names the folder.
        read_or_refused(LOADERS[name], folder)


@SIZES
def test_damaged_tokenizers_are_read_or_refused(checkpoints, thousands, tmp_path):
    folder = shutil.copytree(checkpoints / "words", tmp_path / "model")
    pretrained.tokenizer(folder).save_pretrained(folder)
    path = folder / "tokenizer.json"
    damage = files_like(path.read_bytes())
    damage |= changed(json.loads(path.read_text())).map(lambda x: as_json(x).encode())

    @inputs(20, thousands, damage=damage)
    def check(damage):
        path.write_bytes(damage)
        read_or_refused(pretrained.tokenizer, folder)


@SIZES
def test_damaged_indices_of_shards_are_read_or_refused(thousands, tmp_path):
    safetensors.numpy.save_file({"a": np.ones(2)}, tmp_path / "one.safetensors")
    safetensors.numpy.save_file({"b": np.ones(2)}, tmp_path / "two.safetensors")
    path = tmp_path / "model.safetensors.index.json"
    good = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}

    @inputs(120, thousands, content=changed(good))
    def check(content):
        path.write_text(as_json(content))
        small(read_or_refused(_files.read_tensors, tmp_path))
