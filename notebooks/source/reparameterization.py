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
# - say what a draw blocks, and rewrite it so that it does not;
# - derive the pathwise and the score-function gradient of one expectation, and measure both;
# - predict how their variances grow with the dimension, and lower them with baselines and control variates;
# - reparameterize families by location and scale, by an inverse CDF, and by composition;
# - say when none of this works, and compare the two estimators of the bound at the posterior and far from it.
#
# **You need** [[needs]]. **Time**: [[time]], network off. Everything runs on the
# processor, in double precision.

# %% tags=["skip"]
from math import exp

import torch
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · What a draw blocks
#
# We want to learn $\mu$ in the plane so that points $x \sim \mathcal N(\mu, \sigma^2 I)$ lie near $t = (5, 5)$:
#
# $$ \text{minimise} \quad J(\mu) = \mathbb E_{x \sim \mathcal N(\mu, \sigma^2 I)}\bigl[\|x - t\|^2\bigr]
#    = \|\mu - t\|^2 + 2 \sigma^2, \qquad \nabla J = 2 (\mu - t) . $$
#
# The closed form is our exact partner. Suppose we did not have it. Drawing is easy. But what does autograd make of a draw?

# %%
target, std = torch.tensor([5.0, 5.0]), 1.0
origin = torch.zeros(2, requires_grad=True)
x = Normal(origin, std).sample()
claim("sample() returns a number: autograd sees no μ in it", not x.requires_grad)

# %% [markdown]
# The number depends on $\mu$ through the **distribution** it was drawn from, which autograd does not see. The trick of this
# lecture is not there because we cannot sample from $q$: sampling is easy, differentiating through it is not.
#
# ## · The pathwise gradient
#
# Draw noise that has no parameters, and compute the draw from it: $x = \mu + \sigma \varepsilon$, $\varepsilon \sim \mathcal
# N(0, I)$. It has the same distribution, and it is a differentiable function of $\mu$ and $\sigma$. The expectation is now over
# $\varepsilon$, so that gradient and expectation may change places (for the smooth functions here):
#
# $$ \nabla_\mu\, \mathbb E_\varepsilon[f(\mu + \sigma \varepsilon)] = \mathbb E_\varepsilon[\nabla f(x)],
#    \qquad \text{here } \nabla f(x) = 2 (x - t) . $$
#
# ## · The score-function gradient
#
# The other way leaves the draw alone and differentiates the density, $\nabla_\mu q = q\, \nabla_\mu \log q$:
#
# $$ \nabla_\mu \int q_\mu(x) f(x)\, dx = \int q_\mu(x) f(x)\, \nabla_\mu \log q_\mu(x)\, dx
#    = \mathbb E_q\bigl[f(x)\, \nabla_\mu \log q_\mu(x)\bigr], \qquad \text{here } \nabla_\mu \log q_\mu(x) = \frac{x - \mu}{\sigma^2} . $$
#
# It is also called REINFORCE. It needs no gradient of $f$, only that of $\log q_\mu$, and a support that does not move with
# $\mu$: $f$ may be anything that can be evaluated and does not grow too fast. Both, by hand:


# %%
def cost(x: Tensor) -> Tensor:  # [..., 2] -> [...]
    return (x - target).square().sum(-1)


def pathwise_gradient(mean: Tensor, noise: Tensor) -> Tensor:  # [2], [draws, 2] -> [draws, 2]
    x = mean + std * noise
    return 2 * (x - target)


def score_function_gradient(mean: Tensor, noise: Tensor) -> Tensor:
    x = mean + std * noise
    return cost(x)[:, None] * (x - mean) / std**2


# %%
noise = torch.randn(200_000, 2)
mean = torch.tensor([1.0, 2.0])
exact = 2 * (mean - target)
by_path, by_score = pathwise_gradient(mean, noise), score_function_gradient(mean, noise)
for name, draws in (("pathwise", by_path), ("score-function", by_score)):
    error = draws.std(0) / len(draws) ** 0.5
    claim(
        f"the average {name} gradient is the exact one, within five standard errors",
        ((draws.mean(0) - exact).abs() < 5 * error).all(), average=draws.mean(0), exact=exact,
    )  # fmt: skip
claim(
    "one draw of the score-function gradient has more than a hundred times the variance",
    by_score.var(0).sum() > 100 * by_path.var(0).sum(), score=by_score.var(0).sum(), path=by_path.var(0).sum(),
)  # fmt: skip

# %% [markdown]
# The package has both as functions of $q$ and $f$. They return the values $f(x)$; the gradient of their mean is the estimate.

# %%
import inspect

from vae_course.inference import gradients

print(inspect.getsource(gradients.pathwise))
print(inspect.getsource(gradients.score_function))

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
claim(
    "for the same draws, the package's two gradients are those by hand",
    torch.allclose(same_draws(pathwise), pathwise_gradient(mean, noise).mean(0))
    and torch.allclose(
        same_draws(score_function), score_function_gradient(mean, noise).mean(0)
    ),
)

# %% [markdown] tags=["slide"]
# ### Both learn, one staggers
#
# Gradient descent from the origin, two draws a step, the same step size. *Predict the two paths.*


# %%
# The path of μ: [steps + 1, 2]
def descend(gradient, steps: int = 1500, rate: float = 0.01, draws: int = 2) -> Tensor:
    path = [torch.zeros(2)]
    for _ in range(steps):
        path.append(path[-1] - rate * gradient(path[-1], torch.randn(draws, 2)).mean(0))
    return torch.stack(path)


paths = {
    "pathwise": descend(pathwise_gradient),
    "score function": descend(score_function_gradient),
}

# %%
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 5.4))
for (name, path), colour in zip(paths.items(), (figures.GREEN, figures.VERMILION), strict=True):
    left.plot(*path.T, color=colour, linewidth=1.5, label=name)
    right.semilogy((path - target).norm(dim=1), color=colour, label=name)
left.plot(*target, "X", markersize=16, color="black", label="target")
left.set(title="Two paths to (5, 5)", xlabel="μ₁", ylabel="μ₂", aspect="equal")
left.legend(loc="upper left")
right.set(title="Distance to the target", xlabel="step", ylabel="‖μ − t‖")
right.legend(loc="lower left")
figure

# %% [markdown]
# *Figure: left, from the origin a nearly straight line and a wandering one, both ending near (5, 5). Right, both distances
# fall and then fluctuate, the score function's mostly at a higher level.*

# %%
late = {
    name: float((path[-1000:] - target).square().sum(1).mean().sqrt())  # root mean square
    for name, path in paths.items()
}
claim(
    "over the last thousand steps the pathwise path's root mean square distance is below 0.2",
    late["pathwise"] < 0.2, distance=late["pathwise"],
)  # fmt: skip
claim(
    "the score function's is below one",
    late["score function"] < 1, distance=late["score function"],
)  # fmt: skip
claim(
    "the pathwise path's is the smaller one",
    late["pathwise"] < late["score function"], **late,
)  # fmt: skip

# %% [markdown]
# Move the distance, $\sigma$ and the number of draws. When does the score function suffer most? Both panels have the same axes.

# %%
from vae_course.notebook.widgets.inference import gradient_clouds

gradient_clouds(distance=3.0, std=1.0, samples=1)

# %% [markdown]
# *Figure: two clouds of gradient estimates around the same cross, on the same axes: the pathwise one a small round spot on
# the cross, the score function's many times wider and lopsided.*
#
# Far from the target, and with a small $\sigma$: there its spread grows like the squared distance over $\sigma$. The pathwise one's,
# both coordinates together, is $2 \sqrt 2\, \sigma$ for one draw, wherever $\mu$ is; $n$ draws divide both by $\sqrt n$.
#
# Now **exercise [[:correlated_draw]]**: a reparameterized draw with correlated coordinates.

# %% [markdown] tags=["slide"]
# ## · Variance, dimension, draws
#
# At the target, $\mu = t$, in $d$ dimensions, both variances are known. One coordinate of the pathwise gradient is $2 \sigma
# \varepsilon_i$: variance $4 \sigma^2$, whatever $d$ is. One coordinate of the score-function gradient is $\sigma \varepsilon_i
# \|\varepsilon\|^2$: by symmetry its variance is $\sigma^2\, \mathbb E[\|\varepsilon\|^6] / d = \sigma^2 (d + 2)(d + 4)$. With the other of two
# draws as its baseline (section [[#Baselines]]) the variance per draw is $4 \sigma^2 (d + 2)$: it grows like $d$.


# %%
def variances(estimator, d: int, samples: int = 1, draws: int = 50_000, **options) -> float:
    """The variance of one coordinate of the gradient at the target, averaged over coordinates."""
    goal = torch.zeros(d)
    f = lambda x: (x - goal).square().sum(-1)
    estimate = lambda rows: estimator(diagonal_normal(rows, std), f, samples, **options)
    (draws_,) = gradient_draws(estimate, [goal], draws)  # [draws, d]
    return float(draws_.var(0).mean())


# %%
dimensions = [1, 2, 5, 10, 20, 50, 100]
by_dimension = {
    "pathwise": [variances(pathwise, d) for d in dimensions],
    "score function": [variances(score_function, d) for d in dimensions],
    "with a baseline": [
        variances(score_function, d, samples=2, baseline=leave_one_out) * 2 for d in dimensions
    ],
}
expected = [std**2 * (d + 2) * (d + 4) for d in dimensions]
draws_used = [1, 3, 10, 30, 100]
by_draws = {
    "pathwise": [variances(pathwise, 10, samples=n, draws=4000) for n in draws_used],
    "score function": [
        variances(score_function, 10, samples=n, draws=4000) for n in draws_used
    ],
}

# %%
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 5))
colours = dict(zip(by_dimension, (figures.GREEN, figures.VERMILION, figures.BLUE), strict=True))
for name, values in by_dimension.items():
    left.loglog(dimensions, values, "o-", color=colours[name], label=name)
left.loglog(dimensions, expected, "--", color="black", label="σ² (d + 2)(d + 4)")
left.set(
    title="Score function: the variance grows like d²",
    xlabel="dimension d",
    ylabel="variance of a coordinate × draws",
)
left.legend(loc="upper left")
for name, values in by_draws.items():
    right.loglog(draws_used, values, "o-", color=colours[name], label=name)
right.set(
    title="More draws divide both",
    xlabel="draws in one estimate, d = 10",
    ylabel="variance of a coordinate",
)
right.legend(loc="lower left")
figure

# %% [markdown]
# *Figure: left, over the dimension the pathwise variance is flat, the score function's rises along the dashed prediction,
# with a baseline it rises more gently. Right, both fall along parallel straight lines as draws are added.*

# %%
in_path, in_score = by_dimension["pathwise"], by_dimension["score function"]
claim(
    "the pathwise variance is 4σ² in every dimension, within 8 %",
    all(abs(v / 4 - 1) < 0.08 for v in in_path), variances=in_path,
)  # fmt: skip
claim(
    "the score function's is σ² (d + 2)(d + 4), within 15 %",
    all(abs(v / e - 1) < 0.15 for v, e in zip(in_score, expected, strict=True)), measured=in_score, expected=expected,
)  # fmt: skip
claim(
    "with the other draw as baseline, twice the variance of two draws is 4σ² (d + 2), within 15 %",
    all(abs(v / (4 * (d + 2)) - 1) < 0.15 for v, d in zip(by_dimension["with a baseline"], dimensions, strict=True)),
    measured=by_dimension["with a baseline"],
)  # fmt: skip
ratio = [values[0] / values[-1] for values in by_draws.values()]
claim(
    "a hundred times the draws divide both variances by a hundred, within a quarter",
    all(75 < r < 133 for r in ratio), ratio=ratio,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Baselines and control variates
#
# The score has mean zero, $\mathbb E_q[\nabla_\mu \log q_\mu(x)] = 0$. So any constant $b$ may be subtracted from $f$ without bias:
#
# $$ \nabla_\mu J = \mathbb E_q\bigl[(f(x) - b)\, \nabla_\mu \log q_\mu(x)\bigr] . $$
#
# The constant of least variance, per coordinate, is $b^* = \mathbb E[f s^2] / \mathbb E[s^2]$ with $s$ the score. A **baseline**
# must not depend on the draw it is used for. The mean of the *other* draws is fine (leave one out). The mean of **all** draws is not:
# it contains the draw's own cost, and shrinks the expected gradient to $(n - 1)/n$ of the true one, its direction unchanged.


# %%
def mean_of_all(cost: Tensor) -> Tensor:
    return cost.mean(0).expand_as(cost)


# [draws, 2], each from n draws of x
def clouds(baseline, n: int, draws: int = 100_000) -> Tensor:
    estimate = lambda rows: score_function(diagonal_normal(rows, std), cost, n, baseline)
    return gradient_draws(estimate, [mean], draws)[0]


# %%
n = 4
left_out, shrunk = clouds(leave_one_out, n), clouds(mean_of_all, n)
plain = clouds(gradients.no_baseline, n)
standard_error = left_out.std(0) / len(left_out) ** 0.5
claim(
    "with the mean of the others the gradient is unbiased, within five standard errors",
    ((left_out.mean(0) - exact).abs() < 5 * standard_error).all(), average=left_out.mean(0), exact=exact,
)  # fmt: skip
claim(
    "and its variance less than half of that without a baseline",
    left_out.var(0).sum() < 0.5 * plain.var(0).sum(), left_out=left_out.var(0), plain=plain.var(0),
)  # fmt: skip
claim(
    "with the mean of all four it is three quarters of the exact one, within five standard errors",
    ((shrunk.mean(0) - 0.75 * exact).abs() < 5 * shrunk.std(0) / len(shrunk) ** 0.5).all(), average=shrunk.mean(0),
)  # fmt: skip

# %% [markdown]
# *Break it*: where `left_out` is computed, replace `leave_one_out` by `mean_of_all`, and run the claims again.
#
# A **control variate** goes further: subtract something random whose mean is known. Near $\mu$, $f(x) \approx f(\mu) + g^\top (x - \mu)$
# with $g = \nabla f(\mu)$. That linear part's own gradient is known to be $g$, so take it out of the noise and add it back:
#
# $$ \bigl(f(x) - f(\mu) - g^\top (x - \mu)\bigr)\, \nabla_\mu \log q_\mu(x) + g . $$
#
# It needs $\nabla f$, as the pathwise gradient does; for a discrete $x$ one uses the gradient of a smooth stand-in.


# %%
# [2], [draws, 2] -> [draws, 2]
def with_control_variate(mean: Tensor, noise: Tensor) -> Tensor:
    x, g = mean + std * noise, 2 * (mean - target)
    rest = cost(x) - cost(mean) - (x - mean) @ g
    return rest[:, None] * (x - mean) / std**2 + g


noise = torch.randn(100_000, 2)
x = mean + std * noise
score = (x - mean) / std**2
best_baseline = (cost(x)[:, None] * score**2).mean(0) / (score**2).mean(0)
spreads = {
    "score function": score_function_gradient(mean, noise),
    "best constant baseline": (cost(x)[:, None] - best_baseline) * score,
    "linear control variate": with_control_variate(mean, noise),
    "pathwise": pathwise_gradient(mean, noise),
}

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
total = {name: float(draws.var(0).sum()) for name, draws in spreads.items()}
figures.bars(
    axes, total, "One draw: total variance of the gradient", "variance, at μ = (1, 2)", log=True
)
figure

# %% [markdown]
# *Figure: four points on a logarithmic axis, falling from the plain score function over the baseline and the control variate
# to the pathwise gradient.*

# %%
claim(
    "each refinement lowers the variance, and the pathwise gradient's is the least here",
    list(total.values()) == sorted(total.values(), reverse=True), **total,
)  # fmt: skip
for shift in (-1.0, 1.0):
    other = ((cost(x)[:, None] - best_baseline - shift) * score).var(0).sum()
    claim(
        f"the baseline b* {shift:+.0f} has more variance than b*",
        other > total["best constant baseline"],
    )  # fmt: skip
error = spreads["linear control variate"].std(0) / len(x) ** 0.5
claim(
    "the control variate leaves the mean where it is, within five standard errors",
    ((spreads["linear control variate"].mean(0) - exact).abs() < 5 * error).all(),
)  # fmt: skip

# %%
rough = lambda x: (20 * x).sin()  # the order is no law: here f is small and its slope is large
z = torch.randn(100_000)
claim(
    "for a small, rapidly oscillating f the score function has less variance than the pathwise gradient",
    (rough(z) * z).var() < (20 * (20 * z).cos()).var(),
)  # fmt: skip

# %% [markdown]
# Now **exercises [[:score_function_gradient]] to [[:optimal_baseline]]**: the leave-one-out gradient, a surrogate loss, the best baseline.

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
# (With an integer shape these last ones are draws, but no differentiable function of the shape: a gamma's shape needs another
# method, implicit differentiation.) Seven of the families are checked against their CDF: the largest distance between it and
# the share of draws below (Kolmogorov-Smirnov).

# %%
from scipy import stats

n = 20_000
normal_noise, u = torch.randn(n), torch.rand(n)
laplace_noise = torch.rand(n).log() - torch.rand(n).log()  # the difference of two exponentials
families = {
    "normal, μ + σ ε": (1 + 2 * normal_noise, stats.norm(1, 2)),
    "Laplace, μ + b ε": (1 + 2 * laplace_noise, stats.laplace(1, 2)),
    "exponential, −log(1 − u) / λ": (-(1 - u).log() / 1.5, stats.expon(scale=1 / 1.5)),
    "Cauchy, m + γ tan(π(u − ½))": (1 + 2 * (torch.pi * (u - 0.5)).tan(), stats.cauchy(1, 2)),
    "log-normal, exp(μ + σ ε)": (
        (0.3 + 0.5 * normal_noise).exp(),
        stats.lognorm(0.5, scale=exp(0.3)),
    ),
    "chi-squared(3), Σ ε²": (torch.randn(n, 3).square().sum(1), stats.chi2(3)),
    "gamma(4), Σ −log u": (-torch.rand(n, 4).log().sum(1), stats.gamma(4)),
}

# %%
distances = {
    name: float(stats.kstest(z.numpy(), family.cdf).statistic)
    for name, (z, family) in families.items()
}
limit = 2.6 / n**0.5  # exceeded with a probability of 3 in a million by draws of the density
claim(
    "the draws of all seven follow their densities",
    all(d < limit for d in distances.values()), **distances,
)  # fmt: skip

# %%
figure, axes = figures.subplots(2, 4, figsize=(16, 7))
for axis, (name, (draws, family)) in zip(axes, families.items(), strict=False):
    low, high = family.ppf([0.04, 0.96])
    inside = draws[(draws > low) & (draws < high)]
    axis.hist(
        inside,
        bins=40,
        weights=torch.full_like(inside, 40 / (n * (high - low))),
        color=figures.SKY,
    )
    grid = torch.linspace(low, high, 200)
    axis.plot(grid, family.pdf(grid), color="black")
    axis.set_title(name, fontsize=13)
axes[-1].remove()
figure.supylabel("density")
figure

# %% [markdown]
# *Figure: seven histograms, each of the middle 92 % of the reparameterized draws of one family, under its density's curve.*
#
# And the gradient? For the exponential with rate $\lambda$, $\mathbb E[z^2] = 2/\lambda^2$, with derivative $-4/\lambda^3$:

# %%
rate = torch.tensor(1.5).expand(200_000).clone().requires_grad_()
z = -torch.rand(200_000).log() / rate
(draws,) = torch.autograd.grad((z**2).sum(), rate)
claim(
    "the pathwise derivative through the inverse CDF is the exact one, within five standard errors",
    (draws.mean() + 4 / 1.5**3).abs() < 5 * draws.std() / len(draws) ** 0.5, average=draws.mean(), exact=-4 / 1.5**3,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:logistic_from_uniform]]**: the logistic by its inverse CDF.

# %% [markdown] tags=["slide"]
# ## · When it cannot be done
#
# A coin that shows 1 with probability $p$ also has an inverse CDF; with $1 - u$ for $u$ it reads $z = 1$ if $u < p$, else 0.
# But $z$ is a **step** in $p$. Its derivative is 0 wherever it exists, while $\frac{d}{dp} \mathbb E[f(z)] = f(1) - f(0)$ is not,
# unless $f(1) = f(0)$: gradient and expectation may not change places here.

# %%
p = torch.tensor(0.3, requires_grad=True)
u = torch.rand(100_000)
f = lambda z: (z - 0.45) ** 2  # f(1) − f(0) = 0.1
bumped = (f((u < p.detach() + 1e-9).double()) - f((u < p.detach()).double())) / 1e-9
exact_slope = f(1.0) - f(0.0)
claim(
    "the derivative of the step is zero at almost every u",
    float((bumped == 0).double().mean()) > 0.999,
)  # fmt: skip
try:
    pathwise(Bernoulli(p), f, 10)
    refused = False
except NotImplementedError:
    refused = True
claim("the package refuses a pathwise gradient for a coin", refused)

own = p.detach().expand(100_000).clone().requires_grad_()
(draws,) = torch.autograd.grad(score_function(Bernoulli(own), f, 1).sum(), own)
claim(
    "the score function is right for the coin too, within five standard errors",
    (draws.mean() - exact_slope).abs() < 5 * draws.std() / len(draws) ** 0.5, average=draws.mean(), exact=exact_slope,
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

data = linear_gaussian(
    1, observed=3, latent=2, generator=torch.Generator().manual_seed(5), std=0.7
)
model, x_one = LinearGaussian(data.weight, data.bias, data.std), data.x  # x: [1, 3]
start_mean, start_log_std = torch.tensor([0.5, -0.5]), torch.tensor([-0.3, 0.2])


parameters = (model.weight, model.bias, model.std, start_mean, start_log_std)
own = [t.clone().requires_grad_() for t in parameters]
weight, bias, model_std, q_mean, q_log_std = own
in_closed_form = LinearGaussian(weight, bias, model_std).elbo(
    x_one, diagonal_normal(q_mean[None], q_log_std.exp())
)
exact_gradients = torch.autograd.grad(in_closed_form.sum(), own)

# %%
sums = [torch.zeros_like(t) for t in own]
squares = [torch.zeros_like(t) for t in own]
repeats = 4000
for _ in range(repeats):
    q = diagonal_normal(q_mean[None], q_log_std.exp())
    sampled = WithPosterior(LinearGaussian(weight, bias, model_std), lambda x, q=q: q)
    one_draw = torch.autograd.grad(elbo(sampled, x_one).value.sum(), own)
    for average, square, gradient in zip(sums, squares, one_draw, strict=True):
        average += gradient / repeats
        square += gradient**2 / repeats

# %%
within = [
    (((average - exact_).abs() < 5 * ((square - average**2) / repeats).sqrt() + 1e-9).all())
    for average, square, exact_ in zip(sums, squares, exact_gradients, strict=True)
]
claim(
    "for W, b, σ and the parameters of q, the average gradient is the exact one, within five standard errors",
    all(within),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Estimators A and B
#
# Kingma & Welling give two estimators of the bound; here with one draw each (lecture [[variational_autoencoder]] trains with the second):
#
# $$ \text{A:}\; \log p(x, z) - \log q(z|x), \qquad\qquad \text{B:}\; \log p(x|z) - D_{KL}(q(z|x) \,\|\, p(z)) . $$
#
# B has its KL in closed form, and they say that it typically varies less. Typically is not always: look at A when $q$ **is** the posterior: it
# is $\log p(x)$ for every draw. It has no variance at all; B still has.

# %%
posterior = model.posterior(x_one)
shares = torch.linspace(0, 1, 21)  # 0: q is the prior, 1: q is the posterior


# The standard deviations of A and B, in nats.
def spread_of(q, draws: int = 50_000) -> tuple[float, float]:
    z = q.sample((draws,))
    b = model.likelihood(z).log_prob(x_one)  # the KL is a constant
    a = b + model.prior().log_prob(z) - q.log_prob(z)
    return float(a.std()), float(b.std())


def spread(share: float) -> tuple[float, float]:
    mean = share * posterior.mean[0]
    covariance = (1 - share) * torch.eye(2) + share * posterior.covariance_matrix[0]
    return spread_of(MultivariateNormal(mean, covariance))


# %%
spread_a, spread_b = zip(*[spread(float(share)) for share in shares], strict=True)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.8))
lines = {"A: log p(x, z) − log q(z|x)": spread_a, "B: log p(x|z) − KL": spread_b}
figures.curves(
    axes,
    shares.tolist(),
    lines,
    "At the posterior A has no variance",
    "from the prior (0) to the posterior (1)",
    "standard deviation, nats",
)
axes.set_yscale("symlog", linthresh=0.1)
axes.set_ylim(bottom=0)
figure

# %% [markdown]
# *Figure: two curves that fall from left to right. They start together at the prior; A falls to zero at the posterior, B to
# about one nat.*

# %%
claim(
    "at the posterior the standard deviation of A is zero, to rounding",
    spread_a[-1] < 1e-6, a=spread_a[-1],
)  # fmt: skip
claim("there B's is more than half a nat", spread_b[-1] > 0.5, b=spread_b[-1])
claim(
    "at the prior they have the same: there log p(z) and log q(z) cancel",
    abs(spread_a[0] - spread_b[0]) < 1e-9, a=spread_a[0], b=spread_b[0],
)  # fmt: skip

# %% [markdown]
# Is B ever better? Take a $q$ far from posterior **and** prior, first a very narrow one, then one as wide as the posterior
# and displaced by 3.

# %%
narrow_a, narrow_b = spread_of(diagonal_normal(posterior.mean[0], 0.01))
away = posterior.mean[0] - torch.tensor([3.0, 0.0])
away_a, away_b = spread_of(MultivariateNormal(away, posterior.covariance_matrix[0]))
print(f"q much too narrow: A {narrow_a:.3f}, B {narrow_b:.3f} nats")
print(f"q displaced: A {away_a:.3f}, B {away_b:.3f} nats")

# %%
claim(
    "for the q much too narrow, B varies less",
    narrow_b < narrow_a / 5, a=narrow_a, b=narrow_b,
)  # fmt: skip
claim("and for this displaced one", away_b < 0.7 * away_a, a=away_a, b=away_b)

# %% [markdown]
# The **gradient** of A at the posterior still varies, though its value does not: the draw moves with $\phi$ (that part vanishes
# there), but $\phi$ also stands inside $\log q_\phi$, and that part is a score, with mean zero and a variance of its own.
# Hold those parameters constant, and the rest is still unbiased and vanishes draw by draw (Roeder et al.). To see it we take
# a posterior that a diagonal $q$ can equal, a factorised normal made up for this.


# %%
goal_mean, goal_log_std = torch.tensor([0.6, -0.4]), torch.tensor([-0.7, -0.2])


# [draws, 4]: the gradient by the two means and the two log σ of q
def gradient_spread(hold: bool, away: float, draws: int = 20_000) -> Tensor:
    def estimate(mean: Tensor, log_std: Tensor) -> Tensor:  # [draws, 2] each -> [1, draws]
        z = mean + log_std.exp() * torch.randn(draws, 2)
        inside = (mean.detach(), log_std.detach()) if hold else (mean, log_std)
        log_q = diagonal_normal(inside[0], inside[1].exp()).log_prob(z)
        return (diagonal_normal(goal_mean, goal_log_std.exp()).log_prob(z) - log_q)[None]

    return torch.cat(gradient_draws(estimate, [goal_mean + away, goal_log_std], draws), 1)


# %%
full, held = gradient_spread(False, 0.0), gradient_spread(True, 0.0)
claim(
    "where q is that posterior, every entry of A's full gradient varies from draw to draw",
    full.var(0).min() > 0.5, variance=full.var(0),
)  # fmt: skip
claim(
    "with the parameters inside log q held, it is zero for every draw",
    held.abs().max() < 1e-9, largest=held.abs().max(),
)  # fmt: skip
full, held = gradient_spread(False, 1.0), gradient_spread(True, 1.0)
error = ((full.var(0) + held.var(0)) / len(full)).sqrt()
claim(
    "away from it both have the same mean, within five standard errors",
    ((full.mean(0) - held.mean(0)).abs() < 5 * error).all(),
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:path_derivative]]**: the path derivative.
#
# ## To remember
#
# - A draw is a number. Written as $z = g_\phi(\varepsilon)$ it is a function of $\phi$, and gradients pass.
# - Pathwise needs $\nabla f$ and a differentiable draw; the score function needs neither, only $\nabla_\phi \log q_\phi$. It usually
#   pays in variance: for the squared distance, at the target, $d^2$ against a constant ($d$ with a baseline).
# - A baseline must not see its own draw.
# - A step has no useful derivative: discrete latents need other means.
# - Estimator A of the bound has no variance at the posterior; B does. Far away, B can be the better one.
#
# ## Sources
#
# - Kingma & Welling, *Auto-encoding variational Bayes*, arXiv:1312.6114, section 2.4.
# - Rezende, Mohamed & Wierstra, *Stochastic backpropagation*, arXiv:1401.4082.
# - Williams, *Simple statistical gradient-following algorithms*, Machine Learning 8 (1992): the score function.
# - Mohamed, Rosca, Figurnov & Mnih, *Monte Carlo gradient estimation in machine learning*, arXiv:1906.10652.
# - Gu, Levine, Sutskever & Mnih, *MuProp*, arXiv:1511.05176: the linear control variate. Kool, van Hoof & Welling, *Buy 4
#   REINFORCE samples, get a baseline for free!* (2019): the mean of the others.
# - Roeder, Wu & Duvenaud, *Sticking the landing*, arXiv:1703.09194: the path derivative.
