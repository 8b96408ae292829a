"""Runs an exported detector as the daemon does: letterbox, network, peaks, suppression.

The daemon's own code is Rust (`src/vision/detector.rs`); this mirror of it
serves export and evaluation, where curves and calibration need every candidate.
"""

import dataclasses

import cv2
import numpy as np
import onnxruntime

from .network import CORNER_UNIT_PX, LOG_SIDE_RANGE, STRIDE_PX
from .photographs import overlap

PADDING_GREY = 114
NEIGHBOUR_FALL, NEIGHBOUR_OVERLAP = 0.3, 0.5
MOST_OVERLAP, MOST_COVERED = 0.45, 0.8


@dataclasses.dataclass
class Candidate:
    """A place that may be a plate: logit of the score, box x0, y0, x1, y1, corners (4, 2); in the picture's pixels."""

    logit: float
    box: np.ndarray
    corners: np.ndarray

    @property
    def score(self):
        """The score, 0..1."""
        return float(1 / (1 + np.exp(-self.logit)))


def letterboxed(picture, size):
    """The picture scaled into (width, height) on grey, as float32 (1, 3, height, width); with scale and offset."""
    height, width = picture.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.full((size[1], size[0], 3), PADDING_GREY, np.uint8)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(picture, inner, interpolation=how)
    return canvas.transpose(2, 0, 1)[None].astype(np.float32), scale, np.array([left, top])


def candidates(maps, scale=1.0, offset=(0, 0), least_logit=-3.0):
    """What the network's answer (13, rows, columns) says, best first, overlaps suppressed."""
    score = maps[0]
    peak = (score >= cv2.dilate(score, np.ones((3, 3), np.uint8))) & (score > least_logit)
    found = []
    for row, column in zip(*np.nonzero(peak)):
        outline = _outline(maps, row, column)
        box = (outline[:4] - np.tile(offset, 2)) / scale
        corners = (outline[4:].reshape(4, 2) - offset) / scale
        if not cv2.isContourConvex(corners.astype(np.float32)):  # folded: the box is the better guess
            corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
        found.append(Candidate(float(score[row, column]), box, corners))
    found.sort(key=lambda it: -it.logit)
    kept = []
    for it in found:
        if not any(_hides(better.box, it.box) for better in kept):
            kept.append(it)
    return kept


def _outline(maps, row, column):
    """The plate as a peak and its neighbours see it, weighed by score: box and corners, 12 numbers in input pixels."""
    rows, columns = slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2)
    near = maps[:, rows, columns]
    grid = np.mgrid[rows.start : rows.start + near.shape[1], columns.start : columns.start + near.shape[2]]
    x, y = (grid[1] + 0.5) * STRIDE_PX, (grid[0] + 0.5) * STRIDE_PX
    sides = np.exp(np.clip(near[1:5], *LOG_SIDE_RANGE)) * STRIDE_PX
    corners = near[5:13] * CORNER_UNIT_PX + np.stack([x, y] * 4)
    outlines = np.concatenate([[x - sides[0], y - sides[1], x + sides[2], y + sides[3]], corners])
    own = outlines[:, row - rows.start, column - columns.start]
    shared = np.array([[overlap(own[:4], outlines[:4, r, c]) for c in range(near.shape[2])] for r in range(near.shape[1])])
    share = np.where(shared >= NEIGHBOUR_OVERLAP, np.exp(NEIGHBOUR_FALL * (near[0] - maps[0, row, column])), 0.0)
    return (outlines * share).sum(axis=(1, 2)) / share.sum()


def _area(box):
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _hides(better, box):
    width, height = min(better[2], box[2]) - max(better[0], box[0]), min(better[3], box[3]) - max(better[1], box[1])
    shared = max(0.0, width) * max(0.0, height)
    return overlap(better, box) > MOST_OVERLAP or shared > MOST_COVERED * min(_area(better), _area(box))


class Runner:
    """An exported detector at one input size (width, height), on one thread."""

    def __init__(self, path, size=(640, 384)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_free_dimension_override_by_name("width", size[0])
        options.add_free_dimension_override_by_name("height", size[1])
        self.path, self.size = path, size
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def detect(self, picture, least_logit=-3.0):
        """All candidates of a BGR uint8 picture."""
        canvas, scale, offset = letterboxed(picture, self.size)
        found = candidates(self.session.run(None, {"x": canvas})[0][0], scale, offset, least_logit)
        height, width = picture.shape[:2]
        for it in found:
            it.box = np.clip(it.box, 0, [width, height, width, height])
        return found
