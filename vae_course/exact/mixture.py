"""Mixtures of normals: the latent variable is discrete, so that everything about it is a sum."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from vae_course.processor import on_processor


class NormalMixture(nn.Module):
    """p(z = k) = π_k, p(x|z = k) = N(μ_k, Σ_k), with the exact posterior.

    Bishop, Pattern Recognition and Machine Learning (2006), section 9.2.
    weights: [components], positive, adding up to 1; means: [components, observed];
    covariances: [components, observed, observed]. Raises ValueError for other shapes or weights.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        super().__init__()
        components, observed = means.shape if means.ndim == 2 else (0, 0)
        if means.ndim != 2 or weights.shape != (components,) or covariances.shape != (components, observed, observed):
            raise ValueError(
                f"NormalMixture was given means {list(means.shape)}, weights {list(weights.shape)} and covariances "
                f"{list(covariances.shape)}; it needs means [components, observed], weights [components] and covariances "
                "[components, observed, observed]."
            )
        if not bool((weights > 0).all()) or abs(float(weights.detach().sum()) - 1) > 1e-6:
            raise ValueError(
                f"NormalMixture was given weights {weights.tolist()}; they must be positive and add up to 1."
            )
        self.register_buffer("weights", weights)
        self.register_buffer("means", means)
        self.register_buffer("covariances", covariances)

    def prior(self) -> Categorical:
        """p(z), over the components."""
        return Categorical(self.weights)

    def likelihood(self, z: Tensor) -> MultivariateNormal:
        """p(x|z) = N(μ_z, Σ_z). z: [...] whole numbers → batch [...], event [observed]."""
        return MultivariateNormal(self.means[z], scale_tril=on_processor(torch.linalg.cholesky, self.covariances[z]))

    def posterior(self, x: Tensor) -> Categorical:
        """p(z|x) by Bayes' rule, exactly: x [batch, observed] → batch [batch]. Its probabilities are the responsibilities."""
        components = torch.arange(len(self.weights), device=x.device)
        return Categorical(logits=self.weights.log() + self.likelihood(components).log_prob(x[..., None, :]))

    def evidence(self) -> MixtureSameFamily:
        """p(x) = Σ_k π_k N(x; μ_k, Σ_k)."""
        return MixtureSameFamily(
            self.prior(), self.likelihood(torch.arange(len(self.weights), device=self.weights.device))
        )

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x): [batch, observed] → [batch] nats."""
        log_density: Tensor = self.evidence().log_prob(x)
        return log_density

    def em_step(self, x: Tensor) -> NormalMixture:
        """The model after one step of expectation maximisation on x: its log p(x), summed over x, is never lower.

        Dempster, Laird & Rubin, J. R. Statist. Soc. B 39 (1977); Bishop (2006), eq. 9.23 to 9.27. x: [n, observed].
        Raises FloatingPointError if a component collapses onto fewer points than it needs for a covariance: the
        likelihood of a mixture has no maximum there.
        """
        responsibilities = self.posterior(x).probs  # [n, components]
        counts = responsibilities.sum(0)
        means = responsibilities.T @ x / counts[:, None]
        off = x[:, None] - means  # [n, components, observed]
        covariances = torch.einsum("nk,nki,nkj->kij", responsibilities, off, off) / counts[:, None, None]
        scale = x.std(0, correction=0)
        smallest = on_processor(torch.linalg.eigvalsh, (covariances / (scale * scale[:, None])).nan_to_num())[
            :, 0
        ].min()
        if not bool(smallest > 1e-9):
            raise FloatingPointError(
                "A component of the mixture collapsed onto too few points for a covariance, where the likelihood grows "
                "without bound: start from other means, or use fewer components."
            )
        return NormalMixture(counts / counts.sum(), means, covariances)


class BayesianMixture(nn.Module):
    """A mixture whose means are latent too: μ_k ~ N(0, τ²), c_i ~ uniform, x_i ~ N(μ_{c_i}, σ²), in one dimension.

    Blei, Kucukelbir & McAuliffe, arXiv:1601.00670, section 2.1. components: K, prior_std: τ, std: σ.
    Raises ValueError unless components >= 1 and both standard deviations are positive.
    """

    def __init__(self, components: int, prior_std: float, std: float) -> None:
        super().__init__()
        if components < 1 or not prior_std > 0 or not std > 0:
            raise ValueError(
                f"BayesianMixture was given {components} components, τ = {prior_std} and σ = {std}; it needs at least "
                "1 component and positive standard deviations."
            )
        self.components, self.prior_std, self.std = components, prior_std, std

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x_1, …, x_n) by enumeration of all Kⁿ assignments: [n] → one number, nats.

        Given the assignments, the m points of one component are N(0, σ² I + τ² 11ᵀ).
        Raises ValueError for no points, and for more than 2²⁰ assignments.
        """
        n, k = len(x), self.components
        if n == 0:
            raise ValueError("BayesianMixture.log_evidence was given no points; it needs at least 1.")
        if k**n > 2**20:
            raise ValueError(
                f"{k} components and {n} points have {k**n:,} assignments; at most {2**20:,} are enumerated: take fewer points."
            )
        assignments = torch.cartesian_prod(*[torch.arange(k)] * n).reshape(-1, n)  # [assignments, n]
        total = x.new_full((len(assignments),), -n * log(k))
        for component in range(k):
            member = (assignments == component).to(x)  # [assignments, n]
            count, sum_, squares = member.sum(1), member @ x, member @ x.square()
            precision = 1 / self.prior_std**2 + count / self.std**2  # of the posterior of μ_k
            shrunk = (sum_ / self.std**2) ** 2 / precision
            total = total - 0.5 * (squares / self.std**2 - shrunk + (precision * self.prior_std**2).log())
            total = total - 0.5 * count * log(2 * torch.pi * self.std**2)
        return total.logsumexp(0)
