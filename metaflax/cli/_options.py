"""Command-line options of a command, made from the fields of its dataclasses."""

import ast
import dataclasses
import functools
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

# Options whose name differs from the field's.
OPTION_NAMES: dict[tuple[str, ...], str] = {
    ("data", "path"): "data",
    ("model", "name"): "model",
    ("algorithm", "name"): "algorithm",
}
# Placeholders of values in the help, by option, else by type.
PLACEHOLDERS: dict[Any, str] = {
    **dict.fromkeys(("data", "texts", "alarms", "split_file"), "FILE"),
    **dict.fromkeys(("webhook", "database"), "URL"),
    **dict.fromkeys(("host", "coordinator"), "ADDRESS"),
    **{"run": "RUN", "runs": "RUN", "label_separator": "TEXT"},
    **{int: "N", float: "X", str: "NAME", Path: "PATH"},
}
# Titles of groups whose name differs from the dataclass's.
SECTIONS = {
    "Columns": "column",
    "Limits": "limit",
    "Machines": "device",
    "Pretrained": "model",
    "RawText": "raw text",
}


class Overrides(NamedTuple):
    """Marks a field that holds the settings of a config that were set by options.

    Attributes:
      config: dataclass of the settings, each of which becomes an option.
      otherwise: default of a setting for the help text, such as "the run's"; None for
        the default of the config.

    Examples:
      ::

        decoding: Annotated[Mapping[str, Any], Overrides(DecodingConfig, "the run's")]
    """

    config: type
    otherwise: str | None = None


class Option(NamedTuple):
    """Option of a command, which sets a field of its dataclass or of one within it.

    Attributes:
      path: names of the field and of those that it is nested in.
      name: name on the command line, with underscores.
      kind: type, with the markers of tyro.
      default: default value; `dataclasses.MISSING` for a required option.
      help: help text.
      section: dataclass of the group that the option belongs to; None for the command.
    """

    path: tuple[str, ...]
    name: str
    kind: Any
    default: Any
    help: str
    section: type | None


def options_of(command: type, defaults: Any = None) -> list[Option]:
    """Lists the options of a command.

    Args:
      command: dataclass of the command.
      defaults: instance whose values are the defaults; None for the fields' own.

    Returns:
      Its options, in the order of the fields.
    """
    return list(_options(command, defaults, (), (), None))


def _options(
    kind: Any, defaults: Any, path: tuple[str, ...], markers: tuple, section: Any
) -> Iterator[Option]:
    hints = typing.get_type_hints(kind, include_extras=True)
    texts = field_docs(kind)
    for field in dataclasses.fields(kind):
        inner, field_markers = _split(hints[field.name])
        value = _default(field) if defaults is None else getattr(defaults, field.name)
        place = (*path, field.name)
        if marker := _overrides(field_markers):
            yield from _overriding_options(marker, place)
        elif dataclasses.is_dataclass(inner):
            yield from _options(inner, value, place, (*markers, *field_markers), inner)
        else:
            yield Option(
                place,
                OPTION_NAMES.get(place[-2:], field.name),
                Annotated[inner, *markers, *field_markers]
                if markers or field_markers
                else inner,
                value,
                texts.get(field.name, ""),
                section,
            )


def _overrides(markers: tuple) -> Overrides | None:
    return next((m for m in markers if isinstance(m, Overrides)), None)


def _overriding_options(marker: Overrides, path: tuple[str, ...]) -> Iterator[Option]:
    """Makes the options of settings, each with default None."""
    for option in options_of(marker.config):
        default = marker.otherwise or option.default
        yield option._replace(
            path=(*path, *option.path),
            kind=option.kind | None,
            default=None,
            help=f"{option.help.removesuffix('.')} (default: {default}).",
            section=marker.config,
        )


def _split(hint: Any) -> tuple[Any, tuple]:
    """Splits an annotated type into the type and its markers."""
    if typing.get_origin(hint) is Annotated:
        inner, *markers = typing.get_args(hint)
        return inner, tuple(markers)
    return hint, ()


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@functools.cache
def field_docs(kind: type) -> dict[str, str]:
    """Reads the docstrings below the fields of a dataclass, each as one line.

    Docstrings of base dataclasses come first.
    """
    texts: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if dataclasses.is_dataclass(parent):
            texts |= _declared_field_docs(parent)
    return texts


def _declared_field_docs(kind: type) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for node, following in zip(definition.body, definition.body[1:], strict=False):
        match node, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                texts[name] = " ".join(text.split())
    return texts


def view(command: type, options: Sequence[Option]) -> type:
    """Makes the dataclass that tyro parses for a command.

    The options of `command.FIRST` come first, then a group for each nested dataclass;
    without `FIRST` all of the command's own options come first.

    Args:
      command: dataclass of the command.
      options: its options.

    Returns:
      A dataclass whose instances `command_of` takes.
    """
    first = getattr(command, "FIRST", None)
    if first is None:
        first = [option.name for option in options if option.section is None]
    by_name = {option.name: option for option in options}
    groups: dict[type | None, list[Option]] = {}
    for option in options:
        if option.name not in first:
            groups.setdefault(option.section, []).append(option)
    fields = [_field(by_name[name]) for name in first]
    for section, members in groups.items():
        title = _title(command, section)
        group = dataclasses.make_dataclass(
            "Group",
            [_field(option) for option in members],
            kw_only=True,
            namespace={"__doc__": section.__doc__ if section else None},
        )
        name = members[0].path[-2] if section else "command"
        fields.append(
            (
                f"{name}_options",
                Annotated[group, tyro.conf.arg(name=title)],
                dataclasses.field(default_factory=group),
            )
        )
    return dataclasses.make_dataclass(
        command.__name__,
        fields,
        kw_only=True,
        namespace={"__doc__": command.__doc__},
    )


def _title(command: type, section: type | None) -> str:
    """Names a group of options in the help; tyro adds "options"."""
    if section is None:
        return "advanced"
    name = section.__name__.removesuffix("Config")
    name = SECTIONS.get(name, name.lower())
    return f"advanced: {name}" if hasattr(command, "FIRST") else name


def _field(option: Option) -> tuple[str, Any, Any]:
    """Makes a field of a view, with the help text and placeholder of the option."""
    inner, markers = _split(option.kind)
    settings: dict[str, Any] = {"help": option.help, "name": option.name}
    is_flag = inner is bool and tyro.conf.FlagConversionOff not in markers
    if is_flag or "(default:" in option.help or option.default in (None, "", ()):
        settings["help_behavior_hint"] = ""
    elif option.default is dataclasses.MISSING:
        settings["help_behavior_hint"] = "(required)"
    if not is_flag:
        settings["metavar"] = placeholder(option.name, inner)
    kind = Annotated[inner, *markers, tyro.conf.arg(**settings)]
    if option.default is dataclasses.MISSING:
        return option.name, kind, dataclasses.field()
    value = option.default
    return option.name, kind, dataclasses.field(default_factory=lambda: value)


def placeholder(name: str, kind: Any) -> str | None:
    """Formats the values of an option in its help, such as `N [N]` or `{io,bio}`.

    Args:
      name: name of the option.
      kind: type of its values.

    Returns:
      The placeholder; None to use tyro's.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        parts = [placeholder(name, x) for x in args if x is not type(None)]
        text = "|".join(part or "" for part in parts)
        return text.replace("N|N N", "N [N]") or None
    if origin is tuple:
        [first, *_] = parts = [placeholder(name, x) or "" for x in args if x is not ...]
        return f"{first} ..." if ... in args else " ".join(parts)
    if origin is typing.Literal:
        return "{" + ",".join(map(str, args)) + "}"
    if kind is bool:
        return "{True,False}"
    return PLACEHOLDERS.get(name) or PLACEHOLDERS.get(kind)


def command_of(command: type, parsed: Any) -> Any:
    """Makes the command from a parsed instance of its view."""
    values = dict(_values(parsed))
    nested: dict[str, Any] = {}
    for option in options_of(command):
        *groups, last = option.path
        place = nested
        for name in groups:
            place = place.setdefault(name, {})
        place[last] = values[option.name]
    return _build(command, nested)


def _values(parsed: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(parsed).items():
        if dataclasses.is_dataclass(value):
            yield from _values(value)
        else:
            yield name, value


def _build(kind: type, values: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    built = {}
    for name, value in values.items():
        inner, markers = _split(hints[name])
        if _overrides(markers):
            value = {key: given for key, given in value.items() if given is not None}
        elif isinstance(inner, type) and dataclasses.is_dataclass(inner):
            value = _build(inner, value)
        built[name] = value
    return kind(**built)
