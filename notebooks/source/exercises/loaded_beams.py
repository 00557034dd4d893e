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
# The checks call your functions with tensors in float64. In [[:filtered]] and [[:compliance_of]] they follow gradients as well: compute in torch there.
# `torch.zeros(n)` is float32; with `dtype=x.dtype` it has the number type of `x`. A layout is a table of densities, `[height, width]` or `[ny, nx]`,
# its first row at the top, as in a picture.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
import torch
from torch import Tensor

from vae_course.data import finite_elements
from vae_course.data.finite_elements import Load, compliance, optimise
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import loaded_beams as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()

# %% [markdown]
# ## · By how many degrees is a load direction missed? •
#
# *10 minutes.* A load and its opposite have the same compliance, so the angle $\alpha$ of a load counts modulo 180 degrees: it is an *axis*. Who regresses
# $\alpha$ itself asks for a jump from 179° to 1° between two loads that are nearly the same. The doubled angle has none, and so a network learns its cosine and sine (Fisher,
# *Statistical Analysis of Circular Data* (1993), on axial data). Its two outputs $\hat c$ and $\hat s$ need not lie on the unit circle: only their direction counts,
#
# $$ \hat\alpha = \tfrac12 \, \mathrm{atan2}(\hat s, \hat c), \qquad
# \text{error} = \min_{k \in \mathbb Z} \lvert \hat\alpha - \alpha + 180° \, k \rvert . $$
#
# `cosine`, `sine`: `[n]`, the outputs for $\cos 2\alpha$ and $\sin 2\alpha$; `angle`, $\alpha$: `[n]`, in degrees, in [0, 180) → `[n]`, errors in degrees, from 0
# to 90. No gradient is asked for.
#
# <details><summary>Hint 1</summary>Which unit does <code>torch.atan2</code> give, and which has <code>angle</code>? Which interval do its
# results lie in?</details>
# <details><summary>Hint 2</summary>Two axes are never more than 90° apart: where a difference d in [0, 180) exceeds 90, the way round the other side is 180 − d.
# <code>%</code> leads any difference into [0, 180).</details>
# <details><summary>Hint 3</summary><code>found = torch.rad2deg(torch.atan2(sine, cosine)) / 2</code>, <code>apart = (found - angle) % 180</code>, and the
# smaller of <code>apart</code> and <code>180 - apart</code>.</details>


# %%
def angle_error(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    found = torch.rad2deg(torch.atan2(sine, cosine)) / 2
    apart = (found - angle) % 180
    return torch.minimum(apart, 180 - apart)
    ### END SOLUTION


# %%
check(sheet.angle_error, angle_error)

# %% [markdown]
# Optimise 240 small layouts that differ by their loads' angles alone, and regress on 160 of them, linearly with a small penalty: once $\cos 2\alpha$
# and $\sin 2\alpha$, once $\alpha$ itself.

# %%
generator = torch.Generator().manual_seed(0)
angles = 180 * torch.rand(240, generator=generator, dtype=torch.float64)
made = [optimise(0.4, Load(0.5, float(a)), 24, 12).density for a in angles]
pictures = torch.stack([torch.from_numpy(one.copy()).flatten() for one in made])  # [240, 288]


def regress(wanted: Tensor) -> Tensor:  # [240, k], of which 160 are seen -> [80, k]
    seen, mean = pictures[:160] - pictures[:160].mean(0), wanted[:160].mean(0)
    products = seen @ seen.T + torch.eye(160, dtype=torch.float64)
    weights = torch.linalg.solve(products, wanted[:160] - mean)
    return (pictures[160:] - pictures[:160].mean(0)) @ seen.T @ weights + mean


doubled, true = torch.deg2rad(2 * angles), angles[160:]
of_two = regress(torch.stack([doubled.cos(), doubled.sin()], 1))
of_angle = torch.deg2rad(2 * regress(angles[:, None])[:, 0])

# %% [markdown]
# You should see errors below three degrees where the doubled angle was regressed. The angle itself is missed by 5 to 16 degrees for some loads within 31° of 0° or 180°, where layouts
# that look alike have unlike angles. On the right is what a plain difference says of the *same* good regression: for every load above 90° it is about 180°.

# %%
errors = {
    "cos 2α and sin 2α": angle_error(of_two[:, 0], of_two[:, 1], true),
    "α itself": angle_error(of_angle.cos(), of_angle.sin(), true),
}
plain = (torch.rad2deg(torch.atan2(of_two[:, 1], of_two[:, 0])) / 2 - true).abs()
figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4.5))
for (name, error), marker, colour in zip(
    errors.items(), "os", (figures.BLUE, figures.VERMILION), strict=True
):
    left.plot(true, error, marker, color=colour, label=name, markersize=6)
left.set(title="Your errors", xlabel="true angle, degrees", ylabel="error, degrees")
left.legend(title="regressed")
right.plot(true, plain, "o", color=figures.BLUE, markersize=6)
right.set(
    title="|found − true| without the wrap",
    xlabel="true angle, degrees",
    ylabel="difference, degrees",
)
figure

# %% [markdown]
# ## · Layouts of equal volume ••
#
# *15 minutes.* More material is stiffer, so layouts that are to be compared must have the same volume, the mean of their densities. Multiplying densities leaves
# [0, 1]. Shift the decoder's *logits* $\ell$ instead, those of layout $n$ all by one number $b_n$: the order of its elements stays, and every density
# remains a density. Optimisers meet a volume constraint by such a search too (Sigmund, Struct. Multidisc. Optim. 21 (2001)). The condition
#
# $$ \frac1{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} \sigma(\ell_{nij} + b_n) = \text{volume}, \qquad \sigma(t) = \frac1{1 + e^{-t}}, $$
#
# has no closed solution, but its left side grows with $b_n$, from 0 to 1: halve an interval until it is met (*bisection*).
#
# `logits`: `[n, height, width]`, between −20 and 20; `volume`: a number from 0.01 to 0.99, so that $\lvert b_n \rvert < 25$ → the densities,
# `[n, height, width]`, the mean of each layout within 10⁻⁶ of the volume. No gradient is asked for.
#
# <details><summary>Hint 1</summary>Each layout has its own interval: keep the lower ends, and the upper ends, in tensors <code>[n, 1, 1]</code>. How many
# halvings make 50 less than 10⁻⁶?</details>
# <details><summary>Hint 2</summary>Where the mean at the middle is below the volume, b must be larger: the middle becomes the lower end. Elsewhere it becomes
# the upper end.</details>
# <details><summary>Hint 3</summary><code>below = torch.sigmoid(logits + middle).mean((1, 2), keepdim=True) &lt; volume</code>, and
# <code>low = torch.where(below, middle, low)</code>.</details>


# %%
def to_volume(logits: Tensor, volume: float) -> Tensor:
    ### BEGIN SOLUTION
    low = torch.full((len(logits), 1, 1), -25.0, dtype=logits.dtype)
    high = -low
    for _ in range(50):
        middle = (low + high) / 2
        below = torch.sigmoid(logits + middle).mean((1, 2), keepdim=True) < volume
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.sigmoid(logits + high)
    ### END SOLUTION


# %%
check(sheet.to_volume, to_volume)

# %% [markdown]
# Three layouts are offered for a load that lifts the middle of the right edge (90°). The first was made for it, from little material, the others for other angles, from more.
# You should see that the first seems the worst as long as each has its own volume, and that it is the stiffest by far at the same volume. In the
# third layout the shift is so large that what was black becomes dark grey, which the cube of the density makes weak.

# %%
lift = Load(0.5, 90.0)
offered = {"90°": optimise(0.3, lift), "45°": optimise(0.45, Load(0.5, 45.0))}
offered["20°"] = optimise(0.55, Load(0.5, 20.0))
before = torch.stack([torch.from_numpy(one.density.copy()) for one in offered.values()])
after = to_volume(before.clamp(0.001, 0.999).logit(), 0.4)
figure, axes = figures.subplots(2, 3, figsize=(13, 5.6))
for row, layouts in enumerate((before, after)):
    for axis, angle, one in zip(axes[3 * row :], offered, layouts, strict=False):
        axis.imshow(one, cmap="gray_r", vmin=0, vmax=1)
        of = f"volume {float(one.mean()):.2f}, c = {compliance(one, lift):.0f}"
        axis.set(title=f"made for {angle}: {of}", xticks=[], yticks=[])
        axis.grid(False)
axes[0].set(ylabel="as offered")
axes[3].set(ylabel="at equal volume")
figure

# %% [markdown]
# ## · The density filter ••
#
# *20 minutes.* Finite elements overrate checkerboards, solid and empty elements by turns, and an optimiser left alone builds them. The *density filter* rules them out: what counts
# as density is a weighted mean of the design $x$ around each element (Bruns & Tortorelli, Comput. Methods Appl. Mech. Engrg. 190 (2001); Bourdin, Int. J.
# Numer. Meth. Engng 50 (2001)),
#
# $$ \rho_i = \frac{\sum_j w_{ij} \, x_j}{\sum_j w_{ij}}, \qquad w_{ij} = \max(0, \, R - \lvert i - j \rvert), $$
#
# where $\lvert i - j \rvert$ is the Euclidean distance between the centres of two elements, in units of their side. Both sums run over the elements of the
# grid and over no others: at the rim fewer weights are summed, below as above.
#
# `design`, $x$: `[ny, nx]`; `radius`, $R$: a number, 1 or more, not always whole (at 1 the filter does nothing) → $\rho$: `[ny, nx]`, with gradients to the design.
#
# <details><summary>Hint 1</summary>The weights depend on the step from i to j only. Which operation of the lecture on convolutions multiplies neighbours by weights
# that are the same everywhere?</details>
# <details><summary>Hint 2</summary>The numerator is a convolution of the design with zeros around it. What do you get if you do the same to a table of ones?</details>
# <details><summary>Hint 3</summary>With <code>steps = torch.arange(-reach, reach + 1)</code> the distances are
# <code>torch.hypot(steps[:, None], steps)</code> (steps as floats), and <code>torch.nn.functional.conv2d(x[None, None], weights[None, None], padding=reach)[0, 0]</code> is
# one of the two sums.</details>


# %%
def filtered(design: Tensor, radius: float) -> Tensor:
    ### BEGIN SOLUTION
    reach = int(radius)
    steps = torch.arange(-reach, reach + 1, dtype=design.dtype)
    weights = (radius - torch.hypot(steps[:, None], steps)).clamp(min=0)
    both = torch.stack([design, torch.ones_like(design)])[:, None]  # [2, 1, ny, nx]
    sums = torch.nn.functional.conv2d(both, weights[None, None], padding=reach)[:, 0]
    return sums[0] / sums[1]
    ### END SOLUTION


# %%
check(sheet.filtered, filtered)

# %% [markdown]
# A design with a checkerboard, bars of one and of three elements, and a block at the rim. With radius 1.5, that of the package, yours must be the package's filter.
# You should see the checkerboard turn into a grey that is almost even at radius 1.5 and even at 4. The thin bar turns grey, and so does the thick one at radius 4: an element
# comes out black only if all elements nearer than $R$ are black. The block is as black at the rim as inside it, for beyond the rim nothing is counted.

# %%
design = torch.zeros(20, 48, dtype=torch.float64)
row, column = torch.meshgrid(torch.arange(20), torch.arange(16), indexing="ij")
design[:, :16] = ((row + column) % 2).double()
design[:, 20] = 1.0
design[:, 27:30] = 1.0
design[:, 36:] = 1.0
ours = torch.from_numpy(finite_elements.smooth(design))
assert torch.allclose(filtered(design, 1.5), ours), "your filter is not the package's"
shown = {"Design": design, "R = 1.5": filtered(design, 1.5), "R = 4": filtered(design, 4.0)}
figure, axes = figures.subplots(1, 3, figsize=(15, 2.8))
for axis, (title, one) in zip(axes, shown.items(), strict=True):
    drawn = axis.imshow(one, cmap="gray_r", vmin=0, vmax=1)
    axis.set(title=title, xlabel="column", ylabel="row")
    axis.grid(False)
figure.colorbar(drawn, ax=axes, label="density")
figure

# %% [markdown]
# ## · How stiff is a generated beam? •••
#
# *30 minutes.* A VAE of beam layouts should be judged by mechanics too. Write the compliance of a layout, so that gradients
# flow back to it. A square element $e$ of density $\rho_e$ has the stiffness $E(\rho_e) \, k$, with $k$ that of a solid one and the
# modulus (modified SIMP; Sigmund (2007), Struct. Multidisc. Optim. 33)
#
# $$ E(\rho) = E_\text{min} + \rho^3 (1 - E_\text{min}), \qquad E_\text{min} = 10^{-9} . $$
#
# Each element has four nodes with two displacements each. Its matrix $E(\rho_e) \, k$ belongs to the eight rows and columns of
# $K$ that its displacements have; elements that share a node share them, and their matrices add up. Displacements that are
# clamped are 0 and have no row and no column. Then
#
# $$ K u = f, \qquad c = f \cdot u $$
#
# (Sigmund, Struct. Multidisc. Optim. 21 (2001), equation 1).
#
# `density`, $\rho$: `[elements]`, in (0, 1], with a gradient; `element`, $k$: `[8, 8]`, symmetric; `unknowns`: int64
# `[elements, 8]`, the numbers of the element's displacements, counted from 0, and −1 for one that is clamped; `force`, $f$:
# `[free]`, one entry for each displacement that is not clamped → $c$, a tensor without axes, in load² / (modulus × thickness).
# If `solve` calls K singular, some displacement got no stiffness: was number 0 kept?
#
# <details><summary>Hint 1</summary>Start from a <code>free × free</code> matrix of zeros with <code>dtype=density.dtype</code>, and loop
# over the elements. What does Python take index −1 for?</details>
# <details><summary>Hint 2</summary>For one element, <code>kept = unknowns[e] &gt;= 0</code> tells which of its rows and columns count:
# <code>element[kept][:, kept]</code>. It is added to K at the numbers <code>unknowns[e][kept]</code>, in rows and columns. No gradient
# by hand is needed: autograd goes through <code>torch.linalg.solve</code>.</details>
# <details><summary>Hint 3</summary>With <code>free = unknowns[e][kept]</code>, <code>K[free[:, None], free]</code> is the block to which
# E(ρ_e) times that matrix is added, by <code>+=</code>. Once the −1 are gone, no number occurs twice within one element, so this adds up.
# Last, <code>force @ torch.linalg.solve(K, force)</code>.</details>


# %%
def compliance_of(density: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    modulus = 1e-9 + density**3 * (1 - 1e-9)
    stiffness = torch.zeros(len(force), len(force), dtype=density.dtype)
    for e in range(len(density)):
        kept = unknowns[e] >= 0
        free = unknowns[e][kept]
        stiffness[free[:, None], free] += modulus[e] * element[kept][:, kept]
    return force @ torch.linalg.solve(stiffness, force)
    ### END SOLUTION


# %%
check(sheet.compliance_of, compliance_of)

# %% [markdown]
# A cantilever of 12 × 6 elements, clamped at its left edge, with a load that lifts the middle of its right edge. You should
# see your numbers agree with those of the course's solver, for uniform layouts and for optimised ones. On the right stands
# minus your gradient, for half-filled elements: material helps most at the upper and lower end of the clamped edge, and
# little on the beam's axis except at the load. Topology optimisation follows such maps, step by step.


# %%
def cantilever(nx: int, ny: int) -> Tensor:
    """Unknowns of nx × ny elements, [nx * ny, 8], both counted down columns; the left edge is clamped."""
    column, row = torch.meshgrid(torch.arange(nx), torch.arange(ny), indexing="ij")
    corners = torch.tensor([0, 1, ny + 1, ny + 2])
    nodes = (column * (ny + 1) + row).reshape(-1, 1) + corners  # [elements, 4]
    numbers = 2 * nodes[:, :, None] + torch.tensor([0, 1])  # to the right, upwards
    return (numbers.flatten(1) - 2 * (ny + 1)).clamp(min=-1)


nx, ny, load = 12, 6, Load(0.5, 90.0)
unknowns = cantilever(nx, ny)
solid = torch.from_numpy(finite_elements.element_stiffness())
lift = torch.from_numpy(finite_elements.force(load, nx, ny))
volumes = (0.3, 0.5, 0.7, 0.9)
layouts = {
    "uniform": [torch.full((ny, nx), v, dtype=torch.float64) for v in volumes],
    "optimised": [torch.from_numpy(optimise(v, load, nx, ny).density.copy()) for v in volumes],
}
yours = {
    name: [float(compliance_of(one.T.flatten(), solid, unknowns, lift)) for one in group]
    for name, group in layouts.items()
}
solvers = {
    name: [finite_elements.compliance(one.numpy(), load) for one in group]
    for name, group in layouts.items()
}
half = torch.full((nx * ny,), 0.5, dtype=torch.float64, requires_grad=True)
(slope,) = torch.autograd.grad(compliance_of(half, solid, unknowns, lift), half)

figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4.5))
left.axline((100, 100), slope=1, color=figures.BLACK, linewidth=1)
for name, marker, colour in (
    ("uniform", "o", figures.BLUE),
    ("optimised", "s", figures.VERMILION),
):
    left.loglog(solvers[name], yours[name], marker, color=colour, label=name, markersize=10)
left.set(
    title="Your compliance is the solver's",
    xlabel="solver, load² / (modulus × thickness)",
    ylabel="yours, in the same unit",
)
left.legend()
drawn = right.imshow(-slope.reshape(nx, ny).T, cmap="viridis")
right.set(title="Material helps most at the clamped corners", xlabel="column", ylabel="row")
right.grid(False)
figure.colorbar(drawn, ax=right, label="−∂c/∂ρ, in the unit of c", shrink=0.7)
figure

# %% [markdown]
# **Think on.** Your function accepts a decoder's mean picture as well, and gradients flow through it to the latent $z$. What
# would you find by descending the compliance in $z$? What keeps the layout from becoming a solid block, and what keeps $z$
# where the decoder has seen examples?
