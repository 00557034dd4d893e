"""Evaluation: what a model is worth, measured.

evidence          log p(x) by importance sampling, with its error
annealed          log p(x) by annealed importance sampling, a second opinion
bits_back         lossless compression whose length is minus the ELBO
bounds            rate and distortion, mean ELBO, bits per dimension
latents           posterior means, active units, the cost of each latent
effective_beta    what β a loss found in code really has
disentanglement   mutual information, its gap (MIG), the FactorVAE score
pictures          errors in decibels and maps, structural similarity
ranking           the area under the ROC curve with its interval, clusters against classes
features          the Fréchet distance in the eyes of a small classifier
geometry          angles of subspaces, layouts in one piece or several
"""
