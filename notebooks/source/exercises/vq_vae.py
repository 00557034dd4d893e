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
# The checks call your function with tensors in float64, and in [[:vq_terms]], [[:vq_step]] and [[:residual_codes]] follow
# its gradients: compute in torch there. Every result is a torch tensor.
# `torch.zeros(n)` is float32; with `dtype=z.dtype` it has the number type of `z`. Codes are whole numbers from 0 to
# $K - 1$, tensors of int64.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.

# %%
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from vae_course.data.images import digits
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import vq_vae as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## · The nearest code •
#
# *10 minutes.* The encoder returns a vector of $d$ numbers at every position. Each is replaced by the nearest of the $K$ codes
# $e_1, \dots, e_K$, the rows of the codebook (van den Oord, Vinyals & Kavukcuoglu, arXiv:1711.00937, equation 1):
#
# $$ k(z) = \operatorname*{arg\,min}_k \, \lVert z - e_k \rVert^2 . $$
#
# `z`: `[batch, d, height, width]`; `codebook`: `[K, d]` → the codes' numbers, int64 `[batch, height, width]`.
#
# <details><summary>Hint 1</summary>The vector of a position stands along axis 1. Where would you like it, to compare it with the
# rows of the codebook?</details>
# <details><summary>Hint 2</summary><code>z.movedim(1, -1)</code> is <code>[batch, height, width, d]</code>. A new axis before d makes
# room for the codes.</details>
# <details><summary>Hint 3</summary><code>z.movedim(1, -1)[..., None, :] - codebook</code> is
# <code>[batch, height, width, K, d]</code>. Over which axis are the squares summed, and along which is the least sum
# sought?</details>


# %%
def nearest_code(z: Tensor, codebook: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    difference = z.movedim(1, -1)[..., None, :] - codebook
    return difference.square().sum(-1).argmin(-1)
    ### END SOLUTION


# %%
check(sheet.nearest_code, nearest_code)

# %% [markdown]
# Every point of the plane as a $z$, coloured by its code. You should see cells with straight borders: halfway between two
# codes, whatever their lengths.

# %%
steps = torch.linspace(-3, 3, 150, dtype=torch.float64)
plane = torch.stack(torch.meshgrid(steps, steps, indexing="xy"))[None]  # [1, 2, 150, 150]
few = 1.3 * torch.randn(7, 2, generator=generator, dtype=torch.float64)
cells = nearest_code(plane, few)[0]
figure, (axes,) = figures.subplots(1, 1, figsize=(6.5, 5.5))
axes.imshow(cells, origin="lower", extent=(-3, 3, -3, 3), cmap="Set3", vmin=0, vmax=11)
axes.plot(few[:, 0], few[:, 1], "o", color=figures.BLACK)
for k, (across, up) in enumerate(few.tolist()):
    axes.annotate(str(k), (across, up), xytext=(6, 6), textcoords="offset points")
axes.set(title="Seven codes cut the plane into cells", xlabel="$z_1$", ylabel="$z_2$")
axes.grid(False)
figure

# %% [markdown]
# *Figure: a square with seven numbered points and around each a polygon of one colour. Every border runs straight, at equal
# distance from two points.*

# %% [markdown]
# ## · The perplexity of an epoch •
#
# *10 minutes.* How many codes are in use? Count all codes of an epoch, make frequencies $p_k$ of the counts, and take
#
# $$ \exp \Bigl( -\sum_{k=1}^{K} p_k \log p_k \Bigr) , $$
#
# the exponential of their entropy in nats. It is $K$ if all are used alike and 1 if only one is. A code that is never used
# adds nothing: $0 \log 0$ counts as 0, its limit.
#
# `codes`: int64 `[batches, batch, positions]`, all codes of the epoch; `size`: the whole number $K$ → a tensor without axes.
#
# <details><summary>Hint 1</summary>Does it matter which batch a code comes from? What does <code>torch.bincount</code> do, and what
# shape does it want?</details>
# <details><summary>Hint 2</summary>Divide the counts by how many codes there are in all. What becomes of
# <code>p * p.log()</code> at p = 0?</details>
# <details><summary>Hint 3</summary><code>torch.special.xlogy(p, p)</code> is p log p, and 0 at 0. A minus, a sum, an
# exp.</details>


# %%
def perplexity(codes: Tensor, size: int) -> Tensor:
    ### BEGIN SOLUTION
    counts = torch.bincount(codes.flatten(), minlength=size).double()
    p = counts / counts.sum()
    return torch.exp(-torch.special.xlogy(p, p).sum())
    ### END SOLUTION


# %%
check(sheet.perplexity, perplexity)

# %% [markdown]
# Here 512 codes are drawn, all equally often, in 200 batches of 8 pictures with 16 positions: 128 codes a batch. You should see
# the perplexity rise towards 512 the more batches are counted. That of one batch, the number that many training loops
# print, cannot exceed 128, and nor can a mean over batches.

# %%
epoch = torch.randint(512, (200, 8, 16), generator=generator)
counted = [1, 2, 5, 10, 20, 50, 100, 200]
together = [float(perplexity(epoch[:n], 512)) for n in counted]
apart = sum(float(perplexity(batch[None], 512)) for batch in epoch) / len(epoch)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.semilogx(counted, together, "o-", color=figures.BLUE, label="counted together")
axes.axhline(apart, color=figures.VERMILION, linestyle="--", label="mean of single batches")
axes.axhline(512, color=figures.BLACK, linestyle=":", label="all 512 alike")
axes.set(
    title=f"Single batches read {apart:.0f}, the epoch {together[-1]:.0f}",
    xlabel="batches counted",
    ylabel="perplexity, codes",
    ylim=(0, 560),
)
axes.legend(loc="center right")
figure

# %% [markdown]
# *Figure: a curve that rises from about 100 at one batch to close under 512 at two hundred; a level dashed line at about 110
# for the mean of single batches, a dotted one at 512.*

# %% [markdown]
# ## · The codebook term and the commitment term ••
#
# *15 minutes.* The straight-through line leaves the codebook without a gradient, and lets the encoder run away from the codes.
# Two terms see to that. What is minimised is the negative log-likelihood and, for every picture (equation 3 of the
# paper),
#
# $$ \underbrace{\lVert \operatorname{sg}[z] - e \rVert^2}_{\text{codebook term}} \quad\text{and}\quad
# \underbrace{\beta \, \lVert z - \operatorname{sg}[e] \rVert^2}_{\text{commitment term}} , $$
#
# each summed over $d$, height and width. Apart from $\beta$ they have the same value. Their gradients differ: the first moves the
# codes towards $z$, the second $z$ towards its codes. The paper takes $\beta = 0.25$.
#
# `z`: `[batch, d, height, width]`, from the encoder; `nearest`, $e$: `[batch, d, height, width]`, the code of each position, looked
# up in the codebook and *not* passed through the straight-through line; both have gradients; `beta`: a number → two tensors
# `[batch]`: the codebook term, the commitment term.
#
# <details><summary>Hint 1</summary>Write both terms without sg first. What do you reduce over, and by a sum or a mean?</details>
# <details><summary>Hint 2</summary>A detached tensor gets no gradient from its term. Which of the two must get none from the codebook
# term?</details>
# <details><summary>Hint 3</summary><code>(z.detach() - nearest).square().sum((1, 2, 3))</code> is the first. In the second the
# other one is detached, and beta stands before the square.</details>


# %%
def vq_terms(z: Tensor, nearest: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    codebook_term = (z.detach() - nearest).square().sum((1, 2, 3))
    commitment_term = beta * (z - nearest.detach()).square().sum((1, 2, 3))
    return codebook_term, commitment_term
    ### END SOLUTION


# %%
check(sheet.vq_terms, vq_terms)

# %% [markdown]
# One $z$ at 0 and its code at 1 go downhill on the sum of both terms until they meet. Both gradients point along the same
# line, and that of $z$ is $\beta$ times the other: so the code covers $1/(1 + \beta)$ of the way. You should see your points on
# that curve.

# %%
betas = [0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0]
shares = []
for beta in betas:
    z = torch.zeros(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    code = torch.ones(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    for _ in range(200):
        slopes = torch.autograd.grad(sum(vq_terms(z, code, beta)).sum(), (z, code))
        with torch.no_grad():
            z -= 0.05 * slopes[0]
            code -= 0.05 * slopes[1]
    assert torch.allclose(z, code, atol=1e-6), "z and its code did not meet"
    shares.append(1 - float(code.detach()))
curve = torch.logspace(-1.7, 0.8, 50, dtype=torch.float64)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.semilogx(curve, 1 / (1 + curve), color=figures.SKY, label="1 / (1 + β)")
axes.semilogx(betas, shares, "o", color=figures.BLUE, markersize=10, label="your terms")
axes.axvline(0.25, color=figures.BLACK, linestyle=":", label="β of the paper")
axes.set(
    title="A small β lets the codes do the walking",
    xlabel="β",
    ylabel="share of the way that the code goes",
    ylim=(0, 1.05),
)
axes.legend()
figure

# %% [markdown]
# *Figure: a curve that falls from almost 1 at small β over 0.8 at β = 0.25 and one half at β = 1 to about 0.2 at β = 4, with the
# seven measured points on it.*

# %% [markdown]
# ## · The codebook from moving averages ••
#
# *25 minutes.* Instead of the codebook term, each code can follow the vectors that are nearest to it: a k-means whose means
# forget slowly (appendix A.1 of the paper, without the smoothing that some programs add). The state is, for each code, an average
# count $N_k$ and an average sum $m_k$. A batch in which $n_k$ vectors have the code $k$ changes them to
#
# $$ N_k \leftarrow \gamma N_k + (1 - \gamma) \, n_k , \qquad
# m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i:\, k(z_i) = k} z_i , \qquad
# e_k = \frac{m_k}{N_k} , $$
#
# with the new $N_k$ and $m_k$ in the last equation. Codes that the batch does not use decay like the others. Where the new $N_k$ is 0
# there is nothing to divide by: let $e_k$ be the new $m_k$ there, as it is.
#
# `counts`, $N$: `[K]`, and `sums`, $m$: `[K, d]`, the state, not to be changed in place; `z`: `[n, d]`, the vectors of a batch, with
# a gradient that must not reach the result; `codes`: int64 `[n]`, the code of each; `decay`, $\gamma$: a number from 0 to 1 → three
# tensors: the new `counts`, the new `sums`, the codebook `[K, d]`.
#
# <details><summary>Hint 1</summary>First the counts and sums of the batch alone. A loop over the codes will do; then think of the
# codes that occur never, once, or often.</details>
# <details><summary>Hint 2</summary><code>torch.bincount(codes, minlength=len(counts))</code> counts.
# <code>torch.zeros_like(sums).index_add(0, codes, z.detach())</code> adds each vector to the row of its code, where an assignment
# <code>[codes] = z</code> would keep only one.</details>
# <details><summary>Hint 3</summary>Divide the new sums by
# <code>torch.where(counts &gt; 0, counts, 1)[:, None]</code>, with the <em>new</em> counts in it: by 1 where
# such a count is 0.</details>


# %%
def ema_update(
    counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    in_batch = torch.bincount(codes, minlength=len(counts)).to(z.dtype)
    total = torch.zeros_like(sums).index_add(0, codes, z.detach())
    counts = decay * counts + (1 - decay) * in_batch
    sums = decay * sums + (1 - decay) * total
    codebook = sums / torch.where(counts > 0, counts, 1)[:, None]
    return counts, sums, codebook
    ### END SOLUTION


# %%
check(sheet.ema_update, ema_update)

# %% [markdown]
# Vector quantisation needs no network: here $z$ are the pixels of 4 × 4 patches of digits, 16 numbers at 7 × 7 positions.
# At decay 0, one step on all patches must be one step of k-means. You should see a difference from scikit-learn's that is rounding.

# %%
train, _ = digits()
pictures = train.images[:500].double()
patches = pixel_unshuffle(pictures, 4)  # [500, 16, 7, 7]
vectors = patches.movedim(1, -1).flatten(0, 2)  # [24500, 16]
distinct = vectors.unique(dim=0)
first = distinct[torch.randperm(len(distinct), generator=generator)[:32]]  # [K 32, 16]

codes = torch.cdist(vectors, first).argmin(1)
_, _, stepped = ema_update(torch.ones(32).double(), first, vectors, codes, 0.0)
reference = KMeans(32, init=first.numpy(), n_init=1, max_iter=1).fit(vectors.numpy())
apart = float((stepped - torch.from_numpy(reference.cluster_centers_)).abs().max())
print(f"largest difference from one step of k-means: {apart:.0e}")
assert apart < 1e-8, "at decay 0 this is not a step of k-means"

# %% [markdown]
# Now in batches of 50 pictures, ten to an epoch and six epochs long, for three decays. This cell also calls your answers to
# [[:nearest_code]] and [[:perplexity]]. The dotted line is the error where k-means itself ends, on all patches at once. You should see the curves of
# small decays come close to it, and $\gamma = 0.99$ still under way: its averages hold vectors from about a hundred batches, many
# of them assigned when the codes stood elsewhere. Digits drawn with 32 kinds of patches remain legible.

# %%
ended = KMeans(32, init=first.numpy(), n_init=1).fit(vectors.numpy()).inertia_ / len(vectors)
errors, books = {}, {}
for decay in (0.5, 0.9, 0.99):
    counts, sums, book = torch.ones(32).double(), first, first
    line = []
    for _ in range(6):
        squares = 0.0
        for batch in patches.split(50):
            codes = nearest_code(batch, book)
            codes, flat = codes.flatten(), batch.movedim(1, -1).flatten(0, 2)
            squares += float((flat - book[codes]).square().sum())
            counts, sums, book = ema_update(counts, sums, flat, codes, decay)
        line.append(squares / len(vectors))
    errors[f"γ = {decay}"], books[decay] = line, book

epoch = torch.stack([nearest_code(b, books[0.9]).flatten(1) for b in patches.split(50)])
used = float(perplexity(epoch, 32))
rebuilt = pixel_shuffle(books[0.9][nearest_code(patches[:10], books[0.9])].movedim(-1, 1), 4)
figure, (left, right) = figures.subplots(1, 2, figsize=(13, 4.5))
figures.curves(
    left,
    range(1, 7),
    errors,
    "Online k-means, slower at larger γ",
    "epoch",
    "squared error, ink² per patch",
)
left.axhline(ended, color=figures.BLACK, linestyle=":", label="k-means")
left.legend()
both = torch.cat([pictures[:10], rebuilt]).float()
figures.show_mosaic(right, both, 10, f"32 patches, perplexity {used:.1f}, rebuild digits")
figure

# %% [markdown]
# *Figure: three falling curves of the error over six epochs, that of 0.99 well above the other two and a dotted line below all;
# beside them ten digits and under each its copy, a little coarser.*

# %% [markdown]
# ## · A whole step, in order ••
#
# *20 minutes.* A step of training with moving averages has three parts, and their order matters: the nearest codes are chosen with the
# codebook as it stands, $e_k = m_k / N_k$; the decoder is given the chosen vectors **before** they move, by the straight-through line,
# so that the encoder gets its gradient; and the averages move by the vectors $z$ of the encoder,
#
# $$ N_k \leftarrow \gamma N_k + (1 - \gamma) \, n_k , \qquad m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i:\, k_i = k} z_i , $$
#
# but in training alone: codes that move while held-out pictures are measured have learned from them.
#
# `z`: `[n, d]`, the encoder's vectors, with a gradient; `counts`, $N$: `[K]`, all above 0, and `sums`, $m$: `[K, d]`, not to be
# changed in place; `decay`, $\gamma$: a number from 0 to 1; `training`: True or False → four tensors: the codes, int64 `[n]`; what the
# decoder is given, `[n, d]`; the counts and the sums after the step.
#
# <details><summary>Hint 1</summary>Write four lines: codebook, codes, draw, averages. Which of them may use the new averages?</details>
# <details><summary>Hint 2</summary>You have written the averages in [[:ema_update]]: call it. Its third result is the codebook of the
# <em>next</em> step.</details>
# <details><summary>Hint 3</summary><code>z + (codebook[codes] - z).detach()</code> is the chosen vector in value and z in gradient.
# <code>if training:</code> stands before the averages alone.</details>


# %%
def vq_step(
    z: Tensor, counts: Tensor, sums: Tensor, decay: float, training: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    codebook = sums / counts[:, None]
    codes = torch.cdist(z, codebook).argmin(1)
    draw = z + (codebook[codes] - z).detach()
    if training:
        counts, sums, _ = ema_update(counts, sums, z, codes, decay)
    return codes, draw, counts, sums
    ### END SOLUTION


# %%
check(sheet.vq_step, vq_step)

# %% [markdown]
# Twelve vectors $z$ go downhill on $\frac{1}{2} \lVert z_q - t \rVert^2$, where the target $t$ is one of seven codes, by the gradient
# that your step hands them; the codes stand still, as in `training=False`. You should see them walk in straight pieces, each parallel to the
# line from their present code to the target, and stop as soon as they have crossed into the target's cell: the loss is 0 there, though
# $z$ is not at the target. Where two cells push a $z$ to and fro, it goes in zigzags along their border.

# %%
angles = torch.linspace(0, 2 * torch.pi, 13, dtype=torch.float64)[:-1]
z = 2.7 * torch.stack([angles.cos(), angles.sin()], 1)  # [12, 2]
others = torch.tensor([[2.0, 1], [1, -2], [-2, -1], [-1, 1.8], [0.8, 2.2], [2.4, -1]]).double()
target = torch.tensor([[0.2, 0.1]], dtype=torch.float64)
codebook = torch.cat([target, others])
path = [z]
for _ in range(80):
    z = path[-1].clone().requires_grad_()
    _, draw, _, _ = vq_step(z, torch.ones(7).double(), codebook, 0.9, False)
    loss = 0.5 * (draw - target).square().sum()
    (slope,) = torch.autograd.grad(loss, z)
    path.append(z.detach() - 0.05 * slope)
assert float(loss.detach()) < 1e-12, "some z did not reach the target's cell"

ways = torch.stack(path)  # [steps, 12, 2]
points = plane[0].flatten(1).T  # [150 * 150, 2]
cells = torch.cdist(points, codebook).argmin(1).reshape(150, 150)
figure, (axes,) = figures.subplots(1, 1, figsize=(6.5, 5.5))
axes.imshow(cells, origin="lower", extent=(-3, 3, -3, 3), cmap="Set3", vmin=0, vmax=11)
axes.plot(ways[..., 0], ways[..., 1], color=figures.BLUE)
axes.plot(ways[-1, :, 0], ways[-1, :, 1], ".", color=figures.BLUE, markersize=14)
axes.plot(codebook[:, 0], codebook[:, 1], "o", color=figures.BLACK)
axes.plot(*target[0].tolist(), "*", color=figures.VERMILION, markersize=20)
axes.set(title="z stops where its code is the target", xlabel="$z_1$", ylabel="$z_2$")
axes.grid(False)
figure

# %% [markdown]
# *Figure: seven coloured cells with a point in each; the one in the middle is the target, a star. Twelve blue lines come from a
# circle around them, zigzag along some borders and end with a dot at the border of the target's cell.*

# %% [markdown]
# ## · Residual quantisation •••
#
# *20 minutes.* One codebook of $K^R$ codes is hard to search and to train. **Residual quantisation** has $R$ codebooks of $K$: the first
# quantises the vector, the second what the first has left over, the third what is still left, and so on. The quantised vector is the sum.
# Decode with the first few codes, and you have a coarser vector for fewer bits. (Codecs of sound work so: Zeghidour et al.,
# arXiv:2107.03312.)
#
# Each stage takes the code nearest to what is left; it does not look ahead, and the result need not be the nearest of all sums.
#
# `z`: `[n, d]`, and `codebooks`: `[R, K, d]`, the first stage first, both with a gradient → two tensors: the codes, int64
# `[n, R]`; the quantised vectors `[n, d]`, with the straight-through gradient: that of $z$, none to the codebooks.
#
# <details><summary>Hint 1</summary>What does the second codebook see, and what the third? Keep two tensors: what is left, and the sum so
# far.</details>
# <details><summary>Hint 2</summary>A loop over the codebooks. What is left can be had afresh in every turn: z less the sum so
# far.</details>
# <details><summary>Hint 3</summary><code>k = torch.cdist(z.detach() - total, book).argmin(1)</code>, then
# <code>total = total + book[k]</code>. At the end one straight-through line for all stages.</details>


# %%
def residual_codes(z: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    codes, total = [], torch.zeros_like(z)
    for book in codebooks:
        k = torch.cdist(z.detach() - total, book).argmin(1)
        codes.append(k)
        total = total + book[k]
    return torch.stack(codes, 1), z + (total - z).detach()
    ### END SOLUTION


# %%
check(sheet.residual_codes, residual_codes)

# %% [markdown]
# Patches of digits again, with books of 16 codes, each fitted by k-means to what those before it leave over. You should see the error fall
# with every stage. It does not come free: two stages cost 8 bits a patch, as one book of 256 codes does, and leave about twice the error;
# but they have 32 vectors to store, to search and to fit, not 256, and $R$ stages stand for $16^R$ vectors.

# %%
books = torch.zeros(4, 16, 16).double()
for stage in range(4):
    _, so_far = residual_codes(vectors, books[:stage]) if stage else (None, 0 * vectors)
    means = KMeans(16, n_init=1, random_state=0).fit((vectors - so_far).numpy())
    books[stage] = torch.from_numpy(means.cluster_centers_)
left = {}
for stages in range(1, 5):
    _, near = residual_codes(vectors, books[:stages])
    left[4 * stages] = float((vectors - near).square().sum(1).mean())
assert list(left.values()) == sorted(left.values(), reverse=True), (
    "a stage made the error larger"
)
single = {}
for size in (16, 64, 256):
    means = KMeans(size, n_init=1, random_state=0, max_iter=30).fit(vectors[:8000].numpy())
    best = torch.from_numpy(means.predict(vectors.numpy())).long()
    misses = vectors - torch.from_numpy(means.cluster_centers_)[best]
    single[size.bit_length() - 1] = float(misses.square().sum(1).mean())

figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
axes.plot(list(left), list(left.values()), "o-", label="residual, books of 16")
axes.plot(list(single), list(single.values()), "s--", label="one book")
axes.set(title="Every stage takes away some of what is left", xlabel="bits a patch",
         ylabel="squared error, ink² per patch", ylim=(0, None))  # fmt: skip
axes.legend()
figure

# %% [markdown]
# *Figure: the squared error against the bits. The residual curve falls from stage to stage, over 4, 8, 12 and 16 bits; the dashed curve
# of single books of 16, 64 and 256 codes starts at the same point and falls faster: its last point, at 8 bits, is as low as the
# residual's at 16.*

# %% [markdown]
# **Think on.** The perplexity of these 32 codes is below 7. Which patch of a digit is the most frequent, and does a low
# perplexity always mean that codes are wasted? How many bits does a digit cost with 49 codes out of 32, each written with the same
# number of bits, and how many would a good prior over the codes need?
