"""Convolutional encoders and decoders for pictures whose sides can be halved as often as they have stages."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from vae_course.networks.multilayer import check_pictures, mlp
from vae_course.networks.stages import halved, stages


class ConvolutionalEncoder(nn.Module):
    """Pictures → stages of (3×3 convolution with stride 2, activation) → flatten → MLP: [..., *image] → [..., outputs]."""

    def __init__(
        self,
        image: Sequence[int],
        channels: Sequence[int],
        hidden: Sequence[int],
        outputs: int,
        activation: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        self.image = tuple(image)
        features = prod(smallest(image, channels))
        self.convolutions = nn.Sequential(*stages(nn.Conv2d, (image[0], *channels), 3, activation), nn.Flatten())
        self.dense = mlp(features, *hidden, outputs, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError if x does not end in the shape of a picture, or has another number type than the weights."""
        check_pictures(x, self.image, self.convolutions)
        outputs = self.dense(self.convolutions(x.reshape(-1, *self.image)))
        return outputs.reshape(*x.shape[:-3], outputs.shape[-1])  # type: ignore[no-any-return]


class ConvolutionalDecoder(nn.Module):
    """Latents → MLP → small pictures → stages of (4×4 transposed convolution with stride 2) → [..., *image].

    The kernel is a multiple of the stride, so that every pixel but those at the rim is reached by equally many weights;
    where it is not, equal weights paint a checkerboard. Odena, Dumoulin & Olah, *Deconvolution and checkerboard artifacts*, Distill (2016).
    """

    def __init__(
        self,
        image: Sequence[int],
        channels: Sequence[int],
        hidden: Sequence[int],
        code: int,
        activation: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        self.small = smallest(image, channels)
        self.dense = nn.Sequential(mlp(code, *reversed(hidden), prod(self.small), activation=activation), activation())
        layers = stages(nn.ConvTranspose2d, (*reversed(channels), image[0]), 4, activation)
        self.convolutions = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor) -> Tensor:
        """z: [..., code] → [..., *image]."""
        small = self.dense(z.reshape(-1, z.shape[-1])).unflatten(-1, self.small)
        images = self.convolutions(small)
        return images.reshape(*z.shape[:-1], *images.shape[1:])  # type: ignore[no-any-return]


def convolutional_networks(
    image: Sequence[int],
    channels: Sequence[int],
    hidden: Sequence[int],
    code: int,
    outputs: int,
    numbers: int = 1,
    activation: type[nn.Module] = nn.SiLU,
) -> tuple[ConvolutionalEncoder, ConvolutionalDecoder]:
    """A pair of mirrored sizes: each of the `channels` halves the height and width of a picture, then an MLP follows.

    For a VAE with a diagonal normal posterior `outputs = 2 * code`. numbers: how many the decoder returns for each
    pixel, as channels: [..., numbers · image channels, height, width]. hidden: widths of the MLP's layers, may be ().
    Raises ValueError for pictures that cannot be halved that often, or no channels.
    """
    encoder = ConvolutionalEncoder(image, channels, hidden, outputs, activation)
    decoder = ConvolutionalDecoder((numbers * image[0], *image[1:]), channels, hidden, code, activation)
    for network in (encoder, decoder):
        network.to(memory_format=torch.channels_last)  # a tenth faster on a processor
    return encoder, decoder


def smallest(image: Sequence[int], channels: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height and width after the last halving. Raises ValueError where a side does not divide."""
    if len(image) != 3 or not channels:
        raise ValueError(
            f"A convolutional network was given pictures {list(image)} and channels {list(channels)}: it needs "
            "[channels, height, width] and at least one number of channels."
        )
    height, width = halved(image[1:], len(channels))
    return channels[-1], height, width


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """How many pixels wide the patch is that one output of a stack of convolutions sees: 1 + Σ_l (k_l - 1) Π_{m<l} s_m.

    Araujo, Norris & Sim, *Computing receptive fields of convolutional neural networks*, Distill (2019), eq. 2.
    kernels, strides: one a layer, first layer first. Raises ValueError unless they are equally many and positive.
    """
    if len(kernels) != len(strides) or min((*kernels, *strides), default=1) < 1:
        raise ValueError(
            f"receptive_field was given kernels {list(kernels)} and strides {list(strides)}: one of each a layer, >= 1."
        )
    return 1 + sum((kernel - 1) * prod(strides[:layer]) for layer, kernel in enumerate(kernels))
