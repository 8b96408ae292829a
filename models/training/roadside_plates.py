"""Flat number plates in all the variety that a camera meets, for training.

`plates.py` draws UK plates as the law wants them; the demo shows those.  The
networks must also learn from the rest: plates of two dozen countries, other
lettering, misspaced and show plates, black ones, borders, bands, seals, screws
and dealers' names.  Nothing here is a real vehicle's: marks are drawn at random.

The look of foreign plates is invented from their general layout (groups of
letters and digits, band, seal); letter shapes come from free fonts and from
our own strokes (`glyphs.py`).
"""

import dataclasses
import functools
import math
import pathlib
import random

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import glyphs
import plates

PX_PER_MM = 1.5
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"

# Free fonts near to plate lettering, all of them Debian packages (README.md).
# Those that are missing are left out: fewer shapes, but training goes on.
_FONT_DIR = pathlib.Path("/usr/share/fonts/truetype")
_FONT_PATTERNS = (
    "opendin/OSP-DIN.ttf",
    "liberation/LiberationSansNarrow-Bold.ttf",
    "liberation/LiberationSans-Bold.ttf",
    "dejavu/DejaVuSansCondensed-Bold.ttf",
    "dejavu/DejaVuSans-Bold.ttf",
    "dejavu/DejaVuSansMono-Bold.ttf",
    "roboto/unhinted/RobotoCondensed-*.ttf",
    "roboto/unhinted/RobotoTTF/Roboto-Bold.ttf",
    "roadgeek/*.ttf",
    "osifont/osifont.ttf",
    "open-sans/OpenSans-CondBold.ttf",
    "open-sans/OpenSans-Bold.ttf",
)

# Groups of a mark by country: L a letter, D a digit, N a number without leading
# zero of one to so many digits.  Several layouts of one country are equally
# likely; countries weigh as `_COUNTRY_WEIGHTS` says.
_LAYOUTS = {
    "DE": ("L LL N3", "LL LL N4", "LLL L N3", "L L N4"),
    "FR": ("LL DDD LL", "LL DDD LL", "DDDD LL DD", "DDD LLL DD"),
    "ES": ("DDDD LLL", "LL DDDD LL"),
    "IT": ("LL DDDLL", "LL DDD LL"),
    "NL": ("LL DD LL", "DD LLL D", "DD LL LL", "L DDD LL", "D LLL DD", "LL LL DD"),
    "PL": ("LL DDDDD", "LLL DDLL", "LL DDDDL", "LLL DLDD"),
    "BE": ("D LLL DDD", "LLL DDD", "DDD LLL"),
    "PT": ("DD LL DD", "LL DD LL", "DD DD LL"),
    "AT": ("L N5 LL", "LL N4 L"),
    "CZ": ("DLD DDDD",),
    "SK": ("LL DDDLL",),
    "HU": ("LLL DDD", "LL LL DDD"),
    "RO": ("L DDD LLL", "LL DD LLL"),
    "BG": ("L DDDD LL", "LL DDDD LL"),
    "HR": ("LL DDD LL", "LL DDDD L"),
    "SI": ("LL LD DDD", "LL DL LLD"),
    "LT": ("LLL DDD",),
    "LV": ("LL DDDD",),
    "EE": ("DDD LLL",),
    "SE": ("LLL DDD", "LLL DDL"),
    "NO": ("LL DDDDD",),
    "DK": ("LL DD DDD",),
    "CH": ("LL N6",),
    "IE": ("DDD L N5", "DD LL N4"),
    "GR": ("LLL DDDD",),
    "UA": ("LL DDDD LL",),
    "other": ("LLL DDDD", "LLDD LLD", "DDLL DDD", "LL DD L DDDD"),
}
_COUNTRY_WEIGHTS = {"DE": 5, "FR": 2, "ES": 2, "IT": 2, "NL": 2, "PL": 2, "BE": 2, "RO": 2, "AT": 2, "CH": 2, "other": 4}

_YELLOW_BACK = ("NL",)


@dataclasses.dataclass
class FlatPlate:
    """A plate seen from straight ahead.

    `image` is BGR uint8, cut to the plate's outline; `text` the mark without
    spaces; `rows` 1 or 2; `centres` one (x_px, y_px, row) a character.
    """

    image: np.ndarray
    text: str
    rows: int
    centres: list


@functools.cache
def font_files():
    """The fonts that are installed, as paths."""
    found = [str(path) for pattern in _FONT_PATTERNS for path in sorted(_FONT_DIR.glob(pattern))]
    return tuple(path for path in found if "talic" not in path and "Light" not in path)


@functools.lru_cache(20_000)
def _font_mask(font, char, height_px, width_share):
    """A character of a font as a mask of exactly this height; wider or narrower by `width_share` tenths."""
    probe = ImageFont.truetype(font, 100)
    top, bottom = probe.getbbox("H")[1], probe.getbbox("H")[3]
    face = ImageFont.truetype(font, max(8, round(height_px * 100 / (bottom - top))))
    box, line = face.getbbox(char), face.getbbox("H")
    image = Image.new("L", (max(1, box[2] - box[0]) + 2, height_px), 0)
    ImageDraw.Draw(image).text((1 - box[0], -line[1]), char, 255, font=face)
    mask = np.array(image)
    width = max(3, mask.shape[1] * width_share // 10)
    return mask if width == mask.shape[1] else cv2.resize(mask, (width, height_px), interpolation=cv2.INTER_AREA)


def _shade(rng, bgr, spread):
    return np.array([min(255.0, max(0.0, value + rng.uniform(-spread, spread))) for value in bgr], np.float32)


def _uk_groups(rng):
    """Marks in the UK formats, and now and then a show plate's fancy."""
    roll = rng.random()
    if roll < 0.03:
        return ["".join(rng.choice(LETTERS) for _ in range(2)) + rng.choice(DIGITS), "".join(rng.choice(LETTERS + DIGITS) for _ in range(3))]
    if roll < 0.66:
        return list(plates.current_mark(rng).groups)
    maker = rng.choices([plates.prefix_mark, plates.suffix_mark, plates.dateless_mark, plates.ni_mark], weights=[14, 7, 9, 6])[0]
    return list(maker(rng).groups)


def _european_groups(rng):
    names = list(_LAYOUTS)
    country = rng.choices(names, weights=[_COUNTRY_WEIGHTS.get(name, 1) for name in names])[0]
    groups, layout = [], rng.choice(_LAYOUTS[country])
    for pattern in layout.split():
        if pattern[0] == "N":
            groups.append(str(rng.randrange(1, 10 ** rng.randint(1, int(pattern[1])))))
        else:
            groups.append("".join(rng.choice(LETTERS if kind == "L" else DIGITS) for kind in pattern))
    return groups, country


@dataclasses.dataclass
class _Design:
    """How one plate is made; sizes in millimetres."""

    groups: list
    ink: np.ndarray
    back: np.ndarray
    mask_of: object  # character -> mask at PX_PER_MM
    char_height: float
    char_gap: float
    group_gap: float
    two_line: bool
    band: str = None  # "blue", "green", "arms", "oval"
    codes: tuple = ()  # what stands in the band
    separator: str = None  # between groups: "dash", "dot", "seal", "shield"
    least_width: float = 520.0
    captions: tuple = (0.0, 0.0)  # height of small print above and below the mark
    caption_ink: np.ndarray = None
    line_gap: tuple = (10.0, 22.0)
    flanks: tuple = (None, None)  # separators left and right of the upper of two lines
    relief: tuple = None  # (across px, down px, colour): a second set of characters behind the first


def _slanted(mask_of, lean, char):
    """A character that leans by so much of its height, as on show plates."""
    mask = mask_of(char)
    height, reach = mask.shape[0], round(abs(lean) * mask.shape[0])
    start = reach if lean > 0 else 0
    return cv2.warpAffine(mask, np.float32([[1, -lean, start], [0, 1, 0]]), (mask.shape[1] + reach, height))


def _show_lettering(rng, design):
    """Lean and relief of the characters on show plates: italic or "3D gel" lettering, both against the rules and both common."""
    if rng.random() < 0.6:
        slanted = functools.partial(_slanted, design.mask_of, rng.uniform(0.08, 0.25) * rng.choice([1, 1, 1, -1]))
        # A leaning character overlaps its neighbour's box.
        design.mask_of, design.char_gap = slanted, design.char_gap - rng.uniform(4, 12)
    if rng.random() < 0.5:
        colour = (design.ink + design.back) * rng.uniform(0.3, 0.7)
        design.relief = (rng.choice([-3, -2, 2, 3]), rng.choice([-3, -2, 2, 3]), _shade(rng, colour, 30))


def _motorcycle(rng, design):
    """The smaller lettering of motorcycles, 64 x 44 mm with 10 mm strokes (SI 2001/561), nearly always on two lines."""
    height = round(64 * PX_PER_MM)
    design.mask_of = functools.partial(_stroke_mask, stroke_mm=rng.choice([10.5, 11.5, 12.5]), width_share=9, height_px=height)
    design.char_height, design.char_gap, design.group_gap = 64.0, 10 * rng.uniform(0.8, 1.1), 30 * rng.uniform(0.7, 1.0)
    design.two_line = len(design.groups) == 2 and rng.random() < 0.9
    design.least_width, design.line_gap, design.band = rng.choice([0.0, 178.0, 229.0]), (9.0, 16.0), None


def _uk_design(rng):
    groups = _uk_groups(rng)
    roll = rng.random()
    if roll < 0.47:
        ink, back = _shade(rng, (20, 20, 20), 18), _shade(rng, (222, 222, 222), 25)
    elif roll < 0.89:
        ink, back = _shade(rng, (20, 20, 20), 18), _shade(rng, (30 + rng.random() * 70, 185, 225), 20)
    else:
        ink, back = _shade(rng, (205, 205, 205), 25), _shade(rng, (22, 22, 22), 14)
    if rng.random() < 0.78 or not font_files():
        stroke = rng.choice([12.0, 13.0, 14.0, 14.0, 14.0, 15.0])
        mask_of = functools.partial(_stroke_mask, stroke_mm=stroke, width_share=10)
    else:
        font, share = rng.choice(font_files()), rng.choice([9, 10, 10, 11])
        mask_of = functools.partial(_font_mask, font, height_px=round(79 * PX_PER_MM), width_share=share)
    char_gap = 11 * rng.uniform(0.8, 1.15)
    two_line = len(groups) == 2 and rng.random() < 0.26
    band = rng.choices([None, "blue", "green", "oval"], weights=[60, 28, 9, 3])[0]
    design = _Design(
        groups, ink, back, mask_of, 79.0, char_gap,
        group_gap=char_gap if rng.random() < 0.07 else 33 * rng.uniform(0.55, 1.1),  # misspaced now and then
        two_line=two_line,
        band=band if not two_line or rng.random() < 0.3 else None,
        codes=_UK_CODES,
        least_width=(0.0 if rng.random() < 0.2 else 520.0) if not two_line else (0.0 if rng.random() < 0.2 else 285.0),
    )  # fmt: skip
    roll = rng.random()
    if roll < 0.06:
        _motorcycle(rng, design)
    elif roll < 0.16:
        _show_lettering(rng, design)
    return design


def _european_design(rng):
    groups, country = _european_groups(rng)
    roll = rng.random()
    if country in _YELLOW_BACK or roll < 0.10:
        ink, back = _shade(rng, (20, 20, 20), 18), _shade(rng, (30 + rng.random() * 70, 180, 225), 20)
    elif country == "BE":
        ink, back = _shade(rng, (40, 30, 130), 25), _shade(rng, (225, 225, 225), 20)
    elif roll < 0.20:
        ink = _shade(rng, (215, 215, 215), 20)
        back = _shade(rng, rng.choice([(25, 25, 25), (120, 40, 20), (40, 40, 140), (30, 90, 40)]), 18)
    elif roll < 0.25:
        ink, back = _shade(rng, (35, 35, 35), 25), _shade(rng, (150, 150, 150), 35)
    else:
        ink, back = _shade(rng, (22, 22, 22), 18), _shade(rng, (225, 225, 225), 22)
    char_height = rng.uniform(68, 80)
    height_px = round(char_height * PX_PER_MM)
    if rng.random() < 0.33 or not font_files():
        stroke, share = rng.choice([9.0, 10.0, 11.0, 12.0, 13.0]), rng.choice([8, 9, 9, 10])
        mask_of = functools.partial(_stroke_mask, stroke_mm=stroke, width_share=share, height_px=height_px)
    else:
        font = rng.choice(font_files()) if rng.random() < 0.7 else font_files()[0]
        mask_of = functools.partial(_font_mask, font, height_px=height_px, width_share=rng.choice([7, 8, 9, 9, 10, 10]))
    two_line = len(groups) >= 2 and rng.random() < 0.27
    banded = country not in ("CH", "other") and rng.random() < 0.8
    return _Design(
        groups, ink, back, mask_of, char_height,
        char_gap=rng.uniform(6, 13),
        group_gap=rng.uniform(16, 42),
        two_line=two_line,
        band=("arms" if rng.random() < 0.2 else "blue") if banded and (not two_line or rng.random() < 0.4) else None,
        codes=_EUROPEAN_CODES,
        flanks=tuple(rng.choice([None, "seal", "shield", "seal", "shield", "dot"]) for _ in range(2)) if two_line else (None, None),
        separator=rng.choice(["dash", "dot", "seal", "shield", None]),
        least_width=0.0 if two_line or rng.random() < 0.4 else 520.0,
    )  # fmt: skip


def _overseas_design(rng):
    """Plates twice as wide as high with small print around the mark, as in America and much of Asia."""
    layout = rng.choice(["LLL DDDD", "LLL DDD", "DDD LLL", "LL DDDD", "DLLL DDD", "LLL DD", "L DDDDD", "DDDD LL", "DD LL DDDD", "LL DDD"])
    groups = ["".join(rng.choice(LETTERS if kind == "L" else DIGITS) for kind in pattern) for pattern in layout.split()]
    pale, dark = (rng.uniform(175, 240) for _ in range(3)), rng.choice([(25, 25, 25), (110, 40, 20), (30, 30, 140), (50, 90, 20), (25, 25, 25)])
    ink, back = _shade(rng, dark, 22), np.array(list(pale), np.float32)
    if rng.random() < 0.2:  # light on dark: Malaysia, Singapore, old India, taxis
        ink, back = _shade(rng, (220, 220, 220), 20), _shade(rng, rng.choice([(22, 22, 22), (22, 22, 22), (30, 30, 130), (60, 90, 20)]), 15)
    height_px = round(79 * PX_PER_MM)
    if font_files():
        mask_of = functools.partial(_font_mask, rng.choice(font_files()), height_px=height_px, width_share=rng.choice([6, 7, 8, 9]))
    else:
        mask_of = functools.partial(_stroke_mask, stroke_mm=11.0, width_share=rng.choice([7, 8, 9]), height_px=height_px)
    two_line = len(groups) >= 2 and rng.random() < 0.35
    return _Design(
        groups, ink, back, mask_of, 79.0,
        char_gap=rng.uniform(5, 11),
        group_gap=rng.uniform(12, 40),
        two_line=two_line,
        separator=rng.choice(["dash", "dot", "shield", None, None]),
        least_width=rng.choice([0.0, 330.0]),
        captions=(rng.choice([0.0, 24.0, 32.0]), rng.choice([0.0, 20.0, 30.0])),
        caption_ink=_shade(rng, rng.choice([(25, 25, 25), (120, 50, 20), (30, 30, 150), (40, 110, 40)]), 25) if ink.mean() < 120 else ink,
    )  # fmt: skip


@functools.lru_cache(20_000)
def _stroke_mask(char, stroke_mm, width_share, height_px=None):
    mask = glyphs.glyph(char, PX_PER_MM, stroke_mm)
    height = height_px or mask.shape[0]
    width = max(5, mask.shape[1] * width_share // 10)
    return mask if mask.shape == (height, width) else cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)


def _put_text(image, text, centre, height_px, colour, thickness):
    scale = height_px / 22.0
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    origin = (round(centre[0] - width / 2), round(centre[1] + height / 2))
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, [float(v) for v in colour], thickness, cv2.LINE_AA)


_UK_CODES = ("UK", "GB", "GB", "GB", "IRL")
_EUROPEAN_CODES = (
    "D", "D", "F", "I", "NL", "E", "PL", "B", "B", "A", "RO", "P", "CZ", "SK", "H", "S", "DK", "SLO", "HR", "L", "N", "UA",
)  # fmt: skip


def _draw_band(rng, image, width_px, kind, codes):
    height = image.shape[0]
    centre = width_px // 2
    if kind == "oval":  # a nationality sign in a ring, no field of its own
        axes = (round(width_px * rng.uniform(0.38, 0.47)), round(min(width_px * 0.4, height * 0.3)))
        cv2.ellipse(image, (centre, height // 2), axes, 0, 0, 360, (40, 40, 40), rng.choice([2, 3, 4]))
    elif kind == "arms":
        size = width_px * rng.uniform(0.25, 0.42)
        x, y = centre + width_px * rng.uniform(-0.05, 0.2), height * rng.uniform(0.2, 0.36)
        shield = [(-1, -1), (1, -1), (1, 0.3), (0, 1.3), (-1, 0.3)]
        points = np.array([[x + size * dx, y + size * dy] for dx, dy in shield], np.int32)
        cv2.fillPoly(image, [points], _shade(rng, (60, 50, 90), 50).tolist())
    else:
        # Cheap bands are drawn in black, old ones have faded.
        blue = (150, 60, 10) if rng.random() < 0.85 else rng.choice([(30, 30, 30), (190, 150, 110)])
        image[:, :width_px] = _shade(rng, blue if kind == "blue" else (70, 150, 20), 25)
        if kind == "blue" and rng.random() < 0.8:
            for hour in range(12):
                angle = hour * math.pi / 6
                at = (round(centre + width_px * 0.28 * math.cos(angle)), round(height * 0.34 + width_px * 0.28 * math.sin(angle)))
                cv2.circle(image, at, 2, (60, 200, 230), -1)
    if kind != "green" or rng.random() < 0.5:
        code = rng.choice(codes)
        colour = (40, 40, 40) if kind in ("arms", "oval") else rng.choice([(235, 235, 235), (235, 235, 235), (60, 200, 230)])
        size = width_px * rng.uniform(0.24, 0.5) / (1 if len(code) == 1 else 1.25)
        _put_code(rng, image, code, (centre, height * (0.5 if kind == "oval" else rng.uniform(0.62, 0.85))), size, colour)


def _put_code(rng, image, code, centre, height_px, colour):
    """The letters of a country, as tall as a third of the mark's at most, in plate lettering or in print."""
    if not font_files() or rng.random() < 0.2:
        _put_text(image, code, centre, height_px, colour, rng.choice([2, 3, 4]))
        return
    height_px = max(6, round(height_px))
    font, share = rng.choice(font_files()), rng.choice([8, 9, 10])
    masks = [_font_mask(font, char, height_px, share) for char in code]
    x = round(centre[0] - (sum(mask.shape[1] for mask in masks) + 2 * len(masks)) / 2)
    y = round(centre[1] - height_px / 2)
    for mask in masks:
        under = image[y : y + height_px, max(0, x) : max(0, x) + mask.shape[1]]
        if under.shape[:2] == mask.shape:
            under[:] = under + (np.array(colour, np.float32) - under) * (mask[..., None] / np.float32(255))
        x += mask.shape[1] + 2


def _draw_separator(rng, noise, image, x, y, height_px, kind, ink):
    middle = y + height_px // 2
    reach = round(6 * PX_PER_MM)
    if kind == "dash":
        cv2.rectangle(image, (x - reach, middle - reach // 2), (x + reach, middle + reach // 2), ink.tolist(), -1)
    elif kind == "dot":
        cv2.circle(image, (x, middle), reach - 1, ink.tolist(), -1)
    elif kind == "seal":
        for share in rng.choice([(0.28, 0.75), (0.5,)]):
            at, radius = (x, y + round(height_px * share)), round(rng.uniform(9, 17) * PX_PER_MM)
            colour = rng.choice([(120, 120, 120), (60, 140, 200), (160, 110, 60), (90, 170, 90)])
            cv2.circle(image, at, radius, _shade(rng, colour, 40).tolist(), -1)
            if rng.random() < 0.6:
                cv2.circle(image, at, radius, _shade(rng, (100, 100, 100), 60).tolist(), rng.choice([1, 2, 3]))
            if rng.random() < 0.5:  # the month of a test, the letters of an office
                word = rng.choice([str(rng.randrange(1, 13)), f"{rng.randrange(100):02d}", rng.choice(LETTERS)])
                mask = np.zeros(image.shape[:2], np.uint8)
                _put_text(mask, word, at, radius * rng.uniform(0.6, 1.2), (255,), rng.choice([1, 1, 2]))
                image[mask > 127] = _shade(rng, (60, 60, 60), 50)
    else:  # a shield of random colours
        width, height = round(rng.uniform(18, 34) * PX_PER_MM), round(rng.uniform(24, 48) * PX_PER_MM)
        top, left = max(0, middle - height // 2), max(0, x - width // 2)
        under = image[top : top + height, left : left + width]
        if under.size:
            cells = noise.random((rng.randrange(2, 5), rng.randrange(2, 4), 3)).astype(np.float32) * 255
            under[:] = cv2.resize(cells, under.shape[1::-1], interpolation=rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR]))


def _lines(rng, design):
    if not design.two_line:
        return [design.groups]
    cut = 1 if len(design.groups) < 3 or rng.random() < 0.6 else 2
    return [design.groups[:cut], design.groups[cut:]]


def _set_line(design, groups):
    """The characters of a line with their left edges in px, and the line's width in px; None marks a group gap."""
    placed, x_mm = [], 0.0
    for index, group in enumerate(groups):
        if index:
            placed.append((None, None, round((x_mm - design.char_gap + design.group_gap / 2) * PX_PER_MM)))
            x_mm += design.group_gap - design.char_gap
        for char in group:
            mask = design.mask_of(char)
            placed.append((char, mask, round(x_mm * PX_PER_MM)))
            x_mm += mask.shape[1] / PX_PER_MM + design.char_gap
    return placed, round((x_mm - design.char_gap) * PX_PER_MM)


def _draw(rng, noise, design):
    # Seals and arms beside the upper line widen the plate.
    flanked = round(sum(44 * PX_PER_MM for kind in design.flanks if kind))
    lines = [_set_line(design, groups) for groups in _lines(rng, design)]
    text_width = max(width for _, width in lines)
    band = round(rng.uniform(38, 50) * PX_PER_MM) if design.band else 0
    upper = lines[0][1] + flanked
    width = max(round(design.least_width * PX_PER_MM), max(text_width, upper) + band + round(rng.uniform(14, 50) * PX_PER_MM))
    char_height, line_gap = round(design.char_height * PX_PER_MM), round(rng.uniform(*design.line_gap) * PX_PER_MM)
    text_height = char_height * len(lines) + line_gap * (len(lines) - 1)
    above, below = (round(caption * PX_PER_MM) for caption in design.captions)
    height = text_height + above + below + round(2 * rng.uniform(10, 18) * PX_PER_MM)

    image = np.empty((height, width, 3), np.float32)
    image[:] = design.back
    if rng.random() < 0.25:  # a patterned or worn background
        image += cv2.resize(noise.normal(0, 6, (8, 24)).astype(np.float32), (width, height))[..., None]
    y = above + (height - above - below - text_height) // 2 + round(rng.uniform(-3, 3) * PX_PER_MM)
    centres = []
    for row, (placed, line_width) in enumerate(lines):
        slack = width - band - line_width
        left = band + slack / 2 + rng.uniform(-0.25, 0.25) * slack
        for side, kind in enumerate(design.flanks if not centres else ()):
            # Beside the upper line, where there is room for it.
            middle = (band + left) / 2 if side == 0 else (left + line_width + width) / 2
            if kind and min(middle - band, width - middle) > 12 * PX_PER_MM and abs(middle - left - side * line_width) > 14 * PX_PER_MM:
                _draw_separator(rng, noise, image, round(middle), y, char_height, kind, design.ink)
        for char, mask, x in placed:
            x0 = round(left + x)
            if char is None:
                if design.separator:
                    _draw_separator(rng, noise, image, x0, y, char_height, design.separator, design.ink)
                continue
            y0, x0 = max(0, min(y, height - mask.shape[0])), max(0, min(x0, width - mask.shape[1]))
            if design.relief:
                _put_relief(image, mask, x0, y0, design.relief)
            under = image[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
            under += (design.ink - under) * (mask[..., None] / np.float32(255))
            centres.append((x0 + mask.shape[1] / 2, y0 + mask.shape[0] / 2, row))
        y += char_height + line_gap
    image = np.clip(image, 0, 255).astype(np.uint8)
    if band:
        _draw_band(rng, image, band, design.band, design.codes)
    for caption, middle in ((above, above * 0.62), (below, height - below * 0.62)):
        if caption:
            words = "".join(rng.choice(LETTERS) for _ in range(rng.randrange(4, 13)))
            _put_text(image, words, (width / 2, middle), caption * rng.uniform(0.35, 0.6), design.caption_ink, rng.choice([1, 2, 3]))
    _draw_furniture(rng, image, design)
    return image, centres


def _put_relief(image, mask, x0, y0, relief):
    across, down, colour = relief
    x0, y0 = x0 + across, y0 + down
    under = image[max(0, y0) : y0 + mask.shape[0], max(0, x0) : x0 + mask.shape[1]]
    if under.shape[:2] == mask.shape:
        under += (colour - under) * (mask[..., None] / np.float32(255))


def _draw_furniture(rng, image, design):
    """Border, dealer's name and screws."""
    height, width = image.shape[:2]
    if rng.random() < 0.35:
        inset, stroke = round(rng.uniform(2, 6) * PX_PER_MM), max(1, round(rng.uniform(1, 4) * PX_PER_MM))
        cv2.rectangle(image, (inset, inset), (width - inset - 1, height - inset - 1), design.ink.tolist(), stroke)
    if rng.random() < 0.30:
        name = "".join(rng.choice(LETTERS + " .") for _ in range(rng.randrange(6, 24)))
        _put_text(image, name, (width / 2, height - 4.5 * PX_PER_MM), rng.uniform(7, 13), design.ink * 0.8 + 40, 1)
    if rng.random() < 0.40:
        for _ in range(rng.randrange(1, 5)):
            at = (round(rng.uniform(0.03, 0.97) * width), round(rng.choice([rng.uniform(0.05, 0.95), 0.5, 0.12]) * height))
            colour = rng.choice([(30, 30, 30), (220, 220, 220), (40, 190, 220)])
            cv2.circle(image, at, round(rng.uniform(4, 8) * PX_PER_MM), _shade(rng, colour, 30).tolist(), -1)


# UK, European, overseas.
SHARES = (0.5, 0.32, 0.18)


def random_flat_plate(rng, noise, shares=SHARES):
    """A plate at random: `rng` a `random.Random`, `noise` a numpy generator; shares of UK, European and overseas ones."""
    design = rng.choices([_uk_design, _european_design, _overseas_design], shares)[0](rng)
    image, centres = _draw(rng, noise, design)
    return FlatPlate(image, "".join(design.groups), 2 if design.two_line else 1, centres)


class PlatePool:
    """Flat plates kept and slowly renewed: drawing one costs more than bending it."""

    def __init__(self, rng, noise, size=1500, renewal=0.1, shares=SHARES):
        self._rng, self._noise, self._size, self._renewal, self._kept = rng, noise, size, renewal, []
        self._shares = shares

    def take(self):
        """A plate; the same one may come again."""
        if len(self._kept) >= self._size and self._rng.random() >= self._renewal:
            return self._rng.choice(self._kept)
        plate = random_flat_plate(self._rng, self._noise, self._shares)
        if len(self._kept) < self._size:
            self._kept.append(plate)
        else:
            self._kept[self._rng.randrange(self._size)] = plate
        return plate


if __name__ == "__main__":
    # A contact sheet to look at: python roadside_plates.py SHEET.png
    import sys

    generator, texture = random.Random(1), np.random.default_rng(1)
    sheet = np.full((12 * 110, 5 * 300, 3), 90, np.uint8)
    for index in range(60):
        picture = random_flat_plate(generator, texture).image
        scale = min(290 / picture.shape[1], 100 / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        y0, x0 = index // 5 * 110 + 5, index % 5 * 300 + 5
        sheet[y0 : y0 + small.shape[0], x0 : x0 + small.shape[1]] = small
    cv2.imwrite(sys.argv[1], sheet)
