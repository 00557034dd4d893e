"""A small package for a course on variational autoencoders: the map, in reading order.

    A model is three distributions: prior(), posterior(x), likelihood(z).
    An objective is a function of (model, x) that returns nats, one number per example.

distributions   families with declared event axes; draw and divergence; a chain of two latents; the contract itself
networks        tensors in, tensors out: perceptrons, convolutions, codebooks, the masked convolutions of a PixelCNN
data            tensors in memory: digits, batches, corruptions, toys, sprites, tones, sensor signals, network records, loaded beams
training        fit, one loop for every algorithm; a store of weights; snapshots of a training
objectives      the ELBO, log p(x, z), importance weights and their bound; the KL term in three pieces
models          the three distributions of each model, and views on them that are models again
exact           the truth where it is known: linear-Gaussian models, mixtures, any model on a grid or by enumeration
inference       free and factorised q, coordinate ascent, gradient estimators, expectation maximisation
evaluation      log p(x) with its error, rate and distortion, active units, effective β, disentanglement, distances
checkpoints     small trained models that come with the course
studies         trainings too long for a lecture: commands that can be stopped and taken up, and what they measured
notebook        what a notebook shows and claims: runtime, claims, figures, widgets
exercises       what checks an answer and names its error
grading         a sheet's functions in one process, the verdict in another
course          how the notebooks are made from their sources and checked
output          printing to whatever a stream can hold
processor       what is computed on the processor whatever the device
progress        progress bars
randomness      draws that are the same at every call
refusals        what a measure refuses
threads         how many threads torch takes

A room imports only from rooms above it in this list (the last six are for all); a name is imported from the file
that defines it. Equations name their source. Bounds are in nats per example unless a docstring says otherwise.
"""

__version__ = "0.1.0"
