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
# The checks call your function with tensors in float64, and in [[:normal_log_likelihood]] follow its gradients. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All logarithms are natural, unless a unit is bits. `log_std` is $\log \sigma$, the logarithm of the **standard deviation**.

# %%
from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from vae_course.data.batches import Batches
from vae_course.data.images import digits_8x8, split
from vae_course.distributions.families import diagonal_normal
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import likelihoods_and_evaluation as sheet
from vae_course.models.vae import VAE, mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = split(digits_8x8(), held_out=300)  # grey pictures of 8×8 pixels, in [0, 1]
x = train.images

# %% [markdown]
# ## · One σ for all pixels •
#
# *10 minutes.* For grey pictures take $p_\theta(x \mid z) = \mathcal N(\mu, \sigma^2 I)$: the decoder gives the mean $\mu$ of
# every pixel, and one number $\sigma$, learned like any weight, is shared by all pixels of all pictures (Rybkin,
# Daniilidis & Levine, arXiv:2006.13202). Write, with the sum over all pixels of a picture,
#
# $$ \log p(x \mid z) = \sum_i \Bigl[ -\frac{(x_i - \mu_i)^2}{2 \sigma^2} - \log \sigma - \tfrac12 \log 2\pi \Bigr]. $$
#
# `x`, `mean`: `[batch, channels, height, width]`; `log_std`, $\log \sigma$: a tensor without axes, from −13 to 7 → `[batch]`,
# in nats, with gradients to the mean and to $\log \sigma$. σ may be as small as 2 · 10⁻⁶, where a small number beside it, or a
# bound for it, changes the result. The mean need not lie in [0, 1].
#
# <details><summary>Hint 1</summary>How many of the three terms stand once per pixel?</details>
# <details><summary>Hint 2</summary>All three. Compute one number per pixel first; log_std broadcasts over them.</details>
# <details><summary>Hint 3</summary>
# <code>-0.5 * ((x - mean) / log_std.exp()) ** 2 - log_std - 0.5 * log(2 * pi)</code>, summed over the last three
# axes.</details>


# %%
def normal_log_likelihood(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    per_pixel = -0.5 * ((x - mean) / log_std.exp()) ** 2 - log_std - 0.5 * log(2 * pi)
    return per_pixel.sum((1, 2, 3))
    ### END SOLUTION


# %%
check(sheet.normal_log_likelihood, normal_log_likelihood)

# %% [markdown]
# Train a VAE with your likelihood for some seconds. You should see σ follow the root mean squared error of the
# reconstructions down, from where it was started: that is the σ of the greatest likelihood.


# %%
def trained(vae: VAE, log_std: nn.Parameter, epochs: int) -> list[tuple[float, float]]:
    vae.register_parameter("log_std", log_std)  # so that the optimizer moves it

    def loss(x: Tensor) -> Tensor:  # minus the ELBO, [batch] nats
        q = vae.posterior(x)
        log_likelihood = normal_log_likelihood(x, vae.decoder(q.rsample()), log_std)
        return kl_divergence(q, vae.prior()) - log_likelihood

    def watch() -> dict[str, float]:
        seen = x[:300]
        error = vae.decoder(vae.posterior(seen).sample()) - seen
        return {"σ": float(log_std.exp()), "error": float(error.square().mean().sqrt())}

    batches = Batches(x, size=150)
    player = adam_player(loss, vae, 1e-2)
    history = fit([player], batches, epochs, watch)
    return list(zip(history["σ"], history["error"], strict=True))


vae = mlp_vae(train.shape, hidden=(128,), latent=16)
path = torch.tensor(
    trained(vae, nn.Parameter(torch.tensor(-0.5)), epochs=run.epochs(laptop=60))
)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    range(1, len(path) + 1),
    {"σ, learned": path[:, 0].tolist(), "root mean squared error": path[:, 1].tolist()},
    "A learned σ becomes the error of a pixel",
    "epoch",
    "grey levels, of [0, 1]",
)
axes.set_yscale("log")
figure

# %% [markdown]
# ## · Bits per dimension •
#
# *10 minutes.* A picture on disk is $D$ whole numbers $k_i \in \{0, \dots, L - 1\}$. Add uniform noise, $x = (k + u) / L$
# with $u \in [0, 1)^D$, and a *density* $p(x)$ becomes comparable with a probability of grey levels: the cell of $k$ has the
# volume $L^{-D}$, so
#
# $$ -\frac{1}{D} \log_2 P(k) \;\le\; \mathbb E_u[b], \qquad b = -\frac{\log p(x) - D \log L}{D \log 2}, $$
#
# where $P(k)$ is the probability that the density gives to the cell (Theis, van den Oord & Bethge, arXiv:1511.01844,
# section 3.1). Write $b$.
#
# `log_p`: `[batch]`, $\log p(x)$ in nats; `dimensions`, $D$, channels included, and `levels`, $L$: whole numbers →
# `[batch]`, in bits per dimension; fewer than 0 where the density is high. A family that gives probabilities of grey levels
# needs no cell: for it one passes `levels=1`.
#
# <details><summary>Hint 1</summary>The density that is 1 on [0, 1]<sup>D</sup> has log p = 0 there. How many bits does it
# take to store one of 256 equally probable levels?</details>
# <details><summary>Hint 2</summary>Three steps: subtract D log L, change the sign, and change nats per picture into bits per
# dimension.</details>
# <details><summary>Hint 3</summary><code>-(log_p - dimensions * log(levels))</code>, divided by two things. A nat is
# 1 / log 2 = 1.44 bits.</details>


# %%
def bits_per_dimension(log_p: Tensor, dimensions: int, levels: int) -> Tensor:
    ### BEGIN SOLUTION
    return -(log_p - dimensions * log(levels)) / (dimensions * log(2))
    ### END SOLUTION


# %%
check(sheet.bits_per_dimension, bits_per_dimension)

# %% [markdown]
# One pixel of 256 levels, its density a normal one with the mean in the middle of a level. You should see your bound
# above the exact figure, and both together where σ is wider than a level.

# %%
levels = torch.arange(256, dtype=torch.float64)
u = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000  # noise, evenly spread
widths = torch.logspace(-0.7, 1.5, 40, dtype=torch.float64)  # σ, in levels
bound, exact = [], []
for width in widths:
    density = Normal(torch.tensor(128.5 / 256, dtype=torch.float64), width / 256)
    cell = density.cdf((levels + 1) / 256) - density.cdf(levels / 256)  # P(k)
    noisy = (levels[:, None] + u) / 256  # [levels, noise]
    bits = bits_per_dimension(density.log_prob(noisy).flatten(), 1, 256).reshape(256, -1)
    bound.append(float(cell @ bits.mean(1)))
    exact.append(float(-torch.xlogy(cell, cell).sum() / log(2)))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    widths.tolist(),
    {"bound, from the noisy pixel": bound, "exact, from P(k)": exact},
    "Noise costs bits where the density is narrower than a level",
    "σ of the density, levels",
    "bits per dimension",
)
axes.set_xscale("log")
figure

# %% [markdown]
# ## · Active units ••
#
# *15 minutes.* At an optimum of the ELBO, a latent that the decoder does not use has $q_\phi(z_j \mid x) \approx p(z_j)$ for
# every $x$: its posterior mean hardly varies. Call unit $j$ **active** if
#
# $$ \operatorname{Var}_x \bigl( \mathbb E_{q_\phi(z|x)}[z_j] \bigr) > \text{threshold} $$
#
# (Burda, Grosse & Salakhutdinov, arXiv:1509.00519, section 5.2, with the threshold 0.01). A unit whose mean is large but
# the same for all $x$ tells nothing about $x$, and is not active.
#
# `means`: `[n, latent]`, the posterior mean of each of n examples, $n \ge 2$; `threshold`: a number, 0 or more → `[latent]`,
# of bool. A variance equal to the threshold is not above it: at threshold 0 a unit that never moves is not active. Whether
# you divide by n or by n − 1 is no matter here.
#
# <details><summary>Hint 1</summary>Two axes, examples and latents: over which does x vary?</details>
# <details><summary>Hint 2</summary>The variance is the mean of the squared deviations from each unit's own mean. Torch has
# a method for it, which takes an axis.</details>
# <details><summary>Hint 3</summary><code>means.var(0)</code> is [latent]; a comparison of a tensor with a number gives
# bools.</details>


# %%
def active_units(means: Tensor, threshold: float) -> Tensor:
    ### BEGIN SOLUTION
    return means.var(0) > threshold
    ### END SOLUTION


# %%
check(sheet.active_units, active_units)

# %% [markdown]
# A squared error, with its ½, plus the KL is the loss of a normal likelihood with **σ = 1**, up to a constant. Train that,
# and σ = 0.5, beside your VAE of [[:normal_log_likelihood]]. You should see no active unit at σ = 1, a few at 0.5, and most or all where σ was
# learned: the σ that nobody chose decides how much a code may say.

# %%
models = {"σ learned": vae}
for std in (0.5, 1.0):
    fixed = nn.Parameter(torch.tensor(log(std)), requires_grad=False)
    models[f"σ = {std:g}"] = mlp_vae(train.shape, hidden=(128,), latent=16)
    trained(models[f"σ = {std:g}"], fixed, epochs=run.epochs(laptop=60))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
for (name, model), colour in zip(models.items(), figures.COLOURS, strict=False):
    with torch.no_grad():
        means = model.posterior(held_out.images).mean
    count = int(active_units(means, 0.01).sum())
    variances = means.var(0).sort(descending=True).values
    label = f"{name}: {count} active"
    axes.plot(range(1, 17), variances, "o-", linewidth=1, color=colour, label=label)
axes.axhline(0.01, color=figures.BLACK, linestyle="--", label="threshold")
axes.set(
    title="The larger σ, the fewer units are active",
    xlabel="unit, in order of its variance",
    ylabel="variance over x of E[z | x]",
    yscale="log",
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# ## · log p(x), in chunks •••
#
# *20 minutes.* With draws $z_s \sim q_\phi(z \mid x)$ and weights $w_s = p_\theta(x, z_s) / q_\phi(z_s \mid x)$, estimate
#
# $$ \log p_\theta(x) \approx \log \frac1S \sum_{s=1}^S w_s $$
#
# (Burda, Grosse & Salakhutdinov, arXiv:1509.00519, eq. 8). It takes thousands of draws, which do not fit into memory at once: go
# through them in chunks, and keep only what the sum needs.
#
# `draw`: a function; `draw(k)` returns $\log w$ of `k` fresh draws, `[k, batch]`, and fails if `k` is more than `chunk`;
# `samples`, $S$, and `chunk`: whole numbers, the second not always a divisor of the first, and sometimes larger → `[batch]`, in
# nats. Use exactly `samples` draws. It must be right where log weights lie near −1100 or 900, and where one chunk lies far from the next.
#
# <details><summary>Hint 1</summary>A sum over all draws is a sum of the sums of the chunks. How is a sum of two numbers
# formed when only their logarithms are known?</details>
# <details><summary>Hint 2</summary><code>torch.logaddexp(a, b)</code> is log(eᵃ + eᵇ). A chunk gives
# <code>draw(k).logsumexp(0)</code>. When is the number of samples divided out, and how often?</details>
# <details><summary>Hint 3</summary>For <code>done in range(0, samples, chunk)</code> draw
# <code>min(chunk, samples - done)</code>. A sum that has not begun is 0, and its logarithm −∞.</details>


# %%
def log_evidence_in_chunks(draw: Callable[[int], Tensor], samples: int, chunk: int) -> Tensor:
    ### BEGIN SOLUTION
    log_sum = torch.tensor(-torch.inf)
    for done in range(0, samples, chunk):
        log_weights = draw(min(chunk, samples - done))  # [k, batch]
        log_sum = torch.logaddexp(log_sum, log_weights.logsumexp(0))
    return log_sum - log(samples)
    ### END SOLUTION


# %%
check(sheet.log_evidence_in_chunks, log_evidence_in_chunks)

# %% [markdown]
# A model whose $p(x)$ is known: $p(z) = \mathcal N(0, I)$ and $p(x \mid z) = \mathcal N(z, 0.5^2 I)$ in 20 dimensions, with a
# $q$ that is a little off. You should see your estimate rise to the truth, while a mean over the bounds of chunks of 16
# draws stays where one chunk is.

# %%
z = torch.randn(200, 20)
data = z + 0.5 * torch.randn(200, 20)  # [batch, 20]
truth = float(diagonal_normal(torch.zeros(20), 1.25**0.5).log_prob(data).mean())
q = diagonal_normal(0.8 * data - 0.2, 0.55)  # exact: mean 0.8 x, standard deviation 0.447


def draw(k: int) -> Tensor:
    z = q.sample((k,))  # [k, batch, 20]
    log_joint = diagonal_normal(torch.zeros(20), 1.0).log_prob(z)
    return log_joint + diagonal_normal(z, 0.5).log_prob(data) - q.log_prob(z)


counts = [16 * 2**i for i in range(8)]
estimate = [float(log_evidence_in_chunks(draw, count, 16).mean()) for count in counts]
of_chunks = [
    float(torch.stack([log_evidence_in_chunks(draw, 16, 16) for _ in range(n // 16)]).mean())
    for n in counts
]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    counts,
    {
        "your estimate": estimate,
        "mean of the chunks' bounds": of_chunks,
        "log p(x)": [truth] * len(counts),
    },
    "Add up weights, not their logarithms",
    "samples",
    "nats per example",
)
axes.set_xscale("log", base=2)
figure

# %% [markdown]
# ## · The β of a loss •••
#
# *20 minutes.* Beside a likelihood, the loss of a VAE has two parts: the **distortion** $d = -\log p_\theta(x \mid z)$ and the
# **rate** $r = D_{KL}(q_\phi(z \mid x) \,\|\, p(z))$. Code in print takes a sum here and a mean there, and drops a ½. How does it
# weigh the two? Evaluate the loss and both parts on n probes, fit
#
# $$ \text{loss} \approx a\, d + b\, r + c $$
#
# by least squares, and return $\beta = b / a$: up to a factor and a constant, the loss is $d + \beta\, r$, that of a β-VAE
# (Higgins et al., 2017). Return as well how badly that describes it, the **residual**: the standard deviation of what the fit
# leaves over that of the loss. Whether the two standard deviations divide by n or by n − 1 is free, but it must be the same in
# both. In a check β may be negative.
#
# `loss`, `distortion`, `rate`: `[n]` → β and the residual, two tensors without axes.
#
# <details><summary>Hint 1</summary>Three unknowns, n equations: what are the columns of the matrix, and what does c need for
# its column?</details>
# <details><summary>Hint 2</summary><code>torch.linalg.lstsq(design, loss[:, None]).solution</code>, with <code>design</code>
# [n, 3], is [3, 1]: take its column before you go on, or [n] minus [n, 1] becomes [n, n].</details>
# <details><summary>Hint 3</summary><code>design = torch.stack([distortion, rate, torch.ones_like(rate)], 1)</code>; what is
# left is <code>loss - design @ weights</code> with the weights [3].</details>


# %%
def effective_beta(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    design = torch.stack([distortion, rate, torch.ones_like(rate)], 1)  # [n, 3]
    weights = torch.linalg.lstsq(design, loss[:, None]).solution[:, 0]
    left = loss - design @ weights
    return weights[1] / weights[0], left.std() / loss.std()
    ### END SOLUTION


# %%
check(sheet.effective_beta, effective_beta)

# %% [markdown]
# Five losses of the VAE of [[:normal_log_likelihood]], which has 64 pixels and 16 latents, beside the likelihood with σ = 1. Only the first has the
# β that it seems to have: you should see values from 0.2 to 32. The sixth, of absolute errors, has no β beside this
# likelihood: its residual says so.

# %%
with torch.no_grad():
    posterior = vae.posterior(held_out.images)
    mean = vae.decoder(posterior.sample()).double()
    rate = kl_divergence(posterior, vae.prior()).double()
pixels = held_out.images.double()
square = (pixels - mean).square().sum((1, 2, 3))
distortion = -normal_log_likelihood(pixels, mean, torch.zeros(()))
losses = {
    "½ sum of squares + KL": 0.5 * square + rate,
    "sum of squares + KL": square + rate,
    "mean of squares + KL": square / 64 + rate,
    "mean of squares + mean KL": square / 64 + rate / 16,
    "mean of squares + 0.1 · mean KL": square / 64 + 0.1 * rate / 16,
    "sum of absolute errors + KL": (pixels - mean).abs().sum((1, 2, 3)) + rate,
}
betas = {}
for name, loss in losses.items():
    beta, residual = effective_beta(loss, distortion, rate)
    print(f"{name:32} β = {beta:5.3g}, residual {residual:.1e}")
    if residual < 1e-4:
        betas[name] = float(beta)
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 3.5))
figures.bars(axes, betas, "Five losses, five values of β", "effective β", log=True)
figure

# %% [markdown]
# **Think on.** The VAE of [[:normal_log_likelihood]] was trained on its own $-\log p(x \mid z)$ with the learned σ, plus the KL. What is the β of
# that loss beside the likelihood with σ = 1, and what beside its own? So is a large β another objective, or a statement about
# the noise?
