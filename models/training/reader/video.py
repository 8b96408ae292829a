"""What H.264 does to a plate: many small pictures coded in one short clip.

Roadside cameras send H.264, whose blocks follow motion and whose detail goes
when the rate is short.  So the pictures are laid side by side in a frame, each
drifts from frame to frame as a passing vehicle would, and the last frame of the
decoded clip gives them back.  Coder and decoder are FFmpeg's, by PyAV.
"""

import fractions

import av
import cv2
import numpy as np

_FRAMES = 3
# Sides of a cell are multiples of a macroblock, so no block mixes two pictures.
_BLOCK_PX = 16
_GREY_CHROMA = 128


def _padded(length):
    return -(-length // _BLOCK_PX) * _BLOCK_PX


def _coded(frames, rate_factor):
    """The last of these grey frames (height, width, multiples of 16) after coding and decoding."""
    height, width = frames[0].shape
    coder = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = width, height, "yuv420p", fractions.Fraction(1, 25)
    coder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(rate_factor)}
    coder.thread_count = 1
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    planes = np.full((height * 3 // 2, width), _GREY_CHROMA, np.uint8)
    packets, last = [], None
    for index, frame in enumerate(frames):
        planes[:height] = frame
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts = index
        packets += coder.encode(picture)
    for packet in packets + coder.encode(None) + [None]:
        for picture in decoder.decode(packet):
            last = picture.to_ndarray()[:height]
    return last


def through_video(rng, pictures):
    """Grey uint8 pictures as a camera's H.264 stream would deliver them, each of the size it had.

    All share one rate factor, 23 (good) to 38 (a starved link); each moves by up
    to 6 px sideways and 2 px down between frames.
    """
    if not pictures:
        return []
    width = _padded(max(max(picture.shape[1] for picture in pictures), 320))
    cells, x, y, row_height = [], 0, 0, 0
    for picture in pictures:
        cell = (_padded(picture.shape[0]), _padded(picture.shape[1]))
        if x + cell[1] > width:
            x, y, row_height = 0, y + row_height, 0
        cells.append((y, x))
        x, row_height = x + cell[1], max(row_height, cell[0])
    frames = [np.full((y + row_height, width), 110, np.uint8) for _ in range(_FRAMES)]
    for picture, (top, left) in zip(pictures, cells):
        across, down = rng.uniform(-6, 6), rng.uniform(-2, 2)
        height, width_px = picture.shape
        for index, frame in enumerate(frames):
            back = index - (_FRAMES - 1)
            moved = picture
            if back:
                shift = np.float32([[1, 0, back * across], [0, 1, back * down]])
                moved = cv2.warpAffine(picture, shift, (width_px, height), borderMode=cv2.BORDER_REPLICATE)
            frame[top : top + height, left : left + width_px] = moved
    last = _coded(frames, rng.randint(23, 38))
    return [last[top : top + picture.shape[0], left : left + picture.shape[1]].copy() for picture, (top, left) in zip(pictures, cells)]
