"""The empty road behind the traffic, drawn once a clip.

Each pixel's ray is cut with the ground; above the horizon stand a line of trees
and the sky.  A camera that drives sees the ground slip by: everything on it
repeats every `PERIOD_M`, and the period is drawn in `PHASES` steps.
"""

import cv2
import numpy as np

from traffic.scenarios import NIGHT

# Lane lines of fast roads: 2 m marks, 7 m gaps.
PERIOD_M = 9.0
PHASES = 18
# Pixels around the picture, for a camera that shakes.
MARGIN_PX = 8

_HARD_SHOULDER_M = 1.2


class _Grain:
    """Noise with unit spread that repeats every `PERIOD_M` in both directions."""

    def __init__(self, generator, cells, blur):
        tile = generator.standard_normal((cells, cells)).astype(np.float32)
        if blur:
            tile = cv2.GaussianBlur(np.pad(tile, 32, mode="wrap"), (0, 0), blur)[32:-32, 32:-32]
        self._tile, self._cells = tile / tile.std(), cells

    def at(self, u, v):
        """Looked up at places in metres."""
        scale = self._cells / PERIOD_M
        return cv2.remap(
            self._tile,
            (np.mod(u, PERIOD_M) * scale).astype(np.float32),
            (np.mod(v, PERIOD_M) * scale).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )


def _step(value, width):
    """0 below zero, 1 above, over an edge `width` wide."""
    return np.clip(value / np.maximum(width, 1e-6) + 0.5, 0, 1)


def lamp_strength(depth_m, near_m):
    """The infra-red lamp's light at a distance, 1 at `near_m`: its beam is aimed far, so it falls off slowly."""
    return (near_m / np.maximum(depth_m, near_m * 0.6)) ** 1.1


class Road:
    """The empty road as uint8 BGR, for any distance driven."""

    def __init__(self, scenario, camera, seed):
        self._scenario = scenario
        generator = np.random.default_rng([seed, 17])
        self._fine, self._mid, self._broad = (_Grain(generator, 512, blur) for blur in (0, 2, 9))
        trees = cv2.GaussianBlur(generator.standard_normal((1, 4096)).astype(np.float32), (0, 0), 7)[0]
        self._trees = trees / trees.std()
        self._size = camera.width_px, camera.height_px
        width, height = (side + 2 * MARGIN_PX for side in self._size)
        x = (np.arange(width) + 0.5 - width / 2) / camera.focal_px
        y = (np.arange(height) + 0.5 - height / 2) / camera.focal_px
        rays = (np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1) @ camera.axes).astype(np.float32)
        self._down = rays[..., 2]
        with np.errstate(divide="ignore"):
            reach = np.where(self._down < -1e-6, np.float32(-camera.position[2]) / self._down, np.float32(1e4))
        self._depth = np.minimum(reach, np.float32(3000.0))
        self._x, self._y = rays[..., 0] * self._depth, rays[..., 1] * self._depth
        self._azimuth = np.arctan2(rays[..., 0], rays[..., 1])
        # How much of the ground a pixel covers, across and along the road.
        self._across = self._depth / np.float32(camera.focal_px)
        self._along = self._across * np.clip(self._depth / np.float32(camera.position[2]), 1, 400)
        self._phases = {}

    def picture(self, driven_m=0.0, shift_px=(0, 0)):
        """The road after the camera has driven so far; `shift_px` (x, y) moves the picture by whole pixels."""
        phase = int(driven_m / PERIOD_M * PHASES) % PHASES
        if phase not in self._phases:
            self._phases[phase] = self._draw(phase * PERIOD_M / PHASES)
        width, height = self._size
        left, top = MARGIN_PX - shift_px[0], MARGIN_PX - shift_px[1]
        return self._phases[phase][top : top + height, left : left + width].copy()

    def _draw(self, driven_m):
        colour = self._ground(driven_m)
        sky = self._down > -1e-3
        crown = 0.013 + 0.003 * np.interp(self._azimuth * 2500, np.arange(-2048, 2048), self._trees)
        leaves = 0.16 + 0.03 * self._fine.at(self._azimuth * 40, self._down * 40)
        above = np.where(
            (self._down < crown)[..., None], leaves[..., None] * np.array([0.8, 1.1, 0.95]), np.array([0.93, 0.88, 0.84])
        )
        lights = {NIGHT: self._by_lamp}.get(self._scenario.light, self._by_day)
        return np.clip(lights(colour, above, sky) * 255, 0, 255).astype(np.uint8)

    def _by_day(self, colour, above, sky):
        far = 160.0 if self._scenario.rain else 700.0
        haze = (1 - np.exp(-self._depth / far))[..., None]
        lit = np.where(sky[..., None], above, colour * 1.15)
        if self._scenario.rain:
            lit = lit * 0.72
            haze = np.maximum(haze, 0.10)
        return lit + (np.array([0.72, 0.70, 0.68]) - lit) * np.where(sky[..., None], 0.25, haze)

    def _by_lamp(self, colour, above, sky):
        grey = colour @ np.array([0.114, 0.587, 0.299], np.float32)
        level = 0.03 + 0.75 * grey * lamp_strength(self._depth, self._scenario.near_m)
        return np.repeat(np.where(sky, 0.03, level)[..., None], 3, axis=2)

    def _ground(self, driven_m):
        x, y = self._x, self._y + driven_m
        sharp = np.clip(0.05 / np.maximum(self._along, 1e-3), 0, 1)
        asphalt = 0.25 + 0.020 * self._fine.at(x * 2, y * 2) * sharp + 0.012 * self._mid.at(x, y) * sharp + 0.010 * self._broad.at(x, y)
        for lane in self._scenario.lanes:
            for wheel in (-0.75, 0.75):
                asphalt += 0.018 * np.exp(-(((x - lane.x_m - wheel) / 0.3) ** 2))
        left, right = self._scenario.road_m
        if self._scenario.rain:
            # A wet road mirrors the sky where one looks along it.
            asphalt = asphalt * 0.6 + 0.30 * np.exp(-self._scenario.camera_height_m / np.maximum(self._depth, 1) * 9)
        paint = np.zeros_like(asphalt)
        middles = sorted(lane.x_m for lane in self._scenario.lanes)
        if self._scenario.own_speed_mph:
            middles = sorted([*middles, 0.0])
        dash = _step(1.0 - np.abs(np.mod(y, PERIOD_M) - PERIOD_M / 2), self._along)
        for line in ((a + b) / 2 for a, b in zip(middles, middles[1:])):
            paint = np.maximum(paint, _step(0.06 - np.abs(x - line), self._across) * dash)
        for edge in (left, right):
            paint = np.maximum(paint, _step(0.08 - np.abs(x - edge), self._across))
        worn = np.clip(0.85 + 0.08 * self._mid.at(x, y), 0.6, 1)
        asphalt = asphalt + (0.72 - asphalt) * paint * worn
        colour = asphalt[..., None] * np.array([1.02, 1.0, 0.985], np.float32)
        verge = np.maximum(_step(left - _HARD_SHOULDER_M - x, self._across), _step(x - right - _HARD_SHOULDER_M, self._across))
        blades = 1 + 0.16 * self._fine.at(x * 1.5, y * 1.5) * sharp + 0.12 * self._broad.at(x, y)
        grass = np.array([0.13, 0.34, 0.26], np.float32) * blades[..., None]
        return colour + (grass - colour) * verge[..., None]
