"""How a policy is written: a list of ``{name, p, arguments}``, where ``OneOf`` and ``SomeOf`` hold lists of their own.

``{name: OneOf, p, arguments: {transforms: [...]}}`` applies one of its transforms, chosen by their p; ``SomeOf`` with
``n`` applies so many, in a random order. Groups do not nest. The transforms themselves, without groups, are the leaves.

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
LARGEST_GROUP = 62  # transforms, each of which draws its own quantities


def check(transforms: Any, *, field: str) -> list[Transform]:
    """The transforms with every amount made explicit. Raises one InputError that lists all faults of the policy."""
    faults: list[str] = []
    made = _check_list(transforms, field, faults, inside=None)
    require.refuse([Fault(fault, field=field) for fault in faults], head=f"{field} has ")
    return made


def _check_list(transforms: Any, field: str, faults: list[str], *, inside: str | None) -> list[Transform]:
    if not isinstance(transforms, list | tuple):
        faults.append(f"{field} is {transforms!r}, but must be a list of {{name, p, arguments}}")
        return []
    made = []
    for position, transform in enumerate(transforms):
        before = len(faults)
        checked = _check_one(transform, f"{field}[{position}]", faults, inside=inside)
        if len(faults) == before:
            made.append(checked)
    return made


def _check_one(transform: Any, field: str, faults: list[str], *, inside: str | None) -> Transform:
    if not isinstance(transform, dict) or not isinstance(transform.get("name"), str):
        faults.append(f"{field} is {transform!r}, but must be {{name, p, arguments}}")
        return {}
    name, arguments = transform["name"], transform.get("arguments") or {}
    for key in sorted(set(transform) - {"name", "p", "arguments"}, key=str):
        faults.append(f"{field}.{key} is unknown; a transform has name, p and arguments")
    probability = transform.get("p")
    if not isinstance(probability, int | float) or not _is_number(probability) or not 0 <= probability <= 1:
        faults.append(f"{field}.p is {probability!r}; give the probability in [0, 1] that {name} is applied with")
    if not isinstance(arguments, dict):
        faults.append(f"{field}.arguments is {arguments!r}, but must be a section of keys")
        return {}
    if name in GROUPS:
        return _check_group(name, probability, arguments, field, faults, inside=inside)
    if name not in CATALOGUE:
        faults.append(f"{field}.name is '{name}'; {_nearest(name, [*CATALOGUE, *GROUPS])}")
        return {}
    entry = CATALOGUE[name]
    known = [*entry.amounts, *entry.others]
    for key in arguments:
        if key not in known:
            faults.append(f"{field}.arguments.{key} is not an argument of {name}; {_nearest(str(key), known)}")
    made: dict[str, Any] = {
        key: amount.default
        for key, amount in entry.amounts.items()
        if key not in arguments and amount.default is not None
    }
    for key, value in arguments.items():
        _check_value(key, value, entry, f"{field}.arguments.{key}", faults)
        made[key] = list(value) if isinstance(value, tuple) else value
    return {"name": name, "p": probability, "arguments": dict(sorted(made.items()))}


def _check_group(
    name: str, probability: Any, arguments: dict[str, Any], field: str, faults: list[str], *, inside: str | None
) -> Transform:
    if inside:
        faults.append(f"{field}: {name} inside {inside}; groups do not nest")
        return {}
    known = ("transforms",) if name == "OneOf" else ("n", "transforms")
    for key in arguments:
        if key not in known:
            faults.append(f"{field}.arguments.{key} is not an argument of {name}; {_nearest(str(key), known)}")
    members = _check_list(arguments.get("transforms"), f"{field}.arguments.transforms", faults, inside=name)
    made: dict[str, Any] = {"transforms": members}
    if len(members) > LARGEST_GROUP:
        faults.append(f"{field}.arguments.transforms holds {len(members)} transforms; give {LARGEST_GROUP} or fewer")
    if name == "OneOf" and members and not any(member.get("p", 1.0) for member in members):
        faults.append(f"{field}.arguments.transforms: each has p 0, so none can be drawn; raise p of one")
    if name == "SomeOf":
        made["n"] = arguments.get("n")
        if not isinstance(made["n"], int) or isinstance(made["n"], bool) or made["n"] < 1:
            faults.append(
                f"{field}.arguments.n is {made['n']!r}; give how many of the transforms are applied, 1 or more"
            )
    return {"name": name, "p": probability, "arguments": dict(sorted(made.items()))}


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
    """The transforms with those inside of groups, in order, without the groups."""
    found: list[Transform] = []
    for transform in transforms:
        found.extend(transform["arguments"]["transforms"] if transform["name"] in GROUPS else [transform])
    return found


def replaced(transforms: list[Transform], leaf_replacements: list[Transform | None]) -> list[Transform]:
    """The policy with its leaves replaced in order; None drops one, and a group left empty goes with its last leaf."""
    remaining = iter(leaf_replacements)
    made: list[Transform] = []
    for transform in transforms:
        if transform["name"] not in GROUPS:
            leaf = next(remaining)
            made.extend([leaf] if leaf else [])
            continue
        members = [leaf for leaf in (next(remaining) for _ in transform["arguments"]["transforms"]) if leaf]
        if members:
            arguments = {**transform["arguments"], "transforms": members}
            if "n" in arguments:
                arguments["n"] = min(arguments["n"], len(members))
            made.append({**transform, "arguments": arguments})
    assert next(remaining, "none left") == "none left", "more replacements than leaves"
    return made


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"
