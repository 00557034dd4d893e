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
# The checks call your function with tensors in float64, and in [[:beta_elbo]], [[:traverse]], [[:decompose_kl]] and [[:minibatch_log_q]]
# follow its gradients: compute in torch there. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All logarithms are natural and all information is in nats. `log_std` is $\log \sigma$, the logarithm of the **standard
# deviation**.
#
# The figures use 256 sprites of which every factor is known: a square in 4 scales, 8 columns and 8 rows.

# %%
from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor

from vae_course.data.batches import Batches
from vae_course.data.sprites import sprites
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import beta_vae as sheet
from vae_course.models.vae import VAE, mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
everything = sprites()
upright_square = (everything.factor("shape") == 0) & (everything.factor("rotation") == 0)
squares = everything[upright_square]
x = (squares.images > 0.5).float()  # [256, 1, 28, 28], 0 or 1
names = ("scale", "column", "row")
factors = torch.stack([squares.factor(name) for name in names], dim=1)  # [256, 3]

# %% [markdown]
# ## · A price on the rate •
#
# *10 minutes.* The β-VAE multiplies the KL term by a number (Higgins et al., 2017, *beta-VAE*, equation 4). With one draw
# $z \sim q_\varphi(z|x)$ in place of the expectation, write
#
# $$ \log p_\theta(x \mid z) - \beta \, D_{KL}\bigl(q_\varphi(z|x) \,\|\, \mathcal N(0, I)\bigr), \qquad
#    D_{KL} = \sum_k \tfrac12 \bigl( \mu_k^2 + \sigma_k^2 - 1 - \log \sigma_k^2 \bigr), $$
#
# for binary pixels: pixel $i$ is ink with probability $1 / (1 + e^{-\ell_i})$, and $\ell_i$ is its logit at the drawn $z$.
#
# `x`: `[batch, pixels]`, 0 or 1; `logits`: `[batch, pixels]`; `mean`, `log_std`: `[batch, latents]`, of
# $q_\varphi(z|x)$; `beta`: a number → `[batch]`, in nats. It must be right for logits of ±800 too, where a probability
# rounds to 0 or 1.
#
# <details><summary>Hint 1</summary>A mean over pixels or latents would be another β. What reduces each axis?</details>
# <details><summary>Hint 2</summary>A sum. The log-probability of one pixel is −softplus(−ℓ) for ink and −softplus(ℓ) for
# paper; together, x·ℓ − softplus(ℓ).</details>
# <details><summary>Hint 3</summary><code>(x * logits - softplus(logits)).sum(-1)</code>, minus <code>beta</code> times
# the sum of <code>0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std</code>.</details>


# %%
def beta_elbo(x: Tensor, logits: Tensor, mean: Tensor, log_std: Tensor, beta: float) -> Tensor:
    ### BEGIN SOLUTION
    log_likelihood = (x * logits - torch.nn.functional.softplus(logits)).sum(-1)
    kl = (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)
    return log_likelihood - beta * kl
    ### END SOLUTION


# %%
check(sheet.beta_elbo, beta_elbo)

# %% [markdown]
# Train the same small VAE on your objective with β = 1 and with β = 8. You should see that the larger β buys a lower rate
# with a higher distortion. The distortion is −log p(x|z) and the rate is the KL, so your own function gives both: with
# β = 0 it is minus the distortion.


# %%
def encode(vae: VAE) -> tuple[Tensor, Tensor, Tensor]:
    """The mean and log σ of q(z|x) for all squares, and one draw for each: all [256, latents]."""
    with torch.no_grad():
        mean, log_std = vae.encoder(x).chunk(2, dim=-1)
    return mean, log_std, mean + log_std.exp() * torch.randn_like(mean)


def objective(vae: VAE, beta: float) -> Callable[[Tensor], Tensor]:
    """Minus your bound: the loss of one batch, [batch] nats."""

    def loss(x: Tensor) -> Tensor:
        mean, log_std = vae.encoder(x).chunk(2, dim=-1)
        z = mean + log_std.exp() * torch.randn_like(mean)
        return -beta_elbo(x.flatten(1), vae.decoder(z).flatten(1), mean, log_std, beta)

    return loss


models, pictures = {}, {"squares": x[::23]}
for beta in (1.0, 8.0):
    vae = mlp_vae(squares.shape, hidden=(128,), latent=4)
    batches = Batches(x, size=64)
    player = adam_player(objective(vae, beta), vae, 4e-3)
    fit([player], batches, epochs=run.epochs(laptop=150))
    mean, log_std, z = encode(vae)
    with torch.no_grad():
        logits = vae.decoder(z)
        distortion, both = (
            -float(beta_elbo(x.flatten(1), logits.flatten(1), mean, log_std, b).mean())
            for b in (0.0, 1.0)
        )
    print(f"β = {beta:g}: distortion {distortion:.0f} nats, rate {both - distortion:.1f} nats")
    models[beta], pictures[f"β = {beta:g}"] = vae, logits.sigmoid()[::23]

# %%
figures.image_rows(pictures, "A larger β: a lower rate, a higher distortion")

# %% [markdown]
# *Figure: three rows of twelve pictures. Above, squares of several sizes and places; below them their reconstructions
# from one draw of z, mostly in the right place and of the right size at β = 1; at β = 8 the edges are blurred and small squares
# nearly vanish.*

# %% [markdown]
# ## · A traversal •
#
# *10 minutes.* To see what one latent does, take the code $z$ of a picture, set one coordinate to several values in turn,
# and decode. Row $i$ of the result is $z$ with $z_k$ replaced by `values[i]`.
#
# `z`: `[latents]`; `latent`: $k$, counted from 0; `values`: `[n]` → `[n, latents]`, with gradients to `z` and `values`.
# Do not change `z`.
#
# <details><summary>Hint 1</summary>Start from n equal rows.</details>
# <details><summary>Hint 2</summary><code>z.repeat(len(values), 1)</code> copies; <code>z.expand(len(values), -1)</code>
# makes one row look like many, and must not be written to.</details>
# <details><summary>Hint 3</summary>In those rows, <code>[:, latent] = values</code> sets a column.</details>


# %%
def traverse(z: Tensor, latent: int, values: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    rows = z.repeat(len(values), 1)
    rows[:, latent] = values
    return rows
    ### END SOLUTION


# %%
check(sheet.traverse, traverse)

# %% [markdown]
# Traverse all latents of the VAE with β = 8, from −2 to 2. You should see blurred spots that move, grow or fade. Does one
# latent change one factor only, or several at once?

# %%
mean, _, _ = encode(models[8.0])
middle = int(((factors - torch.tensor([2, 4, 4])).abs().sum(1)).argmin())
steps = torch.linspace(-2, 2, 11)
with torch.no_grad():
    rows = {
        f"latent {k}": models[8.0].likelihood(traverse(mean[middle], k, steps)).mean
        for k in range(4)
    }
figures.image_rows(rows, "One latent at a time, from −2 to 2 (β = 8)")

# %% [markdown]
# *Figure: four rows of eleven decoded pictures, one row for each latent as it goes from −2 to 2 while the others stay. In
# most rows a blurred spot moves, often at a slant, and changes its size or fades on its way.*

# %% [markdown]
# ## · How much does a latent tell about a factor? ••
#
# *20 minutes.* Estimate the mutual information of a code and a factor from a table. Cut the range from the least to the
# greatest code into $B$ equal intervals, of which each holds its left end, and the last holds the greatest code as well.
# With the frequencies as probabilities,
#
# $$ I = \sum_b \sum_v p(b, v) \log \frac{p(b, v)}{p(b) \, p(v)}, \qquad 0 \log 0 = 0 . $$
#
# `codes`: `[n]`, real; `factor`: int64 `[n]`, values from 0, of which some may not occur; `bins`: $B$ → a tensor without
# axes, in nats. The codes are constants: no gradient is asked for. A constant code has $I = 0$.
#
# <details><summary>Hint 1</summary>Which number has the interval of a code? Scale the codes to [0, 1] first. Then count
# how often each pair (b, v) occurs.</details>
# <details><summary>Hint 2</summary>Multiply the scaled code by B and round down with <code>.long()</code>; the greatest
# code gives B, which must become B − 1 (<code>clamp</code>). For a constant code the scaling is 0/0, which is NaN and no
# index: give the width a least value.</details>
# <details><summary>Hint 3</summary>A loop over the pairs may fill the table: <code>joint[b, v] += 1 / len(codes)</code>. The
# marginals are its sums along one axis or the other; with <code>keepdim=True</code> their product is a table again. Which cells
# must the sum leave out?</details>


# %%
def mutual_information(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    ### BEGIN SOLUTION
    width = (codes.max() - codes.min()).clamp(min=1e-12)
    index = ((codes - codes.min()) / width * bins).long().clamp(max=bins - 1)
    values = int(factor.max()) + 1
    counts = torch.bincount(index * values + factor, minlength=bins * values)
    joint = counts.reshape(bins, values).double() / len(codes)
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    seen = joint > 0
    return (joint[seen] * (joint[seen] / product[seen]).log()).sum()
    ### END SOLUTION


# %%
check(sheet.mutual_information, mutual_information)

# %% [markdown]
# Now codes that know **nothing** of a factor of 8 values. You should see information all the same, the more the more
# bins: the estimate is biased upwards, by about $(B - 1)(V - 1) / 2n$ nats for $V$ values (Miller, 1955). Measures of
# disentanglement that were computed with different $n$ or $B$ cannot be compared.

# %%
bin_counts = (2, 5, 10, 20, 30, 40)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
for n, colour in ((1000, figures.VERMILION), (5000, figures.BLUE)):
    means = [
        sum(
            float(mutual_information(torch.rand(n), torch.randint(8, (n,)), bins))
            for _ in range(20)
        )
        / 20
        for bins in bin_counts
    ]
    expected = [(bins - 1) * (8 - 1) / (2 * n) for bins in bin_counts]
    axes.plot(bin_counts, means, "o", color=colour, markersize=10, label=f"yours, n = {n}")
    axes.plot(bin_counts, expected, "--", color=colour, label="(B − 1)(V − 1) / 2n")
axes.axhline(0, color=figures.BLACK, linewidth=1)
axes.set(
    title="The truth is 0: the estimate grows with the bins",
    xlabel="bins B",
    ylabel="estimate of I, nats",
)
axes.legend()
figure

# %% [markdown]
# *Figure: the estimated information against the number of bins, for 1000 and for 5000 independent pairs. Both rise from near 0
# close to straight lines, the expected bias; with 1000 pairs and 40 bins the estimate is about 0.15 nats, a little above.*

# %% [markdown]
# ## · The mutual information gap ••
#
# *15 minutes.* If each factor lives in one latent, that latent knows much about it and the next best knows little. From
# the information $I(z_k; v_f)$ of all pairs and the entropies $H(v_f)$ of the $F$ factors (Chen et al., arXiv:1802.04942,
# equation 6),
#
# $$ \text{MIG} = \frac1F \sum_f \frac{1}{H(v_f)} \Bigl( \text{largest}_k \, I(z_k; v_f)
#    - \text{second largest}_k \, I(z_k; v_f) \Bigr). $$
#
# `information`: `[latents, factors]`, at least two latents; `entropies`: `[factors]`, all positive → a tensor without
# axes. Where two latents tie, the gap is 0.
#
# <details><summary>Hint 1</summary>Which axis is compared, and which is averaged?</details>
# <details><summary>Hint 2</summary>The latents are compared, axis 0. The sorted values are enough: which latent is best
# does not matter.</details>
# <details><summary>Hint 3</summary><code>information.topk(2, dim=0).values</code> has the largest in its row 0, the
# second in its row 1.</details>


# %%
def mutual_information_gap(information: Tensor, entropies: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    largest, second = information.topk(2, dim=0).values
    return ((largest - second) / entropies).mean()
    ### END SOLUTION


# %%
check(sheet.mutual_information_gap, mutual_information_gap)

# %% [markdown]
# Give two latents the column and the row of a sprite, with a little noise, and turn their plane. A rotation loses nothing
# of the code: the factors can be read off as well as before. You should see the gap fall to about 0 at 45°, and return.


# %%
def gap(codes: Tensor, factors: Tensor, bins: int = 20) -> float:
    """The MIG of codes [n, latents], for factors [n, factors] of which every value occurs equally often."""
    table = [[mutual_information(c, f, bins) for f in factors.T] for c in codes.T]
    entropies = torch.tensor([log(int(f.max()) + 1) for f in factors.T])
    return float(mutual_information_gap(torch.tensor(table), entropies))


known = factors[:, 1:].repeat(16, 1)  # column and row, 4096 times
straight = known + 0.1 * torch.randn(known.shape)
angles = list(range(0, 91, 5))
turned = []
for angle in angles:
    a = torch.tensor(angle * pi / 180)
    rotation = torch.stack([torch.stack([a.cos(), -a.sin()]), torch.stack([a.sin(), a.cos()])])
    turned.append(gap(straight @ rotation, known))

figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.plot(angles, turned, "o-", color=figures.BLUE)
axes.set(
    title="The gap asks for the axes, not for the information",
    xlabel="angle by which the codes are turned, degrees",
    ylabel="mutual information gap",
    ylim=(0, 1.05),
)
figure

# %% [markdown]
# *Figure: the gap against the angle by which a perfect code is turned, from 0° to 90°. It falls from nearly 1 to about 0
# at 45° and rises again to nearly 1.*

# %%
for beta, vae in models.items():
    codes = torch.cat([encode(vae)[2] for _ in range(16)])  # 16 draws of z for each square
    print(f"β = {beta:g}: gap {gap(codes, factors.repeat(16, 1)):.2f}")

# %% [markdown]
# You should see gaps far below 1 for both VAEs, though the larger β has nearly independent latents ([[:decompose_kl]]). Where factors look
# alike to the model, as the columns and rows of a square do, nothing in the objective says which directions should be axes.

# %% [markdown]
# ## · What does β press on? •••
#
# *25 minutes.* Over a data set of $n$ pictures with posteriors $q(z|x_j) = \mathcal N(\mu_j, \operatorname{diag} \sigma_j^2)$,
# let $q(z) = \frac1n \sum_j q(z|x_j)$ and $q(z_k) = \frac1n \sum_j q(z_k|x_j)$. The mean KL to the prior
# $p(z) = \mathcal N(0, I)$ has three parts (Chen et al., arXiv:1802.04942, equation 2), here with one draw
# $z_i \sim q(z|x_i)$ for each picture in place of the expectations. With $i$ for the draw and $k$
# for the latent, they are:
#
# - **index-code mutual information**: mean over $i$ of $\log q(z_i|x_i) - \log q(z_i)$;
# - **total correlation**: mean over $i$ of $\log q(z_i) - \sum_k \log q(z_{ik})$;
# - **dimension-wise KL**: mean over $i$ of $\sum_k \bigl[ \log q(z_{ik}) - \log p(z_{ik}) \bigr]$.
#
# `z`, `mean`, `log_std`: `[n, latents]` → a tuple of three tensors without axes, in nats, in this order,
# with gradients to all arguments. With hundreds of latents the densities under- or overflow: work with their logarithms throughout.
#
# <details><summary>Hint 1</summary>Everything comes from one array: the log-density of coordinate k of draw i under the
# posterior of picture j.</details>
# <details><summary>Hint 2</summary><code>z[:, None]</code> against <code>mean</code> and <code>log_std</code> gives it,
# [i, j, k]. The logarithm of a mean of densities is logsumexp over j, minus log n, with n = <code>len(z)</code>. For
# q(z), sum over k before it; for the product of the q(z_k), after it.</details>
# <details><summary>Hint 3</summary>With <code>pairs</code> for that array: <code>pairs.sum(2).logsumexp(1) -
# log(len(z))</code> is log q(z_i), and <code>(pairs.logsumexp(1) - log(len(z))).sum(1)</code> is Σ log q(z_ik). log q(z_i|x_i)
# stands on the diagonal i = j.</details>


# %%
def decompose_kl(z: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    def log_normal(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
        return -0.5 * ((z - mean) / log_std.exp()) ** 2 - log_std - 0.5 * log(2 * pi)

    n = len(z)
    pairs = log_normal(z[:, None], mean, log_std)  # [i, j, k]
    log_own = log_normal(z, mean, log_std).sum(1)
    log_q = pairs.sum(2).logsumexp(1) - log(n)
    log_marginals = (pairs.logsumexp(1) - log(n)).sum(1)
    log_prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    return (
        (log_own - log_q).mean(),
        (log_q - log_marginals).mean(),
        (log_marginals - log_prior).mean(),
    )
    ### END SOLUTION


# %%
check(sheet.decompose_kl, decompose_kl)

# %% [markdown]
# Decompose the rate of both VAEs. You should see that the three parts add up to the mean of $\log q(z_i|x_i) - \log p(z_i)$,
# which is the rate but for the scatter of the draws. The index-code information cannot exceed $\log n$. Most of what the
# larger β saves is total correlation and dimension-wise KL, not information about the picture.

# %%
parts = {}
for beta, vae in models.items():
    mean, log_std, z = encode(vae)
    parts[beta] = [float(part) for part in decompose_kl(z, mean, log_std)]
    q, p = torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, 1.0)
    whole = float((q.log_prob(z) - p.log_prob(z)).sum(1).mean())
    rate = float(torch.distributions.kl_divergence(q, p).sum(1).mean())
    print(
        f"β = {beta:g}: {' + '.join(f'{part:.2f}' for part in parts[beta])} = "
        f"{sum(parts[beta]):.2f}; the mean of log q − log p {whole:.2f}; the rate {rate:.2f}"
    )

figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
labels = [f"β = {beta:g}" for beta in parts]
left = [0.0] * len(parts)
titles = ("index-code information", "total correlation", "dimension-wise KL")
for i, (title, colour) in enumerate(
    zip(titles, (figures.BLUE, figures.VERMILION, figures.GREEN), strict=True)
):
    widths = [values[i] for values in parts.values()]
    axes.barh(labels, widths, left=left, color=colour, label=title)
    left = [a + b for a, b in zip(left, widths, strict=True)]
axes.axvline(log(len(x)), color=figures.BLACK, linestyle=":", label="log n")
axes.set(title="Most of what β saves is not information", xlabel="nats per picture")
axes.invert_yaxis()
axes.legend()
figure

# %% [markdown]
# *Figure: two stacked bars. At β = 1 the index-code information nearly reaches log n = 5.5 nats, and about four nats
# of total correlation and three of dimension-wise KL stand on it. At β = 8 about three and a half nats of information
# are left, and less than one of the other two together.*

# %% [markdown]
# **Think on.** The β-TCVAE multiplies the total correlation alone by β. What would it keep that the β-VAE gives away? And
# if you know the posteriors of a batch of 64 pictures only, what is the largest index-code information that you can find?

# %% [markdown]
# ## · q(z) from a batch •••
#
# *20 minutes.* While a model is trained, only a batch of $B$ of the $N$ pictures has been encoded. Estimate
# $q(z) = \frac1N \sum_j q(z|x_j)$ at the batch's own draws $z_i \sim q(z|x_i)$, and each $q(z_k)$ in the same way, as
#
# $$ \hat q(z_i) = \sum_{j=1}^B w_{ij} \, q(z_i|x_j), \qquad \hat q(z_{ik}) = \sum_{j=1}^B w_{ij} \, q(z_{ik}|x_j) . $$
#
# The own picture, $j = i$, is in the batch for certain. The other $B - 1$ are a random choice, without repetition, of the
# other $N - 1$. Give $j = i$ one weight and every $j \ne i$ another, the same for all, such that over this choice the
# **expectation of the estimate is the density itself**. (So do Chen et al., arXiv:1802.04942, in their *stratified* sampling, but
# there one of the others weighs less than the rest.)
#
# `z`, `mean`, `log_std`: `[batch, latents]`, at least two pictures; `size`: $N$, a whole number, at least the batch → a
# tuple of $\log \hat q(z_i)$ and $\sum_k \log \hat q(z_{ik})$, `[batch]` each, in nats, with gradients to all tensors. With
# hundreds of latents the densities under- or overflow.
#
# <details><summary>Hint 1</summary>If all densities were equal, the estimate would have to be that density: what do the weights of one
# draw add up to? And which weight has the own posterior in q(z)?</details>
# <details><summary>Hint 2</summary>The own one has 1/N, always. What is left, (N − 1)/N, is shared by the B − 1 others. (For B = N
# all have 1/N, and nothing is estimated.)</details>
# <details><summary>Hint 3</summary>In logarithms a weight is added: with the table [i, j, k] of [[:decompose_kl]] and
# <code>log_w</code>, [i, j], it is <code>(pairs.sum(2) + log_w).logsumexp(1)</code>, and for the marginals <code>pairs +
# log_w[:, :, None]</code>, logsumexp first and the sum last. <code>fill_diagonal_</code> sets the own weights.</details>


# %%
def minibatch_log_q(
    z: Tensor, mean: Tensor, log_std: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    n = len(z)
    weights = torch.full((n, n), (size - 1) / (size * (n - 1)), dtype=z.dtype)
    log_w = weights.fill_diagonal_(1 / size).log()  # [i, j]
    pairs = torch.distributions.Normal(mean, log_std.exp()).log_prob(z[:, None])  # [i, j, k]
    log_q = (pairs.sum(2) + log_w).logsumexp(1)
    log_marginals = (pairs + log_w[:, :, None]).logsumexp(1).sum(1)
    return log_q, log_marginals
    ### END SOLUTION


# %%
check(sheet.minibatch_log_q, minibatch_log_q)

# %% [markdown]
# Estimate the index-code information of the VAE with β = 8 from batches of several sizes: once with your weights for
# $N = 256$, and once with `size=B`, as if the batch were all there is. Both are right with all 256 pictures. You should see
# your estimate come down to it from above, and the other climb to it from below, under the line log B.

# %%
mean, log_std, z = encode(models[8.0])
log_own = torch.distributions.Normal(mean, log_std.exp()).log_prob(z).sum(1)
batch_sizes = (4, 8, 16, 32, 64, 128, 256)
ways = {"your weights": [], "the batch as the whole set": []}
for batch in batch_sizes:
    found = {name: [] for name in ways}
    for _ in range(4096 // batch):
        some = torch.randperm(len(z))[:batch]
        for name, size in zip(ways, (len(z), batch), strict=True):
            log_q, _ = minibatch_log_q(z[some], mean[some], log_std[some], size)
            found[name].append(float((log_own[some] - log_q).mean()))
    for name, values in found.items():
        ways[name].append(sum(values) / len(values))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
title = "Unbiased weights find too much, the batch alone too little"
figures.curves(
    axes, batch_sizes, ways, title, "pictures in the batch, B", "index-code information, nats"
)
axes.plot(batch_sizes, [log(b) for b in batch_sizes], ":", color=figures.BLACK, label="log B")
axes.set_xscale("log", base=2)
axes.set_xticks(batch_sizes, [str(b) for b in batch_sizes])
axes.legend()
figure

# %% [markdown]
# *Figure: the index-code information against the number of pictures in the batch, from 4 to 256. The solid line, your weights, falls from nearly
# 5 nats to about three and a half; the dashed line, the batch as the whole set, climbs from little above 1 to the same
# point, and stays below the dotted line of log B, which it nearly touches at the smallest batches.*

# %% [markdown]
# **Think on.** Your estimate of $q(z)$ is right in the mean. Why is the information that it gives too large in the mean? And where would
# the line of Chen et al.'s *weighted* sampling lie, which gives each of the $B$ pictures the weight $1 / (NB)$?
#
# <details><summary>Answer</summary>The logarithm is concave: by Jensen the mean of log q̂(z) lies below log q(z), and it is subtracted.
# With few pictures the own term, with its weight 1/N, is a large part of the estimate; were it all of it, the information would be
# log N. The weighted estimate is that of the batch as the whole set, divided by N: its line lies log N = 5.5 nats above the dashed
# one. A constant has no gradient, so the two train alike.</details>
