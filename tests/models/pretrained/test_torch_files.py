"""Tests that files of torch are read without running code."""

import json
import os
import pickle
import subprocess
import sys
import zipfile

import chex
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from metaflax import models
from metaflax.models.pretrained._torch_files import read_torch_file
from tests.models.pretrained.test_load import tensors as a_bert
from tests.models.pretrained.test_load import write

torch = pytest.importorskip("torch")
import safetensors.torch  # noqa: E402

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16")
DTYPES += ("int8", "uint8", "bool")


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_every_type_are_those_that_were_saved(dtype, tmp_path):
    tensor = torch.arange(-3, 9).reshape(3, 4).to(getattr(torch, dtype))
    content = {"all": tensor, "none": tensor[:0], "one": tensor[1, 1]}
    found = read_torch_file(saved(tmp_path / "x.bin", content))
    assert list(found) == list(content)
    for name, x in found.items():
        expected = content[name].to(torch.float64).numpy()
        assert str(x.dtype) == dtype
        np.testing.assert_array_equal(x.astype(np.float64), expected)


def test_views_of_one_storage_and_parameters_are_read(tmp_path):
    whole = torch.randn(6, 5)
    content = {
        "turned": whole.T,
        "part": whole[1:4, ::2],
        "parameter": torch.nn.Parameter(whole[2]),
        "tied": whole,
    }
    found = read_torch_file(saved(tmp_path / "x.bin", content))
    for name, tensor in content.items():
        np.testing.assert_array_equal(found[name], tensor.detach().numpy())
        assert not found[name].flags.writeable


def test_the_state_of_modules_is_read(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = module.state_dict()  # Which has attributes, and counts of type int64.
    found = read_torch_file(saved(tmp_path / "x.bin", state))
    assert list(found) == list(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


@pytest.mark.parametrize("shards", [1, 2])
def test_a_bert_in_files_of_torch_is_the_same_as_in_safetensors(shards, tmp_path):
    expected, folder = tmp_path / "safe", tmp_path / "bins"
    expected.mkdir()
    folder.mkdir()
    write(expected, a_bert())
    tensors = safetensors.torch.load_file(expected / "model.safetensors")
    (folder / "config.json").write_bytes((expected / "config.json").read_bytes())
    names = sorted(tensors)
    if shards == 1:
        saved(folder / "pytorch_model.bin", tensors)
    else:
        files = [f"pytorch_model-{n + 1}.bin" for n in range(shards)]
        weight_map = {name: files[n % shards] for n, name in enumerate(names)}
        for file in files:
            part = {n: tensors[n] for n in names if weight_map[n] == file}
            saved(folder / file, part)
        index = folder / "pytorch_model.bin.index.json"
        index.write_text(json.dumps({"weight_map": weight_map}))
    one, other = (models.load(path).params for path in (expected, folder))
    chex.assert_trees_all_equal(one, other)


class Calls:
    """A payload that calls a function when unpickled."""

    def __init__(self, function, *args):
        self._call = function, args

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": Calls(os.system, "touch ran")}, "would call posix system"),
        ({"x": Calls(eval, "open('ran', 'w')")}, "would call .*builtin.* eval"),
        ({"x": Calls(getattr, "load", "split")}, "would call .*builtin.* getattr"),
        ({"x": 3}, "something else than tensors by name"),
        ([torch.ones(2)], "more than tensors: the instruction APPEND"),
        ({"x": torch.ones(2), 3: torch.ones(2)}, "names that are no text"),
        (torch.ones(2), "something else than tensors by name"),
        ({"x": torch.ones(1).expand(9)}, r"a tensor \[9\] reaches out of its storage"),
        (
            {"x": torch.ones(2, dtype=torch.complex64)},
            "numbers of the type torch Compl",
        ),
    ],
)
def test_what_makes_anything_but_tensors_is_refused_and_not_run(
    content, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "x.bin", content)
    with pytest.raises(ValueError, match=message) as error:
        read_torch_file(path)
    assert str(path) in str(error.value)
    assert not (tmp_path / "ran").exists()


def rewritten(path, changes, **options):
    """The archive with other entries, by the ends of their names."""
    with zipfile.ZipFile(path) as archive:
        entries = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries.items():
            new = changes.get(name.split("/", 1)[1], content)
            if new is not None:
                archive.writestr(name, new)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data/0": None}, "has no entry 'data/0'"),
        ({"data/0": b"123"}, "storage 0 is cut off"),
        ({"data/0": bytes(100)}, "compressed or too large"),
        ({"data.pkl": None}, "no weight file of torch; it has no data.pkl"),
        ({"byteorder": b"big"}, "big-endian"),
        ({"data.pkl": b"\x80\x02}q\x00"}, "does not end|damaged|exhausted"),
        ({"data.pkl": b"."}, "damaged"),
        ({"data.pkl": b"u."}, "damaged"),
        ({"data.pkl": b"(" * 9 + b"t" * 10 + b"."}, "damaged"),
    ],
)
def test_archives_that_are_not_whole_are_refused(changes, message, tmp_path):
    path = saved(tmp_path / "x.bin", {"x": torch.ones(2, 4)})
    with pytest.raises(ValueError, match=message):
        read_torch_file(rewritten(path, changes))


def test_compressed_entries_are_refused(tmp_path):
    path = saved(tmp_path / "x.bin", {"x": torch.ones(2, 4)})
    rewritten(path, {}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed or too large"):
        read_torch_file(path)


def test_the_old_format_is_refused_with_what_to_do(tmp_path):
    content, options = {"x": torch.ones(2)}, {"_use_new_zipfile_serialization": False}
    path = saved(tmp_path / "x.bin", content, **options)
    with pytest.raises(ValueError, match=r"before version 1\.6; open and save it with"):
        read_torch_file(path)


def test_other_files_are_called_damaged(tmp_path):
    path = tmp_path / "x.bin"
    for content in (b"", b"PK", pickle.dumps({"x": 1}), b"\0" * 1000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or no weight file of torch"):
            read_torch_file(path)
    with pytest.raises(ValueError, match="nowhere"):
        read_torch_file(tmp_path / "nowhere")


def test_programs_that_share_a_lot_take_no_memory(tmp_path):
    """Sixty nested pairs of shared objects are a tree of a quintillion leaves."""
    shared = b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b"."
    path = saved(tmp_path / "x.bin", {"x": torch.ones(2)})
    with pytest.raises(ValueError, match="something else than tensors"):
        read_torch_file(rewritten(path, {"data.pkl": shared}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    content = {"a.weight": torch.randn(3, 4), "a.bias": torch.arange(5).half()}
    path = saved(tmp_path_factory.mktemp("whole") / "x.bin", content)
    return path, path.read_bytes(), read_torch_file(path)


def read_or_refused(path):
    """The tensors, or None after an error that names the file."""
    try:
        return read_torch_file(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
        return None


SETTINGS = hypothesis.settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@SETTINGS
@hypothesis.given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_of_damage_is_found_or_does_no_harm(place, bit, whole):
    content = bytearray(whole[1])
    content[int(place * len(content))] ^= 1 << bit
    path, _, expected = whole
    path.write_bytes(content)
    found = read_or_refused(path)
    if found is not None:
        kept = [x.tobytes() for x in found.values()]
        assert kept == [x.tobytes() for x in expected.values()]
        assert list(found) == list(expected)


@SETTINGS
@hypothesis.given(keep=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_off_is_refused(keep, whole):
    path, content, _ = whole
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match="damaged|no weight file"):
        read_torch_file(path)


@SETTINGS
@hypothesis.given(program=st.binary(max_size=60), tail=st.booleans())
def test_any_program_makes_tensors_or_an_error(program, tail, whole):
    path, content, _ = whole
    path.write_bytes(content)
    rewritten(path, {"data.pkl": b"\x80\x02" + program + b"." * tail})
    found = read_or_refused(path)
    assert all(isinstance(x, np.ndarray) for x in (found or {}).values())


def test_torch_is_not_imported():
    code = (
        "import sys; from metaflax.models.pretrained import _torch_files;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
