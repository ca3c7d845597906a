"""A new language model: random weights, and a tokenizer learned from texts."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from metaflax import data, models, tasks
from metaflax.files import check_absent
from metaflax.models.pretrained import Family

# The special tokens of a tokenizer that `train_tokenizer` made.
PAD, BEGIN, END = 0, 1, 2


def new_language_model(
    out: str | Path,
    texts: Iterable[str],
    *,
    family: Family = "seq2seq",
    vocab_size: int = 4000,
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    positions: int = 256,
    dropout: float = 0.1,
    seed: int = 0,
) -> Path:
    """Writes a model to meta-train from the beginning, in Hugging Face's format.

    Args:
      out: the directory to write.
      texts: its tokenizer learns from them: texts of meta-training, of no other split.
      family: `gpt`, one network that goes on with texts; `seq2seq`, two of which one
        reads and one says; or `bert`, one that reads, for `pretrain` and all tasks that
        generate nothing.
      vocab_size: words of the tokenizer, at most.
      width: features of a token.
      layers: of each network.
      heads: of a layer; they divide `width`.
      positions: the longest text in tokens; for a `gpt` what is read and said together.
      dropout: of everything that drops out.
      seed: draws the weights.

    Returns:
      The directory.

    Raises:
      ValueError: if it exists, or the sizes make no network.
    """
    target = Path(out).expanduser()
    check_absent(target)
    with tempfile.TemporaryDirectory() as files:
        tokenizer = models.pretrained.train_tokenizer(
            texts, files, vocab_size=vocab_size, family=family
        )
        sizes = {
            "vocab_size": len(tokenizer),
            "width": width,
            "layers": layers,
            "heads": heads,
            "positions": positions,
            "dropout": dropout,
        }
        key = jax.random.key(seed)
        make = {"gpt": _new_gpt, "seq2seq": _new_seq2seq, "bert": _new_bert}[family]
        make(target, sizes, key, files)
    return target


def _new_gpt(target: Path, sizes: dict[str, Any], key: Any, files: str) -> None:
    rate = sizes["dropout"]
    config = models.GPTConfig(
        vocab_size=sizes["vocab_size"],
        n_positions=sizes["positions"],
        n_embd=sizes["width"],
        n_layer=sizes["layers"],
        n_head=sizes["heads"],
        resid_pdrop=rate,
        embd_pdrop=rate,
        attn_pdrop=rate,
        bos_token_id=BEGIN,
        eos_token_id=END,
    )
    params = models.gpt(config).init(key)
    models.pretrained.save_gpt(target, config, params, tokenizer_from=files)


def _new_seq2seq(target: Path, sizes: dict[str, Any], key: Any, files: str) -> None:
    network = _bert_config(sizes)
    config = models.Seq2SeqConfig(
        network,
        network,
        decoder_start_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    params = models.seq2seq(config).init(key)
    models.pretrained.save_seq2seq(target, config, params, tokenizer_from=files)


def _new_bert(target: Path, sizes: dict[str, Any], key: Any, files: str) -> None:
    config = _bert_config(sizes)
    params = models.masked_lm(config).init(key)
    models.pretrained.save_masked_lm(target, config, params, tokenizer_from=files)


def _bert_config(sizes: dict[str, Any]) -> models.BertConfig:
    return models.BertConfig(
        vocab_size=sizes["vocab_size"],
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["width"],
        max_position_embeddings=sizes["positions"],
        hidden_dropout_prob=sizes["dropout"],
        attention_probs_dropout_prob=sizes["dropout"],
    )


def language_model_from_encoder(
    out: str | Path,
    encoder: str | Path = "minilm",
    *,
    layers: int = 2,
    seed: int = 0,
) -> Path:
    """Writes an encoder-decoder whose encoder is a pretrained BERT.

    It has that BERT's tokenizer. Of the decoder, which is as wide, the word embedding
    begins as the encoder's, and all else at random.

    Args:
      out: the directory to write.
      encoder: directory or hub name of the BERT; `minilm` is all-MiniLM-L6-v2.
      layers: of the decoder.
      seed: draws its weights.

    Returns:
      The directory.

    Raises:
      ValueError: if it exists, or there is no such BERT.

    References:
      Rothe et al., `Leveraging Pre-trained Checkpoints for Sequence Generation Tasks
      <https://arxiv.org/abs/1907.12461>`_, 2020: BERT2RND.
    """
    target = Path(out).expanduser()
    check_absent(target)
    source = data.fetch_minilm() if encoder == "minilm" else encoder
    pretrained = models.pretrained.load(source)
    tokenizer = models.pretrained.tokenizer(pretrained.directory)
    config = models.Seq2SeqConfig(
        pretrained.config,
        dataclasses.replace(pretrained.config, num_hidden_layers=layers),
        decoder_start_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    params: Any = models.seq2seq(config).init(jax.random.key(seed))
    read = {k: v for k, v in pretrained.params.items() if k != "pooler"}
    said = params["decoder"]
    words = {**said["embeddings"], "word": read["embeddings"]["word"]}
    params = {**params, "encoder": read, "decoder": {**said, "embeddings": words}}
    models.pretrained.save_seq2seq(
        target, config, params, tokenizer_from=pretrained.directory
    )
    return target


def texts_of_file(file: str | Path, columns: Sequence[str]) -> Iterator[str]:
    """All texts in some columns of a file, those of lists of turns one by one.

    Raises:
      ValueError: if the file cannot be read, or lacks a column.
    """
    for column in columns:
        for turns in data.read_texts(file, form=tasks.TURNS, column=column):
            yield from turns
