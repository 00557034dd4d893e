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
# [[count]], from • (anybody who read the lecture) to ••• (takes thought); [[minutes]] minutes in all. You need not have run
# the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check tells you
# whether the answer is right, and if not, what is wrong.
#
# The checks call your function with tensors in float64, and in [[:WindowDecoder]] and [[:least_kl]] follow its gradients:
# compute in torch there. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at
# once. All logarithms are natural: the unit is the nat.

# %%
import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence
from torch.nn.functional import softplus

from vae_course.data.batches import Batches
from vae_course.data.images import digits_8x8, split
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import collapse as sheet
from vae_course.models.vae import mlp_vae
from vae_course.models.views import WithPosterior
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = split(digits_8x8(), held_out=300)  # grey pictures of 8×8 pixels, in [0, 1]
x = train.images
ink, new_ink = ((pictures > 0.5).float() for pictures in (x, held_out.images))  # 0 or 1

# %% [markdown]
# ## · What the units are worth •
#
# *10 minutes.* A linear VAE $p(x \mid z) = \mathcal N(Wz + b, \sigma^2 I)$ with σ fixed and `latents` units, at its maximum
# of the mean log p(x): its units hold the directions of the largest eigenvalues λ of the data's covariance, but only of
# those with $r = \lambda / \sigma^2 > 1$. An open unit is worth $\tfrac12 (r - 1 - \log r)$ nats of log p(x), and its KL is
# $\tfrac12 \log r$ in the mean. Return what all units are worth together, and the rate, the KL of all together.
#
# `eigenvalues`: `[d]`, positive, in no order; `std`: σ, a number > 0; `latents`: a whole number, at most d → two tensors
# without axes.
#
# <details><summary>Hint 1</summary>Which eigenvalues get a unit? And which of those open it?</details>
# <details><summary>Hint 2</summary>At r = 1 both formulas are 0: a closed unit can be counted as one with r = 1.</details>
# <details><summary>Hint 3</summary><code>eigenvalues.sort(descending=True).values[:latents]</code>, over σ²,
# <code>.clamp(min=1)</code>.</details>


# %%
def worth_and_rate(eigenvalues: Tensor, std: float, latents: int) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    largest = eigenvalues.sort(descending=True).values[:latents]
    ratio = (largest / std**2).clamp(min=1)  # 1: closed
    return 0.5 * (ratio - 1 - ratio.log()).sum(), 0.5 * ratio.log().sum()
    ### END SOLUTION


# %%
check(sheet.worth_and_rate, worth_and_rate)

# %% [markdown]
# Digits of 8 × 8 pixels and twelve units. You should see both numbers fall to 0 as σ grows: where a σ that nobody chose is
# too large, all units close, and the likelihood agrees.

# %%
pixels = x.flatten(1).double()
eigenvalues = torch.linalg.eigvalsh(torch.cov(pixels.T, correction=0))
stds = torch.linspace(0.15, 1.0, 60)
both = [worth_and_rate(eigenvalues, float(std), 12) for std in stds]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
figures.curves(
    axes,
    stds.tolist(),
    {name: [float(pair[i]) for pair in both] for i, name in enumerate(("worth", "rate"))},
    "A larger σ closes the units, one after another",
    "σ",
    "nats per picture",
)
axes.set_yscale("symlog", linthresh=0.1)
figure

# %% [markdown]
# ## · A decoder with a window ••
#
# *20 minutes.* The lecture's decoders saw all earlier pixels, or one. Write a module that lets each pixel see the `window`
# pixels before it:
#
# $$ \text{logit}_i = f_i(z) + \sum_{j = i - w}^{i - 1} W_{ij}\, x_j . $$
#
# `WindowDecoder(latent, pixels, window)` holds $f$ = `nn.Linear(latent, pixels)` and $W$, a parameter `[pixels, pixels]`
# without bias that is stored in full and masked when it is used. Where fewer than w pixels come before, those count.
# `decoder(z, x)`: `z` `[batch, latent]`, `x` `[batch, pixels]` → logits, `[batch, pixels]`. The check counts the numbers
# that a gradient reaches: those within the window, and no others.
#
# <details><summary>Hint 1</summary>Row i of W belongs to the logit of pixel i. Which columns of that row may be
# used?</details>
# <details><summary>Hint 2</summary>A mask [pixels, pixels] of 0 and 1 from the two numbers i and j: at least 1 back, at
# most w back.</details>
# <details><summary>Hint 3</summary><code>torch.ones(pixels, pixels).tril(-1).triu(-window)</code> is the mask;
# <code>x @ (W * mask).T</code>. A mask that is to move along with the module is a buffer.</details>


# %%
class WindowDecoder(nn.Module):
    def __init__(self, latent: int, pixels: int, window: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.f = nn.Linear(latent, pixels)
        self.weight = nn.Parameter(torch.zeros(pixels, pixels))
        self.register_buffer("seen", torch.ones(pixels, pixels).tril(-1).triu(-window))
        ### END SOLUTION

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return self.f(z) + x @ (self.weight * self.seen).T
        ### END SOLUTION


# %%
check(sheet.WindowDecoder, WindowDecoder)


# %% [markdown]
# A VAE with your decoder, at price 2, for five windows. You should see the rate fall as the window grows, to nearly nothing
# with all 63 earlier pixels.


# %%
def rate_with(window: int) -> float:
    torch.manual_seed(run.seed)
    encoder, decoder = (
        mlp_vae((1, 8, 8), (128,), 8).encoder,
        WindowDecoder(8, 64, window).float(),
    )

    def terms(pictures: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = encoder(pictures).chunk(2, dim=-1)
        q = diagonal_normal(mean, log_std.exp())
        logits, flat = decoder(q.rsample(), pictures.flatten(1)), pictures.flatten(1)
        prior = diagonal_normal(torch.zeros(8), 1.0)
        return (flat * logits - softplus(logits)).sum(1), kl_divergence(q, prior)

    def loss(pictures: Tensor) -> Tensor:
        log_likelihood, kl = terms(pictures)
        return -(log_likelihood - 2 * kl)

    both = nn.ModuleList([encoder, decoder])
    fit([adam_player(loss, both, 1e-2)], Batches(ink, size=100), run.epochs(laptop=40))
    with torch.no_grad():
        return float(terms(new_ink)[1].mean())


windows = (0, 1, 3, 9, 63)
rates = [rate_with(window) for window in windows]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.bars(
    axes,
    {f"window {w}": r for w, r in zip(windows, rates, strict=True)},
    "The more pixels are in view, the less goes through z",
    "rate on held-out digits, nats",
)
figure

# %% [markdown]
# ## · The least that a family must pay ••
#
# *15 minutes.* A **δ-posterior** keeps units open by its family: $q(z_j \mid x) = \mathcal N(\mu_j, \sigma_j^2)$ with free
# $\mu_j$ and $a_j \le \sigma_j \le b_j$ has, whatever the network does, a KL to $\mathcal N(0, 1)$ of at least some δ (the
# idea is Razavi et al.'s, arXiv:1901.03416, for other families). Which δ do all units have together?
#
# `narrowest`, $a$, and `widest`, $b$: `[latent]`, with 0 < a < b; either may be above 1 or below → a tensor without axes,
# in nats, with gradients to both bounds.
#
# <details><summary>Hint 1</summary>For one unit the KL is ½ (μ² + σ² − 1 − log σ²). Which μ is best? As a function of σ it
# falls, and then rises: where is it lowest?</details>
# <details><summary>Hint 2</summary>At σ = 1. Where 1 is not allowed, take the allowed σ nearest to it.</details>
# <details><summary>Hint 3</summary><code>torch.ones_like(widest).clamp(narrowest, widest)</code> is that σ.</details>


# %%
def least_kl(narrowest: Tensor, widest: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    std = torch.ones_like(widest).clamp(narrowest, widest)  # the σ nearest to 1
    return 0.5 * (std.square() - 1 - std.square().log()).sum()
    ### END SOLUTION


# %%
check(sheet.least_kl, least_kl)

# %% [markdown]
# VAEs with 8 units whose σ is at most b. You should see that the rate never lies below your δ, that it grows with δ, and
# that the distortion falls by less than the rate grows.

# %%
deltas, rates, distortions = [], [], []
for widest in (1.0, 0.8, 0.6, 0.4):
    torch.manual_seed(run.seed)
    vae = mlp_vae((1, 8, 8), (128,), 8)

    def narrow(pictures: Tensor, widest: float = widest, vae=vae):
        mean, free = vae.encoder(pictures).chunk(2, dim=-1)
        return diagonal_normal(mean, widest * free.sigmoid())

    model = WithPosterior(vae, narrow)
    player = adam_player(lambda y, model=model: -elbo(model, y).value, model, 1e-2)
    fit([player], Batches(ink, size=100), run.epochs(laptop=40))
    with torch.no_grad():
        terms = elbo(model, new_ink)
    deltas.append(float(least_kl(torch.full((8,), 1e-3), torch.full((8,), widest))))
    rates.append(float(terms.kl.mean()))
    distortions.append(-float(terms.log_likelihood.mean()))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
lines = {"rate": rates, "distortion": distortions, "δ": deltas}
figures.curves(
    axes, deltas, lines, "The rate stays above δ", "δ of all units, nats", "nats per picture"
)
figure

# %% [markdown]
# **Think on.** A network returns μ = 0 and σ = b for every x. What is its rate, and how much does z say about x? So what
# does a rate above δ prove?
#
# <details><summary>Answer</summary>The rate is δ, and z says nothing. A rate above δ proves nothing about use: look at the
# information, or at what the bound gains.</details>

# %% [markdown]
# ## · The divergence from both sides ••
#
# *20 minutes.* How far is the aggregate posterior $q(z)$ of *all* pictures from the prior, if we have $n$ of them? Draw
# $z_i \sim q(z \mid x_i)$ once for each and put a mean over the posteriors in place of $q(z_i)$:
#
# $$ \frac1n \sum_i \bigl( \log \hat q(z_i) - \log p(z_i) \bigr) , $$
#
# first with the mean over the $n - 1$ **other** posteriors, $\hat q(z_i) = \frac{1}{n - 1} \sum_{k \ne i} q(z_i \mid x_k)$,
# then over all n, its **own** among them. Return both.
#
# `log_pairs`: `[n, n]`, row i holds $\log q(z_i \mid x_k)$ for all k; `log_p`: `[n]`, $\log p(z_i)$; n ≥ 2 → two tensors
# without axes, in nats. Log densities may lie near −900 or 900, and the own posterior may be by far the densest at its
# draw.
#
# <details><summary>Hint 1</summary>What is the logarithm of a weight of 0?</details>
# <details><summary>Hint 2</summary><code>masked_fill</code> with an identity matrix of bools puts −∞ on the diagonal;
# <code>logsumexp</code> over the row.</details>
# <details><summary>Hint 3</summary>Subtract log (n − 1) from the one, log n from the other, and log p from both; then the
# means.</details>


# %%
def divergence_from_both_sides(log_pairs: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    n = len(log_p)
    others = log_pairs.masked_fill(torch.eye(n).bool(), -torch.inf)
    low = others.logsumexp(1) - torch.tensor(n - 1.0).log()
    high = log_pairs.logsumexp(1) - torch.tensor(float(n)).log()
    return (low - log_p).mean(), (high - log_p).mean()
    ### END SOLUTION


# %%
check(sheet.divergence_from_both_sides, divergence_from_both_sides)

# %% [markdown]
# A model in which all is known: $q(z)$ is $\mathcal N(0, 1.5^2)$ in each of three coordinates, the prior
# $\mathcal N(0, 1)$. You should see the first estimate come up to the truth as n grows, and the second come down to it,
# slowly.

# %%
truth = 3 * float(kl_divergence(torch.distributions.Normal(0.0, 1.5), torch.distributions.Normal(0.0, 1.0)))  # fmt: skip
sizes, ways = (10, 30, 100, 300, 1000), {"others": [], "own among them": []}
for n in sizes:
    tries = []
    for _ in range(max(2, 3000 // n)):
        mean = torch.randn(n, 3) * (1.5**2 - 0.3**2) ** 0.5
        z = mean + 0.3 * torch.randn(n, 3)
        pairs = diagonal_normal(mean, 0.3).log_prob(z[:, None])  # [n, n]
        tries.append(
            divergence_from_both_sides(pairs, diagonal_normal(torch.zeros(3), 1.0).log_prob(z))
        )
    for name, found in zip(ways, zip(*tries, strict=True), strict=True):
        ways[name].append(float(torch.stack(found).mean()))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
figures.curves(
    axes,
    sizes,
    ways | {"truth": [truth] * len(sizes)},
    "From below and from above",
    "pictures n",
    "nats",
)
axes.set_xscale("log")
figure

# %% [markdown]
# **Think on.** Both errors have a sign. Why has each the one it has, and which of the two would you trust with 1,000
# pictures and twenty latents?
#
# <details><summary>Answer</summary>The mean over the others is an unbiased estimate of q(z), and a logarithm of an unbiased
# estimate errs downwards. With its own term among them the draw always finds one posterior that fits: q̂ is too large. With
# twenty latents neither: own terms stand alone, so the second says rate − log n, and the others hardly reach a draw, so the
# first can fall far below 0.</details>

# %% [markdown]
# ## · Mend a report •••
#
# *20 minutes.* A paper trains with free bits and reports "the bound" as
#
# $$ -D - \sum_j \max(0, K_j - \lambda), \qquad K_j = \text{the mean KL of unit } j, $$
#
# which is no bound: λ of every unit is forgiven. You have its table: the distortion D, and each unit's
# $e_j = \max(0, K_j - \lambda)$, nothing else. Between which two values does the ELBO, $-D - \sum_j K_j$, lie? Return the
# lowest value it can have, and the highest.
#
# `distortion`: a tensor without axes, D; `excess`: `[latent]`, the $e_j$, 0 or more; `free`: λ, a number > 0 → two tensors
# without axes, in nats.
#
# <details><summary>Hint 1</summary>A unit with an excess above 0: what is its KL, exactly?</details>
# <details><summary>Hint 2</summary>A unit with excess 0 has any KL from 0 to λ. Which end makes the ELBO lowest?</details>
# <details><summary>Hint 3</summary>The lowest takes <code>excess + free</code> for every unit, the highest only where
# <code>excess > 0</code>, and 0 elsewhere.</details>


# %%
def bound_from_report(distortion: Tensor, excess: Tensor, free: float) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    known = torch.where(excess > 0, excess + free, 0.0)
    lowest = -distortion - (excess + free).sum()
    return lowest, -distortion - known.sum()
    ### END SOLUTION


# %%
check(sheet.bound_from_report, bound_from_report)

# %% [markdown]
# A linear VAE whose log p(x) is known, with four open units of eight. You should see the reported number above log p(x) as
# soon as λ is above 0, and the ELBO, here equal to log p(x), within your two values for every λ.

# %%
weight = torch.zeros(12, 8).double()
weight[range(4), range(4)] = torch.tensor([2.0, 1.5, 1.0, 0.6]).double()
linear = LinearGaussian(weight, torch.zeros(12).double(), 0.5)
points = linear.evidence().sample((2000,))
q = linear.posterior(points)
each = 0.5 * (q.mean.square() + q.variance - 1 - q.variance.log()).mean(0)  # [8] nats: its KLs
log_p = float(linear.log_evidence(points).mean())
distortion = torch.tensor(-log_p) - each.sum()  # there is no gap
frees = torch.linspace(0, 1.5, 31)
reported = [float(-distortion - (each - free).clamp(min=0).sum()) for free in frees]
ends = [
    bound_from_report(distortion, (each - free).clamp(min=0), float(free)) for free in frees
]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
lines = {"reported": reported, "lowest": [float(a) for a, _ in ends],
         "highest": [float(b) for _, b in ends], "log p(x)": [log_p] * len(frees)}  # fmt: skip
figures.curves(axes, frees.tolist(), lines, "What was reported is above log p(x)", "λ, nats", "nats per example")  # fmt: skip
figure
