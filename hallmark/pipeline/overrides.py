"""Applies Hydra overrides and groups to the current params.yaml and keeps its comments.

``train.lr=1e-3`` sets a value; ``model=vit`` merges the preset conf/model/vit.yaml into the section ``model``;
``preset=quick`` merges conf/preset/quick.yaml, whose keys are sections. The grammar is Hydra's; ``+key=value``,
``~key`` and sweeps (``a=1,2``) are rejected, because params.yaml holds every value exactly once.
"""

from __future__ import annotations

import difflib
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import Fault, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from pathlib import Path

GLOBAL_GROUP = "preset"


def misspelt(values: Mapping[str, Any], overrides: Sequence[str], *, conf: Path) -> list[Fault]:
    """Faults in the keys of overrides, checked without Hydra, whose import takes longer than everything else here."""
    faults: list[Fault] = []
    for override in overrides:
        key, equals, _ = override.partition("=")
        if equals and re.fullmatch(r"[\w.]+", key) and not (conf / key.replace(".", "/")).is_dir():
            _, fault = _find(values, key)
            faults.extend([fault] if fault else [])
    return faults


_WHOLE = r"[-+]?(?:0|[1-9]\d*)"
_NUMBER = rf"{_WHOLE}(?:\.\d+)?(?:[eE][-+]?\d+)?"
_PLAIN = re.compile(rf"([\w.]+)=({_NUMBER}|[A-Za-z_][\w/.-]*)")


def plain_values(overrides: Sequence[str], *, conf: Path) -> dict[str, Any] | None:
    """The values that overrides set, parsed without Hydra; None if one is a preset or no plain number or word.

    >>> from pathlib import Path
    >>> plain_values(["train.lr=1e-3", "train.patience=5", "model.name=vit"], conf=Path("none"))
    {'train.lr': 0.001, 'train.patience': 5, 'model.name': 'vit'}
    >>> plain_values(["train.lr=[1,2]"], conf=Path("none")) is None
    True
    """
    words = {"true": True, "false": False, "null": None, "inf": math.inf, "nan": math.nan}
    values: dict[str, Any] = {}
    for override in overrides:
        match = _PLAIN.fullmatch(override)
        if match is None or (conf / match[1].replace(".", "/")).is_dir():
            return None
        key, text = match.groups()
        if text[0].isalpha() or text[0] == "_":
            values[key] = words.get(text.lower(), text)
        else:
            values[key] = int(text) if re.fullmatch(_WHOLE, text) else float(text)
    return values


def apply(text: str, overrides: Sequence[str], *, conf: Path) -> str:
    """The text of params.yaml with the overrides applied in order.

    Raises InputError that lists all overrides that cannot be applied.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes ``null``, where ruamel writes nothing after the colon."""

    Representer.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml = YAML()
    yaml.Representer = Representer
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    parser = OverridesParser.create()
    faults: list[Fault] = []
    for override in overrides:
        try:
            parsed = parser.parse_override(override)
        except HydraException as error:
            faults.append(Fault(f"'{override}' is not an override ({str(error).splitlines()[0]})", _grammar(override)))
            continue
        if parsed.is_sweep_override():
            faults.append(Fault(f"'{override}': several values belong to `hallmark tune`", _grammar(override)))
            continue
        if parsed.is_delete() or parsed.is_add() or parsed.is_force_add():
            message = f"'{override}': only key=value or group=preset, since params.yaml holds every value"
            faults.append(Fault(message))
            continue
        key, value = parsed.key_or_group, parsed.value()
        group = conf / key.replace(".", "/")
        if group.is_dir() and isinstance(value, str):
            fault = _merge_preset(document, key, value, group)
        else:
            fault = set_value(document, key, _in_one_line(value))
        if fault:
            faults.append(fault)
    refuse(faults)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _grammar(override: str) -> str:
    key = override.partition("=")[0]
    return (
        "write a list as [1, 2], a section as {name: value} with no quotes around the names, and text with spaces, "
        f"commas or other signs in quotes, as '{key}=\"my text\"'"
    )


def _in_one_line(value: Any) -> Any:
    """A section or list in flow style (braces or brackets), so that its line's comment stays after it."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, dict):
        styled: Any = CommentedMap({key: _in_one_line(entry) for key, entry in value.items()})
    elif isinstance(value, list):
        styled = CommentedSeq([_in_one_line(entry) for entry in value])
    else:
        return value
    styled.fa.set_flow_style()
    return styled


def refuse(faults: Sequence[Fault]) -> None:
    """Raises InputError that lists the faults, if any."""
    if faults:
        raise InputError.of(faults)


def _merge_preset(document: MutableMapping[str, Any], group: str, name: str, folder: Path) -> Fault | None:
    from ruamel.yaml import YAML

    presets = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in presets:
        near = difflib.get_close_matches(name, presets, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return Fault(f"{group}={name}: no such preset", f"{hint}choose one of: {', '.join(presets)}")
    content = YAML(typ="safe").load((folder / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    return _merge(document, content if group == GLOBAL_GROUP else {group: content}, f"{group}={name}")


def _merge(into: MutableMapping[str, Any], values: MutableMapping[str, Any], location: str) -> Fault | None:
    for key, value in values.items():
        if key not in into:
            return Fault(f"{location}: unknown key '{key}'", "correct the preset in conf/")
        if isinstance(value, dict) and isinstance(into[key], dict):
            fault = _merge(into[key], value, f"{location}.{key}")
            if fault:
                return fault
        else:
            into[key] = value
    return None


def set_value(document: MutableMapping[str, Any], dotted: str, value: Any) -> Fault | None:
    """Sets the value of an existing key; returns the fault of the key, if any."""
    holder, fault = _find(document, dotted)
    if not fault and holder is document and isinstance(holder[dotted], dict):
        first = next(iter(holder[dotted]), "name")
        return Fault(f"{dotted} is a section", f"set its values one by one, as {dotted}.{first}=...")
    if not fault:
        holder[dotted.rpartition(".")[2]] = value
    return fault


def _find(document: Mapping[str, Any], dotted: str) -> tuple[Any, Fault | None]:
    """The section that holds a dotted key, and the fault if there is no such key."""
    *sections, key = dotted.split(".")
    holder: Any = document
    for depth, section in enumerate(sections):
        if not isinstance(holder, dict) or section not in holder:
            return holder, _unknown(".".join(sections[: depth + 1]), section, holder, dotted)
        holder = holder[section]
    if not isinstance(holder, dict) or key not in holder:
        return holder, _unknown(dotted, key, holder, dotted)
    return holder, None


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """Values of dotted keys as overrides, in Hydra's grammar.

    >>> as_overrides({"train.lr": 0.001, "model.name": "cnn", "synthesize.external": None})
    ['train.lr=0.001', 'model.name="cnn"', 'synthesize.external=null']
    """
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def _unknown(path: str, key: str, holder: Any, dotted: str) -> Fault:
    keys = sorted(map(str, holder)) if isinstance(holder, dict) else []
    near = difflib.get_close_matches(key, keys, n=1)
    prefix = path.rpartition(".")[0]
    full = f"{prefix}.{near[0]}" if near and prefix else (near[0] if near else "")
    hint = f"did you mean '{full}'?" if full else (f"known here: {', '.join(keys)}" if keys else "it is not a section")
    return Fault(f"{dotted}: params.yaml has no '{path}'", hint)
