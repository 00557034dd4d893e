"""A VQ-VAE of CIFAR-10, 8 × 8 × 10 codes a picture, and a prior over them: bits per dimension, the parts apart.

Van den Oord, Vinyals & Kavukcuoglu, arXiv:1711.00937, report 4.67 bits per dimension on this data with a uniform prior,
and 8 × 8 × 10 latents (section 3.2). Our networks are narrower and our training is shorter.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from math import cos, log, log2, pi
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu

from vae_course.data.batches import Batches
from vae_course.data.images import from_torchvision
from vae_course.distributions.pixels import discretized_logistic
from vae_course.distributions.quantised import perplexity
from vae_course.models.vq_vae import VQVAE, commitment_term
from vae_course.networks.codebook import MovingCodebook
from vae_course.networks.fields import MaskedConvolution
from vae_course.studies.long import Rows, train_long
from vae_course.studies.results import write
from vae_course.training.loop import Loss, Player

SHAPE, DIMENSIONS = (3, 32, 32), 3 * 32 * 32
BOOKS, SIDE, SIZE, D = 10, 8, 512, 16  # ten codes of one codebook at each of 8 × 8 places
POSITIONS = BOOKS * SIDE * SIDE
WIDTH, BETA, RATE, BATCH, SEED = 64, 0.25, 3e-3, 32, 0
PRIOR_WIDTH, PRIOR_BLOCKS, PRIOR_RATE, PRIOR_BATCH = 96, 4, 2e-3, 32
EPOCHS, PRIOR_EPOCHS = 10, 1
COMMAND = "python -m vae_course.studies cifar_codes FOLDER"


class Residual(nn.Module):
    """h + conv 1×1 (SiLU (conv 3×3 (SiLU (h)))): [n, width, height, width] → the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, h: Tensor) -> Tensor:
        """h: [n, width, height, width]."""
        return h + self.change(h)  # type: ignore[no-any-return]


class CodesEncoder(nn.Module):
    """Two convolutions of width 4 and stride 2, two residual blocks: [n, 3, 32, 32] → [n, D, BOOKS, 8, 8]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 4, stride=2, padding=1),
            Residual(width),
            Residual(width),
            nn.SiLU(),
            nn.Conv2d(width, D * BOOKS, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, 3, 32, 32] in [0, 1]."""
        return self.layers(x - 0.5).unflatten(1, (D, BOOKS))  # type: ignore[no-any-return]


class CodesDecoder(nn.Module):
    """The way back: [n, D, BOOKS, 8, 8] → the location and log scale of each channel of each pixel, [n, 6, 32, 32]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(D * BOOKS, width, 3, padding=1),
            Residual(width),
            Residual(width),
            nn.SiLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(width, 6, 4, stride=2, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        """z: [n, D, BOOKS, 8, 8]."""
        location, log_scale = self.layers(z.flatten(1, 2)).chunk(2, dim=1)
        return torch.cat([location + 0.5, log_scale - 3], 1)


class PlacePrior(nn.Module):
    """p(codes) = Π p(code | codes at earlier places, the earlier books' codes at its own): a PixelCNN over 8 × 8 places.

    Masked convolutions carry what earlier places hold, up to six rows above and but for their blind spot; at a place each book adds what the books before it chose.
    Codes int64 [n, BOOKS, 8, 8] → logits [n, SIZE, BOOKS, 8, 8].
    """

    def __init__(self, width: int = PRIOR_WIDTH, blocks: int = PRIOR_BLOCKS) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(BOOKS * SIZE, 2 * width)  # for the places after, for the books after
        self.first = MaskedConvolution(width, width, 5, centre=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), MaskedConvolution(width, width, 3, centre=True)
            )
            for _ in range(blocks)
        )
        self.book = nn.Parameter(torch.zeros(BOOKS, 1, 1, width))
        self.hidden, self.logits = nn.Linear(width, 2 * width), nn.Linear(2 * width, SIZE)

    def forward(self, codes: Tensor) -> Tensor:
        """codes: int64 [n, BOOKS, 8, 8]."""
        numbers = codes + SIZE * torch.arange(BOOKS, device=codes.device)[:, None, None]  # a code of a book
        outward, inward = self.embedding(numbers).chunk(2, dim=-1)  # [n, BOOKS, 8, 8, width] each
        h = self.first(outward.sum(1).movedim(-1, 1) / BOOKS**0.5)  # [n, width, 8, 8]
        for block in self.blocks:
            h = h + block(h)
        before = (inward.cumsum(1) - inward) / BOOKS**0.5  # of the books before, at the same place
        at = h.movedim(1, -1)[:, None] + before + self.book
        return self.logits(silu(self.hidden(silu(at)))).movedim(-1, 1)  # type: ignore[no-any-return]


def code_model() -> VQVAE:
    """The VQ-VAE: a grid of BOOKS × 8 × 8 codes, all from one codebook; a discretised logistic a pixel and channel."""
    family = partial(discretized_logistic, levels=256)
    return VQVAE(CodesEncoder(), MovingCodebook(SIZE, D), CodesDecoder(), family, (BOOKS, SIDE, SIDE))


def vq_loss(model: VQVAE, x: Tensor) -> Tensor:
    """−log p(x|z) + β commitment, the codebook moved by averages and dead codes restarted: [batch] nats and the penalty."""
    q = model.posterior(x)
    book = model.codebook
    assert isinstance(book, MovingCodebook)
    book.update(q.continuous, q.codes)
    book.restart(q.continuous, 1.0)
    return -model.likelihood(q.rsample()).log_prob(x) + BETA * commitment_term(q)


def falling(rate: float, epochs: int) -> Callable[[int], float]:
    """The rate of an epoch: a quarter in the first, then half a cosine from `rate` to a fiftieth of it."""
    return lambda epoch: rate / 4 if epoch == 1 else rate * (0.51 + 0.49 * cos(pi * (epoch - 1) / epochs))


def make(folder: Path, epochs: int = EPOCHS, prior_epochs: int = PRIOR_EPOCHS, examples: int | None = None) -> Path:
    """Train both models, with snapshots in `folder`, measure them on the test set, and write the result.

    examples: how many training pictures, all if None. Raises FileNotFoundError if CIFAR-10 is not on disk
    (`VAE_COURSE_DATA` names the folder), and as `take_up`.
    """
    train, test = (from_torchvision("CIFAR10", train=part).images for part in (True, False))
    train = train[:examples]
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    model = code_model()
    start_on_outputs(model, train[:500])
    rows = train_codes(model, train, test[:1000], epochs, folder / "codes.safetensors")
    codes, test_codes = codes_of(model, train), codes_of(model, test)
    torch.manual_seed(SEED)
    prior = PlacePrior()
    prior_rows = train_prior(prior, codes, test_codes[:200], prior_epochs, folder / "prior.safetensors")
    figures = {
        "bits_per_dimension": {
            "distortion": bits_of_pictures(model, test),
            "rate_uniform": POSITIONS * log2(SIZE) / DIMENSIONS,
            "rate_tables": bits_by_tables(codes, test_codes),
            "rate_learned": bits_by_prior(prior, test_codes),
        },
        "yardsticks": yardsticks(train, test),
        "perplexity": float(perplexity(test_codes, SIZE)),
        "training": rows,
        "training_of_prior": prior_rows,
    }
    how = {
        "command": COMMAND,
        "data": f"CIFAR-10, {len(train):,} pictures to train, {len(test):,} to test",
        "seed": SEED,
        "epochs": {"codes": epochs, "prior": prior_epochs},
        "numbers": {"codes": _numbers(model), "prior": _numbers(prior)},
        "seconds": {
            name: round(sum(row["seconds"] for row in part))
            for name, part in {"codes": rows, "prior": prior_rows}.items()
        },
    }
    return write("cifar_codes", figures, how)


@torch.no_grad()
def start_on_outputs(model: VQVAE, images: Tensor, gain: float = 8.0) -> None:
    """Make the untrained encoder's outputs `gain` times as large, and put every code on one of them, drawn at random.

    From codes around 0, of which all outputs choose a few, the same training needs many times as many pictures.
    """
    model.encoder.layers[-1].weight.mul_(gain)  # type: ignore[union-attr, index]
    outputs = model.encoder(images).movedim(1, -1).flatten(0, -2)  # [points, D]
    book = model.codebook
    assert isinstance(book, MovingCodebook)
    book.vectors.copy_(outputs[torch.randint(len(outputs), (SIZE,))])
    book.sums.copy_(book.vectors)


def train_codes(model: VQVAE, train: Tensor, watched: Tensor, epochs: int, path: Path) -> Rows:
    """Stage one: encoder, codebook and decoder. Each row holds the distortion of the `watched` pictures, bits per dimension."""
    loss, watch = partial(vq_loss, model), lambda _: {"distortion": bits_of_pictures(model, watched)}
    return _stage("codes", model, loss, train, BATCH, RATE, epochs, path, watch)


def train_prior(prior: PlacePrior, codes: Tensor, watched: Tensor, epochs: int, path: Path) -> Rows:
    """Stage two: the prior, on fixed codes. Each row holds the rate of the `watched` codes, bits per dimension."""
    loss, watch = partial(nats_of_codes, prior), lambda _: {"rate": bits_by_prior(prior, watched)}
    return _stage("prior", prior, loss, codes, PRIOR_BATCH, PRIOR_RATE, epochs, path, watch)


def _stage(
    name: str,
    module: nn.Module,
    loss: Loss,
    data: Tensor,
    size: int,
    rate: float,
    epochs: int,
    path: Path,
    watch: Callable[[int], Mapping[str, float]],
) -> Rows:
    adam = torch.optim.Adam(module.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    about = {"study": "cifar_codes", "stage": name, "examples": len(data), "epochs": epochs}
    batches = Batches(data, size=size, seed=SEED)
    return train_long(
        [Player(loss, adam)], {"module": module}, batches, epochs, falling(rate, epochs), path, about, watch
    )


@torch.no_grad()
def codes_of(model: VQVAE, images: Tensor) -> Tensor:
    """The codes of pictures: int64 [n, BOOKS, 8, 8]."""
    return torch.cat([model.posterior(x).codes for x in images.split(250)])


@torch.no_grad()
def bits_of_pictures(model: VQVAE, images: Tensor) -> float:
    """The distortion: −log₂ p(x | nearest codes), bits per dimension."""
    nats = [-model.likelihood(model.posterior(x).mean).log_prob(x) for x in images.split(250)]
    return float(torch.cat(nats).mean()) / DIMENSIONS / log(2)


def nats_of_codes(prior: PlacePrior, codes: Tensor) -> Tensor:
    """−log p(codes): int64 [n, BOOKS, 8, 8] → [n] nats."""
    return cross_entropy(prior(codes), codes, reduction="none").flatten(1).sum(1)


@torch.no_grad()
def bits_by_prior(prior: PlacePrior, codes: Tensor) -> float:
    """The rate with the learned prior, bits per dimension of the picture."""
    return float(torch.cat([nats_of_codes(prior, part) for part in codes.split(50)]).mean()) / DIMENSIONS / log(2)


def bits_by_tables(codes: Tensor, new: Tensor) -> float:
    """The rate with a table of frequencies for each of the ten codes at each place, bits per dimension of the picture."""
    own, others = codes.flatten(1).T, new.flatten(1).T  # [POSITIONS, n]
    counts = torch.full((POSITIONS, SIZE), 0.1, dtype=torch.float64)
    counts.scatter_add_(1, own, torch.ones_like(own, dtype=torch.float64))
    bits = (counts.sum(1, keepdim=True) / counts).log2()
    return float(bits.gather(1, others).sum(0).mean()) / DIMENSIONS


def yardsticks(train: Tensor, test: Tensor) -> dict[str, float]:
    """What plain methods need for the test pictures, bits per dimension: histograms, and two compressors without loss."""
    levels, new = ((images * 255).round().long() for images in (train, test))
    by_channel = torch.stack([torch.bincount(levels[:, c].flatten(), minlength=256) for c in range(3)]) + 0.1
    bits = (by_channel.sum(1, keepdim=True) / by_channel).log2()  # [3, 256]
    histogram = torch.stack([bits[c][new[:, c]].mean() for c in range(3)]).mean()
    whole = new.to(torch.uint8).movedim(1, -1).contiguous()  # [n, 32, 32, 3]
    single = sum(len(zlib.compress(bytes(picture.numpy()), 9)) for picture in whole[:1000])
    strip = io.BytesIO()  # a thousand pictures below each other, so that the header is paid once
    Image.fromarray(whole[:1000].flatten(0, 1).numpy()).save(strip, "PNG", optimize=True)
    each = 1000 * DIMENSIONS
    return {
        "a histogram for each channel": float(histogram),
        "zlib, a picture at a time": 8 * single / each,
        "PNG, a thousand pictures in a strip": 8 * len(strip.getvalue()) / each,
    }


def _numbers(module: nn.Module) -> int:
    """How many numbers training moves, the codebook's included."""
    book = module.codebook.vectors.numel() if isinstance(module, VQVAE) else 0
    return book + sum(parameter.numel() for parameter in module.parameters())
