#!/usr/bin/env python3
"""Whole-process benchmarks: what `kerbside read` costs on a folder and `kerbside replay` on a clip.

Each command runs once to warm up, then RUNS times; CPU seconds (user + system) and peak memory come from the operating
system's own accounting of the finished process. Model loading is part of a process, so `read` is run on one picture too
and the difference is divided by the pictures that were added.

    python3 benches/whole_process.py [--folder DIR] [--runs 5]
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/kerbside"
ENDINGS = {".jpg", ".jpeg", ".png"}


def measure(command: list[str]) -> tuple[float, float, float]:
    """Runs a command to its end; returns CPU seconds, wall seconds and peak memory in MiB."""
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begun, usage.ru_maxrss / 1024


def repeat(name: str, command: list[str], runs: int) -> float:
    """Prints minimum, median and maximum of each figure; returns the median of CPU seconds."""
    measure(command)
    figures = list(zip(*(measure(command) for _ in range(runs))))
    columns = ("CPU s", "wall s", "peak MiB")
    text = "  ".join(f"{c} {min(f):.2f} / {statistics.median(f):.2f} / {max(f):.2f}" for c, f in zip(columns, figures))
    print(f"{name:<28} {text}   (min / median / max of {runs})")
    return statistics.median(figures[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="photographs for `read` (default: one frame of the bundled clip, a hundred times)")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; run `make build` first")
    clip = ROOT / "models/demo/drive_by.mp4"
    repeat("replay, 400 frames 720p", [str(PROGRAM), "replay", str(clip)], arguments.runs)
    with tempfile.TemporaryDirectory() as work:
        folder = arguments.folder
        if folder is None:
            folder = pathlib.Path(work)
            still = (ROOT / "models/demo/still.jpg").read_bytes()
            for i in range(100):
                (folder / f"{i:03}.jpg").write_bytes(still)
        pictures = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
        whole = repeat(f"read, {len(pictures)} pictures", [str(PROGRAM), "read", "--json", str(folder)], arguments.runs)
        one = repeat("read, 1 picture", [str(PROGRAM), "read", "--json", str(pictures[0])], arguments.runs)
        print(f"{'a picture, loading left out':<28} {(whole - one) / max(len(pictures) - 1, 1) * 1000:.1f} CPU ms")


if __name__ == "__main__":
    main()
