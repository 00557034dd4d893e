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
# The checks call your functions with tensors in float64. In [[:CausalConvolution]] you write a class; the check builds modules of it.
# Every result is a torch tensor. `torch.zeros(n)` is float32; with `dtype=z.dtype` it has the number type of `z`. Codes are whole
# numbers from 0 to $K - 1$, tensors of int64.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from vae_course.data.images import digits_8x8
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import priors_over_codes as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## · Rate and distortion, in bits •
#
# *10 minutes.* A VQ-VAE with a prior over its codes bounds log p(x) by two terms: the log-density of the picture given its codes, and
# the log-probability of the codes. Both are wanted in **bits per dimension**: a dimension is one number of the picture, and a bit is
# log 2 nats. The first is a density on pictures whose dimensions lie between 0 and 1. What is asked for is the cost of saying which of
# $L$ grey levels each dimension has: a level is a piece of width $1/L$, and to find one of probability about
# $p \cdot \tfrac{1}{L}$ a dimension costs $-\log_2 \bigl( p \cdot \tfrac1L \bigr)$ bits. The codes are whole numbers already.
#
# `log_likelihood`: `[batch]`, log p(x|z) in nats a picture, a density; `log_prior`: `[batch]`, log p(z) in nats a picture; `dimensions`:
# how many there are; `levels`: $L$ → two tensors `[batch]` of bits per dimension: the distortion, the rate.
#
# <details><summary>Hint 1</summary>Start with the rate: from nats a picture to bits per dimension is one division.</details>
# <details><summary>Hint 2</summary>For the distortion, what does the factor 1/L of every dimension add to
# <code>-log_likelihood</code>?</details>
# <details><summary>Hint 3</summary>It adds <code>dimensions * log(levels)</code> nats a picture: log2(levels) bits per
# dimension.</details>


# %%
def split_bits(
    log_likelihood: Tensor, log_prior: Tensor, dimensions: int, levels: int
) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    distortion = (-log_likelihood / dimensions + log(levels)) / log(2)
    return distortion, -log_prior / (dimensions * log(2))
    ### END SOLUTION


# %%
check(sheet.split_bits, split_bits)

# %% [markdown]
# How good is a normal density at saying which of 256 levels a pixel has, if it knows the picture to within σ? On and off: here the mean is
# right, the error is σ, and σ shrinks. You should see 8 bits, the cost of knowing nothing, at a σ of about a quarter, and one bit less
# for every halving. A pixel that is *exactly* known costs 0 bits; such a density pays for its σ all the same.

# %%
stds = torch.logspace(-2.6, 0, 40, dtype=torch.float64)
density = (
    -0.5 - (stds * (2 * torch.pi) ** 0.5).log()
)  # log-density at a distance of σ, one dimension
paid, _ = split_bits(density, torch.zeros(40).double(), 1, 256)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.semilogx(stds, paid, color=figures.BLUE)
axes.axhline(8, color=figures.BLACK, linestyle=":", label="8 bits: all 256 levels alike")
axes.set(
    title="Every halving of σ saves a bit",
    xlabel="σ",
    ylabel="bits per dimension",
    ylim=(0, 11),
)
axes.legend()
figure

# %% [markdown]
# *Figure: a line that rises evenly over the logarithm of σ, from about 1.5 bits at 0.0025 to about 10 at 1; it meets the dotted line
# of 8 bits at 0.24.*

# %% [markdown]
# ## · A causal convolution ••
#
# *20 minutes.* How does a convolution not see what comes next? A prior over the codes of pictures draws one code after another in reading
# order: row by row, from left to right. In a layer of its network, each output may depend only on what comes before it. So some entries of the weight must have no effect (van den Oord, Kalchbrenner &
# Kavukcuoglu, arXiv:1601.06759, section 3.4): those in the rows below the kernel's centre, and those right of it in its own row.
# The centre itself must not be seen in the first layer, whose input there is the code to be predicted (type A). It may be
# seen in the later ones (type B).
#
# Write the module. Its only parameters are a weight `[channels_out, channels_in, kernel, kernel]` and a bias `[channels_out]`. The
# forbidden entries belong to the weight, but whatever they hold has no effect, and no gradient reaches them. Zeros around
# the picture keep its size. The check sets both parameters itself and takes three steps of gradient descent.
#
# `channels_in`, `channels_out`: whole numbers; `kernel`: an odd whole number, 3 or more; `centre`: whether the centre is seen. `x`:
# `[batch, channels_in, height, width]` → `[batch, channels_out, height, width]`, with gradients to `x` and both parameters.
#
# <details><summary>Hint 1</summary>Draw a 3 × 3 kernel on paper and number its places in reading order. Which ones are
# forbidden? What is the gradient of 0 · w with respect to w?</details>
# <details><summary>Hint 2</summary><code>nn.Conv2d</code> can hold weight and bias. A mask of 0 and 1 is not trained:
# <code>self.register_buffer("mask", mask)</code> keeps it beside them.</details>
# <details><summary>Hint 3</summary>With <code>half = kernel // 2</code>, a mask of zeros becomes 1 in <code>mask[:half]</code> and in
# the first <code>half</code> places of row <code>half</code>, one more if <code>centre</code>. When must it meet the weight: once, or
# in every forward? <code>conv2d(x, weight, bias, padding=half)</code> takes any weight.</details>


# %%
class CausalConvolution(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        half = kernel // 2
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=half)
        mask = torch.zeros(kernel, kernel)
        mask[:half] = 1
        mask[half, : half + centre] = 1
        self.register_buffer("mask", mask)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        layer = self.convolution
        return conv2d(x, layer.weight * self.mask, layer.bias, padding=layer.padding)
        ### END SOLUTION


# %%
check(sheet.CausalConvolution, CausalConvolution)

# %% [markdown]
# One layer of type A with kernel 5 and two of type B with kernel 3, with every parameter set to 1. The gradient of an output shows all that it can
# see: of one layer, and of the stack. You should see only the past. Not the whole past, though: a wedge at the upper right stays blind
# (van den Oord et al., arXiv:1606.05328, section 2.2), because a step up by one row takes a kernel at most half its width to the
# right.

# %%
stack = nn.Sequential(
    CausalConvolution(1, 1, 5, False),
    CausalConvolution(1, 1, 3, True),
    CausalConvolution(1, 1, 3, True),
)
for parameter in stack.parameters():
    nn.init.ones_(parameter)


def seen(net: nn.Module, side: int) -> Tensor:  # the gradient of the output in the middle
    picture = torch.zeros(1, 1, side, side, requires_grad=True)
    (slope,) = torch.autograd.grad(net(picture)[0, 0, side // 2, side // 2], picture)
    return slope[0, 0]


views = (seen(stack[0], 5), seen(stack[1], 3), seen(stack, 15))
own = 7 * 15 + 7
assert not views[2].flatten()[own:].any(), "the output sees its own pixel, or a later one"

figure, axes = figures.subplots(1, 3, figsize=(13, 4.5))
titles = ("Type A, kernel 5", "Type B, kernel 3", "The stack sees only the past")
for axis, view, title in zip(axes, views, titles, strict=True):
    side = len(view)
    axis.imshow(view > 0, vmin=0, vmax=1.6)
    axis.plot(side // 2, side // 2, "x", color=figures.VERMILION, markersize=12)
    ticks = range(0, side, 1 + side // 6)
    axis.set(title=title, xlabel="column", ylabel="row", xticks=ticks, yticks=ticks)
    axis.grid(False)
figure

# %% [markdown]
# *Figure: what an output sees through one layer of either type, and through the stack, in a picture of 15 × 15 pixels, with a
# cross at the output's place in each. Seen are the rows above the cross and the part of its row to the left; with type B the
# cross as well. The stack sees four rows above the cross and four pixels to its left, cut off obliquely at the right.*

# %% [markdown]
# ## · Codes drawn in order •••
#
# *25 minutes.* A prior that factorises, $p(z) = \prod_i p(z_i \mid z_1, \dots, z_{i-1})$, is drawn from place by place. Here is the
# simplest one that hears the past: the logits of place $i$ are a row of its own, plus a row for the code at each place before it,
#
# $$ \ell_i = b_i + \sum_{j < i} W_{ij z_j} , \qquad p(z_i = k \mid z_1, \dots, z_{i-1}) = \operatorname{softmax}(\ell_i)_k . $$
#
# All randomness comes in as uniform numbers: the code at place $i$ is the first one at which the cumulative probability exceeds
# $u_i$.
#
# `bias`, $b$: `[places, K]`; `weight`, $W$: `[places, places, K, K]`, where `weight[i, j, k]` is the row of $K$ numbers that place $i$
# adds if place $j$ holds the code $k$ (there are numbers for $j \ge i$ too: they must not count); `u`: `[n, places]`, from 0 to 1 → two
# tensors: the codes, int64 `[n, places]`, and $\log p(z)$ of each draw, `[n]`.
#
# <details><summary>Hint 1</summary>Draw place 0 for all n at once. What do you need of it for place 1?</details>
# <details><summary>Hint 2</summary>A loop over the places, and within it one over those before. <code>weight[i, j, codes[:, j]]</code> is
# <code>[n, K]</code>.</details>
# <details><summary>Hint 3</summary>With <code>p = logits.softmax(1)</code>, the number of codes whose cumulative probability does not exceed u is
# the code: <code>(p.cumsum(1) &lt;= u[:, i, None]).sum(1)</code>; rounding can make it K, so clamp. log p adds up over the places.</details>


# %%
def draw_in_order(bias: Tensor, weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    n, places = u.shape
    codes, log_p = torch.zeros(n, places, dtype=torch.long), torch.zeros_like(u[:, 0])
    for i in range(places):
        logits = bias[i].expand(n, -1)
        for j in range(i):
            logits = logits + weight[i, j, codes[:, j]]
        log_q = logits.log_softmax(1)
        drawn = (log_q.exp().cumsum(1) <= u[:, i, None]).sum(1)
        codes[:, i] = drawn.clamp(max=bias.shape[1] - 1)
        log_p = log_p + log_q.gather(1, codes[:, i : i + 1])[:, 0]
    return codes, log_p
    ### END SOLUTION


# %%
check(sheet.draw_in_order, draw_in_order)

# %% [markdown]
# Such a prior can be fitted, by gradients of its log-probability: here to 8 × 8 digits of the class 3, 64 places of two grey levels. Beside it
# the same without $W$: a table for each place. You should see strokes that join where the draws hear what came before, and dust where
# they do not.

# %%
whole = digits_8x8()
threes = (whole.images[whole.labels == 3].flatten(1) > 0.5).long()  # [n, 64]
before = torch.ones(64, 64).tril(-1)[:, :, None, None]


def log_p_of(codes: Tensor, bias: Tensor, weight: Tensor) -> Tensor:  # [n]
    hot = nn.functional.one_hot(codes, 2).float()
    logits = bias + torch.einsum("njk,ijkl->nil", hot, weight * before)
    return logits.log_softmax(-1).gather(-1, codes[..., None]).flatten(1).sum(1)


fitted = {}
for name, hears in {"places alone": 0.0, "hearing the past": 1.0}.items():
    bias, weight = torch.zeros(64, 2), torch.zeros(64, 64, 2, 2)
    bias.requires_grad_(), weight.requires_grad_()
    optimizer = torch.optim.Adam([bias, weight], 0.03)
    for _ in range(150):
        loss = -log_p_of(threes, bias, hears * weight).mean() + 0.02 * weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fitted[name] = bias.detach().double(), (hears * weight).detach().double()
u = torch.rand(12, 64, generator=generator, dtype=torch.float64)
rows = {"of the set": threes[:12]}
for name, parameters in fitted.items():
    rows[name], log_p = draw_in_order(*parameters, u)
    again = log_p_of(rows[name], *(p.float() for p in parameters))
    assert torch.allclose(log_p.float(), again, atol=1e-3), (
        "log p is not that of the codes drawn"
    )
figures.image_rows(
    {name: codes.reshape(-1, 1, 8, 8).float() for name, codes in rows.items()},
    "Threes, place by place",
    width=11,
)

# %% [markdown]
# *Figure: three rows of twelve pictures of 8 × 8. Threes of the set; from places alone, ink where threes have it, but torn; hearing
# the past, most of them threes, a few broken.*

# %% [markdown]
# **Think on.** The prior of this exercise has a number of weights that grows with the square of the places. A PixelCNN shares its weights
# between places. What does it lose by that, and how did the lecture give some of it back?
