"""The empty street: road, verges, hedges, houses, trees and sky.

Every pixel's ray is cut with the ground and with a few upright planes, and the
nearest cut is coloured from noise textures in world coordinates, so that the
perspective is right without any picture to load.  The result is kept as albedo
(what the surface is) and depth; `light_day` and `light_night` turn the pair
into what a colour or an infra-red camera would see.

There is no lettering anywhere, on purpose: a reader of plates would be right
to report it.
"""

import dataclasses

import cv2
import numpy as np

SKY_DEPTH_M = 1000.0


@dataclasses.dataclass(frozen=True)
class Street:
    """Cross-section of the street, metres to the right of the camera."""

    kerb_x: float = -0.2
    lane_width: float = 2.75
    hedge_left_x: float = -2.6
    pavement_width: float = 1.8
    wall_right_x: float = 8.6
    houses_x: float = 14.0
    trees_y: float = 150.0

    @property
    def near_lane_x(self):
        """Centre of the lane on the camera's side."""
        return self.kerb_x + self.lane_width / 2

    @property
    def far_lane_x(self):
        """Centre of the lane on the other side."""
        return self.kerb_x + self.lane_width * 1.5

    @property
    def far_kerb_x(self):
        """The other edge of the carriageway."""
        return self.kerb_x + self.lane_width * 2


@dataclasses.dataclass
class Scenery:
    """Albedo (BGR 0..1), depth in metres and greenness 0..1 of the empty street."""

    albedo: np.ndarray
    depth_m: np.ndarray
    greenness: np.ndarray


class _Noise:
    """Smooth tileable noise, looked up at any world coordinate."""

    SIZE = 512

    def __init__(self, seed):
        self._tiles = []
        generator = np.random.default_rng(seed)
        for blur in (0, 2, 8):
            tile = generator.random((self.SIZE, self.SIZE)).astype(np.float32)
            if blur:
                padded = np.pad(tile, 4 * blur, mode="wrap")
                tile = cv2.GaussianBlur(padded, (0, 0), blur)[4 * blur : -4 * blur, 4 * blur : -4 * blur]
            # Unit spread about zero, whatever the blur did to the contrast.
            self._tiles.append((tile - tile.mean()) / tile.std())

    def __call__(self, u, v, cells_per_m, grain=1):
        """Noise about 0 with unit spread; `grain` 0 is sharp, 2 is cloudy."""
        tile = self._tiles[grain]
        map_x = np.mod(u * cells_per_m, self.SIZE - 1).astype(np.float32)
        map_y = np.mod(v * cells_per_m, self.SIZE - 1).astype(np.float32)
        return cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR)


def _blend(base, colour, mask):
    return base + (np.asarray(colour, np.float32) - base) * mask[..., None]


def _soft_step(value, width):
    """0 below zero, 1 above, with an edge `width` wide (anti-aliasing)."""
    return np.clip(value / np.maximum(width, 1e-6) + 0.5, 0, 1).astype(np.float32)


def _plain(shape, colour):
    return np.broadcast_to(np.asarray(colour, np.float32), (*shape, 3)).copy()


def _ground(street, x, y, pixel_m, noise):
    """Albedo and greenness of the ground plane at world (x, y)."""
    # Fine texture fades where a pixel covers more than its grain.
    near = np.clip(0.04 / np.maximum(pixel_m, 1e-3), 0, 1)
    asphalt = (
        0.27 + 0.018 * noise(x, y, 45, 0) * near + 0.012 * noise(x, y / 6, 6, 2) + 0.010 * noise(x, y, 12, 1) * near
    )
    # Tyres polish two strips of each lane; oil darkens the middle.
    for lane in (street.near_lane_x, street.far_lane_x):
        for wheel in (-0.75, 0.75):
            asphalt += 0.022 * np.exp(-(((x - lane - wheel) / 0.28) ** 2))
        asphalt -= 0.016 * np.exp(-(((x - lane) / 0.3) ** 2))
    # One mended trench across the near lane.
    patch = _soft_step(0.95 - np.abs(x - street.near_lane_x - 0.2), pixel_m) * _soft_step(
        1.4 - np.abs(y - 24), 4 * pixel_m
    )
    asphalt -= 0.035 * patch
    colour = asphalt[..., None] * np.array([1.02, 1.0, 0.985], np.float32)

    worn = np.clip(0.86 + 0.10 * noise(x, y, 20, 1), 0.5, 1)
    centre = street.kerb_x + street.lane_width
    # Centre line of a slow street: 2 m marks, 4 m gaps.
    dash = _soft_step(1.0 - np.abs(np.mod(y, 6.0) - 3.0), 4 * pixel_m)
    colour = _blend(colour, [0.70, 0.72, 0.72], _soft_step(0.06 - np.abs(x - centre), pixel_m) * dash * worn)
    for edge in (street.kerb_x + 0.25, street.far_kerb_x - 0.25):
        colour = _blend(colour, [0.22, 0.60, 0.70], _soft_step(0.045 - np.abs(x - edge), pixel_m) * worn * 0.9)

    kerb_tone = 0.50 + 0.03 * noise(x, y, 10, 1)
    joint = 1 - 0.25 * _soft_step(0.02 - np.abs(np.mod(y, 0.9) - 0.45), 3 * pixel_m)
    beyond_left = _soft_step(street.kerb_x - x, pixel_m)
    beyond_right = _soft_step(x - street.far_kerb_x, pixel_m)
    beyond = np.maximum(beyond_left, beyond_right)
    colour = colour * (1 - beyond[..., None]) + (kerb_tone * joint * beyond)[..., None]

    pavement_far = street.far_kerb_x + 0.14
    slabs = 0.44 + 0.025 * noise(x, y, 14, 1)
    for coordinate, size in ((x - pavement_far, 0.6), (y, 0.6)):
        slabs -= 0.07 * _soft_step(0.012 - np.abs(np.mod(coordinate, size) - size / 2), 2 * pixel_m) * near
    colour = _blend(colour, [0, 0, 0], _soft_step(x - pavement_far, pixel_m)) + (
        slabs * _soft_step(x - pavement_far, pixel_m)
    )[..., None] * np.array([0.96, 1.0, 1.04], np.float32)

    grass = np.maximum(
        _soft_step(street.kerb_x - 0.14 - x, pixel_m), _soft_step(x - pavement_far - street.pavement_width, pixel_m)
    )
    blades = 0.05 * noise(x * 2, y, 30, 0) * near + 0.03 * noise(x, y / 2, 5, 2)
    green = np.array([0.13, 0.36, 0.26], np.float32) * (1 + 2.2 * blades[..., None])
    colour = colour * (1 - grass[..., None]) + green * grass[..., None]
    return colour, grass


def _hedge(u, z, top, pixel_m, noise, base_colour):
    """Leafy wall: colour and coverage at length `u` and height `z`."""
    crown = top + 0.10 * noise(u, u * 0, 1.2, 2) + 0.05 * noise(u, z, 6, 1)
    # The wall runs nearly along the ray: coarse lengthwise, so that leaves
    # look round and not like reeds.
    leaves = 0.17 * noise(u * 0.4, z, 26, 1) + 0.12 * noise(u * 0.5, z, 7, 1)
    lift = 0.55 + 0.6 * np.clip(z / top, 0, 1)
    colour = np.array(base_colour, np.float32) * np.clip(lift + leaves, 0.15, 1.8)[..., None]
    return colour, _soft_step(crown - z, pixel_m + 0.02)


def _houses(u, z, pixel_m, noise):
    """A terrace along the street: brick, windows, slate roof above 5 m."""
    plot = np.floor(u / 7.0)
    along = np.mod(u, 7.0)
    tone = 0.5 + 0.5 * np.sin(plot * 2.4)
    brick = np.array([0.26, 0.33, 0.50], np.float32)
    render_white = np.array([0.66, 0.71, 0.73], np.float32)
    colour = brick + (render_white - brick) * (tone > 0.55)[..., None]
    colour = colour * (1 + 0.05 * noise(u, z, 10, 1) + 0.04 * noise(u, z, 1.5, 2))[..., None]
    for left, right, low, high in (
        (1.0, 2.6, 0.9, 2.2),
        (4.2, 5.8, 0.9, 2.2),
        (1.0, 2.6, 3.3, 4.5),
        (4.2, 5.8, 3.3, 4.5),
    ):
        for grow, paint in ((0.09, [0.82, 0.84, 0.84]), (0.0, [0.30, 0.25, 0.20])):
            inside = _soft_step(np.minimum(along - left, right - along) + grow, pixel_m)
            inside *= _soft_step(np.minimum(z - low, high - z) + grow, pixel_m)
            colour = _blend(colour, paint, inside)
        bar = _soft_step(0.035 - np.abs(along - (left + right) / 2), pixel_m) * _soft_step(
            np.minimum(z - low, high - z), pixel_m
        )
        colour = _blend(colour, [0.82, 0.84, 0.84], bar)
    roof = _soft_step(z - 5.0, pixel_m)
    colour = _blend(colour, [0.30, 0.28, 0.28], roof)
    return colour, _soft_step(7.2 - z, pixel_m)


def _trees(u, z, pixel_m, noise):
    """Distant wood across the end of the street."""
    crown = 6.5 + 0.9 * noise(u, u * 0 + 7, 0.5, 2) + 0.45 * noise(u, z, 1.0, 1) + 0.3 * noise(u, z, 3.0, 1)
    leaves = 0.15 * noise(u, z, 1.6, 1) + 0.10 * noise(u, z, 5, 1)
    lift = 0.55 + 0.08 * z
    colour = np.array([0.16, 0.30, 0.22], np.float32) * np.clip(lift + leaves, 0.3, 1.5)[..., None]
    return colour, _soft_step(crown - z, pixel_m + 0.15)


def build(camera, street, seed):
    """Ray-cast the street once for a fixed camera."""
    noise = _Noise(seed)
    rays = camera.rays()
    shape = rays.shape[:2]
    across, along, up = rays[..., 0], rays[..., 1], rays[..., 2]
    eye = camera.position

    # The sky first, then farther surfaces under nearer ones.
    elevation = np.clip(up / 0.06, 0, 1)[..., None]
    sky = np.array([0.93, 0.90, 0.87]) * (1 - elevation) + np.array([0.90, 0.76, 0.62]) * elevation
    cloud = np.clip(0.35 + 0.4 * noise(across / along * 60, up / along * 260, 5, 2), 0, 1)[..., None]
    colour = (sky + (np.array([0.96, 0.96, 0.96]) - sky) * 0.7 * cloud).astype(np.float32)
    depth = np.full(shape, SKY_DEPTH_M, np.float32)
    greenness = np.zeros(shape, np.float32)

    def paint(layer, cover, layer_depth, green):
        nonlocal colour, depth, greenness
        cover = np.where(layer_depth > 0, cover, 0).astype(np.float32)
        colour = colour * (1 - cover[..., None]) + layer * cover[..., None]
        depth = np.where(cover > 0.5, layer_depth, depth)
        greenness = greenness * (1 - cover) + green * cover

    with np.errstate(divide="ignore", invalid="ignore"):
        # `rays` have unit depth, so the ray's length factor is the depth.
        reach = street.trees_y / along
        # Shifted so that the noise tile's seam stays out of the picture.
        u, z = across * reach + 200, eye[2] + up * reach
        paint(*_trees(u, z, reach / camera.focal_px, noise), reach, 1.0)

        reach = np.where(across > 1e-4, street.houses_x / across, -1)
        y, z = along * reach, eye[2] + up * reach
        facing = reach / camera.focal_px / np.maximum(across, 1e-3)
        layer, cover = _houses(y, z, np.clip(facing, 0, 0.6) * 0.5, noise)
        cover = cover * (y < 120) * (y > 0)
        paint(layer, cover, reach, 0.0)

        below = np.where(up < -1e-4, -eye[2] / up, -1)
        x, y = across * below, along * below
        ground, grass = _ground(street, x, y, np.clip(below, 0, 400) / camera.focal_px, noise)
        paint(ground, (y < street.trees_y) & (x < street.houses_x), below, grass)

        for wall_x, top, leaf in (
            (street.wall_right_x, 1.35, [0.12, 0.30, 0.20]),
            (street.hedge_left_x, 1.7, [0.11, 0.27, 0.19]),
        ):
            reach = np.where(across * np.sign(wall_x) > 1e-4, wall_x / across, -1)
            y, z = along * reach, eye[2] + up * reach
            layer, cover = _hedge(y, z, top, np.clip(reach, 0, 400) / camera.focal_px, noise, leaf)
            cover = cover * ((z > 0) & (y > 0) & (y < street.trees_y))
            paint(layer, cover, reach, 1.0)

    scenery = Scenery(np.clip(colour, 0, 1).astype(np.float32), depth.astype(np.float32), greenness)
    _street_furniture(camera, street, scenery)
    return scenery


def _fill(scenery, camera, polygon, colour, depth_m):
    """Paint a world polygon (N, 3) into the albedo."""
    pixels, _ = camera.project(polygon)
    points = [np.round(pixels * 16).astype(np.int32)]
    cv2.fillPoly(scenery.albedo, points, colour, cv2.LINE_AA, 4)
    mask = np.zeros(scenery.depth_m.shape, np.uint8)
    cv2.fillPoly(mask, points, 255, shift=4)
    scenery.depth_m[mask > 0] = depth_m
    scenery.greenness[mask > 0] = 0


def _box(x, y, low, high, width):
    half = width / 2
    return np.array([[x - half, y, low], [x + half, y, low], [x + half, y, high], [x - half, y, high]])


def _street_furniture(camera, street, scenery):
    """Lamp posts along the far pavement and one bend warning sign."""
    for y in (95.0, 62.0, 34.0):
        x = street.far_kerb_x + 1.55
        _fill(scenery, camera, _box(x, y, 0.0, 8.0, 0.13), (0.34, 0.36, 0.36), y)
        _fill(scenery, camera, _box(x, y, 0.0, 1.2, 0.19), (0.30, 0.32, 0.32), y)

    # A triangle with an arrow: a sign, but nothing on it that could be read.
    x, y, low, size = street.far_kerb_x + 0.75, 27.0, 1.75, 0.60
    _fill(scenery, camera, _box(x, y, 0.0, low + size * 0.8, 0.07), (0.45, 0.46, 0.46), y)
    for scale, colour in ((1.0, (0.13, 0.12, 0.72)), (0.72, (0.88, 0.90, 0.90))):
        centre = low + size * 0.29
        corners = [(-0.5, -0.29), (0.5, -0.29), (0.0, 0.58)]
        triangle = np.array([[x + cx * size * scale, y - 0.03, centre + cz * size * scale] for cx, cz in corners])
        _fill(scenery, camera, triangle, colour, y)
    arrow = [(-0.06, -0.17), (0.0, -0.17), (0.0, 0.0), (0.07, 0.09), (0.04, 0.14), (-0.06, 0.03)]
    _fill(
        scenery,
        camera,
        np.array([[x + ax * size, y - 0.05, low + size * 0.29 + az * size] for ax, az in arrow]),
        (0.1, 0.1, 0.1),
        y,
    )


def light_day(scenery):
    """The street under a bright, slightly hazy sky: BGR 0..255 float32."""
    haze = 1 - np.exp(-scenery.depth_m / 420.0)
    lit = scenery.albedo * 1.18
    is_sky = (scenery.depth_m >= SKY_DEPTH_M)[..., None]
    hazy = lit + (np.array([0.90, 0.87, 0.84], np.float32) - lit) * haze[..., None]
    return (np.where(is_sky, scenery.albedo, hazy) * 255).clip(0, 255).astype(np.float32)


def light_night(scenery, illumination):
    """The street by the camera's own infra-red lamp: grey in BGR 0..255 float32.

    `illumination` maps depth in metres to the lamp's relative strength.  Leaves
    reflect near infra-red strongly, so what is green turns bright.
    """
    grey = scenery.albedo @ np.array([0.114, 0.587, 0.299], np.float32)
    grey = grey * (1 - 0.35 * (1 - scenery.greenness)) + 0.22 * scenery.greenness
    level = 9.0 + 430.0 * grey * illumination(scenery.depth_m)
    level = np.where(scenery.depth_m >= SKY_DEPTH_M, 13.0, level)
    return np.repeat(level[..., None], 3, axis=2).astype(np.float32)
