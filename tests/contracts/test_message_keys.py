"""Every key of params.yaml that a message, a check, a template or a document names is one that params.yaml has."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
SECTIONS = sorted(name for name, value in PARAMS.items() if isinstance(value, dict))
FREE = {"synthesize.target", "objective.costs"}  # whose value may be a section of the user's own names
CARRIERS = ("InputError", "MachineError", "Fault", "that")  # calls that take a field and siblings
HOLE = "\x00"  # where an f-string has a value
FILES = "json|jsonl|js|parquet|html|yaml|safetensors|onnx|py|csv|log|pt|png|md|css|txt|lock|db|zip|ckpt|pid|svg"
# a section and a dotted name behind it, not within a path, a module's name or a file's name
KEY = re.compile(
    rf"(?<![\w/.@#-])(?:{'|'.join(SECTIONS)})\.(?!(?:{FILES})\b)[a-z{HOLE}][\w{HOLE}]*(?:\.[a-z{HOLE}][\w{HOLE}]*)*(?![\w(/])"
)
# attributes of modules and objects that stand in docstrings and code examples
CODE = re.compile(r"``[^`]*``|:\w+:`[^`]*`|>>>.*")


@dataclass(frozen=True)
class Named:
    """A key named somewhere; ``key`` may have holes."""

    key: str
    where: str


def literals(path: Path) -> list[tuple[int, str]]:
    """The line and the text of every string literal of a module, an f-string as one text with holes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else HOLE for part in node.values]
            found.append((node.lineno, "".join(map(str, parts))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            found.append((node.lineno, node.value))
    return found


def named_in_code() -> list[Named]:
    modules = sorted(path for folder in ("flows", "tasks", "hallmark") for path in (ROOT / folder).rglob("*.py"))
    assert len(modules) > 200, "the walk saw few modules"
    return [
        Named(key, f"{path.relative_to(ROOT)}:{line}")
        for path in modules
        for line, text in literals(path)
        for key in KEY.findall(CODE.sub("", text))
    ]


def named_in_texts() -> list[Named]:
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "hallmark").rglob("*.html"))]
    return [
        Named(key, f"{path.relative_to(ROOT)}:{number}")
        for path in texts
        for number, line in enumerate(_without_scripts(path.read_text(encoding="utf-8")).splitlines(), 1)
        for key in KEY.findall(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", line))
    ]


def _without_scripts(text: str) -> str:
    """A page without its scripts, whose objects have attributes; the lines keep their numbers."""
    return re.sub(r"<script.*?</script>", lambda script: "\n" * script[0].count("\n"), text, flags=re.DOTALL)


def exists(key: str) -> bool:
    """Whether params.yaml has the key; a hole stands for any name, and below :data:`FREE` stands anything."""
    if any(key.startswith(f"{free}.") for free in FREE):
        return True
    places: list[Any] = [PARAMS]
    for name in key.split("."):
        pattern = re.escape(name).replace(HOLE, ".*")
        sections = [place for place in places if isinstance(place, dict)]
        places = [value for place in sections for known, value in place.items() if re.fullmatch(pattern, str(known))]
    return bool(places)


def test_the_keys_that_code_names() -> None:
    named = named_in_code()
    wrong = [each for each in named if not exists(each.key)]
    assert wrong == []
    # the walk proves its coverage: messages, f-strings, keys of dictionaries
    keys = {each.key for each in named}
    assert len(named) > 110, len(named)
    assert len(keys) > 50, len(keys)
    assert {key.partition(".")[0] for key in keys} >= set(SECTIONS) - {"evaluate", "report"}
    assert {"split.test", "ingest.source", "validate.max_quarantine_share", "register.gate.worst_recall"} <= keys


def checks(tree: ast.AST) -> list[tuple[ast.ClassDef, ast.Call]]:
    """The calls of ``require`` in each class of a module."""
    return [
        (owner, call)
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for call in ast.walk(owner)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func).startswith("require.")
    ]


def misnamed(tree: ast.AST) -> list[str]:
    """Checks whose field is no value of their class, or not the value that they check."""
    wrong = []
    for owner, call in checks(tree):
        fields = {node.target.id for node in owner.body if isinstance(node, ast.AnnAssign) and _is_name(node.target)}
        for keyword in call.keywords:
            checked = set(re.findall(r"\bself\.(\w+)", ast.unparse(keyword.value)))
            named = {str(keyword.value.value)} if isinstance(keyword.value, ast.Constant) else set()
            if keyword.arg == "field":
                wrong += [ast.unparse(call)] if named - fields else []
            elif keyword.arg == "siblings":
                wrong += [ast.unparse(call)] if set(constants(keyword.value)) - fields else []
            elif keyword.arg not in ("remedy", None) and (keyword.arg in fields or checked):
                wrong += [ast.unparse(call)] if checked != {keyword.arg} else []
    return wrong


def _is_name(node: ast.expr) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def test_a_check_names_the_value_that_it_checks() -> None:
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("tasks", "hallmark")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert [each for tree in trees for each in misnamed(tree)] == []
    seen = [ast.unparse(call) for tree in trees for _, call in checks(tree)]
    assert len(seen) > 110, len(seen)
    assert "require.in_range(0, 100000, patience=self.patience)" in seen


@pytest.mark.parametrize(
    "check",
    [
        "in_range(0, 1, rat=self.rate)",
        "in_range(0, 1, rate=self.b)",
        "that(b, field='x')",
        "that(b, '{x}', field='b', siblings=['x'])",
    ],
)
def test_a_check_of_a_wrong_name_is_reported(check: str) -> None:
    tree = ast.parse(f"class Params:\n    rate: float\n    b: int\n    def f(self): require.{check}")
    assert len(misnamed(tree)) >= 1


@dataclass(frozen=True)
class Reference:
    """The fields that one error names as data, and the names that its text has in braces."""

    where: str
    named: tuple[str, ...]
    siblings: frozenset[str]
    braces: frozenset[str]


def references(path: Path, name: str) -> list[Reference]:
    """The errors and checks of a module that name a field or siblings as literals."""
    found = []
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in CARRIERS:
            data = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in ("field", "siblings")}
            texts = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "remedy")]
            braces = {brace for text in texts for part in constants(text) for brace in re.findall(r"\{(\w+)\}", part)}
            siblings = frozenset(constants(data["siblings"])) if "siblings" in data else frozenset()
            is_name = "field" in data and isinstance(data["field"], ast.Constant)
            named = (*constants(data["field"] if is_name else ast.Tuple([])), *sorted(siblings))
            if data or braces:
                found.append(Reference(f"{name}:{call.lineno}", named, siblings, frozenset(braces)))
    return found


def constants(node: ast.AST) -> list[str]:
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def sections_of(room: str) -> tuple[str, ...]:
    """The sections whose fields the errors of a room name; the room of a stage in ``tasks`` is its name."""
    return {
        "images": ("ingest",),
        "quality": ("validate", "clean"),
        "synthesis": ("synthesize",),
        "learning": ("train",),
        "models": ("model", "train"),
        "judgement": ("objective", "register.gate"),
        "tracking": ("tracking",),
        "experiments": ("evaluate",),
    }.get(room, (room,))


def unknown_fields(reference: Reference, room: str) -> list[str]:
    """The named fields that no section of the room has, and the siblings that are not in braces or the reverse."""
    sections = sections_of(room)
    names = [each for each in reference.named if not any(exists(f"{section}.{each}") for section in sections)]
    # a key with its section is known by the walk over all texts
    names = [each for each in names if not (KEY.fullmatch(each) and exists(each))]
    return [*names, *(reference.siblings ^ reference.braces if reference.named else ())]


def test_the_fields_and_siblings_that_errors_name_as_data() -> None:
    modules = [
        (path, path.relative_to(ROOT).parts[1].removesuffix(".py"))
        for folder in ("tasks", "hallmark")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "contracts" not in path.parts
    ]
    named = [(each, room) for path, room in modules for each in references(path, str(path.relative_to(ROOT)))]
    wrong = {each.where: unknown for each, room in named if (unknown := unknown_fields(each, room))}
    assert wrong == {}
    # the walk proves its coverage
    assert len(named) > 80, len(named)
    rooms = {room for each, room in named if each.named}
    assert rooms >= {"images", "quality", "synthesis", "learning", "models", "tracking", "ingest", "split", "validate"}
    siblings = {sibling for each, _ in named for sibling in each.siblings}
    assert siblings >= {"name", "test", "min_side", "clip_norm", "max_files", "source"}


@pytest.mark.parametrize(
    ("call", "unknown"),
    [
        ("InputError('a', field='source')", []),
        ("InputError('a', field='sauce')", ["sauce"]),
        ("MachineError('a', field='train.lr')", []),
        ("InputError(f'{x} ({{max_files}})', field='source', siblings=['max_files'])", []),
        ("InputError(f'{x} ({{max_files}})', field='source')", ["max_files"]),
        ("require.that(x, 'a', remedy='b', field='source', siblings=['max_files'])", ["max_files"]),
        ("Fault('a {x}', field='source', siblings=['x'])", ["x"]),
    ],
)
def test_an_unknown_field_or_sibling_is_reported(tmp_path: Path, call: str, unknown: list[str]) -> None:
    module = tmp_path / "module.py"
    module.write_text(call)
    (reference,) = references(module, "module")
    assert unknown_fields(reference, "images") == unknown


def test_the_keys_that_documents_name() -> None:
    named = named_in_texts()
    assert [each for each in named if not exists(each.key)] == []
    assert len(named) > 40, len(named)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf").glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_the_keys_that_presets_set(path: Path) -> None:
    group, content = path.parent.name, yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if group == "expectations":
        pytest.skip("suites name columns, not keys")
    prefix = "" if group in ("preset", "search", "ablation") else f"{group}."
    keys = (
        list(leaves(content, prefix)) if group in ("preset", "model") else KEY.findall(path.read_text(encoding="utf-8"))
    )
    assert keys
    assert [key for key in keys if not exists(key)] == []


def leaves(values: dict[str, Any], prefix: str) -> list[str]:
    found = []
    for key, value in values.items():
        found += leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]
    return found


def test_an_unknown_key_is_reported(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        'raise Error("no image", remedy="raise the share in split.fractions")\n'
        'check(**{"train.nothing": 1, f"model.{name}": 2})\n'
        'print(f"see split.test and {x} in reports/train.json")\n'
    )
    keys = [key for _, text in literals(module) for key in KEY.findall(text)]
    assert sorted(keys) == sorted(["split.fractions", "train.nothing", f"model.{HOLE}", "split.test"])
    assert [key for key in keys if not exists(key)] == ["split.fractions", "train.nothing"]
