"""Writes the training data of the mixture, and refuses test texts of LEOPARD.

    METAFLAX_DATA=DIR python experiments/leopard/prepare.py [--out runs/leopard/data]
        [--separable-entailment]

A folder for each member of the recipe `general`: `examples.jsonl`, `splits.json` with
the domains (intents: classes) of each split, and `README.md` with source and licence.

`products`: reviews of products. `levels`: scored sentences in four levels, from very
negative to very positive. `entailment`: premise and hypothesis. `answers`: a student's
answer beside that of a teacher. `types`: a sentence and an entity in it. `likeness`:
two sentences and how alike they are. `intents`: requests. `words`: raw sentences.
"""

import argparse
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from experiments import common
from metaflax.data.sources import _embedded

# Lowest score of each level; human scores are from -4 to 4.
LEVELS = {
    "very negative": -4.0,
    "negative": -2.0,
    "positive": 0.5,
    "very positive": 2.0,
}
NEUTRAL = 0.5
# Texts with fewer words can be equal by chance.
FEWEST_WORDS = 5


# Source and licence of each member's data.
SOURCES = {
    "products": ("Multi-Domain Sentiment Dataset (ARSC)", "none stated; research"),
    "levels": ("vaderSentiment 3.3.2", "MIT"),
    "entailment": (
        "TaxiNLI (MultiNLI), SICK, RTE, ANLI, ConjNLI, MED, Breaking NLI, DNC",
        "TaxiNLI: Computational Use of Data Agreement 1.0; SICK: CC BY-NC-SA 3.0; RTE:"
        " none stated; ANLI: CC BY-NC 4.0; ConjNLI: MIT; MED, Breaking NLI: CC BY-SA"
        " 4.0; DNC: MultiNLI's terms",
    ),
    "answers": ("SemEval-2013 task 7 (Beetle, SciEntsBank)", "CC BY-SA 3.0"),
    "types": (
        "AnEM, BioNLP13CG, GUM, re3d, FIN, WikiGold",
        "AnEM, BioNLP13CG: CC BY-SA 3.0; GUM: CC BY 4.0 on texts of CC BY 2.5 to CC"
        " BY-NC-SA 3.0; re3d: Open Government Licence 3.0 to CC BY-NC 3.0; FIN: CC BY"
        " 3.0; WikiGold: CC BY 4.0",
    ),
    "likeness": ("STS benchmark", "mixed by source, mostly CC BY-SA"),
    "intents": ("clinc150", "CC BY 3.0"),
    "words": ("WikiText-2 and WikiSplit", "CC BY-SA 3.0 and CC BY-SA 4.0"),
}
# Domains of each split; others are left out.
SPLITS = {
    "products": {
        "train": [
            *("apparel", "automotive", "baby", "beauty", "camera_photo"),
            *("cell_phones_service", "computer_video_games", "gourmet_food"),
            *("grocery", "health_personal_care", "jewelry_watches", "music"),
            *("office_products", "outdoor_living", "software", "sports_outdoors"),
        ],
        "valid": ["magazines"],
        "test": ["toys_games"],
    },
    "levels": {
        "train": ["tweets", "films"],
        "valid": ["editorials"],
        "test": ["products"],
    },
    "entailment": {
        "train": [
            *("anli_r1", "anli_r2", "anli_r3", "breaking_nli", "conjnli_auto"),
            *("conjnli_dev", "dnc_negation", "med_crowd_down", "med_crowd_up"),
            *("med_paper", "mnli_facetoface", "mnli_fiction", "mnli_government"),
            *("mnli_letters", "mnli_oup", "mnli_slate", "mnli_verbatim", "sick"),
        ],
        "valid": ["mnli_nineeleven", "rte"],
        "test": ["mnli_telephone", "mnli_travel"],
    },
    "answers": {
        "train": [
            *("beetle_FaultFinding", "beetle_SwitchesBulbsParallel"),
            *("scients_LF", "scients_LP", "scients_ME", "scients_MX"),
            *("scients_PS", "scients_VB"),
        ],
        "valid": ["beetle_SwitchesBulbsSeries"],
        "test": ["scients_SE"],
    },
    "types": {
        "train": ["anem", "bionlp13cg", "gum", "re3d"],
        "valid": ["wikigold"],
        "test": ["fin"],
    },
    "likeness": {
        "train": ["MSRvid", "headlines", "MSRpar", "deft-news"],
        "valid": ["images", "deft-forum"],
        "test": ["answers-forums", "answer-answer", "track5.en-en"],
    },
}

# Domains of entailment on which frozen MiniLM with class means exceeds 60 % from eight
# pairs of each class.
SEPARABLE = (
    *("breaking_nli", "mnli_facetoface", "mnli_fiction", "mnli_government"),
    *("mnli_letters", "mnli_oup", "mnli_verbatim", "sick"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/leopard/data"))
    parser.add_argument(
        "--separable-entailment",
        action="store_true",
        help="entailment of two classes, of domains that a frozen encoder separates",
    )
    args = parser.parse_args()
    counts = prepare(common.data_folder(), args.out, args.separable_entailment)
    for name, count in counts.items():
        print(f"{count} rows: {args.out / name / 'examples.jsonl'}")


def prepare(folder: Path, out: Path, separable: bool = False) -> dict[str, int]:
    """Writes a folder for each member; returns the number of its rows.

    Args:
      folder: folder of the data sets.
      out: folder to write, with a subfolder for each member.
      separable: whether entailment has two classes, and meta-trains on `SEPARABLE`
        domains alone.

    Raises:
      ValueError: if a training text is a test text of LEOPARD.
    """
    clinc = folder / "clinc150"
    rows_of = {
        "products": common.read_jsonl(folder / "amazon_sentiment/examples.jsonl"),
        "levels": levels(),
        "entailment": entailment(folder / "nli"),
        "answers": common.read_jsonl(folder / "education/examples.jsonl"),
        "types": types(folder / "ner_extra"),
        "likeness": likeness(folder / "stsb"),
        "intents": common.read_jsonl(clinc / "examples.jsonl"),
        "words": common.read_jsonl(folder / "unlabelled_sentences/sentences.jsonl"),
    }
    intents = json.loads((clinc / "folds.json").read_text("utf-8"))["01"]
    splits = {**SPLITS, "intents": intents}
    if separable:
        rows_of["entailment"] = map(two_classes, rows_of["entailment"])
        splits["entailment"] = {**SPLITS["entailment"], "train": [*SEPARABLE]}
    tested = words_of_tests(folder / "leopard")
    counts = {}
    for name, (source, licence) in SOURCES.items():
        kept = [*rows_of[name]]
        refuse_leaks(name, kept, tested)
        counts[name] = common.write_jsonl(out / name / "examples.jsonl", kept)
        if name in splits:
            common.write_json(out / name / "splits.json", splits[name])
        readme = f"# {name}\n\n- Source: {source}\n- Licence: {licence}\n"
        (out / name / "README.md").write_text(readme, "utf-8")
    return counts


def levels() -> Iterator[dict[str, Any]]:
    """Yields scored sentences in levels, without those near the middle."""
    for domain, number, score, text in _embedded.scored_rows():
        if abs(score) > NEUTRAL:
            level = max((low, name) for name, low in LEVELS.items() if score >= low)[1]
            yield {
                "id": f"{domain}/{number}",
                "text": text,
                "label": level,
                "domain": domain,
            }


def entailment(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.jsonl")):
        yield from common.read_jsonl(file)


def two_classes(row: dict[str, Any]) -> dict[str, Any]:
    """Joins contradiction and neutral: the first text does not entail the second."""
    entailed = row["label"] == "entailment"
    return {**row, "label": "entailment" if entailed else "not_entailment"}


def types(folder: Path) -> Iterator[dict[str, Any]]:
    """Yields each entity of tagged sentences with its sentence."""
    for file in sorted(folder.glob("*.jsonl")):
        for row in common.read_jsonl(file):
            words, tags = row["tokens"], row["tags"]
            for start, tag in enumerate(tags):
                if not tag.startswith("B-"):
                    continue
                inside = itertools.takewhile(
                    lambda tag, kind=tag[2:]: tag == f"I-{kind}", tags[start + 1 :]
                )
                end = start + 1 + len([*inside])
                yield {
                    "id": f"{row['id']}/{start}",
                    "text": " ".join(words),
                    "text_pair": " ".join(words[start:end]),
                    "label": tag[2:],
                    "domain": row["domain"],
                }


def likeness(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.jsonl")):
        for row in common.read_jsonl(file):
            yield {**row, "domain": row["source"]}


def words_of_tests(folder: Path) -> set[str]:
    """Returns the normalised texts of all files of LEOPARD."""
    rows = (row for file in folder.glob("*/*.jsonl") for row in common.read_jsonl(file))
    return {*texts_of(rows)}


def texts_of(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yields texts as words in lower case, except texts of few words."""
    for row in rows:
        for column in ("text", "text_pair"):
            words = re.findall(r"\w+", row.get(column, "").lower())
            if len(words) >= FEWEST_WORDS:
                yield " ".join(words)


def refuse_leaks(name: str, rows: list[dict[str, Any]], tested: set[str]) -> None:
    """Raises ValueError if rows contain a test text."""
    leaks = tested.intersection(texts_of(rows))
    if leaks:
        raise ValueError(
            f"{len(leaks)} texts of {name} are LEOPARD's, such as {min(leaks)!r:.80};"
            " leave them out."
        )


if __name__ == "__main__":
    main()
