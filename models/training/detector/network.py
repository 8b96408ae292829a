"""The network, what its answer means, and the loss that teaches it.

One dense convolutional trunk down to stride 32, a top-down neck, and one grid
at stride 8: plates are small and flat, so a single fine grid serves all sizes.
The score has a last layer of its own, beside that of box and corners.
Every cell answers with `MAPS` numbers about a plate whose centre it holds:

    0       score, logit
    1..4    distance from the cell's centre to the box's left, top, right and
            bottom: natural logarithm, in strides
    5..12   offset from the cell's centre to the four corners x, y, clockwise
            from the plate's own top left, in units of `CORNER_UNIT_PX`
"""

import torch
import torch.nn.functional as F
from torch import nn

from layers import Residual, convolution

MAPS = 13
STRIDE_PX = 8
CORNER_UNIT_PX = 32.0
# The picture's mean and spread, in grey levels; the exported network does this itself.
MEAN_LEVEL, SPREAD_LEVEL = 114.0, 58.0
LOG_SIDE_RANGE = (-4.0, 5.0)


def _stage(channels_in, channels_out, blocks):
    return nn.Sequential(convolution(channels_in, channels_out, 2), *(Residual(channels_out) for _ in range(blocks)))


def _twice(x):
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class PlateDetector(nn.Module):
    """BGR pictures (N, 3, H, W), normalised; H and W multiples of 32.  Gives (N, 13, H/8, W/8)."""

    def __init__(self, widths=(16, 24, 48, 80, 112), neck=48, blocks=(1, 3, 3, 2)):
        super().__init__()
        stem, w4, w8, w16, w32 = widths
        self.s4 = nn.Sequential(convolution(3, stem, 2), *_stage(stem, w4, blocks[0]))
        self.s8 = _stage(w4, w8, blocks[1])
        self.s16 = _stage(w8, w16, blocks[2])
        self.s32 = _stage(w16, w32, blocks[3])
        self.l32 = convolution(w32, neck, 1, 1)
        self.l16 = convolution(w16, neck, 1, 1)
        self.l8 = convolution(w8, neck, 1, 1)
        self.m16 = convolution(neck, neck)
        self.m8 = convolution(neck, neck)
        self.score_head = convolution(neck, neck)
        self.shape_head = convolution(neck, neck)
        self.score = nn.Conv2d(neck, 1, 1)
        self.shape = nn.Conv2d(neck, MAPS - 1, 1)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.normal_(self.shape.weight, std=0.01)
        # At first nothing is a plate, and all plates are about 55 x 20 px.
        self.score.bias.data.fill_(-4.0)
        self.shape.bias.data.zero_()
        self.shape.bias.data[:4] = torch.tensor([1.2, 0.2, 1.2, 0.2])

    def forward(self, x):
        c8 = self.s8(self.s4(x))
        c16 = self.s16(c8)
        c32 = self.s32(c16)
        p16 = self.m16(self.l16(c16) + _twice(self.l32(c32)))
        p8 = self.m8(self.l8(c8) + _twice(p16))
        return torch.cat([self.score(self.score_head(p8)), self.shape(self.shape_head(p8))], dim=1)


class DeployedDetector(nn.Module):
    """The detector as it is shipped: takes grey levels 0..255 and gives calibrated scores.

    `scale` and `shift` turn the training score's logit into one whose sigmoid
    is the share of such boxes that are plates.
    """

    def __init__(self, detector, scale=1.0, shift=0.0):
        super().__init__()
        # Normalisation and calibration are folded into the first and last
        # weights, so that they cost nothing; only the border differs, where
        # zero padding now stands for level 0 instead of the mean.  So the
        # subtraction stays, and the division is folded.
        self.detector = detector
        with torch.no_grad():
            detector.s4[0][0].weight.div_(SPREAD_LEVEL)
            detector.score.weight.mul_(scale)
            detector.score.bias.mul_(scale).add_(shift)

    def forward(self, x):
        return self.detector(x - MEAN_LEVEL)


def normalised(pictures):
    """uint8 (N, H, W, 3) to what `PlateDetector` takes."""
    levels = pictures.permute(0, 3, 1, 2).float()
    return ((levels - MEAN_LEVEL) / SPREAD_LEVEL).contiguous(memory_format=torch.channels_last)


def loss_parts(answer, target):
    """The four parts of the loss: score, box, corners, corners against boxes.

    `answer` (N, 13, h, w); `target` as `scenes.targets` makes it, stacked.
    """
    answer = answer.float()
    heat, counts, box_weight, corner_weight = target[:, 0], target[:, 1], target[:, 2], target[:, 3]
    sides, corners = target[:, 4:8], target[:, 8:16]

    # Focal loss on the score (as in CenterNet, arXiv 1904.07850): cells near a centre are forgiven.
    share = answer[:, 0].sigmoid().clamp(1e-5, 1 - 1e-5)
    centre = (heat > 0.999).float()
    found = centre * (1 - share) ** 2 * share.log()
    refused = (1 - centre) * counts * (1 - heat) ** 4 * share**2 * (1 - share).log()
    score_loss = -(found + refused).sum() / centre.sum().clamp(min=1)

    # Generalised intersection over union of the boxes (arXiv 1902.09630).
    guess = answer[:, 1:5].clamp(*LOG_SIDE_RANGE).exp() * STRIDE_PX
    both = torch.minimum(guess, sides)
    shared = (both[:, 0] + both[:, 2]).clamp(min=0) * (both[:, 1] + both[:, 3]).clamp(min=0)
    area = lambda s: (s[:, 0] + s[:, 2]) * (s[:, 1] + s[:, 3])  # noqa: E731
    union = area(guess) + area(sides) - shared
    hull = area(torch.maximum(guess, sides))
    giou = shared / (union + 1e-6) - (hull - union) / (hull + 1e-6)
    box_loss = ((1 - giou) * box_weight).sum() / box_weight.sum().clamp(min=1)

    # Corners, as a share of the plate's width.
    width = (sides[:, 0] + sides[:, 2]).clamp(min=8)[:, None]
    drawn = answer[:, 5:] * CORNER_UNIT_PX
    corner_loss = (((drawn - corners).abs() / width).mean(1) * corner_weight).sum() / corner_weight.sum().clamp(min=1)

    # Photographs have no labelled corners, but the box around the drawn ones is known.
    only_box = box_weight * (corner_weight == 0)
    x, y = drawn[:, 0::2], drawn[:, 1::2]
    extent = torch.stack([-x.amin(1), -y.amin(1), x.amax(1), y.amax(1)], dim=1)
    extent_loss = (((extent - sides).abs() / width).mean(1) * only_box).sum() / only_box.sum().clamp(min=1)
    return score_loss, box_loss, corner_loss, extent_loss


LOSS_WEIGHTS = (1.0, 2.0, 6.0, 2.0)
