"""Drawn streets with vehicles, by day and by infra-red: pictures whose every corner is known.

The street, its vehicles and its light are those of the demo clip
(`drive_by.py`), but the camera stands elsewhere each time and every still has
its own traffic.  Training cuts them up like photographs; here each plate has
true corners, also the far ones, and plates that another vehicle half hides are
known, so that they count neither way.
"""

import dataclasses
import json
import math
import random

import cv2
import numpy as np

import drive_by
import scenery
from camera import Camera

from .photographs import Photograph

SOURCE = "drawn-streets"
SIZE_PX = (1024, 576)
STILLS_A_STREET = 8
LEAST_WIDTH_PX = 12.0


@dataclasses.dataclass(frozen=True)
class Still:
    """One picture: file, and corners (4, 2) of plates wholly in view, and boxes of those that are not."""

    file: str
    corners: list
    hidden: list


def _camera(rng, street):
    """A camera 2 to 7 m up, aimed at the road 9 to 28 m away."""
    height = rng.uniform(2.0, 7.0)
    x = rng.uniform(street.near_lane_x - 1, street.far_lane_x + 1) if rng.random() < 0.5 else street.near_lane_x
    y = rng.uniform(9, 28)
    pan, tilt = math.atan2(x, y), math.atan2(height - 0.7, math.hypot(x, y))
    focal = SIZE_PX[0] * rng.uniform(0.9, 2.6)
    return Camera(*SIZE_PX, height, focal, math.degrees(pan), math.degrees(tilt))


def draw_street(seed):
    """The stills of one street: (BGR uint8 picture, corners, hidden boxes, `drive_by.DAY` or `NIGHT`)."""
    rng = random.Random(seed)
    street = scenery.Street()
    camera = _camera(rng, street)
    world = scenery.build(camera, street, seed)
    backgrounds = {drive_by.DAY: scenery.light_day(world), drive_by.NIGHT: scenery.light_night(world, drive_by.ir_strength)}
    sensor = drive_by.Sensor(camera, seed)
    seconds = 16.0
    passages = drive_by.plan_traffic(rng, street, seconds, rng.choice([10, 12, 14]), [])
    for index in range(STILLS_A_STREET):
        scene = drive_by.DAY if index < STILLS_A_STREET / 2 else drive_by.NIGHT
        half = 0 if scene == drive_by.DAY else seconds / 2
        passing = [passage for passage in passages if passage.scene == scene]
        frame, seen = drive_by.draw_frame(camera, backgrounds[scene], passing, half + rng.uniform(0.3, seconds / 2 - 0.5), rng.uniform(0.5, 4))
        corners, hidden = [], []
        for _, quad, whole in seen:
            box = _box(quad)
            if box[2] < 0 or box[3] < 0 or box[0] > SIZE_PX[0] or box[1] > SIZE_PX[1]:
                continue
            if whole and drive_by.plate_width_px(quad) >= LEAST_WIDTH_PX:
                corners.append(quad.tolist())
            else:
                hidden.append(box)
        yield sensor.expose(frame, scene == drive_by.NIGHT), corners, hidden, scene


def stills_of(seeds):
    """The stills of several streets."""
    for seed in seeds:
        yield from draw_street(seed)


def prepare(work, streets, first_seed, progress=lambda rows: rows):
    """Draws so many streets under `work/streets` and gives their stills; what is drawn already is kept."""
    folder = work / "streets"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in progress(range(first_seed, first_seed + streets)):
        index = folder / f"{seed}.json"
        if not index.exists():
            stills = []
            for number, (picture, corners, hidden, _) in enumerate(draw_street(seed)):
                file = folder / f"{seed}_{number}.png"
                cv2.imwrite(str(file), picture)
                stills.append(Still(str(file), corners, hidden))
            part = index.with_suffix(".part")
            part.write_text(json.dumps([dataclasses.asdict(still) for still in stills]))
            part.rename(index)
        found += [Still(**fields) for fields in json.loads(index.read_text())]
    return found


def as_photographs(stills):
    """Stills as the trainer takes them."""
    return [
        Photograph(still.file, still.file, SOURCE, "train", *SIZE_PX, [_box(quad) for quad in still.corners], 1.0,
                   still.hidden, still.corners)
        for still in stills
    ]  # fmt: skip


def _box(quad):
    return [float(value) for value in (*np.min(quad, axis=0), *np.max(quad, axis=0))]
