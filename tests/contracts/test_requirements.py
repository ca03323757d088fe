"""What a user installs is enough for the pipeline, and no more; the tests' own packages come beside it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OLDEST = {"python_version": "3.11", "python_full_version": "3.11.0"}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [line.partition("==") for line in lines if line and not line.startswith("-r")]
    return {canonicalize_name(package): version for package, _, version in found}


def closure(requirements: list[str]) -> set[str]:
    """Packages that these bring with them, by what is installed here."""
    found: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        requirement, extra = todo.pop()
        environment: dict[str, Any] = {**OLDEST, "extra": extra}
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        name = canonicalize_name(requirement.name)
        for asked in ("", *sorted(requirement.extras)):
            if (name, asked) in found:
                continue
            found.add((name, asked))
            try:
                needed = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue  # needed by an older Python than this one: it has a pin, which is what is asked
            todo += [(Requirement(text), asked) for text in needed]
    return {name for name, _ in found}


def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return content


def at_the_top(path: Path) -> set[str]:
    """Packages imported when the module is: not in functions, not for type checkers alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        todo += ast.iter_child_nodes(node)
    return found - set(sys.stdlib_module_names)


def test_requirements_hold_what_the_project_needs_and_no_more() -> None:
    needed = closure(project()["dependencies"])
    assert needed - set(pins("requirements.lock")) == set(), "not pinned in requirements.lock"
    assert set(pins("requirements.lock")) - needed == set(), "nothing needs it: requirements-dev.lock is its place"


def test_the_tests_packages_are_pinned_beside_and_once() -> None:
    extras = project()["optional-dependencies"]
    needed = closure([*project()["dependencies"], *extras["dev"], *extras["pretrained"], *extras["wandb"]])
    user, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert (ROOT / "requirements-dev.lock").read_text(encoding="utf-8").startswith("-r requirements.lock\n")
    assert set(user) & set(dev) == set()
    assert needed == set(user) | set(dev)


def test_what_is_installed_here_is_what_is_pinned() -> None:
    for name, version in {**pins("requirements.lock"), **pins("requirements-dev.lock")}.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert here.partition("+")[0] == version, name


def test_no_module_imports_at_its_top_what_a_user_does_not_have() -> None:
    modules = [path for folder in ("flows", "tasks", "hallmark") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(modules) > 100
    owners = importlib.metadata.packages_distributions()
    allowed = {canonicalize_name(each) for each in pins("requirements.lock")} | {"hallmark-ml"}
    for path in modules:
        for package in at_the_top(path):
            distributions = {canonicalize_name(name) for name in owners.get(package, [package])}
            assert distributions & allowed, f"{path.relative_to(ROOT)} imports {package}"


def test_a_development_import_at_the_top_would_be_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mypy\ntry:\n    import wandb.sdk\n"
        "finally: pass\ndef late():\n    import transformers\n"
    )
    assert at_the_top(module) == {"wandb"}


def test_no_text_tells_to_install_another_project_of_that_name() -> None:
    folders = ("flows", "tasks", "hallmark", "conf", "docs")
    files = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".md", ".yaml")]
    files += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "params.yaml")]
    assert len(files) > 200
    wrong = re.compile(r"\bhallmark\[(?!')|pip install '?hallmark\b(?![-/_])")
    assert wrong.search("pip install hallmark")
    assert wrong.search("needs hallmark[ray]")
    assert [path.name for path in files if wrong.search(path.read_text(encoding="utf-8"))] == []
