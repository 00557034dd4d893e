"""Monte Carlo EM: the E step draws z from p(z|x) by a Markov chain kept for each example, the M step climbs log p(x, z).

Kingma & Welling, arXiv:1312.6114, appendix E: ten leapfrog steps with a step size tuned so that nine proposals in ten are accepted,
then five updates of the weights with the z acquired. There is no encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vae_course.distributions.model import GenerativeModel
from vae_course.inference.hamiltonian import hamiltonian_step
from vae_course.objectives.bounds import log_joint


class PosteriorChains(nn.Module):
    """A Markov chain for each example: z [examples, latent], and one step size, tuned on the way.

    Chains start with draws from p(z). After each move log(step) changes by `rate` times the mean acceptance less `accept`; a
    step size that settles leaves p(z|x) as it is, one that still moves does so nearly.
    """

    z: Tensor
    step: Tensor

    def __init__(
        self, model: GenerativeModel, examples: int, step: float = 0.1, accept: float = 0.9, rate: float = 1.0
    ) -> None:
        super().__init__()
        self.model, self.accept, self.rate = model, accept, rate
        with torch.no_grad():
            self.register_buffer("z", model.prior().sample((examples,)))
        self.register_buffer("step", torch.tensor(step))

    def move(self, x: Tensor, rows: Tensor, leapfrogs: int = 10) -> Tensor:
        """One step of the chains of these examples: x [batch, *event], rows int64 [batch] → their z [batch, latent]."""
        moved = hamiltonian_step(lambda z: log_joint(self.model, x, z), self.z[rows], self.step, leapfrogs)
        self.z[rows] = moved.z
        self.step *= (self.rate * (moved.accepted.mean() - self.accept)).exp()
        return moved.z

    def expect(self, x: Tensor, rows: Tensor) -> Tensor:
        """E step, then the loss of the M step: −log p(x, z) with z moved first, [batch] nats."""
        self.move(x, rows)
        return self.maximise(x, rows)

    def maximise(self, x: Tensor, rows: Tensor) -> Tensor:
        """The loss of the M step: −log p(x, z) at the chains' present z, [batch] nats."""
        return -log_joint(self.model, x, self.z[rows])
