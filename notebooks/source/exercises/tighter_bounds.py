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
# The checks call your function with tensors in float64, and in [[:iwae_bound]] and [[:doubly_reparameterized]] follow its
# gradients: compute in torch throughout. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# Throughout, $\mathcal L_k$ is the importance-weighted bound in nats.

# %%
from math import log

import torch
from torch import Tensor

from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import tighter_bounds as sheet
from vae_course.inference.variational import mean_field_of_normal
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## · How many draws count •
#
# *10 minutes.* With unequal weights, $n$ draws are worth fewer. Their **effective number** is
#
# $$ n_\text{eff} = \frac{\bigl(\sum_i w_i\bigr)^2}{\sum_i w_i^2}, $$
#
# which is $n$ for equal weights and 1 where one weight has everything.
#
# `log_weights`: `[samples, batch]`, $\log w$ → `[batch]`. It must be right where log weights are ±900 too, and where those of one
# example differ by thousands.
#
# <details><summary>Hint 1</summary>What happens to the ratio if all weights of an example are multiplied by a
# constant?</details>
# <details><summary>Hint 2</summary>Nothing. So choose the constant such that exp cannot overflow: softmax chooses the one for
# which the weights add up to 1.</details>
# <details><summary>Hint 3</summary>With w̃ = <code>log_weights.softmax(0)</code> the numerator is 1.</details>


# %%
def effective_draws(log_weights: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return 1 / log_weights.softmax(0).square().sum(0)
    ### END SOLUTION


# %%
check(sheet.effective_draws, effective_draws)

# %% [markdown]
# Log-normal weights, $w = e^{s \varepsilon}$, 1,000 draws. You should see that the number falls from 1,000 to a few as s grows to 4.

# %%
spreads = torch.linspace(0, 4, 41)
log_weights = spreads * torch.randn(1000, 1)  # the same noise for every s
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
axes.semilogy(
    spreads, effective_draws(log_weights), color=figures.BLUE, label="one set of draws"
)
axes.semilogy(
    spreads, 1000 * (-(spreads**2)).exp(), "--", color="black", label="n / (1 + Var(w) / E[w]²)"
)
axes.set(
    title="Unequal weights waste draws",
    xlabel="s, standard deviation of log w",
    ylabel="effective number",
)
axes.set_ylim(0.5, 1500)
axes.legend()
figure

# %% [markdown]
# **Think on.** For s above 2 the dashed line, which knows the true variance, lies below the other. Which one flatters, and why?
#
# <details><summary>Answer</summary>The draws flatter. They rarely hold one of the enormous weights that make the variance, so their
# squares add up to too little; the effective number of n draws is never below 1, whatever the variance is.</details>

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
# A linear-Gaussian model whose two columns of W, both of length 2, enclose an angle, with σ = 1, and the best diagonal q. You
# should see three gaps that start at that of the ELBO, k = 1. On these logarithmic axes that of 75° falls most steeply, that of
# 30° least. (Where the weights' variance is finite we add the error of the mean weight, which is 0 in expectation: it steadies.)


# %%
def two_columns(angle: float) -> LinearGaussian:  # in degrees
    columns = torch.tensor([[0.0, angle]]).deg2rad()
    weight = 2 * torch.cat([columns.cos(), columns.sin()])  # [observed, latent]
    return LinearGaussian(weight, torch.zeros(2), 1.0)


x = torch.tensor([[2.0, 1.0]])
counts = [2**i for i in range(8)]
gaps = {}
for angle in (75, 60, 30):
    model = two_columns(angle)
    q = mean_field_of_normal(model.posterior(x))
    z = q.sample((2**17,))  # [samples, batch, latent]
    log_joint = model.likelihood(z).log_prob(x) + model.prior().log_prob(z)
    truth, log_q = model.log_evidence(x), q.log_prob(z)
    steady = (log_joint - log_q - truth).exp().mean() - 1 if angle > 52 else 0.0
    gaps[f"{angle}°"] = [
        float(truth + steady - iwae_bound(log_joint, log_q, k)) for k in counts
    ]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
title = "More draws close the gap, but not at one pace"
figures.curves(axes, counts, gaps, title, "draws k", "log p(x) − bound, nats")
axes.set(xscale="log", yscale="log")
figure

# %% [markdown]
# ## · How fast the gap closes •••
#
# *20 minutes.* The mean of $k$ weights scatters around $p(x)$ with variance $\operatorname{Var}(w) / k$, and the logarithm is
# concave. Its second-order expansion gives the leading term of the gap for large $k$, **where the variance is finite** (Domke &
# Sheldon, arXiv:1808.09034, state what else it needs):
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
counts = [2**i for i in range(11)]
log_weights = torch.randn(2**20, 1) - 0.5
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
#
# <details><summary>Answer</summary>The precision matrix has 1 + 4 = 5 on the diagonal and 4 cos α off it. 4 cos α < 2.5 for α above 51°:
# finite at 75° and 60°, infinite at 30°. There predicted_gap grows, by jumps, as more samples bring larger weights, and converges
# to nothing: there is no 1/k law.</details>

# %% [markdown]
# ## · The variance when q lies beside the posterior •••
#
# *25 minutes.* The lecture integrates $p(z|x)^2 / q(z)$ for two normals with the same mean. Do it for one latent and different means,
# $p(z|x) = \mathcal N(\mu_p, \sigma_p^2)$ and $q = \mathcal N(\mu_q, \sigma_q^2)$:
#
# $$ \frac{\operatorname{Var}(w)}{p(x)^2} = \int \frac{p(z|x)^2}{q(z)}\, dz - 1 . $$
#
# `mean_p`, `std_p`, `mean_q`, `std_q`: `[batch]` each → `[batch]`, with `torch.inf` where the integral is infinite.
#
# <details><summary>Hint 1</summary>Put the origin at μ_p, and let d = μ_q − μ_p. The exponent is −z²/σ_p² + (z − d)²/(2σ_q²). Complete the
# square.</details>
# <details><summary>Hint 2</summary>The coefficient of −½ z² is Λ = 2/σ_p² − 1/σ_q² = (2σ_q² − σ_p²)/(σ_p² σ_q²). If it is positive, the
# square integrates to √(2π/Λ), and exp of ½ d²/σ_q² + ½ (d/σ_q²)²/Λ stays.</details>
# <details><summary>Hint 3</summary>What stays is exp(d² / (2σ_q² − σ_p²)), and the factor before it is
# σ_q² / (σ_p √(2σ_q² − σ_p²)).</details>


# %%
def relative_variance(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    rest = 2 * std_q**2 - std_p**2
    square = std_q**2 / (std_p * rest.sqrt()) * ((mean_p - mean_q) ** 2 / rest).exp()
    return torch.where(rest > 0, square - 1, torch.inf)
    ### END SOLUTION


# %%
check(sheet.relative_variance, relative_variance)

# %% [markdown]
# A posterior N(0, 1), and q with three means. You should see each curve fall from infinity, at σ = 0.71, to a lowest point and
# rise again (for mean 0 that point is 0, at σ = 1, below the frame). The further q lies off, the wider the best q.

# %%
stds = torch.linspace(0.6, 3, 241)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
one = torch.ones(241)
for off, style, colour in zip((0, 1, 2), ("-", "--", "-."), figures.COLOURS, strict=False):
    variance = relative_variance(0 * one, one, off * one, stds)
    axes.semilogy(
        stds,
        variance.where(variance.isfinite(), torch.nan),
        style,
        color=colour,
        label=f"mean of q {off}",
    )
axes.axvline(0.5**0.5, color="0.5", linewidth=1.5)
axes.set(
    title="A q that lies off must be wide",
    xlabel="σ of q",
    ylabel="Var(w) / p(x)²",
    ylim=(0.01, 1000),
)
axes.legend()
figure

# %% [markdown]
# ## · One number, two gradients •••
#
# *20 minutes.* To train a model by $\mathcal L_k$ one wants one number per example, to look at and to call `backward` on. Its value is the
# estimate of the bound, $\log \frac1k \sum_i w_i$. Its gradient is the plain one in the parameters $\theta$ of the model, and in those of
# $q$, $\varphi$, the doubly reparameterized one (Tucker et al., arXiv:1810.04152):
#
# $$ \sum_i \tilde w_i \, \nabla_\theta \log w_i, \qquad \sum_i \tilde w_i^2 \, \frac{\partial \log w_i}{\partial z_i}
#    \frac{\partial z_i}{\partial \varphi}, \qquad \tilde w_i = \frac{w_i}{\sum_j w_j} . $$
#
# The weights $\tilde w$ are numbers here: no gradient goes through them. The log weights come twice, with the same values and two graphs.
# In `log_w_model` the draws $z$ and all of $q$ are held: it leads to $\theta$ alone. In `log_w_path` $\theta$ is held, and so are the
# parameters of $q$ inside $\log q$: it leads through $z$ to $\varphi$ alone.
#
# `log_w_model`, `log_w_path`: `[samples, batch]`, $\log w$ → `[batch]`, in nats, with these gradients to both. It must be
# right where log weights are ±900 too, and where those of one example differ by thousands.
#
# <details><summary>Hint 1</summary>Which function of log w has the gradient Σ w̃ ∇ log w by itself? And what has the value 0, whatever t is,
# but the gradient of t?</details>
# <details><summary>Hint 2</summary>logsumexp, minus log k: it is the bound's estimate as well. For the path add something of value 0:
# <code>t - t.detach()</code>.</details>
# <details><summary>Hint 3</summary>With w̃ = <code>log_w_model.detach().softmax(0)</code>, what is added is the sum over the draws of
# <code>w̃**2 * (log_w_path - log_w_path.detach())</code>.</details>


# %%
def doubly_reparameterized(log_w_model: Tensor, log_w_path: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    bound = log_w_model.logsumexp(0) - log(len(log_w_model))
    share = log_w_model.detach().softmax(0)
    return bound + (share**2 * (log_w_path - log_w_path.detach())).sum(0)
    ### END SOLUTION


# %%
check(sheet.doubly_reparameterized, doubly_reparameterized)

# %% [markdown]
# (This picture uses the model of 75° of [[:iwae_bound]].) 4,000 single estimates of the gradient, with 64 draws each. $\varphi$ is
# the logarithm of a common factor on the widths of $q$, which is 1.5 times too wide, and $\theta$ that of a factor on W. You should
# see one mean for $\varphi$, as far as the plain estimates can tell; about a hundredth of their scatter in yours; and exactly the same
# gradients in $\theta$.

# %%
model = two_columns(75)
q = mean_field_of_normal(model.posterior(x))
centre, start_width = q.mean[0], 1.5 * q.stddev[0]


def log_w(theta: Tensor, z: Tensor, width: Tensor) -> Tensor:  # [k, n], up to a constant
    error = x[0] - theta.exp()[:, None] * (z @ model.weight.T)
    log_joint = -0.5 * error.square().sum(-1) - 0.5 * z.square().sum(-1)
    return log_joint + 0.5 * ((z - centre) / width).square().sum(-1) + width.log().sum(-1)


phi, theta = (torch.zeros(4000, requires_grad=True) for _ in range(2))
width = phi.exp()[:, None] * start_width
z = centre + width * torch.randn(64, 4000, 2)
plain = log_w(theta, z, width).logsumexp(0) - log(64)
yours = doubly_reparameterized(
    log_w(theta, z.detach(), width.detach()), log_w(theta.detach(), z, width.detach())
)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
for name, value, colour in (
    ("plain", plain, figures.VERMILION),
    ("yours", yours, figures.BLUE),
):
    of_phi, of_theta = torch.autograd.grad(value.sum(), (phi, theta), retain_graph=True)
    for letter, found in (("φ", of_phi), ("θ", of_theta)):
        print(f"{name}: gradient in {letter} {found.mean():.4f} ± {found.std():.4f}")
    axes.hist(of_phi, bins=torch.linspace(-0.8, 0.8, 161), color=colour, alpha=0.6, label=name)
axes.set(
    title="One mean, less scatter",
    xlabel="single estimates of the gradient in φ, nats",
    ylabel="how many of 4,000",
    yscale="log",
)
axes.legend()
figure

# %% [markdown]
# *Figure: two histograms of single estimates, with a logarithmic count. The plain ones spread from about −0.7 to 0.7; yours stand
# in a spike a little to the left of 0.*

# %% [markdown]
# **Think on.** The lecture calls $\sum_i \tilde w_i \log w_i$ a look-alike that is no bound. Why may $\sum_i \tilde w_i \nabla_\theta \log w_i$ train the
# model all the same?
#
# <details><summary>Answer</summary>With the weights held, its gradient is that of log Σ w, a bound's. The look-alike is wrong as a value, and, with weights
# that are not held, as a gradient.</details>
