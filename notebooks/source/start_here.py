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
# What can a machine learn when nobody tells it the answers?
#
# **After this lecture you can**
# - say why one learns without labels, and what compression has to do with it;
# - name the five components of any learning method, and find them in two old ones;
# - read the notation of the course, and its language: distributions with batch and event shapes;
# - tell what to read again before lecture [[autoencoders]].
#
# **You need** [[needs]]. **Time**: [[time]].

# %% tags=["skip"]
from itertools import pairwise
from math import log2

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vae_course.data.images import digits_8x8, split
from vae_course.notebook import diagrams, figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()

# %% [markdown] tags=["slide"]
# ## · Why learn without labels
#
# A classifier learns p(y|x), the answer to one question about x. Somebody must answer that question thousands of times
# first, and nothing else was asked of it: not how to draw a digit, nor how to mend a torn one, nor whether a picture is a
# digit at all.
#
# A label says little, too. Which of ten digits it is, that is on average at most $\log_2 10 = 3.3$ bits. The picture has
# many more, and it comes for free. One way to learn from it, and the way of this course, is to learn p(x): **what do
# digits look like?**

# %%
train, held_out = split(digits_8x8(), held_out=397)
# [n, 64], grey values from 0 to 1
x, test = train.images.flatten(1), held_out.images.flatten(1)

figure, (axes,) = figures.subplots(1, 1, figsize=(11, 1.6))
figures.show_mosaic(
    axes, held_out.images[:30], 15, f"Thirty held-out digits of 8 × 8 pixels ({train.name})"
)
figure

# %% [markdown]
# *Figure: two rows of fifteen coarse handwritten digits.*

# %% [markdown] tags=["slide"]
# ## · Five components
#
# We shall ask five questions of every method. Here they are for two old ones, **clustering** by k-means and
# **principal component analysis** (PCA):
#
# | component | the question | clustering | PCA |
# |---|---|---|---|
# | data | learn from what, judge on what? | digits, some held out | the same |
# | model | what can it express? | one of K mean pictures | mean + a sum of k directions |
# | objective | what is a good x̂? | small squared error | small squared error |
# | optimisation | how is it found? | assign, average, repeat | one singular value decomposition |
# | evaluation | does it hold for new data? | held-out error | held-out error |
#
# Both describe a picture by something that was not observed: the number of a cluster, or k coordinates. Such a
# description is called **latent**. The models of this course have latents of both kinds.


# %%
def nearest(x: Tensor, centres: Tensor) -> Tensor:  # [n]: the closest centre of each picture
    return torch.cdist(x, centres).argmin(1)


def k_means(x: Tensor, clusters: int, steps: int) -> tuple[Tensor, list[float]]:
    generator = torch.Generator().manual_seed(run.seed)
    centres, losses = x[torch.randperm(len(x), generator=generator)[:clusters]], []
    for _ in range(steps):
        chosen = nearest(x, centres)  # assign each picture to the closest centre,
        losses.append(float((x - centres[chosen]).square().sum(1).mean()))
        for k in chosen.unique():  # and move each centre to the mean of its pictures
            centres[k] = x[chosen == k].mean(0)
    return centres, losses


centres, losses = k_means(x, clusters=10, steps=25)
mean = x.mean(0)
# rows: directions of largest variance first
directions = torch.linalg.svd(x - mean, full_matrices=False)[2]

# %%
chosen = nearest(test, centres)
by_cluster = centres[chosen]
codes = (test - mean) @ directions[:10].T  # [n, 10]
by_components = mean + codes @ directions[:10]
picture = lambda flat: flat.unflatten(1, (1, 8, 8))
rows = {
    "digit": picture(test[:14]),
    "its cluster": picture(by_cluster[:14]),
    "10 components": picture(by_components[:14]),
}
figures.image_rows(rows, "One of ten mean pictures, and ten numbers: the numbers say more")

# %% [markdown]
# *Figure: fourteen held-out digits; below each the mean picture of its cluster, a typical digit often of the same
# kind; below it the reconstruction from ten principal components, closer to the digit itself.*

# %%
from vae_course.evaluation.ranking import cluster_accuracy

error = lambda answer: float((test - answer).square().sum(1).mean())
errors = {"mean": error(mean), "cluster": error(by_cluster), "components": error(by_components)}
accuracy = cluster_accuracy(chosen, held_out.labels)
claim(
    "the objective of k-means never rises from one step to the next",
    all(later <= earlier + 1e-4 for earlier, later in pairwise(losses)),
    first=losses[0], last=losses[-1],
)  # fmt: skip
claim(
    "held out, the number of a cluster takes away more than a third of the mean picture's error, ten components more than two thirds",
    errors["cluster"] < 2 / 3 * errors["mean"] and errors["components"] < errors["mean"] / 3, **errors,
)  # fmt: skip
claim(
    "matched one to one with the classes, the clusters name more than half of the held-out digits, though no label was used",
    accuracy > 0.5, accuracy=accuracy,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · A good model is a short code
#
# How many bits does it take to write a digit down, so that it can be read back exactly? With a code made for the
# distribution $p$, an outcome costs $-\log_2 p(x)$ bits, rounded up (Shannon, 1948); on average no code is shorter than
# that of the true distribution. Three codes for our digits of 17 grey levels (sender and receiver both hold the tables,
# which are not counted, nor is the rounding):
#
# - every level of every pixel equally likely;
# - each pixel with the frequencies it had in training;
# - first the number of the cluster, then each pixel with its frequencies **in that cluster**.
#
# <details><summary>Predict: does the third code pay? The number of the cluster costs bits, too.</summary>
#
# It pays if the cluster tells the pixels apart by more than its own cost, about 3.3 bits. It does: it knows in one go
# something about all 64 pixels.
# </details>

# %%
LEVELS = 17


def frequencies(
    level: Tensor,
) -> Tensor:  # [n, 64] of 0 to 16 -> [64, 17], log2 p of each level
    counts = torch.nn.functional.one_hot(level, LEVELS).sum(0) + 0.3  # nothing is impossible
    return (counts / counts.sum(1, keepdim=True)).log2()


def bits(table: Tensor, level: Tensor) -> Tensor:  # [n]
    return -table.gather(1, level.T).sum(0)


# %%
level, test_level = ((pixels * 16).round().long() for pixels in (x, test))
member = nearest(x, centres)
share = torch.bincount(member, minlength=10) / len(x)
by_name = torch.empty(len(test))
for k in range(10):
    here = chosen == k
    table = frequencies(level[member == k])
    by_name[here] = bits(table, test_level[here]) - share[k].log2()

cost = {
    "uniform": 64 * log2(LEVELS),
    "each pixel": float(bits(frequencies(level), test_level).mean()),
    "cluster, then pixels": float(by_name.mean()),
}
print({name: f"{value:.0f} bits" for name, value in cost.items()})

# %%
claim(
    "the frequencies of the pixels save more than 90 bits of a held-out digit",
    cost["each pixel"] < cost["uniform"] - 90, **cost,
)  # fmt: skip
claim(
    "the cluster saves more than 8 further bits, its own cost included",
    cost["cluster, then pixels"] < cost["each pixel"] - 8, **cost,
)  # fmt: skip

# %% [markdown]
# The third code is a latent variable model: draw a cluster, then the pixels. From lecture [[latent_variable_models]] on we write such costs
# in **nats** (natural logarithms; one nat is 1.44 bits), make the latent continuous and the pixels' distribution a
# network. Then p(x) can in general no longer be computed: we shall compute something that is never above log p(x),
# and know how far below it is where an exact value exists.

# %% [markdown]
# ## · The map
#
# The numbers in the boxes are the lectures. An arrow is the usual order; every lecture says what it needs. In a hurry? The README has routes for an hour, half a day and a semester.

# %%
PARTS: dict[str, list[str]] = {}  ### COURSE MAP

figure, (axes,) = figures.subplots(1, 1, figsize=(14, 4))
diagrams.box_columns(axes, PARTS, figures.COLOURS)
figure

# %% [markdown]
# *Figure: columns of boxes joined by arrows, one for each part: [[map]].*

# %% [markdown] tags=["slide"]
# ## · Notation
#
# | symbol | read as |
# |---|---|
# | $x$, $z$ | an observation, and its latent |
# | $p_\theta(x \mid z)$ | the likelihood: what the decoder says of x; θ its parameters |
# | $p(z)$ | the prior |
# | $p_\theta(z \mid x)$, $q_\phi(z \mid x)$ | the posterior, and what stands in for it: the encoder; φ its parameters |
# | $D_{\mathrm{KL}}(q \,\Vert\, p)$ | the KL divergence, $\mathbb E_q[\log q - \log p]$ |
# | $\mathcal L$ | the evidence lower bound (ELBO), at most $\log p_\theta(x)$ |
# | $\mathcal N(\mu, \sigma^2)$ | a normal distribution; σ is always the standard deviation |
# | $\varepsilon$ | noise of a known distribution, mostly $\mathcal N(0, I)$ |
#
# This is to be looked up later, not to be learnt now. log is the natural logarithm, other bases are written. Bounds
# are in nats per example unless bits per dimension are named.

# %% [markdown] tags=["slide"]
# ## · Shapes: sample, batch, event
#
# From lecture [[latent_variable_models]] on, models are written in `torch.distributions`. A tensor of draws has three kinds of axes:
#
# $$ \text{shape of a draw} = \underbrace{[\text{samples}]}_{\text{how often}} + \underbrace{[\text{batch}]}_{\text{how many distributions}} +
#    \underbrace{[\text{event}]}_{\text{one outcome}} $$
#
# **One event has one log-probability** (for densities, one log-density). So the same six numbers can be six outcomes
# of six distributions, three outcomes of two numbers, or one outcome of six. `Independent(p, k)` declares the last k
# batch axes to be part of the event, and `log_prob` then sums over them.

# %%
numbers = torch.arange(6.0).view(3, 2)
p = Normal(numbers, 1 + numbers)  # six different ones
figure, axes = figures.subplots(1, 3, figsize=(13, 4.2))
diagrams.event_frames(axes[0], p, "Normal(μ, σ)")
diagrams.event_frames(axes[1], Independent(p, 1), "Independent(·, 1)")
diagrams.event_frames(axes[2], Independent(p, 2), "Independent(·, 2)")
figure

# %% [markdown]
# *Figure: three times the same three by two blue squares. In vermilion frames: at the left each square by itself,
# batch [3, 2] and event []; in the middle each row, batch [3] and event [2]; at the right all six, batch [] and event
# [3, 2]. Each frame gets one log-probability.*

# %%
draw = Independent(p, 1).sample((5,))  # [samples, batch, event]
points = torch.randn(7, 2)
table = Independent(p, 1).log_prob(points[:, None])  # [7, 1, 2] against [3, 2] -> [7, 3]
rows_of_p = [Independent(Normal(p.loc[j], p.scale[j]), 1) for j in range(3)]
claim(
    "five draws of three distributions of two numbers have shape [5, 3, 2], and [5, 3] log-probabilities",
    draw.shape == (5, 3, 2) and Independent(p, 1).log_prob(draw).shape == (5, 3),
)  # fmt: skip
claim(
    "declaring an event sums log-probabilities over its axes",
    torch.allclose(Independent(p, 1).log_prob(draw), p.log_prob(draw).sum(-1)),
)  # fmt: skip
claim(
    "a new axis gives every point its log-probability under every distribution, [7, 3]",
    table.shape == (7, 3)
    and torch.allclose(table, torch.stack([row.log_prob(points) for row in rows_of_p], 1)),
)  # fmt: skip

# %% [markdown]
# If you forget to declare the event, "the" log-likelihood of a picture is 784 numbers, and whoever takes their mean
# divides it by 784.
#
# Expectations are estimated by the mean over draws; if the variance is finite, the error shrinks like one over the root
# of their number. Where an exact value is known, this course holds the estimate against it.
#
# Now **exercises [[:normal_log_density]] to [[:expectation]]** (a log-density by hand, a table of log-densities, an expectation).

# %% [markdown] tags=["slide"]
# ## · Are you ready?
#
# Eight questions. A wrong answer says what to read again; the free book named is *Mathematics for Machine Learning*
# by Deisenroth, Faisal & Ong.

# %%
from vae_course.notebook.widgets.self_test import self_test

self_test()

# %% [markdown] tags=["slide"]
# ## Remember
#
# - Who knows p(x) can write x in $-\log_2 p(x)$ bits: learning what to expect makes messages short.
# - Data, model, objective, optimisation, evaluation: ask for all five, of every method.
# - A latent was not observed, and describes what was.
# - Draws have shape sample + batch + event. One event, one log-probability.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Shannon (1948), *A mathematical theory of communication*. Lloyd (1982), *Least squares quantization in
# PCM* (k-means; written in 1957). Pearson (1901), *On lines and planes of closest fit to systems of points in space*
# (PCA). Deisenroth, Faisal & Ong (2020), *Mathematics for Machine Learning*. **Data**: 8×8 digits (Alpaydin & Kaynak,
# UCI), as distributed with scikit-learn.
