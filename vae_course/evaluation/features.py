"""How far two sets of pictures are apart, in the eyes of a small classifier."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vae_course.data.batches import Batches
from vae_course.data.images import SPLIT_SEED, ImageSet, shift
from vae_course.networks.multilayer import FromImages, mlp
from vae_course.processor import to_float64
from vae_course.randomness import seeded
from vae_course.refusals import refuse_unusable
from vae_course.training.loop import adam_player, fit


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The squared Fréchet distance between the normals fitted to two sets of points, [n, d] each.

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)   (Dowson & Landau, 1982).
    It is biased upwards by an amount that falls about as 1/n: compare only sets of equal size.
    Raises ValueError for fewer points than dimensions + 1, for sets of different sizes, or numbers that are not finite.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"Compare sets of equal size: these are {list(a.shape)} and {list(b.shape)}.")
    if len(a) <= a.shape[1]:
        raise ValueError(f"{len(a)} points in {a.shape[1]} dimensions have no full covariance; give more points.")
    refuse_unusable("The Fréchet distance", a=a, b=b)
    a, b = to_float64(a), to_float64(b)
    covariance_a, covariance_b = torch.cov(a.T), torch.cov(b.T)
    # Σ₁Σ₂ is similar to a positive semi-definite matrix: its eigenvalues are real and not negative.
    eigenvalues = torch.linalg.eigvals(covariance_a @ covariance_b).real.clamp(min=0)
    trace = covariance_a.trace() + covariance_b.trace() - 2 * eigenvalues.sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + trace)


@dataclass(frozen=True)
class DigitFeatures:
    """What a small digit classifier sees: the layer below its ten logits, for the Fréchet distance of pictures.

    It is not the Inception network of the published "FID": the figures compare within this course only, and only
    for pictures of one kind (grey with grey, binary with binary).
    """

    classifier: nn.Sequential

    @classmethod
    def train(cls, images: ImageSet, epochs: int = 16, features: int = 64) -> DigitFeatures:
        """Train on labelled pictures with a seed of its own, so that `VAE_COURSE_SEED` does not move the ruler."""
        with seeded(SPLIT_SEED):
            pixels = images.images[0].numel()
            body = FromImages(images.shape, mlp(pixels, 256, features, activation=nn.ReLU))
            classifier = nn.Sequential(body, nn.ReLU(), nn.Linear(features, 10)).to(images.images.device)
            batches = Batches(images.images, images.labels, size=50, seed=SPLIT_SEED, augment=shift)
            loss = lambda x, y: cross_entropy(classifier(x), y, reduction="none")  # noqa: E731
            fit([adam_player(loss, classifier, 3e-3)], batches, epochs)
        return cls(classifier)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Features of pictures: [n, 1, 28, 28] → [n, features]."""
        features: Tensor = self.classifier[:2](x)
        return features

    @torch.no_grad()
    def accuracy(self, images: ImageSet) -> float:
        """The share of pictures whose class the classifier names."""
        return float((self.classifier(images.images).argmax(-1) == images.labels).float().mean())

    def distance(self, a: Tensor, b: Tensor) -> float:
        """The squared Fréchet distance of the features of two equally large sets of pictures."""
        return frechet_distance(self(a), self(b))
