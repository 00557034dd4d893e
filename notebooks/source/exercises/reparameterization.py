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

# %% [markdown]
# # [[this]]
#
# [[count]], from • (anybody who read the lecture) to ••• (takes thought); [[minutes]] minutes in all. You need not
# have run the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check
# tells you whether the answer is right, and if not, what is wrong.
#
# The checks call your function with tensors in float64, and in [[:correlated_draw]], [[:logistic_from_uniform]], [[:score_function_loss]] and [[:path_derivative]] follow its gradients: compute in
# torch throughout. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All noise comes in as an argument: draw nothing inside. `log_std` is the logarithm of the **standard deviation**.

# %%
from math import e

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_course.exercises.engine import check
from vae_course.exercises.sheets import reparameterization as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()

# %% [markdown]
# ## · A correlated draw •
#
# *10 minutes.* A normal distribution with covariance $\Sigma = L L^\top$, $L$ lower triangular, is reparameterized by
# $z = \mu + L \varepsilon$ with $\varepsilon \sim \mathcal N(0, I)$. Write it such that gradients flow back to $\mu$ and to
# the entries of $L$ on and below its diagonal.
#
# `mean`: `[batch, latent]`; `scale_tril`, $L$: `[batch, latent, latent]`, zero above the diagonal; `noise`:
# `[samples, batch, latent]` → `[samples, batch, latent]`.
#
# <details><summary>Hint 1</summary>One matrix product per sample and example: z_i = μ_i + Σ_j L_ij ε_j.</details>
# <details><summary>Hint 2</summary>For one example b, <code>noise[:, b] @ L[b]</code> sums over the rows of L: that is Lᵀ ε. For
# all at once, make columns of the noise for a product L ε, or name the indices with einsum.</details>
# <details><summary>Hint 3</summary><code>noise[..., None]</code> has the shape [samples, batch, latent, 1], which
# <code>scale_tril @</code> can multiply; the last axis must go again. In einsum L has the indices bij: which has the noise,
# and which has z?</details>


# %%
def correlated_draw(mean: Tensor, scale_tril: Tensor, noise: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return mean + torch.einsum("bij,sbj->sbi", scale_tril, noise)
    ### END SOLUTION


# %%
check(sheet.correlated_draw, correlated_draw)

# %% [markdown]
# You should see the same noise three times: as it is, squeezed along an axis, and leaning.

# %%
noise = torch.randn(300, 1, 2).expand(300, 3, 2)  # the same noise for three distributions
mean = torch.tensor([[-5.0, 0.0], [0.0, 0.0], [5.0, 0.0]])
scale_tril = torch.tensor([[[1.0, 0], [0, 1]], [[1, 0], [0, 0.3]], [[1, 0], [0.9, 0.4]]])
z = correlated_draw(mean, scale_tril, noise)
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.5))
colours = (figures.SKY, figures.BLUE, figures.VERMILION)
names = ("L = I", "L diagonal", "L triangular")
for i, (colour, name) in enumerate(zip(colours, names, strict=True)):
    axes.scatter(*z[:, i].T, s=10, color=colour, label=name)
axes.set(
    title="Only an entry below the diagonal makes a draw lean",
    xlabel="latent 1",
    ylabel="latent 2",
    ylim=(-4, 5.5),
    aspect="equal",
)
axes.legend(ncols=3, loc="upper center")
figure

# %% [markdown]
# ## · A logistic draw from a uniform one ••
#
# *10 minutes.* A distribution whose inverse CDF is differentiable in its parameters can be reparameterized: $z = F^{-1}(u)$
# with $u$ uniform on $(0, 1)$
# (Kingma & Welling, arXiv:1312.6114, section 2.4). The logistic distribution has the CDF
#
# $$ F(z) = \frac{1}{1 + e^{-(z - \mu) / s}}. $$
#
# Invert it. `location`, $\mu$, and `log_scale`, $\log s$: `[batch, latent]`; `uniforms`, $u$: `[batch, latent]`, some as
# near to the ends as $10^{-12}$ → `[batch, latent]`, with gradients to the location and the scale.
#
# <details><summary>Hint 1</summary>Set u = F(z) and solve for z: what is 1/u − 1?</details>
# <details><summary>Hint 2</summary>(z − μ) / s = log(u / (1 − u)), which is called the logit of u.</details>
# <details><summary>Hint 3</summary>The logit is a difference of two logarithms. One of them is
# <code>torch.log1p(-uniforms)</code>, exact for small u.</details>


# %%
def logistic_from_uniform(location: Tensor, log_scale: Tensor, uniforms: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return location + log_scale.exp() * (uniforms.log() - torch.log1p(-uniforms))
    ### END SOLUTION


# %%
check(sheet.logistic_from_uniform, logistic_from_uniform)

# %% [markdown]
# You should see the histogram of your draws under the density of the logistic distribution, $F' = F (1 - F) / s$. (The cell
# draws in float32, where 0 can occur, and so clamps its $u$; those of the check are float64 inside (0, 1), and a clamp at
# $10^{-7}$ would change them.)

# %%
location, log_scale = torch.full((20000, 1), 1.0), torch.full((20000, 1), -0.5)
uniforms = torch.rand(20000, 1).clamp(1e-7, 1 - 1e-7)
z = logistic_from_uniform(location, log_scale, uniforms)
grid = torch.linspace(-5, 7, 200)
cdf = torch.sigmoid((grid - 1) * e**0.5)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
axes.hist(z[:, 0], bins=80, range=(-5, 7), density=True, color=figures.SKY, label="draws")
axes.plot(grid, cdf * (1 - cdf) * e**0.5, color=figures.VERMILION, label="density")
axes.set(
    title="Uniform numbers become logistic ones", xlabel="z", ylabel="density, per unit of z"
)
axes.legend()
figure

# %% [markdown]
# ## · The score function with a baseline ••
#
# *20 minutes.* For $z_i \sim q = \mathcal N(\mu, \sigma^2 I)$ and costs $f_i = f(z_i)$, the score function estimates
# $\nabla_\mu \mathbb E_q[f(z)]$ without a derivative of $f$. A baseline $b_i$ that does not depend on $z_i$ leaves the mean as it
# is and can lower the variance. Take for it the mean of the **other** costs (an idea of Mnih & Rezende, arXiv:1602.06725):
#
# $$ \hat g = \frac1n \sum_{i=1}^n (f_i - b_i) \, \frac{z_i - \mu}{\sigma^2}, \qquad
#    b_i = \frac{1}{n - 1} \sum_{j \ne i} f_j . $$
#
# `z`: `[n, d]`, $n \ge 2$; `mean`: `[d]`; `std`, $\sigma$: one number, a tensor without axes; `cost`: `[n]` → `[d]`.
#
# <details><summary>Hint 1</summary>All baselines at once: what is Σ_j f_j without f_i?</details>
# <details><summary>Hint 2</summary><code>(cost.sum() - cost) / (n - 1)</code> is [n]; the scores are [n, d]. Which axis
# must be added before they are multiplied?</details>
# <details><summary>Hint 3</summary><code>(cost - baseline)[:, None]</code> is [n, 1] and multiplies every coordinate of a score.
# Then average over the samples: which axis is that?</details>


# %%
def score_function_gradient(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    baseline = (cost.sum() - cost) / (len(cost) - 1)  # [n]
    score = (z - mean) / std**2  # [n, d]
    return ((cost - baseline)[:, None] * score).mean(0)
    ### END SOLUTION


# %%
check(sheet.score_function_gradient, score_function_gradient)

# %% [markdown]
# The cost $\lVert z - (5, 5) \rVert^2$ at $\mu = 0$, $\sigma = 1$: its mean has the gradient $(-10, -10)$. Each dot is an
# estimate from 20 draws. You should see two clouds around that point, yours the smaller one. (The weights $f_i - b_i$ sum to
# 0: given the draws and their costs, $\mu$ drops out of your estimate.)


# %%
def cost_of(z: Tensor) -> Tensor:
    return (z - 5).square().sum(-1)


mean, std = torch.zeros(2), torch.ones(())
draws = torch.randn(400, 20, 2)
plain = (cost_of(draws)[..., None] * draws).mean(1)
with_baseline = torch.stack([score_function_gradient(z, mean, std, cost_of(z)) for z in draws])
figure, (axes,) = figures.subplots(1, 1, figsize=(7, 6))
axes.scatter(*plain.T, s=14, color=figures.SKY, label="without a baseline")
axes.scatter(*with_baseline.T, s=14, color=figures.BLUE, label="mean of the others")
axes.plot(-10, -10, "X", markersize=14, color=figures.VERMILION, label="the gradient")
axes.set(
    title="A baseline shrinks the cloud and keeps its centre",
    xlabel="gradient by μ₁, cost per unit of μ",
    ylabel="gradient by μ₂, cost per unit of μ",
    aspect="equal",
)
axes.legend()
figure

# %% [markdown]
# ## · A loss for the score function ••
#
# *15 minutes.* To let `backward()` compute the estimator, give it a surrogate whose gradient is the estimator (Schulman et
# al., arXiv:1506.05254). For each draw return
#
# $$ \ell_i = f_i \, \log q(z_i), \qquad q = \mathcal N(\mu, \operatorname{diag} \sigma^2), $$
#
# with $f_i$ and $z_i$ taken as **constants**: then $\nabla \ell_i = f_i \nabla \log q(z_i)$.
#
# `mean`, `log_std`: `[d]`; `z`: `[n, d]`; `cost`: `[n]` → `[n]`. Both `z` and `cost` arrive with a gradient attached, as
# they do after `rsample()`: gradients must reach `mean` and `log_std`, and neither `z` nor `cost`. The value counts too,
# with all constants of $\log q$.
#
# <details><summary>Hint 1</summary>Which method takes a tensor's value and leaves its gradient behind?</details>
# <details><summary>Hint 2</summary><code>.detach()</code> on two of the four arguments. log q(z) is summed over the
# coordinates.</details>
# <details><summary>Hint 3</summary><code>Normal(mean, log_std.exp()).log_prob(z.detach()).sum(-1)</code>, times the detached
# cost.</details>


# %%
def score_function_loss(mean: Tensor, log_std: Tensor, z: Tensor, cost: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    log_q = Normal(mean, log_std.exp()).log_prob(z.detach()).sum(-1)  # [n]
    return cost.detach() * log_q
    ### END SOLUTION


# %%
check(sheet.score_function_loss, score_function_loss)

# %% [markdown]
# Descend the mean cost of [[:score_function_gradient]] from $\mu = 0$, with 5 draws a step and σ held at 1: once along $z = \mu + \sigma \varepsilon$,
# once with your loss, on costs less the baseline of [[:score_function_gradient]]. You should see both walk to (5, 5), yours on a shakier path.

# %%
paths = {}
for name in ("pathwise", "score function"):
    mean, log_std = torch.zeros(2, requires_grad=True), torch.zeros(2)
    walk = [mean.detach().clone()]
    for _ in range(150):
        z = mean + log_std.exp() * torch.randn(5, 2)
        cost = cost_of(z)
        if name == "score function":
            baseline = (cost.sum() - cost) / 4
            cost = score_function_loss(mean, log_std, z, cost - baseline)
        (slope,) = torch.autograd.grad(cost.mean(), mean)
        mean = (mean - 0.02 * slope).detach().requires_grad_()
        walk.append(mean.detach().clone())
    paths[name] = torch.stack(walk)
figure, (axes,) = figures.subplots(1, 1, figsize=(7, 6))
axes.plot(*paths["score function"].T, color=figures.SKY, label="score function, your loss")
axes.plot(*paths["pathwise"].T, color=figures.BLUE, label="pathwise")
axes.plot(5, 5, "X", markersize=14, color=figures.VERMILION, label="least mean cost")
axes.set(title="Both descend, one staggers", xlabel="μ₁", ylabel="μ₂", aspect="equal")
axes.legend()
figure

# %% [markdown]
# ## · The best constant baseline •••
#
# *20 minutes.* One coordinate of the estimator is the mean of $(f_i - b) \, s_{ij}$ with the score
# $s_{ij} = (z_{ij} - \mu_j) / \sigma^2$. As $\mathbb E[s_{ij}] = 0$, no constant $b$ changes the expectation; one has the least variance. Find it on
# paper: which $b$ minimises $\mathbb E[(f - b)^2 s_j^2]$? (Ranganath, Gerrish & Blei, arXiv:1401.0118, section 3.2, choose
# the same weight for a control variate.) Then estimate both expectations in it by sums over the draws.
#
# `z`: `[n, d]`; `mean`: `[d]`; `std`, $\sigma$: one number, a tensor without axes; `cost`: `[n]` → `[d]`, one baseline for
# each coordinate.
#
# <details><summary>Hint 1</summary>The expectation is a parabola in b: set its derivative to 0.</details>
# <details><summary>Hint 2</summary>The derivative is −2 E[(f − b) s_j²], in which b is a constant: take it out of the
# expectation.</details>
# <details><summary>Hint 3</summary>b_j = E[f s_j²] / E[s_j²], a mean of the costs with the weights s_j². In code the weights are
# [n, d], and both sums run over the draws.</details>


# %%
def optimal_baseline(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    weights = ((z - mean) / std**2).square()  # [n, d]
    return (cost[:, None] * weights).sum(0) / weights.sum(0)
    ### END SOLUTION


# %%
check(sheet.optimal_baseline, optimal_baseline)

# %% [markdown]
# The cost $e^z$ with $\mu = 0$, $\sigma = 1$, where large costs and large scores come together. You should see a parabola with
# its floor at your baseline, near $2 \sqrt e$. The mean cost, $\sqrt e$, is half of it.

# %%
z = torch.randn(100_000, 1, dtype=torch.float64)
cost = z[:, 0].exp()
best = optimal_baseline(z, torch.zeros(1), torch.ones(()), cost)
candidates = torch.linspace(-1, 7, 81, dtype=torch.float64)
variances = torch.stack([((cost - b) * z[:, 0]).var() for b in candidates])
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
axes.plot(candidates, variances, color=figures.BLUE)
axes.axvline(best, color=figures.VERMILION, linestyle="--", label="your baseline")
axes.axvline(cost.mean(), color=figures.GREEN, linestyle=":", label="mean cost")
axes.axvline(0, color=figures.BLACK, linestyle="-.", linewidth=1.5, label="no baseline")
axes.set(
    title="The mean cost is a good baseline, not the best",
    xlabel="constant baseline, units of cost",
    ylabel="variance of one draw",
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# ## · The path derivative •••
#
# *20 minutes.* The pathwise gradient of $\log w = \log \tilde p(z) - \log q(z)$, $z = \mu + \sigma \odot \varepsilon$, has two
# parts: the parameters move $z$, and they move the density $q$ at a fixed $z$. The second part is minus the score, whose
# expectation is 0: without it the gradient has the same mean. Leave it out (Roeder, Wu & Duvenaud, arXiv:1703.09194). At
# $q = \tilde p$ every single draw then has the gradient 0.
#
# The target is $\tilde p = \mathcal N(m, \operatorname{diag} t^2)$. Return $\log w$ of each draw: its **value** is the usual one; its
# **gradient** flows through $z$ alone.
#
# `mean`, $\mu$, and `log_std`, $\log \sigma$: `[latent]`, with a gradient; `noise`, $\varepsilon$: `[n, latent]`; `target_mean`, $m$, and
# `target_log_std`, $\log t$: `[latent]` → `[n]`, in nats.
#
# <details><summary>Hint 1</summary>The parameters stand in two places: in z, and inside log q. Where may gradients
# pass?</details>
# <details><summary>Hint 2</summary>Detach the parameters inside log q only. Detaching log q itself would cut its path through
# z too.</details>
# <details><summary>Hint 3</summary><code>Normal(mean.detach(), log_std.detach().exp()).log_prob(z)</code> is log q(z), not yet
# summed, with z still attached.</details>


# %%
def path_derivative(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    z = mean + log_std.exp() * noise
    q = Normal(mean.detach(), log_std.detach().exp())
    target = Normal(target_mean, target_log_std.exp())
    return (target.log_prob(z) - q.log_prob(z)).sum(-1)
    ### END SOLUTION


# %%
check(sheet.path_derivative, path_derivative)

# %% [markdown]
# Let $q = \mathcal N(d, \sigma^2)$ with $\log \sigma = d / 2$ approach a standard normal target. You should see the spread of your
# gradient by μ fall with d, while that of the full gradient tends to 1. (Each of 5,000 latents serves as one draw of its own.)

# %%
noise = torch.randn(1, 5000)
origin = torch.zeros(5000)  # the target's mean and log σ
distances = [2.0**-i for i in range(9)]
spread = {"all of log w": [], "path derivative": []}
for distance in distances:
    mean = torch.full((5000,), distance, requires_grad=True)
    log_std = torch.full((5000,), 0.5 * distance)
    z = mean + log_std.exp() * noise
    full = (Normal(0.0, 1.0).log_prob(z) - Normal(mean, log_std.exp()).log_prob(z)).sum()
    path = path_derivative(mean, log_std, noise, origin, origin).sum()
    for name, value in zip(spread, (full, path), strict=True):
        (gradient,) = torch.autograd.grad(value, mean, retain_graph=True)
        spread[name].append(float(gradient.std()))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    distances,
    spread,
    "The path derivative falls silent at the target",
    "distance d from the target: μ = d, log σ = d/2",
    "sd of one draw's gradient",
)
axes.set(xscale="log", yscale="log")
figure

# %% [markdown]
# **Think on.** The path derivative does not always vary less. Write both gradients by μ for a standard normal target, as functions of
# μ, σ and ε. For which σ has the full gradient the smaller variance? So what does leaving out a term of mean 0 do in general,
# and why does it help most at the end of training, when q can come close to the posterior?
#
# <details><summary>Answer</summary>The full gradient is −(μ + σε), with the variance σ². Without its part −ε/σ, minus the score, it is −(μ + σε) + ε/σ, with the variance
# (1/σ − σ)². The full one varies less where σ² &lt; |1 − σ²|, that is, for σ below 1/√2. Leaving out a term of mean 0 is to subtract a control
# variate with the coefficient 1: it helps where the covariance of that term with the full gradient is more than half of the term's variance. At
# q = p̃ the full gradient <em>is</em> minus the score, and nothing is left.</details>
