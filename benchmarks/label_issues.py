"""Label errors found by clean's rule and by cleanlab's default filter, over many draws of images and flips.

    .venv/bin/python -m benchmarks.label_issues --data PATH/mnist --part t10k --draws 10

Each draw takes other images of the IDX files and gives some of them another class at random. Both methods get the same
out-of-fold probabilities, those of the stage clean. One draw is not enough: with a hundred flips F1 is uncertain by
two hundredths. Printed are F1 per draw, and the mean difference with a 95 % interval (Student's t over the draws).
With ``--ratio`` the draws are long-tailed, the commonest class with that many times the images of the rarest; then the
number of right labels found, and of those that clean acts on (without labels.doubted_for_rarity), is printed too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.stats
import yaml
from cleanlab.filter import find_label_issues
from PIL import Image

from benchmarks import idx
from benchmarks.long_tailed import shares
from hallmark.quality import embedding, labels
from hallmark.statistics.components import Components

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
RARE = 20  # images of a class


def probabilities(images: NDArray[np.uint8], label: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.float64]:
    """Out-of-fold probabilities, as in clean: [images, classes]."""
    side = embedding.SIDE
    small = [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BILINEAR)) for one in images[..., 0]]
    thumbnails = np.stack(small)[..., None].repeat(3, axis=3)
    shapes, looks = embedding.gradients(thumbnails), embedding.colours(thumbnails)
    both = embedding.join(Components.fit(shapes).of(shapes), Components.fit(looks).of(looks))
    order = np.random.default_rng(seed).random(len(label))
    fold = labels.folds(np.arange(len(label)), label, order, folds)
    return labels.fit(both, label, fold, int(label.max()) + 1)[1]


def drawn(truth: NDArray[np.int64], images: int, ratio: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of about that many images; with a ratio above 1, class sizes follow an exponential curve in random order."""
    if ratio == 1:
        return random.choice(len(truth), images, replace=False)
    classes = random.permutation(np.unique(truth))
    share = np.array(shares(len(classes), ratio))
    counts = np.maximum(1, np.rint(images * share / share.sum())).astype(int)
    rows = [random.permutation(np.flatnonzero(truth == one))[:n] for one, n in zip(classes, counts, strict=True)]
    return np.concatenate(rows)


def f1(found: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> float:
    return float(2 * (found & wrong).sum() / max(found.sum() + wrong.sum(), 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of IDX files")
    parser.add_argument("--part", choices=("train", "t10k"), default="t10k")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.05, help="share of the labels that are flipped")
    parser.add_argument(
        "--ratio", type=float, default=1.0, help="images of the commonest class over those of the rarest"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["clean"]
    images, truth = idx.read(options.data, options.part)
    classes = int(truth.max()) + 1
    ours, theirs, told, sizes = [], [], [], []
    for draw in range(options.draws):
        random = np.random.default_rng([options.seed, draw])
        chosen = drawn(truth, options.images, options.ratio, random)
        wrong = np.zeros(len(chosen), bool)
        wrong[random.choice(len(chosen), round(options.share * len(chosen)), replace=False)] = True
        label = np.where(wrong, (truth[chosen] + random.integers(1, classes, len(chosen))) % classes, truth[chosen])
        found = probabilities(images[chosen], label, settings["folds"], draw)
        evidence = settings["label_evidence"]
        issues = labels.find_issues(label, found, evidence=evidence)
        count = np.bincount(label, minlength=classes)
        acted = issues & ~labels.doubted_for_rarity(label, found, count, evidence=evidence)
        rare = count[label] < RARE
        ours.append(f1(issues, wrong))
        told.append([(part & kind).sum() for kind in (~wrong & rare, ~wrong, wrong) for part in (issues, acted)])
        sizes.append([(~wrong & rare).sum(), (~wrong).sum(), wrong.sum()])
        theirs.append(f1(find_label_issues(label, found), wrong))
        print(f"draw {draw}: ours {ours[-1]:.3f}, cleanlab {theirs[-1]:.3f}", flush=True)
    for place, kind in enumerate((f"right labels of classes below {RARE} images", "right labels", "wrong labels")):
        found_of, acted_on = np.mean(told, axis=0)[2 * place : 2 * place + 2]
        print(f"{kind}: {np.mean(sizes, axis=0)[place]:.1f} a draw, found {found_of:.1f}, acted on {acted_on:.1f}")
    difference = np.subtract(ours, theirs)
    half = scipy.stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    print(
        f"{options.data.name} {options.part}, {options.draws} draws of {options.images} images, "
        f"{options.share:.0%} flipped: F1 {np.mean(ours):.3f} against {np.mean(theirs):.3f}, "
        f"difference {difference.mean():+.3f} ({difference.mean() - half:+.3f} to {difference.mean() + half:+.3f})"
    )


if __name__ == "__main__":
    main()
