"""The plain autoencoder: a linear one finds the subspace of PCA, and its error is a sum of squares."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from vae_course.data.batches import Batches
from vae_course.evaluation.geometry import principal_angles
from vae_course.evaluation.pictures import mean_squared_error
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.models.autoencoder import Autoencoder, mlp_autoencoder, squared_error
from vae_course.networks.multilayer import count_parameters, mlp
from vae_course.training.loop import Player, fit


def centred_data() -> Tensor:
    """400 points in 6 dimensions, rotated, with standard deviations 3, 2, then 0.5 and below: [400, 1, 2, 3]."""
    generator = torch.Generator().manual_seed(6)
    stds = torch.tensor([3.0, 2.0, 0.5, 0.4, 0.3, 0.2]).double()
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator).double())
    points: Tensor = (torch.randn(400, 6, generator=generator).double() * stds) @ rotation.T
    return (points - points.mean(0)).reshape(400, 1, 2, 3)


def trained(x: Tensor, code: int) -> Autoencoder:
    torch.manual_seed(0)
    model = mlp_autoencoder((1, 2, 3), hidden=(), code=code).double()
    adam = torch.optim.Adam(model.parameters(), lr=2e-2)
    batches = Batches(x, size=100, seed=0)
    fit([Player(lambda x: squared_error(model(x), x), adam, CosineAnnealingLR)], batches, epochs=300)
    return model


@pytest.mark.parametrize("code", [1, 2])
def test_a_linear_autoencoder_ends_in_the_subspace_of_pca(code: int) -> None:
    x = centred_data()
    model, pca = trained(x, code), PrincipalComponents(x, code)
    decoder = model.decoder.get_parameter("network.0.weight")  # [6, code]
    assert float(principal_angles(decoder, pca.components)[0]) < 1.0
    error, least = mean_squared_error(model(x), x), mean_squared_error(pca(x), x)
    assert least <= error < 1.001 * least


def test_an_untrained_autoencoder_is_far_from_the_subspace_of_pca() -> None:
    torch.manual_seed(0)
    decoder = mlp_autoencoder((1, 2, 3), hidden=(), code=2).decoder.get_parameter("network.0.weight")
    assert float(principal_angles(decoder, PrincipalComponents(centred_data(), 2).components)[0]) > 10.0


def test_an_autoencoder_goes_to_codes_and_back_to_pictures() -> None:
    model, x = mlp_autoencoder((1, 4, 4), hidden=(12, 8), code=3), torch.rand(5, 1, 4, 4)
    layers = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert layers == [(12, 16), (8, 12), (3, 8), (8, 3), (12, 8), (16, 12)]  # the decoder mirrors the encoder
    assert model.encode(x).shape == (5, 3)
    assert model.decode(model.encode(x)).shape == x.shape
    torch.testing.assert_close(model(x), model.decode(model.encode(x)))


def test_an_encoder_refuses_pictures_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"\[5, 1, 4, 3\].*\[\.\.\., 1, 4, 4\]"):
        mlp_autoencoder((1, 4, 4), hidden=(), code=3).encode(torch.rand(5, 1, 4, 3))


def test_a_linear_autoencoder_is_linear_and_a_hidden_layer_bends_it() -> None:
    x, y = torch.randn(2, 1, 1, 2, 3).double()
    for hidden, linear in (((), True), ((5,), False)):
        model = mlp_autoencoder((1, 2, 3), hidden=hidden, code=2).double()
        middle = model((x + y)[None] / 2)
        assert bool(torch.isclose(middle, (model(x[None]) + model(y[None])) / 2).all()) is linear


def test_a_multilayer_perceptron_has_the_sizes_asked_for_and_a_linear_output() -> None:
    network = mlp(4, 3, 2)
    assert [tuple(p.shape) for p in network.parameters()] == [(3, 4), (3,), (2, 3), (2,)]
    assert [type(layer) for layer in network] == [nn.Linear, nn.SiLU, nn.Linear]
    assert count_parameters(network) == 4 * 3 + 3 + 3 * 2 + 2
    with pytest.raises(ValueError, match=r"sizes \(4,\)"):
        mlp(4)


def test_squared_error_sums_the_squares_of_each_picture() -> None:
    x = torch.zeros(2, 1, 2, 2)
    reconstruction = torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]]).reshape(2, 1, 2, 2)
    assert squared_error(reconstruction, x).tolist() == [5.0, 1.0]
    assert squared_error(x, reconstruction).tolist() == [5.0, 1.0]


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (4, 1, 2, 1), (4, 4), (4, 2, 2)])
def test_squared_error_broadcasts_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"compared with pictures \[4, 1, 2, 2\]"):
        squared_error(torch.zeros(shape), torch.zeros(4, 1, 2, 2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_pictures_of_another_number_type_are_refused_in_a_sentence(dtype: torch.dtype) -> None:
    model = mlp_autoencoder((1, 4, 4), (8,), 2)
    with pytest.raises(ValueError, match=f"given numbers of type {dtype}; its weights are torch.float32"):
        model(torch.zeros(2, 1, 4, 4, dtype=dtype))
