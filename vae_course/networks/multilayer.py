"""Multilayer perceptrons, and what lays pictures out for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from vae_course.refusals import refuse_no_tensor


def mlp(*sizes: int, activation: type[nn.Module] = nn.SiLU) -> nn.Sequential:
    """A multilayer perceptron with the given layer sizes; no activation after the last layer.

    `mlp(784, 400, 20)` is 784 → 400 → activation → 20, on the last axis: [..., 784] → [..., 20].
    Raises ValueError for fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"An MLP was given the sizes {sizes}; it needs at least an input and an output size.")
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class FromImages(nn.Module):
    """Flatten pictures and pass them on: [..., *image] → [..., pixels] → network."""

    def __init__(self, image: Sequence[int], network: nn.Module) -> None:
        super().__init__()
        self.image, self.network = tuple(image), network

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError if x does not end in the shape of a picture, or has another number type than the weights."""
        check_pictures(x, self.image, self.network)
        return self.network(x.flatten(-len(self.image)))  # type: ignore[no-any-return]


class ToImages(nn.Module):
    """The network's output laid out as pictures: network → [..., pixels] → [..., *image]."""

    def __init__(self, network: nn.Module, image: Sequence[int]) -> None:
        super().__init__()
        self.network, self.image = network, tuple(image)

    def forward(self, z: Tensor) -> Tensor:
        """z: [..., latent] → [..., *image]."""
        return self.network(z).unflatten(-1, self.image)  # type: ignore[no-any-return]


def image_mlps(
    image: Sequence[int],
    hidden: Sequence[int],
    code: int,
    outputs: int,
    activation: type[nn.Module] = nn.SiLU,
    numbers: int = 1,
) -> tuple[FromImages, ToImages]:
    """A symmetric pair of MLPs: encoder pixels → hidden → outputs, decoder code → hidden reversed → pixels.

    For an autoencoder `outputs = code`; for a VAE with a diagonal normal posterior `outputs = 2 * code`.
    numbers: how many the decoder returns for each pixel, as channels: [..., numbers · channels, height, width].
    """
    pixels = prod(image)
    encoder = FromImages(image, mlp(pixels, *hidden, outputs, activation=activation))
    decoded = (numbers * image[0], *image[1:])
    decoder = ToImages(mlp(code, *reversed(hidden), prod(decoded), activation=activation), decoded)
    return encoder, decoder


def check_pictures(x: Tensor, image: Sequence[int], network: nn.Module) -> None:
    """Raise ValueError if x does not end in the shape of a picture, or has another number type than the weights."""
    refuse_no_tensor("The network", x)
    if tuple(x.shape[-len(image) :]) != tuple(image):
        raise ValueError(f"The network was given {list(x.shape)}; it expects pictures [..., {_list(image)}].")
    weight = next(network.parameters(), x)
    if x.dtype != weight.dtype:
        raise ValueError(
            f"The network was given numbers of type {x.dtype}; its weights are {weight.dtype}: convert the pictures "
            "with .to(...), and divide bytes by 255."
        )


def count_parameters(module: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _list(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))
