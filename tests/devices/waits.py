"""How often `fit` and `log_evidence` wait for the pretended device: a line each.

python -m tests.devices.waits
"""

from __future__ import annotations

import torch

from tests.devices.pretend import Everywhere, install, waiting
from vae_course.evaluation.evidence import log_evidence, widths
from vae_course.models.vae import mlp_vae
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit


def main() -> None:
    """Print the counts."""
    device = install("gpu")
    with Everywhere(), device:
        vae = mlp_vae((1, 4, 4), (8,), 2)
        x = (torch.rand(40, 1, 4, 4) > 0.5).float()
        for epochs, batches in ((2, 5), (2, 50), (12, 5)):
            player = adam_player(lambda x: -elbo(vae, x).value, vae, 1e-3)
            with waiting() as waits:
                fit([player], [(x,)] * batches, epochs)
            print(f"fit, {epochs} epochs of {batches} batches {waits.total()}")
        of_draw, _ = widths(vae, x)
        for draws in (100, 5_000):
            with waiting() as waits:
                log_evidence(vae, x[:1], draws, memory=50 * of_draw)
            print(f"log_evidence, {draws} draws in chunks of 50 {waits.total()}")
        for chunks in (2, 4):
            with waiting() as waits:
                log_evidence(vae, x, 10, memory=of_draw * 10 * len(x) // chunks)
            print(f"log_evidence, {chunks} chunks of examples {waits.total()}")


if __name__ == "__main__":
    main()
