"""Convolutional networks: shapes, what one output sees, where a checkerboard comes from, and what is refused."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.messages import message
from vae_course.distributions.families import bernoulli
from vae_course.distributions.pixels import normal_with_std
from vae_course.evaluation.evidence import log_evidence
from vae_course.models.vae import convolutional_vae, mlp_vae
from vae_course.networks.convolutional import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    convolutional_networks,
    receptive_field,
    smallest,
)
from vae_course.networks.multilayer import count_parameters, image_mlps
from vae_course.objectives.bounds import elbo, iwae

repeatable = settings(deadline=None, derandomize=True, max_examples=40, database=None)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


SIZES = [
    ((1, 28, 28), (4, 6), (5,)),
    ((3, 32, 32), (2, 3, 4), ()),
    ((1, 8, 16), (3,), (7, 5)),
    ((2, 2, 2), (4,), ()),
]
each_size = pytest.mark.parametrize(("image", "channels", "hidden"), SIZES)


# --- shapes


@pytest.mark.parametrize("leading", [(), (1,), (5,), (3, 2), (0,), (2, 3, 2)])
@each_size
def test_leading_axes_are_kept(
    image: tuple[int, int, int], channels: tuple[int, ...], hidden: tuple[int, ...], leading: tuple[int, ...]
) -> None:
    encoder, decoder = convolutional_networks(image, channels, hidden, code=3, outputs=6)
    assert encoder(torch.rand(*leading, *image)).shape == (*leading, 6)
    assert decoder(torch.rand(*leading, 3)).shape == (*leading, *image)


@each_size
def test_a_batch_is_encoded_and_decoded_like_one_picture_at_a_time(
    image: tuple[int, int, int], channels: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    networks = convolutional_networks(image, channels, hidden, code=3, outputs=4)
    encoder, decoder = (network.double() for network in networks)
    x, z = draw(3, 2, *image), draw(3, 2, 3)
    for network, given_to in ((encoder, x), (decoder, z)):
        together = network(given_to)
        for sample in range(3):
            for which in range(2):
                alone = network(given_to[sample, which : which + 1])
                torch.testing.assert_close(together[sample, which], alone[0])
        assert (together[0, 0] - together[0, 1]).abs().max() > 1e-6, "the output does not depend on the input"


@each_size
def test_every_stage_halves_the_picture_and_the_decoder_doubles_it_again(
    image: tuple[int, int, int], channels: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    encoder, decoder = convolutional_networks(image, channels, hidden, code=3, outputs=4)
    seen: list[tuple[int, ...]] = []
    for network in (encoder, decoder):
        for layer in network.convolutions:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(lambda layer, x, y: seen.append(tuple(y.shape[1:])))
    decoder(encoder(torch.rand(2, *image))[:, :3])
    down = [(made, image[1] // 2**k, image[2] // 2**k) for k, made in enumerate(channels, start=1)]
    up = [*down[-2::-1], image] if len(down) > 1 else [image]
    assert seen == down + up
    assert smallest(image, channels) == down[-1] == decoder.small


def test_the_hidden_layers_of_the_decoder_are_those_of_the_encoder_reversed() -> None:
    encoder, decoder = convolutional_networks((1, 8, 8), (4,), (7, 5), code=3, outputs=6)
    widths = [
        [layer.weight.shape for layer in network.dense.modules() if isinstance(layer, nn.Linear)]
        for network in (encoder, decoder)
    ]
    assert widths[0] == [(7, 64), (5, 7), (6, 5)]
    assert widths[1] == [(5, 3), (7, 5), (64, 7)]


@pytest.mark.parametrize("numbers", [1, 2, 5])
@pytest.mark.parametrize("image", [(1, 8, 8), (3, 4, 8)])
def test_the_decoder_returns_so_many_numbers_a_pixel(image: tuple[int, int, int], numbers: int) -> None:
    for encoder, decoder in (
        convolutional_networks(image, (4,), (), code=3, outputs=6, numbers=numbers),
        image_mlps(image, (4,), code=3, outputs=6, numbers=numbers),
    ):
        assert decoder(torch.rand(5, 3)).shape == (5, numbers * image[0], *image[1:])
        assert encoder(torch.rand(5, *image)).shape == (5, 6)


@pytest.mark.parametrize("activation", [nn.SiLU, nn.Tanh])
def test_an_activation_follows_every_layer_but_the_last(activation: type[nn.Module]) -> None:
    encoder, decoder = convolutional_networks((1, 8, 8), (4, 6), (5,), 3, 6, activation=activation)

    def kinds(network: nn.Module) -> list[str]:
        leaves = [type(layer).__name__ for layer in network.modules() if not list(layer.children())]
        return [kind for kind in leaves if kind != "Flatten"]

    act = activation.__name__
    assert kinds(encoder) == ["Conv2d", act, "Conv2d", act, "Linear", act, "Linear"]
    assert sorted(kinds(decoder)[:4]) == sorted(["Linear", act, "Linear", act])
    assert kinds(decoder)[4:] == ["ConvTranspose2d", act, "ConvTranspose2d"]


@each_size
def test_the_weights_are_as_many_as_counted_by_hand(
    image: tuple[int, int, int], channels: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    encoder, decoder = convolutional_networks(image, channels, hidden, code=3, outputs=6, numbers=2)
    flat = channels[-1] * image[1] * image[2] // 4 ** len(channels)

    def linear(*widths: int) -> int:
        return sum((given + 1) * made for given, made in pairwise(widths))

    down = sum((9 * given + 1) * made for given, made in pairwise((image[0], *channels)))
    up = sum((16 * given + 1) * made for given, made in pairwise((*channels[::-1], 2 * image[0])))
    assert count_parameters(encoder) == down + linear(flat, *hidden, 6)
    assert count_parameters(decoder) == up + linear(3, *hidden[::-1], flat)


def test_a_convolutional_network_has_fewer_weights_than_an_mlp() -> None:
    convolutional = convolutional_vae((1, 28, 28), (16, 32), (64,), latent=8)
    assert count_parameters(convolutional) < 0.5 * count_parameters(mlp_vae((1, 28, 28), (400,), latent=8))


# --- the order of pixels in memory


@each_size
def test_the_order_of_channels_in_memory_changes_no_result(
    image: tuple[int, int, int], channels: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    x, z = draw(5, *image), draw(5, 3)
    for network, given_to in zip(
        convolutional_networks(image, channels, hidden, code=3, outputs=4), (x, z), strict=True
    ):
        network.double()
        plain = deepcopy(network)
        for module in plain.modules():
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(parameter.detach().clone(memory_format=torch.contiguous_format)))
        torch.testing.assert_close(network(given_to), plain(given_to))
    encoder = convolutional_networks(image, channels, hidden, code=3, outputs=4)[0].double()
    for other in (x.to(memory_format=torch.channels_last), x.flip(-1).flip(-1), x.mT.contiguous().mT):
        torch.testing.assert_close(encoder(other), encoder(x))


# --- what one output sees


def test_receptive_fields_of_known_stacks() -> None:
    assert receptive_field((), ()) == 1
    assert receptive_field((3,), (1,)) == 3
    assert receptive_field((3, 3, 3), (1, 1, 1)) == 7
    assert receptive_field((3, 3, 3), (2, 2, 2)) == 15
    assert receptive_field((4, 3), (2, 5)) == receptive_field((4, 3), (2, 1)) == 8
    # AlexNet and VGG-16 up to their last pooling: Araujo, Norris & Sim (2019) list 195 and 212.
    assert receptive_field((11, 3, 5, 3, 3, 3, 3, 3), (4, 2, 1, 2, 1, 1, 1, 2)) == 195
    assert receptive_field((3, 3, 2, 3, 3, 2, *3 * (3, 3, 3, 2)), (1, 1, 2, 1, 1, 2, *3 * (1, 1, 1, 2))) == 212


def seen(network: nn.Module, side: int) -> list[int]:
    """The columns of a picture of one row on which the middle output of a network of convolutions depends."""
    x = torch.rand(1, 1, 1, side, dtype=torch.float64, requires_grad=True)
    y = network(x)
    y[0, 0, 0, y.shape[-1] // 2].backward()
    assert x.grad is not None
    return [int(column) for column in x.grad[0, 0, 0].nonzero()]


layers = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), max_size=4)


@repeatable
@given(stack=layers, seed=st.integers(0, 2**31))
def test_the_receptive_field_is_as_wide_as_the_gradient_of_one_output(stack: list[tuple[int, int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential()
    for kernel, stride in stack:
        layer = nn.Conv2d(1, 1, (1, kernel), (1, stride)).double()
        with torch.no_grad():
            layer.weight.copy_(0.1 + torch.rand(layer.weight.shape, generator=generator))
        network.append(layer)
    field = receptive_field([kernel for kernel, _ in stack], [stride for _, stride in stack])
    columns = seen(network, side=field + 4 * prod(stride for _, stride in stack))
    assert columns[-1] - columns[0] + 1 == field
    if all(kernel >= stride for kernel, stride in stack):  # else pixels between are skipped
        assert len(columns) == field


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_the_encoder_sees_what_its_kernels_and_strides_say(stages: int) -> None:
    side, field = 64, receptive_field([3] * stages, [2] * stages)
    encoder = ConvolutionalEncoder((1, side, side), (1,) * stages, (), 2).double()
    for layer in encoder.convolutions:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1.0)
    features = nn.Sequential(*[layer for layer in encoder.convolutions if not isinstance(layer, nn.Flatten)])
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    y = features(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    assert x.grad is not None
    for axis in (2, 3):
        assert int(x.grad.abs().sum(axis)[0, 0].count_nonzero()) == field


@pytest.mark.parametrize(
    ("kernels", "strides"), [((3,), ()), ((3, 3), (1,)), ((), (2,)), ((0,), (1,)), ((3,), (0,)), ((3, -1), (1, 1))]
)
def test_a_stack_that_is_none_has_no_receptive_field(kernels: tuple[int, ...], strides: tuple[int, ...]) -> None:
    text = message(lambda: receptive_field(kernels, strides))
    assert f"kernels {list(kernels)} and strides {list(strides)}" in text


# --- checkerboards


def upsampled(kernel: int, padding: int) -> Tensor:
    """A constant picture through one transposed convolution with weights 1 and stride 2, without its border."""
    layer = nn.ConvTranspose2d(1, 1, kernel, stride=2, padding=padding, bias=False).double()
    nn.init.ones_(layer.weight)
    with torch.no_grad():
        y: Tensor = layer(torch.ones(1, 1, 8, 8, dtype=torch.float64))
    return y[0, 0, 3:-3, 3:-3]


def test_a_kernel_that_is_no_multiple_of_the_stride_paints_a_checkerboard() -> None:
    even, odd = upsampled(kernel=4, padding=1), upsampled(kernel=3, padding=1)
    assert (even == 4).all()
    assert sorted(odd.unique().tolist()) == [1, 2, 4]
    assert torch.equal(odd[2:, 2:], odd[:-2, :-2]), "the pattern repeats every two pixels"
    assert (upsampled(kernel=2, padding=0) == 1).all()


def test_a_decoder_reaches_every_inner_pixel_by_equally_many_weights() -> None:
    decoder = ConvolutionalDecoder((1, 32, 32), (3, 2), (), code=2).double()
    for layer in decoder.convolutions:
        if isinstance(layer, nn.ConvTranspose2d):
            assert all(kernel % stride == 0 for kernel, stride in zip(layer.kernel_size, layer.stride, strict=True))
            nn.init.ones_(layer.weight)
    with torch.no_grad():
        y = decoder.convolutions(torch.ones(1, 2, 8, 8, dtype=torch.float64))
    assert y.shape == (1, 1, 32, 32)
    inner = y[0, 0, 8:-8, 8:-8]
    torch.testing.assert_close(inner, inner[:1, :1].expand(16, 16))


# --- inside a VAE


def test_a_convolutional_vae_has_every_bound_of_a_vae() -> None:
    vae, x = convolutional_vae((1, 8, 8), (4, 5), (6,), latent=2), torch.bernoulli(torch.full((3, 1, 8, 8), 0.5))
    assert elbo(vae, x).value.shape == iwae(vae, x, samples=4).shape == (3,)
    assert vae.likelihood(torch.zeros(7, 3, 2)).event_shape == (1, 8, 8)
    estimate = log_evidence(vae, x, samples=50)
    assert estimate.value.shape == (3,)
    assert (estimate.value < 0).all()
    assert (elbo(vae, x).value.mean() - estimate.value.mean()).abs() < 20
    (-elbo(vae, x).value.mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in vae.parameters())


def test_a_convolutional_vae_is_made_of_its_networks() -> None:
    vae = convolutional_vae((3, 8, 8), (4,), (6,), 2, family=normal_with_std, activation=nn.Tanh, numbers=2)
    assert vae.encoder(torch.rand(5, 3, 8, 8)).shape == (5, 4)
    assert vae.decoder(torch.rand(5, 2)).shape == (5, 6, 8, 8)
    assert vae.likelihood(torch.rand(5, 2)).event_shape == (3, 8, 8)
    assert any(isinstance(module, nn.Tanh) for module in vae.modules())
    assert not any(isinstance(module, nn.SiLU) for module in vae.modules())
    assert convolutional_vae((1, 8, 8), (4,), (), 2).family is bernoulli


# --- what is refused


@pytest.mark.parametrize(
    ("image", "channels", "times"), [((1, 28, 28), (4, 4, 4), 8), ((3, 32, 30), (4, 4), 4), ((1, 7, 8), (4,), 2)]
)
def test_pictures_that_cannot_be_halved_so_often_are_refused(
    image: tuple[int, int, int], channels: tuple[int, ...], times: int
) -> None:
    for text in (
        message(lambda: convolutional_networks(image, channels, (), 2, 4)),
        message(lambda: convolutional_vae(image, channels, (), 2)),
        message(lambda: ConvolutionalDecoder(image, channels, (), 2)),
    ):
        assert f"{image[1]} × {image[2]} cannot be halved {len(channels)} times" in text
        assert f"divisible by {times}" in text


@pytest.mark.parametrize(("image", "channels"), [((1, 8, 8), ()), ((8, 8), (4,)), ((5, 1, 8, 8), (4,))])
def test_pictures_without_channels_and_networks_without_stages_are_refused(
    image: tuple[int, ...], channels: tuple[int, ...]
) -> None:
    text = message(lambda: convolutional_networks(image, channels, (), 2, 4))
    assert f"pictures {list(image)} and channels {list(channels)}" in text
    assert "at least one" in text


@pytest.mark.parametrize("shape", [(5, 64), (5, 1, 8, 9), (5, 3, 8, 8), (8, 8), (5, 1, 16, 4)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    for encoder in (convolutional_networks((1, 8, 8), (4,), (), 2, 4)[0], image_mlps((1, 8, 8), (), 2, 4)[0]):
        text = message(lambda encoder=encoder: encoder(torch.zeros(shape)))  # type: ignore[misc]
        assert f"given {list(shape)}" in text
        assert "[..., 1, 8, 8]" in text


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8])
def test_pictures_of_another_number_type_are_refused(dtype: torch.dtype) -> None:
    for encoder in (convolutional_networks((1, 8, 8), (4,), (), 2, 4)[0], image_mlps((1, 8, 8), (), 2, 4)[0]):
        text = message(lambda encoder=encoder: encoder(torch.zeros(5, 1, 8, 8, dtype=dtype)))  # type: ignore[misc]
        assert str(dtype) in text
        assert "torch.float32" in text
        assert "divide bytes by 255" in text
