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
# The checks call your function with tensors in float64, and in [[:unlabelled_bound]] follow its gradients: compute in
# torch there throughout. Every result is a torch tensor. `torch.zeros(n)` is float32; with `dtype=x.dtype` it has the
# number type of `x`.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises
# at once. All logarithms are natural: the unit is the nat.

# %%
from itertools import accumulate
from math import log

import torch
from torch import Tensor

from vae_course.data.images import digits, fixed_binarization
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import few_labels as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
train, held_out = digits()
bits = fixed_binarization(train.images).flatten(1).double()

# %% [markdown]
# ## · The length of a code that learns as it goes •
#
# *10 minutes.* A set of pictures is sent in blocks. Model 0 has seen nothing, model 1 has learnt the first block, model
# $k$ the first $k$ blocks. Sender and receiver train the same models, each as soon as it can. How many nats does the
# whole set cost?
#
# `bounds`: `[blocks + 1, pictures]`, for every model a bound on $\log p(x)$ of every picture, in nats; `sizes`: a list
# of `blocks` whole numbers, how many pictures each block has, in the order in which they are sent → the length, a
# tensor without axes, in nats.
#
# <details><summary>Hint 1</summary>When the receiver decodes block k, counted from 0, which models does the receiver have?</details>
# <details><summary>Hint 2</summary>Block k begins where the blocks before it end: <code>itertools.accumulate(sizes, initial=0)</code>
# gives all these places.</details>
# <details><summary>Hint 3</summary>Add <code>-bounds[k, begin:end].sum()</code> over the blocks. The last model is never
# used.</details>


# %%
def prequential_length(bounds: Tensor, sizes: list[int]) -> Tensor:
    ### BEGIN SOLUTION
    ends = list(accumulate(sizes, initial=0))
    parts = [-bounds[k, ends[k] : ends[k + 1]].sum() for k in range(len(sizes))]
    return torch.stack(parts).sum()
    ### END SOLUTION


# %%
check(sheet.prequential_length, prequential_length)

# %% [markdown]
# The smallest model that learns: a table of pixel frequencies, which begins at ½ everywhere. Send 300 digits in blocks
# of equal size. You should see that many small blocks are shorter than one large one, since the table is brought up to
# date more often; and that the last table, which has seen all of them, would need fewer nats than any code that can be
# decoded. That difference is the price of learning.


# %%
def tables(
    pictures: Tensor, sizes: list[int]
) -> Tensor:  # [blocks + 1, pictures], log p in nats
    rows = []
    for seen in accumulate(sizes, initial=0):
        chance = (pictures[:seen].sum(0) + 0.5) / (seen + 1)
        rows.append((pictures * chance.log() + (1 - pictures) * (1 - chance).log()).sum(1))
    return torch.stack(rows)


sent = bits[:300]
counts = (1, 2, 5, 10, 20, 50, 100, 300)
by_count = [
    float(prequential_length(tables(sent, [300 // n] * n), [300 // n] * n)) for n in counts
]
peeking = -float(tables(sent, [300])[-1].sum())
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 4.5))
axes.plot(counts, [length / 300 for length in by_count], "o-", color=figures.BLUE, label="sent")
axes.axhline(peeking / 300, color=figures.VERMILION, linestyle="--", label="by the last table")
axes.set(xscale="log", title="Learning in small steps is cheaper", xlabel="blocks")
axes.set(ylabel="nats a picture", ylim=(0, 560))
axes.legend()
figure

# %% [markdown]
# *Figure: nats a picture against the number of blocks, on a logarithmic axis: a curve that falls from 543 at one block,
# steeply first, and levels off a little above a dashed line, which it never meets.*

# %% [markdown]
# ## · Not knowing which model to start from ••
#
# *20 minutes.* A learner may start from nothing, or from one of several other sets. Which start will give the shortest
# code is not known beforehand, and to send "the third" after looking would have to be paid for. A *mixture* needs no
# choice. Take the models $m$ as equally likely before the first block. What each has needed so far tells how likely it
# is now, by Bayes' rule, and block $b$ is coded by the average of the *probabilities*:
#
# $$ p(m \mid x_{<b}) \propto e^{-(\ell_{m1} + \dots + \ell_{m,b-1})}, \qquad
# L_b = -\log \sum_m p(m \mid x_{<b}) \, e^{-\ell_{mb}} . $$
#
# `lengths`, $\ell$: `[models, blocks]`, the nats that each model alone needs for each block → $L$: `[blocks]`, in nats.
# Lengths may be thousands.
#
# <details><summary>Hint 1</summary>At block b, which lengths does the receiver know? <code>lengths.cumsum(1)</code> has one block too
# many.</details>
# <details><summary>Hint 2</summary>The logarithms of the weights are a <code>log_softmax</code> over the models. At b = 0 they must all be equal.</details>
# <details><summary>Hint 3</summary><code>before = lengths.cumsum(1) - lengths</code>, <code>log_weight = (-before).log_softmax(0)</code>, and minus the
# <code>logsumexp</code> of <code>log_weight - lengths</code> over the models.</details>


# %%
def mixture_code(lengths: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    before = lengths.cumsum(1) - lengths
    log_weight = (-before).log_softmax(0)
    return -(log_weight - lengths).logsumexp(0)
    ### END SOLUTION


# %%
check(sheet.mixture_code, mixture_code)

# %% [markdown]
# Five tables that have already counted other pictures: two hundred digits of one class each, and a fifth that has seen
# nothing. Send twenty sevens, one by one, by tables that do not learn any more. You should see that the mixture costs
# what the best table costs, plus at most log 5 = 1.61 nats, and that it has found out within a picture or two. Why
# never more? Multiply out what it sends: the total is $-\log \frac15 \sum_m e^{-\ell_{m1} - \ell_{m2} - \dots}$, and
# one term of the sum is the best table's.

# %%
sevens = bits[train.labels == 7][200:220]
starts = {f"{c}s": bits[train.labels == c][:200] for c in (0, 1, 4, 7)}
starts["nothing"] = bits[:0]
each = []
for seen in starts.values():
    chance = (seen.sum(0) + 0.5) / (len(seen) + 1)
    each.append(-(sevens * chance.log() + (1 - sevens) * (1 - chance).log()).sum(1))
each = torch.stack(each)  # [models, blocks of one picture]
mixed = mixture_code(each)
excess = float(mixed.sum() - each.sum(1).min())
print(f"the mixture needs {excess:.2f} nats more than the best table; log 5 = {log(5):.2f}")
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 4.5))
for name, row in zip(starts, each, strict=True):
    axes.plot(range(1, 21), row.cumsum(0), label=f"table of {name}")
axes.plot(range(1, 21), mixed.cumsum(0), "k--", linewidth=3, label="mixture")
axes.set(title="A mixture costs hardly more than the best of its models")
axes.set(xlabel="sevens sent", ylabel="nats in all", xticks=range(0, 21, 5))
axes.legend()
figure

# %% [markdown]
# *Figure: nats in all against the number of sevens sent. Five lines rise at different rates, the table that has seen
# nothing most steeply, that of the sevens least; the dashed line of the mixture lies on the lowest.*

# %% [markdown]
# ## · Learning without a label •••
#
# *25 minutes.* Most pictures come without a label. Then the label is one more latent, with an approximate posterior
# $q_\phi(y \mid x)$, and if $\mathcal L(x, y)$ bounds $\log p(x \mid y)$ from below, then
#
# $$ \log p(x) \;\ge\; \sum_y q_\phi(y \mid x) \bigl[ \mathcal L(x, y) + \log p(y) - \log q_\phi(y \mid x) \bigr] $$
#
# (Kingma, Rezende, Mohamed & Welling, arXiv:1406.5298, equation 7; their $-\mathcal L$ contains $\log p(y)$ already).
# In the lecture all classes were equally likely. Here they need not be, and all of them count.
#
# `logits`: `[batch, classes]`, of $q_\phi(y|x)$, not normalised; `bounds`: `[batch, classes]`, $\mathcal L(x, y)$;
# `log_prior`: `[classes]`, $\log p(y)$ → `[batch]`, in nats, with gradients to logits and bounds. Logits of ±1,000 must
# give finite values and gradients.
#
# <details><summary>Hint 1</summary>You need q and log q. What is 0 · log 0, and what does the computer make of it?</details>
# <details><summary>Hint 2</summary>Take log q by <code>log_softmax</code>: at −2,000 it is finite, and exp of it is 0. All three terms
# in the brackets stand inside the mean over q.</details>
# <details><summary>Hint 3</summary><code>log_q.exp() * (bounds + log_prior - log_q)</code>, summed over the
# classes.</details>


# %%
def unlabelled_bound(logits: Tensor, bounds: Tensor, log_prior: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    log_q = logits.log_softmax(dim=-1)
    return (log_q.exp() * (bounds + log_prior - log_q)).sum(dim=-1)
    ### END SOLUTION


# %%
check(sheet.unlabelled_bound, unlabelled_bound)

# %% [markdown]
# Which $q$ is best? Take equally likely classes and let $r = \operatorname{softmax}(\mathcal L(x, \cdot))$, so that
# $\mathcal L(x, y) = \log r(y) + \log \sum_{y'} e^{\mathcal L(x, y')}$. Put this into the bound: the last term does not
# depend on $y$, and what remains is
#
# $$ \log \frac{1}{\text{classes}} \sum_y e^{\mathcal L(x, y)} \; - \; D_{KL}\bigl( q_\phi(y \mid x) \,\|\, r \bigr) . $$
#
# So the bound is largest at $q = r$, and there it is the first term. You should see both: on the left, with logits $t$
# times the bounds, the peak stands at $t = 1$ and reaches the line; on the right, many other $q$ lie below it by
# exactly their KL divergence.

# %%
bounds = torch.tensor([-92.0, -90.0, -90.5, -94.0], dtype=torch.float64)  # made up
best = float(bounds.logsumexp(0)) - log(len(bounds))
even = torch.full((len(bounds),), -log(len(bounds)), dtype=torch.float64)  # log p(y)
scales = torch.linspace(-0.5, 4, 91, dtype=torch.float64)
along = unlabelled_bound(scales[:, None] * bounds, bounds.expand(len(scales), -1), even)
logits = 1.5 * torch.randn(300, len(bounds), dtype=torch.float64)
drawn = unlabelled_bound(logits, bounds.expand(300, -1), even)
log_q, log_r = logits.log_softmax(-1), bounds.log_softmax(-1)
divergence = (log_q.exp() * (log_q - log_r)).sum(-1)

figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4.5))
left.plot(scales, along, color=figures.BLUE, label="your bound")
left.plot(1, best, "o", markersize=12, color=figures.GREEN, label="q = softmax(bounds)")
left.axhline(best, color=figures.VERMILION, linestyle="--", label="log mean exp(bounds)")
right.plot(divergence, drawn, "o", markersize=5, color=figures.BLUE, label="some q(y|x)")
right.axline((0, best), slope=-1, color=figures.BLACK, linewidth=1, label="slope −1")
right.plot(0, best, "o", markersize=12, color=figures.GREEN, label="q = softmax(bounds)")
left.set(
    title="No factor does better than t = 1",
    xlabel="factor t on the bounds",
    ylabel="bound on log p(x), nats",
)
right.set(
    title="What a q loses is its KL divergence",
    xlabel="D_KL(q || softmax(bounds)), nats",
    ylabel="bound on log p(x), nats",
)
for axis in (left, right):
    axis.legend()
figure

# %% [markdown]
# *Figure: left, the bound against t: it rises steeply to its peak at t = 1, where it touches a dashed line, and falls
# slowly after it. Right, the bound of 300 drawn q against their KL divergence: all lie on one line that falls with
# slope −1.*

# %% [markdown]
# **Think on.** Equation 7 costs one pass through the decoder for each class. Pictures without a label teach $q_\phi(y
# \mid x)$ to agree with the model; what, then, ties the model's class 3 to the digit 3? What would the bound alone
# find, and how many labels would you need to name it?
