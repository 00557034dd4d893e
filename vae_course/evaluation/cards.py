"""Diagnosis cards: what one sees, what it may be, what to measure, what to do; and which cards measured numbers raise.

    raised = recognise(Measured(rows=history.rows, kl=kl_per_latent(model, test), train=a, held_out=b))
    for card, evidence in raised:
        print(card.name, evidence, card.do)

A card is raised by a sign, which is not yet its cause: `may_be` lists several. No card raised means that these signs were
not seen, not that the model is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from torch import Tensor

from vae_course.data.looking import Look, Overlap
from vae_course.refusals import refuse_unusable

ERRORS = 3.0  # standard errors that a difference must exceed
COLLAPSED = 0.1  # nats: all latents together carry less
DEAD = 0.25  # the share of codes that may never be chosen
SHARP = 0.5  # mean images keep at least this share of the data's squared steps between neighbouring pixels
WIDE = 1.5  # σ of the likelihood over the root mean squared error of its means
LOST = 0.5  # of what the loss had fallen by
BEHIND = 0.5  # standard deviations of log p over the training examples
LARGE, SMALL = 20.0, 0.01  # the size of numbers that a network is fed
NEAR_COPIES = 0.02  # the share of held-out examples that may be nearly as in training
TINY = 1e-4  # nats: rounding
FILLED, FAVOURED = 0.05, 5.0  # the share of a column's commonest value, and how many times that of the next


class Card(NamedTuple):
    """A sign, what it may come from, what tells the causes apart, and what helps."""

    name: str
    sign: str
    may_be: tuple[str, ...]
    measure: tuple[str, ...]
    do: tuple[str, ...]


class Raised(NamedTuple):
    """A card that measured numbers raise, and those numbers in a few words."""

    card: Card
    evidence: str


@dataclass(frozen=True)
class Measured:
    """What was measured; everything may be left out, and a card whose numbers are missing is not raised.

    rows: of a training's history, with the player's `loss` in each. kl: [latent] nats, the mean over x of each latent's KL.
    usage: [codes], how often each code was chosen. sharpness: of mean images (`sharpness`). std_over_error: σ of a normal
    likelihood over the root mean squared error of its means. bound, log_p: [n] nats of the same examples, a lower bound and
    log p(x), exact or estimated. train, held_out: [m], [n] nats, the same measure of examples that were trained on and of others.
    yardstick: [n] nats, what the best plain method gives the held-out examples, in their order. data: what was seen of the
    numbers that the model is fed. parts: what two parts of the data share. density: whether the likelihood is a density of
    these numbers (not a probability of levels); masked: whether gaps are left out of log p(x|z).
    Raises ValueError for empty tensors and unequal lengths, and for NaN in all but the rows.
    """

    rows: Sequence[Mapping[str, float]] = ()
    loss: str = "loss"
    kl: Tensor | None = None
    usage: Tensor | None = None
    sharpness: float | None = None
    std_over_error: float | None = None
    bound: Tensor | None = None
    log_p: Tensor | None = None
    train: Tensor | None = None
    held_out: Tensor | None = None
    yardstick: Tensor | None = None
    data: Look | None = None
    parts: Overlap | None = None
    density: bool = False
    masked: bool = False

    def __post_init__(self) -> None:
        groups = (("kl",), ("usage",), ("bound", "log_p"), ("train",), ("held_out", "yardstick"))
        for group in groups:
            given = {name: getattr(self, name) for name in group}
            refuse_unusable("Measured", **{name: value for name, value in given.items() if value is not None})


DIVERGED = Card(
    "diverged",
    "the loss is NaN or infinite, or has lost half of what it had won",
    (
        "NaN or numbers far from 1 in the data",
        "a learning rate that is too large",
        "a σ without a lower limit on a value that recurs",
        "a logarithm or a division at 0",
    ),
    (
        "the range of what is fed, and whether it holds NaN",
        "the loss of the first ten batches at a tenth of the rate",
        "the smallest σ",
    ),
    (
        "scale the data to about 1",
        "lower the rate, or let it rise slowly",
        "dequantise, or take a probability of levels",
        "let networks return logarithms, and stay with them",
    ),
)
COLLAPSED_LATENTS = Card(
    "collapsed",
    "the KL is near 0 in every latent: the code says nothing about x",
    (
        "an effective β that is too large, such as a mean over pixels beside a sum over latents",
        "a decoder that needs no code",
        "a σ of the likelihood as large as the spread of the data",
        "an early phase of training, in which noise is all that the code holds",
    ),
    ("the effective β of the loss", "the KL of each latent over the epochs", "the bound of a model without latents"),
    (
        "sum over pixels and over latents, and take the mean over the batch only",
        "learn σ, or lower it",
        "raise β from 0 in the first epochs",
        "weaken the decoder",
    ),
)
BLURRED = Card(
    "blurred",
    "mean images hold less fine detail than the data, or σ lies far above the error of the means",
    (
        "a σ of the likelihood that was fixed too large",
        "an effective β above 1",
        "too few latents",
        "too few epochs",
        "a mean over what the code leaves open, which is smooth in a right model too",
    ),
    (
        "σ over the root mean squared error of reconstructions",
        "the effective β",
        "the bound with twice the latents, and after twice the epochs",
    ),
    ("learn σ", "set β to 1", "give more latents or epochs", "show draws of x beside its mean"),
)
DEAD_CODES = Card(
    "dead codes",
    "a quarter of the codes or more are never chosen",
    (
        "codes that began far from what the encoder returns",
        "more codes than the data need",
        "an encoder that ran away from its codes",
    ),
    ("how often each code is chosen, over all training examples", "the distance of an encoding to its code"),
    (
        "begin with encodings as codes",
        "move dead codes to encodings",
        "move codes by a moving average",
        "take fewer codes",
    ),
)
IMPOSSIBLE = Card(
    "bound above log p",
    "what is called a lower bound lies above log p(x): it is none",
    (
        "a KL that was averaged over latents, or multiplied by a β below 1",
        "a likelihood whose constant is missing",
        "the posterior's mean decoded in place of draws",
        "log p(x) by too few draws, or of other numbers than the bound",
    ),
    (
        "every importance weight of a linear-Gaussian model with its exact posterior: all equal log p(x)",
        "the effective β",
        "the sum over a small space, or the integral, of exp(log p)",
    ),
    (
        "sum over all axes of one example",
        "keep the constants",
        "average over draws of z",
        "take more draws for log p(x)",
    ),
)
BEHIND_CARD = Card(
    "held out behind",
    "examples that were trained on are far likelier than held-out ones",
    (
        "more weights than the data determine, trained too long",
        "parts of different kinds: another day, another sensor",
        "an encoder that knows the training examples better than others",
    ),
    (
        "both curves over the epochs",
        "log p(x) by many draws in place of the bound: the part that the encoder loses goes",
        "the same gap for a plain method, which hardly overfits",
    ),
    (
        "stop at the highest held-out bound of a third part",
        "take a smaller network, or more data",
        "split anew, at random by groups",
    ),
)
NOT_BEATEN = Card(
    "yardstick not beaten",
    "held-out examples are not surely likelier than under a plain method",
    (
        "too few epochs",
        "a likelihood that does not suit the numbers",
        "data that the plain method describes as well as any",
        "two numbers that are not of the same thing: units, levels, rows",
    ),
    (
        "whether the loss still falls",
        "the difference example by example, with its error",
        "both of the same rows in the same unit",
    ),
    ("train on", "look at the likelihood's σ, column by column", "keep the plain method: it is simpler"),
)
LEAK = Card(
    "leak",
    "held-out examples occur among the training examples, exactly or nearly",
    (
        "pictures copied or augmented before the split",
        "several pictures of one thing, on either side",
        "neighbouring times on either side",
    ),
    ("the distance of each held-out example to its nearest training example", "the held-out score without these"),
    ("split first, augment afterwards", "keep what belongs together on one side", "hold out a later time"),
)
REPEATED = Card(
    "repeated examples",
    "examples occur more than once in one part",
    ("files that were copied", "a join of tables that multiplied rows", "readings that did not move"),
    ("how many of them there are, and which",),
    ("keep one of each before the split", "or count what is learned from, not rows"),
)
CONSTANT = Card(
    "constant columns",
    "a column has one value in all rows",
    ("a sensor that was not connected", "a column filled in later", "a unit or a version number"),
    ("when it last changed",),
    ("leave the column out: a density there has no upper limit",),
)
FILLED_GAPS = Card(
    "filled gaps",
    "one value of a column recurs far more often than any other",
    (
        "gaps that were filled with 0, -999 or the mean",
        "a sensor at the end of its scale",
        "a column that is 0 for a reason",
    ),
    ("the share of the commonest value beside that of the next", "whether the column's other values come near it"),
    ("read that value as a gap, and leave gaps out of log p(x|z)", "or model whether it is that value, and then which"),
)
GAPS = Card(
    "gaps",
    "the numbers hold NaN",
    ("readings that are missing", "a division by 0 before", "text that was no number"),
    ("the share of gaps in each column, and whether it goes with other columns",),
    ("leave gaps out of log p(x|z), and let the encoder see where they are",),
)
RANGE = Card(
    "range",
    "numbers far larger or smaller than 1 are fed to a network",
    ("bytes that were not divided by 255", "units such as pascal", "a mark for gaps such as -999"),
    ("the lowest and the highest number of each column",),
    ("divide bytes by 255", "subtract the training mean and divide by the training deviation, column by column"),
)
GRID = Card(
    "grid",
    "a density is to be fitted to numbers that lie on few levels",
    ("bytes, also after they were shifted and scaled", "readings rounded to a step", "counts"),
    ("how many different values there are beside how many numbers", "the step between neighbouring values"),
    (
        "take a probability of the levels",
        "or spread each level evenly over its step, anew in each batch, and count the step as bits",
    ),
)

CARDS: Mapping[str, Card] = {
    card.name: card
    for card in (
        DIVERGED,
        COLLAPSED_LATENTS,
        BLURRED,
        DEAD_CODES,
        IMPOSSIBLE,
        BEHIND_CARD,
        NOT_BEATEN,
        LEAK,
        REPEATED,
        CONSTANT,
        FILLED_GAPS,
        GAPS,
        RANGE,
        GRID,
    )
}


def recognise(measured: Measured) -> list[Raised]:
    """The cards that these numbers raise, in the order of CARDS, each with its evidence."""
    found = {
        DIVERGED: diverged(measured.rows, measured.loss),
        COLLAPSED_LATENTS: collapsed(measured.kl),
        BLURRED: blurred(measured.sharpness, measured.std_over_error),
        DEAD_CODES: dead_codes(measured.usage),
        IMPOSSIBLE: impossible(measured.bound, measured.log_p),
        BEHIND_CARD: behind(measured.train, measured.held_out),
        NOT_BEATEN: not_beaten(measured.held_out, measured.yardstick),
        LEAK: leaking(measured.parts),
        **(dict(of_data(measured.data, measured.density, measured.masked)) if measured.data else {}),
    }
    return [Raised(card, evidence) for card in CARDS.values() if (evidence := found.get(card))]


def diverged(rows: Sequence[Mapping[str, float]], loss: str = "loss") -> str | None:
    """NaN or infinity in a history, or a last loss that has lost LOST of what the lowest had won."""
    values = [row[loss] for row in rows]
    for epoch, value in enumerate(values, start=1):
        if not isfinite(value):
            return f"the loss of epoch {epoch} is {value}"
    if len(values) < 3 or values[-1] - min(values) <= LOST * (values[0] - min(values)):
        return None
    return f"the loss began at {values[0]:.4g}, was {min(values):.4g} at its lowest, and ended at {values[-1]:.4g}"


def collapsed(kl: Tensor | None) -> str | None:
    """All latents together under COLLAPSED nats."""
    if kl is None or not float(kl.sum()) < COLLAPSED:
        return None
    return f"the KL of all {len(kl)} latents is {float(kl.sum()):.2g} nats"


def blurred(sharpness: float | None, std_over_error: float | None) -> str | None:
    """Less than SHARP of the detail, or a σ more than WIDE times the error of the means."""
    if sharpness is not None and sharpness < SHARP:
        return f"mean images keep {sharpness:.2f} of the squared steps between neighbouring pixels"
    if std_over_error is not None and std_over_error > WIDE:
        return f"σ is {std_over_error:.2g} times the root mean squared error of the means"
    return None


def dead_codes(usage: Tensor | None) -> str | None:
    """A share of DEAD or more of the codes never chosen."""
    if usage is None or not (dead := int((usage == 0).sum())) >= DEAD * len(usage):
        return None
    return f"{dead} of {len(usage)} codes were never chosen"


def impossible(bound: Tensor | None, log_p: Tensor | None) -> str | None:
    """A bound above log p(x) by ERRORS standard errors of the difference, example by example."""
    if bound is None or log_p is None:
        return None
    mean, error = paired(bound, log_p)
    return f"the bound is {mean:.3g} ± {error:.2g} nats above log p(x)" if mean > ERRORS * error + TINY else None


def behind(train: Tensor | None, held_out: Tensor | None) -> str | None:
    """A gap over BEHIND deviations of the training examples and over ERRORS standard errors."""
    if train is None or held_out is None:
        return None
    gap = float(train.mean() - held_out.mean())
    error = float((train.var() / len(train) + held_out.var() / len(held_out)).sqrt())
    far = BEHIND * float(train.std())
    return f"held out lies {gap:.3g} ± {error:.2g} nats behind" if gap > ERRORS * error and gap > far else None


def not_beaten(held_out: Tensor | None, yardstick: Tensor | None) -> str | None:
    """Not above the yardstick by ERRORS standard errors of the difference, example by example."""
    if held_out is None or yardstick is None:
        return None
    mean, error = paired(held_out, yardstick)
    return None if mean > ERRORS * error else f"{mean:.3g} ± {error:.2g} nats above the yardstick"


def leaking(parts: Overlap | None) -> str | None:
    """A held-out example that occurs in training exactly, or a share over NEAR_COPIES of them nearly."""
    if parts is None or (parts.exact == 0 and parts.near <= NEAR_COPIES * parts.held_out):
        return None
    return f"of {parts.held_out} held-out examples {parts.exact} occur in training exactly, {parts.near} nearly"


def of_data(data: Look, density: bool = False, masked: bool = False) -> Iterator[tuple[Card, str]]:
    """The cards of the data alone; constant columns and filled gaps of tables only, as pictures have margins."""
    if data.repeated:
        yield REPEATED, f"{data.repeated} of {data.examples} examples repeat an earlier one"
    names = [column.name for column in data.columns if column.levels == 1 and column.present]
    if names and not data.pictures:
        yield CONSTANT, ", ".join(names)
    filled = [c for c in data.columns if c.levels > 1 and c.share > FILLED and c.share > FAVOURED * c.next_share]
    if filled and not data.pictures:
        yield FILLED_GAPS, "; ".join(f"{c.name}: {c.commonest:.4g} in {c.share:.0%} of its readings" for c in filled)
    if data.gaps and not masked:
        yield GAPS, f"{data.gaps} of {data.numbers} numbers are missing"
    wide = [
        c for c in data.columns if c.present and not SMALL <= max(abs(c.low), abs(c.high)) <= LARGE and c.levels > 1
    ]
    if wide:
        yield RANGE, "; ".join(f"{c.name} from {c.low:.4g} to {c.high:.4g}" for c in wide)
    grids = [c for c in data.columns if c.levels > 1 and c.on_a_grid]
    if grids and density:
        yield GRID, "; ".join(f"{c.name}: {c.levels} values" for c in grids)


def paired(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The mean of a − b, example by example, and its standard error."""
    difference = (a.cpu() - b.cpu()).double()
    return float(difference.mean()), float(difference.std()) / len(difference) ** 0.5


def sharpness(made: Tensor, data: Tensor) -> float:
    """The mean squared step between neighbouring pixels of one set of pictures over that of another, [n, c, h, w] both.

    Raises ValueError for no pictures, or data without a step.
    """
    refuse_unusable("sharpness", made=made)
    refuse_unusable("sharpness", data=data)
    steps = [float(x.diff(dim=-1).square().mean() + x.diff(dim=-2).square().mean()) for x in (made, data)]
    if steps[1] == 0:
        raise ValueError("sharpness was given data without a step between any two pixels.")
    return steps[0] / steps[1]
