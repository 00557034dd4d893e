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
# Training raises a bound, not log p(x). What does that do to the model, and what does it cost to come nearer?
#
# **After this lecture you can**
# - say when the bound moves the model away from maximum likelihood;
# - tighten it with importance weights, and derive their variance;
# - predict how fast the gap closes, and name the condition;
# - say what more draws do to the gradient, and mend it.
#
# **You need** [[needs]]. **Time**: [[time]], network off. Everything runs on the processor, in double precision.

# %% tags=["skip"]
from math import log

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vae_course.distributions.families import diagonal_normal
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · The bound moves the model
#
# Training raises the bound in $\theta$ too, not $\log p_\theta(x)$. Their difference is the gap (lecture [[elbo]]):
#
# $$ \mathcal L(q, \theta; x) = \log p_\theta(x) - D_{KL}(q \,\|\, p_\theta(z|x)) . $$
#
# Let $\hat\theta$ have the highest mean log-likelihood and $\tilde\theta$ the highest mean bound, $q$ at its best for each. Then
# $\log p_{\hat\theta} \ge \log p_{\tilde\theta}$ and $\mathcal L(\tilde\theta) \ge \mathcal L(\hat\theta)$ in the mean. Subtract: **the
# mean gap at $\tilde\theta$ is not larger than at $\hat\theta$.** If the gap depends on $\theta$, the bound's maximum is drawn to
# parameters whose posterior is *easier* for the family of $q$.

# %% [markdown] tags=["slide"]
# Take a linear-Gaussian model with $W = s\,W_0$: the directions $W_0$ fixed and nearly parallel, one scale $s$ to be learned.
# Its two latents are correlated under the posterior, the more so the larger $s$; $q$ is factorised, the best there is for each $x$
# (lecture [[variational_inference]]). The data come from $s = 1$.
#
# *Predict: is the learned $s$ too small or too large?*
#
# <details><summary>Answer</summary>Too small. A smaller s has a less correlated posterior, so a smaller gap.</details>
#
# $\log p(x)$ and this bound are quadratic in $x$. Six points with exactly the model's mean and covariance therefore give the means
# that infinitely many data would give.

# %% tags=["fragment"]
from vae_course.inference.variational import mean_field_of_normal


def stand_in(model: LinearGaussian) -> Tensor:  # [2 observed, observed]
    scale = torch.linalg.cholesky(model.evidence().covariance_matrix)
    return len(scale) ** 0.5 * torch.cat([scale.T, -scale.T])  # the model's mean is 0


nearly_parallel = torch.tensor([[1.0, 0.8], [0.8, 1.0], [0.6, 0.7]])
truth = LinearGaussian(nearly_parallel, torch.zeros(3), std=0.5)  # s = 1
data = stand_in(truth)

# %%
scales = torch.linspace(0.3, 1.5, 121)


def evidence_and_bound(directions: Tensor, s: Tensor, x: Tensor) -> tuple[float, float]:
    model = LinearGaussian(s * directions, torch.zeros(3), std=0.5)
    q = mean_field_of_normal(model.posterior(x))  # the best factorised q for every x
    return float(model.log_evidence(x).mean()), float(model.elbo(x, q).mean())


evidence, bound = torch.tensor([evidence_and_bound(nearly_parallel, s, data) for s in scales]).T
s_likelihood, s_bound = scales[evidence.argmax()], scales[bound.argmax()]
gap = evidence - bound
print(f"scale of the highest log p(x) {s_likelihood:.2f}, of the highest bound {s_bound:.2f}")
print(f"gap there: {gap[evidence.argmax()]:.3f} and {gap[bound.argmax()]:.3f} nats")

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 5))
axes.fill_between(scales, bound, evidence, color=figures.VERMILION, alpha=0.25, label="gap")
axes.plot(scales, evidence, color="black", label="log p(x)")
axes.plot(scales, bound, color=figures.BLUE, label="ELBO, best factorised q")
for s, values, name in ((s_likelihood, evidence, "maxima"), (s_bound, bound, None)):
    axes.plot(s, values.max(), "X", markersize=14, color=figures.VERMILION, label=name)
axes.set(title="The bound's maximum lies where the posterior is easier")
axes.set(xlabel="scale s", ylabel="mean over x, nats")
axes.set_ylim(float(evidence.max()) - 1.5, float(evidence.max()) + 0.1)
axes.legend(loc="lower center", ncols=2)
figure

# %% [markdown]
# *Figure: two curves over the scale with a widening gap between them; crosses mark their maxima, that of log p(x) at 1, the
# bound's to the left of it.*

# %%
claim(
    "the likelihood's maximum is the scale that made the data, to a step of the scan",
    abs(s_likelihood - 1) < 0.005, scale=s_likelihood,
)  # fmt: skip
claim(
    "the bound's maximum is smaller by a quarter, to a hundredth",
    abs(s_likelihood - s_bound - 0.25) < 0.011, bound=s_bound, likelihood=s_likelihood,
)  # fmt: skip
precision = truth.posterior(data[:1]).precision_matrix[0]
formula = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
gaps = truth.log_evidence(data) - truth.elbo(data, mean_field_of_normal(truth.posterior(data)))
claim(
    "for s = 1 the gap is ½ (Σ log Λ_ii − log |Λ|), the same for every x",
    torch.allclose(gaps, formula.expand(len(data))), gaps=gaps, formula=formula,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# **Control.** The same with two directions at a right angle, of the same lengths, and data from *that* model with $s = 1$. Its
# latents are independent under the posterior, at every scale.

# %% tags=["fragment"]
first, second = nearly_parallel.T
across = (
    second - (second @ first) / (first @ first) * first
)  # the part of the second across the first
right_angle = torch.stack([first, across / across.norm() * second.norm()], 1)
apart = stand_in(LinearGaussian(right_angle, torch.zeros(3), std=0.5))
straight, straight_bound = torch.tensor(
    [evidence_and_bound(right_angle, s, apart) for s in scales]
).T
print(
    f"largest gap {(straight - straight_bound).max():.1e}, best scale {scales[straight_bound.argmax()]:.2f}"
)

# %%
claim(
    "with directions at a right angle there is no gap at any scale, and the bound's maximum is 1",
    torch.allclose(straight, straight_bound) and abs(scales[straight_bound.argmax()] - 1) < 0.005,
    largest=(straight - straight_bound).max(), scale=scales[straight_bound.argmax()],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### When there is no bias
#
# Now let $W$ be free. The $p(x)$ of probabilistic PCA is unchanged when $W$ is rotated, $W \to W R$, and among the rotations is
# one whose columns are orthogonal: there the posterior is factorised for every $x$, its mean is linear in $x - b$, and the gap
# is zero. The bound is nowhere above the likelihood and touches it there, so both have the same maximum.
#
# We train all of it by gradients, $W$, $b$, $\sigma$ and a linear encoder with a diagonal $q$, on data from another $W$, whose columns lie farther apart,
# with $\sigma = 0.7$; $\sigma$ starts at 1. The bound is known in closed form: nothing is drawn.


# %% tags=["slide"]
class Trained(nn.Module):  # a linear VAE: everything normal, everything linear
    def __init__(self, observed: int, latent: int):
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(observed, latent))
        self.bias = nn.Parameter(torch.zeros(observed))
        self.log_std = nn.Parameter(torch.zeros(()))
        self.encoder = nn.Linear(observed, latent)
        self.log_std_q = nn.Parameter(torch.zeros(latent))

    def model(self) -> LinearGaussian:
        return LinearGaussian(self.weight, self.bias, self.log_std.exp())

    def posterior(self, x: Tensor):
        return diagonal_normal(self.encoder(x), self.log_std_q.exp())

    def elbo(self, x: Tensor) -> Tensor:  # [batch] nats
        return self.model().elbo(x, self.posterior(x))


# %%
from vae_course.training.loop import adam_player, fit

wide_apart = torch.tensor([[1.5, 0.9], [0.8, 1.5], [0.6, -0.3]])
x = stand_in(LinearGaussian(wide_apart, torch.zeros(3), std=0.7))
trained = Trained(observed=3, latent=2)
player = adam_player(lambda x: -trained.elbo(x), trained, rate=0.03)
history = fit([player], [(x,)], epochs=run.epochs(laptop=800))


def most(latent: int) -> float:  # the maximum of the mean log p(x) with so many latents
    return float(LinearGaussian.maximum_likelihood(x, latent).log_evidence(x).mean())


# %%
with torch.no_grad():
    reached = float(trained.model().log_evidence(x).mean())
    bound_reached = float(trained.elbo(x).mean())
    columns = nn.functional.normalize(trained.weight, dim=0)
    cosine, noise = float(columns[:, 0] @ columns[:, 1]), float(trained.log_std.exp())
print(f"maximum of log p(x): {most(latent=2):.4f}, with one latent {most(latent=1):.4f}")
print(
    f"reached {reached:.4f}, ELBO {bound_reached:.4f}, cosine of the columns {cosine:.4f}, σ {noise:.4f}"
)

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.4))
axes.semilogx([-value for value in history["loss"]], color=figures.BLUE, label="ELBO")
axes.axhline(most(2), linestyle="--", color="black", label="highest log p(x)")
axes.axhline(most(1), linestyle=":", color="black", label="the same with one latent")
axes.set(title="With W free the bound climbs to the likelihood's maximum")
axes.set(
    xlabel="step",
    ylabel="mean over x, nats",
    xlim=(30, None),
    ylim=(most(1) - 1.5, most(2) + 0.3),
)
axes.legend(loc="lower right")
figure

# %% [markdown]
# *Figure: the bound over the training steps, on a logarithmic axis, passes the dotted line, the most that one latent can reach,
# and ends at the dashed line, the maximum for two.*

# %%
claim(
    "with W free, maximising the bound reaches the maximum of the likelihood, to 0.001 nat",
    abs(reached - most(latent=2)) < 1e-3, reached=reached, maximum=most(latent=2),
)  # fmt: skip
claim(
    "the gap has closed, to 0.001 nat",
    abs(reached - bound_reached) < 1e-3, gap=reached - bound_reached,
)  # fmt: skip
claim("σ is that of the data, to a hundredth", abs(noise - 0.7) < 0.01, noise=noise)
claim(
    "the columns of W are orthogonal: their cosine is below 0.02",
    abs(cosine) < 0.02,
    cosine=cosine,
)

# %% [markdown] tags=["slide"]
# The likelihood cannot tell the rotations apart; the bound chose one with no gap (Lucas et al.). Whether there is a bias is a
# matter of the model **and** of the family of $q$: there is none here, because one of the likelihood's maxima has its
# posterior within the family.

# %% [markdown] tags=["slide"]
# ## · Tighter bounds
#
# Average $k$ weights $w_i = p(x, z_i) / q(z_i)$ before taking the logarithm (Burda et al.):
#
# $$ \mathcal L_k = \mathbb E\Bigl[\log \frac1k \sum_{i=1}^k w_i\Bigr], \qquad z_1, \dots, z_k \sim q \text{ independently}, $$
#
# $$ \mathcal L = \mathcal L_1 \le \mathcal L_2 \le \dots \le \log p(x) . $$
#
# The last inequality is Jensen's, with the mean weight in place of the weight. For the others: the mean of $k + 1$ weights
# is the mean of its $k + 1$ leave-one-out means, each a mean of $k$ weights; by Jensen its logarithm is at least the
# mean of theirs, whose expectation is $\mathcal L_k$.

# %% [markdown] tags=["slide"]
# ### How fast does the gap close?
#
# With $\delta$ the relative error of the mean weight, $\log(1 + \delta) \approx \delta - \tfrac12 \delta^2$, and $\mathbb E\,\delta
# = 0$, $\mathbb E\,\delta^2 = \operatorname{Var}(w) / (k\, p(x)^2)$. So one expects
#
# $$ \log p(x) - \mathcal L_k \approx \frac{1}{2k} \frac{\operatorname{Var}(w)}{p(x)^2} . $$

# %% [markdown] tags=["slide"]
# ### The variance of the weights
#
# $w / p(x) = p(z|x) / q(z)$ has mean 1, so
#
# $$ \frac{\operatorname{Var}(w)}{p(x)^2} = \int q(z) \Bigl(\frac{p(z|x)}{q(z)}\Bigr)^2 dz - 1 = \int \frac{p(z|x)^2}{q(z)}\, dz - 1 . $$
#
# Let both be normal with mean 0 and precision matrices $\Lambda$ (posterior) and $\Lambda_q$. The square doubles the exponent, the
# division subtracts one:
#
# $$ \frac{p(z|x)^2}{q(z)} = \frac{|\Lambda|}{(2\pi)^{d/2} |\Lambda_q|^{1/2}} \exp\bigl(-\tfrac12 z^\top (2\Lambda - \Lambda_q) z\bigr) . $$
#
# The integral is finite if and only if $2\Lambda - \Lambda_q$ is positive definite, and then it is $|\Lambda|\, |\Lambda_q|^{-1/2}\,
# |2\Lambda - \Lambda_q|^{-1/2}$. In every direction the precision of $q$ must be less than twice the posterior's.

# %% tags=["slide"]
posterior = truth.posterior(data[:1])  # its precision is the same for every x
narrow = mean_field_of_normal(posterior)  # the q of the best ELBO
wide = diagonal_normal(posterior.mean, 1.2 * posterior.stddev)  # wider than the marginals


def excess(q) -> Tensor:  # 2 Λ − Λ_q
    return 2 * precision - torch.diag(q.variance[0] ** -1)


def relative_variance(q) -> Tensor:  # Var(w) / p(x)², or infinity
    if torch.linalg.eigvalsh(excess(q))[0] <= 0:
        return torch.tensor(torch.inf)
    return precision.det() * (q.variance.prod() / excess(q).det()) ** 0.5 - 1


for name, q in (("wide", wide), ("best factorised", narrow)):
    ends = ", ".join(f"{value:.2f}" for value in torch.linalg.eigvalsh(excess(q)))
    kl = float(kl_divergence(q, posterior))
    print(f"{name} q: KL {kl:.3f}, eigenvalues {ends}, variance {relative_variance(q):.3f}")


# %%
from vae_course.exact.grids import latent_grid

squares = latent_grid(2, limit=6.0, steps=601)
around = squares.points + posterior.mean
log_square = 2 * posterior.log_prob(around) - wide.log_prob(around)
by_grid = float((log_square.logsumexp(0) + squares.log_cell).exp()) - 1
claim(
    "for the wide q the formula is the integral on a grid, to a millionth",
    abs(by_grid / float(relative_variance(wide)) - 1) < 1e-6, grid=by_grid, formula=relative_variance(wide),
)  # fmt: skip

# %% [markdown]
# For the best factorised $q$, whose ELBO is much better, one eigenvalue is negative. We look along its eigenvector.

# %% tags=["slide"]
values, vectors = torch.linalg.eigh(excess(narrow))
line = torch.linspace(-3, 3, 301)
along = posterior.mean + line[:, None] * vectors[:, 0]
log_p = posterior.log_prob(along)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.8))
rising, falling = (2 * log_p - q.log_prob(along) for q in (narrow, wide))
axes.plot(line, rising, "--", color=figures.VERMILION, label="p(z|x)² / q, best factorised q")
axes.plot(line, falling, color=figures.BLUE, label="p(z|x)² / q, wide q")
axes.plot(line, log_p, ":", color="black", label="p(z|x)")
axes.set(title="Over the best factorised q, p² / q grows without end")
axes.set(xlabel="distance from the posterior mean", ylabel="logarithm", ylim=(-8, 10))
axes.legend(loc="upper center", fontsize=12)
figure

# %% [markdown]
# *Figure: along the eigenvector, the logarithms of three functions. The posterior falls on both sides, and so does its square
# over the wide q; its square over the best factorised q rises on both sides and leaves the frame.*

# %%
curvature = rising.diff().diff() / float(line[1] - line[0]) ** 2
claim(
    "for the best factorised q the logarithm of p² / q curves up there, by minus the negative eigenvalue: its variance is infinite",
    values[0] < -1 and torch.allclose(curvature, -values[0], rtol=1e-4) and relative_variance(narrow).isinf(),
    curvature=curvature[0], eigenvalue=values[0],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### The condition
#
# A finite variance is **not** enough for $\log p(x) - \mathcal L_k \approx \operatorname{Var}(w) / (2 k\, p(x)^2)$. Domke & Sheldon
# prove it, in the limit of large $k$, if $\mathbb E|w - p(x)|^{2 + \alpha}$ is finite for some $\alpha > 0$, **and** if
# the mean weight is not too often near 0: $\mathbb E\bigl[(\tfrac1k \sum_i w_i)^{-1}\bigr]$ stays bounded as $k$ grows.
#
# For a normal posterior and the wide $q$ both hold. The weights of some directions are unbounded, as $\Lambda - \Lambda_q$ has a negative eigenvalue. But $2\Lambda - \Lambda_q$ is positive
# definite, and so is $(2 + \alpha)\Lambda - (1 + \alpha)\Lambda_q$ for a small $\alpha > 0$: that moment is finite; and $-\log w$ is at most quadratic in $z$, so that $P(-\log w > t)$ falls like $e^{-ct}$, and that of the *least* of $k$ like
# $e^{-ckt}$.
#
# A counterexample: $z$ uniform on $(0, 1)$ and $\log w(z) = 1 - e^{1/z - 1}$. The weights lie between 0 and 1; all their moments are
# finite. But $P(-\log w > t) = 1 / (1 + \log(1 + t))$, so slow a tail that the least of $k$ draws has an infinite mean, whatever
# $k$ is. The mean weight is at most the largest weight, so $\mathcal L_k \le -\mathbb E\bigl[\min_i(-\log w_i)\bigr] = -\infty$.


# %% tags=["slide"]
# log ∫ P(−log w > t)^k dt over t, with u = log(1 + t) < upto
def least(k: int, upto: float) -> float:
    u = torch.linspace(0, upto, 100_001)
    return float((u - k * (1 + u).log()).logsumexp(0)) + log(upto / 100_000)


def weight(z: Tensor) -> Tensor:
    return (1 - (1 / z - 1).exp()).exp()


every = weight((torch.arange(1_000_000) + 0.5) / 1_000_000)  # z equally spaced
p = float(every.mean())
promised = float(every.var()) / (2 * 100 * p**2)
ratio = weight(torch.rand(100, 50_000)).mean(0) / p  # 50,000 mean weights of 100
seen = float(-(ratio.log() - (ratio - 1)).mean())
print(f"k = 100: Var(w) / (2k p²) = {promised:.5f}; average of 50,000 estimates {seen:.5f}")
print("logarithm of E[min −log w], cut off at log t = 100, 400, 700:")
for k in (1, 10, 100):
    print(f"k = {k:3d}: " + ", ".join(f"{least(k, upto):.0f}" for upto in (100, 400, 700)))

# %%
claim(
    "in 50,000 estimates with k = 100 the gap seems to be the promised one, within a twentieth",
    abs(seen / promised - 1) < 0.05, seen=seen, promised=promised,
)  # fmt: skip
claim(
    "yet for k = 1, 10 and 100 its part with log t < 700 is more than e^20 nats, and grows with the cut",
    all(least(k, 700) > 20 and least(k, 700) > least(k, 650) + 20 for k in (1, 10, 100)), parts=[least(k, 700) for k in (1, 10, 100)],
)  # fmt: skip

# %% [markdown] tags=["notes"]
# Ask how many draws it would take. With k = 10, all ten have −log w > e^40 with probability 41^−10; such an outcome adds at least e^40
# nats, and e^40 · 41^−10 is more than 17.

# %% [markdown] tags=["slide"]
# For $k = 1$ a few thousand draws show it; for $k = 10$ or more no experiment does: it comes from draws so rare that none will ever
# be made. A condition is proved, not seen.
#
# ### The race
#
# For the two $q$ we measure $\log p(x) - \mathcal L_k$. With $u = z - \mathbb E[z|x]$, $\log w - \log p(x) = \log p(z|x) - \log q(z)$ is
# one quadratic form. For the wide $q$ we subtract $\frac1k \sum_i w_i / p(x) - 1$ from each estimate: its mean is exactly 0, so it
# changes nothing but the noise. That is a **control variate**, possible here because $p(x)$ is known.


# %% tags=["slide"]
# log w − log p(x) at z = mean + σ_q noise: [..., 2] -> [...]
def log_ratio(q, noise: Tensor) -> Tensor:
    u, of_q = q.stddev[0] * noise, torch.diag(q.variance[0] ** -1)
    quadratic = ((u @ (precision - of_q)) * u).sum(-1)
    return 0.5 * (precision.logdet() - of_q.logdet()) - 0.5 * quadratic


def gap_of(q, k: int, draws: int, control: bool) -> float:  # log p(x) − 𝓛_k in nats
    ratios = []  # of the mean weight to p(x), in logarithms
    for _ in range(max(1, draws // 500_000)):
        noise = torch.randn(k, min(draws, 500_000) // k, 2)
        ratios.append(log_ratio(q, noise).logsumexp(0) - log(k))
    ratio = torch.cat(ratios)
    return float(-(ratio - ratio.expm1()).mean() if control else -ratio.mean())


# %%
draws = {1: 2e5, 3: 2e5, 10: 5e5, 30: 5e5, 100: 2e6, 300: 2e6, 1000: 2e6}
sizes = list(draws)
one = [gap_of(wide, k, int(n), control=True) for k, n in draws.items()]
another = [gap_of(narrow, k, int(n), control=False) for k, n in draws.items()]
predicted = [float(relative_variance(wide)) / (2 * k) for k in sizes]
for name, values in (("wide", one), ("best factorised", another), ("predicted", predicted)):
    print(f"{name:16s}" + " ".join(f"{value:8.4f}" for value in values))

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 5.2))
axes.loglog(sizes, one, "o-", color=figures.BLUE, label="wide q")
axes.loglog(sizes, another, "s-", color=figures.VERMILION, label="best factorised q")
axes.loglog(sizes, predicted, "--", color="black", label="Var(w) / (2k p(x)²), wide q")
axes.set(title="The better ELBO is overtaken")
axes.set(xlabel="samples k", ylabel="log p(x) − bound, nats")
axes.legend(loc="lower left")
figure

# %% [markdown]
# *Figure: two falling curves on logarithmic axes. The wide q starts higher, falls more steeply than the dashed prediction
# until it joins it, and then along it; the best factorised q starts lower, falls much more slowly, and is overtaken.*

# %%
exact = [float(kl_divergence(q, posterior)) for q in (wide, narrow)]
claim(
    "with k = 1 both gaps are the exact KL(q || p(z|x)), within a fiftieth",
    abs(one[0] / exact[0] - 1) < 0.02 and abs(another[0] / exact[1] - 1) < 0.02, measured=(one[0], another[0]), exact=exact,
)  # fmt: skip
claim(
    "with k = 100 the wide q's gap is the predicted one, within a fifteenth",
    abs(one[4] / predicted[4] - 1) < 1 / 15, gap=one[4], predicted=predicted[4],
)  # fmt: skip
claim(
    "from k = 10 to 1000 it shrinks about a hundred-fold: between 95 and 150",
    95 < one[2] / one[6] < 150, at_10=one[2], at_1000=one[6],
)  # fmt: skip
claim(
    "the best factorised q's shrinks two- to four-fold",
    2 < another[2] / another[6] < 4, at_10=another[2], at_1000=another[6],
)  # fmt: skip
claim(
    "the q with the better ELBO has the worse bound at k = 10, 100 and 1000",
    another[0] < one[0] and all(another[i] > one[i] for i in (2, 4, 6)), wide=one, narrow=another,
)  # fmt: skip

# %% [markdown]
# Now **exercises [[:effective_draws]], [[:iwae_bound]] and [[:predicted_gap]]**, and the derivation with another mean,
# **[[:relative_variance]]**.

# %% [markdown] tags=["slide"]
# ### Two look-alikes
#
# For $k > 1$ neither is, in expectation, always a lower bound on $\log p(x)$. With $\tilde w_i = w_i / \sum_j w_j$:
#
# - the self-normalised average $\sum_i \tilde w_i \log w_i$. For large $k$ it tends to the mean of $\log w$ under the
#   *posterior*, $\log p(x) + D_{KL}(p(z|x) \,\|\, q)$: above;
# - $\log \frac1k \sum_i p(x|z_i) - D_{KL}(q \,\|\, p(z))$, with the closed-form KL outside the average. It tends to $\log
#   \mathbb E_q[p(x|z)] - D_{KL}(q \,\|\, p(z))$. For $q$ the posterior that is above $\log p(x)$, by Jensen: $\log p(x)$ is
#   then the same with the logarithm inside.

# %% tags=["fragment"]
log_w = log_ratio(wide, torch.randn(1000, 1000, 2))  # log w − log p(x): [k, estimates]
normalised = float((log_w.softmax(0) * log_w).sum(0).mean())
z = posterior.sample((1000, 1000))[:, :, 0]
inside = truth.likelihood(z).log_prob(data[:1]).logsumexp(0) - log(1000)
outside = float(
    (inside - kl_divergence(posterior, truth.prior()) - truth.log_evidence(data[:1])).mean()
)
limit = float(kl_divergence(posterior, wide))
print(
    f"above log p(x): self-normalised {normalised:.4f} (limit {limit:.4f}), KL outside {outside:.4f}"
)

# %%
claim(
    "with k = 1000 the self-normalised average is above log p(x) by KL(p(z|x) || q), within a fiftieth",
    abs(normalised / limit - 1) < 0.02, above=normalised, limit=limit,
)  # fmt: skip
spread = truth.weight @ posterior.covariance_matrix[0] @ truth.weight.T + 0.25 * torch.eye(3)
predictive = torch.distributions.MultivariateNormal(posterior.mean @ truth.weight.T, spread)
tends_to = (
    predictive.log_prob(data[:1])
    - kl_divergence(posterior, truth.prior())
    - truth.log_evidence(data[:1])
)
claim(
    "that with the KL outside is above it by what the closed form says, within a fiftieth",
    float(tends_to) > 0.1 and abs(outside / float(tends_to) - 1) < 0.02, above=outside, closed_form=tends_to,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · What more draws do to the gradient
#
# To train on $\mathcal L_k$ one needs its gradient, in the parameters $\theta$ of the model and $\varphi$ of $q$. A **pathwise**
# gradient writes the draw as a function of $\varphi$ and of noise that has no parameters, $z = \mu + \sigma_\varphi \varepsilon$ with
# $\varepsilon \sim \mathcal N(0, I)$, and differentiates through it. (Lecture [[reparameterization]] is about it; here it is
# enough that $z$ moves with $\varphi$ while $\varepsilon$ is held.)
#
# $\log w$ depends on $\varphi$ in two ways, through $z$ and through $\log q_\varphi$:
#
# $$ \nabla_\varphi \log \frac1k \sum_i w_i = \sum_i \tilde w_i \Bigl( \frac{\partial \log w_i}{\partial z_i} \frac{\partial z_i}{\partial \varphi}
#    - \nabla_\varphi \log q_\varphi(z_i) \big|_{z_i \text{ held}} \Bigr) . $$

# %% [markdown] tags=["slide"]
# The second term is what hurts: it stays noisy where the first is small. Its mean can be written without it. For any smooth
# $f$, the mean of $f(z) \nabla_\varphi \log q_\varphi(z)$ is $\nabla_\varphi \mathbb E_q[f]$ with $f$ held, which by the path is the mean of
# $\frac{\partial f}{\partial z} \frac{\partial z}{\partial \varphi}$. Take $f = \tilde w_i$ as a function of $z_i$, the other draws held:
#
# $$ \frac{\partial \tilde w_i}{\partial z_i} = \tilde w_i (1 - \tilde w_i) \frac{\partial \log w_i}{\partial z_i}, \qquad\text{so}\qquad
#    \nabla_\varphi \mathcal L_k = \mathbb E\Bigl[ \sum_i \tilde w_i^2\, \frac{\partial \log w_i}{\partial z_i} \frac{\partial z_i}{\partial \varphi} \Bigr] . $$
#
# $\tilde w - \tilde w (1 - \tilde w) = \tilde w^2$: this is the **doubly reparameterized gradient** (Tucker et al.).

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 4.2))
texts = [r"$\varphi$", r"$\varepsilon$", r"$z = \mu + \sigma_\varphi\, \varepsilon$"]
texts += [r"$\log q_\varphi(z)$", r"$\log p(x, z)$", r"$\log w$"]
places = [(0, 1), (0, 0), (1.3, 0.5), (2.7, 1), (2.7, 0), (4, 0.5)]
box = {"boxstyle": "round,pad=0.45", "facecolor": "white"}
for text, place in zip(texts, places, strict=True):
    axes.text(*place, text, ha="center", va="center", fontsize=18, bbox=box, zorder=3)
for a, b in [(0, 2), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5), (0, 3)]:
    look = {"arrowstyle": "-|>", "mutation_scale": 22, "shrinkA": 30, "shrinkB": 40}
    red = {"color": figures.VERMILION, "linestyle": "--"} if (a, b) == (0, 3) else {}
    axes.annotate("", places[b], places[a], arrowprops=look | {"linewidth": 2.5} | red)
axes.text(1.35, 1.09, "cut: w̃ becomes w̃²", ha="center", fontsize=15, color=figures.VERMILION)
axes.set_title(
    "φ reaches log w on two ways; the noisy one is replaced by a term of the same mean"
)
axes.set(xlim=(-0.4, 4.5), ylim=(-0.3, 1.35))
axes.axis("off")
figure

# %% [markdown]
# *Figure: boxes and arrows from left to right. φ and the noise ε lead to z, z to log p(x, z) and log q(z), both to log w. A
# second, dashed way leads from φ to log q directly; beside it stands: cut, w̃ becomes w̃².*

# %% [markdown] tags=["slide"]
# Two numbers to learn: $\varphi$, the logarithm of a common factor on the widths of $q$, and $\theta$, that of one on $W$ (the
# logarithm of the scale $s$). The wide $q$ has nearly the factor of the smallest variance, so that there is little to learn; we
# take a wider one. Every estimate has its own copy of $\varphi$ and $\theta$: thousands are differentiated at once.

# %% tags=["fragment"]
wider = diagonal_normal(posterior.mean, 1.5 * posterior.stddev)
centre = wider.mean[0]


def log_w(theta: Tensor, z: Tensor, width: Tensor) -> Tensor:  # [k, n], up to a constant
    error = data[0] - theta.exp()[:, None] * (z @ truth.weight.T)
    log_joint = -error.square().sum(-1) / (2 * truth.std**2) - 0.5 * z.square().sum(-1)
    return log_joint + 0.5 * ((z - centre) / width).square().sum(-1) + width.log().sum(-1)


# %% tags=["slide"]
def estimates(k: int, n: int) -> dict[str, Tensor]:  # n single estimates of each gradient
    phi, theta = (torch.zeros(n, requires_grad=True) for _ in range(2))
    width = phi.exp()[:, None] * wider.stddev[0]
    z = centre + width * torch.randn(k, n, 2)
    full = log_w(theta, z, width)
    plain, of_model = torch.autograd.grad(
        full.logsumexp(0).sum(), (phi, theta), retain_graph=True
    )
    share = full.detach().softmax(0)  # w̃
    path = log_w(theta, z, width.detach())  # φ acts through z alone
    (double,) = torch.autograd.grad((share**2 * path).sum(), phi)
    return {"φ plain": plain, "φ doubly reparameterized": double, "θ": of_model}


# %%
ks = [1, 4, 16, 64, 256]
drawn = {}
for k in ks:
    runs = [estimates(k, 4000) for _ in range(max(2, 32 // k))]
    drawn[k] = {name: torch.cat([one[name] for one in runs]) for name in runs[0]}
mean = {name: torch.stack([drawn[k][name].mean() for k in ks]) for name in drawn[1]}
deviation = {name: torch.stack([drawn[k][name].std() for k in ks]) for name in drawn[1]}

# %% [markdown] tags=["slide"]
# Three exact answers to hold them against:
#
# - $k = 1$: $\nabla_\varphi \mathcal L = -\nabla_\varphi D_{KL}(q_\varphi \,\|\, p(z|x))$, in closed form;
# - large $k$: $\nabla_\varphi \mathcal L_k \approx -\frac{1}{2k} \nabla_\varphi \frac{\operatorname{Var}(w)}{p(x)^2}$, from the formula above;
# - large $k$: $\nabla_\theta \mathcal L_k \to \nabla_\theta \log p_\theta(x)$, in closed form.

# %%
phi, theta = (torch.zeros((), requires_grad=True) for _ in range(2))
scaled = diagonal_normal(wider.mean, phi.exp() * wider.stddev)
(of_elbo,) = torch.autograd.grad(
    -kl_divergence(scaled, posterior).sum(), phi, retain_graph=True
)
(of_variance,) = torch.autograd.grad(relative_variance(scaled), phi)
covariance = (2 * theta).exp() * truth.weight @ truth.weight.T + truth.std**2 * torch.eye(3)
log_p = -0.5 * (data[0] @ torch.linalg.solve(covariance, data[0]) + covariance.logdet())
(of_log_p,) = torch.autograd.grad(log_p, theta)
leading = -of_variance / (2 * 256)

# %% tags=["fragment"]
for name in mean:
    print(
        f"{name:24s}"
        + "  ".join(
            f"{m:.4f} ± {s:.4f}" for m, s in zip(mean[name], deviation[name], strict=True)
        )
    )
print(
    f"exact: φ at k = 1 {of_elbo:.4f}, φ at k = 256 about {leading:.4f}, θ for large k {of_log_p:.4f}"
)

# %%
double, plain = mean["φ doubly reparameterized"], mean["φ plain"]
errors = [float(drawn[k]["φ plain"].std() / len(drawn[k]["φ plain"]) ** 0.5) for k in ks]
claim(
    "with k = 1 both estimates have the exact gradient of the ELBO for their mean, within a thirtieth",
    abs(plain[0] / of_elbo - 1) < 1 / 30 and abs(double[0] / of_elbo - 1) < 1 / 30, plain=plain[0], double=double[0], exact=of_elbo,
)  # fmt: skip
claim(
    "with every k the two have one mean, within five standard errors",
    ((double - plain).abs() < 5 * torch.tensor(errors)).all(), double=double, plain=plain, errors=errors,
)  # fmt: skip
claim(
    "with k = 256 that is the gradient of the predicted gap, within a twentieth",
    abs(double[4] / leading - 1) < 0.05, double=double[4], predicted=leading,
)  # fmt: skip
claim(
    "with k = 256 the gradient in θ is that of log p(x), within a twentieth",
    abs(mean["θ"][4] / of_log_p - 1) < 0.05, mean=mean["θ"][4], exact=of_log_p,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Signal and noise
#
# The **signal-to-noise ratio** of a gradient is its mean's size over the standard deviation of one estimate. As $k$ grows, the
# noise of the plain gradient in $\varphi$ falls like $1/\sqrt k$. Its mean falls like $1/k$: at $k = \infty$ the bound is $\log p(x)$
# for every $q$, and there is nothing left to learn for $\varphi$. So the ratio falls like $1/\sqrt k$; that of $\theta$, whose mean
# stays, rises like $\sqrt k$ (Rainforth et al.).
#
# *Predict: which way goes the doubly reparameterized one?*
#
# <details><summary>Answer</summary>Up, like √k: its k terms carry w̃², about 1/k² each, and so its noise falls like k^(−3/2), faster
# than its mean.</details>
#
# The yardstick costs as many draws: $k$ gradients of the ELBO, averaged, have $\sqrt k$ times the ratio of one.

# %% tags=["slide"]
size = {"φ plain": double, "φ doubly reparameterized": double, "θ": mean["θ"]}
ratio = {name: size[name].abs() / deviation[name] for name in size}
averaged = ratio["φ doubly reparameterized"][0] * torch.tensor(ks) ** 0.5
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 5.2))
for name, style in zip(ratio, ("o-", "s-", "^-"), strict=True):
    axes.loglog(ks, ratio[name], style, label=name)
axes.loglog(ks, averaged, "--", color="0.4", label="k gradients of the ELBO in φ, averaged")
axes.set(title="More draws drown the plain gradient of q")
axes.set(xlabel="samples k", ylabel="signal-to-noise ratio")
axes.set_xticks(ks, [str(k) for k in ks])
axes.legend(loc="upper left", fontsize=12)
axes.set_ylim(0.02, 200)
figure

# %% [markdown]
# *Figure: signal-to-noise ratio over k, both logarithmic. The plain gradient in φ falls throughout. Doubly reparameterized it
# dips at k = 4, then rises. That in θ leaves the frame at k = 4, where its mean passes through 0 on the way from the ELBO's
# gradient to that of log p(x), then rises. The dashed line of averaged ELBO gradients rises all the way, from k = 4 on above all others.*
#
# Spent on the ELBO's own gradient, the same draws give the clearest signal for $\varphi$ here. It is the gradient of another function,
# whose best $q$ the race has shown to be overtaken.

# %%
four = {name: float(values[4] / values[3]) for name, values in ratio.items()}
claim(
    "from k = 64 to 256 the ratio of the plain gradient in φ halves, within a sixth",
    abs(four["φ plain"] / 0.5 - 1) < 1 / 6, factor=four["φ plain"],
)  # fmt: skip
claim(
    "that of the doubly reparameterized one doubles, within a fifth",
    abs(four["φ doubly reparameterized"] / 2 - 1) < 1 / 5, factor=four["φ doubly reparameterized"],
)  # fmt: skip
claim(
    "and so does that of the gradient in θ, within a sixth",
    abs(four["θ"] / 2 - 1) < 1 / 6, factor=four["θ"],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# *Break it*: in `estimates` write `share` for `share**2`. Which claims on the gradient fall?
#
# <details><summary>Answer</summary>Three: that both estimates have one mean, that this is the gradient of the predicted gap, and that the
# plain ratio halves, since its signal is read off the other estimate. The score was cut and its mean not put back. For k = 1, w̃ = 1 and nothing changes; θ has another gradient. The signal-to-noise ratio still
# doubles: it is a sharp estimate of the wrong number. (Roeder et al., arXiv:1703.09194, proposed it; for k > 1 it is
# biased.)</details>
#
# Now **exercise [[:doubly_reparameterized]]** (one number that gives both gradients).

# %% [markdown] tags=["slide"]
# ## To remember
#
# - Where the family cannot reach the posterior, the bound's maximum can lean towards models with easier posteriors. For
#   probabilistic PCA with $W$ free it does not.
# - $\operatorname{Var}(w) / p(x)^2 = \int p(z|x)^2 / q(z)\, dz - 1$: finite for normals if and only if $2\Lambda - \Lambda_q$ is
#   positive definite.
# - $\mathcal L_k$ closes its gap like $\operatorname{Var}(w) / (2k\, p(x)^2)$ if a moment of the weights above the second is
#   finite **and** the mean weight is not too often near 0. The best $q$ for $k = 1$ need not be the best for larger $k$.
# - More draws weaken the plain gradient of $q$ against its noise; the doubly reparameterized one gains.

# %% [markdown]
# ## Sources
#
# - Turner & Sahani, *Two problems with variational expectation maximisation for time-series models* (2011): the bias.
# - Lucas, Tucker, Grosse & Norouzi, *Don't blame the ELBO!*, arXiv:1911.02469: linear VAEs have no bias.
# - Burda, Grosse & Salakhutdinov, *Importance weighted autoencoders*, arXiv:1509.00519.
# - Domke & Sheldon, *Importance weighting and variational inference*, arXiv:1808.09034: the size of the gap and its
#   conditions; Maddison et al., *Filtering variational objectives*, arXiv:1705.09279.
# - Rainforth et al., *Tighter variational bounds are not necessarily better*, arXiv:1802.04537; Tucker, Lawson, Gu &
#   Maddison, *Doubly reparameterized gradient estimators for Monte Carlo objectives*, arXiv:1810.04152.
