"""A workspace through DVC: which stages are unchanged, which can be restored, and the record of what ran.

Guarantees, each with its test:
- recording a stage here has the result of ``dvc repro``: the same dvc.lock and the same caches;
- dvc.lock is replaced by rename: a kill leaves the old or the new file (DVC itself rewrites it in place);
- DVC's lock is held only briefly, never while a stage computes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts.durable import write_text
from hallmark.contracts.errors import GateRefused, HallmarkError, InputError, MachineError
from hallmark.contracts.names import ANOTHER_FOLDER
from hallmark.versioning.dependencies import teach

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_HEAD = "schema: '2.0'\n"
REPAIR = "`hallmark doctor` reports problems and fixes those that are safe to fix"


class Workspace:
    """A Git repository with a dvc.yaml at its root.

    Raises InputError if the folder is not a Git repository or has no DVC files, MachineError if DVC is locked.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stages: list[Any] = []
        if not inside_git(root):
            raise InputError(
                f"{root} is not in a Git repository, and versions are kept in Git",
                remedy="run `git init` here",
            )
        for needed in (".dvc", "dvc.yaml"):
            if not (root / needed).exists():
                raise InputError(f"{root} has no {needed}", remedy=ANOTHER_FOLDER)
        os.environ.setdefault("DVC_NO_ANALYTICS", "1")
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        teach()
        try:
            self.repo: Any = Repo(str(root))
        except DvcException as error:
            raise InputError(f"DVC cannot open {root}: {error}", remedy=REPAIR) from error

    @property
    def cache(self) -> str:
        """The folder of DVC's local cache."""
        return str(self.repo.cache.local.path)

    def object(self, digest: str) -> Path:
        """The path of an MD5's content in DVC's local cache; it may not exist."""
        return Path(self.repo.cache.local.oid_to_path(digest))

    def order(self) -> list[str]:
        """Names of all stages in the order in which ``dvc repro`` runs them."""
        with self._locked():
            return [stage.name for stage in self._in_order()]

    def changed(self) -> list[str]:
        """Names of the stages that DVC would not skip, in order; without those changed only through another stage."""
        with self._locked():
            return [stage.name for stage in self._in_order() if stage.changed()]

    def missing_from_cache(self) -> list[str]:
        """Names of the recorded stages with an output that is neither in the workspace nor in DVC's cache."""
        with self._locked():
            return [
                stage.name
                for stage in self._in_order()
                if any(out.use_cache and out.hash_info and not out.exists and out.changed_cache() for out in stage.outs)
            ]

    def settle(self, name: str) -> str:
        """Brings a stage up to date without running it, if possible.

        Returns ``cached`` (nothing changed), ``restored`` (outputs restored from the run cache and recorded) or
        ``stale`` (the stage must run).
        """
        from dvc.exceptions import ConfirmRemoveError
        from dvc.stage.cache import RunCacheNotFoundError
        from dvc_data.hashfile.hash_info import HashInfo

        with self._locked():
            stage = self._stage(name)
            if not stage.changed():
                return "cached"
            try:
                try:
                    self.repo.stage_cache.restore(stage)
                except ConfirmRemoveError:
                    # an output in no cache, such as a report from Git; DVC's own run also removes outputs first
                    stage.remove_outs(ignore_remove=False)
                    # the stage holds its new inputs by now: with dvc.lock's outputs it would look recorded
                    for out in stage.outs:
                        out.hash_info = HashInfo()
                    self.repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                return "stale"
            self._record(stage)
            return "restored"

    def record(self, name: str) -> None:
        """Records a stage that just ran: outputs in DVC's cache, dependencies and outputs in dvc.lock."""
        with self._locked():
            self._record(self._stage(name))

    def settle_by_command(self, name: str) -> str:
        """As :meth:`settle`, but runs the stage's command (with this interpreter) if it is stale."""
        outcome = self.settle(name)
        if outcome != "stale":
            return outcome
        with self._locked():
            command = str(self._stage(name).cmd)
        program, *arguments = shlex.split(command)
        assert program == "python", f"{name} calls {program}"
        done = subprocess.run([sys.executable, *arguments], cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no error message"]
            for kind in (InputError, GateRefused, MachineError):
                if done.returncode == kind.exit_code:
                    raise kind(lines[-1])
            raise HallmarkError(f"`{command}` failed: {lines[-1]}")
        self.record(name)
        return "ran"

    def _in_order(self) -> list[Any]:
        """DVC's stages in the order of ``dvc repro``, without data that ``dvc add`` tracks (it has no command).

        Read once: DVC drops its index whenever its lock is taken, and rereading costs more than most stages.
        """
        if not self._stages:
            from dvc.repo.reproduce import get_active_graph, plan_repro

            graph = get_active_graph(self.repo.index.graph)
            self._stages = [stage for stage in plan_repro(graph, list(self.repo.index.stages)) if stage.cmd]
        return self._stages

    def _stage(self, name: str) -> Any:
        return next(stage for stage in self._in_order() if stage.name == name)

    def _record(self, stage: Any) -> None:
        stage.save()
        stage.commit()
        self._write_lock(stage)

    def _write_lock(self, stage: Any) -> None:
        from dvc.stage.serialize import to_lockfile
        from dvc.utils.serialize import dumps_yaml

        path = self.root / "dvc.lock"
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = spliced(old, stage.name, dumps_yaml({"stages": to_lockfile(stage)}))
        if new != old:
            write_text(path, new)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds DVC's lock and converts DVC's errors to ours."""
        from dvc.exceptions import DvcException
        from dvc.lock import LockError
        from dvc.repo import lock_repo
        from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError
        from dvc.utils.serialize import ParseError

        try:
            with lock_repo(self.repo):
                yield
        except LockError as error:
            raise MachineError(
                f"another DVC command holds {self.root}", remedy="wait for it, or stop it, and run again"
            ) from error
        except (RWLockFileCorruptedError, RWLockFileFormatError, ParseError) as error:
            raise MachineError(f"one of DVC's files is corrupt (by a kill?): {error}", remedy=REPAIR) from error
        except DvcException as error:
            raise as_hallmark_error(error) from error


def spliced(lock: str, name: str, entry: str) -> str:
    """The text of dvc.lock with one stage's entry set as DVC would write it; the other entries are unchanged.

    DVC parses and dumps the whole file for each stage, which takes longer than most stages.

    Args:
        lock: The file's text; empty if there is none.
        name: The stage's name.
        entry: YAML of ``{"stages": {name: ...}}`` in block style, as DVC's dumper writes it.
    """
    block = entry.removeprefix("stages:\n")
    own = re.compile(rf"^  {re.escape(name)}:\n(?:    .*\n|\n)*", re.MULTILINE)
    if own.search(lock):
        return own.sub(lambda _: block, lock, count=1)
    section = re.compile(r"^stages:\n(?:  .*\n|\n)*", re.MULTILINE)
    if section.search(lock):
        return section.sub(lambda match: match[0] + block, lock, count=1)
    return f"{lock or LOCK_HEAD}stages:\n{block}"


def as_hallmark_error(error: Exception) -> Exception:
    """A DVC error as ours, with its chained causes, which often hold the actual problem, in one message."""
    words = []
    cause: BaseException | None = error
    while cause is not None:
        if str(cause) and str(cause) not in words:
            words.append(str(cause))
        if isinstance(cause, OSError):
            return OSError(cause.errno, *cause.args[1:]) if cause.errno else cause
        cause = cause.__cause__ or cause.__context__
    return InputError("DVC: " + "; ".join(words), remedy="fix that and run again")


def inside_git(root: Path) -> bool:
    """Whether a folder is in a Git repository; it need not exist."""
    return any((folder / ".git").exists() for folder in (root, *root.parents))
