"""Errors of pictures against scikit-image, scipy, loops, and pictures whose value is known."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log10

import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

from tests.messages import message
from vae_course.evaluation.pictures import error_map, mean_squared_error, peak_signal_to_noise, structural_similarity

SIZES = [(11, 11), (12, 17), (16, 16), (40, 13)]


def pictures(n: int = 3, channels: int = 1, size: tuple[int, int] = (13, 16)) -> tuple[Tensor, Tensor]:
    """Reconstructions and pictures in [0, 1], float64, the reconstructions worse from one to the next."""
    x = torch.rand(n, channels, *size).double()
    worse = torch.linspace(0.05, 0.4, n).double().reshape(-1, 1, 1, 1)
    return (x + worse * torch.randn_like(x)).clamp(0, 1), x


# --- the mean squared error


def test_the_mean_squared_error_is_a_number_without_a_gradient() -> None:
    a, b = pictures()
    found = mean_squared_error(a.requires_grad_(), b)
    assert type(found) is float
    pixels = zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)
    assert found == pytest.approx(sum((p - q) ** 2 for p, q in pixels) / (3 * 13 * 16))


# --- the peak signal-to-noise ratio


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("peak", [1.0, 2.5])
def test_the_ratio_of_every_picture_is_that_of_scikit_image(channels: int, peak: float) -> None:
    reference = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
    a, b = pictures(4, channels)
    found = peak_signal_to_noise(a, b, peak)
    assert found.shape == (4,)
    expected = [reference(q.numpy(), p.numpy(), data_range=peak) for p, q in zip(a, b, strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert found.tolist() == sorted(found.tolist(), reverse=True)


def test_the_ratio_of_a_constant_error_is_known() -> None:
    x = torch.zeros(3, 2, 5).double()
    off = torch.tensor([1.0, 0.1, 0.5]).double().reshape(3, 1, 1)
    assert peak_signal_to_noise(x + off, x).tolist() == pytest.approx([0, 20, 20 * log10(2)])
    assert peak_signal_to_noise(x - off, x).tolist() == pytest.approx([0, 20, 20 * log10(2)])
    assert peak_signal_to_noise(x + off, x, 10).tolist() == pytest.approx([20, 40, 20 + 20 * log10(2)])


def test_an_error_ten_times_smaller_is_twenty_decibels_more() -> None:
    a, b = pictures()
    torch.testing.assert_close(peak_signal_to_noise(b + 0.1 * (a - b), b), peak_signal_to_noise(a, b) + 20)


def test_pictures_of_bytes_with_their_peak_have_the_ratio_of_pictures_up_to_one() -> None:
    a, b = ((255 * picture).round() for picture in pictures())
    torch.testing.assert_close(peak_signal_to_noise(a, b, 255), peak_signal_to_noise(a / 255, b / 255))
    torch.testing.assert_close(
        peak_signal_to_noise(a.byte().float(), b.byte().float(), 255.0), peak_signal_to_noise(a, b, 255).float()
    )


def test_equal_pictures_have_an_infinite_ratio_and_no_other_does() -> None:
    a, b = pictures(3)
    a[1] = b[1]
    found = peak_signal_to_noise(a, b).tolist()
    assert found[1] == inf
    assert max(found[0], found[2]) < 100


def test_the_ratio_of_a_picture_does_not_depend_on_its_neighbours_or_shape() -> None:
    a, b = pictures(3, 2)
    together = peak_signal_to_noise(a, b)
    alone = torch.cat([peak_signal_to_noise(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, peak_signal_to_noise(a.flatten(1), b.flatten(1)))
    torch.testing.assert_close(together, peak_signal_to_noise(b, a))


def test_the_mean_ratio_is_more_than_the_ratio_of_the_mean_error() -> None:
    a, b = pictures(5)
    assert float(peak_signal_to_noise(a, b).mean()) > -10 * log10(mean_squared_error(a, b)) + 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ratio_and_the_similarity_keep_the_number_type(dtype: torch.dtype) -> None:
    a, b = (picture.to(dtype) for picture in pictures())
    assert peak_signal_to_noise(a, b).dtype == structural_similarity(a, b).dtype == error_map(a, b, 3).dtype == dtype


# --- the structural similarity


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("peak", [1.0, 4.0])
def test_the_similarity_of_every_picture_is_that_of_scikit_image(
    size: tuple[int, int], channels: int, peak: float
) -> None:
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    a, b = pictures(3, channels, size)
    found = structural_similarity(a, b, peak)
    assert found.shape == (3,)
    expected = [reference(p.numpy(), q.numpy(), data_range=peak, **settings) for p, q in zip(a, b, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-10)
    assert structural_similarity(a.float(), b.float(), peak).tolist() == pytest.approx(expected, abs=1e-4)


def test_the_similarity_of_one_window_is_that_of_a_double_loop() -> None:
    a, b = pictures(2, 1, (11, 11))
    found = structural_similarity(a, b, 2.0)
    for n in range(2):
        sums = dict.fromkeys(("weight", "a", "b", "aa", "bb", "ab"), 0.0)
        for i in range(11):
            for j in range(11):
                weight = exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5 * 1.5))
                p, q = float(a[n, 0, i, j]), float(b[n, 0, i, j])
                for name, value in (("weight", 1), ("a", p), ("b", q), ("aa", p * p), ("bb", q * q), ("ab", p * q)):
                    sums[name] += weight * value
        total = sums.pop("weight")
        m = {name: value / total for name, value in sums.items()}
        c1, c2 = 0.02**2, 0.06**2
        above = (2 * m["a"] * m["b"] + c1) * (2 * (m["ab"] - m["a"] * m["b"]) + c2)
        variances = (m["aa"] - m["a"] ** 2) + (m["bb"] - m["b"] ** 2)
        assert float(found[n]) == pytest.approx(above / ((m["a"] ** 2 + m["b"] ** 2 + c1) * (variances + c2)))


def test_the_similarity_of_a_picture_is_the_mean_over_its_windows_and_channels() -> None:
    a, b = pictures(1, 2, (13, 12))
    windows = [
        structural_similarity(a[:, c : c + 1, i : i + 11, j : j + 11], b[:, c : c + 1, i : i + 11, j : j + 11])
        for c in range(2)
        for i in range(3)
        for j in range(2)
    ]
    torch.testing.assert_close(structural_similarity(a, b), torch.stack(windows).mean(0))


def test_equal_pictures_have_similarity_one() -> None:
    for picture in (pictures()[1], torch.zeros(2, 1, 11, 12), torch.full((2, 3, 20, 20), 0.7).double()):
        found = structural_similarity(picture, picture)
        torch.testing.assert_close(found, torch.ones_like(found))


def test_the_similarity_is_symmetric_and_at_most_one_and_falls_with_the_noise() -> None:
    a, b = pictures(6, 2)
    found = structural_similarity(a, b)
    torch.testing.assert_close(found, structural_similarity(b, a))
    assert (found < 1).all()
    assert found.tolist() == sorted(found.tolist(), reverse=True)


@pytest.mark.parametrize(("grey", "other"), [(0.2, 0.7), (0.0, 1.0), (1.0, 0.9), (-0.5, 0.5)])
def test_the_similarity_of_two_constant_pictures_is_that_of_their_brightness(grey: float, other: float) -> None:
    a, b = torch.full((2, 1, 14, 12), grey).double(), torch.full((2, 1, 14, 12), other).double()
    for peak in (1.0, 3.0):
        c = (0.01 * peak) ** 2
        expected = (2 * grey * other + c) / (grey * grey + other * other + c)
        assert structural_similarity(a, b, peak).tolist() == pytest.approx([expected, expected])


def test_an_inverted_picture_has_a_negative_similarity() -> None:
    _, x = pictures()
    assert (structural_similarity(1 - x, x) < -0.5).all()


def test_pictures_of_bytes_with_their_peak_have_the_similarity_of_pictures_up_to_one() -> None:
    a, b = ((255 * picture).round() for picture in pictures())
    torch.testing.assert_close(structural_similarity(a, b, 255), structural_similarity(a / 255, b / 255))


def test_the_similarity_of_a_picture_does_not_depend_on_its_neighbours() -> None:
    a, b = pictures(3, 2)
    alone = torch.cat([structural_similarity(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(structural_similarity(a, b), alone)


def test_no_pictures_have_no_values() -> None:
    none = torch.zeros(0, 2, 12, 13)
    assert peak_signal_to_noise(none, none).shape == structural_similarity(none, none).shape == (0,)
    assert error_map(none, none).shape == (0, 12, 13)


# --- the gradients


def test_the_gradients_of_ratio_similarity_and_map_are_those_of_finite_differences() -> None:
    a, b = (picture.requires_grad_() for picture in pictures(2, 1, (11, 12)))
    small_a, small_b = (picture[..., :4, :3].detach().requires_grad_() for picture in (a, b))
    assert torch.autograd.gradcheck(structural_similarity, (a, b))
    assert torch.autograd.gradcheck(peak_signal_to_noise, (small_a, small_b))
    assert torch.autograd.gradcheck(lambda p, q: error_map(p, q, 3), (small_a, small_b))


# --- the map of errors


@pytest.mark.parametrize("channels", [1, 3])
def test_the_map_of_single_pixels_is_the_squared_error_summed_over_channels(channels: int) -> None:
    a, b = pictures(2, channels, (5, 4))
    found = error_map(a, b)
    assert found.shape == (2, 5, 4)
    for n in range(2):
        for i in range(5):
            for j in range(4):
                by_hand = sum(float(a[n, c, i, j] - b[n, c, i, j]) ** 2 for c in range(channels))
                assert float(found[n, i, j]) == pytest.approx(by_hand)
    assert float(found.mean()) == pytest.approx(mean_squared_error(a, b) * channels)


@pytest.mark.parametrize("window", [1, 3, 5, 7])
def test_the_map_under_a_window_is_the_mean_over_the_pixels_that_exist(window: int) -> None:
    a, b = pictures(2, 2, (6, 5))
    error, found, half = (a - b).square().sum(1), error_map(a, b, window), window // 2
    for i in range(6):
        for j in range(5):
            block = error[:, max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]
            torch.testing.assert_close(found[:, i, j], block.mean((1, 2)))


def test_the_map_is_scipys_filter_divided_by_the_share_of_the_window_that_exists() -> None:
    a, b = pictures(1, 3, (9, 12))
    error, there = (a - b).square().sum(1)[0], torch.ones(9, 12).double()
    sums, share = (torch.from_numpy(uniform_filter(v.numpy(), 5, mode="constant")) for v in (error, there))
    torch.testing.assert_close(error_map(a, b, 5)[0], sums / share)


@pytest.mark.parametrize("window", [1, 3, 5, 9])
def test_a_constant_error_stays_constant_up_to_the_border(window: int) -> None:
    x = torch.rand(2, 3, 6, 7).double()
    torch.testing.assert_close(error_map(x + 0.5, x, window), torch.full((2, 6, 7), 0.75).double())


def test_an_error_in_one_pixel_lights_exactly_its_window() -> None:
    x = torch.rand(2, 2, 9, 9).double()
    spoilt = x.clone()
    spoilt[1, 0, 4, 3] += 3
    expected = torch.zeros(2, 9, 9).double()
    expected[1, 3:6, 2:5] = 9 / 9
    torch.testing.assert_close(error_map(spoilt, x, 3), expected)


def test_an_error_in_the_corner_is_divided_by_the_counts_of_the_border() -> None:
    x = torch.zeros(1, 1, 5, 5).double()
    spoilt = x.clone()
    spoilt[0, 0, 0, 0] = 1
    expected = torch.zeros(5, 5).double()
    expected[:2, :2] = torch.tensor([[1 / 4, 1 / 6], [1 / 6, 1 / 9]])
    torch.testing.assert_close(error_map(spoilt, x, 3)[0], expected, atol=1e-7, rtol=0)


# --- what is refused

Measure = Callable[..., object]
MEASURES: list[Measure] = [mean_squared_error, peak_signal_to_noise, structural_similarity, error_map]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(2, 1, 12, 13), (3, 1, 12, 12), (1, 1, 12, 12), (2, 3, 12, 12), (2, 12, 12)])
def test_pictures_of_other_shapes_are_not_compared(measure: Measure, shape: tuple[int, ...]) -> None:
    text = message(lambda: measure(torch.zeros(shape), torch.zeros(2, 1, 12, 12)))
    assert str(list(shape)) in text
    assert "[2, 1, 12, 12]" in text


@pytest.mark.parametrize("measure", [peak_signal_to_noise, structural_similarity])
@pytest.mark.parametrize("peak", [0.0, -1.0, float("nan")])
def test_a_peak_that_is_not_positive_is_refused(measure: Measure, peak: float) -> None:
    assert f"the peak {peak}" in message(lambda: measure(*pictures(), peak))


@pytest.mark.parametrize("shape", [(2, 1, 10, 11), (2, 1, 11, 10), (1, 11, 11), (11, 11), (2, 1, 1, 11, 11)])
def test_a_similarity_needs_pictures_of_at_least_eleven_pixels(shape: tuple[int, ...]) -> None:
    text = message(lambda: structural_similarity(torch.zeros(shape), torch.zeros(shape)))
    assert str(list(shape)) in text
    assert "11 pixels" in text


@pytest.mark.parametrize("window", [0, 2, 4, -1, -2])
def test_a_window_that_is_not_odd_and_positive_is_refused(window: int) -> None:
    assert f"the window {window}" in message(lambda: error_map(*pictures(), window))


@pytest.mark.parametrize("shape", [(2, 12, 12), (12, 12), (2, 144), (2, 1, 1, 12, 12)])
def test_a_map_needs_pictures(shape: tuple[int, ...]) -> None:
    assert str(list(shape)) in message(lambda: error_map(torch.zeros(shape), torch.zeros(shape)))
