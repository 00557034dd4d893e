"""Fields of code vectors: the latents of a VQ-VAE, the posterior that takes the nearest, and priors over them.

A codebook holds K vectors of d numbers, [K, d]. A latent is one of them at each position of a grid,
[d, *grid]: a picture's grid is [height, width], a sound's [time]. There are K^positions of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.nn.functional import log_softmax

from vae_course.distributions.discrete import refuse_too_many
from vae_course.processor import to_float64


def nearest_code(z: Tensor, codebook: Tensor) -> Tensor:
    """argmin_k ‖z − e_k‖² at each position. Van den Oord et al., arXiv:1711.00937, eq. 1.

    z: [batch, d, *grid], codebook: [K, d] → int64 [batch, *grid]. Raises ValueError where the numbers of channels differ.
    """
    if z.ndim < 3 or z.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"nearest_code was given z {list(z.shape)} and a codebook {list(codebook.shape)}: it needs [batch, d, *grid] "
            "and [K, d] with the same d."
        )
    points = z.movedim(1, -1)  # [batch, *grid, d]
    # ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖²; the first term is the same for every code
    return (codebook.square().sum(1) - 2 * points @ codebook.T).argmin(-1)


def look_up(codes: Tensor, codebook: Tensor) -> Tensor:
    """The vectors of the codes: int64 [batch, *grid], codebook [K, d] → [batch, d, *grid]."""
    return codebook[codes].movedim(-1, 1)


class _Field(Distribution):
    """What the distributions over fields of code vectors share: batch [batch] or [], event [d, *grid]."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, codebook: Tensor, batch: Sequence[int], grid: Sequence[int]) -> None:
        self.codebook, self.grid = codebook, tuple(grid)
        super().__init__(Size(batch), Size((codebook.shape[1], *grid)), validate_args=False)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.grid) + 1)


class NearestCode(_Field):
    """q(z|x) of a VQ-VAE: certain of the code nearest to the encoder's output at every position.

    `rsample` holds the straight-through line: in value the codes, in gradient the encoder's output.
    continuous: the encoder's output [batch, d, *grid]; `nearest`: the code vectors; `codes`: their numbers.
    """

    has_rsample = True

    def __init__(self, continuous: Tensor, codebook: Tensor) -> None:
        self.continuous = continuous
        self.codes = nearest_code(continuous.detach(), codebook.detach())
        self.nearest = look_up(self.codes, codebook)
        super().__init__(codebook, continuous.shape[:1], continuous.shape[2:])

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """[*sample, batch, d, *grid]: all draws are the same."""
        z = self.nearest.detach() + (self.continuous - self.continuous.detach())  # the straight-through line
        return z.expand(*sample_shape, *z.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """0 where every position holds its nearest code, −∞ elsewhere: [..., batch] nats."""
        return self.log_prob_of_factors(value).sum(-1)

    def log_prob_of_factors(self, value: Tensor) -> Tensor:
        """0 where a position holds its nearest code, −∞ elsewhere: [..., d, *grid] → [..., positions] nats."""
        same = (value == self.nearest).all(-len(self.grid) - 1).flatten(-len(self.grid))
        return torch.where(same, 0.0, -torch.inf).to(value.dtype)

    @property
    def mean(self) -> Tensor:
        """The one z that q allows: [batch, d, *grid]."""
        return self.nearest

    def entropy(self) -> Tensor:
        """0 nats: nothing is drawn."""
        return self.continuous.new_zeros(self.batch_shape)


class CodeDistribution(_Field):
    """A prior over fields of codes. Subclasses give `draw(n)`, and `position_log_prob(codes)` or `code_log_prob(codes)`."""

    has_enumerate_support = True

    def position_log_prob(self, codes: Tensor) -> Tensor:
        """log p of the code at each position, given those before it if it depends on them: int64 [n, *grid] → [n, *grid]."""
        raise NotImplementedError

    def code_log_prob(self, codes: Tensor) -> Tensor:
        """log p of the codes: int64 [n, *grid] → [n] nats."""
        return self.position_log_prob(codes).flatten(1).sum(1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Every field of codes, the last position changing fastest: [K^positions, d, *grid].

        Raises ValueError for more than 100,000.
        """
        size, positions = len(self.codebook), prod(self.grid)
        refuse_too_many(f"{positions} positions of {size} codes", size**positions)
        numbers = torch.cartesian_prod(*[torch.arange(size, device=self.codebook.device)] * positions)
        return look_up(numbers.reshape(-1, *self.grid), self.codebook)

    def draw(self, n: int) -> Tensor:
        """Codes drawn: int64 [n, *grid]."""
        raise NotImplementedError

    def log_prob(self, value: Tensor) -> Tensor:
        """value: [..., d, *grid], code vectors at every position → [...] nats; −∞ where a position holds no code.

        Where two codes have the same vector it counts the first alone.
        """
        codes, is_code = self._codes(value)
        log_p = torch.where(is_code.flatten(1).all(1), self.code_log_prob(codes), -torch.inf)
        return log_p.reshape(value.shape[: value.ndim - len(self.event_shape)])

    def log_prob_of_factors(self, value: Tensor) -> Tensor:
        """The same position by position, given those before it if it depends on them: [..., d, *grid] → [..., positions]."""
        codes, is_code = self._codes(value)
        log_p = torch.where(is_code, self.position_log_prob(codes), -torch.inf)
        return log_p.reshape(*value.shape[: value.ndim - len(self.event_shape)], -1)

    def _codes(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The codes nearest to the vectors, and whether the vectors are those codes: [n, *grid] each."""
        fields = value.reshape(-1, *self.event_shape)
        codes = nearest_code(fields, self.codebook)
        return codes, torch.isclose(look_up(codes, self.codebook), fields).all(1)

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Code vectors: [*sample, d, *grid], without gradient."""
        with torch.no_grad():
            drawn = look_up(self.draw(prod(sample_shape)), self.codebook)
        return drawn.reshape(*sample_shape, *self.event_shape)


class IndependentCodes(CodeDistribution):
    """Every position drawn by itself: p(z) = Π_i softmax(logits_i)[z_i]. Zero logits: all codes equally probable.

    codebook: [K, d]; logits: [*grid, K].
    """

    def __init__(self, codebook: Tensor, logits: Tensor) -> None:
        self.log_p = log_softmax(logits, -1)
        super().__init__(codebook, (), logits.shape[:-1])

    def position_log_prob(self, codes: Tensor) -> Tensor:
        """log p of the code at each position: int64 [n, *grid] → [n, *grid] nats."""
        return self.log_p.expand(*codes.shape, -1).gather(-1, codes[..., None])[..., 0]

    def draw(self, n: int) -> Tensor:
        """Codes drawn: int64 [n, *grid]."""
        flat = self.log_p.exp().flatten(0, -2)  # [positions, K]
        return torch.multinomial(flat, n, replacement=True).T.reshape(n, *self.grid)


class AutoregressiveCodes(CodeDistribution):
    """p(z) = Π_i p(z_i | z_1, …, z_{i−1}) in reading order, by a network that sees only what comes before.

    Van den Oord, Kalchbrenner & Kavukcuoglu, arXiv:1601.06759, eq. 1.
    logits_of: codes [n, *grid] → logits [n, K, *grid], those of a position a function of earlier positions alone.
    """

    def __init__(self, codebook: Tensor, grid: Sequence[int], logits_of: Callable[[Tensor], Tensor]) -> None:
        self.logits_of = logits_of
        super().__init__(codebook, (), grid)

    def position_log_prob(self, codes: Tensor) -> Tensor:
        """log p of each code given those before it, one pass of the network: int64 [n, *grid] → [n, *grid] nats."""
        log_p = log_softmax(self.logits_of(codes), 1)  # [n, K, *grid]
        return log_p.gather(1, codes[:, None])[:, 0]

    @torch.no_grad()
    def draw(self, n: int) -> Tensor:
        """One position after another: as many passes of the network as there are positions."""
        codes = torch.zeros(n, prod(self.grid), dtype=torch.long, device=self.codebook.device)
        for i in range(codes.shape[1]):
            logits = self.logits_of(codes.reshape(n, *self.grid)).flatten(2)[:, :, i]  # [n, K]
            codes[:, i] = torch.multinomial(logits.softmax(-1), 1)[:, 0]
        return codes.reshape(n, *self.grid)


@register_kl(NearestCode, CodeDistribution)  # type: ignore[untyped-decorator]
def _kl_nearest(q: NearestCode, p: CodeDistribution) -> Tensor:
    """−log p(z) at the one z that q allows, [batch] nats: positions · log K for a uniform prior."""
    return -p.code_log_prob(q.codes)


def perplexity(codes: Tensor, size: int) -> Tensor:
    """exp of the entropy of the frequencies of all codes given, from 1 to `size`: the number of codes in even use.

    codes: int64 of any shape; give those of a whole epoch: a batch holds too few to show what is in use.
    Raises ValueError for codes outside 0 … size − 1.
    """
    p = to_float64(code_counts(codes, size))
    p = p / p.sum()
    return torch.exp(-torch.xlogy(p, p).sum())


def code_counts(codes: Tensor, size: int) -> Tensor:
    """How often each code occurs: int64 [size]. Raises ValueError for codes outside 0 … size − 1, or none."""
    flat = codes.flatten()
    if flat.is_floating_point() or len(flat) == 0 or int(flat.min()) < 0 or int(flat.max()) >= size:
        raise ValueError(f"Codes must be whole numbers from 0 to {size - 1}, and at least one of them.")
    return torch.bincount(flat, minlength=size)
