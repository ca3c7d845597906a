"""Labelled texts with variants, in which a model replaced some words."""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from metaflax import data, tasks
from metaflax.workflows._word_filler import Offer, WordFiller

COLUMN = "variants"
# Columns by which a row is of a task whose text does not stand alone.
PARTS = ("text_pair", "tokens", "head", "tail", "context", "target")
# Texts whose variants are made together.
CHUNK = 512
# How often words are drawn anew where a variant is none or has been made before.
TRIES = 10


class Replacing(NamedTuple):
    """How words are replaced.

    Attributes:
      variants: K, how many of each text are made.
      share: of its words that each replaces, at least one.
      temperature: divides logits before words are drawn.
      top_k: from how many words each is drawn, the likeliest ones.
      max_length: tokens of a text that are read; words beyond stay as they are.
      seed: draws which words, and what stands in their places.
    """

    variants: int = 4
    share: float = 0.15
    temperature: float = 1.0
    top_k: int = 20
    max_length: int = 128
    seed: int = 0

    def check(self) -> None:
        """Refuses what makes no variants.

        Raises:
          ValueError: naming the setting and what it may be.
        """
        counts = {"variants": self.variants, "top_k": self.top_k}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} is {count}; give 1 or more.")
        if self.max_length < 3:
            raise ValueError(f"max_length is {self.max_length}; give 3 or more.")
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; give above 0 to 1.")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; give above 0.")

    def most_masks(self, length: int) -> int:
        """How many words of a text of so many tokens are replaced, at most."""
        return max(round(self.share * length), 1)


def augment(
    source: str | Path,
    model: str | Path,
    out: str | Path,
    console: Console,
    *,
    text: str = "text",
    split: str | None = None,
    replacing: Replacing | None = None,
) -> int:
    """Writes labelled texts again, each with variants of it in a column `variants`.

    For each variant a share of the text's words is drawn, all of them are masked, and
    the model draws other words for their places, each by itself: one pass of the model
    a variant, however many words. Of the rest not a character changes. A text has K
    variants that differ, or fewer where so many were not found, as in a text without
    words or with special tokens, which has none. The same arguments write the same
    file. It appears whole or not at all.

    Args:
      source: labelled texts, whatever `data.read` reads.
      model: directory or hub name of a BERT with the output layer of its pretraining,
        such as the folder `model` of a run of `pretrain`.
      out: the JSONL file to write, which must not exist.
      console: where progress goes.
      text: the column of texts.
      split: which split of a hub data set or saved directory to read.
      replacing: how words are replaced.

    Returns:
      How many variants were made.

    Raises:
      ValueError: for anything wrong with source, model or settings, and if no text has
        a word to replace, before anything is written.

    References:
      Wu et al., `Conditional BERT Contextual Augmentation
      <https://arxiv.org/abs/1812.06705>`_, 2018, and Kumar et al., `Data Augmentation
      using Pre-trained Transformer Models <https://arxiv.org/abs/2003.02245>`_, 2020.
      Departures: the model is not told the label; the word that was masked is never
      drawn; and a word, however many its pieces, is replaced by one that is whole.
    """
    replacing = replacing or Replacing()
    replacing.check()
    target = Path(out).expanduser()
    _check_target(target)
    texts, rows = _read(source, text, split)
    filler = WordFiller(model, replacing.most_masks, replacing.max_length)
    if not any(_has_words(text, filler) for text in texts):
        raise ValueError(
            f"{source}: no text of column {text!r} has a word to replace; name the"
            " column of texts."
        )
    with _progress(console, len(texts)) as advance, _appearing(target) as file:
        num_variants = num_without = 0
        for first in range(0, len(texts), CHUNK):
            chunk = texts[first : first + CHUNK]
            found = variants_of(chunk, filler, replacing, first)
            for row, own in zip(rows[first : first + CHUNK], found, strict=True):
                file.write(_line(row, own))
                num_variants += len(own)
                num_without += not own
            advance(len(chunk))
    without = f"; {num_without} texts have none" if num_without else ""
    console.print(
        f"{num_variants} variants of {len(texts)} texts{without}: {target}",
        markup=False,
        soft_wrap=True,
    )
    return num_variants


def variants_of(
    texts: Sequence[str], filler: WordFiller, replacing: Replacing, first: int = 0
) -> list[list[str]]:
    """The variants of each text.

    Args:
      texts: any texts.
      filler: offers words.
      replacing: how words are replaced.
      first: the number of the first text, by which what is drawn differs.

    Returns:
      For each text its variants, K or fewer, no two of them the same.
    """
    rngs = [_generator(replacing.seed, first + n) for n in range(len(texts))]
    clozes = [
        _clozes(text, rng, filler, replacing)
        for text, rng in zip(texts, rngs, strict=True)
    ]
    mask = filler.tokenizer.mask_token
    flat = [cloze for own in clozes for cloze in own]
    # As many words more as may be the masked one itself, in other cases or accents.
    offers = filler.offers(
        [cloze.filled([mask] * len(cloze.places)) for cloze in flat],
        replacing.top_k + 2 * filler.most_alike,
    )
    masked = sorted({word for cloze in flat for word in cloze.words})
    read_as = dict(zip(masked, filler.read_as(masked), strict=True))
    gapped = (
        Gapped.of(cloze, offer, filler.words, read_as, replacing)
        for cloze, offer in zip(flat, offers, strict=True)
    )
    return [
        _distinct(rng, list(itertools.islice(gapped, len(own))))
        for rng, own in zip(rngs, clozes, strict=True)
    ]


class Gapped(NamedTuple):
    """A text with gaps, and what may be drawn for each.

    Attributes:
      cloze: text and gaps.
      words: for each gap words other than that which was there.
      probabilities: of them.
    """

    cloze: data.Cloze
    words: list[list[str]]
    probabilities: list[np.ndarray]

    @classmethod
    def of(
        cls,
        cloze: data.Cloze,
        offer: Offer,
        vocabulary: Sequence[str],
        read_as: Mapping[str, str],
        replacing: Replacing,
    ) -> "Gapped":
        """Those gaps that a model read, each with the likeliest other words."""
        cloze = cloze._replace(places=cloze.places[: len(offer.numbers)])
        words, probabilities = [], []
        for gone, numbers, logits in zip(
            cloze.words, offer.numbers, offer.logits, strict=True
        ):
            same = {gone.casefold(), read_as[gone].casefold()}
            offered = [vocabulary[int(number)] for number in numbers]
            others = [
                n for n, word in enumerate(offered) if word.casefold() not in same
            ]
            others = others[: replacing.top_k]
            words.append([offered[n] for n in others])
            probabilities.append(_softmax(logits[others] / replacing.temperature))
        return cls(cloze, words, probabilities)

    def draw(self, rng: np.random.Generator) -> str | None:
        """The text with a word drawn for each gap; None where there is none to draw."""
        if not self.words or not all(self.words):
            return None
        drawn = [
            words[rng.choice(len(words), p=p)]
            for words, p in zip(self.words, self.probabilities, strict=True)
        ]
        return self.cloze.filled(drawn)


def _distinct(rng: np.random.Generator, gapped: Sequence[Gapped]) -> list[str]:
    """A variant for each of a text's gapped forms, unless it was drawn before."""
    found: dict[str, None] = {}
    for form in gapped:
        for _ in range(TRIES):
            variant = form.draw(rng)
            if variant is not None and variant not in found:
                found[variant] = None
                break
    return list(found)


def _clozes(
    text: str, rng: np.random.Generator, filler: WordFiller, replacing: Replacing
) -> list[data.Cloze]:
    if not _has_words(text, filler):
        return []
    # Each word is a token at least: those beyond are not read.
    most = filler.max_length - 2
    return [
        data.draw_cloze(text, rng, replacing.share, most)
        for _ in range(replacing.variants)
    ]


def _has_words(text: str, filler: WordFiller) -> bool:
    """Whether there are words to mask, and no special tokens that masks would meet."""
    special = any(token in text for token in filler.tokenizer.all_special_tokens)
    return not special and bool(data.whole_words(text))


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(np.float64(logits) - np.max(logits, initial=-np.inf))
    return weights / weights.sum()


def _generator(seed: int, number: int) -> np.random.Generator:
    """What is random about one text, whichever are worked on with it."""
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, number], np.uint64))
    )


def _read(
    source: str | Path, column: str, split: str | None
) -> tuple[list[str], list[dict[str, Any]]]:
    texts, rows = [], []
    for place, row in data.read_rows(source, split=split):
        fields = tasks.Fields(row, place, {"text": column})
        texts.append(fields.text("text"))
        _check_alone(row, place, column)
        rows.append(row)
    if not texts:
        raise ValueError(f"{source}: holds no examples; give at least one row.")
    return texts, rows


def _check_alone(row: dict[str, Any], place: str, column: str) -> None:
    """Refuses a row of a task for which other words would make another example."""
    if COLUMN in row:
        raise ValueError(
            f"{place}: has a column {COLUMN!r} already; augment a file without."
        )
    labels = row.get("label")
    spans = isinstance(labels, list) and any(
        isinstance(x, (dict, list)) for x in labels
    )
    parts = [name for name in PARTS if name in row and name != column]
    if spans or parts:
        raise ValueError(
            f"{place}: has {'spans as label' if spans else f'a column {parts[0]!r}'},"
            " and words are replaced in texts that stand alone with their labels; leave"
            " it out if it means something else."
        )


def _check_target(target: Path) -> None:
    if target.suffix != ".jsonl":
        raise ValueError(f"{target}: variants are written as JSONL; name it .jsonl.")
    if target.exists():
        raise ValueError(f"{target} exists already; name a new file.")


def _line(row: dict[str, Any], variants: list[str]) -> str:
    try:
        return json.dumps({**row, COLUMN: variants}, ensure_ascii=False) + "\n"
    except TypeError as error:
        raise ValueError(
            f"a row holds what JSON cannot ({error}); leave that column out."
        ) from error


@contextlib.contextmanager
def _appearing(target: Path) -> Iterator[IO[str]]:
    """A file that is there once it is whole, and of which else nothing is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(target.name + ".tmp")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            yield file
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """A live line on a terminal, moved on by so many texts."""
    progress = Progress(
        TextColumn("augmenting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("texts,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)
