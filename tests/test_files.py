"""Tests for atomic writes, and for digests of files and folders."""

import ast
import errno
import hashlib
import os
import resource
import shutil
import socket
import stat
from pathlib import Path

import pytest

import metaflax
from metaflax import _files
from metaflax.training import JsonlLog


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(("mode", "content"), [("w", "é\n"), ("wb", b"\xff\n")])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, mode, content):
    path = tmp_path / "new" / "scores"
    encoded = content.encode() if mode == "w" else content
    with _files.atomic_write(path, mode) as file:
        file.write(content)
        assert not path.exists()
    assert path.read_bytes() == encoded

    def fail():
        with _files.atomic_write(path, mode) as file:
            file.write(content[:1])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == encoded
    assert names(tmp_path) == ["new", "new/scores"]


def test_a_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    _files.write_json(tmp_path / "ours", {"a": 1})
    usual, ours = ((tmp_path / name).stat().st_mode for name in ("usual", "ours"))
    assert ours == usual
    assert (tmp_path / "ours").read_text() == '{\n  "a": 1\n}\n'


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    _files.write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "new"


def write_file(path):
    _files.write_text(path, "x" * 1000)


def write_folder(path):
    """Writes by a copy, whose error would name the source."""
    with _files.atomic_folder(path) as folder:
        shutil.copyfile(__file__, folder / "copy")


def write_log(path):
    log = JsonlLog(path)
    try:
        log.write({"step": 1, "text": "x" * 1000})
    finally:
        log.close()


def write_pipe(path):
    path.symlink_to("/dev/full")
    write_file(path)


@pytest.mark.parametrize("write", [write_file, write_folder, write_log, write_pipe])
def test_a_full_disk_is_reported_by_the_path_that_is_written(tmp_path, write):
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
    try:
        with pytest.raises(ValueError, match="free some space") as caught:
            write(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert str(caught.value).startswith(f"{tmp_path / 'new'}: cannot be written (")
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


def regular(path):
    path.write_text("old")
    return path.read_bytes


def pipe(path):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read():
        content = os.read(reader, 1000)
        os.close(reader)
        return content

    return read


def device(path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # A null device.
        path.write_bytes(b"")
    except OSError:
        pytest.skip("only root can make a device, and not everywhere")
    return None


# Functions that make a file of some kind at a path, and return a reader of it.
KINDS = {"nothing": lambda path: path.read_bytes, "regular": regular, "pipe": pipe,
         "device": device}  # fmt: skip
# Kinds of links from the named path to the file.
WAYS = {
    "itself": lambda folder: folder / "it",
    "link": lambda folder: linked(folder / "link", folder / "it"),
    "relative link": lambda folder: linked(folder / "link", "it"),
    "links": lambda folder: linked(
        folder / "two", linked(folder / "deep" / "one", Path("..") / "it").name, "deep"
    ),
}


def linked(path, target, folder=""):
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(Path(folder) / target)
    return path


def through_the_log(path):
    log = JsonlLog(path, resume_after=1)
    log.write({"step": 2})
    log.close()
    return b'{"step": 2}\n'


def through_text(path):
    _files.write_text(path, "é")
    return "é".encode()


def through_json(path):
    _files.write_json(path, [1])
    return b"[\n  1\n]\n"


def through_bytes(path):
    with _files.atomic_write(path, "wb") as file:
        file.write(b"\xff")
    return b"\xff"


@pytest.mark.parametrize(
    "write", [through_text, through_json, through_bytes, through_the_log]
)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_at_a_path_stays_what_it_is(kind, way, write, tmp_path):
    target, path = tmp_path / "it", WAYS[way](tmp_path)
    read = KINDS[kind](target)

    def kinds_of_files():
        return {p: stat.S_IFMT(p.lstat().st_mode) for p in tmp_path.rglob("*")}

    before = kinds_of_files()
    written = write(path)
    assert kinds_of_files() == {**before, target: before.get(target, stat.S_IFREG)}
    assert read is None or read() == written


@pytest.mark.parametrize("link", [False, True])
def test_an_open_descriptor_is_written_to_where_it_stands(link, tmp_path):
    with (tmp_path / "all").open("w") as file:
        file.write("first\n")
        file.flush()
        path = Path(f"/dev/fd/{file.fileno()}")
        _files.write_text(linked(tmp_path / "out", path) if link else path, "second\n")
        file.seek(0, os.SEEK_END)
        file.write("third\n")
    assert (tmp_path / "all").read_text() == "first\nsecond\nthird\n"


def closed_descriptor(path):
    with path.open("w") as file:
        number = os.dup(file.fileno())
    os.close(number)
    return Path(f"/dev/fd/{number}")


def listening(path):
    with socket.socket(socket.AF_UNIX) as one:
        cwd = os.getcwd()
        os.chdir(path.parent)  # The name of a socket is short.
        one.bind(path.name)
        os.chdir(cwd)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir() or path, "is a folder; name a file"),
        (lambda path: linked(path, path.parent), "is a folder; name a file"),
        (lambda path: linked(path, path.name), "name another file"),
        (listening, "cannot be written .*name another file"),
        (closed_descriptor, "cannot be written .*name another file"),
    ],
)
def test_what_no_file_can_be_written_to_is_refused_at_once(make, message, tmp_path):
    path = make(tmp_path / "it")
    before = names(tmp_path)
    with pytest.raises(ValueError, match=message), _files.atomic_write(path):
        raise AssertionError("the body ran")
    assert names(tmp_path) == before


def test_only_files_replaces_files():
    package = Path(metaflax.__file__).parent
    calls = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and not node.keywords
        if (name := ast.unparse(node.func)) in ("os.replace", "os.rename")
        or name.endswith(".rename")
        or (name.endswith(".replace") and len(node.args) == 1)
    }
    # A damaged checkpoint and a file of the service are moved to new names.
    others = {"training/_checkpoints.py", "serving/_weight_files.py"}
    assert calls <= {"_files.py", *others}


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None])
def test_a_folder_behind_a_link_is_filled(make, tmp_path):
    link = linked(tmp_path / "link", "model")
    make(tmp_path / "model")
    _files.check_absent(link)
    with _files.atomic_folder(link) as folder:
        (folder / "part").touch()
    assert names(tmp_path) == ["link", "model", "model/part"]
    assert link.is_symlink()
    with pytest.raises(ValueError, match="link exists already|model exists already"):
        _files.check_absent(link)
    with pytest.raises(ValueError, match="symbolic link to itself"):
        _files.check_absent(linked(tmp_path / "circle", "circle"))


@pytest.mark.parametrize("name", ["file/x", "file/x/y", "locked/x", "locked/x/y"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(
    name, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    (tmp_path / "locked").mkdir()
    parent = tmp_path / name.split("/")[0]
    access = os.access
    monkeypatch.setattr(  # Root can write everywhere.
        os, "access", lambda path, mode: path != parent and access(path, mode)
    )
    with pytest.raises(ValueError, match=f"{name}: {parent} .*; name another"):
        _files.check_absent(tmp_path / name)
    _files.check_absent(tmp_path / "new" / "deep")


def test_a_mounted_folder_is_filled(tmp_path, monkeypatch):
    def busy(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    (tmp_path / "volume").mkdir()
    monkeypatch.setattr(os, "rename", busy)
    with _files.atomic_folder(tmp_path / "volume") as folder:
        (folder / "part").mkdir()
        (folder / "part" / "x").touch()
    assert names(tmp_path) == ["volume", "volume/part", "volume/part/x"]
    with (
        pytest.raises(FileExistsError),
        _files.atomic_folder(tmp_path / "volume") as folder,
    ):
        (folder / "part").touch()


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "model"

    def fail():
        with _files.atomic_folder(target) as folder:
            (folder / "part").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == ["new"]
    with _files.atomic_folder(target) as folder:
        (folder / "part").mkdir()
        assert not target.exists()
    assert names(tmp_path) == ["new", "new/model", "new/model/part"]
    with pytest.raises(FileExistsError), _files.atomic_folder(target) as folder:
        (folder / "other").mkdir()
    assert names(target) == ["part"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file: cannot be written .*another folder"):
        _files.write_text(tmp_path / "file" / "x", "")
    with (
        pytest.raises(ValueError, match="cannot be written"),
        _files.atomic_folder(tmp_path / "file" / "x"),
    ):
        pass


def test_digests_are_those_stored_by_earlier_releases(tmp_path):
    (tmp_path / "b").mkdir()
    for name, content in {"b/c": b"1", "b.x": b"2", "sha256": b"3"}.items():
        (tmp_path / name).write_bytes(content)
    digests = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in {"b/c": b"1", "b.x": b"2"}.items()
    }
    assert _files.file_digests(tmp_path, {"sha256"}) == digests
    assert list(digests) == list(_files.file_digests(tmp_path, {"sha256"}))
    lines = "".join(f"{name} {digest}\n" for name, digest in digests.items())
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert _files.folder_digest(tmp_path, {"sha256"}) == expected
