"""Extracts relation triples by two adapted models; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/triples/run.py \
    [--entities RUN] [--relations RUN] [--runs DIR]
"""

import argparse
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from rich.console import Console

from experiments import common
from metaflax import tasks, workflows

# Relations of meta-test: a bridge crosses a river, a person plays a sport, a film has
# an original language.
RELATIONS = ("P177", "P641", "P364")
TYPE = "entity"
SHOT, QUERIES = 5, 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=Path, default=Path("runs/entities/slots"))
    parser.add_argument("--relations", type=Path, default=Path("runs/relations/none"))
    parser.add_argument("--runs", type=Path, default=Path("runs/triples"))
    args = parser.parse_args()
    console = Console(highlight=False)
    data = common.data_folder() / "fewrel" / "wiki.jsonl"
    try:
        support, query = drawn(data)
        learn(support, args.entities, args.relations, args.runs, console)
        results = workflows.TripleFinder(
            args.runs / "entities", args.runs / "relations"
        )
        show(results, query, console)
    except ValueError as error:
        console.print(f"triples: {error}", markup=False)
        return 2
    return 0


def drawn(file: Path, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Samples support and query sentences of each relation."""
    support, query = [], []
    rows = common.read_jsonl(file)
    for relation in RELATIONS:
        of_relation = [plain(row) for row in rows if row["label"] == relation]
        random.Random(seed).shuffle(of_relation)
        support += of_relation[:SHOT]
        query += of_relation[SHOT : SHOT + QUERIES]
    return support, query


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Converts a row to its text, with entities as ranges of characters."""
    mention = tasks.MENTION.read(tasks.Fields(row, row["id"]))
    name = row["label_name"]
    return {**tasks.MENTION.row(mention), "label": name}


def learn(
    support: Iterable[dict[str, Any]],
    entities: Path,
    relations: Path,
    runs: Path,
    console: Console,
) -> None:
    """Adapts both runs to their support files, unless already done."""
    files = {
        "entities": [{"text": r["text"], "label": typed(r)} for r in support],
        "relations": list(support),
    }
    for name, run in (("entities", entities), ("relations", relations)):
        file = runs / f"{name}.jsonl"
        common.write_jsonl(file, files[name])
        if not (runs / name).exists():
            workflows.adapt(file, runs / name, console, run_dir=run)


def typed(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Labels the related spans as entities of one type."""
    spans = sorted([row["head"], row["tail"]])
    return [{"start": start, "end": end, "type": TYPE} for start, end in spans]


def show(
    find: workflows.TripleFinder, query: list[dict[str, Any]], console: Console
) -> None:
    """Prints how many gold triples are predicted, and a few sentences."""
    whole = right = num_triples = num_entities = 0
    for first in range(0, len(query), find.batch_size):
        some = query[first : first + find.batch_size]
        texts = [find.form.read(tasks.Fields(row, "query")) for row in some]
        for row, answer in zip(some, find(texts), strict=True):
            spans = {(e["start"], e["end"]) for e in answer["entities"]}
            num_entities += len(spans)
            whole += {tuple(row["head"]), tuple(row["tail"])} <= spans
            triples = [as_tuple(triple) for triple in answer["triples"]]
            known = (tuple(row["head"]), row["label"], tuple(row["tail"]))
            right += known in triples
            num_triples += len(triples)
            if first == 0 and triples:
                console.print(best_triple(answer), markup=False, soft_wrap=True)
    console.print(
        f"{len(query)} sentences with one known triple each: both entities found in"
        f" {whole}, the triple in {right}; {num_entities} entities and {num_triples}"
        " triples predicted."
    )


def as_tuple(triple: dict[str, Any]) -> tuple[Any, ...]:
    ends = [(triple[end]["start"], triple[end]["end"]) for end in ("head", "tail")]
    return ends[0], triple["relation"], ends[1]


def best_triple(answer: dict[str, Any]) -> str:
    best = answer["triples"][0]
    return (
        f"{answer['text']}\n    ({best['head']['text']}, {best['relation']},"
        f" {best['tail']['text']})  {best['score']:.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
