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
# The checks call your function with tensors in float64, and in [[:TiedAutoencoder]] follow its gradients.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import digits
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import autoencoders as sheet
from vae_course.models.autoencoder import mlp_autoencoder, squared_error
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.training.loop import adam_player, fit

run = start()
train, held_out = digits()

# %% [markdown]
# ## · Which digits are hard? •
#
# *8 minutes.* A mean over all pictures hides which of them are reconstructed badly. The error of a picture is
# $\lVert x - \hat x \rVert^2$, summed over its pixels. Return its mean over the pictures of each class.
#
# `reconstruction`, `x`: `[batch, channels, height, width]`; `labels`: int64 `[batch]`, from 0 to `classes` − 1, each of
# which occurs; `classes`: an integer → `[classes]`, entry $c$ for class $c$.
#
# <details><summary>Hint 1</summary>Two steps: one number per picture, then one number per class.</details>
# <details><summary>Hint 2</summary>The classes have different numbers of pictures: what is each sum divided by?</details>
# <details><summary>Hint 3</summary><code>errors[labels == c].mean()</code> for each class, then
# <code>torch.stack</code>.</details>


# %%
def error_per_class(reconstruction: Tensor, x: Tensor, labels: Tensor, classes: int) -> Tensor:
    ### BEGIN SOLUTION
    errors = (x - reconstruction).square().sum(dim=(1, 2, 3))  # [batch]
    return torch.stack([errors[labels == c].mean() for c in range(classes)])
    ### END SOLUTION


# %%
check(sheet.error_per_class, error_per_class)

# %% [markdown]
# Which digits does PCA with eight numbers find hard, and how much of that is there already without any number, when all are
# answered by the mean picture? You should see that the 1 is the easiest in both.

# %%
eight = PrincipalComponents(train.images, 8)
hard = error_per_class(eight(held_out.images), held_out.images, held_out.labels, 10)
nothing = eight.mean.view(1, 1, 28, 28).expand_as(held_out.images)
blank = error_per_class(nothing, held_out.images, held_out.labels, 10)
figure, (left, right) = figures.subplots(1, 2, figsize=(12, 4.5))
names = [f"digit {c}" for c in range(10)]
figures.bars(
    left,
    dict(zip(names, hard.tolist(), strict=True)),
    "Eight components",
    "squared error of a digit",
)
figures.bars(
    right,
    dict(zip(names, blank.tolist(), strict=True)),
    "The mean picture",
    "squared error of a digit",
)
figure

# %% [markdown]
# *Figure: two bar charts over the ten digits. Eight components: the bar of the 1 is by far the shortest, that of the 2 the longest. The mean
# picture: the 1 the shortest again, the 0 the longest, which eight components bring down to the middle.*

# %% [markdown]
# ## · A decoder that borrows its weights ••
#
# *15 minutes.* In a mirrored autoencoder the decoder has a weight matrix of the shape of the encoder's, transposed. Why not *the*
# encoder's, transposed? Write the module: with weights $W$ `[code, pixels]`, a bias $b$ for the code and a bias $d$ for the
# pixels,
#
# $$ c = \operatorname{SiLU}(W x + b), \qquad \hat x = W^\top c + d . $$
#
# There is one $W$, used twice: both uses send it a gradient. Nothing follows the decoder.
#
# `x`: `[batch, channels, height, width]`, with `pixels` numbers each → the same shape, with gradients to `x` and to the
# weights. The check builds your module anew, gives it known weights in float64, and compares the output, the number of parameters, those
# that a gradient reaches, and the loss after three steps of training.
#
# <details><summary>Hint 1</summary>How many numbers are trained in all? pixels · code + code + pixels.</details>
# <details><summary>Hint 2</summary><code>nn.Linear(pixels, code)</code> holds W and b. Its <code>.weight</code> is an ordinary
# parameter that you may use in <code>forward</code>; d is an <code>nn.Parameter</code> of its own.</details>
# <details><summary>Hint 3</summary>With pictures as rows, <code>code @ self.encoder.weight</code> is the transposed map.
# <code>.view_as(x)</code> gives the shape back.</details>


# %%
class TiedAutoencoder(nn.Module):
    def __init__(self, pixels: int, code: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.encoder = nn.Linear(pixels, code)
        self.bias = nn.Parameter(torch.zeros(pixels))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        code = nn.functional.silu(self.encoder(x.flatten(1)))  # [batch, code]
        return (code @ self.encoder.weight + self.bias).view_as(x)
        ### END SOLUTION


# %%
check(sheet.TiedAutoencoder, TiedAutoencoder)

# %% [markdown]
# Half the weights: is the error worse? Your network and one with a decoder of its own, trained alike. The errors are
# printed; look at the rows, too.

# %%
own = mlp_autoencoder(train.shape, (), 32)
own.encoder = nn.Sequential(own.encoder, nn.SiLU())
rows, test = {"original": held_out.images[:12]}, held_out.images
for name, model in {"tied": TiedAutoencoder(784, 32), "own": own}.items():
    player = adam_player(lambda x, model=model: squared_error(model(x), x), model, 3e-3)
    fit([player], Batches(train.images, size=100), run.epochs(laptop=6))
    with torch.no_grad():
        rows[name] = model(test[:12])
        error = float(squared_error(model(test), test).mean())
    weights = sum(p.numel() for p in model.parameters())
    print(f"{name:4s} {weights:6,} numbers trained, held-out error {error:.1f} a digit")
figures.image_rows(rows, "Tied weights, and weights of its own: codes of 32 numbers")

# %% [markdown]
# *Figure: twelve digits above two rows of reconstructions, both blurred. Those of the network with weights of its own have grey
# specks all over the paper, those of the tied one have not.*
#
# After six passes half the weights do not do worse: the decoder learns from both uses of W. Whether that lasts is another
# question: train both longer (`VAE_COURSE_BUDGET=4`), and compare again.

# %% [markdown]
# ## · Reconstruct from principal components ••
#
# *15 minutes.* Reconstruct data from their first $k$ principal components: subtract the mean, project on the $k$
# directions of largest variance, map back, add the mean.
#
# `x`: `[n, dimension]`, `k`: an integer → `[n, dimension]`.
#
# <details><summary>Hint 1</summary>The directions are the right singular vectors of the centred data.</details>
# <details><summary>Hint 2</summary><code>torch.linalg.svd(centred, full_matrices=False)</code> returns U, S and V
# <em>transposed</em>: which rows or columns of the third are the components?</details>
# <details><summary>Hint 3</summary>With <code>components = svd(…)[2][:k]</code> of shape [k, dimension], the codes are
# <code>centred @ components.T</code>.</details>


# %%
def pca_reconstruction(x: Tensor, k: int) -> Tensor:
    ### BEGIN SOLUTION
    mean = x.mean(0)
    components = torch.linalg.svd(x - mean, full_matrices=False)[2]  # orthonormal rows
    components = components[:k]  # [k, dimension]
    codes = (x - mean) @ components.T  # [n, k]
    return codes @ components + mean
    ### END SOLUTION


# %%
check(sheet.pca_reconstruction, pca_reconstruction)

# %% [markdown]
# You should see digits emerge from blurs as $k$ grows.

# %%
flat = train.images.flatten(1)
rows = {"original": train.images[:12]}
for k in (1, 5, 25, 100):
    rows[f"k = {k}"] = pca_reconstruction(flat, k)[:12].reshape(-1, 1, 28, 28)
figures.image_rows(rows, "Principal components")

# %% [markdown]
# ## · Codes drawn from a normal ••
#
# *15 minutes.* Fit a normal distribution to codes, and draw new ones from it. The noise comes in as an argument, so that
# your answer is the same at every call.
#
# With the mean $\mu$ and the covariance $\Sigma$ of the codes (divide by $n - 1$), take the **lower Cholesky factor** $L$,
# $L L^\top = \Sigma$; each row $\varepsilon$ of the noise becomes $\mu + L \varepsilon$.
#
# `codes`: `[n, k]`, `noise`: `[draws, k]`, standard normal → `[draws, k]`.
#
# <details><summary>Hint 1</summary><code>torch.cov</code> wants variables in rows: give it <code>codes.T</code>.</details>
# <details><summary>Hint 2</summary>Draws are rows, and $(L \varepsilon)^\top = \varepsilon^\top L^\top$.</details>
# <details><summary>Hint 3</summary><code>noise @ torch.linalg.cholesky(…).T</code></details>


# %%
def draw_codes(codes: Tensor, noise: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    factor = torch.linalg.cholesky(torch.cov(codes.T))  # [k, k], lower triangular
    return codes.mean(0) + noise @ factor.T
    ### END SOLUTION


# %%
check(sheet.draw_codes, draw_codes)

# %% [markdown]
# You should see two clouds of one shape: the covariance keeps the tilt that separate standard deviations would lose.

# %%
made = torch.randn(400, 2) @ torch.tensor([[2.0, 1.5], [0.0, 0.6]]) + torch.tensor([3.0, -1.0])
drawn = draw_codes(made, torch.randn(400, 2))
figure, (axes,) = figures.subplots(1, 1, figsize=(7, 5))
axes.scatter(*made.T, s=14, color=figures.SKY, label="codes")
axes.scatter(*drawn.T, s=14, color=figures.VERMILION, marker="x", label="drawn")
axes.set(title="Drawn codes follow the codes", xlabel="code 1", ylabel="code 2")
axes.legend()
figure

# %% [markdown]
# ## · How far apart are two subspaces? •••
#
# *20 minutes.* A linear autoencoder ends in the subspace of PCA, in axes of its own. To see that, compare *subspaces*,
# not bases. The principal angles $\theta_1 \ge \theta_2 \ge \dots$ between the spans of the columns of `a` and of `b`
# have the cosines
#
# $$ \cos \theta_i = \text{singular values of } Q_a^\top Q_b, \text{ in ascending order,} $$
#
# where the columns of $Q_a$ and $Q_b$ are orthonormal bases of the two spans. Return the **largest** angle, in degrees.
#
# `a`, `b`: `[dimension, k]`, of full rank → a tensor without axes.
#
# <details><summary>Hint 1</summary>The columns of a and b are no orthonormal bases. Which decomposition gives one?</details>
# <details><summary>Hint 2</summary>The largest angle has the smallest cosine. Rounding can lift a cosine above 1: clamp
# it.</details>
# <details><summary>Hint 3</summary><code>torch.linalg.qr(a).Q</code>, <code>torch.linalg.svdvals</code>,
# <code>.min()</code>, <code>.acos()</code>, <code>torch.rad2deg</code>.</details>


# %%
def largest_principal_angle(a: Tensor, b: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    cosines = torch.linalg.svdvals(torch.linalg.qr(a).Q.T @ torch.linalg.qr(b).Q)
    return torch.rad2deg(cosines.min().clamp(max=1.0).acos())
    ### END SOLUTION


# %%
check(sheet.largest_principal_angle, largest_principal_angle)

# %% [markdown]
# PCA on one half of the digits and on the other: how stable is the subspace? You should see angles around
# 20° for the first few components, and peaks far above that.

# %%
halves = [train.images[index].flatten(1) for index in (slice(0, 2000), slice(2000, 4000))]
bases = [torch.linalg.svd(half - half.mean(0), full_matrices=False)[2] for half in halves]
sizes = list(range(1, 31))
angles = [float(largest_principal_angle(bases[0][:k].T, bases[1][:k].T)) for k in sizes]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
figures.curves(
    axes,
    sizes,
    {"half against half": angles},
    "How stable is PCA's subspace?",
    "components",
    "largest principal angle, degrees",
)
figure

# %% [markdown]
# **Think on.** Where the curve jumps up and falls again, the last component kept and the first one left out have nearly
# the same variance, so that each half may choose another of the two. Why does one more component bring the angle down?
#
# <details><summary>An answer</summary>
#
# Say that components 4 and 5 vary nearly alike. Then the plane of the two is well determined, and the directions within it
# are not: each half turns them as its sample has it. With 4 components each half keeps one direction of that plane, another
# one, and the angle is large. With 5 both keep the whole plane, and which directions span it no longer matters.
# </details>
