"""Reads params.yaml, checks the whole file and builds the frozen Params of each stage.

All faults are reported at once, each with its line: a misspelt or missing key, a wrong type, a value out of range. The
caller passes the names of the stages and their Params classes.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from typing import TYPE_CHECKING, Any

import yaml

from hallmark.contracts import require
from hallmark.contracts.errors import Fault, InputError
from hallmark.contracts.names import ANOTHER_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RESTORE = "restore it from version control; after an upgrade of Hallmark, `hallmark upgrade` adds it"
Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(Base):  # type: ignore[misc]  # which base there is depends on how PyYAML was built
    """Safe YAML with the booleans and numbers of YAML 1.2, as in DVC: ``off`` is a word."""


_BOOL, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _FLOAT)]
    for first, resolvers in Base.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


class Document:
    """The parsed file: plain values, and the line of each key."""

    def __init__(self, text: str, *, name: str) -> None:
        self.name = name
        self.lines: dict[str, int] = {}
        self.doubled: list[str] = []
        try:
            node = yaml.compose(text, Loader=Loader)
            values = yaml.load(text, Loader=Loader)  # noqa: S506  a safe loader
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            location = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "cannot be parsed"
            raise InputError(f"{name}{location}: not valid YAML ({problem})", remedy="correct that line") from error
        if not isinstance(values, dict):
            raise InputError(f"{name}: holds no sections", remedy="restore it from version control")
        self.values: dict[str, Any] = values
        self._walk(node, "")

    def _walk(self, node: Any, prefix: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            dotted = f"{prefix}.{key.value}" if prefix else str(key.value)
            if dotted in self.lines:
                self.doubled.append(dotted)
            self.lines[dotted] = key.start_mark.line + 1
            self._walk(value, dotted)

    def location(self, dotted: str) -> str:
        """``params.yaml, line 12`` for a key, or for the innermost section of it that exists."""
        dotted = dotted.partition("[")[0]
        while dotted and dotted not in self.lines:
            dotted = dotted.rpartition(".")[0]
        return f"{self.name}, line {self.lines[dotted]}" if dotted else self.name

    def fault(self, key: str, message: str, remedy: str = "") -> Fault:
        """A fault of a key, with its line; the key precedes the message."""
        return Fault(f"{key} {message}", remedy, key, self.location(key))


def read(path: Path) -> Document:
    """Parses params.yaml. Raises InputError if it is missing or not valid YAML."""
    try:
        return Document(path.read_text(encoding="utf-8"), name=path.name)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path.name}, line {line}: not UTF-8", remedy="save the file as UTF-8") from error
    except FileNotFoundError as error:
        raise InputError(f"no {path.name} in {path.parent.resolve()}", remedy=ANOTHER_FOLDER) from error


def build_all(
    document: Document, classes: Mapping[str, type[Any]], *, shared: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The Params of every stage in ``classes``; ``shared[stage]`` names the top-level values it sees.

    Raises InputError that lists all faults.
    """
    faults = [document.fault(key, "is given twice", "keep one") for key in document.doubled]
    top = {name for names in shared.values() for name in names}
    _unknown(document, "", document.values, {*classes, *top}, faults)
    built: dict[str, Any] = {}
    for stage, cls in classes.items():
        section = document.values.get(stage)
        if section is None and stage in document.values:
            section = {}
        if not isinstance(section, dict):
            is_there = stage in document.values
            fault = f"is {section!r}, but must be a section of keys" if is_there else "is missing"
            faults.append(document.fault(stage, fault, RESTORE))
            continue
        clash = sorted(set(section) & set(shared[stage]))
        faults.extend(
            document.fault(f"{stage}.{key}", "is a shared value", "set it once at top level") for key in clash
        )
        values = {f"{stage}.{key}": value for key, value in section.items() if key not in clash}
        for key in shared[stage]:
            if key in document.values:
                values[key] = document.values[key]
            else:
                faults.append(document.fault(key, "is missing", RESTORE))
        params = _build(document, cls, values, prefix=stage, shared=shared[stage], faults=faults)
        if params is not None:
            built[stage] = params
    if faults:
        raise InputError.of(list(dict.fromkeys(faults)), head=f"{document.name} has ")
    return built


def _unknown(document: Document, prefix: str, values: Mapping[str, Any], keys: set[str], faults: list[Fault]) -> None:
    for key in values:
        if key not in keys:
            dotted = f"{prefix}.{key}" if prefix else str(key)
            near = difflib.get_close_matches(str(key), sorted(keys), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(keys))}"
            faults.append(Fault(f"unknown key {dotted}", hint, location=document.location(dotted)))


def _build(
    document: Document,
    cls: type[Any],
    values: Mapping[str, Any],
    *,
    prefix: str,
    shared: Sequence[str],
    faults: list[Fault],
) -> Any:
    """An instance of a params dataclass from dotted values, or None if a value is missing or of a wrong type.

    Values that the dataclass rejects still give an instance, so that the enclosing section is checked too.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    own = {name for name in fields if name not in shared}
    key_of = {key.rpartition(".")[2]: key for key in values}
    _unknown(document, prefix, {k: v for k, v in key_of.items() if k not in shared}, own, faults)
    arguments: dict[str, Any] = {}
    complete = True  # the caller reports a missing shared value once
    for name, hint in fields.items():
        if name not in key_of:
            if name in own:
                faults.append(document.fault(f"{prefix}.{name}", "is missing", RESTORE))
            complete = False
            continue
        dotted, before = key_of[name], len(faults)
        arguments[name] = _value(document, hint, values[dotted], dotted, faults)
        complete &= len(faults) == before or dataclasses.is_dataclass(arguments[name])
    if not complete:
        return None
    params = None
    with require.gathered() as refused:
        params = cls(**arguments)

    def dotted_key(field: str) -> str:
        name = re.match(r"\w*", field)[0]  # type: ignore[index]  # it matches every text
        return key_of.get(name, f"{prefix}.{name}") + field.removeprefix(name)

    for fault in refused:
        named = fault.renamed(dotted_key)
        faults.append(named.at(document.location(named.field or prefix)))
    return params


def _value(document: Document, hint: Any, value: Any, dotted: str, faults: list[Fault]) -> Any:
    """The value converted to the type of the hint, or None and a fault."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            faults.append(document.fault(dotted, f"is {value!r}, but must be a section of keys"))
            return None
        inner = {f"{dotted}.{key}": entry for key, entry in value.items()}
        return _build(document, hint, inner, prefix=dotted, shared=(), faults=faults)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        attempts = []
        for option in options:
            trial: list[Fault] = []
            converted = _value(document, option, value, dotted, trial)
            if not trial:
                return converted
            attempts.append(trial)
        for option, trial in zip(options, attempts, strict=True):
            section = dataclasses.is_dataclass(option) and isinstance(value, dict)
            if section or (typing.get_origin(option) in (list, tuple) and isinstance(value, list)):
                faults.extend(trial)
                return None
        faults.append(document.fault(dotted, f"is {value!r}, but must be {_spell(hint)}"))
        return None
    converted, fits = _plain(document, hint, origin, value, dotted, faults)
    if not fits:
        quoted = f', in quotes: "{value}"' if hint is str and isinstance(value, int | float) else ""
        faults.append(document.fault(dotted, f"is {value!r}, but must be {_spell(hint)}{quoted}"))
    return converted


def _plain(
    document: Document, hint: Any, origin: Any, value: Any, dotted: str, faults: list[Fault]
) -> tuple[Any, bool]:
    """(converted value, whether it fits) for a hint that is neither a section nor a union."""
    if hint is Any:
        return value, True
    if origin is typing.Literal:
        return value, value in typing.get_args(hint)
    if origin in (list, tuple):
        if not isinstance(value, list):
            return None, False
        inner = typing.get_args(hint)[0]
        items = [_value(document, inner, entry, f"{dotted}[{index}]", faults) for index, entry in enumerate(value)]
        return (tuple(items) if origin is tuple else items), True
    if origin is dict or hint is dict:
        if not isinstance(value, dict):
            return None, False
        if origin is dict:
            inner = typing.get_args(hint)[1]
            return {str(k): _value(document, inner, v, f"{dotted}.{k}", faults) for k, v in value.items()}, True
        return value, True
    if hint is float:
        return (float(value), True) if isinstance(value, int | float) and not isinstance(value, bool) else (None, False)
    if hint is int:
        return value, isinstance(value, int) and not isinstance(value, bool)
    return value, isinstance(value, hint)


def _spell(hint: Any) -> str:
    """A type in plain words.

    >>> _spell(float | None)
    'a number or null'
    """
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_spell(option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if origin in (list, tuple):
        return "a list"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text", dict: "a section of keys"}
    if hint is type(None):
        return "null"
    return words.get(hint, "a section of keys")
