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
# The bound is an expectation over z, and its parameters are inside q. How does one differentiate through a draw?
#
# **After this lecture you can**
# - say what a draw blocks, and redraw the graph so that it does not;
# - derive the pathwise and the score-function gradient, and measure both;
# - compute their variances, and lower them with baselines and control variates;
# - reparameterize families in three ways;
# - say when none works, and which estimator of the bound varies less where.

# %% [markdown]
# **You need** [[needs]]. **Time**: [[time]], network off. Everything runs on the
# processor, in double precision.

# %% tags=["skip"]
from math import exp, sqrt

import torch
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)


def near(draws: Tensor, exact: Tensor | float) -> Tensor:
    """Whether the mean over the first axis is the exact value, within five standard errors."""
    return ((draws.mean(0) - exact).abs() < 5 * draws.std(0) / len(draws) ** 0.5).all()


def within(share: float, measured: Tensor, exact: Tensor) -> Tensor:
    """Whether all of measured are the exact values, within a share of them."""
    return ((measured / exact - 1).abs() < share).all()


# %% [markdown] tags=["slide"]
# ## · What a draw blocks
#
# We want to learn $\mu$ in the plane so that points $z \sim \mathcal N(\mu, \sigma^2 I)$ lie near $t = (5, 5)$:
#
# $$ \text{minimise} \quad J(\mu) = \mathbb E_{z \sim \mathcal N(\mu, \sigma^2 I)}\bigl[\|z - t\|^2\bigr]
#    = \|\mu - t\|^2 + 2 \sigma^2, \qquad \nabla J = 2 (\mu - t) . $$
#
# The closed form is our exact partner. Suppose we did not have it. Drawing is easy. What does autograd make of a draw?

# %% tags=["fragment"]
target, std = torch.tensor([5.0, 5.0]), 0.7
origin = torch.zeros(2, requires_grad=True)
z = Normal(origin, std).sample()
claim("sample() returns numbers: autograd sees no μ in them", not z.requires_grad)

# %% [markdown] tags=["slide"]
# The numbers depend on $\mu$ through the **distribution** they were drawn from, and autograd differentiates numbers by
# numbers. The graph, with $\varphi$ for the parameters of $q$, shows where the gradient stops, and two ways around; section
# [[#The pathwise]] writes the second with a function $g$ of noise $\varepsilon$.

# %% tags=["skip"]
from vae_course.notebook.diagrams import computation_graph

moved, product = "z = g(φ, ε)", "f(z) · log q(z)"
blocked = {"φ": (0, 0), "z ~ q": (0, 1), "f(z)": (0, 2.1)}
rerouted = {"φ": (-0.7, 0), "ε": (0.8, 0), moved: (0, 1), "f(z)": (0, 2.1)}
weighted = {"φ": (-0.7, 0), "z ~ q": (0.8, 0.3), "log q(z)": (-0.7, 1.1), "f(z)": (0.8, 1.25), product: (0, 2.1)}  # fmt: skip
ways = ["φ → z ~ q", "z ~ q → log q(z)", "φ → log q(z)", "z ~ q → f(z)", f"log q(z) → {product}", f"f(z) → {product}"]  # fmt: skip
graphs = {  # title: nodes, arrows, what is drawn, where the gradient runs
    "blocked": (blocked, ["φ → z ~ q", "z ~ q → f(z)"], ["z ~ q"], ["f(z) → z ~ q"]),
    "rerouted: pathwise": (
        rerouted, [f"φ → {moved}", f"ε → {moved}", f"{moved} → f(z)"], ["ε"], [f"f(z) → {moved}", f"{moved} → φ"],
    ),
    "left alone: score function": (weighted, ways, ["z ~ q"], [f"{product} → log q(z)", "log q(z) → φ"]),
}  # fmt: skip

# %% tags=["fragment"]
figure, panels = figures.subplots(1, 3, figsize=(12, 5))
for axes, (title, graph) in zip(panels, graphs.items(), strict=True):
    axes.set_title(title, loc="center")
    axes.set(xlim=(-1.25, 1.25), ylim=(-0.25, 2.35))
    computation_graph(axes, *graph)
panels[0].plot(-0.16, 0.5, "X", markersize=18, color=figures.VERMILION)
figure

# %% [markdown]
# *Figure: three graphs; circles are drawn, boxes are computed or given. Left, φ leads to the drawn z and on to f; a dashed
# gradient comes back from f to z and stops at a cross. Middle, z is computed from φ and a drawn ε, and the gradient
# reaches φ. Right, z is still drawn; the gradient of f(z) · log q(z) reaches φ through log q, and f is a weight.*

# %% [markdown] tags=["slide"]
# ## · The pathwise gradient
#
# Draw noise that has no parameters, and compute the draw from it: $z = \mu + \sigma \varepsilon$, $\varepsilon \sim \mathcal
# N(0, I)$. It has the same distribution, and it is a differentiable function of $\mu$ and $\sigma$. The expectation is now over
# $\varepsilon$, so gradient and expectation may change places (for the smooth $f$ here, which does not grow too fast):
#
# $$ \nabla_\mu\, \mathbb E_\varepsilon[f(\mu + \sigma \varepsilon)] = \mathbb E_\varepsilon[\nabla f(z)],
#    \qquad \text{here } \nabla f(z) = 2 (z - t) . $$

# %% [markdown] tags=["slide"]
# ## · The score-function gradient
#
# The other way leaves the draw alone and differentiates the density, $\nabla_\mu q = q\, \nabla_\mu \log q$:
#
# $$ \nabla_\mu \int q_\mu(z) f(z)\, dz = \int q_\mu(z) f(z)\, \nabla_\mu \log q_\mu(z)\, dz
#    = \mathbb E_q\bigl[f(z)\, s(z)\bigr] $$
#
# with the **score** $s = \nabla_\mu \log q_\mu(z)$, here $(z - \mu) / \sigma^2$. It is also called REINFORCE. It needs no gradient of $f$,
# only the score, and a support that does not move with $\mu$.

# %% [markdown] tags=["slide"]
# Raise $\mu$ a little. Pathwise, every draw moves along; for the score function the draws stay, and their weights change.

# %%
line, shift = torch.linspace(-3, 4, 300), 0.6
before, after = Normal(0.0, 1.0), Normal(shift, 1.0)
some = before.icdf(torch.linspace(0.05, 0.95, 10))  # ten evenly spread "draws"
weight = (after.log_prob(some) - before.log_prob(some)).exp()

# %% tags=["fragment"]
figure, (left, right) = figures.subplots(1, 2, figsize=(12, 4.4))
for axes in (left, right):
    axes.plot(line, before.log_prob(line).exp(), color="0.6", label="density at μ")
    axes.plot(line, after.log_prob(line).exp(), color="black", label="density at μ + 0.6")
    axes.set(xlabel="z", ylabel="density", ylim=(-0.13, 0.56))
    axes.legend(loc="upper left", fontsize=12)
rows = [-0.03 - 0.03 * (i % 3) for i in range(10)]
for point, row in zip(some.tolist(), rows, strict=True):
    arrow = {"arrowstyle": "-|>", "color": figures.GREEN, "linewidth": 2}
    left.annotate("", (point + shift, row), (point, row), arrowprops=arrow)
left.set_title("Pathwise: every draw moves")
right.scatter(some, rows, s=110 * weight, color=figures.VERMILION)
right.set_title("Score function: draws stay, weights change")
figure

# %% [markdown]
# *Figure: twice a bell and its copy shifted to the right. Left, ten arrows of equal length carry ten draws along. Right, ten
# dots stay where they are; their areas, the weights, have grown on the right and shrunk on the left.*

# %% [markdown] tags=["slide"]
# ### Both, by hand


# %% tags=["fragment"]
def cost(z: Tensor) -> Tensor:  # [..., 2] -> [...]
    return (z - target).square().sum(-1)


# [..., 2], [draws, ..., 2] -> [draws, ..., 2], one gradient for each draw
def pathwise_gradient(mean: Tensor, noise: Tensor) -> Tensor:
    z = mean + std * noise
    return 2 * (z - target)


def score_function_gradient(mean: Tensor, noise: Tensor) -> Tensor:
    z = mean + std * noise
    return cost(z)[..., None] * (z - mean) / std**2


# %%
noise, mean = torch.randn(400_000, 2), torch.tensor([1.0, 2.0])
exact = 2 * (mean - target)
by_path, by_score = pathwise_gradient(mean, noise), score_function_gradient(mean, noise)
claim(
    "the average pathwise gradient is the exact one, within five standard errors",
    near(by_path, exact), average=by_path.mean(0), exact=exact,
)  # fmt: skip
claim(
    "so is the average score-function gradient",
    near(by_score, exact), average=by_score.mean(0), exact=exact,
)  # fmt: skip

# %% [markdown]
# The package has both as functions of $q$ and $f$. They return the values $f(z)$; the gradient of their mean is the estimate.

# %%
from vae_course.distributions.families import diagonal_normal
from vae_course.inference.gradients import (
    gradient_draws,
    leave_one_out,
    pathwise,
    score_function,
)


# %%
def same_draws(estimator) -> Tensor:  # one gradient of the package at a fixed seed
    own = mean.clone().requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        value = estimator(diagonal_normal(own, std), cost, 10).mean()
    return torch.autograd.grad(value, own)[0]


noise = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
for name, package, by_hand in (
    ("pathwise", pathwise, pathwise_gradient),
    ("score-function", score_function, score_function_gradient),
):
    claim(
        f"for the same draws the package's {name} gradient is the one by hand",
        torch.allclose(same_draws(package), by_hand(mean, noise).mean(0)),
    )

# %% [markdown] tags=["slide"]
# ### Both arrive, one wanders
#
# Gradient descent from the origin, $n = 10$ draws a step, step size $\eta = 0.01$, 400 walkers for each gradient. *Predict: which
# path is straight? After 1,500 steps, is either nearer to the target?*
#
# <details><summary>Answer</summary>The pathwise one. Both come near, and neither stays at the target: every step adds noise.
# A step gives E‖μ′ − t‖² = (1 − 2η)² E‖μ − t‖² + η² V / n, where V is one draw's variance, both coordinates together. For a small η it
# stands still at E‖μ − t‖² = η V / 4n: the gradient with the larger V at the target ends farther away.</details>


# %%
# The paths of the walkers' μ: [steps + 1, walkers, 2]
def descend(gradient, rate: float = 0.01, draws: int = 10, walkers: int = 400) -> Tensor:
    path = [torch.zeros(walkers, 2)]
    for _ in range(1500):
        noise = torch.randn(draws, walkers, 2)
        path.append(path[-1] - rate * gradient(path[-1], noise).mean(0))
    return torch.stack(path)


paths = {
    "pathwise": descend(pathwise_gradient),
    "score function": descend(score_function_gradient),
}
squared = {name: (path - target).square().sum(-1).mean(1) for name, path in paths.items()}

# %% tags=["fragment"]
figure, (left, right) = figures.subplots(1, 2, figsize=(12, 5))
for (name, path), colour in zip(paths.items(), (figures.GREEN, figures.VERMILION), strict=True):
    left.plot(*path[:, 0].T, color=colour, linewidth=1.5, label=name)
    right.semilogy(squared[name].sqrt(), color=colour, label=name)
left.plot(*target, "X", markersize=16, color="black", label="target")
left.set(title="One walker each: both arrive", xlabel="μ₁", ylabel="μ₂", aspect="equal")
left.legend(loc="upper left")
right.set(title="400 walkers of each kind: one kind stays farther off", xlabel="step")
right.set_ylabel("root mean squared ‖μ − t‖")
right.legend(loc="upper right")
figure

# %% [markdown]
# *Figure: left, from the origin a nearly straight line and a wandering one, both ending near (5, 5). Right, both distances
# fall over a few hundred steps, then each keeps a level, the score function's the higher one.*

# %%
late = {name: float(values[-1000:].mean()) for name, values in squared.items()}
still = 0.01 * (8 * std**2) / (4 * 10)  # η V / 4n, V = 8σ²
claim(
    "the pathwise walkers' mean squared distance ends at η V / 4n with V = 8σ², within 10 %",
    abs(late["pathwise"] / still - 1) < 0.1, measured=late["pathwise"], predicted=still,
)  # fmt: skip
claim(
    "the score function's is about six times that, within 10 %",
    abs(late["score function"] / still - 6) < 0.6, measured=late["score function"], predicted=6 * still,
)  # fmt: skip

# %% [markdown]
# **Break it.** In `score_function_gradient` divide by `std` instead of `std**2`. Which claims so far fall?
# <details><summary>Answer</summary>Those on the score function: its average is σ times the exact gradient, it differs from the
# package's, and its walkers take smaller steps.</details>
#
# *Try it*: with `draws=2` and a few seeds, now and then a walker of the score function runs away. Why?
# <details><summary>Answer</summary>Far from the target V grows like r⁴ (next section), and a step takes only 4ηr² off: beyond r² = 2nσ²/η, which is 14² for two
# draws, the mean squared distance grows.</details>

# %% [markdown] tags=["slide"]
# Where does the six come from? Move the distance, $\sigma$ and the number of draws: when does the score function suffer
# most?

# %% tags=["fragment"]
from vae_course.notebook.widgets.inference import gradient_clouds

gradient_clouds(distance=3.0, std=0.7, samples=1)

# %% [markdown]
# *Figure: two clouds of gradient estimates around the same cross, on the same axes: the pathwise one a small round spot on
# the cross, the score function's many times wider and lopsided.*
#
# Now **exercise [[:correlated_draw]]**: a reparameterized draw with correlated coordinates.

# %% [markdown] tags=["slide"]
# ## · The variance, exactly
#
# In $d$ dimensions let $\delta = \mu - t$ and $r = \|\delta\|$, so that $z - t = \delta + \sigma \varepsilon$. We add up the variances of the $d$ coordinates.
#
# **Pathwise.** The gradient is $2 \delta + 2 \sigma \varepsilon$: $4 d \sigma^2$, wherever $\mu$ is.
#
# **Score function.** It is $f \varepsilon / \sigma$ with $f = r^2 + 2 \sigma\, \delta^\top \varepsilon + \sigma^2 \|\varepsilon\|^2$. From $\mathbb E \|\varepsilon\|^2 = d$, $\;\mathbb E
# \|\varepsilon\|^4 = d (d + 2)$, $\;\mathbb E \|\varepsilon\|^6 = d (d + 2)(d + 4)$, $\;\mathbb E (\delta^\top \varepsilon)^2 \|\varepsilon\|^2 = r^2 (d + 2)$, and odd terms that vanish,
#
# $$ \mathbb E\bigl[f^2 \|\varepsilon\|^2\bigr] / \sigma^2 = d\, r^4 / \sigma^2 + 4 (d + 2)\, r^2 + 2 d (d + 2)\, r^2 + d (d + 2)(d + 4)\, \sigma^2 , $$
#
# and less the squared mean, $4 r^2$,
#
# $$ V = d\, r^4 / \sigma^2 + 2 (d^2 + 4 d + 2)\, r^2 + d (d + 2)(d + 4)\, \sigma^2 . $$

# %% [markdown] tags=["slide"]
# ### Two draws, each the other's baseline
#
# See section [[#Baselines]]. At the target the estimate is $\frac12 (f_1 - f_2)(s_1 - s_2)$. With $u, v = (\varepsilon_1
# \mp \varepsilon_2) / \sqrt 2$, again standard normal and independent, it is $\sqrt 2\, \sigma\, (u^\top v)\, u$: variance $2 d (d + 2) \sigma^2$, as $\mathbb
# E[(u^\top v)^2 \| u \|^2] = \mathbb E \|u\|^4$. Twice that, $4 d (d + 2) \sigma^2$, per draw.


# %%
# The variance of a gradient, all coordinates together, times its draws. The target is at the origin.
def variance(estimator, d: int, r: float, std: float, samples: int = 1, **options) -> float:
    mean = torch.zeros(d)
    mean[0] = r
    f = lambda z: z.square().sum(-1)
    estimate = lambda rows: estimator(diagonal_normal(rows, std), f, samples, **options)
    (draws,) = gradient_draws(estimate, [mean], 1_200_000 // (d + 1))
    return samples * float(draws.var(0).sum())


def predicted(d, r, std):  # of the score function: for numbers or tensors
    return d * r**4 / std**2 + 2 * (d**2 + 4 * d + 2) * r**2 + d * (d + 2) * (d + 4) * std**2


# %%
widths, distances = [0.35, 0.7], [0.3, 1.5, 4.0, 10.0]
dimensions = [1, 2, 5, 10, 20, 50, 100]
by_distance, path_by_distance = (
    torch.tensor([[variance(estimator, 2, r, width) for r in distances] for width in widths])
    for estimator in (score_function, pathwise)
)
by_dimension = {
    "score function": [variance(score_function, d, 0.0, std) for d in dimensions],
    "with a baseline": [
        variance(score_function, d, 0.0, std, 2, baseline=leave_one_out) for d in dimensions
    ],
    "pathwise": [variance(pathwise, d, 0.0, std) for d in dimensions],
}

# %% [markdown] tags=["slide"]
# Far away the spread, $\sqrt V$, grows like the squared distance over $\sigma$. At the target $V = d (d + 2)(d + 4) \sigma^2$: 48σ² in the
# plane, six times the pathwise 8σ².

# %% tags=["fragment"]
figure, (left, right) = figures.subplots(1, 2, figsize=(12, 5))
along = torch.logspace(-1.0, 1.0, 100).tolist()
for i, (width, style) in enumerate(zip(widths, ("--", "-"), strict=True)):
    exact_line = [predicted(2, r, width) for r in along]
    left.loglog(along, exact_line, style, color=figures.VERMILION, label=f"σ = {width}")
    left.loglog(distances, by_distance[i], "o", color=figures.VERMILION)
    left.loglog(along, [8 * width**2] * 100, style, color=figures.GREEN)
    left.loglog(distances, path_by_distance[i], "o", color=figures.GREEN)
left.set(title="Far away a small σ is worst", xlabel="distance r from the target, d = 2")
left.set_ylabel("variance of one draw's gradient")
colours = (figures.VERMILION, figures.BLUE, figures.GREEN)
for (name, values), colour in zip(by_dimension.items(), colours, strict=True):
    right.loglog(dimensions, values, "o-", color=colour, label=name)
right.set(title="At the target: like d³, d² and d", xlabel="dimension d, σ = 0.7")
for axes in (left, right):
    axes.legend(loc="upper left", fontsize=12)
figure

# %% [markdown]
# *Figure: dots are measured. Left, over the distance, the pathwise gradient has two flat green lines, the score function two rising curves, the
# smaller σ's the lower one near the target and the higher one far away. Right, over the dimension, three lines fan out, the score
# function's the steepest.*

# %%
d, r, sigma = torch.tensor(dimensions), torch.tensor(distances), torch.tensor(widths)[:, None]
at_target = {name: torch.tensor(values) for name, values in by_dimension.items()}
claim(
    "the pathwise variance is 4dσ² at every distance, for both σ and in every dimension, within 3 %",
    within(0.03, path_by_distance, 8 * sigma**2) and within(0.03, at_target["pathwise"], 4 * d * std**2),
)  # fmt: skip
claim(
    "the score function's is V at every distance and for both σ, within 3 %",
    within(0.03, by_distance, predicted(2, r, sigma)), measured=by_distance,
)  # fmt: skip
claim(
    "at the target it is d (d + 2)(d + 4) σ² in every dimension, within 5 %",
    within(0.05, at_target["score function"], d * (d + 2) * (d + 4) * std**2),
)  # fmt: skip
claim(
    "with the other of two draws as baseline it is 4d (d + 2) σ² per draw, within 5 %",
    within(0.05, at_target["with a baseline"], 4 * d * (d + 2) * std**2),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Baselines and control variates
#
# The score has mean zero: $\mathbb E_q[s] = \int \nabla q = \nabla \int q = 0$. So any constant $b$ may be subtracted from $f$ without bias:
# $\nabla_\mu J = \mathbb E_q\bigl[(f(z) - b)\, s(z)\bigr]$.
#
# A **baseline** may also be random, if it does not depend on the draw it is used for. The mean of the *other* draws is fine (leave one out).
# The mean of **all** $n$ draws is not: it contains the draw's own cost, and shrinks the expected gradient to $(n - 1)/n$ of the
# true one.


# %% tags=["fragment"]
def mean_of_all(cost: Tensor) -> Tensor:
    return cost.mean(0).expand_as(cost)


# [draws, 2], each from n draws of z
def clouds(baseline, n: int = 4, draws: int = 200_000) -> Tensor:
    estimate = lambda rows: score_function(diagonal_normal(rows, std), cost, n, baseline)
    return gradient_draws(estimate, [mean], draws)[0]


# %% tags=["slide"]
left_out, shrunk = clouds(leave_one_out), clouds(mean_of_all)
claim(
    "with the mean of the others the gradient is unbiased, within five standard errors",
    near(left_out, exact), average=left_out.mean(0), exact=exact,
)  # fmt: skip
claim(
    "with the mean of all four it is three quarters of the exact one, within five standard errors",
    near(shrunk, 0.75 * exact), average=shrunk.mean(0), exact=exact,
)  # fmt: skip

# %% [markdown]
# **Break it.** Where `left_out` is computed, replace `leave_one_out` by `mean_of_all`. Which claim falls?
# <details><summary>Answer</summary>The first: the average is then three quarters of the exact gradient. Its direction is right, so
# a descent still arrives, as if with a smaller step.</details>

# %% [markdown] tags=["slide"]
# **Which constant is best?** Scan: the variance at $\mu = (1, 2)$, where $r = 5$, for every $b$ on a grid.

# %% tags=["fragment"]
noise = torch.randn(100_000, 2)
z = mean + std * noise
score = (z - mean) / std**2
constants = torch.linspace(15, 40, 101)
scan = torch.stack([((cost(z) - b)[:, None] * score).var(0).sum() for b in constants])
least = float(constants[scan.argmin()])
print(f"least variance at b = {least:.2f}; mean cost {cost(z).mean():.2f}")

# %% tags=["fragment"]
claim(
    "the best constant is r² + (d + 2) σ², within 2 %: not the mean cost, r² + d σ²",
    abs(least / (25 + 4 * std**2) - 1) < 0.02, least=least,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# A **control variate** goes further: subtract something random whose mean is known. Near $\mu$, $f(z) \approx f(\mu) + g^\top (z - \mu)$
# with $g = \nabla f(\mu)$. That linear part's own gradient is known to be $g$, so take it out of the noise and add it back:
#
# $$ \bigl(f(z) - f(\mu) - g^\top (z - \mu)\bigr)\, s(z) + g . $$
#
# It needs $\nabla f$, as the pathwise gradient does; for a discrete $z$ one uses the gradient of a smooth stand-in.


# %%
def with_best_constant(mean: Tensor, noise: Tensor) -> Tensor:
    z = mean + std * noise
    best = (mean - target).square().sum() + 4 * std**2
    return (cost(z) - best)[:, None] * (z - mean) / std**2


def with_control_variate(mean: Tensor, noise: Tensor) -> Tensor:
    z, g = mean + std * noise, 2 * (mean - target)
    rest = cost(z) - cost(mean) - (z - mean) @ g
    return rest[:, None] * (z - mean) / std**2 + g


refined = {"best constant": with_best_constant, "linear control variate": with_control_variate}
corrected = {name: gradient(mean, noise) for name, gradient in refined.items()}
spread = {
    name: [gradient(target - r / sqrt(2), noise).var(0).sum() for r in distances]
    for name, gradient in refined.items()
}

# %% [markdown] tags=["slide"]
# With both remedies the term $r^4 / \sigma^2$ is gone. The control variate leaves of the integrand $\sigma^2 \lVert \varepsilon \rVert^2$
# alone, the best constant, $b = r^2 + (d + 2)\sigma^2$, leaves $\sigma^2(\lVert \varepsilon \rVert^2 - d - 2) + 2 \sigma\, \delta^\top\! \varepsilon$
# with $\delta = \mu - t$. Times the score $\varepsilon / \sigma$, by moments of normals, the best constant leaves $4 (d + 1)\, r^2 + 2 d (d + 2)\, \sigma^2$, the
# control variate $d (d + 2)(d + 4)\, \sigma^2$ at every distance; at the target, where $g = 0$, it gains nothing.

# %% tags=["fragment"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 5))
exact_lines = {
    "score function": [predicted(2, r, std) for r in along],
    "best constant": [12 * r**2 + 16 * std**2 for r in along],
    "linear control variate": [48 * std**2] * 100,
    "pathwise": [8 * std**2] * 100,
}
colours = (figures.VERMILION, figures.BLUE, figures.PURPLE, figures.GREEN)
for (name, values), colour in zip(exact_lines.items(), colours, strict=True):
    axes.loglog(along, values, color=colour, label=name)
    if name in spread:
        axes.loglog(distances, spread[name], "o", color=colour)
axes.set(
    title="Far away the control variate helps more, near the target the constant", ylim=(2, 1e5)
)
axes.set(xlabel="distance r from the target, d = 2, σ = 0.7", ylabel="variance of one draw")
axes.legend(loc="upper left")
figure

# %% [markdown]
# *Figure: the score function's curve rises steeply from the flat line of the control variate. The best constant's starts lower, crosses
# that line near r = 1, and rises more gently. The pathwise line is flat and lowest. Dots on two of them are measured.*


# %%
claim(
    "the control variate leaves the mean where it is, within five standard errors",
    near(corrected["linear control variate"], exact),
)  # fmt: skip
claim(
    "the best constant leaves the variance 4 (d + 1) r² + 2d (d + 2) σ² at every distance, within 5 %",
    within(0.05, torch.stack(spread["best constant"]), 12 * r**2 + 16 * std**2),
)  # fmt: skip
claim(
    "the control variate leaves d (d + 2)(d + 4) σ² at every distance, within 5 %",
    within(0.05, torch.stack(spread["linear control variate"]), 48 * std**2 + 0 * r),
)  # fmt: skip

# %% [markdown]
# *Try it*: subtract from `rest` its own best constant too. What variance is left?
# <details><summary>Answer</summary>The rest is σ²‖ε‖², as the whole cost is at the target. So its best constant is (d + 2)σ², and 2d(d + 2)σ² is
# left at every distance: 16σ² in the plane, still twice the pathwise gradient's.</details>

# %% [markdown] tags=["slide"]
# Is the pathwise gradient always the one that varies least? No: take $f(z) = \sin \omega z$ with $z \sim \mathcal N(0, \sigma^2)$. Its slope is $\omega$ times
# as large as itself.

# %% tags=["fragment"]
omega, z = 20.0, std * torch.randn(400_000)
path_variance = (omega * (omega * z).cos()).var()
score_variance = ((omega * z).sin() * z / std**2).var()
claim(
    "for rapid oscillations the pathwise variance is ω²/2, the score function's 1/2σ², within 3 %",
    within(0.03, path_variance, omega**2 / 2) and within(0.03, score_variance, 1 / (2 * std**2)),
)  # fmt: skip

# %% [markdown]
# Now **exercises [[:score_function_gradient]] to [[:optimal_baseline]]**: the leave-one-out gradient, a surrogate loss, the best baseline for any $f$.

# %% [markdown] tags=["slide"]
# ## · Which families can be reparameterized?
#
# Kingma & Welling name three ways to write $z = g_\phi(\varepsilon)$ with noise that has no parameters:
#
# 1. **location and scale**: $z = \mu + \sigma \varepsilon$ (normal, Laplace, logistic, Student's t, …);
# 2. **inverse CDF**: $z = F_\phi^{-1}(u)$ with $u$ uniform (exponential, Cauchy, Gumbel, …);
# 3. **composition** of such draws: log-normal $= \exp(\text{normal})$, chi-squared = a sum of squared normals, a gamma with
#    integer shape = a sum of exponentials, a Dirichlet = normalised gammas.
#
# With an integer shape these last ones are draws, but no differentiable function of the shape: a gamma's shape needs another
# method, such as implicit differentiation.
#
# Seven of these are put to a test: the largest distance between a family's CDF and the share of the draws below
# (Kolmogorov-Smirnov). For a normal four percent too wide it would be 0.01.

# %%
from scipy import stats

n = 400_000
normal, u = torch.randn(n), torch.rand(n)
laplace = torch.rand(n).log() - torch.rand(n).log()  # the difference of two exponentials
families = {
    "normal, μ + σ ε": (1 + 2 * normal, stats.norm(1, 2)),
    "Laplace, μ + b ε": (1 + 2 * laplace, stats.laplace(1, 2)),
    "exponential, −log(1 − u) / λ": (-(1 - u).log() / 1.5, stats.expon(scale=1 / 1.5)),
    "Cauchy, m + γ tan(π(u − ½))": (1 + 2 * (torch.pi * (u - 0.5)).tan(), stats.cauchy(1, 2)),
    "log-normal, exp(μ + σ ε)": ((0.3 + 0.5 * normal).exp(), stats.lognorm(0.5, scale=exp(0.3))),
    "chi-squared(3), Σ ε²": (torch.randn(n, 3).square().sum(1), stats.chi2(3)),
    "gamma(4), Σ −log u": (-torch.rand(n, 4).log().sum(1), stats.gamma(4)),
}  # fmt: skip

# %%
apart = {
    name: float(stats.kstest(z.numpy(), family.cdf).statistic)
    for name, (z, family) in families.items()
}
limit = 2.6 / n**0.5  # exceeded with a probability of 3 in a million by draws of the density
claim(
    "the draws of all seven follow their densities",
    max(apart.values()) < limit, distances=list(apart.values()),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### And the gradient?
#
# For the exponential with rate $\lambda$, $\mathbb E[z^2] = 2/\lambda^2$, with derivative $-4/\lambda^3$:

# %% tags=["fragment"]
rate = torch.tensor(1.5).expand(400_000).clone().requires_grad_()
z = -torch.rand(400_000).log() / rate
(draws,) = torch.autograd.grad((z**2).sum(), rate)
claim(
    "the pathwise derivative through the inverse CDF is −4/λ³, within five standard errors",
    near(draws, -4 / 1.5**3), average=draws.mean(), exact=-4 / 1.5**3,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:logistic_from_uniform]]**: the logistic by its inverse CDF.

# %% [markdown] tags=["slide"]
# ## · When it cannot be done
#
# A coin that shows 1 with probability $p$ also has an inverse CDF; with $1 - u$ for $u$ it reads $z = 1$ if $u < p$, else 0.
# But $z$ is a **step** in $p$. *Predict: raise $p$ by $h$. For which share of the $u$ does $z$ change, and what is the average slope of
# $f(z)$?*
#
# <details><summary>Answer</summary>For a share h, those between p and p + h. There the slope is (f(1) − f(0)) / h, elsewhere 0: on average f(1) − f(0), for
# every h.</details>

# %% tags=["slide"]
p, u = 0.3, torch.rand(1_000_000)
f = lambda z: (z - 0.45) ** 2  # f(1) − f(0) = 0.1
slopes = {}
for h in (0.1, 0.01, 0.001):
    slopes[h] = (f((u < p + h).double()) - f((u < p).double())) / h
    changed = (slopes[h] != 0).double().mean()
    print(
        f"h = {h}: changed {changed:.4f}, slope there {(f(1.0) - f(0.0)) / h:.0f}, average {slopes[h].mean():.3f}"
    )

# %%
for h, slope in slopes.items():
    claim(
        f"a step of h = {h} in p changes the outcome for a share h of the u, within five standard errors",
        near((slope != 0).double(), h), share=(slope != 0).double().mean(),
    )  # fmt: skip
    claim(
        f"the average slope is f(1) − f(0) all the same, for h = {h}",
        near(slope, f(1.0) - f(0.0)), average=slope.mean(),
    )  # fmt: skip

# %% [markdown] tags=["slide"]
# ### The limit of the slopes
#
# As $h \to 0$ the slope becomes 0 at every $u \ne p$, while its mean stays $f(1) - f(0)$: gradient and expectation may not
# change places. The package refuses the pathwise gradient. The score function needs no derivative of $z$:

# %% tags=["fragment"]
try:
    pathwise(Bernoulli(torch.tensor(p)), f, 10)
except NotImplementedError as refusal:
    print(refusal)

# %%
own = torch.full((200_000,), p, requires_grad=True)
(draws,) = torch.autograd.grad(score_function(Bernoulli(own), f, 1).sum(), own)
claim(
    "the average score-function gradient of the coin is f(1) − f(0), within five standard errors",
    near(draws, f(1.0) - f(0.0)), average=draws.mean(),
)  # fmt: skip

# %% [markdown]
# For a discrete $z$ one adds up all values if they are few, uses the score function with a good control variate, or replaces
# the step by a smooth one and accepts a bias. The last is the Gumbel-softmax relaxation of lecture [[discrete_vae]].

# %% [markdown] tags=["slide"]
# ## · The gradient of a whole bound
#
# Now the real thing: the ELBO of a linear-Gaussian model, by one reparameterized draw, with respect to **all** parameters:
# $W$, $b$ and $\sigma$ of the model, the means and $\log \sigma$ of $q$. The closed form of the ELBO gives the exact gradient.

# %%
from vae_course.data.toys import linear_gaussian
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.models.views import WithPosterior
from vae_course.objectives.bounds import elbo

seed = torch.Generator().manual_seed(5)
data = linear_gaussian(1, observed=3, latent=2, generator=seed, std=0.7)
model, x_one = LinearGaussian(data.weight, data.bias, data.std), data.x  # x: [1, 3]
q_mean, q_log_std = torch.tensor([0.5, -0.5]), torch.tensor([-0.3, 0.2])
parameters = (model.weight, model.bias, model.std, q_mean, q_log_std)
own = [t.clone().requires_grad_() for t in parameters]

# %% tags=["fragment"]
weight, bias, model_std, mean, log_std = own
learner, q = LinearGaussian(weight, bias, model_std), diagonal_normal(mean[None], log_std.exp())
exact_gradients = torch.autograd.grad(learner.elbo(x_one, q).sum(), own)
rows = x_one.expand(1000, -1)  # the same x a thousand times, one draw of z for each
averages = []
for _ in range(200):
    q = diagonal_normal(mean.expand(1000, -1), log_std.exp())
    value = elbo(WithPosterior(learner, lambda x, q=q: q), rows).value.mean()
    averages.append(torch.autograd.grad(value, own))

# %%
for name, drawn, exact_ in zip(
    ("W", "b", "σ", "the means of q", "log σ of q"), zip(*averages, strict=True), exact_gradients, strict=True
):  # fmt: skip
    claim(
        f"the average gradient by {name} is the exact one, within five standard errors",
        near(torch.stack(drawn), exact_),
    )

# %% [markdown] tags=["slide"]
# ## · Estimators A and B
#
# Kingma & Welling give two estimators of the bound; here with one draw each (lecture [[variational_autoencoder]] trains with the second):
#
# $$ \text{A:}\quad \log p(x, z) - \log q(z|x) $$
#
# $$ \text{B:}\quad \log p(x|z) - D_{KL}(q(z|x) \,\|\, p(z)) $$
#
# B has its KL in closed form, and they say that it typically varies less. *Predict: what is the variance of A where $q$* is *the posterior?*
#
# <details><summary>Answer</summary>Zero: there A is log p(x), whatever z is. B is log p(x|z) less a constant, and still varies.</details>

# %% [markdown] tags=["slide"]
# Let the posterior be $\mathcal N(m, \Sigma)$. The log-likelihood is quadratic in $z$, with the gradient $m$ and the curvature $I - \Sigma^{-1}$ at $m$. So for
# $q = \mathcal N(m, c^2 \Sigma)$, with the posterior's mean and $c$ times its width,
#
# $$ \mathrm{Var}\, A = \tfrac d2 (1 - c^2)^2, \qquad \mathrm{Var}\, B = c^2\, m^\top \Sigma\, m + \tfrac{c^4}2 \operatorname{tr} (I - \Sigma)^2 . $$

# %%
posterior = model.posterior(x_one)
m, covariance = posterior.mean[0], posterior.covariance_matrix[0]


# The standard deviations of A and B, in nats: [2]
def spreads(q: MultivariateNormal, draws: int = 200_000) -> Tensor:
    z = q.sample((draws,))
    b = model.likelihood(z).log_prob(x_one)  # the KL is a constant
    a = b + model.prior().log_prob(z) - q.log_prob(z)
    return torch.stack([a.std(), b.std()])


c = torch.tensor([0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5])
by_width = torch.stack([spreads(MultivariateNormal(m, width**2 * covariance)) for width in c])
twice = (torch.eye(2) - covariance) @ (torch.eye(2) - covariance)
exact_b = (c**2 * (m @ covariance @ m) + c**4 * twice.trace() / 2).sqrt()

# %% tags=["fragment"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.8))
for column, (name, colour) in enumerate((("A", figures.BLUE), ("B", figures.VERMILION))):
    axes.semilogx(c, by_width[:, column], "o-", color=colour, label=name)
axes.set(title="A does not vary at the posterior; for a narrow q, B varies less")
axes.set(xlabel="width c of q, over the posterior's", ylabel="standard deviation, nats")
axes.set_xticks([0.03, 0.1, 0.3, 1.0], ["0.03", "0.1", "0.3", "1"])
axes.legend()
figure

# %% [markdown]
# *Figure: over the width of q, B rises from nearly zero; A starts at one nat, falls to zero where q is the posterior, and rises again. They cross
# at about two thirds of the posterior's width.*
#
# At the prior, $q(z) = p(z)$, A and B are the same: $\log p(z)$ and $\log q(z)$ cancel.

# %%
claim(
    "at the posterior the standard deviation of A is zero, to rounding",
    by_width[7, 0] < 1e-6, a=by_width[7, 0],
)  # fmt: skip
claim(
    "for a q of c times the posterior's width, Var A is ½ d (1 − c²)², within 5 %",
    within(0.05, by_width[c != 1, 0] ** 2, (1 - c[c != 1] ** 2) ** 2), a=by_width[:, 0],
)  # fmt: skip
claim(
    "and Var B is c² mᵀΣm + ½ c⁴ tr (I − Σ)², within 5 %",
    within(0.05, by_width[:, 1] ** 2, exact_b**2), b=by_width[:, 1], exact=exact_b,
)  # fmt: skip

# %% [markdown]
# The **gradient** of A at the posterior still varies, though its value does not: $\phi$ also stands inside $\log q_\phi$. How to
# take that part out is **exercise [[:path_derivative]]**.

# %% [markdown] tags=["slide"]
# ## · To remember
#
# - A draw is a number. Written as $z = g_\phi(\varepsilon)$ it is a function of $\phi$, and gradients pass.
# - Pathwise needs $\nabla f$ and a differentiable draw; the score function needs neither, only $\nabla_\phi \log q_\phi$. For the squared
#   distance it pays with $d (d + 2)(d + 4)$ against $4 d$ at the target, and with $r^4 / \sigma^2$ far from it; for rapid oscillations it wins.
# - A baseline must not see its own draw.
# - A step has no useful derivative: discrete latents need other means.
# - Estimator A of the bound has no variance at the posterior; B does. For a $q$ that is much too narrow B varies less.

# %% [markdown]
# ## Sources
#
# - Kingma & Welling, *Auto-encoding variational Bayes*, arXiv:1312.6114, section 2.4.
# - Rezende, Mohamed & Wierstra, *Stochastic backpropagation*, arXiv:1401.4082.
# - Williams, *Simple statistical gradient-following algorithms*, Machine Learning 8 (1992): the score function.
# - Schulman, Heess, Weber & Abbeel, *Gradient estimation using stochastic computation graphs*, arXiv:1506.05254.
# - Mohamed, Rosca, Figurnov & Mnih, *Monte Carlo gradient estimation in machine learning*, arXiv:1906.10652.
# - Gu, Levine, Sutskever & Mnih, *MuProp*, arXiv:1511.05176: the linear control variate. Kool, van Hoof & Welling, *Buy 4
#   REINFORCE samples, get a baseline for free!* (2019): the mean of the others.
# - Roeder, Wu & Duvenaud, *Sticking the landing*, arXiv:1703.09194: the path derivative.
