"""The UK plate alphabet, drawn with our own pen strokes.

No free font of the UK plate lettering exists, so each character is a set of
centre lines (straight pieces and arcs) widened to the regulation stroke and
clipped to the regulation box: 79 mm high, 50 mm wide, 14 mm stroke (SI
2001/561).  O and 0 are one shape, and so are I and 1: that is how real plates
are made, and only a character's place in the mark tells them apart.

Coordinates are millimetres inside the box, x to the right, y *down*.
"""

import functools
import math

import cv2
import numpy as np
from shapely.geometry import LineString, box
from shapely.ops import unary_union

CHAR_HEIGHT_MM = 79.0
CHAR_WIDTH_MM = 50.0
STROKE_MM = 14.0

# Centre lines of strokes that touch the box's edges lie half a stroke inside.
LEFT = STROKE_MM / 2
RIGHT = CHAR_WIDTH_MM - STROKE_MM / 2
TOP = STROKE_MM / 2
BOTTOM = CHAR_HEIGHT_MM - STROKE_MM / 2

CORNER_MM = 14.0
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Characters made of one bar are as wide as the bar; the rest fill the box.
NARROW = "1I"

# Diagonals that meet at full stroke would clot into a blob; the real alphabet
# thins them, and so do we.
DIAGONAL_THINNING = {"M": 0.86, "W": 0.86, "K": 0.95, "N": 0.95, "X": 0.95}

SUPERSAMPLE = 4


def char_width_mm(char):
    """Width of a character's box in millimetres."""
    return STROKE_MM if char in NARROW else CHAR_WIDTH_MM


def _arc(centre_x, centre_y, radius, start_deg, end_deg, steps=10):
    """Points along an arc; angles run clockwise on the plate (y is down)."""
    points = []
    for step in range(steps + 1):
        angle = math.radians(start_deg + (end_deg - start_deg) * step / steps)
        points.append((centre_x + radius * math.cos(angle), centre_y + radius * math.sin(angle)))
    return points


# Quarter turns through the four corners of the box whose corner is (x, y).
# Each is named after its corner and runs clockwise around the character.
def _top_left(x, y, radius=CORNER_MM):
    return _arc(x + radius, y + radius, radius, 180, 270)


def _top_right(x, y, radius=CORNER_MM):
    return _arc(x - radius, y + radius, radius, 270, 360)


def _bottom_right(x, y, radius=CORNER_MM):
    return _arc(x - radius, y - radius, radius, 0, 90)


def _bottom_left(x, y, radius=CORNER_MM):
    return _arc(x + radius, y - radius, radius, 90, 180)


def _ring(left, top, right, bottom, radius):
    """A closed rounded rectangle."""
    points = (
        _top_left(left, top, radius)
        + _top_right(right, top, radius)
        + _bottom_right(right, bottom, radius)
        + _bottom_left(left, bottom, radius)
    )
    return points + points[:1]


def _strokes():
    """Centre lines of every character."""
    height, width = CHAR_HEIGHT_MM, CHAR_WIDTH_MM
    middle = width / 2
    left_stem = [(LEFT, 0), (LEFT, height)]
    right_stem = [(RIGHT, 0), (RIGHT, height)]
    top_bar = [(0, TOP), (48, TOP)]
    bottom_bar = [(0, BOTTOM), (48, BOTTOM)]
    # Up the left side: from the upper right end, over the top, down to the
    # lower right end.  C and G share it.
    bowl = (
        _top_right(RIGHT, TOP)[::-1]
        + _top_left(LEFT, TOP)[::-1]
        + _bottom_left(LEFT, BOTTOM)[::-1]
        + _bottom_right(RIGHT, BOTTOM)[::-1]
    )
    # The open lower bowl that ends 3, 5, J and S.
    hook = _bottom_right(RIGHT, BOTTOM) + _bottom_left(LEFT, BOTTOM)
    ring = _ring(LEFT, TOP, RIGHT, BOTTOM, CORNER_MM + 1)
    bar = [left_stem]
    six = [[(RIGHT, 24)] + bowl + _top_right(RIGHT, 34)[::-1] + _top_left(LEFT, 34)[::-1]]

    strokes = {
        "A": [[(7.2, 82), (22.3, -3)], [(42.8, 82), (27.7, -3)], [(11, 57), (39, 57)]],
        "B": [
            left_stem,
            [(0, TOP)] + _top_right(42, TOP, 13) + _arc(29, 24.5, 13.5, 0, 90) + [(0, 38)],
            [(0, 38)] + _arc(29, 52, 14, 270, 360) + _arc(29, 58, 14, 0, 90) + [(0, BOTTOM)],
        ],
        "C": [[(RIGHT, 26)] + bowl + [(RIGHT, 53)]],
        "D": [
            left_stem,
            [(0, TOP)] + _top_right(RIGHT, TOP, 16) + _bottom_right(RIGHT, BOTTOM, 16) + [(0, BOTTOM)],
        ],
        "E": [left_stem, top_bar, bottom_bar, [(0, 39), (44, 39)]],
        "F": [left_stem, top_bar, [(0, 40), (43, 40)]],
        "G": [[(RIGHT, 25)] + bowl + [(RIGHT, 39)], [(26, 46), (width, 46)]],
        "H": [left_stem, right_stem, [(LEFT, 39), (RIGHT, 39)]],
        "I": bar,
        "J": [[(RIGHT, 0)] + _bottom_right(RIGHT, BOTTOM, 15) + _bottom_left(LEFT, BOTTOM, 15) + [(LEFT, 52)]],
        "K": [left_stem, [(46, -6), (11, 46)], [(20, 30), (44.5, 84)]],
        "L": [left_stem, [(0, BOTTOM), (47, BOTTOM)]],
        "M": [left_stem, right_stem, [(6, -6), (middle, 50)], [(44, -6), (middle, 50)]],
        "N": [left_stem, right_stem, [(3, -6), (47, 85)]],
        "O": [ring],
        "P": [
            left_stem,
            [(0, TOP)] + _top_right(RIGHT, TOP, 15) + _bottom_right(RIGHT, 45, 15) + [(0, 45)],
        ],
        "Q": [ring, [(27, 50), (47, height)]],
        "R": [
            left_stem,
            [(0, TOP)] + _top_right(RIGHT, TOP, 15) + _bottom_right(RIGHT, 44, 15) + [(0, 44)],
            [(23, 40), (44.5, 84)],
        ],
        "S": [
            [(RIGHT, 24)]
            + _top_right(RIGHT, TOP)[::-1]
            + _top_left(LEFT, TOP)[::-1]
            + _arc(LEFT + 14.5, 24.5, 14.5, 90, 180)[::-1]
            + _arc(RIGHT - 14.5, 54, 14.5, 270, 360)
            + hook
            + [(LEFT, 55)]
        ],
        "T": [[(0, TOP), (width, TOP)], [(middle, 0), (middle, height)]],
        "U": [
            [(LEFT, 0)] + _bottom_left(LEFT, BOTTOM, 16)[::-1] + _bottom_right(RIGHT, BOTTOM, 16)[::-1] + [(RIGHT, 0)]
        ],
        "V": [[(7, -3), (22.9, 82)], [(43, -3), (27.1, 82)]],
        "W": [left_stem, right_stem, [(6, 85), (middle, 29)], [(44, 85), (middle, 29)]],
        "X": [[(5.2, -5), (44.8, 84)], [(44.8, -5), (5.2, 84)]],
        "Y": [[(5.5, -5), (middle, 43)], [(44.5, -5), (middle, 43)], [(middle, 38), (middle, height)]],
        "Z": [[(1, TOP), (width, TOP)], [(0, BOTTOM), (width, BOTTOM)], [(42, TOP), (8, BOTTOM)]],
        "0": [ring],
        "1": bar,
        "2": [
            [(LEFT, 25)]
            + _top_left(LEFT, TOP)
            + _top_right(RIGHT, TOP)
            + [(RIGHT, 25)]
            + _arc(27, 25, 16, 0, 40, 5)
            + [(9.5, 64), (LEFT, BOTTOM)],
            [(0.5, BOTTOM), (width, BOTTOM)],
        ],
        "3": [
            [(LEFT, 23)]
            + _top_left(LEFT, TOP)
            + _top_right(RIGHT - 1, TOP)
            + _arc(RIGHT - 15, 24, 14, 0, 90)
            + [(17, 38)],
            [(17, 38)] + _arc(RIGHT - 14, 52, 14, 270, 360) + hook + [(LEFT, 55)],
        ],
        "4": [[(36, 0), (36, height)], [(35, -4), (4, 58)], [(1, 57), (width, 57)]],
        "5": [
            [(46, TOP), (2, TOP)],
            [(9, 0), (8, 41)],
            [(3, 36), (8, 35)] + _arc(RIGHT - 15, 48, 15, 270, 360) + hook + [(LEFT, 55)],
        ],
        "6": six,
        "7": [[(0, TOP), (width, TOP)], [(43.5, 5), (16, 84)]],
        "8": [_ring(8.5, TOP, 41.5, 38, 13), _ring(LEFT, 38, RIGHT, BOTTOM, 14)],
        # A nine is a six stood on its head.
        "9": [[(width - x, height - y) for x, y in stroke] for stroke in six],
    }
    return strokes


_STROKES = _strokes()


def _is_diagonal(stroke):
    (x0, y0), (x1, y1) = stroke[0], stroke[-1]
    return len(stroke) == 2 and x0 != x1 and y0 != y1


@functools.lru_cache(None)
def outline(char, stroke_mm=STROKE_MM):
    """The character as a shapely polygon in its box, in millimetres."""
    parts = []
    for stroke in _STROKES[char]:
        width = stroke_mm * (DIAGONAL_THINNING.get(char, 1.0) if _is_diagonal(stroke) else 1.0)
        curved = len(stroke) > 4
        parts.append(LineString(stroke).buffer(width / 2, cap_style="flat", join_style="round" if curved else "mitre"))
    return unary_union(parts).intersection(box(0, 0, char_width_mm(char), CHAR_HEIGHT_MM))


@functools.lru_cache(None)
def glyph(char, px_per_mm=1.5, stroke_mm=STROKE_MM):
    """Coverage mask of a character, uint8 0..255, cropped to its box.

    `px_per_mm` sets the scale; the mask is 79 mm high and 50 mm (or, for a
    bar, 14 mm) wide.  Callers share the cached array and must not write to it.
    """
    shape = outline(char, stroke_mm)
    width_px = round(char_width_mm(char) * px_per_mm)
    height_px = round(CHAR_HEIGHT_MM * px_per_mm)
    canvas = np.zeros((height_px * SUPERSAMPLE, width_px * SUPERSAMPLE), np.uint8)
    for polygon in getattr(shape, "geoms", [shape]):
        for ring, value in [(polygon.exterior, 255)] + [(hole, 0) for hole in polygon.interiors]:
            # OpenCV's fixed-point drawing: 4 fractional bits.
            points = np.round(np.array(ring.coords) * (px_per_mm * SUPERSAMPLE * 16))
            cv2.fillPoly(canvas, [points.astype(np.int32)], value, shift=4)
    return cv2.resize(canvas, (width_px, height_px), interpolation=cv2.INTER_AREA)
