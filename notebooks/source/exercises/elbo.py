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
# The checks call your function with tensors in float64 and follow its gradients: compute in torch throughout. Every result is a torch
# tensor.
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
# ## · A bound from above ••
#
# *15 minutes.* The ELBO is the mean of $\log w = \log p(x, z) - \log q(z)$ under $q$. Take the mean of the same $\log w$ under
# the **posterior** instead, where the latent has $K$ states:
#
# $$ \mathcal U = \sum_z p(z|x) \bigl[ \log p(x, z) - \log q(z) \bigr] . $$
#
# Before you write it, show by the second derivation of the lecture on which side of $\log p(x)$ it lies, and by how much.
#
# `log_joint`: `[batch, K]`, $\log p(x, z)$, **not** normalised; `log_q`: `[batch, K]`, logarithms of probabilities, all above 0 →
# `[batch]`, in nats, with a gradient to `log_joint`. Log-joints may lie at ±900.
#
# <details><summary>Hint 1</summary>What does p(x, z) lack to be p(z|x)? Which function of torch divides by it without
# overflow?</details>
# <details><summary>Hint 2</summary>In the bracket write log p(x, z) = log p(x) + log p(z|x). What is the mean of each term
# under p(z|x)?</details>
# <details><summary>Hint 3</summary><code>log_joint.softmax(-1)</code> is p(z|x). 𝓤 = log p(x) + KL(p(z|x) ‖ q).</details>


# %%
def evidence_upper_bound(log_joint: Tensor, log_q: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    posterior = log_joint.softmax(-1)
    return (posterior * (log_joint - log_q)).sum(-1)
    ### END SOLUTION


# %%
check(sheet.evidence_upper_bound, evidence_upper_bound)

# %% [markdown]
# The two states again, and every q but the two that rule a state out. You should see log p(x) between an arch and a bowl, which
# touch it at the same q.

# %%
inside = second[1:-1]
log_q = torch.stack([1 - inside, inside], dim=-1).log()
above = evidence_upper_bound(joint.log().expand(199, 2), log_q)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
axes.plot(inside, above, "-.", color=figures.PURPLE, label="bound from above")
axes.plot(second, bound, color=figures.BLUE, label="ELBO")
axes.axhline(joint.sum().log(), color=figures.VERMILION, linestyle="--", label="log p(x)")
axes.set(title="Both bounds touch log p(x) at the posterior", xlabel="q(z = 1)", ylabel="nats")
axes.legend()
figure

# %% [markdown]
# **Think on.** Why does nobody train on $\mathcal U$?
#
# <details><summary>Answer</summary>Its mean is over the posterior, which is what one lacks. Where draws from the posterior can be
# had, by simulating z and x from the model, 𝓤 measures from above how far off a method for log p(x) is.</details>

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
# latents, which no diagonal q can follow. You should see that even the best one loses the more nats, the smaller the angle, and that at 90° it loses none.


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
