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
from vae_course.evaluation.disentanglement import mutual_information_gap
from vae_course.models.vae import VAE, mlp_vae
from vae_course.objectives.bounds import elbo
from vae_course.objectives.decomposition import decomposed_elbo
from vae_course.randomness import seeded
from vae_course.training.loop import History, adam_player, fit
from vae_course.training.store import load, manifest, save, write_manifest

SpriteLoss = Callable[[VAE, Tensor], Tensor]
FOLDER = Path(__file__).parent
COMMAND = "python -m vae_course.checkpoints sprites"
SEEDS = 5
LATENT = 8
HIDDEN = (80, 80)
BETA = {"VAE": 1.0, "β-VAE": 4.0, "β-TCVAE": 10.0}
NAMES = {"VAE": "sprites_vae", "β-VAE": "sprites_beta_vae", "β-TCVAE": "sprites_beta_tcvae"}
EPOCHS, BATCH, RATE = 40, 100, 2e-3


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
    player = adam_player(lambda x: loss(model, x), model, RATE)
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
    model, expected = sprite_vae().half(), manifest(FOLDER)
    encoder, decoder = (f"{name}_{part}_{seed}.safetensors" for part in ("encoder", "decoder"))
    load(model.encoder, FOLDER / encoder, expected[encoder])
    if decoder in expected:
        load(model.decoder, FOLDER / decoder, expected[decoder])
    else:
        model.decoder = NotStored()
    return model.float().eval()


def make_sprite_vaes(folder: Path = FOLDER, epochs: int = EPOCHS) -> dict[str, str]:
    """Train all fifteen and write them, and the manifest: the name and SHA-256 of each file."""
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
    write_manifest(folder, checksums)
    return checksums


@torch.no_grad()
def mean_gap(model: VAE) -> float:
    """The mutual information gap of one draw of z for each sprite, averaged over the factors."""
    with seeded():
        codes = model.posterior(binary_sprites()).sample()
    return float(mutual_information_gap(codes, sprites().factors).mean())
