"""Fifteen models of sprites: VAE, β-VAE and β-TCVAE, five seeds each.

Stored are all encoders and, for each method, the decoder of the model whose mutual information gap is the median.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.sprites import sprites
from vae_course.disentanglement import mutual_information_gap
from vae_course.models.vae import VAE, mlp_vae
from vae_course.objectives import decomposed_elbo, elbo
from vae_course.training import History, adam_player, fit, load, save

SpriteLoss = Callable[[VAE, Tensor], Tensor]
FOLDER = Path(__file__).parent
COMMAND = "python -m vae_course.checkpoints sprites"
SEEDS = 5
LATENT = 8
HIDDEN = (256, 256)
BETA = {"VAE": 1.0, "β-VAE": 4.0, "β-TCVAE": 10.0}
NAMES = {"VAE": "sprites_vae", "β-VAE": "sprites_beta_vae", "β-TCVAE": "sprites_beta_tcvae"}
EPOCHS, BATCH, RATE = 40, 100, 2e-3
SHA256: Mapping[str, str] = {
    "sprites_vae_encoder_0.safetensors": "af204a0c12b84097e4ae5decb19ebd83995836836a4296ce454047635ffb6d43",
    "sprites_vae_encoder_1.safetensors": "c891c4e09c2e39a3ff0ae4f18a66cc9ccebfddcf8b4d27cc36518e5340d1123d",
    "sprites_vae_encoder_2.safetensors": "c6934e5539ccb818a887a6766811a8d06fb50ddd4a897e5e23b42e848fdcfeaf",
    "sprites_vae_encoder_3.safetensors": "d92dd31c51e4049bbcc0bdc919333b5e2377e72207c35c16bd6ce04c696a99be",
    "sprites_vae_encoder_4.safetensors": "46ed6551178e1c50775b99e5a5a7321ed7d61bdf7873d2620a4373267c650ecc",
    "sprites_vae_decoder_4.safetensors": "5f0caf099aef7a75a3bda0445a00955e58c0e0d4dc66cfdc2040231486fb75e4",
    "sprites_beta_vae_encoder_0.safetensors": "023af1b418e74e269ca7287f07e580876631696aae9eae94c9c3bf190f9fb4a9",
    "sprites_beta_vae_encoder_1.safetensors": "088aacbc5dcf2ac321092d3772be1f571dbfed7f45b4c6c21f4c71d6cfff78bf",
    "sprites_beta_vae_decoder_1.safetensors": "2d7f80501bf3a058df7f7c8a1b310b62e289d03cc4103006c9319456f7b797d9",
    "sprites_beta_vae_encoder_2.safetensors": "84c1707a5eb5f3643507b759924d5988a1063def0c03688604a699857a91f927",
    "sprites_beta_vae_encoder_3.safetensors": "b4efabb0397d9628a354a1fd05b747fd12635c5624510eb51adda30b4b181c0d",
    "sprites_beta_vae_encoder_4.safetensors": "6a560a1841e8962f1315dbdab8d01a277179dda192a4d3ccd29fb42c503251cf",
    "sprites_beta_tcvae_encoder_0.safetensors": "6f0b9353122610b04443047a71deb16a8613710eb60c4a77d422ce44eb79e1b4",
    "sprites_beta_tcvae_encoder_1.safetensors": "0bb5614383975a56f091efb9c619cd8c2f6c582a96f65b663e56ecad14af5f70",
    "sprites_beta_tcvae_encoder_2.safetensors": "a544b9e34abcea89dcfd87fc927d6c0e42b2615c69757ac2dfc887a0ba10f2c7",
    "sprites_beta_tcvae_encoder_3.safetensors": "1ecec792ee11a174dbea68bb98967266c702242882ad8f577661fdfc103e3632",
    "sprites_beta_tcvae_encoder_4.safetensors": "c19ca0ba8c7c9b2546284d69089bf2da9c513f152914437f1c485db0f0b91785",
    "sprites_beta_tcvae_decoder_4.safetensors": "f90c0112056aa065891886697b4da617878420680d276175d99afac7d793caab",
}


def beta_vae_loss(beta: float) -> SpriteLoss:
    """-E[log p(x|z)] + β KL: [batch] nats. Higgins et al., beta-VAE (2017), eq. 4."""

    def loss(model: VAE, x: Tensor) -> Tensor:
        terms = elbo(model, x)
        return -(terms.log_likelihood - beta * terms.kl)

    return loss


def beta_tcvae_loss(beta: float) -> SpriteLoss:
    """The β-VAE's loss with β on the total correlation alone: [batch] nats. Chen et al., arXiv:1802.04942, eq. 4.

    The batch stands for the whole set (`size=len(x)`), which gives the gradient of their minibatch-weighted estimate.
    """

    def loss(model: VAE, x: Tensor) -> Tensor:
        terms = decomposed_elbo(model, x, size=len(x))
        penalties = terms.index_code + beta * terms.total_correlation + terms.dimension_wise
        return -(terms.log_likelihood - penalties)

    return loss


OBJECTIVES: Mapping[str, SpriteLoss] = {
    "VAE": beta_vae_loss(BETA["VAE"]),
    "β-VAE": beta_vae_loss(BETA["β-VAE"]),
    "β-TCVAE": beta_tcvae_loss(BETA["β-TCVAE"]),
}


def binary_sprites() -> Tensor:
    """All 6,144 sprites with their grey edges rounded to 0 or 1 (5,632 of them differ): [6144, 1, 28, 28]."""
    return sprites().images.round()


def sprite_vae() -> VAE:
    """The model of all fifteen: two mirrored MLPs of two hidden layers, eight latents, Bernoulli pixels."""
    return mlp_vae((1, 28, 28), HIDDEN, LATENT, activation=nn.ReLU)


def train_sprite_vae(loss: SpriteLoss, seed: int, epochs: int = EPOCHS) -> tuple[VAE, History]:
    """One model from a fresh start, on all 6,144 binary sprites."""
    torch.manual_seed(seed)
    model, images = sprite_vae(), binary_sprites()
    batches = Batches(images, size=BATCH)
    player = adam_player(lambda x: loss(model, x), model, RATE, epochs * len(batches))
    return model, fit([player], batches, epochs)


class NotStored(nn.Module):
    """In the place of a decoder that is not stored."""

    def forward(self, z: Tensor) -> Tensor:
        """Raises RuntimeError."""
        raise RuntimeError("The decoder of this model is not stored, only its encoder: take the median model.")


class Stored(NamedTuple):
    """Five models of one method, all with their encoders; `median` is the one that has a decoder."""

    models: list[VAE]
    median: VAE


def load_sprite_vaes(method: str) -> Stored:
    """The stored models of "VAE", "β-VAE" or "β-TCVAE", in single precision.

    Raises KeyError for another name, FileNotFoundError or ValueError for a file that is missing, damaged or another.
    """
    if method not in NAMES:
        raise KeyError(f"There are no stored models {method!r}; choose one of {', '.join(NAMES)}.")
    models = [_load(NAMES[method], seed) for seed in range(SEEDS)]
    return Stored(models, next(model for model in models if not isinstance(model.decoder, NotStored)))


def _load(name: str, seed: int) -> VAE:
    model = sprite_vae().half()
    encoder, decoder = (f"{name}_{part}_{seed}.safetensors" for part in ("encoder", "decoder"))
    load(model.encoder, FOLDER / encoder, SHA256[encoder])
    if decoder in SHA256:
        load(model.decoder, FOLDER / decoder, SHA256[decoder])
    else:
        model.decoder = NotStored()
    return model.float().eval()


def make_sprite_vaes(folder: Path = FOLDER, epochs: int = EPOCHS) -> dict[str, str]:
    """Train all fifteen and write them: the name and SHA-256 of each file."""
    checksums = {}
    for method, loss in OBJECTIVES.items():
        models = [train_sprite_vae(loss, seed, epochs)[0] for seed in range(SEEDS)]
        gaps = torch.tensor([mean_gap(model) for model in models])
        for seed, model in enumerate(models):
            made_by: dict[str, str | int | float] = {"method": method, "beta": BETA[method], "seed": seed}
            parts = {"encoder": model.encoder} | ({"decoder": model.decoder} if gaps[seed] == gaps.median() else {})
            for part, module in parts.items():
                name = f"{NAMES[method]}_{part}_{seed}.safetensors"
                checksums[name] = save(module.half(), folder / name, command=COMMAND, epochs=epochs, **made_by)
    return checksums


@torch.no_grad()
def mean_gap(model: VAE) -> float:
    """The mutual information gap of one draw of z for each sprite, averaged over the factors."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        codes = model.posterior(binary_sprites()).sample()
    return float(mutual_information_gap(codes, sprites().factors).mean())
