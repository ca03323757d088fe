"""One line per stage: its main results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.reporting.words import number, percent

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs


def what_ran(inputs: Inputs) -> list[tuple[str, str]]:
    """(stage, line) in the order of the pipeline."""
    reports = inputs.reports
    ingest, validate, split = reports["ingest"], reports["validate"], reports["split"]
    clean, balance, augment = reports["clean"], reports["balance"], reports["augment"]
    train, evaluate, register = reports["train"], reports["evaluate"], reports["register"]
    removed = sum(clean["removed_from_train"].values())
    packed = f" in a {ingest['packed']}" if ingest["packed"] else ""
    outcomes = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in augment["outcomes"].items())
    passed = f"{number(len(inputs.synthetic))} images passed the gates" if len(inputs.synthetic) else "no image"
    version = f"version {register['version']} of {register['model_name']}" if register["version"] else "no version"
    return [
        ("ingest", f"{number(ingest['n_files'])} files ({ingest['kind'].replace('_', ' ')}{packed})"),
        ("validate", f"{number(validate['quarantined'])} quarantined, {number(validate['images'])} decodable"),
        (
            "split",
            ", ".join(f"{name} {number(n)} ({percent(split['shares'][name])})" for name, n in split["counts"].items())
            + {"exact": "; exact shares", "hash": "; stable as data grow"}[split["stability"]],
        ),
        ("clean", f"{number(removed)} removed from train, {number(clean['fates']['flagged'])} flagged"),
        ("balance", f"{balance['strategy'].replace('_', ' ')}, {number(balance['n_shown'])} images an epoch"),
        ("augment", f"policy {augment['policy']}: {outcomes or 'no transform'}"),
        ("synthesize", f"{reports['synthesize']['decision'].replace('_', ' ')}: {passed}"),
        ("train", f"{train['model']}, {train['epochs']} epochs, epoch {train['best_epoch'] or '0 (fitted head)'} kept"),
        ("evaluate", f"{number(evaluate['n_test'])} images, accuracy {percent(evaluate['accuracy']['value'])}"),
        ("register", f"{register['decision']}: {version}"),
    ]
