"""A small package for a course on variational autoencoders: the map, in reading order.

    A model is three distributions: prior(), posterior(x), likelihood(z).
    An objective is a function of (model, x) that returns nats, one number per example.

models.autoencoder   encode and decode; squared error
models.vae           the three distributions of a VAE
models.parabola      a curved model with one latent, known on a grid
objectives           the ELBO, log p(x, z), importance weights, the importance-weighted bound
training             fit: one loop for every algorithm; checkpoints
exact                models whose log p(x) is known: linear-Gaussian, mixtures, any on a grid; EM; PCA
variational          free and factorised q, coordinate ascent
gradients            pathwise and score-function estimators of a gradient
estimators           log p(x) by importance sampling, rate and distortion, bits per dimension, active units
effective_beta       what β a loss found in code really has
metrics              peak signal-to-noise ratio, Fréchet distance, principal angles
distributions        families with declared event axes: latents, binary, grey and coloured pixels
networks             multilayer perceptrons and convolutional networks
data                 digits, batches, toy densities, sprites with known factors, loaded beams and their solver
figures, widgets     what a notebook shows
claims, exercises    what a notebook checks
notebooks            how notebooks are made from their sources
runtime              device, seed and scale

Equations name their source. Bounds are in nats per example unless a docstring says otherwise.
"""

__version__ = "0.1.0"
