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
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vae_course.data.batches import Batches
from vae_course.data.images import digits_8x8, split
from vae_course.distributions.pixels import NormalWithLearnedStd
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import failures as sheet
from vae_course.models.vae import mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = split(digits_8x8(), held_out=300)  # grey pictures of 8×8 pixels, in [0, 1]

# %% [markdown]
# ## · An interval for the shares of classes •
#
# *15 minutes.* Of $n$ samples a classifier reads $k_c$ as class $c$, a share $s = k_c / n$. The plain interval, $s \pm z \sqrt{s(1-s)/n}$, has
# no width for a class that was never drawn. Wilson's interval holds every $p$ from which $s$ is at most $z$ of *p's* standard
# deviations away, $|s - p| \le z \sqrt{p(1-p)/n}$. Solved for $p$, its ends are
#
# $$ \frac{1}{1 + z^2/n} \left( s + \frac{z^2}{2n} \pm z \sqrt{\frac{s(1-s)}{n} + \frac{z^2}{4n^2}} \right) $$
#
# (Wilson, 1927). `counts`, $k$: `[classes]`, their sum is $n$; `z`: a number > 0 → the lower ends and the upper ends, `[classes]` each.
#
# <details><summary>Hint 1</summary>There is one n for all classes.</details>
# <details><summary>Hint 2</summary>Middle and half width are both divided by 1 + z²/n.</details>
# <details><summary>Hint 3</summary><code>half = z * (s * (1 - s) / n + z**2 / (4 * n**2)).sqrt() / (1 + z**2 / n)</code></details>


# %%
def share_intervals(counts: Tensor, z: float) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    n = counts.sum()
    s, shrink = counts / n, 1 + z**2 / n
    centre = (s + z**2 / (2 * n)) / shrink
    half = z * (s * (1 - s) / n + z**2 / (4 * n**2)).sqrt() / shrink
    return centre - half, centre + half
    ### END SOLUTION


# %%
check(sheet.share_intervals, share_intervals)

# %% [markdown]
# How often do intervals of 95 % hold the true share of a class, among 100 draws? You should see that for rare classes the plain ones hold it
# much less often than they say, and yours nearly as often or oftener.

# %%
shares = torch.linspace(0.005, 0.5, 40).double()
drawn = torch.distributions.Binomial(100, shares).sample((4000,))  # [repeats, shares]
inside = {"Wilson's": [], "plain": []}
for k, p in zip(drawn.T, shares, strict=True):
    ends = [share_intervals(torch.stack([c, 100 - c]), 1.96) for c in k[:500]]
    hit = [low[0] <= p <= high[0] for low, high in ends]
    inside["Wilson's"].append(float(torch.stack(hit).double().mean()))
    s = k / 100
    inside["plain"].append(float(((s - p).abs() <= 1.96 * (s * (1 - s) / 100).sqrt()).double().mean()))  # fmt: skip
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    shares.tolist(),
    inside,
    "Rare classes need the better interval",
    "true share",
    "share of intervals that hold it",
)
axes.axhline(0.95, color=figures.BLACK, linestyle=":")
figure

# %% [markdown]
# ## · Precision and recall ••
#
# *20 minutes.* The **reach** of a point is the distance to its $k$-th nearest *other* point of its own set. A point is covered by the
# other set if it lies within the reach, or at it, of at least one of its points. **Precision** is the share of made points covered by
# the real ones, **recall** the share of real points covered by the made ones (Kynkäänniemi et al., arXiv:1904.06991, eq. 1 and 2).
#
# `real`: `[n, d]`, `made`: `[m, d]`, features; `k`: a whole number, at least 1 and less than n and m → two tensors without axes,
# precision first. Distances are Euclidean.
#
# <details><summary>Hint 1</summary>Three tables of distances: within the real points, within the made ones, and between the sets.</details>
# <details><summary>Hint 2</summary>Sort each row of a table within a set: first comes the point itself, at 0. Where is the k-th other?</details>
# <details><summary>Hint 3</summary><code>torch.cdist(real, real).sort(1).values[:, k]</code> is the reach of the real points;
# <code>(between &lt;= reach).any(1)</code> with between [m, n].</details>


# %%
def precision_and_recall(real: Tensor, made: Tensor, k: int) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    reach_of_real = torch.cdist(real, real).sort(1).values[:, k]  # [n]
    reach_of_made = torch.cdist(made, made).sort(1).values[:, k]  # [m]
    between = torch.cdist(made, real)  # [m, n]
    precision = (between <= reach_of_real).any(1).double().mean()
    recall = (between <= reach_of_made[:, None]).any(0).double().mean()
    return precision, recall
    ### END SOLUTION


# %%
check(sheet.precision_and_recall, precision_and_recall)

# %% [markdown]
# Eight bumps on a ring, 400 points. You should see: five of the bumps alone keep precision and lose recall; bumps three times as wide keep
# recall and lose precision; real points again have both near 0.95, not 1. And with all but four points thrown far away, recall is absurdly high.

# %%
angle = 2 * torch.pi * torch.randint(8, (400,)) / 8
ring = lambda angle, wide: 3 * torch.stack([angle.cos(), angle.sin()], 1) + wide * torch.randn(len(angle), 2)  # fmt: skip
wild = 100 * torch.randn(400, 2)
wild[:4] = ring(angle[:4], 0.2)
sets = {
    "real again": ring(angle, 0.2),
    "five bumps": ring(angle[angle < 3.5], 0.2),
    "wide bumps": ring(angle, 0.6),
    "all but four far away": wild,
}
real = ring(angle, 0.2)
for name, points in sets.items():
    precision, recall = precision_and_recall(real.double(), points.double(), 3)
    print(f"{name:22s} precision {float(precision):.2f}, recall {float(recall):.2f}")

# %% [markdown]
# ## · How much noise fits into a few nats? ••
#
# *15 minutes.* A rival's $\log p(x)$ is behind yours by some nats. How bad could your model's draws still be? Mix a share λ of noise into a
# good model: $p(x) = (1 - \lambda)\, p_{\text{good}}(x) + \lambda\, p_{\text{noise}}(x)$. Find the largest λ in $[0, 1]$ with which **no** example of the
# batch loses more than $c$ nats against $p_{\text{good}}$.
#
# `log_good`, `log_noise`: `[batch]` nats, the latter sometimes higher; `nats`, $c$: a number > 0 → λ, a tensor without axes.
# The log-probabilities may lie near −500: their exponentials underflow, but not what is needed.
#
# <details><summary>Hint 1</summary>Write the condition for one example, and divide it by p_good. What is left is linear in λ.</details>
# <details><summary>Hint 2</summary>(1 − λ) + λ p_noise/p_good ≥ e^−c. If noise alone loses no more than c, every λ does.</details>
# <details><summary>Hint 3</summary>λ = (1 − e^−c) / (1 − p_noise/p_good) where that is below 1 and p_noise &lt; p_good; of all examples the least.</details>


# %%
def noise_allowed(log_good: Tensor, log_noise: Tensor, nats: float) -> Tensor:
    ### BEGIN SOLUTION
    ratio = (log_noise - log_good).exp()
    limit = -torch.expm1(torch.tensor(-nats).to(ratio)) / (1 - ratio)
    limit = torch.where(ratio < 1, limit, 1.0)
    return limit.clamp(max=1.0).min()
    ### END SOLUTION


# %%
check(sheet.noise_allowed, noise_allowed)

# %% [markdown]
# For digits of 784 coin flips. You should see that a nat hides noise in more than six draws of ten, and three nats in 19 of 20: differences of log p(x) that are
# reported as progress leave room for a model whose draws are mostly noise.

# %%
log_good, log_coins = -90 + 20 * torch.randn(100).double(), torch.full((100,), -784 * log(2)).double()  # fmt: skip
budgets = torch.linspace(0.05, 5, 50).tolist()
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
allowed = [float(noise_allowed(log_good, log_coins, c)) for c in budgets]
axes.plot(budgets, allowed, color=figures.BLUE)
axes.set(
    title="A nat hides a good deal of noise",
    xlabel="nats that every digit may lose",
    ylabel="share of draws that may be noise",
    ylim=(0, 1),
)
figure

# %% [markdown]
# ## · A log σ within bounds ••
#
# *20 minutes.* A clamp keeps $\log \sigma$ within bounds, but beyond them its gradient is 0: a σ that has left does not come back. Two softplus,
# $\operatorname{softplus}(v) = \log(1 + e^v)$, bound it smoothly (Chua et al., arXiv:1805.12114, bound log variances so). Write the module:
#
# - a linear layer from `features` to `latent` numbers, $r$;
# - first from above: $a = h - \operatorname{softplus}(h - r)$, with $h$ = `high`;
# - then from below: $\log \sigma = l + \operatorname{softplus}(a - l)$, with $l$ = `low`.
#
# `x`: `[batch, features]` → `[batch, latent]`, with gradients to `x` and to the weights. `low` and `high` are numbers that stay as they are. The
# check builds your module anew, gives it known weights in float64, and compares the output, the number of parameters, those that a
# gradient reaches, and the loss after three steps of training.
#
# <details><summary>Hint 1</summary>What does softplus(v) come to for v far above 0, and for v far below?</details>
# <details><summary>Hint 2</summary>Keep both bounds as attributes. The second softplus gets what the first one left.</details>
# <details><summary>Hint 3</summary><code>self.low + softplus(above - self.low)</code>, with
# <code>above = self.high - softplus(self.high - self.linear(x))</code></details>


# %%
class BoundedHead(nn.Module):
    def __init__(self, features: int, latent: int, low: float, high: float) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.linear, self.low, self.high = nn.Linear(features, latent), low, high
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        above = self.high - softplus(self.high - self.linear(x))
        return self.low + softplus(above - self.low)
        ### END SOLUTION


# %%
check(sheet.BoundedHead, BoundedHead)

# %% [markdown]
# Your head with weight 1 and bias 0, beside a clamp. You should see that it follows the clamp but for rounded corners, and that its slope is nowhere 0.
# (Just above `high` it may end: by $\log(1 + e^{l - h})$.)

# %%
head = BoundedHead(1, 1, -4.0, 1.0)
with torch.no_grad():
    for parameter in head.parameters():
        parameter.fill_(float(parameter.ndim == 2))
raw = torch.linspace(-9, 6, 200)[:, None].requires_grad_()
curves = {"two softplus": head(raw), "clamp": raw.clamp(-4, 1)}
figure, axes = figures.subplots(1, 2, figsize=(13, 4))
slopes = {name: torch.autograd.grad(y.sum(), raw)[0].flatten() for name, y in curves.items()}
values = {name: y.detach().flatten() for name, y in curves.items()}
x = raw.detach().flatten()
figures.curves(axes[0], x, values, "Bounded by corners or smoothly", "r", "log σ")
figures.curves(axes[1], x, slopes, "The slope of a clamp is 0 outside", "r", "slope")
figure

# %% [markdown]
# ## · How few decide? •••
#
# *25 minutes.* A training's mean held-out bound rose, and then it fell. Is the model worse, or a few examples? Let $b$ be the epoch whose mean is
# highest (the first such), $T$ the last, and $d_i$ what example $i$ gained from $b$ to $T$. How many examples must at least be left out so that the mean of the
# others no longer falls from $b$ to $T$?
#
# `bounds`: `[epochs, n]`, each example's bound after each epoch → a whole number from 0 to n, as a tensor without axes. (If all are left
# out, nothing falls.)
#
# <details><summary>Hint 1</summary>Which example do you leave out first? Is it enough to count those that lost?</details>
# <details><summary>Hint 2</summary>Sort the d. Without the m lowest, the sum of the others must be at least 0.</details>
# <details><summary>Hint 3</summary>The sums without the first 0, 1, …, n − 1 are a cumulative sum from the other end:
# <code>d.flip(0).cumsum(0).flip(0)</code>. At which place is it first 0 or more?</details>


# %%
def decided_by(bounds: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    best = bounds.mean(1).argmax()
    gain = (bounds[-1] - bounds[best]).sort().values  # [n], the greatest loss first
    without = gain.flip(0).cumsum(0).flip(0)  # the sum without the first 0, 1, … n − 1
    return (torch.cat([without, without.new_zeros(1)]) >= 0).int().argmax()
    ### END SOLUTION


# %%
check(sheet.decided_by, decided_by)

# %% [markdown]
# Diagnose a run: a VAE of 8 × 8 digits with a σ for each pixel, of which some are 0 in every training digit. You should see the mean of 300 held-out digits fall, and that a
# handful of them decide it: those with ink where no training digit has any.

# %%
family, each = NormalWithLearnedStd((1, 8, 8)), []
vae = mlp_vae(train.shape, hidden=(128,), latent=8, family=family)


def watch() -> dict[str, float]:
    each.append(torch.stack([elbo(vae, held_out.images).value for _ in range(5)]).mean(0))
    return {"mean": float(each[-1].mean()), "median": float(each[-1].median())}


player = adam_player(lambda x: -elbo(vae, x).value, vae, 1e-2)
history = fit([player], Batches(train.images, size=100), run.epochs(laptop=60), watch)
few = int(decided_by(torch.stack(each).double()))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
lines = {"mean": history["mean"], "median": history["median"]}
title = f"{few} of {len(held_out)} held-out digits decide the mean"
figures.curves(axes, history["epoch"], lines, title, "epoch", "ELBO, nats (density) per digit")
axes.set_ylim(-100, None)
figure
