"""Tests for labelled texts on disk: any format, any number of labels, any reader."""

import concurrent.futures
import itertools
import json
import multiprocessing
import os
import pickle

import numpy as np
import pytest

from metaflax import data
from metaflax.data.on_disk import _byte_offsets as _addressed
from metaflax.data.on_disk import _indexing, _postings, _text_index
from metaflax.data.on_disk._labelled_texts import labelled_examples
from tests.workflows import worlds

PETS = (("it barks", "dog"), ("it purrs", "cat"), ("it howls\nat night", "dog"))
MORE = (*PETS, ("it sings", "bird"))


def rows(pairs):
    return [{"text": text, "label": label} for text, label in pairs]


def indexed(folder, source, **kwargs):
    return data.index_labels(source, cache_dir=folder / "cache", **kwargs)


def by_label(index):
    """The texts of each label, read one by one."""
    return {
        name: [index.text(row) for row in index.labels.rows(number).tolist()]
        for number, name in enumerate(index.labels.names)
    }


def by_search(pairs):
    found = {}
    for text, label in pairs:
        found.setdefault(label, []).append(text)
    return found


def jsonl(folder, pairs):
    return worlds.write_jsonl(folder / "pets.jsonl", rows(pairs))


def csv(folder, pairs):
    lines = [f'"{text}",{label}' for text, label in pairs]
    (folder / "pets.csv").write_text("\n".join(["text,label", *lines]))
    return folder / "pets.csv"


def pattern(folder, pairs):
    for number, row in enumerate(rows(pairs)):
        worlds.write_jsonl(folder / f"part{number}.jsonl", [row])
    return str(folder / "part*.jsonl")


def parquet(folder, pairs):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows(pairs)), folder / "pets.parquet")
    return folder / "pets.parquet"


def saved(folder, pairs):
    """An Arrow table, whose labels are numbers with names."""
    datasets = pytest.importorskip("datasets")
    names = sorted({label for _, label in pairs})
    features = {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=names),
    }
    texts, labels = zip(*pairs, strict=True)
    columns = {"text": texts, "label": [names.index(label) for label in labels]}
    table = datasets.Dataset.from_dict(columns, datasets.Features(features))
    table.save_to_disk(folder / "saved")
    return folder / "saved"


FORMATS = pytest.mark.parametrize(
    "write", [jsonl, csv, pattern, parquet, saved], ids=lambda f: f.__name__
)


@FORMATS
def test_texts_of_labels_are_found_whatever_the_format(tmp_path, write, monkeypatch):
    source = write(tmp_path, PETS)
    index = indexed(tmp_path, source)
    assert by_label(index) == by_search(PETS)
    assert index.labels.counts.tolist() == [2, 1]
    monkeypatch.setattr(_indexing, "_build", lambda *_: pytest.fail("built again"))
    assert by_label(indexed(tmp_path, source)) == by_search(PETS)
    assert by_label(pickle.loads(pickle.dumps(index))) == by_search(PETS)
    with pytest.raises(ValueError, match="indexed without words; index_texts does so"):
        index.words  # noqa: B018


@FORMATS
def test_a_source_that_changed_is_indexed_anew(tmp_path, write):
    assert by_label(indexed(tmp_path, write(tmp_path, PETS))) == by_search(PETS)
    assert by_label(indexed(tmp_path, write(tmp_path, MORE))) == by_search(MORE)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub whose data sets are local folders; `hub["owner/name"] = folder`."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    folders = {}

    def on_hub(load):
        def of_folder(name, *args, **kwargs):
            if name not in folders:
                raise ConnectionError("the hub is down\nTraceback")
            return load(str(folders[name]), *args, **kwargs)

        return of_folder

    for name in ("load_dataset", "load_dataset_builder"):
        monkeypatch.setattr(datasets, name, on_hub(getattr(datasets, name)))
    return folders


@pytest.mark.parametrize("write", [jsonl, csv, parquet], ids=lambda f: f.__name__)
def test_a_data_set_of_the_hub_is_streamed_into_its_index(tmp_path, hub, write):
    """Once, without a copy by `datasets`; also if the hub is down afterwards."""
    repository = tmp_path / "repository"
    repository.mkdir()
    hub["owner/pets"] = repository
    write(repository, PETS)
    assert by_label(indexed(tmp_path, "owner/pets")) == by_search(PETS)
    assert not list((tmp_path / "arrow").rglob("*.arrow"))
    hub.clear()
    assert by_label(indexed(tmp_path, "owner/pets")) == by_search(PETS)
    with pytest.raises(
        ValueError, match=r"the hub is down\); check the name"
    ) as caught:
        indexed(tmp_path, "owner/pets", split="train")
    assert "\n" not in str(caught.value)
    hub["owner/pets"] = repository
    write(repository, MORE)
    assert by_label(indexed(tmp_path, "owner/pets")) == by_search(MORE)
    with pytest.raises(ValueError, match="no split 'test'; choose one of 'train'"):
        indexed(tmp_path, "owner/pets", split="test")


def test_a_data_set_in_the_cache_of_datasets_is_read_there(tmp_path, hub):
    datasets = pytest.importorskip("datasets")
    repository = tmp_path / "repository"
    repository.mkdir()
    hub["owner/pets"] = repository
    csv(repository, PETS)
    datasets.load_dataset("owner/pets", split="train")
    index = indexed(tmp_path, "owner/pets")
    assert by_label(index) == by_search(PETS)
    assert not (index._folder / _text_index.STORE).exists()


def test_a_part_of_a_split_is_fetched_instead_of_streamed(tmp_path, hub):
    repository = tmp_path / "repository"
    repository.mkdir()
    hub["owner/pets"] = repository
    csv(repository, PETS)
    part = indexed(tmp_path, "owner/pets", split="train[:2]")
    assert by_label(part) == by_search(PETS[:2])


def test_a_stream_that_breaks_off_leaves_no_index(tmp_path, hub, monkeypatch):
    datasets = pytest.importorskip("datasets")
    repository = tmp_path / "repository"
    repository.mkdir()
    hub["owner/pets"] = repository
    csv(repository, PETS)
    with monkeypatch.context() as broken:
        read = datasets.IterableDataset.__iter__

        def breaking(self):
            first, *_ = read(self)
            yield first
            raise ConnectionError("reset by peer")

        broken.setattr(datasets.IterableDataset, "__iter__", breaking)
        with pytest.raises(ValueError, match=r"after row 1 \(reset by peer\); start"):
            indexed(tmp_path, "owner/pets")
    assert not list((tmp_path / "cache").glob("*text*"))
    assert by_label(indexed(tmp_path, "owner/pets")) == by_search(PETS)


def test_a_table_in_several_files_and_batches_is_read_whole(tmp_path):
    pairs = [(f"text {n}", "ab"[n % 2]) for n in range(2500)]
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list(rows(pairs))
    table.save_to_disk(tmp_path / "saved", num_shards=2)
    assert by_label(indexed(tmp_path, tmp_path / "saved")) == by_search(pairs)
    # A selection is saved with its rows only.
    table.select([3, 1]).save_to_disk(tmp_path / "few")
    assert data.read(tmp_path / "few").texts == ("text 3", "text 1")


def test_arrow_files_are_read_in_place_batch_by_batch(tmp_path):
    """No copy of the texts is made, of a split in several files and batches."""
    datasets = pytest.importorskip("datasets")
    pairs = [(f"text {n}", "ab"[n % 2]) for n in range(2500)]
    table = datasets.Dataset.from_list(rows(pairs))
    splits = datasets.DatasetDict(train=table, test=table.select([0, 1, 2]))
    splits.save_to_disk(tmp_path / "saved", num_shards={"train": 2, "test": 1})
    with pytest.raises(ValueError, match="no split is given"):
        indexed(tmp_path, tmp_path / "saved")
    index = data.index_labels(tmp_path / "saved", split="train", cache_dir=tmp_path)
    assert by_label(index) == by_search(pairs)
    assert not (index._folder / _text_index.STORE).exists()
    drawn = np.random.default_rng(0).permutation(2500)[:200].tolist()
    assert [index.text(row) for row in drawn] == [pairs[row][0] for row in drawn]
    index.release()
    assert index._lines._maps == index._lines._batches == {}
    assert pickle.loads(pickle.dumps(index)).text(2499) == "text 2499"
    test = data.index_labels(tmp_path / "saved", split="test", cache_dir=tmp_path)
    assert len(test) == 3
    file = index._files[-1]
    os.utime(file, ns=(0, 0))
    with pytest.raises(ValueError, match="has changed since it was indexed"):
        index.text(0)


def test_a_store_that_was_damaged_is_written_anew(tmp_path):
    source = csv(tmp_path, PETS)
    index = indexed(tmp_path, source)
    store = index._folder / _text_index.STORE
    os.truncate(store, store.stat().st_size - 1)
    with pytest.raises(ValueError, match="has changed since it was indexed"):
        index.text(0)
    assert by_label(indexed(tmp_path, source)) == by_search(PETS)


def test_labels_with_line_ends_and_numbers_for_labels_are_told_apart(tmp_path):
    labels = ["a\nb", "a\nc", "é", 3, True, ["alone"]]
    lines = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    index = indexed(tmp_path, worlds.write_jsonl(tmp_path / "odd.jsonl", lines))
    names = ["a\nb", "a\nc", "é", "3", "true", "alone"]
    assert by_label(index) == {name: [f"text {n}"] for n, name in enumerate(names)}


def test_no_label_is_forgotten_and_too_many_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_postings, "_PAIRS", 10)
    pairs = [(f"text {n}", f"label {n % 50}") for n in range(200)]
    source = jsonl(tmp_path, pairs)
    most = _indexing._KINDS["labels"]._replace(most=49)
    with monkeypatch.context() as patch:
        patch.setitem(_indexing._KINDS, "labels", most)
        with pytest.raises(ValueError, match="pets.jsonl: has more than 2,097,152 la"):
            indexed(tmp_path, source)
    assert list((tmp_path / "cache").iterdir()) == []
    assert by_label(indexed(tmp_path, source)) == by_search(pairs)


@pytest.mark.parametrize(
    ("content", "name", "kwargs", "message"),
    [
        ("", "r.jsonl", {}, "r.jsonl: holds no text"),
        ('{"text": "a", "label": "b"}', "r.jsonl", {"label": "of"},
         "r.jsonl:1: no column 'of'; the columns are 'text', 'label'"),
        ('{"text": "a", "label": "b"}', "r.jsonl", {"text": "txt"},
         "r.jsonl:1: no column 'txt'"),
        ('{"text": "a", "label": "b"}\n{"text": "a", "label": " "}', "r.jsonl", {},
         "r.jsonl:2: 'label' is missing"),
        ('{"text": " ", "label": "b"}', "r.jsonl", {}, "r.jsonl:1: 'text' is an empty"),
        ('{"text": "a", "label": []}', "r.jsonl", {}, "r.jsonl:1: 'label' is an empty"),
        ('{"text": "a", "label": ["b", "c"]}', "r.jsonl", {},
         "r.jsonl:1: 'label' holds 2 labels; give one per text"),
        ('{"text": "a", "label": "b"}\n{"text": "a", "la', "r.jsonl", {},
         "r.jsonl:2: not JSON"),
        (b'{"text": "a", "label": "b"}\n{"text": "\xff', "r.jsonl", {},
         "r.jsonl:2: not UTF-8"),
        (b"text,label\na,b\n\xff,b", "r.csv", {}, "r.csv:3: not UTF-8"),
        ("text,label\na,b\na", "r.csv", {}, "r.csv:3: 1 fields where the header has 2"),
        ("text,label\na,", "r.csv", {}, "r.csv:2: 'label' is missing"),
        ("text,label\na,b", "r.csv", {"label": "of"}, "r.csv:2: no column 'of'"),
        ("text,label\n", "r.csv", {}, "r.csv: holds no text"),
        ("a", "r.txt", {}, "files ending in '.txt' are not read"),
        (b"PAR1", "r.parquet", {}, "not a readable Parquet file"),
    ],
)  # fmt: skip
def test_bad_rows_are_refused_with_file_and_line(
    tmp_path, content, name, kwargs, message
):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        indexed(tmp_path, path, **kwargs)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_text_that_is_too_long_to_be_read_at_once_is_refused(tmp_path):
    source = pattern(tmp_path, [("fine", "a"), ("x" * 2**20, "b")])
    with pytest.raises(ValueError, match=r"part1.jsonl:1: the text is longer than"):
        indexed(tmp_path, source)


@pytest.mark.parametrize("source", ["none.jsonl", "none.csv", "none*.jsonl"])
def test_a_source_that_is_not_there_is_named(tmp_path, source):
    with pytest.raises(ValueError, match=r"none.*: no (such file|file matches)"):
        indexed(tmp_path, str(tmp_path / source))


def test_a_file_written_to_after_it_was_indexed_is_not_read(tmp_path):
    index = indexed(tmp_path, jsonl(tmp_path, PETS))
    sent = pickle.dumps(index)
    assert index.text(0) == "it barks"
    # As many bytes, and good JSON: only the time tells.
    changed = (("it growl", "dog"), *PETS[1:])
    path = jsonl(tmp_path, changed)
    os.utime(path, ns=(0, 1))
    for read in (lambda: index.text(0), lambda: pickle.loads(sent)):
        with pytest.raises(ValueError, match=r"pets.jsonl: has changed since it was"):
            read()
    assert by_label(indexed(tmp_path, path)) == by_search(changed)


def test_a_file_written_to_while_it_is_indexed_leaves_no_index(tmp_path, monkeypatch):
    path = jsonl(tmp_path, PETS)
    finish = _postings.PostingsBuilder.finish

    def late(builder, folder):
        finish(builder, folder)
        os.utime(path, ns=(0, 1))

    monkeypatch.setattr(_postings.PostingsBuilder, "finish", late)
    with pytest.raises(ValueError, match="was written to while it was indexed"):
        indexed(tmp_path, path)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture(scope="module")
def sampler(tmp_path_factory):
    """Labels of 8 to 20 texts each in shuffled order, some texts twice."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    pairs = [
        (f"text {n} of {label}", f"label{label:03}")
        for label in range(300)
        for n in range(rng.integers(8, 21))
    ]
    pairs += pairs[:100]
    order = rng.permutation(len(pairs))
    index = indexed(folder, jsonl(folder, [pairs[n] for n in order]))
    return data.LabelledTextSampler(index, (np.arange(300),), (2, 5), (1, 3), (1, 4))


def test_an_episode_holds_different_texts_of_its_labels(sampler):
    names = sampler.index.labels.names
    episodes = data.fixed_list(sampler, 0, 300)
    for episode in episodes:
        drawn = [*episode.support.tolist(), *episode.query.tolist()]
        targets = [*episode.support_targets, *episode.query_targets]
        texts = [sampler.text(row, 0) for row in drawn]
        assert len(set(texts)) == len(texts)
        for text, target in zip(texts, targets, strict=True):
            label = names[episode.classes[target]]
            assert label == f"label{int(text.split()[-1]):03}"
    assert len({c for episode in episodes for c in episode.classes}) > 250


def drawn_by(sent, reader, num_readers, num):
    """Episodes that a reader in a separate process draws."""
    sampler = pickle.loads(sent)
    found = data.share_out(lambda n: sampler.episode(3, n), reader, num_readers)
    return [(n, data.protocol_hash([e])) for n, e in itertools.islice(found, num)]


def test_any_number_of_readers_makes_the_episodes_of_one_in_order(sampler):
    sent = pickle.dumps(sampler)
    one = [(n, data.protocol_hash([sampler.episode(3, n)])) for n in range(16)]
    assert len(set(one)) == 16
    with concurrent.futures.ProcessPoolExecutor(
        2, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        for num in (1, 2, 4):
            parts = [pool.submit(drawn_by, sent, n, num, 16 // num) for n in range(num)]
            found = itertools.chain(*(part.result() for part in parts))
            assert sorted(found) == one


def test_episodes_do_not_depend_on_what_is_read_ahead(sampler):
    def texts():
        for number in itertools.count():
            episode = sampler.episode(0, number)
            yield [sampler.text(row, 0) for row in episode.support.tolist()]

    ahead = data.prefetch(texts(), size=3, transfer=lambda item: item)
    for read, expected in zip(itertools.islice(ahead, 50), texts(), strict=False):
        assert read == expected
    ahead.close()


def test_some_examples_are_read_into_memory(sampler):
    index, labels = sampler.index, np.arange(0, 300, 2)
    sizes = {"least": 10, "most": 12, "most_labels": 20}
    some = labelled_examples(index, labels, **sizes)
    wanted = {index.labels.names[n] for n in labels.tolist()}
    assert len(some.label_names) == 20
    assert set(some.label_names) <= wanted
    for label in some.label_names:
        own = [t for t, names in zip(some.texts, some.labels, strict=True)
               if names == (label,)]  # fmt: skip
        assert 10 <= len(own) == len(set(own)) <= 12
        assert {int(text.split()[-1]) for text in own} == {int(label[5:])}
    assert some == labelled_examples(index, labels, **sizes)
    assert some != labelled_examples(index, labels, seed=1, **sizes)
    none = labelled_examples(index, labels, least=30, most=40, most_labels=9)
    assert len(none) == 0


def test_what_is_read_of_a_store_is_what_was_written(tmp_path):
    texts = ["\r", "﻿bom", "a\u2028b", '"quoted"', "\x00", "  spaces  "]
    pairs = [(f"x{text}", "odd") for text in texts]
    path = jsonl(tmp_path, pairs)
    source = _addressed.StoredRows(path, "text", "label")
    store = tmp_path / "store"
    starts = [row.start for row in source.rows(store)]
    raw = store.read_bytes()
    read = [json.loads(raw[start:].split(b"\n")[0])["text"] for start in starts]
    assert read == [text for text, _ in pairs]


def test_a_stream_is_kept_once_and_whole(tmp_path):
    path = tmp_path / "kept" / "pets.jsonl"

    def stream():
        yield from ({"t": text, "pet": label} for text, label in PETS)

    def broken():
        yield from stream()
        yield {"t": "it hides"}

    with pytest.raises(ValueError, match="row 4: no column 'pet'"):
        data.store_texts(broken(), path, text="t", label="pet")
    assert list(path.parent.iterdir()) == []
    data.store_texts(stream(), path, text="t", label="pet")
    assert by_label(indexed(tmp_path, path)) == by_search(PETS)
    untouched = map(pytest.fail, ["read again"])
    assert data.store_texts(untouched, path) == path
    with pytest.raises(ValueError, match=r"end its name in \.jsonl"):
        data.store_texts(stream(), tmp_path / "pets.csv")


def test_a_stream_of_datasets_is_kept(tmp_path):
    datasets = pytest.importorskip("datasets")
    streamed = datasets.Dataset.from_list(rows(PETS)).to_iterable_dataset()
    path = data.store_texts(streamed, tmp_path / "pets.jsonl")
    assert by_label(indexed(tmp_path, path)) == by_search(PETS)
