"""Photographs of plates with their texts, as the daemon would meet them.

Each training plate is kept as a small grey picture with its labelled box and,
where the detector finds it, the detector's corners: the reader is trained with
the errors that these have.  Only the train split is used, and only texts that
two readers agree on or that a person or a file name gave.  The marks that the
labels lack come from the second opinion, where it is more than 99 % sure.
"""

import csv
import dataclasses
import json
import re

import cv2

from detector.photographs import SECOND_OPINION, overlap
from detector.runner import Runner

MANIFEST = "ocr_manifest.csv"
_TEXT = re.compile("[A-Z0-9]{3,10}")
_UNTRUSTED = ("pseudo-1model",)
_SURE_TEXT = 0.99
_LEAST_WIDTH_PX = 40
_MARGIN = 0.35
# The detector looks at a crop at about the scale that it would have in a frame.
DETECTOR_SIZE = (320, 192)


@dataclasses.dataclass(frozen=True)
class Crop:
    """A plate in a grey picture: file, text, labelled box x0, y0, x1, y1, the detector's corners (4, 2) or none, and how often to draw it."""

    file: str
    text: str
    box: list
    corners: list
    weight: int


def _from_manifest(data, split):
    """(name, picture, box, text, quality, rows) of the crop manifest."""
    with open(data / MANIFEST, newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] != split or not _TEXT.fullmatch(row["text"]):
                continue
            picture = cv2.imread(str(data / row["file"]))
            if picture is None:
                raise SystemExit(f"{data / row['file']}: no picture can be read there; is --data the folder that holds {MANIFEST}?")
            fields = [float(value) for value in row["box_in_crop_xyxy"].split()]
            box = fields if len(fields) == 4 else [0, 0, picture.shape[1], picture.shape[0]]
            yield row, picture, box


FOLDED = str.maketrans("OIQ", "010")


def _measured_on(data):
    """Marks, folded, and photographs that figures are given for: no training crop may show either."""
    marks, origins = set(), set()
    with open(data / MANIFEST, newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] != "train":
                marks.add(row["text"].translate(FOLDED))
                origins.add((row["source_repo"], row["path_in_repo"]))
    return marks, origins


def _from_second_opinion(data, known, excluded):
    """Plates of the detection pictures whose text the second opinion is sure of, and that the crop manifest lacks."""
    with open(data / "det_manifest.csv", newline="") as file:
        origin = {row["file"]: (row["source_repo"], row["path_in_repo"]) for row in csv.DictReader(file)}
    with open(data / SECOND_OPINION, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train" and float(row["text_confidence"] or 0) > _SURE_TEXT]
    for row in rows:
        box = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
        listed = origin[row["file"]] in known and row["labelled"] == "1"
        if listed or origin[row["file"]] in excluded or not _TEXT.fullmatch(row["text"]) or box[2] - box[0] < _LEAST_WIDTH_PX:
            continue
        picture = cv2.imread(str(data / row["file"]))
        dx, dy = _MARGIN * (box[2] - box[0]), _MARGIN * (box[2] - box[0])
        x0, y0 = max(0, int(box[0] - dx)), max(0, int(box[1] - dy))
        part = picture[y0 : int(box[3] + dy), x0 : int(box[2] + dx)]
        yield row["text"], part, [box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0]


def corners_by(runner, picture, box):
    """The detector's corners of the plate in this box; none when it does not find it."""
    # Grey around it: plates that fill the picture are not what the detector meets in frames.
    around = round(0.6 * picture.shape[1])
    framed = cv2.copyMakeBorder(picture, around, around, around, around, cv2.BORDER_REPLICATE)
    wanted = [value + around for value in box]
    best = max(runner.detect(framed), key=lambda it: overlap(it.box, wanted), default=None)
    if best is None or overlap(best.box, wanted) < 0.5:
        return None
    return (best.corners - around).tolist()


def prepare(data, work, models, progress=lambda rows: rows):
    """Writes the cache under `work` (outside the project) and gives the training crops; a second call reads it."""
    index = work / "crops.json"
    if not index.exists():
        folder = work / "crops"
        folder.mkdir(parents=True, exist_ok=True)
        runner, kept, known = Runner(models / "plate_detector.fp32.onnx", DETECTOR_SIZE), [], set()

        marks, excluded = _measured_on(data)

        def keep(picture, box, text, weight):
            if text.translate(FOLDED) in marks:
                return
            file = folder / f"{len(kept):05d}.png"
            cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
            kept.append(Crop(str(file), text, [float(value) for value in box], corners_by(runner, picture, box), weight))

        for row, picture, box in progress(list(_from_manifest(data, "train"))):
            known.add((row["source_repo"], row["path_in_repo"]))
            if row["label_quality"] not in _UNTRUSTED:
                keep(picture, box, row["text"], 3 if row["label_quality"] == "manual" else 1)
        for text, picture, box in progress(list(_from_second_opinion(data, known, excluded))):
            keep(picture, box, text, 1)
        part = index.with_suffix(".part")
        part.write_text(json.dumps([dataclasses.asdict(crop) for crop in kept]))
        part.rename(index)
    return [Crop(**fields) for fields in json.loads(index.read_text())]


def taught_before(data):
    """Marks, folded, that the second opinion gave to earlier weights, from training photographs that are also in `val`."""
    with open(data / SECOND_OPINION, newline="") as file:
        return {row["text"].translate(FOLDED) for row in csv.DictReader(file) if row["split"] == "train" and float(row["text_confidence"] or 0) > _SURE_TEXT}


def labelled(data, split):
    """The crops of `val`, `dev` or `eval-eu`: (name, BGR picture, box, text, rows)."""
    for row, picture, box in _from_manifest(data, split):
        yield row["file"], picture, box, row["text"], row["rows"]


def load(crop):
    """The grey picture of a training crop, uint8."""
    return cv2.imread(crop.file, cv2.IMREAD_GRAYSCALE)

