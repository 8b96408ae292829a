"""Render a clip of dense traffic with its truth: `python -m traffic.make --scenario gantry-70 …`.

Frames go to ffmpeg as they are drawn; nothing but the clip touches the disk.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import time

import cv2

from traffic.scenarios import SCENARIOS, best_plate_px, tailored
from traffic.stage import Stage
from traffic.truth import Truth


def _size(text):
    width, height = (int(side) for side in text.split("x"))
    if width % 2 or height % 2:
        raise argparse.ArgumentTypeError("H.264 wants even sides")
    return width, height


def parse_arguments(arguments):
    """The command line."""
    names = "\n".join(f"  {name:16s} {scenario.about}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="traffic.make",
        description="Render dense traffic with its truth.",
        epilog=f"scenarios:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", required=True, choices=SCENARIOS, metavar="NAME")
    parser.add_argument("--vehicles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=_size, default=(1280, 720), metavar="WxH")
    own = parser.add_argument_group("in place of the scenario's own")
    own.add_argument("--fps", type=int, help="frames a second")
    own.add_argument("--exposure-ms", type=float, help="shutter time, for motion blur")
    own.add_argument("--softness-px", type=float, help="sigma of the lens's blur")
    own.add_argument("--grain", type=float, help="sigma of the sensor's noise, in levels of 255")
    own.add_argument("--best-plate-px", type=float, help="width of a plate at best, in a picture 1280 px wide")
    own.add_argument("--headway-s", type=float, help="mean time between two vehicles of a lane, seconds")
    own.add_argument("--crf", type=int, help="H.264 quality, higher is worse")
    parser.add_argument("--seconds", type=float, help="stop here, with traffic still to come")
    parser.add_argument("--output", required=True, metavar="CLIP.mp4")
    parser.add_argument("--truth", required=True, metavar="TRUTH.csv")
    parser.add_argument("--corners", metavar="FILE", help="also write each frame's plate corners")
    parser.add_argument("--manifest", metavar="FILE", help="also write a labelled set for `kerbside evaluate --truth`")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def encoder(path, size, fps, crf):
    """An ffmpeg that takes raw I420 frames and writes a reproducible H.264 file; yields its input."""
    command = [
        "ffmpeg", "-hide_banner", "-loglevel", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-g", str(fps * 2),
        # As in `drive_by.py`: no version strings, no dates, and no bits that depend on the machine.
        "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1",
        "-movflags", "+faststart", path,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield process.stdin
    finally:
        process.stdin.close()
        failed = process.wait()
    if failed:
        raise RuntimeError("ffmpeg failed")


def render(stage, args, corners=None):
    """Draws the clip that `args` name; gives its `Truth` and the number of frames."""
    scenario = stage.scenario
    truth = Truth(scenario.light, scenario.fps, corners)
    count = stage.frame_count if args.seconds is None else min(stage.frame_count, round(args.seconds * scenario.fps))
    with encoder(args.output, stage.size, scenario.fps, scenario.crf) as sink:
        for index, (frame, sightings) in zip(range(count), stage.frames()):
            truth.add(index, sightings)
            sink.write(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).data)
    return truth, count


def main(arguments=None):
    """Render a clip and its truth."""
    args = parse_arguments(arguments)
    # One thread: the encoder has the other core, and sums stay in one order.
    cv2.setNumThreads(1)
    began = time.monotonic()
    changes = ("fps", "exposure_ms", "softness_px", "grain", "best_plate_px", "crf")
    scenario = tailored(SCENARIOS[args.scenario], **{name: getattr(args, name) for name in changes})
    if args.headway_s is not None:
        lanes = tuple(dataclasses.replace(lane, headway_s=args.headway_s) for lane in scenario.lanes)
        scenario = tailored(scenario, lanes=lanes)
    stage = Stage(scenario, args.vehicles, args.seed, args.size)
    with contextlib.ExitStack() as files:
        corners = files.enter_context(open(args.corners, "w", newline="")) if args.corners else None
        truth, frames = render(stage, args, corners)
    truth.write(args.truth)
    if args.manifest:
        truth.write_manifest(args.manifest, pathlib.Path(args.output).name)
    took = time.monotonic() - began
    promised = best_plate_px(scenario, args.size[0])
    print(
        f"{args.scenario}: {len(truth.rows())} plates to read, {promised:.0f} px wide at best, in {frames} frames"
        f" ({frames / scenario.fps:.0f} s); drawn in {took:.0f} s, {frames / took:.1f} frames a second",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
