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
# The checks call your function with tensors in float64, and in [[:normal_log_likelihood]] follow its gradients; so they do in [[:level_probability]] and [[:free_bits]]. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All logarithms are natural, unless a unit is bits. `log_std` is $\log \sigma$, the logarithm of the **standard deviation**.

# %%
from math import log, pi

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from vae_course.data.batches import Batches
from vae_course.data.images import digits_8x8, split
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import likelihoods as sheet
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
# ## · A probability for each grey level ••
#
# *20 minutes.* Grey pixels take one of $L$ levels, $0, \tfrac{1}{L-1}, \dots, 1$, at the distance $2h = \tfrac{1}{L-1}$. A
# logistic density with location $\mu$ and scale $s$ has the distribution function $S\bigl(\tfrac{x - \mu}{s}\bigr)$,
# $S(v) = 1 / (1 + e^{-v})$. Give each level the mass between its edges, and the two end levels all that lies beyond them too
# (Kingma et al., arXiv:1606.04934; Salimans et al., arXiv:1701.05517):
#
# $$ P(x) = S\Bigl(\frac{x + h - \mu}{s}\Bigr) - S\Bigl(\frac{x - h - \mu}{s}\Bigr), \qquad
#    P(0) = S\Bigl(\frac{h - \mu}{s}\Bigr), \qquad P(1) = 1 - S\Bigl(\frac{1 - h - \mu}{s}\Bigr) . $$
#
# Write $\log P(x)$. `x`, `location`, `log_scale`, $\log s$: `[batch, pixels]`, `x` of grey levels; `levels`, $L$: a whole number
# → `[batch, pixels]`, in nats, with gradients to both parameters. The location need not lie in [0, 1]. It must be right where
# $P$ rounds to 0, as $s$ may be as small as 0.002.
#
# <details><summary>Hint 1</summary>For two levels, both are end levels, and the probabilities sum to 1. Which edge do they
# share?</details>
# <details><summary>Hint 2</summary>With a = (x + h − μ)/s and b = (x − h − μ)/s: S(a) − S(b) = S(a) · S(−b) · (1 − e<sup>b − a</sup>).
# Check it with S(v) = 1 / (1 + e<sup>−v</sup>).</details>
# <details><summary>Hint 3</summary><code>logsigmoid(a) + logsigmoid(-b) + torch.log(-torch.expm1(b - a))</code> inside; one of the
# three terms alone at each end, chosen by <code>torch.where</code>.</details>


# %%
def level_probability(x: Tensor, location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    ### BEGIN SOLUTION
    h = 0.5 / (levels - 1)
    scale = log_scale.exp()
    a, b = (x + h - location) / scale, (x - h - location) / scale
    up_to = nn.functional.logsigmoid(a)  # log of all the mass up to this level
    from_here = nn.functional.logsigmoid(-b)  # and from this level on
    inside = up_to + from_here + torch.log(-torch.expm1(b - a))
    return torch.where(x < h, up_to, torch.where(x > 1 - h, from_here, inside))
    ### END SOLUTION


# %%
check(sheet.level_probability, level_probability)

# %% [markdown]
# Sixteen levels under three locations. You should see bells cut into steps, and the mass that would lie outside heaped on the
# end level.

# %%
figure, axes = figures.subplots(1, 3, figsize=(13, 3.6))
levels = torch.linspace(0, 1, 16)[None]
for axis, location in zip(axes, (0.5, 0.05, 1.2), strict=True):
    parameters = torch.full_like(levels, location), torch.full_like(levels, -2.5)
    axis.bar(
        levels[0],
        level_probability(levels, *parameters, 16)[0].exp(),
        width=0.055,
        color=figures.BLUE,
    )
    axis.set(title=f"μ = {location:g}", xlabel="grey level", ylabel="probability")
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
# ## · Free bits for a batch ••
#
# *15 minutes.* A latent whose KL is pressed to 0 early in training says nothing of the picture, and may never open again.
# **Free bits** (Kingma et al., arXiv:1606.04934) take the pressure off: a latent below $\lambda$ nats is counted as $\lambda$. The lecture's loss
# compared every picture alone. The published one compares the **mean over the batch** of each latent $j$, so that a latent may cost one
# picture nothing and another much. With a weight β for the whole,
#
# $$ \text{penalty} = \beta \sum_j \max\Bigl(\lambda, \; \frac1B \sum_{i=1}^B D_{KL}\bigl(q_\varphi(z_j|x_i) \,\|\, p(z_j)\bigr)\Bigr), $$
#
# one number for the batch, added to the distortion of each of its pictures.
#
# `kl`: `[batch, latents]`, in nats; `beta`, `free`: β and λ, numbers → a tensor without axes, in nats, with the gradient to
# the KL that the formula has.
#
# <details><summary>Hint 1</summary>Four steps: two reductions, a maximum and a factor. In which order does the formula take them?</details>
# <details><summary>Hint 2</summary>The mean over axis 0, the maximum for each latent, the sum over the latents, β. Where λ is the
# larger one, nothing depends on the KL.</details>
# <details><summary>Hint 3</summary><code>kl.mean(0).clamp(min=free)</code> is the maximum, with its gradient: none below
# <code>free</code>, that of the mean above.</details>


# %%
def free_bits(kl: Tensor, beta: float, free: float) -> Tensor:
    ### BEGIN SOLUTION
    rates = kl.mean(0)  # [latents]
    return beta * rates.clamp(min=free).sum()
    ### END SOLUTION


# %%
check(sheet.free_bits, free_bits)

# %% [markdown]
# A VAE with 16 latents, σ = 0.3 and β = 2, trained with three λ. You should see that without free bits most of the latents
# end near 0, and that with them all 16 end near λ: each spends what is free. Compare the printed lines for λ = 0 and 0.2 too: the
# rate is higher, the distortion hardly lower, if at all. A latent that is open need not be of use.


# %%
def rates_with(free: float, beta: float = 2.0) -> tuple[Tensor, float]:
    torch.manual_seed(run.seed)  # the same start for every λ
    model = mlp_vae(train.shape, hidden=(128,), latent=16)
    log_std = torch.tensor(log(0.3))

    def both(x: Tensor) -> tuple[Tensor, Tensor]:  # distortion [batch], KL [batch, latents]
        q = model.posterior(x)
        each = kl_divergence(Normal(q.mean, q.stddev), Normal(0.0, 1.0))
        return -normal_log_likelihood(x, model.decoder(q.rsample()), log_std), each

    def loss(x: Tensor) -> Tensor:  # [batch] nats
        distortion, kl = both(x)
        return distortion + free_bits(kl, beta, free)

    fit([adam_player(loss, model, 3e-3)], Batches(x, size=150), run.epochs(laptop=60))
    with torch.no_grad():
        distortion, kl = both(x)
    return kl.mean(0).sort(descending=True).values, float(distortion.mean())


lines = {}
for free in (0.0, 0.2, 0.6):
    rates, distortion = rates_with(free)
    lines[f"λ = {free:g}"] = rates.tolist()
    print(f"λ = {free:g}: rate {rates.sum():.2f}, distortion {distortion:.2f} nats")
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    range(1, 17),
    lines,
    "With free bits every latent spends what is free",
    "latent, by its KL",
    "mean KL, nats",
)
figure

# %% [markdown]
# *Figure: the mean KL of the 16 latents, in falling order, for three λ. With λ = 0 the first three have about 0.7 nats, the fourth less, and
# twelve nearly none. The lines of λ = 0.2 and λ = 0.6 are flat: all latents lie at λ, or a little beside it.*

# %% [markdown]
# **Think on.** With β = 1, is minus the loss still a lower bound on $\log p(x)$, in the mean over a batch? And what would λ mean if the clamp
# stood after the factor, max(λ, β KL)?
#
# <details><summary>Answer</summary>It is. The penalty is never less than the KL, so minus the loss is at most the ELBO. After the factor, a latent
# would be free up to λ/β nats: whoever tunes β moves the threshold with it.</details>

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
