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
# The checks call your function with tensors in float64 and follow its gradients: compute in torch throughout.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vae_course.data.images import digits
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import autoencoders as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
train, held_out = digits()

# %% [markdown]
# ## · One number per picture •
#
# *5 minutes.* Write the loss of an autoencoder, $\lVert x - \hat x \rVert^2 = \sum_{\text{pixels}} (x - \hat x)^2$.
#
# `reconstruction`, `x`: `[batch, channels, height, width]` → `[batch]`. Use it on a batch of pictures of any size.
#
# <details><summary>Hint 1</summary>Over which axes is the sum, and which axis stays?</details>
# <details><summary>Hint 2</summary>The sum runs over channels, height and width: the last three axes.</details>
# <details><summary>Hint 3</summary><code>.square()</code>, then <code>.sum(dim=(1, 2, 3))</code> or
# <code>.flatten(1).sum(-1)</code>.</details>


# %%
def squared_error_per_image(reconstruction: Tensor, x: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return (x - reconstruction).square().sum(dim=(1, 2, 3))
    ### END SOLUTION


# %%
check(sheet.squared_error_per_image, squared_error_per_image)

# %% [markdown]
# See what the error calls close: the held-out digits nearest to the first one, pixel by pixel.

# %%
first = held_out.images[:1]
errors = squared_error_per_image(first.expand_as(held_out.images), held_out.images)
nearest = errors.argsort()[:12]
figures.image_rows(
    {"nearest": held_out.images[nearest]},
    f"Smallest squared error to the first picture ({held_out.name})",
)

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
# ## · A denoising step ••
#
# *15 minutes.* An autoencoder that is given a **noisy** picture and must return the **clean** one learns what digits
# look like; copying does not help it. Take one training step of that kind:
#
# 1. the input of `model` is $x + $ `noise`; the target is the clean $x$;
# 2. the loss is the squared error per picture ([[:squared_error_per_image]]); descend its **mean over the batch**;
# 3. clear old gradients, compute new ones, let the `optimizer` step once;
# 4. return the losses `[batch]` of this step, from before the parameters moved.
#
# `x`, `noise`: `[batch, 1, height, width]` → `[batch]`.
#
# <details><summary>Hint 1</summary>Three calls in this order: <code>zero_grad</code>, <code>backward</code>,
# <code>step</code>.</details>
# <details><summary>Hint 2</summary>What would the model learn if the noise were in the target too?</details>
# <details><summary>Hint 3</summary><code>loss = squared_error_per_image(model(x + noise), x)</code>, and
# <code>loss.mean().backward()</code> between the other two calls.</details>


# %%
def denoising_step(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    loss = (model(x + noise) - x).square().sum(dim=(1, 2, 3))  # [batch]
    optimizer.zero_grad()
    loss.mean().backward()
    optimizer.step()
    return loss.detach()
    ### END SOLUTION


# %%
check(sheet.denoising_step, denoising_step)

# %% [markdown]
# A few seconds of such steps, and the model removes noise that it has never seen from digits that it has never seen.

# %%
from vae_course.models.autoencoder import mlp_autoencoder

model = mlp_autoencoder(train.shape, hidden=(256,), code=32)
adam = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
for _ in range(8):
    for index in torch.randperm(len(train)).split(100):
        clean = train.images[index]
        denoising_step(model, adam, clean, 0.4 * torch.randn_like(clean))

noisy = held_out.images[:12] + 0.4 * torch.randn(12, 1, 28, 28)
with torch.no_grad():
    rows = {"clean": held_out.images[:12], "noisy": noisy, "denoised": model(noisy)}
figures.image_rows(rows, "Held-out digits, denoised")

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
