# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["slide"]
# # [[this]]
#
# The posterior cannot be computed. How near can a simple distribution come, and what does "near" mean?
#
# **After this lecture you can**
# - derive the Kullback-Leibler divergence from code lengths, and compute it in three ways;
# - say what its two directions do to a fit, and predict it from a picture;
# - fit a normal distribution to a posterior known only up to its normaliser, p(x);
# - derive the mean-field solution of a normal, and say what it misses;
# - split the loss of an encoder into an approximation gap and an amortisation gap.
#
# **You need** [[needs]]. **Time**: [[time]], network off. Everything runs on the
# processor, in double precision.

# %% tags=["skip"]
import time
from math import log

import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · Divergence as code length
#
# Symbols are drawn from $q$. A good code gives frequent symbols short words. The best prefix code for $q$ needs, on average,
# less than one bit more than $\mathbb E_q[-\log_2 q(z)]$; when all probabilities are powers of ½ a symbol gets exactly
# $-\log_2 q(z)$ bits. What does it cost to use the code that was built for **another** distribution, $p$?

# %%
symbols = "abcd"
q = torch.tensor([1 / 2, 1 / 4, 1 / 8, 1 / 8])
p = torch.tensor([1 / 8, 1 / 2, 1 / 4, 1 / 8])
code_for_q = {"a": "0", "b": "10", "c": "110", "d": "111"}
code_for_p = {"a": "110", "b": "0", "c": "10", "d": "111"}

n = 20_000
drawn = [symbols[i] for i in Categorical(q).sample((n,))]
excess = torch.tensor([len(code_for_p[s]) - len(code_for_q[s]) for s in drawn]).double()
kl = float((q * (q / p).log()).sum())  # nats
print(f"{len(''.join(code_for_q[s] for s in drawn)) / n:.3f} bits a symbol with q's own code")
print(
    f"{len(''.join(code_for_p[s] for s in drawn)) / n:.3f} with p's code; KL(q || p) = {kl / log(2):.3f} bits"
)

# %%
claim(
    "the words' lengths are −log₂ of the probabilities",
    all(len(code_for_q[s]) == -q[i].log2() and len(code_for_p[s]) == -p[i].log2() for i, s in enumerate(symbols)),
)  # fmt: skip
claim(
    "the bits wasted a symbol are KL(q || p) / ln 2, within five standard errors",
    abs(float(excess.mean()) - kl / log(2)) < 5 * float(excess.std()) / n**0.5, wasted=excess.mean(), kl=kl,
)  # fmt: skip
reverse = float((p * (p / q).log()).sum())
claim(
    "with the roles of q and p exchanged, fewer bits would be wasted here",
    reverse < kl, reverse=reverse, kl=kl,
)  # fmt: skip

# %% [markdown]
# This is the **Kullback-Leibler divergence**, the expected excess length (in nats with the natural logarithm):
#
# $$ D_{KL}(q \,\|\, p) = \mathbb E_q[-\log p(z)] - \mathbb E_q[-\log q(z)] = \mathbb E_q\!\left[\log \frac{q(z)}{p(z)}\right] . $$
#
# Data come from the **first** argument, the code from the second. It is also the information gained when beliefs move
# from $p$ to $q$ (from the second to the first). It is never negative, by Jensen's inequality: $-D_{KL} = \mathbb E_q[\log
# \frac pq] \le \log \mathbb E_q[\frac pq] \le 0$. It is 0 exactly if $q = p$ (up to a set of probability 0). It is
# no distance: the two directions differ in general.
#
# Now **exercise [[:excess_code_length]]**: the excess bits.

# %% [markdown] tags=["slide"]
# ## · Three ways to compute it
#
# For densities the expectation is an integral. Take two normals, and compute the integral on a grid, the closed form
#
# $$ D_{KL}\bigl(\mathcal N(\mu_q, \sigma_q^2) \,\|\, \mathcal N(\mu_p, \sigma_p^2)\bigr)
#    = \log \frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2 \sigma_p^2} - \frac12 , $$
#
# and a Monte Carlo average with its standard error.


# %%
def kl_normals(mean_q, std_q, mean_p, std_p) -> float:  # nats
    return log(std_p / std_q) + (std_q**2 + (mean_q - mean_p) ** 2) / (2 * std_p**2) - 0.5


q, p = Normal(1.0, 0.5), Normal(0.0, 1.0)
z = torch.linspace(-8, 8, 3201)
by_integral = float((q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))).sum() * 0.005)
closed = kl_normals(1.0, 0.5, 0.0, 1.0)
draws = q.sample((10_000,))
log_ratio = q.log_prob(draws) - p.log_prob(draws)  # [draws] nats
sampled, error = float(log_ratio.mean()), float(log_ratio.std()) / 100
print(f"integral {by_integral:.5f}, closed form {closed:.5f} nats")
print(f"10,000 draws: {sampled:.3f} ± {error:.3f} nats")

# %%
claim("the integral on the grid is the closed form", abs(by_integral - closed) < 1e-9)
claim(
    "the Monte Carlo average is the closed form, within five standard errors",
    abs(sampled - closed) < 5 * error, sampled=sampled, closed=closed, error=error,
)  # fmt: skip
negative = float((log_ratio < 0).double().mean())
claim(
    "of the log-ratios that are averaged, more than a twentieth are negative",
    negative > 0.05, share=negative,
)  # fmt: skip
reverse = kl_normals(0.0, 1.0, 1.0, 0.5)
claim(
    "the other direction is more than twice as large here",
    reverse > 2 * closed, reverse=reverse, this=closed,
)  # fmt: skip

# %% [markdown]
# A divergence is never negative; an estimate of one can be, since its terms can. For independent coordinates the
# divergences add up: the KL of two diagonal normals is a sum over coordinates, not a mean.
#
# Now **exercise [[:kl_diagonal_normals]]**: two diagonal normals, and the direction.

# %% [markdown] tags=["slide"]
# ## · Two directions, two fits
#
# The target $p$ has two modes; $q$ is one normal. Both divergences can be minimised over $q$:
#
# - $D_{KL}(q \,\|\, p)$ is large where $q$ puts mass and $p$ has none: $q$ must stay inside $p$. It is **mode-seeking**.
# - $D_{KL}(p \,\|\, q)$ is large where $p$ has mass and $q$ has none: $q$ must cover all of $p$. It is **mass-covering**.
#
# *Predict: where will each fit end, and how wide will it be?*

# %%
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.grids import kl_on_grid, latent_grid, log_prob_on_grid
from vae_course.inference.variational import DiagonalNormalFamily
from vae_course.training.loop import adam_player, fit

weights = torch.tensor([0.6, 0.4])
means, stds = torch.tensor([-2.0, 2.0]), torch.tensor([0.6, 0.5])
modes = Independent(Normal(means[:, None], stds[:, None]), 1)
target = MixtureSameFamily(Categorical(weights), modes)
grid = latent_grid(1, limit=10.0, steps=2001)
log_p = log_prob_on_grid(target, grid)  # [points]


def mode_seeking(q) -> Tensor:  # KL(q || p), one number for each q of the batch
    return kl_on_grid(log_prob_on_grid(q, grid), log_p, grid)


def mass_covering(q) -> Tensor:  # KL(p || q)
    return kl_on_grid(log_p, log_prob_on_grid(q, grid), grid)


# %%
starts = torch.linspace(-3, 3, 8)[:, None]  # eight normals are fitted at once


def descend(divergence) -> DiagonalNormalFamily:
    q = DiagonalNormalFamily(starts)
    player = adam_player(lambda _: divergence(q()), q, rate=0.1)
    fit([player], [(starts,)], epochs=run.epochs(laptop=600))
    return q


seeking, covering = descend(mode_seeking), descend(mass_covering)

# %%
mean = weights @ means
std = (weights @ (stds**2 + means**2) - mean**2).sqrt()  # of the target
ends = covering()
claim(
    "from every start, descending KL(p || q) ends at the target's mean and standard deviation",
    torch.allclose(ends.mean, mean.expand(8, 1), atol=1e-3) and torch.allclose(ends.stddev, std.expand(8, 1), atol=1e-3),
    means=ends.mean.flatten(), stds=ends.stddev.flatten(),
)  # fmt: skip
ends = seeking()
nearest = (ends.mean - means).abs()  # [starts, modes]
claim(
    "descending KL(q || p), every start ends within 0.1 of one of the two modes, and both are reached",
    nearest.min(1).values.max() < 0.1 and set(nearest.argmin(1).tolist()) == {0, 1}, means=ends.mean.flatten(),
)  # fmt: skip

# %% [markdown]
# When the modes are far apart, a $q$ that equals one component has $p \approx \pi_k q$ wherever it has mass, so that
# $D_{KL}(q \,\|\, p) \approx \log \frac{1}{\pi_k}$: for all the mass that it ignores it pays no more than that.

# %%
values, which = mode_seeking(ends).detach(), nearest.argmin(1)
claim(
    "the divergence at a mode is log 1/π of its weight, to 0.02 nat",
    (values + weights[which].log()).abs().max() < 0.02, values=values, expected=-weights[which].log(),
)  # fmt: skip

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.6))
z = grid.points[:, 0]
axes.fill_between(z, log_p.exp(), color="0.8", label="target p")
density = log_prob_on_grid(ends, grid).exp().detach()
for mode in (0, 1):
    first = int((which == mode).nonzero()[0])
    name = "local minima of KL(q || p)" if mode == 0 else None
    axes.plot(z, density[first], color=figures.BLUE, label=name)
cover = log_prob_on_grid(covering(), grid)[0].exp().detach()
axes.plot(z, cover, "--", color=figures.VERMILION, label="minimum of KL(p || q)")
axes.set(
    title="One direction picks a mode, the other covers both",
    xlabel="z",
    ylabel="density",
    xlim=(-6, 6),
    ylim=(0, 1),
)
axes.legend(loc="upper center", ncols=3)
figure

# %% [markdown]
# *Figure: a grey density with two bumps. Two narrow blue normals, one on each bump; one wide, dashed normal over both, its
# peak in the valley between them.*
#
# Move $q$ yourself. Each integrand's area, counted negative below zero, is its divergence: watch where it grows when $q$ leaves a mode uncovered, or when
# $q$ reaches where $p$ is empty.

# %%
from vae_course.notebook.widgets.inference import kl_directions

kl_directions(target, mean=-2.0, std=0.6)

# %% [markdown]
# *Figure: three panels: the target with q on its left bump; the integrand of KL(q || p), one low bump; the integrand of
# KL(p || q), slightly negative over the left bump and off the scale over the right one, which q does not cover.*
#
# The second direction needs expectations under $p$. When $p$ is a posterior that we cannot draw from, the first is the
# practical one: expectations under $q$ are easy, and the next section shows that $p$ may lack its normaliser.
#
# Now **exercise [[:moment_match]]**: the mass-covering fit, in closed form.

# %% [markdown] tags=["slide"]
# ## · A posterior without its normaliser
#
# **Variational inference** turns the posterior into an optimisation: among a family of $q$, find the one nearest to
# $p(z \mid x)$. Write the posterior as $p(x, z) / p(x)$:
#
# $$ D_{KL}(q \,\|\, p(z|x)) = \mathbb E_q[\log q(z) - \log p(x, z)] + \log p(x) . $$
#
# The unknown $\log p(x)$ does not depend on $q$. So minimise $\mathbb E_q[\log q(z) - \log p(x, z)]$, which needs the joint
# only. Its negative is the **ELBO**, $\mathcal L(q)$, the subject of lecture [[elbo]]. To climb it we draw $z = \mu + L \varepsilon$ and let
# gradients flow through the draw, the subject of lecture [[reparameterization]].
#
# We try it where the posterior is known: a linear-Gaussian model with two latents, and one $x$.

# %%
from vae_course.data.toys import linear_gaussian
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.inference.variational import NormalFamily
from vae_course.models.views import WithPosterior
from vae_course.objectives.bounds import elbo, log_joint

generator = torch.Generator().manual_seed(3)  # the same model for every seed of the notebook
data = linear_gaussian(1, observed=3, latent=2, generator=generator, std=0.8)
model, x = LinearGaussian(data.weight, data.bias, data.std), data.x  # x: [1, 3]
family = NormalFamily(torch.zeros(2))


def loss(x: Tensor) -> Tensor:  # [draws] nats, one draw of z for each row of x
    z = family().rsample((len(x),))
    return family().log_prob(z) - log_joint(model, x, z)


rows = x.expand(256, -1)  # the same x 256 times: 256 draws of z a step
history = fit([adam_player(loss, family, rate=0.05)], [(rows,)], epochs=run.epochs(laptop=1500))

# %%
posterior, fitted = model.posterior(x[0]), family()
covariance_error = (fitted.covariance_matrix - posterior.covariance_matrix).abs().max()
claim(
    "the fitted q has the posterior's mean and covariance, to 0.02",
    (fitted.mean - posterior.mean).abs().max() < 0.02 and covariance_error < 0.02,
    mean=fitted.mean, exact=posterior.mean, error=covariance_error,
)  # fmt: skip
remaining = float(kl_divergence(fitted, posterior).detach())
claim("KL(q || p(z|x)) has fallen below 0.002 nat", remaining < 2e-3, kl=remaining)

figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.4))
axes.plot([-value for value in history["loss"]], label="ELBO, 256 draws")
axes.axhline(
    float(model.log_evidence(x)), color=figures.VERMILION, linestyle="--", label="log p(x)"
)
axes.set(title="Fitting q lifts the ELBO to log p(x)", xlabel="step", ylabel="nats")
axes.set_ylim(float(model.log_evidence(x)) - 3, float(model.log_evidence(x)) + 0.7)
axes.legend(loc="lower right")
figure

# %% [markdown]
# *Figure: a noisy curve that rises to a dashed line within some hundred steps; its noise dies out as it arrives.*
#
# The noise dies out because the family contains the posterior: at $q = p(z|x)$ every draw gives exactly $\log p(x)$, as in
# lecture [[latent_variable_models]].

# %% [markdown] tags=["slide"]
# ## · Mean field, and what it misses
#
# In many dimensions one often takes a **factorised** $q(z) = \prod_i q_i(z_i)$, a **mean-field** family. For a normal target
# with mean $\mu$ and precision matrix $\Lambda = \Sigma^{-1}$ the optimum of $D_{KL}(q \,\|\, p)$ is known. With the other factors
# held, $D_{KL}(q \,\|\, p) = D_{KL}(q_i \,\|\, \tilde q_i) + \text{const}$ with $\tilde q_i(z_i) \propto \exp \mathbb E_{q_{-i}}[\log
# p(z)]$, so the best $q_i$ is $\tilde q_i$ (Bishop, eq. 10.9). As a function of
# $z_i$ alone, $\mathbb E_{q_{-i}}[\log p]$ is $-\frac12 \Lambda_{ii} z_i^2$ plus terms linear in $z_i$: each factor is
# normal, with variance
#
# $$ s_i^2 = \frac{1}{\Lambda_{ii}} \;\le\; \Sigma_{ii} . $$
#
# That is the variance of $z_i$ **given all others**. What is missed is $\Sigma_{ii} - 1 / \Lambda_{ii}$, the variance that
# goes through the others. For two coordinates with variances 1 and correlation $\rho$, $s_i^2 = 1 - \rho^2$.

# %%
from vae_course.inference.variational import coordinate_ascent_normal, mean_field_of_normal

rho = 0.9
p = MultivariateNormal(torch.tensor([1.0, 0.5]), torch.tensor([[1.0, rho], [rho, 1.0]]))
q = DiagonalNormalFamily(torch.tensor([-1.0, 2.0]))
player = adam_player(lambda _: kl_divergence(q(), p).expand(1), q, rate=0.1)
_ = fit([player], [(torch.zeros(1),)], epochs=run.epochs(laptop=800))

# %%
best = mean_field_of_normal(p)
claim(
    "gradient descent on KL(q || p) ends at the means μ and the variances 1/Λ_ii",
    torch.allclose(q().mean, p.mean, atol=1e-4) and torch.allclose(q().variance, best.variance, atol=1e-4),
    means=q().mean, variances=q().variance,
)  # fmt: skip
claim(
    "with correlation 0.9 it keeps 1 − ρ² of the variance: less than a fifth",
    torch.allclose(best.variance, torch.tensor(1 - rho**2)) and best.variance.max() < 0.2,
)  # fmt: skip
claim(
    "the divergence that remains is −½ log(1 − ρ²)",
    abs(float(kl_divergence(best, p)) + 0.5 * log(1 - rho**2)) < 1e-9, kl=kl_divergence(best, p),
)  # fmt: skip
marginals = diagonal_normal(p.mean, p.stddev)
claim(
    "of the marginals and the mean-field q, KL(p || q) prefers the marginals, KL(q || p) the mean-field q",
    kl_divergence(p, marginals) < kl_divergence(p, best) and kl_divergence(marginals, p) > kl_divergence(best, p),
)  # fmt: skip

# %% [markdown]
# **Coordinate ascent** sets one factor after another to its optimum with the others held. For the means this reads
# $m_i \leftarrow \mu_i - \Lambda_{ii}^{-1} \sum_{j \ne i} \Lambda_{ij} (m_j - \mu_j)$. There is no step size; the path is a
# staircase, and the more correlated the coordinates, the more steps it takes to come within a given distance of $\mu$.

# %%
path = coordinate_ascent_normal(p, torch.tensor([-1.0, 2.0]), sweeps=40)  # [1 + 80, 2]
divergences = kl_divergence(diagonal_normal(path, best.stddev), p)
claim("no update of coordinate ascent raises the divergence", (divergences.diff() < 1e-9).all())
claim("it ends at μ, to 0.001", (path[-1] - p.mean).abs().max() < 1e-3, end=path[-1])
shrink = (path[4::2] - p.mean) / (path[2:-2:2] - p.mean)
claim(
    "every sweep after the first multiplies the distance that is left by ρ²",
    torch.allclose(shrink, torch.tensor(rho**2)),
)  # fmt: skip

# %%
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 5.4))
around = torch.linspace(0, 2 * torch.pi, 200)
circle = torch.stack([around.cos(), around.sin()])  # [2, 200]
for radius in (1, 2):
    of_p = p.mean[:, None] + radius * p.scale_tril @ circle
    of_q = p.mean[:, None] + radius * best.stddev[:, None] * circle
    left.plot(*of_p, color="0.5", label="p" if radius == 1 else None)
    left.plot(*of_q, color=figures.BLUE, label="mean-field q" if radius == 1 else None)
left.plot(*path.T, "o-", color=figures.VERMILION, markersize=5, label="coordinate ascent")
left.set(title="q keeps the conditional variance", xlabel="z₁", ylabel="z₂")
left.set(aspect="equal", ylim=(-2.2, 3.2))
left.legend(loc="lower right")
correlations = torch.linspace(-0.99, 0.99, 199)
kept = 1 - correlations**2
right.plot(correlations, kept, color=figures.BLUE, label="variance kept, 1 − ρ²")
right.plot(
    correlations, -0.5 * kept.log(), "--", color=figures.VERMILION, label="KL that remains"
)
right.set(title="The price of a factorised q", xlabel="correlation ρ", ylabel="share, or nats")
right.set_ylim(0, 2)
right.legend(loc="upper center")
figure

# %% [markdown]
# *Figure: left, the narrow slanted ellipses of p; the round circles of q, much shorter than the ellipses and somewhat wider;
# and a staircase that descends to the centre. Right, the variance kept falls from 1 at no correlation to 0 at ±1, while the divergence grows without bound.*
#
# *Break it*: put the marginals in place of the optimum, `best = diagonal_normal(p.mean, p.stddev)`, and run that cell. It
# stops at its first claim. Which of the other three would fall too? (All: comment out the one that fell, and run again.) The
# claims on coordinate ascent still hold: they are about the means.
#
# Now **exercises [[:mean_field_of_normal]] and [[:coordinate_ascent_sweep]]**: the mean-field optimum, and a sweep.

# %% [markdown] tags=["slide"]
# ## · Mean field on a mixture
#
# In a Bayesian mixture the means are latent too: $\mu_k \sim \mathcal N(0, \tau^2)$, a label $c_i$ uniform over $K$
# components, $x_i \sim \mathcal N(\mu_{c_i}, \sigma^2)$. The factorised $q(\mu, c) = \prod_k \mathcal N(\mu_k; m_k, s_k^2)
# \prod_i \text{Cat}(c_i; \varphi_i)$ has closed updates, one factor given the others:
#
# $$ \varphi_{ik} \propto \exp\Bigl(-\frac{(x_i - m_k)^2 + s_k^2}{2 \sigma^2}\Bigr), \qquad
#    \frac1{s_k^2} = \frac1{\tau^2} + \frac{\sum_i \varphi_{ik}}{\sigma^2}, \qquad
#    m_k = \frac{s_k^2}{\sigma^2} \sum_i \varphi_{ik}\, x_i . $$
#
# With ten points and two components all $2^{10}$ labellings can be added up: $\log p(x)$ is known.

# %%
from vae_course.exact.mixture import BayesianMixture
from vae_course.inference.variational import coordinate_ascent_mixture

bayesian = BayesianMixture(components=2, prior_std=3.0, std=0.6)
points = torch.cat([-3 + 0.6 * torch.randn(5), 3 + 0.6 * torch.randn(5)])
found = coordinate_ascent_mixture(bayesian, points, start=torch.tensor([-0.5, 0.5]), sweeps=20)
truth = float(bayesian.log_evidence(points))  # log p(x₁, …, x₁₀), by enumeration
rises = torch.tensor(found.elbo).diff()
claim("the ELBO never falls under coordinate ascent", (rises > -1e-9).all(), rises=rises)
claim(
    "it stays below log p(x), which is known by enumeration",
    max(found.elbo) < truth, elbo=found.elbo[-1], truth=truth,
)  # fmt: skip
gap = truth - found.elbo[-1]
claim(
    "the gap is log 2, to a twentieth of a nat: q holds one of two equal numberings",
    abs(gap - log(2)) < 0.05, gap=gap,
)  # fmt: skip

# %%
axis = torch.linspace(-4, 4, 161)
pairs = torch.cartesian_prod(axis, axis)  # (μ₁, μ₂), [pairs, 2]
log_components = Normal(pairs[:, None], bayesian.std).log_prob(points[:, None])  # [pairs, n, 2]
log_posterior = Normal(0.0, 3.0).log_prob(pairs).sum(1) + (
    log_components.logsumexp(2) - log(2)
).sum(1)
figure, (axes,) = figures.subplots(1, 1, figsize=(7.5, 5.6))
axes.contourf(axis, axis, log_posterior.softmax(0).reshape(161, 161).T, cmap="Greys", levels=8)
for radius in (1, 2):
    axes.plot(
        *(found.means[:, None] + radius * found.stds[:, None] * circle), color=figures.BLUE
    )
axes.set(
    title="The posterior has two modes, q has one", xlabel="μ₁", ylabel="μ₂", aspect="equal"
)
figure

# %% [markdown]
# *Figure: a plane with two dark spots, mirror images of each other in the diagonal; blue circles lie on one of them.*
#
# Swapping the two components changes nothing in the model, so the posterior has a mode for each numbering of them.
# Mode-seeking picks one. Where no point lies between the clusters the gap is $\log 2$, as in section [[#Two directions]], and for most purposes
# a harmless one.

# %% [markdown] tags=["slide"]
# ## · Amortised inference
#
# So far each $x$ had a $q$ of its own, fitted by hundreds of steps. A new $x$ means starting again. **Amortised** inference
# trains one function from $x$ to the parameters of $q(z \mid x)$, an **encoder**, on many $x$ at once. A new $x$ then costs one
# pass. What is lost? For each $x$, with $q^*$ the best of the family,
#
# $$ \log p(x) - \mathcal L(q_\text{encoder}) = \underbrace{\log p(x) - \mathcal L(q^*)}_{\text{approximation gap}}
#    + \underbrace{\mathcal L(q^*) - \mathcal L(q_\text{encoder})}_{\text{amortisation gap}} . $$
#
# Take the parabola of lecture [[latent_variable_models]] with $\sigma = 0.8$, whose posterior mean is not linear in $x$, and two encoders: one with
# a linear mean and one $\sigma$ for all $x$, and a small network. Each gap is a divergence on a grid, or the difference of two.

# %%
from vae_course.data.batches import Batches
from vae_course.exact.grids import log_posterior_on_grid
from vae_course.models.parabola import Parabola
from vae_course.networks.multilayer import mlp


# Enough for a linear-Gaussian posterior: a mean linear in x, one σ for all x.
class LinearEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.log_std = nn.Linear(2, 1), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor):  # [batch, 2] -> q(z|x), [batch] over [1]
        return diagonal_normal(self.mean(x), self.log_std.exp())


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = mlp(2, 64, 64, 2)

    def forward(self, x: Tensor):
        mean, log_std = self.network(x).chunk(2, dim=-1)
        return diagonal_normal(mean, log_std.exp())


# %%
parabola = Parabola(std=0.8)
train, test = (parabola.likelihood(parabola.prior().sample((n,))).sample() for n in (4000, 300))
encoders = {"linear": LinearEncoder(), "network": Encoder()}
for encoder in encoders.values():
    batches = Batches(train, size=100)
    loss = lambda x, q=encoder: -elbo(WithPosterior(parabola, q), x).value
    fit([adam_player(loss, encoder, 5e-3)], batches, epochs=run.epochs(laptop=40))

# %%
latents = latent_grid(1, limit=5.0, steps=801)
log_posteriors = log_posterior_on_grid(parabola, test, latents)  # [300, points]


def gaps(q) -> Tensor:  # log p(x) − ELBO = KL(q || p(z|x)), [300] nats
    return kl_on_grid(log_prob_on_grid(q, latents), log_posteriors, latents)


def fit_to_each(start: Tensor) -> Tensor:  # one q for each x; the gap that it ends at
    free = DiagonalNormalFamily(start, std=0.3)
    fit(
        [adam_player(lambda x: gaps(free()), free, rate=0.05)],
        [(test,)],
        epochs=run.epochs(laptop=250),
    )
    return gaps(free()).detach()


# %%
total = {name: gaps(encoder(test)).detach() for name, encoder in encoders.items()}
first_means = encoders["network"](test).mean.detach()
started = time.perf_counter()
approximation = fit_to_each(first_means)
print(f"250 steps for the 300 q of their own: {time.perf_counter() - started:.1f} s")
for name, gap in total.items():
    parts = f"{approximation.mean():.3f} approximation + {(gap - approximation).mean():.3f} amortisation"
    print(f"{name:8s} gap {gap.mean():.3f} nats = {parts}")

# %%
linear = total["linear"] - approximation  # amortisation gaps
network = total["network"] - approximation
claim(
    "for each of these x the approximation gap is positive: no normal that we fitted is the posterior",
    approximation.min() > 1e-5, least=approximation.min(),
)  # fmt: skip
mirrored = fit_to_each(-first_means)  # two modes: does a start at the other one end lower?
claim(
    "from the mirror image of its start, no q ends lower by more than a thousandth of a nat",
    (mirrored - approximation).min() > -1e-3, least=(mirrored - approximation).min(),
)  # fmt: skip
claim(
    "the linear encoder's amortisation gap is more than five times the network's",
    linear.mean() > 5 * network.mean(), linear=linear.mean(), network=network.mean(),
)  # fmt: skip

# %%
x_1 = torch.linspace(-3, 3, 121)
across = torch.stack([x_1, torch.full((121,), 0.8)], 1)  # x₂ = 0.8
across_posterior = log_posterior_on_grid(parabola, across, latents).softmax(1)
exact_mean = (across_posterior @ latents.points)[:, 0]
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 5))
left.plot(across[:, 0], exact_mean, color="black", label="posterior mean")
for (name, encoder), colour in zip(
    encoders.items(), (figures.VERMILION, figures.BLUE), strict=True
):
    left.plot(
        across[:, 0], encoder(across).mean.detach(), "--", color=colour, label=f"{name} encoder"
    )
left.set(title="E[z|x] bends; a line cannot", xlabel="x₁, at x₂ = 0.8", ylabel="z")
left.legend(loc="upper left")
parts = {
    "approximation gap": float(approximation.mean()),
    "amortisation, network": float(network.mean()),
    "amortisation, linear": float(linear.mean()),
}
figures.bars(right, parts, "Where the nats go", "mean over x, nats", log=True)
figure

# %% [markdown]
# *Figure: left, the posterior mean against x₁ is an S-shaped curve; the network's bends with it, the linear one's is a
# straight line. Right, three points on a logarithmic axis: the network's amortisation gap is the smallest, the linear
# encoder's by far the largest.*
#
# A larger family cannot raise the first gap, a better encoder shrinks the second. A VAE trains the encoder and the model
# together: then the gaps also move the model, which lecture [[elbo]] measures for the first.
#
# ## To remember
#
# - $D_{KL}(q \,\|\, p)$ is the excess code length when data come from $q$ and the code from $p$.
# - $D_{KL}(q \,\|\, p)$ seeks modes, $D_{KL}(p \,\|\, q)$ covers mass; variational inference uses the first, because it
#   needs only draws from $q$ and the joint $p(x, z)$.
# - A factorised $q$ keeps conditional variances, $1 / \Lambda_{ii}$: it is too sure of each latent by itself when latents are
#   correlated.
# - Coordinate ascent never lowers the ELBO.
# - An encoder pays an amortisation gap on top of the approximation gap.
#
# ## Sources
#
# - Cover & Thomas, *Elements of Information Theory* (2006), chapters 2 and 5 (code lengths).
# - Bishop, *Pattern Recognition and Machine Learning* (2006), section 10.1 (directions, mean field of a normal).
# - Blei, Kucukelbir & McAuliffe, *Variational inference: a review for statisticians*, arXiv:1601.00670 (the mixture).
# - Cremer, Li & Duvenaud, *Inference suboptimality in variational autoencoders*, arXiv:1801.03558 (the two gaps).
