"""Every public name says what it takes and raises; beginnings have examples."""

import ast
import dataclasses
import importlib
import inspect
import itertools
import textwrap
import typing

import pytest

import metaflax
from tests.test_package import MODULES

# Functions that a user calls first, and those whose values an example shows best.
WITH_EXAMPLES = (
    *("metaflax.losses.", "metaflax.metrics.", "metaflax.heads."),
    *("metaflax.algorithms.compose", "metaflax.algorithms.metaicl"),
    *("metaflax.algorithms.micro_batched", "metaflax.algorithms.minibatches"),
)


def public():
    """Each public function and class once, by its name."""
    seen = set()
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute in module.__all__:
            value = getattr(module, attribute)
            if inspect.ismodule(value) or typing.get_origin(value) is not None:
                continue
            if callable(value) and id(value) not in seen:
                seen.add(id(value))
                yield pytest.param(value, id=f"{name}.{attribute}")


def tree_of(value):
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def attribute_docs(kind):
    """Fields of a dataclass that a string below them describes."""
    found = set()
    for base in kind.__mro__:
        if not dataclasses.is_dataclass(base):
            continue
        body = tree_of(base).body
        for node, following in itertools.pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
                found.add(node.target.id)
    return found


def undocumented(value):
    """Parameters that neither the docstring nor a string below a field names."""
    function = getattr(value, "func", value)
    doc = inspect.getdoc(function) or ""
    if getattr(value, "_is_protocol", False):
        return set()
    names = {
        name
        for name, parameter in inspect.signature(value).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and not dataclasses.is_dataclass(parameter.default)  # Says it itself.
    }
    described = attribute_docs(value) if dataclasses.is_dataclass(value) else set()
    return {n for n in names - described if f"{n}: " not in doc and f"`{n}" not in doc}


def raised(function):
    """Names of the exceptions that the function's own body raises."""
    return {
        node.exc.func.id
        for node in ast.walk(tree_of(function))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }


@pytest.mark.parametrize("value", list(public()))
def test_a_public_name_says_what_it_takes_returns_and_raises(value):
    function = getattr(value, "func", value)
    doc = inspect.getdoc(function) or ""
    assert doc.splitlines()[0].endswith("."), "a first line is a sentence or phrase"
    assert not undocumented(value), "arguments without a word"
    if not inspect.isfunction(function):
        return
    if inspect.signature(value).parameters:
        assert "Args:" in doc
    for exception in raised(function):
        assert "Raises:" in doc
        assert exception in doc


@pytest.mark.parametrize(
    "value", [p for p in public() if p.id.startswith(WITH_EXAMPLES)]
)
def test_a_beginning_has_an_example(value):
    assert "Examples:" in inspect.getdoc(getattr(value, "func", value))


@pytest.mark.parametrize(
    "name",
    [
        *("FewShotClassifier", "FewShotRegressor", "FewShotTagger", "load"),
        *("maml", "protonet", "value_and_grad"),
    ],
)
def test_what_the_package_itself_offers_has_an_example(name):
    assert "Examples:" in inspect.getdoc(getattr(metaflax, name))


def test_a_missing_argument_and_error_are_found():
    def silent(first, second):
        """Does it.

        Args:
          first: one.
        """
        raise ValueError("never")

    assert undocumented(silent) == {"second"}
    assert raised(silent) == {"ValueError"}
