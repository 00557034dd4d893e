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
# - derive what its two directions do to a fit, and predict it from a picture;
# - fit a normal distribution to a posterior known only up to its normaliser, p(x);
# - derive mean field and coordinate ascent, for a normal and for a mixture, and say what they miss;
# - split the loss of an encoder into an approximation gap and an amortisation gap.

# %% [markdown]
# **You need** [[needs]]. **Time**: [[time]], network off. Everything runs on the
# processor, in double precision.

# %% tags=["skip"]
from math import exp, log, pi

import torch
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.distributions import kl_divergence as divergence

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · Divergence as code length
#
# Symbols are drawn from $q$ and sent as a string of bits, without gaps between the words. The receiver can cut the string
# if no word begins another: a **prefix code**. No prefix code needs fewer bits a symbol than $\mathbb E_q[-\log_2 q(z)]$, on
# average, and when all probabilities are powers of ½ words of $-\log_2 q(z)$ bits need just these.
#
# What does it cost to use the code that was built for **another** distribution, $p$?

# %% tags=["slide"]
symbols = "abcd"
q = torch.tensor([1 / 2, 1 / 4, 1 / 8, 1 / 8])
p = torch.tensor([1 / 8, 1 / 2, 1 / 4, 1 / 8])
code_for_q = {"a": "0", "b": "10", "c": "110", "d": "111"}
code_for_p = {"a": "110", "b": "0", "c": "10", "d": "111"}


def decode(bits: str, code: dict[str, str]) -> str:
    symbol_of, received, word = {word: s for s, word in code.items()}, "", ""
    for bit in bits:
        word += bit
        if word in symbol_of:
            received, word = received + symbol_of[word], ""
    return received


# %% tags=["fragment"]
n = 20_000
sent = "".join(symbols[i] for i in Categorical(q).sample((n,)))
by_q, by_p = ("".join(code[s] for s in sent) for code in (code_for_q, code_for_p))
excess = torch.tensor([float(len(code_for_p[s]) - len(code_for_q[s])) for s in sent])
kl = float(divergence(Categorical(q), Categorical(p)))  # D_KL(q || p) in nats
print("bits a symbol: two for each of four symbols, knowing nothing   2.000")
print(f"               q's own code {len(by_q) / n:.3f}, p's code {len(by_p) / n:.3f}")
print(f"wasted by p's code {excess.mean():.3f}; KL(q || p) = {kl / log(2):.3f} bits")

# %%
claim(
    "from each code's string the receiver reads the symbols that were sent",
    decode(by_q, code_for_q) == sent and decode(by_p, code_for_p) == sent,
)  # fmt: skip
claim(
    "the words' lengths are −log₂ of the probabilities",
    all(len(code_for_q[s]) == -q[i].log2() and len(code_for_p[s]) == -p[i].log2() for i, s in enumerate(symbols)),
)  # fmt: skip
claim(
    "the bits wasted a symbol are KL(q || p) / ln 2, within five standard errors",
    abs(float(excess.mean()) - kl / log(2)) < 5 * float(excess.std()) / n**0.5, wasted=excess.mean(), kl=kl,
)  # fmt: skip
claim(
    "the code for the wrong distribution needs more bits than the code that knows nothing",
    len(by_p) > 2.2 * n and len(by_q) < 1.8 * n, wrong=len(by_p) / n, right=len(by_q) / n,
)  # fmt: skip

# %% [markdown]
# *Break it*: write `code_for_p = {"a": "110", "b": "1", "c": "00", "d": "111"}`. All lengths stay. Which claim falls?
# <details><summary>Answer</summary>The first alone: "1" begins "110", so the receiver reads b where a was sent. Lengths
# do not make a code.</details>

# %% [markdown] tags=["slide"]
# ### The Kullback-Leibler divergence
#
# The expected excess length, in nats with the natural logarithm:
#
# $$ D_{KL}(q \,\|\, p) = \mathbb E_q[-\log p(z)] - \mathbb E_q[-\log q(z)] = \mathbb E_q\!\left[\log \frac{q(z)}{p(z)}\right] . $$
#
# - The data come from the **first** argument, the code from the second.
# - It is never negative, by Jensen's inequality: $-D_{KL} = \mathbb E_q[\log \frac pq] \le \log \mathbb E_q[\frac pq] \le \log 1 = 0$.
# - It is 0 exactly if $q = p$ (up to a set of probability 0).
# - It is no distance: the two directions differ in general.

# %% [markdown]
# Now **exercise [[:excess_code_length]]**: the excess bits, where some symbols never come.

# %% [markdown] tags=["slide"]
# ## · Three ways to compute it
#
# For densities the expectation is an integral. Take two normals. Since $\mathbb E_q[(z - \mu_p)^2] = \sigma_q^2 + (\mu_q - \mu_p)^2$,
#
# $$ D_{KL}\bigl(\mathcal N(\mu_q, \sigma_q^2) \,\|\, \mathcal N(\mu_p, \sigma_p^2)\bigr)
#    = \log \frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2 \sigma_p^2} - \frac12 . $$
#
# Beside this closed form: the integral on a grid, and a Monte Carlo average with its standard error.


# %% tags=["slide"]
def kl_normals(mean_q, std_q, mean_p, std_p) -> float:  # nats
    return log(std_p / std_q) + (std_q**2 + (mean_q - mean_p) ** 2) / (2 * std_p**2) - 0.5


q, p = Normal(1.0, 0.5), Normal(0.0, 1.0)
z = torch.linspace(-8, 8, 3201)
by_integral = float((q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))).sum() * 0.005)
closed, other = kl_normals(1.0, 0.5, 0.0, 1.0), kl_normals(0.0, 1.0, 1.0, 0.5)
draws = q.sample((10_000,))
log_ratio = q.log_prob(draws) - p.log_prob(draws)  # [draws] nats
sampled, error = float(log_ratio.mean()), float(log_ratio.std()) / 100
negative = float((log_ratio < 0).double().mean())
print(f"integral {by_integral:.5f}, closed form {closed:.5f} nats; the other way {other:.5f}")
print(f"10,000 draws: {sampled:.3f} ± {error:.3f} nats, {negative:.1%} of the terms negative")

# %%
claim("the integral on the grid is the closed form", abs(by_integral - closed) < 1e-9)
claim(
    "the Monte Carlo average is the closed form, within five standard errors",
    abs(sampled - closed) < 5 * error, sampled=sampled, closed=closed, error=error,
)  # fmt: skip
claim(
    "of the log-ratios that are averaged, a tenth to an eighth are negative",
    1 / 10 < negative < 1 / 8, share=negative,
)  # fmt: skip
claim(
    "the other direction is three to four times as large here",
    3 < other / closed < 4, other=other, this=closed,
)  # fmt: skip

# %% [markdown]
# A divergence is never negative; an estimate of one can be, since its terms can. For independent coordinates the log-ratio is
# a sum, and so is the divergence.
#
# Now **exercise [[:kl_diagonal_normals]]**: two diagonal normals, and the direction.

# %% [markdown] tags=["slide"]
# ## · Two directions, two fits
#
# The target $p$ has two modes; $q$ is one normal. Both divergences can be minimised over $q$:
#
# - $D_{KL}(q \,\|\, p)$ is large where $q$ puts mass and $p$ has little: $q$ avoids where $p$ has little. It is called **mode-seeking**.
# - $D_{KL}(p \,\|\, q)$ is large where $p$ has mass and $q$ little: $q$ must cover all of $p$. It is called **mass-covering**.
#
# *Predict: where will each fit end, and how wide will it be?*

# %% [markdown]
# <details><summary>Answer</summary>The first on one of the modes, as wide as it. The second between them, with the mean and
# the variance of all of p: that is derived next, then both are fitted.</details>

# %% [markdown] tags=["slide"]
# ### The mass-covering optimum, derived
#
# With $q = \mathcal N(m, s^2)$ only $\log q$ depends on $m$ and $s$:
#
# $$ D_{KL}(p \,\|\, q) = -H[p] - \mathbb E_p[\log q(z)] = -H[p] + \log s + \tfrac12 \log 2\pi + \frac{\mathbb E_p[(z - m)^2]}{2 s^2} , $$
#
# $$ \mathbb E_p[(z - m)^2] = \operatorname{Var}_p[z] + (\mathbb E_p[z] - m)^2 . $$
#
# In $m$ the minimum is at $m = \mathbb E_p[z]$, whatever $s$. There the derivative in $s$ is $\frac1s - \frac{\operatorname{Var}_p[z]}{s^3}$,
# negative below $s^2 = \operatorname{Var}_p[z]$ and positive above.
#
# So the best normal has the **moments** of $p$: its mean and its variance. For a $q$ with several independent normal
# coordinates the same holds for each coordinate, with $p$'s marginal.

# %%
from vae_course.exact.grids import kl_on_grid, latent_grid, log_prob_on_grid
from vae_course.inference.variational import DiagonalNormalFamily
from vae_course.training.loop import adam_player, fit

weights, means, stds = torch.tensor([0.6, 0.4]), torch.tensor([-2.0, 2.0]), torch.tensor([0.6, 0.5])  # fmt: skip
modes = Independent(Normal(means[:, None], stds[:, None]), 1)
target = MixtureSameFamily(Categorical(weights), modes)
grid = latent_grid(1, limit=10.0, steps=501)
log_p = log_prob_on_grid(target, grid)  # [points]


def mode_seeking(q, log_p: Tensor, grid) -> Tensor:  # KL(q || p), for each q of the batch
    return kl_on_grid(log_prob_on_grid(q, grid), log_p, grid)


def mass_covering(q, log_p: Tensor, grid) -> Tensor:  # KL(p || q)
    return kl_on_grid(log_p, log_prob_on_grid(q, grid), grid)


# %% tags=["slide"]
def descend(family: nn.Module, loss, steps: int) -> list[float]:
    player = adam_player(lambda _: loss(family()).reshape(-1), family, rate=0.1)
    rows = torch.zeros(loss(family()).numel())  # one row for each q of the batch
    return fit([player], [(rows,)], epochs=run.epochs(laptop=steps))["loss"]


starts = torch.linspace(-3, 3, 8)[:, None]  # eight normals are fitted at once
seeking, covering = DiagonalNormalFamily(starts), DiagonalNormalFamily(starts)
descend(seeking, lambda q: mode_seeking(q, log_p, grid), steps=600)
_ = descend(covering, lambda q: mass_covering(q, log_p, grid), steps=600)

# %%
points, density = grid.points[:, 0], log_p.exp() * exp(grid.log_cell)
mean = (density * points).sum()
std = (density * (points - mean) ** 2).sum().sqrt()  # of the target
ends = covering()
claim(
    "from every start, descending KL(p || q) ends at the target's mean and standard deviation, to 0.001",
    (ends.mean - mean).abs().max() < 1e-3 and (ends.stddev - std).abs().max() < 1e-3,
    means=ends.mean.flatten(), stds=ends.stddev.flatten(),
)  # fmt: skip
ends = seeking()
nearest = (ends.mean - means).abs().argmin(1)  # the mode where each start ends
off = (ends.mean[:, 0] - means[nearest], ends.stddev[:, 0] - stds[nearest])
claim(
    "every start of KL(q || p) ends at a mode's mean and standard deviation, to 0.01, and both modes are reached",
    torch.stack(off).abs().max() < 0.01 and set(nearest.tolist()) == {0, 1},
    means=ends.mean.flatten(), stds=ends.stddev.flatten(),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### What ignoring a mode costs
#
# When the modes are far apart, a $q$ that equals one component has $p \approx \pi_k q$ wherever it has mass, so
# $D_{KL}(q \,\|\, p) \approx \log \frac{1}{\pi_k}$: for all the mass that it ignores it pays no more than that.

# %% tags=["fragment"]
first, second = (int((ends.mean - mode).abs().argmin()) for mode in means)
settled = mode_seeking(ends, log_p, grid).detach()[[first, second]]
uncovered = mass_covering(ends, log_p, grid).detach()[[first, second]]
both = covering()
print("q at the end          KL(q || p)   KL(p || q), nats")
print(f"on the heavier mode  {settled[0]:8.3f} {uncovered[0]:13.3f}")
print(f"on the lighter mode  {settled[1]:8.3f} {uncovered[1]:13.3f}")
print(f"p's moments          {mode_seeking(both, log_p, grid)[0]:8.3f} {mass_covering(both, log_p, grid)[0]:13.3f}")  # fmt: skip

# %%
claim(
    "the divergence at a mode is log 1/π of its weight, to 0.002 nat",
    (settled + weights.log()).abs().max() < 2e-3, values=settled, expected=-weights.log(),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### One direction picks a mode, the other covers both

# %% tags=["fragment"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.6))
axes.fill_between(points, log_p.exp(), color="0.8", label="target p")
fits = log_prob_on_grid(ends, grid).exp().detach()
axes.plot(points, fits[first], color=figures.BLUE, label="local minima of KL(q || p)")
axes.plot(points, fits[second], color=figures.BLUE)
cover = log_prob_on_grid(both, grid)[0].exp().detach()
axes.plot(points, cover, "--", color=figures.VERMILION, label="minimum of KL(p || q)")
axes.set(xlabel="z", ylabel="density", xlim=(-6, 6), ylim=(0, 1))
axes.set_title("Each blue fit ignores a mode; the dashed one fills the valley")
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
# Now **exercise [[:moment_match]]**: the moments of a mixture, in closed form.

# %% [markdown] tags=["slide"]
# ## · A posterior without its normaliser
#
# **Variational inference** turns the posterior into an optimisation: among a family of $q$, find the one nearest to
# $p(z \mid x) = p(x, z) / p(x)$.
#
# $$ D_{KL}(q \,\|\, p(z|x)) = \mathbb E_q[\log q(z) - \log p(z|x)] = \mathbb E_q[\log q(z) - \log p(x, z)] + \log p(x) . $$
#
# The unknown $\log p(x)$ does not depend on $q$. So raise the **ELBO**, which needs the joint only,
#
# $$ \mathcal L(q) = \mathbb E_q[\log p(x, z) - \log q(z)] = \log p(x) - D_{KL}(q \,\|\, p(z|x)) \;\le\; \log p(x) . $$
#
# $D_{KL}(p(z|x) \,\|\, q)$ would need expectations under the posterior, which we cannot draw from.

# %% [markdown] tags=["slide"]
# ### Where the posterior is known
#
# A linear-Gaussian model with two latents (lecture [[latent_variable_models]]) and one $x$. Its posterior is normal, its
# latents are correlated. We climb $\mathcal L$ as a sum over a grid, so that its gradients are exact; with many latents
# no grid is possible, and the sum must give way to draws: lecture [[reparameterization]].
#
# Two families: all normals $\mathcal N(m, L L^\top)$, and the factorised ones.

# %%
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.inference.variational import NormalFamily

weight = torch.tensor([[1.0, 0.8], [0.8, 1.0], [0.6, 0.7]])
model, x = LinearGaussian(weight, torch.zeros(3), std=0.5), torch.tensor([1.5, 0.5, 1.0])
square = latent_grid(2, limit=6.0, steps=101)
z = square.points  # [points, 2]
log_joint = model.prior().log_prob(z) + model.likelihood(z).log_prob(x)  # log p(x, z)


# %% tags=["slide"]
def bound(q) -> Tensor:  # the ELBO, from the joint alone
    log_q = log_prob_on_grid(q, square)
    return (log_q.exp() * (log_joint - log_q)).sum() * exp(square.log_cell)


away = torch.tensor([-1.0, 1.5])
full, factorised = NormalFamily(away), DiagonalNormalFamily(away)
climbs = {
    name: [-value for value in descend(family, lambda q: -bound(q), steps=400)]
    for name, family in (("all normals", full), ("factorised", factorised))
}
log_evidence = float(model.log_evidence(x[None]))

# %%
posterior, fitted = model.posterior(x), full()
covariance_error = (fitted.covariance_matrix - posterior.covariance_matrix).abs().max()
claim(
    "the fitted normal has the posterior's mean and covariance, to 0.001",
    (fitted.mean - posterior.mean).abs().max() < 1e-3 and covariance_error < 1e-3,
    mean=fitted.mean, exact=posterior.mean, error=covariance_error,
)  # fmt: skip
claim(
    "its ELBO ends at log p(x), to 0.00001 nat, and no step of either climb was above",
    abs(climbs["all normals"][-1] - log_evidence) < 1e-5
    and max(max(climb) for climb in climbs.values()) < log_evidence + 1e-9,
    last=climbs["all normals"][-1], exact=log_evidence,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Only one of the families contains the posterior

# %% tags=["fragment"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.4))
axes.axhline(log_evidence, color="black", linewidth=1.5, label="log p(x)")
for (name, climb), colour in zip(
    climbs.items(), (figures.BLUE, figures.VERMILION), strict=True
):
    axes.plot(climb[:250], "--" if name == "factorised" else "-", color=colour, label=name)
axes.set(xlabel="step", ylabel="ELBO, nats", ylim=(log_evidence - 3, log_evidence + 0.3))
axes.set_title("All normals reach log p(x); factorised ones stop below")
axes.legend(loc="lower right")
figure

# %% [markdown]
# *Figure: two curves rise; one meets the horizontal line log p(x), the dashed one levels off 0.7 nat below it.*
#
# What stops it, and how far below? That can be derived.

# %% [markdown] tags=["slide"]
# ## · Mean field, line by line
#
# A **mean-field** family factorises: $q(z) = \prod_j q_j(z_j)$, the factors of any form. Hold all factors but $q_i$.
#
# **Line 1.** The logarithm of a product is a sum:
# $$ D_{KL}(q \,\|\, p) = \mathbb E_{q_i}[\log q_i(z_i)] + \sum_{j \ne i} \mathbb E_{q_j}[\log q_j(z_j)] - \mathbb E_q[\log p(z)] . $$
#
# **Line 2.** The factors are independent, so average over the others first:
# $$ \mathbb E_q[\log p(z)] = \mathbb E_{q_i}\bigl[\, \mathbb E_{q_{-i}}[\log p(z)] \,\bigr] . $$

# %% [markdown] tags=["slide"]
# **Line 3.** The inner average is a function of $z_i$. Make it the logarithm of a density:
# $$ \log \tilde q_i(z_i) = \mathbb E_{q_{-i}}[\log p(z)] - \log Z_i, \qquad Z_i = \int \exp \mathbb E_{q_{-i}}[\log p(z)] \, dz_i . $$
#
# **Line 4.** Put it in. What does not hold $q_i$ is a constant:
# $$ D_{KL}(q \,\|\, p) = \mathbb E_{q_i}[\log q_i(z_i) - \log \tilde q_i(z_i)] + C = D_{KL}(q_i \,\|\, \tilde q_i) + C . $$
#
# So the best $q_i$, with the others held, is $\tilde q_i \propto \exp \mathbb E_{q_{-i}}[\log p(z)]$ (Bishop, eq. 10.9). A
# normaliser of $p$ would go into $Z_i$: the joint $p(x, z)$ serves as well. **Coordinate ascent** sets one factor after
# another to its $\tilde q_i$; no update can lower $\mathcal L$.

# %% [markdown]
# A check of line 4 on the grid, where a density is a vector of numbers: a hundred $q_1$ of random shape, one $q_2$.

# %% tags=["slide"]
log_table = log_joint.log_softmax(0).reshape(101, 101)  # log p(z₁, z₂|x), rows z₁
q_1 = torch.rand(100, 101) / torch.rand(100, 101)
q_1 = q_1 / q_1.sum(1, keepdim=True)
q_2 = (-(torch.linspace(-6, 6, 101) - 1).abs()).softmax(0)  # neither is a normal
best_1 = (log_table @ q_2).softmax(0)  # ∝ exp E_{q₂}[log p]
table = q_1[:, :, None] * q_2
whole = (table * (table.log() - log_table)).sum((1, 2))  # KL(q₁ q₂ || p), [100]
factor = (q_1 * (q_1 / best_1).log()).sum(1)  # KL(q₁ || q̃₁)
print(f"KL(q || p) from {whole.min():.3f} to {whole.max():.3f} nats")

# %%
claim(
    "KL(q || p) − KL(q₁ || q̃₁) is the same for a hundred q₁",
    (whole - factor).std() < 1e-9, constants=(whole - factor)[:4],
)  # fmt: skip

# %% [markdown]
# *Break it*: average p in place of log p, `best_1 = log_table.exp() @ q_2 / (log_table.exp() @ q_2).sum()`. Does the claim
# stand?
# <details><summary>Answer</summary>It falls. The average is taken of the logarithm: that makes it a sum over factors.</details>

# %% [markdown] tags=["slide"]
# ## · Mean field, and what it misses
#
# For a normal target with mean $\mu$ and precision matrix $\Lambda = \Sigma^{-1}$, collect what holds $z_i$:
#
# $$ \log p(z) = -\tfrac12 \Lambda_{ii} (z_i - \mu_i)^2 - (z_i - \mu_i) \sum_{j \ne i} \Lambda_{ij} (z_j - \mu_j) + \dots $$
#
# Averaging over the others replaces $z_j$ by its mean $m_j$. Complete the square in $z_i$:
#
# $$ \log \tilde q_i(z_i) = -\tfrac12 \Lambda_{ii} (z_i - m_i)^2 + \dots, \qquad
#    m_i = \mu_i - \frac1{\Lambda_{ii}} \sum_{j \ne i} \Lambda_{ij} (m_j - \mu_j) . $$
#
# Each factor **is** normal (we did not ask for that), with variance $s_i^2 = 1 / \Lambda_{ii}$. Where all updates rest,
# $\Lambda (m - \mu) = 0$, so $m = \mu$.

# %% [markdown] tags=["slide"]
# ### What is lost
#
# $1 / \Lambda_{ii}$ is the variance of $z_i$ **given all others**, at most $\Sigma_{ii}$. What is missed is the part of
# $\Sigma_{ii}$ that the others explain. At the optimum $\operatorname{tr}(\Lambda S) = d$ for $S = \operatorname{diag} s^2$, so
#
# $$ D_{KL}(q^* \,\|\, p) = \tfrac12 \bigl[ \operatorname{tr}(\Lambda S) - d - \log|S| - \log|\Lambda| \bigr]
#    = \tfrac12 \Bigl[ \sum_i \log \Lambda_{ii} - \log |\Lambda| \Bigr] . $$
#
# For two latents with correlation $\rho$: $s_i^2 = (1 - \rho^2)\, \Sigma_{ii}$, and the divergence is $-\frac12 \log(1 - \rho^2)$.
#
# The other direction, among the factorised normals, keeps $\Sigma_{ii}$: the moments. For two latents its price,
# $\frac12 [\sum_i \log \Sigma_{ii} - \log|\Sigma|]$, is the same number.

# %%
log_posterior = log_joint - log_evidence
widest = DiagonalNormalFamily(away)
_ = descend(widest, lambda q: mass_covering(q, log_posterior, square), steps=400)
lean, wide, variances = factorised(), widest(), posterior.covariance_matrix.diagonal()
rho = posterior.covariance_matrix[0, 1] / variances.prod().sqrt()
for name, q in (("lean, minimum of KL(q || p)", lean), ("wide, minimum of KL(p || q)", wide)):
    both = mode_seeking(q, log_posterior, square), mass_covering(q, log_posterior, square)
    print(f"{name}: KL(q || p) {both[0]:.3f}, KL(p || q) {both[1]:.3f} nats")
print(f"correlation {rho:.3f}")

# %%
claim(
    "the ELBO's factorised optimum has the means μ and the variances (1 − ρ²) Σ_ii, to 0.001",
    (lean.mean - posterior.mean).abs().max() < 1e-3 and (lean.variance - (1 - rho**2) * variances).abs().max() < 1e-3,
    means=lean.mean, variances=lean.variance,
)  # fmt: skip
claim(
    "its climb stops below log p(x) by −½ log(1 − ρ²), to 0.0001 nat",
    abs(log_evidence - climbs["factorised"][-1] + 0.5 * float((1 - rho**2).log())) < 1e-4,
    gap=log_evidence - climbs["factorised"][-1],
)  # fmt: skip
claim(
    "descending KL(p || q) keeps the means μ and the whole variances Σ_ii, to 0.001",
    (wide.mean - posterior.mean).abs().max() < 1e-3 and (wide.variance - variances).abs().max() < 1e-3,
    means=wide.mean, variances=wide.variance,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Coordinate ascent
#
# Factor after factor goes to its best; there is no step size. With two latents an update sets one coordinate's distance
# from $\mu$ to $-\Lambda_{12} / \Lambda_{ii}$ times the other's, so every sweep after the first multiplies both by
# $\Lambda_{12}^2 / (\Lambda_{11} \Lambda_{22}) = \rho^2$. The more correlated the latents, the more sweeps it takes.

# %% tags=["fragment"]
from vae_course.distributions.families import diagonal_normal
from vae_course.inference.variational import coordinate_ascent_normal

path = coordinate_ascent_normal(posterior, away, sweeps=60)  # [1 + 120, 2]
along = divergence(diagonal_normal(path, lean.stddev.detach()), posterior)
left = path - posterior.mean
print(
    f"distance to μ: {left[0].norm():.3f} at the start, {left[20].norm():.3f} after ten sweeps"
)

# %%
claim("no update of coordinate ascent raises the divergence", (along.diff() < 1e-9).all())
claim(
    "every sweep after the first multiplies the distance that is left by ρ²",
    torch.allclose(left[4:40:2], rho**2 * left[2:38:2]),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Two optima on one ellipse, and the way to one of them

# %% tags=["fragment"]
angle = torch.linspace(0, 2 * pi, 200)
circle = torch.stack([angle.cos(), angle.sin()])  # [2, 200]
figure, (optima, stairs) = figures.subplots(1, 2, figsize=(13, 5.4))
ellipse = posterior.scale_tril @ circle
for axes in (optima, stairs):
    axes.plot(*(posterior.mean[:, None] + 2 * ellipse), color="0.4", label="p(z|x)")
    axes.set(xlabel="z₁", ylabel="z₂", aspect="equal")
for q, style, colour, name in ((lean, "-", figures.BLUE, "KL(q || p)"), (wide, "--", figures.VERMILION, "KL(p || q)")):  # fmt: skip
    drawn = (q.mean[:, None] + 2 * q.stddev[:, None] * circle).detach()
    name = f"minimum of {name}"
    optima.plot(*drawn, style, color=colour, label=name)
optima.set(
    title="q as narrow as p's conditionals, or as wide as p: never slanted",
    ylim=(-1.5, 3.3),
    xlim=(-1.3, 2.6),
)
optima.legend(loc="upper right")
stairs.plot(*path.T, "o-", color=figures.GREEN, markersize=5, label="coordinate ascent")
stairs.set(title="Each update is parallel to an axis", ylim=(-1.5, 3.3), xlim=(-1.3, 2.6))
stairs.legend(loc="upper right")
figure

# %% [markdown]
# *Figure: two planes with the same slanted ellipse, two standard deviations of the posterior. Left, round curves of two standard
# deviations: the solid one is shorter than the ellipse and sticks out at its flanks; the dashed one touches the box
# round the ellipse and covers much that the ellipse leaves out. Right, a staircase from the upper left to the centre, its steps ever shorter.*
#
# Now **exercises [[:mean_field_of_normal]] and [[:coordinate_ascent_sweep]]**: the optimum and a sweep, for any number of
# latents.

# %% [markdown] tags=["slide"]
# ## · Mean field on a mixture
#
# In a Bayesian mixture the means are latent too: $\mu_k \sim \mathcal N(0, \tau^2)$, a label $c_i$ uniform over $K$
# components, $x_i \sim \mathcal N(\mu_{c_i}, \sigma^2)$.

# %% tags=["fragment"]
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 2.9))
for at, name, seen in ((0.0, "$\\mu_k$", False), (1.5, "$x_i$", True), (3.0, "$c_i$", False)):
    axes.plot(
        at, 0, "o", markersize=44, markeredgecolor="black", color="0.8" if seen else "white"
    )
    axes.text(at, 0, name, ha="center", va="center", fontsize=18)
for start_at, end_at in ((0.27, 1.23), (2.73, 1.77)):
    axes.annotate(
        "", (end_at, 0), (start_at, 0), arrowprops={"arrowstyle": "-|>", "linewidth": 2}
    )
for edge, width, name in ((-0.45, 0.9, "$k = 1 … K$"), (1.05, 2.4, "$i = 1 … n$")):
    axes.add_patch(Rectangle((edge, -0.6), width, 1.05, fill=False, linewidth=2))
    axes.text(edge + width - 0.05, -0.57, name, ha="right", va="bottom")
axes.set(xlim=(-0.6, 3.6), ylim=(-0.7, 0.75))
axes.set_title("Given x, the means and the labels depend on each other")
axes.axis("off")
figure

# %% [markdown]
# *Figure: a graphical model: in a frame k = 1 … K the circle of μ_k, in a frame i = 1 … n the circles of x_i, shaded because it is
# seen, and of c_i; arrows go from μ_k and from c_i to x_i.*

# %% [markdown] tags=["slide"]
# ### The updates, derived
#
# $$ \log p(x, \mu, c) = -\sum_k \frac{\mu_k^2}{2\tau^2} - \sum_i \frac{(x_i - \mu_{c_i})^2}{2\sigma^2} + \text{const} . $$
#
# Take $q(\mu, c) = \prod_k q(\mu_k) \prod_i q(c_i)$, with $\varphi_{ik} = q(c_i = k)$, $m_k$ and $s_k^2$ the mean and variance of $\mu_k$.
#
# **A label.** Average what holds $c_i$ over the means, with $\mathbb E[(x_i - \mu_k)^2] = (x_i - m_k)^2 + s_k^2$:
# $$ \varphi_{ik} \propto \exp\Bigl(-\frac{(x_i - m_k)^2 + s_k^2}{2 \sigma^2}\Bigr) . $$

# %% [markdown] tags=["slide"]
# **A mean.** Average what holds $\mu_k$ over the labels: $-\frac{\mu_k^2}{2\tau^2} - \sum_i \varphi_{ik} \frac{(x_i - \mu_k)^2}{2 \sigma^2}$, a
# parabola in $\mu_k$, so $q(\mu_k)$ is normal. Its curvature and its peak are
# $$ \frac1{s_k^2} = \frac1{\tau^2} + \frac{\sum_i \varphi_{ik}}{\sigma^2}, \qquad
#    m_k = \frac{s_k^2}{\sigma^2} \sum_i \varphi_{ik}\, x_i . $$

# %%
tau, sigma = 3.0, 0.6
shape = sigma * torch.cat([Normal(0.0, 1.0).icdf((torch.arange(k) + 0.5) / k) for k in (4, 6)])
sides = torch.tensor([-1.0] * 4 + [1.0] * 6)  # four points left, six right


def elbo(x: Tensor, m: Tensor, variance: Tensor, phi: Tensor) -> Tensor:
    squares = (x[:, None] - m) ** 2 + variance
    labels = phi * (-log(2) - 0.5 * log(2 * pi * sigma**2) - squares / (2 * sigma**2))
    means = -0.5 * log(2 * pi * tau**2) - (m**2 + variance) / (2 * tau**2)
    entropy = 0.5 * (2 * pi * torch.e * variance).log().sum() - torch.xlogy(phi, phi).sum()
    return labels.sum() + means.sum() + entropy


# %% tags=["slide"]
def ascend(x: Tensor, m: Tensor, sweeps: int = 100):
    variance, values = torch.full((2,), sigma**2), []
    for _ in range(sweeps):
        scores = -((x[:, None] - m) ** 2 + variance) / (2 * sigma**2)
        phi = scores.softmax(1)  # [n, 2]
        values.append(float(elbo(x, m, variance, phi)))
        variance = 1 / (1 / tau**2 + phi.sum(0) / sigma**2)
        m = variance / sigma**2 * (phi.T @ x)
        values.append(float(elbo(x, m, variance, phi)))
    return m, variance, phi, values


# %% [markdown]
# Ten points, two clusters. All $2^{10}$ labellings can be added up, so $\log p(x)$ is known.

# %%
from vae_course.exact.mixture import BayesianMixture
from vae_course.inference.variational import coordinate_ascent_mixture

mixture, begin = (
    BayesianMixture(components=2, prior_std=tau, std=sigma),
    torch.tensor([-0.5, 0.5]),
)
gaps, falls, slopes = [], [], []
print("clusters at   ELBO   log p(x)    gap − log 2, nats")
for distance in (3.0, 2.0, 1.5, 1.0):
    data = shape + distance * sides
    m, variance, phi, values = ascend(data, begin)
    free = [one.requires_grad_() for one in (m, variance, phi.log())]
    elbo(data, m, variance, free[2].softmax(1)).backward()
    slopes += [float(one.grad.abs().max()) for one in free]
    falls.append(float(torch.tensor(values).diff().min()))
    gaps.append(float(mixture.log_evidence(data)) - values[-1])
    print(
        f"±{distance:.1f}      {values[-1]:8.3f} {values[-1] + gaps[-1]:9.3f} {gaps[-1] - log(2):12.5f}"
    )

# %%
gap = torch.tensor(gaps)
claim(
    "no update lowers the ELBO, and where they end it is flat in every factor",
    min(falls) > -1e-9 and max(slopes) < 1e-6, least=min(falls), steepest=max(slopes),
)  # fmt: skip
ours, theirs = ascend(data, begin, 20), coordinate_ascent_mixture(mixture, data, begin, 20)
claim(
    "the package's coordinate ascent is these lines: the same ELBO, sweep by sweep",
    torch.allclose(torch.tensor(ours[3][1::2]), torch.tensor(theirs.elbo), atol=1e-9),
)  # fmt: skip
claim(
    "with clusters far apart the gap is log 2, to 0.00001 nat",
    abs(gaps[0] - log(2)) < 1e-5, gap=gaps[0],
)  # fmt: skip
claim(
    "from ±3 down to ±1 the gap grows with every step nearer: at ±1 it is log 2 and a third of a nat, to 0.01",
    (gap.diff() > 0).all() and abs(gaps[-1] - log(2) - 1 / 3) < 0.01, gaps=gap,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Where the log 2 comes from
#
# Swapping the two components changes nothing in the model, so the posterior has one mode for each of the two numberings;
# $q$, mode-seeking, picks one and pays $\log \frac1{1/2}$, as in section [[#Two directions]]. When the clusters come near
# each other, labels and means depend on each other within one mode too, and the factors miss that.

# %% tags=["fragment"]
data = shape + 3 * sides
m, variance, *_ = ascend(data, begin)
axis = torch.linspace(-4, 4, 161)
pairs = torch.cartesian_prod(axis, axis)  # (μ₁, μ₂), [pairs, 2]
each = Normal(pairs[:, None], sigma).log_prob(data[:, None]).logsumexp(2).sum(1)
log_modes = Normal(0.0, tau).log_prob(pairs).sum(1) + each
figure, (axes,) = figures.subplots(1, 1, figsize=(7.5, 5.4))
axes.contourf(axis, axis, log_modes.softmax(0).reshape(161, 161).T, cmap="Greys", levels=8)
for radius in (1, 2):
    ring = m[:, None] + radius * variance.sqrt()[:, None] * circle
    axes.plot(*ring, color=figures.BLUE, label="q, 1 and 2 σ" if radius == 1 else None)
axes.axline((0, 0), slope=1, color="0.6", linestyle=":", label="μ₁ = μ₂")
axes.set(xlabel="μ₁", ylabel="μ₂", aspect="equal")
axes.set_title("The posterior has two modes, q has one")
axes.legend(loc="lower left")
figure

# %% [markdown]
# *Figure: a plane with two dark spots, mirror images of each other in the dotted diagonal; blue ellipses, 1 and 2 standard
# deviations of q, lie on the upper left one, none on the other.*
#
# Now **exercise [[:mean_and_precision_sweep]]**: derive both updates of another model, and write the sweep.

# %% [markdown] tags=["slide"]
# ## · Amortised inference
#
# So far each $x$ had a $q$ of its own, found by many steps; a new $x$ means starting again. **Amortised** inference
# trains one function from $x$ to the parameters of $q(z \mid x)$, an **encoder**. A new $x$ costs one
# pass. What is lost? With $q^*$ the best of the family for this $x$,
#
# $$ \log p(x) - \mathcal L(q_\text{enc}) = \underbrace{\log p(x) - \mathcal L(q^*)}_{\text{approximation gap}}
#    + \underbrace{\mathcal L(q^*) - \mathcal L(q_\text{enc})}_{\text{amortisation gap}} . $$

# %% tags=["fragment"]
along = torch.linspace(0.05, 1.0, 50)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 3.4))
axes.plot(along, 0.25 + 0.5 * (along - 0.55) ** 2, color=figures.BLUE, linewidth=4)
arrow = {"arrowstyle": "<->", "linewidth": 2, "shrinkA": 9, "shrinkB": 9}
for at, colour in (((0.5, 0.8), figures.BLACK), ((0.2, 0.31), figures.VERMILION)):
    axes.annotate("", at, (0.55, 0.25), arrowprops={**arrow, "color": colour})
    axes.plot(*at, "o", markersize=14, color=colour)
axes.plot(0.55, 0.25, "o", markersize=14, color=figures.BLUE)
for x_at, y_at, text in (
    (0.53, 0.8, "p(z|x)"), (0.56, 0.55, "approximation gap"), (0.53, 0.1, "q*, the best of the family"),
    (0.1, 0.42, "q of the encoder"), (0.25, 0.1, "amortisation gap"), (0.86, 0.4, "family of q"),
):  # fmt: skip
    axes.text(x_at, y_at, text, va="center")
axes.set(
    xlim=(0, 1.1), ylim=(0, 0.95), title="An encoder stays behind the best q of the family"
)
axes.axis("off")
figure

# %% [markdown]
# *Figure: a diagram: a curve, the family of q; above it a dot, p(z|x), which is not on the curve; an arrow from it to the nearest
# dot on the curve, q\*, is called the approximation gap; an arrow along the curve from q\* to the q of the encoder, the amortisation
# gap. A drawing: divergences are no lengths.*

# %% [markdown] tags=["slide"]
# ### Three encoders
#
# The parabola of lecture [[latent_variable_models]] with $\sigma = 0.8$, whose posterior mean is not linear in $x$. Each gap is a
# divergence on a grid, and training lowers its mean over a batch by the exact gradient. On held-out $x$ an amortisation gap holds two
# things: what the function cannot do, and what it did not learn from its $x$. So there is
#
# - a **linear** encoder: a mean linear in $x$, one $\sigma$ for all;
# - a **network**, trained on 400 $x$;
# - the same network, trained on 40 of them, in as many steps.

# %%
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


# %% tags=["slide"]
from vae_course.data.batches import Batches

parabola = Parabola(std=0.8)
x = parabola.likelihood(parabola.prior().sample((800,))).sample()  # 400 to train, 400 held out
train, held_out = slice(400), slice(400, None)
latents = latent_grid(1, limit=5.0, steps=121)
log_posteriors = log_posterior_on_grid(parabola, x, latents)  # [800, points]


def learn(encoder: nn.Module, many: int, rate: float) -> list[float]:
    loss = lambda x, log_p: mode_seeking(encoder(x), log_p, latents)  # log p(x) − ELBO, [batch]
    batches = Batches(x[:many], log_posteriors[:many], size=40)
    epochs = run.epochs(laptop=60_000 / many)  # 1500 steps
    return fit([adam_player(loss, encoder, rate)], batches, epochs)["loss"]


encoders = {"linear": LinearEncoder(), "network": Encoder(), "network, 40 x": Encoder()}
curves = {
    name: learn(encoder, 40 if "40" in name else 400, 0.03 if name == "linear" else 5e-3)
    for name, encoder in encoders.items()
}


# %% tags=["slide"]
wide = latent_grid(1, limit=15.0, steps=361)  # to hold an encoder's q, wherever it is
log_wide = log_posterior_on_grid(parabola, x, wide)


def gap_of(q) -> Tensor:  # log p(x) − ELBO = KL(q || p(z|x)), [..., 800] nats
    return mode_seeking(q, log_wide, wide).detach()


def fit_to_each(start_means: Tensor):  # one q for each x, from each of the starts
    free = DiagonalNormalFamily(start_means, std=0.3)
    descend(free, lambda q: mode_seeking(q, log_posteriors, latents), steps=300)
    return free()


peaks = latents.points[log_posteriors.argmax(1)]  # where the posterior is highest
both = fit_to_each(torch.stack([peaks, -peaks]))  # the mirror image too: there can be two modes
approximation, better = gap_of(both).min(0)  # q* is the nearer of the two
closest = torch.cdist(x, x[train]).argmin(1)  # for every x the nearest of the 400
at = (better[closest], closest)
borrowed = diagonal_normal(both.mean[at], both.stddev[at])

# %% tags=["slide"]
total = {name: gap_of(encoder(x)) for name, encoder in encoders.items()}
total = {"the prior": gap_of(parabola.prior()), "q of nearest x": gap_of(borrowed), **total}
amortisation = {name: gap - approximation for name, gap in total.items()}
print(f"approximation gap: {approximation[train].mean():.4f} on the 400, {approximation[held_out].mean():.4f} held out")  # fmt: skip
print("amortisation gap    own training x   held-out x   its median, nats")
for name, gap in amortisation.items():
    seen = gap[:40] if "40" in name else gap[train]
    apart = gap[held_out]
    print(f"{name:16s} {seen.mean():14.4f} {apart.mean():14.4f} {apart.median():14.4f}")

# %%
claim(
    "for each of these x the approximation gap is positive: no normal is the posterior",
    approximation.min() > 1e-5, least=approximation.min(),
)  # fmt: skip
third = encoders["network"](x).mean.detach().clamp(-4, 4)
lower = (gap_of(fit_to_each(third)) - approximation).min()
claim(
    "from the network's mean, no q ends lower by more than 0.0001 nat than the better of the two",
    lower > -1e-4, least=lower,
)  # fmt: skip
least = min(float(gap.min()) for gap in amortisation.values())
claim(
    "no amortisation gap is negative: for no x is an encoder's q below the q fitted to it, to 0.0001 nat",
    least > -1e-4, least=least,
)  # fmt: skip

# %%
line, net, few = (amortisation[name] for name in encoders)
copied = amortisation["q of nearest x"][held_out].median()
claim(
    "the linear encoder's amortisation gap is more than a third of a nat, on training x and on held-out x",
    min(line[train].mean(), line[held_out].mean()) > 1 / 3, train=line[train].mean(), held_out=line[held_out].mean(),
)  # fmt: skip
claim(
    "the network of 400 x loses less than 0.01 nat on those, and its median on held-out x is below a fifth of the table's",
    net[train].mean() < 0.01 and net[held_out].median() < 0.2 * copied,
    train=net[train].mean(), median=net[held_out].median(), copied=copied,
)  # fmt: skip
claim(
    "the network of 40 x loses less than 0.001 nat on those, more than twenty times as much on held-out x",
    few[:40].mean() < 1e-3 and few[held_out].mean() > 20 * few[:40].mean(), own=few[:40].mean(), held_out=few[held_out].mean(),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### What the encoders lose
#
# - The first two columns are means over $x$; but for the prior, the medians are far below: a few $x$ far out decide the means.
# - The linear encoder is far better than no encoder (the prior), and loses many times the approximation gap, on its training
#   $x$ as well. It has a line for the mean and one $\sigma$ for all $x$; which of the two fails is not separated here.
# - A plain table, the $q^*$ of the nearest of 400 $x$ (exact on those), beats the line. The network beats the table.
# - The network of 40 $x$ has next to no amortisation gap on those. What it loses on held-out $x$ is
#   **generalisation**: an amortisation gap measured on held-out $x$ holds both.

# %% tags=["slide"]
x_1 = torch.linspace(-3, 3, 121)
across = torch.stack([x_1, torch.full((121,), 0.8)], 1)  # x₂ = 0.8
exact_mean = log_posterior_on_grid(parabola, across, latents).softmax(1) @ latents.points
figure, (bend, learning) = figures.subplots(1, 2, figsize=(13, 5))
bend.plot(x_1, exact_mean, color="black", label="posterior mean")
colours, styles = (figures.VERMILION, figures.BLUE, figures.GREEN), ("--", "-.", ":")
for (name, encoder), colour, style in zip(encoders.items(), colours, styles, strict=True):
    seen = approximation[:40] if "40" in name else approximation[train]
    learnt = torch.tensor(curves[name]) - seen.mean()
    steps = torch.linspace(0, 1500 * run.budget, len(learnt))
    bend.plot(x_1, encoder(across).mean.detach(), style, color=colour, label=name)
    learning.plot(steps, learnt, color=colour, linewidth=1.5, label=name)
bend.set(title="The posterior mean bends; a line cannot", xlabel="x₁, at x₂ = 0.8", ylabel="z")
learning.set(xlabel="step", ylabel="amortisation gap on its training x, nats", yscale="log")
learning.set_title("The line stops early; the networks go on")
for axes in (bend, learning):
    axes.legend()
figure

# %% [markdown]
# *Figure: left, the posterior mean against x₁ is an S-shaped curve; both networks bend with it, a little above it left of the
# middle; the linear encoder's mean is a straight line. Right, training curves of one seed on a logarithmic axis: the
# linear one is level after about a sixth of the steps; those of the networks fall by three orders of magnitude and more, with
# spikes, the network of 40 x lowest. All end level, as the learning rate falls to 0.*
#
# A larger family cannot raise the first gap, and a better encoder shrinks the second. A VAE trains encoder and model
# together, so the gaps move the model too: lecture [[tighter_bounds]].
#
# ## To remember
#
# - $D_{KL}(q \,\|\, p)$ is the excess code length when data come from $q$ and the code from $p$.
# - $D_{KL}(q \,\|\, p)$ seeks modes; $D_{KL}(p \,\|\, q)$ covers mass, and its best normal has $p$'s moments.
# - Variational inference uses the first: it needs only $q$ and the joint $p(x, z)$.
# - Mean field: $q_i \propto \exp \mathbb E_{q_{-i}}[\log p]$. For a normal target and $D_{KL}(q \,\|\, p)$ it keeps the
#   conditional variances, $1 / \Lambda_{ii}$: too sure of each latent by itself when latents are correlated.
# - Coordinate ascent never lowers the ELBO.
# - An encoder pays an amortisation gap on top of the approximation gap; on held-out $x$ it includes what was not learnt.
#
# ## Sources
#
# - Cover & Thomas, *Elements of Information Theory* (2006), chapters 2 and 5 (code lengths).
# - Bishop, *Pattern Recognition and Machine Learning* (2006), sections 10.1 (directions, mean field) and 10.7 (moments).
# - Blei, Kucukelbir & McAuliffe, *Variational inference: a review for statisticians*, arXiv:1601.00670 (the mixture).
# - Cremer, Li & Duvenaud, *Inference suboptimality in variational autoencoders*, arXiv:1801.03558 (the two gaps).
