"""The stored models of all of MNIST: what they have not seen, and that a short training lowers the loss."""

from __future__ import annotations

import torch

from vae_course.checkpoints import digit_vaes
from vae_course.data.images import ImageSet, digits, fixed_binarization
from vae_course.evaluation.bounds import mean_elbo
from vae_course.evaluation.features import DigitFeatures


def test_held_out_pictures_are_taken_out() -> None:
    images = torch.rand(6, 1, 2, 2)
    found = digit_vaes.unseen(ImageSet("few", images, torch.arange(6)), images[[1, 4]])
    assert torch.equal(found, images[[0, 2, 3, 5]])


def test_a_short_training_lowers_the_loss_and_the_stored_model_is_far_ahead() -> None:
    train, held_out = digits()
    x = fixed_binarization(held_out.images[:200])
    torch.manual_seed(0)
    fresh = digit_vaes.digit_vae()
    started = mean_elbo(fresh, x)["elbo"]
    digit_vaes.train_digit_vae(fresh, train.images[:1000], epochs=1)
    trained, stored = mean_elbo(fresh, x)["elbo"], mean_elbo(digit_vaes.load_digit_vae(), x)["elbo"]
    assert started < trained < stored - 50


def test_the_stored_model_of_two_latents_draws_digits() -> None:
    train, _ = digits()
    features = DigitFeatures.train(train, epochs=8)
    torch.manual_seed(0)
    with torch.no_grad():
        flat = digit_vaes.load_flat_digit_vae()
        drawn = flat.likelihood(flat.prior().sample((500,))).mean
    assert drawn.shape == (500, 1, 28, 28)
    assert features.classifier(drawn).softmax(-1).amax(0).min() > 0.9, "some draw is surely each of the ten"
