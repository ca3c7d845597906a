"""Fuzzing of checkpoints: their weights, their configuration and their tokenizer."""

import json
import shutil
import struct

import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors.numpy

from metaflax.models import pretrained
from metaflax.models.pretrained import _files
from metaflax.models.pretrained._torch_files import read_torch_file
from tests.fuzz.damage import (
    SIZES,
    as_json,
    changed,
    files_like,
    inputs,
    read_or_refused,
)
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


def small(found):
    """Nothing was made up: all numbers come out of a file of a few kB."""
    for tensor in (found or {}).values():
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
def bert(tmp_path_factory):
    """A directory with a small BERT."""
    return write(tmp_path_factory.mktemp("bert"), tensors())


@SIZES
def test_odd_configurations_of_checkpoints_are_read_or_refused(
    bert, thousands, tmp_path
):
    folder = shutil.copytree(bert, tmp_path / "model")
    path = folder / "config.json"
    good = json.loads(path.read_text())
    good |= {"id2label": {"0": "a", "1": "b"}, "problem_type": None, "metaflax": {}}
    good |= {"architectures": ["BertForSequenceClassification"]}
    loaders = (pretrained.load, pretrained.load_masked_lm, pretrained.load_gpt)

    @inputs(25, thousands, content=changed(good), load=st.sampled_from(loaders))
    def check(content, load):
        path.write_text(as_json(content))
        # Of tensors that do not fit, the message names the folder.
        read_or_refused(load, folder)


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
