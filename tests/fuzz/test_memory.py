"""Tests that small files that claim huge contents are refused in little memory."""

import io
import json
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

# Largest growth of a process's memory after all imports.
ROOM = 256 * 2**20

READ = """
import resource, sys
import numpy as np
from pathlib import Path
from metaflax import data
from metaflax.data.on_disk import _postings
from metaflax.data.batching import _tokenize
from metaflax.models import load
from metaflax.models.pretrained import _files
from metaflax.models.pretrained._torch_files import read_torch_file
import safetensors.numpy, pyarrow.parquet

def postings(path):
    return _postings._mapped(path, "<i8")

def checkpoint(path):
    return load(path.parent)

readers = {
    ".safetensors": _files.read_file,
    ".bin": read_torch_file,
    ".npz": _tokenize._load,
    ".npy": postings,
    ".parquet": data.read,
    ".json": checkpoint,
}
used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
for name in sys.argv[1:]:
    path = Path(name)
    try:
        print(path.name, "gave", readers[path.suffix](path))
    except ValueError as error:
        print(path.name, "was refused:", str(error).replace(chr(10), " "))
"""


def npy(dtype, shape, content=b"\0" * 64):
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def claims(folder):
    """Files of a few kB whose headers claim terabytes."""
    huge = [10**6, 10**6]
    tensor = {"dtype": "F32", "shape": huge, "data_offsets": [0, 4 * 10**12]}
    header = json.dumps({"a": tensor}).encode()
    start = struct.pack("<Q", len(header))
    (folder / "shape.safetensors").write_bytes(start + header + bytes(64))
    (folder / "header.safetensors").write_bytes(struct.pack("<Q", 2**40) + header)

    (folder / "rows.npy").write_bytes(npy("<i8", (10**12,)))
    with zipfile.ZipFile(folder / "shape.npz", "w") as archive:
        for name in ("flat", "offsets", "types", "marks", "spans", "owners", "numbers"):
            archive.writestr(f"{name}.npy", npy("<i8", (10**12,)))
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("flat", "offsets", "types", "marks", "spans", "owners", "numbers"):
            content = npy("<i8", (2**17,), bytes(2**20))
            archive.writestr(f"{name}.npy", content)

    storage = b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"
    storage += b"\x8a\x05\0\0\0\0\x10tQ"  # 2 to the power of 36 numbers.
    rebuilt = b"K\0\x8a\x05\0\0\0\0\x10\x85K\x01\x85t"
    program = b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n"
    program += storage + rebuilt + b"Rs."
    with zipfile.ZipFile(folder / "storage.bin", "w") as archive:
        archive.writestr("model/data.pkl", program)
        archive.writestr("model/data/0", bytes(64))

    for name, config in {
        "layers": {"num_hidden_layers": 10**9},
        "sizes": {"hidden_size": 10**9, "num_attention_heads": 1, "vocab_size": 10**9},
    }.items():
        (folder / name).mkdir()
        described = {"model_type": "bert", **config}
        (folder / name / "config.json").write_text(json.dumps(described))
        weights = (folder / name / "model.safetensors").open("wb")
        with weights:
            text = json.dumps({"__metadata__": {}}).encode()
            weights.write(struct.pack("<Q", len(text)) + text)
    named = ["shape.safetensors", "header.safetensors", "rows.npy", "shape.npz"]
    named += ["bomb.npz", "storage.bin", "layers/config.json", "sizes/config.json"]
    return [folder / name for name in named]


def test_what_claims_to_be_huge_is_refused_in_little_memory(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("the memory of a process is bounded as Linux does it")
    files = claims(tmp_path)
    assert all(path.stat().st_size < 2**14 for path in files)
    script = READ.replace("ROOM", str(ROOM))
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [name for name, _ in said] == [path.name for path in files]
    for name, what in said:
        if name.endswith(".npz"):  # Of which there is None, and texts at hand.
            assert what == "gave None"
        else:
            assert what.startswith("was refused: ")
