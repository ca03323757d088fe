"""The schema of a policy: a list of ``{name, p, arguments}``; the groups ``OneOf`` and ``SomeOf`` hold a nested list.

``{name: OneOf, p, arguments: {transforms: [...]}}`` applies one of its transforms, drawn by their p; ``SomeOf`` applies
``n`` of them in random order. Groups do not nest. The leaves are the transforms without the groups.

>>> group = {"name": "OneOf", "p": 1, "arguments": {"transforms": [{"name": "D4", "p": 1}]}}
>>> leaves(check([group], field="augment.policy"))
[{'name': 'D4', 'p': 1, 'arguments': {}}]
>>> check([{"name": "Rotat", "p": 1}], field="augment.policy")
Traceback (most recent call last):
    ...
hallmark.contracts.errors.InputError: augment.policy[0].name is 'Rotat'; did you mean 'Rotate'?
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import Fault
from hallmark.transforms.catalogue import BORDERS, CATALOGUE, INTERPOLATIONS, Entry

if TYPE_CHECKING:
    from hallmark.transforms.catalogue import Transform

GROUPS = ("OneOf", "SomeOf")
LARGEST_GROUP = 62  # transforms: each has its own range of random slots


def check(transforms: Any, *, field: str) -> list[Transform]:
    """The transforms with every amount explicit. Raises one InputError that lists all faults of the policy."""
    faults: list[str] = []
    checked = _check_list(transforms, field, faults, inside=None)
    require.refuse([Fault(fault, field=field) for fault in faults], head=f"{field} has ")
    return checked


def _check_list(transforms: Any, field: str, faults: list[str], *, inside: str | None) -> list[Transform]:
    if not isinstance(transforms, list | tuple):
        faults.append(f"{field} is {transforms!r}, but must be a list of {{name, p, arguments}}")
        return []
    valid = []
    for position, transform in enumerate(transforms):
        before = len(faults)
        checked = _check_one(transform, f"{field}[{position}]", faults, inside=inside)
        if len(faults) == before:
            valid.append(checked)
    return valid


def _check_one(transform: Any, field: str, faults: list[str], *, inside: str | None) -> Transform:
    if not isinstance(transform, dict) or not isinstance(transform.get("name"), str):
        faults.append(f"{field} is {transform!r}, but must be {{name, p, arguments}}")
        return {}
    name, arguments = transform["name"], transform.get("arguments") or {}
    for key in sorted(set(transform) - {"name", "p", "arguments"}, key=str):
        faults.append(f"{field}.{key} is unknown; a transform has name, p and arguments")
    probability = transform.get("p")
    if not isinstance(probability, int | float) or not _is_number(probability) or not 0 <= probability <= 1:
        faults.append(f"{field}.p is {probability!r}; give the probability in [0, 1] of applying {name}")
    if not isinstance(arguments, dict):
        faults.append(f"{field}.arguments is {arguments!r}, but must be a section of keys")
        return {}
    if name in GROUPS:
        return _check_group(name, probability, arguments, field, faults, inside=inside)
    if name not in CATALOGUE:
        faults.append(f"{field}.name is '{name}'; {_nearest(name, [*CATALOGUE, *GROUPS])}")
        return {}
    entry = CATALOGUE[name]
    names = [*entry.amounts, *entry.others]
    for key in arguments:
        if key not in names:
            faults.append(f"{field}.arguments.{key} is not an argument of {name}; {_nearest(str(key), names)}")
    explicit: dict[str, Any] = {
        key: amount.default
        for key, amount in entry.amounts.items()
        if key not in arguments and amount.default is not None
    }
    for key, value in arguments.items():
        _check_value(key, value, entry, f"{field}.arguments.{key}", faults)
        explicit[key] = list(value) if isinstance(value, tuple) else value
    return {"name": name, "p": probability, "arguments": dict(sorted(explicit.items()))}


def _check_group(
    name: str, probability: Any, arguments: dict[str, Any], field: str, faults: list[str], *, inside: str | None
) -> Transform:
    if inside:
        faults.append(f"{field}: {name} inside {inside}; groups do not nest")
        return {}
    names = ("transforms",) if name == "OneOf" else ("n", "transforms")
    for key in arguments:
        if key not in names:
            faults.append(f"{field}.arguments.{key} is not an argument of {name}; {_nearest(str(key), names)}")
    members = _check_list(arguments.get("transforms"), f"{field}.arguments.transforms", faults, inside=name)
    explicit: dict[str, Any] = {"transforms": members}
    if len(members) > LARGEST_GROUP:
        faults.append(f"{field}.arguments.transforms holds {len(members)} transforms; give {LARGEST_GROUP} or fewer")
    if name == "OneOf" and members and not any(member.get("p", 1.0) for member in members):
        faults.append(f"{field}.arguments.transforms: every p is 0, so none can be drawn; raise at least one")
    if name == "SomeOf":
        explicit["n"] = arguments.get("n")
        if not isinstance(explicit["n"], int) or isinstance(explicit["n"], bool) or explicit["n"] < 1:
            faults.append(
                f"{field}.arguments.n is {explicit['n']!r}; give the number of transforms to apply, 1 or more"
            )
    return {"name": name, "p": probability, "arguments": dict(sorted(explicit.items()))}


def _check_value(key: str, value: Any, entry: Entry, field: str, faults: list[str]) -> None:
    words = {"interpolation": INTERPOLATIONS, "border_mode": BORDERS}.get(key)
    if words is not None:
        if value not in words:
            faults.append(f"{field} is {value!r}; {_nearest(str(value), list(words))}")
        return
    amount = entry.amounts.get(key)
    if amount is None:
        return
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(each) for each in value)
    if not pair and (amount.pair or not _is_number(value)):
        faults.append(f"{field} is {value!r}, but must be [low, high]" + ("" if amount.pair else " or a number"))
        return
    for each in value if pair else [value]:
        if not amount.low <= each <= amount.high:
            faults.append(
                f"{field} holds {each:g}, outside [{amount.low:g}, {amount.high:g}]; give a value in that range"
            )


def leaves(transforms: list[Transform]) -> list[Transform]:
    """All transforms in order, with groups flattened."""
    flat: list[Transform] = []
    for transform in transforms:
        flat.extend(transform["arguments"]["transforms"] if transform["name"] in GROUPS else [transform])
    return flat


def replaced(transforms: list[Transform], leaf_replacements: list[Transform | None]) -> list[Transform]:
    """The policy with its leaves replaced in order; None drops a leaf, and an empty group is dropped too."""
    remaining = iter(leaf_replacements)
    result: list[Transform] = []
    for transform in transforms:
        if transform["name"] not in GROUPS:
            leaf = next(remaining)
            result.extend([leaf] if leaf else [])
            continue
        members = [leaf for leaf in (next(remaining) for _ in transform["arguments"]["transforms"]) if leaf]
        if members:
            arguments = {**transform["arguments"], "transforms": members}
            if "n" in arguments:
                arguments["n"] = min(arguments["n"], len(members))
            result.append({**transform, "arguments": arguments})
    assert next(remaining, "none left") == "none left", "more replacements than leaves"
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _nearest(word: str, words: list[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, words, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(words) or 'none'}"
