"""Writes sentences of Wikipedia, and a new model with a tokenizer trained on them.

    METAFLAX_DATA=DIR python experiments/language_modelling/prepare.py \
        [--runs runs/language_modelling]

An article of WikiText-2 is a domain, and so is a topic of WikiSplit, whose sentences
come from any article and are for the first joint training. Articles of WikiText-2's
validation part are for meta-training, except every fourth, which is for validation; the
first eight articles of its test part are for meta-test. The model is a GPT with random
weights; its tokenizer is trained on the sentences of meta-training alone.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common
from metaflax import data, workflows

# Sizes of the new model.
SIZES = {"vocab_size": 4000, "width": 128, "layers": 3, "heads": 4, "positions": 64}
# Minimum number of sentences of an article.
LEAST = 24
NUM_TEST = 8
NUM_TOPICS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/language_modelling"))
    runs = parser.parse_args().runs
    count = prepare(common.data_folder(), runs)
    print(f"{count} sentences and a model: {runs}")


def prepare(folder: Path, runs: Path) -> int:
    """Writes sentences and split, and the model unless there is one."""
    results = list(sentences(folder / "unlabelled_sentences" / "sentences.jsonl"))
    counts = Counter(sentence["domain"] for sentence in results)
    kept = [s for s in results if counts[s["domain"]] >= LEAST]
    articles, topics = split(kept)
    common.write_jsonl(runs / "sentences.jsonl", kept, ascii=False)
    common.write_json(runs / "splits.json", articles)
    common.write_json(runs / "topics.json", topics)
    if not (runs / "model").exists():
        names = {*articles["train"], *topics["train"]}
        texts = [s["text"] for s in kept if s["domain"] in names]
        workflows.new_language_model(runs / "model", texts, family="gpt", **SIZES)
    return len(kept)


def sentences(path: Path) -> Iterator[dict[str, Any]]:
    """Yields sentences with their article (if its name is known) or topic, and part."""
    rows = common.read_jsonl(path)
    apart = [row for row in rows if "article" not in row]
    topics = data.topics([row["text"] for row in apart], NUM_TOPICS)
    for row, topic in zip(apart, topics, strict=True):
        yield {"text": row["text"], "domain": f"topic {topic}", "part": "topics"}
    for row in rows:
        if "<unk>" not in (domain := row.get("article", "<unk>")):
            part = row["id"].rsplit("-", 1)[0]
            yield {"text": row["text"], "domain": domain, "part": part}


def split(results: list[dict[str, Any]]) -> tuple[dict[str, list[str]], ...]:
    """Returns the domains by split for training on articles, and on topics."""
    parts = {sentence["domain"]: sentence["part"] for sentence in results}

    def of(part: str) -> list[str]:
        return sorted(
            domain for domain, domain_part in parts.items() if domain_part == part
        )

    known = of("wikitext2-valid")
    valid = known[::4]
    train = [article for article in known if article not in valid]
    held_out = {"valid": valid, "test": of("wikitext2-test")[:NUM_TEST]}
    return {"train": train, **held_out}, {"train": of("topics"), **held_out}


if __name__ == "__main__":
    main()
