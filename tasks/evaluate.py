"""evaluate: the model's results on the test set, with intervals and by subgroup, and the cross-validated headline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import GateRefused
from hallmark.judgement.objective import Objective  # noqa: TC001  the params loader resolves the annotation
from hallmark.judgement.scheme import SCHEMES

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Strengths of each perturbation; an empty list skips a kind."""

    noise: tuple[float, ...]
    blur: tuple[float, ...]
    brightness: tuple[float, ...]

    def __post_init__(self) -> None:
        require.in_range(0.0, 1, noise=self.noise, blur=self.blur)
        require.in_range(-1.0, 1, brightness=self.brightness)


@dataclass(frozen=True, kw_only=True)
class Params:
    """The section ``evaluate`` of params.yaml, and the shared values."""

    seed: int
    objective: Objective
    scheme: str
    folds: int
    bootstrap_replicates: int
    batch_size: int
    max_slices: int
    robustness: Robustness

    def __post_init__(self) -> None:
        require.at_least(0, seed=self.seed)
        require.one_of(SCHEMES, scheme=self.scheme)
        require.in_range(2, 20, folds=self.folds)
        require.in_range(100, 100_000, bootstrap_replicates=self.bootstrap_replicates)
        require.in_range(1, 65_536, batch_size=self.batch_size)
        require.at_least(2, max_slices=self.max_slices)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The published figures; an estimate is ``{"value", "ci95": [low, high]}``, None if undefined."""

    n_test: int
    n_clusters: int
    objective: dict[str, Any]
    accuracy: dict[str, Any]
    balanced_accuracy: dict[str, Any]
    macro_f1: dict[str, Any]
    log_loss: dict[str, Any]
    ece: dict[str, Any]
    auroc: float | None
    per_class: dict[str, dict[str, Any]]
    slices: dict[str, Any]
    confusions: list[dict[str, Any]]
    calibration: dict[str, Any]
    robustness: dict[str, Any]
    without_flagged: dict[str, Any]
    probability_columns: dict[str, str]
    baselines: dict[str, Any]  # largest_class, linear: the objective, accuracy, and the gain of the model
    learning_curve: dict[str, Any] | None  # of the linear baseline, on the validation images
    scheme: dict[str, str]  # used: holdout or crossval; why
    crossvalidated: dict[str, Any] | None  # the headline where the scheme is crossval
    warnings: list[str]


def run(
    params: Params,
    *,
    ingest: Path,
    validate: Path,
    split: Path,
    clean: Path,
    balance: Path,
    augment: Path,
    train: Path,
    evaluate: Path,
    plots: Path,
    metrics: Path,
) -> Report:
    """Evaluates the model of ``train`` on every test image that no reviewer removed."""
    from hallmark.contracts.seeds import derive
    from hallmark.contracts.tables import MEASUREMENTS, read_table
    from hallmark.experiments import headline
    from hallmark.images.shards import Reader
    from hallmark.judgement import assessment, comparison, prediction, publication, robustness, scaling, summary
    from hallmark.judgement.judged import Judged
    from hallmark.learning import record
    from hallmark.models import weights
    from hallmark.sampling import partitions
    from hallmark.statistics.temperature import softmax

    measured = read_table(validate / "measurements.parquet", MEASUREMENTS)[["path", "width", "height", "brightness"]]
    images = partitions.remaining(ingest=ingest, split=split, clean=clean).merge(measured, on="path", validate="1:1")
    test = images[images["split"] == "test"].reset_index(drop=True)
    if test.empty:
        raise GateRefused("evaluate: the test set has no image", remedy="add images, or raise split.test")
    model = weights.describe(train)
    trained = tuple(model["classes"])
    validated, held_out = record.read_validation(train)
    val = images.set_index("path").loc[validated].reset_index()

    seed = derive(params.seed, "evaluate")
    changes = robustness.perturbations(asdict(params.robustness), seed=seed)
    ask = partial(prediction.of_stored, weights.load(train), shape=model["input"], size=params.batch_size)
    with Reader(ingest) as reader:
        logits, *changed = ask(reader, test, perturbations=changes)

    judged = Judged.of(test, softmax(logits), trained)
    draw = {"replicates": params.bootstrap_replicates, "seed": seed}
    reliability = publication.write_tables(test, judged, evaluate=evaluate, plots=plots)
    figures = summary.summarise(
        test, judged, trained=trained, objective=params.objective, max_slices=params.max_slices, **draw
    )
    after = {
        change.name: Judged.of(test, softmax(each), trained) for change, each in zip(changes, changed, strict=True)
    }
    scaled = scaling.UNSCALED if val.empty else scaling.scaled(val, held_out, test, logits, trained)
    weakest = assessment.weakest_first(figures["per_class"])
    report = Report(
        **figures,
        **headline.of(
            params.scheme,
            {"ingest": ingest, "split": split, "clean": clean, "balance": balance, "augment": augment, "train": train},
            folds=params.folds,
            objective=params.objective,
            out=evaluate,
            **draw,
        ),
        calibration={"bins": len(reliability), "binning": "equal mass", **scaled},
        robustness=robustness.judge(judged, after, **draw),
        **comparison.compare(images, judged, ingest, objective=params.objective, weakest=weakest, **draw),
    )
    publication.write_json(evaluate / "temperature.json", {"temperature": scaled["temperature"]})
    publication.write_json(metrics, publication.headline(figures, epochs=record.epochs(train)), indent=2)
    publication.write_figures(evaluate, {name: getattr(report, name) for name in publication.PUBLISHED})
    return report
