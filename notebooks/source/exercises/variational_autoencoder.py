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
# The checks call your function with tensors in float64 and follow its gradients: compute in torch throughout.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# Throughout, `log_std` is $\log \sigma$, the logarithm of the **standard deviation**.

# %%
from math import log, pi

import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, digits, fixed_binarization
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import variational_autoencoder as sheet
from vae_course.models.vae import mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = digits()
test = fixed_binarization(held_out.images)

# %% [markdown]
# ## · The reparameterized draw •
#
# *5 minutes.* Write $z = \mu + \sigma \odot \varepsilon$, so that gradients flow back to both parameters.
#
# `mean`, `log_std`, `noise`: `[batch, latent]`; `noise` is standard normal → `[batch, latent]`.
#
# <details><summary>Hint 1</summary>σ must be positive: how does it come from its logarithm?</details>
# <details><summary>Hint 2</summary>Use tensors as they are: no <code>.data</code>, no <code>.detach()</code>.</details>
# <details><summary>Hint 3</summary><code>log_std.exp() * noise</code>, and one more term.</details>


# %%
def reparameterize(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return mean + log_std.exp() * noise
    ### END SOLUTION


# %%
check(sheet.reparameterize, reparameterize)

# %% [markdown]
# You should see one cloud of noise, moved and stretched.

# %%
noise = torch.randn(400, 2)
moved = reparameterize(
    torch.tensor([2.0, 1.0]).expand(400, 2), torch.tensor([0.5, -1.0]).expand(400, 2), noise
)
figure, (axes,) = figures.subplots(1, 1, figsize=(7, 5))
axes.scatter(*noise.T, s=14, color=figures.SKY, label="ε ~ N(0, I)")
axes.scatter(*moved.T, s=14, color=figures.VERMILION, label="z = μ + σ ε")
axes.set(
    title="The same noise, moved and stretched",
    xlabel="latent 1",
    ylabel="latent 2",
    aspect="equal",
)
axes.legend()
figure

# %% [markdown]
# ## · The KL divergence to the prior ••
#
# *15 minutes.* For a diagonal normal $q$ and a standard normal prior,
#
# $$ D_{KL}\bigl(\mathcal N(\mu, \operatorname{diag} \sigma^2) \,\|\, \mathcal N(0, I)\bigr)
#    = \sum_j \tfrac12 \bigl( \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2 \bigr). $$
#
# `mean`, `log_std`: `[batch, latent]` → `[batch]`, in nats.
#
# <details><summary>Hint 1</summary>Write σ² and log σ² in terms of log σ first.</details>
# <details><summary>Hint 2</summary>σ² = exp(2 log σ) and log σ² = 2 log σ. Which axis is summed?</details>
# <details><summary>Hint 3</summary>At μ = 0 and log σ = 0 the answer must be exactly 0.</details>


# %%
def kl_to_standard_normal(mean: Tensor, log_std: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)
    ### END SOLUTION


# %%
check(sheet.kl_to_standard_normal, kl_to_standard_normal)

# %% [markdown]
# You should see a valley with its floor, 0, at μ = 0 and σ = 1. It is steeper towards small σ than towards large ones.

# %%
mean, log_std = torch.meshgrid(
    torch.linspace(-2, 2, 81), torch.linspace(-1.5, 1, 81), indexing="xy"
)
surface = kl_to_standard_normal(mean.reshape(-1, 1), log_std.reshape(-1, 1)).reshape(81, 81)
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 5))
lines = axes.contour(
    mean, log_std.exp(), surface, levels=[0.02, 0.1, 0.25, 0.5, 1, 1.5, 2, 3], cmap="viridis"
)
axes.clabel(lines, fontsize=12)
axes.plot(0, 1, "X", markersize=14, color=figures.VERMILION)
axes.set(title="KL(N(μ, σ²) || N(0, 1)) in nats", xlabel="μ", ylabel="σ")
figure

# %% [markdown]
# ## · The likelihood of binary pixels ••
#
# *15 minutes.* The decoder gives logits $\ell$; a pixel is ink with probability $p = 1 / (1 + e^{-\ell})$, independently
# given $z$. Write $\log p(x \mid z) = \sum_i \log \text{Bernoulli}(x_i \mid p_i)$.
#
# `logits`, `x`: `[batch, channels, height, width]`, `x` is 0 or 1 → `[batch]`, in nats. It must be right for logits of
# ±800 too, where $p$ itself rounds to 0 or 1.
#
# <details><summary>Hint 1</summary>Never compute p. What is log p in terms of the logit?</details>
# <details><summary>Hint 2</summary>log p = −softplus(−ℓ) and log(1 − p) = −softplus(ℓ).</details>
# <details><summary>Hint 3</summary>The two cases together: x·ℓ − softplus(ℓ). Or negate
# <code>binary_cross_entropy_with_logits</code> with <code>reduction="none"</code>. Then sum.</details>


# %%
def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return (x * logits - torch.nn.functional.softplus(logits)).sum(dim=(1, 2, 3))
    ### END SOLUTION


# %%
check(sheet.bernoulli_log_likelihood, bernoulli_log_likelihood)

# %% [markdown]
# With [[:reparameterize]] to [[:bernoulli_log_likelihood]] you have a VAE. Train it for some seconds on your own functions: you should see smooth digits.

# %%
vae = mlp_vae(train.shape, hidden=(256,), latent=10)


def loss(x: Tensor) -> Tensor:  # minus the ELBO, [batch] nats
    mean, log_std = vae.encoder(x).chunk(2, dim=-1)
    z = reparameterize(mean, log_std, torch.randn_like(mean))
    return kl_to_standard_normal(mean, log_std) - bernoulli_log_likelihood(vae.decoder(z), x)


batches = Batches(train.images, size=100, augment=binarize)
history = fit([adam_player(loss, vae, 4e-3)], batches, epochs=run.epochs(laptop=15))
print(f"ELBO of the last epoch: {-history['loss'][-1]:.0f} nats a training digit")

# %%
with torch.no_grad():
    reconstruction = vae.likelihood(vae.posterior(test[:12]).sample()).mean
figures.image_rows(
    {"held out": test[:12], "mean image": reconstruction}, "Reconstructions by your own VAE"
)

# %% [markdown]
# ## · The ELBO from samples ••
#
# *15 minutes.* Estimator A: from draws $z^{(l)} \sim q(z|x)$,
#
# $$ \mathcal L \approx \frac1L \sum_{l=1}^L \Bigl[ \log p(x \mid z^{(l)}) + \log p(z^{(l)}) - \log q(z^{(l)} \mid x) \Bigr]. $$
#
# `log_likelihood`: `[L, batch]`, $\log p(x|z^{(l)})$; `mean`, `log_std`: `[batch, latent]`, of $q$; `z`:
# `[L, batch, latent]` → `[batch]`, in nats, with gradients to all four. The prior is $\mathcal N(0, I)$.
#
# <details><summary>Hint 1</summary>Both densities are normal ones with their constants, summed over the latents.</details>
# <details><summary>Hint 2</summary><code>torch.distributions.Normal(mean, std).log_prob(z)</code> is per
# coordinate.</details>
# <details><summary>Hint 3</summary>Sum over the last axis, average over the first.</details>


# %%
def elbo_from_samples(
    log_likelihood: Tensor, mean: Tensor, log_std: Tensor, z: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    log_prior = (-0.5 * z**2 - 0.5 * log(2 * pi)).sum(-1)  # [L, batch]
    log_q = (-0.5 * ((z - mean) / log_std.exp()) ** 2 - log_std - 0.5 * log(2 * pi)).sum(-1)
    return (log_likelihood + log_prior - log_q).mean(0)
    ### END SOLUTION


# %%
check(sheet.elbo_from_samples, elbo_from_samples)

# %% [markdown]
# You should see estimates that scatter around the ELBO with the KL in closed form, the less so the more draws.

# %%
x = test[:200]
with torch.no_grad():
    mean, log_std = vae.encoder(x).chunk(2, dim=-1)
    z = mean + log_std.exp() * torch.randn(512, *mean.shape)  # [512, batch, latent]
    log_likelihood = torch.stack([bernoulli_log_likelihood(vae.decoder(one), x) for one in z])
    truth = float((log_likelihood.mean(0) - kl_to_standard_normal(mean, log_std)).mean())
    estimates = {}
    for draws in (1, 4, 16, 64):
        groups = zip(log_likelihood.split(draws), z.split(draws), strict=True)
        estimates[draws] = [
            float(elbo_from_samples(lik, mean, log_std, one).mean()) for lik, one in groups
        ]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
for position, values in enumerate(estimates.values()):
    axes.plot([position] * len(values), values, "o", color=figures.BLUE, alpha=0.4)
axes.axhline(truth, color=figures.VERMILION, label="512 draws, KL in closed form")
axes.set_xticks(range(4), [str(draws) for draws in estimates])
axes.set(
    title="Estimator A scatters around the bound",
    xlabel="draws L",
    ylabel="mean ELBO of 200 digits, nats",
)
axes.legend()
figure

# %% [markdown]
# ## · An encoder with two heads ••
#
# *15 minutes.* The lecture's encoder ends in one layer of `2 * latent` numbers, cut in two. Much code gives mean and
# $\log \sigma$ a layer each, a *head*, and that is where they get mixed up. Write the module:
#
# - one hidden layer, from `pixels` to `width` numbers, and SiLU after it;
# - two linear layers on it, from `width` to `latent` numbers each: make that of the mean first, then that of $\log \sigma$;
# - the output is both side by side, the means first, as they leave their layers.
#
# `x`: `[batch, pixels]` → `[batch, 2 * latent]`, with gradients to `x` and to the weights. The check builds your module anew,
# gives it known weights in float64, and compares the output, the number of parameters, those that a gradient reaches, and the
# loss after three steps of training.
#
# <details><summary>Hint 1</summary>Three layers in all. Which of them has <code>pixels</code> inputs?</details>
# <details><summary>Hint 2</summary>A mean may be negative, and so may log σ. What may follow a head?</details>
# <details><summary>Hint 3</summary><code>torch.cat([self.mean(features), self.log_std(features)], dim=-1)</code></details>


# %%
class TwoHeads(nn.Module):
    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.hidden = nn.Sequential(nn.Linear(pixels, width), nn.SiLU())
        self.mean = nn.Linear(width, latent)
        self.log_std = nn.Linear(width, latent)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        features = self.hidden(x)
        return torch.cat([self.mean(features), self.log_std(features)], dim=-1)
        ### END SOLUTION


# %%
check(sheet.TwoHeads, TwoHeads)

# %% [markdown]
# A VAE with your encoder, trained for some seconds. You should see that log σ lies below 0 for almost all latents of almost all digits: seen a digit, the
# model knows its latents better than the prior does.

# %%
headed = mlp_vae(train.shape, hidden=(256,), latent=10)
headed.encoder = nn.Sequential(nn.Flatten(), TwoHeads(784, 256, 10))


def headed_loss(x: Tensor) -> Tensor:  # minus the ELBO, [batch] nats
    q = headed.posterior(x)
    log_likelihood = bernoulli_log_likelihood(headed.decoder(q.rsample()), x)
    return kl_to_standard_normal(q.mean, q.stddev.log()) - log_likelihood


batches = Batches(train.images, size=100, augment=binarize)
fit([adam_player(headed_loss, headed, 4e-3)], batches, epochs=run.epochs(laptop=10))
with torch.no_grad():
    log_std = headed.encoder(test)[:, 10:]  # [n, latent]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
axes.hist(log_std.flatten().numpy(), bins=60, color=figures.BLUE)
axes.axvline(0, color=figures.VERMILION, label="the prior's, log 1")
axes.set(
    title="What the second head says",
    xlabel="log σ of a latent",
    ylabel="latents of held-out digits",
)
axes.legend()
figure

# %% [markdown]
# ## · A grid of equal probabilities •••
#
# *20 minutes.* To show what a decoder of two latents does, decode a square grid of latents such that the prior puts the
# same probability, $1/n$, between neighbours along each axis. Along one axis take the middles $u_i = (i + \tfrac12) / n$ of $n$ equal intervals of
# probability, and map them through the inverse CDF of $\mathcal N(0, 1)$.
#
# `steps`: $n$ → `[steps, steps, 2]` in float64. Entry `[row, column]` is the point ($z_1$, $z_2$): $z_1$ grows with the
# column, from left to right, and $z_2$ grows **upwards**, so that row 0 has the largest, as in a plot.
#
# <details><summary>Hint 1</summary><code>torch.special.ndtri</code> is the inverse CDF; so is
# <code>Normal(0, 1).icdf</code>.</details>
# <details><summary>Hint 2</summary>Build one axis z of n numbers. Row 0 holds z from left to right as z₁, and the last
# entry of z as z₂.</details>
# <details><summary>Hint 3</summary><code>torch.stack([z.expand(n, n), z.flip(0)[:, None].expand(n, n)], -1)</code></details>


# %%
def manifold_grid(steps: int) -> Tensor:
    ### BEGIN SOLUTION
    u = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    z = torch.special.ndtri(u)
    return torch.stack(
        [z.expand(steps, steps), z.flip(0)[:, None].expand(steps, steps)], dim=-1
    )
    ### END SOLUTION


# %%
check(sheet.manifold_grid, manifold_grid)

# %% [markdown]
# Train a VAE with two latents for some seconds and decode your grid. You should see digits that change into one another,
# and no jump.

# %%
from vae_course.objectives.bounds import elbo

flat = mlp_vae(train.shape, hidden=(400, 100), latent=2)
batches = Batches(train.images, size=100, augment=binarize)
fit(
    [adam_player(lambda x: -elbo(flat, x).value, flat, 4e-3)],
    batches,
    epochs=run.epochs(laptop=20),
)
with torch.no_grad():
    images = flat.likelihood(manifold_grid(15).float().flatten(0, 1)).mean
figure, (axes,) = figures.subplots(1, 1, figsize=(7, 7))
figures.show_mosaic(axes, images, 15, "Mean images at equal steps of probability")
figure

# %% [markdown]
# **Think on.** The prior puts equal probability between neighbours of this grid. Does the *aggregate posterior*, the
# distribution of the codes of real digits, do so too? Where in the picture would you look?
