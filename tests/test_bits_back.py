"""Bits back coding loses nothing, and its length is minus the ELBO."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.messages import message
from vae_course.distributions.families import bernoulli
from vae_course.distributions.pixels import continuous_bernoulli
from vae_course.evaluation.bits_back import BitsBack, initial_words, nats_per_picture, ones_and_zeros
from vae_course.evaluation.bounds import mean_elbo
from vae_course.models.vae import VAE, mlp_vae

IMAGE = (1, 6, 6)


def sharp_vae(seed: int) -> VAE:
    """A model whose posteriors and pixels say something, untrained."""
    torch.manual_seed(seed)
    vae = mlp_vae(IMAGE, (16,), 3)
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(3)
        vae.encoder.network[-1].weight.mul_(3)  # type: ignore[union-attr, index]
        vae.encoder.network[-1].bias[3:] -= 2  # type: ignore[union-attr, index]
    return vae


def pictures(n: int) -> Tensor:
    return torch.rand(n, *IMAGE).round()


@pytest.mark.parametrize("seed", range(3))
def test_pictures_and_bottom_come_back_and_the_length_is_minus_the_elbo(seed: int) -> None:
    vae, x, bottom = sharp_vae(seed), pictures(400), initial_words(20, seed)
    coder = BitsBack(vae)
    words = coder.encode(x, bottom)
    back, left = coder.decode(words, len(x))
    assert torch.equal(back, x)
    np.testing.assert_array_equal(left, bottom)
    bound = -mean_elbo(vae, x, samples=200)["elbo"]
    assert nats_per_picture(words, bottom, len(x)) == pytest.approx(bound, rel=0.02)


def test_a_coarse_grid_is_lossless_too() -> None:
    vae, x, bottom = sharp_vae(0), pictures(50), initial_words(20, 0)
    back, left = BitsBack(vae, 2.0).decode(BitsBack(vae, 2.0).encode(x, bottom), len(x))
    assert torch.equal(back, x)
    np.testing.assert_array_equal(left, bottom)


def test_extreme_posteriors_and_pixels_are_coded() -> None:
    vae, x = sharp_vae(1), pictures(5)
    with torch.no_grad():
        vae.encoder.network[-1].bias.copy_(torch.tensor([30.0, -30.0, 0.0, -12.0, -9.0, 3.0]))  # type: ignore[union-attr, index]
        for parameter in vae.decoder.parameters():
            parameter.mul_(20)
    bottom = initial_words(40, 1)
    back, _ = BitsBack(vae).decode(BitsBack(vae).encode(x, bottom), 5)
    assert torch.equal(back, x)


def test_other_pixels_are_refused() -> None:
    assert "binary pictures" in message(lambda: BitsBack(mlp_vae(IMAGE, (4,), 2, continuous_bernoulli)))
    assert BitsBack(mlp_vae(IMAGE, (4,), 2, bernoulli)).shape == IMAGE


def test_binary_pictures_are_packed_eight_a_byte() -> None:
    assert ones_and_zeros(torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1, 1]])) == bytes(
        [0b10000001, 3]
    )
