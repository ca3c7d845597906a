"""Tests for reading checkpoints: every tensor accounted for, clear errors."""

import dataclasses
import json
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from metaflax import models, tree
from metaflax.models import pretrained
from metaflax.models.families.bert import _weight_names as _bert_names
from metaflax.models.pretrained import _files, _places
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._tokenizer import num_ids
from tests.models import speakers
from tests.models.examples import CONFIG
from tests.workflows import worlds


def tensors(prefix="", dtype=np.float32):
    """A BERT under Hugging Face's names; no two numbers of a tensor are equal."""
    files = _bert_names.FILES
    places = files.places(CONFIG) | files.pooler_places(CONFIG, files.pooler)
    return {
        prefix + name: np.arange(np.prod(place.shape), dtype=np.float32)
        .reshape(place.shape)
        .astype(dtype)
        for name, place in places.items()
    }


def write(directory, tensors, **fields):
    config = {**CONFIG.to_dict(), "architectures": ["BertModel"], **fields}
    (directory / "config.json").write_text(json.dumps(config))
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
    return directory


def test_kernels_are_transposed_and_nothing_is_lost(tmp_path):
    files = tensors()
    loaded = models.load(write(tmp_path, files))
    assert loaded.config == CONFIG
    assert loaded.head is None
    assert loaded.labels is None
    assert len(tree.paths(loaded.params)) == len(files)
    np.testing.assert_array_equal(
        loaded.params["layer_1"]["mlp"]["up"]["kernel"],
        files["encoder.layer.1.intermediate.dense.weight"].T,
    )


def test_prefix_old_names_and_other_heads_are_understood(tmp_path):
    files = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors("bert.").items()
    }
    heads = {
        "bert.embeddings.position_ids": np.arange(9)[None],
        "cls.predictions.bias": np.zeros(CONFIG.vocab_size, np.float32),
        "classifier.bias": np.zeros(3, np.float32),
    }
    loaded = models.load(write(tmp_path, files | heads))
    assert loaded.ignored == (
        "classifier.bias",
        "cls.predictions.bias",
        "embeddings.position_ids",
    )
    assert loaded.head is None


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_half_precision_becomes_float32(dtype, tmp_path):
    params = models.load(write(tmp_path, tensors(dtype=dtype))).params
    assert params["pooler"]["bias"].dtype == jnp.float32
    np.testing.assert_array_equal(params["pooler"]["bias"], np.arange(12))


def test_a_checkpoint_in_shards_is_one(tmp_path):
    files = tensors()
    whole = models.load(write(tmp_path, files)).params
    (tmp_path / "model.safetensors").unlink()
    halves = list(files)[::2], list(files)[1::2]
    weight_map = {}
    for i, names in enumerate(halves):
        shard = f"model-0000{i + 1}-of-00002.safetensors"
        part = {name: files[name] for name in names}
        safetensors.numpy.save_file(part, tmp_path / shard)
        weight_map |= dict.fromkeys(names, shard)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    parts = models.load(tmp_path).params
    assert tree.paths(parts) == tree.paths(whole)

    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"names 'model-00002-of-00002.*not there"):
        models.load(tmp_path)


def test_loading_holds_little_more_than_the_file(tmp_path):
    files = {f"t{i}": np.full((200, 200), i, np.float32) for i in range(40)}
    safetensors.numpy.save_file(files, tmp_path / "model.safetensors")
    places = {
        name: Place(name, (200, 200), transposed=i % 2 == 0)
        for i, name in enumerate(files)
    }
    tracemalloc.start()
    try:
        read, _ = _places.read(tmp_path, places, lambda name: name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read) == 40
    assert peak < 1.3 * sum(x.nbytes for x in files.values())


def change(files, name, tensor):
    if tensor is None:
        return {key: value for key, value in files.items() if key != name}
    return {**files, name: tensor}


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (
            "encoder.layer.1.output.dense.bias",
            None,
            r"missing: encoder\.layer\.1\.output\.dense\.bias\. Name a",
        ),
        ("pooler.dense.bias", None, r"missing: pooler\.dense\.bias\. Name a"),
        (
            "encoder.layer.2.output.dense.bias",
            np.zeros(12, np.float32),
            r"unexpected: encoder\.layer\.2\.output\.dense\.bias\. Name a",
        ),
        (
            "encoder.layer.0.intermediate.dense.weight",
            np.zeros((12, 20), np.float32),
            r"dense\.weight \(expected \[20, 12\], found \[12, 20\]\)\. Name a",
        ),
        (
            "embeddings.word_embeddings.weight",
            np.zeros((23, 12), np.int8),
            r"of no float type: embeddings\.word_embeddings\.weight \(int8\)\. Name a",
        ),
        ("bert.pooler.dense.bias", np.zeros(12, np.float32), "under two names"),
    ],
)
def test_each_tensor_out_of_place_is_named(name, tensor, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        models.load(write(tmp_path, change(tensors(), name, tensor)))


def test_all_kinds_of_problems_are_named_at_once(tmp_path):
    files = {f"encoder.layer.0.{i}": np.zeros(1, np.float32) for i in range(7)}
    with pytest.raises(
        ValueError, match=r"missing: .* more; unexpected: .* 2 more\. Name a"
    ):
        models.load(write(tmp_path, files))


def test_a_classifier_without_its_head_is_refused(tmp_path):
    write(tmp_path, tensors(), architectures=["BertForSequenceClassification"])
    with pytest.raises(ValueError, match=r"missing: classifier\.bias, classifier\.w"):
        models.load(tmp_path)


@pytest.mark.parametrize("id2label", [{"1": "a", "2": "b"}, {"x": "a"}, ["a", "b"]])
def test_labels_that_number_no_classes_are_refused(id2label, tmp_path):
    fields = {"architectures": ["BertForSequenceClassification"], "id2label": id2label}
    with pytest.raises(ValueError, match="id2label"):
        models.load(write(tmp_path, tensors(), **fields))


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_a_truncated_file_is_called_damaged(keep, tmp_path):
    path = write(tmp_path, tensors()) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        models.load(tmp_path)


def test_a_directory_without_weights_is_refused_with_advice(tmp_path):
    path = write(tmp_path, tensors())
    (path / "model.safetensors").rename(path / "flax_model.msgpack")
    with pytest.raises(ValueError, match="convert other formats to safetensors"):
        models.load(path)


def test_an_unsupported_configuration_names_its_file(tmp_path):
    write(tmp_path, tensors(), position_embedding_type="relative_key")
    with pytest.raises(ValueError, match=r"config\.json: .*'relative_key'"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json cannot be read as JSON"):
        models.load(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"has no config\.json"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architectures": True}, r"config\.json: architectures=True is no list"),
        ({"metaflax": ["pooling"]}, r"config\.json: metaflax=\['pooling'\] is no JSON"),
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers may be 10000 at most"),
    ],
)
def test_odd_fields_of_a_configuration_name_its_file(fields, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        models.load(write(tmp_path, tensors(), **fields))


def test_a_configuration_that_is_nested_without_end_is_refused(tmp_path):
    write(tmp_path, tensors())
    (tmp_path / "config.json").write_text('{"a":' * 100_000)
    with pytest.raises(ValueError, match=r"config\.json cannot be read as JSON"):
        models.load(tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "x" * 3000, "a\0b", "a\nb"])
def test_shards_are_looked_up_in_their_folder_alone(name, tmp_path):
    safetensors.numpy.save_file({"a": np.ones(2)}, tmp_path / "evil")
    (tmp_path / "model").mkdir()
    index = tmp_path / "model" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ValueError, match="names '.*which is not there") as caught:
        _files.read_tensors(tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c"])
def test_a_missing_directory_is_not_looked_up_on_the_hub(name):
    with pytest.raises(ValueError, match=f"there is no directory {name}"):
        models.load(name)


def test_what_the_hub_answers_becomes_one_sentence(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def refuse(name, allow_patterns):
        assert "model.safetensors" in allow_patterns
        raise hub.errors.LocalEntryNotFoundError("offline\nand more")

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(
        ValueError, match=r"of that name: offline \(without a network, give the dir"
    ):
        models.load("someone/something")


@pytest.mark.parametrize("safe", [True, False])
def test_files_of_torch_are_fetched_where_there_are_no_others(
    safe, monkeypatch, tmp_path
):
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def give(name, allow_patterns):
        asked.append(allow_patterns)
        write(tmp_path, tensors())
        if not safe:
            (tmp_path / "model.safetensors").unlink()
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", give)
    if safe:
        models.load("someone/something")
    else:
        with pytest.raises(ValueError, match=r"no pytorch_model\.bin"):
            models.load("someone/something")
    bins = [any(p.endswith(".bin") for p in patterns) for patterns in asked]
    assert bins == ([False] if safe else [False, True])


def test_a_directory_without_a_tokenizer_is_refused(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=r"neither tokenizer\.json nor vocab\.txt"):
        pretrained.tokenizer(write(tmp_path, tensors()))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="holds no tokenizer"):
        pretrained.tokenizer(tmp_path)


def test_the_tokenizer_is_fast(minilm):
    tokenize = pretrained.tokenizer(minilm)
    assert tokenize("Hello there.")["input_ids"][0] == tokenize.cls_token_id


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(18)))
SMALL = dataclasses.replace(CONFIG, vocab_size=len(WORDS))
TABLES = {
    "bert": SMALL,
    "gpt2": dataclasses.replace(speakers.GPT, vocab_size=len(WORDS)),
    "encoder": dataclasses.replace(speakers.SEQ2SEQ, encoder=SMALL),
    "decoder": dataclasses.replace(
        speakers.SEQ2SEQ, decoder=dataclasses.replace(SMALL, num_attention_heads=2)
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_tokenizer_has_no_more_ids_than_the_smallest_embedding_table(table, tmp_path):
    family = models.families.FAMILIES.get(
        table, models.families.FAMILIES["encoder-decoder"]
    )
    checkpoint = pretrained.Pretrained(TABLES[table], None, tmp_path, family)
    worlds.save_tokenizer(tmp_path, WORDS)
    assert num_ids(checkpoint.tokenizer()) == len(WORDS)
    worlds.save_tokenizer(tmp_path, (*WORDS, "one more"))
    with pytest.raises(ValueError, match="24 token ids, the embedding table only 23"):
        checkpoint.tokenizer()


def test_gaps_among_token_ids_count(tmp_path):
    """A tokenizer of few tokens may have large ids."""
    worlds.save_tokenizer(tmp_path, WORDS)
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"]["w17"] = 99
    file.write_text(json.dumps(content))
    loaded = pretrained.tokenizer(tmp_path)
    assert (len(loaded), num_ids(loaded)) == (len(WORDS), 100)
