"""Tests for GGUF files: parity with torch, and refusals."""

import dataclasses
import json
import sys

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from metaflax import models
from metaflax.models.families.llama import _weight_names
from metaflax.models.families.llama._gguf import _tensors
from metaflax.models.layers._rotary import RotaryConfig
from metaflax.models.pretrained import _gguf, _gguf_tokenizer
from metaflax.models.pretrained._gguf import GGUF
from tests.models.families.decoders import LLAMA
from tests.models.speakers import random_params, texts

gguf = pytest.importorskip("gguf")

WORDS = ["the", "cat", "sat", "on", "a", "mat", "in", "2024", "and", "77", "hats"]
# Widths that are multiples of the 32 numbers of a quantised block.
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
CONFIGS = {
    "llama": {**SIZES, "num_key_value_heads": 2},
    "llama 3": {
        **SIZES,
        "num_key_value_heads": 2,
        "rotary": RotaryConfig(
            5e5,
            "llama3",
            factor=32.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=8192,
        ),
    },
    "yarn": {
        **SIZES,
        "tie_word_embeddings": True,
        "rotary": RotaryConfig(
            1e4, "yarn", factor=4.0, original_max_position_embeddings=8
        ),
    },
    "qwen2": {
        **SIZES,
        "model_type": "qwen2",
        "attention_bias": True,
        "output_bias": False,
    },
    "qwen3": {**SIZES, "model_type": "qwen3", "head_dim": 32},
}


def byte_words():
    """Tokens and merges of a byte-level tokenizer, by hand."""
    import tokenizers

    rules = tokenizers.Tokenizer(tokenizers.models.BPE())
    rules.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<|end|>", "<|begin|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rules.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    model = json.loads(rules.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens, [" ".join(pair) for pair in model["merges"]]


def piece_words():
    """Tokens and scores of a tokenizer of sentence pieces, by hand."""
    special = ["<unk>", "<s>", "</s>"]
    letters = sorted({*"".join(WORDS), "▁"})
    pieces = ["th", "the", "at", "▁the", "▁c", "▁cat", "▁s", "▁sat", "▁m", "▁mat"]
    tokens = [*special, *(f"<0x{n:02X}>" for n in range(256)), *letters, *pieces]
    first = len(tokens) - len(pieces)
    scores = [-float(max(n - first + 1, 0)) for n in range(len(tokens))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(letters) + len(pieces))]
    return tokens, scores, kinds


def add_words(writer, pre="gpt-2"):
    tokens, merges = byte_words()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, *[1] * (len(tokens) - 2)])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_add_bos_token(False)
    return len(tokens)


def add_sizes(writer, config):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_kv)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rotary.rope_theta)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    if config.rotary.rope_type == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.rotary.factor)
        writer.add_rope_scaling_orig_ctx_len(8)


def turned(x, num_heads):
    """Interleaves the halves of each head's features, as in llama.cpp."""
    halves = x.reshape(num_heads, 2, -1, *x.shape[1:])
    return halves.swapaxes(1, 2).reshape(x.shape)


def write_gguf(path, config, params, *, kind="F32", pre="gpt-2", change=None):
    """Writes a file as llama.cpp's converter does."""
    architecture = "llama" if config.model_type == "mistral" else config.model_type
    writer = gguf.GGUFWriter(path, architecture)
    size = add_words(writer, pre)
    assert size == config.vocab_size
    add_sizes(writer, config)
    family = models.families.FAMILIES[config.model_type]
    ours = family.write(config, params, None, "tokens", False).tensors
    file = GGUF(path, architecture, {}, {})
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_kv}
    for name, place in _tensors(file, config).items():
        tensor = ours[place.name]
        part = name.split(".")[-2]
        if architecture == "llama" and part in heads:
            tensor = turned(tensor, heads[part])
        quantised = gguf.GGMLQuantizationType[kind if tensor.ndim == 2 else "F32"]
        data = gguf.quants.quantize(tensor, quantised)
        writer.add_tensor(name, data, raw_dtype=quantised)
    if config.rotary.rope_type == "llama3":
        plain = config.rotary.rope_theta ** -(
            np.arange(0, config.head_size, 2) / config.head_size
        )
        scaled, _ = config.rotary.frequencies(config.head_size)
        writer.add_tensor("rope_freqs.weight", (plain / scaled).astype(np.float32))
    if change is not None:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def case(name):
    changes = {"vocab_size": 280, "bos_token_id": 1, "eos_token_id": 0}
    config = dataclasses.replace(LLAMA, **CONFIGS[name], **changes)
    return config, random_params(models.llama(config), scale=0.1)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_gives_back_configuration_and_weights(name, tmp_path):
    config, params = case(name)
    path = write_gguf(tmp_path / "model.gguf", config, params)
    models.convert_gguf(path, tmp_path / "converted")
    loaded = models.load(tmp_path / "converted")
    theirs, ours = loaded.config.to_dict(), config.to_dict()
    for key in ("rms_norm_eps", "rope_theta"):  # Of 32 bits in the file.
        assert theirs.pop(key) == pytest.approx(ours.pop(key), rel=1e-6)
    assert theirs == ours
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_1", "Q5_0"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_quantised_weights_give_torchs_logits(kind, dtype, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config, params = case("llama")
    path = write_gguf(tmp_path / "model.gguf", config, params, kind=kind)
    models.convert_gguf(path, tmp_path / "converted", dtype=dtype)
    loaded, tokens = models.load(tmp_path / "converted"), texts(280)
    ours = jax.jit(models.llama(loaded.config).apply)(loaded.params, tokens, None)
    if dtype == "float32":
        pytest.importorskip("accelerate")
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path, gguf_file="model.gguf"
        )
    else:
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / "converted", dtype="float32"
        )
    with torch.no_grad():
        expected = theirs(
            torch.tensor(np.array(tokens.ids)).long(),
            attention_mask=torch.tensor(np.array(tokens.mask)).long(),
        ).logits.numpy()
    real = np.asarray(tokens.mask)[:, :, None]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours * real, expected * real, atol=1e-4 * scale)


TEXTS = [
    "the cat sat on a mat",
    "In 2024,  77 hats; naïve café 日本",
    "a\n\n b\t<|end|> the",
    " leading and trailing ",
]


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2", "tekken"])
def test_byte_level_tokenizers_are_transformers(pre, tmp_path):
    transformers = pytest.importorskip("transformers")
    config, params = case("llama")
    path = write_gguf(tmp_path / "model.gguf", config, params, pre=pre)
    models.convert_gguf(path, tmp_path / "converted")
    ours = models.pretrained.tokenizer(tmp_path / "converted")
    theirs = transformers.AutoTokenizer.from_pretrained(
        tmp_path, gguf_file="model.gguf"
    )
    for text in TEXTS:
        ids = ours(text).input_ids
        assert ids == theirs(text).input_ids, text
        assert ours.decode(ids) == text
    assert (ours.bos_token, ours.eos_token) == ("<|begin|>", "<|end|>")


def test_smollm_splits_digits():
    tokens, merges = byte_words()
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 3, *[1] * (len(tokens) - 2)],
        "tokenizer.ggml.merges": merges,
    }
    made = _gguf_tokenizer.tokenizer_of(metadata)
    assert made.tokenize("in 77") == ["in", "Ġ", "7", "7"]


@pytest.mark.parametrize("prefixed", [True, False])
def test_sentence_pieces_are_merged_by_their_scores(prefixed):
    tokens, scores, kinds = piece_words()
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_space_prefix": prefixed,
    }
    made = _gguf_tokenizer.tokenizer_of(metadata)
    first = ["▁the"] if prefixed else ["the"]
    assert made.tokenize("the cat") == [*first, "▁cat"]
    assert made("the cat").input_ids[0] == 1
    text = "the cat é"
    ids = made(text, add_special_tokens=False).input_ids
    assert tokens[ids[-1]] == "<0xA9>"
    assert made.decode(ids) == text


def replaced(key, value):
    """Returns a change of a field of text."""

    def change(writer):
        for fields in writer.kv_data:
            fields.pop(key, None)
        writer.add_string(key, value)

    return change


def refusal(change, tmp_path, **settings):
    config, params = case("llama")
    path = write_gguf(tmp_path / "m.gguf", config, params, change=change, **settings)
    with pytest.raises(ValueError, match=r"m\.gguf") as caught:
        models.convert_gguf(path, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.add_expert_count(8), "num_local_experts=8"),
        (lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE), "longrope"),
        (
            lambda w: w.add_tensor("rope_freqs.weight", np.full(8, 3, np.float32)),
            "no rotary scaling with the factors of its rope_freqs.weight",
        ),
        (
            lambda w: w.add_tensor("blk.0.ffn_gate_inp.weight", np.ones((2, 2), "f")),
            "unexpected: blk.0.ffn_gate_inp.weight",
        ),
        (replaced("tokenizer.ggml.model", "rwkv"), "the kind 'rwkv'"),
        (replaced("tokenizer.ggml.pre", "odd"), "by the rule 'odd'"),
        (replaced("general.architecture", "mamba"), "'mamba', and there is llama"),
    ],
)
def test_what_is_unknown_is_refused_by_name(change, message, tmp_path):
    assert message in refusal(change, tmp_path)


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ValueError, match=r"pip install 'metaflax\[gguf\]'"):
        models.convert_gguf(tmp_path / "m.gguf", tmp_path / "converted")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a good file, and a folder."""
    folder = tmp_path_factory.mktemp("gguf")
    config, params = case("llama")
    return write_gguf(folder / "m.gguf", config, params).read_bytes(), folder


@pytest.mark.parametrize("number", [99, 2**31])
def test_an_unknown_quantisation_is_refused_by_its_number(number, whole):
    content, folder = bytearray(whole[0]), whole[1]
    name = b"token_embd.weight"
    at = content.index(name) + len(name)
    num_axes = int.from_bytes(content[at : at + 4], "little")
    at += 4 + 8 * num_axes
    content[at : at + 4] = number.to_bytes(4, "little")
    path = folder / "odd.gguf"
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=rf"odd\.gguf.*{number}") as caught:
        models.convert_gguf(path, folder / "converted")
    assert "\n" not in str(caught.value)
    assert not (folder / "converted").exists()


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(data=st.data())
def test_a_damaged_file_is_one_sentence_or_read(whole, data):
    content, folder = whole
    damaged = bytearray(content)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        at = data.draw(st.integers(0, 20_000))
        damaged[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
    path = folder / "damaged.gguf"
    path.write_bytes(bytes(damaged))
    try:
        file = _gguf.read_gguf(path)
    except ValueError as error:
        message = str(error)
    else:
        message = str(file.path)
    assert "damaged.gguf" in message
    assert "\n" not in message


def test_an_array_that_never_ends_is_refused(whole):
    content, folder = whole
    at = content.index(b"tokenizer.ggml.token_type") + 25 + 4 + 4
    path = folder / "long.gguf"
    path.write_bytes(content[:at] + b"\xff" * 7 + b"\x00" + content[at + 8 :])
    with pytest.raises(ValueError, match="it has an array of"):
        _gguf.read_gguf(path)


def test_names_cover_every_tensor():
    config, _ = case("qwen3")
    found = _tensors(GGUF(None, "qwen3", {}, {}), config)
    names = {_weight_names.file_name(name) for name in _weight_names.targets(config)}
    assert {place.name for place in found.values()} == names
