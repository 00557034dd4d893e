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
# log p(x) can rarely be computed. What can be, and how far below is it?
#
# **After this lecture you can**
# - derive the evidence lower bound (ELBO) in three ways, and check every line by a number;
# - say what the gap is, and see it as part of a bar;
# - split the bound in two ways, and say what each term does;
# - predict when the bound moves the model away from maximum likelihood, and when not;
# - tighten it with importance weights, and say how fast the gap closes.
#
# **You need** [[needs]]. **Time**: [[time]], network off. Everything runs on the
# processor, in double precision.

# %% tags=["skip"]
from math import log

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Dirichlet, kl_divergence

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · First derivation: Jensen
#
# We use the parabola of lecture [[latent_variable_models]] with twice the noise, $\sigma = 0.8$, one $x$, and a $q(z)$ that is **not** the posterior. Everything is an integral over one
# latent, and a grid gives each to many digits.

# %%
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.grids import latent_grid, log_posterior_on_grid, log_prob_on_grid
from vae_course.models.parabola import Parabola

parabola, x = Parabola(std=0.8), torch.tensor([1.2, 0.3])
q = diagonal_normal(torch.tensor([0.4]), 0.6)
grid = latent_grid(1, limit=8.0, steps=3201)
z = grid.points  # [points, 1]


def integral(values: Tensor) -> float:  # of a function of z given at the points of the grid
    return float(values.sum() * (z[1] - z[0]))


log_joint = parabola.prior().log_prob(z) + parabola.likelihood(z).log_prob(x)  # log p(x, z)
log_q = log_prob_on_grid(q, grid)

# %% [markdown]
# **Line 1.** The definition: $\log p(x) = \log \int p(x, z)\, dz$.

# %%
log_p = log(integral(log_joint.exp()))
print(f"log p(x) = {log_p:.6f} nats")

# %% [markdown]
# **Line 2.** Multiply and divide by $q$, which must be positive wherever $p(x, z)$ is: $\log p(x) = \log \int q(z)\, \frac{p(x, z)}{q(z)}\, dz = \log
# \mathbb E_q[w]$, with the **weight** $w(z) = p(x, z) / q(z)$.

# %%
line_2 = log(integral(log_q.exp() * (log_joint - log_q).exp()))
draws = q.sample((200_000,))
w = (
    parabola.prior().log_prob(draws)
    + parabola.likelihood(draws).log_prob(x)
    - q.log_prob(draws)
).exp()
claim("line 2 equals line 1", abs(line_2 - log_p) < 1e-9)
claim(
    "so does the average weight of draws from q, within five standard errors",
    abs(float(w.mean()) - integral(log_joint.exp())) < 5 * float(w.std()) / len(w) ** 0.5,
    average=w.mean(), exact=integral(log_joint.exp()),
)  # fmt: skip

# %% [markdown]
# On the grid $q$ cancels, whatever it is; the draws test that ours is a density.
#
# **Line 3.** The logarithm is concave, so by Jensen's inequality it may go inside at the price of an inequality:
#
# $$ \log \mathbb E_q[w] \;\ge\; \mathbb E_q[\log w] = \mathbb E_q[\log p(x, z) - \log q(z)] = \mathcal L(q; x) . $$
#
# This is the **evidence lower bound**. Equality holds if and only if $w$ is constant wherever $q$ has
# mass, that is, if $q$ is the posterior.

# %%
elbo = integral(log_q.exp() * (log_joint - log_q))
print(f"ELBO = {elbo:.4f}, log p(x) = {log_p:.4f} nats")

# %%
claim("line 3 is below line 2", elbo < line_2, elbo=elbo, log_p=line_2)
claim(
    "the average log-weight of the draws is the ELBO, within five standard errors",
    abs(float(w.log().mean()) - elbo) < 5 * float(w.log().std()) / len(w) ** 0.5, average=w.log().mean(), elbo=elbo,
)  # fmt: skip

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.6))
along = torch.linspace(0.002, float(w.max()) * 1.05, 400)
axes.plot(along, along.log(), color="black", label="log w")
some = w[:300]
axes.plot(some, some.log(), "o", color=figures.SKY, alpha=0.4, markersize=7)
axes.plot(
    w.mean(),
    log_p,
    "X",
    color=figures.VERMILION,
    markersize=15,
    label="log of the mean: log p(x)",
)
axes.plot(w.mean(), elbo, "s", color=figures.BLUE, markersize=12, label="mean of the log: ELBO")
axes.set(
    title="The mean of the logarithm lies below the logarithm of the mean",
    xlabel="weight w",
    ylabel="nats",
)
axes.set_ylim(elbo - 4, float(w.max().log()) + 0.3)
axes.legend(loc="lower right")
figure

# %% [markdown]
# *Figure: the curve log w with most of the weights of 300 draws on it. Above the mean weight a cross on the curve marks log p(x);
# a square below it marks the ELBO.*

# %% [markdown] tags=["slide"]
# ## · Second derivation: what the gap is
#
# Jensen says that there may be a gap, not what it is. Start again, with the posterior.
#
# **Line 1.** $\log p(x)$ does not depend on $z$: $\log p(x) = \mathbb E_q[\log p(x)]$.
#
# **Line 2.** Bayes' rule, $p(x) = p(x, z) / p(z|x)$ for every $z$: $\log p(x) = \mathbb E_q\bigl[\log p(x, z) - \log p(z|x)\bigr]$.
#
# **Line 3.** Subtract and add $\log q$:
#
# $$ \log p(x) = \underbrace{\mathbb E_q[\log p(x, z) - \log q(z)]}_{\mathcal L(q; x)}
#    + \underbrace{\mathbb E_q[\log q(z) - \log p(z|x)]}_{D_{KL}(q \,\|\, p(z|x))} . $$

# %%
log_posterior = log_posterior_on_grid(parabola, x[None], grid)[0]  # log p(z|x), [points]
line_1 = integral(log_q.exp() * log_p)
by_bayes = integral(log_q.exp() * (log_joint - log_posterior))
kl = integral(log_q.exp() * (log_q - log_posterior))
claim("line 1 is log p(x)", abs(line_1 - log_p) < 1e-9)
claim("line 2 is log p(x)", abs(by_bayes - log_p) < 1e-9)
claim(
    "line 3: ELBO + KL(q || p(z|x)) is log p(x)",
    abs(elbo + kl - log_p) < 1e-9, elbo=elbo, kl=kl, log_p=log_p,
)  # fmt: skip

# %% [markdown]
# The bar splits $\log p(x)$, which stays where it is while you move $q$. Raising the ELBO **is** lowering the divergence.
# Try to close the gap: how small can it get with a normal $q$?

# %%
from vae_course.notebook.widgets.inference import elbo_bar

elbo_bar(parabola, x, mean=0.4, std=0.6)

# %% [markdown]
# *Figure: left, the posterior in grey, lopsided, and over it a blue normal q, too wide and too far left; right, a bar whose
# top is log p(x), cut off five nats below: blue up to the ELBO, vermilion, the gap, above it.*
#
# A scan over means and widths answers:

# %%
from vae_course.exact.grids import kl_on_grid

means, stds = torch.cartesian_prod(torch.linspace(0.4, 1.2, 41), torch.linspace(0.2, 0.6, 41)).T
normals = diagonal_normal(means[:, None], stds[:, None])  # 1681 normal q
kls = kl_on_grid(log_prob_on_grid(normals, grid), log_posterior, grid)
least = int(kls.argmin())
print(f"smallest KL {kls[least]:.3f} nats, at mean {means[least]:.2f} and σ {stds[least]:.2f}")

# %%
claim("no normal q of the scan comes closer than 0.02 nat", kls.min() > 0.02, least=kls.min())
claim("the best of them comes closer than 0.1 nat", kls.min() < 0.1, least=kls.min())

# %%
from vae_course.exact.grids import split_evidence

gaps = []
for mean, std in torch.rand(50, 2) * torch.tensor([3.0, 0.8]) + torch.tensor([-1.5, 0.15]):
    split = split_evidence(parabola, x[None], diagonal_normal(mean[None], std), grid)
    gaps.append(split.log_evidence - split.elbo - split.kl)
claim(
    "for fifty q drawn at random, ELBO + KL is log p(x)",
    torch.stack(gaps).abs().max() < 1e-8,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:elbo_discrete]]**: the bound for a discrete latent, which the third derivation needs.

# %% [markdown] tags=["slide"]
# ## · Third derivation: a discrete latent, and EM
#
# For $z \in \{1, \dots, K\}$ everything is a sum. Ask the question the other way round: which $q$ makes
#
# $$ \mathcal L(q, \theta; x) = \sum_z q(z) \bigl[ \log p_\theta(x, z) - \log q(z) \bigr] $$
#
# largest? $\mathcal L$ is strictly concave in $q$, so one stationary point is the only maximum. With a multiplier for
# $\sum_z q(z) = 1$: $\log p_\theta(x, z) - \log q(z) - 1 + \lambda = 0$, so $q(z) \propto p_\theta(x, z)$, which is the
# posterior. There $\mathcal L = \sum_z q(z) \log p_\theta(x) = \log p_\theta(x)$: the maximum over $q$ **is** the log-evidence, so
# for every other $q$ the bound lies below.

# %%
from vae_course.exact.enumeration import log_joint_by_enumeration
from vae_course.exact.mixture import NormalMixture

means = torch.tensor([[-2.0, 0.0], [1.0, 2.0], [2.0, -1.5]])
mixture = NormalMixture(
    torch.tensor([0.5, 0.3, 0.2]), means, 0.8 * torch.eye(2).repeat(3, 1, 1)
)
data = mixture.evidence().sample((200,))


# q: [batch, K] -> [batch] nats
def elbo_as_a_sum(model: NormalMixture, x: Tensor, q: Tensor) -> Tensor:
    return (q * log_joint_by_enumeration(model, x) - torch.xlogy(q, q)).sum(1)


# %%
responsibilities = mixture.posterior(data).probs  # [batch, K]
log_p_data = mixture.log_evidence(data)
claim(
    "at the posterior the sum form is log p(x)",
    torch.allclose(elbo_as_a_sum(mixture, data, responsibilities), log_p_data),
)  # fmt: skip
others = Dirichlet(torch.ones(3)).sample((1000, 200))  # a thousand other q for each x
bounds = torch.stack([elbo_as_a_sum(mixture, data, other) for other in others])
claim("at none of 200,000 other q is it above", (bounds <= log_p_data + 1e-9).all())
divergence = kl_divergence(Categorical(others), Categorical(responsibilities))
claim(
    "and what is missing is KL(q || p(z|x))",
    torch.allclose(bounds + divergence, log_p_data.expand(1000, -1)),
)  # fmt: skip

# %% [markdown]
# This proves that the likelihood never falls under EM (lecture [[latent_variable_models]]). The E step sets $q_x$, one for each $x$, to the
# posterior, so that the bound touches $\log p_\theta(x)$; the M step maximises the bound in $\theta$ with all $q_x$ held; the new
# $\log p_{\theta'}(x)$ is nowhere below its bound:
#
# $$ \sum_x \log p_{\theta'}(x) \;\ge\; \sum_x \mathcal L(q_x, \theta'; x) \;\ge\; \sum_x \mathcal L(q_x, \theta; x) = \sum_x \log p_\theta(x) . $$

# %%
wrong = NormalMixture(
    torch.full((3,), 1 / 3), means + torch.randn(3, 2), torch.eye(2).repeat(3, 1, 1)
)
q_data = wrong.posterior(data).probs
better = wrong.em_step(data)
chain = [
    better.log_evidence(data).sum(),
    elbo_as_a_sum(better, data, q_data).sum(),
    elbo_as_a_sum(wrong, data, q_data).sum(),
    wrong.log_evidence(data).sum(),
]
print("  ".join(f"{float(value):.3f}" for value in chain))

# %%
claim(
    "one step of EM: both inequalities are strict here, and the equality holds",
    chain[0] > chain[1] > chain[2] and torch.isclose(chain[2], chain[3]), chain=torch.stack(chain),
)  # fmt: skip
nearby = [better.means + 0.05 * torch.randn(3, 2) for _ in range(100)]
moved = [NormalMixture(better.weights, means, better.covariances) for means in nearby]
bounds = torch.stack([elbo_as_a_sum(model, data, q_data).sum() for model in moved])
claim(
    "with only the means moved a little, the bound is lower: the M step's means are at its maximum",
    (bounds < chain[1]).all(),
)  # fmt: skip

# %% [markdown]
# *Break it*: in `elbo_as_a_sum` add the term `torch.xlogy(q, q)` instead of subtracting it, and run the claims above again.

# %% [markdown] tags=["slide"]
# ## · Two ways to split it
#
# With $p(x, z) = p(z)\, p(x|z)$ the bound is
#
# $$ \mathcal L = \underbrace{\mathbb E_q[\log p(x|z)]}_{\text{reconstruction}} - \underbrace{D_{KL}(q \,\|\, p(z))}_{\text{regularisation}}
#    \;=\; \underbrace{\mathbb E_q[\log p(x, z)]}_{\text{joint}} + \underbrace{H[q]}_{\text{entropy}} . $$
#
# The first split says what it costs to leave the prior, and what it earns. The second says what keeps $q$ from shrinking to a
# point: the entropy $H[q] = -\mathbb E_q[\log q]$. Do not mix up the two divergences: the regulariser is to the **prior**, the gap is to
# the **posterior**.


# %%
def terms(std: float) -> dict[str, float]:  # of q = N(0.4, std²), in nats
    q = diagonal_normal(torch.tensor([0.4]), std)
    log_q = log_prob_on_grid(q, grid)
    log_prior, log_likelihood = parabola.prior().log_prob(z), parabola.likelihood(z).log_prob(x)
    return {
        "reconstruction": integral(log_q.exp() * log_likelihood),
        "KL to the prior": integral(log_q.exp() * (log_q - log_prior)),
        "joint": integral(log_q.exp() * (log_prior + log_likelihood)),
        "entropy": integral(-log_q.exp() * log_q),
        "KL to the posterior": integral(log_q.exp() * (log_q - log_posterior)),
    }


parts = terms(0.6)
print({name: round(value, 4) for name, value in parts.items()})

# %%
claim(
    "reconstruction − KL to the prior is the ELBO",
    abs(parts["reconstruction"] - parts["KL to the prior"] - elbo) < 1e-9,
)  # fmt: skip
claim("joint + entropy is the ELBO", abs(parts["joint"] + parts["entropy"] - elbo) < 1e-9)
claim(
    "the entropy is ½ log(2πe σ²)",
    abs(parts["entropy"] - 0.5 * log(2 * torch.pi * torch.e * 0.6**2)) < 1e-9,
)  # fmt: skip

# %%
widths = torch.linspace(0.05, 1.5, 60)
rows = [terms(float(std)) for std in widths]
joint, entropy = (torch.tensor([row[name] for row in rows]) for name in ("joint", "entropy"))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.8))
lines = {
    "joint": joint.tolist(),
    "entropy": entropy.tolist(),
    "ELBO": (joint + entropy).tolist(),
}
figures.curves(
    axes,
    widths.tolist(),
    lines,
    "The joint term wants a point, the entropy wants width",
    "σ of q",
    "nats",
)
axes.axhline(log_p, color="black", linewidth=1.5)
axes.text(1.5, log_p, "log p(x)", ha="right", va="bottom", fontsize=13)
axes.set_ylim(-9, 2.5)
figure

# %% [markdown]
# *Figure: over the width of q the joint term falls from its highest value at the smallest width and leaves the frame, the
# entropy rises, and their sum has a maximum in between, below the line of log p(x).*

# %%
best = float(widths[(joint + entropy).argmax()])
claim(
    "over these widths the joint term is largest at the smallest one",
    int(joint.argmax()) == 0,
)  # fmt: skip
claim("the ELBO is largest in between", 0.2 < best < 0.9, best=best)

# %% [markdown]
# Leave the entropy out, and $q$ shrinks onto the point of largest joint density. Now **exercises [[:entropy_split]] and [[:elbo_linear_gaussian]]**: the second
# split, and the exact ELBO of the linear-Gaussian.

# %% [markdown] tags=["slide"]
# ## · The bound moves the model
#
# Training raises the bound in $\theta$ too, not $\log p_\theta(x)$. Their difference is the gap:
#
# $$ \mathcal L(q, \theta; x) = \log p_\theta(x) - D_{KL}(q \,\|\, p_\theta(z|x)) . $$
#
# At the bound's maximum the mean gap is never larger than at the likelihood's. So where the family of $q$ cannot reach the
# posterior and the gap depends on $\theta$, the maximum of the bound leans towards parameters whose posterior is *easier*. Take a linear-Gaussian model with $W = s\,W_0$, the directions $W_0$ fixed and nearly parallel, one scale $s$ to
# be learned. Its two latents are correlated under the posterior, the more so the larger $s$; $q$ is factorised.
#
# *Predict: is the learned $s$ too small or too large?*

# %%
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.inference.variational import mean_field_of_normal

directions = torch.tensor([[1.0, 0.8], [0.8, 1.0], [0.6, 0.7]])
truth = LinearGaussian(directions, torch.zeros(3), std=0.5)  # s = 1
data = truth.evidence().sample((2000,))
scales = torch.linspace(0.3, 1.5, 121)


def evidence_and_bound(s: Tensor) -> tuple[float, float]:  # means over the data, nats
    model = LinearGaussian(s * directions, torch.zeros(3), std=0.5)
    q = mean_field_of_normal(model.posterior(data))  # the best factorised q for every x
    return float(model.log_evidence(data).mean()), float(model.elbo(data, q).mean())


evidence, bound = torch.tensor([evidence_and_bound(s) for s in scales]).T
s_likelihood, s_bound = scales[evidence.argmax()], scales[bound.argmax()]

# %%
claim(
    "the likelihood finds the scale that made the data, to 0.1",
    abs(s_likelihood - 1) < 0.1, scale=s_likelihood,
)  # fmt: skip
claim(
    "the bound's maximum is smaller by more than a tenth",
    s_bound < s_likelihood - 0.1, bound=s_bound, likelihood=s_likelihood,
)  # fmt: skip
claim("the gap grows with the scale", ((evidence - bound).diff() > 0).all())
precision = truth.posterior(data[:1]).precision_matrix[0]
formula = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
gaps = truth.log_evidence(data) - truth.elbo(data, mean_field_of_normal(truth.posterior(data)))
claim(
    "for s = 1 the gap is ½ (Σ log Λ_ii − log |Λ|), the same for every x",
    torch.allclose(gaps, formula.expand(len(data))),
)  # fmt: skip

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.8))
axes.fill_between(scales, bound, evidence, color=figures.VERMILION, alpha=0.25, label="gap")
axes.plot(scales, evidence, color="black", label="log p(x)")
axes.plot(scales, bound, color=figures.BLUE, label="ELBO, best factorised q")
for s, values in ((s_likelihood, evidence), (s_bound, bound)):
    axes.plot(s, values.max(), "X", markersize=14, color=figures.VERMILION)
axes.set(
    title="The bound's maximum lies where the posterior is easier",
    xlabel="scale s",
    ylabel="mean over x, nats",
)
axes.set_ylim(float(evidence.max()) - 1.2, float(evidence.max()) + 0.1)
axes.legend(loc="lower center", ncols=3)
figure

# %% [markdown]
# *Figure: two curves over the scale with a widening gap between them; crosses mark their maxima, the bound's at a clearly
# smaller scale than that of log p(x).*
#
# ### When there is no bias
#
# Let $W$ be free. The $p(x)$ of probabilistic PCA is unchanged when $W$ is rotated, $W \to W R$, and among the rotations is
# one whose columns are orthogonal: there the posterior is factorised for every $x$, its mean is linear in $x - b$, and the gap
# is zero. The bound is nowhere above the likelihood and touches it there, so both have the same maximum. We train all of it
# by gradients: $W$, $b$, $\sigma$, and a linear encoder with a diagonal $q$, on data in which both latents count.


# %%
class Trained(nn.Module):  # a linear VAE: everything normal, everything linear
    def __init__(self, observed: int, latent: int):
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(observed, latent))
        self.bias, self.log_std = (
            nn.Parameter(torch.zeros(observed)),
            nn.Parameter(torch.zeros(())),
        )
        self.encoder = nn.Linear(observed, latent)
        self.log_std_q = nn.Parameter(torch.zeros(latent))

    def model(self) -> LinearGaussian:
        return LinearGaussian(self.weight, self.bias, self.log_std.exp())

    def posterior(self, x: Tensor):
        return diagonal_normal(self.encoder(x), self.log_std_q.exp())

    def elbo(self, x: Tensor) -> Tensor:  # in closed form, [batch] nats
        return self.model().elbo(x, self.posterior(x))


# %%
from vae_course.training.loop import adam_player, fit

wide_apart = LinearGaussian(
    torch.tensor([[1.5, 0.2], [0.8, 1.5], [0.6, -0.7]]), torch.zeros(3), std=0.5
)
apart = wide_apart.evidence().sample((2000,))
trained = Trained(observed=3, latent=2)
player = adam_player(lambda x: -trained.elbo(x), trained, rate=0.03)
fit([player], [(apart,)], epochs=run.epochs(laptop=1500))


# The maximum of the mean log p(x) over all linear-Gaussian models with so many latents.
def most(latent: int) -> float:
    return float(LinearGaussian.maximum_likelihood(apart, latent).log_evidence(apart).mean())


# %%
maximum = most(latent=2)
with torch.no_grad():
    reached = float(trained.model().log_evidence(apart).mean())
    bound_reached = float(trained.elbo(apart).mean())
    first, second = trained.weight.T
    cosine = float(first @ second / (first.norm() * second.norm()))
print(f"maximum of log p(x) {maximum:.4f}, with one latent {most(latent=1):.4f}")
print(f"reached {reached:.4f}, ELBO {bound_reached:.4f}, cosine of the columns {cosine:.4f}")

# %%
claim(
    "with W free, maximising the bound reaches the maximum of the likelihood, to 0.001 nat",
    abs(reached - maximum) < 1e-3, reached=reached, maximum=maximum,
)  # fmt: skip
claim(
    "with one latent that is out of reach by more than 0.1 nat",
    most(latent=1) < maximum - 0.1, one=most(latent=1),
)  # fmt: skip
claim(
    "the gap has closed, to 0.001 nat",
    reached - bound_reached < 1e-3, gap=reached - bound_reached,
)  # fmt: skip
claim(
    "the columns of W are orthogonal: their cosine is below 0.05",
    abs(cosine) < 0.05, cosine=cosine,
)  # fmt: skip

# %% [markdown]
# The likelihood cannot tell the rotations apart; the bound chose one with no gap. Whether there is a bias is a matter of
# the model **and** of the family of $q$: there is none here, because one of the likelihood's maxima has its posterior within
# the family.

# %% [markdown] tags=["slide"]
# ## · Tighter bounds
#
# Average $k$ weights before taking the logarithm (Burda et al.):
#
# $$ \mathcal L_k = \mathbb E\Bigl[\log \frac1k \sum_{i=1}^k w_i\Bigr], \qquad z_1, \dots, z_k \sim q \text{ independently}, \qquad
#    \mathcal L = \mathcal L_1 \le \mathcal L_2 \le \dots \le \log p(x) . $$
#
# How fast does the gap close? As in lecture [[latent_variable_models]], to second order $\log p(x) - \mathcal L_k \approx \frac{\operatorname{Var}(w)}{2 k\,
# p(x)^2}$, **if** the weights' variance is finite. For a normal posterior with precision $\Lambda$ and a normal $q$ with
# precision $\Lambda_q$ it is finite exactly if $2 \Lambda - \Lambda_q$ is positive definite: in **every**
# direction $u$ the variance of $q$, $u^\top \Lambda_q^{-1} u$, must be more than half the posterior's. With the same mean, the relative variance is
# $|\Lambda|\, |\Lambda_q|^{-1/2}\, |2 \Lambda - \Lambda_q|^{-1/2} - 1$.

# %%
from vae_course.models.views import WithPosterior
from vae_course.objectives.bounds import log_mean_exp, log_weights

x_one = data[:1]  # [1, 3]
posterior = truth.posterior(x_one)
precision = posterior.precision_matrix[0]
narrow = mean_field_of_normal(posterior)  # the q of the best ELBO
wide = diagonal_normal(posterior.mean, 1.2 * posterior.stddev)  # wider than the marginals


def relative_variance(q) -> Tensor | None:  # Var(w) / p(x)², or None if infinite
    precision_q = torch.diag(q.variance[0] ** -1)
    excess = 2 * precision - precision_q
    if torch.linalg.eigvalsh(excess).min() <= 0:
        return None
    return precision.det() * (precision_q.det() * excess.det()) ** -0.5 - 1


variance = relative_variance(wide)
correlation = -precision[0, 1] / (precision[0, 0] * precision[1, 1]) ** 0.5
print(f"posterior correlation {correlation:.2f}; relative variance, wide q: {variance:.2f}")

# %%
claim(
    "the weights' variance is finite for the wide q, infinite for the best factorised q",
    variance is not None and relative_variance(narrow) is None,
)  # fmt: skip

# %% [markdown]
# For the wide $q$ we also subtract $\frac1k \sum w_i / p(x) - 1$ from each estimate. Its mean is exactly 0, so it changes nothing but the
# noise: a **control variate**, possible here because $p(x)$ is known. Lecture [[reparameterization]] has more of them.


# %%
def gap(q, k: int, draws: int, control: bool) -> float:  # log p(x) − 𝓛_k in nats
    rows = x_one.expand(draws // k, -1)  # the same x many times: one estimate for each row
    model = WithPosterior(truth, lambda x: q.expand((len(x),)))
    log_mean = log_mean_exp(log_weights(model, rows, k))  # log (1/k) Σ w
    ratio = log_mean - truth.log_evidence(x_one)
    return float(-(ratio - ratio.expm1()).mean() if control else -ratio.mean())


sizes = [1, 3, 10, 30, 100, 300, 1000]
closing = {
    "wide q": [
        gap(wide, k, run.choose(laptop=1_000_000, full=10_000_000), True) for k in sizes
    ],
    "best factorised q": [gap(narrow, k, 1_000_000, False) for k in sizes],
}
predicted = [float(variance) / (2 * k) for k in sizes]

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 5.2))
for (name, values), colour in zip(
    closing.items(), (figures.BLUE, figures.VERMILION), strict=True
):
    axes.loglog(sizes, values, "o-", color=colour, label=name)
axes.loglog(sizes, predicted, "--", color="black", label="Var(w) / (2k p(x)²), wide q")
axes.set(
    title="The gap closes like 1/k only where the variance is finite",
    xlabel="samples k",
    ylabel="log p(x) − bound, nats",
)
axes.legend(loc="lower left")
figure

# %% [markdown]
# *Figure: two falling curves on logarithmic axes. The wide q starts higher, falls more steeply than the dashed prediction
# until it joins it, and then along it; the best factorised q starts lower, falls much more slowly, and is overtaken.*

# %%
one, another = closing["wide q"], closing["best factorised q"]
claim(
    "both bounds rise from k = 1 to 10, 100 and 1000",
    one[::2] == sorted(one[::2], reverse=True)
    and another[::2] == sorted(another[::2], reverse=True),
    wide=one,
    narrow=another,
)
claim(
    "with k = 1000 the wide q's gap is the predicted one, within a fifth",
    abs(one[-1] / predicted[-1] - 1) < 0.2, gap=one[-1], predicted=predicted[-1],
)  # fmt: skip

# %%
claim(
    "from k = 10 to 1000 it shrinks about a hundred-fold: between 60 and 200",
    60 < one[2] / one[-1] < 200, at_10=one[2], at_1000=one[-1],
)  # fmt: skip
claim(
    "the other's shrinks less than five-fold",
    another[2] < 5 * another[-1], at_10=another[2], at_1000=another[-1],
)  # fmt: skip
claim(
    "the q with the better ELBO has the worse bound at k = 1000",
    another[0] < one[0] and another[-1] > one[-1],
)  # fmt: skip

# %% [markdown]
# **Two look-alikes.** For $k > 1$ neither is, in expectation, always a lower bound on $\log p(x)$: the self-normalised average
# $\sum_i \tilde w_i \log w_i$ with $\tilde w_i = w_i / \sum_j w_j$, and $\log \frac1k \sum_i p(x|z_i) - D_{KL}(q \,\|\, p(z))$, with
# the closed-form KL outside the average. The mean of either can exceed it:

# %%
rows = x_one.expand(2000, -1)
with_wide = WithPosterior(truth, lambda x: wide.expand((len(x),)))
log_w = log_weights(with_wide, rows, 100)  # [100, 2000]
self_normalised = (log_w.softmax(0) * log_w).sum(0)
latents = posterior.expand((2000,)).sample((100,))  # from the posterior, [100, 2000, latent]
inside = truth.likelihood(latents).log_prob(rows)
with_kl = log_mean_exp(inside) - kl_divergence(posterior, truth.prior().expand((1,)))
log_p_one = float(truth.log_evidence(x_one))
for values, sentence in (
    (
        self_normalised,
        "the self-normalised average is above log p(x) here, by more than five standard errors",
    ),
    (with_kl, "so is the one with the KL outside, when q is the posterior itself"),
):
    claim(
        sentence,
        float(values.mean()) - log_p_one > 5 * float(values.std()) / 2000**0.5, mean=values.mean(), log_p=log_p_one,
    )  # fmt: skip

# %% [markdown]
# Now **exercises [[:iwae_bound]] and [[:predicted_gap]]**: the importance-weighted bound, and its predicted gap.
#
# ## To remember
#
# - $\log p(x) = \mathcal L(q; x) + D_{KL}(q \,\|\, p(z|x))$, for every $q$.
# - Reconstruction − KL to the prior, or joint + entropy: two names for one number.
# - The maximum over all $q$ is $\log p(x)$; EM is ascent in $q$ and in $\theta$ by turns.
# - Where the family cannot reach the posterior, maximising the bound can lean towards models with easier posteriors; for
#   probabilistic PCA with $W$ free it does not.
# - $\mathcal L_k$ closes its gap like $1/k$ only if the weights' variance is finite. The best $q$ for $k = 1$ need not be the
#   best for larger $k$.
#
# ## Sources
#
# - Jordan, Ghahramani, Jaakkola & Saul, *An introduction to variational methods for graphical models*, Machine Learning 37 (1999).
# - Neal & Hinton, *A view of the EM algorithm that justifies incremental, sparse, and other variants* (1998).
# - Turner & Sahani, *Two problems with variational expectation maximisation for time-series models* (2011): the bias.
# - Lucas, Tucker, Grosse & Norouzi, *Don't blame the ELBO!*, arXiv:1911.02469: linear VAEs have no bias.
# - Burda, Grosse & Salakhutdinov, *Importance weighted autoencoders*, arXiv:1509.00519; Maddison et al., *Filtering
#   variational objectives*, arXiv:1705.09279: the size of the gap, under conditions on the weights' moments.
