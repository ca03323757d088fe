"""A search space: the values of params.yaml that a study may vary, with their ranges.

conf/search/<name>.yaml holds one line per value:

    train.lr: {low: 3.0e-4, high: 1.0e-2, log: true}      # a number between two ends
    train.label_smoothing: {low: 0.0, high: 0.2, step: 0.05}
    model.depth: {low: 1, high: 3}                         # an integer, because both ends are
    train.optimizer: {choices: [adamw, sgd]}               # one of a list

>>> document = Document("train.lr: {low: 0.001, high: 0.1, log: true}", name="space.yaml")
>>> space = parse(document)
>>> space.dimensions[0].key, space.dimensions[0].ends()
('train.lr', [0.001, 0.1])
"""

from __future__ import annotations

import difflib
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.pipeline.params import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from random import Random

FIELDS = ("choices", "low", "high", "step", "log")
FOLDER = "search"
MOST = 100_000  # points that are enumerated at most
POINTS = 5  # of a continuous value without step in a grid


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One value that varies: one of ``choices``, else a number in [``low``, ``high``]."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> list[Any]:
        """The values to check before a study starts: all choices, or both ends."""
        return list(self.choices) if self.choices else [self.low, self.high]

    def draw(self, random: Random) -> Any:
        """A value at random."""
        if self.choices or self.step is not None:
            return random.choice(self.points())
        if self.log:
            value = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = random.uniform(self.low, self.high)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else value

    def points(self) -> list[Any]:
        """The values of a grid: all choices, every step, or :data:`POINTS` between the ends."""
        if self.choices:
            return list(self.choices)
        if self.step is not None or (self.whole and not self.log):
            step = self.step or 1
            count = math.floor((self.high - self.low) / step + 1e-9) + 1
            values = [self.low + number * step for number in range(count)]
        elif self.log:
            ratio = (self.high / self.low) ** (1 / (POINTS - 1))
            values = [self.low * ratio**number for number in range(POINTS)]
        else:
            values = [self.low + (self.high - self.low) * number / (POINTS - 1) for number in range(POINTS)]
        return sorted({round(value) for value in values}) if self.whole else [float(f"{v:.6g}") for v in values]


@dataclass(frozen=True, kw_only=True)
class Space:
    """``name`` of the file without its ending; the dimensions in the order of the file."""

    name: str
    dimensions: tuple[Dimension, ...]

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of the dimensions' points."""
        keys = [dimension.key for dimension in self.dimensions]
        every = itertools.product(*(dimension.points() for dimension in self.dimensions))
        return [dict(zip(keys, values, strict=True)) for values in every]

    def every(self) -> list[dict[str, Any]] | None:
        """Every point; None if there are infinitely many or more than :data:`MOST`."""
        if any(not (each.choices or each.step is not None or each.whole) for each in self.dimensions):
            return None
        values = [
            list(range(int(each.low), int(each.high) + 1)) if each.whole and each.log else each.points()
            for each in self.dimensions
        ]
        if math.prod(map(len, values)) > MOST:
            return None
        keys = [each.key for each in self.dimensions]
        return [dict(zip(keys, point, strict=True)) for point in itertools.product(*values)]

    def draw(self, random: Random) -> dict[str, Any]:
        """A uniformly random point (on the scale of each dimension)."""
        return {each.key: each.draw(random) for each in self.dimensions}

    def facts(self) -> dict[str, Any]:
        """The space as plain values, by key."""
        return {
            each.key: {"choices": list(each.choices)}
            if each.choices
            else {"low": each.low, "high": each.high, "step": each.step, "log": each.log}
            for each in self.dimensions
        }


def find(name: str, conf: Path) -> Path:
    """The file of a space: a path, or a name in conf/search. Raises InputError that lists the available spaces."""
    from pathlib import Path

    path = Path(name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    names = sorted(path.stem for path in (conf / FOLDER).glob("*.yaml"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise InputError(
            f"there is no search space '{name}'",
            remedy=f"{hint}give one of {', '.join(names)} (conf/{FOLDER}/), or the path of a .yaml file",
        )
    return conf / FOLDER / f"{name}.yaml"


def read(path: Path, *, sections: Sequence[str], check: Callable[[Mapping[str, Any]], object]) -> Space:
    """The space of a file. ``check`` takes {key: value} and raises InputError if params.yaml cannot hold it.

    Only keys of ``sections`` may vary. Raises InputError that lists all faults of the file, with their lines.
    """
    document = Document(path.read_text(encoding="utf-8"), name=path.name)
    return parse(document, sections=sections, check=check, stem=path.stem)


def parse(
    document: Document,
    *,
    sections: Sequence[str] = ("train", "model"),
    check: Callable[[Mapping[str, Any]], object] = lambda _: None,
    stem: str = "space",
) -> Space:
    """As :func:`read`, for a parsed file."""
    faults = [f"{document.location(key)}: {key} is given twice; keep one" for key in document.doubled]
    dimensions = []
    for key, content in document.values.items():
        key_faults: list[str] = []
        if str(key).partition(".")[0] not in sections:
            key_faults.append(f"{key}: only values of {' and '.join(sections)} can vary here")
        dimension = _dimension(str(key), content, key_faults)
        if dimension is not None and not key_faults:
            messages: dict[str, None] = {}
            for value in dimension.ends():
                try:
                    check({dimension.key: value})
                except InputError as error:
                    messages.update(dict.fromkeys(fault.advice for fault in error.faults))
            key_faults.extend(messages)
            dimensions.append(dimension)
        faults.extend(f"{_line(document, str(key))}: {fault}" for fault in key_faults)
    if not document.values:
        faults.append(f"{document.name}: names no value to vary")
    if faults:
        head = "" if len(faults) == 1 else f"{document.name} has {len(faults)} faults:\n  "
        raise InputError(head + "\n  ".join(faults))
    return Space(name=stem, dimensions=tuple(dimensions))


def _line(document: Document, key: str) -> str:
    return f"{document.name}, line {document.lines[key]}"


def _dimension(key: str, content: Any, faults: list[str]) -> Dimension | None:
    """The dimension; None if its definition has faults, which are appended to ``faults``."""
    if not isinstance(content, dict):
        faults.append(f"{key} is {content!r}, but must be {{low: …, high: …}} or {{choices: […]}}")
        return None
    for field in content:
        if field not in FIELDS:
            near = difflib.get_close_matches(str(field), FIELDS, n=1)
            faults.append(
                f"unknown key {key}.{field}; "
                + (f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(FIELDS)}")
            )
    if faults:
        return None
    if "choices" in content:
        choices = content["choices"]
        if len(content) > 1:
            faults.append(
                f"{key}.choices excludes other keys: leave out {', '.join(sorted(set(content) - {'choices'}))}"
            )
        elif not isinstance(choices, list) or len(choices) < 2:
            faults.append(f"{key}.choices is {choices!r}, but must be a list of two or more")
        elif not all(isinstance(value, str | int | float | bool | None) for value in choices):
            faults.append(f"{key}.choices holds a list or a section; only plain values can vary")
        else:
            return Dimension(key=key, choices=tuple(choices))
        return None
    return _range(key, content, faults)


def _range(key: str, content: Mapping[str, Any], faults: list[str]) -> Dimension | None:
    for field in ("low", "high"):
        if field not in content:
            faults.append(f"{key}.{field} is missing")
    for field in ("low", "high", "step"):
        value = content.get(field)
        if field in content and (isinstance(value, bool) or not isinstance(value, int | float)):
            faults.append(f"{key}.{field} is {value!r}, but must be a number")
    if not isinstance(content.get("log", False), bool):
        faults.append(f"{key}.log is {content['log']!r}, but must be true or false")
    if faults:
        return None
    low, high, step, log = content["low"], content["high"], content.get("step"), content.get("log", False)
    if not low < high:
        faults.append(f"{key}: low is {low}, not below high, {high}")
    if log and low <= 0:
        faults.append(f"{key}.low is {low}, but must be above 0 where log is true")
    if log and step is not None:
        faults.append(f"{key}: step and log exclude each other; leave out one")
    if step is not None and (step <= 0 or (isinstance(low, int) and isinstance(high, int) and step != int(step))):
        faults.append(f"{key}.step is {step}, but must be above 0, and whole where both ends are")
    return None if faults else Dimension(key=key, low=low, high=high, step=step, log=log)
