"""The sheet on autoencoders: errors, principal components, a training step, codes drawn at random, subspaces."""

from __future__ import annotations

from functools import partial

import torch
from torch import Generator, Tensor, linalg, nn
from torch.nn.functional import binary_cross_entropy
from torch.nn.functional import binary_cross_entropy_with_logits as logistic_cross_entropy
from torch.optim import SGD, Optimizer

from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, Step, named, normal, uniform
from vae_course.exercises.slips import SMALL

# 1. ‖x − x̂‖², one number per picture


def _summed(per_pixel: Tensor) -> Tensor:
    return per_pixel.flatten(1).sum(-1)


_difference = Formula("reconstruction x", difference=lambda reconstruction, x: x - reconstruction)
_squares = _difference.but(squares=lambda difference: difference.square())
_squared_error = _squares.but(error=lambda squares: _summed(squares))


def _squared_error_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, away: float = 0.0) -> Arguments:
        """away: how far a reconstruction may lie beyond [0, 1]."""
        within = uniform(generator, *shape)
        return (within + away * (2 * within - 1)).requires_grad_(), uniform(generator, *shape)

    return [case(4, 1, 3, 5), case(1, 1, 2, 2), case(3, 3, 2, 4), case(2, 1, 28, 28, away=1.0)]


squared_error_per_image = Exercise(
    "squared_error_per_image",
    _squared_error,
    _squared_error_cases,
    wrong(
        "you subtracted the squares: subtract first, then square the difference",
        _squared_error.but(squares=lambda reconstruction, x: x.square() - reconstruction.square()),
        "you averaged over pixels: ‖x − x̂‖² is their sum",
        *(_squares.then(partial(torch.mean, dim=d)) for d in ((1, 2, 3), -1, 1, (2, 3))),
        *map(_squares.then, (lambda s: s.mean((2, 3)).sum(1), lambda s: s.mean(1).sum((1, 2)))),
        "you averaged over everything (nn.MSELoss does that): return one sum per picture",
        _squares.then(torch.mean),
        "you summed over the batch too: return one number per picture",
        _squares.then(torch.sum),
        "you averaged over the batch: return one number per picture; the training step takes the mean",
        _squared_error.then(torch.mean),
        "you summed over the last axis only: a picture has three, channels, height and width",
        _squares.then(lambda squares: squares.sum(-1)),
        "you summed over height and width only: channels are pixels too",
        _squares.then(lambda squares: squares.sum((2, 3))),
        "you summed over other axes than the three of a picture: channels, height and width, all but axis 0",
        *(_squares.then(partial(torch.sum, dim=d)) for d in (0, 1, 2, (0, 1), (0, 2, 3), (0, 1, 2), (1, 2), (1, 3))),
        "you summed first and squared then: errors of opposite sign cancel",
        _difference.then(lambda difference: _summed(difference).square()),
        "these are absolute errors, not squared ones",
        _difference.then(lambda difference: _summed(difference.abs())),
        "you did not square: errors of opposite sign cancel",
        *map(_difference.then, (_summed, lambda d: _summed(-d), lambda d: _summed(2 * d))),
        "you did not sum over the pixels of a picture",
        _squares,
        "you took the square root: this is ‖x − x̂‖, not its square",
        *map(_squared_error.then, (torch.sqrt, lambda error: error.sum().sqrt())),
        "there is a ½ too much: it belongs to the Gaussian log-density, not to the squared error",
        _squared_error.then(lambda error: 0.5 * error),
        "the reconstruction was kept within [0, 1], by a clamp or a sigmoid: compare it as it is",
        *(_squared_error.given(reconstruction=change) for change in (lambda r: r.clamp(0, 1), torch.sigmoid)),
        "this is the cross-entropy of pixels taken for probabilities: sum the squared differences",
        *(partial(binary_cross_entropy, reduction=reduction) for reduction in ("mean", "sum")),
        lambda reconstruction, x: _summed(binary_cross_entropy(reconstruction, x, reduction="none")),
        lambda reconstruction, x: _summed(logistic_cross_entropy(reconstruction, x, reduction="none")),
        "every picture was compared with every other: subtract x from the reconstruction as it is, without a new axis",
        lambda reconstruction, x: torch.cdist(reconstruction.flatten(1), x.flatten(1)).square(),
    ),
)


# 2. reconstruction from the first k principal components

_pca = Formula(
    "x k",
    mean=lambda x: x.mean(0),
    centred=lambda x, mean: x - mean,
    svd=lambda centred: linalg.svd(centred, full_matrices=False),
    components=lambda svd, k: svd.Vh[:k],  # [k, dimension]
    codes=lambda centred, components: centred @ components.T,
    mapped=lambda codes, components: codes @ components,
    result=lambda mapped, mean: mapped + mean,
)
_standardised = _pca.but(centred=lambda x, mean: (x - mean) / x.std(0))


def _pca_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, dimension: int, k: int) -> Arguments:
        scales = torch.linspace(3, 0.5, dimension, dtype=torch.float64)
        mixing = linalg.qr(normal(generator, dimension, dimension)).Q
        return normal(generator, n, dimension) * scales @ mixing + 5 * uniform(generator, dimension), k

    return [case(30, 6, 2), case(30, 5, 1), case(12, 4, 4), case(25, 20, 3), case(40, 8, 3), case(40, 7, 2)]


pca_reconstruction = Exercise(
    "pca_reconstruction",
    _pca,
    _pca_cases,
    wrong(
        "you divided by the standard deviations: PCA as asked for here only subtracts the mean",
        *[_standardised, _standardised.but(result=lambda mapped, mean, x: mapped * x.std(0) + mean)],
        _pca.but(svd=lambda centred, x: linalg.svd(centred / x.std(0), full_matrices=False)),
        "this is the mean for every row: nothing of x is in it",
        _pca.but(mapped=lambda x: torch.zeros_like(x)),
        "the data were not centred: without it the first component points to the mean",
        _pca.but(mean=lambda: 0.0),
        "the mean was not added again: this reconstructs the centred data",
        _pca.but(result=lambda mapped: mapped),
        "you kept the components of *least* variance: eigh sorts in ascending order, svd in descending",
        _pca.but(components=lambda svd, k: svd.Vh[-k:]),
        "you took columns of Vᵀ where its rows are the components: torch.linalg.svd returns V transposed",
        _pca.but(components=lambda svd, k: svd.Vh[:, :k].T),
        "you took rows of what eigh returns: its eigenvectors are columns, those of largest variance the last",
        _pca.but(components=lambda x, k: linalg.eigh(torch.cov(x.T)).eigenvectors[:k]),
        _pca.but(components=lambda x, k: linalg.eigh(torch.cov(x.T)).eigenvectors[-k:]),
        "the singular values were applied again: the projection of x on the components has them already",
        _pca.but(codes=lambda centred, components, svd, k: centred @ components.T * svd.S[:k]),
        "the codes are the columns of U alone, of one length: they take the singular values too, U S",
        _pca.but(codes=lambda svd, k: svd.U[:, :k]),
        "you subtracted one number, the mean of all entries: each pixel has a mean of its own, x.mean(0)",
        _pca.but(mean=lambda x: x.mean()),
        "you subtracted from each row its own mean: each pixel has a mean over the rows, x.mean(0)",
        _pca.but(mean=lambda x: x.mean(1, keepdim=True)),
        "the components were computed before centring: centre first, then take the svd",
        _pca.but(svd=lambda x: linalg.svd(x, full_matrices=False)),
        "these are the codes, [n, k]: map them back with the transposed components",
        _pca.but(result=lambda codes: codes),
        "the components are right, but x was projected without subtracting the mean",
        _pca.but(codes=lambda x, components: x @ components.T),
        "you kept k − 1 components: the first k are components[:k]",
        _pca.but(components=lambda svd, k: svd.Vh[: k - 1]),
        "you kept k + 1 components: the first k are components[:k]",
        _pca.but(components=lambda svd, k: svd.Vh[: k + 1]),
        "you left out the first component, or the first k of them: the first k are components[:k]",
        *_pca.each(components=[lambda svd, k: svd.Vh[1 : k + 1], lambda svd, k: svd.Vh[k:]]),
        "this is x itself: nothing was left out",
        lambda x, k: x.clone(),
        "you kept the k-th component alone: keep the first k, components[:k]",
        _pca.but(components=lambda svd, k: svd.Vh[k - 1 : k]),
    ),
)


# 3. one training step of a denoising autoencoder


def _calls(order: str) -> Step:
    """What moves the parameters, in this order."""

    def moved(optimizer: Optimizer, loss: Tensor) -> None:
        calls: dict[str, Step] = {"clear": optimizer.zero_grad, "backward": loss.backward, "step": optimizer.step}
        for name in order.split():
            calls[name]()

    return moved


_step = Formula(
    "model optimizer x noise",
    noisy=lambda x, noise: x + noise,
    target=lambda x: x,
    output=lambda model, noisy: model(noisy),
    losses=lambda output, target: _squared_error(output, target),
    loss=lambda losses: losses.mean(),
    moved=_calls("clear backward step"),
    result=lambda losses: losses.detach(),
)


def _denoising_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int) -> Arguments:
        model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 6), nn.Unflatten(1, (1, 2, 3)))
        for parameter in model.double().parameters():
            parameter.data = 0.5 * normal(generator, *parameter.shape)
            parameter.grad = normal(generator, *parameter.shape)  # left over from an earlier step
        pictures = uniform(generator, batch, 1, 2, 3), normal(generator, batch, 1, 2, 3)
        return model, SGD(model.parameters(), 0.05), *pictures

    return [case(5), case(1), case(3)]


denoising_step = Exercise(
    "denoising_step",
    _step,
    _denoising_cases,
    wrong(
        "the target is the noisy picture, so the model learns to copy the noise: compare with the clean one",
        _step.but(target=lambda noisy: noisy),
        "the model was given the clean picture: it never sees noise, so it cannot learn to remove it",
        _step.but(noisy=lambda x: x),
        "input and target are exchanged: noisy in, clean out",
        _step.but(output=lambda model, x: model(x), target=lambda noisy: noisy),
        "the model was given the noise alone: it is given the noisy picture, x + noise",
        _step.but(noisy=lambda noise: noise),
        "the gradients of the step before were not cleared: call optimizer.zero_grad() before backward()",
        *(_step.but(moved=_calls(order)) for order in ("backward step", "backward step clear")),
        "the parameters did not move: optimizer.step() or backward() is missing, or step() came before backward() or after zero_grad()",
        _step.but(moved=_calls("clear backward")),
        "step() came before everything else, and moved along the gradients of the step before: clear, backward, step",
        _step.but(moved=_calls("step clear backward")),
        "you descended the sum over the batch: its gradient grows with the batch; take the mean over pictures",
        _step.but(loss=lambda losses: losses.sum()),
        "you descended the mean over pixels too: that divides the learning rate by the number of pixels",
        _step.but(loss=lambda losses, x: losses.mean() / x[0].numel()),
        "this is the loss after the step: return the one that was descended, from before it",
        _step.but(result=lambda model, noisy, x: _squared_error(model(noisy), x)),
        "the noise was subtracted: add it to the picture, as the exercise says",
        _step.but(noisy=lambda x, noise: x - noise),
        "the target is the noise: this model is to return the clean picture",
        *_step.each(target=[lambda noise: noise, lambda noise: -noise]),
        "the noisy picture was clamped to [0, 1]: give it to the model as it is",
        _step.but(noisy=lambda x, noise: (x + noise).clamp(0, 1)),
        "the output was clamped to [0, 1], or went through a sigmoid: compare it as it is",
        _step.but(output=lambda model, noisy: model(noisy).clamp(0, 1)),
        _step.but(output=lambda model, noisy: model(noisy).sigmoid()),
        "the parameters moved uphill: descend the loss, not minus the loss",
        _step.but(loss=lambda losses: -losses.mean()),
        "the parameters moved twice: one call of optimizer.step() is one step",
        _step.but(moved=_calls("clear backward step step")),
        "you averaged over pixels too, in what you descend and in what you return: sum over them",
        _step.but(losses=lambda output, x: (output - x).square().mean((1, 2, 3))),
        "the noise was multiplied: it is added to the picture",
        *_step.each(noisy=[lambda x, noise: x * noise, lambda x, noise: x * (1 + noise)]),
        "the loss is no squared error: sum the squares, not absolute differences, a root of the sum or a cross-entropy",
        _step.but(losses=lambda output, x: _summed((output - x).abs())),
        _step.but(losses=lambda output, x: (output - x).flatten(1).norm(dim=-1)),
        _step.but(losses=lambda output, x: _summed(logistic_cross_entropy(output, x, reduction="none"))),
        "there is a ½ too much: descend the mean of the squared errors as they are",
        _step.but(losses=lambda output, x: _squared_error(output, x) / 2),
    ),
)


# 4. codes drawn from a normal fitted to codes

_draw = Formula(
    "codes noise",
    mean=lambda codes: codes.mean(0),
    centred=lambda codes: codes - codes.mean(0),
    covariance=lambda centred: centred.T @ centred / (len(centred) - 1),
    factor=lambda covariance: linalg.cholesky(covariance),
    spread=lambda noise, factor: noise @ factor.T,
    draws=lambda mean, spread: mean + spread,
)


def _axes(covariance: Tensor, power: float = 0.5) -> Tensor:
    """The eigenvectors, in columns, each times a power of its eigenvalue."""
    sizes, vectors = linalg.eigh(covariance)
    return torch.mul(vectors, sizes**power)


def _raised(small: float) -> Formula:
    return _draw.but(factor=lambda covariance: linalg.cholesky(covariance + small * torch.eye(len(covariance))))


def _draw_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, m: int, dimension: int, scale: float = 1.0) -> Arguments:
        mixing, away = normal(generator, dimension, dimension), 3 * normal(generator, dimension)
        return scale * (normal(generator, n, dimension) @ mixing + away), normal(generator, m, dimension)

    return [case(20, 6, 3), case(8, 1, 2), case(30, 4, 5), case(20, 3, 2, 1e-6)]


draw_codes = Exercise(
    "draw_codes",
    _draw,
    _draw_cases,
    wrong(
        "torch.cov wants variables in rows: give it codes.T, for a covariance [k, k]",
        _draw.but(covariance=lambda codes: torch.cov(codes)),
        "you used the standard deviation of each coordinate: codes are correlated, so the whole covariance counts",
        *_draw.each(spread=[lambda noise, codes: noise * codes.std(0), lambda noise, codes: noise * codes.std()]),
        _draw.but(spread=lambda noise, codes: noise * codes.std(0, correction=0)),
        "you multiplied by the covariance Σ itself: that gives draws with covariance Σ², take a factor L with LLᵀ = Σ",
        _draw.but(factor=lambda covariance: covariance),
        "L is not transposed: with draws as rows, ε L has the covariance LᵀL; rows need ε Lᵀ",
        _draw.but(spread=lambda noise, factor: noise @ factor),
        "the mean is missing: the draws must surround the codes, not 0",
        _draw.but(draws=lambda spread: spread),
        "the codes were not centred before the covariance: E[c cᵀ] is not the covariance",
        *[_draw.but(centred=lambda codes: codes), _draw.but(covariance=lambda codes: codes.T @ codes / len(codes))],
        "the covariance was divided by n: divide by n − 1, as torch.cov does",
        _draw.but(covariance=lambda centred: centred.T @ centred / len(centred)),
        "the covariance is not divided by n − 1: the products of deviations were added up, and not averaged",
        _draw.but(covariance=lambda centred: centred.T @ centred),
        "you added the mean of all entries: each coordinate has a mean of its own, codes.mean(0)",
        _draw.but(draws=lambda codes, spread: codes.mean() + spread),
        "you used the variance of each coordinate for a scale, and lost the correlations: take the Cholesky factor",
        _draw.but(spread=lambda noise, codes: noise * codes.var(0)),
        _draw.but(spread=lambda noise, codes: noise * codes.var(0, correction=0)),
        "this is another factor of Σ, the symmetric root: its draws are as good, but the exercise asks for Cholesky's",
        _draw.but(factor=lambda covariance: _axes(covariance, 0.25) @ _axes(covariance, 0.25).T),
        "this is another factor of Σ, eigenvectors times roots of eigenvalues: the exercise asks for Cholesky's",
        _draw.but(factor=lambda covariance: _axes(covariance)),
        _draw.but(factor=lambda covariance: linalg.svd(covariance).U * linalg.svd(covariance).S.sqrt()),
        "you took the root of every entry of Σ: a factor L has L Lᵀ = Σ as a matrix product",
        _draw.but(factor=lambda covariance: covariance.sqrt()),
        "the mean was subtracted: add it",
        _draw.but(draws=lambda mean, spread: spread - mean),
        "the mean was multiplied by L too: only the noise is",
        _draw.but(draws=lambda mean, noise, factor: (mean + noise) @ factor.T),
        "these are the N(0, I) draws themselves: nothing of the codes is in them",
        _draw.but(draws=lambda noise: noise.clone()),
        "the noise is as it was given, N(0, I), about the mean of the codes: their covariance is missing",
        _draw.but(spread=lambda noise: noise),
        "you used the correlations: the covariance holds the scales as well",
        _draw.but(factor=lambda codes: torch.corrcoef(codes.T)),
        _draw.but(covariance=lambda codes: torch.corrcoef(codes.T)),
        "you factored the inverse of Σ, the precision: factor the covariance",
        _draw.but(factor=lambda covariance: linalg.cholesky(covariance.inverse())),
        "a small constant was added to the diagonal of Σ: that is the covariance of other draws, and Σ has a factor as it is",
        *map(_raised, SMALL),
    ),
    tolerance=1e-12,
)


# 5. the largest angle between two subspaces

_largest = Formula(
    "a b",
    q_a=lambda a: linalg.qr(a).Q,
    q_b=lambda b: linalg.qr(b).Q,
    product=lambda q_a, q_b: q_a.T @ q_b,
    cosines=lambda product: linalg.svdvals(product),
    cosine=lambda cosines: cosines.min(),
    clamped=lambda cosine: cosine.clamp(-1, 1),
    radians=lambda clamped: clamped.acos(),
    degrees=lambda radians: torch.rad2deg(radians),
)
_of_units = _largest.but(q_a=lambda a: a / a.norm(dim=0), q_b=lambda b: b / b.norm(dim=0))
_by_svd = _largest.but(q_a=lambda a: linalg.svd(a, False).U, q_b=lambda b: linalg.svd(b, False).U)
_BASES = (_largest, _of_units, _by_svd)


def _angle_cases(generator: Generator) -> list[Arguments]:
    def case(dimension: int, k: int) -> Arguments:
        a = normal(generator, dimension, k, scale=0.2)
        return a, a @ normal(generator, k, k) + 0.5 * normal(generator, dimension, k, scale=0.2)

    def same_line() -> Arguments:
        """Two vectors on one line, whose cosine rounding lifts above 1, whatever makes bases of them."""
        for _ in range(1000):
            a, by = normal(generator, 8, 1), normal(generator, 1, 1)
            if all(formula.but(degrees=lambda cosine: cosine)(a, a @ by) > 1 for formula in _BASES):
                break
        return a, a @ by

    return [case(6, 2), case(5, 3), case(4, 1), case(9, 4), same_line(), same_line()]


largest_principal_angle = Exercise(
    "largest_principal_angle",
    _largest,
    _angle_cases,
    wrong(
        "you multiplied the cosines: the largest angle has the smallest of them",
        *_largest.each(cosine=[lambda cosines: cosines.prod(), lambda product: product.det()]),
        "you centred the columns: that changes the subspaces",
        _largest.given(a=lambda a: a - a.mean(0), b=lambda b: b - b.mean(0)),
        "the angle is in radians: return degrees",
        _largest.but(degrees=lambda radians: radians),
        "degrees and radians are exchanged: an angle in radians times 180/π is in degrees",
        _largest.but(degrees=lambda radians: torch.deg2rad(radians)),
        "this is the smallest angle: the largest belongs to the smallest singular value",
        _largest.but(cosine=lambda cosines: cosines.max()),
        "the columns were scaled to length 1 but not made orthogonal: take an orthonormal basis (QR) of each subspace",
        _of_units,
        "the columns are not orthonormal: take the Q of a QR decomposition of each first",
        *_largest.each(product=[lambda a, b: a.T @ b, lambda a, q_b: a.T @ q_b, lambda q_a, b: q_a.T @ b]),
        "the bases span the whole space, so that every angle is 0: take the reduced QR, or svd with full_matrices=False and its U",
        _largest.but(q_a=lambda a: linalg.svd(a).U, q_b=lambda b: linalg.svd(b).U),
        "you compared column with column: two bases of one subspace can differ in every column",
        *_of_units.each(cosines=[lambda product: product.diag(), lambda product: product.diag().abs()]),
        "you compared the bases column by column: the angles come from the singular values of QₐᵀQ_b",
        *_largest.each(cosines=[lambda product: product.diag(), lambda product: product.diag().abs()]),
        "this is the cosine of the angle: take acos, and degrees",
        *[_largest.but(degrees=lambda cosine: cosine), _largest.but(radians=lambda cosine: cosine)],
        "you took asin: the singular values of QₐᵀQ_b are the *cosines* of the angles",
        _largest.but(radians=lambda clamped: clamped.asin()),
        "Qₐ Q_bᵀ is [dimension, dimension] and its smallest singular value is 0: take Qₐᵀ Q_b",
        _largest.but(product=lambda q_a, q_b: q_a @ q_b.T),
        "you took cos of a cosine: take acos",
        _largest.but(radians=lambda clamped: clamped.cos()),
        "you took the smallest entry of Qₐᵀ Q_b: the cosines are its singular values",
        *_largest.each(cosines=[lambda product: product, lambda product: product.abs()]),
        "these are all the angles: return the largest alone",
        _largest.but(cosine=lambda cosines: cosines),
        "this is the mean of the angles: two subspaces agree only if the largest is 0",
        _largest.but(cosine=lambda cosines: cosines, degrees=lambda radians: torch.rad2deg(radians).mean()),
        _largest.but(cosine=lambda cosines: cosines.mean()),
        "you took the squares of the cosines, as eigenvalues of a product of projections are: take their roots",
        _largest.but(cosine=lambda cosines: cosines.square().min()),
        "this is the angle between a and b as long vectors: it changes with the bases; take the singular values of QₐᵀQ_b",
        _largest.but(cosine=lambda a, b: torch.cosine_similarity(a.flatten(), b.flatten(), 0)),
        "rounding lifts a cosine above 1, and acos gives NaN: clamp it to at most 1",
        *(formula.but(clamped=lambda cosine: cosine) for formula in _BASES),
        "the cosine was clamped below 1: for equal subspaces it is 1, and the angle 0",
        *(_largest.but(clamped=named(lambda cosine, s=s: cosine.clamp(-1, 1 - s), "cosine")) for s in SMALL[2:]),
    ),
    tolerance=1e-4,  # degrees: acos near 1 loses half of the digits
)
