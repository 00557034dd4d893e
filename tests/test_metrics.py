"""Measures against their closed forms."""

from __future__ import annotations

from math import cos, radians, sin

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from vae_course.data.images import ImageSet, digits_8x8, split
from vae_course.evaluation.features import DigitFeatures, frechet_distance
from vae_course.evaluation.geometry import axial_error, principal_angles
from vae_course.evaluation.pictures import mean_squared_error


def standard_points(n: int = 200, d: int = 3) -> Tensor:
    """Points whose sample mean is 0 and whose sample covariance is the identity, exactly."""
    points = torch.randn(n, d).double()
    points = points - points.mean(0)
    white: Tensor = points @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(points.T))).T
    return white


def test_equal_sets_have_no_distance() -> None:
    points = torch.randn(100, 5)
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(points, points[torch.randperm(100)]) == pytest.approx(0, abs=1e-9)


def test_the_distance_of_shifted_points_is_the_squared_shift() -> None:
    points, by = standard_points(), torch.tensor([1.0, -2.0, 0.5]).double()
    assert frechet_distance(points, points + by) == pytest.approx(1 + 4 + 0.25)


def test_the_distance_of_scaled_points_is_the_sum_of_squared_differences_of_standard_deviations() -> None:
    points = standard_points()
    a, b = torch.tensor([1.0, 2.0, 0.1]).double(), torch.tensor([3.0, 2.0, 0.6]).double()
    assert frechet_distance(points * a, points * b) == pytest.approx(4 + 0 + 0.25)
    assert frechet_distance(points * a, 1 + points * b) == pytest.approx(3 + 4 + 0 + 0.25)


def test_the_distance_is_the_formula_for_covariances_that_do_not_commute() -> None:
    a, b = (standard_points() @ torch.randn(3, 3).double() + torch.randn(3).double() for _ in range(2))
    covariance_a, covariance_b = torch.cov(a.T), torch.cov(b.T)
    root = sqrtm((covariance_a @ covariance_b).numpy())
    shift = float((a.mean(0) - b.mean(0)).square().sum())
    expected = shift + float(covariance_a.trace() + covariance_b.trace()) - 2 * float(root.trace().real)
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)


def test_the_distance_of_degenerate_points_is_defined() -> None:
    line = standard_points(d=3) * torch.tensor([1.0, 0.0, 0.0]).double()
    assert frechet_distance(line, 3 * line) == pytest.approx(4)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (torch.zeros(10, 2), torch.zeros(9, 2), "equal size"),
        (torch.zeros(10, 2), torch.zeros(10, 3), "equal size"),
        (torch.zeros(10), torch.zeros(10), "equal size"),
        (torch.zeros(3, 3), torch.zeros(3, 3), "3 points in 3 dimensions"),
    ],
)
def test_sets_without_a_distance_are_refused(a: Tensor, b: Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        frechet_distance(a, b)


def test_a_subspace_has_no_angle_with_itself_in_another_basis() -> None:
    basis, other = torch.randn(6, 3).double(), torch.randn(3, 3).double()
    assert principal_angles(basis, basis @ other).tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_orthogonal_subspaces_are_ninety_degrees_apart() -> None:
    axes = torch.eye(5)
    assert principal_angles(axes[:, :2], axes[:, 2:4]).tolist() == pytest.approx([90, 90])
    assert principal_angles(axes[:, :2], axes[:, 1:3]).tolist() == pytest.approx([90, 0], abs=1e-6)


@pytest.mark.parametrize("degrees", [0.1, 30.0, 89.0])
def test_a_known_angle_is_found_largest_first(degrees: float) -> None:
    a = torch.eye(4).double()[:, :2]
    b = a.clone()
    b[:, 1] = torch.tensor([0, cos(radians(degrees)), sin(radians(degrees)), 0])
    assert principal_angles(a, b * 7).tolist() == pytest.approx([degrees, 0], abs=1e-5)


def test_a_line_is_compared_with_a_plane() -> None:
    line = torch.tensor([[1.0], [1.0], [1.0]])
    assert principal_angles(line, torch.eye(3)[:, :2]).tolist() == pytest.approx([35.26439])


def test_mean_squared_error_is_the_mean_over_pixels_and_pictures() -> None:
    x = torch.zeros(2, 1, 2, 2)
    reconstruction = torch.tensor([2.0, 0, 0, 0, 1, 1, 1, 1]).reshape(2, 1, 2, 2)
    assert mean_squared_error(reconstruction, x) == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"\[2, 4\].*\[2, 1, 2, 2\]"):
        mean_squared_error(reconstruction.flatten(1), x)


# --- the features of digits


@pytest.fixture(scope="module")
def digits() -> tuple[ImageSet, ImageSet]:
    return split(digits_8x8(), held_out=597)


@pytest.fixture(scope="module")
def features(digits: tuple[ImageSet, ImageSet]) -> DigitFeatures:
    torch.manual_seed(1)
    return DigitFeatures.train(digits[0])


def test_the_feature_classifier_reads_digits(features: DigitFeatures, digits: tuple[ImageSet, ImageSet]) -> None:
    assert features.accuracy(digits[1]) > 0.9
    assert features(digits[1].images).shape == (597, 64)


def test_the_distance_of_pictures_grows_with_their_noise(
    features: DigitFeatures, digits: tuple[ImageSet, ImageSet]
) -> None:
    pictures = digits[1].images
    noise = torch.rand_like(pictures)
    distances = [features.distance(pictures, (1 - share) * pictures + share * noise) for share in (0.0, 0.2, 0.5, 1.0)]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances == sorted(distances)


def test_the_ruler_does_not_move_with_the_seed_and_moves_no_generator(
    features: DigitFeatures, digits: tuple[ImageSet, ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator_seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", accelerator_seeds.append)
    torch.manual_seed(2)
    accelerator_seeds.clear()
    before = torch.get_rng_state()
    again = DigitFeatures.train(digits[0])
    assert torch.get_rng_state().equal(before)
    assert accelerator_seeds == [], "training the ruler reseeded the accelerator, whose draws follow VAE_COURSE_SEED"
    for first, second in zip(features.classifier.parameters(), again.classifier.parameters(), strict=True):
        assert first.equal(second)


def test_the_error_of_an_axis_counts_modulo_half_a_turn() -> None:
    found = torch.deg2rad(2 * torch.tensor([1.0, 179.0, 60.0, 91.0]))
    true = torch.tensor([179.0, 1.0, 60.0, 1.0])
    assert axial_error(3 * found.cos(), 3 * found.sin(), true).tolist() == pytest.approx([2, 2, 0, 90], abs=1e-4)
    with pytest.raises(ValueError, match=r"axial_error was given \[2\], \[2\] and \[3\]: it needs three alike"):
        axial_error(torch.ones(2), torch.ones(2), torch.ones(3))
