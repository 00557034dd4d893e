"""What a VAE of digits reacts to and what models of digits cost: settings changed one at a time, over seeds; models, timed.

Three tables of MNIST-5k, for the lecture `failures`. `smoothness`: the fine detail that mean images keep. `sensitivity`: the
held-out bound. `cost`: nats held out, numbers, and seconds of one processor core, which are those of one machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, digits, fixed_binarization
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.distributions.pixels import NormalWithLearnedStd
from vae_course.distributions.quantised import AutoregressiveCodes
from vae_course.evaluation.bounds import mean_elbo
from vae_course.evaluation.evidence import log_evidence
from vae_course.evaluation.latents import active_units
from vae_course.models.discrete import mlp_discrete_vae
from vae_course.models.vae import VAE, Family, convolutional_vae, mlp_vae
from vae_course.models.views import WithPrior
from vae_course.models.vq_vae import VQVAE, commitment_term
from vae_course.networks.codebook import MovingCodebook
from vae_course.networks.fields import FieldDecoder, FieldEncoder, PixelCNN
from vae_course.networks.multilayer import count_parameters
from vae_course.objectives.bounds import elbo, iwae
from vae_course.output import say
from vae_course.studies.results import write
from vae_course.training.loop import adam_player, fit

COMMAND = "python -m vae_course.studies failures FOLDER"
SHAPE, LATENT, EPOCHS, BATCH = (1, 28, 28), 20, 12, 100
SEEDS = {  # table → how many trainings of how many epochs
    "sensitivity": {EPOCHS: 5, 4 * EPOCHS: 1},
    "smoothness": {EPOCHS: 5, 4 * EPOCHS: 1},
    "cost": {EPOCHS: 5},
}
Row = dict[str, float]


class Data(NamedTuple):
    """Grey digits to train on, grey and binary digits held out: [n, 1, 28, 28]."""

    train: Tensor
    grey: Tensor
    binary: Tensor


def digits_to_use() -> Data:
    """MNIST-5k: 4,000 to train, 1,000 held out."""
    train, held_out = digits()
    return Data(train.images, held_out.images, fixed_binarization(held_out.images))


class Setting(NamedTuple):
    """A VAE of 784-hidden-latent and back, and how it is trained; the table changes one of them at a time.

    start: of log σ of q(z|x), added to what the encoder returns; noise: whether z is drawn in training, or is the mean.
    """

    latent: int = LATENT
    hidden: tuple[int, ...] = (100,)
    beta: float = 1.0
    rate: float = 1e-2
    start: float = 0.0
    noise: bool = True
    std: float | None = None  # of a normal likelihood; None learns one for all pixels


SENSITIVITY = {
    "as it is": Setting(),
    "2 latents": Setting(latent=2),
    "5 latents": Setting(latent=5),
    "50 latents": Setting(latent=50),
    "β = 0.5": Setting(beta=0.5),
    "β = 2": Setting(beta=2.0),
    "rate / 10": Setting(rate=1e-3),
    "rate / 3": Setting(rate=3e-3),
    "rate × 3": Setting(rate=3e-2),
    "rate × 10": Setting(rate=1e-1),
    "no hidden layer": Setting(hidden=()),
    "2 hidden layers": Setting(hidden=(100, 100)),
    "3 hidden layers": Setting(hidden=(100, 100, 100)),
    "log σ of q from −4": Setting(start=-4.0),
    "log σ of q from 2": Setting(start=2.0),
}
SMOOTHNESS = {
    "as it is": Setting(hidden=(200,)),
    "σ = 1": Setting(hidden=(200,), std=1.0),
    "σ = 1, β to match": Setting(hidden=(200,), std=1.0, beta=0.13**2),
    "no KL": Setting(hidden=(200,), beta=0.0),
    "no noise": Setting(hidden=(200,), noise=False),
    "5 latents": Setting(hidden=(200,), latent=5),
    "50 latents": Setting(hidden=(200,), latent=50),
    "400 hidden units": Setting(hidden=(400,)),
}


def train_setting(setting: Setting, family: Family, batches: Batches, epochs: int) -> VAE:
    """The trained model. Raises FloatingPointError, or ValueError from a distribution, where the training diverges."""
    vae = mlp_vae(SHAPE, setting.hidden, setting.latent, family)
    with torch.no_grad():
        last = [layer for layer in vae.encoder.modules() if isinstance(layer, nn.Linear)][-1]
        last.bias[setting.latent :] += setting.start  # the second half of what the encoder returns is log σ

    def loss(x: Tensor) -> Tensor:
        if setting.noise:
            bound = elbo(vae, x)
            return setting.beta * bound.kl - bound.log_likelihood
        q = vae.posterior(x)
        return setting.beta * elbo(vae, x).kl - vae.likelihood(q.mean).log_prob(x)

    fit([adam_player(loss, vae, setting.rate)], batches, epochs)
    return vae


def sensitivity_row(setting: Setting, data: Data, seed: int, epochs: int) -> Row:
    """Binary digits: the held-out bound and its KL, nats a digit, and the active units; `diverged` alone where it did."""
    torch.manual_seed(seed)
    batches = Batches(data.train, size=BATCH, augment=binarize)
    try:
        vae = train_setting(setting, bernoulli, batches, epochs)
        terms = mean_elbo(vae, data.binary, samples=5)
    except (FloatingPointError, ValueError):
        return {"diverged": 1.0}
    return {"elbo": terms["elbo"], "kl": terms["kl"], "active": float(active_units(vae, data.binary).sum())}


def steps(images: Tensor) -> float:
    """The sum over a picture of the squared steps between neighbouring pixels, averaged over pictures."""
    return float((images.diff(dim=-1).square().sum() + images.diff(dim=-2).square().sum()) / len(images))


@torch.no_grad()
def smoothness_row(setting: Setting, data: Data, seed: int, epochs: int) -> Row:
    """Grey digits, a normal likelihood: what mean images of held-out digits keep of their squared steps, decoded at a draw of
    z and at its mean, the squared error of a digit at the mean, and the held-out bound, nats a digit."""
    torch.manual_seed(seed)
    fixed = setting.std
    family: Family = (
        NormalWithLearnedStd() if fixed is None else lambda mean: diagonal_normal(mean, fixed, event_axes=3)
    )
    with torch.enable_grad():
        vae = train_setting(setting, family, Batches(data.train, size=BATCH), epochs)
    q = vae.posterior(data.grey)
    drawn, at_mean = (vae.likelihood(z).mean for z in (q.sample(), q.mean))
    return {
        "kept": steps(drawn) / steps(data.grey),
        "kept_at_mean": steps(at_mean) / steps(data.grey),
        "squared_error": float((data.grey - at_mean).square().flatten(1).sum(1).mean()),
        "elbo": mean_elbo(vae, data.grey, samples=3)["elbo"],
    }


class Fitted(NamedTuple):
    """A trained model: how many numbers it has, nats of held-out digits [n] (a bound or log p), and a draw of n pictures."""

    numbers: int
    nats: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]


def _of_digits(data: Data) -> Batches:
    return Batches(data.train, size=BATCH, augment=binarize)


def table_of_pixels(data: Data, epochs: int) -> Fitted:
    """One Bernoulli a pixel."""
    p = fixed_binarization(data.train).mean(0).clamp(0.002, 0.998)
    logits = p.logit()
    return Fitted(784, bernoulli(logits).log_prob, lambda n: p.expand(n, *SHAPE).bernoulli())


def mixture(data: Data, epochs: int, parts: int = 100) -> Fitted:
    """A mixture of 100 Bernoullis by 25 steps of EM, with a mean digit more for each part."""
    ink = fixed_binarization(data.train).flatten(1)
    parts = min(parts, len(ink))
    p = 0.25 + 0.5 * ink[torch.randperm(len(ink))[:parts]]  # [parts, 784]

    def log_joint(x: Tensor) -> Tensor:
        return x @ p.log().T + (1 - x) @ (1 - p).log().T - log(parts)

    for _ in range(25):
        share = log_joint(ink).softmax(1)
        p = (share.T @ ink + 0.01 + 0.98 * ink.mean(0)) / (share.sum(0)[:, None] + 1)
    draw = lambda n: p[torch.randint(parts, (n,))].bernoulli().reshape(n, *SHAPE)  # noqa: E731
    return Fitted(p.numel(), lambda x: log_joint(x.flatten(1)).logsumexp(1), draw)


class BeliefNet(nn.Module):
    """p(x_i = 1 | x_1 … x_(i−1)) = sigmoid(b_i + Σ_(j<i) W_ij x_j)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(784, 784)), nn.Parameter(torch.full((784,), -2.0))

    def log_prob(self, x: Tensor) -> Tensor:
        """[n, 1, 28, 28] → [n] nats, exactly."""
        x = x.flatten(1)
        logits = x @ self.weight.tril(-1).T + self.bias
        return (x * logits - softplus(logits)).sum(-1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Pixel by pixel, in reading order."""
        x = torch.zeros(n, 784)
        for i in range(784):
            x[:, i] = torch.sigmoid(self.bias[i] + x[:, :i] @ self.weight[i, :i]).bernoulli()
        return x.reshape(n, *SHAPE)


def belief_net(data: Data, epochs: int) -> Fitted:
    """A fully visible belief net: 784 logistic regressions of the earlier pixels."""
    net = BeliefNet()
    fit([adam_player(lambda x: -net.log_prob(x), net, 1e-2)], _of_digits(data), epochs)
    return Fitted(784 + 784 * 783 // 2, net.log_prob, net.sample)


def _vae(vae: Any, loss: Callable[[Tensor], Tensor], data: Data, epochs: int, rate: float = 1e-2) -> Fitted:
    fit([adam_player(loss, vae, rate)], _of_digits(data), epochs)
    draw = lambda n: vae.likelihood(vae.prior().sample((n,))).sample()  # noqa: E731
    return Fitted(count_parameters(vae), lambda x: log_evidence(vae, x, 200).value, draw)


def plain_vae(data: Data, epochs: int) -> Fitted:
    """A VAE of 784-200-20 and back."""
    vae = mlp_vae(SHAPE, (200,), LATENT)
    return _vae(vae, lambda x: -elbo(vae, x).value, data, epochs)


def importance_weighted(data: Data, epochs: int) -> Fitted:
    """The same trained on the importance-weighted bound of five draws."""
    vae = mlp_vae(SHAPE, (200,), LATENT)
    return _vae(vae, lambda x: -iwae(vae, x, 5), data, epochs)


def with_convolutions(data: Data, epochs: int) -> Fitted:
    """A convolutional VAE of 8 and 16 channels."""
    vae = convolutional_vae(SHAPE, (8, 16), (), LATENT)
    return _vae(vae, lambda x: -elbo(vae, x).value, data, epochs, 5e-3)


def of_choices(data: Data, epochs: int) -> Fitted:
    """Twenty choices of ten, by the straight-through gradient."""
    vae = mlp_discrete_vae(SHAPE, (200,), LATENT, 10)
    return _vae(vae, lambda x: -elbo(vae.straight_through(0.7), x).value, data, epochs)


def of_codes(data: Data, epochs: int) -> Fitted:
    """A VQ-VAE of 7 × 7 codes out of 128, then a PixelCNN over them; its nats are a bound, of the nearest codes alone."""
    encoder, decoder = FieldEncoder(SHAPE, (16, 32), 8), FieldDecoder(SHAPE, (16, 32), 8)
    model = VQVAE(encoder, MovingCodebook(128, 8), decoder, bernoulli, (7, 7))
    book = model.codebook
    assert isinstance(book, MovingCodebook)

    def loss(x: Tensor) -> Tensor:
        q = model.posterior(x)
        book.update(q.continuous, q.codes)
        book.restart(q.continuous, 0.3)
        return -model.likelihood(q.rsample()).log_prob(x) + 0.25 * commitment_term(q)

    fit([adam_player(loss, model, 5e-3)], _of_digits(data), epochs)
    with torch.no_grad():
        codes = torch.cat([model.posterior(part).codes for part in fixed_binarization(data.train).split(500)])
    net = PixelCNN(128, 32, 2, kernel=7)
    nats_of_codes = lambda k: cross_entropy(net(k), k, reduction="none").flatten(1).sum(1)  # noqa: E731
    fit([adam_player(nats_of_codes, net, 5e-3)], Batches(codes, size=BATCH), epochs)
    whole = WithPrior(model, AutoregressiveCodes(book.vectors.clone(), (7, 7), net))

    @torch.no_grad()
    def bound(x: Tensor) -> Tensor:
        return torch.cat([elbo(whole, part).value for part in x.split(250)])

    draw = lambda n: model.likelihood(whole.prior().sample((n,))).sample()  # noqa: E731
    return Fitted(count_parameters(model) + book.vectors.numel() + count_parameters(net), bound, draw)


COST: Mapping[str, Callable[[Data, int], Fitted]] = {
    "one Bernoulli a pixel": table_of_pixels,
    "mixture of 100": mixture,
    "belief net": belief_net,
    "VAE": plain_vae,
    "VAE, five weights": importance_weighted,
    "convolutional VAE": with_convolutions,
    "twenty choices": of_choices,
    "VQ-VAE and PixelCNN": of_codes,
}


def cost_row(train: Callable[[Data, int], Fitted], data: Data, seed: int, epochs: int) -> Row:
    """Nats a held-out digit, numbers of the model, and seconds of the processor: to train, for a log p, for a draw of one."""
    torch.manual_seed(seed)
    clock = [time.process_time()]
    fitted = train(data, epochs)
    clock.append(time.process_time())
    with torch.no_grad():
        nats = float(fitted.nats(data.binary).mean())
        clock.append(time.process_time())
        fitted.sample(100)
    clock.append(time.process_time())
    training, judging, drawing = (after - before for before, after in pairwise(clock))
    return {
        "nats": nats,
        "numbers": fitted.numbers,
        "seconds": training,
        "seconds_a_log_p": judging / len(data.binary),
        "seconds_a_draw": drawing / 100,
    }


def make(folder: Path, seeds: Mapping[str, Mapping[int, int]] = SEEDS, data: Data | None = None) -> Path:
    """Fill the three tables and write the result; `folder` keeps every row, so that a study that was stopped goes on.

    seeds: for each table, how many trainings of each number of epochs.
    """
    data = data or digits_to_use()
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tables: Mapping[str, tuple[Callable[..., Row], Mapping[str, Any]]] = {
        "sensitivity": (sensitivity_row, SENSITIVITY),
        "smoothness": (smoothness_row, SMOOTHNESS),
        "cost": (cost_row, COST),
    }
    figures: dict[str, dict[str, dict[str, list[Row]]]] = {table: {} for table in tables}
    for table, (measure, settings) in tables.items():
        for epochs, number in seeds[table].items():
            for name, setting in settings.items():
                rows = []
                for seed in range(number):
                    of = f"{name}, {epochs} epochs, seed {seed}"
                    rows.append(_kept(folder / f"{table}.json", of, partial(measure, setting, data, seed, epochs)))
                figures[table].setdefault(name, {})[str(epochs)] = rows
    how = {
        "command": COMMAND,
        "data": f"MNIST-5k, {len(data.train):,} digits to train, {len(data.binary):,} held out",
        "trainings": {table: {str(n): number for n, number in of.items()} for table, of in seeds.items()},
    }
    return write("failures", figures, how)


def _kept(path: Path, name: str, measure: Callable[[], Row]) -> Row:
    """A row that `path` holds, or measured now and put there."""
    rows: dict[str, Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if name not in rows:
        rows[name] = {key: float(f"{value:.6g}") for key, value in measure().items()}
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
        say(f"{path.stem}: {name}: {rows[name]}")
    return rows[name]
