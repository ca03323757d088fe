"""Runs CleanVision or cleanlab Datalab on listed files; data_quality.py calls it in the peers' environment.

    python benchmarks/peers.py cleanvision FILES.json OUT.json
    python benchmarks/peers.py datalab GIVEN.npz OUT.json

Everything runs with default settings. Nothing of Hallmark is imported here.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path


def cleanvision(files: list[str]) -> dict[str, object]:
    """Findings by file number: each kind of issue, and the sets of duplicates."""
    from cleanvision import Imagelab

    lab = Imagelab(filepaths=files)
    lab.find_issues()
    number = {file: place for place, file in enumerate(files)}
    return {
        "issues": {
            name.removeprefix("is_").removesuffix("_issue"): [
                number[file] for file in lab.issues.index[lab.issues[name]]
            ]
            for name in lab.issues.columns
            if name.startswith("is_") and name.endswith("_issue")
        },
        "sets": {
            kind: [[number[file] for file in group] for group in lab.info[kind]["sets"]]
            for kind in ("exact_duplicates", "near_duplicates")
        },
    }


def datalab(given: Path) -> dict[str, object]:
    """Label issues, outlier scores and near duplicates of all rows, from features and out-of-fold probabilities."""
    import numpy as np
    from cleanlab import Datalab
    from cleanlab.filter import find_label_issues

    with np.load(given) as arrays:
        label, probabilities, both, looks = (arrays[name] for name in ("label", "probabilities", "both", "looks"))
    lab = Datalab(data={"label": label.tolist()}, label_name="label")
    lab.find_issues(
        pred_probs=probabilities,
        features=both,
        issue_types={"label": {}, "outlier": {}, "near_duplicate": {}},
    )
    other = Datalab(data={"label": label.tolist()}, label_name="label")
    other.find_issues(features=looks, issue_types={"outlier": {}})
    pairs = lab.info["near_duplicate"]["near_duplicate_sets"]
    return {
        "label": np.flatnonzero(lab.get_issues("label")["is_label_issue"]).tolist(),
        "find_label_issues": np.flatnonzero(find_label_issues(label, probabilities)).tolist(),
        "outlier_score": [1 - float(score) for score in lab.get_issues("outlier")["outlier_score"]],
        "outlier_score_of_pixels": [1 - float(score) for score in other.get_issues("outlier")["outlier_score"]],
        "outlier": np.flatnonzero(lab.get_issues("outlier")["is_outlier_issue"]).tolist(),
        "near": [[place, int(other)] for place, others in enumerate(pairs) for other in others],
    }


def main() -> None:
    # the peers' dependencies warn
    warnings.simplefilter("ignore")
    peer, given, out = sys.argv[1:]
    found = cleanvision(json.loads(Path(given).read_text())) if peer == "cleanvision" else datalab(Path(given))
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
