"""Interventions: steps of the pipeline that an ablation can switch off or on by values of params.yaml.

conf/ablation/<name>.yaml gives for each step the values that switch it ``off`` and ``on``:

    ema:
      off: {train.ema: 0.0}
      on: {train.ema: auto}
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.pipeline.params import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

FOLDER = "ablation"
SIDES = ("off", "on")
ANY_NETWORK = {"model.name": "auto", "model.backbone": "none"}  # a network that has every setting


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """``off`` and ``on`` are values by key; ``active``: whether it is on in params.yaml.

    ``hindered`` is the reason why it cannot be switched here, else None.
    """

    name: str
    off: dict[str, Any]
    on: dict[str, Any]
    active: bool
    hindered: str | None = None

    @property
    def other(self) -> dict[str, Any]:
        """The values that toggle this step alone."""
        return self.off if self.active else self.on

    @property
    def sections(self) -> set[str]:
        """The sections of params.yaml that its other values touch."""
        return {key.partition(".")[0] for key in self.other}


def read(
    path: Path, current: Mapping[str, Any], *, sections: Sequence[str], check: Callable[[Mapping[str, Any]], object]
) -> list[Intervention]:
    """The interventions of a file, in its order. ``current`` is params.yaml; ``check`` as for search spaces.

    Raises InputError that lists all faults of the file, with their lines.
    """
    document = Document(path.read_text(encoding="utf-8"), name=path.name)
    faults = [f"{document.location(key)}: {key} is given twice; keep one" for key in document.doubled]
    interventions = []
    for name, content in document.values.items():
        if not isinstance(content, dict) or set(content) != set(SIDES):
            faults.append(f"{document.location(name)}: {name} must hold 'off' and 'on', each a section of values")
            continue
        before = len(faults)
        hindered = None
        for side in SIDES:
            side_faults = _faults(content[side], sections, check)
            if side_faults and not _faults(content[side], sections, lambda values: check({**ANY_NETWORK, **values})):
                hindered = side_faults[0]  # valid, but the network in params.yaml lacks the setting
            else:
                faults.extend(f"{document.location(f'{name}.{side}')}: {name}.{side}: {fault}" for fault in side_faults)
        if len(faults) == before:
            off, on = content["off"], content["on"]
            active = hindered is None and any(_value(current, key) != value for key, value in off.items())
            interventions.append(Intervention(name=str(name), off=off, on=on, active=active, hindered=hindered))
    if faults:
        head = "" if len(faults) == 1 else f"{document.name} has {len(faults)} faults:\n  "
        raise InputError(head + "\n  ".join(faults))
    return interventions


def find(name: str, conf: Path) -> Path:
    """The file of that name in conf/ablation. Raises InputError that lists the available names."""
    names = sorted(path.stem for path in (conf / FOLDER).glob("*.yaml"))
    if name not in names:
        raise InputError(f"there is no file conf/{FOLDER}/{name}.yaml", remedy=f"give one of: {', '.join(names)}")
    return conf / FOLDER / f"{name}.yaml"


def choose(interventions: Sequence[Intervention], names: Sequence[str]) -> list[Intervention]:
    """Those of ``names``, or all active ones. Raises InputError for an unknown or hindered name."""
    if not names:
        return [each for each in interventions if each.active]
    by_name = {each.name: each for each in interventions}
    faults = []
    for name in names:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            faults.append(f"there is no step '{name}' to leave out; {hint}choose of: {', '.join(by_name)}")
        elif by_name[name].hindered is not None:
            faults.append(f"'{name}' cannot be left out: {by_name[name].hindered}, or do not name '{name}'")
    if faults:
        raise InputError("\n  ".join(faults))
    return [by_name[name] for name in dict.fromkeys(names)]


def _faults(values: Any, sections: Sequence[str], check: Callable[[Mapping[str, Any]], object]) -> list[str]:
    if not isinstance(values, dict) or not values:
        return [f"is {values!r}, but must be a section of values by key"]
    strange = [key for key in values if str(key).partition(".")[0] not in sections]
    if strange:
        return [f"{', '.join(strange)}: only values of {', '.join(sections)} can change here"]
    try:
        check(values)
    except InputError as error:
        return [str(error)]
    return []


def _value(current: Mapping[str, Any], key: str) -> Any:
    value: Any = current
    for part in key.split("."):
        value = value[part]
    return value
