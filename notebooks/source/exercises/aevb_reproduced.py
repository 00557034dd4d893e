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
# The checks call your function with tensors in float64, and in [[:map_objective]] and [[:wake_and_sleep]] follow its
# gradients: compute in torch there. All noise comes in as an argument: draw nothing inside.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all
# exercises at once. All logarithms are natural: the unit is the nat.

# %%
from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_course.data.batches import Batches
from vae_course.data.images import digits_8x8, split
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import aevb_reproduced as sheet
from vae_course.models.vae import mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo

run = start()
train, held_out = split(digits_8x8(), held_out=300)
few, new = ((part[:300] > 0.5).float() for part in (train.images[:100], held_out.images))

# %% [markdown]
# ## · Weights with a prior •
#
# *10 minutes.* In its experiments the paper gives the weights a prior (section 5). With $w_k \sim \mathcal N(0,
# s^2)$, biases included, and $N$ examples one maximises $\sum_{i=1}^N \mathcal L(x_i) + \log p(w)$. Write the
# estimate of this **for one example**, that is, divided by $N$, from the bounds of a minibatch of $M$ examples drawn
# from the $N$. The lecture had the gradient, for $s = 1$; here is the value.
#
# `bounds`: `[M]`, in nats; `weights`, `biases`: tensors of any shape; `prior_std`, $s$: a number > 0; `examples`,
# $N$: a whole number → a tensor without axes, in nats, with gradients to all three. It is to be the whole log
# density, with its constant.
#
# <details><summary>Hint 1</summary>How often does log p(w) occur in the sum over all N examples? How much of it has
# one example?</details>
# <details><summary>Hint 2</summary>log p(w) is a sum over all weights of −w²/2s² − ½ log 2πs². The minibatch stands
# for the N bounds by its mean.</details>
# <details><summary>Hint 3</summary><code>bounds.mean() + log_prior / examples</code>, and torch has a normal density:
# <code>torch.distributions.Normal(0.0, prior_std).log_prob(…)</code>.</details>


# %%
def map_objective(
    bounds: Tensor, weights: Tensor, biases: Tensor, prior_std: float, examples: int
) -> Tensor:
    ### BEGIN SOLUTION
    w = torch.cat([weights.flatten(), biases.flatten()])
    log_prior = -0.5 * (w.square() / prior_std**2 + log(2 * pi * prior_std**2)).sum()
    return bounds.mean() + log_prior / examples
    ### END SOLUTION


# %%
check(sheet.map_objective, map_objective)

# %% [markdown]
# VAEs of a hundred binary digits of 8 × 8 pixels, trained on your objective with priors of five widths. You should
# see both bounds low where the prior is narrow, and the one on held-out digits fall behind the other where it is
# wide.


# %%
def bounds_with(prior_std: float) -> tuple[float, float]:
    torch.manual_seed(run.seed)
    vae = mlp_vae((1, 8, 8), hidden=(64,), latent=8)
    optimizer = torch.optim.Adam(vae.parameters(), 5e-3)
    for _ in range(run.epochs(laptop=150)):
        for (x,) in Batches(few, size=100):
            flat = [
                [p.flatten() for p in vae.parameters() if p.ndim == axes] for axes in (2, 1)
            ]
            weights, biases = map(torch.cat, flat)
            optimizer.zero_grad()
            value = map_objective(elbo(vae, x).value, weights, biases, prior_std, len(few))
            (-value).backward()
            optimizer.step()
    with torch.no_grad():
        return tuple(float(elbo(vae, x.repeat(20, 1, 1, 1)).value.mean()) for x in (few, new))


# %%
stds = (0.1, 0.3, 1.0, 3.0, 10.0)
seen, unseen = zip(*map(bounds_with, stds), strict=True)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
lines = {"digits trained on": list(seen), "held-out digits": list(unseen)}
figures.curves(axes, stds, lines, "A prior holds the two bounds together", "s", "bound, nats per digit")  # fmt: skip
axes.set_xscale("log")
figure

# %% [markdown]
# *Figure: two bounds over the width s of the prior, on a logarithmic axis. They rise together from s = 0.1; from s =
# 1 on the one on held-out digits stays below the other.*

# %% [markdown]
# ## · A Hamiltonian move, position first ••
#
# *25 minutes.* The lecture's leapfrog moves the momentum first, and asks for the slope twice a step. The position can
# go first:
#
# $$ z \leftarrow z + \tfrac{\epsilon}{2}\, r, \qquad r \leftarrow r + \epsilon\, \nabla \log p(z), \qquad z \leftarrow z + \tfrac{\epsilon}{2}\, r . $$
#
# This too can be undone and keeps volumes, and it asks once. Write the whole move of many chains: `leapfrogs` such
# steps, then accept the end $(z', r')$ with probability $\min(1, e^{H - H'})$, $H = -\log p(z) + \tfrac12 |r|^2$, or
# stay.
#
# `log_p`: a function, `[chains, latent]` → `[chains]`, known up to a constant; `slope`: its gradient, `[chains,
# latent]` → the same; `z`, `momentum`: `[chains, latent]`; `uniform`: `[chains]`, in [0, 1): accept where it is below
# the probability; `step`, $\epsilon$: `[chains]`, one for each chain; `leapfrogs`: a whole number, 1 or more → two
# tensors: where the chains are after the move, `[chains, latent]`, and the probability of each, `[chains]`. `log_p`
# may lie near −900 or be −∞.
#
# <details><summary>Hint 1</summary>Keep the start: you need it for H, and for the chains that stay. How does a step
# of each chain meet its latents?</details>
# <details><summary>Hint 2</summary><code>step[:, None]</code>. Only the end of the path is accepted or refused, each
# chain for itself; take exp of the difference H − H′, not of either.</details>
# <details><summary>Hint 3</summary><code>(before - after).clamp(max=0).exp()</code> is the probability;
# <code>torch.where(taken[:, None], end, z)</code> keeps the refused chains where they were.</details>


# %%
def leapfrog_move(
    log_p: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    z: Tensor,
    momentum: Tensor,
    uniform: Tensor,
    step: Tensor,
    leapfrogs: int,
) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    end, r, epsilon = z, momentum, step[:, None]
    for _ in range(leapfrogs):
        end = end + epsilon / 2 * r
        r = r + epsilon * slope(end)
        end = end + epsilon / 2 * r
    before = -log_p(z) + 0.5 * momentum.square().sum(-1)
    after = -log_p(end) + 0.5 * r.square().sum(-1)
    probability = (before - after).clamp(max=0).exp()
    taken = uniform < probability
    return torch.where(taken[:, None], end, z), probability
    ### END SOLUTION


# %%
check(sheet.leapfrog_move, leapfrog_move)

# %% [markdown]
# A density with two hills, $p(z) \propto e^{z^2 - z^4/4}$: 4,000 chains, forty moves of two long steps. Right, u is 0
# throughout, so that every end is accepted.
#
# <details><summary>Predict: what do the chains draw from then?</summary>
#
# Not from p. The hills become too steep, and some chains end far out, where p is nearly 0: H changes along a path of
# long steps, and nobody refuses its end.
# </details>


# %%
def chains_after(draw_u: Callable[[int], Tensor], moves: int = 40) -> tuple[Tensor, float]:
    z, shares = 3 * torch.rand(4000, 1).double() - 1.5, []
    log_p = lambda z: (z**2 - z**4 / 4).sum(-1)
    slope = lambda z: 2 * z - z**3
    steps = torch.full((4000,), 0.65).double()
    for _ in range(moves):
        r, u = torch.randn_like(z), draw_u(4000).double()
        z, probability = leapfrog_move(log_p, slope, z, r, u, steps, 2)
        shares.append(float(probability.mean()))
    return z[:, 0], sum(shares) / moves


line = torch.linspace(-3.5, 3.5, 400)
curve = (line**2 - line**4 / 4).exp()
curve = curve / torch.trapezoid(curve, line)
figure, axes = figures.subplots(1, 2, figsize=(12, 4.2))
ways = {"Your move follows p": torch.rand, "Every end accepted: not p": torch.zeros}
for axis, (title, draw_u) in zip(axes, ways.items(), strict=True):
    drawn, share = chains_after(draw_u)
    axis.hist(
        drawn, bins=60, range=(-3.5, 3.5), density=True, color=figures.SKY, label="chains"
    )
    axis.plot(line, curve, color=figures.VERMILION, label="p(z)")
    axis.set(title=title, xlabel="z", ylim=(0, 0.6))
    print(f"{title:25}: mean probability {share:.2f}, mean z² {float((drawn**2).mean()):.2f}")
axes[0].set_ylabel("density, per unit of z")
axes[0].legend()
figure

# %% [markdown]
# *Figure: two histograms under a curve with two hills. Left the histogram follows the curve; right its two hills are
# higher and narrower, and there are small heaps on both sides where the curve is at 0.*

# %% [markdown]
# ## · Wake and sleep, each with its own gradient ••
#
# *25 minutes.* A model with a prior that learns, $p_\theta(z) = \mathcal N(m, I)$, $p_\theta(x \mid z) = \mathcal N(W
# z, I)$, and an encoder $q_\phi(z \mid x) = \mathcal N(V x, \operatorname{diag} \sigma^2)$; so $\theta = (m, W)$ and
# $\phi = (V, \log \sigma)$. Its draws are made of given noise, and noise times σ lets a gradient pass. Write the two
# losses so that one optimizer can descend their sum, the wake loss moving θ alone and the sleep loss φ alone:
#
# $$ -\log p_\theta(x, z), \; z \sim q_\phi(z \mid x), \qquad \text{and} \qquad -\log q_\phi(\tilde z \mid \tilde x), \; (\tilde z, \tilde x) \sim p_\theta(x, z). $$
#
# `x`: `[batch, pixels]`; `prior_mean`, m: `[latent]`; `decoder`, W: `[pixels, latent]`; `encoder`, V: `[latent,
# pixels]`; `log_std`, log σ: `[latent]`; standard normal `noise`: `[batch, latent]`, for z; `noise_z`: `[dreams,
# latent]` and `noise_x`: `[dreams, pixels]`, for the dreams, whose number need not be that of the examples → two
# losses, `[batch]` and `[dreams]`, in nats, with their constants.
#
# <details><summary>Hint 1</summary>Through which three draws could a gradient pass? What holds a tensor
# still?</details>
# <details><summary>Hint 2</summary><code>.detach()</code>, or <code>torch.no_grad()</code> around the draws, as in
# the lecture. The parameters themselves stay free where the loss takes their log density.</details>
# <details><summary>Hint 3</summary>Awake: <code>z = (x @ encoder.T + log_std.exp() * noise).detach()</code>, then the
# log densities of z under <code>diagonal_normal(prior_mean, 1.0)</code> and of x under <code>diagonal_normal(z @
# decoder.T, 1.0)</code>. Asleep the other way round.</details>


# %%
def wake_and_sleep(
    x: Tensor,
    prior_mean: Tensor,
    decoder: Tensor,
    encoder: Tensor,
    log_std: Tensor,
    noise: Tensor,
    noise_z: Tensor,
    noise_x: Tensor,
) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    with torch.no_grad():
        z = x @ encoder.T + log_std.exp() * noise
        dream = prior_mean + noise_z
        dreamt = dream @ decoder.T + noise_x
    log_p = diagonal_normal(prior_mean, 1.0).log_prob(z)
    log_p = log_p + diagonal_normal(z @ decoder.T, 1.0).log_prob(x)
    log_q = diagonal_normal(dreamt @ encoder.T, log_std.exp()).log_prob(dream)
    return -log_p, -log_q
    ### END SOLUTION


# %%
check(sheet.wake_and_sleep, wake_and_sleep)

# %% [markdown]
# Data from such a model, six pixels and two latents, and another that starts elsewhere and descends your two losses.
# Its log p(x) is known. You should see it come up to that of the model which made the data, and the bound close
# behind it: the wake loss with its sign turned, and the entropy of q added. It shakes, with one draw of z for each
# example.

# %%
torch.manual_seed(run.seed)
made_by = LinearGaussian(torch.randn(6, 2).double(), torch.zeros(6).double(), 1.0)
x = made_by.evidence().sample((1000,))
shapes = ((2,), (6, 2), (2, 6), (2,))  # m, W, V, log σ
parameters = [(0.3 * torch.randn(shape).double()).requires_grad_() for shape in shapes]
optimizer = torch.optim.Adam(parameters, 0.02)
lines = {"log p(x)": [], "bound": [], "of the model that made x": []}
for _ in range(run.epochs(laptop=300)):
    noises = [torch.randn(1000, size).double() for size in (2, 2, 6)]
    wake, sleep = wake_and_sleep(x, *parameters, *noises)
    optimizer.zero_grad()
    (wake.mean() + sleep.mean()).backward()
    optimizer.step()
    with torch.no_grad():
        m, W, _, log_std = parameters
        entropy = log_std.sum() + 1 + log(2 * pi)  # of two latents
        evidence = LinearGaussian(W.clone(), W @ m, 1.0).log_evidence(x)
    lines["log p(x)"].append(float(evidence.mean()))
    lines["bound"].append(float(entropy - wake.detach().mean()))
    lines["of the model that made x"].append(float(made_by.log_evidence(x).mean()))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
steps = range(1, len(lines["bound"]) + 1)
figures.curves(axes, steps, lines, "Two losses, one climb", "step", "nats per example")
figure

# %% [markdown]
# **Think on.** Leave z free in the wake loss, so that its gradient reaches the encoder. What would $-\log p_\theta(x,
# z)$ do to σ, and which term of the bound would have kept it from that?
#
# <details><summary>Answer</summary>It would draw z to the top of the posterior, and σ towards 0. The entropy of q,
# which the bound has and the wake loss has not, pays for a wide q. Asleep, q still learns its width from dreams, so
# that the two pull against each other: run so for these 300 steps, σ ends about a third narrower, and log p(x) some
# hundredths of a nat lower.</details>

# %% [markdown]
# ## · log p(x) from draws of the posterior ••
#
# *20 minutes.* Write the estimator of the paper's appendix D for one $x$: fit a normal $q$, with the mean and the
# full covariance (over $n - 1$) of the first draws of $p(z \mid x)$, and average over the second,
#
# $$ \log \hat p(x) = -\log \frac1L \sum_{l=1}^L \frac{q(z_l)}{p(x, z_l)} . $$
#
# `first`: `[n, latent]`, n well above latent; `second`: `[L, latent]`; `log_joint`: `[L]`, $\log p(x, z_l)$ of the
# second draws, which may lie near −900 or 800; there may be one latent only, or one second draw → a tensor without
# axes, in nats. No gradient is asked for.
#
# <details><summary>Hint 1</summary>Which draws make q, at which is it looked at? The ratio inside the mean is upside
# down, compared with importance sampling.</details>
# <details><summary>Hint 2</summary><code>torch.cov</code> takes the variables as rows, and returns a number where
# there is one: <code>torch.atleast_2d</code>. The mean of ratios is a logsumexp.</details>
# <details><summary>Hint 3</summary><code>log(L) - (q.log_prob(second) - log_joint).logsumexp(0)</code>, with
# <code>MultivariateNormal(mean, covariance)</code> for q.</details>


# %%
def evidence_from_draws(first: Tensor, second: Tensor, log_joint: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    covariance = torch.atleast_2d(torch.cov(first.T))
    q = MultivariateNormal(first.mean(0), covariance)
    return log(len(second)) - (q.log_prob(second) - log_joint).logsumexp(0)
    ### END SOLUTION


# %%
check(sheet.evidence_from_draws, evidence_from_draws)

# %% [markdown]
# Why *other* draws? A linear-Gaussian model with eight latents, exact draws of its posterior, 200 examples: your
# estimate with other draws, and with the same ones twice.
#
# <details><summary>Predict: to which side does the second err?</summary>
#
# Downwards. A normal fitted to these very draws is too dense at them; so q/p(x, z) is too large in the mean, and its
# −log too small. With other draws it errs upwards: Jensen's inequality.
# </details>

# %%
torch.manual_seed(run.seed)
model = LinearGaussian(torch.randn(24, 8).double(), torch.zeros(24).double(), 1.0)
x = model.evidence().sample((200,))
truth, posterior = model.log_evidence(x), model.posterior(x)
counts, off = (15, 25, 50, 100, 200, 400), {"other draws": [], "the same draws": []}
for n in counts:
    draws = posterior.sample((2 * n,))  # [2n, 200, 8]
    joint = model.prior().log_prob(draws) + model.likelihood(draws).log_prob(x)
    for name, part in zip(off, (slice(n, None), slice(n)), strict=True):
        estimates = [
            evidence_from_draws(draws[:n, i], draws[part, i], joint[part, i])
            for i in range(200)
        ]
        off[name].append(float((torch.stack(estimates) - truth).mean()))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
figures.curves(axes, counts, off | {"log p(x)": [0.0] * len(counts)}, "With the same draws twice the error changes sides",
               "draws in each part", "estimate − log p(x), nats")  # fmt: skip
axes.set_xscale("log")
figure

# %% [markdown]
# *Figure: the mean error over the number of draws. With few other draws it is above 0, and from fifty on too small to
# see; with the same draws it is far below, and comes up to 0 slowly.*

# %% [markdown]
# **Think on.** With the same draws the error times n is near 45 where n is large. How many numbers does a normal with
# eight latents have?
#
# <details><summary>Answer</summary>8 of the mean and 36 of the covariance, 44. To first order in 1/n a fit of k
# numbers is k/2n nats too good, in the mean of log q, at the draws it was made of, and k/2n too bad at others. log q
# − log p(z | x) varies by k/n, and the log of a mean of exponentials adds half of that. Same draws: k/2n + k/2n too
# high. Other draws: −k/2n + k/2n, which is 0, as it must be: there the mean is unbiased.</details>

# %% [markdown]
# ## · Have the chains arrived? •••
#
# *30 minutes.* A chain runs, its pictures look well. Does it draw from $p$? $p$ is known up to a factor, so there is
# no mean to compare with. But there is its slope. Derive what
#
# $$ \mathbb E_{p(z)} \Bigl[ z_j\, \frac{\partial \log p(z)}{\partial z_j} \Bigr] $$
#
# is for **every** smooth density that falls fast enough far out. Then write the test: by how many standard errors is
# the mean over the draws off that number, with its sign? Draws of one chain resemble each other; the chains are
# independent. So take the mean of each chain first. The standard error is that of the mean of these means, with n −
# 1.
#
# `z`, and `slope`, the gradient of log p there: `[draws, chains, latent]`, 2 chains or more → `[latent]`: mean less
# what is right, over its error.
#
# <details><summary>Hint 1</summary>p · ∂ log p = ∂p. What does an integral by parts make of ∫ z_j ∂p/∂z_j dz?</details>
# <details><summary>Hint 2</summary>It is −∫ p dz, and that is −1, whatever p. Check it for N(0, 1), whose slope is
# −z.</details>
# <details><summary>Hint 3</summary><code>(z * slope + 1).mean(0)</code> is [chains, latent]; its mean over the
# chains, over <code>.std(0)</code> divided by the root of their number.</details>


# %%
def errors_off(z: Tensor, slope: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    of_chains = (z * slope + 1).mean(0)  # [chains, latent]; by parts E[z ∂ log p] = −1
    return of_chains.mean(0) / (of_chains.std(0) / len(of_chains) ** 0.5)
    ### END SOLUTION


# %%
check(sheet.errors_off, errors_off)

# %% [markdown]
# The posterior of a model with two latents, and three ways to draw from it: right; with every end accepted; with a
# log p that forgot the prior. Each runs 4,000 chains, tested in 200 groups of 20. You should see your number between
# −3 and 3 in nearly all groups of the right one, and beyond it in most groups of the other two, to opposite sides.
# Printed beside it is the same test with all draws of a group taken for independent: it accuses the right sampler in
# more than a tenth of the groups.

# %%
observed = torch.tensor([0.8, 0.3, -0.4]).double()
weight = torch.tensor([[1.0, 0.4], [-0.5, 0.8], [0.3, 0.3]]).double()
toy = LinearGaussian(weight, torch.zeros(3).double(), 0.6)
likelihood = lambda z: toy.likelihood(z).log_prob(observed)
likelihood_slope = lambda z: (observed - z @ weight.T) @ weight / 0.6**2
log_p = lambda z: toy.prior().log_prob(z) + likelihood(z)
slope = lambda z: likelihood_slope(z) - z


def groups(p=log_p, by=slope, draw_u=torch.rand) -> tuple[Tensor, Tensor]:
    z, kept = 0.5 * torch.randn(4000, 2).double(), []
    steps = torch.full((4000,), 0.5).double()
    for move in range(120):
        r, u = torch.randn_like(z), draw_u(4000).double()
        z, _ = leapfrog_move(p, by, z, r, u, steps, 1)
        if move >= 40:
            kept.append(z)
    drawn = torch.stack(kept)  # [80, 4000, 2]
    return drawn, slope(drawn)


# %%
ways = {
    "right": groups(),
    "every end accepted": groups(draw_u=torch.zeros),
    "prior forgotten": groups(likelihood, likelihood_slope),
}
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.5))
for name, (z, slopes) in ways.items():
    pairs = zip(z.split(20, 1), slopes.split(20, 1), strict=True)
    off = torch.stack([errors_off(a, b) for a, b in pairs])[:, 0]  # [200]: the first latent
    axes.hist(off.clamp(-15, 15), bins=60, range=(-15, 15), alpha=0.7, label=name)
    alike = (z * slopes + 1)[..., 0].unflatten(1, (200, 20))  # [80, 200, 20]
    as_independent = alike.mean((0, 2)) / (alike.std((0, 2)) / 1600**0.5)
    beyond, then = (float((v.abs() > 3).double().mean()) for v in (off, as_independent))
    print(f"{name:18}: beyond 3 errors in {beyond:4.0%} of the groups; {then:4.0%} if draws were independent")  # fmt: skip
axes.axvspan(-3, 3, color="0.9", zorder=0)
axes.set(
    title="Two broken samplers are found, to opposite sides",
    xlabel="standard errors off, first latent (grey: −3 to 3)",
    ylabel="groups of 20 chains",
)
axes.legend()
figure

# %% [markdown]
# *Figure: three histograms. That of the right sampler lies around 0 within the grey band; that of the prior forgotten
# around −4, that of every end accepted around +9.*

# %% [markdown]
# **Think on.** A density has two equal hills with nothing between them, and all chains stand on one. What does your
# test say?
#
# <details><summary>Answer</summary>Nothing is wrong, it says: each hill alone vanishes at its foot, so that the
# integral by parts holds on it too. The test finds chains that draw from another density than their slope belongs to;
# it does not find a part of the density where no chain has been.</details>
