"""Two models of all of MNIST, binary: one of twenty latents, and one of two, for the map and the manifold.

Neither has seen the thousand digits that the lectures hold out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from vae_course.data.batches import Batches
from vae_course.data.images import ImageSet, binarize, digits, fixed_binarization, shift
from vae_course.evaluation.bounds import mean_elbo
from vae_course.models.vae import VAE, mlp_vae
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import History, adam_player, fit
from vae_course.training.store import load, manifest, save, write_manifest

FOLDER = Path(__file__).parent
COMMAND = "python -m vae_course.checkpoints digits"
IMAGE = (1, 28, 28)
LATENT, HIDDEN = 20, (256,)
FLAT_HIDDEN = (256, 128)
EPOCHS, BATCH, RATE, SEED = 100, 100, 2e-3, 0
DIGITS, FLAT = "digits_vae.safetensors", "digits_flat_vae.safetensors"


def digit_vae() -> VAE:
    """The model of twenty latents: 784-256-20 and back."""
    return mlp_vae(IMAGE, HIDDEN, LATENT)


def flat_digit_vae() -> VAE:
    """The model of two latents: 784-256-128-2 and back."""
    return mlp_vae(IMAGE, FLAT_HIDDEN, 2)


def load_digit_vae() -> VAE:
    """The stored model of twenty latents. Raises FileNotFoundError or ValueError for a file that is missing or another."""
    return _load(digit_vae(), DIGITS)


def load_flat_digit_vae() -> VAE:
    """The stored model of two latents. Raises as `load_digit_vae`."""
    return _load(flat_digit_vae(), FLAT)


def _load(vae: VAE, name: str) -> VAE:
    load(vae.half(), FOLDER / name, manifest(FOLDER)[name])
    return vae.float().eval()


def unseen(train: ImageSet, held_out: Tensor) -> Tensor:
    """The pictures of `train` that are not among `held_out`, compared byte by byte: [n, 1, 28, 28]."""
    known = set(_as_bytes(held_out))
    new = torch.tensor([picture not in known for picture in _as_bytes(train.images)])
    return train.images[new]


def _as_bytes(images: Tensor) -> list[bytes]:
    return [picture.tobytes() for picture in (images * 255).round().byte().cpu().numpy()]


def train_digit_vae(model: VAE, images: Tensor, epochs: int = EPOCHS) -> History:
    """Train on digits that are moved and drawn anew at each step, as in the lecture on the variational autoencoder."""
    batches = Batches(images, size=BATCH, augment=lambda x, generator: binarize(shift(x, generator), generator))
    return fit([adam_player(lambda x: -elbo(model, x).value, model, RATE)], batches, epochs)


def make_digit_vaes(folder: Path = FOLDER, epochs: int = EPOCHS) -> dict[str, str]:
    """Train both on all of MNIST and write them, and the manifest: the name and SHA-256 of each file.

    Raises FileNotFoundError if MNIST is not on disk (`VAE_COURSE_DATA` names the folder).
    """
    checksums = {
        name: _make(name, model, folder, epochs) for name, model in {DIGITS: digit_vae, FLAT: flat_digit_vae}.items()
    }
    write_manifest(folder, checksums)
    return checksums


def _make(name: str, model: Callable[[], VAE], folder: Path, epochs: int) -> str:
    held_out = digits().held_out.images
    images = unseen(digits("full").train, held_out)
    torch.manual_seed(SEED)
    vae = model()
    train_digit_vae(vae, images, epochs)
    bound = round(mean_elbo(vae, fixed_binarization(held_out), samples=10)["elbo"], 2)
    made_by: dict[str, str | int | float] = {
        "command": COMMAND,
        "epochs": epochs,
        "seed": SEED,
        "digits": len(images),
        "held_out_elbo": bound,
    }
    return save(vae.half(), folder / name, **made_by)
