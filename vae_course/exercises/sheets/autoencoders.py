"""The sheet on autoencoders: errors, principal components, a training step, codes drawn at random, subspaces."""

from __future__ import annotations

from math import pi

import torch
from torch import Generator, Tensor, nn
from torch.optim import SGD, Optimizer

from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. ‖x − x̂‖², one number per picture


def _squared_error(reconstruction: Tensor, x: Tensor) -> Tensor:
    return (x - reconstruction).square().flatten(1).sum(-1)


def _squared_error_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int) -> Arguments:
        return uniform(generator, *shape, gradient=True), uniform(generator, *shape)

    return [case(4, 1, 3, 5), case(1, 1, 2, 2), case(3, 3, 2, 4), case(2, 1, 28, 28)]


squared_error_per_image = Exercise(
    "squared_error_per_image",
    _squared_error,
    _squared_error_cases,
    wrong(
        "you subtracted the squares: subtract first, then square the difference",
        lambda reconstruction, x: (x.square() - reconstruction.square()).flatten(1).sum(-1),
        "you averaged over pixels: ‖x − x̂‖² is their sum",
        lambda reconstruction, x: (x - reconstruction).square().flatten(1).mean(-1),
        "you averaged over everything (nn.MSELoss does that): return one sum per picture",
        lambda reconstruction, x: (x - reconstruction).square().mean(),
        "you summed over the batch too: return one number per picture",
        lambda reconstruction, x: (x - reconstruction).square().sum(),
        "you averaged over the batch: return one number per picture; the training step takes the mean",
        lambda reconstruction, x: _squared_error(reconstruction, x).mean(),
        "you summed over the last axis only: a picture has three, channels, height and width",
        lambda reconstruction, x: (x - reconstruction).square().sum(-1),
        "you summed first and squared then: errors of opposite sign cancel",
        lambda reconstruction, x: (x - reconstruction).flatten(1).sum(-1).square(),
        "these are absolute errors, not squared ones",
        lambda reconstruction, x: (x - reconstruction).abs().flatten(1).sum(-1),
        "you did not square: errors of opposite sign cancel",
        lambda reconstruction, x: (x - reconstruction).flatten(1).sum(-1),
        "you summed over height and width only: channels are pixels too",
        lambda reconstruction, x: (x - reconstruction).square().sum((2, 3)),
        "you did not sum over the pixels of a picture",
        lambda reconstruction, x: (x - reconstruction).square(),
        "you took the square root: this is ‖x − x̂‖, not its square",
        lambda reconstruction, x: (x - reconstruction).flatten(1).norm(dim=-1),
        "there is a ½ too much: it belongs to the Gaussian log-density, not to the squared error",
        lambda reconstruction, x: 0.5 * _squared_error(reconstruction, x),
    ),
)


# 2. reconstruction from the first k principal components


def _pca(x: Tensor, k: int) -> Tensor:
    mean = x.mean(0)
    components = torch.linalg.svd(x - mean, full_matrices=False)[2][:k].T
    result: Tensor = (x - mean) @ components @ components.T + mean
    return result


def _pca_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, dimension: int, k: int) -> Arguments:
        scales = torch.linspace(3, 0.5, dimension, dtype=torch.float64)
        mixing = torch.linalg.qr(normal(generator, dimension, dimension)).Q
        return normal(generator, n, dimension) * scales @ mixing + 5 * uniform(generator, dimension), k

    return [case(30, 6, 2), case(30, 5, 1), case(12, 4, 4), case(25, 20, 3), case(40, 8, 3), case(40, 7, 2)]


def _with_components(x: Tensor, mean: Tensor | float, components: Tensor) -> Tensor:
    return (x - mean) @ components @ components.T + mean


def _directions(x: Tensor) -> Tensor:
    """Principal directions of centred data, in columns."""
    result: Tensor = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2].T
    return result


def _ascending(x: Tensor) -> Tensor:
    """The same directions as `eigh` of the covariance sorts them: of least variance first."""
    directions: Tensor = torch.linalg.eigh(torch.cov(x.T)).eigenvectors
    return directions


def _scaled(x: Tensor, k: int) -> Tensor:
    _, sizes, rows = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    result: Tensor = (x - x.mean(0)) @ rows[:k].T @ (sizes[:k, None] * rows[:k]) + x.mean(0)
    return result


pca_reconstruction = Exercise(
    "pca_reconstruction",
    _pca,
    _pca_cases,
    wrong(
        "you divided by the standard deviations: PCA as asked for here only subtracts the mean",
        lambda x, k: _pca((x - x.mean(0)) / x.std(0), k) * x.std(0) + x.mean(0),
        "this is the mean for every row: nothing of x is in it",
        lambda x, k: x.mean(0).expand_as(x).clone(),
        "the data were not centred: without it the first component points to the mean",
        lambda x, k: _with_components(x, 0.0, torch.linalg.svd(x, full_matrices=False)[2][:k].T),
        "the mean was not added again: this reconstructs the centred data",
        lambda x, k: (x - x.mean(0)) @ _directions(x)[:, :k] @ _directions(x)[:, :k].T,
        "you kept the components of *least* variance: eigh sorts in ascending order, svd in descending",
        lambda x, k: _with_components(x, x.mean(0), _ascending(x)[:, :k]),
        "you took columns of Vᵀ where its rows are the components: torch.linalg.svd returns V transposed",
        lambda x, k: _with_components(x, x.mean(0), _directions(x).T[:, :k]),
        "the singular values were applied again: the projection of x on the components has them already",
        _scaled,
        "you subtracted one number, the mean of all entries: each pixel has a mean of its own, x.mean(0)",
        lambda x, k: _with_components(x, x.mean(), torch.linalg.svd(x - x.mean(), full_matrices=False)[2][:k].T),
        "the components were computed before centring: centre first, then take the svd",
        lambda x, k: _with_components(x, x.mean(0), torch.linalg.svd(x, full_matrices=False)[2][:k].T),
        "these are the codes, [n, k]: map them back with the transposed components",
        lambda x, k: (x - x.mean(0)) @ _directions(x)[:, :k],
        "the components are right, but x was projected without subtracting the mean",
        lambda x, k: x @ _directions(x)[:, :k] @ _directions(x)[:, :k].T + x.mean(0),
        "you kept k − 1 components: the first k are components[:k]",
        lambda x, k: _with_components(x, x.mean(0), _directions(x)[:, : k - 1]),
        "you kept k + 1 components: the first k are components[:k]",
        lambda x, k: _with_components(x, x.mean(0), _directions(x)[:, : k + 1]),
        "this is x itself: nothing was left out",
        lambda x, k: x.clone(),
        "you kept the k-th component alone: keep the first k, components[:k]",
        lambda x, k: _with_components(x, x.mean(0), _directions(x)[:, k - 1 : k]),
    ),
)


# 3. one training step of a denoising autoencoder


def _denoising(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    return _step(model, optimizer, x + noise, x)


def _step(
    model: nn.Module,
    optimizer: Optimizer,
    given: Tensor,
    target: Tensor,
    clear: bool = True,
    move: bool = True,
    total: bool = False,
) -> Tensor:
    loss = _squared_error(model(given), target)
    if clear:
        optimizer.zero_grad()
    (loss.sum() if total else loss.mean()).backward()
    if move:
        optimizer.step()
    return loss.detach()


def _denoising_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int) -> Arguments:
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 6), nn.Unflatten(1, (1, 2, 3))
        ).double()
        for parameter in model.parameters():
            parameter.data = 0.5 * normal(generator, *parameter.shape)
            parameter.grad = normal(generator, *parameter.shape)  # left over from an earlier step
        return (
            model,
            SGD(model.parameters(), 0.05),
            uniform(generator, batch, 1, 2, 3),
            normal(generator, batch, 1, 2, 3),
        )

    return [case(5), case(1), case(3)]


def _after(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    _denoising(model, optimizer, x, noise)
    return _squared_error(model(x + noise), x).detach()


def _upwards(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    loss = _squared_error(model(x + noise), x)
    optimizer.zero_grad()
    loss.mean().neg().backward()
    optimizer.step()
    return loss.detach()


def _twice(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    loss = _denoising(model, optimizer, x, noise)
    optimizer.step()
    return loss


def _per_pixel(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    return _mean_of_all(model, optimizer, x, noise) / x[0].numel()


def _mean_of_all(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    errors = (model(x + noise) - x).square()
    optimizer.zero_grad()
    errors.mean().backward()
    optimizer.step()
    per_picture: Tensor = errors.detach().flatten(1).sum(-1)
    return per_picture


denoising_step = Exercise(
    "denoising_step",
    _denoising,
    _denoising_cases,
    wrong(
        "the target is the noisy picture, so the model learns to copy the noise: compare with the clean one",
        lambda model, optimizer, x, noise: _step(model, optimizer, x + noise, x + noise),
        "the model was given the clean picture: it never sees noise, so it cannot learn to remove it",
        lambda model, optimizer, x, noise: _step(model, optimizer, x, x),
        "input and target are exchanged: noisy in, clean out",
        lambda model, optimizer, x, noise: _step(model, optimizer, x, x + noise),
        "the gradients of the step before were not cleared: call optimizer.zero_grad() before backward()",
        lambda model, optimizer, x, noise: _step(model, optimizer, x + noise, x, clear=False),
        "the parameters did not move: optimizer.step() or backward() is missing, or step() came before backward() or after zero_grad()",
        lambda model, optimizer, x, noise: _step(model, optimizer, x + noise, x, move=False),
        "you descended the sum over the batch: its gradient grows with the batch; take the mean over pictures",
        lambda model, optimizer, x, noise: _step(model, optimizer, x + noise, x, total=True),
        "you descended the mean over pixels too: that divides the learning rate by the number of pixels",
        _mean_of_all,
        "this is the loss after the step: return the one that was descended, from before it",
        _after,
        "the noise was subtracted: add it to the picture, as the exercise says",
        lambda model, optimizer, x, noise: _step(model, optimizer, x - noise, x),
        "the target is the noise: this model is to return the clean picture",
        lambda model, optimizer, x, noise: _step(model, optimizer, x + noise, noise),
        "the noisy picture was clamped to [0, 1]: give it to the model as it is",
        lambda model, optimizer, x, noise: _step(model, optimizer, (x + noise).clamp(0, 1), x),
        "the parameters moved uphill: descend the loss, not minus the loss",
        _upwards,
        "the parameters moved twice: one call of optimizer.step() is one step",
        _twice,
        "you averaged over pixels too, in what you descend and in what you return: sum over them",
        _per_pixel,
        "the noise was multiplied: it is added to the picture",
        lambda model, optimizer, x, noise: _step(model, optimizer, x * noise, x),
    ),
)


# 4. codes drawn from a normal fitted to codes


def _draw(codes: Tensor, noise: Tensor) -> Tensor:
    draws: Tensor = codes.mean(0) + noise @ torch.linalg.cholesky(torch.cov(codes.T)).T
    return draws


def _draw_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, m: int, dimension: int) -> Arguments:
        codes = normal(generator, n, dimension) @ normal(generator, dimension, dimension) + 3 * normal(
            generator, dimension
        )
        return codes, normal(generator, m, dimension)

    return [case(20, 6, 3), case(8, 1, 2), case(30, 4, 5)]


def _covariance(codes: Tensor) -> Tensor:
    return torch.cov(codes.T)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.sqrt() @ vectors.T
    return root


draw_codes = Exercise(
    "draw_codes",
    _draw,
    _draw_cases,
    wrong(
        "torch.cov wants variables in rows: give it codes.T, for a covariance [k, k]",
        lambda codes, noise: codes.mean(0) + noise @ torch.linalg.cholesky(torch.cov(codes)).T,
        "you used the standard deviation of each coordinate: codes are correlated, so the whole covariance counts",
        lambda codes, noise: codes.mean(0) + noise * codes.std(0),
        "you multiplied by the covariance Σ itself: that gives draws with covariance Σ², take a factor L with LLᵀ = Σ",
        lambda codes, noise: codes.mean(0) + noise @ _covariance(codes),
        "L is not transposed: with draws as rows, ε L has the covariance LᵀL; rows need ε Lᵀ",
        lambda codes, noise: codes.mean(0) + noise @ torch.linalg.cholesky(_covariance(codes)),
        "the mean is missing: the draws must surround the codes, not 0",
        lambda codes, noise: noise @ torch.linalg.cholesky(_covariance(codes)).T,
        "the codes were not centred before the covariance: E[c cᵀ] is not the covariance",
        lambda codes, noise: codes.mean(0) + noise @ torch.linalg.cholesky(codes.T @ codes / (len(codes) - 1)).T,
        "the covariance was divided by n: divide by n − 1, as torch.cov does",
        lambda codes, noise: codes.mean(0) + noise @ torch.linalg.cholesky(torch.cov(codes.T, correction=0)).T,
        "you added the mean of all entries: each coordinate has a mean of its own, codes.mean(0)",
        lambda codes, noise: codes.mean() + noise @ torch.linalg.cholesky(_covariance(codes)).T,
        "you used the variance of each coordinate for a scale, and lost the correlations: take the Cholesky factor",
        lambda codes, noise: codes.mean(0) + noise * codes.var(0),
        "this is another factor of Σ, the symmetric root: its draws are as good, but the exercise asks for Cholesky's",
        lambda codes, noise: codes.mean(0) + noise @ _root(_covariance(codes)),
        "the mean was subtracted: add it",
        lambda codes, noise: noise @ torch.linalg.cholesky(_covariance(codes)).T - codes.mean(0),
        "the mean was multiplied by L too: only the noise is",
        lambda codes, noise: (codes.mean(0) + noise) @ torch.linalg.cholesky(_covariance(codes)).T,
        "these are the N(0, I) draws themselves: nothing of the codes is in them",
        lambda codes, noise: noise.clone(),
        "you used the correlations: the covariance holds the scales as well",
        lambda codes, noise: codes.mean(0) + noise @ torch.corrcoef(codes.T),
    ),
)


# 5. the largest angle between two subspaces


def _largest_angle(a: Tensor, b: Tensor) -> Tensor:
    cosines = torch.linalg.svdvals(torch.linalg.qr(a).Q.T @ torch.linalg.qr(b).Q)
    return torch.rad2deg(cosines.min().clamp(max=1).acos())


def _angle_cases(generator: Generator) -> list[Arguments]:
    def case(dimension: int, k: int) -> Arguments:
        a = normal(generator, dimension, k)
        return a, a @ normal(generator, k, k) + 0.5 * normal(generator, dimension, k)

    def same_span(dimension: int, k: int) -> Arguments:
        a = normal(generator, dimension, k)
        return a, a @ normal(generator, k, k)

    return [case(6, 2), case(5, 3), case(4, 1), case(9, 4), *(same_span(8, k) for k in (1, 1, 1, 1, 2, 3))]


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    cosines: Tensor = torch.linalg.svdvals(torch.linalg.qr(a).Q.T @ torch.linalg.qr(b).Q).clamp(max=1)
    return cosines


def _degrees(cosine: Tensor) -> Tensor:
    return cosine.clamp(-1, 1).acos() * 180 / pi


def _unit(a: Tensor) -> Tensor:
    scaled: Tensor = a / a.norm(dim=0)
    return scaled


largest_principal_angle = Exercise(
    "largest_principal_angle",
    _largest_angle,
    _angle_cases,
    wrong(
        "you multiplied the cosines: the largest angle has the smallest of them",
        lambda a, b: _degrees(_cosines(a, b).prod()),
        "you centred the columns: that changes the subspaces",
        lambda a, b: _degrees(_cosines(a - a.mean(0), b - b.mean(0)).min()),
        "the angle is in radians: return degrees",
        lambda a, b: _cosines(a, b).min().acos(),
        "this is the smallest angle: the largest belongs to the smallest singular value",
        lambda a, b: _degrees(_cosines(a, b).max()),
        "the columns were scaled to length 1 but not made orthogonal: take an orthonormal basis (QR) of each subspace",
        lambda a, b: _degrees(torch.linalg.svdvals(_unit(a).T @ _unit(b)).min()),
        "the columns are not orthonormal: take the Q of a QR decomposition of each first",
        lambda a, b: _degrees(torch.linalg.svdvals(a.T @ b).min()),
        "you compared column with column: two bases of one subspace can differ in every column",
        lambda a, b: _degrees((_unit(a) * _unit(b)).sum(0).min()),
        "you compared the bases column by column: the angles come from the singular values of QₐᵀQ_b",
        lambda a, b: _degrees((torch.linalg.qr(a).Q.T @ torch.linalg.qr(b).Q).diagonal().min()),
        "this is the cosine of the angle: take acos, and degrees",
        lambda a, b: _cosines(a, b).min(),
        "you took asin: the singular values of QₐᵀQ_b are the *cosines* of the angles",
        lambda a, b: torch.rad2deg(_cosines(a, b).min().asin()),
        "Qₐ Q_bᵀ is [dimension, dimension] and its smallest singular value is 0: take Qₐᵀ Q_b",
        lambda a, b: _degrees(torch.linalg.svdvals(torch.linalg.qr(a).Q @ torch.linalg.qr(b).Q.T).min()),
        "you took cos of a cosine: take acos",
        lambda a, b: torch.rad2deg(_cosines(a, b).min().clamp(max=1).cos()),
        "you took the smallest entry of Qₐᵀ Q_b: the cosines are its singular values",
        lambda a, b: _degrees((torch.linalg.qr(a).Q.T @ torch.linalg.qr(b).Q).abs().min()),
        "these are all the angles: return the largest alone",
        lambda a, b: torch.rad2deg(_cosines(a, b).acos()),
        "this is the mean of the angles: two subspaces agree only if the largest is 0",
        lambda a, b: torch.rad2deg(_cosines(a, b).acos()).mean(),
    ),
    tolerance=1e-4,  # degrees: acos near 1 loses half of the digits
)
