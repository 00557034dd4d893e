"""Lossless compression by a VAE: bits back coding, whose length is minus the ELBO.

Townsend, Bird & Barber (2019), *Practical lossless compression with latent variables using bits back coding*,
arXiv:1901.04866. The coder of symbols is that of `constriction` (Bamler), asymmetric numeral systems: a stack of bits.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal

from vae_course.models.vae import VAE

Words = NDArray[np.uint32]
Numbers = NDArray[np.float64]
REACH = 8.0  # latents are coded from −8 to 8


class BitsBack:
    """Codes binary pictures one after another onto a stack of bits, and takes them off again in the reverse order.

    A latent is coded as its place on a grid of width `grid`. To code x: *take* z off the stack as if it had been coded by
    q(z|x), which costs −log q bits, the bits back; then put x on by p(x|z), and z by p(z). On average over pictures the
    stack grows by −ELBO, as long as the grid is fine beside the widths of q and p(z) keeps z within reach.

    Raises ValueError for a model whose prior is not N(0, I) or whose pixels are not Bernoulli.
    """

    def __init__(self, model: VAE, grid: float = 1 / 64) -> None:
        stream = _coders()
        prior: Any = model.prior()
        pixels: Any = model.likelihood(prior.sample()[None])
        if not (isinstance(prior, Independent) and isinstance(prior.base_dist, Normal)):
            raise ValueError("BitsBack codes latents of a normal prior; this model has another.")
        if not (isinstance(pixels, Independent) and isinstance(pixels.base_dist, Bernoulli)):
            raise ValueError("BitsBack codes binary pictures: give a model whose likelihood is bernoulli.")
        self.model, self.grid, self.shape = model, grid, pixels.event_shape
        reach = round(REACH / grid)
        self.stack = stream.stack.AnsCoder
        self.latents, self.pixels = stream.model.QuantizedGaussian(-reach, reach), stream.model.Bernoulli(perfect=False)

    def encode(self, pictures: Tensor, initial: Words) -> Words:
        """Put pictures [n, *image] of zeros and ones onto a stack that holds the words `initial`, and return all its words."""
        coder = self.stack(initial)
        for x in pictures:
            place = coder.decode(self.latents, *self._posterior(x))  # the bits back
            coder.encode_reverse(x.flatten().cpu().numpy().astype(np.int32), self.pixels, self._ink(place))
            coder.encode_reverse(place, self.latents, *self._prior())
        return coder.get_compressed()  # type: ignore[no-any-return]

    def decode(self, words: Words, pictures: int) -> tuple[Tensor, Words]:
        """Take `pictures` off the stack: [n, *image] in the order they were put on, and the words that are left."""
        coder = self.stack(words)
        found = []
        for _ in range(pictures):
            place = coder.decode(self.latents, *self._prior())
            x = torch.from_numpy(coder.decode(self.pixels, self._ink(place))).float().reshape(self.shape)
            coder.encode_reverse(place, self.latents, *self._posterior(x))  # give the bits back
            found.append(x)
        return torch.stack(found[::-1]), coder.get_compressed()

    def _prior(self) -> tuple[Numbers, Numbers]:
        base: Any = self.model.prior().base_dist
        return self._on_grid(base.loc, base.scale)

    @torch.no_grad()
    def _posterior(self, x: Tensor) -> tuple[Numbers, Numbers]:
        base: Any = self.model.posterior(x[None].to(self.model.zero.device)).base_dist  # one at a time, here and there
        return self._on_grid(base.loc[0], base.scale[0])

    def _on_grid(self, mean: Tensor, std: Tensor) -> tuple[Numbers, Numbers]:
        places, widths = (number.double().cpu().numpy() / self.grid for number in (mean, std))
        return np.clip(places, -REACH / self.grid, REACH / self.grid), widths

    @torch.no_grad()
    def _ink(self, place: NDArray[np.int32]) -> Numbers:
        z = torch.from_numpy(place).to(self.model.zero) * self.grid
        pixels: Any = self.model.likelihood(z[None])
        return pixels.base_dist.probs.double().cpu().numpy().ravel().clip(1e-6, 1 - 1e-6)  # type: ignore[no-any-return]


def _coders() -> Any:
    try:
        from constriction import stream
    except ImportError:
        raise ImportError(
            "BitsBack needs the package constriction, which is not installed (there is no build of it for Linux on ARM): "
            "pip install constriction."
        ) from None
    return stream


def initial_words(words: int, seed: int) -> Words:
    """Random words for the bottom of a stack: the first picture takes its z from them."""
    return np.random.default_rng(seed).integers(0, 2**32, words, dtype=np.uint32)


def ones_and_zeros(pictures: Tensor) -> bytes:
    """Binary pictures packed eight pixels a byte, as a file compressor would be given them."""
    return np.packbits(pictures.flatten().cpu().numpy().astype(np.uint8)).tobytes()


def nats_per_picture(words: Words, initial: Words, pictures: int) -> float:
    """What the stack grew by, in nats for each picture."""
    return (len(words) - len(initial)) * 32 * log(2) / pictures
