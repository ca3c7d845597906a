"""Writes texts with summaries, titles or first sentences, and the initial model.

    METAFLAX_DATA=DIR python experiments/summarization/prepare.py \
        [--runs runs/summarization]

A target is a summary, a title or a first sentence; a domain is a kind of target and a
topic:

- `scitldr/N`: abstracts of papers, and a summary in a sentence;
- `titles/N`: the same abstracts, and the papers' titles;
- `dialogsum/N`: dialogues, and a summary;
- `reviews/NAME`: reviews of SubjQA without their first sentence, which is the target;
- `articles/N`: four sentences of Wikipedia, and the one before them.

Topics N are clusters of the words of abstracts, dialogues and articles, by k-means. The
model is an encoder-decoder: all-MiniLM-L6-v2, and a decoder with random
weights.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common
from metaflax import data, workflows

NUM_PAPERS, NUM_DIALOGUES, NUM_ARTICLES = 8, 5, 4
# Number of sentences of an input; the target is the sentence before them.
SENTENCES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/summarization"))
    runs = parser.parse_args().runs
    count = prepare(common.data_folder(), runs)
    new_model(runs)
    print(f"{count} texts and a model: {runs}")


def new_model(runs: Path) -> None:
    """Creates the model, unless it exists."""
    if not (runs / "model").exists():
        workflows.language_model_from_encoder(runs / "model", "minilm", layers=2)


def prepare(folder: Path, runs: Path) -> int:
    """Writes the texts; returns how many."""
    results = [
        *papers(folder / "scitldr" / "examples.jsonl"),
        *dialogues(folder / "dialogsum" / "examples.jsonl"),
        *reviews(folder / "subjqa" / "examples.jsonl"),
        *articles(folder / "unlabelled_sentences" / "sentences.jsonl"),
    ]
    return common.write_jsonl(runs / "texts.jsonl", results, ascii=False)


def papers(path: Path) -> Iterator[dict[str, str]]:
    results = common.read_jsonl(path)
    numbers = data.topics([row["source"] for row in results], NUM_PAPERS)
    for row, number in zip(results, numbers, strict=True):
        yield example(row["source"], row["targets"][0], f"scitldr/{number}")
        if row["title"].strip():
            yield example(row["source"], row["title"], f"titles/{number}")


def dialogues(path: Path) -> Iterator[dict[str, str]]:
    results = common.read_jsonl(path)
    numbers = data.topics([row["source"] for row in results], NUM_DIALOGUES)
    for row, number in zip(results, numbers, strict=True):
        yield example(row["source"], row["targets"][0], f"dialogsum/{number}")


def reviews(path: Path) -> Iterator[dict[str, str]]:
    by_context = {row["context"]: row["domain"] for row in common.read_jsonl(path)}
    for context, domain in by_context.items():
        first, *rest = re.split(r"(?<=[.!?])\s+", context.strip())
        if rest:
            yield example(" ".join(rest), first, f"reviews/{domain}")


def articles(path: Path) -> Iterator[dict[str, str]]:
    """Yields passages of five consecutive sentences of an article."""
    by_article: dict[str, list[str]] = {}
    for row in common.read_jsonl(path):
        if "<unk>" not in row.get("article", "<unk>"):
            by_article.setdefault(row["article"], []).append(row["text"])
    step = SENTENCES + 1
    passages = [
        sentences[i : i + step]
        for sentences in by_article.values()
        for i in range(0, len(sentences) - step + 1, step)
    ]
    numbers = data.topics([" ".join(passage) for passage in passages], NUM_ARTICLES)
    for (first, *rest), number in zip(passages, numbers, strict=True):
        yield example(" ".join(rest), first, f"articles/{number}")


def example(text: str, target: str, domain: str) -> dict[str, str]:
    return {"text": text, "target": target, "domain": domain}


if __name__ == "__main__":
    main()
