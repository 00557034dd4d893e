"""What spoils pictures: its moments, its shares, and everything that it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import scipy.stats
import torch
from torch import Tensor

from tests.messages import message
from vae_course.data.batches import Batches
from vae_course.data.corruptions import downscale, gaussian_noise, salt_and_pepper

TYPES = [torch.float32, torch.float64]
Spoil = Callable[[Tensor, torch.Generator], Tensor]
NOISES: list[Spoil] = [
    lambda x, g: gaussian_noise(x, 0.3, g),
    lambda x, g: gaussian_noise(x, torch.linspace(0, 1, len(x)), g),
    lambda x, g: salt_and_pepper(x, 0.3, g),
]


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 50, channels: int = 2, height: int = 12, width: int = 18) -> Tensor:
    """Pictures between black and white, float64: no number is 0 or 1 already."""
    return 0.25 + 0.5 * torch.rand(n, channels, height, width).double()


# --- what holds for both noises


@pytest.mark.parametrize("spoil", NOISES)
def test_noise_changes_neither_the_picture_it_is_given_nor_the_global_generator(spoil: Spoil) -> None:
    x = pictures()
    before, state = x.clone(), torch.get_rng_state()
    spoilt = spoil(x, generator())
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert spoilt.shape == x.shape
    assert not torch.equal(spoilt, x)
    spoilt.zero_()
    assert torch.equal(x, before)


@pytest.mark.parametrize("spoil", NOISES)
def test_the_same_generator_gives_the_same_noise_and_a_second_draw_another(spoil: Spoil) -> None:
    x, g = pictures(), generator()
    first = spoil(x, g)
    assert torch.equal(first, spoil(x, generator()))
    assert not torch.equal(first, spoil(x, g))
    assert not torch.equal(first, spoil(x, generator(4)))


@pytest.mark.parametrize("spoil", NOISES)
@pytest.mark.parametrize("dtype", TYPES)
def test_noise_keeps_the_number_type(spoil: Spoil, dtype: torch.dtype) -> None:
    assert spoil(pictures().to(dtype), generator()).dtype == dtype


@pytest.mark.parametrize("spoil", NOISES)
@pytest.mark.parametrize("shape", [(7,), (7, 5), (7, 1, 64), (7, 1, 4, 6)])
def test_noise_takes_pictures_sounds_and_vectors(spoil: Spoil, shape: tuple[int, ...]) -> None:
    assert spoil(torch.rand(shape), generator()).shape == shape


# --- normal noise


@pytest.mark.parametrize("std", [0.1, 2.0])
@pytest.mark.parametrize("dtype", TYPES)
def test_the_noise_is_normal_with_the_standard_deviation_asked_for(std: float, dtype: torch.dtype) -> None:
    x = pictures(100).to(dtype)
    noise = (gaussian_noise(x, std, generator()) - x).double()
    n = noise.numel()
    assert abs(float(noise.mean())) < 5 * std / n**0.5
    assert abs(float(noise.square().mean()) / std**2 - 1) < 5 * (2 / n) ** 0.5
    assert abs(float(noise.pow(4).mean()) / std**4 - 3) < 5 * (96 / n) ** 0.5
    assert scipy.stats.kstest(noise.flatten()[:5000].numpy() / std, "norm").pvalue > 1e-4


def test_the_noise_of_examples_channels_rows_and_columns_is_independent() -> None:
    x = pictures(60)
    noise = gaussian_noise(x, 1.0, generator()) - x
    for axis in range(4):
        neighbours = noise * noise.roll(1, axis)
        assert abs(float(neighbours.mean())) < 5 / noise.numel() ** 0.5


def test_the_noise_leaves_the_unit_interval() -> None:
    spoilt = gaussian_noise(pictures(), 1.0, generator())
    assert float(spoilt.min()) < -0.5
    assert float(spoilt.max()) > 1.5


def test_noise_without_deviation_leaves_everything() -> None:
    x = pictures(4)
    assert torch.equal(gaussian_noise(x, 0.0, generator()), x)
    assert torch.equal(gaussian_noise(x, torch.zeros(4), generator()), x)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_example_can_have_its_own_deviation(dtype: torch.dtype) -> None:
    """The noise of one generator is that of deviation 1, times each example's own."""
    x = torch.zeros(4, 2, 9, 10, dtype=dtype)
    std = torch.tensor([0.0, 0.1, 3.0, 0.5]).double()
    unit = gaussian_noise(x, 1.0, generator())
    expected = unit * std.to(dtype).reshape(4, 1, 1, 1)
    torch.testing.assert_close(gaussian_noise(x, std, generator()), expected)
    torch.testing.assert_close(gaussian_noise(x, std.float(), generator()), expected)
    assert abs(float(unit.double().square().mean()) - 1) < 5 * (2 / unit.numel()) ** 0.5


def test_equal_deviations_of_all_examples_are_one_for_all() -> None:
    x = pictures(5)
    one = gaussian_noise(x, 0.3, generator())
    torch.testing.assert_close(gaussian_noise(x, torch.full((5,), 0.3).double(), generator()), one)
    torch.testing.assert_close(gaussian_noise(x, torch.tensor(0.3).double(), generator()), one)


@pytest.mark.parametrize(
    "std",
    [
        -0.1,
        float("nan"),
        torch.tensor([0.1, 0.1, -0.1]),
        torch.tensor([0.1, torch.nan, 0.1]),
        torch.ones(2),
        torch.ones(1),
        torch.ones(3, 1),
        torch.ones(3, 2, 12, 18),
    ],
)
def test_negative_missing_and_other_numbers_of_deviations_are_refused(std: float | Tensor) -> None:
    text = message(lambda: gaussian_noise(pictures(3), std, generator()))
    given = torch.as_tensor(std)
    assert (str(list(given.shape)) if given.ndim else f"σ = {std:g}") in text
    assert text.endswith("one for each of the 3.")


# --- salt and pepper


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("dtype", TYPES)
def test_half_the_share_becomes_zero_and_half_becomes_one_and_the_rest_stays(share: float, dtype: torch.dtype) -> None:
    x = pictures(100).to(dtype)
    spoilt = salt_and_pepper(x, share, generator())
    n = x.numel()
    for value in (0, 1):
        count = int((spoilt == value).sum())
        assert abs(count - n * share / 2) < 5 * (n * share / 2 * (1 - share / 2)) ** 0.5
    changed = (spoilt == 0) | (spoilt == 1)
    assert torch.equal(spoilt[~changed], x[~changed])


def test_numbers_fail_independently_of_their_neighbours() -> None:
    x, share = pictures(100), 0.4
    failed = (salt_and_pepper(x, share, generator()) != x).double() - share
    for axis in range(4):
        neighbours = failed * failed.roll(1, axis)
        assert abs(float(neighbours.mean())) < 5 * share * (1 - share) / x.numel() ** 0.5


def test_the_share_zero_leaves_everything_and_the_share_one_nothing() -> None:
    x = pictures()
    assert torch.equal(salt_and_pepper(x, 0.0, generator()), x)
    all_failed = salt_and_pepper(x, 1.0, generator())
    assert set(all_failed.unique().tolist()) == {0.0, 1.0}
    assert abs(float(all_failed.mean()) - 0.5) < 5 * 0.5 / x.numel() ** 0.5


def test_what_fails_at_a_small_share_fails_in_the_same_way_at_a_greater() -> None:
    x = pictures()
    few, many = salt_and_pepper(x, 0.1, generator()), salt_and_pepper(x, 0.6, generator())
    assert torch.equal(many[few != x], few[few != x])


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    assert f"the share {share}" in message(lambda: salt_and_pepper(pictures(), share, generator()))


# --- fewer pixels


@pytest.mark.parametrize("factor", [1, 2, 3, 6])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_smaller_picture_holds_the_means_of_blocks(factor: int, dtype: torch.dtype) -> None:
    x = pictures(3).to(dtype)
    before = x.clone()
    small = downscale(x, factor)
    assert small.shape == (3, 2, 12 // factor, 18 // factor)
    assert small.dtype == dtype
    assert torch.equal(x, before)
    for i in range(12 // factor):
        for j in range(18 // factor):
            block = x[:, :, i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            torch.testing.assert_close(small[:, :, i, j], block.mean((2, 3)))


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_a_picture_with_repeated_pixels_is_made_small_again_without_loss(factor: int) -> None:
    x = pictures(3)
    large = x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    torch.testing.assert_close(downscale(large, factor), x, atol=1e-15, rtol=0)


def test_a_smaller_picture_has_the_same_mean_and_steps_can_be_joined() -> None:
    x = pictures(3)
    torch.testing.assert_close(downscale(x, 6).mean((1, 2, 3)), x.mean((1, 2, 3)))
    torch.testing.assert_close(downscale(downscale(x, 2), 3), downscale(x, 6))


@pytest.mark.parametrize(
    ("shape", "factor"),
    [
        ((2, 1, 12, 18), 4),  # divides the height only
        ((2, 1, 12, 18), 9),  # the width only
        ((2, 1, 12, 18), 5),
        ((2, 1, 12, 18), 36),
        ((2, 1, 12, 18), 0),
        ((2, 1, 12, 18), -2),
        ((1, 12, 18), 2),
        ((12, 18), 2),
        ((2, 1, 1, 12, 18), 2),
    ],
)
def test_factors_that_do_not_divide_and_other_shapes_are_refused(shape: tuple[int, ...], factor: int) -> None:
    text = message(lambda: downscale(torch.zeros(shape), factor))
    assert f"divide {list(shape)} by {factor}" in text


# --- in training


@pytest.mark.parametrize("spoil", [*NOISES, lambda x, _: downscale(x, 3)])
def test_batches_hold_the_spoilt_picture_beside_the_clean_one(spoil: Spoil) -> None:
    x = pictures(20)
    drawn = []
    batches = Batches(x, x, torch.arange(20), size=6, seed=1, augment=spoil)
    for _ in range(2):
        for spoilt, clean, index in batches:
            assert torch.equal(clean, x[index])
            assert len(spoilt) == len(clean)
            assert spoilt.shape != clean.shape or not torch.equal(spoilt, clean)
        drawn.append(torch.cat([spoilt[index.argsort()].flatten() for spoilt, _, index in batches]))
    again = Batches(x, x, torch.arange(20), size=6, seed=1, augment=spoil)
    for _ in range(2):
        list(again)
        repeated = torch.cat([spoilt[index.argsort()].flatten() for spoilt, _, index in again])
        assert torch.equal(repeated, drawn.pop(0))


def test_an_example_is_spoilt_anew_in_every_epoch() -> None:
    x = pictures(8)
    batches = Batches(x, torch.arange(8), size=8, seed=1, augment=lambda b, g: gaussian_noise(b, 0.3, g))
    first, second = (next(spoilt[index.argsort()] for spoilt, index in batches) for _ in range(2))
    noise = torch.stack([first - x, second - x])
    assert abs(float((noise[0] * noise[1]).mean())) < 5 * 0.09 / x.numel() ** 0.5
    assert abs(float(noise.square().mean()) / 0.09 - 1) < 5 * (2 / noise.numel()) ** 0.5
