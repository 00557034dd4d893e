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
#
# **After this lecture you can**
# - draw from a latent variable model, and write p(x) as a sum or an integral;
# - estimate log p(x) by plain Monte Carlo, and say what that costs and why it errs downwards;
# - compute a posterior by Bayes' rule on a grid;
# - turn the gradient of log p(x) into an expectation under the posterior (Fisher's identity);
# - climb log p(x) by expectation maximisation (EM), and say where it ends.
#
# **You need** [[needs]]: densities, expectations, Bayes' rule. **Time**: [[time]]. Everything here is small: it runs on
# the processor, in double precision.

# %% tags=["skip"]
from math import log

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · A story in two steps
#
# A **latent variable model** tells how a point came to be. First a **latent** $z$ is drawn from the **prior** $p(z)$; nobody
# sees it. Then the **observation** $x$ is drawn from the **likelihood** $p(x \mid z)$. Both are distributions that we can
# draw from and evaluate. Three stories about points of the plane:
#
# | model | $p(z)$ | $p(x \mid z)$ |
# |---|---|---|
# | mixture of normals | $z \in \{0, 1, 2\}$ with probabilities $\pi$ | $\mathcal N(\mu_z, \Sigma_z)$ |
# | linear-Gaussian (probabilistic PCA) | $\mathcal N(0, 1)$ | $\mathcal N(W z + b,\, \sigma^2 I)$ |
# | a noisy parabola | $\mathcal N(0, 1)$ | $\mathcal N\bigl((1.5 z,\; z^2 - 1),\, \sigma^2 I\bigr)$ |
#
# The third is written out here. The package holds it as `models.parabola`, the other two in `exact`.


# %%
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

# %%
figure, axes = figures.subplots(1, 3, figsize=(15, 4.8))
for axis, (name, (x, z)) in zip(axes, drawn.items(), strict=True):
    points = axis.scatter(*x.T, s=9, c=z.flatten(), cmap="viridis", linewidths=0)
    axis.set(title=name, xlabel="x₁", ylabel="x₂", xlim=(-5.5, 5.5), ylim=(-4, 6))
    figure.colorbar(
        points, ax=axis, label="latent z", ticks=range(3) if name == "mixture" else None
    )
figure

# %% [markdown]
# *Figure: three clouds of points, coloured by their latent: three ellipses; one long ellipse along which z changes
# steadily; a parabola along which z changes steadily.*
#
# A student sees the points, not the colours. Do the draws follow the model? We test the linear-Gaussian, whose mean $b$ and
# covariance $W W^\top + \sigma^2 I$ are known.

# %%
x = drawn["linear-Gaussian"][0]  # [n, 2]
exact = linear.weight @ linear.weight.T + linear.std**2 * torch.eye(2)
off = x - linear.bias
products = off[:, :, None] * off[:, None]  # [n, 2, 2]; their mean is the covariance
error = products.std(0) / len(x) ** 0.5
error_of_mean = x.std(0) / len(x) ** 0.5

claim(
    "the draws of the linear-Gaussian have the mean b, within five standard errors",
    ((x.mean(0) - linear.bias).abs() < 5 * error_of_mean).all(), drawn=x.mean(0), exact=linear.bias,
)  # fmt: skip
claim(
    "the draws of the linear-Gaussian have the covariance W Wᵀ + σ² I, within five standard errors",
    ((products.mean(0) - exact).abs() < 5 * error).all(), drawn=products.mean(0), exact=exact,
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
# Logarithms are natural, and $\log p(x)$ is in **nats**. For the mixture the sum has three terms. With one latent the integral can be replaced by a fine sum, a **grid**:
# $p(x) \approx \sum_i p(z_i)\, p(x \mid z_i)\, \Delta$.


# %%
# x: [batch, 2] -> [batch] nats
def log_evidence_as_a_sum(model: NormalMixture, x: Tensor) -> Tensor:
    likelihoods = MultivariateNormal(model.means, model.covariances)  # one for each component
    return (model.weights * likelihoods.log_prob(x[:, None]).exp()).sum(1).log()


def log_evidence_on_a_grid(model, x: Tensor) -> Tensor:
    z = torch.linspace(-8, 8, 1601)[:, None]  # [points, 1], spacing 0.01
    log_prior, log_likelihood = (
        model.prior().log_prob(z),
        model.likelihood(z).log_prob(x[:, None]),
    )
    return ((log_prior + log_likelihood).exp().sum(1) * 0.01).log()  # of [batch, points]


# %%
x = drawn["mixture"][0]
claim(
    "the mixture's log p(x) as a sum of three terms is the package's",
    torch.allclose(log_evidence_as_a_sum(mixture, x), mixture.log_evidence(x)),
)  # fmt: skip
x = drawn["linear-Gaussian"][0]
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

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 5))
image = axes.pcolormesh(axis_1, axis_2, density.T, cmap="Blues", shading="gouraud")
axes.scatter(*drawn["parabola"][0][:300].T, s=9, color=figures.VERMILION, label="draws")
axes.set(
    title="The parabola's p(x), and draws from it",
    xlabel="x₁",
    ylabel="x₂",
    xlim=(-5, 5),
    ylim=(-2.5, 6),
)
axes.legend(loc="lower right")
figure.colorbar(image, label="density p(x)")
figure

# %% [markdown]
# *Figure: a blue band along a parabola, darkest at its bottom, with points scattered in it.*

# %% [markdown] tags=["slide"]
# ## · Plain Monte Carlo, and what it costs
#
# A grid of 100 points a latent has $100^{20}$ points for 20 latents. The integral is also an expectation, so we can sample:
#
# $$ p(x) = \mathbb E_{p(z)}[p(x \mid z)] \approx \hat p(x) = \frac1K \sum_{k=1}^K p(x \mid z_k), \qquad z_k \sim p(z). $$
#
# From here on we average in logarithms, since products of many densities underflow:
# $\log \hat p = \operatorname{logsumexp}_k \log p(x \mid z_k) - \log K$.
#
# To see the error we need the truth. Take a linear-Gaussian model with $d$ latents, $W = I$ and $\sigma = \frac12$: every
# coordinate of $x$ has a latent of its own.


# %%
# x: [batch, d] -> [batch] nats
def log_evidence_from_prior(model, x: Tensor, samples: int) -> Tensor:
    z = model.prior().sample((samples, len(x)))  # [samples, batch, latent]
    log_likelihood = model.likelihood(z).log_prob(x)  # [samples, batch]
    return log_likelihood.logsumexp(0) - log(samples)


def identity_model(latent: int) -> LinearGaussian:
    return LinearGaussian(torch.eye(latent), torch.zeros(latent), std=0.5)


# Errors of the estimate of log p(x), for n draws of x: [n] nats
def errors(latent: int, samples: int, n: int) -> Tensor:
    model = identity_model(latent)
    x = model.evidence().sample((n,))
    parts = x.split(max(1, 1_000_000 // (samples * latent)))
    estimate = torch.cat([log_evidence_from_prior(model, part, samples) for part in parts])
    return estimate - model.log_evidence(x)


# %% [markdown]
# *Predict first: with one latent, two draws typically give p(x) to a relative error of 1. How many are needed with 20
# latents?*
#
# <details><summary>Answer</summary>Hundreds of millions: the number grows exponentially with the latents. See the table
# below the figure.</details>

# %%
sizes = [1, 10, 100, 1000, 10_000, 100_000]
found = {
    latent: [errors(latent, k, n=20 if k > 10_000 else 200) for k in sizes]
    for latent in (1, 2, 5, 10, 20)
}
rms = {latent: [float(e.square().mean().sqrt()) for e in row] for latent, row in found.items()}
mean = {latent: [float(e.mean()) for e in row] for latent, row in found.items()}

# %%
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 5))
for latent, colour in zip(rms, figures.COLOURS, strict=False):
    left.loglog(sizes, rms[latent], "o-", color=colour, label=f"{latent}")
    right.semilogx(sizes, mean[latent], "o-", color=colour, label=f"{latent}")
left.set(
    title="With more latents, draws help less",
    xlabel="draws K",
    ylabel="root-mean-square error, nats",
)
right.set(
    title="The estimate of log p(x) errs downwards", xlabel="draws K", ylabel="mean error, nats"
)
right.legend(title="latents", loc="lower right")
figure

# %% [markdown]
# *Figure: left, the error of log p(x) against the number of draws, one line per number of latents: with one latent it falls
# roughly along a straight line, with twenty it falls slowly and is still several nats at 100,000 draws. Right: the mean
# errors, far below zero where draws are few for the latents, and rising towards it.*
#
# The prior's draws seldom fall where the likelihood is large: the posterior of each latent has a standard deviation of 0.45,
# the prior 1. Hitting that range in all of 20 latents at once is rare.

# %%
one, twenty = ([float(e.abs().median()) for e in found[latent]] for latent in (1, 20))
claim(
    "with one latent, a hundred times the draws divide the median error by about ten (between 6 and 16)",
    6 < one[2] / one[4] < 16, at_100=one[2], at_10000=one[4],
)  # fmt: skip
claim(
    "with twenty latents, 100,000 draws have a larger median error than ten draws with one latent",
    twenty[5] > one[1], twenty=twenty[5], one=one[1],
)  # fmt: skip

# %% [markdown]
# How does the cost grow? The estimate $\hat p$ has relative variance $\frac1K (r(x) - 1)$ with
# $r(x) = \mathbb E_{p(z)}[p(x|z)^2] / p(x)^2$, so that $K = r - 1$ draws give a relative error of 1. Here $r$ is a product
# over coordinates, known in closed form: $\mathbb E_{p(z)}[p(x_i|z_i)^2] = \mathcal N(x_i; 0, 1 + \frac{\sigma^2}2) /
# (2 \sigma \sqrt\pi)$.


# %%
def relative_second_moment(x: Tensor, std: float = 0.5) -> Tensor:  # r, one factor a coordinate
    squared = Normal(0.0, (1 + std**2 / 2) ** 0.5).log_prob(x).exp() / (2 * std * torch.pi**0.5)
    return squared / Normal(0.0, (1 + std**2) ** 0.5).log_prob(x).exp() ** 2


model = identity_model(1)
x, z = model.evidence().sample((1,)), model.prior().sample((1_000_000,))
ratio = (2 * (model.likelihood(z).log_prob(x) - model.log_evidence(x))).exp()
claim(
    "the closed form of r is the average over draws, within five standard errors",
    (ratio.mean() - relative_second_moment(x).squeeze()).abs() < 5 * ratio.std() / 1000,
    closed=relative_second_moment(x), sampled=ratio.mean(),
)  # fmt: skip

factors = relative_second_moment(1.25**0.5 * torch.randn(100_000))
growth = float(factors.log().mean().exp())  # the geometric mean over x
claim(
    "as a geometric mean over x, each further latent multiplies r by between 2.5 and 2.7",
    2.5 < growth < 2.7, growth=growth,
)  # fmt: skip

# %%
for latent in rms:
    print(
        f"{latent:2d} latents: typically {growth**latent - 1:13,.0f} draws for a relative error of 1"
    )

# %% [markdown] tags=["slide"]
# ### Why downwards?
#
# $\hat p$ itself is unbiased. Its logarithm is not: the logarithm is concave, so by **Jensen's inequality**
#
# $$ \mathbb E[\log \hat p(x)] \;\le\; \log \mathbb E[\hat p(x)] = \log p(x) . $$
#
# For large $K$, a second-order expansion gives the size: $\mathbb E[\log \hat p] - \log p \approx -\frac12
# \operatorname{Var}(\hat p)/p^2 = -(r - 1)/(2K)$. On average $\log p(x)$ is underestimated,
# however many draws each estimate takes.

# %%
model, x, k = identity_model(1), torch.tensor([[1.0]]), 100
same_x = x.expand(40_000, 1)
estimates = log_evidence_from_prior(model, same_x, k)  # 40,000 estimates of one log p(x)
truth = float(model.log_evidence(x))
bias, error = float(estimates.mean()) - truth, float(estimates.std()) / 200
relative = (estimates - truth).exp()  # p̂/p
claim(
    "the mean of p̂(x) is p(x), within five standard errors",
    (relative.mean() - 1).abs() < 5 * relative.std() / 200, relative=relative.mean(),
)  # fmt: skip
claim(
    "the mean of log p̂(x) is below log p(x), by more than five standard errors",
    bias < -5 * error, bias=bias, error=error,
)  # fmt: skip
predicted = -float(relative_second_moment(x).squeeze() - 1) / (2 * k)
claim(
    "and by what the expansion says, within a half",
    abs(bias / predicted - 1) < 1 / 2, bias=bias, predicted=predicted,
)  # fmt: skip

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
few = log_evidence_from_prior(model, x.expand(40_000, 1), 5) - truth
shared = {"bins": 200, "range": (-3, 1.5), "density": True, "alpha": 0.8}
axes.hist(few, color=figures.SKY, label="5 draws", **shared)
axes.hist(estimates - truth, color=figures.BLUE, label="100 draws", **shared)
middle = float(few.mean())
name = f"mean with 5 draws: {middle:.2f}"
axes.axvline(middle, color=figures.VERMILION, linestyle="--", label=name)
axes.set(title="Estimates of log p(x): a long tail below")
axes.set(xlabel="estimate − log p(x), nats", ylabel="density")
axes.legend(loc="upper left")
figure

# %% [markdown]
# *Figure: two histograms of errors, cut at −3. With 100 draws a narrow peak at zero; with 5 draws a wide one with a long tail to the
# left, its mean clearly below zero.*
#
# Now **exercise [[:log_evidence_monte_carlo]]**: the estimate with log-mean-exp.

# %% [markdown] tags=["slide"]
# ## · The posterior
#
# Which latents could have made this $x$? Bayes' rule answers:
#
# $$ p(z \mid x) = \frac{p(z)\, p(x \mid z)}{p(x)} . $$
#
# The numerator is easy. The denominator is the integral of section [[#p(x) is a sum]]: the **posterior** is as hard as the evidence. On a
# grid both are sums.


# %%
# x: [2], z: [points, 1] -> a density, [points]
def posterior_on_a_grid(model, x: Tensor, z: Tensor) -> Tensor:
    log_joint = model.prior().log_prob(z) + model.likelihood(z).log_prob(x)
    spacing = z[1, 0] - z[0, 0]
    return log_joint.softmax(0) / spacing


latents = torch.linspace(-8, 8, 1601)[:, None]  # the grid of this section and the next
x = linear.evidence().sample()
exact = linear.posterior(x).log_prob(latents).exp()
claim(
    "on the grid, the linear-Gaussian's posterior is its closed form",
    torch.allclose(posterior_on_a_grid(linear, x, latents), exact, atol=1e-8),
)  # fmt: skip

# %%
outside, inside = torch.tensor([2.6, 1.4]), torch.tensor([0.05, 1.6])
examples = {"An x on the branch": outside, "An x inside the bowl": inside}
figure, axes = figures.subplots(1, 2, figsize=(14, 4.6))
for axis, (name, x) in zip(axes, examples.items(), strict=True):
    posterior = posterior_on_a_grid(parabola, x, latents)
    likelihood = parabola.likelihood(latents).log_prob(x).exp()
    scaled = likelihood / likelihood.max()
    axis.fill_between(latents[:, 0], posterior, color=figures.SKY, label="posterior p(z|x)")
    prior = parabola.prior().log_prob(latents).exp()
    axis.plot(latents, prior, color="black", label="prior p(z)")
    axis.plot(latents, scaled, "--", color=figures.VERMILION, label="likelihood, scaled to 1")
    axis.set(title=f"{name}: ({x[0]:.2f}, {x[1]:.2f})", xlabel="z", ylabel="density")
    axis.set(xlim=(-3.5, 3.5), ylim=(0, 3.8))
axes[0].legend(loc="upper left")
figure

# %% [markdown]
# *Figure: two panels. For an x on the parabola's branch the posterior has one narrow peak near z = 1.6; for an x inside the
# bowl it has two, one on each side of zero. The likelihood, drawn dashed, peaks at nearly the same places.*


# %%
def peaks(density: Tensor) -> int:
    return int(((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])).sum())


modes = [peaks(posterior_on_a_grid(parabola, x, latents)) for x in (outside, inside)]
claim(
    "the posterior of this x on the branch has one mode, of this x inside the bowl two",
    modes == [1, 2], modes=modes,
)  # fmt: skip

# %% [markdown]
# With the posterior's density no Monte Carlo would be needed. Bayes' rule, turned round, says $p(x) = p(z)\, p(x|z) /
# p(z|x)$ for **every** $z$ with a positive posterior density: one $z$, drawn or chosen, is enough.

# %%
x = linear.evidence().sample((5,))
z_posterior = linear.posterior(x).sample((1000,))  # [draws, 5, 1]
weights = (
    linear.prior().log_prob(z_posterior)
    + linear.likelihood(z_posterior).log_prob(x)
    - linear.posterior(x).log_prob(z_posterior)
)
claim(
    "log p(z) + log p(x|z) − log p(z|x) is log p(x), for each of 5,000 draws",
    (weights - linear.log_evidence(x)).abs().max() < 1e-9,
)  # fmt: skip

# %% [markdown]
# That needs the posterior, which needs $p(x)$. Lecture [[variational_inference]] breaks the circle: take a $q(z)$ that is *near* the posterior.
#
# Now **exercise [[:posterior_on_grid]]**: Bayes' rule on a grid.

# %% [markdown] tags=["slide"]
# ## · Fisher's identity
#
# As a function of $\theta$, $p_\theta(x)$ is called the likelihood of the parameters; maximum likelihood means this one, not
# $p(x|z)$. To learn $\theta$ we climb $\log p_\theta(x)$. Its gradient is an expectation under the posterior:
#
# $$ \nabla_\theta \log p_\theta(x)
#   = \frac{1}{p_\theta(x)} \int \nabla_\theta\, p_\theta(x, z)\, dz
#   = \int \frac{p_\theta(x, z)}{p_\theta(x)}\, \nabla_\theta \log p_\theta(x, z)\, dz
#   = \mathbb E_{p_\theta(z|x)}[\nabla_\theta \log p_\theta(x, z)] . $$
#
# This is **Fisher's identity**. It says why the posterior is worth having: with it, the gradient needs the easy
# $\log p(x, z)$ only. We check it on the means of the mixture, where the expectation is a sum, and on $W$ of the
# linear-Gaussian, on a grid.

# %%
x = drawn["mixture"][0][:100]
means = mixture.means.clone().requires_grad_()
moving = NormalMixture(mixture.weights, means, mixture.covariances)
(direct,) = torch.autograd.grad(moving.log_evidence(x).sum(), means)  # through the sum over z
responsibility = mixture.posterior(x).probs  # p(z|x), [batch, 3], no gradient through it
log_likelihood = moving.likelihood(torch.arange(3)).log_prob(x[:, None])  # [batch, 3]
log_joint = mixture.weights.log() + log_likelihood
(by_fisher,) = torch.autograd.grad((responsibility * log_joint).sum(), means)
claim("Fisher's identity holds for the means of the mixture", torch.allclose(direct, by_fisher))

# %%
x = drawn["linear-Gaussian"][0][:100]
weight = linear.weight.clone().requires_grad_()
moving = LinearGaussian(weight, linear.bias, linear.std)
(direct,) = torch.autograd.grad(moving.log_evidence(x).sum(), weight)
z = latents[:, None]  # [points, 1, 1]
posterior = linear.posterior(x).log_prob(z).exp() * 0.01  # the grid's weights, [points, batch]
log_joint = moving.prior().log_prob(z) + moving.likelihood(z).log_prob(x)
(by_fisher,) = torch.autograd.grad((posterior * log_joint).sum(), weight)
claim(
    "Fisher's identity holds for W of the linear-Gaussian",
    torch.allclose(direct, by_fisher, atol=1e-6),
)  # fmt: skip

# %% [markdown]
# *Break it*: put the prior in place of the posterior, `responsibility = mixture.weights.expand(100, 3)`, and run the first
# of these cells.
#
# Now **exercise [[:evidence_gradient]]**: Fisher's identity by hand.

# %% [markdown] tags=["slide"]
# ## · Expectation maximisation
#
# If we can take expectations under the posterior, and maximise them over $\theta$, we need no step size. **EM** repeats two
# steps:
#
# - **E**: compute the posterior under the present parameters $\theta_t$;
# - **M**: set $\theta_{t+1}$ to a maximiser over $\theta$ of $\sum_x \mathbb E_{p_{\theta_t}(z|x)}[\log p_\theta(x, z)]$.
#
# The sum of $\log p_\theta(x)$ over the data never falls (lecture [[elbo]] shows why). By Fisher's identity the gradient of what M maximises is, at
# $\theta_t$, that of $\sum_x \log p_\theta(x)$: where EM stands still at a smooth interior point, the gradient is zero.
#
# For the linear-Gaussian model both steps are a few lines of linear algebra, and the maximum is known: Tipping & Bishop
# give it in terms of the eigenvalues and eigenvectors of the data's covariance. (In the code $b$ is set first, to the mean of
# the data, which is its maximum-likelihood value.)

# %%
import inspect

print(inspect.getsource(LinearGaussian.em_step))

# %%
from vae_course.data.toys import linear_gaussian
from vae_course.inference.expectation_maximization import expectation_maximization

generator = torch.Generator().manual_seed(run.seed)
data = linear_gaussian(500, observed=6, latent=2, generator=generator, std=0.7).x
maximum = float(LinearGaussian.maximum_likelihood(data, latent=2).log_evidence(data).mean())


def random_start() -> LinearGaussian:
    return LinearGaussian(torch.randn(6, 2), torch.randn(6), std=1.0)


climbs = [
    expectation_maximization(random_start(), data, steps=300).log_evidence for _ in range(5)
]
steps = torch.tensor(climbs).diff(dim=1)
claim("EM on the linear-Gaussian never falls", (steps > -1e-9).all(), least=steps.min())
ends = [climb[-1] for climb in climbs]
claim(
    "from five random starts it reaches the known maximum of the likelihood, to 0.001 nat",
    all(abs(end - maximum) < 1e-3 for end in ends), ends=ends, maximum=maximum,
)  # fmt: skip

# %% [markdown]
# A mixture is different. Its likelihood has many local maxima, and as a rule EM ends at one of them;
# which one depends on the start. Four clusters, four components, their first means at data points drawn at random (a start
# from which a component collapses is drawn again; the end of this section says why):

# %%
centres = torch.tensor([[-4.0, 1.0], [-1.0, -1.0], [2.0, 2.0], [3.0, -2.0]])
truth = NormalMixture(torch.full((4,), 0.25), centres, 0.25 * torch.eye(2).repeat(4, 1, 1))
data_4, _ = draw(truth, 600)


def start_at_data(data: Tensor) -> NormalMixture:
    means = data[torch.randperm(len(data))[:4]]
    return NormalMixture(torch.full((4,), 0.25), means, torch.eye(2).repeat(4, 1, 1))


def climb_from_data(data: Tensor):
    while True:
        try:
            return expectation_maximization(start_at_data(data), data, steps=300)
        except FloatingPointError:  # a component shrank onto too few points: start again
            pass


mixtures = [climb_from_data(data_4) for _ in range(20)]
curves = torch.tensor([m.log_evidence for m in mixtures])  # [starts, steps + 1]
best, worst = int(curves[:, -1].argmax()), int(curves[:, -1].argmin())

# %%
figure, (left, middle, right) = figures.subplots(1, 3, figsize=(16, 4.8))
for climb in climbs:
    left.semilogx(range(1, 302), climb, color=figures.BLUE)
left.axhline(maximum, color=figures.VERMILION, linestyle="--", label="known maximum")
left.set(title="Linear-Gaussian: one end", xlabel="step + 1", ylabel="mean log p(x), nats")
left.set_ylim(maximum - 2, maximum + 0.2)
left.legend(loc="lower right")
middle.semilogx(range(1, 302), curves.T, color=figures.BLUE, alpha=0.5)
middle.set(title="Mixture: several ends", xlabel="step + 1", ylabel="mean log p(x), nats")
right.scatter(*data_4.T, s=8, color="0.7")
for which, marker, name in ((best, "X", "best end"), (worst, "o", "worst end")):
    right.plot(*mixtures[which].model.means.T, marker, markersize=14, label=name)
right.set(title="Where the means end", xlabel="x₁", ylabel="x₂", ylim=(-4.2, 4.2))
right.legend(loc="upper left")
figure

# %% [markdown]
# *Figure: left, five curves that rise to one dashed line. Middle, twenty curves that end on several levels. Right, the data
# with the means of the best end, one in each cluster, and of the worst, of which two share a cluster while
# another lies between two clusters and has to cover both.*

# %%
claim(
    "EM on the mixture never falls, from twenty starts",
    (curves.diff(dim=1) > -1e-9).all(), least=curves.diff(dim=1).min(),
)  # fmt: skip
claim(
    "but its ends differ by more than 0.1 nat a point",
    curves[best, -1] > curves[worst, -1] + 0.1, best=curves[best, -1], worst=curves[worst, -1],
)  # fmt: skip
at_truth = float(truth.log_evidence(data_4).mean())
claim(
    "the best end fits these data better than the mixture that made them",
    curves[best, -1] > at_truth, best=curves[best, -1], truth=at_truth,
)  # fmt: skip

end = mixtures[best].model
means = end.means.clone().requires_grad_()
objective = NormalMixture(end.weights, means, end.covariances).log_evidence(data_4).mean()
(gradient,) = torch.autograd.grad(objective, means)
claim(
    "at the best end the gradient with respect to the means is zero, to 0.0001",
    gradient.abs().max() < 1e-4, gradient=gradient,
)  # fmt: skip

# %% [markdown]
# A few starts and the best of their ends is the usual practice. (With two or more components, each with a free covariance,
# the likelihood has no global maximum at all: it grows without bound as one component shrinks onto a single point.)
#
# EM needs expectations under the posterior and an M step that can be solved. A neural decoder in general gives neither: that
# is where lectures [[variational_inference]] to [[variational_autoencoder]] go.
#
# Now **exercise [[:em_step]]**: one step of EM.

# %% [markdown] tags=["slide"]
# ## · Why latent variables at all?
#
# Two other families give $\log p(x)$ **exactly**, without an integral.
#
# - An **autoregressive** model multiplies conditionals: $p(x) = \prod_i p(x_i \mid x_1, \dots, x_{i-1})$.
# - A **normalising flow** maps noise to $x$ by an invertible function: $x = f(\varepsilon)$, $\log p(x) = \log p(\varepsilon) -
#   \log |\det \partial f / \partial \varepsilon|$.
#
# One and the same normal density, written in all three ways:

# %%
model = LinearGaussian(torch.randn(4, 2), torch.randn(4), std=0.5)
x = model.evidence().sample((100,))
covariance = model.evidence().covariance_matrix
scale = torch.linalg.cholesky(covariance)  # lower triangular

off = x - model.bias
noise = torch.linalg.solve_triangular(
    scale, off.T, upper=False
).T  # the flow turned round: ε = L⁻¹ (x − b)
by_flow = Normal(0.0, 1.0).log_prob(noise).sum(1) - scale.diagonal().log().sum()

by_conditionals = torch.zeros(100)
for i in range(4):  # p(x_i | x_1, …, x_{i−1}) by conditioning the joint normal
    coefficients = torch.linalg.solve(covariance[:i, :i], covariance[:i, i])
    variance = covariance[i, i] - coefficients @ covariance[:i, i]
    by_conditionals += Normal(off[:, :i] @ coefficients, variance.sqrt()).log_prob(off[:, i])

z_mean = model.posterior(x).mean  # any z would do
by_latents = (
    model.prior().log_prob(z_mean)
    + model.likelihood(z_mean).log_prob(x)
    - model.posterior(x).log_prob(z_mean)
)

# %%
claim(
    "latent variables, a flow and a product of conditionals give the same log p(x)",
    torch.allclose(by_latents, by_flow) and torch.allclose(by_flow, by_conditionals),
)  # fmt: skip

# %% [markdown]
# They part ways once networks come in:
#
# | | autoregressive | flow | latent variables |
# |---|---|---|---|
# | $\log p(x)$ | exact | exact | bounded or estimated (lectures [[elbo]], [[likelihoods_and_evaluation]]) |
# | to draw one $x$ of $D$ numbers | $D$ network passes, one after another | one pass of $f$ ($D$ passes in a masked autoregressive flow) | one pass of the decoder |
# | what the network may be | any that sees earlier entries only | invertible, tractable determinant, as many latents as numbers in $x$ | any |
# | a short code for $x$ | none by itself | as long as $x$ | yes: $z$, of any size |
# | discrete data | natural | needs dequantisation or a special construction | natural |
# | log-likelihood of images in print | high | high | a small VAE lags behind; deep hierarchies are among the best (Child, arXiv:2011.10650) |
#
# Latent variables buy fast draws and a short code, and pay with an integral. Lectures [[variational_inference]] to [[likelihoods_and_evaluation]] are about paying less.
#
# ## To remember
#
# - A latent variable model is a prior and a likelihood; $p(x)$ is their integral over $z$.
# - Monte Carlo from the prior is unbiased for $p(x)$; for $\log p(x)$ it errs downwards on average, and its cost grows
#   exponentially with the latents where $x$ tells a fixed amount about each.
# - The posterior and the evidence are one problem: each gives the other.
# - $\nabla_\theta \log p_\theta(x)$ is the posterior's average of $\nabla_\theta \log p_\theta(x, z)$.
# - EM never descends; it reached the maximum here for the linear-Gaussian. For mixtures it ends, as a rule, at a local
#   maximum that depends on the start.
#
# ## Sources
#
# - Tipping & Bishop, *Probabilistic principal component analysis*, J. R. Statist. Soc. B 61 (1999).
# - Dempster, Laird & Rubin, *Maximum likelihood from incomplete data via the EM algorithm*, J. R. Statist. Soc. B 39
#   (1977); in its discussion B. Efron credits the identity of section [[#Fisher]] to Fisher.
# - Rubin & Thayer, *EM algorithms for ML factor analysis*, Psychometrika 47 (1982).
# - Bishop, *Pattern Recognition and Machine Learning* (2006), chapters 9 and 12.
