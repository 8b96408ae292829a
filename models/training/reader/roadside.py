"""Makes a labelled set of scenes worse, down to what a roadside camera sees: `python -m reader.roadside --truth CSV --pictures DIR --output DIR`.

Photographs of plates are mostly taken from near and by day.  Here each picture
is shrunk until its plates are 14 to 25 px high (their boxes, on average), turned
grey, blurred by motion or focus, given noise, and stored as a JPEG of quality 30
to 60.  The manifest written beside them has its boxes scaled, so that `kerbside
evaluate` takes it as it takes the original.  The same seed makes the same set.
"""

import argparse
import csv
import pathlib
import random
import re

import cv2
import numpy as np
import tqdm

import places
from photography import motion_blur

PLATE_HEIGHT_PX = (14.0, 25.0)
_BOX_COLUMNS = ("boxes_xyxy", "ignore_boxes_xyxy")


def _boxes(text):
    return [[float(value) for value in box.split()] for box in re.split("[;|]", text) if box.strip()]


def worsened(rng, noise, picture, plate_height_px):
    """A BGR picture as a roadside camera would deliver it, and the scale; plates were `plate_height_px` high."""
    scale = min(1.0, rng.uniform(*PLATE_HEIGHT_PX) / plate_height_px)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.5:
        grey = motion_blur(rng, grey, (3,))
    else:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 0.8))
    grey = grey + noise.normal(0, rng.uniform(2, 7), grey.shape)
    return np.clip(grey, 0, 255).astype(np.uint8), scale


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--truth", type=pathlib.Path, required=True, help="manifest of scenes, with file and boxes_xyxy")
    parser.add_argument("--pictures", type=pathlib.Path, required=True, help="folder that its `file` column is relative to")
    parser.add_argument("--output", type=places.outside_folder, required=True, help="folder for pictures and manifest.csv, outside the project")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open(arguments.truth, newline="") as file:
        rows = list(csv.DictReader(file))
    written = []
    for index, row in enumerate(tqdm.tqdm(rows)):
        picture = cv2.imread(str(arguments.pictures / row["file"]))
        if picture is None:
            raise SystemExit(f"{arguments.pictures / row['file']}: no picture can be read there; is --pictures the folder of {arguments.truth}?")
        heights = [box[3] - box[1] for box in _boxes(row["boxes_xyxy"])]
        if not heights:
            continue
        rng, noise = random.Random(f"{arguments.seed}/{row['file']}"), np.random.default_rng([arguments.seed, index])
        grey, scale = worsened(rng, noise, picture, sum(heights) / len(heights))
        name = f"{index:04d}.jpg"
        cv2.imwrite(str(arguments.output / name), grey, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(30, 60)])
        for column in _BOX_COLUMNS:
            if row.get(column):
                scaled = (" ".join(f"{value * scale:.1f}" for value in box) for box in _boxes(row[column]))
                row[column] = ";".join(scaled)
        written.append({**row, "file": name})
    with open(arguments.output / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(written)
    print(f"{len(written)} pictures and {arguments.output / 'manifest.csv'}; {len(rows) - len(written)} without boxes left out")


if __name__ == "__main__":
    main()
