"""Networks between pictures or sounds and smaller fields of vectors, and the masked convolutions of a PixelCNN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_course.networks.stages import halved, stages

_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}


class FieldEncoder(nn.Module):
    """x → stages that halve its sides → field of vectors: [batch, *shape] → [batch, d, *shape[1:] / 2^stages].

    shape: [channels, height, width] of a picture, or [channels, length] of a sound, which the stages convolve along
    time. channels: those of each stage, a convolution of width 4 with stride 2. Raises ValueError for a shape that
    cannot be halved that often.
    """

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], d: int, activation: type[nn.Module] = nn.SiLU
    ) -> None:
        super().__init__()
        convolution = _CONVOLUTION[_dimensions(shape, channels)]
        layers = stages(convolution, (shape[0], *channels), 4, activation)
        self.shape = tuple(shape)
        self.layers = nn.Sequential(*layers, convolution(channels[-1], d, kernel_size=3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError for another shape."""
        if tuple(x.shape[1:]) != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise ValueError(f"The network was given {list(x.shape)}; it expects [batch, {expected}].")
        return self.layers(x)  # type: ignore[no-any-return]


class FieldDecoder(nn.Module):
    """The way back: [..., d, *grid] → stages of transposed convolutions that double the sides → [..., *shape]."""

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], d: int, activation: type[nn.Module] = nn.SiLU
    ) -> None:
        super().__init__()
        dimensions = _dimensions(shape, channels)
        transposed = _TRANSPOSED[dimensions]
        first = [_CONVOLUTION[dimensions](d, channels[-1], kernel_size=3, padding=1), activation()]
        layers = [*first, *stages(transposed, (*reversed(channels), shape[0]), 4, activation)]
        self.axes = dimensions + 1  # of one example
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor) -> Tensor:
        """z: [..., d, *grid] → [..., *shape]."""
        x = self.layers(z.reshape(-1, *z.shape[-self.axes :]))
        return x.reshape(*z.shape[: -self.axes], *x.shape[1:])  # type: ignore[no-any-return]


class MaskedConvolution(nn.Conv2d):
    """A convolution that sees, in reading order, only what comes before a pixel, and the pixel itself if `centre`.

    Van den Oord, Kalchbrenner & Kavukcuoglu, arXiv:1601.06759, section 3.4: mask A without the centre, for the first
    layer, mask B with it, for the others. kernel must be odd. The size of the picture stays.
    """

    mask: Tensor

    def __init__(self, given: int, made: int, kernel: int, centre: bool) -> None:
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"MaskedConvolution was given a kernel of {kernel}: it has a centre only if it is odd.")
        super().__init__(given, made, kernel, padding=kernel // 2)
        mask = torch.zeros(kernel, kernel)
        middle = kernel // 2
        mask[:middle] = 1  # the rows above
        mask[middle, : middle + centre] = 1  # to the left in its own row
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, given, height, width] → [batch, made, height, width]."""
        y: Tensor = self._conv_forward(x, self.weight * self.mask, self.bias)
        return y


class PixelCNN(nn.Module):
    """Codes → logits of each code given those before it in reading order: int64 [n, height, width] → [n, K, height, width].

    An embedding, a masked convolution without its centre, `blocks` residual blocks of masked 3×3 convolutions with
    it, and 1×1 convolutions to the logits. Van den Oord et al., arXiv:1601.06759, section 3.5 (the masks; the blocks
    are smaller). The masks of a stack leave a blind spot, above and to the right (arXiv:1606.05328, section 2.2).

    conditions: channels of a condition [n, conditions, height, width], seen by a position at its own place, and through
    the blocks at earlier places near it: whole only if it is the same everywhere, such as a class.
    """

    def __init__(self, codes: int, width: int, blocks: int, kernel: int = 7, conditions: int = 0) -> None:
        super().__init__()
        self.conditions = conditions
        self.embedding = nn.Embedding(codes, width)
        self.first = MaskedConvolution(width, width, kernel, centre=False)
        self.condition = nn.Conv2d(conditions, width, kernel_size=1) if conditions else None
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), MaskedConvolution(width, width, 3, centre=True)
            )
            for _ in range(blocks)
        )
        self.logits = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), nn.Conv2d(width, codes, 1))

    def forward(self, codes: Tensor, condition: Tensor | None = None) -> Tensor:
        """Raises ValueError if a condition is missing, or given to a network without."""
        if (condition is None) != (self.condition is None):
            raise ValueError(
                f"This PixelCNN takes a condition of {self.conditions} channels; it was given "
                f"{'none' if condition is None else list(condition.shape)}."
            )
        h = self.first(self.embedding(codes).movedim(-1, 1))  # [n, width, height, width]
        if self.condition is not None:
            h = h + self.condition(condition)
        for block in self.blocks:
            h = h + block(h)
        return self.logits(h)  # type: ignore[no-any-return]


def spread(y: Tensor, like: Tensor) -> Tensor:
    """The same features at every position: y [n, features], like [n, channels, *grid] → [n, features, *grid]."""
    grid = like.shape[2:]
    return y.reshape(*y.shape, *[1] * len(grid)).expand(*y.shape, *grid)


def _dimensions(shape: Sequence[int], channels: Sequence[int]) -> int:
    """1 for a sound, 2 for a picture. Raises ValueError for a shape that cannot be halved once for each stage."""
    if len(shape) not in (2, 3) or not channels:
        raise ValueError(
            f"A field network was given the shape {list(shape)} and channels {list(channels)}: it needs [channels, height, "
            "width] or [channels, length], and at least one stage."
        )
    halved(shape[1:], len(channels))
    return len(shape) - 1
