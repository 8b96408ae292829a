"""The named scenarios: where the camera stands, who drives past it and in what light.

A scenario promises how wide a plate is at best, in pixels; focal length and aim
follow from that (`camera_for`).  Sizes in pixels are for a picture 1280 px wide
and grow with the picture.
"""

import dataclasses
import math

import numpy as np

from camera import Camera

MPS_PER_MPH = 0.44704
PLATE_WIDTH_M, PLATE_HEIGHT_M = 0.520, 0.111
CHAR_HEIGHT_M = 0.079
NOMINAL_WIDTH_PX = 1280

# Where most cars carry their plate; vans and high boot lids differ by up to 0.3 m.
PLATE_Z_M = 0.45

# Between the promised plate and the edge of the frame, at its best.
EDGE_PX = 3.0

DAY, NIGHT = "day", "ir_night"
FRONT, REAR = "front", "rear"


@dataclasses.dataclass(frozen=True)
class Lane:
    """One lane and its traffic.

    `x_m` is its centre, right of the camera; `end` what the camera sees of its
    vehicles; `headway_s` the mean time between two of them, `least_headway_s`
    the shortest gap between one's tail and the next one's nose.
    """

    x_m: float
    end: str
    speed_mph: float
    spread_mph: float
    headway_s: float = 1.8
    least_headway_s: float = 0.6


@dataclasses.dataclass(frozen=True)
class Queue:
    """Stop-and-go: crawling between stops, bumper to bumper.

    `long_stops` is the share of stops that last for minutes.
    """

    gap_m: float = 2.2
    reaction_s: float = 1.1
    crawl_mph: tuple = (6.0, 18.0)
    crawl_s: tuple = (4.0, 11.0)
    stop_s: tuple = (10.0, 45.0)
    long_stop_s: tuple = (90.0, 180.0)
    long_stops: float = 0.06


@dataclasses.dataclass(frozen=True)
class Scenario:
    """All that makes a clip, apart from its seed and its length.

    A plate 520 mm wide at (`near_x_m`, `near_m`) is `best_plate_px` wide and
    about to leave the frame by the edge `leaves_by`, at the share `along` of
    that edge.  `softness_px` is the sigma of the lens's blur, `grain` that of the
    sensor's noise in levels.  `marks` is `random`, `look-alikes` or `there-and-back`.
    """

    name: str
    about: str
    lanes: tuple
    best_plate_px: float
    camera_height_m: float = 6.0
    near_m: float = 18.0
    near_x_m: float = 0.0
    leaves_by: str = "bottom"
    along: float = 0.5
    fps: int = 30
    exposure_ms: float = 1.0
    softness_px: float = 0.5
    grain: float = 1.8
    light: str = DAY
    rain: bool = False
    own_speed_mph: float = 0.0
    shake_px: float = 0.0
    queue: Queue = None
    marks: str = "random"
    crf: int = 23

    @property
    def road_m(self):
        """Left and right edge of the carriageway, metres right of the camera."""
        xs = [lane.x_m for lane in self.lanes]
        return min(xs) - 1.95, max(xs) + 1.95


def _abreast(count, end, speed_mph, spread_mph, pitch_m=3.65, faster_mph=0.0, **more):
    """`count` lanes side by side under the camera, the right-hand ones faster by `faster_mph` each."""
    middle = (count - 1) / 2
    # Facing the traffic of a British road, the slow lane is on the right.
    order = -1 if end == FRONT else 1
    return tuple(
        Lane(order * (index - middle) * pitch_m, end, speed_mph + faster_mph * index, spread_mph, **more) for index in range(count)
    )


_ALL = (
    Scenario("gantry-30", "two lanes from a gantry, 30 mph", _abreast(2, FRONT, 30, 3), 120, fps=25, exposure_ms=2.0),
    Scenario("gantry-70", "two lanes from a gantry, 70 mph", _abreast(2, FRONT, 70, 5), 120),
    Scenario("gantry-100", "two lanes from a gantry, 100 mph", _abreast(2, FRONT, 100, 6), 120, fps=60, exposure_ms=0.5),
    Scenario(
        "verge-70",
        "two lanes from the verge, overtaking: plates cross, hide each other and leave by the side",
        (Lane(-4.2, FRONT, 64, 3, headway_s=2.2), Lane(-7.85, FRONT, 76, 4, headway_s=2.2)),
        130, camera_height_m=3.2, near_m=14.0, near_x_m=-4.2, leaves_by="left", along=0.80,
    ),
    Scenario(
        "far-70", "three lanes from far, a soft lens and a poor link: characters 10 to 12 px high at best", _abreast(3, FRONT, 70, 5), 74,
        near_m=30.0, softness_px=0.8, grain=3.5, crf=28,
    ),
    Scenario(
        "in-vehicle-140",
        "from a vehicle at 70 mph in the middle of three lanes: oncoming at 140 mph, and slower ones that it overtakes",
        (Lane(3.5, FRONT, 70, 3, headway_s=1.4), Lane(-3.5, REAR, 52, 4, headway_s=5.0, least_headway_s=2.0)),
        100, camera_height_m=1.35, near_m=20.0, near_x_m=3.5, leaves_by="right", along=0.62, own_speed_mph=70.0, shake_px=2.0,
    ),
    Scenario(
        "night-ir-70", "gantry-70 at night by the camera's infra-red lamp: plates shine, headlamps flare", _abreast(2, FRONT, 70, 5), 120,
        light=NIGHT, exposure_ms=0.6, grain=2.6,
    ),
    Scenario(
        "rain-70", "rear plates in rain: streaks, spray that veils them now and then, drops on the lens", _abreast(2, REAR, 70, 5), 120,
        rain=True, exposure_ms=1.5, softness_px=0.7, grain=2.4, crf=25,
    ),
    Scenario(
        "stop-and-go", "two queues that stop for tens of seconds, some for minutes, nose to tail", _abreast(2, FRONT, 15, 0), 120,
        camera_height_m=7.0, near_m=15.0, fps=25, exposure_ms=2.0, queue=Queue(),
    ),
    Scenario(
        "look-alikes", "pairs nose to tail whose marks differ in one look-alike character, 30 mph",
        _abreast(2, FRONT, 30, 2, headway_s=2.2, least_headway_s=0.45), 120, fps=25, exposure_ms=2.0, marks="look-alikes",
    ),
    Scenario(
        "there-and-back", "each vehicle comes by and returns: its front plate, seconds later its rear plate",
        (Lane(1.83, FRONT, 25, 2, headway_s=2.6), Lane(-1.83, REAR, 25, 2)), 120, fps=25, exposure_ms=2.0, marks="there-and-back",
    ),
)  # fmt: skip

SCENARIOS = {scenario.name: scenario for scenario in _ALL}


def tailored(scenario, **changes):
    """The scenario with those `changes` that are not None."""
    return dataclasses.replace(scenario, **{name: value for name, value in changes.items() if value is not None})


def best_plate_px(scenario, width_px):
    """The promised plate width, pixels, in a picture this wide."""
    return scenario.best_plate_px * width_px / NOMINAL_WIDTH_PX


def camera_for(scenario, size):
    """The camera whose picture of `size` (width, height) pixels keeps the scenario's promise."""
    width, height = size
    best = best_plate_px(scenario, width)
    half_wide, half_high = best / 2 + EDGE_PX, best * PLATE_HEIGHT_M / PLATE_WIDTH_M / 2 + EDGE_PX
    target = {
        "bottom": (scenario.along * width, height - half_high),
        "left": (half_wide, scenario.along * height),
        "right": (width - half_wide, scenario.along * height),
    }[scenario.leaves_by]
    point = np.array([scenario.near_x_m, scenario.near_m, PLATE_Z_M])
    half = np.array([PLATE_WIDTH_M / 2, 0, 0])
    reach = math.hypot(scenario.near_x_m, scenario.near_m)
    pan = math.atan2(scenario.near_x_m, scenario.near_m)
    tilt = math.atan2(scenario.camera_height_m - PLATE_Z_M, reach)
    focal = best * reach / PLATE_WIDTH_M
    # Turn towards the miss and rescale until both fit; each round leaves a small share of the error.
    for _ in range(60):
        camera = Camera(width, height, scenario.camera_height_m, focal, math.degrees(pan), math.degrees(tilt))
        (left, right, middle), _ = camera.project(np.array([point - half, point + half, point]))
        pan += (middle[0] - target[0]) / focal
        tilt += (middle[1] - target[1]) / focal
        focal *= best / np.linalg.norm(right - left)
    return camera
