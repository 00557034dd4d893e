"""The sheet on the VQ-VAE: nearest codes, perplexity, two terms, averages, a step in order, residual quantisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import log
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, named, normal, uniform
from vae_course.exercises.slips import SMALL

Change = Callable[[Tensor], Tensor]

# 1. the nearest code of every position

_NEAREST = Formula(
    "z codebook",
    vectors=lambda z: z.movedim(1, -1),  # [batch, height, width, d]
    differences=lambda vectors, codebook: vectors[..., None, :] - codebook,
    distances=lambda differences: differences.square().sum(-1),
    codes=lambda distances: distances.argmin(-1),
)


def _cut(z: Tensor) -> Tensor:
    """Vectors of d numbers in the order of memory."""
    return z.reshape(len(z), *z.shape[2:], z.shape[1])


def _map_of_codes(generator: Generator, shape: tuple[int, ...], size: int, gradient: bool = False) -> Arguments:
    """z [batch, d, height, width] and a codebook [size, d] whose codes have different lengths."""
    lengths = torch.linspace(0.5, 2, size, dtype=torch.float64)[:, None]
    codebook = (lengths * normal(generator, size, shape[1])).requires_grad_(gradient)
    return normal(generator, *shape, gradient=gradient), codebook


def _nearest_cases(generator: Generator) -> list[Arguments]:
    shapes = [((3, 4, 6, 6), 4), ((4, 3, 6, 5), 8), ((1, 2, 4, 7), 16), ((2, 1, 3, 3), 5), ((1, 3, 1, 1), 4)]
    tiny = tuple(1e-3 * a for a in _map_of_codes(generator, (2, 5, 4, 3), 6))
    large = tuple(1e3 * a for a in _map_of_codes(generator, (2, 2, 3, 4), 6))
    single = _map_of_codes(generator, (2, 3, 2, 2), 1)
    return [*(_map_of_codes(generator, shape, size) for shape, size in shapes), tiny, large, single]


nearest_code = Exercise(
    "nearest_code",
    _NEAREST,
    _nearest_cases,
    wrong(
        "this is the farthest code: take the argmin of the distance",
        _NEAREST.but(codes=lambda distances: distances.argmax(-1)),
        "z was cut into vectors in the order of memory: move the channel axis to the end first (movedim or permute)",
        _NEAREST.but(vectors=_cut),
        _NEAREST.but(vectors=lambda z: z.reshape(z.shape[1], -1).T.reshape(_cut(z).shape)),
        "height and width are exchanged: the axes of the result are batch, height, width",
        _NEAREST.but(vectors=lambda z: z.permute(0, 3, 2, 1)),
        _NEAREST.then(lambda codes: codes.mT.reshape(codes.shape)),
        "the codes were read back in another order than the vectors were laid out in: undo the same permutation",
        _NEAREST.then(lambda codes: codes.reshape(*codes.shape[1:], len(codes)).permute(2, 0, 1)),
        _NEAREST.then(lambda codes: codes.flatten(1).T.reshape(codes.shape)),
        "you took the largest inner product: without ‖e‖² a long code wins too often",
        _NEAREST.but(distances=lambda vectors, codebook: -vectors @ codebook.T),
        "the square is not expanded right: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖²",
        _NEAREST.but(distances=lambda vectors, codebook: codebook.square().sum(-1) - vectors @ codebook.T),
        _NEAREST.but(distances=lambda vectors, codebook: codebook.norm(dim=-1) - 2 * vectors @ codebook.T),
        _NEAREST.given(codebook=torch.neg),
        "vectors were scaled to length 1, as for a cosine: in a distance their lengths count",
        *[_NEAREST.given(z=normalize, codebook=normalize), _NEAREST.given(z=normalize)],
        "you summed absolute differences: the distance is Euclidean, so sum their squares",
        _NEAREST.but(distances=lambda differences: differences.abs().sum(-1)),
        "the differences were summed with their signs, so they cancel: square each one first",
        _NEAREST.but(distances=lambda differences: differences.sum(-1).square()),
        _NEAREST.but(distances=lambda differences: differences.sum(-1).abs()),
        _NEAREST.but(distances=lambda differences: differences.sum(-1)),
        "you compared z with the codebook's columns: the codes are its rows, [K, d]; check each transpose",
        lambda z, e: torch.cdist(z.movedim(1, -1).flatten(0, 2), e.T).argmin(1).reshape(len(z), *z.shape[2:]),
        _NEAREST.given(codebook=torch.t),
        "you summed the squares over the positions too: every position has its own code",
        _NEAREST.but(distances=lambda differences: differences.square().sum((1, 2, 4))),
    ),
)


# 2. the perplexity of an epoch

_PERPLEXITY = Formula(
    "codes size",
    counts=lambda codes, size: torch.bincount(codes.flatten(), minlength=size).double(),
    p=lambda counts, codes: counts / codes.numel(),
    entropy=lambda p: -torch.xlogy(p, p).sum(),
    perplexity=lambda entropy: entropy.exp(),
)
_ENTROPY = _PERPLEXITY.but(perplexity=lambda entropy: entropy)


def _mean_over(groups: Callable[[Tensor], Iterable[Tensor]], of: Formula = _PERPLEXITY) -> Answer:
    """The mean of what `of` gives for each group of codes."""
    return lambda codes, size: torch.stack([of(group, size) for group in groups(codes)]).mean()


def _with_constants(in_log: float = 0, to_counts: float = 0) -> Formula:
    """The entropy by log, with a constant added inside it, or to the counts."""
    return _PERPLEXITY.but(
        p=lambda counts: (counts + to_counts) / (counts + to_counts).sum(),
        entropy=lambda p: -(p * (p + in_log).log()).sum(),
    )


def _perplexity_cases(generator: Generator) -> list[Arguments]:
    def case(batches: int, batch: int, positions: int, size: int, used: int) -> Arguments:
        # Small codes are more frequent than large ones; every one below `used` occurs.
        drawn = (used * torch.rand(batches * batch * positions, generator=generator).square()).long()
        drawn[:used] = torch.arange(used)
        shuffled = drawn[torch.randperm(len(drawn), generator=generator)]
        return shuffled.reshape(batches, batch, positions), size

    alike = torch.full((2, 2, 3), 2)
    parted = torch.arange(4)[:, None, None].expand(4, 3, 2).contiguous()  # every batch has a code of its own
    some = [case(4, 3, 20, 40, 40), case(3, 5, 4, 12, 7), case(1, 8, 6, 10, 6), case(5, 1, 4, 6, 4)]
    few_used = [case(3, 4, 16, 512, 9), case(1, 1, 4, 5, 3)]
    return [*some, *few_used, (alike, 5), (torch.zeros_like(alike), 1), (parted, 8)]


perplexity = Exercise(
    "perplexity",
    _PERPLEXITY,
    _perplexity_cases,
    wrong(
        "you averaged over batches, pictures or positions: count the codes of the whole epoch together, then one perplexity",
        *[
            _mean_over(groups)
            for groups in (list, lambda codes: codes.flatten(0, 1), lambda codes: codes.movedim(-1, 0))
        ],
        _PERPLEXITY.but(entropy=_mean_over(list, _ENTROPY)),
        "this is the perplexity of one batch: count the codes of all batches",
        *[_PERPLEXITY.given(codes=lambda codes: codes[-1]), _PERPLEXITY.given(codes=lambda codes: codes[0])],
        "a code that never occurs makes 0 · log 0 = NaN: it must count nothing (torch.special.xlogy, or drop it)",
        _with_constants(),
        "a constant was added inside the logarithm or to the counts: give a code that never occurs the term 0 instead",
        *[_with_constants(in_log=constant) for constant in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)],
        *[_with_constants(to_counts=constant) for constant in (1, 0.5, 0.1, 1e-2, 1e-3)],
        "logarithm and power have different bases: exp belongs to nats (log), 2 to bits (log2)",
        _PERPLEXITY.but(perplexity=lambda entropy: 2**entropy),
        _PERPLEXITY.but(perplexity=lambda entropy: (entropy / log(2)).exp()),
        "this is the entropy: the perplexity is exp of the entropy in nats",
        *[_ENTROPY, _PERPLEXITY.but(perplexity=lambda entropy: entropy / log(2))],
        "the sign is flipped: the entropy is −Σ p log p, and a perplexity is at least 1",
        _PERPLEXITY.but(perplexity=lambda entropy: (-entropy).exp()),
        "you counted the codes in use, or their share: the perplexity weighs them by their frequency",
        _PERPLEXITY.but(perplexity=lambda p: (p > 0).sum().double()),
        _PERPLEXITY.but(perplexity=lambda p: (p > 0).sum()),
        _PERPLEXITY.but(perplexity=lambda p: (p > 0).double().mean()),
        "you divided by K: the perplexity itself is asked for, between 1 and K",
        _PERPLEXITY.but(perplexity=lambda entropy, size: entropy.exp() / size),
        "1/Σ p² is another effective number of codes: the perplexity is exp(−Σ p log p)",
        _PERPLEXITY.but(perplexity=lambda p: 1 / p.square().sum()),
        "you averaged p log p over the codes: the entropy is their sum",
        _PERPLEXITY.but(entropy=lambda p: -torch.xlogy(p, p).mean()),
        "the counts were not divided by how many codes there are in all: the frequencies must sum to 1",
        _PERPLEXITY.but(p=lambda counts, size: counts / size),
        _PERPLEXITY.but(p=lambda counts, codes: counts / codes[..., 0].numel()),
        _PERPLEXITY.but(p=lambda counts, codes: counts / len(codes)),
        _PERPLEXITY.but(p=lambda counts: counts),
        _PERPLEXITY.but(p=lambda counts: counts, entropy=lambda p: -(p * p.log()).sum()),
    ),
)


# 3. the codebook term and the commitment term


def _through(z: Tensor, e: Tensor) -> Tensor:
    return z + (e - z).detach()


_TERMS = Formula(
    "z nearest beta",
    to_code=lambda z, nearest: z.detach() - nearest,
    to_z=lambda z, nearest: z - nearest.detach(),
    codebook=lambda to_code: to_code.square().flatten(1).sum(1),
    commitment=lambda to_z: to_z.square().flatten(1).sum(1),
    terms=lambda codebook, commitment, beta: (codebook, beta * commitment),
)


def _measured(measure: Change) -> Answer:
    """Another measure of the difference in both terms."""
    return _TERMS.but(codebook=lambda to_code: measure(to_code), commitment=lambda to_z: measure(to_z))


def _terms_cases(generator: Generator) -> list[Arguments]:
    def case(beta: float, *shape: int, scale: float = 1.0) -> Arguments:
        z, e = (normal(generator, *shape, scale=scale, gradient=True) for _ in range(2))
        return z, e, beta

    plain = [case(0.25, 4, 3, 2, 5), case(2.0, 1, 2, 3, 1), case(0.0, 2, 2, 2, 2)]
    return [*plain, case(1.0, 3, 1, 1, 1, scale=10.0), case(0.5, 3, 4, 1, 2, scale=0.01)]


vq_terms = Exercise(
    "vq_terms",
    _TERMS,
    _terms_cases,
    wrong(
        "you summed absolute differences: both terms are squared distances",
        _measured(lambda way: way.abs().flatten(1).sum(1)),
        "this is a difference of squares: both terms are the square of a difference",
        _TERMS.but(
            codebook=lambda z, nearest: (z.detach().square() - nearest.square()).flatten(1).sum(1),
            commitment=lambda z, nearest: (z.square() - nearest.detach().square()).flatten(1).sum(1),
        ),
        "β stands on the codebook term: it belongs to the commitment term, which moves the encoder",
        _TERMS.but(terms=lambda codebook, commitment, beta: (beta * codebook, commitment)),
        "the two terms are exchanged: return the codebook term first",
        _TERMS.then(lambda terms: terms[::-1]),
        "β multiplies both terms: only the commitment term has it",
        _TERMS.but(terms=lambda codebook, commitment, beta: (beta * codebook, beta * commitment)),
        "β is missing: it multiplies the commitment term",
        _TERMS.given(beta=lambda beta: 1.0),
        "β was squared with the difference: it multiplies the square",
        _TERMS.given(beta=lambda beta: beta**2),
        "a stop-gradient is missing: detach z in the codebook term and the code in the commitment term",
        _TERMS.but(to_code=lambda z, nearest: z - nearest, to_z=lambda z, nearest: z - nearest),
        *[_TERMS.but(to_code=lambda z, nearest: z - nearest), _TERMS.but(to_z=lambda z, nearest: z - nearest)],
        "the stop-gradients are exchanged: the codebook term moves the code, so there z is detached",
        _TERMS.but(terms=lambda codebook, commitment, beta: (commitment, beta * codebook)),
        "both terms detach z: the commitment term detaches the code",
        _TERMS.but(terms=lambda codebook, beta: (codebook, beta * codebook)),
        "both terms detach the code: the codebook term detaches z",
        _TERMS.but(terms=lambda commitment, beta: (commitment, beta * commitment)),
        "too much is detached: the codebook term detaches z alone, the commitment term the code alone",
        _TERMS.but(to_code=lambda z, nearest: (z - nearest).detach(), to_z=lambda z, nearest: (z - nearest).detach()),
        _TERMS.but(to_code=lambda z, nearest: (z - nearest).detach()),
        _TERMS.but(to_z=lambda z, nearest: (z - nearest).detach()),
        "the straight-through line came first: past it the codebook term moves the encoder, away from its code, and no code is moved",
        lambda z, nearest, beta: _TERMS(z, _through(z, nearest), beta),
        "z was replaced by the straight-through line, whose value is the code itself: both terms are 0 and the code gets no gradient",
        lambda z, nearest, beta: _TERMS(_through(z, nearest), nearest, beta),
        "you averaged over channels or positions: both terms are sums over d, height and width",
        _measured(lambda way: way.square().flatten(1).mean(1)),
        _measured(lambda way: way.square().sum(1).flatten(1).mean(1)),
        _measured(lambda way: way.square().mean(1).flatten(1).sum(1)),
        "you reduced over the batch too: return one number per picture",
        *[_measured(lambda way: way.square().mean()), _measured(lambda way: way.square().sum())],
        "this is the length of the difference: the terms take its square",
        _measured(lambda way: way.flatten(1).norm(dim=1)),
        _measured(lambda way: way.norm(dim=1).flatten(1).sum(1)),
        "the commitment term is 0: it is β ‖z − sg[e]‖², and without it the encoder may run away from the codes",
        _TERMS.given(beta=lambda beta: 0.0),
    ),
    results=("codebook term", "commitment term"),
)


# 4. one step of the moving averages


def _quotient(m: Tensor, n: Tensor) -> Tensor:
    """m / n, and m itself where n = 0."""
    return torch.where(n[:, None] > 0, m / torch.where(n > 0, n, 1)[:, None], m)


def _naive(m: Tensor, n: Tensor) -> Tensor:
    return m / n[:, None]


_AVERAGES = Formula(
    "counts sums z codes decay",
    held=lambda z: z.detach(),
    n=lambda counts, codes: torch.bincount(codes, minlength=len(counts)).double(),
    s=lambda counts, codes, held: held.new_zeros(len(counts), held.shape[1]).index_add(0, codes, held),
    keep=lambda decay: decay,
    take=lambda decay: 1 - decay,
    N=lambda counts, n, keep, take: keep * counts + take * n,
    m=lambda sums, s, keep, take: keep * sums + take * s,
)
_EMA = Formula(
    "counts sums z codes decay",
    **_AVERAGES.steps,
    codebook=lambda m, N: _quotient(m, N),
    state=lambda N, m, codebook: (N, m, codebook),
)


def _divided(by: Callable[[Tensor, Tensor], Tensor], of: str = "m N") -> Formula:
    """The codebook as another quotient, of the sums and counts named."""
    return _EMA.but(codebook=named(lambda m, n: by(m, n), of))


def _over(denominator: Change, of: str = "m N") -> Formula:
    """The sums divided by what is made of the counts."""
    return _divided(lambda m, n: m / denominator(n)[:, None], of)


def _means_of_codes(by: Callable[[Tensor, Tensor], Tensor]) -> list[Formula]:
    """The codebook as a moving average of codes: of those of the batch, and of the new ones."""
    return [
        _EMA.but(codebook=lambda sums, counts, s, n, keep, take: keep * by(sums, counts) + take * by(s, n)),
        _EMA.but(codebook=lambda sums, counts, m, N, keep, take: keep * by(sums, counts) + take * by(m, N)),
    ]


def _moved_if_used(sums: Tensor, counts: Tensor, s: Tensor, n: Tensor, decay: float) -> Tensor:
    """A moving average of codes, where one that the batch does not use stays as it was."""
    old = _quotient(sums, counts)
    return torch.where(n[:, None] > 0, decay * old + (1 - decay) * _quotient(s, n), old)


def _last(counts: Tensor, codes: Tensor, held: Tensor) -> Tensor:
    """Sums assigned by index, where of equal codes the last one stays."""
    return held.new_zeros(len(counts), held.shape[1]).index_put((codes,), held)


def _of_averages(of: Formula) -> list[str | Answer]:
    """What goes wrong with the averages, in an exercise that has their steps."""
    return [
        "a gradient flows from the averages back to z: detach z, or every step keeps the graphs of all earlier ones",
        of.but(held=lambda z: z),
        "γ and 1 − γ are exchanged: γ, near 1, stands before the old state",
        of.given(decay=lambda decay: 1 - decay),
        "γ or 1 − γ is missing, in the counts or in the sums: N ← γ N + (1 − γ) n, and likewise m",
        *of.each(N=[lambda counts, n, take: counts + take * n, lambda counts, n, keep: keep * counts + n]),
        *of.each(m=[lambda sums, s, take: sums + take * s, lambda sums, s, keep: keep * sums + s]),
        *[of.but(N=lambda counts, n: counts + n), of.but(m=lambda sums, s: sums + s)],
        *[of.but(keep=lambda: 1), of.but(take=lambda: 1), of.but(keep=lambda: 1, take=lambda: 1)],
        "the old state is ignored: this is k-means on the batch alone, right only at γ = 0",
        of.given(decay=lambda decay: 0.0),
        "m_k takes the sum of its vectors in the batch: you took their mean, so that their number counts twice",
        of.but(m=lambda sums, s, n, keep, take: keep * sums + take * _quotient(s, n)),
        "you divided by the size of the batch: n_k is a count, and the sum of its vectors a sum",
        of.but(N=lambda counts, n, z, keep, take: keep * counts + take * n / len(z)),
        of.but(m=lambda sums, s, z, keep, take: keep * sums + take * s / len(z)),
        of.but(take=lambda decay, z: (1 - decay) / len(z)),
        "n_k is how many vectors have the code: you counted 1 for every code that occurs",
        of.but(N=lambda counts, n, keep, take: keep * counts + take * (n > 0)),
        "bincount returns as many counts as the largest code of the batch needs: give it minlength, the number of codes",
        of.but(n=lambda codes: torch.bincount(codes).double()),
        "an assignment by index keeps one vector of each code: add them all up (index_add, or a one-hot matrix)",
        of.but(s=_last),
        of.but(s=_last, n=lambda counts, codes: torch.zeros_like(counts).index_fill(0, codes, 1)),
        "a code that the batch does not use must decay as well: you left its state as it was",
        of.but(
            N=lambda counts, n, keep, take: torch.where(n > 0, keep * counts + take * n, counts),
            m=lambda sums, s, n, keep, take: torch.where(n[:, None] > 0, keep * sums + take * s, sums),
        ),
    ]


def _ema_cases(generator: Generator) -> list[Arguments]:
    def case(size: int, used: int, d: int, n: int, decay: float, empty: int = 0) -> Arguments:
        """Codes from `used` on have nothing in the batch; the last `empty` have no count either."""
        counts = torch.linspace(3, 0.3, size, dtype=torch.float64) + 0.2 * uniform(generator, size)
        counts[size - empty :] = 0
        sums = counts[:, None] * normal(generator, size, d)
        codes = torch.cat([torch.arange(used), torch.randint(used, (max(n - used, 0),), generator=generator)])[:n]
        shuffled = codes[torch.randperm(n, generator=generator)]
        return counts, sums, normal(generator, n, d, gradient=True), shuffled, decay

    counts, sums, *rest = case(6, 4, 2, 9, 0.75, empty=2)
    sums[-1] = 1 + sums[0].abs()  # without a count, but not zero
    sizes = [(5, 4, 3, 12, 0.9), (3, 3, 2, 9, 0.0), (4, 4, 2, 1, 0.99), (1, 1, 1, 4, 0.5), (5, 2, 2, 6, 0.0)]
    return [*(case(*numbers) for numbers in sizes), (counts, sums, *rest), case(8, 8, 4, 30, 0.3)]


ema_update = Exercise(
    "ema_update",
    _EMA,
    _ema_cases,
    wrong(
        *_of_averages(_EMA),
        "your codebook is a moving average of codes, which forgets how many vectors each had: it is m_k / N_k",
        *[_EMA.but(codebook=_moved_if_used), *_means_of_codes(_quotient), *_means_of_codes(_naive)],
        "you divided by the counts of this batch: the codebook is m_k / N_k, average by average",
        *[_over(lambda n: n.clamp(min=1), of="m n"), _divided(_naive, of="m n")],
        "your codebook takes the old counts, the old sums or both: divide the new m_k by the new N_k",
        *[_divided(by, of) for of in ("sums counts", "m counts", "sums N") for by in (_quotient, _naive)],
        "a code with N_k = 0 was divided by 0: return m_k there",
        _divided(_naive),
        _EMA.but(codebook=lambda m, N: _naive(m, N).nan_to_num()),
        "a code with N_k = 0 came out as 0, or kept its old place: return m_k there, after its step",
        _EMA.but(codebook=lambda m, N: _quotient(m, N) * (N > 0)[:, None]),
        _EMA.but(codebook=lambda m, N, sums, counts: _quotient(m, N).where(N[:, None] > 0, _quotient(sums, counts))),
        _EMA.but(codebook=lambda m, N, sums: _quotient(m, N).where(N[:, None] > 0, sums)),
        "the counts were raised to 1 before the division: averages between 0 and 1 are right as they are",
        _over(partial(torch.clamp, min=1)),
        "a small constant stands in the denominator: divide by N_k itself, and where it is 0 return m_k",
        *[_over(partial(torch.add, other=small)) for small in SMALL[:7]],
        *[_over(partial(torch.clamp, min=small)) for small in SMALL[:7]],
        _over(lambda n: (n + 1e-5) / (n.sum() + 1e-5 * len(n)) * n.sum()),
        "the order of the results is another: return the counts, the sums, the codebook",
        *[
            _EMA.but(state=lambda N, m, codebook: (codebook, N, m)),
            _EMA.but(state=lambda N, m, codebook: (m, N, codebook)),
        ],
    ),
    results=("counts", "sums", "codebook"),
)


# 5. a whole step, in order

_STEP = Formula(
    "z counts sums decay training",
    codebook=lambda sums, counts: sums / counts[:, None],
    codes=lambda z, codebook: torch.cdist(z, codebook).argmin(1),
    **_AVERAGES.steps,
    moved=lambda m, N: m / N[:, None],
    named=lambda codes: codes,  # the codes returned
    e=lambda codebook, codes: codebook[codes],
    line=lambda z, e: _through(z, e),
    state=lambda training, N, m, counts, sums: (N, m) if training else (counts, sums),
    step=lambda named, line, state: (named, line, *state),
)


def _chosen_again(z: Tensor, moved: Tensor, codes: Tensor, training: bool) -> Tensor:
    """The codes nearest after the step, where there is one."""
    return torch.cdist(z, moved).argmin(1) if training else codes


def _step_cases(generator: Generator) -> list[Arguments]:
    def case(size: int, d: int, n: int, decay: float, training: bool, spread: float = 1.0) -> Arguments:
        counts = 0.5 + 3 * uniform(generator, size)
        sums = counts[:, None] * normal(generator, size, d)
        return normal(generator, n, d, scale=spread, gradient=True), counts, sums, decay, training

    trained = [
        case(5, 2, 40, 0.5, True),
        case(4, 3, 12, 0.9, True),
        case(6, 2, 1, 0.75, True),
        case(3, 1, 30, 0.2, True),
    ]
    return [*trained, case(5, 2, 40, 0.5, False), case(3, 4, 2, 0.9, False), case(8, 2, 60, 0.6, True, spread=3.0)]


vq_step = Exercise(
    "vq_step",
    _STEP,
    _step_cases,
    wrong(
        "the averages moved although `training` is False: codes that move on held-out pictures have learned from them",
        _STEP.but(state=lambda N, m: (N, m)),
        "the averages did not move although `training` is True",
        _STEP.but(state=lambda counts, sums: (counts, sums)),
        "`training` is the wrong way round: the averages move where it is True",
        _STEP.given(training=lambda training: not training),
        "the codes were chosen again after the codebook had moved: return those that the averages were moved by",
        _STEP.but(named=lambda z, moved: torch.cdist(z, moved).argmin(1)),
        _STEP.but(named=lambda z, moved: torch.cdist(z, moved).argmin(1), e=lambda moved, named: moved[named]),
        _STEP.but(named=_chosen_again),
        _STEP.but(
            named=_chosen_again, e=lambda moved, codebook, named, training: (moved if training else codebook)[named]
        ),
        "these are vectors of the moved codebook: decode those that were chosen, before they moved",
        _STEP.but(e=lambda moved, codes: moved[codes]),
        "the averages were made of the chosen vectors, which are where they are: average the encoder's outputs z",
        _STEP.but(held=lambda z, codebook, codes: codebook[codes].detach()),
        _STEP.but(held=lambda z, codebook, codes: _through(z, codebook[codes]).detach()),
        *_of_averages(_STEP),
        "no gradient reaches z: the straight-through line hands it the decoder's, z + sg[e − z]",
        _STEP.but(line=lambda e: e.detach()),
        _STEP.but(line=lambda z, e, training: _through(z, e) if training else e.detach()),
        "this is z: the value of the straight-through line is the chosen vector",
        _STEP.but(line=lambda z: 1 * z),
        "the codebook is sums / counts, the averages as they come in: the sums alone are not where the codes are",
        _STEP.but(codebook=lambda sums: sums),
        "the codes are the farthest: take the argmin of the distances",
        _STEP.but(codes=lambda z, codebook: torch.cdist(z, codebook).argmax(1)),
        "you took the largest inner product: without ‖e‖² a long code wins too often",
        _STEP.but(codes=lambda z, codebook: (z @ codebook.T).argmax(1)),
        "the last result is the averages of the sums, m: you divided them by the counts",
        _STEP.then(lambda step: (*step[:3], step[3] / step[2][:, None])),
        "the order of the results is another: return the codes, the draw, the counts, the sums",
        *[_STEP.then(lambda step: (step[1], step[0], *step[2:])), _STEP.then(lambda step: (*step[:2], *step[:1:-1]))],
    ),
    results=("codes", "straight-through draw", "counts", "sums"),
)


# 6. residual quantisation

Stages = Callable[..., Any]


def _stages(
    searched: Stages = lambda z, left, total: left,
    after: Stages = lambda z, left, e: left - e,
    books: Change = torch.clone,
    codes: Change = torch.clone,
    chosen: Stages = lambda far: far.argmin(-1),
    total_of: Stages = lambda vectors: sum(vectors),
    line: Stages = lambda z, total: _through(z, total),
) -> Answer:
    """Codes of one codebook after another: what each searches for, what is left after it, and what is made of all."""

    def answer(z: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
        left, found, vectors = z.detach(), [], []
        total = torch.zeros_like(left)
        for book in books(codebooks):
            k = chosen(torch.cdist(searched(z.detach(), left, total), book))
            left, total = after(z.detach(), left, book[k]), total + book[k]
            found.append(k)
            vectors.append(book[k])
        return codes(torch.stack(found, 1)), line(z, total_of(vectors))

    return answer


def _best_of_all(z: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of all K^R sums."""
    stages, size = codebooks.shape[:2]
    numbers = torch.cartesian_prod(*[torch.arange(size)] * stages).reshape(-1, stages)
    sums = sum(book[numbers[:, r]] for r, book in enumerate(codebooks))
    best = torch.cdist(z.detach(), sums).argmin(1)
    return numbers[best], _through(z, sums[best])


def _a_line_each(z: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    """A straight-through line for every stage, from what was left before it."""
    codes, total = _stages()(z, codebooks)
    return codes, total + (len(codebooks) - 1) * (z - z.detach())


def _residual_cases(generator: Generator) -> list[Arguments]:
    def case(stages: int, size: int, d: int, n: int) -> Arguments:
        scale = 0.6 ** torch.arange(stages, dtype=torch.float64)[:, None, None]
        return normal(generator, n, d, gradient=True), (scale * normal(generator, stages, size, d)).requires_grad_()

    return [
        case(3, 4, 2, 30),
        case(2, 5, 3, 12),
        case(1, 4, 2, 8),
        case(4, 3, 2, 1),
        case(2, 3, 3, 2),
        case(3, 3, 1, 20),
    ]


residual_codes = Exercise(
    "residual_codes",
    _stages(),
    _residual_cases,
    wrong(
        "every codebook quantised z itself: the second quantises what the first has left over, z − e",
        _stages(searched=lambda z, left, total: z),
        _stages(after=lambda z, left, e: left),
        "what is left is what was searched for less its code: the sign is flipped",
        _stages(after=lambda z, left, e: e - left),
        _stages(after=lambda z, left, e: left + e),
        "what is left after a stage is taken from what was left before it: you subtracted the last code from z",
        _stages(after=lambda z, left, e: z - e),
        "the next stage searched for the code itself, not for what it leaves over",
        _stages(after=lambda z, left, e: e),
        "the sum of all stages is the quantised vector: you returned the last stage's",
        _stages(total_of=lambda vectors: vectors[-1]),
        "the sum of all stages is the quantised vector: you returned the first stage's",
        _stages(total_of=lambda vectors: vectors[0]),
        "you averaged the stages: the quantised vector is their sum",
        _stages(total_of=lambda vectors: sum(vectors) / len(vectors)),
        "every stage searched the first codebook: each has its own",
        _stages(books=lambda books: books[:1].expand_as(books)),
        "what is left was scaled to length 1: quantise it as it is",
        _stages(after=lambda z, left, e: normalize(left - e)),
        "the stages are in the wrong order: the first codebook comes first",
        _stages(books=lambda books: books.flip(0)),
        _stages(books=lambda books: books.flip(0), codes=lambda codes: codes.flip(1)),
        "the codes are [n, R], a row for each vector",
        _stages(codes=lambda codes: codes.T),
        "the codes are [n, R], a row for each vector, and were reshaped, not transposed",
        _stages(codes=lambda codes: codes.T.reshape(codes.shape)),
        "you searched all K^R sums for the nearest: residual quantisation decides stage by stage, with R · K distances",
        _best_of_all,
        "these are the farthest codes: take the argmin",
        _stages(chosen=lambda far: far.argmax(-1)),
        "no gradient reaches z: end with the straight-through line, z + sg[Σ e − z]",
        _stages(line=lambda z, total: total.detach()),
        _stages(line=lambda z, total: total),
        "a gradient reaches the codebooks: z + sg[Σ e − z] has that of z alone",
        _stages(line=lambda z, total: z + total - z.detach()),
        "every stage handed on the gradient of z, which comes R times: one straight-through line, for the sum",
        _a_line_each,
        "what is left over was returned: return the sum of the codes",
        _stages(line=lambda z, total: _through(z, z - total)),
    ),
    results=("codes", "quantised vectors"),
)
