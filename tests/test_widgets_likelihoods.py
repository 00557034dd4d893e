"""The widgets of the lectures: their numbers, that a moved control changes the picture, and bad input."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from vae_course.data.finite_elements import Load, compliance, compliance_ratio, optimise
from vae_course.distributions.families import diagonal_normal
from vae_course.evaluation.geometry import connected_share
from vae_course.notebook.widgets import convolution, layouts, likelihoods
from vae_course.notebook.widgets.convolution import filter_pad
from vae_course.notebook.widgets.layouts import beam_explorer
from vae_course.notebook.widgets.likelihoods import likelihood_explorer

LOAD = Load(0.5, 90.0)
X = (torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)) * 15).round() / 15


def test_the_title_of_the_likelihood_explorer_holds_the_log_likelihood() -> None:
    mean = 0.5 * X + 0.2
    title = likelihoods.draw_likelihood(X, mean, 16, "normal", 0.3, 0.2).get_suptitle()
    expected = float(diagonal_normal(mean, 0.2, 3).log_prob((X * 15 + 0.5) / 16))
    assert f"log p(x|z) = {expected:.0f} nats" in title


@pytest.mark.parametrize("family", likelihoods.FAMILIES)
def test_every_family_is_normalised_over_the_values_of_its_pixel(family: str) -> None:
    values = likelihoods.pixel_values(family, 16)
    p = likelihoods.FAMILIES[family](torch.full((len(values), 1, 1, 1), 0.3), 0.2, 16)
    height = p.log_prob(values[:, None, None, None]).exp()
    dense = family in ("normal", "continuous Bernoulli")
    total = torch.trapezoid(height, values) if dense else height.sum()
    assert float(total) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("control", "value"), [("family", "Bernoulli"), ("pixel", 0.7), ("std", 0.9)])
def test_every_control_of_the_likelihood_explorer_changes_the_picture(control: str, value: object) -> None:
    explorer = likelihood_explorer(X, 0.5 * X)
    before = explorer.picture.value
    explorer.controls[control].value = value
    assert explorer.picture.value != before


def test_a_draw_in_the_likelihood_explorer_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    likelihoods.draw_likelihood(X, X, 16, "normal", 0.3, 0.2)
    assert torch.equal(torch.rand(3), expected)


def test_the_likelihood_explorer_refuses_pictures_of_two_shapes() -> None:
    with pytest.raises(ValueError, match="likelihood_explorer needs two pictures"):
        likelihood_explorer(X, X[:, 1:])


def test_a_filter_is_torchs_convolution() -> None:
    weights = [float(i) for i in range(9)]
    kernel = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert torch.equal(convolution.filtered(X, weights), conv2d(X[None], kernel)[0])
    assert convolution.filtered(X, weights).shape == (1, 6, 6)


def test_another_kernel_changes_the_picture() -> None:
    pad = filter_pad(X)
    before = pad.picture.value
    pad.controls["weights"].weights = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert pad.picture.value != before
    assert pad.controls["weights"].value[4] == 1


@pytest.mark.parametrize("weights", [(), (1, 2, 3), tuple(range(10))])
def test_a_kernel_that_is_no_square_is_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=rf"k × k weights; {len(weights)} were given"):
        convolution.filtered(X, weights)


def test_the_filter_pad_refuses_colour_and_small_pictures() -> None:
    for image in (X.expand(3, -1, -1), X[:, :2, :2], X[None]):
        with pytest.raises(ValueError, match="filter_pad needs a grey picture"):
            filter_pad(image)


def test_the_beam_explorer_says_volume_and_compliance_of_what_it_shows() -> None:
    density = np.full((4, 8), 0.5)
    (axis,) = layouts.draw_beam(density, LOAD).axes
    found = re.search(
        r"volume ([\d.]+), compliance (\d+) under this load, (one|several) piece", axis.get_title(loc="left")
    )
    assert found
    assert float(found[1]) == 0.5
    assert float(found[2]) == pytest.approx(compliance(density, LOAD), abs=0.5)


def test_a_slider_of_the_beam_explorer_moves_along_its_direction() -> None:
    seen: list[torch.Tensor] = []

    def decode(z: torch.Tensor) -> torch.Tensor:
        seen.append(z)
        return z.sum().sigmoid().expand(1, 1, 4, 8)

    start, direction = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 0.0, -2.0])
    explorer = beam_explorer(decode, start, {"volume": direction, "load": torch.ones(3)}, lambda z: LOAD)
    before = explorer.picture.value
    torch.testing.assert_close(seen[-1][0], start)
    explorer.controls["d0"].value = 1.5
    torch.testing.assert_close(seen[-1][0], start + 1.5 * direction)
    assert explorer.picture.value != before


def test_the_beam_explorer_refuses_no_direction_and_one_of_another_shape() -> None:
    for directions in ({}, {"volume": torch.ones(2)}):
        with pytest.raises(ValueError, match=r"beam_explorer needs directions of shape \[3\]"):
            beam_explorer(lambda z: torch.ones(1, 1, 4, 8), torch.zeros(3), directions, lambda z: LOAD)


def test_the_share_of_the_largest_piece() -> None:
    layout = np.zeros((4, 6))
    assert connected_share(layout) == 0
    layout[0, :3] = 1
    assert connected_share(layout) == 1
    layout[1, 3] = 1  # touches by a corner only
    assert connected_share(layout) == pytest.approx(3 / 4)
    layout[2, 5] = 0.5  # not above the threshold
    assert connected_share(layout) == pytest.approx(3 / 4)
    with pytest.raises(ValueError, match=r"one layout \[ny, nx\]; it was given \[1, 4, 6\]"):
        connected_share(layout[None])


def test_the_optimisers_own_layout_has_the_compliance_ratio_one() -> None:
    own = optimise(0.4, LOAD, 12, 6)
    assert compliance_ratio(own.density, LOAD) == pytest.approx(1, rel=1e-3)
    uniform = np.full((6, 12), own.density.mean())
    assert compliance_ratio(uniform, LOAD) > 1.5
    assert compliance_ratio(own.density, Load(0.0, 0.0)) > 1
    with pytest.raises(ValueError, match="volume fraction"):
        compliance_ratio(np.full((6, 12), 1e-4), LOAD)
