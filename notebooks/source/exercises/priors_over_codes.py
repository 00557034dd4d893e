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
# The checks call your functions with tensors in float64. In [[:CausalConvolution]] you write a class; the check builds
# modules of it. Every result is a torch tensor. `torch.zeros(n)` is float32; with `dtype=z.dtype` it has the number type of
# `z`. Codes are whole numbers from 0 to $K - 1$, tensors of int64.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at
# once.

# %%
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from vae_course.exercises.engine import check
from vae_course.exercises.sheets import priors_over_codes as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## · Rate and distortion, in bits •
#
# *10 minutes.* A VQ-VAE with a prior over its codes bounds log p(x) by two terms: the log-density of the picture given its
# codes, and the log-probability of the codes. Both are wanted in **bits per dimension**: a dimension is one number of the
# picture, and a bit is log 2 nats. The first is a density on pictures whose dimensions lie between 0 and 1. What is asked
# for is the cost of saying which of $L$ grey levels each dimension has: a level is a piece of width $1/L$, and to find one
# of probability about $p \cdot \tfrac{1}{L}$ a dimension costs $-\log_2 \bigl( p \cdot \tfrac1L \bigr)$ bits. The codes are
# whole numbers already.
#
# `log_likelihood`: `[batch]`, log p(x|z) in nats a picture, a density; `log_prior`: `[batch]`, log p(z) in nats a picture;
# `dimensions`: how many there are; `levels`: $L$ → two tensors `[batch]` of bits per dimension: the distortion, the rate.
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
# How good is a normal density at saying which of 256 levels a pixel has, if it knows the picture to within σ? On and off:
# here the mean is right, the error is σ, and σ shrinks. You should see 8 bits, the cost of knowing nothing, at a σ of about
# a quarter, and one bit less for every halving. A pixel that is *exactly* known costs 0 bits; such a density pays for its σ
# all the same.

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
# *Figure: a line that rises evenly over the logarithm of σ, from about 1.5 bits at 0.0025 to about 10 at 1; it meets the
# dotted line of 8 bits at 0.24.*

# %% [markdown]
# ## · A causal convolution ••
#
# *20 minutes.* How does a convolution not see what comes next? A prior over the codes of pictures draws one code after
# another in reading order: row by row, from left to right. In a layer of its network, each output may depend only on what
# comes before it. So some entries of the weight must have no effect (van den Oord, Kalchbrenner & Kavukcuoglu,
# arXiv:1601.06759, section 3.4): those in the rows below the kernel's centre, and those right of it in its own row. The
# centre itself must not be seen in the first layer, whose input there is the code to be predicted (type A). It may be seen
# in the later ones (type B).
#
# Write the module. Its only parameters are a weight `[channels_out, channels_in, kernel, kernel]` and a bias
# `[channels_out]`. The forbidden entries belong to the weight, but whatever they hold has no effect, and no gradient
# reaches them. Zeros around the picture keep its size. The check sets both parameters itself and takes three steps of
# gradient descent.
#
# `channels_in`, `channels_out`: whole numbers; `kernel`: an odd whole number, 3 or more; `centre`: whether the centre is
# seen. `x`: `[batch, channels_in, height, width]` → `[batch, channels_out, height, width]`, with gradients to `x` and both
# parameters.
#
# <details><summary>Hint 1</summary>Draw a 3 × 3 kernel on paper and number its places in reading order. Which ones are
# forbidden? What is the gradient of 0 · w with respect to w?</details>
# <details><summary>Hint 2</summary><code>nn.Conv2d</code> can hold weight and bias. A mask of 0 and 1 is not trained:
# <code>self.register_buffer("mask", mask)</code> keeps it beside them.</details>
# <details><summary>Hint 3</summary>With <code>half = kernel // 2</code>, a mask of zeros becomes 1 in
# <code>mask[:half]</code> and in the first <code>half</code> places of row <code>half</code>, one more if
# <code>centre</code>. When must it meet the weight: once, or in every forward? <code>conv2d(x, weight, bias,
# padding=half)</code> takes any weight.</details>


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
# One layer of type A with kernel 5 and two of type B with kernel 3, with every parameter set to 1. The gradient of an
# output shows all that it can see: of one layer, and of the stack. You should see only the past. Not the whole past,
# though: a wedge at the upper right stays blind (van den Oord et al., arXiv:1606.05328, section 2.2), because a step up by
# one row takes a kernel at most half its width to the right.

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
# ## · Codes completed •••
#
# *25 minutes.* Some codes of a field are known, such as its lower rows; the others are wanted. Take a small prior whose two
# tables are shared by all places, as a PixelCNN shares its weights: a code hears its left neighbour and the one above,
#
# $$ \ell_{rc} = b + L_{z_{r,c-1}} + A_{z_{r-1,c}} , \qquad p(z_{rc} = k \mid \text{before}) = \operatorname{softmax}(\ell_{rc})_k , $$
#
# and where there is no such neighbour, nothing is added. Go through the places in reading order. A code that is known is
# kept. Any other is drawn, from its probabilities given what stands before it: the first code whose cumulative probability
# exceeds $u_{rc}$, or the last code where none does, at $u_{rc} = 1$ or by rounding.
#
# Fields completed in this way do not follow $p(z \mid \text{known})$: no code that was drawn has heard a known one that
# comes later. They follow some $q$, and importance weights can repair that (lecture [[tighter_bounds]]). So return with
# each field $\log q$, the log-probability with which its unknown codes were drawn, and $\log w = \log p(z) - \log q$. The
# mean of $w$ over many draws is the probability of the known codes.
#
# `bias`, $b$: `[K]`; `left`, $L$, and `above`, $A$: `[K, K]`, where `left[k]` is the row of $K$ numbers that a left
# neighbour $k$ adds; `known`: int64 `[n, height, width]`, a code, or −1 where it is not known; `u`: `[n, height, width]`,
# from 0 to 1 → three tensors: the codes, int64 `[n, height, width]`, $\log q$ and $\log w$, `[n]` each.
#
# <details><summary>Hint 1</summary>log p(z) is a sum over all places. Over which of them does log q run? What does the
# difference leave?</details>
# <details><summary>Hint 2</summary>Two loops, over rows and columns, in a copy of <code>known</code>. <code>left[codes[:,
# r, c - 1]]</code> is <code>[n, K]</code>; what is column −1 in torch?</details>
# <details><summary>Hint 3</summary>With <code>unknown = known[:, r, c] &lt; 0</code>: <code>codes[:, r, c] =
# torch.where(unknown, drawn, known[:, r, c])</code>. The log-probability of what then stands there belongs to log q where
# it was unknown, and to log w where it was known.</details>


# %%
def complete_codes(
    bias: Tensor, left: Tensor, above: Tensor, known: Tensor, u: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    codes, (n, height, width) = known.clone(), known.shape
    log_q, log_w = torch.zeros(n, dtype=u.dtype), torch.zeros(n, dtype=u.dtype)
    for r in range(height):
        for c in range(width):
            logits = bias.expand(n, -1)
            if c > 0:
                logits = logits + left[codes[:, r, c - 1]]
            if r > 0:
                logits = logits + above[codes[:, r - 1, c]]
            log_p = logits.log_softmax(1)
            drawn = (log_p.exp().cumsum(1) <= u[:, r, c, None]).sum(1).clamp(max=len(bias) - 1)
            unknown = known[:, r, c] < 0
            codes[:, r, c] = torch.where(unknown, drawn, known[:, r, c])
            own = log_p.gather(1, codes[:, r, c, None])[:, 0]
            log_q = log_q + torch.where(unknown, own, 0)
            log_w = log_w + torch.where(unknown, 0, own)
    return codes, log_q, log_w
    ### END SOLUTION


# %%
check(sheet.complete_codes, complete_codes)

# %% [markdown]
# Two codes, fields of 3 × 3, and a prior in which neighbours are mostly alike. The lower row is known: 1, 1, 1. There are
# only $2^6$ ways to complete it, so that the truth can be added up. You should see that draws which all count alike know
# nothing of the row below, and that the weights mend it; and the log of the mean weight beside the log-probability of the
# row.

# %%
alike = torch.tensor([[0.7, -0.7], [-0.7, 0.7]], dtype=torch.float64)
flat_bias = torch.zeros(2, dtype=torch.float64)
given = torch.tensor([[-1, -1, -1], [-1, -1, -1], [1, 1, 1]])
u = torch.rand(4000, 3, 3, generator=generator, dtype=torch.float64)
drawn, log_q, log_w = complete_codes(flat_bias, alike, alike, given.expand(4000, 3, 3), u)
every = torch.cartesian_prod(*[torch.arange(2)] * 6).reshape(64, 2, 3)
whole = torch.cat([every, torch.ones(64, 1, 3, dtype=torch.long)], 1)  # all ways to complete
_, none, log_p = complete_codes(flat_bias, alike, alike, whole, u[:64])
assert not none.any(), "where all is known nothing is drawn: log q is 0, and log w is log p(z)"
print(
    f"log p of the row: {log_p.logsumexp(0):.3f}, by weights {log_w.logsumexp(0) - log(4000):.3f}"
)
chances = {
    "the truth": (log_p.softmax(0)[:, None, None] * whole).sum(0),
    "all draws alike": drawn.double().mean(0),
    "draws by their weights": (log_w.softmax(0)[:, None, None] * drawn).sum(0),
}
figure, axes = figures.subplots(1, 3, figsize=(12, 4.2))
for axis, (name, chance) in zip(axes, chances.items(), strict=True):
    axis.imshow(chance, vmin=0, vmax=1.6)
    for r in range(3):
        for c in range(3):
            axis.text(c, r, f"{chance[r, c]:.2f}", ha="center", va="center", fontsize=16)
    axis.set(title=name, xlabel="column", ylabel="row", xticks=range(3), yticks=range(3))
    axis.grid(False)
figure.suptitle("The probability that a code is 1", x=0.01, ha="left", fontsize=16)
figure

# %% [markdown]
# *Figure: three grids of 3 × 3 numbers. In the truth a code above the known row of ones is 1 more often than not, more so
# nearer to it; where all draws count alike the upper two rows are near one half; by their weights the draws come back to
# the truth.*

# %% [markdown]
# **Think on.** What if the *upper* row is known? Which weights are then equal, and why does a reading order that begins
# with what is known make life easy?
#
# <details><summary>Answer</summary>Then no known code comes after one that is drawn: log w is the same for all draws, the
# log-probability of the upper row, and the draws follow p(z | known) as they are.</details>
