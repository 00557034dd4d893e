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
# The checks call your function with tensors in float64. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All logarithms are natural: the unit is the nat.

# %%
from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from vae_course.data.batches import Batches
from vae_course.data.images import digits_8x8, split
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.pixels import NormalWithLearnedStd
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import evaluation as sheet
from vae_course.models.vae import VAE, mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = split(digits_8x8(), held_out=300)  # grey pictures of 8×8 pixels, in [0, 1]
x = train.images

# %% [markdown]
# ## · Active units •
#
# *15 minutes.* At an optimum of the ELBO, a latent that the decoder does not use has $q_\phi(z_j \mid x) \approx p(z_j)$ for
# every $x$: its posterior mean hardly varies. Call unit $j$ **active** if
#
# $$ \operatorname{Var}_x \bigl( \mathbb E_{q_\phi(z|x)}[z_j] \bigr) > \text{threshold} $$
#
# (Burda, Grosse & Salakhutdinov, arXiv:1509.00519, section 5.2, with the threshold 0.01). A unit whose mean is large but
# the same for all $x$ tells nothing about $x$, and is not active.
#
# `means`: `[n, latent]`, the posterior mean of each of n examples, $n \ge 2$; `threshold`: a number, 0 or more → `[latent]`,
# of bool. A variance equal to the threshold is not above it: at threshold 0 a unit that never moves is not active. Whether
# you divide by n or by n − 1 is no matter here.
#
# <details><summary>Hint 1</summary>Two axes, examples and latents: over which does x vary?</details>
# <details><summary>Hint 2</summary>The variance is the mean of the squared deviations from each unit's own mean. Torch has
# a method for it, which takes an axis.</details>
# <details><summary>Hint 3</summary><code>means.var(0)</code> is [latent]; a comparison of a tensor with a number gives
# bools.</details>


# %%
def active_units(means: Tensor, threshold: float) -> Tensor:
    ### BEGIN SOLUTION
    return means.var(0) > threshold
    ### END SOLUTION


# %%
check(sheet.active_units, active_units)

# %% [markdown]
# Three VAEs of 8 × 8 digits under a normal likelihood: σ learned, and σ held at 0.5 and at 1. You should see no active unit at
# σ = 1, a few at 0.5, and most or all where σ was learned: the σ that nobody chose decides how much a code may say.


# %%
def trained(family) -> VAE:
    vae = mlp_vae(train.shape, hidden=(128,), latent=16, family=family)
    player = adam_player(lambda x: -elbo(vae, x).value, vae, 1e-2)
    fit([player], Batches(x, size=150), epochs=run.epochs(laptop=60))
    return vae


models = {"σ learned": trained(NormalWithLearnedStd())}
for std in (0.5, 1.0):
    models[f"σ = {std:g}"] = trained(
        lambda mean, std=std: diagonal_normal(mean, std, event_axes=3)
    )
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
for (name, model), colour in zip(models.items(), figures.COLOURS, strict=False):
    with torch.no_grad():
        means = model.posterior(held_out.images).mean
    count = int(active_units(means, 0.01).sum())
    variances = means.var(0).sort(descending=True).values
    label = f"{name}: {count} active"
    axes.plot(range(1, 17), variances, "o-", linewidth=1, color=colour, label=label)
axes.axhline(0.01, color=figures.BLACK, linestyle="--", label="threshold")
axes.set(
    title="The larger σ, the fewer units are active",
    xlabel="unit, in order of its variance",
    ylabel="variance over x of E[z | x]",
    yscale="log",
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# ## · Two models on the same examples ••
#
# *10 minutes.* Two models gave $\log p(x)$ of the same $n$ held-out examples. Which is better, and could it be chance? Return
# the mean of the differences and its standard error,
#
# $$ \overline{d} = \frac1n \sum_i d_i, \quad d_i = a_i - b_i, \qquad
#    \widehat{\text{se}} = \frac{1}{\sqrt n} \sqrt{\frac{1}{n - 1} \sum_i (d_i - \overline d)^2} . $$
#
# `a`, `b`: `[n]`, in nats, $n \ge 2$ → two tensors without axes.
#
# <details><summary>Hint 1</summary>What makes a digit hard is common to both models. What is left of it in the difference?</details>
# <details><summary>Hint 2</summary>One deviation is enough: that of the differences.</details>
# <details><summary>Hint 3</summary><code>d.mean()</code>, and <code>d.std()</code> over the root of <code>len(d)</code>.</details>


# %%
def paired_difference(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    difference = a - b
    return difference.mean(), difference.std() / len(difference) ** 0.5
    ### END SOLUTION


# %%
check(sheet.paired_difference, paired_difference)

# %% [markdown]
# Two trainings of one model, and the one with σ = 1, on the same held-out digits. You should see that the error of the difference is smaller than
# that of either mean.


# %%
def bounds_of(model: VAE) -> Tensor:  # [n] nats: the ELBO of each held-out digit, over 20 draws
    with torch.no_grad():
        return (
            torch.stack([elbo(model, held_out.images).value for _ in range(20)])
            .mean(0)
            .double()
        )


twice = [
    bounds_of(model)
    for model in (models["σ learned"], trained(NormalWithLearnedStd()), models["σ = 1"])
]
for name, other in {"another training": twice[1], "σ = 1": twice[2]}.items():
    mean, error = paired_difference(twice[0], other)
    single = float(other.std()) / len(other) ** 0.5
    print(
        f"σ learned minus {name:17s} {float(mean):7.2f} ± {float(error):.2f} nats; the error of its own mean is {single:.2f}"
    )

# %% [markdown]
# ## · What decoding the mean hides ••
#
# *15 minutes.* Much code reports the reconstruction of the posterior *mean*, and adds the KL to it as if the sum were minus the ELBO. It is not: the ELBO has an average over
# draws. How much too good is the mean? Take a linear decoder, $p(x \mid z) = \mathcal N(W z + b, s^2 I)$, and $q(z \mid x) =
# \mathcal N(\mu, \operatorname{diag} \sigma^2)$. Derive
#
# $$ \log p(x \mid \mu) - \mathbb E_{q(z|x)}[\log p(x \mid z)] $$
#
# and write it. It depends neither on $x$ nor on $\mu$.
#
# `std`, $\sigma$: `[batch, latent]`; `weight`, $W$: `[pixels, latent]`; `noise_std`, $s$: a number > 0 → `[batch]`, in nats, with
# gradients to `std` and `weight`.
#
# <details><summary>Hint 1</summary>Write z = μ + σ ε. What is x − W z − b then, and what is the mean of its square?</details>
# <details><summary>Hint 2</summary>With r = x − W μ − b and the columns w_j of W, the square is |r|² − 2 r·Σ σ_j ε_j w_j + |Σ σ_j ε_j w_j|². The ε are
# independent with mean 0 and variance 1: what is left of the second term, and of the products in the third?</details>
# <details><summary>Hint 3</summary>It is Σ_j σ_j² |w_j|² / (2 s²), and <code>weight.square().sum(0)</code> holds the |w_j|².</details>


# %%
def hidden_by_the_mean(std: Tensor, weight: Tensor, noise_std: float) -> Tensor:
    ### BEGIN SOLUTION
    return (std.square() * weight.square().sum(0)).sum(-1) / (2 * noise_std**2)
    ### END SOLUTION


# %%
check(sheet.hidden_by_the_mean, hidden_by_the_mean)

# %% [markdown]
# The decoder of a VAE is not linear; near the mean it nearly is, with its Jacobian for W. You should see that your formula, with the Jacobian, foretells
# to about a nat how much the mean hides for each of forty held-out digits, measured by 500 draws: five to seven nats.

# %%
model, few = models["σ learned"], held_out.images[:40]
with torch.no_grad():
    q = model.posterior(few)
    at_mean = model.likelihood(q.mean).log_prob(few)
    over_draws = torch.stack([model.likelihood(q.sample()).log_prob(few) for _ in range(500)])
measured = at_mean - over_draws.mean(0)  # [40]
decode = lambda z: model.decoder(z).flatten()
jacobians = torch.func.vmap(torch.func.jacrev(decode))(q.mean)  # [40, 64, latent]
s = float(model.family.std)
hidden = torch.stack(
    [
        hidden_by_the_mean(std[None].double(), w.double(), s)[0]
        for std, w in zip(q.stddev, jacobians, strict=True)
    ]
).detach()
figure, (axes,) = figures.subplots(1, 1, figsize=(7, 5))
axes.plot(hidden, measured, "o", color=figures.BLUE)
axes.axline((5, 5), slope=1, color=figures.BLACK, linewidth=1)
axes.set(
    title="What the mean hides, foretold",
    xlabel="your formula, with the Jacobian, nats",
    ylabel="measured by draws, nats",
)
figure

# %% [markdown]
# ## · log p(x), in chunks •••
#
# *20 minutes.* With draws $z_s \sim q_\phi(z \mid x)$ and weights $w_s = p_\theta(x, z_s) / q_\phi(z_s \mid x)$, estimate
#
# $$ \log p_\theta(x) \approx \log \frac1S \sum_{s=1}^S w_s $$
#
# (Burda, Grosse & Salakhutdinov, arXiv:1509.00519, eq. 8). It takes thousands of draws, which do not fit into memory at once: go
# through them in chunks, and keep only what the sum needs.
#
# `draw`: a function; `draw(k)` returns $\log w$ of `k` fresh draws, `[k, batch]`, and fails if `k` is more than `chunk`;
# `samples`, $S$, and `chunk`: whole numbers, the second not always a divisor of the first, and sometimes larger → `[batch]`, in
# nats. Use exactly `samples` draws. It must be right where log weights lie near −1100 or 900, and where one chunk lies far from the next.
#
# <details><summary>Hint 1</summary>A sum over all draws is a sum of the sums of the chunks. How is a sum of two numbers
# formed when only their logarithms are known?</details>
# <details><summary>Hint 2</summary><code>torch.logaddexp(a, b)</code> is log(eᵃ + eᵇ). A chunk gives
# <code>draw(k).logsumexp(0)</code>. When is the number of samples divided out, and how often?</details>
# <details><summary>Hint 3</summary>For <code>done in range(0, samples, chunk)</code> draw
# <code>min(chunk, samples - done)</code>. A sum that has not begun is 0, and its logarithm −∞.</details>


# %%
def log_evidence_in_chunks(draw: Callable[[int], Tensor], samples: int, chunk: int) -> Tensor:
    ### BEGIN SOLUTION
    log_sum = torch.tensor(-torch.inf)
    for done in range(0, samples, chunk):
        log_weights = draw(min(chunk, samples - done))  # [k, batch]
        log_sum = torch.logaddexp(log_sum, log_weights.logsumexp(0))
    return log_sum - log(samples)
    ### END SOLUTION


# %%
check(sheet.log_evidence_in_chunks, log_evidence_in_chunks)

# %% [markdown]
# A model whose $p(x)$ is known: $p(z) = \mathcal N(0, I)$ and $p(x \mid z) = \mathcal N(z, 0.5^2 I)$ in 20 dimensions, with a
# $q$ that is a little off. You should see your estimate rise to the truth, while a mean over the bounds of chunks of 16
# draws stays where one chunk is.

# %%
z = torch.randn(200, 20)
data = z + 0.5 * torch.randn(200, 20)  # [batch, 20]
truth = float(diagonal_normal(torch.zeros(20), 1.25**0.5).log_prob(data).mean())
q = diagonal_normal(0.8 * data - 0.2, 0.55)  # exact: mean 0.8 x, standard deviation 0.447


def draw(k: int) -> Tensor:
    z = q.sample((k,))  # [k, batch, 20]
    log_joint = diagonal_normal(torch.zeros(20), 1.0).log_prob(z)
    return log_joint + diagonal_normal(z, 0.5).log_prob(data) - q.log_prob(z)


counts = [16 * 2**i for i in range(8)]
estimate = [float(log_evidence_in_chunks(draw, count, 16).mean()) for count in counts]
of_chunks = [
    float(torch.stack([log_evidence_in_chunks(draw, 16, 16) for _ in range(n // 16)]).mean())
    for n in counts
]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    counts,
    {
        "your estimate": estimate,
        "mean of the chunks' bounds": of_chunks,
        "log p(x)": [truth] * len(counts),
    },
    "Add up weights, not their logarithms",
    "samples",
    "nats per example",
)
axes.set_xscale("log", base=2)
figure

# %% [markdown]
# ## · Annealed chains •••
#
# *20 minutes.* Annealed importance sampling leads chains from $q(z \mid x)$ to the posterior, through temperatures
# $0 = t_0 < t_1 < \dots < t_T = 1$ (Neal, arXiv:physics/9803008). At $t_k$ a chain stands at $z_k$, and its weight grows by
#
# $$ \log w \mathrel{+}= (t_{k+1} - t_k)\, \bigl( \log p(x, z_k) - \log q(z_k \mid x) \bigr), \qquad k = 0, \dots, T - 1. $$
#
# The mean of $w$ over chains estimates $p(x)$. Write the estimate of $\log p(x)$.
#
# `log_q`, `log_joint`: `[T, chains, batch]`, at $z_0, \dots, z_{T-1}$; `temperatures`: `[T + 1]`, not evenly spaced →
# `[batch]`, in nats. Log weights may lie near −1,000 or 900.
#
# <details><summary>Hint 1</summary>How do the T + 1 temperatures become T steps?</details>
# <details><summary>Hint 2</summary><code>temperatures.diff()</code>, with two more axes at its end, multiplies the gains; their sum
# over k is log w of each chain.</details>
# <details><summary>Hint 3</summary>Then it is the log of a mean of weights over the axis of the chains.</details>


# %%
def annealed_log_evidence(log_q: Tensor, log_joint: Tensor, temperatures: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    steps = temperatures.diff()[:, None, None]
    log_w = (steps * (log_joint - log_q)).sum(0)  # [chains, batch]
    return log_w.logsumexp(0) - log(len(log_w))
    ### END SOLUTION


# %%
check(sheet.annealed_log_evidence, annealed_log_evidence)

# %% [markdown]
# One latent whose posterior is known, and a $q$ that is narrow and off. Between two temperatures the chains are moved by a draw from the
# density in between, which is normal here. You should see the estimate come to the truth as the temperatures grow in number.

# %%
z = torch.randn(500)
data = (z + 0.5 * torch.randn(500)).double()  # p(z) = N(0, 1), p(x|z) = N(z, 0.5²)
truth = float(
    diagonal_normal(torch.zeros(1).double(), 1.25**0.5).log_prob(data[:, None]).mean()
)
q_mean, q_precision = 0.8 * data + 0.4, 1 / 0.2**2  # the posterior: mean 0.8 x, precision 5


def chains(steps: int, number: int = 20) -> float:
    temperatures = torch.linspace(0, 1, steps + 1).double()
    log_q, log_joint = [], []
    for t in temperatures[:-1]:
        precision = (1 - t) * q_precision + t * 5
        mean = ((1 - t) * q_precision * q_mean + t * 5 * 0.8 * data) / precision
        z = mean + torch.randn(number, 500) / precision**0.5  # [chains, batch]
        log_q.append(diagonal_normal(q_mean, q_precision**-0.5, 0).log_prob(z))
        prior, likelihood = (
            diagonal_normal(torch.zeros(500), 1.0, 0),
            diagonal_normal(z, 0.5, 0),
        )
        log_joint.append(prior.log_prob(z) + likelihood.log_prob(data))
    return float(
        annealed_log_evidence(torch.stack(log_q), torch.stack(log_joint), temperatures).mean()
    )


counts = [1, 2, 4, 8, 16, 32, 64]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
lines = {"20 annealed chains": [chains(n) for n in counts], "log p(x)": [truth] * len(counts)}
figures.curves(
    axes, counts, lines, "More temperatures repair a poor q", "temperatures", "nats per example"
)
axes.set_xscale("log", base=2)
figure

# %% [markdown]
# **Think on.** With one temperature step this is importance sampling from $q$. Twenty chains of 64 temperatures decode 1,280
# latents. What do 1,280 plain importance samples from the same $q$ give here, and why is that no contradiction to the figure?
