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
# - derive the evidence lower bound (ELBO) in three ways, and check its lines by numbers;
# - say what the gap is, and see it as part of a bar;
# - see EM as two kinds of steps up one function, and say why $\log p_\theta(x)$ never falls;
# - split the bound in two ways, and say what each term does.
#
# **You need** [[needs]]. **Time**: [[time]], network off. Everything runs on the processor, in double precision.

# %% tags=["skip"]
from math import log

import torch
from torch import Tensor
from torch.distributions import Categorical, Dirichlet, Normal, kl_divergence

from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()
torch.set_default_dtype(torch.float64)

# %% [markdown] tags=["slide"]
# ## · First derivation: Jensen
#
# The parabola of lecture [[latent_variable_models]] with $\sigma = 0.8$, one $x$, and a $q(z) = \mathcal N(0.4, 0.6^2)$
# that is **not** the posterior. There is one latent, so that every integral is a sum over a grid, exact to many digits.

# %%
from vae_course.exact.grids import latent_grid
from vae_course.models.parabola import Parabola

parabola, x = Parabola(std=0.8), torch.tensor([1.2, 0.3])
mean, std = 0.4, 0.6
grid = latent_grid(1, limit=8.0, steps=3201)
z = grid.points  # [points, 1]


def log_joint(z: Tensor) -> Tensor:  # log p(z) + log p(x|z): [..., 1] -> [...]
    return parabola.prior().log_prob(z) + parabola.likelihood(z).log_prob(x)


def log_q(z: Tensor) -> Tensor:  # log N(z; mean, std²), written out
    return (-0.5 * ((z - mean) / std) ** 2 - log(std) - 0.5 * log(2 * torch.pi)).sum(-1)


def integral(values: Tensor) -> float:  # of a function of z given at the points of the grid
    return float(values.sum() * (z[1] - z[0]))


# %% [markdown] tags=["slide"]
# **Line 1.** The definition: $\log p(x) = \log \int p(x, z)\, dz$.

# %% tags=["fragment"]
p = integral(log_joint(z).exp())
print(f"line 1: log p(x) = {log(p):.4f} nats")

# %% [markdown] tags=["fragment"]
# **Line 2.** Multiply and divide by $q$, which must be positive wherever $p(x, z)$ is: $\log p(x) = \log \int q(z)\,
# \frac{p(x, z)}{q(z)}\, dz = \log \mathbb E_q[w]$, with the **weight** $w(z) = p(x, z) / q(z)$. On the grid $q$ would cancel,
# whatever it is. So we draw from $q$ and average: that is right only if `log_q` is the density of the draws.

# %% tags=["fragment"]
draws = mean + std * torch.randn(200_000, 1)  # from q
log_w = log_joint(draws) - log_q(draws)
w = log_w.exp()
print(f"line 2: log of the average weight = {log(w.mean()):.4f} nats")

# %%
claim(
    "the average weight of draws from q is p(x), within a hundredth of it",
    abs(float(w.mean()) / p - 1) < 0.01, average=w.mean(), exact=p,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# **Line 3.** The logarithm is concave, so by Jensen's inequality it may go inside, at a price:
#
# $$ \log \mathbb E_q[w] \;\ge\; \mathbb E_q[\log w] = \mathbb E_q[\log p(x, z) - \log q(z)] = \mathcal L(q; x) . $$
#
# This is the **evidence lower bound**. Equality holds if and only if $w$ is constant wherever $q$ has mass, that is, if $q$ is
# the posterior.

# %% tags=["fragment"]
elbo = integral(log_q(z).exp() * (log_joint(z) - log_q(z)))
print(f"line 3: ELBO = {elbo:.4f} nats, {log(p) - elbo:.4f} below log p(x)")

# %%
claim(
    "the average log-weight of draws is the ELBO, within five standard errors",
    abs(float(log_w.mean()) - elbo) < 5 * float(log_w.std()) / len(w) ** 0.5, average=log_w.mean(), elbo=elbo,
)  # fmt: skip

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.8))
along = torch.linspace(0.0005, float(w.max()) * 1.05, 800)
axes.plot(along, along.log(), color="black", label="log w")
axes.plot(w[:300], log_w[:300], "o", color=figures.SKY, alpha=0.4, markersize=7)
axes.axvline(p, color="0.5", linestyle=":", linewidth=1.5)
axes.plot(
    p, log(p), "X", color=figures.VERMILION, markersize=15, label="log of the mean: log p(x)"
)
axes.plot(p, elbo, "s", color=figures.BLUE, markersize=12, label="mean of the log: ELBO")
axes.set(title="The mean of the logarithm lies below the logarithm of the mean")
axes.set(xlabel="weight w", ylabel="nats", ylim=(elbo - 4, float(log_w.max()) + 0.3))
axes.legend(loc="lower right")
figure

# %% [markdown]
# *Figure: the curve log w with the weights of 300 draws on it, the smallest of them below the frame. On a dotted line at the
# mean weight, a cross on the curve marks log p(x); a square below the curve marks the ELBO.*

# %% [markdown] tags=["slide"]
# The other end of Jensen, equality, wants a model whose posterior is known without a grid: the linear-Gaussian model. With its
# posterior for $q$ every single weight is $p(x)$.

# %% tags=["fragment"]
from vae_course.exact.linear_gaussian import LinearGaussian

linear = LinearGaussian(
    torch.tensor([[1.0, 0.6], [0.3, 1.2], [0.8, -0.5]]), torch.zeros(3), 0.7
)
x_three = torch.tensor([[0.5, -1.0, 1.5]])
posterior = linear.posterior(x_three)
at = posterior.sample((1000,))  # [1000, 1, latent]
weights = (
    linear.prior().log_prob(at)
    + linear.likelihood(at).log_prob(x_three)
    - posterior.log_prob(at)
)
claim(
    "with the posterior for q, each of a thousand log-weights is log p(x)",
    torch.allclose(weights, linear.log_evidence(x_three)), least=weights.min(), largest=weights.max(),
)  # fmt: skip

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

# %% tags=["slide"]
from vae_course.exact.grids import log_posterior_on_grid

log_posterior = log_posterior_on_grid(parabola, x[None], grid)[0]  # log p(z|x), [points]
q = log_q(z).exp()
kl = integral(q * (log_q(z) - log_posterior))
print(f"line 1: {integral(q * log(p)):.4f}")
print(f"line 2: {integral(q * (log_joint(z) - log_posterior)):.4f}")
print(f"line 3: {elbo:.4f} + {kl:.4f} = {elbo + kl:.4f}")

# %% [markdown] tags=["slide"]
# On the grid the three lines agree as far as its arithmetic goes, which is no proof: all three come from one array. In the
# linear-Gaussian model the three terms have closed forms that know nothing of each other: $\log p(x)$ from the covariance of
# $x$, the ELBO from the model and $q$, the divergence from $q$ and the posterior.

# %% tags=["fragment"]
from vae_course.distributions.families import diagonal_normal

some_q = diagonal_normal(2 * torch.randn(1000, 2), torch.rand(1000, 2) + 0.1)
bounds, gaps = linear.elbo(x_three, some_q), kl_divergence(some_q, posterior)
claim(
    "for a thousand q drawn at random, ELBO + KL(q || p(z|x)) is log p(x)",
    torch.allclose(bounds + gaps, linear.log_evidence(x_three)), sums=(bounds + gaps)[:5],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### The bar
#
# The bar splits $\log p(x)$, which stays where it is while you move $q$. Raising the ELBO in $q$ **is** lowering the divergence.
# *Try to close the gap: how small can it get with a normal $q$?*

# %% tags=["fragment"]
from vae_course.notebook.widgets.inference import elbo_bar

elbo_bar(parabola, x, mean=mean, std=std)

# %% [markdown]
# *Figure: left, the posterior in grey, lopsided, and over it a blue normal q, too wide and too far left; right, a bar whose
# top is log p(x), cut off five nats below: blue up to the ELBO, vermilion, the gap, above it.*
#
# A scan over means and widths answers:

# %%
from vae_course.exact.grids import kl_on_grid, log_prob_on_grid

means, stds = torch.cartesian_prod(torch.linspace(0.4, 1.2, 41), torch.linspace(0.2, 0.6, 41)).T
normals = diagonal_normal(means[:, None], stds[:, None])  # 1681 normal q
kls = kl_on_grid(log_prob_on_grid(normals, grid), log_posterior, grid)
least = int(kls.argmin())
print(f"smallest KL {kls[least]:.4f} nats, at mean {means[least]:.2f} and σ {stds[least]:.2f}")

# %% [markdown]
# Not zero: this posterior is not normal, and no normal $q$ is it.
#
# Now **exercise [[:elbo_discrete]]**: the bound for a discrete latent, which the third derivation needs, and
# **[[:evidence_upper_bound]]**: what the same weights give under the other expectation.

# %% [markdown] tags=["slide"]
# ## · Third derivation: a discrete latent, and EM
#
# For $z \in \{1, \dots, K\}$ everything is a sum. Ask the question the other way round: which $q$ makes
#
# $$ \mathcal L(q, \theta; x) = \sum_z q(z) \bigl[ \log p_\theta(x, z) - \log q(z) \bigr] $$
#
# largest? $\mathcal L$ is strictly concave in $q$, so one stationary point is the only maximum. With a multiplier $\lambda$ for
# $\sum_z q(z) = 1$: $\log p_\theta(x, z) - \log q(z) - 1 + \lambda = 0$, so $q(z) \propto p_\theta(x, z)$, which is the
# posterior. There $\mathcal L = \sum_z q(z) \log p_\theta(x) = \log p_\theta(x)$: the maximum over $q$ **is** the log-evidence,
# and every other $q$ gives less.

# %% tags=["slide"]
from vae_course.exact.enumeration import log_joint_by_enumeration
from vae_course.exact.mixture import NormalMixture

centres = torch.tensor([[-2.0, 0.0], [1.0, 2.0], [2.0, -1.5]])
share, covariances = torch.tensor([0.5, 0.3, 0.2]), 0.8 * torch.eye(2).repeat(3, 1, 1)
mixture = NormalMixture(share, centres, covariances)
data = mixture.evidence().sample((200,))


# log_joint, q: [..., K] -> [...] nats
def elbo_as_a_sum(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * log_joint - torch.xlogy(q, q)).sum(-1)


# %% tags=["slide"]
joints = log_joint_by_enumeration(mixture, data)  # [batch, K], the same for every q
responsibilities = mixture.posterior(data).probs  # p(z|x), [batch, K]
log_p_data = mixture.log_evidence(data)
claim(
    "at the posterior the sum is log p(x), for each of 200 x",
    torch.allclose(elbo_as_a_sum(joints, responsibilities), log_p_data),
)  # fmt: skip
others = Dirichlet(torch.ones(3)).sample((1000, 200))  # a thousand other q for each x
missing = log_p_data - elbo_as_a_sum(joints, others)
divergence = kl_divergence(Categorical(others), Categorical(responsibilities))
claim(
    "at 200,000 other q it is lower, by KL(q || p(z|x))",
    torch.allclose(missing, divergence) and (missing > 0).all(), least=missing.min(),
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### EM climbs the bound
#
# The bound has two arguments, $q$ and $\theta$. **EM** climbs it in one at a time. Its picture needs a model with one
# parameter: two equal components with means $\pm\theta$,
#
# $$ p(z{=}1) = p(z{=}2) = \tfrac12, \qquad p_\theta(x|z{=}1) = \mathcal N(x; \theta, 1), \qquad
#    p_\theta(x|z{=}2) = \mathcal N(x; -\theta, 1) . $$
#
# **E**: with $\theta$ held, each $x$ gets its posterior, $q_x = p_\theta(z|x)$. **M**: with all $q_x$ held, $\theta$ moves to the
# maximum of the mean of $-\tfrac12 q_x(1) (x - \theta)^2 - \tfrac12 q_x(2) (x + \theta)^2$ over the data, a parabola in
# $\theta$. Its derivative is the mean of $(q_x(1) - q_x(2))\, x - \theta$, so
#
# $$ \theta' = \frac1n \sum_x \bigl(q_x(1) - q_x(2)\bigr)\, x . $$

# %% tags=["slide"]
spread = torch.cat([Normal(1.5, 1.0).sample((150,)), Normal(-1.5, 1.0).sample((150,))])


def pair(theta: Tensor) -> Tensor:  # log p(x, z) for both z: [...] -> [..., n, 2]
    signed = torch.stack([theta, -theta], -1)[..., None, :]
    return log(0.5) + Normal(signed, 1.0).log_prob(spread[:, None])


def e_step(theta: Tensor) -> Tensor:  # q of every x, [n, 2]
    return pair(theta).softmax(-1)


def m_step(q: Tensor) -> Tensor:
    return ((q[:, 0] - q[:, 1]) * spread).mean()


def evidence(theta: Tensor) -> Tensor:  # mean over x of log p(x)
    return pair(theta).logsumexp(-1).mean(-1)


def bound(q: Tensor, theta: Tensor) -> Tensor:  # mean over x of the ELBO
    return elbo_as_a_sum(pair(theta), q).mean(-1)


# %%
thetas = [torch.tensor(0.35)]
for _ in range(3):
    thetas.append(m_step(e_step(thetas[-1])))
print("θ: " + ", ".join(f"{float(theta):.3f}" for theta in thetas))

# %% tags=["slide"]
along = torch.linspace(0.0, 2.6, 261)
figure, (axes,) = figures.subplots(1, 1, figsize=(13, 6))
axes.plot(along, evidence(along), color="black", linewidth=4, label="log p(x)")
arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 2.5, "color": "0.4"}
for t, colour in enumerate((figures.VERMILION, figures.BLUE, figures.GREEN)):
    name, old, new, held = f"θ{'₀₁₂'[t]}", thetas[t], thetas[t + 1], e_step(thetas[t])
    axes.plot(along, bound(held, along), color=colour, label=f"bound, q of {name}")
    axes.plot(old, evidence(old), "o", color=colour, markersize=11)
    axes.plot(new, bound(held, new), "D", color=colour, markersize=8)
    axes.annotate("", (new, evidence(new)), (new, bound(held, new)), arrowprops=arrow)
    axes.text(old - 0.02, evidence(old) + 0.035, name, ha="right", fontsize=16, color=colour)
lowest, highest = float(evidence(thetas[0])), float(evidence(along).max())
axes.set(title="M: along the bound to its top. E: up to log p(x) again", xlabel="θ")
axes.set(ylabel="mean over x, nats", xlim=(0, 2.6), ylim=(lowest - 0.35, highest + 0.12))
axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
figure

# %% [markdown]
# *Figure: over θ a thick black curve, the mean log p(x), and three parabolas below it. Each touches the curve at a circle, θ₀,
# θ₁, θ₂ from left to right, with the same slope, and has its top, a diamond, further right. From each diamond a grey arrow goes
# up to the curve, where the next E step's parabola touches it (after the third it is not drawn). The steps become shorter towards the curve's top.*

# %% [markdown] tags=["notes"]
# Ask why the three parabolas have one width: the second derivative of the bound in θ is −1, whatever q is. Ask what happens from
# θ₀ = 0: by symmetry both responsibilities are a half, θ' = 0, and EM stays at a minimum of log p(x) for ever.

# %%
start_at = thetas[0].clone().requires_grad_()
held = e_step(thetas[0])  # no gradient goes through q
(slope_of_bound,) = torch.autograd.grad(bound(held, start_at), start_at)
(slope_of_evidence,) = torch.autograd.grad(evidence(start_at), start_at)
claim(
    "where the bound touches log p(x), it has the same value and the same slope",
    torch.isclose(bound(held, thetas[0]), evidence(thetas[0])) and torch.isclose(slope_of_bound, slope_of_evidence),
    bound=slope_of_bound, evidence=slope_of_evidence,
)  # fmt: skip
top = m_step(held).requires_grad_()
(slope,) = torch.autograd.grad(bound(held, top), top)
claim("at θ' the bound with q held has slope 0", abs(slope) < 1e-9, slope=slope)
below = evidence(along) - bound(held, along)
claim(
    "nowhere on the scan is the bound above log p(x); they meet at θ₀ alone",
    below.min() > -1e-12 and (below < 1e-6).sum() == 1 and abs(along[below.argmin()] - thetas[0]) < 1e-6, least=below.min(), at=along[below.argmin()],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# **Why the likelihood never falls under EM** (lecture [[latent_variable_models]]): E makes the bound touch, M raises the
# bound, and the new $\log p_{\theta'}(x)$ is nowhere below its bound:
#
# $$ \sum_x \log p_{\theta'}(x) \;\ge\; \sum_x \mathcal L(q_x, \theta'; x) \;\ge\; \sum_x \mathcal L(q_x, \theta; x) = \sum_x \log p_\theta(x) . $$
#
# Four numbers for the mixture in the plane, from wrong means, all parameters free:

# %% tags=["fragment"]
thirds = torch.full((3,), 1 / 3)
wrong = NormalMixture(thirds, centres + torch.randn(3, 2), torch.eye(2).repeat(3, 1, 1))
q_data, better = wrong.posterior(data).probs, wrong.em_step(data)
chain = [
    better.log_evidence(data).sum(),
    elbo_as_a_sum(log_joint_by_enumeration(better, data), q_data).sum(),
    elbo_as_a_sum(log_joint_by_enumeration(wrong, data), q_data).sum(),
    wrong.log_evidence(data).sum(),
]
print("  ".join(f"{float(value):.3f}" for value in chain))

# %% [markdown]
# The middle inequality holds for every step that raises the bound; M goes to the bound's top, in all parameters at once:


# %%
def moved(size: float) -> float:  # the bound after a small random step of all parameters
    lean = torch.randn(3, 2, 2)
    other = NormalMixture(
        (better.weights.log() + size * torch.randn(3)).softmax(0),
        better.means + size * torch.randn(3, 2),
        better.covariances + size * (lean + lean.mT),
    )
    return float(elbo_as_a_sum(log_joint_by_enumeration(other, data), q_data).sum())


highest = max(moved(1e-3) for _ in range(200))
claim(
    "one step of EM: the bound rises, log p(x) rises by more, and E had made them equal",
    chain[0] > chain[1] > chain[2] and torch.isclose(chain[2], chain[3]), chain=torch.stack(chain),
)  # fmt: skip
claim(
    "after it, none of 200 small random steps in weights, means and covariances raises the bound",
    highest < float(chain[1]), highest=highest, bound=chain[1],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# *Break it*: in `m_step` write `(q[:, 0] + q[:, 1])` for the difference, and run from that cell on. Which of the three claims
# under the figure fall, and which stand?
#
# <details><summary>Answer</summary>Only the one on the slope at θ' falls. q₁ + q₂ = 1, so θ' becomes the mean of the data,
# near 0: the M step walks down. The other two speak of the E step, which is as it was: the bound still touches, and is
# nowhere above.</details>

# %% [markdown] tags=["slide"]
# ## · Two ways to split it
#
# With $p(x, z) = p(z)\, p(x|z)$ the bound is
#
# $$ \mathcal L = \underbrace{\mathbb E_q[\log p(x|z)]}_{\text{reconstruction}} - \underbrace{D_{KL}(q \,\|\, p(z))}_{\text{regularisation}}
#    \;=\; \underbrace{\mathbb E_q[\log p(x, z)]}_{\text{joint}} + \underbrace{H[q]}_{\text{entropy}} . $$
#
# The first split says what leaving the prior costs, and what it earns. The second says what keeps $q$ from shrinking to a
# point: the entropy $H[q] = -\mathbb E_q[\log q]$. Do not mix up the two divergences: the regulariser is to the **prior**, the
# gap is to the **posterior**.


# %% tags=["slide"]
def terms(std: float) -> dict[str, float]:  # of q = N(0.4, std²), in nats
    q = diagonal_normal(torch.tensor([mean]), std)
    density = log_prob_on_grid(q, grid).exp()
    return {
        "reconstruction": integral(density * parabola.likelihood(z).log_prob(x)),
        "KL to the prior": float(kl_divergence(q, parabola.prior())),  # in closed form
        "joint": integral(density * log_joint(z)),
        "entropy": float(q.entropy()),  # in closed form
    }


parts = terms(std)
print(
    {name: round(value, 4) for name, value in parts.items()}, f"ELBO {elbo:.4f}, gap {kl:.4f}"
)

# %%
claim(
    "reconstruction by the grid − KL to the prior in closed form is the ELBO",
    abs(parts["reconstruction"] - parts["KL to the prior"] - elbo) < 1e-9, **parts,
)  # fmt: skip
claim(
    "joint by the grid + entropy in closed form is the ELBO",
    abs(parts["joint"] + parts["entropy"] - elbo) < 1e-9, **parts,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# *Predict: the mean of $q$ held, over which widths does the joint term rise? And the entropy?*
#
# <details><summary>Answer</summary>The entropy rises everywhere, like log σ. The joint term falls over the widths shown: a wider
# q spends more of its draws where z and x together are improbable. The bound has its top where the one gains as fast as the other
# loses.</details>

# %% tags=["slide"]
widths = torch.linspace(0.05, 1.5, 146)
rows = [terms(float(width)) for width in widths]
joint, entropy = (torch.tensor([row[name] for row in rows]) for name in ("joint", "entropy"))
lines = {"joint": joint, "entropy": entropy, "ELBO": joint + entropy}
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.8))
title = "The joint term wants a point, the entropy wants width"
figures.curves(
    axes, widths.tolist(), {n: v.tolist() for n, v in lines.items()}, title, "σ of q", "nats"
)
axes.axhline(log(p), color="black", linewidth=1.5)
axes.text(1.5, log(p), "log p(x)", ha="right", va="bottom", fontsize=13)
axes.set_ylim(-9, 2.5)
figure

# %% [markdown]
# *Figure: over the width of q the joint term falls from its highest value, at the smallest width, and leaves the frame; the
# entropy rises; their sum, the ELBO, has its top in between, below the line of log p(x).*

# %%
claim(
    "the joint term falls over all these widths: alone it would choose the smallest",
    (joint.diff() < 0).all(),
)
at = int((joint + entropy).argmax())
lost = float(joint[at - 1] - joint[at + 1]) / float(widths[at + 1] - widths[at - 1])
claim(
    "where the bound is largest, the joint loses per unit of σ what the entropy gains, 1/σ, within a fiftieth",
    abs(lost * float(widths[at]) - 1) < 0.02, lost=lost, gained=1 / widths[at],
)  # fmt: skip

# %% [markdown] tags=["slide"]
# Leave the entropy out, and $q$ shrinks onto the point of largest joint density. Now **exercises [[:entropy_split]] and
# [[:elbo_linear_gaussian]]**: the second split in many dimensions, and the bound of the linear-Gaussian model without a sample.

# %% [markdown] tags=["slide"]
# ## To remember
#
# - $\log p(x) = \mathcal L(q; x) + D_{KL}(q \,\|\, p(z|x))$, for every $q$.
# - The maximum over all $q$ is $\log p(x)$. EM climbs one function, in $q$ and in $\theta$ by turns.
# - Reconstruction − KL to the prior, or joint + entropy: two names for one number.
# - The regulariser is the divergence to the prior, the gap the one to the posterior.
#
# What training on the bound does to the model, and how the bound is tightened: lecture [[tighter_bounds]].

# %% [markdown]
# ## Sources
#
# - Jordan, Ghahramani, Jaakkola & Saul, *An introduction to variational methods for graphical models*, Machine Learning 37 (1999).
# - Neal & Hinton, *A view of the EM algorithm that justifies incremental, sparse, and other variants* (1998): EM as
#   ascent in $q$ and in $\theta$.
# - Kingma & Welling, *Auto-encoding variational Bayes*, arXiv:1312.6114, section 2.2: both splits.
