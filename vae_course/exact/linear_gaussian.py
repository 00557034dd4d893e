"""Probabilistic principal component analysis: everything a latent variable model is asked for, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from vae_course.distributions.chain import Chain
from vae_course.distributions.families import diagonal_normal
from vae_course.processor import on_processor


class LinearGaussian(nn.Module):
    """p(z) = N(0, I), p(x|z) = N(W z + b, σ² I), with the exact posterior.

    Tipping & Bishop, Probabilistic principal component analysis, J. R. Statist. Soc. B 61 (1999), section 3.
    weight: [observed, latent], bias: [observed], std: σ. Raises ValueError unless σ > 0.
    """

    weight: Tensor
    bias: Tensor
    std: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, std: float | Tensor) -> None:
        super().__init__()
        std = torch.as_tensor(std, dtype=weight.dtype, device=weight.device)
        if not bool(std > 0):
            raise ValueError(f"LinearGaussian was given σ = {std.item():.4g}; it must be positive.")
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("std", std)

    @property
    def latent(self) -> int:
        """The number of latent dimensions."""
        return self.weight.shape[1]

    def prior(self) -> Independent[Normal]:
        """p(z) = N(0, I)."""
        return diagonal_normal(self.weight.new_zeros(self.latent), 1.0)

    def likelihood(self, z: Tensor) -> Independent[Normal]:
        """p(x|z) = N(W z + b, σ² I). z: [..., latent] → batch [...], event [observed]."""
        return diagonal_normal(z @ self.weight.T + self.bias, self.std)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z|x) = N(M⁻¹Wᵀ(x − b), σ² M⁻¹) with M = WᵀW + σ² I, exactly (Tipping & Bishop, 1999)."""
        m = self.weight.T @ self.weight + self.std**2 * torch.eye(self.latent).to(self.weight)
        mean = torch.linalg.solve(m, self.weight.T @ (x - self.bias)[..., None])[..., 0]  # [batch, latent]
        return _normal_of_precision(mean, m / self.std**2)

    def evidence(self) -> MultivariateNormal:
        """p(x) = N(b, WWᵀ + σ² I) (Tipping & Bishop, 1999)."""
        noise = self.std**2 * torch.eye(len(self.bias)).to(self.bias)
        covariance = self.weight @ self.weight.T + noise
        return MultivariateNormal(self.bias, scale_tril=on_processor(torch.linalg.cholesky, covariance))

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x): [batch, observed] → [batch] nats."""
        log_density: Tensor = self.evidence().log_prob(x)
        return log_density

    def elbo(self, x: Tensor, q: Independent[Normal]) -> Tensor:
        """The ELBO of a factorised normal q(z|x), without sampling: [batch, observed] → [batch] nats.

        E_q[log p(x|z)] = log N(x; W m + b, σ² I) − Σ_j s_j² ‖w_j‖² / (2 σ²) for q = N(m, diag s²) and w_j the columns
        of W; minus KL(q || p(z)). Differentiable by the model's tensors and by q's.
        """
        lost = (q.variance * self.weight.square().sum(0)).sum(-1) / (2 * self.std**2)
        value: Tensor = self.likelihood(q.mean).log_prob(x) - lost - kl_divergence(q, self.prior())
        return value

    def em_step(self, x: Tensor) -> LinearGaussian:
        """The model after one step of expectation maximisation on x: its log p(x), summed over x, is never lower.

        Rubin & Thayer, Psychometrika 47 (1982); Tipping & Bishop (1999), appendix B. b is set to its
        maximum-likelihood value, the mean of x; then E: the posterior's first two moments; M: the W and σ² that
        maximise E[log p(x, z)] under them. W = 0 is a stationary point, which no step leaves. x: [n, observed].
        """
        off = x - x.mean(0)
        model = LinearGaussian(self.weight, x.mean(0), self.std)
        posterior = model.posterior(x)
        z = posterior.mean  # [n, latent]
        second_moment = posterior.covariance_matrix.sum(0) + z.T @ z  # Σ E[z zᵀ]
        weight = torch.linalg.solve(second_moment, z.T @ off).T
        residual = off.square().sum() - 2 * ((off @ weight) * z).sum() + (weight.T @ weight * second_moment).sum()
        return LinearGaussian(weight, model.bias, (residual / x.numel()).sqrt())

    @classmethod
    def maximum_likelihood(cls, x: Tensor, latent: int) -> LinearGaussian:
        """The parameters that maximise the mean log p(x) over the rows of x.

        W = U (Λ − σ² I)^½, σ² = the mean of the discarded eigenvalues of the covariance, up to a
        rotation of the latents (Tipping & Bishop, 1999, section 3.2).
        Raises ValueError unless 1 <= latent < observed and σ² > 0.
        """
        observed = x.shape[1]
        if not 1 <= latent < observed:
            raise ValueError(
                f"{latent} latents were asked for {observed} observed dimensions; give 1 to {observed - 1}."
            )
        bias = x.mean(0)
        eigenvalues, eigenvectors = on_processor(torch.linalg.eigh, (x - bias).T @ (x - bias) / len(x))  # ascending
        variance = eigenvalues[:-latent].mean()
        if not variance > 1e-12 * eigenvalues[-1]:
            raise ValueError(f"The data lie in {latent} dimensions exactly: σ² is 0 and the likelihood has no maximum.")
        weight = eigenvectors[:, -latent:] * (eigenvalues[-latent:] - variance).sqrt()
        return cls(weight.flip(1), bias, variance.sqrt())


class LinearGaussianChain(nn.Module):
    """p(z₂) = N(0, I), p(z₁|z₂) = N(A z₂, τ² I), p(x|z₁) = N(W z₁ + b, σ² I), with the exact posterior: two levels, one chain.

    The latent is z = (z₁, z₂), [l₁ + l₂]. bottom: W, b and σ, a `LinearGaussian` with l₁ latents; top: A and τ, one whose
    observed variable is z₁ and whose bias is 0. Raises ValueError where they do not fit, or for another bias.
    """

    def __init__(self, bottom: LinearGaussian, top: LinearGaussian) -> None:
        super().__init__()
        if len(top.bias) != bottom.latent or bool(top.bias.any()):
            raise ValueError(
                f"LinearGaussianChain needs a top whose observed variable is z₁, [{bottom.latent}], with bias 0; it was given "
                f"[{len(top.bias)}] with bias {top.bias.tolist()}."
            )
        self.bottom, self.top = bottom, top

    def prior(self) -> Chain:
        """p(z₂) p(z₁|z₂)."""
        return Chain(self.top.prior(), self.top.likelihood, event=[self.bottom.latent], swapped=True)

    def likelihood(self, z: Tensor) -> Independent[Normal]:
        """p(x|z₁). z: [..., l₁ + l₂] → batch [...], event [observed]."""
        return self.bottom.likelihood(z[..., : self.bottom.latent])

    def posterior(self, x: Tensor) -> Chain:
        """p(z₁|x) p(z₂|z₁), exactly: z₁ has the prior precision Σ₁⁻¹ with Σ₁ = AAᵀ + τ² I, and x depends on z₂ through z₁."""
        weight, variance = self.bottom.weight, self.bottom.std**2
        precision = on_processor(torch.linalg.inv, self.top.evidence().covariance_matrix) + weight.T @ weight / variance
        mean = torch.linalg.solve(precision, (x - self.bottom.bias) @ weight / variance, left=False)
        return Chain(_normal_of_precision(mean, precision), self.top.posterior, event=[self.top.latent])

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; b, W Σ₁ Wᵀ + σ² I): [batch, observed] → [batch] nats."""
        weight, variance = self.bottom.weight, self.bottom.std**2
        covariance = weight @ self.top.evidence().covariance_matrix @ weight.T
        noise = variance * torch.eye(len(self.bottom.bias)).to(weight)
        scale = on_processor(torch.linalg.cholesky, covariance + noise)
        log_density: Tensor = MultivariateNormal(self.bottom.bias, scale_tril=scale).log_prob(x)
        return log_density


def _normal_of_precision(mean: Tensor, precision: Tensor) -> MultivariateNormal:
    """N(mean, precision⁻¹): [batch, d] and one precision [d, d] for all."""
    scale = on_processor(lambda p: MultivariateNormal(p.new_zeros(len(p)), precision_matrix=p).scale_tril, precision)
    return MultivariateNormal(mean, scale_tril=scale.expand(*mean.shape[:-1], *precision.shape))
