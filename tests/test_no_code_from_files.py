"""Tests that no code is run from files: no pickle, remote code or expression."""

import ast
import gc
import json
import os
import pickle
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import metaflax
from metaflax import training
from metaflax.data.batching import _tokenize
from metaflax.models.pretrained import _files
from metaflax.models.pretrained._torch_files import read_torch_file
from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping
from tests.fuzz.damage import refusal

SOURCES = sorted(Path(metaflax.__file__).parent.rglob("*.py"))
# Functions that run code from bytes, or unpickle.
RUNS = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
MODULES |= {"yaml", "torch", "runpy", "code"}
# A config file is the user's own program. Other calls of `compile` are methods, of
# regular expressions and steps.
KNOWN = {("config/_files.py", "exec"), ("config/_files.py", "compile")}


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(function):
    """The last part of a called name, and whether it is a bare name."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


def sources():
    root = Path(metaflax.__file__).parent
    for path in SOURCES:
        yield path.relative_to(root).as_posix(), ast.parse(path.read_text())


def test_nothing_makes_code_of_what_it_reads_but_the_config_file():
    found = {
        (place, call.func.id)
        for place, tree in sources()
        for call in calls(tree)
        if isinstance(call.func, ast.Name) and call.func.id in RUNS
    }
    assert found == KNOWN


def test_no_module_is_imported_that_runs_what_it_reads():
    for place, tree in sources():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names}
            assert not roots & MODULES, f"{place} imports {roots & MODULES}"


def keyword(call, name):
    for word in call.keywords:
        if word.arg == name:
            return ast.literal_eval(word.value)
    return None


def test_numpy_is_asked_for_no_pickle_and_transformers_for_no_remote_code():
    loads, pretrained = [], []
    for place, tree in sources():
        for call in calls(tree):
            name = name_of(call.func)
            if name == "load" and ast.unparse(call.func) == "np.load":
                loads.append((place, keyword(call, "allow_pickle")))
            if name == "from_pretrained":
                pretrained.append((place, keyword(call, "trust_remote_code")))
            assert keyword(call, "trust_remote_code") in (None, False), place
    assert loads
    assert pretrained
    assert {allowed for _, allowed in loads + pretrained} == {False}


class Payload:
    """A payload that creates a file when unpickled."""

    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.fixture
def payload(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield pickle.dumps(Payload())
    assert not (tmp_path / "ran").exists()


def test_the_payload_would_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Payload()))
    assert (tmp_path / "ran").exists()


def npy(payload):
    """A pickle in the format of NumPy's arrays of objects."""
    described = "{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header = described.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def test_a_pickle_in_kept_tokens_is_not_run(payload, tmp_path):
    path = tmp_path / "tokens-0.npz"
    path.write_bytes(payload)
    assert _tokenize._load(path) is None
    for member in _tokenize._ARRAYS:
        with zipfile.ZipFile(path, "w") as archive:
            for name in (*_tokenize._ARRAYS, "digest"):
                if name == member:
                    archive.writestr(f"{name}.npy", npy(payload) + payload)
                else:
                    with archive.open(f"{name}.npy", "w") as file:
                        np.save(file, np.zeros(1, np.int32))
        assert _tokenize._load(path) is None


@pytest.mark.parametrize("as_entry", [False, True])
def test_a_pickle_in_place_of_weights_is_not_run(payload, as_entry, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(payload)
    if as_entry:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", payload)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin"):
        read_torch_file(path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(payload)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        _files.read_file(path)


@pytest.fixture
def collected():
    """Collects garbage within the test."""
    yield
    gc.collect()


# Orbax leaves unfinished reads of a damaged file behind.
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning"
)
@pytest.mark.usefixtures("collected")
def test_pickles_in_place_of_a_checkpoint_are_not_run(payload, tmp_path):
    state = TrainState(
        jnp.zeros((), jnp.int32), {"w": jnp.ones(3)}, (), jnp.zeros(2, jnp.uint32)
    )
    folder = tmp_path / "checkpoints"
    checkpoints = training.Checkpoints(folder)
    checkpoints.save(state, Stopping(), 0.0)
    checkpoints.close()
    said = []
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        good = path.read_bytes()
        path.write_bytes(payload)
        checkpoints = training.Checkpoints(folder, read_only=True)
        restored, refused = refusal(checkpoints.restore, state, 0)
        checkpoints.close()
        path.write_bytes(good)
        said.append(refused)
        # Not every file is read.
        assert refused is not None or (restored[0].params["w"] == 1).all()
    assert any(said)
    assert all("damaged" in refused for refused in said if refused)


def test_a_tokenizer_of_remote_code_is_not_run(payload, tmp_path):
    from metaflax.models import pretrained

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "evil.py").write_text("open('ran', 'w')\n")
    (folder / "tokenizer.json").write_text("{}")
    remote = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    described = {"tokenizer_class": "Evil", "auto_map": remote}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="holds no tokenizer"):
        pretrained.tokenizer(folder)
