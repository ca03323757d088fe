"""Compares the accountants of hallmark.privacy with dp-accounting's PLD accountant and Opacus's PRV accountant.

`bounds` draws settings and writes dp-accounting's optimistic and pessimistic epsilon of each as CSV. It runs in an
environment of its own, because dp-accounting 0.6.0 pins an old attrs:

    python -m venv peers && peers/bin/pip install uv && echo "attrs==26.1.0" > override.txt
    VIRTUAL_ENV=peers peers/bin/uv pip install --override override.txt dp-accounting==0.6.0
    peers/bin/python -m benchmarks.privacy_accounting bounds --settings 220 --out tests/privacy/dp_accounting.csv

`compare` prints how the two accountants of hallmark.privacy lie in these bounds, and, where Opacus is installed, the
PRV accountant's distance (of the settings without other queries).
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hallmark.privacy import accounting, contour
from hallmark.privacy.privacy_loss import Gaussian, Laplace, Mechanism

COLUMNS = ("noise_multiplier", "sampling_rate", "count", "gaussian", "laplace", "delta", "optimistic", "pessimistic")
FEW = 30  # releases; of fewer the contour integral takes seconds, which no training has


def drawn(generator: np.random.Generator) -> dict[str, float]:
    """One setting; ``gaussian`` and ``laplace`` are the noise of one more query each, 0 for none."""
    more = generator.random() < 0.2
    return {
        "noise_multiplier": round(math.exp(generator.uniform(math.log(0.5), math.log(10))), 3),
        "sampling_rate": 1.0 if generator.random() < 0.1 else float(f"{10 ** generator.uniform(-3, -0.5):.3g}"),
        "count": int(10 ** generator.uniform(0, 3.7)),
        "gaussian": round(generator.uniform(3, 20), 2) if more else 0.0,
        "laplace": round(generator.uniform(3, 20), 2) if more else 0.0,
        "delta": 10.0 ** -int(generator.integers(5, 8)),
    }


def mechanisms(setting: dict[str, float]) -> list[Mechanism]:
    """The setting's mechanisms."""
    steps = Gaussian(
        noise_multiplier=setting["noise_multiplier"],
        sampling_rate=setting["sampling_rate"],
        count=int(setting["count"]),
    )
    more: list[Mechanism] = [Gaussian(noise_multiplier=setting["gaussian"])] if setting["gaussian"] else []
    return [steps, *more, *([Laplace(scale=setting["laplace"])] if setting["laplace"] else [])]


def peer(setting: dict[str, float], *, pessimistic: bool) -> float:
    """dp-accounting's epsilon."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    settings: dict[str, Any] = {
        "pessimistic_estimate": pessimistic,
        "value_discretization_interval": 1e-4,
        "use_connect_dots": pessimistic,
    }
    total = pld.from_gaussian_mechanism(
        setting["noise_multiplier"], sampling_prob=setting["sampling_rate"], **settings
    ).self_compose(int(setting["count"]))
    if setting["gaussian"]:
        total = total.compose(pld.from_gaussian_mechanism(setting["gaussian"], **settings))
    if setting["laplace"]:
        total = total.compose(pld.from_laplace_mechanism(setting["laplace"], **settings))
    return float(total.get_epsilon_for_delta(setting["delta"]))


def bounds(out: Path, *, settings: int, seed: int) -> None:
    """Writes so many settings whose epsilon is within 0.02 and 25, with dp-accounting's bounds."""
    generator = np.random.default_rng(seed)
    rows = 0
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        while rows < settings:
            setting = drawn(generator)
            # a bound on epsilon that is quick to have, to pass over settings that nobody uses
            rough = accounting.epsilon(mechanisms(setting), delta=setting["delta"])
            if not 0.02 < rough < 25:
                continue
            values = {"optimistic": peer(setting, pessimistic=False), "pessimistic": peer(setting, pessimistic=True)}
            writer.writerow({**setting, **{name: f"{value:.6f}" for name, value in values.items()}})
            file.flush()
            rows += 1


def prv(setting: dict[str, float]) -> float | None:
    """Opacus's PRV epsilon, None without Opacus or with other queries."""
    if find_spec("opacus") is None or setting["gaussian"]:
        return None
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(setting["noise_multiplier"], setting["sampling_rate"], int(setting["count"]))]
    return float(accountant.get_epsilon(setting["delta"], eps_error=0.005))


def compare(path: Path) -> None:
    """Prints the largest distances."""
    with path.open(encoding="utf-8") as file:
        settings = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    above, below, second, third, seconds = [], [], [], [], [0.0, 0.0]
    for setting in settings:
        start = time.perf_counter()
        ours = accounting.epsilon(mechanisms(setting), delta=setting["delta"])
        middle = time.perf_counter()
        seconds[0] += middle - start
        above.append(ours - setting["pessimistic"])
        below.append(setting["optimistic"] - ours)
        if setting["count"] >= FEW:
            other = contour.epsilon(mechanisms(setting), delta=setting["delta"])
            seconds[1] += time.perf_counter() - middle
            second.append(abs(other / ours - 1))
        if (their := prv(setting)) is not None:
            third.append((abs(their - ours), ours))
    print(f"{len(settings)} settings, {seconds[0]:.1f} s with PLD, {seconds[1]:.1f} s with the contour integral")
    print(f"PLD above dp-accounting's pessimistic epsilon by {max(above):.6f} at most")
    print(f"PLD below dp-accounting's optimistic epsilon by {max(0.0, *below):.6f} at most")
    print(f"contour against PLD, {len(second)} settings: relative difference {max(second):.6f} at most")
    if third:
        relative = [distance / ours for distance, ours in third if ours >= 0.5]
        print(
            f"PRV against PLD, {len(third)} settings: difference {max(third)[0]:.6f} at most (PRV's own error: 0.005)"
        )
        print(f"  relative, {len(relative)} settings of epsilon 0.5 and more: {max(relative):.6f} at most")


def main() -> None:
    """Runs one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("bounds")
    write.add_argument("--out", type=Path, required=True)
    write.add_argument("--settings", type=int, default=220)
    write.add_argument("--seed", type=int, default=0)
    read = commands.add_parser("compare")
    read.add_argument("bounds", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "bounds":
        bounds(arguments.out, settings=arguments.settings, seed=arguments.seed)
    else:
        compare(arguments.bounds)


if __name__ == "__main__":
    main()
