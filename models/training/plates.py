"""Flat UK number plates and the marks on them.

`random_mark` invents registration marks in the UK formats, `random_style` says
how the plate is made, and `render` draws it flat, by the millimetre rules of the
law.  The random ones take a `random.Random`; the same generator state always
gives the same plate.  Nothing weeds out rude letter groups: a clip that is to
be shown should name its marks.

The drive-by renderer hangs these plates on vehicles; the training-data
generator distorts them.

Sizes are from SI 2001/561 schedule 3 as collected in the project's UK notes:
characters 79x50 mm with 14 mm strokes, 11 mm between characters, 33 mm between
groups, 19 mm between lines, 11 mm margins, 520x111 mm for a one-line plate.
The 285x203 mm of a two-line car plate is the usual pressing, not a legal size.
"""

import dataclasses
import random

import cv2
import numpy as np

import glyphs

CHAR_GAP_MM = 11.0
GROUP_GAP_MM = 33.0
LINE_GAP_MM = 19.0
MARGIN_MM = 11.0
ONE_LINE_MM = (520.0, 111.0)
TWO_LINE_MM = (285.0, 203.0)
BAND_MM = 40.0  # a left band or green flash is 40 to 50 mm wide
BORDER_MM = 2.5  # the law allows up to 5, at least 10 mm from the characters

# BGR of the materials in plain daylight.
WHITE = (232, 234, 232)
YELLOW = (38, 186, 240)
BLACK = (26, 24, 24)
BAND_BLUE = (142, 62, 14)
FLASH_GREEN = (92, 156, 30)  # near Pantone 7481c, the zero-emission flash
SILVER = (196, 196, 192)

# Letters a mark may not use: I and Q never, Z only at the end of a current mark.
_LETTERS = "ABCDEFGHJKLMNOPRSTUVWXY"
_LAST_LETTERS = _LETTERS + "Z"
_YEAR_LETTERS = "ABCDEFGHJKLMNPRSTVWXY"
_TAG_FIRST = "ABCDEFGHKLMNOPRSVWY"
# Northern Ireland: I or Z stands second or third.
_NI_CODES = ("AZ", "BZ", "DZ", "EZ", "FZ", "GZ", "HZ", "IA", "IB", "IJ", "IL", "IW", "JZ", "KZ", "LZ", "NZ", "XI", "YZ")


@dataclasses.dataclass(frozen=True)
class Mark:
    """A registration mark: its groups as spaced on the plate, and its format."""

    groups: tuple
    syntax: str

    @property
    def vrm(self):
        """The mark as a database holds it: no space."""
        return "".join(self.groups)

    def __str__(self):
        return " ".join(self.groups)


@dataclasses.dataclass
class Plate:
    """A flat plate picture.

    `image` is BGR uint8 at `px_per_mm`; `size_mm` is (width, height);
    `char_boxes` holds one (x0, y0, x1, y1) in mm for each character of the mark.
    """

    mark: Mark
    image: np.ndarray
    size_mm: tuple
    px_per_mm: float
    char_boxes: list


@dataclasses.dataclass(frozen=True)
class Style:
    """How a plate is made, apart from its mark.

    `band` is None or (text, colour); a band without text is the green flash.
    """

    rear: bool = False
    two_line: bool = False
    band: tuple = None
    border: bool = False
    dealer: str = ""
    silver_on_black: bool = False


def _letters(rng, alphabet, count):
    return "".join(rng.choice(alphabet) for _ in range(count))


def current_mark(rng, newest_year=26):
    """Two letters, age identifier, three letters (September 2001 on).

    `newest_year` is the last year whose identifiers are out, two digits: March
    marks carry the year, September marks the year plus 50.
    """
    age = rng.randint(2, newest_year)
    if rng.random() < 0.5:
        age = rng.randint(1, newest_year) + 50
    tag = rng.choice(_TAG_FIRST) + rng.choice(_LETTERS)
    return Mark((f"{tag}{age:02d}", _letters(rng, _LAST_LETTERS, 3)), "gb_current")


def prefix_mark(rng):
    """Year letter, number, three letters (1983 to 2001)."""
    return Mark((rng.choice(_YEAR_LETTERS) + str(rng.randint(1, 999)), _letters(rng, _LETTERS, 3)), "gb_prefix")


def suffix_mark(rng):
    """Three letters, number, year letter (1963 to 1983)."""
    return Mark((_letters(rng, _LETTERS, 3), str(rng.randint(1, 999)) + rng.choice(_YEAR_LETTERS)), "gb_suffix")


def dateless_mark(rng):
    """Letters and a number in either order (before 1963)."""
    count = rng.randint(1, 3)
    letters = _letters(rng, _LETTERS, count)
    number = str(rng.randint(1, 999 if count == 3 else 9999))
    return Mark((letters, number) if rng.random() < 0.5 else (number, letters), "dateless")


def ni_mark(rng):
    """A Northern Irish code, sometimes with a letter before it, and a number."""
    code = rng.choice(_NI_CODES)
    if rng.random() < 0.8:
        code = _letters(rng, _LETTERS, 1) + code
    return Mark((code, str(rng.randint(1, 9999))), "ni")


def random_mark(rng):
    """A mark in one of the UK formats, about as often as roads show them."""
    maker = rng.choices([current_mark, prefix_mark, ni_mark, dateless_mark, suffix_mark], weights=[82, 8, 5, 3, 2])[0]
    return maker(rng)


def parse_mark(text):
    """A `Mark` from its spaced text, as `LK24 HJV`."""
    groups = tuple(text.upper().split())
    if not groups or any(char not in glyphs.ALPHABET for char in "".join(groups)):
        raise ValueError(f"not a mark: {text!r}")
    return Mark(groups, "given")


def random_style(rng, rear, two_line=False):
    """A style in the mix seen on today's roads."""
    roll = rng.random()
    band = None
    if roll < 0.25:
        band = (rng.choice(["UK", "GB"]), BAND_BLUE)
    elif roll < 0.35:
        band = ("", FLASH_GREEN)
    border = rng.random() < 0.25
    return Style(
        rear=rear,
        two_line=two_line,
        band=band,
        border=border,
        # A border leaves no room below the characters for the supplier's name.
        dealer="" if border else rng.choice(["", "", "Harbour Motors", "Westbridge Cars", "A. Mason & Son"]),
    )


def _group_width_mm(group):
    return sum(map(glyphs.char_width_mm, group)) + CHAR_GAP_MM * (len(group) - 1)


def _line_width_mm(groups):
    return sum(map(_group_width_mm, groups)) + GROUP_GAP_MM * (len(groups) - 1)


def _draw_text(image, text, centre_px, height_px, colour):
    """Small print that is no part of the mark, in OpenCV's built-in lettering."""
    scale = height_px / 22.0
    thickness = max(1, round(scale * 1.6))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    origin = (round(centre_px[0] - width / 2), round(centre_px[1] + height / 2))
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)


def render(mark, style, px_per_mm=1.5):
    """Draw a flat plate; see `Plate` for what comes back."""
    background, ink = (YELLOW if style.rear else WHITE), BLACK
    if style.silver_on_black:
        background, ink = BLACK, SILVER

    lines = [[group] for group in mark.groups] if style.two_line else [list(mark.groups)]
    text_width = max(_line_width_mm(line) for line in lines)
    text_height = glyphs.CHAR_HEIGHT_MM * len(lines) + LINE_GAP_MM * (len(lines) - 1)
    least_width, least_height = TWO_LINE_MM if style.two_line else ONE_LINE_MM
    band_width = BAND_MM if style.band and not style.two_line else 0.0
    # Long marks with a band would crowd a standard plate; makers use wider ones.
    width_mm = max(least_width, text_width + 2 * MARGIN_MM + band_width)
    height_mm = max(least_height, text_height + 2 * MARGIN_MM)

    shape = (round(height_mm * px_per_mm), round(width_mm * px_per_mm), 3)
    image = np.empty(shape, np.uint8)
    image[:] = background

    if band_width:
        text, colour = style.band
        band_px = round(band_width * px_per_mm)
        image[:, :band_px] = colour
        if text:
            _draw_text(image, text, (band_px / 2, shape[0] * 0.76), 14 * px_per_mm, (235, 235, 235))
    if style.border:
        inset = round(4 * px_per_mm)
        start, end = (round(band_width * px_per_mm) + inset, inset), (shape[1] - inset - 1, shape[0] - inset - 1)
        cv2.rectangle(image, start, end, ink, max(1, round(BORDER_MM * px_per_mm)), cv2.LINE_AA)
    if style.dealer:
        _draw_text(image, style.dealer, (shape[1] / 2, shape[0] - 5.5 * px_per_mm), 4.5 * px_per_mm, ink)

    char_boxes = []
    y = (height_mm - text_height) / 2
    for line in lines:
        x = band_width + (width_mm - band_width - _line_width_mm(line)) / 2
        for group in line:
            for char in group:
                mask = glyphs.glyph(char, px_per_mm)[..., None] / 255.0
                left, top = round(x * px_per_mm), round(y * px_per_mm)
                area = image[top : top + mask.shape[0], left : left + mask.shape[1]]
                area[:] = np.round(area * (1 - mask) + np.array(ink) * mask)
                char_boxes.append((x, y, x + glyphs.char_width_mm(char), y + glyphs.CHAR_HEIGHT_MM))
                x += glyphs.char_width_mm(char) + CHAR_GAP_MM
            x += GROUP_GAP_MM - CHAR_GAP_MM
        y += glyphs.CHAR_HEIGHT_MM + LINE_GAP_MM
    return Plate(mark, image, (width_mm, height_mm), px_per_mm, char_boxes)


def random_plate(rng, rear=None):
    """A random mark on a random plate: what a training-data generator wants."""
    rear = rng.random() < 0.5 if rear is None else rear
    return render(random_mark(rng), random_style(rng, rear, two_line=rng.random() < 0.15))


if __name__ == "__main__":
    # A contact sheet to look at: python plates.py SHEET.png
    import sys

    generator = random.Random(1)
    sheet = np.full((10 * 110, 4 * 300, 3), 90, np.uint8)
    for index in range(40):
        picture = random_plate(generator).image
        scale = min(290 / picture.shape[1], 100 / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        y0, x0 = index // 4 * 110 + 5, index % 4 * 300 + 5
        sheet[y0 : y0 + small.shape[0], x0 : x0 + small.shape[1]] = small
    cv2.imwrite(sys.argv[1], sheet)
