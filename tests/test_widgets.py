"""Widgets: their mathematics, that a moved control changes the picture, and the picture that stands in for them."""

from __future__ import annotations

from base64 import b64decode

import pytest
import torch
from torch import Tensor

from vae_course.models.vae import mlp_vae
from vae_course.notebook.widgets import codes, drawing
from vae_course.notebook.widgets.codes import bottleneck_slider, code_explorer
from vae_course.notebook.widgets.drawing import drawing_pad


def test_the_bottleneck_slider_shows_the_size_chosen() -> None:
    x = torch.rand(4, 1, 6, 6)
    explorer = bottleneck_slider({2: torch.rand_like(x), 8: x.clone()}, x)
    before = explorer.picture.value
    explorer.controls["size"].value = 8
    assert explorer.picture.value != before
    title = codes.draw_bottleneck({8: x}, x, 8).get_suptitle()
    assert "mean squared error 0.0000" in title


def test_the_bottleneck_slider_refuses_reconstructions_of_another_shape() -> None:
    with pytest.raises(ValueError, match="bottleneck_slider needs reconstructions of shape"):
        bottleneck_slider({2: torch.rand(3, 1, 6, 6)}, torch.rand(4, 1, 6, 6))


def test_the_code_explorer_decodes_the_point_chosen() -> None:
    seen: list[Tensor] = []

    def decode(code: Tensor) -> Tensor:
        seen.append(code)
        return code.mean().sigmoid().expand(1, 1, 4, 4)

    explorer = code_explorer(decode, torch.randn(50, 2), torch.arange(50) % 3)
    before = explorer.picture.value
    explorer.controls["first"].value = explorer.controls["first"].max
    explorer.controls["second"].value = explorer.controls["second"].min
    torch.testing.assert_close(seen[-1], torch.tensor([[c.value for c in explorer.controls.values()]]))
    assert explorer.picture.value != before


def test_the_code_explorer_refuses_codes_that_are_no_points_of_the_plane() -> None:
    with pytest.raises(ValueError, match=r"needs codes \[n, 2\]"):
        code_explorer(lambda code: code, torch.randn(5, 3), torch.zeros(5))


def test_a_static_picture_stands_in_where_no_kernel_answers() -> None:
    x = torch.rand(2, 1, 4, 4)
    bundle = bottleneck_slider({1: x}, x)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_a_drawing_is_centred_by_its_mass() -> None:
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 2:6, 20:24] = 1
    centred = drawing.centre(image)
    assert centred.sum() == image.sum()
    assert centred[0, 0, 12:16, 12:16].all()


def test_the_report_on_a_drawing_holds_the_models_numbers() -> None:
    torch.manual_seed(0)
    model = mlp_vae((1, 28, 28), (16,), 3)
    pixels = torch.zeros(28, 28)
    pixels[10:18, 13:15] = 1
    report = drawing.report_on_drawing(model, pixels.flatten().tolist(), samples=2000)
    assert report is not None
    q = model.posterior(report.x)
    torch.testing.assert_close(report.mean, q.mean[0])
    torch.testing.assert_close(report.std, q.stddev[0])
    assert report.elbo - 1 < report.log_evidence < 0
    assert report.standard_error > 0


def test_an_empty_pad_has_no_report_and_a_wrong_one_is_refused() -> None:
    model = mlp_vae((1, 28, 28), (16,), 3)
    assert drawing.report_on_drawing(model, [0.0] * 784) is None
    with pytest.raises(ValueError, match="A drawing has 784 pixels; this one has 3"):
        drawing.report_on_drawing(model, [0.0] * 3)


def test_the_pad_draws_anew_when_its_pixels_change() -> None:
    pad = drawing_pad(mlp_vae((1, 28, 28), (16,), 3), torch.zeros(1, 28, 28), (-100.0, -80.0))
    before = pad.picture.value
    drawn = torch.zeros(28, 28)
    drawn[5:20, 14] = 1
    pad.controls["pixels"].pixels = drawn.flatten().tolist()
    assert pad.picture.value != before
