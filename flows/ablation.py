"""``hallmark ablate``: trains with and without each step and compares on the validation images.

Steps of the stages before train run in a light copy of the workspace over the shared DVC cache. The two variants share
all other settings; within a variant only train's seed differs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.experiments import CODE, TRAIN, Bench, Count, all_done, conduct, unit_of_work
from hallmark.contracts import durable
from hallmark.contracts.errors import GateRefused, InputError
from hallmark.experiments import ablation, interventions, preparation, record, trial
from hallmark.experiments.ablation import AS_IT_IS
from hallmark.experiments.results import Ablated
from hallmark.judgement.objective import describe, gain_bounds
from hallmark.pipeline import overrides
from hallmark.pipeline.configuration import configure, params_with
from hallmark.pipeline.params import read
from hallmark.reporting import experiment_pages
from hallmark.tracking.runs import open_run
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flows.console import Console
    from hallmark.experiments.interventions import Intervention
    from hallmark.experiments.trial import Outcome

NAME = "ablate"
SECTIONS = ("clean", "balance", "augment", "synthesize", "train", "model")
BEFORE_TRAIN = tuple(stage for stage in STAGES if stage.name in SECTIONS[:4])
LINKS = tuple(Path("data") / name for name in ("ingest", "validate", "split"))


@dataclass(frozen=True, kw_only=True)
class Request:
    """The command's options; empty ``steps`` means all enabled ones."""

    steps: tuple[str, ...]
    file: str
    seeds: int
    jobs: int
    apply: bool


def ablate(root: Path, params: Mapping[str, Any], request: Request, console: Console) -> Ablated:
    """Trains with and without each step over ``request.seeds`` seeds, and compares."""
    document = read(root / "params.yaml")

    def check(values: Mapping[str, Any]) -> dict[str, Any]:
        return params_with(STAGES, document, values, package="tasks")

    path = interventions.find(request.file, root / "conf")
    available = interventions.read(path, document.values, sections=SECTIONS, check=check)
    steps = interventions.choose(available, request.steps)

    def work(bench: Bench) -> Ablated:
        return _Work(bench=bench, request=request, steps=steps, check=check).run()

    ablated: Ablated = conduct(NAME, root, params, console, jobs=request.jobs, work=work)
    page = root / "reports" / "ablation.html"
    durable.write_text(page, experiment_pages.ablation(ablated))
    record.write(
        root / "data" / "ablation.json",
        objective=ablated.objective,
        n_judged=ablated.n_judged,
        seeds=ablated.seeds,
        findings=ablated.findings,
        refused=ablated.refused,
        folders={name: root / "data" / name for name in TRAIN.inputs},
    )
    _sum_up(ablated, console, page)
    values = ablation.to_apply(steps, ablated.findings)
    words = " ".join(overrides.as_overrides(values))
    if not values:
        console.say("Apply  nothing: no step is significantly better switched")
    elif request.apply:
        configure(STAGES, root, overrides.as_overrides(values), package="tasks")
        console.say(f"Applied to params.yaml: {words}")
    else:
        console.say(f"Apply  hallmark configure {words}")
    return ablated


@dataclass(kw_only=True)
class _Work:
    bench: Bench
    request: Request
    steps: Sequence[Intervention]
    check: Any

    def run(self) -> Ablated:
        bench, params = self.bench, self.bench.params["train"]
        seeds = [params.seed + number for number in range(self.request.seeds)]
        trees = bench.folder / "trees"
        durable.remove(trees)  # what a killed run left; its stages are in DVC's cache
        facts = {"steps": [step.name for step in self.steps], "seeds": seeds, "as_it_is": dataclasses.asdict(params)}
        key = trial.identity(TRAIN, params, bench.root, CODE, steps=facts["steps"], seeds=seeds)
        count = (1 + len(self.steps)) * len(seeds)
        bench.console.say(
            f"{len(self.steps)} steps, {len(seeds)} seeds: {count} trainings, {self.request.jobs} in parallel"
        )
        try:
            with open_run(params.tracking, key=key, stage=NAME, params=facts) as run:
                folders, seconds, refused = self._prepare(trees)
                outcomes = self._train(folders, seeds, run.run_id, refused)
                steps = [step for step in self.steps if step.name not in refused]
                findings = ablation.compare(steps, outcomes, seconds, bounds=gain_bounds(params.objective))
                for finding in findings:
                    gain = finding.gain["value"]
                    if gain is not None:
                        run.metrics({f"gain/{finding.name}": gain}, step=len(seeds))
                    run.tag(f"hallmark.verdict.{finding.name}", finding.verdict)
        finally:
            durable.remove(trees)
        return Ablated(
            objective=describe(params.objective),
            n_judged=outcomes[AS_IT_IS][0].n_judged,
            seeds=seeds,
            findings=findings,
            refused=refused,
        )

    def _prepare(self, trees: Path) -> tuple[dict[str, Path], dict[str, dict[str, float | None]], dict[str, str]]:
        """By variant: the folder of its inputs, the seconds of its stages, and gates' refusals."""
        bench, root = self.bench, self.bench.root.resolve()
        here = {stage.name: bench.stage_seconds.get(stage.name) for stage in BEFORE_TRAIN}
        folders, refused = {AS_IT_IS: root}, {}
        seconds: dict[str, dict[str, float | None]] = {AS_IT_IS: here}
        text = (root / "params.yaml").read_text(encoding="utf-8")

        def prepare(step: Intervention, tree: preparation.Tree) -> None:
            try:
                spent = bench.prepare(tree)
            except GateRefused as refusal:
                refused[step.name] = str(refusal)
                bench.console.warn(f"  {self._side(step)}: refused: {refusal}")
                return
            folders[step.name], seconds[step.name] = tree.folder, spent
            ran = sum(value is not None for value in spent.values())
            bench.console.say(f"  {self._side(step)}: inputs ready ({ran} of {len(spent)} stages ran)")

        futures = []
        for step in self.steps:
            first = next((index for index, stage in enumerate(BEFORE_TRAIN) if stage.name in step.sections), None)
            if first is None:
                folders[step.name], seconds[step.name] = root, here
                continue
            tree = preparation.Tree(
                root=root,
                folder=trees / step.name,
                package="tasks",
                params=overrides.apply(text, overrides.as_overrides(step.other), conf=root / "conf"),
                stages=BEFORE_TRAIN[first:],
                all_stages=STAGES,
                links=(*LINKS, *(stage.path(stage.name) for stage in BEFORE_TRAIN[:first])),
            )
            futures.append(unit_of_work(f"inputs {step.name}", partial(prepare, step, tree)))
        all_done(futures)
        return folders, seconds, refused

    def _train(
        self, folders: Mapping[str, Path], seeds: Sequence[int], parent: str, refused: dict[str, str]
    ) -> dict[str, list[Outcome]]:
        """The outcomes of each variant by seed; finished trainings are reused.

        A variant that cannot be trained is added to ``refused``; for the current params.yaml the error is raised.
        """
        bench = self.bench
        sides = {AS_IT_IS: bench.params["train"]}
        sides |= {step.name: self.check(step.other)["train"] for step in self.steps if step.name in folders}
        outcomes: dict[tuple[str, int], Outcome] = {}
        by_name = {step.name: step for step in self.steps}

        def train(side: str, seed: int) -> None:
            params = dataclasses.replace(sides[side], seed=seed)
            identity = trial.identity(TRAIN, params, folders[side], CODE)
            folder = bench.folder / "trials" / identity
            finished = trial.read(folder) is not None
            job = trial.Job(
                stage=TRAIN,
                package="tasks",
                params=params,
                data=folders[side],
                folder=folder,
                cache=bench.cache,
                parent=parent,
                tags=(("hallmark.side", side), ("hallmark.seed", str(seed))),
            )
            try:
                outcome = outcomes[side, seed] = bench.train(job)
            except InputError as error:
                if side == AS_IT_IS:
                    raise
                refused[side] = str(error)
                bench.console.warn(f"  {side:<24} seed {seed}  failed: {error}  ({count.more()})")
                return
            name = self._side(by_name[side]) if side in by_name else "current params.yaml"
            what = "reused" if finished else f"{outcome.seconds:.1f} s"
            bench.console.say(f"  {name:<24} seed {seed}  {outcome.objective:.4f}  {what}  ({count.more()})")

        every = [(side, seed) for seed in seeds for side in sides]
        count = Count(len(every), "trainings")
        all_done([unit_of_work(f"{side} seed {seed}", partial(train, side, seed)) for side, seed in every])
        return {side: [outcomes[side, seed] for seed in seeds] for side in sides if side not in refused}

    @staticmethod
    def _side(step: Intervention) -> str:
        return f"{'without' if step.active else 'with'} {step.name}"


def _sum_up(ablated: Ablated, console: Console, page: Path) -> None:
    rows = experiment_pages.ablation_rows(ablated.findings)
    if words := ablation.caution(len(ablated.seeds)):
        console.warn(words)
    console.table(
        f"{ablated.objective} on {ablated.n_judged} validation images, {len(ablated.seeds)} seeds",
        experiment_pages.ABLATION_HEADINGS,
        rows,
    )
    console.say(f"Page   {page}")
