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
# How can a model give every x a probability, when it first draws something that nobody sees?

# %% [markdown] tags=["slide"]
# **After this lecture you can**
# - draw from a latent variable model, and write p(x) as a sum or an integral;
# - say what plain Monte Carlo costs, and why log p(x) comes out too low;
# - compute a posterior by Bayes' rule on a grid;
# - turn the gradient of log p(x) into an expectation under the posterior (Fisher's identity);
# - derive EM for two models, and say where it ends;
# - compare latent variables with a model that needs none.
#
# **You need** [[needs]]: densities, expectations, Bayes' rule. **Time**: [[time]], network off. It all runs on the
# processor, in double precision up to the last section.

# %% tags=["skip"]
from math import log, pi

import torch
from matplotlib.patches import Circle, Rectangle
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.nn.functional import softplus

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · A story in two steps
#
# A **latent variable model** tells how a point came to be. First a **latent** $z$ is drawn from the **prior** $p(z)$;
# nobody sees it. Then the **observation** $x$ is drawn from the **likelihood** $p(x \mid z)$.


# %% tags=["fragment"]
def node(axes, name: str, at: tuple[float, float], face="white", edge="black") -> Circle:
    circle = axes.add_patch(Circle(at, 0.3, facecolor=face, edgecolor=edge, lw=2))
    axes.text(*at, name, ha="center", va="center", fontsize=20)
    return circle


def arrow(axes, start: Circle, end: Circle, bend: float = 0.0) -> None:
    style = {"arrowstyle": "-|>", "lw": 2, "color": "black", "mutation_scale": 20}
    style |= {"patchA": start, "patchB": end, "connectionstyle": f"arc3,rad={bend}"}
    axes.annotate("", end.center, start.center, arrowprops=style)


SEEN = "0.8"  # grey
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 3.4))
z_n, x_n = node(axes, "$z_n$", (1, 1)), node(axes, "$x_n$", (2.6, 1), SEEN)
arrow(axes, z_n, x_n)
arrow(axes, node(axes, "$θ$", (4.3, 1), edge="white"), x_n)
axes.add_patch(Rectangle((0.5, 0.35), 2.7, 1.15, fill=False, edgecolor=figures.BLUE, lw=2))
axes.text(3.12, 0.42, "n = 1, …, N", ha="right", va="bottom", fontsize=14, color=figures.BLUE)
axes.text(1.8, 1.12, "p(x|z)", ha="center", fontsize=14)
axes.set(title="Each x has a latent of its own; all share the parameters θ", aspect="equal")
axes.set(xlim=(0.3, 4.7), ylim=(0.25, 1.65))
axes.axis("off")
figure

# %% [markdown]
# *Figure: a graphical model. A white circle z_n, not seen, with an arrow to a grey circle x_n, seen; both in a frame, the
# plate, that stands for N copies. Outside it θ, with an arrow to x_n.*

# %% [markdown] tags=["slide"]
# ### Three stories about points of the plane
#
# | model | $p(z)$ | $p(x \mid z)$ |
# |---|---|---|
# | mixture of normals | $z \in \{0, 1, 2\}$ with probabilities $\pi$ | $\mathcal N(\mu_z, \Sigma_z)$ |
# | linear-Gaussian (probabilistic PCA) | $\mathcal N(0, 1)$ | $\mathcal N(W z + b,\, \sigma^2 I)$ |
# | a noisy parabola | $\mathcal N(0, 1)$ | $\mathcal N\bigl((1.5 z,\; z^2 - 1),\, \sigma^2 I\bigr)$ |
#
# The third is written out here; the first two come from the package.


# %% tags=["fragment"]
class Parabola:
    std = 0.4

    def prior(self):  # p(z)
        return Independent(Normal(torch.zeros(1), torch.ones(1)), 1)

    def likelihood(self, z: Tensor):  # p(x|z), [..., 1] -> batch [...], event [2]
        mean = torch.cat([1.5 * z, z**2 - 1], -1)
        return Independent(Normal(mean, torch.full_like(mean, self.std)), 1)


def draw(model, n: int) -> tuple[Tensor, Tensor]:
    z = model.prior().sample((n,))  # first the latent,
    return model.likelihood(z).sample(), z  # then the observation


# %%
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exact.mixture import NormalMixture

spread = torch.tensor(
    [[[0.6, 0.5], [0.5, 0.8]], [[0.5, 0.0], [0.0, 0.2]], [[0.3, -0.2], [-0.2, 0.9]]]
)
mixture = NormalMixture(
    torch.tensor([0.5, 0.3, 0.2]), torch.tensor([[-2.0, 0.0], [1.0, 2.0], [2.0, -1.5]]), spread
)
linear = LinearGaussian(torch.tensor([[1.8], [0.9]]), torch.tensor([0.0, 0.5]), std=0.4)
parabola = Parabola()
models = {"mixture": mixture, "linear-Gaussian": linear, "parabola": parabola}
drawn = {name: draw(model, 2000) for name, model in models.items()}

# %% tags=["slide"]
figure, axes = figures.subplots(1, 3, figsize=(15, 4.8))
for k, colour in enumerate(figures.COLOURS[:3]):  # a latent that is one of three
    x, z = drawn["mixture"]
    axes[0].scatter(*x[z == k].T, s=9, color=colour, linewidths=0, label=f"z = {k}")
axes[0].legend(loc="upper left", markerscale=3)
for axis, name in zip(axes[1:], ("linear-Gaussian", "parabola"), strict=True):
    x, z = drawn[name]
    points = axis.scatter(*x.T, s=9, c=z[:, 0], cmap="viridis", linewidths=0)
    figure.colorbar(points, ax=axis, label="latent z")
for axis, name in zip(
    axes, ("three clouds", "a line with noise", "a curve with noise"), strict=True
):
    axis.set(title=f"The latent chooses: {name}", xlabel="x₁", ylabel="x₂")
    axis.set(xlim=(-6.5, 6.5), ylim=(-4.5, 11))
figure

# %% [markdown]
# *Figure: points coloured by their latent. Left, three clouds, a colour each. Middle, a long ellipse along which z grows
# from left to right. Right, a parabola along which z grows from left to right.*
#
# A student sees the points, not the colours. Do the draws follow the story? The linear-Gaussian's $x$ has the mean $b$ and the
# covariance $W W^\top + \sigma^2 I$; what is left when $W z + b$ is taken away has the variance $\sigma^2$.

# %%
x, z = drawn["linear-Gaussian"]  # [n, 2], [n, 1]
off = x - linear.bias
products = off[:, :, None] * off[:, None]  # [n, 2, 2]; their mean is the covariance
exact = linear.weight @ linear.weight.T + linear.std**2 * torch.eye(2)
noise = (off - z @ linear.weight.T).square().flatten()


def agree(
    values: Tensor, expected: Tensor
) -> bool:  # mean over the draws, five standard errors
    error = values.std(0) / len(values) ** 0.5
    return bool(((values.mean(0) - expected).abs() < 5 * error).all())


claim(
    "the linear-Gaussian's draws have mean b and covariance W Wᵀ + σ² I, within five standard errors",
    agree(off, torch.zeros(2)) and agree(products, exact), drawn=products.mean(0), exact=exact,
)  # fmt: skip
claim(
    "each x belongs to its z: x − W z − b has the variance σ², within five standard errors",
    agree(noise, linear.std**2), drawn=noise.mean(), exact=linear.std**2,
)  # fmt: skip

# %%
from vae_course.models import parabola as package

x, z = drawn["parabola"]
theirs = package.Parabola().likelihood(z).log_prob(x)
claim(
    "the parabola written here has the package's p(x|z)",
    torch.allclose(parabola.likelihood(z).log_prob(x), theirs),
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:sample_mixture]]**: draw from a mixture yourself.

# %% [markdown] tags=["slide"]
# ## · p(x) is a sum, or an integral
#
# The density of $x$, whatever its latent was, is the **marginal likelihood** or **evidence**:
#
# $$ p(x) = \sum_z p(z)\, p(x \mid z) \qquad\text{or}\qquad p(x) = \int p(z)\, p(x \mid z)\, dz . $$
#
# Logarithms are natural, and $\log p(x)$ is in **nats**. For the mixture the sum has three terms. With one latent a fine
# sum, a **grid**, replaces the integral: $p(x) \approx \sum_i p(z_i)\, p(x \mid z_i)\, \Delta$.


# %% tags=["slide"]
# x: [batch, 2] -> [batch] nats
def log_evidence_as_a_sum(model: NormalMixture, x: Tensor) -> Tensor:
    likelihoods = MultivariateNormal(model.means, model.covariances)  # one for each component
    return (model.weights * likelihoods.log_prob(x[:, None]).exp()).sum(1).log()


latents = torch.linspace(-8, 8, 1601)[:, None]  # [points, 1], spacing 0.01


def log_evidence_on_a_grid(model, x: Tensor) -> Tensor:
    log_prior = model.prior().log_prob(latents)  # [points]
    log_likelihood = model.likelihood(latents).log_prob(x[:, None])  # [batch, points]
    return ((log_prior + log_likelihood).exp().sum(1) * 0.01).log()


# %%
x = drawn["mixture"][0][:500]
claim(
    "the mixture's log p(x) as a sum of three terms is the package's",
    torch.allclose(log_evidence_as_a_sum(mixture, x), mixture.log_evidence(x)),
)  # fmt: skip
x = drawn["linear-Gaussian"][0][:500]
claim(
    "log p(x) of the linear-Gaussian on a grid is its closed form, to a millionth of a nat",
    (log_evidence_on_a_grid(linear, x) - linear.log_evidence(x)).abs().max() < 1e-6,
)  # fmt: skip

# %% [markdown]
# The parabola has no closed form for $p(x)$. On the grid we can draw its density all the same. A density integrates to 1
# over all $x$; its values may exceed 1, so that a log-density may be positive.

# %%
axis_1, axis_2 = torch.linspace(-7, 7, 71), torch.linspace(-3, 17, 101)  # spacing 0.2
plane = torch.cartesian_prod(axis_1, axis_2)  # [points, 2]
density = log_evidence_on_a_grid(parabola, plane).exp().reshape(71, 101)
claim(
    "the parabola's density integrates to 1 over the plane, to a thousandth",
    abs(density.sum() * 0.2**2 - 1) < 1e-3, integral=density.sum() * 0.2**2,
)  # fmt: skip

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 5))
image = axes.pcolormesh(axis_1, axis_2, density.T, cmap="Blues", shading="gouraud")
axes.scatter(*drawn["parabola"][0][:300].T, s=9, color=figures.VERMILION, label="300 draws")
axes.set(
    title="p(x) is high at the bottom of the bowl, where most latents lead",
    xlabel="x₁",
    ylabel="x₂",
    xlim=(-5, 5),
    ylim=(-2.5, 6),
)
axes.legend(loc="lower right")
figure.colorbar(image, label="density p(x)")
figure

# %% [markdown]
# *Figure: a blue band along a parabola, darkest at its bottom and fading along the branches, with dots scattered in it: many at
# the bottom, few on the branches.*

# %% [markdown] tags=["slide"]
# ## · Plain Monte Carlo, and what it costs
#
# A grid of 100 points a latent has $100^{20}$ points for 20 latents. The integral is also an expectation, so we can sample:
#
# $$ p(x) = \mathbb E_{p(z)}[p(x \mid z)] \approx \hat p(x) = \frac1K \sum_{k=1}^K p(x \mid z_k), \qquad z_k \sim p(z). $$
#
# We average probabilities; logarithms are taken afterwards. (Products of many densities underflow. The exercise computes
# the same average from their logarithms.)
#
# To see the error we need the truth. Take a linear-Gaussian model with $d$ latents, $W = I$ and $\sigma = \frac12$: every
# coordinate of $x$ has a latent of its own. We divide by the known $p(x)$: $\hat p / p$ should be near 1.


# %% tags=["slide"]
# x: [batch, d] -> [batch]
def ratios(model, x: Tensor, samples: int) -> Tensor:  # p̂(x) / p(x)
    z = model.prior().sample((samples, len(x)))  # [samples, batch, latent]
    return (model.likelihood(z).log_prob(x) - model.log_evidence(x)).exp().mean(0)


def identity_model(latent: int) -> LinearGaussian:
    return LinearGaussian(torch.eye(latent), torch.zeros(latent), std=0.5)


# Errors of the estimate of log p(x), for n draws of x: [n] nats
def errors(latent: int, samples: int, n: int = 200) -> Tensor:
    model = identity_model(latent)
    x = model.evidence().sample((n,))
    parts = x.split(max(1, 1_000_000 // (samples * latent)))
    return torch.cat([ratios(model, part, samples) for part in parts]).log()


# %% [markdown]
# *Predict: with one latent, two draws typically give p(x) to a relative error of 1. How many are needed with 20 latents?*
#
# <details><summary>Answer</summary>About 200 million: the number grows exponentially with the latents. We compute it
# below.</details>

# %%
sizes = [1, 10, 100, 1000, 10_000]
found = {latent: [errors(latent, k) for k in sizes] for latent in (1, 2, 5, 10, 20)}
middle = {latent: [float(e.abs().median()) for e in row] for latent, row in found.items()}
mean = {latent: [float(e.mean()) for e in row] for latent, row in found.items()}

# %% tags=["slide"]
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 5))
for latent, colour in zip(found, figures.COLOURS, strict=False):
    left.loglog(sizes, middle[latent], "o-", color=colour, label=f"{latent}")
    right.semilogx(sizes, mean[latent], "o-", color=colour, label=f"{latent}")
left.set(title="With more latents the error is larger at every K", xlabel="draws K")
left.set(ylabel="median error of log p(x), nats")
right.set(title="The estimate of log p(x) errs downwards", xlabel="draws K")
right.set(ylabel="mean error, nats")
right.legend(title="latents", loc="lower right")
figure

# %% [markdown]
# *Figure: errors of log p(x) over 200 draws of x, against K, one line per number of latents. Left, on logarithmic axes: with
# one latent nearly a straight line down, by ten for every hundredfold K; with twenty a slow fall, still several nats at
# 10,000 draws. Right: mean errors, far below zero where draws are few for the latents, and rising towards it.*
#
# The posterior of each latent has a standard deviation of 0.45, the prior 1. Hitting that range in all of 20 latents at
# once is rare.

# %%
claim(
    "with one latent, a hundred times the draws divide the median error by about ten (between 6 and 16)",
    6 < middle[1][2] / middle[1][4] < 16, at_100=middle[1][2], at_10000=middle[1][4],
)  # fmt: skip
claim(
    "with twenty latents, 10,000 draws leave over three times the median error of one draw with one latent",
    middle[20][4] > 3 * middle[1][0], twenty=middle[20][4], one=middle[1][0],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### How does the cost grow?
#
# The draws are independent, so
#
# $$ \frac{\operatorname{Var}(\hat p)}{p(x)^2} = \frac{r(x) - 1}K, \qquad
#    r(x) = \frac{\mathbb E_{p(z)}[p(x|z)^2]}{p(x)^2} , $$
#
# and $K = r - 1$ draws give a relative error of 1. Here $r$ is a product over coordinates. The square of a normal density is
# a narrower one, $\mathcal N(x; z, \sigma^2)^2 = \mathcal N(x; z, \frac{\sigma^2}2) / (2 \sigma \sqrt\pi)$, and so
#
# $$ \mathbb E_{p(z)}[p(x_i|z)^2] = \frac{\mathcal N(x_i; 0, 1 + \frac{\sigma^2}2)}{2 \sigma \sqrt\pi} . $$


# %%
def relative_second_moment(x: Tensor, std: float = 0.5) -> Tensor:  # r, one factor a coordinate
    squared = Normal(0.0, (1 + std**2 / 2) ** 0.5).log_prob(x).exp() / (2 * std * pi**0.5)
    return squared / Normal(0.0, (1 + std**2) ** 0.5).log_prob(x).exp() ** 2


model, x = identity_model(1), latents[500:1101]  # from −3 to 3
density = model.likelihood(latents).log_prob(x[:, None]).exp()  # p(x|z): [x, z]
weights = model.prior().log_prob(latents).exp() * 0.01
on_grid = (density**2 @ weights) / (density @ weights) ** 2
claim(
    "the closed form of r is the integral on a grid, to a millionth",
    (relative_second_moment(x[:, 0]) / on_grid - 1).abs().max() < 1e-6,
)  # fmt: skip

# %%
wide = torch.linspace(-25, 25, 5001)  # r grows with x: its mean needs a wider grid
factor = relative_second_moment(wide)
mass = model.evidence().log_prob(wide[:, None]).exp() * 0.01  # p(x) on the grid
growth = float((mass * factor.log()).sum().exp())  # the geometric mean over x
claim(
    "as a geometric mean over x, twenty latents need 198 million draws for a relative error of 1",
    abs(growth**20 - 198.3e6) < 0.5e6, draws=growth**20,
)  # fmt: skip
claim(
    "the arithmetic mean of r over x is 5 a latent, to a millionth",
    abs((mass * factor).sum() - 5) < 1e-6, mean=(mass * factor).sum(),
)  # fmt: skip

# %% tags=["slide"]
for latent in found:
    print(f"{latent:2d} latents: geometric mean {growth**latent:13,.1f}, mean {5**latent:19,}")

# %% [markdown] tags=["fragment"]
# The means are far apart: a few $x$ need many more draws than most. $5^{20}$ is about $10^{14}$.

# %% [markdown] tags=["slide"]
# ### Why downwards?
#
# Let $\rho = \hat p / p$. Its mean is 1. For every $\rho > 0$, $\log \rho \le \rho - 1$: the logarithm lies below its tangent
# at 1. Take the mean of both sides:
#
# $$ \mathbb E[\log \hat p] - \log p = \mathbb E[\log \rho] \;\le\; \mathbb E[\rho] - 1 = 0 . $$
#
# This is **Jensen's inequality** for the logarithm. The next term, $\log \rho \approx (\rho - 1) - \frac12 (\rho - 1)^2$,
# gives the size for large $K$, under conditions that lecture [[tighter_bounds]] states: $-\frac12 \operatorname{Var}(\rho) = -(r - 1)/(2K)$.

# %%
x, k = torch.tensor([[1.0]]), 100
rho = ratios(model, x.expand(40_000, 1), k)  # 40,000 estimates for one x
log_rho = rho.log()
error, error_of_log = rho.std() / 200, log_rho.std() / 200
size = float(relative_second_moment(x).squeeze() - 1) / k
claim(
    "the mean of p̂(x) is p(x), within five standard errors",
    abs(rho.mean() - 1) < 5 * error, relative=rho.mean(),
)  # fmt: skip
claim(
    "the variance of p̂/p is (r − 1)/K, to a twentieth",
    abs(rho.var() / size - 1) < 0.05, measured=rho.var(), formula=size,
)  # fmt: skip
claim(
    "the mean of log p̂(x) is below log p(x), by more than five standard errors",
    log_rho.mean() < -5 * error_of_log, bias=log_rho.mean(), error=error_of_log,
)  # fmt: skip
below = (log_rho - (rho - 1)).mean()  # E[ρ − 1] = 0: the same mean, with a tenth of the noise
claim(
    "and by (r − 1)/(2K), to a tenth",
    abs(-below / (size / 2) - 1) < 0.1, bias=below, predicted=-size / 2,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:log_evidence_monte_carlo]]**: the estimate, where every density rounds to 0.

# %% [markdown] tags=["slide"]
# ## · The posterior
#
# Which latents could have made this $x$? Bayes' rule answers:
#
# $$ p(z \mid x) = \frac{p(z)\, p(x \mid z)}{p(x)} . $$
#
# The numerator is easy. The denominator is the integral of section [[#p(x) is a sum]]: the **posterior** is as hard as the
# evidence. On a grid both are sums.


# %% tags=["fragment"]
# x: [2], z: [points, 1] -> a density, [points]
def posterior_on_a_grid(model, x: Tensor, z: Tensor) -> Tensor:
    joint = (model.prior().log_prob(z) + model.likelihood(z).log_prob(x)).exp()
    return joint / (joint.sum() * (z[1] - z[0]))


x = linear.evidence().sample()
exact = linear.posterior(x).log_prob(latents).exp()
claim(
    "on the grid, the linear-Gaussian's posterior is its closed form",
    torch.allclose(posterior_on_a_grid(linear, x, latents), exact, atol=1e-8),
)  # fmt: skip

# %% tags=["slide"]
branch, bowl = torch.tensor([2.6, 1.4]), torch.tensor([0.05, 1.6])
examples = {"On the branch: one peak": branch, "Inside the bowl: two": bowl}
figure, axes = figures.subplots(1, 2, figsize=(14, 4.6))
for axis, (name, x) in zip(axes, examples.items(), strict=True):
    posterior = posterior_on_a_grid(parabola, x, latents)
    likelihood = parabola.likelihood(latents).log_prob(x).exp()
    axis.fill_between(latents[:, 0], posterior, color=figures.SKY, label="posterior p(z|x)")
    axis.plot(
        latents, parabola.prior().log_prob(latents).exp(), color="black", label="prior p(z)"
    )
    scaled = likelihood / likelihood.max()
    axis.plot(latents, scaled, "--", color=figures.VERMILION, label="likelihood, scaled to 1")
    axis.set(title=f"{name}, x = ({x[0]:.2f}, {x[1]:.2f})", xlabel="z", ylabel="density")
    axis.set(xlim=(-3.5, 3.5), ylim=(0, 3.8))
axes[0].legend(loc="upper left")
figure

# %% [markdown]
# *Figure: for an x on the parabola's branch the posterior has one narrow peak near z = 1.6; for an x inside the bowl it has
# two, one on each side of zero, the right one higher. The likelihood, dashed, peaks at nearly the same places.*
#
# How high must $x_2$ lie for two peaks? At $x_1 = 0$ the logarithm of the numerator is $-\frac{z^2}2 - \frac{(1.5 z)^2 +
# (x_2 + 1 - z^2)^2}{2 \sigma^2}$ plus a constant. Its second derivative at $z = 0$ is $-1 - (2.25 - 2 (x_2 + 1)) /
# \sigma^2$. It is positive, and $z = 0$ a valley, where $x_2 > \frac18 + \frac{\sigma^2}2$. Without the prior's $-1$ it would
# be $\frac18$: the prior pulls both peaks towards 0.


# %%
def peaks(density: Tensor) -> int:
    return int(((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])).sum())


edge = 1 / 8 + parabola.std**2 / 2
heights = [edge - 0.02, edge + 0.02]
modes = [peaks(posterior_on_a_grid(parabola, torch.tensor([0, h]), latents)) for h in heights]
claim(
    "at x₁ = 0 the posterior has one mode just below x₂ = ⅛ + σ²/2, and two just above",
    modes == [1, 2], modes=modes,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### One problem, not two
#
# Bayes' rule, turned round, says $p(x) = p(z)\, p(x|z) / p(z|x)$ for **every** $z$ with a positive posterior density: with
# the posterior, one $z$, drawn or chosen, is enough.

# %% tags=["fragment"]
x = linear.evidence().sample((5,))
z = linear.posterior(x).sample((1000,))  # [draws, 5, 1]
log_joint = linear.prior().log_prob(z) + linear.likelihood(z).log_prob(x)
claim(
    "log p(z) + log p(x|z) − log p(z|x) is log p(x), for each of 5,000 draws",
    (log_joint - linear.posterior(x).log_prob(z) - linear.log_evidence(x)).abs().max() < 1e-9,
)  # fmt: skip

# %% [markdown]
# But the posterior needs $p(x)$. Lecture [[variational_inference]] breaks the circle: take a $q(z)$ that is *near* the
# posterior.
#
# Now **exercise [[:posterior_on_grid]]**: Bayes' rule where the numerator underflows.

# %% [markdown] tags=["slide"]
# ## · Fisher's identity
#
# As a function of $\theta$, $p_\theta(x)$ is the likelihood of the parameters; maximum likelihood means this one, not
# $p(x|z)$. To learn $\theta$ we climb $\log p_\theta(x)$. Its gradient is an expectation under the posterior:
#
# $$ \begin{aligned} \nabla_\theta \log p_\theta(x)
#   &= \frac{1}{p_\theta(x)} \nabla_\theta \int p_\theta(x, z)\, dz
#    = \frac{1}{p_\theta(x)} \int \nabla_\theta\, p_\theta(x, z)\, dz \\
#   &= \int \frac{p_\theta(x, z)}{p_\theta(x)}\, \nabla_\theta \log p_\theta(x, z)\, dz
#    = \mathbb E_{p_\theta(z|x)}[\nabla_\theta \log p_\theta(x, z)] . \end{aligned} $$
#
# With the posterior, the gradient needs the easy $\log p(x, z)$ only. The second step swaps ∇ and ∫. That is allowed if
# $p_\theta(x, z)$ is differentiable in $\theta$ for every $z$, and for all $\theta$ near the one at hand $\|\nabla_\theta\,
# p_\theta(x, z)\| \le g(z)$, with one $g$ of finite integral. A finite sum needs no $g$.

# %% tags=["slide"]
x = drawn["mixture"][0][:100]
means = mixture.means.clone().requires_grad_()
moving = NormalMixture(mixture.weights, means, mixture.covariances)
(direct,) = torch.autograd.grad(moving.log_evidence(x).sum(), means)  # through the sum over z
responsibility = mixture.posterior(x).probs  # p(z|x), [batch, 3], no gradient through it
log_joint = mixture.weights.log() + moving.likelihood(torch.arange(3)).log_prob(x[:, None])
(by_fisher,) = torch.autograd.grad((responsibility * log_joint).sum(), means)
claim("Fisher's identity holds for the means of the mixture", torch.allclose(direct, by_fisher))

# %% [markdown] tags=["slide"]
# ### Where the swap fails
#
# Let $z$ be uniform on $(0, \theta)$. Where the prior ends, $p_\theta(x, z)$ jumps, and the jump moves with $\theta$: at $\theta =
# z$ it is not differentiable. The integral $p_\theta(x) = \frac1\theta \int_0^\theta p(x|z)\, dz$ has a derivative with a **boundary term** that the
# right side of the identity, $\mathbb E[\nabla_\theta \log \frac1\theta] = -\frac1\theta$, lacks:
#
# $$ \frac{d}{d\theta} \log p_\theta(x) = -\frac1\theta + \frac{p(x|z = \theta)}{\int_0^\theta p(x|z)\, dz} . $$

# %% tags=["fragment"]
theta, x, unit = torch.tensor(2.0, requires_grad=True), torch.tensor(1.5), Normal(0.0, 1.0)
area = unit.cdf(x) - unit.cdf(x - theta)  # ∫ N(x; z, 1) dz from 0 to θ
(direct,) = torch.autograd.grad((area / theta).log(), theta)
by_fisher, boundary = -1 / theta, unit.log_prob(x - theta).exp() / area
claim(
    "with z uniform on (0, θ), Fisher's identity misses the boundary term, and nothing else",
    torch.allclose(direct, by_fisher + boundary) and boundary > 0.1,
    direct=direct, by_fisher=by_fisher, boundary=boundary,
)  # fmt: skip

# %% [markdown]
# *Break it*: in the mixture's cell put the prior in place of the posterior, `responsibility = mixture.weights.expand(100, 3)`.
# Does its claim fall? Would it if the three means were equal, and the covariances too?
#
# <details><summary>Answer</summary>It falls. With equal components x says nothing about z, the posterior is the prior, and the
# claim would stand.</details>
#
# Now **exercise [[:evidence_gradient]]**: Fisher's identity by hand.

# %% [markdown] tags=["slide"]
# ## · Expectation maximisation
#
# If we can take expectations under the posterior, and maximise them over $\theta$, we need no step size. **EM** repeats:
#
# - **E**: compute the posterior under the present parameters $\theta_t$;
# - **M**: set $\theta_{t+1}$ to a maximiser over $\theta$ of $Q(\theta) = \sum_n \mathbb E_{p_{\theta_t}(z|x_n)}[\log p_\theta(x_n, z)]$.
#
# The sum of $\log p_\theta(x_n)$ never falls (lecture [[elbo]] shows why). By Fisher's identity $Q$ has at $\theta_t$ the
# gradient of that sum: where EM stands still at a smooth interior point, the gradient is zero.

# %% [markdown] tags=["slide"]
# ### The M step of a mixture
#
# Let $r_{nk} = p(z_n = k \mid x_n)$, the **responsibility** of component $k$ for $x_n$, and $N_k = \sum_n r_{nk}$. With $\Lambda_k =
# \Sigma_k^{-1}$, up to a constant,
#
# $$ Q = \sum_k \sum_n r_{nk} \Bigl[ \log \pi_k + \tfrac12 \log |\Lambda_k|
#        - \tfrac12 (x_n - \mu_k)^\top \Lambda_k (x_n - \mu_k) \Bigr] . $$
#
# - **π**, under $\sum_k \pi_k = 1$ with multiplier $\lambda$: $N_k / \pi_k = \lambda$. Summed over $k$, $\lambda = N$. So
#   $\pi_k = N_k / N$.
# - **μ**: $\Lambda_k \sum_n r_{nk} (x_n - \mu_k) = 0$. So $\mu_k = \frac1{N_k} \sum_n r_{nk}\, x_n$.
# - **Σ**: since $\partial \log |\Lambda| / \partial \Lambda = \Lambda^{-1}$, $\frac12 N_k \Sigma_k - \frac12 \sum_n r_{nk} (x_n -
#   \mu_k)(x_n - \mu_k)^\top = 0$. So $\Sigma_k = \frac1{N_k} \sum_n r_{nk} (x_n - \mu_k)(x_n - \mu_k)^\top$, about the new $\mu_k$.
#
# $Q$ is concave in $\pi$, in $\mu_k$, and at that $\mu_k$ in $\Lambda_k$: these are its maxima.

# %% [markdown] tags=["slide"]
# ### The M step of the linear-Gaussian
#
# Set $b = \bar x$ first, its maximum-likelihood value whatever $W$ and $\sigma$. Let $y_n = x_n - b$ in $D$ dimensions, $m_n
# = \mathbb E[z_n]$ and $S_n = \mathbb E[z_n z_n^\top]$ under the posterior. Up to a constant,
#
# $$ Q = -\tfrac{N D}2 \log \sigma^2 - \frac1{2 \sigma^2} \sum_n \bigl[ \|y_n\|^2 - 2\, y_n^\top W m_n
#        + \operatorname{tr}(W^\top W S_n) \bigr] . $$
#
# - **W**: $\sum_n y_n m_n^\top = W \sum_n S_n$. So $W = \bigl(\sum_n y_n m_n^\top\bigr) \bigl(\sum_n S_n\bigr)^{-1}$.
# - **σ²**: $N D\, \sigma^2$ is the sum of brackets. At this $W$, $\sum_n \operatorname{tr}(W^\top W S_n) = \sum_n y_n^\top W m_n$. So
#   $\sigma^2 = \frac1{N D} \sum_n \bigl[ \|y_n\|^2 - y_n^\top W m_n \bigr]$.


# %% tags=["slide"]
def em_step(model: LinearGaussian, x: Tensor) -> LinearGaussian:
    bias = x.mean(0)
    y = x - bias  # [n, D]
    posterior = LinearGaussian(model.weight, bias, model.std).posterior(x)  # E
    m = posterior.mean  # [n, latent]
    s = posterior.covariance_matrix.sum(0) + m.T @ m  # Σ E[z zᵀ]
    weight = torch.linalg.solve(s, m.T @ y).T  # M
    variance = (y.square().sum() - (y * (m @ weight.T)).sum()) / y.numel()
    return LinearGaussian(weight, bias, variance.sqrt())


def climb(model, x: Tensor, step, steps: int) -> tuple[object, list[float]]:
    curve = [float(model.log_evidence(x).mean())]
    for _ in range(steps):
        model = step(model, x)
        curve.append(float(model.log_evidence(x).mean()))
    return model, curve


# %%
from vae_course.data.toys import linear_gaussian

generator = torch.Generator().manual_seed(run.seed)
data = linear_gaussian(500, observed=6, latent=2, generator=generator, std=0.7).x
steps = run.epochs(laptop=150)
starts = [LinearGaussian(torch.randn(6, 2), torch.randn(6), std=1.0) for _ in range(5)]
mine, theirs = em_step(starts[0], data), starts[0].em_step(data)
claim(
    "the derived step is the package's",
    torch.allclose(mine.weight, theirs.weight) and torch.allclose(mine.std, theirs.std),
)  # fmt: skip
climbs = torch.tensor([climb(model, data, em_step, steps)[1] for model in starts])
claim("EM on the linear-Gaussian never falls", (climbs.diff() > -1e-9).all())
maximum = float(LinearGaussian.maximum_likelihood(data, latent=2).log_evidence(data).mean())
claim(
    "from five random starts it reaches the known maximum of the likelihood, to 0.001 nat",
    (climbs[:, -1] - maximum).abs().max() < 1e-3, ends=climbs[:, -1], maximum=maximum,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### A mixture has many maxima
#
# The linear-Gaussian's maximum is known: Tipping & Bishop give it by the eigenvectors of the data's covariance. A mixture's
# likelihood has many local maxima; which one EM finds depends on the start. Four clusters, four components, twenty starts:
# the first means are data points drawn at random. (With a free covariance each, there is no global maximum: the likelihood
# grows without bound as a component shrinks onto one point. A start that does so is drawn again.)

# %%
centres = torch.tensor([[-4.0, 1.0], [-1.0, -1.0], [2.0, 2.0], [3.0, -2.0]])
truth = NormalMixture(torch.full((4,), 0.25), centres, 0.25 * torch.eye(2).repeat(4, 1, 1))
points, fresh = draw(truth, 600)[0], draw(truth, 20_000)[0]


def climb_from_data(data: Tensor) -> tuple[object, list[float]]:
    means = data[torch.randperm(len(data))[:4]]
    begin = NormalMixture(torch.full((4,), 0.25), means, torch.eye(2).repeat(4, 1, 1))
    try:
        return climb(begin, data, NormalMixture.em_step, steps)
    except FloatingPointError:  # a component shrank onto too few points
        return climb_from_data(data)


ends, curves = zip(*[climb_from_data(points) for _ in range(20)], strict=True)
curves = torch.tensor(curves)  # [starts, steps + 1]
best, worst = (ends[int(at)] for at in (curves[:, -1].argmax(), curves[:, -1].argmin()))

# %% tags=["slide"]
figure, (left, middle, right) = figures.subplots(1, 3, figsize=(16, 4.8))
for axis, several, colour in ((left, climbs, figures.BLUE), (middle, curves, figures.PURPLE)):
    axis.semilogx(range(1, steps + 2), several.T, color=colour, alpha=0.6)
    axis.set(xlabel="step + 1", ylabel="mean log p(x), nats")
left.axhline(maximum, color=figures.VERMILION, linestyle="--", label="known maximum")
left.set(title="Linear-Gaussian: one end", ylim=(maximum - 2, maximum + 0.2))
left.legend(loc="lower right")
middle.set(title="Mixture: several ends")
right.scatter(*points.T, s=8, color="0.7")
for model, marker, name in ((worst, "o", "worst end"), (best, "X", "best end")):
    right.plot(*model.means.T, marker, markersize=14, label=name)
right.set(
    title="The worst end leaves clusters alone", xlabel="x₁", ylabel="x₂", ylim=(-4.2, 4.2)
)
right.legend(loc="upper left")
figure

# %% [markdown]
# *Figure: one run. Left, five curves that rise to one dashed line. Middle, twenty curves that end on several levels, some after
# a long plateau. Right, four clusters: the best end has a mean in each, the worst one mean between two clusters.*

# %%
claim("EM on the mixture never falls, from twenty starts", (curves.diff() > -1e-9).all())
low, high = curves[:, -1].aminmax()
claim(
    "but its ends differ by more than a quarter of a nat a point",
    high > low + 0.25,
    low=low,
    high=high,
)
seen, unseen = (
    [float(model.log_evidence(x).mean()) for model in (best, truth)] for x in (points, fresh)
)
claim(
    "the best end fits its data better than the mixture that made them, and fresh draws worse",
    seen[0] > seen[1] and unseen[0] < unseen[1], seen=seen, unseen=unseen,
)  # fmt: skip
parts = [t.clone().requires_grad_() for t in (best.weights, best.means, best.covariances)]
gradients = torch.autograd.grad(NormalMixture(*parts).log_evidence(points).mean(), parts)
largest = [gradient.abs().max() for gradient in gradients]
claim(
    "at the best end the gradient is zero, to 0.0001: in weights, means and covariances",
    max(largest) < 1e-4, largest=largest,
)  # fmt: skip

# %% [markdown]
# To try a few starts and keep the best end is usual. EM needs expectations under the posterior and an M step that can
# be solved. A neural decoder in general gives neither: that is where lectures [[variational_inference]] to
# [[variational_autoencoder]] go.
#
# Now **exercise [[:em_step]]**: the M step of round components.

# %% [markdown] tags=["slide"]
# ## · Why latent variables at all?
#
# Two other families give $\log p(x)$ **exactly**, without an integral.
#
# - An **autoregressive** model multiplies conditionals: $p(x) = \prod_i p(x_i \mid x_1, \dots, x_{i-1})$.
# - A **normalising flow** maps noise to $x$ by an invertible function: $x = f(\varepsilon)$, $\log p(x) = \log p(\varepsilon) -
#   \log |\det \partial f / \partial \varepsilon|$.
#
# A simple autoregressive model of binary pixels makes each conditional a logistic regression. It is the **fully visible
# sigmoid belief net**:
#
# $$ p(x_i = 1 \mid x_1, \dots, x_{i-1}) = \operatorname{sigmoid}\Bigl(b_i + \sum_{j < i} W_{ij}\, x_j\Bigr) . $$

# %% tags=["fragment"]
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 2.8))
nodes = [node(axes, f"$x_{i + 1}$", (1.5 * i, 0), SEEN) for i in range(4)]
for i in range(4):
    for j in range(i):
        arrow(axes, nodes[j], nodes[i], bend=-0.25 * (i - j - 1))
axes.set(title="Fully visible: each pixel depends on all before it", aspect="equal")
axes.set(xlim=(-0.6, 5.1), ylim=(-0.4, 1.35))
axes.axis("off")
figure

# %% [markdown]
# *Figure: four grey circles in a row, x_1 to x_4, with an arrow from each to every later one. None is white: nothing is hidden.*


# %% tags=["slide"]
def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:  # Σ_i log p(x_i)
    return (x * logits - softplus(logits)).sum(-1)


class BeliefNet(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, size))
        self.bias = nn.Parameter(torch.zeros(size))

    def log_evidence(self, x: Tensor) -> Tensor:  # [batch, size] -> [batch], exact
        earlier = self.weight.tril(-1)  # W_ij for j < i only
        return log_bernoulli(x @ earlier.T + self.bias, x)


# %% [markdown] tags=["slide"]
# ### Beside two latent variable models
#
# Digits, made binary once, the same for all. Two latent variable models whose $p(x)$ is a sum we can afford:
#
# - a **mixture** of 50: $z$ is one of 50 rows of a table, each the logits of a picture of independent pixels;
# - a **decoder**: $z$ is one of 15 × 15 points of the plane, and a network makes the logits from it.
#
# The yardstick is one picture of independent pixels.


# %% tags=["fragment"]
class Latent(nn.Module):
    def __init__(self, weights: Tensor, z: Tensor, decode: nn.Module) -> None:
        super().__init__()
        self.weights, self.z, self.decode = weights, z, decode

    def log_evidence(self, x: Tensor) -> Tensor:  # [batch, pixels] -> [batch], exact
        logits = self.decode(self.z)  # [values of z, pixels]
        log_likelihood = x @ logits.T - softplus(logits).sum(1)  # [batch, values of z]
        return (self.weights.log() + log_likelihood).logsumexp(1)


# %%
net, clusters = (
    BeliefNet(10),
    Latent(torch.tensor([0.2, 0.8]), torch.arange(2), nn.Embedding(2, 10)),
)
nn.init.normal_(net.weight)
everything = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 10)  # all 2¹⁰ pictures
totals = torch.stack([model.log_evidence(everything).exp().sum() for model in (net, clusters)])
claim(
    "the p(x) of all 1,024 pictures of ten pixels add up to 1, in the net and in a mixture",
    (totals - 1).abs().max() < 1e-9, totals=totals,
)  # fmt: skip

# %%
from vae_course.data.batches import Batches
from vae_course.data.images import binarize, digits, fixed_binarization
from vae_course.training.loop import adam_player, fit

torch.set_default_dtype(torch.float32)
train, held_out = digits(run.scale)
bits = binarize(train.images, torch.Generator().manual_seed(run.seed)).flatten(1)
test = fixed_binarization(held_out.images).flatten(1)  # [n, 784]
average = ((bits.sum(0) + 1) / (len(bits) + 2)).logit()  # all start from independent pixels
net, table = BeliefNet(784), nn.Embedding(50, 784)
network = nn.Sequential(
    nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 784)
)
net.bias.data, network[-1].bias.data = average.clone(), average.clone()
table.weight.data += average
plane = torch.cartesian_prod(*[torch.linspace(-3, 3, 15)] * 2)  # [225, 2]
clusters = Latent(torch.full((50,), 1 / 50), torch.arange(50), table)
decoder = Latent((-plane.square().sum(1) / 2).softmax(0), plane, network)

# %%
epochs, history = run.epochs(laptop=20), {}
decay = 10 / len(bits)  # a normal prior on W, which has 306,936 numbers for 4,000 digits


def learn(model: nn.Module, rate: float, prior=lambda: 0.0) -> list[float]:
    player = adam_player(lambda x: prior() - model.log_evidence(x), model, rate)
    return fit([player], Batches(bits, size=100, seed=run.seed), epochs)["loss"]


scores = {"independent pixels": log_bernoulli(average, test)}
history["mixture of 50"] = learn(clusters, 3e-2)
history["decoder"] = learn(decoder, 1e-2)
history["fully visible net"] = learn(net, 2e-2, lambda: decay * net.weight.square().sum())

# %% tags=["slide"]
with torch.no_grad():
    for name, model in zip(history, (clusters, decoder, net), strict=True):
        scores[name] = model.log_evidence(test)
        print(f"{name:20} on its own digits {model.log_evidence(bits).mean():7.1f}")
print(f"\nlog p(x), nats per digit held out, {train.name} (fair coins: {-784 * log(2):.1f})")
for name, score in scores.items():
    error = 2 * score.std() / len(score) ** 0.5
    print(f"{name:20} {score.mean():7.1f} ± {error:.1f}")

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.4))
title, losses = "The fully visible net is ahead, and levels off", history
figures.curves(
    axes, range(1, epochs + 1), losses, title, "epoch", "training loss, nats per digit"
)
figure

# %% [markdown]
# *Figure: three training losses that fall and level off, the fully visible net's lowest, with its prior's share in it.*

# %%
ahead = {name: float((s - scores["independent pixels"]).mean()) for name, s in scores.items()}
latent = [ahead["mixture of 50"], ahead["decoder"]]
claim(
    "held out, both latent variable models are more than 45 nats a digit ahead of independent pixels",
    min(latent) > 45, **ahead,
)  # fmt: skip
claim(
    "and the fully visible net is more than 20 nats ahead of both",
    ahead["fully visible net"] > max(latent) + 20, **ahead,
)  # fmt: skip

# %% [markdown]
# Latents are not what makes a model of digits good: a net without any, of logistic regressions, is ahead of these two. It is no even race:
# the net has 307,720 numbers, they have some 40,000 each, and their latent has only 50 or 225 values, so that its sum can be afforded. The net overfits most: compare its two numbers. What twenty numbers and an integral buy on digits of this
# kind, lecture [[variational_autoencoder]] measures.

# %% [markdown] tags=["slide"]
# ### Three kinds of model
#
# | | autoregressive | flow | latent variables |
# |---|---|---|---|
# | $\log p(x)$ | exact | exact | in general bounded or estimated (lectures [[elbo]], [[evaluation]]) |
# | one draw of $D$ numbers | $D$ steps, one after another | one pass of $f$ ($D$ in a masked autoregressive flow) | one pass of the decoder |
# | the network may be | any that sees earlier entries only | invertible, tractable determinant, as many latents as numbers in $x$ | any |
# | a short code for $x$ | none by itself | as long as $x$ | $z$, of any size |
# | discrete data | natural | dequantisation, or a special construction | natural |
# | CIFAR-10, bits per dimension | PixelCNN++ 2.92 | Flow++ 3.08 (dequantised: a bound) | very deep VAE 2.87 (a bound) |

# %% [markdown] tags=["notes"]
# Lower bits are better; lecture [[likelihoods]] explains the unit. The paper on Flow++ says that flows "generally have
# much worse density modeling performance compared to state-of-the-art autoregressive models".
#
# Latent variables buy draws in one pass and a short code, and pay with an integral. Lectures [[variational_inference]] to
# [[evaluation]] are about paying less.

# %% [markdown] tags=["slide"]
# ## To remember
#
# - A latent variable model is a prior and a likelihood; $p(x)$ is their integral over $z$.
# - Monte Carlo from the prior is unbiased for $p(x)$; for $\log p(x)$ it errs downwards on average, and its cost grows
#   exponentially with the latents where $x$ tells a fixed amount about each.
# - The posterior and the evidence are one problem: each gives the other.
# - $\nabla_\theta \log p_\theta(x)$ is the posterior's average of $\nabla_\theta \log p_\theta(x, z)$, where ∇ and ∫ may be
#   swapped.
# - EM never descends. It reached the maximum here for the linear-Gaussian; for mixtures its end depends on the start.
# - A model without latents can have a higher $\log p(x)$, exactly. What latents buy is a code and a fast draw.

# %% [markdown]
# ## Sources
#
# - Tipping & Bishop, *Probabilistic principal component analysis*, J. R. Statist. Soc. B 61 (1999).
# - Dempster, Laird & Rubin, *Maximum likelihood from incomplete data via the EM algorithm*, J. R. Statist. Soc. B 39
#   (1977); in its discussion B. Efron credits the identity of section [[#Fisher]] to Fisher.
# - Rubin & Thayer, *EM algorithms for ML factor analysis*, Psychometrika 47 (1982).
# - Bishop, *Pattern Recognition and Machine Learning* (2006), chapters 9 and 12.
# - Numbers on CIFAR-10: PixelCNN++ (openai/pixel-cnn, read me), Flow++ (Ho et al., arXiv:1902.00275, table 1), very deep VAE
#   (Child, arXiv:2011.10650; four seeds in openai/vdvae, read me: 2.84 to 2.90).
