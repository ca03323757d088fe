"""``python -m tasks <stage>`` runs a stage, as ``dvc repro`` does; ``python -m tasks dvcfile`` renders dvc.yaml.

``python -m tasks code`` writes the digest files that the stages depend on for their code: DVC's stage ``code``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

# stages whose work on single images a cluster can do
SPREADING = ("validate",)


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 our fault, 2 wrong input or params, 3 a gate refused, 4 the machine is in the way."""
    from hallmark.contracts.runtime import RUNNER, RUNNERS, spare_collector
    from tasks import STAGES

    spare_collector()
    parser = argparse.ArgumentParser(prog="python -m tasks", description="Run one stage, or render dvc.yaml.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="stage")
    for stage in STAGES:
        command = commands.add_parser(stage.name, help=f"run the stage {stage.name} in this folder")
        if stage.name in SPREADING:
            command.add_argument("--runner", choices=RUNNERS, help="who does per-image work (default: local processes)")
    commands.add_parser("code", help="write one digest file a stage over the code it runs on, into data/code")
    dvcfile = commands.add_parser("dvcfile", help="render dvc.yaml from the list of stages")
    only = dvcfile.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="write nothing; exit 1 where dvc.yaml is out of date")
    only.add_argument(
        "--explain",
        metavar="STAGE",
        choices=["demo", *(stage.name for stage in STAGES)],
        help="write nothing; list the code STAGE runs on, why, and what changed since it last ran",
    )
    options = parser.parse_args(arguments)

    from hallmark.pipeline.failures import report

    if getattr(options, "runner", None):
        os.environ[RUNNER] = options.runner
    try:
        root = Path.cwd()
        if options.command == "code":
            _code(root)
            return 0
        if options.command == "dvcfile":
            return _explain(root, options.explain) if options.explain else _dvcfile(root, check=options.check)
        _run(options.command, root)
    except Exception as error:
        return report(error, program=options.command, command=options.command)
    return 0


def _run(name: str, root: Path) -> None:
    from hallmark.contracts import runtime
    from hallmark.contracts.errors import GateRefused
    from hallmark.pipeline.display import Display
    from hallmark.pipeline.execution import execute
    from hallmark.pipeline.lock import exclusive
    from hallmark.pipeline.params import build_all, read
    from tasks import STAGES

    runtime.prepare()
    stage = next(stage for stage in STAGES if stage.name == name)
    modules = {each.name: importlib.import_module(f"tasks.{each.name}") for each in STAGES}
    params = build_all(
        read(root / "params.yaml"),
        {each.name: modules[each.name].Params for each in STAGES},
        shared={each.name: each.shared for each in STAGES},
    )
    if "tracking" in stage.shared:
        from hallmark.tracking import reachability

        reachability.check()
    place = f"[{[each.name for each in STAGES].index(name) + 1}/{len(STAGES)}]"
    with exclusive(root, f"stage {name}"), Display().running() as display:
        if name == STAGES[-1].name and "DVC_STAGE" in os.environ:  # under `dvc repro`, which has recorded all others
            from hallmark.versioning.run_cache import complete

            complete(root)
        display.begin(name, stage.does, position=place)
        try:
            execute(stage, modules[name], params[name], root)
        except GateRefused as refusal:
            from hallmark.reporting.refusal import write_refusal

            write_refusal(name, refusal, root)
            raise


def _code(root: Path) -> None:
    from hallmark.contracts.errors import InputError
    from hallmark.pipeline import closure
    from hallmark.pipeline.dvcfile import DIGESTS, is_current, modules
    from hallmark.pipeline.explanation import announce
    from hallmark.versioning.recorded import with_other_code
    from tasks import STAGES

    if not is_current(root, STAGES):
        raise InputError("dvc.yaml is not that of this version of Hallmark", remedy="run `hallmark upgrade`")
    digests = closure.texts(modules(STAGES))
    if changed := with_other_code(root, digests):
        print(announce(changed))  # noqa: T201  for `dvc repro`, which runs these stages next
    closure.write(digests, root / DIGESTS)


def _explain(root: Path, name: str) -> int:
    from hallmark.pipeline.closure import Code
    from hallmark.pipeline.dvcfile import digest_file, modules
    from hallmark.pipeline.explanation import explain
    from hallmark.versioning.recorded import recorded_text
    from tasks import STAGES

    code = Code()
    closure = code.closure(modules(STAGES)[name])
    recorded, why_unknown = recorded_text(root, name, digest_file(name))
    print(explain(name, closure, code.digest(closure), recorded, why_unknown=why_unknown), end="")  # noqa: T201
    return 0


def _dvcfile(root: Path, *, check: bool) -> int:
    from hallmark.pipeline.dvcfile import is_current, render
    from tasks import STAGES

    if not check:
        (root / "dvc.yaml").write_text(render(STAGES), encoding="utf-8")
        return 0
    if not is_current(root, STAGES):
        print("dvc.yaml is out of date; run `python -m tasks dvcfile`", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
