"""How well single latents match single known factors: the mutual information gap and the FactorVAE score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vae_course.processor import to_float64
from vae_course.refusals import refuse_unusable


def binned(codes: Tensor, bins: int = 20) -> Tensor:
    """Each column cut into `bins` intervals of equal width between its least and its greatest value: [n, m] → int64 [n, m].

    A column that does not vary goes into one bin. Raises ValueError for fewer than one bin or another shape.
    """
    if codes.ndim != 2 or bins < 1:
        raise ValueError(f"binned was given codes {list(codes.shape)} and {bins} bins; it needs [n, latents] and >= 1.")
    refuse_unusable("binned", codes=codes)
    low, high = codes.amin(0), codes.amax(0)
    relative = (codes - low) / (high - low).clamp(min=torch.finfo(codes.dtype).tiny)
    return (relative * bins).long().clamp(max=bins - 1)


def _whole(columns: Tensor) -> bool:
    """Whether these are columns of whole numbers >= 0."""
    return columns.ndim == 2 and not columns.is_floating_point() and bool(columns.numel()) and int(columns.min()) >= 0


def mutual_information(a: Tensor, b: Tensor) -> Tensor:
    """I(A_i; B_j) = Σ p(a, b) log [p(a, b) / (p(a) p(b))] from frequencies: int64 [n, k] and [n, l] → [k, l] nats.

    Cover & Thomas, Elements of Information Theory, eq. 2.28. The frequencies of few examples err upwards: by about
    (values of a − 1)(values of b − 1) / 2n where the two are independent (Miller, 1955).
    Raises ValueError unless both are whole numbers >= 0 for the same examples.
    """
    if not (_whole(a) and _whole(b)) or len(a) != len(b):
        raise ValueError(
            f"mutual_information was given {list(a.shape)} and {list(b.shape)}: it needs whole numbers from 0, [n, k] and "
            "[n, l]; cut real codes into intervals with `binned` first."
        )
    left, right = _indicators(a), _indicators(b)  # [k, values, n], [l, values, n]
    joint = torch.einsum("kan,lbn->klab", left, right) / len(a)
    independent = left.mean(-1)[:, None, :, None] * right.mean(-1)[None, :, None, :]
    return (torch.xlogy(joint, joint) - torch.xlogy(joint, independent)).sum((-2, -1)).clamp(min=0)


def entropy(a: Tensor) -> Tensor:
    """H = −Σ p log p of each column's frequencies: int64 [n, k] → [k] nats. Raises ValueError for other than whole numbers."""
    if not _whole(a):
        raise ValueError(
            f"entropy was given {list(a.shape)} of type {a.dtype}: it needs whole numbers from 0, [n, k]; cut real codes into "
            "intervals with `binned` first."
        )
    p = _indicators(a).mean(-1)
    return -torch.xlogy(p, p).sum(-1)


def mutual_information_gap(codes: Tensor, factors: Tensor, bins: int = 20) -> Tensor:
    """The MIG: for each factor, the gap between the two latents that know most about it, over the factor's entropy.

    MIG_v = [I(z_(1); v) − I(z_(2); v)] / H(v), from 0 to 1; the published score is its mean over the factors. Chen et
    al., arXiv:1802.04942, eq. 6. Give draws of z, not its mean: a mean without its noise seems to know more.

    codes: [n, latents >= 2] draws of z; factors: int64 [n, factors] → [factors]. 1 for a code that holds each factor
    in one latent alone and whole; 0 for a rotated copy that spreads it evenly over two, and for a constant code.
    Raises ValueError for fewer than two latents, a factor that does not vary, numbers that are not finite, unequal lengths.
    """
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise ValueError(f"The mutual information gap needs codes [n, 2 or more latents], not {list(codes.shape)}.")
    refuse_unusable("The mutual information gap", codes=codes, factors=factors)
    h = entropy(factors)
    if not bool((h > 0).all()):
        raise ValueError("The mutual information gap is undefined for a factor that does not vary: leave it out.")
    most = mutual_information(binned(codes, bins), factors).topk(2, dim=0).values  # [2, factors]
    return (most[0] - most[1]) / h.to(most)


def factor_vae_score(
    codes: Tensor, factors: Tensor, generator: torch.Generator, votes: int = 800, batch: int = 64
) -> float:
    """The FactorVAE score: the accuracy of naming the factor held fixed by the latent that varies least, in [0, 1].

    Kim & Mnih, arXiv:1802.05983, section 4: hold one factor fixed, draw `batch` examples, take the latent with the
    least variance relative to its variance overall; a majority vote tells which factor each latent stands for. Fitted
    on the first half of the votes, measured on the second. Guessing scores about 1/factors.

    codes: [n, latents], means of q(z|x), as published; factors: int64 [n, factors]. Latents whose variance is below a
    hundredth of the largest do not vote. Returns 0 for codes that do not vary.
    Raises ValueError for fewer than two votes, numbers that are not finite, or unequal lengths.
    """
    if votes < 2:
        raise ValueError(f"factor_vae_score was asked for {votes} votes; one half fits and the other measures: give 2.")
    if codes.ndim != 2 or factors.ndim != 2 or factors.is_floating_point():
        raise ValueError(
            f"factor_vae_score was given codes {list(codes.shape)} and factors {list(factors.shape)} of type {factors.dtype}: "
            "it needs codes [n, latents] and factors [n, factors], whole numbers."
        )
    refuse_unusable("factor_vae_score", codes=codes, factors=factors)
    codes, factors = to_float64(codes), factors.cpu()  # many small steps, of which each would wait for a device
    overall = codes.var(0)
    active = overall > 0.01 * overall.max()
    if not bool(active.any()):
        return 0.0
    scaled = codes[:, active] / overall[active].sqrt()

    def draw(high: int, size: int) -> Tensor:
        return torch.randint(high, (size,), generator=generator, device=generator.device).cpu()

    fixed = draw(factors.shape[1], votes)
    least = torch.empty_like(fixed)
    for vote, factor in enumerate(fixed.tolist()):
        value = factors[draw(len(factors), 1), factor]  # of an example drawn at random
        alike = (factors[:, factor] == value).nonzero()[:, 0]
        least[vote] = scaled[alike[draw(len(alike), batch)]].var(0).argmin()
    half = votes // 2
    voted, true = one_hot(least[:half], scaled.shape[1]).double(), one_hot(fixed[:half], factors.shape[1]).double()
    table = voted.T @ true  # [latents, factors]
    return float((table.argmax(1)[least[half:]] == fixed[half:]).double().mean())


def _indicators(a: Tensor) -> Tensor:
    """1 where an example has a value: int64 [n, k] → float64 [k, values, n], on the processor."""
    values = torch.arange(int(a.max()) + 1, device=a.device)
    return to_float64(a.T[:, None] == values[:, None])
