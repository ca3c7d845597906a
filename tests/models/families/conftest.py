"""Fixtures of the tests of model families."""

import pytest


@pytest.fixture
def words(tmp_path):
    """A directory with tokenizer files."""
    directory = tmp_path / "words"
    directory.mkdir()
    (directory / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    return directory
