"""The labelled photographs, their labels mended, cached at a size to train on.

The labels miss plates and some sit loosely.  A second opinion (boxes that
another open detector found, `det_teacher.csv`) helps in training: a plate that
it saw and the labels miss is added, and a label that overlaps its box badly is
replaced by it.  Nothing of the kind is done to the validation and test splits:
figures there are against the labels as they are.

A third of the plate-free pictures is held back to measure on (`is_held_back`).
"""

import csv
import dataclasses
import json
import os
import pathlib
import zlib

import cv2

LONGEST_SIDE_PX = 1024
MANIFEST = "det_manifest.csv"
SECOND_OPINION = "det_teacher.csv"
_DOUBTS = "doubts.json"

# Of the second opinion's boxes, those at least this sure are believed.
_ADDED_SCORE, _REPLACING_SCORE = 0.5, 0.6
# A label that overlaps a sure box by this much and no more is the same plate, boxed loosely.
_LOOSE_IOU = (0.15, 0.6)


@dataclasses.dataclass(frozen=True)
class Photograph:
    """One cached picture, with boxes x0, y0, x1, y1 in its own pixels.

    `name` is the manifest's, `scale` the cached picture's size against the
    original's; `doubtful` boxes may be plates that nobody labelled.  Drawn
    pictures have `corners` (4, 2) for each box; real ones have none.
    """

    name: str
    file: str
    source: str
    split: str
    width: int
    height: int
    boxes: list
    scale: float
    doubtful: list = dataclasses.field(default_factory=list)
    corners: list = dataclasses.field(default_factory=list)


def is_held_back(name):
    """Whether a plate-free picture is kept out of training, to measure on."""
    return zlib.crc32(os.path.basename(name).encode()) % 3 == 0


def overlap(a, b):
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def read_labels(data, name, width, height):
    """The boxes of a YOLO label file, in pixels of a picture of this size; none for a picture without plates."""
    path = data / pathlib.Path(name.replace("images", "labels", 1)).with_suffix(".txt")
    boxes = []
    if path.exists():
        for line in path.read_text().splitlines():
            fields = [float(field) for field in line.split()[1:5]]
            if len(fields) == 4:
                x, y, w, h = fields[0] * width, fields[1] * height, fields[2] * width, fields[3] * height
                boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return boxes


def second_opinions(data):
    """File name to the list of (box, score, whether the labels have it)."""
    opinions = {}
    with open(data / SECOND_OPINION, newline="") as file:
        for row in csv.DictReader(file):
            box = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
            opinions.setdefault(row["file"], []).append((box, float(row["detector_score"]), row["labelled"] != "0"))
    return opinions


def _mended(boxes, opinions):
    boxes = [list(box) for box in boxes]
    for index, box in enumerate(boxes):
        best, score, better = max(((overlap(box, other), score, other) for other, score, _ in opinions), default=(0, 0, None))
        if _LOOSE_IOU[0] < best < _LOOSE_IOU[1] and score > _REPLACING_SCORE:
            boxes[index] = list(better)
    return boxes + [list(other) for other, score, labelled in opinions if not labelled and score > _ADDED_SCORE]


def prepare(data, work, progress=lambda rows: rows):
    """Writes the cache under `work` (outside the project) and gives the training photographs.

    `data` is the folder with the manifest.  A second call reads what the first wrote.
    """
    index = work / "photographs.json"
    if not index.exists():
        (work / "photographs").mkdir(parents=True, exist_ok=True)
        opinions = second_opinions(data)
        kept = []
        with open(data / MANIFEST, newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
        for row in progress(rows):
            name = row["file"]
            if row["n_plates"] == "0" and is_held_back(name):
                continue
            picture = cv2.imread(str(data / name))
            if picture is None:
                raise SystemExit(f"{data / name}: no picture can be read there; is --data the folder that holds {MANIFEST}?")
            height, width = picture.shape[:2]
            labels = read_labels(data, name, width, height)
            if len(labels) != int(row["n_plates"]):
                raise SystemExit(f"{data / name}: {len(labels)} labels, {MANIFEST} says {row['n_plates']}; get the labels again")
            boxes = _mended(labels, opinions.get(name, []))
            scale = min(1.0, LONGEST_SIDE_PX / max(width, height))
            if scale < 1:
                picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            target = work / "photographs" / (pathlib.Path(name).stem + ".jpg")
            cv2.imwrite(str(target), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
            source = row["source_repo"].split("/")[0] if row["n_plates"] != "0" else "plate-free"
            kept.append(
                Photograph(name, str(target), source, row["split"], picture.shape[1], picture.shape[0],
                           [[value * scale for value in box] for box in boxes], scale)
            )  # fmt: skip
        part = index.with_suffix(".part")
        part.write_text(json.dumps([dataclasses.asdict(photograph) for photograph in kept]))
        part.rename(index)
    doubts = work / _DOUBTS
    doubtful = json.loads(doubts.read_text()) if doubts.exists() else {}
    found = [Photograph(**fields) for fields in json.loads(index.read_text())]
    return [dataclasses.replace(photograph, doubtful=doubtful.get(photograph.name, [])) for photograph in found]


def write_doubts(work, doubts):
    """Keeps boxes that may be unlabelled plates (name to boxes in the cached picture's pixels) for `prepare` to give."""
    part = (work / _DOUBTS).with_suffix(".part")
    part.write_text(json.dumps(doubts))
    part.rename(work / _DOUBTS)
