"""The sheet on autoencoders: errors of classes, tied weights, principal components, codes drawn at random, subspaces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, linalg, nn
from torch.nn.functional import gelu, one_hot, silu

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.modules import RESULTS, behaviour
from vae_course.exercises.parts import Formula, Step, named, normal, uniform
from vae_course.exercises.slips import SMALL

# 1. the mean of ‖x − x̂‖² over the pictures of each class


def _summed(per_pixel: Tensor) -> Tensor:
    return per_pixel.flatten(1).sum(-1)


_per_class = Formula(
    "reconstruction x labels classes",
    difference=lambda reconstruction, x: x - reconstruction,
    squares=lambda difference: difference.square(),
    each=lambda squares: _summed(squares),
    member=lambda labels, classes: one_hot(labels, classes).double(),  # [batch, classes]
    total=lambda each, member: each @ member,
    count=lambda member: member.sum(0),
    error=lambda total, count: total / count,
)


def _class_cases(generator: Generator) -> list[Arguments]:
    def case(classes: int, more: int, *shape: int, away: float = 0.0) -> Arguments:
        """more: pictures beyond one of each class; away: how far a reconstruction may lie beyond [0, 1]."""
        labels = torch.cat([torch.arange(classes), torch.randint(classes, (more,), generator=generator)])
        labels = torch.cat([labels, labels[-1:]])[torch.randperm(classes + more + 1, generator=generator)]
        within = uniform(generator, len(labels), *shape)
        return within + away * (2 * within - 1), uniform(generator, len(labels), *shape), labels, classes

    return [case(3, 3, 1, 3, 5), case(2, 0, 1, 2, 2), case(4, 9, 3, 2, 4), case(10, 12, 1, 8, 8, away=1.0)]


error_per_class = Exercise(
    "error_per_class",
    _per_class,
    _class_cases,
    wrong(
        "you subtracted the squares: subtract first, then square the difference",
        _per_class.but(squares=lambda reconstruction, x: x.square() - reconstruction.square()),
        "you averaged over the pixels: the error of a picture is their sum",
        *_per_class.each(
            each=[lambda squares: squares.mean((1, 2, 3)), lambda squares: squares.flatten(2).mean(2).sum(1)]
        ),
        _per_class.but(each=lambda squares: squares.mean(1).sum((1, 2))),
        "you summed first and squared then: errors of opposite sign cancel",
        _per_class.but(each=lambda difference: _summed(difference).square()),
        "these are absolute errors, not squared ones",
        _per_class.but(squares=lambda difference: difference.abs()),
        "you did not square: errors of opposite sign cancel",
        *_per_class.each(squares=[lambda difference: difference, lambda difference: -difference]),
        "you took the square root: ‖x − x̂‖² is asked for, not ‖x − x̂‖, nor the root of its mean",
        _per_class.but(each=lambda squares: _summed(squares).sqrt()),
        _per_class.then(torch.sqrt),
        "there is a ½ too much: it belongs to the Gaussian log-density, not to the squared error",
        _per_class.then(lambda error: 0.5 * error),
        "the reconstruction was kept within [0, 1], by a clamp or a sigmoid: compare it as it is",
        *(_per_class.given(reconstruction=change) for change in (lambda r: r.clamp(0, 1), torch.sigmoid)),
        "these are sums over the pictures of a class: divide each by the number of its pictures",
        _per_class.but(error=lambda total: total),
        "you divided by the number of all pictures: each class has a number of its own",
        _per_class.but(error=lambda total, labels: total / len(labels)),
        "you divided by the number of classes: divide by the number of pictures of each class",
        _per_class.but(error=lambda total, classes: total / classes),
        "you divided by one more than the number of pictures, so that no class is empty: here none is",
        *_per_class.each(
            error=[lambda total, count: total / (count + 1), lambda total, count: total / (count - 1).clamp(1)]
        ),
        "every class got the mean over all pictures: take the pictures of one class at a time",
        _per_class.but(error=lambda each, classes: each.mean().expand(classes)),
        "this is the error between two mean pictures of a class: first the error of each picture, then the mean",
        _per_class.but(
            error=lambda difference, member, count: (member.T @ difference.flatten(1) / count[:, None]).square().sum(1)
        ),
        "the classes stand in a wrong order: entry c belongs to class c, counted from 0",
        *[_per_class.then(partial(torch.roll, shifts=shift)) for shift in (1, -1)],
        _per_class.then(partial(torch.flip, dims=(0,))),
        "the errors were sorted: entry c belongs to class c",
        _per_class.then(lambda error: error.sort().values),
        _per_class.then(lambda error: error.sort(descending=True).values),
        "this is one number for each picture: return one for each class, [classes]",
        _per_class.but(error=lambda each: each),
        "each picture has the error of its class here: return one number for each class, [classes]",
        _per_class.but(error=lambda total, count, labels: (total / count)[labels]),
        "this is the median of a class, or its largest error: take the mean",
        *[
            _per_class.but(
                error=named(
                    lambda e, y, c, of=of: torch.stack([of(e[y == k]) for k in range(c)]), "each labels classes"
                )
            )
            for of in (torch.max, torch.min, torch.median)
        ],
        "the errors were divided by their sum: return them as they are",
        _per_class.then(lambda error: error / error.sum()),
        "this counts the pictures of each class: weight each with its error",
        _per_class.but(error=lambda count: count),
    ),
)


# 2. an autoencoder whose decoder uses the encoder's weights again

_TIED = Formula(
    "x weight bias offset other",
    flat=lambda x: x.flatten(1),
    linear=lambda flat, weight, bias: flat @ weight.T + bias,
    code=lambda linear: silu(linear),
    back=lambda weight: weight,  # [code, pixels], transposed by standing on the right
    decoded=lambda code, back, offset: code @ back + offset,
    result=lambda decoded, x: decoded.view_as(x),
)


def _tied(result: Answer = _TIED, parameters: str = "bias offset", frozen: bool = False) -> type[nn.Module]:
    """parameters: those beside the weight; frozen: whether the weight is not trained."""

    class Tied(nn.Module):
        def __init__(self, pixels: int, code: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(code, pixels), requires_grad=not frozen)
            shapes = {"bias": (code,), "offset": (pixels,), "other": (pixels, code)}
            for name, shape in shapes.items():
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)) if name in parameters else None)

        def forward(self, x: Tensor) -> Any:
            bias, offset = (0.0 if p is None else p for p in (self.bias, self.offset))
            return result(x, self.weight, bias, offset, self.other)

    return Tied


def _tied_with(**steps: Sequence[Step]) -> list[type[nn.Module]]:
    return [_tied(other) for other in _TIED.each(**steps)]


def _tied_cases(generator: Generator) -> list[Arguments]:
    def case(code: int, *shape: int) -> Arguments:
        x = normal(generator, *shape, gradient=True)
        return x[0].numel(), code, x

    return [case(3, 4, 1, 3, 4), case(5, 2, 3, 2, 2), case(2, 1, 1, 5, 3), case(1, 6, 1, 2, 3), case(20, 3, 1, 3, 3)]


TiedAutoencoder = Exercise(
    "TiedAutoencoder",
    _tied(),
    _tied_cases,
    wrong(
        "the decoder has a weight matrix of its own: use the encoder's again, transposed, so that both are one parameter",
        _tied(_TIED.but(decoded=lambda code, other, offset: code @ other.T + offset), "bias offset other"),
        "the decoder has no bias: give it one number for each pixel",
        _tied(parameters="bias"),
        "the encoder has no bias: give it one number for each number of the code",
        _tied(parameters="offset"),
        "neither half has a bias: one for the code, one for the pixels",
        _tied(parameters=""),
        "the weights were frozen or copied: they are a parameter, and training must move it",
        _tied(frozen=True),
        "the numbers are right, but the decoder's use of the weights was detached: the gradient reaches them from both halves",
        *_tied_with(back=[lambda weight: weight.detach(), lambda weight: weight.detach().clone()]),
        "the numbers are right, but the encoder's use of the weights was detached: the gradient reaches them from both halves",
        *_tied_with(linear=[lambda flat, weight, bias: flat @ weight.detach().T + bias]),
        "SiLU is missing after the encoder's linear map: without it the whole is linear",
        *_tied_with(code=[lambda linear: linear]),
        "behind the encoder stands another activation: SiLU is asked for",
        *_tied_with(code=[torch.relu, torch.tanh, torch.sigmoid, gelu]),
        "something follows the decoder: a reconstruction may be any number",
        *[_tied(_TIED.then(a)) for a in (torch.sigmoid, torch.relu, silu, torch.tanh)],
        _tied(_TIED.then(lambda x: x.clamp(0, 1))),
        "SiLU stands behind the decoder, where it belongs behind the encoder",
        _tied(_TIED.but(code=lambda linear: linear).then(silu)),
        "you took the pseudo-inverse of the weights: the decoder uses their transpose",
        *_tied_with(back=[lambda weight: weight.pinverse().T]),
        "the rows of the weights were scaled to length 1: use them as they are",
        *_tied_with(back=[lambda weight: weight / weight.norm(dim=1, keepdim=True)]),
        _tied(_TIED.given(weight=lambda weight: weight / weight.norm(dim=1, keepdim=True))),
        "the decoder's bias was subtracted from the picture first: the encoder sees x as it is",
        *_tied_with(linear=[lambda flat, weight, bias, offset: (flat - offset) @ weight.T + bias]),
        "the encoder's bias was subtracted from the code before decoding: decode the code as it is",
        *_tied_with(decoded=[lambda code, back, offset, bias: (code - bias) @ back + offset]),
        "the picture itself was added to what is decoded: everything must pass through the code",
        *_tied_with(result=[lambda decoded, x: x + decoded.view_as(x)]),
        "this is the code, [batch, code]: decode it",
        *_tied_with(result=[lambda code: code]),
        "the reconstruction is flat, [batch, pixels]: give it the shape of x",
        *_tied_with(result=[lambda decoded: decoded]),
        "height and width are exchanged: unflatten in the order in which x was flattened",
        *_tied_with(
            result=[lambda decoded, x: decoded.view(*x.shape[:2], *x.shape[:1:-1]).transpose(2, 3).reshape(x.shape)]
        ),
        "the pictures were mixed up: flatten all axes but the first, and unflatten the same ones",
        *_tied_with(flat=[lambda x: x.reshape(x[0].numel(), len(x)).T]),
        "no gradient flows back to x: something was detached, or made anew from numbers",
        *_tied_with(flat=[lambda x: x.detach().flatten(1)]),
    ),
    results=RESULTS,
    prepare=behaviour(2),
)


# 3. reconstruction from the first k principal components

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
