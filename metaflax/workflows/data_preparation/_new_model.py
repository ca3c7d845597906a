"""New models: random weights, and a tokenizer learned from texts."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from metaflax import models, tasks
from metaflax._files import check_absent
from metaflax.data.sources._input_texts import read_input_rows
from metaflax.models.families._registry import named_family
from metaflax.models.pretrained._train_tokenizer import train_tokenizer
from metaflax.workflows.runs._load_model import locate_model

# Model types by their names in `metaflax new`.
MODEL_TYPES = {"gpt": "gpt2", "seq2seq": "encoder-decoder"}


def new_language_model(
    out: str | Path,
    texts: Iterable[str],
    *,
    family: str = "seq2seq",
    vocab_size: int = 4000,
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    positions: int = 256,
    dropout: float = 0.1,
    seed: int = 0,
) -> Path:
    """Writes a model to meta-train from scratch, in Hugging Face's format.

    Args:
      out: the directory to write.
      texts: training texts of the tokenizer: those of meta-training, of no other split.
      family: `gpt` or `llama`, a decoder; `seq2seq` or `t5`, an encoder-decoder;
        `bert`, an encoder, for `pretrain` and all tasks that generate nothing; or a
        `model_type` or an import path of a `ModelFamily`.
      vocab_size: largest vocabulary of the tokenizer.
      width: features of a token.
      layers: number of layers of each network.
      heads: attention heads of a layer; they divide `width`.
      positions: longest text in tokens; of a `gpt` input and output together.
      dropout: rate of all dropout.
      seed: seed for the weights.

    Returns:
      The directory.

    Raises:
      ValueError: if the directory exists, or the sizes are invalid.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import models, workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = workflows.new_language_model(
      ...         pathlib.Path(folder) / "tiny",
      ...         ["it barks", "it purrs"],
      ...         family="bert",
      ...         vocab_size=40,
      ...         width=8,
      ...         layers=1,
      ...         heads=2,
      ...         positions=16,
      ...     )
      ...     model = models.load(path)
      ...     print(model.tokenizer().tokenize("it barks"))
      ['it', 'barks']
      >>> model.config.hidden_size, model.config.num_hidden_layers
      (8, 1)
    """
    target = Path(out).expanduser()
    check_absent(target)
    model_family = named_family(MODEL_TYPES.get(family, family))
    if model_family.new is None:
        raise ValueError(
            f"models of type {model_family.model_type!r} cannot be made new; name"
            f" {', '.join(_new_families())}."
        )
    with tempfile.TemporaryDirectory() as files:
        tokenizer = train_tokenizer(
            texts, files, vocab_size=vocab_size, family=model_family.new.tokenizer
        )
        sizes = models.families.Sizes(
            len(tokenizer), width, layers, heads, positions, dropout
        )
        _save_new(target, model_family, sizes, jax.random.key(seed), files)
    return target


def _new_families() -> list[str]:
    """Returns the names of families that can be initialised from sizes."""
    names = {model_type: name for name, model_type in MODEL_TYPES.items()}
    return [
        names.get(name, name)
        for name, family in models.families.FAMILIES.items()
        if family.new is not None
    ]


def _save_new(
    target: Path,
    family: models.ModelFamily,
    sizes: models.families.Sizes,
    key: Any,
    tokenizer_files: str,
) -> None:
    """Writes a model of these sizes with random weights."""
    assert family.new is not None
    config = family.new.config(sizes)
    if family.masked_lm is not None:
        params = family.masked_lm.network(config).init(key)
        family.save_masked_lm(target, config, params, tokenizer_from=tokenizer_files)
        return
    network = family.encoder or family.language_model
    assert network is not None
    params = network(config).init(key)
    family.save(target, config, params, tokenizer_from=tokenizer_files)


def language_model_from_encoder(
    out: str | Path,
    encoder: str | Path = "minilm",
    *,
    layers: int = 2,
    seed: int = 0,
) -> Path:
    """Writes an encoder-decoder whose encoder is a pretrained BERT.

    It keeps the tokenizer of the BERT. The decoder has the same width; its word
    embedding is initialised from the encoder's, and all else at random.

    Args:
      out: the directory to write.
      encoder: directory or hub name of the BERT; `minilm` is all-MiniLM-L6-v2.
      layers: number of layers of the decoder.
      seed: seed for its weights.

    Returns:
      The directory.

    Raises:
      ValueError: if the directory exists, or there is no such BERT.

    Examples:
      >>> import tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.language_model_from_encoder(f"{folder}/pair", "./absent")
      Traceback (most recent call last):
        ...
      ValueError: there is no directory ./absent; check the path.

    References:
      Rothe et al., `Leveraging Pre-trained Checkpoints for Sequence Generation Tasks
      <https://arxiv.org/abs/1907.12461>`_, 2020: BERT2RND.
    """
    target = Path(out).expanduser()
    check_absent(target)
    pretrained = models.load(locate_model(encoder), "bert")
    tokenizer = pretrained.tokenizer()
    config = models.Seq2SeqConfig(
        pretrained.config,
        dataclasses.replace(pretrained.config, num_hidden_layers=layers),
        decoder_start_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    params: Any = models.seq2seq(config).init(jax.random.key(seed))
    weights = {k: v for k, v in pretrained.params.items() if k != "pooler"}
    decoder = params["decoder"]
    embeddings = {**decoder["embeddings"], "word": weights["embeddings"]["word"]}
    decoder = {**decoder, "embeddings": embeddings}
    params = {**params, "encoder": weights, "decoder": decoder}
    models.save(target, config, params, tokenizer_from=pretrained.directory)
    return target


def texts_of_file(file: str | Path, columns: Sequence[str]) -> Iterator[str]:
    r"""Yields all texts in some columns of a file, turns of dialogues one by one.

    Args:
      file: file of labelled or unlabelled texts, in any format that `data.read` reads.
      columns: names of the columns of texts.

    Yields:
      The texts.

    Raises:
      ValueError: if the file cannot be read, or lacks a column.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "talks.jsonl"
      ...     row = '{"turns": ["Hello.", "Who is it?"], "answer": "Ada."}'
      ...     _ = path.write_text(row)
      ...     list(workflows.texts_of_file(path, ["turns", "answer"]))
      ['Hello.', 'Who is it?', 'Ada.']
    """
    for column in columns:
        options = {"text": "--columns"}
        for row in read_input_rows(
            file, form=tasks.TURNS, column=column, options=options
        ):
            yield from row.text
