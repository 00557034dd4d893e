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
# [[count]], from • (anybody who read the lecture) to ••• (takes thought); [[minutes]] minutes in all. You need not have
# run the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check tells
# you whether the answer is right, and if not, what is wrong.
#
# The checks call your function with tensors in float64. Every result is a torch tensor. `torch.zeros(n)` is float32; with
# `dtype=x.dtype` it has the number type of `x`.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vae_course.data.corruptions import gaussian_noise
from vae_course.data.images import digits
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import cleaning as sheet
from vae_course.models.autoencoder import mlp_autoencoder
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
generator = torch.Generator().manual_seed(0)
train, held_out = digits()

# %% [markdown]
# ## · Salt and pepper •
#
# *5 minutes.* To train a denoiser, one spoils pictures on purpose. Salt-and-pepper noise replaces a share $p$ of all pixels, half
# of it by 0 (pepper) and half by 1 (salt). One uniform number $u$ for each entry of $x$ decides:
#
# $$ \tilde x = \begin{cases} 0 & u < p / 2 \\ 1 & u \ge 1 - p / 2 \\ x & \text{otherwise.} \end{cases} $$
#
# `x`: `[batch, channels, height, width]`, in $[0, 1]$; `uniforms`: of the same shape, in $[0, 1)$; `share`: the number $p$,
# from 0 to 1 → the shape of `x`. Leave `x` itself as it is.
#
# <details><summary>Hint 1</summary>What does <code>uniforms &lt; share / 2</code> give, and of which shape?</details>
# <details><summary>Hint 2</summary><code>torch.where(condition, a, b)</code> takes a where the condition holds and b elsewhere. Either
# may be a number.</details>
# <details><summary>Hint 3</summary>One <code>torch.where</code> for the pepper; its last argument is another one, for the
# salt.</details>


# %%
def salt_and_pepper(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    ### BEGIN SOLUTION
    salted = torch.where(uniforms >= 1 - share / 2, 1.0, x)
    return torch.where(uniforms < share / 2, 0.0, salted)
    ### END SOLUTION


# %%
check(sheet.salt_and_pepper, salt_and_pepper)

# %% [markdown]
# The same uniforms at every share: what is replaced once stays replaced. Ink is 1 and dark here, so salt makes dots on the
# paper and pepper holes in the strokes. You should see that a tenth hides nothing from you and a half leaves a guess.

# %%
uniforms = torch.rand(10, 1, 28, 28, generator=generator)
spoilt = {
    f"p = {share}": salt_and_pepper(held_out.images[:10], uniforms, share)
    for share in (0.0, 0.1, 0.3, 0.5)
}
figures.image_rows(spoilt, "More and more pixels are replaced")

# %% [markdown]
# *Figure: four rows of the same ten digits, clean in the first. Below, ever more black dots on the paper and white ones in the
# strokes, until the digits are hard to read.*

# %% [markdown]
# ## · Decibels •
#
# *10 minutes.* Denoising and super-resolution are often judged by the peak signal-to-noise ratio of each picture,
#
# $$ \text{PSNR} = 10 \log_{10} \frac{\text{peak}^2}{\text{MSE}} \ \text{decibels}, $$
#
# where MSE is the mean squared error over the pixels of *that* picture, its channels included, and peak is the largest value
# that a pixel can have: 1 for grey in $[0, 1]$, 255 for bytes, whatever values occur. Ten times less error is 10 decibels more,
# and equal pictures have infinitely many.
#
# `reconstruction`, `x`: `[batch, channels, height, width]`; `peak`: a number → `[batch]`, in decibels.
#
# <details><summary>Hint 1</summary>First the MSE. Which axes does the mean run over, and which one stays?</details>
# <details><summary>Hint 2</summary>Divide before the logarithm (the difference of two logarithms is right too). Which base has
# <code>.log()</code>?</details>
# <details><summary>Hint 3</summary><code>mse = (reconstruction - x).square().mean(dim=(1, 2, 3))</code>, then
# <code>(peak**2 / mse).log10()</code>. Division of a tensor by 0 gives ∞, which is what is wanted.</details>


# %%
def peak_signal_to_noise(reconstruction: Tensor, x: Tensor, peak: float) -> Tensor:
    ### BEGIN SOLUTION
    mse = (reconstruction - x).square().mean(dim=(1, 2, 3))
    return 10 * (peak**2 / mse).log10()
    ### END SOLUTION


# %%
check(sheet.peak_signal_to_noise, peak_signal_to_noise)

# %% [markdown]
# What is the PSNR of a whole test set? Here each of 500 digits has noise of a strength of its own. Some papers average the
# decibels, others put the mean error into the formula. You should see two answers several decibels apart. The mean of the decibels is never
# smaller, because $-\log$ is convex; it counts factors, so a nearly perfect picture makes up for a bad one.

# %%
clean = held_out.images[:500]
strengths = 10 ** (-2 + 1.7 * torch.rand(500, 1, 1, 1, generator=generator))  # 0.01 to 0.5
noisy = clean + strengths * torch.randn(clean.shape, generator=generator)
decibels = peak_signal_to_noise(noisy, clean, 1.0)
mean = float(decibels.mean())
together = float(
    peak_signal_to_noise(noisy.reshape(1, 1, -1, 28), clean.reshape(1, 1, -1, 28), 1)
)
assert mean >= together, "the mean of the decibels cannot be the smaller one"

figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.hist(decibels, bins=30, color=figures.SKY)
axes.axvline(mean, color=figures.BLUE, label="mean of the decibels")
axes.axvline(
    together, color=figures.VERMILION, linestyle="--", label="decibels of the mean error"
)
axes.set(
    title=f"One set of pictures, {mean:.1f} or {together:.1f} decibels",
    xlabel="PSNR of a digit, decibels",
    ylabel="digits",
    ylim=(0, 32),
)
axes.legend()
figure

# %% [markdown]
# *Figure: a broad histogram from about 6 to 40 decibels. A solid line marks the mean of the decibels, in its middle; a dashed one,
# that of the mean error, lies far to the left.*

# %% [markdown]
# ## · A denoising step ••
#
# *15 minutes.* The lecture gives its loss to `fit`. Take one training step by hand, the model being a denoising autoencoder:
#
# 1. the input of `model` is $x + $ `noise`; the target is the clean $x$;
# 2. the loss is the squared error per picture, summed over its pixels; descend its **mean over the batch**;
# 3. clear old gradients, compute new ones, let the `optimizer` step once;
# 4. return the losses `[batch]` of this step, from before the parameters moved.
#
# `x`, `noise`: `[batch, 1, height, width]` → `[batch]`.
#
# <details><summary>Hint 1</summary>Three calls in this order: <code>zero_grad</code>, <code>backward</code>,
# <code>step</code>.</details>
# <details><summary>Hint 2</summary>What would the model learn if the noise were in the target too?</details>
# <details><summary>Hint 3</summary>The loss compares <code>model(x + noise)</code> with <code>x</code>, and
# <code>loss.mean().backward()</code> stands between the other two calls.</details>


# %%
def denoising_step(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    loss = (model(x + noise) - x).square().sum(dim=(1, 2, 3))  # [batch]
    optimizer.zero_grad()
    loss.mean().backward()
    optimizer.step()
    return loss.detach()
    ### END SOLUTION


# %%
check(sheet.denoising_step, denoising_step)

# %% [markdown]
# A few seconds of such steps, and the model removes noise that it has never seen from digits that it has never seen.

# %%
model = mlp_autoencoder(train.shape, hidden=(256,), code=32)
adam = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
for _ in range(8):
    for index in torch.randperm(len(train)).split(100):
        clean = train.images[index]
        denoising_step(model, adam, clean, 0.4 * torch.randn_like(clean))

noisy = held_out.images[:12] + 0.4 * torch.randn(12, 1, 28, 28)
with torch.no_grad():
    rows = {"clean": held_out.images[:12], "noisy": noisy, "denoised": model(noisy)}
figures.image_rows(rows, "Held-out digits, denoised")

# %% [markdown]
# *Figure: twelve digits in three rows: clean, under heavy noise, and denoised: smooth and mostly legible, with a
# little grey beside the strokes.*
#
# **Think on.** A classifier was trained on clean digits and has to read noisy ones. Can it help to denoise them first? Can
# denoising add information about the class?
#
# <details><summary>Answer</summary>It can help this classifier: cleaning brings the picture back to what it knows. It adds no
# information: whatever can be read from r(x̃) can be read from x̃, so the best classifier of noisy digits needs no help. The
# plain method to compare with is a classifier trained on noisy digits, with noise drawn anew at every step and for long
# enough.</details>

# %% [markdown]
# ## · A denoiser that is told the noise ••
#
# *20 minutes.* The lecture's network must guess how much noise there is. Write one that is told. It still returns its input
# and a correction, $r(\tilde x, \sigma) = \tilde x + \sigma \, n(\tilde x, \sigma)$:
#
# - $n$ sees two channels, the picture and then a plane that holds $\sigma$ in every pixel;
# - it is a convolution to `channels`, SiLU, and a convolution to 1 channel, both 3 × 3 with `padding=1` and a bias;
# - its result times $\sigma$ is added to the picture. So without noise nothing changes, and $n$ has to
#   find $-\varepsilon$, which is equally large at all levels.
#
# `y`: `[batch, 1, height, width]`; `std`: `[batch]`, a $\sigma$ for each picture → `[batch, 1, height, width]`. The check builds
# your module anew, gives it known weights in float64, and compares the number of parameters, those that a gradient reaches, the
# output, and the loss after three steps of training.
#
# <details><summary>Hint 1</summary>Which shape must <code>std</code> have so that each picture is multiplied by its own
# number?</details>
# <details><summary>Hint 2</summary><code>std[:, None, None, None]</code> is <code>[batch, 1, 1, 1]</code>. The plane is that,
# <code>expand_as(y)</code>.</details>
# <details><summary>Hint 3</summary><code>torch.cat([y, plane], dim=1)</code> has two channels. The first layer is
# <code>nn.Conv2d(2, channels, 3, padding=1)</code>.</details>


# %%
class ToldDenoiser(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.network = nn.Sequential(
            nn.Conv2d(2, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, 1, 3, padding=1),
        )
        ### END SOLUTION

    def forward(self, y: Tensor, std: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        std = std[:, None, None, None]
        return y + std * self.network(torch.cat([y, std.expand_as(y)], dim=1))
        ### END SOLUTION


# %%
check(sheet.ToldDenoiser, ToldDenoiser)

# %% [markdown]
# Is it of use to be told? Train two copies on all levels. One is told the truth; the other is always told 0.5. Nothing else
# differs.


# %%
def trained(told: Callable[[Tensor], Tensor]) -> ToldDenoiser:
    torch.manual_seed(0)
    model = ToldDenoiser(16)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(2):
        for index in torch.randperm(len(train)).split(40):
            clean, std = train.images[index], torch.rand(len(index))
            output = model(gaussian_noise(clean, std, torch.default_generator), told(std))
            adam.zero_grad()
            (output - clean).square().sum(dim=(1, 2, 3)).mean().backward()
            adam.step()
    return model


always = lambda std: torch.full_like(std, 0.5)
models = {
    "told": (trained(lambda std: std), lambda std: std),
    "not told": (trained(always), always),
}
clean = held_out.images[:500]
for level in (0.05, 0.3, 1.0):
    std = torch.full((500,), level)
    noisy = gaussian_noise(clean, std, generator)
    answers = {"doing nothing": noisy}
    with torch.no_grad():
        answers |= {name: model(noisy, said(std)) for name, (model, said) in models.items()}
    told = [
        f"{name} {peak_signal_to_noise(y.clamp(0, 1), clean, 1.0).mean():.1f} dB"
        for name, y in answers.items()
    ]
    print(f"σ = {level}: " + ", ".join(told))

# %% [markdown]
# You should see that it matters where there is little noise: there the network that is told stays near doing nothing, and the
# other one is several decibels behind. At σ = 0.3 it is a little behind after so short a training, at σ = 1 the two are
# close: much noise can be seen in the picture, so nobody has to tell.

# %% [markdown]
# ## · Without a clean picture •••
#
# *25 minutes.* How large is the error of a denoiser where the clean picture is unknown? Write $g(\tilde x) = r(\tilde x) - \tilde x$
# for its step. As $x = \tilde x - \sigma\varepsilon$, the error is $\lVert g + \sigma\varepsilon \rVert^2
# = \lVert g \rVert^2 + 2 \sigma \varepsilon^\top g + \sigma^2 \lVert \varepsilon \rVert^2$. For normal noise, integration by parts gives
# $\mathbb E[\sigma\varepsilon^\top g] = \sigma^2 \, \mathbb E[\sum_i \partial g_i / \partial \tilde x_i]$, so over $n$ pixels
#
# $$ \mathbb E \lVert r(\tilde x) - x \rVert^2
#    = \mathbb E \Bigl[ \lVert r(\tilde x) - \tilde x \rVert^2 - n \sigma^2
#    + 2 \sigma^2 \sum_i \frac{\partial r_i}{\partial \tilde x_i} \Bigr] $$
#
# (Stein, *Estimation of the mean of a multivariate normal distribution*, 1981). No clean picture occurs at the right. The sum is
# the trace of the Jacobian $J$ of $r$. For signs $b$ drawn at random, $b^\top J b$ has that trace as its mean, and costs one
# backward pass. Return the bracket, with $b^\top J b$ for the trace.
#
# `model`: a function from pictures to pictures of the same shape, each answered by itself; `y`: noisy, `[batch, channels, height,
# width]`; `std`: the number σ; `probe`: the signs $b$, of the shape of `y` → `[batch]`, one estimate per picture. Nothing
# is trained, so the result needs no gradient.
#
# <details><summary>Hint 1</summary>How many pixels is <i>n</i>? It counts those of one picture, channels included.</details>
# <details><summary>Hint 2</summary>Make a copy of y that follows gradients, <code>y.detach().requires_grad_()</code>. The gradient
# of <code>(model(y) * probe).sum()</code> by it is Jᵀb, for all pictures at once.</details>
# <details><summary>Hint 3</summary><code>torch.autograd.grad(total, y)[0]</code> gives that gradient. Times the probe,
# summed over the axes of a picture, it is bᵀJb.</details>

# %%
Pictures = Callable[[Tensor], Tensor]


def stein_risk(model: Pictures, y: Tensor, std: float, probe: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    y = y.detach().requires_grad_()
    output = model(y)
    (gradient,) = torch.autograd.grad((output * probe).sum(), y)
    trace = (gradient * probe).sum(dim=(1, 2, 3))
    step = (output - y).detach().square().sum(dim=(1, 2, 3))
    return step - y[0].numel() * std**2 + 2 * std**2 * trace
    ### END SOLUTION


# %%
check(sheet.stein_risk, stein_risk)

# %% [markdown]
# How many principal components should be kept, if there has never been a clean picture? The components come from noisy digits, and
# your estimate judges each number on other noisy digits. The clean ones are used for the dashed line only. You should see the
# two lines on top of each other, and both least at the same number.

# %%
std = 0.3
y = gaussian_noise(held_out.images[:500], std, generator)
axes_of = PrincipalComponents(gaussian_noise(train.images, std, generator), 400)
probe = 1 - 2 * torch.randint(2, y.shape, generator=generator).float()
numbers = [5, 10, 20, 40, 60, 80, 120, 200, 300, 400]


def keeping(k: int) -> Pictures:
    return lambda y: axes_of.decode(axes_of.encode(y) * (torch.arange(400) < k))


estimated = [float(stein_risk(keeping(k), y, std, probe).mean()) for k in numbers]
true = [
    float((keeping(k)(y) - held_out.images[:500]).square().sum(dim=(1, 2, 3)).mean())
    for k in numbers
]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
lines = {"estimated from noisy digits": estimated, "true error": true}
title = "The error, known without a clean picture"
figures.curves(axes, numbers, lines, title, "components kept", "squared error of a digit")
axes.set(xscale="log", ylim=(0, None))
figure

# %% [markdown]
# *Figure: two curves on top of each other over the number of components, on a logarithmic axis: they fall to a least value near
# 60 and rise again.*
#
# **Think on.** Train a network on this estimate instead of the error: which denoiser does it become, and what happens if σ is
# stated too small?
#
# <details><summary>Answer</summary>In the mean the estimate is the error, whatever the network, so the best one is the posterior
# mean again. With σ too small the trace costs too little. Copying has the step 0 and the trace n: at the true σ it is charged
# nσ², and with less it looks better than it is, so that noise is left in.</details>
