"""Places that are no plates, so that the reader learns to read nothing there.

`prepare` cuts them from the training photographs; as a command, `python -m
reader.junk --data DIR --models DIR --output DIR`, it cuts them from pictures
that no training has seen and writes a set for `kerbside evaluate`, with texts
left empty.  Up to two of a picture are what the detector takes for a plate with
some score, one is a window at random.
"""

import argparse
import csv
import json
import pathlib
import random

import cv2
import numpy as np
import tqdm

import places
from detector.photographs import MANIFEST, is_held_back, read_labels, second_opinions
from detector.runner import Runner

_LEAST_LOGIT = -4.5
# On pictures with plates a surer candidate may be a plate that nobody labelled.
_MOST_SCORE_BESIDE_PLATES = 0.2
_FAR_PLATES_UNLABELLED = ("RobertLucian/license-plate-dataset",)
_CANDIDATES_A_PICTURE, _WINDOWS_A_PICTURE = 2, 1
_LEAST_WIDTH_PX, _MARGIN = 32, 0.35


def _pictures(data, splits, held_back):
    """(name, source, BGR picture, boxes that are or may be plates) of these splits; plate-free ones held back or not."""
    opinions = second_opinions(data)
    with open(data / MANIFEST, newline="") as file:
        rows = [row for row in csv.DictReader(file)]
    for row in tqdm.tqdm(rows, disable=None):
        free = row["n_plates"] == "0"
        if is_held_back(row["file"]) != held_back if free else row["split"] not in splits:
            continue
        picture = cv2.imread(str(data / row["file"]))
        if picture is None:
            raise SystemExit(f"{data / row['file']}: no picture can be read there; is --data the folder that holds {MANIFEST}?")
        height, width = picture.shape[:2]
        boxes = read_labels(data, row["file"], width, height) + [box for box, _, _ in opinions.get(row["file"], [])]
        yield row["file"], row["source_repo"], picture, boxes


def _window(rng, width, height):
    across = rng.uniform(0.06, 0.35) * width
    down = across / rng.choice([4.7, 4.7, 4.0, 2.5, 1.4]) * rng.uniform(0.8, 1.2)
    x, y = rng.uniform(0, max(1, width - across)), rng.uniform(0, max(1, height - down))
    return [x, y, min(width, x + across), min(height, y + down)]


def _touches(box, plate):
    """Whether a fiftieth of the smaller of two boxes lies in the other."""
    width, height = min(box[2], plate[2]) - max(box[0], plate[0]), min(box[3], plate[3]) - max(box[1], plate[1])
    smaller = min((it[2] - it[0]) * (it[3] - it[1]) for it in (box, plate))
    return width > 0 and height > 0 and width * height > 0.02 * smaller


def cuts(data, models, splits, held_back, seed):
    """(name, BGR cut with margin, box in it, corners (4, 2) or None, boxes of plates in the margin) of places without plates."""
    rng, runner = random.Random(seed), Runner(models / "plate_detector.fp32.onnx")
    for name, source, picture, plates in _pictures(data, splits, held_back):
        height, width = picture.shape[:2]
        # The far plates of these rides are not labelled, and the detector suspects them rightly.
        most = (0.0 if source in _FAR_PLATES_UNLABELLED else _MOST_SCORE_BESIDE_PLATES) if plates else 1.0
        found = [it for it in runner.detect(picture, _LEAST_LOGIT) if it.score < most]
        taken = [(list(it.box), it.corners) for it in found] + [(_window(rng, width, height), None) for _ in range(4)]
        kept = [0, 0]
        for box, corners in taken:
            kind = int(corners is None)
            if kept[kind] >= (_CANDIDATES_A_PICTURE, _WINDOWS_A_PICTURE)[kind] or box[2] - box[0] < _LEAST_WIDTH_PX or box[3] - box[1] < 8:
                continue
            if any(_touches(box, plate) for plate in plates):
                continue
            kept[kind] += 1
            margin = _MARGIN * (box[2] - box[0])
            x0, y0 = max(0, int(box[0] - margin)), max(0, int(box[1] - margin))
            cut = picture[y0 : int(box[3] + margin), x0 : int(box[2] + margin)]
            where = None if corners is None else (np.asarray(corners) - [x0, y0]).tolist()
            moved = [[float(it[0] - x0), float(it[1] - y0), float(it[2] - x0), float(it[3] - y0)] for it in [box, *plates]]
            inside = [it for it in moved[1:] if it[0] < cut.shape[1] and it[1] < cut.shape[0] and it[2] > 0 and it[3] > 0]
            yield name, cut, moved[0], where, inside


def prepare(data, work, models):
    """Writes the cache under `work` (outside the project) and gives rows (file, box, corners or None); a second call reads it."""
    index = work / "junk.json"
    if not index.exists():
        folder = work / "junk"
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for _, cut, box, corners, _ in cuts(data, models, ("train",), held_back=False, seed=7):
            file = folder / f"{len(rows):05d}.png"
            cv2.imwrite(str(file), cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY))
            rows.append((str(file), box, corners))
        part = index.with_suffix(".part")
        part.write_text(json.dumps(rows))
        part.rename(index)
    return json.loads(index.read_text())


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=places.data_folder, required=True)
    parser.add_argument("--models", type=places.models_folder, required=True)
    parser.add_argument("--output", type=places.outside_folder, required=True, help="folder for pictures and junk.csv, outside the project")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open(arguments.output / "junk.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "text", "box_in_crop_xyxy", "ignore_boxes_xyxy", "origin", "kind"])
        count = 0
        for name, cut, box, corners, plates in cuts(arguments.data, arguments.models, ("val", "test"), held_back=True, seed=11):
            target = pathlib.Path(f"junk_{count:05d}.png")
            cv2.imwrite(str(arguments.output / target), cut)
            boxes, ignored = (";".join(" ".join(f"{value:.1f}" for value in it) for it in some) for some in ([box], plates))
            writer.writerow([target, "", boxes, ignored, name, "window" if corners is None else "candidate"])
            count += 1
    print(f"{count} places without a plate in {arguments.output / 'junk.csv'}")


if __name__ == "__main__":
    main()
