"""Vehicles as simple solids: a lofted body, a lofted cabin, and trim drawn on top.

A vehicle is modelled from the end that faces the camera, since that is all an
ANPR camera sees of it.  Model coordinates are metres: x to the right as seen
by the camera, y away from the camera with 0 at the visible end, z up from the
road.  Nothing here is any maker's design.

A loft is a row of cross-sections (rounded boxes) joined by small four-sided
faces; `Part` holds either such faces or flat trim.  Parts are painted in the
order listed, the faces of one part from far to near, which is enough for
shapes this convex.
"""

import dataclasses
import math

import numpy as np

# BGR 0..1 of materials that are the same on every vehicle.
GLASS = (0.36, 0.32, 0.28)  # the sky in it, at the upper edge
PLASTIC = (0.060, 0.058, 0.056)
TRIM = (0.13, 0.13, 0.13)
CHROME = (0.62, 0.62, 0.60)
TYRE = (0.05, 0.05, 0.05)
LAMP_CLEAR = (0.80, 0.80, 0.78)
LAMP_RED = (0.06, 0.05, 0.58)
LAMP_AMBER = (0.05, 0.40, 0.80)

PAINTS = {
    "white": (0.80, 0.80, 0.79),
    "silver": (0.58, 0.57, 0.55),
    "grey": (0.34, 0.33, 0.32),
    "black": (0.055, 0.050, 0.048),
    "blue": (0.52, 0.25, 0.08),
    "red": (0.09, 0.07, 0.58),
    "green": (0.17, 0.22, 0.08),
    "teal": (0.42, 0.36, 0.12),
    "orange": (0.06, 0.25, 0.66),
}


@dataclasses.dataclass
class Part:
    """Faces painted together.

    `faces` is (N, 4, 3) in metres, `normals` (N, 3) outward, `colours` (N, 3)
    BGR 0..1.  `gloss` 0..1 is how much sky it mirrors.
    """

    faces: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    gloss: float = 0.0
    is_glass: bool = False


@dataclasses.dataclass(frozen=True)
class Lamp:
    """A light source: place in metres, brightness relative to a dipped beam, colour."""

    position: tuple
    power: float
    colour: tuple


@dataclasses.dataclass
class Vehicle:
    """A solid ready to be placed on the road.

    `plate_centre` (metres) is where the plate's middle sits, on a plane that
    leans back by `plate_lean_deg`.
    """

    kind: str
    length: float
    width: float
    height: float
    parts: list
    lamps: list
    plate_centre: tuple
    plate_lean_deg: float


def _as_part(faces, colours, gloss, inside=None):
    faces = np.asarray(faces, float)
    normals = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.maximum(length, 1e-9)
    if inside is not None:
        # Turn every normal away from the solid's axis.
        outward = np.einsum("ij,ij->i", normals, faces.mean(axis=1) - inside)
        normals[outward < 0] *= -1
    colours = np.broadcast_to(np.asarray(colours, float), (len(faces), 3)).copy()
    return Part(faces, normals, colours, gloss)


def _glazed(part):
    """Mark a part as window glass."""
    return dataclasses.replace(part, is_glass=True)


def _loft(stations, paint, gloss, sill=None, steps=36, around=44, squareness=5.0):
    """Skin a row of stations (y, half width at the foot, half width at the top, z foot, z top).

    `sill` is a height in metres below which the skin is dark plastic.
    """
    table = np.array(sorted(stations), float)
    # Dense where stations are: corners of the profile stay, long flanks get few.
    ys = np.unique(np.concatenate([table[:, 0], np.linspace(table[0, 0], table[-1, 0], steps)]))
    columns = [np.interp(ys, table[:, 0], table[:, column]) for column in range(1, 5)]
    angle = np.linspace(0, 2 * math.pi, around, endpoint=False) + math.pi / around
    unit_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / squareness)
    unit_z = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / squareness)

    rings = []
    for y, foot, top, low, high in zip(ys, *columns):
        rise = (unit_z + 1) / 2
        half = foot + (top - foot) * rise
        rings.append(np.stack([unit_x * half, np.full(around, y), low + (high - low) * rise], axis=1))
    rings = np.array(rings)
    following = np.roll(rings, -1, axis=1)
    skin = np.stack([rings[:-1], following[:-1], following[1:], rings[1:]], axis=2).reshape(-1, 4, 3)

    # The visible end is closed by strips across it.
    end = rings[0]
    half_ring = around // 2
    by_height = end[np.argsort(end[:, 2])]
    lids = []
    pairs = by_height.reshape(half_ring, 2, 3)
    pairs = np.take_along_axis(pairs, np.argsort(pairs[..., 0], axis=1)[..., None], axis=1)
    for lower, upper in zip(pairs[:-1], pairs[1:]):
        lids.append([lower[0], lower[1], upper[1], upper[0]])
    faces = np.concatenate([np.array(lids), skin])

    axis = faces.mean(axis=1).copy()
    axis[:, 0] = 0
    axis[:, 2] = np.interp(axis[:, 1], ys, (columns[2] + columns[3]) / 2)
    axis[: len(lids), 1] += 1.0
    part = _as_part(faces, paint, gloss, inside=axis)
    if sill is not None:
        part.colours[faces[..., 2].mean(axis=1) < sill] = PLASTIC
    return part


def _panel(corners, colour, gloss=0.0, shades=1, fade=1.0):
    """Flat trim with four corners, first two at the top.

    Split into `shades` strips that darken (fade < 1) or lighten towards the foot.
    """
    top_left, top_right, low_right, low_left = (np.asarray(corner, float) for corner in corners)
    faces, colours = [], []
    for strip in range(shades):
        a, b = strip / shades, (strip + 1) / shades
        left0, left1 = top_left + (low_left - top_left) * a, top_left + (low_left - top_left) * b
        right0, right1 = top_right + (low_right - top_right) * a, top_right + (low_right - top_right) * b
        faces.append([left0, right0, right1, left1])
        tone = fade ** (strip / max(shades - 1, 1))
        colours.append(np.asarray(colour) * tone)
    middle = np.mean([top_left, top_right, low_right, low_left], axis=0)
    return _as_part(faces, np.array(colours), gloss, inside=middle + [-np.sign(middle[0]) * 1e-3, 1.0, -0.3])


def _upright(x0, x1, z0, z1, y, colour, **more):
    """Rectangular trim facing the camera."""
    return _panel([(x0, y, z1), (x1, y, z1), (x1, y, z0), (x0, y, z0)], colour, **more)


def _both_sides(x0, x1, z0, z1, y, colour, slant=0.0, y_outer=None, **more):
    """The same trim left and right; `slant` lowers its inner end, metres."""
    y_outer = y if y_outer is None else y_outer
    panels = []
    for side in (-1, 1):
        corners = [
            (side * x0, y, z1 - slant),
            (side * x1, y_outer, z1),
            (side * x1, y_outer, z0),
            (side * x0, y, z0 - slant * 0.4),
        ]
        if side > 0:
            panels.append(_panel(corners, colour, **more))
        else:
            panels.append(_panel([corners[1], corners[0], corners[3], corners[2]], colour, **more))
    return panels


def _disc(centre, radius, side, colour, gloss=0.0, sides=20, arch=False):
    """A disc, or its upper half, in the plane x = constant, facing `side` (-1 or 1)."""
    angle = np.linspace(0, math.pi if arch else 2 * math.pi, sides + 1)
    rim = np.stack([np.zeros(sides + 1), radius * np.cos(angle), radius * np.sin(angle)], axis=1) + centre
    faces = [[centre, rim[i], rim[i + 1], rim[i + 1]] for i in range(sides)]
    part = _as_part(np.array(faces), colour, gloss)
    part.normals[:] = (side, 0, 0)
    return part


def _wheels(width, axles_y, radius):
    """Tyre treads below the body (painted before it) and discs on the flanks (after)."""
    treads, discs = [], []
    half = width / 2
    for y in axles_y:
        for side in (-1, 1):
            outer, inner = side * (half - 0.03), side * (half - 0.24)
            angle = np.linspace(math.pi, 2 * math.pi, 9)
            ring = np.stack([y + radius * np.cos(angle), radius + radius * np.sin(angle)], axis=1)
            faces = [
                [(outer, a[0], a[1]), (inner, a[0], a[1]), (inner, b[0], b[1]), (outer, b[0], b[1])]
                for a, b in zip(ring[:-1], ring[1:])
            ]
            treads.append(_as_part(np.array(faces), TYRE, 0.0, inside=np.array([0, y, radius])))
            # Inside the flank's widest line: discs are painted over the body anyway.
            x = side * (half - 0.025)
            discs.append(_disc(np.array([x, y, radius + 0.02]), radius * 1.14, side, (0.03, 0.03, 0.03), arch=True))
            discs.append(_disc(np.array([x, y, radius]), radius, side, TYRE))
            discs.append(_disc(np.array([x, y, radius]), radius * 0.68, side, (0.50, 0.50, 0.49), gloss=0.4))
            discs.append(_disc(np.array([x, y, radius]), radius * 0.20, side, (0.22, 0.22, 0.22)))
    return treads, discs


def _side_glass(half_belt, half_roof, z_belt, z_roof, spans):
    """Windows on both flanks; `spans` are (y0, y1, y0 top, y1 top) in metres."""
    windows = []
    for side in (-1, 1):
        for y0, y1, top0, top1 in spans:
            low, high = side * (half_belt + 0.006), side * (half_roof + 0.006)
            faces = [[(high, top0, z_roof), (high, top1, z_roof), (low, y1, z_belt), (low, y0, z_belt)]]
            dark = np.array(GLASS) * 0.4
            windows.append(_glazed(_as_part(np.array(faces), dark, 0.9, inside=np.array([0, y0, z_belt]))))
    return windows


def _screen(y_foot, y_head, z_foot, z_head, half_foot, half_head, inset=0.07):
    """A windscreen or rear window: black surround and shaded glass."""
    lift = np.array([0.0, -0.012, 0.006])
    corners = np.array(
        [
            (-half_head, y_head, z_head),
            (half_head, y_head, z_head),
            (half_foot, y_foot, z_foot),
            (-half_foot, y_foot, z_foot),
        ]
    )
    inner = corners + (corners.mean(axis=0) - corners) * [inset, inset * 1.6, inset * 1.6]
    return [_panel(corners + lift, PLASTIC, 0.2), _glazed(_panel(inner + 2 * lift, GLASS, 0.9, shades=12, fade=0.28))]


def _occupants(y_foot, z_foot, y_head, z_head, half):
    """Head rests seen dimly through the glass."""
    shapes = []
    for x in (-half * 0.48, half * 0.48):
        rows = []
        for low, high in ((0.30, 0.62), (0.0, 0.30)):
            spread = 0.09 if low else 0.19
            y0, y1 = (y_foot + (y_head - y_foot) * t - 0.03 for t in (low, high))
            z0, z1 = (z_foot + (z_head - z_foot) * t + 0.02 for t in (low, high))
            rows.append(
                _panel(
                    [
                        (x - spread, y1, z1),
                        (x + spread, y1, z1),
                        (x + spread * 1.2, y0, z0),
                        (x - spread * 1.2, y0, z0),
                    ],
                    (0.105, 0.098, 0.092),
                    0.3,
                )
            )
        shapes += rows
    return shapes


def _mirrors(half, y, z, paint):
    """Wing mirrors: a shell with rounded ends on a short arm."""
    parts = []
    for side in (-1, 1):
        arm = sorted((side * half * 0.86, side * (half + 0.02)))
        parts.append(_upright(*arm, z - 0.02, z + 0.03, y, PLASTIC))
        inner, outer = side * (half - 0.015), side * (half + 0.135)
        shell = [(inner, y, z + 0.105), (outer, y, z + 0.085), (outer - side * 0.02, y, z - 0.01), (inner, y, z - 0.02)]
        if side < 0:
            shell = [shell[1], shell[0], shell[3], shell[2]]
        parts.append(_panel(shell, paint, gloss=0.4, shades=5, fade=0.55))
    return parts


def _headlamp(inner, outer, z0, z1, y, y_outer, slant):
    """Clear lenses with a dark housing and a bright reflector."""
    mid_y = (y + y_outer) / 2
    width, height = outer - inner, z1 - z0
    return [
        *_both_sides(inner, outer, z0, z1, y, (0.20, 0.20, 0.20), slant, y_outer, gloss=0.5),
        *_both_sides(
            inner + 0.04,
            outer - 0.03,
            z0 + 0.025,
            z1 - 0.02,
            y - 0.004,
            LAMP_CLEAR,
            slant * 0.8,
            y_outer - 0.004,
            gloss=0.7,
            shades=4,
            fade=0.55,
        ),
        *_both_sides(
            inner + width * 0.42,
            inner + width * 0.74,
            z0 + height * 0.22,
            z1 - height * 0.2,
            mid_y - 0.01,
            (0.97, 0.97, 0.95),
            slant * 0.3,
        ),
    ]


def _grille(half, z0, z1, y, rows):
    bars = [_upright(-half, half, z0, z1, y, (0.03, 0.03, 0.03))]
    for row in range(rows):
        z = z0 + (z1 - z0) * (row + 0.5) / rows
        bars.append(_upright(-half + 0.02, half - 0.02, z - 0.008, z + 0.008, y - 0.004, (0.24, 0.24, 0.24), gloss=0.4))
    return bars


@dataclasses.dataclass(frozen=True)
class CarShape:
    """Proportions of a car in metres."""

    length: float = 4.1
    width: float = 1.78
    height: float = 1.48
    belt: float = 0.93
    clearance: float = 0.20
    wheel: float = 0.315
    bonnet: float = 0.98
    boot: float = 0.0


CAR_SHAPES = {
    "hatchback": CarShape(),
    "saloon": CarShape(length=4.6, width=1.82, height=1.44, belt=0.92, bonnet=1.15, boot=0.62),
    "suv": CarShape(length=4.5, width=1.88, height=1.68, belt=1.08, clearance=0.25, wheel=0.36, bonnet=1.0),
    "city car": CarShape(length=3.6, width=1.65, height=1.50, belt=0.94, wheel=0.29, bonnet=0.75),
}


def car_front(kind, paint, rng):
    """A car that comes towards the camera."""
    shape = CAR_SHAPES[kind]
    half, belt, clear = shape.width / 2, shape.belt, shape.clearance
    roof_half = half * 0.69
    nose = belt - 0.17
    screen_foot = shape.bonnet - 0.02
    screen_head = screen_foot + 0.78
    body = _loft(
        [
            (0.00, half * 0.80, half * 0.74, clear + 0.10, nose - 0.10),
            (0.05, half * 0.91, half * 0.84, clear + 0.05, nose - 0.03),
            (0.16, half * 0.97, half * 0.91, clear + 0.02, nose + 0.03),
            (0.45, half, half * 0.95, clear, belt - 0.08),
            (shape.bonnet, half, half * 0.97, clear, belt + 0.03),
            (shape.length - 0.3, half, half * 0.97, clear, belt + 0.05),
            (shape.length, half * 0.9, half * 0.88, clear + 0.1, belt),
        ],
        paint, 0.8, sill=clear + 0.07,
    )  # fmt: skip
    cabin = _loft(
        [
            (screen_foot - 0.05, half * 0.84, half * 0.82, belt - 0.05, belt + 0.02),
            (screen_head - 0.06, half * 0.90, roof_half, belt - 0.05, shape.height - 0.035),
            (screen_head + 0.25, half * 0.91, roof_half, belt - 0.05, shape.height),
            (shape.length * 0.72, half * 0.90, roof_half, belt - 0.05, shape.height - 0.02),
            (shape.length - 0.25 - shape.boot, half * 0.86, half * 0.7, belt - 0.05, belt + 0.1),
        ],
        paint, 0.8, squareness=6.5,
    )  # fmt: skip
    treads, discs = _wheels(shape.width, (0.82, shape.length - 0.75), shape.wheel)
    low = clear + 0.06
    slant = rng.choice([0.0, 0.03, 0.05])
    lamp_low = nose - 0.17
    face = [
        _upright(-half * 0.74, half * 0.74, low + 0.05, low + 0.19, -0.006, (0.035, 0.035, 0.035)),
        *_grille(half * rng.choice([0.42, 0.50]), lamp_low + 0.01, lamp_low + 0.13, -0.008, rng.choice([2, 3, 4])),
        *_headlamp(half * 0.53, half * 0.885, lamp_low, lamp_low + 0.145, -0.01, 0.07, slant),
        *_both_sides(half * 0.66, half * 0.80, low + 0.10, low + 0.17, -0.01, (0.55, 0.55, 0.54), gloss=0.5),
        _upright(-half * 0.80, half * 0.80, low - 0.02, low + 0.015, -0.008, TRIM),
        # The bonnet's front edge and a blank badge.
        _upright(-half * 0.70, half * 0.70, nose - 0.012, nose - 0.003, -0.004, np.asarray(paint) * 0.4),
        _upright(-0.035, 0.035, lamp_low + 0.045, lamp_low + 0.10, -0.02, CHROME, gloss=0.6),
        # The lip of the bumper catches the light.
        _upright(
            -half * 0.76, half * 0.76, low + 0.20, low + 0.235, -0.008, np.minimum(np.asarray(paint) * 1.25 + 0.02, 1)
        ),
    ]
    glass = _screen(screen_foot, screen_head - 0.05, belt + 0.045, shape.height - 0.07, half * 0.79, roof_half * 0.94)
    glass += _occupants(screen_foot + 0.05, belt + 0.07, screen_head, shape.height - 0.1, half * 0.72)
    glass += [_upright(-0.09, 0.09, shape.height - 0.16, shape.height - 0.11, screen_head - 0.16, (0.03, 0.03, 0.03))]
    rear = shape.length - shape.boot
    windows = _side_glass(
        half * 0.885, half * 0.735, belt + 0.05, shape.height - 0.09,
        [
            (screen_foot + 0.32, screen_foot + 1.22, screen_head + 0.02, screen_foot + 1.22),
            (screen_foot + 1.32, rear - 0.85, screen_foot + 1.32, rear - 1.15),
        ],
    )  # fmt: skip
    lamps = [Lamp((side * half * 0.71, -0.03, lamp_low + 0.075), 1.0, (0.92, 0.97, 1.0)) for side in (-1, 1)]
    parts = [
        *treads,
        body,
        *discs,
        cabin,
        *windows,
        *glass,
        *face,
        *_mirrors(half * 0.97, screen_foot + 0.45, belt + 0.06, paint),
    ]
    return Vehicle(kind, shape.length, shape.width, shape.height, parts, lamps, (0.0, -0.035, low + 0.165), 3.0)


def car_rear(kind, paint, rng):
    """A car that drives away from the camera."""
    shape = CAR_SHAPES[kind]
    half, belt, clear = shape.width / 2, shape.belt, shape.clearance
    roof_half = half * 0.69
    deck = 0.10 + shape.boot
    head = deck + 0.42
    body = _loft(
        [
            (0.00, half * 0.86, half * 0.80, clear + 0.10, belt - 0.30),
            (0.03, half * 0.93, half * 0.86, clear + 0.06, belt - 0.10),
            (0.10, half * 0.98, half * 0.90, clear + 0.03, belt + 0.02),
            (0.40, half, half * 0.95, clear, belt + 0.06),
            (shape.length - shape.bonnet, half, half * 0.95, clear, belt + 0.03),
            (shape.length, half * 0.8, half * 0.8, clear + 0.1, belt - 0.2),
        ],
        paint, 0.8, sill=clear + 0.10,
    )  # fmt: skip
    cabin = _loft(
        [
            (deck - 0.02, half * 0.88, half * 0.82, belt - 0.05, belt + 0.06),
            (head - 0.04, half * 0.90, roof_half, belt - 0.05, shape.height - 0.04),
            (head + 0.22, half * 0.91, roof_half, belt - 0.05, shape.height),
            (shape.length - shape.bonnet - 0.9, half * 0.9, roof_half, belt - 0.05, shape.height - 0.01),
            (shape.length - shape.bonnet, half * 0.86, half * 0.8, belt - 0.05, belt + 0.02),
        ],
        paint, 0.8, squareness=6.5,
    )  # fmt: skip
    treads, discs = _wheels(shape.width, (0.75, shape.length - 0.82), shape.wheel)
    low = clear + 0.08
    plate_z = belt - 0.20 if rng.random() < 0.65 else low + 0.24
    lamp_top = belt - 0.02
    lamp_height = rng.choice([0.16, 0.20, 0.26])
    inner = half * rng.choice([0.52, 0.60, 0.66])
    face = [
        # The bumper's upper edge, its lower plastic and two reflectors.
        _upright(-half * 0.86, half * 0.86, low + 0.325, low + 0.345, -0.010, np.asarray(paint) * 0.45),
        _upright(-half * 0.80, half * 0.80, low - 0.02, low + 0.11, -0.012, PLASTIC),
        *_both_sides(half * 0.60, half * 0.78, low + 0.125, low + 0.155, -0.014, (0.07, 0.06, 0.40), gloss=0.3),
        # The recess for the plate.
        _upright(-0.33, 0.33, plate_z - 0.085, plate_z + 0.10, -0.016, np.asarray(paint) * 0.55, gloss=0.2),
        *_both_sides(
            inner, half * 0.90, lamp_top - lamp_height, lamp_top, -0.012, (0.03, 0.03, 0.22), 0.02, 0.04, gloss=0.5
        ),
        *_both_sides(
            inner + 0.02,
            half * 0.885,
            lamp_top - lamp_height * 0.62,
            lamp_top - 0.02,
            -0.018,
            LAMP_RED,
            0.02,
            0.035,
            gloss=0.4,
            shades=4,
            fade=0.7,
        ),
        *_both_sides(
            inner + 0.04,
            half * 0.86,
            lamp_top - lamp_height * 0.93,
            lamp_top - lamp_height * 0.68,
            -0.018,
            (0.55, 0.56, 0.60),
            0.0,
            0.03,
            gloss=0.4,
        ),
    ]
    if plate_z < belt - 0.25:
        face.append(_upright(-0.22, 0.22, belt - 0.14, belt - 0.115, -0.014, CHROME, gloss=0.6))
    glass = _screen(deck - 0.01, head - 0.06, belt + 0.085, shape.height - 0.09, half * 0.80, roof_half * 0.92)
    glass += [
        _upright(-0.16, 0.16, shape.height - 0.085, shape.height - 0.06, head - 0.12, (0.05, 0.05, 0.35)),
    ]
    glass += _occupants(deck + 0.05, belt + 0.10, head, shape.height - 0.1, half * 0.70)
    windows = _side_glass(
        half * 0.885, half * 0.735, belt + 0.07, shape.height - 0.09,
        [
            (deck + 0.45, deck + 1.2, head + 0.25, deck + 1.2),
            (deck + 1.3, shape.length - shape.bonnet - 0.35, deck + 1.3, shape.length - shape.bonnet - 0.85),
        ],
    )  # fmt: skip
    lamps = [
        Lamp((side * (inner + half * 0.94) / 2, -0.03, lamp_top - lamp_height * 0.38), 0.22, (0.10, 0.10, 1.0))
        for side in (-1, 1)
    ]
    mirror_y = shape.length - shape.bonnet - 0.5
    parts = [
        *treads,
        *_mirrors(half * 0.97, mirror_y, belt + 0.06, paint),
        body,
        *discs,
        cabin,
        *windows,
        *glass,
        *face,
    ]
    return Vehicle(kind, shape.length, shape.width, shape.height, parts, lamps, (0.0, -0.03, plate_z), 4.0)


def van_front(paint, rng):
    """A panel van that comes towards the camera."""
    half, height, belt, clear = 0.98, 2.30, 1.22, 0.24
    body = _loft(
        [
            (0.00, half * 0.84, half * 0.78, clear + 0.10, 0.86),
            (0.06, half * 0.94, half * 0.86, clear + 0.05, 0.98),
            (0.30, half * 0.99, half * 0.92, clear, 1.10),
            (0.72, half, half * 0.94, clear, belt + 0.03),
            (1.50, half, half * 0.92, clear, height * 0.97),
            (1.80, half, half * 0.92, clear, height),
            (5.2, half, half * 0.92, clear, height),
        ],
        paint, 0.6, sill=clear + 0.14, squareness=7.0,
    )  # fmt: skip
    treads, discs = _wheels(half * 2, (0.95, 4.2), 0.34)
    glass = _screen(0.76, 1.46, belt + 0.06, height - 0.16, half * 0.86, half * 0.79)
    glass += _occupants(0.84, belt + 0.08, 1.46, height - 0.3, half * 0.78)
    low = clear + 0.08
    face = [
        _upright(-half * 0.79, half * 0.79, low - 0.02, low + 0.22, -0.006, PLASTIC, shades=3, fade=0.7),
        *_grille(half * 0.55, 0.70, 0.84, -0.008, 3),
        *_headlamp(half * 0.58, half * 0.88, 0.68, 0.90, -0.01, 0.07, 0.02),
    ]
    windows = _side_glass(half * 0.985, half * 0.935, belt + 0.06, height - 0.35, [(1.1, 1.95, 1.45, 1.95)])
    lamps = [Lamp((side * half * 0.73, -0.03, 0.79), 1.0, (0.92, 0.97, 1.0)) for side in (-1, 1)]
    parts = [*treads, body, *discs, *windows, *glass, *face, *_mirrors(half, 1.05, belt + 0.12, PLASTIC)]
    return Vehicle("van", 5.2, half * 2, height, parts, lamps, (0.0, -0.03, low + 0.155), 2.0)


def van_rear(paint, rng):
    """A panel van that drives away from the camera."""
    half, height, clear = 0.98, 2.30, 0.26
    body = _loft(
        [
            (0.00, half * 0.96, half * 0.88, clear + 0.10, height - 0.09),
            (0.05, half * 0.99, half * 0.92, clear + 0.06, height - 0.02),
            (0.30, half, half * 0.92, clear, height),
            (3.6, half, half * 0.92, clear, height),
            (5.2, half * 0.9, half * 0.8, clear + 0.1, 1.0),
        ],
        paint, 0.6, sill=clear + 0.16, squareness=9.0,
    )  # fmt: skip
    treads, discs = _wheels(half * 2, (1.0, 4.25), 0.34)
    seam = np.asarray(paint) * 0.35
    face = [
        _upright(-half * 0.92, half * 0.92, 0.36, 0.50, -0.03, PLASTIC, shades=3, fade=0.7),
        _upright(-0.008, 0.008, 0.50, height - 0.14, -0.008, seam),
        *_both_sides(0.07, half * 0.78, 1.38, 2.00, -0.008, PLASTIC),
        *map(_glazed, _both_sides(0.10, half * 0.75, 1.41, 1.97, -0.012, GLASS, gloss=0.9, shades=8, fade=0.35)),
        *_both_sides(half * 0.86, half * 0.955, 0.78, 1.24, -0.012, (0.04, 0.04, 0.30), gloss=0.4),
        *_both_sides(half * 0.87, half * 0.95, 1.02, 1.22, -0.016, LAMP_RED, gloss=0.4),
        *_both_sides(half * 0.87, half * 0.95, 0.92, 1.00, -0.016, LAMP_AMBER, gloss=0.3),
        *_both_sides(half * 0.87, half * 0.95, 0.80, 0.90, -0.016, (0.6, 0.6, 0.62), gloss=0.3),
        _upright(-0.36, 0.36, 0.70, 0.93, -0.012, np.asarray(paint) * 0.6),
        _upright(0.06, 0.11, 1.05, 1.22, -0.03, PLASTIC),
    ]
    lamps = [Lamp((side * half * 0.91, -0.03, 1.12), 0.22, (0.10, 0.10, 1.0)) for side in (-1, 1)]
    return Vehicle("van", 5.2, half * 2, height, [*treads, body, *discs, *face], lamps, (0.0, -0.03, 0.81), 1.0)


def lorry_front(paint, rng):
    """A small box lorry that comes towards the camera."""
    half, clear = 1.08, 0.34
    cab = _loft(
        [
            (0.00, half * 0.90, half * 0.84, clear + 0.08, 2.20),
            (0.08, half * 0.97, half * 0.90, clear + 0.03, 2.42),
            (0.35, half, half * 0.92, clear, 2.52),
            (1.6, half, half * 0.92, clear, 2.55),
        ],
        paint, 0.6, sill=clear + 0.10, squareness=8.0,
    )  # fmt: skip
    load = _loft(
        [(1.75, 1.16, 1.16, 0.85, 3.25), (1.80, 1.18, 1.18, 0.83, 3.28), (6.6, 1.18, 1.18, 0.83, 3.28)],
        (0.74, 0.74, 0.73), 0.2, squareness=14.0,
    )  # fmt: skip
    treads, discs = _wheels(half * 2, (1.0, 5.2), 0.42)
    low = clear + 0.06
    face = [
        _upright(-half * 0.88, half * 0.88, low, low + 0.30, -0.010, TRIM, shades=3, fade=0.6),
        *_grille(half * 0.62, 0.92, 1.20, -0.008, 4),
        *_headlamp(half * 0.56, half * 0.86, low + 0.08, low + 0.24, -0.016, 0.0, 0.0),
        *_screen(-0.004, 0.10, 1.36, 2.16, half * 0.88, half * 0.82, inset=0.05),
        *_occupants(0.02, 1.40, 0.08, 2.1, half * 0.8),
    ]
    lamps = [Lamp((side * half * 0.72, -0.04, low + 0.17), 1.0, (0.92, 0.97, 1.0)) for side in (-1, 1)]
    parts = [*treads, load, cab, *discs, *face, *_mirrors(half, 0.15, 1.55, PLASTIC)]
    return Vehicle("lorry", 6.6, 2.36, 3.28, parts, lamps, (0.0, -0.03, low + 0.16), 0.0)


def lorry_rear(paint, rng):
    """A small box lorry that drives away from the camera."""
    load = _loft(
        [(0.00, 1.15, 1.15, 0.86, 3.25), (0.04, 1.18, 1.18, 0.83, 3.28), (4.8, 1.18, 1.18, 0.83, 3.28)],
        (0.72, 0.72, 0.71), 0.2, squareness=14.0,
    )  # fmt: skip
    treads, discs = _wheels(2.2, (1.35, 5.4), 0.42)
    face = [_upright(-1.05, 1.05, 0.98, 3.12, -0.006, np.asarray(paint), gloss=0.1)]
    for slat in range(1, 11):
        z = 0.98 + slat * 0.195
        face.append(_upright(-1.05, 1.05, z - 0.008, z + 0.008, -0.010, np.asarray(paint) * 0.6))
    face += [
        _upright(-1.10, 1.10, 0.52, 0.82, 0.10, (0.10, 0.10, 0.10), shades=2, fade=0.7),
        _upright(-1.12, 1.12, 0.42, 0.54, 0.0, (0.30, 0.30, 0.30), gloss=0.2),
        *_both_sides(0.72, 1.06, 0.62, 0.76, -0.004, LAMP_RED, gloss=0.3),
        *_both_sides(0.72, 0.82, 0.62, 0.76, -0.008, LAMP_AMBER, gloss=0.3),
        _upright(-0.05, 0.05, 1.0, 1.12, -0.03, TRIM),
    ]
    lamps = [Lamp((side * 0.95, -0.03, 0.69), 0.22, (0.10, 0.10, 1.0)) for side in (-1, 1)]
    return Vehicle("lorry", 6.6, 2.36, 3.28, [*treads, load, *discs, *face], lamps, (0.0, -0.02, 0.69), 0.0)


def build(kind, paint_name, front, rng):
    """A vehicle by kind (a `CAR_SHAPES` key, `van` or `lorry`) seen from its front or rear."""
    paint = PAINTS[paint_name]
    if kind == "van":
        return (van_front if front else van_rear)(paint, rng)
    if kind == "lorry":
        return (lorry_front if front else lorry_rear)(paint, rng)
    return (car_front if front else car_rear)(kind, paint, rng)
