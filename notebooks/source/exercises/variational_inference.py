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
# [[count]], from • (anybody who read the lecture) to ••• (takes thought); [[minutes]] minutes in all. You need
# not have run the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check
# tells you whether the answer is right, and if not, what is wrong.
#
# The checks call your function with tensors in float64, and in [[:kl_diagonal_normals]] follow its gradients: compute in torch throughout, and
# return a tensor, or a tuple of tensors where several results are asked for.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# Throughout, `std` stands for $\sigma$, a **standard deviation**, and `log_std` for $\log \sigma$.

# %%
from math import log

import torch
from torch import Tensor

from vae_course.exercises.engine import check
from vae_course.exercises.sheets import variational_inference as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()

# %% [markdown]
# ## · What the wrong code costs •
#
# *10 minutes.* The best code for symbols with probabilities $p$ gives symbol $i$ a word of $-\log_2 p_i$ bits (as if
# fractions of a bit could be sent). Draw the symbols from $q$ instead and keep that code: the mean length is
# $-\sum_i q_i \log_2 p_i$, while the right code would have needed $-\sum_i q_i \log_2 q_i$. The excess is a
# Kullback-Leibler divergence, in bits (Cover & Thomas, 2006, theorem 5.4.3):
#
# $$ \sum_i q_i \log_2 \frac{q_i}{p_i} = \frac{D_{KL}(q \,\|\, p)}{\log 2} . $$
#
# `q`, `p`: `[symbols]`, each sums to 1; entries of `q` may be 0 ($0 \log 0 = 0$), those of `p` are positive → a tensor
# without axes, in bits.
#
# <details><summary>Hint 1</summary>Which of the two distributions is in front of the logarithm, and which below the
# fraction bar?</details>
# <details><summary>Hint 2</summary>In floating point, 0 · log 0 is NaN. <code>torch.xlogy(a, b)</code> is a log b, and 0
# where a is 0.</details>
# <details><summary>Hint 3</summary><code>torch.xlogy(q, q) - torch.xlogy(q, p)</code>, summed, is in nats.</details>


# %%
def excess_code_length(q: Tensor, p: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    nats = (torch.xlogy(q, q) - torch.xlogy(q, p)).sum()
    return nats / log(2)
    ### END SOLUTION


# %%
check(sheet.excess_code_length, excess_code_length)

# %% [markdown]
# A coin falls heads with probability $q$; the code was built for $p$. You should see 0 only where $p = q$, and no bound to
# the cost where the code takes for impossible what happens.

# %%
shares = torch.linspace(0.002, 0.998, 400)
lines = {}
for heads in (0.5, 0.9):
    q = torch.tensor([heads, 1 - heads])
    lines[f"q = {heads:g}"] = [
        float(excess_code_length(q, torch.stack([p, 1 - p]))) for p in shares
    ]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
figures.curves(
    axes,
    shares,
    lines,
    "Only the right code costs nothing extra",
    "heads that the code expects, p",
    "excess bits per toss",
)
axes.set_ylim(0, 4)
figure

# %% [markdown]
# ## · KL between two diagonal normals ••
#
# *15 minutes.* For $q = \mathcal N(\mu_q, \operatorname{diag} \sigma_q^2)$ and
# $p = \mathcal N(\mu_p, \operatorname{diag} \sigma_p^2)$,
#
# $$ D_{KL}(q \,\|\, p) = \mathbb E_q[\log q(z) - \log p(z)]
#    = \sum_j \Bigl[ \log \sigma_{p,j} - \log \sigma_{q,j}
#      + \frac{\sigma_{q,j}^2 + (\mu_{q,j} - \mu_{p,j})^2}{2 \sigma_{p,j}^2} - \frac12 \Bigr] . $$
#
# (For $p = \mathcal N(0, I)$ it is the KL term of the VAE: Kingma & Welling, 2014, appendix B.)
#
# `mean_q`, `log_std_q`, `mean_p`, `log_std_p`: `[batch, latent]` → `[batch]`, in nats, with gradients to all four.
#
# <details><summary>Hint 1</summary>For q = p every latent must give exactly 0. Which axis is summed?</details>
# <details><summary>Hint 2</summary>σ² = exp(2 log σ). Both σ_q² and the squared distance are divided by
# 2 σ_p².</details>
# <details><summary>Hint 3</summary><code>((2 * log_std_q).exp() + (mean_q - mean_p) ** 2) / (2 * (2 *
# log_std_p).exp())</code>, and three more terms.</details>


# %%
def kl_diagonal_normals(
    mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    squares = (2 * log_std_q).exp() + (mean_q - mean_p) ** 2
    kl = log_std_p - log_std_q + squares / (2 * (2 * log_std_p).exp()) - 0.5
    return kl.sum(-1)
    ### END SOLUTION


# %%
check(sheet.kl_diagonal_normals, kl_diagonal_normals)

# %% [markdown]
# Let p and q have one mean. You should see two valleys that are steep on opposite sides: $D_{KL}(q\|p)$ punishes a q that
# is too wide, $D_{KL}(p\|q)$ one that is too narrow.

# %%
log_ratio = torch.linspace(-1.5, 1.5, 121)[:, None]
zero = torch.zeros_like(log_ratio)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
figures.curves(
    axes,
    log_ratio.exp()[:, 0],
    {
        "$D_{KL}(q\\,\\|\\,p)$": kl_diagonal_normals(zero, log_ratio, zero, zero),
        "$D_{KL}(p\\,\\|\\,q)$": kl_diagonal_normals(zero, zero, zero, log_ratio),
    },
    "The two directions punish opposite errors",
    "width of q by that of p, $\\sigma_q / \\sigma_p$",
    "nats",
)
axes.set_xscale("log", base=2)
figure

# %% [markdown]
# ## · Matching moments ••
#
# *15 minutes.* Which normal $q$ is closest to a density $p$? It depends on the direction. $D_{KL}(p \,\|\, q)$, the
# expectation over $p$, is smallest for the $q$ with the mean and the variance of $p$ (Bishop, 2006, section 10.7). Let $p$
# be a mixture of normals in one dimension, $p(z) = \sum_k \pi_k \mathcal N(z; \mu_k, \sigma_k^2)$. Then
#
# $$ \mu = \sum_k \pi_k \mu_k, \qquad \sigma^2 = \sum_k \pi_k (\sigma_k^2 + \mu_k^2) - \mu^2 . $$
#
# `weights`, `means`, `stds`: `[K]` → the mean and the standard deviation of $q$, two tensors without axes.
#
# <details><summary>Hint 1</summary>A mixture varies within its components and between them.</details>
# <details><summary>Hint 2</summary>σ_k² + μ_k² is the second moment of component k. Averages of moments are moments of the
# mixture; averages of standard deviations are nothing.</details>
# <details><summary>Hint 3</summary><code>weights @ (stds**2 + means**2) - mean**2</code> is the variance; return its
# root.</details>


# %%
def moment_match(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    mean = weights @ means
    variance = weights @ (stds**2 + means**2) - mean**2
    return mean, variance.sqrt()
    ### END SOLUTION


# %%
check(sheet.moment_match, moment_match)

# %% [markdown]
# Beside your normal stands the one with the smallest $D_{KL}(q\|p)$, found by trying many. You should see yours cover both
# modes, with much of its mass where p has little, and the other settle on the heavier mode.

# %%
weights = torch.tensor([0.65, 0.35])
means, stds = torch.tensor([-2.0, 2.5]), torch.tensor([0.7, 0.7])
z = torch.linspace(-8, 8, 801)
log_p = (
    weights.log() + torch.distributions.Normal(means, stds).log_prob(z[:, None])
).logsumexp(-1)
candidates = torch.cartesian_prod(torch.linspace(-4, 4, 81), torch.linspace(0.4, 4, 61))
log_q = torch.distributions.Normal(candidates[:, :1], candidates[:, 1:]).log_prob(z)
divergence = (log_q.exp() * (log_q - log_p)).sum(-1) * (z[1] - z[0])  # D_KL(q‖p) of each
best = candidates[divergence.argmin()]

covering = torch.distributions.Normal(*moment_match(weights, means, stds)).log_prob(z).exp()
settled = torch.distributions.Normal(*best).log_prob(z).exp()
lines = {
    "smallest $D_{KL}(p\\,\\|\\,q)$: yours": covering,
    "smallest $D_{KL}(q\\,\\|\\,p)$": settled,
}
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.fill_between(z, log_p.exp(), color=figures.BLACK, alpha=0.15, label="p")
figures.curves(
    axes, z, lines, "One direction covers both modes, the other settles on one", "z", "density"
)
figure

# %% [markdown]
# ## · The mean field of a normal ••
#
# *15 minutes.* Mean-field inference looks for the smallest $D_{KL}(q \,\|\, p)$ among **factorised** densities
# $q(z) = \prod_i q_i(z_i)$. For $p = \mathcal N(\mu, \Sigma)$ with the precision $\Lambda = \Sigma^{-1}$, every factor is
# normal (Bishop, 2006, section 10.1.2):
#
# $$ q_i = \mathcal N(m_i, s_i^2), \qquad m_i = \mu_i, \qquad s_i = \Lambda_{ii}^{-1/2} . $$
#
# $1 / \Lambda_{ii}$ is the variance of $z_i$ **given all others**, never larger than its variance $\Sigma_{ii}$.
#
# `mean`: $\mu$, `[d]`, `covariance`: $\Sigma$, `[d, d]` → the means `[d]` and the standard deviations $s$ `[d]`.
#
# <details><summary>Hint 1</summary>For a diagonal Σ the answer is the square root of its diagonal. For no other.</details>
# <details><summary>Hint 2</summary>Invert the whole matrix first; take the diagonal afterwards.</details>
# <details><summary>Hint 3</summary><code>torch.linalg.inv(covariance).diagonal()</code> holds precisions; a standard
# deviation is 1 over the root of a precision.</details>


# %%
def mean_field_of_normal(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    precisions = torch.linalg.inv(covariance).diagonal()
    return mean, precisions.rsqrt()
    ### END SOLUTION


# %%
check(sheet.mean_field_of_normal, mean_field_of_normal)

# %% [markdown]
# You should see a circle that meets the ellipse where the axes through its centre do: the stronger the correlation, the
# less of p's spread is left to q.


# %%
def ellipse(mean: Tensor, covariance: Tensor) -> Tensor:  # two standard deviations: [2, 200]
    angle = torch.linspace(0, 2 * torch.pi, 200)
    circle = torch.stack([angle.cos(), angle.sin()])
    return mean[:, None] + 2 * torch.linalg.cholesky(covariance) @ circle


mean = torch.zeros(2)
figure, panels = figures.subplots(1, 3, figsize=(13, 4.6))
for axes, correlation in zip(panels, (0.0, 0.7, 0.95), strict=True):
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]])
    m, s = mean_field_of_normal(mean, covariance)
    axes.plot(*ellipse(mean, covariance), color=figures.BLUE, label="p")
    axes.plot(*ellipse(m, torch.diag(s**2)), "--", color=figures.VERMILION, label="q")
    axes.set(
        title=f"correlation {correlation:g}: s = {s[0]:.2f} σ",
        xlabel="$z_1$",
        ylabel="$z_2$",
        aspect="equal",
    )
panels[0].legend(loc="center")
figure

# %% [markdown]
# ## · Coordinate ascent •••
#
# *20 minutes.* Where no closed form gives all factors at once, improve one at a time, the others held fixed: coordinate
# ascent on the bound. For the normal of [[:mean_field_of_normal]] the best mean of factor $i$ is (Bishop, 2006, section 10.1.2)
#
# $$ m_i = \mu_i - \frac1{\Lambda_{ii}} \sum_{j \ne i} \Lambda_{ij} (m_j - \mu_j) . $$
#
# Make **one sweep**: update $i = 0, 1, \dots, d - 1$ in this order, each with the **newest** values of the others. Do not
# change `start` itself.
#
# `mean`: $\mu$, `[d]`, `precision`: $\Lambda$, `[d, d]`, `start`: the means $m$ before the sweep, `[d]` → those after it,
# `[d]`.
#
# <details><summary>Hint 1</summary>Work on a copy, <code>m = start.clone()</code>. Which entries of m has the loop changed
# when it comes to i?</details>
# <details><summary>Hint 2</summary>Sum over all j as one product, <code>precision[i] @ (m - mean)</code>; then take off the
# term of j = i.</details>
# <details><summary>Hint 3</summary>The term of j = i is <code>precision[i, i] * (m[i] - mean[i])</code>. Write each result
# into m before the loop goes on.</details>


# %%
def coordinate_ascent_sweep(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    m = start.clone()
    for i in range(len(m)):
        pull = precision[i] @ (m - mean) - precision[i, i] * (m[i] - mean[i])
        m[i] = mean[i] - pull / precision[i, i]
    return m
    ### END SOLUTION


# %%
check(sheet.coordinate_ascent_sweep, coordinate_ascent_sweep)

# %% [markdown]
# You should see a staircase down the valley: each step is parallel to an axis, the first of them long, the others ever
# shorter. The stronger the correlation, the more sweeps it takes.

# %%
figure, panels = figures.subplots(1, 2, figsize=(13, 5.5))
for axes, correlation in zip(panels, (0.7, 0.95), strict=True):
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]])
    precision, m = torch.linalg.inv(covariance), torch.tensor([-1.0, 2.3])
    corners = [m]
    while m.norm() > 0.05 and len(corners) < 200:
        new = coordinate_ascent_sweep(mean, precision, m)
        corners += [
            torch.stack([new[0], m[1]]),
            new,
        ]  # the first coordinate moves, then the second
        m = new
    for radius in (0.5, 1.0, 1.5):
        axes.plot(*ellipse(mean, radius**2 * covariance), color=figures.SKY, linewidth=1)
    axes.plot(*torch.stack(corners).T, "o-", color=figures.VERMILION, markersize=5)
    axes.set(
        title=f"correlation {correlation:g}: {len(corners) // 2} sweeps to within 0.05",
        xlabel="$m_1$",
        ylabel="$m_2$",
        aspect="equal",
    )
figure

# %% [markdown]
# **Think on.** Each sweep after the first moves $m_2$ towards $\mu_2$ by a fixed factor. Which one, in terms of the correlation $\rho$? Would
# updating both coordinates at once, from the old values, be faster or slower? And with three coordinates?
#
# <details><summary>Answer</summary>A sweep multiplies the distance by (−Λ₁₂/Λ₁₁)(−Λ₁₂/Λ₂₂) = ρ². Updating both at once
# exchanges the two distances, times −Λ₁₂/Λ₁₁ and −Λ₁₂/Λ₂₂: two such updates multiply each by ρ², so one of them does
# by |ρ| what a sweep does by ρ², and twice as many are needed. With three coordinates it need not even end: for
# Λ_ii = 1 and Λ_ij = 0.6 the vector (1, 1, 1) is multiplied by −2 · 0.6 = −1.2 at each such update, while sweeps never raise
# the divergence.</details>

# %% [markdown]
# ## · A mean and a precision •••
#
# *25 minutes.* A normal whose mean $\mu$ and precision $\tau = 1 / \sigma^2$ are both unknown (Bishop, 2006, section 10.1.3):
#
# $$ \tau \sim \text{Gamma}(a_0, b_0), \qquad \mu \mid \tau \sim \mathcal N\bigl(\mu_0, (\lambda_0 \tau)^{-1}\bigr), \qquad
#    x_1, \dots, x_n \mid \mu, \tau \sim \mathcal N(\mu, \tau^{-1}) , $$
#
# with $\log \text{Gamma}(\tau; a, b) = (a - 1) \log \tau - b\, \tau + \text{const}$ and mean $a / b$. Let
# $q(\mu, \tau) = q(\mu)\, q(\tau)$. Derive both updates from $\log q_i = \mathbb E_{q_{-i}}[\log p] + \text{const}$; $q(\mu)$ comes out
# normal, $\mathcal N(m, v)$, $q(\tau)$ comes out as $\text{Gamma}(a, b)$. Then make one sweep: $q(\mu)$ first, from the given
# $\mathbb E[\tau]$, then $q(\tau)$ with the new $q(\mu)$.
#
# `x`: `[n]`; `mu_0`, `lambda_0`, `a_0`, `b_0`, and `precision`, which is $\mathbb E[\tau]$ before the sweep: tensors without axes
# → $m$, $v$ (a variance), $a$, $b$, four tensors without axes.
#
# <details><summary>Hint 1</summary>Write log p(x, μ, τ) and mark what holds μ, then what holds log τ (how many halves of it
# are there?), then what holds τ.</details>
# <details><summary>Hint 2</summary>As a function of μ it is −E[τ]/2 · (Σ (x_i − μ)² + λ₀ (μ − μ₀)²): μ₀ is like λ₀ more
# points. The density of μ given τ holds √τ, as each point's does.</details>
# <details><summary>Hint 3</summary>b is b₀ plus half the expectation of the bracket of hint 2, and E[(x_i − μ)²] =
# (x_i − m)² + v.</details>


# %%
def mean_and_precision_sweep(
    x: Tensor, mu_0: Tensor, lambda_0: Tensor, a_0: Tensor, b_0: Tensor, precision: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    n = len(x)
    m = (lambda_0 * mu_0 + x.sum()) / (lambda_0 + n)
    v = 1 / ((lambda_0 + n) * precision)
    squares = ((x - m) ** 2 + v).sum() + lambda_0 * ((m - mu_0) ** 2 + v)
    return m, v, a_0 + (n + 1) / 2, b_0 + squares / 2
    ### END SOLUTION


# %%
check(sheet.mean_and_precision_sweep, mean_and_precision_sweep)

# %% [markdown]
# Here the posterior is known: $\tau$ has the density $\text{Gamma}(a_n, b_n)$ with $a_n = a_0 + \frac n2$. You should see
# $\mathbb E[\tau]$ settle on the posterior's own mean from both starts: the mean is exact, as for a normal target. The variances are too
# small: that of $\mu$ by the factor $(a_n - 1) / a_n$, that of $\tau$ by $a_n / (a_n + \frac12)$.

# %%
n, draws = 8, 2 + 0.5 * torch.randn(8, dtype=torch.float64)
prior = [torch.tensor(one, dtype=torch.float64) for one in (0.0, 0.1, 1.0, 1.0)]
mu_0, lambda_0, a_0, b_0 = prior
lines = {}
for begin in (0.1, 10.0):
    path = [torch.tensor(begin, dtype=torch.float64)]
    for _ in range(7):
        m, v, a, b = mean_and_precision_sweep(draws, *prior, path[-1])
        path.append(a / b)
    lines[f"from {begin:g}"] = torch.stack(path)
about = draws - draws.mean()
b_n = b_0 + (about @ about + lambda_0 * n * (draws.mean() - mu_0) ** 2 / (lambda_0 + n)) / 2
lines["of the posterior"] = ((a_0 + n / 2) / b_n).expand(8)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
figures.curves(
    axes, range(8), lines, "Both starts settle on the posterior's mean", "sweep", "mean of τ"
)
axes.set_yscale("log")
figure

# %% [markdown]
# **Think on.** Where the sweeps rest, $v = \frac{b}{a (\lambda_0 + n)}$. Why is $\frac ab$ exact there?
#
# <details><summary>Answer</summary>In b the terms with v add up to (λ₀ + n) v / 2 = b / (2a). So b (1 − 1/(2a)) = b_n, and
# a − ½ = a_n: dividing, a / b = a_n / b_n. For the same reason v = b_n / (a_n (λ₀ + n)), where the posterior's variance
# of μ is b_n / ((a_n − 1) (λ₀ + n)): q(μ) does not know that τ is uncertain.</details>
