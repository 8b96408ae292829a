"""Render a clip of vehicles with UK plates driving past a roadside camera.

The clip has two halves: a bright day in colour, then night under the camera's
own infra-red lamp.  Every plate goes through the real projection (its corners
are 3-D points; the flat plate is warped by their homography), exposure blur and
sensor noise, and the truth is written beside the clip, so that a reader can be
scored without a person watching.  The demo clip is made here; the training-data
generator borrows the same pieces.

Everything random comes from `--seed`: the same arguments and the same library
versions give the same pixels.
"""

import argparse
import csv
import dataclasses
import math
import random
import subprocess
import sys

import cv2
import numpy as np

import plates
import scenery
import vehicles
from camera import Camera

CAMERA_HEIGHT_M = 2.5
# At 1280 px wide this is a field of view of 24 degrees, and a 520 mm plate at
# 11 m spans about 140 px: enough for 11 mm gaps to cover more than two pixels.
FOCAL_PER_WIDTH = 3000 / 1280
PAN_DEG = 10.3
TILT_DEG = 4.8

# A 20 mph street.
SPEED_MPS = 8.0
# Where a vehicle's visible end is at its `passing_s`.
PASSING_Y_M = 12.0

# A plate counts as seen from this width on; below it nobody could read it.
LEAST_PLATE_PX = 40.0

SUPERSAMPLE = 2
NEAREST_FACE_M = 0.6

SUN = np.array([-0.50, -0.55, 0.75]) / np.linalg.norm([-0.50, -0.55, 0.75])
SKY_BGR = np.array([0.95, 0.90, 0.86])
ROAD_BGR = np.array([0.24, 0.24, 0.24])

DAY, NIGHT = "day", "ir_night"
APPROACHING, RECEDING = "approaching", "receding"

# Dealt in shuffled order, so that a short clip still has some of everything.
# The near lane gets no van or lorry: from so low a camera each would hide the
# other lane for seconds.
DECKS = {
    RECEDING: ("hatchback", "saloon", "suv", "city car"),
    APPROACHING: ("hatchback", "van", "saloon", "lorry", "suv"),
}

# Pale paint is what most of Britain drives; the rest is for colour.
ROAD_PAINTS = ("white", "silver", "silver", "grey", "blue", "blue", "red", "teal", "green", "orange")


@dataclasses.dataclass
class Passage:
    """One vehicle's way past the camera, and what the truth file says of it."""

    vehicle: vehicles.Vehicle
    plate: plates.Plate
    lane_x: float
    direction: str
    scene: str
    passing_s: float
    speed_mps: float
    frames: list = dataclasses.field(default_factory=list)
    widths_px: list = dataclasses.field(default_factory=list)

    def position_y(self, time_s):
        """Distance of the visible end along the road, metres."""
        sign = 1 if self.direction == RECEDING else -1
        return PASSING_Y_M + sign * self.speed_mps * (time_s - self.passing_s)

    def origin(self, time_s):
        """World position of the model's origin."""
        return np.array([self.lane_x, self.position_y(time_s), 0.0])

    def plate_corners(self, time_s):
        """World corners of the plate, clockwise from its top left as seen, (4, 3)."""
        half_width, half_height = (size / 2000 for size in self.plate.size_mm)
        lean = math.radians(self.vehicle.plate_lean_deg)
        up = np.array([0.0, math.sin(lean), math.cos(lean)]) * half_height
        right = np.array([half_width, 0.0, 0.0])
        centre = self.origin(time_s) + self.vehicle.plate_centre
        return np.array([centre - right + up, centre + right + up, centre + right - up, centre - right - up])


def plan_traffic(rng, street, seconds, count, marks):
    """Passages of `count` vehicles: the first half by day, the rest at night.

    `marks` names the marks in order of passing; the rest are invented.  Traffic
    keeps left, so the lane on the camera's side drives away from it.
    """
    decks = {RECEDING: [], APPROACHING: []}
    passages = []
    half = seconds / 2
    day_count = (count + 1) // 2
    for index in range(count):
        scene = DAY if index < day_count else NIGHT
        slot, slots = (index, day_count) if scene == DAY else (index - day_count, count - day_count)
        # Leave the ends free: a vehicle needs some time on both sides.
        start, usable = 0.9 + (half if scene == NIGHT else 0), half - 2.1
        passing = start + usable * (slot + 0.5 + rng.uniform(-0.1, 0.1)) / slots
        direction = RECEDING if index % 2 == 0 else APPROACHING
        if direction == APPROACHING:
            # Closer behind the near lane's last car than before its next one,
            # whose roof would hide the plate where it is largest.
            passing -= 0.5
        deck = decks[direction]
        if not deck:
            deck.extend(DECKS[direction])
            rng.shuffle(deck)
        kind = deck.pop()
        colour = "white" if kind == "van" else rng.choice(ROAD_PAINTS)
        mark = plates.parse_mark(marks[index]) if index < len(marks) else plates.random_mark(rng)
        style = plates.random_style(rng, rear=direction == RECEDING)
        passages.append(
            Passage(
                vehicle=vehicles.build(kind, colour, direction == APPROACHING, rng),
                plate=plates.render(mark, style),
                lane_x=(street.near_lane_x if direction == RECEDING else street.far_lane_x) + rng.uniform(-0.08, 0.08),
                direction=direction,
                scene=scene,
                passing_s=passing,
                speed_mps=SPEED_MPS * (1.0 if direction == RECEDING else 0.95),
            )
        )
    return passages


def ir_strength(depth_m):
    """The infra-red lamp's light on a surface, 1 at 11 m.

    Shallower than the inverse square: the lamp is aimed far, so its beam's
    centre makes up for some of the distance.
    """
    return (11.0 / np.maximum(depth_m, 8.0)) ** 1.25


def shade_day(part, centres, eye):
    """Face colours 0..1 under the sun and a bright sky."""
    normals = part.normals
    sight = centres - eye
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    sun = np.clip(normals @ SUN, 0, None)[:, None]
    dome = (0.62 + 0.38 * normals[:, 2:3]) * 0.72
    colour = part.colours * (dome + 0.62 * sun)
    if part.gloss:
        facing = np.abs(np.einsum("ij,ij->i", sight, normals))
        mirror = sight - 2 * np.einsum("ij,ij->i", sight, normals)[:, None] * normals
        sky = np.clip((mirror[:, 2:3] + 0.05) / 0.45, 0, 1)
        around = ROAD_BGR + (SKY_BGR - ROAD_BGR) * sky
        # Schlick's approximation, with a lift for clear coat.
        share = np.minimum(part.gloss * (0.07 + 0.6 * (1 - facing[:, None]) ** 4), 1)
        colour = colour * (1 - share) + around * share
        colour += part.gloss * 0.55 * np.clip(mirror @ SUN, 0, 1)[:, None] ** 40
    return colour


def shade_night(part, centres, eye):
    """Face colours 0..1 in the light of a lamp next to the lens."""
    sight = centres - eye
    depth = np.linalg.norm(sight, axis=1, keepdims=True)
    facing = np.abs(np.einsum("ij,ij->i", sight / depth, part.normals))[:, None]
    grey = part.colours @ np.array([0.114, 0.587, 0.299])
    # Many dark and coloured paints are paler in the near infra-red.
    grey = np.where(grey > 0.13, 0.10 + 0.75 * grey, grey)[:, None]
    if part.is_glass:
        # It shows the dark inside: nothing of the sky by night.
        grey = grey * 0.15
    level = grey * (0.12 + 0.68 * facing) * ir_strength(depth)
    if part.gloss:
        level += part.gloss * 0.12 * facing**60
    return np.repeat(level, 3, axis=1)


class VehicleLayer:
    """One vehicle drawn alone, with coverage, in a window of the picture."""

    def __init__(self, camera, passage, time_s):
        self._camera = camera
        self._night = passage.scene == NIGHT
        self._origin = passage.origin(time_s)
        body = passage.vehicle
        self.visible = False
        # The box around it, wide enough for the mirrors.
        corners = np.array(
            [
                self._origin + [x, y, z]
                for x in (-body.width / 2 - 0.25, body.width / 2 + 0.25)
                for y in (-0.1, body.length)
                for z in (0, body.height)
            ]
        )
        if corners[:, 1].max() < 2.0:
            return
        pixels, depth = camera.project(corners)
        if depth.min() < NEAREST_FACE_M:
            # Partly beside or behind the lens: draw into the whole picture.
            low, high = np.zeros(2), np.array([camera.width_px, camera.height_px])
        else:
            low = np.clip(np.floor(pixels.min(axis=0)) - 12, 0, [camera.width_px, camera.height_px])
            high = np.clip(np.ceil(pixels.max(axis=0)) + 12, 0, [camera.width_px, camera.height_px])
        self.left, self.top = low.astype(int)
        self.right, self.bottom = high.astype(int)
        if self.right - self.left < 2 or self.bottom - self.top < 2:
            return
        self.visible = True
        size = ((self.bottom - self.top) * SUPERSAMPLE, (self.right - self.left) * SUPERSAMPLE, 4)
        self._canvas = np.zeros(size, np.uint8)
        for part in body.parts:
            self._draw_part(part)
        self._draw_plate(passage, time_s)
        coverage = cv2.resize(
            self._canvas, (self.right - self.left, self.bottom - self.top), interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        # Bare canvas is black and clear, so the average is already premultiplied.
        self.colour, self.alpha = coverage[..., :3], coverage[..., 3:] / 255

    def _to_canvas(self, points):
        pixels, depth = self._camera.project(points)
        return (pixels - [self.left, self.top]) * SUPERSAMPLE, depth

    def _draw_part(self, part):
        faces = part.faces + self._origin
        centres = faces.mean(axis=1)
        eye = self._camera.position
        towards = np.einsum("ij,ij->i", part.normals, eye - centres) > 0
        if not towards.any():
            return
        shown = dataclasses.replace(
            part, faces=faces[towards], normals=part.normals[towards], colours=part.colours[towards]
        )
        centres = centres[towards]
        shade = shade_night if self._night else shade_day
        colours = np.clip(shade(shown, centres, eye) * 255, 0, 255)
        points, depth = self._to_canvas(shown.faces)
        order = np.argsort(-np.linalg.norm(centres - eye, axis=1), kind="stable")
        fixed = np.round(np.clip(points, -20000, 20000) * 16).astype(np.int32)
        in_front = depth.min(axis=1) > NEAREST_FACE_M
        for index in order:
            if in_front[index]:
                blue, green, red = colours[index]
                cv2.fillConvexPoly(self._canvas, fixed[index], (blue, green, red, 255), shift=4)

    def _draw_plate(self, passage, time_s):
        corners = passage.plate_corners(time_s)
        quad, depth = self._to_canvas(corners)
        if depth.min() < NEAREST_FACE_M:
            return
        flat = lit_plate(passage, depth.mean())
        width = np.linalg.norm(quad[1] - quad[0])
        shrink = width * 1.2 / flat.shape[1]
        if shrink < 1:
            flat = cv2.resize(flat, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        height, width = flat.shape[:2]
        source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
        homography = cv2.getPerspectiveTransform(source, quad.astype(np.float32))
        size = self._canvas.shape[1::-1]
        # Limit the warp to the plate's own window; the canvas may be large.
        low = np.clip(np.floor(quad.min(axis=0)).astype(int) - 2, 0, size)
        high = np.clip(np.ceil(quad.max(axis=0)).astype(int) + 2, 0, size)
        if (high - low).min() < 1:
            return
        homography = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ homography
        window = tuple(int(side) for side in high - low)
        opaque = np.dstack([flat, np.full((height, width), 255, np.uint8)])
        warped = cv2.warpPerspective(opaque, homography, window, flags=cv2.INTER_LINEAR)
        area = self._canvas[low[1] : high[1], low[0] : high[0]]
        cover = warped[..., 3:] / 255.0
        area[:] = np.round(area * (1 - cover) + warped * cover)

    def blur(self, shift_px):
        """Smear the layer along `shift_px`, the way it moves during the exposure."""
        length = float(np.linalg.norm(shift_px))
        if length < 0.7:
            return
        reach = math.ceil(length / 2) + 1
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        steps = 8 * reach
        for step in range(steps):
            offset = np.asarray(shift_px) * ((step + 0.5) / steps - 0.5) + reach
            x, y = int(offset[0]), int(offset[1])
            fx, fy = offset[0] - x, offset[1] - y
            # Spread over the four neighbours, for lengths that are not whole.
            kernel[y : y + 2, x : x + 2] += np.outer([1 - fy, fy], [1 - fx, fx])
        kernel /= kernel.sum()
        self.colour = cv2.filter2D(self.colour, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        self.alpha = cv2.filter2D(self.alpha, -1, kernel, borderType=cv2.BORDER_REPLICATE)[..., None]

    def paste(self, frame):
        """Put the layer over `frame` (float32 BGR)."""
        area = frame[self.top : self.bottom, self.left : self.right]
        area *= 1 - self.alpha
        area += self.colour

    def covers(self, pixel):
        """Whether the vehicle hides this pixel of the picture."""
        x, y = int(pixel[0]) - self.left, int(pixel[1]) - self.top
        inside = 0 <= y < self.alpha.shape[0] and 0 <= x < self.alpha.shape[1]
        return inside and self.alpha[y, x, 0] > 0.3


def lit_plate(passage, depth_m):
    """The flat plate as the camera sees it by day or in its infra-red beam."""
    image = passage.plate.image.astype(np.float32)
    # Bright from above, a little darker towards the road.
    fall_off = np.linspace(1.03, 0.94, image.shape[0], dtype=np.float32)[:, None, None]
    if passage.scene == DAY:
        return np.clip(image * fall_off * 0.93 + 6, 0, 255).astype(np.uint8)
    # Yellow and white plates look alike to infra-red, so take the red channel.
    ink = image[..., 2:] / 232.0
    # Bead sheeting sends the light back to the lens: bright at any distance.
    bright = 226.0 * float(np.clip(ir_strength(depth_m), 0.6, 1.08))
    level = 22 + (bright - 22) * np.clip(ink - 0.10, 0, 1) / 0.9
    return np.clip(np.repeat(level * fall_off, 3, axis=2), 0, 255).astype(np.uint8)


def _soft_mask(camera, polygon, blur_m):
    """Blurred coverage of a ground polygon (N, 2) metres: (mask, window) or None."""
    points = np.column_stack([polygon[:, 0], np.maximum(polygon[:, 1], 6.0), np.zeros(len(polygon))])
    pixels, depth = camera.project(points)
    blur_px = max(1.0, camera.focal_px * blur_m / float(depth.mean()))
    edge = math.ceil(3 * blur_px)
    size = np.array([camera.width_px, camera.height_px])
    low = np.clip(np.floor(pixels.min(axis=0)).astype(int) - edge, 0, size)
    high = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + edge, 0, size)
    if (high - low).min() < 2:
        return None
    # A shadow this soft needs only a quarter of the pixels.
    width, height = (int(side) // 2 + 1 for side in high - low)
    mask = np.zeros((height, width), np.float32)
    hull = cv2.convexHull(((np.clip(pixels, -4000, 8000) - low) / 2).astype(np.float32))
    cv2.fillConvexPoly(mask, np.round(hull * 16).astype(np.int32), 1.0, shift=4)
    mask = cv2.GaussianBlur(mask, (0, 0), blur_px / 2)
    mask = cv2.resize(mask, tuple(int(side) for side in high - low), interpolation=cv2.INTER_LINEAR)
    return mask[..., None], (slice(low[1], high[1]), slice(low[0], high[0]))


def _footprint(passage, time_s, grow=0.0):
    x, y, _ = passage.origin(time_s)
    half = passage.vehicle.width / 2 + grow
    end = y + passage.vehicle.length
    return np.array([[x - half, y - grow], [x + half, y - grow], [x + half, end], [x - half, end]])


def draw_ground_light(frame, camera, passage, time_s):
    """The vehicle's shadow on the road and, at night, its beam."""
    foot = _footprint(passage, time_s)
    if foot[:, 1].max() < 7:
        return
    layers = [(_footprint(passage, time_s, 0.05), 0.12, -0.62)]
    if passage.scene == DAY:
        shift = -SUN[:2] / SUN[2] * passage.vehicle.height * 0.85
        layers.append((np.concatenate([foot, foot + shift]), 0.05, -0.42))
    elif passage.direction == APPROACHING:
        x, y, _ = passage.origin(time_s)
        beam = np.array([[x - 0.7, y - 0.5], [x + 0.7, y - 0.5], [x + 1.5, y - 9], [x - 1.5, y - 9]])
        layers.append((beam, 0.45, 1.1))
    for polygon, blur_m, gain in layers:
        soft = _soft_mask(camera, polygon, blur_m)
        if soft is not None:
            mask, window = soft
            frame[window] *= 1 + gain * mask


def draw_lamps(frame, camera, passage, time_s):
    """Glow of the lamps, on top of their vehicle."""
    night = passage.scene == NIGHT
    for lamp in passage.vehicle.lamps:
        pixel, depth = camera.project(passage.origin(time_s) + lamp.position)
        if depth < 4:
            continue
        colour = np.full(3, 255.0) if night else np.array(lamp.colour) * 255
        strength = lamp.power * (1.0 if night else 0.30)
        # A hot core as big as the bulb's mirror, and the lens's faint veil.
        for radius_m, gain in ((0.05, 1.0), (0.19, 0.36 if night else 0.10)):
            sigma = max(1.2, radius_m * camera.focal_px / depth)
            reach = math.ceil(3 * sigma)
            x0, y0 = (int(round(value)) - reach for value in pixel)
            x_range = np.arange(max(x0, 0), min(x0 + 2 * reach + 1, camera.width_px))
            y_range = np.arange(max(y0, 0), min(y0 + 2 * reach + 1, camera.height_px))
            if not len(x_range) or not len(y_range):
                continue
            spot = np.outer(
                np.exp(-(((y_range - pixel[1]) / sigma) ** 2) / 2), np.exp(-(((x_range - pixel[0]) / sigma) ** 2) / 2)
            )
            area = frame[y_range[0] : y_range[-1] + 1, x_range[0] : x_range[-1] + 1]
            area += (spot[..., None] * colour * strength * gain).astype(np.float32)


class Sensor:
    """Lens softness and photon noise; the night gain makes noise stronger."""

    MARGIN_PX = 64

    def __init__(self, camera, seed):
        generator = np.random.default_rng(seed)
        self._rng = random.Random(seed)
        self._size = (camera.height_px, camera.width_px)
        big = (camera.height_px + self.MARGIN_PX, camera.width_px + self.MARGIN_PX, 3)
        # One large field, cut at a new place each frame, is cheaper than new noise.
        self._field = generator.standard_normal(big, dtype=np.float32)

    def expose(self, frame, night):
        """A float picture to 8 bits, as the camera would deliver it."""
        x, y = self._rng.randrange(self.MARGIN_PX), self._rng.randrange(self.MARGIN_PX)
        grain = self._field[y : y + self._size[0], x : x + self._size[1]]
        if night:
            # An infra-red picture has one channel.
            grain = grain[..., :1]
        seen = cv2.GaussianBlur(frame, (3, 3), 0.5)
        return np.clip(seen + grain * (1.8 if night else 1.4), 0, 255).astype(np.uint8)


def draw_frame(camera, background, passages, time_s, exposure_ms):
    """One picture of the street: float BGR, and the plates in it, far ones first.

    Each plate comes as (passage, corners (4, 2) px, whether all of it is in view).
    """
    frame = background.copy()
    size = np.array([camera.width_px, camera.height_px])
    present = [passage for passage in passages if passage.position_y(time_s) < 110]
    present.sort(key=lambda passage: -passage.position_y(time_s))
    for passage in present:
        draw_ground_light(frame, camera, passage, time_s)
    seen = []
    for passage in present:
        layer = VehicleLayer(camera, passage, time_s)
        if not layer.visible:
            continue
        quad, depth = camera.project(passage.plate_corners(time_s))
        later, _ = camera.project(passage.plate_corners(time_s + exposure_ms / 1000))
        if depth.min() > 2:
            layer.blur((later - quad).mean(axis=0))
        layer.paste(frame)
        draw_lamps(frame, camera, passage, time_s)
        seen = [(other, corners, whole and not any(map(layer.covers, corners))) for other, corners, whole in seen]
        if depth.min() > 2:
            seen.append((passage, quad, bool((quad >= 0).all() and (quad < size).all())))
    return frame, seen


def plate_width_px(quad):
    """Width of a plate in the picture, between the middles of its short sides."""
    return float(np.linalg.norm((quad[1] + quad[2] - quad[0] - quad[3]) / 2))


def render_clip(args, passages, camera, street, sink, corners_writer):
    """Draw all frames into `sink` (raw BGR) and note where each plate was seen."""
    world = scenery.build(camera, street, args.seed)
    backgrounds = {DAY: scenery.light_day(world), NIGHT: scenery.light_night(world, ir_strength)}
    sensor = Sensor(camera, args.seed)
    frame_count = round(args.seconds * args.fps)
    for frame_index in range(frame_count):
        time_s = frame_index / args.fps
        scene = DAY if frame_index < frame_count / 2 else NIGHT
        passing = [passage for passage in passages if passage.scene == scene]
        frame, seen = draw_frame(camera, backgrounds[scene], passing, time_s, args.exposure_ms)
        for passage, quad, whole in seen:
            width = plate_width_px(quad)
            if not whole or width < LEAST_PLATE_PX:
                continue
            passage.frames.append(frame_index)
            passage.widths_px.append(width)
            if corners_writer:
                corners_writer.writerow([frame_index, passage.plate.mark.vrm, *(f"{v:.2f}" for v in quad.ravel())])
        sink.write(sensor.expose(frame, scene == NIGHT).tobytes())


def open_encoder(args):
    """An ffmpeg that takes raw BGR frames and writes a reproducible H.264 file."""
    command = [
        "ffmpeg", "-hide_banner", "-loglevel", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{args.size[0]}x{args.size[1]}", "-r", str(args.fps), "-i", "-",
        "-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "medium", "-crf", str(args.crf), "-g", str(args.fps * 2),
        # Without these the file would carry version strings and dates, and
        # threads would make the bits depend on the machine.
        "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1",
        "-movflags", "+faststart", args.output,
    ]  # fmt: skip
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def write_truth(path, passages):
    """One row a vehicle, in the order in which the plates were largest."""
    seen = [passage for passage in passages if passage.frames]
    seen.sort(key=lambda passage: passage.frames[int(np.argmax(passage.widths_px))])
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["vrm", "first_frame", "last_frame", "direction", "scene", "max_plate_width_px"])
        for passage in seen:
            writer.writerow(
                [
                    passage.plate.mark.vrm,
                    passage.frames[0],
                    passage.frames[-1],
                    passage.direction,
                    passage.scene,
                    round(max(passage.widths_px)),
                ]
            )


def parse_arguments(arguments):
    """The command line."""

    def size(text):
        width, height = (int(side) for side in text.split("x"))
        return width, height

    parser = argparse.ArgumentParser(description="Render vehicles driving past a roadside camera.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=size, default=(1280, 720), metavar="WxH")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=16.0)
    parser.add_argument("--vehicles", type=int, default=10)
    parser.add_argument("--marks", default="", help="comma-separated marks in order of passing; others are invented")
    parser.add_argument("--exposure-ms", type=float, default=2.0, help="shutter time, for motion blur")
    parser.add_argument("--crf", type=int, default=23, help="H.264 quality; higher is smaller and worse")
    parser.add_argument("--output", required=True, metavar="CLIP.mp4")
    parser.add_argument("--truth", required=True, metavar="TRUTH.csv")
    parser.add_argument("--corners", metavar="FILE", help="also write each frame's plate corners")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Render a clip and its truth."""
    args = parse_arguments(arguments)
    # One thread: the host has other work, and float sums stay in one order.
    cv2.setNumThreads(1)
    rng = random.Random(args.seed)
    street = scenery.Street()
    width, height = args.size
    camera = Camera(width, height, CAMERA_HEIGHT_M, FOCAL_PER_WIDTH * width, PAN_DEG, TILT_DEG)
    marks = [mark for mark in args.marks.split(",") if mark.strip()]
    passages = plan_traffic(rng, street, args.seconds, args.vehicles, marks)

    corners_file = open(args.corners, "w", newline="") if args.corners else None
    corners_writer = None
    if corners_file:
        corners_writer = csv.writer(corners_file, lineterminator="\n")
        corners_writer.writerow(["frame", "vrm", "x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3"])
    encoder = open_encoder(args)
    try:
        render_clip(args, passages, camera, street, encoder.stdin, corners_writer)
    finally:
        encoder.stdin.close()
        if corners_file:
            corners_file.close()
    if encoder.wait() != 0:
        sys.exit("drive_by: ffmpeg failed")
    write_truth(args.truth, passages)


if __name__ == "__main__":
    main()
