"""ingest, validate and split's duplicate search on N photo-like JPEGs of 224 px, against bare decoding and CleanVision.

    .venv/bin/python -m benchmarks.ingest                  # 20 000 images
    .venv/bin/python -m benchmarks.ingest --full           # 100 000
    .venv/bin/python -m benchmarks.ingest --noop           # only: `hallmark run` with nothing to do, packed sources

The stages run as `dvc repro` runs them, `python -m tasks <stage>`, in a separate workspace, so that their times include
the start of Python and the imports. "Bare" is one process per core that reads the same files and calls cv2.imdecode,
measured before and after the stages. CPU seconds are those of all processes together: on a shared machine their ratio
is steadier than that of wall seconds. Peak memory is that of the process tree, shared pages counted once (PSS).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
STAGES = ("ingest", "validate", "split")
CLEANVISION = "cleanvision==0.3.7"
WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

BARE = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
import cv2

def decode(paths):
    cv2.setNumThreads(1)
    for path in paths:
        assert cv2.imdecode(__import__("numpy").fromfile(path, "uint8"), cv2.IMREAD_COLOR) is not None

if __name__ == "__main__":
    paths = sorted(map(str, Path(sys.argv[1]).rglob("*.jpg")))
    parts = [paths[start:start + 256] for start in range(0, len(paths), 256)]
    with ProcessPoolExecutor(int(sys.argv[2]), get_context("spawn")) as pool:
        list(pool.map(decode, parts))
"""

PEER = """
import sys
from cleanvision import Imagelab

if __name__ == "__main__":
    lab = Imagelab(data_path=sys.argv[1])
    lab.find_issues(n_jobs=int(sys.argv[2]), verbose=False)
"""


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds, and peak memory in MiB, of a command with its children."""

    wall: float
    cpu: float
    peak: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


def _memory(process: psutil.Process) -> float:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile
    return total / 2**20


def cost(command: list[str], cwd: Path, codes: tuple[int, ...] = (0,)) -> Cost:
    """Runs a command to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HALLMARK_WORKERS": str(WORKERS), "DO_NOT_TRACK": "1"}
    environment |= {"DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = psutil.Popen(command, cwd=cwd, env=environment, stdout=said, stderr=said)
        peak = [0.0]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.25):
                try:
                    peak[0] = max(peak[0], _memory(process))
                except psutil.NoSuchProcess:
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        wall = time.perf_counter() - started
        done.set()
        watcher.join()
        if code not in codes:
            said.seek(0)
            sys.exit(f"{' '.join(command)} exited {code}:\n{said.read()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, peak[0])


def workspace(folder: Path, source: Path) -> Path:
    """A folder in which the stages can run: params.yaml with the source, and the other inputs of validate."""
    folder.mkdir()
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert "source: data/demo" in text
    (folder / "params.yaml").write_text(text.replace("source: data/demo", f"source: {source}"), encoding="utf-8")
    shutil.copytree(ROOT / "conf", folder / "conf")
    tracked = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def stages(folder: Path) -> dict[str, Cost]:
    """Each stage of the workspace, one after the other."""
    return {name: cost([sys.executable, "-m", "tasks", name], folder) for name in STAGES}


def files_of(folder: Path) -> dict[str, int]:
    return {name: sum(path.is_file() for path in (folder / "data" / name).rglob("*")) for name in STAGES}


def peer(scratch: Path, images: Path, count: int) -> Cost:
    """CleanVision's cost per image, in a separate environment, on some of the images."""
    home = scratch / "peer"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    python = str(home / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", CLEANVISION], check=True)
    part = scratch / "part"
    part.mkdir()
    for number, path in enumerate(sorted(images.rglob("*.jpg"))[:count]):
        os.link(path, part / f"{number}.jpg")
    (scratch / "peer.py").write_text(PEER)
    command = [python, str(scratch / "peer.py"), str(part), str(WORKERS)]
    few = scratch / "few"
    few.mkdir()
    for path in sorted(part.iterdir())[:50]:
        os.link(path, few / path.name)
    # its start and imports are not compared
    start = cost([python, str(scratch / "peer.py"), str(few), str(WORKERS)], scratch)
    whole = cost(command, scratch)
    return Cost((whole.wall - start.wall) / (count - 50), (whole.cpu - start.cpu) / (count - 50), whole.peak)


def measure(images: int, scratch: Path, *, with_peer: bool) -> None:
    from benchmarks import photos

    source = scratch / "photos"
    started = time.perf_counter()
    photos.make(source, images, workers=WORKERS)
    print(f"{images} JPEGs of 224 px made in {time.perf_counter() - started:.0f} s; {WORKERS} processes", flush=True)
    (scratch / "bare.py").write_text(BARE)
    bare_command = [sys.executable, str(scratch / "bare.py"), str(source), str(WORKERS)]
    first = cost(bare_command, scratch)
    folder = workspace(scratch / "whole", source)
    parts = stages(folder)
    second = cost(bare_command, scratch)
    bare = Cost((first.wall + second.wall) / 2, (first.cpu + second.cpu) / 2, max(first.peak, second.peak))
    whole = parts["ingest"] + parts["validate"] + parts["split"]
    print(f"{'':<22}{'wall s':>9}{'CPU s':>9}{'images/s':>10}{'peak MiB':>10}")
    for name, one in {"bare OpenCV decoding": bare, **parts, "the three stages": whole}.items():
        print(f"{name:<22}{one.wall:9.1f}{one.cpu:9.1f}{images / one.wall:10.0f}{one.peak:10.0f}")
    print(f"of the rate of bare decoding: {bare.wall / whole.wall:.2f} by wall, {bare.cpu / whole.cpu:.2f} by CPU time")
    print(f"files in each stage's output: {files_of(folder)}", flush=True)

    grown = images + max(images // 100, 1)
    photos.make(source, grown, workers=WORKERS, start=images)
    parts = stages(folder)
    again = parts["ingest"] + parts["validate"] + parts["split"]
    print(
        f"1 % more images: {again.wall:.1f} s by wall ({again.wall / whole.wall:.2f} of the first time), "
        f"validate {parts['validate'].wall:.1f} s, measured {_fact(folder, 'images_measured')}"
    )
    quarter = scratch / "quarter"
    for path in sorted(source.rglob("*.jpg")):
        if int(path.stem) < images // 4:
            copy = quarter / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
    small = stages(workspace(scratch / "less", quarter))
    for name, one in small.items():
        print(f"peak of {name:<9} {one.peak:5.0f} MiB at {images // 4} images")
    if with_peer:
        other = peer(scratch, source, min(images, 2000))
        print(
            f"CleanVision 0.3.7: {1 / other.wall:.0f} images/s, {other.cpu * 1e3:.2f} ms of CPU an image, without its "
            f"start; ours with our start is {other.wall * images / whole.wall:.1f} x as fast by wall, "
            f"{other.cpu * images / whole.cpu:.1f} x by CPU time"
        )


def _fact(folder: Path, name: str) -> object:
    import json

    return json.loads((folder / "reports" / "run.json").read_text())["validate"].get(name)


def noop(scratch: Path, counts: tuple[int, int] = (1_000, 100_000), runs: int = 5) -> None:
    """Time to decide that nothing changed, with a Parquet of tiny images as source.

    The pipeline runs once, on the demo; then ingest runs on each source, and ``dvc commit`` records all stages as up to
    date with it: training on 100 000 images would take an hour and is not measured.
    """
    import statistics

    import cv2
    import numpy as np
    import pyarrow as pa

    folder = scratch / "workspace"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    cost([sys.executable, "-m", "flows.cli", "run", "preset=quick"], folder, codes=(0, 3))
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    medians = []
    for count in counts:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (count, 4, 4), np.uint8)
        rows = [{"bytes": cv2.imencode(".png", one)[1].tobytes(), "path": f"{n}.png"} for n, one in enumerate(pixels)]
        source = scratch / f"{count}.parquet"
        pq.write_table(pa.table({"image": rows, "label": [f"class_{n % 2}" for n in range(count)]}), source)
        (folder / "params.yaml").write_text(params.replace("source: data/demo", f"source: {source}"), encoding="utf-8")
        for command in (["tasks", "ingest"], ["dvc", "commit", "-q", "-f"]):
            cost([sys.executable, "-m", *command], folder)
        times = [cost([sys.executable, "-m", "flows.cli", "run"], folder, codes=(0, 3)).wall for _ in range(runs)]
        clock = (folder / "reports" / "run.json").read_text(encoding="utf-8")
        assert '"samples_per_second"' in clock, "ingest was run again: there was something to do"
        medians.append(statistics.median(times))
        print(f"`hallmark run` with nothing to do, a Parquet of {count} images: {medians[-1]:.2f} s", flush=True)
    print(f"ratio {medians[1] / medians[0]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--full", action="store_true", help="100 000 images")
    parser.add_argument("--no-peer", action="store_true", help="without CleanVision, which is downloaded")
    parser.add_argument("--noop", action="store_true", help="measure only a run with nothing to do, on packed sources")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.noop:
            noop(Path(scratch))
        else:
            measure(100_000 if options.full else options.images, Path(scratch), with_peer=not options.no_peer)


if __name__ == "__main__":
    main()
