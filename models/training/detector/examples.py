"""The model card's picture: `python -m detector.examples --models DIR --output FILE`.

Above, what training draws: plates and lettering.  Below, what the detector
finds in drawn streets that training never saw: box, corners and score.  There is
no photograph in it.
"""

import argparse
import pathlib
import random

import cv2
import numpy as np

import places
from roadside_plates import random_flat_plate

from . import streets
from .evaluate import FIRST_STREET
from .lettering import random_lettering
from .runner import Runner

_CELL = (190, 64)
_COLUMNS = 8
_FOUND_BGR, _CORNERS_BGR = (60, 200, 60), (255, 180, 0)


def _fitted(picture, size, ground=70):
    """The picture, shrunk into a cell."""
    cell = np.full((size[1], size[0], 3), ground, np.uint8)
    scale = min((size[0] - 8) / picture.shape[1], (size[1] - 8) / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (size[1] - small.shape[0]) // 2, (size[0] - small.shape[1]) // 2
    cell[top : top + small.shape[0], left : left + small.shape[1]] = small
    return cell


def _drawn_pieces(seed):
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    pieces = [random_flat_plate(rng, noise).image for _ in range(3 * _COLUMNS)]
    for _ in range(2 * _COLUMNS):
        panel, mask = random_lettering(rng)
        pieces.append(panel if mask is None else np.where(mask[..., None] > 127, panel, np.uint8(70)))
    rows = [[_fitted(piece, _CELL) for piece in pieces[at : at + _COLUMNS]] for at in range(0, len(pieces), _COLUMNS)]
    return np.vstack([np.hstack(row) for row in rows])


def _marked(picture, found, threshold):
    picture = picture.copy()
    for it in found:
        if it.score < threshold:
            continue
        x0, y0, x1, y1 = (round(float(value)) for value in it.box)
        cv2.polylines(picture, [np.round(it.corners * 16).astype(np.int32)], True, _CORNERS_BGR, 1, cv2.LINE_AA, 4)
        cv2.rectangle(picture, (x0 - 2, y0 - 2), (x1 + 2, y1 + 2), _FOUND_BGR, 1)
        cv2.putText(picture, f"{it.score:.2f}", (x0, y0 - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _FOUND_BGR, 1, cv2.LINE_AA)
    return picture


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=places.models_folder, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--threshold", type=float, default=0.5)
    arguments = parser.parse_args()
    runner = Runner(arguments.models / "plate_detector.int8.onnx")
    above = _drawn_pieces(4)
    size = (above.shape[1] // 3, round(above.shape[1] / 3 * streets.SIZE_PX[1] / streets.SIZE_PX[0]))
    stills = [
        still for seed in range(FIRST_STREET, FIRST_STREET + 9) for still in list(streets.draw_street(seed))[:: streets.STILLS_A_STREET - 2]
    ]
    # By day and by night, those that show most plates.
    chosen = []
    for scene in sorted({still[3] for still in stills}):
        chosen += sorted((still for still in stills if still[3] == scene), key=lambda still: -len(still[1]))[:3]
    marked = [_marked(picture, runner.detect(picture), arguments.threshold) for picture, _, _, _ in chosen]
    cells = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in marked]
    below = np.vstack([np.hstack(cells[at : at + 3]) for at in range(0, len(cells), 3)])
    below = np.hstack([below, np.full((below.shape[0], above.shape[1] - below.shape[1], 3), 70, np.uint8)])
    cv2.imwrite(str(arguments.output), np.vstack([above, below]), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
