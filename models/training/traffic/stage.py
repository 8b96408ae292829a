"""One frame of a scenario: the road, the vehicles on it from far to near, the weather, and where each plate is."""

import collections
import dataclasses
import math

import cv2
import numpy as np

from traffic import patches, road, weather
from traffic.plan import LEAST_Y_M, traffic
from traffic.scenarios import FRONT, MPS_PER_MPH, NIGHT, camera_for

# Vehicles appear where a plate is so narrow, or so far.
FIRST_PLATE_PX = 9.0
FARTHEST_M = 220.0

# Alpha of a body from which what is behind it counts as hidden.
_HIDING = 76


@dataclasses.dataclass
class Sighting:
    """One plate in one frame: corners (4, 2) px at mid-exposure, and what a person could say of them."""

    passage: object
    corners: np.ndarray
    whole: bool
    hidden: bool
    stopped: bool

    @property
    def width_px(self):
        """Between the middles of the short sides."""
        quad = self.corners
        return float(np.linalg.norm((quad[1] + quad[2] - quad[0] - quad[3]) / 2))

    @property
    def char_height_px(self):
        """Height of a 79 mm character in the middle of the 111 mm plate."""
        quad = self.corners
        return float(np.linalg.norm((quad[2] + quad[3] - quad[0] - quad[1]) / 2)) * 79 / 111


class _Layer:
    """A vehicle in its own window of the frame, premultiplied BGRA."""

    def __init__(self, low, high):
        self.origin = low
        self.image = np.zeros((int(high[1] - low[1]), int(high[0] - low[0]), 4), np.uint8)

    def covers(self, pixel):
        """Whether it hides this place of the frame."""
        x, y = math.floor(pixel[0]) - self.origin[0], math.floor(pixel[1]) - self.origin[1]
        return 0 <= y < self.image.shape[0] and 0 <= x < self.image.shape[1] and self.image[y, x, 3] > _HIDING


class Stage:
    """Frames of one clip: `count` vehicles from `seed`, in pictures of `size` (width, height) pixels."""

    def __init__(self, scenario, count, seed, size=(1280, 720)):
        self.scenario, self.size = scenario, size
        self._exposure_s = scenario.exposure_ms / 1000
        self.camera = camera_for(scenario, size)
        self._road = road.Road(scenario, self.camera, seed)
        self._bodies = patches.Bodies(scenario, self.camera, seed)
        self._sensor = weather.Sensor(scenario, size, seed)
        self._rain = weather.Rain(size, seed) if scenario.rain else None
        self._spray = weather.Spray(seed)
        self._far_m = min(FARTHEST_M, self.camera.focal_px * 0.52 / FIRST_PLATE_PX, self._top_m())
        self.passages = traffic(scenario, count, seed, self._far_m)
        spans = [passage.way.between(LEAST_Y_M, self._far_m) for passage in self.passages]
        self.frame_count = math.ceil((max(end for _, end in spans) + 0.3) * self.scenario.fps)
        order = sorted(range(len(spans)), key=lambda i: spans[i][0])
        self._coming = collections.deque((spans[i], self.passages[i]) for i in order)
        self._here = []

    def _top_m(self):
        """How far the road is in view at the middle of the frame's upper edge, with room for a lorry."""
        ray = np.array([0, -self.size[1] / 2 / self.camera.focal_px, 1.0]) @ self.camera.axes
        rest = self.camera.position[2] - 0.3
        return ray[1] * rest / -ray[2] + 12 if ray[2] < -1e-3 else FARTHEST_M

    def frames(self, every=1):
        """Yields each frame (uint8 BGR), or only one in `every`, with its `Sighting`s, far ones first."""
        for index in range(0, self.frame_count, every):
            yield self._frame(index)

    def _present(self, time_s):
        while self._coming and self._coming[0][0][0] <= time_s:
            (_, end), passage = self._coming.popleft()
            if end > time_s:
                self._here.append((end, passage, patches.PlatePatch(passage, self.scenario.light)))
        # Who has left takes the plate's pictures along.
        self._here = [item for item in self._here if item[0] > time_s]
        return sorted(((p.way.y_m(time_s), p, plate) for _, p, plate in self._here), key=lambda item: -item[0])

    def _shake(self, time_s):
        reach = self.scenario.shake_px
        if not reach:
            return 0, 0
        turns = [math.sin(time_s * rate) for rate in (9.7, 23.0, 14.1, 31.0)]
        return round(reach * (0.6 * turns[0] + 0.4 * turns[1])), round(reach * (0.7 * turns[2] + 0.5 * turns[3]))

    def _frame(self, index):
        time_s = index / self.scenario.fps
        shift = self._shake(time_s)
        frame = self._road.picture(self.scenario.own_speed_mph * MPS_PER_MPH * time_s, shift)
        sightings = []
        for y, passage, plate in self._present(time_s):
            if not LEAST_Y_M < y < self._far_m:
                continue
            layer, sighting = self._vehicle(frame, passage, plate, y, time_s, shift)
            if layer is not None:
                for other in sightings:
                    other.hidden = other.hidden or any(map(layer.covers, other.corners))
            if sighting is not None:
                sightings.append(sighting)
        if self._rain:
            self._rain.fall(frame, index, time_s)
        return self._sensor.expose(frame, index), sightings

    def _vehicle(self, frame, passage, plate, y, time_s, shift):
        """Draws one vehicle; gives its layer (or None) and its plate's sighting (or None)."""
        solid = self._bodies.solid(passage.body, passage.end)
        corners = plate.corners(solid, passage.x_m, y)
        quad, depth = self.camera.project(corners)
        in_front = depth.min() > 1.0
        quad = quad + shift
        half = self._exposure_s / 2
        moved = passage.way.y_m(time_s + half) - passage.way.y_m(time_s - half)
        kernel = None
        if in_front:
            later, _ = self.camera.project(corners + [0, moved, 0])
            kernel = patches.smear_kernel((later + shift - quad).mean(axis=0))
        layer = self._layer(passage, plate, solid, quad, y, shift, kernel)
        if layer is None:
            return None, None
        if self.scenario.light != NIGHT:
            self._shadow(frame, passage, solid, y, shift)
        height, width = layer.image.shape[:2]
        left, top = layer.origin
        patches.over(frame[top : top + height, left : left + width], layer.image)
        if self.scenario.light == NIGHT or self.scenario.rain:
            self._lamps(frame, passage, solid, y, shift)
        if self.scenario.light == NIGHT and in_front:
            # Halation: a shining plate lights up the glass around it.
            light = np.full(3, 26.0 * (0.6 + 0.8 * passage.look))
            weather.add_glow(frame, quad.mean(axis=0), np.linalg.norm(quad[1] - quad[0]) * 0.30, light)
        if self.scenario.rain and in_front:
            middle, half = quad.mean(axis=0), np.linalg.norm(quad[1] - quad[0]) * np.array([1.3, 0.8])
            self._spray.veil(frame, middle - half, middle + half, passage.number, time_s)
        if not in_front or (quad.max(axis=0) <= 0).any() or (quad.min(axis=0) >= self.size).any():
            return layer, None
        whole = bool((quad >= 0).all() and (quad <= self.size).all())
        speed = (passage.way.y_m(time_s + 0.05) - passage.way.y_m(time_s - 0.05)) / 0.1
        return layer, Sighting(passage, quad, whole, False, abs(speed) < 0.1)

    def _layer(self, passage, plate, solid, quad, y, shift, kernel):
        body = self._bodies.patch(passage.body, passage.end, passage.lane, y)
        if body is None:
            return None
        half, tall = solid.width / 2 + 0.25, solid.height
        square = [(-half, 0.0), (half, 0.0), (half, tall), (-half, tall)]
        frame_from_plane = patches.plane_homography(self.camera, passage.x_m, y + body.back_m, square)
        if frame_from_plane is None:
            return None
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1.0]])
        frame_from_patch = move @ frame_from_plane @ np.linalg.inv(body.from_plane)
        high_px, wide_px = body.image.shape[:2]
        outline = np.array([[[0, 0], [wide_px, 0], [wide_px, high_px], [0, high_px]]], np.float32)
        # Where the picture's far corner would lie behind the lens the plane is of no use any more.
        if ((np.dstack([outline, np.ones((1, 4, 1))])[0] @ frame_from_patch.T)[:, 2] * np.sign(frame_from_patch[2, 2]) <= 1e-6).any():
            return None
        around = cv2.perspectiveTransform(outline, frame_from_patch)[0]
        margin = 2 + (kernel.shape[0] // 2 if kernel is not None else 0)
        size = np.array(self.size)
        # A margin outside the frame too, so that what is smeared in from there is there.
        low = np.clip(np.floor(around.min(axis=0)).astype(int) - margin, -margin, size + margin)
        high = np.clip(np.ceil(around.max(axis=0)).astype(int) + margin, -margin, size + margin)
        if (high - low).min() <= 2 * margin or (high <= 0).any() or (low >= size).any():
            return None
        layer = _Layer(low, high)
        centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        to_window = np.array([[1, 0, -low[0] - 0.5], [0, 1, -low[1] - 0.5], [0, 0, 1.0]]) @ frame_from_patch @ centre
        layer.image = cv2.warpPerspective(body.image, to_window, tuple(int(side) for side in high - low), flags=cv2.INTER_LINEAR)
        plate.paste(layer.image, quad, low)
        if kernel is not None:
            layer.image = cv2.filter2D(layer.image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        cut_low, cut_high = np.maximum(low, 0), np.minimum(high, size)
        (left, top), (right, bottom) = cut_low - low, cut_high - low
        layer.image = np.ascontiguousarray(layer.image[top:bottom, left:right])
        layer.origin = cut_low
        return layer if layer.image.size else None

    def _shadow(self, frame, passage, solid, y, shift):
        """Soft darkness on the road under and beside a vehicle."""
        half = solid.width / 2 + 0.35
        foot = [(-half, -0.35), (half + 0.7, -0.35), (half + 0.7, solid.length + 0.2), (-half, solid.length + 0.2)]
        world = np.array([[passage.x_m + x, y + along, 0.0] for x, along in foot])
        pixels, depth = self.camera.project(world)
        if depth.min() < 1.0:
            return
        pixels = pixels + shift
        size = np.array(self.size)
        low = np.clip(np.floor(pixels.min(axis=0)).astype(int), 0, size)
        high = np.clip(np.ceil(pixels.max(axis=0)).astype(int), 0, size)
        if (high - low).min() < 2:
            return
        mask = _shadow_mask(0.25 if self.scenario.rain else 0.55)
        source = np.array([[0, 0], [64, 0], [64, 64], [0, 64]], np.float32)
        warp = cv2.getPerspectiveTransform(source, (pixels - low).astype(np.float32))
        dark = cv2.warpPerspective(mask, warp, tuple(int(side) for side in high - low))
        area = frame[low[1] : high[1], low[0] : high[0]]
        area[:] = cv2.multiply(area, cv2.merge([255 - dark] * 3), scale=1 / 255)

    def _lamps(self, frame, passage, solid, y, shift):
        """Glow of the lamps: a camera that sees by infra-red sees only a little of a headlamp."""
        night = self.scenario.light == NIGHT
        for lamp in solid.lamps:
            pixel, depth = self.camera.project(np.array([passage.x_m, y, 0.0]) + lamp.position)
            if depth < 3:
                continue
            colour = np.full(3, 255.0) if night else np.array(lamp.colour) * 255
            strength = lamp.power if night or passage.end == FRONT else lamp.power * 1.5
            for radius_m, gain in ((0.05, 1.0), (0.22, 0.30 if night else 0.15)):
                sigma = max(1.2, radius_m * self.camera.focal_px / depth)
                weather.add_glow(frame, pixel + shift, sigma, colour * strength * gain)


def _shadow_mask(strength):
    """A soft-edged square, 0..255."""
    mask = np.zeros((64, 64), np.float32)
    mask[9:-9, 9:-9] = 255 * strength
    return cv2.GaussianBlur(mask, (0, 0), 3.5).astype(np.uint8)
