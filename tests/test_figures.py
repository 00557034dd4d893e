"""Figures: the layout of mosaics, the grid of quantiles, and that each draws something."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal

from vae_course.exact.grids import quantile_grid
from vae_course.notebook import diagrams, figures


def test_a_mosaic_puts_each_picture_in_its_place() -> None:
    images = torch.rand(5, 1, 3, 4)
    canvas = figures.mosaic(images, columns=2, gap=1)
    assert canvas.shape == (3 * 3 + 2, 2 * 4 + 1)
    for i, image in enumerate(images):
        top, left = i // 2 * 4, i % 2 * 5
        assert torch.equal(torch.tensor(canvas[top : top + 3, left : left + 4]), image[0])
    assert (canvas[3] == 0.5).all()


def test_a_mosaic_keeps_colours_last_and_refuses_other_shapes() -> None:
    assert figures.mosaic(torch.rand(2, 3, 4, 4), columns=2, gap=0).shape == (4, 8, 3)
    with pytest.raises(ValueError, match=r"needs pictures \[n, channels, height, width\]"):
        figures.mosaic(torch.rand(3, 4, 4), columns=2)


def test_the_quantile_grid_steps_through_equal_probabilities() -> None:
    grid = quantile_grid(7)
    probability = torch.special.ndtr(grid.double())
    expected = (torch.arange(7) + 0.5) / 7
    torch.testing.assert_close(probability[0, :, 0], expected.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(probability[:, 0, 1], expected.flip(0).double(), atol=1e-6, rtol=0)


def test_every_figure_becomes_a_png() -> None:
    figure, (left, middle, right) = figures.subplots(1, 3, figsize=(9, 3))
    figures.code_map(left, torch.randn(30, 2), torch.arange(30) % 10, "map")
    figures.curves(middle, [1, 2], {"a": [1.0, 2.0], "b": [2.0, 1.0]}, "curves", "x", "nats")
    figures.bars(right, {"one": 1.0, "ten": 10.0}, "bars", "nats", log=True)
    assert figures.to_png(figure).startswith(b"\x89PNG")
    rows = figures.image_rows({"first": torch.rand(4, 1, 5, 5), "second": torch.rand(4, 1, 5, 5)}, "rows")
    assert figures.to_png(rows).startswith(b"\x89PNG")
    assert len(rows.axes) == 2


@pytest.mark.parametrize(("declared", "frames"), [(0, 6), (1, 3), (2, 1)])
def test_there_is_one_frame_for_each_log_probability(declared: int, frames: int) -> None:
    p = Independent(Normal(torch.zeros(3, 2), torch.ones(3, 2)), declared)
    _, (axes,) = figures.subplots(1, 1, figsize=(4, 4))
    diagrams.event_frames(axes, p, "p")
    assert len(axes.patches) == frames == p.log_prob(torch.zeros(3, 2)).numel()
    assert len(axes.lines) == 6
    assert axes.get_title(loc="center") == f"p\nbatch {[3, 2][: 2 - declared]}, event {[3, 2][2 - declared :]}"


def test_frames_of_other_shapes_are_refused() -> None:
    _, (axes,) = figures.subplots(1, 1, figsize=(4, 4))
    with pytest.raises(ValueError, match=r"draws two axes; this distribution has batch and event \[4\]"):
        diagrams.event_frames(axes, Normal(torch.zeros(4), 1.0), "p")


def test_a_graph_draws_its_nodes_and_an_arrow_for_each_edge() -> None:
    _, (axes,) = figures.subplots(1, 1, (4, 3))
    axes.set(xlim=(-0.5, 1.5), ylim=(-0.5, 1.5))
    places = {"φ": (0.0, 0.0), "ε": (1.0, 0.0), "z": (0.5, 1.0)}
    diagrams.computation_graph(axes, places, ["φ → z", "ε → z"], drawn=["ε"], back=["z → φ"])
    texts = [text for text in axes.texts if text.get_text()]
    assert [text.get_text() for text in texts] == list(places)
    assert len(axes.texts) - len(texts) == 3
    with pytest.raises(KeyError):
        diagrams.computation_graph(axes, places, ["φ → y"])


def test_columns_of_boxes_hold_every_text_inside_the_axes() -> None:
    figure, (axes,) = figures.subplots(1, 1, figsize=(8, 4))
    diagrams.box_columns(axes, {"I": ["a", "b"], "II": ["c", "d", "e"]}, ["red", "blue"])
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["I", "a", "b", "II", "c", "d", "e"]
    figure.canvas.draw()
    inside = axes.get_window_extent()
    for text in axes.texts:
        assert inside.contains(*text.get_window_extent().get_points().mean(0))


def test_spots_are_moved_apart_and_those_far_from_others_stay() -> None:
    spots = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.01, 0.0], [0.8, 0.8]])
    moved = figures.apart(spots, 0.1)
    distance = torch.cdist(moved, moved).fill_diagonal_(1.0)
    assert distance.min() > 0.1 - 1e-3
    assert torch.equal(moved[3], spots[3])
    assert (moved - spots).norm(dim=1).max() < 0.2


def test_the_densest_point_lies_in_the_larger_cloud() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud, scattered = 0.1 * torch.randn(40, 2, generator=generator), 5 + 3 * torch.randn(40, 2, generator=generator)
    assert figures.densest(torch.cat([scattered, cloud])).norm() < 0.3
    assert torch.equal(figures.densest(torch.tensor([[1.0, 2.0]])), torch.tensor([1.0, 2.0]))


def test_no_two_classes_of_a_map_hide_each_other() -> None:
    figure, (axes,) = figures.subplots(1, 1, figsize=(5, 5))
    figures.code_map(axes, torch.randn(400, 2), torch.arange(400) % 10, "map")
    figure.canvas.draw()
    places = torch.tensor([text.get_window_extent().get_points().mean(0) for text in axes.texts])
    assert torch.cdist(places, places).fill_diagonal_(1e3).min() > 20


@pytest.mark.parametrize(("stride", "padding", "made"), [(1, 0, 4), (2, 1, 3), (1, 1, 6), (3, 0, 2)])
def test_the_drawn_convolution_has_the_sizes_of_the_real_one(stride: int, padding: int, made: int) -> None:
    assert torch.nn.Conv2d(3, 2, 3, stride, padding)(torch.zeros(1, 3, 6, 6)).shape == (1, 2, made, made)
    _, (axes,) = figures.subplots(1, 1, figsize=(8, 4))
    diagrams.convolution(axes, 6, 3, stride, padding, inputs=3, outputs=2)
    texts = [text.get_text() for text in axes.texts if text.get_text()]
    assert texts == ["3 channels, 6 × 6", f"2 channels, {made} × {made}"]
