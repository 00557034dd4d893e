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
# [[count]], from • (anybody who read the lecture) to ••• (takes thought); [[minutes]] minutes in all. You need not have
# run the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check tells
# you whether the answer is right, and if not, what is wrong.
#
# The checks call your function with tensors in float64, and in [[:ExactEnlarger]] follow its gradients: compute in torch
# there. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
import torch
from torch import Tensor, nn

from vae_course.data.corruptions import downscale
from vae_course.data.images import digits
from vae_course.evaluation.pictures import structural_similarity
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import more_than_was_given as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
generator = torch.Generator().manual_seed(0)
train, held_out = digits()

# %% [markdown]
# ## · Channels into pixels •
#
# *10 minutes.* An enlarging network works on the small picture and makes $f^2$ channels of each that it is to return. Pixel
# shuffle lays those of one pixel out as a block of $f \times f$ pixels:
#
# $$ \text{out}[b,\; c,\; f i + u,\; f j + v] = x[b,\; c f^2 + f u + v,\; i,\; j], \qquad 0 \le u, v < f . $$
#
# Write it by changing axes, without `nn.PixelShuffle` or `pixel_shuffle`.
#
# `x`: `[batch, c f², height, width]`; `factor`: the number $f$ → `[batch, c, f height, f width]`.
#
# <details><summary>Hint 1</summary>Split the channels into three axes: c, u, v. Which six axes are there then?</details>
# <details><summary>Hint 2</summary>In the result, height and u make the rows. Bring them side by side, in this order, before
# you join them.</details>
# <details><summary>Hint 3</summary><code>x.unflatten(1, (-1, f, f))</code> is <code>[batch, c, u, v, height, width]</code>;
# <code>permute(0, 1, 4, 2, 5, 3)</code> makes it <code>[batch, c, height, u, width, v]</code>.</details>


# %%
def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    ### BEGIN SOLUTION
    split = x.unflatten(1, (-1, factor, factor))  # [batch, c, u, v, height, width]
    return split.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
    ### END SOLUTION


# %%
check(sheet.pixel_shuffle, pixel_shuffle)

# %% [markdown]
# Every second pixel of a digit, from four starting points, makes four small pictures. Shuffled, they are the digit again. You
# should see two equal rows.
#
# *Think on:* before training, the channels of a network have nothing to do with each other. What do its pictures look like?
#
# <details><summary>Answer</summary>
#
# Blocks with a pattern of their own in every place, a checkerboard: neighbouring pixels of the result come from different
# channels with different weights. Training must first make the channels agree. Lecture [[convolutional_vae]] has more on
# checkerboards.
# </details>

# %%
whole = held_out.images[:10]
quarters = torch.cat([whole[:, :, u::2, v::2] for u in (0, 1) for v in (0, 1)], 1)
rows = {"digit": whole, "shuffled": pixel_shuffle(quarters, 2)}
figures.image_rows(rows, "Four channels of 14 × 14 are one picture of 28 × 28")

# %% [markdown]
# *Figure: two rows of ten digits, equal.*

# %% [markdown]
# ## · A colour for a known grey •
#
# *10 minutes.* Old photographs are coloured by a network, but their grey values are known, and should stay. Video splits a
# colour into its luma $Y$ and two differences (Rec. 601):
#
# $$ Y = 0.299\, R + 0.587\, G + 0.114\, B, \qquad C_B = \frac{B - Y}{1.772}, \qquad C_R = \frac{R - Y}{1.402} . $$
#
# The weights add up to 1, so that a grey pixel, $R = G = B$, has this value as its luma. Take a network's colours, and
# change them so that $Y$ is the given grey, while $C_B$ and $C_R$ stay. Leave what falls outside [0, 1] as it is.
#
# `grey`: `[batch, 1, height, width]`; `colour`: `[batch, 3, height, width]`, red, green, blue → the shape of `colour`.
#
# <details><summary>Hint 1</summary>If B − Y and R − Y stay and Y grows by d, by how much do B and R grow? And G?</details>
# <details><summary>Hint 2</summary>It is the lecture's repair of block means once more: add what the answer lacks.</details>
# <details><summary>Hint 3</summary>The luma of the colours, with an axis of size 1 for the channels, is
# <code>(weights[:, None, None] * colour).sum(1, keepdim=True)</code>. Add <code>grey - luma</code> to all channels.</details>


# %%
def recolour(grey: Tensor, colour: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=colour.dtype)
    luma = (weights[:, None, None] * colour).sum(1, keepdim=True)
    return colour + grey - luma
    ### END SOLUTION


# %%
check(sheet.recolour, recolour)

# %% [markdown]
# Sprites of two colours by turns, their lumas, and what is left where a network guessed one colour, orange, for all. You should
# see wrong colours in the right brightness.

# %%
from vae_course.data.sprites import PALETTE, all_factors, render

factors = all_factors((3, 4, 8, 8, 8))[13::601][:10]
shape = render(factors, 28).float() / 255
blue, orange = (torch.tensor(PALETTE[k])[:, None, None] / 255 for k in (4, 0))
true = torch.where(torch.arange(10)[:, None, None, None] % 2 == 0, blue, orange) * shape
luma = (torch.tensor([0.299, 0.587, 0.114])[:, None, None] * true).sum(1, keepdim=True)
rows = {
    "true": true,
    "luma": luma.expand(-1, 3, -1, -1),
    "guess": orange * shape,
    "guess, luma kept": recolour(luma, orange * shape),
}
figures.image_rows(rows, "The grey values are known, the colours are not")

# %% [markdown]
# *Figure: ten sprites, blue and orange by turns; their grey values, darker for blue; all orange; and all orange with the
# luma of the first row, where those that were blue are dark brown.*

# %% [markdown]
# ## · One window of SSIM ••
#
# *15 minutes.* The structural similarity of two windows $a$, $b$ with weights $w$ that add up to 1:
#
# $$ \frac{2 \mu_a \mu_b + c_1}{\mu_a^2 + \mu_b^2 + c_1} \cdot \frac{2 \sigma_{ab} + c_2}{\sigma_a^2 + \sigma_b^2 + c_2}, \qquad \mu_a = \sum_i w_i a_i, \quad \sigma_{ab} = \sum_i w_i (a_i - \mu_a)(b_i - \mu_b), $$
#
# with $\sigma_a^2 = \sigma_{aa}$, $c_1 = 0.01^2$ and $c_2 = 0.03^2$ for pixels in [0, 1].
#
# `a`, `b`: `[batch, n]`, the pixels of the windows; `weights`: `[n]` → `[batch]`.
#
# <details><summary>Hint 1</summary>Five weighted sums: two means, two variances, one covariance.</details>
# <details><summary>Hint 2</summary>A variance is the covariance of a window with itself: write one small function.</details>
# <details><summary>Hint 3</summary><code>mean_a = (weights * a).sum(-1, keepdim=True)</code>; with the axis kept,
# <code>a - mean_a</code> is centred row by row.</details>


# %%
def window_similarity(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    mean_a, mean_b = (weights * a).sum(-1), (weights * b).sum(-1)
    da, db = a - mean_a[:, None], b - mean_b[:, None]
    var_a, var_b, covariance = ((weights * d).sum(-1) for d in (da * da, db * db, da * db))
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return light * (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)
    ### END SOLUTION


# %%
check(sheet.window_similarity, window_similarity)

# %% [markdown]
# The mean of your windows is the similarity of a picture. The windows have 11 × 11 pixels and Gaussian weights.

# %%
axis = torch.arange(11) - 5.0
line = torch.softmax(-axis.square() / (2 * 1.5**2), 0)
weights = (line[:, None] * line).flatten()
clean, noisy = held_out.images[:1], held_out.images[:1] + 0.1 * torch.randn(1, 1, 28, 28)
cut = torch.nn.functional.unfold
windows = [cut(picture, 11)[0].T for picture in (clean, noisy)]  # [324, 121] each
by_windows = float(window_similarity(*windows, weights).mean())
by_package = float(structural_similarity(noisy, clean))
print(f"your windows {by_windows:.4f}, the package {by_package:.4f}")
assert abs(by_windows - by_package) < 1e-3

# %% [markdown]
# ## · An enlarger that is exact ••
#
# *20 minutes.* The lecture's network may miss what it was given, a little. Write one that cannot, whatever its weights: a
# module that takes a small picture $y$ to a picture of $f$ times its side, whose block means **are** $y$.
#
# 1. A convolution from 1 channel to `channels`, SiLU, a convolution to $f^2$ channels; both 3 × 3, with bias, padding 1.
# 2. The $f^2$ channels of a pixel become a block of $f \times f$ pixels. Make their mean 0: subtract it.
# 3. Add $y$ to each of them, and shuffle the channels into pixels (`nn.PixelShuffle`).
#
# `ExactEnlarger(factor, channels)`; called with `[batch, 1, height, width]` → `[batch, 1, f height, f width]`.
#
# <details><summary>Hint 1</summary>Which axis of <code>[batch, f², height, width]</code> runs over the pixels of a block?</details>
# <details><summary>Hint 2</summary>Adding <code>small</code>, of one channel, to f² channels broadcasts.</details>
# <details><summary>Hint 3</summary><code>made - made.mean(1, keepdim=True) + small</code>, then the shuffle.</details>


# %%
class ExactEnlarger(nn.Module):
    def __init__(self, factor: int, channels: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.network = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, factor**2, 3, padding=1),
        )
        self.shuffle = nn.PixelShuffle(factor)
        ### END SOLUTION

    def forward(self, small: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        made = self.network(small)  # [batch, f², height, width]
        return self.shuffle(made - made.mean(1, keepdim=True) + small)
        ### END SOLUTION


# %%
check(sheet.ExactEnlarger, ExactEnlarger)

# %% [markdown]
# Trained for a few seconds. You should see digits, and block means that agree before the training and after it, up to rounding.
#
# *Think on:* does the network pay for this with a larger error?
#
# <details><summary>Answer</summary>
#
# In what it can express, no: every answer can be made exact, and its error falls by that (Pythagoras). What the
# convolutions learn is the part that was left open, and nothing else is asked of them.
# </details>

# %%
torch.manual_seed(0)
small, digit = downscale(train.images, 4), train.images
model = ExactEnlarger(4, 24)
adam = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
new = downscale(held_out.images[:10], 4)


def miss() -> float:
    with torch.no_grad():
        return float((downscale(model(new), 4) - new).abs().max())


untrained = miss()
for _ in range(3):
    for index in torch.randperm(len(train)).split(50):
        error = (model(small[index]) - digit[index]).square().flatten(1).sum(1)
        adam.zero_grad()
        error.mean().backward()
        adam.step()
print(f"largest miss of a block mean: {untrained:.0e} untrained, {miss():.0e} trained")

# %%
with torch.no_grad():
    rows = {
        "7 × 7": new.repeat_interleave(4, 2).repeat_interleave(4, 3),
        "enlarged": model(new),
        "28 × 28": held_out.images[:10],
    }
figures.image_rows(rows, "An enlarged picture with the block means that were given")

# %% [markdown]
# *Figure: ten digits of 7 × 7 pixels; soft digits of 28 × 28 made of them; the true ones.*

# %% [markdown]
# ## · A mean or a choice •••
#
# *20 minutes.* A grey picture may have any of $K$ colours $c_k$, with probabilities $p_k$. Three ways to answer:
#
# 1. by the **mean** colour, $m = \sum_k p_k c_k$;
# 2. by a **draw**: colour $c_j$ with probability $p_j$, thrown independently of the truth;
# 3. by the **most probable** colour.
#
# What is the expected squared error $\mathbb E \lVert \text{answer} - \text{truth} \rVert^2$ of each, over the truth (and
# the draw)? Compute all three without throwing anything.
#
# `p`: `[batch, K]`, rows that add up to 1, their largest entry once; `colours`: `[K, channels]` → a tuple of three tensors
# `[batch]`: the error of the mean, of a draw, of the most probable colour.
#
# <details><summary>Hint 1</summary>Make the table of squared distances between all colours, <code>[K, K]</code>. The draw is
# colour j, the truth is colour k: with which probability?</details>
# <details><summary>Hint 2</summary>For the second: the truth scatters around m, and the draw scatters around m, independently.
# You need no new sum.</details>
# <details><summary>Hint 3</summary>The third is the row of the table that belongs to <code>p.argmax(-1)</code>, weighted by
# <code>p</code>.</details>


# %%
def mean_or_choice(p: Tensor, colours: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    apart = (colours[:, None] - colours).square().sum(-1)  # [K, K]
    mean = p @ colours  # [batch, channels]
    of_mean = (p * (colours - mean[:, None]).square().sum(-1)).sum(-1)
    of_likely = (p * apart[p.argmax(-1)]).sum(-1)
    return of_mean, 2 * of_mean, of_likely
    ### END SOLUTION


# %%
check(sheet.mean_or_choice, mean_or_choice)

# %% [markdown]
# Two colours at the distance 1, one with the probability $p$. Before you run the cell: where does the most probable colour err
# as much as the mean, and where as much as a draw?
#
# <details><summary>Answer</summary>
#
# The mean errs by $p(1 - p)$, a draw by $2 p (1 - p)$, the most probable colour by $\min(p, 1 - p)$: as much as the mean where
# all is certain, as much as a draw where a fair coin is thrown, in between elsewhere. With more than two colours it can err
# more than a draw: with $p = (0.4, 0.3, 0.3)$, where the last two are alike and the first is far from both, it errs by 0.6
# of the squared distance, and a draw by $2 \cdot 0.4 \cdot 0.6 = 0.48$.
# </details>

# %%
share = torch.linspace(0.001, 0.999, 200, dtype=torch.float64)
share = share[share != 0.5]
two = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
names = ("the mean", "a draw", "the most probable")
lines = {
    name: error.tolist()
    for name, error in zip(
        names, mean_or_choice(torch.stack([1 - share, share], 1), two), strict=True
    )
}
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 4))
figures.curves(
    axes, share.tolist(), lines, "A choice costs up to twice the mean", "p", "squared error"
)
figure

# %% [markdown]
# *Figure: two parabolas over p, the one of a draw twice as high as that of the mean, and a tent between them for the most
# probable colour, which touches the upper one at its top.*
