"""One training picture: a piece of a photograph, made harder, with every plate known.

A piece of a labelled photograph is cut at a random scale.  Some of its plates
are covered by drawn ones, whose corners are known exactly; more drawn plates
and much lettering are hung into it; then comes light, night, and what cameras
do.  All chance comes from the generator that the caller gives, so a seed and a
sample's number fix the sample.
"""

import dataclasses
import math

import cv2
import numpy as np

from photography import motion_blur, shade_flat, view_of
from roadside_plates import PlatePool

from . import network
from .lettering import LetteringPool
from .photographs import Photograph

WIDTH_PX, HEIGHT_PX = 384, 256
# Plates narrower than this, or shown for less than this share, are neither asked for nor punished.
LEAST_WIDTH_PX, LEAST_HEIGHT_PX, LEAST_SHOWN = 11, 3, 0.6
WIDEST_PX = 340


@dataclasses.dataclass
class Plate:
    """A plate in the picture: its box x0, y0, x1, y1, and its corners (4, 2), clockwise from its own top left, where they are known."""

    box: list
    corners: np.ndarray = None


def _log_uniform(rng, low, high):
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _box_of(corners):
    return [*corners.min(0), *corners.max(0)]


def _meet(a, b, gap=0.0):
    return min(a[2], b[2]) > max(a[0], b[0]) - gap and min(a[3], b[3]) > max(a[1], b[1]) - gap


def _hang(rng, noise, picture, corners, flat, mask=None, holder=True):
    """Bends a flat BGR picture into four corners of `picture`, in place, in the light that falls there."""
    height, width = picture.shape[:2]
    x0, y0 = np.maximum(np.floor(corners.min(0) - 4), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(0) + 4), [width, height]).astype(int)
    if x1 - x0 < 6 or y1 - y0 < 3:
        return
    # Shrunk first to near its size in the picture: bending alone would alias.
    shown_width = np.linalg.norm(corners[1] - corners[0])
    scale = min(1.0, 1.5 * shown_width / flat.shape[1])
    size = (max(8, int(flat.shape[1] * scale)), max(4, int(flat.shape[0] * scale)))
    flat = cv2.resize(flat, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    cover = np.ones(flat.shape[:2], np.float32)
    if mask is not None:
        cover = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    shade_flat(rng, noise, flat)

    outline = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
    # Corners count from the pixels' edges, the warp from their middles.
    bend = cv2.getPerspectiveTransform(outline - np.float32(0.5), (corners - [x0, y0] - 0.5).astype(np.float32))
    under = picture[y0:y1, x0:x1].astype(np.float32)
    extent = (int(x1 - x0), int(y1 - y0))
    bent, cover = cv2.warpPerspective(flat, bend, extent), cv2.warpPerspective(cover, bend, extent)
    if holder and rng.random() < 0.35:  # a dark holder shows around the plate
        margin = max(1, int(np.linalg.norm(corners[3] - corners[0]) * 0.08))
        around = cv2.dilate(cover, np.ones((3, 3), np.uint8), iterations=margin)[..., None]
        under = under * (1 - around) + rng.uniform(5, 50) * around
    inside = bent[cover > 0.5]
    ratio = under.mean() / max(20.0, inside.mean() if inside.size else 100.0)
    gain = min(1.25, ratio ** rng.uniform(0.2, 0.7) * rng.uniform(0.8, 1.3))
    if rng.random() < 0.15:  # retro-reflective: brighter than all around it
        gain = rng.uniform(1.0, 1.5)
    bent *= gain
    blur = rng.uniform(0, 0.9)
    if blur > 0.35:
        bent, cover = cv2.GaussianBlur(bent, (0, 0), blur), cv2.GaussianBlur(cover, (0, 0), blur)
    cover = cover[..., None]
    picture[y0:y1, x0:x1] = np.clip(under * (1 - cover) + bent * cover, 0, 255).astype(np.uint8)


def _corners_of(box):
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


@dataclasses.dataclass(frozen=True)
class _Placement:
    """How a photograph lies in the sample: an affine map (2, 3), its scales, and whether it is turned much or mirrored."""

    affine: np.ndarray
    scale: float
    scale_x: float
    turned: bool
    mirrored: bool

    def points(self, points):
        """Points (n, 2) of the photograph in the sample."""
        return points @ self.affine[:, :2].T + self.affine[:, 2]

    def box(self, box):
        """A labelled box in the sample."""
        x0, y0, x1, y1 = _box_of(self.points(_corners_of(box)))
        if self.turned:
            return [x0, y0, x1, y1]
        # A little turning widens a box less than its corners say: most labelled boxes have slack.
        width = ((x1 - x0) + (box[2] - box[0]) * self.scale_x) / 2
        height = 0.3 * (y1 - y0) + 0.7 * (box[3] - box[1]) * self.scale
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


class SceneMaker:
    """Makes training pictures.  One object a worker: it keeps drawn plates and lettering to use again."""

    def __init__(self, rng, noise):
        self.rng, self.noise = rng, noise
        self.plates, self.lettering = PlatePool(rng, noise), LetteringPool(rng)

    def sample(self, photograph: Photograph, image):
        """A BGR uint8 picture (256, 384, 3), its plates, and the boxes that count neither way."""
        picture, plates, ignored = self._cut(photograph, image)
        rng = self.rng
        if rng.random() < (0.5 if not photograph.boxes else 0.27):
            self._hang_plates(picture, plates, ignored)
        if rng.random() < (0.6 if not photograph.boxes else 0.4):
            self._hang_lettering(picture, plates, ignored)
        levels = picture.astype(np.float32)
        night = rng.random() < 0.10
        if night:
            levels = self._night(levels, plates)
        return self._camera(levels, may_darken=not night), plates, ignored

    def _placement(self, photograph):
        """Where the photograph lies in the sample: mostly so that one of its plates shows."""
        rng, boxes = self.rng, photograph.boxes
        width, height = photograph.width, photograph.height
        angle = rng.gauss(0, 2.0)
        if boxes:
            box = rng.choice(boxes)
            # Mostly at the widths that cameras are set up for; also all that may be asked for.
            wanted = _log_uniform(rng, 30, 160) if rng.random() < 0.6 else _log_uniform(rng, 13, WIDEST_PX)
            scale = min(max(wanted / max(4, box[2] - box[0]), 0.18), 2.2)
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            if rng.random() < 0.12:
                x, y = rng.uniform(0, width), rng.uniform(0, height)
            # An upright plate stays boxed exactly when it is turned; a plate
            # that is tilted already would be boxed too loosely.
            if rng.random() < 0.15 and all(b[2] - b[0] > 3.2 * (b[3] - b[1]) for b in boxes):
                angle = rng.gauss(0, 9.0)
        else:
            scale = rng.uniform(0.25, 1.3) * 720 / max(width, height)
            x, y = rng.uniform(0, width), rng.uniform(0, height)
        scale = max(scale, 0.85 * min(WIDTH_PX / width, HEIGHT_PX / height))
        mirror = -1 if rng.random() < 0.12 else 1
        scale_x = scale * rng.uniform(0.9, 1.1)
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = np.array([[mirror * scale_x * cosine, -scale * sine], [mirror * scale_x * sine, scale * cosine]])

        def shown(place):
            """Share of the sample that the photograph fills when (x, y) comes to `place`, turning left aside."""
            left = place[0] - (x if mirror > 0 else width - x) * scale_x
            top = place[1] - y * scale
            across = min(WIDTH_PX, left + width * scale_x) - max(0, left)
            return across * (min(HEIGHT_PX, top + height * scale) - max(0, top))

        places = [(rng.uniform(0.1, 0.9) * WIDTH_PX, rng.uniform(0.1, 0.9) * HEIGHT_PX) for _ in range(4)]
        # Empty borders teach little: mostly the place that shows most of the photograph.
        at = np.array(max(places, key=shown) if rng.random() < 0.75 else places[0])
        return _Placement(np.column_stack([turn, at - turn @ [x, y]]), scale, scale_x, abs(angle) > 6, mirror < 0)

    def _cut(self, photograph, image):
        rng = self.rng
        placement = self._placement(photograph)
        affine, scale = placement.affine, placement.scale
        source, on_source = image, affine
        if scale < 0.6:  # shrink with area averaging first: the affine map alone would alias
            source = cv2.resize(image, None, fx=scale * 1.4, fy=scale * 1.4, interpolation=cv2.INTER_AREA)
            on_source = affine.copy()
            on_source[:, 0] *= image.shape[1] / source.shape[1]
            on_source[:, 1] *= image.shape[0] / source.shape[0]
        # Labels count from the pixels' edges, the warp from their middles.
        half = np.array([0.5, 0.5])
        on_source = np.column_stack([on_source[:, :2], on_source[:, 2] + on_source[:, :2] @ half - half])
        border = (114, 114, 114) if rng.random() < 0.6 else tuple(rng.randrange(0, 120) for _ in range(3))
        picture = cv2.warpAffine(
            source, on_source, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
        )
        plates, ignored = [], [_box_of(placement.points(_corners_of(box))) for box in photograph.doubtful]
        for index, box in enumerate(photograph.boxes):
            corners = placement.points(np.array(photograph.corners[index])) if photograph.corners else None
            whole = placement.box(box) if corners is None else _box_of(corners)
            shown = [max(0, whole[0]), max(0, whole[1]), min(WIDTH_PX, whole[2]), min(HEIGHT_PX, whole[3])]
            if shown[2] <= shown[0] or shown[3] <= shown[1]:
                continue
            width, height = whole[2] - whole[0], whole[3] - whole[1]
            share = (shown[2] - shown[0]) * (shown[3] - shown[1]) / (width * height)
            if width < LEAST_WIDTH_PX or height < LEAST_HEIGHT_PX or share < LEAST_SHOWN:
                ignored.append(whole)
                continue
            # A mirrored plate's own top left is on the right.
            plate = Plate(shown, corners[[1, 0, 3, 2]] if placement.mirrored and corners is not None else corners)
            replaceable = corners is None and share > 0.98 and not placement.turned and width > 1.1 * height
            if replaceable and rng.random() < 0.3:
                middle = ((whole[0] + whole[2]) / 2, (whole[1] + whole[3]) / 2)
                plate = self._replaced(picture, middle, width, height) or plate
            plates.append(plate)
        return picture, plates, ignored

    def _replaced(self, picture, middle, width, height):
        """Covers a photographed plate by a drawn one; none when the drawn one's shape does not fit."""
        rng, drawn = self.rng, self.plates.take()
        aspect, wanted = drawn.image.shape[1] / drawn.image.shape[0], width / height
        if not (wanted / 1.9 < aspect < wanted * 2.4):
            return None
        new_height = max(height * 1.06, width * 1.04 / aspect * rng.uniform(0.85, 1.0))
        new_width = width * 1.05
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [new_width / 2, new_height / 2]
        corners[:, 1] += corners[:, 0] * math.tan(math.radians(rng.gauss(0, rng.choice([2, 2, 6]))))
        corners[:, 0] += corners[:, 1] * rng.gauss(0, 0.06)
        corners[1:3, 1] *= 1 + rng.gauss(0, 0.03)
        corners += middle
        _hang(rng, self.noise, picture, corners, drawn.image)
        return Plate(_box_of(corners), corners)

    def _hang_plates(self, picture, plates, ignored):
        rng = self.rng
        for _ in range(rng.choice([1, 1, 2])):
            drawn = self.plates.take()
            corners = view_of(rng, drawn.image.shape[1] / drawn.image.shape[0], rng.choice([1.0, 1.0, 1.5]))
            placed = self._free_place(corners, _log_uniform(rng, 15, 200), plates, ignored)
            if placed is not None:
                _hang(rng, self.noise, picture, placed, drawn.image)
                plates.append(Plate(_box_of(placed), placed))

    def _hang_lettering(self, picture, plates, ignored):
        rng = self.rng
        for _ in range(rng.choice([1, 2, 3])):
            panel, mask = self.lettering.take()
            corners = view_of(rng, panel.shape[1] / panel.shape[0], rng.choice([0.1, 0.6, 1.0]))
            placed = self._free_place(corners, _log_uniform(rng, 20, 330), plates, ignored)
            if placed is not None:
                _hang(rng, self.noise, picture, placed, panel, mask, holder=False)

    def _free_place(self, corners, width, plates, ignored):
        """The corners at this width somewhere in the picture, clear of plates; none when they don't fit."""
        corners = corners * (width / (corners[:, 0].max() - corners[:, 0].min()))
        corners = corners - corners.min(0)
        height = corners[:, 1].max()
        if not 4 <= height <= HEIGHT_PX * 0.8 or width > WIDTH_PX - 6:
            return None
        corners = corners + [self.rng.uniform(2, WIDTH_PX - width - 2), self.rng.uniform(2, HEIGHT_PX - height - 2)]
        box = _box_of(corners)
        if any(_meet(box, other, 6) for other in [plate.box for plate in plates] + ignored):
            return None
        return corners

    def _night(self, levels, plates):
        """Infra-red at night: a dark scene without colour, plates that shine back, lamps that dazzle."""
        rng = self.rng
        grey = levels.mean(2) if rng.random() < 0.5 else levels[..., 2].copy()
        shine = np.zeros(grey.shape, np.float32)
        for plate in plates:
            if plate.corners is not None:
                cv2.fillConvexPoly(shine, plate.corners.astype(np.int32), 1.0)
            else:
                x0, y0, x1, y1 = plate.box
                inset_x, inset_y = 0.03 * (x1 - x0), 0.06 * (y1 - y0)
                cv2.rectangle(shine, (round(x0 + inset_x), round(y0 + inset_y)), (round(x1 - inset_x), round(y1 - inset_y)), 1.0, -1)
        shine = cv2.GaussianBlur(shine, (0, 0), 0.8)
        dark, bright = rng.uniform(0.04, 0.4), rng.uniform(0.7, 1.7)
        grey *= dark + (bright - dark) * shine
        for _ in range(rng.choice([0, 0, 1, 2, 2])):
            x, y, radius = rng.uniform(0, WIDTH_PX), rng.uniform(0, HEIGHT_PX), _log_uniform(rng, 2, 16)
            if any(p.box[0] - radius < x < p.box[2] + radius and p.box[1] - radius < y < p.box[3] + radius for p in plates):
                continue
            lamp = np.zeros(grey.shape, np.float32)
            cv2.circle(lamp, (int(x), int(y)), max(1, int(radius)), rng.uniform(150, 400), -1)
            grey += cv2.GaussianBlur(lamp, (0, 0), radius * rng.uniform(0.3, 0.8))
        return np.repeat(grey[..., None], 3, axis=2)

    def _camera(self, levels, may_darken):
        """Colour, exposure, blur, noise and compression; gives uint8."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.15:
            levels[:] = levels.mean(2, keepdims=True)
        elif roll < 0.25:
            levels[:] = levels[..., 2:3]
        else:
            levels *= np.array([rng.uniform(0.85, 1.15) for _ in range(3)], np.float32)
        if rng.random() < 0.5:
            levels = (levels - 110) * rng.uniform(0.6, 1.3) + 110 + rng.uniform(-35 if may_darken else 0, 35)
        if may_darken and rng.random() < 0.10:
            levels *= rng.uniform(0.15, 0.5)
        roll = rng.random()
        if roll < 0.15:
            levels = cv2.GaussianBlur(levels, (0, 0), rng.uniform(0.4, 1.3))
        elif roll < 0.26:
            levels = motion_blur(rng, levels)
        if rng.random() < 0.4:
            levels = levels + self.noise.normal(0, rng.uniform(1, 12), levels.shape).astype(np.float32)
        picture = np.clip(levels, 0, 255).astype(np.uint8)
        if rng.random() < 0.4:
            quality = rng.choice([25, 40, 55, 75])
            picture = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        return picture


def targets(plates, ignored):
    """What the network should answer: float32 (16, 32, 48).

    Maps: heat (1 at a plate's centre), whether a cell counts, weights of the
    box and of the corners, distances to the four sides, and offsets of the
    four corners, in pixels.
    """
    stride = network.STRIDE_PX
    rows, columns = HEIGHT_PX // stride, WIDTH_PX // stride
    heat, counts = np.zeros((rows, columns), np.float32), np.ones((rows, columns), np.float32)
    box_weight, corner_weight = np.zeros_like(heat), np.zeros_like(heat)
    reach = np.zeros((12, rows, columns), np.float32)
    cell_y, cell_x = np.mgrid[0:rows, 0:columns]
    at_x, at_y = (cell_x + 0.5) * stride, (cell_y + 0.5) * stride
    for x0, y0, x1, y1 in ignored:
        # One that lies wholly outside must not count from the far end as a negative index does.
        top, bottom = max(0, int(y0 // stride)), max(0, int(y1 // stride) + 1)
        left, right = max(0, int(x0 // stride)), max(0, int(x1 // stride) + 1)
        counts[top:bottom, left:right] = 0
    for plate in plates:
        x0, y0, x1, y1 = plate.box
        column = min(columns - 1, max(0, int((x0 + x1) / 2 / stride)))
        row = min(rows - 1, max(0, int((y0 + y1) / 2 / stride)))
        spread_x, spread_y = max((x1 - x0) / stride / 6, 0.55), max((y1 - y0) / stride / 6, 0.5)
        bump = np.exp(-((cell_x - column) ** 2 / (2 * spread_x**2) + (cell_y - row) ** 2 / (2 * spread_y**2)))
        near = (bump > 0.55) & (bump > heat)
        heat = np.maximum(heat, bump)
        sides = (at_x - x0, at_y - y0, x1 - at_x, y1 - at_y)
        for index, side in enumerate(sides):
            reach[index][near] = side[near]
        box_weight[near] = bump[near]
        corner_weight[near] = 0
        if plate.corners is not None:
            for index, (x, y) in enumerate(plate.corners):
                reach[4 + 2 * index][near] = (x - at_x)[near]
                reach[5 + 2 * index][near] = (y - at_y)[near]
            corner_weight[near] = bump[near]
    return np.concatenate([heat[None], counts[None], box_weight[None], corner_weight[None], reach]).astype(np.float32)
