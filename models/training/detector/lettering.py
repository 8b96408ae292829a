"""Lettering that is no plate: signs, stickers, shop fronts, phone numbers, dates.

The first weights took such lettering for plates more often than anything else.
Here it is drawn and hung into training pictures without a label.  To teach no
falsehood no row mixes capitals with digits as a mark does, and a number stands
alone only with a sign, a separator or more digits than a mark has.  A word of
capitals on a panel of a plate's shape is drawn, and refused: no country issues
such a mark, and police cars and dealers' panels bear them.
"""

import functools

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import roadside_plates

_SYLLABLES = (
    "ba be bo ca ce cha co da de di do el en er fa fi ga ge gra ha he ho in ka ki la le li lo ma me mi mo na ne no "
    "on pa pe po ra re ri ro sa se sha so sta ta te ti to tra un va ve vi wa we"
).split()
_STOCK = (
    "NO PARKING", "TO LET", "FOR SALE", "POLICE", "TAXI", "SALE", "OPEN", "CAR WASH", "STOP", "GIVE WAY", "BUS STOP",
    "Private", "Car Park", "Pay Here", "24 hours", "www.", "Tel.", "Hotel", "School", "Exit", "Entrance", "CCTV in operation",
    "Keep clear", "turbo", "Diesel", "4x4", "TDI", "Sport", "quattro", "AMBULANCE", "FIRE", "MOT", "50% off", "Baby on board",
)  # fmt: skip


# What stands on cars themselves, mostly as loose letters of metal or on a plain panel.
_ON_CARS = (
    "POLICE", "POLIZEI", "POLICIA", "POLITIE", "TAXI", "AMBULANCE", "DOCTOR", "ARMY", "TOYOTA", "SUZUKI", "HONDA", "FORD",
    "NISSAN", "MAZDA", "DAIHATSU", "MITSUBISHI", "PAJERO", "BALENO", "COROLLA", "CIVIC", "LAND ROVER", "RANGE ROVER", "SAAB",
    "VOLVO", "SKODA", "RENAULT", "PEUGEOT", "FIAT", "SUBARU", "KIA", "HYUNDAI", "JAGUAR", "PORSCHE", "TESLA", "VAUXHALL", "OPEL",
    "MOTORS", "CARS", "AUTO", "LIMITED", "HYBRID", "SERVICE", "RECOVERY", "SECURITY", "COURIER", "DRIVING SCHOOL",
)  # fmt: skip


def _word(rng):
    word = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 4)))
    roll = rng.random()
    return word.upper() if roll < 0.4 else word.capitalize() if roll < 0.75 else word


def _line(rng):
    roll = rng.random()
    if roll < 0.30:
        return rng.choice(_STOCK)
    if roll < 0.65:
        return " ".join(_word(rng) for _ in range(rng.choice([1, 1, 2, 2, 3])))
    if roll < 0.78:  # phone number
        return rng.choice(["0", "+44 ", "Tel 0"]) + " ".join(str(rng.randrange(100, 10_000)) for _ in range(rng.randint(2, 3)))
    if roll < 0.84:  # the date that a camera writes into its picture
        return f"{rng.randrange(2005, 2027)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d} {rng.randrange(24):02d}:{rng.randrange(60):02d}"
    if roll < 0.90:
        return f"{rng.choice('£$€')}{rng.randrange(1, 20)},{rng.randrange(100, 1000)}"
    return f"www.{_word(rng).lower()}{_word(rng).lower()}.{rng.choice(['com', 'co.uk', 'de', 'net'])}"


@functools.lru_cache(2000)
def _face(path, size):
    return ImageFont.truetype(path, size)


def _lettered(rng, lines, paper, ink):
    """Lines of text on a panel, BGR uint8, and the mask of the text alone."""
    fonts = roadside_plates.font_files()
    height = 48
    # Without fonts OpenCV's own lettering has to do.
    if fonts:
        face = _face(rng.choice(fonts), height)
        widths = [face.getbbox(line)[2] for line in lines]
    else:
        face = None
        widths = [cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 1.4, 3)[0][0] for line in lines]
    margin = rng.randint(4, 30)
    step = int(height * rng.uniform(1.1, 1.5))
    size = (max(widths) + 2 * margin, step * len(lines) + 2 * margin)
    if face:
        image = Image.new("L", size, 0)
        draw = ImageDraw.Draw(image)
        for row, line in enumerate(lines):
            x = margin if rng.random() < 0.5 else (size[0] - widths[row]) // 2
            draw.text((x, margin + row * step), line, 255, font=face)
        mask = np.array(image)
    else:
        mask = np.zeros(size[::-1], np.uint8)
        for row, line in enumerate(lines):
            cv2.putText(mask, line, (margin, margin + row * step + height), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 3)
    panel = np.empty((*mask.shape, 3), np.float32)
    panel[:] = paper
    panel += (ink - panel) * (mask[..., None] / np.float32(255))
    return panel.astype(np.uint8), mask


def _badge(rng):
    """One line of spaced capitals, as on a car: loose letters of metal or paint, or a dealer's panel."""
    word = rng.choice(_ON_CARS) if rng.random() < 0.5 else _word(rng).upper()
    if rng.random() < 0.3:
        word = f"{word} {rng.choice(_ON_CARS)}"
    if rng.random() < 0.5:
        word = (" " * rng.choice([1, 1, 2])).join(word)
    level = rng.uniform(10, 250)
    ink = np.array([min(255.0, max(0.0, level + rng.uniform(-25, 25))) for _ in range(3)], np.float32)
    panel = np.array([rng.uniform(0, 255) for _ in range(3)], np.float32)
    if abs(float(panel.mean() - ink.mean())) < 60:
        panel = 255 - ink
    image, mask = _lettered(rng, [word], panel, ink)
    return image, mask if rng.random() < 0.7 else None


def random_lettering(rng):
    """A piece of lettering: BGR uint8 panel, and its mask (None: the whole panel shows; else only the letters)."""
    if rng.random() < 0.4:
        return _badge(rng)
    lines = [_line(rng) for _ in range(rng.choices([1, 2, 3, 4], weights=[45, 25, 18, 12])[0])]
    dark = np.array([rng.uniform(0, 90) for _ in range(3)], np.float32)
    light = np.array([rng.uniform(150, 255) for _ in range(3)], np.float32)
    if rng.random() < 0.35:  # road-sign and shop colours
        dark = np.array(rng.choice([(140, 60, 0), (60, 110, 0), (30, 30, 180), (90, 20, 90), (20, 20, 20)]), np.float32)
    paper, ink = (light, dark) if rng.random() < 0.55 else (dark, light)
    panel, mask = _lettered(rng, lines, paper, ink)
    if rng.random() < 0.25:
        inset = rng.randint(2, 8)
        cv2.rectangle(panel, (inset, inset), (panel.shape[1] - inset, panel.shape[0] - inset), ink.tolist(), rng.randint(2, 5))
    return panel, mask if rng.random() < 0.4 else None


class LetteringPool:
    """Pieces kept and slowly renewed, as `roadside_plates.PlatePool` does."""

    def __init__(self, rng, size=600, renewal=0.1):
        self._rng, self._size, self._renewal, self._kept = rng, size, renewal, []

    def take(self):
        """A piece; the same one may come again."""
        if len(self._kept) >= self._size and self._rng.random() >= self._renewal:
            return self._rng.choice(self._kept)
        piece = random_lettering(self._rng)
        if len(self._kept) < self._size:
            self._kept.append(piece)
        else:
            self._kept[self._rng.randrange(self._size)] = piece
        return piece
