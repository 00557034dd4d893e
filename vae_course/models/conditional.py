"""The conditional VAE: given y, again three distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.nn.functional import one_hot

from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.models.vae import Family
from vae_course.networks.multilayer import check_pictures, mlp
from vae_course.refusals import refuse_no_tensor, refuse_unusable

Describe = Callable[[Tensor], Tensor]


class ConditionalVAE(nn.Module):
    """p(z) = N(0, I), q(z|x, y) = N(μ(x, y), diag σ²(x, y)), p(x|z, y) = family(decoder(z, y)); z does not depend on y.

    `given(y)` is the model for known y, and every objective takes it: elbo(model.given(y), x) bounds log p(x|y).
    Sohn, Lee & Yan, Learning structured output representation using deep conditional generative models (2015), and
    Kingma et al., arXiv:1406.5298, section 2 (model M2).

    encoder: [..., pixels + features] → [..., 2 · latent]; decoder: [..., latent + features] → [..., numbers · pixels];
    describe: y [batch, ...] in its own unit → [batch, features], what the networks are given (`classes`, `Standardise`,
    `Flatten`).
    """

    zero: Tensor

    def __init__(
        self,
        image: Sequence[int],
        encoder: nn.Module,
        decoder: nn.Module,
        latent: int,
        describe: Describe,
        family: Family = bernoulli,
        numbers: int = 1,
    ) -> None:
        super().__init__()
        self.image, self.decoded = tuple(image), (numbers * image[0], *image[1:])
        self.encoder, self.decoder, self.describe, self.family = encoder, decoder, describe, family
        self.register_buffer("zero", torch.zeros(latent))

    def given(self, y: Tensor) -> GivenVAE:
        """The three distributions for known conditions y: [batch, ...], one for each x or z of a batch."""
        return GivenVAE(self, self.describe(y))


class GivenVAE(nn.Module):
    """A conditional VAE whose conditions are known: prior(), posterior(x), likelihood(z).

    Its parameters and its state are the model's; the conditions are data, and move with it.
    """

    features: Tensor

    def __init__(self, model: ConditionalVAE, features: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("features", features, persistent=False)

    def prior(self) -> Independent[Normal]:
        """p(z) = N(0, I): batch [], event [latent]."""
        return diagonal_normal(self.model.zero, torch.ones_like(self.model.zero))

    def posterior(self, x: Tensor) -> Independent[Normal]:
        """q(z|x, y): [..., batch, *image] → batch [..., batch], event [latent]."""
        check_pictures(x, self.model.image, self.model.encoder)
        mean, log_std = self.model.encoder(self._beside(x.flatten(-len(self.model.image)))).chunk(2, dim=-1)
        return diagonal_normal(mean, log_std.exp())

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z, y): z [..., batch, latent] → batch [..., batch], event [*image]."""
        return self.model.family(self.model.decoder(self._beside(z)).unflatten(-1, self.model.decoded))

    def part(self, rows: slice) -> GivenVAE:
        """The model for some of the conditions, so that estimators can take examples in parts."""
        return GivenVAE(self.model, self.features[rows])

    def _beside(self, given: Tensor) -> Tensor:
        """[..., batch, n] → [..., batch, n + features], the features of each example beside it."""
        if given.shape[-2:-1] != self.features.shape[:1]:
            raise ValueError(
                f"The model was given {len(self.features)} conditions and {list(given.shape)} to go with them: give one "
                "condition for each example."
            )
        return torch.cat([given, self.features.to(given).expand(*given.shape[:-1], -1)], -1)


def mlp_conditional_vae(
    image: Sequence[int],
    hidden: Sequence[int],
    latent: int,
    features: int,
    describe: Describe,
    family: Family = bernoulli,
    activation: type[nn.Module] = nn.SiLU,
    numbers: int = 1,
) -> ConditionalVAE:
    """A conditional VAE of two mirrored MLPs. features: how many numbers `describe` makes of a condition."""
    pixels = prod(image)
    encoder = mlp(pixels + features, *hidden, 2 * latent, activation=activation)
    decoder = mlp(latent + features, *reversed(hidden), numbers * pixels, activation=activation)
    return ConditionalVAE(image, encoder, decoder, latent, describe, family, numbers)


class Classes(nn.Module):
    """Class numbers as one-hot rows times √classes: int64 [batch] → [batch, classes].

    So scaled, a row has mean square 1, as each latent has under the prior: a plain one-hot is too quiet beside z, and
    a decoder trained for a short time hardly hears it. Raises ValueError for other numbers.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, y: Tensor) -> Tensor:
        """[batch] → [batch, classes]."""
        refuse_no_tensor("The model", y)
        if y.ndim != 1 or y.is_floating_point() or (len(y) and not 0 <= int(y.min()) <= int(y.max()) < self.classes):
            raise ValueError(
                f"Classes must be whole numbers [batch] from 0 to {self.classes - 1}; these are {list(y.shape)} "
                f"{str(y.dtype).removeprefix('torch.')}."
            )
        features: Tensor = self.classes**0.5 * one_hot(y, self.classes).to(torch.get_default_dtype())
        return features


class Standardise(nn.Module):
    """Conditions in their own unit → mean 0 and standard deviation 1 over the conditions of the training set.

    The mean and the deviation are stored with the model, so that nobody has to remember them when asking for one.
    training: [n, features], n >= 2. Raises ValueError where a feature does not vary.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, training: Tensor) -> None:
        super().__init__()
        refuse_unusable("Standardise", training=training)
        if training.ndim != 2 or len(training) < 2 or not bool((training.std(0) > 0).all()):
            raise ValueError(
                f"Standardise needs conditions [n, features] that vary; it was given {list(training.shape)}."
            )
        self.register_buffer("mean", training.mean(0))
        self.register_buffer("std", training.std(0))

    def forward(self, y: Tensor) -> Tensor:
        """[batch, features], in their own unit → [batch, features]. Raises ValueError for another number of features."""
        refuse_no_tensor("The model", y)
        if y.ndim != 2 or y.shape[1:] != self.mean.shape:
            raise ValueError(f"The conditions were {list(y.shape)}; give [batch, {len(self.mean)}].")
        return (y - self.mean) / self.std

    def back(self, standardised: Tensor) -> Tensor:
        """From mean 0 and deviation 1 to the unit of the conditions."""
        return standardised * self.std + self.mean
