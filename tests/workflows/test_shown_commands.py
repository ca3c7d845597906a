"""Tests that every command of a page runs, in miniature, on the page's files.

Pages are followed from top to bottom in one directory: their files are written, their
Python runs, and each command must succeed. Files that a page assumes, such as
`my_task.csv` or the run of another page, are created first.
Models are tiny, and options make commands short, so that sizes are not tested. Python
that needs the real encoder runs in `tests/test_docs.py`.
"""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from metaflax import cli
from metaflax.data.sources._pip_models import PIP_MODELS
from tests.test_docs import (
    NEEDS_MINILM,
    ROOT,
    name_of,
    pages,
    pytestmark,
)

__all__ = ["pytestmark"]

# Prefixes of commands that are tested elsewhere.
ELSEWHERE = {
    "pip install": ".ci/first_hour.py",
    "python -m pytest": ".ci/run",
    "git clone": ".ci/first_hour.py",
    "cd ": ".ci/first_hour.py",
    "metaflax completion": "tests/test_cli.py",
    "mkdir -p ~": "tests/test_cli.py",
    "metaflax serve": "tests/serving/test_api.py",
    "curl": "tests/serving/test_api.py",
    "experiments/launch/local.sh": "tests/experiments/test_launch.py",
    "python experiments/launch/": "tests/workflows/test_machines.py",
    "docker": "tests/experiments/test_service_recipe.py",
    "kubectl": "tests/experiments/test_service_recipe.py",
    "metaflax quickstart": ".ci/first_hour.py",
    "metaflax train --recipe": "tests/workflows/test_recipes.py",
}

# Options that shorten a command. The last value of an option is used.
SHORT = {
    "train": "--steps 2 --eval-every 2 --valid-episodes 2 --test-episodes 2"
    " --tasks-per-step 2 --max-length 24",
    "search": "--trials 1",
    "evaluate": "--test-episodes 2",
    "pretrain": "--steps 2 --eval-every 2 --rows-per-step 2 --length 32",
    "augment": "--variants 1",
    "cluster": "--clusters 4",
    "replay": "--step 1",
    "suggest": "--number 2",
}
# The same for the commands that take all settings from a config file.
SHORT_CONFIGS = {
    "mixture.py": """
import dataclasses
training = TrainingConfig(steps=4, eval_every=4, valid_episodes=2)
evaluation = EvaluationConfig(test_episodes=2)
config = dataclasses.replace(config, training=training, evaluation=evaluation)
""",
    "search.py": """
import dataclasses
training = TrainingConfig(steps=2, eval_every=2, valid_episodes=2)
base = dataclasses.replace(config.base, training=training)
config = dataclasses.replace(config, base=base)
""",
}
OUTPUTS = ("--out", "--run-dir")
THINGS = "parcel refund password invoice account card loan flight hotel ticket router"
DEEDS = "find show cancel change lose return pay track"
WAYS = "I want to {}|how do I {}|please help me {}|can you {}|where can I {}|we {}"
WAYS += "|is it possible to {}|I would like to {}|why can I not {}|tell me how to {}"
WAYS += "|must I {}|they {}|who can {}|it would help to {}|today I {}|never {}"


class Fence(NamedTuple):
    """A block of a page: its language, its text, and the name of its file."""

    language: str
    text: str
    file: str | None


def fences(page: Path) -> list[Fence]:
    text = page.read_text("utf-8")
    found = []
    for match in re.finditer(r"^```(.*?)\n(.*?)^```", text, re.M | re.S):
        before = text[: match.start()].rstrip().rpartition("\n\n")[2]
        named = re.search(r"(?:[Ww]rite|in a file|存为|写入) `([\w.]+)`", before)
        found.append(Fence(match[1], match[2], named[1] if named else None))
    return found


def commands(fence: Fence) -> list[str]:
    """Commands of a shell block; a quoted argument may span several lines."""
    lines, whole = [], ""
    for line in fence.text.replace("\\\n", " ").splitlines():
        if line.startswith("#"):
            continue
        whole += line + "\n"
        if whole.count("'") % 2 == 0:
            lines.append(whole)
            whole = ""
    split = (part for line in lines for part in line.partition(" #")[0].split(" && "))
    return [part.strip() for part in split if part.strip()]


def shows_commands(page: Path) -> bool:
    return any(not fence.language and not fence.file for fence in fences(page))


def write_rows(path: str, rows: list[dict[str, str]]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def run(*args: str) -> None:
    assert cli.main(list(args)) == 0


def intents() -> list[dict[str, str]]:
    return [
        {"text": way.format(f"{deed} my {thing}"), "label": f"{deed} {thing}"}
        for thing in THINGS.split()
        for deed in DEEDS.split()
        for way in WAYS.split("|")
    ]


def write_files() -> None:
    """Writes the files that readers are assumed to have."""
    rows = intents()
    texts = [row["text"] for row in rows]
    write_rows("intents.jsonl", rows)
    write_rows("labelled.jsonl", rows)
    write_rows("other.jsonl", rows[::-1])
    write_rows("others.jsonl", [{"text": f"{text} again"} for text in texts[:60]])
    write_rows("pool.jsonl", [{"text": text} for text in texts[:8]])
    write_rows("texts.jsonl", [{"text": text} for text in texts[:200]])
    task = [(text, label) for text, label in zip(texts[:6], "abcabc", strict=True)]
    table = "".join(f"{a},{b},{a},{b}\n" for a, b in task)
    for name in ("my_task.csv", "mine.csv", "held_out.csv"):
        Path(name).write_text("text,label,review,stars\n" + table)
    for name in ("new.txt", "messages.txt", "unlabelled.txt", "long.txt", "usual.txt"):
        Path(name).write_text("".join(f"{text}\n" for text in texts[:120]))
    Path("requests.log").write_text("".join(f"{text}\n" for text in texts[:20]))
    Path("new.csv").write_text("text\n" + "".join(f"{text}\n" for text in texts[:4]))
    Path("sentences.txt").write_text("".join(f"{text}\n" for text in texts))
    Path("reviews.txt").write_text("{names} is late\nI like {names}\n")
    few = [{"text": t, "target": t[::-1], "label": t[:3]} for t in texts[:4]]
    write_rows("few.jsonl", few)
    write_rows(
        "pairs.jsonl",
        [
            {"text": text, "target": text[::-1], "language": f"language {i % 8}"}
            for i, text in enumerate(texts[:200])
        ],
    )
    write_rows(
        "dialogues.jsonl",
        [
            {"text": [text, "yes"], "target": f"no {text}", "topic": f"topic {i % 8}"}
            for i, text in enumerate(texts[:200])
        ],
    )
    choices = [
        {"text": text, "choices": ["yes", "no"], "label": 0} for text in texts[:4]
    ]
    write_rows("questions.jsonl", choices)
    quiz = [
        {**choices[0], "text": text, "choices": [text[:9], text[::-1], text[9:]]}
        for text in texts[:120]
    ]
    quiz = [{**row, "source": f"source {i % 6}"} for i, row in enumerate(quiz)]
    write_rows("quiz.jsonl", quiz)
    write_rows("few_quiz.jsonl", quiz[:6])
    write_rows("new_quiz.jsonl", quiz[6:9])
    write_rows(
        "posts.jsonl",
        [
            {"tokens": f"{deed} my thing{i}".split(), "tags": ["O", "O", f"B-{i}"]}
            for i in range(20)
            for deed in (DEEDS + " open close").split()
        ],
    )


def new_model(name: str, family: str, **sizes: int) -> None:
    options = {"hidden-size": 16, "num-layers": 1, "num-heads": 2} | sizes
    words = [
        word for key, value in options.items() for word in (f"--{key}", str(value))
    ]
    run("new", "--out", name, "--family", family, "--texts", "sentences.txt", *words)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A directory with the files, models and runs that pages assume."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_files()
        new_model("minilm", "bert")
        new_model("my_gpt", "gpt", **{"max-positions": 512})
        for name, model in (("minilm", "minilm"), ("smollm2", "my_gpt")):
            patch.setitem(
                PIP_MODELS, name, tiny(PIP_MODELS[name], folder.resolve() / model)
            )
        for name in ("roberta-base", "bert-base-uncased", "BAAI/bge-small-en-v1.5"):
            shutil.copytree("minilm", name)
        for name, algorithm in (("intents", "protonet"), ("fomaml", "fomaml")):
            train = f"train --data intents.jsonl --algorithm {algorithm} --shot 5"
            run(*train.split(), *SHORT["train"].split(), "--run-dir", f"runs/{name}")
        shutil.copytree("runs/intents", "runs/first")
        shutil.copytree("runs/intents", "runs/quickstart")
        adapt = "adapt --run runs/intents --support my_task.csv --out my_model"
        run(*adapt.split())
        yield folder


def tiny(model, folder: Path):
    """Replaces a model that pip would fetch by a tiny one."""
    return model._replace(fetch=lambda: folder)


class Reader:
    """Runs commands, each only once while its output exists."""

    def __init__(self):
        self.wrote = {}

    def obey(self, command: str) -> None:
        command = command.replace("python -m metaflax", "metaflax")
        if any(command.startswith(beginning) for beginning in ELSEWHERE):
            return
        words = shlex.split(command)
        while "=" in words[0]:  # Settings of the environment.
            words.pop(0)
        if "|" in words:  # What another program prints is read from its file.
            bar = words.index("|")
            words = [*words[bar + 1 :], "--texts", words[bar - 1]]
        assert words[0] == "metaflax", command
        if words[-1] == "--help":
            return  # Ends the process, and has tests of its own.
        outputs = [words[i + 1] for i, word in enumerate(words) if word in OUTPUTS]
        if outputs and all(self.wrote.get(path) == words for path in outputs):
            return
        for path in outputs:
            if Path(path).is_dir():
                shutil.rmtree(path)
            Path(path).unlink(missing_ok=True)
            self.wrote[path] = words
        run(*words[1:], *SHORT.get(words[1], "").split())


@pytest.fixture(scope="module")
def reader(desk):
    return Reader()


def pages_of_commands():
    """Pages with commands; pages for beginners are tested at each change."""
    return [
        page
        if page.parent in (ROOT, ROOT / "docs", ROOT / "docs" / "tutorials")
        else pytest.param(page, marks=pytest.mark.thorough)
        for page in filter(shows_commands, pages())
    ]


@pytest.mark.parametrize("page", pages_of_commands(), ids=name_of)
def test_every_command_of_a_page_runs(page, desk, reader, monkeypatch):
    monkeypatch.chdir(desk)
    write_files()  # Other pages write files of the same names.
    made: dict = {}
    for fence in fences(page):
        if fence.file:
            text = fence.text + SHORT_CONFIGS.get(fence.file, "")
            Path(fence.file).write_text(text, "utf-8")
        if fence.language == "python" and page not in NEEDS_MINILM:
            exec(compile(fence.text, name_of(page), "exec"), made)
        if not fence.language and not fence.file:
            for command in commands(fence):
                reader.obey(command)


def test_what_runs_elsewhere_has_its_test():
    for path in ELSEWHERE.values():
        assert (ROOT / path).is_file(), path
