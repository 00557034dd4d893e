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
# [[count]], from • (anybody who has used PyTorch a little) to •• (takes a pencil); [[minutes]] minutes in all. You need
# not have run the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check
# tells you whether the answer is right, and if not, what is wrong.
#
# This is how all sheets work: an exercise has a task, three hints that unfold at a click, a function to write, and a check, which
# calls your function with other numbers each time. What follows a check uses your function, mostly in a
# figure, so it runs only once the function is written.
#
# The checks call your function with tensors in float64, and in [[:normal_log_density]] follow its gradients: compute in torch there. Every result
# is a torch tensor, or a tuple of them.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vae_course.data.images import digits_8x8
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import start_here as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## · What a wrong table costs •
#
# *8 minutes.* A code made for the distribution q spends $-\log_2 q(i)$ bits on outcome $i$. The outcomes come from p, for which a
# code of $-\log_2 p(i)$ bits could have been made. How many bits per outcome does the wrong table waste, on average?
#
# $$ \sum_i p(i) \, \bigl[ \log_2 p(i) - \log_2 q(i) \bigr] $$
#
# This is a KL divergence, in bits; most lectures from [[latent_variable_models]] on use it. An outcome with $p(i) = 0$ never comes and
# costs nothing; q is positive everywhere, and may be as small as $10^{-13}$, so add no small constant to it.
#
# `p`, `q`: `[batch, k]`, each row sums to 1 → `[batch]`, in bits.
#
# <details><summary>Hint 1</summary>Every outcome counts as often as it comes. Which of p and q says how often that is?</details>
# <details><summary>Hint 2</summary>The bracket has a value for each i, [batch, k]; the sum runs over the last axis. A tensor has
# <code>.log2()</code>.</details>
# <details><summary>Hint 3</summary>0 times minus infinity is NaN. <code>torch.special.xlogy(p, p)</code> is p log p, with 0 at p = 0,
# in nats; what turns nats into bits?</details>


# %%
def bits_wasted(p: Tensor, q: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    nats = torch.special.xlogy(p, p) - p * q.log()  # [batch, k]
    return nats.sum(-1) / log(2)
    ### END SOLUTION


# %%
check(sheet.bits_wasted, bits_wasted)

# %% [markdown]
# For each digit from 0 to 9 a table of the frequencies of its pixels. Write the digits of one class with the table of another. You should see
# nothing wasted on the diagonal, and the waste of a by b's table near that of b by a's table, but not equal to it.

# %%
digits = digits_8x8()
level = (digits.images.flatten(1) * 16).round().long()
counts = torch.nn.functional.one_hot(level, 17).double() + 0.01  # [n, 64, 17]
tables = torch.stack([counts[digits.labels == c].mean(0) for c in range(10)])
tables = tables / tables.sum(-1, keepdim=True)  # [10, 64, 17]
wasted = torch.tensor([[float(bits_wasted(a, b).sum()) for b in tables] for a in tables])
figure, (axes,) = figures.subplots(1, 1, figsize=(7.5, 6))
shown = axes.imshow(wasted, cmap="viridis")
figure.colorbar(shown, label="bits wasted on a digit")
axes.set(
    title="Another digit's table is a bad code",
    xlabel="the table's digit",
    ylabel="the digit written",
    xticks=range(10),
    yticks=range(10),
)
axes.grid(False)
figure

# %% [markdown]
# *Figure: a square of ten by ten cells. The diagonal is dark, nothing wasted. Brightest are a 1 or a 2 written with the table of
# the 0, nearly 70 bits; darkest beside the diagonal are pairs such as 3 and 9, about 20.*

# %% [markdown]
# ## · A log-density by hand •
#
# *8 minutes.* In this course probabilities appear as logarithms, natural ones, and their unit is the nat. Nearly every
# distribution in it is a normal one with independent coordinates. Write the logarithm of its density,
#
# $$ \log \mathcal N\bigl(x;\, \mu, \operatorname{diag}(\sigma^2)\bigr) = \sum_i \Bigl[ -\tfrac12 \Bigl( \frac{x_i - \mu_i}{\sigma_i} \Bigr)^2
#    - \log \sigma_i - \tfrac12 \log 2\pi \Bigr] , $$
#
# from this equation; try it without `torch.distributions`. Do not compute the density itself first: far from the mean, or in many
# dimensions, it rounds to 0, and its logarithm is minus infinity. Nor add a small constant to $\sigma$, nor clamp it: it may be as
# small as $10^{-13}$ here. In this sheet `log` is `math.log`, for numbers; a tensor has `.log()`.
#
# `x`, `mean` ($\mu$), `std` ($\sigma$, the standard deviation): `[batch, dimension]` → `[batch]`, in nats, with gradients to all three.
#
# <details><summary>Hint 1</summary>Which axis does i run along, and which one stays?</details>
# <details><summary>Hint 2</summary>First write the bracket for all entries at once, a tensor [batch, dimension]. The last of
# its three terms is a number, and belongs to every coordinate.</details>
# <details><summary>Hint 3</summary><code>-0.5 * ((x - mean) / std) ** 2</code> is the first term and <code>-std.log()</code> the
# second. Write the third, and sum the bracket over the axis of i.</details>


# %%
def normal_log_density(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    terms = -0.5 * ((x - mean) / std) ** 2 - std.log() - 0.5 * log(2 * pi)  # [batch, dimension]
    return terms.sum(-1)
    ### END SOLUTION


# %%
check(sheet.normal_log_density, normal_log_density)

# %% [markdown]
# Three normals of one dimension. You should see parabolas, and the narrowest of them rises above 0. A probability cannot exceed 1, and a
# density can. What must be 1 is its integral, which is printed below: a sum over a fine grid times the grid's step.

# %%
grid = torch.linspace(-8, 8, 1601, dtype=torch.float64)[:, None]  # [batch, 1]
centre = torch.zeros_like(grid)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
for std, colour in ((0.2, figures.VERMILION), (0.5, figures.GREEN), (1.0, figures.BLUE)):
    values = normal_log_density(grid, centre, torch.full_like(grid, std))
    axes.plot(grid[:, 0], values, color=colour, label=f"σ = {std}")
    print(f"σ = {std}: the density integrates to {values.exp().sum() * 0.01:.4f}")
axes.axhline(0, color=figures.BLACK, linestyle=":")
axes.set(
    title="A log-density can be positive",
    xlabel="x",
    ylabel="log N(x; 0, σ²), nats",
    xlim=(-3, 3),
    ylim=(-6, 1.5),
)
axes.legend()
figure

# %% [markdown]
# *Figure: three parabolas, open below, with their peaks at x = 0. That of σ = 0.2 is the narrowest and peaks at about 0.7, above a
# dotted line at 0; that of σ = 0.5 peaks just below the line and that of σ = 1 at about −0.9.*

# %% [markdown]
# ## · Every point under every normal ••
#
# *10 minutes.* Given $n$ points and $k$ normals with $d$ independent coordinates each, tabulate the log-density of every point under every
# normal; distances and standard deviations are as extreme as in [[:normal_log_density]]. Any way that works will do. The short one
# uses the shapes of `torch.distributions`:
#
# - `Normal(means, stds)` with parameters `[k, d]` is $k \cdot d$ separate distributions of one number: its batch shape is `[k, d]`, its event
#   shape `[]`;
# - `Independent(…, 1)` makes the last axis part of the event: $k$ distributions of $d$ numbers, batch shape `[k]`, event shape `[d]`;
# - `log_prob(x)` broadcasts `x` against batch shape and event shape together and returns one number for every point and event: it sums
#   over the event shape.
#
# `x`: `[n, d]`; `means`, `stds`: `[k, d]` → `[n, k]`, in nats. Row $i$ belongs to point $i$, column $j$ to normal $j$. No gradient
# is asked for.
#
# <details><summary>Hint 1</summary>[n, d] and [k, d] do not broadcast to [n, k, d]; where n = k, or one of them is 1, they broadcast
# silently to something wrong. Where does one of them need an axis of length 1?</details>
# <details><summary>Hint 2</summary><code>x[:, None]</code> is [n, 1, d]. What shape has <code>Normal(means,
# stds).log_prob(x[:, None])</code>, and which axis is too many?</details>
# <details><summary>Hint 3</summary>Wrap the normal, <code>Independent(Normal(means, stds), 1)</code>, and call the
# <code>log_prob</code> of that. Or sum over the last axis yourself.</details>


# %%
def log_density_table(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    normals = Independent(Normal(means, stds), 1)  # batch shape [k], event shape [d]
    return normals.log_prob(x[:, None])  # [n, 1, d] against [k, d]
    ### END SOLUTION


# %%
check(sheet.log_density_table, log_density_table)

# %% [markdown]
# Three normals of the plane, numbered, each with an ellipse at one standard deviation, and every point coloured by the normal whose
# density is largest there. You should see borders that bend around the two narrow normals. Far away the widest wins on all sides,
# even where the mean of another is nearer.

# %%
steps = torch.linspace(-8, 8, 200, dtype=torch.float64)
plane = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).flatten(0, 1)  # [40000, 2]
means = torch.tensor([[-2.5, -1.0], [2.0, 2.0], [1.0, -2.0]]).double()
stds = torch.tensor([[0.8, 1.2], [2.5, 2.5], [1.0, 0.6]]).double()
densest = log_density_table(plane, means, stds).argmax(-1).reshape(200, 200)
angle = torch.linspace(0, 2 * pi, 100)
figure, (axes,) = figures.subplots(1, 1, figsize=(6.5, 5.5))
axes.imshow(densest, origin="lower", extent=(-8, 8, -8, 8), cmap="Set3", vmin=0, vmax=11)
for j in range(3):
    (across, up), (wide, high) = means[j].tolist(), stds[j].tolist()
    axes.plot(across + wide * angle.cos(), up + high * angle.sin(), color=figures.BLACK)
    axes.text(across, up, str(j), ha="center", va="center")
axes.set(title="The widest normal surrounds the others", xlabel="$x_1$", ylabel="$x_2$")
axes.grid(False)
figure

# %% [markdown]
# *Figure: a square of three colours with an ellipse in each. The colour of the widest, a circle at the upper right, also fills the
# rest of the square around the regions of the other two.*

# %% [markdown]
# ## · An expectation and its error ••
#
# *12 minutes.* Most expectations in this course have no closed form and are estimated from samples: draw $x^{(1)}, \dots, x^{(n)}$
# and average,
#
# $$ \mathbb E[f(x)] \approx \bar f = \frac1n \sum_{l=1}^n f\bigl(x^{(l)}\bigr) , \qquad
#    \text{standard error} = \frac{s}{\sqrt n} , \qquad
#    s^2 = \frac{1}{n-1} \sum_{l=1}^n \bigl( f(x^{(l)}) - \bar f \, \bigr)^2 . $$
#
# The standard error says how far such an average typically lies from the truth. Here $x \sim \mathcal N(\mu, \sigma^2)$ is one number. The randomness
# comes in as an argument: from standard normal noise $\varepsilon$, $x = \mu + \sigma \varepsilon$ is a draw.
#
# `function`: $f$, which maps a tensor `[samples]` to a tensor `[samples]`; `mean`, `std`: numbers, $\mu$ and $\sigma$; `noise`: `[samples]`, $\varepsilon$ → two
# tensors without axes: the estimate $\bar f$, its standard error.
#
# <details><summary>Hint 1</summary>Three steps: draws from noise, f of every draw, two numbers from these. Which step comes
# last, f or the average?</details>
# <details><summary>Hint 2</summary>s is the standard deviation of the values f(x), not of x. By default, does
# <code>.std()</code> divide by n or by n − 1?</details>
# <details><summary>Hint 3</summary>With <code>y = function(mean + std * noise)</code> the estimate is <code>y.mean()</code>, and s is
# <code>y.std()</code>. What turns s into the standard error?</details>


# %%
def expectation(
    function: Callable[[Tensor], Tensor], mean: float, std: float, noise: Tensor
) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    y = function(mean + std * noise)  # [samples]
    return y.mean(), y.std() / len(y) ** 0.5
    ### END SOLUTION


# %%
check(sheet.expectation, expectation)

# %% [markdown]
# For $x \sim \mathcal N(1, 2^2)$ the truth is known: $\mathbb E[x^2] = \mu^2 + \sigma^2 = 5$. The square of the expectation would be 1. You should see
# estimates near 5, and with 100 times as many samples a tenth of the error. Then 1,000 estimates from 100 samples each: about two
# thirds of them should lie within one standard error of the truth.

# %%
for samples in (100, 10_000, 1_000_000):
    noise = torch.randn(samples, generator=generator, dtype=torch.float64)
    estimate, error = expectation(torch.square, 1.0, 2.0, noise)
    print(f"{samples:>9,} samples: E[x²] ≈ {estimate:.4f} ± {error:.4f} (5 is right)")

many = torch.randn(1000, 100, generator=generator, dtype=torch.float64)
pairs = [expectation(torch.square, 1.0, 2.0, noise) for noise in many]
within = sum(bool((estimate - 5).abs() < error) for estimate, error in pairs) / len(pairs)
print(f"{within:.0%} of 1,000 estimates lie within one standard error of 5")

# %% [markdown]
# The same on logarithmic axes. Every dot is the distance of one estimate from 5. You should see them fall along your standard error, a line
# of slope −½, with some far below it: these hit by chance.

# %%
counts = [10, 30, 100, 300, 1000, 3000, 10_000, 30_000]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
errors = []
for samples in counts:
    noises = torch.randn(20, samples, generator=generator, dtype=torch.float64)
    estimates, found = zip(
        *(expectation(torch.square, 1.0, 2.0, e) for e in noises), strict=True
    )
    away = [abs(float(estimate) - 5) for estimate in estimates]
    axes.loglog([samples] * 20, away, "o", color=figures.SKY, alpha=0.5)
    errors.append(float(torch.stack(found).mean()))
axes.loglog(counts, errors, color=figures.VERMILION, label="your standard error, mean of 20")
axes.set(
    title="100 times the samples, a tenth of the error",
    xlabel="samples",
    ylabel="distance from E[x²] = 5",
    ylim=(1e-4, 20),
)
axes.legend()
figure

# %% [markdown]
# *Figure: on logarithmic axes a straight line that falls from about 1.6 at ten samples to 0.04 at thirty thousand. At each
# number of samples twenty dots: most of them lie around the line or a little below, a few lie far below.*

# %% [markdown]
# **Think on.** For $x \sim \mathcal N(0, 3^2)$ the expectation of $e^x$ is $e^{4.5} \approx 90$. Estimate it with your function and 1,000 samples,
# some twenty times. About seven in ten come out too low, and half of all by more than a standard error, where one in six would be
# usual. Which draws would have to occur, and how often do they?
#
# <details><summary>An answer</summary>
#
# $e^x \, \mathcal N(x; 0, 3^2)$ is $e^{4.5}$ times the density of $\mathcal N(9, 3^2)$: complete the square. So half of the expectation comes from draws
# above 9, three standard deviations up. They have the probability 0.0013: in 1,000 draws there are about one or two, often none. Where none
# occurs, the estimate is too low *and* the values look alike, so that the standard error is too small as well.
# </details>
