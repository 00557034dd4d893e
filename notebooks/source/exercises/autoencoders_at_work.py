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
# The checks call your function with tensors in float64, and in [[:denoising_loss]] follow its gradients: compute in torch there. Every result
# is a torch tensor. `torch.zeros(n)` is float32; with `dtype=x.dtype` it has the number type of `x`.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vae_course.data.images import digits
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import autoencoders_at_work as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
generator = torch.Generator().manual_seed(0)
train, held_out = digits()

# %% [markdown]
# ## · Salt and pepper •
#
# *5 minutes.* To train a denoiser, one spoils pictures on purpose. Salt-and-pepper noise replaces a share $p$ of all pixels, half
# of it by 0 (pepper) and half by 1 (salt). One uniform number $u$ per pixel decides:
#
# $$ \tilde x = \begin{cases} 0 & u < p / 2 \\ 1 & u \ge 1 - p / 2 \\ x & \text{otherwise.} \end{cases} $$
#
# `x`: `[batch, channels, height, width]`, in $[0, 1]$; `uniforms`: of the same shape, in $[0, 1)$; `share`: the number $p$,
# from 0 to 1 → the shape of `x`. Leave `x` itself as it is.
#
# <details><summary>Hint 1</summary>What does <code>uniforms &lt; share / 2</code> give, and of which shape?</details>
# <details><summary>Hint 2</summary><code>torch.where(condition, a, b)</code> takes a where the condition holds and b elsewhere. Either
# may be a number.</details>
# <details><summary>Hint 3</summary>One <code>torch.where</code> for the pepper; its last argument is another one, for the
# salt.</details>


# %%
def salt_and_pepper(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    ### BEGIN SOLUTION
    salted = torch.where(uniforms >= 1 - share / 2, 1.0, x)
    return torch.where(uniforms < share / 2, 0.0, salted)
    ### END SOLUTION


# %%
check(sheet.salt_and_pepper, salt_and_pepper)

# %% [markdown]
# The same uniforms at every share: what is replaced once stays replaced. Ink is 1 and dark here, so salt makes dots on the
# paper and pepper holes in the strokes. You should see that a tenth hides nothing from you and a half leaves a guess.

# %%
uniforms = torch.rand(10, 1, 28, 28, generator=generator)
spoilt = {
    f"p = {share}": salt_and_pepper(held_out.images[:10], uniforms, share)
    for share in (0.0, 0.1, 0.3, 0.5)
}
figures.image_rows(spoilt, "More and more pixels are replaced")

# %% [markdown]
# *Figure: four rows of the same ten digits, clean in the first. Below, ever more black dots on the paper and white ones in the
# strokes, until the digits are hard to read.*

# %% [markdown]
# ## · Decibels •
#
# *10 minutes.* Denoising and super-resolution are often judged by the peak signal-to-noise ratio of each picture,
#
# $$ \text{PSNR} = 10 \log_{10} \frac{\text{peak}^2}{\text{MSE}} \ \text{decibels}, $$
#
# where MSE is the mean squared error over the pixels of *that* picture, its channels included, and peak is the largest value
# that a pixel can have: 1 for grey in $[0, 1]$, 255 for bytes, whatever values occur. Ten times less error is 10 decibels more,
# and equal pictures have infinitely many.
#
# `reconstruction`, `x`: `[batch, channels, height, width]`; `peak`: a number → `[batch]`, in decibels.
#
# <details><summary>Hint 1</summary>First the MSE. Which axes does the mean run over, and which one stays?</details>
# <details><summary>Hint 2</summary>Divide before the logarithm (the difference of two logarithms is right too). Which base has
# <code>.log()</code>?</details>
# <details><summary>Hint 3</summary><code>mse = (reconstruction - x).square().mean(dim=(1, 2, 3))</code>, then
# <code>(peak**2 / mse).log10()</code>. Division of a tensor by 0 gives ∞, which is what is wanted.</details>


# %%
def peak_signal_to_noise(reconstruction: Tensor, x: Tensor, peak: float) -> Tensor:
    ### BEGIN SOLUTION
    mse = (reconstruction - x).square().mean(dim=(1, 2, 3))
    return 10 * (peak**2 / mse).log10()
    ### END SOLUTION


# %%
check(sheet.peak_signal_to_noise, peak_signal_to_noise)

# %% [markdown]
# What is the PSNR of a whole test set? Here each of 500 digits has noise of a strength of its own. Some papers average the
# decibels, others put the mean error into the formula. You should see two answers several decibels apart. The mean of the decibels is never
# smaller, because $-\log$ is convex; it counts factors, so a nearly perfect picture makes up for a bad one.

# %%
clean = held_out.images[:500]
strengths = 10 ** (-2 + 1.7 * torch.rand(500, 1, 1, 1, generator=generator))  # 0.01 to 0.5
noisy = clean + strengths * torch.randn(clean.shape, generator=generator)
decibels = peak_signal_to_noise(noisy, clean, 1.0)
mean = float(decibels.mean())
together = float(
    peak_signal_to_noise(noisy.reshape(1, 1, -1, 28), clean.reshape(1, 1, -1, 28), 1)
)
assert mean >= together, "the mean of the decibels cannot be the smaller one"

figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.hist(decibels, bins=30, color=figures.SKY)
axes.axvline(mean, color=figures.BLUE, label="mean of the decibels")
axes.axvline(
    together, color=figures.VERMILION, linestyle="--", label="decibels of the mean error"
)
axes.set(
    title=f"One set of pictures, {mean:.1f} or {together:.1f} decibels",
    xlabel="PSNR of a digit, decibels",
    ylabel="digits",
    ylim=(0, 32),
)
axes.legend()
figure

# %% [markdown]
# *Figure: a broad histogram from about 6 to 40 decibels. A solid line marks the mean of the decibels, in its middle; a dashed one,
# that of the mean error, lies far to the left.*

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
# ## · The target of a denoiser ••
#
# *15 minutes.* A denoising autoencoder is given a spoilt picture and has to return the clean one (Vincent et al., *Extracting and
# composing robust features with denoising autoencoders*, ICML 2008). Its loss, per picture and summed over the pixels:
#
# $$ \ell(x, \varepsilon) = \bigl\lVert \operatorname{model}(x + \varepsilon) - x \bigr\rVert^2 . $$
#
# Nothing is drawn inside: the noise comes in as an argument, scaled already. The model takes four axes, as `x` has. Gradients flow
# to its parameters.
#
# `model`: a function from pictures to pictures of the same shape; `x`, `noise`: `[batch, channels, height, width]` → `[batch]`.
#
# <details><summary>Hint 1</summary>What goes into the model, and what is its output compared with?</details>
# <details><summary>Hint 2</summary>Suppose that the model returned its input. For which target would that be perfect?</details>
# <details><summary>Hint 3</summary>The output is <code>model(x + noise)</code>. Subtract what it is compared with, and square.
# Over which axes is the sum?</details>


# %%
def denoising_loss(model: Pictures, x: Tensor, noise: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    return (model(x + noise) - x).square().sum(dim=(1, 2, 3))
    ### END SOLUTION


# %%
check(sheet.denoising_loss, denoising_loss)

# %% [markdown]
# A common mistake is to compare with the *noisy* picture. Your function computes that wrong loss too, if it is
# given the noisy picture as $x$ and no noise. The identity map, which removes nothing, has under the right target the loss
# $784 \, \sigma^2$ in the mean. You should see that the wrong one calls it perfect.

# %%
std = 0.4
x = held_out.images[:500]
noise = std * torch.randn(x.shape, generator=generator)


def losses(model: Pictures) -> tuple[float, float]:
    """The mean loss under the right target and under the wrong one."""
    with torch.no_grad():
        right = denoising_loss(model, x, noise).mean()
        wrong = denoising_loss(model, x + noise, torch.zeros_like(noise)).mean()
    return float(right), float(wrong)


copied = losses(lambda x: x)
print(
    f"identity: {copied[0]:.1f} against the clean picture, {copied[1]:.1f} against the noisy one"
)
print(f"784 σ² = {784 * std**2:.1f}")

# %% [markdown]
# Two equal small networks, trained for a few seconds under the two targets:


# %%
def trained(clean_target: bool) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2), nn.SiLU(), nn.Conv2d(12, 1, 5, padding=2)
    )
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for index in torch.randperm(len(train))[:1600].split(40):
        clean = train.images[index]
        noise = std * torch.randn_like(clean)
        if clean_target:
            loss = denoising_loss(model, clean, noise)
        else:
            loss = denoising_loss(model, clean + noise, torch.zeros_like(noise))
        adam.zero_grad()
        loss.mean().backward()
        adam.step()
    return model


denoiser, copier = trained(True), trained(False)

# %% [markdown]
# You should see digits on clean paper in one row and the noise again in the other, though the copier's own loss is the smaller one.

# %%
with torch.no_grad():
    rows = {
        "noisy": (x + noise)[:10],
        "target clean": denoiser((x + noise)[:10]),
        "target noisy": copier((x + noise)[:10]),
    }
for name, model in (("clean", denoiser), ("noisy", copier)):
    right, wrong = losses(model)
    print(
        f"trained on the {name} target: {right:5.1f} against clean, {wrong:5.1f} against noisy"
    )
figures.image_rows(rows, "Trained against the noisy picture, a network copies the noise")

# %% [markdown]
# *Figure: ten noisy digits; the same with clean paper and slightly blurred strokes; the same with nearly all of their noise.*

# %% [markdown]
# ## · The area under the ROC curve •••
#
# *20 minutes.* A detector gives every example a score and raises the alarm above a threshold. Which threshold? The area under the
# ROC curve judges the score without one: it is the probability that a randomly chosen anomaly has a higher score than a randomly
# chosen normal example, where a tie counts one half (Hanley & McNeil, *The meaning and use of the area under a receiver
# operating characteristic (ROC) curve*, Radiology 143, 1982). With $m$ anomalies with scores $a_i$ and $n - m$ normal examples with scores $b_j$,
#
# $$ A = \frac{1}{m (n - m)} \sum_{i, j} \bigl( [a_i > b_j] + \tfrac12 [a_i = b_j] \bigr) . $$
#
# It is 1 for a perfect score, ½ in expectation for a score that does not depend on the class, and less than ½ for one that is wrong
# more often than right.
#
# `scores`: `[n]`, float64; `anomalous`: bool `[n]`, with at least one of each kind → a tensor without axes.
#
# <details><summary>Hint 1</summary>A mask selects: what are <code>scores[anomalous]</code> and <code>scores[~anomalous]</code>?</details>
# <details><summary>Hint 2</summary>A new axis makes all pairs: <code>[m, 1]</code> against <code>[n − m]</code>.</details>
# <details><summary>Hint 3</summary><code>a[:, None] &gt; b</code> is true where a pair is won. What is true where it is a tie, and
# what does each count?</details>


# %%
def area_under_roc(scores: Tensor, anomalous: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    a, b = scores[anomalous][:, None], scores[~anomalous]
    return (a > b).double().mean() + 0.5 * (a == b).double().mean()
    ### END SOLUTION


# %%
check(sheet.area_under_roc, area_under_roc)

# %% [markdown]
# The classical experiment: fit an autoencoder, here 20 principal components, to all digits but one class, and take the reconstruction error
# as the score of every test digit. Is the class that was left out found? The curve shows the share of anomalies found against the share of false
# alarms, one point for each threshold; the area under it is your number. You should see that twos are found, and that
# ones are *not*: the score is worse than chance. A one has little ink, so even an autoencoder that never saw one makes a
# small error.

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(6.5, 6))
for missing, colour in ((2, figures.BLUE), (9, figures.GREEN), (1, figures.VERMILION)):
    known = principal(train.images[train.labels != missing], 20)
    error = (known(held_out.images) - held_out.images).double().square().sum((1, 2, 3))
    anomalous = held_out.labels == missing
    area = float(area_under_roc(error, anomalous))
    alarm = (
        error
        >= torch.cat([torch.tensor([torch.inf]), error.sort(descending=True).values])[:, None]
    )
    hits, false = (alarm[:, group].double().mean(1) for group in (anomalous, ~anomalous))
    assert abs(area - float(torch.trapezoid(hits, false))) < 1e-5, (
        "not the area under the curve"
    )
    axes.plot(false, hits, color=colour, label=f"without {missing}: area {area:.2f}")
axes.plot([0, 1], [0, 1], ":", color=figures.BLACK, label="chance: area 0.50")
axes.set(
    title="Twos are found, ones look harmless",
    xlabel="false alarms, share of normal digits",
    ylabel="anomalies found, share",
)
axes.legend(loc="lower right")
figure

# %% [markdown]
# *Figure: three curves from the lower left to the upper right corner. That of the twos bends far towards the upper left, that of the nines
# stays near the dotted diagonal, and that of the ones runs under it.*

# %% [markdown]
# **Think on.** The score of a digit grows with its ink, whatever its class. Which score would you compare the error with, to take
# that out? And what would the area be if the anomalies were blank pictures?
