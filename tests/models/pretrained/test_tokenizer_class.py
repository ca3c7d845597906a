"""Tests that tokenizers do not depend on looking up the class in their files."""

import json
import subprocess
import sys

import pytest
import transformers

from metaflax import _files
from metaflax.models.pretrained import _tokenizer_class
from metaflax.models.pretrained._tokenizer import tokenizer
from tests.workflows import worlds

TEXTS = ["Topic01 filler02, [MASK] x", "", "topic03"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METAFLAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokenizers"


@pytest.fixture
def loads_by_class(monkeypatch):
    """The directories whose class was looked up."""
    directories = []
    real = transformers.AutoTokenizer.from_pretrained

    def counted(directory, **kwargs):
        directories.append(directory)
        return real(directory, **kwargs)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", counted)
    return directories


def named(directory, name, **settings):
    """A tokenizer whose files name a class."""
    worlds.save_tokenizer(directory)
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    change(directory / "tokenizer.json", decoder=decoder)
    change(directory / "tokenizer_config.json", tokenizer_class=name, **settings)
    return directory


def change(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("name", ["BertTokenizer", "TokenizersBackend"])
def test_a_class_that_adds_nothing_is_looked_up_once(name, tmp_path, loads_by_class):
    directory = named(tmp_path / "model", name)
    first, second = tokenizer(directory), tokenizer(directory)
    assert loads_by_class == [str(directory)]
    for texts in (TEXTS, list(zip(TEXTS, TEXTS[::-1], strict=True))):
        # Whole encodings, with the model inputs of the class.
        assert dict(first(texts)) == dict(second(texts))
    assert second.special_tokens_map == first.special_tokens_map
    assert second.model_max_length == first.model_max_length == worlds.POSITIONS


def test_a_class_that_adds_something_is_looked_up_each_time(tmp_path, loads_by_class):
    # The rules in the file lowercase; this class is configured not to.
    directory = named(tmp_path / "model", "BertTokenizer", do_lower_case=False)
    first, second = tokenizer(directory), tokenizer(directory)
    assert len(loads_by_class) == 2
    assert first(TEXTS)["input_ids"] == second(TEXTS)["input_ids"]
    without = transformers.PreTrainedTokenizerFast.from_pretrained(str(directory))
    assert without(TEXTS)["input_ids"] != second(TEXTS)["input_ids"]


def test_other_files_are_another_tokenizer(tmp_path, loads_by_class):
    directory = named(tmp_path / "model", "BertTokenizer")
    tokenizer(directory)
    named(directory, "BertTokenizer", do_lower_case=False)
    assert tokenizer(directory)(TEXTS)["input_ids"][0].count(1)  # Unknown: capitals.
    assert len(loads_by_class) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"model_input_names": 3}'])
def test_a_damaged_record_is_none(content, tmp_path, cache, loads_by_class):
    directory = named(tmp_path / "model", "BertTokenizer")
    tokenizer(directory)
    [record] = cache.iterdir()
    record.write_text(content)
    tokenizer(directory)
    assert len(loads_by_class) == 2
    assert json.loads(record.read_text())["model_input_names"]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    def refused(path, content):
        raise ValueError(f"{path} cannot be written")

    monkeypatch.setattr(_tokenizer_class._files, "write_json", refused)
    assert tokenizer(named(tmp_path / "model", "BertTokenizer"))(TEXTS)["input_ids"]


def test_the_second_start_imports_no_torch(tmp_path):
    pytest.importorskip("torch")
    directory = named(tmp_path / "model", "BertTokenizer")
    tokenizer(directory)
    code = (
        "import sys\n"
        "from metaflax.models.pretrained._tokenizer import tokenizer\n"
        f"assert tokenizer({str(directory)!r})('topic01')['input_ids']\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert _files.cache_folder() == tmp_path / "cache"
