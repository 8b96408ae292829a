"""Vehicles and plates as flat patches that are warped into each frame.

A body is drawn as a solid once for each stretch of the road (`drive_by.py` and
`vehicles.py` do that) and then hung up as a picture in the plane of its seen
end, so that a frame costs one warp in the vehicle's own window.  A plate is
always bent by its own four corners: truth and pixels cannot drift apart.
"""

import dataclasses
import functools
import math
import random

import cv2
import numpy as np

import drive_by
import plates
import vehicles
from camera import Camera
from traffic.scenarios import FRONT, NIGHT

# A body is drawn anew when its distance has changed by this factor.
STRETCH = 1.3
# Patches kept in memory: more than a clip's fleet needs.
_KEPT = 640

# How much brighter the lamp makes bodies than `drive_by`'s, whose lamp is aimed at 11 m.
_NIGHT_GAIN = 1.6


@dataclasses.dataclass(frozen=True)
class Body:
    """A vehicle's picture, premultiplied BGRA uint8, and the plane it hangs in.

    `from_plane` maps (x, z, 1), metres from the vehicle's foot in the plane that
    lies `back_m` behind its seen end, to picture pixels.
    """

    image: np.ndarray
    from_plane: np.ndarray
    back_m: float


class _BareBody(drive_by.VehicleLayer):
    """A body without its plate, which is hung on frame by frame."""

    def _draw_plate(self, passage, time_s):
        pass


@dataclasses.dataclass
class _Pose:
    """What `VehicleLayer` asks of a passage."""

    vehicle: vehicles.Vehicle
    scene: str
    place: np.ndarray

    def origin(self, _time_s):
        return self.place


def plane_homography(camera, x_m, y_m, points):
    """(x, z) metres around the foot (`x_m`, `y_m`) in the upright plane across the road to pixels, by four `points` (4, 2)."""
    points = np.asarray(points, float)
    world = np.column_stack([points[:, 0] + x_m, np.full(4, y_m), points[:, 1]])
    pixels, depth = camera.project(world)
    if depth.min() < 0.3:
        return None
    return cv2.getPerspectiveTransform(points.astype(np.float32), pixels.astype(np.float32))


class Bodies:
    """The bodies of one clip, drawn when first needed."""

    def __init__(self, scenario, camera, seed):
        self._scenario, self._camera, self._seed = scenario, camera, seed
        self._picture = functools.lru_cache(_KEPT)(self._draw)
        self._solid = functools.cache(self._build)

    def solid(self, body, end):
        """The `vehicles.Vehicle` of a passage's body, seen from this end."""
        return self._solid(body, end)

    def _build(self, body, end):
        kind, paint, variant = body
        return vehicles.build(kind, paint, end == FRONT, random.Random(f"{self._seed}/{kind}/{end}/{variant}"))

    def patch(self, body, end, lane, y_m):
        """The `Body` to show when its seen end is at `y_m`."""
        return self._picture(body, end, lane, math.floor(math.log(max(y_m, 1.0)) / math.log(STRETCH)))

    def _draw(self, body, end, lane, stretch):
        solid, camera = self.solid(body, end), self._camera
        near, far = STRETCH**stretch, STRETCH ** (stretch + 1)
        middle = math.sqrt(near * far)
        x = self._scenario.lanes[lane].x_m
        # Past the camera's near point only roofs and tails are left to see: hang those up where they are.
        back = 0.0 if far > self._scenario.near_m * 0.9 else solid.length * 0.6
        place = np.array([x, middle, 0.0])
        box = place + np.array(
            [
                [sx * (solid.width / 2 + 0.25), y, z]
                for sx in (-1, 1)
                for y in (0.0, solid.length)
                for z in (0.0, solid.height + 0.05)
            ]
        )
        aim = place + [0, solid.length * 0.3, solid.height / 2] - camera.position
        pan, tilt = math.atan2(aim[0], aim[1]), math.atan2(-aim[2], math.hypot(aim[0], aim[1]))
        # As large as it is ever shown, but what is nearer than the near point need not be sharp.
        focal = camera.focal_px * middle / max(near, self._scenario.near_m * 0.8)
        eye = Camera(2, 2, camera.position[2], focal, math.degrees(pan), math.degrees(tilt))
        pixels, depth = eye.project(box)
        if depth.min() < drive_by.NEAREST_FACE_M:
            return None
        half = np.ceil(np.abs(pixels - 1).max(axis=0)).astype(int) + 8
        eye = Camera(2 * int(half[0]), 2 * int(half[1]), camera.position[2], focal, math.degrees(pan), math.degrees(tilt))
        layer = _BareBody(eye, _Pose(solid, self._scenario.light, place), 0.0)
        if not layer.visible:
            return None
        colour = layer.colour
        if self._scenario.light == NIGHT:
            colour = np.minimum(colour * _NIGHT_GAIN, 255 * layer.alpha)
        elif self._scenario.rain:
            colour = colour * 0.75
        image = np.round(np.dstack([colour, layer.alpha * 255])).clip(0, 255).astype(np.uint8)
        square = [(-1, 0), (1, 0), (1, 1.5), (-1, 1.5)]
        from_plane = plane_homography(eye, x, middle + back, square)
        if from_plane is None:
            return None
        shift = np.array([[1, 0, -layer.left], [0, 1, -layer.top], [0, 0, 1]])
        return Body(image, shift @ from_plane, back)


class PlatePatch:
    """One vehicle's flat plate in several sizes, as it looks in the clip's light."""

    def __init__(self, passage, light):
        plate = plates.render(passage.mark, passage.style)
        self.size_m = tuple(side / 1000 for side in plate.size_mm)
        lit = self._lit(plate.image.astype(np.float32), passage.look, light)
        # Opaque, so that the edge of the bent plate comes out with its coverage.
        self._levels = [cv2.cvtColor(lit, cv2.COLOR_BGR2BGRA)]
        while self._levels[-1].shape[1] > 60:
            self._levels.append(cv2.resize(self._levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))

    @staticmethod
    def _lit(image, look, light):
        fall_off = np.linspace(1.03, 0.94, image.shape[0], dtype=np.float32)[:, None, None]
        if light == NIGHT:
            # White and yellow shine alike in the infra-red; the sheeting sends the light back to the lens.
            ink = np.clip(image[..., 2:] / 232.0 - 0.10, 0, 1) / 0.9
            lit = np.repeat((20 + (170 + 75 * look) * ink) * fall_off, 3, axis=2)
        else:
            lit = image * fall_off * (0.74 + 0.22 * look) + 6
            # Road film: what is dirty is greyer.
            lit += (105 - lit) * 0.22 * (1 - look)
        return np.clip(lit, 0, 255).astype(np.uint8)

    def corners(self, solid, x_m, y_m):
        """World corners (4, 3), clockwise from the top left as seen."""
        half_width, half_height = (side / 2 for side in self.size_m)
        lean = math.radians(solid.plate_lean_deg)
        up = np.array([0.0, math.sin(lean), math.cos(lean)]) * half_height
        right = np.array([half_width, 0.0, 0.0])
        centre = np.array([x_m, y_m, 0.0]) + solid.plate_centre
        return np.array([centre - right + up, centre + right + up, centre + right - up, centre - right - up])

    def paste(self, layer, quad, origin):
        """Bend the plate to `quad` (4, 2) px into a premultiplied BGRA `layer` whose pixel (0, 0) is the frame's `origin`."""
        quad = quad - origin
        size = np.array(layer.shape[1::-1])
        low = np.clip(np.floor(quad.min(axis=0)).astype(int) - 1, 0, size)
        high = np.clip(np.ceil(quad.max(axis=0)).astype(int) + 1, 0, size)
        if (high - low).min() < 1:
            return
        width = np.linalg.norm(quad[1] - quad[0])
        # Drawn twice as large and averaged; the level is at least as fine as that.
        image = next((level for level in reversed(self._levels) if level.shape[1] >= 2 * width), self._levels[0])
        high_px, wide_px = image.shape[:2]
        source = np.array([[0, 0], [wide_px, 0], [wide_px, high_px], [0, high_px]], np.float32) - 0.5
        warp = cv2.getPerspectiveTransform(source, ((quad - low) * 2 - 0.5).astype(np.float32))
        window = tuple(int(side) * 2 for side in high - low)
        drawn = cv2.warpPerspective(image, warp, window, flags=cv2.INTER_LINEAR)
        drawn = cv2.resize(drawn, (window[0] // 2, window[1] // 2), interpolation=cv2.INTER_AREA)
        over(layer[low[1] : high[1], low[0] : high[0]], drawn)


def over(area, patch):
    """Lay a premultiplied BGRA `patch` over a BGR or BGRA `area`, in place."""
    channels = area.shape[2]
    clear = cv2.bitwise_not(cv2.extractChannel(patch, 3))
    colour = patch if channels == 4 else cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR)
    kept = cv2.multiply(area, cv2.merge([clear] * channels), scale=1 / 255)
    cv2.add(kept, colour, dst=kept)
    area[:] = kept


def smear_kernel(shift_px):
    """The kernel that smears along `shift_px` (x, y), or None where that is too little to see."""
    length = float(np.linalg.norm(shift_px))
    if length < 0.5:
        return None
    reach = math.ceil(max(abs(value) for value in shift_px) / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    steps = 8 * reach
    for step in range(steps):
        x, y = np.asarray(shift_px) * ((step + 0.5) / steps - 0.5) + reach
        column, row = int(x), int(y)
        fx, fy = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - fy, fy], [1 - fx, fx])
    return kernel / kernel.sum()
