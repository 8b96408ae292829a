"""Who drives where and when: marks, bodies, speeds, gaps and stops.

A `Passage` knows the way of one vehicle as a function of time.  Positions are
those of the end that the camera sees, metres ahead of the camera: for a camera
in a vehicle they are relative to it.
"""

import dataclasses
import itertools
import math
import random
import re

import numpy as np

import plates
from traffic.scenarios import FRONT, MPS_PER_MPH, REAR

# Nearer than this a vehicle is below or beside the lens.
LEAST_Y_M = 1.5

# Characters that readers mix up and that may stand in each other's place in a current mark.
LOOK_ALIKE_LETTERS = ("BR", "CG", "DO", "EF", "HM", "HN", "KX", "MN", "MW", "OC", "PR", "UV", "VY", "LE", "PF", "UO", "TY", "JU")
LOOK_ALIKE_DIGITS = ("17", "38", "56", "68", "35", "69", "06", "08", "23", "27")

KINDS = (("hatchback", 26), ("saloon", 20), ("suv", 22), ("city car", 12), ("van", 12), ("lorry", 8))
# White to black, as common as on British roads; the rest is for colour.
PAINTS = ("white", "white", "silver", "grey", "grey", "black", "black", "blue", "blue", "red", "green", "teal", "orange")
LENGTHS_M = {"hatchback": 4.1, "saloon": 4.6, "suv": 4.5, "city car": 3.6, "van": 5.2, "lorry": 6.6}


@dataclasses.dataclass(frozen=True)
class SteadyWay:
    """Constant speed along the road: `passing_s` is when the seen end is at `passing_m`; speed in m/s, negative towards the camera."""

    passing_s: float
    passing_m: float
    speed_mps: float

    def y_m(self, time_s):
        """Where the seen end is, metres ahead of the camera."""
        return self.passing_m + self.speed_mps * (time_s - self.passing_s)

    def between(self, near_m, far_m):
        """When it is between the two distances, seconds (from, to)."""
        times = [self.passing_s + (y - self.passing_m) / self.speed_mps for y in (near_m, far_m)]
        return min(times), max(times)


class QueueWay:
    """The leader's way, later and further back: how queues move (Newell's car-following model).

    `times_s` and `covered_m` are the leader's, arrays that a whole queue shares.
    """

    def __init__(self, times_s, covered_m, delay_s, start_m):
        self._times, self._covered, self._delay, self._start = times_s, covered_m, delay_s, start_m

    def y_m(self, time_s):
        """Where the seen end is, metres ahead of the camera."""
        return self._start - float(np.interp(time_s - self._delay, self._times, self._covered))

    def between(self, near_m, far_m):
        """When it is between the two distances, seconds (from, to)."""
        begin = np.searchsorted(self._covered, self._start - far_m, "left")
        end = np.searchsorted(self._covered, self._start - near_m, "right")
        last = len(self._times) - 1
        return float(self._times[min(begin, last)]) + self._delay, float(self._times[min(end, last)]) + self._delay


@dataclasses.dataclass
class Passage:
    """One vehicle's way past the camera with one of its ends in view.

    `number` counts vehicles from 1: front and rear of one vehicle share it.
    `speed_mph` is over the ground, `closing_mph` towards the camera (negative
    when it draws away); for a queue both are the fastest it crawls.
    `body` names its patch: kind, paint and variant.
    """

    number: int
    mark: plates.Mark
    style: plates.Style
    body: tuple
    lane: int
    end: str
    x_m: float
    speed_mph: float
    closing_mph: float
    way: object
    look: float  # 0..1: how bright and how clean the plate is


def _is_current(text):
    if not re.fullmatch(r"[A-HJ-PR-Y]{2}\d\d[A-HJ-PR-Z]{3}", text):
        return False
    year = int(text[2:4])
    return 2 <= year <= 26 or 51 <= year <= 76


def look_alike_of(mark, rng):
    """A current mark that differs from `mark` in one look-alike character, or None where there is none."""
    text, choices = mark.vrm, []
    for place, char in enumerate(text):
        for pair in LOOK_ALIKE_DIGITS if char.isdigit() else LOOK_ALIKE_LETTERS:
            if char in pair:
                other = text[:place] + pair.replace(char, "") + text[place + 1 :]
                if _is_current(other):
                    choices.append(other)
    if not choices:
        return None
    other = rng.choice(choices)
    return plates.Mark((other[:4], other[4:]), "gb_current")


class _Marks:
    """Marks for one clip, none of them twice."""

    def __init__(self, rng, kind):
        self._rng, self._kind, self._used, self._waiting = rng, kind, set(), {}

    def _fresh(self, make):
        while True:
            mark = make(self._rng)
            if mark is not None and mark.vrm not in self._used:
                self._used.add(mark.vrm)
                return mark

    def take(self, lane):
        """The next mark of a lane and whether it follows its look-alike."""
        if self._kind != "look-alikes":
            return self._fresh(plates.random_mark), False
        if lane in self._waiting:
            return self._waiting.pop(lane), True
        while True:
            first = self._fresh(plates.current_mark)
            for _ in range(20):
                second = look_alike_of(first, self._rng)
                if second is not None and second.vrm not in self._used:
                    self._used.add(second.vrm)
                    self._waiting[lane] = second
                    return first, False


class _Fleet:
    """The bodies of one clip: few enough to be drawn once, each with any number of plates."""

    BODIES = 24

    def __init__(self, rng):
        kinds, weights = zip(*KINDS)
        self._rng, self._bodies = rng, []
        for kind in rng.choices(kinds, weights, k=self.BODIES):
            paint = "white" if kind in ("van", "lorry") and rng.random() < 0.6 else rng.choice(PAINTS)
            self._bodies.append((kind, paint, rng.randrange(2)))

    def take(self):
        """Kind, paint and variant of the next vehicle."""
        return self._rng.choice(self._bodies)


def _passage(rng, scenario, number, mark, lane, speed_mph, way, body, end=None, style=None):
    end = end or scenario.lanes[lane].end
    style = style or plates.random_style(rng, rear=end == REAR)
    towards = -1 if isinstance(way, SteadyWay) and way.speed_mps > 0 else 1
    closing = towards * (abs(way.speed_mps) / MPS_PER_MPH if isinstance(way, SteadyWay) else speed_mph)
    x = scenario.lanes[lane].x_m + rng.uniform(-0.25, 0.25)
    return Passage(number, mark, style, body, lane, end, x, speed_mph, closing, way, rng.random())


def _steady_lane(rng, fleet, scenario, lane_index, far_m, turns):
    """Endless (passing_s, speed_mph, way, body) of a lane, none running into the one before it.

    `turns` yields whether the next one follows its look-alike, close behind.
    """
    lane = scenario.lanes[lane_index]
    near = scenario.near_m
    own = scenario.own_speed_mph
    # Nobody has half passed when the clip begins.
    last, clock = None, rng.uniform(0.8, 0.8 + lane.headway_s)
    while True:
        body = fleet.take()
        speed = rng.gauss(lane.speed_mph, lane.spread_mph)
        speed = max(lane.speed_mph - 2 * lane.spread_mph, min(lane.speed_mph + 2 * lane.spread_mph, speed))
        paired = next(turns)
        if paired:
            # A pair drives at one speed, or it would not stay one.
            speed = last[1] + rng.uniform(-0.2, 0.2)
        if own:
            relative = -(speed + own) if lane.end == FRONT else speed - own
        else:
            relative = -speed if lane.end == FRONT else speed
        relative *= MPS_PER_MPH
        mean = lane.headway_s - lane.least_headway_s
        passing = clock + (0.0 if paired or mean <= 0 else rng.expovariate(1 / mean) * 0.7 + 0.3 * mean)
        if last:
            # Keep the gap at both ends of the view, so that nobody drives through anybody.
            before, _, way, (kind, _, _) = last
            gap = LENGTHS_M[kind] if relative < 0 else LENGTHS_M[body[0]]
            speed_of_gap = abs(relative) if not own else speed * MPS_PER_MPH
            gap += lane.least_headway_s * speed_of_gap
            least = before + gap / abs(way.speed_mps)
            leader_far = before + (far_m - near) / way.speed_mps
            least_far = leader_far + gap / abs(way.speed_mps) - (far_m - near) / relative
            passing = max(passing, least, least_far)
        last = (passing, speed, SteadyWay(passing, near, relative), body)
        clock = passing
        yield last


def _queue_lane(rng, fleet, scenario, far_m, count):
    """(passing_s, speed_mph, way, body) of `count` vehicles of a queue that comes towards the camera."""
    queue = scenario.queue
    bodies = [fleet.take() for _ in range(count)]
    starts, start = [], far_m + rng.uniform(1, 8)
    for kind, _, _ in bodies:
        starts.append(start)
        start += LENGTHS_M[kind] + queue.gap_m * rng.uniform(0.7, 1.6)
    step, speed, covered, top = 0.1, 0.0, [0.0], 0.0
    while covered[-1] < start + 10:
        target = rng.uniform(*queue.crawl_mph) * MPS_PER_MPH
        top = max(top, target)
        stop = rng.uniform(*(queue.long_stop_s if rng.random() < queue.long_stops else queue.stop_s))
        for wanted, seconds in ((target, rng.uniform(*queue.crawl_s)), (0.0, stop)):
            for _ in range(round(seconds / step)):
                speed += max(-2.2 * step, min(1.3 * step, wanted - speed))
                covered.append(covered[-1] + speed * step)
    times, covered = np.arange(len(covered)) * step, np.array(covered)
    for index, (body, begin) in enumerate(zip(bodies, starts)):
        way = QueueWay(times, covered, index * queue.reaction_s, begin)
        yield way.between(scenario.near_m, far_m)[1], top / MPS_PER_MPH, way, body


def traffic(scenario, count, seed, far_m):
    """`Passage`s of `count` vehicles in the order in which they pass, seen from `far_m` metres on."""
    rng = random.Random(f"{scenario.name}/{seed}")
    marks, fleet = _Marks(rng, scenario.marks), _Fleet(rng)
    pending = {index: [] for index in range(len(scenario.lanes))}

    def take(lane):
        mark, paired = marks.take(lane)
        pending[lane].append(mark)
        return paired

    there_and_back = scenario.marks == "there-and-back"
    lanes = [0] if there_and_back else list(range(len(scenario.lanes)))
    if scenario.queue:
        share = -(-count // len(lanes))
        sources = [_queue_lane(rng, fleet, scenario, far_m, share) for _ in lanes]
    else:
        sources = [_steady_lane(rng, fleet, scenario, lane, far_m, map(take, itertools.repeat(lane))) for lane in lanes]
    heads = [next(source, None) for source in sources]
    passages, freed_s = [], -math.inf
    for number in range(1, count + 1):
        index = min((i for i, head in enumerate(heads) if head), key=lambda i: heads[i][0])
        (passing, speed, way, body), lane = heads[index], lanes[index]
        if scenario.queue:
            mark, _ = marks.take(lane)
        else:
            mark = pending[lane].pop(0)
        heads[index] = next(sources[index], None)
        passages.append(_passage(rng, scenario, number, mark, lane, speed, way, body))
        if there_and_back:
            # It turns out of sight; the way back is clear of the one before.
            freed_s = max(passing + rng.uniform(3, 8), freed_s + 1.8)
            speed = scenario.lanes[1].speed_mph + rng.uniform(-0.5, 0.5)
            back = SteadyWay(freed_s, scenario.near_m, speed * MPS_PER_MPH)
            style = dataclasses.replace(passages[-1].style, rear=True)
            passages.append(_passage(rng, scenario, number, mark, 1, speed, back, body, REAR, style))
    return passages
