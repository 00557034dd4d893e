"""The sheet on the VQ-VAE: nearest codes, perplexity, a causal mask, the straight-through line, two terms, averages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. the nearest code of every position


def _vectors(z: Tensor) -> Tensor:
    return z.movedim(1, -1)


def _squared(v: Tensor, e: Tensor) -> Tensor:
    return (v - e).square().sum(-1)


def _nearest_by(
    score: Callable[[Tensor, Tensor], Tensor] = _squared, vectors: Callable[[Tensor], Tensor] = _vectors
) -> Answer:
    """score: of vectors [..., 1, d] and codes [K, d]; vectors: of z, with d last."""
    return lambda z, codebook: score(vectors(z)[..., None, :], codebook).argmin(-1)


_nearest = _nearest_by()


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
    _nearest,
    _nearest_cases,
    wrong(
        "this is the farthest code: take the argmin of the distance",
        _nearest_by(lambda v, e: -_squared(v, e)),
        "z was cut into vectors in the order of memory: move the channel axis to the end first (movedim or permute)",
        _nearest_by(vectors=_cut),
        _nearest_by(vectors=lambda z: z.reshape(z.shape[1], -1).T.reshape(_cut(z).shape)),
        "height and width are exchanged: the axes of the result are batch, height, width",
        _nearest_by(vectors=lambda z: z.permute(0, 3, 2, 1)),
        lambda z, e: _nearest(z.mT, e).reshape(len(z), *z.shape[2:]),
        "you took the largest inner product: without ‖e‖² a long code wins too often",
        _nearest_by(lambda v, e: -(v * e).sum(-1)),
        "the square is not expanded right: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖²",
        _nearest_by(lambda v, e: e.square().sum(-1) - (v * e).sum(-1)),
        _nearest_by(lambda v, e: (v + e).square().sum(-1)),
        "vectors were scaled to length 1, as for a cosine: in a distance their lengths count",
        _nearest_by(lambda v, e: _squared(normalize(v, dim=-1), normalize(e, dim=-1))),
        _nearest_by(lambda v, e: _squared(normalize(v, dim=-1), e)),
        "you summed absolute differences: the distance is Euclidean, so sum their squares",
        _nearest_by(lambda v, e: (v - e).abs().sum(-1)),
        "the differences were summed with their signs, so they cancel: square each one first",
        _nearest_by(lambda v, e: (v - e).sum(-1).square()),
        _nearest_by(lambda v, e: (v - e).sum(-1).abs()),
        _nearest_by(lambda v, e: (v - e).sum(-1)),
        "you compared z with the codebook's columns: the codes are its rows, [K, d]; check each transpose",
        lambda z, e: torch.cdist(_vectors(z).flatten(0, 2), e.T).argmin(1).reshape(len(z), *z.shape[2:]),
        lambda z, e: _nearest(z, e.T),
        "you summed the squares over the positions too: every position has its own code",
        lambda z, e: (z[:, None] - e[:, :, None, None]).square().sum((2, 3, 4)).argmin(1),
    ),
)


# 2. the perplexity of an epoch


def _entropy(p: Tensor) -> Tensor:
    terms: Tensor = torch.special.xlogy(p, p)
    return -terms.sum()


def _of_frequencies(rule: Callable[[Tensor], Tensor]) -> Answer:
    """rule: of the frequencies of the codes, [K]."""
    return lambda codes, size: rule(torch.bincount(codes.flatten(), minlength=size).double() / codes.numel())


_perplexity = _of_frequencies(lambda p: _entropy(p).exp())


def _mean_over(groups: Callable[[Tensor], Tensor], of: Answer = _perplexity) -> Answer:
    """The mean of what `of` gives for each group of codes; groups: with one group a row."""
    return lambda codes, size: torch.stack([of(group, size) for group in groups(codes)]).mean()


def _normalised(count: Callable[[Tensor, int], int]) -> Answer:
    """Frequencies that are counts divided by another number."""
    return lambda codes, size: _entropy(torch.bincount(codes.flatten()).double() / count(codes, size)).exp()


def _of_counts(rule: Callable[[Tensor], Tensor]) -> Answer:
    """rule: of the counts, [K]."""
    return lambda codes, size: rule(torch.bincount(codes.flatten(), minlength=size).double())


def _with_constants(in_log: float = 0, to_counts: float = 0) -> Answer:
    def answer(codes: Tensor, size: int) -> Tensor:
        counts = torch.bincount(codes.flatten(), minlength=size).double() + to_counts
        p = counts / counts.sum()
        return (-p * (p + in_log).log()).sum().exp()

    return answer


def _perplexity_cases(generator: Generator) -> list[Arguments]:
    def case(batches: int, batch: int, positions: int, size: int, used: int) -> Arguments:
        # Small codes are more frequent than large ones; every one below `used` occurs.
        drawn = (used * torch.rand(batches * batch * positions, generator=generator).square()).long()
        drawn[:used] = torch.arange(used)
        shuffled = drawn[torch.randperm(len(drawn), generator=generator)]
        return shuffled.reshape(batches, batch, positions), size

    alike = torch.full((2, 2, 3), 2)
    parted = torch.arange(4)[:, None, None].expand(4, 3, 2).contiguous()  # every batch has a code of its own
    sizes = [
        (4, 3, 20, 40, 40),
        (3, 5, 4, 12, 7),
        (1, 8, 6, 10, 6),
        (5, 1, 4, 6, 4),
        (3, 4, 16, 512, 9),
        (1, 1, 4, 5, 3),
    ]
    return [*(case(*numbers) for numbers in sizes), (alike, 5), (torch.zeros_like(alike), 1), (parted, 8)]


perplexity = Exercise(
    "perplexity",
    _perplexity,
    _perplexity_cases,
    wrong(
        "you averaged over batches, pictures or positions: count the codes of the whole epoch together, then one perplexity",
        _mean_over(lambda codes: codes),
        _mean_over(lambda codes: codes.flatten(0, 1)),
        _mean_over(lambda codes: codes.movedim(-1, 0)),
        lambda codes, size: _mean_over(lambda c: c, _of_frequencies(_entropy))(codes, size).exp(),
        "this is the perplexity of one batch: count the codes of all batches",
        lambda codes, size: _perplexity(codes[-1], size),
        lambda codes, size: _perplexity(codes[0], size),
        "a code that never occurs makes 0 · log 0 = NaN: it must count nothing (torch.special.xlogy, or drop it)",
        _with_constants(),
        "a constant was added inside the logarithm or to the counts: give a code that never occurs the term 0 instead",
        _with_constants(in_log=1e-6),
        *[_with_constants(in_log=e) for e in (1e-5, 1e-4, 1e-3, 1e-2)],
        *[_with_constants(to_counts=e) for e in (1, 0.5, 0.1, 1e-2, 1e-3)],
        "logarithm and power have different bases: exp belongs to nats (log), 2 to bits (log2)",
        _of_frequencies(lambda p: 2 ** _entropy(p)),
        _of_frequencies(lambda p: (_entropy(p) / log(2)).exp()),
        "this is the entropy: the perplexity is exp of the entropy in nats",
        _of_frequencies(_entropy),
        _of_frequencies(lambda p: _entropy(p) / log(2)),
        "the sign is flipped: the entropy is −Σ p log p, and a perplexity is at least 1",
        _of_frequencies(lambda p: (-_entropy(p)).exp()),
        "you counted the codes in use, or their share: the perplexity weighs them by their frequency",
        _of_frequencies(lambda p: (p > 0).sum().double()),
        _of_frequencies(lambda p: (p > 0).sum()),
        _of_frequencies(lambda p: (p > 0).double().mean()),
        "you divided by K: the perplexity itself is asked for, between 1 and K",
        lambda codes, size: _perplexity(codes, size) / size,
        "1/Σ p² is another effective number of codes: the perplexity is exp(−Σ p log p)",
        _of_frequencies(lambda p: 1 / p.square().sum()),
        "you averaged p log p over the codes: the entropy is their sum",
        _of_frequencies(lambda p: (_entropy(p) / len(p)).exp()),
        "the counts were not divided by how many codes there are in all: the frequencies must sum to 1",
        _normalised(lambda codes, size: size),
        _normalised(lambda codes, size: codes[..., 0].numel()),
        _normalised(lambda codes, size: len(codes)),
        _normalised(lambda codes, size: 1),
        _of_counts(lambda n: (-n * n.log()).sum().exp()),
    ),
)


# 3. the mask of a causal convolution


def _mask(kernel: int, centre: bool) -> Tensor:
    places = torch.arange(kernel * kernel).reshape(kernel, kernel)
    return (places < kernel * kernel // 2 + centre).double()


def _mask_by(seen: Callable[[Tensor, Tensor], Tensor], own: Callable[[bool], bool] = lambda centre: centre) -> Answer:
    """seen: of how far a weight stands below and to the right of the centre; own: whether the centre is seen."""

    def mask(kernel: int, centre: bool) -> Tensor:
        steps = torch.arange(kernel) - kernel // 2
        down, right = torch.meshgrid(steps, steps, indexing="ij")
        return torch.where((down == 0) & (right == 0), own(centre), seen(down, right)).double()

    return mask


def _past(down: Tensor, right: Tensor) -> Tensor:
    return (down < 0) | ((down == 0) & (right < 0))


causal_mask = Exercise(
    "causal_mask",
    _mask,
    lambda generator: [(kernel, centre) for kernel in (3, 5, 1, 7, 9) for centre in (False, True)],
    wrong(
        "the centre is the wrong way round: its weight is 1 where `centre` is True",
        _mask_by(_past, lambda centre: not centre),
        "`centre` is ignored: the weight of the centre is 0 where it is False (type A) and 1 where it is True (type B)",
        _mask_by(_past, lambda centre: True),
        _mask_by(_past, lambda centre: False),
        "rows and columns are exchanged: reading order is row by row, so whole rows are seen, not whole columns",
        lambda kernel, centre: _mask(kernel, centre).T,
        "you kept the rows below the centre: those above, row 0 the first, come before it in reading order",
        lambda kernel, centre: _mask(kernel, centre).flip(0, 1),
        lambda kernel, centre: _mask(kernel, centre).flip(0),
        "0 and 1 are exchanged: 1 is for what is seen",
        lambda kernel, centre: 1 - _mask(kernel, centre),
        "the whole row of the centre is seen: of its row only what lies to the left",
        _mask_by(lambda down, right: down <= 0),
        _mask_by(lambda down, right: down <= 0, lambda centre: True),
        "the left part of the centre's own row is missing: those pixels come before it too",
        _mask_by(lambda down, right: down < 0),
        _mask_by(lambda down, right: down < 0, lambda centre: False),
        "one place too many is seen: k² // 2 places lie before the centre, and the centre is one more only where `centre` is True",
        lambda kernel, centre: (torch.arange(kernel**2).view(kernel, kernel) <= kernel**2 // 2 + centre).double(),
        "the future is not hidden: the rows below and the right part of the centre's row must be 0",
        lambda kernel, centre: torch.ones(kernel, kernel).double(),
        _mask_by(lambda down, right: torch.ones_like(down)),
        "the rows above are missing: all of their pixels come before the centre",
        _mask_by(lambda down, right: (down == 0) & (right < 0)),
        "of the rows above only the part to the left is seen: they come before the centre as a whole",
        _mask_by(lambda down, right: (down <= 0) & (right < 0)),
        _mask_by(lambda down, right: (down <= 0) & (right <= 0)),
        "every row is seen to the left of the centre: the rows above count whole, those below not at all",
        _mask_by(lambda down, right: right < 0),
        _mask_by(lambda down, right: right <= 0),
        "the rows below are seen too: they come after the centre",
        _mask_by(lambda down, right: (down != 0) | (right < 0)),
        "this is a triangle, a mask between positions of a sequence: in a kernel the rows above the centre are seen whole",
        lambda kernel, centre: torch.ones(kernel, kernel).double().tril(0 if centre else -1),
        lambda kernel, centre: torch.ones(kernel, kernel).double().tril(),
        lambda kernel, centre: torch.ones(kernel, kernel).double().triu(0 if centre else 1),
        lambda kernel, centre: torch.ones(kernel, kernel).double().triu(),
        "left and right are exchanged: of the centre's own row the part to the left is seen",
        lambda kernel, centre: _mask(kernel, centre).flip(1),
    ),
)


# 4. the straight-through line


def _codes(z: Tensor, codebook: Tensor) -> Tensor:
    return codebook[_nearest(z, codebook)].movedim(-1, 1)


def _joined(join: Callable[[Tensor, Tensor], Tensor], codes: Answer = _codes) -> Answer:
    """join: of z and the codes chosen, both with their gradients."""
    return lambda z, codebook: join(z, codes(z, codebook))


def _through(z: Tensor, e: Tensor) -> Tensor:
    return z + (e - z).detach()


def _quantise_cases(generator: Generator) -> list[Arguments]:
    shapes = [((3, 3, 3, 3), 5), ((2, 3, 4, 4), 5), ((2, 4, 2, 3), 8), ((1, 1, 2, 5), 3), ((4, 2, 1, 1), 6)]
    z, codebook = _map_of_codes(generator, (2, 2, 3, 2), 4)
    exact = _codes(z, codebook).clone().requires_grad_()
    small, few = (1e-3 * a for a in _map_of_codes(generator, (2, 3, 2, 2), 4))
    return [
        *(_map_of_codes(generator, shape, size, gradient=True) for shape, size in shapes),
        (exact, codebook.requires_grad_()),
        (small.requires_grad_(), few.requires_grad_()),
    ]


quantise = Exercise(
    "quantise",
    lambda z, codebook: _through(z, _codes(z, codebook)),
    _quantise_cases,
    wrong(
        "the value is right, but no gradient reaches z: it goes to the codebook instead; detach the way from z to its code",
        _codes,
        "the value is right, but no gradient flows back: z must keep its own, and only what is added to it is detached",
        _joined(lambda z, e: e.detach()),
        "z gets its gradient, but the codebook gets one too: detach the code as well, not z alone",
        _joined(lambda z, e: z + (e - z.detach())),
        "this is z: its value must be that of the nearest code",
        lambda z, codebook: z.clone(),
        _joined(lambda z, e: z.detach()),
        _joined(lambda z, e: e + (z - e).detach()),
        "you added the code to z: what is added is the way from z to its code, e − z",
        _joined(lambda z, e: z + e.detach()),
        _joined(lambda z, e: z + e),
        "the sign of the way from z to its code is flipped: it is e − z",
        _joined(lambda z, e: z + (z - e).detach()),
        _joined(lambda z, e: z + (z - e)),
        _joined(lambda z, e: z - (e - z).detach()),
        "the gradient to z has the wrong sign: z stands in the sum with a plus, its detached copy with a minus",
        _joined(lambda z, e: e.detach() + z.detach() - z),
        _joined(lambda z, e: e + (z.detach() - z)),
        _joined(lambda z, e: (e + z).detach() - z),
        "you reshaped the codes to the shape of z: move their last axis to place 1 instead (movedim or permute)",
        _joined(_through, lambda z, e: e[_nearest(z, e)].reshape(z.shape)),
        lambda z, e: e[_nearest(z, e)].reshape(z.shape),
        "the codes have their axis d last, z has it at place 1: move it back before you subtract",
        _joined(_through, lambda z, e: e[_nearest(z, e)]),
        "height and width of the codes are exchanged: [batch, height, width, d] goes back with permute(0, 3, 1, 2)",
        _joined(_through, lambda z, e: e[_nearest(z, e)].permute(0, 3, 2, 1)),
        "z was cut into vectors in the order of memory: move the channel axis to the end before the search",
        _joined(_through, lambda z, e: e[_nearest_by(vectors=_cut)(z, e)].movedim(-1, 1)),
        _joined(_through, lambda z, e: e[_nearest_by(vectors=_cut)(z, e)].reshape(z.shape)),
        "these are not the nearest codes: take the argmin of ‖z − e‖² over the codes",
        _joined(_through, lambda z, e: e[_nearest_by(lambda v, c: -_squared(v, c))(z, e)].movedim(-1, 1)),
        _joined(_through, lambda z, e: e[_nearest_by(lambda v, c: -(v * c).sum(-1))(z, e)].movedim(-1, 1)),
    ),
)


# 5. the codebook term and the commitment term


def _terms_by(
    measure: Callable[[Tensor, Tensor], Tensor] = lambda a, b: (a - b).square().flatten(1).sum(1),
    factors: Callable[[float], tuple[float, float]] = lambda beta: (1.0, beta),
    stops: tuple[bool, bool, bool, bool] = (True, False, False, True),
) -> Answer:
    """stops: whether z and e are detached in the codebook term, and z and e in the commitment term."""

    def terms(z: Tensor, nearest: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        first, second = factors(beta)
        codebook = measure(z.detach() if stops[0] else z, nearest.detach() if stops[1] else nearest)
        commitment = measure(z.detach() if stops[2] else z, nearest.detach() if stops[3] else nearest)
        return first * codebook, second * commitment

    return terms


_terms = _terms_by()


def _terms_cases(generator: Generator) -> list[Arguments]:
    def case(beta: float, *shape: int, scale: float = 1.0) -> Arguments:
        z, e = (normal(generator, *shape, scale=scale, gradient=True) for _ in range(2))
        return z, e, beta

    plain = [case(0.25, 4, 3, 2, 5), case(2.0, 1, 2, 3, 1), case(0.0, 2, 2, 2, 2)]
    return [*plain, case(1.0, 3, 1, 1, 1, scale=10.0), case(0.5, 3, 4, 1, 2, scale=0.01)]


vq_terms = Exercise(
    "vq_terms",
    _terms,
    _terms_cases,
    wrong(
        "you summed absolute differences: both terms are squared distances",
        lambda z, nearest, beta: (
            (z.detach() - nearest).abs().flatten(1).sum(1),
            beta * (z - nearest.detach()).abs().flatten(1).sum(1),
        ),
        "β stands on the codebook term: it belongs to the commitment term, which moves the encoder",
        _terms_by(factors=lambda beta: (beta, 1.0)),
        "the two terms are exchanged: return the codebook term first",
        lambda z, e, beta: _terms(z, e, beta)[::-1],
        "β multiplies both terms: only the commitment term has it",
        _terms_by(factors=lambda beta: (beta, beta)),
        "β is missing: it multiplies the commitment term",
        _terms_by(factors=lambda beta: (1.0, 1.0)),
        "β was squared with the difference: it multiplies the square",
        _terms_by(factors=lambda beta: (1.0, beta**2)),
        "a stop-gradient is missing: detach z in the codebook term and the code in the commitment term",
        _terms_by(stops=(False,) * 4),
        _terms_by(stops=(False, False, False, True)),
        _terms_by(stops=(True, False, False, False)),
        "the stop-gradients are exchanged: the codebook term moves the code, so there z is detached",
        _terms_by(stops=(False, True, True, False)),
        "both terms detach z: the commitment term detaches the code",
        _terms_by(stops=(True, False, True, False)),
        "both terms detach the code: the codebook term detaches z",
        _terms_by(stops=(False, True, False, True)),
        "too much is detached: the codebook term detaches z alone, the commitment term the code alone",
        _terms_by(stops=(True,) * 4),
        _terms_by(stops=(True, True, False, True)),
        _terms_by(stops=(True, False, True, True)),
        "the straight-through line came first: past it the codebook term moves the encoder, away from its code, and no code is moved",
        lambda z, e, beta: _terms(z, _through(z, e), beta),
        "z was replaced by the straight-through line, whose value is the code itself: both terms are 0 and the code gets no gradient",
        lambda z, e, beta: _terms(_through(z, e), e, beta),
        "you averaged over channels or positions: both terms are sums over d, height and width",
        _terms_by(lambda a, b: (a - b).square().flatten(1).mean(1)),
        _terms_by(lambda a, b: (a - b).square().sum(1).flatten(1).mean(1)),
        _terms_by(lambda a, b: (a - b).square().mean(1).flatten(1).sum(1)),
        "you reduced over the batch too: return one number per picture",
        _terms_by(lambda a, b: (a - b).square().mean()),
        _terms_by(lambda a, b: (a - b).square().sum()),
        "this is the length of the difference: the terms take its square",
        _terms_by(lambda a, b: (a - b).flatten(1).norm(dim=1)),
        _terms_by(lambda a, b: (a - b).norm(dim=1).flatten(1).sum(1)),
        "the commitment term is 0: it is β ‖z − sg[e]‖², and without it the encoder may run away from the codes",
        _terms_by(factors=lambda beta: (1.0, 0.0)),
    ),
    results=("codebook term", "commitment term"),
)


# 6. one step of the moving averages

Step = tuple[Tensor, Tensor, Tensor]
Blend = Callable[[Tensor, Tensor, float], Tensor]


def _counted(z: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How many vectors each code has in the batch, [K], and their sum, [K, d]."""
    counts = torch.bincount(codes, minlength=size).to(z.dtype)
    return counts, z.new_zeros(size, z.shape[1]).index_add(0, codes, z)


def _last(z: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Assigned by index, where of equal codes the last one stays."""
    counts = z.new_zeros(size).index_fill(0, codes, 1)
    return counts, z.new_zeros(size, z.shape[1]).index_put((codes,), z)


def _quotient(m: Tensor, n: Tensor) -> Tensor:
    return torch.where(n[:, None] > 0, m / torch.where(n > 0, n, 1)[:, None], m)


def _blend(old: Tensor, new: Tensor, decay: float) -> Tensor:
    return decay * old + (1 - decay) * new


def _ema_by(
    counted: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]] = _counted,
    counts_by: Blend = _blend,
    sums_by: Blend = _blend,
    quotient: Callable[[Tensor, Tensor], Tensor] = _quotient,
) -> Answer:
    def update(counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float) -> Step:
        n, s = counted(z, codes, len(counts))
        counts, sums = counts_by(counts, n, decay), sums_by(sums, s, decay)
        return counts, sums, quotient(sums, counts)

    return update


_update = _ema_by()


def _detached(update: Answer) -> Answer:
    return lambda counts, sums, z, codes, decay: update(counts, sums, z.detach(), codes, decay)


_ema = _detached(_update)


def _held(*updates: Answer) -> list[Answer]:
    """Updates through which no gradient flows back to z."""
    return [_detached(update) for update in updates]


def _codebook_by(codebook: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, float], Tensor]) -> Answer:
    """codebook: of counts and sums, first the old ones, then those of the batch, then the new ones, and γ."""

    def update(counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float) -> Step:
        new_counts, new_sums, _ = _update(counts, sums, z, codes, decay)
        batch = _counted(z, codes, len(counts))
        return new_counts, new_sums, codebook(counts, sums, *batch, new_counts, new_sums, decay)

    return update


def _used_only(counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float) -> Step:
    new_counts, new_sums, _ = _update(counts, sums, z, codes, decay)
    used = _counted(z, codes, len(counts))[0] > 0
    counts, sums = torch.where(used, new_counts, counts), torch.where(used[:, None], new_sums, sums)
    return counts, sums, _quotient(sums, counts)


def _over(denominator: Callable[[Tensor], Tensor]) -> Answer:
    """The sums divided by a denominator made of the counts."""
    return _ema_by(quotient=lambda m, n: m / denominator(n)[:, None])


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


_FADES: list[Blend] = [  # γ forgotten, 1 − γ forgotten
    lambda old, new, decay: old + (1 - decay) * new,
    lambda old, new, decay: decay * old + new,
]

_SMALL = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)

ema_update = Exercise(
    "ema_update",
    _ema,
    _ema_cases,
    wrong(
        "a gradient flows from the averages back to z: detach z, or every step keeps the graphs of all earlier ones",
        _update,
        "γ and 1 − γ are exchanged: γ, near 1, stands before the old state",
        *_held(lambda N, m, z, k, decay: _update(N, m, z, k, 1 - decay)),
        "m_k takes the sum of its vectors in the batch: you took their mean, so that their number counts twice",
        *_held(_ema_by(lambda *batch: (_counted(*batch)[0], _quotient(*_counted(*batch)[::-1])))),
        "your codebook is a moving average of codes, which forgets how many vectors each had: it is m_k / N_k",
        *_held(
            _codebook_by(
                lambda N, m, n, s, N1, m1, decay: torch.where(
                    n[:, None] > 0, _blend(_quotient(m, N), _quotient(s, n), decay), _quotient(m, N)
                )
            ),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: _blend(_quotient(m, N), _quotient(s, n), decay)),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: _blend(_quotient(m, N), _quotient(m1, N1), decay)),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: _blend(m / N[:, None], s / n[:, None], decay)),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: _blend(m / N[:, None], m1 / N1[:, None], decay)),
        ),
        "you divided by the counts of this batch: the codebook is m_k / N_k, average by average",
        *_held(
            _codebook_by(lambda N, m, n, s, N1, m1, decay: m1 / n.clamp(min=1)[:, None]),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: m1 / n[:, None]),
        ),
        "γ or 1 − γ is missing, in the counts or in the sums: N ← γ N + (1 − γ) n, and likewise m",
        *_held(
            *[_ema_by(counts_by=fade) for fade in _FADES],
            *[_ema_by(sums_by=fade) for fade in _FADES],
            *[_ema_by(counts_by=fade, sums_by=fade) for fade in (*_FADES, lambda old, new, decay: old + new)],
        ),
        "the old state is ignored: this is k-means on the batch alone, right only at γ = 0",
        *_held(lambda N, m, z, k, decay: _update(N, m, z, k, 0.0)),
        "your codebook takes the old counts, the old sums or both: divide the new m_k by the new N_k",
        *_held(
            _codebook_by(lambda N, m, *others: _quotient(m, N)),
            _codebook_by(lambda N, m, *others: m / N[:, None]),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: _quotient(m1, N)),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: m1 / N[:, None]),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: _quotient(m, N1)),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: m / N1[:, None]),
        ),
        "a code with N_k = 0 was divided by 0: return m_k there",
        *_held(_over(lambda n: n)),
        "a code with N_k = 0 came out as 0, or kept its old place: return m_k there, after its step",
        *_held(
            _ema_by(quotient=lambda m, n: torch.where(n[:, None] > 0, _quotient(m, n), 0.0)),
            _codebook_by(lambda N, m, n, s, N1, m1, decay: _quotient(m1, N1).where(N1[:, None] > 0, _quotient(m, N))),
        ),
        "the counts were raised to 1 before the division: averages between 0 and 1 are right as they are",
        *_held(_over(lambda n: n.clamp(min=1))),
        "a small constant stands in the denominator: divide by N_k itself, and where it is 0 return m_k",
        *_held(
            *[_over(partial(torch.add, other=e)) for e in _SMALL],
            *[_over(partial(torch.clamp, min=e)) for e in _SMALL],
            _over(lambda n: (n + 1e-5) / (n.sum() + 1e-5 * len(n)) * n.sum()),
        ),
        "an assignment by index keeps one vector of each code: add them all up (index_add, or a one-hot matrix)",
        *_held(_ema_by(_last), _ema_by(lambda *batch: (_counted(*batch)[0], _last(*batch)[1]))),
        "you divided by the size of the batch: n_k is a count, and the sum of its vectors a sum",
        *_held(
            _ema_by(lambda z, codes, size: _counted(z / len(z), codes, size)),
            _ema_by(
                lambda z, codes, size: (_counted(z, codes, size)[0] / len(z), _counted(z, codes, size)[1] / len(z))
            ),
        ),
        "a code that the batch does not use must decay as well: you left its state as it was",
        *_held(_used_only),
    ),
    results=("counts", "sums", "codebook"),
)
