"""The widgets of variational inference: their numbers against closed forms, and pictures that follow the controls."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import kl_divergence

from vae_course.data.toys import linear_gaussian
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.grids import EvidenceSplit, latent_grid, split_evidence
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.notebook.figures import subplots
from vae_course.notebook.widgets.inference import (
    draw_elbo_bar,
    draw_gradient_clouds,
    draw_kl_directions,
    draw_split,
    elbo_bar,
    gradient_clouds,
    gradients_toward_target,
    kl_directions,
    normal_at,
)
from vae_course.notebook.widgets.interactive import Interactive


def known_model(n: int = 4) -> tuple[LinearGaussian, Tensor]:
    """Three observed dimensions, one latent."""
    data = linear_gaussian(n, 3, 1, torch.Generator().manual_seed(1))
    return LinearGaussian(data.weight, data.bias, data.std), data.x


def titles(figure: Figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def kl_titles(q_mean: float, q_std: float, p_mean: float, p_std: float) -> list[str]:
    """What the titles should say, from torch's closed forms."""
    q, p = normal_at(q_mean, q_std), normal_at(p_mean, p_std)
    reverse, forward = float(kl_divergence(q, p)), float(kl_divergence(p, q))
    return [
        f"q = N({q_mean:.2f}, {q_std:.2f}²)",
        f"KL(q || p) = {reverse:.2f} nats",
        f"KL(p || q) = {forward:.2f} nats",
    ]


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.3, 0.6), (-2.0, 0.2), (-4.0, 0.5), (0.5, 0.7)])
def test_the_divergences_in_the_titles_are_the_closed_forms_for_a_normal_target(mean: float, std: float) -> None:
    figure = draw_kl_directions(normal_at(0.5, 0.7), latent_grid(1, steps=1601), mean, std)
    assert isinstance(figure, Figure)
    assert titles(figure) == kl_titles(mean, std, 0.5, 0.7)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 4.0), (4.0, 2.0), (-4.0, 4.0)])
def test_the_divergences_are_right_wherever_the_sliders_go(mean: float, std: float) -> None:
    explorer = kl_directions(normal_at(0.0, 1.0))
    explorer.controls["mean"].value, explorer.controls["std"].value = mean, std
    shown = explorer.draw(mean=explorer.controls["mean"].value, std=explorer.controls["std"].value)
    assert titles(shown) == kl_titles(mean, std, 0.0, 1.0)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.2, 0.3), (-2.5, 0.1), (0.4, 1.2)])
def test_log_p_x_is_split_as_the_closed_forms_say(mean: float, std: float) -> None:
    model, x = known_model()
    q = normal_at(mean, std)
    split = split_evidence(model, x, q, latent_grid(1, steps=3201))
    torch.testing.assert_close(split.elbo + split.kl, split.log_evidence, atol=1e-8, rtol=0)
    exact = diagonal_normal(q.mean.expand(len(x), 1), std)
    torch.testing.assert_close(split.log_evidence, model.log_evidence(x), atol=1e-8, rtol=0)
    torch.testing.assert_close(split.elbo, model.elbo(x, exact), atol=1e-7, rtol=0)
    torch.testing.assert_close(split.kl, kl_divergence(exact, model.posterior(x)), atol=1e-7, rtol=0)


def test_two_latents_are_split_too() -> None:
    data = linear_gaussian(3, 4, 2, torch.Generator().manual_seed(1))
    model = LinearGaussian(data.weight, data.bias, data.std)
    q = diagonal_normal(torch.tensor([0.2, -0.4]).double(), 0.5)
    split = split_evidence(model, data.x, q, latent_grid(2))
    torch.testing.assert_close(split.elbo + split.kl, split.log_evidence, atol=1e-8, rtol=0)
    torch.testing.assert_close(split.elbo, model.elbo(data.x, q.expand((3,))), atol=1e-7, rtol=0)


def split_texts(model: LinearGaussian, x: Tensor, mean: float, std: float) -> list[str]:
    """What the bar should say, from the closed forms."""
    q = diagonal_normal(torch.tensor([mean]).double(), std)
    value, top = float(model.elbo(x, q)), float(model.log_evidence(x))
    below = ", below the axis" if value < top - 5 else ""
    return [
        f"ELBO = {value:.2f}{below}",
        f"KL(q || p(z|x))\n= {float(kl_divergence(q, model.posterior(x))):.2f}",
        f"log p(x) = {top:.2f}",
    ]


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.3), (2.5, 0.1)])
def test_the_bar_says_the_exact_numbers(mean: float, std: float) -> None:
    model, x = known_model()
    figure = draw_elbo_bar(model, x[0], latent_grid(1, steps=3201), mean, std)
    assert isinstance(figure, Figure)
    assert titles(figure) == [f"q = N({mean:.2f}, {std:.2f}²)", "log p(x) = ELBO + KL"]
    assert texts(figure) == split_texts(model, x[0], mean, std)


@pytest.mark.parametrize(("mean", "std"), [(2.5, 2.0), (-2.5, 2.0)])
def test_the_bar_is_right_wherever_the_sliders_go(mean: float, std: float) -> None:
    model, x = known_model()
    explorer = elbo_bar(model, x[0])
    assert texts(explorer.draw(mean=mean, std=std)) == split_texts(model, x[0], mean, std)


@pytest.mark.parametrize(("elbo", "blue"), [(-3.0, 4.0), (-2.0, 5.0), (-50.0, 0.0)])
def test_the_two_parts_of_the_bar_meet_at_the_elbo_and_end_at_log_p_x(elbo: float, blue: float) -> None:
    _, (axis,) = subplots(1, 1, figsize=(3, 3))
    draw_split(axis, EvidenceSplit(*(torch.tensor(value) for value in (-2.0, elbo, -2.0 - elbo))))
    first, second = ((patch.get_y(), patch.get_height()) for patch in axis.patches)  # type: ignore[attr-defined]
    assert first == pytest.approx((-7.0, blue))
    assert second == pytest.approx((-7.0 + blue, 5.0 - blue))


@pytest.mark.parametrize("samples", [1, 10])
@pytest.mark.parametrize("mean", [[5.0, 5.0], [2.0, 6.5]])
def test_both_clouds_lie_around_the_exact_gradient(mean: list[float], samples: int) -> None:
    clouds = gradients_toward_target(torch.tensor(mean).double(), 0.8, samples, draws=20_000)
    torch.testing.assert_close(clouds.exact, 2 * (torch.tensor(mean).double() - 5))
    for cloud in (clouds.pathwise, clouds.score_function):
        assert cloud.shape == (20_000, 2)
        assert ((cloud.mean(0) - clouds.exact).abs() < 5 * cloud.std(0) / 20_000**0.5).all()


def test_the_same_seed_gives_the_same_clouds_and_the_global_generator_is_left_alone() -> None:
    mean, state = torch.tensor([4.0, 5.0]).double(), torch.get_rng_state()
    first = gradients_toward_target(mean, 1.0, 2, 50, seed=3)
    torch.rand(3)
    again, other = (gradients_toward_target(mean, 1.0, 2, 50, seed=seed) for seed in (3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.pathwise, other.pathwise)
    assert not torch.equal(first.score_function, other.score_function)
    torch.set_rng_state(state)
    gradients_toward_target(mean, 1.0, 2, 50)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("distance", "std", "samples"), [(3.0, 1.0, 1), (0.0, 0.5, 4)])
def test_the_titles_of_the_clouds_say_their_spread(distance: float, std: float, samples: int) -> None:
    figure = draw_gradient_clouds(distance, std, samples, draws=200)
    mean = 5 - torch.full((2,), distance / 2**0.5).double()
    clouds = gradients_toward_target(mean, std, samples, 200)
    assert float((mean - 5).norm()) == pytest.approx(distance)
    spreads = [float((cloud - cloud.mean(0)).square().sum() / 199) ** 0.5 for cloud in clouds[:2]]
    assert titles(figure) == [f"pathwise: spread {spreads[0]:.2g}", f"score function: spread {spreads[1]:.2g}"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    for axis in figure.axes:
        marker = axis.lines[0]
        assert np.concatenate(marker.get_data()).tolist() == pytest.approx(clouds.exact.tolist())


def an_elbo_bar() -> Interactive:
    model, x = known_model()
    return elbo_bar(model, x[0])


WIDGETS: dict[str, tuple[Callable[[], Interactive], dict[str, float]]] = {
    "kl_directions": (lambda: kl_directions(normal_at(0.0, 1.0)), {"mean": 1.0, "std": 0.5}),
    "elbo_bar": (an_elbo_bar, {"mean": 1.0, "std": 0.5}),
    "gradient_clouds": (gradient_clouds, {"distance": 5.0, "std": 2.0, "samples": 10}),
}


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_changes_the_picture(name: str) -> None:
    make, moves = WIDGETS[name]
    explorer = make()
    assert set(explorer.controls) == set(moves)
    seen = {explorer.picture.value}
    for control, value in moves.items():
        explorer.controls[control].value = value
        assert explorer.picture.value not in seen
        seen.add(explorer.picture.value)


@pytest.mark.parametrize("name", WIDGETS)
def test_a_static_picture_stands_in_where_no_kernel_answers(name: str) -> None:
    explorer = WIDGETS[name][0]()
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert b64decode(bundle["image/png"]) == explorer.picture.value
    assert b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_the_widgets_start_where_they_are_told() -> None:
    model, x = known_model()
    for explorer, start in (
        (kl_directions(normal_at(0.0, 1.0), mean=1.5, std=0.4), {"mean": 1.5, "std": 0.4}),
        (elbo_bar(model, x[0], mean=-0.5, std=0.3), {"mean": -0.5, "std": 0.3}),
        (gradient_clouds(2.0, 0.5, 7), {"distance": 2.0, "std": 0.5, "samples": 7}),
    ):
        assert {name: control.value for name, control in explorer.controls.items()} == pytest.approx(start)
