"""What light, lenses and cameras do to a plate: shared by detector and reader training.

Pictures are float32 or uint8, BGR or grey with a channel axis; all chance comes
from the generators that the caller gives.
"""

import math

import cv2
import numpy as np


def view_of(rng, aspect, strength=1.0):
    """Corners (4, 2) of a plate of unit width turned at random in front of a pinhole camera.

    Yaw has a spread of 27 degrees (at most 60), pitch 15, roll 3, sometimes 9;
    the camera stands 2.5 to 9 plate widths away.
    """
    yaw = max(-1.05, min(1.05, math.radians(rng.gauss(0, 27) * strength)))
    pitch = math.radians(rng.gauss(0, 15) * strength)
    roll = math.radians(rng.gauss(0, rng.choice([3, 3, 9])) * strength)
    distance = rng.uniform(2.5, 9)
    flat = np.array([[-1, -1 / aspect, 0], [1, -1 / aspect, 0], [1, 1 / aspect, 0], [-1, 1 / aspect, 0]]) / 2
    cy, sy, cp, sp, cr, sr = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
    turn = (
        np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    )
    points = flat @ turn.T
    return points[:, :2] * (distance / (distance + points[:, 2:]))


def shade_flat(rng, noise, flat):
    """Gradient, shadow, dirt and glare on a flat float picture, in place."""
    height, width = flat.shape[:2]
    if rng.random() < 0.5:
        across = np.linspace(rng.uniform(0.6, 1.1), rng.uniform(0.6, 1.1), width, dtype=np.float32)[None, :]
        down = np.linspace(rng.uniform(0.75, 1.05), rng.uniform(0.75, 1.05), height, dtype=np.float32)[:, None]
        flat *= (across * down)[..., None]
    if rng.random() < 0.22:  # a hard or soft shadow
        shadow = np.ones((height, width), np.float32)
        points = [[rng.uniform(-0.3, 1.3) * width, rng.uniform(-0.5, 1.5) * height] for _ in range(rng.choice([3, 4]))]
        cv2.fillPoly(shadow, [np.array(points, np.int32)], rng.uniform(0.25, 0.75))
        side = rng.choice([1, 5, 15])
        flat *= cv2.blur(shadow, (side, side))[..., None]
    if rng.random() < 0.22:  # dirt in patches
        dirt = noise.random((rng.randrange(3, 10), rng.randrange(6, 26))).astype(np.float32)
        dirt = cv2.resize(dirt, (width, height), interpolation=cv2.INTER_CUBIC)
        dirt = np.clip((dirt - rng.uniform(0.55, 0.85)) * 3, 0, rng.uniform(0.2, 0.8))[..., None]
        flat += (rng.uniform(30, 170) - flat) * dirt
    if rng.random() < 0.10:  # glare
        rows, columns = np.ogrid[:height, :width]
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        spot = ((columns - x) / (width * rng.uniform(0.08, 0.4))) ** 2 + ((rows - y) / (height * rng.uniform(0.2, 0.8))) ** 2
        flat += np.exp(-spot).astype(np.float32)[..., None] * rng.uniform(60, 230)


def motion_blur(rng, levels, lengths=(3, 5, 7)):
    """Straight motion blur of so many pixels, mostly sideways."""
    length, angle = rng.choice(lengths), rng.choice([0.0, 0.0, rng.uniform(0, math.pi)])
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    reach_x, reach_y = math.cos(angle) * middle, math.sin(angle) * middle
    ends = [(round(middle - reach_x), round(middle - reach_y)), (round(middle + reach_x), round(middle + reach_y))]
    cv2.line(kernel, ends[0], ends[1], 1, 1)
    return cv2.filter2D(levels, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def flare(rng, grey, size):
    """A grey float picture in which the plate burns out and light spreads over its neighbourhood, as under an infra-red lamp.

    Thin strokes lose to the shining ground around them.  Half the time a lamp
    shines into the lens too.  `size` in pixels, about two plate heights, is what
    halos are measured by.
    """
    height, width = grey.shape[:2]
    grey = grey * rng.uniform(1.2, 2.2)
    if rng.random() < 0.6:
        spread = cv2.GaussianBlur(np.clip(grey - 170, 0, 400), (0, 0), max(0.8, size * rng.uniform(0.01, 0.06)))
        grey = grey + spread * rng.uniform(0.2, 0.9)
    if rng.random() < 0.5:
        rows, columns = np.ogrid[:height, :width]
        x, y, radius = rng.uniform(-0.2, 1.2) * width, rng.uniform(-0.2, 1.2) * height, rng.uniform(0.1, 0.5) * size
        grey = grey + 255 * np.exp(-(((columns - x) ** 2 + (rows - y) ** 2) / radius**2)).astype(np.float32)
    return grey
