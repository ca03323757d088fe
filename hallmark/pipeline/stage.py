"""A stage as data: its name, what it reads and writes, which params it sees.

Keyword arguments of a stage's ``run`` are names of places. A place is a path below the workspace's root; the place of a
stage's name is its folder ``data/<stage>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KEPT = ("review", "accepted", "ablation")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the pipeline.

    ``does`` says so in a few words, for whoever watches it run.
    ``inputs`` and ``outputs`` are place names in the order of the signature of ``run``; ``shared`` names the top-level
    values of params.yaml the stage sees besides its own section; ``sources`` names params whose value is a path it
    reads.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shared: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    does: str = ""

    @property
    def kept(self) -> list[Path]:
        """The inputs that no stage makes: Git keeps them."""
        return [self.place(keyword) for keyword in self.inputs if keyword in KEPT]

    def place(self, keyword: str) -> Path:
        """The path, relative to the root, that a keyword of this stage's ``run`` stands for."""
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
        """The key of params.yaml of a field of this stage's Params: ``lr`` is ``train.lr``, ``model.name`` itself."""
        return field if field.partition(".")[0] in self.shared else f"{self.name}.{field}"

    @property
    def report(self) -> Path:
        """Where the stage's Report is written."""
        return Path("reports") / f"{self.name}.json"

    def makes_folder(self, keyword: str) -> bool:
        """Whether an output is a folder (else a single file)."""
        return keyword not in ("ledger", "metrics", "page")
