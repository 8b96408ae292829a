"""What stands between lens and plate: rain, spray, drops on the glass, flare, sensor noise.

Everything works on uint8 BGR frames in place and takes its chance from a seed,
so that a frame looks the same whichever frames were drawn before it.
"""

import functools
import math

import cv2
import numpy as np

from traffic.scenarios import NIGHT

SPRAY_BGR = (172, 172, 170)


@functools.lru_cache(64)
def _glow(sigma_px):
    """A round spot, 0 to 1, cut at three sigmas."""
    reach = math.ceil(3 * sigma_px)
    line = np.exp(-((np.arange(-reach, reach + 1) / sigma_px) ** 2) / 2)
    return np.outer(line, line).astype(np.float32)


def add_glow(frame, centre, sigma_px, level):
    """Light of `level` (BGR, 0..255 and beyond) spread around `centre` (x, y) px."""
    spot = _glow(max(1, round(sigma_px)))
    reach = spot.shape[0] // 2
    x0, y0 = round(float(centre[0])) - reach, round(float(centre[1])) - reach
    height, width = frame.shape[:2]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + 2 * reach + 1, width), min(y0 + 2 * reach + 1, height)
    if right <= left or bottom <= top:
        return
    part = spot[top - y0 : bottom - y0, left - x0 : right - x0]
    light = np.clip(part[..., None] * np.asarray(level, np.float32), 0, 255).astype(np.uint8)
    area = frame[top:bottom, left:right]
    area[:] = cv2.add(area, light)


class Spray:
    """The cloud behind a vehicle on a wet road, thicker in gusts that can veil its plate."""

    def __init__(self, seed):
        generator = np.random.default_rng([seed, 5])
        self._clouds = []
        for _ in range(8):
            cloud = cv2.GaussianBlur(generator.standard_normal((64, 96)).astype(np.float32), (0, 0), 5)
            cloud = np.clip(0.6 + 0.5 * cloud / cloud.std(), 0, 1)
            rows, columns = np.mgrid[-1:1:64j, -1:1:96j]
            self._clouds.append((cloud * np.clip(1.15 - columns**2 - rows**2 * 0.9, 0, 1)).astype(np.float32))

    @staticmethod
    def thickness(number, time_s):
        """How much of the light the spray of vehicle `number` swallows, 0 to 1: thin as a rule, at times nearly all."""
        waves = sum(math.sin(time_s * rate + number * turn) for rate, turn in ((3.1, 1.7), (7.3, 2.9), (12.7, 4.1)))
        return 0.10 + 0.75 * max(0.0, min(1.0, (waves - 1.0) / 1.2))

    def veil(self, frame, low, high, number, time_s):
        """Spray between the corners `low` and `high` (x, y) px."""
        size = np.array(frame.shape[1::-1])
        left, top = np.clip(np.floor(low).astype(int), 0, size)
        right, bottom = np.clip(np.ceil(high).astype(int), 0, size)
        if right - left < 2 or bottom - top < 2:
            return
        cloud = self._clouds[(number + int(time_s * 15)) % len(self._clouds)]
        wide, tall = high - low
        scale = np.array([[wide / 96, 0, low[0] - left], [0, tall / 64, low[1] - top]], np.float32)
        cover = cv2.warpAffine(cloud, scale, (int(right - left), int(bottom - top))) * self.thickness(number, time_s)
        cover = np.round(cover * 255).astype(np.uint8)
        area = frame[top:bottom, left:right]
        kept = cv2.multiply(area, cv2.merge([255 - cover] * 3), scale=1 / 255)
        spray = cv2.merge([cv2.multiply(cover, float(tone), scale=1 / 255) for tone in SPRAY_BGR])
        area[:] = cv2.add(kept, spray)


class Rain:
    """Falling streaks and drops on the lens."""

    DROPS = 22
    # Each lot of drops stays for so long.
    WIPE_S = 6.0

    def __init__(self, size, seed):
        self._size, self._seed = size, seed
        generator = np.random.default_rng([seed, 6])
        width, height = size
        self._layers = []
        for _ in range(7):
            layer = np.zeros((height, width), np.uint8)
            for _ in range(width // 5):
                x, y = generator.uniform(0, width), generator.uniform(0, height)
                length, near = generator.uniform(8, 70), generator.random()
                end = (round(x + length * 0.12), round(y + length))
                cv2.line(layer, (round(x), round(y)), end, int(12 + 38 * near), 1 + (near > 0.85), cv2.LINE_AA)
            self._layers.append(cv2.merge([cv2.GaussianBlur(layer, (0, 0), 0.9)] * 3))
        self._lot, self._drops = None, []

    def _new_drops(self, lot):
        """(window, blur px, how much of it is seen, how bright) of each drop."""
        generator = np.random.default_rng([self._seed, 7, lot])
        width, height = self._size
        drops = []
        for _ in range(self.DROPS):
            radius, aspect = generator.uniform(0.006, 0.022) * width, generator.uniform(0.8, 1.3)
            reach_x, reach_y = round(radius * 1.4), round(radius * aspect * 1.4)
            x = round(generator.uniform(reach_x, width - reach_x))
            y = round(generator.uniform(reach_y, height - reach_y))
            window = slice(y - reach_y, y + reach_y), slice(x - reach_x, x + reach_x)
            rows, columns = np.mgrid[-1.4 : 1.4 : 2j * reach_y, -1.4 : 1.4 : 2j * reach_x].astype(np.float32)[..., None]
            cover = np.clip(2.2 - 2.0 * np.hypot(rows, columns), 0, 0.85)
            drops.append((window, max(1.0, radius * 0.25), cover, 1 + 0.12 * rows))
        return drops

    def fall(self, frame, index, time_s):
        """Rain over frame number `index`."""
        layer = self._layers[index % len(self._layers)]
        shift = (index * 7919) % frame.shape[1]
        cv2.add(frame, np.roll(layer, shift, axis=1), dst=frame)
        lot = int(time_s / self.WIPE_S)
        if lot != self._lot:
            self._lot, self._drops = lot, self._new_drops(lot)
        for place, (window, blur_px, cover, bright) in enumerate(self._drops):
            # They land one after the other.
            if time_s - lot * self.WIPE_S > self.WIPE_S * place / self.DROPS / 2:
                area = frame[window]
                # A drop shows the scene upside down, out of focus, brighter below.
                lens = cv2.GaussianBlur(np.ascontiguousarray(area[::-1, ::-1]), (0, 0), blur_px)
                area[:] = np.clip(area + (lens * bright - area) * cover, 0, 255).astype(np.uint8)


class Sensor:
    """Lens softness and grain; a field of grain is cut at another place for each frame."""

    MARGIN_PX = 64

    def __init__(self, scenario, size, seed):
        generator = np.random.default_rng([seed, 8])
        shape = (size[1] + self.MARGIN_PX, size[0] + self.MARGIN_PX, 1 if scenario.light == NIGHT else 3)
        grain = generator.standard_normal(shape, dtype=np.float32) * scenario.grain
        self._softness_px = scenario.softness_px
        # An infra-red picture has one channel.
        self._grain = np.ascontiguousarray(np.broadcast_to(np.round(grain), (*shape[:2], 3)).astype(np.int16))
        self._places = generator.integers(0, self.MARGIN_PX, (977, 2))
        self._size = size

    def expose(self, frame, index):
        """Frame number `index` as the sensor delivers it."""
        x, y = self._places[index % len(self._places)]
        grain = self._grain[y : y + self._size[1], x : x + self._size[0]]
        return cv2.add(cv2.GaussianBlur(frame, (0, 0), self._softness_px), grain, dtype=cv2.CV_8U)
