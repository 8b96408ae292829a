"""One training patch: a plate through lens and camera, cut as the daemon cuts it.

A drawn plate is bent into a small grey scene at the size that a camera would
see it, characters 8 to 42 px high; then come light, blur, noise and compression
there, in the scene's own pixels; then the patch is cut, from corners with a
detector's errors or from an upright box, with the daemon's own margins.
A photographed plate is cut the same way and made a little worse.
"""

import dataclasses
import math

import cv2
import numpy as np

from photography import motion_blur, shade_flat, view_of
from roadside_plates import PX_PER_MM, PlatePool

from .network import ALPHABET, COLUMNS, PLACES, ROWS, UNJUDGED

WIDTH_PX, HEIGHT_PX = 160, 64
# The margins that the daemon leaves around corners and around an upright box: shares of width and height.
LEVEL_MARGIN, UPRIGHT_MARGIN = (0.015, 0.06), (0.05, 0.10)
_CLASS = {char: index + 1 for index, char in enumerate(ALPHABET)}


@dataclasses.dataclass
class Sample:
    """A patch (64, 160) uint8, its text, and the class of each of the 80 places or `UNJUDGED`."""

    patch: np.ndarray
    text: str
    places: np.ndarray


def grown(corners, share_x, share_y):
    """Corners (4, 2) moved outwards along the plate's own axes."""
    a, b, c, d = corners
    along, down = (b + c - a - d) / 2, (c + d - a - b) / 2
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([p + along * share_x * sx + down * share_y * sy for p, (sx, sy) in zip(corners, signs)])


def box_corners(box):
    """The corners of a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def cut(grey, corners):
    """The patch that these corners enclose (64, 160), as `src/vision/patch.rs` cuts it, and the map into it."""
    size = corners.max(0) - corners.min(0)
    shrink = min(1.0, 2 * WIDTH_PX / max(1.0, size[0]), 2 * HEIGHT_PX / max(1.0, size[1]))
    source = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else grey
    square = np.array([[0, 0], [WIDTH_PX, 0], [WIDTH_PX, HEIGHT_PX], [0, HEIGHT_PX]], np.float32)
    transform = cv2.getPerspectiveTransform((corners * shrink).astype(np.float32), square)
    patch = cv2.warpPerspective(source, transform, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return patch, transform @ np.diag([shrink, shrink, 1.0])


def degraded(rng, noise, grey):
    """A grey float picture as a camera would deliver it, uint8: blur, exposure, noise, compression at its own size."""
    height = grey.shape[0]
    roll = rng.random()
    if roll < 0.20:
        grey = motion_blur(rng, grey, (3, 3, 5, 5, 7) if height < 60 else (3, 5, 7, 9))
    elif roll < 0.45:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 1.3) * max(1, height / 60))
    if rng.random() < 0.15:  # a camera that sharpens too much
        grey = grey + (grey - cv2.GaussianBlur(grey, (0, 0), 1.0)) * rng.uniform(0.5, 2)
    if rng.random() < 0.7:
        grey = (grey - 110) * rng.uniform(0.45, 1.15) + 110
    grey = grey + rng.uniform(-25, 35)
    if rng.random() < 0.10:
        grey = grey * rng.uniform(0.15, 0.5)
    if rng.random() < 0.10:  # infra-red flare: the plate burns out
        grey = grey * rng.uniform(1.3, 2.2)
    strength = rng.choice([0, 2, 4, 7, 12]) * rng.random() * 1.6
    if strength:
        grey = grey + noise.normal(0, strength, grey.shape)
    grey = np.clip(grey, 0, 255)
    if rng.random() < 0.25:
        grey = 255 * (grey / 255) ** rng.uniform(0.5, 1.8)
    picture = grey.astype(np.uint8)
    if rng.random() < 0.6:
        quality = rng.choice([15, 25, 35, 50, 65, 80, 90] if height > 40 else [35, 50, 65, 80, 90])
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    return picture


def places_of(text, centres):
    """Classes (80,) of the places, from the centres (x, y, row) of the characters in the patch."""
    places = np.zeros((ROWS, COLUMNS), np.int64)
    at = [(min(COLUMNS - 1, max(0, int(x * COLUMNS / WIDTH_PX))), row) for x, _, row in centres]
    for column, row in at:
        places[row, max(0, column - 1) : column + 2] = UNJUDGED
    for (column, row), char in zip(at, text):
        places[row, column] = _CLASS[char]
    return places.ravel()


class SampleMaker:
    """Makes training patches; keeps drawn plates to use again."""

    def __init__(self, rng, noise, crops, load, photographed_share, shares):
        self.rng, self.noise = rng, noise
        self.crops, self.load, self.photographed_share = crops, load, photographed_share
        self.plates = PlatePool(rng, noise, shares=shares)

    def sample(self):
        """One patch with its text."""
        if self.crops and self.rng.random() < self.photographed_share:
            return self._photographed()
        return self._drawn()

    def _scene(self, flat):
        """A grey scene with the plate in it, float32, and the plate's corners."""
        rng = self.rng
        char_height = math.exp(rng.uniform(math.log(8), math.log(42)))
        width = char_height / (79 * PX_PER_MM) * flat.shape[1]
        corners = view_of(rng, flat.shape[1] / flat.shape[0], rng.choice([0.4, 0.85, 0.85, 1.2])) * width
        size = corners.max(0) - corners.min(0)
        margin = np.array([0.35 * size[0] + 6, 0.5 * size[1] + 6])
        corners = corners - corners.min(0) + margin
        shape = np.ceil(size + 2 * margin).astype(int)
        scale = min(1.0, 1.6 * width / flat.shape[1])
        small = cv2.resize(flat, (max(8, int(flat.shape[1] * scale)), max(4, int(flat.shape[0] * scale))), interpolation=cv2.INTER_AREA)
        outline = np.array([[0, 0], [small.shape[1], 0], [small.shape[1], small.shape[0]], [0, small.shape[0]]], np.float32)
        bend = cv2.getPerspectiveTransform(outline, corners.astype(np.float32))
        extent = (int(shape[0]), int(shape[1]))
        bent = cv2.warpPerspective(small, bend, extent)
        cover = cv2.warpPerspective(np.ones(small.shape[:2], np.float32), bend, extent)
        patches = (rng.randrange(1, 6), rng.randrange(1, 7))
        around = rng.uniform(10, 220) + self.noise.normal(0, rng.choice([2, 20, 45]), patches)
        ground = cv2.resize(around.astype(np.float32), extent, interpolation=rng.choice([cv2.INTER_LINEAR, cv2.INTER_NEAREST]))
        if rng.random() < 0.35:  # a dark holder
            wider = cv2.dilate(cover, np.ones((3, 3), np.uint8), iterations=max(1, int(size[1] * 0.06)))
            ground = ground * (1 - wider) + rng.uniform(5, 60) * wider
        scene = ground * (1 - cover) + bent * cover
        if rng.random() < 0.04:  # something hangs in front: a tow bar, a strap
            x = int(rng.uniform(0, extent[0]))
            cv2.line(scene, (x, 0), (x + rng.randrange(-20, 20), extent[1]), rng.uniform(10, 120), max(1, int(char_height * rng.uniform(0.1, 0.35))))
        return scene, corners, bend @ np.diag([small.shape[1] / flat.shape[1], small.shape[0] / flat.shape[0], 1.0])

    def _drawn(self):
        rng, plate = self.rng, self.plates.take()
        colour = plate.image.astype(np.float32)
        roll = rng.random()
        if roll < 0.6:
            flat = colour @ np.array([0.114, 0.587, 0.299], np.float32)
        elif roll < 0.8:  # infra-red sees what red sees
            flat = colour[..., 2].copy()
        else:
            flat = colour[..., rng.randrange(3)] * 0.5 + colour[..., rng.randrange(3)] * 0.5
        if rng.random() < 0.04:
            flat = 255 - flat
        shade_flat(rng, self.noise, flat[..., None])
        scene, corners, bend = self._scene(flat)
        picture = degraded(rng, self.noise, scene)
        patch, into = cut(picture, self._cutting(corners, box=[*corners.min(0), *corners.max(0)]))
        centres = np.array(plate.centres, np.float32)
        moved = cv2.perspectiveTransform(centres[None, :, :2], into @ bend)[0]
        return Sample(patch, plate.text, places_of(plate.text, [(x, y, int(row)) for (x, y), row in zip(moved, centres[:, 2])]))

    def _cutting(self, corners, box, given=False):
        """Where the daemon would cut: mostly from a detector's corners, else from an upright box."""
        rng = self.rng
        width = np.linalg.norm(corners[1] - corners[0])
        if rng.random() < 0.65:
            spread = width * rng.uniform(0.002, 0.012 if given else 0.03)
            noisy = corners + self.noise.normal(0, 1, (4, 2)) * [spread, spread * 0.8] + self.noise.normal(0, spread * 0.6, 2)
            return grown(noisy, *LEVEL_MARGIN)
        size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        slack = np.array([-1, -1, 1, 1]) * [rng.gauss(0.01, 0.03) for _ in range(4)] * size
        return grown(box_corners(np.array(box) + slack), *UPRIGHT_MARGIN)

    def _photographed(self):
        rng = self.rng
        crop = self.crops[rng.randrange(len(self.crops))]
        grey = self.load(crop)
        corners = box_corners(crop.box) if crop.corners is None else np.array(crop.corners)
        if rng.random() < 0.4:
            shade_flat(rng, self.noise, grey[..., None])
        smaller = rng.choice([1, 1, 1, 1.4, 2, 3])
        plate_height = crop.box[3] - crop.box[1]
        if smaller > 1 and plate_height / smaller > 11:
            grey = cv2.resize(grey, None, fx=1 / smaller, fy=1 / smaller, interpolation=cv2.INTER_AREA)
        else:
            smaller = 1
        picture = degraded(rng, self.noise, grey) if rng.random() < 0.8 else np.clip(grey, 0, 255).astype(np.uint8)
        where = self._cutting(corners / smaller, np.array(crop.box) / smaller, given=crop.corners is not None)
        patch, _ = cut(picture, where)
        return Sample(255 - patch if rng.random() < 0.03 else patch, crop.text, np.full(PLACES, UNJUDGED, np.int64))
