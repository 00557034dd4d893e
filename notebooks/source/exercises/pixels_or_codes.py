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
# The checks call your functions with tensors in float64. Every result is a torch tensor, or a tuple of them.
# `torch.zeros(n)` is float32; with `dtype=x.dtype` it has the number type of `x`. Codes, places and numbers of units are
# whole numbers from 0, tensors of int64.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at
# once.

# %%
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vae_course.data.batches import Batches
from vae_course.data.images import digits_8x8
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import pixels_or_codes as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## · Masks of a deeper network •
#
# *15 minutes.* The lecture's masked MLP has one hidden layer, and its pixels come in reading order. With two hidden layers,
# every unit of both has a number $m$, and must depend on the pixels of the places 0 to $m - 1$ alone. And the pixels may
# come in any order: pixel $i$ has the place `order[i]`, and its logits may depend on the pixels of smaller places, no
# others.
#
# A mask is a table of truth values, with a row for each unit that hears and a column for each that is heard. Each of the
# three should let through as much as is allowed.
#
# `m_first`: `[first]`, `m_second`: `[second]`, the numbers of the hidden units; `order`: `[pixels]`, in which each of 0 …
# pixels − 1 stands once → three masks of `torch.bool`: `[first, pixels]`, `[second, first]`, `[pixels, second]` (one row
# for the logits of a pixel).
#
# <details><summary>Hint 1</summary>Begin with two pixels in reading order and one unit in each hidden layer, with m = 1.
# Who may hear whom?</details>
# <details><summary>Hint 2</summary>A unit with m has seen the places below m. So a unit above it with m′ may hear it when
# that is no more than m′ allows. And the logits at place o?</details>
# <details><summary>Hint 3</summary><code>order &lt; m_first[:, None]</code> is the first mask. The other two are
# comparisons too, with ≤.</details>


# %%
def deep_masks(
    m_first: Tensor, m_second: Tensor, order: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    inputs = order < m_first[:, None]
    between = m_first <= m_second[:, None]
    outputs = m_second <= order[:, None]
    return inputs, between, outputs
    ### END SOLUTION


# %%
check(sheet.deep_masks, deep_masks)

# %% [markdown]
# 16 pixels, 40 units in each hidden layer. The product of the masks counts the paths from each pixel to the logits of each.
# You should see a staircase in reading order; in an order of your own making the same staircase, its rows and columns
# shuffled alike; and no path from a pixel to itself.

# %%
m = 1 + torch.arange(40) * 15 // 40  # from 1 to 15
orders = {
    "reading order": torch.arange(16),
    "a random order": torch.randperm(16, generator=generator),
}
figure, axes = figures.subplots(1, 2, figsize=(11, 5.2))
for axis, (name, order) in zip(axes, orders.items(), strict=True):
    first, between, last = (mask.long() for mask in deep_masks(m, m, order))
    paths = last @ between @ first  # [logits of pixel, pixel]
    allowed = order < order[:, None]
    assert torch.equal(paths > 0, allowed), "a path is missing, or one is too many"
    axis.imshow(paths > 0, vmin=0, vmax=1.6)
    ticks = range(0, 16, 3)
    axis.set(title=name, xlabel="pixel", ylabel="logits of pixel", xticks=ticks, yticks=ticks)
    axis.grid(False)
figure.suptitle("Paths from a pixel to logits", x=0.01, ha="left", fontsize=16)
figure

# %% [markdown]
# *Figure: two tables of 16 × 16, dark where there is a path. In reading order all that lies below the diagonal; in a random
# order as many dark cells, scattered, none on the diagonal.*

# %% [markdown]
# **Think on.** What becomes of a unit with $m = 0$, and of one with $m$ = the number of pixels?
#
# <details><summary>Answer</summary>The first sees nothing: it is a constant that all may hear. The last sees every pixel,
# and no logits may hear it: it is idle. So the lecture's numbers lie between 1 and 783.</details>

# %% [markdown]
# ## · A bound from any fields ••
#
# *15 minutes.* The lecture tightens its bound by importance weights, which hold on average over draws. There is a bound
# that always holds. The evidence of a model with codes is a sum of numbers that are not negative, one for each field:
#
# $$ p(x) = \sum_z p(x, z) \;\ge\; \sum_{z \in S} p(x, z) \qquad \text{for any set } S \text{ of fields.} $$
#
# So every field that you know adds to it, however it was found. Some were drawn for you, for each example of a batch, and a
# field may have been drawn more than once. Give the best bound that they allow.
#
# `codes`: int64 `[samples, batch, positions]`; `log_joint`: `[samples, batch]`, $\log p(x, z)$ of each → `[batch]`, the
# logarithm of the bound, in nats. It must be right where log p(x, z) is −900, and where the fields of one example differ by
# thousands.
#
# <details><summary>Hint 1</summary>No q occurs, nor a number of draws. What is a set?</details>
# <details><summary>Hint 2</summary>A draw that has its like before it adds nothing: in logarithms, it counts −∞. Then one
# logsumexp.</details>
# <details><summary>Hint 3</summary><code>(codes[s] == codes[:s]).all(-1).any(0)</code> says for each example whether draw s
# was there before.</details>


# %%
def sum_of_fields(codes: Tensor, log_joint: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    new = log_joint.clone()
    for s in range(len(codes)):
        again = (codes[s] == codes[:s]).all(-1).any(0)  # [batch]
        new[s] = torch.where(again, -torch.inf, new[s])
    return new.logsumexp(0)
    ### END SOLUTION


# %%
check(sheet.sum_of_fields, sum_of_fields)

# %% [markdown]
# One picture under a model that is small enough to add up: 4,096 fields (6 places, 4 codes), whose log p(x, z) is known.
# Fields are drawn place by place from a q that has learned something of it. You should see the weights fall and jump, early
# near the truth and at times a hair above it; yours never falls and never passes it, and lies lower until most of the
# fields that matter have been drawn.

# %%
every = torch.cartesian_prod(*[torch.arange(4)] * 6)  # [4096, 6]
numbers = [torch.randn(*size, generator=generator).double() for size in ((6, 4), (6, 6, 4, 4))]
alone, pairs = 1.2 * numbers[0], 0.5 * numbers[1]
hot = nn.functional.one_hot(every, 4).double()
table = (hot * alone).flatten(1).sum(1) + torch.einsum("nik,njl,ijkl->n", hot, hot, pairs)
q = torch.distributions.Categorical(logits=alone)  # place by place: the pairs are missed
torch.manual_seed(0)
drawn = q.sample((4000,))  # [4000, 6]
log_p = table[(drawn * 4 ** torch.arange(5, -1, -1)).sum(1)]
log_w = log_p - q.log_prob(drawn).sum(1)
counts = [round(10 ** (i / 6)) for i in range(22)]  # 1 to 3162
bounds = {
    "your sum": [float(sum_of_fields(drawn[:k, None], log_p[:k, None])) for k in counts],
    "importance weights": [float(log_w[:k].logsumexp(0) - log(k)) for k in counts],
}
truth = float(table.logsumexp(0))
assert max(bounds["your sum"]) <= truth + 1e-9, "a lower bound has passed log p(x)"
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.6))
figures.curves(
    axes, counts, bounds, "A sum of fields never passes the truth", "fields drawn", "nats"
)
axes.axhline(truth, color=figures.BLACK, linestyle=":", label="log p(x), all 4,096 fields")
axes.set_xscale("log")
axes.legend()
figure

# %% [markdown]
# *Figure: a line that climbs from below 8 nats, never falling, to just under the dotted line at 14 after 3,000 draws; a
# dashed one that begins near 13, falls to 12, jumps to the dotted line at about 50 draws and stays close to it.*

# %% [markdown]
# **Think on.** The VQ-VAE of the lecture has $128^{49}$ fields. Which of the two bounds is of use there, after fifty draws?
#
# <details><summary>Answer</summary>With so many fields, fifty are a vanishing part of what p(x) adds up, unless nearly all
# of it lies in them: the sum can rise above the best field by log 50 = 3.9 nats at most. A weight also stands for the
# fields that were not drawn.</details>

# %% [markdown]
# ## · The sums kept ••
#
# *20 minutes.* The lecture keeps the hidden sums when it draws. The neural autoregressive distribution estimator
# (Larochelle & Murray, 2011) keeps them from the start: for binary pixels $x_0, \dots, x_{D-1}$
#
# $$ h_i = \operatorname{sigmoid}\Bigl( c + \sum_{j<i} W_{\cdot j}\, x_j \Bigr) , \qquad
#    p(x_i = 1 \mid x_0, \dots, x_{i-1}) = \operatorname{sigmoid}(b_i + V_i \cdot h_i) . $$
#
# Every pixel sees hidden units of its own, and all share W. To compute each sum anew costs D² steps of all hidden units;
# from pixel to pixel only one column is added. So the whole of log p(x) costs D steps, or one pass over all at once.
#
# `x`: `[batch, D]` of 0 and 1; `weight`, $W$: `[hidden, D]`; `bias_hidden`, $c$: `[hidden]`; `output`, $V$: `[D, hidden]`;
# `bias`, $b$: `[D]` → `[batch]`, $\log p(x)$ in nats, with gradients to the four parameters. It must be right where a logit
# is ±900.
#
# <details><summary>Hint 1</summary>What are the sums of pixel 0? What must be added to them for pixel 1?</details>
# <details><summary>Hint 2</summary>A loop over the pixels, with <code>sums = sums + …</code> at its end. Or: a cumulative
# sum over pixels, minus the pixel's own.</details>
# <details><summary>Hint 3</summary><code>x[:, i, None] * weight[:, i]</code> is what pixel i adds, <code>[batch,
# hidden]</code>. With the logit ℓ, <code>x * ℓ - softplus(ℓ)</code> is the log-probability of a pixel.</details>


# %%
def nade_log_prob(
    x: Tensor, weight: Tensor, bias_hidden: Tensor, output: Tensor, bias: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    added = x[:, :, None] * weight.T  # [batch, D, hidden]
    sums = bias_hidden + added.cumsum(1) - added  # of the pixels before
    logits = (sums.sigmoid() * output).sum(-1) + bias
    return (x * logits - softplus(logits)).sum(-1)
    ### END SOLUTION


# %%
check(sheet.nade_log_prob, nade_log_prob)

# %% [markdown]
# Trained by your function: 8 × 8 digits of two grey levels, 64 pixels, 32 hidden units. You should see that what stands
# before saves about a fifth of what a table for each pixel costs, after these twenty epochs.

# %%
pictures = (digits_8x8().images.flatten(1) > 0.5).float()
train, test = pictures[:1500], pictures[1500:]


class Estimator(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        sizes = (hidden, 64), (hidden,), (64, hidden), (64,)
        self.parts = nn.ParameterList([0.1 * torch.randn(size) for size in sizes])

    def forward(self, x: Tensor) -> Tensor:
        return nade_log_prob(x, *self.parts)


torch.manual_seed(run.seed)
estimator = Estimator(32)
player = adam_player(lambda x: -estimator(x), estimator, 1e-2)
fit([player], Batches(train, size=50), run.epochs(laptop=20))
share = (train.sum(0) + 0.5) / (len(train) + 1)  # of ones, a table for each pixel
of_tables = torch.where(test > 0, share, 1 - share).log().sum(1)
with torch.no_grad():
    cost = {
        "a coin each pixel": 64 * log(2),
        "a table each pixel": -float(of_tables.mean()),
        "with what stands before": -float(estimator(test).mean()),
    }
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 3))
figures.bars(axes, cost, "What stands before a pixel saves", "nats a digit, held out")
figure

# %% [markdown]
# *Figure: three bars of nats a digit: a coin each pixel 44, a table each pixel 24, with what stands before about 19.*

# %% [markdown]
# **Think on.** How many numbers does the estimator keep between two pixels, and what limits the past that it can hear through
# them?
#
# <details><summary>Answer</summary>One sum for each hidden unit, 32 numbers, whatever the pixel. Two pasts with the same
# sums are the same to all that comes later.</details>

# %% [markdown]
# ## · Codes drawn in order •••
#
# *25 minutes.* Pixels or codes, a distribution that factorises, $p(z) = \prod_i p(z_i \mid z_1, \dots, z_{i-1})$, is drawn
# from place by place. Here is the simplest one over codes that hears all of the past: the logits of place $i$ are a row of
# its own, plus a row for the code at each place before it,
#
# $$ \ell_i = b_i + \sum_{j < i} W_{ij z_j} , \qquad p(z_i = k \mid z_1, \dots, z_{i-1}) = \operatorname{softmax}(\ell_i)_k . $$
#
# All randomness comes in as uniform numbers: the code at place $i$ is the first one at which the cumulative probability exceeds
# $u_i$, or the last code where it never does, at $u_i = 1$ or by rounding.
#
# `bias`, $b$: `[places, K]`; `weight`, $W$: `[places, places, K, K]`, where `weight[i, j, k]` is the row of $K$ numbers
# that place $i$ adds if place $j$ holds the code $k$ (there are numbers for $j \ge i$ too: they must not count); `u`: `[n,
# places]`, from 0 to 1 → two tensors: the codes, int64 `[n, places]`, and $\log p(z)$ of each draw, `[n]`.
#
# <details><summary>Hint 1</summary>Draw place 0 for all n at once. What do you need of it for place 1?</details>
# <details><summary>Hint 2</summary>A loop over the places, and within it one over those before. <code>weight[i, j, codes[:,
# j]]</code> is <code>[n, K]</code>. (Or keep the logits of all places as sums, to which each code drawn adds its
# rows.)</details>
# <details><summary>Hint 3</summary>With <code>p = logits.softmax(1)</code>, the number of codes whose cumulative
# probability does not exceed u is the code: <code>(p.cumsum(1) &lt;= u[:, i, None]).sum(1)</code>; it can be K,
# so clamp. log p adds up over the places.</details>


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
# Such a prior can be fitted, by gradients of its log-probability: here to 8 × 8 digits of the class 3, 64 places of two
# grey levels. Beside it the same without $W$: a table for each place. You should see strokes that join where the draws hear
# what came before, and dust where they do not.

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
# *Figure: three rows of twelve pictures of 8 × 8. Threes of the set; from places alone, ink where threes have it, but torn;
# hearing the past, most of them threes, a few broken.*

# %% [markdown]
# **Think on.** A step of this draw looks at all places before; a step of the lecture's masked MLP does not. What does it
# look at instead, and what has to be kept for that?
#
# <details><summary>Answer</summary>At the hidden sums, which hold what the places before have added: one row for each
# hidden unit, however many places there were.</details>
