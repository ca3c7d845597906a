"""Questions of two data sets as one file, each with its domain.

    METAFLAX_DATA=DIR python experiments/question_answering/prepare.py [--out FILE]

SubjQA: questions about reviews; domains are named as `subjqa/books`. XQuAD: questions
about paragraphs of Wikipedia, which are the same in all languages. So that no paragraph
is in two languages, of every two articles in the order of their titles the first is
taken in English, in two domains `xquad/en/0` and `xquad/en/1`, and the second in German
and in Spanish, `xquad/de` and `xquad/es`. Contexts of more than 700 characters are left
out, to keep a step of meta-training short.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common

LONGEST = 700
# Number of domains of English articles.
NUM_ENGLISH = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/question_answering/questions.jsonl")
    )
    out = parser.parse_args().out
    count = prepare(common.data_folder(), out)
    print(f"{count} questions: {out}")


def prepare(data: Path, out: Path) -> int:
    """Writes the questions; returns how many."""
    results = [*reviews(data / "subjqa"), *articles(data / "xquad")]
    kept = [question for question in results if len(question["context"]) <= LONGEST]
    return common.write_jsonl(out, kept, ascii=False)


def reviews(folder: Path) -> Iterator[dict[str, Any]]:
    for row in common.read_jsonl(folder / "examples.jsonl"):
        yield question(row, row["context"], f"subjqa/{row['domain']}")


def articles(folder: Path) -> Iterator[dict[str, Any]]:
    for language in ("en", "de", "es"):
        paragraphs = common.read_jsonl(folder / f"{language}.jsonl")
        titles = sorted({paragraph["title"] for paragraph in paragraphs})
        for paragraph in paragraphs:
            number = titles.index(paragraph["title"])
            if (number % 2 == 0) != (language == "en"):
                continue
            domain = f"xquad/{language}"
            if language == "en":
                domain += f"/{number // 2 % NUM_ENGLISH}"
            for row in paragraph["questions"]:
                yield question(row, paragraph["context"], domain)


def question(row: dict[str, Any], context: str, domain: str) -> dict[str, Any]:
    return {
        "question": row["question"],
        "context": context,
        "answers": row["answers"],
        "domain": domain,
    }


if __name__ == "__main__":
    main()
