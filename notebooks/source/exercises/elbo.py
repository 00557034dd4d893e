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
# The checks call your function with tensors in float64, and in [[:elbo_discrete]] to [[:iwae_bound]] follow its gradients: compute in torch
# throughout. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# Throughout, `log_std` is the logarithm of the **standard deviation**, and $\mathcal L$ is the ELBO in nats.

# %%
from math import e, log, pi

import torch
from torch import Tensor

from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import elbo as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()

# %% [markdown]
# ## · The ELBO as a sum •
#
# *10 minutes.* Where the latent has $K$ states, the ELBO is a sum (Kingma & Welling, arXiv:1312.6114, eq. 2):
#
# $$ \mathcal L = \sum_z q(z) \bigl[ \log p(x, z) - \log q(z) \bigr]. $$
#
# `log_joint`: `[batch, K]`, $\log p(x, z)$ of each state; `q`: `[batch, K]`, **probabilities**, which sum to 1 along the
# last axis → `[batch]`, in nats, with a gradient to `log_joint`. Some $q(z)$ may be 0: such a state contributes 0, the
# limit of $q \log q$. Log-joints may lie at −900, and differ by thousands between the states of one example.
#
# <details><summary>Hint 1</summary>An expectation under q is a sum with the weights q(z).</details>
# <details><summary>Hint 2</summary>In floating point 0 · log 0 is 0 · (−∞) = NaN. Which states must not reach the
# logarithm?</details>
# <details><summary>Hint 3</summary><code>torch.xlogy(q, q)</code> is q log q, and 0 at q = 0.</details>


# %%
def elbo_discrete(log_joint: Tensor, q: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return (q * log_joint - torch.xlogy(q, q)).sum(-1)
    ### END SOLUTION


# %%
check(sheet.elbo_discrete, elbo_discrete)

# %% [markdown]
# Two states, and every q there is. You should see an arch that touches $\log p(x)$ at one point: the posterior.

# %%
joint = torch.tensor([0.06, 0.14])  # p(x, z) for z = 0 and z = 1
second = torch.linspace(0, 1, 201)  # q(z = 1)
bound = elbo_discrete(joint.log().expand(201, 2), torch.stack([1 - second, second], dim=-1))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
axes.plot(second, bound, color=figures.BLUE, label="ELBO")
axes.axhline(joint.sum().log(), color=figures.VERMILION, linestyle="--", label="log p(x)")
axes.axvline(joint[1] / joint.sum(), color=figures.GREEN, linestyle=":", label="p(z = 1 | x)")
axes.set(title="The bound touches log p(x) at the posterior", xlabel="q(z = 1)", ylabel="nats")
axes.legend()
figure

# %% [markdown]
# ## · The entropy split ••
#
# *10 minutes.* The second split of the bound is $\mathcal L = \mathbb E_q[\log p(x, z)] + H[q]$. The first term is given;
# add the entropy $H[q] = -\mathbb E_q[\log q(z)]$ of the diagonal normal $q = \mathcal N(\mu, \operatorname{diag} \sigma^2)$,
#
# $$ H[q] = \sum_j \bigl( \log \sigma_j + \tfrac12 \log 2 \pi e \bigr). $$
#
# `expected_log_joint`: `[batch]`; `log_std`: `[batch, latent]`, $\log \sigma$ → `[batch]`, in nats, with gradients to both.
#
# <details><summary>Hint 1</summary>The entropy does not depend on μ. Which of its terms stand once per latent?</details>
# <details><summary>Hint 2</summary>½ log 2πe = ½ log 2π + ½: a constant for every latent, inside the sum.</details>
# <details><summary>Hint 3</summary><code>log_std.sum(-1)</code> is the part that depends on σ. The constant counts as many times
# as there are latents.</details>


# %%
def entropy_split(expected_log_joint: Tensor, log_std: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return expected_log_joint + (log_std + 0.5 * log(2 * pi * e)).sum(-1)
    ### END SOLUTION


# %%
check(sheet.entropy_split, entropy_split)

# %% [markdown]
# One latent, $p(x|z) = \mathcal N(z, 0.5^2)$, $x = 1$, and $q$ centred on the posterior mean. The first term wants q narrow,
# the entropy wants it wide. You should see their sum touch $\log p(x)$ at the posterior's σ.

# %%
model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 0.5)
x = torch.ones(1, 1)
posterior = model.posterior(x)
std = torch.linspace(0.1, 1.2, 100)
at_mean = model.likelihood(posterior.mean).log_prob(x) + model.prior().log_prob(posterior.mean)
expected = at_mean - 0.5 * std**2 / posterior.variance[0]  # E_q[log p(x, z)], exactly
bound = entropy_split(expected, std.log()[:, None])
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
axes.plot(std, expected, "--", color=figures.GREEN, label="E[log p(x, z)]")
axes.plot(std, bound - expected, ":", color=figures.PURPLE, label="entropy of q")
axes.plot(std, bound, color=figures.BLUE, label="ELBO, their sum")
axes.axhline(model.log_evidence(x), color=figures.VERMILION, linestyle="-.", label="log p(x)")
axes.axvline(posterior.stddev, color=figures.BLACK, linewidth=1, label="σ of p(z|x)")
axes.set(title="Entropy widens q, the joint narrows it", xlabel="σ of q", ylabel="nats")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# ## · An ELBO without sampling •••
#
# *25 minutes.* In the linear-Gaussian model $p(z) = \mathcal N(0, I)$, $p(x|z) = \mathcal N(W z + b, \sigma^2 I)$ with
# $q(z|x) = \mathcal N(m, \operatorname{diag} s^2)$, no term needs a sample:
#
# $$ \mathcal L = \underbrace{\log \mathcal N(x;\, W m + b, \sigma^2 I) - \sum_j \frac{s_j^2 \lVert w_j \rVert^2}{2 \sigma^2}}_{\mathbb E_q[\log p(x|z)]}
#    - D_{KL}\bigl(q(z|x) \,\|\, p(z)\bigr), $$
#
# where $w_j$ is the $j$-th column of $W$. Derive the second term before you write it: what does the noise of $z$ add to the
# expected squared error?
#
# The check does not use this formula. It compares your answer with $\log p(x) - D_{KL}(q \,\|\, p(z|x))$, from the exact
# evidence and posterior of the model (Tipping & Bishop, 1999): if the two agree, you have checked the identity of the gap.
#
# `x`: `[batch, observed]`; `weight`, $W$: `[observed, latent]`; `bias`, $b$: `[observed]`; `std`, $\sigma$: one number,
# a tensor without axes; `mean`, $m$, and `log_std`, $\log s$: `[batch, latent]` → `[batch]`, in nats, with gradients to
# `weight`, `mean` and `log_std`.
#
# <details><summary>Hint 1</summary>Write z = m + s ⊙ ε. Then x − W z − b = (x − W m − b) − Σ_j w_j s_j ε_j. Take the
# expectation of its squared norm.</details>
# <details><summary>Hint 2</summary>The cross terms vanish, as E[ε_j] = 0 and E[ε_i ε_j] = 0 for i ≠ j. What stays is
# ‖x − W m − b‖² + Σ_j s_j² ‖w_j‖². The KL to N(0, I) is Σ_j ½ (m_j² + s_j² − 1 − 2 log s_j).</details>
# <details><summary>Hint 3</summary><code>spread = (2 * log_std).exp() @ weight.square().sum(0)</code>, and
# <code>-(error + spread) / (2 * std**2) - observed * (std.log() + 0.5 * log(2 * pi))</code> is E_q[log p(x|z)].</details>


# %%
def elbo_linear_gaussian(
    x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    variance = (2 * log_std).exp()  # [batch, latent]
    error = (x - mean @ weight.T - bias).square().sum(-1)  # [batch]
    spread = variance @ weight.square().sum(0)  # [batch]
    log_normaliser = x.shape[-1] * (std.log() + 0.5 * log(2 * pi))
    expected_log_likelihood = -(error + spread) / (2 * std**2) - log_normaliser
    kl = (0.5 * (mean**2 + variance - 1) - log_std).sum(-1)
    return expected_log_likelihood - kl
    ### END SOLUTION


# %%
check(sheet.elbo_linear_gaussian, elbo_linear_gaussian)

# %% [markdown]
# Two latents whose columns $w_1$ and $w_2$ enclose an angle. The closer they are, the stronger the posterior correlates the
# latents, which no diagonal q can follow. You should see that even the best one loses the more nats, the smaller the angle.


# %%
def two_columns(angle: float) -> LinearGaussian:  # in degrees
    columns = torch.tensor([[0.0, angle]], dtype=torch.float64).deg2rad()
    weight = 2 * torch.cat([columns.cos(), columns.sin()])  # [observed, latent]
    return LinearGaussian(weight, torch.zeros(2, dtype=torch.float64), 1.0)


def best_diagonal(model: LinearGaussian, x: Tensor) -> tuple[Tensor, Tensor]:
    precision = 1 + model.weight.square().sum(0) / model.std**2  # the posterior's, its diagonal
    mean = model.posterior(x).mean
    return mean, (-0.5 * precision.log()).expand_as(mean)


x = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
angles, exact, bound = list(range(5, 91, 5)), [], []
for angle in angles:
    model = two_columns(angle)
    exact.append(float(model.log_evidence(x)))
    parameters = (model.weight, model.bias, model.std, *best_diagonal(model, x))
    bound.append(float(elbo_linear_gaussian(x, *parameters)))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    angles,
    {"log p(x)": exact, "ELBO of the best diagonal q": bound},
    "A diagonal q pays for a correlated posterior",
    "angle between the columns of W, degrees",
    "nats",
)
figure

# %% [markdown]
# ## · The importance-weighted bound ••
#
# *15 minutes.* With $k$ draws the bound tightens (Burda, Grosse & Salakhutdinov, arXiv:1509.00519, eq. 8):
#
# $$ \mathcal L_k = \mathbb E\Bigl[ \log \frac1k \sum_{i=1}^k w_i \Bigr], \qquad w_i = \frac{p(x, z_i)}{q(z_i|x)},
#    \quad z_i \sim q(z|x). $$
#
# Estimate it from many draws: every $k$ consecutive rows form a group; take the log of the mean weight **within** each
# group, then the mean **over** the groups.
#
# `log_joint`, `log_q`: `[samples, batch]`, with samples a multiple of `k` → `[batch]`, in nats, with gradients to both. It
# must be right where log weights are ±900 too, and where those of one batch differ by thousands.
#
# <details><summary>Hint 1</summary>Two means: one inside the logarithm, one outside. Which is which?</details>
# <details><summary>Hint 2</summary>Reshape the log weights to [groups, k, batch]. Inside: logsumexp, and what makes a sum
# a mean.</details>
# <details><summary>Hint 3</summary><code>log_w.reshape(-1, k, batch).logsumexp(1) - log(k)</code>, then
# <code>.mean(0)</code>.</details>


# %%
def iwae_bound(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    ### BEGIN SOLUTION
    log_weights = log_joint - log_q
    groups = log_weights.reshape(-1, k, log_weights.shape[1])  # [groups, k, batch]
    return (groups.logsumexp(1) - log(k)).mean(0)
    ### END SOLUTION


# %%
check(sheet.iwae_bound, iwae_bound)

# %% [markdown]
# The model of [[:elbo_linear_gaussian]] at 75°, 60° and 30°, each with its best diagonal q. You should see three gaps that start at that of the
# ELBO, k = 1, and shrink with k, the one of 30° most slowly.

# %%
counts = [2**i for i in range(11)]
gaps = {}
for angle in (75, 60, 30):
    model = two_columns(angle)
    mean, log_std = best_diagonal(model, x)
    noise = torch.randn(2**17, 1, 2, dtype=torch.float64)
    z = mean + log_std.exp() * noise  # [samples, batch, latent]
    log_q = (-0.5 * noise**2 - log_std - 0.5 * log(2 * pi)).sum(-1)
    log_joint = model.likelihood(z).log_prob(x) + model.prior().log_prob(z)
    truth = model.log_evidence(x)
    gaps[f"{angle}°"] = [float(truth - iwae_bound(log_joint, log_q, k)) for k in counts]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
title = "More draws close the gap, but not at one pace"
figures.curves(axes, counts, gaps, title, "draws k", "log p(x) − bound, nats")
axes.set_xscale("log", base=2)
figure

# %% [markdown]
# ## · How fast the gap closes •••
#
# *20 minutes.* The mean of $k$ weights scatters around $p(x)$ with variance $\operatorname{Var}(w) / k$, and the logarithm is
# concave. Its second-order expansion gives the leading term of the gap for large $k$, **where the variance is finite** (Domke &
# Sheldon, arXiv:1808.09034, theorem 3, states what else it needs):
#
# $$ \log p(x) - \mathcal L_k \approx \frac{\operatorname{Var}(w)}{2 k \, p(x)^2} . $$
#
# Estimate it from samples: the sample variance of $w$ (with $n - 1$) for $\operatorname{Var}(w)$, the sample mean of $w$ for
# $p(x)$.
#
# `log_weights`: `[samples, batch]`, $\log w$; `k`: a whole number, not bound to the number of samples → `[batch]`, in nats. It
# must be right where log weights are ±900 too, and where those of one example differ by thousands.
#
# <details><summary>Hint 1</summary>What happens to the ratio Var(w) / p(x)² if all weights of an example are multiplied
# by a constant?</details>
# <details><summary>Hint 2</summary>Nothing. So choose the constant such that the largest weight is 1, and exp cannot
# overflow.</details>
# <details><summary>Hint 3</summary><code>w = (log_weights - log_weights.amax(0)).exp()</code>, then
# <code>w.var(0)</code> and <code>w.mean(0).square()</code>.</details>


# %%
def predicted_gap(log_weights: Tensor, k: int) -> Tensor:
    ### BEGIN SOLUTION
    weights = (log_weights - log_weights.amax(0)).exp()
    return weights.var(0) / weights.mean(0).square() / (2 * k)
    ### END SOLUTION


# %%
check(sheet.predicted_gap, predicted_gap)

# %% [markdown]
# (This picture uses your answer to [[:iwae_bound]] too, and the cell of its picture.) A toy where all is known: log-normal weights $w = e^{\varepsilon - 1/2}$ have mean 1, so that $\log p(x) = 0$, and
# variance $e - 1$. You should see the measured gap join your prediction from about k = 30 on. (The measured one adds the error
# of the mean weight, which is 0 in expectation: that steadies it.)

# %%
log_weights = torch.randn(2**20, 1, dtype=torch.float64) - 0.5
error = float(log_weights.exp().mean()) - 1
measured = [
    error - float(iwae_bound(log_weights, torch.zeros_like(log_weights), k)) for k in counts
]
predicted = [float(predicted_gap(log_weights, k)) for k in counts]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    counts,
    {"measured": measured, "predicted": predicted},
    "With finite variance the gap closes like 1/k",
    "draws k",
    "log p(x) − bound, nats",
)
axes.set(xscale="log", yscale="log")
figure

# %% [markdown]
# **Think on.** Go back to the three models of [[:iwae_bound]]. With the best diagonal q of a correlated normal posterior, the weights'
# variance is finite only if the off-diagonal entry of the posterior's precision matrix is less than half of the diagonal ones.
# For which of the three angles is it? What does your `predicted_gap` do where it is not, when it is given more and more
# samples, and what would you believe of the 1/k law there?
