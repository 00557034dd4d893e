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
# The checks call your function with tensors in float64. Every result is a torch tensor. `torch.zeros(n)` is float32; with
# `dtype=x.dtype` it has the number type of `x`.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.connections import COLUMNS, connections
from vae_course.data.images import digits
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import what_does_not_belong as sheet
from vae_course.models.autoencoder import squared_error
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## · How few false alarms? •
#
# *10 minutes.* The lecture went from a detector to the share of its alarms that are true. Go the other way. A share `base_rate` of all
# signals is faulty; the detector catches a share `caught` of the faulty ones. A share `precision` of its alarms shall be
# true. **How large may the share of false alarms among the normal signals be?** Where even an alarm for every signal
# would do, the answer is 1.
#
# `base_rate`, `caught`, `precision`: tensors of one shape, strictly between 0 and 1 (`caught` may be 1) → a tensor of that shape.
#
# <details><summary>Hint 1</summary>Count: of a million signals, how many are faulty and caught? How many false alarms may stand
# beside them?</details>
# <details><summary>Hint 2</summary>For each true alarm, (1 − precision)/precision false ones are allowed.</details>
# <details><summary>Hint 3</summary>That is a share of all signals. Divide by the share of normal ones, and cut at 1 with
# <code>clamp</code>.</details>


# %%
def allowed_false_alarms(base_rate: Tensor, caught: Tensor, precision: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    true_alarms = base_rate * caught  # of all signals
    false_ones = true_alarms * (1 - precision) / precision  # of all signals
    return (false_ones / (1 - base_rate)).clamp(max=1)
    ### END SOLUTION


# %%
check(sheet.allowed_false_alarms, allowed_false_alarms)

# %% [markdown]
# How rare may a fault be, if half of the alarms shall be true? You should see a straight line on logarithmic axes: half as many faults
# allow half as many false alarms.

# %%
base_rates = torch.logspace(-5, -1, 41, dtype=torch.float64)
lines = {}
for share in (0.1, 0.5, 0.9):
    allowed = allowed_false_alarms(base_rates, 0.98 + 0 * base_rates, share + 0 * base_rates)
    lines[f"{share:.0%} of alarms true"] = allowed.tolist()
figure, (axes,) = figures.subplots(1, 1, figsize=(8.5, 4.2))
title = "What is rare allows hardly a false alarm"
figures.curves(
    axes, base_rates.tolist(), lines, title, "share of faulty signals", "false alarms allowed"
)
axes.axhline(0.05, color="black", linestyle=":", linewidth=2)
axes.set(xscale="log", yscale="log")
figure

# %% [markdown]
# *Figure: three rising straight lines on logarithmic axes, the more true alarms are wanted, the lower. The dotted line of 5 % false alarms, the
# lecture's, crosses that of one half near five faults in a hundred signals.*

# %% [markdown]
# ## · The area, where each example stands for many ••
#
# *15 minutes.* A plant keeps every signal that raised suspicion and one in ten of the rest. So a kept signal stands for
# `weight` signals. The area under the ROC curve is that of all signals: with scores $a_i$ and weights $v_i$ of the anomalies,
# $b_j$ and $w_j$ of the normal examples,
#
# $$ A = \frac{\sum_{i, j} v_i w_j \bigl( [a_i > b_j] + \tfrac12 [a_i = b_j] \bigr)}{\sum_{i, j} v_i w_j} . $$
#
# The bracket $[\cdot]$ is 1 where the statement is true, else 0.
#
# `scores`, `weight`: `[n]`, float64, weights positive; `anomalous`: bool `[n]`, with at least one of each kind → a tensor without axes.
#
# <details><summary>Hint 1</summary>A mask selects: what are <code>scores[anomalous]</code> and <code>scores[~anomalous]</code>?</details>
# <details><summary>Hint 2</summary>A new axis makes all pairs: <code>[m, 1]</code> against <code>[n − m]</code>. The weights of the
# pairs are made likewise.</details>
# <details><summary>Hint 3</summary><code>a[:, None] &gt; b</code> is true where a pair is won. What is true where it is a tie, and
# what does each count?</details>


# %%
def area_under_roc(scores: Tensor, anomalous: Tensor, weight: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    a, b = scores[anomalous][:, None], scores[~anomalous]
    pairs = weight[anomalous][:, None] * weight[~anomalous]
    won = (a > b).double() + 0.5 * (a == b).double()
    return (pairs * won).sum() / pairs.sum()
    ### END SOLUTION


# %%
check(sheet.area_under_roc, area_under_roc)

# %% [markdown]
# A log of 20,000 signals of which 1,000 are anomalies. Kept are those with a score above 2 and one in ten of the others. You should
# see that the kept ones alone mislead, and that the weights bring the area back, to a few hundredths.

# %%
anomalous = torch.arange(20_000) < 1000
scores = torch.randn(20_000, generator=generator, dtype=torch.float64) + 1.2 * anomalous
kept = (scores > 2) | (torch.rand(20_000, generator=generator) < 0.1)
weight = torch.where(scores > 2, 1.0, 10.0).double()
one = torch.ones_like(weight)
print(f"all signals         {area_under_roc(scores, anomalous, one):.3f}")
print(f"kept, unweighted    {area_under_roc(scores[kept], anomalous[kept], one[kept]):.3f}")
print(f"kept, weighted      {area_under_roc(scores[kept], anomalous[kept], weight[kept]):.3f}")

# %% [markdown]
# **Think on.** How sure is the weighted area?
#
# <details><summary>Answer</summary>
#
# Less sure than the number of kept signals suggests. The anomalies of low score decide how far it lies below 1, and only one in ten of
# them was kept: each speaks for ten.
# </details>

# %% [markdown]
# ## · Where is the error? ••
#
# *15 minutes.* An autoencoder that knows only sound parts is expected to reconstruct a faulty one badly, and worst where the fault
# is. The error of a single pixel may be noise alone; so take the squared error of every pixel, summed over the channels, and average it
# over a square window around the pixel:
#
# $$ e_{ij} = \sum_c (\hat x_{cij} - x_{cij})^2, \qquad
#    m_{ij} = \frac{1}{|W_{ij}|} \sum_{(k, l) \in W_{ij}} e_{kl} . $$
#
# $W_{ij}$ holds the pixels of the picture within the `window` × `window` square centred at $(i, j)$. Near a border it is cut off: divide by the
# number of pixels that *exist*.
#
# `reconstruction`, `x`: `[batch, channels, height, width]`; `window`: an odd whole number → `[batch, height, width]`.
#
# <details><summary>Hint 1</summary>In which order: square, sum over the channels, average?</details>
# <details><summary>Hint 2</summary><code>torch.nn.functional.avg_pool2d</code> averages over windows. Its step is a whole window
# unless you say otherwise, and its padding is 0. It wants [batch, 1, height, width], or three axes. A loop
# over pixels and slices is right too.</details>
# <details><summary>Hint 3</summary><code>avg_pool2d(…, window, stride=1, padding=window // 2)</code> gives a map of the right size.
# What does it count at the border, and what does <code>count_include_pad</code> decide?</details>


# %%
def error_map(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    ### BEGIN SOLUTION
    errors = (reconstruction - x).square().sum(1)  # [batch, height, width]
    return nn.functional.avg_pool2d(
        errors, window, stride=1, padding=window // 2, count_include_pad=False
    )
    ### END SOLUTION


# %%
check(sheet.error_map, error_map)

# %% [markdown]
# A linear autoencoder of 40 principal components has learnt whole digits. Now one copy of every test digit gets an additional
# stroke, and another loses a piece. All of them carry a little noise, as pictures from a camera do.

# %%
train, held_out = digits()
Pictures = Callable[[Tensor], Tensor]


def principal(pictures: Tensor, k: int) -> Pictures:
    flat = pictures.flatten(1)
    mean = flat.mean(0)
    components = torch.linalg.eigh(torch.cov(flat.T)).eigenvectors[:, -k:]  # [pixels, k]
    return lambda x: ((x.flatten(1) - mean) @ components @ components.T + mean).reshape(x.shape)


def fault(x: Tensor, rows: slice, columns: slice, ink: float) -> tuple[Tensor, Tensor]:
    mask = torch.zeros(28, 28, dtype=torch.bool)
    mask[rows, columns] = True
    camera = 0.3 * torch.randn(x.shape, generator=generator)
    return x.masked_fill(mask, ink) + camera, mask


rebuild = principal(train.images, 40)
gap = held_out.images[:, 0, 10:15, 11:17].sum((1, 2)) > 8  # digits with ink to lose
longer, where_longer = fault(held_out.images[gap], slice(8, 20), slice(4, 7), 1.0)
shorter, where_shorter = fault(held_out.images[gap], slice(10, 15), slice(11, 17), 0.0)

# %% [markdown]
# You should see dark spots on the strokes that are too much. The missing piece hardly shows: the reconstruction leaves the gap
# nearly empty too.

# %%
shown = torch.cat([longer[:5], shorter[5:10]])
maps = [error_map(rebuild(shown), shown, window)[:, None] for window in (1, 5)]
rows = {
    "sound": held_out.images[gap][:10],
    "faulty": shown,
    "rebuilt": rebuild(shown),
    "window 1": maps[0] / maps[0].amax((1, 2, 3), keepdim=True),
    "window 5": maps[1] / maps[1].amax((1, 2, 3), keepdim=True),
}
figures.image_rows(rows, "A stroke too much is found, a missing piece is not")

# %% [markdown]
# *Figure: five rows of ten digits: sound; with a bar at the left or a gap in the middle, and noise; rebuilt with blurs; the errors of single pixels,
# scattered all over; their means over 5 × 5 pixels, darkest at the bars, but not at the gaps.*

# %% [markdown]
# The same for all test digits that have ink at the gap: how often is the largest value of the map at the fault? You should see
# why one averages, and that no window finds the gap often.

# %%
found = {"a stroke too much": [], "a missing piece": []}
for window in (1, 3, 5):
    for name, x, where in (
        ("a stroke too much", longer, where_longer),
        ("a missing piece", shorter, where_shorter),
    ):
        at = error_map(rebuild(x), x, window).flatten(1).argmax(1)
        found[name].append(float(where.flatten()[at].double().mean()))
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
title = "A window helps to find a stroke, not a gap"
figures.curves(axes, [1, 3, 5], found, title, "window, pixels", "share found")
axes.set(ylim=(0, 1.05), xticks=[1, 3, 5])
figure

# %% [markdown]
# *Figure: two lines over the windows 1, 3 and 5. That of the additional stroke rises; that of the missing
# piece stays low.*

# %% [markdown]
# ## · An autoencoder in the records' own units ••
#
# *20 minutes.* Sensors and logs have columns in seconds, bytes and shares. The lecture standardized them beside the network, where
# it is easily forgotten. Write a module that holds its own standardization: built from training `records`, it measures each column's mean and standard
# deviation, and its `forward` takes records in their own units and returns reconstructions in the same units:
#
# $$ u = \frac{x - \mu}{\sigma}, \qquad \hat u = g(f(u)), \qquad \hat x = \sigma \hat u + \mu . $$
#
# - The means and standard deviations (`torch.std`, which divides by $n - 1$) are measured, not trained: buffers, which move and are saved with the
#   module. A column that never changes has σ = 0: divide it by 1.
# - The encoder has two linear layers, to `width` and to `code` numbers, with SiLU between them; the decoder likewise, back to `width` and to
#   the columns. Encoder first.
#
# `records`: `[n, columns]`; `x`: `[batch, columns]` → `[batch, columns]`. The check builds your module anew, gives it known weights in
# float64, and compares the output, the number of parameters, those that a gradient reaches, and the loss after three steps of training.
#
# <details><summary>Hint 1</summary>How often is the standard deviation used in <code>forward</code>?</details>
# <details><summary>Hint 2</summary><code>self.register_buffer("mean", records.mean(0))</code> makes <code>self.mean</code>.</details>
# <details><summary>Hint 3</summary><code>torch.where(std &gt; 0, std, 1.0)</code> replaces the zeros.</details>


# %%
class StandardizingAutoencoder(nn.Module):
    def __init__(self, records: Tensor, width: int, code: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        std = records.std(0)
        self.register_buffer("mean", records.mean(0))
        self.register_buffer("std", torch.where(std > 0, std, 1.0))
        columns = records.shape[1]
        self.encoder = nn.Sequential(
            nn.Linear(columns, width), nn.SiLU(), nn.Linear(width, code)
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, width), nn.SiLU(), nn.Linear(width, columns)
        )
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        standard = (x - self.mean) / self.std
        return self.std * self.decoder(self.encoder(standard)) + self.mean
        ### END SOLUTION


# %%
check(sheet.StandardizingAutoencoder, StandardizingAutoencoder)

# %% [markdown]
# Train it on ordinary connections alone, and let it judge all kinds. The error is divided by each column's variance, so that bytes do not
# outvote seconds. You should see that all attacks stand out in the median, guesses least.

# %%
known, other = connections(600), connections(200, number=1)
ordinary = known.records[known.kind == 0]
model = StandardizingAutoencoder(ordinary, 32, 4)
loss = lambda x: squared_error(model(x) / model.std, x / model.std)
history = fit(
    [adam_player(loss, model, 3e-3)], Batches(ordinary, size=50), run.epochs(laptop=40)
)
with torch.no_grad():
    error = loss(other.records).double()
for kind, name in enumerate(("ordinary", "flood", "scan", "guess", "leak")):
    print(f"{name:9s} median error {error[other.kind == kind].median():8.1f}")
print(len(COLUMNS), "columns:", ", ".join(COLUMNS))

# %% [markdown]
# **Think on.** Why is the error divided by σ in the loss, though the module standardizes?
#
# <details><summary>Answer</summary>
#
# The module's output is in the records' units. Their squared error is in bytes² and seconds², and the column with the largest numbers would be
# all that is learnt.
# </details>

# %% [markdown]
# ## · The standard error, without a model •••
#
# *20 minutes.* The lecture's standard error of an area supposes exponential scores. Here is the way without (DeLong, DeLong & Clarke-Pearson, *Comparing
# the areas under two or more correlated receiver operating characteristic curves*, Biometrics 44, 1988). Let $\psi_{ij} = [a_i > b_j] + \tfrac12 [a_i = b_j]$
# for anomaly $i$ and normal example $j$, and average it within each example:
#
# $$ v_i = \frac1n \sum_j \psi_{ij}, \qquad w_j = \frac1m \sum_i \psi_{ij} . $$
#
# $v_i$ is the share of normal examples below anomaly $i$, $w_j$ that of anomalies above normal example $j$; both average to $\hat A$. For large samples
#
# $$ \hat A - A \approx \Bigl( \tfrac1m \textstyle\sum_i v_i - \text{its mean} \Bigr) + \Bigl( \tfrac1n \sum_j w_j - \text{its mean} \Bigr) , $$
#
# where the two brackets are independent, the first from the draw of the anomalies, the second from that of the normal examples, and each is
# a mean of independent draws. **What is the standard error of $\hat A$?** Estimate each variance with the division by the number less one.
#
# `scores`: `[m + n]`, float64; `anomalous`: bool `[m + n]`, with at least two of each kind → a tensor without axes.
#
# <details><summary>Hint 1</summary>What is the variance of a mean of m independent draws? And of the sum of two independent numbers?</details>
# <details><summary>Hint 2</summary>Make all pairs, <code>[m, n]</code>, and average along one axis, then along the other.</details>
# <details><summary>Hint 3</summary><code>tensor.var()</code> divides by the number less one. Each variance is divided by how many numbers it
# is the variance of; add, and take the root.</details>


# %%
def standard_error_of_area(scores: Tensor, anomalous: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    a, b = scores[anomalous][:, None], scores[~anomalous]
    won = (a > b).double() + 0.5 * (a == b).double()  # [m, n]
    below, above = won.mean(1), won.mean(0)  # [m], [n]
    return (below.var() / len(below) + above.var() / len(above)).sqrt()
    ### END SOLUTION


# %%
check(sheet.standard_error_of_area, standard_error_of_area)

# %% [markdown]
# Three kinds of scores, 30 anomalies and 50 normal examples, drawn 400 times. The spread of the area over the draws is what a standard error
# should be; beside it the mean of yours. In the last kind the
# anomalies spread wide, to both sides of the normal ones: there the lecture's formula, made for exponential scores, comes out too small, and
# yours does not.

# %%
group = torch.arange(80) < 30


def one_set(kind: str) -> Tensor:
    base = torch.randn(80, generator=generator, dtype=torch.float64)
    if kind == "normal":
        return base + group
    if kind == "exponential":
        return -torch.rand(80, generator=generator, dtype=torch.float64).log() * (1 + 2 * group)
    return torch.where(group, 3 * base, base)  # anomalies spread wide, to both sides


for kind in ("normal", "exponential", "wide"):
    sets = [one_set(kind) for _ in range(400)]
    won = [(s[group][:, None] > s[~group]).double().mean() for s in sets]
    area = torch.stack(won).mean()
    shared = 39 * ((1 - area) / (2 - area) + area / (1 + area))
    model_error = (area * (1 - area) / 1500 * (1 + shared)).sqrt()
    mine = torch.stack([standard_error_of_area(s, group) for s in sets]).mean()
    print(
        f"{kind:12s} spread {torch.stack(won).std():.4f}  yours {mine:.4f}  the formula's {model_error:.4f}"
    )

# %% [markdown]
# **Think on.** Where all anomalies lie above all normal examples, what is your standard error, and what does it mean?
#
# <details><summary>Answer</summary>
#
# It is 0: all shares are 1. That does not mean that the area is known to be 1, only that this sample has no pair that could show otherwise. The
# interval of the lecture, which asks for which $A$ such a sample would be plausible, has a width there.
# </details>
