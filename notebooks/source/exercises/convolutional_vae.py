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

# %% [markdown]
# # [[this]]
#
# [[count]], from • (anybody who read the lecture) to ••• (takes thought); [[minutes]] minutes in all. You need not
# have run the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check
# tells you whether the answer is right, and if not, what is wrong.
#
# Sizes are whole numbers: [[:output_size]], [[:receptive_field]] and [[:mirror]] take and return tensors of int64. In [[:convolve]] the checks call your
# function with tensors in float64 and follow its gradients: compute in torch throughout. `torch.zeros(n)` is float32; with
# `dtype=x.dtype` it has the number type of `x`. In [[:PooledEncoder]] you write a class; the check builds modules of it.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, pad

from vae_course.data.batches import Batches
from vae_course.data.finite_elements import Load, optimise
from vae_course.data.images import digits
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import convolutional_vae as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()

# %% [markdown]
# ## · The size that a layer leaves •
#
# *5 minutes.* A kernel of $k$ rows moves over a picture of $n$ rows in steps of the stride $s$; $p$ rows of zeros stand on
# either side. As many rows remain as the kernel has places (Dumoulin & Visin, arXiv:1603.07285, relationship 6):
#
# $$ \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1 . $$
#
# `size`: int64 `[n]`, several sizes; `kernel`, `stride`, `padding`: whole numbers → int64 `[n]`.
#
# <details><summary>Hint 1</summary>How many steps can the kernel take? And before the first step?</details>
# <details><summary>Hint 2</summary>In Python, <code>/</code> gives fractions and <code>//</code> rounds down.</details>
# <details><summary>Hint 3</summary><code>(size + 2 * padding - kernel)</code>, divided, and one place more.</details>


# %%
def output_size(size: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    ### BEGIN SOLUTION
    return (size + 2 * padding - kernel) // stride + 1
    ### END SOLUTION


# %%
check(sheet.output_size, output_size)

# %% [markdown]
# You should see a straight line for stride 1 and stairs for stride 2, where two sizes lead to the same one. A decoder that
# is to return to the larger of them must be told so: that is [[:mirror]].

# %%
sizes = torch.arange(16, 33)
layers = {
    "kernel 3, stride 1, padding 1": (3, 1, 1),
    "kernel 3, stride 2, padding 1": (3, 2, 1),
    "kernel 4, stride 2, padding 1": (4, 2, 1),
}
markers = ("o", "s", "x")
colours = (figures.SKY, figures.BLUE, figures.VERMILION)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
for (name, layer), marker, colour in zip(layers.items(), markers, colours, strict=True):
    axes.plot(sizes, output_size(sizes, *layer), marker, color=colour, label=name, markersize=8)
axes.set(
    title="A stride of 2 leads two sizes to one",
    xlabel="size before the layer, rows",
    ylabel="size after it, rows",
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# ## · Convolution from its sum ••
#
# *20 minutes.* Write the convolution without torch's: a check cannot see whether you call `conv2d` or `unfold`, so that is
# on your honour. What deep learning calls so is the cross-correlation of mathematics
# (Goodfellow, Bengio & Courville, *Deep Learning*, equations 9.6 and 9.7): the kernel is not flipped. Map $o$ of the output
# is
#
# $$ y_o(i, j) = \text{bias}_o + \sum_c \sum_{a=0}^{k-1} \sum_{b=0}^{l-1} w_{o,c}(a, b) \; x_c(i + a, j + b), $$
#
# with stride 1 and no padding.
#
# `x`: `[batch, in, height, width]`; `weight`, $w$: `[out, in, k, l]`; `bias`: `[out]` →
# `[batch, out, height − k + 1, width − l + 1]`, with gradients to all three. A kernel need not be square.
#
# <details><summary>Hint 1</summary>Two loops will do: over the places (i, j) of the output, or over the entries (a, b) of the
# kernel.</details>
# <details><summary>Hint 2</summary>For one entry (a, b), all x(i + a, j + b) together are a slice of x with the output's height
# and width. <code>torch.einsum</code> multiplies it by <code>weight[:, :, a, b]</code> and sums over the channels.</details>
# <details><summary>Hint 3</summary>The slice is <code>x[:, :, a : a + rows, b : b + columns]</code>, the product
# <code>torch.einsum("nchw,oc->nohw", …)</code>. Add the bias once, as <code>bias[:, None, None]</code>.</details>


# %%
def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    height, width = weight.shape[2:]
    rows, columns = x.shape[2] - height + 1, x.shape[3] - width + 1
    y = bias[:, None, None]
    for a in range(height):
        for b in range(width):
            part = x[:, :, a : a + rows, b : b + columns]
            y = y + torch.einsum("nchw,oc->nohw", part, weight[:, :, a, b])
    return y
    ### END SOLUTION


# %%
check(sheet.convolve, convolve)

# %% [markdown]
# Two kernels on the layout of a loaded beam: one takes what stands at its right less what stands at its left, the other what
# stands below less what stands above. You should see two maps. The first is orange where material begins on the
# way to the right and purple where it ends; the second likewise on the way down. A flipped kernel would exchange the colours.

# %%
layout = torch.from_numpy(optimise(0.4, Load(0.5, 90.0)).density)  # [24, 48], 1 is solid
step = torch.tensor([-1.0, 0, 1], dtype=torch.float64).expand(3, 3)
edges = torch.stack([step, step.T])[:, None]  # [out 2, in 1, 3, 3]
maps = convolve(layout[None, None], edges, torch.zeros(2, dtype=torch.float64))[0]
figure, axes = figures.subplots(1, 3, figsize=(13, 3))
axes[0].imshow(layout)
for axis, one in zip(axes[1:], maps, strict=True):
    picture = axis.imshow(one, cmap="PuOr_r", vmin=-3, vmax=3)
titles = ("The layout", "Right less left", "Below less above")
for axis, title in zip(axes, titles, strict=True):
    axis.set(title=title, xlabel="column", ylabel="row")
    axis.grid(False)
figure.colorbar(picture, ax=axes[1:], label="density")
figure

# %% [markdown]
# ## · The receptive field ••
#
# *15 minutes.* How many rows of the picture can one output of a stack of layers see? A kernel of $k$ rows adds $k - 1$ steps;
# each stride before it makes its steps longer (Araujo, Norris & Sim, doi:10.23915/distill.00021):
#
# $$ r = 1 + \sum_{l=1}^{L} (k_l - 1) \prod_{m=1}^{l-1} s_m . $$
#
# `kernels`, `strides`: int64 `[layers]`, the first layer first → $r$, an int64 tensor without axes.
#
# <details><summary>Hint 1</summary>How far apart in the picture are two neighbours that the first layer sees? The second?</details>
# <details><summary>Hint 2</summary>Keep two numbers in a loop over the layers: the field r and the length of a step. Which of
# them changes first?</details>
# <details><summary>Hint 3</summary>Start with r = 1 and step = 1. Per layer: r grows by (k − 1) · step, then step is multiplied
# by s. <code>torch.tensor(r)</code> is int64 if r is a whole number.</details>


# %%
def receptive_field(kernels: Tensor, strides: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    r, step = 1, 1
    for kernel, stride in zip(kernels.tolist(), strides.tolist(), strict=True):
        r += (kernel - 1) * step
        step *= stride
    return torch.tensor(r)
    ### END SOLUTION


# %%
check(sheet.receptive_field, receptive_field)

# %% [markdown]
# You should see a line for stride 1 and a curve that about doubles with each layer for stride 2: six layers of stride 1 see 13
# rows, four of stride 2 see 31, more than a digit has. On the right stands a gradient: the pixels on which one output of a
# stack of three layers depends. Its side must be your number.

# %%
depths = range(1, 7)
field = {
    f"stride {stride}": [
        int(receptive_field(torch.tensor([3] * n), torch.tensor([stride] * n))) for n in depths
    ]
    for stride in (1, 2)
}
kernels, strides = torch.tensor([4, 4, 3]), torch.tensor([2, 2, 1])
side = int(receptive_field(kernels, strides))
picture = torch.zeros(1, 1, 42, 42, requires_grad=True)
seen = picture
for kernel, stride in zip(kernels.tolist(), strides.tolist(), strict=True):
    seen = nn.functional.conv2d(seen, torch.ones(1, 1, kernel, kernel), stride=stride)
(slope,) = torch.autograd.grad(seen[0, 0, 3, 3], picture)
assert int((slope[0, 0] > 0).any(1).sum()) == side, "the gradient covers another number of rows"

figure, (left, right) = figures.subplots(1, 2, figsize=(12, 4.5))
figures.curves(
    left,
    depths,
    field,
    "Only strides make the field grow fast",
    "layers with kernel 3",
    "receptive field, rows",
)
left.axhline(28, color=figures.GREEN, linestyle=":", label="side of a digit")
left.legend()
right.imshow(slope[0, 0])
right.set(title=f"One output sees {side} × {side} pixels", xlabel="column", ylabel="row")
right.grid(False)
figure

# %% [markdown]
# ## · A decoder that mirrors an encoder •••
#
# *20 minutes.* A decoder undoes an encoder's sizes with transposed convolutions of the same kernels, strides and paddings, in
# reverse order. One of them makes, from $n_\text{out}$ rows,
#
# $$ n_\text{in} = (n_\text{out} - 1) \, s - 2p + k + \text{output padding} $$
#
# (Dumoulin & Visin, relationship 14). Here $n_\text{in}$ and $n_\text{out}$ are the encoder's: its convolution leads from
# $n_\text{in}$ to $n_\text{out}$, and the transposed one back. Without output padding this is the *smallest* size that the convolution leads to
# $n_\text{out}$. Where its floor lost rows, the output padding must give them back.
#
# `size`: a whole number, the side of the picture; `kernels`, `strides`, `paddings`: int64 `[layers]`, the encoder's first
# layer first → two tensors:
#
# - `sizes`: int64 `[layers + 1]`, the picture's and what each layer of the encoder leaves;
# - `output_paddings`: int64 `[layers]`, in the **decoder's** order: its first layer undoes the encoder's last.
#
# <details><summary>Hint 1</summary>First the sizes, from the picture to the code, with [[:output_size]]. Then one output padding for each pair
# of neighbours.</details>
# <details><summary>Hint 2</summary>Solve the equation for the output padding: it is the layer's n_in less what the transposed
# convolution makes of n_out without it. Every layer has its own n_in and n_out, both of the encoder.</details>
# <details><summary>Hint 3</summary>With <code>before = sizes[:-1]</code> and <code>after = sizes[1:]</code> the formula works on
# all layers at once; <code>.flip(0)</code> reverses the result.</details>


# %%
def mirror(
    size: int, kernels: Tensor, strides: Tensor, paddings: Tensor
) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    sizes = [torch.tensor(size)]
    for kernel, stride, padding in zip(kernels, strides, paddings, strict=True):
        sizes.append((sizes[-1] + 2 * padding - kernel) // stride + 1)
    all_sizes = torch.stack(sizes)
    before, after = all_sizes[:-1], all_sizes[1:]
    lost = before - ((after - 1) * strides - 2 * paddings + kernels)
    return all_sizes, lost.flip(0)
    ### END SOLUTION


# %%
check(sheet.mirror, mirror)

# %% [markdown]
# Build both in torch with your numbers, for a digit and for a beam of 24 rows and 48 columns: the decoder must return the
# picture's size. Height and width each have their own output padding.

# %%
kernels, strides, paddings = (
    torch.tensor([3, 5, 3]),
    torch.tensor([2, 3, 2]),
    torch.ones(3).long(),
)
for height, width in ((28, 28), (24, 48)):
    (_, down), (_, across) = (mirror(n, kernels, strides, paddings) for n in (height, width))
    layers = list(zip(kernels.tolist(), strides.tolist(), paddings.tolist(), strict=True))
    encoder = nn.Sequential(*[nn.Conv2d(1, 1, *layer) for layer in layers])
    decoder = nn.Sequential(
        *[
            nn.ConvTranspose2d(1, 1, *layer, output_padding=both)
            for layer, both in zip(
                reversed(layers), zip(down.tolist(), across.tolist(), strict=True), strict=True
            )
        ]
    )
    code = encoder(torch.zeros(1, 1, height, width))
    assert decoder(code).shape == (1, 1, height, width), "the decoder makes another size"
    print(f"{height} × {width} → {code.shape[2]} × {code.shape[3]} → {height} × {width}")

# %% [markdown]
# You should see two decoders that agree from the code (4) to 7 and part one layer later, where the encoder's floor lost a row.
# Without output padding the losses pile up.

# %%
kernels, strides, paddings = (
    torch.tensor([3, 3, 3]),
    torch.tensor([2, 2, 2]),
    torch.ones(3).long(),
)
sizes, output_paddings = mirror(28, kernels, strides, paddings)
without = [int(sizes[-1])]
for kernel, stride, padding in zip(
    *(a.flip(0).tolist() for a in (kernels, strides, paddings)), strict=True
):
    without.append((without[-1] - 1) * stride - 2 * padding + kernel)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.plot(range(4), sizes, "o-", color=figures.BLUE, label="encoder")
axes.plot(
    range(3, 7),
    sizes.flip(0),
    "s-",
    color=figures.GREEN,
    label="decoder with your output padding",
)
axes.plot(range(3, 7), without, "x--", color=figures.VERMILION, label="decoder without")
axes.set(
    title=f"Without output padding, 28 comes back as {without[-1]}",
    xlabel="layers passed (the code lies at 3)",
    ylabel="side of the picture, rows",
)
axes.legend()
figure

# %% [markdown]
# ## · An encoder for pictures of any size ••
#
# *20 minutes.* The lecture's encoder ends in a layer whose weights are as many as the last maps have numbers: it fits one size of
# picture. A convolution fits every size. Take the mean of each map over its positions, *global average pooling*
# (Lin, Chen & Yan, arXiv:1312.4400, section 3.2), and what follows does not see the size either. With $h_c$ the last
# maps, of $H \times W$ positions, the output is
#
# $$ y_o = b_o + \sum_c w_{o,c} \; \frac{1}{H W} \sum_{i=1}^{H} \sum_{j=1}^{W} h_c(i, j) . $$
#
# Write the module:
#
# - for each of the `widths`, in order, a convolution with 3 × 3 entries, stride 2 and padding 1 that makes as many channels, and SiLU after it;
# - the mean over all positions;
# - one linear layer, `nn.Linear`, from the last width to `outputs` numbers, which are returned as they are.
#
# `channels_in`, `outputs`: whole numbers; `widths`: a tuple of one or more; `x`: `[batch, channels_in, height, width]`, of any height
# and width → `[batch, outputs]`, with gradients to `x` and to the weights. The check builds your module anew for every case, gives it known weights in float64, and compares
# the output, the number of parameters, those that a gradient reaches, and the loss after three steps of training.
#
# <details><summary>Hint 1</summary>How many channels does each convolution take? The first takes <code>channels_in</code>, the others what
# the one before made.</details>
# <details><summary>Hint 2</summary>A loop in <code>__init__</code> appends a convolution and an SiLU to a list and keeps in mind the channels
# made; <code>nn.Sequential(*layers)</code> makes them part of the module. The positions are axes 2 and 3.</details>
# <details><summary>Hint 3</summary><code>nn.Conv2d(channels, width, 3, stride=2, padding=1)</code>; in <code>forward</code>
# <code>self.linear(self.convolutions(x).mean((2, 3)))</code>.</details>


# %%
class PooledEncoder(nn.Module):
    def __init__(self, channels_in: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        layers: list[nn.Module] = []
        channels = channels_in
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.SiLU()]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, outputs)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return self.linear(self.convolutions(x).mean((2, 3)))
        ### END SOLUTION


# %%
check(sheet.PooledEncoder, PooledEncoder)

# %% [markdown]
# Train it for some seconds to tell digits of 28 × 28 pixels apart; its ten outputs are the logits of the classes. Then give it
# a thousand held-out digits in three forms: as they are, with every pixel doubled, and in the middle of an empty picture, the last two of
# 56 × 56 pixels. No parameter changes.

# %%
train, held_out = digits()
encoder = PooledEncoder(1, (16, 32, 64), 10)
player = adam_player(lambda x, y: cross_entropy(encoder(x), y, reduction="none"), encoder, 5e-3)
batches = Batches(train.images, train.labels, size=100)
fit([player], batches, epochs=run.epochs(laptop=8))
forms = {
    "28 × 28": held_out.images,
    "doubled, 56 × 56": interpolate(held_out.images, scale_factor=2),
    "in a frame, 56 × 56": pad(held_out.images, (14, 14, 14, 14)),
}
with torch.no_grad():
    codes = {name: encoder(x) for name, x in forms.items()}
right = {
    name: float((code.argmax(1) == held_out.labels).float().mean())
    for name, code in codes.items()
}

# %% [markdown]
# You should see that it runs on all three and reads the first alone: about nine of ten digits, and of the others one to three of ten,
# where blind guesses get one. On the right are all codes, in the plane in which those of 28 × 28 spread most. The two other clouds are narrower and lie at one side of the
# first, the framed digits in a small heap: three quarters of what their mean is taken over is empty. In the doubled digits
# every stroke is twice as thick, and the kernels are still 3 × 3. An encoder that fits every size must still be trained on the sizes that it is to read.

# %%
first = codes["28 × 28"]
_, _, directions = torch.linalg.svd(first - first.mean(0), full_matrices=False)
figure, (left, middle) = figures.subplots(1, 2, figsize=(13, 5))
figures.bars(left, right, "Trained on 28 × 28", "share of held-out digits read rightly")
colours = (figures.BLUE, figures.VERMILION, figures.GREEN)
for (name, code), colour in zip(codes.items(), colours, strict=True):
    x, y = ((code - first.mean(0)) @ directions[:2].T).T
    middle.scatter(x, y, s=8, alpha=0.5, linewidths=0, color=colour, label=name)
middle.set(title="Where the codes lie", xlabel="component 1", ylabel="component 2")
middle.legend(markerscale=3)
figure

# %% [markdown]
# **Think on.** Move a digit by two pixels: by how much may the mean over all positions change, and by how much the numbers of the
# last maps one by one? What has a code lost that cannot tell where in the picture the digit stands, and would a VAE whose encoder ends
# so be able to draw it in its place?
