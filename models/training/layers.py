"""The layers that both networks are built of: dense 3x3 convolutions, which processors run fastest."""

from torch import nn


def convolution(channels_in, channels_out, stride=1, kernel=3):
    """Convolution, batch normalisation, rectification; `stride` may be a pair (down, across)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """What a convolution adds to its input."""

    def __init__(self, channels):
        super().__init__()
        self.a = convolution(channels, channels)

    def forward(self, x):
        return x + self.a(x)
