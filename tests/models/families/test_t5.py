"""Tests for T5's buckets of distances, and for its alternative tensor names."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest
import safetensors.numpy

from metaflax import models
from metaflax.models.families.t5 import _weight_names
from metaflax.models.families.t5._config import T5Config
from metaflax.models.families.t5._network import t5
from metaflax.models.layers import _relative
from tests.models.families.encoder_decoders import T5S
from tests.models.speakers import T5, random_params

TIED = T5S["t5 1.0"]
WORD, HEAD = _weight_names.WORD, _weight_names.HEAD
ENCODER_WORD, DECODER_WORD = _weight_names.ALIASES


@pytest.mark.parametrize(("num", "far"), [(32, 128), (6, 10), (4, 3), (8, 5)])
@pytest.mark.parametrize("two_sided", [True, False])
def test_buckets_of_distances_are_torchs(num, far, two_sided):
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.t5.modeling_t5")
    distances = np.arange(-400, 400)
    theirs = modeling.T5Attention._relative_position_bucket(
        torch.tensor(distances), two_sided, num, far
    )
    sort = _relative.two_sided_buckets if two_sided else _relative.one_sided_buckets
    ours = sort(distances, num_buckets=num, far=far)
    np.testing.assert_array_equal(ours, theirs.numpy())


def files(config):
    """The tensors of a T5 under Hugging Face's names."""
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=target.shape).astype(np.float32)
        for name, target in _weight_names.targets(config).items()
    }


def write(directory, tensors, config, **fields):
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config.to_dict() | fields))
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
    return directory


@pytest.mark.parametrize(
    "names",
    [
        (WORD, ENCODER_WORD, DECODER_WORD, HEAD),
        (ENCODER_WORD,),
        (DECODER_WORD, HEAD),
        (HEAD,),
    ],
)
def test_the_word_embedding_is_read_under_each_of_its_names(names, tmp_path):
    tensors = files(TIED)
    expected = models.load(write(tmp_path / "one", tensors, TIED)).params
    word = tensors.pop(WORD)
    copies = {name: word.copy() for name in names}
    beside = {_weight_names.UNREAD: np.zeros((6, 3), np.float32)}
    loaded = models.load(write(tmp_path / "two", tensors | copies | beside, TIED))
    assert loaded.config.tie_word_embeddings
    assert set(loaded.ignored) == {*names, _weight_names.UNREAD} - {WORD}
    chex.assert_trees_all_equal(loaded.params, expected)


def test_an_output_layer_of_its_own_counts_more_than_the_configuration(tmp_path):
    """Transformers 5 writes `tie_word_embeddings` for every T5."""
    tensors = files(T5)
    fields = {"tie_word_embeddings": True, "scale_decoder_outputs": False}
    loaded = models.load(write(tmp_path, tensors, T5, **fields))
    assert not loaded.config.tie_word_embeddings
    assert not loaded.config.is_scaled
    np.testing.assert_array_equal(loaded.params["head"]["kernel"], tensors[HEAD].T)


@pytest.mark.parametrize("name", _weight_names.ALIASES)
def test_two_word_embeddings_are_refused(name, tmp_path):
    tensors = files(T5)
    tensors[name] = tensors[WORD] + 1
    with pytest.raises(ValueError, match=f"{name} differs from {WORD}") as caught:
        models.load(write(tmp_path, tensors, T5))
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("name", [WORD, HEAD])
def test_a_missing_table_is_named(name, tmp_path):
    tensors = files(T5)
    del tensors[name]
    with pytest.raises(ValueError, match=f"missing: {name}"):
        models.load(write(tmp_path, tensors, T5))


def test_shards_and_pickles_of_half_precision_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.T5Config(**TIED.to_dict())
    model = transformers.T5ForConditionalGeneration(theirs).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "shards", max_shard_size="2KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 1
    shards = models.load(tmp_path / "shards").params
    (tmp_path / "pickle").mkdir()
    # With the aliases that pickles contain.
    torch.save(model.state_dict(), tmp_path / "pickle" / "pytorch_model.bin")
    config = tmp_path / "shards" / "config.json"
    (tmp_path / "pickle" / "config.json").write_bytes(config.read_bytes())
    pickle = models.load(tmp_path / "pickle")
    assert pickle.ignored == (DECODER_WORD, ENCODER_WORD, HEAD)
    chex.assert_trees_all_equal(pickle.params, shards)
    kernel = model.decoder.block[1].layer[1].EncDecAttention.q.weight
    ours = shards["decoder"]["layer_1"]["cross_attention"]["query"]["kernel"]
    np.testing.assert_array_equal(ours, kernel.float().detach().numpy().T)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"feed_forward_proj": "gated-glu"}, "feed_forward_proj='glu'"),
        ({"feed_forward_proj": 3}, "feed_forward_proj='3'"),
        ({"dense_act_fn": "relu"}, "dense_act_fn='relu'"),
        ({"is_gated_act": False}, "is_gated_act=False"),
        ({"is_encoder_decoder": False}, "is_encoder_decoder=False"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings='no'"),
        ({"relative_attention_num_buckets": 5}, "num_buckets must be an even number"),
        ({"relative_attention_max_distance": 3}, "max_distance must be above 3"),
        ({"eos_token_id": 23}, "eos_token_id must be None or one id below"),
        (
            {"decoder_start_token_id": None, "pad_token_id": None},
            "decoder_start_token_id and pad_token_id are None",
        ),
    ],
)
def test_what_the_network_does_not_do_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        T5Config.from_dict(T5.to_dict() | fields)


def test_targets_start_with_padding_where_no_other_token_is_named():
    fields = {**T5.to_dict(), "pad_token_id": 7, "decoder_start_token_id": None}
    assert T5Config.from_dict(fields).decoder_start_token_id == 7


def test_tokenizers_of_transformers_are_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = [("▁", -2.0), ("▁one", -1.0), ("▁two", -1.0), ("s", -1.5)]
    made = transformers.T5Tokenizer(vocab=[*special, *words], extra_ids=3)
    made.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    loaded = models.pretrained.tokenizer(tmp_path)
    ids = loaded("ones two").input_ids
    assert ids == made("ones two").input_ids == [4, 6, 5, 1]
    assert loaded.decode(ids, skip_special_tokens=True) == "ones two"
    assert (loaded.pad_token_id, loaded.eos_token_id) == (0, 1)
    text_bounds = models.families.FAMILIES["t5"].text_bounds
    assert text_bounds is not None
    bounds = text_bounds(T5, loaded)
    assert (bounds.begin, bounds.end, bounds.separate) == (0, 2, True)
    without = dataclasses.replace(T5, eos_token_id=None)
    assert text_bounds(without, loaded).end == 1


def test_defaults_are_hugging_faces():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.T5Config()
    fields = T5Config.from_dict({"model_type": "t5"}).to_dict()
    for name in fields.keys() - {"decoder_start_token_id", "is_encoder_decoder"}:
        assert fields[name] == getattr(theirs, name), name
    flan = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    config = T5Config.from_dict(flan)
    assert config.activation == transformers.T5Config(**flan).dense_act_fn
    assert not config.is_scaled


def test_what_is_added_to_the_word_embedding_reaches_both_networks():
    family = models.families.FAMILIES["t5"]
    params = random_params(t5(T5))
    grown = family.add_parameters(params, {"context_size": 2, "lora_rank": 2})
    assert set(grown["embeddings"]) == {"word", "context"}
    for name in ("encoder", "decoder"):
        assert set(grown[name]) == set(params[name])
        assert "lora" in grown[name]["layer_0"]["attention"]["query"]
    one, other = (
        grown[name]["layer_0"]["attention"]["query"]["lora"]["down"]
        for name in ("encoder", "decoder")
    )
    assert not np.allclose(one, other)  # Drawn from keys of their own.


def test_as_many_layers_as_each_network_has_are_made():
    config = dataclasses.replace(T5, num_layers=1, num_decoder_layers=3)
    shapes = jax.eval_shape(t5(config).init, jax.random.key(0))
    assert "layer_1" not in shapes["encoder"]
    assert "layer_2" in shapes["decoder"]
