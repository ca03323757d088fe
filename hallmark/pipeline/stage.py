"""A stage as data: its name, its inputs and outputs, and the params it sees.

Each path argument of a stage's ``run`` stands for a path below the workspace's root; a stage's name stands for its
folder ``data/<stage>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GIT_INPUTS = ("review", "accepted", "ablation")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the pipeline.

    ``inputs`` and ``outputs`` are path arguments in the order of ``run``'s signature; ``shared`` names the top-level
    values of params.yaml that the stage sees besides its section; ``sources`` names params whose value is a path that
    it reads; ``does`` describes its work in a few words for the progress display.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shared: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    does: str = ""

    @property
    def git_inputs(self) -> list[Path]:
        """The inputs that no stage writes and that come from Git."""
        return [self.path(keyword) for keyword in self.inputs if keyword in GIT_INPUTS]

    def path(self, keyword: str) -> Path:
        """The path, relative to the root, of a path argument of this stage's ``run``."""
        match keyword:
            case "review":
                return Path("data/review.csv")
            case "accepted":
                return Path("data/accepted.json")
            case "ablation":
                return Path("data/ablation.json")
            case "ledger":
                return Path("reports/ledger.csv")
            case "plots":
                return Path("reports/plots") / self.name
            case "reports":
                return Path("reports")
            case "metrics":
                return Path("reports/metrics.json")
            case "page":
                return Path("reports/index.html")
            case _:
                return Path("data") / keyword

    def key(self, field: str) -> str:
        """The params.yaml key of a field of this stage's Params: ``lr`` → ``train.lr``, ``model.name`` unchanged."""
        return field if field.partition(".")[0] in self.shared else f"{self.name}.{field}"

    @property
    def report(self) -> Path:
        """The path of the stage's Report."""
        return Path("reports") / f"{self.name}.json"

    def makes_folder(self, keyword: str) -> bool:
        """Whether an output is a folder (else a single file)."""
        return keyword not in ("ledger", "metrics", "page")
