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
# The checks call your function with tensors in float64, and in [[:relaxed_bit]], [[:reinmax]] and [[:enumerated_elbo]] follow its
# gradients: compute in torch there. `torch.zeros(n)` is float32; with `dtype=logits.dtype` it has the number type of the logits.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All noise comes in as an argument: draw nothing inside. `logits` are logarithms of probabilities up to a constant, and
# need not be normalised. The categories are the last axis.

# %%
from math import log

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot

from vae_course.exercises.engine import check
from vae_course.exercises.sheets import discrete_vae as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()

# %% [markdown]
# ## · k draws without replacement •
#
# *10 minutes.* Draw a category, take it out, draw among the others, and so on, k times. Gumbel-max does it with one round of
# noise (Kool, van Hoof & Welling, 2019, *Stochastic beams and where to find them*, arXiv:1903.06059): with
# $g_c = -\log(-\log u_c)$ the largest $\ell_c + g_c$ is the first draw. Which is the second?
#
# In the lecture's picture every category has an alarm, and alarm c rings first with probability
# $\operatorname{softmax}(\ell)_c$. Alarms forget how long they have been waiting: once one has rung, the others race on as if
# they started afresh.
#
# `logits`, $\ell$, and `uniform`, $u$, in (0, 1): `[batch, categories]`; `k`: a whole number, at most as many as there are
# categories → int64 `[batch, k]`: the categories drawn, in the order drawn. No gradient is asked for.
#
# <details><summary>Hint 1</summary>The second draw is the alarm that rings second. No new noise is needed. Where does it
# stand in the order of logits + noise?</details>
# <details><summary>Hint 2</summary>The k largest scores of each row, the largest first. <code>topk</code> returns values and
# indices in that order; <code>argsort</code> ascends unless told otherwise.</details>
# <details><summary>Hint 3</summary><code>scores.topk(k).indices</code>, where a score is a logit minus
# <code>(-uniform.log()).log()</code>.</details>


# %%
def gumbel_top_k(logits: Tensor, uniform: Tensor, k: int) -> Tensor:
    ### BEGIN SOLUTION
    scores = logits - (-uniform.log()).log()
    return scores.topk(k).indices
    ### END SOLUTION


# %%
check(sheet.gumbel_top_k, gumbel_top_k)

# %% [markdown]
# Two of four categories, 20,000 times. The pair (a, b), in this order, should have the probability
# $q_a \cdot q_b / (1 - q_a)$: first a, then b among what is left. You should see the frequencies on it.

# %%
logits = torch.tensor([1.0, 0.0, -1.0, 0.5], dtype=torch.float64)
uniform = torch.rand(20_000, 4, dtype=torch.float64)
drawn = gumbel_top_k(logits.expand(20_000, 4), uniform, 2)
q = logits.softmax(0)
pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
expected = [float(q[a] * q[b] / (1 - q[a])) for a, b in pairs]
found = [float((drawn == torch.tensor(pair)).all(1).double().mean()) for pair in pairs]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 4))
axes.bar(range(12), expected, color=figures.SKY, label="probability")
axes.plot(range(12), found, "o", color=figures.VERMILION, label="frequency in 20,000 draws")
axes.set(
    title="The two largest scores are two draws without replacement",
    xlabel="first category, then second",
    ylabel="probability or frequency",
    xticks=range(12),
    xticklabels=[f"{a}, {b}" for a, b in pairs],
)
axes.legend()
figure

# %% [markdown]
# *Figure: twelve bars, one a pair, and on the end of each a dot, its frequency; none lies visibly off.*

# %% [markdown]
# ## · A relaxed bit, and its density ••
#
# *20 minutes.* A choice between two is a **bit**. One logit says all about it: $P(1) = \sigma(\ell)$. Of two Gumbel noises
# only the difference matters, and that is logistic: $\log u - \log(1 - u)$ with one uniform $u$. So a relaxed bit is
# (Maddison, Mnih & Teh, arXiv:1611.00712, who call it binary Concrete)
#
# $$ y = \sigma\!\left( \frac{\ell + \log u - \log(1 - u)}{\tau} \right) . $$
#
# A bit has two probabilities. A relaxed one lies anywhere in (0, 1) and has a **density**: a model with relaxed latents needs
# its logarithm for a bound. Derive it. $y$ rises with $u$, and $u$ has the density 1; so $p(y) = du/dy$.
#
# `logits`, $\ell$, and `uniform`, $u$, in (0, 1): `[batch, bits]`; `temperature`, $\tau$: a float → two tensors
# `[batch, bits]`: $y$, and $\log p(y)$ of every bit, in nats, both with the gradient to `logits` at fixed $u$. They must be
# right at $\tau = 0.01$ too. There $y$ rounds to 0 or 1, and its log density is finite all the same.
#
# <details><summary>Hint 1</summary>Call what the sigmoid is taken of the score s. The chain rule has two links, ds/du and
# dy/ds. What is the derivative of a sigmoid, in terms of its value?</details>
# <details><summary>Hint 2</summary>ds/du = 1 / (τ u (1 − u)) and dy/ds = y (1 − y). So
# log p(y) = log τ + log u + log(1 − u) − log y − log(1 − y).</details>
# <details><summary>Hint 3</summary>Where y rounds to 1, log(1 − y) is −∞. But log y = log σ(s) and log(1 − y) = log σ(−s),
# and <code>logsigmoid</code> of <code>torch.nn.functional</code> takes either from the score, without rounding.</details>


# %%
def relaxed_bit(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    log_u, log_rest = uniform.log(), (1 - uniform).log()
    score = (logits + log_u - log_rest) / temperature
    log_slope = logsigmoid(score) + logsigmoid(-score)  # log y + log(1 − y)
    return score.sigmoid(), log(temperature) + log_u + log_rest - log_slope
    ### END SOLUTION


# %%
check(sheet.relaxed_bit, relaxed_bit)

# %% [markdown]
# The histogram of 20,000 draws at three temperatures, and your density. You should see every histogram under its curve.
# At τ = 0.5 the density is highest at the two ends, at τ = 2 near the middle.
#
# <details><summary>Predict: what would the curve be at ℓ = 0 and τ = 1?</summary>
#
# 1 throughout: y is then u.
# </details>

# %%
uniform = torch.rand(20_000, 1, dtype=torch.float64)
figure, axes = figures.subplots(1, 3, figsize=(14, 4))
for axis, temperature in zip(axes, (0.5, 1.0, 2.0), strict=True):
    y, log_density = relaxed_bit(torch.full_like(uniform, 0.5), uniform, temperature)
    order = y[:, 0].argsort()
    axis.hist(y[:, 0], bins=40, range=(0, 1), density=True, color=figures.SKY, label="draws")
    axis.plot(
        y[order, 0], log_density[order, 0].exp(), color=figures.VERMILION, label="your density"
    )
    axis.set(title=f"τ = {temperature}", xlabel="y", ylim=(0, 4))
axes[0].set_ylabel("density, per unit of y")
axes[1].legend()
figure.suptitle("Logit 0.5: the colder, the nearer to a bit", x=0.01, ha="left")
figure

# %% [markdown]
# *Figure: three histograms, each under a curve. At τ = 0.5 the curve rises steeply at both ends, at τ = 1 it rises slowly
# from left to right, and at τ = 2 it is a hill right of the middle.*

# %% [markdown]
# ## · ReinMax ••
#
# *20 minutes.* Draw a category from $q = \operatorname{softmax}(\ell)$, without relaxing it; its one-hot is $z$. What shall
# be its derivative? Write $J(p) = \operatorname{diag}(p) - p\,p^\top$, the derivative of a softmax where its value is $p$.
# Straight-through takes $J(q)$, which is exact in the mean if $f$ is linear. ReinMax (Liu, Dong, Liu, Yu & Gao,
# arXiv:2304.08612) takes
#
# $$ \frac{\partial z}{\partial \ell} := 2\, J(m) - \tfrac12\, J(q), \qquad m = \frac{z + q}{2} . $$
#
# The mean of its gradient over the draws is the trapezoid sum of the lecture, for every $f$ and without a temperature.
#
# `logits`, $\ell$, and `drawn`, $z$, whose rows are one-hot, of the same number type: `[..., categories]` →
# `[..., categories]`: the value of `drawn`, with this derivative by `logits`. Logits of ±1,000 occur: the gradients must be
# finite there too.
#
# <details><summary>Hint 1</summary>J(q) is the derivative of <code>logits.softmax(-1)</code>. At which other logits would a
# softmax have the value m?</details>
# <details><summary>Hint 2</summary>At log m. But it is the gradient by <code>logits</code> that is asked for, with m held
# fixed. So move the logits to log m by something detached: their difference.</details>
# <details><summary>Hint 3</summary><code>((m.log() - logits).detach() + logits).softmax(-1)</code> has the value m and the
# derivative J(m). Twice that, less half of q, is a tensor with the right gradient. How did straight-through lend the gradient
# of one tensor to the value of another?</details>


# %%
def reinmax(logits: Tensor, drawn: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    q = logits.softmax(-1)
    middle = (drawn + q) / 2
    at_middle = ((middle.log() - logits).detach() + logits).softmax(-1)
    soft = 2 * at_middle - q / 2
    return drawn + (soft - soft.detach())
    ### END SOLUTION


# %%
check(sheet.reinmax, reinmax)

# %% [markdown]
# How good are such gradients? With three categories nothing need be drawn: weight the gradient of each $z$ by its
# probability. The categories stand for the numbers 0, 1 and 2, and the cost is a quadratic or a sine of the number. You
# should see that ReinMax is exact for the quadratic, where straight-through is not. For the sine both are far off, and
# ReinMax is the farther for two of the logits: the sine turns round between the corners, and neither estimator looks there.


# %%
def straight(logits: Tensor, drawn: Tensor) -> Tensor:  # without Gumbel noise
    q = logits.softmax(-1)
    return drawn + (q - q.detach())


levels, three = torch.arange(3).double(), torch.tensor([0.5, 0.0, -0.5]).double()
q = three.softmax(0)
costs = {
    "(s − 1.3)²: ReinMax is exact": lambda s: (s - 1.3).square(),
    "sin 2.5 s: neither is near": lambda s: (2.5 * s).sin(),
}

# %%
estimators = {"straight-through": (straight, "o", -0.1), "ReinMax": (reinmax, "s", 0.1)}
figure, axes = figures.subplots(1, 2, figsize=(13, 4.5))
for axis, (title, cost) in zip(axes, costs.items(), strict=True):
    exact = q * (cost(levels) - q @ cost(levels))  # [3]
    places = torch.arange(3)
    axis.hlines(
        exact, places - 0.25, places + 0.25, color=figures.BLACK, linewidth=3, label="exact"
    )
    for name, (estimator, marker, shift) in estimators.items():
        leaf = three.expand(3, 3).clone().requires_grad_()  # a row for each draw
        each = cost(estimator(leaf, torch.eye(3).double()) @ levels).sum()
        (slope,) = torch.autograd.grad(each, leaf)
        axis.plot(places + shift, q @ slope, marker, markersize=10, label=name)
    axis.axhline(0.0, color=figures.BLACK, linewidth=1)
    axis.set(title=title, xlabel="logit", xticks=range(3), xlim=(-0.5, 2.5))
axes[0].set_ylabel("mean gradient, cost per unit of logit")
axes[0].legend()
figure

# %% [markdown]
# *Figure: two panels, three logits each, the exact gradient of each a black bar. Left, a quadratic cost: the squares of
# ReinMax lie on the bars, the dots of straight-through off them. Right, a sine: dots and squares lie far from all
# three bars, and for the last logit on the other side of 0.*
#
# **Think on.** For a drawn category b and $g = \nabla f(e_b)$ write out what ReinMax gives for the logit of category a, and
# take the mean over b. Where does the slope at the other end of the edge come from?
#
# <details><summary>Answer</summary>
#
# $J(p)\, g$ has the entries $p_a (g_a - p \cdot g)$. With $m = (e_b + q) / 2$ the sum $2 J(m)\, g - \frac12 J(q)\, g$ comes
# to $\frac12 \delta_{ab} (g_b - q \cdot g) + \frac12 q_a (g_a - g_b)$. In the mean over b the second part is
# $\sum_b q_a q_b \frac12 \nabla f(e_b) \cdot (e_a - e_b)$, the slopes at the other ends. The first part counts only where a
# was drawn: $q_a \frac12 \big(g_a - \sum_b q_b g_b\big) = \sum_b q_a q_b \frac12 \nabla f(e_a) \cdot (e_a - e_b)$, with
# $g = \nabla f(e_a)$: the slopes at its own.
# </details>

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
# **Think on.** Put relaxed bits into a decoder, and keep the KL of the bits in its closed form,
# $\sum_v \sum_c q_v(c) \, (\log q_v(c) + \log 2)$. Is the mean of that objective still a bound on $\log p(x)$? Which two
# distributions would the KL have to compare for the relaxed objective to be one, and of which model? What of it does
# [[:relaxed_bit]] already give you?
