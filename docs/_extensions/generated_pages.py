"""Writes the pages that are generated: API, commands, experiments, results.

Git ignores their folders; a page is rewritten only if its text changed.
"""

import contextlib
import functools
import importlib
import inspect
import io
import os
import pkgutil
import re
import shutil
import typing
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
EXPERIMENTS = ROOT / "experiments"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


# The API.


def public_modules():
    """Lists the modules with public names, the package itself first."""
    package = importlib.import_module("metaflax")
    names = [
        module.name
        for module in pkgutil.walk_packages(package.__path__, "metaflax.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ]
    return ["metaflax", *(n for n in names if importlib.import_module(n).__all__)]


def _directive(module, name, value):
    if inspect.isclass(value):
        lines = [f".. autoclass:: {module}.{name}"]
        if not issubclass(value, BaseException):
            lines.append("   :members:")
        if getattr(value, "_is_protocol", False):
            lines.append("   :special-members: __call__")
        return lines
    if typing.get_origin(value) is None and callable(value):
        return [f".. autofunction:: {module}.{name}"]
    if type(value).__module__ == "builtins":  # Autodoc would document its class.
        return [f".. py:data:: {module}.{name}"]
    return [f".. autodata:: {module}.{name}", "   :no-value:"]


def _plural(text):
    """Separates code from a letter that follows it, as in the plural of a name."""

    def ended(match):
        code, letter = match.groups()
        return rf"``{code}``\ {letter}" if letter else match.group(0)

    return re.sub(r"``.+?``|:\w+:`[^`]*`|`([^`]+)`_*(\w?)", ended, text, flags=re.S)


def _summary(value):
    doc = inspect.getdoc(getattr(value, "func", value)) or ""
    is_data = not (inspect.isclass(value) or callable(value))
    if is_data or typing.get_origin(value) is not None:
        return ""
    first = " ".join(doc.split("\n\n")[0].split())
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", first)


@functools.cache
def _home(module, name):
    """Returns the page that documents a name, that of the module that defines it."""
    value = getattr(importlib.import_module(module), name)
    for other in public_modules()[1:]:
        loaded = importlib.import_module(other)
        if name in loaded.__all__ and getattr(loaded, name) is value:
            return other
    return module


def api_page(module):
    """Returns the reStructuredText of a module's page."""
    loaded = importlib.import_module(module)
    names = [n for n in loaded.__all__ if not inspect.ismodule(getattr(loaded, n))]
    lines = [module, "=" * len(module), "", f".. module:: {module}", ""]
    lines += [_plural(inspect.getdoc(loaded) or ""), ""]
    lines += [".. list-table::", "   :widths: 30 70", ""]
    for name in names:
        value = getattr(loaded, name)
        role = "class" if inspect.isclass(value) else "func"
        if typing.get_origin(value) is not None or not callable(value):
            role = "data"
        target = f"{_home(module, name)}.{name}"
        lines += [f"   * - :{role}:`{name} <{target}>`", f"     - {_summary(value)}"]
    for name in names:
        if _home(module, name) == module:
            lines += ["", *_directive(module, name, getattr(loaded, name))]
    return "\n".join(lines) + "\n"


def write_api():
    """Writes a page for each public module."""
    folder = DOCS / "api"
    modules = public_modules()
    for old in folder.glob("*.rst"):
        if old.stem not in modules:
            old.unlink()
    for module in modules:
        _write(folder / f"{module}.rst", api_page(module))


# The command line.


def command_help(*args):
    """Returns the output of `metaflax ARGS --help`."""
    from metaflax.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*args, "--help"])
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def write_commands():
    """Writes the page of all commands, from their help texts."""
    from metaflax.cli.commands._table import COMMANDS, GROUPS

    os.environ.update(COLUMNS="88", NO_COLOR="1", TERM="dumb")
    names = {command: name for name, command in COMMANDS.items()}
    lines = ["# Commands", ""]
    lines += ["What `metaflax COMMAND --help` prints, for every command.", ""]
    for title, commands in GROUPS.items():
        lines += [f"## {title}", ""]
        for command in commands:
            name = names[command]
            lines += [f"### metaflax {name}", "", "```text"]
            lines += [command_help(name), "```", ""]
    _write(DOCS / "reference" / "commands.md", "\n".join(lines))


# Experiments, and other pages of the repository.


def relinked(text, page, targets):
    """Rewrites the links of a page to pages of the documentation.

    Args:
      text: Markdown.
      page: file of the text.
      targets: page in the documentation, by file of the repository.

    Returns:
      The text; links to files without a page are replaced by their paths.
    """

    def replace(match):
        bang, label, url = match.groups()
        if bang or re.match(r"[a-z]+:|#", url):
            return match.group(0)
        url, _, anchor = url.partition("#")
        file = (page.parent / url).resolve()
        if file.is_dir() and (file / "README.md").is_file():
            file = file / "README.md"
        if file == EXPERIMENTS:
            file = EXPERIMENTS / "index"
        to = file if file.is_relative_to(DOCS) else targets.get(file)
        if to is not None:
            path = os.path.relpath(to, targets[page].parent)
            return f"[{label}]({path}{'#' + anchor if anchor else ''})"
        name = f"`{file.relative_to(ROOT)}`"
        return name if label in (file.name, url) else f"{label} ({name})"

    return LINK.sub(replace, text)


def write_repository_pages():
    """Copies READMEs of experiments with their pictures, and three more pages."""
    targets = {
        ROOT / "CONTRIBUTING.md": DOCS / "about" / "contributing.md",
        ROOT / "CHANGELOG.md": DOCS / "about" / "changelog.md",
        ROOT / "SECURITY.md": DOCS / "about" / "security.md",
        ROOT / "README.md": DOCS / "index.md",
        EXPERIMENTS / "index": DOCS / "experiments" / "index.md",
    }
    targets = {file: page for file, page in targets.items() if file.exists()} | {
        EXPERIMENTS / "index": DOCS / "experiments" / "index.md"
    }
    for file in sorted(EXPERIMENTS.glob("*/*.md")):
        if not file.read_text().startswith("# "):
            continue  # Included by another page.
        name = "index.md" if file.name == "README.md" else file.name
        targets[file] = DOCS / "experiments" / file.parent.name / name
    for file, page in targets.items():
        if file.name not in ("README.md", "index") or file.parent.parent == EXPERIMENTS:
            _write(page, relinked(file.read_text(), file, targets))
    for picture in EXPERIMENTS.glob("*/*.png"):
        copy = DOCS / "experiments" / picture.parent.name / picture.name
        if not copy.is_file() or copy.read_bytes() != picture.read_bytes():
            shutil.copyfile(picture, copy)


def write_all(app=None):
    """Writes every generated page."""
    import results_page

    write_api()
    write_commands()
    write_repository_pages()
    _write(DOCS / "results.md", results_page.page())


def _skip_field(app, what, name, obj, skip, options):
    """Skips fields of named tuples, which their class describes, and scikit-learn's."""
    alias = "Alias for field number" in (obj.__doc__ or "")
    return True if alias or re.fullmatch(r"set_\w+_request", name) else None


def _process(app, what, name, obj, options, lines):
    """Separates code in docstrings from a letter that follows it."""
    lines[:] = _plural("\n".join(lines)).split("\n")


def _keep_intervals(app, docname, source):
    """Prevents line breaks between a score and its interval, as in tables."""
    source[0] = re.sub(r"(?<=\d) ± (?=\d)", "\u00a0±\u00a0", source[0])


def setup(app):
    """Connects the hooks that write the pages before Sphinx reads them."""
    app.connect("builder-inited", write_all)
    app.connect("source-read", _keep_intervals)
    app.connect("autodoc-skip-member", _skip_field)
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
