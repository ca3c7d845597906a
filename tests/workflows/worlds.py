"""A made-up language: small BERTs, texts whose class is a word, and commands.

Each text has the word of its class among random filler. Features of an untrained
network depend mostly on filler; meta-training learns to ignore it, for any classes.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tokenizers
import transformers

from metaflax import cli, models
from tests.models.examples import random_params

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOPICS = tuple(f"topic{i:02}" for i in range(12))
FILLER = tuple(f"filler{i:02}" for i in range(8))
VOCABULARY = (*SPECIAL, *TOPICS, *FILLER)
MARKERS = tuple(f"[unused{i}]" for i in range(1, 5))
POSITIONS = 48
SPLIT = {"train": TOPICS[:6], "valid": TOPICS[6:9], "test": TOPICS[9:]}


def save_bert(
    directory: Path,
    *,
    num_layers: int = 1,
    width: int = 32,
    seed: int = 0,
    vocabulary: Sequence[str] = VOCABULARY,
) -> Path:
    """A random BERT with a WordPiece tokenizer, in Hugging Face's format."""
    config = models.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=POSITIONS,
    )
    files = directory.with_name(directory.name + "-tokenizer")
    save_tokenizer(files, vocabulary)
    models.save(
        directory, config, random_params(config, seed=seed), tokenizer_from=files
    )
    return directory


def save_tokenizer(directory: Path, vocabulary: Sequence[str] = VOCABULARY) -> None:
    numbers = {word: i for i, word in enumerate(vocabulary)}
    rules = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(numbers, unk_token="[UNK]")
    )
    rules.normalizer = tokenizers.normalizers.BertNormalizer()
    rules.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    rules.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])],
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules,
        model_max_length=POSITIONS,
        **{f"{n}_token": word for n, word in zip(names, SPECIAL, strict=True)},
    ).save_pretrained(directory)


def texts(
    topics: Iterable[str], count: int, rng: np.random.Generator, longest: int = 8
) -> list[str]:
    """`count` texts that each hold all the topics among filler."""
    rows = []
    for _ in range(count):
        words = [*topics, *rng.choice(FILLER, rng.integers(4, longest + 1))]
        rows.append(" ".join(rng.permutation(words)))
    return rows


def records(topics: Iterable[str] = TOPICS, count: int = 20, seed: int = 0, **kwargs):
    rng = np.random.default_rng(seed)
    return [
        {"text": text, "label": topic}
        for topic in topics
        for text in texts([topic], count, rng, **kwargs)
    ]


def label_records(count: int = 150, seed: int = 0):
    """Texts of one or two topics, both of one split."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        group = list(SPLIT.values())[rng.integers(3)]
        topics = rng.choice(group, rng.integers(1, 3), replace=False).tolist()
        rows.append({"text": texts(topics, 1, rng)[0], "label": topics})
    return rows


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@contextlib.contextmanager
def apart(folder: Path) -> Iterator[None]:
    """Keeps downloads, tokens and programs out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAFLAX_CACHE", str(folder / "cache"))
        yield


class World(NamedTuple):
    """A model and data on disk.

    Attributes:
      model: directory of a BERT.
      data: file of labelled texts.
      split: split file of these texts.
      multilabel: file of texts with several labels.
    """

    model: Path
    data: Path
    split: Path
    multilabel: Path

    def train_args(self, run_dir: Path, *, data: Path | None = None, **options) -> list:
        """The arguments of a quick `train`; options override or add, None removes."""
        settings = {
            "model": self.model,
            "data": data or self.data,
            "split_file": self.split,
            "max_length": POSITIONS,
            "way": 3,
            "shot": 2,
            "queries": 3,
            "steps": 2,
            "tasks_per_step": 2,
            "eval_every": 2,
            "valid_episodes": 4,
            "test_episodes": 4,
            "batch_episodes": 4,
            "dropout": False,
            "run_dir": run_dir,
        }
        return ["train", *arguments({**settings, **options})]


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Formats options, such as `way=3` as `--way 3`."""
    words = []
    for name, value in options.items():
        if value is None:
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def run(*args: Any) -> None:
    """Runs a command, and checks that it succeeds."""
    assert cli.main([str(arg) for arg in args]) == 0
