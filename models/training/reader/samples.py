"""Training patches: plates through lens, camera and coder, cut as the daemon cuts them.

A drawn plate is bent into a small grey scene at the size that a camera would
see it, characters 8 to 42 px high: on a ground of our own or in the place of
the plate of a photograph.  Then come light, blur, noise and compression there,
in the scene's own pixels; then the patch is cut, from corners with a detector's
errors or from an upright box, with the daemon's own margins.  A photographed
plate is cut the same way and made a little worse; and places without a plate
are cut too, to be read as nothing.
"""

import dataclasses
import math

import cv2
import numpy as np

from detector.lettering import LetteringPool
from photography import flare, motion_blur, shade_flat, view_of
from roadside_plates import PX_PER_MM, PlatePool

from .network import ALPHABET, COLUMNS, PLACES, ROWS, UNJUDGED
from .video import through_video

WIDTH_PX, HEIGHT_PX = 160, 64
# The margins that the daemon leaves around corners and around an upright box: shares of width and height.
LEVEL_MARGIN, UPRIGHT_MARGIN = (0.015, 0.06), (0.05, 0.10)
_CLASS = {char: index + 1 for index, char in enumerate(ALPHABET)}
_GREY = np.array([0.114, 0.587, 0.299], np.float32)


@dataclasses.dataclass
class Sample:
    """A patch (64, 160) uint8, its text, and the class of each of the 80 places or `UNJUDGED`."""

    patch: np.ndarray
    text: str
    places: np.ndarray


@dataclasses.dataclass
class Shares:
    """Of all samples: photographs, places without a plate, drawn plates in a photograph, H.264; of the drawn plates: UK, European, overseas."""

    photographed: float = 0.3
    junk: float = 0.06
    replaced: float = 0.25
    video: float = 0.15
    plates: tuple = (0.58, 0.38, 0.04)


@dataclasses.dataclass
class _Shot:
    """What stands before the camera: grey float32 scene, the plate's corners (4, 2) and box, its text, and each character's centre (x, y, row) if known."""

    scene: np.ndarray
    corners: np.ndarray
    box: list
    text: str
    centres: np.ndarray = None
    # Corners that a detector gave have its errors already.
    given: bool = False
    worsened: bool = True


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
    sides = np.linalg.norm(corners - np.roll(corners, -1, 0), axis=1)
    width, height = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
    shrink = min(1.0, 2 * WIDTH_PX / max(1.0, width), 2 * HEIGHT_PX / max(1.0, height))
    source = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else grey
    square = np.array([[0, 0], [WIDTH_PX, 0], [WIDTH_PX, HEIGHT_PX], [0, HEIGHT_PX]], np.float32)
    transform = cv2.getPerspectiveTransform((corners * shrink).astype(np.float32), square)
    patch = cv2.warpPerspective(source, transform, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return patch, transform @ np.diag([shrink, shrink, 1.0])


def degraded(rng, noise, grey, plate_height, compressed=True):
    """A grey float picture as a camera would deliver it, uint8: blur, exposure, noise, compression at its own size.

    `plate_height` in pixels: a plate seen from near can bear more.
    """
    height = 2 * plate_height + 12
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
    if rng.random() < 0.12:
        grey = flare(rng, grey, height)
    strength = rng.choice([0, 2, 4, 7, 12]) * rng.random() * 1.6
    if strength:
        grey = grey + noise.normal(0, strength, grey.shape)
    grey = np.clip(grey, 0, 255)
    if rng.random() < 0.25:
        grey = 255 * (grey / 255) ** rng.uniform(0.5, 1.8)
    picture = grey.astype(np.uint8)
    if compressed and rng.random() < 0.6:
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


def _light_of(region):
    """Dark and bright level of a plate in a picture."""
    return np.percentile(region, (8, 88))


class SampleMaker:
    """Makes training patches; keeps drawn plates to use again.

    `crops` are photographed plates and `junk` places without one; `load` gives
    the grey float picture of either.
    """

    def __init__(self, rng, noise, crops, junk, load, shares):
        self.rng, self.noise, self.shares = rng, noise, shares
        self.crops, self.load = crops, load
        # What the detector suspected is rarer than windows at random, and teaches more.
        self.suspected, self.windows = [it for it in junk if it.corners is not None], [it for it in junk if it.corners is None]
        # Corners say where a drawn plate may stand in for the photographed one.
        self.sites = [crop for crop in crops if crop.corners is not None]
        self.plates = PlatePool(rng, noise, shares=shares.plates)
        self.lettering = LetteringPool(rng)

    def batch(self, count):
        """So many samples; those that go through H.264 share one clip."""
        shots = [self._shot() for _ in range(count)]
        video = [self.rng.random() < self.shares.video for _ in shots]
        pictures = [self._pictured(shot, not coded) for shot, coded in zip(shots, video)]
        coded = iter(through_video(self.rng, [picture for picture, coded in zip(pictures, video) if coded]))
        return [self._sample(shot, next(coded) if is_coded else picture) for shot, picture, is_coded in zip(shots, pictures, video)]

    def _shot(self):
        roll = self.rng.random()
        if self.crops and roll < self.shares.photographed:
            return self._photographed()
        if roll < self.shares.photographed + self.shares.junk:
            return self._without_plate()
        if self.sites and roll > 1 - self.shares.replaced:
            replaced = self._replaced()
            if replaced:
                return replaced
        return self._drawn()

    def _pictured(self, shot, compressed):
        if shot.worsened:
            return degraded(self.rng, self.noise, shot.scene, shot.box[3] - shot.box[1], compressed)
        return np.clip(shot.scene, 0, 255).astype(np.uint8)

    def _sample(self, shot, picture):
        patch, into = cut(picture, self._cutting(shot))
        if self.rng.random() < 0.03:
            patch = 255 - patch
        if not shot.text:
            return Sample(patch, "", np.zeros(PLACES, np.int64))
        if shot.centres is None:
            return Sample(patch, shot.text, np.full(PLACES, UNJUDGED, np.int64))
        moved = cv2.perspectiveTransform(shot.centres[None, :, :2].astype(np.float32), into)[0]
        return Sample(patch, shot.text, places_of(shot.text, [(x, y, int(row)) for (x, y), row in zip(moved, shot.centres[:, 2])]))

    def _cutting(self, shot):
        """Where the daemon would cut: mostly from a detector's corners, else from an upright box."""
        rng, corners = self.rng, shot.corners
        width = np.linalg.norm(corners[1] - corners[0])
        if rng.random() < 0.65:
            spread = width * rng.uniform(0.002, 0.012 if shot.given else 0.03)
            noisy = corners + self.noise.normal(0, 1, (4, 2)) * [spread, spread * 0.8] + self.noise.normal(0, spread * 0.6, 2)
            return grown(noisy, *LEVEL_MARGIN)
        box = shot.box
        size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        slack = np.array([-1, -1, 1, 1]) * [rng.gauss(0.01, 0.03) for _ in range(4)] * size
        return grown(box_corners(np.array(box) + slack), *UPRIGHT_MARGIN)

    def _grey_flat(self, colour):
        """A BGR plate as a grey camera or an infra-red one would see it, float32, lit and soiled."""
        rng = self.rng
        colour = colour.astype(np.float32)
        roll = rng.random()
        if roll < 0.6:
            flat = colour @ _GREY
        elif roll < 0.8:  # infra-red sees what red sees
            flat = colour[..., 2].copy()
        else:
            flat = colour[..., rng.randrange(3)] * 0.5 + colour[..., rng.randrange(3)] * 0.5
        if rng.random() < 0.04:
            flat = 255 - flat
        shade_flat(rng, self.noise, flat[..., None])
        return flat

    def _drawn(self):
        plate = self.plates.take()
        scene, corners, bend = self._staged(self._grey_flat(plate.image))
        return self._with_centres(plate, bend, _Shot(scene, corners, [*corners.min(0), *corners.max(0)], plate.text))

    @staticmethod
    def _with_centres(plate, bend, shot):
        centres = np.array(plate.centres, np.float32)
        moved = cv2.perspectiveTransform(centres[None, :, :2], bend)[0]
        shot.centres = np.column_stack([moved, centres[:, 2]])
        return shot

    def _staged(self, flat):
        """A grey scene with the plate in it, float32, the plate's corners, and the map from the flat plate into it."""
        rng = self.rng
        char_height = math.exp(rng.uniform(math.log(8), math.log(42)))
        width = char_height / (79 * PX_PER_MM) * flat.shape[1]
        corners = view_of(rng, flat.shape[1] / flat.shape[0], rng.choice([0.4, 0.85, 0.85, 1.2])) * width
        size = corners.max(0) - corners.min(0)
        margin = np.array([0.35 * size[0] + 6, 0.5 * size[1] + 6])
        corners = corners - corners.min(0) + margin
        extent = tuple(int(side) for side in np.ceil(size + 2 * margin))
        scene = self._ground(extent)
        bend, small = _bend(flat, corners, width)
        bent = cv2.warpPerspective(small, bend, extent)
        cover = cv2.warpPerspective(np.ones(small.shape[:2], np.float32), bend, extent)
        if rng.random() < 0.35:  # a dark holder
            wider = cv2.dilate(cover, np.ones((3, 3), np.uint8), iterations=max(1, int(size[1] * 0.06)))
            scene = scene * (1 - wider) + rng.uniform(5, 60) * wider
        scene = scene * (1 - cover) + bent * cover
        self._hang_in_front(scene, corners, char_height)
        return scene, corners, bend @ np.diag([small.shape[1] / flat.shape[1], small.shape[0] / flat.shape[0], 1.0])

    def _ground(self, extent):
        """What is around a plate, drawn: patches of light and dark, and the bars of a grille."""
        rng = self.rng
        patches = (rng.randrange(1, 6), rng.randrange(1, 7))
        around = rng.uniform(10, 220) + self.noise.normal(0, rng.choice([2, 20, 45]), patches)
        ground = cv2.resize(around.astype(np.float32), extent, interpolation=rng.choice([cv2.INTER_LINEAR, cv2.INTER_NEAREST]))
        if rng.random() < 0.15:
            upright = rng.random() < 0.4
            period = max(3.0, extent[0 if upright else 1] * rng.uniform(0.03, 0.15))
            along = np.arange(extent[0 if upright else 1], dtype=np.float32)
            bars = ((along / period) % 1 < rng.uniform(0.3, 0.7)).astype(np.float32) * rng.uniform(-90, 90)
            ground = ground + (bars[None, :] if upright else bars[:, None])
        return ground

    def _hang_in_front(self, scene, corners, char_height):
        """Now and then a strap, a tow bar or its ball covers a part."""
        rng = self.rng
        roll = rng.random()
        x, y = corners.min(0) + (corners.max(0) - corners.min(0)) * [rng.random(), rng.uniform(0.3, 1.1)]
        level = rng.uniform(10, 120)
        if roll < 0.04:
            cv2.line(scene, (int(x), 0), (int(x) + rng.randrange(-20, 20), scene.shape[0]), level, max(1, int(char_height * rng.uniform(0.1, 0.35))))
        elif roll < 0.06:
            cv2.circle(scene, (int(x), int(y)), max(1, int(char_height * rng.uniform(0.15, 0.4))), level, -1)

    def _replaced(self):
        """A drawn plate in the place of a photographed one, in its light; none when their shapes differ too much."""
        rng = self.rng
        for _ in range(4):
            site, plate = rng.choice(self.sites), self.plates.take()
            corners = np.array(site.corners)
            sides = np.linalg.norm(corners - np.roll(corners, -1, 0), axis=1)
            stretch = (plate.image.shape[1] / plate.image.shape[0]) / ((sides[0] + sides[2]) / max(1.0, sides[1] + sides[3]))
            if 0.75 < stretch < 1.35:
                break
        else:
            return None
        scene = self.load(site)
        width = (sides[0] + sides[2]) / 2
        char_height = math.exp(rng.uniform(math.log(8), math.log(42)))
        wanted = char_height / (79 * PX_PER_MM) * plate.image.shape[1]
        scale = min(1.5, wanted / width)
        scene = cv2.resize(scene, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        # A little larger than the old plate, which must not show.
        corners, width, char_height = grown(corners * scale, 0.02, 0.06), width * scale, char_height * width * scale / wanted
        flat = self._grey_flat(plate.image)
        x0, y0 = np.maximum(corners.min(0), 0).astype(int)
        x1, y1 = corners.max(0).astype(int) + 1
        under = scene[y0:y1, x0:x1]
        if not under.size:
            return None
        (dark, bright), (flat_dark, flat_bright) = _light_of(under), _light_of(flat)
        gain = (bright - dark) / max(20.0, flat_bright - flat_dark)
        flat = (flat - flat_bright) * min(2.0, max(0.25, gain)) + bright
        extent = scene.shape[1::-1]
        bend, small = _bend(flat, corners, width)
        cover = cv2.GaussianBlur(cv2.warpPerspective(np.ones(small.shape[:2], np.float32), bend, extent), (0, 0), 0.5)
        scene = scene * (1 - cover) + cv2.warpPerspective(small, bend, extent, borderMode=cv2.BORDER_REPLICATE) * cover
        self._hang_in_front(scene, corners, char_height)
        into = bend @ np.diag([small.shape[1] / flat.shape[1], small.shape[0] / flat.shape[0], 1.0])
        return self._with_centres(plate, into, _Shot(scene, corners, [*corners.min(0), *corners.max(0)], plate.text))

    def _smaller(self, grey, plate_height):
        """A photograph shrunk now and then, but not beyond legibility; and the factor."""
        smaller = self.rng.choice([1, 1, 1, 1.4, 2, 3])
        if smaller == 1 or plate_height / smaller <= 11:
            return grey, 1
        return cv2.resize(grey, None, fx=1 / smaller, fy=1 / smaller, interpolation=cv2.INTER_AREA), smaller

    def _photographed(self):
        rng = self.rng
        crop = self.crops[rng.randrange(len(self.crops))]
        grey = self.load(crop)
        given = crop.corners is not None
        corners = np.array(crop.corners) if given else box_corners(crop.box)
        if rng.random() < 0.4:
            shade_flat(rng, self.noise, grey[..., None])
        grey, smaller = self._smaller(grey, crop.box[3] - crop.box[1])
        return _Shot(grey, corners / smaller, np.array(crop.box) / smaller, crop.text, given=given, worsened=rng.random() < 0.8)

    def _without_plate(self):
        """A place of a photograph without a plate, or lettering that is none."""
        rng = self.rng
        if self.windows and rng.random() < 0.7:
            crop = rng.choice(self.suspected if self.suspected and rng.random() < 0.8 else self.windows)
            grey = self.load(crop)
            corners = box_corners(crop.box) if crop.corners is None else np.array(crop.corners)
            grey, smaller = self._smaller(grey, crop.box[3] - crop.box[1])
            return _Shot(grey, corners / smaller, np.array(crop.box) / smaller, "", given=True, worsened=rng.random() < 0.6)
        panel, _ = self.lettering.take()
        scene, corners, _ = self._staged(self._grey_flat(panel))
        return _Shot(scene, corners, [*corners.min(0), *corners.max(0)], "")


def _bend(flat, corners, width):
    """The map of a flat plate, shrunk to about its size there, onto corners; and the shrunk plate."""
    scale = min(1.0, 1.6 * width / flat.shape[1])
    size = (max(8, int(flat.shape[1] * scale)), max(4, int(flat.shape[0] * scale)))
    small = cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
    outline = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
    return cv2.getPerspectiveTransform(outline, corners.astype(np.float32)), small
