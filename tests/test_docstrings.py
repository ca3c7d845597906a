"""Tests that every public name documents arguments and errors, with an example."""

import ast
import builtins
import dataclasses
import doctest
import functools
import importlib
import inspect
import itertools
import re
import textwrap
import typing

import jax
import numpy as np
import pytest

from metaflax import base, models
from tests.test_package import MODULES

# Packages of published methods, each function of which names its source.
OF_METHODS = ("algorithms", "estimators", "heads", "inner_optimizers")
ARRAYS = (jax.Array, np.ndarray, base.Batch, base.Task, models.Tokens)
SHAPE = re.compile(r"\[([A-Z]\b|\.\.\.,|size\b|words\b)[^\]]*\]|of any shape|any tree")


def public():
    """Yields each public function and class once, with its name."""
    seen = set()
    for name in (*MODULES, "metaflax"):
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
    """Fields of a dataclass with a docstring below them."""
    names = set()
    for owner in kind.__mro__:
        if not dataclasses.is_dataclass(owner):
            continue
        body = tree_of(owner).body
        for node, following in itertools.pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
                names.add(node.target.id)
    return names


def undocumented(value):
    """Parameters that neither the docstring nor a field docstring documents."""
    function = getattr(value, "func", value)
    doc = inspect.getdoc(function) or ""
    if getattr(value, "_is_protocol", False):
        return set()
    names = {
        name
        for name, parameter in inspect.signature(value).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and not dataclasses.is_dataclass(parameter.default)  # Documented by its class.
    }
    described = attribute_docs(value) if dataclasses.is_dataclass(value) else set()
    return {n for n in names - described if f"{n}: " not in doc and f"`{n}" not in doc}


def raised(function):
    """Names of the exceptions that a function's body raises."""
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


@functools.cache
def examples_of(module):
    """The doctests that pytest collects from a module, by object."""
    tests = doctest.DocTestFinder().find(importlib.import_module(module))
    return {test.name: test.examples for test in tests}


def shows_a_value(examples):
    return any(example.want for example in examples)


def not_imported(examples):
    """Names that examples use and neither import nor define."""
    used, known = set(), set(dir(builtins))
    for node in ast.walk(ast.parse("".join(e.source for e in examples))):
        match node:
            case ast.Name(name, ast.Load()):
                used.add(name)
            case ast.Name(name) | ast.arg(name) | ast.ExceptHandler(name=name):
                known.add(name)
            case ast.FunctionDef(name) | ast.ClassDef(name):
                known.add(name)
            case ast.alias(name, alias):
                known.add((alias or name).partition(".")[0])
    return used - known


@pytest.mark.parametrize("value", list(public()))
def test_a_public_name_has_an_example_that_runs_and_shows_a_value(value):
    function = inspect.unwrap(getattr(value, "func", value))
    module = function.__module__
    examples = examples_of(module)[f"{module}.{function.__qualname__}"]
    assert "Examples:" in inspect.getdoc(function)
    assert shows_a_value(examples), "an example without a value cannot be wrong"
    assert not not_imported(examples), "an example is to be pasted as it is"
    skipped = {doctest.SKIP: True}
    assert not any(example.options == skipped for example in examples)


def test_examples_run_with_the_tests(pytestconfig):
    assert pytestconfig.getoption("doctestmodules")
    assert "metaflax" in pytestconfig.getini("testpaths")


def cites(doc):
    """Returns whether a docstring links to a reference, or states there is none."""
    references = doc.partition("References:")[2]
    return bool(re.search(r"<https://\S+>`_,\s+(19|20)\d\d|No paper: \w", references))


@pytest.mark.parametrize(
    "value",
    [
        p
        for p in public()
        if p.id.startswith(tuple(f"metaflax.{m}." for m in OF_METHODS))
    ],
)
def test_a_method_names_its_source(value):
    if inspect.isclass(value):
        return
    assert cites(inspect.getdoc(value))


def on_arrays(function):
    """Returns whether a function has arrays besides parameters and keys."""
    annotations = inspect.get_annotations(function)
    return any(
        kind in ARRAYS
        for name, annotation in annotations.items()
        for kind in (annotation, *typing.get_args(annotation))
        if name not in ("params", "key")
    )


@pytest.mark.parametrize(
    "value",
    [p for p in public() if inspect.isfunction(p.values[0]) and on_arrays(p.values[0])],
)
def test_a_function_on_arrays_says_their_shapes(value):
    assert SHAPE.search(inspect.getdoc(value).partition("Examples:")[0])


def test_a_missing_argument_and_error_are_found():
    def silent(first, second):
        """Does it.

        Args:
          first: one.
        """
        raise ValueError("never")

    assert undocumented(silent) == {"second"}
    assert raised(silent) == {"ValueError"}


def test_an_example_without_a_value_and_a_method_without_a_source_are_found():
    parse = doctest.DocTestParser().get_examples
    assert not shows_a_value(parse(">>> import metaflax"))
    assert shows_a_value(parse(">>> 1 + 1\n2"))
    assert not_imported(parse(">>> import jax\n>>> jnp.ones(size := 3)")) == {"jnp"}
    assert not not_imported(parse(">>> [n for n in map(lambda x: x, range(2))]"))
    assert not cites("Takes a step.\n\nReferences:\n  Finn et al., 2017.")
    assert not cites("See `MAML <https://arxiv.org/abs/1703.03400>`_, 2017.")
    assert cites("References:\n  No paper: it computes nothing.")


def test_an_array_without_a_shape_is_found():
    def mean(scores: np.ndarray | None, params: jax.Array) -> float:
        """Averages scores[0] and all others, of E episodes."""

    assert on_arrays(mean)
    assert not SHAPE.search(mean.__doc__)
    assert SHAPE.search("scores: `[E, M]`, of E episodes.")
    del mean.__annotations__["scores"]
    assert not on_arrays(mean)
