"""The AEVB paper's figure 3: log p(x) under AEVB, wake-sleep and Monte Carlo EM, from 1,000 and from 50,000 digits.

Kingma & Welling, arXiv:1312.6114, section 5 and appendices D and E: 100 tanh units, three latents, Adagrad; log p(x) of the first 1,000
digits to train on and to test on, each from 50 draws of its posterior by Hamiltonian Monte Carlo with 4 leapfrog steps. Beside the
paper's estimator, which errs upwards, stands one that errs downwards, from the same draws.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.evaluation.posterior_draws import defended_log_evidence, posterior_draws, reciprocal_log_evidence
from vae_course.inference.monte_carlo_em import PosteriorChains
from vae_course.inference.wake_sleep import sleep, wake
from vae_course.models.vae import VAE, mlp_vae
from vae_course.objectives.bounds import elbo
from vae_course.output import say
from vae_course.studies.aevb import (
    BATCH,
    SEED,
    SPREAD,
    STEP,
    FromLogVariance,
    Passes,
    chosen,
    data_of,
    grey_bernoulli,
)
from vae_course.studies.long import Rows, train_long
from vae_course.studies.results import FOLDER, write
from vae_course.training.loop import Loss, Player

SAMPLES, BETWEEN = 20_000_000, 100_000
MARKS = (1, 2, 3, 5, 8, 13, 20, 32, 50, 80, 125, 200)  # where log p(x) is estimated, in hundred thousands of samples
LATENT, HIDDEN, DRAWS, UPDATES, MEASURED = 3, 100, 50, 5, 1000
COMMAND = "python -m vae_course.studies aevb_evidence FOLDER"


class Setting(NamedTuple):
    """One curve of the figure."""

    algorithm: str  # aevb, wake_sleep or mcem
    examples: int  # digits to train on

    @property
    def name(self) -> str:
        """What the files are called, such as evidence_mcem_1000."""
        return f"evidence_{self.algorithm}_{self.examples}"


PAPER = [Setting(algorithm, n) for n in (1_000, 50_000) for algorithm in ("aevb", "mcem", "wake_sleep")]


def small_vae() -> VAE:
    """The networks of figure 3, their weights drawn from N(0, 0.01)."""
    vae = mlp_vae((1, 28, 28), (HIDDEN,), LATENT, grey_bernoulli, nn.Tanh)
    vae.encoder = FromLogVariance(vae.encoder)
    for weight in vae.parameters():
        nn.init.normal_(weight, std=SPREAD)
    return vae


def players_of(algorithm: str, vae: VAE, chains: PosteriorChains, examples: int) -> list[Player]:
    """One player for AEVB, two for wake-sleep; for Monte Carlo EM one that draws z and updates, and four that only update."""

    def rule(module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(module.parameters(), lr=STEP, weight_decay=1 / examples, fused=True)

    def of_pictures(loss: Loss) -> Loss:
        return lambda x, rows: loss(vae, x)

    if algorithm == "aevb":
        return [Player(lambda x, rows: -elbo(vae, x).value, rule(vae))]
    if algorithm == "wake_sleep":
        return [
            Player(of_pictures(wake), rule(vae.decoder), name="wake"),
            Player(of_pictures(sleep), rule(vae.encoder), name="sleep"),
        ]
    adagrad = rule(vae.decoder)
    again = [Player(chains.maximise, adagrad, name=f"update {k}") for k in range(2, UPDATES + 1)]
    return [Player(chains.expect, adagrad, name="update 1"), *again]


def both_estimates(vae: VAE, x: Tensor) -> dict[str, float]:
    """The mean log p(x) by the paper's estimator, too high in expectation, and by importance sampling, too low; and the acceptance.

    The draws that q is fitted to and those averaged over are of two chains: neighbours in one chain are alike.
    """
    fitted_to, others = (posterior_draws(vae, x, DRAWS, apart=2) for _ in range(2))
    return {
        "paper": float(reciprocal_log_evidence(vae, x, fitted_to.z, others.z).mean()),
        "defended": float(defended_log_evidence(vae, x, fitted_to.z, 200).mean()),
        "accepted": float(others.accepted.mean()),
    }


def train_setting(setting: Setting, data: tuple[Tensor, Tensor], samples: int, folder: Path) -> Rows:
    """Train as far as `samples`, with snapshots in `folder`. Rows at MARKS hold log p(x) of train and test, nats."""
    train, test = data[0][: setting.examples], data[1]
    torch.manual_seed(SEED)
    vae = small_vae()
    chains = PosteriorChains(vae, len(train))
    order = Batches(train, torch.arange(len(train)), size=BATCH, seed=SEED)
    passes = Passes(order, BETWEEN // len(train))
    measured = {"test": test[:MEASURED], "train": train[:MEASURED]}

    def watch(epoch: int) -> dict[str, float]:
        if epoch not in MARKS:
            return {}
        found = {name: both_estimates(vae, x) for name, x in measured.items()}
        return {f"{name} {which}": value for name, both in found.items() for which, value in both.items()}

    modules = {"chains": chains} if setting.algorithm == "mcem" else {"vae": vae}
    about = {"study": "aevb_evidence", "setting": setting.name}
    players = players_of(setting.algorithm, vae, chains, len(train))
    path = folder / f"{setting.name}.safetensors"
    rows = train_long(players, modules, passes, samples // BETWEEN, lambda _: STEP, path, about, watch)
    return [{"samples": BETWEEN * row["epoch"], **row} for row in rows]


def make(folder: Path, names: Sequence[str] = (), samples: int = SAMPLES, results: Path = FOLDER / "aevb") -> Path:
    """Train the settings named, or all six, one after the other, and write a result for each; returns their folder.

    Raises ValueError for a name that is none of theirs, FileNotFoundError if MNIST is not on disk.
    """
    settings = chosen(names, {setting.name: setting for setting in PAPER}) or PAPER
    data = data_of("mnist")
    for place in (folder, results):
        place.mkdir(parents=True, exist_ok=True)
    for setting in settings:
        rows = train_setting(setting, data, samples, folder)
        kept = [
            {k: round(v, 2) for k, v in row.items() if k not in ("epoch", "seconds")}
            for row in rows
            if "test paper" in row
        ]
        how = {
            "command": f"{COMMAND} {setting.name}",
            "data": f"MNIST, the first {setting.examples:,} digits to train; log p(x) of the first {MEASURED:,} of each part",
            "seed": SEED,
            "samples": int(rows[-1]["samples"]),
            "seconds of training": round(sum(row["seconds"] for row in rows)),
            "finished": time.strftime("%Y-%m-%d"),
        }
        say(str(write(setting.name, {"curve": kept}, how, results)))
    return results
