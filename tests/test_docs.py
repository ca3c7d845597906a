"""Tests that the documentation's Python, commands and numbers are correct."""

import importlib.util
import re
import shlex
import socket
import sys
from pathlib import Path

import pytest

from metaflax import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

pytestmark = pytest.mark.skipif(
    not DOCS.is_dir(), reason="the documentation is not beside the tests"
)


def pages():
    """Hand-written pages, and the README."""
    folders = ("", "tutorials", "howto", "explanation", "reference", "zh")
    paths = [page for name in folders for page in sorted((DOCS / name).glob("*.md"))]
    generated = {DOCS / "results.md", DOCS / "reference" / "commands.md"}
    return [ROOT / "README.md", *(page for page in paths if page not in generated)]


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    fences = re.findall(r"^```(.*?)\n(.*?)^```", page.read_text(), re.M | re.S)
    return [code for name, code in fences if name == language]


WITH_PYTHON = [page for page in pages()[1:] if blocks(page, "python")]
NEEDS_MINILM = {
    page for page in WITH_PYTHON if '"minilm"' in "".join(blocks(page, "python"))
}

# Port of services on pages.
PORT = "8317"

# Pages with runs are tested in tests/workflows/test_shown_commands.py.
NEEDS_RUN = {
    page for page in WITH_PYTHON if '"runs/' in "".join(blocks(page, "python"))
}


@pytest.fixture
def run_blocks(tmp_path, monkeypatch):
    """Runs the Python blocks of a page, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return run_in_order


def run_in_order(page):
    made: dict = {}
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    for code in blocks(page, "python"):
        code = code.replace(PORT, port)  # Another program may use that of the page.
        exec(compile(code, name_of(page), "exec"), made)


@pytest.mark.parametrize(
    "page", sorted(set(WITH_PYTHON) - NEEDS_MINILM - NEEDS_RUN), ids=name_of
)
def test_python_of_a_page_runs_from_top_to_bottom(page, run_blocks):
    run_blocks(page)


@pytest.mark.parametrize("page", sorted(NEEDS_MINILM), ids=name_of)
def test_python_with_a_pretrained_encoder_runs(page, minilm, run_blocks):
    run_blocks(page)


def test_python_of_experiments_pages_has_tests_of_its_own():
    with_python = {
        page.parent.name
        for page in (ROOT / "experiments").glob("*/*.md")
        if blocks(page, "python")
    }
    tests = ROOT / "tests" / "experiments"
    assert with_python == {"any_model", "guide"}
    assert all((tests / f"test_{name}.py").is_file() for name in with_python)


def test_messages_name_pages_that_exist():
    named = re.compile(r"""\b(?:see|page)\(["']([\w/]+)["']\)|docs/([\w/]+)\.md""")
    found = {
        "".join(match.groups(""))
        for file in (ROOT / "metaflax").rglob("*.py")
        for match in named.finditer(file.read_text())
    }
    assert len(found) > 8
    assert not [name for name in sorted(found) if not (DOCS / f"{name}.md").is_file()]


def shown_commands():
    """Every `metaflax` command of a page, as its arguments."""
    commands = {}
    for page in pages():
        for block in blocks(page, ""):
            for line in block.replace("\\\n", " ").splitlines():
                match = re.search(r"(?:python -m )?metaflax (\w+ .*|\w+)$", line)
                if not match or line.startswith("#"):
                    continue
                args = shlex.split(re.split(" [&|>]", match[1])[0], comments=True)
                if "--config" not in args:  # The file would have to be there.
                    commands.setdefault(tuple(args), name_of(page))
    return commands


@pytest.mark.parametrize(
    ("args", "page"), list(shown_commands().items()), ids=lambda value: str(value)[:60]
)
def test_a_shown_command_has_these_options(args, page):
    renamed = []
    cli.parse(args, renamed.append)
    assert not renamed, f"{page} shows a former name"


def extension(name, monkeypatch):
    """Loads an extension of the documentation."""
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    spec = importlib.util.spec_from_file_location(
        name, DOCS / "_extensions" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_tables_computed_from_results_are_those_of_the_experiments(monkeypatch):
    results_page = extension("results_page", monkeypatch)
    kept = {p.parent.name for p in results_page.EXPERIMENTS.glob("*/results.json")}
    assert set(results_page.FROM_JSON) == kept
    for name, table in results_page.FROM_JSON.items():
        readme = (results_page.EXPERIMENTS / name / "README.md").read_text()
        rows = table().splitlines()[2:]
        assert rows
        for row in rows:  # A page may have more columns.
            assert row.rstrip("| ") in readme, f"{name}: {row}"


def test_the_page_of_results_has_every_experiment_with_intervals(monkeypatch):
    results_page = extension("results_page", monkeypatch)
    page = results_page.page()
    for readme in results_page.EXPERIMENTS.glob("*/README.md"):
        name = readme.parent.name
        if "±" in readme.read_text():
            assert f"(experiments/{name}/index.md)" in page
    for value in ("83.6 ± 0.9", "97.86 ± 0.16", "0.63 ± 0.06"):
        assert value in page


def test_experiments_on_data_of_others_have_a_licence(monkeypatch):
    results_page = extension("results_page", monkeypatch)
    for readme in results_page.EXPERIMENTS.glob("*/README.md"):
        folder = readme.parent
        used = results_page.USES.get(folder.name, ())
        text = "".join(path.read_text() for path in folder.glob("*.py"))
        text += readme.read_text()
        assert all(data in text for data in used), folder.name
        if "METAFLAX_DATA" in text and "±" in readme.read_text():
            assert used, f"{folder.name} names no data"


def test_what_helps_quotes_figures_of_the_linked_pages():
    page = (ROOT / "docs" / "howto" / "what_helps.md").read_text()
    rows = page.partition("## What was measured")[2].splitlines()
    quoted = [row for row in rows if row.startswith("|") and "](" in row]
    assert len(quoted) > 20
    for row in quoted:
        (name,) = re.findall(r"\(\.\./experiments/(\w+)/index\.md\)", row)
        readme = (ROOT / "experiments" / name / "README.md").read_text()
        for figure in re.findall(r"[+-]?\d+\.\d+", row):
            whole = rf"(?<![\d.]){re.escape(figure)}(?!\d)"
            assert re.search(whole, readme), f"{name}: {figure}"


def test_links_of_copied_pages_lead_to_pages(monkeypatch):
    generated = extension("generated_pages", monkeypatch)
    intents = generated.EXPERIMENTS / "intents" / "README.md"
    pairs = generated.EXPERIMENTS / "pairs" / "README.md"
    targets = {
        intents: generated.DOCS / "experiments" / "intents" / "index.md",
        pairs: generated.DOCS / "experiments" / "pairs" / "index.md",
    }
    text = "[pairs](../pairs/) [run.py](run.py) ![p](p.png) [web](https://x.org)"
    assert generated.relinked(text, intents, targets) == (
        "[pairs](../pairs/index.md) `experiments/intents/run.py` ![p](p.png)"
        " [web](https://x.org)"
    )


def test_the_api_has_a_page_for_every_public_module_with_every_name(monkeypatch):
    generated = extension("generated_pages", monkeypatch)
    modules = generated.public_modules()
    assert {"metaflax", "metaflax.losses", "metaflax.workflows"} <= set(modules)
    page = generated.api_page("metaflax.losses")
    from metaflax import losses

    for name in losses.__all__:
        assert f".. autofunction:: metaflax.losses.{name}\n" in page
    # Names that are exported twice are described once, at their home.
    assert ".. autofunction:: metaflax.maml" not in generated.api_page("metaflax")
    assert "<metaflax.algorithms.maml>" in generated.api_page("metaflax")


@pytest.mark.parametrize("printed", ["a 0.98 b", "a 0.92 c", "a 0.92 b\nmore"])
def test_the_first_hour_notices_an_output_that_is_not_the_one_shown(printed):
    spec = importlib.util.spec_from_file_location(
        "first_hour", ROOT / ".ci" / "first_hour.py"
    )
    first_hour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(first_hour)
    first_hour.compare("a 0.92 b", "a 0.921 b\n")
    with pytest.raises(SystemExit):
        first_hour.compare("a 0.92 b", printed)


def test_the_version_to_cite_is_that_of_the_package():
    import metaflax

    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", text, re.M)[1] == metaflax.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changes, re.M)[1] == metaflax.__version__
