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
# The checks call your function with tensors in float64, and in [[:log_evidence_monte_carlo]] follow its gradients: compute in torch throughout, and
# return a tensor, or a tuple of tensors where several results are asked for.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# Throughout, `std` and `stds` are $\sigma$, **standard deviations**, and logarithms are natural.

# %%
from math import log, pi

import torch
from torch import Tensor

from vae_course.exercises.engine import check
from vae_course.exercises.sheets import latent_variable_models as sheet
from vae_course.notebook import figures
from vae_course.notebook.runtime import start

run = start()

# %% [markdown]
# ## · Draw from a mixture •
#
# *10 minutes.* A latent variable model is a story of how data come about: first $z$, then $x$ given $z$. Tell the
# simplest one. The latent is one of $K$ components; given it, $x$ is a round normal:
#
# $$ p(z = k) = \pi_k, \qquad p(x \mid z = k) = \mathcal N(x; \mu_k, \sigma_k^2 I). $$
#
# Draw $z$ from a uniform $u$ in $[0, 1)$: it is the **first** $k$ whose cumulative weight $\pi_0 + \dots + \pi_k$ exceeds
# $u$. Then $x = \mu_k + \sigma_k \varepsilon$. Each row of $u$ and $\varepsilon$ makes one point. A weight may be 0, and $u$
# may equal a cumulative weight.
#
# `weights`: `[K]`, `means`: `[K, d]`, `stds`: `[K]`, `uniforms`: `[n]`, `noise`: `[n, d]`, standard normal → `[n, d]`.
#
# <details><summary>Hint 1</summary><code>weights.cumsum(0)</code> cuts [0, 1) into K intervals. In which one does u
# lie?</details>
# <details><summary>Hint 2</summary>The component is the number of cumulative weights that do <em>not</em> exceed u. Index
# means and stds with it.</details>
# <details><summary>Hint 3</summary><code>k = (weights.cumsum(0) &lt;= uniforms[:, None]).sum(-1)</code>, and
# <code>stds[k]</code> needs an axis more to multiply noise of shape [n, d].</details>


# %%
def sample_mixture(
    weights: Tensor, means: Tensor, stds: Tensor, uniforms: Tensor, noise: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    k = (weights.cumsum(0) <= uniforms[:, None]).sum(-1)  # [n]
    return means[k] + stds[k, None] * noise
    ### END SOLUTION


# %%
check(sheet.sample_mixture, sample_mixture)

# %% [markdown]
# You should see three clouds of different widths; about half of the points belong to the widest.

# %%
weights = torch.tensor([0.5, 0.3, 0.2])
means = torch.tensor([[0.0, 0.0], [5.0, 1.0], [2.0, 5.0]])
stds = torch.tensor([1.3, 0.9, 0.5])
data = sample_mixture(weights, means, stds, torch.rand(500), torch.randn(500, 2))
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 5))
axes.scatter(*data.T, s=12, color=figures.SKY, label="draws of x")
axes.scatter(*means.T, s=900 * weights, marker="X", color=figures.VERMILION, label="means")
axes.set(
    title="The latent chooses the cloud, the noise the place in it",
    xlabel="$x_1$",
    ylabel="$x_2$",
    aspect="equal",
)
axes.legend(markerscale=0.5, loc="lower right")
figure

# %% [markdown]
# ## · log p(x) by Monte Carlo ••
#
# *15 minutes.* The evidence is an integral over everything that the latent could have been. Its plainest estimate draws
# latents from the prior:
#
# $$ \log p(x) = \log \int p(x \mid z)\, p(z)\, dz \;\approx\; \log \frac1K \sum_{k=1}^K p(x \mid z_k),
#    \qquad z_k \sim p(z). $$
#
# Write it for the linear-Gaussian model $p(z) = \mathcal N(0, I)$, $p(x \mid z) = \mathcal N(x; W z + b, \sigma^2 I)$
# (probabilistic PCA: Tipping & Bishop, 1999). The draws are the rows of `noise`, the same for the whole batch. The lecture
# divided by the known $p(x)$ before it averaged. Here $p(x)$ is not known, and the answer must be right where every
# $p(x \mid z_k)$ rounds to 0 too.
#
# `x`: `[batch, observed]`, `weight`: $W$, `[observed, latent]`, `bias`: `[observed]`, `std`: $\sigma$, a tensor without axes,
# `noise`: `[K, latent]` → `[batch]`, in nats, with gradients to `weight`, `bias` and `std`.
#
# <details><summary>Hint 1</summary>First make the K × batch table of log p(x|z). Which axis do the observed dimensions
# leave, and how: as a sum or as a mean?</details>
# <details><summary>Hint 2</summary>The log of a mean of exponentials: <code>logsumexp</code> over the draws, minus
# log K.</details>
# <details><summary>Hint 3</summary><code>mean = (noise @ weight.T + bias)[:, None]</code> is [K, 1, observed];
# <code>torch.distributions.Normal(mean, std).log_prob(x)</code> is then [K, batch, observed].</details>


# %%
def log_evidence_monte_carlo(
    x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    mean = (noise @ weight.T + bias)[:, None]  # [K, 1, observed]
    log_density = -0.5 * ((x - mean) / std) ** 2 - std.log() - 0.5 * log(2 * pi)
    log_likelihood = log_density.sum(-1)  # [K, batch]
    return log_likelihood.logsumexp(0) - log(len(noise))
    ### END SOLUTION


# %%
check(sheet.log_evidence_monte_carlo, log_evidence_monte_carlo)

# %% [markdown]
# Here log p(x) is known exactly. You should see an error that shrinks as K grows and is far larger for small σ: most
# draws of the prior then explain nothing of x, and the estimate falls short.

# %%
weight, bias = torch.randn(5, 2), torch.zeros(5)
counts = [1, 4, 16, 64, 256, 1024]
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
for number, colour in ((1.0, figures.BLUE), (0.3, figures.VERMILION), (0.1, figures.GREEN)):
    std = torch.tensor(number)
    exact = torch.distributions.MultivariateNormal(
        bias, weight @ weight.T + std**2 * torch.eye(5)
    )
    x = exact.sample((50,))
    error = []
    for count in counts:
        runs = [
            log_evidence_monte_carlo(x, weight, bias, std, torch.randn(count, 2))
            for _ in range(40)
        ]
        error.append(float((torch.stack(runs) - exact.log_prob(x)).abs().mean()))
    axes.loglog(counts, error, "o-", base=10, color=colour, label=f"σ = {number:g}")
axes.set(
    title="The smaller σ, the more draws it takes",
    xlabel="draws K",
    ylabel="mean absolute error, nats",
)
axes.legend()
figure

# %% [markdown]
# ## · Bayes' rule on a grid ••
#
# *10 minutes.* With one latent, nothing is intractable: put $z$ on a grid of points $\Delta$ apart and turn Bayes' rule
# into sums,
#
# $$ p(z_i \mid x) = \frac{p(x \mid z_i)\, p(z_i)}{\Delta \sum_j p(x \mid z_j)\, p(z_j)} . $$
#
# The result is a **density**: it sums to $1/\Delta$, not to 1. The lecture divided products by their sum. That gives 0/0 where
# all products round to 0: here logarithms come in, and they may lie near −2000, or be −∞ where the prior is 0.
#
# `log_prior`: `[points]`, `log_likelihood`: `[batch, points]`, `spacing`: $\Delta$, a float → `[batch, points]`.
#
# <details><summary>Hint 1</summary>Products of densities are sums of logarithms. Over which axis is the
# integral?</details>
# <details><summary>Hint 2</summary>exp of numbers divided by their sum has a name, and PyTorch computes it without
# underflow.</details>
# <details><summary>Hint 3</summary><code>softmax(-1)</code> gives probabilities of grid points. From a probability to a
# density: divide by the length that it is spread over.</details>


# %%
def posterior_on_grid(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    ### BEGIN SOLUTION
    return (log_prior + log_likelihood).softmax(-1) / spacing
    ### END SOLUTION


# %%
check(sheet.posterior_on_grid, posterior_on_grid)

# %% [markdown]
# Let $x = z^2$ plus noise. You should see one peak where x is negative and two where it is large: z and −z explain it
# equally well.

# %%
grid = torch.linspace(-3, 3, 601)
observed = torch.tensor([-0.5, 1.0, 4.0])
log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid)
log_likelihood = torch.distributions.Normal(grid**2, 0.5).log_prob(observed[:, None])
posterior = posterior_on_grid(log_prior, log_likelihood, 0.01)
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 4.5))
figures.curves(
    axes,
    grid,
    {f"p(z | x = {float(x):g})": p for x, p in zip(observed, posterior, strict=True)},
    "Two latents can explain one observation",
    "latent z",
    "density",
)
axes.fill_between(grid, log_prior.exp(), color=figures.BLACK, alpha=0.12, label="prior p(z)")
axes.legend()
figure

# %% [markdown]
# ## · Fisher's identity ••
#
# *20 minutes.* To learn, we want the gradient of $\log p_\theta(x)$, a logarithm of a sum. Since
# $\nabla p = p \, \nabla \log p$,
#
# $$ \nabla_\theta \log p_\theta(x) = \frac{\sum_z \nabla_\theta\, p_\theta(x, z)}{p_\theta(x)}
#    = \mathbb E_{p_\theta(z|x)}\bigl[ \nabla_\theta \log p_\theta(x, z) \bigr]: $$
#
# average the gradient of the *complete-data* log-density $\log p_\theta(x, z)$ over the posterior (Fisher's identity; see Dempster, Laird & Rubin, 1977).
# For the means of a mixture of $K$ round normals that share $\sigma$, and $n$ independent points, it reads
#
# $$ \nabla_{\mu_k} \sum_{i=1}^n \log p(x_i) = \sum_i r_{ik} \, \frac{x_i - \mu_k}{\sigma^2}, \qquad
#    r_{ik} = p(z_i = k \mid x_i) = \frac{\pi_k \, \mathcal N(x_i; \mu_k, \sigma^2 I)}
#                                        {\sum_j \pi_j \, \mathcal N(x_i; \mu_j, \sigma^2 I)} . $$
#
# `x`: `[n, d]`, `weights`: $\pi$, `[K]`, `means`: `[K, d]`, `std`: a tensor without axes → `[K, d]`. It must be right for
# points far from all means. (To let autograd do all of it is an answer too. Then write it by hand, and compare.)
#
# <details><summary>Hint 1</summary>Start with the table log π_k + log N(x_i; μ_k, σ²I), [n, K]. Which constants may be left
# out, because all components share them?</details>
# <details><summary>Hint 2</summary>The responsibilities r are a softmax of that table over the components.</details>
# <details><summary>Hint 3</summary><code>offset = x[:, None] - means</code> is [n, K, d]; the sum is
# <code>torch.einsum("nk,nkd->kd", r, offset) / std**2</code>.</details>


# %%
def evidence_gradient(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    offset = x[:, None] - means  # [n, K, d]
    log_joint = weights.log() - 0.5 * (offset**2).sum(-1) / std**2  # [n, K], up to a constant
    r = log_joint.softmax(-1)
    return torch.einsum("nk,nkd->kd", r, offset) / std**2
    ### END SOLUTION


# %%
check(sheet.evidence_gradient, evidence_gradient)

# %% [markdown]
# Climb along your gradient, on the points of [[:sample_mixture]]. You should see three means that start close together and each end in a
# cloud of its own.

# %%
start_means = torch.tensor([[4.0, 2.0], [4.5, 3.0], [5.0, 4.0]])
path = [start_means]
for _ in range(300):
    gradient = evidence_gradient(data, torch.ones(3) / 3, path[-1], torch.tensor(1.0))
    path.append(path[-1] + gradient / len(data))
path = torch.stack(path)  # [steps, K, d]
figure, (axes,) = figures.subplots(1, 1, figsize=(8, 5))
axes.scatter(*data.T, s=12, color=figures.SKY)
for k, colour in enumerate((figures.BLUE, figures.VERMILION, figures.GREEN)):
    axes.plot(*path[:, k].T, color=colour)
    axes.plot(*path[-1, k], "X", markersize=14, color=colour)
axes.set(
    title="Each mean walks to the points that it answers for",
    xlabel="$x_1$",
    ylabel="$x_2$",
    aspect="equal",
)
figure

# %% [markdown]
# ## · One step of EM •••
#
# *30 minutes.* Expectation-maximisation needs no step size. With the responsibilities $r_{ik}$ held fixed, it goes at once
# to the parameters that maximise $\mathbb E_{p(z|x)}[\log p_\theta(x, z)]$. The lecture derived them for components with a
# covariance each. Here the $K$ components are **round**, in $d$ dimensions, each with its own $\sigma_k$:
#
# $$ Q = \sum_i \sum_k r_{ik} \Bigl[ \log \pi_k - d \log \sigma_k - \frac{\lVert x_i - \mu_k \rVert^2}{2 \sigma_k^2} \Bigr]
#        + \text{constant}. $$
#
# Derive the maximiser with pencil and paper: first $\pi$ under $\sum_k \pi_k = 1$, then $\mu_k$, then $\sigma_k$ at the **new**
# $\mu_k$. Write it as code. The $r_{ik}$ come from the old parameters, as in [[:evidence_gradient]]; but now the $\sigma_k$
# differ, and so do the normalising constants of the components.
#
# `x`: `[n, d]`, `weights`: `[K]`, `means`: `[K, d]`, `stds`: `[K]` → the new weights `[K]`, means `[K, d]` and standard
# deviations `[K]`. It must be right for points far from all means.
#
# <details><summary>Hint 1</summary>What does log N(x; μ, σ²I) in d dimensions hold that depends on k, besides the
# distance?</details>
# <details><summary>Hint 2</summary>The term is −d log σ_k. Then softmax over the components, and three weighted
# averages. For σ, set the derivative of Q to 0: −d N/σ + Σ r ‖x − μ‖²/σ³, with N = Σ r.</details>
# <details><summary>Hint 3</summary><code>r.T @ x / count[:, None]</code> are the new means; ‖x − μ‖² about <em>these</em>
# is [n, K], weighted by r, summed over the points, divided by d·count. Take the root.</details>


# %%
def em_step(
    x: Tensor, weights: Tensor, means: Tensor, stds: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    ### BEGIN SOLUTION
    d = x.shape[-1]
    squares = (x[:, None] - means).square().sum(-1)  # [n, K]
    r = (weights.log() - d * stds.log() - 0.5 * squares / stds**2).softmax(-1)
    count = r.sum(0)
    new_means = r.T @ x / count[:, None]
    new_squares = (x[:, None] - new_means).square().sum(-1)
    return count / len(x), new_means, ((r * new_squares).sum(0) / (d * count)).sqrt()
    ### END SOLUTION


# %%
check(sheet.em_step, em_step)

# %% [markdown]
# You should see a curve that never falls, and three circles on the three clouds. Each is drawn at two standard
# deviations.


# %%
def log_likelihood_per_point(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> float:
    parts = torch.distributions.Normal(means, stds[:, None])
    return float((weights.log() + parts.log_prob(x[:, None]).sum(-1)).logsumexp(-1).mean())


x = data.double()
state = torch.ones(3).double() / 3, start_means.double(), torch.ones(3).double()
curve = [log_likelihood_per_point(x, *state)]
for _ in range(40):
    state = em_step(x, *state)
    curve.append(log_likelihood_per_point(x, *state))

figure, (left, right) = figures.subplots(1, 2, figsize=(13, 5))
left.plot(curve, "o-", color=figures.BLUE, markersize=5)
left.set(title="log p(x) never falls", xlabel="steps of EM", ylabel="log p(x), nats per point")
right.scatter(*data.T, s=12, color=figures.SKY)
angle = torch.linspace(0, 2 * pi, 100)
for mean, std in zip(state[1], state[2], strict=True):
    right.plot(
        mean[0] + 2 * std * angle.cos(),
        mean[1] + 2 * std * angle.sin(),
        color=figures.VERMILION,
    )
right.set(title="Three clouds found", xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
figure

# %% [markdown]
# **Think on.** Put one mean exactly on a data point and let its $\sigma_k$ go to 0. What happens to $\log p(x)$? Which of
# the values that EM can reach would you then call the best?
#
# <details><summary>Answer</summary>At that point the component's density is proportional to σ⁻ᵈ and grows without bound; every other
# point keeps a positive density from the other components. So log p(x) has no maximum, and "the highest" means nothing. One
# takes the best of the ends where every σ stays away from 0: a good local maximum.</details>

# %% [markdown]
# ## · Complete a picture ••
#
# *20 minutes.* The fully visible sigmoid belief net draws pixel by pixel: pixel $i$ is 1 with the probability
#
# $$ p(x_i = 1 \mid x_0, \dots, x_{i-1}) = \operatorname{sigmoid}\Bigl(b_i + \sum_{j < i} W_{ij}\, x_j\Bigr) . $$
#
# So it can go on from a picture of which the first pixels are known. Keep the first `known` pixels of each row of `x`; draw
# each later one from its conditional: 1 where its uniform is **below** the probability, else 0. What `x` holds at and after
# `known` does not count, and of $W$ only what stands below its diagonal.
#
# `x`: `[n, size]` of 0 and 1, `known`: a whole number from 0 to size, `weight`: $W$, `[size, size]`, `bias`: `[size]`,
# `uniforms`: `[n, size]` → `[n, size]` of 0 and 1, a new tensor of the same number type.
#
# <details><summary>Hint 1</summary>Can all pixels be drawn at once? What does the last one need?</details>
# <details><summary>Hint 2</summary>A loop over the pixels from known on, in a copy of x. For pixel i, which part of row i of W
# meets which part of the picture?</details>
# <details><summary>Hint 3</summary><code>(out[:, :i] @ weight[i, :i] + bias[i]).sigmoid()</code> is the
# probability.</details>


# %%
def complete_picture(
    x: Tensor, known: int, weight: Tensor, bias: Tensor, uniforms: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    out = x.clone()
    for i in range(known, x.shape[1]):
        p = (out[:, :i] @ weight[i, :i] + bias[i]).sigmoid()
        out[:, i] = (uniforms[:, i] < p).to(x.dtype)
    return out
    ### END SOLUTION


# %%
check(sheet.complete_picture, complete_picture)

# %% [markdown]
# A net is trained on the 8×8 digits of scikit-learn, made binary. It is given the upper half of a digit that it has not
# seen, and goes on four times. You should see four lower halves that fit the upper one, more or less.

# %%
from vae_course.data.images import digits_8x8

pictures = (digits_8x8().images.flatten(1) > 0.5).float()
train, test = pictures[:1500], pictures[1500:1508]
weight = torch.zeros(64, 64, requires_grad=True)
bias = torch.zeros(64, requires_grad=True)
adam = torch.optim.Adam([weight, bias], lr=0.05)
for _ in range(run.epochs(laptop=200)):
    logits = train @ weight.tril(-1).T + bias
    fit = torch.nn.functional.binary_cross_entropy_with_logits(logits, train, reduction="sum")
    loss = fit / len(train) + 1e-3 * weight.square().sum()
    adam.zero_grad()
    loss.backward()
    adam.step()

# %%
with torch.no_grad():
    drawn = [complete_picture(test, 32, weight, bias, torch.rand(8, 64)) for _ in range(4)]
rows = {"true": test} | {f"completion {i + 1}": picture for i, picture in enumerate(drawn)}
shown = {name: row.unflatten(1, (1, 8, 8)) for name, row in rows.items()}
figures.image_rows(shown, "The upper half is given, the lower half is drawn")

# %% [markdown]
# **Think on.** Now the *lower* half is known. Why can you not draw the upper half in the same way?
#
# <details><summary>Answer</summary>The first pixels' conditionals see no later pixel. The upper half given the lower one is
# p(upper) p(lower | upper) / p(lower): Bayes' rule, with a sum over all 2³² upper halves in the denominator. Here the upper
# half plays the part of a latent, and the posterior is as hard as ever.</details>
