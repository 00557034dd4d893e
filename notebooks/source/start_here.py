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
# - tell the code of an outcome from that of an outcome and its latent;
# - read the notation of the course, and distributions with batch and event shapes;
# - tell what to read again before lecture [[autoencoders]].

# %% [markdown]
# **You need** [[needs]]. **Time**: [[time]].

# %% tags=["skip"]
import bz2
from collections.abc import Callable
from itertools import pairwise, permutations
from math import log, log2

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn.functional import cross_entropy

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
# A label says little, too. Which of ten digits it is, that is on average at most $\log_2 10 = 3.3$ bits. The picture
# may hold more: our shortest code of one, in section [[#A good model]], has some forty times the bits. And it comes for free. One way to learn from it, and the way of this
# course, is to learn p(x): **what do digits look like?**

# %% tags=["slide"]
train, held_out = split(digits_8x8(), held_out=397)
# [n, 64], grey values from 0 to 1
x, test = train.images.flatten(1), held_out.images.flatten(1)

figure, (axes,) = figures.subplots(1, 1, figsize=(11, 1.6))
figures.show_mosaic(
    axes,
    held_out.images[:30],
    15,
    "Thirty of 397 held-out digits, 8 × 8 pixels of 17 grey levels",
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


# %% tags=["slide"]
def nearest(x: Tensor, centres: Tensor) -> Tensor:  # [n]: the closest centre of each picture
    return torch.cdist(x, centres).argmin(1)


def k_means(x: Tensor, clusters: int, steps: int, seed: int) -> tuple[Tensor, list[float]]:
    generator = torch.Generator().manual_seed(seed)
    centres, losses = x[torch.randperm(len(x), generator=generator)[:clusters]], []
    for _ in range(steps):
        chosen = nearest(x, centres)  # assign each picture to the closest centre,
        losses.append(float((x - centres[chosen]).square().sum(1).mean()))
        for k in chosen.unique():  # and move each centre to the mean of its pictures
            centres[k] = x[chosen == k].mean(0)
    return centres, losses


# %% [markdown]
# Where k-means ends depends on where it starts. The usual remedy: start several times, keep the end with the smallest
# error on the training digits.

# %%
from vae_course.exact.principal_components import PrincipalComponents

starts = [k_means(x, 10, run.epochs(laptop=40), 10 * run.seed + i) for i in range(10)]
centres, losses = min(starts, key=lambda start: start[1][-1])
chosen = nearest(test, centres)

components = PrincipalComponents(x, 10)  # the best directions, by one decomposition
answers = {
    "mean digit": x.mean(0).expand_as(test),
    "its cluster": centres[chosen],
    "ten numbers": components(test),
}

# %% tags=["slide"]
picture = lambda flat: flat.unflatten(1, (1, 8, 8))
rows = {name: picture(answer[:14]) for name, answer in answers.items()}
figures.image_rows(
    {"digit": picture(test[:14]), **rows},
    "One of ten mean pictures, and ten numbers: the numbers say more",
)

# %% [markdown]
# *Figure: fourteen held-out digits in the top row. Below each: the same blurred mean of all digits; the mean picture of its
# cluster, sharper, but the 5 and the last digit, a 9, are answered by a 3; its reconstruction from ten numbers, close to
# the digit, with grey stains around the strokes.*

# %% tags=["slide"]
from vae_course.evaluation.ranking import cluster_accuracy

error = {
    name: float((test - answer).square().sum(1).mean()) for name, answer in answers.items()
}
print({name: f"{value:.2f} a digit" for name, value in error.items()})
named = [cluster_accuracy(nearest(test, each), held_out.labels) for each, _ in starts]
shuffled = chosen[torch.randperm(len(chosen))]
by_chance = cluster_accuracy(shuffled, held_out.labels)
print(
    f"named right by ten starts: {min(named):.0%} to {max(named):.0%}; by shuffled numbers {by_chance:.0%}"
)

# %% [markdown] tags=["fragment"]
# The last line matches clusters with classes, one to one, as well as possible, and counts the digits that lie in the
# right one. No label was used before. Look at the spread: the start decides much, and nothing in the objective prefers
# clusters that are classes.

# %%
claim(
    "the objective of k-means never rises from one step to the next, whatever the start",
    all(after <= before + 1e-4 for _, one in starts for before, after in pairwise(one)),
    worst=max(
        (after - before for _, one in starts for before, after in pairwise(one)), default=0
    ),
)
claim(
    "held out, the number of a cluster takes away at least two fifths of the mean picture's error, ten components seven tenths",
    error["its cluster"] < 0.6 * error["mean digit"]
    and error["ten numbers"] < 0.3 * error["mean digit"], **error,
)  # fmt: skip
claim(
    "matched with the classes, clusters name on average more than six digits in ten, shuffled numbers fewer than two",
    sum(named) / len(named) > 0.6 and by_chance < 0.2, starts=named, chance=by_chance,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · A good model is a short code
#
# How many bits does it take to write a digit down, so that it can be read back exactly? Shannon (1948): no code whose
# words can be read back when they are written one after another averages fewer than $\mathbb E[-\log_2 p(x)]$ bits, and the lengths $-\log_2 p(x)$, rounded up, can be had.
# (Rounding costs less than one bit, and one outcome by itself may feel it: for p = (0.9, 0.1) the rounded lengths 1 and 4
# average 1.3 bits, the best code has 1, and the bound is 0.47. A whole digit rounds once.)
#
# A code made for another distribution than the true one costs more, on average, by their KL divergence in bits. So:
# **the better the model, the shorter the code.** Four codes for our digits; sender and receiver hold the tables, which
# are not counted:
#
# - every level of every pixel equally likely;
# - each pixel with the frequencies that it had in training;
# - first the number of a cluster, then each pixel with its frequencies **in that cluster** (whichever makes it shortest);
# - the same tables, but nobody names the cluster: p(x) is the sum over all ten.

# %% [markdown] tags=["slide"]
# **Predict: does the third code pay? The number of the cluster costs bits, too.**
#
# <details><summary>Then unfold</summary>
#
# It pays if the cluster tells the pixels apart by more than its own cost, about 3.3 bits. It does: it knows in one go
# something about all 64 pixels.
# </details>

# %%
LEVELS = 17


def frequencies(level: Tensor) -> Tensor:  # [n, 64] of 0 to 16 -> [64, 17], log p of each level
    counts = torch.nn.functional.one_hot(level, LEVELS).sum(0) + 0.3  # nothing is impossible
    return (counts / counts.sum(1, keepdim=True)).log()


def log_prob(table: Tensor, level: Tensor) -> Tensor:  # [n]: the pixels are independent
    return table.gather(1, level.T).sum(0)


# %% tags=["slide"]
levels = lambda x: (x * 16).round().long()
member = nearest(x, centres)
log_share = (torch.bincount(member, minlength=10) / len(x)).log()  # log p(z)
tables = [frequencies(levels(x[member == k])) for k in range(10)]
one_table = frequencies(levels(x))


def log_joint(
    flat: Tensor,
) -> Tensor:  # [n, 10], log p(x, z) = log p(z) + log p(x|z), for each cluster z
    by_cluster = torch.stack([log_prob(table, levels(flat)) for table in tables], 1)
    return log_share + by_cluster


# %%
joint, bits = log_joint(test), lambda log_p: -log_p / log(2)
cost = {
    "all levels alike": torch.tensor(64 * log2(LEVELS)),
    "bz2, a general compressor": torch.tensor(
        8 * len(bz2.compress(bytes(levels(test).flatten().tolist()))) / len(test)
    ),
    "each pixel": bits(log_prob(one_table, levels(test))),
    "cluster, then pixels": bits(joint.amax(1)),  # the cluster that makes it shortest
    "pixels, cluster summed out": bits(joint.logsumexp(1)),
}
cost = {name: float(value.mean()) for name, value in cost.items()}

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 3.6))
figures.bars(
    axes,
    cost,
    "Ten clusters save some fourteen bits more, their names included",
    "bits for a held-out digit, mean",
)
figure

# %% [markdown]
# *Figure: five bars, the longest for levels that are all alike, 262 bits; then 180 for the general compressor, 155 for the
# frequencies of the pixels, and two of the same length to the eye, about 141, for the two uses of the clusters.*
#
# (The general compressor, bz2, was given all held-out digits as one file and must carry its tables along.)

# %%
claim(
    "the frequencies of the pixels save between 100 and 115 bits of a held-out digit",
    100 < cost["all levels alike"] - cost["each pixel"] < 115, **cost,
)  # fmt: skip
claim(
    "a cluster saves between 12 and 16 bits more, the cost of its name included",
    12 < cost["each pixel"] - cost["cluster, then pixels"] < 16, **cost,
)  # fmt: skip
claim(
    "whoever sums over the clusters instead of naming one saves a little more, less than a tenth of a bit",
    0.01 < cost["cluster, then pixels"] - cost["pixels, cluster summed out"] < 0.1, **cost,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# The last two share one **latent variable model**: draw a cluster z, then the pixels. They pay for different things. The
# third code pays $-\log p(x, z)$, for the digit *and* its cluster; the fourth pays
# $-\log p(x) = -\log \sum_z p(x, z)$, for the digit. The difference is $-\log p(z \mid x)$, what it costs to name a
# cluster to somebody who sees the digit already. Here that is a few hundredths of a bit on average: a digit nearly settles
# its cluster.

# %% [markdown] tags=["slide"]
# **Break it.** In `log_joint` drop `log_share +`, so that the name costs nothing, and run the section again. Which claim
# falls?
#
# <details><summary>Then unfold</summary>
#
# The second: it now "saves" about 3.2 bits more than before, and so more than the 16 that it allows, a saving that no receiver could decode. An
# upper end belongs to such a claim, since this error makes results better.
# </details>
#
# From lecture [[latent_variable_models]] on we write such costs in **nats** (natural logarithms; one nat is 1.44 bits), make the latent
# continuous and the pixels' distribution a network. Then the sum becomes an integral that can in general no longer be
# computed: we shall compute something that is never above log p(x), and know how far below it is where an exact value
# exists.
#
# Now **exercise [[:bits_wasted]]** (what a wrong table costs).

# %% [markdown] tags=["slide"]
# ## · A puzzle that makes its own answers
#
# Cut a digit in four and shuffle the pieces. Whoever shuffled knows the answer, so a computer can make as many solved
# puzzles as it likes, and no person labels anything. Learning from tasks that the data themselves answer is called
# **self-supervised** (the puzzle is that of Noroozi & Favaro, 2016). There are 24 orders; a guess is right once in 24.

# %%
piece = torch.arange(64).view(2, 4, 2, 4).transpose(1, 2).reshape(4, 16)  # the pixels of each
orders = torch.tensor(list(permutations(range(4))))  # [24, 4]
source = torch.empty(24, 64, dtype=torch.int64)
source[:, piece.flatten()] = piece[orders].flatten(1)  # [24, 64]: which pixel is shown where
arranged = test[
    :, source
]  # [n, 24, 64], every digit in every order; the first is the right one

# %% tags=["fragment"]
rows = {
    "shuffled": picture(arranged[range(12), torch.arange(12) * 5 % 23 + 1]),
    "solved": picture(test[:12]),
}
figures.image_rows(rows, "Four quarters in a wrong order, and in the right one")

# %% [markdown]
# *Figure: twelve pictures above, digits whose quarters have changed places, so that strokes break off at the middle lines; the
# same twelve below, put together.*

# %% [markdown] tags=["slide"]
# **Predict: can the tables of the last section solve it? They have never seen a puzzle.**
#
# <details><summary>Then unfold</summary>
#
# Yes: of the 24 pictures, take the one with the largest p(x). A wrong order is a digit that looks unlikely. The better
# the model knows digits, the more it should solve.
# </details>
#
# Beside them a network that learns the puzzle itself, in a plain loop: shuffle, guess the order, take a step.

# %% tags=["slide"]
torch.manual_seed(run.seed)
network = nn.Sequential(
    nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 24)
)
adam = torch.optim.Adam(network.parameters(), lr=3e-3)
history = []
for _ in range(run.epochs(laptop=600)):
    order = torch.randint(24, (len(x),))  # a new puzzle of every digit, and its answer
    loss = cross_entropy(network(x.gather(1, source[order])), order)
    adam.zero_grad()
    loss.backward()
    adam.step()
    history.append(float(loss.detach()))

# %% [markdown]
# Solved is a puzzle when the picture is right. Two more yardsticks, which know no probability: the order whose picture
# lies nearest to the mean digit, and the order whose picture lies nearest to any training digit.


# %%
def solved(score: Callable[[Tensor], Tensor]) -> float:  # [m, 64] -> [m], the higher the better
    best = score(arranged.flatten(0, 1)).view(len(test), 24).argmax(1)
    return float((arranged[range(len(test)), best] == test).all(1).float().mean())


order = torch.randint(24, (len(test),))
puzzles = test.gather(1, source[order])
guessed = network(puzzles).argmax(1)
put_back = puzzles.gather(1, source[guessed].argsort(1))  # undo the order that was guessed
share = {
    "a guess": 1 / 24,
    "nearest to the mean digit": solved(lambda flat: -(flat - x.mean(0)).square().sum(1)),
    "p(x), one table": solved(lambda flat: log_prob(one_table, levels(flat))),
    "p(x), ten clusters": solved(lambda flat: log_joint(flat).logsumexp(1)),
    "a network trained on puzzles": float((put_back == test).all(1).float().mean()),
    "nearest to a training digit": solved(lambda flat: -torch.cdist(flat, x).amin(1)),
}

# %% tags=["slide"]
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 4.2))
left.plot(history)
left.axhline(log(24), color="black", linestyle=":")
left.set(title="The network learns", xlabel="step", ylabel="cross-entropy, nats")
percent = {name: 100 * value for name, value in share.items()}
figures.bars(right, percent, "Whoever knows digits solves it", "% of held-out puzzles solved")
figure

# %% [markdown]
# *Figure: at the left the loss of the network, from the dotted line at log 24 steeply down, then slowly, with fine jitter. At
# the right six bars: a guess far below all others, the mean digit and the single table at 60 to 70 %, ten clusters and the
# network between 80 and 95 %, the nearest training digit at the bottom with the longest bar.*

# %%
claim(
    "one table of frequencies solves more than six puzzles in ten, ten clusters at least one in ten more",
    share["p(x), one table"] > 0.6
    and share["p(x), ten clusters"] > share["p(x), one table"] + 0.1, **share,
)  # fmt: skip
claim(
    "a network that learnt from puzzles alone solves more than eight in ten that it has not seen",
    share["a network trained on puzzles"] > 0.8, **share,
)  # fmt: skip
claim(
    "the plainest method solves more than the tables: the picture nearest to a training digit is right in more than nine in ten",
    share["nearest to a training digit"] > max(0.9, share["p(x), ten clusters"]), **share,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# Three things to keep. The network answers the one question that it was trained on; **the model of p(x) answers a question
# that nobody had put to it.** Put the plain method beside the network: on 8 × 8 pixels a list of 1,400 digits does it
# better, and it is a model of p(x), too: a mixture of equally narrow normals around the training digits ranks pictures so
# in the limit of small width. And that a puzzle is solved does not say that what was learnt helps elsewhere.

# %% [markdown] tags=["slide"]
# ## · The map
#
# The numbers in the boxes are the lectures. An arrow is the usual order; every lecture says what it needs. In a hurry? The README has routes for an hour, half a day and a semester.

# %% tags=["fragment"]
PARTS: dict[str, list[str]] = {}  ### COURSE MAP

figure, (axes,) = figures.subplots(1, 1, figsize=(14, 4))
diagrams.box_columns(axes, PARTS, figures.COLOURS)
figure

# %% [markdown]
# *Figure: columns of boxes, one for each part, their headings joined by arrows: [[map]].*

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

# %% tags=["slide"]
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

# %% tags=["slide"]
draw = Independent(p, 1).sample((5,))  # [samples, batch, event]
event = Independent(p, 1).log_prob(draw)
print(f"a draw {list(draw.shape)}, its log-probabilities {list(event.shape)}")

# %% tags=["fragment"]
claim(
    "five draws of three distributions of two numbers have shape [5, 3, 2], and [5, 3] log-probabilities",
    draw.shape == (5, 3, 2) and event.shape == (5, 3),
)  # fmt: skip
claim(
    "declaring an event sums log-probabilities over its axes",
    event.shape == (5, 3) and torch.allclose(event, sum(p.log_prob(draw).unbind(-1))),
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
# - Whoever knows p(x) can write x in $-\log_2 p(x)$ bits and a rounding. Naming a discrete latent as well costs
#   $-\log_2 p(x, z)$, never less.
# - A model of p(x) answers questions that it was not trained for. Ask what the plain method answers, too.
# - Data, model, objective, optimisation, evaluation: ask for all five, of every method.
# - A latent was not observed, and describes what was.
# - Draws have shape sample + batch + event. One event, one log-probability.
#
# **Exercises**: [[sheet]].

# %% [markdown]
# **Sources**: Shannon (1948), *A mathematical theory of communication*. Lloyd (1982), *Least squares quantization in
# PCM* (k-means; written in 1957). Pearson (1901), *On lines and planes of closest fit to systems of points in space*
# (PCA). Noroozi & Favaro (2016), arXiv:1603.09246 (the puzzle). Deisenroth, Faisal & Ong (2020), *Mathematics for Machine Learning*. **Data**: 8×8 digits (Alpaydin & Kaynak,
# UCI), as distributed with scikit-learn.
