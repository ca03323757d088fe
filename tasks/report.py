"""Writes reports/index.html: the results of the other ten stages on one page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Params:
    """The section ``report`` of params.yaml. Sizes are in pixels."""

    title: str
    gallery: int
    mistakes: int
    thumbnail: int
    enlarged: int

    def __post_init__(self) -> None:
        require.in_range(0, 500, gallery=self.gallery)
        require.in_range(0, 500, mistakes=self.mistakes)
        require.in_range(16, 512, thumbnail=self.thumbnail)
        require.in_range(16, 2048, enlarged=self.enlarged)
        require.that(
            self.enlarged >= self.thumbnail,
            f"is {self.enlarged}, below {{thumbnail}} ({self.thumbnail})",
            remedy="raise {enlarged} or lower {thumbnail}",
            field="enlarged",
            siblings=["thumbnail", "enlarged"],
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """reports/report.json: the contents of the page. ``fates`` add up to ``found``, the files in the source."""

    found: int
    fates: dict[str, int]
    warnings: list[str]
    advice: list[dict[str, Any]]  # most useful first; gain is null where none was measured
    pictures: int
    page_bytes: int


def run(
    params: Params,
    *,
    ingest: Path,
    validate: Path,
    split: Path,
    clean: Path,
    balance: Path,
    augment: Path,
    synthesize: Path,
    train: Path,
    evaluate: Path,
    register: Path,
    ledger: Path,
    reports: Path,
    ablation: Path,
    page: Path,
) -> Report:
    """Writes the page. ``reports`` is the folder of the reports of the other stages."""
    from hallmark.contracts.names import FATES
    from hallmark.reporting.inputs import load
    from hallmark.reporting.next_section import next_steps
    from hallmark.reporting.page import render
    from hallmark.reporting.warnings_section import warnings_of

    folders = {
        "ingest": ingest,
        "validate": validate,
        "split": split,
        "clean": clean,
        "balance": balance,
        "augment": augment,
        "synthesize": synthesize,
        "train": train,
        "evaluate": evaluate,
        "register": register,
    }
    inputs = load(folders, ledger, reports, ablation)
    text = render(
        inputs,
        title=params.title,
        gallery=params.gallery,
        mistakes=params.mistakes,
        least=params.thumbnail,
        most=params.enlarged,
    )
    page.write_text(text, encoding="utf-8")
    fates = inputs.files["fate"].value_counts()
    return Report(
        found=len(inputs.files),
        fates={fate: int(fates.get(fate, 0)) for fate in FATES},
        warnings=warnings_of(inputs),
        advice=[asdict(each) for each in next_steps(inputs)],
        pictures=text.count('src="data:image/'),
        page_bytes=len(text.encode("utf-8")),
    )
