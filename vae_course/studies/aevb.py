"""The curves of the AEVB paper's figure 2: MNIST and Frey faces, AEVB beside wake-sleep, for several numbers of latents.

Kingma & Welling, arXiv:1312.6114, section 5 and appendix C: one hidden layer of tanh units (500, or 200 for Frey faces), all weights
drawn from N(0, 0.01), Adagrad, minibatches of 100, one draw of z, a prior N(0, I) on the weights, which decays them by 1/N.
What the paper leaves open is a field of `Curve`: what stands for a pixel (grey values), which of its three steps, the split of the faces.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import exp
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from scipy.io import loadmat
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal

from vae_course.data.batches import Batches
from vae_course.data.images import data_folder, from_torchvision
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.validation import validation
from vae_course.inference.wake_sleep import sleep, wake
from vae_course.models.vae import VAE, mlp_vae
from vae_course.objectives.bounds import elbo
from vae_course.output import say
from vae_course.studies.long import Rows, train_long
from vae_course.studies.results import FOLDER, write
from vae_course.training.loop import Player

SAMPLES, SHORTER, BATCH, STEP, SPREAD, SEED = 10_000_000, 1_000_000, 100, 0.02, 0.1, 0
BETWEEN = 60_000  # training samples from one point of a curve to the next
COMMAND = "python -m vae_course.studies aevb FOLDER"
T = TypeVar("T")
Data = tuple[Tensor, Tensor]  # to train on and to test on, each [n, 1, height, width] in [0, 1]


class Curve(NamedTuple):
    """One curve of the figure; the fields below the line are what the paper leaves open."""

    data: str  # mnist, frey, or frey_blocks: the faces split by blocks of time
    algorithm: str  # aevb or wake_sleep
    latent: int
    step: float = STEP
    spread: float = SPREAD  # the standard deviation of the first weights
    binary: bool = False  # pixels drawn anew as 0 or 1 at each step, instead of grey
    log_std: bool = False  # the encoder gives log σ instead of log σ²
    grey_dreams: bool = False  # wake-sleep's encoder learns from mean images instead of draws

    @property
    def name(self) -> str:
        """What the files are called: mnist_aevb_20; what differs from the defaults is added."""
        changed = [f"step{self.step:g}"] * (self.step != STEP) + [f"spread{self.spread:g}"] * (self.spread != SPREAD)
        changed += [name for name in ("binary", "log_std", "grey_dreams") if getattr(self, name)]
        return "_".join([self.data, self.algorithm, str(self.latent), *changed])


PAPER = [
    Curve(data, algorithm, latent)
    for data, latents in (("mnist", (20, 3, 200, 10, 5)), ("frey", (2, 5, 10, 20)))
    for latent in latents
    for algorithm in ("aevb", "wake_sleep")
]
BLOCKS = [Curve("frey_blocks", "aevb", latent) for latent in (2, 5, 10, 20)]
CHOICES = [  # what the paper leaves open, one at a time, to SHORTER samples
    Curve("mnist", "aevb", 20, step=0.1),
    Curve("mnist", "aevb", 20, step=0.01),
    Curve("mnist", "aevb", 20, spread=0.01),
    Curve("mnist", "aevb", 20, binary=True),
    Curve("mnist", "aevb", 20, log_std=True),
    Curve("mnist", "wake_sleep", 20, grey_dreams=True),
]


class Passes:
    """Batches gone through several times over, as one epoch."""

    def __init__(self, batches: Batches, passes: int) -> None:
        self.batches, self.passes, self.generator = batches, passes, batches.generator

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for _ in range(self.passes):
            yield from self.batches


def grey_bernoulli(logits: Tensor) -> Independent[Bernoulli]:
    """A Bernoulli whose `log_prob` of a grey x is Σ x log p + (1 − x) log(1 − p): its mean over binary pixels drawn from x, nats."""
    return Independent(Bernoulli(logits=logits, validate_args=False), 3, validate_args=False)


def face_normal(numbers: Tensor) -> Independent[Normal]:
    """A normal density for each pixel, its mean in (0, 1): numbers [..., 2, h, w], mean = sigmoid, then log σ². Appendix C.2."""
    mean, log_variance = numbers.chunk(2, dim=-3)
    return diagonal_normal(mean.sigmoid(), (log_variance / 2).exp(), 3)


class FromLogVariance(nn.Module):
    """μ and log σ² of a network as μ and log σ: Adagrad's steps are of the network's own numbers. Appendix C.2 has log σ²."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """[batch, *image] → [batch, 2·latent]."""
        mean, log_variance = self.network(x).chunk(2, dim=-1)
        return torch.cat([mean, log_variance / 2], dim=-1)


def model_of(curve: Curve, shape: Sequence[int]) -> VAE:
    """The networks of the paper with fresh weights, biases included."""
    if curve.data == "mnist":
        vae = mlp_vae(shape, (500,), curve.latent, grey_bernoulli, nn.Tanh)
    else:
        vae = mlp_vae(shape, (200,), curve.latent, face_normal, nn.Tanh, numbers=2)
    if not curve.log_std:
        vae.encoder = FromLogVariance(vae.encoder)
    for weight in vae.parameters():
        nn.init.normal_(weight, std=curve.spread)
    return vae


def players_of(curve: Curve, vae: VAE, examples: int) -> list[Player]:
    """One player for AEVB, two for wake-sleep. Decay by 1/N is the gradient of −log p(weights)/N, the prior's share of an example."""

    def player(loss: object, module: nn.Module, name: str) -> Player:
        rule = torch.optim.Adagrad(module.parameters(), lr=curve.step, weight_decay=1 / examples, fused=True)
        return Player(loss, rule, name=name)  # type: ignore[arg-type]

    if curve.algorithm == "aevb":
        return [player(lambda x: -elbo(vae, x).value, vae, "loss")]
    dream = partial(sleep, vae, means=curve.grey_dreams)
    return [player(partial(wake, vae), vae.decoder, "wake"), player(dream, vae.encoder, "sleep")]


@torch.no_grad()
def bound(vae: VAE, images: Tensor) -> float:
    """The mean ELBO, one draw of z an example, nats."""
    with validation(False):
        return float(torch.cat([elbo(vae, x).value for x in images.split(1000)]).mean())


def train_curve(curve: Curve, data: Data, samples: int, folder: Path) -> tuple[Rows, VAE]:
    """Train as far as `samples`, with snapshots in `folder`. Rows: training samples so far, both bounds in nats, seconds."""
    train, test = data
    torch.manual_seed(SEED)
    vae = model_of(curve, train.shape[1:])
    batches = Batches(train, size=BATCH, seed=SEED, augment=draw_binary if curve.binary else None)
    passes = Passes(batches, max(1, round(BETWEEN / len(train))))
    epochs = -(-samples // (passes.passes * len(train)))
    binary = torch.Generator().manual_seed(1)
    targets = {
        name: draw_binary(images, binary) if curve.binary else images
        for name, images in {"test": test, "train": train[:2000]}.items()
    }

    def watch(_: int) -> dict[str, float]:
        return {name: bound(vae, images) for name, images in targets.items()}

    about = {"study": "aevb", "curve": curve.name, "examples": len(train)}
    path = folder / f"{curve.name}.safetensors"
    players = players_of(curve, vae, len(train))
    rows = train_long(players, {"vae": vae}, passes, epochs, lambda _: curve.step, path, about, watch)
    return [{"samples": len(train) * passes.passes * row["epoch"], **row} for row in rows], vae


def draw_binary(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pixels 0 or 1, each drawn with its grey value as the probability of 1."""
    return torch.bernoulli(images, generator=generator)


def data_of(name: str) -> Data:
    """MNIST's own split; of the faces, a film of 1,965 pictures, 400 to test on: drawn at random, or in four blocks of time.

    The faces are read from the user's own copy of S. Roweis's `frey_rawface.mat`. Raises FileNotFoundError for missing data.
    """
    if name == "mnist":
        return from_torchvision("MNIST", train=True).images, from_torchvision("MNIST", train=False).images
    path = data_folder() / "frey_rawface.mat"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: put S. Roweis's frey_rawface.mat (1,965 faces) there, or name MNIST's curves."
        )
    faces = torch.tensor(loadmat(path)["ff"].T / 255, dtype=torch.float32).reshape(-1, 1, 28, 20)
    if name == "frey_blocks":
        held = torch.zeros(len(faces), dtype=torch.bool)
        for k in range(4):
            start = len(faces) * (2 * k + 1) // 8 - 50
            held[start : start + 100] = True
    else:
        held = torch.randperm(len(faces), generator=torch.Generator().manual_seed(SEED)) < 400
    return faces[~held], faces[held]


def thinned(rows: Rows, ratio: float = exp(0.1)) -> Rows:
    """The rows kept in a result: the first, the last, and between them each that saw `ratio` times as many samples as the one before."""
    kept: Rows = []
    for row in rows:
        if not kept or row["samples"] >= ratio * kept[-1]["samples"] or row is rows[-1]:
            kept.append({key: round(row[key], 2) for key in ("samples", "test", "train")})
    return kept


def chosen(names: Sequence[str], known: Mapping[str, T]) -> list[T]:
    """What these names stand for. Raises ValueError for one that stands for nothing."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"There is no curve {unknown[0]!r}: choose from {', '.join(known)}.")
    return [known[name] for name in names]


def make(folder: Path, names: Sequence[str] = (), samples: int | None = None, results: Path = FOLDER / "aevb") -> Path:
    """Train the curves named, or all of the paper's, as far as `samples`, one after the other, and write a result for each; returns their folder.

    Raises ValueError for a name that is none of theirs, FileNotFoundError for missing data.
    """
    curves = chosen(names, {curve.name: curve for curve in [*PAPER, *BLOCKS, *CHOICES]}) or PAPER
    for place in (folder, results):
        place.mkdir(parents=True, exist_ok=True)
    for curve in curves:
        data = data_of(curve.data)
        began = time.time()
        length = samples or (SHORTER if curve in CHOICES else SAMPLES)
        rows, _ = train_curve(curve, data, length, folder)
        how = {
            "command": f"{COMMAND} {curve.name}",
            "data": f"{curve.data}, {len(data[0]):,} to train, {len(data[1]):,} to test",
            "seed": SEED,
            "samples": int(rows[-1]["samples"]),
            "seconds": round(sum(row["seconds"] for row in rows)),
            "finished": time.strftime("%Y-%m-%d"),
        }
        say(f"{write(curve.name, {'curve': thinned(rows)}, how, results)}, {time.time() - began:.0f} s")
    return results
