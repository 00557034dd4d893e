"""A small package for a course on variational autoencoders: the map, in reading order.

    A model is three distributions: prior(), posterior(x), likelihood(z).
    An objective is a function of (model, x) that returns nats, one number per example.

models.autoencoder   encode and decode; squared error
models.vae           the three distributions of a VAE
models.conditional   given(y): three distributions for known conditions
models.discrete      categorical latents, relaxed or straight through
models.vq_vae        vector quantisation: codes on a grid, the terms that move them
models.views         a model with another posterior or another prior
models.parabola      a curved model with one latent, known on a grid
objectives           the ELBO, also with its KL in three pieces, log p(x, z), importance weights and their bound
training             fit: one loop for every algorithm; checkpoints
exact                models whose log p(x) is known: linear-Gaussian, mixtures, any on a grid or by enumeration; EM; PCA
variational          free and factorised q, coordinate ascent
gradients            pathwise and score-function estimators of a gradient
estimators           log p(x) by importance sampling, rate and distortion, bits per dimension, active units
effective_beta       what β a loss found in code really has
disentanglement      mutual information, its gap (MIG), the FactorVAE score
metrics              errors in decibels and maps, structural similarity, the area under the ROC curve, Fréchet distance, angles
distributions        families with declared event axes: latents, pixels, categories, fields of codes and priors over them
networks             multilayer perceptrons, convolutional networks, codebooks, the masked convolutions of a PixelCNN
data                 digits, batches, corruptions, toy densities, sprites, tones and sensor signals with known factors, loaded beams
checkpoints          small trained models that come with the course
figures, widgets     what a notebook shows
claims, exercises    what a notebook checks
notebooks            how notebooks are made from their sources
runtime              device, seed and scale

Equations name their source. Bounds are in nats per example unless a docstring says otherwise.
"""

__version__ = "0.1.0"
