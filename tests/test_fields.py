"""Networks of fields: sides halve and double, and a masked network sees only what comes before."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from tests.messages import message
from vae_course.networks.fields import FieldDecoder, FieldEncoder, MaskedConvolution, PixelCNN, spread

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = [
    ((1, 8, 8), (4, 6), (2, 2)),
    ((3, 8, 4), (5,), (4, 2)),
    ((1, 32), (4, 6, 3), (4,)),
    ((2, 6), (4,), (3,)),
]


@pytest.mark.parametrize(("shape", "channels", "grid"), SHAPES)
def test_the_sides_halve_with_every_stage_and_double_on_the_way_back(
    shape: tuple[int, ...], channels: tuple[int, ...], grid: tuple[int, ...]
) -> None:
    z = FieldEncoder(shape, channels, d=7)(torch.randn(5, *shape))
    assert z.shape == (5, 7, *grid)
    decoder = FieldDecoder(shape, channels, d=7)
    assert decoder(z).shape == (5, *shape)
    assert decoder(z[0]).shape == shape


@pytest.mark.parametrize(("shape", "channels", "grid"), SHAPES)
def test_leading_axes_of_a_decoder_are_examples_of_their_own(
    shape: tuple[int, ...], channels: tuple[int, ...], grid: tuple[int, ...]
) -> None:
    decoder, z = FieldDecoder(shape, channels, d=3).double(), torch.randn(2, 4, 3, *grid).double()
    x = decoder(z)
    assert x.shape == (2, 4, *shape)
    for i, j in product(range(2), range(4)):
        torch.testing.assert_close(x[i, j], decoder(z[i, j]))


@pytest.mark.parametrize(("shape", "channels", "grid"), SHAPES)
def test_the_channels_are_those_of_the_stages(
    shape: tuple[int, ...], channels: tuple[int, ...], grid: tuple[int, ...]
) -> None:
    encoder, decoder = FieldEncoder(shape, channels, d=7), FieldDecoder(shape, channels, d=7)
    kind = (nn.Conv1d, nn.ConvTranspose1d) if len(grid) == 1 else (nn.Conv2d, nn.ConvTranspose2d)
    down = [layer for layer in encoder.modules() if isinstance(layer, kind[0])]
    assert [layer.out_channels for layer in down] == [*channels, 7]
    up = [layer for layer in decoder.modules() if isinstance(layer, kind[1])]
    assert [layer.in_channels for layer in up] == [*reversed(channels)]
    assert [layer.out_channels for layer in up] == [*reversed(channels[:-1]), shape[0]]


@pytest.mark.parametrize("made", [FieldEncoder, FieldDecoder])
def test_an_activation_follows_every_layer_but_the_last(made: type[FieldEncoder] | type[FieldDecoder]) -> None:
    kinds = [type(layer) for layer in made((1, 8, 8), (4, 6), 3, nn.Tanh).modules() if not list(layer.children())]
    assert len(kinds) == 5
    assert [kind is nn.Tanh for kind in kinds] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((1, 6, 8), (4, 4)), ((1, 30), (4, 4)), ((8,), (4,)), ((1, 8, 8), ()), ((1, 2, 8, 8), (4,)), ((1, 7, 8), (4,))],
)
def test_shapes_that_cannot_be_halved_are_refused(shape: tuple[int, ...], channels: tuple[int, ...]) -> None:
    for made in (FieldEncoder, FieldDecoder):
        text = message(lambda made=made: made(shape, channels, 2))  # type: ignore[misc]
        if len(shape) in (2, 3) and channels:
            assert " × ".join(map(str, shape[1:])) in text
            assert f"divisible by {2 ** len(channels)}" in text
        else:
            assert str(list(shape)) in text
            assert "at least one stage" in text


@pytest.mark.parametrize("given", [(5, 1, 8, 4), (5, 2, 8, 8), (1, 8, 8), (5, 1, 64)])
def test_an_encoder_refuses_another_shape(given: tuple[int, ...]) -> None:
    text = message(lambda: FieldEncoder((1, 8, 8), (4,), 2)(torch.zeros(given)))
    assert str(list(given)) in text
    assert "[batch, 1, 8, 8]" in text


def sees(network: Callable[[Tensor], Tensor], x: Tensor, row: int, column: int) -> Tensor:
    """Which positions of x the outputs at one position depend on: [height, width] of bool."""
    x = x.clone().requires_grad_()
    out = network(x)[:, :, row, column]
    reached = torch.zeros(x.shape[-2:], dtype=torch.bool)
    for value in out.flatten():
        (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
        reached |= (gradient != 0).any(0).any(0)
    return reached


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("centre", [False, True])
def test_a_masked_convolution_sees_the_rows_above_and_the_left_of_its_own(kernel: int, centre: bool) -> None:
    layer, x = MaskedConvolution(2, 3, kernel, centre).double(), torch.randn(1, 2, 9, 9).double()
    assert layer(x).shape == (1, 3, 9, 9)
    half = kernel // 2
    for row, column in ((4, 4), (0, 0), (2, 8)):
        expected = torch.zeros(9, 9, dtype=torch.bool)
        for r, c in product(range(9), range(9)):
            near = abs(r - row) <= half and abs(c - column) <= half
            expected[r, c] = near and ((r, c) < (row, column) or (centre and (r, c) == (row, column)))
        assert torch.equal(sees(layer, x, row, column), expected)


def test_a_masked_convolution_is_one_with_the_other_weights_zero() -> None:
    layer, x = MaskedConvolution(2, 3, 3, centre=True), torch.randn(4, 2, 5, 6)
    weight = layer.weight.detach().clone()
    weight[:, :, 1, 2] = 0
    weight[:, :, 2] = 0
    torch.testing.assert_close(layer(x), nn.functional.conv2d(x, weight, layer.bias, padding=1))


@pytest.mark.parametrize("kernel", [0, 2, 4, -1])
def test_an_even_kernel_is_refused(kernel: int) -> None:
    assert f"a kernel of {kernel}" in message(lambda: MaskedConvolution(2, 3, kernel, centre=True))


def on_embeddings(network: PixelCNN, condition: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """The network as a function of the embedded codes [n, width, height, width]."""

    def logits(embedded: Tensor) -> Tensor:
        handle = network.embedding.register_forward_hook(lambda *_: embedded.movedim(1, -1))
        try:
            n, _, height, width = embedded.shape
            found: Tensor = network(torch.zeros(n, height, width, dtype=torch.long), condition)
            return found
        finally:
            handle.remove()

    return logits


@pytest.mark.parametrize(("blocks", "kernel"), [(0, 3), (2, 3), (4, 3), (1, 5), (2, 7)])
def test_logits_depend_on_no_code_at_or_after_their_position(blocks: int, kernel: int) -> None:
    network, x = PixelCNN(3, 4, blocks, kernel).double(), torch.randn(1, 4, 5, 5).double()
    for row, column in product(range(5), range(5)):
        reached = sees(on_embeddings(network), x, row, column)
        flat, here = reached.flatten(), 5 * row + column
        assert not flat[here:].any()
        for r, c in ((row, column - 1), (row - 1, column - 1), (row - 1, column), (row - 1, column + 1)):
            if r >= 0 and 0 <= c < 5:
                assert reached[r, c]


def test_changing_a_code_changes_the_logits_after_it_alone() -> None:
    network, codes = PixelCNN(4, 6, 2, 5).double(), torch.randint(4, (1, 4, 5))
    before = network(codes)
    assert before.shape == (1, 4, 4, 5)
    for place in range(20):
        changed = codes.clone()
        changed.view(-1)[place] = (changed.view(-1)[place] + 1) % 4
        moved = (network(changed) != before).any(1).flatten()
        assert not moved[: place + 1].any()
        assert place % 5 == 4 or moved[place + 1]


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_blind_spot_lies_above_and_to_the_right(kernel: int) -> None:
    """A path to the right must go up: r rows above, at most r − 1 + kernel // 2 columns to the right are seen."""
    network, x = PixelCNN(3, 4, blocks=6, kernel=kernel).double(), torch.randn(1, 4, 6, 6).double()
    blind = 0
    for row, column in ((5, 0), (5, 1), (4, 2), (3, 3)):
        reached = sees(on_embeddings(network), x, row, column)
        for r, c in product(range(6), range(6)):
            before = (r, c) < (row, column)
            in_sight = c - column <= row - r - 1 + kernel // 2 if r < row else True
            assert bool(reached[r, c]) == (before and in_sight), (row, column, r, c)
            blind += before and not in_sight
    assert blind > 0


def test_a_condition_reaches_every_position_and_every_code_still_only_later_ones() -> None:
    network, x = PixelCNN(3, 4, 2, 3, conditions=2).double(), torch.randn(1, 4, 4, 4).double()
    condition = torch.randn(1, 2, 4, 4).double()
    codes = torch.randint(3, (1, 4, 4))
    for row, column in product(range(4), range(4)):
        at_condition = sees(lambda c: network(codes, c), condition, row, column)
        assert at_condition[row, column]
        assert not sees(on_embeddings(network, condition), x, row, column).flatten()[4 * row + column :].any()
    everywhere = network(codes, condition + 1) != network(codes, condition)
    assert everywhere.any(1).all()


def test_a_class_spread_over_the_grid_changes_the_logits_everywhere() -> None:
    network, codes = PixelCNN(3, 4, 1, 3, conditions=5), torch.randint(3, (2, 4, 4))
    rows = torch.eye(5)[[0, 3]]
    like = torch.zeros(2, 7, 4, 4)
    first, second = network(codes, spread(rows, like)), network(codes, spread(rows.flip(0), like))
    assert (first != second).any(1).all()


def test_a_condition_missing_or_too_many_is_refused() -> None:
    codes, condition = torch.zeros(2, 4, 4, dtype=torch.long), torch.zeros(2, 3, 4, 4)
    assert "0 channels; it was given [2, 3, 4, 4]" in message(lambda: PixelCNN(3, 4, 1, 3)(codes, condition))
    assert "3 channels; it was given none" in message(lambda: PixelCNN(3, 4, 1, 3, conditions=3)(codes))


def test_the_network_stays_masked_after_training() -> None:
    network, codes = PixelCNN(3, 8, 2, 5), torch.randint(3, (16, 4, 4))
    masks = {name: mask.clone() for name, mask in network.named_buffers()}
    before = float(nn.functional.cross_entropy(network(codes), codes).detach())
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(codes), codes)
        for parameter, gradient in zip(
            network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
        ):
            parameter.data.sub_(0.3 * gradient + 0.01 * torch.randn_like(parameter))  # noise reaches every weight
    assert float(nn.functional.cross_entropy(network(codes), codes).detach()) < before
    for name, mask in network.named_buffers():
        assert torch.equal(mask, masks[name]), name
    x = torch.randn(1, 8, 4, 4)
    for row, column in product(range(4), range(4)):
        assert not sees(on_embeddings(network), x, row, column).flatten()[4 * row + column :].any()


def test_the_masks_are_saved_with_the_network() -> None:
    masks = [name for name in PixelCNN(3, 4, 2, 3).state_dict() if name.endswith("mask")]
    assert masks == ["first.mask", "blocks.0.3.mask", "blocks.1.3.mask"]


@pytest.mark.parametrize("grid", [(5,), (2, 3)])
def test_spreading_puts_the_same_features_at_every_position(grid: tuple[int, ...]) -> None:
    y = torch.randn(4, 3)
    wide = spread(y, torch.zeros(4, 7, *grid))
    assert wide.shape == (4, 3, *grid)
    for place in wide.flatten(2).unbind(2):
        assert torch.equal(place, y)
