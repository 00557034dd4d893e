"""The widgets of the lectures: that a moved control changes the picture, what their titles say, and bad input."""

from __future__ import annotations

import re

import pytest
import torch

from vae_course.distributions.quantised import look_up, nearest_code
from vae_course.models.conditional import Classes, mlp_conditional_vae
from vae_course.models.vae import mlp_vae
from vae_course.notebook.widgets import choices, latents
from vae_course.notebook.widgets.choices import codebook_explorer, temperature_explorer
from vae_course.notebook.widgets.interactive import Interactive
from vae_course.notebook.widgets.latents import class_and_style_explorer, traversal_explorer
from vae_course.randomness import seeded

LOGITS = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
COST = torch.tensor([1.0, 0.2, 0.6], dtype=torch.float64)
POINTS = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))


def made() -> dict[str, Interactive]:
    with seeded():
        models = {name: mlp_vae((1, 8, 8), (16,), 3) for name in ("first", "second")}
        conditional = mlp_conditional_vae((1, 8, 8), (16,), 3, 10, Classes(10))
    return {
        "temperature": temperature_explorer(LOGITS, COST),
        "codebook": codebook_explorer(POINTS),
        "traversal": traversal_explorer(models, torch.zeros(1, 8, 8)),
        "class and style": class_and_style_explorer(conditional),
    }


MOVES = [
    ("temperature", "temperature", 0.2),
    ("codebook", "size", 8),
    ("codebook", "steps", 20),
    ("codebook", "decay", 0.9),
    ("traversal", "name", "second"),
    *[("traversal", f"d{j}", 2.0) for j in range(3)],
    ("class and style", "first", 2.0),
    ("class and style", "second", -2.0),
    ("class and style", "seed", 3),
]


@pytest.mark.parametrize(("name", "control", "value"), MOVES)
def test_every_control_changes_the_picture(name: str, control: str, value: object) -> None:
    widget = made()[name]
    before = widget.picture.value
    widget.controls[control].value = value
    assert widget.picture.value != before


def test_the_exact_gradient_in_the_legend_is_autograds() -> None:
    moved = LOGITS.clone().requires_grad_()
    (expected,) = torch.autograd.grad(moved.softmax(-1) @ COST, moved)
    legend = choices.draw_temperature(LOGITS, COST, 1.0).axes[1].get_legend()
    assert legend is not None
    assert f"exact {float(expected[0]):.3f}" in legend.get_texts()[0].get_text()


def test_drawing_the_temperature_leaves_the_global_generator_where_it_was() -> None:
    state = torch.get_rng_state()
    choices.draw_temperature(LOGITS, COST, 1.0)
    choices.draw_cells(POINTS, 8, 3, 0.5)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_error_of_the_cells_falls_with_steps_of_k_means() -> None:
    titles = [choices.draw_cells(POINTS, 8, steps, 0.0).axes[0].get_title("left") for steps in (0, 1, 5, 20)]
    errors = [float(title.split("error ")[1]) for title in titles]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


def test_a_single_code_has_the_variance_of_the_points_for_its_error() -> None:
    title = choices.draw_cells(POINTS, 1, 1, 0.0).axes[0].get_title("left")
    assert title == f"1 of 1 codes used, perplexity 1.0, error {float(POINTS.var(0, unbiased=False).sum()):.3f}"


def test_points_lie_nearest_to_their_cells_code() -> None:
    z = POINTS.T[None]
    book = torch.randn(5, 2)
    distance = torch.cdist(POINTS, book)
    assert torch.allclose((z - look_up(nearest_code(z, book), book))[0].norm(dim=0), distance.amin(1), atol=1e-5)


def test_an_unmoved_traversal_shows_the_reconstruction_from_the_posterior_mean() -> None:
    torch.manual_seed(0)
    model, x = mlp_vae((1, 8, 8), (16,), 3), torch.zeros(1, 8, 8)
    shown = latents.draw_traversal(model, x, [0.0] * 3, "VAE").axes[1].images[0].get_array()
    expected = model.likelihood(model.posterior(x[None]).mean).mean[0, 0].detach()
    assert shown is not None
    assert torch.allclose(torch.tensor(shown), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: temperature_explorer(torch.zeros(4), COST), "three categories"),
        (lambda: codebook_explorer(torch.zeros(5, 3)), "points [n, 2]"),
        (lambda: traversal_explorer({}, torch.zeros(1, 8, 8)), "equally many latents"),
        (
            lambda: traversal_explorer(
                {"a": mlp_vae((1, 8, 8), (4,), 2), "b": mlp_vae((1, 8, 8), (4,), 3)}, torch.zeros(1, 8, 8)
            ),
            "equally many latents",
        ),
    ],
)
def test_bad_input_gets_one_sentence(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()  # type: ignore[operator]
