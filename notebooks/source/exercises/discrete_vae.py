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
# The checks call your function with tensors in float64, and in [[:relaxed_sample]], [[:straight_through]] and [[:enumerated_elbo]] follow its gradients: compute in torch
# there. `torch.zeros(n)` is float32; with `dtype=logits.dtype` it has the number type of the logits.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All noise comes in as an argument: draw nothing inside. `logits` are logarithms of probabilities up to a constant, and
# need not be normalised. The categories are the last axis.

# %%
from math import log

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vae_course.exercises.engine import check
from vae_course.exercises.sheets import discrete_vae as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()

# %% [markdown]
# ## · The Gumbel-max draw •
#
# *10 minutes.* Add to each logit Gumbel noise of its own and take the largest: the category found has the probabilities
# $\operatorname{softmax}(\ell)$ (Gumbel, 1954; Maddison, Tarlow & Minka, arXiv:1411.0030). Gumbel noise comes from a uniform
# $u$ by its inverse CDF:
#
# $$ k^* = \arg\max_k \, (\ell_k + g_k), \qquad g_k = -\log(-\log u_k) . $$
#
# `logits`, $\ell$, and `uniform`, $u$, in (0, 1): `[..., categories]` → `[..., categories]`, in the number type of `logits`:
# in every row 1 at $k^*$ and 0 elsewhere; at a tie $k^*$ is the first, the one that `argmax` finds. No gradient is asked for.
#
# <details><summary>Hint 1</summary>Two steps: where is the largest, and how does an index become a vector?</details>
# <details><summary>Hint 2</summary><code>argmax(-1)</code> gives the index in every row. <code>one_hot</code> from
# <code>torch.nn.functional</code> makes vectors of it, in whole numbers.</details>
# <details><summary>Hint 3</summary>The noise is <code>-(-uniform.log()).log()</code>. Give <code>one_hot</code> the number of
# categories too, for some may not be drawn; <code>.to(…)</code> changes the number type of its result.</details>


# %%
def gumbel_max(logits: Tensor, uniform: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    scores = logits - (-uniform.log()).log()
    return one_hot(scores.argmax(-1), logits.shape[-1]).to(logits.dtype)
    ### END SOLUTION


# %%
check(sheet.gumbel_max, gumbel_max)

# %% [markdown]
# You should see the frequencies of 20,000 draws on the probabilities.

# %%
logits = torch.tensor([1.0, 0.0, -1.0, 0.5, -2.0], dtype=torch.float64)
draws = gumbel_max(logits.expand(20_000, 5), torch.rand(20_000, 5, dtype=torch.float64))
frequencies, probabilities = draws.mean(0), logits.softmax(0)
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 4))
axes.bar(range(5), probabilities, color=figures.SKY, label="softmax of the logits")
axes.plot(
    range(5), frequencies, "o", color=figures.VERMILION, label="frequency in 20,000 draws"
)
axes.set(
    title="The largest of logit + Gumbel noise is a draw",
    xlabel="category",
    ylabel="probability or frequency",
)
axes.legend()
figure

# %% [markdown]
# *Figure: five bars, the probabilities, and on the end of each a dot, the frequency; none lies visibly off.*

# %% [markdown]
# ## · The relaxed draw ••
#
# *15 minutes.* The largest entry moves in steps, so that no useful gradient passes it. Put a softmax in its place, at a
# temperature $\tau > 0$ (Jang, Gu & Poole, arXiv:1611.01144, equation 2; Maddison, Mnih & Teh, arXiv:1611.00712):
#
# $$ y = \operatorname{softmax}\!\left( \frac{\ell + g}{\tau} \right), \qquad g_k = -\log(-\log u_k) . $$
#
# `logits`, `uniform`: `[..., categories]`; `temperature`, $\tau$: a float → $y$, `[..., categories]`, with the gradient to
# `logits`. It must be right at $\tau = 0.01$ too, where exp of a score overflows.
#
# <details><summary>Hint 1</summary>Logits and noise are added first. What does the temperature divide?</details>
# <details><summary>Hint 2</summary>exp(1000) is infinite. A softmax does not change if a constant is subtracted from all scores of
# a row, and torch's own does that for you.</details>
# <details><summary>Hint 3</summary><code>(… / temperature).softmax(-1)</code></details>


# %%
def relaxed_sample(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    ### BEGIN SOLUTION
    noise = -(-uniform.log()).log()
    return ((logits + noise) / temperature).softmax(-1)
    ### END SOLUTION


# %%
check(sheet.relaxed_sample, relaxed_sample)

# %% [markdown]
# Three draws at four temperatures, with the same noise. You should see nearly one-hot vectors on the left and nearly equal
# entries on the right. The largest entry of a draw stands in the same category throughout: it is the one that Gumbel-max takes.

# %%
noise = torch.rand(3, 5, dtype=torch.float64)
figure, axes = figures.subplots(1, 4, figsize=(14, 3.5))
colours = (figures.BLUE, figures.VERMILION, figures.GREEN)
for axis, temperature in zip(axes, (0.1, 0.5, 2.0, 10.0), strict=True):
    soft = relaxed_sample(logits.expand(3, 5), noise, temperature)
    for i, (one, colour) in enumerate(zip(soft, colours, strict=True)):
        axis.bar(
            torch.arange(5) + 0.27 * (i - 1),
            one,
            width=0.25,
            color=colour,
            label=f"draw {i + 1}",
        )
    axis.set(title=f"τ = {temperature}", xlabel="category", ylim=(0, 1.02), xticks=range(5))
axes[0].set_ylabel("entry of y")
axes[3].legend()
figure

# %% [markdown]
# *Figure: four groups of bars. At τ = 0.1 each of three draws has most of its weight in one category; at τ = 10 all bars stand
# near one fifth.*

# %% [markdown]
# ## · Straight-through ••
#
# *15 minutes.* A decoder may need a real one-hot, and not a mixture. Straight-through gives it one in the forward pass and lets
# the gradient through in the backward pass as if nothing had happened (Bengio, Léonard & Courville, arXiv:1308.3432, for
# binary units; Jang, Gu & Poole, section 2.2). The result $z$ has
#
# $$ z = \operatorname{onehot}\bigl(\arg\max_k y_k\bigr), \qquad \frac{\partial z_j}{\partial y_k} := \delta_{jk} . $$
#
# `soft`, $y$: `[..., categories]`, a relaxed draw; its rows sum to 1 → $z$, `[..., categories]`: the value of the one-hot, with
# the gradient of `soft`. At a tie the 1 stands at the first, the one that `argmax` finds.
#
# <details><summary>Hint 1</summary>What could you add to the one-hot that is 0, but has a gradient?</details>
# <details><summary>Hint 2</summary>The difference of a tensor and itself is 0. Detach one of the two, and a gradient remains. Which
# one?</details>
# <details><summary>Hint 3</summary>Three terms: the one-hot, made as in [[:gumbel_max]], and <code>soft</code> twice, once with a plus and
# once with a minus. The gradient of z is that of the term that is not detached, with its sign.</details>


# %%
def straight_through(soft: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    hard = one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
    return hard + (soft - soft.detach())
    ### END SOLUTION


# %%
check(sheet.straight_through, straight_through)

# %% [markdown]
# How good are such gradients? For three categories the right one is known: $\mathbb E_q[f(z)]$ is a sum of three terms. Take
# $f(z) = \sin(\frac52 \, v \cdot z)$ with $v = (0, 1, 2)$, which can be put on a one-hot and on a relaxed draw. You should see,
# for the last logit, the relaxed gradient near the right one but for the highest temperature. The straight-through gradient has
# the wrong sign at every temperature: it knows the slopes of $f$ at the corners only. As $\tau \to 0$ it puts for each
# difference $f(e_a) - f(e_b)$ the mean of the two slopes along the edge, the trapezoid rule of the lecture. That is exact for a
# quadratic $f$; this one turns round between the corners. Both vary most at low temperatures.

# %%
levels, three = torch.arange(3).double(), torch.tensor([0.5, 0.0, -0.5]).double()
q, f_of_corner = three.softmax(0), (2.5 * levels).sin()
exact = q * (f_of_corner - q @ f_of_corner)  # [3], by enumeration
slope_at = 2.5 * (2.5 * levels).cos()  # of f along v, at the corners
edges = (slope_at[:, None] + slope_at) / 2 * (levels[:, None] - levels)
limit = (q[:, None] * q * edges).sum(1)  # [3], the trapezoid rule on each edge
temperatures = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0]
slopes = {"relaxed": [], "straight-through": []}
for temperature in temperatures:
    leaf = three.expand(20_000, 3).clone().requires_grad_()
    soft = relaxed_sample(leaf, torch.rand(20_000, 3).double(), temperature)
    for name, z in (("relaxed", soft), ("straight-through", straight_through(soft))):
        cost = (2.5 * z @ levels).sin().sum()
        (slope,) = torch.autograd.grad(cost, leaf, retain_graph=True)
        slopes[name].append(slope[:, 2])
figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4.5))
for (name, each), marker in zip(slopes.items(), "os", strict=True):
    mean, spread = ([float(f(s)) for s in each] for f in (torch.mean, torch.std))
    error = [2 * sd / 20_000**0.5 for sd in spread]
    left.errorbar(temperatures, mean, error, marker=marker, label=name)
    right.loglog(temperatures, spread, marker=marker, label=name)
left.axhline(float(exact[2]), color=figures.BLACK, linestyle=":", label="right, by enumeration")
left.axhline(float(limit[2]), color=figures.VERMILION, linestyle=":", label="trapezoid rule")
left.axhline(0.0, color=figures.BLACK, linewidth=1)
left.set(
    xscale="log",
    title="Straight-through has the wrong sign",
    xlabel="temperature τ",
    ylabel="mean gradient by the last logit",
)
right.set(
    title="Low temperatures are noisy",
    xlabel="temperature τ",
    ylabel="sd of one draw's gradient",
)
left.legend(loc="center left", fontsize=11)
figure

# %% [markdown]
# *Figure: left, mean gradients against the temperature. The relaxed one keeps to the dotted line of the right value,
# below 0, up to τ = 2 and is too short at 5; the straight-through one lies above 0 throughout, at low temperatures on the
# dotted line of the trapezoid rule. Right, both standard deviations fall as the temperature rises.*

# %% [markdown]
# ## · The ELBO by enumeration •••
#
# *30 minutes.* With few codes nothing need be drawn. Let $z = (z_1, \dots, z_V)$ have $V$ variables of $C$ categories, the prior be
# uniform and $q_\phi(z \mid x) = \prod_v q_v(z_v)$ with $q_v = \operatorname{Categorical}(\operatorname{softmax}(\ell_v))$.
# Then
#
# $$ \mathcal L = \sum_z q_\phi(z \mid x) \bigl[ \log p_\theta(x \mid z) + \log p(z) - \log q_\phi(z \mid x) \bigr] $$
#
# has $C^V$ terms. It is what every estimator of this lecture is held against.
#
# `logits`, $\ell$: `[batch, V, C]`; `log_likelihood`: `[batch, C**V]`, $\log p_\theta(x \mid z)$ for every code, the **last** variable
# changing fastest: for $V = C = 2$ the codes 00, 01, 10, 11 → `[batch]`, in nats, with gradients to both arguments. Take $C$ and
# $V$ from the shape of `logits`. Logits of ±1,000 occur: value and gradients must be finite there too.
#
# <details><summary>Hint 1</summary>You need log q(z|x) for all codes, [batch, C**V]. Begin with the log-probabilities of each variable,
# normalised over its categories. What is log p(z)?</details>
# <details><summary>Hint 2</summary>Grow the table one variable at a time: [batch, codes, 1] + [batch, 1, C], flattened, is [batch,
# codes · C], with the new variable fastest.</details>
# <details><summary>Hint 3</summary>Start with <code>log_p = logits.log_softmax(-1)</code> and <code>log_q = log_p[:, 0]</code>, the
# table of the first variable alone; for v = 1, 2, … let it grow by <code>log_p[:, v]</code> as in hint 2. The prior gives all
# C**V codes the same probability.</details>


# %%
def enumerated_elbo(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    _, variables, categories = logits.shape
    log_p = logits.log_softmax(-1)  # [batch, V, C]
    log_q = log_p[:, 0]
    for v in range(1, variables):
        log_q = (log_q[:, :, None] + log_p[:, v, None, :]).flatten(1)
    log_prior = -variables * log(categories)
    return (log_q.exp() * (log_likelihood + log_prior - log_q)).sum(1)
    ### END SOLUTION


# %%
check(sheet.enumerated_elbo, enumerated_elbo)

# %% [markdown]
# An example with two variables of three categories, where $x$ is far more probable if both are equal. Ascend your bound in the
# logits. You should see it stop below $\log p(x)$: the posterior has its weight on the diagonal, and a product of two
# categoricals cannot have it there and nowhere else.

# %%
likely = (5 * torch.eye(3).double() - 6).reshape(1, 9)  # log p(x|z) of nine codes
ascended = (0.1 * torch.randn(1, 2, 3).double()).requires_grad_()
evidence = float(likely.logsumexp(1) - 2 * log(3))
bounds = []
for _ in range(100):
    bound = enumerated_elbo(ascended, likely).sum()
    (slope,) = torch.autograd.grad(bound, ascended)
    ascended = (ascended + slope).detach().requires_grad_()
    bounds.append(float(bound.detach()))
marginals = ascended.detach().softmax(-1)[0]
tables = {
    "The best product q(z|x)": marginals[0][:, None] * marginals[1],
    "The posterior p(z|x)": likely.softmax(1).reshape(3, 3),
}
figure, axes = figures.subplots(1, 3, figsize=(14, 4))
axes[0].plot(bounds, color=figures.BLUE, label="your ELBO")
axes[0].axhline(evidence, color=figures.VERMILION, linestyle="--", label="log p(x)")
axes[0].set(title="Ascent stops below log p(x)", xlabel="step", ylabel="nats")
axes[0].legend()
for axis, (name, table) in zip(axes[1:], tables.items(), strict=True):
    drawn = axis.imshow(table, vmin=0, vmax=1)
    axis.set(title=name, xlabel="$z_2$", ylabel="$z_1$", xticks=range(3), yticks=range(3))
    axis.grid(False)
figure.colorbar(drawn, ax=axes[1:], label="probability")
figure

# %% [markdown]
# *Figure: left, the ELBO rises and levels off below a dashed line, log p(x). Right, two squares of nine cells: the best product
# has chosen one cell of the diagonal, the posterior has all three.*

# %% [markdown]
# ## · The score function, with a baseline for free ••
#
# *20 minutes.* The score function needs no relaxation and no gradient of $f$: only draws $z_1, \dots, z_n$ from
# $q = \operatorname{Categorical}(\operatorname{softmax}(\ell))$ and their costs $f_i = f(z_i)$. With the mean of the **other**
# costs as the baseline (Kool, van Hoof & Welling, *Buy 4 REINFORCE samples, get a baseline for free!*, 2019) the gradient
# $\nabla_\ell \, \mathbb E_q[f(z)]$ is estimated by
#
# $$ \hat g = \frac1n \sum_{i=1}^n (f_i - b_i) \bigl( \operatorname{onehot}(z_i) - \operatorname{softmax}(\ell) \bigr), \qquad
#    b_i = \frac{1}{n - 1} \sum_{j \ne i} f_j . $$
#
# `logits`, $\ell$: `[categories]`; `codes`: int64 `[n]`, the draws; `cost`: `[n]`, $n \ge 2$ → $\hat g$, `[categories]`. No gradient
# is followed through your answer.
#
# <details><summary>Hint 1</summary>The derivative of log softmax(ℓ) at category z by the logits is onehot(z) − softmax(ℓ). All
# baselines at once: what is Σ f without f_i?</details>
# <details><summary>Hint 2</summary><code>(cost.sum() - cost) / (n - 1)</code> is [n], the scores are [n, categories]. Which axis must
# be added before they are multiplied?</details>
# <details><summary>Hint 3</summary><code>((cost - baseline)[:, None] * score).mean(0)</code>, where <code>score</code> is
# <code>one_hot(codes, len(logits)) - logits.softmax(0)</code>.</details>


# %%
def score_gradient(logits: Tensor, codes: Tensor, cost: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    baseline = (cost.sum() - cost) / (len(cost) - 1)  # [n]
    score = one_hot(codes, len(logits)) - logits.softmax(0)  # [n, categories]
    return ((cost - baseline)[:, None] * score).mean(0)
    ### END SOLUTION


# %%
check(sheet.score_gradient, score_gradient)

# %% [markdown]
# Four categories, whose costs lie between 10 and 13; 4,000 estimates from 8 draws each, with and without a baseline. Enumeration
# gives the right gradient. You should see both means within a few standard errors of it, and a spread that the
# baseline makes many times smaller.

# %%
four = torch.tensor([0.5, 0.0, -0.5, 0.2], dtype=torch.float64)
prices = torch.tensor([10.0, 13.0, 11.0, 12.0], dtype=torch.float64)
q = four.softmax(0)
exact = q * (prices - q @ prices)
codes = torch.multinomial(q, 4000 * 8, replacement=True).reshape(4000, 8)
plain = (prices[codes][..., None] * (one_hot(codes, 4) - q)).mean(1)  # [4000, 4]
yours = torch.stack([score_gradient(four, one, prices[one]) for one in codes])
groups = (("without a baseline", plain, "o", -0.1), ("mean of the others", yours, "s", 0.1))
figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4.5))
for name, estimates, marker, shift in groups:
    error = estimates.std(0) / len(estimates) ** 0.5
    off = (estimates.mean(0) - exact) / error
    print(f"{name:18}: mean − exact in standard errors", [round(float(o), 1) for o in off])
    left.errorbar(
        torch.arange(4) + shift, estimates.mean(0), 3 * error, fmt=marker, capsize=5, label=name
    )
    right.semilogy(torch.arange(4), estimates.var(0), marker, markersize=12, label=name)
left.plot(range(4), exact, "_", color=figures.BLACK, markersize=40, label="by enumeration")
left.set(
    title="Neither is biased (bars: 3 standard errors)",
    xlabel="logit",
    ylabel="mean gradient, cost per unit of logit",
)
right.set(
    title="The baseline removes most of the variance",
    xlabel="logit",
    ylabel="variance of an estimate of 8 draws",
    ylim=(3e-3, 60),
)
for axis in (left, right):
    axis.set_xticks(range(4))
left.legend()
right.legend(loc="upper right")
figure

# %% [markdown]
# *Figure: left, the two means of each of four gradients beside a black line, the right value; all lie within their error bars.
# Right, the variances as points on a logarithmic axis: those with the baseline are far lower.*

# %% [markdown]
# The weights $f_i - b_i$ sum to 0. So with this baseline $\operatorname{softmax}(\ell)$ drops out of $\hat g$, and no check can see
# whether you subtracted it. Without a baseline, or with one that comes from elsewhere, it counts.
#
# **Think on.** Put the relaxed draws of [[:relaxed_sample]] into a decoder, and keep the KL of the categoricals in its closed form,
# $\sum_v \sum_c q_v(c) \, (\log q_v(c) + \log C)$. Is the mean of that objective still a bound on $\log p(x)$? Which two
# distributions would the KL have to compare for the relaxed objective to be one, and of which model?
