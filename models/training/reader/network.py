"""The network that reads a patch, and the loss that teaches it.

A patch of 64 x 160 grey pixels becomes 2 rows of 40 places; a layer of attention
lets every place see the rest of the mark (which tells O from 0); each place
answers with a class: 0 for blank, then `ALPHABET`.  Places are read row by row,
so one-line and two-line plates need no different treatment.
"""

import torch
import torch.nn.functional as F
from torch import nn

from layers import Residual, convolution

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ROWS, COLUMNS = 2, 40
PLACES = ROWS * COLUMNS
MEAN_LEVEL, SPREAD_LEVEL = 112.0, 60.0
# A place that no label speaks of: beside a character's centre.
UNJUDGED = -100


class _Attention(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.n1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.o = nn.Linear(width, width)
        self.n2 = nn.LayerNorm(width)
        self.f = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.heads = heads

    def forward(self, x):
        # Only the batch is open: fixed sides export without arithmetic on shapes.
        width = self.o.in_features
        q, k, v = self.qkv(self.n1(x)).reshape(-1, PLACES, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        attention = ((q * (width // self.heads) ** -0.5) @ k.transpose(-1, -2)).softmax(-1)
        x = x + self.o((attention @ v).transpose(1, 2).reshape(-1, PLACES, width))
        return x + self.f(self.n2(x))


class PlateReader(nn.Module):
    """Patches (N, 1, 64, 160), normalised, to logits (N, 80, 37)."""

    def __init__(self, widths=(24, 48, 72, 112, 144)):
        super().__init__()
        a, b, c, d, e = widths
        self.net = nn.Sequential(
            convolution(1, a, 2), Residual(a), convolution(a, b, 2), Residual(b), convolution(b, c, (2, 1)), Residual(c),
            Residual(c), convolution(c, d, (2, 1)), Residual(d), Residual(d), convolution(d, e, (2, 1)), Residual(e),
        )  # fmt: skip
        self.pos = nn.Parameter(torch.randn(1, PLACES, e) * 0.02)
        self.enc = nn.ModuleList([_Attention(e, 4, 2 * e) for _ in range(2)])
        self.nf = nn.LayerNorm(e)
        self.head = nn.Linear(e, len(ALPHABET) + 1)

    def forward(self, x):
        places = self.net(x).flatten(2).transpose(1, 2) + self.pos
        for layer in self.enc:
            places = layer(places)
        return self.head(self.nf(places))


class DeployedReader(nn.Module):
    """The reader as it is shipped: grey levels 0..255 in, probabilities out, at a temperature."""

    def __init__(self, reader, temperature=1.0):
        super().__init__()
        self.reader, self.temperature = reader, temperature

    def forward(self, x):
        return (self.reader((x - MEAN_LEVEL) / SPREAD_LEVEL) / self.temperature).softmax(-1)


def normalised(patches):
    """uint8 (N, 64, 160) to what `PlateReader` takes."""
    return ((patches.float() - MEAN_LEVEL) / SPREAD_LEVEL)[:, None].contiguous(memory_format=torch.channels_last)


def loss_parts(answer, texts, lengths, places):
    """CTC (Graves et al. 2006) on the text, a character, and cross entropy at places whose class is known.

    `texts` all classes one after another, `lengths` how many belong to each
    sample, `places` (N, 80) classes or `UNJUDGED`.
    """
    answer = answer.float()
    steps = torch.full((len(lengths),), PLACES)
    # Not torch's own mean, which divides each sample by its length: a patch to be read as nothing would weigh seven marks.
    ctc = F.ctc_loss(answer.log_softmax(-1).transpose(0, 1), texts, steps, lengths, reduction="sum", zero_infinity=True)
    ctc = ctc / lengths.sum().clamp_min(1)
    known = places >= 0
    at_places = F.cross_entropy(answer.flatten(0, 1), places.flatten(), ignore_index=UNJUDGED) if known.any() else answer.sum() * 0
    return ctc, at_places


LOSS_WEIGHTS = (1.0, 1.0)


def decoded(probabilities):
    """Best text of (80, 37) probabilities, and the probability of its least sure character."""
    best, classes = probabilities.max(-1)
    text, weakest, previous = "", 1.0, 0
    for index, share in zip(classes.tolist(), best.tolist()):
        if index and index != previous:
            text += ALPHABET[index - 1]
            weakest = min(weakest, share)
        previous = index
    return text, weakest if text else 0.0
